"""Operators of one's own, under the original's names: `customop` and the `Primitive` that it makes.

``minpy.primitive`` is also the decorator `minpy.autodiff.primitive`: the module can be called.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from minpy.autodiff import custom, trees
from minpy.autodiff.calls import name_of
from minpy.autodiff.operation import Call
from minpy.errors import GradientError, UsageError
from minpy.runtime.array import Array
from minpy.runtime.context import current_context

Maker = Callable[..., Any]


class NoGradientFuncError(GradientError):
    """A custom operator is differentiated with respect to an argument that it has no gradient for.

    Parameters
    ----------
    func_name : str
        The operator.
    arg : int or str
        The position of the argument, or its name.
    where : optional
        The line of the call.
    """

    def __init__(self, func_name: str, arg: int | str, where: Any = None) -> None:
        self.func_name, self.arg = func_name, arg
        which = f"argument {arg}" if isinstance(arg, int) else f"keyword argument {arg!r}"
        how = f"def_grad(…, argnum={arg})" if isinstance(arg, int) else f"def_grad_kw(…, key={arg!r})"
        call = "" if where is None else f"The call was at {where}. "
        super().__init__(
            f"the custom operator {func_name} has no gradient for {which}. {call}"
            f"Give it with {func_name}.{how}, or say with def_grad_zero that nothing flows there"
        )


class GradFunc(NamedTuple):
    """A gradient function for several arguments at once, as `Primitive.def_multiple_grad` keeps it.

    Attributes
    ----------
    f : callable
        Makes the function, of the result and all arguments.
    multi_grad_indices : tuple of int or str
        Which arguments: one gradient for each.
    """

    f: Maker
    multi_grad_indices: tuple[int | str, ...]


class FakeGradFunc:
    """Stands where a gradient function is missing: it raises `NoGradientFuncError` when a gradient needs it.

    Parameters
    ----------
    func_name, arg, where
        As for `NoGradientFuncError`.
    """

    def __init__(self, func_name: str, arg: int | str, where: Any = None) -> None:
        self.func_name, self.arg, self.where = func_name, arg, where

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise NoGradientFuncError(self.func_name, self.arg, self.where)


class Primitive(custom.primitive):
    """A function that is one operation, with a gradient function for each argument.

    Parameters
    ----------
    func : callable
        The forward function.
    type : {'numpy', 'mxnet'}
        What `func` and the gradient functions take and give: ``numpy.ndarray`` or ``mxnet.nd.NDArray``.

    Attributes
    ----------
    type, typestr : str
        As given.

    Notes
    -----
    A gradient function is made by ``func(ans, *args, **kwargs)``, of the result and all arguments, and maps the
    gradient of the result to that of one argument. Everything that defines gradients returns the operator itself.
    """

    def __init__(self, func: Callable[..., Any], type: str = "numpy") -> None:
        if type not in ("numpy", "mxnet"):
            raise UsageError(f"a custom operator works on 'numpy' or 'mxnet' arrays, not {type!r}")
        self.type = self.typestr = type
        super().__init__(func if type == "numpy" else _on_ndarrays(func))

    def __repr__(self) -> str:
        return f"<custom operator {self._row.name} ({self.type})>"

    def def_grad(self, func: Maker, argnum: int = 0) -> Primitive:
        """Give the gradient function of the positional argument `argnum`."""
        return self._define(func, argnum)

    def def_grad_kw(self, func: Maker, key: str) -> Primitive:
        """Give the gradient function of the keyword argument `key`."""
        return self._define(func, key)

    def def_grad_zero(self, argnum: int | str = 0) -> Primitive:
        """Say that no gradient flows into an argument."""
        self._vjps[argnum] = None
        return self

    def def_multiple_grad(self, func: Maker, argnums: Sequence[int | str]) -> Primitive:
        """Give one function for several arguments: it maps the gradient of the result to a sequence, one for each."""
        argnums = tuple(argnums)
        if not argnums:
            raise UsageError("def_multiple_grad needs the numbers of the arguments")
        if not callable(func):
            raise UsageError(f"a gradient function is made by a function, not {trees.summary(func)}")
        rule = GradFunc(func if self.type == "numpy" else _maker_on_ndarrays(func), argnums)
        for k, argnum in enumerate(argnums):
            self._vjps[argnum] = rule, k
        return self

    def gradable(self, bp_args: Sequence[int], bp_kwargs: Sequence[str] = ()) -> bool:
        """Whether there are gradients for these positional and keyword arguments."""
        return all(key in self._vjps for key in (*bp_args, *bp_kwargs))

    def call(self, args: tuple, kwargs: dict[str, Any]) -> Any:
        """Apply the operator."""
        return self(*args, **kwargs)

    def _define(self, func: Maker, key: int | str) -> Primitive:
        if not callable(func):
            raise UsageError(f"a gradient function is made by a function, not {trees.summary(func)}")
        self._vjps[key] = func if self.type == "numpy" else _maker_on_ndarrays(func)
        return self

    def _apply(self, maker: Any, g: Any, result: Any, args: tuple, kwargs: dict, shared: dict) -> Any:
        if type(maker) is not tuple:
            return super()._apply(maker, g, result, args, kwargs, shared)
        rule, k = maker
        if rule not in shared:
            found = rule.f(result, *args, **kwargs)(g)
            which = rule.multi_grad_indices
            if not isinstance(found, (tuple, list)) or len(found) != len(which):
                raise GradientError(
                    f"the gradient function of {self._row.name} must return a sequence of {len(which)}, "
                    f"one gradient for each of the arguments {which}, not {trees.summary(found)}"
                )
            shared[rule] = found
        return shared[rule][k]

    def _check_rules(self) -> None:
        pass  # As in the original, what is missing is said where a gradient needs it.

    def _argument_rule(self, rules: dict[int, Any], i: Any, call: Call) -> Any:
        if i not in rules:
            return FakeGradFunc(self._row.name, i, call.line)
        return rules[i]


def customop(op_type: str) -> Callable[[Callable[..., Any]], Primitive]:
    """Make a function an operator with gradients of its own.

    Parameters
    ----------
    op_type : {'numpy', 'mxnet'}
        What the function takes and gives: ``numpy.ndarray`` or ``mxnet.nd.NDArray``.

    Returns
    -------
    callable
        A decorator that gives a `Primitive`.

    Raises
    ------
    UsageError
        If `op_type` is something else.

    Examples
    --------
    >>> @customop("numpy")
    ... def cube(x):
    ...     return x**3
    >>> cube.def_grad(lambda ans, x: lambda g: g * 3 * x**2)
    """
    if op_type not in ("numpy", "mxnet"):
        raise UsageError(f"customop takes 'numpy' or 'mxnet', not {op_type!r}")
    return lambda func: Primitive(func, op_type)


# ----- functions of NDArrays ----------------------------------------------------------------------------------


def _to_ndarrays(value: Any, name: str) -> Any:
    from minpy.runtime.backends.mxnet import copy_in, load

    F, context = load().nd, current_context().where_mxnet_runs()

    def one(leaf: Any) -> Any:
        if type(leaf) is Array:
            raise GradientError(f"{name} works on MXNet arrays: it has first derivatives only")
        if not isinstance(leaf, (np.ndarray, np.generic)):
            return leaf
        data = np.ascontiguousarray(leaf)
        handle = F.empty(data.shape, ctx=context, dtype=data.dtype)
        copy_in(handle, data)
        return handle.reshape(np.shape(leaf) or (1,))

    return trees.transform(one, value)


def _from_ndarrays(value: Any) -> Any:
    from minpy.runtime.backends.mxnet import load

    kind = load().nd.NDArray
    return trees.transform(lambda leaf: leaf.asnumpy() if isinstance(leaf, kind) else leaf, value)


def _on_ndarrays(func: Callable[..., Any]) -> Callable[..., Any]:
    name = name_of(func)

    def run(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = _to_ndarrays((args, kwargs), name)
        return _from_ndarrays(func(*args, **kwargs))

    run.__name__, run.__doc__ = name, func.__doc__
    return run


def _maker_on_ndarrays(func: Maker) -> Maker:
    name = name_of(func)

    def maker(ans: Any, *args: Any, **kwargs: Any) -> Any:
        ans, args, kwargs = _to_ndarrays((ans, args, kwargs), name)
        pull = func(ans, *args, **kwargs)
        return lambda g: _from_ndarrays(pull(_to_ndarrays(g, name)))

    return maker


class _Decorator(ModuleType):
    def __call__(self, fun: Callable[..., Any]) -> custom.primitive:
        return custom.primitive(fun)


sys.modules[__name__].__class__ = _Decorator
