"""Which names are NumPy's (or `math`'s): scopes, blocks, bindings, and what a name stands for at a place.

Knows no syntax tree. `routing` walks the tree and reports scopes, bindings and uses here; when the walk is
over every binding is known and the uses are resolved. A name counts as NumPy's only if it is so on every
path: each binding of it in its scope is an import of the same NumPy object, and one of those imports has
certainly been executed.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import field

from minpy.records import dataclass
from minpy.transform import catalog

# Names that a text finds bound, as a cell of a notebook does: each with the path of the object of NumPy, SciPy or
# `math` that it stands for, or None for anything else.
Given = Mapping[str, str | None]
NOTHING: Given = {}

# What the module `math` is called among the paths below numpy; its functions are ":math.exp" and so on.
MATH = ":math"
# And SciPy: ":scipy.special.erf".
SCIPY = ":scipy"


def normalized(name: str) -> str:
    """Return the identifier as Python compares it (NFKC)."""
    return name if name.isascii() else unicodedata.normalize("NFKC", name)


def numpy_path(module: str) -> str | None:
    """Return the dotted path below ``numpy`` of a module name ("" for numpy itself), or None."""
    if module == "numpy":
        return ""
    return module[6:] if module.startswith("numpy.") else None


def library_path(module: str) -> str | None:
    """Return the path of a module whose functions are routed: as `numpy_path`, `MATH` for ``math``, below
    `SCIPY` for a module of SciPy."""
    if module == "scipy" or module.startswith("scipy."):
        return f":{module}"
    return MATH if module == "math" else numpy_path(module)


class Block:
    """A list of statements that run one after the other; nested blocks may run or not."""

    __slots__ = ("parent",)

    def __init__(self, parent: Block | None = None) -> None:
        self.parent = parent


@dataclass(frozen=True)
class Point:
    """A place: after `offset` in `block`."""

    block: Block
    offset: int

    def dominates(self, other: Point) -> bool:
        """Whether control that reaches `other`, a place in the same scope, has passed this one."""
        if other.offset < self.offset:
            return False
        block: Block | None = other.block
        while block is not None:
            if block is self.block:
                return True
            block = block.parent
        return False


class Binding:
    """All that binds one name in one scope.

    `count` counts the bindings that may change what kind of thing it is, and `harmless` those of them that certainly
    bind no array.
    """

    __slots__ = ("count", "harmless", "points", "targets")

    def __init__(self) -> None:
        self.targets: set[str | None] = set()
        self.points: list[Point] = []
        self.count = 0
        self.harmless = 0


@dataclass
class Star:
    """One ``from module import *``."""

    path: str | None  # below numpy, or None for a module that is not NumPy's
    module: str
    points: list[Point]

    def may_bind(self, name: str) -> bool:
        if self.path == MATH:
            return name in catalog.MATH_MAYBE
        if self.path is not None:
            return self.path not in catalog.STAR_MAYBE or name in catalog.STAR_MAYBE[self.path]
        known = self.module in catalog.STAR_KNOWN or self.module.partition(".")[0] in sys.stdlib_module_names
        return not (known and name in catalog.STAR_HARMLESS)

    def binds(self, name: str) -> bool:
        if self.path == MATH:
            return name in catalog.MATH_ALWAYS
        return self.path is not None and name in catalog.STAR_ALWAYS.get(self.path, ())


# Scopes whose body runs later than the statement that makes it; the others run where they stand.
_DEFERRED = frozenset({"function", "lambda"})


@dataclass(eq=False)
class Scope:
    """A module, class, function, lambda, comprehension or type-parameter scope."""

    kind: str
    parent: Scope | None = None
    made_at: Point | None = None  # where, in the parent
    root: Block = field(default_factory=Block)
    bindings: dict[str, Binding] = field(default_factory=dict)
    outer: dict[str, str] = field(default_factory=dict)  # name -> "global" or "nonlocal"
    stars: list[Star] = field(default_factory=list)

    def bind(self, name: str, target: str | None = None, point: Point | None = None) -> Binding | None:
        """Record a binding: of a NumPy object (its path below numpy), or of anything else (None).

        Returns what is known of the name in this scope, or None if the name belongs to another scope.
        """
        name = normalized(name)
        how = self.outer.get(name)
        if how is None:
            return self._add(name, target, point)
        # Bound from elsewhere, at a time that cannot be told.
        if how == "global":
            self.module()._add(name, None, None)
            return None
        # Which function owns a nonlocal name may not be known yet: every candidate loses it.
        scope = self.parent
        while scope is not None and scope.parent is not None:
            if scope.kind != "class":
                scope._add(name, None, None)
            scope = scope.parent
        return None

    def _add(self, name: str, target: str | None, point: Point | None) -> Binding:
        binding = self.bindings.setdefault(name, Binding())
        binding.targets.add(target)
        binding.count += 1
        if point is not None:
            binding.points.append(point)
        return binding

    def declare(self, name: str, how: str) -> None:
        """Record ``global name`` or ``nonlocal name``."""
        self.outer[normalized(name)] = how

    def bind_walrus(self, name: str) -> None:
        """Record a binding by ``:=``, which comprehensions hand to the scope around them."""
        scope = self
        while scope.kind == "comprehension" and scope.parent is not None:
            scope = scope.parent
        scope.bind(name)

    def module(self) -> Scope:
        scope = self
        while scope.parent is not None:
            scope = scope.parent
        return scope

    def chain(self, name: str, point: Point) -> Iterator[tuple[Scope, Point, bool]]:
        """Yield the scopes asked for `name`, with the place in each and whether the use runs later."""
        scope: Scope | None = self
        deferred = False
        while scope is not None:
            if scope is self or scope.kind != "class":
                yield scope, point, deferred
                how = scope.outer.get(name)
            else:
                how = None
            while True:
                deferred = deferred or scope.kind in _DEFERRED
                if scope.parent is None or scope.made_at is None:
                    return
                point = scope.made_at
                scope = scope.parent
                if how != "global" or scope.parent is None:
                    break


def resolve(scope: Scope, name: str, point: Point) -> str | None:
    """Return the path of what `name` stands for at a place (see `library_path`), or None if not certain."""
    name = normalized(name)
    if name.startswith("__") and not name.endswith("__"):
        return None  # mangled inside classes
    for owner, place, deferred in scope.chain(name, point):
        binding = owner.bindings.get(name)
        if owner.parent is None:
            return _resolve_in_module(owner, name, binding, place, deferred)
        if binding is not None and name not in owner.outer:
            return _resolve_binding(owner, binding, place, deferred)
    return None


def is_no_array(scope: Scope, name: str, point: Point) -> bool:
    """Whether every binding of `name` that a place sees is certainly of something that is no array."""
    name = normalized(name)
    for owner, _, _ in scope.chain(name, point):
        binding = owner.bindings.get(name)
        if binding is not None and name not in owner.outer:
            return 0 < binding.count == binding.harmless and not any(
                star.may_bind(name) for star in owner.stars
            )
    return False


def is_builtin(scope: Scope, name: str, point: Point) -> bool:
    """Whether nothing visible from a place binds `name`, so that it can only be the built-in."""
    for owner, _, _ in scope.chain(name, point):
        if name in owner.bindings or any(star.may_bind(name) for star in owner.stars):
            return False
    return True


def _executed(points: list[Point], root: Block, place: Point, deferred: bool) -> bool:
    return any((deferred and point.block is root) or point.dominates(place) for point in points)


def _resolve_binding(scope: Scope, binding: Binding, place: Point, deferred: bool) -> str | None:
    if len(binding.targets) != 1:
        return None
    (target,) = binding.targets
    if target is None or not _executed(binding.points, scope.root, place, deferred):
        return None
    return target


def _resolve_in_module(
    module: Scope, name: str, binding: Binding | None, place: Point, deferred: bool
) -> str | None:
    stars = [star for star in module.stars if star.may_bind(name)]
    if binding is not None:
        target = _resolve_binding(module, binding, place, deferred)
        if target is None or all(_star_target(star, name) == target for star in stars):
            return target
        # A star import may rebind the name, unless the explicit import comes after it.
        last = max(point.offset for star in stars for point in star.points)
        later = [point for point in binding.points if point.offset > last]
        return target if _executed(later, module.root, place, deferred) else None
    if not stars:
        return None
    targets = {_star_target(star, name) for star in stars}
    if len(targets) != 1 or None in targets:
        return None
    points = [point for star in stars for point in star.points]
    return targets.pop() if _executed(points, module.root, place, deferred) else None


def _star_target(star: Star, name: str) -> str | None:
    if not star.binds(name):
        return None
    return f"{star.path}.{name}" if star.path else name
