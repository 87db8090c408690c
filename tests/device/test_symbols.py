"""Symbols on a card that MXNet does not drive: as programs of routed functions, with MXNet's values and derivatives."""

from __future__ import annotations

import numpy as np
import pytest

import minpy
import minpy.numpy as np_
from minpy.core import Function, MXNetSymbolError
from minpy.errors import DeviceError
from minpy.runtime.backends.mxnet import load
from minpy.runtime.context import gpu
from minpy.runtime.policy import PreferMXNetPolicy

pytestmark = pytest.mark.mxnet
try:
    S = load().sym
except DeviceError:  # a Python or NumPy too new for it: the mark says why
    S = None


def drawn(shape: tuple[int, ...], name: str) -> np.ndarray:
    return np.random.default_rng(len(name) + sum(shape)).uniform(0.2, 1.5, shape)


def network() -> object:
    h = S.Convolution(S.Variable("x"), name="c", kernel=(3, 3), num_filter=4, pad=(1, 1), stride=(2, 1))
    h = S.Pooling(S.Activation(h, act_type="relu"), kernel=(2, 3), stride=(2, 2), pool_type="max")
    h = S.Pooling(h, kernel=(2, 2), pad=(1, 1), stride=(1, 2), pool_type="avg")
    h = S.FullyConnected(S.Flatten(h), name="f", num_hidden=5, no_bias=True)
    return S.SoftmaxOutput(h, name="s", grad_scale=0.5)


def arithmetic() -> object:
    x, y = S.Variable("x"), S.Variable("y")
    h = 2 * S.exp(x) - y / (1.5 + x) + (3 - y) ** 2
    return S.sum(S.broadcast_mul(h, S.sum(S.sqrt(y), axis=1, keepdims=True)), axis=0)


SYMBOLS = {
    "network": (network, {"x": (3, 2, 8, 9), "s_label": (3,)}),
    "loss of a batch": (
        lambda: S.SoftmaxOutput(S.Variable("x"), name="s", normalization="batch", grad_scale=3.0),
        {"x": (3, 4), "s_label": (3,)},
    ),
    "arithmetic": (arithmetic, {"x": (4, 3), "y": (4, 3)}),
    "softmax": (lambda: S.log_softmax(S.Variable("x"), axis=1), {"x": (4, 5)}),
    "shapes": (
        lambda: S.transpose(S.Reshape(S.Concat(S.Variable("x"), S.Variable("y"), dim=1), shape=(0, 2, -1))),
        {"x": (3, 4), "y": (3, 2)},
    ),
    "products": (
        lambda: S.dot(S.Variable("x"), S.Variable("y"), transpose_b=True),
        {"x": (3, 4), "y": (5, 4)},
    ),
    "means": (
        lambda: S.Pooling(
            S.Activation(S.Variable("x"), act_type="softrelu"), global_pool=True, pool_type="avg"
        ),
        {"x": (2, 3, 4, 5)},
    ),
    "two results": (
        lambda: S.Group([S.tanh(S.Variable("x")), S.sum(S.Variable("y"))]),
        {"x": (3, 4), "y": (2,)},
    ),
}
HOSTS = {
    "maxima": (lambda: S.max(S.Variable("x"), axis=1), {"x": (3, 4)}),
    "normalised": (lambda: S.BatchNorm(S.Variable("x"), name="n"), {"x": (4, 3, 2, 2)}),
    "groups": (
        lambda: S.Convolution(S.Variable("x"), name="c", kernel=(2, 2), num_filter=4, num_group=2),
        {"x": (2, 4, 4, 4)},
    ),
    "rounded up": (
        lambda: S.Pooling(S.Variable("x"), kernel=(2, 2), stride=(2, 2), pooling_convention="full"),
        {"x": (2, 2, 5, 5)},
    ),
}


def prepared(name: str) -> tuple:
    make, shapes = (SYMBOLS | HOSTS)[name]
    f = Function(make(), input_shapes=shapes)
    shapes = {**shapes, **{k: v["shape"] for k, v in f.get_params().items()}}
    given = {k: drawn(v, k) - (0.8 if k.endswith("weight") else 0) for k, v in shapes.items()}
    given |= {k: np.arange(3.0) for k in given if k.endswith("label")}
    return f, given


def total(results: object) -> object:
    parts = results if isinstance(results, tuple) else (results,)
    return sum(np_.sum(np_.square(part)) for part in parts)


@pytest.mark.parametrize("name", [*SYMBOLS, *HOSTS])
def test_as_mxnet(machine, name: str) -> None:
    f, given = prepared(name)
    names = [each for each in given if not each.endswith("label")]
    rest = {k: v for k, v in given.items() if k not in names}

    def step(*values):
        return total(f(**dict(zip(names, values, strict=True)), **rest))

    values, every = [given[each] for each in names], tuple(range(len(names)))
    want, slopes = f(**given), minpy.grad(step, every)(*values)
    card = machine.cards[0]
    with gpu(0), PreferMXNetPolicy():
        far = [np_.multiply(value, 1.0) for value in values]
        minpy.grad(step, every)(*far)
        before = card.downloaded
        found = minpy.grad(step, every)(*far)
        fetched = card.downloaded - before
        result = f(**given)
    if name in SYMBOLS:
        assert fetched <= 32, fetched
    for a, b in zip(found, slopes, strict=True):
        np.testing.assert_allclose(np.asarray(a), b, rtol=1e-9, atol=1e-12)
    several = isinstance(want, tuple)
    for a, b in zip(result if several else [result], want if several else [want], strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        np.testing.assert_allclose(np.asarray(a), b, rtol=1e-10)


def test_wrong_arguments_say_the_same(machine) -> None:
    f, given = prepared("network")
    for wrong in ({"x": np.ones((3, 2, 8))}, {"f_weight": np.ones((5, 7))}):
        with pytest.raises(MXNetSymbolError) as want:
            f(**(given | wrong))
        with gpu(0), pytest.raises(MXNetSymbolError) as found:
            f(**(given | wrong))
        assert str(found.value) == str(want.value)
    del given["x"]
    with gpu(0), pytest.raises(MXNetSymbolError, match="lacks x"):
        f(**given)
