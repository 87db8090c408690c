"""Small arrays where a device is in use: calls that `auto` is sure to leave to NumPy get there without Python between.

While nothing but contexts of devices is active (no tape, no other policy, no profile, no forced precision), a call with
operands of a few thousand elements in memory of the program's is NumPy's whatever the card, and its result stays plain.
The dispatchers of the doors are then replaced by built-in functions that find this out in some nanoseconds
(`small_code`) and call the dispatcher for all else. Without the compiler (extra ``jit``), or on an interpreter whose
objects are laid out in another way, the dispatchers ask `is_small` themselves.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import numpy as np

from minpy.runtime import entry, small_code
from minpy.runtime.builtin import FASTCALL, KEYWORDS, function_at
from minpy.runtime.primitives import table

# What may be among the arguments without being work for a device.
_KINDS: tuple[type, ...] = tuple(dict.fromkeys((
    float, int, bool, type(None), np.float64, np.int64, np.bool_, np.float32, complex, str, np.complex128, np.int32,
    slice, type(Ellipsis), type(np._NoValue), type, *[np.dtype(c).type for c in "bhilqBHILQefdFD"],
    *[type(np.dtype(c)) for c in "?bhilqBHILQefdgFDG"],
)))  # fmt: skip


_SIMPLE = frozenset(_KINDS)
_MOST_ITEMS = 64  # of a list that is looked through


def is_small(args: tuple | list, kwargs: dict | None = None, depth: int = 3) -> bool:
    """Whether all that is given are small arrays of the program's, numbers and words, also in short lists."""
    for value in args:
        kind = type(value)
        if kind is np.ndarray:
            if value.size > small_code.FEW:
                return False
        elif kind not in _SIMPLE:
            if kind is not list and kind is not tuple:
                return False
            if not depth or len(value) > _MOST_ITEMS or not is_small(value, None, depth - 1):
                return False
    return not kwargs or is_small(list(kwargs.values()))


# The words that all doors share.
_shared = np.zeros(small_code.KINDS + small_code.MOST_KINDS, np.int64)
_kept: list[Any] = []  # what words and the interpreter point to
# The names that are replaced: in which door, the dispatcher, and the built-in function.
_replaced: list[tuple[Any, str, Any, Any]] = []


def tell(quick: bool) -> None:
    """Say whether nothing but contexts of devices is active.

    Else the dispatchers are called directly: while a built-in function is, the interpreter holds one more reference to
    each operand, which `adoption` counts.
    """
    if bool(_shared[small_code.QUICK]) == quick:
        return
    _shared[small_code.QUICK] = quick
    for door, name, slow, found in _replaced:
        setattr(door, name, found if quick else slow)


@functools.lru_cache(maxsize=1)
def _code() -> int:
    """The address of the function of all doors; 0 if there is none to be had."""
    from minpy.runtime.fuse import shortcut
    from minpy.runtime.jit import engine, sites, store

    if sites.mode() == "off" or not engine.is_available() or not shortcut.is_possible() or not _is_laid_out():
        return 0
    try:
        outside = {
            f"minpy_{name}": ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0
            for name in ("PyObject_Vectorcall", "Py_DecRef")
        }
        where = store.file_for(small_code.TEXT, "", "guard")
        code = store.load_bytes(where)
        if code is None:
            code = engine.object_code(small_code.TEXT)
            store.save_bytes(where, code)
        return engine.placed(code, outside)
    except (AttributeError, engine.CompileError):
        return 0


def _is_laid_out() -> bool:
    """Whether lists and tuples are laid out as the code reads them."""
    one, two = object(), object()

    def word(at: int) -> int:
        return ctypes.c_int64.from_address(at).value

    listed, tupled = [one, two], (one, two)
    return (
        word(id(listed) + 16) == word(id(tupled) + 16) == 2
        and [word(word(id(listed) + 24) + 8 * k) for k in range(2)] == [id(one), id(two)]
        and [word(id(tupled) + 24 + 8 * k) for k in range(2)] == [id(one), id(two)]
        and word(id(one) + 8) == id(object)
    )


def _door(name: str, mode: int, function: int, slow: Any, extra: int = 0, wrap: Any = None) -> Any:
    """A built-in function; `function` is an address."""
    words = np.array(
        [_shared.ctypes.data, mode, function, extra, id(slow), 0 if wrap is None else id(wrap)], np.int64
    )
    _kept.extend((slow, wrap))
    return function_at(_code(), name, words, _kept, FASTCALL | KEYWORDS)


@functools.lru_cache(maxsize=1)
def install(numpy_door: Any, operator_door: Any) -> bool:
    """Let small arrays through the doors of NumPy and of the operators; whether that was done."""
    if not _code():
        return False
    shared = _shared
    shared[small_code.ARRAY], shared[small_code.LIST], shared[small_code.TUPLE] = map(
        id, (np.ndarray, list, tuple)
    )
    shared[small_code.COUNT] = len(_KINDS)
    shared[small_code.KINDS : small_code.KINDS + len(_KINDS)] = list(map(id, _KINDS))
    for primitive in table.rows():
        if primitive.mirrors and not primitive.geometry and hasattr(primitive.function, "__name__"):
            _replace(numpy_door, primitive)
    for name, symbol in _OPERATORS.items():
        if name in vars(operator_door):
            slow = vars(operator_door)[name]
            mode = small_code.UNARY if name in ("neg", "pos", "invert") else small_code.BINARY
            extra = id(None) if name == "pow" else _COMPARISONS.get(name, 0)
            address = ctypes.cast(getattr(ctypes.pythonapi, symbol), ctypes.c_void_p).value or 0
            _replaced.append((operator_door, name, slow, _door(name, mode, address, slow, extra)))
    entry.watch(tell)
    return True


def _replace(door: Any, primitive: Any) -> None:
    *path, name = primitive.name.split(".")
    for part in path:
        door = vars(door).get(part)
        if door is None:
            return
    slow = vars(door).get(name)
    if slow is None or getattr(slow, "__wrapped__", None) is not primitive.function:
        return
    from minpy.runtime.dispatch import placed

    _kept.append(primitive.function)
    mode = small_code.CREATE if primitive.creates else small_code.CALL
    # A partial with nothing given costs as good as nothing, and may have attributes.
    found = functools.partial(_door(name, mode, id(primitive.function), slow, 0, placed))
    found.__dict__.update(vars(slow))
    found.__dict__.update(
        __name__=slow.__name__, __qualname__=slow.__qualname__, __wrapped__=primitive.function
    )
    _replaced.append((door, name, slow, found))


_COMPARISONS = {"lt": 0, "le": 1, "eq": 2, "ne": 3, "gt": 4, "ge": 5}
_OPERATORS = {
    "add": "PyNumber_Add", "sub": "PyNumber_Subtract", "mul": "PyNumber_Multiply", "truediv": "PyNumber_TrueDivide",
    "floordiv": "PyNumber_FloorDivide", "mod": "PyNumber_Remainder", "pow": "PyNumber_Power",
    "matmul": "PyNumber_MatrixMultiply", "and_": "PyNumber_And", "or_": "PyNumber_Or", "xor": "PyNumber_Xor",
    "lshift": "PyNumber_Lshift", "rshift": "PyNumber_Rshift", "neg": "PyNumber_Negative", "pos": "PyNumber_Positive",
    "invert": "PyNumber_Invert", **dict.fromkeys(_COMPARISONS, "PyObject_RichCompare"),
}  # fmt: skip
