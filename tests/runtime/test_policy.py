"""Policies: context managers, the global policy, decorators, blacklists; exceptions, threads and tasks."""

from __future__ import annotations

import asyncio
import json
import threading

import numpy as np
import pytest

import minpy
from minpy import routed
from minpy.errors import PolicyError, UsageError
from minpy.runtime import entry, profile
from minpy.runtime.array import Array
from minpy.runtime.policy import (
    AutoBlacklistPolicy,
    AutoPolicy,
    BlacklistPolicy,
    OnlyMXNetPolicy,
    OnlyNumPyPolicy,
    Policy,
    PreferMXNetPolicy,
    create,
    current_policy,
    get_global_policy,
    set_global_policy,
    wrap_policy,
)
from minpy.runtime.primitives import table
from minpy.runtime.rules import signature

needs_mxnet = pytest.mark.mxnet
X = np.arange(6.0).reshape(2, 3)


@pytest.fixture(autouse=True)
def restored():
    """Every test ends as it began: the default policy, nothing active."""
    before = get_global_policy()
    yield
    set_global_policy(before)
    assert current_policy() is before


def ran_on(function, *args) -> set[str]:
    """The back ends that a call used."""
    recorder = profile.start(profile.Recorder())
    try:
        function(*args)
    finally:
        profile.stop(recorder)
    return {backend for _, backend in recorder.calls}


# ----- names and objects ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, kind",
    [
        ("auto", AutoPolicy),
        ("prefer_mxnet", PreferMXNetPolicy),
        ("only_numpy", OnlyNumPyPolicy),
        ("only_mxnet", OnlyMXNetPolicy),
        ("auto_blacklist", AutoBlacklistPolicy),
    ],
)
def test_names(name: str, kind: type[Policy]) -> None:
    made = create(name)
    assert type(made) is kind and made.name == name
    assert create(made) is made


