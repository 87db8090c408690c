"""The derivative of filters whose results went through relu and the maximum of windows that lie side by side.

Most of the cotangents of such results are zeros: only what is the largest in its window, and positive, gets one. So
the filters' are sums over the maxima of what the filters saw there, and the images of cotangents are never made.
Compiled: what a row of a filter sees is a run of memory in images with their channels last.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np

from minpy.nn.kernels import maxima, shared
from minpy.nn.kernels.arithmetic import TYPES
from minpy.nn.kernels.windows import Windows
from minpy.runtime.fuse import native, sites
from minpy.runtime.jit import background, engine

_BYTES = 64  # of a vector
_MOST = 12  # vectors of sums that are at work at a time, twice
_SHARE = 1 << 22  # multiplications for each thread at least


def is_ready(x: np.ndarray, y: np.ndarray, seen: Windows, windows: Windows) -> bool:
    """Whether `gradients` is for images `x` and the positive part of their convolution, `y`.

    Parameters
    ----------
    seen, windows : Windows
        Of the convolution, and of the maximum.
    """
    return (
        type(x) is np.ndarray
        and x.dtype == y.dtype
        and maxima.is_ready(y, windows)
        and _function(x.dtype.char, seen) is not None
    )


def gradients(
    x: np.ndarray, g: np.ndarray, best: np.ndarray, which: np.ndarray, seen: Windows, windows: Windows
) -> tuple[np.ndarray, np.ndarray] | None:
    """Cotangents of filters and of biases; None if this is not for us.

    Parameters
    ----------
    x : numpy.ndarray
        Images, shape (N, C, H, W).
    g, best, which : numpy.ndarray
        The cotangent of the maxima, the maxima themselves and their places in their windows, shape (N, F, h, w).
    seen, windows : Windows
        Of the convolution, and of the maximum.
    """
    function = _function(x.dtype.char, seen)
    if function is None or not x.dtype == g.dtype == best.dtype:
        return None
    images, filters, rows, columns = g.shape
    (kh, kw), (sh, sw), channels, size = seen.kernel, seen.stride, seen.shape[1], x.itemsize
    (top, left), (height, width) = seen.pad, seen.shape[2:]
    height, width = height + 2 * top, width + 2 * left
    lanes = _BYTES // size
    length = -(-kw * channels // lanes) * lanes
    # (What is behind a run is read too.)
    flat = np.zeros(images * height * width * channels + length, x.dtype)
    wide = flat[:-length].reshape(images, height, width, channels)
    inner = wide[:, top : top + seen.shape[2], left : left + seen.shape[3]]
    for channel in range(channels):  # a third of the time that all at once take
        inner[..., channel] = x[:, channel]
    line = width * channels * size
    places = np.array(
        [i * sh * line + j * sw * channels * size for i in range(windows.kernel[0]) for j in range(windows.kernel[1])],
        np.int64,
    )  # fmt: skip
    g, best, which = map(np.ascontiguousarray, (g, best, which))
    of_filters, of_biases = np.zeros((filters, kh, length), x.dtype), np.zeros(filters, x.dtype)
    moves = height * line, windows.kernel[0] * sh * line, windows.kernel[1] * sw * channels * size, line
    plane = rows * columns
    starts = (
        (g, plane * size), (which, plane), (best, plane * size), (of_filters, kh * length * size), (of_biases, size),
    )  # fmt: skip

    def some(first: int, count: int) -> None:
        ours = (array.ctypes.data + first * step for array, step in starts)
        function(images, count, filters, rows, columns, *moves, places.ctypes.data, flat.ctypes.data, *ours)

    shared.over(some, filters, g.size * kh * kw * channels, _SHARE)
    of_filters = of_filters[:, :, : kw * channels].reshape(filters, kh, kw, channels)
    return np.ascontiguousarray(of_filters.transpose(0, 3, 1, 2)), of_biases


def _function(char: str, seen: Windows) -> Any:
    if char not in TYPES or sites.mode() == "off" or sites.held or not engine.is_available():
        return None
    vectors = -(-seen.kernel[1] * seen.shape[1] * TYPES[char][1] // _BYTES)
    if seen.kernel[0] * vectors > _MOST:
        return None
    try:
        return _compiled(seen.kernel[0], vectors, char)
    except (native.Unfit, background.Pending, engine.CompileError):
        return None


@cache
def _compiled(lines: int, vectors: int, char: str) -> Any:
    kinds = [ctypes.c_int64] * 16
    return ctypes.CFUNCTYPE(ctypes.c_int64, *kinds)(native.compiled(_code(lines, vectors, char), wait=False))


def _code(lines: int, vectors: int, char: str) -> str:
    """Over all images and filters; in each plane two sums at a time, of windows side by side."""
    kind, size, _ = TYPES[char]
    lanes = _BYTES // size
    vector = f"<{lanes} x {kind}>"
    sums = [f"{t}_{i}_{k}" for t in range(2) for i in range(lines) for k in range(vectors)]
    begin = [f"  %r{s} = phi {vector} [zeroinitializer, %filter], [%n{s}, %rowend]\n" for s in sums]
    begin += [f"  %rb{t} = phi {kind} [0.0, %filter], [%nb{t}, %rowend]\n" for t in range(2)]
    carry = [f"  %a{s} = phi {vector} [%r{s}, %row], [%n{s}, %one]\n" for s in sums]
    carry += [f"  %b{t} = phi {kind} [%rb{t}, %row], [%nb{t}, %one]\n" for t in range(2)]
    body = [
        "  %next = add nuw nsw i64 %j, 1\n  %is1 = icmp ult i64 %next, %columns\n"
        "  %is0 = icmp ult i64 %j, %columns\n  %j1 = select i1 %is1, i64 %next, i64 %j\n"
        "  %j0 = add nuw nsw i64 %j, 0\n"
    ]
    for t in range(2):
        body.append(
            f"  %at{t} = add nuw nsw i64 %before, %j{t}\n"
            f"  %wp{t} = getelementptr inbounds i8, ptr %wplane, i64 %at{t}\n  %w{t} = load i8, ptr %wp{t}, align 1\n"
            f"  %which{t} = zext i8 %w{t} to i64\n"
            f"  %pp{t} = getelementptr inbounds i64, ptr %table, i64 %which{t}\n"
            f"  %move{t} = load i64, ptr %pp{t}, align 8\n"
            f"  %gp{t} = getelementptr inbounds {kind}, ptr %gplane, i64 %at{t}\n"
            f"  %all{t} = load {kind}, ptr %gp{t}, align {size}\n"
            f"  %tp{t} = getelementptr inbounds {kind}, ptr %tplane, i64 %at{t}\n"
            f"  %best{t} = load {kind}, ptr %tp{t}, align {size}\n"
            f"  %positive{t} = fcmp ogt {kind} %best{t}, 0.0\n  %counts{t} = and i1 %positive{t}, %is{t}\n"
            f"  %g{t} = select i1 %counts{t}, {kind} %all{t}, {kind} 0.0\n"
            f"  %nb{t} = fadd {kind} %b{t}, %g{t}\n"
            f"  %way{t} = mul nuw nsw i64 %j{t}, %right\n  %over{t} = add nuw nsw i64 %way{t}, %move{t}\n"
            f"  %x{t} = getelementptr i8, ptr %xrow, i64 %over{t}\n"
            f"  %single{t} = insertelement {vector} poison, {kind} %g{t}, i32 0\n"
            f"  %g{t}s = shufflevector {vector} %single{t}, {vector} poison, <{lanes} x i32> zeroinitializer\n"
        )
        for i in range(lines):
            body.append(
                f"  %down{t}_{i} = mul nuw nsw i64 %line, {i}\n"
                f"  %x{t}_{i} = getelementptr i8, ptr %x{t}, i64 %down{t}_{i}\n"
            )
            for k in range(vectors):
                s = f"{t}_{i}_{k}"
                body.append(
                    f"  %p{s} = getelementptr {vector}, ptr %x{t}_{i}, i64 {k}\n"
                    f"  %v{s} = load {vector}, ptr %p{s}, align {size}\n"
                    f"  %n{s} = call {vector} @llvm.fmuladd.v{lanes}f{8 * size}"
                    f"({vector} %g{t}s, {vector} %v{s}, {vector} %a{s})\n"
                )
    add = []
    for number, (i, k) in enumerate((i, k) for i in range(lines) for k in range(vectors)):
        s = f"{i}_{k}"
        add.append(
            f"  %both{s} = fadd {vector} %n0_{s}, %n1_{s}\n"
            f"  %to{s} = getelementptr {vector}, ptr %mine, i64 {number}\n"
            f"  %old{s} = load {vector}, ptr %to{s}, align {size}\n"
            f"  %new{s} = fadd {vector} %old{s}, %both{s}\n  store {vector} %new{s}, ptr %to{s}, align {size}\n"
        )
    return (
        f"declare {vector} @llvm.fmuladd.v{lanes}f{8 * size}({vector}, {vector}, {vector})\n"
        "define i64 @kernel(i64 %images, i64 %filters, i64 %total, i64 %rows, i64 %columns, i64 %plane, i64 %lower, "
        "i64 %right, i64 %line, ptr nocapture %table, ptr nocapture %xs, ptr nocapture %gs, ptr nocapture %ws, "
        "ptr nocapture %ts, ptr noalias nocapture %dw, ptr noalias nocapture %db) {\n"
        "entry:\n  %size = mul nuw nsw i64 %rows, %columns\n  br label %image\n"
        "image:\n  %n = phi i64 [0, %entry], [%n1, %imageend]\n  %far = mul nuw nsw i64 %n, %plane\n"
        "  %x = getelementptr i8, ptr %xs, i64 %far\n  %planes = mul nuw nsw i64 %n, %total\n  br label %filter\n"
        "filter:\n  %f = phi i64 [0, %image], [%f1, %filterend]\n  %number = add nuw nsw i64 %planes, %f\n"
        "  %start = mul nuw nsw i64 %number, %size\n"
        f"  %gplane = getelementptr {kind}, ptr %gs, i64 %start\n"
        f"  %tplane = getelementptr {kind}, ptr %ts, i64 %start\n"
        "  %wplane = getelementptr i8, ptr %ws, i64 %start\n  br label %row\n"
        f"row:\n  %r = phi i64 [0, %filter], [%r1, %rowend]\n{''.join(begin)}"
        "  %below = mul nuw nsw i64 %r, %lower\n  %xrow = getelementptr i8, ptr %x, i64 %below\n"
        "  %before = mul nuw nsw i64 %r, %columns\n  br label %one\n"
        f"one:\n  %j = phi i64 [0, %row], [%j2, %one]\n{''.join(carry)}{''.join(body)}"
        "  %j2 = add nuw nsw i64 %j, 2\n  %more = icmp ult i64 %j2, %columns\n"
        "  br i1 %more, label %one, label %rowend\n"
        "rowend:\n  %r1 = add nuw nsw i64 %r, 1\n  %moreRows = icmp ult i64 %r1, %rows\n"
        "  br i1 %moreRows, label %row, label %filterend\n"
        f"filterend:\n  %place = mul nuw nsw i64 %f, {lines * vectors}\n"
        f"  %mine = getelementptr {vector}, ptr %dw, i64 %place\n{''.join(add)}"
        f"  %bp = getelementptr {kind}, ptr %db, i64 %f\n  %oldb = load {kind}, ptr %bp, align {size}\n"
        f"  %bothb = fadd {kind} %nb0, %nb1\n  %newb = fadd {kind} %oldb, %bothb\n"
        f"  store {kind} %newb, ptr %bp, align {size}\n"
        "  %f1 = add nuw nsw i64 %f, 1\n  %moreFilters = icmp ult i64 %f1, %filters\n"
        "  br i1 %moreFilters, label %filter, label %imageend\n"
        "imageend:\n  %n1 = add nuw nsw i64 %n, 1\n  %moreImages = icmp ult i64 %n1, %images\n"
        "  br i1 %moreImages, label %image, label %end\n"
        "end:\n  ret i64 0\n}\n"
    )
