"""What writes into arrays (stores, in-place statements and methods, outputs of calls), and the edits that tell a tape.

::

    a[i] = v            (__minpy__.at(a) if __minpy_taping__ else a)[i] = v
    a.sort()            (__minpy__.at(a) if __minpy_taping__ else a).sort()
    a[i] += v           (__minpy__.within(a) if __minpy_taping__ else a)[i] += v
    o.a += v            (__minpy__.held(o) if __minpy_taping__ else o).a += v
    a += v              a += __minpy_taping__ and __minpy__.before(a) or v
    f(out=a)            f(out=(__minpy__.exposed(a) if __minpy_taping__ else a))

Only one of the two copies runs, so everything is evaluated once, where it was. What must not be written twice
(it spans lines, or holds code of its own) is handed over in any case, ``__minpy__.at(…)``, which gives it
back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import libcst as cst

from minpy.places import ALERT, taping_of
from minpy.records import dataclass
from minpy.transform.catalog import COMPUTING, DISTRIBUTION, IN_PLACE, READING, WRITTEN_ATTRIBUTES
from minpy.transform.emitted import ANYWHERE, ROUTED
from minpy.transform.harmless import DISPLAYS, NEVER, STRINGS, Value, may_be_harmless, pairs, settle
from minpy.transform.names import Binding, Point, Scope, is_builtin, is_no_array
from minpy.transform.plan import Edit
from minpy.transform.routing import CODE, Use, Walk, Whole
from minpy.transform.syntax import contains, dotted_name, kinds_in

# Built-in functions that run no code of the program's that could put something on a tape.
_PURE = frozenset("abs float int len max min ord round".split())
# What stands behind `or` without parentheses.
_TIGHT = (
    cst.Name, cst.Attribute, cst.Subscript, cst.Call, cst.BinaryOperation, cst.BaseNumber, *DISPLAYS,
)  # fmt: skip
# What needs parentheses of its own as an argument, or behind `else`.
_LOOSE = (cst.Yield, cst.NamedExpr, cst.Tuple)

# Up to this length a value is written twice for one jump less.
_SHORT = 24
_OF_THE_DOOR = frozenset("taping at within held exposed before".split())


@dataclass
class Store:
    """An expression that is handed to one of the door's functions while a tape is open."""

    function: str
    scope: Scope
    point: Point
    node: cst.BaseExpression
    start: int
    end: int
    reason: str
    use: Use | None = None  # the call it belongs to: if that is routed, the runtime knows already
    name: str | None = None  # a name that may turn out to stand for no array
    target: str = ""  # of `before`: the name that is augmented
    once: bool = False  # it stands once in any case: the copies of calls in a chain would double each time
    last: int = 0  # the item that ends it


class _End:
    """The end of a `Store` among the items."""


