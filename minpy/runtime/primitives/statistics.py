"""Averages, order statistics, covariances and histograms."""

from __future__ import annotations

import functools

import numpy as np

from minpy.runtime.array import Array
from minpy.runtime.primitives import table
from minpy.runtime.primitives.moves import as_array, plain
from minpy.runtime.primitives.rules import NO_VALUE, derived, in_line, keeps, kept_shape
from minpy.runtime.primitives.samples import array

row = functools.partial(table.row, joins=1)
_builtin_range = range

# ----- averages ---------------------------------------------------------------------------------------------


def _average(a, axis=None, weights=None, returned=False, *, keepdims=NO_VALUE):
    kept = keeps(keepdims)
    if weights is None:
        mean = np.mean(a, axis=axis, keepdims=kept)
        return (mean, np.ones_like(mean)) if returned else mean
    weights = np.asarray(weights) if type(weights) in (list, tuple) else weights
    if np.shape(weights) != np.shape(a):
        shape = [1] * np.ndim(a)
        shape[axis] = -1
        weights = np.broadcast_to(np.reshape(weights, tuple(shape)), np.shape(a))
    total = np.sum(weights, axis=axis, keepdims=kept)
    mean = np.sum(a * weights, axis=axis, keepdims=kept) / total
    return (mean, total) if returned else mean


def _average_samples(rng, dtype):
    x, w = array(rng, dtype, 3, 4), array(rng, dtype, 3, 4, low=1, high=3)
    yield (x,), {}
    yield (x, 0), {"keepdims": True}
    yield (x, (0, 1)), {}
    yield (x, None, w), {}
    yield (x, 1, w), {}
    yield (x, 1, w[0]), {}
    yield (x, -2, w[:, 0]), {"keepdims": True}
    yield (x, 0, w), {"returned": True}
    yield (x, 0), {"returned": True}
    yield (x.tolist(),), {}


row("average", cost="reduce", vjp=derived(_average, 0, 2), samples=_average_samples)

# ----- order statistics -------------------------------------------------------------------------------------


def _quantile(ignore_nan, scale=1.0, median=False):
    """``quantile`` and its relatives in terms of the sorted values.

    The result is a mixture of two neighbours in sorted order, whatever the method. Where it lies is read off
    the same quantile of 0, 1, 2, …
    """

    def quantile(
        a,
        q=0.5,
        axis=None,
        out=None,
        overwrite_input=False,
        method="linear",
        keepdims=False,
        *,
        interpolation=None,
    ):
        method = method if interpolation is None else interpolation
        moving = as_array(q) / scale
        q = _fixed(moving)
        line, _ = in_line(a, axis)
        order = np.sort(line, axis=-1)
        n = np.shape(line)[-1]
        lanes = np.shape(line)[:-1]
        present = np.sum(np.logical_not(np.isnan(line)), axis=-1) if ignore_nan else np.full(lanes, n)
        places = np.zeros((*q.shape, *lanes))
        for size in np.unique(np.asarray(present)):
            where = np.asarray(present) == size
            if size:
                found = np.quantile(np.arange(float(size)), q, method=method)
                places[..., where] = np.asarray(found)[..., None]
        low = np.floor(places).astype(int)
        high = np.minimum(low + 1, n - 1)
        share = places - low
        shape = (*q.shape, *np.shape(line))
        spread = np.broadcast_to(order, shape)
        below = np.take_along_axis(spread, low[..., None], axis=-1)[..., 0]
        above = np.take_along_axis(spread, high[..., None], axis=-1)[..., 0]
        result = np.where(share == 0, below, below * (1 - share) + above * share)
        if type(moving) is Array:
            result = result + _along_orders(moving, q, spread, places, present, method)
        if not ignore_nan:
            # NaN sorts last and makes the whole result NaN: no derivative is lost with it.
            result = result + 0 * np.sum(np.where(np.isnan(line), line, 0), axis=-1)
        if keeps(keepdims):
            result = np.reshape(result, (*q.shape, *kept_shape(np.shape(a), axis)))
        return result

    if median:
        return lambda a, axis=None, out=None, overwrite_input=False, keepdims=False: quantile(
            a, 0.5, axis, keepdims=keepdims
        )
    return quantile


# Of the methods that are continuous in q: (alpha, beta) of the place  n q + alpha + q (1 - alpha - beta) - 1.
_CONTINUOUS = {
    "linear": (1.0, 1.0),
    "weibull": (0.0, 0.0),
    "hazen": (0.5, 0.5),
    "interpolated_inverted_cdf": (0.0, 1.0),
    "median_unbiased": (1 / 3, 1 / 3),
    "normal_unbiased": (0.375, 0.375),
}


