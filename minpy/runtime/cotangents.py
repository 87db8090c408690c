"""Cotangent buffers: one per storage, laid out as it byte for byte: a view's cotangent is the same view of it.

While an outer tape is open, or on a device, cotangents are `Array` objects and every step goes through the
primitives (and is recorded); otherwise they are plain ``numpy.ndarray`` and nothing is dispatched.
"""

from __future__ import annotations

from sys import getrefcount
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from minpy.errors import GradientError
from minpy.runtime import blas, device_calls, entry
from minpy.runtime.array import Array
from minpy.runtime.geometry import bounds, covers
from minpy.runtime.record import Record, Write, current_tape, parts_of, tape_of
from minpy.runtime.storage import BORROWED, COTANGENT, HELD, LAID_OUT, NEEDED, OWN, SHARED, Storage
from minpy.runtime.writes import kept, write


def is_active(tape: Any, operand: Any) -> bool:
    """Whether a cotangent can flow into `operand` (or, for a list of arrays, into one of them)."""
    if type(operand) is Array:
        # An empty array has none: rules need not know what a reduction or a gather of nothing is.
        return operand.window.size != 0 and tape.watches(operand.storage)
    if type(operand) in (list, tuple):
        return any(is_active(tape, o) for o in operand)
    return False


def arrays_of(record: Record | Write) -> list[Array]:
    """The arrays that a record may leave a cotangent in."""
    if type(record) is Write:
        return [record.target]
    return [part for part in parts_of((record.result, record.args)) if type(part) is Array]


def clear(record: Any) -> None:
    """Forget the cotangents that a record of an unfinished sweep may have left."""
    if type(record) is tuple:
        for part in record:  # cells of its own, or the arrays of a record that is kept
            if type(part) is list:
                part[COTANGENT] = None
        arrays = [part for part in parts_of(record) if type(part) is Array]
    else:
        arrays = arrays_of(record)
    for array in arrays:
        array.storage.cotangent = None


def values(operand: Any) -> Any:
    """What a derivative rule sees: plain arrays, unless the rule's own work must be recorded or stay on a device."""
    kind = type(operand)
    if kind is Array:
        storage = operand.storage
        if tape_of(storage) is not None or storage.device is not None:
            # Rules reckon with NumPy's numbers, which divide by zero.
            python = type(operand.scalar) is int
            return Array(operand.window, storage, True, operand.path) if python else operand
        if entry.holders:
            storage.cell[NEEDED] = True  # an open tape may record it, as a plain array
        return operand.contents
    if kind is list or kind is tuple:
        return kind(map(values, operand))
    if kind is dict:
        return {key: values(value) for key, value in operand.items()}
    if isinstance(operand, tuple):  # a named tuple such as linalg's results
        return type(operand)(*map(values, operand))
    return operand


def accumulate(tape: Any, operand: Any, g: Any, touched: set[Storage], held: int = BORROWED) -> None:
    """Add the cotangent `g` to `operand`'s part of its storage's cotangent; `held` says whose `g` is."""
    if type(operand) is not Array:
        if type(operand) is list and type(g) is list:
            # Of a function with rules of its own: what they made and nobody else refers to needs no copy later.
            for i, o in enumerate(operand):
                d, g[i] = g[i], None
                own = type(d) is np.ndarray and d.base is None and getrefcount(d) == 2
                accumulate(tape, o, d, touched, OWN if own else BORROWED)
        elif type(operand) in (list, tuple):
            for o, d in zip(operand, g, strict=True):
                accumulate(tape, o, d, touched)
        return
    storage, view = operand.storage, operand.window
    if g is None or not view.size or not tape.watches(storage):
        return
    if type(g) is not np.ndarray or g.shape != view.shape or g.dtype is not view.dtype:
        if type(g) is np.ndarray and g.ndim == 2 and view.ndim == 1 and tape.defer_sum(operand, g):
            return
        held = BORROWED
        g = fit(g, view.shape, view.dtype)
    touched.add(storage)
    cell = storage.cell
    have = cell[COTANGENT]
    if covers(view, storage.host):
        if have is None:
            cell[COTANGENT], cell[HELD] = g, held  # no copy for the common single use
        elif cell[HELD] > 0 and type(have) is np.ndarray and type(g) is np.ndarray:
            np.add(have, g, have)
        else:
            cell[COTANGENT], cell[HELD] = have + g, BORROWED
        return
    _own(storage, like=g)
    part = _region(operand)
    if (
        type(part) is np.ndarray
        and type(g) is np.ndarray
        and storage.host.dtype is view.dtype
        and (operand.path is not None or not _may_overlap(view))
    ):
        np.add(part, g, part)
    else:
        _add_into(part, -g if _imaginary(storage, view) else g)


