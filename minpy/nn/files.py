"""Files of named arrays: NumPy's zip format, without pickles, written as a whole or not at all."""

from __future__ import annotations

import glob
import io
import json
import os
import time
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from minpy.errors import CheckpointError
from minpy.runtime.array import host

# The name under which a file keeps what is no array.
_NOTES = "__notes__"


def save(path: str | os.PathLike, arrays: Mapping[str, Any], notes: Any = None) -> None:
    """Write named arrays, and notes that JSON can hold.

    The file appears when all of it is on disk; a file that was there before stays until then.
    """
    where = os.path.abspath(os.fspath(path))
    os.makedirs(os.path.dirname(where), exist_ok=True)
    _clear(where)
    temporary = f"{where}.{os.getpid()}-{os.urandom(4).hex()}.tmp"
    contents = _contents(arrays, notes)
    try:
        with open(temporary, "xb") as file:
            np.savez(file, **contents)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, where)
    except BaseException:
        try:
            os.unlink(temporary)
        except OSError:
            pass
        raise
    _sync_folder(os.path.dirname(where))


def check_place(path: str | os.PathLike) -> None:
    """Make the folder of a file that will be written.

    Raises
    ------
    CheckpointError
        If that cannot be, or nothing can be written there.
    """
    where = os.path.abspath(os.fspath(path))
    folder = os.path.dirname(where)
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise CheckpointError(f"{where} cannot be written: {folder}: {error.strerror}") from error
    if not os.access(folder, os.W_OK):
        raise CheckpointError(f"{where} cannot be written: nothing can be written into {folder}")


def load(path: str | os.PathLike, what: str = "a file of parameters") -> tuple[dict[str, np.ndarray], Any]:
    """The arrays and the notes of a file.

    Raises
    ------
    CheckpointError
        If it is damaged, or no such file.
    FileNotFoundError
        If it is not there.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(4)
            if not start.startswith(b"PK"):
                kind = "an HDF5 file" if start == b"\x89HDF" else "no such file, or it is damaged"
                raise CheckpointError(f"{os.fspath(path)} is not {what}: it is {kind}")
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
        return arrays, json.loads(arrays.pop(_NOTES).tobytes())
    except (zipfile.BadZipFile, zlib.error, ValueError, KeyError, EOFError, NotImplementedError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            f"{os.fspath(path)} is not {what}, or it is damaged: {type(error).__name__}: {error}"
        ) from error


def dumps(arrays: Mapping[str, Any], notes: Any = None) -> bytes:
    """What `save` writes, as bytes."""
    file = io.BytesIO()
    np.savez(file, **_contents(arrays, notes))
    return file.getvalue()


def loads(data: bytes) -> tuple[dict[str, np.ndarray], Any]:
    """What `dumps` was given."""
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    return arrays, json.loads(arrays.pop(_NOTES).tobytes())


def _contents(arrays: Mapping[str, Any], notes: Any) -> dict[str, np.ndarray]:
    contents = {name: _plain(name, value) for name, value in arrays.items()}
    contents[_NOTES] = np.frombuffer(json.dumps(notes).encode(), np.uint8)
    return contents


def _plain(name: str, value: Any) -> np.ndarray:
    array = np.asarray(host(value))
    if array.dtype.hasobject:
        raise TypeError(f"{name} holds Python objects, not numbers")
    return array


def _clear(where: str) -> None:
    """Remove what processes that were killed while they wrote this file have left."""
    if os.name != "posix":
        return
    for path in glob.glob(f"{glob.escape(where)}.*-*.tmp"):
        pid = path[len(where) + 1 :].partition("-")[0]
        try:
            # Another machine's process, of a folder that is shared, is not seen here: hence the minute.
            if pid.isdigit() and not _runs(int(pid)) and time.time() - os.path.getmtime(path) > 60:
                os.unlink(path)
        except OSError:
            pass


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _sync_folder(folder: str) -> None:
    # So that the new name survives a loss of power; not every system lets a folder be opened.
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)
