"""Small arrays and loops where a GPU is in use: NumPy's, and compiled, as if none were."""

from __future__ import annotations

import builtins
import operator
import traceback
from typing import Any

import numpy as np
import pytest

import minpy
from minpy import routed
from minpy.options import Options
from minpy.places import ALERT
from minpy.runtime import cost, entry, placement, profile, small, small_code
from minpy.runtime.array import Array
from minpy.runtime.context import cpu, gpu
from minpy.runtime.fuse import sites as blocks
from minpy.runtime.jit import sites
from minpy.runtime.policy import AutoPolicy, OnlyNumPyPolicy, PreferMXNetPolicy
from minpy.runtime.primitives import table
from minpy.transform import catalog, rewriter
from minpy.transform.hook import put_door

pytestmark = pytest.mark.skipif(not small._code(), reason="no compiler (extra jit) for these interpreters")


@pytest.fixture
def card(machine):
    """The card of `gpu(0)` under `auto`."""
    with gpu(0):
        yield machine.cards[0]


def quick() -> bool:
    """Whether small arrays go straight to NumPy now."""
    return bool(small._shared[small_code.QUICK])


class Spy:
    """Counts what comes to the dispatcher."""

    def __init__(self, monkeypatch: Any) -> None:
        from minpy.runtime import dispatch

        self.calls: list[str] = []
        original = dispatch.call

        def call(primitive: Any, args: tuple, kwargs: dict) -> Any:
            self.calls.append(primitive.name)
            return original(primitive, args, kwargs)

        monkeypatch.setattr(dispatch, "call", call)

    def count(self) -> int:
        """How many since the last time."""
        found, self.calls[:] = len(self.calls), []
        return found


@pytest.fixture
def spy(card, monkeypatch) -> Spy:
    """What comes to the dispatcher while the card is there."""
    return Spy(monkeypatch)


X, Y, K = np.linspace(0.1, 0.9, 12), np.linspace(2.0, 3.0, 12), np.arange(12)
SMALL = {
    "ufunc": lambda np: np.exp(X), "two": lambda np: np.maximum(X, Y), "number": lambda np: np.sqrt(2.0),
    "keyword": lambda np: np.sum(X.reshape(3, 4), axis=0, keepdims=True), "dtype": lambda np: np.sum(K, dtype="f4"),
    "class": lambda np: np.zeros(3, np.float32), "dtype object": lambda np: np.ones(2, dtype=np.dtype("i4")),
    "list": lambda np: np.array([1, 2.5, 3]), "nested": lambda np: np.array([[1, 2], [3, 4]]),
    "arrays in a list": lambda np: np.concatenate([X, Y]), "tuple": lambda np: np.zeros((2, 3)),
    "method of a ufunc": lambda np: np.add.reduce(X), "out": lambda np: np.exp(X, out=np.empty(12)),
    "submodule": lambda np: np.linalg.norm(X), "empty": lambda np: np.exp(np.empty(0)),
    "0-d": lambda np: np.sin(np.array(2.0)), "text": lambda np: np.einsum("i,i", X, Y),
    "view": lambda np: np.reshape(X, (3, 4)), "broadcast": lambda np: np.broadcast_to(X, (5, 12)),
    "None": lambda np: np.argsort(X, kind=None), "where": lambda np: np.where(X > 0.5, X, Y),
}  # fmt: skip


@pytest.mark.parametrize("name", SMALL)
def test_functions_of_small_arrays_are_numpys(spy, name: str) -> None:
    got, want = SMALL[name](routed.np), SMALL[name](np)
    assert type(got) is type(want) and getattr(got, "dtype", None) == getattr(want, "dtype", None)
    np.testing.assert_array_equal(got, want)
    assert name in ("view", "method of a ufunc", "0-d") or spy.count() == 0


