"""Batches: the three ways to end a pass, orders, forms of data, files, and MXNet's iterators."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from minpy.errors import ArgumentError, CheckpointError, DeviceError
from minpy.nn.io import DataBatch, NDArrayIter, load_data_labels, save_data_labels


def passes(it, times=1):
    """The sample numbers of each batch, for each pass."""
    found = []
    for _ in range(times):
        found.append([batch.index.tolist() for batch in it])
        it.reset()
    return found if times > 1 else found[0]


X = np.arange(10.0)[:, None] * np.ones(3)
Y = np.arange(10)


def test_pad_fills_the_last_batch_and_says_so():
    it = NDArrayIter(X, Y, batch_size=4)
    batches = list(it)
    assert [b.index.tolist() for b in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 0, 1]]
    assert [b.pad for b in batches] == [0, 0, 2]
    for b in batches:
        assert (b.data[0] == X[b.index]).all() and (b.label[0] == Y[b.index]).all()
    assert list(it) == []  # until it is reset
    it.reset()
    assert len(list(it)) == 3 == it.getnumiterations()


def test_discard_leaves_out_what_does_not_fill_a_batch():
    it = NDArrayIter(X, Y, batch_size=4, last_batch_handle="discard")
    assert passes(it, 2) == [[[0, 1, 2, 3], [4, 5, 6, 7]]] * 2
    assert it.getnumiterations() == 2
    assert len(passes(NDArrayIter(X, batch_size=5, last_batch_handle="discard"))) == 2


def test_roll_over_goes_on_in_the_next_pass():
    it = NDArrayIter(X, Y, batch_size=4, last_batch_handle="roll_over")
    first, second, third = passes(it, 3)
    assert first == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 0, 1]]
    assert second == [[2, 3, 4, 5], [6, 7, 8, 9]]
    assert third == first
    assert it.getnumiterations() == 2
    it.hard_reset()
    assert it.getnumiterations() == 3 and passes(it) == first


@pytest.mark.parametrize("n, size", [(10, 4), (7, 3), (5, 5), (3, 8), (1, 4)])
def test_roll_over_takes_each_sample_once_in_each_pass(n, size):
    np.random.seed(n)
    it = NDArrayIter(np.arange(float(n)), batch_size=size, shuffle=True, last_batch_handle="roll_over")
    stream = []
    while len(stream) < 20 * n:
        for batch in it:
            assert batch.index.shape == (size,) and batch.pad == 0
            stream += batch.index.tolist()
        it.reset()
    for k in range(len(stream) // n):
        assert sorted(stream[k * n : (k + 1) * n]) == list(range(n))


def test_a_batch_larger_than_the_data():
    batch = next(NDArrayIter(X[:3], batch_size=8))
    assert batch.index.tolist() == [0, 1, 2, 0, 1, 2, 0, 1] and batch.pad == 5
    with pytest.raises(ArgumentError, match="batch_size is 8, but there are only 3 samples"):
        NDArrayIter(X[:3], batch_size=8, last_batch_handle="discard")


def test_shuffle_draws_a_new_order_for_each_pass():
    np.random.seed(0)
    it = NDArrayIter(X, Y, batch_size=5, shuffle=True)
    first, second = (np.concatenate(p).tolist() for p in passes(it, 2))
    assert sorted(first) == sorted(second) == list(range(10)) and first != second
    np.random.seed(0)
    assert np.concatenate(passes(NDArrayIter(X, Y, batch_size=5, shuffle=True))).tolist() == first


def test_a_seed_leaves_the_global_generator_alone():
    np.random.seed(5)
    expected = np.random.rand()
    np.random.seed(5)
    orders = [passes(NDArrayIter(X, batch_size=5, shuffle=True, seed=3), 3) for _ in range(2)]
    assert orders[0] == orders[1] and np.random.rand() == expected


def test_forms_of_data():
    it = NDArrayIter({"a": X, "b": Y}, [Y, X], batch_size=5)
    batch = next(it)
    assert (batch.data[0] == X[:5]).all() and (batch.data[1] == Y[:5]).all() and len(batch.label) == 2
    assert it.provide_data == [("a", (5, 3)), ("b", (5,))]
    assert it.provide_label == [("_0_label", (5,)), ("_1_label", (5, 3))]
    assert NDArrayIter([X], batch_size=2).provide_data == [("data", (2, 3))]
    assert next(NDArrayIter(X, batch_size=2)).label == []
    assert next(NDArrayIter(X.astype("u1"), batch_size=2)).data[0].dtype == np.uint8


def test_the_data_are_not_copied():
    import minpy.numpy  # noqa: F401 - with it plain arrays have asnumpy(), which copies

    data = X.copy()
    assert NDArrayIter(data, batch_size=4).data[0][1] is data


def test_batches_are_copies():
    data = X.copy()
    next(NDArrayIter(data, batch_size=4)).data[0][:] = -1
    assert (data == X).all()


def test_counts_of_labels():
    label = np.repeat(np.arange(10), 100)
    it = NDArrayIter(np.zeros((1000, 2)), label, batch_size=128, shuffle=True)
    batches = list(it)
    assert len(batches) == 8
    assert np.bincount(np.concatenate([b.label[0] for b in batches])).sum() == 1024
    counted = np.concatenate([b.label[0][: 128 - b.pad] for b in batches])
    assert (np.bincount(counted) == 100).all()


def test_subiter_is_a_random_choice():
    np.random.seed(0)
    it = NDArrayIter(X, Y, batch_size=4)
    sub = it.getsubiter(6)
    rows = np.concatenate([b.label[0][: 4 - b.pad] for b in sub])
    assert len(set(rows.tolist())) == 6 and sub.getnumiterations() == 2
    sub.reset()
    assert all((b.data[0][:, 0] == b.label[0]).all() for b in sub)
    assert it.getsubiter(99).num_data == 10
    assert it.getsubiter(1).getsubiter(5).num_data == 1
    assert next(it).index.tolist() == [0, 1, 2, 3]  # it has not moved


@pytest.mark.parametrize("handle", ["pad", "discard", "roll_over"])
@pytest.mark.parametrize("seed", [None, 4])
def test_state_goes_on_where_it_was(handle, seed):
    def make():
        return NDArrayIter(X, Y, batch_size=4, shuffle=True, last_batch_handle=handle, seed=seed)

    it = make()
    passes(it)
    next(it)
    state, world = it.get_state(), np.random.get_state()
    rest = [b.index.tolist() for b in it]
    it.reset()
    rest.append(passes(it, 3))
    other = make()
    next(other)
    other.set_state(state)
    np.random.set_state(world)
    again = [b.index.tolist() for b in other]
    other.reset()
    again.append(passes(other, 3))
    assert again == rest
    with pytest.raises(ArgumentError, match="over 10 samples, not 5"):
        NDArrayIter(X[:5]).set_state(state)


BAD = [
    (lambda: NDArrayIter(X, last_batch_handle="rollover"), "last_batch_handle must be one of 'pad'"),
    (lambda: NDArrayIter(X, batch_size=0), "batch_size must be a whole number above 0, not 0"),
    (lambda: NDArrayIter(X, batch_size=2.0), "batch_size"),
    (lambda: NDArrayIter(X, Y[:3]), "label has 3 samples, but data has 10"),
    (lambda: NDArrayIter({}), "data must be an array"),
    (lambda: NDArrayIter(None), "data must be an array"),
    (lambda: NDArrayIter(X[:0]), "data has no samples"),
    (lambda: NDArrayIter(3.0), "data has no samples"),
    (lambda: NDArrayIter(np.array([{}])), "data holds Python objects"),
    (lambda: NDArrayIter(X).getsubiter(0), "num_samples"),
    (lambda: NDArrayIter(X).getdata(), "there is no current batch"),
]


@pytest.mark.parametrize("call, text", BAD, ids=[text[:25] for _, text in BAD])
def test_bad_input_is_named(call, text):
    with pytest.raises(ArgumentError, match=text):
        call()


# ----- files


@pytest.mark.parametrize("data", [X, [X, Y], {"pixels": X, "odd/name ä": Y}])
def test_data_and_labels_come_back(tmp_path, data):
    where = tmp_path / "deep" / "set.bin"
    save_data_labels(data, Y, where)
    got, label = load_data_labels(where)
    assert type(got) is type(data) and (label == Y).all() and label.dtype == Y.dtype
    parts = data.items() if isinstance(data, dict) else enumerate(data if isinstance(data, list) else [data])
    for key, part in parts:
        assert ((got[key] if isinstance(data, (list, dict)) else got) == part).all()
    assert [p.name for p in where.parent.iterdir()] == ["set.bin"]


def test_damaged_files_are_named(tmp_path):
    where = tmp_path / "set"
    save_data_labels(X, Y, where)
    whole = where.read_bytes()
    for damage in (whole[:-40], whole[:200], b"", whole[:150] + b"\xff\xff" + whole[152:], b"PK" + whole[1:]):
        where.write_bytes(damage)
        with pytest.raises(CheckpointError, match=str(where)):
            load_data_labels(where)
    where.write_bytes(pickle.dumps((X, Y)))  # what the original wrote: it could run any code
    with pytest.raises(CheckpointError, match="no such file, or it is damaged"):
        load_data_labels(where)
    with pytest.raises(FileNotFoundError):
        load_data_labels(tmp_path / "missing")


def test_a_file_stays_when_writing_fails(tmp_path):
    where = tmp_path / "set"
    save_data_labels(X, Y, where)
    with pytest.raises(TypeError, match="Python objects"):
        save_data_labels(np.array([object()]), Y, where)
    assert (load_data_labels(where)[0] == X).all() and len(list(tmp_path.iterdir())) == 1


# ----- MXNet's iterators


def test_names():
    import minpy.io as short
    import minpy.nn.io as long

    assert short.NDArrayIter is long.NDArrayIter is NDArrayIter
    with pytest.raises(AttributeError, match="Nonsense"):
        short.Nonsense  # noqa: B018
    assert repr(DataBatch([X], [Y], 2)) == "<DataBatch data [(10, 3)], label [(10,)], pad 2>"


@pytest.mark.mxnet
def test_mxnet_iterators(tmp_path):
    try:
        from minpy.io import CSVIter, ResizeIter
    except DeviceError as error:
        pytest.skip(str(error))
    from minpy.io import CSVIter as again

    assert again is CSVIter
    np.savetxt(tmp_path / "x.csv", X, delimiter=",")
    it = CSVIter(data_csv=str(tmp_path / "x.csv"), data_shape=(3,), batch_size=4)
    batches = list(it)
    assert [type(b.data[0]) for b in batches] == [np.ndarray] * 3
    assert (batches[0].data[0] == X[:4]).all() and batches[-1].pad == 2
    it.reset()
    assert len(list(it)) == 2  # what filled the last batch was of this pass (MXNet's round_batch)
    assert it.provide_data[0].shape == (4, 3)
    it.reset()
    longer = ResizeIter(it, 5)
    assert len(list(longer)) == 5
    with pytest.raises(AttributeError, match=r"mxnet\.io"):
        from minpy.nn import io

        io.NoSuchIter  # noqa: B018
