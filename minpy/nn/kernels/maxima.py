"""Maxima of windows that lie side by side, and their derivative: compiled, one pass over the images each.

The first of the largest elements of a window is taken, and gets the gradient; a NaN is the largest of all. Windows that
overlap, or look at padding, are `pooling`'s.
"""

from __future__ import annotations

import ctypes
import math
from functools import cache
from typing import Any

import numpy as np

from minpy.nn.kernels import shared
from minpy.nn.kernels.arithmetic import TYPES
from minpy.nn.kernels.windows import Windows
from minpy.runtime.fuse import native, sites
from minpy.runtime.jit import background, engine

_LEAST = 1 << 14  # elements from which they are compiled
_MOST = 36  # places of a window, each of which is a line of the code


def largest(x: np.ndarray, windows: Windows) -> tuple[np.ndarray, np.ndarray] | None:
    """The largest element of each window, and its number in it; None if this is not for us."""
    function = _function(_forward, x, windows)
    if function is None:
        return None
    shape = *x.shape[:2], *windows.out
    best, which = np.empty(shape, x.dtype), np.empty(shape, np.uint8)
    _run(function, windows, x, best, which)
    return best, which


def is_ready(x: np.ndarray, windows: Windows) -> bool:
    """Whether `largest` is for images like these."""
    return _function(_forward, x, windows) is not None


def spread(
    g: np.ndarray, which: np.ndarray, windows: Windows, best: np.ndarray | None = None
) -> np.ndarray | None:
    """Images with an element of `g` at the place of each window that `which` says, and zeros; None as for `largest`.

    With `best`, an array like `g`, there are zeros too where that is not positive.
    """
    function = _function(_backward if best is None else _backward_of_positive, g, windows)
    if function is None or (best is not None and best.dtype != g.dtype):
        return None
    whole = all(windows.out[k] * windows.kernel[k] == windows.shape[2 + k] for k in range(2))
    images = (np.empty if whole else np.zeros)(windows.shape, g.dtype)
    _run(function, windows, images, np.ascontiguousarray(g), which, best)
    return images


def _function(text: Any, array: np.ndarray, windows: Windows) -> Any:
    if (
        math.prod(windows.shape) < _LEAST
        or array.dtype.char not in TYPES
        or not array.dtype.isnative
        or windows.stride != windows.kernel
        or windows.pad != (0, 0)
        or math.prod(windows.kernel) > _MOST
        or sites.mode() == "off"
        or sites.held
        or not engine.is_available()
    ):
        return None
    try:
        return _compiled(text, windows.kernel, array.dtype.char)
    except (native.Unfit, background.Pending, engine.CompileError):
        return None


@cache
def _compiled(text: Any, kernel: tuple[int, int], char: str) -> Any:
    kinds = [ctypes.c_int64] * 9
    return ctypes.CFUNCTYPE(ctypes.c_int64, *kinds)(native.compiled(text(kernel, char), wait=False))


def _run(
    function: Any,
    windows: Windows,
    images: np.ndarray,
    values: np.ndarray,
    which: np.ndarray,
    best: np.ndarray | None = None,
) -> None:
    """Over all planes, that of one channel of one image each, by as many threads as it pays."""
    images = images if images.flags.c_contiguous else np.ascontiguousarray(images)
    planes, (rows, columns) = math.prod(windows.shape[:2]), windows.out
    line = windows.shape[3] * images.itemsize
    plane = windows.shape[2] * line
    best = values if best is None else np.ascontiguousarray(best)
    places = images.ctypes.data, values.ctypes.data, which.ctypes.data, best.ctypes.data
    size = rows * columns * values.itemsize
    sizes = plane, size, rows * columns, size

    def work(first: int, count: int) -> None:
        starts = [place + first * size for place, size in zip(places, sizes, strict=True)]
        function(count, rows, columns, plane, line, *starts)

    shared.over(work, planes, images.size)


def first_of_largest(of: str, kind: str, truth: str, best: str, number: str, which: str) -> list[str]:
    """The larger of ``%v`` and `best`, ``%best``, and its number, ``%which``: the first of the largest, NaN being that.

    All names end in `of`; `kind` may be a type of vectors, `truth` is then the one of its comparisons.
    """
    return [
        f"  %above{of} = fcmp ugt {kind} %v{of}, {best}\n  %number{of} = fcmp ord {kind} {best}, {best}\n",
        f"  %better{of} = and {truth} %above{of}, %number{of}\n",
        f"  %best{of} = select {truth} %better{of}, {kind} %v{of}, {kind} {best}\n",
        f"  %which{of} = select {truth} %better{of}, {number}, {which}\n",
    ]


def _forward(kernel: tuple[int, int], char: str) -> str:
    kind, size, _ = TYPES[char]
    lines: list[str] = []
    best, which = "%v0", "0"
    for k, place in enumerate(_places(kernel)):
        lines += _element(k, place, kind)
        lines.append(f"  %v{k} = load {kind}, ptr %e{k}, align {size}\n")
        if k:
            lines += first_of_largest(str(k), kind, "i1", best, f"i32 {k}", f"i32 {which}")
            best, which = f"%best{k}", f"%which{k}"
    lines += [
        f"  %narrow = trunc i32 {which} to i8\n  store i8 %narrow, ptr %w, align 1\n",
        f"  store {kind} {best}, ptr %y, align {size}\n",
    ]
    return _loops(kernel, kind, "".join(lines))


