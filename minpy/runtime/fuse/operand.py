"""What a library call works on: an array, or an expression of which a piece is computed whenever one is wanted."""

from __future__ import annotations

import threading
from math import prod
from typing import Any

import numpy as np

from minpy.runtime.fuse import native
from minpy.runtime.fuse.ir import Irregular, Program
from minpy.runtime.fuse.plan import Plan, _is_ordered
from minpy.runtime.fuse.state import raising
from minpy.runtime.fuse.tiled import Tiled

_KINDS = "biufc"
_FORCED = 500  # elements of a piece where pieces are forced, so that small arrays have several
_room = threading.local()


class Operand:
    """The array that a call works on, for one geometry.

    Attributes
    ----------
    shape, dtype, size
        Of the array; NumPy would make it in C order if it is an expression.
    plan : Plan or None
        How it is computed; None where it exists.
    ordered : bool
        Whether its axes are in C order in memory; `any_order` lets others pass.
    """

    def __init__(self, program: Program, leaves: tuple[Any, ...], mode: str, any_order: bool = False) -> None:
        self.program = program
        self.ordered = True
        self.forced = mode != "auto"
        self.plan: Plan | None = None
        if program.rolls:
            raise Irregular
        if program.operations:
            # Whether it is worth anything is asked of the call as a whole.
            self.plan = Plan(program, leaves, "force", {})
            self.shape, self.dtype, self.size = self.plan.shape, self.plan.dtype, self.plan.size
            self.contiguous = True
            tiled = Tiled(self.plan)
            self.elements = _FORCED if self.forced else tiled.elements
            self._engines: dict[str, Any] = {"tiled": tiled}
            self.flat = all(
                shape == self.shape and _is_packed(shape, strides, dtype)
                for shape, strides, dtype in zip(
                    self.plan.operand_shapes, self.plan.operand_strides, self.plan.operand_dtypes, strict=True
                )
            )
        else:
            array = leaves[program.result]
            if type(array) is not np.ndarray or array.dtype.kind not in _KINDS or not array.dtype.isnative:
                raise Irregular
            if not array.flags.aligned or any(stride <= 0 for stride in array.strides):
                raise Irregular
            self.ordered = _is_ordered(array)
            if not (self.ordered or any_order) or not array.size or not array.ndim:
                raise Irregular
            self.shape, self.dtype, self.size = array.shape, array.dtype, array.size
            self.contiguous = self.flat = array.flags.c_contiguous
            self.elements = _FORCED if self.forced else 1 << 16
            self._engines = {}

    @property
    def compilable(self) -> bool:
        """Whether the expression can be compiled, as far as is known without the compiler."""
        return self.plan is not None and native.fits(self.plan)

    def signature(self) -> str:
        """What choosing an engine depends on, in words."""
        if self.plan is not None:
            return self.plan.signature()
        layout = "packed" if self.contiguous else "strided"
        return f"x|{self.dtype.char}|{len(self.shape)} {layout}|{self.size.bit_length()}"

    def engine(self, kind: str) -> Any:
        """Tiles of NumPy's own functions, or compiled code; raises `native.Unfit`."""
        if self.plan is None:
            return None
        found = self._engines.get(kind)
        if found is None:
            found = self._engines[kind] = native.Native(self.plan, wait=self.forced)
        return found

    def opened(self, leaves: tuple[Any, ...], flags: int, kind: str) -> Opened:
        """The operand with values."""
        if self.plan is None:
            return Opened(self, None, [leaves[self.program.result]], [], flags)
        if self.plan.small:
            with raising(flags):
                arrays, numbers = self.plan.prepare(*leaves)
        else:
            arrays, numbers = self.plan.prepare(*leaves)
        return Opened(self, self.engine(kind), arrays, numbers, flags)

    def tiles(self, most: int = 0) -> list[tuple[int, int, Any]]:
        """The whole, cut into runs of elements in C order: first, last + 1, and where that is."""
        return _tiles(self.shape, most or self.elements)


class Opened:
    """An operand with values, of which pieces are computed."""

    def __init__(self, of: Operand, engine: Any, arrays: list[Any], numbers: list[Any], flags: int) -> None:
        self.of, self.engine, self.numbers, self.flags = of, engine, numbers, flags
        shape = of.shape
        self.arrays = [each if each.shape == shape else np.broadcast_to(each, shape) for each in arrays]
        self.runs = [each.reshape(-1) for each in self.arrays] if of.flat else None

    def piece(self, index: Any) -> np.ndarray:
        """A part of the operand, good until this thread asks for the next one; called while flags are raised."""
        parts = [each[index] for each in self.arrays]
        if self.engine is None:
            return parts[0]
        shape = parts[0].shape
        return self._computed(parts, room("piece", self.of.dtype, prod(shape)).reshape(shape))

    def into(self, index: Any, out: np.ndarray) -> None:
        """Compute a part into memory of its size."""
        parts = [each[index] for each in self.arrays]
        self._computed(parts, out.reshape(parts[0].shape))

    def run(self, start: int, stop: int) -> np.ndarray:
        """Elements from `start` to `stop` of a flat operand."""
        assert self.runs is not None
        parts = [each[start:stop] for each in self.runs]
        if self.engine is None:
            return parts[0]
        return self._computed(parts, room("piece", self.of.dtype, stop - start))

    def _computed(self, parts: list[Any], out: np.ndarray) -> np.ndarray:
        engine = self.engine
        if type(engine) is Tiled:
            temporaries = [
                room(k, dtype, out.size).reshape(out.shape) for k, dtype in enumerate(engine.temporaries)
            ]
            engine.code(out, *parts, *self.numbers, *temporaries)
        else:
            engine.run(parts, self.numbers, [out], self.flags, 1)
        return out


class at_work:
    """A piece of work in this thread: NumPy raises for `flags`, and `room` gives memory that nobody else uses.

    Other work may begin, and end, in the midst of it, in the same thread: a signal's handler, or what the deletion
    of an object runs.
    """

    def __init__(self, flags: int) -> None:
        self._state = raising(flags)

    def __enter__(self) -> None:
        mine = _room.__dict__
        self._outer = mine.get("kept")
        mine["kept"] = mine.pop("idle", None) or {}
        self._state.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._state.__exit__(*error)
        mine = _room.__dict__
        mine["idle"], mine["kept"] = mine["kept"], self._outer


def room(name: Any, dtype: np.dtype, size: int) -> np.ndarray:
    """Memory of this thread's, used again the next time; called by what is `at_work`."""
    kept = _room.kept
    found = kept.get((name, dtype))
    if found is None or found.size < size:
        if len(kept) > 16:
            kept.clear()
        found = kept[name, dtype] = np.empty(size, dtype)
    return found[:size]


def _is_packed(shape: tuple[int, ...], strides: tuple[int, ...], dtype: np.dtype) -> bool:
    step = dtype.itemsize
    for extent, stride in zip(reversed(shape), reversed(strides), strict=True):
        if extent != 1 and stride != step:
            return False
        step *= extent
    return True


def _tiles(shape: tuple[int, ...], most: int) -> list[tuple[int, int, Any]]:
    axis = 0
    while axis < len(shape) - 1 and prod(shape[axis + 1 :]) > most:
        axis += 1
    inner = prod(shape[axis + 1 :])
    step = max(most // inner, 1)
    tiles = []
    at = 0
    for outer in np.ndindex(*shape[:axis]):
        for i in range(0, shape[axis], step):
            stop = min(i + step, shape[axis])
            size = (stop - i) * inner
            tiles.append((at, at + size, (*outer, slice(i, stop))))
            at += size
    return tiles
