"""Networks of modules: shapes, parameters, what they compute, and the gallery."""

from __future__ import annotations

import numpy as np
import pytest

import minpy.nn.model_builder as builder
from minpy import check_grads
from minpy.errors import ArgumentError
from minpy.nn import layers, model_gallery
from minpy.nn.io import NDArrayIter
from minpy.nn.model import ModelBase
from minpy.nn.solver import Solver


def ready(net, shape, loss="softmax", **options):
    np.random.seed(0)
    model = builder.Model(net, loss, shape)
    it = NDArrayIter(np.zeros((2, *model._input_shape)), np.zeros(2, int), 2)
    Solver(model, it, it, verbose=False, **options).init()
    return model


def test_the_manual_s_network_is_the_one_written_by_hand():
    class TwoLayerNet(ModelBase):
        def forward(self, X, mode):
            p = self.params
            y = layers.relu(layers.affine(X, p["affine0_weight"], p["affine0_bias"]))
            return layers.affine(y, p["affine1_weight"], p["affine1_bias"])

    net = builder.Sequential(builder.Affine(5), builder.ReLU(), builder.Affine(3))
    model = ready(net, (2 * 3 * 2,))
    assert {k: c["shape"] for k, c in model.param_configs.items()} == {
        "affine0_weight": (12, 5), "affine0_bias": (5,), "affine1_weight": (5, 3), "affine1_bias": (3,),
    }  # fmt: skip
    hand = TwoLayerNet()
    hand.params = model.params
    x = np.random.randn(4, 2, 3, 2)  # in another shape of the same size
    assert (model.forward(x, "train") == hand.forward(x, "train")).all()
    assert model.loss(model.forward(x, "test"), np.zeros(4, int)) > 0 and model.output_shape == (3,)


SHAPES = [
    (lambda: builder.Affine(7), (2, 3)),
    (lambda: builder.Convolution((3, 2), 4, (2, 1), (1, 0)), (3, 6, 5)),
    (lambda: builder.Pooling("max", (2, 2), (2, 2)), (3, 6, 5)),
    (lambda: builder.Pooling("avg", (3, 3)), (3, 6, 5)),
    (lambda: builder.GlobalPooling(), (3, 6, 5)),
    (lambda: builder.GlobalPooling("max"), (3, 6, 5)),
    (lambda: builder.BatchNormalization(), (5,)),
    (lambda: builder.SpatialBatchNormalization(), (3, 6, 5)),
    (lambda: builder.Dropout(0.5), (4, 2)),
    (lambda: builder.Identity(), (4, 2)),
    (lambda: builder.ReLU(), (4, 2)),
    (lambda: builder.Sigmoid(), (4, 2)),
    (lambda: builder.Tanh(), (4, 2)),
    (lambda: builder.Reshape((2, -1)), (4, 3)),
    (lambda: builder.Flatten(), (4, 3, 2)),
    (lambda: builder.Add(builder.ReLU(), builder.Identity()), (4, 2)),
    (lambda: builder.Export("x", {}), (4, 2)),
    (lambda: builder.StochasticDepth(builder.Affine(3), 1.0), (4,)),
]


@pytest.mark.parametrize("make, shape", SHAPES, ids=lambda v: type(v()).__name__ if callable(v) else str(v))
@pytest.mark.parametrize("mode", ["train", "test"])
def test_shapes_are_as_foretold(make, shape, mode):
    model = ready(make(), shape, lambda out, y: np.sum(out))
    x = np.random.randn(3, *shape)
    assert model.forward(x, mode).shape == (3, *model.output_shape)


def test_values_of_small_modules():
    x = np.random.randn(3, 4, 2)
    for module, expected in (
        (builder.Reshape((8,)), x.reshape(3, 8)),
        (builder.Add(builder.Identity(), builder.Tanh()), x + np.tanh(x)),
        (builder.Sigmoid(), 1 / (1 + np.exp(-x))),
        (builder.Sequential(), x),
    ):
        np.testing.assert_allclose(ready(module, (4, 2)).forward(x, "train"), expected)
    images = np.random.randn(2, 3, 4, 4)
    out = ready(builder.GlobalPooling(), (3, 4, 4)).forward(images, "test")
    np.testing.assert_allclose(out, images.mean((2, 3)))


