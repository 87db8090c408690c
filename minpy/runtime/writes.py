"""Writes into arrays: on the tape if one records, on the device if the array lives there."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from minpy.errors import DeviceFailure, DeviceMemoryError
from minpy.runtime import entry, transfers
from minpy.runtime.geometry import is_basic, is_plainly_basic
from minpy.runtime.record import Write, current_tape, innermost, tape_of, user_frame
from minpy.runtime.storage import NEEDED, WEAK


def write(target: Array, index: Any, value: Any) -> None:
    """``target[index] = value`` (all of `target` if `index` is None), on the tape if one records."""
    if index is not None:
        plain = is_plainly_basic(index)
        if not plain:
            remote = target.storage.remote
            if remote is None or remote.handle is None or current_tape() is not None:
                index = host(index)
        if plain or is_basic(index):
            # An Ellipsis keeps the result a view where the index alone would give a scalar.
            storage = target.storage
            path: Any = () if target.window is storage.host else target.path
            if path is not None:
                if type(value) is Array and value._storage is storage and value.path == (*path, index):
                    return  # the second half of ``a[index] += …``: the work is done
            part = index if type(index) is tuple else (index,)
            if not any(p is Ellipsis for p in part):
                part = (*part, Ellipsis)
            target = Array(target.window[part], storage, False, None if path is None else (*path, part))
            index = None
    storage = target.storage
    if not target.window.flags.writeable:
        raise ValueError("assignment destination is read-only")
    tape = current_tape()
    if tape is not None:
        if tape.put is not None and index is None and storage.remote is None and not entry.others:
            if _write_lean(tape, target, value):
                return
        _log(tape, target, index, value)
    remote = storage.remote
    if remote is not None and remote.handle is not None and not remote.shared:
        try:
            if _write_on_device(remote.device, target, index, value):
                return
        except DeviceMemoryError:
            transfers.release(remote.device)  # the host has room
        except (TypeError, ValueError, IndexError, NotImplementedError):
            pass  # not of the kinds that the device writes: the host does, and says what is wrong if anything is
    data = target.contents
    data[... if index is None else host(index)] = host(value)
    storage.wrote_host()


def _write_lean(tape: Any, target: Array, value: Any) -> bool:
    """A write of a whole view on the host, kept in short; False if it is not as simple as that."""
    storage, window = target.storage, target.window
    if storage.tape is not None and storage.tape is not tape:
        return False
    handle = None
    plain = value
    if type(value) is Array:
        held = value._storage
        if value.scalar is WEAK or (held is not None and held.remote is not None):
            return False
        plain = value.window
        source = value.tape if held is None else held.tape
        if source is not None:
            if source is not tape:
                return False
            if window.dtype.kind in "fc":
                if (
                    (held is None or plain is held.host)
                    and plain.shape == window.shape
                    and plain.dtype is window.dtype
                ):
                    handle = value.cell if held is None else held.cell
                else:
                    handle = value
    elif type(value) not in fast.PLAIN:
        plain = host(value)
    needed = storage.cell[NEEDED] or tape.replays
    old = window.copy() if needed else None
    window[...] = plain  # NumPy's own errors come before anything is recorded
    if handle is not None:
        storage.tape = tape
    if needed or storage.tape is not None:
        tape.note_write(storage)
        frame = user_frame(sys._getframe(2))
        tape.put.append(
            (
                pull.pull_written,
                storage.cell,
                target,
                handle,
                old,
                _SETITEM,
                frame.f_code,
                frame.f_lasti,
            )
        )
    return True


class _SETITEM:
    """What an error calls a write."""

    name = "a write"


def _log(tape: Any, target: Array, index: Any, value: Any) -> None:
    storage = target.storage
    if tape.outer is not None and tape.outer.open:
        old = target.copy() if index is None else dispatch.apply("getitem", target, index)
    else:
        old = kept(target, index)
    source = innermost([value]) if type(value) is Array else None
    if source is not None and storage.host.dtype.kind in "fc":
        mine = tape_of(storage)
        if mine is None or mine.depth < source.depth:
            storage.tape = source
    tape.append(Write(target, index, value if source is not None else None, old))


def kept(target: Array, index: Any) -> Any:
    """A copy of ``target[index]`` (all of it if `index` is None) in the memory where it lives."""
    storage = target.storage
    remote = storage.remote
    if remote is not None and remote.handle is not None and not remote.shared and index is None:
        device = remote.device
        if device.broken is None and target.window.ndim:
            part = device.read(remote.handle, target.window, storage.host)
            if part is not None:
                try:
                    return device_calls.adopt(device, device.copy(part))
                except DeviceMemoryError:
                    transfers.release(device)
                except DeviceFailure:
                    raise
                except Exception:  # a kernel that does not load: the host's copy serves
                    pass
    data = target.contents
    return data.copy() if index is None else data[index]


def _write_on_device(device: Any, target: Array, index: Any, value: Any) -> bool:
    """Write into the device's copy, in place; False (and nothing has happened) if it cannot or had better not."""
    storage, window = target.storage, target.window
    base = storage.host
    if device.broken is not None:
        return False
    if type(value) is Array and not value.ndim:
        value = host(value).item()
    if isinstance(value, np.generic) and value.dtype.kind in "biuf":
        value = value.item()
    if isinstance(value, (bool, int, float)):
        if not _fits(value, window.dtype):
            return False
        if index is None and storage.host_ok and not entry.others:
            return False  # no device is in use now
        source: Any = value
    elif (
        isinstance(value, np.ndarray) and value.dtype == window.dtype and value.size and value.dtype.isnative
    ):
        if index is None and value.shape != window.shape:
            return False
        if type(value) is not Array and storage.host_ok and value.nbytes > storage.host.nbytes // 4:
            return False  # to send it is no less work than to send the whole when it is wanted
        source = device_calls.handle_of(device, value)
        if type(value) is Array and value.storage is storage:
            source = device.copy(source)  # the handle of a part may be a part of the buffer that is written
    else:
        return False
    if source is None:
        return False
    if index is None:
        done = device.write(storage.own_handle(), window, base, source)
    else:
        done = device.put(storage.own_handle(), window, base, index, source, device_calls.handle_of)
    if done:
        storage.wrote_device()
    return done


def _fits(value: bool | int | float, dtype: np.dtype) -> bool:
    """Whether a device would write this number as NumPy does."""
    if dtype.kind == "b":
        return type(value) is bool
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return not isinstance(value, float) and limits.min <= value <= limits.max
    return dtype.kind in "fc" and (isinstance(value, float) or abs(value) <= 2**53)


# At the end: array.py uses this module.
from minpy.runtime import device_calls, dispatch, fast, pull  # noqa: E402
from minpy.runtime.array import Array, host  # noqa: E402
