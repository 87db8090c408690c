"""Forward mode: tangents of storages, along a running program (`TangentTape`) or along records (`Tangents`).

* One tangent per storage, laid out as the storage: views alias, a write writes the tangent's region.
* The tangent of an operation is its row's `jvp`, if there is one. For an element-wise row it is its `vjp`
  rule applied to the tangent (the
  Jacobian is diagonal). For every other row the `vjp` rule, which is linear in the cotangent and written in
  NumPy, is run on a tape of its own and the tangent is pulled back through it: the transpose of the
  transpose.
* While tangents are computed, the tape they belong to and those inside it do not record; those around it do.
  So modes nest, in any order.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from weakref import WeakSet, ref

import numpy as np

from minpy.errors import GradientError, NanError
from minpy.runtime import cotangents, entry, fast
from minpy.runtime.array import Array
from minpy.runtime.geometry import bounds, covers
from minpy.runtime.primitives import forward
from minpy.runtime.primitives.table import Primitive
from minpy.runtime.record import Record, Short, Write, current_tape, open_tape
from minpy.runtime.storage import Storage
from minpy.runtime.tape import Tape


@contextmanager
def closed(upto: Any) -> Iterator[None]:
    """Let neither `upto` nor a tape inside it record; those around it go on."""
    shut = []
    tape = open_tape.get()
    while tape is not None:
        if tape.open:
            shut.append(tape)
            tape.open = False
        if tape is upto:
            break
        tape = tape.outer
    try:
        yield
    finally:
        for tape in shut:
            tape.open = True


class _Tangent:
    """The tangent of one storage.

    `owned` if it is a buffer of its own in the storage's layout, which may be written in place. `storage` is
    a weak reference that removes the tangent when the storage is gone.
    """

    __slots__ = ("owned", "storage", "value")

    def __init__(self, value: Any, owned: bool, storage: Any) -> None:
        self.value, self.owned, self.storage = value, owned, storage


class Tangents:
    """The tangents of storages; a storage that is not known has none (zero)."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        forward.fill()
        # By the id of the storage. A tangent lives as long as its storage, so forward mode keeps no history.
        self._known: dict[int, _Tangent] = {}

    def _set(self, storage: Storage, value: Any, owned: bool) -> None:
        known, key = self._known, id(storage)
        found = known.get(key)
        if found is not None:
            found.value, found.owned = value, owned
        else:
            known[key] = _Tangent(value, owned, ref(storage, partial(known.pop, key)))

    def get(self, array: Array) -> Any:
        """The tangent of `array`, None if it has none; not to be written to."""
        found = self._known.get(id(array.storage))
        if found is None or not array.window.size:
            return None
        if not found.owned:
            if covers(array.window, array.storage.host):
                return found.value
            self._own(array.storage)
        return _region(found.value, array.storage.host, array.window).copy()

    def put(self, array: Array, tangent: Any) -> None:
        """Give `array` a tangent of its shape and dtype, which is kept, not copied, where it can be; None is zero."""
        storage = array.storage
        whole = covers(array.window, storage.host)
        if tangent is None:
            if id(storage) not in self._known:
                return
            if whole:
                del self._known[id(storage)]
                return
            tangent = np.zeros((), array.dtype)
        if whole:
            self._set(storage, tangent, False)
        else:
            self._assign(array, None, tangent)

    def record(self, record: Record | Short) -> None:
        """Compute the tangents of an operation's results."""
        record = Record.full(record)
        if record.primitive.bare is not None and entry.checker is None and self._short(record):
            return
        args = record.args
        tangents = [self._of(operand) for operand in args]
        if all(t is None for t in tangents):
            return
        result = record.result
        many = type(result) is not Array
        if not any(out.window.size for out in (result if many else (result,))):
            return
        if entry.checker is None:
            found = _push(record, tangents, many)
        else:
            found = entry.checker.pushed(record, tangents, lambda: _push(record, tangents, many))
        for out, tangent in zip(result, found, strict=True) if many else ((result, found),):
            if tangent is not None and out.window.dtype.kind in "fc":
                self.put(out, cotangents.fit(tangent, out.shape, out.dtype))

    def _short(self, record: Record) -> bool:
        """`record` for an element-wise operation on the host that no tape around records; False if it is anything else.

        A short cut, as those of `minpy.runtime.fast` and `pull`.
        """
        result, known = record.result, self._known
        if record.kwargs or result.window is not result.storage.host or current_tape() is not None:
            return False
        values, moving = [], []
        for i, operand in enumerate(record.args):
            if type(operand) is Array:
                storage = operand.storage
                if storage.device is not None:
                    return False
                values.append(operand.window)
                found = known.get(id(storage))
                if found is not None and operand.window.size:
                    whole = not found.owned and operand.window is storage.host
                    moving.append((i, found.value if whole else self.get(operand)))
            elif type(operand) in fast.PLAIN:
                values.append(operand)
            else:
                return False
        rules, ans = record.primitive.bare, result.window
        total = None
        for i, tangent in moving:
            rule = rules[i]  # type: ignore[index]
            if rule is None or type(tangent) is Array:
                return False
            if tangent.shape != ans.shape:
                tangent = np.broadcast_to(tangent, ans.shape)
            try:
                part = rule(tangent, ans, *values)
            except Exception as error:
                raise _failed(record, error) from error
            if part is not None:
                total = part if total is None else total + part
        if total is not None:
            if type(total) is not np.ndarray or total.shape != ans.shape or total.dtype != ans.dtype:
                total = cotangents.fit(total, ans.shape, ans.dtype)
            self._set(result.storage, total, False)
        return True

    def write(self, write: Write) -> None:
        """Do to the tangent what a write did to the storage."""
        value = write.value
        tangent = self.get(value) if type(value) is Array else None
        if tangent is None:
            if id(write.target.storage) not in self._known:
                return
            tangent = 0
        self._assign(write.target, write.index, tangent)

    def _of(self, operand: Any) -> Any:
        if type(operand) is Array:
            return self.get(operand)
        if type(operand) in (list, tuple):
            inner = [self._of(o) for o in operand]
            return inner if any(t is not None for t in inner) else None
        return None

    def _assign(self, target: Array, index: Any, value: Any) -> None:
        storage = target.storage
        if type(value) is Array and value.dtype.kind == "c" != target.dtype.kind:
            value = value.real
        elif isinstance(value, np.ndarray) and value.dtype.kind == "c" != target.dtype.kind:
            value = value.real
        self._own(storage)
        region = _region(self._known[id(storage)].value, storage.host, target.window)
        region[... if index is None else index] = value

    def _own(self, storage: Storage) -> None:
        """Make the tangent of `storage` a buffer of its own, a copy or zero, in the layout of the storage."""
        found = self._known.get(id(storage))
        if found is not None and found.owned:
            return
        host = storage.host
        low, high = bounds(host)
        raw = np.zeros(max(high - low, 1), np.uint8)
        buffer: Any = np.ndarray(
            host.shape, host.dtype, raw, host.__array_interface__["data"][0] - low, host.strides
        )
        if (
            storage.device is not None
            or current_tape() is not None
            or (found is not None and type(found.value) is Array)
        ):
            buffer = Array(buffer, Storage(buffer, storage.device))
        if found is None:
            self._set(storage, buffer, True)
        else:
            buffer[...] = found.value
            found.value, found.owned = buffer, True


