"""Dispatch: every piece of array work passes here, with a primitive and its operands.

The order of the questions: is the result only another view? is there a device, and may and can it run this?
else NumPy runs it, with the reason why. Then the result is wrapped if it must be (on a device, or while a
tape records), and recorded if an operand is active.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minpy.errors import MinPyError, TraceError
from minpy.runtime import entry, precision, profile, small
from minpy.runtime.policy import current_policy
from minpy.runtime.primitives.table import Primitive, by_name
from minpy.runtime.record import Line, Record, current_tape, innermost, open_tape
from minpy.runtime.storage import NEEDED, PYTHON_SCALAR, WEAK, Storage

SMALL = "a 0-d or empty array: nothing for a device to do"


def apply(name: str, *args: Any, **kwargs: Any) -> Any:
    """Run the primitive called `name`."""
    return call(by_name[name], args, kwargs)


def call(primitive: Primitive, args: tuple, kwargs: dict) -> Any:
    """Run a primitive where it belongs, on the tape if it must be."""
    if primitive.elementwise and not kwargs and not entry.others:
        first = args[0] if args else None
        short = primitive.short
        if len(args) == 1:
            if short is not None and type(first) is Array:
                storage = first._storage
                if (storage is None or storage.remote is None) and type(short) is not tuple:
                    return short(first)
        elif type(short) is tuple and len(args) == 2:
            # (What NumPy makes of two Python numbers is no Python number, as the operators' result is.)
            if type(first) is Array:
                if type(first.scalar) is not int:
                    return short[0](first, args[1])
            elif type(args[1]) is Array and type(args[1].scalar) is not int:
                return short[1](args[1], first)
    if primitive.direct is not False and not entry.others:
        tape = open_tape.get()
        if tape is not None and tape.open and tape.put is not None:
            result = direct.run(tape, primitive, args, kwargs)
            if result is not direct.NOT_RUN:
                return result
    return call_long(primitive, args, kwargs)


def call_long(primitive: Primitive, args: tuple, kwargs: dict) -> Any:
    if entry.checker is not None and entry.checker.wants():
        return entry.checker.operation(primitive, args, kwargs)
    if entry.devices and not entry.watchers and small.is_small(args, kwargs):
        made = primitive.function(*args, **kwargs)
        return placed(made) if primitive.creates and not _is_for_here(made, None) else made
    if primitive.geometry and not primitive.creates:
        return primitive.function(*outline(args), **outline(kwargs))
    if len(args) > primitive.outs:
        args, kwargs = primitive.outputs(args, kwargs)
    if kwargs.get("out") is not None:
        return outputs.into(primitive, args, kwargs)
    if precision.forced is not None and not primitive.view:
        # (What narrows an array is no reason to narrow it.)
        first = args[:1] if primitive.name == "astype" else precision.narrow(args[:1])
        args, kwargs = (*first, *precision.narrow(args[1:])), precision.narrow(kwargs)
    if primitive.name in overwrites and current_tape() is not None:
        _log_overwritten(primitive, args, kwargs)
    operands: list[Array] = []
    collect(args, operands)
    if kwargs:
        collect(kwargs.values(), operands)
    if operands:
        if not args:
            args, kwargs = _leading(primitive, kwargs)
        if primitive.joins:
            args = _joined(args, primitive.joins)
        if args and type(args[0]) is Array:
            if primitive.writes is not None:
                return primitive.writes(*args, **kwargs)
            if primitive.view and (primitive.view is True or primitive.view(*args, **kwargs)):
                view = _view(primitive, args, kwargs)
                if view is not None:
                    return view
    source = innermost(operands) if operands else None
    if source is not None:
        if primitive.writes is not None:
            active = adoption.adopt(args[0]) if args else None
            if active is not None:
                return primitive.writes(active, *adoption.known(args[1:]), **kwargs)
            raise TraceError(
                "a value that is being differentiated would be written into a plain array by "
                f"{primitive.name}, at {Line()}. "
                "Make the array inside the differentiated function"
            )
        if primitive.compose is not None:
            found = _composed(primitive, args, kwargs)
            if found is not NotImplemented:
                return found
        if kwargs:
            args, kwargs = _positional(primitive, args, kwargs)
    if source is not None and primitive.elementwise:
        _refuse_where(primitive, kwargs)
    if primitive.part is not None and source is None and args and type(args[0]) is Array:
        found = _part(primitive, args, kwargs)
        if found is not NotImplemented:
            return found

    if entry.others:
        policy = current_policy()
        device = wanted_device(policy)
    else:
        policy = device = None
    recorders = profile.recorders
    start = profile.timer(recorders, device) if recorders else 0.0

    result, reason, backend = NOT_RUN, None, profile.NUMPY
    if device is not None:
        if not entry.watchers:
            small.alarm()
        result, reason = attempt(policy, device, primitive, args, kwargs)
        if result is not NOT_RUN:
            backend = device.backend
    tape = current_tape()
    if result is NOT_RUN:
        if not operands:
            plain = primitive.function(*args, **kwargs)
        elif primitive.geometry:
            plain = primitive.function(*outline(args), **outline(kwargs))
        else:
            # What a record keeps of it is marked when it is appended.
            plain = primitive.function(*host(args, False), **host(kwargs, False))
        if precision.forced is not None and primitive.creates:
            plain = precision.narrow(plain)
        alias = _alias(plain, operands) if operands else None
        if alias is not None:
            result, source = alias, None  # a view needs no record
        elif tape is None and (device is None or (policy.idle and _is_for_here(plain, reason))):
            result = plain
        else:
            result = _wrap(plain, device, source is not None, args)
            if device is not None:
                policy.made(device, result)
    elif source is None and not keeps_scalars.get():
        result = settle(result)
    if recorders:
        seconds = profile.timer(recorders, device) - start
        for recorder in recorders:
            recorder.operation(primitive.name, backend, seconds, reason)
            if recorder.timed:
                recorder.predict(primitive, args, kwargs, backend, device)
    if source is not None and not primitive.geometry:
        _record(source, primitive, args, kwargs, result)
    return result


# Functions that write into their first operand: always, or with this argument.
overwrites: dict[str, tuple[str, bool] | None] = {
    **dict.fromkeys(
        ("copyto", "put", "place", "putmask", "fill_diagonal", "put_along_axis", "random.shuffle")
    ),
    "nan_to_num": ("copy", False),
    **dict.fromkeys(
        ("median", "percentile", "quantile", "nanmedian", "nanpercentile", "nanquantile"),
        ("overwrite_input", True),
    ),
}


def _log_overwritten(primitive: Primitive, args: tuple, kwargs: dict) -> None:
    """Put on the tape what a function is about to overwrite in a plain array."""
    from minpy.runtime import stores

    condition = overwrites[primitive.name]
    if condition is not None:
        signature = primitive.signature()
        try:
            given = signature.bind(*args, **kwargs).arguments if signature is not None else kwargs
        except TypeError:
            return  # NumPy says what is wrong
        if bool(given.get(condition[0], not condition[1])) is not condition[1]:
            return
    if not args:
        args, _ = _leading(primitive, kwargs)
    if args:
        stores.log(args[0])


def _is_for_here(value: Any, reason: str | None) -> bool:
    """Whether `auto` will hardly send a result to the device: it is small, or all stays here for a while."""
    return type(value) is np.ndarray and (
        value.size <= small.few or (reason is not None and reason.startswith("MP110"))
    )


def placed(value: Any) -> Any:
    """A value that NumPy made out of nothing, so that a device which is in use needs one copy of it at most."""
    if type(value) is not np.ndarray:
        return value
    device = wanted_device()
    if device is None:
        return value
    small.alarm()
    return _wrap(value, device, False, ())


def collect(values: Any, found: list) -> None:
    """Append every `Array` in `values`, also inside lists and tuples, to `found`."""
    for value in values:
        kind = type(value)
        if kind is Array:
            found.append(value)
        elif kind is list or kind is tuple:
            collect(value, found)


def extent(args: tuple, kwargs: dict) -> tuple[int, bool]:
    """The number of elements of the largest operand, and whether an operand lives on a device already."""
    elements, resident = 1, False
    stack = [*args, *kwargs.values()]
    while stack:
        value = stack.pop()
        if type(value) is Array:
            elements = max(elements, value.size)
            resident = resident or value.storage.handle is not None
        elif isinstance(value, np.ndarray):
            elements = max(elements, value.size)
        elif type(value) in (list, tuple):
            stack.extend(value)
    return elements, resident


def outline(value: Any) -> Any:
    """`value` with every `Array` replaced by its geometry: shape, strides and dtype count, contents may be stale."""
    kind = type(value)
    if kind is Array:
        # NumPy's promotion looks at the value of what is 0-d.
        return value.window if value.window.ndim else host(value)
    if kind is tuple or kind is list:
        return kind([outline(v) for v in value])
    if kind is dict:
        return {key: outline(v) for key, v in value.items()}
    return value


# ----- results ------------------------------------------------------------------------------------


def _view(primitive: Primitive, args: tuple, kwargs: dict) -> Any:
    """The result as views of the first operand's storage, or None if NumPy would copy."""
    source = args[0]
    # Geometry only: the contents may be stale, and are not looked at if the result is a view.
    result = primitive.function(source.window, *host(args[1:]), **host(kwargs))
    parts = result if type(result) in (list, tuple) else [result]
    memory = source.storage.host
    found = False
    for part in parts:
        if type(part) is np.ndarray and (part is source.window or np.may_share_memory(part, memory)):
            found = True
        elif (
            type(part) is not np.ndarray or part.size
        ):  # an empty piece shares nothing, and is as good as a view
            return None
    if not found:
        return None
    if source.scalar and type(result) is np.ndarray and result.shape == ():
        same = result.dtype == source.window.dtype  # else the real or imaginary part of a complex number
        return source if same and source.scalar is not WEAK else Array(result, source.storage, scalar=True)
    views = [source if part is source.window else Array(part, source.storage) for part in parts]
    return type(result)(views) if type(result) in (list, tuple) else views[0]


