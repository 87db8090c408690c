"""The kernel of OpenBLAS's products of a matrix and a vector, for AVX-512, with the sums of its oldest kernel.

Prescott's (`dgemv_n.S`) adds up the columns of a matrix, each times an element of the vector: every element of the
result is a sum of products, term by term, rounded each, which is added to what was there at the end. So many of them
may be summed side by side; where they lie apart, or the matrix is large, it is left to that kernel.
"""

from __future__ import annotations

from minpy.runtime.widen import ORIGINAL
from minpy.runtime.widen.assembler import (
    BELOW,
    NOT_ZERO,
    R8,
    R9,
    R10,
    R11,
    RAX,
    RBX,
    RCX,
    RDI,
    RDX,
    RSI,
    RSP,
    Code,
    Memory,
)

_WIDTH, _VECTORS = 64, 8
# Vector registers: the sums are in those from 0 on, what is added to them in those from `_ADDED` on.
_ADDED, _FACTOR, _ALPHA = 16, 30, 31
_LARGE = 1 << 16  # elements of a matrix that no near cache holds: memory is what takes the time then
# Arguments on the stack, and a place below it.
_STEP, _RESULT, _RESULT_STEP, _BELOW = (Memory(RSP, offset) for offset in (8, 16, 24, -16))


def kernel(size: int) -> bytes:
    """The code of a kernel for elements of so many bytes, with `ORIGINAL` for the address of the one it replaces.

    It is a function with the arguments of Prescott's: rows, columns, nothing, alpha, the matrix, the elements from one
    of its columns to the next, the vector and its step, the result and its step, a buffer.
    """
    code = Code(size)
    rows, bits = _WIDTH // size, 3 if size == 8 else 2
    code.enter()
    code.load(RAX, _RESULT_STEP)
    code.compare(RAX, 1)
    code.jump("other", NOT_ZERO)
    code.compare(RSI, 1)
    code.jump("other", BELOW)  # LAPACK asks for products with nothing
    code.move(RAX, RDI)
    code.multiply(RAX, RSI)
    code.compare(RAX, _LARGE)
    code.jump("here", BELOW)
    code.label("other")
    code.constant(RAX, ORIGINAL)
    code.jump_to(RAX)
    code.label("here")
    code.store_vector(_BELOW, 0, size)
    code.repeat(_ALPHA, _BELOW, _WIDTH)
    code.load(R10, _STEP)
    code.load(R11, _RESULT)
    code.push([RBX])
    code.shift(R10, bits)
    code.shift(R8, bits)
    code.label("many")
    code.compare(RDI, _VECTORS * rows)
    code.jump("few", BELOW)
    _tile(code, "many rows", _VECTORS, masked=False)
    code.add_constant(RCX, _VECTORS * _WIDTH)
    code.add_constant(R11, _VECTORS * _WIDTH)
    code.add_constant(RDI, -_VECTORS * rows)
    code.jump("many")
    code.label("few")
    for count in range(_VECTORS, 0, -1):
        code.compare(RDI, (count - 1) * rows + 1)
        code.jump(f"not {count}", BELOW)
        code.move(RDX, RDI)
        code.add_constant(RDX, -(count - 1) * rows)
        code.lowest(RAX, RDX)
        code.choose(RAX)
        _tile(code, f"{count} left", count, masked=True)
        code.jump("end")
        code.label(f"not {count}")
    code.label("end")
    code.finish()
    code.pop([RBX])
    code.back()
    return code.finished()


def _tile(code: Code, name: str, count: int, masked: bool) -> None:
    """So many vectors of rows, of the last one only the elements that are chosen if it is `masked`."""
    last = [masked and i == count - 1 for i in range(count)]
    for i in range(count):
        code.clear(i)
    code.move(RDX, RCX)
    code.move(RBX, R9)
    code.move(RAX, RSI)
    code.label(name)
    code.repeat(_FACTOR, Memory(RBX), _WIDTH)
    code.product(_FACTOR, _FACTOR, _ALPHA, _WIDTH)
    for i in range(count):
        each = _ADDED + i
        code.load_vector(each, Memory(RDX, i * _WIDTH), _WIDTH, chosen=last[i])
        code.product(each, each, _FACTOR, _WIDTH, chosen=last[i])
        code.sum(i, i, each, _WIDTH)
    code.add(RDX, R8)
    code.add(RBX, R10)
    code.add_constant(RAX, -1)
    code.jump(name, NOT_ZERO)
    for i in range(count):
        place, each = Memory(R11, i * _WIDTH), _ADDED + i
        code.load_vector(each, place, _WIDTH, chosen=last[i])
        code.sum(each, each, i, _WIDTH)
        code.store_vector(place, each, _WIDTH, chosen=last[i])
