"""Blocks while a tape is open: one record each, with a reverse that is derived from the block and compiled as it is.

The forward run computes what NumPy does, bit for bit, into the target if there is one. The record keeps what the
reverse reads: slow functions' results are kept, everything else is computed again. The sweep adds to the cotangents of
all operands in one pass.
"""

from __future__ import annotations

import re
import sys
from typing import Any

import numpy as np

from minpy.runtime import cotangents, pull, record
from minpy.runtime.array import Array, host
from minpy.runtime.fuse.ir import NUMBERS, Irregular, Operation, Program, _attribute
from minpy.runtime.fuse.plan import FUNCTIONS
from minpy.runtime.fuse.state import checked_flags
from minpy.runtime.fuse.tapedplan import Plan
from minpy.runtime.geometry import covers
from minpy.runtime.record import open_tape
from minpy.runtime.storage import BORROWED, COTANGENT, HELD, NEEDED, OWN, SHARED

_KEPT = 128
_PATIENCE = 400  # looks
_BASE = re.compile(r"([vw])(\d+)(\[.*)?")
_new = object.__new__


class _Place:
    """Gives back what it is indexed with."""

    def __getitem__(self, index: Any) -> Any:
        return index


_place = _Place()


class _BLOCK:
    """What an error calls a block."""

    name = "a block"


