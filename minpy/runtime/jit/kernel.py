"""A compiled loop, and running it between two positions so that nothing shows but the time it took."""

from __future__ import annotations

import ast
from functools import partial
from typing import Any

import numpy as np

from minpy.runtime import ledger
from minpy.runtime.jit import background, crew, engine, stacks, store
from minpy.runtime.jit.appends import logged, release
from minpy.runtime.jit.bind import Frame, Snapshot
from minpy.runtime.jit.buffers import Objects, free_all, owner_of
from minpy.runtime.jit.draws import Source
from minpy.runtime.jit.exchange import BUFFERS, FIRST, LAST, START, STEP, STOPPED, word_in, word_of
from minpy.runtime.jit.far import Far
from minpy.runtime.jit.kinds import Unsupported, value_of
from minpy.runtime.jit.lower import BROKE, ENDED, INTERRUPTED, lower
from minpy.runtime.jit.numpy_loops import LONGEST_SUM

DONE = 0


class NoRoom(Unsupported):
    """There is no memory for what must be kept."""


class Outcome:
    """What a run came to: `position` is the first iteration that has not run; `broke` that a ``break`` was met;
    `ended` that the condition of a ``while`` is not true.

    `reason` says why the iteration at `position` cannot be run, with its line; it is None if it was not come to.
    """

    __slots__ = ("broke", "ended", "position", "reason")

    def __init__(
        self,
        position: int,
        broke: bool = False,
        ended: bool = False,
        reason: tuple[int, str] | None = None,
    ) -> None:
        self.position, self.broke, self.ended, self.reason = position, broke, ended, reason


