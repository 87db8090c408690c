"""One model on several devices: the numbers of one device, by every way of adding up, and refusals in words."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

from minpy.context import cpu, gpu
from minpy.errors import ArgumentError, DeviceError, DivergenceError
from minpy.nn import layers, replicas
from minpy.nn.io import DataBatch, DataIter, NDArrayIter
from minpy.nn.model import ModelBase
from minpy.nn.solver import Solver
from minpy.runtime import profile
from minpy.runtime.policy import PreferMXNetPolicy


class Net(ModelBase):
    """Two layers; with `norm`, batch normalisation between them, with `drop`, dropout."""

    def __init__(self, norm: bool = False, drop: bool = False) -> None:
        super().__init__()
        self.norm, self.drop = norm, drop
        self.add_param("w1", (5, 8)).add_param("b1", (8,), init_rule="constant")
        self.add_param("w2", (8, 3)).add_param("b2", (3,), init_rule="constant")
        if norm:
            self.add_param("gamma", (8,), init_rule="constant", init_config={"value": 1.0})
            self.add_param("beta", (8,), init_rule="constant")
            self.add_aux_param("mean", None).add_aux_param("var", None)
        self.rows: list[int] = []

    def forward(self, X, mode):
        p, aux = self.params, self.aux_params
        if mode == "train":
            self.rows.append(len(X))
        h = layers.affine(X, p["w1"], p["b1"])
        if self.norm:
            h, aux["mean"], aux["var"] = layers.batchnorm(
                h, p["gamma"], p["beta"], mode, running_mean=aux["mean"], running_var=aux["var"]
            )
        h = layers.relu(h)
        if self.drop:
            h = layers.dropout(h, 0.3, mode=mode)
        return layers.affine(h, p["w2"], p["b2"])

    def loss(self, predict, y):
        return layers.softmax_loss(predict, y)


def data(n=50):
    rng = np.random.RandomState(0)
    y = rng.randint(3, size=n)
    return np.eye(5)[y] * 2 + rng.randn(n, 5), y


def trained(context=None, batch=20, train=None, net=None, **options):
    x, y = data()
    np.random.seed(1)
    train = train or NDArrayIter(x, y, batch, shuffle=True, seed=5)
    options = {"num_epochs": 2, "verbose": False, "update_rule": "adam", **options}
    solver = Solver(net or Net(), train, NDArrayIter(x, y, 20), context=context, **options)
    solver.init()
    solver.train()
    return solver


def assert_alike(solver, other, rtol=1e-9):
    assert solver.iteration == other.iteration
    np.testing.assert_allclose(solver.loss_history, other.loss_history, rtol=rtol)
    for name, value in solver.model.params.items():
        np.testing.assert_allclose(
            np.asarray(value), np.asarray(other.model.params[name]), rtol=1e3 * rtol, atol=1e2 * rtol
        )
    assert solver.val_acc_history == other.val_acc_history


@pytest.mark.parametrize(
    ("policy", "kvstore", "devices"),
    [
        (contextlib.nullcontext, None, 2), (contextlib.nullcontext, "local", 3), (PreferMXNetPolicy, None, 2),
        (PreferMXNetPolicy, "local", 3), (PreferMXNetPolicy, "device", 3),
    ],
)  # fmt: skip
def test_the_numbers_are_those_of_one_device(policy, kvstore, devices) -> None:
    """With 3 devices the shares are uneven: each sample counts once."""
    with policy():
        one = trained(cpu())
        several = trained([cpu(i) for i in range(devices)], kvstore=kvstore)
        again = trained([cpu(i) for i in range(devices)], kvstore=kvstore, num_epochs=1)
    assert_alike(several, one)
    assert several.model.rows[:devices] == ([10, 10] if devices == 2 else [7, 7, 6])
    assert again.loss_history == several.loss_history[: again.iteration]


@pytest.mark.parametrize("kvstore", ["local", "device"])
def test_mxnets_store_adds_what_is_on_its_devices(kvstore) -> None:
    recorder = profile.start(profile.Recorder())
    try:
        with PreferMXNetPolicy():
            solver = trained([cpu(0), cpu(1)], kvstore=kvstore, num_epochs=1)
    finally:
        profile.stop(recorder)
    assert recorder.calls["sum_over_devices", "mxnet"] == solver.iteration
    assert f"from device to device, by MXNet's KVStore {kvstore!r}" in recorder.copies
    assert ("sum_over_devices", "numpy") not in recorder.calls


def test_a_store_of_mxnets_may_be_given() -> None:
    mx = pytest.importorskip("mxnet", reason="needs the extra cpu", exc_type=ImportError)
    with PreferMXNetPolicy():
        assert_alike(trained([cpu(0), cpu(1)], kvstore=mx.kv.create("device")), trained(cpu()))


class Short(DataIter):
    """Batches of 6, 6 and then one sample."""

    batch_size = 6

    def __init__(self) -> None:
        super().__init__()
        self.batch_size, self.data = 6, data(13)

    def reset(self) -> None:
        self.starts = [0, 6, 12]

    def next(self) -> DataBatch:
        if not self.starts:
            raise StopIteration
        rows = slice(start := self.starts.pop(0), start + 6)
        return DataBatch([self.data[0][rows]], [self.data[1][rows]])


def test_a_last_batch_that_is_short_or_smaller_than_the_devices() -> None:
    several = trained([cpu(0), cpu(1), cpu(2)], train=Short(), dtype=float)
    assert several.model.rows[:7] == [2, 2, 2, 2, 2, 2, 1]
    assert_alike(several, trained(train=Short(), dtype=float))
    with PreferMXNetPolicy():
        assert_alike(
            trained([cpu(0), cpu(1)], train=Short(), dtype=float), trained(train=Short(), dtype=float)
        )


@pytest.mark.parametrize("handle", ["pad", "discard", "roll_over"])
def test_shares_are_the_batch(handle) -> None:
    x, y = data(23)
    for batch in NDArrayIter(x, y, 10, last_batch_handle=handle):
        for parts in (1, 2, 3, 7):
            shares = replicas.split(batch, parts)
            assert np.array_equal(np.concatenate([share.data[0] for share in shares]), batch.data[0])
            assert np.array_equal(np.concatenate([share.label[0] for share in shares]), batch.label[0])
            assert np.array_equal(np.concatenate([share.index for share in shares]), batch.index)
            assert sum(share.pad for share in shares) == batch.pad
            lengths = [len(share.data[0]) for share in shares]
            assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize("policy", [contextlib.nullcontext, PreferMXNetPolicy], ids=["auto", "prefer_mxnet"])
def test_batch_normalisation_is_by_share_and_its_running_means_are_averaged(policy) -> None:
    """The gradient and the running averages are the weighted means of those of the shares alone."""
    x, y = data(9)
    batch = DataBatch([x], [y], 0)
    with policy():
        solver = trained([cpu(0), cpu(1)], net=Net(norm=True), num_epochs=1)
        start = dict(solver.model.aux_params)
        grads, loss = solver.grad_and_loss(batch)
        found = dict(solver.model.aux_params)
        want: dict[str, float] = {}
        for share in replicas.split(batch, 2):
            weight = len(share.data[0]) / 9
            solver.model.aux_params.update(start)
            part, part_loss = solver.differentiated(share)
            for name, value in [*part.items(), ("loss", part_loss), *solver.model.aux_params.items()]:
                want[name] = want.get(name, 0.0) + weight * np.asarray(value)
    assert found.keys() == {"mean", "var"}
    for name, value in [*grads.items(), *found.items(), ("loss", loss)]:
        np.testing.assert_allclose(np.asarray(value), want[name], rtol=1e-10, atol=1e-12, err_msg=name)


def test_random_numbers_are_drawn_in_the_order_of_the_devices() -> None:
    first = trained([cpu(0), cpu(1)], net=Net(drop=True))
    assert trained([cpu(0), cpu(1)], net=Net(drop=True)).loss_history == first.loss_history


@pytest.mark.parametrize("later", [None, [cpu(0), cpu(1)]], ids=["one device", "two devices"])
def test_a_checkpoint_is_that_of_one_device(tmp_path, later) -> None:
    path = tmp_path / "training.npz"
    devices = [cpu(0), cpu(1)]
    whole = trained(devices, net=Net(norm=True), num_epochs=4)

    class Killed(Exception):
        pass

    def kill(solver):
        if solver.epoch == 2:
            raise Killed

    with pytest.raises(Killed):
        trained(
            devices, net=Net(norm=True), num_epochs=4, checkpoint=path, checkpoint_every=1, callbacks=[kill]
        )
    x, y = data()
    solver = Solver(
        Net(norm=True), NDArrayIter(x, y, 20, shuffle=True, seed=5), NDArrayIter(x, y, 20), context=later,
        num_epochs=4, verbose=False, update_rule="adam", checkpoint=path, resume=True,
    )  # fmt: skip
    solver.train()
    if later is not None:
        assert solver.loss_history == whole.loss_history
        for name, value in whole.model.params.items():
            assert np.array_equal(solver.model.params[name], value), name
    else:
        done = 2 * solver.iteration // 4
        assert solver.loss_history[: done - 1] == whole.loss_history[: done - 1]
        assert solver.iteration == whole.iteration


def test_callbacks_may_change_parameters_and_options() -> None:
    """What they change is what all devices have in the next step."""

    def change(solver):
        solver.model.params["w1"] *= 0.5
        solver.model.params["b2"] = np.ones(3)
        solver.optim_configs["w2"]["learning_rate"] = 1e-2

    for policy in (contextlib.nullcontext, PreferMXNetPolicy):
        with policy():
            assert_alike(
                trained([cpu(0), cpu(1)], callbacks=[change], lr_decay=0.5),
                trained(callbacks=[change], lr_decay=0.5),
            )


def test_an_error_leaves_the_model_as_it_was() -> None:
    class Fails(Net):
        broken = False

        def forward(self, X, mode):
            if self.broken and X[0, 0] == 7.0:
                self.aux_params["mean"] = 0.0
                raise RuntimeError("in the second share")
            return super().forward(X, mode)

    net = Fails(norm=True)
    solver = trained([cpu(0), cpu(1)], net=net, num_epochs=1)
    before, aux = dict(net.params), dict(net.aux_params)
    net.broken = True
    x, y = data(4)
    x[2, 0] = 7.0
    with pytest.raises(RuntimeError, match="in the second share"):
        solver.step(DataBatch([x], [y], 0))
    assert all(net.params[name] is value for name, value in before.items())
    assert all(net.aux_params[name] is value for name, value in aux.items())
    net.broken = False
    x[3] = np.inf
    with pytest.raises(DivergenceError), np.errstate(all="ignore"):
        solver.step(DataBatch([x], [y], 0))
    assert all(net.params[name] is value for name, value in before.items())


@pytest.mark.parametrize(
    ("context", "options", "words"),
    [
        ([cpu(0), cpu(0)], {}, r"context has cpu\(0\) twice"),
        ([cpu(0), gpu(0)], {}, r"two kinds, cpu\(0\) and gpu\(0\)"),
        ([], {}, "at least one context"),
        ("gpu(0)", {}, r"context must be a context such as gpu\(0\), or a list of them, not 'gpu\(0\)'"),
        (["gpu(0)"], {}, r"context must hold contexts such as gpu\(0\), not 'gpu\(0\)'"),
        (3, {}, "not 3"),
        ([cpu(0), cpu(1), cpu(2)], {"batch": 2}, "batch_size is 2, which 3 devices cannot share"),
        ([cpu(0), cpu(1)], {"kvstore": "gpu"}, "kvstore"),
    ],
)  # fmt: skip
def test_refusals(context, options, words) -> None:
    with pytest.raises(ArgumentError, match=words):
        trained(context, **options)


def test_nccl_that_is_asked_for_and_not_there() -> None:
    with PreferMXNetPolicy(), pytest.raises(DeviceError, match=r"kvstore='device' sums without NCCL"):
        trained([cpu(0), cpu(1)], kvstore="nccl")
