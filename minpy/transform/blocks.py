"""Array expressions that may be worth running as one piece: the edits that give them a site (see `minpy.runtime.fuse`).

::

    c = np.tanh(a * b + a)      c = (__minpy__.blocks.take() if __minpy__.w1b and __minpy__.blocks.t7_1_1a2b3c4d and
                                     __minpy__.blocks.b7_1_1a2b3c4d('tanh(v0*v1+v0)', a, b) else np.tanh(a * b + a))

(on one line, of course). ``w1b`` is a flag (see `minpy.places`). The name says the line, a number in the module, and a
digest of its text. The string is the block: what it computes, of the names that follow. What is handed over are names
only, so whoever stands behind the site may say no at any point, and the expression runs as written. Decided by syntax
alone; arrays are seen when it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import Any, ClassVar

import libcst as cst

from minpy.places import BLOCKS, flag_of
from minpy.records import dataclass
from minpy.transform import library
from minpy.transform.catalog import ARRAY_ATTRIBUTES, FUSED
from minpy.transform.loops import LoopWalk
from minpy.transform.names import Point, Scope, is_builtin, is_no_array, normalized, resolve
from minpy.transform.plan import Edit
from minpy.transform.reading import Called, No, Reader, key_of

_REASON = "an array expression may run as one piece"
_MAX_OPERATIONS, _MAX_NAMES = 60, 24
_MAX_TEXT = 1500  # characters of a call


@dataclass
class Block:
    """An expression that may get a site; `text` is what it computes, of `names`."""

    scope: Scope
    point: Point
    start: int
    end: int
    line: int
    text: str
    names: dict[str, str]
    operations: int
    heavy: bool
    called: list[Called]
    evidence: set[
        str
    ]  # names, or ".attribute", of which one must stand for an array; empty: it is one anyway
    last: int = 0
    base: Called | None = None  # of a library call: must turn out to be
    function: str = ""  # this function of NumPy's,
    method: Block | None = None  # or else no library at all: then it is a method


class _End:
    """The end of a `Block` among the items."""


@dataclass
class Asked:
    """A call that may get a site whose operand has no name: a function in place of NumPy's (see `fuse.asked`)."""

    scope: Scope
    point: Point
    start: int
    end: int  # of the function
    line: int
    text: str
    base: Called
    function: str


@dataclass
class _Bound:
    """``name = value``: the name stands for an array if the value is one."""

    scope: Scope
    point: Point
    name: str
    parts: set[str] = field(default_factory=set)
    calls: list[Called] = field(default_factory=list)