class Kernel:
    """The compiled code of a loop for one key of `Snapshot`, and some kinds of its scalars (see `fits`).

    Of a loop of operations on large arrays no quick code is made, as NumPy would be faster: the kernel is not ready
    before `improve` has made the fast one. That the arrays are large, if there are any, is what `large` says. Nor is it
    made where earlier runs `missed` more seconds than fast code takes, unless the program goes on while that is made.
    """

    def __init__(
        self,
        node: ast.For | ast.While,
        text: str,
        snapshot: Snapshot,
        *,
        quickly: bool = False,
        large: bool = False,
        missed: float = 0.0,
    ) -> None:
        where = store.file_for(text, snapshot.lasting_key() + (" shared" if crew.is_wanted() else ""))
        found = store.load(where)
        if found is None:
            began = ledger.clock()
            try:
                code, compiled = lower(node, snapshot.entry()), b""
            finally:
                ledger.note("making loops' code", ledger.clock() - began)
        else:
            code, compiled = found
        keep = partial(store.save, where, code)
        if not compiled and missed > background.work(len(code.text)) and not background.is_used():
            quickly = False
        if quickly and not compiled and code.whole and large:
            pass
        elif quickly and not compiled:
            compiled = background.quick_code(code.text)
            keep(compiled, quickly=True)
        elif not compiled or (code.text and not quickly):
            compiled = background.object_code(code.text, keep)
        # Of code that was made quickly: what `improve` needs.
        self._again = (code.text, keep) if quickly and code.text else None
        self.code, self._missed = code, missed
        self._function: Any = None
        if compiled:
            self._set(compiled)
        self._stacks = [stacks.Layout(*fields) for fields in code.stacks]
        self._sums = any(name.startswith("reduce ") for name in code.externals)
        # Their identities are in the key.
        self._kept = [(value, getattr(value, "__code__", None)) for value in snapshot.entry().known.values()]

    def _set(self, compiled: bytes) -> None:
        self._function = engine.function(compiled, self.code.externals)
        self.address = engine.address(self._function)

    @property
    def is_ready(self) -> bool:
        """Whether there is code."""
        return self._function is not None

    @property
    def is_quick(self) -> bool:
        """Whether the code was made quickly, and is not as fast as it could be."""
        return self._again is not None

    @property
    def takes(self) -> float:
        """The seconds that `improve` will take from the program."""
        return background.expected_again(len(self.code.text))

    @property
    def was_missed(self) -> bool:
        """Whether earlier runs spent longer in the loop than making fast code takes: then it is made at once."""
        return self._missed > background.work(len(self.code.text))

    def is_early(self, spent: float) -> bool:
        """Whether `improve` should wait until the program, which has `spent` seconds in the loop, has run longer."""
        return background.is_early(len(self.code.text), spent)

    def improve(self) -> None:
        """Make the code again, so that it is fast.

        Raises
        ------
        Pending
            It is being made: ask again later.
        """
        if self._again is not None:
            compiled = background.object_code(*self._again)
            self._again = None
            self._set(compiled)

    def fits(self, snapshot: Snapshot) -> bool:
        """Whether the code, made for an entry with the same key, takes the scalars as they are now."""
        for variable in self.code.scalars:
            kind = snapshot.kind(variable.name)
            if kind not in variable.kinds and not variable.may_be_unbound:
                return False
        return True

    def written_bytes(self, snapshot: Snapshot) -> int:
        """How much must be copied before each run."""
        return 0 if self.code.clean else sum(snapshot.values[name].nbytes for name in self.code.written)

    def can_run(self, snapshot: Snapshot) -> bool:
        """Whether what is stored into can be."""
        return all(snapshot.values[name].flags.writeable for name in self.code.written)

    def run(self, frame: Frame, snapshot: Snapshot, first: int, last: int) -> Outcome:
        """Run the iterations from `first` to before `last`, and set the frame's variables.

        Raises
        ------
        Unsupported
            A value does not fit; nothing has been done.
        """
        if self.code.views and any(owner_of(array) is None for array in self._entered(snapshot)):
            raise Unsupported("a view of an array whose memory has gaps")
        if self._sums and np.getbufsize() != LONGEST_SUM:
            raise Unsupported("np.setbufsize decides how sums are added up")
        words = np.zeros(self.code.words, np.int64)
        try:
            arrays = self._fill(words, snapshot)
            self._fill_stacks(words, snapshot)
            return self._run(words, frame, snapshot, arrays, first, last)
        finally:
            free_all(int(words[BUFFERS]))
            for _, slot in self.code.lists:
                release(words, slot)
            for layout in self._stacks:
                stacks.release(words, layout.slot)

    def _entered(self, snapshot: Snapshot) -> list[np.ndarray]:
        return [snapshot.values[each.name] for each in self.code.arrays if each.comes_in]

    def _run(
        self,
        words: np.ndarray,
        frame: Frame,
        snapshot: Snapshot,
        arrays: list[np.ndarray],
        first: int,
        last: int,
    ) -> Outcome:
        far = snapshot.far
        sources = []
        for name, slot in self.code.sources:
            sources.append(Source(snapshot.known(name)))
            words[slot : slot + len(sources[-1].words)] = sources[-1].words
        try:
            copies = [] if self.code.clean else [(array, array.copy()) for array in self._targets(snapshot)]
        except MemoryError:
            raise NoRoom("there is no memory for a copy of what it stores into") from None
        try:
            answer = self._call(words, first, last)
        except BaseException:
            # A signal's handler raised. The arrays are as the loop left them at some moment, and so are the variables.
            self.finish(words, frame, snapshot.lists | snapshot.stacks, arrays, far)
            raise
        if answer > DONE and self.code.clean:
            self.finish(words, frame, snapshot.lists | snapshot.stacks, arrays, far)
            return Outcome(int(words[STOPPED]), reason=self.code.reasons[answer - 1])
        if answer > DONE:
            stopped = last
            while answer != DONE:
                if not first <= int(words[STOPPED]) < stopped or answer < DONE:
                    raise SystemError("a compiled loop took another way when it was run again")
                stopped, reason = int(words[STOPPED]), self.code.reasons[answer - 1]
                for array, copy in copies:
                    np.copyto(array, copy)
                free_all(int(words[BUFFERS]))
                words[BUFFERS] = 0
                for _, slot in self.code.lists:
                    words[slot + 1] = 0
                for source in reversed(sources):
                    source.take_back()
                for layout in self._stacks:
                    stacks.release(words, layout.slot)
                self._fill_stacks(words, snapshot)
                if stopped == first:
                    return Outcome(stopped, reason=reason)
                # What led there did no harm the first time; what is made in the last round alone may, as another one is
                # the last now.
                answer = self._call(words, first, stopped)
            self.finish(words, frame, snapshot.lists | snapshot.stacks, arrays, far)
            return Outcome(stopped, reason=reason)
        self.finish(words, frame, snapshot.lists | snapshot.stacks, arrays, far)
        return Outcome(int(words[STOPPED]), broke=answer == BROKE, ended=answer == ENDED)

    def _fill_stacks(self, words: np.ndarray, snapshot: Snapshot) -> None:
        for layout in self._stacks:
            try:
                stacks.fill(words, layout, snapshot.stacks[layout.name], word_in)
            except MemoryError:
                raise Unsupported("there is no memory for a list") from None

    def _call(self, words: np.ndarray, first: int, last: int) -> int:
        words[FIRST], words[LAST] = first, last
        return self._function(words.ctypes.data)

    def _targets(self, snapshot: Snapshot) -> list[np.ndarray]:
        return list({id(array): array for array in map(snapshot.values.get, self.code.written)}.values())

    def _fill(self, words: np.ndarray, snapshot: Snapshot) -> list[np.ndarray]:
        floats = words.view(np.float64)
        words[START], words[STEP] = snapshot.start, snapshot.step
        for variable in self.code.scalars:
            value, tag = word_of(variable, snapshot.kind(variable.name), snapshot.values.get(variable.name))
            if variable.rep == "c":
                floats[variable.slot], floats[variable.slot + 2] = (complex(value).real, complex(value).imag)
            else:
                (floats if variable.rep == "d" else words)[variable.slot] = value
            words[variable.slot + 1] = tag
        arrays = []
        for variable in self.code.arrays:
            slot, ndim = variable.slot, variable.type.ndim
            if not variable.comes_in:
                words[slot] = -1
                continue
            array = snapshot.values[variable.name]
            words[slot : slot + 3] = len(arrays), array.ctypes.data, len(arrays)
            words[slot + 3 : slot + 3 + ndim] = array.shape
            words[slot + 3 + ndim : slot + 3 + 2 * ndim] = array.strides
            arrays.append(array)
        return arrays

    def finish(
        self,
        words: np.ndarray,
        frame: Frame,
        lists: dict[str, list[Any]],
        arrays: list[np.ndarray],
        far: Far | None = None,
    ) -> None:
        """Set the frame's variables as the words say, and append to lists; `arrays` are those that came in."""
        for name, slot in self.code.lists:
            lists[name].extend(logged(words, slot))
        for layout in self._stacks:
            stacks.finish(words, layout, lists[layout.name])
        floats = words.view(np.float64)
        changes: dict[str, Any] = {}
        for variable in self.code.scalars:
            tag = int(words[variable.slot + 1])
            if variable.assigned and variable.rep and tag >= 0:
                bits: Any = (floats if variable.rep == "d" else words)[variable.slot]
                if variable.rep == "c":
                    bits = complex(floats[variable.slot], floats[variable.slot + 2])
                changes[variable.name] = value_of(tag, bits)
        assigned = [each for each in self.code.arrays if each.assigned and words[each.slot] >= 0]
        objects = Objects(arrays)
        for variable in sorted(assigned, key=lambda each: objects.is_part(words[each.slot :])):
            ndim, dtype = variable.type.ndim, np.dtype(variable.type.dtype)
            found = objects.get(dtype, ndim, words[variable.slot :])
            changes[variable.name] = found if far is None or not far.arrays else far.back(found)
        frame.put(changes)


__all__ = ["INTERRUPTED", "Kernel", "Outcome"]
