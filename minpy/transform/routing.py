"""What is routed: calls of functions of NumPy, SciPy and `math`, `type`, `float`, operators; and the edits for it.

Candidates are collected on the walk and resolved when every binding is known. Importing this module imports
libcst, so only a rewriter with work to do does it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import libcst as cst

from minpy.places import ALERT
from minpy.records import dataclass
from minpy.transform.bindings import Bindings
from minpy.transform.catalog import MATH as MATH_FUNCTIONS
from minpy.transform.catalog import SCIPY_MODULES, STEADY, is_routed
from minpy.transform.harmless import is_harmless, may_be_harmless
from minpy.transform.names import MATH, SCIPY, Point, Scope, is_builtin, resolve
from minpy.transform.plan import Edit, Note
from minpy.transform.syntax import contains

BINARY = {
    cst.Add: ("+", "add"),
    cst.Subtract: ("-", "sub"),
    cst.Multiply: ("*", "mul"),
    cst.Divide: ("/", "truediv"),
    cst.FloorDivide: ("//", "floordiv"),
    cst.Modulo: ("%", "mod"),
    cst.Power: ("**", "pow"),
    cst.MatrixMultiply: ("@", "matmul"),
    cst.LeftShift: ("<<", "lshift"),
    cst.RightShift: (">>", "rshift"),
    cst.BitAnd: ("&", "and_"),
    cst.BitOr: ("|", "or_"),
    cst.BitXor: ("^", "xor"),
}
UNARY = {cst.Minus: ("-", "neg"), cst.Plus: ("+", "pos"), cst.BitInvert: ("~", "invert")}
COMPARE = {
    cst.Equal: ("==", "eq"),
    cst.NotEqual: ("!=", "ne"),
    cst.LessThan: ("<", "lt"),
    cst.LessThanEqual: ("<=", "le"),
    cst.GreaterThan: (">", "gt"),
    cst.GreaterThanEqual: (">=", "ge"),
}

# Built-in functions that are routed, with one argument.
_BUILT_IN = {
    "type": "type() must see through arrays that are elsewhere",
    "float": "float() of a value that is being differentiated must not cut its gradient",
}

# Operands that no array operation is meant for.
_NOT_ARRAYS = (
    cst.BaseString,
    cst.Tuple,
    cst.List,
    cst.Set,
    cst.Dict,
    cst.ListComp,
    cst.SetComp,
    cst.DictComp,
    cst.GeneratorExp,
    cst.Lambda,
)
# What is not written twice: code of its own, and what leaves the expression.
CODE = (cst.Lambda, cst.GeneratorExp, cst.ListComp, cst.SetComp, cst.DictComp)
_ONCE = (*CODE, cst.Await, cst.Yield, cst.NamedExpr)
_LONGEST_COPY = 1000
# Each routed operator is one more pair of parentheses around its operands, and CPython allows 200 of them.
MAX_NESTED_OPERATORS = 60


@dataclass
class Use:
    """A call whose function may turn out to be NumPy's, SciPy's or `math`'s, or the built-in `type` or `float`."""

    scope: Scope
    point: Point
    name: str
    attributes: tuple[str, ...]
    start: int
    end: int
    excuse: str  # why it would be left alone; "" for an ordinary place


@dataclass
class Whole:
    """The largest expression around routed operators, which is written with them and without them."""

    node: cst.BaseExpression
    start: int
    end: int
    operators: list[int]  # the places of their edits among the items
    last: int = 0  # the item that ends it


class _End:
    """The end of a `Whole` among the items."""


