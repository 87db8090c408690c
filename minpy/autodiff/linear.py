"""A function linearized at a point: one run on a tape, then products with its Jacobian, as often as asked for."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from minpy.autodiff import afterwards, calls, trees
from minpy.errors import GradientError
from minpy.runtime import cotangents
from minpy.runtime.array import Array
from minpy.runtime.record import Write
from minpy.runtime.tangent import Tangents
from minpy.runtime.tape import Tape


class Linearization:
    """The records of one call, kept.

    Parameters
    ----------
    fun, args, kwargs
        The call.
    numbers : tuple of int or str
        Which arguments are differentiated.
    has_aux : bool
        The function returns a pair: the result, and an auxiliary output.
    private : bool
        The records outlive the verb: neither arguments nor results share memory with the caller's.

    Attributes
    ----------
    value, aux
        The result and the auxiliary output, as the caller gets them.
    outs : list
        The leaves of the result.
    ins : list of Array
        The differentiated arrays.
    """

    def __init__(
        self, fun: Any, numbers: tuple, args: tuple, kwargs: dict, has_aux: bool, private: bool = False
    ) -> None:
        if not callable(fun):
            raise GradientError(f"a function is differentiated, not {trees.summary(fun)}")
        if not args and not kwargs:
            raise GradientError(f"{calls.name_of(fun)} was given no argument to differentiate")
        self.name = calls.name_of(fun)
        self._tape = tape = Tape(kept=True)
        self._lock = threading.RLock()
        call = calls.Run(fun, calls.places(fun, numbers, args, kwargs), args, kwargs, tape, private)
        result = call()
        try:
            result, aux = calls.split_aux(fun, result, has_aux)
            self.result = result
            self.outs = calls.outputs(fun, result)
            self.value = calls.detached(tape, result, copies=private)
            self.aux = calls.detached(tape, aux, copies=private)
            self.entered = call.entered
            self.ins = call.leaves()
            for leaf in self.ins:
                leaf.storage.tape = leaf.storage.tape or tape
        except BaseException:
            call.leave()
            raise
        self._records, tape.records = tape.records, []
        # Nothing is recorded any more; its way to the records would close a cycle with the storages that
        # refer to the tape.
        tape.short = None  # type: ignore[assignment]
        self._leave: Any = call.leave
        self._noted = calls.writes_in(self._records)
        if private:
            self.close()

    def close(self) -> None:
        """Bring what the function wrote into its arguments to its caller, when no more products are asked for."""
        leave, self._leave = self._leave, None
        if leave is not None:
            leave(self._noted)

    def arrays(self) -> dict[int, Array]:
        """The arrays that are kept, by id."""
        return afterwards.arrays_in(self._records, self.outs, self.ins)

    def pull(self, cotangent: Any) -> list[Any]:
        """The cotangents of the arguments, each a tree like the argument, for a cotangent of the result."""
        given = calls.same_structure(cotangent, self.result, f"the cotangent given for {self.name}")
        gs = [
            calls.fitting(g, out, f"the cotangent given for the result of {self.name}")
            if _carries(out)
            else None
            for out, g in zip(self.outs, given, strict=True)
        ]
        found = dict(zip(map(id, self.ins), self.pull_leaves(gs), strict=True))
        return [
            trees.transform(
                lambda leaf: calls.gradient(leaf, found[id(leaf)]) if id(leaf) in found else leaf, tree
            )
            for tree in self.entered
        ]

    def pull_leaves(self, gs: list[Any]) -> list[Any]:
        """The cotangents of the differentiated arrays for those of the result's leaves; None is zero."""
        tape = self._tape
        seeds = [
            (out, g)
            for out, g in zip(self.outs, gs, strict=True)
            if g is not None and type(out) is Array and _carries(out) and tape.watches(out.storage)
        ]
        with self._lock:
            tape.records = list(self._records)
            try:
                return tape.sweep(seeds, self.ins)
            finally:
                tape.records = []

    def push_leaves(self, tangents: list[Any]) -> list[Any]:
        """The tangents of the result's leaves for those of the differentiated arrays; None is zero.

        The records are walked forward: the writes are undone first, and done again on the way.
        """
        with self._lock:
            state = Tangents()
            for array, tangent in zip(self.ins, tangents, strict=True):
                if tangent is not None:
                    state.put(array, tangent)
            redo: list[tuple[Write, Any]] = []
            try:
                for record in reversed(self._records):
                    if type(record) is Write:
                        redo.append((record, cotangents.read(record.target, record.index)))
                        cotangents.assign(record.target, record.index, record.old)
                for record in self._records:
                    if type(record) is Write:
                        state.write(record)
                        write, new = redo.pop()
                        cotangents.assign(write.target, write.index, new)
                    else:
                        state.record(record)
            finally:
                while redo:
                    write, new = redo.pop()
                    cotangents.assign(write.target, write.index, new)
            return [state.get(out) if type(out) is Array and _carries(out) else None for out in self.outs]


def _carries(out: Any) -> bool:
    """Whether a leaf of a result may have a derivative."""
    return isinstance(out, (np.ndarray, np.generic, Array)) and out.dtype.kind in "fc"