class BlockWalk(LoopWalk):
    """The walk that finds blocks as well."""

    methods: ClassVar[dict[type, Callable[[Any, Any], None]]] = dict(LoopWalk.methods)

    def __init__(
        self,
        module: cst.Module,
        text: str,
        *,
        operators: bool,
        loops: bool = False,
        blocks: str = "off",
        original: str = "",
    ) -> None:
        super().__init__(module, text, operators=operators, loops=loops, original=original)
        self._fusing = blocks != "off"
        self._everything = self._fusing and blocks != "auto"
        self._in_block = False
        # By the value's id: what it is assigned to, and how.
        self._stores: dict[int, tuple[cst.BaseExpression, str]] = {}
        self._bound: list[_Bound] = []
        self._arrays: set[tuple[Scope | None, str]] = set()

    # What is walked over.

    def _expression(self, node: Any, walk: Callable[[Any, Any], None]) -> None:
        if not self._fusing or self._in_block or self._excuse:
            walk(self, node)
            return
        block = self._block(node)
        if block is None:
            if isinstance(node, cst.Call):
                self._note_asked(node)
            walk(self, node)
            return
        self.items.append(block)
        self._in_block = True
        walk(self, node)
        self._in_block = False
        block.last = len(self.items)
        self.items.append(_End())

    def _binary(self, node: cst.BinaryOperation) -> None:
        self._expression(node, LoopWalk.methods[cst.BinaryOperation])

    def _unary(self, node: cst.UnaryOperation) -> None:
        self._expression(node, LoopWalk.methods[cst.UnaryOperation])

    def _call(self, node: cst.Call) -> None:
        self._expression(node, LoopWalk.methods[cst.Call])

    def _comparison(self, node: cst.Comparison) -> None:
        self._expression(node, LoopWalk.methods[cst.Comparison])

    def _condition(self, node: cst.CSTNode) -> None:
        # What decides a jump itself gets no site: the jumps of a conditional would have the place of the statement.
        method = LoopWalk.methods.get(type(node))
        if isinstance(node, (cst.Call, cst.BinaryOperation)) and method is not None:
            self._decides = node
            method(self, node)
        else:
            super()._condition(node)

    def _decorator(self, node: cst.Decorator) -> None:
        # Python calls its value at the place of the whole expression, which a conditional has not.
        outer, self._in_block = self._in_block, True
        self._visit(node.decorator)
        self._in_block = outer

    def _assign(self, node: cst.Assign) -> None:
        if self._fusing and len(node.targets) == 1:
            target = node.targets[0].target
            if isinstance(target, cst.Subscript) and key_of(target) is None:
                self._stores[id(node.value)] = target, "="
            else:
                self._note_bound(target, node.value)
        super()._assign(node)

    def _augmented_assign(self, node: cst.AugAssign) -> None:
        if self._fusing and isinstance(node.target, (cst.Name, cst.Subscript, cst.Attribute)):
            symbol = self.text[self.spans.start(node.operator) : self.spans.end(node.operator)].strip()
            if symbol != "@=":
                self._stores[id(node.value)] = node.target, symbol
        super()._augmented_assign(node)

    def _subscript(self, node: cst.Subscript) -> None:
        if self._fusing and any(isinstance(each.slice, cst.Slice) for each in node.slice):
            self._note_array(node.value)
        self._visit(node.value)
        self._visit_all(node.slice)

    def _attribute(self, node: cst.Attribute) -> None:
        if self._fusing and node.attr.value in ARRAY_ATTRIBUTES:
            self._note_array(node.value)
        super()._attribute(node)

    # What stands for arrays.

    def _note_array(self, node: cst.BaseExpression) -> None:
        if isinstance(node, cst.Name):
            self._arrays.add((self._owner(self.scope, node.value), normalized(node.value)))
        elif isinstance(node, cst.Attribute):
            self._arrays.add((None, f".{node.attr.value}"))
        elif (key := key_of(node)) is not None:
            self._arrays.add((None, f".{key}"))

    @staticmethod
    def _owner(scope: Scope, name: str) -> Scope:
        """The scope of a name, as far as is known: functions see their own, the module has the rest."""
        return scope.module() if scope.outer.get(normalized(name)) == "global" else scope

    def _note_bound(self, target: cst.BaseExpression, value: cst.BaseExpression) -> None:
        if isinstance(target, cst.Name):
            name = normalized(target.value)
        elif isinstance(target, cst.Attribute):
            name = f".{target.attr.value}"
        elif (key := key_of(target)) is not None:
            name = f".{key}"
        elif isinstance(target, cst.Tuple):
            mates = value.elements if isinstance(value, cst.Tuple) else []
            for i, element in enumerate(target.elements):
                mate = mates[i].value if len(mates) == len(target.elements) else value
                if not isinstance(element.value, cst.Tuple):
                    self._note_bound(element.value, mate)
            return
        else:
            return
        bound = _Bound(self.scope, Point(self.block, self.spans.start(value)), name)
        self._parts(value, bound, 0)
        self._bound.append(bound)

    def _parts(self, node: cst.BaseExpression, bound: _Bound, depth: int) -> None:
        """Note what an array-like value would be made of."""
        if depth > 40:
            return
        if isinstance(node, cst.Name):
            bound.parts.add(normalized(node.value))
        elif isinstance(node, cst.Attribute):
            bound.parts.add(f".{node.attr.value}")
        elif isinstance(node, cst.BinaryOperation):
            self._parts(node.left, bound, depth + 1)
            self._parts(node.right, bound, depth + 1)
        elif isinstance(node, cst.UnaryOperation):
            self._parts(node.expression, bound, depth + 1)
        elif (key := key_of(node)) is not None:
            bound.parts.add(f".{key}")
        elif isinstance(node, cst.Subscript):
            if any(isinstance(each.slice, cst.Slice) for each in node.slice):
                bound.parts.add("")
        elif isinstance(node, cst.Call):
            found = self.callee(node)
            if found is not None:
                bound.calls.append(found)

    def callee(self, node: cst.Call) -> Called | None:
        attributes: list[str] = []
        function = node.func
        while isinstance(function, cst.Attribute):
            attributes.append(function.attr.value)
            function = function.value
        if not isinstance(function, cst.Name):
            return None
        return Called(function.value, tuple(reversed(attributes)), self.spans.start(function))

    def _settle_arrays(self) -> None:
        """Follow assignments until nothing more is known to be an array."""
        open_ones = self._bound
        while open_ones:
            rest = []
            for bound in open_ones:
                if (
                    "" in bound.parts
                    or any(self._is_array(bound.scope, bound.point, part) for part in bound.parts)
                    or any(self._path(bound.scope, bound.point, call) for call in bound.calls)
                ):
                    owner = None if bound.name[0] == "." else self._owner(bound.scope, bound.name)
                    self._arrays.add((owner, bound.name))
                else:
                    rest.append(bound)
            if len(rest) == len(open_ones):
                return
            open_ones = rest

    def _is_array(self, scope: Scope, point: Point, name: str) -> bool:
        if name[0] == ".":
            return (None, name) in self._arrays
        for owner, _, _ in scope.chain(name, point):
            if name in owner.bindings and name not in owner.outer:
                return (owner, name) in self._arrays and not is_no_array(scope, name, point)
        return False

    def _path(self, scope: Scope, point: Point, call: Called) -> str | None:
        """NumPy's (not `math`'s) function behind a name, as its path; None if it is something else."""
        base = resolve(scope, call.name, Point(point.block, call.offset))
        if base is None or base.startswith(":"):
            return None
        return ".".join(part for part in (base, *call.attributes) if part)

    # From an expression to a block.

    def _library(self, node: cst.Call) -> Block | None:
        """A call of a library function, or of a method, as which it stands behind it if both are possible."""
        start, end = self.spans.start(node), self.spans.end(node)
        line, _ = self._lines.line_col(start)

        called = self.callee(node)

        def block(make: Callable[..., library.Reading], *arguments: Any, name: str = "") -> Block | None:
            try:
                reading = make(*arguments, node, lambda: Reader(self))
            except (library.NotOne, No, RecursionError):
                return None
            if not 0 < len(reading.names) <= _MAX_NAMES or len(reading.text) > _MAX_TEXT:
                return None
            return Block(
                self.scope, Point(self.block, start), start, end, line, reading.text, reading.names,
                1, True, reading.called, reading.evidence, base=called, function=name,
            )  # fmt: skip

        found = None
        if called is not None:
            path = (called.name, *called.attributes)
            for name in (".".join(path[-2:]), path[-1]):
                found = found or block(library.function, name, name=name)
        method = block(library.method) if isinstance(node.func, cst.Attribute) else None
        if found is None:
            return method
        found.method = method
        return found

    def _note_asked(self, node: cst.Call) -> None:
        called = self.callee(node)
        if called is None:
            return
        name = (called.name, *called.attributes)[-1]
        start, end = self.spans.start(node.func), self.spans.end(node.func)
        if "\n" in self.text[start:end] or "\r" in self.text[start:end]:
            return
        try:
            text = library.computed(name, node, lambda: Reader(self))
        except (library.NotOne, No, RecursionError):
            return
        line, _ = self._lines.line_col(start)
        self.items.append(Asked(self.scope, Point(self.block, start), start, end, line, text, called, name))

    def _block(self, node: cst.BaseExpression) -> Block | None:
        if isinstance(node, cst.Call):
            call = self._library(node)
            if call is not None:
                return call
        reader = Reader(self)
        try:
            text = reader.read(node)
            target, symbol = self._stores.get(id(node), (None, ""))
            if target is not None:
                try:
                    text = f"{reader.target(target, symbol)}{symbol}{text}"
                    reader.operations += 1
                except No:
                    pass
        except (No, RecursionError):
            return None
        if reader.operations > _MAX_OPERATIONS or len(reader.names) > _MAX_NAMES or not reader.names:
            return None
        if reader.operations < 2 and not reader.heavy:
            return None
        start, end = self.spans.start(node), self.spans.end(node)
        line, _ = self._lines.line_col(start)
        return Block(
            self.scope, Point(self.block, start), start, end, line, text, reader.names,
            reader.operations, reader.heavy, reader.called, reader.evidence,
        )  # fmt: skip

    def _finish(self, resolved: list[list[Edit]], door: str) -> None:
        if self._fusing and self.imports_numpy:
            self._settle_arrays()
            number, digest = 0, self._digest()
            for i, item in enumerate(self.items):
                if isinstance(item, Block) and self._holds(item):
                    number += 1
                    flag, name = flag_of(BLOCKS, number, digest), f"{item.line}_{number}_{digest}"
                    opening, closing = self._pieces_of(item, name, flag, door)
                    resolved[i] = [Edit(item.start, item.start, opening, _REASON)]
                    resolved[item.last] = [Edit(item.end, item.end, closing, _REASON)]
                elif isinstance(item, Asked) and self._is_asked(item):
                    number += 1
                    flag, name = flag_of(BLOCKS, number, digest), f"{item.line}_{number}_{digest}"
                    blocks = f"{door}.blocks"
                    opening = f"({blocks}.c{name}({item.text!r}) if {door}.{flag} and {blocks}.t{name} else "
                    resolved[i] = [
                        Edit(item.start, item.start, opening, _REASON),
                        Edit(item.end, item.end, ")", _REASON),
                    ]
        super()._finish(resolved, door)

    def _is_asked(self, item: Asked) -> bool:
        base = resolve(item.scope, item.base.name, Point(item.point.block, item.base.offset))
        return (
            base is not None
            and ".".join(part for part in (base, *item.base.attributes) if part) == item.function
        )

    def _holds(self, item: Block) -> bool:
        if item.base is not None:
            base = resolve(item.scope, item.base.name, Point(item.point.block, item.base.offset))
            if base is not None:
                if ".".join(part for part in (base, *item.base.attributes) if part) != (item.function or " "):
                    return False
                item.evidence.add("")
            elif item.function:
                if item.method is None:
                    return False
                item.text, item.names = item.method.text, item.method.names
                item.called, item.evidence = item.method.called, item.method.evidence
        sure = self._everything or "" in item.evidence
        for call in item.called:
            base = resolve(item.scope, call.name, Point(item.point.block, call.offset))
            if base is None:
                if call.name != "abs" or call.attributes or not is_builtin(item.scope, "abs", item.point):
                    return False
            else:
                # Not `math.sqrt`: that is of a number, and NumPy's function of that name is another one.
                path = ".".join(part for part in (base, *call.attributes) if part)
                if path not in FUSED and path != "roll":
                    return False
                sure = True
        return sure or any(self._is_array(item.scope, item.point, name) for name in item.evidence if name)

    @staticmethod
    def _pieces_of(item: Block, name: str, flag: str, door: str) -> tuple[str, str]:
        arguments = ", ".join([repr(item.text), *item.names])
        blocks = f"{door}.blocks"
        asked = f"{door}.{flag} and {blocks}.t{name} and {blocks}.b{name}({arguments})"
        return f"({blocks}.take() if {asked} else ", ")"


BlockWalk.methods |= {
    cst.BinaryOperation: BlockWalk._binary,
    cst.UnaryOperation: BlockWalk._unary,
    cst.Call: BlockWalk._call,
    cst.Comparison: BlockWalk._comparison,
    cst.Assign: BlockWalk._assign,
    cst.AugAssign: BlockWalk._augmented_assign,
    cst.Decorator: BlockWalk._decorator,
    cst.Subscript: BlockWalk._subscript,
    cst.Attribute: BlockWalk._attribute,
}
