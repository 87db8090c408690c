"""One pass over the elements that computes several values of a graph and stores them, or adds them to what is there.

Two engines: NumPy's own functions over tiles that stay in the cache, and compiled code (`passes_native`). Arrays that
are only written, or added to, may overlap each other: each is done with before the next one is touched.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import count
from math import prod
from typing import Any

import numpy as np

from minpy.runtime.fuse import pool
from minpy.runtime.fuse.graph import ARRAY, CONSTANT, COTANGENT, NUMBER, SAVED, Graph
from minpy.runtime.fuse.state import raising

SET, ADD = "set", "add"
_TILE_BYTES = 320 * 1024
_LEAST, _GRAIN = 2048, 512


class Pass:
    """What is computed: `outputs` of `graph`; `saved` values are read instead of computed.

    Attributes
    ----------
    inputs : list of (str, int)
        The arrays that are read: ``("x", i)`` operands, ``("g", 0)`` the cotangent, ``("y", i)`` saved values.
    order : list of int
        The values that are computed, in order.
    numbers : list of int
        Which numbers are read.
    """

    def __init__(self, graph: Graph, outputs: list[int], saved: list[int], takes: tuple[bool, ...]) -> None:
        self.graph, self.outputs = graph, outputs
        ready = {node: k for k, node in enumerate(saved)} if takes else {}
        needed = graph.needed(outputs, ready)
        self.places: dict[int, tuple[str, Any]] = {}
        self.inputs: list[tuple[str, int]] = []
        self.numbers: list[int] = []
        self.order: list[int] = []
        for node in needed:
            kind, operands = graph.nodes[node]
            if node in ready:
                kind, operands = SAVED, (ready[node],)
            if kind in (ARRAY, COTANGENT, SAVED):
                self.places[node] = "a", len(self.inputs)
                self.inputs.append((kind, operands[0]))
            elif kind == NUMBER:
                self.places[node] = "s", len(self.numbers)
                self.numbers.append(operands[0])
            elif kind == CONSTANT:
                self.places[node] = "k", operands[0]
            else:
                self.order.append(node)

    def reads(self, kind: str) -> set[int]:
        """Which arrays of a kind are read."""
        return {which for each, which in self.inputs if each == kind}


class TiledPass:
    """A pass as calls of NumPy's functions."""

    def __init__(self, plan: Pass, modes: tuple[str, ...]) -> None:
        text, self.temporaries = _program(plan, modes)
        self.code = _compiled(text)
        itemsize = plan.graph.dtype.itemsize
        width = itemsize * (len(plan.inputs) + len(modes)) + sum(each.itemsize for each in self.temporaries)
        self.elements = max(_LEAST, _TILE_BYTES // max(width, 1)) // _GRAIN * _GRAIN

    def run(
        self, arrays: list[np.ndarray], numbers: list[Any], outs: list[np.ndarray], flags: int, threads: int
    ) -> None:
        """Compute; all arrays have one shape.

        Raises
        ------
        FloatingPointError
            One of `flags` occurred; results have been written into.
        """
        if all(each.flags.c_contiguous for each in (*arrays, *outs)):
            arrays, outs = [each.reshape(-1) for each in arrays], [each.reshape(-1) for each in outs]
        tiles = _tiles(outs[0].shape, self.elements, threads)
        if len(tiles) == 1 or threads == 1:
            self._work(arrays, numbers, outs, tiles, flags)
            return
        turn = count()

        def work(_: int) -> None:
            self._work(arrays, numbers, outs, iter(lambda: next(turn), None), flags, tiles)

        pool.run(work, min(threads, len(tiles)))

    def _work(
        self, arrays: list, numbers: list, outs: list, which: Any, flags: int, tiles: Any = None
    ) -> None:
        shape: Any = None
        buffers = [np.empty(min(self.elements, outs[0].size), dtype) for dtype in self.temporaries]
        temporaries: list[np.ndarray] = []
        with raising(flags):
            for tile in which:
                if tiles is not None:
                    if tile >= len(tiles):
                        return
                    tile = tiles[tile]
                pieces = [each[tile] for each in outs]
                if pieces[0].shape != shape:
                    shape = pieces[0].shape
                    temporaries = [each[: prod(shape)].reshape(shape) for each in buffers]
                self.code(*pieces, *[each[tile] for each in arrays], *numbers, *temporaries)


def _tiles(shape: tuple[int, ...], most: int, threads: int) -> list[Any]:
    """Index expressions that cut `shape` into pieces of at most about `most` elements, in order."""
    if threads > 1:
        most = max(_LEAST, min(most, prod(shape) // (2 * threads) // _GRAIN * _GRAIN))
    axis = 0
    while axis < len(shape) - 1 and prod(shape[axis + 1 :]) > most:
        axis += 1
    step = max(most // prod(shape[axis + 1 :]), 1)
    if axis == len(shape) - 1:
        step = max(step // _GRAIN * _GRAIN, _GRAIN)
    pieces = [slice(i, min(i + step, shape[axis])) for i in range(0, shape[axis], step)]
    if not axis:
        return pieces
    return [(*index, piece) for index in np.ndindex(*shape[:axis]) for piece in pieces]


def _program(plan: Pass, modes: tuple[str, ...]) -> tuple[str, list[np.dtype]]:
    """The text of a function for one tile, and the dtypes of the temporaries that it wants."""
    graph = plan.graph
    last: dict[int, int] = {}
    for at, node in enumerate(plan.order):
        for k in graph.nodes[node][1]:
            last[k] = at
    for node in plan.outputs:
        last[node] = len(plan.order)
    names = {
        node: repr(what) if place == "k" else f"{place}{what}" for node, (place, what) in plan.places.items()
    }
    direct: dict[int, str] = {}
    for k, (node, mode) in enumerate(zip(plan.outputs, modes, strict=True)):
        if mode == SET and node in plan.order and node not in direct:
            direct[node] = f"o{k}"
    temporaries: list[np.dtype] = []
    free: dict[str, list[str]] = {}
    lines = []

    def room(node: int) -> str:
        dtype = graph.dtypes[node]
        assert dtype is not None
        waiting = free.setdefault(dtype.char, [])
        if waiting:
            return waiting.pop()
        temporaries.append(dtype)
        return f"t{len(temporaries) - 1}"

    def dies(node: int, at: int) -> None:
        for k in set(graph.nodes[node][1]):
            if last[k] == at and names[k][0] == "t":
                dtype = graph.dtypes[k]
                assert dtype is not None
                free.setdefault(dtype.char, []).append(names[k])

    for at, node in enumerate(plan.order):
        name, operands = graph.nodes[node]
        texts = [names[k] for k in operands]
        if name == "where":
            # It has no out=, and writes its result while it still reads its operands.
            out = direct.get(node) or room(node)
            lines += [f"copyto({out}, {texts[2]})", f"copyto({out}, {texts[1]}, where={texts[0]})"]
            dies(node, at)
        else:
            dies(node, at)
            out = direct.get(node) or room(node)
            lines.append(f"{name}({', '.join(texts)}, out={out})")
        names[node] = out
    for k, (node, mode) in enumerate(zip(plan.outputs, modes, strict=True)):
        if mode == ADD:
            lines.append(f"add(o{k}, {names[node]}, out=o{k})")
        elif names[node] != f"o{k}":
            lines.append(f"copyto(o{k}, {names[node]})")
    arguments = [
        *(f"o{k}" for k in range(len(modes))),
        *(f"a{k}" for k in range(len(plan.inputs))),
        *(f"s{k}" for k in range(len(plan.numbers))),
        *(f"t{k}" for k in range(len(temporaries))),
    ]
    body = "".join(f"  {line}\n" for line in lines)
    return f"def tile({', '.join(arguments)}):\n{body}", temporaries


@lru_cache(maxsize=512)
def _compiled(text: str) -> Any:
    space = {name: value for name, value in vars(np).items() if isinstance(value, np.ufunc)}
    space |= {"clip": np.clip, "copyto": np.copyto}
    exec(compile(text, "<minpy block>", "exec"), space)
    return space["tile"]
