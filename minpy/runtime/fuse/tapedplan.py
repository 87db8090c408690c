"""How a block is computed on a tape, and its reverse in the sweep, for operands of one geometry."""

from __future__ import annotations

from typing import Any

import numpy as np

from minpy.runtime import ledger
from minpy.runtime.fuse import native, pool
from minpy.runtime.fuse.adjoint import HEAVY, Derivation
from minpy.runtime.fuse.ir import Irregular, Operation
from minpy.runtime.fuse.passes import ADD, SET, Pass, TiledPass
from minpy.runtime.fuse.passes_native import THROUGH, NativePass
from minpy.runtime.fuse.plan import _is_even, _is_ordered

_LEAST = 8192  # elements
_STREAM = 1 << 19  # elements from which tiles pay: what lies between operations no longer stays in the cache
_SHARED = 1 << 20  # elementary operations from which threads share the work
_SAMPLE = 4096


class Plan:
    """A block with its reverse.

    Attributes
    ----------
    shape, dtype
        Of the result.
    arrays : list of int
        The leaves that are arrays.
    read : set of int
        Which of `arrays` the reverse reads.
    keeps : int
        How many values the forward run keeps besides the result.
    reads_result : bool
        The reverse reads the result.
    """

    def __init__(
        self,
        operations: list[Operation],
        texts: list[str],
        result: int,
        leaves: tuple[Any, ...],
        active: tuple[int, ...],
        mode: str,
    ) -> None:
        self.mode = mode
        made = Derivation(operations, result, texts, leaves, active)
        graph = made.graph
        self.arrays, self.dtype = made.arrays, graph.dtype
        own = [leaves[i] for i in self.arrays]
        self.shape = np.broadcast_shapes(*(each.shape for each in own))
        size = 1
        for extent in self.shape:
            size *= extent
        if len(made.cotangents) != len(active) or set(active) - set(self.arrays):
            raise Irregular("an operand without a derivative")
        if not size or (mode == "auto" and size < _LEAST):
            raise Irregular("small")
        _check(own, self.shape)
        _check_shapes(operations, leaves, self.shape)
        for name, _ in graph.nodes:
            if name in ("maximum", "minimum") and not _is_even(name, self.dtype.char):
                raise Irregular(name)
        arguments = ", ".join(f"l{i}" for i in range(len(leaves)))
        self.numbers_of = eval(f"lambda {arguments}: {made.numbers}", {"__builtins__": {}})
        self.reads_result = made.result in made.saved
        kept = [each for each in made.saved if each != made.result]
        self.keeps = len(kept)
        self.place_of_result = made.saved.index(made.result) if self.reads_result else -1
        self._forward = Pass(graph, [made.result, *kept], [], ())
        order = [made.cotangents[self.arrays.index(i)] for i in active]
        self._reverse = Pass(graph, order, made.saved, (True,))
        self.read = self._reverse.reads("x")
        heavy = sum(graph.nodes[each][0] in HEAVY for each in self._forward.order)
        self._work = size * (len(self._forward.order) + 20 * heavy)
        self._pays = size >= _STREAM or heavy > 0
        self._spent = 0.0
        self._engines: dict[Any, Any] = {}
        self._jobs: dict[Any, Any] = {}
        self._shown: set[str] = set()
        self._differs = False  # an engine gave other bits than NumPy
        self._turn = 0
        self._spread = [None if each.shape == self.shape else each.shape for each in own]
        self._is_spread = any(each is not None for each in self._spread)
        self._runs = tuple(_moves(np.broadcast_to(each, self.shape)) for each in own)
        self._forward_runs = self._inputs_run(self._forward)
        self._order = [k for _, k in self._forward.inputs]
        self._ready: str | None = None  # the engine of every evaluation from now on
        self._reverses: dict[Any, tuple[Any, int]] = {}  # the same, of the sweep

    # Which engine.

    def forward(self) -> str | None:
        """The engine of this evaluation, and its threads (``"tiled2"``); None while none is ready that pays.

        Raises
        ------
        Irregular
            There will be none.
        """
        if self._ready is not None:
            return self._ready
        key = "forward", (SET,) * (1 + self.keeps), self._forward_runs
        found = self._wanted(*key)
        if found is not None and found[0] == "n" and self.mode[:5] != "force":
            self._ready = found
        if self._differs or (found is None and (key in self._engines or key[2] is None)):
            raise Irregular("nothing that pays")
        return found

    def _wanted(self, which: str, modes: tuple[str, ...], runs: tuple[bool, ...] | None) -> str | None:
        if self.mode.startswith("force:"):
            name = self.mode[6:]
            if name.startswith("native") and self._native(which, modes, runs, True) is None:
                return "tiled1"
            return "tiled1" if name == "written" else name
        if self.mode == "force":
            self._turn += 1
            name = ("native1", "tiled1", "native2", "tiled2")[self._turn % 4]
            return name if name[0] == "t" or self._native(which, modes, runs, True) else f"tiled{name[-1]}"
        threads = pool.width() if self._work >= _SHARED else 1
        if self._native(which, modes, runs, False) is not None:
            return f"native{threads}"
        if self._pays or which == "reverse":
            return f"tiled{threads}"
        return None

    def _native(self, which: str, modes: tuple[str, ...], runs: tuple[bool, ...] | None, wait: bool) -> Any:
        key = which, modes, runs
        if key in self._engines:
            return self._engines[key]
        if runs is None:
            return None
        from minpy.runtime.jit import background, engine, sites

        job = self._jobs.get(key)
        if job is not None and not job.done:
            return None
        if not wait and job is None:
            if sites.mode() == "off" or not engine.is_available():
                self._engines[key] = None
                return None
            # As long as it runs as written: about a nanosecond for each operation, and twice that in the sweep.
            self._spent += 3e-9 * self._work
            takes = native.takes()
            if which == "forward" and not (self._spent > takes and ledger.allows(takes, self._spent)):
                return None
        try:
            plan = self._forward if which == "forward" else self._reverse
            found: Any = NativePass(plan, modes, runs, wait)
        except background.Pending as pending:
            self._jobs[key] = pending.job
            return None
        except (native.Unfit, engine.CompileError):
            found = None
        self._engines[key] = found
        return found

    def _tiled(self, which: str, modes: tuple[str, ...]) -> TiledPass:
        key = "tiled", which, modes
        if key not in self._engines:
            self._engines[key] = TiledPass(self._forward if which == "forward" else self._reverse, modes)
        return self._engines[key]

    def _inputs_run(self, plan: Pass) -> tuple[bool, ...] | None:
        if (
            not 1 <= len(self.shape) <= 4
            or self.shape[-1] == 1
            or any(self._runs[k] is None for kind, k in plan.inputs if kind == "x")
        ):
            return None
        return tuple(bool(self._runs[k]) if kind == "x" else True for kind, k in plan.inputs)

    # Running.

    def _full(self, arrays: Any) -> Any:
        if not self._is_spread:
            return arrays
        return [
            each if shape is None or each is None else np.broadcast_to(each, self.shape)
            for each, shape in zip(arrays, self._spread, strict=True)
        ]

    def run_forward(
        self, engine: str, arrays: list[np.ndarray], numbers: Any, outs: list[np.ndarray], flags: int
    ) -> None:
        """Compute the block into `outs`: the result, and what is kept."""
        plan, modes = self._forward, (SET,) * len(outs)
        given = self._full(arrays)
        given = [given[k] for k in self._order]
        chosen = [numbers[k] for k in plan.numbers]
        if engine[0] == "n" and any(out.strides[-1] != out.itemsize for out in outs):
            engine = f"tiled{engine[-1]}"
        if engine[0] == "n":
            code = self._native("forward", modes, self._forward_runs, False)
            chosen = [float(each) for each in chosen]
        else:
            code = self._tiled("forward", modes)
        if engine not in self._shown:
            self._show(code, given, chosen, flags, [numbers[k] for k in plan.numbers])
            self._shown.add(engine)
        code.run(given, chosen, outs, flags, int(engine.lstrip("nativeld")))

    def _show(self, code: Any, given: list[Any], chosen: list[Any], flags: int, numbers: list[Any]) -> None:
        """An engine must give NumPy's bits on the first elements."""
        index: list[slice] = []
        left = _SAMPLE
        for extent in reversed(self.shape):
            index.insert(0, slice(0, max(1, min(extent, left))))
            left = max(1, left // extent)
        few = tuple(index)
        some = [each[few] for each in given]
        graph = self._forward.graph
        values: dict[int, Any] = {}
        for node, (place, what) in self._forward.places.items():
            values[node] = some[what] if place == "a" else numbers[what] if place == "s" else what
        with np.errstate(all="ignore"):
            for node in self._forward.order:
                name, operands = graph.nodes[node]
                values[node] = getattr(np, name)(*[values[k] for k in operands])
        outs = [np.empty(values[node].shape, self.dtype) for node in self._forward.outputs]
        code.run(some, chosen, outs, flags, 1)
        for node, out in zip(self._forward.outputs, outs, strict=True):
            if np.ascontiguousarray(values[node]).tobytes() != out.tobytes():
                self._differs = True
                raise Irregular("other bits than NumPy's")

    def run_reverse(self, g: np.ndarray, kept: tuple, outs: list[np.ndarray], adds: tuple[bool, ...]) -> None:
        """Compute the cotangents of the operands from that of the result, into `outs` or added to them."""
        plan = self._reverse
        contents, saved, numbers = kept
        full = self._full(contents)
        given = [g if kind == "g" else full[k] if kind == "x" else saved[k] for kind, k in plan.inputs]
        chosen = [numbers[k] for k in plan.numbers]
        key = (
            adds,
            tuple([each.strides for each in given]),
            tuple([out.strides[-1] == out.itemsize for out in outs]),
            len(outs) > 1 and any(adds) and _overlap(outs),
        )
        found = self._reverses.get(key)
        if found is None:
            found = self._engine_of_reverse(key, given)
        code, threads = found
        if type(code) is NativePass:
            chosen = [float(each) for each in chosen]
        code.run(given, chosen, outs, 0, threads)

    def _engine_of_reverse(self, key: tuple, given: list[np.ndarray]) -> tuple[Any, int]:
        adds, _, packed, overlap = key
        modes = tuple((THROUGH if overlap else ADD) if add else SET for add in adds)
        runs = tuple(_moves(each) for each in given)
        fits = self._forward_runs is not None and None not in runs and all(packed)
        engine = self._wanted("reverse", modes, runs if fits else None)  # type: ignore[arg-type]
        assert engine is not None
        threads = 1 if overlap else int(engine.lstrip("nativeld"))
        if engine[0] == "n":
            code = self._native("reverse", modes, runs, False)  # type: ignore[arg-type]
            if self.mode[:5] != "force":
                if len(self._reverses) > 16:
                    self._reverses.clear()
                self._reverses[key] = code, threads
            return code, threads
        return self._tiled("reverse", tuple(ADD if add else SET for add in adds)), threads


def _overlap(outs: list[np.ndarray]) -> bool:
    return any(np.may_share_memory(out, other) for k, out in enumerate(outs) for other in outs[:k])


def _moves(array: np.ndarray) -> bool | None:
    """Whether an array changes along the last axis; None if its elements there are not next to each other."""
    step = array.strides[-1]
    return True if step == array.itemsize else False if step == 0 else None


def _check(arrays: list[np.ndarray], shape: tuple[int, ...]) -> None:
    """The result must be one that NumPy makes in C order, of arrays that lie as they should."""
    for each in arrays:
        if not each.ndim or not each.flags.aligned or any(stride < 0 for stride in each.strides):
            raise Irregular("layout")
        if not each.dtype.isnative:
            raise Irregular("byte order")
    if all(each.shape == shape and each.flags.c_contiguous for each in arrays):
        return
    if any(extent < 2 for extent in shape) or not all(_is_ordered(each) for each in arrays):
        raise Irregular("layout")


def _check_shapes(operations: list[Operation], leaves: tuple[Any, ...], shape: tuple[int, ...]) -> None:
    """Every operation that has an array among its operands must give one of the full shape."""
    shapes: dict[int, tuple[int, ...]] = {i: np.shape(leaf) for i, leaf in enumerate(leaves)}
    for number, operation in enumerate(operations):
        found = np.broadcast_shapes(*(shapes[each] for each in operation.operands))
        if found and found != shape:
            raise Irregular("a part of another shape")
        shapes[-number - 1] = found
