"""Public names are documented: a docstring with all parameters, type hints, and what type checkers are told of them."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import minpy

# Their functions are called by programs as they stand; methods and small helpers may say it in one sentence.
WITH_SECTIONS = [
    "minpy",
    "minpy.autodiff",
    "minpy.core",
    "minpy.nn.init",
    "minpy.nn.layers",
    "minpy.nn.optim",
]
PUBLIC = [
    *WITH_SECTIONS,
    "minpy.array",
    "minpy.context",
    "minpy.dispatch.policy",
    "minpy.dispatch.registry",
    "minpy.errors",
    "minpy.nn.callbacks",
    "minpy.nn.io",
    "minpy.nn.model",
    "minpy.nn.model_builder",
    "minpy.nn.model_gallery",
    "minpy.nn.modules",
    "minpy.nn.solver",
    "minpy.primitive",
    "minpy.symbols",
    "minpy.tape",
    "minpy.utils.data",
    "minpy.visualization",
]


def public(module: str) -> Iterator[tuple[str, Any]]:
    """Functions and classes of MinPy's that the module offers."""
    found = importlib.import_module(module)
    names = getattr(found, "__all__", None) or [name for name in vars(found) if not name.startswith("_")]
    for name in names:
        value = getattr(found, name)
        if (inspect.isfunction(value) or inspect.isclass(value)) and value.__module__.startswith("minpy"):
            yield name, value


def with_members(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    yield name, value
    if inspect.isclass(value) and value is not minpy.Array:  # its members are NumPy's
        for member, each in vars(value).items():
            each = getattr(each, "__func__", each)
            if not member.startswith("_") and (inspect.isfunction(each) or isinstance(each, property)):
                yield f"{name}.{member}", getattr(value, member)


def parameters(function: Any) -> list[inspect.Parameter]:
    return [
        each for name, each in inspect.signature(function).parameters.items() if name not in ("self", "cls")
    ]


@pytest.mark.parametrize("module", PUBLIC)
def test_names_have_docstrings_and_hints(module: str) -> None:
    found = [item for name, value in public(module) for item in with_members(name, value)]
    assert found, module
    for name, value in found:
        assert inspect.getdoc(value), f"{module}.{name} has no docstring"
        if inspect.isfunction(value):
            bare = [each.name for each in parameters(value) if each.annotation is each.empty]
            assert not bare, f"{module}.{name}: no type hints for {bare}"
            assert inspect.signature(value).return_annotation is not inspect.Signature.empty, name


@pytest.mark.parametrize("module", WITH_SECTIONS)
def test_functions_describe_their_parameters(module: str) -> None:
    functions = [(name, value) for name, value in public(module) if inspect.isfunction(value)]
    assert functions
    for name, value in functions:
        sections = re.split(r"^(\w[\w ]*)\n-{3,}\n", inspect.getdoc(value) or "", flags=re.MULTILINE)
        described = dict(zip(sections[1::2], sections[2::2], strict=True))
        entries = re.findall(r"^(\S.*?)(?: : .*)?$", described.get("Parameters", ""), flags=re.MULTILINE)
        named = {each.strip("* ") for entry in entries for each in entry.split(",")}
        missing = {each.name for each in parameters(value)} - named
        assert not missing, f"{module}.{name}: Parameters has no {sorted(missing)}"


def test_type_checkers_see_the_names_of_the_root() -> None:
    folder = Path(minpy.__file__).parent
    tree = ast.parse((folder / "__init__.pyi").read_text(encoding="utf-8"))
    seen = {
        alias.asname: node.module
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    modules = dict.fromkeys((*minpy._MODULES, "primitive"), "minpy") | {"policy": "minpy.dispatch"}
    assert seen == {**minpy._WHERE, **modules}
    assert (folder / "py.typed").exists()
