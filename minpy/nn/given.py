"""What a `Solver` is given, looked at before anything else happens."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minpy.errors import ArgumentError
from minpy.nn import checks, init, layers, optim
from minpy.nn.model import ModelBase


def check_parts(model: Any, *iterators: Any) -> None:
    """Fail if this is no model, or one of the two is no iterator over batches."""
    if not isinstance(model, ModelBase):
        what = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
        raise checks.fail("Solver", f"model must be a model (ModelBase), not {what}")
    for name, iterator in zip(("train_dataiter", "test_dataiter"), iterators, strict=True):
        if not hasattr(iterator, "reset") or not hasattr(iterator, "__iter__"):
            raise checks.fail(
                "Solver",
                f"{name} must be an iterator over batches, such as NDArrayIter, not {type(iterator).__name__}",
            )


def check_rules(init_rule: Any, init_config: Any, update_rule: Any, optim_config: Any) -> None:
    """Fail if there is no such rule, or if what should be its options is something else."""
    for name, config in (("init_config", init_config), ("optim_config", optim_config)):
        if config is not None and not isinstance(config, Mapping):
            raise checks.fail("Solver", f"{name} must be a dict of options, not {config!r}")
    init.get(init_rule), optim.get(update_rule)
    optim.check_options(update_rule, optim_config or {})


def check_numbers(**numbers: Any) -> None:
    """Fail if one of these options is no positive number; some may be None."""
    for name, number in numbers.items():
        if number is not None or name in ("num_epochs", "print_every"):
            checks.positive("Solver", name, number)


def check_checkpoint(path: Any, every: Any, resume: bool, dataiter: Any) -> None:
    """Fail if the options about checkpoints do not fit together, or the iterator does not fit them."""
    if path is None and (resume or every):
        raise checks.fail(
            "Solver", f"{'resume' if resume else 'checkpoint_every'} needs a file: checkpoint=…"
        )
    if path is not None and os.path.isdir(path):
        raise checks.fail("Solver", f"checkpoint must be a file, but {os.fspath(path)} is a folder")
    if every and not hasattr(dataiter, "get_state"):
        raise checks.fail(
            "Solver",
            f"checkpoint_every needs an iterator that can tell where it is, which {type(dataiter).__name__} "
            "cannot; the file is written after each epoch in any case",
        )


def unknown_option(owner: type, name: str) -> ArgumentError:
    """The error about an option that `owner` does not take."""
    import inspect

    options = [
        p.name for p in inspect.signature(owner.__init__).parameters.values() if p.kind is p.KEYWORD_ONLY
    ]
    close = difflib.get_close_matches(name, options, 1)
    hint = f"did you mean {close[0]!r}?" if close else f"it takes {', '.join(options)}"
    return checks.fail("Solver", f"there is no option {name!r}: {hint}")


def precision(dataiter: Any) -> np.dtype:
    """That of the data, if they say; else single."""
    arrays = getattr(dataiter, "data", None)
    if isinstance(arrays, list) and arrays and isinstance(arrays[0], tuple):
        dtype = getattr(arrays[0][1], "dtype", None)
        if dtype is not None and dtype.kind == "f":
            return dtype
    return np.dtype(np.float32)


def loss_function(loss: Any) -> Callable[[Any, Any], Any] | None:
    """The function, or that of the layers by its name; None for none."""
    if isinstance(loss, str):
        names = [name for name in layers.__all__ if name.endswith(("_loss", "_cross_entropy"))]
        names.remove("temporal_softmax_loss")  # it takes a mask
        checks.choice("Solver", "loss", loss, names)
        return getattr(layers, loss)
    if loss is not None and not callable(loss):
        raise checks.fail("Solver", f"loss must be a function or the name of one, not {loss!r}")
    return loss
