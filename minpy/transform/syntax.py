"""What the walk over a concrete syntax tree needs to know of libcst's nodes: children, names, spans."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import field, fields

import libcst as cst
from libcst._nodes.internal import CodegenState

from minpy.records import dataclass

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


def children(node: cst.CSTNode) -> list[object]:
    """What the fields of a node hold that are no layout, and what is in their sequences."""
    found: list[object] = []
    for name in child_fields(type(node)):
        value = getattr(node, name)
        found += value if isinstance(value, (list, tuple)) else [value]
    return found


def kinds_in(top: cst.CSTNode) -> Counter[type]:
    """How many nodes of each kind there are in a node, itself included."""
    found: Counter[type] = Counter()
    waiting: list[object] = [top]
    while waiting:
        node = waiting.pop()
        if isinstance(node, cst.CSTNode):
            found[type(node)] += 1
            waiting += children(node)
    return found


def contains(top: cst.CSTNode, kinds: tuple[type, ...]) -> bool:
    """Whether a node of one of the kinds is in a node, itself included."""
    return any(issubclass(kind, kinds) for kind in kinds_in(top))


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
class _Codegen(CodegenState):
    """Writes a tree's text and notes the characters of every node as it goes.

    The provider of libcst that does the same counts bytes, comes with a walk of its own over the tree, and
    does not keep the text, which is wanted as well.
    """

    position: int = 0
    spans: dict[cst.CSTNode, tuple[int, int]] = field(default_factory=dict)
    _stack: list[int] = field(default_factory=list)

    def add_token(self, value: str) -> None:
        self.tokens.append(value)
        self.position += len(value)

    def add_indent_tokens(self) -> None:
        self.tokens.extend(self.indent_tokens)
        self.position += sum(map(len, self.indent_tokens))

    def before_codegen(self, node: cst.CSTNode) -> None:
        self._stack.append(self.position)

    def after_codegen(self, node: cst.CSTNode) -> None:
        start = self._stack.pop()
        if node not in self.spans:
            self.spans[node] = start, self.position

    def record_syntactic_position(  # type: ignore[override]
        self,
        node: cst.CSTNode,
        *,
        start_node: cst.CSTNode | None = None,
        end_node: cst.CSTNode | None = None,
    ) -> _Recorded:
        return _Recorded(self, node, start_node, end_node)


class _Recorded:
    """Notes the span of a node without the parentheses and the whitespace that belong to it."""

    __slots__ = ("_end", "_first", "_node", "_start", "_state")

    def __init__(
        self, state: _Codegen, node: cst.CSTNode, start: cst.CSTNode | None, end: cst.CSTNode | None
    ) -> None:
        self._state, self._node, self._start, self._end = state, node, start, end

    def __enter__(self) -> None:
        self._first = self._state.position

    def __exit__(self, error: type | None, *_: object) -> None:
        if error is not None:
            return
        spans = self._state.spans
        spans[self._node] = (
            self._first if self._start is None else spans[self._start][0],
            self._state.position if self._end is None else spans[self._end][1],
        )


class Spans:
    """The character span of every node, without parentheses around it and without whitespace.

    Attributes
    ----------
    text : str
        The text that libcst gives back for the tree.
    """

    def __init__(self, module: cst.Module) -> None:
        state = _Codegen(module.default_indent, module.default_newline)
        module._codegen(state)
        self._spans = state.spans
        self.text = "".join(state.tokens)

    def start(self, node: cst.CSTNode) -> int:
        return self._spans[node][0]

    def end(self, node: cst.CSTNode) -> int:
        return self._spans[node][1]
