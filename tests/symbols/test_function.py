"""`Function`: values and derivatives of MXNet symbols against NumPy and against differences."""

from __future__ import annotations

import contextlib
import gc
import threading

import numpy as np
import pytest

import minpy
from minpy.core import Function, MXNetSymbolError
from minpy.errors import DeviceError, GradientError, UsageError
from minpy.runtime.backends.mxnet import load

pytestmark = pytest.mark.mxnet
try:
    mx = load()
except DeviceError:  # a Python or NumPy too new for it: the mark says why
    mx = None


def random(*shape, seed=0):
    return np.random.RandomState(seed + sum(shape)).standard_normal(shape)


def dense(hidden=10, **settings):
    net = mx.sym.FullyConnected(mx.sym.Variable("x"), name="fc", num_hidden=hidden)
    return Function(mx.sym.Activation(net, act_type="tanh"), **settings)


def slope(function, argument, direction, step=1e-6):
    return (function(argument + step * direction) - function(argument - step * direction)) / (2 * step)


def agrees(function, argument, tolerance=1e-6):
    gradient = minpy.grad(function)(argument)
    assert gradient.shape == argument.shape
    direction = random(*argument.shape, seed=99)
    expected = slope(function, argument, direction)
    assert np.sum(gradient * direction) == pytest.approx(expected, rel=tolerance, abs=tolerance)


X, W, B = random(8, 5), random(10, 5), random(10)


def test_value_and_type():
    f = dense()
    result = f(x=X, fc_weight=W, fc_bias=B)
    assert type(result) is np.ndarray
    assert result.dtype == np.float64
    np.testing.assert_allclose(result, np.tanh(X @ W.T + B), rtol=1e-12)
    single = f(x=X.astype("f"), fc_weight=W.astype("f"), fc_bias=B.astype("f"))
    assert single.dtype == np.float32
    assert dense(dtype="float32")(x=X, fc_weight=W, fc_bias=B).dtype == np.float32


def test_arguments_of_any_layout_and_kind():
    f = dense()
    expected = f(x=X, fc_weight=W, fc_bias=B)
    for x in (np.asfortranarray(X), X[::-1][::-1], X.T.copy().T, X.tolist()):
        np.testing.assert_array_equal(f(x=x, fc_weight=W, fc_bias=B), expected)
    whole = f(x=np.arange(40).reshape(8, 5), fc_weight=np.ones((10, 5), int), fc_bias=np.zeros(10, int))
    assert whole.dtype == np.float32
    read_only = X.copy()
    read_only.flags.writeable = False
    np.testing.assert_array_equal(f(x=read_only, fc_weight=W, fc_bias=B), expected)


def test_parameters_and_shapes():
    f = dense(input_shapes={"x": (8, 5)})
    zero = {"init_rule": "constant", "init_config": {"value": 0.0}}
    assert f.get_params() == {"fc_weight": {"shape": (10, 5)}, "fc_bias": {"shape": (10,), **zero}}
    assert f.get_one_output_shape() == (8, 10)
    assert list(f.get_output_shapes().values()) == [(8, 10)]
    # The shapes of a call count, not those that were given.
    assert f(x=X[:3], fc_weight=W, fc_bias=B).shape == (3, 10)


STARTS = {
    "uniform": (lambda: mx.init.Uniform(0.5), lambda v: 0.3 < abs(v).max() <= 0.5),
    "normal": (lambda: mx.init.Normal(2.0), lambda v: 1.5 < v.std() < 2.5),
    "constant": (lambda: mx.init.Constant(3.0), lambda v: (v == 3.0).all()),
    "zero": (lambda: "zeros", lambda v: not v.any()),
    "one": (lambda: mx.init.One(), lambda v: (v == 1.0).all()),
    "msraprelu": (lambda: mx.init.MSRAPrelu("in", 0.0), lambda v: abs(v.std() - (2 / 30) ** 0.5) < 0.05),
    "orthogonal": (lambda: mx.init.Orthogonal(1.0), lambda v: np.allclose(v @ v.T, np.eye(20), atol=1e-5)),
}


