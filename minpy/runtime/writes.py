"""Writes into arrays: on the tape if one records, on the device if the array lives there."""

from __future__ import annotations

import sys
from typing import Any

from minpy.runtime import entry
from minpy.runtime.geometry import is_basic, is_plainly_basic
from minpy.runtime.record import Write, current_tape, innermost, tape_of, user_frame
from minpy.runtime.storage import NEEDED, WEAK


def write(target: Array, index: Any, value: Any) -> None:
    """``target[index] = value`` (all of `target` if `index` is None), on the tape if one records."""
    if index is not None:
        plain = is_plainly_basic(index)
        if not plain:
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
    device = storage.device
    if (
        device is not None
        and not storage.host_ok
        and index is None
        and _write_on_device(device, target, value)
    ):
        return
    data = target.contents
    data[... if index is None else index] = host(value)
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
        old = target.contents.copy() if index is None else target.contents[index]
    source = innermost([value]) if type(value) is Array else None
    if source is not None and storage.host.dtype.kind in "fc":
        mine = tape_of(storage)
        if mine is None or mine.depth < source.depth:
            storage.tape = source
    tape.append(Write(target, index, value if source is not None else None, old))


def _write_on_device(device: Any, target: Array, value: Any) -> bool:
    if type(value) is Array:
        value = value.window if value.storage.device is None else value
    if type(value) is Array and value.shape == target.shape and value.dtype == target.dtype:
        source: Any = dispatch.handle_of(device, value)
        if value.storage is target.storage:
            source = device.copy(source)  # the handle of a part may be a part of the buffer that is written
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        source = value
    else:
        return False
    if source is None or not device.write(target.storage.handle, target.window, target.storage.host, source):
        return False
    target.storage.wrote_device()
    return True


# At the end: array.py uses this module.
from minpy.runtime import dispatch, fast, pull  # noqa: E402
from minpy.runtime.array import Array, host  # noqa: E402
