"""The rows of the library in the table of primitives: what they share, and MXNet's operators as their kernels."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minpy.nn.kernels.windows import Windows
from minpy.runtime.primitives.table import Kernel

_DTYPES = frozenset(("float32", "float64"))


def work(images: Any, others: Any, windows: Windows) -> int:
    """Multiplications of a convolution, or of one of its transposes."""
    # Which of the operands the filters are, or whether there are any, is of no matter: all three do the same.
    first, second = images.shape, others.shape
    n, c = windows.shape[:2]
    filters = first[1] if tuple(first) != windows.shape else second[1 if second[0] == n else 0]
    return n * c * filters * math.prod(windows.out) * math.prod(windows.kernel)


def alike(a: Any, b: Any, *rest: Any) -> str | None:
    """Why MXNet does not take these arrays."""
    return None if a.dtype == b.dtype else "the kernel takes arrays of one dtype"


def samples(*makers: Callable[..., tuple]) -> Callable[..., Iterator[tuple[tuple, dict]]]:
    """Sample inputs of a row: makers of arguments, given what makes an array of a shape."""

    def found(rng: np.random.Generator, dtype: np.dtype) -> Iterator[tuple[tuple, dict]]:
        def array(*shape: int) -> np.ndarray:
            values = rng.integers(-9, 10, shape) if dtype.kind in "iu" else rng.uniform(-3, 3, shape)
            if dtype.kind == "u":
                values = abs(values)
            return np.asarray(values).astype(dtype)

        if dtype.kind in "iuf":
            for make in makers:
                yield make(array), {}

    return found


WINDOWS = (
    Windows((2, 3, 6, 5), (3, 2), (1, 1), (0, 0)),
    Windows((2, 3, 6, 5), (3, 3), (1, 1), (1, 1)),
    Windows((2, 3, 7, 5), (3, 3), (2, 2), (1, 0)),
    Windows((3, 2, 6, 4), (2, 2), (2, 2), (0, 0)),
    Windows((3, 2, 5, 4), (1, 1), (1, 1), (0, 0)),
    Windows((2, 2, 8, 9), (2, 3), (3, 4), (1, 1)),
)


# ----- MXNet


def _options(windows: Windows) -> dict[str, Any]:
    return {"kernel": windows.kernel, "stride": windows.stride, "pad": windows.pad}


def _convolve(F: Any, x: Any, w: Any, windows: Windows) -> Any:
    return F.Convolution(x, w, num_filter=w.shape[0], no_bias=True, **_options(windows))


def _to_images(F: Any, g: Any, w: Any, windows: Windows) -> Any:
    sizes = zip(windows.shape[2:], windows.pad, windows.kernel, windows.stride, strict=True)
    rest = tuple((n + 2 * p - k) % s for n, p, k, s in sizes)
    return F.Deconvolution(g, w, num_filter=w.shape[1], no_bias=True, adj=rest, **_options(windows))


def _to_weights(F: Any, x: Any, g: Any, windows: Windows) -> Any:
    filters = F.zeros((g.shape[1], x.shape[1], *windows.kernel), ctx=x.context, dtype=x.dtype)
    return _cotangent(filters, g, lambda w: _convolve(F, x, w, windows))


def _pool(F: Any, kind: str, x: Any, windows: Windows) -> Any:
    return F.Pooling(x, pool_type=kind, **_options(windows))


def _largest(F: Any, x: Any, windows: Windows) -> Any:
    y = _pool(F, "max", x, windows)
    # MXNet passes over what is not a number, and gives its lowest number where there is nothing but -inf.
    least = float(np.finfo(np.dtype(x.dtype)).min)
    seen = _pool(F, "max", 2 * (x != x) + (x >= least), windows)
    like = {"ctx": y.context, "dtype": y.dtype}
    y = F.where(seen > 0, y, 2 * F.full(y.shape, least, **like))
    return F.where(seen > 1, F.full(y.shape, math.nan, **like), y)


def _cotangent(x: Any, g: Any, operator: Callable[[Any], Any]) -> Any:
    """The cotangent of `x`, by MXNet's own rule for one operator: it has no way to ask for that without running it."""
    from mxnet import autograd

    x = x.detach()
    x.attach_grad()
    with autograd.record():
        y = operator(x)
    y.backward(g)
    return x.grad


convolve = Kernel(_convolve, _DTYPES, alike)
to_images = Kernel(_to_images, _DTYPES, alike)
to_weights = Kernel(_to_weights, _DTYPES, alike)
largest = Kernel(_largest, _DTYPES)
largest_back = Kernel(
    lambda F, g, x, best, windows: _cotangent(x, g, lambda x: _pool(F, "max", x, windows)), _DTYPES, alike
)
mean = Kernel(lambda F, x, windows: _pool(F, "avg", x, windows), _DTYPES)


def _mean_back(F: Any, g: Any, windows: Windows) -> Any:
    images = F.zeros(windows.shape, ctx=g.context, dtype=g.dtype)
    return _cotangent(images, g, lambda x: _pool(F, "avg", x, windows))


mean_back = Kernel(_mean_back, _DTYPES)