def _backward(kernel: tuple[int, int], char: str) -> str:
    kind, size, _ = TYPES[char]
    return _spread(kernel, char, f"  %g = load {kind}, ptr %y, align {size}\n")


def _backward_of_positive(kernel: tuple[int, int], char: str) -> str:
    kind, size, _ = TYPES[char]
    return _spread(
        kernel,
        char,
        f"  %all = load {kind}, ptr %y, align {size}\n"
        f"  %z = getelementptr inbounds {kind}, ptr %zrow, i64 %j\n"
        f"  %best = load {kind}, ptr %z, align {size}\n  %positive = fcmp ogt {kind} %best, 0.0\n"
        f"  %g = select i1 %positive, {kind} %all, {kind} 0.0\n",
    )


def _spread(kernel: tuple[int, int], char: str, g: str) -> str:
    kind, size, _ = TYPES[char]
    lines = ["  %narrow = load i8, ptr %w, align 1\n  %which = zext i8 %narrow to i32\n", g]
    for k, place in enumerate(_places(kernel)):
        lines += _element(k, place, kind)
        lines += [
            f"  %mine{k} = icmp eq i32 %which, {k}\n  %d{k} = select i1 %mine{k}, {kind} %g, {kind} 0.0\n",
            f"  store {kind} %d{k}, ptr %e{k}, align {size}\n",
        ]
    return _loops(kernel, kind, "".join(lines))


def _places(kernel: tuple[int, int]) -> list[tuple[int, int]]:
    return [(i, j) for i in range(kernel[0]) for j in range(kernel[1])]


def _element(k: int, place: tuple[int, int], kind: str) -> list[str]:
    """The address of the window's element at a place."""
    return [
        f"  %at{k} = add nuw nsw i64 %column, {place[1]}\n",
        f"  %e{k} = getelementptr inbounds {kind}, ptr %line{place[0]}, i64 %at{k}\n",
    ]


def _loops(kernel: tuple[int, int], kind: str, body: str) -> str:
    """All windows, at `%line0` …, `%column`; their values at `%y`, `%w`, and number `%j` of `%zrow`."""
    lines = "".join(
        f"  %from{i} = add nuw nsw i64 %first, {i}\n  %move{i} = mul nuw nsw i64 %from{i}, %line\n"
        f"  %line{i} = getelementptr i8, ptr %image, i64 %move{i}\n"
        for i in range(kernel[0])
    )
    return (
        "define i64 @kernel(i64 %planes, i64 %rows, i64 %columns, i64 %plane, i64 %line, "
        "ptr noalias nocapture %x, ptr noalias nocapture %ys, ptr noalias nocapture %ws, ptr nocapture %zs) {\n"
        "entry:\n  br label %planeloop\n"
        "planeloop:\n  %p = phi i64 [0, %entry], [%p1, %planeend]\n  %way = mul nuw nsw i64 %p, %plane\n"
        "  %image = getelementptr i8, ptr %x, i64 %way\n  br label %rowloop\n"
        "rowloop:\n  %r = phi i64 [0, %planeloop], [%r1, %rowend]\n"
        f"  %first = mul nuw nsw i64 %r, {kernel[0]}\n{lines}"
        "  %before = mul nuw nsw i64 %p, %rows\n  %there = add nuw nsw i64 %before, %r\n"
        "  %start = mul nuw nsw i64 %there, %columns\n"
        f"  %yrow = getelementptr {kind}, ptr %ys, i64 %start\n"
        f"  %zrow = getelementptr {kind}, ptr %zs, i64 %start\n"
        "  %wrow = getelementptr i8, ptr %ws, i64 %start\n"
        "  br label %one\n"
        "one:\n  %j = phi i64 [0, %rowloop], [%j1, %one]\n"
        f"  %column = mul nuw nsw i64 %j, {kernel[1]}\n"
        f"  %y = getelementptr inbounds {kind}, ptr %yrow, i64 %j\n"
        f"  %w = getelementptr inbounds i8, ptr %wrow, i64 %j\n{body}"
        "  %j1 = add nuw nsw i64 %j, 1\n  %more = icmp ult i64 %j1, %columns\n"
        "  br i1 %more, label %one, label %rowend\n"
        "rowend:\n  %r1 = add nuw nsw i64 %r, 1\n  %moreRows = icmp ult i64 %r1, %rows\n"
        "  br i1 %moreRows, label %rowloop, label %planeend\n"
        "planeend:\n  %p1 = add nuw nsw i64 %p, 1\n  %morePlanes = icmp ult i64 %p1, %planes\n"
        "  br i1 %morePlanes, label %planeloop, label %end\n"
        "end:\n  ret i64 0\n}\n"
    )
