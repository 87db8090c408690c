"""A pass as compiled code: one loop over the elements for what is computed, then one for each array that is added to.

LLVM code (extra ``jit``) without any licence to change a bit. What is added to arrays that may overlap goes through a
short buffer, in pieces that stay in the first-level cache.
"""

from __future__ import annotations

import ctypes
import struct
from typing import Any

import numpy as np

from minpy.runtime.fuse import native, pool
from minpy.runtime.fuse.passes import ADD, SET, Pass
from minpy.runtime.fuse.state import DIVIDE, INVALID, OVER
from minpy.runtime.fuse.walk import Walk

THROUGH = "through"  # as ADD, of an array that may overlap another one that is written
_DATA = 16  # where PyArrayObject has its data pointer
_OUTER = 3  # axes outside the innermost one
_CHUNK = 512  # elements of the buffer
_TYPES = {"d": ("double", 8, "f64"), "f": ("float", 4, "f32")}
_BINARY = {"add": "fadd", "subtract": "fsub", "multiply": "fmul", "true_divide": "fdiv"}
_COMPARE = {
    "less": "olt", "less_equal": "ole", "greater": "ogt", "greater_equal": "oge", "equal": "oeq", "not_equal": "une",
}  # fmt: skip
_LOGIC = {
    "bitwise_and": "and", "bitwise_or": "or", "bitwise_xor": "xor", "logical_and": "and", "logical_or": "or",
    "logical_xor": "xor",
}  # fmt: skip

# What is compiled.
NATIVE = frozenset((*_BINARY, *_COMPARE, *_LOGIC)) | frozenset(
    "where invert logical_not negative positive absolute fabs sqrt square reciprocal sign".split()
)


class NativePass:
    """The compiled code of a pass.

    Parameters
    ----------
    runs : tuple of bool
        Of each input, whether it changes along the last axis.

    Raises
    ------
    native.Unfit, engine.CompileError, background.Pending
        It holds what is not compiled here, cannot be compiled, is being compiled.
    """

    def __init__(self, plan: Pass, modes: tuple[str, ...], runs: tuple[bool, ...], wait: bool) -> None:
        text = Text(plan, modes, runs).text()
        if native._BITS is None or not native._layout_is_known():
            raise native.Unfit
        address = native._address_of(text, wait)
        self._function: Any = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_char_p)(address)
        count = len(modes) + len(runs)
        self._pack = struct.Struct(f"={1 + count}q{len(plan.numbers)}d").pack
        self._fixed: dict[
            Any, Any
        ] = {}  # where the code finds the geometry, and the memory of that, by strides
        self._overlap = THROUGH in modes

    def run(
        self, arrays: list[np.ndarray], numbers: list[Any], outs: list[np.ndarray], flags: int, threads: int
    ) -> None:
        """As `TiledPass.run`."""
        if self._overlap:
            threads = 1
        every = [*outs, *arrays]
        key = threads, tuple([(each.shape, each.strides) for each in every])
        found = self._fixed.get(key)
        if found is None:
            if len(self._fixed) > 16:
                self._fixed.clear()
            memory = _parts(outs[0].shape, [each.strides for each in every], threads)
            found = self._fixed[key] = [each.ctypes.data for each in memory], memory
        parts, memory = found  # held until the code is done with it, whatever other threads do
        ids = map(id, every)
        if len(parts) == 1:
            flagged = self._function(self._pack(parts[0], *ids, *numbers))
        else:
            answers = [0] * len(parts)
            words = [*ids, *numbers]

            def work(k: int) -> None:
                answers[k] = self._function(self._pack(parts[k], *words))

            pool.run(work, len(parts))
            flagged = 0
            for each in answers:
                flagged |= each
        if flagged and any(flagged & native._BITS[flag] and flags & flag for flag in (DIVIDE, OVER, INVALID)):
            raise FloatingPointError


