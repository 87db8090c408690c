"""Initial values and update rules against their formulas."""

from __future__ import annotations

import importlib.util
import math
import sys
import threading
import warnings

import numpy as np
import pytest

from minpy.errors import ArgumentError
from minpy.nn import init, optim
from minpy.nn.kernels import in_place, rules
from minpy.runtime.fuse import native, pool

# ----- initial values


def test_random_rules_have_their_moments():
    np.random.seed(0)
    shape = (300, 200)
    for rule, config, mean, std in [
        (init.xavier, None, 0, math.sqrt(6 / 500)),
        (init.gaussian, None, 0, 0.001),
        (init.gaussian, {"mu": 2.0, "stdvar": 0.5}, 2, 0.5),
        (init.he, None, 0, math.sqrt(2 / 300)),
        (init.he, {"gain": 1.0}, 0, math.sqrt(1 / 300)),
        (init.uniform, {"low": -1, "high": 3}, 1, 4 / math.sqrt(12)),
    ]:
        value = rule(shape, config)
        assert value.shape == shape and value.dtype == np.float64
        assert abs(value.mean() - mean) < 4 * std / math.sqrt(value.size)
        assert abs(value.std() / std - 1) < 0.02


def test_filters_count_what_they_see():
    np.random.seed(0)
    assert abs(init.he((500, 8, 3, 3)).std() / math.sqrt(2 / 72) - 1) < 0.02
    assert abs(init.xavier((500, 8, 3, 3)).std() / math.sqrt(6 / 572) - 1) < 0.02


def test_constant_and_custom():
    assert (init.constant((2, 3)) == 0).all()
    assert (init.constant((2, 2), {"value": np.eye(2)}) == np.eye(2)).all()
    value = init.constant((2, 3), {"value": 1.5, "dtype": "float32"})
    value[0] = 7  # its own memory
    init.constant((1,))[0] = 1
    assert value.dtype == np.float32 and (value[1] == 1.5).all()
    assert (init.custom((2, 3), {"function": np.ones}) == 1).all() and (init.custom((2,)) == 0).all()


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4), (6, 2, 3)])
def test_orthogonal(shape):
    m = init.orthogonal(shape, {"gain": 2.0}).reshape(shape[0], -1)
    product = m @ m.T if m.shape[0] <= m.shape[1] else m.T @ m
    np.testing.assert_allclose(product, 4 * np.eye(len(product)), atol=1e-12)


def test_seed_repeats_every_rule():
    for name, rule in init.RULES.items():
        np.random.seed(3)
        first = rule((4, 3))
        np.random.seed(3)
        assert (rule((4, 3)) == first).all(), name
        assert init.get(name) is rule and rule((0, 3)).shape == (0, 3)


@pytest.mark.parametrize(
    "call, text",
    [
        (lambda: init.get("xaver"), "init_rule must be one of 'xavier', .* not 'xaver'"),
        (lambda: init.gaussian((2,), {"std": 1}), "init.gaussian: config has no option 'std': it takes dtype"),
        (lambda: init.constant((2,), {"value": np.ones(3)}), r"value has the shape \(3,\), which does not fit \(2,\)"),
        (lambda: init.custom((2,), {"function": lambda s: np.ones(5)}), r"returned an array of shape \(5,\)"),
        (lambda: init.custom((2,), {"function": 3}), "function must be callable"),
        (lambda: init.orthogonal((2,)), "init.orthogonal: shape must have two axes"),
        (lambda: init.xavier("ab"), "init.xavier: shape must be a tuple of whole numbers, not 'ab'"),
        (lambda: init.xavier((2, -1)), "init.xavier: shape must be a tuple of whole numbers"),
    ],
)  # fmt: skip
def test_bad_rules_are_named(call, text):
    with pytest.raises(ArgumentError, match=text):
        call()


# ----- update rules


def follow(rule, gradients, w, config):
    for g in gradients:
        w, config = rule(w, g, config)
    return w


