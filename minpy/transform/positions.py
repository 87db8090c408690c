"""Positions: gives every node of the rewritten text's tree the place it has in the original text.

Tracebacks, debuggers, coverage and `dis` then see the original. Two kinds of nodes have no place of their own
there:

* ``__minpy__.np`` stands where the name ``np`` stood, and takes its span;
* in ``__minpy__.op.add(a, b)`` the call takes the span of ``a + b``, so that a traceback marks the operator.
  What loads the function runs before the left operand, and takes the span of the first thing that operand
  evaluates: no line and no column is visited that the original does not visit at that moment;
* in ``(__minpy__.blocks.take() if … else a + b)`` the question and what it leads to take the span of the first thing
  that ``a + b`` evaluates;
* in ``while not (__minpy__.l40 and …) and (a < b)`` all that precedes ``a < b`` takes the span of the first thing that
  this evaluates;
* in ``(__minpy__.at(a) if __minpy_taping__ else a)[i] = v`` the question takes the span of the first thing that
  ``a`` evaluates, and the copy has the places of the original;
* in ``(__minpy__.op.add(a, b) if __minpy_alert__ else a + b)`` likewise, the call's place being that of ``a + b``.
"""

from __future__ import annotations

import ast
import sys
from bisect import bisect_left
from collections.abc import Iterator
from itertools import islice

from minpy.places import ALERT, FLAGS, taping_of
from minpy.transform.plan import Plan, map_column

_Spans = list[tuple[int, int, int, int]]
_STRINGS: tuple[type[ast.AST], ...] = tuple(
    getattr(ast, name) for name in ("JoinedStr", "TemplateStr") if hasattr(ast, name)
)
_ADDED = frozenset({ast.Call, ast.IfExp, ast.BoolOp})  # kinds of nodes that the rewriter writes
# What stands in nodes, and is no node with a place or with others in it.
_BARE: frozenset[type] = frozenset(
    {str, int, float, bool, type(None), *ast.expr_context.__subclasses__(), *ast.operator.__subclasses__()}
    | {*ast.cmpop.__subclasses__(), *ast.unaryop.__subclasses__(), *ast.boolop.__subclasses__()}
)


class LineMap:
    """Maps positions as `ast` counts them (in UTF-8 bytes) from the rewritten text to the original."""

    def __init__(self, plan: Plan) -> None:
        self.lines: dict[int, tuple[_Spans, list[int]]] = {}
        starts = plan.lines.starts
        for line, edits in plan.columns().items():
            spans: _Spans = []
            base = starts[line - 1]
            shift = 0
            for start, stop, text in edits:
                to_start = len(plan.source[base : base + start].encode())
                to_end = to_start + len(plan.source[base + start : base + stop].encode())
                from_start = to_start + shift
                from_end = from_start + len(text.encode())
                spans.append((from_start, from_end, to_start, to_end))
                shift = from_end - to_end
            self.lines[line] = spans, [span[1] for span in spans]

    def start(self, line: int, col: int) -> int:
        """Map the column at which something starts."""
        return self._map(line, col, end=False)

    def end(self, line: int, col: int) -> int:
        """Map the column at which something ends."""
        return self._map(line, col, end=True)

    def _map(self, line: int, col: int, *, end: bool) -> int:
        found = self.lines.get(line)
        if found is None:
            return col
        spans, ends = found
        # Spans that end before the column only shift it, and the last of them by all they do together.
        first = bisect_left(ends, col)
        return map_column(islice(spans, max(first - 1, 0), None), col, end)

    def move(self, node: ast.AST) -> None:
        """Move a node that has a place."""
        lines = self.lines
        line = node.lineno
        if line in lines:
            node.col_offset = self._map(line, node.col_offset, end=False)
        line = node.end_lineno
        if line in lines:
            node.end_col_offset = self._map(line, node.end_col_offset, end=True)


def restore(tree: ast.AST, plan: Plan) -> ast.AST:
    """Move every node of the tree of ``plan.apply()`` to its place in the original; return the tree."""
    lines = LineMap(plan)
    changed, move = lines.lines, lines.move
    added: list[ast.expr] = []
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        kind = type(node)
        if kind in _STRINGS:
            _restore_string(node, lines)
            continue
        values = node.__dict__
        line = values.get("lineno")
        if line is not None and (line in changed or values["end_lineno"] in changed):
            move(node)
            if kind in _ADDED and _is_added(node, plan.door):
                added.append(node)
        _add_children(values, waiting)
    # Inner ones were found after those around them: operands are right when the outer ones need them.
    for node in reversed(added):
        _place_added(node)
    return tree


