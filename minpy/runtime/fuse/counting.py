"""``bincount``, compiled: NumPy converts to 64 bits first, and waits for each count to be written before the next."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from minpy.runtime.fuse import kernels
from minpy.runtime.fuse.ir import Irregular

_TABLES = 4  # neighbours count into different ones: equal numbers one after the other need not wait
_FEW = 2048  # counts of a table, so that all tables stay in the first-level cache
_MOST = 1 << 26


class Counts:
    """``bincount`` of whole numbers, for one geometry.

    Raises
    ------
    Irregular
        They are none, or NumPy would not convert them.
    """

    def __init__(self, array: np.ndarray, minlength: int) -> None:
        dtype = array.dtype
        if array.ndim != 1 or dtype.kind not in "iu" or dtype == np.uint64 or not array.flags.c_contiguous:
            raise Irregular
        self.minlength, self.known = minlength, 1 << 8 * dtype.itemsize if dtype == np.uint8 else 0
        self.text = _text(dtype.char)

    def run(self, kernel: kernels.Kernel, array: np.ndarray) -> np.ndarray:
        """Count."""
        if self.known:
            length = self.known
        else:
            if array.dtype.kind == "i" and array.min() < 0:
                raise Irregular
            length = int(array.max()) + 1
        if length > max(_MOST, array.size):
            raise Irregular  # the counts themselves are the work
        tables = _TABLES if length <= _FEW else 1
        counts = np.zeros((tables, max(length, self.minlength)), np.intp)
        kernel.run(array, counts, np.array([array.size, counts.strides[0] if tables > 1 else 0], np.int64))
        total = counts.sum(axis=0) if tables > 1 else counts[0].copy() if self.known else counts.reshape(-1)
        if self.known and length > self.minlength:
            used = len(total) - int(np.argmax(total[::-1] != 0))
            total = total[: max(used, self.minlength)].copy()
        return total


class Unique(Counts):
    """``unique`` of whole numbers, none of them negative or much larger than there are of them: those that count."""

    def __init__(self, array: np.ndarray) -> None:
        if not array.flags.c_contiguous:
            raise Irregular
        super().__init__(array.reshape(-1), 0)
        self.most = 4 * array.size

    def run(self, kernel: kernels.Kernel, array: np.ndarray) -> np.ndarray:
        """Find them."""
        if not self.known and array.max() > self.most:
            raise Irregular
        return np.flatnonzero(super().run(kernel, array.reshape(-1)) != 0).astype(array.dtype)


@lru_cache(maxsize=16)
def _text(char: str) -> str:
    dtype = np.dtype(char)
    size = dtype.itemsize
    kind = f"i{8 * size}"
    extend = "sext" if dtype.kind == "i" else "zext"

    def one(number: int, index: str, table: str) -> str:
        wide = f"  %w{number} = {extend} {kind} %x{number} to i64\n" if size < 8 else ""
        name = f"%w{number}" if size < 8 else f"%x{number}"
        return (
            f"  %p{number} = getelementptr {kind}, ptr %numbers, i64 {index}\n"
            f"  %x{number} = load {kind}, ptr %p{number}, align {size}\n{wide}"
            f"  %c{number} = getelementptr i64, ptr {table}, i64 {name}\n"
            f"  %o{number} = load i64, ptr %c{number}\n  %a{number} = add i64 %o{number}, 1\n"
            f"  store i64 %a{number}, ptr %c{number}\n"
        )

    tables = "".join(
        f"  %t{k}o = mul i64 %apart, {k}\n  %t{k} = getelementptr i8, ptr %counts, i64 %t{k}o\n"
        for k in range(_TABLES)
    )
    body = "".join(f"  %i{k} = add i64 %i, {k}\n{one(k, f'%i{k}', f'%t{k}')}" for k in range(_TABLES))
    return f"""
define i64 @kernel(ptr %numbers, ptr noalias %counts, ptr noalias %words) {{
entry:
  %n = load i64, ptr %words
  %ap = getelementptr i64, ptr %words, i64 1
  %apart = load i64, ptr %ap
{tables}  %rest = and i64 %n, {_TABLES - 1}
  %even = sub i64 %n, %rest
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %next, %body ]
  %more = icmp ult i64 %i, %even
  br i1 %more, label %body, label %tail
body:
{body}  %next = add i64 %i, {_TABLES}
  br label %head
tail:
  %j = phi i64 [ %even, %head ], [ %following, %single ]
  %left = icmp ult i64 %j, %n
  br i1 %left, label %single, label %done
single:
{one(9, "%j", "%counts")}  %following = add i64 %j, 1
  br label %tail
done:
  ret i64 0
}}
"""
