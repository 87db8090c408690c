"""Instructions of x86-64 with AVX-512, as bytes: as many as the kernels of `gemm` and `gemv` need."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 = range(16)

# Conditions of jumps.
ALWAYS, BELOW, ZERO, NOT_ZERO = -1, 0x2, 0x4, 0x5

# Opcode maps and prefixes of vector instructions.
_0F, _0F38, _0F3A = 1, 2, 3
_NONE, _66, _F3, _F2 = range(4)
_LENGTHS = {32: 1 << 5, 64: 2 << 5}
# A vector's elements that mask register 1 has; and zeros for all others.
_CHOSEN, _ELSE_ZERO = 1, 1 << 7


class Memory(NamedTuple):
    """A place in memory: base + index * scale + offset, in bytes; an index of ``RSP`` is none."""

    base: int
    offset: int = 0
    index: int = RSP
    scale: int = 1


class Code:
    """Machine code in the making.

    Parameters
    ----------
    size : int
        Bytes of an element of the vectors: 4 or 8.
    """

    def __init__(self, size: int) -> None:
        self._bytes = bytearray()
        self._labels: dict[str, int] = {}
        self._jumps: list[tuple[int, str]] = []
        self.size = size
        self._wide, self._prefix = (1, _66) if size == 8 else (0, _NONE)

    def finished(self) -> bytes:
        """The code, with its jumps."""
        for at, name in self._jumps:
            struct.pack_into("<i", self._bytes, at, self._labels[name] - at - 4)
        return bytes(self._bytes)

    def label(self, name: str) -> None:
        """What is jumped to."""
        self._labels[name] = len(self._bytes)

    # Whole numbers, of 64 bits.

    def push(self, registers: Iterable[int]) -> None:
        for each in registers:
            self._put([0x41] * (each > 7), 0x50 | each & 7)

    def pop(self, registers: Iterable[int]) -> None:
        for each in registers:
            self._put([0x41] * (each > 7), 0x58 | each & 7)

    def move(self, to: int, source: int) -> None:
        self._put(self._rex(source, 0, to), 0x89, self._pair(source, to))

    def constant(self, to: int, value: bytes) -> None:
        self._put(0x48 | to >> 3, 0xB8 | to & 7, value)

    def load(self, to: int, place: Memory) -> None:
        self._put(self._rex(to, place.index, place.base), 0x8B, self._memory(to, place, 1))

    def store(self, place: Memory, source: int) -> None:
        self._put(self._rex(source, place.index, place.base), 0x89, self._memory(source, place, 1))

    def address(self, to: int, place: Memory) -> None:
        self._put(self._rex(to, place.index, place.base), 0x8D, self._memory(to, place, 1))

    def add(self, to: int, source: int) -> None:
        self._put(self._rex(source, 0, to), 0x01, self._pair(source, to))

    def subtract(self, to: int, source: int) -> None:
        self._put(self._rex(source, 0, to), 0x29, self._pair(source, to))

    def multiply(self, to: int, source: int) -> None:
        self._put(self._rex(to, 0, source), 0x0F, 0xAF, self._pair(to, source))

    def add_constant(self, to: int, value: int) -> None:
        self._put(self._rex(0, 0, to), 0x81, self._pair(0, to), struct.pack("<i", value))

    def mask(self, to: int, value: int) -> None:
        self._put(self._rex(0, 0, to), 0x81, self._pair(4, to), struct.pack("<i", value))

    def compare(self, register: int, value: int) -> None:
        self._put(self._rex(0, 0, register), 0x81, self._pair(7, register), struct.pack("<i", value))

    def shift(self, register: int, bits: int) -> None:
        """To the left; to the right if `bits` is negative."""
        self._put(self._rex(0, 0, register), 0xC1, self._pair(4 if bits > 0 else 5, register), abs(bits))

    def jump(self, name: str, condition: int = ALWAYS) -> None:
        self._put([0xE9] if condition == ALWAYS else [0x0F, 0x80 | condition])
        self._jumps.append((len(self._bytes), name))
        self._put(bytes(4))

    def call(self, register: int) -> None:
        self._put([0x41] * (register > 7), 0xFF, self._pair(2, register & 7))

    def jump_to(self, register: int) -> None:
        self._put([0x41] * (register > 7), 0xFF, self._pair(4, register & 7))

    def lowest(self, to: int, count: int) -> None:
        """As many ones, from the lowest bit on, as the register `count` says."""
        self.constant(to, b"\xff" * 8)
        head = (~to >> 3 & 1) << 7 | 1 << 6 | (~to >> 3 & 1) << 5 | 2
        self._put(0xC4, head, 0x80 | (~count & 15) << 3, 0xF5, self._pair(to, to))

    def choose(self, register: int) -> None:
        """Those elements of vectors that `chosen` stands for: by the bits of a register."""
        self._put(0xC4, (~register >> 3 & 1) << 5 | 0xC1, 0xFB, 0x92, self._pair(1, register))

    def enter(self) -> None:
        """A place that may be called by its address, where the processor looks after that."""
        self._put(0xF3, 0x0F, 0x1E, 0xFA)

    def finish(self) -> None:
        """Back to the caller, with the upper halves of the vector registers cleared, as SSE wants them."""
        self._put(0xC5, 0xF8, 0x77)

    def back(self) -> None:
        self._put(0xC3)

    # Vectors, of `width` bytes: 16, 32 or 64; of as many as an element has: one number. Of some only those elements
    # that are `chosen`: others are zero when they are loaded, and stay as they are else.

    def clear(self, register: int) -> None:
        """The whole register; by an instruction for 16 bytes, as those for 64 take a port from others around them."""
        self._vector(0xEF, _0F, _66, 0, register, register, register, 16)

    def load_vector(self, to: int, place: Memory, width: int, *, chosen: bool = False) -> None:
        mask = _CHOSEN | _ELSE_ZERO if chosen else 0
        self._vector(0x10, _0F, self._prefix, self._wide, to, 0, place, width, mask=mask)

    def store_vector(self, place: Memory, source: int, width: int, *, chosen: bool = False) -> None:
        mask = _CHOSEN if chosen else 0
        self._vector(0x11, _0F, self._prefix, self._wide, source, 0, place, width, mask=mask)

    def insert_half(self, to: int, lower: int, upper: Memory) -> None:
        """A vector of 64 bytes: the lower half of `lower`, and 32 bytes from memory."""
        self._vector(0x1A, _0F3A, _66, 1, to, lower, upper, 64, unit=32)
        self._put(1)

    def repeat(self, to: int, place: Memory, width: int) -> None:
        """One element, in all places of a vector."""
        if width == self.size:
            self.load_vector(to, place, width)
            return
        opcode = 0x59 if self.size == 8 else 0x58
        self._vector(opcode, _0F38, _66, self._wide, to, 0, place, width, unit=self.size)

    def product(self, to: int, x: int, y: int, width: int, *, chosen: bool = False) -> None:
        """``to = x * y``; of two NaNs the first."""
        mask = _CHOSEN if chosen else 0
        self._vector(0x59, _0F, self._prefix, self._wide, to, x, y, width, mask=mask)

    def sum(self, to: int, x: int, y: int | Memory, width: int) -> None:
        """``to = x + y``; of two NaNs the first."""
        self._vector(0x58, _0F, self._prefix, self._wide, to, x, y, width)

    def add_product(self, to: int, x: int, y: int, width: int, *, chosen: bool = False) -> None:
        """``to += x * y``, rounded once."""
        opcode, mask = 0xB9 if width == self.size else 0xB8, _CHOSEN if chosen else 0
        self._vector(opcode, _0F38, _66, self._wide, to, x, y, width, mask=mask)

    def _vector(
        self, opcode: int, space: int, prefix: int, wide: int, first: int, second: int, third: int | Memory,
        width: int, unit: int = 0, mask: int = 0,
    ) -> None:  # fmt: skip
        if isinstance(third, Memory):
            base, index = third.base, third.index
            operand = self._memory(first, third, unit or width)
        else:
            base, index = third, third >> 1  # bit 4 of a vector register stands for bit 3 of an index
            operand = bytes([self._pair(first, third)])
        if width == self.size and space == _0F:
            prefix = _F2 if self.size == 8 else _F3
        registers = (~first << 4 & 0x80) | (~index << 3 & 0x40) | (~base << 2 & 0x20) | (~first & 0x10)
        other, length = (~second & 15) << 3, _LENGTHS.get(width, 0) | (~second & 0x10) >> 1 | mask
        self._bytes += (
            bytes((0x62, registers | space, wide << 7 | other | 4 | prefix, length, opcode)) + operand
        )

    @staticmethod
    def _rex(reg: int, index: int, base: int) -> int:
        return 0x48 | reg >> 3 << 2 | index >> 3 << 1 | base >> 3

    @staticmethod
    def _pair(reg: int, other: int) -> int:
        return 0xC0 | (reg & 7) << 3 | other & 7

    @staticmethod
    def _memory(reg: int, place: Memory, unit: int) -> bytes:
        """The operand in memory; small offsets are counted in units."""
        short, rest = divmod(place.offset, unit)
        near = rest == 0 and -128 <= short < 128
        mode, base = (0x40 if near else 0x80) | (reg & 7) << 3, place.base & 7
        if place.index == RSP != base:
            head = bytes([mode | base])
        else:
            scale = place.scale.bit_length() - 1
            head = bytes([mode | 4, scale << 6 | (place.index & 7) << 3 | base])
        return head + (struct.pack("<b", short) if near else struct.pack("<i", place.offset))

    def _put(self, *parts: int | bytes | list[int]) -> None:
        for each in parts:
            if isinstance(each, int):
                self._bytes.append(each)
            else:
                self._bytes += bytes(each)
