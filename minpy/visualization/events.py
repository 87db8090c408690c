"""Event files: the records that TensorBoard reads, in its own package's format and messages.

Each record is written with one call and nothing is kept back: a run that is killed loses no summary, and what cannot be
written is an error at the line that wrote it.
"""

from __future__ import annotations

import importlib
import os
import socket
import threading
import time
from types import ModuleType
from typing import Any

from minpy.errors import SummaryError


def load(name: str) -> ModuleType:
    """The module ``tensorboard.<name>``, imported once.

    Raises
    ------
    SummaryError
        If TensorBoard is not installed, or does not load.
    """
    try:
        return importlib.import_module(f"tensorboard.{name}")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "tensorboard":
            raise SummaryError(
                "summaries need TensorBoard, which is not installed. Install it with: pip install 'minpy[viz]'"
            ) from None
        raise SummaryError(
            f"TensorBoard does not load: {error}. Install it anew with: pip install --force-reinstall tensorboard"
        ) from error
    except Exception as error:  # a package it needs is of a wrong version
        raise SummaryError(
            f"TensorBoard does not load: {type(error).__name__}: {error}. "
            "Install it anew with: pip install --force-reinstall tensorboard"
        ) from error


class _Whole:
    """A file that takes a record as a whole or not at all; what TensorBoard's `RecordWriter` writes to."""

    def __init__(self, path: str) -> None:
        # A name of its own, so that no other file is ever written into.
        self.handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        self.size = 0

    def write(self, data: bytes) -> None:
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(self.handle, left) :]
        except BaseException:
            # Half a record would hide all that come after it from the reader.
            os.ftruncate(self.handle, self.size)
            os.lseek(self.handle, self.size, os.SEEK_SET)
            raise
        self.size += len(data)


class EventFile:
    """A new event file in a folder, which is made if need be.

    Parameters
    ----------
    logdir : str or path
    suffix : str
        Appended to the file's name.

    Raises
    ------
    SummaryError
        If the folder or the file cannot be made, or TensorBoard is not installed.
    """

    def __init__(self, logdir: str | os.PathLike, suffix: str = "") -> None:
        records = load("summary.writer.record_writer")
        self._messages = load("compat.proto.event_pb2")
        folder = os.path.abspath(os.path.expanduser(os.fspath(logdir)))
        # Readers take the files of a folder in the order of their names, which must be that of time.
        seconds, rest = divmod(time.time_ns(), 10**9)
        name = f"events.out.tfevents.{seconds:010d}.{rest:09d}.{socket.gethostname()}.{os.getpid()}"
        self.path = os.path.join(folder, name + suffix)
        self._lock = threading.Lock()
        try:
            os.makedirs(folder, exist_ok=True)
            self._file = _Whole(self.path)
        except OSError as error:
            raise SummaryError(f"no summaries can be written to {folder}: {error.strerror}") from error
        self._records = records.RecordWriter(self._file)
        self.closed = False
        self.write(self._messages.Event(wall_time=time.time(), file_version="brain.Event:2"))

    def write(self, event: Any) -> None:
        """Append an event.

        Raises
        ------
        SummaryError
            If it cannot be written, for a full disk say; the file is as it was before.
        """
        with self._lock:
            if self.closed:
                raise SummaryError(f"{self.path} is closed: `reopen()` the writer to add to it")
            try:
                self._records.write(event.SerializeToString())
            except OSError as error:
                raise SummaryError(f"a summary cannot be written to {self.path}: {error.strerror}") from error

    def close(self) -> None:
        """Close the file; twice is once."""
        with self._lock:
            if not self.closed:
                self.closed = True
                os.close(self._file.handle)

    def __del__(self) -> None:
        if not getattr(self, "closed", True):
            self.close()
