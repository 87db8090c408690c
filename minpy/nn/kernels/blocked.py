"""Images in the order of oneDNN's convolutions, brought into NumPy's: compiled, one pass.

oneDNN has sixteen channels of a place side by side where the processor has vectors of sixteen numbers. MXNet brings its
results into plain order when they are read, by way of memory of its own and a copy.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np

from minpy.nn.kernels import shared
from minpy.runtime.fuse import native, sites
from minpy.runtime.jit import background, engine

SIDE = 16  # channels in a block
STAGES = 4  # in which a square is transposed: its logarithm
_LEAST = 1 << 16  # elements from which it pays


def fits(shape: tuple[int, ...]) -> bool:
    """Whether images (N, C, H, W) of float32 are for `plain`."""
    n, channels, height, width = shape
    places = height * width
    return not channels % SIDE and not places % SIDE and places > 1 and n * channels * places >= _LEAST


def plain(blocked: np.ndarray, out: np.ndarray | None = None) -> np.ndarray | None:
    """Images whose memory is in blocks of channels, in C order; None if this is not for us.

    Parameters
    ----------
    blocked : numpy.ndarray
        Shape (N, C, H, W), C-contiguous float32; its memory is that of an array (N, C / 16, H, W, 16).
    out : numpy.ndarray, optional
        Where to write them, in C order.
    """
    if sites.mode() == "off" or sites.held or not engine.is_available():
        return None
    try:
        function = _compiled()
    except (native.Unfit, background.Pending, engine.CompileError):
        return None
    n, channels, height, width = blocked.shape
    if out is None:
        out = np.empty(blocked.shape, np.float32)
    blocks, places = n * channels // SIDE, height * width
    read, written = blocked.ctypes.data, out.ctypes.data

    def work(first: int, count: int) -> None:
        way = first * places * SIDE * out.itemsize
        function(count, places, read + way, written + way)

    shared.over(work, blocks, blocked.size)
    return out


@cache
def _compiled() -> Any:
    return ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 4)(native.compiled(_code(), wait=False))


def transposed(name: str, kind: str) -> str:
    """A square of numbers transposed in registers: rows ``%name0_0`` …, and then ``%name4_0`` … with `STAGES` 4."""
    vector = f"<{SIDE} x {kind}>"
    lines, step = [], SIDE // 2
    for stage in range(STAGES):
        for i in range(SIDE):
            if i & step:
                continue
            pair = f"{vector} %{name}{stage}_{i}, {vector} %{name}{stage}_{i + step}"
            upper = [j if not j & step else SIDE + j - step for j in range(SIDE)]
            lower = [j + step if not j & step else SIDE + j for j in range(SIDE)]
            for row, mask in ((i, upper), (i + step, lower)):
                places = ", ".join(f"i32 {k}" for k in mask)
                lines.append(
                    f"  %{name}{stage + 1}_{row} = shufflevector {pair}, <{SIDE} x i32> <{places}>\n"
                )
        step //= 2
    return "".join(lines)


def _code() -> str:
    """Over all blocks, sixteen places at a time: a square of numbers that is transposed in registers."""
    kind = f"<{SIDE} x float>"
    lines = []
    for i in range(SIDE):
        lines.append(
            f"  %from{i} = getelementptr float, ptr %here, i64 {i * SIDE}\n"
            f"  %r0_{i} = load {kind}, ptr %from{i}, align 4\n"
        )
    lines.append(transposed("r", "float"))
    for i in range(SIDE):
        lines.append(
            f"  %way{i} = mul nuw nsw i64 %places, {i}\n"
            f"  %to{i} = getelementptr float, ptr %there, i64 %way{i}\n"
            f"  store {kind} %r{STAGES}_{i}, ptr %to{i}, align 4\n"
        )
    return (
        "define i64 @kernel(i64 %blocks, i64 %places, ptr noalias nocapture %x, ptr noalias nocapture %ys) {\n"
        f"entry:\n  %size = mul nuw nsw i64 %places, {SIDE}\n  br label %block\n"
        "block:\n  %b = phi i64 [0, %entry], [%b1, %done]\n  %start = mul nuw nsw i64 %b, %size\n"
        "  %read = getelementptr float, ptr %x, i64 %start\n"
        "  %written = getelementptr float, ptr %ys, i64 %start\n  br label %square\n"
        "square:\n  %p = phi i64 [0, %block], [%p1, %square]\n"
        f"  %before = mul nuw nsw i64 %p, {SIDE}\n"
        "  %here = getelementptr float, ptr %read, i64 %before\n"
        f"  %there = getelementptr float, ptr %written, i64 %p\n{''.join(lines)}"
        f"  %p1 = add nuw nsw i64 %p, {SIDE}\n  %more = icmp ult i64 %p1, %places\n"
        "  br i1 %more, label %square, label %done\n"
        "done:\n  %b1 = add nuw nsw i64 %b, 1\n  %again = icmp ult i64 %b1, %blocks\n"
        "  br i1 %again, label %block, label %end\n"
        "end:\n  ret i64 0\n}\n"
    )
