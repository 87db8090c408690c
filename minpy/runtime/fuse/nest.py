"""Plans as LLVM assembly: one loop nest, each operand read once, each result written once, nothing in between.

Without any licence to change a bit: no contraction to fused multiply-adds, no reassociation. Operands are converted to
the type that NumPy's loop has, operation by operation.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from minpy.runtime.fuse.walk import Walk

if TYPE_CHECKING:
    from minpy.runtime.fuse.plan import Plan, Step

DATA = 16  # where PyArrayObject has its data pointer
OUTER = 3  # axes outside the innermost one
FIXED, PACKED, STRIDED = 0, 1, 2  # how an operand moves along the last axis
_FLOATS = {"d": "double", "f": "float"}
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


class Unfit(Exception):
    """The plan holds what is not compiled here."""


def type_of(dtype: np.dtype) -> str:
    """The type of a value in a register."""
    if dtype.kind == "f" and dtype.char in _FLOATS:
        return _FLOATS[dtype.char]
    if dtype.kind == "b":
        return "i1"
    if dtype.kind in "iu":
        return f"i{8 * dtype.itemsize}"
    raise Unfit(f"{dtype} is not compiled")


def _stored(dtype: np.dtype) -> str:
    return "i8" if dtype.kind == "b" else type_of(dtype)


@lru_cache(maxsize=8)
def _takes_second(name: str, kind: str) -> bool:
    """Of two zeros of different signs, whether NumPy's minimum or maximum gives the second one."""
    zero = np.zeros(1, kind)
    return bool(np.signbit(getattr(np, name)(zero, -zero))[0])


