"""Functions of the explicit namespace that NumPy has not: the original's own, and MXNet's operators.

The few that the manual shows are written in NumPy. Every other operator of MXNet (``np.batch_dot``, ``np.LeakyReLU``)
is one of a symbol, loaded when it is asked for, and differentiable as `minpy.core.Function` is.
"""

from __future__ import annotations

import builtins
import functools
from collections.abc import Sequence
from typing import Any

import numpy

from minpy.autodiff import custom
from minpy.errors import ArgumentError, DeviceError
from minpy.runtime import namespace

np: Any = namespace.numpy_door()

OLD_TYPES = {name: getattr(builtins, name) for name in ("bool", "int", "float", "complex", "object", "str")}
OLD_TYPES["long"] = int


def sigmoid(x: Any) -> Any:
    """``1 / (1 + exp(-x))``, without overflow."""
    from minpy.nn import layers

    return layers.sigmoid(x)


def onehot_encode(indices: Any, out: Any) -> Any:
    """Write a row for each index into `out`: one there, zero elsewhere.

    Parameters
    ----------
    indices : array, shape (N,)
    out : array, shape (N, C)

    Returns
    -------
    array
        `out`.

    Raises
    ------
    ArgumentError
        If an index is out of range, or the shapes do not fit.
    """
    from minpy.runtime.array import host

    chosen = numpy.asarray(host(indices))
    if chosen.ndim != 1 or numpy.ndim(out) != 2 or numpy.shape(out)[0] != len(chosen):
        raise ArgumentError(
            f"onehot_encode: indices must have the shape (N,) and out (N, C), not {chosen.shape} and "
            f"{numpy.shape(out)}"
        )
    number = numpy.shape(out)[1]
    if len(chosen) and not (0 <= chosen.min() and chosen.max() < number):
        raise ArgumentError(
            f"onehot_encode: indices must be from 0 to {number - 1}, the columns of out; they are from "
            f"{chosen.min()} to {chosen.max()}"
        )
    out[...] = 0
    out[numpy.arange(len(chosen)), chosen.astype(int)] = 1
    return out


@custom.custom_vjp
def softmax_output(x: Any, onehot: Any) -> Any:
    """Softmax of each row; its derivative is that of the cross entropy with `onehot`, whatever comes from above.

    As MXNet's ``SoftmaxOutput``, an output layer with its loss inside. `minpy.nn.layers.softmax_loss` is the loss.

    Parameters
    ----------
    x, onehot : array, shape (N, C)

    Returns
    -------
    array, shape (N, C)
    """
    return _softmax(x)


def _softmax(x: Any) -> Any:
    e = np.exp(x - np.max(x, axis=-1, keepdims=True))
    return e / np.sum(e, axis=-1, keepdims=True)


def _softmax_output_forward(x: Any, onehot: Any) -> tuple[Any, Any]:
    prob = _softmax(x)
    return prob, (prob, onehot)


def _softmax_output_backward(saved: tuple[Any, Any], g: Any) -> tuple[Any, None]:
    prob, onehot = saved
    return prob - onehot, None


softmax_output.defvjp(_softmax_output_forward, _softmax_output_backward)


def slice_axis(data: Any, axis: int, begin: int, end: int | None) -> Any:
    """The elements from `begin` to `end` along one axis."""
    places: list[Any] = [slice(None)] * numpy.ndim(data)
    places[axis] = slice(begin, end)
    return data[tuple(places)]


def crop(data: Any, begin: Sequence[int | None], end: Sequence[int | None]) -> Any:
    """The elements from `begin` to `end` along the first axes."""
    if len(begin) != len(end) or len(begin) > numpy.ndim(data):
        raise ArgumentError(
            f"crop: begin and end must have one number for each of the first axes of data, whose shape is "
            f"{numpy.shape(data)}; they are {begin} and {end}"
        )
    return data[tuple(map(slice, begin, end))]


def norm(data: Any) -> Any:
    """The square root of the sum of all squares."""
    return np.sqrt(np.sum(np.square(data)))


def batch_dot(lhs: Any, rhs: Any, transpose_a: bool = False, transpose_b: bool = False) -> Any:
    """The products of matrices, one for each element of the first axis: (B, N, K) and (B, K, M) give (B, N, M)."""
    if transpose_a:
        lhs = np.swapaxes(lhs, 1, 2)
    if transpose_b:
        rhs = np.swapaxes(rhs, 1, 2)
    return np.matmul(lhs, rhs)


def _minpy_getitem(arr: Any, index: Any) -> Any:
    return arr[index]


OWN = {
    function.__name__: function
    for function in (
        sigmoid,
        onehot_encode,
        softmax_output,
        slice_axis,
        crop,
        norm,
        batch_dot,
        _minpy_getitem,
    )
}


def find(name: str) -> Any:
    """The function `name`, None if there is none."""
    found = OWN.get(name, OLD_TYPES.get(name))
    if found is None and not name.startswith("_"):
        from minpy.runtime.backends.mxnet import load

        try:
            symbols = load().sym
        except DeviceError:
            return None
        # (The functions for operators are generated, and not of a module of the package.)
        if getattr(getattr(symbols, name, None), "__module__", "mxnet").partition(".")[0] != "mxnet":
            found = _operator(name, getattr(symbols, name))
    return found


def _operator(name: str, make: Any) -> Any:
    @functools.lru_cache(maxsize=128)
    def function(args: tuple, kwargs: tuple) -> Any:
        from minpy.runtime.backends.mxnet import load
        from minpy.symbols import Function

        variable = load().sym.Variable

        def one(value: Any) -> Any:
            return variable(value.name) if type(value) is _Operand else value

        symbol = make(*map(one, args), **{key: one(value) for key, value in kwargs})
        return Function(symbol, name=name)

    def operator(*args: Any, **kwargs: Any) -> Any:
        given: dict[str, Any] = {}

        def one(value: Any, key: str) -> Any:
            if isinstance(value, numpy.ndarray):
                given[key] = value
                return _Operand(key)
            return tuple(value) if isinstance(value, list) else value

        places = tuple(one(value, f"operand{i}") for i, value in enumerate(args))
        named = tuple(sorted((key, one(value, f"{name}_{key}")) for key, value in kwargs.items()))
        return function(places, named)(**given)

    operator.__name__ = operator.__qualname__ = name
    operator.__doc__ = make.__doc__
    return operator


class _Operand:
    """Stands for an array among the arguments of an operator."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return type(other) is _Operand and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __lt__(self, other: Any) -> bool:  # (names of arguments are different: this is never the answer)
        return False
