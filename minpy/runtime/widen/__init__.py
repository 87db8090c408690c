"""NumPy's own products by wider instructions, with the same bits.

OpenBLAS takes a processor that is newer than itself for one of its oldest, a Prescott, and works with vectors of two
numbers. Its library holds a table of the kernels that it has chosen; in it `start` replaces the kernels of products
by those of `gemm`, and that of a matrix of doubles and a vector by that of `gemv`, which work with eight. What clears
the place of a product is replaced by what OpenBLAS has for AVX-512 itself. All else stays OpenBLAS's: how matrices are
cut into blocks and packed, its threads, the corners. So this holds for whatever it makes of products: ``@``, `dot`,
`einsum`, ``a @ a.T``, and what LAPACK does in blocks.

The kernels are tried against those that they replace, bit for bit, in every process; where a single bit differs, or
anything is not as it was known when this was written, nothing is replaced.

Under ``--fast-math`` a product of matrices rounds a product and a sum once, in half the time; those kernels are tried
for being close.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
import threading
import zlib
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from minpy.errors import MinPyError
from minpy.options import from_environ
from minpy.runtime import kept, ledger, openblas
from minpy.runtime.fuse.free import fast_math

# What is replaced: OpenBLAS's name for the processor, its table, and a letter and bytes for each type of numbers.
_CORE = "Prescott"
_TABLE, _CHOSEN = "gotoblas_PRESCOTT", "gotoblas"
_TYPES = (("d", 8, np.float64, ctypes.c_double), ("s", 4, np.float32, ctypes.c_float))
_VECTOR_KERNEL = "dgemv_n_PRESCOTT"
# What makes room for a product, or scales what is there: OpenBLAS has it for AVX-512 as well.
_SCALING, _WIDE_SCALING = "dgemm_beta_PRESCOTT", "dgemm_beta_SKYLAKEX"
_SOURCES = ("assembler.py", "gemm.py", "gemv.py")  # what the code of kernels follows from
# Stands in it for the address of OpenBLAS's kernel, which is another one in each process.
ORIGINAL = b"original"
_NEEDED = {"avx512f", "avx512vl"}
_LOOKED_AT = 2048  # bytes of the table in which the kernels stand
# Rows, columns, terms of the trials: every tile of `gemm`, corners, loops that are entered or not.
_TRIALS = ((63, 31, 43), (3, 5, 8))
# Rows, columns, steps of the trials of `gemv`.
_VECTOR_TRIALS = ((64 + 37, 11, 1, 1), (60, 5, 3, 1), (5, 7, 1, 2))
_FACTOR = 0.7
_READ_EXECUTE = 5

_lock = threading.Lock()
_state: str | None = None  # why nothing was replaced, once `start` was called
# Where the table holds a kernel, which one that was, and ours.
_replaced: list[tuple[ctypes.c_uint64, int, int]] = []


def start() -> bool:
    """Replace the kernels, if this is a processor and a library for it; True if they are replaced."""
    global _state
    with _lock:
        if _state is None:
            began = ledger.clock()
            _state = _start()
            if not _state:
                ledger.note("kernels", ledger.clock() - began)
    return not _state


def use(ours: bool) -> None:
    """Put our kernels into the table, or OpenBLAS's back; to compare them."""
    for slot, original, place in _replaced:
        slot.value = place if ours else original


def why_not() -> str:
    """Why the kernels were not replaced, in words; empty if they were."""
    start()
    return _state or ""


def _start() -> str:
    try:
        if not from_environ().wide_products:
            return "off (--no-wide-products)"
    except MinPyError:
        pass  # a variable that cannot be read is an error where options are asked for
    library = openblas.own()
    if library is None:
        return "NumPy's BLAS is not an OpenBLAS of its own"
    core = openblas.chosen(library)
    if core != _CORE:
        return f"NumPy's OpenBLAS has kernels for {core}"
    if not openblas.flags() >= _NEEDED:
        return "this processor has no AVX-512"
    try:
        slots = [_slot(library, f"{letter}gemm_kernel_PRESCOTT") for letter, _, _, _ in _TYPES]
        if ctypes.c_void_p.in_dll(library, _CHOSEN).value != _address(library, _TABLE):
            return "NumPy's OpenBLAS uses another table of kernels"
        found, fused = [], fast_math()
        for slot, (_, size, dtype, number) in zip(slots, _TYPES, strict=True):
            place = _placed(_code(size, slot.value, fused=fused))
            if not _same_bits(slot.value, place, dtype, number, fused):
                return "their bits are not those of NumPy's OpenBLAS"
            found.append((slot, slot.value, place))
        slot = _slot(library, _VECTOR_KERNEL)
        place = _placed(_code(8, slot.value, "gemv"))
        if _same_vectors(slot.value, place):
            found.append((slot, slot.value, place))
        slot, place = _slot(library, _SCALING), _address(library, _WIDE_SCALING)
        if _same_scaling(slot.value, place):
            found.append((slot, slot.value, place))
    except (AttributeError, ValueError, OSError) as error:
        return f"NumPy's OpenBLAS is not as it was known: {error}"
    _replaced.extend(found)
    use(True)
    return ""


