"""Networks in the form of release 0.3.4: modules that are called, models that go back, updaters."""

from __future__ import annotations

import numpy as np
import pytest

import minpy
import minpy.nn.model_builder as builder
from minpy.errors import ArgumentError
from minpy.nn import layers, modules
from minpy.nn.io import NDArrayIter
from minpy.nn.model import UnknownAccessModeError
from minpy.nn.solver import Solver

mxnet = pytest.mark.mxnet


@pytest.fixture
def rng():
    np.random.seed(0)
    return np.random.RandomState(1)


def spots(rng, n=60, classes=3):
    y = np.arange(n) % classes
    return rng.standard_normal((classes, 6))[y] + 0.2 * rng.standard_normal((n, 6)), y


class Net(builder.Model):
    def __init__(self, loss="softmax_loss", last=3):
        super().__init__(loss=loss)
        self.first = builder.Affine(8)
        self.rest = [builder.ReLU(), builder.BatchNormalization(), builder.Affine(last, name="out")]

    def forward(self, x):
        x = self.first(x)
        for module in self.rest:
            x = module(x)
        return x


def train(net, updater, x, y, steps):
    losses = []
    for _ in range(steps):
        losses.append(float(net(x, labels=y)))
        updater(net.backward())
    return losses


def test_a_model_of_attributes_learns(rng):
    x, y = spots(rng)
    net = Net()
    losses = train(net, builder.Updater(net, learning_rate=0.5), x, y, 30)
    assert losses[-1] < 0.05 * losses[0]
    assert list(net.params) == [
        "affine0_weight", "affine0_bias", "batchnormalization0_gamma", "batchnormalization0_beta",
        "out_weight", "out_bias",
    ]  # fmt: skip
    net.inference()
    assert (net.forward(x).argmax(axis=1) == y).all()
    assert net.outputs.shape == (60, 3) and type(net.outputs) is np.ndarray


def test_gradients_are_those_of_the_function(rng):
    x, y = spots(rng, 9)
    net = Net()
    net(x, labels=y)
    found = net.backward()

    def loss(params):
        h = layers.relu(layers.affine(x, params["affine0_weight"], params["affine0_bias"]))
        h, _, _ = layers.batchnorm(h, params["batchnormalization0_gamma"], params["batchnormalization0_beta"])
        return layers.softmax_loss(layers.affine(h, params["out_weight"], params["out_bias"]), y)

    expected = minpy.grad(loss)(dict(net.params))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(net.backward(2.0)["out_bias"], 2 * expected["out_bias"])
    grads, value = net.grad_and_loss(x, y)
    np.testing.assert_allclose(value, loss(net.params))
    np.testing.assert_array_equal(grads["out_bias"], net.grad()["out_bias"])


def test_what_is_attached_and_detached(rng):
    x, _ = spots(rng, 6)
    net = Net(loss=None, last=2)
    out = net(x)
    assert out.shape == (6, 2) and set(net.backward()) == set(net.params)
    net.attach("input", x)
    net.detach("out_bias")
    net(x, reduce_array=True)
    found = net.backward()
    assert set(found) == {*net.params, "input"} - {"out_bias"}
    expected = minpy.grad(lambda v: np.sum(net.forward(v)))(x)
    np.testing.assert_allclose(found["input"], expected, rtol=1e-10, atol=1e-13)
    net.detach("input")
    net.attach("out_bias")
    net(x, attach_all=False)
    np.testing.assert_array_equal(net.backward()["out_bias"], [6.0, 6.0])
    assert set(net.backward()) == {"out_bias"}
    net.detach_graph()
    with pytest.raises(ArgumentError, match="call the model first"):
        net.backward()
    with pytest.raises(ArgumentError, match="name must be one of 'affine0_weight'"):
        net.detach("nothing")
    with pytest.raises(ArgumentError, match="array must be given for 'other'"):
        net.attach("other")


