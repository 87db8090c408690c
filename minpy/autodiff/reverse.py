"""Reverse-mode verbs: `grad` and its relatives."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minpy.errors import GradientError, TraceError
from minpy.runtime import dispatch
from minpy.runtime.array import Array, host, write
from minpy.runtime.record import Write, current_tape, tape_of
from minpy.runtime.storage import Storage
from minpy.runtime.tape import Tape


def grad(fun: Callable[..., Any], argnum: int | Sequence[int] = 0) -> Callable[..., Any]:
    """The gradient of `fun` with respect to one or several positional arguments.

    Parameters
    ----------
    fun : callable
        Any function written in NumPy. It may write into arrays, its arguments included; ``grad(fun)(x)`` has the side effects of ``fun(x)``,
        and the gradient is with respect to the values at entry.
    argnum : int or sequence of int
        Which positional arguments; negative numbers count from the end.

    Returns
    -------
    callable
        Takes the arguments of `fun` and returns the gradient: an array of the argument's shape and dtype (a scalar for a scalar argument; the
        same nesting for lists, tuples and dicts of arrays). For a sequence `argnum` of more than one, a list of gradients.

    Raises
    ------
    GradientError
        If an argument cannot be differentiated (an integer array, a string), or a primitive has no derivative rule.

    Notes
    -----
    If the result of `fun` is an array (or a list or tuple of arrays), the gradient is that of the sum of its elements.
    """
    both = value_and_grad(fun, argnum)

    @functools.wraps(fun)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        return both(*args, **kwargs)[1]

    return gradient


def grad_and_loss(fun: Callable[..., Any], argnum: int | Sequence[int] = 0) -> Callable[..., Any]:
    """As `grad`, returning ``(gradient, result)``."""
    both = value_and_grad(fun, argnum)

    @functools.wraps(fun)
    def gradient_and_loss(*args: Any, **kwargs: Any) -> Any:
        value, gradient = both(*args, **kwargs)
        return gradient, value

    return gradient_and_loss


def value_and_grad(fun: Callable[..., Any], argnum: int | Sequence[int] = 0) -> Callable[..., Any]:
    """As `grad`, returning ``(result, gradient)``."""
    numbers = tuple(argnum) if isinstance(argnum, (tuple, list, range)) else (argnum,)
    if not numbers or not all(isinstance(n, int) and not isinstance(n, bool) for n in numbers):
        raise GradientError(f"argnum is a position or a sequence of positions, not {argnum!r}")

    @functools.wraps(fun)
    def both(*args: Any, **kwargs: Any) -> Any:
        positions = [_position(fun, n, len(args)) for n in numbers]
        tape = Tape()
        inputs = {i: _enter(tape, args[i], f"argument {i} of {_name(fun)}") for i in positions}
        with tape:
            try:
                result = fun(*[inputs.get(i, a) for i, a in enumerate(args)], **kwargs)
            except ValueError as error:
                # NumPy replaces an error from converting an element by its own; the cause names the line and the remedy.
                if type(error.__cause__) is TraceError:
                    raise error.__cause__ from None
                raise
            value = _detach(tape, result)
        leaves = [leaf for i in positions for leaf in _leaves(inputs[i])]
        found = dict(zip(map(id, leaves), tape_gradients(tape, result, leaves), strict=True))
        for i in positions:
            _leave(tape, inputs[i], args[i])
        gradients = [_map(lambda leaf: _gradient(leaf, found[id(leaf)]), inputs[i]) for i in positions]
        return value, gradients[0] if len(gradients) == 1 else gradients

    return both


def stop_gradient(x: Any) -> Any:
    """`x` as a constant: a copy through which no gradient flows (arrays inside lists, tuples and dicts too)."""
    return _map(lambda leaf: leaf.asnumpy()[()] if leaf.scalar else leaf.asnumpy(), x)


def tape_gradients(tape: Tape, result: Any, leaves: list[Array]) -> list[Any]:
    """Sweep `tape` from `result`, every element of it weighing one."""
    for leaf in leaves:
        # A result that is an input itself, or nothing of it: the storages must still be known to the tape.
        leaf.storage.tape = leaf.storage.tape or tape
    seeds = [(out, np.ones(out.shape, out.dtype)) for out in _leaves(result) if tape.watches(out.storage)]
    return tape.sweep(seeds, leaves)


def _name(fun: Any) -> str:
    return getattr(fun, "__name__", type(fun).__name__)


def _position(fun: Any, n: int, count: int) -> int:
    if not -count <= n < count:
        raise GradientError(
            f"{_name(fun)} was called with {count} positional argument{'s' * (count != 1)}, so there is no argument {n} to differentiate"
        )
    return n % count


def _enter(tape: Tape, value: Any, what: str) -> Any:
    """An argument as active arrays (the same memory, so that writes are seen by the caller)."""
    kind = type(value)
    if kind is Array:
        if value.dtype.kind not in "fc":
            raise GradientError(_not_real(what, value.dtype))
        inner = dispatch.apply("copy", value)
        inner.scalar = value.scalar
        inner.storage.tape = tape
        return inner
    if kind is list or kind is tuple:
        return kind([_enter(tape, v, f"{what}[{i}]") for i, v in enumerate(value)])
    if kind is dict:
        return {key: _enter(tape, v, f"{what}[{key!r}]") for key, v in value.items()}
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "fc":
            raise GradientError(_not_real(what, value.dtype))
        view = value.view(np.ndarray) if kind is not np.ndarray else value
        storage = Storage(view)
        storage.tape = tape
        return Array(view, storage)
    if isinstance(value, (float, int, complex, np.floating, np.complexfloating)) and not isinstance(
        value, bool
    ):
        boxed = np.array(float(value) if isinstance(value, int) else value)
        storage = Storage(boxed)
        storage.tape = tape
        return Array(boxed, storage, scalar=True)
    raise GradientError(
        f"{what} is a {kind.__name__}; a gradient exists for floating-point arrays and numbers, and lists, tuples and dicts of them"
    )


def _not_real(what: str, dtype: np.dtype) -> str:
    return f"{what} has dtype {dtype}; a gradient exists for floating-point and complex values. Pass x.astype(float)"


def _leave(tape: Tape, inner: Any, outer: Any) -> None:
    """Bring writes into an argument back to where an enclosing differentiation can see them; close the argument's storage."""
    if type(inner) is Array:
        if type(outer) is Array and tape_was_written(inner):
            write(outer, None, inner)
        return
    if type(inner) in (list, tuple):
        for i, o in zip(inner, outer, strict=True):
            _leave(tape, i, o)
    elif type(inner) is dict:
        for key in inner:
            _leave(tape, inner[key], outer[key])


