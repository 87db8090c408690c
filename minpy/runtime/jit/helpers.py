"""Functions of the program that a compiled loop calls: their code becomes part of the loop's."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable
from functools import lru_cache
from types import CodeType, FunctionType
from typing import Any

from minpy.runtime.jit import source
from minpy.runtime.jit.kinds import NotYet, Unsupported
from minpy.runtime.jit.leaving import constant_of
from minpy.runtime.jit.statements import Statements
from minpy.runtime.jit.values import ArrayVariable, Known, Lazy, Ref, Several, Val, Variable, small

# What a name that is global in a called function has before it, in the tables of the loop.
GLOBAL = "::"
_DEEPEST = 6
_PLAIN_FLAGS = 0x1 | 0x2 | 0x40  # optimized, with locals of its own, without cells: no generator, no *args
_INNER = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.Lambda,
    ast.Global,
    ast.Nonlocal,
    ast.Import,
)
_INNER += (
    ast.ImportFrom,
    ast.ListComp,
    ast.SetComp,
    ast.DictComp,
    ast.GeneratorExp,
    ast.NamedExpr,
    ast.Try,
    ast.With,
)


class Helper:
    """A function that can be part of a loop: its tree, parameters and local names."""

    def __init__(self, node: ast.FunctionDef) -> None:
        self.node = node
        self.parameters = [argument.arg for argument in node.args.args]
        self.rest = node.args.vararg.arg if node.args.vararg else ""
        self.locals = {*self.parameters, self.rest} - {""}
        self.stored: set[str] = set()
        for part in node.body:
            for each in ast.walk(part):
                if isinstance(each, ast.Name) and not isinstance(each.ctx, ast.Load):
                    self.stored.add(each.id)
        self.locals |= self.stored
        inside = [each for part in node.body for each in ast.walk(part)]
        returns = [each for each in inside if isinstance(each, ast.Return)]
        self.only_return = returns[0] if len(returns) == 1 and returns[0] is node.body[-1] else None
        self.writes = any(_may_write(each) for each in inside)  # into arrays
        # Parameters of which single elements are read, and nothing else.
        self.taken_apart = frozenset() if self.writes else frozenset(self.parameters) - self.stored
        self.taken_apart -= _otherwise_read(node)
        self.returns = any(
            isinstance(each, ast.Return) and each.value is not None
            for part in node.body
            for each in ast.walk(part)
        )


def _otherwise_read(function: ast.FunctionDef) -> set[str]:
    """The names of which something else is read than elements that the text tells (``x, y = s``, ``s[0]``)."""
    inside = [each for part in function.body for each in ast.walk(part)]
    apart: set[int] = set()
    for each in inside:
        if isinstance(each, ast.Assign) and len(each.targets) == 1 and isinstance(each.targets[0], ast.Tuple):
            apart.add(id(each.value))
        elif isinstance(each, ast.Subscript) and type(getattr(each.slice, "value", None)) is int:
            apart.add(id(each.value))
    return {each.id for each in inside if isinstance(each, ast.Name) and id(each) not in apart}


def helper_of(value: Any, filename: str, digest: str, *, rest: bool = False) -> Helper | None:
    """What can be made part of a loop of a function; None if it must be called.

    With `rest`, it may take any number of arguments (``*values``), and have generator expressions.
    """
    if type(value) is not FunctionType or value.__code__.co_filename != filename:
        return None
    if (
        value.__closure__
        or value.__defaults__
        or value.__kwdefaults__
        or value.__code__.co_flags & (0x28 if rest else 0x2C)
    ):
        return None
    return _helper(value.__code__, filename, digest, rest)


@lru_cache(maxsize=256)
def _helper(code: CodeType, filename: str, digest: str, rest: bool) -> Helper | None:
    node = source.functions_of(filename, digest).get(code.co_firstlineno)
    if node is None or node.name != code.co_name or node.decorator_list:
        return None
    arguments = node.args
    if (
        (arguments.vararg and not rest)
        or arguments.kwarg
        or arguments.kwonlyargs
        or arguments.posonlyargs
        or arguments.defaults
    ):
        return None
    inner = tuple(each for each in _INNER if not rest or each is not ast.GeneratorExp)
    if any(isinstance(each, inner) for part in node.body for each in ast.walk(part)):
        return None
    return Helper(node)


def _may_write(node: ast.AST) -> bool:
    """Whether a part of a function may store into an array; what it calls by a plain name may be such a function."""
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        return name == "fill_diagonal" or (isinstance(node.func, ast.Name) and not hasattr(builtins, name))
    return isinstance(node, (ast.AugAssign, ast.Delete)) or (
        isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load)
    )


class _Call:
    """One call that is being made part of the loop."""

    def __init__(self, helper: Helper, place: tuple[Any, ...], end: str) -> None:
        self.helper, self.place, self.end = helper, place, end
        self.bound: dict[str, Any] = {}
        self.value: Lazy | None = None  # what it gives, if that is not computed yet
        self.gives: Any = None  # "value", a number of parts, or None while nothing was returned


class Helpers(Statements):
    """Calls of the program's own functions."""

    def __init__(self) -> None:
        super().__init__()
        self.helpers: dict[int, Helper] = {}  # by the identity of the function
        self.calls: list[_Call] = []
        self.places: dict[tuple[Any, ...], ArrayVariable] = {}  # of arrays in called functions

    def temporary(self, node: ast.AST) -> Variable:
        place = self.calls[-1].place if self.calls else ()
        key = (
            *place,
            type(node).__name__,
            node.lineno,
            node.col_offset,
            node.end_lineno,
            node.end_col_offset,
        )
        return self._variable(key, "a value")

    def _variable(self, key: tuple[Any, ...], name: str) -> Variable:
        variable = self.temporaries.get(key)
        if variable is None:
            variable = self.temporaries[key] = Variable(name)
        if variable.kinds and not variable.rep:
            self.allocate(variable)
        return variable

    def _local(self, name: str) -> Variable:
        variable = self._variable((*self.calls[-1].place, name), name)
        variable.may_be_unbound = True
        return variable

    def _name(self, node: ast.Name) -> Any:
        if not self.calls:
            return super()._name(node)
        call = self.calls[-1]
        if node.id in call.bound:
            return call.bound[node.id]
        if (later := self.pending.get(self.key_of(node.id))) is not None:
            return later.value
        if node.id in call.helper.locals:
            array = self.places.get((*call.place, node.id))
            if array is not None:
                return self.load_array(array)
            return self.load(self._local(node.id))
        return super()._name(ast.copy_location(ast.Name(GLOBAL + node.id, ast.Load()), node))

    def key_of(self, name: str) -> tuple[Any, ...]:
        return (*self.calls[-1].place, name) if self.calls else super().key_of(name)

    def binder(self, name: str) -> Callable[[Ref], None]:
        if not self.calls:
            return lambda ref: self._bind_array(name, ref)
        key = self.key_of(name)
        return lambda ref: self._put(key, name, ref, self._local)

    def variable(self, name: str) -> Variable | None:
        if not self.calls:
            return super().variable(name)
        return None if (*self.calls[-1].place, name) in self.places else self._local(name)

    def dotted(self, node: ast.expr) -> str | None:
        name = super().dotted(node)
        if name is None or not self.calls:
            return name
        return None if name.partition(".")[0] in self.calls[-1].helper.locals else GLOBAL + name

    def _bind_name(self, name: str, value: Any) -> None:
        if not self.calls:
            super()._bind_name(name, value)
            return
        self._put((*self.calls[-1].place, name), name, value, self._local)

    def _put(self, key: tuple[Any, ...], name: str, value: Any, scalar: Callable[[str], Variable]) -> None:
        """Let a place of a called function hold a number or an array."""
        self.pending.pop(key, None)
        if not isinstance(value, (Ref, Lazy)):
            if key in self.places:
                raise Unsupported(f"{name!r} changes between arrays and numbers")
            self.assign(scalar(name), self._operand(value))
            return
        ref = self.held(value)
        array = self.places.get(key)
        if array is None:
            if key in self.temporaries and self.temporaries[key].kinds:
                raise Unsupported(f"{name!r} changes between arrays and numbers")
            array = self.places[key] = ArrayVariable(name, ref.type.with_dims(ref.dims))
            self.allocate_array(array)
            self.changed = True
        self.store_array(array, ref)

    def computed_before(self, value: Any, *later: ast.expr) -> Any:
        if isinstance(value, Lazy):
            calls = (each for node in later for each in ast.walk(node) if isinstance(each, ast.Call))
            helpers = (self._helper_called(each) for each in calls)
            if any(helper is not None and helper.writes for helper in helpers):
                return self.pinned(self.held(value))
        return value

    def _helper_called(self, node: ast.Call) -> Helper | None:
        dotted = self.dotted(node.func)
        return self.helpers.get(id(self.known.get(dotted))) if dotted in self.known else None

    def _call(self, node: ast.Call) -> Any:
        helper = self._helper_called(node)
        if helper is None:
            return super()._call(node)
        if node.keywords or len(node.args) != len(helper.parameters) or len(self.calls) >= _DEEPEST:
            raise Unsupported(f"this call of {helper.node.name}")
        if any(isinstance(argument, ast.Starred) for argument in node.args):
            raise Unsupported(f"this call of {helper.node.name}")
        if any(call.helper is helper for call in self.calls):
            raise Unsupported(f"{helper.node.name} calls itself")
        arguments = [
            self._passed(self.expression(argument), helper, name)
            for argument, name in zip(node.args, helper.parameters, strict=True)
        ]
        self.listed = None
        outer = self.calls[-1].place if self.calls else ()
        place = (*outer, helper.node.name, node.lineno, node.col_offset, node.end_lineno, node.end_col_offset)
        return self._inline(_Call(helper, place, self.w.fresh("returned")), arguments)

    def _passed(self, value: Any, helper: Helper, name: str) -> Any:
        """An argument: a short vector of which only elements are read is not made, and these are computed now."""
        if not isinstance(value, Lazy) or len(value.dims) != 1 or name not in helper.taken_apart:
            return self.kept(value)
        count = small(constant_of(value.dims[0]) or 0, 1)
        if not count or value.kind not in ("float64", "int64") or value.mixed or value.breaks:
            return self.kept(value)
        items = self.gathering(lambda: value.items or [self.at(value, [str(k)]) for k in range(count)])
        return self.of_numbers(value.kind, list(items))

    def _inline(self, call: _Call, arguments: list[Any]) -> Any:
        line, loops = self.line, self.loops
        self.calls.append(call)
        self.loops = []
        try:
            for name in sorted(call.helper.stored - set(call.helper.parameters)):
                array = self.places.get((*call.place, name))
                if array is not None:
                    self.w.put(f"store ptr null, ptr {array.pointer}")
                    continue
                variable = self._local(name)
                if variable.rep:
                    self.w.put(f"store i8 -1, ptr {variable.tag}")
            for name, value in zip(call.helper.parameters, arguments, strict=True):
                if name in call.helper.stored:
                    self._bind_name(name, value)
                elif isinstance(value, (Val, Ref, Lazy, Known, Several)):
                    call.bound[name] = value
            self.block(call.helper.node.body, call.helper.node)
            for key in [key for key in self.pending if key[:-1] == call.place]:
                del self.pending[key]
            if not self.w.ended:
                if call.helper.returns:
                    self.w.jump(self.exit(f"{call.helper.node.name} may return nothing"))
                else:
                    self.w.jump(call.end)
        finally:
            self.calls.pop()
            self.line, self.loops = line, loops
        self.w.place(call.end)
        return self._result(call)

    def _result(self, call: _Call) -> Any:
        if not call.helper.returns:
            return Known(None)
        if call.value is not None:
            return call.value
        if call.gives is None:
            raise NotYet(f"{call.helper.node.name} gives nothing that is known")
        if isinstance(call.gives, int):
            return Several(tuple(self._given(call, i) for i in range(call.gives)))
        return self._given(call, "all")

    def _given(self, call: _Call, part: int | str) -> Any:
        key = (*call.place, "return", part)
        if key in self.places:
            return self.load_array(self.places[key])
        return self.load(self._variable(key, "a result"))

    def _return(self, node: ast.Return) -> None:
        if not self.calls:
            raise Unsupported("a return")
        call = self.calls[-1]
        if not call.helper.returns:
            self.w.jump(call.end)
            return
        if node.value is None:
            raise Unsupported(f"{call.helper.node.name} may return nothing")
        value = self.expression(node.value)
        if isinstance(value, Lazy) and node is call.helper.only_return:
            # What the call is part of computes its elements.
            for ref in value.refs:
                self.pinned(ref)
            call.value = value
            self.w.jump(call.end)
            return
        value = self.kept(value)
        parts = value.items if isinstance(value, Several) else (value,)
        gives = len(parts) if isinstance(value, Several) else "value"
        if call.gives not in (None, gives):
            raise Unsupported(f"{call.helper.node.name} returns different things")
        call.gives = gives
        for i, part in enumerate(parts):
            key = (*call.place, "return", i if isinstance(value, Several) else "all")
            self._put(key, "a result", part, lambda name, key=key: self._variable(key, name))
        self.w.jump(call.end)