def _add_children(values: dict[str, object], waiting: list[ast.AST]) -> None:
    """Append the nodes that a node holds. As `ast.iter_child_nodes`, which takes five times as long."""
    for value in values.values():
        kind = type(value)
        if kind in _BARE:
            continue
        if kind is list:
            waiting += [each for each in value if type(each) not in _BARE]
        elif isinstance(value, ast.AST):
            waiting.append(value)


def _with_places(top: ast.AST) -> Iterator[ast.AST]:
    """A node and all in it that have places."""
    waiting = [top]
    while waiting:
        node = waiting.pop()
        values = node.__dict__
        if "lineno" in values:
            yield node
        _add_children(values, waiting)


def _restore_string(string: ast.AST, lines: LineMap) -> None:
    """Move an f-string and all that is in it.

    There are no edits inside f-strings, and before Python 3.12 the columns inside are not exact: all that
    is on the first line moves as the string does; the other lines start inside the string and stay.
    """
    line = string.lineno
    shift = lines.start(line, string.col_offset) - string.col_offset
    for node in ast.walk(string):
        if node is string or not hasattr(node, "lineno"):
            continue
        if node.lineno == line:
            node.col_offset += shift
        if node.end_lineno == line:
            node.end_col_offset += shift
    lines.move(string)


def _is_added(node: ast.AST, door: str) -> bool:
    """Whether the rewriter wrote a call, conditional or `or` that the original does not have."""
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Attribute(value=ast.Name(id=name), attr="op"))):
            return name == door
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="at" | "within" | "held" | "exposed")):
            return name == door
        case ast.IfExp(test=ast.Attribute(value=ast.Name(id=name), attr=flag), body=ast.Call()) if (
            flag in FLAGS
        ):
            return name == door
        case ast.IfExp(test=ast.Name() | ast.Attribute() as test):
            return _is_alert(test) or _is_taping(test, door)
        case ast.IfExp(
            body=ast.Call(func=ast.Attribute(value=ast.Attribute(value=ast.Name(id=name), attr="blocks")))
        ):
            return name == door
        case ast.BoolOp(values=[ast.BoolOp(values=[test, _]), _]):
            return _is_taping(test, door)
        case ast.BoolOp(values=[ast.UnaryOp(operand=ast.BoolOp(values=[ask, ast.Call()])), _]):
            match ask:
                case ast.Attribute(value=ast.Name(id=name), attr=flag) if flag in FLAGS:
                    return name == door
    return False