def _along_orders(moving, q, spread, places, present, method):
    """Zero, with the derivative of a quantile with respect to its order: the mean of both sides at a value."""
    if method not in _CONTINUOUS:
        return 0.0
    alpha, beta = _CONTINUOUS[method]
    lanes = np.ndim(present)
    here = np.reshape(q, np.shape(q) + (1,) * lanes)
    slope = present + 1 - alpha - beta
    place = here * slope + alpha - 1
    slope = np.where(np.logical_or(place < 0, place > present - 1), 0.0, slope)
    at_value = places == np.floor(places)
    low = np.maximum(np.floor(places) - at_value, 0).astype(int)
    last = np.maximum(np.asarray(present) - 1, 0).astype(int)
    high = np.minimum(np.floor(places).astype(int) + 1, last)
    above = np.take_along_axis(spread, high[..., None], axis=-1)[..., 0]
    below = np.take_along_axis(spread, low[..., None], axis=-1)[..., 0]
    gap = (above - below) / np.maximum(high - low, 1)
    return np.reshape(moving - q, np.shape(here)) * (gap * slope)


_METHODS = (
    "inverted_cdf averaged_inverted_cdf closest_observation interpolated_inverted_cdf hazen weibull linear "
    "median_unbiased normal_unbiased lower higher midpoint nearest"
).split()


def _quantile_samples(scale):
    def samples(rng, dtype):
        if np.dtype(dtype).kind in "bc":
            return
        x = array(rng, dtype, 3, 5)
        yield (x, 0.3 * scale), {}
        yield (x, 0.3 * scale, 0), {"keepdims": True}
        yield (x, [0.0, 0.25 * scale, 1.0 * scale], -1), {}
        yield (x, np.array([[0.1, 0.55], [0.7, 0.9]]) * scale), {"axis": (0, 1)}
        for method in _METHODS:
            yield (array(rng, dtype, 2, 7), 0.4 * scale), {"axis": 1, "method": method}
        if np.dtype(dtype).kind == "f":
            y = array(rng, dtype, 3, 5)
            y[0, 1] = y[2, 0] = y[2, 3] = np.nan
            yield (y, 0.3 * scale, 1), {}

    return samples


def _median_samples(rng, dtype):
    x = array(rng, dtype, 3, 5)
    yield (x,), {}
    yield (x, 0), {}
    yield (x, -1), {"keepdims": True}
    yield (array(rng, dtype, 4, 3, 2), (0, 2)), {}
    yield (array(rng, dtype, 6),), {}
    yield (array(rng, dtype, 6).tolist(),), {}
    if np.dtype(dtype).kind == "f":
        y = array(rng, dtype, 3, 5)
        y[0, 1] = y[2, 0] = y[2, 3] = np.nan
        yield (y,), {"axis": 1}


for _name, _nan in (("median", False), ("nanmedian", True)):
    row(_name, cost="sort", vjp=derived(_quantile(_nan, median=True), 0), samples=_median_samples)
for _name, _nan in (("quantile", False), ("nanquantile", True)):
    row(_name, cost="sort", vjp=derived(_quantile(_nan), 0, 1), samples=_quantile_samples(1.0))
for _name, _nan in (("percentile", False), ("nanpercentile", True)):
    row(_name, cost="sort", vjp=derived(_quantile(_nan, 100.0), 0, 1), samples=_quantile_samples(100.0))

# ----- covariances ------------------------------------------------------------------------------------------


def _observations(m, y, rowvar):
    """The observations of `cov`, a variable a row."""

    def as_rows(x):
        x = np.reshape(x, (1, -1)) if np.ndim(x) < 2 else x
        return x if rowvar or np.shape(x)[0] == 1 else np.transpose(x)

    m = as_rows(m)
    return m if y is None else np.concatenate([m, as_rows(y)], axis=0)


def _cov(m, y=None, rowvar=True, bias=False, ddof=None, fweights=None, aweights=None, *, dtype=None):
    x = _observations(m, y, rowvar)
    if ddof is None:
        ddof = 0 if bias else 1
    w = None
    if fweights is not None:
        w = np.asarray(fweights, dtype=float)
    if aweights is not None:
        aweights = np.asarray(aweights) if type(aweights) in (list, tuple) else aweights
        w = aweights if w is None else w * aweights
    n = np.shape(x)[1]
    if w is None:
        mean = np.mean(x, axis=1, keepdims=True)
        factor = n - ddof
    else:
        total = np.sum(w)
        mean = np.sum(x * w, axis=1, keepdims=True) / total
        factor = total - ddof if aweights is None else total - ddof * np.sum(w * aweights) / total
    centred = x - mean
    other = centred if w is None else centred * w
    return np.reshape(np.dot(centred, np.conj(np.transpose(other))) / factor, _squared(x))


def _squared(x):
    n = np.shape(x)[0]
    return () if n == 1 else (n, n)


