"""``values.append(x)`` of numbers in a compiled loop: kept in a log, and appended when the loop hands back.

A log is three words of the loop's block: its address, how many entries there are, and room for how many. An entry is a
value and its tag.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from minpy.runtime.jit.arrangements import Arrangements
from minpy.runtime.jit.buffers import free
from minpy.runtime.jit.kinds import INTS, KIND_OF_CODE, Unsupported, value_of

WORDS = 3
_COUNT, _ROOM = 1, 2
_ENTRY = 16  # bytes


class Appends(Arrangements):
    """Calls of the method `append` of lists."""

    def __init__(self) -> None:
        super().__init__()
        self.lists: dict[str, int] = {}  # where the log of a list is, by the list's name
        self.logs = False

    def append(self, name: str, value: Any) -> None:
        """Code that notes a number for a list."""
        self.at_once()
        value = self._operand(value)
        x = value.x
        if value.rep == "c":
            raise Unsupported("a list of complex numbers")
        if value.rep == "d":
            bits = self.w.op(f"bitcast double {x} to i64")
            if value.kinds & INTS:
                # An integer in a double, if its tag says so.
                whole = self.w.op(f"fptosi double {x} to i64")
                is_float = self.w.op(f"icmp ne i8 {self.w.op(f'and i8 {value.tag}, 1')}, 0")
                bits = self.w.op(f"select i1 {is_float}, i64 {bits}, i64 {whole}")
            x = bits
        elif value.rep == "b":
            x = self.w.op(f"zext i1 {x} to i64")
        self.logs = True
        log = self.w.op(f"getelementptr i64, ptr %words, i64 {self.lists[name]}")
        tag = value.tag if value.tag.isdigit() else self.w.op(f"sext i8 {value.tag} to i64")
        entry = self.w.op(f"call ptr @one_more(ptr {log}, i64 {_COUNT}, i64 {_ROOM}, i64 {_ENTRY})")
        self.guard(self.w.op(f"icmp ne ptr {entry}, null"), "there is no memory")
        self.w.put(f"store i64 {x}, ptr {entry}")
        self.w.put(f"store i64 {tag}, ptr {self.w.op(f'getelementptr i64, ptr {entry}, i64 1')}")

    def call_method(self, value: Any, name: str, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        if name == "append":
            raise Unsupported("a list that is read and appended to")
        return super().call_method(value, name, arguments, keywords)


def logged(words: np.ndarray, slot: int) -> list[Any]:
    """What a log holds, as Python objects."""
    address, count = int(words[slot]), int(words[slot + 1])
    if not count:
        return []
    entries = np.ctypeslib.as_array((ctypes.c_int64 * (2 * count)).from_address(address)).reshape(count, 2)
    tags = entries[:, 1]
    values = np.ascontiguousarray(entries[:, 0])
    floats = values.view(np.float64)
    if (tags == tags[0]).all():
        kind = KIND_OF_CODE[int(tags[0])]
        if kind in ("int", "float"):
            return (values if kind == "int" else floats).tolist()
        if kind in ("int64", "float64"):
            return list(values if kind == "int64" else floats)
    chosen = (KIND_OF_CODE[int(tag)] for tag in tags)
    return [
        value_of(int(tag), float(floats[i]) if "float" in kind else int(values[i]))
        for i, (tag, kind) in enumerate(zip(tags, chosen, strict=True))
    ]


def release(words: np.ndarray, slot: int) -> None:
    """Give back the memory of a log."""
    free()(int(words[slot]))
    words[slot : slot + WORDS] = 0
