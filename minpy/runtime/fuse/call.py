"""A library call that met large arrays: what it is for the arrays at hand, and making it.

What calls are looked at is said in `minpy.transform.library`, how they are cut in `forms`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np

from minpy.runtime.fuse import choose, draws, forms
from minpy.runtime.fuse.ir import Irregular, Program
from minpy.runtime.fuse.keys import key_of_all
from minpy.runtime.fuse.state import checked_flags

_KEPT = 128  # geometries
_MISSES = 16
_WORTH = 400_000  # elements
_SIMPLE = (int, float, str, bool, type(None), np.int64, np.intp, np.float64)


class Call:
    """What a site computes that stands for a call; as `block.Block` for an expression."""

    def __init__(self, text: str, mode: str) -> None:
        self.text, self.mode = text, mode
        tree = ast.parse(text, mode="eval").body
        assert isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name)
        word = tree.func.id
        self.method = word.startswith("__")
        self.name = word.lstrip("_")
        self.form: Callable[..., Any] = forms.FORMS[self.name]
        self.function = None if self.method else forms.original(self.name)
        names = _names(tree)
        self.operands = []
        for each in tree.args:
            used = _names(each)
            self.operands.append((Program(ast.unparse(each)), 1 + max(used)) if used else None)
        parameters = ast.Dict(
            [ast.Constant(each.arg) for each in tree.keywords], [each.value for each in tree.keywords]
        )
        arguments = ", ".join(f"v{i}" for i in range(1 + max(names)))
        self._parameters = eval(f"lambda {arguments}: {ast.unparse(parameters)}", {"__builtins__": {}})
        self._cases: dict[Any, Any] = {}
        self._choices: dict[str, choose.Choice] = {}
        self._hits = self._misses = 0

    def run(self, names: tuple[Any, ...]) -> tuple[bool, Any]:
        """Make the call: whether that was done, and the result.

        Raises
        ------
        Irregular, FloatingPointError
            It is to be made as written; nothing has changed that would show.
        """
        began = perf_counter()
        if self.function is not None and forms.current(self.name) is not self.function:
            raise Irregular  # replaced by somebody
        parameters = self._parameters(*names)
        if not all(map(_is_simple, parameters.values())):
            raise Irregular
        if self.name == "random":
            return self._draw(names, parameters, began)
        leaves = []
        for operand in self.operands:
            if operand is None:
                raise Irregular
            program, number = operand
            leaves.append(program.values(names[:number]))
        key = (
            repr(parameters),
            *[key_of_all(each[0], own) for each, own in zip(self.operands, leaves, strict=True)],
        )
        try:
            case = self._cases[key]
            self._hits += 1
        except KeyError:
            self._misses += 1
            if self._misses > _MISSES + self._hits and self.mode == "auto":
                # Ever new extents: what is found out serves once, and must be worth it.
                if max(leaf.size for each in leaves for leaf in each if type(leaf) is np.ndarray) < _WORTH:
                    return False, False
            case = self._make(key, leaves, parameters)
        if case is None:
            return False, False
        flags = checked_flags()
        choice = case.choice
        engine = choice.pick()
        if engine is None:
            return False, choice.verdict is None
        try:
            return True, [choice.call(case, engine, leaves, flags, began)]
        except np.linalg.LinAlgError as error:
            raise Irregular from error

    def _draw(self, names: tuple[Any, ...], parameters: dict[str, Any], began: float) -> tuple[bool, Any]:
        """Random numbers: the receiver is a generator, not an array."""
        case = draws.Draws(self, names, parameters)
        engine = case.choice.pick()
        if engine is None:
            return False, case.choice.verdict is None
        return True, [case.choice.call(case, engine, [], 0, began)]

    def _make(self, key: Any, leaves: list[tuple[Any, ...]], parameters: dict[str, Any]) -> Any:
        if len(self._cases) >= _KEPT:
            self._cases.clear()
        try:
            case = forms.Case(self, leaves, parameters)
        except Irregular:
            case = None
        self._cases[key] = case
        return case


def _names(tree: ast.AST) -> list[int]:
    return [
        int(node.id[1:]) for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id[1:].isdigit()
    ]


def _is_simple(value: Any) -> bool:
    if type(value) in (tuple, list):
        return all(type(each) in _SIMPLE for each in value)
    return type(value) in _SIMPLE
