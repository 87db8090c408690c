"""The engine that runs NumPy's own functions over tiles that stay in the cache, shared by threads."""

from __future__ import annotations

import threading
from functools import lru_cache
from itertools import count
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from minpy.runtime.fuse import pool
from minpy.runtime.fuse.state import raising

if TYPE_CHECKING:
    from minpy.runtime.fuse.plan import Plan

_TILE_BYTES = 320 * 1024  # of all that one tile touches: half of a small second-level cache
_GRAIN = 512  # elements; NumPy's vector loops then end where they would end without tiles
_LEAST = 2048
_scratch = threading.local()


class Tiled:
    """The program for one plan.

    Attributes
    ----------
    flat : bool
        Whether all operands are contiguous and of the full shape, so that axes do not matter.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        text, self.temporaries = _program(plan)
        self.code = _compiled(text)
        width = sum(
            each.itemsize
            for each in [*(out.dtype for out in plan.outputs), *plan.operand_dtypes, *self.temporaries]
        )
        elements = max(_LEAST, _TILE_BYTES // width)
        self.elements = elements // _GRAIN * _GRAIN

    def run(
        self, arrays: list[Any], numbers: list[Any], outs: list[np.ndarray], flags: int, threads: int
    ) -> None:
        """Compute into `outs`, which overlap no operand and not each other.

        Raises
        ------
        FloatingPointError
            One of `flags` occurred; `outs` have been written into.
        """
        shape = outs[0].shape
        if all(each.flags.c_contiguous and each.shape == shape for each in [*outs, *arrays]):
            arrays = [each.reshape(-1) for each in arrays]
            outs = [each.reshape(-1) for each in outs]
        else:
            arrays = [each if each.shape == shape else np.broadcast_to(each, shape) for each in arrays]
        tiles = self._tiles(outs[0].shape, threads)
        if len(tiles) == 1:
            self._work(arrays, numbers, outs, tiles, flags)
            return
        turn = count()

        def work(_: int) -> None:
            self._work(arrays, numbers, outs, _taken(tiles, turn), flags)

        pool.run(work, min(threads, len(tiles)))

    def _tiles(self, shape: tuple[int, ...], threads: int) -> list[Any]:
        """Index expressions that cut `shape` into pieces of about `elements`, in order."""
        most = self.elements
        if threads > 1:
            most = max(_LEAST, min(most, prod(shape) // (2 * threads) // _GRAIN * _GRAIN))
        axis = 0
        while axis < len(shape) - 1 and prod(shape[axis + 1 :]) > most:
            axis += 1
        inner = prod(shape[axis + 1 :])
        step = max(most // inner, 1)
        if axis == len(shape) - 1:
            step = max(step // _GRAIN * _GRAIN, _GRAIN)
        pieces = [slice(i, min(i + step, shape[axis])) for i in range(0, shape[axis], step)]
        if not axis:
            return pieces
        return [(*index, piece) for index in np.ndindex(*shape[:axis]) for piece in pieces]

    def _work(
        self, arrays: list[Any], numbers: list[Any], outs: list[np.ndarray], tiles: Any, flags: int
    ) -> None:
        buffers = self._buffers()
        shape: Any = None
        temporaries: list[np.ndarray] = []
        code = self.code
        with raising(flags):
            for tile in tiles:
                pieces = [out[tile] for out in outs]
                if pieces[0].shape != shape:
                    shape = pieces[0].shape
                    size = pieces[0].size
                    temporaries = [each[:size].reshape(shape) for each in buffers]
                code(*pieces, *[each[tile] for each in arrays], *numbers, *temporaries)
        _scratch.kept[self] = buffers

    def _buffers(self) -> list[np.ndarray]:
        """This thread's temporaries; they are put back when the work is done.

        So a signal's handler that runs the same block in the midst of this one gets others.
        """
        kept = _scratch.__dict__.setdefault("kept", {})
        if len(kept) >= 8:
            kept.clear()
        found = kept.pop(self, None)
        return found or [np.empty(self.elements, dtype) for dtype in self.temporaries]


def _taken(tiles: list[Any], turn: Any) -> Any:
    """The tiles that this thread gets, as long as there are any."""
    total = len(tiles)
    while True:
        number = next(turn)
        if number >= total:
            return
        yield tiles[number]


def _program(plan: Plan) -> tuple[str, list[np.dtype]]:
    """The text of a function that computes one tile, and the dtypes of the temporaries it wants."""
    last_use: dict[int, int] = {}
    for number, step in enumerate(plan.steps):
        for where, k in step.operands:
            if where == "t":
                last_use[k] = number
    names: dict[int, str] = {}
    temporaries: list[np.dtype] = []
    owner = {out.step: f"o{k}" for k, out in reversed(list(enumerate(plan.outputs)))}
    dtypes = {f"o{k}": out.dtype for k, out in enumerate(plan.outputs)}
    # The memory of a single result serves until it is wanted, at the end.
    free = ["o0"] if owner == {len(plan.steps) - 1: "o0"} else []
    # `where` writes into its result while it still reads these.
    apart = {
        k for number in owner if plan.steps[number].name == "where"
        for where, k in plan.steps[number].operands[:2] if where == "t"
    }  # fmt: skip
    lines = []
    for number, step in enumerate(plan.steps):
        operands = [names[k] if where == "t" else f"{where}{k}" for where, k in step.operands]
        dying = {
            names[k]
            for where, k in step.operands
            if where == "t" and last_use[k] == number and k not in owner
        }
        if step.name == "where":
            # It has no out=, and writes its result while it still reads its operands.
            out = owner.get(number) or _free(step, free, dtypes, temporaries, number in apart)
            lines += [f"copyto({out}, {operands[2]})", f"copyto({out}, {operands[1]}, where={operands[0]})"]
            free += sorted(dying)
        else:
            free += sorted(dying)
            out = owner.get(number) or _free(step, free, dtypes, temporaries, number in apart)
            lines.append(f"{step.name}({', '.join(operands)}, out={out})")
        names[number] = out
    for k, output in enumerate(plan.outputs):
        if owner[output.step] != f"o{k}":
            lines.append(f"copyto(o{k}, {owner[output.step]})")  # one value in two places
    arguments = [
        *(f"o{i}" for i in range(len(plan.outputs))),
        *(f"x{i}" for i in range(len(plan.operand_dtypes))),
        *(f"s{i}" for i in range(plan.numbers)),
        *(f"t{i}" for i in range(len(temporaries))),
    ]
    body = "".join(f"  {line}\n" for line in lines)
    return f"def tile({', '.join(arguments)}):\n{body}", temporaries


def _free(step: Any, free: list[str], dtypes: dict[str, Any], temporaries: list[Any], apart: bool) -> str:
    """Memory that a step may write into; `apart`: not that of a result."""
    for name in free:
        if dtypes[name] == step.dtype and not (apart and name[0] == "o"):
            free.remove(name)
            return name
    name = f"t{len(temporaries)}"
    temporaries.append(step.dtype)
    dtypes[name] = step.dtype
    return name


@lru_cache(maxsize=512)
def _compiled(text: str) -> Any:
    from minpy.runtime.fuse.plan import FUNCTIONS

    space = dict(FUNCTIONS) | {"copyto": np.copyto}
    exec(compile(text, "<minpy block>", "exec"), space)
    return space["tile"]