def _part(primitive: Primitive, args: tuple, kwargs: dict) -> Any:
    """What is a copy of a part of an array that only a device has; NotImplemented if it is something else."""
    array = args[0]
    if array.storage.host_ok:
        return NotImplemented
    index = primitive.part(*args, **kwargs)
    if index is None:
        return NotImplemented
    found = array[index]
    return apply("copy", found, "C") if type(found) is Array else found


def _alias(result: Any, operands: list[Array]) -> Any:
    """NumPy's result as views of the operands' storages if it shares their memory (all parts of a list
    must), else None.

    Rows with `Primitive.view` are found out before anything is computed; this is for the calls that alias now and then
    (``nan_to_num(copy=False)``, ``einsum("ii->i")``, ``broadcast_arrays``).
    """
    if type(result) in (list, tuple):
        parts = [_alias(part, operands) for part in result]
        return type(result)(parts) if parts and all(part is not None for part in parts) else None
    if type(result) is not np.ndarray:
        return None
    for operand in operands:
        if result is operand.window:
            return operand
    if result.base is None or not result.size:
        return None
    for operand in operands:
        if not operand.scalar and np.may_share_memory(result, operand.storage.host):
            return Array(result, operand.storage)
    return None


def _wrap(value: Any, device: Any, traced: bool, args: tuple) -> Any:
    """A NumPy result as `Array`, where something must be remembered about it."""
    kind = type(value)
    if kind is np.ndarray:
        if value.dtype.kind not in "biufc" or _is_view_of(value, args):
            return value
        storage = Storage(value, device)
        storage.cell[NEEDED] = not value.flags.owndata
        return Array(value, storage)
    if traced and (kind is float or kind is complex):  # the functions of math and numpy.random
        boxed = np.asarray(value)
        return Array(boxed, Storage(boxed), scalar=PYTHON_SCALAR)
    if traced and isinstance(value, np.generic) and value.dtype.kind in "biufc":
        boxed = np.asarray(value)
        return Array(boxed, Storage(boxed), scalar=True)
    if kind in (list, tuple):
        return kind([_wrap(v, device, traced, args) for v in value])
    if isinstance(value, tuple):  # a named tuple such as linalg's results
        return kind(*[_wrap(v, device, traced, args) for v in value])
    return value


