"""The short way from a block's site to its compiled code, for geometries that were met before.

A site whose block runs compiled on one thread is replaced by a built-in function (`guard`): it compares the operands
with those of the last few geometries and runs the code, in less than a microsecond. Whatever is new goes the long way,
through the site, and is laid out here for the next time.
"""

from __future__ import annotations

import ctypes
import struct
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from minpy.runtime import entry
from minpy.runtime.fuse import guard, native
from minpy.runtime.fuse.ir import Irregular
from minpy.runtime.fuse.plan import DONE, FUNCTIONS, extent_of, touch
from minpy.runtime.fuse.state import DIVIDE, INVALID, OVER, usual_state

if TYPE_CHECKING:
    from minpy.runtime.fuse.plan import Plan

COST = 1.5e-6  # seconds that the short way takes, with what the interpreter does around it
_MOST_LAID_OUT = 24  # geometries of one block: more means that they do not repeat
_LONG = 30_000  # elements from which other threads may run meanwhile
_KEY = "minpy blocks' results"


class _Method(ctypes.Structure):
    """Python's PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


_FASTCALL = 0x80


@lru_cache(maxsize=1)
def _guard(wait: bool) -> int:
    """The address of the compiled guard; raises `native.Unfit`, or that it is still being compiled."""
    from minpy.runtime.jit import engine

    outside = {}
    try:
        for name in guard.FUNCTIONS:
            function = getattr(ctypes.pythonapi, name)
            outside[f"minpy_{name}"] = ctypes.cast(function, ctypes.c_void_p).value or 0
        return native.placed(guard.text(), wait, outside)
    except (AttributeError, engine.CompileError) as error:
        raise native.Unfit(str(error)) from error


def is_possible() -> bool:
    """Whether this Python and this NumPy are laid out as the guard reads them."""
    return _is_possible()


@lru_cache(maxsize=1)
def _is_possible() -> bool:
    if sys.implementation.name != "cpython" or not native._layout_is_known():
        return False
    if not getattr(sys, "_is_gil_enabled", lambda: True)() or struct.calcsize("P") != 8:
        return False
    array = np.ones((3, 5), np.float32)[1:, ::2]
    at = id(array)

    def word(offset: int, base: int = at) -> int:
        return ctypes.c_int64.from_address(base + offset).value

    extents = [[word(8 * k, word(offset)) for k in range(2)] for offset in (32, 40)]
    state = usual_state()
    return (
        ctypes.c_int.from_address(at + 24).value == 2
        and extents == [list(array.shape), list(array.strides)]
        and word(56) == id(array.dtype)
        and ctypes.c_int.from_address(at + 64).value == array.flags.num
        and word(8) == id(np.ndarray)
        and ctypes.c_double.from_address(id(2.5) + 16).value == 2.5
        and ctypes.c_double.from_address(id(np.float64(2.5)) + 16).value == 2.5
        and state is not None
    )


def join(results: list[Any]) -> None:
    """Let the guards of this thread hand their results over in a list."""
    # The dictionary is the thread's: a borrowed reference, which `py_object` as the kind of a result would give up.
    address = ctypes.PYFUNCTYPE(ctypes.c_void_p)(("PyThreadState_GetDict", ctypes.pythonapi))()
    if address:
        ctypes.cast(address, ctypes.py_object).value[_KEY] = results


class Shortcut:
    """The guard of one site.

    Attributes
    ----------
    function : builtin_function_or_method
        What is called in place of the site.
    """

    def __init__(self, site: Any, wait: bool) -> None:
        self._words = np.zeros(guard.GEOMETRIES + guard.MOST_GEOMETRIES, np.int64)
        self._kept: list[Any] = [site]
        self._geometries: list[Any] = []  # all of them: some thread may be using one that was replaced
        self.laid_out = 0
        words = self._words
        state, value, usual = usual_state()
        words[guard.SLOW] = id(site)
        words[guard.NONE], words[guard.TRUE], words[guard.FALSE] = id(None), id(True), id(False)
        words[guard.KEY] = self._of(_KEY)
        words[guard.STATE], words[guard.STATE_VALUE] = self._of(state), value
        words[guard.STATE_DEFAULT] = self._of(usual) if usual is not None else 0
        words[guard.ARRAY] = id(np.ndarray)
        asked = np.array([self._of(sys.gettrace), self._of(sys.getprofile)], np.int64)
        words[guard.ASK], words[guard.ASK_COUNT] = self._at(asked), len(asked)
        monitoring = getattr(sys, "monitoring", None)
        if monitoring is not None:
            words[guard.TOOL] = self._of(monitoring.get_tool)
            words[guard.TOOL_NUMBERS : guard.TOOL_NUMBERS + 6] = [self._of(k) for k in range(6)]
        definition = _Method(b"block", _guard(wait), _FASTCALL, None)
        self._kept.append(definition)
        kind = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
        make = kind(("PyCFunction_NewEx", ctypes.pythonapi))
        self.function = make(ctypes.addressof(definition), words, None)

    @property
    def hits(self) -> int:
        """How often the short way was taken."""
        return int(self._words[guard.HITS])

    def _of(self, thing: Any) -> int:
        self._kept.append(thing)
        return id(thing)

    def _at(self, array: np.ndarray) -> int:
        self._kept.append(array)
        return array.ctypes.data

    def lay_out(
        self, plan: Plan, engine: Any, names: tuple[Any, ...], leaves: tuple[Any, ...], numbers: list[Any]
    ) -> None:
        """Let the short way be taken for operands like these.

        Raises
        ------
        Irregular
            They are not such that it could be.
        """
        if self.laid_out >= _MOST_LAID_OUT:
            raise Irregular
        _, _, usual = usual_state()
        if usual is not None:
            self._words[guard.STATE_DEFAULT] = self._of(usual)
        geometry = _Geometry(plan, engine, names, leaves, numbers)
        place = self.laid_out % guard.MOST_GEOMETRIES
        self.laid_out += 1
        self._geometries.append(geometry)
        # In this order: another thread may be reading them.
        self._words[guard.GEOMETRIES + place] = geometry.words.ctypes.data
        self._words[guard.COUNT] = min(self.laid_out, guard.MOST_GEOMETRIES)


class _Geometry:
    """The words of one geometry, and what must live as long as they are in use."""

    def __init__(
        self, plan: Plan, engine: Any, names: tuple[Any, ...], leaves: tuple[Any, ...], numbers: list[Any]
    ) -> None:
        self.kept: list[Any] = [plan, engine, DONE]
        self.words = np.zeros(32, np.int64)
        self.names = names
        program = plan.program
        self.bases = program.bases
        if program.chains or any(each < 0 for each in plan.operand_leaves):
            raise Irregular
        apart = plan.apart(leaves)
        over = [
            (k, out.operand)
            for k, out in enumerate(plan.outputs)
            if out.leaf >= 0 and out.operand >= 0 and k not in apart
        ]
        code = engine.over(tuple(over)) if over else engine
        outs = [
            np.empty(plan.shape, out.dtype) if out.leaf < 0 or k in apart else leaves[out.leaf]
            for k, out in enumerate(plan.outputs)
        ]
        old = [np.empty(plan.shape, plan.outputs[k].dtype) for k, _ in over]
        arrays = [leaves[each] for each in plan.operand_leaves]
        pointers = [*outs, *old, *[arrays[k] for k in code.operands]]
        sources: list[int | None] = [
            None if out.leaf < 0 or k in apart else out.leaf for k, out in enumerate(plan.outputs)
        ]
        sources += [None] * len(old) + [plan.operand_leaves[k] for k in code.operands]
        self._set_code(plan, code, pointers, sources, leaves, numbers)
        self._set_checks(plan)
        self._set_apart(plan, leaves)
        self._set_results(plan, leaves, apart, over)
        same = [(vars(entry), "holders", 0)]
        same += [
            (vars(np), each.name, FUNCTIONS[each.name]) for each in program.operations if not each.symbol
        ]
        self._put(guard.SAME, guard.SAME_AT, [tuple(map(self._of, each)) for each in same])
        del self.names

    def _of(self, thing: Any) -> int:
        self.kept.append(thing)
        return id(thing)

    def _put(self, count: int, place: int, rows: list[tuple[int, ...]]) -> None:
        array = np.array(rows or [[0]], np.int64)
        self.kept.append(array)
        self.words[count], self.words[place] = len(rows), array.ctypes.data

    def _base(self, leaf: int) -> int:
        """The name that a leaf is a part of."""
        return self.bases[leaf]

    def _set_code(
        self,
        plan: Plan,
        code: Any,
        pointers: list[np.ndarray],
        sources: list[int | None],
        leaves: tuple[Any, ...],
        numbers: list[Any],
    ) -> None:
        (fixed,) = native.parts_of(plan.shape, pointers, 1)
        fixed = fixed.copy()
        per = native.OUTER + 2
        fills, fresh, template = [], [], [0]
        for k, (pointer, source) in enumerate(zip(pointers, sources, strict=True)):
            template.append(0)
            if source is None:
                fresh.append((1 + k, self._of((plan.shape, pointer.dtype))))
                continue
            base = self._base(source)
            if type(self.names[base]) is not np.ndarray:
                raise Irregular
            fixed[native.OUTER + 1 + per * k] += _offset(leaves[source], self.names[base])
            fills.append((1 + k, 1 + base))
        self.kept.append(fixed)
        template[0] = fixed.ctypes.data
        self.slots: dict[int, list[int]] = {}  # of each number that may vary: the words it goes into
        for position, (k, kind) in enumerate(code.slots):
            bits = struct.unpack(
                "=q", struct.pack(f"={kind}", numbers[k] if kind == "d" else int(numbers[k]))
            )[0]
            template.append(bits)
            leaf = plan.number_leaves[k]
            # A number that the code takes as it is may vary.
            if kind == "d" and leaf >= 0 and leaf not in plan.computed_with:
                self.slots.setdefault(leaf, []).append(1 + len(pointers) + position)
        if len(template) > guard.MOST_WORDS or len(plan.outputs) > guard.MOST_RESULTS:
            raise Irregular
        array = np.array(template, np.int64)
        self.kept.append(array)
        words = self.words
        words[guard.WORDS], words[guard.WORDS_AT] = len(template), array.ctypes.data
        self._put(guard.FILLS, guard.FILLS_AT, fills)
        self._put(guard.FRESH, guard.FRESH_AT, fresh)
        words[guard.EMPTY] = self._of(np.empty)
        words[guard.CODE] = code.address
        words[guard.LONG] = max(plan.size, plan.work // 4) >= _LONG
        words[guard.REPORTED] = native.bits_of(DIVIDE | OVER | INVALID)
        self.first_old = 1 + len(plan.outputs)

    def _set_checks(self, plan: Plan) -> None:
        rows = []
        program = plan.program
        whole = {base: leaf for leaf, base in program.whole.items()}
        for k, value in enumerate(self.names):
            kind = type(value)
            if kind is np.ndarray:
                geometry = np.array([*value.shape, *value.strides, 0], np.int64)
                self.kept.append(geometry)
                rows.append(
                    (
                        guard.IS_ARRAY,
                        self._of(value.dtype),
                        value.ndim,
                        geometry.ctypes.data,
                        value.flags.num & 0x500,
                    )
                )
            elif kind is float or kind is np.float64:
                slots = self.slots.get(whole.get(k, -1), [])
                if len(slots) == 1 and program.uses[k] == 1:
                    doubles = all(each == np.float64 for each in plan.operand_dtypes)
                    small = abs(value) <= 65500 or value != value
                    if not doubles and not small:
                        raise Irregular
                    check = guard.IS_FLOAT if doubles else guard.IS_SMALL_FLOAT
                    rows.append((check, self._of(kind), slots[0], 0, 0))
                else:
                    bits = struct.unpack("=q", struct.pack("=d", value))[0]
                    rows.append((guard.IS_THIS_FLOAT, self._of(kind), bits, 0, 0))
            elif kind is int:
                if value.bit_length() > 62:
                    raise Irregular
                rows.append((guard.IS_THIS_INT, self._of(int), value, 0, 0))
            elif value is None or kind is bool:
                rows.append((guard.IS_THIS, self._of(value), 0, 0, 0))
            else:
                raise Irregular
        self._put(guard.NAMES, guard.CHECKS, rows)

    def _set_apart(self, plan: Plan, leaves: tuple[Any, ...]) -> None:
        rows = []
        written = [out.leaf for out in plan.outputs if out.leaf >= 0]
        share = touch if plan.is_touchy else np.may_share_memory
        read = [i for i in range(len(leaves)) if type(leaves[i]) is np.ndarray]
        for target in written:
            for other in read:
                a, b = self._base(target), self._base(other)
                if other == target or a == b:
                    continue  # of one array: where they are is part of the geometry
                if share(leaves[target], leaves[other]):
                    raise Irregular
                row = []
                for leaf, base in ((target, a), (other, b)):
                    offset = _offset(leaves[leaf], self.names[base])
                    row += [1 + base, offset, offset + extent_of(leaves[leaf]) + plan.is_touchy]
                rows.append(tuple(row))
        self._put(guard.APART, guard.APART_AT, rows)

    def _set_results(self, plan: Plan, leaves: tuple[Any, ...], apart: set[int], over: list[Any]) -> None:
        results: list[tuple[Any, ...]] = []
        moves, back = [], []
        for k, out in enumerate(plan.outputs):
            if out.leaf >= 0:
                base = self._base(out.leaf)
                index = plan.program.index(out.leaf, self.names)
            if out.kind == "augment":
                results.append((2, self._of(DONE), 0))
                if k in apart:
                    moves.append((1 + k, 1 + base, self._of(Ellipsis if index is None else index)))
            elif out.leaf < 0 or k in apart:
                results.append((0, 1 + k, 0))
            else:
                results.append((1, 1 + base, 0 if index is None else self._of(index)))
        for number, (k, _) in enumerate(over):
            leaf = plan.outputs[k].leaf
            index = plan.program.index(leaf, self.names)
            old = self._of(Ellipsis if index is None else index)
            back.append((self.first_old + number, 1 + self._base(leaf), old))
        self._put(guard.RESULTS, guard.RESULTS_AT, results)
        self._put(guard.MOVES, guard.MOVES_AT, moves)
        self._put(guard.BACK, guard.BACK_AT, back)
        self.words[guard.MOVE] = self._of(np.copyto)


def _offset(leaf: np.ndarray, base: np.ndarray) -> int:
    return leaf.__array_interface__["data"][0] - base.__array_interface__["data"][0]
