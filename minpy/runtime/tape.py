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

import numpy as np

from minpy.errors import GradientError
from minpy.runtime import cotangents, entry
from minpy.runtime.array import Array
from minpy.runtime.pull import pull
from minpy.runtime.record import Record, Short, Write, current_tape, open_tape
from minpy.runtime.storage import Storage


class Tape:
    """The records of one differentiation. Use as a context manager around the forward run, then `sweep`."""

    __slots__ = ("_token", "depth", "open", "outer", "records", "short")

    def __init__(self) -> None:
        self.outer = current_tape()
        self.depth = self.outer.depth + 1 if self.outer is not None else 0
        self.open = False
        self.records: list[Record | Write | Short] = []
        # Appends a record in short; None where an outer tape must see it too.
        self.short = self.records.append if self.outer is None else None

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
            self.records.append(record)

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
        redo: list[tuple[Write, Any]] = []
        short = current_tape() is None  # else the sweep itself is recorded
        records, self.records = self.records, []
        touched: set[Storage] = set()
        try:
            for result, g in seeds:
                cotangents.accumulate(self, result, g, touched)
            touched.update(target.storage for target in targets)
            while records:
                record = records.pop()
                kind = type(record)
                if kind is tuple and short and pull(self, record, touched):
                    continue
                if kind is Write:
                    self._unwrite(record, redo, touched)
                else:
                    self._pull(Record.full(record), touched)
            return [cotangents.take(target) for target in targets]
        finally:
            # What is left of the records if one of them failed; the others cleared their results as they went.
            for record in records:
                touched.update(array.storage for array in cotangents.arrays_of(record))
            for storage in touched:
                storage.cotangent = None
            while redo:
                write, new = redo.pop()
                cotangents.assign(write.target, write.index, new)

    def _pull(self, record: Record, touched: set[Storage]) -> None:
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
                raise GradientError(self._no_rule(record, i))
            try:
                d = rule(g, ans, *args, **kwargs)
                cotangents.accumulate(self, operand, d, touched)
            except Exception as error:
                raise record.failed(i, error) from error

    def _no_rule(self, record: Record, i: int) -> str:
        return (
            f"{record.primitive.name} has no derivative rule for argument {i}. It ran at {record.line}. "
            "Use minpy.stop_gradient on the operand if no gradient should flow"
        )

    def _unwrite(self, write: Write, redo: list, touched: set[Storage]) -> None:
        storage = write.target.storage
        touched.add(storage)
        if storage.cotangent is not None:
            g = cotangents.cut(write.target, write.index)
            if cotangents.is_active(self, write.value):
                cotangents.accumulate(self, write.value, g, touched)
        redo.append((write, cotangents.read(write.target, write.index)))
        cotangents.assign(write.target, write.index, write.old)
