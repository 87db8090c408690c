"""Element-wise work on MXNet that is put off until somebody needs it, and then done as one CachedOp.

What an operation of MXNet's costs is its way through Python and the engine, some 10 µs for each; on a GPU moreover a
launch, and passes over memory. So the back end notes what is to be done (`graph.Node`), with a `Lazy` as the handle,
across statements and through the sweep of a gradient. A structure that comes again, with the same shapes and numbers,
becomes a symbol and a CachedOp: one call, with memory for what is in between planned once (``static_alloc``), and on a
GPU one kernel for what MXNet can fuse (operations on arrays of one shape and on numbers). What comes seldom is computed
one by one, by the kernels of the table, which are the same operations.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from typing import Any

import numpy as np

from minpy.runtime.backends.c_errors import forget
from minpy.runtime.backends.graph import Node, PutOff, held, leaves, order

# MXNet's operators by the names of the table's rows: of one array; and of two, as (arrays of one shape, others, an
# array and a number, a number and an array).
UNARY: dict[str, str] = {
    **{name: name for name in (
        "negative reciprocal sqrt cbrt exp expm1 log log2 log10 log1p sin cos tan arcsin arccos arctan sinh cosh tanh "
        "arcsinh arccosh arctanh"
    ).split()},
    "absolute": "abs", "abs": "abs", "fabs": "abs",
}  # fmt: skip
BINARY: dict[str, tuple[str, str, str, str]] = {
    "add": ("elemwise_add", "broadcast_add", "_plus_scalar", "_plus_scalar"),
    "subtract": ("elemwise_sub", "broadcast_sub", "_minus_scalar", "_rminus_scalar"),
    "multiply": ("elemwise_mul", "broadcast_mul", "_mul_scalar", "_mul_scalar"),
    "divide": ("elemwise_div", "broadcast_div", "_div_scalar", "_rdiv_scalar"),
    "power": ("_power", "broadcast_power", "_power_scalar", "_rpower_scalar"),
    "maximum": ("_maximum", "broadcast_maximum", "_maximum_scalar", "_maximum_scalar"),
    "minimum": ("_minimum", "broadcast_minimum", "_minimum_scalar", "_minimum_scalar"),
}
BINARY["true_divide"] = BINARY["divide"]
OPERATIONS = frozenset((*UNARY, *BINARY, "square"))

MOST_NODES, MOST_LEAVES, MOST_OUTPUTS, MOST_AXES = 32, 12, 8, 5
# A structure is made a CachedOp when it has come so often; so many are kept.
_OFTEN, _KEPT, _SEEN = 4, 128, 4096


class Lazy:
    """A handle whose contents may still have to be computed: `array`, once there is one."""

    __slots__ = ("__weakref__", "array", "dtype", "node", "shape")

    def __init__(self, node: Node, shape: tuple[int, ...]) -> None:
        self.array: Any = None
        self.node: Node | None = node
        self.shape, self.dtype = shape, node.dtype
        node.lazy = weakref.ref(self)

    size = property(lambda self: int(np.prod(self.shape)))
    ndim = property(lambda self: len(self.shape))


class Fuser(PutOff):
    """What is put off on one device; it is settled before the clock is read, and before anything is written to.

    Parameters
    ----------
    mxnet : module
    kernels : callable
        ``kernels(name)``: the function ``(F, *operands)`` by which a row is computed on its own.
    """

    handle = Lazy

    def __init__(self, mxnet: Any, kernels: Any) -> None:
        super().__init__()
        self.mxnet, self.kernels = mxnet, kernels
        self.made = self.called = 0
        self.why = ""  # why no CachedOps are made any more
        self._seen: OrderedDict[tuple, int] = OrderedDict()
        self._cached: OrderedDict[tuple, Any] = OrderedDict()

    def defer(self, name: str, operands: list[Any], dtype: np.dtype) -> Lazy | None:
        """Put an operation off; None if it has to be done at once."""
        shapes = [o.shape for o in operands if not isinstance(o, np.generic)]
        shape = np.broadcast_shapes(*shapes)
        if len(shape) > MOST_AXES:
            return None
        made = []
        for operand in operands:
            if type(operand) is Lazy:
                node = operand.node
                made.append(node if node is not None and operand.shape == shape else self.array(operand))
            else:
                made.append(operand)
        if sum([o.count for o in made if type(o) is Node]) >= MOST_NODES or len(leaves(made)) > MOST_LEAVES:
            made = [self._settled(o, shape) if type(o) is Node else o for o in made]
        lazy = Lazy(Node(name, tuple(made), dtype, dtype), shape)
        self._pending.add(lazy)
        return lazy

    def _settled(self, node: Node, shape: tuple[int, ...]) -> Any:
        lazy = node.holder()
        return self.array(Lazy(node, shape) if lazy is None else lazy)

    def free(self) -> None:
        """Give up the memory that is planned for what is in between."""
        with self.lock:
            self._cached.clear()

    def _compute(self, lazy: Lazy) -> None:
        assert lazy.node is not None
        forget()
        nodes = order(lazy.node)
        outputs = held(nodes, lazy, MOST_OUTPUTS)
        found = self._at_once(nodes, outputs, lazy.shape) if len(nodes) > 1 else None
        if found is None:
            found = self._one_by_one(nodes, outputs)
        for (node, owner), array in zip(outputs, found, strict=True):
            owner.array, owner.node = array, None
            self._pending.discard(owner)
            node.settle(array)

    def _one_by_one(self, nodes: list[Node], outputs: list[tuple[Node, Lazy]]) -> list[Any]:
        values: dict[int, Any] = {}
        for node in nodes:
            operands = []
            for operand in node.operands:
                if type(operand) is Node:
                    operand = values[id(operand)] if operand.name else operand.operands[0]
                operands.append(operand.item() if isinstance(operand, np.generic) else operand)
            values[id(node)] = self.kernels(node.name)(self.mxnet.nd, *operands)
        return [values[id(node)] for node, _ in outputs]

    # ----- at once

    def _at_once(self, nodes: list[Node], outputs: list[tuple[Node, Lazy]], shape: tuple) -> list[Any] | None:
        """The outputs by one CachedOp; None if there is none for what is to be done."""
        if self.why:
            return None
        given: dict[int, int] = {}
        arrays: list[Any] = []
        place = {id(node): k for k, node in enumerate(nodes)}
        parts: list[Any] = []
        for node in nodes:
            for operand in node.operands:
                if isinstance(operand, np.generic):
                    parts.append(repr(operand.item()))
                    continue
                if type(operand) is Node:
                    if operand.name:
                        parts.append(place[id(operand)])
                        continue
                    operand = operand.operands[0]
                if id(operand) not in given:
                    given[id(operand)] = len(arrays)
                    arrays.append(operand)
                parts.append(-1 - given[id(operand)])
            parts.append(node.name)
        key = (
            tuple(parts), tuple([place[id(node)] for node, _ in outputs]), tuple([a.shape for a in arrays]),
            nodes[0].dtype,
        )  # fmt: skip
        cached = self._cached.get(key)
        if cached is None:
            count = self._seen[key] = self._seen.pop(key, 0) + 1
            while len(self._seen) > _SEEN:
                self._seen.popitem(last=False)
            if count < _OFTEN:
                return None
            try:
                cached = self._make(nodes, outputs, arrays, shape)
                found = cached(*arrays)
            except Exception as error:
                self.why = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
                return None
            self._cached[key] = cached
            while len(self._cached) > _KEPT:
                self._cached.popitem(last=False)
            self.made += 1
        else:
            self._cached.move_to_end(key)
            found = cached(*arrays)
        self.called += 1
        return list(found) if isinstance(found, (list, tuple)) else [found]

    def _make(
        self, nodes: list[Node], outputs: list[tuple[Node, Lazy]], arrays: list[Any], shape: tuple
    ) -> Any:
        symbols = self.mxnet.sym
        names: dict[int, Any] = {id(a): symbols.Variable(f"x{k}") for k, a in enumerate(arrays)}

        def operator(name: str) -> Any:
            return getattr(symbols._internal if name[0] == "_" else symbols, name)

        for node in nodes:
            operands, shapes = [], []
            for operand in node.operands:
                if type(operand) is Node and not operand.name:
                    operand = operand.operands[0]
                number = isinstance(operand, np.generic)
                operands.append(float(operand) if number else names[id(operand)])
                shapes.append(None if number else shape if type(operand) is Node else operand.shape)
            if node.name == "square":
                made = operator("elemwise_mul")(operands[0], operands[0])
            elif node.name in UNARY:
                made = operator(UNARY[node.name])(operands[0])
            else:
                alike, other, number_last, number_first = BINARY[node.name]
                if shapes[1] is None:
                    made = operator(number_last)(operands[0], scalar=operands[1])
                elif shapes[0] is None:
                    made = operator(number_first)(operands[1], scalar=operands[0])
                else:
                    made = operator(alike if shapes[0] == shapes[1] else other)(*operands)
            names[id(node)] = made
        results = [names[id(node)] for node, _ in outputs]
        # The order of a CachedOp's operands is that in which its symbol finds them.
        symbol = symbols.Group(results) if len(results) > 1 else results[0]
        wanted = [int(name[1:]) for name in symbol.list_arguments()]
        operation = self.mxnet.nd.CachedOp(symbol, (("static_alloc", True), ("static_shape", True)))
        return lambda *given: operation(*[given[k] for k in wanted])
