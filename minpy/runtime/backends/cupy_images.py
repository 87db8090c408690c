"""CuPy's kernels of images: what windows see is a strided view of the padded images.

A convolution is a product of cuBLAS's with a copy of that view (cuDNN is not asked: CuPy has given its bindings up).
Maxima are taken along rows of windows, then along columns. What is done often is done by kernels of our own instead
(`cupy_windows`), each of which does the work of several of these functions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from minpy.runtime.backends.cupy_kernels import KERNELS, SAME, SINGLE, Mirror

# Bytes of what windows see that are copied at a time.
_ROOM = 1 << 28

Pair = tuple[int, int]


class Sight:
    """Windows over images that are on the card, with their padding.

    Parameters
    ----------
    F : namespace
        CuPy's functions.
    wide : array
        Images with their padding, (N, C, H', W').
    kernel, stride, out : tuple of two int
        Size of a window, steps from one to the next, and how many there are.
    """

    def __init__(self, F: Any, wide: Any, kernel: Pair, stride: Pair, out: Pair) -> None:
        self.F, self.wide, self.kernel, self.stride, self.out = F, wide, kernel, stride, out

    def look(self, order: str) -> Any:
        """What the windows see, a view with these axes: images n, channels c, places k and l, windows y and x."""
        n, c, h, w = self.wide.strides
        lengths = dict(zip("nc", self.wide.shape, strict=False))
        lengths |= dict(zip("klyx", (*self.kernel, *self.out), strict=True))
        steps = dict(zip("ncklyx", (n, c, h, w, h * self.stride[0], w * self.stride[1]), strict=True))
        shape, strides = tuple([lengths[axis] for axis in order]), tuple([steps[axis] for axis in order])
        return self.F.ndarray(shape, self.wide.dtype, self.wide.data, strides)

    def place(self, i: int, j: int) -> Any:
        """What all windows see at one place, (N, C, windows down, windows across)."""
        (sh, sw), (oh, ow) = self.stride, self.out
        return self.wide[:, :, i : i + sh * (oh - 1) + 1 : sh, j : j + sw * (ow - 1) + 1 : sw]

    def spread(self, parts: Any) -> None:
        """Add up parts, (N, C, kh, kw, windows down, windows across), in the images, which are zeros."""
        (kh, kw), (sh, sw) = self.kernel, self.stride
        if sh >= kh and sw >= kw:
            self.look("ncklyx")[...] = parts
            return
        for i in range(kh):
            for j in range(kw):
                place = self.place(i, j)
                self.F.add(place, parts[:, :, i, j], out=place)


def _padded(F: Any, x: Any, pad: Pair, value: float = 0.0) -> Any:
    top, left = pad
    if not top and not left:
        return x
    n, c, h, w = x.shape
    wide = F.full((n, c, h + 2 * top, w + 2 * left), value, dtype=x.dtype)
    wide[:, :, top : top + h, left : left + w] = x
    return wide


def _blank(F: Any, g: Any, windows: Any) -> tuple[Sight, Any]:
    """Windows over images of zeros, and these without their padding."""
    (top, left), (n, c, h, w) = windows.pad, windows.shape
    wide = F.zeros((n, c, h + 2 * top, w + 2 * left), dtype=g.dtype)
    inner = wide[:, :, top : top + h, left : left + w]
    return Sight(F, wide, windows.kernel, windows.stride, windows.out), inner


def _parts(n: int, size: int) -> Iterator[slice]:
    """The images, as many at a time as there is room for, if each takes so many bytes."""
    step = max(1, _ROOM // max(size, 1))
    return (slice(k, min(k + step, n)) for k in range(0, n, step))


def _ours(F: Any, name: str, shape: tuple[int, ...], arrays: list[Any], windows: Any, *more: Any) -> Any:
    """The result of a kernel of our own; None if it is not compiled."""
    if any(array.dtype.name not in SINGLE for array in arrays):
        return None
    kernels = getattr(F, "window_kernels", None)
    if kernels is None:
        return None
    return kernels.run(name, shape, arrays, windows, *more)


class _Geometry(NamedTuple):
    """What a kernel must know of windows."""

    shape: tuple[int, ...]
    kernel: Pair
    stride: Pair
    pad: Pair
    out: Pair


def _columns(F: Any, x: Any, kernel: Pair, stride: Pair, pad: Pair, out: Pair) -> Iterator[tuple[slice, Any]]:
    """Some images at a time: which, and what each window sees of them, (n, C · kernel, windows)."""
    n, c = x.shape[:2]
    rows = c * math.prod(kernel)
    if kernel == (1, 1) and stride == (1, 1) and pad == (0, 0):
        yield slice(0, n), x.reshape(n, c, math.prod(out))
        return
    for part in _parts(n, rows * math.prod(out) * x.itemsize):
        images = x if part == slice(0, n) else x[part]
        shape = (images.shape[0], rows, math.prod(out))
        geometry = _Geometry(images.shape, kernel, stride, pad, out)
        seen = _ours(F, "unfold", shape, [images], geometry, np.int64(0), np.int64(c))
        if seen is None:
            seen = Sight(F, _padded(F, images, pad), kernel, stride, out).look("ncklyx").copy()
        yield part, seen.reshape(shape)


def _products(F: Any, matrix: Any, x: Any, kernel: Pair, stride: Pair, pad: Pair, out: Pair) -> Any:
    """The product of a matrix with what each window sees, (N, rows, windows)."""
    found = None
    for part, columns in _columns(F, x, kernel, stride, pad, out):
        product = F.matmul(matrix, columns)
        if part == slice(0, x.shape[0]):
            return product
        if found is None:
            found = F.empty((x.shape[0], matrix.shape[0], math.prod(out)), dtype=x.dtype)
        found[part] = product
    return found


# ----- convolution


def _convolve(F: Any, x: Any, w: Any, windows: Any) -> Any:
    n, filters = x.shape[0], w.shape[0]
    rows = w.reshape(filters, math.prod(w.shape[1:]))
    y = _products(F, rows, x, windows.kernel, windows.stride, windows.pad, windows.out)
    return y.reshape(n, filters, *windows.out)


def _to_images(F: Any, g: Any, w: Any, windows: Any) -> Any:
    (n, c, h, width), (filters, _, kh, kw) = windows.shape, w.shape
    margin = (kh - 1 - windows.pad[0], kw - 1 - windows.pad[1])
    if windows.stride == (1, 1) and min(margin) >= 0:
        # A convolution with the filters turned over.
        turned = F.ascontiguousarray(w[:, :, ::-1, ::-1].transpose(1, 0, 2, 3))
        rows = turned.reshape(c, filters * kh * kw)
        return _products(F, rows, g, (kh, kw), (1, 1), margin, (h, width)).reshape(n, c, h, width)
    rows = w.reshape(filters, c * kh * kw)
    flat = g.reshape(n, filters, math.prod(windows.out))
    blank = inner = None
    for part in _parts(n, rows.shape[1] * flat.shape[2] * g.itemsize):
        heads = flat if part == slice(0, n) else flat[part]
        parts = F.matmul(rows.T, heads).reshape(heads.shape[0], c, kh, kw, *windows.out)
        if part == slice(0, n):
            found = _ours(F, "fold", windows.shape, [parts], windows)
            if found is not None:
                return found
        if blank is None:
            blank, inner = _blank(F, g, windows)
        Sight(F, blank.wide[part], windows.kernel, windows.stride, windows.out).spread(parts)
    return inner


def _to_weights(F: Any, x: Any, g: Any, windows: Any) -> Any:
    n, filters = g.shape[:2]
    kernel, out = windows.kernel, windows.out
    rows = x.shape[1] * math.prod(kernel)
    total = None
    for part in _parts(n, rows * math.prod(out) * x.itemsize):
        images, heads = (x, g) if part == slice(0, n) else (x[part], g[part])
        count = images.shape[0] * math.prod(out)
        geometry = _Geometry(images.shape, kernel, windows.stride, windows.pad, out)
        sizes = np.int64(images.shape[0]), np.int64(images.shape[1])
        seen = _ours(F, "unfold", (rows, count), [images], geometry, *sizes)
        if seen is None:
            sight = Sight(F, _padded(F, images, windows.pad), kernel, windows.stride, out)
            seen = sight.look("cklnyx").copy().reshape(rows, count)
        product = F.matmul(heads.transpose(1, 0, 2, 3).copy().reshape(filters, count), seen.T)
        total = product if total is None else F.add(total, product)
    return total.reshape(filters, x.shape[1], *kernel)


def _alike(a: Any, b: Any, *rest: Any) -> str | None:
    return None if a.dtype == b.dtype else "the kernel takes arrays of one dtype"


KERNELS["nn.convolve"] = Mirror(_convolve, SINGLE, _alike, False, SAME)
KERNELS["nn.convolve_to_images"] = Mirror(_to_images, SINGLE, _alike, False, SAME)
KERNELS["nn.convolve_to_weights"] = Mirror(_to_weights, SINGLE, _alike, False, SAME)


# ----- pooling


def _largest(F: Any, x: Any, windows: Any) -> Any:
    (kh, kw), (sh, sw), (oh, ow) = windows.kernel, windows.stride, windows.out
    found = _ours(F, "largest", (*x.shape[:2], oh, ow), [x], windows, x.dtype.type(-np.inf))
    if found is not None:
        return found
    wide = _padded(F, x, windows.pad, -np.inf)
    down = [wide[:, :, i : i + sh * (oh - 1) + 1 : sh] for i in range(kh)]
    rows = _joined(F.maximum, down)
    across = [rows[..., j : j + sw * (ow - 1) + 1 : sw] for j in range(kw)]
    return _joined(F.maximum, across)


def _joined(function: Any, arrays: list[Any]) -> Any:
    found = arrays[0]
    for each in arrays[1:]:
        found = function(found, each)
    return found


def _chosen(F: Any, x: Any, best: Any, windows: Any) -> tuple[Any, Sight]:
    """The number within its window of the first of the largest elements, (N, C, windows), and the windows."""
    wide = _padded(F, x, windows.pad, -np.inf)
    sight = Sight(F, wide, windows.kernel, windows.stride, windows.out)
    seen = sight.look("ncyxkl")
    # A NaN is the largest of all.
    first = F.logical_or(F.equal(seen, best.reshape(*best.shape, 1, 1)), F.isnan(seen))
    return F.argmax(first.reshape(*best.shape, math.prod(windows.kernel)), axis=-1), sight


def _largest_back(F: Any, g: Any, x: Any, best: Any, windows: Any) -> Any:
    (kh, kw), (n, c, oh, ow) = windows.kernel, best.shape
    found = _ours(F, "largest_back", windows.shape, [g, x, best], windows, g.dtype.type(-np.inf))
    if found is not None:
        return found
    which, _ = _chosen(F, x, best, windows)
    places = F.arange(kh * kw, dtype=which.dtype).reshape(kh * kw, 1, 1)
    mine = F.equal(which.reshape(n, c, 1, oh, ow), places)
    parts = F.where(mine, g.reshape(n, c, 1, oh, ow), g.dtype.type(0))
    blank, inner = _blank(F, g, windows)
    blank.spread(parts.reshape(n, c, kh, kw, oh, ow))
    return inner


def _largest_at(F: Any, d: Any, x: Any, best: Any, windows: Any) -> Any:
    which, _ = _chosen(F, x, best, windows)
    sight = Sight(F, _padded(F, d, windows.pad), windows.kernel, windows.stride, windows.out)
    seen = sight.look("ncyxkl").copy().reshape(*best.shape, math.prod(windows.kernel))
    return F.take_along_axis(seen, which.reshape(*best.shape, 1), -1).reshape(best.shape)


def _mean(F: Any, x: Any, windows: Any) -> Any:
    (kh, kw), (sh, sw), (oh, ow) = windows.kernel, windows.stride, windows.out
    found = _ours(F, "mean", (*x.shape[:2], oh, ow), [x], windows, x.dtype.type(1 / (kh * kw)))
    if found is not None:
        return found
    wide = _padded(F, x, windows.pad)
    rows = _joined(F.add, [wide[:, :, i : i + sh * (oh - 1) + 1 : sh] for i in range(kh)])
    total = _joined(F.add, [rows[..., j : j + sw * (ow - 1) + 1 : sw] for j in range(kw)])
    return F.multiply(total, x.dtype.type(1 / (kh * kw)))


def _mean_back(F: Any, g: Any, windows: Any) -> Any:
    (kh, kw), (n, c, oh, ow) = windows.kernel, g.shape
    found = _ours(F, "mean_back", windows.shape, [g], windows, g.dtype.type(1 / (kh * kw)))
    if found is not None:
        return found
    part = F.multiply(g, g.dtype.type(1 / (kh * kw)))
    blank, inner = _blank(F, g, windows)
    strides = part.strides
    same = F.ndarray((n, c, kh, kw, oh, ow), part.dtype, part.data, (*strides[:2], 0, 0, *strides[2:]))
    blank.spread(same)
    return inner


KERNELS["nn.largest"] = Mirror(_largest, SINGLE, None, False, SAME)
KERNELS["nn.largest_back"] = Mirror(_largest_back, SINGLE, _alike, False, SAME)
KERNELS["nn.largest_at"] = Mirror(_largest_at, SINGLE, _alike, False, SAME)
KERNELS["nn.mean"] = Mirror(_mean, SINGLE, None, False, SAME)
KERNELS["nn.mean_back"] = Mirror(_mean_back, SINGLE, None, False, SAME)