def by_hand(name, gradients, w, c):
    """The rules as they are written in papers."""
    v = m = np.zeros_like(w)
    lr = c["learning_rate"]
    for t, g in enumerate(gradients, 1):
        if name == "sgd":
            w = w - lr * g
        elif name == "sgd_momentum":
            v = c["momentum"] * v - lr * g
            w = w + v
        elif name == "nesterov":
            before, v = v, c["momentum"] * v - lr * g
            w = w - c["momentum"] * before + (1 + c["momentum"]) * v
        elif name == "rmsprop":
            v = c["decay_rate"] * v + (1 - c["decay_rate"]) * g**2
            w = w - lr * g / (np.sqrt(v) + c["epsilon"])
        elif name == "adagrad":
            v = v + g**2
            w = w - lr * g / (np.sqrt(v) + c["epsilon"])
        else:
            m = c["beta1"] * m + (1 - c["beta1"]) * g
            v = c["beta2"] * v + (1 - c["beta2"]) * g**2
            step = lr * (m / (1 - c["beta1"] ** t)) / (np.sqrt(v / (1 - c["beta2"] ** t)) + c["epsilon"])
            w = w - step - lr * c.get("weight_decay", 0.0) * w
    return w


DEFAULTS = {
    "sgd": {"learning_rate": 1e-2},
    "sgd_momentum": {"learning_rate": 1e-2, "momentum": 0.9},
    "nesterov": {"learning_rate": 1e-2, "momentum": 0.9},
    "rmsprop": {"learning_rate": 1e-2, "decay_rate": 0.99, "epsilon": 1e-8},
    "adagrad": {"learning_rate": 1e-2, "epsilon": 1e-8},
    "adam": {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8},
    "adamw": {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weight_decay": 1e-2},
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_rules_follow_their_formulas(name):
    rng = np.random.RandomState(0)
    w, gradients = rng.randn(3, 2), list(rng.randn(6, 3, 2))
    before = w.copy(), [g.copy() for g in gradients]
    rule = optim.get(name)
    np.testing.assert_allclose(
        follow(rule, gradients, w, None), by_hand(name, gradients, w, DEFAULTS[name]), rtol=1e-12
    )
    other = {option: value * 0.7 for option, value in DEFAULTS[name].items()}
    np.testing.assert_allclose(
        follow(rule, gradients, w, dict(other)), by_hand(name, gradients, w, other), rtol=1e-12
    )
    assert (w == before[0]).all() and all((a == b).all() for a, b in zip(gradients, before[1], strict=True))
    low, config = rule(w.astype("f4"), gradients[0].astype("f4"), None)
    assert low.dtype == np.float32
    assert all(v.dtype == np.float32 for v in config.values() if isinstance(v, np.ndarray))


def test_all_rules_are_tested():
    assert set(optim.RULES) == set(DEFAULTS)


@pytest.mark.parametrize("name", DEFAULTS)
def test_state_is_kept_in_the_config(name):
    rng = np.random.RandomState(1)
    gradients, rule, config = rng.randn(4, 3), optim.get(name), {}
    w = rule(np.ones(3), gradients[0], config)[0]
    copied = {k: v.copy() if isinstance(v, np.ndarray) else v for k, v in config.items()}
    assert (follow(rule, gradients[1:], w, config) == follow(rule, gradients[1:], w, copied)).all()


@pytest.mark.parametrize(
    "call, text",
    [
        (lambda: optim.get("sdg"), "update_rule must be one of 'sgd', .* not 'sdg'"),
        (lambda: optim.sgd_momentum(X, X, {"momentem": 0.9}), "config has no option 'momentem': it takes"),
        (lambda: optim.adam(X, np.ones(3)), r"optim.adam: dw must have the shape of w, \(2,\), not \(3,\)"),
    ],
)  # fmt: skip
def test_bad_options_are_named(call, text):
    with pytest.raises(ArgumentError, match=text):
        call()


X = np.ones(2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", optim.RULES)
def test_parts_of_a_large_parameter_have_the_bits_of_the_whole(name, dtype, monkeypatch):
    rng = np.random.default_rng(5)
    w = rng.normal(size=(7, 31)).astype(dtype)
    slopes = [rng.normal(size=w.shape).astype(dtype) for _ in range(4)]
    found = {}
    for part in (1 << 30, 16):
        monkeypatch.setattr(optim, "_PART", part)
        now, config = w.copy(), {}
        for slope in slopes:
            before = now.copy(), slope.copy()
            after, config = optim.RULES[name](now, slope, config)
            assert np.array_equal(now, before[0]) and np.array_equal(slope, before[1])
            assert after.dtype == dtype and not np.shares_memory(after, now)
            now = after
        found[part] = now, config
    (whole, states), (parts, states_of_parts) = found.values()
    assert whole.tobytes() == parts.tobytes()
    assert states.keys() == states_of_parts.keys()
    for key, value in states.items():
        assert np.array_equal(value, states_of_parts[key])


ENGINES = [
    "force:written",
    "force:tiled2",
    *(["force:native1"] if importlib.util.find_spec("llvmlite") else []),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", optim.RULES)
def test_one_pass_over_a_large_parameter_has_the_bits_of_the_rule(name, dtype, monkeypatch, tmp_path):
    monkeypatch.setenv("MINPY_CACHE_DIR", str(tmp_path))
    rng = np.random.default_rng(6)
    shape = (301, 237)
    w = rng.normal(size=shape).astype(dtype)
    slopes = [rng.normal(size=shape).astype(dtype) for _ in range(3)]
    rule, done = optim.RULES[name], []
    in_one_pass = rules.in_one_pass
    monkeypatch.setattr(rules, "in_one_pass", lambda *a: done.append(in_one_pass(*a)) or done[-1])
    found = []
    for mode in ("0", *ENGINES):
        monkeypatch.setenv("MINPY_FUSE", mode)
        before, now, config = len(done), w.copy(), {}
        for slope in slopes:
            old = now.copy(), slope.copy()
            after, config = rule(now, slope, config)
            assert np.array_equal(now, old[0]) and np.array_equal(slope, old[1])
            assert after.dtype == dtype and not np.shares_memory(after, now)
            now = after
        assert all((each is None) == (mode == "0") for each in done[before + 1 :])
        found.append((now, config))
    for now, config in found[1:]:
        assert now.tobytes() == found[0][0].tobytes() and list(config) == list(found[0][1])
        assert all(np.array_equal(value, found[0][1][key]) for key, value in config.items())


@pytest.mark.parametrize("mode", ["0", *ENGINES])
def test_what_a_large_parameter_overflows_is_reported(mode, monkeypatch, tmp_path):
    monkeypatch.setenv("MINPY_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("MINPY_FUSE", mode)
    w = np.ones((300, 300))
    w, config = optim.adagrad(w, w)
    slope = np.full(w.shape, 1e200)
    with pytest.warns(RuntimeWarning, match="overflow"):
        after, config = optim.adagrad(w, slope, config)
    assert np.array_equal(after, w) and np.isinf(config["cache"]).all()
    with np.errstate(all="ignore"):
        assert np.isnan(optim.adagrad(w, np.full(w.shape, np.nan), config)[0]).all()


# ----- over the parameter's own memory


@pytest.fixture
def over(monkeypatch, tmp_path):
    """Parameters of any size are written over, by code that is waited for; how many elements each time."""
    pytest.importorskip("llvmlite", reason="the extra jit compiles this")
    monkeypatch.setenv("MINPY_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(optim, "_PART", 64)
    monkeypatch.setattr(in_place, "_PIECE", 100)
    monkeypatch.setattr(in_place, "_LINE", 4)  # wherever an array begins
    monkeypatch.setattr(in_place, "_functions", {})
    monkeypatch.setattr(in_place, "_rules", {})
    monkeypatch.setattr(in_place, "_last", {})
    compiled, run, done = native.compiled, in_place.run, []
    monkeypatch.setattr(native, "compiled", lambda text, wait: compiled(text, wait=True))
    monkeypatch.setattr(in_place, "run", lambda all: run(all) or done.extend(each.left for each in all))
    with warnings.catch_warnings():
        warnings.simplefilter("always")  # an error would be an exception, not a warning
        yield done


def started(name, w, slope):
    """A parameter and its state after a step, in dictionaries that alone have them."""
    params, configs = {"w": w.copy()}, {"w": {}}
    optim.follow({"w": name}, params, {"w": slope}, configs)
    return params, configs


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", optim.RULES)
def test_a_parameter_written_over_has_the_bits_of_the_rule(name, dtype, over):
    rng = np.random.default_rng(7)
    slopes = [rng.normal(size=(31, 17)).astype(dtype) for _ in range(4)]
    w = rng.normal(size=(31, 17)).astype(dtype)
    params, configs = started(name, w, slopes[0])
    expected, config = optim.RULES[name](w, slopes[0], {})
    before = {id(each) for each in (params["w"], *configs["w"].values()) if isinstance(each, np.ndarray)}
    for slope in slopes[1:]:
        kept = slope.copy()
        optim.follow({"w": name}, params, {"w": slope}, configs)
        expected, config = optim.RULES[name](expected, slope, config)
        assert np.array_equal(slope, kept)
    assert over == [[]] * 3
    assert {
        id(each) for each in (params["w"], *configs["w"].values()) if isinstance(each, np.ndarray)
    } == before
    assert params["w"].tobytes() == expected.tobytes() and configs["w"].keys() == config.keys()
    assert all(np.array_equal(value, config[key]) for key, value in configs["w"].items())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_parameter_written_over_follows_options_that_change(dtype, over):
    w, slope = np.arange(130).astype(dtype), np.full(130, 0.5, dtype)
    params, configs = started("sgd_momentum", w, slope)
    expected, config = optim.sgd_momentum(w, slope, {})
    numbers = [(0.1, 0.5), (0.1, 0.5), (0.0, 1), (-0.0, 1.0), (0.0, True), (2, 0), (0.3, 1e300), (0.3, 0.25)]
    for rate, momentum in numbers:
        for each in (config, configs["w"]):
            each.update(learning_rate=rate, momentum=momentum)
        with np.errstate(all="ignore"):
            optim.follow({"w": "sgd_momentum"}, params, {"w": slope}, configs)
            expected, config = optim.sgd_momentum(expected, slope, config)
        assert params["w"].tobytes() == expected.tobytes(), (rate, momentum)
        assert type(configs["w"]["momentum"]) is type(momentum)
    assert len(over) >= len(numbers) - 2


@pytest.mark.parametrize("count", [1, 3, 15, 16, 17, 250])
@pytest.mark.parametrize("offset", [0, 4, 16, 60])
def test_pieces_begin_where_lines_of_the_cache_do(offset, count, over, monkeypatch):
    monkeypatch.setattr(in_place, "_LINE", 64)
    rng = np.random.default_rng(7)

    def placed():
        """An array that begins so many bytes after a line does."""
        room = np.empty(count + 32, np.float32)
        first = (offset - room.ctypes.data) % 64 // 4
        return room[first : first + count]

    w, v, slope = placed(), placed(), placed()
    w[:], v[:], slope[:] = rng.normal(size=(3, count))
    config = {"learning_rate": 0.1, "momentum": 0.9, "velocity": v}
    expected, kept = optim.sgd_momentum(w.copy(), slope, {**config, "velocity": v.copy()})
    passed, _ = in_place.prepared(
        optim.sgd_momentum.function, w, slope, config, ["velocity"], in_place.allowed()
    )
    in_place.run([passed])
    assert over == [[]] and w.tobytes() == expected.tobytes() and v.tobytes() == kept["velocity"].tobytes()


@pytest.mark.parametrize(
    "held", ["parameter", "view", "state", "view of another", "read only", "swapped bytes"]
)
def test_what_somebody_else_has_is_not_written_over(held, over):
    w, slope = np.ones((30, 20)), np.full((30, 20), 0.5)
    params, configs = started("sgd_momentum", w, slope)
    other = {
        "parameter": lambda: params["w"],
        "view": lambda: params["w"][3:],
        "state": lambda: configs["w"]["velocity"],
        "view of another": lambda: params.update(w=np.ones((60, 20))[:30]),
        "read only": lambda: params["w"].setflags(write=False),
        "swapped bytes": lambda: params.update(w=params["w"].astype(">f8")),
    }[held]()
    kept = None if other is None else other.copy()
    expected, _ = optim.sgd_momentum(
        params["w"].copy(), slope, {**configs["w"], "velocity": configs["w"]["velocity"].copy()}
    )
    optim.follow({"w": "sgd_momentum"}, params, {"w": slope}, configs)
    assert np.array_equal(params["w"], expected) and not over
    if kept is not None and held != "state":
        assert np.array_equal(other, kept)


def test_an_overflow_in_the_midst_is_numpys_warning(over):
    w, slope = np.ones(1000), np.full(1000, 0.5)
    params, configs = started("adagrad", w, slope)
    expected, config = optim.adagrad(w, slope, {})
    slope[777] = 1e200
    with pytest.warns(RuntimeWarning, match="overflow encountered in square") as told:
        optim.follow({"w": "adagrad"}, params, {"w": slope}, configs)
    assert over == [[(700, 1000)]] and len(told) == 1  # whole pieces before it
    with np.errstate(over="ignore"):
        expected, config = optim.adagrad(expected, slope, config)
    assert np.array_equal(params["w"], expected) and np.array_equal(configs["w"]["cache"], config["cache"])


@pytest.fixture
def together(over, monkeypatch):
    """Two threads share each parameter; the threads that were at it, and what each of them had."""
    calls = []
    run = pool.run
    monkeypatch.setattr(in_place, "_SHARE", 2400)
    monkeypatch.setattr(in_place, "_CUT", 2400)
    monkeypatch.setattr(pool, "width", lambda: 2)
    monkeypatch.setattr(pool, "is_only_thread", lambda: True)
    monkeypatch.setattr(pool, "run", lambda work, parts: calls.append(parts) or run(work, parts))
    return calls


@pytest.mark.parametrize("name", optim.RULES)
def test_threads_that_share_a_parameter_give_the_same_bits(name, over, together):
    rng = np.random.default_rng(7)
    w, *slopes = rng.normal(size=(3, 1001))
    params, configs = started(name, w, slopes[0])
    expected, config = optim.RULES[name](w, slopes[0], {})
    optim.follow({"w": name}, params, {"w": slopes[1]}, configs)
    expected, config = optim.RULES[name](expected, slopes[1], config)
    assert over == [[]] and together == [2]
    assert params["w"].tobytes() == expected.tobytes()
    assert all(np.array_equal(value, config[key]) for key, value in configs["w"].items())


def test_parameters_follow_their_rules_together(over, together):
    rng = np.random.default_rng(7)
    sizes = {"large": 1500, "other": 250, "third": 200, "small": 20, "own": 700}
    given = {"large": "adam", "other": "sgd_momentum", "third": "adam", "small": "adam"}
    given["own"] = lambda w, dw, config: (w - dw, {**config, "steps": config.get("steps", 0) + 1})
    params = {name: rng.normal(size=size) for name, size in sizes.items()}
    expected = {name: (value.copy(), {}) for name, value in params.items()}
    configs = {name: {} for name in params}
    for _ in range(3):
        grads = {name: rng.normal(size=size) for name, size in sizes.items()}
        optim.follow(given, params, grads, configs)
        for name, rule in given.items():
            expected[name] = optim.get(rule)(expected[name][0], grads[name], expected[name][1])
    assert over == [[]] * 8 and together == [2, 2]  # four of them, twice: the small one is taken along
    for name, (value, config) in expected.items():
        assert params[name].tobytes() == value.tobytes() and configs[name].keys() == config.keys()
        assert all(np.array_equal(configs[name][key], each) for key, each in config.items())


def test_a_rule_that_fails_leaves_the_others_whole(over):
    params = {"first": np.ones(10), "second": np.ones(1000)}
    configs = {"first": {}, "second": {}}
    grads = {name: np.full(value.shape, 0.5) for name, value in params.items()}
    optim.follow(dict.fromkeys(params, "adam"), params, grads, configs)

    def fails(w, dw, config):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        optim.follow({"first": fails, "second": "adam"}, params, grads, configs)
    expected, config = np.ones(1000), {}
    for _ in range(2):
        expected, config = optim.adam(expected, grads["second"], config)
    assert params["second"].tobytes() == expected.tobytes() and configs["second"]["t"] == config["t"] == 2


@pytest.mark.parametrize("where", [[150], [777], [150, 777]])
def test_what_overflows_in_a_threads_share_is_left_to_the_rule(where, over, together):
    w, slope = np.ones(1000), np.full(1000, 0.5)
    params, configs = started("adam", w, slope)
    expected, config = optim.adam(w, slope, {})
    slope[where] = 1e200
    with pytest.warns(RuntimeWarning, match="overflow encountered in square") as told:
        optim.follow({"w": "adam"}, params, {"w": slope}, configs)
    left = {150: (100, 500), 777: (700, 1000)}
    assert over == [[left[place] for place in where]] and len(told) == len(where)
    with np.errstate(over="ignore"):
        expected, config = optim.adam(expected, slope, config)
    assert np.array_equal(params["w"], expected)
    assert all(np.array_equal(value, config[key]) for key, value in configs["w"].items())


def test_an_interrupt_leaves_no_parameter_half_done(over, together, monkeypatch):
    w, slope = np.ones(1000), np.full(1000, 0.5)
    params, configs = started("sgd_momentum", w, slope)
    expected, config = optim.sgd_momentum(w, slope, {})

    def interrupted(work, parts):
        work(0)
        raise KeyboardInterrupt

    monkeypatch.setattr(pool, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        optim.follow({"w": "sgd_momentum"}, params, {"w": slope}, configs)
    expected, config = optim.sgd_momentum(expected, slope, config)
    assert np.array_equal(params["w"], expected)
    assert np.array_equal(configs["w"]["velocity"], config["velocity"])


def test_a_thread_of_the_program_is_told_from_minpys(monkeypatch):
    pool.run(lambda number: None, 2)
    go = threading.Event()
    other = threading.Thread(target=go.wait)
    other.start()
    frames = sys._current_frames()
    go.set()
    other.join()
    ours = {threading.get_ident(), *(helper.ident for helper in pool._helpers)}
    for idents, alone in [(ours, True), ({*ours, other.ident}, False)]:
        monkeypatch.setattr(sys, "_current_frames", lambda idents=idents: {k: frames[k] for k in idents})
        assert pool.is_only_thread() is alone


@pytest.mark.parametrize("how", ["errstate", "filter"])
def test_an_overflow_that_raises_leaves_all_as_it_was(how, over):
    params, configs = started("adam", np.ones(1000), np.full(1000, 0.5))
    slope = np.full(1000, 0.5)
    slope[777] = 1e200
    before = params["w"].copy()
    with warnings.catch_warnings(), np.errstate(over="raise" if how == "errstate" else "warn"):
        if how == "filter":
            warnings.simplefilter("error")
        with pytest.raises((FloatingPointError, RuntimeWarning), match="overflow"):
            optim.follow({"w": "adam"}, params, {"w": slope}, configs)
    assert over == [] and np.array_equal(params["w"], before)


def test_a_number_beyond_single_precision_makes_doubles(over):
    params, configs = started("sgd", np.ones(1000, np.float32), np.full(1000, 0.5, np.float32))
    configs["w"]["learning_rate"] = 1e39
    slope = np.zeros(1000, np.float32)
    expected, _ = optim.sgd(params["w"].copy(), slope, configs["w"])
    optim.follow({"w": "sgd"}, params, {"w": slope}, configs)
    assert over == [] and params["w"].dtype == expected.dtype and np.array_equal(params["w"], expected)
