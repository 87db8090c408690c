"""A shared object that holds nothing but the names of others: the loader brings these in as one library.

What is looked up in one of them is found in the others, though none of their names can be seen by anybody else: for a
set of libraries that use each other and do not say so, which else would have to be put into the scope of the whole
process (``RTLD_GLOBAL``).
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence
from itertools import count

# The numbers of the format are those of the System V ABI and its supplement for x86-64.
_HEADER, _PROGRAM, _SYMBOL = 64, 56, 24  # bytes of the file's header, of a segment's, of a symbol
_SHARED, _X86_64 = 3, 62
_LOADED, _DYNAMIC, _STACK = 1, 2, 0x6474E551  # kinds of segments; the last asks for a stack without code
_READ_WRITE, _PAGE = 6, 4096
_END, _NEEDED, _HASH, _STRINGS, _SYMBOLS, _STRINGS_SIZE, _SYMBOL_SIZE = 0, 1, 4, 5, 6, 10, 11

_turn = count()


def together(names: Sequence[str]) -> bytes:
    """The contents of a shared object for x86-64 Linux that needs `names`, paths of others, in this order."""
    strings, at = b"\0", []
    for name in names:
        at.append(len(strings))
        strings += os.fsencode(name) + b"\0"
    strings += b"\0" * (-len(strings) % 16)
    # One segment: headers, a table with the one symbol that must be there, its hash table, the names, what is needed.
    symbols = _HEADER + 3 * _PROGRAM
    hashes = symbols + _SYMBOL
    texts = hashes + 16
    needs = texts + len(strings)
    entries = [(_NEEDED, each) for each in at]
    entries += [(_HASH, hashes), (_STRINGS, texts), (_SYMBOLS, symbols), (_STRINGS_SIZE, len(strings))]
    entries += [(_SYMBOL_SIZE, _SYMBOL), (_END, 0)]
    needed = b"".join(struct.pack("<qQ", *each) for each in entries)
    size = needs + len(needed)
    header = struct.pack(
        "<4s5B7xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 0, 0,
        _SHARED, _X86_64, 1, 0, _HEADER, 0, 0, _HEADER, _PROGRAM, 3, 64, 0, 0,
    )  # fmt: skip
    segments = b"".join(
        struct.pack("<IIQQQQQQ", kind, _READ_WRITE, start, start, start, length, length, align)
        for kind, start, length, align in (
            (_LOADED, 0, size, _PAGE), (_DYNAMIC, needs, len(needed), 8), (_STACK, 0, 0, 16),
        )
    )  # fmt: skip
    return header + segments + bytes(_SYMBOL) + struct.pack("<4I", 1, 1, 0, 0) + strings + needed


def load(names: Sequence[str], mode: int) -> ctypes.CDLL:
    """The libraries `names` as one, loaded in `mode`.

    Raises
    ------
    OSError
        One of them cannot be loaded.
    """
    memory = os.memfd_create("together")
    try:
        with open(memory, "wb", closefd=False) as file:
            file.write(together(names))
        # The loader takes one path for one library, and the number of a closed file comes again.
        return ctypes.CDLL(f"/proc/{os.getpid()}/fd/{'./' * next(_turn)}{memory}", mode=mode)
    finally:
        os.close(memory)
