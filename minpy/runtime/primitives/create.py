"""Creation: arrays out of shapes, numbers and ranges."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from minpy.runtime.primitives.kernels import like_limits
from minpy.runtime.primitives.moves import cases
from minpy.runtime.primitives.table import DEVICE_DTYPES, Kernel, row

HOST = "computed once on the host, and copied when it is used"


def _lengths(shape: Any) -> tuple[int, ...]:
    try:
        return (operator.index(shape),)
    except TypeError:
        return tuple(operator.index(n) for n in shape)


def unusual(shape: Any, dtype: Any, order: Any = "C", like: Any = None, subok: Any = True) -> str | None:
    """Why a device does not make an array of this shape and dtype."""
    try:
        lengths, dtype = _lengths(shape), np.dtype(dtype)
    except (TypeError, ValueError):
        return "NumPy refuses these arguments"
    if dtype.name not in DEVICE_DTYPES or not dtype.isnative:
        return f"MXNet has no dtype {dtype}"
    if order not in ("C", "K", "A", None) or like is not None:
        return "the memory layout is not C"
    if not lengths or any(n < 1 for n in lengths):
        return "a 0-d or empty array: nothing for a device to do"
    return None


def _filled(value: float) -> Kernel:
    return Kernel(
        lambda F, shape, dtype=None, order="C": F.full(_lengths(shape), value, dtype=np.dtype(dtype)),
        unless=lambda shape, dtype=None, order="C", like=None: unusual(shape, dtype, order, like),
    )


_shapes = cases(
    lambda a: ((2, 3), a.dtype),
    lambda a: [((4,),), {"dtype": a.dtype}],
    lambda a: (3, a.dtype, "F"),
    lambda a: ((0, 2), a.dtype),
    lambda a: ((), a.dtype),
    lambda a: ([2, np.int64(1)], a.dtype),
)
row("zeros", cost="move", creates=True, mxnet=_filled(0), samples=_shapes)
row("ones", cost="move", creates=True, mxnet=_filled(1), samples=_shapes)
row("empty", cost="move", creates=True, mxnet=_filled(0), samples=_shapes)


def _like(value: float) -> Kernel:
    def run(
        F: Any, a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None
    ) -> Any:
        return F.full(
            a.shape if shape is None else _lengths(shape),
            value,
            dtype=np.dtype(a.dtype if dtype is None else dtype),
        )

    return Kernel(run, DEVICE_DTYPES, like_limits(unusual))


_likes = cases(
    lambda a: (a(2, 3),),
    lambda a: (a(3, 2).T,),
    lambda a: (a(0, 2),),
    lambda a: (a(),),
    lambda a: [(a(4)[::2],), {"dtype": np.float32}],
    lambda a: [(a(4),), {"shape": (2, 2)}],
)
for _name, _value in (("zeros_like", 0), ("ones_like", 1), ("empty_like", 0)):
    row(_name, cost="move", geometry=True, creates=True, mxnet=_like(_value), samples=_likes)


def _number(value: Any) -> str | None:
    if isinstance(value, (bool, int, float, np.bool_, np.integer, np.floating)) and not isinstance(
        value, np.ndarray
    ):
        # MXNet passes numbers to kernels as doubles.
        return (
            None if isinstance(value, (float, np.floating)) or abs(int(value)) < 2**53 else "a large integer"
        )
    return "the fill value is no plain number"


def _full_unless(
    shape: Any, fill_value: Any, dtype: Any = None, order: str = "C", like: Any = None
) -> str | None:
    reason = _number(fill_value)
    if reason is not None:
        return reason
    if (
        dtype is None
        and isinstance(fill_value, np.generic)
        and not isinstance(fill_value, (float, np.int64, np.bool_))
    ):
        return "the fill value brings its own dtype"
    dtype = np.asarray(fill_value).dtype if dtype is None else np.dtype(dtype)
    return _fits(fill_value, dtype) or unusual(shape, dtype, order, like)


def _fits(value: Any, dtype: Any) -> str | None:
    """Why a number does not have the same value in a dtype."""
    if dtype.kind in "iu" and not (
        value == value and int(value) == value and np.iinfo(dtype).min <= value <= np.iinfo(dtype).max
    ):
        return "the fill value does not fit the dtype"
    return "the fill value does not fit the dtype" if dtype.kind == "b" and value not in (0, 1) else None


def _full_run(F: Any, shape: Any, fill_value: Any, dtype: Any = None, order: str = "C") -> Any:
    dtype = np.asarray(fill_value).dtype if dtype is None else np.dtype(dtype)
    return F.full(_lengths(shape), fill_value, dtype=dtype)


row(
    "full",
    cost="move",
    creates=True,
    mxnet=Kernel(_full_run, frozenset(), _full_unless),
    vjp=(None, lambda g, ans, shape, fill_value, *a, **k: g),
    samples=cases(
        lambda a: ((2, 3), a()[()]),
        lambda a: ((2, 3), a(3), a.dtype),
        lambda a: (4, 1, a.dtype),
        lambda a: [((2,), a()), {}],
        lambda a: ((0,), a()[()]),
        lambda a: ((), a()[()]),
    ),
)


def _full_like_unless(
    a: Any, fill_value: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None
) -> str | None:
    if not isinstance(a, np.ndarray) or (order == "K" and not a.flags.c_contiguous):
        return "the memory layout is not C"
    dtype = a.dtype if dtype is None else np.dtype(dtype)
    return (
        _number(fill_value)
        or _fits(fill_value, dtype)
        or unusual(a.shape if shape is None else shape, dtype, order)
    )


row(
    "full_like",
    cost="move",
    mxnet=Kernel(
        lambda F, a, fill_value, dtype=None, order="K", subok=True, shape=None: F.full(
            a.shape if shape is None else _lengths(shape),
            fill_value,
            dtype=np.dtype(a.dtype if dtype is None else dtype),
        ),
        DEVICE_DTYPES,
        _full_like_unless,
    ),
    vjp=(
        lambda g, ans, a, fill_value, *r, **k: np.zeros(np.shape(a)),
        lambda g, ans, a, fill_value, *r, **k: g,
    ),
    samples=cases(
        lambda a: (a(2, 3), a()[()]),
        lambda a: (a(3, 2).T, 1),
        lambda a: [(a(2, 3), a(3)), {"dtype": a.dtype}],
        lambda a: (a(), a()[()]),
    ),
)


# ----- ranges -----------------------------------------------------------------------------------------------


def _arange_start(g: Any, ans: Any, start: Any, stop: Any = None, step: Any = None, *a: Any, **k: Any) -> Any:
    # One argument is the end, which only decides the length.
    return np.sum(g) if stop is not None else 0.0


def _arange_step(g: Any, ans: Any, *a: Any, **k: Any) -> Any:
    return np.sum(g * np.arange(np.shape(g)[0]))


def _no_integers(*args: Any, **keywords: Any) -> str | None:
    if (
        keywords.keys() - {"dtype"}
        or not all(type(a) is int and abs(a) < 2**31 for a in args)
        or len(args) > 3
    ):
        return "the kernel counts in small integers"
    dtype = np.dtype(keywords.get("dtype") or np.int64)
    if dtype.name not in ("int32", "int64", "float32", "float64") or not dtype.isnative:
        return f"the kernel is not used for dtype {dtype}"
    if len(args) == 3 and not args[2]:
        return "NumPy refuses a step of zero"
    return None if len(range(*args)) else "an empty array: nothing for a device to do"


row(
    "arange",
    cost="move",
    creates=True,
    mxnet=Kernel(
        lambda F, *args, dtype=None: F.arange(*args, dtype=np.dtype(dtype or np.int64)), unless=_no_integers
    ),
    vjp=(_arange_start, lambda g, ans, *a, **k: 0.0, _arange_step),
    samples=cases(
        lambda a: (5,),
        lambda a: (2, 7, 2),
        lambda a: (1.5, 3.9, 0.5),
        lambda a: (2.7,),
        lambda a: (3, -2, -1),
        lambda a: (0,),
        lambda a: [(4,), {"dtype": np.float32}],
    ),
)


def _ramp(g: Any, num: int, endpoint: bool, axis: int, shape: tuple[int, ...]) -> Any:
    """The weights of the end point, along `axis` of `shape`."""
    t = np.linspace(0.0, 1.0, num, endpoint)
    return np.reshape(t, [-1 if i == axis % len(shape) else 1 for i in range(len(shape))])


def _linspace(end: bool) -> Any:
    def rule(
        g: Any,
        ans: Any,
        start: Any,
        stop: Any,
        num: int = 50,
        endpoint: bool = True,
        retstep: bool = False,
        dtype: Any = None,
        axis: int = 0,
    ) -> Any:
        g, gstep = g if retstep else (g, None)
        t = _ramp(g, num, endpoint, axis, np.shape(g))
        d = np.sum(g * (t if end else 1 - t), axis=axis)
        if gstep is not None:
            d = d + gstep * ((1 if end else -1) / max(num - bool(endpoint), 1))
        return d

    return rule


row(
    "linspace",
    cost="move",
    creates=True,
    mxnet=HOST,
    vjp=(_linspace(False), _linspace(True)),
    samples=cases(
        lambda a: (0.5, 3.0, 7),
        lambda a: (a(2), a(2), 5),
        lambda a: [(a(2, 1), a(3)), {"num": 4, "axis": -1, "endpoint": False}],
        lambda a: [(a()[()], 2.0), {"num": 3, "retstep": True}],
        lambda a: (2, 5, 1),
        lambda a: (1.0, 2.0, 0),
    ),
)


def _logspace(end: bool) -> Any:
    def rule(
        g: Any,
        ans: Any,
        start: Any,
        stop: Any,
        num: int = 50,
        endpoint: bool = True,
        base: Any = 10.0,
        dtype: Any = None,
        axis: int = 0,
    ) -> Any:
        t = _ramp(g, num, endpoint, axis, np.shape(g))
        return np.sum(g * ans * np.log(base) * (t if end else 1 - t), axis=axis)

    return rule


def _geomspace(end: bool) -> Any:
    def rule(
        g: Any,
        ans: Any,
        start: Any,
        stop: Any,
        num: int = 50,
        endpoint: bool = True,
        dtype: Any = None,
        axis: int = 0,
    ) -> Any:
        t = _ramp(g, num, endpoint, axis, np.shape(g))
        return np.sum(g * ans * (t if end else 1 - t), axis=axis) / (stop if end else start)

    return rule


row(
    "logspace",
    cost="transcendental",
    creates=True,
    mxnet=HOST,
    vjp=(_logspace(False), _logspace(True)),
    samples=cases(
        lambda a: (0.5, 1.5, 4),
        lambda a: [(a(2), a(2)), {"num": 3, "base": 2.0, "endpoint": False}],
    ),
)
row(
    "geomspace",
    cost="transcendental",
    creates=True,
    mxnet=HOST,
    vjp=(_geomspace(False), _geomspace(True)),
    samples=cases(
        lambda a: (1.5, 20.0, 4),
        lambda a: [
            (abs(a.rng.standard_normal(2)) + 1, abs(a.rng.standard_normal(2)) + 2),
            {"num": 3, "axis": 1},
        ],
    ),
)


# ----- matrices and windows ---------------------------------------------------------------------------------


def _no_eye(
    N: Any, M: Any = None, k: Any = 0, dtype: Any = float, order: str = "C", **keywords: Any
) -> str | None:
    if not all(type(n) is int for n in (N, k)) or not (M is None or type(M) is int) or keywords:
        return "the kernel takes integers"
    if np.dtype(dtype).kind == "b":
        return "the kernel makes no bool matrix"
    return unusual((N, N if M is None else M), dtype, order)


row(
    "eye",
    cost="move",
    creates=True,
    mxnet=Kernel(
        lambda F, N, M=None, k=0, dtype=float, order="C": F.eye(N, M or N, k, dtype=np.dtype(dtype)),
        unless=_no_eye,
    ),
    samples=cases(
        lambda a: (3,),
        lambda a: (2, 4, 1, a.dtype),
        lambda a: [(3,), {"k": -1, "order": "F"}],
        lambda a: (0,),
    ),
)
row(
    "identity",
    cost="move",
    creates=True,
    mxnet=Kernel(
        lambda F, n, dtype=None: F.eye(n, dtype=np.dtype(dtype)),
        unless=lambda n, dtype=None, **k: _no_eye(n, None, 0, dtype, **k),
    ),
    samples=cases(lambda a: (3,), lambda a: (2, a.dtype)),
)
row(
    "tri",
    cost="move",
    creates=True,
    mxnet=HOST,
    samples=cases(lambda a: (3,), lambda a: (2, 4, 1, a.dtype), lambda a: [(3,), {"k": -1}]),
)
for _name in "bartlett blackman hamming hanning".split():
    row(
        _name,
        cost="transcendental",
        creates=True,
        mxnet=HOST,
        samples=cases(lambda a: (7,), lambda a: (1,), lambda a: (0,)),
    )


def _kaiser(M, beta):
    if M <= 1:
        return NotImplemented
    half = (M - 1) / 2.0
    return np.i0(beta * np.sqrt(1 - ((np.arange(0, M) - half) / half) ** 2.0)) / np.i0(beta)


row(
    "kaiser",
    cost="transcendental",
    creates=True,
    mxnet=HOST,
    vjp=(None, lambda g, ans, M, beta: 0.0 * np.sum(g)),
    compose=_kaiser,
    samples=cases(lambda a: (6, 2.5), lambda a: (1, 3)),
)

_table = cases(lambda a: (2,), lambda a: (5,))
row(
    "indices",
    cost="move",
    creates=True,
    mxnet=HOST,
    samples=cases(lambda a: ((2, 3),), lambda a: ((2, 3), float), lambda a: [((2, 3),), {"sparse": True}]),
)
row("diag_indices", cost="move", creates=True, mxnet=HOST, samples=cases(lambda a: (3,), lambda a: (2, 3)))
for _name in ("tril_indices", "triu_indices"):
    row(
        _name,
        cost="move",
        creates=True,
        mxnet=HOST,
        samples=cases(lambda a: (3,), lambda a: (3, 1, 4), lambda a: (3, -1)),
    )
row(
    "mask_indices",
    cost="move",
    creates=True,
    mxnet=HOST,
    samples=cases(lambda a: (3, np.triu), lambda a: (3, np.tril, 1)),
)
