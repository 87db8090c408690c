"""Calls in a compiled loop: the functions whose bits and errors are known."""

from __future__ import annotations

import ast
import builtins
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minpy.runtime.jit.ir import double
from minpy.runtime.jit.kinds import BOOLS, PYTHON, Unsupported
from minpy.runtime.jit.selections import Selections
from minpy.runtime.jit.values import Known, Ref, Val, scalar
from minpy.runtime.jit.wholes import is_whole

# Functions of `math` that call the C library's function of that name, and are finite wherever they do not raise.
_LIBRARY = {
    "exp": 1,
    "sin": 1,
    "cos": 1,
    "tan": 1,
    "asin": 1,
    "acos": 1,
    "atan": 1,
    "sinh": 1,
    "cosh": 1,
    "tanh": 1,
}
_LOGARITHMS = ("log", "log2", "log10")


class Calls(Selections):
    """Calls; what is not here is left to Python."""

    def _call(self, node: ast.Call) -> Any:
        method = self._method_of(node.func)
        function = None if method else self.expression(node.func)
        if not method and not isinstance(function, Known):
            raise Unsupported("a call of something that is not known")
        if any(isinstance(argument, ast.Starred) for argument in node.args):
            raise Unsupported("a call with a starred argument")
        nodes = [*node.args, *(each.value for each in node.keywords)]
        values = [self.computed_before(self.expression(each), *nodes[i:]) for i, each in enumerate(nodes, 1)]
        arguments = values[: len(node.args)]
        keywords = {
            each.arg or "**": value
            for each, value in zip(node.keywords, values[len(node.args) :], strict=True)
        }
        if method:
            return self.call_method(method[0], method[1], arguments, keywords)
        return self.call_known(function.value, arguments, keywords)

    def _method_of(self, node: ast.expr) -> tuple[Any, str] | None:
        """The array and the name, if a method of an array is called."""
        if not isinstance(node, ast.Attribute):
            return None
        dotted = self.dotted(node)
        if dotted is not None and dotted in self.known:
            return None
        base = self.expression(node.value)
        return (base, node.attr) if is_whole(base) else None

    def call_method(self, value: Any, name: str, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        """Code for the call of an array's method."""
        raise NotImplementedError

    def call_known(self, function: Any, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        """Code for the call of a function that is known."""
        if keywords:
            raise Unsupported("a call with keywords")
        try:
            handler = _FUNCTIONS.get(function)
        except TypeError:
            handler = None
        if handler is None:
            name = getattr(function, "__name__", None) or repr(function)
            raise Unsupported(f"a call of {name:.60}")
        return handler(self, arguments)

    # Built-in functions.

    def _one(self, arguments: list[Any]) -> Val:
        if len(arguments) != 1:
            raise Unsupported("a call with this number of arguments")
        return self._operand(arguments[0])

    def _int(self, arguments: list[Any]) -> Val:
        value = self._one(arguments)
        if "str" in value.kinds:
            raise Unsupported("int() of a string")
        return scalar("int", "i", self.as_i64(value).x)

    def _float(self, arguments: list[Any]) -> Val:
        value = self._one(arguments)
        if "str" in value.kinds:
            raise Unsupported("float() of a string")
        return scalar("float", "d", self.as_double(value).x)

    def _bool(self, arguments: list[Any]) -> Val:
        return scalar("bool", "b", self.truth(self._one(arguments)))

    def _float64(self, arguments: list[Any]) -> Val:
        return scalar("float64", "d", self._float(arguments).x)

    def _int64(self, arguments: list[Any]) -> Val:
        return scalar("int64", "i", self._int(arguments).x)

    def _len(self, arguments: list[Any]) -> Val:
        arguments = list(map(self.kept, arguments))
        if len(arguments) != 1 or not isinstance(arguments[0], Ref):
            raise Unsupported("len() of something that is no array")
        return scalar("int", "i", arguments[0].dims[0])

    def _abs(self, arguments: list[Any]) -> Val:
        value = self._one(arguments)
        if value.rep == "c":
            return self.complex_size(value)
        if value.rep == "d":
            size = self.intrinsic("fabs", value.x)
            self.as_finite_as(size, value.x)
            return Val(value.kinds, "d", size, value.tag)
        if not value.kinds <= {"int", "int64", "int32", "int16", "int8"}:
            raise Unsupported("abs() of this type")
        negated = self.exact("ssub", "0", value.x)
        for kind in value.kinds - {"int", "int64"}:
            raise Unsupported(f"abs() of {kind}")
        negative = self.w.op(f"icmp slt i64 {value.x}, 0")
        return Val(
            value.kinds, "i", self.w.op(f"select i1 {negative}, i64 {negated}, i64 {value.x}"), value.tag
        )

    def _numpy_abs(self, arguments: list[Any]) -> Val:
        value = self._one(arguments)
        if value.kind not in ("float64", "float", "int64", "int"):
            raise Unsupported("np.abs of this type")
        value = self._abs([value])
        return scalar("float64" if value.rep == "d" else "int64", value.rep, value.x)

    def _extreme(self, arguments: list[Any], op: ast.cmpop) -> Val:
        if len(arguments) < 2:
            raise Unsupported("min() or max() of one argument")
        operands = list(map(self._operand, arguments))
        if all(each.rep == "i" and each.kinds == operands[0].kinds and each.kind for each in operands):
            # Of integers any order will do: what has to be waited for comes last.
            operands.sort(key=lambda each: each.x in self.late)
        best, *others = operands
        for other in others:
            kinds = best.kinds | other.kinds
            if best.rep != other.rep and "b" not in (best.rep, other.rep):
                best, other = self.as_double(best, exact=True), self.as_double(other, exact=True)
            if best.rep != other.rep or "str" in kinds:
                raise Unsupported("min() or max() of different types")
            better = self.compare(op, other, best).x
            type_ = {"i": "i64", "d": "double", "b": "i1"}[best.rep]
            if not best.tag.isdigit() and best.tag != other.tag and (self.postponed or not self.flag):
                x, tag = self._taken_over(better, type_, best, other)
            else:
                x = self.w.op(f"select i1 {better}, {type_} {other.x}, {type_} {best.x}")
                tag = best.tag
                if tag != other.tag:
                    tag = self.w.op(f"select i1 {better}, i8 {other.tag}, i8 {best.tag}")
            best = Val(kinds, best.rep, x, tag)
        return best

    def _taken_over(self, better: str, type_: str, best: Val, other: Val) -> tuple[str, str]:
        """Another value, with its tag, if it is better than a variable's, whose type changes with the first that is.

        As a rule it is not: such loops look for the best one.
        """
        places = self.w.alloca(type_, "best"), self.w.alloca("i8", "tag")
        over, on = self.w.fresh("over"), self.w.fresh("on")

        def put(value: Val) -> None:
            self.w.put(f"store {type_} {value.x}, ptr {places[0]}")
            self.w.put(f"store i8 {value.tag}, ptr {places[1]}")

        put(best)
        self.w.branch(self.w.op(f"xor i1 {better}, true"), on, over, expected=True)
        self.w.place(over)
        put(other)
        self.w.place(on)
        return self.w.op(f"load {type_}, ptr {places[0]}"), self.w.op(f"load i8, ptr {places[1]}")

    def _min(self, arguments: list[Any]) -> Val:
        return self._extreme(arguments, ast.Lt())

    def _max(self, arguments: list[Any]) -> Val:
        return self._extreme(arguments, ast.Gt())

    def _pow(self, arguments: list[Any]) -> Val:
        if len(arguments) != 2:
            raise Unsupported("pow() with three arguments")
        return self.binary("**", *arguments)

    # The module `math`: results are Python's floats.

    def _real(self, value: Any) -> str:
        """A finite argument of a function of `math`."""
        value = self._operand(value)
        if value.kinds & BOOLS or "str" in value.kinds or not value.kinds <= PYTHON | {"float64", "int64"}:
            raise Unsupported("a function of math with this type")
        x = self.as_double(value, exact=True).x
        self.guard(self.are_finite(x), "a function of math of infinity or NaN")
        return x

    def _finite(self, x: str) -> Val:
        self.guard(self.are_finite(x), "a function of math that overflows or is not defined")
        return scalar("float", "d", x)

    def _math_sqrt(self, arguments: list[Any]) -> Val:
        return scalar("float", "d", self._root(self._one(arguments)))

    def _numpy_sqrt(self, arguments: list[Any]) -> Val:
        value = self._one(arguments)
        if not value.kinds <= {"float", "float64", "int", "int64"}:
            raise Unsupported("np.sqrt of this type")
        return scalar("float64", "d", self._root(value))

    def _root(self, value: Val) -> str:
        if value.kinds & BOOLS or "str" in value.kinds or "float32" in value.kinds:
            raise Unsupported("a square root of this type")
        x = self.as_double(value, exact=True).x
        self.guard(
            self.w.op(f"fcmp oge double {x}, {double(0.0)}"), "a square root of a negative number or NaN"
        )
        return self.intrinsic("sqrt", x)

    def _math_fabs(self, arguments: list[Any]) -> Val:
        return scalar("float", "d", self.intrinsic("fabs", self._real(self._one(arguments))))

    def _math_floor(self, arguments: list[Any]) -> Val:
        return self._rounded("floor", arguments)

    def _math_ceil(self, arguments: list[Any]) -> Val:
        return self._rounded("ceil", arguments)

    def _rounded(self, name: str, arguments: list[Any]) -> Val:
        value = self._one(arguments)
        if value.kind not in ("float", "float64"):
            raise Unsupported(f"math.{name} of this type")
        whole = Val(value.kinds, "d", self.intrinsic(name, value.x), value.tag)
        return scalar("int", "i", self.as_i64(whole).x)

    def _numpy_rounded(self, name: str, arguments: list[Any]) -> Val:
        value = self._one(arguments)
        if not value.kinds <= {"float", "float64"}:
            raise Unsupported(f"np.{name} of this type")
        return scalar("float64", "d", self.intrinsic(name, value.x))

    def _math_atan2(self, arguments: list[Any]) -> Val:
        if len(arguments) != 2:
            raise Unsupported("math.atan2 with this number of arguments")
        return self._finite(self.outside("atan2", *map(self._real, arguments)))

    def _math_pow(self, arguments: list[Any]) -> Val:
        if len(arguments) != 2:
            raise Unsupported("math.pow with this number of arguments")
        return scalar("float", "d", self.power(*map(self._real, arguments)))

    def _math_log(self, name: str, arguments: list[Any]) -> Val:
        x = self._real(self._one(arguments))
        self.guard(self.w.op(f"fcmp ogt double {x}, {double(0.0)}"), "a logarithm of no positive number")
        return self._finite(self.outside(name, x))

    def _builtin_round(self, arguments: list[Any]) -> Val:
        value = self._one(arguments)
        if value.kinds <= {"int"}:
            return value
        if value.kind not in ("float", "float64"):
            raise Unsupported("round() of this type")
        x = self.intrinsic("roundeven", value.x)
        return scalar("int", "i", self.as_i64(Val(value.kinds, "d", x, value.tag)).x)

    def _copysign(self, arguments: list[Any], kind: str) -> Val:
        if len(arguments) != 2:
            raise Unsupported("copysign with this number of arguments")
        values = [self._operand(each) for each in arguments]
        if any(not each.kinds <= {"float", "float64", "int", "int64"} for each in values):
            raise Unsupported("copysign of this type")
        one, other = (self.as_double(each, exact=True).x for each in values)
        self.ordered(one)
        return scalar(kind, "d", self.intrinsic("copysign", one, other))

    def _numpy_extreme(self, arguments: list[Any], op: ast.cmpop) -> Val:
        if len(arguments) != 2:
            raise Unsupported("a ufunc with this number of arguments")
        one, other = map(self._operand, arguments)
        kinds = one.kinds | other.kinds
        if kinds <= {"int", "int64"}:
            return scalar("int64", "i", self._extreme([one, other], op).x)
        if not kinds <= {"float", "float64"}:
            raise Unsupported("np.minimum or np.maximum of this type")
        # With NaN, and of two zeros, NumPy's choice is its own.
        a, b = one.x, other.x
        bits = [self.w.op(f"bitcast double {x} to i64") for x in (a, b)]
        differ = self.w.op(f"fcmp one double {a}, {b}")
        same = self.w.op(f"icmp eq i64 {bits[0]}, {bits[1]}")
        self.guard(self.w.op(f"or i1 {differ}, {same}"), "np.minimum or np.maximum of zeros or NaN")
        self.ordered(a)
        return scalar("float64", "d", self._extreme([one, other], op).x)


def _library(name: str) -> Callable[[Calls, list[Any]], Val]:
    def call(self: Calls, arguments: list[Any]) -> Val:
        return self._finite(self.outside(name, self._real(self._one(arguments))))

    return call


def _table() -> dict[Any, Callable[[Any, list[Any]], Val]]:
    table: dict[Any, Callable[[Any, list[Any]], Val]] = {
        builtins.int: Calls._int,
        builtins.float: Calls._float,
        builtins.bool: Calls._bool,
        builtins.complex: Calls.complex_of,
        builtins.len: Calls._len,
        builtins.abs: Calls._abs,
        builtins.min: Calls._min,
        builtins.max: Calls._max,
        builtins.pow: Calls._pow,
        builtins.round: Calls._builtin_round,
        math.sqrt: Calls._math_sqrt,
        math.fabs: Calls._math_fabs,
        math.floor: Calls._math_floor,
        math.ceil: Calls._math_ceil,
        math.atan2: Calls._math_atan2,
        math.pow: Calls._math_pow,
        math.copysign: lambda self, arguments: self._copysign(arguments, "float"),
        np.copysign: lambda self, arguments: self._copysign(arguments, "float64"),
        np.float64: Calls._float64,
        np.int64: Calls._int64,
        np.sqrt: Calls._numpy_sqrt,
        np.absolute: Calls._numpy_abs,
        np.minimum: lambda self, arguments: self._numpy_extreme(arguments, ast.Lt()),
        np.maximum: lambda self, arguments: self._numpy_extreme(arguments, ast.Gt()),
    }
    for name in _LIBRARY:
        table[getattr(math, name)] = _library(name)
    for name in _LOGARITHMS:
        table[getattr(math, name)] = lambda self, arguments, name=name: self._math_log(name, arguments)
    for name in ("floor", "ceil", "trunc"):
        table[getattr(np, name)] = lambda self, arguments, name=name: self._numpy_rounded(name, arguments)
    for function in (np.rint, np.round, np.around):
        table[function] = lambda self, arguments: self._numpy_rounded("roundeven", arguments)
    return table


_FUNCTIONS = _table()