def test_the_first_run_leaves_running_averages_as_one_run_does(rng):
    x, _ = spots(rng)
    net = builder.Model(builder.BatchNormalization(momentum=0.5), "l2", (6,))

    class Other(builder.Model):
        def __init__(self):
            super().__init__("l2")
            self.norm = builder.BatchNormalization(momentum=0.5)

        def forward(self, x):
            return self.norm(x)

    other = Other()
    for _ in range(2):
        net(x), other(x)
        for name, value in net.aux_params.items():
            assert type(other.aux_params[name]) is np.ndarray
            np.testing.assert_array_equal(other.aux_params[name], value)


def test_modules_can_be_called_by_themselves(rng):
    x = rng.standard_normal((4, 3))
    affine = builder.Affine(2, name="mine")
    y = affine(x)
    assert list(affine.param_dict) == ["mine_weight", "mine_bias"]
    np.testing.assert_array_equal(y, x @ affine.param_dict["mine_weight"])
    np.testing.assert_array_equal(affine(x), y)
    net = builder.Sequential(builder.Affine(5), builder.Tanh(), builder.BatchNormalization(), affine)
    other = builder.Affine(5)
    other(x)
    with pytest.raises(ArgumentError, match="has parameters already"):
        builder.Sequential(other, builder.ReLU(), affine)(x)
    net.pop()
    out = net(x)
    assert out.shape == (4, 5)
    assert list(net.param_dict) == [
        "affine0_weight", "affine0_bias", "batchnormalization0_gamma", "batchnormalization0_beta"
    ]  # fmt: skip
    assert list(net.aux_param_dict) == [
        "batchnormalization0_running_mean", "batchnormalization0_running_var"
    ]  # fmt: skip
    net.inference()
    assert net.modules()[2].mode == "test" and not np.allclose(net(x), out)
    net.training()
    np.testing.assert_array_equal(net(x), out)
    assert builder.Affine(2)(x.astype("f4")).dtype == "f4"


def test_what_is_put_together_in_a_run_is_a_part_of_the_model(rng):
    class Sum(builder.Model):
        def __init__(self):
            super().__init__()
            self.a, self.b = builder.Affine(2), builder.Affine(2, name="b")

        def forward(self, x):
            return (self.a + self.b * builder.Tanh())(x)

    net = Sum()
    x = rng.standard_normal((4, 2))
    net(x)
    assert set(net.backward()) == set(net.params) == {"affine0_weight", "affine0_bias", "b_weight", "b_bias"}
    net(x)
    np.testing.assert_array_equal(net.backward()["affine0_bias"], [4.0, 4.0])


def test_modules_that_are_added_later_or_not_reached(rng):
    class Some(builder.Model):
        def __init__(self):
            super().__init__()
            self.used, self.unused, self.more = builder.Affine(2), builder.Affine(7), []
            self.runs = 0

        def forward(self, x):
            self.runs += 1
            x = builder.Tanh()(self.used(x))
            for module in self.more:
                x = module(x)
            return x

    net = Some()
    x = rng.standard_normal((4, 2))
    net(x)
    assert net.runs == 2 and set(net.backward()) == {"affine0_weight", "affine0_bias"}
    net(x)
    assert net.runs == 3
    net.more.append(builder.Affine(3, name="late"))
    net(x)
    assert net.runs == 5 and set(net.backward()) == set(net.params) and "late_bias" in net.params


def test_modules_that_are_made_in_a_run_have_its_mode(rng):
    class Dropping(builder.Model):
        def forward(self, x):
            return builder.Dropout(0.5)(x)

    net, x = Dropping(), np.ones(200)
    assert set(np.unique(net(x))) == {0.0, 2.0}
    net.inference()
    np.testing.assert_array_equal(net(x), x)


def test_parameters_that_would_begin_at_each_run_are_an_error(rng):
    class Wrong(builder.Model):
        def forward(self, x):
            return builder.Affine(2)(x)

    with pytest.raises(ArgumentError, match="make them in __init__"):
        Wrong()(rng.standard_normal((4, 2)))


