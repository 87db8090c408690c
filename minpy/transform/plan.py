"""A plan of edits: what the rewriter changes in a text, where and why. Knows neither libcst nor `ast`."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import field

from minpy.records import dataclass

# Where CPython ends a line. Not `str.splitlines`, which also splits at form feeds and other separators.
_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True)
class Edit:
    """One change: the characters ``[start, end)`` of the original text become `text`.

    Attributes
    ----------
    start, end : int
        Character offsets in the decoded original; equal for an insertion.
    text : str
        The replacement; never contains a line break.
    reason : str
        Why, in words for ``minpy.rewrite --explain``.
    """

    start: int
    end: int
    text: str
    reason: str


@dataclass(frozen=True)
class Note:
    """Something that was left alone although it looks like array work, and why."""

    start: int
    reason: str


class Lines:
    """The lines of a text, as CPython counts them."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.starts = [0, *(match.end() for match in _LINE_END.finditer(text))]

    def line_col(self, offset: int) -> tuple[int, int]:
        """Return the line (from 1) and the column (from 0, in characters) of a character offset."""
        line = bisect_right(self.starts, offset)
        return line, offset - self.starts[line - 1]

    def offset(self, line: int, col: int) -> int:
        """Return the character offset of a line (from 1) and a column (from 0, in characters)."""
        return self.starts[line - 1] + col


@dataclass(frozen=True)
class Plan:
    """The edits of one text, sorted and not overlapping; insertions at one place apply in the order listed.

    Attributes
    ----------
    source : str
        The original text, decoded, line ends as they are in the file.
    edits : tuple of Edit
    reason : str
        Why the plan is empty although nothing was looked at; else "".
    notes : tuple of Note
        Array work that was seen and left alone.
    door : str
        The expression that the replacements start from.
    """

    source: str
    edits: tuple[Edit, ...] = ()
    reason: str = ""
    notes: tuple[Note, ...] = ()
    door: str = "__minpy__"
    _lines: list[Lines] = field(default_factory=list, repr=False, compare=False)

    def __post_init__(self) -> None:
        position = 0
        for edit in self.edits:
            if not position <= edit.start <= edit.end <= len(self.source):
                raise ValueError(f"edits overlap or are not sorted at offset {edit.start}: {edit.text!r}")
            if _LINE_END.search(edit.text) or _LINE_END.search(self.source, edit.start, edit.end):
                raise ValueError(f"an edit may not touch a line break: offset {edit.start}, {edit.text!r}")
            position = edit.end

    @property
    def is_empty(self) -> bool:
        """Whether the text stays as it is."""
        return not self.edits

    def apply(self) -> str:
        """Return the rewritten text; every character outside an edit is the original's."""
        pieces = []
        position = 0
        for edit in self.edits:
            pieces += self.source[position : edit.start], edit.text
            position = edit.end
        pieces.append(self.source[position:])
        return "".join(pieces)

    @property
    def lines(self) -> Lines:
        """The line table of the original text."""
        if not self._lines:
            self._lines.append(Lines(self.source))
        return self._lines[0]

    def line_col(self, edit: Edit | Note) -> tuple[int, int]:
        """Return the line (from 1) and column (from 0) where an edit or a note starts in the original."""
        return self.lines.line_col(edit.start)

    def to_original(self, line: int, col: int, *, end: bool = False) -> tuple[int, int]:
        """Map a character position of the rewritten text to the original.

        Parameters
        ----------
        line, col : int
            Line from 1 and column from 0, in characters.
        end : bool
            Whether the position ends something (a point inside a replacement then maps to the replacement's
            end, else to its start).
        """
        return line, self._map(line, col, end=end, back=True)

    def to_rewritten(self, line: int, col: int, *, end: bool = False) -> tuple[int, int]:
        """Map a character position of the original text to the rewritten one, as `to_original` does back."""
        return line, self._map(line, col, end=end, back=False)

    def _map(self, line: int, col: int, *, end: bool, back: bool) -> int:
        spans = []
        for start, stop, text in self.columns().get(line, ()):
            shift = spans[-1][3] - spans[-1][1] if spans else 0
            original, rewritten = (start, stop), (start + shift, start + shift + len(text))
            spans.append((*original, *rewritten))
        if back:
            return map_column([(c, d, a, b) for a, b, c, d in spans], col, end)
        return map_column(spans, col, end)

    def columns(self) -> dict[int, list[tuple[int, int, str]]]:
        """Return the edits by line: columns of the original in characters, and the replacement."""
        table: dict[int, list[tuple[int, int, str]]] = {}
        for edit in self.edits:
            line, col = self.lines.line_col(edit.start)
            table.setdefault(line, []).append((col, col + edit.end - edit.start, edit.text))
        return table


def map_column(spans: Iterable[tuple[int, int, int, int]], col: int, end: bool) -> int:
    """Map a column through the replaced spans of its line.

    Each span is ``(from_start, from_end, to_start, to_end)``. Between spans columns shift. At a span's edge a
    start belongs to what follows and an end to what precedes; inside a span a start maps to its start, an end
    to its end.
    """
    shift = 0
    for from_start, from_end, to_start, to_end in spans:
        if col < from_start or (end and col == from_start):
            break
        if col < from_end or (end and col == from_end):
            return to_end if end else to_start
        shift = to_end - from_end
    return col + shift