@pytest.mark.parametrize("name", STARTS)
def test_variables_start_as_they_were_declared(name):
    """By the solver; random ones follow from NumPy's seed."""
    from minpy.nn import layers
    from minpy.nn.io import NDArrayIter
    from minpy.nn.model import ModelBase
    from minpy.nn.solver import Solver

    make, is_right = STARTS[name]
    weight = mx.sym.Variable("w", init=make())
    net = mx.sym.FullyConnected(mx.sym.Variable("x"), weight=weight, name="fc", num_hidden=20)
    f = Function(mx.sym.BatchNorm(net, name="bn", fix_gamma=False), input_shapes={"x": (8, 30)})

    class Net(ModelBase):
        def __init__(self):
            super().__init__()
            self.add_params(f.get_params())

        def forward(self, X, mode):
            return f(x=X, **self.params)

        def loss(self, predict, y):
            return layers.l2_loss(predict, y)

    data = NDArrayIter(np.ones((8, 30), "f4"), np.ones((8, 20), "f4"), 8)
    found = []
    for _ in range(2):
        np.random.seed(3)
        solver = Solver(Net(), data, data, task_type="regression", init_rule="he", verbose=False)
        solver.init()
        found.append(solver.model.params)
    first, second = found
    assert is_right(first["w"])
    for each, value in (("fc_bias", 0.0), ("bn_beta", 0.0), ("bn_gamma", 1.0)):
        assert (first[each] == value).all(), each
    for each in first:
        assert np.array_equal(first[each], second[each]), each


def test_an_initialiser_that_does_not_fit_is_named():
    weight = mx.sym.Variable("w", init=mx.init.Bilinear())
    f = Function(
        mx.sym.FullyConnected(mx.sym.Variable("x"), weight=weight, num_hidden=4, name="fc"), {"x": (2, 3)}
    )
    with pytest.raises(MXNetSymbolError, match=r"initialiser of w, .*bilinear.*\(4, 3\)"):
        f.get_params()["w"]["init_rule"]((4, 3))


@pytest.mark.parametrize("name", ["x", "fc_weight", "fc_bias"])
def test_gradient_of_each_argument(name):
    f = dense()
    arguments = {"x": X, "fc_weight": W, "fc_bias": B}
    agrees(lambda value: np.sum(f(**{**arguments, name: value}) ** 3), arguments[name])


def test_one_symbol_applied_many_times_before_the_sweep():
    f = dense(hidden=5)
    w, b = random(5, 5), random(5)

    def deep(w):
        h = X
        for _ in range(7):
            h = f(x=h, fc_weight=w, fc_bias=b)
        return np.sum(h**2)

    agrees(deep, w)


def test_convolution_network():
    net = mx.sym.Convolution(mx.sym.Variable("x"), name="conv", kernel=(3, 3), num_filter=4)
    net = mx.sym.Activation(net, act_type="softrelu")
    net = mx.sym.Pooling(net, pool_type="max", kernel=(2, 2), stride=(2, 2))
    f = Function(mx.sym.Flatten(net), input_shapes={"x": (2, 3, 8, 8)}, name="conv")
    assert f.get_one_output_shape() == (2, 36)
    x = random(2, 3, 8, 8)
    parameters = {name: random(*each["shape"]) for name, each in f.get_params().items()}
    agrees(lambda w: np.sum(np.sin(f(x=x, **{**parameters, "conv_weight": w}))), parameters["conv_weight"])
    agrees(lambda v: np.sum(f(x=v, **parameters) ** 2), x)


def test_several_outputs():
    x = mx.sym.Variable("x")
    f = Function(mx.sym.Group([mx.sym.sin(x), mx.sym.exp(x)]))
    sine, _ = f(x=X)
    np.testing.assert_allclose(sine, np.sin(X), rtol=1e-12)
    agrees(lambda v: np.sum(f(x=v)[0] * f(x=v)[1]), X)
    agrees(lambda v: np.sum(f(x=v)[1]), X)  # nothing comes from the other output
    with pytest.raises(UsageError, match="2 outputs"):
        Function(mx.sym.Group([x, x]), input_shapes={"x": (2,)}).get_one_output_shape()


