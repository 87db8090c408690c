"""What is in no other family: shapes and dtypes, text, comparison of whole arrays, polynomials, bits."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from minpy.runtime.primitives.moves import apply, as_array, cases, rows
from minpy.runtime.primitives.table import row

_HOST = "an answer for the program, not array work"
_BITS = "MXNet has no such operator"

# ----- shapes and dtypes ------------------------------------------------------------------------------------

_ask = cases(
    lambda a: (a(2, 3),),
    lambda a: (a(),),
    lambda a: (a()[()],),
    lambda a: ([a(2), a(2)],),
    lambda a: (a(0, 2).T,),
)
rows(
    "shape ndim size iscomplexobj isrealobj isfortran",
    geometry=True,
    mxnet=_HOST,
    samples=cases(lambda a: (a(2, 3),), lambda a: (a(0, 2).T,)),
)
rows(
    "result_type common_type",
    geometry=True,
    mxnet=_HOST,
    samples=cases(
        lambda a: (a(2), a(3)),
    ),
)
row(
    "can_cast",
    geometry=True,
    mxnet=_HOST,
    samples=cases(lambda a: (a(2), np.float32), lambda a: (np.int8, a.dtype)),
)
row("min_scalar_type", flat=True, mxnet=_HOST, samples=cases(lambda a: (a(2),), lambda a: (a()[()],)))
rows(
    "may_share_memory shares_memory",
    geometry=True,
    mxnet=_HOST,
    samples=cases(lambda a: (a(2), a(2)), lambda a: (lambda x: (x, x[::-1]))(a(3))),
)
row(
    "broadcast_shapes",
    geometry=True,
    mxnet=_HOST,
    samples=cases(lambda a: ((2, 1), (3,)), lambda a: ((2,), (3,))),
)
rows("iterable isscalar", flat=True, mxnet=_HOST, samples=cases(lambda a: (a(2),), lambda a: (a()[()],)))

# ----- text and files ---------------------------------------------------------------------------------------

_text = cases(lambda a: (a(2, 3),), lambda a: (a(),), lambda a: (a(0),))
rows("array_repr array_str array2string", flat=True, mxnet=_HOST, samples=_text)
rows(
    "format_float_positional format_float_scientific",
    flat=True,
    mxnet=_HOST,
    samples=cases(lambda a: (1.5,), lambda a: [(2.25,), {"precision": 1}]),
)
rows("base_repr binary_repr", flat=True, mxnet=_HOST, samples=cases(lambda a: (5,), lambda a: (-3,)))
rows(
    "save savez savez_compressed savetxt",
    flat=True,
    mxnet="files are the host's",
    samples=cases(lambda a: (io.BytesIO(), a(2, 3)), lambda a: (io.BytesIO(), a(3)[::-1])),
)

# ----- whole arrays compared --------------------------------------------------------------------------------

_pairs = cases(
    lambda a: (a(2, 3), a(2, 3)),
    lambda a: (lambda x: (x, x.copy()))(a(3)),
    lambda a: (a(3), a(1)),
    lambda a: (a(2), a(3)),
    lambda a: (np.array([1.0, np.nan, np.inf]), np.array([1.0, np.nan, np.inf])),
)
rows(
    "array_equal array_equiv allclose isclose",
    cost="reduce",
    flat=True,
    mxnet="an answer for the program: NumPy's own tests",
    samples=_pairs,
)

# ----- functions of the program over arrays -----------------------------------------------------------------


def _along_axis(func1d: Any, axis: Any, arr: Any, *args: Any, **kwargs: Any) -> Any:
    lines = np.moveaxis(arr, axis, -1)
    places = list(np.ndindex(np.shape(lines)[:-1]))
    results = [func1d(lines[place], *args, **kwargs) for place in places]
    whole = np.reshape(np.stack([as_array(r) for r in results]), np.shape(lines)[:-1] + np.shape(results[0]))
    count = np.ndim(results[0])
    first = np.ndim(lines) - 1
    axis = axis % np.ndim(arr)
    return np.moveaxis(whole, tuple(range(first, first + count)), tuple(range(axis, axis + count)))


def _over_axes(func: Any, a: Any, axes: Any) -> Any:
    for axis in np.atleast_1d(axes):
        result = func(a, int(axis) % np.ndim(a))
        a = result if np.ndim(result) == np.ndim(a) else np.expand_dims(result, int(axis) % np.ndim(a))
    return a


row(
    "apply_along_axis",
    mxnet="the program's function decides",
    compose=_along_axis,
    samples=cases(
        lambda a: (np.sum, 0, a(2, 3)),
        lambda a: (lambda v: v[::-1] * 2, 1, a(2, 3)),
        lambda a: (lambda v: np.outer(v, v), -1, a(2, 3)),
        lambda a: (np.sum, 2, a(2, 3)),
    ),
)
row(
    "apply_over_axes",
    mxnet="the program's function decides",
    compose=_over_axes,
    samples=cases(lambda a: (np.sum, a(2, 3, 2), [0, 2]), lambda a: (np.sum, a(2, 3), 1)),
)

# ----- polynomials ------------------------------------------------------------------------------------------

_POLY = "a few coefficients: nothing for a device to do"


def _polyval(p: Any, x: Any) -> Any:
    p, y = as_array(p), np.zeros_like(as_array(x))
    for c in p:
        y = y * x + c
    return y


def _padded(a1: Any, a2: Any) -> tuple[Any, Any]:
    a1, a2 = np.atleast_1d(as_array(a1)), np.atleast_1d(as_array(a2))
    gap = len(a2) - len(a1)
    zeros = np.zeros(abs(gap), (a1 if gap > 0 else a2).dtype)
    if gap > 0:
        return np.concatenate((zeros, a1)), a2
    return (a1, np.concatenate((zeros, a2))) if gap else (a1, a2)


def _polyder(p: Any, m: int = 1) -> Any:
    p = as_array(p)
    for _ in range(m):
        n = len(p) - 1
        p = p[:-1] * np.arange(n, 0, -1) if n > 0 else p[:0]
    return p


def _polyint(p: Any, m: int = 1, k: Any = None) -> Any:
    p = as_array(p)
    constants = np.zeros(m) if k is None else k
    constants = np.broadcast_to(constants, (m,)) if np.size(constants) == 1 else constants
    for i in range(m):
        p = np.concatenate((p / np.arange(len(p), 0, -1), np.reshape(constants[i], (1,))))
    return p


def _polymul(a1: Any, a2: Any) -> Any:
    return np.convolve(_trimmed(a1), _trimmed(a2))


def _trimmed(p: Any) -> Any:
    """A polynomial without leading zeros: as `numpy.polymul` and `polydiv` take them."""
    from minpy.runtime.primitives.moves import plain

    p = np.atleast_1d(as_array(p))
    nonzero = np.flatnonzero(plain(p))
    return p[int(nonzero[0]) :] if len(nonzero) else np.zeros(1, p.dtype)


def _poly(seq_of_zeros: Any) -> Any:
    roots = np.atleast_1d(as_array(seq_of_zeros))
    if np.ndim(roots) == 2:
        roots = np.linalg.eigvals(roots)
    p = np.ones(1, roots.dtype)
    for root in roots:
        p = np.convolve(p, np.stack((np.ones((), roots.dtype), -root)))
    return np.real(p) if _paired(roots) else p


def _paired(roots: Any) -> bool:
    """Whether complex roots come in conjugate pairs: their polynomial is real."""
    from minpy.runtime.primitives.moves import plain

    values = np.asarray(plain(roots))
    return values.dtype.kind == "c" and bool(np.all(np.sort(values) == np.sort(values.conj())))


def _roots(p: Any) -> Any:
    from minpy.runtime.primitives.moves import plain

    p = as_array(p)
    nonzero = np.flatnonzero(plain(p))
    if not len(nonzero):
        return np.array([])
    trailing = len(p) - int(nonzero[-1]) - 1
    p = p[int(nonzero[0]) : int(nonzero[-1]) + 1]
    n = len(p)
    if n < 2:
        return np.zeros(trailing)
    first = np.reshape(-p[1:] / p[0], (1, n - 1))
    companion = np.concatenate((first, np.eye(n - 2, n - 1)))
    found = np.linalg.eigvals(companion)
    if np.iscomplexobj(found) and not np.iscomplexobj(np.roots(plain(p))):
        found = np.real(found)  # later versions of NumPy give real roots as real numbers
    return np.concatenate((found, np.zeros(trailing, found.dtype)))


def _polyfit(
    x: Any, y: Any, deg: Any, rcond: Any = None, full: bool = False, w: Any = None, cov: Any = False
) -> Any:
    x, y = as_array(x) + 0.0, as_array(y) + 0.0
    lhs, rhs = np.vander(x, int(deg) + 1), y
    if w is not None:
        w = as_array(w)
        lhs = lhs * np.expand_dims(w, -1)
        rhs = rhs * np.expand_dims(w, -1) if np.ndim(rhs) == 2 else rhs * w
    scale = np.sqrt(np.sum(lhs * lhs, axis=0))
    lhs = lhs / scale
    rcond = len(x) * np.finfo(x.dtype).eps if rcond is None else rcond
    c, residuals, rank, s = np.linalg.lstsq(lhs, rhs, rcond)
    c = np.transpose(np.transpose(c) / scale)
    if full:
        return c, residuals, rank, s, rcond
    if not cov:
        return c
    spread = np.linalg.inv(np.dot(np.transpose(lhs), lhs)) / np.outer(scale, scale)
    if isinstance(cov, str) and cov == "unscaled":
        factor = 1
    elif len(x) <= deg + 1:
        raise ValueError  # worded by NumPy
    else:
        factor = residuals / (len(x) - (deg + 1))
    return c, (spread if np.ndim(y) == 1 else spread[:, :, None]) * factor


def _polydiv(u: Any, v: Any) -> tuple[Any, Any]:
    from minpy.runtime.primitives.moves import plain

    u, v = np.atleast_1d(as_array(u)) + 0.0, np.atleast_1d(as_array(v)) + 0.0
    scale, n = 1.0 / v[0], len(v)
    steps = len(u) - n + 1
    quotient = [np.zeros((), np.result_type(u, v))] if steps < 1 else []
    rest = apply("astype", u, np.result_type(u, v))
    for k in range(steps):
        quotient.append(scale * rest[k])
        rest = np.concatenate((rest[:k], rest[k : k + n] - quotient[-1] * v, rest[k + n :]))
    first = 0
    while first < len(rest) - 1 and np.allclose(plain(rest[first]), 0, rtol=1e-14):
        first += 1
    return np.stack(quotient), rest[first:]


row(
    "polyval",
    cost="arith",
    mxnet=_POLY,
    compose=_polyval,
    samples=cases(lambda a: (a(3), a(4)), lambda a: (a(3), 2.0), lambda a: ([1, 0, 2], a(2, 2))),
)
_two = cases(lambda a: (a(3), a(2)), lambda a: (a(2), a(2)), lambda a: ([1, 2], a(3)))
row("polyadd", cost="arith", mxnet=_POLY, compose=lambda a1, a2: np.add(*_padded(a1, a2)), samples=_two)
row("polysub", cost="arith", mxnet=_POLY, compose=lambda a1, a2: np.subtract(*_padded(a1, a2)), samples=_two)
row("polymul", cost="arith", mxnet=_POLY, compose=_polymul, samples=_two)
row(
    "polydiv",
    cost="arith",
    mxnet=_POLY,
    compose=_polydiv,
    samples=cases(
        lambda a: (np.array([1.0, 3.0, 2.0]), np.array([2.0, 1.0])),
        lambda a: (a.rng.standard_normal(5), a.rng.uniform(1, 2, 3)),
        lambda a: (np.array([1.0, 2.0]), np.array([1.0, 1.0, 3.0])),
        lambda a: ([1, 2, 1], [1, 1]),
    ),
)
row(
    "polyder",
    cost="arith",
    mxnet=_POLY,
    compose=_polyder,
    samples=cases(lambda a: (a(4),), lambda a: (a(4), 2), lambda a: (a(2), 3)),
)
row(
    "polyint",
    cost="arith",
    mxnet=_POLY,
    compose=_polyint,
    samples=cases(lambda a: (a(3),), lambda a: (a(3), 2, [1, 2])),
)
row("poly", cost="arith", mxnet=_POLY, compose=_poly, samples=cases(lambda a: (a(3),), lambda a: ([1, 2],)))
row(
    "roots",
    cost="solve",
    mxnet=_POLY,
    compose=_roots,
    samples=cases(lambda a: (np.array([2.0, -3.0, 1.0]),), lambda a: ([0, 1, -3, 2, 0],)),
)
row(
    "polyfit",
    cost="solve",
    mxnet=_POLY,
    compose=_polyfit,
    samples=cases(
        lambda a: (np.arange(6.0), a.rng.standard_normal(6), 2),
        lambda a: [(np.arange(5.0), a.rng.standard_normal((5, 2)), 1), {"w": np.arange(1.0, 6.0)}],
        lambda a: [(np.arange(6.0), a.rng.standard_normal(6), 2), {"full": True}],
        lambda a: [(np.arange(6.0), a.rng.standard_normal(6), 2), {"cov": True}],
        lambda a: [(np.arange(6.0), a.rng.standard_normal((6, 2)), 1), {"cov": "unscaled"}],
    ),
)

# ----- NumPy 2's running sums and products ------------------------------------------------------------------


def _running(name: str, start: float) -> Any:
    run = getattr(np, name)

    def compose(
        x: Any, /, *, axis: Any = None, dtype: Any = None, out: Any = None, include_initial: bool = False
    ) -> Any:
        axis = 0 if axis is None and np.ndim(x) == 1 else axis
        result = run(x, axis=axis, dtype=dtype)
        if not include_initial:
            return result
        shape = [1 if i == axis % np.ndim(x) else n for i, n in enumerate(np.shape(x))]
        return np.concatenate((np.full(shape, start, result.dtype), result), axis=axis)

    return compose


for _name, _run, _start in (("cumulative_sum", "cumsum", 0.0), ("cumulative_prod", "cumprod", 1.0)):
    row(
        _name,
        cost="reduce",
        mxnet="MXNet has no such operator",
        compose=_running(_run, _start),
        samples=cases(
            lambda a: (a(4),),
            lambda a: [(a(2, 3),), {"axis": 1}],
            lambda a: [(a(2, 3),), {"axis": 0, "include_initial": True}],
        ),
    )

# ----- bits and text bytes ----------------------------------------------------------------------------------

row(
    "packbits",
    flat=True,
    mxnet=_BITS,
    samples=cases(
        lambda a: (np.array([[1, 0, 1], [0, 1, 1]], np.uint8),),
        lambda a: [(np.array([True, False]),), {"axis": 0, "bitorder": "little"}],
    ),
)
row(
    "unpackbits",
    flat=True,
    mxnet=_BITS,
    samples=cases(
        lambda a: (np.array([[7], [129]], np.uint8),), lambda a: [(np.array([3], np.uint8),), {"count": 5}]
    ),
)
