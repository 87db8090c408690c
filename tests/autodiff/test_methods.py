"""Every public name of numpy.ndarray: a derivative in both modes, none because it is constant, or a reason."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minpy import grad, jvp
from minpy.autodiff import check_grads
from minpy.errors import GradientError, TraceError

X = np.random.default_rng(3).uniform(0.5, 2.0, (3, 4))


def changed(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A method that writes into its array, as a function of the array before."""

    def function(x: Any) -> Any:
        y = x * x
        change(y)
        return y

    return function


DIFFERENTIATED: dict[str, Callable[[Any], Any]] = {
    "T": lambda x: x.T,
    "astype": lambda x: x.astype(float),
    "clip": lambda x: x.clip(0.7, 1.5),
    "compress": lambda x: x.compress([True, False, True], axis=0),
    "conj": lambda x: (x * (1 + 2j)).conj(),
    "conjugate": lambda x: (x * (1 + 2j)).conjugate(),
    "copy": lambda x: x.copy(),
    "cumprod": lambda x: x.cumprod(1),
    "cumsum": lambda x: x.cumsum(0),
    "diagonal": lambda x: x.diagonal(1),
    "dot": lambda x: x.dot(x.T),
    "fill": changed(lambda y: y[0].fill(y[1, 1])),
    "flat": lambda x: x.flat[::3],
    "flatten": lambda x: x.flatten("F"),
    "imag": lambda x: (x * (1 + 2j)).imag,
    "max": lambda x: x.max(axis=1),
    "mean": lambda x: x.mean(0),
    "min": lambda x: x.min(),
    "partition": changed(lambda y: y.partition(0, axis=0)),
    "prod": lambda x: x.prod(axis=1),
    "ptp": lambda x: x.ptp(1),
    "put": changed(lambda y: y.put([1, 5], y[2, :2])),
    "ravel": lambda x: x.ravel(),
    "real": lambda x: (x * (1 + 2j)).real,
    "repeat": lambda x: x.repeat(2, 1),
    "reshape": lambda x: x.reshape(4, -1),
    "sort": changed(lambda y: y.sort(axis=0)),
    "squeeze": lambda x: x[None].squeeze(0),
    "std": lambda x: x.std(1, ddof=1),
    "sum": lambda x: x.sum(axis=(0, 1)),
    "swapaxes": lambda x: x.swapaxes(0, 1),
    "take": lambda x: x.take([3, 0, 0], axis=1),
    "trace": lambda x: x.trace(),
    "transpose": lambda x: x.transpose(1, 0),
    "var": lambda x: x.var(0),
    "view": lambda x: x.view(),
    "__matmul__": lambda x: x @ x.T,
    "__pow__": lambda x: x**2.5,
    "__rpow__": lambda x: 2.0**x,
    "__truediv__": lambda x: 1 / x / x,
    "__mod__": lambda x: x % 0.4,
    "__divmod__": lambda x: divmod(x, 0.7)[1],
    "__abs__": lambda x: abs(x - 1.1),
    "__neg__": lambda x: +(-x),
    "__iter__": lambda x: sum(row * i for i, row in enumerate(x)),
    "__setitem__": changed(lambda y: y.__setitem__((0, slice(1, 3)), y[2, :2] * 2)),
    "__copy__": lambda x: x.__copy__() * x.__deepcopy__({}),
}
# Answers that do not move with the elements, or move in steps.
CONSTANT: dict[str, Callable[[Any], Any]] = {
    "all": lambda x: x.all(),
    "any": lambda x: x.any(0),
    "argmax": lambda x: x.argmax(1),
    "argmin": lambda x: x.argmin(),
    "argpartition": lambda x: x.argpartition(1, axis=1),
    "argsort": lambda x: x.argsort(0),
    "dtype": lambda x: x.dtype.itemsize,
    "itemsize": lambda x: x.itemsize,
    "nbytes": lambda x: x.nbytes,
    "ndim": lambda x: x.ndim,
    "nonzero": lambda x: x.nonzero()[0],
    "round": lambda x: x.round(1),
    "searchsorted": lambda x: x[0].searchsorted(0.7),
    "shape": lambda x: x.shape[0],
    "size": lambda x: x.size,
    "strides": lambda x: x.strides[0],
}
# Would lose the gradient silently: an error names the line.
REFUSED: dict[str, Callable[[Any], Any]] = {
    "item": lambda x: x.item(0),
    "tolist": lambda x: x.tolist(),
    # A method of the plain array of indices; numpy.choose has a rule.
    "choose": lambda x: np.array([[0, 1, 2, 0]]).choose([x[0], x[1], x[2]]),
}
# About memory, files and dtypes: not array work.
LEFT_ALONE = frozenset(
    "base byteswap ctypes data dump dumps flags getfield itemset newbyteorder resize setfield setflags "
    "tobytes tofile tostring device mT to_device".split()
)


def test_every_public_name_is_in_a_list() -> None:
    names = {name for name in dir(np.ndarray) if not name.startswith("_")}
    if "minpy.array" in sys.modules:  # what arrays are given for programs of the original
        names -= {
            name for name in names if isinstance(vars(np.ndarray)[name], sys.modules["minpy.array"]._Asked)
        }
    assert not names - set(DIFFERENTIATED) - set(CONSTANT) - set(REFUSED) - LEFT_ALONE


@pytest.mark.parametrize("name", [n for n in DIFFERENTIATED if n.startswith("_") or hasattr(np.ndarray, n)])
def test_a_method_has_derivatives_to_second_order_in_both_modes(name: str) -> None:
    function = DIFFERENTIATED[name]
    check_grads(lambda x: np.sin(function(x)), (X,), order=2)
    value = function(X)
    assert np.array_equal(jvp(function, (X,), (X,))[0], value)


@pytest.mark.parametrize("name", list(CONSTANT))
def test_a_constant_answer_has_a_zero_derivative(name: str) -> None:
    function = CONSTANT[name]
    gradient = grad(lambda x: np.sum(function(x) * 1.0) + 0.0 * np.sum(x))(X)
    assert gradient.shape == X.shape and not gradient.any()


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_leaves_the_tape_is_refused(name: str) -> None:
    with pytest.raises((GradientError, TraceError), match="test_methods"):
        grad(lambda x: np.sum(REFUSED[name](x)) * 1.0)(X)
