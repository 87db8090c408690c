"""A function that is one operation on the tape: what the ways to give it derivative rules have in common.

The function itself runs on plain arrays and is not recorded. Its rules run on whatever the derivative is taken of:
plain arrays, or, for derivatives of higher order, values on the tapes around.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from sys import getrefcount
from typing import Any

import numpy as np

from minpy.autodiff import calls, trees
from minpy.errors import GradientError, TraceError
from minpy.runtime import cotangents, device_calls, entry
from minpy.runtime.array import Array
from minpy.runtime.primitives.table import Primitive, Scalar
from minpy.runtime.record import Line, Record, Short, innermost, line_of, tape_of, user_frame
from minpy.runtime.storage import BORROWED, COTANGENT, HELD, NEEDED, OWN, Storage
from minpy.runtime.tape import Tape


class Call:
    """One call of a custom function: its structure, apart from the arrays that are differentiated."""

    __slots__ = ("arguments", "code", "flat", "instruction", "outs", "residuals", "result")

    def __init__(self, arguments: tuple[tuple, dict], flat: bool = False) -> None:
        self.arguments = arguments
        self.flat = flat  # no containers, and no names, among the arguments
        frame = user_frame(sys._getframe(1))
        self.code, self.instruction = frame.f_code, frame.f_lasti
        self.residuals: Any = None
        self.result: Any = None
        self.outs: list[int] = []

    @property
    def line(self) -> Line:
        """Where in the program it is."""
        return line_of(self.code, self.instruction)

    def filled(self, leaves: Sequence[Any]) -> tuple[tuple, dict]:
        """The arguments with these arrays in the places of those that were differentiated."""
        parts = iter(leaves)

        def one(leaf: Any) -> Any:
            if type(leaf) is not Array:
                return leaf
            return _in_place_of(leaf, next(parts))

        args, kwargs = self.arguments
        return tuple(trees.transform(one, a) for a in args), {
            k: trees.transform(one, v) for k, v in kwargs.items()
        }

    def like_result(self, parts: Sequence[Any]) -> Any:
        """A tree like the result with these values in the places of its floating-point arrays."""
        if type(self.result) is Array:
            return _in_place_of(self.result, parts[0])
        count = iter(range(len(parts)))

        def one(leaf: Any) -> Any:
            if type(leaf) is not Array:
                return leaf
            return _in_place_of(leaf, parts[next(count)])

        return trees.transform(one, self.result)


def _in_place_of(leaf: Array, part: Any) -> Any:
    """A value in the place of `leaf`: a number, if that stands for one."""
    return part[()] if leaf.scalar and type(part) is np.ndarray else part


class Operation:
    """What the three kinds share: a function that is one operation on the tape.

    Attributes
    ----------
    stays : bool
        Whether arrays that live on a device are given to the function, and to its rules, as such. It must then work
        by routed functions alone, as the library's layers do. Else it gets plain arrays.
    joins : callable or None
        ``joins(tape, call, g)`` may do a call's part of the sweep together with that of the call whose record is the
        last on the tape, which it takes off: then it gives the differentiated arrays of both, but for the result of the
        one that is an argument of the other, and their cotangents. Else None.
    """

    stays = False
    joins: Callable[[Tape, Call, np.ndarray], tuple[Sequence[Array], list[Any]] | None] | None = None

    def __init__(self, fun: Callable[..., Any]) -> None:
        if not callable(fun):
            raise GradientError(f"{type(self).__name__} takes a function, not {trees.summary(fun)}")
        self._fun = fun
        functools.update_wrapper(self, fun, updated=())
        self._row = Primitive(
            calls.name_of(fun), fun, vjp=lambda i: self._cotangents if i == 0 else None, jvp=self._tangents
        )

    @property
    def row(self) -> Primitive:
        """What a record of a call has as its primitive."""
        return self._row

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        flat = not kwargs and trees.is_flat(args)
        leaves = [each for each in args if type(each) is Array] if flat else trees.arrays_in((args, kwargs))
        tape = innermost(leaves)
        if tape is None:
            return self._fun(*args, **kwargs)
        self._check_rules()
        if flat and not entry.others:
            call = Call((args, kwargs), flat=True)
            plain = tuple([_plain(each) if type(each) is Array else each for each in args])
            result = self._value(call, plain, kwargs)
            number = type(result) in _NUMBERS
            if tape.put is None or not (number or (type(result) is np.ndarray and result.dtype.kind in "fc")):
                return self._recorded(tape, call, leaves, result, False, [])
            value = np.asarray(result) if number else result
            call.result = found = _traced(tape, value, leaves, number)
            self._note(tape, call, leaves, found)
            return found
        # Copies of the containers: the program may change its own.
        call = Call(trees.transform(_itself, (args, kwargs)))
        stays = self.stays and entry.others > 0
        if stays:
            untaped = [_there(leaf) if _is_far(leaf) else _read_only(leaf) for leaf in leaves]
            kept = device_calls.keeps_scalars.set(True)
            try:
                result = self._value(call, *call.filled(untaped))
            finally:
                device_calls.keeps_scalars.reset(kept)
        else:
            untaped = []
            result = self._value(call, *call.filled([_read_only(leaf) for leaf in leaves]))
        return self._recorded(tape, call, leaves, result, stays, untaped)

    def _recorded(
        self, tape: Tape, call: Call, leaves: list[Array], result: Any, stays: bool, untaped: list[Any]
    ) -> Any:
        """The result as it goes on on the tape; see `stays`."""
        outs: list[Array] = []

        def out(leaf: Any) -> Any:
            if type(leaf) is Array and tape_of(leaf.storage) is not None:
                raise TraceError(
                    f"{calls.name_of(self._fun)} has derivative rules of its own and uses a value that is "
                    "being differentiated, "
                    f"but is not an argument, at {call.line}. Pass it as an argument"
                )
            if isinstance(leaf, (float, complex)) or (
                isinstance(leaf, (np.ndarray, np.generic, Array)) and leaf.dtype.kind in "fc"
            ):
                scalar = not isinstance(leaf, np.ndarray)
                if stays and type(leaf) is Array and (_is_far(leaf) or _is_far_scalar(leaf)):
                    traced = _shared(
                        leaf, any(leaf.storage is each.storage for each in untaped if type(each) is Array)
                    )
                    traced.storage.tape = tape
                    outs.append(traced)
                    return traced
                value = np.asarray(leaf.contents if type(leaf) is Array else leaf)
                outs.append(traced := _traced(tape, value, leaves, scalar))
                return traced
            return leaf

        if type(result) is np.ndarray and result.dtype.kind in "fc":
            call.result = found = _traced(tape, result, leaves, False)
            outs.append(found)
        else:
            call.result = trees.transform(out, result)
            found = trees.transform(_itself, call.result)
        if len(outs) == 1 and outs[0] is call.result and tape.put is not None and not entry.others:
            self._note(tape, call, leaves, call.result)
        elif outs:
            tape.append(Record(self._row, (leaves, call), {}, tuple(outs), call.code, call.instruction))
        return found

    def put(self, tape: Tape, args: tuple, result: Array) -> Call:
        """The record of a call whose result is there already, or pending; on the tape, which is the only one."""
        call = Call((args, {}), trees.is_flat(args))
        call.result = result
        result.storage.tape = tape
        self._note(tape, call, trees.arrays_in((args, {})), result)
        return call

    def call_of(self, result: Array, back: int = 1) -> Call | None:
        """The call that gave `result`, if it was put onto the only tape so many records ago; else None."""
        tape = result.storage.tape
        return None if tape is None or not tape.open else self.last_call(tape, result, back)

    def last_call(self, tape: Tape, result: Array, back: int = 1) -> Call | None:
        """The same for a tape that may be closed: that of a sweep."""
        if tape.put is None or len(tape.records) < back:
            return None
        record = tape.records[-back]
        if type(record) is not tuple or record[0] is not _pull or record[4] is not result:
            return None
        return record[3] if record[5] is self else None

    def _note(self, tape: Tape, call: Call, leaves: list[Array], result: Array) -> None:
        """The record of a call with one result, in short, on a tape that is the only one and has one sweep."""
        tape.replays = True
        for leaf in leaves:
            (leaf._storage or leaf.storage).cell[NEEDED] = True
        cell = result.storage.cell
        cell[NEEDED] = True
        record = _pull, cell, tuple(leaves), call, result, self, self._row, call.code, call.instruction
        tape.put.append(record)

    # ----- what the tape asks for

    def _value(self, call: Call, args: tuple, kwargs: dict) -> Any:
        return self._fun(*args, **kwargs)

    def _check_rules(self) -> None:
        raise NotImplementedError

    def _cotangents(self, g: Any, ans: Any, leaves: list, call: Call) -> list[Any]:
        """The cotangents of the differentiated arrays."""
        raise NotImplementedError

    def _plain_cotangents(self, g: np.ndarray, ans: np.ndarray, leaves: list, call: Call) -> list[Any]:
        """The same for one result, where all arrays are plain."""
        return self._cotangents([g], [ans], leaves, call)

    def _tangents(self, tangents: tuple, ans: Any, leaves: list, call: Call) -> list[Any]:
        """The tangents of the results, from the tangents of the differentiated arrays."""
        raise NotImplementedError

    def _backwards(self, push: Callable[[list], list], g: Any, leaves: list) -> list[Any]:
        """Cotangents from a rule for tangents, which is linear in them: its transpose."""
        return _transposed(push, leaves, g)

    def _forwards(self, pull: Callable[[list], list], tangents: list, ans: Any) -> list[Any]:
        """Tangents from a rule for cotangents, which is linear in them: its transpose."""
        return _transposed(pull, ans, tangents)

    def _fitted(self, d: Any, leaf: Any, what: str, call: Call) -> Any:
        """What a rule returned, checked against the array it belongs to."""
        if d is None:
            return None
        if not isinstance(d, (np.ndarray, np.generic, int, float, complex)):
            raise GradientError(
                f"the rule of {self._row.name} returned a {type(d).__name__} as {what}, not an array. The "
                f"call was at {call.line}"
            )
        shape, dtype = np.shape(leaf), leaf.dtype
        if np.shape(d) != shape:
            raise GradientError(
                f"the rule of {self._row.name} returned {what} of shape {np.shape(d)}, but it must have the "
                f"shape {shape}. "
                f"The call was at {call.line}"
            )
        return cotangents.fit(d, shape, dtype)

    def _by_argument(self, found: dict[Any, Any], call: Call, leaves: list) -> list[Any]:
        """Cotangents by argument as the list of those of the differentiated arrays."""
        args, kwargs = call.arguments
        rest = iter(leaves)
        collected = []
        for key, value in [*enumerate(args), *kwargs.items()]:
            if type(value) is Array and type(part := found.get(key)) is np.ndarray:
                collected.append(self._fitted(part, next(rest), f"a cotangent of argument {key!r}", call))
                continue
            inside = trees.leaves(value)
            place = f"argument {key!r}"
            parts: list[Any] = [None] * len(inside)
            if found.get(key) is not None:
                parts = calls.same_structure(
                    found[key], value, f"the cotangent of {place} from the rule of {self._row.name}"
                )
            for leaf, part in zip(inside, parts, strict=True):
                if type(leaf) is Array:
                    collected.append(self._fitted(part, next(rest), f"a cotangent of {place}", call))
        return collected


_NUMBERS = frozenset((np.float64, np.float32))


def _pull(tape: Tape, record: Short) -> None:
    """The part of the sweep of a call that `Operation._note` put down; see `minpy.runtime.pull`."""
    _, cell, leaves, call, result, operation, row, code, instruction = record
    g = cell[COTANGENT]
    if g is None:
        return
    values: list[Any] | None = []
    for leaf in leaves:
        storage = leaf._storage or leaf.storage
        if storage.remote is not None or (storage.tape is not tape and storage.tape is not None):
            values = None
            break
        values.append(leaf.window)
    if values is None or entry.others or type(g) is not np.ndarray or result.storage.remote is not None:
        tape.pull(Record(row, (list(leaves), call), {}, (result,), code, instruction))
        return
    cell[COTANGENT] = None
    try:
        joined = None if operation.joins is None else operation.joins(tape, call, g)
        if joined is None:
            found = operation._plain_cotangents(g, result.window, values, call)
        else:
            leaves, found = joined
        for i, leaf in enumerate(leaves):
            d, found[i] = found[i], None
            storage = leaf._storage
            if d is None or storage.tape is None or not leaf.window.size:
                continue
            # What the rule made, and nothing else refers to, may be written to.
            held = OWN if type(d) is np.ndarray and d.base is None and getrefcount(d) == 2 else BORROWED
            handle = storage.cell
            if handle[COTANGENT] is None and leaf.window is storage.host and type(d) is np.ndarray:
                handle[COTANGENT], handle[HELD] = d, held
                tape.touched.add(storage)
            else:
                cotangents.accumulate(tape, leaf, d, tape.touched, held)
    except Exception as error:
        whole = Record(row, (list(leaves), call), {}, (result,), code, instruction)
        raise whole.failed(0, error) from error


def _read_only(leaf: Array) -> Any:
    # The function works on the memory itself, and must not write to it behind the tape's back.
    view = leaf.contents.view()
    view.setflags(write=False)
    return view


def _traced(tape: Tape, value: np.ndarray, leaves: list[Array], scalar: bool) -> Array:
    """A result on the tape, whose memory is not an operand's."""
    own = value.base is None and value.flags.owndata
    for operand in leaves:
        host = operand.storage.host
        if own and host.base is None and host is not value and host.flags.owndata:
            continue  # two arrays with memory of their own
        if np.may_share_memory(value, host):
            value = value.copy()
            break
    storage = Storage(value)
    storage.tape = tape
    return Array(value, storage, scalar)