def tape_was_written(array: Array) -> bool:
    """Whether an open tape holds a write to the array's storage."""
    tape = current_tape()
    return tape is not None and any(
        type(r) is Write and r.target.storage is array.storage for r in tape.records
    )


def _leaves(value: Any) -> list[Array]:
    found: list[Array] = []
    _map(found.append, value)
    return found


def _map(f: Callable[[Array], Any], value: Any) -> Any:
    """Apply `f` to every `Array` in `value`, keeping lists, tuples (named ones too) and dicts."""
    kind = type(value)
    if kind is Array:
        return f(value)
    if kind is list or kind is tuple:
        return kind([_map(f, v) for v in value])
    if kind is dict:
        return {key: _map(f, v) for key, v in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return kind(*[_map(f, v) for v in value])
    return value


def _gradient(leaf: Array, g: Any) -> Any:
    if g is None:
        g = np.zeros(leaf.shape, leaf.dtype)
    if type(g) is Array:
        if tape_of(g.storage) is not None:
            return g
        g = host(g)
    g = np.asarray(g)
    if leaf.scalar:
        return g[()]
    # The buffer may be shared with another operand's cotangent, or be a broadcast: the caller gets one of its own.
    return np.array(g)


def _detach(tape: Tape, result: Any) -> Any:
    """The result as the caller gets it: plain, unless an enclosing tape watches it."""

    def plain(array: Array) -> Any:
        outer = tape.outer
        while outer is not None and not outer.open:
            outer = outer.outer
        if outer is not None and array.storage.tape is not None:
            return array
        if array.storage.device is not None and array.storage.handle is not None:
            return array
        return array.contents[()] if array.scalar else array.contents

    return _map(plain, result)
