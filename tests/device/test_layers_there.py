"""The library's layers on a simulated GPU: what lives there stays, forwards and backwards, with the host's values."""

from __future__ import annotations

import numpy as np
import pytest

import minpy
import minpy.numpy as np_
from minpy.nn import layers
from minpy.runtime.context import cpu, gpu
from minpy.runtime.policy import PreferMXNetPolicy

LABEL = np.arange(40) % 6
PLACES = [False, pytest.param(True, marks=pytest.mark.mxnet)]


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


W, B, GAMMA, ROWS = drawn(6, 6, seed=1), drawn(6, seed=2), drawn(6, seed=3), np.eye(6)[LABEL]

LOSSES = {
    "relu": lambda x: np_.sum(layers.relu(x) * x),
    "sigmoid": lambda x: np_.sum(layers.sigmoid(x) * x),
    "affine": lambda x: np_.sum(np_.square(layers.affine(x, np_.asarray(W), np_.asarray(B)))),
    "batchnorm": lambda x: np_.sum(layers.batchnorm(x, np_.asarray(GAMMA), np_.asarray(B))[0] * x),
    "softmax of numbers": lambda x: layers.softmax_loss(x, LABEL),
    "softmax of rows": lambda x: layers.softmax_loss(x, ROWS),
    "twice the loss": lambda x: 2.0 * layers.softmax_loss(layers.relu(x), LABEL),
}

FILTERS, LSTM_W, GRU_W = drawn(3, 2, 3, 2, seed=4), drawn(6, 12, seed=5), drawn(6, 6, seed=6)


def images(x):
    return np_.reshape(x, (4, 2, 5, 6))


def square(y):
    return np_.sum(np_.square(y))


def convolved(x, **options):
    return layers.convolution(images(x), np_.asarray(FILTERS), np_.asarray(B[:3]), **options)


def sequence(x):
    return np_.reshape(x, (8, 5, 6)), np_.zeros((8, 6))


LOSSES |= {
    "convolution": lambda x: square(convolved(x)),
    "convolution with steps": lambda x: square(convolved(x, stride=(2, 1), pad=(1, 1))),
    "convolution, its filters": lambda x: square(
        layers.convolution(np_.asarray(drawn(4, 2, 5, 6)), np_.reshape(x, (30, 2, 2, 2)), None, pad=1)
    ),
    "maxima": lambda x: square(layers.pooling(images(x), "max", 2)),
    "maxima that overlap": lambda x: square(layers.pooling(images(x), "max", 3, 2, 1)),
    "means": lambda x: square(layers.pooling(images(x), "avg", 3, 2, 1)),
    "spatial_batchnorm": lambda x: np_.sum(
        layers.spatial_batchnorm(images(x), np_.asarray(GAMMA[:2]), np_.asarray(B[:2]))[0] * images(x) ** 2
    ),
    "embedding": lambda x: square(layers.embedding(LABEL.reshape(8, 5), x)),
    "rnn_temporal": lambda x: square(
        layers.rnn_temporal(*sequence(x), np_.asarray(W), np_.asarray(GRU_W), np_.asarray(B))
    ),
    "lstm_temporal": lambda x: square(
        layers.lstm_temporal(
            *sequence(x)[:1], np_.zeros((8, 3)), np_.asarray(LSTM_W), np_.asarray(LSTM_W[:3]), np_.asarray(LSTM_W[0])
        )
    ),
    "gru_temporal": lambda x: square(
        layers.gru_temporal(
            *sequence(x), np_.asarray(LSTM_W), np_.asarray(LSTM_W), np_.asarray(LSTM_W[0]), np_.asarray(W),
            np_.asarray(GRU_W), np_.asarray(B)
        )
    ),
}  # fmt: skip


def there(function, x):
    """A function of an array that lives on the card, and what came back from it meanwhile."""
    with gpu(0), PreferMXNetPolicy():
        x = np_.multiply(x, 1.0)
        found = function(x)
    return found


@pytest.mark.parametrize("name", LOSSES)
def test_values_and_gradients_are_the_hosts_and_stay(machine, name) -> None:
    loss, x = LOSSES[name], drawn(40, 6)
    step = minpy.value_and_grad(loss)
    want, slope = step(x)
    card = machine.cards[0]
    with gpu(0), PreferMXNetPolicy():
        far = np_.multiply(x, 1.0)
        step(far)
        before = card.downloaded
        value, found = step(far)
        fetched = card.downloaded - before
        assert found.context == gpu(0)
    assert np.shape(value) == ()
    np.testing.assert_allclose(float(value), want, rtol=1e-12)
    np.testing.assert_allclose(np.asarray(found), slope, rtol=1e-10, atol=1e-12)
    assert fetched <= 16, f"{fetched} bytes came to the host"


