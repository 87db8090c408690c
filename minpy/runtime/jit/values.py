"""What expressions of a compiled loop stand for, and the variables that hold it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import Any, NamedTuple

from minpy.records import dataclass
from minpy.runtime.jit.kinds import CODES


@dataclass(frozen=True)
class Val:
    """A scalar: the kinds it may have, its representation, its value and its tag in the code."""

    kinds: frozenset[str]
    rep: str
    x: str
    tag: str

    @property
    def kind(self) -> str | None:
        """The kind, if there is only one."""
        return next(iter(self.kinds)) if len(self.kinds) == 1 else None


def scalar(kind: str, rep: str, x: str) -> Val:
    """A scalar of one kind."""
    return Val(frozenset((kind,)), rep, x, str(CODES[kind]))


def small(extent: int, ndim: int = 2) -> int:
    """The extent of a last axis if code is made for it alone, else 0: of vectors, which come in more lengths, less."""
    return extent if 1 < extent <= (9 if ndim > 1 else 4) else 0


class ArrayType(NamedTuple):
    """What is known of an array when the loop is compiled.

    `unit` says that the elements of the last axis lie side by side; `kind` is what an element is when it is read;
    `sequence` marks what is no array in the program: a list, a tuple, bytes, a string, all of one kind; `ones` are
    the axes that have one element whatever happens; `last` is the extent of the last axis if that is small and
    always so (the coordinates of points, the colours of pixels), else 0: code for so many elements needs no loop.
    """

    dtype: str
    ndim: int
    unit: bool
    kind: str
    sequence: bool = False
    ones: tuple[int, ...] = ()
    last: int = 0

    def with_dims(self, dims: tuple[str, ...]) -> ArrayType:
        """This type, with what is known of the extents in the code."""
        ones = tuple(axis for axis, dim in enumerate(dims) if dim == "1")
        last = int(dims[-1]) if dims and dims[-1].isdigit() else 0
        return self._replace(ones=ones, last=small(last, len(dims)))

    def joined(self, other: ArrayType) -> ArrayType | None:
        """What is known of an array that is of this or the other type; None if nothing can be both."""
        unit, ones = self.unit and other.unit, tuple(sorted(set(self.ones) & set(other.ones)))
        last = self.last if self.last == other.last else 0
        mine, others = (each._replace(unit=unit, ones=ones, last=last) for each in (self, other))
        return mine if mine == others else None


@dataclass(frozen=True)
class Ref:
    """An array, or a view of one, at some point of the code.

    `ident` tells objects of the program from each other (empty: nothing holds it yet); `owner` whose memory it is, the
    number of an array that came in or the address of a buffer; `roots` names the arrays that came in and may be meant,
    and `fresh` says that it may be a buffer; `access` is what is said of stores into an element. `turned` is a view
    whose axes were just brought into another order; `log` says what becomes of what it held (`undo`); `made` are the
    shape and strides that a new array was made with: an array of others is a view of it.
    """

    type: ArrayType
    pointer: str
    dims: tuple[str, ...]
    strides: tuple[str, ...]
    ident: str = ""
    owner: str = ""
    roots: frozenset[str] = frozenset()
    fresh: bool = False
    access: str = ""
    turned: bool = False
    log: str = ""
    made: tuple[tuple[str, ...], tuple[str, ...]] | None = None


@dataclass(frozen=True)
class Lazy:
    """An array expression that is not computed yet: its elements' kind, its shape, the code for one of them.

    An extent ``"1"`` is stretched to whatever it meets; `refs` are the arrays that it reads, and `mixed` says that it
    reads them at other places than where its elements will be. `breaks` are axes, counted from the last one (-1), with
    positions from which on the elements of `refs` lie somewhere else: loops over elements are cut there. `plain` says
    that an element is made of those of `refs` with the same indices, and of nothing else that depends on these. `cost`
    is how many operations make an element, long ones counted as several. `items` are the elements, if they are numbers.
    `one_by_one` says that the processor has no way to read several of them at a time; `counts`, that the elements are
    0, 1, 2 and so on.
    """

    kind: str
    dims: tuple[str, ...]
    element: Callable[[list[str]], Val]
    refs: tuple[Ref, ...]
    mixed: bool = False
    breaks: tuple[tuple[int, str], ...] = ()
    plain: bool = False
    cost: int = 1
    items: tuple[Val, ...] = ()
    one_by_one: bool = False
    counts: bool = False


@dataclass(frozen=True)
class Known:
    """An object that is known when the loop is compiled: a module, a function, a type."""

    value: Any


@dataclass(frozen=True)
class Several:
    """A tuple that exists only while the code is made."""

    items: tuple[Any, ...]


@dataclass
class Variable:
    """A scalar variable; `kinds` grows until the code for the loop fits it, and `own` are those the loop gives it."""

    name: str
    kinds: set[str] = field(default_factory=set)
    own: set[str] = field(default_factory=set)
    rep: str = ""
    slot: int = -1
    value: str = ""
    tag: str = ""
    assigned: bool = False
    may_be_unbound: bool = False


@dataclass
class ArrayVariable:
    """A variable that holds arrays of one type; `roots` and `fresh` as in `Ref`, for all that it may hold."""

    name: str
    type: ArrayType
    slot: int = -1
    pointer: str = ""
    dims: tuple[str, ...] = ()
    strides: tuple[str, ...] = ()
    ident: str = ""
    owner: str = ""
    roots: frozenset[str] = frozenset()
    fresh: bool = False
    assigned: bool = False
    comes_in: bool = False
    views: bool = False  # whether it may hold views of what came in
