"""NumPy's products of a long matrix and one of a few columns, with the same bits and without copies of the long one.

OpenBLAS packs both matrices, which takes longer than to multiply by five columns. Its sums are simple: each element is
that of the terms one by one, a product and a sum, rounded each, for some terms at a time; the parts are added up. Code
of ours does that with all columns of eight rows side by side. How many terms a part has is OpenBLAS's affair: it is
found out by trying, bit for bit, and where no known way gives NumPy's bits nothing is replaced.
"""

from __future__ import annotations

import ctypes
import threading
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from numpy import ndarray

from minpy.runtime.fuse import pool

MOST = 8  # columns
_LEAST, _LARGEST = 1 << 18, 1 << 25  # elements of the long matrix, of which a trial makes another one
_TERMS = 32, 1 << 14  # of a product
_ROWS = (
    8  # side by side; a multiple of what OpenBLAS takes at a time, as its last rows are summed in another way
)
_SHARE = 1 << 20  # elements for each thread at least
_PARTS = 96, 128, 192, 224, 248, 256, 320, 384, 448, 512  # terms that OpenBLAS's kernels take at a time
_UNITS = 4, 1, 8, 16  # half of what is left is rounded up to these
_TRIED = 64  # rows of a trial
_PATIENCE = 20  # products before the code is made
_REMEMBERED = 256  # shapes

_DOUBLE = np.dtype(float)

_lock = threading.Lock()
_met: Counter[tuple[int, int, int]] = Counter()
# By rows, terms and columns, the ends of the parts; None if NumPy's bits are others.
_known: dict[tuple[int, int, int], ndarray | None] = {}


def product(x: ndarray, y: ndarray) -> ndarray | None:
    """``np.matmul(x, y)`` of two matrices; None if it is NumPy's to make, with its warnings."""
    terms, columns = y.shape
    if (
        not 2 <= columns <= MOST
        or not _LEAST <= x.size <= _LARGEST
        or not _TERMS[0] <= terms <= _TERMS[1]
        or len(x) % _ROWS
        or not x.dtype is y.dtype is _DOUBLE
        or not (x.flags.c_contiguous and x.flags.aligned)
        or not (y.flags.c_contiguous or y.flags.f_contiguous)  # else NumPy does without BLAS
        or np.geterr()["under"] != "ignore"
    ):
        return None
    shape = len(x), terms, columns
    if shape not in _known:
        _met[shape] += 1
        if _met[shape] < _PATIENCE:
            return None
        _find(*shape)
    ends = _known[shape]
    if ends is None:
        return None
    found = _run(x, y, ends)
    # Which of two NaNs goes on depends on the order of operands.
    return found if np.isfinite(found).all() else None


def _find(rows: int, terms: int, columns: int) -> None:
    """Find out what parts NumPy's products of such matrices have: with several threads they are others."""
    with _lock:
        found = None
        if _code(columns):
            rng = np.random.Generator(np.random.PCG64(1))
            few, y = rng.normal(size=(_TRIED, terms)), rng.normal(size=(terms, columns))
            # All rows, since threads might cut them where the last ones of each are summed in another way.
            x = np.resize(few, (rows, terms))
            wanted = np.matmul(x, y)
            for ends in _ways(terms):
                if _run(few, y, ends)[:rows].tobytes() == wanted[:_TRIED].tobytes():
                    found = ends if _run(x, y, ends).tobytes() == wanted.tobytes() else None
                    break
        if len(_known) >= _REMEMBERED:
            _known.clear()
            _met.clear()
        _known[rows, terms, columns] = found