@pytest.mark.parametrize(
    "name",
    [
        "relu",
        "sigmoid",
        "batchnorm",
        "softmax of numbers",
        "convolution with steps",
        "maxima that overlap",
        "means",
        "embedding",
        "lstm_temporal",
    ],
)
def test_second_derivatives(machine, name) -> None:
    loss, x = LOSSES[name], drawn(40, 6)
    twice = minpy.grad(lambda x: np_.sum(np_.square(minpy.grad(loss)(x))))
    np.testing.assert_allclose(np.asarray(there(twice, x)), twice(x), rtol=1e-8, atol=1e-9)


def _writes_to_the_operand(x):
    x = x * 1.0
    y = layers.relu(x)
    x[...] = -x
    return np_.sum(y * x)


def _writes_to_the_result(x):
    y = layers.sigmoid(x)
    y[1:] = y[1:] * 0.5 - 1.0
    y[0] = 3.0
    return np_.sum(y * y)


def _writes_to_a_weight(w):
    w = w * 1.0
    y = layers.affine(drawn(40, 6), w, np_.asarray(B))
    w[2] = 0.0
    w += 1.0
    return np_.sum(y * y) + np_.sum(w)


def _writes_to_a_part(x):
    x = x * 1.0
    part = x[:35]
    y = layers.relu(part)
    part[...] = 1.0
    x[3] = 7.0
    return np_.sum(y * y) + np_.sum(x)


@pytest.mark.parametrize("policy_only", PLACES, ids=["a card", "MXNet's CPU"])
@pytest.mark.parametrize(
    "function", [_writes_to_the_operand, _writes_to_the_result, _writes_to_a_weight, _writes_to_a_part]
)
def test_who_writes_has_memory_of_his_own(request, function, policy_only) -> None:
    """What a layer keeps for its derivative is what it saw."""
    x = drawn(6, 6) if function is _writes_to_a_weight else drawn(40, 6)
    want = minpy.grad(function)(x)
    if policy_only:
        with cpu(), PreferMXNetPolicy():
            found = minpy.grad(function)(x)
    else:
        request.getfixturevalue("machine")
        found = there(minpy.grad(function), x)
    np.testing.assert_allclose(np.asarray(found), want, rtol=1e-12, atol=1e-14)


def test_custom_rules_of_programs_get_plain_arrays(machine) -> None:
    seen = []

    @minpy.custom_vjp
    def cube(x):
        seen.append(type(x))
        return x**3

    def forward(x):
        seen.append(type(x))
        return x**3, x

    cube.defvjp(forward, lambda x, g: (3 * x**2 * g,))
    found = there(minpy.grad(lambda x: np_.sum(cube(x))), drawn(5))
    np.testing.assert_allclose(np.asarray(found), 3 * drawn(5) ** 2)
    assert set(seen) == {np.ndarray}


SCALARS = {
    "a sum": lambda x: np_.sum(x * np_.sum(x)),
    "a quotient": lambda x: np_.sum(np_.exp(x) / np_.sum(np_.exp(x)) * x),
    "a maximum": lambda x: np_.log(np_.sum(np_.exp(x - np_.max(x)))),
    "a choice": lambda x: np_.sum(np_.where(x > 0.5, np_.sum(x), x) ** 2),
    "of another type": lambda x: np_.sum(x * np_.sum(x.astype("f4")).astype("f8")),
}


@pytest.mark.parametrize("policy_only", PLACES, ids=["a card", "MXNet's CPU"])
@pytest.mark.parametrize("name", SCALARS)
def test_scalars_on_the_tape_are_operands_there(request, recorder, name, policy_only) -> None:
    """They are numbers to Python, but their contents are the device's."""
    x, step = drawn(40, 6), minpy.grad(SCALARS[name])
    want = step(x)
    card = None if policy_only else request.getfixturevalue("machine").cards[0]
    with cpu() if policy_only else gpu(0), PreferMXNetPolicy():
        far = np_.multiply(x, 1.0)
        before = 0 if card is None else card.downloaded
        found = step(far)
        assert card is None or card.downloaded - before <= 32
    np.testing.assert_allclose(np.asarray(found), want, rtol=1e-6)
    wrong = [reason for reasons in recorder.reasons.values() for reason in reasons if reason[:5] == "MP107"]
    assert not wrong
