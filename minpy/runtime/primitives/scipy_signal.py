"""SciPy's convolutions, correlations and linear filters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minpy.errors import GradientError
from minpy.runtime import dispatch
from minpy.runtime.primitives.matrices import conj
from minpy.runtime.primitives.moves import apply, cases
from minpy.runtime.primitives.rules import derived
from minpy.runtime.primitives.table import by_name, row


def _run(name: str, *args: Any, **options: Any) -> Any:
    return dispatch.call(by_name[f"scipy.signal.{name}"], args, options)


def _whole(g: Any, full: tuple[int, ...]) -> Any:
    """The cotangent of all of a convolution, of which `g` is that of the middle."""
    if np.shape(g) == full:
        return g
    index = tuple(slice((f - n) // 2, (f - n) // 2 + n) for f, n in zip(full, np.shape(g), strict=True))
    return apply("index_scatter", g, index, full)


def _refuse(name: str, rest: tuple, options: dict) -> None:
    boundary = rest[0] if rest and name.endswith("2d") else options.get("boundary", "fill")
    if boundary not in ("fill", 0) or options.get("fillvalue", 0) or len(rest) > 1:
        raise GradientError(f"scipy.signal.{name} has a derivative rule for boundary='fill' with zeros only")
    axes = rest[0] if rest and name in ("fftconvolve", "oaconvolve") else options.get("axes")
    if axes is not None:
        raise GradientError(f"scipy.signal.{name} has a derivative rule for axes=None only")


def _convolution(name: str, *samples: Callable[..., Any]) -> None:
    def column(i: int) -> Any:
        def rule(g: Any, ans: Any, x: Any, y: Any, mode: str = "full", *rest: Any, **options: Any) -> Any:
            _refuse(name, rest, options)
            shapes = np.shape(x), np.shape(y)
            if not all(shapes) or np.size(g) == 0:
                return g * (y if i == 0 else x)
            full = tuple(m + n - 1 for m, n in zip(*shapes, strict=True))
            other = y if i == 0 else x
            how = {k: v for k, v in options.items() if k == "method"}
            return _run(name, _whole(g, full), np.flip(other), mode="valid", **how)

        return rule if i < 2 else None

    def jvp(tangents: tuple, ans: Any, x: Any, y: Any, *rest: Any, **options: Any) -> Any:
        u, v, *others = tangents
        if type(u) is list or type(v) is list or any(t is not None for t in others):
            return NotImplemented
        parts = []
        if u is not None:
            parts.append(_run(name, u, y, *rest, **options))
        if v is not None:
            parts.append(_run(name, x, v, *rest, **options))
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]

    row(f"scipy.signal.{name}", cost="matmul", joins=2, vjp=column, jvp=jvp, samples=cases(*samples))


def _correlation(name: str, convolution: str, *samples: Callable[..., Any]) -> None:
    def expression(x: Any, y: Any, mode: str = "full", *rest: Any, **options: Any) -> Any:
        _refuse(name, rest, options)
        turned = conj(np.flip(y))
        if name == "correlate2d" and mode == "same":
            # Where a side of y is even, its middle is the other one of the two.
            whole = _run(convolution, x, turned)
            return whole[
                tuple(slice(n // 2, n // 2 + m) for m, n in zip(np.shape(x), np.shape(y), strict=True))
            ]
        return _run(convolution, x, turned, mode=mode)

    row(
        f"scipy.signal.{name}", cost="matmul", joins=2, vjp=derived(expression, 0, 1), samples=cases(*samples)
    )


_LINES = (
    lambda a: (a(5), a(3)),
    lambda a: (a(5), a(4), "same"),
    lambda a: (a(6), a(3), "valid"),
    lambda a: (a(3), a(6), "valid"),
    lambda a: (a(3, 4), a(2, 2), "same"),
    lambda a: [(a(5), a(2)), {"mode": "same"}],
)
_IMAGES = (
    lambda a: (a(3, 4), a(2, 2)),
    lambda a: (a(4, 4), a(3, 2), "same"),
    lambda a: (a(4, 4), a(3, 2), "valid"),
)
for _name in ("convolve", "fftconvolve", "oaconvolve"):
    _convolution(_name, *_LINES)
_convolution("convolve2d", *_IMAGES)
_correlation("correlate", "convolve", *_LINES)
_correlation("correlate2d", "convolve2d", *_IMAGES)


# ----- filters ----------------------------------------------------------------------------------------------


def _lagged(signal: Any, g: Any, count: int) -> Any:
    """The sums of ``g[n] signal[n - k]`` along the last axis and over all others, for k below `count`."""
    n = np.shape(g)[-1]
    return np.stack([np.sum(g[..., min(k, n) :] * signal[..., : max(n - k, 0)]) for k in range(count)])


def _filter_rules(i: int) -> Any:
    def rule(g: Any, ans: Any, b: Any, a: Any, x: Any, axis: int = -1, zi: Any = None) -> Any:
        if zi is not None:
            raise GradientError(
                "scipy.signal.lfilter with zi has no derivative rule: put the past into the signal"
            )
        g = np.moveaxis(g, axis, -1)
        if i == 2:
            return np.moveaxis(np.flip(_run("lfilter", b, a, np.flip(g, -1)), -1), -1, axis)
        signal = np.moveaxis(x if i == 0 else ans, axis, -1)
        one = np.ones(1)
        found = _lagged(_run("lfilter", one, a, signal), g, np.size(b if i == 0 else a))
        return np.reshape(found if i == 0 else -found, np.shape(b if i == 0 else a))

    return rule if i < 3 else None


row(
    "scipy.signal.lfilter",
    cost="reduce",
    joins=3,
    vjp=_filter_rules,
    samples=cases(
        lambda a: (a(3), np.array([1.0, 0.3, -0.2], a.dtype), a(7)),
        lambda a: (a(2), np.array([2.0, 0.3], a.dtype), a(2, 5)),
        lambda a: [(a(2), np.array([2.0, 0.3], a.dtype), a(5, 2)), {"axis": 0}],
        lambda a: (a(4), np.array([1.0], a.dtype), a(3)),
    ),
)
