"""How MXNet computes reductions with NumPy's meaning of axes, dtypes and empty results."""

from __future__ import annotations

import numpy as np

from minpy.runtime.primitives.kernels import ANY, ARITHMETIC, accumulator, reduced, reduction_limits
from minpy.runtime.primitives.rules import count, keeps
from minpy.runtime.primitives.table import FLOATS, Kernel, Scalar

# Unsigned integers are summed as uint64, which MXNet has not.
SUMMED = ANY - {"uint8"}


# NumPy sums squares of float16 in float16, and overflows where MXNet would not.
SPREAD = ARITHMETIC - {"float16"}


def kernel(operator, dtypes):
    def run(F, x, axis=None, dtype=None, out=None, keepdims=False, initial=None, where=True):
        return reduced(F, operator, accumulator(x, dtype), axis, keepdims)

    return Kernel(run, dtypes, reduction_limits)


def extreme_kernel(operator):
    def run(F, x, axis=None, out=None, keepdims=False, initial=None, where=True):
        return reduced(F, operator, x, axis, keepdims)

    def unless(x, axis=None, out=None, keepdims=False, initial=None, where=True, **others):
        return reduction_limits(x, axis, None, out, keepdims, initial, where, **others)

    return Kernel(run, ARITHMETIC, unless)


def truth_kernel(operator):
    def run(F, x, axis=None, out=None, keepdims=False, where=True):
        truth = reduced(F, operator, x.astype("bool").astype("uint8"), axis, keepdims)
        return Scalar(truth.handle.astype("bool")) if type(truth) is Scalar else truth.astype("bool")

    def unless(x, axis=None, out=None, keepdims=False, where=True, **others):
        return reduction_limits(x, axis, None, out, keepdims, None, where, **others)

    return Kernel(run, ANY, unless)


def place_kernel(operator):
    def run(F, x, axis=None, out=None, keepdims=False):
        if np.dtype(x.dtype) == np.float16:
            x = x.astype("float32")  # MXNet gives places in the operand's dtype
        if axis is None:
            shape = (1,) * len(x.shape)
            place = getattr(F, operator)(x.reshape((-1,)), axis=0, keepdims=True).astype("int64")
            return place.reshape(shape) if keeps(keepdims) else Scalar(place)
        place = getattr(F, operator)(x, axis=int(axis) % len(x.shape), keepdims=keeps(keepdims)).astype(
            "int64"
        )
        return Scalar(place) if len(x.shape) == 1 and not keeps(keepdims) else place

    def unless(x, axis=None, out=None, keepdims=False, **others):
        if isinstance(axis, tuple):
            return "an axis that is not an int"
        if isinstance(x, np.ndarray) and x.size > 2**24:
            return "more than 2**24 elements: MXNet gives places as floats"
        return reduction_limits(x, axis, None, out, keepdims, **others)

    return Kernel(run, FLOATS, unless)


def mean_run(F, x, axis=None, dtype=None, out=None, keepdims=False, *, where=True):
    return averaged(F, x, axis, dtype, keepdims)


def averaged(F, x, axis, dtype, keepdims):
    wide, final = working(x, dtype)
    return finished(reduced(F, "mean", wide, axis, keepdims), final)


def working(x, dtype):
    """`x` in the dtype in which NumPy averages it, and the dtype of the result."""
    if dtype is not None:
        return x.astype(np.dtype(dtype).name), np.dtype(dtype)
    kind = np.dtype(x.dtype)
    if kind.kind != "f":
        return x.astype("float64"), np.dtype("float64")
    return (x.astype("float32") if kind.itemsize == 2 else x), kind


def finished(result, dtype):
    if type(result) is Scalar:
        return Scalar(finished(result.handle, dtype))
    return result if np.dtype(result.dtype) == dtype else result.astype(dtype.name)


def spread_run(root):
    def run(F, x, axis=None, dtype=None, out=None, ddof=0, keepdims=False, *, where=True):
        wide, final = working(x, dtype)
        middle = reduced(F, "mean", wide, axis, True)
        centred = F.broadcast_sub(wide, middle)
        n = count(x, axis)
        total = reduced(F, "sum", F.multiply(centred, centred), axis, keepdims)
        handle = (total.handle if type(total) is Scalar else total) / (n - ddof)
        handle = F.sqrt(handle) if root else handle
        return finished(Scalar(handle) if type(total) is Scalar else handle, final)

    return run


def float_limits(x, axis=None, dtype=None, out=None, *rest, **kwargs):
    if dtype is not None and np.dtype(dtype).kind != "f":
        return f"the kernel has no accumulator of dtype {np.dtype(dtype)}"
    ddof = kwargs.pop("ddof", 0)
    reason = reduction_limits(x, axis, dtype, out, **kwargs)
    if reason is None and ddof and not (isinstance(ddof, (int, float)) and ddof < count(x, axis)):
        return "no degrees of freedom are left"
    return reason


def var_limits(x, axis=None, dtype=None, out=None, ddof=0, keepdims=False, **kwargs):
    return float_limits(x, axis, dtype, out, ddof=ddof, keepdims=keepdims, **kwargs)


def mean_limits(x, axis=None, dtype=None, out=None, keepdims=False, **kwargs):
    return float_limits(x, axis, dtype, out, keepdims=keepdims, **kwargs)


def cumsum_run(F, x, axis=None, dtype=None, out=None):
    x = accumulator(x, dtype)
    return F.cumsum(x.reshape((-1,)), axis=0) if axis is None else F.cumsum(x, axis=int(axis) % len(x.shape))


def cumsum_limits(x, axis=None, dtype=None, out=None):
    if isinstance(axis, tuple):
        return "an axis that is not an int"
    return reduction_limits(x, axis, dtype, out)


def nansum_run(F, x, axis=None, dtype=None, out=None, keepdims=False, initial=None, where=True):
    # MXNet's own nansum makes NaN of infinities.
    return reduced(F, "sum", accumulator(F.where(x == x, x, F.zeros_like(x)), dtype), axis, keepdims)
