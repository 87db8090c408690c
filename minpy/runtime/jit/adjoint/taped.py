"""Runs a loop under a tape: compiled, with one record for all its rounds.

Arrays of MinPy's are handed over as the memory they look at, values on the tape as numbers. What was active, or has
become so, is put back on the tape behind the loop. In the sweep the record runs the backward loop on the cotangents, in
place; what that has put back is, with the rest of what the loop stored, as it was before the loop.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import numpy as np

from minpy.errors import GradientError
from minpy.runtime import cotangents, entry, stores
from minpy.runtime.array import Array, host
from minpy.runtime.jit import background, engine
from minpy.runtime.jit.adjoint import derive
from minpy.runtime.jit.adjoint.entered import Entry
from minpy.runtime.jit.adjoint.nodes import FLOAT
from minpy.runtime.jit.adjoint.program import Program
from minpy.runtime.jit.adjoint.rules import NUMPY
from minpy.runtime.jit.bind import MISSING, Snapshot
from minpy.runtime.jit.kernel import Kernel
from minpy.runtime.jit.kinds import Unsupported
from minpy.runtime.jit.names import Names
from minpy.runtime.jit.sites import is_quick
from minpy.runtime.pull import save
from minpy.runtime.record import current_tape, line_of
from minpy.runtime.storage import BORROWED, COTANGENT, NEEDED, PYTHON_SCALAR, Cell
from minpy.runtime.tape import Tape

_DOUBLE = np.dtype(np.float64)


def tape_here() -> Tape | None:
    """The tape that a loop may put its record on: the only thing that is active, alone, and swept once."""
    if entry.others or entry.checker is not None:
        return None
    tape = current_tape()
    return tape if type(tape) is Tape and tape.put is not None else None


class Variables:
    """Variables of a compiled loop that are in no frame; as `bind.Frame`."""

    def __init__(self, values: dict[str, Any], known: Callable[[str], Any], frame: Any = None) -> None:
        self.values, self._known = values, known
        self.changes: dict[str, Any] = {}
        self.frame = frame or SimpleNamespace(f_code=SimpleNamespace(co_filename=""), f_globals={})

    def get(self, name: str) -> Any:
        """What a name stands for, or `MISSING`."""
        if name in self.values:
            return self.values[name]
        if name == NUMPY:
            return np
        return self._known(name)

    get_global = get

    def is_stored_globally(self, name: str, stored: set[str]) -> bool:
        """As the frame's."""
        return False

    def put(self, changes: dict[str, Any]) -> None:
        """Assign variables."""
        self.changes |= changes
        self.values |= changes


class Compiled:
    """One of the two loops: its text, and the kernels that were made of it."""

    def __init__(self, name: str, text: str) -> None:
        self._name, self.text = name, text
        self.node: ast.For = ast.parse(text).body[0]  # type: ignore[assignment]
        self._names: Names | None = None
        self._kernels: dict[Any, list[Kernel]] = {}
        self._spent = 0.0
        self.pushes = {
            i for i, line in enumerate(text.split("\n"), 1)
            if line.lstrip().startswith((f"{derive.FLOATS}[", f"{derive.INTS}["))
        }  # fmt: skip

    def run(self, variables: Variables, over: range, first: int, last: int) -> Any:
        """Run rounds; as `Kernel.run`. Raises `Unsupported`."""
        if self._names is None:
            self._names = Names(self.node, self.text)
        snapshot = Snapshot(variables, self._names, over)  # type: ignore[arg-type]
        kernel = self._kernel(snapshot)
        if not kernel.is_ready or not kernel.can_run(snapshot):
            raise Unsupported("it cannot be run")
        began = perf_counter()
        outcome = kernel.run(variables, snapshot, first, last)  # type: ignore[arg-type]
        self._improve(kernel, perf_counter() - began)
        return outcome

    def _kernel(self, snapshot: Snapshot) -> Kernel:
        known = self._kernels.setdefault(snapshot.key, [])
        for kernel in known:
            if kernel.fits(snapshot):
                return kernel
        try:
            kernel = Kernel(self.node, f"{self._name}\n{self.text}", snapshot, quickly=is_quick())
        except engine.CompileError as error:
            raise Unsupported(f"the compiler refused it: {error}") from error
        known.append(kernel)
        return kernel

    def _improve(self, kernel: Kernel, took: float) -> None:
        """Make the code again, for speed, once it has run for as long as that takes."""
        self._spent += took
        if not kernel.is_quick or self._spent < kernel.takes or kernel.is_early(self._spent):
            return
        try:
            kernel.improve()
        except (background.Pending, engine.CompileError):
            pass


