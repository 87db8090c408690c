"""Data in batches: `NDArrayIter`, and the iterators of ``mxnet.io`` by their names.

``minpy.io`` is the same module. MXNet's iterators (``MNISTIter``, ``CSVIter``, ``ImageRecordIter`` …) are loaded with
MXNet when they are first asked for; their batches come as NumPy arrays.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minpy import array as _array  # noqa: F401 - what is in a batch has asnumpy()
from minpy.nn import checks, files
from minpy.runtime.array import host

HANDLES = ("pad", "discard", "roll_over")


class DataBatch:
    """A batch.

    Parameters
    ----------
    data, label : list of numpy.ndarray
        One array for each input, and for each label.
    pad : int, optional
        How many samples at the end are there only to fill the batch.
    index : numpy.ndarray, optional
        The numbers of the samples.
    """

    def __init__(self, data: list, label: list, pad: int | None = None, index: Any = None) -> None:
        self.data, self.label, self.pad, self.index = data, label, pad, index

    def __repr__(self) -> str:
        shapes = [[np.shape(a) for a in arrays or ()] for arrays in (self.data, self.label)]
        return f"<DataBatch data {shapes[0]}, label {shapes[1]}, pad {self.pad}>"


class DataIter:
    """Base of the iterators: a pass over the data, which `reset` begins anew."""

    def __init__(self) -> None:
        self.batch_size = 0

    def __iter__(self) -> DataIter:
        return self

    def reset(self) -> None:
        """Begin a new pass."""

    def next(self) -> DataBatch:
        """The next batch; StopIteration at the end of the pass."""
        if not self.iter_next():
            raise StopIteration
        return DataBatch(self.getdata(), self.getlabel(), self.getpad(), self.getindex())

    def __next__(self) -> DataBatch:
        return self.next()

    def iter_next(self) -> bool:
        """Go to the next batch, if there is one."""
        raise NotImplementedError

    def getdata(self) -> list:
        """The inputs of the current batch."""
        raise NotImplementedError

    def getlabel(self) -> list:
        """The labels of the current batch."""
        raise NotImplementedError

    def getindex(self) -> Any:
        """The numbers of the samples of the current batch."""
        return None

    def getpad(self) -> int | None:
        """How many samples of the current batch only fill it."""
        return None


class NDArrayIter(DataIter):
    """Batches of arrays.

    Parameters
    ----------
    data : array, list of arrays, or dict of arrays
        Inputs; samples along the first axis, as many in each array.
    label : array, list of arrays, or dict of arrays, optional
        Labels.
    batch_size : int
    shuffle : bool
        Draw a new order for each pass.
    last_batch_handle : {'pad', 'discard', 'roll_over'}
        What to do with a last batch that the samples do not fill: fill it with the first samples of the pass (and say
        so in ``pad``), leave it out, or fill it with the first samples of the next pass, which goes on after them.
    seed : int, optional
        For the orders; without it NumPy's global generator draws them.

    Examples
    --------
    >>> for batch in NDArrayIter(x, y, batch_size=100, shuffle=True):
    ...     x_batch, y_batch = batch.data[0], batch.label[0]
    """

    def __init__(
        self,
        data: Any,
        label: Any = None,
        batch_size: int = 1,
        shuffle: bool = False,
        last_batch_handle: str = "pad",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        checks.choice("NDArrayIter", "last_batch_handle", last_batch_handle, HANDLES)
        self.batch_size = checks.positive("NDArrayIter", "batch_size", batch_size)
        self.data = _named("data", data, required=True)
        self.label = _named("label", label)
        self.num_data = len(self.data[0][1])
        for name, array in (*self.data, *self.label):
            if len(array) != self.num_data:
                raise checks.fail(
                    "NDArrayIter",
                    f"{name} has {len(array)} samples, but {self.data[0][0]} has {self.num_data}",
                )
        if last_batch_handle == "discard" and self.num_data < batch_size:
            raise checks.fail(
                "NDArrayIter",
                f"batch_size is {batch_size}, but there are only {self.num_data} samples, and 'discard' leaves "
                "out what does not fill a batch",
            )
        self.shuffle, self.last_batch_handle = bool(shuffle), last_batch_handle
        self._generator: Any = np.random if seed is None else np.random.RandomState(seed)
        self.hard_reset()

    # ----- passes

    def _order(self) -> np.ndarray:
        if self.shuffle:
            return self._generator.permutation(self.num_data)
        return np.arange(self.num_data)

    def hard_reset(self) -> None:
        """Begin a new pass with its first sample, also where the last batch went over into it."""
        self._rolled = self._start = 0
        self._current, self._ahead = self._order(), None
        self._cursor = -self.batch_size

    def reset(self) -> None:
        """Begin a new pass."""
        if self._ahead is None:
            self.hard_reset()
            return
        self._current, self._ahead = self._ahead, None
        self._start, self._rolled = self._rolled, 0
        self._cursor = self._start - self.batch_size

    def iter_next(self) -> bool:
        """Go to the next batch, if there is one."""
        self._cursor += self.batch_size
        end = self.num_data - (self.batch_size - 1 if self.last_batch_handle == "discard" else 0)
        if self._cursor >= end:
            self._cursor = end  # and stays there
            self._indices = None
            return False
        indices = self._current[self._cursor : self._cursor + self.batch_size]
        missing = self.batch_size - len(indices)
        self._pad = 0
        if missing and self.last_batch_handle == "pad":
            self._pad = missing
            indices = np.concatenate([indices, np.resize(self._current, missing)])
        elif missing:
            # More than a whole pass may be missing where a batch is larger than the data.
            parts = [indices]
            while missing >= self.num_data:
                parts.append(self._order())
                missing -= self.num_data
            self._ahead, self._rolled = self._order(), missing
            indices = np.concatenate([*parts, self._ahead[:missing]])
        self._indices = indices
        return True

    def getnumiterations(self) -> int:
        """How many batches the current pass has, from its beginning."""
        left = self.num_data - self._start
        return left // self.batch_size if self.last_batch_handle == "discard" else -(-left // self.batch_size)

    # ----- the current batch

    def _pick(self, arrays: list[tuple[str, np.ndarray]]) -> list[np.ndarray]:
        if self._indices is None:
            raise checks.fail("NDArrayIter", "there is no current batch: ask iter_next first")
        return [array[self._indices] for _, array in arrays]

    _indices: np.ndarray | None = None
    _pad = 0

    def getdata(self) -> list[np.ndarray]:
        """The inputs of the current batch."""
        return self._pick(self.data)

    def getlabel(self) -> list[np.ndarray]:
        """The labels of the current batch."""
        return self._pick(self.label)

    def getindex(self) -> np.ndarray | None:
        """The numbers of the samples of the current batch."""
        return self._indices

    def getpad(self) -> int:
        """How many samples of the current batch only fill it."""
        return self._pad

    # ----- more

    @property
    def provide_data(self) -> list[tuple[str, tuple[int, ...]]]:
        """Name and batch shape of each input."""
        return [(name, (self.batch_size, *array.shape[1:])) for name, array in self.data]

    @property
    def provide_label(self) -> list[tuple[str, tuple[int, ...]]]:
        """Name and batch shape of each label."""
        return [(name, (self.batch_size, *array.shape[1:])) for name, array in self.label]

    def getsubiter(self, num_samples: int) -> NDArrayIter:
        """An iterator over a random choice of the samples; over all of them if there are no more."""
        number = min(checks.positive("getsubiter", "num_samples", num_samples), self.num_data)
        chosen = np.random.permutation(self.num_data)[:number]
        data = {name: array[chosen] for name, array in self.data}
        label = {name: array[chosen] for name, array in self.label}
        return NDArrayIter(data, label or None, self.batch_size)

    def get_state(self) -> dict[str, Any]:
        """Where the iterator is: arrays and numbers, for `set_state`."""
        state = {
            "order": self._current.copy(),
            "cursor": self._cursor,
            "start": self._start,
            "rolled": self._rolled,
        }
        if self._ahead is not None:
            state["ahead"] = self._ahead.copy()
        if self.shuffle and self._generator is not np.random:
            _, keys, place, has_gauss, gauss = self._generator.get_state()
            state |= {"keys": keys, "place": place, "has_gauss": has_gauss, "gauss": gauss}
        return state

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go where another iterator over the same data was."""
        if len(state["order"]) != self.num_data:
            raise checks.fail(
                "NDArrayIter",
                f"the state is of an iterator over {len(state['order'])} samples, not {self.num_data}",
            )
        self._current, self._ahead = np.array(state["order"]), state.get("ahead")
        self._cursor, self._start, self._rolled = (int(state[key]) for key in ("cursor", "start", "rolled"))
        self._indices = None
        if "keys" in state and self._generator is not np.random:
            gauss = (int(state["has_gauss"]), float(state["gauss"]))
            self._generator.set_state(("MT19937", np.asarray(state["keys"]), int(state["place"]), *gauss))


