"""The engine that compiles arithmetic: one loop nest, each operand read once, nothing written in between.

LLVM code (extra ``jit``), without any licence to change a bit: no contraction to fused multiply-adds, no reassociation.
NumPy's own functions for exp, tanh … are faster than what could be called here, and stay with the tiled engine; so do
minimum and maximum, whose result for zeros of different signs depends on where NumPy's vector loops end.
"""

from __future__ import annotations

import ctypes
import platform
import struct
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from minpy.runtime.fuse import memory, pool
from minpy.runtime.fuse.state import DIVIDE, INVALID, OVER

if TYPE_CHECKING:
    from minpy.runtime.fuse.plan import Plan

_DATA = 16  # where PyArrayObject has its data pointer
_OUTER = 3  # axes outside the innermost one
# The bits of <fenv.h>.
_BITS = {
    "x86_64": {INVALID: 1, DIVIDE: 4, OVER: 8},
    "AMD64": {INVALID: 1, DIVIDE: 4, OVER: 8},
    "aarch64": {INVALID: 1, DIVIDE: 2, OVER: 4},
    "arm64": {INVALID: 1, DIVIDE: 2, OVER: 4},
}.get(platform.machine())
_TYPES = {"float64": ("double", 8), "float32": ("float", 4)}
_BINARY = {"add": "fadd", "subtract": "fsub", "multiply": "fmul", "true_divide": "fdiv"}
_COMPARE = {
    "less": "olt", "less_equal": "ole", "greater": "ogt", "greater_equal": "oge", "equal": "oeq", "not_equal": "une",
}  # fmt: skip
_LOGIC = {
    "bitwise_and": "and", "bitwise_or": "or", "bitwise_xor": "xor", "logical_and": "and", "logical_or": "or",
    "logical_xor": "xor",
}  # fmt: skip
_UNARY = frozenset({"negative", "positive", "absolute", "fabs", "sqrt", "square", "reciprocal"})


class Unfit(Exception):
    """The plan holds what is not compiled here."""


