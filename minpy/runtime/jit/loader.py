"""Puts the object code of a compiled loop into memory, without LLVM: a warm run then starts in a moment.

Only what LLVM makes of our loops on x86-64 Linux is understood: absolute addresses of constants and of the functions
outside that they call. Anything else is left to LLVM's own loader.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import struct
import sys

_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QQq")
_PROGBITS, _RELA, _NOBITS = 1, 4, 8
_ALLOC = 2
_ABSOLUTE = 1  # R_X86_64_64
_READ_EXECUTE = 5

_kept: list[mmap.mmap] = []


def place(code: bytes, name: str, outside: dict[str, int]) -> int:
    """The address of the function `name` of an object file; 0 if this is not for us.

    Parameters
    ----------
    code : bytes
        The object file.
    outside : dict
        The addresses of the functions that it calls.
    """
    if (
        not sys.platform.startswith("linux")
        or platform.machine() != "x86_64"
        or code[:6] != b"\x7fELF\x02\x01"
    ):
        return 0
    try:
        return _place(code, name, outside)
    except (struct.error, KeyError, IndexError, ValueError, OSError, UnicodeDecodeError):
        return 0


def _place(code: bytes, name: str, outside: dict[str, int]) -> int:
    (start,) = struct.unpack_from("<Q", code, 0x28)
    size, count, names_at = struct.unpack_from("<HHH", code, 0x3A)
    sections = [_SECTION.unpack_from(code, start + i * size) for i in range(count)]

    def string(table: int, offset: int) -> str:
        begin = sections[table][4] + offset
        return code[begin : code.index(b"\0", begin)].decode()

    offsets: dict[int, int] = {}
    end = 0
    for i, (title, kind, flags, _, _, length, _, _, alignment, _) in enumerate(sections):
        if flags & _ALLOC and kind in (_PROGBITS, _NOBITS) and string(names_at, title) != ".eh_frame":
            end = -(-end // max(alignment, 1)) * max(alignment, 1)
            offsets[i] = end
            end += length
    memory = mmap.mmap(-1, max(end, 1))
    base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for i, offset in offsets.items():
        if sections[i][1] == _PROGBITS:
            memory[offset : offset + sections[i][5]] = code[sections[i][4] : sections[i][4] + sections[i][5]]

    def symbol(table: int, index: int) -> int:
        title, _, _, section, value, _ = _SYMBOL.unpack_from(code, sections[table][4] + index * _SYMBOL.size)
        if section == 0:
            return outside[string(sections[table][6], title)]
        return base + offsets[section] + value

    for _, kind, _, _, begin, length, table, target, _, _ in sections:
        if kind != _RELA or target not in offsets:
            continue
        for at in range(begin, begin + length, _RELOCATION.size):
            offset, info, addend = _RELOCATION.unpack_from(code, at)
            if info & 0xFFFFFFFF != _ABSOLUTE:
                return 0
            struct.pack_into("<Q", memory, offsets[target] + offset, symbol(table, info >> 32) + addend)
    found = _function(code, sections, string, name)
    protect = ctypes.CDLL(None).mprotect
    protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    if found is None or protect(base, len(memory), _READ_EXECUTE):
        return 0
    _kept.append(memory)
    section, value = found
    return base + offsets[section] + value


def _function(code: bytes, sections: list, string, name: str) -> tuple[int, int] | None:
    for kind, begin, length, table in ((each[1], each[4], each[5], each[6]) for each in sections):
        if kind == 2:
            for at in range(begin, begin + length, _SYMBOL.size):
                title, _, _, section, value, _ = _SYMBOL.unpack_from(code, at)
                if section and string(table, title) == name:
                    return section, value
    return None
