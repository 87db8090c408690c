"""What a compiled block does with one row: loops over the elements, and NumPy's own loops where it calls them.

Without such calls a row is one loop. With them it goes in short pieces that stay in the first-level cache: a *stage*
is one loop over the elements of a piece, and the calls that follow it. What a later stage or a call wants of a stage
is kept in a buffer of the piece's length; what only its own stage wants never leaves the registers.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

import numpy as np

from minpy.records import dataclass
from minpy.runtime.fuse import streaming
from minpy.runtime.fuse.ufuncs import Loop, in_loops
from minpy.runtime.fuse.walk import Walk

if TYPE_CHECKING:
    from minpy.runtime.fuse.plan import Plan

DATA = 16  # where PyArrayObject has its data pointer
OUTER = 3  # axes outside the innermost one
FIXED, PACKED, STRIDED = 0, 1, 2  # how an operand moves along the last axis
PIECE = 512  # elements
_GAP = 8  # behind each: some of NumPy's loops are others where operand and result touch
_MOST_BUFFERS = 24
_FLOATS = {"d": "double", "f": "float"}


class Unfit(Exception):
    """The plan holds what is not compiled here."""


def type_of(dtype: np.dtype) -> str:
    """The type of a value in a register."""
    if dtype.kind == "f" and dtype.char in _FLOATS:
        return _FLOATS[dtype.char]
    if dtype.kind == "b":
        return "i1"
    if dtype.kind in "iu":
        return f"i{8 * dtype.itemsize}"
    raise Unfit(f"{dtype} is not compiled")


def stored(dtype: np.dtype) -> str:
    """The type of a value in memory."""
    return "i8" if dtype.kind == "b" else type_of(dtype)


@dataclass
class _Stage:
    """The lines of one loop over the elements, in the order in which they are wanted."""

    number: int
    loads: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    stores: list[str] = field(default_factory=list)
    leaves: set[int] = field(default_factory=set)  # operands that it loads
    taken: dict[int, str] = field(default_factory=dict)  # values of earlier stages, in its registers
    calls: list[_Call] = field(default_factory=list)
    # Values of which a condition takes some only: processors that compute with masks report nothing of the others. And
    # values of which nothing but a truth is wanted: LLVM knows that of a root without taking it (`sqrt(x) < 0`). So
    # they must be wanted for something else as well.
    computed_all: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class _Call:
    """A call of one of NumPy's loops: where its operands are, the step that it gives."""

    loop: Loop
    places: list[
        tuple[str, int]
    ]  # ``"x"`` an operand as it is, ``"k"`` a buffer, ``"s"`` a number of its own
    step: int