def _named(what: str, arrays: Any, required: bool = False) -> list[tuple[str, np.ndarray]]:
    """Arrays by name: one is called `what`, those of a list are numbered."""
    if arrays is None:
        arrays = []
    elif isinstance(arrays, Mapping):
        arrays = [(str(name), array) for name, array in arrays.items()]
    elif isinstance(arrays, (list, tuple)):
        names = [what] if len(arrays) == 1 else [f"_{i}_{what}" for i in range(len(arrays))]
        arrays = list(zip(names, arrays, strict=True))
    else:
        arrays = [(what, arrays)]
    found = []
    for name, array in arrays:
        # (Of MXNet's arrays it is a copy; plain arrays stay where they are, even where they have the method too.)
        other = hasattr(array, "asnumpy") and not isinstance(array, (np.ndarray, np.generic))
        array = array.asnumpy() if other else np.asarray(host(array))
        if array.dtype.hasobject:
            raise checks.fail("NDArrayIter", f"{name} holds Python objects, not numbers")
        if not array.ndim or not len(array):
            raise checks.fail("NDArrayIter", f"{name} has no samples: its shape is {array.shape}")
        found.append((name, array))
    if required and not found:
        raise checks.fail("NDArrayIter", f"{what} must be an array, a list or a dict of arrays, not empty")
    return found


