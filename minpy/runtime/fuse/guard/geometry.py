"""What one geometry of a block is, laid out in the words that the guard compares with."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from minpy.runtime import entry
from minpy.runtime.fuse import native, sites
from minpy.runtime.fuse.guard import layout
from minpy.runtime.fuse.ir import Irregular
from minpy.runtime.fuse.layout import extent_of, touch
from minpy.runtime.fuse.moving import Cut, Form, Moving
from minpy.runtime.fuse.state import DIVIDE, INVALID, OVER, raising_lines
from minpy.runtime.fuse.steps import DONE, FUNCTIONS

if TYPE_CHECKING:
    from minpy.runtime.fuse.plan import Plan

_LONG = 30_000  # elements from which other threads may run meanwhile


class Geometry:
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
        if len(self.ints) > layout.MOST_NUMBERS:
            raise Irregular
        self.keys: list[tuple[int, ...]] = []
        # What is computed first, or taken out of an array: of the plan's arrays, by their order, and of its numbers.
        self.made = [("x", k) for k, each in enumerate(plan.operand_leaves) if each < 0]
        self.made += [
            ("s", k)
            for k, each in enumerate(plan.number_leaves)
            if each < 0 or (each in program.bases and each not in program.whole)
        ]
        if len(self.given) + len(self.made) > layout.MOST_VALUES:
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
        # Up to so many elements no device in use would get the block: who else is active has it looked at.
        few = all(each.size <= sites.left_alone for each in names if type(each) is np.ndarray)
        same = [(vars(entry), "watchers" if few else "holders", 0)]
        same += [(vars(np), name, FUNCTIONS[name]) for name in program.called]
        if plan.is_rolled:
            same.append((vars(np), "roll", FUNCTIONS["roll"]))
        self._put(layout.SAME, layout.SAME_AT, [tuple(map(self._of, each)) for each in same])
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
            return [layout.PART_NUMBER, 0, *self._form(part), 0, *none]
        if isinstance(part, Cut):
            ends: list[int] = []
            for each in (part.lower, part.upper):
                ends += none if each is None else [*self._form(each), 0]
            return [layout.PART_SLICE, self._of(part.step), *ends]
        return [layout.PART_CONSTANT, self._of(part), *none, *none]

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
        self.keys.append((layout.ONLY if parts is None else len(parts), rows.ctypes.data))
        if len(self.keys) > layout.MOST_KEYS:
            raise Irregular
        return len(self.keys)

    def _set_moves(self) -> None:
        rows = [(*self._form(each.form), each.low, each.high) for each in self.moving.limits()]
        self._put(layout.LIMITS, layout.LIMITS_AT, rows)
        self._put(layout.KEYS, layout.KEYS_AT, self.keys)

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
        self._put(layout.PARTS, layout.PARTS_AT, [(each.ctypes.data,) for each in others])
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
        if len(template) > layout.MOST_WORDS or len(plan.outputs) > layout.MOST_RESULTS:
            raise Irregular
        if shifts and len(fixed) > layout.MOST_FIXED:
            raise Irregular
        array = np.array(template, np.int64)
        self.kept.append(array)
        words = self.words
        words[layout.WORDS], words[layout.WORDS_AT] = len(template), array.ctypes.data
        self._put(layout.FILLS, layout.FILLS_AT, fills)
        self._put(layout.FRESH, layout.FRESH_AT, fresh)
        self._put(layout.SHIFTS, layout.SHIFTS_AT, shifts)
        words[layout.FIXED] = len(fixed)
        words[layout.EMPTY] = self._of(np.empty)
        words[layout.CODE] = code.address
        words[layout.LONG] = max(plan.size, plan.work // 4) >= _LONG
        words[layout.REPORTED] = native.bits_of(DIVIDE | OVER | INVALID)
        self.first_old = 1 + len(plan.outputs)

    def _set_checks(self, plan: Plan) -> None:
        rows: list[tuple[int, ...]] = []
        program = self.program
        numbers = {place: name for name, place in enumerate(self.places)}
        whole = {base: leaf for leaf, base in program.whole.items()}
        for place, value in enumerate(self.given):
            k = numbers.get(place, -1)
            if k < 0 or not program.uses[k]:
                rows.append((layout.IS_ANY, 0, 0, 0, 0))  # a chain passes by
                continue
            leaf = whole.get(k, -1)
            direct = leaf in plan.number_leaves
            if k in self.moving.names:
                rows.append((layout.IS_MOVING, self._of(int), self.ints.index(k), 0, 0))
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
        self._put(layout.NAMES, layout.CHECKS, rows)

    def _check_kind(self, value: Any) -> tuple[int, ...]:
        """The check of a value of which only the kind matters."""
        if type(value) in (int, float, np.float64):
            return layout.IS_TYPE, self._of(type(value)), 0, 0, 0
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
            return layout.IS_FLOAT if doubles else layout.IS_SMALL_FLOAT, self._of(kind), slots[0], 0, 0
        if kind is int and doubles and all(out.dtype == np.float64 for out in plan.outputs):
            return layout.IS_INT, self._of(int), slots[0], 0, 0
        return self._check_fixed(value)

    def _check_fixed(self, value: Any) -> tuple[int, ...]:
        """The check of an array, or of a number that must be what it is."""
        kind = type(value)
        if kind is np.ndarray:
            geometry = np.array([*value.shape, *value.strides, 0], np.int64)
            self.kept.append(geometry)
            flags = value.flags.num & 0x500
            return layout.IS_ARRAY, self._of(value.dtype), value.ndim, geometry.ctypes.data, flags
        if kind is float or kind is np.float64:
            bits = struct.unpack("=q", struct.pack("=d", value))[0]
            return layout.IS_THIS_FLOAT, self._of(kind), bits, 0, 0
        if kind is int and value.bit_length() <= 62:
            return layout.IS_THIS_INT, self._of(int), value, 0, 0
        if value is None or kind is bool:
            return layout.IS_THIS, self._of(value), 0, 0, 0
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
        self.words[layout.FIRST] = self._of(function)
        self._put(layout.ITEMS, layout.ITEM_CHECKS, rows)

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
        self._put(layout.APART, layout.APART_AT, rows)

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
        self._put(layout.RESULTS, layout.RESULTS_AT, results)
        self._put(layout.MOVES, layout.MOVES_AT, moves)
        self._put(layout.BACK, layout.BACK_AT, back)
        self.words[layout.MOVE] = self._of(np.copyto)


def _first(plan: Plan, ids: list[int], given: int, chains: tuple[int, ...]) -> Any:
    """A function of all values that the guard has, which gives some leaves and results of small operations."""
    words = {place: f"w{k}" for k, place in enumerate(chains)}
    arguments = ", ".join(words.get(k, f"v{k}" if k < plan.program.names else f"_{k}") for k in range(given))
    wanted = {each for each in ids if each >= 0} | plan.computed_with
    lines = [f"l{leaf} = {plan.program.leaves[leaf]}" for leaf in sorted(wanted)]
    lines += plan.small_lines
    space = dict(FUNCTIONS)
    if plan.small_lines and not plan.plain_numbers:
        lines, names = raising_lines(lines)
        space |= names
    lines.append(f"return ({''.join(f'{plan.small_names[each]}, ' for each in ids)})")
    text = f"def first({arguments}):\n" + "".join(f"  {line}\n" for line in lines)
    exec(compile(text, "<minpy block first>", "exec"), space)
    return space["first"]


def _offset(leaf: np.ndarray, base: np.ndarray) -> int:
    return leaf.__array_interface__["data"][0] - base.__array_interface__["data"][0]
