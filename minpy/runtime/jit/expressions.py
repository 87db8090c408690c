"""LLVM code for expressions, such that it computes what Python and NumPy compute or leaves the loop.

Whatever raises, warns or needs more than 64 bits in Python is not computed here: the code leaves the loop
(`guard`), and Python runs that iteration as written.
"""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import Any

import numpy as np

from minpy.runtime.jit.ir import double
from minpy.runtime.jit.kinds import (
    CODES,
    INTS,
    RANGES,
    NotYet,
    Unsupported,
    go_together,
    representation,
)
from minpy.runtime.jit.leaving import Leaving, constant_of
from minpy.runtime.jit.names import dotted
from minpy.runtime.jit.values import ArrayVariable, Known, Lazy, Ref, Several, Val, Variable, scalar

PAIR = "<2 x double>"
TYPES = {"i": "i64", "d": "double", "b": "i1", "c": PAIR}
EXACT = 2**53  # the integers up to here are doubles
BITS = {
    "float64": ("double", 8),
    "float32": ("float", 4),
    "bool": ("i8", 1),
    "complex128": (PAIR, 16),
    **{f"{sign}int{bits}": (f"i{bits}", bits // 8) for sign in ("", "u") for bits in (8, 16, 32, 64)},
}


class Expressions(Leaving):
    """Expressions of a loop; `minpy.runtime.jit.statements` adds the statements."""

    def __init__(self) -> None:
        super().__init__()
        self.scalars: dict[str, Variable] = {}
        self.arrays: dict[str, ArrayVariable] = {}
        self.known: dict[str, Any] = {}
        self.externals: dict[str, int] = {}
        self.extents: dict[str, int] = {}  # of axes: how long they are now, by the name that their length has
        self.shapes: dict[str, tuple[int, ...]] = {}
        # Of what the loop gave to variables, by the places of their pointers.
        self.shapes_made: dict[str, tuple[int, ...]] = {}
        self.elements: dict[
            str, int
        ] = {}  # of loops over several axes as one, how many now, by its last extent
        self.rows: list[int] = []  # the extents of the innermost loops over elements, where they are known
        self.pending: dict[
            Any, Any
        ] = {}  # what variables stand for that is not computed yet (see `deferred`)
        self.changed = False
        self.conditional = 0  # how many conditions decide whether the code here runs

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
                raise Unsupported("a number with more than 64 bits")
            return scalar("int", "i", str(value))
        if type(value) is float:
            return scalar("float", "d", double(value))
        if type(value) is complex:
            parts = ", ".join(f"double {double(x)}" for x in (value.real, value.imag))
            return scalar(
                "complex", "c", self.w.op(f"select i1 true, {PAIR} <{parts}>, {PAIR} zeroinitializer")
            )
        if type(value) is str and len(value) == 1:
            return scalar("str", "i", str(ord(value)))
        raise Unsupported(f"the constant {value!r:.40} is left to Python")

    def _constant(self, node: ast.Constant) -> Any:
        if node.value is None:
            return Known(None)
        return self.constant(node.value)

    def _name(self, node: ast.Name) -> Any:
        name = node.id
        variable, array = self.scalars.get(name), self.arrays.get(name)
        if variable is not None and (array is None or variable.rep):
            return self.load(variable)
        if array is not None:  # which may have been found in this pass
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
        """What an array variable holds at this point; leaves the loop if it holds nothing."""
        pointer = self.w.op(f"load ptr, ptr {array.pointer}")
        if not array.comes_in:
            self.guard(self.w.op(f"icmp ne ptr {pointer}, null"), f"{array.name!r} may not be set")
        dims = tuple(
            "1" if axis in array.type.ones else self.w.op(f"load i64, ptr {dim}")
            for axis, dim in enumerate(array.dims)
        )
        if array.type.last:
            dims = (*dims[:-1], str(array.type.last))
        shape = self.shapes_made.get(array.pointer) or self.shapes.get(array.name, ())
        self.extents.update(zip(dims, shape, strict=False))
        # Arrays are aligned. LLVM would try whether a stride of which it knows nothing is one byte.
        whole = -min(BITS[array.type.dtype][1], 8)
        strides = tuple(
            self.w.op(f"and i64 {self.w.op(f'load i64, ptr {stride}')}, {whole}") for stride in array.strides
        )
        if array.type.unit:
            strides = (*strides[:-1], str(BITS[array.type.dtype][1]))
        ident, owner = (self.w.op(f"load i64, ptr {place}") for place in (array.ident, array.owner))
        return Ref(array.type, pointer, dims, strides, ident, owner, array.roots, array.fresh)

    def _tuple(self, node: ast.Tuple) -> Several:
        return Several(tuple(self.pinned(self.kept(self.expression(item))) for item in node.elts))

    def _list(self, node: ast.List) -> Several:
        # As long as no variable holds it nothing tells it from a tuple.
        return Several(tuple(self.pinned(self.kept(self.expression(item))) for item in node.elts))

    def pinned(self, value: Any) -> Any:
        """A value that stays when the variable that it came from gets another one."""
        raise NotImplementedError

    def kept(self, value: Any) -> Any:
        """A value that later stores do not change."""
        raise NotImplementedError

    def computed_before(self, value: Any, *later: ast.expr) -> Any:
        """A value that what is called in expressions evaluated later does not change."""
        raise NotImplementedError

    def _attribute(self, node: ast.Attribute) -> Any:
        dotted = self.dotted(node)
        if dotted is not None and dotted in self.scalars:
            return self.load(self.scalars[dotted])
        if dotted is not None and dotted in self.arrays:
            return self.load_array(self.arrays[dotted])
        if dotted is not None and dotted in self.known:
            return Known(self.known[dotted])
        base = self.expression(node.value)
        if isinstance(base, Val) and base.rep == "c" and node.attr in ("real", "imag"):
            return self.complex_attribute(base, node.attr)
        if isinstance(base, (Ref, Lazy)) and node.attr in ("real", "imag"):
            return self.part_of(base, node.attr)
        if isinstance(base, Lazy) or (isinstance(base, Ref) and not base.type.sequence):
            base = self.kept(base)
            if node.attr == "shape":
                return Several(tuple(scalar("int", "i", dim) for dim in base.dims))
            if node.attr == "ndim":
                return scalar("int", "i", str(len(base.dims)))
            if node.attr == "dtype":
                kind = base.kind if isinstance(base, Lazy) else base.type.kind
                return Known(np.dtype("bool" if kind == "bool_" else kind))
            if node.attr == "T":
                return self.transposed(base)
            if node.attr == "size":
                size = "1"
                for dim in base.dims:
                    size = self.w.op(f"mul i64 {size}, {dim}")
                return scalar("int", "i", size)
        raise Unsupported(f"the attribute .{node.attr} is left to Python")

    def complex_attribute(self, value: Val, name: str) -> Any:
        """``z.real`` and ``z.imag``."""
        raise NotImplementedError

    def part_of(self, value: Any, name: str) -> Ref:
        """``a.real`` and ``a.imag``."""
        raise NotImplementedError

    def transposed(self, value: Any) -> Ref:
        """``a.T``."""
        raise NotImplementedError

    def dotted(self, node: ast.expr) -> str | None:
        """The name in the tables of a chain of attributes of a name, or None."""
        return dotted(node)

    # Elements of arrays.

    def _subscript(self, node: ast.Subscript) -> Any:
        base = self.expression(node.value)
        if isinstance(base, Lazy) and base.items and type(getattr(node.slice, "value", None)) is int:
            base = Several(base.items)
        if isinstance(base, Several):
            index = self.scalar(node.slice)
            constant = constant_of(self.as_integer(index))
            if constant is None or not -len(base.items) <= constant < len(base.items):
                raise Unsupported("an index into a tuple that is not constant")
            return base.items[constant]
        if not isinstance(base, (Ref, Lazy)):
            raise Unsupported("an index into something that is no array")
        ref = self.element(base, node.slice)
        return ref if ref.dims else self.read(ref)

    def element(self, base: Any, index: ast.expr) -> Ref:
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
        return replace(
            base, type=type_, pointer=pointer, dims=base.dims[count:], strides=base.strides[count:], ident=""
        )

    def wrapped(self, number: str, dim: str) -> str:
        """An index counted from the front; leaves the loop if there is no such element."""
        if not self.retry:
            self.at_once()
        constant = constant_of(number)
        if constant is None and not self.flag:
            return self._counted(number, dim)
        if constant is None:
            negative = self.w.op(f"icmp slt i64 {number}, 0")
            shifted = self.w.op(f"add i64 {number}, {dim}")
            number = self.w.op(f"select i1 {negative}, i64 {shifted}, i64 {number}")
        elif constant < 0:
            number = self.w.op(f"add i64 {number}, {dim}")
        inside = self.w.op(f"icmp ult i64 {number}, {dim}")
        return self.guarded(inside, number, "0", "an index is out of bounds")

    def _counted(self, number: str, dim: str) -> str:
        """As `wrapped`: one comparison, and out of the way what stands for negative numbers."""
        place = self.w.alloca("i64", "index")
        self.w.put(f"store i64 {number}, ptr {place}")
        odd, on = self.w.fresh("odd"), self.w.fresh("on")
        self.w.branch(self.w.op(f"icmp ult i64 {number}, {dim}"), on, odd, expected=True)
        self.w.place(odd)
        shifted = self.w.op(f"add i64 {number}, {dim}")
        self.guard(self.w.op(f"icmp ult i64 {shifted}, {dim}"), "an index is out of bounds")
        self.w.put(f"store i64 {shifted}, ptr {place}")
        self.w.place(on)
        return self.w.op(f"load i64, ptr {place}")

    def read(self, ref: Ref) -> Val:
        """The element that a view without axes is."""
        dtype, kind = ref.type.dtype, ref.type.kind
        type_, _ = BITS[dtype]
        if dtype == "complex128" and self.floats is not None:
            return self._read_by_parts(ref)
        if dtype == "complex128":
            x = self.w.op(f"load {type_}, ptr {ref.pointer}, align 8{ref.access or self.w.access}")
            return scalar(kind, "c", x)
        x = self.w.op(f"load {type_}, ptr {ref.pointer}{ref.access or self.w.access}")
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
        type_, size = BITS[dtype]
        if "str" in value.kinds:
            raise Unsupported("a string is stored into an array")
        if dtype == "complex128":
            x = self.as_complex(value).x
            self.keep_element(ref, type_, size)
            if self.floats is not None:
                self._write_by_parts(ref, x)
            else:
                self.w.put(f"store {type_} {x}, ptr {ref.pointer}, align 8{ref.access or self.w.access}")
            self.note_store()
            return
        if value.rep == "c":
            raise Unsupported("a complex number is stored into an array of others")
        if dtype in ("float64", "float32"):
            x = self.as_double(value, exact=dtype == "float32").x
            if dtype == "float32" and value.kind == "float32":
                self.ordered(x)  # it is a float as it is
                x = self.w.op(f"fptrunc double {x} to float")
            elif dtype == "float32":
                x = self.narrowed(x)
        elif dtype == "bool":
            x = self.w.op(f"zext i1 {self.truth(value)} to i8")
        else:
            x = self.as_i64(value).x
            self.guard_range(x, *RANGES[dtype], f"a value does not fit {dtype}")
            if type_ != "i64":
                x = self.w.op(f"trunc i64 {x} to {type_}")
        self.keep_element(ref, type_, size)
        self.w.put(f"store {type_} {x}, ptr {ref.pointer}{ref.access or self.w.access}")
        self.note_store()

    # In loops over elements: of pairs the compiler takes one at a time.

    def _read_by_parts(self, ref: Ref) -> Val:
        x = "undef"
        for number, place in enumerate(self._parts_in_memory(ref)):
            part = self.w.op(f"load double, ptr {place}, align 8{ref.access or self.w.access}")
            x = self.w.op(f"insertelement {PAIR} {x}, double {part}, i32 {number}")
        return scalar(ref.type.kind, "c", x)

    def _write_by_parts(self, ref: Ref, x: str) -> None:
        for number, place in enumerate(self._parts_in_memory(ref)):
            part = self.w.op(f"extractelement {PAIR} {x}, i32 {number}")
            self.w.put(f"store double {part}, ptr {place}, align 8{ref.access or self.w.access}")

    def _parts_in_memory(self, ref: Ref) -> tuple[str, str]:
        return ref.pointer, self.w.op(f"getelementptr i8, ptr {ref.pointer}, i64 8")

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
        if value.rep == "c":
            raise Unsupported("a complex number as another one")
        if value.rep == "b":
            return Val(value.kinds, "d", self.w.op(f"uitofp i1 {value.x} to double"), value.tag)
        constant = constant_of(value.x)
        if constant is not None and abs(constant) <= EXACT:
            return Val(value.kinds, "d", double(float(constant)), value.tag)
        if exact:
            self.guard_range(value.x, -EXACT, EXACT, "an integer beyond 2**53 meets a float")
        return Val(value.kinds, "d", self.w.op(f"sitofp i64 {value.x} to double"), value.tag)

    def as_complex(self, value: Val) -> Val:
        """The value as a complex number."""
        if value.rep == "c":
            return value
        real = self.as_double(value).x
        half = self.w.op(f"insertelement {PAIR} zeroinitializer, double {real}, i32 0")
        return scalar("complex128", "c", half)

    def as_i64(self, value: Val) -> Val:
        """The value as an integer, cut off as `int` does."""
        if value.rep == "i":
            return value
        if value.rep == "c":
            raise Unsupported("a complex number as another one")
        if value.rep == "b":
            return Val(value.kinds, "i", self.w.op(f"zext i1 {value.x} to i64"), value.tag)
        size = self.w.op(f"call double @llvm.fabs.f64(double {value.x})")
        self.w.declarations.add("declare double @llvm.fabs.f64(double)")
        self.guard(
            self.w.op(f"fcmp olt double {size}, {double(2.0**62)}"), "a float too large for an integer"
        )
        x = self.w.op(f"fptosi double {value.x} to i64")
        if self.postponed:
            x = self.w.op(
                f"freeze i64 {x}"
            )  # of a float too large LLVM may make anything, which must stay the same
        return Val(value.kinds, "i", x, value.tag)

    def truth(self, value: Any) -> str:
        """Whether a value is true."""
        if isinstance(value, Known):
            value = self.constant(value.value)
        if not isinstance(value, Val) or "str" in value.kinds:
            raise Unsupported("the truth of something that is no number")
        if value.rep == "b":
            return value.x
        if value.rep == "c":
            parts = self.w.op(f"fcmp une {PAIR} {value.x}, zeroinitializer")
            either = [self.w.op(f"extractelement <2 x i1> {parts}, i32 {i}") for i in (0, 1)]
            return self.w.op(f"or i1 {either[0]}, {either[1]}")
        if value.rep == "d":
            return self.w.op(f"fcmp une double {value.x}, {double(0.0)}")
        return self.w.op(f"icmp ne i64 {value.x}, 0")

    def outside(self, name: str, *arguments: str) -> str:
        """A function of the C library, on doubles."""
        self.externals[name] = len(arguments)
        return self.w.call("double", f"minpy_{name}", *(f"double {x}" for x in arguments))

    # Variables.

    def temporary(self, node: ast.AST) -> Variable:
        """A variable of the compiled code only, the same in each pass."""
        raise NotImplementedError

    def allocate(self, variable: Variable) -> None:
        """Give a variable its place, in the representation that holds all its kinds."""
        reps = {representation(kind) for kind in variable.kinds}
        variable.rep = next(each for each in ("c", "d", *reps) if each in reps)
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
