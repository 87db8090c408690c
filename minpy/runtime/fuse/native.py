"""The engine that compiles arithmetic (extra ``jit``): the loop nests of `nest`, run by one thread or several.

For exp, tanh … the code calls NumPy's own loops, on pieces that stay in the first-level cache.
"""

from __future__ import annotations

import ctypes
import platform
import struct
from functools import lru_cache, partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from minpy.runtime import ledger
from minpy.runtime.fuse import memory, pool, rolled, rows
from minpy.runtime.fuse.ir import Irregular
from minpy.runtime.fuse.nest import Nest
from minpy.runtime.fuse.rows import OUTER, Unfit
from minpy.runtime.fuse.state import DIVIDE, INVALID, OVER

if TYPE_CHECKING:
    from minpy.runtime.fuse.plan import Plan
    from minpy.runtime.fuse.ufuncs import Loop

_USUAL_TEXT = 8_000  # bytes of a nest's
_SHORT_WAY = (
    0.03  # seconds that the text of all short ways takes, which the first block to be compiled brings along
)
# The bits of <fenv.h>.
_BITS = {
    "x86_64": {INVALID: 1, DIVIDE: 4, OVER: 8},
    "AMD64": {INVALID: 1, DIVIDE: 4, OVER: 8},
    "aarch64": {INVALID: 1, DIVIDE: 2, OVER: 4},
    "arm64": {INVALID: 1, DIVIDE: 2, OVER: 4},
}.get(platform.machine())


class Native:
    """The compiled code of one plan; `in_place` as for `Nest`.

    Raises
    ------
    Unfit
        There is none.
    Pending
        It is being compiled (only without `wait`).
    """

    def __init__(self, plan: Plan, wait: bool = True, in_place: tuple[tuple[int, int], ...] = ()) -> None:
        text = Nest(plan, in_place)
        from minpy.runtime.jit import engine

        if _BITS is None or not engine.is_available() or not _layout_is_known():
            raise Unfit
        try:
            self.address = _address_of(text.text(), wait, tuple(text.loops))
        except engine.CompileError as error:
            raise Unfit(str(error)) from error
        # Unlike the loops' functions, these let other threads run meanwhile.
        self._function: Any = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_char_p)(self.address)
        self.operands = text.operands
        self.in_place, self._wait = in_place, wait
        self.slots = text.numbers
        count = len(text.pointers())
        self._pack = struct.Struct(f"={1 + count}q{''.join(kind for _, kind in self.slots)}").pack
        self._fixed: dict[Any, list[np.ndarray]] = {}  # geometry by strides and number of threads
        self._over: dict[Any, Native] = {}
        self.plan = plan

    def over(self, in_place: tuple[tuple[int, int], ...]) -> Native:
        """The code that writes some results over operands; raises as the class does."""
        if in_place not in self._over:
            self._over[in_place] = Native(self.plan, self._wait, in_place)
        return self._over[in_place]

    def rolls(self) -> list[rolled.Rolls]:
        """How the arrays that the code takes are rolled, in order; empty if none is."""
        if not self.plan.is_rolled:
            return []
        before = len(self.plan.outputs) + len(self.in_place)
        return [()] * before + [self.plan.rolls[k] for k in self.operands]

    def run(
        self, arrays: list[Any], numbers: list[Any], outs: list[np.ndarray], flags: int, threads: int
    ) -> None:
        """Compute into `outs`, which overlap no operand (but those that they are written over) and not each other.

        Raises
        ------
        FloatingPointError
            One of `flags` occurred; `outs` have been written into, those that are operands are as they were.
        """
        self.took = 0.0
        kept = [np.empty(outs[k].shape, outs[k].dtype) for k, _ in self.in_place]
        pointers = [*outs, *kept, *[arrays[k] for k in self.operands]]
        # Operands have the geometry of the plan, but where the first elements stand for all.
        key = tuple([(each.shape, each.strides) for each in pointers]), threads
        parts = self._fixed.get(key)
        if parts is None:
            if len(self._fixed) > 16:
                self._fixed.clear()
            parts = self._fixed[key] = parts_of(outs[0].shape, pointers, threads, self.rolls())
        ids = list(map(id, pointers))
        try:
            words = [numbers[k] if kind == "d" else int(numbers[k]) for k, kind in self.slots]
            if len(parts) == 1 or threads == 1:
                packed = [self._pack(each.ctypes.data, *ids, *words) for each in parts]
                found = 0
                began = perf_counter()
                for each in packed:
                    found |= self._function(each)
                self.took = perf_counter() - began
            else:
                answers = [0] * len(parts)

                def work(k: int) -> None:
                    answers[k] = self._function(self._pack(parts[k].ctypes.data, *ids, *words))

                pool.run(work, len(parts))
                found = 0
                for each in answers:
                    found |= each
        except struct.error:
            raise Irregular from None
        if found and flags & reported(found):
            for old, (k, _) in zip(kept, self.in_place, strict=True):
                np.copyto(outs[k], old)
            raise FloatingPointError