def _corrcoef(x, y=None, rowvar=True, bias=NO_VALUE, ddof=NO_VALUE, *, dtype=None):
    c = _cov(x, y, rowvar)
    if np.ndim(c) == 0:
        return c / c
    deviation = np.sqrt(np.real(np.diagonal(c)))
    return c / deviation[:, None] / deviation[None, :]


def _cov_samples(rng, dtype):
    x = array(rng, dtype, 3, 6)
    yield (x,), {}
    yield (x, array(rng, dtype, 2, 6)), {}
    yield (x,), {"rowvar": False}
    yield (array(rng, dtype, 6),), {}
    yield (x.tolist(),), {}


def _cov_options(rng, dtype):
    yield from _cov_samples(rng, dtype)
    x = array(rng, dtype, 3, 6)
    yield (x,), {"bias": True}
    yield (x,), {"ddof": 2}
    yield (x, None, True, False, None, None, np.array([1.0, 2.0, 1.5, 0.5, 3.0, 1.0])), {}
    yield (x,), {"fweights": np.array([1, 2, 1, 1, 3, 1])}
    yield (x,), {"aweights": np.array([1.0, 2.0, 1.5, 0.5, 3.0, 1.0])}
    yield (
        (x,),
        {"aweights": np.array([1.0, 2.0, 1.5, 0.5, 3.0, 1.0]), "fweights": np.array([1, 2, 1, 1, 3, 1])},
    )


row("cov", joins=2, cost="matmul", vjp=derived(_cov, 0, 1, 6), samples=_cov_options)
row("corrcoef", joins=2, cost="matmul", vjp=derived(_corrcoef, 0, 1), samples=_cov_samples)

# ----- histograms -------------------------------------------------------------------------------------------


