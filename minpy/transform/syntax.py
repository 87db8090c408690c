"""What the walk over a concrete syntax tree needs to know of libcst's nodes: children, names, spans."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import fields

import libcst as cst
from libcst.metadata import ByteSpanPositionProvider, MetadataWrapper

_LEAVING = (cst.Raise, cst.Return, cst.Continue, cst.Break)
_EXITS = frozenset({"exit", "quit", "sys.exit", "os._exit"})

# Fields that hold layout or tokens, not expressions or statements.
_LAYOUT = (
    "whitespace",
    "leading_",
    "trailing_",
    "lines_",
    "lpar",
    "rpar",
    "lbrac",
    "rbrac",
    "comma",
    "semicolon",
    "colon",
    "first_colon",
    "second_colon",
    "header",
    "footer",
    "operator",
    "equal",
    "dot",
    "asynchronous",
    "separator",
    "indent",
    "newline",
    "comment",
    "posonly_ind",
)
_known_fields: dict[type, tuple[str, ...]] = {}


def child_fields(kind: type) -> tuple[str, ...]:
    names = _known_fields.get(kind)
    if names is None:
        names = tuple(field.name for field in fields(kind) if not field.name.startswith(_LAYOUT))
        _known_fields[kind] = names
    return names


def dotted_name(node: cst.CSTNode | None) -> str | None:
    """Return ``a.b.c`` of a chain of attributes of a name, or None."""
    parts: list[str] = []
    while isinstance(node, cst.Attribute):
        parts.append(node.attr.value)
        node = node.value
    if not isinstance(node, cst.Name):
        return None
    parts.append(node.value)
    return ".".join(reversed(parts))


def leaves(body: cst.BaseSuite) -> bool:
    """Whether control certainly does not come out at the end of a handler."""
    statements: Sequence[cst.CSTNode] = body.body
    last = statements[-1] if statements else None
    if isinstance(last, cst.SimpleStatementLine):
        last = last.body[-1]
    if isinstance(last, cst.Expr) and isinstance(last.value, cst.Call):
        return dotted_name(last.value.func) in _EXITS
    return isinstance(last, _LEAVING)


class Spans:
    """The character span of every node, without parentheses around it and without whitespace."""

    def __init__(self, module: cst.Module, text: str) -> None:
        wrapper = MetadataWrapper(module, unsafe_skip_copy=True)
        self._spans = wrapper.resolve(ByteSpanPositionProvider)
        # Byte offsets at which characters of more than one byte end, and the surplus up to there.
        self._ends: list[int] = []
        self._surplus: list[int] = [0]
        if not text.isascii():
            surplus = 0
            for index, char in enumerate(text):
                if char > "\x7f":
                    surplus += len(char.encode()) - 1
                    self._ends.append(index + 1 + surplus)
                    self._surplus.append(surplus)

    def _char(self, position: int) -> int:
        return position - self._surplus[bisect_left(self._ends, position + 1)] if self._ends else position

    def start(self, node: cst.CSTNode) -> int:
        return self._char(self._spans[node].start)

    def end(self, node: cst.CSTNode) -> int:
        span = self._spans[node]
        return self._char(span.start + span.length)
