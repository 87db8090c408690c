"""The kernel of OpenBLAS's products, for AVX-512, with the sums of its oldest kernels.

A kernel is given blocks of the two matrices, packed: a panel of the first has some rows, one after the other for each
of the K terms, a panel of the second four columns. Prescott's (`gemm_kernel_4x4_sse3.S`, `gemm_kernel_8x4_sse3.S`)
sums each element of a whole panel of columns term by term, a product and a sum, rounded each: so many elements may be
summed side by side. What it does otherwise, with the last one to three columns, and in float32 rows, is left to it.

Under ``--fast-math`` a product and a sum are rounded once, which takes half the time. Then nothing is left to it: each
element is summed in one way, wherever the threads cut a matrix.
"""

from __future__ import annotations

from itertools import cycle

from minpy.runtime.widen import ORIGINAL
from minpy.runtime.widen.assembler import (
    BELOW,
    NOT_ZERO,
    R8,
    R9,
    R10,
    R11,
    R12,
    R13,
    R14,
    R15,
    RAX,
    RBP,
    RBX,
    RCX,
    RDI,
    RDX,
    RSI,
    RSP,
    ZERO,
    Code,
    Memory,
)

# Columns of a panel of the second matrix; panels that are worked on at once.
_COLUMNS, _GROUPS = 4, (3, 1)
# Bytes of one term of a panel of the first matrix.
_TERM = 32
_UNROLL = 2
# By the size of elements, the bits of a number of rows that are left to Prescott's kernel: of float32 it sums the last
# one to three in two sums each.
_LEFT = {8: 0, 4: 3}
_PAIR = bytes((3, *[0] * 7))  # the first two elements of a vector, as `choose` wants them
_KEPT = (RBX, R12, R13, R14, R15)
# Where on the stack is what.
_LDC, _ALPHA, _M, _N, _K, _A, _B, _C, _WHOLE = (Memory(RSP, 8 * i) for i in range(9))


def kernel(size: int, fused: bool = False) -> bytes:
    """The code of a kernel for elements of so many bytes, with `ORIGINAL` for the address of the one it replaces.

    It is a function with the arguments of Prescott's: M, N, K, alpha, A, B, C, and the elements from a column of C
    to the next. One that is `fused` rounds a product and a sum once.
    """
    code = Code(size)
    _begin(code, 0 if fused else _LEFT[size])
    for panels in _GROUPS:
        _columns(code, _tiles(size, fused), panels, fused=fused)
    if fused:
        for columns in (2, 1):  # what is left has panels of its own
            code.shift(R15, -1)
            _columns(code, _tiles(size, fused), 1, columns, fused=True)
        code.finish()
    else:
        _rest(code)
    code.add_constant(RSP, 72)
    code.pop(reversed(_KEPT))
    code.pop([RBP])
    code.back()
    return code.finished()


def _tiles(size: int, fused: bool) -> list[tuple[int, int]]:
    """Bytes of a vector, and how many of them, that are worked on at once: for whatever rows are there."""
    least = size if fused else size * (_LEFT[size] + 1)
    return [each for each in ((64, 2), (64, 1), (32, 1), (16, 1), (8, 1), (4, 1)) if each[0] >= least]


def _begin(code: Code, left: int) -> None:
    """Arguments: rdi M, rsi N, rdx K, xmm0 alpha, rcx A, r8 B, r9 C, on the stack the distance of C's columns."""
    code.enter()
    code.push([RBP])
    code.move(RBP, RSP)
    code.push(_KEPT)
    code.add_constant(RSP, -72)
    code.load(R10, Memory(RBP, 16))
    code.store(_LDC, R10)
    code.store_vector(_ALPHA, 0, 16)  # and the next, which is written now
    for place, register in ((_M, RDI), (_N, RSI), (_K, RDX), (_A, RCX), (_B, R8), (_C, R9)):
        code.store(place, register)
    code.move(RAX, RDI)
    code.mask(RAX, ~left)
    code.store(_WHOLE, RAX)
    code.constant(RAX, _PAIR)
    code.choose(RAX)
    bits = 3 if code.size == 8 else 2
    code.shift(R10, bits)  # from a column to the next, in bytes
    code.move(R13, RDX)
    code.shift(R13, 5)  # from a panel of the first matrix to the next
    code.address(R14, Memory(R13, 0, R13, 2))
    code.move(R15, RDX)
    code.shift(R15, bits + 2)  # of the second


def _columns(
    code: Code, tiles: list[tuple[int, int]], panels: int, columns: int = _COLUMNS, *, fused: bool
) -> None:
    """All whole panels of so many columns, so many at once, that rsi still counts."""
    here = f"columns {panels} {columns}"
    code.label(here)
    code.compare(RSI, panels * columns)
    code.jump(f"{here} end", BELOW)
    code.move(RBX, RCX)
    code.move(R11, R9)
    code.load(R12, _WHOLE)
    for width, parts in tiles:
        rows = width * parts // code.size
        name = f"{here} rows {rows}"
        code.label(name)
        code.compare(R12, rows)
        code.jump(f"{name} end", BELOW)
        _Tile(code, name, width, parts, panels, columns, fused).write()
        code.add_constant(R11, width * parts)
        code.add_constant(R12, -rows)
        code.jump(name)
        code.label(f"{name} end")
    for _ in range(panels):
        code.add(R8, R15)
    for _ in range(panels * columns):
        code.add(R9, R10)
    code.add_constant(RSI, -panels * columns)
    code.jump(here)
    code.label(f"{here} end")