def test_modes_and_running_averages_reach_nested_modules(tmp_path):
    inner = builder.Sequential(builder.BatchNormalization(momentum=0.5), builder.Dropout(0.5))
    model = ready(builder.Sequential(builder.Add(inner, builder.Identity())), (3,))
    x = 5 + np.random.randn(50, 3)
    assert set(model.aux_params) == {"batchnormalization0_running_mean", "batchnormalization0_running_var"}
    model.forward(x, "train")
    mean = model.aux_params["batchnormalization0_running_mean"]
    np.testing.assert_allclose(mean, 0.5 * x.mean(0))
    first, again = model.forward(x, "test"), model.forward(x, "test")
    assert (first == again).all() and (model.aux_params["batchnormalization0_running_mean"] == mean).all()
    model.save(tmp_path / "m")
    other = ready(
        builder.Sequential(
            builder.Add(
                builder.Sequential(builder.BatchNormalization(momentum=0.5), builder.Dropout(0.5)),
                builder.Identity(),
            )
        ),
        (3,),
    )
    other.load(tmp_path / "m")
    assert (other.forward(x, "test") == first).all()


def test_a_module_used_twice_has_one_set_of_parameters():
    layer = builder.Affine(4, initializer="orthogonal")
    model = ready(builder.Sequential(layer, builder.Tanh(), layer), (4,))
    assert set(model.param_configs) == {"affine0_weight", "affine0_bias"}
    w = model.params["affine0_weight"]
    np.testing.assert_allclose(w @ w.T, np.eye(4), atol=1e-6)
    x = np.random.randn(2, 4)
    np.testing.assert_allclose(model.forward(x, "train"), np.tanh(x @ w) @ w)
    with pytest.raises(ArgumentError, match=r"affine0_weight would have the shape \(3, 4\)"):
        builder.Model(builder.Sequential(layer, layer), "l2", (3,))


