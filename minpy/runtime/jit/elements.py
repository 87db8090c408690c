"""Whether a loop works on numbers and single elements alone, as can be told from its text and what its names stand for.

Such a loop surely gains tens of times, whatever is in its arrays, so little is risked by compiling it early. What is
not understood here is no such loop; whether it can be compiled is found out later, and more exactly.
"""

from __future__ import annotations

import ast
import builtins
import math
from collections import deque
from types import FrameType, ModuleType
from typing import Any

import numpy as np

_STATEMENTS = (
    *(ast.Assign, ast.AugAssign, ast.AnnAssign, ast.If, ast.For, ast.While),
    *(ast.Break, ast.Continue, ast.Pass, ast.Expr, ast.Raise),
)
_OF_NUMBERS = (
    *(ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.Tuple),
    *(ast.GeneratorExp, ast.comprehension),
)
_FUNCTIONS = (
    *(abs, bool, enumerate, float, int, len, max, min, ord, pow, range, round, zip),
    *(each for name, each in vars(math).items() if callable(each) and name[0] != "_"),
    *(np.absolute, np.ceil, np.float64, np.floor, np.int64, np.maximum, np.minimum, np.sqrt, np.trunc),
)
_SEQUENCES = (list, tuple, bytes, bytearray, str, range)
_NUMBERS = (int, float, complex, np.number, np.bool_)
_SIZES = frozenset({"shape", "size", "ndim"})
_TAKEN_FROM = (list, deque)
_METHODS = frozenset({"append", "pop", "popleft"})  # of these
_UNKNOWN = object()  # what the loop itself binds, perhaps


class _Other(Exception):
    """Something else is in the loop."""


def only(loop: ast.For | ast.While, frame: FrameType) -> bool:
    """Whether a loop of a frame works on elements alone."""
    try:
        _Look(frame.f_locals, frame.f_globals).statement(loop)
    except _Other:
        return False
    return True


def _is_one_of(function: Any, known: tuple[Any, ...]) -> bool:
    """Whether it is one of them; what the program has may have no hash, and an `==` of its own."""
    return any(function is each for each in known)


class _Look:
    def __init__(self, locals: Any, globals: dict[str, Any]) -> None:
        self._locals, self._globals = locals, globals

    def statement(self, node: ast.AST) -> None:
        if not isinstance(node, _STATEMENTS):
            raise _Other
        if isinstance(node, ast.Raise):
            return  # Python's, if it comes to that
        if isinstance(node, ast.For):
            self._iterable(node.iter)
        elif isinstance(node, (ast.If, ast.While)):
            if not self._is_taken_from(node.test):
                self.number(node.test)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                self._target(target)
            self.number(node.value)
        elif isinstance(node, (ast.AugAssign, ast.AnnAssign)):
            self._target(node.target)
            if node.value is not None:
                self.number(node.value)
        elif isinstance(node, ast.Expr):
            self.number(node.value)
        for part in (*getattr(node, "body", ()), *getattr(node, "orelse", ())):
            self.statement(part)

    def _target(self, node: ast.expr) -> None:
        if isinstance(node, (ast.Tuple, ast.List)):
            for each in node.elts:
                self._target(each)
        elif isinstance(node, ast.Subscript):
            self._element(node)
        elif not isinstance(node, ast.Name):
            raise _Other

    def _iterable(self, node: ast.expr) -> None:
        value = self._value(node)
        if isinstance(value, np.ndarray) and value.ndim != 1:
            raise _Other
        if not isinstance(value, (*_SEQUENCES, np.ndarray)):
            if not isinstance(node, ast.Call):
                raise _Other
            self.number(node)

    def number(self, node: ast.AST) -> None:
        """An expression that is a number, or a tuple of such."""
        if isinstance(node, ast.Subscript):
            self._element(node)
        elif isinstance(node, (ast.Name, ast.Attribute)):
            value = self._value(node)
            if value is not _UNKNOWN and not isinstance(value, _NUMBERS):
                raise _Other
        elif isinstance(node, ast.Call):
            self._call(node)
        elif isinstance(node, ast.Constant):
            if not isinstance(node.value, (int, float, complex)):
                raise _Other
        elif isinstance(node, _OF_NUMBERS):
            for part in ast.iter_child_nodes(node):
                if isinstance(node, ast.comprehension) and part is node.iter:
                    self._iterable(part)
                elif isinstance(part, (ast.expr, ast.comprehension)):
                    self.number(part)
        else:
            raise _Other

    def _element(self, node: ast.Subscript) -> None:
        """One element of an array or of a sequence, with as many indices as it takes."""
        indices: list[ast.expr] = []
        base: ast.expr = node
        while isinstance(base, ast.Subscript):
            here = base.slice
            indices = [*(here.elts if isinstance(here, ast.Tuple) else [here]), *indices]
            base = base.value
        value = self._value(base)
        if isinstance(value, np.ndarray):
            if len(indices) != value.ndim or value.dtype.kind not in "biufc":
                raise _Other
        elif not isinstance(value, _SEQUENCES) and value is not _UNKNOWN:
            raise _Other
        for index in indices:
            self.number(index)

    def _is_taken_from(self, node: ast.AST) -> bool:
        """Whether a name stands for a list or deque of numbers, or of tuples of them."""
        value = self._value(node) if isinstance(node, (ast.Name, ast.Attribute)) else None
        if type(value) not in _TAKEN_FROM:
            return False
        first = value[0] if value else ()
        return all(isinstance(each, _NUMBERS) for each in (first if type(first) is tuple else (first,)))

    def _call(self, node: ast.Call) -> None:
        if node.keywords or any(isinstance(each, ast.Starred) for each in node.args):
            raise _Other
        function = node.func
        if isinstance(function, ast.Attribute) and function.attr in _METHODS:
            if not self._is_taken_from(function.value):
                raise _Other
            for each in node.args:
                self.number(each)
            return
        function = self._value(node.func)
        if _is_one_of(function, (len, range, enumerate, zip)):
            for each in node.args:
                if not isinstance(self._value(each), (*_SEQUENCES, np.ndarray)):
                    self.number(each)
            return
        over = node.args and isinstance(node.args[0], ast.GeneratorExp)
        if not _is_one_of(function, (*_FUNCTIONS, sum, any, all) if over else _FUNCTIONS):
            raise _Other
        for each in node.args:
            self.number(each)

    def _value(self, node: ast.AST) -> Any:
        """What a name stands for, or an attribute of a module or a plain object; `_UNKNOWN` if nobody knows yet."""
        if isinstance(node, ast.Name):
            for names in (self._locals, self._globals, vars(builtins)):
                if node.id in names:
                    return names[node.id]
            return _UNKNOWN
        if isinstance(node, ast.Attribute):
            owner = self._value(node.value)
            if isinstance(owner, np.ndarray) and node.attr in _SIZES:
                return getattr(owner, node.attr)
            names = getattr(owner, "__dict__", {})
            if node.attr in names and (isinstance(owner, ModuleType) or not hasattr(type(owner), node.attr)):
                return names[node.attr]
        if isinstance(node, (ast.Name, ast.Attribute)):
            raise _Other
        return None


__all__ = ["only"]
