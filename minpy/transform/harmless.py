"""Expressions that certainly give no array: numbers, displays and strings, and what operators make of these.

A number, and a name that is only ever bound to numbers, can be changed by no statement that a tape would have to know.
"""

from __future__ import annotations

import libcst as cst

from minpy.records import dataclass
from minpy.transform.names import Binding, Point, Scope, is_builtin, is_no_array

STRINGS = (cst.BaseString,)
DISPLAYS = (cst.List, cst.Set, cst.Dict, cst.ListComp, cst.SetComp, cst.DictComp)
# Bases and values that are no arrays and hold none that could be written into here.
NEVER = (*STRINGS, *DISPLAYS, cst.GeneratorExp, cst.Lambda, cst.BaseNumber, cst.Ellipsis)
# Built-in functions whose results are no arrays.
MAKERS = frozenset(
    "bool bytearray bytes complex dict enumerate float frozenset hash int iter len list open ord range repr set "
    "sorted str tuple zip".split()
)
_CONSTANTS = ("None", "True", "False")
_DEEPEST = 20  # operators in each other that are looked at


@dataclass
class Value:
    """What a name is bound to, or augmented with, that may certainly be no array."""

    binding: Binding
    augmented: bool
    node: cst.BaseExpression
    scope: Scope
    point: Point

    def count(self, sign: int) -> None:
        """Enter it as such, or take that back. A name that is only augmented was bound elsewhere."""
        if self.augmented:
            self.binding.count -= sign
        else:
            self.binding.harmless += sign


def pairs(
    target: cst.CSTNode, value: cst.CSTNode | None
) -> list[tuple[cst.BaseExpression, cst.BaseExpression]]:
    """``a, b = 1, 2``: what is bound to what; empty where that cannot be told."""
    kinds = (cst.Tuple, cst.List)
    if not isinstance(target, kinds) or not isinstance(value, kinds):
        return []
    every = [*target.elements, *value.elements]
    if len(target.elements) != len(value.elements) or not all(
        isinstance(each, cst.Element) for each in every
    ):
        return []
    return [(to.value, of.value) for to, of in zip(target.elements, value.elements, strict=True)]


def _made_of(node: cst.BaseExpression) -> list[cst.BaseExpression]:
    """The parts of which the operators in an expression make its value."""
    if isinstance(node, cst.UnaryOperation):
        return [] if isinstance(node.operator, cst.Not) else [node.expression]
    if isinstance(node, (cst.BinaryOperation, cst.BooleanOperation)):
        return [node.left, node.right]
    if isinstance(node, cst.IfExp):
        return [node.body, node.orelse]
    return []


def may_be_harmless(node: cst.CSTNode, depth: int = 0) -> bool:
    """Whether an expression gives no array if the names in it stand for none, and built-in functions for themselves."""
    if isinstance(node, (*NEVER, cst.Tuple, cst.Name)):
        return True
    if isinstance(node, cst.Call):
        return isinstance(node.func, cst.Name) and node.func.value in MAKERS
    if depth > _DEEPEST or not isinstance(
        node, (cst.UnaryOperation, cst.BinaryOperation, cst.BooleanOperation, cst.IfExp)
    ):
        return False
    return all(may_be_harmless(part, depth + 1) for part in _made_of(node))


def is_harmless(node: cst.BaseExpression, scope: Scope, point: Point) -> bool:
    """Whether an expression certainly gives no array, as far as is known of the names in it."""
    if isinstance(node, cst.Name):
        return node.value in _CONSTANTS or is_no_array(scope, node.value, point)
    if isinstance(node, cst.Call):
        assert isinstance(node.func, cst.Name)
        return is_builtin(scope, node.func.value, point)
    return all(is_harmless(part, scope, point) for part in _made_of(node))


def settle(values: list[Value]) -> None:
    """Enter in their bindings which of these values certainly are no arrays.

    All are taken to be none until it shows that what they are made of may be one.
    """
    for value in values:
        value.count(1)
    open_ones, count = values, -1
    while len(open_ones) != count:
        count, rest = len(open_ones), []
        for value in open_ones:
            if is_harmless(value.node, value.scope, value.point):
                rest.append(value)
            else:
                value.count(-1)
        open_ones = rest