class Native:
    """The compiled code of one plan.

    Raises
    ------
    Unfit
        There is none.
    Pending
        It is being compiled (only without `wait`).
    """

    def __init__(self, plan: Plan, wait: bool = True) -> None:
        text = _Text(plan).text()
        from minpy.runtime.jit import engine

        if _BITS is None or not engine.is_available() or not _layout_is_known():
            raise Unfit
        try:
            address = _address_of(text, wait)
        except engine.CompileError as error:
            raise Unfit(str(error)) from error
        # Unlike the loops' functions, these let other threads run meanwhile.
        self._function: Any = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_char_p)(address)
        self._operands = 1 + len(plan.operand_shapes)
        self._pack = struct.Struct(f"={1 + self._operands}q{plan.numbers}d").pack
        # Geometry by the strides of what is written, number of threads.
        self._fixed: dict[Any, list[np.ndarray]] = {}
        self.plan = plan

    def run(self, arrays: list[Any], numbers: list[Any], out: np.ndarray, flags: int, threads: int) -> None:
        """Compute into `out`, which overlaps no operand.

        Raises
        ------
        FloatingPointError
            One of `flags` occurred; `out` has been written into.
        """
        key = out.shape, out.strides, threads
        parts = self._fixed.get(key)
        if parts is None:
            if len(self._fixed) > 16:
                self._fixed.clear()
            parts = self._fixed[key] = self._parts(out.shape, [out, *arrays], threads)
        ids = [id(out), *map(id, arrays)]
        if len(parts) == 1:
            found = self._function(self._pack(parts[0].ctypes.data, *ids, *numbers))
        else:
            answers = [0] * len(parts)

            def work(k: int) -> None:
                answers[k] = self._function(self._pack(parts[k].ctypes.data, *ids, *numbers))

            pool.run(work, len(parts))
            found = 0
            for each in answers:
                found |= each
        if found and any(found & _BITS[flag] and flags & flag for flag in (DIVIDE, OVER, INVALID)):
            raise FloatingPointError

    def _parts(self, shape: tuple[int, ...], operands: list[np.ndarray], threads: int) -> list[np.ndarray]:
        """What the code must know of the geometry, for each thread: extents; of each operand offset and strides."""
        strides = [np.broadcast_to(each, shape).strides for each in operands]
        shape, strides = _merged(shape, strides)
        lead = _OUTER + 1 - len(shape)
        shape = (1,) * lead + shape
        strides = [(0,) * lead + each for each in strides]
        # The longest outer axis is split (the inner one if there is none).
        axis = next((k for k in range(_OUTER) if shape[k] >= 2 * threads), _OUTER)
        parts = []
        for k in range(threads):
            start, stop = (shape[axis] * each // threads for each in (k, k + 1))
            if axis == _OUTER:
                # Whole cache lines of a contiguous result.
                start, stop = start // 64 * 64, stop // 64 * 64 if k + 1 < threads else shape[axis]
            if start == stop:
                continue
            extents = [stop - start if each == axis else extent for each, extent in enumerate(shape)]
            words = list(extents)
            for each in strides:
                words += [start * each[axis], *each[:_OUTER]]
            parts.append(np.array(words, np.int64))
        return parts


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


def fits(plan: Plan) -> bool:
    """Whether a plan can be compiled, as far as can be told without the compiler."""
    try:
        _Text(plan)
    except Unfit:
        return False
    return True


class _Text:
    """Writes a plan as LLVM assembly."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        of = {each.name for each in plan.operand_dtypes}
        if len(of) != 1 or not of <= set(_TYPES) or plan.dtype.name not in of:
            raise Unfit
        (name,) = of
        self.type, self.bytes = _TYPES[name]
        for step in plan.steps:
            known = step.name in _BINARY or step.name in _UNARY
            if known and step.dtype.name == name:
                continue
            if step.name == "where" and step.dtype.name == name and self._is_bool(step.operands[0]):
                continue
            if step.name in _COMPARE and not any(map(self._is_bool, step.operands)):
                continue
            if (step.name in _LOGIC or step.name in ("invert", "logical_not")) and all(
                map(self._is_bool, step.operands)
            ):
                continue
            raise Unfit
        for step in plan.steps:
            if (step.name in _BINARY or step.name in _UNARY) and any(map(self._is_bool, step.operands)):
                raise Unfit
            if step.name == "where" and any(map(self._is_bool, step.operands[1:])):
                raise Unfit
        self.inner = plan.runs()
        # With one element along the last axis strides say nothing about what comes next.
        if len(plan.shape) > _OUTER + 1 or plan.shape[-1] == 1:
            raise Unfit
        if any(
            runs and strides[-1] != dtype.itemsize
            for runs, strides, dtype in zip(
                self.inner, plan.operand_strides, plan.operand_dtypes, strict=True
            )
        ):
            raise Unfit

    def _is_bool(self, operand: tuple[str, int]) -> bool:
        where, k = operand
        return where == "t" and self.plan.steps[k].dtype.name == "bool"

    def text(self) -> str:
        """The whole module."""
        count = len(self.inner)
        kind = self.type
        pointers = ", ".join(f"ptr noalias nocapture readonly %x{k}" for k in range(count))
        numbers = "".join(f", {kind} %s{k}" for k in range(self.plan.numbers))
        body, result = self._body()
        fixed = "".join(
            f"  %e{k} = load {kind}, ptr %x{k}, align {self.bytes}\n"
            for k in range(count)
            if not self.inner[k]
        )
        loads = "".join(
            f"  %a{k} = getelementptr inbounds {kind}, ptr %x{k}, i64 %i\n"
            f"  %e{k} = load {kind}, ptr %a{k}, align {self.bytes}\n"
            for k in range(count)
            if self.inner[k]
        )
        suffix = "f64" if kind == "double" else "f32"
        return (
            f"declare {kind} @llvm.sqrt.{suffix}({kind})\ndeclare {kind} @llvm.fabs.{suffix}({kind})\n"
            "declare i32 @minpy_feclearexcept(i32)\ndeclare i32 @minpy_fetestexcept(i32)\n"
            f"define internal void @row(ptr noalias nocapture writeonly %o, {pointers}, i64 %n{numbers}) noinline {{\n"
            f"entry:\n{fixed}  br label %loop\n"
            "loop:\n  %i = phi i64 [0, %entry], [%next, %loop]\n"
            f"{loads}{body}"
            f"  %ao = getelementptr inbounds {kind}, ptr %o, i64 %i\n"
            f"  store {kind} {result}, ptr %ao, align {self.bytes}\n"
            "  %next = add nuw nsw i64 %i, 1\n  %more = icmp ult i64 %next, %n\n"
            "  br i1 %more, label %loop, label %done\ndone:\n  ret void\n}\n"
            f"{self._kernel(count)}"
        )

    def _body(self) -> tuple[str, str]:
        kind = self.type
        one = "1.0"
        suffix = "f64" if kind == "double" else "f32"
        lines = []
        for number, step in enumerate(self.plan.steps):
            a = [f"%e{k}" if where == "x" else f"%{where}{k}" for where, k in step.operands]
            to = f"%t{number}"
            name = step.name
            if name in _BINARY:
                line = f"{to} = {_BINARY[name]} {kind} {a[0]}, {a[1]}"
            elif name in _COMPARE:
                line = f"{to} = fcmp {_COMPARE[name]} {kind} {a[0]}, {a[1]}"
            elif name in _LOGIC:
                line = f"{to} = {_LOGIC[name]} i1 {a[0]}, {a[1]}"
            elif name in ("invert", "logical_not"):
                line = f"{to} = xor i1 {a[0]}, true"
            elif name == "where":
                line = f"{to} = select i1 {a[0]}, {kind} {a[1]}, {kind} {a[2]}"
            elif name == "negative":
                line = f"{to} = fneg {kind} {a[0]}"
            elif name in ("absolute", "fabs"):
                line = f"{to} = call {kind} @llvm.fabs.{suffix}({kind} {a[0]})"
            elif name == "sqrt":
                line = f"{to} = call {kind} @llvm.sqrt.{suffix}({kind} {a[0]})"
            elif name == "square":
                line = f"{to} = fmul {kind} {a[0]}, {a[0]}"
            elif name == "reciprocal":
                line = f"{to} = fdiv {kind} {one}, {a[0]}"
            else:  # positive
                line = f"{to} = select i1 true, {kind} {a[0]}, {kind} {a[0]}"
            lines.append(f"  {line}\n")
        return "".join(lines), f"%t{len(self.plan.steps) - 1}"

    def _kernel(self, count: int) -> str:
        """The function that walks the outer axes. `Native._parts` says what it reads."""
        lines = ["define i64 @kernel(ptr %w) {", "entry:"]

        def word(name: str, at: int, kind: str = "i64", base: str = "w") -> None:
            lines.append(f"  %q{name} = getelementptr i64, ptr %{base}, i64 {at}")
            lines.append(f"  %{name} = load {kind}, ptr %q{name}, align 8")

        word("fixed", 0, "ptr")
        for axis in range(_OUTER + 1):
            word(f"n{axis}", axis, base="fixed")
        for k in range(count + 1):
            # An array is known by its object, in which the address of its elements stands.
            word(f"id{k}", 1 + k, "ptr")
            lines.append(f"  %data{k} = getelementptr i8, ptr %id{k}, i64 {_DATA}")
            lines.append(f"  %start{k} = load ptr, ptr %data{k}, align 8")
            at = _OUTER + 1 + (_OUTER + 1) * k
            word(f"offset{k}", at, base="fixed")
            lines.append(f"  %p{k} = getelementptr i8, ptr %start{k}, i64 %offset{k}")
            for axis in range(_OUTER):
                word(f"d{k}_{axis}", at + 1 + axis, base="fixed")
        for k in range(self.plan.numbers):
            at = 2 + count + k
            if self.type == "double":
                word(f"s{k}", at, "double")
            else:
                word(f"w{k}", at, "double")
                lines.append(f"  %s{k} = fptrunc double %w{k} to float")
        lines += ["  %c = call i32 @minpy_feclearexcept(i32 61)", "  br label %h0"]
        for axis in range(_OUTER):
            before = "entry" if not axis else f"h{axis - 1}"
            lines.append(f"h{axis}:")
            lines.append(f"  %i{axis} = phi i64 [0, %{before}], [%j{axis}, %b{axis}]")
            for k in range(count + 1):
                outer = f"%p{k}" if not axis else f"%r{k}_{axis - 1}"
                lines.append(f"  %m{k}_{axis} = mul i64 %i{axis}, %d{k}_{axis}")
                lines.append(f"  %r{k}_{axis} = getelementptr i8, ptr {outer}, i64 %m{k}_{axis}")
            if axis < _OUTER - 1:
                lines.append(f"  br label %h{axis + 1}")
        last = _OUTER - 1
        arguments = ", ".join(f"ptr %r{k}_{last}" for k in range(count + 1))
        numbers = "".join(f", {self.type} %s{k}" for k in range(self.plan.numbers))
        lines.append(f"  call void @row({arguments}, i64 %n{_OUTER}{numbers})")
        lines.append(f"  br label %b{last}")
        for axis in reversed(range(_OUTER)):
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


@lru_cache(maxsize=1)
def _layout_is_known() -> bool:
    """Whether an array's object holds the address of its elements where NumPy's headers say."""
    array = np.arange(3.0)[1:]
    return ctypes.c_void_p.from_address(id(array) + _DATA).value == array.ctypes.data


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
def _address_of(text: str, wait: bool) -> int:
    """Compile a module, or take its code from the cache, and place it in memory."""
    from minpy.runtime.jit import background, engine, loader

    outside = _flag_functions()
    code = memory.load_code(text, engine.stamp())
    if code is None:
        keep = partial(memory.save_code, text, engine.stamp())
        if wait:
            code = engine.object_code(text)
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
