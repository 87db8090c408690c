"""`ModelBase`: the parameters of a network, what it computes from a batch, and their files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minpy.errors import ArgumentError, CheckpointError
from minpy.nn import checks, files
from minpy.nn.io import DataBatch
from minpy.runtime.array import host


class ParamsNameNotFoundError(CheckpointError):
    """A file lacks a parameter that the model has."""


class UnknownAccessModeError(ArgumentError):
    """A model is run for something else than ``'train'`` or ``'test'``."""


_SETTINGS = ("init_rule", "init_config", "update_rule", "optim_config")


class ModelBase:
    """Base of the models that `Solver` trains: give it parameters in ``__init__``, and define `forward` and `loss`.

    Attributes
    ----------
    params : dict of str to array
        The parameters, once they are initialised or loaded.
    param_configs : dict of str to dict
        Shape and settings of each parameter.
    aux_params : dict
        What is kept beside: running averages. They are saved, not learned.
    aux_param_configs : dict

    Examples
    --------
    >>> class Line(ModelBase):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.add_param("w", (3, 1)).add_param("b", (1,), init_rule="constant")
    ...
    ...     def forward(self, X, mode):
    ...         return layers.affine(X, self.params["w"], self.params["b"])
    ...
    ...     def loss(self, predict, y):
    ...         return layers.l2_loss(predict, y)
    """

    def __init__(self) -> None:
        self.params: dict[str, Any] = {}
        self.param_configs: dict[str, dict[str, Any]] = {}
        self.aux_params: dict[str, Any] = {}
        self.aux_param_configs: dict[str, dict[str, Any]] = {}

    # ----- parameters

    def add_param(self, name: str, shape: int | Sequence[int], **kwargs: Any) -> ModelBase:
        """Declare a parameter.

        Parameters
        ----------
        name : str
        shape : tuple of int
        init_rule, init_config : optional
            Its initial values, instead of the solver's: see `minpy.nn.init`.
        update_rule, optim_config : optional
            How it learns, instead of the solver's: see `minpy.nn.optim`.

        Returns
        -------
        ModelBase
            The model itself.
        """
        self._new(name)
        for setting in kwargs:
            checks.choice("add_param", f"a setting of {name!r}", setting, _SETTINGS)
        lengths = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
        if not all(isinstance(n, (int, np.integer)) and n >= 0 for n in lengths):
            raise checks.fail(
                "add_param", f"shape of {name!r} must be a tuple of whole numbers, not {shape!r}"
            )
        self.param_configs[name] = {"shape": tuple(int(n) for n in lengths), **kwargs}
        return self

    def add_params(self, param_dict: Mapping[str, Mapping[str, Any]]) -> ModelBase:
        """Declare several parameters: ``{name: {'shape': …, …}}``, as ``Function.get_params()`` gives them."""
        for name, config in param_dict.items():
            if not isinstance(config, Mapping) or "shape" not in config:
                raise checks.fail("add_params", f"{name!r} must be a dict with a shape, not {config!r}")
            self.add_param(name, **config)
        return self

    def add_aux_param(self, name: str, value: Any) -> ModelBase:
        """Declare a value that is kept and saved with the model, but not learned; None until it is known."""
        self._new(name)
        self.aux_param_configs[name] = {"value": value}
        self.aux_params[name] = value
        return self

    def _new(self, name: str) -> None:
        if not isinstance(name, str) or not name:
            raise checks.fail("add_param", f"name must be a string, not {name!r}")
        if name in self.param_configs or name in self.aux_param_configs:
            raise checks.fail("add_param", f"there is a parameter {name!r} already")

    # ----- what it computes

    def forward(self, X: Any, mode: str) -> Any:
        """The outputs for inputs `X`; `mode` is ``'train'`` or ``'test'``."""
        raise NotImplementedError(f"{type(self).__name__} must define forward(X, mode)")

    def loss(self, predict: Any, y: Any) -> Any:
        """The loss of outputs, one number."""
        raise NotImplementedError(f"{type(self).__name__} must define loss(predict, y)")

    def forward_batch(self, batch: DataBatch, mode: str) -> Any:
        """The outputs for a batch; define it for models of several inputs."""
        return self.forward(batch.data[0], mode)

    def loss_batch(self, batch: DataBatch, forward_outputs: Any) -> Any:
        """The loss of a batch; define it for models of several labels."""
        if not batch.label:
            raise checks.fail(
                "loss_batch", "the batch has no label: give the iterator one, or define loss_batch"
            )
        return self.loss(forward_outputs, batch.label[0])

    # ----- files

    def save(self, prefix: str | os.PathLike) -> None:
        """Write all parameters to the file ``<prefix>.params``, as a whole or not at all."""
        arrays, notes = pack(self)
        files.save(f"{os.fspath(prefix)}.params", arrays, notes)

    def load(self, prefix: str | os.PathLike) -> None:
        """Read what `save` wrote; files of the original (HDF5) too, where h5py is installed.

        Raises
        ------
        CheckpointError
            If the file is damaged, or its parameters are not those of this model. Nothing is changed then.
        """
        path = f"{os.fspath(prefix)}.params"
        arrays, notes = _original(path) or files.load(path)
        unpack(self, arrays, notes, path)


def pack(model: ModelBase, prefix: str = "") -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters of a model as named arrays, and what of them is no array."""
    arrays = {f"{prefix}param:{name}": value for name, value in model.params.items()}
    plain = {}
    for name, value in model.aux_params.items():
        if value is None or isinstance(value, (bool, int, float, str)):
            plain[name] = value
        else:
            arrays[f"{prefix}aux:{name}"] = value
    return arrays, {"aux": plain}


