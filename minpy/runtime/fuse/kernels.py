"""Calls that compiled code makes as a whole (extra ``jit``): what their kernels share.

A kernel is LLVM code for one function of NumPy's, for a class of operands. It gives NumPy's bits, or says that it
cannot (NaNs, zeros of both signs, what would warn), and NumPy makes the call.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache
from typing import Any

import numpy as np

from minpy.runtime.fuse import native
from minpy.runtime.fuse.ir import Irregular
from minpy.runtime.fuse.rows import Unfit

_FUNCTION = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)


class Kernel:
    """The compiled code of one kind of call: ``kernel(operand, result, words)``, which gives 0 if all went well.

    Parameters
    ----------
    text : str
        LLVM's.
    wait : bool
        Whether to wait for the compiler.

    Raises
    ------
    Unfit
        There is no compiler, or it refuses.
    Pending
        It is being compiled.
    """

    def __init__(self, text: str, wait: bool) -> None:
        self._function: Any = _function_of(text, wait)

    def run(self, operand: np.ndarray, result: np.ndarray, words: np.ndarray) -> None:
        """Run the code, while other threads may run as well.

        Raises
        ------
        Irregular
            The result is not as NumPy's.
        """
        if self._function(operand.ctypes.data, result.ctypes.data, words.ctypes.data):
            raise Irregular


@lru_cache(maxsize=256)
def _function_of(text: str, wait: bool) -> Any:
    from minpy.runtime.jit import engine

    if not native.may_be_used():
        raise Unfit
    try:
        return _FUNCTION(native.placed(text, {}, wait=wait))
    except engine.CompileError as error:
        raise Unfit(str(error)) from error


OUTER = 3  # axes that `over_rows` walks over, outside the rows

# For each row, where it begins: `%words` are the extents of the outer axes, the row's, and the operand's strides.
_OVER_ROWS = """
define i64 @kernel(ptr %operand, ptr noalias %result, ptr %words) {
entry:
WORDS
  %rest = getelementptr i64, ptr %words, i64 8
  %e01 = mul i64 %w0, %w1
  %total = mul i64 %e01, %w2
EACH
  %step = mul i64 %w3, %each
  br label %head
head:
  %t = phi i64 [ 0, %entry ], [ %next, %head ]
  %bad = phi i64 [ 0, %entry ], [ %worse, %head ]
  %to = phi ptr [ %result, %entry ], [ %further, %head ]
  %q = udiv i64 %t, %w2
  %i2 = urem i64 %t, %w2
  %i0 = udiv i64 %q, %w1
  %i1 = urem i64 %q, %w1
  %a = mul i64 %i0, %w4
  %b = mul i64 %i1, %w5
  %c = mul i64 %i2, %w6
  %ab = add i64 %a, %b
  %offset = add i64 %ab, %c
  %at = getelementptr i8, ptr %operand, i64 %offset
  %found = call i64 @row(ptr %at, ptr %to, ptr %rest, i64 %w3, i64 %w7)
  %worse = or i64 %bad, %found
  %further = getelementptr i8, ptr %to, i64 %step
  %next = add i64 %t, 1
  %more = icmp ult i64 %next, %total
  br i1 %more, label %head, label %done
done:
  ret i64 %worse
}
"""


def over_rows(row: str, size: int, times: int = -1) -> str:
    """A kernel that calls ``row(operand, result, words, extent, stride)`` for each row of a result in C order.

    Parameters
    ----------
    row : str
        The text of the function; its words are those behind the geometry.
    size : int
        Bytes of an element of the result.
    times : int
        Which of the row's words says how many elements of the result there are for one of a row, if not one.
    """
    words = "\n".join(
        f"  %p{k} = getelementptr i64, ptr %words, i64 {k}\n  %w{k} = load i64, ptr %p{k}" for k in range(8)
    )
    each = f"  %each = add i64 {size}, 0"
    if times >= 0:
        each = f"  %tp = getelementptr i64, ptr %rest, i64 {times}\n  %times = load i64, ptr %tp\n"
        each += f"  %each = mul i64 %times, {size}"
    pieces = {"WORDS": words, "EACH": each}
    text = _OVER_ROWS
    for name, piece in pieces.items():
        text = text.replace(name, piece)
    return row + text


def geometry(shape: tuple[int, ...], strides: tuple[int, ...], size: int) -> list[int] | None:
    """The words that `over_rows` wants for a result's shape and the operand's strides; None if axes are too many."""
    axes = merged(list(zip(shape, strides, strict=True)))
    if len(axes) > OUTER + 1:
        return None
    axes = [*[(1, size)] * (OUTER + 1 - len(axes)), *axes]
    return [*[extent for extent, _ in axes], *[step for _, step in axes]]


def merged(axes: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Axes, as extents and strides, with those joined that are one run, and without those of one element."""
    found: list[tuple[int, int]] = []
    for extent, step in axes:
        if extent == 1:
            continue
        if found and found[-1][1] == step * extent:
            found[-1] = found[-1][0] * extent, step
        else:
            found.append((extent, step))
    return found
