"""From a loop's syntax tree and the types at its entry to the text of an LLVM function.

The function is called with the address of a block of 64-bit words: the positions between which it is to run the
outermost loop, the first of the buffers that it made, the identity of the next new array, then two words for each
scalar (value and tag), and for each array its identity, address, owner, shape and strides (see
`minpy.runtime.jit.buffers`). It returns 0 when it has run them all; `BROKE` or `INTERRUPTED`; or, counted from 1, the
reason for which it cannot run the iteration at the position that it then leaves in `STOPPED`. In that last case
`Code.clean` code leaves everything as it was at the start of that iteration; other code has written no scalar back, but
may have stored into arrays.

The types of variables are found by making the code again until nothing is new.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import field
from math import prod
from typing import Any

from minpy import handlers
from minpy.records import dataclass
from minpy.runtime.jit import buffers, draws, growth, medians, sites, stacks, undo
from minpy.runtime.jit.appends import WORDS
from minpy.runtime.jit.comprehensions import Comprehensions
from minpy.runtime.jit.draws import source_of
from minpy.runtime.jit.expressions import BITS, PAIR, TYPES
from minpy.runtime.jit.helpers import Helper
from minpy.runtime.jit.iterations import Elements, Enumerated, Iteration, Range, Zipped
from minpy.runtime.jit.kinds import (
    CODES,
    INTS,
    KIND_OF_TYPE,
    UNBOUND,
    Unsupported,
    go_together,
    representation,
)
from minpy.runtime.jit.statements import ROUNDS
from minpy.runtime.jit.unroll import unrolled
from minpy.runtime.jit.values import ArrayType, ArrayVariable, Variable

FIRST, LAST, STOPPED, START, STEP, BUFFERS, IDENTS = range(7)
_HEADER = 7
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


class _Lowering(Comprehensions):
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
                part = self.temporaries.setdefault(_part(name, number), Variable("an item"))
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
        words = self._lay_out()
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
        self.block(self.node.body, self.node)
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

    def _outermost_by_columns(self, over: Iteration, position: str, last: str, done: str) -> None:
        """Write the loop column by column, where that can be; it is left in the round that `position` tells."""
        node = self.node
        if not isinstance(over, Range) or not isinstance(node, ast.For):
            return
        start = self.w.op(f"load i64, ptr {self._word(FIRST)}")

        def rounds(inside: Callable[[], None]) -> None:
            head, body, end = (self.w.fresh(hint) for hint in ("for", "body", "end"))
            self.w.put(f"store i64 {start}, ptr {position}")
            self.w.place(head)
            k = self.w.op(f"load i64, ptr {position}")
            self.w.branch(self.w.op(f"icmp slt i64 {k}, {last}"), body, end)
            self.w.place(body)
            self.bind(node.target, over.item(k))
            self.inner += 1
            inside()
            self.inner -= 1
            self.w.put(f"store i64 {self.w.op(f'add nsw i64 {k}, 1')}, ptr {position}")
            self.w.jump(head)
            self.w.place(end)

        count = self.w.op(f"sub i64 {last}, {start}")
        self.outermost_in_columns = self.perhaps_by_columns(node, count, rounds, done)

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

    def _lay_out(self) -> int:
        words = _HEADER
        for variable in self.scalars.values():
            variable.slot = words
            words += 3  # the value, its tag, and what else there is of a complex number
        for array in self.arrays.values():
            array.slot = words
            self.allocate_array(array)
            words += 3 + 2 * array.type.ndim
        for name in sorted(self.entry.lists):
            self.lists[name] = words
            words += WORDS
        for name in sorted(self.entry.stacks):
            self.stacks[name] = words
            words += stacks.WORDS
        for name, value in sorted(self.known.items()):
            if source_of(value) is not None:
                self.sources[name] = words
                words += draws.WORDS
        return words

    def part(self, name: str, number: int) -> Variable:
        return self._variable(_part(name, number), "an item")

    def _layouts(self) -> tuple[tuple[Any, ...], ...]:
        return tuple(
            (
                name,
                slot,
                self.widths.get(name, stacks.PLAIN),
                tuple(self.part(name, i).rep for i in range(max(self.widths.get(name, 1), 1))),
            )
            for name, slot in self.stacks.items()
        )

    def _word(self, slot: int) -> str:
        return self.w.op(f"getelementptr i64, ptr %words, i64 {slot}")

    def _keep_start(self) -> dict[str, tuple[str, str]]:
        """Copies of the variables at the start of an iteration; LLVM drops those that nothing needs."""
        starts = {}
        for variable in self.scalars.values():
            if variable.rep:
                starts[variable.name] = (
                    self.w.alloca(TYPES[variable.rep], "start"),
                    self.w.alloca("i8", "tag"),
                )
                pairs = ((variable.value, TYPES[variable.rep]), (variable.tag, "i8"))
                for (place, type_), copy in zip(pairs, starts[variable.name], strict=True):
                    self.w.put(f"store {type_} {self.w.op(f'load {type_}, ptr {place}')}, ptr {copy}")
        for array in self.arrays.values():
            for i, place in enumerate(self._places(array)):
                copy = self.w.alloca("i64", "start")
                starts[f"[{i} {array.name}"] = copy, ""
                self.w.put(f"store i64 {self._loaded(place, array)}, ptr {copy}")
        for name, slot in self.lists.items():
            copy = self.w.alloca("i64", "start")
            starts[f"[{name}"] = copy, ""
            self.w.put(f"store i64 {self.w.op(f'load i64, ptr {self._word(slot + 1)}')}, ptr {copy}")
        return starts

    def _hold_until_next(self, starts: dict[str, tuple[str, str]], what: str) -> None:
        """Let the arrays that variables hold at a round's start live until it is over."""
        for name in sorted(self.held_in_rounds):
            owner = self.w.op(f"load i64, ptr {starts[f'[2 {name}'][0]}")
            head = f", ptr {self.head}" if what == "drop" else ""
            self.w.put(f"call void @{what}(i64 {owner}{head})")

    @staticmethod
    def _places(array: ArrayVariable) -> tuple[str, ...]:
        return (array.ident, array.pointer, array.owner, *array.dims, *array.strides)

    def _loaded(self, place: str, array: ArrayVariable) -> str:
        if place != array.pointer:
            return self.w.op(f"load i64, ptr {place}")
        return self.w.op(f"ptrtoint ptr {self.w.op(f'load ptr, ptr {place}')} to i64")

    def _write_back(self, position: str, starts: dict[str, tuple[str, str]] | None = None) -> None:
        """Put position and variables into the words: as they are, or as they were at the iteration's start."""
        self.w.put(f"store i64 {self.w.op(f'load i64, ptr {position}')}, ptr {self._word(STOPPED)}")
        self.w.put(f"store i64 {self.w.op(f'load i64, ptr {self.idents}')}, ptr {self._word(IDENTS)}")
        for variable in self.scalars.values():
            if not variable.assigned or not variable.rep:
                continue
            value, tag = variable.value, variable.tag
            if starts is not None:
                if variable.name not in starts:
                    continue  # it got its place in this pass, and there will be another one
                value, tag = starts[variable.name]
            x = self.w.op(f"load {TYPES[variable.rep]}, ptr {value}")
            type_ = "double" if variable.rep in "dc" else "i64"
            if variable.rep == "b":
                x = self.w.op(f"zext i1 {x} to i64")
            if variable.rep == "c":
                x, imag = (self.w.op(f"extractelement {PAIR} {x}, i32 {i}") for i in (0, 1))
                self.w.put(f"store double {imag}, ptr {self._word(variable.slot + 2)}")
            self.w.put(f"store {type_} {x}, ptr {self._word(variable.slot)}")
            tag = self.w.op(f"sext i8 {self.w.op(f'load i8, ptr {tag}')} to i64")
            self.w.put(f"store i64 {tag}, ptr {self._word(variable.slot + 1)}")
        for array in self.arrays.values():
            if not array.assigned or (starts is not None and f"[0 {array.name}" not in starts):
                continue
            for i, place in enumerate(self._places(array)):
                if starts is None:
                    x = self._loaded(place, array)
                else:
                    x = self.w.op(f"load i64, ptr {starts[f'[{i} {array.name}'][0]}")
                self.w.put(f"store i64 {x}, ptr {self._word(array.slot + i)}")

    def _shorten(self, starts: dict[str, tuple[str, str]]) -> None:
        """What the iteration that is left has appended goes."""
        for name, slot in self.lists.items():
            x = self.w.op(f"load i64, ptr {starts[f'[{name}'][0]}")
            self.w.put(f"store i64 {x}, ptr {self._word(slot + 1)}")

    def _opening(self) -> list[str]:
        """The code before all other: every variable takes its value from the block of words."""
        body, self.w.lines, self.w.ended = self.w.lines, [], False
        for variable in self.scalars.values():
            if not variable.rep:
                continue
            type_ = "double" if variable.rep in "dc" else "i64"
            x = self.w.op(f"load {type_}, ptr {self._word(variable.slot)}")
            if variable.rep == "b":
                x = self.w.op(f"trunc i64 {x} to i1")
            if variable.rep == "c":
                imag = self.w.op(f"load double, ptr {self._word(variable.slot + 2)}")
                x = self.w.op(f"insertelement {PAIR} undef, double {x}, i32 0")
                x = self.w.op(f"insertelement {PAIR} {x}, double {imag}, i32 1")
            self.w.put(f"store {TYPES[variable.rep]} {x}, ptr {variable.value}")
            tag = self.w.op(f"trunc i64 {self.w.op(f'load i64, ptr {self._word(variable.slot + 1)}')} to i8")
            self.w.put(f"store i8 {tag}, ptr {variable.tag}")
        for array in self.arrays.values():
            for number, place in enumerate(self._places(array), array.slot):
                type_ = "ptr" if place == array.pointer else "i64"
                x = self.w.op(f"load {type_}, ptr {self._word(number)}")
                self.w.put(f"store {type_} {x}, ptr {place}")
        opening, self.w.lines = self.w.lines, body
        return opening

    def _code(self, words: int) -> Code:
        opening = self._opening()
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
                f"define i64 @kernel(ptr noalias %words) {WIDE if _gain_from_width(self.rows) else ''}{{",
                "entry:",
                *self.w.allocas,
                *self.w.cells,
                f"  {self.head} = getelementptr i64, ptr %words, i64 {BUFFERS}",
                *opening,
                *self.w.lines,
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