def _address(library: Any, name: str) -> int:
    return ctypes.addressof(ctypes.c_char.in_dll(library, name))


def _slot(library: Any, name: str) -> ctypes.c_uint64:
    """Where the table holds the function `name`."""
    wanted = _address(library, name)
    table = (ctypes.c_uint64 * (_LOOKED_AT // 8)).from_address(_address(library, _TABLE))
    found = [i for i, each in enumerate(table) if each == wanted]
    if len(found) != 1:
        raise ValueError(f"{name} stands {len(found)} times in its table")
    return ctypes.c_uint64.from_buffer(table, found[0] * 8)


def _code(size: int, original: int, kind: str = "gemm", fused: bool = False) -> bytes:
    """The code of a kernel, from the cache if it is there."""
    stamp = 0
    for name in _SOURCES:
        stamp = zlib.crc32(Path(__file__).with_name(name).read_bytes(), stamp)
    where = kept.folder("kernels", f"{stamp:08x}-{kind}{'-fused' * fused}-{size}")
    code = kept.read_checked(where) if where else None
    if code is None:
        code = import_module(f"{__name__}.{kind}").kernel(size, *[True] * fused)
        if where:
            kept.write_checked(where, code)
    return code.replace(ORIGINAL, struct.pack("<Q", original))


def _placed(code: bytes) -> int:
    """The address of `code` in memory where it can be run, for as long as there is a process."""
    memory = mmap.mmap(-1, len(code))
    memory[: len(code)] = code
    place = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    # OpenBLAS's threads may run it when the interpreter is gone.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(memory))
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    if protect(place, len(code), _READ_EXECUTE):
        raise OSError(ctypes.get_errno(), "memory cannot be made executable")
    return place


def _same_bits(original: int, ours: int, dtype: Any, number: Any, fused: bool = False) -> bool:
    """Whether two kernels do the same to the bit; if ours is `fused`, but for rounding."""
    whole, place = ctypes.c_long, ctypes.c_void_p
    kind = ctypes.CFUNCTYPE(ctypes.c_int, *[whole] * 3, number, *[place] * 3, whole)
    kernels = kind(original), kind(ours)
    # Their sums depend on the order.
    numbers = (np.arange(4096) * 0.6180339887498949 % 1 - 0.5).astype(dtype)
    for rows, columns, terms in _TRIALS:
        # A kernel reads a little beyond its blocks, to have it at hand.
        a, b = numbers.ctypes.data, numbers[1024:].ctypes.data
        results = []
        for kernel in kernels:
            c = numbers.copy()
            kernel(rows, columns, terms, _FACTOR, a, b, c.ctypes.data, rows + 3)
            results.append(c)
        if fused:
            results[0][abs(results[0] - results[1]) <= terms * np.finfo(dtype).eps] = 0
            results[1][results[0] == 0] = 0
        if results[0].tobytes() != results[1].tobytes():
            return False
    return True


def vector_kernel(place: int) -> Any:
    """The function at this address, as a kernel of products of a matrix and a vector."""
    whole, pointer = ctypes.c_long, ctypes.c_void_p
    arguments = (*[whole] * 3, ctypes.c_double, *[pointer, whole] * 3, pointer)
    return ctypes.CFUNCTYPE(ctypes.c_int, *arguments)(place)


def _same_vectors(original: int, ours: int) -> bool:
    """The same of two kernels of products of a matrix and a vector."""
    numbers = np.arange(2048) * 0.6180339887498949 % 1 - 0.5
    buffer = np.empty(4096)
    a, x = numbers.ctypes.data, numbers[17:].ctypes.data
    for rows, columns, step, result_step in _VECTOR_TRIALS:
        results = []
        for place in (original, ours):
            y = numbers[:256].copy()
            where = y.ctypes.data
            vector_kernel(place)(
                rows, columns, 0, _FACTOR, a, rows + 3, x, step, where, result_step, buffer.ctypes.data
            )
            results.append(y.tobytes())
        if results[0] != results[1]:
            return False
    return True


def scaling_kernel(place: int) -> Any:
    """The function at this address, as one that scales a matrix."""
    whole, pointer = ctypes.c_long, ctypes.c_void_p
    arguments = (*[whole] * 3, ctypes.c_double, *[pointer, whole] * 3)
    return ctypes.CFUNCTYPE(ctypes.c_int, *arguments)(place)


def _same_scaling(original: int, ours: int) -> bool:
    """The same of two functions that scale a matrix."""
    numbers = np.arange(2048) * 0.6180339887498949 % 1 - 0.5
    numbers[7], numbers[55] = np.nan, np.inf
    for rows, columns, factor in ((37, 11, 0.0), (64, 7, 0.0), (3, 2, 0.0), (37, 11, _FACTOR), (5, 9, -1.0)):
        results = []
        for place in (original, ours):
            c = numbers.copy()
            scaling_kernel(place)(rows, columns, 0, factor, None, 0, None, 0, c.ctypes.data, rows + 3)
            results.append(c.tobytes())
        if results[0] != results[1]:
            return False
    return True


__all__ = ["start", "use", "why_not"]