def test_softmax_output_and_its_label():
    net = mx.sym.SoftmaxOutput(mx.sym.Variable("x"), name="softmax", normalization="batch")
    f = Function(net, input_shapes={"x": (8, 5), "softmax_label": (8,)})
    assert f.get_params() == {}
    label = np.arange(8) % 5
    probabilities = f(x=X, softmax_label=label)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    # For predictions there is no label.
    np.testing.assert_array_equal(f(x=X), probabilities)

    def loss(x):
        p = f(x=x, softmax_label=label)
        return -np.sum(np.log(p[np.arange(8), label])) / 8

    gradient = minpy.grad(loss)(X)
    one_hot = np.eye(5)[label]
    np.testing.assert_allclose(gradient, (probabilities - one_hot) / 8, rtol=1e-10, atol=1e-12)


def batch_norm():
    net = mx.sym.BatchNorm(mx.sym.Variable("x"), name="bn", fix_gamma=False, eps=1e-5, momentum=0.9)
    return Function(net, input_shapes={"x": (8, 5)})


def test_auxiliary_states_given_by_the_program():
    f = batch_norm()
    assert f.get_aux_params() == {"bn_moving_mean": {"shape": (5,)}, "bn_moving_var": {"shape": (5,)}}
    gamma, beta = random(5), random(5, seed=1)
    mean, variance = np.zeros(5), np.ones(5)

    def loss(x):
        y = f(x=x, bn_gamma=gamma, bn_beta=beta, bn_moving_mean=mean, bn_moving_var=variance)
        return np.sum(y**3)

    gradient = minpy.grad(loss)(X)
    np.testing.assert_allclose(mean, 0.1 * X.mean(axis=0), rtol=1e-6)  # the momentum is float32
    np.testing.assert_allclose(variance, 0.9 + 0.1 * X.var(axis=0), rtol=1e-6)
    direction = random(8, 5, seed=5)
    assert np.sum(gradient * direction) == pytest.approx(slope(loss, X, direction), rel=1e-5)


def test_auxiliary_states_of_its_own_and_inference():
    f = batch_norm()
    gamma, beta = np.ones(5), np.zeros(5)
    for _ in range(3):
        minpy.grad(lambda x: np.sum(f(x=x, bn_gamma=gamma, bn_beta=beta) ** 2))(X)
    mean = f.aux_states["bn_moving_mean"]
    np.testing.assert_allclose(mean, X.mean(axis=0) * (1 - 0.9**3), rtol=1e-6)
    f.is_train = False
    variance = f.aux_states["bn_moving_var"]
    expected = (X - mean) / np.sqrt(variance + 1e-5)
    np.testing.assert_allclose(f(x=X, bn_gamma=gamma, bn_beta=beta), expected, rtol=1e-9)


def test_dropout_follows_is_train():
    f = Function(mx.sym.Dropout(mx.sym.Variable("x"), p=0.5))
    ones = np.ones((50, 50))
    assert set(np.unique(f(x=ones))) == {0.0, 2.0}
    gradient = minpy.grad(lambda x: np.sum(f(x=x)))(ones)
    assert set(np.unique(gradient)) == {0.0, 2.0}
    f.is_train = False
    np.testing.assert_array_equal(f(x=ones), ones)


def test_jacobian_sweeps_one_run_several_times():
    f = dense()
    jacobian = minpy.jacobian(lambda x: f(x=x, fc_weight=W, fc_bias=B)[0])(X)
    y = np.tanh(X[0] @ W.T + B)
    np.testing.assert_allclose(jacobian[:, 0], (1 - y**2)[:, None] * W, rtol=1e-8)
    assert not jacobian[:, 1:].any()


