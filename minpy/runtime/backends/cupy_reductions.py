"""CuPy's kernels that reduce, sort and add up along axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from minpy.runtime.backends.cupy_kernels import (
    BOOL,
    COMPLEX,
    INTEGERS,
    KERNELS,
    NUMBERS,
    ONE,
    ORDERED,
    REAL,
    SAME,
    SINGLE,
    Mirror,
    fill,
    function,
)
from minpy.runtime.primitives.kernels import axis_limits, reducing

# ----- reductions -------------------------------------------------------------------------------------------


_reduces = reducing(NUMBERS - {"float16"})


def _kept(keepdims: Any) -> bool:
    return keepdims is not np._NoValue and bool(keepdims)


def _axes(axis: Any) -> Any:
    return tuple(int(a) for a in axis) if isinstance(axis, tuple) else axis if axis is None else int(axis)


def _reduction(name: str, dtypes: frozenset[str]) -> Mirror:
    def run(
        F: Any, x: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False,
        initial: Any = None, where: Any = True,
    ) -> Any:  # fmt: skip
        return getattr(F, name)(x, axis=_axes(axis), dtype=dtype, keepdims=_kept(keepdims))

    return Mirror(run, dtypes, _reduces, False, ONE)


fill("sum nansum", lambda n: _reduction(n, NUMBERS | BOOL))
fill("prod nanprod product", lambda n: _reduction({"product": "prod"}.get(n, n), NUMBERS - {"float16"}))


def _averages(
    x: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, *, where: Any = True
) -> str | None:
    if dtype is not None and np.dtype(dtype).name not in SINGLE | COMPLEX:
        return f"the kernel has no accumulator of dtype {np.dtype(dtype)}"
    return _reduces(x, axis, None, out, keepdims, None, where)


def _mean(
    F: Any,
    x: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = False,
    *,
    where: Any = True,
) -> Any:
    return F.mean(x, axis=_axes(axis), dtype=dtype, keepdims=_kept(keepdims))


KERNELS["mean"] = Mirror(_mean, NUMBERS | BOOL, _averages, False, ONE)


def _spread(name: str) -> Mirror:
    def run(
        F: Any, x: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: Any = 0, keepdims: Any = False, *,
        where: Any = True,
    ) -> Any:  # fmt: skip
        return getattr(F, name)(x, axis=_axes(axis), dtype=dtype, ddof=ddof, keepdims=_kept(keepdims))

    def unless(
        x: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: Any = 0, keepdims: Any = False, *,
        where: Any = True,
    ) -> str | None:  # fmt: skip
        reason = _averages(x, axis, dtype, out, keepdims, where=where)
        if reason is None:
            axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
            if not isinstance(ddof, (int, float)) or ddof >= np.prod([x.shape[a] for a in axes]):
                return "no degrees of freedom are left"
        return reason

    return Mirror(run, SINGLE | INTEGERS, unless, False, ONE)


fill("var std", _spread)


def _extreme(name: str, dtypes: frozenset[str], function: str = "") -> Mirror:
    def run(
        F: Any,
        x: Any,
        axis: Any = None,
        out: Any = None,
        keepdims: Any = False,
        initial: Any = None,
        where: Any = True,
    ) -> Any:
        return getattr(F, function or name)(x, axis=_axes(axis), keepdims=_kept(keepdims))

    def unless(
        x: Any,
        axis: Any = None,
        out: Any = None,
        keepdims: Any = False,
        initial: Any = None,
        where: Any = True,
    ) -> str | None:
        return _reduces(x, axis, None, out, keepdims, initial, where)

    return Mirror(run, dtypes, unless, False, ONE)


fill("max min amax amin", lambda n: _extreme(n, ORDERED, n[-3:]))


def _truth(name: str) -> Mirror:
    kernel = _extreme(name, ORDERED)

    def unless(
        x: Any, axis: Any = None, out: Any = None, keepdims: Any = False, *, where: Any = True
    ) -> str | None:
        return _reduces(x, axis, None, out, keepdims, None, where)

    return Mirror(kernel.run, ORDERED, unless, False, ONE)


fill("all any", _truth)
KERNELS["alltrue"], KERNELS["sometrue"] = _truth("all"), _truth("any")


def _place(name: str) -> Mirror:
    def run(F: Any, x: Any, axis: Any = None, out: Any = None, **kwargs: Any) -> Any:
        return getattr(F, name)(x, axis=axis if axis is None else int(axis))

    def unless(x: Any, axis: Any = None, out: Any = None, **kwargs: Any) -> str | None:
        if isinstance(axis, tuple) or _kept(kwargs.pop("keepdims", False)) or kwargs:
            return "an axis that is not an int, or an option"
        return axis_limits(x, axis)

    return Mirror(run, REAL | INTEGERS, unless, False, ONE)


fill("argmax argmin", _place)


def _running(name: str, dtypes: frozenset[str]) -> Mirror:
    def run(F: Any, x: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        return getattr(F, name)(x, axis=axis if axis is None else int(axis), dtype=dtype)

    def unless(x: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> str | None:
        if isinstance(axis, tuple):
            return "an axis that is not an int"
        return _reduces(x, axis, dtype)

    return Mirror(run, dtypes, unless, False, ONE)


fill(
    "cumsum cumprod cumproduct",
    lambda n: _running({"cumproduct": "cumprod"}.get(n, n), NUMBERS - {"float16"}),
)


# ----- sorting ----------------------------------------------------------------------------------------------


def _sort_limits(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, **kwargs: Any) -> str | None:
    if order is not None or kwargs:
        return "the kernel has no option order="
    return axis_limits(a, axis)


def _sort(F: Any, a: Any, axis: Any = -1, kind: Any = None, order: Any = None) -> Any:
    return F.sort(F.reshape(a, (-1,)), axis=0) if axis is None else F.sort(a, axis=int(axis))


KERNELS["sort"] = Mirror(_sort, SINGLE | INTEGERS, _sort_limits, False, SAME)


def _search_limits(a: Any, v: Any, side: Any = "left", sorter: Any = None) -> str | None:
    if not (isinstance(a, np.ndarray) and isinstance(v, np.ndarray)) or a.ndim != 1 or not v.ndim:
        return "the kernel takes two arrays"
    if a.dtype != v.dtype or sorter is not None or side not in ("left", "right"):
        return "the kernel takes arrays of one dtype, without sorter="
    return None


KERNELS["searchsorted"] = Mirror(function("searchsorted"), SINGLE | INTEGERS, _search_limits, False, None)
