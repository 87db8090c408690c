"""libcst's parser and nodes, and no more of it, for a process that does nothing but rewrite.

Importing libcst takes a tenth of a second: it makes the methods of three hundred dataclasses, visitors, metadata and a
second parser, which the rewriter does not ask for. Here the modules of the nodes are loaded into a package that holds
nothing else, as classes that are filled from keywords, which is what the parser does with them. What the rewriter sees
of a tree is the same. Nodes are not checked when they are made, as the parser made them, and are not frozen.

The rest of a process could tell, so this is for one of its own (see `minpy.transform.ahead`). Where libcst is not built
as is expected here, it is imported as always.
"""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import sys
import typing
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

# What nobody asks for here, and takes time to be made. (`Sequence` is asked for: the one of `collections.abc` is.)
_ANNOTATIONS = ("Callable", "Generator", "Iterable", "Iterator", "Literal", "Optional", "Pattern", "Union")
_NODES = ("base", "whitespace", "op", "expression", "statement", "module")


def load() -> None:
    """Put the parser and the nodes into ``sys.modules`` as ``libcst``, unless it is there."""
    if "libcst" in sys.modules:
        return
    try:
        _load()
    except Exception:
        for name in list(sys.modules):
            if name.partition(".")[0] == "libcst":
                del sys.modules[name]


def _load() -> None:
    spec = find_spec("libcst")
    if spec is None:
        return
    package: Any = module_from_spec(spec)
    sys.modules["libcst"] = package
    node = typing.TypeVar("node")
    _stand_in("_add_slots", add_slots=lambda kind: kind)
    _stand_in("_visitors", CSTVisitor=_Nothing, CSTTransformer=_Nothing, CSTVisitorT=None)
    _stand_in("_type_enforce", is_value_of_type=None)
    _stand_in("_types", CSTNodeT=node, CSTNodeT_co=node)
    errors = import_module("libcst._exceptions")
    package.CSTLogicError, package.ParserSyntaxError = errors.CSTLogicError, errors.ParserSyntaxError
    package.MaybeSentinel = import_module("libcst._maybe_sentinel").MaybeSentinel
    import_module("libcst._nodes.internal")
    for each in ("ast", "inspect", "re", "tokenize"):  # not while anything is replaced
        import_module(each)
    with contextlib.ExitStack() as replaced:
        for name in _ANNOTATIONS:
            replaced.enter_context(_replaced(typing, name, _Annotation()))
        replaced.enter_context(_replaced(typing, "Sequence", Sequence))
        replaced.enter_context(_replaced(dataclasses, "dataclass", _dataclass))
        replaced.enter_context(_replaced(abc, "ABC", _Nothing))
        replaced.enter_context(_replaced(contextlib, "contextmanager", _manager))
        for each in _NODES:
            for name, kind in vars(import_module(f"libcst._nodes.{each}")).items():
                if isinstance(kind, type) and not name.startswith("_"):
                    setattr(package, name, kind)
                if name == "CSTNode":  # from which all others have them: the same, without a call
                    kind.__eq__, kind.__hash__ = object.__eq__, object.__hash__
                    if "__init_subclass__" in vars(kind):  # which would put them into each
                        del kind.__init_subclass__
                    kind._codegen = _write
                elif name == "SimpleWhitespace":
                    kind._codegen = _write_space
    parse = import_module("libcst.native").parse_module
    package.parse_module = lambda text: parse(text, encoding="utf-8")
    # Whether it is what is expected: with nodes left out, and such as have tokens of their own.
    tree = package.parse_module("x[1:] = not (f(a, *b)) if c else 'd'\n")
    if [each.name for each in dataclasses.fields(tree)][:3] != ["body", "header", "footer"]:
        raise ImportError("libcst's nodes are not the dataclasses that they were")


def _write(self: Any, state: Any, **keywords: Any) -> None:
    """The ``_codegen`` of all nodes: what `minpy.transform.syntax.Spans` notes before and after, in one call."""
    start = state.position
    self._codegen_impl(state, **keywords)
    if self not in state.spans:
        state.spans[self] = start, state.position


def _write_space(self: Any, state: Any) -> None:
    """That of whitespace, whose place nobody asks for."""
    if self.value:
        state.add_token(self.value)


def _stand_in(name: str, **names: Any) -> None:
    module = ModuleType(f"libcst.{name}")
    vars(module).update(names)
    sys.modules[module.__name__] = module


@contextlib.contextmanager
def _replaced(module: ModuleType, name: str, value: Any) -> Iterator[None]:
    kept = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, kept)


class _Nothing:
    """Stands for base classes that do nothing here: instances are made, and classes compared, without a metaclass."""


class _Annotation:
    """Stands for all types that annotations are made of."""

    def __getitem__(self, _: object) -> _Annotation:
        return self

    def __call__(self) -> _Annotation:  # Python 3.10 takes nothing else for a type
        return self


def _manager(function: Callable[..., Iterator[Any]]) -> Callable[..., _Managed]:
    """What `contextlib.contextmanager` is replaced by."""
    return lambda *arguments, **keywords: _Managed(function(*arguments, **keywords))


class _Managed:
    """A generator as a context, whose exceptions nobody catches."""

    __slots__ = ("_steps",)

    def __init__(self, steps: Iterator[Any]) -> None:
        self._steps = steps

    def __enter__(self) -> Any:
        return next(self._steps)

    def __exit__(self, *_: object) -> None:
        next(self._steps, None)


def _dataclass(kind: Any = None, /, **_: Any) -> Any:
    """What `dataclasses.dataclass` is replaced by."""
    if kind is None:
        return _dataclass
    kind.__init__ = _fill
    kind.__dataclass_fields__ = _FIELDS
    return kind


class _Fields:
    """The fields of a class, when they are asked for."""

    def __get__(self, instance: object, kind: type) -> dict[str, dataclasses.Field[Any]]:
        found: dict[str, dataclasses.Field[Any]] = {}
        for base in _decorated(kind):
            for name in base.__annotations__:
                if not name.startswith("__"):
                    found[name] = each = dataclasses.field()
                    each.name, each._field_type = name, dataclasses._FIELD  # type: ignore[attr-defined]
        return found


_FIELDS = _Fields()


def _decorated(kind: type) -> list[type]:
    """The classes that a class has its fields from, the most general one first."""
    mro = reversed(kind.__mro__)
    return [each for each in mro if "__dataclass_fields__" in vars(each) and "__annotations__" in vars(each)]


def _fill(self: Any, *arguments: Any, **keywords: Any) -> None:
    """The ``__init__`` of all nodes. Defaults that are values are found in the class."""
    kind, values = type(self), self.__dict__
    made = kind.__dict__.get("_made")
    if made is None:
        made = kind._made = _made(kind)
    for name, make in made:
        if name not in keywords:
            values[name] = make()
    if arguments:
        values.update(zip(kind.__dataclass_fields__, arguments, strict=False))
    values.update(keywords)


def _made(kind: Any) -> tuple[tuple[str, Callable[[], Any]], ...]:
    """The fields whose defaults are made for each node."""
    found: dict[str, Callable[[], Any]] = {}
    for base in _decorated(kind):
        for name in base.__annotations__:
            default = vars(base).get(name)
            found.pop(name, None)
            if isinstance(default, dataclasses.Field):
                if default.default_factory is not dataclasses.MISSING:
                    found[name] = default.default_factory
                elif default.default is not dataclasses.MISSING:
                    setattr(base, name, default.default)
                else:
                    delattr(base, name)
    return tuple(found.items())


__all__ = ["load"]
