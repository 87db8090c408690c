"""Dispatch: every piece of array work passes here, with a primitive and its operands.

The order of the questions: is the result only another view? is there a device, and may and can it run this? else NumPy runs it, with the
reason why. Then the result is wrapped if it must be (on a device, or while a tape records), and recorded if an operand is active.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from minpy.errors import MinPyError, TraceError
from minpy.runtime import entry, fast, precision, profile
from minpy.runtime.context import current_context
from minpy.runtime.policy import current_policy
from minpy.runtime.primitives.table import Primitive, Scalar, by_function, by_name, load
from minpy.runtime.record import Line, Record, current_tape, innermost
from minpy.runtime.storage import Storage

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
            if short is fast.unary and type(first) is Array and first.storage.device is None:
                return short(primitive, first)
        elif type(short) is tuple and len(args) == 2:
            if type(first) is Array:
                return short[0](first, args[1])
            if type(args[1]) is Array:
                return short[1](args[1], first)
    return _long(primitive, args, kwargs)


def _long(primitive: Primitive, args: tuple, kwargs: dict) -> Any:
    if primitive.geometry and not primitive.creates:
        return primitive.function(*outline(args), **outline(kwargs))
    if len(args) > primitive.outs:
        args, kwargs = primitive.outputs(args, kwargs)
    if kwargs.get("out") is not None:
        return _into(primitive, args, kwargs)
    if precision.forced is not None and not primitive.view:
        args, kwargs = precision.narrow(args), precision.narrow(kwargs)
    if primitive.name in _OVERWRITES and current_tape() is not None:
        _log_overwritten(primitive, args, kwargs)
    operands: list[Array] = []
    _collect(args, operands)
    if kwargs:
        _collect(kwargs.values(), operands)
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
            raise TraceError(
                f"a value that is being differentiated would be written into a plain array by {primitive.name}, at {Line()}. "
                "Make the array inside the differentiated function"
            )
        if primitive.compose is not None:
            return _composed(primitive, args, kwargs)
        if kwargs:
            args, kwargs = _positional(primitive, args, kwargs)
    if source is not None and primitive.elementwise:
        _refuse_where(primitive, kwargs)

    if entry.others:
        policy = current_policy()
        context = current_context()
        device = context.device() if policy.wants_device(context.is_host) else None
    else:
        policy = device = None
    recorders = profile.recorders
    start = profile.timer(recorders, device) if recorders else 0.0

    result, reason, backend = _NOT_RUN, None, profile.NUMPY
    if device is not None:
        reason = refusal(policy, device, primitive, args, kwargs)
        if reason is None:
            try:
                result = _run_on_device(device, primitive, args, kwargs)
                backend = profile.MXNET
            except Exception as error:
                reason = policy.failed(primitive, args, kwargs, error)
                if reason is None:
                    raise
    tape = current_tape()
    if result is _NOT_RUN:
        if not operands:
            plain = primitive.function(*args, **kwargs)
        elif primitive.geometry:
            plain = primitive.function(*outline(args), **outline(kwargs))
        else:
            plain = primitive.function(*host(args), **host(kwargs))
        if precision.forced is not None and primitive.creates:
            plain = precision.narrow(plain)
        alias = _alias(plain, operands) if operands else None
        if alias is not None:
            result, source = alias, None  # a view needs no record
        elif device is None and tape is None:
            result = plain
        else:
            result = _wrap(plain, device, source is not None, args)
    elif source is None:
        result = _settle(result)
    if recorders:
        seconds = profile.timer(recorders, device) - start
        for recorder in recorders:
            recorder.operation(primitive.name, backend, seconds, reason)
    if source is not None and not primitive.geometry:
        _record(source, primitive, args, kwargs, result)
    return result


# Functions that write into their first operand: always, or with this argument.
_OVERWRITES: dict[str, tuple[str, bool] | None] = {
    **dict.fromkeys(("copyto", "put", "place", "putmask", "fill_diagonal", "put_along_axis", "random.shuffle")),
    "nan_to_num": ("copy", False),
    **dict.fromkeys(
        ("median", "percentile", "quantile", "nanmedian", "nanpercentile", "nanquantile"), ("overwrite_input", True)
    ),
}


def _log_overwritten(primitive: Primitive, args: tuple, kwargs: dict) -> None:
    """Put on the tape what a function is about to overwrite in a plain array."""
    from minpy.runtime import stores

    condition = _OVERWRITES[primitive.name]
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


class _NotRun:
    pass


_NOT_RUN = _NotRun()


def refusal(policy: Any, device: Any, primitive: Primitive, args: tuple, kwargs: dict) -> str | None:
    """Why the device does not run this call under this policy; None if it does."""
    if type(primitive.mxnet) is str:
        reason: str | None = f"MP101 {primitive.mxnet}"
    else:
        reason = device.unsupported(primitive, args, kwargs)
    if reason is not None:
        if not reason.startswith("MP103"):  # a number or an empty array is no work that any device could do
            policy.unsupported(primitive, reason)
        return reason
    return policy.refuse(primitive, args, kwargs)


def _collect(values: Any, found: list) -> None:
    for value in values:
        kind = type(value)
        if kind is Array:
            found.append(value)
        elif kind is list or kind is tuple:
            _collect(value, found)


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


# ----- results --------------------------------------------------------------------------------------------------------------------


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
        return source if same else Array(result, source.storage, scalar=True)
    views = [source if part is source.window else Array(part, source.storage) for part in parts]
    return type(result)(views) if type(result) in (list, tuple) else views[0]


def _alias(result: Any, operands: list[Array]) -> Any:
    """NumPy's result as views of the operands' storages if it shares their memory (all parts of a list must), else None.

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
        return Array(value, Storage(value, device if traced or device is None else device))
    if traced and (kind is float or kind is complex):  # the functions of numpy.random
        value = np.asarray(value)[()]
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


