"""Plans as LLVM assembly: one loop nest, each operand read once, each result written once, nothing in between.

Without any licence to change a bit: no contraction to fused multiply-adds, no reassociation. Operands are converted to
the type that NumPy's loop has, operation by operation. How rows are walked over is in `rows`; here are the operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from minpy.runtime.fuse import ufuncs
from minpy.runtime.fuse.rows import FIXED, OUTER, PACKED, STRIDED, Rows, Unfit, type_of

if TYPE_CHECKING:
    from minpy.runtime.fuse.plan import Plan, Step

_SUFFIX = {"double": "f64", "float": "f32"}
_BINARY = {"add": "add", "subtract": "sub", "multiply": "mul"}
_COMPARE = {
    "less": ("olt", "lt"), "less_equal": ("ole", "le"), "greater": ("ogt", "gt"), "greater_equal": ("oge", "ge"),
    "equal": ("oeq", "eq"), "not_equal": ("une", "ne"),
}  # fmt: skip
_LOGIC = {"logical_and": "and", "logical_or": "or", "logical_xor": "xor"}
_BITS = {"bitwise_and": "and", "bitwise_or": "or", "bitwise_xor": "xor"}
_ROUND = {"floor": "floor", "ceil": "ceil", "trunc": "trunc", "rint": "rint"}
_EXTREMES = {"minimum": ("olt", "lt"), "maximum": ("ogt", "gt")}


@lru_cache(maxsize=8)
def _takes_second(name: str, kind: str) -> bool:
    """Of two zeros of different signs, whether NumPy's minimum or maximum gives the second one."""
    zero = np.zeros(1, kind)
    return bool(np.signbit(getattr(np, name)(zero, -zero))[0])


@lru_cache(maxsize=8)
def _takes_limits(kind: str) -> tuple[bool, bool] | None:
    """Whether `np.clip` gives its lower and its upper limit where these are zeros, the element one of the other sign.

    None: not everywhere in an array, or limits that are NaN are not what it gives.
    """
    zero, one, nan = (np.dtype(kind).type(each) for each in (0, 1, np.nan))
    found = []
    for limits in ((zero, one), (-one, zero), (-zero, one), (-one, -zero)):
        element = -zero if any(each == 0 and not np.signbit(each) for each in limits) else zero
        whole = np.full(67, element, kind)
        given = np.signbit(np.concatenate([np.clip(whole, *limits), np.clip(whole[::3], *limits)]))
        if given.any() != given.all():
            return None
        found.append(bool(given[0] != np.signbit(element)))
    if found[:2] != found[2:]:
        return None
    for limits in ((nan, one), (zero, nan)):
        if not np.isnan(np.clip(np.full(67, one / 2, kind), *limits)).all():
            return None
    return found[0], found[1]