def _is_alert(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == ALERT


def _is_taping(node: ast.expr, door: str) -> bool:
    match node:
        case ast.Name(id=name):
            return name == taping_of(door)
        case ast.Attribute(value=ast.Name(id=name), attr=flag):
            return f"{name}.{flag}" == taping_of(door)
    return False


def _place_added(node: ast.expr) -> None:
    match node:
        case ast.Call(func=function, args=[operand, *_]):
            _place([function], operand)
        case ast.IfExp(test=ast.BoolOp() as test, body=body, orelse=original):
            _place([test, body], original)
            _place_whole(node, original)
            _place_names(test.values[-1], original)
        case ast.IfExp(test=test, body=copy, orelse=original) if _is_alert(test):
            _place_copy(copy, original)
            _place([test], original)
            _place_whole(node, original)
        case ast.IfExp(
            test=test, body=ast.Call(func=function, args=[*others, copy]) as call, orelse=original
        ):
            for mine, theirs in zip(_with_places(copy), _with_places(original), strict=True):
                _put(mine, _place_of(theirs))
            _put(call, _place_of(original))
            _place([test, function, *others], original)
            _place_whole(node, original)
        case ast.BoolOp(values=[ast.UnaryOp() as ask, test]):
            _place([ask], test, node)
        case ast.BoolOp(values=[ast.BoolOp(values=[test, log]) as both, value]):
            _place([test, log], value, both, node)


def _place_copy(copy: ast.AST, original: ast.AST) -> None:
    """Give a copy with routed operators, and handed to the runtime, the places of the original."""
    if type(copy) is ast.Call and type(copy.func) is ast.Attribute and type(original) is not ast.Call:
        match original:
            case ast.BinOp(left=left, right=right) | ast.Compare(left=left, comparators=[right]):
                operands = [left, right]
            case ast.UnaryOp(operand=operand):
                operands = [operand]
            case _:
                operands = [original]  # __minpy__.at(a)
        for mine, theirs in zip(copy.args, operands, strict=True):
            _place_copy(mine, theirs)
        _put(copy, _place_of(original))
        _place([copy.func], copy.args[0])
        return
    if "lineno" in copy.__dict__:
        _put(copy, _place_of(original))
    for mine, theirs in zip(ast.iter_child_nodes(copy), ast.iter_child_nodes(original), strict=True):
        _place_copy(mine, theirs)


def _place(nodes: list[ast.expr], operand: ast.expr, *single: ast.expr) -> None:
    """Give what runs before `operand`, with all that is in it, and single nodes, the place of the first thing that
    `operand` evaluates.
    """
    first = first_evaluated(operand)
    place = line, column, end_line, _ = _place_of(first)
    if end_line != line:
        # Python moves a call whose function's name spans lines to the last of them.
        place = line, column, line, column
    for top in nodes:
        for node in _with_places(top):
            _put(node, place)
    for node in single:
        _put(node, place)


def _place_whole(node: ast.expr, original: ast.expr) -> None:
    """Give the conditional around `original` a place."""
    if sys.version_info >= (3, 12):
        _put(node, _place_of(original))  # that of what takes its value, such as a ``with``
    else:
        _place([], original, node)  # that of its jumps


_Place = tuple[int, int, "int | None", "int | None"]


def _place_of(node: ast.AST) -> _Place:
    return node.lineno, node.col_offset, node.end_lineno, node.end_col_offset


def _put(node: ast.AST, place: _Place) -> None:
    node.lineno, node.col_offset, node.end_lineno, node.end_col_offset = place


def _place_names(ask: ast.AST, original: ast.expr) -> None:
    """Give the names that a block is asked with their own places, for a name that is not bound."""
    places: dict[str, ast.Name] = {}
    for node in _with_places(original):
        if type(node) is ast.Name and (
            node.id not in places or _place_of(node)[:2] < _place_of(places[node.id])[:2]
        ):
            places[node.id] = node
    for name in ask.args if isinstance(ask, ast.Call) else ():
        place = places.get(name.id) if isinstance(name, ast.Name) else None
        if place is not None and place.lineno == name.lineno:
            _put(name, _place_of(place))


def first_evaluated(node: ast.expr) -> ast.expr:
    """Return the part of an expression whose instructions run first."""
    while True:
        match node:
            case ast.BinOp(left=inner) | ast.Compare(left=inner):
                pass
            case ast.IfExp(test=inner):
                truth = _truth(inner)
                if truth is not None:
                    inner = node.body if truth else node.orelse
            case ast.BoolOp(op=op, values=[inner, *others]):
                # What a constant decides is decided by the compiler.
                while others and _truth(inner) is isinstance(op, ast.And):
                    inner, *others = others
            case ast.UnaryOp(operand=inner) | ast.Call(func=inner):
                pass
            case ast.Attribute(value=inner) | ast.Subscript(value=inner) | ast.Starred(value=inner):
                pass
            case ast.Await(value=inner) | ast.NamedExpr(value=inner) | ast.YieldFrom(value=inner):
                pass
            case ast.JoinedStr(values=[inner, *_]):
                pass
            case ast.FormattedValue(value=inner):
                pass
            case ast.Yield(value=ast.expr() as inner):
                pass
            case ast.Tuple(elts=[inner, *_]) | ast.List(elts=[inner, *_]) | ast.Set(elts=[inner, *_]):
                if isinstance(inner, ast.Starred):
                    return node
            case ast.Dict(keys=[ast.expr() as inner, *_]):
                pass
            case ast.ListComp(generators=[loop, *_]) | ast.SetComp(generators=[loop, *_]):
                if sys.version_info < (3, 12):
                    return node  # a function of its own is made first
                inner = loop.iter
            case ast.DictComp(generators=[loop, *_]):
                if sys.version_info < (3, 12):
                    return node
                inner = loop.iter
            case _:
                return node
        if _is_loaded_whole(node):
            return node
        node = inner


def _truth(node: ast.expr) -> bool | None:
    """Whether a constant expression is true; None if it is not constant."""
    if not _is_loaded_whole(node) or isinstance(node, (ast.List, ast.Set)):
        return None
    try:
        return bool(ast.literal_eval(node))
    except ValueError:
        return None  # constant, but an operation: rare enough


def _is_loaded_whole(node: ast.expr) -> bool:
    """Whether the compiler makes one constant of an expression."""
    match node:
        case ast.Constant():
            return True
        case ast.BinOp(left=left, right=right) | ast.Subscript(value=left, slice=right):
            return _is_loaded_whole(left) and _is_loaded_whole(right)
        case ast.UnaryOp(operand=operand):
            return _is_loaded_whole(operand)
        case ast.Tuple(elts=elements):
            return all(_is_loaded_whole(element) for element in elements)
        case ast.List(elts=elements) | ast.Set(elts=elements):
            return len(elements) > 2 and all(_is_loaded_whole(element) for element in elements)
    return False