def test_several_sweeps_of_one_run_move_averages_once():
    f = batch_norm()
    gamma, beta = np.ones(5), np.zeros(5)
    jacobian = minpy.jacobian(lambda x: f(x=x, bn_gamma=gamma, bn_beta=beta)[0])(X)
    assert jacobian.shape == (5, *X.shape)
    np.testing.assert_allclose(f.aux_states["bn_moving_mean"], 0.1 * X.mean(axis=0), rtol=1e-6)
    value, pullback = minpy.vjp(lambda x: f(x=x, bn_gamma=gamma, bn_beta=beta), X)
    first = pullback(np.ones(value.shape) * X)[0]
    before = f.aux_states["bn_moving_mean"].copy()
    np.testing.assert_array_equal(pullback(np.ones(value.shape) * X)[0], first)
    np.testing.assert_array_equal(f.aux_states["bn_moving_mean"], before)
    np.testing.assert_allclose(before, X.mean(axis=0) * (1 - 0.9**2), rtol=1e-6)


def test_random_numbers_are_not_drawn_again_for_a_second_sweep():
    f = Function(mx.sym.Dropout(mx.sym.Variable("x"), p=0.5))
    with pytest.raises(GradientError, match="Dropout"):
        minpy.jacobian(lambda x: f(x=x))(np.ones(3))


def test_what_symbols_have_no_derivatives_for_is_said():
    f = dense()
    first = minpy.grad(lambda x: np.sum(f(x=x, fc_weight=W, fc_bias=B)))
    with pytest.raises(GradientError, match="first derivatives only"):
        minpy.grad(lambda x: np.sum(first(x) ** 2))(X)
    with pytest.raises(GradientError, match="no forward mode"):
        minpy.jvp(lambda x: f(x=x, fc_weight=W, fc_bias=B), (X,), (X,))


def test_unknown_names_are_left_out_and_missing_ones_named(capfd):
    f = dense(name="layer")
    f(x=X, fc_weight=W, fc_bias=B, of_another_layer=np.zeros(3))
    with pytest.raises(MXNetSymbolError, match=r"layer lacks fc_weight, fc_bias"):
        f(x=X)
    with pytest.raises(MXNetSymbolError, match=r"layer cannot be applied to x \(8, 5\), fc_weight \(10, 4\)"):
        f(x=X, fc_weight=W[:, :4], fc_bias=B)
    with pytest.raises(MXNetSymbolError, match="without elements"):
        f(x=X[:0], fc_weight=W, fc_bias=B)
    f(x=X, fc_weight=W, fc_bias=B)  # nothing was spoilt
    assert capfd.readouterr() == ("", "")


def test_wrong_descriptions():
    with pytest.raises(UsageError, match="takes an MXNet symbol, not int"):
        Function(3)
    with pytest.raises(MXNetSymbolError, match="no argument 'X'"):
        dense(input_shapes={"X": (8, 5)})
    with pytest.raises(UsageError, match="mapping"):
        dense(input_shapes={"x", (8, 5)})
    with pytest.raises(UsageError, match="not known before"):
        dense().get_params()
    with pytest.raises(MXNetSymbolError, match="do not follow"):
        dense(input_shapes={"fc_bias": (10,)}).get_params()


@pytest.mark.parametrize("is_train", [True, False])
@pytest.mark.parametrize("what", ["dense", "convolution"])
def test_weights_that_are_replaced_between_calls_count(what, is_train):
    x = mx.sym.Variable("x")
    if what == "dense":
        net, shape = mx.sym.FullyConnected(x, name="f", num_hidden=3), (5, 7)
    else:
        net, shape = mx.sym.Convolution(x, name="f", kernel=(3, 3), num_filter=4), (2, 1, 8, 8)
    net = mx.sym.Activation(net, act_type="relu")
    rng = np.random.default_rng(0)
    kept = Function(net, {"x": shape})
    kept.is_train = is_train
    for _ in range(4):
        shapes = {name: each["shape"] for name, each in kept.get_params().items()} | {"x": shape}
        given = {
            name: rng.standard_normal(each).astype("f") for name, each in shapes.items()
        }  # oneDNN's type
        np.testing.assert_array_equal(kept(**given), Function(net)(**given))


