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
from dataclasses import dataclass, field
from typing import Any, ClassVar

import libcst as cst

from minpy.places import BLOCKS, flag_of
from minpy.transform import library
from minpy.transform.catalog import ARRAY_ATTRIBUTES, FUSED, FUSED_HEAVY
from minpy.transform.loops import LoopWalk
from minpy.transform.names import Point, Scope, is_builtin, is_no_array, normalized, resolve
from minpy.transform.plan import Edit
from minpy.transform.routing import BINARY, COMPARE, UNARY

_REASON = "an array expression may run as one piece"
_MAX_OPERATIONS, _MAX_NAMES = 60, 24
_MAX_TEXT = 1500  # characters of a call
_NOT_BLOCKS = (cst.MatrixMultiply,)


class _No(Exception):
    """Not an expression of the kind."""


@dataclass
class _Called:
    """A function in a block that must turn out to be NumPy's, `math`'s or the built-in ``abs``."""

    name: str
    attributes: tuple[str, ...]
    offset: int


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
    called: list[_Called]
    evidence: set[
        str
    ]  # names, or ".attribute", of which one must stand for an array; empty: it is one anyway
    last: int = 0
    base: _Called | None = None  # of a library call: must turn out to be
    function: str = ""  # this function of NumPy's,
    method: Block | None = None  # or else no library at all: then it is a method


class _End:
    """The end of a `Block` among the items."""


@dataclass
class _Bound:
    """``name = value``: the name stands for an array if the value is one."""

    scope: Scope
    point: Point
    name: str
    parts: set[str] = field(default_factory=set)
    calls: list[_Called] = field(default_factory=list)


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
        self._fusing = blocks != "off" and not operators
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
            if isinstance(target, cst.Subscript) and _key_of(target) is None:
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
        elif (key := _key_of(node)) is not None:
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
        elif (key := _key_of(target)) is not None:
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
        elif (key := _key_of(node)) is not None:
            bound.parts.add(f".{key}")
        elif isinstance(node, cst.Subscript):
            if any(isinstance(each.slice, cst.Slice) for each in node.slice):
                bound.parts.add("")
        elif isinstance(node, cst.Call):
            found = self._callee(node)
            if found is not None:
                bound.calls.append(found)

    def _callee(self, node: cst.Call) -> _Called | None:
        attributes: list[str] = []
        function = node.func
        while isinstance(function, cst.Attribute):
            attributes.append(function.attr.value)
            function = function.value
        if not isinstance(function, cst.Name):
            return None
        return _Called(function.value, tuple(reversed(attributes)), self.spans.start(function))

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

    def _path(self, scope: Scope, point: Point, call: _Called) -> str | None:
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

        called = self._callee(node)

        def block(make: Callable[..., library.Reading], *arguments: Any, name: str = "") -> Block | None:
            try:
                reading = make(*arguments, node, lambda: _Reader(self))
            except (library.NotOne, _No, RecursionError):
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

    def _block(self, node: cst.BaseExpression) -> Block | None:
        if isinstance(node, cst.Call):
            call = self._library(node)
            if call is not None:
                return call
        reader = _Reader(self)
        try:
            text = reader.read(node)
            target, symbol = self._stores.get(id(node), (None, ""))
            if target is not None:
                try:
                    text = f"{reader.target(target, symbol)}{symbol}{text}"
                    reader.operations += 1
                except _No:
                    pass
        except (_No, RecursionError):
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
        super()._finish(resolved, door)

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