def unpack(model: ModelBase, arrays: Mapping[str, Any], notes: Any, path: str, prefix: str = "") -> None:
    """Give a model what `pack` made, all of it or nothing."""
    params = _part(arrays, f"{prefix}param:")
    try:
        aux = {**notes["aux"], **_part(arrays, f"{prefix}aux:")}
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is not a file of parameters") from error
    for what, ours, theirs in (
        ("parameter", model.param_configs, params),
        ("auxiliary parameter", model.aux_params, aux),
    ):
        missing, more = sorted(set(ours) - set(theirs)), sorted(set(theirs) - set(ours))
        if missing:
            raise ParamsNameNotFoundError(
                f"{path} has no {what} {missing[0]!r}, which {type(model).__name__} has"
            )
        if more:
            raise CheckpointError(f"{path} has the {what} {more[0]!r}, which {type(model).__name__} has not")
    for name, value in params.items():
        shape = model.param_configs[name]["shape"]
        if value.shape != shape:
            raise CheckpointError(f"{path} holds {name!r} of shape {value.shape}, but the model's is {shape}")
    # In place, so that who holds the dicts sees them; in the order of the model.
    for name in model.param_configs:
        model.params[name] = params[name]
    model.aux_params.update(aux)


def _part(arrays: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name[len(prefix) :]: value for name, value in arrays.items() if name.startswith(prefix)}


def snapshot(values: Mapping[str, Any]) -> dict[str, Any]:
    """Copies of the arrays among named values."""
    return {k: np.array(host(v)) if isinstance(v, np.ndarray) else v for k, v in values.items()}


def _original(path: str) -> tuple[dict[str, Any], Any] | None:
    """Parameters that the original saved, None for any other file."""
    with open(path, "rb") as file:
        if file.read(4) != b"\x89HDF":
            return None
    try:
        import h5py
    except ImportError as error:
        raise CheckpointError(
            f"{path} is an HDF5 file, which takes h5py to read: pip install h5py"
        ) from error
    try:
        with h5py.File(path, "r") as file:
            names = {"aux_param_": "aux:", "param_": "param:"}
            arrays = {
                new + key[len(old) :]: file[key][...]
                for key in file
                for old, new in names.items()
                if key.startswith(old)
            }
    except (OSError, KeyError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    return arrays, {"aux": {}}
