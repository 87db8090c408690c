"""Whole matrices of derivatives: `jacobian` and `hessian`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from minpy.autodiff import calls, trees
from minpy.autodiff.afterwards import around
from minpy.autodiff.calls import Argnum
from minpy.autodiff.forward import scalar_only
from minpy.autodiff.linear import Linearization
from minpy.autodiff.reverse import grad
from minpy.errors import GradientError
from minpy.runtime.array import Array


def jacobian(
    fun: Callable[..., Any], argnum: Argnum = 0, *, mode: str | None = None, has_aux: bool = False
) -> Callable[..., Any]:
    """The matrix of all derivatives of the result with respect to an argument.

    `fun` is run once; the rows or columns come from the records of that run.

    Parameters
    ----------
    fun : callable
        A function of arrays or trees of arrays.
    argnum : int, str, or sequence of them
        As in `grad`.
    mode : {None, 'forward', 'reverse'}
        Column by column (forward) or row by row (reverse); by default whichever needs fewer.
    has_aux : bool
        `fun` returns a pair: the result, and an auxiliary output.

    Returns
    -------
    callable
        Takes the arguments of `fun`; returns an array of shape ``result.shape + argument.shape``. For a tree
        as result, the same tree with the Jacobian of each leaf; for a tree as argument, each of these is a
        tree like the argument; for several arguments, a list.

    Notes
    -----
    Complex values: for a complex result of a complex argument the complex derivative (the function is taken
    to be holomorphic); for a complex result of a real argument the derivative of real and imaginary part; for
    a real result of a complex argument what `grad` gives.

    Examples
    --------
    >>> jacobian(lambda x: x**2)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    """
    numbers = calls.chosen(argnum)
    if mode not in (None, "forward", "reverse"):
        raise GradientError(f"mode is 'forward', 'reverse' or None, not {mode!r}")

    def work(args: tuple, kwargs: dict) -> Any:
        line = Linearization(fun, numbers, args, kwargs, has_aux)
        try:
            blocks = _blocks(line, mode)
        finally:
            line.close()
        aux = line.aux
        rows = iter(blocks)

        def of_output(leaf: Any) -> Any:
            row = dict(zip(map(id, line.ins), next(rows), strict=True))
            found = [
                trees.transform(lambda part: row.get(id(part), part), argument) for argument in line.entered
            ]
            return found[0] if len(found) == 1 else found

        result = trees.transform(of_output, line.result)
        return (result, aux) if has_aux else result

    @functools.wraps(fun, updated=())
    def matrix(*args: Any, **kwargs: Any) -> Any:
        return around(work, fun, args, kwargs)

    return matrix


def hessian(fun: Callable[..., Any], argnum: Argnum = 0, *, has_aux: bool = False) -> Callable[..., Any]:
    """The second derivatives of a scalar function: the forward-mode Jacobian of its gradient.

    Parameters
    ----------
    fun : callable
        A function whose result is one number.
    argnum, has_aux
        As in `grad`.

    Returns
    -------
    callable
        Takes the arguments of `fun`; returns an array of shape ``argument.shape + argument.shape`` (for trees
        and several arguments, nested as the argument in the argument). With `has_aux`, a pair of that and the
        auxiliary output.

    Raises
    ------
    GradientError
        If the result of `fun` is not one number.

    Examples
    --------
    >>> hessian(lambda x: x[0] * x[1] ** 2)(np.array([3.0, 2.0]))
    array([[0., 4.],
           [4., 6.]])
    """
    gradient = grad(scalar_only(fun, "hessian", has_aux), argnum, has_aux=has_aux)
    return jacobian(gradient, argnum, mode="forward", has_aux=has_aux)


def _blocks(line: Linearization, mode: str | None) -> list[list[Any]]:
    """The Jacobian of each leaf of the result with respect to each differentiated array."""
    if mode is None:
        mode = "forward" if _size(line.ins) < _size(line.outs) else "reverse"
    return _columns(line) if mode == "forward" else _rows(line)


def _size(arrays: list) -> int:
    return sum(np.size(a) * (1 + (_dtype(a).kind == "c")) for a in arrays)


def _dtype(value: Any) -> np.dtype:
    return value.dtype if isinstance(value, (np.ndarray, np.generic, Array)) else np.asarray(value).dtype


def _rows(line: Linearization) -> list[list[Any]]:
    blocks = []
    for k, out in enumerate(line.outs):

        def row(element: int, weight: complex, k: int = k, out: Any = out) -> list[Any]:
            unit = np.zeros(np.size(out), _dtype(out))
            unit[element] = weight
            gs: list[Any] = [None] * len(line.outs)
            gs[k] = unit.reshape(np.shape(out))
            return line.pull_leaves(gs)

        parts: list[list[Any]] = [[] for _ in line.ins]
        # The imaginary part of a complex result has rows of its own where the argument is real.
        twice = _dtype(out).kind == "c" and any(i.dtype.kind != "c" for i in line.ins)
        for element in range(np.size(out)):
            found = row(element, 1)
            other = row(element, 1j) if twice else found
            for j, (argument, g, h) in enumerate(zip(line.ins, found, other, strict=True)):
                if twice and argument.dtype.kind != "c":
                    g = _zero(argument, g) - 1j * _zero(argument, h)
                parts[j].append(_zero(argument, g))
        blocks.append([_stacked(parts[j], out, i, first=True) for j, i in enumerate(line.ins)])
    return blocks


def _columns(line: Linearization) -> list[list[Any]]:
    parts: list[list[list[Any]]] = [[[] for _ in line.ins] for _ in line.outs]
    for j, argument in enumerate(line.ins):

        def column(element: int, weight: complex, j: int = j, argument: Array = argument) -> list[Any]:
            unit = np.zeros(argument.size, argument.dtype)
            unit[element] = weight
            ts: list[Any] = [None] * len(line.ins)
            ts[j] = unit.reshape(argument.shape)
            return line.push_leaves(ts)

        twice = argument.dtype.kind == "c" and any(_dtype(o).kind != "c" for o in line.outs)
        for element in range(argument.size):
            found = column(element, 1)
            other = column(element, 1j) if twice else found
            for k, (out, t, u) in enumerate(zip(line.outs, found, other, strict=True)):
                if twice and _dtype(out).kind != "c":
                    t = _zero(out, t) - 1j * _zero(out, u)
                parts[k][j].append(_zero(out, t))
    return [
        [_stacked(parts[k][j], out, i, first=False) for j, i in enumerate(line.ins)]
        for k, out in enumerate(line.outs)
    ]


def _zero(like: Any, value: Any) -> Any:
    return np.zeros(np.shape(like), _dtype(like)) if value is None else value


def _stacked(parts: list, out: Any, argument: Array, first: bool) -> Any:
    """The rows (`first`) or columns as one array of shape ``out.shape + argument.shape``."""
    shape = (*np.shape(out), *argument.shape)
    dtype = argument.dtype
    if _dtype(out).kind == "c" != dtype.kind:
        dtype = np.result_type(dtype, np.complex64)
    if not parts or not all(shape):
        return np.zeros(shape, dtype)
    block = np.stack(parts)
    if not first:
        block = np.moveaxis(block, 0, -1)
    block = np.reshape(block, shape)
    if block.dtype != dtype:
        block = block.astype(dtype)
    if shape == ():
        return Array(block.window, block.storage, scalar=True) if type(block) is Array else block[()]
    return calls.gradient(block, block) if type(block) is Array else block
