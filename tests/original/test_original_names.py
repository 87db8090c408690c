"""Registries, rules, statistics and the root of the original: its names, with what they do here."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy
import pytest

import minpy
import minpy.numpy as np
from minpy.array_variants import ArrayType
from minpy.dispatch import policy, rule
from minpy.dispatch.primitive_selector import PrimitiveSelector
from minpy.dispatch.registry import PrimitiveRegistryError, Registry
from minpy.errors import ArgumentError, UsageError
from minpy.numpy import mocking
from minpy.primitive import customop
from minpy.runtime import entry

X = numpy.arange(6.0).reshape(2, 3)
mxnet = pytest.mark.mxnet


@pytest.fixture(autouse=True)
def restored():
    yield
    minpy.set_global_policy("auto")
    assert not entry.is_active()


# ----- the root -----------------------------------------------------------------------------------------------


def test_submodules_are_there_without_an_import():
    names = "array array_variants context core dispatch io nn numpy primitive tape utils".split()
    text = "import minpy\nfor name in %r: print(getattr(minpy, name).__name__)" % (names,)  # noqa: UP031
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)
    assert done.stdout.split() == [f"minpy.{name}" for name in names], done.stderr
    assert set(names) <= set(dir(minpy)) and minpy.policy is policy


def test_config():
    assert list(minpy.Config) == ["modules", "default_policy"] and len(minpy.Config) == 2
    assert minpy.Config["modules"] == [np, np.random]
    minpy.Config["default_policy"] = "only_numpy"
    assert type(minpy.get_global_policy()) is minpy.OnlyNumPyPolicy
    assert minpy.Config["default_policy"] is minpy.get_global_policy()
    for wrong in (lambda: minpy.Config.__setitem__("modules", []), lambda: minpy.Config.pop("modules")):
        with pytest.raises(UsageError):
            wrong()
    with pytest.raises(KeyError):
        minpy.Config["nothing"]


@mxnet
def test_the_version_of_mxnet_is_checked(monkeypatch):
    from minpy.errors import DeviceError
    from minpy.runtime.backends.mxnet import load

    minpy.check_mxnet_version()
    monkeypatch.setattr(load(), "__version__", "0.9.1")
    with pytest.raises(DeviceError, match="too old"):
        minpy.check_mxnet_version()


# ----- policies -----------------------------------------------------------------------------------------------


def test_policies_decide():
    both = {ArrayType.NUMPY, ArrayType.MXNET}
    decisions = {
        "auto": (0, 0, None),
        "prefer_mxnet": (1, 0, 1),
        "only_numpy": (0, 0, None),
        "only_mxnet": (1, None, 1),
        "auto_blacklist": (1, 0, 1),
    }
    for name, expected in decisions.items():
        chosen = policy.create(name)
        found = [chosen.decide(c) for c in (both, {ArrayType.NUMPY}, {ArrayType.MXNET})]
        assert tuple(found) == expected, name
        assert chosen.name == name


@mxnet
def test_a_policy_of_ones_own_decides():
    class Sometimes(policy.Policy):
        name = "sometimes"
        use = ArrayType.MXNET

        def decide(self, candidates):
            return self.use

    mine = Sometimes()
    with mine:
        assert np.exp(X).has_type(ArrayType.MXNET)
        mine.use = ArrayType.NUMPY
        assert not np.exp(X).has_type(ArrayType.MXNET)
    with pytest.raises(NotImplementedError, match="must define"), type("Empty", (policy.Policy,), {})():
        np.exp(X)


def test_the_policy_of_a_module_shows_statistics(capsys):
    np.record_op_stat()
    np.exp(X)
    np.random.policy.show_op_stat()
    np.policy.show_op_stat()
    minpy.get_global_policy().show_op_stat()
    assert capsys.readouterr().out.count(" exp : 1") == 3
    from minpy.runtime import profile

    profile.stop(profile._statistics)


def test_calls_are_resolved_under_a_policy():
    seen = []

    class Watched(policy.OnlyNumPyPolicy):
        idle = False

        def wants_device(self, host_context):
            seen.append(minpy.runtime.policy.current_policy() is self)
            return False

    result = Watched().resolve_call("exp", np.__registry__, (X,), {})
    numpy.testing.assert_array_equal(result.asnumpy(), numpy.exp(X))
    assert seen == [True]
    select = PrimitiveSelector("add", np)
    numpy.testing.assert_array_equal(select(X, X), X + X)
    assert repr(select) == "<PrimitiveSelector add>"


# ----- rules --------------------------------------------------------------------------------------------------


def test_rules_are_found_where_the_original_looked(tmp_path, monkeypatch):
    here, home, named = (tmp_path / name for name in ("here", "home", "named"))
    for folder in (here, home, named):
        folder.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("MINPY_CONF", raising=False)
    assert rule.Blacklist().loc is None
    files = {folder: folder / ".minpy_rules.conf" for folder in (home, here, named)}
    for folder, name in ((home, "exp"), (here, "sin"), (named, "cos")):
        files[folder].write_text(json.dumps({name: ["*"]}))
        if folder is named:
            monkeypatch.setenv("MINPY_CONF", str(named))
        assert policy.BlacklistPolicy().query(name) == ["*"]
        assert policy.AutoBlacklistPolicy().query(name) == ["*"]
    given = rule.Blacklist(loc=tmp_path / "other.conf")
    given.add("dot", np, ArrayType.MXNET, (X, X), {})
    given.save_rules_config()
    again = rule.Blacklist(loc=tmp_path / "other.conf")
    again.load_rules_config()
    assert again.query("dot") == ["array_dim2:float64, array_dim2:float64"]
    again.reset_rules()
    again.load_rules_config()
    assert again.rules == {}
    again.load_rules_config(force=True)
    assert set(again.rules) == {"dot"}


def test_allow_add_and_query(capsys, tmp_path):
    rules = rule.Blacklist(loc=tmp_path / "missing" / "none")
    args = (X, 2.0), {"size": 3}
    assert rules.allow("normal", np.random, ArrayType.MXNET, *args)
    rules.add("normal", np.random, ArrayType.MXNET, *args)
    assert not rules.allow("normal", np.random, ArrayType.MXNET, *args)
    assert rules.allow("normal", np.random, ArrayType.NUMPY, *args)
    assert rules.allow("normal", np, ArrayType.MXNET, *args)  # another namespace
    assert rules.query(np.random, "normal") == ["array_dim2:float64, float; size"]
    rules.query(np, "exp")
    assert capsys.readouterr().out == (
        "random.normal is blacklisted for:\n  array_dim2:float64, float; size\nexp is not blacklisted\n"
    )
    with pytest.raises(rule.RuleError):
        rules.add("exp", np, ArrayType.NUMPY, (X,), {})
    with pytest.raises(rule.RuleError, match="none"):
        rules.load_rules_config()
    with pytest.raises(rule.RuleError, match="cannot be written"):
        rules.save_rules_config()
    with pytest.raises(NotImplementedError):
        rule.Rules(loc="x").allow("exp", np, ArrayType.MXNET, (X,), {})


def test_rules_are_saved_when_the_process_ends(tmp_path):
    path = tmp_path / "rules"
    text = (
        "import sys, numpy as np\nfrom minpy.dispatch.rule import Blacklist\n"
        "rules = Blacklist(sys.argv[1], save_config_atexit=True)\nrules.add('exp', np, 1, (1.0,), {})\n"
    )
    subprocess.run([sys.executable, "-c", text, path], check=True)
    assert json.loads(path.read_text()) == {"exp": ["float"]}


@mxnet
def test_the_notebook_on_transparent_fallback(tmp_path, monkeypatch):
    """With what is blacklisted as the notebook does, and rules that outlive the process."""
    from minpy.runtime.primitives import table

    def raises(*args, **kwargs):
        raise RuntimeError("the kernel does not take this")

    monkeypatch.setattr(table.by_name["exp"], "mxnet", table.Kernel(raises))
    p = minpy.AutoBlacklistPolicy(gen_rule=True, append_rule=True, loc=tmp_path)
    minpy.set_global_policy(p)
    with p:
        first = np.exp(X)
    second = np.exp(X)  # without an error, and without a try
    minpy.set_global_policy("auto")
    for result in (first, second):
        numpy.testing.assert_array_equal(result.asnumpy(), numpy.exp(X))
    p.save_rules()
    assert [each.name for each in tmp_path.iterdir()] == [".minpy_rules.conf"]
    assert minpy.AutoBlacklistPolicy(loc=tmp_path).query(np, "exp") == ["array_dim2:float64"]


# ----- registries and modules -----------------------------------------------------------------------------------


def test_the_registry_shows_the_table():
    registry = np.__registry__
    assert registry.nspace == "numpy" and registry.has_name("exp") and not registry.has_name("no_such_name")
    assert registry.exists("exp", ArrayType.NUMPY) and registry.exists("exp", ArrayType.MXNET)
    assert registry.exists("logaddexp", ArrayType.NUMPY) and not registry.exists("logaddexp", ArrayType.MXNET)
    assert registry.get("exp").name == "exp"
    assert list(registry.iter_available_types("exp", (0,))) == [ArrayType.NUMPY, ArrayType.MXNET]
    assert list(registry.iter_available_types("exp", (0,), ("x",))) == []
    assert np.random.__registry__.has_name("normal") and not np.random.__registry__.has_name("exp")
    numpy.random.seed(1)
    expected = numpy.random.normal()
    numpy.random.seed(1)
    assert np.random.__registry__.function("normal")() == expected
    for ask in (registry.get, registry.function):
        with pytest.raises(PrimitiveRegistryError, match="no_such_name"):
            ask("no_such_name")


def test_a_registry_of_ones_own():
    registry = Registry("mine")

    @customop("numpy")
    def cube(x):
        return x**3

    registry.register("cube", cube)
    assert registry.has_name("cube") and registry.get("cube", ArrayType.NUMPY) is cube
    assert not registry.has_name("exp") and list(registry.iter_available_types("cube", (0,))) == []
    cube.def_grad(lambda ans, x: lambda g: 3 * x**2 * g)
    assert list(registry.iter_available_types("cube", (0,))) == [ArrayType.NUMPY]
    assert registry.function("cube")(2.0) == 8.0
    with pytest.warns(UserWarning, match="again"):
        registry.register("cube", cube)


def test_mocked_modules():
    module = mocking.Module(numpy, "mine", mocking.NameInjector(numpy, name_set={"ndim"}, exception={"pi"}))
    assert type(module.exp(X)) is numpy.ndarray and module.exp.__wrapped__ is numpy.exp
    assert module.e == numpy.e and module.float32 is numpy.float32 and module.newaxis is None
    assert module.ndim(X) == 2
    for name in ("pi", "testing", "no_such_name"):
        with pytest.raises(AttributeError, match=name):
            getattr(module, name)
    injector = mocking.NameInjector(numpy)
    assert injector["pi"] == numpy.pi
    with pytest.raises(KeyError):
        injector["exp"]
    assert mocking.Module(numpy.linalg).inv(np.eye(2)).shape == (2, 2)
    with pytest.warns(DeprecationWarning):
        np.set_policy("only_numpy")
    assert type(minpy.get_global_policy()) is minpy.OnlyNumPyPolicy
    np.generate_attrs("auto")
    assert repr(module.policy) == "AutoPolicy()"


# ----- functions that NumPy has not -------------------------------------------------------------------------------


def test_own_functions_and_their_gradients():
    onehot = numpy.eye(3)[[0, 2]]
    numpy.testing.assert_array_equal(np.onehot_encode(numpy.array([0, 2]), np.ones((2, 3))), onehot)
    prob = np.softmax_output(X, onehot)
    numpy.testing.assert_allclose(prob.sum(axis=1), 1.0)
    slope = minpy.grad(lambda x: 7 * np.sum(np.softmax_output(x, onehot)))(X)
    numpy.testing.assert_allclose(slope, prob - onehot)  # an output layer: nothing from above
    assert np.sigmoid(0.0) == 0.5
    numpy.testing.assert_array_equal(np.slice_axis(X, axis=1, begin=1, end=3), X[:, 1:3])
    numpy.testing.assert_array_equal(np.crop(X, (0, 1), (1, 3)), X[:1, 1:3])
    assert np.norm(X) == numpy.linalg.norm(X)
    a, b = numpy.random.RandomState(0).rand(2, 4, 3), numpy.random.RandomState(1).rand(2, 4, 5)
    numpy.testing.assert_array_equal(np.batch_dot(a, b, transpose_a=True), a.swapaxes(1, 2) @ b)
    for f in (
        lambda x: np.sum(np.slice_axis(x, 1, 0, 2) ** 3),
        lambda x: np.sum(np.crop(x, (0, 0), (1, 2)) ** 3),
        lambda x: np.norm(x + 1),
        lambda x: np.sum(np.sigmoid(x) ** 2),
        lambda x: np.sum(np.batch_dot(x[None], x[None], transpose_b=True)),
        lambda x: np.sum(np._minpy_getitem(x, (0, slice(1, None))) ** 2),
    ):
        minpy.check_grads(f, (X / 7 - 0.3,))
    with pytest.raises(ArgumentError, match="indices must be from 0 to 2"):
        np.onehot_encode(numpy.array([3]), np.zeros((1, 3)))
    with pytest.raises(ArgumentError, match="indices must have the shape"):
        np.onehot_encode(numpy.array([[1]]), np.zeros((1, 3)))
    with pytest.raises(ArgumentError, match="begin and end"):
        np.crop(X, (0, 0), (1,))


@mxnet
def test_operators_of_mxnet_are_functions_of_the_namespace():
    x = X / 3 - 1
    leaky = np.LeakyReLU(x, act_type="leaky", slope=0.1)
    numpy.testing.assert_allclose(leaky, numpy.where(x > 0, x, 0.1 * x))
    slope = minpy.grad(lambda v: np.sum(np.LeakyReLU(v, act_type="leaky", slope=0.1)))(x)
    numpy.testing.assert_allclose(slope, numpy.where(x > 0, 1.0, 0.1))
    dense = np.FullyConnected(x, numpy.ones((4, 3)), no_bias=True, num_hidden=4)
    numpy.testing.assert_allclose(dense, x @ numpy.ones((3, 4)))
    numpy.testing.assert_allclose(np.SwapAxis(numpy.ones((2, 3, 4)), dim1=0, dim2=2).shape, (4, 3, 2))
    assert np.smooth_l1(data=numpy.array([2.0]), scalar=1.0) == 1.5


def test_names_that_nobody_has():
    with pytest.raises(AttributeError, match="no_such_name"):
        np.no_such_name  # noqa: B018
    assert {"exp", "sigmoid", "policy", "wrap", "random"} <= set(dir(np))


@pytest.mark.filterwarnings("error")
def test_types_that_numpy_had():
    if "bool" in vars(numpy):
        assert numpy.zeros(1, np.bool).dtype == "bool"
    assert (np.int, np.float, np.object) == (int, float, object)
    assert np.zeros(2, dtype=np.float).dtype == "f8" and np.newaxis is None and np.pi == numpy.pi
