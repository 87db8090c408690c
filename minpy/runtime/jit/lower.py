"""From a loop's syntax tree and the types at its entry to the text of an LLVM function.

The function is called with the address of a block of words (`exchange`). It returns 0 when it has run all rounds that
it was to run; `BROKE` or `INTERRUPTED`; or, counted from 1, the reason for which it cannot run the iteration at the
position that it then leaves in `STOPPED`. In that last case `Code.clean` code leaves everything as it was at the start
of that iteration; other code has written no scalar back, but may have stored into arrays.

The types of variables are found by making the code again until nothing is new.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import field
from math import prod
from typing import Any

from minpy import handlers
from minpy.records import dataclass
from minpy.runtime.jit import buffers, crew, draws, growth, medians, shares, sites, stacks, undo
from minpy.runtime.jit.exchange import BUFFERS, FIRST, IDENTS, LAST, START, STEP, STOPPED, Exchange, part_of
from minpy.runtime.jit.expressions import BITS
from minpy.runtime.jit.helpers import Helper
from minpy.runtime.jit.iterations import Elements, Enumerated, Iteration, Range, Zipped
from minpy.runtime.jit.kinds import (
    TooLarge,
    Unsupported,
    go_together,
)
from minpy.runtime.jit.looping import ROUNDS
from minpy.runtime.jit.unroll import unrolled
from minpy.runtime.jit.values import ArrayType, ArrayVariable, Variable

BROKE, INTERRUPTED, ENDED = -2, -3, -4
_PASSES = 12
# LLVM halves the vectors that a processor has, as some run slower with them. Where the loops over elements have so many
# rounds that they gain nevertheless, it is told not to (`_gain_from_width`).
WIDE = '"prefer-vector-width"="512" '


@dataclass(frozen=True)
class Entry:
    """What a loop meets: names (dotted ones for attributes) with what they stand for, and what it runs over.

    `outer` is ``("while",)``, ``("range",)``, ``("array", type)``, ``("enumerate", outer)`` or ``("zip", outers)``.
    """

    scalars: dict[str, str]
    arrays: dict[str, ArrayType]
    known: dict[str, Any]
    stored: frozenset[str]
    outer: tuple[Any, ...]
    helpers: dict[int, Helper] = field(default_factory=dict)
    lists: frozenset[str] = frozenset()  # that are appended to
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)  # now; the code takes any
    stacks: dict[str, stacks.Kinds] = field(default_factory=dict)  # lists that are taken from
    spans: dict[str, tuple[int, int]] = field(default_factory=dict)  # where arrays lie now
    counts: tuple[tuple[str, int], ...] = ()  # variables that are small integers now; the code takes any


@dataclass(frozen=True)
class Code:
    """The text of the function and the layout of its block of words."""

    text: str
    words: int
    scalars: tuple[Variable, ...]
    arrays: tuple[ArrayVariable, ...]
    written: frozenset[str]
    reasons: tuple[tuple[int, str], ...]
    externals: dict[str, int]
    clean: bool
    lists: tuple[tuple[str, int], ...] = ()  # those that are appended to, and where their logs are
    sources: tuple[tuple[str, int], ...] = ()  # what random numbers are drawn from, and its words
    whole: bool = False  # whether there are operations on arrays
    views: bool = False  # whether variables may hold views of arrays that came in
    stacks: tuple[tuple[Any, ...], ...] = ()  # the fields of a `stacks.Layout` each
    columns: bool = False  # whether it works on some columns at a time, and gains more than copies cost


@dataclass
class _Findings:
    """What is known of the variables from one pass to the next."""

    kinds: dict[str, set[str]]
    temporaries: dict[tuple[Any, ...], set[str]] = field(default_factory=dict)
    arrays: dict[str, ArrayVariable] = field(default_factory=dict)
    places: dict[tuple[Any, ...], ArrayVariable] = field(default_factory=dict)
    widths: dict[str, int] = field(default_factory=dict)
    logging: bool = False  # whether what a round stores over is kept


def lower(node: ast.For | ast.While, entry: Entry) -> Code:
    """Make the code of a loop.

    Raises
    ------
    Unsupported
        The loop runs as written; the message says which line and why. A mistake of MinPy's own is such a reason too,
        but where all loops are to be compiled (`MINPY_JIT=force`): there it is seen.
    """
    try:
        return _settled(node, entry)
    except Unsupported:
        raise
    except Exception as error:
        if sites.mode() == "force" or handlers.raised(error):
            raise
        raise Unsupported(
            f"a mistake in MinPy, please report it ({type(error).__name__}: {error})"
        ) from error


def _settled(node: ast.For | ast.While, entry: Entry) -> Code:
    """Make the code again and again, until it meets the types that it was made for."""
    node = unrolled(node, entry.known)
    findings = _Findings({name: set() for name in entry.stored if name not in entry.arrays})
    may_log = True
    for _ in range(_PASSES):
        attempt = _Lowering(node, entry, findings)
        try:
            code = attempt.run()
        except Unsupported as error:
            if "line " in str(error):
                raise
            raise Unsupported(f"line {attempt.line}: {error}") from None
        new = {
            name: set(variable.own) for name, variable in attempt.scalars.items() if name in findings.kinds
        }
        values = {key: set(variable.own) for key, variable in attempt.temporaries.items()}
        may_log = may_log and attempt.loggable and (attempt.clean or not findings.logging)
        may_log = may_log and attempt.written_bytes() >= undo.LEAST
        logging = may_log and (findings.logging or not attempt.clean)
        settled = new == findings.kinds and values == findings.temporaries and not attempt.changed
        if settled and logging == findings.logging:
            if attempt.unknown:
                raise Unsupported("a variable is read that nothing sets")
            return code
        findings = _Findings(new, values, attempt.arrays, attempt.places, attempt.widths, logging)
    raise Unsupported("the types of the variables do not settle")


class _Lowering(Exchange):
    def __init__(
        self,
        node: ast.For | ast.While,
        entry: Entry,
        findings: _Findings,
    ) -> None:
        super().__init__()
        kinds = findings.kinds
        self.node = node
        self.entry = entry
        self.known = dict(entry.known)
        self.logging = findings.logging
        self.shares = crew.is_wanted()
        self.helpers, self.shapes, self.counts = entry.helpers, entry.shapes, entry.counts
        self.line = node.lineno
        for name in sorted({*kinds, *entry.scalars} - findings.arrays.keys()):
            self._declare(name, kinds.get(name))
        for key, found in findings.temporaries.items():
            self.temporaries[key] = Variable("a value", set(found), set(found))
        self.widths = dict(findings.widths)
        for name, (width, kinds) in entry.stacks.items():
            if width >= 0:
                self.widths[name] = width
            for number, own in enumerate(kinds):
                part = self.temporaries.setdefault(part_of(name, number), Variable("an item"))
                part.kinds |= set(own)
                part.own |= set(own)
        for name, type_ in sorted(entry.arrays.items()):
            roots = frozenset((name,))
            self.arrays[name] = ArrayVariable(name, type_, roots=roots, comes_in=True)
        for name, found in findings.arrays.items():
            self.arrays[name] = self._again(found)
        if self.logging:
            self.begin_log()
            self.held_in_rounds = frozenset(name for name, each in self.arrays.items() if each.fresh)
        for key, found in findings.places.items():
            self.places[key] = self._again(found)
            self.allocate_array(self.places[key])

    def written_bytes(self) -> int:
        """How much memory the arrays take that are stored into, as they are now."""
        arrays = [each for each in self.arrays.values() if each.name in self.written and each.comes_in]
        return sum(prod(self.shapes[each.name]) * BITS[each.type.dtype][1] for each in arrays)

    @staticmethod
    def _again(found: ArrayVariable) -> ArrayVariable:
        """An array variable of the pass before, with nothing but what was found out."""
        new = ArrayVariable(found.name, found.type, roots=found.roots, fresh=found.fresh)
        new.comes_in = found.comes_in
        return new

    def are_apart_now(self, one: str, other: str) -> bool:
        spans = self.entry.spans
        if one not in spans or other not in spans:
            return False
        return spans[one][1] <= spans[other][0] or spans[other][1] <= spans[one][0]

    def scope(self) -> ast.AST:
        return self.calls[-1].helper.node if self.calls else self.node

    def _declare(self, name: str, kinds: set[str] | None) -> None:
        """A variable with the kinds that it was found to have, and the one it comes in with if that goes along."""
        comes_in = self.entry.scalars.get(name)
        variable = self.scalars[name] = Variable(name, set(kinds or ()), set(kinds or ()))
        if comes_in is not None:
            together = variable.kinds | {comes_in}
            if go_together(together):
                variable.kinds = together
            else:
                comes_in = None  # set anew before it is read, or left to Python
        variable.may_be_unbound = comes_in is None

    def run(self) -> Code:
        for variable in self.scalars.values():
            if variable.kinds:
                self.allocate(variable)
        words = self._lay_out(self.entry.lists, self.entry.stacks)
        self.fuel = self.w.alloca("i64", "fuel")
        self.idents = self.w.alloca("i64", "idents")
        position, broke, done = self.w.alloca("i64", "position"), "broke", "done"
        answer = self.w.alloca("i64", "answer")
        self.w.place("start")
        last = self.w.op(f"load i64, ptr {self._word(LAST)}")
        over = self._run_over(self.entry.outer, iter(sorted(self.entry.arrays)))
        self.w.put(f"store i64 {ROUNDS}, ptr {self.fuel}")
        # What variables hold from a call before has its identity still.
        ident = self.w.op(f"load i64, ptr {self._word(IDENTS)}")
        none = self.w.op(f"icmp slt i64 {ident}, {buffers.SMALLEST}")
        ident = self.w.op(f"select i1 {none}, i64 {buffers.SMALLEST}, i64 {ident}")
        self.w.put(f"store i64 {ident}, ptr {self.idents}")
        self.w.put(f"store i64 {self.w.op(f'load i64, ptr {self._word(FIRST)}')}, ptr {position}")
        before = len(self.w.lines)
        self._outermost_by_columns(over, position, last, done)
        self.w.place("outer")
        k = self.w.op(f"load i64, ptr {position}")
        self.w.branch(self.w.op(f"icmp slt i64 {k}, {last}"), "round", done)
        self.w.place("round")
        starts = self._keep_start()
        if self.logging:
            self.begin_round()
            self._hold_until_next(starts, "hold")
        if any(
            isinstance(inner, (ast.For, ast.While)) for each in self.node.body for inner in ast.walk(each)
        ):
            self.poll()
        ended = []
        if isinstance(self.node, ast.While):
            self.condition(self.node.test, "body", "ended")
            if self.stored:
                # Where it is not true, Python evaluates it once more.
                raise Unsupported("a condition that stores into an array")
            self.w.place("body")
            ended = [("ended", ENDED)]
        else:
            self.bind(self.node.target, over.item(k))
        self.loops.append(("next", broke))
        if isinstance(self.node.target if isinstance(self.node, ast.For) else None, ast.Name):
            self.counters = [self.node.target.id]
        round_ = k
        self.lasts.append(lambda: self.w.op(f"icmp eq i64 {round_}, {self.w.op(f'sub i64 {last}, 1')}"))
        self._body()
        if not self.w.ended:
            self.end_round()
            self.w.jump("next")
        self.w.place("next")
        self._hold_until_next(starts, "drop")
        k = self.w.op(f"load i64, ptr {position}")
        self.w.put(f"store i64 {self.w.op(f'add nsw i64 {k}, 1')}, ptr {position}")
        self.w.jump("outer")
        for label, code in ((done, 0), (broke, BROKE), (self.interrupted, INTERRUPTED), *ended):
            self.w.place(label)
            if label == broke and self.node.orelse:
                self.w.jump(self.exit("a break from a loop with else"))
                continue
            self.w.put(f"store i64 {code}, ptr {answer}")
            self.w.jump("handback")
        self.note_what_lies_apart(before, lambda: self._rounds_left(last))
        folded = self._leave_if_folded(before)
        for number, label in enumerate(self.exits.values(), 1):
            self.w.place(label)
            self.w.put(f"store i64 {number}, ptr {answer}")
            self.w.jump("takeback" if self.clean and label != folded else "stop")
        self.w.place("handback")
        self._write_back(position)
        self.w.leave(self.w.op(f"load i64, ptr {answer}"))
        if self.exits and self.clean:
            self.w.place("takeback")
            if self.logging:
                self.put_back()
            self._write_back(position, starts)
            self._shorten(starts)
            self.w.leave(self.w.op(f"load i64, ptr {answer}"))
        if self.exits:
            self.w.place("stop")
            self.w.put(f"store i64 {self.w.op(f'load i64, ptr {position}')}, ptr {self._word(STOPPED)}")
            self.w.leave(self.w.op(f"load i64, ptr {answer}"))
        return self._code(words)

    def _outermost_by_columns(self, step: Iteration, position: str, last: str, done: str) -> None:
        """Write the loop column by column, where that can be; it is left in the round that `position` tells."""
        node = self.node
        if not isinstance(step, Range) or not isinstance(node, ast.For):
            return
        start = self.w.op(f"load i64, ptr {self._word(FIRST)}")

        def rounds(inside: Callable[[], str | None]) -> None:
            head, body, end = (self.w.fresh(hint) for hint in ("for", "body", "end"))
            self.w.put(f"store i64 {start}, ptr {position}")
            self.w.place(head)
            k = self.w.op(f"load i64, ptr {position}")
            self.w.branch(self.w.op(f"icmp slt i64 {k}, {last}"), body, end)
            self.w.place(body)
            self.bind(node.target, step.item(k))
            self.inner += 1
            idle = inside()
            self.inner -= 1
            if idle is not None and idle != "false":
                k = self.w.op(f"select i1 {idle}, i64 {self.w.op(f'sub nsw i64 {last}, 1')}, i64 {k}")
            self.w.put(f"store i64 {self.w.op(f'add nsw i64 {k}, 1')}, ptr {position}")
            self.w.jump(head)
            self.w.place(end)

        count = self.w.op(f"sub i64 {last}, {start}")

        def over() -> None:
            self.bind(node.target, step.item(self.w.op(f"sub nsw i64 {last}, 1")))

        self.outermost_in_columns = self.perhaps_by_columns(node, count, rounds, done)
        if not self.outermost_in_columns:
            self.outermost_in_columns = self.perhaps_by_points(node, count, rounds, over, done)

    def _body(self) -> None:
        """What a round does; of arrays so large that they are left to NumPy, only as `_outermost_by_columns` says."""
        refused: list[Unsupported] = []

        def write() -> bool:
            try:
                self.block(self.node.body, self.node)
            except TooLarge:
                raise
            except Unsupported as error:
                refused.append(error)
                raise
            return True

        if not self.outermost_in_columns:
            self.block(self.node.body, self.node)
        elif not self._written_apart(write):
            if refused:
                raise refused[0]
            self.w.jump(self.exit("arrays so large are left to NumPy"))

    def _rounds_left(self, last: str) -> str:
        """How many rounds are to be run; of a ``while`` nobody knows."""
        if isinstance(self.node, ast.While):
            return "0"
        return self.w.op(f"sub i64 {last}, {self.w.op(f'load i64, ptr {self._word(FIRST)}')}")

    def _leave_if_folded(self, place: int) -> str:
        """Do not begin where elements of an array that is changed in place may share their memory.

        NumPy then works on a copy of what it reads. `place` is the line of the code where that is looked at; gives the
        label that is jumped to, or nothing.
        """
        lines, self.w.lines, ended, self.w.ended = self.w.lines, [], self.w.ended, False
        apart = "true"
        for name in sorted(self.written) if self.whole_arrays else ():
            array = self.arrays[name]
            if array.comes_in and not array.type.sequence:
                apart = self._elements_apart(array, apart)
        code, self.w.lines, self.w.ended = self.w.lines, lines, ended
        if apart == "true":
            return ""
        label, on = self.w.fresh("leave"), self.w.fresh("on")
        self.exits[self.node.lineno, "an array whose elements share memory is changed"] = label
        code += [f"  br i1 {apart}, label %{on}, label %{label}", f"{on}:"]
        self.w.lines[place:place] = code
        return label

    def _elements_apart(self, array: ArrayVariable, apart: str) -> str:
        """Code for: each axis steps over all that the axes with shorter steps reach."""
        size, ndim = BITS[array.type.dtype][1], array.type.ndim
        axes = []
        for axis in range(ndim):
            dim = self.w.op(f"load i64, ptr {self._word(array.slot + 3 + axis)}")
            if axis == ndim - 1 and array.type.unit:
                step = str(size)
            else:
                stride = self.w.op(f"load i64, ptr {self._word(array.slot + 3 + ndim + axis)}")
                step = self.w.op(f"call i64 @llvm.abs.i64(i64 {stride}, i1 false)")
                self.w.declarations.add("declare i64 @llvm.abs.i64(i64, i1)")
            axes.append((dim, step, self.w.op(f"mul i64 {step}, {self.w.op(f'sub i64 {dim}, 1')}")))
        for axis, (dim, step, _) in enumerate(axes):
            reach = str(size)
            for other, (_, shorter, part) in enumerate(axes):
                if other != axis:
                    # Of two equal steps one counts as the shorter.
                    inside = self.w.op(f"icmp {'sle' if other > axis else 'slt'} i64 {shorter}, {step}")
                    part = self.w.op(f"select i1 {inside}, i64 {part}, i64 0")
                    reach = self.w.op(f"add i64 {reach}, {part}")
            if reach != step:
                over = self.w.op(f"icmp sge i64 {step}, {reach}")
                over = self.w.op(f"or i1 {over}, {self.w.op(f'icmp sle i64 {dim}, 1')}")
                apart = self.w.op(f"and i1 {apart}, {over}")
        return apart

    def _run_over(self, outer: tuple[Any, ...], names: Any) -> Iteration:
        if outer[0] == "while":
            return Iteration(self)
        if outer[0] == "range":
            start = self.w.op(f"load i64, ptr {self._word(START)}")
            return Range(self, "0", start, self.w.op(f"load i64, ptr {self._word(STEP)}"))
        if outer[0] == "array":
            return Elements(self, self.load_array(self.arrays[outer[1]]))
        if outer[0] == "enumerate":
            start = self.w.op(f"load i64, ptr {self._word(START)}")
            return Enumerated(self, start, self._run_over(outer[1], names))
        return Zipped(self, [self._run_over(each, names) for each in outer[1]])

    def _code(self, words: int) -> Code:
        opening = self._opening()
        wide = WIDE if _gain_from_width(self.rows) else ""
        parts = shares.Parts(self.w.allocas, [*self.w.cells, *opening], self.w.lines, wide)
        if parts.functions:
            self.externals[crew.NAME] = 0
            self.w.declarations.add(crew.DECLARATION)
        reasons = tuple(self.exits)
        if self.logs or self.pushes:
            self.externals["realloc"] = 0
        if self.made or self.logging:
            self.made = True
            self.externals |= {"malloc": 0, "free": 0}
        text = "\n".join(
            (
                *sorted(self.w.declarations),
                *((*buffers.DECLARATIONS, buffers.text(self.places_made)) if self.made else ()),
                *((*undo.DECLARATIONS, undo.TEXT) if self.logging else ()),
                *((draws.TEXT,) if self.draws else ()),
                *((draws.INTEGERS,) if self.draws_integers else ()),
                *((medians.TEXT,) if self.medians else ()),
                *((*growth.DECLARATIONS, growth.TEXT) if self.logs or self.pushes else ()),
                *parts.functions,
                f"define i64 @kernel(ptr noalias %words) {wide}{{",
                "entry:",
                *self.w.allocas,
                *self.w.cells,
                f"  {self.head} = getelementptr i64, ptr %words, i64 {BUFFERS}",
                *opening,
                *parts.lines,
                "}",
                *self.w.metadata,
                "",
            )
        )
        return Code(
            text,
            words,
            tuple(self.scalars.values()),
            tuple(self.arrays.values()),
            self.written,
            reasons,
            dict(self.externals),
            self.clean,
            tuple(self.lists.items()),
            tuple((name, self.sources[name]) for name in sorted(self.drawn)),
            self.whole_arrays,
            any(array.assigned and array.views for array in self.arrays.values()),
            self._layouts(),
            self.outermost_in_columns,
        )


def _gain_from_width(rows: list[int]) -> bool:
    """Whether loops of so many rounds are faster with eight numbers at a time than with four.

    What is left over at the end of a row goes one by one, so 23 elements are better done by fours, and 25 by eights.
    """

    def steps(width: int) -> int:
        return sum(extent // width + extent % width for extent in rows)

    return 1.2 * steps(8) < steps(4)
