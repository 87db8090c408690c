"""LLVM code that leaves a loop where Python must go on, and what of numbers is looked at for that."""

from __future__ import annotations

from minpy.runtime.jit.ir import Writer, double
from minpy.runtime.jit.undo import Undo

INFINITY = double(float("inf"))


class Harmful(Exception):
    """Code that must not run where a guard before it should have left the loop."""


class Leaving(Undo):
    """Guards: ways out of the loop, taken at once or when more has been computed."""

    def __init__(self) -> None:
        super().__init__()
        self.w = Writer()
        self.reasons: list[tuple[int, str]] = []
        self.exits: dict[tuple[int, str], str] = {}
        self.line = 0
        # While the elements of an array are computed, guards only lower this flag: it is looked at once, at the end.
        self.flag = self.flag_reason = ""
        self.postponed = False  # whether that is so in a loop of the program's (see `at_once`)
        self.retry = ""  # where guards lead to instead, if what was done can be done again
        # Where the processor's flags tell what NumPy would warn of: the floats of an element that may be NaN and are
        # not looked at, since others that are made of them will be.
        self.floats: dict[str, None] | None = None
        self.computed = False  # whether such floats were met
        self.stored = False  # whether the code up to here may have stored into an array in this iteration
        self.stores = 0  # how many places of the code store into elements
        self.clean = True  # whether nothing leaves the loop after such a store

    def exit(self, reason: str) -> str:
        """The block that leaves the loop for `reason`."""
        if self.retry:
            return self.retry
        self.at_once()
        self.clean = self.clean and (self.logging or not self.stored)
        key = self.line, reason
        label = self.exits.get(key)
        if label is None:
            label = self.exits[key] = self.w.fresh("leave")
            self.reasons.append(key)
        return label

    def at_once(self) -> None:
        """What follows must not run where a guard before it should have left the loop.

        Raises
        ------
        Harmful
            It would, as guards are looked at after the loop; or, with `retry`, it would happen twice.
        """
        if self.postponed:
            raise Harmful

    def guard(self, condition: str, reason: str) -> None:
        """Go on only if `condition` holds."""
        if condition == "true":
            return
        if self.flag:
            self.flag_reason = self.flag_reason or reason
            both = self.w.op(f"and i1 {self.w.op(f'load i1, ptr {self.flag}')}, {condition}")
            self.w.put(f"store i1 {both}, ptr {self.flag}")
            return
        on = self.w.fresh("on")
        self.w.branch(condition, on, self.exit(reason), expected=True)
        self.w.place(on)

    def guard_range(self, x: str, least: int, greatest: int, reason: str) -> None:
        """Go on only if the integer `x` is in a range."""
        constant = constant_of(x)
        if constant is not None and least <= constant <= greatest:
            return
        if least > -(2**63):
            self.guard(self.w.op(f"icmp sge i64 {x}, {least}"), reason)
        if greatest < 2**63 - 1:
            self.guard(self.w.op(f"icmp sle i64 {x}, {greatest}"), reason)

    def guarded(self, condition: str, x: str, harmless: str, reason: str) -> str:
        """The integer `x` where `condition` holds; else the loop is left, now or (with `harmless`) a little later."""
        self.guard(condition, reason)
        return self.w.op(f"select i1 {condition}, i64 {x}, i64 {harmless}") if self.flag else x

    def note_store(self) -> None:
        """An array was stored into."""
        self.stored = True
        self.stores += 1

    # Numbers.

    def intrinsic(self, name: str, *arguments: str) -> str:
        """An LLVM function on doubles that is exact."""
        types = ", ".join(["double"] * len(arguments))
        self.w.declarations.add(f"declare double @llvm.{name}.f64({types})")
        return self.w.op(f"call double @llvm.{name}.f64({', '.join(f'double {x}' for x in arguments)})")

    def checked(self, result: str, *operands: str) -> str:
        """Leave the loop where NumPy's scalars warn, infinite of finite operands, and for NaN (see `ordered`)."""
        if self.floats is not None:
            for operand in operands:
                self.floats.pop(operand, None)
            self.ordered(result)
            return result
        size = self.intrinsic("fabs", result)
        finite = self.are_finite(result)
        fine, odd = self.w.fresh("fine"), self.w.fresh("odd")
        if not self.flag or self.postponed:
            self.w.branch(finite, fine, odd, expected=True)
            self.w.place(odd)
        allowed = "false"
        for operand in operands:
            endless = self.w.op(f"fcmp oeq double {self.intrinsic('fabs', operand)}, {INFINITY}")
            allowed = self.w.op(f"or i1 {allowed}, {endless}")
        infinite = self.w.op(f"fcmp oeq double {size}, {INFINITY}")
        allowed = self.w.op(f"and i1 {allowed}, {infinite}")
        if self.flag and self.postponed:
            self.guard(allowed, "an overflow, an invalid value or NaN")
            self.w.place(fine)
            return result
        if self.flag:
            self.guard(self.w.op(f"or i1 {finite}, {allowed}"), "an overflow, an invalid value or NaN")
            return result
        self.w.branch(allowed, fine, self.exit("an overflow, an invalid value or NaN"))
        self.w.place(fine)
        return result

    def are_finite(self, *numbers: str) -> str:
        """Whether numbers are finite; false as well where only their sum is not, of several."""
        if self.flag and not self.postponed:
            # In a form that can be done for several elements at a time.
            fine = "true"
            for x in numbers:
                one = self.w.op(f"fcmp olt double {self.intrinsic('fabs', x)}, {INFINITY}")
                fine = one if fine == "true" else self.w.op(f"and i1 {fine}, {one}")
            return fine
        while len(numbers) > 1:
            pairs = zip(numbers[::2], numbers[1::2], strict=False)
            rest = numbers[-1:] if len(numbers) % 2 else ()
            numbers = (*(self.w.op(f"fadd double {a}, {b}") for a, b in pairs), *rest)
        return self.w.op(f"fcmp olt double {self.intrinsic('fabs', numbers[0])}, {INFINITY}")

    def ordered(self, result: str) -> None:
        """Leave the loop for NaN: which of several NaNs comes out is not LLVM's concern."""
        if self.floats is not None:
            self.floats[result] = None
            self.computed = True
            return
        self.guard(self.w.op(f"fcmp ord double {result}, {double(0.0)}"), "a result that is NaN")


def constant_of(x: str) -> int | None:
    """The value of an integer operand that is a constant."""
    return int(x) if x.lstrip("-").isdigit() else None
