"""Element-wise work on a GPU that is put off until somebody needs it, and then done by one kernel.

An operation on arrays in a card's memory costs a launch, and as many passes over memory as it has operands. So the
back end only notes what is to be done: a `Node`, with a `Lazy` as the handle that the runtime gets. When contents are
needed (by a copy to the host, a reduction, a product, a write into an operand) the graph behind the handle becomes the
text of a CUDA kernel, which reads each leaf once and writes what somebody still holds; temporaries that nobody holds
exist in registers only. This sees chains across statements, and the sweep of a tape like the program's own expressions.

Kernels are compiled (NVRTC, kept on disk by CuPy) for structures that have shown to be worth it; until then, and where
compiling fails, the nodes are computed one by one. The arithmetic is the same either way: no contraction to fused
multiply-adds.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from minpy.runtime.backends.graph import Node, PutOff, held, order
from minpy.runtime.backends.graph import leaves as leaves_of

_C = {"float32": "float", "float64": "double", "bool": "bool"}
_LEAVES = _C | {
    "int8": "signed char", "uint8": "unsigned char", "int16": "short", "uint16": "unsigned short", "int32": "int",
    "uint32": "unsigned int", "int64": "long long", "uint64": "unsigned long long",
}  # fmt: skip

_LEAF_CHARS = "fd?bBhHiIlLqQ"

# What each operation is in C, by the names of the table's rows. {t} is the type of the operands.
OPERATIONS: dict[str, str] = {
    "add": "{0} + {1}", "subtract": "{0} - {1}", "multiply": "{0} * {1}", "divide": "{0} / {1}",
    "true_divide": "{0} / {1}", "negative": "-{0}", "square": "{0} * {0}", "reciprocal": "({t})1 / {0}",
    "absolute": "fabs({0})", "abs": "fabs({0})", "fabs": "fabs({0})", "sqrt": "sqrt({0})", "cbrt": "cbrt({0})",
    "exp": "exp({0})", "exp2": "exp2({0})", "expm1": "expm1({0})", "log": "log({0})", "log2": "log2({0})",
    "log10": "log10({0})", "log1p": "log1p({0})", "sin": "sin({0})", "cos": "cos({0})", "tan": "tan({0})",
    "arcsin": "asin({0})", "arccos": "acos({0})", "arctan": "atan({0})", "sinh": "sinh({0})", "cosh": "cosh({0})",
    "tanh": "tanh({0})", "arcsinh": "asinh({0})", "arccosh": "acosh({0})", "arctanh": "atanh({0})",
    "floor": "floor({0})", "ceil": "ceil({0})", "trunc": "trunc({0})", "rint": "rint({0})",
    "power": "pow({0}, {1})", "hypot": "hypot({0}, {1})", "arctan2": "atan2({0}, {1})",
    # NaN wins, as with NumPy.
    "maximum": "({0} != {0} || {0} > {1}) ? {0} : {1}", "minimum": "({0} != {0} || {0} < {1}) ? {0} : {1}",
    "equal": "{0} == {1}", "not_equal": "{0} != {1}", "greater": "{0} > {1}", "greater_equal": "{0} >= {1}",
    "less": "{0} < {1}", "less_equal": "{0} <= {1}",
    "where": "{0} ? {1} : {2}",
}  # fmt: skip

# Reductions whose operand is computed on the way: where they begin, and how an element is taken in.
REDUCTIONS: dict[str, tuple[str, str]] = {
    "sum": ("0", "r += v;"),
    "mean": ("0", "r += v;"),
    "max": ("v", "r = (v != v || r < v) ? ((r != r) ? r : v) : r;"),
    "min": ("v", "r = (v != v || r > v) ? ((r != r) ? r : v) : r;"),
}
_EACH = 32  # elements that a thread takes in at least, before another one shares its row
_MOST_THREADS = 1 << 18

MOST_NODES, MOST_LEAVES, MOST_OUTPUTS, MOST_AXES = 32, 12, 8, 8
THREADS = 256
# A structure is compiled once it was computed so often, or with so many elements times operations in all.
_OFTEN, _MUCH = 20, 200_000_000


class Lazy:
    """A handle whose contents may still have to be computed; `array` is where they will be."""

    __slots__ = ("__weakref__", "array", "node")

    def __init__(self, array: Any, node: Node) -> None:
        self.array, self.node = array, node
        node.lazy = weakref.ref(self)

    shape = property(lambda self: self.array.shape)
    dtype = property(lambda self: self.array.dtype)
    ndim = property(lambda self: self.array.ndim)
    size = property(lambda self: self.array.size)
    strides = property(lambda self: self.array.strides)


class Fuser(PutOff):
    """What is put off on one device."""

    handle = Lazy

    def __init__(self, cupy: Any) -> None:
        super().__init__()
        self.cupy = cupy
        self.works = hasattr(cupy, "RawKernel")
        self.why = ""  # why kernels are not compiled any more
        self.compiled = self.launched = 0
        self._kernels: dict[str, Any] = {}
        self._seen: dict[tuple, list[float]] = {}

    def defer(
        self, name: str, operands: list[Any], kind: np.dtype, dtype: np.dtype, shape: tuple
    ) -> Lazy | None:
        """Put an operation off; None if it has to be done at once. The caller is on the device."""
        if name not in OPERATIONS or kind.char not in "fd" or dtype.char not in "fd?":
            return None
        if len(shape) > MOST_AXES or not shape:
            return None
        made = []
        for operand in operands:
            if type(operand) is Lazy:
                node = operand.node
                made.append(node if node is not None and operand.shape == shape else self.array(operand))
            elif isinstance(operand, np.generic):
                made.append(operand)
            elif operand.dtype.char in _LEAF_CHARS and operand.ndim:
                made.append(operand)
            else:
                return None
        if (
            sum([o.count for o in made if type(o) is Node]) >= MOST_NODES
            or len(leaves_of(made)) > MOST_LEAVES
        ):
            made = [self._settled(o) if type(o) is Node else o for o in made]
        lazy = Lazy(self.cupy.empty(shape, dtype), Node(name, tuple(made), kind, dtype))
        self._pending.add(lazy)
        return lazy

    def _settled(self, node: Node) -> Any:
        lazy = node.holder()
        if lazy is None:  # nobody holds it: it gets a place
            lazy = Lazy(self.cupy.empty(self._shape(node), node.dtype), node)
        return self.array(lazy)

    def _shape(self, node: Node) -> tuple:
        shapes = [
            self._shape(o) if type(o) is Node else o.shape
            for o in node.operands
            if not isinstance(o, np.generic)
        ]
        return np.broadcast_shapes(*shapes)

    def before_write(self, target: Any) -> None:
        """Compute what still has to read from the memory of `target`, before that changes."""
        with self.lock:
            for lazy in list(self._pending):
                node = lazy.node
                if node is not None and any(
                    self.cupy.may_share_memory(leaf, target) for leaf in leaves_of([node])
                ):
                    self._compute(lazy)

    def _compute(self, lazy: Lazy) -> None:
        nodes = order(lazy.node)
        # What somebody holds is written by the same kernel; the rest is needed on the way only.
        outputs = held(nodes, lazy, MOST_OUTPUTS)
        if not (len(nodes) > 1 and self._launch(nodes, outputs, lazy.shape, lazy.size)):
            self._one_by_one(nodes, outputs)
        for node, owner in outputs:
            owner.node = None
            self._pending.discard(owner)
            node.settle(owner.array)

    # ----- one by one

    def _one_by_one(self, nodes: list[Node], outputs: list[tuple[Node, Lazy]]) -> None:
        values: dict[int, Any] = {}
        place = {id(node): owner.array for node, owner in outputs}
        for node in nodes:
            operands = []
            for i, operand in enumerate(node.operands):
                if type(operand) is Node:
                    operand = values[id(operand)] if operand.name else operand.operands[0]
                if not isinstance(operand, np.generic):
                    kind = np.dtype(bool) if node.name == "where" and not i else node.kind
                    operand = operand if operand.dtype == kind else operand.astype(kind)
                operands.append(operand)
            result = getattr(self.cupy, node.name)(*operands)
            if id(node) in place:
                place[id(node)][...] = result
                result = place[id(node)]
            values[id(node)] = result

    # ----- in one

    def reduce(self, name: str, lazy: Lazy, kept: int) -> Any | None:
        """The reduction of what is put off over the axes from `kept` on, without writing it; None: do it first.

        Whoever holds the operand finds it put off still; it is computed then, which reads as much as the reduction of
        a written operand would have.
        """
        node = lazy.node
        if node is None or not self.works or lazy.dtype.kind != "f" or not lazy.size:
            return None
        shape = lazy.shape
        rows, columns = int(np.prod(shape[:kept], dtype=np.int64)), int(np.prod(shape[kept:], dtype=np.int64))
        threads = 1
        while threads * 2 * _EACH <= columns and rows * threads * 2 <= _MOST_THREADS:
            threads *= 2
        nodes = order(node)
        begin, take = REDUCTIONS[name]
        wide = np.dtype("float64") if name in ("sum", "mean") else lazy.dtype
        partial = self.cupy.empty((rows, threads), wide)
        if not self._launch(nodes, [], shape, lazy.size, (partial, begin, take, columns, threads)):
            return None
        last = getattr(self.cupy, {"mean": "sum"}.get(name, name))
        found = partial.reshape(rows) if threads == 1 else last(partial, axis=1)
        if name == "mean":
            found = self.cupy.divide(found, np.float64(columns))
        return found.astype(lazy.dtype).reshape(shape[:kept])

    def _launch(
        self,
        nodes: list[Node],
        outputs: list[tuple[Node, Lazy]],
        shape: tuple[int, ...],
        size: int,
        reduction: tuple | None = None,
    ) -> bool:
        if not self.works:
            return False
        leaves = leaves_of([nodes[-1]])
        numbers = [o for node in nodes for o in node.operands if isinstance(o, np.generic)]
        straight = [leaf.flags.c_contiguous and leaf.shape == shape for leaf in leaves]
        taking = None if reduction is None else (_C[reduction[0].dtype.name], *reduction[1:3])
        text = source(nodes, [node for node, _ in outputs], leaves, straight, len(shape), taking)
        kernel = self._kernels.get(text)
        if kernel is None:
            seen = self._seen.setdefault((len(text), hash(text)), [0.0, 0.0])
            seen[0] += 1
            seen[1] += size * len(nodes)
            if seen[0] < _OFTEN and seen[1] < _MUCH:
                return False
            try:
                kernel = self.cupy.RawKernel(text, "fused", options=("--fmad=false",))
                kernel.compile()
            except Exception as error:
                self.works, self.why = False, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
                return False
            self._kernels[text] = kernel
            self.compiled += 1
        extents = [np.int64(n) for n in shape]
        strides: list[Any] = []
        for leaf, plain in zip(leaves, straight, strict=True):
            if not plain:
                missing = len(shape) - leaf.ndim
                strides += [np.int64(0)] * missing
                strides += [
                    np.int64(0 if n == 1 else s // leaf.itemsize)
                    for n, s in zip(leaf.shape, leaf.strides, strict=True)
                ]
        n = size
        arguments = [np.int64(n), *leaves, *numbers, *[owner.array for _, owner in outputs]]
        if not all(straight):
            arguments += [*extents, *strides]
        if reduction is not None:
            partial, _, _, columns, threads = reduction
            arguments += [partial, np.int64(columns), np.int64(threads)]
            n = partial.size
        kernel(((n + THREADS - 1) // THREADS,), (THREADS,), tuple(arguments))
        self.launched += 1
        return True


def source(
    nodes: list[Node],
    outputs: list[Node],
    leaves: list[Any],
    straight: list[bool],
    axes: int,
    reduction: tuple[str, str, str] | None = None,
) -> str:
    """The text of the kernel that computes `outputs`, or a reduction of the last node.

    Parameters
    ----------
    nodes : list of Node
        All nodes, operands first.
    outputs : list of Node
        Those that are written.
    leaves : list
        The arrays that are read; only their dtypes count.
    straight : list of bool
        Which of them are read at the index of the result; the others through strides.
    axes : int
        How many axes the result has.
    reduction : tuple of str, optional
        The C type of what is collected, what it begins with, and the statement that takes in ``v``. Each thread
        leaves what it collected of its row.
    """
    parameters = ["const long long n"]
    parameters += [f"const {_LEAVES[leaf.dtype.name]}* __restrict__ a{i}" for i, leaf in enumerate(leaves)]
    names: dict[int, str] = {id(leaf): f"x{i}" for i, leaf in enumerate(leaves)}
    body: list[str] = []
    if not all(straight):
        body.append("    long long rest = i;")
        crooked = [i for i, plain in enumerate(straight) if not plain]
        body += [f"    long long p{i} = 0;" for i in crooked]
        for axis in reversed(range(axes)):
            step = f"rest % e{axis}" if axis else "rest"
            body.append(
                f"    {{ const long long q = {step};"
                + "".join(f" p{i} += q * s{i}_{axis};" for i in crooked)
                + " }"
            )
            if axis:
                body.append(f"    rest /= e{axis};")
    for i, leaf in enumerate(leaves):
        body.append(f"    const {_LEAVES[leaf.dtype.name]} x{i} = a{i}[{'i' if straight[i] else f'p{i}'}];")
    count = 0
    for k, node in enumerate(nodes):
        kind = _C[node.kind.name]
        operands = []
        for place, operand in enumerate(node.operands):
            if isinstance(operand, np.generic):
                parameters.append(f"const {kind} c{count}")
                operands.append(f"c{count}")
                count += 1
                continue
            if type(operand) is Node and not operand.name:
                operand = operand.operands[0]
            wanted = "bool" if node.name == "where" and place == 0 else kind
            operands.append(f"({wanted}){names[id(operand)]}")
        names[id(node)] = f"t{k}"
        text = OPERATIONS[node.name].format(*operands, t=kind)
        body.append(f"    const {_C[node.dtype.name]} t{k} = {text};")
    for i, node in enumerate(outputs):
        parameters.append(f"{_C[node.dtype.name]}* __restrict__ o{i}")
        body.append(f"    o{i}[i] = {names[id(node)]};")
    if not all(straight):
        parameters += [f"const long long e{axis}" for axis in range(axes)]
        parameters += [f"const long long s{i}_{axis}" for i in crooked for axis in range(axes)]
    if reduction is None:
        inner = [
            "  for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n;",
            "       i += (long long)gridDim.x * blockDim.x) {",
            *body,
            "  }",
        ]
    else:
        collected, begin, take = reduction
        parameters += [f"{collected}* __restrict__ o", "const long long columns", "const long long threads"]
        inner = [
            "  const long long g = (long long)blockIdx.x * blockDim.x + threadIdx.x;",
            "  const long long row = g / threads, first = g % threads;",
            "  if (row * columns >= n) return;",
            f"  {collected} r = 0;",
            "  for (long long j = first; j < columns; j += threads) {",
            "    const long long i = row * columns + j;",
            *body,
            f"    const {collected} v = ({collected}){names[id(nodes[-1])]};",
            *([f"    if (j == first) r = {begin};"] if begin != "0" else []),
            f"    {take}",
            "  }",
            "  o[g] = r;",
        ]
    head = f'extern "C" __global__ void fused({", ".join(parameters)}) {{'
    return "\n".join([head, *inner, "}", ""])
