"""LLVM code for products of a column and those behind it, made for several rounds at a time.

    for i in range(m - 1):
        c[i + 1 : m, i] = c[i, i + 1 : m] = a[:, i] @ a[:, i + 1 : m]

Each product reads all of the matrix behind its column, so memory takes the time. If no round changes the matrix, a
round may as well make the products of the next ones, of which each element that was read is a part. That is done where
BLAS is found to add up the rows one after the other (`numpy_loops.adds_rows`): then the bits are the same.
"""

from __future__ import annotations

import ast
from functools import lru_cache
from typing import Any

from minpy.records import dataclass
from minpy.runtime.jit import numpy_loops
from minpy.runtime.jit.kinds import Unsupported
from minpy.runtime.jit.points import ByPoints
from minpy.runtime.jit.values import Ref

_ROUNDS, _LANES = 16, 8  # sums that are kept in registers
_VECTOR = f"<{_LANES} x double>"
_MASK = f"<{_LANES} x i1>"
_NUMBERS = f"<{', '.join(f'i64 {lane}' for lane in range(_LANES))}>"
_ROWS = 32  # that the nearest cache holds
_LEAST = numpy_loops.ROWS  # columns: fewer ones a BLAS with several threads adds up in another way


@dataclass(frozen=True)
class _Product:
    """What the text of a product says: the matrix, the column's number, and the arrays that the loop stores into."""

    matrix: str
    counter: str
    stored: tuple[str, ...]


