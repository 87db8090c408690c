"""LLVM code for innermost loops in two versions.

    for j in range(1, m - 1):
        new[i, j] = old[i, j - 1] + old[i, j + 1]

In the fast version nothing is asked in a round that can be told before the first one: that indices which step evenly
are in bounds (the first and the last are looked at), and that what is stored into shares no memory with what is read.
Where that does not hold the other version runs, which looks at each index. If all that a round does is compute numbers
and store them, the fast version also looks only once, after the loop, whether there was something to warn of; the
processor can then work on several rounds at a time.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from minpy.runtime.jit.draws import Draws
from minpy.runtime.jit.expressions import BITS, TYPES
from minpy.runtime.jit.ir import double
from minpy.runtime.jit.kinds import Unsupported
from minpy.runtime.jit.leaving import Harmful, constant_of
from minpy.runtime.jit.stepping import (
    Key,
    Plan,
    assigned,
    is_neighbour,
    is_stored,
    storing,
    sum_of,
    summed,
)
from minpy.runtime.jit.values import Ref, Val, Variable

if TYPE_CHECKING:
    from minpy.runtime.jit.iterations import Range

_MOST_PAIRS = 6  # of arrays that are compared


class Versions(Draws):
    """Two versions of a loop."""

    def __init__(self) -> None:
        super().__init__()
        self.proved: dict[
            int, str
        ] = {}  # subscripts, by identity, that are in bounds here; what is said of them
        self.unchecked = False  # whether the code for an index is written that is one of those
        self.even: frozenset[str] = frozenset()  # `Plan.even` where all of its indices are in bounds
        self.sums: frozenset[str] = frozenset()  # variables that are looked at after the loop
        self.element_sums: set[int] = set()  # the same of elements: what stores into them

    def bind(self, target: ast.expr, value: Any) -> None:
        """Assign a value to a target."""
        raise NotImplementedError

    def in_versions(
        self, node: ast.For, step: Range, plan: Plan, rounds: Callable[[Callable[[], None]], None]
    ) -> bool:
        """Write a loop, whose code `rounds` writes, twice; False if nothing has been written.

        `rounds` is given what is to stand at the end of each round.
        """
        length = len(self.w.lines)
        fast, slow, end, some = (self.w.fresh(hint) for hint in ("fast", "slow", "end", "some"))
        self.w.branch(self.w.op(f"icmp sgt i64 {step.count}, 0"), some, slow, expected=True)
        self.w.place(some)
        flag, outer, reason = self.w.alloca("i1", "proved"), self.flag, self.flag_reason
        self.w.put(f"store i1 true, ptr {flag}")
        self.flag = flag
        bases = self.prove(node, step, plan)
        proved = {id(each): "" for each, keys in plan.subscripts if all(key in bases for key in keys)}
        if proved:
            told = self.tell_apart(plan, bases, proved)
            if not told or any(is_stored(each) and id(each) not in proved for each, _ in plan.subscripts):
                proved = {each: said for each, said in proved.items() if each not in plan.steady}
        rows = self.rows_stored(node, step, plan, bases, proved) if self.logging else ()
        ends = tuple(step.item(k).x for k in ("0", self.w.op(f"sub i64 {step.count}, 1")))
        small = self.small_before(node, ends)
        self.flag, self.flag_reason = outer, reason
        if not proved:
            del self.w.lines[length:]
            self.w.ended = False
            return False
        self.w.branch(self.w.op(f"load i1, ptr {flag}"), fast, slow, expected=True)
        self.w.place(fast)
        for pointer, stride, count, size in rows:
            self.keep(pointer, stride, count, size)
        around, self.proved, self.small = (self.proved, self.even, self.small), proved, small
        self.even = plan.even if len(proved) == len(plan.subscripts) else frozenset()
        try:
            if plan.flat and not plan.fixed and len(proved) == len(plan.subscripts):
                with self.looked_at_once() as finish:
                    rounds(finish)
            elif not (
                self._afterwards(rounds) if plan.moving else self._tentatively(node, plan, rounds, slow)
            ):
                rounds(lambda: None)
        finally:
            self.proved, self.even, self.small = around
        self.w.jump(end)
        self.w.place(slow)
        rounds(lambda: None)
        self.w.place(end)
        return True

    def prove(self, node: ast.For, step: Range, plan: Plan) -> dict[Key, Ref]:
        """Code that lowers the flag if an index of the first or the last round is out of bounds.

        Gives the arrays of the parts of which that can be told.
        """
        bases: dict[Key, Ref] = {}
        failed: set[Key] = set()
        for k in ("0", self.w.op(f"sub i64 {step.count}, 1")):
            self.bind(node.target, step.item(k))
            for key, (array, axis, part, changes) in plan.parts.items():
                if key in failed or not (changes or k == "0"):
                    continue
                length = len(self.w.lines)
                try:
                    number = self.integer(part)
                    base = self.expression(array) if k == "0" else bases[key]
                    if not isinstance(base, Ref) or axis >= len(base.dims):
                        raise Unsupported("an index into something else")
                except Unsupported:
                    del self.w.lines[length:]
                    failed.add(key)
                    bases.pop(key, None)
                    continue
                bases[key] = base
                constant = constant_of(number)
                if constant is not None and constant < 0:
                    number = self.w.op(f"add i64 {number}, {base.dims[axis]}")
                self.guard(
                    self.w.op(f"icmp ult i64 {number}, {base.dims[axis]}"), "an index is out of bounds"
                )
        return bases

    def rows_stored(
        self, node: ast.For, step: Range, plan: Plan, bases: dict[Key, Ref], proved: dict[int, str]
    ) -> Iterable[tuple[str, str, str, int]]:
        """The elements that the loop stores into where it knows the indices: as `keep` takes them."""
        found = {}
        for each, keys in plan.subscripts:
            base, size = bases.get(keys[0]), 0
            if not is_stored(each) or id(each) not in proved or keys in found or len(keys) < len(base.dims):
                continue
            size = BITS[base.type.dtype][1]
            places = []
            moves = any(plan.parts[key][3] for key in keys)
            for k in ("0", "1") if moves else ("0",):
                self.bind(node.target, step.item(k))
                numbers = []
                for axis, key in enumerate(keys):
                    number = self.integer(plan.parts[key][2])
                    constant = constant_of(number)
                    if constant is not None and constant < 0:
                        number = self.w.op(f"add i64 {number}, {base.dims[axis]}")
                    numbers.append(number)
                places.append(self.item(base, numbers, checked=False).pointer)
            stride = str(size)
            if moves:
                one, other = (self.w.op(f"ptrtoint ptr {place} to i64") for place in places)
                stride = self.w.op(f"sub i64 {other}, {one}")
            found[keys] = places[0], stride, step.count if moves else "1", size
        return found.values()

    def tell_apart(self, plan: Plan, bases: dict[Key, Ref], proved: dict[int, str]) -> bool:
        """Code that lowers the flag if what is stored into shares memory with other arrays; say so of the accesses.

        False if there is none, as there are too many arrays.
        """
        refs: dict[str, Ref] = {}
        written: dict[str, None] = {}
        subscripts = [(each, keys[0]) for each, keys in plan.subscripts if id(each) in proved]
        for each, key in subscripts:
            refs.setdefault(key[0], bases[key])
            if isinstance(each.ctx, ast.Store):
                written[key[0]] = None
        pairs = {tuple(sorted((one, other))): None for one in written for other in refs if one != other}
        if not pairs or len(pairs) > _MOST_PAIRS:
            return not pairs
        spans = {name: self.span(ref) for name, ref in refs.items()}
        for one, other in pairs:
            (low, high), (lower, higher) = spans[one], spans[other]
            before, behind = (
                self.w.op(f"icmp ule i64 {high}, {lower}"),
                self.w.op(f"icmp ule i64 {higher}, {low}"),
            )
            self.guard(self.w.op(f"or i1 {before}, {behind}"), "arrays that share memory")
        domain = self.w.note("{}")
        scopes = {name: self.w.note(f"{{}}, {domain}") for name in refs}
        for each, key in subscripts:
            own = self.w.note(scopes[key[0]], distinct=False)
            others = self.w.note(
                ", ".join(scope for name, scope in scopes.items() if name != key[0]), distinct=False
            )
            proved[id(each)] = f", !alias.scope {own}, !noalias {others}"
        return True

    @contextmanager
    def looked_at_once(self) -> Iterator[Callable[[], None]]:
        """Let guards only lower a flag, and the processor say what floats warn of: both are looked at afterwards."""
        opening, around = len(self.w.lines), (self.floats, self.computed)
        self.floats, self.computed = {}, False
        flag, outer, reason = self.w.alloca("i1", "fine"), self.flag, self.flag_reason
        self.w.put(f"store i1 true, ptr {flag}")
        self.flag, self.flag_reason = flag, ""

        def finish() -> None:
            floats, self.floats = self.floats, None
            for x in floats or ():
                self.guard(self.w.op(f"fcmp ord double {x}, {double(0.0)}"), "a result that is NaN")

        try:
            yield finish
        finally:
            computed, found = self.computed, self.flag_reason
            self.floats, self.computed = around
            self.flag, self.flag_reason = outer, reason
        if found:
            self.guard(self.w.op(f"load i1, ptr {flag}"), found)
        if computed:
            self.flagged(opening)

    def _afterwards(self, rounds: Callable[[Callable[[], None]], None]) -> bool:
        """Write a loop whose guards only lower a flag, looked at after it; False if nothing has been written.

        A loop that can be left at its end only is one in which the compiler keeps in registers what one round stores
        and the next reads.
        """
        flag, outer, reason = self.w.alloca("i1", "fine"), self.flag, self.flag_reason
        length = len(self.w.lines)
        self.w.put(f"store i1 true, ptr {flag}")
        self.flag, self.flag_reason = flag, ""
        harmless = self._attempt(length, lambda: rounds(lambda: None))
        found, self.flag, self.flag_reason = self.flag_reason, outer, reason
        if harmless and found:
            self.guard(self.w.op(f"load i1, ptr {flag}"), found)
        return harmless

    def _tentatively(
        self, node: ast.For, plan: Plan, rounds: Callable[[Callable[[], None]], None], slow: str
    ) -> bool:
        """Write a loop that stores into the same elements in each round, or nowhere; False if nothing has been written.

        Where a guard would leave the loop, variables and elements get back what they held before it, and it runs once
        more as `slow`. So what the loop only adds up need not be looked at in each round: if it is finite at the end,
        there was nothing to warn of on the way.
        """
        variables = {name: self.variable(name) for name in sorted(assigned(node))}
        numbers = [each for each in variables.values() if each is not None]
        if len(numbers) < len(variables) or not all(id(each) in self.proved for each in plan.fixed):
            return False
        length, stores = len(self.w.lines), self.stores
        before = self._copied(numbers, plan.fixed)
        again, fine = self.w.fresh("again"), self.w.fresh("fine")
        self.retry = again
        self.sums = summed(node)
        elements = plan.fixed if all(sum_of(each) for each in storing(node)) else ()
        self.element_sums = {id(each) for each in elements}

        def write() -> None:
            rounds(lambda: None)
            totals = [self.load(variables[name]) for name in sorted(self.sums) if variables[name].rep]
            for total in (*totals, *(self.read(self._place(each)) for each in elements)):
                if total.rep == "d":
                    self.guard(self.are_finite(total.x), "a sum that is infinite or NaN")
            if self.stores - stores > len(plan.fixed):
                raise Harmful  # a function that is called stores as well

        harmless = self._attempt(length, write)
        self.retry, self.sums, self.element_sums = "", frozenset(), set()
        if harmless:
            self.w.jump(fine)
            self.w.place(again)
            for place, (copy, type_) in before.items():
                x = self.w.op(f"load {type_}, ptr {copy}, align 1")
                self.w.put(f"store {type_} {x}, ptr {place}, align 1")
            self.w.jump(slow)
            self.w.place(fine)
        return harmless

    def _attempt(self, length: int, write: Callable[[], None]) -> bool:
        """Write code that may be found to be harmful; then nothing from line `length` on has been written."""
        exits, reasons, loops = dict(self.exits), len(self.reasons), self.loops
        kept = self.conditional, self.inner, self.counters, self.w.access, self.unchecked
        pending = dict(self.pending)
        self.loops, self.postponed = list(loops), True
        try:
            write()
            return True
        except (Harmful, Unsupported):
            del self.w.lines[length:]
            self.w.ended = False
            self.exits = exits
            del self.reasons[reasons:]
            self.conditional, self.inner, self.counters, self.w.access, self.unchecked = kept
            self.pending = pending
            return False
        finally:
            self.loops, self.postponed = loops, False

    def _place(self, target: ast.Subscript) -> Any:
        """What a store into a subscript goes to."""
        raise NotImplementedError

    def variable(self, name: str) -> Variable | None:
        return self.scalars.get(name)

    def _copied(
        self, variables: Iterable[Variable], elements: Iterable[ast.Subscript]
    ) -> dict[str, tuple[str, str]]:
        """Copies of variables and elements: by the place of each, the place of its copy, and its type."""
        copies = {}
        for ref in map(self._place, elements):
            type_ = BITS[ref.type.dtype][0]
            copies[ref.pointer] = self.w.alloca(type_, "before"), type_
            x = self.w.op(f"load {type_}, ptr {ref.pointer}, align 1")
            self.w.put(f"store {type_} {x}, ptr {copies[ref.pointer][0]}, align 1")
        for variable in variables:
            if variable.rep:
                for place, type_ in ((variable.value, TYPES[variable.rep]), (variable.tag, "i8")):
                    copies[place] = self.w.alloca(type_, "before"), type_
                    x = self.w.op(f"load {type_}, ptr {place}")
                    self.w.put(f"store {type_} {x}, ptr {copies[place][0]}")
        return copies

    def _subscript(self, node: ast.Subscript) -> Any:
        access = self.proved.get(id(node))
        if access is None:
            return super()._subscript(node)
        around = self.unchecked, self.w.access
        self.unchecked, self.w.access = True, access
        value = super()._subscript(node)
        self.unchecked, self.w.access = around
        if isinstance(value, Val) and value.rep == "i" and is_neighbour(node, self.now[-1]):
            self.late.add(value.x)
        return value

    def wrapped(self, number: str, dim: str) -> str:
        if not self.unchecked:
            return super().wrapped(number, dim)
        constant = constant_of(number)
        return self.w.op(f"add i64 {number}, {dim}") if constant is not None and constant < 0 else number

    def exact(self, name: str, a: str, b: str) -> str:
        if not self.unchecked:
            return super().exact(name, a, b)
        return self.w.op(f"{name[1:]} nsw i64 {a}, {b}")
