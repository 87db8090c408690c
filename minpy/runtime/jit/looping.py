"""LLVM code for loops: what they run over, their rounds, and a look at signals from time to time."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable

from minpy.runtime.jit.everywhere import ByComparison
from minpy.runtime.jit.iterations import Elements, Enumerated, Iteration, Range, Reversed, Zipped
from minpy.runtime.jit.kinds import Unsupported
from minpy.runtime.jit.leaving import constant_of
from minpy.runtime.jit.nests import RAISED
from minpy.runtime.jit.values import Known, Lazy, Ref, Val

# After so many rounds of the loops that hold loops, signals are looked at.
ROUNDS = 1 << 14


class Looping(ByComparison):
    """Rounds, and what they are made for."""

    def __init__(self) -> None:
        super().__init__()
        self.fuel = ""  # where it is counted how many rounds are left until signals are looked at
        self.interrupted = "interrupted"

    def block(self, body: list[ast.stmt], owner: ast.AST | None = None) -> None:
        """Code for statements."""
        raise NotImplementedError

    def otherwise(self, node: ast.While | ast.For) -> None:
        """Code for a loop's ``else``."""
        raise NotImplementedError

    def rounds(
        self,
        node: ast.For,
        step: Iteration,
        last: Callable[[], None],
        inside: Callable[[], None] | None = None,
        *,
        polls: bool = False,
        said: str = "",
    ) -> None:
        """Code for a loop; `last` writes what each round ends with, and `inside` its body if that is another one.

        `polls` says that signals are let through though the body as written has no loops, and `said` is what LLVM is
        told of the loop.
        """
        counter, counters = self.w.alloca("i64", "k"), self.counters
        self.w.put(f"store i64 0, ptr {counter}")
        head, body, next_, otherwise, end = (
            self.w.fresh(hint) for hint in ("for", "body", "next", "else", "end")
        )
        self.w.place(head)
        k = self.w.op(f"load i64, ptr {counter}")
        self.w.branch(self.w.op(f"icmp slt i64 {k}, {step.count}"), body, otherwise)
        self.w.place(body)
        nest = any(isinstance(inner, (ast.For, ast.While)) for each in node.body for inner in ast.walk(each))
        if nest or polls:
            self.poll()
        self.bind(node.target, step.item(k))
        self.loops.append((next_, end))
        # The loop may not run at all, but what it is made of is what the program does most.
        self.inner += 1
        if isinstance(step, Range) and isinstance(node.target, ast.Name):
            self.counters = [*counters, node.target.id]
        self.lasts.append(lambda: self.w.op(f"icmp eq i64 {k}, {self.w.op(f'sub i64 {step.count}, 1')}"))
        if inside is None:
            self.block(node.body, node)
        else:
            inside()
        self.inner -= 1
        self.counters = counters
        self.loops.pop()
        if not self.w.ended:
            self.end_round()
        self.lasts.pop()
        if not self.w.ended:
            last()
            self.w.jump(next_)
        self.w.place(next_)
        k = self.w.op(f"load i64, ptr {counter}")
        self.w.put(f"store i64 {self.w.op(f'add nsw i64 {k}, 1')}, ptr {counter}")
        self.w.jump(head, said)
        self.w.place(otherwise)
        self.otherwise(node)
        self.w.place(end)

    def note_store(self) -> None:
        super().note_store()
        if self.inner and not self.logging:
            self.clean = False  # the next round of an inner loop may leave

    def poll(self) -> None:
        """Let signals through from time to time."""
        self.at_once()
        left = self.w.op(f"sub i64 {self.w.op(f'load i64, ptr {self.fuel}')}, 1")
        self.w.put(f"store i64 {left}, ptr {self.fuel}")
        look, on = self.w.fresh("look"), self.w.fresh("on")
        self.w.branch(self.w.op(f"icmp sgt i64 {left}, 0"), on, look, expected=True)
        self.w.place(look)
        if self.floats is not None:
            # A signal's handler may lower the processor's flags.
            calm = self.w.fresh("calm")
            self.w.branch(
                self.w.op(f"icmp eq i32 {self.raised()}, 0"), calm, self.exit(RAISED), expected=True
            )
            self.w.place(calm)
        self.w.put(f"store i64 {ROUNDS}, ptr {self.fuel}")
        answer = self.w.call("i32", "minpy_PyErr_CheckSignals")
        self.w.branch(self.w.op(f"icmp eq i32 {answer}, 0"), on, self.interrupted, expected=True)
        self.w.place(on)

    # What a loop runs over.

    def iteration(self, node: ast.expr) -> Iteration:
        """What the iterable of a ``for`` gives."""
        if isinstance(node, ast.Call):
            function = self.expression(node.func)
            value = function.value if isinstance(function, Known) else None
            if node.keywords:
                raise Unsupported("a loop over a call with keywords")
            if value is builtins.range:
                return self._range([self.scalar(argument) for argument in node.args])
            if value is builtins.enumerate and len(node.args) in (1, 2):
                start = self.scalar(node.args[1]) if len(node.args) == 2 else self.constant(0)
                return Enumerated(self, self.as_integer(start), self.iteration(node.args[0]))
            if value is builtins.zip and node.args:
                return Zipped(self, [self.iteration(argument) for argument in node.args])
            if value is builtins.reversed and len(node.args) == 1:
                return Reversed(self, self.iteration(node.args[0]))
        value = self.expression(node)
        if isinstance(value, Ref) and value.type.ndim:
            return Elements(self, self.pinned(value))
        if isinstance(value, Lazy):
            return Elements(self, self.held(value))
        raise Unsupported("a loop over something that is neither a range nor an array")

    def _range(self, arguments: list[Val]) -> Iteration:
        numbers = [self.as_integer(argument) for argument in arguments]
        if len(numbers) == 1:
            return Range(self, numbers[0], "0", "1")
        start, stop, step = (*numbers, "1")[:3]
        constant = constant_of(step)
        if constant == 1:
            # Far bounds would overflow; such a loop is not run to its end anyway.
            return Range(self, self.exact("ssub", stop, start), start, "1")
        if constant is None:
            self.guard(self.w.op(f"icmp ne i64 {step}, 0"), "a range with step zero")
        for number in (start, stop, step):
            self.guard_range(number, -(2**61), 2**61, "a range with very large numbers")
        distance = self.w.op(f"sub i64 {stop}, {start}")
        positive = self.w.op(f"icmp sgt i64 {step}, 0")
        size = self.w.op(f"select i1 {positive}, i64 {step}, i64 {self.w.op(f'sub i64 0, {step}')}")
        way = self.w.op(f"select i1 {positive}, i64 {distance}, i64 {self.w.op(f'sub i64 0, {distance}')}")
        rounded = self.w.op(f"add i64 {way}, {self.w.op(f'sub i64 {size}, 1')}")
        count = self.w.op(f"sdiv i64 {rounded}, {size}")
        return Range(self, count, start, step)
