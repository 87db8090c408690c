"""What `Solver(visualize=True)` writes while it trains."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np

from minpy.errors import SummaryError, SummaryWarning
from minpy.nn.callbacks import Callback
from minpy.runtime.array import host
from minpy.visualization import summaryOps
from minpy.visualization.events import load
from minpy.visualization.writer import SummaryWriter

NORM = "squared L2-norm of the gradient"


class Summaries(Callback):
    """Writes the course of a training into the folders ``train`` and ``test``.

    A new training takes a folder of its own, ``run-2``, ``run-3`` … in the same one, if another was there before; one
    that goes on, or is resumed, appends to its own.

    Parameters
    ----------
    folder : str or path
    """

    def __init__(self, folder: str | os.PathLike) -> None:
        self.folder = os.path.expanduser(os.fspath(folder))
        self.run: str | None = None  # within the folder; checkpoints keep it
        self._writers: dict[str, SummaryWriter] = {}
        self._norm = 0.0

    def on_begin(self, solver: Any) -> None:
        """Open the files; what is in the way is an error, before anything was trained."""
        resumed = self.run is not None
        if not resumed:
            self.run = self._claim()
        place = os.path.join(self.folder, self.run) if self.run else self.folder
        self._writers = {name: SummaryWriter(os.path.join(place, name)) for name in ("train", "test")}
        if resumed:
            # What was written after the checkpoint comes again.
            session = load("compat.proto.event_pb2").SessionLog
            for writer, step in (("train", solver.iteration), ("test", solver.epoch)):
                self._writers[writer].add_session_log(session(status=session.START), step + 1)
        if solver.verbose:
            print(f"Summaries are written to {place}; to see them: tensorboard --logdir {self.folder}")

    def _claim(self) -> str:
        number = 1
        while True:
            run = "" if number == 1 else f"run-{number}"
            place = os.path.join(self.folder, run)
            try:
                os.makedirs(place, exist_ok=True)
                os.mkdir(os.path.join(place, "train"))  # of two trainings that begin at once, one makes it
                return run
            except FileExistsError:
                number += 1
                if number > 100_000 or not os.path.isdir(place):
                    raise SummaryError(
                        f"no summaries can be written to {self.folder}: it is no folder"
                    ) from None
            except OSError as error:
                raise SummaryError(
                    f"no summaries can be written to {self.folder}: {error.strerror}"
                ) from error

    def on_gradients(self, solver: Any, grads: dict[str, Any]) -> None:
        """Note how large they are."""
        self._norm = 0.0
        for value in grads.values():
            flat = np.ravel(np.asarray(host(value)))
            self._norm += float(np.dot(flat, flat))

    def on_step(self, solver: Any, loss: float) -> None:
        """The loss, and the size of the gradient."""
        self._write("train", {"loss": loss, NORM: self._norm}, solver.iteration)

    def on_epoch(self, solver: Any) -> None:
        """The evaluations."""
        tag = "accuracy" if solver.task_type == "classification" else "mean loss"
        self._write("train", {tag: solver.train_acc_history[-1]}, solver.epoch)
        self._write("test", {tag: solver.val_acc_history[-1]}, solver.epoch)

    def on_exit(self, solver: Any) -> None:
        """Close the files."""
        for writer in self._writers.values():
            writer.close()
        self._writers = {}

    def _write(self, name: str, values: dict[str, float], step: int) -> None:
        if name not in self._writers:
            return
        try:
            for tag, value in values.items():
                self._writers[name].add_summary(summaryOps.scalarSummary(tag, value), step)
        except SummaryError as error:
            # Hours of training are worth more than their picture.
            self.on_exit(None)
            text = f"{error}; the training goes on without summaries"
            warnings.warn(SummaryWarning(text), stacklevel=2)
