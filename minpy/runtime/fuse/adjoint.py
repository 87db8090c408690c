"""The derivative of a block with respect to its arrays, as further operations of its graph."""

from __future__ import annotations

import ast
from typing import Any

import numpy as np

from minpy.runtime import dispatch
from minpy.runtime.fuse.graph import ARRAY, COTANGENT, NUMBER, Graph, Term
from minpy.runtime.fuse.ir import Irregular, Operation

# Results that are kept for the reverse instead of being computed again.
HEAVY = frozenset(
    "arccos arccosh arcsin arcsinh arctan arctan2 arctanh cbrt cos cosh exp exp2 expm1 hypot log log10 log1p log2 "
    "logaddexp logaddexp2 power sin sinh tan tanh".split()
)
_POWERS = {
    "2": "square",
    "2.0": "square",
    "0.5": "sqrt",
    "1": "positive",
    "(-1)": "reciprocal",
    "-1": "reciprocal",
}
_SYMBOLS = {
    "add": "+",
    "subtract": "-",
    "multiply": "*",
    "true_divide": "/",
    "negative": "-",
    "positive": "+",
}


class Derivation:
    """The graph of a block for operands of certain kinds, and of its derivatives.

    Attributes
    ----------
    graph : Graph
    result : int
        The value of the block.
    arrays : list of int
        The leaves that are arrays, in the order of the graph's array leaves.
    numbers : str
        The text of a tuple of the numbers that the block takes, in terms of its leaves ``l0`` …
    saved : list of int
        Values that the forward run keeps.
    cotangents : dict
        By number of the array leaf, the value that is its cotangent.
    """

    def __init__(
        self, operations: list[Operation], result: int, texts: list[str], leaves: tuple, active: Any
    ) -> None:
        dtypes = {each.dtype for each in leaves if type(each) is np.ndarray and each.dtype.kind != "b"}
        if len(dtypes) != 1:
            raise Irregular("operands of different dtypes")
        (dtype,) = dtypes
        if dtype.char not in "fd" or not dtype.isnative:
            raise Irregular(f"operands of {dtype}")
        self.graph = graph = Graph(dtype)
        self._leaves, self._texts = leaves, texts
        self.arrays: list[int] = []
        self._numbers: list[str] = []
        self._values: dict[int, int | str] = {}  # of operations: a value, or the text of a number
        for number, operation in enumerate(operations):
            self._values[-number - 1] = self._operation(operation)
        found = self._values.get(result)
        if type(found) is not int:
            raise Irregular("no array")
        self.result = found
        self.cotangents = self._reverse({self.arrays.index(each) for each in active})
        wanted = graph.needed(list(self.cotangents.values()))
        inside = graph.needed([self.result])
        self.saved = [each for each in inside if graph.nodes[each][0] in HEAVY and each in wanted]
        self.numbers = f"({''.join(f'{text}, ' for text in self._numbers)})"

    # The block itself.

    def _operation(self, operation: Operation) -> int | str:
        operands = [self._operand(each) for each in operation.operands]
        name = operation.name
        if all(type(each) is str for each in operands):
            symbol = _SYMBOLS.get(name) if operation.symbol else None
            if symbol is None:
                raise Irregular("a function of numbers")
            return (
                f"({operands[0]}{symbol}{operands[1]})" if len(operands) == 2 else f"({symbol}{operands[0]})"
            )
        if name == "**":
            exponent = operation.operands[1]
            text = self._texts[exponent] if exponent >= 0 else ""
            if (
                type(operands[0]) is str
                or text not in _POWERS
                or type(ast.literal_eval(text)) not in (int, float)
            ):
                raise Irregular("a power")
            name, operands = _POWERS[text], operands[:1]
        elif (
            not operation.symbol
            and name not in ("clip", "where")
            and not isinstance(getattr(np, name, None), np.ufunc)
        ):
            raise Irregular(name)
        return self.graph.add(name, *[self._node(each) for each in operands])

    def _operand(self, each: int) -> int | str:
        """A value of the graph, or the text of a number."""
        if each < 0:
            return self._values[each]
        leaf = self._leaves[each]
        if type(leaf) is not np.ndarray:
            return f"l{each}"
        if each not in self.arrays:
            self.arrays.append(each)
        return self.graph.leaf(ARRAY, self.arrays.index(each), leaf.dtype)

    def _node(self, operand: int | str) -> int:
        if type(operand) is int:
            return operand
        text = str(operand)
        like: Any = 1.0
        if text[1:].isdigit():
            like = self._leaves[int(text[1:])]
        elif any(isinstance(leaf, np.generic) for leaf in self._leaves):
            like = np.float64(1.0)
        if type(like) is bool or isinstance(like, (complex, np.bool_, np.complexfloating)):
            raise Irregular("a number of another kind")
        if text not in self._numbers:
            self._numbers.append(text)
        return self.graph.leaf(NUMBER, self._numbers.index(text), like)

    # Its derivatives.

    def _reverse(self, active: set[int]) -> dict[int, int]:
        graph = self.graph
        if graph.dtypes[self.result] != graph.dtype:
            raise Irregular("no derivative")
        inside = graph.needed([self.result])
        moving: set[int] = set()
        for each in inside:
            kind, operands = graph.nodes[each]
            if (kind == ARRAY and operands[0] in active) or (
                not graph.is_leaf(each)
                and any(k in moving for k in operands)
                and graph.dtypes[each] == graph.dtype
            ):
                moving.add(each)
        g: dict[int, int] = {self.result: graph.leaf(COTANGENT, 0, graph.dtype)}
        for each in reversed(inside):
            if each not in g or graph.is_leaf(each):
                continue
            name, operands = graph.nodes[each]
            # All before any is added: an operand may be there twice.
            found = [
                (k, self._rule(name, i, Term(graph, g[each]), Term(graph, each), operands))
                for i, k in enumerate(operands)
                if k in moving
            ]
            for k, d in found:
                if d is None:
                    continue
                if type(d) is not Term:
                    raise Irregular(f"the derivative of {name}")
                g[k] = graph.add("add", g[k], d.number) if k in g else d.number
        found_of = {
            graph.nodes[each][1][0]: g[each] for each in inside if each in g and graph.nodes[each][0] == ARRAY
        }
        return {k: found_of[k] for k in sorted(active) if k in found_of}

    def _rule(self, name: str, i: int, g: Term, ans: Term, operands: tuple[int, ...]) -> Any:
        terms = [Term(self.graph, k) for k in operands]
        if name == "where":
            return np.where(terms[0], *((g, 0) if i == 1 else (0, g)))
        primitive = dispatch.by_name.get(name)
        if name == "clip" and primitive is not None and primitive.vjp is not None:
            return primitive.vjp[i](g, ans, *terms)
        if primitive is None or primitive.bare is None:
            if primitive is not None and primitive.flat:
                return None
            raise Irregular(f"{name} has no rule")
        rule = primitive.bare[i]
        if rule is None:
            raise Irregular(f"{name} has no rule")
        return rule(g, ans, *terms)