def _edges(a, bins=10, range=None, weights=None):
    """The bin edges of `histogram`: they move with the extremes of `a` unless given, or their range is."""
    if np.ndim(bins) == 1:
        return np.asarray(bins)
    if range is not None:
        return np.histogram_bin_edges(np.zeros(1), bins if isinstance(bins, int) else 1, range)
    if not isinstance(bins, (int, np.integer)):
        # The rule of that name sets their number, which is piecewise constant.
        bins = len(np.histogram_bin_edges(_fixed(a), bins, range, weights)) - 1
    low, high = (np.min(a), np.max(a)) if np.size(a) else (0.0, 1.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    steps = np.linspace(0.0, 1.0, int(bins) + 1)
    return low * (1 - steps) + high * steps


def _histogram(a, bins=10, range=None, density=None, weights=None):
    edges = _edges(a, bins, range)
    # Which bin an element falls into is piecewise constant.
    fixed = _fixed(edges)
    values = np.reshape(_fixed(a), (-1,))
    place = np.searchsorted(fixed, values, side="right") - 1
    place = np.where(values == fixed[-1], len(fixed) - 2, place)
    inside = np.logical_and(place >= 0, place < len(fixed) - 1)
    hits = (place[:, None] == np.arange(len(fixed) - 1)) & inside[:, None]
    if weights is None:
        counts = np.sum(hits, axis=0)
    else:
        counts = np.sum(np.where(hits, np.reshape(weights, (-1, 1)), 0), axis=0)
    if density:
        counts = counts / (edges[1:] - edges[:-1]) / np.sum(counts)
    return counts, edges


def _fixed(x):
    from minpy.runtime.array import host

    return np.asarray(host(x))


def _histogram_samples(rng, dtype):
    x = array(rng, dtype, 3, 5)
    if np.dtype(dtype).kind == "c":
        return
    yield (x,), {}
    yield (x, 4), {}
    yield (x, [-2, 0, 1, 3]), {}
    yield (x, 5, (-2.5, 2.5)), {}
    yield (x, 4), {"density": True}
    yield (x, 4, None, True, array(rng, "float64", 3, 5, low=0.5, high=2)), {}
    yield (x, 4, None, None, array(rng, "float64", 3, 5)), {}
    yield (array(rng, dtype, 9), "sqrt"), {}


row("histogram", cost="sort", vjp=derived(_histogram, 0, 4), samples=_histogram_samples)


def _bin_edges_samples(rng, dtype):
    for args, kwargs in _histogram_samples(rng, dtype):
        if len(args) < 4 and not kwargs:
            yield args, kwargs


row("histogram_bin_edges", cost="sort", vjp=derived(_edges, 0), samples=_bin_edges_samples)


def _histogramdd(sample, bins=10, range=None, density=None, weights=None):
    points = np.transpose(as_array(sample)) if type(sample) in (list, tuple) else sample
    points = points if np.ndim(points) == 2 else np.transpose(np.atleast_2d(points))
    values, dimensions = _fixed(points), np.shape(points)[1]
    owns = [bins] * dimensions if isinstance(bins, (int, np.integer)) else list(bins)
    fixed = [_fixed(own) if np.ndim(own) else plain(own) for own in owns]
    # Which bin a point falls into is piecewise constant.
    counts, at = np.histogramdd(values, fixed, range)
    places, inside = np.zeros(len(values), int), np.ones(len(values), bool)
    edges = []
    for i, edge in enumerate(at):
        place = np.searchsorted(edge, values[:, i], side="right") - (values[:, i] == edge[-1]) - 1
        inside &= (place >= 0) & (place < len(edge) - 1)
        places = places * (len(edge) - 1) + place
        own = as_array(owns[i])
        limits = None if range is None else range[i]
        if np.ndim(own):
            edges.append(own)
        elif limits is None and type(points) is Array:
            moving = _edges(points[:, i], len(edge) - 1)
            edges.append(edge + (moving - _fixed(moving)))
        else:
            edges.append(edge)
    if weights is not None:
        weights = np.asarray(weights) if type(weights) in (list, tuple) else weights
        sums = np.bincount(places[inside], weights[inside], counts.size)
        counts = np.reshape(sums, counts.shape)
    if density:
        total = np.sum(counts)
        for i, edge in enumerate(edges):
            width = np.diff(edge)
            counts = counts / np.reshape(width, [-1 if j == i else 1 for j in _builtin_range(dimensions)])
        counts = counts / total
    return counts, edges


def _histogram2d(x, y, bins=10, range=None, density=None, weights=None):
    if not isinstance(bins, (int, np.integer)) and len(bins) not in (1, 2):
        bins = [bins, bins]
    counts, edges = _histogramdd(np.stack([as_array(x), as_array(y)], axis=1), bins, range, density, weights)
    return counts, edges[0], edges[1]


def _histogram2d_samples(rng, dtype):
    if np.dtype(dtype).kind in "fiu":
        yield (array(rng, dtype, 9), array(rng, dtype, 9)), {}
        yield (array(rng, dtype, 9), array(rng, dtype, 9), [3, 2]), {}
        yield (array(rng, dtype, 9), array(rng, dtype, 9)), {"bins": 3, "range": [[-2, 2], [-3, 3]]}
        if np.dtype(dtype).kind == "f":
            x, y, w = array(rng, dtype, 9), array(rng, dtype, 9), array(rng, "float64", 9, low=0.5, high=2)
            yield (x, y, 2, None, True, w), {}
            yield (x, y, [[-2, 0, 1, 3], 2], [None, [-1, 2]], None, w), {}
            yield (x, y, np.array([-2.0, 0.0, 0.5, 3.0])), {"weights": w}


def _histogramdd_samples(rng, dtype):
    if np.dtype(dtype).kind in "fiu":
        yield (array(rng, dtype, 9, 3),), {"bins": 2}
        yield (array(rng, dtype, 9, 2), [3, 2]), {"weights": array(rng, "float64", 9)}
        if np.dtype(dtype).kind == "f":
            w = array(rng, "float64", 9, low=0.5, high=2)
            yield (array(rng, dtype, 9, 2), 3), {"weights": w, "density": True}
            yield (
                ([array(rng, dtype, 9), array(rng, dtype, 9)], [2, np.array([-2.0, 0.1, 2.0])]),
                {"weights": w},
            )
            yield (array(rng, dtype, 9, 3), (2, 1, 2)), {"range": [(-3, 3), None, (-2, 2)]}


table.row("histogram2d", cost="sort", compose=_histogram2d, samples=_histogram2d_samples)
table.row("histogramdd", cost="sort", compose=_histogramdd, samples=_histogramdd_samples)


def _bincount_samples(rng, dtype):
    if np.dtype(dtype).kind in "biu" and np.dtype(dtype) != np.uint64:
        yield (np.abs(array(rng, dtype, 7)) if np.dtype(dtype).kind == "i" else array(rng, dtype, 7),), {}
        yield (np.array([0, 1, 1], dtype),), {"minlength": 5}
    elif np.dtype(dtype).kind == "f":
        yield (np.array([0, 3, 1, 1, 3]), array(rng, dtype, 5)), {}
        yield (np.array([0, 3, 1]), array(rng, dtype, 3), 6), {}
        yield (array(rng, dtype, 4),), {}


row(
    "bincount",
    joins=2,
    cost="sort",
    vjp=(None, lambda g, ans, x, weights=None, minlength=0: g[np.asarray(x)]),
    samples=_bincount_samples,
)


def _digitize_samples(rng, dtype):
    x = array(rng, dtype, 3, 5)
    yield (x, np.array([-2.0, 0.0, 1.0])), {}
    yield (x, np.array([1.0, 0.0, -2.0])), {"right": True}
    yield (array(rng, dtype), [0, 1]), {}


row("digitize", joins=2, cost="sort", flat=True, samples=_digitize_samples)