def _plain(leaf: Array) -> Any:
    view = _read_only(leaf)
    return view[()] if leaf.scalar else view


def _is_far(array: Array) -> bool:
    storage = array.storage
    return bool(
        array.window.ndim
        and storage.handle is not None
        and not storage.shared
        and storage.device is device_calls.wanted_device()
        and storage.device.broken is None
    )


def _is_far_scalar(array: Array) -> bool:
    # (One that the function made: what it was given as a number is one.)
    storage = array.storage
    return bool(array.scalar is True and storage.handle is not None and storage.device.broken is None)


def _there(leaf: Array) -> Array:
    """The leaf as an array of no tape; both share the device's memory, so who writes first gets memory of his own."""
    leaf.storage.remote.lent = True
    return _shared(leaf, False)


def _shared(array: Array, copied: bool) -> Array:
    device, handle = array.storage.device, device_calls.handle_of(array.storage.device, array)
    if array.scalar:
        return device_calls.adopt(device, Scalar(handle))
    made = device_calls.adopt(device, device.copy(handle) if copied else handle)
    made.storage.remote.lent = not copied
    return made


def _transposed(rule: Callable[[list], list], likes: Any, given: Any) -> list[Any]:
    """The transpose of a linear `rule` of arrays like `likes`, applied to `given`; None in `given` is zero."""
    tape = Tape()
    inputs = [_zero(tape, like) for like in likes]
    with tape, np.errstate(all="ignore"):
        found = rule(inputs)
    seeds = [
        (part, d)
        for part, d in zip(found, given, strict=True)
        if type(part) is Array and tape.watches(part.storage) and d is not None
    ]
    return tape.sweep(seeds, inputs)


