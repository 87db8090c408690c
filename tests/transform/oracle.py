"""What the tests of the rewriter compare with: the original's tree, code and behaviour."""

from __future__ import annotations

import ast
import dis
import operator
import sys
import unicodedata
from types import CodeType

from minpy.options import Options
from minpy.places import ALERT, BLOCKS, FLAGS, LOOPS, TAPING, flag_of

DEFAULT = Options()
OPERATORS = Options(profile="operations")
DEVICE = Options(context="gpu")  # operators, loops and blocks
DOOR = "__minpy__"

_BINARY = {
    "add": ast.Add,
    "sub": ast.Sub,
    "mul": ast.Mult,
    "truediv": ast.Div,
    "floordiv": ast.FloorDiv,
    "mod": ast.Mod,
    "pow": ast.Pow,
    "matmul": ast.MatMult,
    "lshift": ast.LShift,
    "rshift": ast.RShift,
    "and_": ast.BitAnd,
    "or_": ast.BitOr,
    "xor": ast.BitXor,
}
_UNARY = {"neg": ast.USub, "pos": ast.UAdd, "invert": ast.Invert}
_COMPARE = {"eq": ast.Eq, "ne": ast.NotEq, "lt": ast.Lt, "le": ast.LtE, "gt": ast.Gt, "ge": ast.GtE}


def span(node: ast.AST) -> tuple[int, int, int, int]:
    return node.lineno, node.col_offset, node.end_lineno, node.end_col_offset


class _Undo(ast.NodeTransformer):
    """Turns a rewritten tree back into the original's, keeping the positions that the rewriter gave."""

    def __init__(self, source: str) -> None:
        self.lines = ast._splitlines_no_ff(source)

    def _segment(self, node: ast.AST) -> str:
        line, start, end_line, end = span(node)
        assert line == end_line
        return self.lines[line - 1].encode()[start:end].decode()

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        match node:
            case ast.IfExp(
                test=ast.Name(id="__minpy_taping__"),
                body=ast.Call(
                    func=ast.Attribute(value=ast.Name(id="__minpy__"), attr=name), args=[*others, copy]
                ),
                orelse=value,
            ):
                # The copy is the original once more, places included.
                assert ast.dump(copy, include_attributes=True) == ast.dump(value, include_attributes=True)
                assert name in ("at", "within", "held", "exposed", "before")
                assert len(others) == (name == "before")
                return self.visit(value)
            case ast.IfExp(test=ast.Name(id="__minpy_alert__")):
                # Both copies are the original, places included: one with routed operators, one without.
                with_them, without = self.visit(node.body), self.visit(node.orelse)
                assert ast.dump(with_them, include_attributes=True) == ast.dump(
                    without, include_attributes=True
                )
                return without
            case ast.IfExp(
                test=ast.BoolOp(op=ast.And(), values=[shared, flag, ask]),
                body=ast.Call(func=take),
                orelse=value,
            ) if ast.unparse(take) == f"{DOOR}.blocks.take":
                name = flag.attr[1:]
                _, number, digest = name.split("_")
                assert ast.unparse(shared) == f"{DOOR}.{flag_of(BLOCKS, int(number), digest)}"
                assert ast.unparse(flag) == f"{DOOR}.blocks.t{name}"
                assert ast.unparse(ask.func) == f"{DOOR}.blocks.b{name}"
                assert all(isinstance(each, (ast.Name, ast.Constant)) for each in ask.args)
                return self.visit(value)
            case ast.IfExp(
                test=ast.Attribute(value=ast.Name(id="__minpy__"), attr=flag),
                body=site,
                orelse=ast.Name() as value,
            ):
                called = isinstance(site, ast.Call)
                name = ast.unparse(site.func if called else site).removeprefix(f"{DOOR}.loops.")
                shape, what, line, digest = name.split("_")
                assert shape in ("nest", "loop", "inner") and flag == flag_of(LOOPS, int(line), digest)
                assert called == (what == "iter")
                if called:
                    (copy,) = site.args
                    assert ast.dump(copy, include_attributes=True) == ast.dump(value, include_attributes=True)
                return value
        return self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        match node.values:
            case [
                ast.UnaryOp(
                    op=ast.Not(),
                    operand=ast.BoolOp(
                        op=ast.And(),
                        values=[ast.Attribute(value=ast.Name(id="__minpy__"), attr=flag), ask],
                    ),
                ),
                test,
            ]:
                name = ast.unparse(ask).removeprefix(f"{DOOR}.loops.").removesuffix("()")
                shape, what, line, digest = name.split("_")
                assert shape in ("nest", "loop", "inner") and what == "while"
                assert flag == flag_of(LOOPS, int(line), digest)
                return self.visit(test)
            case [
                ast.BoolOp(op=ast.And(), values=[ast.Name(id="__minpy_taping__"), log]),
                value,
            ]:
                assert isinstance(log, ast.Call) and log.func.attr == "before"
                return self.visit(value)
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        match node.func:
            case ast.Attribute(value=ast.Name(id="__minpy__"), attr="at" | "within" | "held" | "exposed"):
                return self.visit(node.args[0])
            case ast.Attribute(value=ast.Name(id="__minpy__"), attr="before"):
                _, value = node.args
                return self.visit(value)
            case ast.Attribute(value=ast.Attribute(value=ast.Name(id="__minpy__"), attr="op"), attr=name):
                self.generic_visit(node)
                return ast.copy_location(self._operator(name, node.args), node)
        return self.generic_visit(node)

    def _operator(self, name: str, args: list[ast.expr]) -> ast.expr:
        assert hasattr(operator, name)
        if name in _BINARY:
            left, right = args
            return ast.BinOp(left, _BINARY[name](), right)
        if name in _UNARY:
            (operand,) = args
            return ast.UnaryOp(_UNARY[name](), operand)
        left, right = args
        return ast.Compare(left, [_COMPARE[name]()], [right])

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        root: ast.AST = node
        while isinstance(root, ast.Attribute):
            root = root.value
        if isinstance(root, ast.Name) and root.id == DOOR and span(root) == span(node):
            name = unicodedata.normalize("NFKC", self._segment(node))
            return ast.copy_location(ast.Name(name, ast.Load()), node)
        return self.generic_visit(node)


