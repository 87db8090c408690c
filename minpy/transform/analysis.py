"""From a text to its plan with libcst: parse, walk, resolve, and place the import of the door if need be."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import replace
from typing import TypeVar

import libcst as cst

from minpy.transform import foreign
from minpy.transform.emitted import door_import, free_name
from minpy.transform.names import NOTHING, Given
from minpy.transform.plan import Edit, Note, Plan
from minpy.transform.runs import RunWalk

# What libcst does not give back as it was: form feeds in front of a statement (Python starts the indentation
# anew after one), and lines that end in a lone carriage return.
_FORM_FEED = re.compile(r"^[ \t\f]*\f", re.MULTILINE)
_CARRIAGE_RETURN = re.compile(r"\r(?!\n)")

_Placed = TypeVar("_Placed", Edit, Note)


class _Cleaned:
    """A text without those, and the way back from its offsets."""

    def __init__(self, text: str) -> None:
        self._places: list[int] = []  # in the cleaned text, where something was dropped
        self._dropped = [0]  # how much, up to there
        text = _CARRIAGE_RETURN.sub("\n", text)
        for match in _FORM_FEED.finditer(text):
            dropped = self._dropped[-1]
            self._places.append(match.start() - dropped)
            self._dropped.append(dropped + len(match[0]))
        self.text = _FORM_FEED.sub("", text) if self._places else text

    def back(self, item: _Placed) -> _Placed:
        """Move an edit or a note to its place in the original."""
        changes = {"start": self._back(item.start)}
        if isinstance(item, Edit):
            changes["end"] = self._back(item.end)
        return replace(item, **changes)

    def _back(self, offset: int) -> int:
        return offset + self._dropped[bisect_right(self._places, offset)]


def make_plan(
    source: str,
    *,
    operators: bool,
    door: str,
    loops: bool = False,
    blocks: str = "off",
    given: Given = NOTHING,
    numbers: bool = False,
    spares: bool = False,
) -> Plan:
    """Return the plan of a module's text; see `minpy.transform.rewriter.plan`."""
    cleaned = _Cleaned(source)
    text = cleaned.text
    module = cst.parse_module(text)
    walk = RunWalk(module, text, operators=operators, loops=loops, blocks=blocks, original=source)
    if walk.spans.text != text:
        raise ValueError("libcst does not give the text back as it was")
    walk.grant(given)
    walk.keeps_numbers, walk.spares = numbers, spares
    walk.run()
    written = door
    left = foreign.spans(text) if foreign.MENTIONED.search(text) else []
    if door == "__minpy__":
        edits, notes = _outside(left, walk.result(door))
    else:
        written = free_name(text, door)
        edits, notes = _outside(left, walk.result(written))
        if edits:
            written, statement = door_import(module, walk.spans, text, written, edits[0].start)
            edits, notes = _outside(left, walk.result(written))
            if statement is not None:
                edits = tuple(sorted([statement, *edits], key=lambda edit: edit.start))
    return Plan(source, tuple(map(cleaned.back, edits)), notes=tuple(map(cleaned.back, notes)), door=written)


def _outside(
    left: list[tuple[int, int]], found: tuple[tuple[Edit, ...], tuple[Note, ...]]
) -> tuple[tuple[Edit, ...], tuple[Note, ...]]:
    """Edits and notes that are not in these parts of the text."""
    if not left:
        return found
    edits = tuple(
        each for each in found[0] if not any(start <= each.start and each.end <= end for start, end in left)
    )
    notes = tuple(each for each in found[1] if not any(start <= each.start < end for start, end in left))
    return edits, notes
