"""What a loop runs over: ranges, arrays, and what `enumerate`, `zip` and `reversed` make of these."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minpy.runtime.jit.kinds import Unsupported
from minpy.runtime.jit.values import Ref, Several, Val, scalar

if TYPE_CHECKING:
    from minpy.runtime.jit.statements import Statements


class Iteration:
    """What a loop runs over: `count` items (none if negative); `item` gives the code for the one at `k`."""

    count: str

    def __init__(self, code: Statements) -> None:
        self.code = code

    def item(self, k: str) -> Any:
        """The item at position `k`."""
        raise NotImplementedError


class Range(Iteration):
    def __init__(self, code: Statements, count: str, start: str, step: str) -> None:
        super().__init__(code)
        self.count, self.start, self.step = count, start, step

    def item(self, k: str) -> Val:
        x = k if self.step == "1" else self.code.w.op(f"mul nsw i64 {k}, {self.step}")
        if self.start != "0":
            x = self.code.w.op(f"add nsw i64 {self.start}, {x}")
        return scalar("int", "i", x)


class Elements(Iteration):
    def __init__(self, code: Statements, ref: Ref) -> None:
        super().__init__(code)
        self.ref, self.count = ref, ref.dims[0]

    def item(self, k: str) -> Any:
        ref = self.code.item(self.ref, [k], checked=False)
        return self.code.read(ref) if not ref.dims else ref


class Enumerated(Iteration):
    def __init__(self, code: Statements, start: str, inner: Iteration) -> None:
        super().__init__(code)
        self.start, self.inner, self.count = start, inner, inner.count
        if start != "0":
            code.guard_range(start, -(2**61), 2**61, "enumerate from a very large number")

    def item(self, k: str) -> Several:
        x = k if self.start == "0" else self.code.w.op(f"add nsw i64 {self.start}, {k}")
        return Several((scalar("int", "i", x), self.inner.item(k)))


class Zipped(Iteration):
    def __init__(self, code: Statements, inner: list[Iteration]) -> None:
        super().__init__(code)
        self.inner = inner
        self.count = inner[0].count
        for each in inner[1:]:
            less = code.w.op(f"icmp slt i64 {each.count}, {self.count}")
            self.count = code.w.op(f"select i1 {less}, i64 {each.count}, i64 {self.count}")

    def item(self, k: str) -> Several:
        return Several(tuple(each.item(k) for each in self.inner))


class Reversed(Iteration):
    def __init__(self, code: Statements, inner: Iteration) -> None:
        super().__init__(code)
        if not isinstance(inner, (Range, Elements)):
            raise Unsupported("reversed() of this")
        self.inner, self.count = inner, inner.count

    def item(self, k: str) -> Any:
        last = self.code.w.op(f"sub i64 {self.count}, 1")
        return self.inner.item(self.code.w.op(f"sub i64 {last}, {k}"))
