"""Reverse-mode verbs: `grad` and its relatives."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from minpy.autodiff import calls, trees
from minpy.autodiff.afterwards import around
from minpy.autodiff.calls import Argnum, Run
from minpy.autodiff.linear import Linearization
from minpy.errors import GradientError
from minpy.runtime.array import Array
from minpy.runtime.tape import Tape


def grad(fun: Callable[..., Any], argnum: Argnum = 0, *, has_aux: bool = False) -> Callable[..., Any]:
    """The gradient of `fun` with respect to one or several arguments.

    Parameters
    ----------
    fun : callable
        Any function written in NumPy. It may write into arrays, its arguments included; ``grad(fun)(x)`` has
        the side effects of ``fun(x)``, and the gradient is with respect to the values at entry.
    argnum : int, str, or sequence of them
        Which arguments: a position (negative ones count from the end of the positional arguments), or the
        name of a parameter.
    has_aux : bool
        `fun` returns a pair: the result, and an auxiliary output that is handed through.

    Returns
    -------
    callable
        Takes the arguments of `fun` and returns the gradient: an array of the argument's shape and dtype (a
        scalar for a scalar argument; the same nesting for lists, tuples, dicts, named tuples and dataclasses
        of arrays). For a sequence `argnum` of more than one, a list of gradients. With `has_aux`, a pair of
        that and the auxiliary output.

    Raises
    ------
    GradientError
        If an argument or the result cannot be differentiated (integers, a string), or a primitive has no
        derivative rule.

    Notes
    -----
    If the result of `fun` is an array (or a tree of arrays), the gradient is that of the sum of its elements.
    If it is complex, it is that of its real part; for a holomorphic function this is the complex derivative.

    Examples
    --------
    >>> grad(lambda x: np.sum(x**2))(np.array([1.0, 2.0]))
    array([2., 4.])
    """
    run = _differentiate(fun, argnum, has_aux)

    @functools.wraps(fun, updated=())
    def gradient(*args: Any, **kwargs: Any) -> Any:
        _, aux, found = run(args, kwargs)
        return (found, aux) if has_aux else found

    return gradient


def value_and_grad(
    fun: Callable[..., Any], argnum: Argnum = 0, *, has_aux: bool = False
) -> Callable[..., Any]:
    """The result of `fun` and its gradient, of one run.

    Parameters
    ----------
    fun, argnum, has_aux
        As in `grad`.

    Returns
    -------
    callable
        Takes the arguments of `fun`; returns ``(result, gradient)``, with `has_aux` ``((result, aux), gradient)``.

    Raises
    ------
    GradientError
        As `grad`.
    """
    run = _differentiate(fun, argnum, has_aux)

    @functools.wraps(fun, updated=())
    def value_and_gradient(*args: Any, **kwargs: Any) -> Any:
        value, aux, found = run(args, kwargs)
        return ((value, aux), found) if has_aux else (value, found)

    return value_and_gradient


def grad_and_loss(
    fun: Callable[..., Any], argnum: Argnum = 0, *, has_aux: bool = False
) -> Callable[..., Any]:
    """The gradient of `fun` and its result, of one run: the original's order.

    Parameters
    ----------
    fun, argnum, has_aux
        As in `grad`.

    Returns
    -------
    callable
        Takes the arguments of `fun`; returns ``(gradient, result)``, with `has_aux` ``(gradient, (result, aux))``.

    Raises
    ------
    GradientError
        As `grad`.
    """
    run = _differentiate(fun, argnum, has_aux)

    @functools.wraps(fun, updated=())
    def gradient_and_loss(*args: Any, **kwargs: Any) -> Any:
        value, aux, found = run(args, kwargs)
        return (found, (value, aux)) if has_aux else (found, value)

    return gradient_and_loss


def elementwise_grad(
    fun: Callable[..., Any], argnum: Argnum = 0, *, has_aux: bool = False
) -> Callable[..., Any]:
    """The derivative of an element-wise function at every element: the sums of the columns of its Jacobian.

    The same as `grad`, which sums over the elements of the result; the name says what is meant.

    Parameters
    ----------
    fun, argnum, has_aux
        As in `grad`.

    Returns
    -------
    callable
        Takes the arguments of `fun`; returns an array of the argument's shape and dtype, as `grad` does.

    Examples
    --------
    >>> elementwise_grad(np.tanh)(np.zeros(3))
    array([1., 1., 1.])
    """
    return grad(fun, argnum, has_aux=has_aux)


def _differentiate(fun: Any, argnum: Argnum, has_aux: bool) -> Callable[[tuple, dict], tuple[Any, Any, Any]]:
    if not callable(fun):
        raise GradientError(f"a function is differentiated, not {trees.summary(fun)}")
    numbers = calls.chosen(argnum)

    def run(args: tuple, kwargs: dict) -> tuple[Any, Any, Any]:
        tape = Tape()
        call = Run(fun, calls.places(fun, numbers, args, kwargs), args, kwargs, tape)
        result = call()
        try:
            result, aux = calls.split_aux(fun, result, has_aux)
            outs = calls.outputs(fun, result)
            value, aux = calls.detached(tape, result), calls.detached(tape, aux)
            leaves = call.leaves()
            for leaf in leaves:
                # An argument that was made inactive, or is the result: its storage must be known to the tape.
                leaf.storage.tape = leaf.storage.tape or tape
            seeds = [
                (out, np.ones(out.shape, out.dtype))
                for out in outs
                if type(out) is Array and out.dtype.kind in "fc" and tape.watches(out.storage)
            ]
            written = calls.note_writes(tape)
            found = dict(zip(map(id, leaves), tape.sweep(seeds, leaves), strict=True))
        except BaseException:
            call.leave()
            raise
        gradients = [
            trees.transform(
                lambda leaf: calls.gradient(leaf, found[id(leaf)]) if id(leaf) in found else leaf, inputs
            )
            for inputs in call.entered
        ]
        call.leave(written)
        return value, aux, gradients[0] if len(gradients) == 1 else gradients

    return lambda args, kwargs: around(run, fun, args, kwargs)


def vjp(fun: Callable[..., Any], *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """The value of `fun`, and the function that maps cotangents of the result to cotangents of the arguments.

    Parameters
    ----------
    fun : callable
        A function of the positional arguments `primals`.
    *primals
        Where; all are differentiated.
    has_aux : bool
        `fun` returns a pair: the result, and an auxiliary output.

    Returns
    -------
    value
        ``fun(*primals)``.
    pullback : callable
        Takes a cotangent (a tree like the result) and returns a tuple with the cotangent of each argument. It
        may be called any number of times; what it needs is kept until it is no longer referred to, and does
        not change if arguments or results are written to.
    aux
        The auxiliary output, with `has_aux`.

    Examples
    --------
    >>> value, pullback = vjp(np.sin, 0.0)
    >>> pullback(2.0)
    (2.0,)
    """

    def linearize(args: tuple, kwargs: dict) -> Linearization:
        return Linearization(fun, tuple(range(len(args))), args, kwargs, has_aux, private=True)

    line = around(linearize, fun, primals, {}, Linearization.arrays)

    def pullback(cotangent: Any) -> tuple:
        """The cotangents of the arguments for a cotangent of the result."""
        return tuple(line.pull(cotangent))

    return (line.value, pullback, line.aux) if has_aux else (line.value, pullback)