OPERATORS = {
    "add": 2, "sub": 2, "mul": 2, "truediv": 2, "floordiv": 2, "mod": 2, "pow": 2, "matmul": 2, "lt": 2, "le": 2,
    "eq": 2, "ne": 2, "gt": 2, "ge": 2, "and_": 2, "or_": 2, "xor": 2, "lshift": 2, "rshift": 2, "neg": 1, "pos": 1,
    "invert": 1,
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_of_small_arrays_are_pythons(spy, name: str) -> None:
    import operator

    plain, ours = getattr(operator, name), getattr(routed.op, name)
    for left, right in (
        (X, Y),
        (K, K % 3 + 1),
        (X, 2),
        (3, 2),
        (2.5, K + 1),
        ("ab", 2),
        ([1], [2]),
        (X, None),
        (object(), X),
    ):
        given = (left, right)[: OPERATORS[name]]

        def outcome(function: Any, given: tuple = given) -> Any:
            try:
                return function(*given)
            except (TypeError, ValueError) as error:
                return str(error)

        got, want = outcome(ours), outcome(plain)
        assert type(got) is type(want)
        assert str(got) == str(want)
    assert spy.count() == 0
    with pytest.raises(TypeError):
        ours(*given, 1)


def test_what_is_large_or_lives_there_is_dispatched(spy) -> None:
    large, n = np.ones(small_code.FEW + 1), small_code.FEW
    for call in (
        lambda: routed.np.exp(large), lambda: routed.np.concatenate([large[:n]] * 5), lambda: routed.op.add(large, 1.0),
        lambda: routed.op.add(1.0, large), lambda: routed.op.neg(large), lambda: routed.np.multiply(2.0, large),
        lambda: routed.np.sum(np.broadcast_to(1.0, (1 << 30, 1 << 20))[:1]),
    ):  # fmt: skip
        small.forget()
        call()
        assert spy.count() > 0
    small.forget()
    routed.np.exp(large[:n])
    routed.op.add(large[:n], 1.0)
    assert spy.count() == 0
    with PreferMXNetPolicy():
        there = routed.np.exp(X)
    assert type(there) is Array and type(routed.op.add(there, X)) is Array
    np.testing.assert_allclose(np.asarray(routed.np.sqrt(there)), np.sqrt(np.exp(X)), rtol=1e-14)


def test_what_no_device_does_sooner_is_not_asked_for(spy, card) -> None:
    routed.np.exp(np.ones(small_code.FEW + 1))  # from here on the card's figures are known
    assert spy.count() == 1
    most = placement._most("cupy-gpu")
    assert small.few == most["transcendental"] > 2 * small_code.FEW
    account = placement.account(gpu(0).device())
    thin = np.ones((most["matmul"] // 4, 4))
    calls: dict[str, Any] = {
        "exp": (np.ones(most["transcendental"]),), "add": (np.ones(most["arith"]), 2.0),
        "copy": (np.ones(most["move"]),),
        "sum": (np.ones((2, most["reduce"] // 2)),), "sort": (np.ones(most["sort"]),),
        "dot": (np.ones(most["reduce"]),) * 2,
        "matmul": (thin, thin.T[:, :300]),
    }  # fmt: skip
    for name, args in calls.items():
        getattr(routed.np, name)(*args)
        assert spy.count() == 0, name
        # Nor would the card have got it, however often it was asked for.
        for _ in range(3):
            assert account.refuse(table.by_name[name], args, {}) is not None, name
        if name != "matmul":
            getattr(routed.np, name)(
                *[np.ones(2 * each.size) if type(each) is np.ndarray else each for each in args]
            )
            assert spy.count() == 1, name
    matrix = np.ones((most["reduce"] // 128 * 2, 64))
    for args in ((matrix, matrix[0]), (matrix[:, 0].copy(), matrix), (matrix.reshape(2, -1, 64), matrix[0])):
        np.testing.assert_array_equal(routed.np.dot(*args), np.dot(*args))
        np.testing.assert_array_equal(routed.op.matmul(*args), np.matmul(*args))
        assert spy.count() == 0
        for _ in range(3):
            assert account.refuse(table.by_name["dot"], args, {}) is not None
    assert card.uploads == 0
    large = np.ones((1000, 1000))
    assert routed.np.reshape(large, -1).base is large and spy.count() == 0
    assert type(routed.np.zeros(small.few)) is np.ndarray and type(routed.np.zeros(small.few + 1)) is Array


def test_what_the_host_does_sooner_is_not_offered_to_the_card(card, monkeypatch) -> None:
    """Above the bounds of the doors the figures are asked first, unless somebody wants to know the reason."""
    square, device = np.ones((120, 120)), gpu(0).device()
    assert square.size > placement._most("cupy-gpu")["matmul"]
    offered = []
    original = type(device).unsupported
    monkeypatch.setattr(type(device), "unsupported", lambda *args: offered.append(args) or original(*args))
    assert type(routed.np.dot(square, square)) is np.ndarray
    assert not offered
    recorder = profile.start(profile.Recorder())
    try:
        routed.np.dot(square, square)
    finally:
        profile.stop(recorder)
    assert offered and any("MP106" in reason for reason in recorder.reasons["dot"])


def test_what_is_small() -> None:
    for given, few in (
        ((X, 2.0, None), True), (([1, 2.5], (3, "a")), True), (([X] * 10,), True), ((np.ones(4097),), False),
        (([[[[1]]]],), False), (([[[1]]],), True), (([0.0] * 65,), False), ((object(),), False),
        ((np.ma.ones(3),), False), (([np.ones(5000)],), False), ((len,), False), ((np.empty(0),), True),
    ):  # fmt: skip
        assert small.is_small(given) is few, given
        assert small.is_small((), dict(enumerate(given))) is few, given  # type: ignore[arg-type]
    assert len(small._KINDS) <= small_code.MOST_KINDS


def test_without_the_compiler_the_dispatchers_do_it(card) -> None:
    from minpy.runtime.namespace import dispatcher
    from minpy.runtime.primitives.table import by_name

    exp, zeros, total, stack = (dispatcher(by_name[name]) for name in ("exp", "zeros", "sum", "concatenate"))
    for got, want in (
        (exp(X), np.exp(X)), (zeros((3, 2), dtype="f4"), np.zeros((3, 2), "f4")), (zeros(3), np.zeros(3)),
        (total(X.reshape(3, 4), axis=0), np.sum(X.reshape(3, 4), axis=0)), (stack([X, Y]), np.concatenate([X, Y])),
    ):  # fmt: skip
        assert type(got) is np.ndarray and got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)
    assert type(zeros(5000)) is Array
    assert card.kernels == card.uploads == 0
    with PreferMXNetPolicy():
        assert type(exp(X)) is Array


def test_large_arrays_out_of_nothing_may_go_there(spy) -> None:
    assert type(routed.np.zeros(small_code.FEW)) is np.ndarray
    large = routed.np.zeros(small_code.FEW + 1)
    assert type(large) is Array and large.dtype == np.float64
    assert spy.count() == 0


def test_errors_are_numpys_and_show_no_frame_of_ours(card) -> None:
    for call in (
        lambda np, op: np.exp("a"),
        lambda np, op: np.dot(X, X[:3]),
        lambda np, op: op.add(X, X[:3]),
    ):
        found = []
        for names in ((routed.np, routed.op), (np, __import__("operator"))):
            with pytest.raises((TypeError, ValueError)) as caught:
                call(*names)
            frames = [f.name for f in traceback.extract_tb(caught.tb)][1:]
            found.append((str(caught.value), frames))
        assert found[0] == found[1]


def test_while_anybody_looks_everything_is_dispatched(machine, monkeypatch) -> None:
    spy = Spy(monkeypatch)
    with gpu(0):
        assert quick()
        with cpu(), OnlyNumPyPolicy(), AutoPolicy():
            assert quick()
        for watcher in (PreferMXNetPolicy(), type("Mine", (AutoPolicy,), {})()):
            with watcher:
                assert not quick()
                routed.np.exp(X)
                assert spy.count() > 0
        recorder = profile.start(profile.Recorder())
        assert not quick()
        profile.stop(recorder)
        seen = []
        minpy.grad(lambda u: (seen.append(quick()), routed.np.sum(routed.np.exp(u)))[1])(X)
        assert seen == [False] and quick()
        with gpu(1):
            assert quick()
    with PreferMXNetPolicy():
        assert not quick()
    spy.count()
    routed.np.exp(X)
    assert spy.count() == 0 and not entry.is_active()


def test_reference_counts_stay(card) -> None:
    import sys

    kept, items = np.array([1.5, 2.5]), [1.0, 2.0]
    before = [sys.getrefcount(each) for each in (kept, items, np.exp, None)]
    for _ in range(1000):
        routed.np.exp(kept), routed.op.add(kept, kept), routed.np.array(items), routed.np.zeros(5000)
    after = [sys.getrefcount(each) for each in (kept, items, np.exp, None)]
    assert max(abs(a - b) for a, b in zip(after, before, strict=True)) < 50


# ----- loops ------------------------------------------------------------------------------------------------

PROGRAM = """
import numpy as np

def fill(n):
    u = np.zeros(n)
    for i in range(n):
        u[i] = (i % 7) * 0.25 + 1.0
    return u

def sweep(u, n):
    s = 0.0
    for i in range(1, n):
        u[i] += 0.5 * u[i - 1]
        s += u[i]
    return s

def swap(n):
    u, v = np.linspace(0.0, 1.0, n), np.zeros(n)
    row = u
    for k in range(6):
        for i in range(1, n - 1):
            v[i] = 0.5 * (u[i - 1] + u[i + 1])
        u, v = v, u
        row = u[1:-1]
    return u, v, row

def whole(u, steps):
    for k in range(steps):
        u = u * 0.5 + 1.0
    return u
"""


@pytest.fixture
def looping(card, program):
    """The program, run where a card is in use."""
    return program


@pytest.fixture
def program(tmp_path, monkeypatch, request):
    """The program, rewritten for a GPU, with its loops compiled; and as written."""
    monkeypatch.setenv("MINPY_JIT", "force")
    put_door()
    path = tmp_path / "looping.py"
    text = f"{PROGRAM}# {request.node.name}: sites go by the text's digest\n"
    path.write_text(text)
    plain: dict[str, Any] = {}
    exec(compile(text, str(path), "exec"), plain)
    ours: dict[str, Any] = {}
    exec(compile(rewriter.plan(text, Options(context="gpu")).apply(), str(path), "exec"), ours)
    before = len(sites.sites)

    def compiled() -> list[Any]:
        return [site for site in sites.sites[before:] if site.compiled]

    return ours, plain, compiled


N = 5000


def test_a_loop_over_what_the_host_holds_runs_compiled(looping, card) -> None:
    ours, plain, compiled = looping
    u, want = ours["fill"](N), plain["fill"](N)
    assert type(u) is Array
    assert ours["sweep"](u, N) == plain["sweep"](want, N)
    np.testing.assert_array_equal(u.asnumpy(), want)
    assert len(compiled()) == 2 and card.kernels == card.uploads == 0
    got = np.ones(N)
    assert ours["sweep"](got, N) == plain["sweep"](np.ones(N), N)


def test_what_lives_on_the_card_comes_as_a_whole(looping, card) -> None:
    ours, plain, compiled = looping
    with PreferMXNetPolicy():
        u = routed.np.exp(np.linspace(0.0, 1.0, N))
    assert (card.downloads, u.storage.handle is None) == (0, False)
    want = np.exp(np.linspace(0.0, 1.0, N))
    assert ours["sweep"](u, N) == pytest.approx(plain["sweep"](want, N), rel=1e-13)
    assert card.downloads == 1 and compiled()[0].fetched == 1
    # The card's copy is stale: it is sent again.
    with PreferMXNetPolicy():
        np.testing.assert_allclose(np.asarray(routed.np.negative(u)), -want, rtol=1e-13)


def test_names_keep_their_arrays(looping, card) -> None:
    ours, plain, compiled = looping
    (u, v, row), (a, b, part) = ours["swap"](N), plain["swap"](N)
    assert type(u) is type(v) is type(row) is Array and compiled()
    assert row.storage is u.storage is not v.storage
    with PreferMXNetPolicy():
        row[...] = 2.0  # on the card, as u
        u += 1.0
    part[...] = 2.0
    a += 1.0
    np.testing.assert_array_equal(u.asnumpy(), a)
    np.testing.assert_array_equal(row.asnumpy(), part)
    np.testing.assert_array_equal(v.asnumpy(), b)


def test_operations_on_large_arrays_are_the_cards(looping, card) -> None:
    ours, plain, compiled = looping
    small_one = ours["whole"](np.ones(5), 200)
    np.testing.assert_array_equal(small_one, plain["whole"](np.ones(5), 200))
    assert len(compiled()) == 1
    got = ours["whole"](np.ones(300_000), 60)
    np.testing.assert_allclose(np.asarray(got), plain["whole"](np.ones(300_000), 60), rtol=1e-14)
    assert card.kernels > 20


def test_a_loop_that_went_the_short_way_on_the_host_asks_where_a_card_is(program, machine) -> None:
    ours, plain, compiled = program
    for _ in range(3):
        ours["whole"](np.ones(5), 200)
    (site,) = compiled()
    assert site.shortcut and site.shortcut.rounds
    with gpu(0):
        got = ours["whole"](np.ones(300_000), 60)
        np.testing.assert_allclose(np.asarray(got), plain["whole"](np.ones(300_000), 60), rtol=1e-14)
        assert machine.cards[0].kernels > 20


def test_a_tape_or_another_policy_has_the_loop_as_written(looping, card) -> None:
    ours, plain, compiled = looping
    u = np.linspace(0.0, 1.0, 60)
    gradient = minpy.grad(lambda z: ours["sweep"](z * 1.0, 60))(u)
    assert not compiled()
    with cpu():
        pass
    step = 1e-6
    bumped = u + step * np.eye(60)[3]
    slope = (plain["sweep"](bumped.copy(), 60) - plain["sweep"](u.copy(), 60)) / step
    assert np.asarray(gradient)[3] == pytest.approx(slope, rel=1e-6)
    with PreferMXNetPolicy():
        ours["whole"](np.ones(5), 20)
    assert not compiled()


# ----- blocks -----------------------------------------------------------------------------------------------

BLOCK = """
import numpy as np

def chain(a, b, times):
    for _ in range(times):
        c = np.tanh(a * b + a) - np.exp(-b)
    return c
"""


@pytest.mark.parametrize("speed, there", [(0.01, False), (50.0, True)], ids=["slow card", "fast card"])
def test_a_block_runs_where_its_operations_are_done_first(
    card, monkeypatch, speed: float, there: bool
) -> None:
    figures = {
        kind: tuple((n, t / speed) for n, t in points)
        for kind, points in cost.BUILT_IN.points["cupy-gpu"].items()
    }
    model = cost.CostModel({"numpy": cost.BUILT_IN.points["numpy"], "cupy-gpu": figures})
    monkeypatch.setattr(cost, "model", lambda: model)
    monkeypatch.setenv("MINPY_FUSE", "force")
    put_door()
    space: dict[str, Any] = {}
    text = f"{BLOCK}# {speed}\n"
    exec(compile(rewriter.plan(text, Options(context="gpu", fuse="force")).apply(), "<block>", "exec"), space)
    before = len(blocks.sites)
    a, b = np.linspace(0.0, 1.0, 50_000), np.linspace(1.0, 2.0, 50_000)
    got = space["chain"](a, b, 30)
    np.testing.assert_allclose(np.asarray(got), np.tanh(a * b + a) - np.exp(-b), atol=1e-15)
    fused = [site.fused for site in blocks.sites[before:]]
    assert (card.kernels > 0) is there
    assert (max(fused) == 30) is not there


def test_the_doors_are_built_in_functions_only_where_nothing_else_is_active(card) -> None:
    """The interpreter holds operands of a built-in function once more, which a derivative would count."""
    routed.np.exp(X)
    assert quick() and small._replaced
    with PreferMXNetPolicy():
        assert all(
            vars(door)[name] is each for door, slow, _ in small._replaced for name, each in slow.items()
        )
    assert all(vars(door)[name] is each for door, _, found in small._replaced for name, each in found.items())


def test_the_door_of_operators_has_all_names_and_asks_nobody(card) -> None:
    """The interpreter finds no name quickly in a module that has a `__getattr__`."""
    import operator

    door = routed.op
    assert door is not operator and "__getattr__" not in vars(door)
    assert set(dir(operator)) <= set(dir(door))
    assert door.itemgetter is operator.itemgetter


# ----- operators that are left alone --------------------------------------------------------------------------

OPERATING = """
import numpy as np

def numbers(n, x=1.0):
    for k in range(n):
        x = x * 0.5
    return x

def doubled(u):
    return u * 2.0 + u

def total(u):
    return u.sum() - 1.0
"""


def alert() -> bool:
    """Whether operators are looked at."""
    return getattr(builtins, ALERT)


@pytest.fixture
def operating(card, monkeypatch) -> dict[str, Any]:
    """Functions with operators, rewritten for a GPU; looked at when a test begins, and woken by nobody else."""
    put_door()
    space: dict[str, Any] = {"resting": []}
    options = Options(context="gpu", jit="off", fuse="off")
    exec(compile(rewriter.plan(OPERATING, options).apply(), "<operating>", "exec"), space)
    blocks.wake()
    monkeypatch.setattr(small, "_quiet", small.Quiet())
    monkeypatch.setattr(blocks, "rest", lambda site, soon: space["resting"].append(site))
    small.alarm()
    yield space
    small.alarm()


def test_operators_that_meet_nothing_large_are_not_looked_at(operating, spy) -> None:
    assert alert()
    assert operating["numbers"](small_code.PATIENCE) == 0.5**small_code.PATIENCE
    assert not alert() and spy.count() == 0
    large = np.ones(300_000)
    assert type(operating["doubled"](large)) is np.ndarray and spy.count() == 0
    (site,) = operating["resting"]
    site.set_flag(True)  # as the thread does, after a while
    assert alert()
    for _ in range(20):
        got = operating["doubled"](large)
    assert spy.count() >= 20 and type(got) is Array
    np.testing.assert_array_equal(np.asarray(got), 3 * large)


@pytest.mark.parametrize("made", ["exp", "zeros", "full", "list"])
def test_whoever_sees_a_large_array_has_operators_looked_at(operating, made: str) -> None:
    def see(n: int) -> None:
        {
            "exp": lambda: routed.np.exp(np.ones(n)), "zeros": lambda: routed.np.zeros(n),
            "full": lambda: routed.np.full((n, 1), 1.0), "list": lambda: routed.np.concatenate([[1.0], np.ones(n)]),
        }[made]()  # fmt: skip

    operating["numbers"](small_code.PATIENCE)
    see(small_code.FEW)
    assert not alert()
    see(small_code.FEW + 1)
    assert alert() and small._shared[small_code.LEFT] == small_code.PATIENCE


def test_what_was_found_holds_when_the_context_is_entered_again(machine, monkeypatch) -> None:
    monkeypatch.setattr(blocks, "rest", lambda site, soon: None)
    monkeypatch.setattr(small, "_quiet", small.Quiet())
    with gpu(0):
        small.alarm()
        for _ in range(small_code.PATIENCE):
            routed.op.add(1.5, 2.5)
        found = routed.type
        assert not alert()
    assert not entry.is_active() and not alert()
    for _ in range(2):
        with gpu(0):
            assert quick() and not alert()
            assert routed.type is found is not type
    small.alarm()


def test_a_large_operand_starts_the_count_again(operating) -> None:
    operating["numbers"](small_code.PATIENCE - 10)
    assert small._shared[small_code.LEFT] < 100
    operating["doubled"](np.ones(small_code.FEW + 1))
    assert small._shared[small_code.LEFT] > small_code.PATIENCE - 10 and alert()


def test_what_was_left_alone_is_looked_at_by_watchers(operating) -> None:
    operating["numbers"](small_code.PATIENCE)
    assert not alert()
    with PreferMXNetPolicy():
        assert alert() and type(operating["doubled"](X)) is Array
    assert not alert()
    seen: list[bool] = []
    slope = minpy.grad(lambda u: (seen.append(alert()), operating["total"](u * u))[1])
    np.testing.assert_allclose(np.asarray(slope(X)), 2 * X)
    assert seen == [True] and not alert()


def test_numbers_need_no_dispatcher_where_only_a_card_is_in_use(card) -> None:
    import math

    assert routed.math is math and routed.float is builtins.float
    large = routed.np.zeros(small_code.FEW + 1)
    assert type(large) is Array and routed.type(large) is np.ndarray
    for value in (1.5, X, None, int, np.float32(2)):
        assert routed.type(value) is type(value)
    with pytest.raises(TypeError):
        routed.type()
    assert routed.type("A", (), {}).__name__ == "A"
    with PreferMXNetPolicy():
        assert routed.math is not math and routed.float is not builtins.float


def test_the_door_of_functions_is_found_quickly_and_the_other_has_every_name(card) -> None:
    assert "__getattr__" not in vars(routed.np) and "__getattr__" not in vars(routed.np.linalg)
    for path in catalog.STEADY:
        assert callable(operator.attrgetter(path)(routed.np)), path
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = routed.numpy.no_such_name
    assert routed.numpy.linalg.norm(X) == np.linalg.norm(X)


def test_a_block_too_small_for_the_card_goes_the_short_way_there(card, monkeypatch) -> None:
    monkeypatch.setenv("MINPY_FUSE", "force:direct")
    put_door()
    space: dict[str, Any] = {}
    text = f"{BLOCK}# the short way\n"
    options = Options(context="gpu", jit="off", fuse="force:direct")
    exec(compile(rewriter.plan(text, options).apply(), "<block>", "exec"), space)
    before = len(blocks.sites)
    routed.np.exp(np.ones(small_code.FEW + 1))  # from here on the card's figures are known
    assert blocks.left_alone > 20_000
    for n, short in ((20_000, True), (2 * blocks.left_alone, False)):
        a, b = np.linspace(0.0, 1.0, n), np.linspace(1.0, 2.0, n)
        (site,) = blocks.sites[before:] or (None,)
        hits = site.block.shortcut.hits if site is not None else 0
        got = space["chain"](a, b, 40)
        (site,) = blocks.sites[before:]
        np.testing.assert_array_equal(np.asarray(got), np.tanh(a * b + a) - np.exp(-b))
        assert (site.block.shortcut.hits - hits > 20) is short
    with cpu():
        pass
    assert card.kernels == 0
