"""What workers do together, with threads for processes and a meeting point for MXNet's store."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from minpy import distributed
from minpy.context import cpu
from minpy.distributed import exchange
from minpy.distributed.share import Shard
from minpy.errors import ArgumentError, CheckpointError, DivergenceError, MinPyError, WorkerError
from minpy.nn import layers
from minpy.nn.callbacks import Callback
from minpy.nn.io import DataBatch, DataIter, NDArrayIter
from minpy.nn.model import ModelBase
from minpy.nn.solver import Solver

PATIENCE = 60.0  # seconds, after which a worker that is waited for will not come


class Meeting:
    """Where the threads of a training meet."""

    def __init__(self, workers: int, kind: str) -> None:
        self.workers, self.kind = workers, kind
        self.point = threading.Barrier(workers)
        self.lock = threading.Lock()
        self.held: dict[str, np.ndarray] = {}
        self.places = [Place(self, rank) for rank in range(workers)]


class Place:
    """One worker's: a store for the solver, and what `connect` makes of it."""

    broadcast = exchange.Exchange.broadcast

    def __init__(self, meeting: Meeting, rank: int) -> None:
        self.meeting, self.rank = meeting, rank
        self.type, self.num_workers = meeting.kind, meeting.workers
        self.workers, self.solvers = meeting.workers, 0

    def barrier(self, what: str = "") -> None:
        self.meeting.point.wait(PATIENCE)

    def sum(self, arrays, what=""):
        self.given = {name: np.array(values) for name, values in arrays.items()}
        self.barrier()
        places = self.meeting.places
        assert len({tuple(place.given) for place in places}) == 1, "the workers do not do the same"
        total = {name: np.sum([place.given[name] for place in places], axis=0) for name in self.given}
        self.barrier()
        return total

    def add(self, name, values, what=""):
        with self.meeting.lock:
            held = self.meeting.held.setdefault(name, np.zeros_like(values))
            held += values
            return held.copy()


