"""The tables of docs/original.md: what they name exists, and every row says where and which test."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "original.md"
CODE = re.compile(r"`([^`]+)`")
TEST = re.compile(r"(tests/[\w/.]+\.py)::(\w+)")


def rows() -> list[tuple[str, str, str, str]]:
    """The rows of the tables about names: of the original, here, differences, tests."""
    found: list[tuple[str, str, str, str]] = []
    inside = False
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if not line.startswith("|"):
            inside = False
            continue
        # (A bar inside of code is no border of a cell.)
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|(?=(?:[^`]*`[^`]*`)*[^`]*$)", line)[1:-1]]
        if cells[0] == "of the original":
            inside = True
        elif inside and not set(line) <= set("|- "):
            assert len(cells) == 4, line
            found.append(tuple(cells))  # type: ignore[arg-type]
    return found


ROWS = rows()


@functools.cache
def functions_in(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return frozenset(
        node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    )


def resolve(name: str) -> Any:
    """Import the module, and look the rest up."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            value = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            value = getattr(value, part)
        return value
    raise AttributeError(name)


def signatures(row: tuple[str, str, str, str]) -> list[tuple[str, ast.arguments]]:
    """Places here of what the row gives with parameters, and these."""
    places = {place.rpartition(".")[2]: place for place in CODE.findall(row[1]) if place.startswith("minpy.")}
    found = []
    for code in CODE.findall(row[0]):
        name, _, parameters = code.partition("(")
        place = places.get(name.rpartition(".")[2])
        if place is None or not parameters.endswith(")") or "…" in parameters or "..." in parameters:
            continue
        try:
            parsed = ast.parse(f"def f({parameters}: pass").body[0]
        except SyntaxError:
            continue  # a call, or names of several forms
        assert isinstance(parsed, ast.FunctionDef)
        found.append((place, parsed.args))
    return found


def test_the_tables_are_found():
    titles = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("## ")]
    assert len(titles) >= 15 and len(ROWS) >= 180
    assert len({row[0] for row in ROWS}) == len(ROWS), "two rows for the same"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:50])
def test_what_is_named_exists(row):
    name, here, _, tests = row
    places = CODE.findall(here)
    assert places, f"{name}: where is it?"
    for place in places:
        if place.startswith("minpy."):
            resolve(place)
        else:
            assert (ROOT / place).exists(), f"{name}: {place} is not there"
    named = TEST.findall(tests)
    assert named and len(named) == len(CODE.findall(tests)), f"{name}: which test?"
    for path, test in named:
        assert test in functions_in(path), f"{name}: {path} has no {test}"


# The manual's and 0.3.4's first parameter differ; either is taken by its kind.
OF_TWO_FORMS = ("minpy.nn.model_builder.Model",)
SIGNATURES = [(place, arguments) for row in ROWS for place, arguments in signatures(row)]


def test_signatures_are_found():
    assert len(SIGNATURES) > 80


@pytest.mark.parametrize(
    ("place", "arguments"), SIGNATURES, ids=lambda value: value if type(value) is str else ""
)
def test_parameters_have_the_original_names_and_defaults(place, arguments):
    here = [
        each
        for name, each in inspect.signature(resolve(place)).parameters.items()
        if name not in ("self", "cls")
    ]
    by_name = {each.name: each for each in here}
    takes_any = {each.kind for each in here} & {
        inspect.Parameter.VAR_POSITIONAL,
        inspect.Parameter.VAR_KEYWORD,
    }
    defaults = [None] * (len(arguments.args) - len(arguments.defaults)) + arguments.defaults
    for i, (argument, default) in enumerate(zip(arguments.args, defaults, strict=True)):
        if takes_any and (argument.arg not in by_name or i >= len(here)):
            continue
        assert argument.arg in by_name, f"{place} has no parameter {argument.arg}"
        if place not in OF_TWO_FORMS:
            assert here[i].name == argument.arg, f"{place}: {argument.arg} has another position"
        if isinstance(default, ast.Constant):
            assert by_name[argument.arg].default == default.value, f"{place}: {argument.arg}"


def test_a_row_that_is_wrong_is_found():
    with pytest.raises(AttributeError):
        resolve("minpy.core.no_such_name")
    assert "no_such_test" not in functions_in("tests/original/test_original_table.py")
