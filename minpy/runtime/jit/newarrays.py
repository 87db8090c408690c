"""Arrays that a compiled loop makes: `np.zeros` and its like, `np.array`, copies."""

from __future__ import annotations

from typing import Any

import numpy as np

from minpy.runtime.jit.expressions import BITS, TYPES
from minpy.runtime.jit.kinds import Unsupported
from minpy.runtime.jit.leaving import constant_of
from minpy.runtime.jit.medians import Medians
from minpy.runtime.jit.values import Known, Lazy, Ref, Several, Val, scalar, small
from minpy.runtime.jit.wholes import is_whole, kind_of


class NewArrays(Medians):
    """Calls that make arrays."""

    def array_of_items(self, items: Several) -> Ref:
        return self.held(self._make_array([items], {}))

    def _copy(self, value: Any) -> Ref:
        value = self.whole(value)
        if isinstance(value, Lazy):
            return self.held(value)
        return self.held(Lazy(value.type.kind, value.dims, lambda indices: self.at(value, indices), (value,)))

    def _shape_of(self, value: Any) -> tuple[str, ...]:
        items = value.items if isinstance(value, Several) else (value,)
        dims = []
        for item in items:
            x = self.as_integer(self._operand(item))
            self.guard_range(x, 0, 1 << 30, "an array of this size")
            dims.append(x)
        if not dims:
            raise Unsupported("an array without axes")
        return tuple(dims)

    def _dtype_of(self, value: Any, missing: str) -> str:
        if value is None:
            return missing
        known = value.value if isinstance(value, Known) else None
        try:
            name = np.dtype(known).name if known is not None else ""
        except TypeError:
            name = ""
        if name not in BITS:
            raise Unsupported("an array of this dtype")
        return name

    def _make(self, arguments: list[Any], keywords: dict[str, Any], value: Val | None) -> Ref:
        """``np.zeros`` and its like."""
        shape, *rest = arguments
        if len(rest) > 1 or set(keywords) - {"dtype"}:
            raise Unsupported("a new array with these arguments")
        dtype = self._dtype_of(rest[0] if rest else keywords.get("dtype"), "float64")
        return self._filled(dtype, self._shape_of(shape), value)

    def _make_like(self, arguments: list[Any], keywords: dict[str, Any], value: Val | None) -> Ref:
        if len(arguments) != 1 or keywords:
            raise Unsupported("a new array with these arguments")
        like = self.kept(self.whole(arguments[0]))
        if isinstance(like, Ref):
            self._descending(like)
        kind = kind_of(like)
        return self._filled("bool" if kind == "bool_" else kind, like.dims, value)

    def _plainly(self, function: Any, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        if keywords:
            raise Unsupported("a call with keywords")
        return function(*arguments)

    def _make_copy(self, arguments: list[Any], keywords: dict[str, Any]) -> Ref:
        if len(arguments) != 1 or keywords:
            raise Unsupported("a copy with these arguments")
        if isinstance(arguments[0], Ref):
            self._descending(self.whole(arguments[0]))
        return self._copy(arguments[0])

    def _make_norm(self, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        if len(arguments) != 1 or set(keywords) - {"axis", "keepdims"}:
            raise Unsupported("a norm with these arguments")
        return self.norm(arguments[0], keywords.get("axis"), self._flag_of(keywords.get("keepdims")))

    def _flag_of(self, value: Any) -> bool:
        """A truth value of the program's text; not given, it is false."""
        if value is None:
            return False
        if not isinstance(value, Val) or value.kind != "bool" or value.x not in ("true", "false"):
            raise Unsupported("keepdims that is not True or False")
        return value.x == "true"

    def _make_full(self, arguments: list[Any], keywords: dict[str, Any]) -> Ref:
        if len(arguments) != 2 or set(keywords) - {"dtype"}:
            raise Unsupported("a new array with these arguments")
        value = self._operand(arguments[1])
        if value.kind is None or "str" in value.kinds:
            raise Unsupported("np.full of a number whose type changes")
        missing = {"int": "int64", "float": "float64", "bool": "bool", "bool_": "bool"}.get(
            value.kind, value.kind
        )
        dtype = self._dtype_of(keywords.get("dtype"), missing)
        return self._filled(dtype, self._shape_of(arguments[0]), value)

    def _filled(self, dtype: str, dims: tuple[str, ...], value: Val | None) -> Ref:
        new = self.fresh(dtype, dims)
        if value is not None:
            self.quietly(lambda: self.fill(new, value))
        return new

    def of_numbers(self, kind: str, items: list[Val]) -> Lazy:
        """A short vector of numbers: what reads its elements takes these, and it need not be made."""

        def element(indices: list[str]) -> Val:
            known = constant_of(indices[0])
            if known is not None:
                return self.opaque(items[known])
            first, *others = map(self.opaque, items)
            x = first.x
            for i, item in enumerate(others, 1):
                here = self.w.op(f"icmp eq i64 {indices[0]}, {i}")
                x = self.w.op(f"select i1 {here}, {TYPES[item.rep]} {item.x}, {TYPES[item.rep]} {x}")
            return scalar(kind, first.rep, x)

        return Lazy(kind, (str(len(items)),), element, (), items=tuple(items))

    def _make_array(self, arguments: list[Any], keywords: dict[str, Any]) -> Ref | Lazy:
        """``np.array`` of numbers, or of an array."""
        if len(arguments) != 1 or set(keywords) - {"dtype"}:
            raise Unsupported("a new array with these arguments")
        (value,) = arguments
        if is_whole(value) and not keywords:
            ref = self._copy(value)
            for each in [value] if isinstance(value, Ref) else []:
                self._descending(each)
            return ref
        if not isinstance(value, Several) or not value.items:
            raise Unsupported("an array of this")
        items = [self._operand(each) for each in value.items]
        kinds = frozenset().union(*(each.kinds for each in items))
        if kinds <= {"float", "float64", "int", "int64"} and all(
            each.kinds & {"float", "float64"} and each.kind is not None for each in items[:1]
        ):
            missing = "float64"
        elif kinds <= {"int", "int64"}:
            missing = "int64"
        else:
            raise Unsupported("an array of numbers whose types change")
        dtype = self._dtype_of(keywords.get("dtype"), missing)
        if dtype == missing and small(len(items), 1):
            return self.of_numbers(dtype, [self.converted(each, dtype) for each in items])
        new = self.fresh(dtype, (str(len(items)),))

        def store() -> None:
            for i, item in enumerate(items):
                self.write(self.item(new, [str(i)], checked=False), item)

        self.quietly(store)
        return new