class _Reader:
    """Reads an expression and writes it in terms of ``v0``, ``v1`` …; raises `_No` if it is not of the kind."""

    def __init__(self, walk: BlockWalk) -> None:
        self.walk = walk
        self.names: dict[str, str] = {}
        self.operations = 0
        self.heavy = False
        self.called: list[_Called] = []
        self.evidence: set[str] = set()

    def read(self, node: cst.BaseExpression) -> str:
        """An array expression."""
        if isinstance(node, cst.BinaryOperation):
            found = BINARY.get(type(node.operator))
            if found is None or isinstance(node.operator, _NOT_BLOCKS):
                raise _No
            self.operations += 1
            self.heavy = self.heavy or isinstance(node.operator, cst.Power)
            return f"({self.read(node.left)}{found[0]}{self.read(node.right)})"
        if isinstance(node, cst.UnaryOperation):
            found = UNARY.get(type(node.operator))
            if found is None:
                raise _No
            if isinstance(node.expression, cst.BaseNumber):
                return f"({found[0]}{self._number(node.expression)})"
            self.operations += 1
            return f"({found[0]}{self.read(node.expression)})"
        if isinstance(node, cst.Comparison):
            if len(node.comparisons) != 1:
                raise _No
            operator = node.comparisons[0].operator
            found = COMPARE.get(type(operator))
            if found is None or (isinstance(operator, cst.NotEqual) and operator.value != "!="):
                raise _No
            self.operations += 1
            return f"({self.read(node.left)}{found[0]}{self.read(node.comparisons[0].comparator)})"
        if isinstance(node, cst.Call):
            return self._function(node)
        return self._leaf(node)

    def _function(self, node: cst.Call) -> str:
        called = self.walk._callee(node)
        if called is None or not 1 <= len(node.args) <= 3:
            raise _No
        name = called.attributes[-1] if called.attributes else called.name
        if name == "roll":
            return self._roll(node, called)
        if any(each.star or each.keyword is not None for each in node.args):
            raise _No
        path = name
        if name not in FUSED and name != "abs":
            # `from numpy import tanh as th`: known only when all names are; too rare to be worth it.
            raise _No
        if len(node.args) != FUSED.get(name, 1):
            raise _No
        self.called.append(called)
        self.operations += 1
        self.heavy = self.heavy or name in FUSED_HEAVY
        return f"{path}({','.join(self.read(each.value) for each in node.args)})"

    def _roll(self, node: cst.Call, called: _Called) -> str:
        """``np.roll`` of an array that there is, by whole numbers."""
        given: dict[str, cst.BaseExpression] = {}
        for place, each in enumerate(node.args):
            word = each.keyword.value if each.keyword is not None else ("a", "shift", "axis")[place]
            if each.star or word not in ("a", "shift", "axis") or word in given:
                raise _No
            given[word] = each.value
        if "a" not in given or "shift" not in given:
            raise _No
        array = given["a"]
        if isinstance(array, cst.Call):
            inner = self.walk._callee(array)
            if inner is None or (inner.attributes or (inner.name,))[-1] != "roll":
                raise _No
            text = self._roll(array, inner)
        elif isinstance(array, (cst.Name, cst.Attribute, cst.Subscript)):
            text = self._leaf(array)
        else:
            raise _No
        if not text.startswith(("v", "roll(")):
            raise _No  # what the same run has computed
        lengths = [self._index(given[word]) for word in ("shift", "axis") if word in given]
        if "None" in lengths or "(...)" in lengths or "..." in lengths:
            raise _No
        self.called.append(called)
        self.operations += 1
        return f"roll({text},{','.join(lengths)})"

    def _leaf(self, node: cst.BaseExpression) -> str:
        if isinstance(node, cst.BaseNumber):
            return self._number(node)
        if isinstance(node, cst.Name):
            self.evidence.add(normalized(node.value))
            return self._name(node)
        if isinstance(node, cst.Attribute):
            self.evidence.add(f".{node.attr.value}")
            return self._chain(node)
        if isinstance(node, cst.Subscript):
            return self._subscript(node)
        raise _No

    def target(self, node: cst.BaseExpression, symbol: str) -> str:
        """What is stored into, or changed."""
        if isinstance(node, cst.Subscript) and _key_of(node) is None:
            if isinstance(node.value, cst.Subscript) and _key_of(node.value) is None:
                raise _No  # brackets behind brackets
            return self._subscript(node)
        if isinstance(node, cst.Name) or symbol != "=":
            return self._leaf(node)
        raise _No  # what is there is replaced, not written into

    def _number(self, node: cst.BaseExpression) -> str:
        text = self.walk.text[self.walk.spans.start(node) : self.walk.spans.end(node)]
        # "1.T" and the like: a number is followed by an operator, never by a dot.
        return f"({text})" if text.endswith(".") else text

    def _name(self, node: cst.Name) -> str:
        if node.value in ("True", "False", "None", "__debug__"):
            raise _No
        return self.names.setdefault(node.value, f"v{len(self.names)}")

    def _chain(self, node: cst.BaseExpression) -> str:
        if isinstance(node, cst.Attribute):
            if node.attr.value.startswith("__"):
                raise _No  # mangled in classes
            return f"{self._chain(node.value)}.{node.attr.value}"
        if isinstance(node, cst.Name):
            return self._name(node)
        key = _key_of(node)
        if key is not None:
            return f"{self._chain(node.value)}[{key!r}]"
        raise _No

    def _subscript(self, node: cst.Subscript) -> str:
        key = _key_of(node)
        if key is not None:
            self.evidence.add(f".{key}")
            return self._chain(node)
        inner = node.value
        if isinstance(inner, cst.Subscript) and _key_of(inner) is None:
            base = self._subscript(inner)
        else:
            base = self._chain(inner)
        parts = []
        for each in node.slice:
            part = each.slice
            if isinstance(part, cst.Slice):
                self.evidence.add("")
                step = self._index(part.step)
                text = f"{self._index(part.lower)}:{self._index(part.upper)}"
                parts.append(f"{text}:{step}" if step else text)
            elif isinstance(part, cst.Index) and part.star is None:
                parts.append(self._index(part.value))
            else:
                raise _No
        last = node.slice[-1]
        comma = "," if len(parts) == 1 and isinstance(last.comma, cst.Comma) else ""
        return f"{base}[{','.join(parts)}{comma}]"

    def _index(self, node: cst.BaseExpression | None) -> str:
        """What stands in a subscript: whole numbers, names of them, sums of these."""
        if node is None:
            return ""
        if isinstance(node, (cst.Integer, cst.Ellipsis)):
            return self._number(node)
        if isinstance(node, cst.Name):
            return "None" if node.value == "None" else self._name(node)
        if isinstance(node, cst.Attribute):
            return self._chain(node)
        if isinstance(node, cst.UnaryOperation) and isinstance(node.operator, cst.Minus):
            return f"(-{self._index(node.expression)})"
        if isinstance(node, cst.BinaryOperation) and isinstance(
            node.operator, (cst.Add, cst.Subtract, cst.Multiply, cst.FloorDivide)
        ):
            symbol = BINARY[type(node.operator)][0]
            return f"({self._index(node.left)}{symbol}{self._index(node.right)})"
        raise _No


def _key_of(node: cst.BaseExpression) -> str | None:
    """The text in the brackets, if that is all that they hold: an item of a dictionary."""
    if not isinstance(node, cst.Subscript) or len(node.slice) != 1:
        return None
    only = node.slice[0]
    if not isinstance(only.slice, cst.Index) or isinstance(only.comma, cst.Comma):
        return None
    value = only.slice.value
    if not isinstance(value, cst.SimpleString):
        return None
    key = value.evaluated_value
    return key if isinstance(key, str) else None


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
