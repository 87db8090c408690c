"""What happens beside the training: callbacks, and the progress bar."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any


class Callback:
    """What a program wants to do during training; override what is needed. `Solver.stop` ends the training."""

    def on_begin(self, solver: Any) -> None:
        """Before the first step."""

    def on_gradients(self, solver: Any, grads: dict[str, Any]) -> None:
        """With the gradients of each step, before the parameters learn from them."""

    def on_step(self, solver: Any, loss: float) -> None:
        """After each step."""

    def on_epoch(self, solver: Any) -> None:
        """After each epoch and its evaluation."""

    def on_end(self, solver: Any) -> None:
        """When training ends, not if an exception ends it."""

    def on_exit(self, solver: Any) -> None:
        """However training ends, an exception included; the last of all."""


class AfterEpoch(Callback):
    """A plain function that is called after each epoch."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function

    def on_epoch(self, solver: Any) -> None:
        """Call it."""
        self._function(solver)


@contextlib.contextmanager
def no_bar() -> Iterator[Callable[[float], None]]:
    """Stands in for `bar`."""
    yield lambda loss: None


@contextlib.contextmanager
def bar(solver: Any, total: int | None) -> Iterator[Callable[[float], None]]:
    """A progress bar of `total` iterations; gives the function that is called after each."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("epoch {task.fields[epoch]}"), BarColumn(), MofNCompleteColumn())
    more = (TextColumn("loss {task.fields[loss]:.4f}"), TimeRemainingColumn())
    with Progress(*columns, *more) as shown:
        task = shown.add_task("", total=total, completed=solver.iteration, loss=0.0, epoch=solver.epoch)
        yield lambda loss: shown.update(task, advance=1, loss=loss, epoch=solver.epoch)