class Walk(Bindings):
    """The walk that collects what is routed; `result` gives it."""

    methods: ClassVar[dict[type, Callable[[Any, Any], None]]] = dict(Bindings.methods)

    def __init__(self, module: cst.Module, text: str, *, operators: bool) -> None:
        super().__init__(module, text)
        self.operators = operators
        # What is emitted, in program order: uses to resolve, and the pieces of routed operators.
        self.items: list[Any] = []
        self._depth = 0
        self.spares = (
            False  # routed operators are written without being routed, too, and chosen by the flag ALERT
        )
        self._whole: Whole | None = None  # where the walk is in one
        self._decides: cst.CSTNode | None = (
            None  # what decides a jump: those of a conditional would have other places
        )
        # Routed operators whose operands may turn out to be numbers: the places of their edits, and the operands.
        self._of_numbers: list[tuple[list[int], list[cst.BaseExpression], Scope, Point]] = []
        self.keeps_numbers = False  # who looks at numbers as well wants their operators routed

    def result(self, door: str) -> tuple[tuple[Edit, ...], tuple[Note, ...]]:
        """Resolve what was collected and return the edits, sorted, and the notes."""
        if not self.imports_numpy and not self.imports_math:
            return (), ()
        notes: list[Note] = []
        resolved: list[list[Edit]] = []
        for item in self.items:
            edit = self._resolve(item, door, notes)
            resolved.append([] if edit is None else [edit])
        self._finish(resolved, door)
        edits = sorted((edit for each in resolved for edit in each), key=lambda edit: edit.start)
        return tuple(edits), tuple(notes)

    def _resolve(self, item: Any, door: str, notes: list[Note]) -> Edit | None:
        if isinstance(item, Edit):
            if not self.imports_numpy:
                return None
            return Edit(item.start, item.end, item.text.replace("\0", door), item.reason)
        if not isinstance(item, Use):
            return None
        found = self.replacement(item)
        if found is None:
            return None
        text, reason = found
        if item.excuse:
            notes.append(Note(item.start, f"{reason}, {item.excuse}"))
            return None
        return Edit(item.start, item.end, f"{door}.{text}", reason)

    def _finish(self, resolved: list[list[Edit]], door: str) -> None:
        """Add the edits that depend on others, item by item."""

    def replacement(self, use: Use) -> tuple[str, str] | None:
        """What stands for the name of a routed function behind the door, and why; None if it is not routed."""
        if not use.attributes and use.name in _BUILT_IN:
            if (self.imports_numpy or use.name == "float") and is_builtin(use.scope, use.name, use.point):
                return use.name, _BUILT_IN[use.name]
            return None
        base = resolve(use.scope, use.name, use.point)
        if base is None:
            return None
        path = ".".join(part for part in (base, *use.attributes) if part)
        if base.startswith(MATH):
            if path.removeprefix(f"{MATH}.") not in MATH_FUNCTIONS:
                return None
            return base[1:], f"{path[1:]} may be given a value that is being differentiated"
        if base.startswith(SCIPY):
            # The functions of a module, not the methods of what it holds (distributions): see `stores`.
            _, _, function = path.partition(".")
            module, _, name = function.partition(".")
            if module not in SCIPY_MODULES or not name or "." in name:
                return None
            return base[1:], f"{path[1:]} may be given a value that is being differentiated"
        if not is_routed(path):
            return None
        # What not every release has is asked of a namespace in which names are found more slowly (see `entry`).
        door = "np" if path in STEADY else "numpy"
        return f"{door}.{base}" if base else door, f"numpy.{path} is array work"

    # What is routed.

    def _call(self, node: cst.Call) -> None:
        self._candidate(node)
        self._visit(node.func)
        self._visit_all(node.args)

    def _candidate(self, node: cst.Call) -> None:
        attributes: list[str] = []
        function = node.func
        while isinstance(function, cst.Attribute):
            attributes.append(function.attr.value)
            function = function.value
        if not isinstance(function, cst.Name):
            return
        if function.value in _BUILT_IN and not attributes:
            if len(node.args) != 1 or node.args[0].star or node.args[0].keyword is not None:
                return
        start, end = self.spans.start(function), self.spans.end(function)
        excuse = self._excuse
        if len(attributes) == 1 and not excuse:
            # Python calls an imported module's function without binding a method; our longer chain binds one,
            # and the position of such a call moves to the attribute's own line. On one line both are equal.
            between = self.text[end : self.spans.end(node.func)]
            if "\n" in between or "\r" in between:
                excuse = "but its name spans lines"
        self.items.append(
            Use(
                self.scope,
                Point(self.block, start),
                function.value,
                tuple(reversed(attributes)),
                start,
                end,
                excuse,
            )
        )

    def _edit(self, start: int, end: int, text: str, reason: str) -> None:
        self.items.append(Edit(start, end, text, reason))

    def _begin_whole(self, node: cst.BaseExpression) -> Whole | None:
        """Note the largest expression with routed operators; None inside of one."""
        if not self.spares or self._whole is not None or node is self._decides:
            return None
        self._whole = whole = Whole(node, self.spans.start(node), self.spans.end(node), [])
        self.items.append(whole)
        return whole

    def _end_whole(self, whole: Whole | None, places: list[int]) -> None:
        if self._whole is not None:
            self._whole.operators += places
        if whole is not None:
            self._whole = None
            whole.last = len(self.items)
            self.items.append(_End())

    def _write_twice(self, i: int, item: Whole, resolved: list[list[Edit]]) -> None:
        """``(… if __minpy_alert__ else …)``: with the operators routed, and without.

        What spans lines, or must not be there twice, has them routed in any case.
        """
        operators = [k for k in item.operators if resolved[k]]
        inside = self.text[item.start : item.end]
        if not operators or "\n" in inside or "\r" in inside or contains(item.node, _ONCE):
            return
        copy = self.with_edits(item.start, item.end, resolved[i + 1 : item.last])
        if len(copy) > _LONGEST_COPY:
            return
        reason = resolved[operators[0]][0].reason
        for k in operators:
            resolved[k] = []
        before = self.text[item.start - 1 : item.start] if item.start else ""
        space = " " if before == "_" or before.isalnum() else ""
        resolved[i] = [Edit(item.start, item.start, f"{space}({copy} if {ALERT} else ", reason)]
        resolved[item.last] = [Edit(item.end, item.end, ")", reason)]

    def with_edits(self, start: int, end: int, edits: list[list[Edit]]) -> str:
        """A piece of the text with the edits in it."""
        pieces, position = [], start
        for edit in sorted((edit for each in edits for edit in each), key=lambda edit: edit.start):
            pieces += self.text[position : edit.start], edit.text
            position = edit.end
        return "".join([*pieces, self.text[position:end]])

    def _open(self, start: int, end: int, function: str, reason: str) -> None:
        before = self.text[start - 1 : start] if start else ""
        space = " " if before == "_" or before.isalnum() else ""
        # "\0" stands for the door, which is known only when every name is.
        self._edit(start, end, f"{space}\0.op.{function}(", reason)

    def _may_route(self, *operands: cst.CSTNode) -> bool:
        return (
            self.operators
            and not self._excuse
            and self._depth < MAX_NESTED_OPERATORS
            and not any(_is_no_array(operand) for operand in operands)
            and not all(_is_constant(operand) for operand in operands)
        )

    def _binary(self, node: cst.BinaryOperation) -> None:
        found = BINARY.get(type(node.operator))
        if found is None or not self._may_route(node.left, node.right):
            self._visit(node.left)
            self._visit(node.right)
            return
        self._route_pair(node, node.left, node.operator, node.right, *found)

    def _condition(self, node: cst.CSTNode) -> None:
        """Visit what decides a jump. Comparisons in it stay: they are wanted for their truth, a single value.

        Up to Python 3.11, moreover, the jump has the place of a comparison but not that of a call, and it is
        the jump that raises if an array has no truth value.
        """
        if isinstance(node, cst.BooleanOperation):
            self._condition(node.left)
            self._condition(node.right)
        elif isinstance(node, cst.UnaryOperation) and isinstance(node.operator, cst.Not):
            self._condition(node.expression)
        elif isinstance(node, cst.IfExp):
            for part in (node.body, node.test, node.orelse):
                self._condition(part)
        elif isinstance(node, cst.Comparison):
            self._comparison_operands(node)
        else:
            self._decides = node
            self._visit(node)

    def _if_expression(self, node: cst.IfExp) -> None:
        self._visit(node.body)
        self._condition(node.test)
        self._visit(node.orelse)

    def _assert(self, node: cst.Assert) -> None:
        self._condition(node.test)
        self._visit(node.msg)

    def _comparison(self, node: cst.Comparison) -> None:
        if len(node.comparisons) == 1:
            target = node.comparisons[0]
            found = COMPARE.get(type(target.operator))
            if isinstance(target.operator, cst.NotEqual) and target.operator.value != "!=":
                found = None
            if found is not None and self._may_route(node.left, target.comparator):
                self._route_pair(node, node.left, target.operator, target.comparator, *found)
                return
        self._comparison_operands(node)

    def _comparison_operands(self, node: cst.Comparison) -> None:
        self._visit(node.left)
        for target in node.comparisons:
            self._visit(target.comparator)

    def _route_pair(
        self,
        node: cst.CSTNode,
        left: cst.CSTNode,
        operator: cst.CSTNode,
        right: cst.CSTNode,
        symbol: str,
        function: str,
    ) -> None:
        reason = f"the operator {symbol} may be array work"
        start, end = self.spans.start(node), self.spans.end(node)
        whole = self._begin_whole(node)
        places = [len(self.items)]
        self._open(start, start, function, reason)
        self._depth += 1
        self._visit(left)
        # The operator becomes a comma, right after the left operand where both are on one line.
        begin, stop = self.spans.start(operator), self.spans.end(operator)
        if not self.text.startswith(symbol, begin):
            raise ValueError(f"the operator {symbol} is not at offset {begin}")
        stop = begin + len(symbol)
        while begin and self.text[begin - 1] in " \t":
            begin -= 1
        if self.text[begin - 1] in "\r\n\f\\":
            begin = stop - len(symbol)  # it starts its line: keep the indentation
        following = self.text[stop : stop + 1]
        places.append(len(self.items))
        self._edit(begin, stop, "," if following in " \t\r\n\\" else ", ", reason)
        self._visit(right)
        places.append(len(self.items))
        self._edit(end, end, ")", reason)
        self._depth -= 1
        self._may_be_numbers(places, [left, right], start)
        self._end_whole(whole, places)

    def _may_be_numbers(self, places: list[int], operands: list[Any], start: int) -> None:
        if all(may_be_harmless(each) for each in operands):
            self._of_numbers.append((places, operands, self.scope, Point(self.block, start)))

    def _drop_numbers(self, resolved: list[list[Edit]]) -> None:
        """Leave operators of what certainly is no array as they are."""
        for places, operands, scope, point in self._of_numbers:
            if not self.keeps_numbers and all(is_harmless(each, scope, point) for each in operands):
                for i in places:
                    resolved[i] = []

    def _unary(self, node: cst.UnaryOperation) -> None:
        found = UNARY.get(type(node.operator))
        if isinstance(node.operator, cst.Not):
            self._condition(node.expression)
            return
        if found is None or not self._may_route(node.expression):
            self._visit(node.expression)
            return
        symbol, function = found
        reason = f"the operator {symbol} may be array work"
        start, end = self.spans.start(node), self.spans.end(node)
        whole = self._begin_whole(node)
        places = [len(self.items)]
        self._open(start, start + 1, function, reason)
        self._depth += 1
        self._visit(node.expression)
        places.append(len(self.items))
        self._edit(end, end, ")", reason)
        self._depth -= 1
        self._may_be_numbers(places, [node.expression], start)
        self._end_whole(whole, places)


def _is_no_array(node: cst.CSTNode) -> bool:
    if isinstance(node, cst.BinaryOperation):
        return isinstance(node.left, cst.BaseString) or isinstance(node.right, cst.BaseString)
    return isinstance(node, _NOT_ARRAYS)


def _is_constant(node: cst.CSTNode) -> bool:
    if isinstance(node, cst.UnaryOperation):
        return _is_constant(node.expression)
    if isinstance(node, cst.BinaryOperation):
        return _is_constant(node.right) and _is_constant(node.left)
    if isinstance(node, cst.Name):
        return node.value in ("None", "True", "False")
    if isinstance(node, cst.Tuple):
        return all(_is_constant(element.value) for element in node.elements)
    if isinstance(node, cst.ConcatenatedString):
        return _is_constant(node.left) and _is_constant(node.right)
    return isinstance(node, (cst.BaseNumber, cst.Ellipsis, cst.SimpleString))


Walk.methods |= {
    cst.Call: Walk._call,
    cst.BinaryOperation: Walk._binary,
    cst.Comparison: Walk._comparison,
    cst.UnaryOperation: Walk._unary,
    cst.IfExp: Walk._if_expression,
    cst.Assert: Walk._assert,
}