def _is_view_of(value: np.ndarray, args: tuple) -> bool:
    # A plain array, or a view of one, stays plain: both names must see later writes.
    return any(
        value is a
        or (
            value.base is not None
            and isinstance(a, np.ndarray)
            and type(a) is not Array
            and np.may_share_memory(value, a)
        )
        for a in args
    )


_DRAWN = (
    "NumPy draws integers, or rejects numbers until one fits: such samples do not move with the parameters. "
)


def _record(tape: Any, primitive: Primitive, args: tuple, kwargs: dict, result: Any) -> None:
    if primitive.flat:
        return
    if primitive.vjp is None and not (type(result) is Array and not result.window.size):
        raise TraceError(
            f"{primitive.name} has no derivative rule, and an operand is being differentiated, at {Line()}. "
            f"{_DRAWN if primitive.family == 'random' else ''}"
            "Use minpy.stop_gradient on the operand if no gradient should flow"
        )
    outs = result if isinstance(result, tuple) or type(result) is list else (result,)
    for out in outs:
        if type(out) is Array:
            # Integer results carry no gradient; the rest becomes active with the innermost operand.
            if out.window.dtype.kind in "fc":
                out.storage.tape = tape
        else:
            raise TraceError(
                f"{primitive.name} of a value that is being differentiated gave a {type(out).__name__}, at {Line()}"
            )
    tape.append(Record(primitive, args, kwargs, result))


