"""Forward-mode verbs: `jvp`, and products with second derivatives."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minpy.autodiff import calls, trees
from minpy.autodiff.afterwards import around
from minpy.autodiff.calls import Argnum, Run
from minpy.autodiff.reverse import grad
from minpy.errors import GradientError
from minpy.runtime.array import Array
from minpy.runtime.tangent import TangentTape


def jvp(
    fun: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], *, has_aux: bool = False
) -> tuple[Any, ...]:
    """The value of `fun` at `primals`, and its derivative in the direction `tangents`.

    Parameters
    ----------
    fun : callable
        A function of the positional arguments `primals`.
    primals, tangents : tuple or list
        The arguments and their tangents, each a tree like its argument. A tangent of None holds its argument
        constant.
    has_aux : bool
        `fun` returns a pair: the result, and an auxiliary output.

    Returns
    -------
    value
        ``fun(*primals)``.
    tangent
        A tree like `value`. What is not a floating-point value in it (an integer, None) has None.
    aux
        The auxiliary output, with `has_aux`.

    Examples
    --------
    >>> jvp(np.sin, (0.0,), (2.0,))
    (0.0, 2.0)
    """
    if not callable(fun):
        raise GradientError(f"a function is differentiated, not {trees.summary(fun)}")
    for what, given in (("primals", primals), ("tangents", tangents)):
        if not isinstance(given, (tuple, list)):
            raise GradientError(
                f"jvp takes the {what} of {calls.name_of(fun)} as a tuple or list, one for each argument, "
                f"not {trees.summary(given)}"
            )
    if len(primals) != len(tangents):
        raise GradientError(f"jvp was given {len(primals)} primals and {len(tangents)} tangents")
    return _along(fun, list(range(len(primals))), tuple(primals), {}, list(tangents), has_aux)


def _along(
    fun: Any, where: list, args: tuple, kwargs: dict, tangents: list, has_aux: bool = False
) -> tuple[Any, ...]:
    """Run `fun` with the tangents of the arguments at `where`."""

    def work(args: tuple, kwargs: dict) -> Any:
        return _run(fun, where, args, kwargs, tangents, has_aux)

    return around(work, fun, args, kwargs)


def _run(fun: Any, where: list, args: tuple, kwargs: dict, tangents: list, has_aux: bool) -> tuple[Any, ...]:
    tape = TangentTape()
    moving = [(place, t) for place, t in zip(where, tangents, strict=True) if t is not None]
    call = Run(fun, [place for place, _ in moving], args, kwargs, tape)
    for entered, (place, tangent) in zip(call.entered, moving, strict=True):
        what = f"the tangent of argument {place!r} of {calls.name_of(fun)}"
        for leaf, t in zip(trees.leaves(entered), calls.same_structure(tangent, entered, what), strict=True):
            if type(leaf) is Array and leaf.storage.tape is tape and t is not None:
                tape.tangents.put(leaf, calls.fitting(t, leaf, what))
    result = call()
    try:
        result, aux = calls.split_aux(fun, result, has_aux)
        calls.outputs(fun, result)
        value = calls.detached(tape, result)
        tangent = trees.transform(functools.partial(_tangent, tape), result)
        aux = calls.detached(tape, aux)
    finally:
        call.leave()
    return (value, tangent, aux) if has_aux else (value, tangent)


def _tangent(tape: TangentTape, leaf: Any) -> Any:
    if type(leaf) is Array:
        if leaf.dtype.kind not in "fc":
            return None
        return calls.gradient(leaf, tape.tangents.get(leaf))
    if isinstance(leaf, (np.ndarray, np.generic)):
        return np.zeros(leaf.shape, leaf.dtype)[()] if leaf.dtype.kind in "fc" else None
    return type(leaf)(0) if type(leaf) in (float, complex) else None


def hessian_vector_product(fun: Callable[..., Any], argnum: Argnum = 0) -> Callable[..., Any]:
    """The product of the Hessian of a scalar function with a vector, at the cost of a few runs: forward over reverse.

    Parameters
    ----------
    fun : callable
        A function with a scalar result.
    argnum : int, str, or sequence of them
        As in `grad`.

    Returns
    -------
    callable
        ``(*args, vector, **kwargs)``: the arguments of `fun` and a tree like the differentiated argument (for
        several, a list of trees). The product is a tree of the same structure.

    Examples
    --------
    >>> hessian_vector_product(lambda x: np.sum(x**3))(np.array([1.0, 2.0]), np.array([1.0, 0.0]))
    array([6., 0.])
    """
    numbers = calls.chosen(argnum)
    gradient = grad(scalar_only(fun, "hessian_vector_product"), argnum)

    @functools.wraps(fun, updated=())
    def product(*args: Any, **kwargs: Any) -> Any:
        if not args:
            raise GradientError(
                f"hessian_vector_product of {calls.name_of(fun)} is called with its arguments and then the "
                "vector"
            )
        *given, vector = args
        kwargs = dict(kwargs)
        where = calls.places(fun, numbers, tuple(given), kwargs)
        vectors = [vector] if len(where) == 1 else vector
        if len(where) > 1 and (not isinstance(vector, (list, tuple)) or len(vector) != len(where)):
            raise GradientError(
                f"the vector must be a list of {len(where)}, one for each differentiated argument"
            )
        return _along(gradient, where, tuple(given), kwargs, list(vectors))[1]

    return product


def scalar_only(fun: Any, verb: str, has_aux: bool = False) -> Callable[..., Any]:
    """`fun`, which must return one number."""

    @functools.wraps(fun, updated=())
    def checked(*args: Any, **kwargs: Any) -> Any:
        both = fun(*args, **kwargs)
        result, _ = calls.split_aux(fun, both, has_aux)
        if trees.children(result) is not None or np.shape(result) != ():
            raise GradientError(
                f"{verb} needs a scalar: {calls.name_of(fun)} returned {trees.summary(result)}. "
                "Return a sum of it, or take jacobian(jacobian(f))"
            )
        return both

    return checked
