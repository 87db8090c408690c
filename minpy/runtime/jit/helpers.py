"""Functions of the program that a compiled loop calls: their code becomes part of the loop's."""

from __future__ import annotations

import ast
from functools import lru_cache
from types import CodeType, FunctionType
from typing import Any

from minpy.runtime.jit import source
from minpy.runtime.jit.kinds import Unsupported
from minpy.runtime.jit.statements import Statements
from minpy.runtime.jit.values import Known, Ref, Several, Val, Variable

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
        self.locals = set(self.parameters)
        self.stored: set[str] = set()
        for part in node.body:
            for each in ast.walk(part):
                if isinstance(each, ast.Name) and not isinstance(each.ctx, ast.Load):
                    self.stored.add(each.id)
        self.locals |= self.stored


def helper_of(value: Any, filename: str, digest: str) -> Helper | None:
    """What can be made part of a loop of a function; None if it must be called."""
    if type(value) is not FunctionType or value.__code__.co_filename != filename:
        return None
    if value.__closure__ or value.__defaults__ or value.__kwdefaults__ or value.__code__.co_flags & 0x2C:
        return None
    return _helper(value.__code__, filename, digest)


@lru_cache(maxsize=256)
def _helper(code: CodeType, filename: str, digest: str) -> Helper | None:
    node = source.functions_of(filename, digest).get(code.co_firstlineno)
    if node is None or node.name != code.co_name or node.decorator_list:
        return None
    arguments = node.args
    if (
        arguments.vararg
        or arguments.kwarg
        or arguments.kwonlyargs
        or arguments.posonlyargs
        or arguments.defaults
    ):
        return None
    if any(isinstance(each, _INNER) for part in node.body for each in ast.walk(part)):
        return None
    return Helper(node)


class _Call:
    """One call that is being made part of the loop."""

    def __init__(self, helper: Helper, place: tuple[Any, ...], result: Variable, end: str) -> None:
        self.helper, self.place, self.result, self.end = helper, place, result, end
        self.bound: dict[str, Any] = {}


class Helpers(Statements):
    """Calls of the program's own functions."""

    def __init__(self) -> None:
        super().__init__()
        self.helpers: dict[int, Helper] = {}  # by the identity of the function
        self.calls: list[_Call] = []

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
        if node.id in call.helper.locals:
            return self.load(self._local(node.id))
        return super()._name(ast.copy_location(ast.Name(GLOBAL + node.id, ast.Load()), node))

    def dotted(self, node: ast.expr) -> str | None:
        name = super().dotted(node)
        if name is None or not self.calls:
            return name
        return None if name.partition(".")[0] in self.calls[-1].helper.locals else GLOBAL + name

    def _bind_name(self, name: str, value: Any) -> None:
        if not self.calls:
            super()._bind_name(name, value)
            return
        if not isinstance(value, (Val, Known)):
            raise Unsupported(f"{name!r} of a called function is assigned an array")
        self.assign(self._local(name), self._operand(value))

    def _call(self, node: ast.Call) -> Any:
        function = self.expression(node.func)
        helper = self.helpers.get(id(function.value)) if isinstance(function, Known) else None
        if helper is None:
            return super()._call(node)
        if node.keywords or len(node.args) != len(helper.parameters) or len(self.calls) >= _DEEPEST:
            raise Unsupported(f"this call of {helper.node.name}")
        if any(isinstance(argument, ast.Starred) for argument in node.args):
            raise Unsupported(f"this call of {helper.node.name}")
        if any(call.helper is helper for call in self.calls):
            raise Unsupported(f"{helper.node.name} calls itself")
        arguments = [self.expression(argument) for argument in node.args]
        result = self.temporary(node)
        outer = self.calls[-1].place if self.calls else ()
        place = (*outer, helper.node.name, node.lineno, node.col_offset, node.end_lineno, node.end_col_offset)
        return self._inline(_Call(helper, place, result, self.w.fresh("returned")), arguments)

    def _inline(self, call: _Call, arguments: list[Any]) -> Any:
        line, loops = self.line, self.loops
        self.calls.append(call)
        self.loops = []
        try:
            for name in sorted(call.helper.stored - set(call.helper.parameters)):
                variable = self._local(name)
                if variable.rep:
                    self.w.put(f"store i8 -1, ptr {variable.tag}")
            for name, value in zip(call.helper.parameters, arguments, strict=True):
                if name in call.helper.stored:
                    self._bind_name(name, value)
                elif isinstance(value, (Val, Ref, Known, Several)):
                    call.bound[name] = value
            self.block(call.helper.node.body)
            if not self.w.ended:
                self.w.jump(self.exit(f"{call.helper.node.name} may return nothing"))
        finally:
            self.calls.pop()
            self.line, self.loops = line, loops
        self.w.place(call.end)
        return self.load(call.result)

    def _return(self, node: ast.Return) -> None:
        if not self.calls or node.value is None:
            raise Unsupported("a return")
        call = self.calls[-1]
        value = self.expression(node.value)
        self.assign(call.result, self._operand(value))
        self.w.jump(call.end)