class Scale(builder.Module):
    """A module of one's own, by the manual."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, inputs, params):
        return inputs * params["factor"]

    def output_shape(self, input_shape):
        return input_shape

    def parameter_shape(self, input_shape):
        return {"factor": (1,)}

    def parameter_settings(self):
        return {"factor": {"init_rule": "constant", "init_config": {"value": self.factor}}}


def test_modules_of_ones_own_need_no_names_in_common():
    model = ready(builder.Sequential(Scale(2.0), builder.Add(Scale(3.0), Scale(5.0))), (2,))
    assert list(model.params) == ["scale0_factor", "scale1_factor", "scale2_factor"]
    np.testing.assert_allclose(model.forward(np.ones((1, 2)), "train"), 16)


def test_initializers():
    model = ready(builder.Sequential(builder.Affine(3, initializer=np.ones), builder.Affine(2)), (2,))
    assert (model.params["affine0_weight"] == 1).all()
    convolution = builder.Convolution((2, 2), 3, initializer=lambda shape: np.full(shape, 2.0))
    model = ready(convolution, (1, 3, 3), init_rule="constant")
    assert (model.params["convolution0_weight"] == 2).all() and (model.params["convolution0_bias"] == 0).all()


def test_changing_a_sequence():
    net, relu = builder.Sequential(builder.Affine(3)), builder.ReLU()
    net.append(relu)
    net.insert(0, builder.Flatten())
    assert [type(m).__name__ for m in net.modules()] == ["Flatten", "Affine", "ReLU"]
    net.remove(relu)
    assert len(net.modules()) == 2
    with pytest.raises(ArgumentError, match="is not in it"):
        net.remove(relu)


def test_export_keeps_plain_arrays():
    storage = {}
    model = ready(model_gallery.MultiLayerPerceptron(4, 3, affine_monitor=True, activation_monitor=True,
                                                     storage=storage), (5,))  # fmt: skip
    x, y = np.random.randn(6, 5), np.zeros(6, int)
    it = NDArrayIter(x, y, 6)
    Solver(model, it, it, verbose=False).step(next(it))
    assert set(storage) == {"affine0", "ReLU0", "affine1"} and storage["ReLU0"].shape == (6, 4)
    assert all(type(v) is np.ndarray for v in storage.values())


def test_stochastic_depth():
    module = builder.StochasticDepth(Scale(1.0), 0.25)
    model = ready(builder.Add(builder.Identity(), module), (2,))
    x = np.ones((1, 2))
    np.random.seed(0)
    seen = [model.forward(x, "train")[0, 0] for _ in range(400)]
    assert set(seen) == {1.0, 2.0} and 0.18 < np.mean(np.array(seen) == 2) < 0.32
    assert model.forward(x, "test")[0, 0] == 1.25


GALLERY = {
    "mlp": (lambda: model_gallery.MultiLayerPerceptron(8, 6, 4, activation="Tanh"), (3, 4, 4), 6),
    "network in network": (lambda: model_gallery.network_in_network(4, width=6), (3, 9, 9), 18),
    "residual": (lambda: model_gallery.residual_network(1, 4, width=2), (3, 8, 8), 38),
    "stochastic depth": (lambda: model_gallery.stochastic_depth_network(1, 4, width=2), (3, 8, 8), 38),
    "vgg": (lambda: model_gallery.vgg_network(4, width=1, hidden=5), (3, 32, 32), 58),
}


@pytest.mark.parametrize("name", GALLERY)
def test_the_gallery_learns(name):
    make, shape, count = GALLERY[name]
    model = ready(make(), shape, dtype="f4")
    assert model.output_shape == (4,) and len(model.params) == count
    rng = np.random.RandomState(1)
    y = np.arange(8) % 4
    x = (rng.randn(4, *shape)[y] + 0.1 * rng.randn(8, *shape)).astype("f4")
    it = NDArrayIter(x, y, 8)
    solver = Solver(model, it, it, update_rule="adam", optim_config={"learning_rate": 1e-2}, verbose=False)
    batch = next(it)
    losses = [solver.step(batch) for _ in range(12)]
    assert min(losses[-4:]) < losses[0]
    assert all(v.dtype == np.float32 for v in model.params.values())


def test_layers_of_residual_networks():
    net = builder.Model(model_gallery.residual_network(3, width=1), "softmax", (3, 32, 32))
    weights = [n for n in net.param_configs if n.endswith("weight")]
    assert len(weights) == 6 * 3 + 2 + 2  # and two projections
    assert net.param_configs["affine0_weight"]["shape"] == (4, 10)


def test_gradients_of_a_whole_network():
    net = builder.Sequential(
        builder.Convolution((2, 2), 2),
        builder.SpatialBatchNormalization(),
        builder.Tanh(),
        builder.Pooling("avg", (2, 2), (2, 2)),
        builder.Add(builder.Flatten(), builder.Sequential(builder.Affine(8), builder.Sigmoid())),
        builder.Affine(3),
    )
    model = ready(net, (2, 5, 5), dtype="f8")
    x, y = np.random.randn(4, 2, 5, 5), np.array([0, 1, 2, 1])
    names = list(model.params)

    def loss(*values):
        kept = dict(model.params)
        model.params.update(zip(names, values, strict=True))
        try:
            return model.loss(model.forward(x, "train"), y)
        finally:
            model.params.update(kept)

    check_grads(loss, tuple(model.params.values()), order=1, modes=("rev",))


BAD = [
    (
        lambda: builder.Model(builder.Convolution((3, 3), 2), "l2", (27,)),
        r"Convolution: it takes .* not \(27,\)",
    ),
    (
        lambda: builder.Model(builder.Convolution((3, 3), 2), "l2", (1, 2, 2)),
        r"kernel_shape \(3, 3\) is larger",
    ),
    (lambda: builder.Model(builder.BatchNormalization(), "l2", (1, 2, 2)), "BatchNormalization: it takes"),
    (
        lambda: builder.Model(builder.Identity(), "l3", (2,)),
        "loss must be one of 'softmax', 'l2', 'svm', .*, not 'l3'",
    ),
    (lambda: builder.Model(3, "l2", (2,)), "container must be a module"),
    (lambda: builder.Model(builder.Identity(), "l2", (2, 0)), "input_shape"),
    (lambda: builder.Model(builder.Reshape((3, 2)), "l2", (5,)), r"Reshape: samples of shape \(5,\)"),
    (lambda: builder.Model(builder.Add(builder.Affine(2), builder.Affine(3)), "l2", 4), "different shapes"),
    (lambda: builder.Sequential(builder.ReLU), "Sequential: it holds modules, not <class"),
    (lambda: builder.Add(), "one module at least"),
    (lambda: builder.Affine(0), "hidden_number"),
    (lambda: builder.Dropout(2), "Dropout: p must be"),
    (lambda: builder.Pooling("mean", 2), "Pooling: mode"),
    (
        lambda: ready(builder.Affine(2), (3,)).forward(np.ones((2, 4)), "train"),
        r"X must have the shape \('N', 3\)",
    ),
    (lambda: model_gallery.MultiLayerPerceptron(3, activation="relu"), "activation must be one of 'ReLU'"),
    (lambda: model_gallery.MultiLayerPerceptron(3, affine_monitor=True), "storage must be given"),
    (lambda: model_gallery.residual_network(0), "n must be a whole number above 0"),
]


@pytest.mark.parametrize("call, text", BAD, ids=[text[:25] for _, text in BAD])
def test_bad_networks_are_named(call, text):
    with pytest.raises(ArgumentError, match=text):
        call()


def test_settings_of_parameters_that_are_not_there():
    class Typo(Scale):
        def parameter_settings(self):
            return {"facter": {}}

    with pytest.raises(
        ArgumentError, match="a name in parameter_settings must be one of 'factor', not 'facter'"
    ):
        builder.Model(Typo(1.0), "l2", (2,))
