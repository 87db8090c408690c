"""LLVM code for expressions, such that it computes what Python and NumPy compute or leaves the loop.

Whatever raises, warns or needs more than 64 bits in Python is not computed here: the code leaves the loop
(`guard`), and Python runs that iteration as written.
"""

from __future__ import annotations

import ast
from typing import Any

from minpy.runtime.jit.ir import Writer, double
from minpy.runtime.jit.kinds import (
    BOOLS,
    CODES,
    FLOATS,
    INTS,
    MIXABLE,
    PYTHON,
    RANGES,
    NotYet,
    Unsupported,
    go_together,
    representation,
    result_kind,
)
from minpy.runtime.jit.values import ArrayType, ArrayVariable, Known, Ref, Several, Val, Variable, scalar

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
_COMPARE: dict[type, tuple[str, str]] = {
    ast.Eq: ("eq", "oeq"),
    ast.NotEq: ("ne", "une"),
    ast.Lt: ("slt", "olt"),
    ast.LtE: ("sle", "ole"),
    ast.Gt: ("sgt", "ogt"),
    ast.GtE: ("sge", "oge"),
}
TYPES = {"i": "i64", "d": "double", "b": "i1"}
_EXACT = 2**53  # the integers up to here are doubles
_INFINITY = double(float("inf"))
BITS = {
    "float64": ("double", 8),
    "float32": ("float", 4),
    "bool": ("i8", 1),
    **{f"{sign}int{bits}": (f"i{bits}", bits // 8) for sign in ("", "u") for bits in (8, 16, 32, 64)},
}


class Expressions:
    """Expressions of a loop; `minpy.runtime.jit.statements` adds the statements."""

    def __init__(self) -> None:
        self.w = Writer()
        self.scalars: dict[str, Variable] = {}
        self.arrays: dict[str, ArrayVariable] = {}
        self.known: dict[str, Any] = {}
        self.externals: dict[str, int] = {}
        self.reasons: list[tuple[int, str]] = []
        self.exits: dict[tuple[int, str], str] = {}
        self.line = 0
        self.changed = False
        self.stored = False  # whether the code up to here may have stored into an array in this iteration
        self.clean = True  # whether nothing leaves the loop after such a store
        self.conditional = 0  # how many conditions decide whether the code here runs

    # Leaving the loop.

    def exit(self, reason: str) -> str:
        """The block that leaves the loop for `reason`."""
        self.clean = self.clean and not self.stored
        key = self.line, reason
        label = self.exits.get(key)
        if label is None:
            label = self.exits[key] = self.w.fresh("leave")
            self.reasons.append(key)
        return label

    def guard(self, condition: str, reason: str) -> None:
        """Go on only if `condition` holds."""
        if condition == "true":
            return
        on = self.w.fresh("on")
        self.w.branch(condition, on, self.exit(reason))
        self.w.place(on)

    def guard_range(self, x: str, least: int, greatest: int, reason: str) -> None:
        """Go on only if the integer `x` is in a range."""
        constant = _constant(x)
        if constant is not None and least <= constant <= greatest:
            return
        if least > -(2**63):
            self.guard(self.w.op(f"icmp sge i64 {x}, {least}"), reason)
        if greatest < 2**63 - 1:
            self.guard(self.w.op(f"icmp sle i64 {x}, {greatest}"), reason)

    # Names and constants.

    def expression(self, node: ast.expr) -> Any:
        """Code for an expression: a `Val`, `Ref`, `Known` or `Several`."""
        method = getattr(self, f"_{type(node).__name__.lower()}", None)
        if method is None:
            raise Unsupported(f"{type(node).__name__} is left to Python")
        return method(node)

    def scalar(self, node: ast.expr) -> Val:
        """Code for an expression that must be a scalar."""
        value = self.expression(node)
        if isinstance(value, Known):
            value = self.constant(value.value)
        if not isinstance(value, Val):
            raise Unsupported("a value that is no number")
        return value

    def integer(self, node: ast.expr) -> str:
        """Code for an expression that must be an integer (no truth value)."""
        return self.as_integer(self.scalar(node))

    def as_integer(self, value: Val) -> str:
        if value.rep != "i" or not value.kinds <= INTS:
            raise Unsupported("an index or count that is not always an integer")
        return value.x

    def constant(self, value: Any) -> Val:
        """A number of the program's text."""
        if type(value) is bool:
            return scalar("bool", "b", str(value).lower())
        if type(value) is int:
            if not -(2**63) <= value < 2**63:
                raise Unsupported(f"{value} has more than 64 bits")
            return scalar("int", "i", str(value))
        if type(value) is float:
            return scalar("float", "d", double(value))
        if type(value) is str and len(value) == 1:
            return scalar("str", "i", str(ord(value)))
        raise Unsupported(f"the constant {value!r:.40} is left to Python")

    def _constant(self, node: ast.Constant) -> Val:
        return self.constant(node.value)

    def _name(self, node: ast.Name) -> Any:
        name = node.id
        variable = self.scalars.get(name)
        if variable is not None:
            return self.load(variable)
        array = self.arrays.get(name)
        if array is not None:
            return self.load_array(array)
        if name in self.known:
            return Known(self.known[name])
        raise Unsupported(f"{name!r} is neither a number nor an array of numbers")

    def load(self, variable: Variable) -> Val:
        """The value of a variable; leaves the loop if it has none."""
        if not variable.rep:
            raise NotYet(f"{variable.name!r} has no value of a known type")
        kinds = frozenset(variable.kinds)
        tag = str(CODES[next(iter(kinds))]) if len(kinds) == 1 else ""
        if variable.may_be_unbound or not tag:
            loaded = self.w.op(f"load i8, ptr {variable.tag}")
            if variable.may_be_unbound:
                self.guard(self.w.op(f"icmp ne i8 {loaded}, -1"), f"{variable.name!r} may not be set")
            tag = tag or loaded
        return Val(kinds, variable.rep, self.w.op(f"load {TYPES[variable.rep]}, ptr {variable.value}"), tag)

    def load_array(self, array: ArrayVariable) -> Ref:
        """What an array variable holds at this point."""
        pointer = self.w.op(f"load ptr, ptr {array.pointer}")
        dims = tuple(self.w.op(f"load i64, ptr {dim}") for dim in array.dims)
        strides = tuple(self.w.op(f"load i64, ptr {stride}") for stride in array.strides)
        if array.type.unit:
            strides = (*strides[:-1], str(BITS[array.type.dtype][1]))
        return Ref(array.type, pointer, dims, strides, self.w.op(f"load i64, ptr {array.ident}"), array.name)

    def _tuple(self, node: ast.Tuple) -> Several:
        return Several(tuple(self.expression(item) for item in node.elts))

    def _attribute(self, node: ast.Attribute) -> Any:
        dotted = self.dotted(node)
        if dotted is not None and dotted in self.scalars:
            return self.load(self.scalars[dotted])
        if dotted is not None and dotted in self.arrays:
            return self.load_array(self.arrays[dotted])
        if dotted is not None and dotted in self.known:
            return Known(self.known[dotted])
        base = self.expression(node.value)
        if isinstance(base, Ref) and not base.type.sequence:
            if node.attr == "shape":
                return Several(tuple(scalar("int", "i", dim) for dim in base.dims))
            if node.attr == "ndim":
                return scalar("int", "i", str(base.type.ndim))
            if node.attr == "size":
                size = "1"
                for dim in base.dims:
                    size = self.w.op(f"mul i64 {size}, {dim}")
                return scalar("int", "i", size)
        raise Unsupported(f"the attribute .{node.attr} is left to Python")

    def dotted(self, node: ast.expr) -> str | None:
        """The name in the tables of a chain of attributes of a name, or None."""
        return _dotted(node)

    # Elements of arrays.

    def _subscript(self, node: ast.Subscript) -> Any:
        base = self.expression(node.value)
        if isinstance(base, Several):
            index = self.scalar(node.slice)
            constant = _constant(self.as_integer(index))
            if constant is None or not -len(base.items) <= constant < len(base.items):
                raise Unsupported("an index into a tuple that is not constant")
            return base.items[constant]
        if not isinstance(base, Ref):
            raise Unsupported("an index into something that is no array")
        ref = self.element(base, node.slice)
        return self.read(ref) if not ref.dims else ref

    def element(self, base: Ref, index: ast.expr) -> Ref:
        """The element, or the view, that integers in an index select."""
        nodes = index.elts if isinstance(index, ast.Tuple) else [index]
        if base.type.sequence and len(nodes) != 1:
            raise Unsupported("a tuple as index of a sequence")
        if len(nodes) > base.type.ndim:
            raise Unsupported("more indices than axes")
        return self.item(base, [self.integer(node) for node in nodes])

    def item(self, base: Ref, numbers: list[str], checked: bool = True) -> Ref:
        """As `element`, for numbers."""
        offset = ""
        for number, dim, stride in zip(numbers, base.dims, base.strides, strict=False):
            if checked:
                number = self.wrapped(number, dim)
            part = self.w.op(f"mul i64 {number}, {stride}")
            offset = self.w.op(f"add i64 {offset}, {part}") if offset else part
        pointer = self.w.op(f"getelementptr i8, ptr {base.pointer}, i64 {offset}")
        count = len(numbers)
        type_ = base.type._replace(ndim=base.type.ndim - count)
        return Ref(type_, pointer, base.dims[count:], base.strides[count:], "", base.name)

    def wrapped(self, number: str, dim: str) -> str:
        """An index counted from the front; leaves the loop if there is no such element."""
        constant = _constant(number)
        if constant is None:
            negative = self.w.op(f"icmp slt i64 {number}, 0")
            shifted = self.w.op(f"add i64 {number}, {dim}")
            number = self.w.op(f"select i1 {negative}, i64 {shifted}, i64 {number}")
        elif constant < 0:
            number = self.w.op(f"add i64 {number}, {dim}")
        self.guard(self.w.op(f"icmp ult i64 {number}, {dim}"), "an index is out of bounds")
        return number

    def read(self, ref: Ref) -> Val:
        """The element that a view without axes is."""
        dtype, kind = ref.type.dtype, ref.type.kind
        type_, _ = BITS[dtype]
        x = self.w.op(f"load {type_}, ptr {ref.pointer}")
        if dtype == "bool":
            return scalar(kind, "b", self.w.op(f"icmp ne i8 {x}, 0"))
        if dtype == "float32":
            return scalar(kind, "d", self.w.op(f"fpext float {x} to double"))
        if dtype == "float64":
            return scalar(kind, "d", x)
        if type_ != "i64":
            extend = "zext" if dtype.startswith("u") else "sext"
            x = self.w.op(f"{extend} {type_} {x} to i64")
        elif dtype == "uint64":
            self.guard(self.w.op(f"icmp sge i64 {x}, 0"), "an integer beyond 63 bits")
        return scalar(kind, "i", x)

    def write(self, ref: Ref, value: Val) -> None:
        """Store into the element that a view without axes is."""
        dtype = ref.type.dtype
        type_, _ = BITS[dtype]
        if "str" in value.kinds:
            raise Unsupported("a string is stored into an array")
        if dtype in ("float64", "float32"):
            x = self.as_double(value, exact=dtype == "float32").x
            if dtype == "float32":
                x = self.narrowed(x)
        elif dtype == "bool":
            x = self.w.op(f"zext i1 {self.truth(value)} to i8")
        else:
            x = self.as_i64(value).x
            self.guard_range(x, *RANGES[dtype], f"a value does not fit {dtype}")
            if type_ != "i64":
                x = self.w.op(f"trunc i64 {x} to {type_}")
        self.w.put(f"store {type_} {x}, ptr {ref.pointer}")
        self.note_store()

    def note_store(self) -> None:
        """An array was stored into."""
        self.stored = True

    def narrowed(self, x: str) -> str:
        """A double as a float; leaves the loop if it becomes infinite (NumPy warns)."""
        small = self.w.op(f"fptrunc double {x} to float")
        back = self.w.op(f"fpext float {small} to double")
        self.checked(back, x)
        return small

    # Conversions.

    def as_double(self, value: Val, exact: bool = False) -> Val:
        """The value as a double; with `exact`, integers that are none leave the loop."""
        if value.rep == "d":
            return value
        if value.rep == "b":
            return Val(value.kinds, "d", self.w.op(f"uitofp i1 {value.x} to double"), value.tag)
        constant = _constant(value.x)
        if constant is not None and abs(constant) <= _EXACT:
            return Val(value.kinds, "d", double(float(constant)), value.tag)
        if exact:
            self.guard_range(value.x, -_EXACT, _EXACT, "an integer beyond 2**53 meets a float")
        return Val(value.kinds, "d", self.w.op(f"sitofp i64 {value.x} to double"), value.tag)

    def as_i64(self, value: Val) -> Val:
        """The value as an integer, cut off as `int` does."""
        if value.rep == "i":
            return value
        if value.rep == "b":
            return Val(value.kinds, "i", self.w.op(f"zext i1 {value.x} to i64"), value.tag)
        size = self.w.op(f"call double @llvm.fabs.f64(double {value.x})")
        self.w.declarations.add("declare double @llvm.fabs.f64(double)")
        self.guard(
            self.w.op(f"fcmp olt double {size}, {double(2.0**62)}"), "a float too large for an integer"
        )
        return Val(value.kinds, "i", self.w.op(f"fptosi double {value.x} to i64"), value.tag)

    def truth(self, value: Any) -> str:
        """Whether a value is true."""
        if isinstance(value, Known):
            value = self.constant(value.value)
        if not isinstance(value, Val) or "str" in value.kinds:
            raise Unsupported("the truth of something that is no number")
        if value.rep == "b":
            return value.x
        if value.rep == "d":
            return self.w.op(f"fcmp une double {value.x}, {double(0.0)}")
        return self.w.op(f"icmp ne i64 {value.x}, 0")

    def intrinsic(self, name: str, *arguments: str) -> str:
        """An LLVM function on doubles that is exact."""
        types = ", ".join(["double"] * len(arguments))
        self.w.declarations.add(f"declare double @llvm.{name}.f64({types})")
        return self.w.op(f"call double @llvm.{name}.f64({', '.join(f'double {x}' for x in arguments)})")

    def outside(self, name: str, *arguments: str) -> str:
        """A function of the C library, on doubles."""
        self.externals[name] = len(arguments)
        return self.w.call("double", f"minpy_{name}", *(f"double {x}" for x in arguments))

    def checked(self, result: str, *operands: str) -> str:
        """Leave the loop where NumPy's scalars warn, infinite of finite operands, and for NaN (see `ordered`)."""
        size = self.intrinsic("fabs", result)
        fine, odd = self.w.fresh("fine"), self.w.fresh("odd")
        self.w.branch(self.w.op(f"fcmp olt double {size}, {_INFINITY}"), fine, odd)
        self.w.place(odd)
        allowed = "false"
        for operand in operands:
            endless = self.w.op(f"fcmp oeq double {self.intrinsic('fabs', operand)}, {_INFINITY}")
            allowed = self.w.op(f"or i1 {allowed}, {endless}")
        infinite = self.w.op(f"fcmp oeq double {size}, {_INFINITY}")
        allowed = self.w.op(f"and i1 {allowed}, {infinite}")
        self.w.branch(allowed, fine, self.exit("an overflow, an invalid value or NaN"))
        self.w.place(fine)
        return result

    def ordered(self, result: str) -> None:
        """Leave the loop for NaN: which of several NaNs comes out is not LLVM's concern."""
        self.guard(self.w.op(f"fcmp ord double {result}, {double(0.0)}"), "a result that is NaN")

    # Operators.

    def _binop(self, node: ast.BinOp) -> Val:
        return self.binary(
            SYMBOLS.get(type(node.op), "@"), self.expression(node.left), self.expression(node.right)
        )

    def binary(self, symbol: str, left: Any, right: Any) -> Val:
        """Code for an operator between scalars."""
        one, other = self._operand(left), self._operand(right)
        kinds = frozenset(result_kind(symbol, a, b) for a in one.kinds for b in other.kinds)
        tag = self._result_tag(symbol, kinds, one, other)
        if kinds <= BOOLS:
            if symbol not in ("&", "|", "^"):
                raise Unsupported(f"{symbol} of truth values")
            x = self.w.op(f"{ {'&': 'and', '|': 'or', '^': 'xor'}[symbol] } i1 {one.x}, {other.x}")
            return Val(kinds, "b", x, tag)
        if symbol == "**":
            return self._power(kinds, tag, one, other)
        if all(representation(kind) == "i" for kind in kinds) and "d" not in (one.rep, other.rep):
            return self._integers(symbol, kinds, tag, self.as_i64(one), self.as_i64(other))
        if symbol not in ("+", "-", "*", "/", "//", "%"):
            raise Unsupported(f"{symbol} of a value that may be a float")
        return self._doubles(symbol, kinds, tag, one, other)

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
            self.guard(self.w.op(f"icmp ne i64 {b}, 0"), "a division by zero")
            if _constant(b) in (None, -1):
                lowest = self.w.op(f"icmp ne i64 {a}, {-(2**63)}")
                self.guard(
                    self.w.op(f"or i1 {lowest}, {self.w.op(f'icmp ne i64 {b}, -1')}"), "an integer overflow"
                )
            x = self._floor_division(symbol, a, b)
        elif symbol in ("&", "|", "^"):
            x = self.w.op(f"{ {'&': 'and', '|': 'or', '^': 'xor'}[symbol] } i64 {a}, {b}")
        elif symbol in ("<<", ">>"):
            self.guard_range(b, 0, 62, "a shift by a negative or large count")
            x = self.w.op(f"{'shl' if symbol == '<<' else 'ashr'} i64 {a}, {b}")
            if symbol == "<<":
                back = self.w.op(f"ashr i64 {x}, {b}")
                self.guard(self.w.op(f"icmp eq i64 {back}, {a}"), "an integer needs more than 64 bits")
        else:
            raise Unsupported(f"the operator {symbol}")
        for kind in kinds - {"int", "int64"}:
            self.guard_range(x, *RANGES[kind], f"an overflow of {kind}")
        return Val(kinds, "i", x, tag)

    def exact(self, name: str, a: str, b: str) -> str:
        """A sum, difference or product that fits 64 bits."""
        self.w.declarations.add(f"declare {{i64, i1}} @llvm.{name}.with.overflow.i64(i64, i64)")
        pair = self.w.op(f"call {{i64, i1}} @llvm.{name}.with.overflow.i64(i64 {a}, i64 {b})")
        over = self.w.op(f"extractvalue {{i64, i1}} {pair}, 1")
        self.guard(self.w.op(f"xor i1 {over}, true"), "an integer needs more than 64 bits")
        return self.w.op(f"extractvalue {{i64, i1}} {pair}, 0")

    def _floor_division(self, symbol: str, a: str, b: str) -> str:
        rest = self.w.op(f"srem i64 {a}, {b}")
        signs = self.w.op(f"icmp slt i64 {self.w.op(f'xor i64 {rest}, {b}')}, 0")
        off = self.w.op(f"and i1 {signs}, {self.w.op(f'icmp ne i64 {rest}, 0')}")
        if symbol == "%":
            return self.w.op(f"select i1 {off}, i64 {self.w.op(f'add i64 {rest}, {b}')}, i64 {rest}")
        quotient = self.w.op(f"sdiv i64 {a}, {b}")
        return self.w.op(f"sub i64 {quotient}, {self.w.op(f'zext i1 {off} to i64')}")

    def _doubles(self, symbol: str, kinds: frozenset[str], tag: str, one: Val, other: Val) -> Val:
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
        if symbol in ("/", "//", "%"):
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
        if kinds <= PYTHON:
            self.ordered(x)
        else:
            self.checked(x, a, b)
        if stays:
            x = self._kept_integer(x, tag)
        return Val(kinds, "d", x, tag)

    def _kept_integer(self, x: str, tag: str) -> str:
        """A result that is an integer if its tag says so: small enough, and no negative zero."""
        is_float = self.w.op(f"icmp ne i8 {self.w.op(f'and i8 {tag}, 1')}, 0")
        small = self.w.op(f"fcmp ole double {self.intrinsic('fabs', x)}, {double(float(_EXACT))}")
        self.guard(self.w.op(f"or i1 {is_float}, {small}"), "an integer beyond 2**53")
        positive = self.w.op(f"fadd double {x}, {double(0.0)}")
        return self.w.op(f"select i1 {is_float}, double {x}, double {positive}")

    def _float_floor(self, symbol: str, a: str, b: str) -> str:
        # As CPython's float_divmod, which NumPy's is a copy of.
        for operand in (a, b):
            size = self.intrinsic("fabs", operand)
            self.guard(self.w.op(f"fcmp olt double {size}, {_INFINITY}"), "a remainder of infinity or NaN")
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

    def _power(self, kinds: frozenset[str], tag: str, one: Val, other: Val) -> Val:
        if kinds <= INTS and one.rep == other.rep == "i":
            exponent = _constant(other.x)
            if exponent is None or not 0 <= exponent <= 16:
                raise Unsupported("a power of integers whose exponent is not a small constant")
            x = "1"
            for _ in range(exponent):
                x = self.exact("smul", x, one.x) if x != "1" else one.x
            for kind in kinds - {"int", "int64"}:
                self.guard_range(x, *RANGES[kind], f"an overflow of {kind}")
            return Val(kinds, "i", x, tag)
        if not kinds <= {"float", "float64"} or not (one.kinds | other.kinds) <= MIXABLE:
            raise Unsupported("a power of a value that may be an integer or a float")
        a, b = self.as_double(one, exact=True).x, self.as_double(other, exact=True).x
        return Val(kinds, "d", self.power(a, b), tag)

    def power(self, a: str, b: str) -> str:
        """The C library's ``pow``, away from all special cases."""
        zero = double(0.0)
        for operand in (a, b):
            size = self.intrinsic("fabs", operand)
            self.guard(self.w.op(f"fcmp olt double {size}, {_INFINITY}"), "a power of infinity or NaN")
        whole = self.w.op(f"fcmp oeq double {b}, {self.intrinsic('floor', b)}")
        positive = self.w.op(f"fcmp ogt double {a}, {zero}")
        self.guard(self.w.op(f"or i1 {positive}, {whole}"), "a power of a negative number")
        rising = self.w.op(f"fcmp oge double {b}, {zero}")
        nonzero = self.w.op(f"fcmp une double {a}, {zero}")
        self.guard(self.w.op(f"or i1 {nonzero}, {rising}"), "a negative power of zero")
        x = self.outside("pow", a, b)
        self.guard(
            self.w.op(f"fcmp olt double {self.intrinsic('fabs', x)}, {_INFINITY}"), "a power that overflows"
        )
        return x

    def _unaryop(self, node: ast.UnaryOp) -> Val:
        if isinstance(node.op, ast.Not):
            x = self.w.op(f"xor i1 {self.truth(self.expression(node.operand))}, true")
            return scalar("bool", "b", x)
        if isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
            if type(node.operand.value) in (int, float):
                return self.constant(-node.operand.value)
        value = self._operand(self.expression(node.operand))
        if value.kind == "bool":
            value = Val(frozenset(("int",)), "i", self.as_i64(value).x, "0")
        if isinstance(node.op, ast.UAdd) and value.rep != "b":
            return value
        if value.rep == "i" and value.kinds <= {"int", "int64", "int32", "int16", "int8"}:
            if isinstance(node.op, ast.Invert):
                return Val(value.kinds, "i", self.w.op(f"xor i64 {value.x}, -1"), value.tag)
            x = self.exact("ssub", "0", value.x)
            for kind in value.kinds - {"int", "int64"}:
                self.guard_range(x, *RANGES[kind], f"an overflow of {kind}")
            return Val(value.kinds, "i", x, value.tag)
        if value.rep == "d" and isinstance(node.op, ast.USub):
            x = self.w.op(f"fneg double {value.x}")
            if value.kinds & INTS:
                x = self._kept_integer(x, value.tag)
            return Val(value.kinds, "d", x, value.tag)
        raise Unsupported(f"{type(node.op).__name__} of {'/'.join(sorted(value.kinds))}")

    # Comparisons and what jumps.

    def compare(self, op: ast.cmpop, left: Any, right: Any) -> Val:
        """Code for one comparison of scalars."""
        found = _COMPARE.get(type(op))
        if found is None:
            raise Unsupported(f"the comparison {type(op).__name__}")
        one, other = self._operand(left), self._operand(right)
        if ("str" in one.kinds) != ("str" in other.kinds):
            raise Unsupported("a comparison of a string with something else")
        if one.rep == "b" and other.rep == "b":
            one, other = self.as_i64(one), self.as_i64(other)
        for each, against in ((one, other), (other, one)):
            if "float32" in each.kinds and against.kinds & PYTHON:
                constant = _constant(against.x) if against.rep == "i" else None
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
            return self.compare(node.ops[0], self.expression(node.left), self.expression(node.comparators[0]))
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

    # Variables.

    def temporary(self, node: ast.AST) -> Variable:
        """A variable of the compiled code only, the same in each pass."""
        raise NotImplementedError

    def allocate(self, variable: Variable) -> None:
        """Give a variable its place, in the representation that holds all its kinds."""
        reps = {representation(kind) for kind in variable.kinds}
        variable.rep = "d" if "d" in reps else next(iter(reps))
        variable.value = self.w.alloca(TYPES[variable.rep], "v")
        variable.tag = self.w.alloca("i8", "tag")

    def assign(self, variable: Variable, value: Val) -> None:
        """Store into a variable; what it cannot hold yet, it can in the next pass."""
        variable.assigned = True
        if not value.kinds <= variable.own:
            self.changed = True
            variable.own |= value.kinds
            if not go_together(variable.own):
                kinds = ", ".join(sorted(variable.own))
                raise Unsupported(f"{variable.name!r} changes its type: {kinds}")
        if not value.kinds <= variable.kinds:
            self.changed = True
            if not go_together(variable.kinds | value.kinds):
                return  # with what it comes in with: the next pass leaves that out
            variable.kinds |= value.kinds
        if not variable.rep:
            self.allocate(variable)
        rep = variable.rep
        if rep == "d" and value.rep == "i":
            value = self.as_double(value, exact=True)
        if rep != value.rep:
            self.changed = True
            return
        self.w.put(f"store {TYPES[rep]} {value.x}, ptr {variable.value}")
        self.w.put(f"store i8 {value.tag}, ptr {variable.tag}")


def _constant(x: str) -> int | None:
    """The value of an integer operand that is a constant."""
    return int(x) if x.lstrip("-").isdigit() else None


def _dotted(node: ast.expr) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        base = _dotted(node.value)
        return None if base is None else f"{base}.{node.attr}"
    return None


def _links(node: ast.Compare) -> list[ast.expr]:
    """``a < b < c`` as ``a < b``, ``b < c``: evaluating ``b`` twice shows nowhere here."""
    operands = [node.left, *node.comparators]
    return [
        ast.copy_location(ast.Compare(operands[i], [op], [operands[i + 1]]), node)
        for i, op in enumerate(node.ops)
    ]


__all__ = ["BITS", "FLOATS", "SYMBOLS", "ArrayType", "Expressions"]
