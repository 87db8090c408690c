"""Medians of short lanes, compiled: a sorting network for the length, on as many lanes as a register takes."""

from __future__ import annotations

from functools import lru_cache
from math import prod

import numpy as np

from minpy.runtime.fuse import kernels
from minpy.runtime.fuse.ir import Irregular

_LONGEST = 32  # elements of a lane: so many stay in registers, or near them
FLOATS = {"d": ("double", 64), "f": ("float", 32)}


def exchanges(length: int) -> list[tuple[int, int]]:
    """The comparisons of Batcher's merge exchange, which sort so many elements: the smaller goes to the first place."""
    pairs = []
    top = 1 << max(0, (length - 1).bit_length() - 1)
    p = top
    while p > 0:
        q, r, d = top, 0, p
        while True:
            pairs += [(i, i + d) for i in range(length - d) if i & p == r]
            if q == p:
                break
            d, q, r = q - p, q >> 1, p
        p >>= 1
    return pairs


def less_than(dtype: np.dtype, kind: str) -> str:
    """What compares two elements; operands follow."""
    return f"fcmp olt {kind}" if dtype.kind == "f" else f"icmp {'s' if dtype.kind == 'i' else 'u'}lt {kind}"


class Medians:
    """``median`` along axes that have few elements together, for one geometry.

    Raises
    ------
    Irregular
        The lanes are too long, or hold what is not compiled here.
    """

    longest = _LONGEST

    def __init__(self, array: np.ndarray, axes: tuple[int, ...], keepdims: bool) -> None:
        dtype = array.dtype
        length = prod(array.shape[k] for k in axes)
        if not 2 <= length <= _LONGEST or (dtype.char not in FLOATS and dtype.kind not in "iu"):
            raise Irregular
        kept = [k for k in range(array.ndim) if k not in axes]
        if not kept:
            raise Irregular
        self.dtype = dtype if dtype.kind == "f" else np.dtype(float)
        self.shape = tuple(
            1 if k in axes else n for k, n in enumerate(array.shape) if keepdims or k not in axes
        )
        offsets = [0]
        for k in axes:
            offsets = [at + i * array.strides[k] for at in offsets for i in range(array.shape[k])]
        words = kernels.geometry(
            tuple(array.shape[k] for k in kept), tuple(array.strides[k] for k in kept), dtype.itemsize
        )
        if words is None:
            raise Irregular
        packed = words[-1] == dtype.itemsize
        self.text = _text(dtype.char, length, packed)
        self.words = np.array([*words, *offsets], np.int64)

    def run(self, kernel: kernels.Kernel, array: np.ndarray) -> np.ndarray:
        """Find the medians."""
        result = np.empty(self.shape, self.dtype)
        kernel.run(array, result, self.words)
        return result


@lru_cache(maxsize=64)
def _text(char: str, length: int, packed: bool) -> str:
    dtype = np.dtype(char)
    size, floating = dtype.itemsize, char in FLOATS
    kind, bits = FLOATS[char] if floating else (f"i{8 * size}", 8 * size)
    out = kind if floating else "double"
    lines: list[str] = []
    count = 0

    def op(text: str) -> str:
        nonlocal count
        count += 1
        lines.append(f"  %v{count} = {text}\n")
        return f"%v{count}"

    head = ["define internal i64 @row(ptr %x, ptr noalias %y, ptr %words, i64 %n, i64 %stride) {\nentry:\n"]
    for k in range(length):
        head.append(
            f"  %w{k} = getelementptr i64, ptr %words, i64 {k}\n  %o{k} = load i64, ptr %w{k}\n"
            f"  %p{k} = getelementptr i8, ptr %x, i64 %o{k}\n"
        )
    head.append("  br label %head\nhead:\n  %i = phi i64 [ 0, %entry ], [ %next, %head ]\n")
    head.append("  %bad = phi i64 [ 0, %entry ], [ %worse, %head ]\n")
    moved = op(f"mul i64 %i, {size if packed else '%stride'}")
    values = []
    wrong = ""
    for k in range(length):
        x = op(f"load {kind}, ptr {op(f'getelementptr i8, ptr %p{k}, i64 {moved}')}, align {size}")
        values.append(x)
        if floating:
            # A NaN, which is none of NumPy's order; a negative zero: where it stands among zeros NumPy decides.
            pattern = op(f"bitcast {kind} {x} to i{bits}")
            nan = op(f"fcmp uno {kind} {x}, {x}")
            negative = op(f"icmp eq i{bits} {pattern}, {-(1 << (bits - 1))}")
            this = op(f"or i1 {nan}, {negative}")
            wrong = op(f"or i1 {wrong}, {this}") if wrong else this
    less = less_than(dtype, kind)
    for i, j in exchanges(length):
        a, b = values[i], values[j]
        values[i] = op(f"select i1 {op(f'{less} {a}, {b}')}, {kind} {a}, {kind} {b}")
        values[j] = op(f"select i1 {op(f'{less} {b}, {a}')}, {kind} {a}, {kind} {b}")
    convert = f"{'s' if dtype.kind == 'i' else 'u'}itofp {kind}"
    middle = [values[length // 2]] if length % 2 else values[length // 2 - 1 : length // 2 + 1]
    if not floating:
        middle = [op(f"{convert} {each} to double") for each in middle]
    found = middle[0]
    if len(middle) == 2:
        found = op(f"fdiv {out} {op(f'fadd {out} {middle[0]}, {middle[1]}')}, 2.0")
        if floating:
            # A sum that overflows, or of infinities: NumPy warns.
            rest = op(f"fsub {out} {found}, {found}")
            wrong = op(f"or i1 {wrong}, {op(f'fcmp uno {out} {rest}, {rest}')}")
    place = op(f"getelementptr {out}, ptr %y, i64 %i")
    lines.append(f"  store {out} {found}, ptr {place}\n")
    word = op(f"zext i1 {wrong} to i64") if wrong else "0"
    lines.append(
        f"  %worse = or i64 %bad, {word}\n  %next = add i64 %i, 1\n  %more = icmp ult i64 %next, %n\n"
        "  br i1 %more, label %head, label %done\ndone:\n  ret i64 %worse\n}\n"
    )
    return kernels.over_rows("".join(head) + "".join(lines), 8 if not floating else size)
