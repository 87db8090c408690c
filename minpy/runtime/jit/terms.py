"""What the statements of a loop over columns are made of (`abreast`): found before its first round.

Each part of an expression is the same for all columns, or lies side by side for them, or is made of such. Whether it
is so, and whether the columns can be taken several at a time, is told by code that is written here.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from minpy.records import dataclass
from minpy.runtime.jit.iterations import Range
from minpy.runtime.jit.kinds import Unsupported
from minpy.runtime.jit.matrices import LONGEST_SPREAD
from minpy.runtime.jit.operators import SYMBOLS
from minpy.runtime.jit.values import Known, Ref, Val

if TYPE_CHECKING:
    from minpy.runtime.jit.abreast import Abreast

INSTRUCTIONS = {"+": "fadd", "-": "fsub", "*": "fmul", "/": "fdiv"}
_FIXED = (
    *(ast.Name, ast.Constant, ast.Attribute, ast.Subscript, ast.BinOp, ast.UnaryOp, ast.Slice, ast.Tuple),
    *(ast.operator, ast.unaryop, ast.expr_context),
)
_MOST_PAIRS = 6  # of arrays that are compared


@dataclass(frozen=True, eq=False)
class Term:
    """A part of an expression: a number for each column, or (`tall`) a vector for each.

    `how` is ``"fixed"`` (the number `value`, or the vector `ref`, of all columns), ``"moving"`` (elements of `ref`,
    whose last axis counts the columns), ``"name"`` (what the statement before gave to it), ``"product"`` (of two
    vectors), ``"negative"`` or an operator.
    """

    how: str
    tall: bool
    parts: tuple[Term, ...] = ()
    value: str = ""
    ref: Ref | None = None
    array: str = ""  # what is moving


class Look:
    """What is known of a loop before its first round: the code that computes what stays the same.

    Code that finds that the columns cannot be taken several at a time lowers `flag`.
    """

    def __init__(self, code: Abreast, node: ast.For, step: Range) -> None:
        self.code, self.step = code, step
        self.target: str = node.target.id  # type: ignore[attr-defined]
        inside = [each for statement in node.body for each in ast.walk(statement)]
        self._changing = {
            each.id for each in inside if isinstance(each, ast.Name) and not isinstance(each.ctx, ast.Load)
        } | {self.target}
        self._stored = {
            ast.dump(each.value)
            for each in inside
            if isinstance(each, ast.Subscript) and isinstance(each.ctx, ast.Store)
        }
        self._bases: dict[str, Ref] = {}
        self._names: set[str] = set()
        self.flag = code.w.alloca("i1", "apart")
        code.w.put(f"store i1 true, ptr {self.flag}")
        self._terms: dict[str, Term] = {}

    # What is only looked at.

    def lower_unless(self, condition: str) -> None:
        w = self.code.w
        both = w.op(f"and i1 {w.op(f'load i1, ptr {self.flag}')}, {condition}")
        w.put(f"store i1 {both}, ptr {self.flag}")

    def statement(self, node: ast.stmt) -> tuple[Any, Term]:
        """The target, a `Term` or a name, and what is stored there."""
        target = node.target if isinstance(node, ast.AugAssign) else node.targets[0]  # type: ignore[attr-defined]
        value = self.term(node.value)  # type: ignore[attr-defined]
        if isinstance(target, ast.Name):
            if isinstance(node, ast.AugAssign):
                value = self._operation(SYMBOLS[type(node.op)], self.term(target), value)
            variable = self.code.scalars.get(target.id)
            if value.tall or value.how == "fixed" or variable is None:
                raise Unsupported("something else than a number for each column")
            self._names.add(target.id)
            return target.id, value
        place = self._moving(target)
        if isinstance(node, ast.AugAssign):
            value = self._operation(SYMBOLS[type(node.op)], place, value)
        if value.tall and not place.tall:
            raise Unsupported("a vector that is stored into an element")
        if place.tall:
            # What one row stores another one must not read. Products are computed before all rows.
            products = [part for each in inside_of(value) if each.how == "product" for part in each.parts]
            for each in inside_of(value):
                if each.tall and each.array == place.array and each is not place and each not in products:
                    raise Unsupported("other elements of the column that is stored into")
            self._of_one_length([place, *(each for each in direct_of(value) if each.ref is not None)])
        return place, value

    def _of_one_length(self, terms: list[Term]) -> None:
        counts = list(dict.fromkeys(each.ref.dims[0] for each in terms if each.tall and each.ref is not None))
        for count in counts[1:]:
            self.lower_unless(self.code.w.op(f"icmp eq i64 {counts[0]}, {count}"))

    def term(self, node: ast.expr) -> Term:
        if isinstance(node, ast.Name) and node.id in self._changing:
            if node.id not in self._names:
                raise Unsupported("a variable that the round before has set")
            return Term("name", False, value=node.id)
        operands = _product_of(node)
        if operands is not None and self._is_product(node):
            return self._product(*map(self.term, operands), isinstance(node, ast.Call))
        if isinstance(node, ast.BinOp):
            sides = self.term(node.left), self.term(node.right)
            if all(each.how == "fixed" and not each.tall for each in sides):
                return self._fixed(node)
            return self._operation(SYMBOLS.get(type(node.op), "@"), *sides)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            part = self.term(node.operand)
            if part.how != "fixed" or part.tall:
                return Term("negative", part.tall, (part,))
        if isinstance(node, ast.Subscript) and last_of(node) == self.target:
            return self._moving(node)
        if self.target in {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}:
            raise Unsupported("another use of the column's number")
        return self._fixed(node)

    def _is_product(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Call):
            found = self.code.expression(node.func)
            if not isinstance(found, Known) or getattr(found.value, "__name__", "") != "dot":
                raise Unsupported("a call in a loop over columns")
        return True

    def _operation(self, symbol: str, left: Term, right: Term) -> Term:
        if symbol not in INSTRUCTIONS:
            raise Unsupported(f"{symbol} in a loop over columns")
        return Term(symbol, left.tall or right.tall, (left, right))

    def _product(self, left: Term, right: Term, dot: bool) -> Term:
        code = self.code
        refs = [each.ref for each in (left, right)]
        if not left.tall or not right.tall or None in refs or "moving" not in (left.how, right.how):
            raise Unsupported("a product of something else")
        if not code.spread_order():
            raise Unsupported("a product in an order that is not known")
        n, other = (ref.dims[0] for ref in refs)  # type: ignore[union-attr]
        if n != other:
            self.lower_unless(code.w.op(f"icmp eq i64 {n}, {other}"))
        self.lower_unless(code.w.op(f"icmp sle i64 {n}, {LONGEST_SPREAD}"))
        if dot:  # of single elements `np.dot` keeps a negative zero
            self.lower_unless(code.w.op(f"icmp ne i64 {n}, 1"))
        gaps = "false"
        for ref in refs:
            stride = ref.strides[0]  # type: ignore[union-attr]
            self.lower_unless(code.w.op(f"icmp sgt i64 {stride}, 0"))
            gaps = code.w.op(f"or i1 {gaps}, {code.w.op(f'icmp ne i64 {stride}, 8')}")
        self.lower_unless(gaps)
        return Term("product", False, (left, right))

    def _fixed(self, node: ast.expr) -> Term:
        """What is the same for all columns."""
        if not all(isinstance(each, _FIXED) for each in ast.walk(node)):
            raise Unsupported("something else in a loop over columns")
        if any(isinstance(each, ast.Name) and each.id in self._changing for each in ast.walk(node)):
            raise Unsupported("a variable that changes")
        key = ast.dump(node)
        if key not in self._terms:
            self._terms[key] = self._found(node)
        return self._terms[key]

    def _found(self, node: ast.expr) -> Term:
        code = self.code
        arrays = [each.value for each in ast.walk(node) if isinstance(each, ast.Subscript)]
        for each in ast.walk(node):
            if isinstance(each, (ast.Name, ast.Attribute, ast.Subscript)) and ast.dump(each) in self._stored:
                if not isinstance(node, ast.Subscript) or each is not node.value:
                    raise Unsupported("another use of what is stored into")
                return self._beside(node)
        for each in arrays:
            found = code.expression(each)
            if isinstance(found, Ref):
                self._note(ast.dump(each), found)
        value = code.expression(node)
        if isinstance(value, Known):
            value = code.constant(value.value)
        if isinstance(value, Val):
            if value.rep not in "di" or not value.kinds <= {"int", "float", "int64", "float64"}:
                raise Unsupported("a number of another type")
            return Term("fixed", False, value=code.as_double(value, exact=True).x)
        if not isinstance(value, Ref) or len(value.dims) != 1 or value.type.dtype != "float64":
            raise Unsupported("an array of another type")
        self._note(ast.dump(node), value)
        return Term("fixed", True, ref=value)

    def _note(self, name: str, ref: Ref) -> None:
        """An array that is read or stored into: all of it, or a part."""
        self._bases.setdefault(f"{name} {ref.pointer}", ref)

    def _beside(self, node: ast.Subscript) -> Term:
        """An element or a part of an array into which columns are stored, but none of these."""
        code, w = self.code, self.code.w
        base = self._array(node)
        parts = self._parts(node)
        if len(parts) != len(base.dims):
            raise Unsupported("fewer indices than axes")
        last, dim = parts[-1], base.dims[-1]
        if isinstance(last, ast.Slice):
            first, count, step = code._part_taken(last, dim)
            if step != "1":
                raise Unsupported("columns with a step")
            end = w.op(f"add i64 {first}, {count}")
        else:
            first = code.wrapped(last, dim)
            end = w.op(f"add i64 {first}, 1")
        before = w.op(f"icmp sle i64 {end}, {self.step.start}")
        behind = w.op(f"icmp sge i64 {first}, {w.op(f'add i64 {self.step.start}, {self.step.count}')}")
        self.lower_unless(w.op(f"or i1 {before}, {behind}"))
        ref = code.parted(base, parts)
        if not ref.dims:
            return Term("fixed", False, value=code.read(ref).x)
        if len(ref.dims) != 1:
            raise Unsupported("a part of another shape")
        return Term("fixed", True, ref=ref)

    def _array(self, node: ast.Subscript) -> Ref:
        base = self.code.expression(node.value)
        if not isinstance(base, Ref) or base.type.sequence or base.type.dtype != "float64":
            raise Unsupported("an array of another type")
        return base

    def _parts(self, node: ast.Subscript) -> list[Any]:
        nodes = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        parts = [self.code._part(each) for each in nodes]
        if not all(isinstance(each, (str, ast.Slice)) for each in parts):
            raise Unsupported("an index of another kind")
        return parts

    def _moving(self, node: ast.expr) -> Term:
        """Elements whose last index is the number of the column: one, or a column of them."""
        code, w = self.code, self.code.w
        if not isinstance(node, ast.Subscript) or last_of(node) != self.target:
            raise Unsupported("a store into something else")
        key = ast.dump(ast.Subscript(node.value, node.slice, ast.Load()))
        if key in self._terms:
            return self._terms[key]
        base = self._array(node)
        nodes = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        for each in nodes[:-1]:
            for inner in ast.walk(each):
                if not isinstance(inner, _FIXED):
                    raise Unsupported("an index of another kind")
                if isinstance(inner, ast.Subscript) and ast.dump(inner.value) in self._stored:
                    raise Unsupported("an index that is stored into")
                if isinstance(inner, ast.Name) and inner.id in self._changing:
                    raise Unsupported("an index that changes")
        if len(nodes) != len(base.dims) or not base.type.unit:
            raise Unsupported("columns that do not lie side by side")
        self.lower_unless(w.op(f"icmp sge i64 {self.step.start}, 0"))
        end = w.op(f"add i64 {self.step.start}, {self.step.count}")
        self.lower_unless(w.op(f"icmp sle i64 {end}, {base.dims[-1]}"))
        parts = [code._part(each) for each in nodes[:-1]]
        if not all(isinstance(each, (str, ast.Slice)) for each in parts):
            raise Unsupported("an index of another kind")
        ref = code._view(base, [*parts, ast.Slice()])
        if len(ref.dims) not in (1, 2) or ref.strides[-1] != "8":
            raise Unsupported("a part of another shape")
        dump = ast.dump(node.value)
        self._note(dump, base)
        if dump in self._stored:
            code.note_written(base)
        found = self._terms[key] = Term("moving", len(ref.dims) == 2, ref=ref, array=dump)
        return found

    def tell_apart(self) -> None:
        """Lower the flag if what is stored into shares memory with other arrays."""
        code, w = self.code, self.code.w
        stored = {key: ref for key, ref in self._bases.items() if key.rpartition(" ")[0] in self._stored}
        pairs: dict[tuple[str, ...], None] = {}
        for one in stored:
            for other in self._bases:
                if one.rpartition(" ")[0] != other.rpartition(" ")[0]:
                    pairs[tuple(sorted((one, other)))] = None
        if len(pairs) > _MOST_PAIRS:
            raise Unsupported("many arrays")
        spans = {key: code.span(ref) for key, ref in self._bases.items()}
        for one, other in pairs:
            meets = code._meet(spans[one], spans[other])
            self.lower_unless(w.op(f"xor i1 {meets}, true"))


def last_of(node: ast.Subscript) -> str:
    """The variable that is the last index."""
    last = node.slice.elts[-1] if isinstance(node.slice, ast.Tuple) and node.slice.elts else node.slice
    return last.id if isinstance(last, ast.Name) else ""


def inside_of(term: Term) -> list[Term]:
    return [term, *(inner for part in term.parts for inner in inside_of(part))]


def direct_of(term: Term) -> list[Term]:
    """The parts of an expression for a row, without what products are made of."""
    if term.how == "product":
        return []
    return [term, *(inner for part in term.parts for inner in direct_of(part))]


def _product_of(node: ast.expr) -> tuple[ast.expr, ast.expr] | None:
    """The operands of what may be a product of vectors."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
        return node.left, node.right
    if isinstance(node, ast.Call) and len(node.args) == 2 and not node.keywords:
        return node.args[0], node.args[1]
    return None
