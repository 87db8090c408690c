"""Which values of a function's variables are certainly read by nobody after some statements.

Decided by where names stand in the text: a value dies if every other read of its variable comes after another
assignment that control must pass on the way. What looks at variables by other means (`locals`, closures, generators)
keeps all values alive.
"""

from __future__ import annotations

import libcst as cst

from minpy.records import dataclass
from minpy.transform.names import normalized
from minpy.transform.syntax import Spans, child_fields

_LOOKING = frozenset(
    "locals eval exec vars dir globals _getframe currentframe stack trace breakpoint set_trace settrace getargvalues "
    "f_locals".split()
)
_OF_THEIR_OWN = (
    cst.FunctionDef, cst.Lambda, cst.ClassDef, cst.ListComp, cst.SetComp, cst.DictComp, cst.GeneratorExp,
)  # fmt: skip
_SUITES = (cst.IndentedBlock, cst.SimpleStatementSuite)


@dataclass(frozen=True)
class _Place:
    """Where something stands: its span, and the suites around it, each with the number of the statement in it."""

    start: int
    end: int
    path: tuple[tuple[int, int], ...]
    loops: tuple[tuple[int, int], ...]  # the spans of the loops around it, the outermost first


class Lifetimes:
    """The reads and assignments of a function's variables."""

    def __init__(self, function: cst.FunctionDef, spans: Spans) -> None:
        self._spans = spans
        self._reads: dict[str, list[_Place]] = {}
        self._assignments: dict[str, list[_Place]] = {}
        self._captured: set[str] = set()
        self._watched = False  # somebody may look at all variables
        self.parameters = {
            normalized(each.name.value)
            for each in (
                *function.params.params, *function.params.kwonly_params, *function.params.posonly_params,
                function.params.star_arg, function.params.star_kwarg,
            )
            if isinstance(each, cst.Param)
        }  # fmt: skip
        self._path: list[tuple[int, int]] = []
        self._loops: list[tuple[int, int]] = []
        self._suite(function.body)

    def is_dead(self, name: str, start: int, end: int, assigned: int) -> bool:
        """Whether what a variable holds after the statements between `start` and `end` is read by nobody.

        `assigned` is where it was assigned to, for the first time there; until `end` it may be read.
        """
        if self._watched or name in self._captured:
            return False
        run = self._around(start)
        for read in self._reads.get(name, ()):
            if start <= read.start < end:
                if read.start < assigned:
                    return False  # of an earlier round
                continue
            if not any(
                self._comes_between(each, start, end, run, read)
                for each in self._assignments.get(name, ())
                if not start <= each.start < end
            ):
                return False
        return True

    def is_bound(self, name: str, start: int) -> bool:
        """Whether a variable certainly has a value where a statement starts."""
        if name in self._captured or self._watched:
            return False
        if name in self.parameters:
            return True
        path = self._path_at(start)
        return any(self._dominates(each, path, start) for each in self._assignments.get(name, ()))

    def is_local(self, name: str) -> bool:
        """Whether a name is assigned to in the function, or is a parameter."""
        return name in self.parameters or name in self._assignments

    @staticmethod
    def _dominates(each: _Place, path: tuple[tuple[int, int], ...], start: int) -> bool:
        if each.end > start or not each.path:
            return False
        suite, number = each.path[-1]
        return any(suite == other and number < later for other, later in path)

    def _comes_between(
        self, each: _Place, start: int, end: int, loops: tuple[tuple[int, int], ...], read: _Place
    ) -> bool:
        if not self._dominates(each, read.path, read.start):
            return False
        if end <= each.start:
            return True
        if start < read.start:
            return False
        # The read comes in the next round of a loop around both: the assignment must be in that loop, too.
        common = [loop for loop in loops if loop in read.loops]
        return bool(common) and common[-1] in each.loops

    def _around(self, start: int) -> tuple[tuple[int, int], ...]:
        return self._known[start].loops if start in self._known else ()

    def _path_at(self, start: int) -> tuple[tuple[int, int], ...]:
        return self._known[start].path if start in self._known else ()

    # The walk.

    @property
    def _known(self) -> dict[int, _Place]:
        return self.__dict__.setdefault("_statements", {})

    def _place(self, node: cst.CSTNode) -> _Place:
        return _Place(self._spans.start(node), self._spans.end(node), tuple(self._path), tuple(self._loops))

    def _suite(self, suite: cst.CSTNode) -> None:
        number = 0
        for line in suite.body:  # type: ignore[attr-defined]
            parts = line.body if isinstance(line, cst.SimpleStatementLine) else [line]
            for each in parts:
                self._path.append((id(suite), number))
                self._known[self._spans.start(each)] = self._place(each)
                self._statement(each)
                self._path.pop()
                number += 1

    def _statement(self, node: cst.CSTNode) -> None:
        if isinstance(node, cst.Assign):
            self._visit(node.value)
            for each in node.targets:
                self._target(each.target, self._place(node))
        elif isinstance(node, (cst.For, cst.While)):
            if isinstance(node, cst.For):
                self._visit(node.iter)
            self._loops.append((self._spans.start(node), self._spans.end(node)))
            if isinstance(node, cst.For):
                # At the beginning of each round: as if by a statement in front of the first one.
                self._path.append((id(node.body), -1))
                place = self._place(node.target)
                self._path.pop()
                self._target(node.target, place)
            else:
                self._visit(node.test)
            self._suite(node.body)
            self._loops.pop()
            if node.orelse is not None:
                self._suite(node.orelse.body)
        else:
            self._visit(node)

    def _target(self, node: cst.CSTNode, place: _Place) -> None:
        if isinstance(node, cst.Name):
            self._assignments.setdefault(normalized(node.value), []).append(place)
        elif isinstance(node, (cst.Tuple, cst.List)):
            for each in node.elements:
                self._target(each.value, place)
        else:
            self._visit(node)

    def _visit(self, node: object) -> None:
        if isinstance(node, _OF_THEIR_OWN):
            self._capture(node)
        elif isinstance(node, cst.Name):
            name = normalized(node.value)
            self._watched = self._watched or name in _LOOKING
            self._reads.setdefault(name, []).append(self._place(node))
        elif isinstance(node, _SUITES):
            self._suite(node)
        elif isinstance(node, cst.CSTNode):
            if isinstance(node, (cst.Yield, cst.Await, cst.NamedExpr, cst.Match)):
                self._watched = True
            if isinstance(node, (cst.Global, cst.Nonlocal, cst.Del, cst.Import, cst.ImportFrom, cst.AsName)):
                self._capture(node)
            for name in child_fields(type(node)):
                value = getattr(node, name)
                for each in value if isinstance(value, (list, tuple)) else (value,):
                    if isinstance(each, (cst.For, cst.While, cst.Assign)):
                        self._statement(each)
                    else:
                        self._visit(each)

    def _capture(self, node: object) -> None:
        """All names in it are seen from elsewhere, or may be."""
        if isinstance(node, cst.Name):
            self._captured.add(normalized(node.value))
            self._watched = self._watched or node.value in _LOOKING
        elif isinstance(node, cst.CSTNode):
            for name in child_fields(type(node)):
                value = getattr(node, name)
                for each in value if isinstance(value, (list, tuple)) else (value,):
                    self._capture(each)