class _Tile:
    """So many vectors of rows by so many panels of columns; rbx is at the first matrix's next panel then."""

    def __init__(
        self, code: Code, name: str, width: int, parts: int, panels: int, columns: int, fused: bool
    ) -> None:
        self.code, self.name, self.fused = code, name, fused
        self.bytes, self.parts, self.panels, self.columns = width, parts, panels, columns
        # Two elements of float32 are some of a vector's.
        self.chosen = code.size < width < 16
        self.width = 16 if self.chosen else width
        self.step = min(
            width, _TERM
        )  # from a term to the next in a panel; few rows have panels of their number
        self.sums = [[parts * j + i for i in range(parts)] for j in range(panels * columns)]

    def write(self) -> None:
        code, name = self.code, self.name
        for line in self.sums:
            for each in line:
                code.clear(each)
        code.move(RDI, R8)
        code.move(RAX, RDX)
        code.shift(RAX, -(_UNROLL.bit_length() - 1))
        code.jump(f"{name} few", ZERO)
        code.label(f"{name} many")
        for term in range(_UNROLL):
            self._term(term)
        code.add_constant(RBX, _UNROLL * self.step)
        code.add_constant(RDI, _UNROLL * self.columns * code.size)
        code.add_constant(RAX, -1)
        code.jump(f"{name} many", NOT_ZERO)
        code.label(f"{name} few")
        code.move(RAX, RDX)
        code.mask(RAX, _UNROLL - 1)
        code.jump(f"{name} sums", ZERO)
        code.label(f"{name} one")
        self._term(0)
        code.add_constant(RBX, self.step)
        code.add_constant(RDI, self.columns * code.size)
        code.add_constant(RAX, -1)
        code.jump(f"{name} one", NOT_ZERO)
        code.label(f"{name} sums")
        self._add_sums()
        for _ in range(self.parts * self.bytes // _TERM - 1):
            code.add(RBX, R13)

    def _term(self, term: int) -> None:
        """One term of all sums."""
        code, width = self.code, self.width
        rows = [24 + i for i in range(self.parts)]
        offset = term * self.step
        places = [
            Memory(RBX, offset), Memory(RBX, offset, R13), Memory(RBX, offset, R13, 2), Memory(RBX, offset, R14),
        ]  # fmt: skip
        for i, each in enumerate(rows):
            if width == 64:
                code.load_vector(each, places[2 * i], 32)
                code.insert_half(each, each, places[2 * i + 1])
            else:
                code.load_vector(each, places[0], width, chosen=self.chosen)
        products = cycle(range(28, 32))
        for j, line in enumerate(self.sums):
            panel, column = divmod(j, self.columns)
            offset = (term * self.columns + column) * code.size
            factor = 26 + j % 2
            code.repeat(factor, Memory(RDI, offset) if panel == 0 else Memory(RDI, offset, R15, panel), width)
            for each, row in zip(line, rows, strict=True):
                if self.fused:
                    code.add_product(each, factor, row, width, chosen=self.chosen)
                else:
                    product = next(products)
                    code.product(product, factor, row, width)
                    code.sum(each, each, product, width)

    def _add_sums(self) -> None:
        """Add them, times alpha, to the result."""
        code, width = self.code, self.width
        code.move(RAX, R11)
        code.repeat(31, _ALPHA, width)
        for j, line in enumerate(self.sums):
            for i, each in enumerate(line):
                place = Memory(RAX, i * width)
                code.product(each, each, 31, width, chosen=self.chosen)
                if self.chosen:
                    code.load_vector(30, place, width, chosen=True)
                    code.sum(each, each, 30, width)
                else:
                    code.sum(each, each, place, width)
                code.store_vector(place, each, width, chosen=self.chosen)
            if j < len(self.sums) - 1:
                code.add(RAX, R10)


def _rest(code: Code) -> None:
    """What is left of columns, for all rows that were whole; what is left of rows, for all columns."""
    code.finish()
    shift = 3 if code.size == 8 else 2
    code.load(RSI, _N)
    code.mask(RSI, 3)
    code.jump("no columns", ZERO)
    code.load(RDI, _WHOLE)
    code.compare(RDI, 0)
    code.jump("no columns", ZERO)
    code.load(RDX, _K)
    code.load(RCX, _A)
    _call(code)  # r8 and r9 are there
    code.label("no columns")
    code.load(RDI, _M)
    code.mask(RDI, _LEFT[code.size])
    code.jump("no rows", ZERO)
    code.load(RSI, _N)
    code.load(RDX, _K)
    code.load(RCX, _WHOLE)
    code.move(R9, RCX)
    code.multiply(RCX, RDX)
    for register, place in ((RCX, _A), (R9, _C)):
        code.shift(register, shift)
        code.load(RAX, place)
        code.add(register, RAX)
    code.load(R8, _B)
    _call(code)
    code.label("no rows")


def _call(code: Code) -> None:
    """The kernel that is replaced, with all but alpha and the distance of C's columns in their registers."""
    code.load_vector(0, _ALPHA, 16)
    code.constant(RAX, ORIGINAL)
    code.call(RAX)