@lru_cache(maxsize=8)
def bits_of(flags: int) -> int:
    """Flags of `state` as the processor has them."""
    assert _BITS is not None
    return sum(_BITS[flag] for flag in (DIVIDE, OVER, INVALID) if flags & flag)


def reported(found: int) -> int:
    """The processor's flags as `state` has them."""
    assert _BITS is not None
    return sum(flag for flag in (DIVIDE, OVER, INVALID) if found & _BITS[flag])


def parts_of(
    shape: tuple[int, ...], pointers: list[np.ndarray], threads: int, rolls: list[rolled.Rolls] | None = None
) -> list[np.ndarray]:
    """What the code must know of the geometry, for each part: extents; of each array offset and strides.

    There is a part for each thread, or, if operands are rolled, for each piece without a seam.
    """
    strides = [np.broadcast_to(each, shape).strides for each in pointers]
    if rolls:
        return [
            _part_of(
                tuple(each.stop - each.start for each in box),
                [rolled.begin(box, roll, shape, step) for roll, step in zip(rolls, strides, strict=True)],
                strides,
            )
            for box in rolled.boxes(shape, rolls, threads)
        ]
    shape, strides = _merged(shape, strides)
    lead = OUTER + 1 - len(shape)
    shape = (1,) * lead + shape
    strides = [(0,) * lead + each for each in strides]
    # The longest outer axis is split (the inner one if there is none).
    axis = next((k for k in range(OUTER) if shape[k] >= 2 * threads), OUTER)
    parts = []
    for k in range(threads):
        start, stop = (shape[axis] * each // threads for each in (k, k + 1))
        if axis == OUTER:
            # Whole cache lines of a contiguous result.
            start, stop = start // 64 * 64, stop // 64 * 64 if k + 1 < threads else shape[axis]
        if start == stop:
            continue
        words = [stop - start if each == axis else extent for each, extent in enumerate(shape)]
        for each in strides:
            words += [start * each[axis], *each]
        parts.append(np.array(words, np.int64))
    return parts


def _part_of(shape: tuple[int, ...], starts: list[int], strides: list[tuple[int, ...]]) -> np.ndarray:
    # No axes are joined: a part may have one element along the last one, which the code takes to be that.
    lead = OUTER + 1 - len(shape)
    words = [1] * lead + list(shape)
    for start, each in zip(starts, strides, strict=True):
        words += [start, *(0,) * lead, *each]
    return np.array(words, np.int64)


def _merged(
    shape: tuple[int, ...], strides: list[tuple[int, ...]]
) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    """Join axes that are one run of memory in every operand, and drop those of one element."""
    extents: list[int] = []
    steps: list[list[int]] = []
    for axis, extent in enumerate(shape):
        step = [each[axis] for each in strides]
        if extent == 1 and len(shape) > 1 and not (axis == len(shape) - 1 and not extents):
            continue
        if extents and all(last == own * extent for last, own in zip(steps[-1], step, strict=True)):
            extents[-1] *= extent
            steps[-1] = step
        else:
            extents.append(extent)
            steps.append(step)
    return tuple(extents), [tuple(step[k] for step in steps) for k in range(len(strides))]


def takes(loaded: bool | None = None) -> float:
    """The seconds that compiling one more text will take from the program: its thread does it, or the program waits.

    `loaded` says whether the compiler is, if that is not to be asked.
    """
    from minpy.runtime.jit import background

    loading = background.expected(loaded) - background.expected(loaded=True)
    return background.expected_again(_USUAL_TEXT) + (loading + _SHORT_WAY if loading else 0.0)


def may_be_used() -> bool:
    """Whether there is a compiler, and nobody has switched it off."""
    from minpy.runtime.jit import engine, sites

    return _BITS is not None and sites.mode() != "off" and engine.is_available()


def fits(plan: Plan) -> bool:
    """Whether a plan can be compiled, as far as can be told without the compiler."""
    try:
        Nest(plan)
    except Unfit:
        return False
    return True


@lru_cache(maxsize=1)
def _layout_is_known() -> bool:
    """Whether an array's object holds the address of its elements where NumPy's headers say."""
    array = np.arange(3.0)[1:]
    return ctypes.c_void_p.from_address(id(array) + rows.DATA).value == array.ctypes.data


_kept: list[Any] = []  # what compiled functions live in


@lru_cache(maxsize=1)
def _flag_functions() -> dict[str, int]:
    """The addresses of the C library's functions for floating-point flags."""
    for name in (None, "libm.so.6"):
        try:
            library = ctypes.CDLL(name)
            functions = library.feclearexcept, library.fetestexcept
        except (OSError, AttributeError, TypeError):
            continue
        return {f"minpy_{each.__name__}": ctypes.cast(each, ctypes.c_void_p).value or 0 for each in functions}
    raise Unfit("the C library has no <fenv.h>")


@lru_cache(maxsize=256)
def _address_of(text: str, wait: bool, loops: tuple[Loop, ...] = ()) -> int:
    outside = dict(_flag_functions())
    for loop in loops:
        outside |= loop.addresses()
    return placed(text, outside, wait=wait)


def compiled(text: str, *, wait: bool, loops: tuple[Loop, ...] = ()) -> int:
    """The address of ``kernel`` in a module that may ask for the floating-point flags, and call loops; see `placed`.

    Without `wait`, `Unfit` while the time for compiling it may not be spent yet.
    """
    from minpy.runtime.jit import engine

    if not wait and text not in _begun:
        if memory.load_code(text, engine.stamp()) is None and not ledger.allows_sure(takes()):
            raise Unfit("later")
        _begun.add(text)
    return _address_of(text, wait, loops)


_begun: set[str] = set()


def placed(text: str, outside: dict[str, int], *, wait: bool = True, quickly: bool = False) -> int:
    """Compile a module, or take its code from the cache, and place it in memory; the address of ``kernel``."""
    from minpy.runtime.jit import background, engine, loader

    code = memory.load_code(text, engine.stamp())
    if code is None:
        keep = partial(memory.save_code, text, engine.stamp())
        if quickly:
            code = background.quick_code(text)
            keep(code)
        elif wait:
            began = ledger.clock()
            code = engine.object_code(text)
            ledger.note("compiling", ledger.clock() - began)
            keep(code)
        else:
            code = background.object_code(text, keep)
    address = loader.place(code, "kernel", outside)
    if not address:
        llvm = engine._machine()[0]
        for name, where in outside.items():
            llvm.add_symbol(name, where)
        function = engine.function(code, {})
        _kept.append(function)
        address = ctypes.cast(function, ctypes.c_void_p).value
    return address