def _ways(terms: int) -> Iterator[ndarray]:
    """The ends of the parts that OpenBLAS may cut so many terms into."""
    seen = set()
    for part in (terms, *_PARTS):
        for unit in _UNITS:
            ends, done = [], 0
            while done < terms:
                left = terms - done
                if left >= 2 * part:
                    left = part
                elif left > part:
                    left = -(-(left // 2) // unit) * unit if unit > 1 else (left + 1) // 2
                done += left
                ends.append(done)
            if tuple(ends) not in seen:
                seen.add(tuple(ends))
                yield np.array(ends, np.int64)


def _run(x: ndarray, y: ndarray, ends: ndarray) -> ndarray:
    (rows, terms), columns = x.shape, y.shape[1]
    wide = np.zeros((terms, MOST))
    wide[:, :columns] = y
    out = np.empty((rows, columns))
    code = _code(columns)
    parts = max(1, min(pool.width(), x.size // _SHARE))
    cuts = pool.cuts(rows, parts, _ROWS)

    def work(number: int) -> None:
        first, count = cuts[number]
        code(
            x.ctypes.data + 8 * first * terms, terms, wide.ctypes.data, out.ctypes.data + 8 * first * columns,
            count // _ROWS, ends.ctypes.data, len(ends),
        )  # fmt: skip

    pool.run(work, len(cuts))
    return out


@cache
def _code(columns: int) -> Any:
    """The function for so many columns; None where there is no compiler."""
    from minpy.runtime.jit import engine, sites, store

    if sites.mode() == "off" or not engine.is_available():
        return None
    text = _text(columns)
    try:
        where = store.file_for(text, "", "narrow")
        code = store.load_bytes(where)
        if code is None:
            code = engine.object_code(text)
            store.save_bytes(where, code)
        place = engine.placed(code, {})
    except engine.CompileError:
        return None
    pointer, whole = ctypes.c_void_p, ctypes.c_int64
    return ctypes.CFUNCTYPE(None, pointer, whole, pointer, pointer, whole, pointer, whole)(place)


def _text(columns: int) -> str:
    """The code in LLVM's language; a row's sums are the lanes of a vector."""
    rows = range(_ROWS)
    mask = ", ".join(f"i1 {'true' if k < columns else 'false'}" for k in range(MOST))
    starts = "\n".join(
        f"  %skip{r} = mul i64 %terms, {r}\n  %row{r} = getelementptr double, ptr %from, i64 %skip{r}"
        for r in rows
    )
    totals = "\n".join(
        f"  %total{r} = phi <8 x double> [zeroinitializer, %group], [%new{r}, %end]" for r in rows
    )
    sums = "\n".join(
        f"  %sum{r} = phi <8 x double> [zeroinitializer, %part], [%next{r}, %term]" for r in rows
    )
    terms = "\n".join(
        f"""  %at{r} = getelementptr double, ptr %row{r}, i64 %k
  %x{r} = load double, ptr %at{r}, align 8
  %one{r} = insertelement <8 x double> poison, double %x{r}, i32 0
  %all{r} = shufflevector <8 x double> %one{r}, <8 x double> poison, <8 x i32> zeroinitializer
  %times{r} = fmul <8 x double> %all{r}, %y
  %next{r} = fadd <8 x double> %sum{r}, %times{r}"""
        for r in rows
    )
    added = "\n".join(f"  %new{r} = fadd <8 x double> %total{r}, %next{r}" for r in rows)
    stores = "\n".join(
        f"""  %to{r} = getelementptr double, ptr %into, i64 {r * columns}
  call void @llvm.masked.store.v8f64.p0(<8 x double> %new{r}, ptr %to{r}, i32 8, <8 x i1> <{mask}>)"""
        for r in rows
    )
    return f"""
declare void @llvm.masked.store.v8f64.p0(<8 x double>, ptr, i32, <8 x i1>)

define void @kernel(ptr %a, i64 %terms, ptr %b, ptr %c, i64 %groups, ptr %ends, i64 %parts) #0 {{
entry:
  %some = icmp sgt i64 %groups, 0
  br i1 %some, label %group, label %done
group:
  %g = phi i64 [0, %entry], [%gnext, %write]
  %before = mul i64 %g, {_ROWS}
  %elements = mul i64 %before, %terms
  %from = getelementptr double, ptr %a, i64 %elements
  %results = mul i64 %g, {_ROWS * columns}
  %into = getelementptr double, ptr %c, i64 %results
{starts}
  br label %part
part:
  %p = phi i64 [0, %group], [%pnext, %end]
  %first = phi i64 [0, %group], [%last, %end]
{totals}
  %endat = getelementptr i64, ptr %ends, i64 %p
  %last = load i64, ptr %endat, align 8
  br label %term
term:
  %k = phi i64 [%first, %part], [%knext, %term]
{sums}
  %yat = getelementptr <8 x double>, ptr %b, i64 %k
  %y = load <8 x double>, ptr %yat, align 8
{terms}
  %knext = add i64 %k, 1
  %more = icmp slt i64 %knext, %last
  br i1 %more, label %term, label %end
end:
{added}
  %pnext = add i64 %p, 1
  %another = icmp slt i64 %pnext, %parts
  br i1 %another, label %part, label %write
write:
{stores}
  %gnext = add i64 %g, 1
  %further = icmp slt i64 %gnext, %groups
  br i1 %further, label %group, label %done
done:
  ret void
}}

attributes #0 = {{ "prefer-vector-width"="512" "min-legal-vector-width"="512" }}
"""