# ----- files


def save_data_labels(data_vec: Any, label_vec: Any, file_name: str | os.PathLike) -> None:
    """Write data and labels into a file: arrays, or lists or dicts of arrays."""
    arrays: dict[str, Any] = {}
    notes = {}
    for what, value in (("data", data_vec), ("label", label_vec)):
        if isinstance(value, Mapping):
            notes[what] = list(map(str, value))
            arrays |= {f"{what}.{i}": array for i, array in enumerate(value.values())}
        elif isinstance(value, (list, tuple)):
            notes[what] = len(value)
            arrays |= {f"{what}.{i}": array for i, array in enumerate(value)}
        else:
            notes[what] = None
            arrays[what] = value
    files.save(file_name, arrays, notes)


def load_data_labels(file_name: str | os.PathLike) -> tuple[Any, Any]:
    """What `save_data_labels` wrote: data and labels.

    Raises
    ------
    CheckpointError
        If the file is damaged, or another.
    """
    arrays, notes = files.load(file_name, "a file of data and labels")
    found = []
    try:
        for what in ("data", "label"):
            form = notes[what]
            if form is None:
                found.append(arrays[what])
            elif isinstance(form, int):
                found.append([arrays[f"{what}.{i}"] for i in range(form)])
            else:
                found.append({name: arrays[f"{what}.{i}"] for i, name in enumerate(form)})
    except (KeyError, TypeError) as error:
        raise files.CheckpointError(f"{os.fspath(file_name)} is not a file of data and labels") from error
    return found[0], found[1]


# ----- MXNet's iterators


class MXNetIter(DataIter):
    """An iterator of ``mxnet.io`` whose batches are NumPy arrays; its other attributes are MXNet's.

    Parameters
    ----------
    *args, **kwargs
        Those of the MXNet iterator of the same name; iterators among them may be MinPy's.
    """

    kind = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        args = tuple(_mxnet_argument(a) for a in args)
        kwargs = {name: _mxnet_argument(a) for name, a in kwargs.items()}
        self.wrapped = getattr(_mxnet_io(), self.kind)(*args, **kwargs)
        self.batch_size = self.wrapped.batch_size

    def __getattr__(self, name: str) -> Any:
        if name == "wrapped":
            raise AttributeError(name)
        return getattr(self.wrapped, name)

    def reset(self) -> None:
        """Begin a new pass."""
        self.wrapped.reset()

    def next(self) -> DataBatch:
        """The next batch."""
        batch = self.wrapped.next()
        return DataBatch(_numpy(batch.data), _numpy(batch.label), batch.pad, batch.index)


def _mxnet_argument(value: Any) -> Any:
    if isinstance(value, MXNetIter):
        return value.wrapped
    if isinstance(value, (list, tuple)):
        return type(value)(_mxnet_argument(each) for each in value)
    return value


def _numpy(arrays: Sequence[Any] | None) -> list[np.ndarray]:
    return [a.asnumpy() if hasattr(a, "asnumpy") else np.asarray(a) for a in arrays or ()]


def _mxnet_io() -> Any:
    from minpy.runtime.backends.mxnet import load

    return load().io


def __getattr__(name: str) -> Any:
    # MXNet is not loaded to find that there is no such name.
    if not name.endswith("Iter") or name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if not hasattr(_mxnet_io(), name):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}, and mxnet.io neither")
    found = type(name, (MXNetIter,), {"kind": name, "__module__": __name__, "__doc__": MXNetIter.__doc__})
    globals()[name] = found
    return found