class Ahead(ByPoints):
    """Products of columns."""

    def _binop(self, node: ast.BinOp) -> Any:
        found = self._made_ahead(node)
        return super()._binop(node) if found is None else found

    def tree(self, node: ast.expr, results: list[Any]) -> Any:
        found = self._made_ahead(node)
        return super().tree(node, results) if found is None else found

    def _made_ahead(self, node: ast.expr) -> Ref | None:
        """The product of a column and those behind it; None if it is not that, and nothing has been written."""
        if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.MatMult):
            return None
        product = product_of(node, self.scope())
        if product is None or not numpy_loops.adds_rows():
            return None
        found: list[Ref] = []

        def write() -> bool:
            found.append(self._write_ahead(node, product))
            return True

        return found[0] if self._written_apart(write) else None

    def _write_ahead(self, node: ast.BinOp, product: _Product) -> Ref:
        w = self.w
        matrix = self.expression(ast.copy_location(ast.Name(product.matrix, ast.Load()), node))
        column, behind = self.expression(node.left), self.expression(node.right)
        for each, rank in ((matrix, 2), (column, 1), (behind, 2)):
            if not isinstance(each, Ref) or each.type.dtype != "float64" or len(each.dims) != rank:
                raise Unsupported("a product of something else")
        if behind.strides[1] != "8":
            raise Unsupported("rows with gaps")
        self.externals["order rows ddd"] = 0
        counter = self.integer(ast.copy_location(ast.Name(product.counter, ast.Load()), node))
        count = behind.dims[1]
        # The rounds whose products are there, and those.
        first, end = w.cell("first"), w.cell("end")
        place, width, other = w.cell("products", "ptr"), w.cell("width"), w.cell("other", "i1")
        new = self.fresh("float64", (count,))
        use, missing, make, plain, over = (
            w.fresh(hint) for hint in ("ahead", "missing", "make", "plain", "over")
        )
        start, stop = w.op(f"load i64, ptr {first}"), w.op(f"load i64, ptr {end}")
        there = w.op(f"icmp sge i64 {counter}, {start}")
        there = w.op(f"and i1 {there}, {w.op(f'icmp slt i64 {counter}, {stop}')}")
        w.branch(there, use, missing)
        w.place(missing)
        # (Rounds that do not follow each other gain nothing.)
        follows = w.op(f"icmp eq i64 {counter}, {stop}")
        follows = w.op(f"or i1 {follows}, {w.op(f'icmp eq i64 {stop}, 0')}")
        odd = w.op(f"xor i1 {follows}, true")
        odd = w.op(f"or i1 {odd}, {w.op(f'load i1, ptr {other}')}")
        w.put(f"store i1 {odd}, ptr {other}")
        fine = w.op(f"xor i1 {odd}, true")
        fine = w.op(f"and i1 {fine}, {w.op(f'icmp sge i64 {count}, {_LEAST}')}")
        fine = w.op(f"and i1 {fine}, {w.op(f'icmp sge i64 {column.dims[0]}, 1')}")
        fine = w.op(f"and i1 {fine}, {w.op(f'icmp sge i64 {counter}, 0')}")
        for name in product.stored:
            stored = self.expression(ast.copy_location(ast.Name(name, ast.Load()), node))
            if isinstance(stored, Ref) and stored.dims:
                fine = w.op(f"and i1 {fine}, {self._lie_apart(matrix, stored)}")
        w.branch(fine, make, plain)
        w.place(make)
        # The products of later columns begin further to the right, in rows of their own.
        products = self.fresh("float64", (str(_ROUNDS), count))
        self._write_products(column, behind, products)
        w.put(f"store i64 {counter}, ptr {first}")
        w.put(f"store i64 {w.op(f'add i64 {counter}, {_ROUNDS}')}, ptr {end}")
        w.put(f"store ptr {products.pointer}, ptr {place}")
        w.put(f"store i64 {count}, ptr {width}")
        w.jump(use)
        w.place(use)
        row = w.op(f"sub i64 {counter}, {w.op(f'load i64, ptr {first}')}")
        offset = w.op(f"mul i64 {row}, {w.op(f'load i64, ptr {width}')}")
        offset = w.op(f"mul i64 {w.op(f'add i64 {offset}, {row}')}, 8")
        begin = w.op(f"getelementptr i8, ptr {w.op(f'load ptr, ptr {place}')}, i64 {offset}")
        k, finish = self._over_elements("0", count)
        x = w.op(f"load double, ptr {w.op(f'getelementptr double, ptr {begin}, i64 {k}')}")
        w.put(f"store double {x}, ptr {w.op(f'getelementptr double, ptr {new.pointer}, i64 {k}')}")
        finish()
        w.jump(over)
        w.place(plain)
        (rows,), pointers = column.dims, [column.pointer, behind.pointer, new.pointer]
        steps = ["0", "0", "0", "0", column.strides[0], behind.strides[0], "8", "0", "8"]
        self.guard(w.op(f"icmp eq i64 {rows}, {behind.dims[0]}"), "a product of arrays that do not fit")
        self.run_loop(self.loop("product matmul ddd"), pointers, ["1", "1", rows, count], steps)
        w.place(over)
        self.nest(new.dims, lambda indices: self._is_finite(self.at(new, indices).x))
        return new

    def _write_products(self, column: Ref, behind: Ref, products: Ref) -> None:
        """Write the products of a column, and of as many more, with those behind the first one.

        Some of these are not behind the others: what is made of them nobody reads.
        """
        w, count = self.w, behind.dims[1]
        for what in ("load", "store"):
            first = "ptr" if what == "load" else f"{_VECTOR}, ptr"
            last = f", {_VECTOR}" if what == "load" else ""
            gives = _VECTOR if what == "load" else "void"
            name = f"llvm.masked.{what}.v{_LANES}f64.p0"
            w.declarations.add(f"declare {gives} @{name}({first}, i32, {_MASK}{last})")
        sums = [w.alloca(_VECTOR, "sum") for _ in range(_ROUNDS)]
        k, finish = self._over_elements("0", w.op(f"mul i64 {count}, {_ROUNDS}"))
        w.put(f"store double 0.0, ptr {w.op(f'getelementptr double, ptr {products.pointer}, i64 {k}')}")
        finish()
        with w.rounds("0", column.dims[0], _ROWS) as top:
            stop = w.op(f"add i64 {top}, {_ROWS}")
            more = w.op(f"icmp slt i64 {stop}, {column.dims[0]}")
            stop = w.op(f"select i1 {more}, i64 {stop}, i64 {column.dims[0]}")
            with w.rounds("0", count, _LANES) as j:
                left = self.spread_out(w.op(f"sub i64 {count}, {j}"), _LANES, "i64")
                mask = w.op(f"icmp slt <{_LANES} x i64> {_NUMBERS}, {left}")
                places = [
                    w.op(f"getelementptr double, ptr {products.pointer}, i64 {w.op(f'add i64 {j}, {start}')}")
                    for start in (w.op(f"mul i64 {number}, {count}") for number in range(_ROUNDS))
                ]
                for each, place in zip(sums, places, strict=True):
                    w.put(f"store {_VECTOR} {self._some_of(place, mask)}, ptr {each}")
                with w.rounds(top, stop, 1) as row:
                    self._write_row(column, behind, row, j, mask, sums)
                for each, place in zip(sums, places, strict=True):
                    total = w.op(f"load {_VECTOR}, ptr {each}")
                    w.put(
                        f"call void @llvm.masked.store.v{_LANES}f64.p0({_VECTOR} {total}, ptr {place}, i32 8, "
                        f"{_MASK} {mask})"
                    )

    def _some_of(self, place: str, mask: str) -> str:
        """Those elements side by side for which a mask is true."""
        return self.w.op(
            f"call {_VECTOR} @llvm.masked.load.v{_LANES}f64.p0(ptr {place}, i32 8, {_MASK} {mask}, "
            f"{_VECTOR} zeroinitializer)"
        )

    def _write_row(self, column: Ref, behind: Ref, row: str, j: str, mask: str, sums: list[str]) -> None:
        """Add the products of elements of a row to the sums."""
        w = self.w
        start = w.op(f"mul i64 {row}, {behind.strides[0]}")
        place = w.op(f"getelementptr i8, ptr {behind.pointer}, i64 {start}")
        elements = self._some_of(w.op(f"getelementptr double, ptr {place}, i64 {j}"), mask)
        start = w.op(f"mul i64 {row}, {column.strides[0]}")
        factors = w.op(f"getelementptr i8, ptr {column.pointer}, i64 {start}")
        for number, each in enumerate(sums):
            x = w.op(f"load double, ptr {w.op(f'getelementptr double, ptr {factors}, i64 {number}')}")
            term = w.op(f"fmul {_VECTOR} {self.spread_out(x, _LANES)}, {elements}")
            before = w.op(f"load {_VECTOR}, ptr {each}")
            w.put(f"store {_VECTOR} {w.op(f'fadd {_VECTOR} {before}, {term}')}, ptr {each}")