def _part(name: str, number: int) -> tuple[Any, ...]:
    return "an item of", name, number


def comes_in(variable: Variable, kind: str | None) -> bool:
    """Whether a variable takes over the value, of this kind, that it has at the loop's entry."""
    return kind is not None and kind in variable.kinds


def word_in(rep: str, value: Any) -> tuple[Any, int]:
    """The two words of a number in a representation."""
    kind = KIND_OF_TYPE[type(value)]
    if rep == "d" and kind in INTS and abs(int(value)) > 2**53:
        raise Unsupported("an integer beyond 2**53 where floats are met")
    return (float if rep == "d" else int)(value), CODES[kind]


def word_of(variable: Variable, kind: str | None, value: Any) -> tuple[Any, int]:
    """What the words of a variable are at the entry: its value and its tag."""
    if not variable.rep or not comes_in(variable, kind):
        return 0, UNBOUND
    if kind == "str":
        value = ord(value)
    tag = CODES[kind or ""]
    if variable.rep == "c":
        return complex(value), tag
    if variable.rep == "d":
        if kind in INTS and abs(int(value)) > 2**53:
            raise Unsupported(f"{variable.name!r} is an integer beyond 2**53 where floats are met")
        return float(value), tag
    return int(value), tag


__all__: Sequence[str] = ("Code", "Entry", "comes_in", "lower", "representation", "word_in", "word_of")