class StoreWalk(Walk):
    """The walk that also collects stores."""

    methods: ClassVar[dict[type, Callable[[Any, Any], None]]] = dict(Walk.methods)

    def __init__(self, module: cst.Module, text: str, *, operators: bool) -> None:
        super().__init__(module, text, operators=operators)
        self._values: list[Value] = []
        # What the text calls the runtime if it was rewritten before: its stores are as they should be.
        self._doors = {ANYWHERE}

    def run(self) -> None:
        """Walk the module."""
        super().run()
        settle(self._values)

    # What is written into.

    def _bind_target(self, node: cst.CSTNode | None) -> None:
        if isinstance(node, cst.Subscript):
            self._hand("at", node.value, "a store into an array must be known to the tape")
            self._visit_all(node.slice)
        elif isinstance(node, cst.Attribute) and node.attr.value in WRITTEN_ATTRIBUTES:
            self._hand(
                "at", node.value, f"assigning .{node.attr.value} of an array must be known to the tape"
            )
        else:
            super()._bind_target(node)

    def _del(self, node: cst.Del) -> None:
        self._delete(node.target)

    def _delete(self, node: cst.CSTNode) -> None:
        if isinstance(node, (cst.Tuple, cst.List)):
            for element in node.elements:
                self._delete(element.value)
        elif isinstance(node, (cst.Subscript, cst.Attribute)):
            self._visit(node)  # deletes an item: no array has any to delete
        else:
            super()._bind_target(node)

    def _assign(self, node: cst.Assign) -> None:
        for each in node.targets:
            self._bind_value(each.target, node.value)
        self._visit(node.value)

    def _annotated_assign(self, node: cst.AnnAssign) -> None:
        if node.value is None and not isinstance(node.target, cst.Name):
            self._visit(node.target)  # evaluated, but nothing is stored
        else:
            self._bind_value(node.target, node.value)
        self._visit(node.annotation)
        self._visit(node.value)

    def _bind_value(self, target: cst.CSTNode, value: cst.CSTNode | None) -> None:
        mates = pairs(target, value)
        if mates:
            for mate in mates:
                self._bind_value(*mate)
            return
        if not isinstance(target, cst.Name):
            self._bind_target(target)
            return
        binding = self.scope.bind(target.value)
        if binding is not None and value is not None:
            self._note_value(binding, value)

    def _note_value(self, binding: Binding, value: cst.CSTNode, augmented: bool = False) -> None:
        if may_be_harmless(value):
            point = Point(self.block, self.spans.start(value))
            self._values.append(Value(binding, augmented, value, self.scope, point))

    def _for(self, node: cst.For) -> None:
        # The values of a range are numbers, and so is what enumerate counts.
        if isinstance(node.iter, cst.Call) and isinstance(node.iter.func, cst.Name):
            function, target = node.iter.func.value, node.target
            rest: Sequence[cst.BaseElement] = ()
            if function == "enumerate" and isinstance(target, (cst.Tuple, cst.List)) and target.elements:
                target, *rest = target.elements
                target = target.value if isinstance(target, cst.Element) else None
            elif function != "range":
                target = None
            if isinstance(target, cst.Name):
                self._visit(node.iter)
                self._bind_value(target, node.iter)
                for element in rest:
                    self._bind_target(element.value if isinstance(element, cst.Element) else element)
                self._visit_block(node.body)
                self._visit_block(node.orelse)
                return
        super()._for(node)

    def _augmented_assign(self, node: cst.AugAssign) -> None:
        target = node.target
        reason = "an augmented assignment may write into an array"
        if isinstance(target, cst.Subscript):
            self._hand("within", target.value, reason)
            self._visit_all(target.slice)
            self._visit(node.value)
        elif isinstance(target, cst.Attribute):
            self._hand("held", target.value, reason)
            self._visit(node.value)
        elif isinstance(target, cst.Name):
            binding = self.scope.bind(target.value)
            if binding is not None:
                # With a number, a number stays one, and a list with a list.
                self._note_value(binding, node.value, augmented=True)
            if isinstance(node.value, STRINGS):
                self._visit(node.value)
            else:
                self._hand("before", node.value, reason, name=target.value)
        else:
            super()._augmented_assign(node)

    def _call(self, node: cst.Call) -> None:
        count = len(self.items)
        self._candidate(node)
        use = self.items[-1] if len(self.items) > count else None
        function = node.func
        called = function.value if isinstance(function, cst.Name) else ""
        if isinstance(function, cst.Attribute):
            called = function.attr.value
            if called in IN_PLACE and (node.args or called != "byteswap"):
                self._hand("at", function.value, f".{called}() writes into an array", use)
            elif called in READING and node.args:
                self._hand("at", function.value, f".{called}() of an array takes another one", use)
            elif called in DISTRIBUTION and node.args:
                self._hand("at", function.value, f".{called}() of a distribution takes arrays", use)
            elif called in COMPUTING and self.operators:
                self._hand("at", function.value, f".{called}() may be array work", use, once=True)
            else:
                self._visit(function)
        else:
            self._visit(function)
        for i, arg in enumerate(node.args):
            if not arg.star and (
                (arg.keyword is not None and arg.keyword.value == "out")
                or (called == "shuffle" and i == 0 and arg.keyword is None)
            ):
                self._hand("exposed", arg.value, "the call writes into an array", use)
            else:
                self._visit(arg)

    def _hand(
        self,
        function: str,
        node: cst.BaseExpression,
        reason: str,
        use: Use | None = None,
        name: str = "",
        once: bool = False,
    ) -> None:
        if (
            self._excuse
            or self._is_emitted(node)
            or (use is not None and use.name in self._doors)
            or (function != "before" and isinstance(node, NEVER))
            or (
                isinstance(node, cst.Name)
                and node.value in ("None", "True", "False")
                and function != "before"
            )
            or (isinstance(node, cst.Call) and isinstance(node.func, cst.Name) and node.func.value == "super")
        ):
            self._visit(node)
            return
        start, end = self.spans.start(node), self.spans.end(node)
        if _owns_parentheses(node):
            start, end = self.spans.start(node.lpar[-1]), self.spans.end(node.rpar[0])
        item = Store(
            function,
            self.scope,
            Point(self.block, start),
            node,
            start,
            end,
            reason,
            use,
            target=name,
            once=once,
        )
        if function == "before":
            item.name = name
        elif function == "at" and isinstance(node, cst.Name):
            item.name = node.value
        self.items.append(item)
        self._visit(node)
        item.last = len(self.items)
        self.items.append(_End())

    def _import_from(self, node: cst.ImportFrom) -> None:
        super()._import_from(node)
        if (
            not node.relative
            and not isinstance(node.names, cst.ImportStar)
            and dotted_name(node.module) == "minpy"
        ):
            for alias in node.names:
                if dotted_name(alias.name) == ROUTED:
                    self._doors.add(alias.asname.name.value if alias.asname is not None else ROUTED)

    def _is_emitted(self, node: cst.BaseExpression) -> bool:
        """Whether an expression is what the edits here make of another."""
        if isinstance(node, cst.IfExp):
            node = node.test
        elif isinstance(node, cst.BooleanOperation) and isinstance(node.left, cst.BooleanOperation):
            node = node.left.left
        elif isinstance(node, cst.Call):
            node = node.func
        if not isinstance(node, cst.Attribute) or node.attr.value not in _OF_THE_DOOR:
            return False
        return self.text[self.spans.start(node.value) : self.spans.end(node.value)] in self._doors

    # The edits.

    def _finish(self, resolved: list[list[Edit]], door: str) -> None:
        if not self.imports_numpy:
            return
        self._drop_numbers(resolved)
        # Inner ones first: a copy is a copy of what they have become.
        for i in reversed(range(len(self.items))):
            item = self.items[i]
            if isinstance(item, Whole):
                self._write_twice(i, item, resolved)
            if not isinstance(item, Store):
                continue
            if item.use is not None and self.replacement(item.use) is not None and not item.use.excuse:
                continue
            if item.name is not None and is_no_array(item.scope, item.name, item.point):
                continue
            opening, closing = self._pieces(i, item, resolved[i + 1 : item.last], door)
            resolved[i] = [Edit(item.start, item.start, opening, item.reason)]
            if closing:
                resolved[item.last] = [Edit(item.end, item.end, closing, item.reason)]

    def _pieces(self, i: int, item: Store, inner: list[list[Edit]], door: str) -> tuple[str, str]:
        node = item.node
        whole = _owns_parentheses(node)
        inside, around = ("(", ")") if isinstance(node, _LOOSE) and not whole else ("", "")
        enclosed = len(node.lpar) > whole
        spared = item.once and self.spares and isinstance(node, cst.Name)
        copy = None if item.once and not spared else self._copy(item, inner)
        if item.function == "before":
            long = copy is None or (len(copy) > _SHORT and not self._may_record(i, item))
            if self.operators and not self.spares and long and not isinstance(node, cst.IfExp):
                # Whoever looks at operators wants to see the value. (Of a condition the jumps would have other places.)
                return f"{door}.before({item.target}, {inside}", f"{around})"
            if long:
                left, right = ("", "") if whole or isinstance(node, _TIGHT) else ("(", ")")
                return f"{taping_of(door)} and {door}.before({item.target}) or {left}", right
            call = f"{door}.before({item.target}, {inside}{copy}{around})"
        elif copy is None:
            return f"{door}.{item.function}({inside}", f"{around})"
        else:
            call = f"{door}.{item.function}({inside}{copy}{around})"
        left, right = ("", "") if enclosed or item.function == "exposed" else ("(", ")")
        asked = ALERT if spared else taping_of(door)
        return f"{left}{call} if {asked} else {inside}", f"{around}{right}"

    def _copy(self, item: Store, inner: list[list[Edit]]) -> str | None:
        """The text of an expression with the edits in it; None if it must not be written twice."""
        if "\n" in self.text[item.start : item.end] or "\r" in self.text[item.start : item.end]:
            return None
        return None if contains(item.node, CODE) else self.with_edits(item.start, item.end, inner)

    def _may_record(self, i: int, item: Store) -> bool:
        """Whether evaluating the value of an augmented assignment may put on a tape what outlives it.

        The target must then be logged after the value is known.
        """
        if contains(item.node, (cst.Await, cst.Yield, cst.NamedExpr)):
            return True
        calls = kinds_in(item.node)[cst.Call]
        for use in self.items[i + 1 : item.last]:
            if isinstance(use, Use):
                routed = self.replacement(use) is not None
                calls -= routed or (
                    not use.attributes and use.name in _PURE and is_builtin(use.scope, use.name, use.point)
                )
        return calls > 0


def _owns_parentheses(node: cst.BaseExpression) -> bool:
    """Whether the parentheses around an expression are part of it, as Python counts its place."""
    return isinstance(node, (cst.Tuple, cst.GeneratorExp)) and bool(node.lpar)


StoreWalk.methods |= {
    cst.Assign: StoreWalk._assign,
    cst.AnnAssign: StoreWalk._annotated_assign,
    cst.AugAssign: StoreWalk._augmented_assign,
    cst.Del: StoreWalk._del,
    cst.For: StoreWalk._for,
    cst.Call: StoreWalk._call,
    cst.ImportFrom: StoreWalk._import_from,
}