def undone(tree: ast.AST, source: str) -> ast.AST:
    """Return the tree that the original must have, if `tree` is a right rewriting of it."""
    return _Undo(source.replace("\r\n", "\n").replace("\r", "\n")).visit(tree)


def assert_same_tree(tree: ast.AST, source: str) -> None:
    """Check that the rewriting undone is the original, every position included."""
    expected = ast.dump(ast.parse(source), include_attributes=True)
    actual = ast.dump(undone(tree, source), include_attributes=True)
    if actual != expected:
        at = next(i for i, (a, b) in enumerate(zip(actual, expected, strict=False)) if a != b)
        around = slice(max(at - 300, 0), at + 120)
        raise AssertionError(f"trees differ:\n{actual[around]}\n--- expected\n{expected[around]}")


def codes(code: CodeType) -> list[CodeType]:
    """The code object and all inside it, depth first."""
    found = [code]
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found += codes(constant)
    return found


# Steps of a call that can neither raise nor be stopped at: the marker for "no method" and the names of
# arguments.
_SILENT = {"PUSH_NULL", "KW_NAMES", "CACHE"}
if sys.version_info >= (3, 13):
    # Two loads in a row may be one instruction there, with the place of the first: no load is compared.
    _SILENT |= {"LOAD_CONST", "LOAD_FAST", "LOAD_FAST_LOAD_FAST", "LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF"}


def _asks(instruction: dis.Instruction) -> bool:
    """Whether what is loaded decides which of two copies runs."""
    if instruction.opname == "LOAD_ATTR":
        return instruction.argval in FLAGS
    return instruction.argval in (TAPING, ALERT)


def _idle(code: CodeType) -> list[dis.Instruction]:
    """The instructions without those that run only while a tape is open, or a block is hot."""
    instructions = list(dis.get_instructions(code))
    kept, until, asked = [], -1, None
    for i, instruction in enumerate(instructions):
        if instruction.offset < until:
            continue
        if _asks(instruction):
            jump = next(each for each in instructions[i:] if "JUMP" in each.opname)
            assert "IF_FALSE" in jump.opname, jump
            # The jump in a condition of `while` has the place of the statement: on the line where the condition begins.
            behind = (each for each in instructions if jump.offset < each.offset < jump.argval)
            last = jump.offset - any("_while_" in str(each.argval) for each in behind)
            if sys.version_info < (3, 13):  # else what loads the name at this place is not compared either
                kept += [each for each in instructions if instruction.offset <= each.offset <= last]
            until, asked = jump.argval, instruction.positions if sys.version_info >= (3, 13) else None
        elif asked is None or instruction.positions != asked or instruction.opname not in _OF_AN_OR:
            asked = None
            kept.append(instruction)
    return _reached(kept, instructions)


def _reached(kept: list[dis.Instruction], instructions: list[dis.Instruction]) -> list[dis.Instruction]:
    """Those that are kept, without copies of what follows that only the others jump to (Python 3.10 makes such)."""
    mine = {each.offset for each in kept}
    targets = {each.argval for each in kept if "JUMP" in each.opname}
    others = {
        each.argval for each in instructions if "JUMP" in each.opname and each.offset not in mine
    } - targets
    reached, ended, dropped = [], False, False
    for each in kept:
        if ended:
            dropped = each.offset in others
        ended = each.opname == "RETURN_VALUE"
        if not dropped:
            reached.append(each)
    return reached


# What decides `or` behind the question.
_OF_AN_OR = {"COPY", "TO_BOOL", "POP_JUMP_IF_TRUE", "POP_TOP"}


def positions(code: CodeType) -> list[tuple[int | None, ...]]:
    """The positions that running the code passes through in program order, repetitions in a row dropped.

    A routed call loads its function in other steps than the original, so instructions cannot be compared one
    by one; but whoever looks at positions (a traceback, a debugger, coverage) sees this sequence.
    """
    kept: list[tuple[int | None, ...]] = []
    door: object = None
    for instruction in _idle(code):
        if sys.version_info >= (3, 13):
            # The attributes of the door stand where a name stood.
            if instruction.argval == DOOR:
                door = instruction.positions
            elif instruction.opname in ("LOAD_ATTR", "CALL") and instruction.positions == door:
                continue  # (`__minpy__.at(a)` has the place at which the original loads `a`)
            elif instruction.opname not in _SILENT:
                door = None
        if instruction.opname in _SILENT:
            continue
        place = tuple(getattr(instruction, "positions", None) or (instruction.starts_line,))
        if len(place) == 1 and place[0] is None:
            continue
        if len(place) > 1 and place[0] == place[1] and place[2] == place[3]:
            continue  # of no width: on the line of what runs next, and nothing to mark
        if not kept or kept[-1] != place:
            kept.append(place)
    return kept


def assert_same_positions(original: CodeType, rewritten: CodeType) -> None:
    """Check the positions of two code objects and of all the code inside them."""
    pairs = list(zip(codes(original), codes(rewritten), strict=True))
    for left, right in pairs:
        assert (left.co_name, left.co_firstlineno) == (right.co_name, right.co_firstlineno)
        assert positions(left) == positions(right), left.co_name
