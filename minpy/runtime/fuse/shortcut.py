"""The short way from a block's site to its compiled code, for geometries that were met before.

A site whose block runs compiled on one thread is replaced by a built-in function (`guard`): it compares the operands
with those of the last few geometries and runs the code, in less than a microsecond. Whatever is new goes the long way,
through the site, and is laid out here for the next time.
"""

from __future__ import annotations

import ctypes
import struct
import sys
import types
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from minpy.runtime import entry
from minpy.runtime.fuse import guard, native
from minpy.runtime.fuse.ir import ITEM, Irregular, Program, _attribute
from minpy.runtime.fuse.layout import extent_of, touch
from minpy.runtime.fuse.moving import Cut, Form, Moving
from minpy.runtime.fuse.state import ALL, DIVIDE, INVALID, OVER, present, raising, restore, usual_state
from minpy.runtime.fuse.steps import DONE, FUNCTIONS

if TYPE_CHECKING:
    from minpy.runtime.fuse.plan import Plan

COST = 1.5e-6  # seconds that the short way takes, with what the interpreter does around it
COST_OF_NUMBERS = 2.5e-6  # the same of what is computed first, in Python
_MOST_LAID_OUT = 24  # geometries of one block: more means that they do not repeat
_LONG = 30_000  # elements from which other threads may run meanwhile
_KEY = "minpy blocks' results"
# What computing numbers and small arrays may raise because the program does.
_EXPECTED = (ArithmeticError, LookupError, TypeError, ValueError, AttributeError, MemoryError, RecursionError)


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


@lru_cache(maxsize=1)
def _knows_versions() -> bool:
    """Whether a type's version stands where the guard looks for it."""

    class Sample:
        pass

    sample = Sample()
    versions = []
    for name in ("one", "two"):
        setattr(Sample, name, name)
        versions.append(_version(Sample))
        versions.append((getattr(sample, name), _version(Sample))[1])
    return versions[0] == versions[2] == 0 and 0 < versions[1] != versions[3] > 0


def _version(kind: type) -> int:
    return ctypes.c_uint32.from_address(id(kind) + guard.VERSION).value


def can_follow(program: Program) -> bool:
    """Whether the guard can find all that a block starts from: the names, and what chains of attributes lead to."""
    steps = [step for _, each in program.chains for step in each]
    if program.names + len(steps) > guard.MOST_VALUES:
        return False
    return all(step[0] == ITEM for step in steps) or _knows_versions()


def join(results: list[Any]) -> None:
    """Let the guards of this thread hand their results over in a list."""
    # The dictionary is the thread's: a borrowed reference, which `py_object` as the kind of a result would give up.
    address = ctypes.PYFUNCTYPE(ctypes.c_void_p)(("PyThreadState_GetDict", ctypes.pythonapi))()
    if address:
        ctypes.cast(address, ctypes.py_object).value[_KEY] = results


class _Words(np.ndarray):
    """The words of a site, which own all that is in them: the function lives as long as anybody has it."""

    owner: Shortcut


class Shortcut:
    """The guard of one site.

    Attributes
    ----------
    function : builtin_function_or_method
        What is called in place of the site.
    """

    def __init__(self, site: Any, wait: bool) -> None:
        self._words = np.zeros(guard.GEOMETRIES + guard.MOST_GEOMETRIES, np.int64).view(_Words)
        self._words.owner = self
        self._kept: list[Any] = [site]
        # All of them: some thread may be using one that was replaced.
        self._geometries: list[Any] = []
        self.laid_out = 0
        words = self._words
        state, value, usual = usual_state()
        words[guard.SLOW] = id(site)
        words[guard.NONE], words[guard.TRUE], words[guard.FALSE] = id(None), id(True), id(False)
        words[guard.KEY] = self._of(_KEY)
        words[guard.STATE], words[guard.STATE_VALUE] = self._of(state), value
        words[guard.STATE_DEFAULT] = self._of(usual) if usual is not None else 0
        words[guard.ARRAY] = id(np.ndarray)
        words[guard.EXPECTED] = self._of(_EXPECTED)
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
        self,
        plan: Plan,
        engine: Any,
        names: tuple[Any, ...],
        leaves: tuple[Any, ...],
        prepared: tuple[list[Any], list[Any]],
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
        values, rows = _followed(plan.program, names)
        geometry = _Geometry(plan, engine, names, values, leaves, prepared)
        if rows:
            steps = [
                (source, kind, self._of(owner), version, self._of(name))
                for source, kind, owner, version, name in rows
            ]
            self._words[guard.CHAINS_AT] = self._at(np.array(steps, np.int64))
            self._words[guard.GIVEN] = len(names)
            self._words[guard.CHAINS] = len(rows)
        place = self.laid_out % guard.MOST_GEOMETRIES
        self.laid_out += 1
        self._geometries.append(geometry)
        # In this order: another thread may be reading them.
        self._words[guard.GEOMETRIES + place] = geometry.words.ctypes.data
        self._words[guard.COUNT] = min(self.laid_out, guard.MOST_GEOMETRIES)