class Taped:
    """A site's block, for when a tape is open."""

    def __init__(self, text: str, mode: str) -> None:
        self.mode = mode
        self.program = program = Program(text)
        self._waited = 0
        self.operations, self.result, self.target = _single(program)
        names = program.code.__code__.co_varnames
        # Of each leaf: the number of the name it is taken from, and what gives the index (None: the name itself).
        self._bases: list[tuple[int, Any] | None] = []
        for leaf in program.leaves:
            found = _BASE.fullmatch(leaf)
            if found is None:
                self._bases.append(None)
                continue
            number = names.index(found[1] + found[2])
            index = None
            if found[3]:
                index = eval(f"lambda place, {', '.join(names)}: place{found[3]}", {"__builtins__": {}})
            self._bases.append((number, index))
        self._used = {each for operation in self.operations for each in operation.operands if each >= 0}
        self._plans: dict[Any, Plan | None] = {}

    def run(self, values: tuple[Any, ...]) -> Any:
        """Compute the block and put it on the tape; its result, or None if no engine is ready yet.

        Raises
        ------
        Irregular, FloatingPointError
            It is to be run as written; nothing has happened that would show.
        """
        tape = open_tape.get()
        if tape is None or not tape.open or tape.put is None:
            raise Irregular
        for name in self.program.called:
            if getattr(np, name) is not FUNCTIONS[name]:
                raise Irregular  # replaced by somebody
        program = self.program
        for start, attributes in program.chains:
            value = values[start]
            for attribute in attributes:
                value = _attribute(value, attribute)
            values = (*values, value)
        names = [_plain(value, tape) if type(value) is Array else value for value in values]
        kinds = tuple(map(type, names))
        allowed = program._allowed.get(kinds)
        if allowed is None:
            if len(program._allowed) > 100:
                program._allowed.clear()
            allowed = program._allowed[kinds] = program._may_evaluate(kinds)
        if not allowed:
            raise Irregular
        leaves = program.code(*names)
        key, active = [], []
        for i, leaf in enumerate(leaves):
            base = self._bases[i]
            if type(leaf) is np.ndarray:
                value = values[base[0]] if base is not None else None
                moves = type(value) is Array and i in self._used and _tape_of(value) is not None
                if moves:
                    active.append(i)
                key.append((leaf.dtype, leaf.shape, leaf.strides, moves))
            else:
                if (
                    base is not None
                    and type(values[base[0]]) is Array
                    and _tape_of(values[base[0]]) is not None
                ):
                    raise Irregular  # a number that is differentiated
                key.append(_kind(leaf))
        if not active:
            raise Irregular
        plan = self._plan(tuple(key), leaves, tuple(active))
        if plan is None:
            raise Irregular
        return self._record(tape, plan, values, names, leaves, active)

    def waits(self) -> bool:
        """Whether the block is to be looked at again and again until an engine is ready."""
        self._waited += 1
        return self._waited < _PATIENCE

    def _plan(self, key: Any, leaves: tuple[Any, ...], active: tuple[int, ...]) -> Plan | None:
        try:
            plan = self._plans[key]
        except KeyError:
            if len(self._plans) >= _KEPT:
                self._plans.clear()
            plan = None
            try:
                plan = Plan(self.operations, self.program.leaves, self.result, leaves, active, self.mode)
            except Irregular:
                pass
            self._plans[key] = plan
        return plan

    def _record(self, tape: Any, plan: Plan, values: Any, names: Any, leaves: Any, active: list[int]) -> Any:
        arrays = [leaves[i] for i in plan.arrays]
        numbers = plan.numbers_of(*leaves)
        for number in numbers:
            _check_number(number)
        flags = checked_flags()
        forward = plan.forward()
        if forward is None:
            return None
        target = None if self.target is None else self._goal(tape, plan, values, names, leaves)
        old = None
        for k in plan.read:
            base = self._bases[plan.arrays[k]]
            value = None if base is None else values[base[0]]
            if type(value) is Array:
                _cell(value)[NEEDED] = True
        if target is not None:
            held = target.storage.cell
            if plan.reads_result:
                held[NEEDED] = True
            if held[NEEDED] or tape.replays:
                old = target.window.copy()
        window = np.empty(plan.shape, plan.dtype) if target is None else target.window
        saved = [np.empty(plan.shape, plan.dtype) for _ in range(plan.keeps)]
        try:
            plan.run_forward(forward, arrays, numbers, [window, *saved], flags)
        except BaseException:
            if old is not None:
                window[...] = old
            raise
        if target is None:
            result = _new(Array)
            result.window, result.scalar, result._storage = window, False, None
            result.tape, result.cell = tape, [None, BORROWED, plan.reads_result, False]
            cell = result.cell
        else:
            result, storage = target, target.storage
            storage.tape = tape
            tape.note_write(storage)
            cell = storage.cell
        if plan.reads_result:
            saved.insert(plan.place_of_result, window)
        handles = [self._handle(plan, values, names, leaves, i) for i in active]
        contents = tuple([each if k in plan.read else None for k, each in enumerate(arrays)])
        at = record.user_frame(sys._getframe(2))
        tape.put.append(
            (
                pull_block, cell, target, old, plan, (contents, tuple(saved), tuple(numbers)), *handles,
                _BLOCK, at.f_code, at.f_lasti,
            )
        )  # fmt: skip
        return result

    def _handle(self, plan: Plan, values: Any, names: Any, leaves: Any, i: int) -> Any:
        """Where the cotangent of a leaf goes: a cell if it is the whole of its storage, else an `Array`."""
        base = self._bases[i]
        assert base is not None
        value, index = values[base[0]], base[1]
        if index is None:
            held = value._storage
            whole = held is None or value.window is held.host
            return _cell(value) if whole and value.window.shape == plan.shape else value
        return _view(value, leaves[i], index(_place, *names))

    def _goal(self, tape: Any, plan: Plan, values: Any, names: Any, leaves: Any) -> Array | None:
        """The `Array` that is stored into, if the result may be computed there."""
        base, window = self._bases[self.target], leaves[self.target]
        value = None if base is None else values[base[0]]
        if type(value) is not Array or base[1] is None or type(window) is not np.ndarray:
            return None
        storage = value.storage
        if (
            storage.tape not in (None, tape)
            or window.shape != plan.shape
            or window.dtype != plan.dtype
            or not window.flags.writeable
            or not window.flags.aligned
            or any(stride <= 0 for stride in window.strides)
            or any(np.may_share_memory(window, leaves[i]) for i in plan.arrays)
        ):
            return None
        goal = _view(value, window, base[1](_place, *names))
        return goal if goal.path is not None else None


def _single(program: Program) -> tuple[list[Operation], int, int | None]:
    """The operations of a block of one result, which of them gives it, and the leaf that is stored into.

    Of ``target += value`` it is the value: the tape has a record for the rest.
    """
    if len(program.results) != 1:
        raise Irregular("more than one result")
    (result,) = program.results
    if result.kind == "value":
        return program.operations, result.value, None
    if result.kind == "store":
        return program.operations, result.value, result.leaf
    value = program.operations[-1].operands[1]
    if value >= 0:
        raise Irregular("nothing but the statement itself")
    return program.operations[:-1], value, None


