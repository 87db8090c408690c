"""Functions that Numba compiles from their bytecode: they stay as they are written.

Numba types every global name that a function reads, and cannot type the name by which rewritten code reaches the
runtime. What it will compile is known by the text: a decorator, or a call that takes the function.
"""

from __future__ import annotations

import ast
import re

MENTIONED = re.compile(r"\bnumba\b|\bn?jit\b")
_EVERYTHING = "jit_module"  # compiles all functions of its module


def spans(source: str) -> list[tuple[int, int]]:
    """Where the functions and classes are that Numba compiles: the first character, and that behind the last."""
    tree = ast.parse(source)
    found = _Found(tree)
    starts = [0, *(match.end() for match in re.finditer(r"\r\n|\r|\n", source))]
    lines = [
        source[start:end].encode() for start, end in zip(starts, [*starts[1:], len(source)], strict=True)
    ]

    def offset(line: int, column: int) -> int:
        return starts[line - 1] + len(lines[line - 1][:column].decode())

    return [
        (offset(node.lineno, node.col_offset), offset(node.end_lineno or 0, node.end_col_offset or 0))
        for node in found.nodes()
    ]


class _Found:
    """What a module gives to Numba."""

    def __init__(self, tree: ast.Module) -> None:
        self._tree = tree
        self._ours: set[str] = set()  # names that come from Numba, or are made by it
        self._imported: set[str] = set()
        self._given: set[str] = set()
        self._lambdas: list[ast.Lambda] = []
        self._everything = False
        for node in ast.walk(tree):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                self._import(node)
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and self._is_numbas(node.value):
                self._ours |= {each.id for each in node.targets if isinstance(each, ast.Name)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and self._is_numbas(node.func):
                self._give(node)

    def nodes(self) -> list[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda]:
        """Functions, classes, and lambdas."""
        found: list = list(self._lambdas)
        for node in ast.walk(self._tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                if (
                    node.name in self._given
                    or any(map(self._is_numbas, node.decorator_list))
                    or (self._everything and not isinstance(node, ast.ClassDef))
                ):
                    found.append(node)
        return found

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        module = getattr(node, "module", None) or ""
        for each in node.names:
            name = each.asname or each.name.partition(".")[0]
            origin = module if isinstance(node, ast.ImportFrom) else each.name
            self._imported.add(name)
            # (A package may have its own `njit`, with options of its own.)
            if origin.partition(".")[0] == "numba" or each.name == "njit":
                self._ours.add(name)

    def _is_numbas(self, node: ast.expr) -> bool:
        """Whether an expression is a decorator of Numba's: ``njit``, ``numba.jit(parallel=True)``."""
        last = ""
        while isinstance(node, (ast.Call, ast.Attribute)):
            if isinstance(node, ast.Attribute):
                last = last or node.attr
                node = node.value
            else:
                node = node.func
        if not isinstance(node, ast.Name):
            return False
        # In a notebook's cell the import is in another one.
        bare = not last and node.id in ("njit", "jit") and node.id not in self._imported
        return node.id in self._ours or last == "njit" or bare

    def _give(self, call: ast.Call) -> None:
        for each in call.args:
            if isinstance(each, ast.Name):
                self._given.add(each.id)
            elif isinstance(each, ast.Lambda):
                self._lambdas.append(each)
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        self._everything |= name == _EVERYTHING