def _followed(program: Program, names: tuple[Any, ...]) -> tuple[list[Any], list[tuple[Any, ...]]]:
    """The values at every step of the chains, and what the guard needs to get them.

    Raises
    ------
    Irregular
        They are not such that it could.
    """
    values: list[Any] = []
    rows: list[tuple[Any, ...]] = []
    for start, steps in program.chains:
        value, source = names[start], 1 + start
        for step in steps:
            kind = type(value)
            found = _attribute(value, step)
            if step[0] == ITEM:
                rows.append((source, guard.ITEM, kind, 0, step[1:]))
            else:
                version = _version(kind)
                if not version or kind is np.ndarray or isinstance(value, (type, types.ModuleType)):
                    raise Irregular
                if any("__getattr__" in base.__dict__ for base in kind.__mro__):
                    raise Irregular
                rows.append((source, guard.ATTRIBUTE, kind, version, sys.intern(step)))
            value = found
            values.append(value)
            source = len(names) + len(values)
    return values, rows


class _Geometry:
    """The words of one geometry, and what must live as long as they are in use.

    `names` are those of the program; `values` are what the guard finds behind them, at every step of the chains.
    """

    def __init__(
        self,
        plan: Plan,
        engine: Any,
        names: tuple[Any, ...],
        values: list[Any],
        leaves: tuple[Any, ...],
        prepared: tuple[list[Any], list[Any]],
    ) -> None:
        self.kept: list[Any] = [plan, engine, DONE]
        self.words = np.zeros(40, np.int64)
        self.program = program = plan.program
        arrays, numbers = prepared
        # Of the names, and of what chains lead to: the values, and where the guard has them.
        self.names = program.followed(names)
        self.given = [*names, *values]
        ends = np.cumsum([len(steps) for _, steps in program.chains], dtype=int)
        self.places = [*range(len(names)), *(len(names) + int(end) - 1 for end in ends)]
        self.moving = Moving(program, self.names)
        self.ints = sorted(self.moving.names)
        if len(self.ints) > guard.MOST_NUMBERS:
            raise Irregular
        self.keys: list[tuple[int, ...]] = []
        # What is computed first, or taken out of an array: of the plan's arrays, by their order, and of its numbers.
        self.made = [("x", k) for k, each in enumerate(plan.operand_leaves) if each < 0]
        self.made += [
            ("s", k)
            for k, each in enumerate(plan.number_leaves)
            if each < 0 or (each in program.bases and each not in program.whole)
        ]
        if len(self.given) + len(self.made) > guard.MOST_VALUES:
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
        pointers = [*outs, *old, *[arrays[k] for k in code.operands]]
        sources: list[int | None] = [
            None if out.leaf < 0 or k in apart else out.leaf for k, out in enumerate(plan.outputs)
        ]
        sources += [None] * len(old)
        sources += [
            each if each >= 0 else -1 - k for k, each in ((k, plan.operand_leaves[k]) for k in code.operands)
        ]
        self._set_code(plan, code, pointers, sources, leaves, numbers)
        self._set_checks(plan)
        self._set_first(plan, arrays, numbers)
        self._set_apart(plan, leaves)
        self._set_results(plan, apart, over)
        self._set_moves()
        same = [(vars(entry), "holders", 0)]
        same += [
            (vars(np), each.name, FUNCTIONS[each.name]) for each in program.operations if not each.symbol
        ]
        if plan.is_rolled:
            same.append((vars(np), "roll", FUNCTIONS["roll"]))
        self._put(guard.SAME, guard.SAME_AT, [tuple(map(self._of, each)) for each in same])
        del self.names, self.given, self.moving

    def _of(self, thing: Any) -> int:
        self.kept.append(thing)
        return id(thing)

    def _put(self, count: int, place: int, rows: list[tuple[int, ...]]) -> None:
        array = np.array(rows or [[0]], np.int64)
        self.kept.append(array)
        self.words[count], self.words[place] = len(rows), array.ctypes.data

    def _base(self, leaf: int) -> int:
        """The name, or the chain, that a leaf is a part of."""
        return self.program.bases[leaf]

    def _place(self, leaf: int) -> int:
        """Where the guard has the array that a leaf is a part of."""
        return 1 + self.places[self._base(leaf)]

    def _form(self, form: Form) -> list[int]:
        """The words of a form."""
        words = [0, 0, 0, 0, form.constant]
        for k, (name, factor) in enumerate(form.terms):
            words[2 * k : 2 * k + 2] = self.ints.index(name), factor
        return words

    def _part(self, part: Any) -> list[int]:
        """The words of one part of an index."""
        none = [*self._form(Form()), 1]
        if isinstance(part, Form):
            return [guard.PART_NUMBER, 0, *self._form(part), 0, *none]
        if isinstance(part, Cut):
            ends: list[int] = []
            for each in (part.lower, part.upper):
                ends += none if each is None else [*self._form(each), 0]
            return [guard.PART_SLICE, self._of(part.step), *ends]
        return [guard.PART_CONSTANT, self._of(part), *none, *none]

    def _key(self, leaf: int, whole: Any) -> int:
        """What stands for a leaf's index in the words: an object, or the number of one that is made anew."""
        index = self.moving.place(leaf).index
        if index is None:
            constant = self.program.index(leaf, self.names)
            return (
                0 if constant is None and whole is None else self._of(whole if constant is None else constant)
            )
        parts = index if isinstance(index, tuple) else None
        rows = np.array([self._part(each) for each in (parts if parts is not None else [index])], np.int64)
        self.kept.append(rows)
        self.keys.append((guard.ONLY if parts is None else len(parts), rows.ctypes.data))
        if len(self.keys) > guard.MOST_KEYS:
            raise Irregular
        return len(self.keys)

    def _set_moves(self) -> None:
        rows = [(*self._form(each.form), each.low, each.high) for each in self.moving.limits()]
        self._put(guard.LIMITS, guard.LIMITS_AT, rows)
        self._put(guard.KEYS, guard.KEYS_AT, self.keys)

    def _set_code(
        self,
        plan: Plan,
        code: Any,
        pointers: list[np.ndarray],
        sources: list[int | None],
        leaves: tuple[Any, ...],
        numbers: list[Any],
    ) -> None:
        first, *rest = native.parts_of(plan.shape, pointers, 1, code.rolls())
        fixed, *others = parts = [each.copy() for each in (first, *rest)]
        per = native.OUTER + 2
        fills, fresh, template, shifts = [], [], [0], []
        for k, (pointer, source) in enumerate(zip(pointers, sources, strict=True)):
            template.append(0)
            if source is None:
                fresh.append((1 + k, self._of((plan.shape, pointer.dtype))))
                continue
            if source < 0:
                fills.append((1 + k, 1 + len(self.given) + self.made.index(("x", -1 - source))))
                continue
            base = self._base(source)
            if type(self.names[base]) is not np.ndarray:
                raise Irregular
            word = native.OUTER + 1 + per * k
            moves = self.moving.place(source).offset.moves()
            for each in parts:
                each[word] += _offset(leaves[source], self.names[base]) - moves.at(self.names)
            fills.append((1 + k, self._place(source)))
            if moves.terms:
                shifts.append((word, *self._form(moves)))
        self.kept += parts
        template[0] = fixed.ctypes.data
        if others and shifts:
            raise Irregular
        self._put(guard.PARTS, guard.PARTS_AT, [(each.ctypes.data,) for each in others])
        exponents = {
            k for step in plan.steps if step.name == "power" for where, k in step.operands if where == "s"
        }
        # Of each of the plan's numbers: the words it goes into, if it may vary; those that go elsewhere as well.
        self.slots: dict[int, list[int]] = {}
        self.fixed: set[int] = set()
        for position, (k, kind) in enumerate(code.slots):
            bits = struct.unpack(
                "=q", struct.pack(f"={kind}", numbers[k] if kind == "d" else int(numbers[k]))
            )[0]
            template.append(bits)
            # A number that the code takes as it is may vary; for some exponents NumPy has other functions.
            if kind == "d" and k not in exponents:
                self.slots.setdefault(k, []).append(1 + len(pointers) + position)
            else:
                self.fixed.add(k)
        if len(template) > guard.MOST_WORDS or len(plan.outputs) > guard.MOST_RESULTS:
            raise Irregular
        if shifts and len(fixed) > guard.MOST_FIXED:
            raise Irregular
        array = np.array(template, np.int64)
        self.kept.append(array)
        words = self.words
        words[guard.WORDS], words[guard.WORDS_AT] = len(template), array.ctypes.data
        self._put(guard.FILLS, guard.FILLS_AT, fills)
        self._put(guard.FRESH, guard.FRESH_AT, fresh)
        self._put(guard.SHIFTS, guard.SHIFTS_AT, shifts)
        words[guard.FIXED] = len(fixed)
        words[guard.EMPTY] = self._of(np.empty)
        words[guard.CODE] = code.address
        words[guard.LONG] = max(plan.size, plan.work // 4) >= _LONG
        words[guard.REPORTED] = native.bits_of(DIVIDE | OVER | INVALID)
        self.first_old = 1 + len(plan.outputs)

    def _set_checks(self, plan: Plan) -> None:
        rows: list[tuple[int, ...]] = []
        program = self.program
        numbers = {place: name for name, place in enumerate(self.places)}
        whole = {base: leaf for leaf, base in program.whole.items()}
        for place, value in enumerate(self.given):
            k = numbers.get(place, -1)
            if k < 0 or not program.uses[k]:
                rows.append((guard.IS_ANY, 0, 0, 0, 0))  # a chain passes by
                continue
            leaf = whole.get(k, -1)
            direct = leaf in plan.number_leaves
            if k in self.moving.names:
                rows.append((guard.IS_MOVING, self._of(int), self.ints.index(k), 0, 0))
            elif (
                not direct
                and leaf in plan.computed_with
                and leaf not in program.exponents
                and program.uses[k] == 1
            ):
                rows.append(self._check_kind(value))
            else:
                free = direct and program.uses[k] == 1 and leaf not in plan.computed_with
                rows.append(self._check(plan, value, plan.number_leaves.index(leaf) if free else -1))
        self._put(guard.NAMES, guard.CHECKS, rows)

    def _check_kind(self, value: Any) -> tuple[int, ...]:
        """The check of a value of which only the kind matters."""
        if type(value) in (int, float, np.float64):
            return guard.IS_TYPE, self._of(type(value)), 0, 0, 0
        return self._check_fixed(value)

    def _check(self, plan: Plan, value: Any, k: int) -> tuple[int, ...]:
        """The check of a value that is the plan's number `k`, or none of them; it may vary if the code lets it."""
        kind = type(value)
        slots = self.slots.get(k, [])
        if len(slots) != 1 or k in self.fixed:
            return self._check_fixed(value)
        doubles = all(each == np.float64 for each in plan.operand_dtypes)
        if kind is float or kind is np.float64:
            small = abs(value) <= 65500 or value != value
            if not doubles and not small:
                raise Irregular
            return guard.IS_FLOAT if doubles else guard.IS_SMALL_FLOAT, self._of(kind), slots[0], 0, 0
        if kind is int and doubles and all(out.dtype == np.float64 for out in plan.outputs):
            return guard.IS_INT, self._of(int), slots[0], 0, 0
        return self._check_fixed(value)

    def _check_fixed(self, value: Any) -> tuple[int, ...]:
        """The check of an array, or of a number that must be what it is."""
        kind = type(value)
        if kind is np.ndarray:
            geometry = np.array([*value.shape, *value.strides, 0], np.int64)
            self.kept.append(geometry)
            flags = value.flags.num & 0x500
            return guard.IS_ARRAY, self._of(value.dtype), value.ndim, geometry.ctypes.data, flags
        if kind is float or kind is np.float64:
            bits = struct.unpack("=q", struct.pack("=d", value))[0]
            return guard.IS_THIS_FLOAT, self._of(kind), bits, 0, 0
        if kind is int and value.bit_length() <= 62:
            return guard.IS_THIS_INT, self._of(int), value, 0, 0
        if value is None or kind is bool:
            return guard.IS_THIS, self._of(value), 0, 0, 0
        raise Irregular

    def _set_first(self, plan: Plan, arrays: list[Any], numbers: list[Any]) -> None:
        """What is computed first, and the checks of that."""
        if not self.made:
            return
        ids = [plan.operand_leaves[k] if where == "x" else plan.number_leaves[k] for where, k in self.made]
        function = _first(plan, ids, len(self.given), tuple(self.places[self.program.names :]))
        rows = [
            self._check_fixed(arrays[k]) if where == "x" else self._check(plan, numbers[k], k)
            for where, k in self.made
        ]
        self.words[guard.FIRST] = self._of(function)
        self._put(guard.ITEMS, guard.ITEM_CHECKS, rows)

    def _set_apart(self, plan: Plan, leaves: tuple[Any, ...]) -> None:
        rows = []
        apart = plan.apart(leaves)
        share = touch if plan.is_touchy else np.may_share_memory
        for k, out in enumerate(plan.outputs):
            if out.leaf < 0:
                continue
            target, mine = out.leaf, self.moving.place(out.leaf).offset.moves()
            before = plan.program.results[out.result].before
            for other, array in enumerate(leaves):
                if other == target or type(array) is not np.ndarray:
                    continue
                theirs = self.moving.place(other).offset.moves()
                if self._base(target) == self._base(other):
                    # Of one array: where they are is part of the geometry, if they do not move past each other.
                    if mine == theirs or (k in apart and other in before):
                        continue
                if share(leaves[target], array):
                    raise Irregular
                row: list[int] = []
                for leaf, moves in ((target, mine), (other, theirs)):
                    start = _offset(leaves[leaf], self.names[self._base(leaf)]) - moves.at(self.names)
                    end = start + extent_of(leaves[leaf]) + plan.is_touchy
                    row += [self._place(leaf), start, end, *self._form(moves)]
                rows.append(tuple(row))
        self._put(guard.APART, guard.APART_AT, rows)

    def _set_results(self, plan: Plan, apart: set[int], over: list[Any]) -> None:
        results: list[tuple[Any, ...]] = []
        moves, back = [], []
        for k, out in enumerate(plan.outputs):
            if out.kind == "augment":
                results.append((2, self._of(DONE), 0))
                if k in apart:
                    moves.append((1 + k, self._place(out.leaf), self._key(out.leaf, Ellipsis)))
            elif out.leaf < 0 or k in apart:
                results.append((0, 1 + k, 0))
            else:
                results.append((1, self._place(out.leaf), self._key(out.leaf, None)))
        for number, (k, _) in enumerate(over):
            leaf = plan.outputs[k].leaf
            back.append((self.first_old + number, self._place(leaf), self._key(leaf, Ellipsis)))
        self._put(guard.RESULTS, guard.RESULTS_AT, results)
        self._put(guard.MOVES, guard.MOVES_AT, moves)
        self._put(guard.BACK, guard.BACK_AT, back)
        self.words[guard.MOVE] = self._of(np.copyto)


def _first(plan: Plan, ids: list[int], given: int, chains: tuple[int, ...]) -> Any:
    """A function of all values that the guard has, which gives some leaves and results of small operations."""
    words = {place: f"w{k}" for k, place in enumerate(chains)}
    arguments = ", ".join(words.get(k, f"v{k}" if k < plan.program.names else f"_{k}") for k in range(given))
    wanted = {each for each in ids if each >= 0} | plan.computed_with
    lines = [f"l{leaf} = {plan.program.leaves[leaf]}" for leaf in sorted(wanted)]
    lines += plan.small_lines
    if plan.small_lines and not plan.plain_numbers:
        # Not `with raising(ALL)` alone: a signal's handler may raise when that has just begun.
        lines = ["before = present()", "try:", " with raising(ALL):", *(f"  {line}" for line in lines)]
        lines += ["except BaseException:", " restore(before)", " raise"]
    lines.append(f"return ({''.join(f'{plan.small_names[each]}, ' for each in ids)})")
    text = f"def first({arguments}):\n" + "".join(f"  {line}\n" for line in lines)
    space = dict(FUNCTIONS) | {"raising": raising, "ALL": ALL, "present": present, "restore": restore}
    exec(compile(text, "<minpy block first>", "exec"), space)
    return space["first"]


def _offset(leaf: np.ndarray, base: np.ndarray) -> int:
    return leaf.__array_interface__["data"][0] - base.__array_interface__["data"][0]