def _plain(value: Array, tape: Any) -> Any:
    """The contents of an `Array` on the host, under this tape or none."""
    storage = value._storage
    source = value.tape if storage is None else storage.tape
    if (
        value.scalar
        or (source is not None and source is not tape)
        or (storage is not None and storage.remote is not None)
    ):
        raise Irregular
    return value.window


def _tape_of(value: Array) -> Any:
    storage = value._storage
    return value.tape if storage is None else storage.tape


def _cell(value: Array) -> Any:
    storage = value._storage
    return value.cell if storage is None else storage.cell


def _view(value: Array, window: np.ndarray, index: Any) -> Array:
    """``value[index]``, which is known to be `window`."""
    storage = value.storage
    path: Any = () if value.window is storage.host else value.path
    return Array(window, storage, False, None if path is None else (*path, index))


def _kind(leaf: Any) -> Any:
    """What dtypes depend on."""
    kind = type(leaf)
    if kind not in NUMBERS or isinstance(leaf, complex):
        raise Irregular
    _check_number(leaf)
    return kind


def _check_number(value: Any) -> None:
    """A number must be one that NumPy, too, takes as any other of its kind, and that is exact as a double."""
    if not (-1e30 < value < 1e30) or (isinstance(value, (int, np.integer)) and abs(int(value)) > 1 << 53):
        raise Irregular


# ----- the sweep ----------------------------------------------------------------------------------


def pull_block(tape: Any, entry: tuple) -> None:
    """The reverse of a block, and of the write of its result into a target."""
    _, cell, target, old, plan, kept, *handles = entry[:-3]
    g = cell[COTANGENT]
    if target is not None:
        tape.touched.add(target.storage)
    if g is not None:
        region = None
        if target is None:
            cell[COTANGENT] = None
        elif covers(target.window, target.storage.host) or any(
            type(handle) is not list and handle.storage is target.storage for handle in handles
        ):
            g = cotangents.cut(target, None)
        else:
            g = region = cotangents.region(target)
        if type(g) is not np.ndarray:
            g = host(g)
        try:
            _reverse(tape, plan, handles, g, kept)
        except Exception as error:
            raise record.failure(entry, None, g, error) from error
        if region is not None:
            region[...] = 0
    if target is not None:
        pull._restore(tape, target, old)


def _reverse(tape: Any, plan: Plan, handles: list[Any], g: np.ndarray, kept: tuple) -> None:
    outs: list[np.ndarray] = []
    adds: list[bool] = []
    after: list[tuple[Any, np.ndarray]] = []
    cells = [handle if type(handle) is list else handle.storage.cell for handle in handles]
    for handle, cell in zip(handles, cells, strict=True):
        out = None
        if type(handle) is list or covers(handle.window, handle.storage.host):
            # Whole: the first cotangent to arrive is written, unless another part of the same buffer is added to.
            fits = type(handle) is list or handle.window.shape == plan.shape
            have = cell[COTANGENT]
            if fits and sum(each is cell for each in cells) == 1:
                if have is None:
                    out = cell[COTANGENT] = np.empty(plan.shape, plan.dtype)
                    cell[HELD] = OWN
                    adds.append(False)
                elif cell[HELD] > 0 and type(have) is np.ndarray and have.dtype == plan.dtype:
                    out = have
                    adds.append(True)
        elif handle.window.shape == plan.shape and handle.path is not None and not cell[SHARED]:
            storage = handle.storage
            if storage.host.dtype == plan.dtype and handle.window.dtype == plan.dtype:
                cotangents._own(storage, like=g)
                part = cotangents._region(handle)
                if type(part) is np.ndarray:
                    out = part
                    adds.append(True)
        if type(handle) is not list:
            tape.touched.add(handle.storage)
        if out is None:
            out = np.empty(plan.shape, plan.dtype)
            adds.append(False)
            after.append((handle, out))
        outs.append(out)
    if any(np.may_share_memory(g, out) for out in outs):
        g = g.copy()
    plan.run_reverse(g, kept, outs, tuple(adds))
    for handle, out in after:
        if type(handle) is list:
            pull.give(tape, handle, out, g, OWN)
        else:
            cotangents.accumulate(tape, handle, out, tape.touched, OWN)
