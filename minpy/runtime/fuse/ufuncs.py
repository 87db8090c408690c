"""NumPy's own inner loops for what compiled blocks do not compute themselves: exp, tanh, powers, remainders."""

from __future__ import annotations

from functools import cache

import numpy as np

from minpy.records import dataclass
from minpy.runtime.fuse.steps import Step, by_quotient
from minpy.runtime.jit import numpy_loops

REST = "what a quotient leaves"
"""The step of a dividend, a quotient and a divisor that follows the quotient."""

# What is called, in the types in which NumPy computes it: operands and result are of one.
_OF_FLOATS = frozenset(
    "arccos arccosh arcsin arcsinh arctan arctan2 arctanh cbrt cos cosh deg2rad degrees exp exp2 expm1 floor_divide "
    "fmod hypot log log10 log1p log2 logaddexp logaddexp2 power rad2deg radians remainder sign sin sinh tan "
    "tanh".split()
)
_OF_INTEGERS = frozenset("floor_divide remainder sign".split())


@dataclass(frozen=True)
class Loop:
    """One of NumPy's loops, as compiled code knows it.

    Attributes
    ----------
    what : str
        The name that `numpy_loops` has for it.
    takes : tuple of numpy.dtype
        The types of the operands.
    """

    what: str
    takes: tuple[np.dtype, ...]

    @property
    def symbol(self) -> str:
        """The name of the function in the code."""
        return numpy_loops.symbol(self.what)

    @property
    def extra(self) -> str:
        """What the function is given last."""
        return f"@extra_{self.symbol}" if numpy_loops.extra(self.what) else "null"

    def declarations(self) -> list[str]:
        """What stands before the code."""
        lines = [f"declare void @{self.symbol}(ptr, ptr, ptr, ptr)\n"]
        if self.extra != "null":
            lines.append(f"{self.extra} = external global i8\n")
        return lines

    def addresses(self) -> dict[str, int]:
        """Where all that is."""
        found = {self.symbol: numpy_loops.address(self.what)}
        if self.extra != "null":
            found[self.extra[1:]] = numpy_loops.extra(self.what)
        return found


@cache
def loop(name: str, dtype: np.dtype, arity: int) -> Loop | None:
    """The loop of a function, if it is among those that are called here and gives the same wherever elements stand."""
    char = dtype.char
    if not (name in _OF_FLOATS and char in "fd") and not (name in _OF_INTEGERS and char in "bhilqBHILQ"):
        return None
    what = f"map {name} {char * (arity + 1)}"
    if not numpy_loops.address(what) or not _is_the_same_everywhere(name, dtype, arity):
        return None
    return Loop(what, (dtype,) * arity)


def _is_the_same_everywhere(name: str, dtype: np.dtype, arity: int) -> bool:
    """Whether elements give the same in arrays of any length, and at any place of these."""
    count = 1201
    places = np.arange(count)
    mixed = (places * 0.6180339887498949) % 1.0 * 2.0 - 1.0
    values = np.concatenate([mixed * scale for scale in (0.9, 5.0, 80.0, 900.0)])
    if dtype.kind in "iu":
        values = values if dtype.kind == "i" else np.abs(values)
        values = np.where(np.abs(values) < 1, 3, values % 100)
    values[5::97], values[7::113] = 0.0, -0.0
    operands = [np.roll(values, 17 * k).astype(dtype) for k in range(arity)]
    function = getattr(np, name)
    with np.errstate(all="ignore"):
        whole = function(*operands)
        if whole.dtype != dtype:
            return False
        for first, length in (
            (0, 1),
            (1, 2),
            (3, 5),
            (8, 8),
            (15, 16),
            (31, 33),
            (64, 127),
            (192, 511),
            (700, 512),
        ):
            for shift in range(0, len(values), count):
                part = slice(first + shift, first + shift + length)
                if function(*[each[part] for each in operands]).tobytes() != whole[part].tobytes():
                    return False
    return True


def in_loops(steps: list[Step]) -> tuple[list[Step], list[int]]:
    """The steps as compiled code takes them, and of each one where its value is."""
    found: list[Step] = []
    places: list[int] = []
    for step in steps:
        operands = [(where, places[k]) if where == "t" else (where, k) for where, k in step.operands]
        name = step.name
        if by_quotient(step):
            found.append(Step("floor_divide", operands, step.dtype, "", None))
            name, operands = REST, [operands[0], ("t", len(found) - 1), operands[1]]
        copy = Step(name, operands, step.dtype, step.symbol, step.exponent)
        copy.loop = step.loop
        places.append(len(found))
        found.append(copy)
    return found, places