@lru_cache(maxsize=256)
def product_of(node: ast.BinOp, loop: ast.AST) -> _Product | None:
    """What the text of a product in a loop says, if it is one of a column and those behind it that no round changes."""
    left, right = node.left, node.right
    if not isinstance(loop, ast.For) or not isinstance(loop.target, ast.Name):
        return None
    counter = loop.target.id
    if not (isinstance(left, ast.Subscript) and isinstance(right, ast.Subscript)):
        return None
    if not isinstance(left.value, ast.Name) or ast.dump(left.value) != ast.dump(right.value):
        return None
    parts = [_parts(each) for each in (left, right)]
    if None in parts or ast.unparse(left.slice).replace(" ", "") not in (f":,{counter}", f"(:,{counter})"):
        return None
    columns = parts[1][1]  # type: ignore[index]
    if not isinstance(columns, ast.Slice) or columns.step is not None or columns.lower is None:
        return None
    if ast.unparse(columns.lower) != f"{counter} + 1":
        return None
    matrix = left.value.id
    inside = [each for statement in loop.body for each in ast.walk(statement)]
    bound = {each.id for each in inside if isinstance(each, ast.Name) and not isinstance(each.ctx, ast.Load)}
    stored = set()
    for each in inside:
        if isinstance(each, (ast.Call, ast.For, ast.While, ast.Delete, ast.NamedExpr, ast.Await)):
            return None
        if isinstance(each, ast.Subscript) and not isinstance(each.ctx, ast.Load):
            if not isinstance(each.value, ast.Name):
                return None
            stored.add(each.value.id)
        if isinstance(each, ast.AugAssign) and isinstance(each.target, ast.Name):
            stored.add(each.target.id)
    end = {columns.upper.id} if isinstance(columns.upper, ast.Name) else set()
    if columns.upper is not None and not isinstance(columns.upper, (ast.Name, ast.Constant)):
        return None
    assigned = {
        target.id
        for each in inside
        if isinstance(each, ast.Assign)
        for target in each.targets
        if isinstance(target, ast.Name)
    }
    if {matrix, counter, *end} & (bound | stored) or stored & assigned:
        return None
    return _Product(matrix, counter, tuple(sorted(stored)))


def _parts(node: ast.Subscript) -> list[ast.expr] | None:
    """The two indices of an element, of which the first one takes all rows."""
    if not isinstance(node.slice, ast.Tuple) or len(node.slice.elts) != 2:
        return None
    rows = node.slice.elts[0]
    if not isinstance(rows, ast.Slice) or (rows.lower, rows.upper, rows.step) != (None, None, None):
        return None
    return node.slice.elts


__all__ = ["Ahead", "product_of"]