def _region(buffer: Any, host: np.ndarray, view: np.ndarray) -> Any:
    """The part of a tangent's own buffer that `view` covers of the storage's memory `host`."""
    memory = buffer.storage.host if type(buffer) is Array else buffer
    if not view.size:  # its address may be anywhere
        part = np.zeros(view.shape, view.dtype)
        return Array(part, Storage(part)) if type(buffer) is Array else part
    low, _ = bounds(host)
    part = np.ndarray(
        view.shape, view.dtype, memory.base, view.__array_interface__["data"][0] - low, view.strides
    )
    return Array(part, buffer.storage) if type(buffer) is Array else part


# ----- one operation ----------------------------------------------------------------------------------------


def _push(record: Record, tangents: list, many: bool) -> Any:
    primitive = record.primitive
    args, kwargs = cotangents.values(record.args), cotangents.values(record.kwargs)
    ans = cotangents.values(record.result)
    try:
        if primitive.jvp is not None:
            found = primitive.jvp(tuple(tangents), ans, *args, **kwargs)
            if found is not NotImplemented:
                return found
        if primitive.elementwise and not many:
            return _diagonal(record, tangents, ans, args, kwargs)
        return _transposed(record, tangents, ans, args, kwargs)
    except Exception as error:
        if isinstance(error, (GradientError, NanError)):
            raise
        raise _failed(record, error) from error


def _failed(record: Record, error: Exception) -> GradientError:
    shapes = ", ".join(f"{np.shape(a)} {getattr(a, 'dtype', type(a).__name__)}" for a in record.args)
    return GradientError(
        f"the tangent of {record.primitive.name}({shapes}) failed: {type(error).__name__}: {error}. "
        f"The operation ran at {record.line}"
    )