class Nest(Rows):
    """Writes the module of a plan.

    Parameters
    ----------
    in_place : tuple of (int, int)
        As for `Rows`.
    """

    def __init__(self, plan: Plan, in_place: tuple[tuple[int, int], ...] = ()) -> None:
        if len(plan.shape) > OUTER + 1:
            raise Unfit("too many axes")
        if plan.shape[-1] == 1:
            raise Unfit("one element along the last axis: strides say nothing about what comes next")
        if not plan.live | {k for step in plan.steps for where, k in step.operands if where == "t"} >= set(
            range(len(plan.steps))
        ):
            raise Unfit("a value that nobody reads: the compiler would drop it, and its warnings")
        super().__init__(plan, in_place)

    def _loop_for(self, step: Step) -> ufuncs.Loop | None:
        """NumPy's loop for an operation that is called; None if it is compiled."""
        return ufuncs.loop(step.name, step.dtype, len(step.operands))

    # Values.

    def _choice(self, condition: str, kind: str, a: str, b: str) -> str:
        # Not to be made a jump: what only one side needs would not be computed then, and not be reported.
        return self._new(f"select i1 {condition}, {kind} {a}, {kind} {b}, !unpredictable !0")

    def _intrinsic(self, name: str, kind: str, *values: str) -> str:
        function = f"llvm.{name}.{_SUFFIX[kind]}"
        self._declared.add(f"declare {kind} @{function}({', '.join([kind] * len(values))})\n")
        return self._new(f"call {kind} @{function}({', '.join(f'{kind} {each}' for each in values)})")

    def _number(self, k: int, wanted: np.dtype) -> str:
        kind = self.plan.number_kinds[k]
        if wanted.kind == "f":
            if kind not in "bif":
                raise Unfit("a number of another kind")
            slot = self._slot(k, "d")
            return slot if wanted.char == "d" else self._new(f"fptrunc double {slot} to float")
        if wanted.kind in "iu":
            # The same bits of the number are known to be wanted whenever this plan is.
            if kind not in "bi" or self.plan.number_bits[k] >= 8 * wanted.itemsize - (wanted.kind == "i"):
                raise Unfit("a number that does not fit")
            if wanted.kind == "u" and self.plan.number_bits[k] < 0:
                raise Unfit("a negative number")
            slot = self._slot(k, "q")
            return slot if wanted.itemsize == 8 else self._new(f"trunc i64 {slot} to {type_of(wanted)}")
        if kind != "b":
            raise Unfit("a number as a truth value")
        return self._new(f"trunc i64 {self._slot(k, 'q')} to i1")

    def _slot(self, k: int, kind: str) -> str:
        if (k, kind) not in self.numbers:
            self.numbers.append((k, kind))
        return f"%s{self.numbers.index((k, kind))}"

    def _converted(self, value: str, given: np.dtype, wanted: np.dtype) -> str:
        if given == wanted:
            return value
        from_type, to_type = type_of(given), type_of(wanted)
        if wanted.kind == "f":
            if given.kind == "f":
                word = "fpext" if wanted.itemsize > given.itemsize else "fptrunc"
            else:
                word = "sitofp" if given.kind == "i" else "uitofp"
            return self._new(f"{word} {from_type} {value} to {to_type}")
        if given.kind == "f" or wanted.kind == "b":
            raise Unfit(f"{given} as {wanted}")
        if from_type == to_type:
            return value
        if wanted.itemsize < given.itemsize:
            return self._new(f"trunc {from_type} {value} to {to_type}")
        return self._new(f"{'sext' if given.kind == 'i' else 'zext'} {from_type} {value} to {to_type}")

    def _truth(self, place: tuple[str, int]) -> str:
        where, k = place
        if where == "s":
            return self._number(k, np.dtype(bool))
        dtype = self.steps[k].dtype if where == "t" else self.plan.operand_dtypes[k]
        value = self._operand(place, dtype)
        if dtype.kind == "b":
            return value
        if dtype.kind == "f":
            self._want([place], [value], dtype)
            return self._new(f"fcmp une {type_of(dtype)} {value}, 0.0")
        return self._new(f"icmp ne {type_of(dtype)} {value}, 0")

    def _step(self, step: Step) -> str:
        name, dtype, places = step.name, step.dtype, step.operands
        if name in _COMPARE:
            return self._comparison(step)
        if name in _LOGIC:
            a, b = map(self._truth, places)
            return self._new(f"{_LOGIC[name]} i1 {a}, {b}")
        if name == "logical_not":
            return self._new(f"xor i1 {self._truth(places[0])}, true")
        if name == "where":
            condition = places[0]
            if condition[0] == "s" or self._dtype_of(condition).kind != "b":
                raise Unfit("a condition that is no truth value")
            values = [self._operand(each, dtype) for each in places[1:]]
            kind = type_of(dtype)
            self._want(places[1:], values, dtype)
            return self._choice(self._operand(condition, np.dtype(bool)), kind, *values)
        if name in ("isnan", "isfinite", "isinf"):
            return self._classified(step)
        kind = type_of(dtype)
        if name in _BITS or name == "invert":
            values = [self._operand(each, dtype) for each in places]
            if dtype.kind not in "biu":
                raise Unfit(name)
            if name == "invert":
                return self._new(f"xor {kind} {values[0]}, {'true' if kind == 'i1' else '-1'}")
            return self._new(f"{_BITS[name]} {kind} {values[0]}, {values[1]}")
        if dtype.kind == "b":
            raise Unfit(f"{name} of truth values")
        if name == "clip" and any(where != "s" for where, _ in places[1:]):
            raise Unfit("limits that are arrays: NumPy has another loop for them")
        values = [self._operand(each, dtype) for each in places]
        if dtype.kind == "f":
            return self._of_floats(name, dtype, kind, values)
        return self._of_integers(name, dtype, kind, values)

    def _want(self, places: Sequence[tuple[str, int]], values: list[str], dtype: np.dtype) -> None:
        """See to it that values are computed, each of them, of which only some are taken, or only a truth."""
        self._stage.computed_all += [
            (value, type_of(dtype)) for (where, _), value in zip(places, values, strict=True)
            if where == "t" and dtype.kind == "f"
        ]  # fmt: skip

    def _dtype_of(self, place: tuple[str, int]) -> np.dtype:
        where, k = place
        return self.steps[k].dtype if where == "t" else self.plan.operand_dtypes[k]

    def _of_floats(self, name: str, dtype: np.dtype, kind: str, a: list[str]) -> str:
        if name in _BINARY:
            return self._new(f"f{_BINARY[name]} {kind} {a[0]}, {a[1]}")
        if name == "true_divide":
            return self._new(f"fdiv {kind} {a[0]}, {a[1]}")
        if name == "negative":
            return self._new(f"fneg {kind} {a[0]}")
        if name == "positive":
            return a[0]
        if name in ("absolute", "fabs"):
            return self._intrinsic("fabs", kind, a[0])
        if name == "sqrt":
            return self._intrinsic("sqrt", kind, a[0])
        if name == "square":
            return self._new(f"fmul {kind} {a[0]}, {a[0]}")
        if name == "reciprocal":
            return self._new(f"fdiv {kind} 1.0, {a[0]}")
        if name in _ROUND:
            return self._intrinsic(_ROUND[name], kind, a[0])
        if name == "copysign":
            return self._intrinsic("copysign", kind, a[0], a[1])
        if name in _EXTREMES:
            order = _EXTREMES[name][0]
            if not _takes_second(name, dtype.char):
                order = f"o{order[1]}e"
            better = self._new(f"fcmp {order} {kind} {a[0]}, {a[1]}")
            chosen = self._choice(better, kind, a[0], a[1])
            lost = self._new(f"fcmp uno {kind} {a[0]}, {a[0]}")
            return self._choice(lost, kind, a[0], chosen)
        if name == "clip":
            return self._clipped(dtype, kind, *a)
        raise Unfit(name)

    def _clipped(self, dtype: np.dtype, kind: str, value: str, low: str, high: str) -> str:
        """A number between two others, as NumPy has it for NaNs and zeros of both signs."""
        takes_limits = _takes_limits(dtype.char)
        if takes_limits is None:
            raise Unfit("a choice between zeros that is not known")
        lost = self._new(f"fcmp uno {kind} {value}, {value}")
        for limit, order, takes in zip((low, high), "gl", takes_limits, strict=True):
            # (Not to be above a limit that is NaN is to take it.)
            better = self._new(f"fcmp o{order}{'t' if takes else 'e'} {kind} {value}, {limit}")
            value = self._choice(self._new(f"or i1 {better}, {lost}"), kind, value, limit)
            lost = self._new(f"fcmp uno {kind} {value}, {value}")
        return value

    def _of_integers(self, name: str, dtype: np.dtype, kind: str, a: list[str]) -> str:
        sign = "s" if dtype.kind == "i" else "u"
        if name in _BINARY:
            return self._new(f"{_BINARY[name]} {kind} {a[0]}, {a[1]}")
        if name == "negative":
            return self._new(f"sub {kind} 0, {a[0]}")
        if name == "positive":
            return a[0]
        if name == "square":
            return self._new(f"mul {kind} {a[0]}, {a[0]}")
        if name == "absolute":
            if sign == "u":
                return a[0]
            below = self._new(f"icmp slt {kind} {a[0]}, 0")
            other = self._new(f"sub {kind} 0, {a[0]}")
            return self._choice(below, kind, other, a[0])
        if name in _EXTREMES:
            better = self._new(f"icmp {sign}{_EXTREMES[name][1]} {kind} {a[0]}, {a[1]}")
            return self._choice(better, kind, a[0], a[1])
        if name == "clip":
            for limit, word in zip(a[1:], "gl", strict=True):
                inside = self._new(f"icmp {sign}{word}t {kind} {a[0]}, {limit}")
                a[0] = self._choice(inside, kind, a[0], limit)
            return a[0]
        if name == ufuncs.REST:
            rest = self._new(f"sub {kind} {a[0]}, {self._new(f'mul {kind} {a[1]}, {a[2]}')}")
            nothing = self._new(f"icmp eq {kind} {a[2]}, 0")  # NumPy's rest is 0 then
            return self._choice(nothing, kind, "0", rest)
        if name in ("left_shift", "right_shift"):
            width = 8 * dtype.itemsize
            far = self._new(f"icmp uge {kind} {a[1]}, {width}")
            count = self._choice(far, kind, "0", a[1])
            word = "shl" if name[0] == "l" else "ashr" if sign == "s" else "lshr"
            near = self._new(f"{word} {kind} {a[0]}, {count}")
            rest = "0"
            if word == "ashr":
                rest = self._new(f"ashr {kind} {a[0]}, {width - 1}")
            return self._choice(far, kind, rest, near)
        raise Unfit(name)

    def _comparison(self, step: Step) -> str:
        if step.loop is None:
            raise Unfit("a comparison of different kinds")
        a, b = values = [self._operand(each, step.loop) for each in step.operands]
        self._want(step.operands, values, step.loop)
        kind = type_of(step.loop)
        of_floats, word = _COMPARE[step.name]
        if step.loop.kind == "f":
            return self._new(f"fcmp {of_floats} {kind} {a}, {b}")
        sign = "" if word in ("eq", "ne") else "s" if step.loop.kind == "i" else "u"
        return self._new(f"icmp {sign}{word} {kind} {a}, {b}")

    def _classified(self, step: Step) -> str:
        dtype = self._dtype_of(step.operands[0]) if step.operands[0][0] != "s" else np.dtype(bool)
        if dtype.kind != "f":
            raise Unfit(step.name)
        kind = type_of(dtype)
        value = self._operand(step.operands[0], dtype)
        self._want(step.operands, [value], dtype)
        if step.name == "isnan":
            return self._new(f"fcmp uno {kind} {value}, {value}")
        size = self._intrinsic("fabs", kind, value)
        infinity = "0x7FF0000000000000"
        return self._new(f"fcmp {'oeq' if step.name == 'isinf' else 'one'} {kind} {size}, {infinity}")


def moves_of(shape: tuple[int, ...], full: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> int:
    """How an operand moves along the last axis of the result."""
    if shape[-1] != full[-1] or not strides[-1]:
        return FIXED
    return PACKED if strides[-1] == itemsize else STRIDED