class Loops:
    """A loop of the program, for one kind of what it meets: the forward and the backward one."""

    def __init__(self, name: str, program: Program) -> None:
        self.pair = pair = derive.derive(program)
        self.program = program
        program.forget()
        self.forward = Compiled(name, pair.forward)
        self.backward = Compiled(name, pair.backward)
        self.code = compile(pair.backward.replace("range(0)", derive.OVER, 1), "<a loop, backward>", "exec")
        self.functions: dict[str, Any] = {}  # what the backward loop calls

    def known(self, name: str) -> Any:
        """What a name stands for that is no variable."""
        return self.functions.get(name, getattr(builtins, name, MISSING))


class Run:
    """Some rounds of a loop that ran compiled: what the sweep needs of them.

    The arrays are not here but in the record, where those who look for references to an array find them.
    """

    def __init__(self, loops: Loops, over: range) -> None:
        self.loops, self.over = loops, over
        self.final: dict[str, Any] = {}  # variables behind the loop, and the stacks
        self.old: list[tuple[str, np.ndarray]] = []  # of arrays, what the backward loop does not put back
        self.written: list[str] = []  # arrays of which something is put back
        self.results: dict[str, Cell] = {}  # of variables behind the loop
        self.inputs: dict[str, Array] = {}  # variables before it

    def pull(self, tape: Tape, arrays: dict[str, Any]) -> None:
        """The part of the sweep."""
        values = dict(self.final)
        for name, array in arrays.items():
            values[name] = array.window if type(array) is Array else array
        for name in self.written:
            save(tape, arrays[name])
        for name in self.loops.pair.cotangents:
            values[derive.COTANGENT + name] = self._cotangent(tape, name, arrays.get(name))
        self._backward(values)
        for name, old in self.old:
            arrays[name].window[...] = old
        for name, operand in self.inputs.items():
            g = values[derive.COTANGENT + name]
            cotangents.accumulate(tape, operand, np.asarray(g, operand.dtype), tape.touched)

    def _cotangent(self, tape: Tape, name: str, operand: Any) -> Any:
        if type(operand) is Array:
            tape.touched.add(operand.storage)
            return cotangents.region(operand)
        cell = self.results.get(name)
        if cell is None:
            return np.float64(0.0)
        g, cell[COTANGENT] = cell[COTANGENT], None
        return np.float64(0.0 if g is None else host(g))

    def _backward(self, values: dict[str, Any]) -> None:
        over, position = self.over[::-1], 0
        variables = Variables(values, self.loops.known)
        try:
            while position < len(over):
                outcome = self.loops.backward.run(variables, over, position, len(over))
                position = outcome.position
                if outcome.reason is not None:
                    break
        except Unsupported:
            pass
        if position < len(over):
            # What the compiled loop leaves to Python: a number that overflows, say.
            names = {derive.OVER: over[position:], NUMPY: np, **self.loops.functions, **values}
            exec(self.loops.code, names)
            values |= {name: names[name] for name in values}


class _LOOP:
    """What an error calls a loop."""

    name = "a loop"


def pull_loop(tape: Tape, record: tuple) -> None:
    """The sweep comes to the rounds of a loop."""
    record[2].pull(tape, record[3])


def pull_interrupted(tape: Tape, record: tuple) -> None:
    """The sweep comes to a loop that an exception from outside has ended somewhere."""
    raise GradientError(
        "a loop ran compiled when a signal's handler raised an exception, so that what it had computed is not known, "
        f"at {line_of(*record[-2:])}. Let the exception end the function that is differentiated, or use --no-jit"
    )