class Nest:
    """Writes the module of a plan.

    Parameters
    ----------
    in_place : tuple of (int, int)
        Results that are written over an operand: the numbers of result and operand. What was there before is kept
        in further arrays, one for each, behind the results.

    Attributes
    ----------
    numbers : list of (int, str)
        The numbers that the code takes: which of the plan's, ``"d"`` as a float or ``"q"`` as an integer.
    """

    def __init__(self, plan: Plan, in_place: tuple[tuple[int, int], ...] = ()) -> None:
        self.plan = plan
        self.in_place = in_place
        self.numbers: list[tuple[int, str]] = []
        if len(plan.shape) > OUTER + 1:
            raise Unfit("too many axes")
        if plan.shape[-1] == 1:
            raise Unfit("one element along the last axis: strides say nothing about what comes next")
        if not plan.live | {k for step in plan.steps for where, k in step.operands if where == "t"} >= set(
            range(len(plan.steps))
        ):
            raise Unfit("a value that nobody reads: the compiler would drop it, and its warnings")
        over = {operand: result for result, operand in in_place}
        self.operands = [k for k in range(len(plan.operand_dtypes)) if k not in over]
        self.over = over
        self._count = 0
        self._lines: list[str] = []
        self._declared: set[str] = set()
        # Values of which a condition takes some only. Processors that compute with masks report nothing of the others,
        # so that they must be wanted for something else as well.
        self._computed_all: list[tuple[str, str]] = []
        self._values: list[str] = []
        for dtype in (*plan.operand_dtypes, *(each.dtype for each in plan.outputs)):
            type_of(dtype)
        for step in plan.steps:
            self._values.append(self._step(step))

    def pointers(self) -> list[tuple[str, np.dtype, int]]:
        """Of each array the code takes, in order: its role and dtype, and how it moves along the last axis.

        The results, what is kept of those that are overwritten, the operands.
        """
        plan = self.plan
        found = [("out", each.dtype, STRIDED if each.spread else PACKED) for each in plan.outputs]
        found += [("kept", plan.outputs[result].dtype, PACKED) for result, _ in self.in_place]
        found += [("in", plan.operand_dtypes[k], plan.moves[k]) for k in self.operands]
        return found

    # Values.

    def _new(self, text: str) -> str:
        self._count += 1
        self._lines.append(f"  %c{self._count} = {text}\n")
        return f"%c{self._count}"

    def _choice(self, condition: str, kind: str, a: str, b: str) -> str:
        # Not to be made a jump: what only one side needs would not be computed then, and not be reported.
        return self._new(f"select i1 {condition}, {kind} {a}, {kind} {b}, !unpredictable !0")

    def _intrinsic(self, name: str, kind: str, *values: str) -> str:
        function = f"llvm.{name}.{_SUFFIX[kind]}"
        self._declared.add(f"declare {kind} @{function}({', '.join([kind] * len(values))})\n")
        return self._new(f"call {kind} @{function}({', '.join(f'{kind} {each}' for each in values)})")

    def _operand(self, place: tuple[str, int], wanted: np.dtype) -> str:
        """The value of an operand, as a loop of `wanted` takes it."""
        where, k = place
        if where == "s":
            return self._number(k, wanted)
        if where == "t":
            return self._converted(self._values[k], self.plan.steps[k].dtype, wanted)
        return self._converted(f"%e{k}", self.plan.operand_dtypes[k], wanted)

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
        dtype = self.plan.steps[k].dtype if where == "t" else self.plan.operand_dtypes[k]
        value = self._operand(place, dtype)
        if dtype.kind == "b":
            return value
        if dtype.kind == "f":
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
            self._computed_all += [
                (value, kind) for (place, _), value in zip(places[1:], values, strict=True)
                if place == "t" and dtype.kind == "f"
            ]  # fmt: skip
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
        values = [self._operand(each, dtype) for each in places]
        if dtype.kind == "f":
            return self._of_floats(name, dtype, kind, values)
        return self._of_integers(name, dtype, kind, values)

    def _dtype_of(self, place: tuple[str, int]) -> np.dtype:
        where, k = place
        return self.plan.steps[k].dtype if where == "t" else self.plan.operand_dtypes[k]

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
        raise Unfit(name)

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
        a, b = (self._operand(each, step.loop) for each in step.operands)
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
        if step.name == "isnan":
            return self._new(f"fcmp uno {kind} {value}, {value}")
        size = self._intrinsic("fabs", kind, value)
        infinity = "0x7FF0000000000000"
        return self._new(f"fcmp {'oeq' if step.name == 'isinf' else 'one'} {kind} {size}, {infinity}")

    # The text.

    def text(self) -> str:
        """The whole module."""
        pointers = self.pointers()
        outs, kept = len(self.plan.outputs), len(self.in_place)
        numbers = "".join(
            f", {'double' if kind == 'd' else 'i64'} %s{k}" for k, (_, kind) in enumerate(self.numbers)
        )
        words = {"out": "writeonly", "kept": "writeonly", "in": "readonly"}
        over = dict(self.in_place)
        parameters = []
        before, loads, stores = [], [], []
        for k, (role, dtype, moves) in enumerate(pointers):
            rights = "" if role == "out" and k in over else words[role]
            parameters.append(f"ptr noalias nocapture {rights} %p{k}")
            if moves == STRIDED:
                parameters.append(f"i64 %d{k}")
            if role == "in":
                lines = before if moves == FIXED else loads
                lines += self._load(k, dtype, moves, self.operands[k - outs - kept])
            elif role == "out":
                if k in over:
                    loads += self._load(k, dtype, moves, over[k])
                value = self._converted_output(k)
                stores += self._store(k, dtype, moves, value, "" if k in over else "a")
            else:
                operand = self.in_place[k - outs][1]
                stores += self._store(k, dtype, moves, f"%m{operand}", "a")
        seen = "%seen"
        for value, kind in self._computed_all:
            bits = self._new(f"bitcast {kind} {value} to {'i64' if kind == 'double' else 'i32'}")
            if kind == "float":
                bits = self._new(f"zext i32 {bits} to i64")
            seen = self._new(f"or i64 {seen}, {bits}")
        body = "".join(self._lines)
        return (
            f"{''.join(sorted(self._declared))}"
            "declare i32 @minpy_feclearexcept(i32)\ndeclare i32 @minpy_fetestexcept(i32)\n"
            f"define internal i64 @row({', '.join(parameters)}, i64 %n{numbers}) noinline {{\n"
            f"entry:\n{''.join(before)}  br label %loop\n"
            "loop:\n  %i = phi i64 [0, %entry], [%next, %loop]\n"
            f"  %seen = phi i64 [0, %entry], [{seen}, %loop]\n"
            f"{''.join(loads)}{body}{''.join(stores)}"
            "  %next = add nuw nsw i64 %i, 1\n  %more = icmp ult i64 %next, %n\n"
            "  br i1 %more, label %loop, label %done\n"
            f"done:\n  ret i64 {seen}\n}}\n"
            f"{self._kernel(pointers)}!0 = !{{}}\n"
        )

    def _converted_output(self, k: int) -> str:
        out = self.plan.outputs[k]
        return self._converted(self._values[out.step], self.plan.steps[out.step].dtype, out.dtype)

    @staticmethod
    def _at(k: int, dtype: np.dtype, moves: int) -> list[str]:
        if moves == FIXED:
            return [f"  %a{k} = getelementptr i8, ptr %p{k}, i64 0\n"]
        if moves == PACKED:
            return [f"  %a{k} = getelementptr inbounds {_stored(dtype)}, ptr %p{k}, i64 %i\n"]
        return [f"  %b{k} = mul i64 %i, %d{k}\n", f"  %a{k} = getelementptr i8, ptr %p{k}, i64 %b{k}\n"]

    def _load(self, k: int, dtype: np.dtype, moves: int, operand: int) -> list[str]:
        """Lines that give ``%e`` (and ``%m``, as it is in memory) of an operand."""
        stored = _stored(dtype)
        lines = self._at(k, dtype, moves)
        lines.append(f"  %m{operand} = load {stored}, ptr %a{k}, align {dtype.itemsize}\n")
        if dtype.kind == "b":
            lines.append(f"  %e{operand} = icmp ne i8 %m{operand}, 0\n")
        else:
            lines.append(f"  %e{operand} = select i1 true, {stored} %m{operand}, {stored} %m{operand}\n")
        return lines

    def _store(self, k: int, dtype: np.dtype, moves: int, value: str, own: str) -> list[str]:
        lines = self._at(k, dtype, moves) if own else []
        stored = _stored(dtype)
        if dtype.kind == "b" and not value.startswith("%m"):
            lines.append(f"  %z{k} = zext i1 {value} to i8\n")
            value = f"%z{k}"
        lines.append(f"  store {stored} {value}, ptr %a{k}, align {dtype.itemsize}\n")
        return lines

    def _kernel(self, pointers: list[tuple[str, np.dtype, int]]) -> str:
        """The function that walks the outer axes. `native.parts_of` says what it reads."""
        lines = ["define i64 @kernel(ptr %w) {", "entry:"]
        count = len(pointers)

        walk = Walk(lines, OUTER, DATA)
        walk.load(count, OUTER + 1)
        for k, (_, kind) in enumerate(self.numbers):
            walk.word(f"s{k}", 1 + count + k, "double" if kind == "d" else "i64")
        lines += ["  %c = call i32 @minpy_feclearexcept(i32 61)", "  br label %h0"]
        for axis in range(OUTER):
            walk.enter(axis, count, f"b{axis}")
            if axis < OUTER - 1:
                lines.append(f"  br label %h{axis + 1}")
        last = OUTER - 1
        arguments: list[str] = []
        for k, (_, _, moves) in enumerate(pointers):
            arguments.append(f"ptr %r{k}_{last}")
            if moves == STRIDED:
                arguments.append(f"i64 %d{k}_{OUTER}")
        arguments.append(f"i64 %n{OUTER}")
        arguments += [
            f"{'double' if kind == 'd' else 'i64'} %s{k}" for k, (_, kind) in enumerate(self.numbers)
        ]
        lines.append(f"  %seen = call i64 @row({', '.join(arguments)})")
        if self._computed_all:
            lines.append("  store i64 %seen, ptr %w, align 8")
        lines.append(f"  br label %b{last}")
        for axis in reversed(range(OUTER)):
            lines.append(f"b{axis}:")
            lines.append(f"  %j{axis} = add i64 %i{axis}, 1")
            lines.append(f"  %k{axis} = icmp ult i64 %j{axis}, %n{axis}")
            lines.append(f"  br i1 %k{axis}, label %h{axis}, label %{'b' + str(axis - 1) if axis else 'end'}")
        lines += [
            "end:",
            "  %f = call i32 @minpy_fetestexcept(i32 61)",
            "  %g = zext i32 %f to i64",
            "  ret i64 %g",
            "}",
        ]
        return "\n".join(lines) + "\n"


def moves_of(shape: tuple[int, ...], full: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> int:
    """How an operand moves along the last axis of the result."""
    if shape[-1] != full[-1] or not strides[-1]:
        return FIXED
    return PACKED if strides[-1] == itemsize else STRIDED
