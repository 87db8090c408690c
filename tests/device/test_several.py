"""One model on several simulated GPUs: the numbers of one, what goes from card to card, and cards that fail."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minpy.numpy as np_
from minpy.errors import DeviceError, DeviceFailure, UsageError
from minpy.nn import layers
from minpy.nn.io import DataBatch, NDArrayIter
from minpy.nn.model import ModelBase
from minpy.nn.solver import Solver
from minpy.runtime import backends
from minpy.runtime.array import Array
from minpy.runtime.context import cpu, gpu
from minpy.runtime.policy import PreferMXNetPolicy


class Net(ModelBase):
    """Two layers with batch normalisation between."""

    def __init__(self) -> None:
        super().__init__()
        self.add_param("w1", (5, 8)).add_param("b1", (8,), init_rule="constant")
        self.add_param("w2", (8, 3)).add_param("b2", (3,), init_rule="constant")
        self.add_param("gamma", (8,), init_rule="constant", init_config={"value": 1.0})
        self.add_param("beta", (8,), init_rule="constant")
        self.add_aux_param("mean", np.zeros(8)).add_aux_param("var", np.ones(8))
        self.seen: list[list[Any]] = []
        self.before: Any = None

    def forward(self, X, mode):
        p, aux = self.params, self.aux_params
        if mode == "train":
            if self.before is not None:
                self.before(self)
            self.seen.append([p[name] for name in self.param_configs])
        h = layers.affine(X, p["w1"], p["b1"])
        h, aux["mean"], aux["var"] = layers.batchnorm(
            h, p["gamma"], p["beta"], mode, running_mean=aux["mean"], running_var=aux["var"]
        )
        return layers.affine(layers.relu(h), p["w2"], p["b2"])

    def loss(self, predict, y):
        return layers.softmax_loss(predict, y)


def data(n=29):
    rng = np.random.RandomState(0)
    y = rng.randint(3, size=n)
    return np.eye(5)[y] * 2 + rng.randn(n, 5), y


def solver_of(context=None, net=None, **options):
    x, y = data()
    np.random.seed(1)
    train = NDArrayIter(x, y, 15, shuffle=True, seed=5)
    options = {"num_epochs": 2, "verbose": False, "update_rule": "sgd_momentum", **options}
    return Solver(net or Net(), train, NDArrayIter(x, y, 20), context=context, **options)


def trained(context=None, net=None, **options):
    solver = solver_of(context, net, **options)
    with PreferMXNetPolicy():
        solver.train()
    return solver


@pytest.fixture
def nccl(machine):
    """What the simulated NCCL has done, and is told to do."""
    return machine.cupy.cuda.nccl


def without_nccl(nccl):
    nccl.available = False


WAYS = [
    ("device", None, "NCCL"),
    ("nccl", None, "NCCL"),
    ("device", without_nccl, "copies between the cards (MP111: CuPy finds no NCCL"),
    ("local", None, ""),
]


@pytest.mark.parametrize(("kvstore", "prepare", "way"), WAYS, ids=["nccl", "only nccl", "peers", "host"])
def test_the_numbers_are_those_of_shares_on_one_card(machine, nccl, recorder, kvstore, prepare, way) -> None:
    """To rounding those of the same shares on the host; the same bits in a second run, and on every card."""
    if prepare is not None:
        prepare(nccl)
    net = Net()
    solver = trained([gpu(0), gpu(1)], net, kvstore=kvstore)
    host = solver_of([cpu(0), cpu(1)])
    host.train()
    np.testing.assert_allclose(solver.loss_history, host.loss_history, rtol=1e-10)
    assert solver.val_acc_history == host.val_acc_history
    for name, value in host.model.params.items():
        np.testing.assert_allclose(np.asarray(solver.model.params[name]), value, rtol=1e-9, atol=1e-12)
    for name, value in host.model.aux_params.items():
        np.testing.assert_allclose(np.asarray(solver.model.aux_params[name]), value, rtol=1e-10)
    again = trained([gpu(0), gpu(1)], kvstore=kvstore)
    assert again.loss_history == solver.loss_history
    # The parameters with which the two cards began each step.
    pairs = list(zip(net.seen[::2], net.seen[1::2], strict=True))
    assert len(pairs) == solver.iteration
    for first, second in pairs:
        for one, other in zip(first, second, strict=True):
            assert np.array_equal(np.asarray(one), np.asarray(other))
    directions = [d for d in recorder.copies if d.startswith("from device to device")]
    assert [d.startswith(f"from device to device, by {way}") for d in directions] == ([True] if way else [])
    assert bool(nccl.done) == (way == "NCCL")
    if kvstore == "local":
        assert "MP111 by way of the host: kvstore='local' asks for it" in recorder.reasons["sum_over_devices"]


class Line(ModelBase):
    """One layer, whose loss is made of NumPy's functions."""

    def __init__(self) -> None:
        super().__init__()
        self.add_param("w", (5, 3))

    def forward(self, X, mode):
        return np_.tanh(np_.dot(X, self.params["w"]))

    def loss(self, predict, y):
        return np_.mean((predict - np.eye(3)[y]) ** 2)


@pytest.mark.parametrize("net", [Line, Net])
def test_both_cards_compute_and_only_losses_come_to_the_host(machine, nccl, net) -> None:
    solver = solver_of([gpu(0), gpu(1)], net())
    one, other = machine.cards
    with PreferMXNetPolicy():
        batch = next(iter(solver.train_dataiter))
        for _ in range(3):
            solver.step(batch)
        before, kernels = (one.downloaded, other.downloaded), (one.kernels, other.kernels)
        for _ in range(5):
            solver.step(batch)
        losses = 5 * np.dtype(np.float64).itemsize
        assert (one.downloaded - before[0], other.downloaded - before[1]) == (losses, losses)
        assert other.kernels - kernels[1] >= 20 and one.kernels - kernels[0] > other.kernels - kernels[1]
        assert all(type(value) is Array and value.context == gpu(0) for value in solver.model.params.values())


