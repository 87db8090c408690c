"""Reads an array expression: what a block computes, of names, and what must turn out to be so for it.

Decided by syntax alone. What is read is written in terms of ``v0``, ``v1`` …; `minpy.runtime.fuse.ir` reads that.
"""

from __future__ import annotations

from typing import Protocol

import libcst as cst

from minpy.records import dataclass
from minpy.transform.catalog import FUSED, FUSED_HEAVY
from minpy.transform.names import normalized
from minpy.transform.routing import BINARY, COMPARE, UNARY
from minpy.transform.syntax import Spans

_NOT_BLOCKS = (cst.MatrixMultiply,)


class No(Exception):
    """Not an expression of the kind."""


@dataclass
class Called:
    """A function in a block that must turn out to be NumPy's, `math`'s or the built-in ``abs``."""

    name: str
    attributes: tuple[str, ...]
    offset: int


class Source(Protocol):
    """The walk over the module that is read."""

    text: str
    spans: Spans

    def callee(self, node: cst.Call) -> Called | None:
        """The function that is called, if it has a name."""


class Reader:
    """Reads an expression and writes it in terms of ``v0``, ``v1`` …; raises `No` if it is not of the kind."""

    def __init__(self, walk: Source) -> None:
        self.walk = walk
        self.names: dict[str, str] = {}
        self.operations = 0
        self.heavy = False
        self.called: list[Called] = []
        self.evidence: set[str] = set()

    def read(self, node: cst.BaseExpression) -> str:
        """An array expression."""
        if isinstance(node, cst.BinaryOperation):
            found = BINARY.get(type(node.operator))
            if found is None or isinstance(node.operator, _NOT_BLOCKS):
                raise No
            self.operations += 1
            self.heavy = self.heavy or isinstance(node.operator, (cst.Power, cst.Modulo))
            return f"({self.read(node.left)}{found[0]}{self.read(node.right)})"
        if isinstance(node, cst.UnaryOperation):
            found = UNARY.get(type(node.operator))
            if found is None:
                raise No
            if isinstance(node.expression, cst.BaseNumber):
                return f"({found[0]}{self._number(node.expression)})"
            self.operations += 1
            return f"({found[0]}{self.read(node.expression)})"
        if isinstance(node, cst.Comparison):
            if len(node.comparisons) != 1:
                raise No
            operator = node.comparisons[0].operator
            found = COMPARE.get(type(operator))
            if found is None or (isinstance(operator, cst.NotEqual) and operator.value != "!="):
                raise No
            self.operations += 1
            return f"({self.read(node.left)}{found[0]}{self.read(node.comparisons[0].comparator)})"
        if isinstance(node, cst.Call):
            return self._function(node)
        return self._leaf(node)

    def _function(self, node: cst.Call) -> str:
        called = self.walk.callee(node)
        if called is None or not 1 <= len(node.args) <= 3:
            raise No
        name = called.attributes[-1] if called.attributes else called.name
        if name == "roll":
            return self._roll(node, called)
        if any(each.star or each.keyword is not None for each in node.args):
            raise No
        path = name
        if name not in FUSED and name != "abs":
            # `from numpy import tanh as th`: known only when all names are; too rare to be worth it.
            raise No
        if len(node.args) != FUSED.get(name, 1):
            raise No
        self.called.append(called)
        self.operations += 1
        self.heavy = self.heavy or name in FUSED_HEAVY
        return f"{path}({','.join(self.read(each.value) for each in node.args)})"

    def _roll(self, node: cst.Call, called: Called) -> str:
        """``np.roll`` of an array that there is, by whole numbers."""
        given: dict[str, cst.BaseExpression] = {}
        for place, each in enumerate(node.args):
            word = each.keyword.value if each.keyword is not None else ("a", "shift", "axis")[place]
            if each.star or word not in ("a", "shift", "axis") or word in given:
                raise No
            given[word] = each.value
        if "a" not in given or "shift" not in given:
            raise No
        array = given["a"]
        if isinstance(array, cst.Call):
            inner = self.walk.callee(array)
            if inner is None or (inner.attributes or (inner.name,))[-1] != "roll":
                raise No
            text = self._roll(array, inner)
        elif isinstance(array, (cst.Name, cst.Attribute, cst.Subscript)):
            text = self._leaf(array)
        else:
            raise No
        if not text.startswith(("v", "roll(")):
            raise No  # what the same run has computed
        lengths = [self._index(given[word]) for word in ("shift", "axis") if word in given]
        if "None" in lengths or "(...)" in lengths or "..." in lengths:
            raise No
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
        raise No

    def target(self, node: cst.BaseExpression, symbol: str) -> str:
        """What is stored into, or changed."""
        if isinstance(node, cst.Subscript) and key_of(node) is None:
            if isinstance(node.value, cst.Subscript) and key_of(node.value) is None:
                raise No  # brackets behind brackets
            return self._subscript(node)
        if isinstance(node, cst.Name) or symbol != "=":
            return self._leaf(node)
        raise No  # what is there is replaced, not written into

    def _number(self, node: cst.BaseExpression) -> str:
        text = self.walk.text[self.walk.spans.start(node) : self.walk.spans.end(node)]
        # "1.T" and the like: a number is followed by an operator, never by a dot.
        return f"({text})" if text.endswith(".") else text

    def _name(self, node: cst.Name) -> str:
        if node.value in ("True", "False", "None", "__debug__"):
            raise No
        return self.names.setdefault(node.value, f"v{len(self.names)}")

    def _chain(self, node: cst.BaseExpression) -> str:
        if isinstance(node, cst.Attribute):
            if node.attr.value.startswith("__"):
                raise No  # mangled in classes
            return f"{self._chain(node.value)}.{node.attr.value}"
        if isinstance(node, cst.Name):
            return self._name(node)
        key = key_of(node)
        if key is not None:
            return f"{self._chain(node.value)}[{key!r}]"
        raise No

    def _subscript(self, node: cst.Subscript) -> str:
        key = key_of(node)
        if key is not None:
            self.evidence.add(f".{key}")
            return self._chain(node)
        inner = node.value
        if isinstance(inner, cst.Subscript) and key_of(inner) is None:
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
                raise No
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
        raise No


def key_of(node: cst.BaseExpression) -> str | None:
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
