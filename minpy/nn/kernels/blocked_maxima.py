"""The positive parts of maxima, read from images in the order of oneDNN's convolutions, and their derivative in it.

As `maxima` after `rectifier`, but what lies between a convolution and its maxima is never made: one pass reads the
images in blocks of channels and writes maxima in NumPy's order, and one writes the images of cotangents in blocks.
"""

from __future__ import annotations

import ctypes
import math
from functools import cache
from typing import Any

import numpy as np

from minpy.nn.kernels import blocked, shared
from minpy.nn.kernels.blocked import SIDE, STAGES, transposed
from minpy.nn.kernels.maxima import first_of_largest
from minpy.nn.kernels.windows import Windows
from minpy.runtime.fuse import native, sites
from minpy.runtime.jit import background, engine

_MOST = (
    4  # places of a window, each of which is sixteen times in the code: with nine it takes seconds to compile
)
_BLOCK = f"<{SIDE} x float>"
_BYTES = f"<{SIDE} x i8>"
_TRUTHS = f"<{SIDE} x i1>"
_ALL = 4 * SIDE  # bytes of the channels of a place


def fits(windows: Windows) -> bool:
    """Whether images that are in blocks are for `largest` and `spread`."""
    (rows, columns), kernel = windows.out, windows.kernel
    return (
        blocked.fits(windows.shape)
        and windows.stride == kernel
        and windows.pad == (0, 0)
        and math.prod(kernel) <= _MOST
        and not rows * columns % SIDE
        and (not columns % SIDE or not SIDE % columns)
        and all(windows.out[k] * kernel[k] == windows.shape[2 + k] for k in range(2))
    )


def is_ready(windows: Windows) -> bool:
    """Whether they are, and the code for them is compiled."""
    return fits(windows) and all(_function(text, windows) is not None for text in (_forward, _backward))


def largest(images: np.ndarray, windows: Windows) -> tuple[np.ndarray, np.ndarray] | None:
    """The positive part of the largest element of each window, and its number in it; None if that is not compiled.

    Parameters
    ----------
    images : numpy.ndarray
        Memory of the order (N, C / 16, H, W, 16), float32.
    windows : Windows
        For which it `fits`.

    Returns
    -------
    (numpy.ndarray, numpy.ndarray)
        Shape (N, C, h, w), float32 and uint8. The number of a maximum that is not positive is of no meaning.
    """
    function = _function(_forward, windows)
    if function is None:
        return None
    shape = *windows.shape[:2], *windows.out
    best, which = np.empty(shape, np.float32), np.empty(shape, np.uint8)
    _run(function, windows, images, best, which, best)
    return best, which


def spread(g: np.ndarray, best: np.ndarray, which: np.ndarray, windows: Windows, images: np.ndarray) -> bool:
    """The cotangent of images, for that of what `largest` gave, into memory in blocks; False if not compiled."""
    function = _function(_backward, windows)
    if function is None:
        return False
    _run(function, windows, images, np.ascontiguousarray(g), which, best)
    return True


def _function(text: Any, windows: Windows) -> Any:
    if sites.mode() == "off" or sites.held or not engine.is_available():
        return None
    try:
        return _compiled(text, windows.kernel)
    except (native.Unfit, background.Pending, engine.CompileError):
        return None


@cache
def _compiled(text: Any, kernel: tuple[int, int]) -> Any:
    kinds = [ctypes.c_int64] * 9
    return ctypes.CFUNCTYPE(ctypes.c_int64, *kinds)(native.compiled(text(kernel), wait=False))


