"""The column of the table of primitives for CuPy: which of its functions computes a row, under which condition.

CuPy has NumPy's names and arguments, so most kernels are its function of that name. What stands here are the
conditions under which its results are NumPy's: its dtypes, its integers, its NaNs, its order among equals. A row that
is not named runs on the host, for the reason that `reason` gives. NumPy says of each call what dtype the result has
(`Mirror.expects`), and a kernel that gives another is not used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minpy.runtime.backends.base import arrays_in
from minpy.runtime.primitives.kernels import options
from minpy.runtime.primitives.table import Kernel, Primitive

REAL = frozenset(("float16", "float32", "float64"))
SINGLE = REAL - {"float16"}  # and double
COMPLEX = frozenset(("complex64", "complex128"))
INTEGERS = frozenset(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
BOOL = frozenset(("bool",))
DTYPES = REAL | COMPLEX | INTEGERS | BOOL
NUMBERS = REAL | COMPLEX | INTEGERS
ORDERED = REAL | INTEGERS | BOOL

# Ways to find the dtype of NumPy's result without its work.
EMPTY = "empty"  # call NumPy on operands of no elements
ONE = "one"  # call NumPy on operands of one element, of the same number of axes
PROMOTED = "promoted"  # that of the operands together
SAME = "same"  # that of the first operand


class Mirror(Kernel):
    """A kernel of CuPy's, and how the dtype of NumPy's result is found (None: any will do)."""

    __slots__ = ("expects",)

    def __init__(
        self,
        run: Callable[..., Any],
        dtypes: frozenset[str],
        unless: Callable[..., str | None] | None = None,
        cast: bool = False,
        expects: str | None = EMPTY,
    ) -> None:
        super().__init__(run, dtypes, unless, cast)
        self.expects = expects


KERNELS: dict[str, Mirror] = {}


def fill(text: str, kernel: Callable[[str], Mirror]) -> None:
    for name in text.split():
        KERNELS[name] = kernel(name)


def function(name: str) -> Callable[..., Any]:
    path = name.split(".")

    def run(F: Any, *args: Any, **kwargs: Any) -> Any:
        found = F
        for part in path:
            found = getattr(found, part)
        return found(*args, **kwargs)

    return run


def one(x: Any, *rest: Any, **kwargs: Any) -> str | None:
    if rest or not isinstance(x, np.ndarray):
        return "the kernel takes one array"
    return options(kwargs)


def unlike(*values: Any) -> str | None:
    shapes = [v.shape for v in values if isinstance(v, np.ndarray)]
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        return "the shapes cannot be broadcast"
    return None


# ----- indices ----------------------------------------------------------------------------------------------


def in_bounds(index: Any, shape: tuple[int, ...]) -> str | None:
    """Why a fancy index is none for the kernels, which wrap what is out of bounds instead of refusing it."""
    parts = list(index) if type(index) is tuple else [index]
    if any(p is Ellipsis for p in parts):
        at = next(i for i, p in enumerate(parts) if p is Ellipsis)
        parts[at : at + 1] = [slice(None)] * (len(shape) - sum(map(_takes, parts)))
    axis = 0
    for part in parts:
        if part is None:
            continue
        takes = _takes(part)
        if axis + takes > len(shape):
            return "too many indices"
        if type(part) is list:
            part = np.asarray(part)
        if isinstance(part, np.ndarray) and part.ndim:
            if part.dtype == bool:
                if part.shape != shape[axis : axis + takes]:
                    return "a mask of another shape"
            elif part.dtype.kind not in "iu":
                return "an index that is no integer"
            elif part.size:
                low, high = _extremes(part)
                if low < -shape[axis] or high >= shape[axis]:
                    return "an index is out of bounds"
        elif isinstance(part, (int, np.integer)) and not isinstance(part, (bool, np.bool_)):
            if not -shape[axis] <= part < shape[axis]:
                return "an index is out of bounds"
        elif type(part) is not slice:
            return "an index of another kind"
        axis += takes
    return None


def repeats(index: Any) -> bool:
    """Whether an index may name a place twice."""
    parts = index if type(index) is tuple else (index,)
    return any(isinstance(p, list) or (isinstance(p, np.ndarray) and p.dtype != bool) for p in parts)


def _takes(part: Any) -> int:
    if part is None or part is Ellipsis:
        return 0
    if isinstance(part, np.ndarray) and part.dtype == bool:
        return part.ndim
    return 1


def _extremes(part: Any) -> tuple[int, int]:
    if type(part) is np.ndarray:
        return int(part.min()), int(part.max())
    if part.storage.host_ok:
        return int(part.contents.min()), int(part.contents.max())
    return int(np.min(part)), int(np.max(part))  # two numbers come from the device, not the whole


# ----- what stays on the host -------------------------------------------------------------------------------

_REASONS = {
    "random": "random numbers are NumPy's own streams",
    "sorting": "the result's shape depends on the contents, or its order among equals is NumPy's own",
    "decompositions": "signs and order of the vectors are LAPACK's",
    "linalg": "LAPACK on the host",
    "fft": "one-dimensional transforms only",
    "other": "a question about arrays, no array work",
    "statistics": "NumPy's own formulas, in its order",
    "inplace": "writes go through the array",
}


def reason(primitive: Primitive) -> str:
    """Why a row without a kernel runs on the host."""
    if primitive.view:
        return "a view, or a copy of one"
    return _REASONS.get(primitive.family, "CuPy's function differs from NumPy's, or there is none")


def expected(kernel: Mirror, primitive: Primitive, args: tuple, kwargs: dict) -> Any:
    """The dtype of what NumPy gives; None if it does not matter, or NumPy would have to do the work to find out."""
    if kernel.expects is None:
        return None
    if kernel.expects == SAME:
        return args[0].dtype
    if kernel.expects == PROMOTED:
        return np.result_type(*[a.dtype for a in arrays_in(args)])

    def small(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            if not value.ndim:
                return value[()] if type(value) is np.ndarray else value.contents[()]
            return np.ones((1,) * value.ndim if kernel.expects == ONE else (0,) * value.ndim, value.dtype)
        return value

    given = {k: v for k, v in kwargs.items() if k not in ("out", "ddof")}
    with np.errstate(all="ignore"):
        return primitive.function(*map(small, args), **given).dtype


def of(primitive: Primitive) -> Mirror | str:
    """The kernel of a row, or the reason why there is none."""
    return KERNELS.get(primitive.name) or reason(primitive)


# At the end: they fill the table.
from minpy.runtime.backends import (  # noqa: E402
    cupy_elementwise,  # noqa: F401
    cupy_images,  # noqa: F401
    cupy_moves,  # noqa: F401
    cupy_products,  # noqa: F401
    cupy_reductions,  # noqa: F401
)
