"""LLVM code for loops over columns, several of which are worked on at a time.

    for j in range(k + 1, n):
        r[k, j] = np.dot(q[:, k], a[:, j])
        a[:, j] -= q[:, k] * r[k, j]

The elements of a column lie far from each other, but beside those of the next columns: so the processor takes what lies
side by side, and each column still gets the operations that the program has for it, in the same order. That is done
where it can be told before the first round that no round reads what another one stores; else the loop runs as written.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from minpy.runtime.jit.interchange import Interchange
from minpy.runtime.jit.iterations import Range
from minpy.runtime.jit.leaving import INFINITY
from minpy.runtime.jit.operators import SYMBOLS
from minpy.runtime.jit.terms import INSTRUCTIONS, Look, Term, last_of
from minpy.runtime.jit.values import Ref, scalar

_LANES = 8
_VECTOR = f"<{_LANES} x double>"
_MASK = f"<{_LANES} x i1>"
_ALL = f"<{', '.join(['i1 true'] * _LANES)}>"
_NUMBERS = f"<{', '.join(f'i64 {lane}' for lane in range(_LANES))}>"


class Abreast(Interchange):
    """Loops over columns."""

    def columns_abreast(self, node: ast.For, step: Range, rest: Callable[[Range], None]) -> None:
        """Write a loop over a range: several rounds at a time first where that can be, and all others by `rest`."""
        done = self.w.alloca("i64", "done")
        if not is_over_columns(node) or step.step != "1":
            rest(step)
            return

        def write() -> bool:
            self.w.put(f"store i64 0, ptr {done}")
            self._several_at_a_time(node, step, done)
            return True

        if not self._tried(write):
            rest(step)
            return
        begun = self.w.op(f"load i64, ptr {done}")
        left = self.w.op(f"sub i64 {step.count}, {begun}")
        start = begun if step.start == "0" else self.w.op(f"add i64 {step.start}, {begun}")
        rest(Range(self, left, start, "1"))

    def _several_at_a_time(self, node: ast.For, step: Range, done: str) -> None:
        w = self.w
        some, go, plain = (w.fresh(hint) for hint in ("some", "columns", "plain"))
        w.branch(w.op(f"icmp sgt i64 {step.count}, 1"), some, plain)
        w.place(some)
        outer, reason = self.flag, self.flag_reason
        look = Look(self, node, step)
        statements = [look.statement(each) for each in node.body]
        look.tell_apart()
        self.flag, self.flag_reason = outer, reason
        w.branch(w.op(f"load i1, ptr {look.flag}"), go, plain, expected=True)
        w.place(go)
        self.whole_arrays = True
        _Code(self, step).loop(statements)
        self.bind(node.target, step.item(w.op(f"sub i64 {step.count}, 1")))
        w.put(f"store i64 {step.count}, ptr {done}")
        w.place(plain)


class _Code:
    """The code for several columns."""

    def __init__(self, code: Abreast, step: Range) -> None:
        self.code, self.step = code, step
        self._fine = self._mask = self._first = ""
        self._names: dict[str, str] = {}
        self._known: dict[int, str] = {}  # numbers, and what rows have in common, by the terms

    def loop(self, statements: list[tuple[Any, Term]]) -> None:
        code, w = self.code, self.code.w
        self._fine = w.alloca(_MASK, "fine")
        w.put(f"store {_MASK} {_ALL}, ptr {self._fine}")
        with w.rounds("0", self.step.count, _LANES) as k:
            self._first = k if self.step.start == "0" else w.op(f"add i64 {k}, {self.step.start}")
            left = self._spread(w.op(f"sub i64 {self.step.count}, {k}"), "i64")
            self._mask = w.op(f"icmp slt <{_LANES} x i64> {_NUMBERS}, {left}")
            for place, value in statements:
                self._known = {}
                self._statement(place, value)
            for name, x in self._names.items():
                number = w.op(f"sub i64 {w.op(f'sub i64 {self.step.count}, {k}')}, 1")
                some = w.op(f"icmp slt i64 {number}, {_LANES}")
                lane = w.op(f"select i1 {some}, i64 {number}, i64 {_LANES - 1}")
                last = w.op(f"extractelement {_VECTOR} {x}, i64 {lane}")
                code.assign(code.scalars[name], scalar("float64", "d", last))
        w.declarations.add(f"declare i1 @llvm.vector.reduce.and.v{_LANES}i1({_MASK})")
        fine = w.op(f"load {_MASK}, ptr {self._fine}")
        fine = w.op(f"call i1 @llvm.vector.reduce.and.v{_LANES}i1({_MASK} {fine})")
        code.guard(fine, "a result that is infinite or NaN")

    def _spread(self, x: str, type_: str = "double") -> str:
        """A number in all places of a vector."""
        return self.code.spread_out(x, _LANES, type_)

    def _look_at(self, term: Term, x: str) -> None:
        if term.how not in ("fixed", "moving", "name"):  # of what is only copied nothing is warned of
            self._look(x)

    def _look(self, x: str) -> None:
        """Note whether all is finite."""
        w = self.code.w
        w.declarations.add(f"declare {_VECTOR} @llvm.fabs.v{_LANES}f64({_VECTOR})")
        size = w.op(f"call {_VECTOR} @llvm.fabs.v{_LANES}f64({_VECTOR} {x})")
        limit = f"<{', '.join([f'double {INFINITY}'] * _LANES)}>"
        fine = w.op(f"fcmp olt {_VECTOR} {size}, {limit}")
        fine = w.op(f"or {_MASK} {fine}, {w.op(f'xor {_MASK} {self._mask}, {_ALL}')}")
        before = w.op(f"load {_MASK}, ptr {self._fine}")
        w.put(f"store {_MASK} {w.op(f'and {_MASK} {before}, {fine}')}, ptr {self._fine}")

    def _place(self, ref: Ref, row: str) -> str:
        """Where the elements of these columns are."""
        w = self.code.w
        offset = w.op(f"mul i64 {self._first}, 8")
        pointer = w.op(f"getelementptr i8, ptr {ref.pointer}, i64 {offset}")
        if len(ref.dims) == 1:
            return pointer
        return w.op(f"getelementptr i8, ptr {pointer}, i64 {w.op(f'mul i64 {row}, {ref.strides[0]}')}")

    def _load(self, term: Term, row: str) -> str:
        w, ref = self.code.w, term.ref
        assert ref is not None
        if term.how == "fixed":
            place = w.op(
                f"getelementptr i8, ptr {ref.pointer}, i64 {w.op(f'mul i64 {row}, {ref.strides[0]}')}"
            )
            return self._spread(w.op(f"load double, ptr {place}"))
        name = f"llvm.masked.load.v{_LANES}f64.p0"
        w.declarations.add(f"declare {_VECTOR} @{name}(ptr, i32, {_MASK}, {_VECTOR})")
        ones = f"<{', '.join(['double 1.0'] * _LANES)}>"
        return w.op(
            f"call {_VECTOR} @{name}(ptr {self._place(ref, row)}, i32 8, {_MASK} {self._mask}, {_VECTOR} {ones})"
        )

    def _store(self, ref: Ref, row: str, x: str) -> None:
        w = self.code.w
        name = f"llvm.masked.store.v{_LANES}f64.p0"
        w.declarations.add(f"declare void @{name}({_VECTOR}, ptr, i32, {_MASK})")
        w.put(f"call void @{name}({_VECTOR} {x}, ptr {self._place(ref, row)}, i32 8, {_MASK} {self._mask})")
        self.code.note_store()
        self.code.loggable = False

    def _statement(self, place: Any, value: Term) -> None:
        self._common(value)
        if isinstance(place, str):
            x = self._names[place] = self._value(value, "0")
            self._look_at(value, x)
        elif not place.tall:
            x = self._value(value, "0")
            self._look_at(value, x)
            self._store(place.ref, "0", x)
        else:
            row, finish = self.code._over_elements("0", place.ref.dims[0])
            x = self._value(value, row)
            self._look_at(value, x)
            self._store(place.ref, row, x)
            finish()

    def _common(self, term: Term) -> None:
        """Compute what is not tall before the rows."""
        if not term.tall:
            self._known[id(term)] = self._value(term, "0")
            return
        for part in term.parts:
            self._common(part)

    def _value(self, term: Term, row: str) -> str:
        w = self.code.w
        if id(term) in self._known:
            return self._known[id(term)]
        if term.how == "name":
            return self._names[term.value]
        if term.how == "product":
            return self._product(*term.parts)
        if term.ref is not None:
            return self._load(term, row)
        if term.how == "fixed":
            return self._spread(term.value)
        parts = [self._value(each, row) for each in term.parts]
        if term.how == "negative":
            return w.op(f"fneg {_VECTOR} {parts[0]}")
        if term.how == "/":
            self._look(parts[1])  # what is divided by infinity is finite
        return w.op(f"{INSTRUCTIONS[term.how]} {_VECTOR} {parts[0]}, {parts[1]}")

    def _product(self, left: Term, right: Term) -> str:
        code = self.code
        assert left.ref is not None
        return code.sum_of_products(
            code.spread_order(),
            left.ref.dims[0],
            _VECTOR,
            lambda row: (self._load(left, row), self._load(right, row)),
        )


@lru_cache(maxsize=256)
def is_over_columns(node: ast.For) -> bool:
    """Whether the text of a loop is one over columns: its statements store into columns, and there are columns."""
    if not isinstance(node.target, ast.Name) or node.orelse:
        return False
    target = node.target.id
    columns = False
    for statement in node.body:
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            place = statement.targets[0]
        elif isinstance(statement, ast.AugAssign) and SYMBOLS.get(type(statement.op), "") in INSTRUCTIONS:
            place = statement.target
        else:
            return False
        if isinstance(place, ast.Subscript) and last_of(place) != target:
            return False
        if not isinstance(place, (ast.Name, ast.Subscript)) or getattr(place, "id", "") == target:
            return False
        for each in ast.walk(statement):
            if (
                isinstance(each, ast.Subscript)
                and last_of(each) == target
                and isinstance(each.slice, ast.Tuple)
            ):
                columns = columns or any(isinstance(part, ast.Slice) for part in each.slice.elts)
    return columns
