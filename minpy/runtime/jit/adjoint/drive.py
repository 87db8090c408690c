"""When a loop under a tape runs compiled.

As written, each of its operations is recorded, which takes a thousand times as long as a compiled round. So a loop
begins as written, is timed, and goes on compiled from a round on as soon as what is left takes longer than to compile
it, both ways.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from sys import _getframe
from time import perf_counter
from types import CodeType, FrameType
from typing import Any

import numpy as np

from minpy.runtime.jit import background, source, store
from minpy.runtime.jit.adjoint.entered import Entry, Over
from minpy.runtime.jit.adjoint.nodes import work
from minpy.runtime.jit.adjoint.program import Program
from minpy.runtime.jit.adjoint.taped import Forward, Loops, tape_here
from minpy.runtime.jit.kinds import Unsupported
from minpy.runtime.jit.names import Names, dotted
from minpy.runtime.tape import Tape

_PIECE = 2e-3  # seconds as written between two looks at the clock
_WAY = 300e-6  # seconds as written that are worth the way into compiled code
_CHUNK = 30e-3  # seconds compiled between two looks at signals
_FIRST = 1 << 10  # entries of a stack, at first
_MOST = 1 << 26  # and at most: half a gigabyte
_STATEMENT = 20e-6  # seconds that a statement takes on the tape
_TRIES = 4  # rounds in which it may be refused for what variables are, before it stays as written
_KEYS = 12  # kinds of what it meets


class Taped:
    """A loop of the program, under tapes.

    Attributes
    ----------
    reason : str
        Why it runs as written from now on; empty if it may run compiled.
    rounds : int
        How many have run compiled.
    """

    def __init__(self, name: str, nest: bool, line: int, digest: str, force: bool) -> None:
        self._name, self._line, self.digest, self._force = f"{name}_taped", line, digest, force
        self._nest = nest
        self.reason = ""
        self.rounds = 0
        self._node: ast.For | None = None
        self._names: Names | None = None
        self._words: list[str] = []
        self._changed: set[str] = set()
        self._loops: dict[Any, Loops | str] = {}
        self._kept: list[Any] = []  # objects whose identities are in keys
        self._refusals = 0
        self._per_round = self._spent = 0.0
        self._floats = self._integers = _FIRST  # entries of the stacks, for one round

    def begin(self, over: Any, frame: FrameType) -> Iterable[Any] | None:
        """What is left of the loop for the interpreter; None if it is no loop that may run compiled."""
        found = Over.of(over)
        return None if found is None else chain.from_iterable(self._pieces(found, frame.f_code))

    def _pieces(self, what: Over, code: CodeType) -> Iterator[Iterable[Any]]:
        position, piece, over = 0, 1, what.rounds
        iterator: Any = what.items(0)
        while not self.reason and position < len(over):
            tape = tape_here()
            if tape is None:
                break
            frame = _getframe(1)
            if frame.f_code is not code:
                break
            if self._pays(len(over) - position) or (not self._per_round and self._is_long(tape, what, frame)):
                position, ended = self._run(tape, what, frame, position)
                if ended or position >= len(over):
                    return
                iterator = what.items(position)
                piece = 1
            began = perf_counter()
            yield islice(iterator, piece)
            took = perf_counter() - began
            done = min(piece, len(over) - position)
            position += piece
            self._spent += took
            self._per_round = took / done if not self._per_round else min(took / done, 2 * self._per_round)
            piece = max(1, min(int(_PIECE / max(self._per_round, 1e-9)), 4 * piece))
        if position < len(over):
            yield iterator

    def _pays(self, left: int) -> bool:
        if self._force:
            return True
        if not self._per_round:
            return bool(self._loops) or store.is_known(self._name)
        rest = left * self._per_round
        if any(type(each) is Loops for each in self._loops.values()):
            return rest > _WAY
        takes = 4 * background.expected()  # two loops, with a longer text
        return rest > takes or (self._spent > takes and rest > _WAY)

    def _is_long(self, tape: Tape, what: Over, frame: FrameType) -> bool:
        """Whether a loop with loops in it, of which no round was timed, will take longer than to compile it."""
        if not self._nest or self._refusals:
            return False
        try:
            if self._node is None:
                self._look(frame.f_code)
            entered = Entry(frame, self._names, tape, self.digest, what)  # type: ignore[arg-type]
            loops = self._loops_for(entered)
        except Unsupported as error:
            self._refused(str(error))
            return False
        values = entered.values | {loops.pair.target: what.rounds[len(what.rounds) // 2]}
        return len(what.rounds) * work(loops.program.body, values) * _STATEMENT > 4 * background.expected()

    def _run(self, tape: Tape, what: Over, frame: FrameType, position: int) -> tuple[int, bool]:
        """Run compiled; the position that was come to, and whether the loop is over."""
        first, over = position, what.rounds
        if np.geterr()["under"] != "ignore":
            return position, False  # compiled code does not look for it
        try:
            if self._node is None:
                self._look(frame.f_code)
            chunk, rate = 1, 0.0
            while position < len(over):
                entered = Entry(frame, self._names, tape, self.digest, what)
                loops = self._loops_for(entered)
                forward = Forward(loops, entered, tape, frame, self._names.live)  # type: ignore[union-attr]
                wanted = min(chunk, len(over) - position)
                floats, integers = self._room(wanted)
                began = perf_counter()
                reached, left, reason, tops = forward.run(over, position, position + wanted, floats, integers)
                took = perf_counter() - began
                done = reached - position
                self.rounds += done
                position = reached
                if left:
                    return position, True
                if done:
                    self._floats = max(self._floats if not rate else 1, -(-tops[0] // done))
                    self._integers = max(self._integers if not rate else 1, -(-tops[1] // done))
                if reason is not None:
                    if reason[0] in loops.forward.pushes and self._grow(done):
                        continue
                    return position, False
                rate = took / max(done, 1)
                chunk = max(1, min(int(_CHUNK / rate), 64 * chunk))
                if tape_here() is not tape:
                    break
        except Unsupported as error:
            if position == first:
                self._refused(str(error))
            return position, False
        return position, position >= len(over)

    def _room(self, rounds: int) -> tuple[int, int]:
        """How many entries the stacks get for so many rounds."""
        return (
            min(_MOST, rounds * self._floats + rounds * self._floats // 8 + _FIRST),
            min(_MOST, rounds * self._integers + rounds * self._integers // 8 + _FIRST),
        )

    def _grow(self, done: int) -> bool:
        """More room for what a round puts on the stacks; False if it is too much."""
        if done:
            return True
        self._floats, self._integers = 4 * self._floats + _FIRST, 4 * self._integers + _FIRST
        return max(self._floats, self._integers) < _MOST

    def _look(self, code: CodeType) -> None:
        found = source.loops_of(code.co_filename, self.digest).get(self._line)
        if found is None or not isinstance(found[0], ast.For):
            self.give_up("its source is not where the code says")
            raise Unsupported(self.reason)
        self._node = found[0]
        self._names = Names(*found)
        self._changed = self._names.stored | {
            each.value.id
            for each in ast.walk(self._node)
            if isinstance(each, ast.Subscript)
            and isinstance(each.ctx, ast.Store)
            and isinstance(each.value, ast.Name)
        }
        roots = set()
        for each in ast.walk(ast.Module([*self._node.body], [])):
            if isinstance(each, ast.Attribute):
                name = dotted(each)
                if name is not None:
                    self._words.append(name)
                    while isinstance(each.value, ast.Attribute):
                        each = each.value
                    roots.add(id(each.value))
            elif isinstance(each, ast.Name) and id(each) not in roots:
                self._words.append(each.id)
        bound = {each.id for each in ast.walk(self._node.target) if isinstance(each, ast.Name)}
        self._words = sorted(set(self._words) - bound)

    def _loops_for(self, entered: Entry) -> Loops:
        for name in (*self._words, *entered.over.names):
            entered.look(name)
        key, general = entered.key(), entered.key(self._changed)
        found = self._loops.get(general) or self._loops.get(key)
        if found is None:
            if len(self._loops) >= _KEYS:
                self.give_up("its variables have ever new types")
                raise Unsupported(self.reason)
            try:
                program = Program(self._node, entered.look, entered.helper, entered.over.shape)  # type: ignore[arg-type]
                found = Loops(self._name, program)
                key = general if program.settled else key
                found.functions = {
                    name: entered.known(name) for name in found.pair.reads if entered.is_known(name)
                }
            except (Unsupported, RecursionError) as error:
                found = str(error)
            self._loops[key] = found
            self._kept.append(entered.objects())
            if type(found) is Loops:
                store.remember(self._name)
        if type(found) is str:
            raise Unsupported(found)
        return found  # type: ignore[return-value]

    def _refused(self, reason: str) -> None:
        self._refusals += 1
        if self._refusals >= _TRIES:
            self.give_up(reason)

    def give_up(self, reason: str) -> None:
        """Let the loop run as written under tapes from now on; the loops in it get their chance."""
        self.reason = reason
        store.forget(self._name)
        if self._names is not None:
            self._names.wake_inner(self)


__all__ = ["Taped"]
