"""The tape: reverse mode over storages, with an undo log.

* Activity belongs to the buffer (`Storage.tape`); a view needs no record, its cotangent is the same part of
  its storage's cotangent.
* An operation appends one `Record`; a write appends one `Write` holding the bytes it overwrote.
* The reverse sweep walks back. At a write it moves the region's cotangent to the value that was written,
  clears it, and restores the old bytes, so that every record before it sees its operands as they were.
  Afterwards the log is replayed forward, and the program's arrays end as the program left them.
* Tapes nest. What is active on an inner tape is recorded on the outer ones too; a closed tape stands for its outer one.
  The sweep of an inner tape works on `Array` objects while an outer one is open, and is thereby recorded itself.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

import numpy as np

from minpy.errors import GradientError
from minpy.runtime import cotangents, deferred, entry, packed
from minpy.runtime.array import Array
from minpy.runtime.fuse.free import fast_math
from minpy.runtime.pull import forms, pull_kept, pull_link
from minpy.runtime.record import Record, Short, Write, current_tape, no_rule, open_tape, parts_of
from minpy.runtime.storage import BORROWED, NEEDED, OWN, SHARED, Storage

_STRETCH = 4  # records
_WORTH = 1024  # elements


def _may_fuse() -> bool:
    """`fuse.stretch.is_on`, imported as that is."""
    global _may_fuse
    from minpy.runtime.fuse.stretch import is_on as _may_fuse

    return _may_fuse()


def _pull_stretch(tape: Tape, records: list[Any]) -> bool:
    """`fuse.stretch.pull`, which is imported where there is something for it to do."""
    global _pull_stretch
    from minpy.runtime.fuse.stretch import pull as _pull_stretch

    return _pull_stretch(tape, records)


class Tape:
    """The records of one differentiation. Use as a context manager around the forward run, then `sweep`.

    Parameters
    ----------
    kept : bool
        There will be more than one sweep, at any time, also by a tape around: every record keeps all its operands.
        Otherwise, and where no tape is around, records keep only what the sweep needs.

    Attributes
    ----------
    put : list or None
        Where records in short go that hold what the sweep needs: `records`, or None where records must be whole.
    short : callable or None
        Appends a record in short that holds all operands; None where an outer tape must see it too.
    free : bool
        Results may differ from NumPy's in rounding (``--fast-math``).
    replays : bool
        A record's rule is the program's own code (a checkpoint, a custom rule, a right-hand side): it may read
        anything, so every write from now on is logged.
    touched : set of Storage
        Where the sweep that is going on left cotangents, besides results.
    redo : list of (Array, index, numpy.ndarray)
        What this sweep has undone, to be done again.
    saved : set of (int, tuple, tuple)
        Address, shape and strides of what is in `redo`, if it is large.
    """

    __slots__ = (
        "_ahead", "_deferred", "_factors", "_last", "_leaves", "_token", "depth", "free", "open", "outer", "put",
        "records", "redo", "replays", "saved", "short", "touched", "written",
    )  # fmt: skip

    def __init__(self, kept: bool = False) -> None:
        self.outer = current_tape()
        self.depth = self.outer.depth + 1 if self.outer is not None else 0
        self.open = False
        self.records: list[Record | Write | Short] = []
        alone = self.outer is None
        self.put = self.records if alone and not kept else None
        self.short = self.records.append if alone and kept else None
        self.replays, self.free = False, fast_math()
        self.written: WeakSet[Storage] = WeakSet()
        self.touched: set[Storage] = set()
        self.redo: list[tuple[Any, Any, Any]] = []
        self.saved: set[tuple] = set()
        self._leaves: set[Storage] = set()
        self._deferred: dict[Any, deferred.Sum] = {}  # by what it is for: see `_key`
        self._factors: packed.Factors | None = None  # of the sweep
        self._ahead: packed.Factors | None = None  # of the program's products
        self._last: deferred.Sum | None = None  # the last one that was added to

    def __enter__(self) -> Tape:
        entry.activate(tape=True)
        self.open = True
        self._token = open_tape.set(self)
        return self

    def __exit__(self, *exc: object) -> None:
        self.open = False
        open_tape.reset(self._token)
        self._token = None
        entry.deactivate(tape=True)

    def append(self, record: Record | Write) -> None:
        """Record on the open tapes around this one, outermost first, and on this one.

        The order matters where a tape around a forward-mode one records: the work on a tangent comes after
        the operation it belongs to.
        """
        if self.outer is not None:
            self.outer.append(record)
        if self.open:
            if type(record) is Write:
                self.note_write(record.target.storage)
            elif self.put is not None:
                if not record.primitive.family:
                    self.replays = True
                for array in parts_of(record):
                    if type(array) is Array:
                        array.storage.cell[NEEDED] = True
            self.records.append(record)

    def note_write(self, storage: Storage) -> None:
        """To be called before a write into `storage` is recorded: remember it.

        A storage that shares its cell gets one of its own from here on.
        """
        if storage not in self.written:
            self.written.add(storage)
        if self._ahead is not None:
            self._ahead.written(storage.host)
        cell = storage.cell
        if cell[SHARED] and self.put is not None:
            storage.cell = [None, BORROWED, cell[NEEDED], False]
            self.put.append((pull_link, storage.cell, cell, storage))

    def watches(self, storage: Storage) -> bool:
        """Whether `storage` is active on this tape."""
        tape = storage.tape
        while tape is not None:
            if tape is self:
                return True
            tape = tape.outer
        return False

    def sweep(self, seeds: list[tuple[Any, Any]], targets: list[Any]) -> list[Any]:
        """Propagate cotangents from results to inputs.

        Parameters
        ----------
        seeds : list of (Array, array)
            Results and their cotangents.
        targets : list of Array
            Inputs; their values are as at entry when their cotangents are read.

        Returns
        -------
        list
            The cotangent of each target, None where none arrived.
        """
        recorded = current_tape() is not None  # then every step of the sweep must be
        records = self.records
        touched, redo = self.touched, self.redo
        try:
            for result, g in seeds:
                cotangents.accumulate(self, result, g, touched)
            self._leaves.update(target.storage for target in targets)
            touched.update(self._leaves)
            if self.put is not None and not recorded:
                fused = looks = len(records) >= _STRETCH
                asked = False
                while records:
                    record = records.pop()
                    if type(record) is tuple:
                        step = record[0]
                        if step not in forms:
                            looks = fused
                        elif looks and (g := record[1][0]) is not None:
                            looks = False
                            if type(g) is np.ndarray and g.size >= _WORTH:
                                if not asked:
                                    asked, fused = True, _may_fuse()
                                records.append(record)
                                if fused and _pull_stretch(self, records):
                                    looks = True
                                    continue
                                records.pop()
                        step(self, record)
                    elif type(record) is Write:
                        self._unwrite(record)
                    else:
                        self.pull(record)
            else:
                while records:
                    record = records.pop()
                    kind = type(record)
                    if kind is tuple and not recorded and pull_kept(self, record):
                        continue
                    if kind is Write:
                        self._unwrite(record)
                    else:
                        self.pull(Record.full(record))
            for put_off in dict.fromkeys(self._deferred.values()):
                for operand, total in put_off.take():
                    cotangents.accumulate(self, operand, total, touched, OWN)
            return [cotangents.hand_out(target) for target in targets]
        finally:
            # What is left of the records if one of them failed; the others cleared their results as they went.
            while records:
                cotangents.clear(records.pop())
            for storage in touched:
                storage.cotangent = None
            touched.clear()
            self.saved.clear()
            self._leaves.clear()
            self._deferred.clear()
            self._factors = self._ahead = None
            self._last = None
            while redo:
                cotangents.assign(*redo.pop())

    def can_defer(self, i: int, operand: Array, other: Any, g: Any) -> bool:
        """Whether the cotangent of the matrix `operand`, factor number `i` of a product, may be added up later.

        So it is if nothing reads it before the end (`operand` is an argument, or a part of one, that was not written
        to), and if the product has few rows.
        """
        window = operand.window
        return (
            window.ndim == 2
            and other.ndim <= 2
            and g.ndim <= 2
            and operand.storage in self._leaves
            and operand.storage not in self.written
            and other.dtype is g.dtype is window.dtype
            and window.size
            and deferred.pays(other.size // window.shape[1 - i], window)
        )

    def defer(self, operand: Array, left: np.ndarray | None, right: np.ndarray) -> None:
        """Add ``left.T @ right`` to the cotangent of `operand` when enough of them have come together.

        Without `left` it is the sum of the rows of `right`.
        """
        window, storage = operand.window, operand.storage
        key: Any = storage  # which this tape keeps
        if window is not storage.host:
            key = (window.__array_interface__["data"][0], window.shape, window.strides)
        found = self._deferred.get(key)
        if found is None:
            found = self._last
            if found is None or not found.takes(key, right):
                found = deferred.Sum(right)
            self._deferred[key] = found
        self._last = found
        found.add(key, operand, left, right)

    def keeps(self, operand: Array) -> bool:
        """Whether `operand` is an argument that was not written to: it is the same during all of the sweep."""
        storage = operand.storage
        return operand.window is storage.host and storage in self._leaves and storage not in self.written

    def times(self, g: np.ndarray, y: np.ndarray, operand: Array) -> np.ndarray | None:
        """``g @ y.T``, `y` being what `operand` holds, packed from the third time on; None if that is not for it."""
        factors = self._factors
        if factors is None:
            factors = self._factors = packed.Factors(packed.Factor.product, True)
        return factors.product(g, y, operand, self.keeps)

    def times_freely(self, x: np.ndarray, y: np.ndarray, operand: Array) -> np.ndarray | None:
        """``x @ y`` of the program under ``--fast-math``, as `times`; None also if it is NumPy's to make."""
        factors = self._ahead
        if factors is None:
            factors = self._ahead = packed.Factors(packed.Factor.finite, False)
        return factors.product(x, y, operand, self._stays)

    def _stays(self, operand: Array) -> bool:
        """Whether `operand` is a whole storage that this tape would see written, and that was not written to so far."""
        storage = operand.storage
        return operand.window is storage.host and storage.tape is self and storage not in self.written

    def puts_off(self, operand: Array, x: np.ndarray, g: np.ndarray) -> bool:
        """Add ``x.T @ g`` to the cotangent of `operand` later, with others; False if it is not to be so."""
        storage = operand._storage
        found = self._deferred.get(storage)  # there if the whole of it was put off before
        if found is not None and operand.window is storage.host:
            self._last = found
            found.add(storage, operand, x, g)
            return True
        if not self.can_defer(1, operand, x, g):
            return False
        self.defer(operand, x, g)
        return True

    def defer_sum(self, operand: Array, g: np.ndarray) -> bool:
        """Add the rows of `g` to the cotangent of a vector later, with others; False if it is not to be so."""
        window, storage = operand.window, operand._storage
        found = self._deferred.get(storage)
        if found is not None and window is storage.host and window.shape == g.shape[1:]:
            self._last = found
            found.add(storage, operand, None, g)
            return True
        if (
            self.put is None
            or window.shape != g.shape[1:]
            or operand.storage not in self._leaves
            or operand.storage in self.written
            or g.dtype is not window.dtype
            or not deferred.sum_pays(g)
        ):
            return False
        self.defer(operand, None, g)
        return True

    def pull(self, record: Record) -> None:
        """The part of the sweep of a whole record."""
        result = record.result
        many = type(result) is not Array
        outs = result if many else (result,)
        if all(out.storage.cotangent is None for out in outs):
            return
        gs = []
        for out in outs:
            g = cotangents.take(out)
            out.storage.cotangent = None
            gs.append(np.zeros(out.shape, out.dtype) if g is None and many else g)
        primitive = record.primitive
        args = cotangents.values(record.args)
        kwargs = cotangents.values(record.kwargs)
        g = gs if many else gs[0]
        ans = cotangents.values(result)
        for i, operand in enumerate(record.args):
            if not cotangents.is_active(self, operand):
                continue
            rule = primitive.rule(i)
            if rule is None:
                if primitive.flat:
                    continue
                raise GradientError(no_rule(primitive, i, record.line))
            try:
                if entry.checker is None:
                    d = rule(g, ans, *args, **kwargs)
                else:
                    d = entry.checker.derivative(record, i, rule, g, ans, args, kwargs)
                cotangents.accumulate(self, operand, d, self.touched)
            except Exception as error:
                raise record.failed(i, error) from error

    def _unwrite(self, write: Write) -> None:
        storage = write.target.storage
        self.touched.add(storage)
        if storage.cotangent is not None:
            g = cotangents.cut(write.target, write.index)
            if cotangents.is_active(self, write.value):
                cotangents.accumulate(self, write.value, g, self.touched)
        self.redo.append((write.target, write.index, cotangents.read(write.target, write.index)))
        cotangents.assign(write.target, write.index, write.old)
