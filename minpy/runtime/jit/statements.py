"""LLVM code for the statements of a loop nest."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import Any

from minpy.runtime.jit.iterations import Range
from minpy.runtime.jit.kinds import NotYet, TooLarge, Unsupported
from minpy.runtime.jit.looping import Looping
from minpy.runtime.jit.operators import SYMBOLS, Result
from minpy.runtime.jit.selections import Spots
from minpy.runtime.jit.settling import is_straight
from minpy.runtime.jit.stepping import plan_of, sum_of
from minpy.runtime.jit.undo import BEFORE, NOT, NOW
from minpy.runtime.jit.unroll import written_out_for
from minpy.runtime.jit.values import ArrayVariable, Lazy, Ref, Several, Val, Variable
from minpy.runtime.jit.wholes import is_whole, kind_of

# What the code inside a statement, or a loop over elements, goes by.
_DEPTH = (
    "conditional",
    "inner",
    "counters",
    "flag",
    "flag_reason",
    "floats",
    "computed",
    "stored",
    "unchecked",
)
_DEPTH += ("opaques", "computed_elements", "instead")


class Statements(Looping):
    """Statements; `minpy.runtime.jit.lower` makes a function of them."""

    def __init__(self) -> None:
        super().__init__()
        self.temporaries: dict[tuple[Any, ...], Variable] = {}
        self.counts: tuple[
            tuple[str, int], ...
        ] = ()  # variables that are small integers now; the code takes any
        self.unknown = False

    def block(self, body: list[ast.stmt], owner: ast.AST | None = None) -> None:
        """Code for statements. One that cannot be compiled leaves the loop, if a condition leads to it.

        `owner` is the loop, or the function, of which they are the body.
        """
        around, self.plan = self.plan, {} if owner is None else self.plan_for(owner)
        self.extrema.clear()
        try:
            with self.run_of_statements():
                self._statements(body)
        finally:
            self.extrema.clear()
        self.plan = around

    def _statements(self, body: list[ast.stmt]) -> None:
        for statement in body:
            waiting = self.begin_statement(statement)
            self.line = statement.lineno
            pending, now = dict(self.pending), list(self.now)
            length, ended = len(self.w.lines), self.w.ended
            exits, reasons = dict(self.exits), len(self.reasons)
            depth, loops, access = (
                {name: getattr(self, name) for name in _DEPTH},
                list(self.loops),
                self.w.access,
            )
            try:
                method = getattr(self, f"_{type(statement).__name__.lower()}", None)
                if method is None:
                    raise Unsupported(f"the statement {type(statement).__name__} is left to Python")
                self.before(statement)
                self.now.append(statement)
                self.listed = {} if is_straight(statement) else None
                method(statement)
                self.listed = None
                self.passed(self.now.pop())
            except Unsupported as error:
                self.listed = None
                self.take_back(waiting)
                self.extrema.clear()
                vars(self).update(depth)
                self.loops, self.w.access = loops, access
                self.pending, self.now = pending, now
                if isinstance(error, TooLarge) or not (self.conditional or isinstance(error, NotYet)):
                    raise
                self.unknown = self.unknown or not self.conditional
                # What was written of the statement goes; the loop is left before it.
                del self.w.lines[length:]
                self.w.ended = ended
                self.exits = exits
                del self.reasons[reasons:]
                self.line = statement.lineno
                if not ended:
                    self.w.jump(self.exit(str(error)))
            if self.w.ended:
                break

    # Simple statements.

    def _pass(self, node: ast.Pass) -> None:
        pass

    def _expr(self, node: ast.Expr) -> None:
        call = node.value
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "append":
            name = self.dotted(call.func.value)
            if name in self.lists and len(call.args) == 1 and not call.keywords:
                self.append(str(name), self.expression(call.args[0]))
                return
        if not isinstance(node.value, ast.Constant):
            self.kept(self.expression(node.value))

    def _assign(self, node: ast.Assign) -> None:
        if not self.by_mask(node, lambda: self._assigned(node)) and not self.by_comparison(node):
            self._assigned(node)

    def _assigned(self, node: ast.Assign) -> None:
        results: list[Result] = []
        target = node.targets[0]
        if isinstance(target, ast.Tuple) and any(id(each) in self.plan for each in target.elts):
            values = self.parts_later(target.elts, node.value.elts)  # type: ignore[attr-defined]
            pairs = list(zip(target.elts, values, strict=True))
            for each, value in [pair for pair in pairs if not self.defer(*pair)]:
                self.bind(each, self.kept(value))
            return
        unchecked = self.unchecked
        # What the first and the last round have of these was looked at before them.
        self.unchecked = unchecked or (isinstance(target, ast.Name) and target.id in self.even)
        value = self.tree(node.value, results)
        self.unchecked = unchecked
        if self.defer(target, value):
            return
        # An element that is known to be there is stored into first: one that stays the same then stays in a register.
        late = len(node.targets) == 1 and id(node.targets[0]) in self.proved
        if not late:
            self.settle_sum(node, value, results)
        value = self.kept_for(node.targets, value)
        for target in node.targets:
            self.bind(target, value)
        if late:
            self.settle(results)

    def settle_sum(self, node: ast.stmt, value: Any, results: list[Result]) -> None:
        """As `settle`, but of a sum that is looked at after the loop."""
        target = getattr(node, "target", None)
        is_sum = id(target) in self.element_sums or (bool(self.sums) and sum_of(node) in self.sums)
        if is_sum and isinstance(value, Val) and value.rep == "d":
            taken = {x for result in results for x in result.passed}
            if [result.x for result in results if result.x not in taken] == [value.x]:
                self.cover(results)
                return
        self.settle(results)

    def kept_for(self, targets: list[ast.expr], value: Any) -> Any:
        """A value that is assigned: computed now, unless elements are all that it goes to."""
        if len(targets) == 1 and isinstance(targets[0], ast.Subscript):
            return value
        if (
            len(targets) == 1
            and isinstance(targets[0], ast.Tuple)
            and isinstance(value, Lazy)
            and value.items
        ):
            return value
        value = self.kept(value)
        return self.named(value) if isinstance(value, Ref) and len(targets) > 1 else value

    def _annassign(self, node: ast.AnnAssign) -> None:
        if node.value is None:
            raise Unsupported("an annotation")
        self.bind(node.target, self.kept_for([node.target], self.expression(node.value)))

    def bind(self, target: ast.expr, value: Any) -> None:
        """Assign a value to a target."""
        if isinstance(target, (ast.Tuple, ast.List)):
            if isinstance(value, Lazy) and value.items:
                value = Several(value.items)
            if is_whole(value):
                value = self._unpacked(self.held(value), len(target.elts))
            if not isinstance(value, Several) or len(value.items) != len(target.elts):
                raise Unsupported("unpacking something that is no tuple of this length")
            for part, item in zip(target.elts, value.items, strict=True):
                self.bind(part, item)
        elif isinstance(target, ast.Name):
            self._bind_name(target.id, value)
        elif isinstance(target, ast.Subscript):
            ref = self._place(target)
            if isinstance(ref, Spots):
                self.scatter(ref, value if is_whole(value) else self._operand(value))
            elif not ref.dims:
                self.write(ref, self._operand(value))
            else:
                self.fill(ref, value if is_whole(value) else self._operand(value))
        else:
            raise Unsupported(f"an assignment to {type(target).__name__}")

    def _unpacked(self, ref: Ref, count: int) -> Several:
        self.guard(self.w.op(f"icmp eq i64 {ref.dims[0]}, {count}"), "unpacking an array of another length")
        items = [self.item(ref, [str(i)], checked=False) for i in range(count)]
        return Several(tuple(each if each.dims else self.read(each) for each in items))

    def _bind_name(self, name: str, value: Any) -> None:
        self.pending.pop(self.key_of(name), None)
        if isinstance(value, (Ref, Lazy)):
            self._bind_array(name, self.held(value))
            return
        variable = self.scalars.get(name)
        if variable is None:
            raise Unsupported(f"{name!r} changes between arrays and numbers")
        self.assign(variable, self._operand(value))

    def _bind_array(self, name: str, value: Ref) -> None:
        array = self.arrays.get(name)
        if array is None:
            variable = self.scalars.get(name)
            if variable is None or variable.kinds:
                raise Unsupported(f"{name!r} changes between arrays and numbers")
            array = self.arrays[name] = ArrayVariable(name, value.type.with_dims(value.dims))
            self.allocate_array(array)
            self.changed = True
        array.views = array.views or not value.ident
        self.store_array(array, value)

    def _place(self, target: ast.Subscript) -> Any:
        base = self.expression(target.value)
        if not isinstance(base, Ref) or base.type.sequence:
            raise Unsupported("a store into something that is no array")
        nodes = target.slice.elts if isinstance(target.slice, ast.Tuple) else [target.slice]
        if id(target) in self.proved:
            self.unchecked = True
            ref = self.parted(base, [self._part(node) for node in nodes])
            self.unchecked = False
            self.note_written(ref)
            log = self._log_of(target, ref)
            if log == NOW and not ref.dims:
                log = BEFORE  # see `Versions.rows_stored`
            return replace(ref, access=self.proved[id(target)], log=log)
        parts = [self._part(node) for node in nodes]
        if any(isinstance(part, (Ref, Lazy, Several)) for part in parts):
            return self.changed_spots(base, parts)
        ref = self.parted(base, parts)
        self.note_written(ref)
        return replace(ref, log=self._log_of(target, ref))

    def _log_of(self, target: ast.Subscript, ref: Ref) -> str:
        """What becomes of what is stored over; of an array that the loop makes nothing is kept, as it may be gone."""
        return NOW if not ref.fresh and self.is_kept(target, len(ref.dims)) else NOT

    def _augassign(self, node: ast.AugAssign) -> None:
        if not self.by_mask(node, lambda: self._changed(node)):
            self._changed(node)

    def _changed(self, node: ast.AugAssign) -> None:
        symbol = SYMBOLS.get(type(node.op), "@")
        if isinstance(node.target, ast.Name):
            current = self.expression(node.target)
            results: list[Result] = []
            value = self.tree(node.value, results)
            if isinstance(current, Lazy):
                self.changed_later(node.target, symbol, current, value)
            elif is_whole(current):
                self.settle(results)
                self._change(self.whole(current), symbol, value)
            else:
                value = self.operation(symbol, current, value, results)
                self.settle_sum(node, value, results)
                self.bind(node.target, self.kept(value))
        elif isinstance(node.target, ast.Subscript):
            ref = self._place(node.target)
            if isinstance(ref, Spots):
                self._change_spots(ref, symbol, node.value)
                return
            if ref.dims:
                self._change(ref, symbol, self.expression(node.value))
                return
            current, results = self.read(ref), []
            value = self._operand(self.operation(symbol, current, self.tree(node.value, results), results))
            if id(node.target) in self.proved:
                self.write(ref, value)
                self.settle_sum(node, value, results)
            else:
                self.settle(results)
                self.write(ref, value)
        else:
            raise Unsupported(f"an assignment to {type(node.target).__name__}")

    def _change_spots(self, spots: Spots, symbol: str, node: ast.expr) -> None:
        """``a[k] += b``: what is selected is taken out, changed and stored, all of it or each element by itself."""
        calls = any(isinstance(each, ast.Call) for each in ast.walk(node))
        alone = (
            symbol == "*" and spots.view.type.kind == "complex128"
        )  # NumPy multiplies those taken out in place
        if spots.distinct and self.listed is not None and not calls and not alone:
            changed = self.binary(symbol, self.gathered(spots), self.expression(node))
            if kind_of(changed) != spots.view.type.kind or symbol == "@":
                raise Unsupported("an array is changed in place to another type")
            if len(changed.dims) != len(spots.shape):
                raise Unsupported("an array is changed in place, and gets more axes")
            self.scatter(spots, changed)
            return
        current = self.held(self.gathered(spots))
        self._change(current, symbol, self.expression(node))
        self.scatter(spots, current)

    def _change(self, ref: Ref, symbol: str, value: Any) -> None:
        """``a += b`` of arrays, in place."""
        self.several(symbol, ref)
        changed = self.binary(symbol, ref, value)
        if kind_of(changed) != ref.type.kind or symbol == "@":
            raise Unsupported("an array is changed in place to another type")
        self.note_written(ref)
        self.fill(ref, changed)

    def same_elements(self, changed: Any, current: Any) -> None:
        if kind_of(changed) != kind_of(current) or len(changed.dims) != len(current.dims):
            raise Unsupported("an array is changed in place to another type, or gets more axes")
        for one, other in zip(changed.dims, current.dims, strict=True):
            if one != other:
                self.guard(self.w.op(f"icmp eq i64 {one}, {other}"), "an array is changed to another shape")

    def _assert(self, node: ast.Assert) -> None:
        on = self.w.fresh("on")
        self.condition(node.test, on, self.exit("an assertion fails"))
        self.w.place(on)

    # Statements with blocks.

    def _if(self, node: ast.If) -> None:
        if self.stored_once(node) or self.set_either_way(node, lambda: self._as_written(node)):
            return
        self._as_written(node)

    def _as_written(self, node: ast.If) -> None:
        yes, no, end = self.w.fresh("then"), self.w.fresh("else"), self.w.fresh("endif")
        self.condition(node.test, yes, no)
        self.conditional += 1
        for label, body in ((yes, node.body), (no, node.orelse)):
            self.w.place(label)
            self.block(body)
            if not self.w.ended:
                self.w.jump(end)
        self.conditional -= 1
        self.w.place(end)

    def _break(self, node: ast.Break) -> None:
        self.w.jump(self.loops[-1][1])

    def _continue(self, node: ast.Continue) -> None:
        self.w.jump(self.loops[-1][0])

    def _while(self, node: ast.While) -> None:
        head, body, otherwise, end = (self.w.fresh(hint) for hint in ("while", "body", "else", "end"))
        self.w.place(head)
        self.condition(node.test, body, otherwise)
        self.w.place(body)
        self.loops.append((head, end))
        self.inner += 1
        self.poll()
        self.block(node.body, node)
        self.inner -= 1
        self.loops.pop()
        if not self.w.ended:
            self.end_round()
            self.w.jump(head)
        self.w.place(otherwise)
        self.otherwise(node)
        self.w.place(end)

    def otherwise(self, node: ast.While | ast.For) -> None:
        self.conditional += 1
        self.block(node.orelse)
        self.conditional -= 1

    def _for(self, node: ast.For) -> None:
        self.at_once()
        step = self.iteration(node.iter)
        if not isinstance(step, Range) or self.flag:
            self.rounds(node, step, lambda: None)
        elif self.by_columns(node, step, lambda: self.rounds(node, step, lambda: None)):
            return
        elif self.by_slices(node, step, lambda: self.rounds(node, step, lambda: None)):
            return
        elif not self.interchanged(node, step, lambda: self.rounds(node, step, lambda: None)):
            self.columns_abreast(node, step, lambda left: self._for_these_numbers(node, left))

    def _for_these_numbers(self, node: ast.For, step: Range) -> None:
        """Write a loop, and before it one for the numbers of rounds that loops inside have now, written out."""
        found = written_out_for(node, self.counts) if self.counts else None
        if found is None or plan_of(found[0]) is None:
            self._perhaps_in_versions(node, step)
            return
        plain, end = self.w.fresh("plain"), self.w.fresh("end")

        def write() -> bool:
            special, same = self.w.fresh("special"), "true"
            for name in sorted(found[1]):
                number = self.integer(ast.copy_location(ast.Name(name, ast.Load()), node))
                equal = self.w.op(f"icmp eq i64 {number}, {dict(self.counts)[name]}")
                same = self.w.op(f"and i1 {same}, {equal}")
            self.w.branch(same, special, plain, expected=True)
            self.w.place(special)
            self._perhaps_in_versions(found[0], step)
            self.w.jump(end)
            self.w.place(plain)
            return True

        self._tried(write)
        self._perhaps_in_versions(node, step)
        self.w.place(end)

    def _perhaps_in_versions(self, node: ast.For, step: Range) -> None:
        plan = plan_of(node)
        if plan is None or not self.in_versions(node, step, plan, lambda last: self.rounds(node, step, last)):
            self.rounds(node, step, lambda: None)
