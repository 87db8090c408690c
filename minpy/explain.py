"""What ``minpy.rewrite --explain`` says of the blocks and loops that a program has under ``minpy run``.

The rewritten file that is shown has neither, so that it stays readable. Here the file is planned once more as the
import hook plans it, and each place is put into words: an expression that may run in one piece as the loop over its
elements that it stands for, a loop that may be compiled, and why another expression or loop is not one of these.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

from minpy.errors import RewriteError
from minpy.options import Options
from minpy.transform import rewriter
from minpy.transform.catalog import FUSED
from minpy.transform.plan import Lines

_BLOCK = re.compile(r"\.blocks\.b(\d+)_\d+_[0-9a-f]{8}\(('(?:[^'\\]|\\.)*')((?:, \w+)*)\)")
_LOOP = re.compile(r"\.loops\.((\w+?)_(\w+?)_(\d+)_[0-9a-f]{8})\b")
_SYMBOLS = {
    "add": "+", "subtract": "-", "multiply": "*", "true_divide": "/", "floor_divide": "//", "remainder": "%",
    "left_shift": "<<", "right_shift": ">>", "bitwise_and": "&", "bitwise_or": "|", "bitwise_xor": "^", "**": "**",
    "equal": "==", "not_equal": "!=", "less": "<", "less_equal": "<=", "greater": ">", "greater_equal": ">=",
    "negative": "-", "positive": "+", "invert": "~",
}  # fmt: skip
_NEVER = {
    ast.Yield: "yield", ast.YieldFrom: "yield", ast.Await: "await", ast.Try: "try", ast.With: "with",
    ast.FunctionDef: "a function", ast.AsyncFunctionDef: "a function", ast.Lambda: "a function",
    ast.ClassDef: "a class", ast.Import: "an import", ast.ImportFrom: "an import", ast.Delete: "del",
    ast.Global: "global", ast.Nonlocal: "nonlocal", ast.NamedExpr: ":=",
}  # fmt: skip
_OF_NUMBERS = frozenset({"int", "float", "len", "range", "str", "round", "ord", "min", "max"})
_SHORTEST = 2  # operations of an expression that is worth a word


def explain(source: str, filename: str) -> list[tuple[int, int, str]]:
    """What is to be said of the places of a module: line, column (from 1) and text, in the order of the text."""
    try:
        plan = rewriter.plan(source, Options(), filename=filename)
    except RewriteError:
        return []  # it is said elsewhere
    lines = Lines(source)
    found: list[tuple[int, int, str]] = []
    spans: list[tuple[int, int]] = []
    loops: dict[int, str] = {}
    opened: list[tuple[int, Any]] = []
    for edit in plan.edits:
        if (loop := _LOOP.search(edit.text)) is not None:
            loops[int(loop[4])] = loop[2]
        if (block := _BLOCK.search(edit.text)) is not None:
            opened.append((edit.start, block))
        elif opened and edit.text == ")" and edit.reason == _reason_of(plan, opened[-1][0]):
            start, block = opened.pop()
            spans.append((start, edit.start))
            line, column = lines.line_col(start)
            found.append((line, column + 1, _block(source[start : edit.start], block)))
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return found
    found += _loops(tree, loops)
    if plan.edits:
        found += _others(tree, source, spans)
    return sorted(found)


def _reason_of(plan: Any, start: int) -> str:
    return next(edit.reason for edit in plan.edits if edit.start == start and ".blocks." in edit.text)


# --- Blocks


def _block(text: str, match: re.Match[str]) -> str:
    program = ast.literal_eval(match[2])
    names = [name for name in match[3].split(", ") if name]
    words = f"`{' '.join(text.split())}`"
    if program[0] == "_":
        return f"call: {words} may be shared by threads, or made piece by piece"
    head = f"block: {words}"
    return "\n".join([head, *(f"    {line}" for line in nest(program, names))])


def nest(text: str, names: list[str]) -> list[str]:
    """The loop over the elements that a block stands for, in single operations.

    Parameters
    ----------
    text : str
        The block, of ``v0``, ``v1`` …
    names : list of str
        What these are in the program.
    """
    from minpy.runtime.fuse.ir import Program, path

    program = Program(text)
    words = {f"v{i}": name for i, name in enumerate(names)}
    for i, (start, attributes) in enumerate(program.chains):
        words[f"w{i}"] = path(names[start], attributes)
    leaves = [re.sub(r"\b[vw]\d+\b", lambda each: words[each[0]], leaf) for leaf in program.leaves]
    leaves = [re.sub(r"\((-\d+)\)", r"\1", leaf) for leaf in leaves]

    for leaf, text in program.rolled_texts().items():
        leaves[leaf] = re.sub(r"\b[vw]\d+\b", lambda each: words[each[0]], text)

    def name_of(operand: int) -> str:
        return leaves[operand] if operand >= 0 else f"t{-operand}"

    targets = {
        -result.value: leaves[result.leaf] if result.kind != "value" else f"result{place or ''}"
        for place, result in enumerate(program.results)
    }
    lines = ["for each element:"]
    for number, operation in enumerate(program.operations, 1):
        operands = [name_of(each) for each in operation.operands]
        symbol = _SYMBOLS.get(operation.name) if operation.symbol else None
        if symbol is None:
            value = f"{operation.name}({', '.join(operands)})"
        else:
            value = (
                f"{operands[0]} {symbol} {operands[1]}" if len(operands) == 2 else f"{symbol}{operands[0]}"
            )
        lines.append(f"    t{number} = {value}")
        if number in targets:
            # Also a temporary: a later statement may read it.
            used = any(-number in each.operands for each in program.operations)
            lines[-1] = f"    {f't{number} = ' if used else ''}{targets[number]} = {value}"
    return lines


# --- Loops


def _loops(tree: ast.AST, shapes: dict[int, str]) -> Iterator[tuple[int, int, str]]:
    for node in ast.walk(tree):
        if not isinstance(node, (ast.For, ast.While)):
            continue
        shape = shapes.get(node.lineno)
        if shape == "inner":
            text = "inside a loop that may be compiled"
        elif shape is not None:
            text = "may go on compiled (`minpy run -v` says what became of it)"
        elif isinstance(node, ast.While):
            text = "runs as written, unless a loop around it is compiled"
        else:
            text = f"runs as written: {_why_no_loop(node)}"
        yield node.lineno, node.col_offset + 1, f"loop: {text}"


def _why_no_loop(node: ast.For) -> str:
    for each in ast.walk(ast.Module(node.body, [])):
        word = _NEVER.get(type(each))
        if word is not None:
            return f"line {each.lineno} has {word}"
    if not isinstance(node.iter, (ast.Name, ast.Call)):
        return "it is not over a name, range, enumerate or zip"
    if isinstance(node.iter, ast.Call):
        name = node.iter.func.id if isinstance(node.iter.func, ast.Name) else ""
        if name not in ("range", "enumerate", "zip"):
            return "it is not over a name, range, enumerate or zip"
    return "its variables are not plain names of a function or of a module that MinPy rewrites"


# --- Expressions that are no blocks


def _others(tree: ast.AST, source: str, spans: list[tuple[int, int]]) -> Iterator[tuple[int, int, str]]:
    starts = [0]
    for line in source.split("\n"):
        starts.append(starts[-1] + len(line.encode()) + 1)
    data = source.encode()

    def offset(line: int, column: int) -> int:
        return len(data[: starts[line - 1] + column].decode())

    def visit(node: ast.AST) -> Iterator[tuple[int, int, str]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                begin = offset(child.lineno, child.col_offset)
                end = offset(child.end_lineno or child.lineno, child.end_col_offset or 0)
                if any(begin >= start and end <= stop for start, stop in spans):
                    continue
                if isinstance(child, ast.BinOp) and not any(begin <= start < end for start, _ in spans):
                    reason = _why_no_block(child)
                    if reason:
                        yield child.lineno, begin - source.rfind("\n", 0, begin), f"no block: {reason}"
                    continue
            yield from visit(child)

    return visit(tree)


def _operations(node: ast.AST) -> int:
    """How many there are, those in indices not counted."""
    inner = (
        each
        for each in ast.iter_child_nodes(node)
        if not isinstance(node, ast.Subscript) or each is node.value
    )
    return isinstance(node, (ast.BinOp, ast.Compare)) + sum(map(_operations, inner))


def _why_no_block(node: ast.BinOp) -> str:
    """Why an arithmetic expression is not a block; empty where nobody would ask."""
    if _operations(node) < _SHORTEST or not any(isinstance(each, ast.Name) for each in ast.walk(node)):
        return ""
    for each in ast.walk(node):
        if isinstance(each, ast.Call) and isinstance(each.func, ast.Name) and each.func.id in _OF_NUMBERS:
            return ""
        if isinstance(each, ast.BinOp) and isinstance(each.op, ast.MatMult):
            return "`@` is left to NumPy"
        if isinstance(each, ast.Call):
            function = each.func
            name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
            if name not in FUSED and name != "abs":
                return f"it calls `{ast.unparse(function)}`, which is not element by element"
            if each.keywords:
                return f"it calls `{ast.unparse(function)}` with keywords"
        if isinstance(
            each, (ast.IfExp, ast.BoolOp, ast.Lambda, ast.Await, ast.NamedExpr, ast.List, ast.Dict)
        ):
            return "it holds what is no arithmetic"
    if not any(isinstance(each, (ast.Slice, ast.Call)) for each in ast.walk(node)):
        return ""  # numbers, as far as can be seen
    return "nothing in the module shows that it is of arrays, or an index is neither a number nor a slice"
