"""Runs of assignments that may be one piece: the edits that let the first one compute them all.

::

    t = a * b           t = (__minpy__.pending if __minpy__.w1b and __minpy__.blocks.t3_5001_1a2b3c4d and
                              __minpy__.blocks.b3_5001_1a2b3c4d('d0=(v0*v1);v2[1:]=(d0+v3)', a, b, c, d) else a * b)
    c[1:] = t + d       c[1:] = (__minpy__.blocks.take() if t is __minpy__.pending else t + d)

A run begins with a value that is dead when it ends: its variable says, to the statements that follow, that everything
has been computed. All names of a run are handed over at its beginning, so they must be known to have values then.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import field
from typing import Any, ClassVar

import libcst as cst

from minpy.places import BLOCKS, flag_of
from minpy.records import dataclass
from minpy.transform.blocks import _MAX_NAMES, _MAX_OPERATIONS, Block, BlockWalk
from minpy.transform.lifetimes import Lifetimes
from minpy.transform.names import Point, normalized
from minpy.transform.plan import Edit
from minpy.transform.reading import No, Reader

_REASON = "assignments may run as one piece"
_FIRST_NUMBER = 5000  # of the sites of runs, behind those of expressions
_VALUES = (cst.BinaryOperation, cst.UnaryOperation, cst.Call, cst.Comparison)
_LEAST = 3  # operations


@dataclass
class _Part:
    """One statement of a run."""

    node: cst.Assign | cst.AugAssign
    name: str  # the variable, if it is assigned to one
    label: str
    text: str
    reads: set[str]  # labels
    operations: int
    names: int
    dead: bool = False


@dataclass
class Run:
    """A run that may get a site."""

    block: Block
    carrier: str
    parts: list[_Part] = field(default_factory=list)


class _Mark:
    """Where the value of a run's statement begins, or ends, among the items."""

    def __init__(self, run: Run, part: _Part, opens: bool, place: int) -> None:
        self.run, self.part, self.opens, self.place = run, part, opens, place