def test_operators_of_modules(rng):
    x = rng.standard_normal((4, 3))
    a, b = builder.Tanh(), builder.Sigmoid()
    s = 1 / (1 + np.exp(-x))
    for module, expected in (
        (a + b, np.tanh(x) + s),
        (a - b, np.tanh(x) - s),
        (a * b, np.tanh(x) * s),
        (a * b - a, np.tanh(x) * s - np.tanh(x)),
        (builder.Binary(a, b, np.maximum, name="max"), np.maximum(np.tanh(x), s)),
    ):
        np.testing.assert_allclose(module(x), expected)
        assert module.output_shape((3,)) == (3,)
    assert type(a + b) is builder.Add and type(a - b) is builder.Sub and type(a * b) is builder.Mul
    both = builder.Parallel(a, b)(x)
    np.testing.assert_allclose(both[1], s)
    np.testing.assert_allclose(builder.Parallel(a, b)(s, x)[0], np.tanh(s))
    assert builder.Parallel(a, b).output_shape((3,)) == ((3,), (3,))
    model = builder.Model(builder.Affine(3) - builder.Affine(3) * builder.Sigmoid(), "l2", (3,))
    assert (
        set(model.param_configs) == {f"affine{i}_{n}" for i in range(2) for n in ("weight", "bias")}
        or len(model.param_configs) == 4
    )
    wrong = builder.Affine(2) - builder.Affine(3)
    with pytest.raises(ArgumentError, match="different shapes"):
        wrong.output_shape((3,))
    with pytest.raises(ArgumentError, match="holds 2 modules, but got 3"):
        builder.Parallel(a, b)(x, x, x)
    with pytest.raises(TypeError):
        a + 1


def test_changing_a_sequence():
    a, b = builder.ReLU(), builder.Tanh()
    net = builder.Sequential(a, b, name="net")
    net.reverse()
    assert net.modules() == [b, a] and net.pop(0) is b and net.modules() == [a]
    with pytest.raises(ArgumentError, match="out of range"):
        net.pop(3)


class Scale(builder.Layer):
    def __init__(self, **settings):
        super().__init__(params=("gamma", "shift"), aux_params=("seen",), **settings)

    def param_shapes(self, input_shape):
        return {"gamma": input_shape[1:], "shift": (1,)}

    def aux_param_shapes(self, input_shape):
        return {"seen": (1,)}

    def forward(self, x):
        gamma, shift = self._get_params("gamma", "shift")
        if self.mode == "train":
            self.aux_params["seen"] = self.aux_params["seen"] + len(x)
        return x * gamma + shift


def test_layers_of_ones_own(rng):
    x = rng.standard_normal((4, 3))
    scale = Scale(name="s", init_configs={"shift": {"init_rule": "constant", "init_config": {"value": 2.0}}})
    np.testing.assert_array_equal(scale(x), x + 2.0)
    scale(x)
    assert list(scale.param_dict) == ["s_gamma", "s_shift"] and scale.aux_param_dict["s_seen"] == 8
    scale.inference()
    scale(x)
    assert scale.aux_param_dict["s_seen"] == 8
    for make, text in (
        (lambda: Scale(init_configs={"beta": {}}), "a name in init_configs must be one of 'gamma', 'shift'"),
        (lambda: Scale(init_configs={"shift": {"value": 2}}), "a setting of 'shift' in init_configs"),
        (lambda: Scale(update_configs={"beta": {}}), "a name in update_configs"),
        (lambda: builder.Layer(params=("w",)), "param_shapes gives"),
        (
            lambda: type("NoShape", (builder.Layer,), {"forward": lambda self, x: self.param("w")})(),
            "no parameter 'w'",
        ),
    ):
        with pytest.raises(ArgumentError, match=text):
            make()(x)
    with pytest.raises(NotImplementedError, match="forward"):
        builder.Layer()(x)


# ----- modules ------------------------------------------------------------------------------------------------


