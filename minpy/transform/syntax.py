"""What the walk over a concrete syntax tree needs to know of libcst's nodes: children, names, spans."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields

import libcst as cst
from libcst.metadata.span_provider import SpanProvidingCodegenState

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


@dataclass
class _Codegen(SpanProvidingCodegenState):
    """Writes a tree's text and notes the characters of every node as it goes.

    The provider of libcst that does the same counts bytes, comes with a walk of its own over the tree, and
    does not keep the text, which is wanted as well.
    """

    spans: dict[cst.CSTNode, tuple[int, int]] = field(default_factory=dict)

    def add_token(self, value: str) -> None:
        self.tokens.append(value)
        self.position += len(value)

    def add_indent_tokens(self) -> None:
        self.tokens.extend(self.indent_tokens)
        self.position += sum(map(len, self.indent_tokens))

    def after_codegen(self, node: cst.CSTNode) -> None:
        start = self._stack.pop()
        if node not in self.spans:
            self.spans[node] = start, self.position

    @contextmanager
    def record_syntactic_position(
        self,
        node: cst.CSTNode,
        *,
        start_node: cst.CSTNode | None = None,
        end_node: cst.CSTNode | None = None,
    ) -> Iterator[None]:
        start = self.position
        yield
        if start_node is not None:
            start = self.spans[start_node][0]
        self.spans[node] = start, self.position if end_node is None else self.spans[end_node][1]


class Spans:
    """The character span of every node, without parentheses around it and without whitespace.

    Attributes
    ----------
    text : str
        The text that libcst gives back for the tree.
    """

    def __init__(self, module: cst.Module) -> None:
        state = _Codegen(module.default_indent, module.default_newline, provider=None)  # type: ignore[arg-type]
        module._codegen(state)
        self._spans = state.spans
        self.text = "".join(state.tokens)

    def start(self, node: cst.CSTNode) -> int:
        return self._spans[node][0]

    def end(self, node: cst.CSTNode) -> int:
        return self._spans[node][1]
