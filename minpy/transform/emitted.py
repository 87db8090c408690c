"""Files that say ``routed.np.exp(x)``: which name the door gets there, and where its import stands.

The import shares a line with a statement that is there already, so no statement changes its line.
"""

from __future__ import annotations

import re

import libcst as cst

from minpy.transform.names import numpy_path
from minpy.transform.plan import Edit
from minpy.transform.syntax import Spans, dotted_name

ROUTED = "routed"
_REASON = "the name that the routed calls start from"
# Lines that Python reads as more than a comment: `#!` and the coding cookie.
_MAGIC_COMMENT = re.compile(r"#!|#.*?coding[:=]")
ANYWHERE = '__import__("minpy").routed'


def free_name(text: str, wanted: str = ROUTED) -> str:
    """Return `wanted`, or the first of ``wanted_1``, ``wanted_2`` … that the text does not contain."""
    name, count = wanted, 0
    while re.search(rf"\b{name}\b", text):
        count += 1
        name = f"{wanted}_{count}"
    return name


def door_import(
    module: cst.Module, spans: Spans, text: str, name: str, first: int
) -> tuple[str, Edit | None]:
    """Choose the place of the import.

    Parameters
    ----------
    first : int
        Offset of the first edit; the import must have run before anything from there on does.

    Returns
    -------
    tuple
        The door to write in the edits, and the edit that imports it (None where no line can take an import:
        the door is then an expression that needs none).
    """
    statement = f"from minpy import {ROUTED}" + (f" as {name}" if name != ROUTED else "")
    lines = _leading_simple_lines(module, spans, first)
    last_future = last_import = None
    for line in lines:
        for small in line:
            if _is_future(small):
                last_future, last_import = small, None
            elif last_import is None and isinstance(small, (cst.Import, cst.ImportFrom)):
                last_import = small
    after = _first_numpy_import(lines) or last_import or last_future
    if after is None and lines and _is_docstring(lines[0][0]):
        after = lines[0][0] if len(lines) == 1 else None
        if after is None:
            return name, _insert(spans.start(lines[1][0]), f"{statement}; ")
    if after is not None:
        return name, _insert(spans.end(after), f"; {statement}")
    if lines:
        return name, _insert(spans.start(lines[0][0]), f"{statement}; ")
    place = _blank_line(text, spans.start(module.body[0]) if module.body else 0)
    if place is None:
        return ANYWHERE, None
    follows_comment = text[place : place + 1] == "#"
    return name, _insert(place, statement + ("  " if follows_comment else ""))


def _insert(place: int, text: str) -> Edit:
    return Edit(place, place, text, _REASON)


def _leading_simple_lines(module: cst.Module, spans: Spans, first: int) -> list[list[cst.BaseSmallStatement]]:
    """The simple statements at the top level that are over before the first edit begins, line by line."""
    lines = []
    for statement in module.body:
        if not isinstance(statement, cst.SimpleStatementLine):
            if spans.start(statement) > first:
                break
            continue
        small = [each for each in statement.body if spans.end(each) <= first]
        if small:
            lines.append(small)
        elif spans.start(statement) <= first:
            # The line of the first edit itself: what is put at its start still comes before the edit.
            if not lines and statement is module.body[0]:
                lines.append([statement.body[0]])
            break
        else:
            break
    return lines


def _first_numpy_import(lines: list[list[cst.BaseSmallStatement]]) -> cst.BaseSmallStatement | None:
    for line in lines:
        for small in line:
            if isinstance(small, cst.Import):
                modules = [dotted_name(alias.name) for alias in small.names]
            elif isinstance(small, cst.ImportFrom) and not small.relative:
                modules = [dotted_name(small.module)]
            else:
                continue
            if any(numpy_path(module or "") is not None for module in modules):
                return small
    return None


def _is_future(small: cst.CSTNode) -> bool:
    return isinstance(small, cst.ImportFrom) and dotted_name(small.module) == "__future__"


def _is_docstring(small: cst.CSTNode) -> bool:
    return isinstance(small, cst.Expr) and isinstance(small.value, (cst.SimpleString, cst.ConcatenatedString))


def _blank_line(text: str, end: int) -> int | None:
    """The start of a blank line or an ordinary comment line before `end`, or None."""
    place = 0
    for line in re.split(r"(?<=\n)|(?<=\r)(?!\n)", text[:end]):
        content = line.strip()
        if place + len(line) <= end and line.endswith(("\n", "\r")):
            if not content and line[0] in "\r\n":
                return place
            if line.startswith("#") and not _MAGIC_COMMENT.match(line):
                return place
        place += len(line)
    return None