def _parts(shape: tuple[int, ...], strides: list[tuple[int, ...]], threads: int) -> list[np.ndarray]:
    """For each thread: extents; of each array offset and strides."""
    shape, strides = native._merged(shape, strides)
    if len(shape) > _OUTER + 1:
        raise native.Unfit
    lead = _OUTER + 1 - len(shape)
    shape = (1,) * lead + shape
    strides = [(0,) * lead + each for each in strides]
    axis = next((k for k in range(_OUTER) if shape[k] >= 2 * threads), _OUTER)
    parts = []
    for k in range(threads):
        start, stop = (shape[axis] * each // threads for each in (k, k + 1))
        if axis == _OUTER:
            start, stop = start // 64 * 64, stop // 64 * 64 if k + 1 < threads else shape[axis]
        if start == stop:
            continue
        words = [stop - start if each == axis else extent for each, extent in enumerate(shape)]
        for each in strides:
            words += [start * each[axis], *each[:_OUTER]]
        parts.append(np.array(words, np.int64))
    return parts


class Text:
    """Writes a pass as LLVM assembly."""

    def __init__(self, plan: Pass, modes: tuple[str, ...], runs: tuple[bool, ...]) -> None:
        self.plan, self.modes, self.runs = plan, modes, runs
        self.type, self.bytes, self.suffix = _TYPES[plan.graph.dtype.char]
        self._count = 0
        # Of each array that is added to by way of the buffer, which buffer.
        self.buffers: list[int] = []
        for node, mode in zip(plan.outputs, modes, strict=True):
            if mode == THROUGH and node not in self.buffers:
                self.buffers.append(node)
        if len(self.buffers) > 8:
            raise native.Unfit
        self.lines: list[str] = []
        self.values: dict[int, str] = {}
        for node, (place, what) in plan.places.items():
            self.values[node] = {"a": f"%e{what}", "s": f"%s{what}", "k": ""}[place] or self._constant(what)
        for node in plan.order:
            self.values[node] = self._value(node)

    def _constant(self, value: Any) -> str:
        number = float(value)
        if self.type == "float":
            number = float(np.float32(number))
        return "0x" + struct.pack(">d", number).hex().upper()

    def _new(self, text: str) -> str:
        self._count += 1
        self.lines.append(f"  %c{self._count} = {text}\n")
        return f"%c{self._count}"

    def _value(self, node: int) -> str:
        graph, kind = self.plan.graph, self.type
        name, operands = graph.nodes[node]
        a = [self.values[k] for k in operands]
        of_truth = [graph.dtypes[k] is not None and graph.dtypes[k].kind == "b" for k in operands]  # type: ignore[union-attr]
        if name == "where":
            if not of_truth[0] or any(of_truth[1:]):
                raise native.Unfit
            return self._new(f"select i1 {a[0]}, {kind} {a[1]}, {kind} {a[2]}")
        if name in _LOGIC or name in ("invert", "logical_not"):
            if not all(of_truth):
                raise native.Unfit
            return self._new(
                f"{_LOGIC[name]} i1 {a[0]}, {a[1]}" if name in _LOGIC else f"xor i1 {a[0]}, true"
            )
        if any(of_truth):
            raise native.Unfit
        if name in _COMPARE:
            return self._new(f"fcmp {_COMPARE[name]} {kind} {a[0]}, {a[1]}")
        if name in _BINARY:
            return self._new(f"{_BINARY[name]} {kind} {a[0]}, {a[1]}")
        if name == "negative":
            return self._new(f"fneg {kind} {a[0]}")
        if name == "positive":
            return a[0]
        if name in ("absolute", "fabs", "sqrt"):
            word = "sqrt" if name == "sqrt" else "fabs"
            return self._new(f"call {kind} @llvm.{word}.{self.suffix}({kind} {a[0]})")
        if name == "square":
            return self._new(f"fmul {kind} {a[0]}, {a[0]}")
        if name == "reciprocal":
            return self._new(f"fdiv {kind} {self._constant(1)}, {a[0]}")
        if name == "sign":
            up = self._new(f"fcmp ogt {kind} {a[0]}, {self._constant(0)}")
            down = self._new(f"fcmp olt {kind} {a[0]}, {self._constant(0)}")
            other = self._new(f"select i1 {down}, {kind} {self._constant(-1)}, {kind} {a[0]}")
            return self._new(f"select i1 {up}, {kind} {self._constant(1)}, {kind} {other}")
        raise native.Unfit(name)

    def text(self) -> str:
        """The whole module."""
        plan, kind = self.plan, self.type
        arrays = [node for node, (place, _) in plan.places.items() if place == "a"]
        if any(plan.graph.dtypes[node] != plan.graph.dtype for node in (*plan.outputs, *arrays)):
            raise native.Unfit
        parameters, before, loads, stores = [], [], [], []
        for k in range(len(plan.inputs)):
            parameters.append(f"ptr noalias nocapture readonly %x{k}")
            if self.runs[k]:
                loads.append(f"  %a{k} = getelementptr inbounds {kind}, ptr %x{k}, i64 %i\n")
                loads.append(f"  %e{k} = load {kind}, ptr %a{k}, align {self.bytes}\n")
            else:
                before.append(f"  %e{k} = load {kind}, ptr %x{k}, align {self.bytes}\n")
        targets: list[tuple[str, int, str]] = [("b", node, SET) for node in self.buffers]
        targets += [
            (f"o{k}", node, mode)
            for k, (node, mode) in enumerate(zip(plan.outputs, self.modes, strict=True))
            if mode != THROUGH
        ]
        for k, (_, node, mode) in enumerate(targets):
            parameters.append(f"ptr noalias nocapture %w{k}")
            stores.append(f"  %d{k} = getelementptr inbounds {kind}, ptr %w{k}, i64 %i\n")
            value = self.values[node]
            if mode == ADD:
                stores.append(f"  %f{k} = load {kind}, ptr %d{k}, align {self.bytes}\n")
                stores.append(f"  %g{k} = fadd {kind} %f{k}, {value}\n")
                value = f"%g{k}"
            stores.append(f"  store {kind} {value}, ptr %d{k}, align {self.bytes}\n")
        numbers = "".join(f", {kind} %s{k}" for k in range(len(plan.numbers)))
        loop = "loop:\n  %i = phi i64 [0, %entry], [%next, %loop]\n"
        end = (
            "  %next = add nuw nsw i64 %i, 1\n  %more = icmp ult i64 %next, %n\n"
            "  br i1 %more, label %loop, label %done\ndone:\n  ret void\n}\n"
        )
        return (
            f"declare {kind} @llvm.sqrt.{self.suffix}({kind})\ndeclare {kind} @llvm.fabs.{self.suffix}({kind})\n"
            "declare i32 @minpy_feclearexcept(i32)\ndeclare i32 @minpy_fetestexcept(i32)\n"
            f"define internal void @row({', '.join(parameters)}, i64 %n{numbers}) noinline {{\nentry:\n"
            f"{''.join(before)}  br label %loop\n{loop}{''.join(loads)}{''.join(self.lines)}{''.join(stores)}{end}"
            f"define internal void @more(ptr noalias nocapture %o, ptr noalias nocapture readonly %b, i64 %n) noinline "
            f"{{\nentry:\n  br label %loop\n{loop}"
            f"  %p = getelementptr inbounds {kind}, ptr %o, i64 %i\n"
            f"  %q = getelementptr inbounds {kind}, ptr %b, i64 %i\n"
            f"  %u = load {kind}, ptr %p, align {self.bytes}\n  %v = load {kind}, ptr %q, align {self.bytes}\n"
            f"  %w = fadd {kind} %u, %v\n  store {kind} %w, ptr %p, align {self.bytes}\n{end}"
            f"{self._kernel(targets)}"
        )

    def _kernel(self, targets: list[tuple[str, int, str]]) -> str:
        """The function that walks the outer axes, and the inner one in pieces. `_parts` says what it reads."""
        plan, kind = self.plan, self.type
        outs = len(self.modes)
        count = outs + len(plan.inputs)
        lines = ["define i64 @kernel(ptr %w) {", "entry:"]

        for k in range(len(self.buffers)):
            lines.append(f"  %b{k} = alloca [{_CHUNK} x {kind}], align 64")
        walk = Walk(lines, _OUTER, _DATA)
        walk.load(count, _OUTER)
        for k in range(len(plan.numbers)):
            walk.word(f"n_{k}", 1 + count + k, "double")
            convert = f"fptrunc double %n_{k} to float" if kind == "float" else f"fadd double %n_{k}, -0.0"
            lines.append(f"  %s{k} = {convert}")
        lines += ["  %cleared = call i32 @minpy_feclearexcept(i32 61)", "  br label %h0"]
        for axis in range(_OUTER):
            walk.enter(axis, count, f"t{axis}")
            lines.append(f"  br label %{f'h{axis + 1}' if axis < _OUTER - 1 else 'piece'}")
        last = _OUTER - 1
        # Without a buffer a row is one piece.
        lines += [
            "piece:",
            f"  %at = phi i64 [0, %h{last}], [%to, %piece]",
            f"  %left = sub i64 %n{_OUTER}, %at",
        ]
        if self.buffers:
            lines.append(f"  %short = icmp ult i64 %left, {_CHUNK}")
            lines.append(f"  %size = select i1 %short, i64 %left, i64 {_CHUNK}")
        else:
            lines.append("  %size = add i64 %left, 0")
        for k in range(count):
            moves = k < outs or self.runs[k - outs]
            lines.append(f"  %y{k} = getelementptr {kind}, ptr %r{k}_{last}, i64 {'%at' if moves else '0'}")
        arguments = [f"ptr %y{outs + k}" for k in range(len(plan.inputs))]
        buffer = 0
        for name, _, _ in targets:
            if name == "b":
                arguments.append(f"ptr %b{buffer}")
                buffer += 1
            else:
                arguments.append(f"ptr %y{name[1:]}")
        numbers = "".join(f", {kind} %s{k}" for k in range(len(plan.numbers)))
        lines.append(f"  call void @row({', '.join(arguments)}, i64 %size{numbers})")
        for k, (node, mode) in enumerate(zip(plan.outputs, self.modes, strict=True)):
            if mode == THROUGH:
                lines.append(f"  call void @more(ptr %y{k}, ptr %b{self.buffers.index(node)}, i64 %size)")
        lines += [
            "  %to = add i64 %at, %size",
            f"  %on = icmp ult i64 %to, %n{_OUTER}",
            f"  br i1 %on, label %piece, label %t{last}",
        ]
        for axis in reversed(range(_OUTER)):
            lines.append(f"t{axis}:")
            lines.append(f"  %j{axis} = add i64 %i{axis}, 1")
            lines.append(f"  %k{axis} = icmp ult i64 %j{axis}, %n{axis}")
            lines.append(f"  br i1 %k{axis}, label %h{axis}, label %{f't{axis - 1}' if axis else 'end'}")
        lines += [
            "end:",
            "  %f = call i32 @minpy_fetestexcept(i32 61)",
            "  %g = zext i32 %f to i64",
            "  ret i64 %g",
            "}",
        ]
        return "\n".join(lines) + "\n"
