"""Checkpoints of a solver: all that it takes to go on as if nothing had happened, in one file."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from minpy.errors import CheckpointError
from minpy.nn import files
from minpy.nn.model import pack, unpack

_FORMAT = 1
_HISTORIES = ("loss_history", "train_acc_history", "val_acc_history")


def save(solver: Any, path: str | os.PathLike) -> None:
    """Write the state of a solver, its model, its iterator and NumPy's global generator."""
    files.save(path, *pack_solver(solver))


def pack_solver(solver: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The state of a solver, its model, its iterator and NumPy's global generator: arrays by name, and notes."""
    arrays, notes = pack(solver.model)
    for name in _HISTORIES:
        arrays[f"history:{name}"] = np.array(getattr(solver, name), np.float64)
    for what in ("best_params", "best_aux_params"):
        for name, value in getattr(solver, what).items():
            if isinstance(value, np.ndarray):
                arrays[f"{what}:{name}"] = value
            else:
                notes.setdefault(what, {})[name] = value
    optim: dict[str, dict[str, Any]] = {}
    for name, config in solver.optim_configs.items():
        optim[name] = {}
        for key, value in config.items():
            if isinstance(value, np.ndarray):
                arrays[f"optim:{key}:{name}"] = value
            else:
                optim[name][key] = value.item() if isinstance(value, np.generic) else value
    _, keys, place, has_gauss, gauss = np.random.get_state()
    arrays["random"] = keys
    iterator = {}
    if hasattr(solver.train_dataiter, "get_state"):
        for key, value in solver.train_dataiter.get_state().items():
            if isinstance(value, np.ndarray):
                arrays[f"iterator:{key}"] = value
            else:
                iterator[key] = value
    notes |= {
        "format": _FORMAT,
        "optim": optim,
        "random": [place, has_gauss, gauss],
        "iterator": iterator,
        "progress": solver.progress_state(),
    }
    return arrays, notes


def load(solver: Any, path: str | os.PathLike) -> None:
    """Go where a checkpoint was.

    Raises
    ------
    CheckpointError
        If the file is damaged, or of another model; nothing is changed then.
    """
    unpack_solver(solver, *files.load(path, "a checkpoint"), os.fspath(path))


def unpack_solver(
    solver: Any, arrays: dict[str, np.ndarray], notes: dict[str, Any], where: str, iterator_too: bool = True
) -> None:
    """Go where `pack_solver` was; `where` names the source in errors."""
    try:
        if notes["format"] != _FORMAT:
            raise CheckpointError(
                f"{where} has the format {notes['format']}, which this version does not know"
            )
        histories = {name: arrays[f"history:{name}"].tolist() for name in _HISTORIES}
        best = {
            what: {**_part(arrays, f"{what}:"), **notes.get(what, {})}
            for what in ("best_params", "best_aux_params")
        }
        configs = {name: dict(config) for name, config in notes["optim"].items()}
        for key, value in _part(arrays, "optim:").items():
            option, _, name = key.partition(":")
            configs[name][option] = value
        place, has_gauss, gauss = notes["random"]
        random = ("MT19937", arrays["random"], place, has_gauss, gauss)
        iterator = {**notes["iterator"], **_part(arrays, "iterator:")}
        progress = notes["progress"]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{where} is not a checkpoint of a solver") from error
    if set(configs) != set(solver.model.param_configs):
        # The parameters themselves say which; this is for files that were put together otherwise.
        raise CheckpointError(f"{where} has the parameters {sorted(configs)}, which are not the model's")
    if iterator and iterator_too and hasattr(solver.train_dataiter, "set_state"):
        before = solver.train_dataiter.get_state()
        solver.train_dataiter.set_state(iterator)
        try:
            unpack(solver.model, arrays, notes, where)
        except CheckpointError:
            solver.train_dataiter.set_state(before)
            raise
    else:
        unpack(solver.model, arrays, notes, where)
    np.random.set_state(random)
    for name, value in {**histories, **best}.items():
        setattr(solver, name, value)
    solver.optim_configs = {name: configs[name] for name in solver.model.param_configs}
    solver.restore_progress(progress)


def _part(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name[len(prefix) :]: value for name, value in arrays.items() if name.startswith(prefix)}