@mxnet
def test_operators_of_mxnet_and_their_parameters(rng):
    x, images = rng.standard_normal((4, 3)), rng.standard_normal((2, 3, 6, 6))
    dense = modules.FullyConnected(num_hidden=5, name="fc")
    y = dense(x)
    w = dense.param_dict["fc_weight"]
    assert w.shape == (5, 3) and w.std() > 0 and (dense.param_dict["fc_bias"] == 0).all()
    np.testing.assert_allclose(y, x @ w.T, rtol=1e-6)
    net = builder.Sequential(
        modules.Convolution(kernel=(3, 3), num_filter=4, no_bias=True),
        modules.ReLU(),
        modules.Pooling(kernel=(2, 2), stride=(2, 2), pool_type="max"),
        modules.BatchFlatten(),
    )
    assert net(images).shape == (2, 16) and list(net.param_dict) == ["convolution0_weight"]
    rows = modules.Embedding(
        input_dim=7,
        output_dim=2,
        init_configs={"weight": {"init_rule": "gaussian", "init_config": {"stdvar": 1.0}}},
    )
    found = rows(np.array([[1, 2], [6, 0]]))
    np.testing.assert_array_equal(found[1, 0], rows.param_dict["embedding0_weight"][6])
    assert modules.Pooling(kernel=(2, 2), pool_type="avg", stride=(2, 2))(images).shape == (2, 3, 3, 3)


@mxnet
def test_batch_norm_keeps_averages_and_infers_with_them(rng):
    x = 3 + rng.standard_normal((50, 4))
    norm = modules.BatchNorm(fix_gamma=False, momentum=0.5, name="bn")

    class Model(builder.Model):
        def __init__(self):
            super().__init__()
            self.norm = norm

        def forward(self, x):
            return self.norm(x)

    model = Model()
    out = model(x)
    np.testing.assert_allclose(out.mean(axis=0), 0.0, atol=1e-6)
    assert (model.params["bn_gamma"] == 1).all() and (model.aux_params["bn_moving_mean"] == 0).all()
    model.backward()
    np.testing.assert_allclose(model.aux_params["bn_moving_mean"], 0.5 * x.mean(axis=0), rtol=1e-5)
    model.inference()
    expected = (x - model.aux_params["bn_moving_mean"]) / np.sqrt(model.aux_params["bn_moving_var"] + 1e-3)
    np.testing.assert_allclose(model.forward(x), expected, rtol=1e-4)


@mxnet
def test_symbols_as_modules(rng):
    from minpy.runtime.backends.mxnet import load

    mx = load()
    a, b = mx.sym.Variable("a"), mx.sym.Variable("b")
    w = mx.sym.Variable("my_weight", shape=(1, 3))
    module = modules.Symbolic(mx.sym.broadcast_mul(a + b, w), variables=("a", "b"), name="s")
    x = rng.standard_normal((4, 3))
    np.testing.assert_allclose(module(x, 2 * x), 3 * x * module.param_dict["s_my_weight"], rtol=1e-6)
    with pytest.raises(ArgumentError, match=r"takes 2 inputs \(a, b\), not 1"):
        modules.Symbolic(mx.sym.broadcast_mul(a + b, w), variables=("a", "b"))(x)
    with pytest.raises(ArgumentError, match="a name in variables"):
        modules.Symbolic(a + b, variables=("c",))


@mxnet
def test_options_of_single_parameters_reach_the_updater(rng):
    """In the original this raised: the settings were handed on to MXNet."""
    x, y = spots(rng)

    class Model(builder.Model):
        def __init__(self):
            super().__init__(loss="softmax_loss")
            fixed = {"bias": {"update_rule": "sgd", "learning_rate": 0.0}}
            self.net = builder.Sequential(
                modules.FullyConnected(num_hidden=8, update_configs=fixed),
                modules.ReLU(),
                modules.BatchNorm(),
                modules.FullyConnected(num_hidden=3),
            )

        def forward(self, x):
            return self.net(x)

    model = Model()
    updater = builder.Updater(model, update_rule="sgd_momentum", lr=0.1, momentum=0.5)
    losses = train(model, updater, x, y, 30)
    assert losses[-1] < 0.2 * losses[0]
    assert (model.params["fullyconnected0_bias"] == 0).all() and (
        model.params["fullyconnected1_bias"] != 0
    ).any()