def reads_its_arguments(net, x, is_train, differentiated):
    """The largest difference between a function that ran with other weights before, and a new one."""
    functions = Function(net), Function(net)
    shapes = Function(net, {"x": x.shape}).get_params()
    for f in functions:
        f.is_train = is_train
    for n in range(3):
        params = {name: random(*p["shape"], seed=n).astype("f") for name, p in shapes.items()}

        def total(params, f):
            return np.sum(f(x=x, **params) ** 2)

        if differentiated:
            found = [minpy.grad(total)(params, f) for f in functions]
        else:
            found = [{"value": f(x=x, **params)} for f in functions]
        functions = functions[0], Function(net)
        functions[1].is_train = is_train
    return max(abs(found[0][name] - found[1][name]).max() / abs(found[1][name]).max() for name in found[1])


@pytest.mark.parametrize("differentiated", [False, True])
@pytest.mark.parametrize("is_train", [True, False])
@pytest.mark.parametrize("kind", ["dense", "convolution", "normalised"])
def test_weights_are_read_anew_at_each_call(kind, is_train, differentiated):
    """What oneDNN made of the weights of an earlier call, in whatever layout, is not used again."""
    x = mx.sym.Variable("x")
    data = random(8, 3, 8, 8).astype("f")
    net = {
        "dense": lambda: mx.sym.FullyConnected(mx.sym.Flatten(x), name="fc", num_hidden=64),
        "convolution": lambda: mx.sym.Convolution(x, name="conv", kernel=(3, 3), num_filter=32),
        "normalised": lambda: mx.sym.Activation(
            mx.sym.BatchNorm(mx.sym.Convolution(x, name="c", kernel=(3, 3), num_filter=32), fix_gamma=False),
            act_type="relu",
        ),
    }[kind]()
    assert reads_its_arguments(net, data, is_train, differentiated) < 1e-5


def test_the_mode_of_a_run_stays_its_own():
    """Between the forward and a second backward run, `is_train` may change."""
    net = mx.sym.BatchNorm(mx.sym.Variable("x"), name="bn", fix_gamma=False)
    f = Function(net)
    data, weights = random(6, 3), {"bn_gamma": np.ones(3), "bn_beta": np.zeros(3)}
    _, pull = minpy.vjp(lambda x: f(x=x, **weights), data)
    first = pull(random(6, 3, seed=5))[0]
    f.is_train = False
    np.testing.assert_allclose(pull(random(6, 3, seed=5))[0], first, rtol=1e-12)


def test_executors_are_used_again():
    f = dense()
    for _ in range(20):
        minpy.grad(lambda w: np.sum(f(x=X, fc_weight=w, fc_bias=B) * f(x=X, fc_weight=w, fc_bias=B)))(W)
    gc.collect()
    (idle,) = f._executors._idle.values()
    assert len(idle) == 2


def test_a_tape_that_fails_gives_its_executors_back():
    f = dense()

    def fails(w):
        f(x=X, fc_weight=w, fc_bias=B)
        raise KeyError("after the symbol ran")

    for _ in range(3):
        with contextlib.suppress(KeyError):
            minpy.grad(fails)(W)
        gc.collect()
    assert sum(map(len, f._executors._idle.values())) == 1


def test_threads_do_not_share_a_run():
    f = dense()
    expected = [minpy.grad(lambda w, k=k: np.sum(f(x=k * X, fc_weight=w, fc_bias=B)))(W) for k in range(4)]
    found = [None] * 4

    def work(k):
        for _ in range(20):
            found[k] = minpy.grad(lambda w: np.sum(f(x=k * X, fc_weight=w, fc_bias=B)))(W)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(4):
        np.testing.assert_array_equal(found[k], expected[k])


@pytest.mark.parametrize("policy", ["only_numpy", "prefer_mxnet", "auto"])
def test_under_every_policy(policy):
    f = dense()
    run = minpy.wrap_policy(policy)(minpy.grad(lambda w: np.sum(np.exp(f(x=X, fc_weight=w, fc_bias=B)))))
    y = np.tanh(X @ W.T + B)
    np.testing.assert_allclose(run(W), (np.exp(y) * (1 - y**2)).T @ X, rtol=1e-6)