def _run(
    function: Any,
    windows: Windows,
    images: np.ndarray,
    values: np.ndarray,
    which: np.ndarray,
    best: np.ndarray,
) -> None:
    """Over all blocks, that of sixteen channels of one image each, by as many threads as it pays."""
    n, channels, height, width = windows.shape
    rows, columns = windows.out
    line = width * _ALL
    places = _places(windows.kernel, windows.out, line)
    size = rows * columns
    moves = (images, height * line), (values, size * SIDE * 4), (which, size * SIDE), (best, size * SIDE * 4)

    def work(first: int, count: int) -> None:
        starts = [array.ctypes.data + first * step for array, step in moves]
        function(count, size // SIDE, height * line, line, places.ctypes.data, *starts)

    shared.over(work, n * channels // SIDE, math.prod(windows.shape))


@cache
def _places(kernel: tuple[int, int], out: tuple[int, int], line: int) -> np.ndarray:
    """Where in a block the first of each sixteen windows is, and where these are from there, in bytes."""
    at = [
        row * kernel[0] * line + column * kernel[1] * _ALL
        for row in range(out[0])
        for column in range(out[1])
    ]
    return np.array([*at[::SIDE], *at[:SIDE]], np.int64)


def _forward(kernel: tuple[int, int]) -> str:
    lines = []
    for t in range(SIDE):
        best, which = f"%v{t}_0", "zeroinitializer"
        for k, place in enumerate(_elements(kernel)):
            lines.append(_address(t, k, place))
            lines.append(f"  %v{t}_{k} = load {_BLOCK}, ptr %e{t}_{k}, align 4\n")
            if k:
                of = f"{t}_{k}"
                lines += first_of_largest(of, _BLOCK, _TRUTHS, best, _bytes(k), f"{_BYTES} {which}")
                best, which = f"%best{of}", f"%which{of}"
        lines += [
            f"  %counts{t} = fcmp ugt {_BLOCK} {best}, zeroinitializer\n",
            f"  %b0_{t} = select {_TRUTHS} %counts{t}, {_BLOCK} {best}, {_BLOCK} zeroinitializer\n",
            f"  %w0_{t} = or {_BYTES} {which}, zeroinitializer\n",
        ]
    lines += [transposed("b", "float"), transposed("w", "i8")]
    for c in range(SIDE):
        lines += [
            _row(c),
            f"  store {_BLOCK} %b{STAGES}_{c}, ptr %y{c}, align 4\n",
            f"  store {_BYTES} %w{STAGES}_{c}, ptr %n{c}, align 1\n",
        ]
    return _loops("".join(lines))


def _backward(kernel: tuple[int, int]) -> str:
    lines = []
    for c in range(SIDE):
        lines += [
            _row(c),
            f"  %g{c} = load {_BLOCK}, ptr %y{c}, align 4\n",
            f"  %z{c} = getelementptr i8, ptr %best, i64 %ahead{c}\n",
            f"  %best{c} = load {_BLOCK}, ptr %z{c}, align 4\n",
            f"  %counts{c} = fcmp ogt {_BLOCK} %best{c}, zeroinitializer\n",
            f"  %b0_{c} = select {_TRUTHS} %counts{c}, {_BLOCK} %g{c}, {_BLOCK} zeroinitializer\n",
            f"  %w0_{c} = load {_BYTES}, ptr %n{c}, align 1\n",
        ]
    lines += [transposed("b", "float"), transposed("w", "i8")]
    for t in range(SIDE):
        for k, place in enumerate(_elements(kernel)):
            of = f"{t}_{k}"
            lines += [
                _address(t, k, place),
                f"  %mine{of} = icmp eq {_BYTES} %w{STAGES}_{t}, {_bytes(k).partition('> ')[2]}\n",
                f"  %d{of} = select {_TRUTHS} %mine{of}, {_BLOCK} %b{STAGES}_{t}, {_BLOCK} zeroinitializer\n",
                f"  store {_BLOCK} %d{of}, ptr %e{of}, align 4\n",
            ]
    return _loops("".join(lines))


def _elements(kernel: tuple[int, int]) -> list[tuple[int, int]]:
    return [(i, j) for i in range(kernel[0]) for j in range(kernel[1])]


def _bytes(k: int) -> str:
    """A vector of bytes that are all `k`."""
    return f"{_BYTES} <{', '.join([f'i8 {k}'] * SIDE)}>"


def _address(t: int, k: int, place: tuple[int, int]) -> str:
    """Where the channels of a place of the window number `t` of sixteen are, ``%e``."""
    start = (
        f"  %p{t} = getelementptr i64, ptr %steps, i64 {t}\n  %o{t} = load i64, ptr %p{t}, align 8\n"
        f"  %at{t}_0 = getelementptr i8, ptr %square, i64 %o{t}\n"
    )
    down = (
        f"  %at{t}_{place[0]} = getelementptr i8, ptr %at{t}_{place[0] - 1}, i64 %line\n"
        if place[0]
        else start
    )
    return (
        f"{'' if place[1] else down}"
        f"  %e{t}_{k} = getelementptr i8, ptr %at{t}_{place[0]}, i64 {place[1] * _ALL}\n"
    )


def _row(c: int) -> str:
    """Where a channel of sixteen windows is, ``%y`` for numbers and ``%n`` for bytes."""
    return (
        f"  %over{c} = mul nuw nsw i64 %places, {c}\n  %to{c} = add nuw nsw i64 %over{c}, %first\n"
        f"  %n{c} = getelementptr i8, ptr %ws, i64 %to{c}\n  %ahead{c} = mul nuw nsw i64 %to{c}, 4\n"
        f"  %y{c} = getelementptr i8, ptr %ys, i64 %ahead{c}\n"
    )


def _loops(body: str) -> str:
    """Over all blocks, sixteen windows at a time."""
    return (
        "define i64 @kernel(i64 %blocks, i64 %squares, i64 %plane, i64 %line, ptr noalias nocapture %table, "
        "ptr noalias nocapture %xs, ptr nocapture %ysall, ptr noalias nocapture %wsall, ptr nocapture %bests) {\n"
        f"entry:\n  %places = mul nuw nsw i64 %squares, {SIDE}\n  %size = mul nuw nsw i64 %places, {SIDE}\n"
        "  %wide = mul nuw nsw i64 %size, 4\n"
        "  %steps = getelementptr i64, ptr %table, i64 %squares\n  br label %block\n"
        "block:\n  %b = phi i64 [0, %entry], [%b1, %done]\n  %far = mul nuw nsw i64 %b, %plane\n"
        "  %image = getelementptr i8, ptr %xs, i64 %far\n  %start = mul nuw nsw i64 %b, %wide\n"
        "  %ys = getelementptr i8, ptr %ysall, i64 %start\n  %best = getelementptr i8, ptr %bests, i64 %start\n"
        "  %begin = mul nuw nsw i64 %b, %size\n  %ws = getelementptr i8, ptr %wsall, i64 %begin\n  br label %one\n"
        f"one:\n  %q = phi i64 [0, %block], [%q1, %one]\n  %first = mul nuw nsw i64 %q, {SIDE}\n"
        "  %tq = getelementptr i64, ptr %table, i64 %q\n  %base = load i64, ptr %tq, align 8\n"
        f"  %square = getelementptr i8, ptr %image, i64 %base\n{body}"
        "  %q1 = add nuw nsw i64 %q, 1\n  %more = icmp ult i64 %q1, %squares\n"
        "  br i1 %more, label %one, label %done\n"
        "done:\n  %b1 = add nuw nsw i64 %b, 1\n  %again = icmp ult i64 %b1, %blocks\n"
        "  br i1 %again, label %block, label %end\n"
        "end:\n  ret i64 0\n}\n"
    )