@pytest.mark.parametrize("kind", [modules.RNN, modules.LSTM])
def test_recurrent_steps(kind, rng):
    x = rng.standard_normal((5, 6, 2))
    target = x[:, :, 0].sum(axis=1)

    class Model(builder.Model):
        def __init__(self):
            super().__init__(loss="l2_loss")
            self.step, self.out = kind(8, "tanh"), builder.Affine(1)

        def forward(self, x):
            state = ()
            for t in range(x.shape[1]):
                state = self.step(x[:, t], *state)
                state = state if isinstance(state, tuple) else (state,)
            return self.out(state[0])

    model = Model()
    losses = train(model, builder.Updater(model, update_rule="adam", learning_rate=0.02), x, target, 60)
    assert losses[-1] < 0.1 * losses[0]
    step = kind(4)
    with pytest.raises(ArgumentError, match=r"shape \(N, D\)"):
        step(x)
    with pytest.raises(ArgumentError, match="a state must have the shape"):
        step(x[:, 0], np.zeros((5, 3)))
    with pytest.raises(ArgumentError, match="act_type"):
        kind(4, "cosine")


def test_recurrent_steps_follow_the_layers(rng):
    x, h, c = (rng.standard_normal((3, n)) for n in (2, 4, 4))
    rnn, lstm = modules.RNN(4), modules.LSTM(4, name="l")
    (wx, wh, b) = (rnn(x, h), rnn.param_dict.values())[1]
    np.testing.assert_allclose(rnn(x, h), layers.rnn_step(x, h, wx, wh, b))
    lstm(x)
    found = lstm(x, h, c)
    for mine, theirs in zip(found, layers.lstm_step(x, h, c, *lstm.param_dict.values()), strict=True):
        np.testing.assert_allclose(mine, theirs)
    np.testing.assert_array_equal(lstm(x)[0], lstm(x, np.zeros((3, 4)), np.zeros((3, 4)))[0])


def test_small_modules(rng):
    x = rng.standard_normal((4, 3, 2))
    for module, expected in (
        (modules.Logistic(), 1 / (1 + np.exp(-x))),
        (modules.Tanh(), np.tanh(x)),
        (modules.ReLU(), np.maximum(x, 0)),
        (modules.Identity(), x),
        (modules.Reshape((3, 8)), x.reshape(3, 8)),
        (modules.BatchReshape((6,)), x.reshape(4, 6)),
        (modules.Flatten(), x.reshape(-1)),
        (modules.BatchFlatten(), x.reshape(4, 6)),
    ):
        np.testing.assert_allclose(module(x), expected)
    dropped = modules.Dropout(0.5)
    np.random.seed(0)
    assert 0 < (dropped(x) == 0).mean() < 1
    dropped.inference()
    np.testing.assert_array_equal(dropped(x), x)
    value = modules.Variable((2, 3), {"init_rule": "constant", "init_config": {"value": 5.0}}, name="v")
    assert (value() == 5.0).all() and value().shape == (2, 3) and list(value.param_dict) == ["v_variable"]


# ----- models -------------------------------------------------------------------------------------------------


def test_models_inside_of_models(rng):
    """In the original this was a NameError."""
    x, y = spots(rng)

    class Outer(builder.Model):
        def __init__(self):
            super().__init__(loss="softmax_loss")
            self.inner, self.out = Net(loss=None, last=5), builder.Affine(3)

        def forward(self, x):
            return self.out(builder.ReLU()(self.inner(x)))

    outer = Outer()
    losses = train(outer, builder.Updater(outer, learning_rate=0.3), x, y, 20)
    assert losses[-1] < 0.3 * losses[0]
    assert {"affine0_weight", "out_weight", "affine1_weight"} <= set(outer.params)


def test_the_documented_form_can_be_called_too(rng):
    x, y = spots(rng)
    net = builder.Model(
        builder.Sequential(builder.Affine(8), builder.ReLU(), builder.Affine(3)), "softmax", (6,)
    )
    losses = train(net, builder.Updater(net, lr=0.5), x, y, 30)
    assert losses[-1] < 0.2 * losses[0]
    model = Net()
    with pytest.raises(ArgumentError, match="has no parameters"):
        it = NDArrayIter(x, y, 20)
        Solver(model, it, it, verbose=False, num_epochs=1).train()