@pytest.fixture
def together(monkeypatch):
    """Run a function of a place in so many threads; gives what each gave or raised."""
    monkeypatch.setattr(exchange, "connect", lambda store: store)

    def run(function, workers=2, kind="dist_sync"):
        meeting = Meeting(workers, kind)
        results: list = [None] * workers

        def work(rank):
            try:
                results[rank] = function(meeting.places[rank])
            except BaseException as error:
                results[rank] = error
                time.sleep(0.5)  # the others may come to the same
                meeting.point.abort()

        threads = [threading.Thread(target=work, args=(rank,), daemon=True) for rank in range(workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(2 * PATIENCE)
            assert not thread.is_alive(), "it hangs"
        return results

    return run


class Net(ModelBase):
    def __init__(self, norm=False):
        super().__init__()
        self.norm = norm
        self.add_param("w", (4, 3)).add_param("b", (3,), init_rule="constant")
        if norm:
            self.add_param("gamma", (3,), init_rule="constant", init_config={"value": 1.0}).add_param(
                "beta", (3,)
            )
            self.add_aux_param("mean", None).add_aux_param("var", None)

    def forward(self, X, mode):
        out, aux = layers.affine(X, self.params["w"], self.params["b"]), self.aux_params
        if self.norm:
            out, aux["mean"], aux["var"] = layers.batchnorm(
                out,
                self.params["gamma"],
                self.params["beta"],
                mode,
                running_mean=aux["mean"],
                running_var=aux["var"],
            )
        return out

    def loss(self, predict, y):
        return layers.softmax_loss(predict, y)


def data(n=50, seed=0):
    rng = np.random.RandomState(seed)
    y = rng.randint(3, size=n)
    return np.eye(4)[y] * 2 + rng.randn(n, 4), y


def solver_of(place, train=None, norm=False, **options):
    x, y = data()
    if train is None:
        train = Shard(NDArrayIter(x, y, 10, shuffle=True, seed=5), place.rank, place.workers)
    options = {"num_epochs": 3, "verbose": False, "train_acc_num_samples": None, **options}
    if isinstance(place, Place):
        options["kvstore"] = place
    return Solver(Net(norm), train, NDArrayIter(x, y, 20), **options)


def trained(place, **options):
    solver = solver_of(place, **options)
    solver.train()
    return solver


def alone(**options):
    x, y = data()
    np.random.seed(0)
    solver = solver_of(None, NDArrayIter(x, y, 10, shuffle=True, seed=5), **options)
    solver.init()
    solver._start = {name: value.copy() for name, value in solver.model.params.items()}
    solver.train()
    return solver


def assert_same_state(solvers):
    for other in solvers[1:]:
        assert other.iteration == solvers[0].iteration and other.epoch == solvers[0].epoch
        assert other.loss_history == solvers[0].loss_history
        assert other.val_acc_history == solvers[0].val_acc_history
        for name, value in solvers[0].model.params.items():
            assert np.array_equal(other.model.params[name], value), name
        for name, value in solvers[0].model.aux_params.items():
            assert np.array_equal(other.model.aux_params[name], value), name


# ----- shares


@pytest.mark.parametrize("handle", ["pad", "discard", "roll_over"])
@pytest.mark.parametrize("workers", [2, 3, 7])
def test_shares_are_the_batches_of_one(workers, handle):
    """Together they are the samples of each batch, in order; padding counts where it is; the state is the whole's."""
    x, y = data(23)

    def batches():
        return NDArrayIter(x, y, 10, shuffle=True, last_batch_handle=handle, seed=1)

    whole, shares = batches(), [Shard(batches(), rank, workers) for rank in range(workers)]
    for _ in range(2):
        for each in (whole, *shares):
            each.reset()
        for batch, *parts in zip(whole, *shares, strict=True):
            assert np.array_equal(np.concatenate([part.data[0] for part in parts]), batch.data[0])
            assert np.array_equal(np.concatenate([part.label[0] for part in parts]), batch.label[0])
            assert np.array_equal(np.concatenate([part.index for part in parts]), batch.index)
            assert sum(part.pad for part in parts) == (batch.pad or 0)
            assert max(len(part.index) for part in parts) - min(len(part.index) for part in parts) <= 1
    assert shares[0].get_state().keys() == whole.get_state().keys()
    assert shares[0].getnumiterations() == whole.getnumiterations()
    np.random.seed(3)
    sub = shares[0].getsubiter(11)
    assert isinstance(sub, Shard) and sub.num_data == 11


class Strange(DataIter):
    """An iterator of another kind, whose last batch is short."""

    def __init__(self):
        super().__init__()
        self.reset()

    def reset(self):
        self.left = [4, 1]

    def next(self):
        if not self.left:
            raise StopIteration
        n = self.left.pop(0)
        return DataBatch([np.arange(n)], [np.arange(n)], 0)


def test_shares_of_any_iterator():
    """Where a batch has fewer samples than there are workers, some have none of it."""
    shares = [[batch.data[0].tolist() for batch in Shard(Strange(), rank, 2)] for rank in range(2)]
    assert shares == [[[0, 1]], [[2, 3], [0]]]
    assert not hasattr(Shard(Strange(), 0, 2), "get_state")


def test_wrong_shares_are_named(monkeypatch):
    """One worker needs none."""
    iterator = NDArrayIter(*data(), 4)
    assert distributed.shard(iterator) is iterator
    monkeypatch.setenv("MINPY_RANK", "1"), monkeypatch.setenv("MINPY_WORKERS", "2")
    assert (distributed.shard(iterator).rank, distributed.rank(), distributed.workers()) == (1, 1, 2)
    with pytest.raises(ArgumentError, match="batch_size is 4, which 5 workers cannot share"):
        distributed.shard(iterator, 0, 5)
    with pytest.raises(ArgumentError, match="rank must be a whole number from 0 to 1, not 2"):
        distributed.shard(iterator, 2, 2)
    monkeypatch.setenv("MINPY_RANK", "one")
    with pytest.raises(MinPyError, match="MINPY_RANK='one' is not a number"):
        distributed.rank()


# ----- training


@pytest.mark.parametrize("workers", [2, 3, 4])
@pytest.mark.parametrize("rule", ["sgd_momentum", "adam"])
def test_any_number_of_workers_learns_the_same(together, workers, rule):
    """Also where they do not begin with the same parameters: worker 0's are taken."""
    one = alone(update_rule=rule)

    def work(place):
        solver = solver_of(place, update_rule=rule)
        if place.rank == 0:
            solver.model.params.update(one._start)
        solver.train()
        return solver

    solvers = together(work, workers)
    assert_same_state(solvers)
    np.testing.assert_allclose(solvers[0].loss_history, one.loss_history, rtol=1e-10)
    np.testing.assert_allclose(solvers[0].train_acc_history, one.train_acc_history)
    np.testing.assert_allclose(solvers[0].model.params["w"], one.model.params["w"], rtol=1e-9, atol=1e-12)


def test_each_worker_may_have_several_devices(together):
    one = alone()

    def work(place):
        solver = solver_of(place, context=[cpu(0), cpu(1)])
        if place.rank == 0:
            solver.model.params.update(one._start)
        solver.train()
        return solver

    solvers = together(work)
    assert_same_state(solvers)
    np.testing.assert_allclose(solvers[0].loss_history, one.loss_history, rtol=1e-10)


@pytest.mark.parametrize("norm", [False, True])
def test_workers_with_unequal_data_wait_for_each_other(together, norm):
    """One that has no more batches learns from the others'; what the models keep beside parameters stays the same."""

    def work(place):
        x, y = data(30 if place.rank == 0 else 50, seed=place.rank)
        return trained(place, train=NDArrayIter(x, y, 10), norm=norm)

    solvers = together(work)
    assert_same_state(solvers)
    assert solvers[0].iteration == 15


class StopAt(Callback):
    def __init__(self, iteration=None, epoch=None):
        self.iteration, self.epoch = iteration, epoch

    def on_step(self, solver, loss):
        if solver.iteration == self.iteration:
            solver.stop()

    def on_epoch(self, solver):
        if solver.epoch == self.epoch:
            solver.stop()


@pytest.mark.parametrize("who", [0, 1])
@pytest.mark.parametrize(
    ("when", "iterations"), [({"iteration": 7}, 7), ({"epoch": 2}, 10), ({"iteration": 5}, 5)]
)
def test_one_that_stops_stops_all(together, who, when, iterations):
    """After the same step."""
    solvers = together(lambda place: trained(place, callbacks=[StopAt(**when)] if place.rank == who else []))
    assert_same_state(solvers)
    assert solvers[0].iteration == iterations


@pytest.mark.parametrize("who", [0, 1])
def test_one_that_stops_stops_all_at_their_own_pace(together, who):
    """At the end of the epoch."""
    work = lambda place: trained(place, callbacks=[StopAt(iteration=7)] if place.rank == who else [])
    solvers = together(work, kind="dist_async")
    assert [solver.epoch for solver in solvers] == [2, 2]
    assert np.array_equal(*(solver.model.params["w"] for solver in solvers))


def test_at_their_own_pace_they_end_alike(together):
    """Parameters, statistics and evaluations; each has its own losses."""
    solvers = together(lambda place: trained(place, norm=True, early_stop=2), 3, "dist_async")
    for solver in solvers[1:]:
        assert solver.val_acc_history == solvers[0].val_acc_history
        for name in ("w", "b", "gamma", "beta"):
            assert np.array_equal(solver.model.params[name], solvers[0].model.params[name])
        assert np.array_equal(solver.model.aux_params["mean"], solvers[0].model.aux_params["mean"])
        assert solver.loss_history != solvers[0].loss_history


def test_early_stop_and_decay_are_the_same_everywhere(together):
    """They follow from the common evaluation."""
    solvers = together(lambda place: trained(place, early_stop=1, lr_decay=0.5, num_epochs=30))
    assert_same_state(solvers)
    assert solvers[0].epoch < 30
    rates = [solver.optim_configs["w"]["learning_rate"] for solver in solvers]
    assert rates[0] == rates[1] == pytest.approx(1e-2 * 0.5 ** solvers[0].epoch)


def test_a_loss_that_is_not_finite_ends_all(together):
    """Wherever it comes from; the error is the same."""

    def work(place):
        x, y = data()
        x = np.where(np.arange(50)[:, None] == 48, np.nan, x) if place.rank else x
        return trained(place, train=Shard(NDArrayIter(x, y, 10), place.rank, 2))

    errors = together(work)
    assert [type(error) for error in errors] == [DivergenceError] * 2
    assert all("the loss is nan at iteration 5 (epoch 1)" in str(error) for error in errors)


@pytest.mark.parametrize(
    ("train", "text"),
    [
        (lambda rank: NDArrayIter(*data(), 10), "every worker has the same training data"),
        (
            lambda rank: Shard(NDArrayIter(*data(), 10, shuffle=True, seed=rank), rank, 2),
            "come to different orders",
        ),
    ],
)
def test_wrong_data_are_an_error(together, train, text):
    """All would learn from the same samples, or some samples would be seen by none."""

    def work(place):
        solver = solver_of(place, train=train(place.rank))
        solver.team.share = lambda solver: solver._prepare()  # else they would have the order of worker 0
        solver.train()

    assert all(isinstance(error, WorkerError) and text in str(error) for error in together(work))


def test_another_model_is_an_error(together):
    """The workers run the same program, or they would train nonsense."""
    results = together(lambda place: trained(place, norm=place.rank == 1))
    assert isinstance(results[1], CheckpointError) and "the state of worker 0" in str(results[1])


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_a_checkpoint_is_resumed_by_any_number(together, workers, tmp_path):
    """Worker 0 writes and reads it; the others need not see the file."""
    one = alone(update_rule="adam")

    def work(place, **options):
        own = tmp_path / str(place.rank) / "state.npz"
        solver = solver_of(place, update_rule="adam", checkpoint=own, checkpoint_every=2, **options)
        solver.model.params.update(one._start)
        solver.train()
        return solver

    together(lambda place: work(place, callbacks=[StopAt(iteration=7)]))
    assert [path.name for path in tmp_path.iterdir()] == ["0"]
    solvers = together(lambda place: work(place, resume=True), workers)
    assert_same_state(solvers)
    np.testing.assert_allclose(solvers[-1].loss_history, one.loss_history, rtol=1e-10)


@pytest.mark.parametrize("kvstore", [None, "local", "device", "dist_sync", "dist_async"])
def test_a_program_that_was_started_alone_is_one_worker(kvstore):
    """It needs no launcher, and no MXNet."""
    x, y = data()
    np.random.seed(0)
    solver = Solver(
        Net(), NDArrayIter(x, y, 10), NDArrayIter(x, y, 10), kvstore=kvstore, num_epochs=1, verbose=False
    )
    solver.train()
    assert solver.iteration == 5


def test_wrong_stores_are_named(monkeypatch):
    """By name, or not started by the launcher."""
    for wrong in ("dist", "ncc", 3):
        with pytest.raises(ArgumentError, match="kvstore must be"):
            solver_of(None, NDArrayIter(*data(), 10), kvstore=wrong)
    monkeypatch.setenv("MINPY_WORKERS", "2")
    monkeypatch.delenv("DMLC_PS_ROOT_URI", raising=False)
    with pytest.raises(WorkerError, match=r"needs DMLC_PS_ROOT_URI, which `minpy run --workers` sets.*MP060"):
        solver_of(None, NDArrayIter(*data(), 10), kvstore="dist_sync")


@pytest.mark.mxnet
def test_a_store_of_mxnet_is_taken():
    """A local one is one process."""
    import mxnet

    solver = solver_of(None, NDArrayIter(*data(), 10), kvstore=mxnet.kv.create("local"), num_epochs=1)
    solver.train()
    assert solver.iteration == 5
