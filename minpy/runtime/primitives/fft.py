"""Fourier transforms.

A transform is a symmetric matrix: its own transpose, up to the cutting and padding of the axis.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minpy.runtime.primitives.moves import cases, rows
from minpy.runtime.primitives.table import row

_MXNET = "MXNet transforms on the GPU only, in single precision"


def _length(x: Any, n: int, axis: int) -> Any:
    """`x` cut or padded with zeros to the length `n` along `axis`."""
    have = np.shape(x)[axis]
    if have == n:
        return x
    axis = axis % np.ndim(x)
    if have > n:
        return x[tuple(slice(n) if i == axis else slice(None) for i in range(np.ndim(x)))]
    return np.pad(x, [(0, n - have if i == axis else 0) for i in range(np.ndim(x))])


def _symmetric(name: str) -> Any:
    transform = getattr(np.fft, name)

    def rule(g: Any, ans: Any, a: Any, n: Any = None, axis: int = -1, norm: Any = None) -> Any:
        return _length(transform(g, None, axis, norm), np.shape(a)[axis], axis)

    return rule


def _unrfft(g: Any, ans: Any, a: Any, n: Any = None, axis: int = -1, norm: Any = None) -> Any:
    n = np.shape(a)[axis] if n is None else n
    d = np.fft.fft(_length(g, n, axis), None, axis, norm)
    return _length(np.real(d), np.shape(a)[axis], axis)


def _unirfft(g: Any, ans: Any, a: Any, n: Any = None, axis: int = -1, norm: Any = None) -> Any:
    n = np.shape(ans)[axis]
    kept = n // 2 + 1
    d = _length(np.fft.ifft(g, None, axis, norm), kept, axis)
    # Every frequency but the first and (for even n) the last stands for itself and its mirror image.
    twice = np.full(kept, 2.0)
    twice[0] = 1.0
    if n % 2 == 0:
        twice[-1] = 1.0
    shape = [1] * np.ndim(d)
    shape[axis] = kept
    return _length(d * twice.reshape(shape), np.shape(a)[axis], axis)


_one = cases(
    lambda a: (a(4),),
    lambda a: (a(2, 5),),
    lambda a: (a(4), 6),
    lambda a: (a(2, 6), 3),
    lambda a: [(a(4, 3),), {"axis": 0, "norm": "ortho"}],
    lambda a: [(a(3, 4).T[::-1],), {"axis": 0, "norm": "forward"}],
    lambda a: (a(0),),
    lambda a: (a(4), 4, -1, "no"),
    lambda a: (a(4), 4, 3),
)
row("fft.fft", cost="solve", mxnet=_MXNET, vjp=(_symmetric("fft"),), samples=_one)
row("fft.ifft", cost="solve", mxnet=_MXNET, vjp=(_symmetric("ifft"),), samples=_one)
row("fft.rfft", cost="solve", mxnet=_MXNET, vjp=(_unrfft,), samples=_one)
row("fft.irfft", cost="solve", mxnet=_MXNET, vjp=(_unirfft,), samples=_one)


_OPPOSITE = {None: "forward", "backward": "forward", "forward": "backward", "ortho": "ortho"}


def _hfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None) -> Any:
    n = (np.shape(a)[axis] - 1) * 2 if n is None else n
    return np.fft.irfft(np.conj(a), n, axis, _OPPOSITE[norm])


def _ihfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None) -> Any:
    return np.conj(np.fft.rfft(a, n, axis, _OPPOSITE[norm]))


row("fft.hfft", cost="solve", mxnet=_MXNET, compose=_hfft, samples=_one)
row("fft.ihfft", cost="solve", mxnet=_MXNET, compose=_ihfft, samples=_one)


# ----- several axes: one after another, as NumPy does -------------------------------------------------------


def _lengths(a: Any, s: Any, axes: Any, half: bool) -> tuple[list, list]:
    if s is None:
        axes = list(range(np.ndim(a))) if axes is None else list(axes)
        lengths = [np.shape(a)[i] for i in axes]
        if half:
            lengths[-1] = (np.shape(a)[axes[-1]] - 1) * 2
        return lengths, axes
    return list(s), list(range(-len(s), 0)) if axes is None else list(axes)


def _all_axes(name: str, two: bool) -> Any:
    one = getattr(np.fft, name)

    def compose(a: Any, s: Any = None, axes: Any = (-2, -1) if two else None, norm: Any = None) -> Any:
        lengths, axes = _lengths(a, s, axes, False)
        for n, axis in reversed(list(zip(lengths, axes, strict=True))):
            a = one(a, n, axis, norm)
        return a

    return compose


def _real_axes(two: bool) -> Any:
    def compose(a: Any, s: Any = None, axes: Any = (-2, -1) if two else None, norm: Any = None) -> Any:
        lengths, axes = _lengths(a, s, axes, False)
        a = np.fft.rfft(a, lengths[-1], axes[-1], norm)
        for n, axis in zip(lengths[:-1], axes[:-1], strict=True):
            a = np.fft.fft(a, n, axis, norm)
        return a

    return compose


def _half_axes(two: bool) -> Any:
    def compose(a: Any, s: Any = None, axes: Any = (-2, -1) if two else None, norm: Any = None) -> Any:
        lengths, axes = _lengths(a, s, axes, True)
        for n, axis in zip(lengths[:-1], axes[:-1], strict=True):
            a = np.fft.ifft(a, n, axis, norm)
        return np.fft.irfft(a, lengths[-1], axes[-1], norm)

    return compose


_many = cases(
    lambda a: (a(3, 4),),
    lambda a: (a(2, 3, 4),),
    lambda a: (a(3, 4), (4, 3)),
    lambda a: [(a(2, 3, 4),), {"axes": (0, 2), "norm": "ortho"}],
    lambda a: [(a(3, 4), (2, 5)), {"axes": (1, 0)}],
    lambda a: (a(3),),
)
for _two, _end in ((False, "n"), (True, "2")):
    row("fft.fft" + _end, cost="solve", mxnet=_MXNET, compose=_all_axes("fft", _two), samples=_many)
    row("fft.ifft" + _end, cost="solve", mxnet=_MXNET, compose=_all_axes("ifft", _two), samples=_many)
    row("fft.rfft" + _end, cost="solve", mxnet=_MXNET, compose=_real_axes(_two), samples=_many)
    row("fft.irfft" + _end, cost="solve", mxnet=_MXNET, compose=_half_axes(_two), samples=_many)

_shifts = cases(
    lambda a: (a(5),),
    lambda a: (a(3, 4),),
    lambda a: (a(3, 4), 1),
    lambda a: [(a(2, 3, 4),), {"axes": (0, -1)}],
    lambda a: (a(0),),
)
row(
    "fft.fftshift",
    cost="move",
    mxnet=_MXNET,
    vjp=(lambda g, ans, x, axes=None: np.fft.ifftshift(g, axes),),
    samples=_shifts,
)
row(
    "fft.ifftshift",
    cost="move",
    mxnet=_MXNET,
    vjp=(lambda g, ans, x, axes=None: np.fft.fftshift(g, axes),),
    samples=_shifts,
)
rows(
    "fft.fftfreq fft.rfftfreq",
    cost="move",
    creates=True,
    mxnet="computed once on the host, and copied when it is used",
    vjp=(None, lambda g, ans, n, d=1.0: -np.sum(g * ans) / d),
    samples=cases(lambda a: (5,), lambda a: (4, 0.25), lambda a: (1.5,)),
)