def test_a_model_of_attributes_goes_into_the_solver_once_it_was_called(rng, tmp_path):
    x, y = spots(rng)
    model = Net()
    model(x)
    it = NDArrayIter(x, y, 20)
    model.rest.append(builder.Affine(3, name="late"))
    with pytest.raises(ArgumentError, match="call the model with one batch before the solver"):
        Solver(model, it, it, verbose=False, num_epochs=1).train()
    model.rest.pop()
    model = Net()
    model(x)
    it.reset()
    solver = Solver(model, it, it, verbose=False, num_epochs=15, optim_config={"learning_rate": 0.3})
    solver.init()
    solver.train()
    assert solver.best_val_acc > 0.95
    model.save(tmp_path / "net")
    again = Net()
    again(x)
    again.load(tmp_path / "net")
    again.inference(), model.inference()
    np.testing.assert_array_equal(again.forward(x), model.forward(x))


def test_options_of_the_updater(rng):
    x, y = spots(rng)
    net = Net()
    net(x, labels=y)
    updater = builder.Updater(net, update_rule="sgd_momentum", learning_rate=0.1)
    assert updater.update_rule == "sgd_momentum" and updater.lr == 0.1 == updater["out_bias"].learning_rate
    updater["out_bias"].learning_rate = 0.0
    updater.momentum = 0.5
    assert updater["out_bias"].lr == 0.0 and updater["out_bias"].momentum == 0.5
    before = dict(net.params)
    updater(net.backward())
    assert (net.params["out_bias"] == before["out_bias"]).all()
    assert (net.params["out_weight"] != before["out_weight"]).any()
    np.testing.assert_allclose(
        net.params["out_weight"], before["out_weight"] - 0.1 * net.backward()["out_weight"], rtol=1e-12
    )
    for wrong, text in (
        (lambda: builder.Updater(net, momentem=0.9), "option must be one of .*'momentum'"),
        (lambda: builder.Updater(net, update_rule="fast"), "update_rule must be one of"),
        (lambda: builder.Updater(net, momentum=0.9), "optim.sgd: config has no option 'momentum'"),
        (lambda: updater({"nothing": x}), "parameter must be one of"),
        (lambda: updater["nothing"], "parameter must be one of"),
        (lambda: updater({"out_bias": np.zeros(7)}), "dw must have the shape of w"),
    ):
        with pytest.raises(ArgumentError, match=text):
            wrong()
    with pytest.raises(AttributeError, match="no 'epsilon'"):
        updater.epsilon  # noqa: B018


def test_modes_that_do_not_exist():
    model = builder.Model(builder.ReLU(), "l2", (2,))
    with pytest.raises(UnknownAccessModeError, match="mode must be 'train' or 'test', not 'tarin'"):
        model.forward(np.ones((1, 2)), "tarin")


def test_wrong_use_of_models(rng):
    class Early(builder.Model):
        def __init__(self):
            self.first = builder.Affine(2)

    class Nothing(builder.Model):
        def __init__(self):
            super().__init__()

    with pytest.raises(ArgumentError, match="must be called before modules"):
        Early()
    with pytest.raises(NotImplementedError, match="must define forward"):
        Nothing()(np.ones((2, 2)))
    with pytest.raises(NotImplementedError, match="must be given a loss"):
        Net(loss=None)(np.ones((2, 2)), labels=np.ones(2))
    for call, text in (
        (lambda: builder.Model("fast"), "loss must be one of"),
        (lambda: builder.Model(builder.ReLU()), "loss must be given"),
        (lambda: builder.Model(builder.ReLU(), "l2"), "input_shape must be given"),
        (lambda: builder.Model(loss="l2", input_shape=(2,)), "input_shape goes with a container"),
        (lambda: builder.Model("l2", "l2"), "container must be a module"),
    ):
        with pytest.raises(ArgumentError, match=text):
            call()


def test_parameters_stay_as_they_were_when_forward_fails(rng):
    x, _ = spots(rng)
    net = Net(loss=None)
    net(x)
    before = dict(net.params)
    with pytest.raises(ValueError):
        net(x, forward=lambda v: net.forward(v) @ np.ones(7))
    assert all(net.params[name] is value for name, value in before.items())
    assert net(x, forward=lambda v: net.forward(v)[:1], loss=None).shape == (1, 3)