def fit(g: Any, shape: tuple[int, ...], dtype: np.dtype) -> Any:
    """Sum `g` over the axes along which the operand was broadcast, and give it the operand's dtype."""
    if type(g) is not np.ndarray and type(g) is not Array:
        g = np.asarray(g)
    if g.shape != shape:
        if type(g) is np.ndarray and g.ndim == 2 and g.dtype.char in "fd" and g.size >= _WORTH:
            g = _summed(g, shape)
        extra = g.ndim - len(shape)
        if extra > 0:
            g = np.sum(g, axis=tuple(range(extra)))
            g = g if type(g) in (np.ndarray, Array) else np.asarray(g)
        axes = tuple(
            i
            for i, (have, want) in enumerate(zip(g.shape, shape[-g.ndim :] if g.ndim else (), strict=False))
            if want == 1 != have
        )
        if axes:
            g = np.sum(g, axis=axes, keepdims=True)
        if g.shape != shape:
            g = np.broadcast_to(g, shape)
    if g.dtype != dtype:
        if g.dtype.kind == "c" and dtype.kind != "c":
            g = g.real
        g = g.astype(dtype)
    return g


# Elements from which a sum is cheaper as a product.
_WORTH = 1 << 9


def _summed(g: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Rows or columns of a matrix added up by a product, which BLAS does several times as fast as a reduction."""
    rows, columns = g.shape
    if shape == (columns,) or shape == (1, columns) != g.shape:
        return blas.summed(g).reshape(shape)
    if shape == (rows, 1) != g.shape:
        return np.dot(g, np.ones(columns, g.dtype)).reshape(shape)
    return g


def take(operand: Array) -> Any:
    """The cotangent of `operand`, None if none arrived; must not be written to."""
    storage = operand.storage
    if storage.cotangent is None:
        return None
    if covers(operand.window, storage.host):
        return storage.cotangent
    g = region(operand)
    return -g if _imaginary(storage, operand.window) else g.copy()


def hand_out(operand: Array) -> Any:
    """As `take`, when the sweep is done: an array that nobody else refers to, unless it is an `Array`."""
    g = take(operand)
    if type(g) is np.ndarray and operand.storage.cell[HELD] <= 0:
        return g.copy(order="K")  # perhaps another operand's as well, or a broadcast
    return g


def region(target: Array) -> Any:
    """The part that belongs to `target` of the cotangent of its storage, of which there is one; to be written in place.

    (Of the imaginary parts of a complex buffer the sign is the opposite, see `_imaginary`.)
    """
    _own(target.storage, like=target.storage.cotangent)
    return _region(target)


def cut(target: Array, index: Any) -> Any:
    """Take the cotangent of ``target[index]`` (all of it if `index` is None) out of the buffer, leaving zero."""
    storage = target.storage
    if index is None and covers(target.window, storage.host):
        g = storage.cotangent
        storage.cotangent = None
        return g
    _own(storage, like=storage.cotangent)
    region = _region(target)
    sign = -1 if _imaginary(storage, target.window) else 1
    if index is None:
        g = region.copy() if sign == 1 else -region
        region[...] = 0
        return g
    g = region[index] if sign == 1 else -region[index]
    last = _last_writers(target.window.shape, index)
    if last is not None:
        g = g * last
    region[index] = 0
    return g


def gather(target: Array, index: Any, g: Any) -> bool:
    """Add `g` to the cotangent of ``target[index]``, an index of arrays; False if that is not simply done in place."""
    storage, view = target.storage, target.window
    if storage.host.dtype.kind == "c" or (target.path is None and _may_overlap(view)):
        return False
    if view.size:
        _own(storage, like=g)
        part = _region(target)
        if type(part) is not np.ndarray:
            return False
        if repeats(view.shape, index):
            np.add.at(part, index, g)
        else:
            part[index] += g
    return True


def add_outer(target: Array, u: np.ndarray, v: np.ndarray) -> bool:
    """Add ``u[:, None] * v`` to the cotangent of a large matrix, by parts that stay in the cache; False if not so."""
    storage, view = target.storage, target.window
    if (
        view.ndim != 2
        or view.size < _LARGE
        or not view.dtype is u.dtype is v.dtype is storage.host.dtype
        or (target.path is None and _may_overlap(view))
    ):
        return False
    _own(storage, like=u)
    part = _region(target)
    if type(part) is not np.ndarray:
        return False
    step = max(_LARGE // 2 // view.shape[1], 1)
    column = u[:, None]
    for i in range(0, view.shape[0], step):
        some = part[i : i + step]
        np.add(some, column[i : i + step] * v, some)
    return True


# From this many elements on, what passes through memory decides.
_LARGE = 1 << 15


def repeats(shape: tuple[int, ...], index: Any) -> bool:
    """Whether an index of arrays may name an element twice; for many elements it is not looked at, and may."""
    parts = index if isinstance(index, tuple) else (index,)
    arrays = [np.asarray(p) if isinstance(p, (list, np.ndarray)) else None for p in parts]
    if all(a is None or a.dtype == bool for a in arrays):
        return False
    if any(a is not None and a.dtype == bool for a in arrays):
        return True
    taken = sum(p is not None and p is not Ellipsis for p in parts)
    axis, places = 0, 0
    for part, array in zip(parts, arrays, strict=True):
        if part is None:
            continue
        if part is Ellipsis:
            axis += len(shape) - taken
            continue
        if array is not None:
            places = places * shape[axis] + array % max(shape[axis], 1)
        axis += 1
    if np.size(places) > 64:
        return True
    flat = np.ravel(places).tolist()
    return len(set(flat)) < len(flat)


def _last_writers(shape: tuple[int, ...], index: Any) -> np.ndarray | None:
    """Which elements of an indexed write survive where the index repeats: the last one of each place."""
    if not repeats(shape, index):
        return None
    place = np.zeros(shape, np.intp)
    order = np.arange(place[index].size).reshape(place[index].shape)
    place[index] = order
    return place[index] == order


def _imaginary(storage: Storage, view: np.ndarray) -> bool:
    """Whether `view` is of the imaginary parts of a complex buffer.

    Their cotangents carry the opposite sign in the buffer, because the cotangent of ``z = a + ib`` is
    ``dL/da - i dL/db`` (no conjugation in the rules).
    """
    host = storage.host
    if host.dtype.kind != "c" or view.dtype.kind == "c":
        return False
    offset = view.__array_interface__["data"][0] - host.__array_interface__["data"][0]
    return offset % host.itemsize != 0


def _own(storage: Storage, like: Any) -> None:
    """Make the cotangent a buffer of its own, zero or a copy, in the layout of the storage."""
    cell = storage.cell
    have = cell[COTANGENT]
    if have is not None and cell[HELD] == LAID_OUT and not cell[SHARED]:
        return
    host = storage.host
    contiguous = host.flags.c_contiguous
    if (
        contiguous
        and cell[HELD] > 0
        and type(have) is np.ndarray
        and have.base is None
        and have.flags.c_contiguous
    ):
        cell[HELD] = LAID_OUT
        return
    buffer: Any = _there(host, have, like) if contiguous else None
    if buffer is not None:
        cell[COTANGENT], cell[HELD] = buffer, LAID_OUT
        return
    if contiguous:
        buffer = np.zeros(host.shape, host.dtype) if have is None else np.empty(host.shape, host.dtype)
    else:
        low, high = bounds(host)
        raw = np.zeros(max(high - low, 1), np.uint8)
        buffer = np.ndarray(
            host.shape, host.dtype, raw, host.__array_interface__["data"][0] - low, host.strides
        )
    if (
        type(like) is Array
        or type(have) is Array
        or (storage.remote is not None and storage.remote.device is not None)
        or current_tape() is not None
    ):
        buffer = Array(buffer, Storage(buffer, storage.device))
    if have is not None:
        buffer[...] = have
    cell[COTANGENT], cell[HELD] = buffer, LAID_OUT


def _there(host: np.ndarray, have: Any, like: Any) -> Any:
    """A cotangent laid out as `host` on the device where what is added to it lives; None: it does not live on one."""
    known = have if type(have) is Array else like
    if type(known) is not Array or known.storage.handle is None or known.storage.shared or not host.ndim:
        return None
    if have is None:
        return device_calls.made_on(known.storage.device, "zeros", host.shape, host.dtype)
    if type(have) is not Array or have.shape != host.shape or have.dtype != host.dtype:
        return None
    found = have.copy()
    if type(found) is Array and found.storage.handle is not None and found.window.flags.c_contiguous:
        return found
    return None


def _region(operand: Array) -> Any:
    """The part of the (laid out) cotangent of its storage that `operand` covers."""
    storage, view = operand.storage, operand.window
    cotangent = storage.cell[COTANGENT]
    if operand.path is not None and type(cotangent) is np.ndarray:
        part: Any = cotangent
        for index in operand.path:
            part = part[index]
        if type(part) is np.ndarray:
            return part
    buffer = cotangent.storage.host if type(cotangent) is Array else cotangent
    if not view.size:  # its address may be anywhere
        part = np.zeros(view.shape, view.dtype)
        return Array(part, Storage(part)) if type(cotangent) is Array else part
    low, _ = bounds(storage.host)
    memory = buffer if buffer.base is None else buffer.base
    part = np.ndarray(view.shape, view.dtype, memory, view.__array_interface__["data"][0] - low, view.strides)
    return Array(part, cotangent.storage) if type(cotangent) is Array else part


def _add_into(region: Any, g: Any) -> None:
    """``region += g``, where several elements of `region` may be one place in memory (broadcast or windowed views)."""
    view = region.window if type(region) is Array else region
    repeated = tuple(
        i for i, (n, s) in enumerate(zip(view.shape, view.strides, strict=True)) if s == 0 and n > 1
    )
    if repeated:
        g = np.sum(g, axis=repeated, keepdims=True)
        region = region[tuple(slice(0, 1) if i in repeated else slice(None) for i in range(view.ndim))]
        view = region.window if type(region) is Array else region
    if not _may_overlap(view):
        region[...] = region + g
        return
    step = view.itemsize
    if any(stride % step for stride in view.strides):
        raise GradientError(
            "the gradient of overlapping windows with uneven steps is not available; copy the windows first"
        )
    # The elements of the memory that the windows lie on, and where in it each element of each window is.
    low, high = bounds(view)
    first = view[
        tuple(
            slice(n - 1, n) if s < 0 else slice(0, 1) for n, s in zip(view.shape, view.strides, strict=True)
        )
    ]
    flat: Any = as_strided(first, ((high - low) // step,), (step,))
    places = np.zeros(view.shape, np.intp)
    for axis, (n, stride) in enumerate(zip(view.shape, view.strides, strict=True)):
        line = np.arange(n) if stride >= 0 else np.arange(n) - (n - 1)
        places += (line * (stride // step)).reshape((-1,) + (1,) * (view.ndim - 1 - axis))
    if type(region) is Array:
        flat = Array(flat, region.storage)
    np.add.at(flat, places, g)


def _may_overlap(view: np.ndarray) -> bool:
    extent = view.itemsize
    for stride, n in sorted((abs(s), n) for s, n in zip(view.strides, view.shape, strict=True) if n > 1):
        if stride < extent:
            return True
        extent += stride * (n - 1)
    return False


def read(target: Array, index: Any) -> Any:
    """A copy of ``target[index]``; an `Array` where the copy must be recorded."""
    if current_tape() is None:
        return kept(target, index)
    return target.copy() if index is None else target[index]


def assign(target: Array, index: Any, value: Any) -> None:
    """``target[index] = value``, recorded if a tape is open."""
    write(target, index, value)
