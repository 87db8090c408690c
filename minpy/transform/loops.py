"""Loops that may be worth compiling: the edits that give them a site (see `minpy.runtime.jit.sites`).

::

    for i in range(n):      for i in (__minpy__.loops.nest_range_12_1a2b3c4d if __minpy__.l20 else range)(n):
    for b in data:          for b in (__minpy__.loops.loop_iter_30_1a2b3c4d(data) if __minpy__.l32 else data):
    while a < b:            while not (__minpy__.l40 and __minpy__.loops.loop_while_44_1a2b3c4d()) and (a < b):

``__minpy__.l20`` is a flag (see `minpy.places`). What stands in a ``while`` says whether the loop is over: it may run
compiled there, and then the condition, which comes next, sees how far it got. It is asked in each round, so inside
other loops that have a site only those get one that hold loops themselves; and none where the condition is constant,
since Python does not come back to the line of such a loop.

Decided by syntax alone; whether such a loop can be compiled, and whether it pays, is seen when it runs.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, ClassVar

import libcst as cst

from minpy.places import LOOPS, flag_of
from minpy.records import dataclass
from minpy.transform.names import Point, Scope, is_builtin
from minpy.transform.plan import Edit, Lines
from minpy.transform.stores import StoreWalk
from minpy.transform.syntax import children, contains, kinds_in

_ITERATORS = frozenset({"range", "enumerate", "zip"})
# What a frame must live through step by step, or what changes its variables behind the scenes.
_NEVER: tuple[type, ...] = (
    cst.Yield,
    cst.Await,
    cst.Try,
    cst.TryStar,
    cst.With,
    cst.FunctionDef,
    cst.ClassDef,
    cst.Lambda,
    cst.Import,
    cst.ImportFrom,
    cst.Del,
    cst.Global,
    cst.Nonlocal,
    cst.NamedExpr,
)
_LOOPS: tuple[type, ...] = (cst.For, cst.While)
# What no loop is compiled with, where each round comes to it; and what may keep a round from an expression.
_ALIEN = (cst.FormattedString, cst.Dict, cst.DictComp, cst.Set, cst.SetComp)
_PERHAPS = (cst.IfExp, cst.BooleanOperation, cst.Comparison, cst.BaseComp)
_REASON = "a loop over numbers may be compiled"


@dataclass
class Loop:
    """A loop that may get a site."""

    scope: Scope
    point: Point
    shape: str
    what: str
    line: int
    start: int
    end: int  # of the built-in's name, of the expression that is looped over, or of the condition
    last: int = 0  # of a ``while``: the item that ends its condition


class _End:
    """The end of a condition among the items."""


class LoopWalk(StoreWalk):
    """The walk that finds loops as well."""

    methods: ClassVar[dict[type, Callable[[Any, Any], None]]] = dict(StoreWalk.methods)

    def __init__(
        self, module: cst.Module, text: str, *, operators: bool, loops: bool = False, original: str = ""
    ) -> None:
        super().__init__(module, text, operators=operators)
        self._wanted = loops
        self._original = original or text
        self._lines = Lines(text)
        self._inside = False  # a loop that got a site
        self._in_class = False  # directly: its variables are in a dictionary of its own

    def _for(self, node: cst.For) -> None:
        outer = self._inside
        if self._wanted and not self._in_class and node.asynchronous is None and not self._excuse:
            self._note_loop(node)
        super()._for(node)
        self._inside = outer

    def _while(self, node: cst.While) -> None:
        outer, count = self._inside, len(self.items)
        if self._wanted and not self._in_class and not self._excuse:
            self._note_while(node)
        noted = self.items[count] if len(self.items) > count else None
        self._condition(node.test)
        if noted is not None:
            noted.last = len(self.items)
            self.items.append(_End())
        self._visit_block(node.body)
        self._visit_block(node.orelse)
        self._inside = outer

    def _note_while(self, node: cst.While) -> None:
        if contains(node.test, _NEVER) or not _varies(node.test):
            return
        inside = kinds_in(node.body)
        if not inside.keys().isdisjoint(_NEVER) or _is_alien(node.body):
            return
        nest = not inside.keys().isdisjoint(_LOOPS)
        if self._inside and not nest:
            return
        shape = "inner" if self._inside else "nest" if nest else "loop"
        start, end = self.spans.start(node.test), self.spans.end(node.test)
        line, _ = self._lines.line_col(self.spans.start(node))
        if line != self._lines.line_col(start)[0]:
            return  # the jumps of a condition are on the line of the statement, which would be visited too often
        self.items.append(Loop(self.scope, Point(self.block, start), shape, "while", line, start, end))
        self._inside = True

    def _function(self, node: cst.FunctionDef) -> None:
        outer, self._inside, self._in_class = (self._inside, self._in_class), False, False
        super()._function(node)
        self._inside, self._in_class = outer

    def _class(self, node: cst.ClassDef) -> None:
        outer, self._in_class = self._in_class, True
        super()._class(node)
        self._in_class = outer

    def _note_loop(self, node: cst.For) -> None:
        if not _is_names(node.target):
            return
        inside = kinds_in(node.body)
        if not inside.keys().isdisjoint(_NEVER) or _is_alien(node.body):
            return
        what, place = "iter", node.iter
        if isinstance(node.iter, cst.Call):
            function = node.iter.func
            if not isinstance(function, cst.Name) or function.value not in _ITERATORS:
                return
            if any(argument.star or argument.keyword is not None for argument in node.iter.args):
                return
            what, place = function.value, function
        elif not isinstance(node.iter, cst.Name):
            return
        nest = not inside.keys().isdisjoint(_LOOPS)
        shape = "inner" if self._inside else "nest" if nest else "loop"
        start, end = self.spans.start(place), self.spans.end(place)
        point = Point(self.block, start)
        line, _ = self._lines.line_col(self.spans.start(node))
        self.items.append(Loop(self.scope, point, shape, what, line, start, end))
        self._inside = True

    def _finish(self, resolved: list[list[Edit]], door: str) -> None:
        super()._finish(resolved, door)
        digest = ""
        for i, item in enumerate(self.items):
            if not isinstance(item, Loop):
                continue
            if item.what not in ("iter", "while") and not is_builtin(item.scope, item.what, item.point):
                continue
            digest = digest or self._digest()
            name = f"{door}.loops.{item.shape}_{item.what}_{item.line}_{digest}"
            flag = f"{door}.{flag_of(LOOPS, item.line, digest)}"
            written = self.text[item.start : item.end]
            if item.what == "while":
                resolved[i] = [Edit(item.start, item.start, f"not ({flag} and {name}()) and (", _REASON)]
                resolved[item.last] = [Edit(item.end, item.end, ")", _REASON)]
            elif item.what == "iter":
                resolved[i] = [
                    Edit(item.start, item.start, f"({name}({written}) if {flag} else ", _REASON),
                    Edit(item.end, item.end, ")", _REASON),
                ]
            else:
                resolved[i] = [Edit(item.start, item.end, f"({name} if {flag} else {written})", _REASON)]

    def _digest(self) -> str:
        # As `minpy.runtime.jit.source.digest` makes it of the file.
        lines = self._original.replace("\r\n", "\n").replace("\r", "\n")
        return f"{zlib.crc32(lines.encode('utf-8', 'surrogatepass')):08x}"


def _is_alien(body: cst.BaseSuite) -> bool:
    """Whether each round of a loop comes to something that is not compiled: the loops inside are then on their own."""
    lines = [body] if isinstance(body, cst.SimpleStatementSuite) else body.body
    return any(
        _holds_alien(each)
        for line in lines
        if not isinstance(line, cst.BaseCompoundStatement)
        for each in line.body
    )


def _holds_alien(node: object) -> bool:
    if isinstance(node, cst.Arg) and node.star:
        return True
    if isinstance(node, _ALIEN):
        return True
    if isinstance(node, (cst.Raise, cst.Assert, *_PERHAPS)) or not isinstance(node, cst.CSTNode):
        return False
    return any(map(_holds_alien, children(node)))


def _varies(node: cst.BaseExpression) -> bool:
    """Whether the compiler cannot know what a condition comes to."""
    if isinstance(node, (cst.Attribute, cst.Call, cst.Subscript)):
        return True
    if isinstance(node, cst.Name):
        return node.value not in ("True", "False", "None", "__debug__")
    return any(isinstance(each, cst.CSTNode) and _varies(each) for each in children(node))


def _is_names(node: cst.CSTNode) -> bool:
    if isinstance(node, (cst.Tuple, cst.List)):
        return all(isinstance(each, cst.Element) and _is_names(each.value) for each in node.elements)
    return isinstance(node, cst.Name)


LoopWalk.methods |= {
    cst.For: LoopWalk._for,
    cst.While: LoopWalk._while,
    cst.FunctionDef: LoopWalk._function,
    cst.ClassDef: LoopWalk._class,
}