class Forward:
    """One attempt to run a loop compiled from a position on."""

    def __init__(self, loops: Loops, entered: Entry, tape: Tape, frame: Any, live: set[str]) -> None:
        self._loops, self._entered, self._tape, self._frame = loops, entered, tape, frame
        pair = loops.pair
        self._arrays = {
            name: entered.arrays[name] for name in entered.arrays if entered.arrays[name].window.ndim
        } | entered.plain
        for name in map(self._named, pair.put):
            if name in entered.plain:
                view = entered.plain[name].view()
                self._arrays[name] = Array(view, stores.storage_of(view))
        self._unbound = {}
        for name in pair.restored & pair.assigned:
            if entered.look(name) is None:
                if name in live:
                    raise Unsupported(f"{name} has no value yet")
                self._unbound[name] = np.float64(0.0) if pair.kinds[name] == FLOAT else 0

    def run(
        self, over: range, first: int, last: int, floats: int, integers: int
    ) -> tuple[int, bool, Any, tuple]:
        """Run rounds, put them on the tape, and set the frame's variables.

        Returns the position that was come to, whether the loop was left, why it stopped, and how much is on the stacks.
        """
        pair, entered = self._loops.pair, self._entered
        run = Run(self._loops, over)
        for name in sorted(pair.put - pair.restored):
            array = self._arrays[self._named(name)]
            if array.storage.cell[NEEDED] or self._tape.replays or self._named(name) in entered.plain:
                run.old.append((name, array.window.copy()))
        variables = Variables(self._values(floats, integers), entered.known, self._frame)
        try:
            outcome = self._loops.forward.run(variables, over, first, last)
        except Unsupported:
            raise
        except BaseException:
            self._interrupted(variables)
            raise
        values = variables.values
        done = int(values[derive.ROUNDS]) if pair.counts else outcome.position - first
        tops = int(values[derive.FLOATS_TOP]), int(values[derive.INTS_TOP])
        if done:
            run.over = over[first : first + done]
            run.final = {name: values[name] for name in pair.reads | pair.restored if name in values}
            run.final |= {derive.FLOATS_TOP: tops[0], derive.INTS_TOP: tops[1]}
            run.final[derive.FLOATS] = _used(values[derive.FLOATS], tops[0])
            run.final[derive.INTS] = _used(values[derive.INTS], tops[1])
            self._record(run, variables)
        return first + done, outcome.broke, outcome.reason, tops

    def _named(self, name: str) -> str:
        """What the program calls an array of the loop's (``held.a``)."""
        return self._loops.pair.renamed.get(name, name)

    def _interrupted(self, variables: Variables) -> None:
        """A signal's handler raised: what was done is not known as a whole, and must not be differentiated."""
        frame = self._frame
        record = (
            pull_interrupted,
            [None, BORROWED, False, False],
            None,
            None,
            _LOOP,
            frame.f_code,
            frame.f_lasti,
        )
        self._tape.records.append(record)
        self._entered.put(
            {name: value for name, value in variables.changes.items() if not name.startswith(derive.PREFIX)}
        )

    def _values(self, floats: int, integers: int) -> dict[str, Any]:
        pair, entered = self._loops.pair, self._entered
        values = entered.values
        for name, dotted in pair.renamed.items():
            entered.look(dotted)
            values[name] = entered.values[dotted]
        values = values | self._unbound
        for name in pair.flags:
            kind = entered.look(name)
            active = kind is not None and kind.active
            values[derive.WAS_SET + name] = derive.TRACED_AT_FIRST if active else derive.NOT_SET
        values |= {derive.FLOATS_TOP: 0, derive.INTS_TOP: 0, derive.ROUNDS: 0}
        values[derive.FLOATS] = np.empty(floats)
        values[derive.INTS] = np.empty(integers, np.int64)
        return values

    def _record(self, run: Run, variables: Variables) -> None:
        """Put the rounds on the tape, and set the frame's variables."""
        pair, tape, arrays = self._loops.pair, self._tape, self._arrays
        for name in sorted(pair.put):
            storage = arrays[self._named(name)].storage
            tape.note_write(storage)
            if name in pair.active and (name not in pair.flags or variables.values[derive.WAS_SET + name]):
                storage.tape = tape
        kept = [name for name, _ in run.old]
        run.written = [*kept, *sorted(pair.put & pair.restored)]
        for name in pair.reads | pair.restored:
            array = arrays.get(self._named(name))
            if type(array) is Array:
                array.storage.cell[NEEDED] = True
        changes = self._changes(run, variables)
        used = pair.reads | pair.restored | pair.cotangents | set(kept)
        held = {name: arrays[dotted] for name in used if (dotted := self._named(name)) in arrays}
        run.inputs = {
            name: array
            for name in pair.cotangents
            if (array := self._entered.arrays.get(self._named(name))) is not None
            and not array.window.ndim
            and name not in held
        }
        cells = run.results.values()
        frame = self._frame
        record = (
            pull_loop,
            [None, BORROWED, False, False],
            run,
            held,
            *cells,
            _LOOP,
            frame.f_code,
            frame.f_lasti,
        )
        tape.records.append(record)
        self._entered.put(changes)

    def _changes(self, run: Run, variables: Variables) -> dict[str, Any]:
        pair, changes = self._loops.pair, {}
        for name, value in variables.changes.items():
            if name.startswith(derive.PREFIX):
                continue  # what was made of the program's names
            how = variables.values[derive.WAS_SET + name] if name in pair.flags else derive.UNTRACED
            if how in (derive.NOT_SET, derive.TRACED_AT_FIRST):
                continue
            if how == derive.TRACED and isinstance(value, float):
                made = Array(
                    np.asarray(value, _DOUBLE), None, PYTHON_SCALAR if type(value) is float else True
                )  # type: ignore[arg-type]
                made.tape, made.cell = self._tape, [None, BORROWED, True, False]
                run.results[name] = made.cell
                value = made
            changes[name] = value
        return changes


def _used(stack: np.ndarray, top: int) -> np.ndarray:
    """What is on a stack, without much memory behind it."""
    return stack if 2 * top > len(stack) else stack[:top].copy()