class RunWalk(BlockWalk):
    """The walk that finds runs as well."""

    methods: ClassVar[dict[type, Callable[[Any, Any], None]]] = dict(BlockWalk.methods)

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._within: cst.FunctionDef | None = None
        self._lifetimes: Lifetimes | None = None
        self._marked: dict[int, tuple[Run, _Part]] = {}  # by the value's id

    def _function(self, node: cst.FunctionDef) -> None:
        outer = self._within, self._lifetimes
        self._within, self._lifetimes = node, None
        super()._function(node)
        self._within, self._lifetimes = outer

    def _suite(self, node: cst.IndentedBlock) -> None:
        if self._fusing and self._within is not None and not self._in_class and not self._excuse:
            statements = [
                each.body[0] if isinstance(each, cst.SimpleStatementLine) and len(each.body) == 1 else None
                for each in node.body
            ]
            at = 0
            while at < len(statements) - 1:
                at += self._begin(statements, at)
        self._visit_all(node.body)

    def _begin(self, statements: list[Any], at: int) -> int:
        """Look for a run that begins with a statement; how many statements to go on by."""
        first = statements[at]
        if not isinstance(first, cst.Assign) or len(first.targets) != 1:
            return 1
        target = first.targets[0].target
        if not isinstance(target, cst.Name) or not isinstance(first.value, _VALUES):
            return 1
        carrier = normalized(target.value)
        if carrier in self.scope.outer:
            return 1
        reader = _RunReader(self)
        parts: list[_Part] = []
        for node in statements[at:]:
            part = self._read(reader, node, first)
            if part is None or (parts and part.name == carrier):
                break
            parts.append(part)
        while parts and not parts[-1].reads:
            parts.pop()
        if len(parts) < 2 or parts[-1].operations < _LEAST:
            return 1
        if self._lifetimes is None:
            assert self._within is not None
            self._lifetimes = Lifetimes(self._within, self.spans)
        parts = self._bound_only(parts, list(reader.names), first)
        if len(parts) < 2 or not self._settle(parts) or not parts[0].dead:
            return 1
        self._note_run(target.value, parts, reader)
        return len(parts)

    def _read(self, reader: _RunReader, node: Any, first: cst.Assign) -> _Part | None:
        if isinstance(node, cst.Assign) and len(node.targets) == 1:
            target, symbol = node.targets[0].target, "="
        elif isinstance(node, cst.AugAssign):
            target = node.target
            symbol = self.text[self.spans.start(node.operator) : self.spans.end(node.operator)].strip()
        else:
            return None
        if symbol == "@=" or not isinstance(node.value, _VALUES):
            return None
        before = reader.state()
        try:
            reader.used = set()
            text = reader.read(node.value)
            name = label = ""
            if isinstance(target, cst.Name):
                name = normalized(target.value)
                if symbol != "=" and name in reader.labels:
                    raise No
            if isinstance(target, cst.Name) and symbol == "=":
                if name in self.scope.outer or name in reader.augmented:
                    raise No
                label = f"n{reader.count}"
                reader.count += 1
                reader.labels[name] = label
                text = f"{label}={text}"
            else:
                if name:
                    reader.augmented.add(name)
                    name = ""
                text = f"{reader.target(target, symbol)}{symbol}{text}"
                reader.operations += symbol != "="
            if reader.operations > _MAX_OPERATIONS or len(reader.names) > _MAX_NAMES:
                raise No
        except (No, RecursionError):
            reader.restore(before)
            return None
        return _Part(node, name, label, text, reader.used, reader.operations, len(reader.names))

    def _bound_only(self, parts: list[_Part], names: list[str], first: cst.Assign) -> list[_Part]:
        """The statements up to the first one with a name that may have no value at the beginning."""
        lifetimes, start = self._lifetimes, self.spans.start(first)
        assert lifetimes is not None
        module = self.scope.module()
        for number, part in enumerate(parts):
            if not number:
                continue
            for name in names[parts[number - 1].names : part.names]:
                plain = normalized(name)
                known = (
                    lifetimes.is_bound(plain, start)
                    if lifetimes.is_local(plain)
                    else plain in module.bindings and plain not in self.scope.outer
                )
                if not known:
                    parts = parts[:number]
                    while parts and not parts[-1].reads:
                        parts.pop()
                    return parts
        return parts

    def _settle(self, parts: list[_Part]) -> bool:
        """Find out which values are dead at the end."""
        lifetimes = self._lifetimes
        assert lifetimes is not None
        start, end = self.spans.start(parts[0].node), self.spans.end(parts[-1].node)
        read = set().union(*(part.reads for part in parts))
        last = {part.name: part for part in parts if part.name}
        first: dict[str, _Part] = {}
        for part in parts:
            if part.name:
                first.setdefault(part.name, part)
        for part in parts:
            if not part.name:
                continue
            assigned = self.spans.end(first[part.name].node)
            part.dead = part.label in read and (
                part is not last[part.name] or lifetimes.is_dead(part.name, start, end, assigned)
            )
        return True

    def _note_run(self, carrier: str, parts: list[_Part], reader: _RunReader) -> None:
        dead = {part.label for part in parts if part.dead}
        text = ";".join(
            re.sub(r"\bn(\d+)\b", lambda m: ("d" if m[0] in dead else "r") + m[1], part.text)
            for part in parts
        )
        node = parts[0].node.value
        start, end = self.spans.start(node), self.spans.end(node)
        line, _ = self._lines.line_col(start)
        names = dict(list(reader.names.items())[: parts[-1].names])
        block = Block(
            self.scope, Point(self.block, start), start, end, line, text, names, parts[-1].operations,
            reader.heavy, reader.called, reader.evidence,
        )  # fmt: skip
        run = Run(block, carrier, parts)
        for part in parts:
            self._marked[id(part.node.value)] = run, part

    def _expression(self, node: Any, walk: Callable[[Any, Any], None]) -> None:
        marked = self._marked.pop(id(node), None)
        if marked is None:
            super()._expression(node, walk)
            return
        run, part = marked
        self.items.append(_Mark(run, part, True, self.spans.start(node)))
        super()._expression(node, walk)
        self.items.append(_Mark(run, part, False, self.spans.end(node)))

    def _finish(self, resolved: list[list[Edit]], door: str) -> None:
        super()._finish(resolved, door)
        if not self._fusing or not self.imports_numpy:
            return
        number, digest = _FIRST_NUMBER, self._digest()
        blocks, pending = f"{door}.blocks", f"{door}.pending"
        held: dict[int, str] = {}
        for i, item in enumerate(self.items):
            if not isinstance(item, _Mark):
                continue
            run, part = item.run, item.part
            if id(run) not in held:
                held[id(run)] = ""
                if self._holds(run.block):
                    number += 1
                    held[id(run)] = f"{run.block.line}_{number}_{digest}"
            name = held[id(run)]
            if not name:
                continue
            if not item.opens:
                text = ")"
            elif part is run.parts[0]:
                flag = flag_of(BLOCKS, int(name.split("_")[1]), digest)
                arguments = ", ".join([repr(run.block.text), *run.block.names])
                asked = f"{door}.{flag} and {blocks}.t{name} and {blocks}.b{name}({arguments})"
                text = f"({pending} if {asked} else "
            else:
                value = pending if part.dead else f"{blocks}.take()"
                text = f"({value} if {run.carrier} is {pending} else "
            resolved[i] = [Edit(item.place, item.place, text, _REASON)]


class _RunReader(Reader):
    """Reads statements that may use what those before them have computed."""

    def __init__(self, walk: BlockWalk) -> None:
        super().__init__(walk)
        self.labels: dict[str, str] = {}  # of variables that were assigned to
        self.augmented: set[str] = set()
        self.used: set[str] = set()
        self.count = 0

    def state(self) -> tuple[Any, ...]:
        """All that reading changes."""
        return (
            dict(self.names), self.operations, self.heavy, list(self.called), set(self.evidence), dict(self.labels),
            set(self.augmented), self.count,
        )  # fmt: skip

    def restore(self, state: tuple[Any, ...]) -> None:
        """Undo a reading."""
        (
            self.names, self.operations, self.heavy, self.called, self.evidence, self.labels, self.augmented,
            self.count,
        ) = state  # fmt: skip

    def _leaf(self, node: cst.BaseExpression) -> str:
        if isinstance(node, cst.Name) and normalized(node.value) in self.labels:
            label = self.labels[normalized(node.value)]
            self.used.add(label)
            return label
        return super()._leaf(node)

    def _name(self, node: cst.Name) -> str:
        if normalized(node.value) in self.labels:
            raise No  # a part of what was computed, or an index
        return super()._name(node)


RunWalk.methods |= {
    cst.FunctionDef: RunWalk._function,
    cst.IndentedBlock: RunWalk._suite,
    cst.BinaryOperation: BlockWalk._binary,
}