def _zero(tape: Tape, like: Any) -> Array:
    value = np.zeros(np.shape(like), like.dtype)
    zero = Array(value, Storage(value))
    if value.dtype.kind in "fc":
        zero.storage.tape = tape
    return zero


def _itself(leaf: Any) -> Any:
    return leaf


def _is_float(leaf: Any) -> bool:
    return isinstance(leaf, (float, complex)) or (
        isinstance(leaf, (np.ndarray, np.generic, Array)) and leaf.dtype.kind in "fc"
    )


def tangent_arguments(call: Call, tangents: list, leaves: list, zeros: bool = False) -> dict[Any, Any]:
    """The tangents as arguments, by position and name; None (or zeros) for an argument without one."""
    args, kwargs = call.arguments
    rest = iter(zip(tangents, leaves, strict=True))
    moved: dict[Any, Any] = {}
    for key, value in [*enumerate(args), *kwargs.items()]:
        any_here = []

        def one(leaf: Any, any_here: list = any_here) -> Any:
            if type(leaf) is not Array:
                return (np.zeros_like(leaf) if _is_float(leaf) else None) if zeros else None
            tangent, array = next(rest)
            any_here.append(tangent is not None)
            if tangent is None:
                return np.zeros(np.shape(array), array.dtype)
            return tangent[()] if leaf.scalar and type(tangent) is np.ndarray else tangent

        tree = trees.transform(one, value)
        moved[key] = tree if zeros or any(any_here) else None
    return moved


def result_leaves(custom: Operation, tangent: Any, ans: Any, call: Call) -> list[Any]:
    what = f"the tangent of the result from the rule of {custom._row.name}"
    leaves = trees.leaves(call.result)
    parts = [None] * len(leaves) if tangent is None else calls.same_structure(tangent, call.result, what)
    outs = iter(ans)
    return [
        custom._fitted(part, next(outs), "a tangent of the result", call)
        for leaf, part in zip(leaves, parts, strict=True)
        if type(leaf) is Array
    ]
