"""Arithmetic on elements as LLVM code: from lines of Python to a function that goes over rows of arrays."""

from __future__ import annotations

import ast
import ctypes
import struct
from collections.abc import Sequence
from functools import cache
from typing import Any

from minpy.runtime.fuse import native, sites
from minpy.runtime.fuse.ir import Irregular
from minpy.runtime.jit import background, engine

_OPERATIONS: dict[type, str] = {ast.Add: "fadd", ast.Sub: "fsub", ast.Mult: "fmul", ast.Div: "fdiv"}
_INTRINSICS = {"sqrt": "llvm.sqrt", "absolute": "llvm.fabs"}
# By dtype character: LLVM's name, bytes, and that of ctypes.
TYPES: dict[str, tuple[str, int, Any]] = {
    "d": ("double", 8, ctypes.c_double),
    "f": ("float", 4, ctypes.c_float),
}
FLAGS = "declare i32 @minpy_feclearexcept(i32)\ndeclare i32 @minpy_fetestexcept(i32)\n"  # of the C library; 61: all


class Arithmetic:
    """Instructions for expressions of names, + - * /, and a few functions; each as NumPy rounds it.

    ``where_positive(x, y)`` is ``np.where(x > 0, y, 0)``.

    Parameters
    ----------
    char : str
        The dtype of all.
    names : dict
        What stands for a name in the code.
    """

    def __init__(self, char: str, names: dict[str, str]) -> None:
        self.kind, self.size, _ = TYPES[char]
        self.names = dict(names)
        self.lines: list[str] = []

    def declarations(self) -> str:
        """What stands before the function."""
        return "".join(f"declare {self.kind} @{self._intrinsic(each)}({self.kind})\n" for each in _INTRINSICS)

    def assign(self, text: str) -> None:
        """Compute the right sides of assignments to names."""
        for each in ast.parse(text).body:
            if not (isinstance(each, ast.Assign) and isinstance(each.targets[0], ast.Name)):
                raise Irregular(text)
            self.names[each.targets[0].id] = self._value(each.value)

    def value(self, text: str) -> str:
        """What holds an expression's value."""
        return self._value(ast.parse(text, mode="eval").body)

    def _value(self, node: ast.expr) -> str:
        match node:
            case ast.Name(id=name):
                return self.names[name]
            case ast.Constant(value=float(number)):  # one that float32 has too
                return f"0x{struct.pack('>d', number).hex()}"
            case ast.BinOp(left, op, right) if type(op) in _OPERATIONS:
                x, y = self._value(left), self._value(right)
                return self._line(f"{_OPERATIONS[type(op)]} {self.kind} {x}, {y}")
            case ast.Call(func=ast.Name(id="square"), args=[one]):
                x = self._value(one)
                return self._line(f"fmul {self.kind} {x}, {x}")
            case ast.Call(func=ast.Name(id="where_positive"), args=[one, other]):
                mask = self._line(f"fcmp ogt {self.kind} {self._value(one)}, 0.0")
                return self._line(f"select i1 {mask}, {self.kind} {self._value(other)}, {self.kind} 0.0")
            case ast.Call(func=ast.Name(id=name), args=[one]) if name in _INTRINSICS:
                return self._line(
                    f"call {self.kind} @{self._intrinsic(name)}({self.kind} {self._value(one)})"
                )
        raise Irregular(ast.dump(node))

    def _intrinsic(self, name: str) -> str:
        return f"{_INTRINSICS[name]}.f{8 * self.size}"

    def _line(self, text: str) -> str:
        name = f"%t{len(self.lines)}"
        self.lines.append(f"  {name} = {text}\n")
        return name


class Rows:
    """A function of arrays (rows, columns), whose columns are side by side.

    Parameters
    ----------
    read, written : sequence of str
        Names of the arrays that the lines read, and that they give values to; they may be the same.
    text : str
        Assignments.
    locked : bool
        The function runs with the interpreter's lock; else threads may share the work.
    """

    def __init__(self, read: Sequence[str], written: Sequence[str], text: str, locked: bool = True) -> None:
        self._read, self._written, self._text = read, written, text
        self._make = ctypes.PYFUNCTYPE if locked else ctypes.CFUNCTYPE
        self.names = list(dict.fromkeys([*read, *written]))

    @cache  # noqa: B019  (there are two of them, for as long as there is the module)
    def function(self, char: str) -> Any:
        """The function for a dtype; see `call`."""
        kinds = [ctypes.c_int64] * (2 + 2 * len(self.names))
        return self._make(ctypes.c_int64, *kinds)(native.compiled(self._code(char), wait=False))

    def ready(self, char: str) -> Any:
        """The function if it is compiled, and may be used: else None.

        It takes the numbers of rows and of columns, for each of `names` the bytes from a row to the next, and for each
        an address. It gives the floating-point flags that the arithmetic has raised, in the processor's words.
        """
        if sites.mode() == "off" or sites.held or not engine.is_available():
            return None
        try:
            return self.function(char)
        except (native.Unfit, background.Pending, engine.CompileError):
            return None

    def _code(self, char: str) -> str:
        return self.declarations(char) + self.definition(char, "kernel")

    def declarations(self, char: str) -> str:
        """What stands before the function in a module."""
        return f"{Arithmetic(char, {}).declarations()}{FLAGS}"

    def definition(self, char: str, name: str, linkage: str = "") -> str:
        """The function's text, under a name."""
        names = self.names
        work = Arithmetic(char, {name: f"%x{names.index(name)}" for name in self._read})
        work.assign(self._text)
        kind, size = work.kind, work.size
        parameters = [f"i64 %d{k}" for k in range(len(names))]
        parameters += [f"ptr noalias nocapture %a{k}" for k in range(len(names))]
        lines = [
            f"define {linkage} i64 @{name}(i64 %rows, i64 %columns, {', '.join(parameters)}) {{\nentry:\n",
            "  %cleared = call i32 @minpy_feclearexcept(i32 61)\n  br label %row\n",
            "row:\n  %r = phi i64 [0, %entry], [%next, %done]\n",
        ]
        for k in range(len(names)):
            lines.append(f"  %o{k} = mul i64 %r, %d{k}\n  %b{k} = getelementptr i8, ptr %a{k}, i64 %o{k}\n")
        lines.append("  br label %one\none:\n  %i = phi i64 [0, %row], [%after, %one]\n")
        for k, name in enumerate(names):
            lines.append(f"  %p{k} = getelementptr inbounds {kind}, ptr %b{k}, i64 %i\n")
            if name in self._read:
                lines.append(f"  %x{k} = load {kind}, ptr %p{k}, align {size}\n")
        lines += work.lines
        for name in self._written:
            lines.append(f"  store {kind} {work.names[name]}, ptr %p{names.index(name)}, align {size}\n")
        lines += [
            "  %after = add nuw nsw i64 %i, 1\n  %more = icmp ult i64 %after, %columns\n",
            "  br i1 %more, label %one, label %done\n",
            "done:\n  %next = add nuw nsw i64 %r, 1\n  %again = icmp ult i64 %next, %rows\n",
            "  br i1 %again, label %row, label %end\n",
            "end:\n  %f = call i32 @minpy_fetestexcept(i32 61)\n  %g = zext i32 %f to i64\n  ret i64 %g\n}\n",
        ]
        return "".join(lines)