def _settle(result: Any) -> Any:
    """A device's 0-d result as the NumPy scalar that NumPy would have returned."""
    if type(result) is Array and result.scalar:
        return result.contents[()]
    if type(result) in (list, tuple):
        return type(result)(map(_settle, result))
    return result


def _record(tape: Any, primitive: Primitive, args: tuple, kwargs: dict, result: Any) -> None:
    if primitive.flat:
        return
    if primitive.vjp is None:
        raise TraceError(
            f"{primitive.name} has no derivative rule, and an operand is being differentiated, at {Line()}. "
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
            _collect(arg, inside)
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
            f"{primitive.name}(…, where=…) without out= leaves elements undefined and cannot be differentiated, at {Line()}. Use np.where"
        )


# ----- out= and in-place -----------------------------------------------------------------------------------------------------------


def _into(primitive: Primitive, args: tuple, kwargs: dict) -> Any:
    """A call with ``out=``: compute, then write, with NumPy's own checks."""
    out = kwargs["out"]
    target = out[0] if type(out) is tuple and len(out) == 1 else out
    operands: list[Array] = []
    _collect(args, operands)
    traced = innermost(operands)
    plain_target = isinstance(target, np.ndarray) and type(target) is not Array
    if type(target) is tuple or (plain_target and traced is None):
        if traced is not None:
            raise TraceError(
                f"{primitive.name} with several out= arrays cannot be differentiated, at {Line()}. Assign the results instead"
            )
        if current_tape() is not None:
            from minpy.runtime import stores

            stores.exposed(out)
        primitive.function(*host(args), **{**host(kwargs), "out": _host_out(out)})
        _wrote(out)
        return out
    if plain_target:
        raise TraceError(
            f"a value that is being differentiated would be written into a plain array (shape {target.shape}) by {primitive.name}, at {Line()}. "
            "Make the array inside the differentiated function, or assign the result to a new name"
        )
    from minpy.runtime.array import write

    rest = {k: v for k, v in kwargs.items() if k != "out"}
    where = rest.pop("where", True)
    if target.storage.device is None and traced is None and current_tape() is None:
        primitive.function(
            *host(args),
            **host(rest),
            out=target.contents,
            **({} if where is True else {"where": host(where)}),
        )
        target.storage.wrote_host()
        return target
    _check_cast(primitive, args, rest, target)
    rest.pop("casting", None)
    result = call(primitive, args, rest)
    if where is True:
        if np.shape(result) != target.shape:
            result = np.broadcast_to(result, target.shape)
        write(target, None, result)
    else:
        mask = np.broadcast_to(host(where), target.shape)
        write(target, mask, np.broadcast_to(result, target.shape)[mask])
    return target