@pytest.mark.parametrize("wrong", ["fastest", "", None, 3, PreferMXNetPolicy])
def test_unknown_policies_name_the_choices(wrong: object) -> None:
    with pytest.raises(UsageError, match="prefer_mxnet"):
        create(wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        set_global_policy(wrong)  # type: ignore[arg-type]
    assert type(get_global_policy()) is AutoPolicy


def test_policies_are_at_the_root_and_under_the_originals_names() -> None:
    from minpy.dispatch import policy

    assert minpy.OnlyNumPyPolicy is policy.OnlyNumPyPolicy is OnlyNumPyPolicy
    assert minpy.AutoBlacklistPolicy is AutoBlacklistPolicy
    assert policy.PrimitivePolicyError is PolicyError and issubclass(PolicyError, ValueError)


# ----- scopes -----------------------------------------------------------------------------------------------


def test_with_statements_nest() -> None:
    outer, inner = PreferMXNetPolicy(), OnlyNumPyPolicy()
    with outer as entered:
        assert entered is outer is current_policy() and entry.is_active()
        with inner:
            assert current_policy() is inner
            with outer:  # the same object again
                assert current_policy() is outer
            assert current_policy() is inner
        assert current_policy() is outer
    assert type(current_policy()) is AutoPolicy and not entry.is_active()


def test_a_with_statement_ends_with_an_exception() -> None:
    with pytest.raises(KeyError), PreferMXNetPolicy():
        raise KeyError
    assert type(current_policy()) is AutoPolicy and not entry.is_active()


def test_idle_policies_do_not_activate() -> None:
    with OnlyNumPyPolicy():
        assert not entry.is_active() and routed.np is np
    with AutoPolicy():
        assert routed.np is np
    with PreferMXNetPolicy():
        assert routed.np is not np
    assert routed.np is np


def test_the_global_policy() -> None:
    set_global_policy("prefer_mxnet")
    assert type(get_global_policy()) is PreferMXNetPolicy and entry.is_active()
    with OnlyNumPyPolicy():
        assert type(current_policy()) is OnlyNumPyPolicy
        assert type(get_global_policy()) is PreferMXNetPolicy
    chosen = OnlyNumPyPolicy()
    set_global_policy(chosen)
    assert get_global_policy() is chosen and not entry.is_active()
    set_global_policy("prefer_mxnet")
    set_global_policy("prefer_mxnet")
    set_global_policy("auto")
    assert not entry.is_active()


def test_wrap_policy() -> None:
    @wrap_policy("only_numpy")
    def f(a, *, b=2):
        """Documented."""
        return type(current_policy()), a, b

    assert f(1, b=3) == (OnlyNumPyPolicy, 1, 3)
    assert f.__name__ == "f" and f.__doc__ == "Documented."
    assert type(current_policy()) is AutoPolicy

    @wrap_policy(PreferMXNetPolicy())
    def broken():
        raise ValueError("mine")

    for _ in range(2):
        with pytest.raises(ValueError, match="mine"):
            broken()
        assert type(current_policy()) is AutoPolicy and not entry.is_active()
    with pytest.raises(UsageError):
        wrap_policy("nothing")


def test_wrap_policy_inside_itself() -> None:
    @wrap_policy("only_numpy")
    def countdown(n):
        return n if n == 0 else countdown(n - 1)

    assert countdown(5) == 0
    assert type(current_policy()) is AutoPolicy


def test_threads_have_policies_of_their_own() -> None:
    seen: list[type] = []
    entered, looked = threading.Event(), threading.Event()

    def look() -> None:
        entered.wait(20)
        seen.append(type(current_policy()))
        with OnlyNumPyPolicy():
            seen.append(type(current_policy()))
        looked.set()

    thread = threading.Thread(target=look)
    thread.start()
    with PreferMXNetPolicy():
        entered.set()
        assert looked.wait(20)
        assert type(current_policy()) is PreferMXNetPolicy
    thread.join(20)
    assert seen == [AutoPolicy, OnlyNumPyPolicy]


def test_tasks_have_policies_of_their_own() -> None:
    async def one(policy: Policy) -> bool:
        with policy:
            await asyncio.sleep(0)
            kept = current_policy() is policy
            await asyncio.sleep(0)
            return kept and current_policy() is policy

    async def all_of_them() -> list:
        return await asyncio.gather(*[one(OnlyNumPyPolicy()) for _ in range(5)])

    assert all(asyncio.run(all_of_them()))
    assert type(current_policy()) is AutoPolicy


# ----- where work runs --------------------------------------------------------------------------------------


def test_auto_on_the_host_is_numpy() -> None:
    assert ran_on(lambda: routed.np.exp(X)) == {"numpy"}
    assert type(routed.np.exp(X)) is np.ndarray


@needs_mxnet
def test_prefer_mxnet() -> None:
    with PreferMXNetPolicy():
        assert ran_on(lambda: routed.np.exp(X)) == {"mxnet"}
        y = routed.np.exp(X)
        assert type(y) is Array and isinstance(y, np.ndarray)
        assert ran_on(lambda: routed.np.linalg.inv(X[:, :2] + np.eye(2))) == {"numpy"}
    np.testing.assert_allclose(np.asarray(y), np.exp(X), rtol=1e-14)


@needs_mxnet
def test_device_arrays_go_back_to_numpy_under_only_numpy() -> None:
    with PreferMXNetPolicy():
        y = routed.np.exp(X)
        with OnlyNumPyPolicy():
            assert ran_on(lambda: routed.np.sin(y)) == {"numpy"}
            z = routed.np.sin(y)
    np.testing.assert_allclose(np.asarray(z), np.sin(np.exp(X)), rtol=1e-13)


@needs_mxnet
def test_only_mxnet_runs_or_raises() -> None:
    with OnlyMXNetPolicy():
        y = routed.np.exp(X)
        assert type(y) is Array
        for call in (
            lambda: routed.np.linalg.inv(X[:, :2]),
            lambda: routed.np.exp(X.astype(np.complex128)),
            lambda: routed.np.logaddexp(X, X),
        ):
            with pytest.raises(PolicyError, match=r"only_mxnet.*prefer_mxnet") as caught:
                call()
            assert isinstance(caught.value, ValueError) and caught.value.code == "MP021"
        # A number or an empty array is no work that any device could do.
        assert routed.np.sqrt(4.0) == 2.0
        assert routed.np.exp(X[:0]).shape == X[:0].shape
    assert type(current_policy()) is AutoPolicy
    assert type(routed.np.logaddexp(X, X)) is np.ndarray


@needs_mxnet
def test_only_mxnet_after_another_policy_is_not_stale() -> None:
    set_global_policy("only_numpy")
    f = routed.np.logaddexp
    f(X, X)
    set_global_policy("only_mxnet")
    with pytest.raises(PolicyError, match="logaddexp"):
        routed.np.logaddexp(X, X)
    set_global_policy("auto")
    f(X, X)


@needs_mxnet
def test_only_mxnet_makes_arrays() -> None:
    with OnlyMXNetPolicy():
        for made, expected in (
            (routed.np.zeros((2, 3)), np.zeros((2, 3))),
            (routed.np.full((2,), 3.5), np.full((2,), 3.5)),
            (routed.np.array([[1, 2], [3, 4]]), np.array([[1, 2], [3, 4]])),
            (routed.np.array([0.1, 0.2], dtype=np.float32), np.array([0.1, 0.2], np.float32)),
            (routed.np.arange(5), np.arange(5)),
            (routed.np.arange(7, 1, -2), np.arange(7, 1, -2)),
            (routed.np.eye(3, k=1), np.eye(3, k=1)),
        ):
            assert type(made) is Array
            assert made.dtype == expected.dtype
            np.testing.assert_array_equal(made.asnumpy(), expected)


@needs_mxnet
def test_the_readme_of_the_original_falls_back() -> None:
    with PreferMXNetPolicy():
        a = routed.np.ones((2, 3)) * 2
        recorder = profile.start(profile.Recorder())
        try:
            b = routed.np.logaddexp(a, a)
        finally:
            profile.stop(recorder)
    assert recorder.calls == {("logaddexp", "numpy"): 1}
    assert next(iter(recorder.reasons["logaddexp"])).startswith("MP101 ")
    np.testing.assert_allclose(np.asarray(b), np.logaddexp(2.0, 2.0) * np.ones((2, 3)))


# ----- blacklists -------------------------------------------------------------------------------------------


def test_signatures() -> None:
    assert signature((X, 2), {}) == "array_dim2:float64, int"
    assert signature((X.astype("f4"),), {"axis": 1, "a": None}) == "array_dim2:float32; a, axis"
    assert signature(([X, X[0]],), {}) == "list(array_dim1:float64, array_dim2:float64)"


@needs_mxnet
def test_blacklist() -> None:
    policy = BlacklistPolicy({"exp": ["array_dim2:float64"], "sin": ["*"]})
    with policy:
        assert ran_on(lambda: routed.np.exp(X)) == {"numpy"}
        assert ran_on(lambda: routed.np.exp(X[0])) == {"mxnet"}
        assert ran_on(lambda: routed.np.sin(X[0])) == {"numpy"}
        assert ran_on(lambda: routed.np.cos(X)) == {"mxnet"}
    assert policy.query("exp") == ["array_dim2:float64"] and policy.query("cos") == []


@pytest.fixture
def failing(monkeypatch) -> list[int]:
    """MXNet's `exp` raises; counts how often it was tried."""
    tries: list[int] = []
    table.load()

    def run(F, x):
        tries.append(1)
        raise RuntimeError("first line\nkernel failed")

    monkeypatch.setattr(table.by_name["exp"], "mxnet", table.Kernel(run))
    return tries


@needs_mxnet
def test_a_failing_kernel_falls_back_with_its_reason(failing) -> None:
    recorder = profile.start(profile.Recorder())
    try:
        with PreferMXNetPolicy():
            y = routed.np.exp(X)
    finally:
        profile.stop(recorder)
    np.testing.assert_array_equal(np.asarray(y), np.exp(X))
    assert recorder.reasons["exp"] == {"MP107 the device raised RuntimeError: kernel failed": 1}
    with pytest.raises(RuntimeError, match="kernel failed"), OnlyMXNetPolicy():
        routed.np.exp(X)


@needs_mxnet
def test_auto_blacklist_learns(failing, tmp_path) -> None:
    path = tmp_path / "rules.json"
    policy = AutoBlacklistPolicy(gen_rule=True, loc=path)
    with policy:
        for _ in range(3):
            np.testing.assert_array_equal(np.asarray(routed.np.exp(X)), np.exp(X))
        assert len(failing) == 1
        routed.np.exp(X[0])
        assert len(failing) == 2
    assert policy.query("exp") == ["array_dim1:float64", "array_dim2:float64"]
    policy.save_rules()
    assert json.loads(path.read_text()) == {"exp": ["array_dim1:float64", "array_dim2:float64"]}
    assert [p.name for p in tmp_path.iterdir()] == ["rules.json"]

    again = AutoBlacklistPolicy(loc=path)
    assert again.query("exp") == policy.query("exp")
    with again:
        routed.np.exp(X)
    assert len(failing) == 2
    assert AutoBlacklistPolicy(append_rule=False, loc=path).query("exp") == []


@needs_mxnet
def test_auto_blacklist_without_rules_lets_errors_through(failing) -> None:
    policy = AutoBlacklistPolicy()
    with pytest.raises(RuntimeError, match="kernel failed"), policy:
        routed.np.exp(X)
    assert policy.rules == {}


@needs_mxnet
def test_auto_blacklist_from_threads(failing) -> None:
    policy = AutoBlacklistPolicy(gen_rule=True)
    errors: list[BaseException] = []

    def work(i: int) -> None:
        try:
            with policy:
                for k in range(5):
                    routed.np.exp(np.ones((1,) * (1 + (i + k) % 4)))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(30)
    assert not errors
    assert policy.query("exp") == [f"array_dim{n}:float64" for n in (1, 2, 3, 4)]


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", '{"exp": 3}', '"text"', "\x00\xff"])
def test_a_corrupt_rules_file_is_one_clear_error(tmp_path, text: str) -> None:
    path = tmp_path / "rules.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(UsageError, match=r"rules\.json"):
        AutoBlacklistPolicy(loc=path)
    policy = AutoBlacklistPolicy(append_rule=False, loc=path)
    policy.rules = {"sin": {"*"}}
    with pytest.raises(UsageError):
        policy.load_rules()
    assert policy.query("sin") == ["*"]
    policy.save_rules()
    assert AutoBlacklistPolicy(loc=path).query("sin") == ["*"]


def test_rules_without_a_place(tmp_path) -> None:
    with pytest.raises(UsageError, match="loc="):
        AutoBlacklistPolicy().save_rules()
    with pytest.raises(UsageError, match="loc="):
        AutoBlacklistPolicy().load_rules()
    missing = AutoBlacklistPolicy(loc=tmp_path / "later.json")
    assert missing.rules == {}
    with pytest.raises(UsageError, match=r"later\.json"):
        missing.load_rules()


def test_rules_that_cannot_be_saved_leave_the_old_file(tmp_path, monkeypatch) -> None:
    path = tmp_path / "rules.json"
    path.write_text('{"sin": ["*"]}')
    policy = AutoBlacklistPolicy(loc=path)
    policy.rules["exp"] = {object()}  # type: ignore[assignment]
    with pytest.raises(TypeError):
        policy.save_rules()
    assert path.read_text() == '{"sin": ["*"]}'
    assert [p.name for p in tmp_path.iterdir()] == ["rules.json"]


def test_a_file_of_rules_that_cannot_be_exchanged_leaves_nothing_behind(tmp_path, monkeypatch) -> None:
    def fails(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    policy = AutoBlacklistPolicy(loc=tmp_path / "rules.json")
    monkeypatch.setattr("os.replace", fails)
    with pytest.raises(UsageError, match="cannot be written: Permission denied"):
        policy.save_rules()
    assert not list(tmp_path.iterdir())
