"""Small arrays where a device is in use: calls that `auto` is sure to leave to NumPy get there without Python between.

While nothing but contexts of devices is active (no tape, no other policy, no profile, no forced precision), a call with
operands of a few thousand elements in memory of the program's is NumPy's whatever the card, and its result stays plain;
so is a larger one, up to where a device in use could be sooner done (`learn`).
The dispatchers of the doors are then replaced by built-in functions that find this out in some nanoseconds
(`small_code`) and call the dispatcher for all else. Without the compiler (extra ``jit``), or on an interpreter whose
objects are laid out in another way, the dispatchers ask `is_small` themselves.

Operators cost less than any call. Rewritten code has them twice, ``(__minpy__.op.add(a, b) if __minpy_alert__ else a +
b)``: after many in a row that met nothing large the flag goes (`calm`), until something large is seen, or until it is
time to look again (`Quiet`): arrays that only operators have seen may have grown.
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
# The names that are replaced in each door: by name, the dispatchers, and the built-in functions.
_replaced: list[tuple[Any, dict[str, Any], dict[str, Any]]] = []
_types: list[Any] = []  # what stands for the built-in `type`: the function, and the built-in one


# The words of each door, with the class of what it leads to; and up to how many elements a result stays plain.
_words: list[tuple[np.ndarray, str]] = []
few = small_code.FEW


def learn(most: dict[str, int]) -> None:
    """Let the doors leave to NumPy what no device in use does sooner, up to so many elements by class of operation.

    What is made out of nothing is an array of the runtime's from where on some device might do something with it; so is
    what a function makes that only the host has.
    """
    global few
    few = min([n for kind, n in most.items() if kind != "matmul"])
    for words, kind in _words:
        if words[small_code.MODE] == small_code.CREATE:
            least = few
        else:
            least = small_code.NEVER if kind == "free" else most.get(kind, few)
        # The product of a vector reads each element once, as a sum does.
        words[small_code.MOST], words[small_code.FLAT] = least, most["reduce"] if kind == "matmul" else least


def forget() -> None:
    """Ask again for all that has more than a few thousand elements: nothing is known of devices any more."""
    from minpy.runtime.fuse import sites

    learn(dict.fromkeys(("reduce", "matmul"), small_code.FEW))
    sites.left_alone = small_code.FEW


class Quiet:
    """The state in which operators are not looked at, as a place that the thread of the blocks wakes up."""

    dead = False

    def __init__(self) -> None:
        self.asleep = False
        self.naps = 0

    def set_flag(self, awake: bool) -> None:
        """Look again."""
        self.asleep = False
        alarm()


_quiet = Quiet()
_SHORT_NAPS = 6  # before operators are looked at once a second


def calm() -> None:
    """Let operators be: many in a row met nothing large."""
    if _shared[small_code.QUICK]:
        entry.set_alert(False)
        if not _quiet.asleep:
            from minpy.runtime.fuse import sites

            _quiet.asleep = True
            _quiet.naps += 1
            sites.rest(_quiet, _quiet.naps < _SHORT_NAPS)


def alarm() -> None:
    """Let operators be looked at again."""
    _shared[small_code.LEFT] = small_code.PATIENCE
    if entry.holders:
        entry.set_alert(True)


def tell(quick: bool) -> None:
    """Say whether nothing but contexts of devices is active.

    Else the dispatchers are called directly: while a built-in function is, the interpreter holds one more reference to
    each operand, which `adoption` counts.
    """
    if quick:
        entry.set_alert(bool(_shared[small_code.LEFT]))
    if quick or entry.holders:
        entry.routed.type = _types[quick]
    if bool(_shared[small_code.QUICK]) == quick:
        return
    _shared[small_code.QUICK] = quick
    for door, slow, found in _replaced:
        vars(door).update(found if quick else slow)


@functools.lru_cache(maxsize=1)
def _code() -> int:
    """The address of the function of all doors; 0 if there is none to be had."""
    from minpy.runtime.fuse import shortcut
    from minpy.runtime.jit import engine, sites, store

    if sites.mode() == "off" or not engine.is_available() or not shortcut.is_possible() or not _is_laid_out():
        return 0
    try:
        names, text = ["Py_DecRef", "Py_IncRef"], small_code.TEXT
        if hasattr(ctypes.pythonapi, "PyObject_Vectorcall"):
            names, text = [*names, "PyObject_Vectorcall"], small_code.CALLED + text
        else:
            names, text = (
                [*names, "PyThreadState_Get", "_PyObject_MakeTpCall"],
                text + small_code.CALLED_BY_HAND,
            )
        outside = {
            f"minpy_{name}": ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0
            for name in names
        }
        where = store.file_for(text, "", "guard")
        code = store.load_bytes(where)
        if code is None:
            code = engine.object_code(text)
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


def _door(name: str, mode: int, function: int, slow: Any, kind: str, extra: int = 0, wrap: Any = None) -> Any:
    """A built-in function; `function` is an address, `kind` the class of its costs."""
    wrapper = 0 if wrap is None else id(wrap)
    words = np.array(
        [_shared.ctypes.data, mode, function, extra, id(slow), wrapper, small_code.FEW, small_code.FEW],
        np.int64,
    )
    _words.append((words, kind))
    _kept.extend((slow, wrap))
    return function_at(_code(), name, words, _kept, FASTCALL | KEYWORDS)


@functools.lru_cache(maxsize=1)
def install(numpy_door: Any, functions_door: Any, operator_door: Any, type_of: Any) -> bool:
    """Let small arrays through the doors of NumPy and of the operators; whether that was done."""
    if not _code():
        return False
    from minpy.runtime.array import Array
    from minpy.runtime.namespace import ROWS

    shared = _shared
    shared[small_code.ARRAY], shared[small_code.LIST], shared[small_code.TUPLE] = map(
        id, (np.ndarray, list, tuple)
    )
    shared[small_code.OURS], shared[small_code.TELL] = id(Array), id(calm)
    shared[small_code.LEFT] = small_code.PATIENCE
    shared[small_code.COUNT] = len(_KINDS)
    shared[small_code.KINDS : small_code.KINDS + len(_KINDS)] = list(map(id, _KINDS))
    functions: dict[str, dict[str, Any]] = {}
    for primitive in table.rows():
        if primitive.mirrors and not primitive.geometry and hasattr(primitive.function, "__name__"):
            module, _, name = primitive.name.rpartition(".")
            functions.setdefault(module, {})[name] = primitive
    for module, primitives in functions.items():
        doors = [_inside(door, module) for door in (numpy_door, functions_door)]
        found = {
            name: _replaced_by(primitive, vars(doors[0]).get(name)) for name, primitive in primitives.items()
        }
        _replace(doors, {name: each for name, each in found.items() if each is not None})
    found = {}
    for name, symbol in _OPERATORS.items():
        if name in vars(operator_door):
            slow = vars(operator_door)[name]
            mode = small_code.UNARY if name in ("neg", "pos", "invert") else small_code.BINARY
            extra = id(None) if name == "pow" else _COMPARISONS.get(name, 0)
            address = ctypes.cast(getattr(ctypes.pythonapi, symbol), ctypes.c_void_p).value or 0
            kind = table.by_name[ROWS[name]].cost
            found[name] = _door(name, mode, address, slow, kind, extra)
    _replace([operator_door], found)
    _types[:] = type_of, _door("type", small_code.TYPE, 0, type_of, "host")
    entry.watch(tell)
    return True


def _inside(door: Any, path: str) -> Any:
    """The door of a submodule."""
    for part in path.split(".") if path else ():
        door = vars(door)[part]
    return door


def _replace(doors: list[Any], found: dict[str, Any]) -> None:
    _replaced.extend((door, {name: vars(door)[name] for name in found}, found) for door in doors)


def _replaced_by(primitive: Any, slow: Any) -> Any:
    """The built-in function that takes a dispatcher's place; None if that is somebody else's."""
    if slow is None or getattr(slow, "__wrapped__", None) is not primitive.function:
        return None
    from minpy.runtime.dispatch import placed

    _kept.append(primitive.function)
    mode = small_code.CREATE if primitive.creates else small_code.CALL
    found = _door(slow.__name__, mode, id(primitive.function), slow, primitive.cost, 0, placed)
    if not isinstance(primitive.function, np.ufunc):
        return found
    # Whoever asks for a method of a ufunc finds it in a partial with nothing given, which costs little.
    partial = functools.partial(found)
    partial.__dict__.update(vars(slow))
    for name in _METHODS:
        if name in vars(slow):
            plain = getattr(primitive.function, name)
            _kept.append(plain)
            setattr(partial, name, _door(name, small_code.CALL, id(plain), vars(slow)[name], "host"))
    partial.__dict__.update(
        __name__=slow.__name__, __qualname__=slow.__qualname__, __wrapped__=primitive.function
    )
    return partial


_METHODS = ("reduce", "accumulate", "outer", "at", "reduceat")
_COMPARISONS = {"lt": 0, "le": 1, "eq": 2, "ne": 3, "gt": 4, "ge": 5}
_OPERATORS = {
    "add": "PyNumber_Add", "sub": "PyNumber_Subtract", "mul": "PyNumber_Multiply", "truediv": "PyNumber_TrueDivide",
    "floordiv": "PyNumber_FloorDivide", "mod": "PyNumber_Remainder", "pow": "PyNumber_Power",
    "matmul": "PyNumber_MatrixMultiply", "and_": "PyNumber_And", "or_": "PyNumber_Or", "xor": "PyNumber_Xor",
    "lshift": "PyNumber_Lshift", "rshift": "PyNumber_Rshift", "neg": "PyNumber_Negative", "pos": "PyNumber_Positive",
    "invert": "PyNumber_Invert", **dict.fromkeys(_COMPARISONS, "PyObject_RichCompare"),
}  # fmt: skip
