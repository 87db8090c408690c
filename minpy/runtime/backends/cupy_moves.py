"""CuPy's kernels that pick, copy, join and make arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from minpy.runtime.backends.cupy_kernels import (
    BOOL,
    DTYPES,
    INTEGERS,
    KERNELS,
    PROMOTED,
    SAME,
    SINGLE,
    Mirror,
    fill,
    function,
    in_bounds,
)
from minpy.runtime.primitives.index import copy_limits
from minpy.runtime.primitives.kernels import axis_limits, like_limits, options

# ----- indexing ---------------------------------------------------------------------------------------------


def _get(F: Any, x: Any, index: Any) -> Any:
    def ready(part: Any) -> Any:
        return F.asarray(np.asarray(part)) if type(part) is list else part

    return x[tuple(map(ready, index)) if type(index) is tuple else ready(index)]


def _get_limits(x: Any, index: Any) -> str | None:
    parts = index if type(index) is tuple else (index,)
    if not any(isinstance(p, (list, np.ndarray)) for p in parts):
        if len(parts) < x.ndim or not all(type(p) is int for p in parts):
            return "no array among the indices"
        if type(x) is np.ndarray or x.storage.host_ok:
            return "an element that the host has"
    return in_bounds(index, x.shape)


KERNELS["getitem"] = Mirror(_get, DTYPES, _get_limits, False, None)


def _take_limits(a: Any, indices: Any, axis: Any = None, out: Any = None, mode: Any = "raise") -> str | None:
    if not isinstance(a, np.ndarray) or not isinstance(indices, (np.ndarray, list)) or mode != "raise":
        return "the kernel takes an array, and indices in bounds"
    indices = np.asarray(indices) if type(indices) is list else indices
    if indices.dtype.kind not in "iu" or not indices.ndim or axis_limits(a, axis) or isinstance(axis, tuple):
        return "the kernel takes integer indices"
    return in_bounds(indices, (a.size if axis is None else a.shape[axis],))


def _take(F: Any, a: Any, indices: Any, axis: Any = None, out: Any = None, mode: Any = "raise") -> Any:
    return F.take(a, F.asarray(np.asarray(indices)) if type(indices) is list else indices, axis=axis)


KERNELS["take"] = Mirror(_take, DTYPES, _take_limits, False, None)


def _along_limits(arr: Any, indices: Any, axis: Any) -> str | None:
    if not (isinstance(arr, np.ndarray) and isinstance(indices, np.ndarray)) or type(axis) is not int:
        return "the kernel takes two arrays and an axis"
    if arr.ndim != indices.ndim or not -arr.ndim <= axis < arr.ndim or indices.dtype.kind not in "iu":
        return "NumPy refuses these arguments"
    other = [
        (m, n) for i, (m, n) in enumerate(zip(arr.shape, indices.shape, strict=True)) if i != axis % arr.ndim
    ]
    if any(m != n for m, n in other):
        return "the shapes are broadcast"
    return in_bounds(indices, (arr.shape[axis],))


KERNELS["take_along_axis"] = Mirror(function("take_along_axis"), DTYPES, _along_limits, False, None)


def _scatter(F: Any, g: Any, index: Any, shape: tuple[int, ...]) -> Any:
    full = F.zeros(shape, g.dtype)
    F.add.at(full, tuple(F.asarray(np.asarray(p)) if type(p) is list else p for p in index) if type(index) is tuple
             else F.asarray(np.asarray(index)) if type(index) is list else index, g)  # fmt: skip
    return full


def _scatter_limits(g: Any, index: Any, shape: tuple[int, ...]) -> str | None:
    if not isinstance(g, np.ndarray) or g.dtype.name not in SINGLE:
        return "the kernel adds up single and double precision"
    return in_bounds(index, tuple(shape))


# (The dtypes are those of the indices too.)
KERNELS["index_scatter"] = Mirror(_scatter, SINGLE | INTEGERS | BOOL, _scatter_limits, False, SAME)


KERNELS["copy"] = Mirror(lambda F, a, order="K", subok=False: a.copy(), DTYPES, copy_limits, False, SAME)


def _row_limits(a: Any, dtype: Any = None, **kwargs: Any) -> str | None:
    if not isinstance(a, np.ndarray) or a.flags.c_contiguous or options(kwargs):
        return "the array itself, or the kernel takes none such"
    return None if dtype is None or np.dtype(dtype) == a.dtype else "the kernel converts no dtypes"


KERNELS["ascontiguousarray"] = Mirror(
    lambda F, a, dtype=None: F.ascontiguousarray(a), DTYPES, _row_limits, False, SAME
)


def _array_limits(a: Any, dtype: Any = None, **kwargs: Any) -> str | None:
    if not isinstance(a, np.ndarray) or not a.ndim or not a.flags.c_contiguous or options(kwargs, "copy"):
        return "the kernel copies an array in C order"
    return None if dtype is None or np.dtype(dtype) == a.dtype else "the kernel converts no dtypes"


KERNELS["array"] = Mirror(lambda F, a, dtype=None, **kwargs: a.copy(), DTYPES, _array_limits, False, SAME)


def _cast_limits(x: Any, dtype: Any, casting: str = "unsafe") -> str | None:
    new = np.dtype(dtype)
    if new.name not in DTYPES or not new.isnative:
        return f"CuPy has no dtype {new}"
    if x.dtype.kind in "fc" and new.kind in "iub":
        return "floats become integers by the host's rules"
    if x.dtype.kind == "c" and new.kind != "c":
        return "the imaginary part is dropped, with a warning"
    if not np.can_cast(x.dtype, new, casting) or not x.flags.c_contiguous:
        return "the kernel is not used for this conversion"
    return None


KERNELS["astype"] = Mirror(
    lambda F, x, dtype, casting="unsafe": x.astype(np.dtype(dtype)), DTYPES, _cast_limits, False, None
)


# ----- shapes and joins -------------------------------------------------------------------------------------


def _reshape_limits(a: Any, *shape: Any, order: str = "C", **kwargs: Any) -> str | None:
    from minpy.runtime.primitives.shape import _copies

    if not isinstance(a, np.ndarray) or order != "C" or kwargs:
        return "the kernel copies in C order"
    reason = _copies(a, order)
    if reason is None:
        try:
            np.broadcast_to(np.empty((), a.dtype), a.shape).reshape(*shape or [-1])
        except (TypeError, ValueError):
            return "NumPy refuses this shape"
    return reason


def _reshape(F: Any, a: Any, shape: Any = -1, order: str = "C") -> Any:
    return F.reshape(a, shape)


fill("reshape ravel", lambda n: Mirror(_reshape, DTYPES, _reshape_limits, False, SAME))


def _joins(arrays: Any, axis: Any = 0, **kwargs: Any) -> str | None:
    if type(arrays) not in (list, tuple) or not arrays or not all(isinstance(a, np.ndarray) for a in arrays):
        return "the kernel joins a list of arrays"
    if kwargs and options(kwargs):
        return options(kwargs)
    if not isinstance(axis, (int, np.integer)):
        return "an axis that is not an int"
    return None


def _same_shape(arrays: Any, *args: Any, **kwargs: Any) -> str | None:
    reason = _joins(arrays, *args, **kwargs)
    return reason or (None if len({a.shape for a in arrays}) == 1 else "the shapes differ")


def _joining(name: str, unless: Any = _joins) -> Mirror:
    def run(F: Any, arrays: Any, *args: Any, **kwargs: Any) -> Any:
        dtype = np.result_type(*[a.dtype for a in arrays])
        return getattr(F, name)(
            [a.astype(dtype, copy=False) for a in arrays],
            *args,
            **{k: v for k, v in kwargs.items() if v is not None},
        )

    return Mirror(run, DTYPES, unless, False, PROMOTED)


fill("concatenate hstack vstack dstack column_stack", _joining)
KERNELS["row_stack"] = _joining("vstack")
KERNELS["stack"] = _joining("stack", _same_shape)


def _repeat_limits(a: Any, repeats: Any, axis: Any = None) -> str | None:
    if type(repeats) is not int or repeats < 1 or isinstance(axis, tuple):
        return "the kernel repeats each element a fixed number of times"
    return axis_limits(a, axis)


def _tile_limits(A: Any, reps: Any) -> str | None:
    counts = reps if type(reps) in (tuple, list) else (reps,)
    fits = isinstance(A, np.ndarray) and all(type(n) is int and n > 0 for n in counts)
    return None if fits else "the kernel takes an array and positive ints"


def _roll_limits(a: Any, shift: Any, axis: Any = None) -> str | None:
    if type(shift) is not int or isinstance(axis, tuple):
        return "the kernel rolls along one axis"
    return axis_limits(a, axis)


def _pad_limits(array: Any, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> str | None:
    if (
        not isinstance(array, np.ndarray)
        or mode not in ("constant", "edge")
        or not set(kwargs) <= {"constant_values"}
    ):
        return "the kernel pads with a constant or the edge"
    value = kwargs.get("constant_values", 0)
    if type(value) not in (int, float) or np.result_type(array.dtype, value) != array.dtype:
        return "the constant is no number of the array's dtype"
    try:
        widths = np.broadcast_to(pad_width, (array.ndim, 2))
    except ValueError:
        return "NumPy refuses these widths"
    return None if widths.dtype.kind in "iu" and (widths >= 0).all() else "NumPy refuses these widths"


def _triangle_limits(m: Any, k: Any = 0) -> str | None:
    fits = isinstance(m, np.ndarray) and m.ndim >= 2 and type(k) is int
    return None if fits else "the kernel takes a matrix"


KERNELS["repeat"] = Mirror(function("repeat"), DTYPES, _repeat_limits, False, SAME)
KERNELS["tile"] = Mirror(function("tile"), DTYPES, _tile_limits, False, SAME)
KERNELS["roll"] = Mirror(function("roll"), DTYPES, _roll_limits, False, SAME)
KERNELS["pad"] = Mirror(function("pad"), DTYPES - BOOL, _pad_limits, False, SAME)
fill("tril triu", lambda n: Mirror(function(n), DTYPES, _triangle_limits, False, SAME))


def _diff_limits(a: Any, n: Any = 1, axis: Any = -1, *rest: Any, **kwargs: Any) -> str | None:
    if rest or kwargs or type(n) is not int or type(axis) is not int or n < 1 or axis_limits(a, axis):
        return "the kernel takes an array, a count and an axis"
    return None if n < a.shape[axis] else "nothing is left"


KERNELS["diff"] = Mirror(function("diff"), SINGLE | INTEGERS, _diff_limits, False, SAME)


# ----- arrays out of nothing --------------------------------------------------------------------------------


def _shape_limits(
    shape: Any, dtype: Any = None, order: Any = "C", like: Any = None, **kwargs: Any
) -> str | None:
    from minpy.runtime.primitives.create import _lengths

    try:
        lengths, dtype = _lengths(shape), np.dtype(dtype)
    except (TypeError, ValueError):
        return "NumPy refuses these arguments"
    if dtype.name not in DTYPES or not dtype.isnative:
        return f"CuPy has no dtype {dtype}"
    if order not in ("C", "K", "A", None) or like is not None or kwargs:
        return "the memory layout is not C"
    return (
        None
        if lengths and all(n > 0 for n in lengths)
        else "a 0-d or empty array: nothing for a device to do"
    )


def _made(name: str) -> Mirror:
    # What is empty holds zeros: whatever lay there before is nobody's business.
    function = {"empty": "zeros"}.get(name, name)
    return Mirror(
        lambda F, shape, dtype=None, order="C": getattr(F, function)(shape, dtype=np.dtype(dtype)),
        DTYPES,
        _shape_limits,
        False,
        None,
    )


fill("zeros ones empty", _made)


def _made_like(name: str) -> Mirror:
    function = {"zeros_like": "zeros", "ones_like": "ones", "empty_like": "zeros"}[name]

    def run(
        F: Any, a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None
    ) -> Any:
        return getattr(F, function)(
            a.shape if shape is None else shape, dtype=np.dtype(a.dtype if dtype is None else dtype)
        )

    return Mirror(run, DTYPES, like_limits(_shape_limits), False, None)


fill("zeros_like ones_like empty_like", _made_like)


def _fits(value: int, dtype: np.dtype) -> bool:
    return bool(np.iinfo(dtype).min <= value <= np.iinfo(dtype).max)


def _full(F: Any, shape: Any, fill_value: Any, dtype: Any = None, order: str = "C") -> Any:
    made = np.asarray(fill_value).dtype if dtype is None else np.dtype(dtype)
    return F.full(shape, fill_value, dtype=made)


def _full_limits(
    shape: Any, fill_value: Any, dtype: Any = None, order: str = "C", like: Any = None
) -> str | None:
    if type(fill_value) not in (bool, int, float):
        return "the fill value is no number"
    made = np.asarray(fill_value).dtype if dtype is None else np.dtype(dtype)
    if made.kind in "iu" and (
        type(fill_value) is float or not np.iinfo(made).min <= fill_value <= np.iinfo(made).max
    ):
        return "the fill value does not fit"
    return _shape_limits(shape, made, order, like)


KERNELS["full"] = Mirror(
    _full,
    DTYPES, _full_limits, False, None,
)  # fmt: skip


def _range_limits(*args: Any, **kwargs: Any) -> str | None:
    if kwargs or not 1 <= len(args) <= 3 or not all(type(a) is int and abs(a) < 2**62 for a in args):
        return "only ranges of ints: those of floats are NumPy's"
    return None if len(range(*args)) else "an empty array: nothing for a device to do"


KERNELS["arange"] = Mirror(
    lambda F, *args: F.arange(*args, dtype=np.arange(0).dtype), DTYPES, _range_limits, False, None
)


def _eye_limits(
    N: Any, M: Any = None, k: Any = 0, dtype: Any = float, order: str = "C", **kwargs: Any
) -> str | None:
    if not all(type(v) is int for v in (N, M if M is not None else 1, k)):
        return "the kernel takes ints"
    return _shape_limits((N, N if M is None else M), dtype, order, **kwargs)


KERNELS["eye"] = Mirror(
    lambda F, N, M=None, k=0, dtype=float, order="C": F.eye(N, M, k, np.dtype(dtype)),
    DTYPES,
    _eye_limits,
    False,
    None,
)
KERNELS["identity"] = Mirror(
    lambda F, n, dtype=None: F.eye(n, dtype=np.dtype(dtype)),
    DTYPES,
    lambda n, dtype=None, **kwargs: _eye_limits(n, None, 0, dtype, **kwargs),
    False,
    None,
)