class Rows:
    """Writes what a plan's rows do; what an operation is, a subclass says: `_step`, `_number`, `_converted`.

    Parameters
    ----------
    in_place : tuple of (int, int)
        Results that are written over an operand: the numbers of result and operand. What was there before is kept
        in further arrays, one for each, behind the results.

    Attributes
    ----------
    numbers : list of (int, str)
        The numbers that the code takes: which of the plan's, ``"d"`` as a float or ``"q"`` as an integer.
    loops : list of Loop
        NumPy's loops that it calls.
    """

    def __init__(self, plan: Plan, in_place: tuple[tuple[int, int], ...]) -> None:
        self.plan, self.in_place = plan, in_place
        self.is_streamed = not in_place and streaming.is_large(plan)
        self.steps, places = in_loops(plan.steps)
        self._of_output = [places[each.step] for each in plan.outputs]
        self.numbers: list[tuple[int, str]] = []
        self.loops: list[Loop] = []
        over = {operand: result for result, operand in in_place}
        self.operands = [k for k in range(len(plan.operand_dtypes)) if k not in over]
        self._over = over  # of operands that are written over, the results
        self._count = 0
        self._declared: set[str] = set()
        self._called: dict[int, Loop] = {}
        self._home: list[int] = []  # of each step, the stage that computes it, or that its call follows
        self._values: list[str] = []
        self._buffers: dict[int, int] = {}  # of each step that is kept for the piece, its buffer
        self._lives: list[list[int]] = []  # of each buffer, the first and the last stage that knows it
        self._own: list[tuple[str, str]] = []  # numbers in memory, which calls take: type and value
        self._direct: dict[int, int] = {}  # buffers that are a result's own memory
        self._before: list[str] = []  # lines that stand before all loops
        for dtype in (*plan.operand_dtypes, *(each.dtype for each in plan.outputs)):
            type_of(dtype)
        self._settle_stages()
        self._stage = self.stages[0]
        for number, step in enumerate(self.steps):
            self._stage = self.stages[self._home[number]]
            if number in self._called:
                self._values.append("")
                self._call(number)
            else:
                self._values.append(self._step(step))
        self._settle_outputs()
        self._settle_buffers()

    def _settle_stages(self) -> None:
        for number, step in enumerate(self.steps):
            stage = 0
            for where, k in step.operands:
                if where == "t":
                    stage = max(stage, self._home[k] + (k in self._called))
            self._home.append(stage)
            loop = self._loop_for(step)
            if loop is not None:
                self._called[number] = loop
                if loop not in self.loops:
                    self.loops.append(loop)
        last = max(stage + (k in self._called) for k, stage in enumerate(self._home))
        self.stages = [_Stage(number) for number in range(last + 1)]

    # Values.

    def _new(self, text: str) -> str:
        self._count += 1
        self._stage.lines.append(f"  %c{self._count} = {text}\n")
        return f"%c{self._count}"

    def _operand(self, place: tuple[str, int], wanted: np.dtype) -> str:
        """The value of an operand, as a loop of `wanted` takes it."""
        where, k = place
        if where == "s":
            return self._number(k, wanted)
        if where == "t":
            return self._converted(self._result(k), self.steps[k].dtype, wanted)
        return self._converted(self._leaf(k), self.plan.operand_dtypes[k], wanted)

    def _result(self, step: int) -> str:
        """The value of a step, in the stage at hand."""
        if self._home[step] == self._stage.number and step not in self._called:
            return self._values[step]
        found = self._stage.taken.get(step)
        if found is None:
            dtype, buffer = self.steps[step].dtype, self._kept(step)
            number = self._stage.number
            self._use(buffer, number)
            self._count += 1
            found = f"%c{self._count}"
            lines = self._stage.loads
            lines.append(
                f"  %ka{self._count} = getelementptr inbounds {stored(dtype)}, ptr %k{buffer}, i64 %i{number}\n"
            )
            if dtype.kind == "b":
                lines.append(f"  %kv{self._count} = load i8, ptr %ka{self._count}, align 1\n")
                lines.append(f"  {found} = icmp ne i8 %kv{self._count}, 0\n")
            else:
                lines.append(
                    f"  {found} = load {stored(dtype)}, ptr %ka{self._count}, align {dtype.itemsize}\n"
                )
            self._stage.taken[step] = found
        return found

    def _kept(self, step: int) -> int:
        """The buffer of a step's value."""
        if step not in self._buffers:
            self._buffers[step] = self._new_buffer(self._home[step])
            if step not in self._called:
                self._keep(
                    self.stages[self._home[step]],
                    self._buffers[step],
                    self._values[step],
                    self.steps[step].dtype,
                )
        return self._buffers[step]

    def _new_buffer(self, stage: int) -> int:
        self._lives.append([stage, stage])
        return len(self._lives) - 1

    def _use(self, buffer: int, stage: int) -> None:
        life = self._lives[buffer]
        life[1] = max(life[1], stage)

    def _settle_buffers(self) -> None:
        """Let buffers that are not wanted at the same time be the same memory."""
        ends: list[int] = []
        self._memory: dict[int, int] = {}
        for buffer in sorted(range(len(self._lives)), key=lambda each: self._lives[each][0]):
            if buffer in self._direct:
                continue
            first, last = self._lives[buffer]
            place = next((k for k, end in enumerate(ends) if end < first), len(ends))
            ends[place : place + 1] = [last]
            self._memory[buffer] = place
        self._rooms = len(ends)
        if self._rooms > _MOST_BUFFERS:
            raise Unfit("too many values at once")

    def _keep(self, stage: _Stage, buffer: int, value: str, dtype: np.dtype) -> None:
        """Store a value into a buffer, in its stage."""
        kind = stored(dtype)
        stage.stores.append(
            f"  %ks{buffer} = getelementptr inbounds {kind}, ptr %k{buffer}, i64 %i{stage.number}\n"
        )
        if dtype.kind == "b":
            stage.stores.append(f"  %kz{buffer} = zext i1 {value} to i8\n")
            value = f"%kz{buffer}"
        stage.stores.append(f"  store {kind} {value}, ptr %ks{buffer}, align {dtype.itemsize}\n")

    def _leaf(self, k: int) -> str:
        """The value of an array operand, in the stage at hand."""
        place, _, dtype, moves = self._pointer_of(k)
        number = "" if moves == FIXED else self._stage.number
        if k not in self._stage.leaves:
            self._stage.leaves.add(k)
            if moves != FIXED:
                self._stage.loads += self._load(place, k, dtype, moves)
        return f"%e{k}_{number}"

    def _pointer_of(self, operand: int) -> tuple[int, str, np.dtype, int]:
        """Where an operand stands among the arrays of the code: its number, and as in `pointers`."""
        if operand in self._over:
            place = self._over[operand]
        else:
            place = len(self.plan.outputs) + len(self.in_place) + self.operands.index(operand)
        return place, *self.pointers()[place]

    # Calls.

    def _call(self, number: int) -> None:
        """Let a step be a call at the end of its stage."""
        step, loop, stage = self.steps[number], self._called[number], self._stage
        places: list[tuple[str, int]] = []
        for place, dtype in zip(step.operands, loop.takes, strict=True):
            where, k = place
            if where == "x" and self.plan.operand_dtypes[k] == dtype:
                places.append(("x", k))
                continue
            if where == "s":
                self._stage = _Stage(-1)
                self._own.append((stored(dtype), self._number(k, dtype)))
                self._before += self._stage.lines
                self._stage = stage
                places.append(("s", len(self._own) - 1))
                continue
            if where == "t" and self.steps[k].dtype == dtype:
                buffer = self._kept(k)
            else:
                value = self._operand(place, dtype)
                buffer = self._new_buffer(stage.number)
                self._keep(stage, buffer, value, dtype)
            self._use(buffer, stage.number)
            places.append(("k", buffer))
        stage.calls.append(_Call(loop, places, number))
        self._kept(number)

    # Results.

    def _settle_outputs(self) -> None:
        over = dict(self.in_place)
        for k, out in enumerate(self.plan.outputs):
            step = self._of_output[k]
            dtype = self.steps[step].dtype
            called, home = step in self._called, self._home[step]
            place, _, _, moves = k, *self.pointers()[k]
            if k not in over and called and moves == PACKED and dtype == out.dtype:
                if self._kept(step) not in self._direct:
                    self._direct[self._kept(step)] = k
                    continue
            # What is written over may be read until then.
            self._stage = stage = self.stages[-1 if k in over else home + called]
            value = self._converted(self._result(step), dtype, out.dtype)
            if k in over:
                operand = over[k]
                self._leaf(operand)
                old = len(self.plan.outputs) + [each for each, _ in self.in_place].index(k)
                stage.stores += self._address(old, out.dtype, PACKED)
                stage.stores.append(
                    f"  store {stored(out.dtype)} %m{operand}_{stage.number}, "
                    f"ptr %a{old}_{stage.number}, align {out.dtype.itemsize}\n"
                )
            else:
                stage.stores += self._address(place, out.dtype, moves)
            if out.dtype.kind == "b":
                stage.stores.append(f"  %z{k} = zext i1 {value} to i8\n")
                value = f"%z{k}"
            stage.stores.append(
                f"  store {stored(out.dtype)} {value}, ptr %a{place}_{stage.number}, align {out.dtype.itemsize}\n"
            )

    # The text.

    def pointers(self) -> list[tuple[str, np.dtype, int]]:
        """Of each array the code takes, in order: its role and dtype, and how it moves along the last axis.

        The results, what is kept of those that are overwritten, the operands.
        """
        plan = self.plan
        found = [("out", each.dtype, STRIDED if each.spread else PACKED) for each in plan.outputs]
        found += [("kept", plan.outputs[result].dtype, PACKED) for result, _ in self.in_place]
        found += [("in", plan.operand_dtypes[k], plan.moves[k]) for k in self.operands]
        return found

    def text(self) -> str:
        """The whole module."""
        for loop in self.loops:
            self._declared |= set(loop.declarations())
        return (
            f"{''.join(sorted(self._declared))}"
            "declare i32 @minpy_feclearexcept(i32)\ndeclare i32 @minpy_fetestexcept(i32)\n"
            f"define internal i64 @row({', '.join(self._parameters())}) noinline {{\n"
            f"{self._pieces() if self.loops else self._whole()}}}\n{self._streamed()}{self._kernel()}!0 = !{{}}\n"
        )

    def _streamed(self) -> str:
        """A function around ``@row`` for a result that is larger than caches."""
        if not self.is_streamed:
            return ""
        steps = [
            {FIXED: "0", PACKED: str(dtype.itemsize), STRIDED: f"%d{k}"}[moves]
            for k, (_, dtype, moves) in enumerate(self.pointers())
        ]
        return streaming.text(self._parameters(), steps, self.plan.outputs[0].dtype.itemsize)

    def _parameters(self) -> list[str]:
        rights = {"out": "writeonly", "kept": "writeonly", "in": "readonly"}
        read = set(dict(self.in_place)) | set(self._direct.values())
        # A call's operands are known to others from then on.
        given = set(self._direct.values()) | {
            self._pointer_of(k)[0]
            for stage in self.stages
            for call in stage.calls
            for where, k in call.places
            if where == "x"
        }
        found = []
        for k, (role, _, moves) in enumerate(self.pointers()):
            words = ["ptr noalias"]
            if k not in given:
                words.append("nocapture")
            if k not in read:
                words.append(rights[role])
            found.append(" ".join([*words, f"%p{k}"]))
            if moves == STRIDED:
                found.append(f"i64 %d{k}")
        found.append("i64 %n")
        if self.loops:
            found.append("ptr %status")
        return found + [f"{_slot(kind)} %s{k}" for k, (_, kind) in enumerate(self.numbers)]

    def _entry(self) -> str:
        """What stands before all loops: operands that do not move, numbers in memory."""
        fixed = {k for stage in self.stages for k in stage.leaves if self._pointer_of(k)[3] == FIXED}
        lines = []
        for k in sorted(fixed):
            place, _, dtype, moves = self._pointer_of(k)
            lines += self._load(place, k, dtype, moves)
        return "".join([*lines, *self._before])

    def _whole(self) -> str:
        """A row as one loop."""
        (stage,) = self.stages
        names = "".join(
            f"  %q{k} = getelementptr i8, ptr %p{k}, i64 0\n" for k in range(len(self.pointers()))
        )
        return (
            f"entry:\n{self._entry()}{names}  br label %b0\nb0:\n  br label %l0\n"
            f"{self._loop(stage, '0', '%n')}  br label %done\ndone:\n  ret i64 %seen0\n"
        )

    def _pieces(self) -> str:
        """A row in pieces: the stages one after the other, with the calls behind each."""
        lines = ["entry:\n", self._entry()]
        lines += [f"  %room{k} = alloca [{PIECE + _GAP} x i64], align 64\n" for k in range(self._rooms)]
        for k, (kind, value) in enumerate(self._own):
            lines.append(f"  %own{k} = alloca i64, align 8\n  store {kind} {value}, ptr %own{k}, align 8\n")
        most = max(len(loop.takes) + 1 for loop in self.loops)
        lines += [
            f"  %passed = alloca [{most} x ptr], align 8\n  %steps = alloca [{most} x i64], align 8\n",
            "  %length = alloca i64, align 8\n  br label %piece\npiece:\n",
            "  %first = phi i64 [0, %entry], [%after, %tail]\n",
            "  %before = phi i64 [0, %entry], [%seen, %tail]\n",
            f"  %left = sub i64 %n, %first\n  %some = icmp ult i64 %left, {PIECE}\n",
            f"  %count = select i1 %some, i64 %left, i64 {PIECE}\n  store i64 %count, ptr %length, align 8\n",
        ]
        for k, (_, dtype, moves) in enumerate(self.pointers()):
            step = {FIXED: "0", PACKED: str(dtype.itemsize), STRIDED: f"%d{k}"}[moves]
            lines.append(
                f"  %o{k} = mul i64 %first, {step}\n  %q{k} = getelementptr i8, ptr %p{k}, i64 %o{k}\n"
            )
        for buffer in range(len(self._lives)):
            memory = f"%q{self._direct[buffer]}" if buffer in self._direct else f"%room{self._memory[buffer]}"
            lines.append(f"  %k{buffer} = getelementptr i8, ptr {memory}, i64 0\n")
        lines.append("  br label %b0\n")
        seen = "%before"
        for stage in self.stages:
            number = stage.number
            lines.append(f"b{number}:\n")
            if stage.lines or stage.stores:
                lines += [f"  br label %l{number}\n", self._loop(stage, seen, "%count")]
                seen = f"%seen{number}"
                lines.append(f"  br label %calls{number}\ncalls{number}:\n")
            for call in stage.calls:
                lines += self._call_lines(call)
            lines.append(f"  br label %{f'b{number + 1}' if stage is not self.stages[-1] else 'tail'}\n")
        lines += [
            f"tail:\n  %seen = or i64 {seen}, 0\n  %after = add nuw nsw i64 %first, %count\n",
            "  %again = icmp ult i64 %after, %n\n  br i1 %again, label %piece, label %done\n",
            "done:\n  ret i64 %seen\n",
        ]
        return "".join(lines)

    def _loop(self, stage: _Stage, seen: str, count: str) -> str:
        """The loop of a stage; what follows begins where it is done, with ``%seen<number>``."""
        number = stage.number
        lines = [
            f"l{number}:\n  %i{number} = phi i64 [0, %b{number}], [%next{number}, %l{number}]\n",
            f"  %had{number} = phi i64 [{seen}, %b{number}], [%seen{number}, %l{number}]\n",
            *stage.loads,
            *stage.lines,
            *stage.stores,
        ]
        last = f"%had{number}"
        for k, (value, kind) in enumerate(stage.computed_all):
            name = f"%all{number}_{k}"
            lines.append(f"  {name}b = bitcast {kind} {value} to {'i64' if kind == 'double' else 'i32'}\n")
            bits = f"{name}b"
            if kind == "float":
                lines.append(f"  {name}w = zext i32 {bits} to i64\n")
                bits = f"{name}w"
            lines.append(f"  {name} = or i64 {last}, {bits}\n")
            last = name
        lines += [
            f"  %seen{number} = or i64 {last}, 0\n  %next{number} = add nuw nsw i64 %i{number}, 1\n",
            f"  %more{number} = icmp ult i64 %next{number}, {count}\n",
            f"  br i1 %more{number}, label %l{number}, label %e{number}\ne{number}:\n",
        ]
        return "".join(lines)

    def _call_lines(self, call: _Call) -> list[str]:
        """A call of one of NumPy's loops, which may forget what was to be reported before."""
        lines, name = [], f"t{call.step}"
        pointers = [*call.places, ("k", self._buffers[call.step])]
        dtypes = [*call.loop.takes, self.steps[call.step].dtype]
        for i, ((where, k), dtype) in enumerate(zip(pointers, dtypes, strict=True)):
            if where == "x":
                place, _, _, moves = self._pointer_of(k)
                value, step = f"%q{place}", {FIXED: "0", PACKED: str(dtype.itemsize)}.get(moves, f"%d{place}")
            elif where == "s":
                value, step = f"%own{k}", "0"
            else:
                value, step = f"%k{k}", str(dtype.itemsize)
            lines.append(f"  %{name}p{i} = getelementptr ptr, ptr %passed, i64 {i}\n")
            lines.append(f"  store ptr {value}, ptr %{name}p{i}, align 8\n")
            lines.append(f"  %{name}s{i} = getelementptr i64, ptr %steps, i64 {i}\n")
            lines.append(f"  store i64 {step}, ptr %{name}s{i}, align 8\n")
        lines += [
            f"  %{name}f = call i32 @minpy_fetestexcept(i32 61)\n  %{name}g = zext i32 %{name}f to i64\n",
            f"  %{name}h = load i64, ptr %status, align 8\n  %{name}j = or i64 %{name}g, %{name}h\n",
            f"  store i64 %{name}j, ptr %status, align 8\n",
            f"  call void @{call.loop.symbol}(ptr %passed, ptr %length, ptr %steps, ptr {call.loop.extra})\n",
        ]
        return lines

    def _address(self, k: int, dtype: np.dtype, moves: int) -> list[str]:
        """Lines that give ``%a``, where an element of an array is, in the stage at hand."""
        number = self._stage.number
        if moves == FIXED:
            return [f"  %a{k}_ = getelementptr i8, ptr %p{k}, i64 0\n"]
        if moves == PACKED:
            return [f"  %a{k}_{number} = getelementptr inbounds {stored(dtype)}, ptr %q{k}, i64 %i{number}\n"]
        return [
            f"  %b{k}_{number} = mul i64 %i{number}, %d{k}\n",
            f"  %a{k}_{number} = getelementptr i8, ptr %q{k}, i64 %b{k}_{number}\n",
        ]

    def _load(self, k: int, operand: int, dtype: np.dtype, moves: int) -> list[str]:
        """Lines that give ``%e`` (and ``%m``, as it is in memory) of an operand."""
        kind, number = stored(dtype), "" if moves == FIXED else self._stage.number
        mine = f"{operand}_{number}"
        lines = self._address(k, dtype, moves)
        lines.append(f"  %m{mine} = load {kind}, ptr %a{k}_{number}, align {dtype.itemsize}\n")
        if dtype.kind == "b":
            lines.append(f"  %e{mine} = icmp ne i8 %m{mine}, 0\n")
        else:
            lines.append(f"  %e{mine} = select i1 true, {kind} %m{mine}, {kind} %m{mine}\n")
        return lines

    def _kernel(self) -> str:
        """The function that walks the outer axes. `native.parts_of` says what it reads."""
        pointers = self.pointers()
        lines = ["define i64 @kernel(ptr %w) {", "entry:"]
        count = len(pointers)

        walk = Walk(lines, OUTER, DATA)
        walk.load(count, OUTER + 1)
        for k, (_, kind) in enumerate(self.numbers):
            walk.word(f"s{k}", 1 + count + k, _slot(kind))
        if self.loops:
            lines += ["  %status = alloca i64, align 8", "  store i64 0, ptr %status, align 8"]
        lines += ["  %c = call i32 @minpy_feclearexcept(i32 61)", "  br label %h0"]
        for axis in range(OUTER):
            walk.enter(axis, count, f"b{axis}")
            if axis < OUTER - 1:
                lines.append(f"  br label %h{axis + 1}")
        last = OUTER - 1
        arguments: list[str] = []
        for k, (_, _, moves) in enumerate(pointers):
            arguments.append(f"ptr %r{k}_{last}")
            if moves == STRIDED:
                arguments.append(f"i64 %d{k}_{OUTER}")
        arguments.append(f"i64 %n{OUTER}")
        if self.loops:
            arguments.append("ptr %status")
        arguments += [f"{_slot(kind)} %s{k}" for k, (_, kind) in enumerate(self.numbers)]
        function = "@streamed" if self.is_streamed else "@row"
        lines.append(f"  %seen = call i64 {function}({', '.join(arguments)})")
        if any(stage.computed_all for stage in self.stages):
            lines.append("  store i64 %seen, ptr %w, align 8")
        lines.append(f"  br label %b{last}")
        for axis in reversed(range(OUTER)):
            lines.append(f"b{axis}:")
            lines.append(f"  %j{axis} = add i64 %i{axis}, 1")
            lines.append(f"  %k{axis} = icmp ult i64 %j{axis}, %n{axis}")
            lines.append(f"  br i1 %k{axis}, label %h{axis}, label %{'b' + str(axis - 1) if axis else 'end'}")
        lines += ["end:", "  %f = call i32 @minpy_fetestexcept(i32 61)", "  %g = zext i32 %f to i64"]
        if self.loops:
            lines += ["  %u = load i64, ptr %status, align 8", "  %v = or i64 %g, %u"]
        lines += [f"  ret i64 {'%v' if self.loops else '%g'}", "}"]
        return "\n".join(lines) + "\n"


def _slot(kind: str) -> str:
    return "double" if kind == "d" else "i64"
