"""``Generator.random`` by several threads: one draw makes one number, so a copy can be sent ahead.

Only for generators that can be (PCG64). The stream, and the state that the generator is left in, are those of one
thread. Methods that reject some of the draws (normal, integers) need all that came before.
"""

from __future__ import annotations

import operator
from math import prod
from typing import Any

import numpy as np

from minpy.runtime.fuse import forms, pool
from minpy.runtime.fuse.ir import Irregular, Program, _attribute

_LEAST = 50_000
_AHEAD = tuple(getattr(np.random, name) for name in ("PCG64", "PCG64DXSM") if hasattr(np.random, name))


class Draws:
    """One call of ``random(size)``.

    Raises
    ------
    Irregular
        The receiver is another kind of generator, or few numbers are wanted.
    """

    compilable = expression = False
    contraction = kernel = None

    def __init__(self, call: Any, names: tuple[Any, ...], parameters: dict[str, Any]) -> None:
        program, _ = call.operands[0]
        self.generator = _value(program, names)
        self.job, self.operand_dtypes = self, []
        size = parameters.get("size")
        if type(self.generator) is not np.random.Generator or set(parameters) != {"size"}:
            raise Irregular
        self.bits = self.generator.bit_generator
        if type(self.bits) not in _AHEAD or type(size) in (bool, float, str, list, type(None), np.float64):
            raise Irregular
        self.shape = tuple(map(operator.index, size if type(size) is tuple else (size,)))
        self.size = prod(self.shape)
        auto = call.mode == "auto"
        if (
            min(self.shape, default=0) < 0
            or self.size < (_LEAST if auto else 2)
            or (auto and pool.width() < 2)
        ):
            raise Irregular
        key = f"random|{type(self.bits).__name__}|{self.size.bit_length()}"
        choice = call._choices.get(key)
        if choice is None:
            choice = call._choices[key] = forms.CallChoice(self, key, call.mode)
        self.choice = choice

    def written(self, _: Any) -> np.ndarray:
        """As the program has it."""
        return self.generator.random(self.shape)

    def run(self, _: Any, kind: str, threads: int, flags: int) -> np.ndarray:
        """Draw."""
        result = np.empty(self.shape)
        flat = result.reshape(-1)
        parts = max(threads, 1)
        starts = [k * self.size // parts for k in range(parts + 1)]
        with self.bits.lock:
            before = self.bits.state
            copies = [self._ahead(before, start) for start in starts]

            def work(number: int) -> None:
                cut = flat[starts[number] : starts[number + 1]]
                np.random.Generator(copies[number]).random(out=cut)

            pool.run(work, parts)
            # What was left of a draw for 32 bits is still there.
            left = {name: before[name] for name in ("has_uint32", "uinteger")}
            after = self._ahead(before, self.size).state
            self.bits.state = after | left
        return result

    def _ahead(self, state: dict[str, Any], steps: int) -> Any:
        copy = type(self.bits)(0)
        copy.state = state
        return copy.advance(steps)


def _value(program: Program, names: tuple[Any, ...]) -> Any:
    """What a name, or a chain of attributes, stands for."""
    leaf = program.leaves[program.result] if program.result >= 0 else ""
    if leaf[:1] not in ("v", "w") or not leaf[1:].isdigit():
        raise Irregular
    if leaf[0] == "v":
        return names[int(leaf[1:])]
    start, attributes = program.chains[int(leaf[1:])]
    value = names[start]
    for attribute in attributes:
        value = _attribute(value, attribute)
    return value
