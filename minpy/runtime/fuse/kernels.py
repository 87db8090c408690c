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
BEFORE
  br label %head
head:
  %t = phi i64 [ 0, %BEGIN ], [ %next, %head ]
  %bad = phi i64 [ 0, %BEGIN ], [ %worse, %head ]
  %to = phi ptr [ %result, %BEGIN ], [ %further, %head ]
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


def over_rows(row: str, size: int, times: int = -1, looks_first: bool = False) -> str:
    """A kernel that calls ``row(operand, result, words, extent, stride)`` for each row of a result in C order.

    Parameters
    ----------
    row : str
        The text of the function; its words are those behind the geometry.
    size : int
        Bytes of an element of the result.
    times : int
        Which of the row's words says how many elements of the result there are for one of a row, if not one.
    looks_first : bool
        Whether ``first(operand, words)`` is called before all rows, and may end all by a word that is not 0.
    """
    words = "\n".join(
        f"  %p{k} = getelementptr i64, ptr %words, i64 {k}\n  %w{k} = load i64, ptr %p{k}" for k in range(8)
    )
    each = f"  %each = add i64 {size}, 0"
    if times >= 0:
        each = f"  %tp = getelementptr i64, ptr %rest, i64 {times}\n  %times = load i64, ptr %tp\n"
        each += f"  %each = mul i64 %times, {size}"
    before, begin = "", "entry"
    if looks_first:
        begin = "rows"
        before = "  %look = call i64 @first(ptr %operand, ptr %rest)\n  %fine = icmp eq i64 %look, 0\n"
        before += "  br i1 %fine, label %rows, label %bad0\nbad0:\n  ret i64 1\nrows:"
    pieces = {"WORDS": words, "EACH": each, "BEFORE": before, "BEGIN": begin}
    text = _OVER_ROWS
    for name, piece in pieces.items():
        text = text.replace(name, piece)
    return row + text


def geometry(shape: tuple[int, ...], strides: tuple[int, ...], size: int) -> list[int] | None:
    """The words that `over_rows` wants for a result's shape and the operand's strides; None if axes are too many."""
    extents: list[int] = []
    steps: list[int] = []
    for extent, stride in zip(shape, strides, strict=True):
        if extent == 1:
            continue
        if extents and steps[-1] == stride * extent:
            extents[-1] *= extent
            steps[-1] = stride
        else:
            extents.append(extent)
            steps.append(stride)
    if len(extents) > OUTER + 1:
        return None
    lead = OUTER + 1 - len(extents)
    return [*(1,) * lead, *extents, *(size,) * lead, *steps]
