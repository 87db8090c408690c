"""Dataclasses that are made late are those of the standard library."""

from __future__ import annotations

import dataclasses
import sys
import threading
from dataclasses import field

import pytest

from minpy.records import dataclass


def kinds(dataclass):
    @dataclass
    class Base:
        """Something."""

        a: int
        b: list[int] = field(default_factory=list)

        def twice(self):
            return self.a * 2

    @dataclass(frozen=True)
    class Frozen:
        x: int = 1
        y: tuple[int, ...] = ()
        z: int = field(default=5, compare=False)

        def __post_init__(self):
            assert self.x >= 0

    @dataclass(eq=False)
    class Derived(Base):
        c: int = 3

        def twice(self):
            return super().twice() + 1

    return Base, Frozen, Derived


def say(kinds):
    base, frozen, derived = kinds
    d = derived(1, c=4)
    yield repr(d), d.twice(), derived(1) == derived(1), d.b is not derived(1).b
    yield (
        repr(base(2, [3])),
        base(2) == base(2),
        base(2) != base(3),
        base.__hash__ is None,
        base.__match_args__,
    )
    f = frozen(y=(1,))
    yield repr(f), f == frozen(1, (1,), 6), hash(f) == hash(frozen(1, (1,))), len({f, frozen(1, (1,))})
    yield [each.name for each in dataclasses.fields(f)], dataclasses.replace(f, x=7), frozen.x, frozen.z
    for wrong in (lambda: setattr(f, "x", 2), lambda: frozen(-1), lambda: base(), lambda: base(1, 2, 3)):
        with pytest.raises((AttributeError, AssertionError, TypeError)) as caught:
            wrong()
        yield type(caught.value), str(caught.value)
    yield hasattr(base, "b"), [sorted(vars(each)) for each in kinds]


def test_they_are_the_same():
    for mine, others in zip(say(kinds(dataclass)), say(kinds(dataclasses.dataclass)), strict=True):
        assert str(mine) == str(others)


def test_a_handler_that_raises_while_one_is_made(monkeypatch):
    """Whenever it does: the class is made by the next one."""

    class Raised(Exception):
        pass

    for after in range(0, 600, 7):
        base, frozen, derived = kinds(dataclass)
        left = after

        def watch(*_):
            nonlocal left
            left -= 1
            if not left:
                raise Raised
            return watch

        sys.settrace(watch)
        try:
            derived(1)
        except Raised:
            pass
        finally:
            sys.settrace(None)
        assert (derived(2).twice(), frozen(3).x, base(1).b) == (5, 3, [])


def test_threads_that_make_one_at_once():
    made = kinds(dataclass)
    failed = []

    def work():
        try:
            for kind in made:
                kind(1)
        except Exception as error:
            failed.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not failed
