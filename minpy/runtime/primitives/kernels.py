"""What MXNet kernels of several primitives share: when they apply, and casts to NumPy's result dtypes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minpy.runtime.primitives.table import BOOL, FLOATS, INTS, Kernel, Scalar

ARITHMETIC = FLOATS | INTS
ANY = FLOATS | INTS | BOOL
# MXNet passes scalars, and reads int64 in some kernels, as float64.
EXACT = 2**53
MOST_DIMENSIONS = 5


def options(kwargs: dict, *known: str) -> str | None:
    """A reason if the caller gave options that are not `known`: kernels have none, unless they say so."""
    given = [name for name, value in kwargs.items() if value is not None and name not in known]
    return f"the kernel has no option {', '.join(given)}=" if given else None


def unary_limits(x: Any, *rest: Any, **kwargs: Any) -> str | None:
    """Conditions of element-wise kernels of one operand."""
    if rest or not isinstance(x, np.ndarray):
        return "the kernel takes one array"
    return options(kwargs) if kwargs else None


def binary_limits(x: Any, y: Any, *rest: Any, **kwargs: Any) -> str | None:
    """Conditions of element-wise kernels of two operands."""
    if rest:
        return "the kernel takes two operands"
    if kwargs:
        reason = options(kwargs)
        if reason is not None:
            return reason
    from minpy.runtime.array import host

    shapes = []
    for operand in (x, y):
        if isinstance(operand, np.ndarray) and operand.ndim:
            shapes.append(operand.shape)
            continue
        value = operand.item() if type(operand) is np.ndarray else host(operand)
        if isinstance(value, (int, np.integer)) and abs(int(value)) > EXACT:
            return "an integer beyond 2**53: MXNet passes scalars as float64"
    if len(shapes) == 2 and shapes[0] != shapes[1]:
        if max(map(len, shapes)) > MOST_DIMENSIONS:
            return f"broadcasting in more than {MOST_DIMENSIONS} dimensions"
        if not _compatible(*shapes):
            return "the shapes cannot be broadcast"
    return None


def _compatible(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return all(m == n or 1 in (m, n) for m, n in zip(a[::-1], b[::-1], strict=False))


def no_bool(handle: Any) -> Any:
    """`handle`, boolean ones as uint8: few MXNet kernels know booleans."""
    return handle.astype("uint8") if getattr(handle, "dtype", None) == np.bool_ else handle


def floating(handle: Any) -> Any:
    """`handle` in the dtype in which NumPy computes a real function of it.

    That is float16 for 8-bit integers and float64 for wide ones.
    """
    dtype = getattr(handle, "dtype", None)
    if dtype is None or np.dtype(dtype).kind == "f":
        return handle
    return handle.astype("float16" if np.dtype(dtype).itemsize == 1 else "float64")


def unary(operator: str | Callable[..., Any], dtypes: frozenset[str] = FLOATS) -> Kernel:
    """An element-wise kernel: the MXNet operator of that name, or ``operator(F, x)``."""
    run = operator if callable(operator) else lambda F, x: getattr(F, operator)(x)
    return Kernel(run, dtypes, unary_limits)


def real_function(operator: str) -> Kernel:
    """An element-wise kernel for floats and for integers, whose values are real."""
    return Kernel(lambda F, x: getattr(F, operator)(floating(x)), ARITHMETIC, unary_limits)


def binary(operator: str | Callable[..., Any], dtypes: frozenset[str] = ARITHMETIC) -> Kernel:
    """An element-wise kernel of two operands, cast to their common dtype first."""
    run = operator if callable(operator) else lambda F, x, y: getattr(F, operator)(x, y)
    return Kernel(run, dtypes, binary_limits, cast=True)


def comparison(operator: str) -> Kernel:
    """An element-wise kernel with boolean results."""
    return Kernel(
        lambda F, x, y: getattr(F, operator)(no_bool(x), no_bool(y)).astype("bool"),
        ANY,
        binary_limits,
        cast=True,
    )


# ----- reductions -------------------------------------------------------------------------------------------


def axis_limits(x: Any, axis: Any) -> str | None:
    """Conditions of kernels that take an array, and axes of it."""
    if not isinstance(x, np.ndarray) or not x.ndim:
        return "the kernel takes one array"
    if axis is None:
        return None
    axes = axis if isinstance(axis, tuple) else (axis,)
    if not axes or not all(isinstance(a, (int, np.integer)) and not isinstance(a, bool) for a in axes):
        return "an axis that is not an int, or none"
    if any(not -x.ndim <= a < x.ndim for a in axes) or len({a % x.ndim for a in axes}) < len(axes):
        return "an axis out of range, or given twice"
    return None


def reducing(accumulators: frozenset[str], most: int = 64) -> Callable[..., str | None]:
    """The conditions of a device's reduction kernels.

    Parameters
    ----------
    accumulators : frozenset of str
        The dtypes that ``dtype=`` may name.
    most : int
        The most axes of an array.
    """

    def limits(
        x: Any,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        keepdims: Any = False,
        initial: Any = None,
        where: Any = True,
        ddof: Any = 0,
        **others: Any,
    ) -> str | None:
        if where is not True and where is not np._NoValue:
            return "the kernel has no option where="
        if initial is not None and initial is not np._NoValue:
            return "the kernel has no option initial="
        if others and options(others):
            return options(others)
        if dtype is not None and np.dtype(dtype).name not in accumulators:
            return f"the kernel has no accumulator of dtype {np.dtype(dtype)}"
        if isinstance(x, np.ndarray) and x.ndim > most:
            return f"a reduction of more than {most} dimensions"
        return axis_limits(x, axis)

    return limits


reduction_limits = reducing(ARITHMETIC, MOST_DIMENSIONS)


def reduced(F: Any, operator: str, x: Any, axis: Any = None, keepdims: Any = False) -> Any:
    """The MXNet reduction `operator` of `x` with NumPy's meaning of `axis` and `keepdims`."""
    kept = keepdims is not np._NoValue and bool(keepdims)
    ndim = len(x.shape)
    axes = (
        tuple(range(ndim))
        if axis is None
        else tuple(int(a) % ndim for a in (axis if isinstance(axis, tuple) else (axis,)))
    )
    result = getattr(F, operator)(x, axis=axes, keepdims=kept)
    return result if kept or len(axes) < ndim else Scalar(result)


def accumulator(x: Any, dtype: Any) -> Any:
    """`x` in the dtype in which NumPy sums it: that asked for, or at least int64 for integers."""
    if dtype is not None:
        return x.astype(np.dtype(dtype).name)
    kind = np.dtype(x.dtype).kind
    return x.astype("int64") if kind in "bi" else x


def spread(F: Any, x: Any, shape: tuple[int, ...]) -> Any:
    """`x` broadcast to `shape` as NumPy would."""
    if x.shape == shape:
        return x
    return F.broadcast_to(x.reshape((1,) * (len(shape) - len(x.shape)) + x.shape), shape=shape)


def like_limits(limits: Callable[[Any, Any, str], str | None]) -> Callable[..., str | None]:
    """When an array like another one can be made: `limits` asks its shape, dtype and order."""

    def unless(
        a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None
    ) -> str | None:
        if not isinstance(a, np.ndarray):
            return "no array operand"
        if order == "K" and not a.flags.c_contiguous:
            return "the memory layout is not C"
        return limits(a.shape if shape is None else shape, a.dtype if dtype is None else dtype, order)

    return unless