def test_a_batch_smaller_than_the_devices(machine) -> None:
    x, y = data(4)

    def run(context):
        solver = solver_of(context)
        with PreferMXNetPolicy():
            for rows in (slice(0, 4), slice(0, 2), slice(0, 1)):
                solver.step(DataBatch([x[rows]], [y[rows]], 0))
        return solver.loss_history

    np.testing.assert_allclose(run([gpu(0), gpu(1)]), run([cpu(0), cpu(1)]), rtol=1e-9)


def test_auto_leaves_small_work_on_the_host_on_several_cards_too(machine) -> None:
    solver = solver_of([gpu(0), gpu(1)])
    solver.train()
    host = solver_of([cpu(0), cpu(1)])
    host.train()
    assert solver.loss_history == host.loss_history
    assert machine.cards[1].kernels == 0


def test_nccl_that_does_not_start(machine, nccl, recorder) -> None:
    nccl.start = "NCCL_ERROR_SYSTEM_ERROR: unhandled system error"
    with pytest.raises(DeviceError, match=r"NCCL does not start: NCCL_ERROR_SYSTEM_ERROR.*kvstore='device'"):
        solver_of([gpu(0), gpu(1)], kvstore="nccl")
    trained([gpu(0), gpu(1)], num_epochs=1)
    (direction,) = [d for d in recorder.copies if d.startswith("from device to device")]
    assert "copies between the cards (MP111: NCCL does not start" in direction


def test_what_is_not_there_is_said_at_once(machine, nccl) -> None:
    with pytest.raises(DeviceError, match=r"gpu\(2\) is not there"):
        solver_of([gpu(0), gpu(2)])
    nccl.available = False
    with pytest.raises(DeviceError, match=r"CuPy finds no NCCL.*kvstore='device'"):
        solver_of([gpu(0), gpu(1)], kvstore="nccl")


def test_cards_that_two_libraries_drive(machine) -> None:
    gpu(1).device().backend = "mxnet"
    with pytest.raises(UsageError, match=r"one library, but these are: gpu\(0\) by cupy, gpu\(1\) by mxnet"):
        solver_of([gpu(0), gpu(1)])


FAILURES = {
    "at once": lambda machine, nccl: setattr(machine.cards[1], "before", _raises(machine)),
    "later": lambda machine, nccl: setattr(machine.cards[1], "poison", lambda name: name != "empty"),
    "later, the first card": lambda machine, nccl: setattr(
        machine.cards[0], "poison", lambda name: name != "empty"
    ),
    "nccl": lambda machine, nccl: setattr(
        nccl, "fail", "NCCL_ERROR_UNHANDLED_CUDA_ERROR: unhandled cuda error"
    ),
}


def _raises(machine):
    def before(name: str) -> None:
        machine.cards[1].dead = "cudaErrorECCUncorrectable: uncorrectable ECC error encountered"
        raise type(machine.cupy.cuda.runtime.CUDARuntimeError(""))(machine.cards[1].dead)

    return before


@pytest.mark.parametrize("peers", [False, True], ids=["nccl", "peers"])
@pytest.mark.parametrize("failure", FAILURES)
def test_a_card_that_fails_in_mid_run(machine, nccl, tmp_path, failure, peers) -> None:
    """A clear error, nothing hangs, and the last checkpoint goes on, on what is left."""
    if peers:
        if failure == "nccl":
            return
        nccl.available = False
    path = tmp_path / "training.npz"
    whole = trained([cpu(0), cpu(1)])

    def break_it(net) -> None:
        if len(net.seen) == 5:  # in the second epoch
            FAILURES[failure](machine, nccl)

    net = Net()
    net.before = break_it
    with pytest.raises(DeviceFailure) as caught:
        trained([gpu(0), gpu(1)], net, checkpoint=path)
    text = str(caught.value)
    assert (
        "The training on gpu(0), gpu(1) cannot go on" in text and "resume=True" in text and "\n" not in text
    )
    assert text.count("[MP023]") == 1
    backends._devices.clear()
    for card in machine.cards:
        card.before = card.poison = card.pending = card.dead = None
    nccl.fail = ""
    left = [cpu(0), cpu(1)]
    resumed = solver_of(left, checkpoint=path, resume=True)
    resumed.train()
    assert resumed.iteration == whole.iteration
    np.testing.assert_allclose(resumed.loss_history, whole.loss_history, rtol=1e-9)


def test_a_full_card(machine, nccl) -> None:
    """What can be freed is freed; then it is an error in words."""
    solver = solver_of([gpu(0), gpu(1)])
    with PreferMXNetPolicy():
        batch = next(iter(solver.train_dataiter))
        solver.step(batch)
        device = gpu(1).device()
        freed = device._pool.freed
        full = iter([True])

        def launch(self: Any, array: Any, name: str = "") -> Any:
            if self.here() is machine.cards[1] and name == "empty" and next(full, False):
                from simulated import OutOfMemoryError

                raise OutOfMemoryError("Out of memory allocating 1 bytes")
            return new(self, array, name)

        new = type(machine).new
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(machine), "new", launch)
            solver.step(batch)
        assert device._pool.freed > freed
