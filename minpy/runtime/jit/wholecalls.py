"""Functions and methods of arrays in a compiled loop: those whose bits are known, or NumPy's own loops."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from minpy.runtime.jit.expressions import TYPES
from minpy.runtime.jit.kinds import COMPLEX, INTS, RANGES, Unsupported
from minpy.runtime.jit.leaving import INFINITY, constant_of
from minpy.runtime.jit.newarrays import NewArrays
from minpy.runtime.jit.numpycalls import ELEMENTWISE
from minpy.runtime.jit.reductions import LETTERS
from minpy.runtime.jit.values import Known, Lazy, Ref, Several, Val, scalar
from minpy.runtime.jit.wholes import breaks_of, is_whole, kind_of, refs_of

# An int; from NumPy 2.4 on one of NumPy's.
_COUNTS = type(np.count_nonzero(np.ones(1, bool))).__name__


class WholeCalls(NewArrays):
    """Calls that take arrays."""

    def call_known(self, function: Any, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        maker = lookup(MAKERS, function)
        if maker is not None:
            return maker(self, arguments, keywords)
        if any(is_whole(each) for each in arguments):
            handler = lookup(FUNCTIONS, function)
            if handler is not None:
                if function is np.roll and keywords.keys() == {"axis"}:
                    arguments = [*arguments, keywords.pop("axis")]
                if keywords:
                    raise Unsupported("a call with keywords")
                try:
                    return handler(self, *arguments)
                except TypeError as error:
                    raise Unsupported("a call with these arguments") from error
            if function is len or lookup(METHODS_OF, function) is None:
                return super().call_known(function, arguments, keywords)
            return self.call_method(arguments[0], METHODS_OF[function], arguments[1:], keywords)
        name = lookup(METHODS_OF, function)
        if name is not None and len(arguments) == 1 and not keywords:
            return self.reduced_number(self._operand(arguments[0]), name)
        if isinstance(function, np.ufunc) and len(arguments) == function.nin and not keywords:
            try:
                return super().call_known(function, arguments, keywords)
            except Unsupported:
                return self._ufunc_of_scalars(function, [self._operand(each) for each in arguments])
        return super().call_known(function, arguments, keywords)

    def call_method(self, value: Any, name: str, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        handler = METHODS.get(name)
        if handler is None or not is_whole(value):
            raise Unsupported(f"the method .{name}")
        axis = keywords.pop("axis", None)
        keep = self._flag_of(keywords.pop("keepdims", None))
        freedom = keywords.pop("ddof", None) if name in ("var", "std") else None
        free = 0
        if freedom is not None:
            free = constant_of(self._operand(freedom).x) or 0
            if not (isinstance(freedom, Val) and freedom.kind == "int") or not 0 <= free < 64:
                raise Unsupported("ddof that is no small constant")
        if keywords:
            raise Unsupported(f".{name}() with keywords")
        if name in ALONG and (axis is not None or len(arguments) == 1 or keep):
            along = axis if axis is not None else arguments[0] if arguments else Known(None)
            return self.along(self.whole(value), name, along, keep, free)
        if free:
            raise Unsupported(f".{name}() with ddof")
        if axis is not None:
            raise Unsupported(f".{name}() along an axis")
        try:
            return handler(self, self.whole(value), *arguments)
        except TypeError as error:
            raise Unsupported(f".{name}() with these arguments") from error

    # Truth values.

    def _logical(self, symbol: str, left: Any, right: Any) -> Any:
        for each in (left, right):
            if not is_whole(each) or kind_of(each) != "bool_":
                raise Unsupported("a logical function of numbers")
        return self.binary(symbol, left, right)

    def _logical_not(self, value: Any) -> Lazy:
        if kind_of(self.whole(value)) != "bool_":
            raise Unsupported("np.logical_not of numbers")
        return self.mapped("bool_", self._opposite, value)

    def _opposite(self, value: Val) -> Val:
        return scalar("bool_", "b", self.w.op(f"xor i1 {value.x}, true"))

    def _class_of(self, value: Any, name: str) -> Lazy:
        """``np.isnan`` and its like."""
        if kind_of(self.whole(value)) not in LETTERS:
            raise Unsupported(f"np.{name} of this type")

        def test(each: Val) -> Val:
            size = self.intrinsic("fabs", each.x)
            how = {"isnan": "uno", "isfinite": "olt", "isinf": "oeq"}[name]
            return scalar("bool_", "b", self.w.op(f"fcmp {how} double {size}, {INFINITY}"))

        return self.mapped("bool_", test, value)

    def _nonzero_of(self, value: Any) -> Several:
        return Several(tuple(self.all_nonzero(self.whole(value))))

    def _nonzero_of_vector(self, value: Any) -> Ref:
        if len(value.dims) != 1:
            raise Unsupported("np.flatnonzero of a matrix")
        return self.nonzero(value)

    def _count_nonzero(self, value: Any) -> Val:
        if kind_of(self.whole(value)) != "bool_":
            raise Unsupported("np.count_nonzero of numbers")
        return scalar(_COUNTS, "i", self.total(value).x)

    # Element by element.

    def _where(self, condition: Any, *values: Any) -> Any:
        if not values:
            return self._nonzero_of(condition)
        left, right = values
        if not is_whole(condition) or kind_of(condition) != "bool_":
            raise Unsupported("np.where of this condition")
        left, right = self._sides(left, right)
        kind = "float64"
        if is_whole(left) or is_whole(right):
            kind, _ = self._kinds("+", left, right)
        elif not (left.kinds | right.kinds) <= {"float", "float64"}:
            raise Unsupported("np.where of numbers that are no floats")

        def choose(test: Val, one: Val, other: Val) -> Val:
            type_ = TYPES[one.rep]
            return scalar(kind, one.rep, self.w.op(f"select i1 {test.x}, {type_} {one.x}, {type_} {other.x}"))

        return self.mapped(
            kind, choose, self.whole(condition), self._cast(left, kind), self._cast(right, kind)
        )

    def _larger_or_smaller(self, left: Any, right: Any, op: ast.cmpop) -> Lazy:
        left, right = self._sides(left, right)
        kind, _ = self._kinds("+", left, right)
        if kind not in INTS | {"float64"}:
            raise Unsupported(f"np.minimum or np.maximum of {kind}")

        def function(one: Val, other: Val) -> Val:
            if kind == "float64":
                return self._numpy_extreme([one, other], op)
            better = self.compare(op, other, one).x
            return scalar(kind, "i", self.w.op(f"select i1 {better}, i64 {other.x}, i64 {one.x}"))

        return self.mapped(kind, function, self._cast(left, kind), self._cast(right, kind))

    def _root_of(self, value: Any) -> Lazy:
        kind = kind_of(self.whole(value))
        if kind not in {"float64"} | (INTS - {"int8", "uint8", "int16", "uint16"}):
            raise Unsupported(f"np.sqrt of {kind}")
        return self.mapped("float64", self.root, self._cast(value, "float64"), cost=10)

    def part_of(self, value: Any, name: str) -> Ref:
        ref = self.held(self.whole(value))
        if ref.type.kind != "complex128":
            raise Unsupported(f"the attribute .{name} of this array")
        moved = self.w.op(f"getelementptr i8, ptr {ref.pointer}, i64 {8 * (name == 'imag')}")
        type_ = ref.type._replace(dtype="float64", kind="float64", unit=False)
        return replace(ref, type=type_, pointer=moved, ident="", made=None)

    def _conjugate(self, value: Any) -> Lazy:
        if kind_of(self.whole(value)) != "complex128":
            raise Unsupported("the conjugate of this array")

        def conjugate(each: Val) -> Val:
            real, imag = self.parts(each)
            return self.paired("complex128", real, self.w.op(f"fneg double {imag}"))

        return self.mapped("complex128", conjugate, value)

    def _absolute(self, value: Any) -> Any:
        kind = kind_of(self.whole(value))
        if kind == "complex128":
            return self.by_numpy(np.absolute, value)
        if kind not in ("float64", "float32", "int64"):
            raise Unsupported(f"abs() of {kind}")
        return self.mapped(kind, lambda each: self._abs([each]), value)

    def _rounded_each(self, value: Any, name: str) -> Lazy:
        if kind_of(self.whole(value)) != "float64":
            raise Unsupported(f"np.{name} of this array")
        return self.mapped(
            "float64", lambda each: scalar("float64", "d", self.intrinsic(name, each.x)), value
        )

    def _astype(self, value: Any, dtype: Any) -> Lazy:
        """``a.astype(dtype)``; as any store, it leaves the loop where a value does not fit."""
        kind = self._dtype_of(dtype, "")
        kind = "bool_" if kind == "bool" else kind
        whole = self.whole(value)

        def cast(each: Val) -> Val:
            if kind == "bool_":
                return scalar(kind, "b", self.truth(each))
            if kind in LETTERS or kind in COMPLEX:
                return self.converted(each, kind)
            x = self.as_i64(each).x
            self.guard_range(x, *RANGES[kind], f"a value does not fit {kind}")
            return scalar(kind, "i", x)

        return self.mapped(kind, cast, whole)

    def _roll(self, value: Any, count: Any, axis: Any = None) -> Lazy:
        """``np.roll`` of a vector, or of another array along one axis."""
        whole = self.whole(value)
        rank = len(whole.dims)
        place = constant_of("0" if axis is None else self.as_integer(self._operand(axis)))
        if (rank > 1 and axis is None) or place is None or not -rank <= place < rank:
            raise Unsupported("np.roll along this axis")
        along = place % rank
        dim = whole.dims[along]
        self.guard(self.w.op(f"icmp sgt i64 {dim}, 0"), "np.roll of nothing")
        shift = self.floor_division("%", self.as_integer(self._operand(count)), dim)
        near = self.w.op(f"sub i64 0, {shift}")
        far = self.w.op(f"add i64 {near}, {dim}")

        def element(indices: list[str]) -> Val:
            k = indices[along]
            start, places = self.pieces.get(k, (k, frozenset()))
            if shift not in places:
                start = k
            offset = self.w.op(
                f"select i1 {self.w.op(f'icmp slt i64 {start}, {shift}')}, i64 {far}, i64 {near}"
            )
            x = self.w.op(f"add i64 {k}, {offset}")
            return self.at(whole, [*indices[:along], x, *indices[along + 1 :]])

        others = tuple(each for each in breaks_of(whole) if each[0] != along - rank)
        breaks = (*others, (along - rank, shift))
        return Lazy(kind_of(whole), whole.dims, element, refs_of(whole), True, breaks)

    def _arange(self, *arguments: Any) -> Lazy:
        """``np.arange`` of integers."""
        values = [self._operand(each) for each in arguments]
        if not 1 <= len(values) <= 2 or any(not each.kinds <= {"int", "int64"} for each in values):
            raise Unsupported("np.arange of this")
        start, stop = ("0", values[0].x) if len(values) == 1 else (values[0].x, values[1].x)
        for x in (start, stop):
            self.guard_range(x, -(2**40), 2**40, "np.arange of large numbers")
        count = stop if start == "0" else self.w.op(f"sub i64 {stop}, {start}")
        if constant_of(count) is None:
            count = self.w.op(f"select i1 {self.w.op(f'icmp slt i64 {count}, 0')}, i64 0, i64 {count}")
        elif int(count) < 0:
            count = "0"

        def element(indices: list[str]) -> Val:
            x = indices[0] if start == "0" else self.w.op(f"add i64 {indices[0]}, {start}")
            return scalar("int64", "i", x)

        return Lazy("int64", (count,), element, (), counts=start == "0")


def lookup(table: dict[Any, Any], key: Any) -> Any:
    """What a table has for a key that may not be hashable."""
    try:
        return table.get(key)
    except TypeError:
        return None


METHODS: dict[str, Callable[..., Any]] = {
    "sum": WholeCalls.total,
    "min": lambda self, value: self._extremum(value, "minimum"),
    "max": lambda self, value: self._extremum(value, "maximum"),
    "argmin": lambda self, value: self._argument(value, ast.Lt()),
    "argmax": lambda self, value: self._argument(value, ast.Gt()),
    "any": lambda self, value: self._truths(value, False),
    "all": lambda self, value: self._truths(value, True),
    "mean": WholeCalls._mean,
    "var": WholeCalls._variance,
    "std": WholeCalls._deviation,
    "dot": WholeCalls._dot,
    "copy": WholeCalls._copy,
    "astype": WholeCalls._astype,
    "conj": WholeCalls._conjugate,
    "conjugate": WholeCalls._conjugate,
}
ALONG = frozenset({"sum", "min", "max", "mean", "argmin", "argmax", "var", "std", "any", "all"})
METHODS_OF: dict[Any, str] = {
    np.sum: "sum",
    np.min: "min",
    np.max: "max",
    np.amin: "min",
    np.amax: "max",
    np.argmin: "argmin",
    np.argmax: "argmax",
    np.any: "any",
    np.all: "all",
    np.mean: "mean",
    np.var: "var",
    np.std: "std",
}
FUNCTIONS: dict[Any, Callable[..., Any]] = {
    abs: WholeCalls._absolute,
    np.absolute: WholeCalls._absolute,
    np.sqrt: WholeCalls._root_of,
    np.square: lambda self, value: self.binary("*", self.whole(value), value),
    np.floor: lambda self, value: self._rounded_each(value, "floor"),
    np.ceil: lambda self, value: self._rounded_each(value, "ceil"),
    np.trunc: lambda self, value: self._rounded_each(value, "trunc"),
    np.rint: lambda self, value: self._rounded_each(value, "roundeven"),
    np.round: lambda self, value: self._rounded_each(value, "roundeven"),
    np.around: lambda self, value: self._rounded_each(value, "roundeven"),
    np.roll: WholeCalls._roll,
    np.minimum: lambda self, one, other: self._larger_or_smaller(one, other, ast.Lt()),
    np.maximum: lambda self, one, other: self._larger_or_smaller(one, other, ast.Gt()),
    np.where: WholeCalls._where,
    np.median: lambda self, value: self.median(value),
    np.dot: WholeCalls._dot,
    np.matmul: WholeCalls.product,
    np.outer: WholeCalls._outer,
    np.conj: WholeCalls._conjugate,
    np.real: lambda self, value: self.part_of(value, "real"),
    np.imag: lambda self, value: self.part_of(value, "imag"),
    np.logical_and: lambda self, one, other: self._logical("&", one, other),
    np.logical_or: lambda self, one, other: self._logical("|", one, other),
    np.logical_xor: lambda self, one, other: self._logical("^", one, other),
    np.logical_not: WholeCalls._logical_not,
    np.isnan: lambda self, value: self._class_of(value, "isnan"),
    np.isinf: lambda self, value: self._class_of(value, "isinf"),
    np.isfinite: lambda self, value: self._class_of(value, "isfinite"),
    np.nonzero: WholeCalls._nonzero_of,
    np.flatnonzero: lambda self, value: self._nonzero_of_vector(self.whole(value)),
    np.count_nonzero: WholeCalls._count_nonzero,
    np.less: lambda self, one, other: self.compare(ast.Lt(), one, other),
    np.less_equal: lambda self, one, other: self.compare(ast.LtE(), one, other),
    np.greater: lambda self, one, other: self.compare(ast.Gt(), one, other),
    np.greater_equal: lambda self, one, other: self.compare(ast.GtE(), one, other),
    np.equal: lambda self, one, other: self.compare(ast.Eq(), one, other),
    np.not_equal: lambda self, one, other: self.compare(ast.NotEq(), one, other),
    np.add: lambda self, one, other: self.binary("+", one, other),
    np.subtract: lambda self, one, other: self.binary("-", one, other),
    np.negative: lambda self, value: self.unary(ast.UnaryOp(ast.USub(), ast.Constant(0)), value),
    np.floor_divide: lambda self, one, other: self.binary("//", one, other),
    np.remainder: lambda self, one, other: self.binary("%", one, other),
    np.multiply: lambda self, one, other: self.binary("*", one, other),
    np.divide: lambda self, one, other: self.binary("/", one, other),
}
for _function in ELEMENTWISE:
    FUNCTIONS[_function] = lambda self, *operands, function=_function: self.by_numpy(function, *operands)
MAKERS: dict[Any, Callable[..., Any]] = {
    np.linalg.norm: WholeCalls._make_norm,
    np.zeros: lambda self, arguments, keywords: self._make(arguments, keywords, self.constant(0)),
    np.ones: lambda self, arguments, keywords: self._make(arguments, keywords, self.constant(1)),
    np.empty: lambda self, arguments, keywords: self._make(arguments, keywords, None),
    np.zeros_like: lambda self, arguments, keywords: self._make_like(arguments, keywords, self.constant(0)),
    np.ones_like: lambda self, arguments, keywords: self._make_like(arguments, keywords, self.constant(1)),
    np.empty_like: lambda self, arguments, keywords: self._make_like(arguments, keywords, None),
    np.full: WholeCalls._make_full,
    np.arange: lambda self, arguments, keywords: self._plainly(self._arange, arguments, keywords),
    np.copy: WholeCalls._make_copy,
    np.array: WholeCalls._make_array,
}