def _check_cast(primitive: Primitive, args: tuple, kwargs: dict, target: Any) -> None:
    """Raise what NumPy raises for this ``out=``, by asking it on operands of no size and the same dtypes."""
    if not isinstance(primitive.function, np.ufunc) or primitive.function.signature is not None:
        return

    def dummy(value: Any) -> Any:
        return (
            np.empty((0,) * bool(np.ndim(value)), value.dtype)
            if isinstance(value, np.ndarray)
            else host(value)
        )

    if not _fits([np.shape(a) for a in args], target.shape):
        # NumPy's own message: it looks at the shapes before it computes.
        shaped = [_hollow(np.shape(a), getattr(a, "dtype", None) or np.asarray(a).dtype) for a in args]
        primitive.function(*shaped, out=_hollow(target.shape, target.dtype))
    casting = {k: v for k, v in kwargs.items() if k in ("casting", "dtype")}
    with np.errstate(all="ignore"):
        primitive.function(*[dummy(a) for a in args], out=np.empty(0, target.dtype), **casting)


def _fits(shapes: list, target: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(*shapes, target) == target
    except ValueError:
        return False


def _hollow(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array of any size in the memory of one element."""
    return as_strided(np.empty(1, dtype), shape, (0,) * len(shape))


def _host_out(out: Any) -> Any:
    if type(out) is tuple:
        return tuple(o.contents if type(o) is Array else o for o in out)
    return out


def _wrote(out: Any) -> None:
    for o in out if type(out) is tuple else (out,):
        if type(o) is Array:
            o.storage.wrote_host()


# ----- devices ------------------------------------------------------------------------------------------------------------------------


def handle_of(device: Any, value: Any) -> Any:
    """The handle on `device` of an operand (an `Array` or a plain array)."""
    if type(value) is not Array:
        value = np.asarray(value)
        with profile.copying("host to device", value.nbytes):
            return device.upload(value)
    storage = value.storage
    from minpy.runtime.array import covers

    if covers(value.window, storage.host):
        return storage.to_device(device)
    if storage.handle is not None and storage.device is device:
        part = device.read(storage.handle, value.window, storage.host)
        if part is not None:
            return part
    data = value.contents
    with profile.copying("host to device", data.nbytes):
        return device.upload(data)


def _run_on_device(device: Any, primitive: Primitive, args: tuple, kwargs: dict) -> Any:
    return _adopt(device, device.run(primitive, args, kwargs, handle_of))


def _adopt(device: Any, value: Any) -> Any:
    if type(value) in (list, tuple):
        return type(value)(_adopt(device, v) for v in value)
    scalar = type(value) is Scalar
    handle = value.handle if scalar else value
    view = np.empty(() if scalar else device.shape(handle), device.dtype(handle))
    return Array(view, Storage(view, device, handle), scalar=scalar)


# ----- NumPy's protocols and the operators -----------------------------------------------------------------------------------------------


def function(func: Any, args: tuple, kwargs: dict) -> Any:
    """``__array_function__``: a NumPy function was called with an `Array`."""
    load()
    primitive = by_function.get(func)
    if primitive is not None:
        return call(primitive, args, kwargs)
    operands: list[Array] = []
    _collect(args, operands)
    _collect(kwargs.values(), operands)
    if innermost(operands) is not None:
        raise TraceError(
            f"numpy.{getattr(func, '__name__', func)} has no derivative rule, and an operand is being differentiated, at {Line()}. "
            "Use minpy.stop_gradient on the operand if no gradient should flow"
        )
    return func(*host(args), **host(kwargs))


_REDUCE = {
    "add": "sum",
    "multiply": "prod",
    "maximum": "max",
    "minimum": "min",
    "logical_and": "all",
    "logical_or": "any",
}
_ACCUMULATE = {"add": "cumsum", "multiply": "cumprod"}


def ufunc(uf: np.ufunc, method: str, inputs: tuple, kwargs: dict) -> Any:
    """``__array_ufunc__``: a ufunc or one of its methods was called with an `Array`."""
    if any(map(_foreign, inputs)):
        return NotImplemented
    load()
    primitive = by_function.get(uf)
    if method == "__call__" and primitive is not None:
        return call(primitive, inputs, kwargs)
    operands: list[Array] = []
    _collect(inputs, operands)
    traced = innermost(operands) is not None
    if method == "at" and type(inputs[0]) is Array:
        return _at(uf, *inputs)
    if traced:
        named = {"reduce": _REDUCE, "accumulate": _ACCUMULATE}.get(method, {}).get(uf.__name__)
        if named is not None:
            array, *rest = inputs
            given = dict(zip(("axis", "dtype", "out", "keepdims"), rest, strict=False)) | kwargs
            given.setdefault("axis", 0)
            return call(
                by_name[named], (array,), {k: v for k, v in given.items() if v is not None or k == "axis"}
            )
        if method == "outer" and primitive is not None:
            a, b = inputs
            return call(primitive, (np.reshape(a, np.shape(a) + (1,) * np.ndim(b)), b), kwargs)
        raise TraceError(
            f"{uf.__name__}{'' if method == '__call__' else '.' + method} has no derivative rule, and an operand is being differentiated, "
            f"at {Line()}. Use minpy.stop_gradient on the operand if no gradient should flow"
        )
    if method == "at":
        raise (
            TraceError(f"{uf.__name__}.at would write into a plain array, at {Line()}")
            if traced
            else _plain_at(uf, inputs)
        )
    return getattr(uf, method)(
        *host(inputs), **{**host(kwargs), **({"out": _host_out(kwargs["out"])} if kwargs.get("out") else {})}
    )


def _plain_at(uf: np.ufunc, inputs: tuple) -> Any:
    from minpy.runtime import stores

    stores.log(inputs[0])
    uf.at(*host(inputs))
    return None


def _at(uf: np.ufunc, target: Any, index: Any, *values: Any) -> None:
    from minpy.runtime.array import write

    if uf.__name__ not in ("add", "subtract") or not values:
        if innermost([target, *[v for v in values if type(v) is Array]]) is not None:
            raise TraceError(
                f"{uf.__name__}.at has no derivative rule, and an operand is being differentiated, at {Line()}"
            )
        result = target.contents.copy()
        uf.at(result, host(index), *host(values))
        write(target, None, result)
        return
    # a.at[i] += v is a + scatter(v): linear in both.
    write(
        target,
        None,
        apply(
            "scatter_add", target, index, values[0] if uf.__name__ == "add" else apply("negative", values[0])
        ),
    )


def _foreign(value: Any) -> bool:
    """Whether `value` is of a class that handles ufuncs itself: NumPy then asks it."""
    kind = type(value)
    if kind is Array or kind is np.ndarray or kind is float or kind is int:
        return False
    override = getattr(kind, "__array_ufunc__", None)
    return override is not None and override is not np.ndarray.__array_ufunc__


def binary(name: str, left: Any, right: Any) -> Any:
    """An operator between two values of which one is an `Array`."""
    other = right if type(left) is Array else left
    if type(other) is not Array and getattr(type(other), "__array_ufunc__", True) is None:
        return NotImplemented
    if _foreign(other):
        return by_name[name].function(left, right)
    return _long(by_name[name], (left, right), {})


def compare(name: str, dunder: str, left: Any, right: Any) -> Any:
    """A comparison; against what is no number it answers as ``numpy.ndarray`` does."""
    if not isinstance(right, (np.ndarray, np.generic, int, float, complex, list, tuple)):
        return getattr(operator, dunder)(left.contents, right)
    return _long(by_name[name], (left, right), {})


# At the end: array.py needs this module's functions, and this module its class.
from minpy.runtime.array import Array, host  # noqa: E402