def _rule(record: Record, i: int) -> Any:
    """The rule of argument `i`; None where the result depends on it piecewise constantly."""
    primitive: Primitive = record.primitive
    rule = primitive.rule(i)
    if rule is None and not primitive.flat:
        raise GradientError(
            f"{primitive.name} has no derivative rule for argument {i}. It ran at {record.line}. "
            "Use minpy.stop_gradient on the operand if no gradient should flow"
        )
    return rule


def _diagonal(record: Record, tangents: list, ans: Any, args: tuple, kwargs: dict) -> Any:
    shape, dtype = np.shape(ans), record.result.dtype
    total = None
    for i, tangent in enumerate(tangents):
        rule = _rule(record, i) if tangent is not None else None
        if rule is None:
            continue
        if type(tangent) is list:  # a list among the operands, which NumPy makes an array
            tangent = _filled(tangent, args[i])
        if np.shape(tangent) != shape:
            tangent = np.broadcast_to(tangent, shape)
        with np.errstate(all="ignore"):
            part = rule(tangent, ans, *args, **kwargs)
        if part is None:
            continue
        part = cotangents.fit(part, shape, dtype)
        total = part if total is None else total + part
    return total


def _filled(tangents: list, like: Any) -> Any:
    return np.stack([np.zeros(np.shape(a)) if t is None else t for t, a in zip(tangents, like, strict=True)])


def _transposed(record: Record, tangents: list, ans: Any, args: tuple, kwargs: dict) -> Any:
    result = record.result
    many = type(result) is not Array
    outs = result if many else (result,)
    tape = Tape()
    inputs = []
    for out in outs:
        # The rule is linear, so where it is taken does not matter; zero makes no overflows.
        zero = np.zeros(out.shape, out.dtype)
        held = Array(zero, Storage(zero, out.storage.device))
        if out.dtype.kind in "fc":
            held.storage.tape = tape
        inputs.append(held)
    seeds: list[tuple[Any, Any]] = []
    with tape, np.errstate(all="ignore"):
        for i, tangent in enumerate(tangents):
            rule = _rule(record, i) if tangent is not None else None
            if rule is not None:
                d = rule(inputs if many else inputs[0], ans, *args, **kwargs)
                _seed(tape, record.args[i], d, tangent, seeds)
    with np.errstate(all="ignore"):
        found = tape.sweep(seeds, inputs)
    return found if many else found[0]


def _seed(tape: Tape, operand: Any, d: Any, tangent: Any, seeds: list) -> None:
    if d is None or tangent is None:
        return
    if type(operand) is not Array:
        for o, part, t in zip(operand, d, tangent, strict=True):
            _seed(tape, o, part, t, seeds)
        return
    d = cotangents.fit(d, operand.shape, operand.dtype)
    if type(d) is Array and tape.watches(d.storage):
        seeds.append((d, tangent))


# ----- the tape of a run ------------------------------------------------------------------------------------


class TangentTape:
    """Computes tangents while the program runs. For dispatch and arrays it is a tape; it keeps no records."""

    __slots__ = ("_token", "depth", "open", "outer", "tangents", "written")
    records: tuple = ()

    def __init__(self) -> None:
        self.outer = current_tape()
        self.depth = self.outer.depth + 1 if self.outer is not None else 0
        self.open = False
        self.tangents = Tangents()
        # Storages that were written: a verb brings what an argument was given to its caller.
        self.written: WeakSet[Storage] = WeakSet()

    def __enter__(self) -> TangentTape:
        entry.activate(tape=True)
        self.open = True
        self._token = open_tape.set(self)  # type: ignore[arg-type]
        return self

    def __exit__(self, *exc: object) -> None:
        self.open = False
        open_tape.reset(self._token)
        self._token = None
        entry.deactivate(tape=True)

    def append(self, record: Record | Write) -> None:
        """Record on the open tapes around this one, then compute the tangent."""
        if self.outer is not None:
            self.outer.append(record)
        if self.open:
            self.follow(record)

    def follow(self, record: Record | Write) -> None:
        """Compute the tangent of an operation or a write."""
        if open_tape.get() is self:
            # Nothing inside to be closed: the common case.
            was, self.open = self.open, False
            try:
                self._do(record)
            finally:
                self.open = was
            return
        with closed(self):
            self._do(record)

    def _do(self, record: Record | Write) -> None:
        if type(record) is Write:
            self.written.add(record.target.storage)
            self.tangents.write(record)
        else:
            self.tangents.record(record)

    def note_write(self, storage: Storage) -> None:
        """Remember that `storage` was written."""
        self.written.add(storage)

    put = short = None  # every record comes whole, through `append`
    watches = Tape.watches
