"""Compiled code as a built-in function, which the interpreter calls like one written in C; and words it reads."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

FASTCALL, KEYWORDS = 0x80, 0x02  # METH_FASTCALL, METH_KEYWORDS


class _Method(ctypes.Structure):
    """Python's PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


class Kept:
    """What words point to must live as long as they are in use."""

    def __init__(self) -> None:
        self._kept: list[Any] = []

    def _of(self, thing: Any) -> int:
        """The word that stands for an object."""
        self._kept.append(thing)
        return id(thing)

    def _at(self, array: np.ndarray) -> int:
        """The word that says where an array's elements are."""
        self._kept.append(array)
        return array.ctypes.data


def function_at(address: int, name: str, words: Any, kept: list[Any], flags: int = FASTCALL) -> Any:
    """The code at an address as a function that is given `words`; what must live as long goes to `kept`."""
    definition = _Method(name.encode(), address, flags, None)
    kept.append(definition)
    kind = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
    make = kind(("PyCFunction_NewEx", ctypes.pythonapi))
    return make(ctypes.addressof(definition), words, None)