def _composed(primitive: Primitive, args: tuple, kwargs: dict) -> Any:
    try:
        return primitive.compose(*args, **kwargs)
    except MinPyError:
        raise
    except Exception:
        primitive.function(*host(args), **host(kwargs))  # what NumPy refuses, it words itself
        raise


def _leading(primitive: Primitive, kwargs: dict) -> tuple[tuple, dict]:
    """Move a first operand given by keyword to its position, where views and writes look for it."""
    signature = primitive.signature()
    first = next(iter(signature.parameters), None) if signature is not None else None
    if first is None or first not in kwargs:
        return (), kwargs
    return (kwargs[first],), {k: v for k, v in kwargs.items() if k != first}


def _joined(args: tuple, count: int) -> tuple:
    """The arguments with lists that hold an `Array` made arrays, among the first `count`."""
    for i, arg in enumerate(args[:count]):
        if type(arg) in (list, tuple):
            inside: list[Array] = []
            collect(arg, inside)
            if inside:
                args = (*args[:i], apply("array", arg), *args[i + 1 :])
    return args


def _positional(primitive: Primitive, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    """Move arrays given by keyword to their positions, where the derivative rules are."""
    if not any(type(v) is Array or type(v) in (list, tuple) for v in kwargs.values()):
        return args, kwargs
    signature = primitive.signature()
    if signature is None:
        return args, kwargs
    names = [p.name for p in signature.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    last = max((i for i, n in enumerate(names) if type(kwargs.get(n)) is Array), default=-1)
    if last < len(args):
        return args, kwargs
    parameters = signature.parameters
    extra = []
    for name in names[len(args) : last + 1]:
        default = parameters[name].default
        extra.append(kwargs[name] if name in kwargs else default)
    rest = {k: v for k, v in kwargs.items() if k not in names[len(args) : last + 1]}
    return (*args, *extra), rest


def _refuse_where(primitive: Primitive, kwargs: dict) -> None:
    if "where" in kwargs and kwargs["where"] is not True:
        raise TraceError(
            f"{primitive.name}(…, where=…) without out= leaves elements undefined and cannot be "
            f"differentiated, at {Line()}. Use np.where"
        )


def on_device(name: str, *args: Any) -> Any:
    """Run a primitive if that is a device's work, on the tape if it must be; None, and nothing done, if it is not.

    For functions that have a way of their own on the host. A host that plays a device (MXNet's CPU) is none.
    """
    policy = current_policy()
    device = wanted_device(policy)
    if device is None or device.device_type == "cpu" or entry.checker is not None:
        return None
    if not entry.watchers and small.is_small(args, {}):
        return None
    primitive = by_name[name]
    if precision.forced is not None:
        args = precision.narrow(args)
    recorders = profile.recorders
    start = profile.timer(recorders, device) if recorders else 0.0
    result, reason = attempt(policy, device, primitive, args, {})
    ran = result is not NOT_RUN
    if recorders:
        seconds = profile.timer(recorders, device) - start
        for recorder in recorders:
            recorder.operation(name, device.backend if ran else profile.NUMPY, seconds, reason)
    if not ran:
        return None
    operands: list[Array] = []
    collect(args, operands)
    source = innermost(operands) if operands else None
    if source is not None:
        _record(source, primitive, args, {}, result)
    return result


# At the end: these modules need this one's functions, and this one their names.
from minpy.runtime import adoption, direct, outputs  # noqa: E402
from minpy.runtime.array import Array, host  # noqa: E402
from minpy.runtime.device_calls import NOT_RUN, attempt, keeps_scalars, settle, wanted_device  # noqa: E402
