"""LLVM code for operators, comparisons and conditions, with Python's and NumPy's meaning of each."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any, NamedTuple

from minpy.runtime.jit.expressions import EXACT
from minpy.runtime.jit.ir import double
from minpy.runtime.jit.kinds import (
    BOOLS,
    CODES,
    COMPLEX,
    INTS,
    MIXABLE,
    OPERATORS,
    PYTHON,
    RANGES,
    Unsupported,
    representation,
    result_kind,
)
from minpy.runtime.jit.leaving import constant_of
from minpy.runtime.jit.powers import Powers
from minpy.runtime.jit.values import Known, Several, Val, scalar

SYMBOLS: dict[type, str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
    ast.BitAnd: "&",
    ast.BitOr: "|",
    ast.BitXor: "^",
    ast.LShift: "<<",
    ast.RShift: ">>",
}
COMPARISONS: dict[type, tuple[str, str]] = {
    ast.Eq: ("eq", "oeq"),
    ast.NotEq: ("ne", "une"),
    ast.Lt: ("slt", "olt"),
    ast.LtE: ("sle", "ole"),
    ast.Gt: ("sgt", "ogt"),
    ast.GtE: ("sge", "oge"),
}


# What is computed without a branch.
_STRAIGHT = (
    *(ast.BinOp, ast.UnaryOp, ast.Name, ast.Constant, ast.Subscript, ast.Attribute),
    *(ast.operator, ast.unaryop, ast.expr_context),
)


class Result(NamedTuple):
    """What an operator gave that is not looked at yet; `passed` are the operands of which NaN and infinity pass to it.

    `python` says that it is Python's float, which may become infinite without a warning.
    """

    x: str
    operands: tuple[str, ...]
    passed: tuple[str, ...]
    python: bool


class Operators(Powers):
    """Operators between scalars."""

    def __init__(self) -> None:
        super().__init__()
        self.results: list[Result] | None = None  # where the next operator is to put what it gave,
        self.joint: list[Result] | None = None  # and all others
        self.late: set[str] = set()  # integers that are made of what the round before computed last

    # Operators.

    def _binop(self, node: ast.BinOp) -> Any:
        folded = folded_constant(node)
        if folded is not None:
            return self.constant(folded)
        if self.joint is not None:
            return self.tree(node, self.joint)
        results: list[Result] = []
        value = self.tree(node, results)
        self.settle(results)
        return value

    def _list(self, node: ast.List) -> Several:
        if not all(isinstance(each, _STRAIGHT) for item in node.elts for each in ast.walk(item)):
            return super()._list(node)
        return self.gathering(lambda: super(Operators, self)._list(node))

    def gathering(self, compute: Callable[[], Any]) -> Any:
        """What `compute` gives, in a straight line; what operators gave until then is looked at once, after it."""
        if self.joint is not None:
            return compute()
        self.joint = results = []
        try:
            value = compute()
        finally:
            self.joint = None
        self.settle(results)
        return value

    def tree(self, node: ast.expr, results: list[Result]) -> Any:
        """Code for an expression, of whose outermost operators the `results` are yet to be looked at (`settle`)."""
        if not isinstance(node, ast.BinOp) or folded_constant(node) is not None:
            return self.expression(node)
        left = self.computed_before(self.tree(node.left, results), node.right)
        right = self.tree(node.right, results)
        return self.operation(SYMBOLS.get(type(node.op), "@"), left, right, results)

    def operation(self, symbol: str, left: Any, right: Any, results: list[Result]) -> Any:
        """Code for an operator, as `tree`."""
        if isinstance(left, (Val, Known)) and isinstance(right, (Val, Known)):
            self.results = results
        return self.binary(symbol, left, right)

    def settle(self, results: list[Result]) -> None:
        """Leave the loop where an operator gave NaN, or NumPy warns of it.

        Sums, differences and products of what is not finite are not finite, so as a rule those are looked at that no
        other operator takes, and all of them only where one of these is not.
        """
        taken = {x for result in results for x in result.passed}
        whole = [(self.line, result) for result in results]
        self.look_at([each for each in whole if each[1].x not in taken], whole)

    def look_at(self, last: list[tuple[int, Result]], results: list[tuple[int, Result]]) -> None:
        """Leave the loop where NumPy warns of one of the `results` (with their lines); `last` tell of the others."""
        if len(results) == 1:
            self._look_at_one(*results[0])
            return
        if all(result.python for _, result in results):
            for line, result in last:
                self.line = line
                self.ordered(result.x)
            return
        finite = self.are_finite(*(result.x for _, result in last))
        fine, odd = self.w.fresh("fine"), self.w.fresh("odd")
        self.w.branch(finite, fine, odd, expected=True)
        self.w.place(odd)
        for each in results:
            self._look_at_one(*each)
        self.w.place(fine)

    def _look_at_one(self, line: int, result: Result) -> None:
        around, self.line = self.line, line
        if result.python:
            self.ordered(result.x)
        else:
            self.checked(result.x, *result.operands)
        self.line = around

    def binary(self, symbol: str, left: Any, right: Any) -> Val:
        """Code for an operator between scalars."""
        results, self.results = self.joint if self.results is None else self.results, None
        one, other = self._operand(left), self._operand(right)
        kinds = frozenset(result_kind(symbol, a, b) for a in one.kinds for b in other.kinds)
        if kinds & COMPLEX:
            if len(kinds) > 1:
                raise Unsupported("arithmetic of a complex number and one whose type changes")
            return self.complex_binary(symbol, next(iter(kinds)), one, other)
        tag = self._result_tag(symbol, kinds, one, other)
        if kinds <= BOOLS:
            if symbol not in ("&", "|", "^"):
                raise Unsupported(f"{symbol} of truth values")
            x = self.w.op(f"{ {'&': 'and', '|': 'or', '^': 'xor'}[symbol] } i1 {one.x}, {other.x}")
            return Val(kinds, "b", x, tag)
        if symbol == "**":
            return self.power_of(kinds, tag, one, other)
        if all(representation(kind) == "i" for kind in kinds) and "d" not in (one.rep, other.rep):
            return self._integers(symbol, kinds, tag, self.as_i64(one), self.as_i64(other))
        if symbol not in ("+", "-", "*", "/", "//", "%"):
            raise Unsupported(f"{symbol} of a value that may be a float")
        return self._doubles(symbol, kinds, tag, one, other, results)

    def as_finite_as(self, x: str, other: str) -> None:
        """Note that `x` is finite if, and only if, `other` is."""
        raise NotImplementedError

    def real_operand(self, value: Any) -> Val:
        return self._operand(value)

    def _operand(self, value: Any) -> Val:
        if isinstance(value, Known):
            value = self.constant(value.value)
        if not isinstance(value, Val):
            raise Unsupported("arithmetic on whole arrays is left to NumPy")
        return value

    def _result_tag(self, symbol: str, kinds: frozenset[str], one: Val, other: Val) -> str:
        if len(kinds) == 1:
            return str(CODES[next(iter(kinds))])
        if not kinds <= MIXABLE or not (one.kinds | other.kinds) <= MIXABLE:
            raise Unsupported("operands of changing types")
        both = self.w.op(f"or i8 {one.tag}, {other.tag}")
        return self.w.op(f"or i8 {both}, 1") if symbol == "/" else both

    def _integers(self, symbol: str, kinds: frozenset[str], tag: str, one: Val, other: Val) -> Val:
        a, b = one.x, other.x
        for kind in kinds - {"int", "int64"}:
            # NumPy 2 refuses Python integers that do not fit the other operand's type.
            for operand in (one, other):
                if operand.kinds & PYTHON:
                    self.guard_range(operand.x, *RANGES[kind], f"an integer does not fit {kind}")
        if symbol in "+-*":
            name = {"+": "sadd", "-": "ssub", "*": "smul"}[symbol]
            x = self.exact(name, a, b)
        elif symbol in ("//", "%"):
            b = self.guarded(self.w.op(f"icmp ne i64 {b}, 0"), b, "1", "a division by zero")
            if constant_of(b) in (None, -1):
                lowest = self.w.op(f"icmp ne i64 {a}, {-(2**63)}")
                fits = self.w.op(f"or i1 {lowest}, {self.w.op(f'icmp ne i64 {b}, -1')}")
                b = self.guarded(fits, b, "1", "an integer overflow")
            x = self.floor_division(symbol, a, b)
        elif symbol in ("&", "|", "^"):
            x = self.w.op(f"{ {'&': 'and', '|': 'or', '^': 'xor'}[symbol] } i64 {a}, {b}")
        elif symbol in ("<<", ">>"):
            self.at_once()
            self.guard_range(b, 0, 62, "a shift by a negative or large count")
            x = self.w.op(f"{'shl' if symbol == '<<' else 'ashr'} i64 {a}, {b}")
            if symbol == "<<":
                back = self.w.op(f"ashr i64 {x}, {b}")
                self.guard(self.w.op(f"icmp eq i64 {back}, {a}"), "an integer needs more than 64 bits")
        else:
            raise Unsupported(f"the operator {symbol}")
        for kind in kinds - {"int", "int64"}:
            self.guard_range(x, *RANGES[kind], f"an overflow of {kind}")
        if a in self.late or b in self.late:
            self.late.add(x)
        return Val(kinds, "i", x, tag)

    def exact(self, name: str, a: str, b: str) -> str:
        """A sum, difference or product that fits 64 bits."""
        if self.flag and name != "smul":
            # In a form that can be done for several elements at a time.
            x = self.w.op(f"{name[1:]} i64 {a}, {b}")
            odd = [self.w.op(f"xor i64 {each}, {x}") for each in (a, b if name == "sadd" else a)]
            if name == "ssub":
                odd[1] = self.w.op(f"xor i64 {a}, {b}")
            both = self.w.op(f"and i64 {odd[0]}, {odd[1]}")
            self.guard(self.w.op(f"icmp sge i64 {both}, 0"), "an integer needs more than 64 bits")
            return x
        self.w.declarations.add(f"declare {{i64, i1}} @llvm.{name}.with.overflow.i64(i64, i64)")
        pair = self.w.op(f"call {{i64, i1}} @llvm.{name}.with.overflow.i64(i64 {a}, i64 {b})")
        over = self.w.op(f"extractvalue {{i64, i1}} {pair}, 1")
        self.guard(self.w.op(f"xor i1 {over}, true"), "an integer needs more than 64 bits")
        return self.w.op(f"extractvalue {{i64, i1}} {pair}, 0")

    def floor_division(self, symbol: str, a: str, b: str) -> str:
        """Code for ``//`` or ``%`` of integers; `b` is not zero."""
        constant = constant_of(b)
        if constant is not None and constant > 0 and not constant & (constant - 1):
            power = constant.bit_length() - 1
            return self.w.op(f"and i64 {a}, {constant - 1}" if symbol == "%" else f"ashr i64 {a}, {power}")
        rest = self.w.op(f"srem i64 {a}, {b}")
        signs = self.w.op(f"icmp slt i64 {self.w.op(f'xor i64 {rest}, {b}')}, 0")
        off = self.w.op(f"and i1 {signs}, {self.w.op(f'icmp ne i64 {rest}, 0')}")
        if symbol == "%":
            return self.w.op(f"select i1 {off}, i64 {self.w.op(f'add i64 {rest}, {b}')}, i64 {rest}")
        quotient = self.w.op(f"sdiv i64 {a}, {b}")
        return self.w.op(f"sub i64 {quotient}, {self.w.op(f'zext i1 {off} to i64')}")

    def _doubles(
        self,
        symbol: str,
        kinds: frozenset[str],
        tag: str,
        one: Val,
        other: Val,
        results: list[Result] | None,
    ) -> Val:
        stays = bool(kinds & INTS)  # an integer in a double may come out as one
        python_ints = one.rep == other.rep == "i" and "int" in one.kinds | other.kinds
        single = kinds == {"float32"}
        a, b = (self.as_double(each, exact=stays or python_ints or single).x for each in (one, other))
        if single:
            # NumPy 2 makes a Python number a float32 first.
            a, b = (
                self.w.op(f"fpext float {self.narrowed(x)} to double") if each.kinds & PYTHON else x
                for each, x in ((one, a), (other, b))
            )
        if symbol in ("//", "%") or (symbol == "/" and (self.floats is None or kinds <= PYTHON)):
            self.guard(self.w.op(f"fcmp une double {b}, {double(0.0)}"), "a division by zero")
        if symbol in ("//", "%"):
            if stays or "float32" in kinds:
                raise Unsupported(f"{symbol} of a value that may be an integer or a float")
            x = self._float_floor(symbol, a, b)
        else:
            name = {"+": "fadd", "-": "fsub", "*": "fmul", "/": "fdiv"}[symbol]
            x = self.w.op(f"{name} double {a}, {b}")
        if single:
            x = self.w.op(f"fpext float {self.w.op(f'fptrunc double {x} to float')} to double")
        if (
            results is not None
            and symbol in ("+", "-", "*", "/")
            and (self.postponed or not self.flag)
            and self.floats is None
        ):
            # A division by what is not finite gives zero.
            results.append(Result(x, (a, b), (a,) if symbol == "/" else (a, b), kinds <= PYTHON))
        elif kinds <= PYTHON:
            self.ordered(x)
        else:
            self.checked(x, a, b)
        if stays:
            x = self._kept_integer(x, tag)
        return Val(kinds, "d", x, tag)

    def _kept_integer(self, x: str, tag: str) -> str:
        """A result that is an integer if its tag says so: small enough, and no negative zero."""
        is_float = self.w.op(f"icmp ne i8 {self.w.op(f'and i8 {tag}, 1')}, 0")
        small = self.w.op(f"fcmp ole double {self.intrinsic('fabs', x)}, {double(float(EXACT))}")
        self.guard(self.w.op(f"or i1 {is_float}, {small}"), "an integer beyond 2**53")
        positive = self.w.op(f"fadd double {x}, {double(0.0)}")
        return self.w.op(f"select i1 {is_float}, double {x}, double {positive}")

    def _float_floor(self, symbol: str, a: str, b: str) -> str:
        # As CPython's float_divmod, which NumPy's is a copy of.
        for operand in (a, b):
            self.guard(self.are_finite(operand), "a remainder of infinity or NaN")
        zero = double(0.0)
        rest = self.outside("fmod", a, b)
        nonzero = self.w.op(f"fcmp une double {rest}, {zero}")
        signs = self.w.op(
            f"xor i1 {self.w.op(f'fcmp olt double {b}, {zero}')}, {self.w.op(f'fcmp olt double {rest}, {zero}')}"
        )
        off = self.w.op(f"and i1 {nonzero}, {signs}")
        if symbol == "%":
            moved = self.w.op(
                f"select i1 {off}, double {self.w.op(f'fadd double {rest}, {b}')}, double {rest}"
            )
            empty = self.intrinsic("copysign", zero, b)
            return self.w.op(f"select i1 {nonzero}, double {moved}, double {empty}")
        quotient = self.w.op(f"fdiv double {self.w.op(f'fsub double {a}, {rest}')}, {b}")
        lower = self.w.op(f"fsub double {quotient}, {double(1.0)}")
        quotient = self.w.op(f"select i1 {off}, double {lower}, double {quotient}")
        floor = self.intrinsic("floor", quotient)
        gap = self.w.op(f"fcmp ogt double {self.w.op(f'fsub double {quotient}, {floor}')}, {double(0.5)}")
        up = self.w.op(f"fadd double {floor}, {double(1.0)}")
        floor = self.w.op(f"select i1 {gap}, double {up}, double {floor}")
        empty = self.intrinsic("copysign", zero, self.w.op(f"fdiv double {a}, {b}"))
        is_zero = self.w.op(f"fcmp oeq double {quotient}, {zero}")
        return self.w.op(f"select i1 {is_zero}, double {empty}, double {floor}")

    def _unaryop(self, node: ast.UnaryOp) -> Any:
        if isinstance(node.op, ast.Not):
            x = self.w.op(f"xor i1 {self.truth(self.expression(node.operand))}, true")
            return scalar("bool", "b", x)
        if isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
            if type(node.operand.value) in (int, float, complex):
                return self.constant(-node.operand.value)
        return self.unary(node, self.expression(node.operand))

    def unary(self, node: ast.UnaryOp, value: Any) -> Any:
        """Code for ``-``, ``+`` or ``~`` of a scalar."""
        value = self._operand(value)
        if value.kind == "bool":
            value = Val(frozenset(("int",)), "i", self.as_i64(value).x, "0")
        if isinstance(node.op, ast.UAdd) and value.rep != "b":
            return value
        if value.rep == "c" and isinstance(node.op, ast.USub):
            return self.complex_negative(value)
        if value.rep == "i" and value.kinds <= {"int", "int64", "int32", "int16", "int8"}:
            if isinstance(node.op, ast.Invert):
                return Val(value.kinds, "i", self.w.op(f"xor i64 {value.x}, -1"), value.tag)
            x = self.exact("ssub", "0", value.x)
            for kind in value.kinds - {"int", "int64"}:
                self.guard_range(x, *RANGES[kind], f"an overflow of {kind}")
            return Val(value.kinds, "i", x, value.tag)
        if value.rep == "d" and isinstance(node.op, ast.USub):
            x = self.w.op(f"fneg double {value.x}")
            self.as_finite_as(x, value.x)
            if value.kinds & INTS:
                x = self._kept_integer(x, value.tag)
            return Val(value.kinds, "d", x, value.tag)
        raise Unsupported(f"{type(node.op).__name__} of {'/'.join(sorted(value.kinds))}")

    # Comparisons and what jumps.

    def compare(self, op: ast.cmpop, left: Any, right: Any) -> Val:
        """Code for one comparison of scalars."""
        found = COMPARISONS.get(type(op))
        if found is None:
            raise Unsupported(f"the comparison {type(op).__name__}")
        one, other = self._operand(left), self._operand(right)
        if ("str" in one.kinds) != ("str" in other.kinds):
            raise Unsupported("a comparison of a string with something else")
        if "c" in (one.rep, other.rep):
            if not isinstance(op, (ast.Eq, ast.NotEq)) or len(one.kinds) * len(other.kinds) > 1:
                raise Unsupported("an order of complex numbers")
            x = self.complex_equal(one, other)
            if isinstance(op, ast.NotEq):
                x = self.w.op(f"xor i1 {x}, true")
            return scalar("bool" if one.kinds | other.kinds <= PYTHON else "bool_", "b", x)
        if one.rep == "b" and other.rep == "b":
            one, other = self.as_i64(one), self.as_i64(other)
        for each, against in ((one, other), (other, one)):
            if "float32" in each.kinds and against.kinds & PYTHON:
                constant = constant_of(against.x) if against.rep == "i" else None
                if constant is None or abs(constant) > 2**24:
                    raise Unsupported(
                        "a comparison of float32 with a Python number"
                    )  # it depends on NumPy's version
        if "d" in (one.rep, other.rep):
            a, b = self.as_double(one, exact=True), self.as_double(other, exact=True)
            x = self.w.op(f"fcmp {found[1]} double {a.x}, {b.x}")
        else:
            x = self.w.op(f"icmp {found[0]} i64 {self.as_i64(one).x}, {self.as_i64(other).x}")
        outcomes = {"bool" if {a, b} <= PYTHON else "bool_" for a in one.kinds for b in other.kinds}
        if len(outcomes) == 1:
            return scalar(outcomes.pop(), "b", x)
        both = self.w.op(f"lshr i8 {self.w.op(f'or i8 {one.tag}, {other.tag}')}, 1")
        tag = self.w.op(f"add i8 {self.w.op(f'and i8 {both}, 1')}, {CODES['bool']}")
        if not (one.kinds | other.kinds) <= MIXABLE:
            raise Unsupported("a comparison of operands of changing types")
        return Val(frozenset(outcomes), "b", x, tag)

    def _compare(self, node: ast.Compare) -> Val:
        if len(node.ops) == 1:
            left = self.computed_before(self.expression(node.left), node.comparators[0])
            return self.compare(node.ops[0], left, self.expression(node.comparators[0]))
        return self._joined(node, True, _links(node))

    def _boolop(self, node: ast.BoolOp) -> Val:
        return self._joined(node, isinstance(node.op, ast.And), node.values)

    def _joined(self, node: ast.AST, conjunction: bool, parts: list[ast.expr]) -> Val:
        """``and`` and ``or`` as values: a variable that takes one part after the other."""
        result = self.temporary(node)
        end = self.w.fresh("end")
        for place, part in enumerate(parts):
            value = self._operand(self.expression(part))
            self.assign(result, value)
            if place < len(parts) - 1:
                more = self.w.fresh("more")
                truth = self.truth(value)
                self.w.branch(truth, *((more, end) if conjunction else (end, more)))
                self.w.place(more)
        self.w.place(end)
        return self.load(result)

    def _ifexp(self, node: ast.IfExp) -> Val:
        result = self.temporary(node)
        yes, no, end = self.w.fresh("yes"), self.w.fresh("no"), self.w.fresh("end")
        self.condition(node.test, yes, no)
        for label, part in ((yes, node.body), (no, node.orelse)):
            self.w.place(label)
            self.assign(result, self._operand(self.expression(part)))
            self.w.jump(end)
        self.w.place(end)
        return self.load(result)

    def condition(self, node: ast.expr, yes: str, no: str) -> None:
        """Jump to `yes` or `no`."""
        if isinstance(node, ast.BoolOp) or (isinstance(node, ast.Compare) and len(node.ops) > 1):
            parts = node.values if isinstance(node, ast.BoolOp) else _links(node)
            conjunction = isinstance(node, ast.Compare) or isinstance(node.op, ast.And)
            for part in parts[:-1]:
                more = self.w.fresh("more")
                self.condition(part, *((more, no) if conjunction else (yes, more)))
                self.w.place(more)
            self.condition(parts[-1], yes, no)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            self.condition(node.operand, no, yes)
        else:
            self.w.branch(self.truth(self.expression(node)), yes, no)


def folded_constant(node: ast.expr) -> int | float | None:
    """The number that an expression of numbers is, as Python computes it; None if it is none, or a large one."""
    if isinstance(node, ast.Constant):
        return node.value if type(node.value) in (int, float) else None
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = folded_constant(node.operand)
        return None if value is None else -value
    if not isinstance(node, ast.BinOp) or type(node.op) not in SYMBOLS:
        return None
    left, right = folded_constant(node.left), folded_constant(node.right)
    if left is None or right is None:
        return None
    if isinstance(node.op, (ast.Pow, ast.LShift)) and not (abs(left) < 2**64 and 0 <= right < 64):
        return None
    try:
        found = OPERATORS[SYMBOLS[type(node.op)]](left, right)
    except (ArithmeticError, TypeError, ValueError):
        return None
    return found if type(found) in (int, float) and abs(found) < 2**63 else None


def _links(node: ast.Compare) -> list[ast.expr]:
    """``a < b < c`` as ``a < b``, ``b < c``: evaluating ``b`` twice shows nowhere here."""
    operands = [node.left, *node.comparators]
    return [
        ast.copy_location(ast.Compare(operands[i], [op], [operands[i + 1]]), node)
        for i, op in enumerate(node.ops)
    ]
