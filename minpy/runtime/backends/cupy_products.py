"""CuPy's kernels of linear algebra."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minpy.runtime.backends.cupy_kernels import (
    COMPLEX,
    KERNELS,
    NUMBERS,
    PROMOTED,
    SAME,
    SINGLE,
    Mirror,
    fill,
    function,
)
from minpy.runtime.primitives.kernels import axis_limits

# ----- products ---------------------------------------------------------------------------------------------

_FACTORS = SINGLE | COMPLEX | frozenset(("int32", "int64"))


def _matrices(a: Any, b: Any, *rest: Any, **kwargs: Any) -> str | None:
    if (
        rest
        or kwargs
        or not (isinstance(a, np.ndarray) and isinstance(b, np.ndarray))
        or not a.ndim
        or not b.ndim
    ):
        return "the kernel multiplies two arrays"
    return None


def _dot_limits(a: Any, b: Any, *rest: Any, **kwargs: Any) -> str | None:
    reason = _matrices(a, b, *rest, **kwargs)
    return reason or (None if a.shape[-1] == b.shape[-2 if b.ndim > 1 else 0] else "the shapes do not fit")


def _product(name: str, unless: Any) -> Mirror:
    return Mirror(function(name), _FACTORS, unless, True, PROMOTED)


KERNELS["dot"] = _product("dot", _dot_limits)
for _name in ("matmul", "linalg.matmul"):
    KERNELS[_name] = _product("matmul", _dot_limits)
KERNELS["inner"] = _product(
    "inner", lambda a, b: _matrices(a, b) or (None if a.shape[-1] == b.shape[-1] else "the shapes do not fit")
)
KERNELS["outer"] = _product("outer", _matrices)
KERNELS["vdot"] = _product(
    "vdot", lambda a, b: _matrices(a, b) or (None if a.size == b.size else "the shapes do not fit")
)
KERNELS["kron"] = _product(
    "kron", lambda a, b: _matrices(a, b) or (None if a.ndim == b.ndim else "the shapes do not fit")
)


def _contraction(F: Any, a: Any, b: Any, axes: Any = 2) -> Any:
    dtype = np.result_type(a.dtype, b.dtype)
    return F.tensordot(a.astype(dtype, copy=False), b.astype(dtype, copy=False), axes=axes)


def _contraction_limits(a: Any, b: Any, axes: Any = 2) -> str | None:
    reason = _matrices(a, b)
    if reason is None:
        try:
            if not np.tensordot(_hollow(a), _hollow(b), axes).ndim:
                return "one number, in an array"
        except (ValueError, IndexError, TypeError):
            return "the shapes do not fit"
    return reason


def _hollow(a: Any) -> np.ndarray:
    """An array that fits where `a` does and has few elements."""
    return np.empty([min(n, 1 + n % 3) for n in a.shape], a.dtype)


KERNELS["tensordot"] = Mirror(_contraction, _FACTORS, _contraction_limits, False, PROMOTED)


def _einsum_limits(subscripts: Any, *operands: Any, **kwargs: Any) -> str | None:
    if type(subscripts) is not str or "." in subscripts or not set(kwargs) <= {"optimize"}:
        return "the kernel takes plain subscripts"
    inputs, arrow, output = subscripts.replace(" ", "").partition("->")
    parts = inputs.split(",")
    if not arrow or len(parts) != len(operands) or not all(isinstance(o, np.ndarray) for o in operands):
        return "the kernel takes arrays, and says what comes out"
    if any(len(set(part)) < len(part) for part in (*parts, output)) or len(parts) < 2:
        return "a label is repeated, or there is one operand only"
    return None


KERNELS["einsum"] = Mirror(
    lambda F, subscripts, *operands, **kwargs: F.einsum(subscripts, *operands),
    SINGLE | COMPLEX,
    _einsum_limits,
    False,
    PROMOTED,
)


# ----- linear algebra and transforms ------------------------------------------------------------------------


def _square(a: Any, *rest: Any, **kwargs: Any) -> str | None:
    if not isinstance(a, np.ndarray) or a.ndim != 2 or a.shape[0] != a.shape[1] or rest or kwargs:
        return "the kernel takes one square matrix"
    return None


def _solve_limits(a: Any, b: Any) -> str | None:
    if _square(a) or not isinstance(b, np.ndarray) or b.ndim not in (1, 2) or b.shape[0] != a.shape[0]:
        return "the kernel takes a square matrix, and a vector or a matrix"
    return None if a.dtype == b.dtype else "the kernel takes arrays of one dtype"


def _checked(name: str) -> Callable[..., Any]:
    """A function of cuSOLVER's that says when there is no solution."""

    def run(F: Any, *args: Any) -> Any:
        with F.raising():
            return getattr(F.linalg, name)(*args)

    return run


KERNELS["linalg.inv"] = Mirror(_checked("inv"), SINGLE, _square, False, SAME)
KERNELS["linalg.cholesky"] = Mirror(_checked("cholesky"), SINGLE, _square, False, SAME)
KERNELS["linalg.solve"] = Mirror(_checked("solve"), SINGLE, _solve_limits, False, SAME)


def _norm_limits(x: Any, ord: Any = None, axis: Any = None, keepdims: Any = False) -> str | None:
    if ord is not None or isinstance(axis, tuple):
        return "the kernel computes the Euclidean norm, along one axis"
    return axis_limits(x, axis)


KERNELS["linalg.norm"] = Mirror(
    lambda F, x, ord=None, axis=None, keepdims=False: F.linalg.norm(x, axis=axis, keepdims=bool(keepdims)),
    SINGLE, _norm_limits, False, SAME,
)  # fmt: skip

_DOUBLED = (
    int(np.__version__.partition(".")[0]) < 2
)  # NumPy 1 transforms in double precision, whatever it is given


def _transform(name: str, real: bool) -> Mirror:
    def run(F: Any, a: Any, *args: Any, **kwargs: Any) -> Any:
        if a.dtype.kind in "iub" or (_DOUBLED and a.dtype.itemsize < (8 if a.dtype.kind == "f" else 16)):
            a = a.astype("complex128" if a.dtype.kind == "c" else "float64")
        return getattr(F.fft, name)(a, *args, **kwargs)

    def unless(a: Any, n: Any = None, axis: Any = -1, norm: Any = None, **kwargs: Any) -> str | None:
        if kwargs or type(axis) is not int or (n is not None and (type(n) is not int or n < 1)):
            return "the kernel takes a length and an axis"
        if norm not in (None, "backward", "ortho", "forward"):
            return "NumPy refuses this norm"
        if real and isinstance(a, np.ndarray) and a.dtype.kind == "c":
            return "NumPy refuses complex numbers"
        return axis_limits(a, axis)

    return Mirror(run, NUMBERS - {"float16"}, unless, False, None)


fill("fft.fft fft.ifft fft.irfft", lambda n: _transform(n[4:], False))
KERNELS["fft.rfft"] = _transform("rfft", True)
