"""Products of a long matrix and a few columns: NumPy's bits, by code of ours."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import minpy
from minpy.runtime import narrow
from minpy.runtime.jit import engine

pytestmark = pytest.mark.skipif(not engine.is_available(), reason="no compiler (extra jit)")


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(narrow, "_LEAST", 1)
    monkeypatch.setattr(narrow, "_PATIENCE", 0)
    monkeypatch.setattr(narrow, "_known", {})


def numbers(*shape: int) -> np.ndarray:
    rng = np.random.default_rng(sum(shape))
    return rng.normal(size=shape) * 10.0 ** rng.integers(-9, 9, shape)


@pytest.mark.parametrize("columns", range(2, 9))
@pytest.mark.parametrize("terms", [32, 129, 500, 1000])
def test_the_bits_are_numpys(terms: int, columns: int) -> None:
    x, y = numbers(72, terms), numbers(terms, columns)
    for factor in (y, np.asfortranarray(y), y[:, ::-1].copy()):
        found = narrow.product(x, factor)
        if found is None:
            assert narrow._known[72, terms, columns] is None  # another BLAS, whose sums are other ones
        else:
            assert found.tobytes() == np.matmul(x, factor).tobytes()


def test_threads_share_the_rows(monkeypatch) -> None:
    x, y = numbers(808, 64), numbers(64, 5)
    monkeypatch.setattr(narrow, "_SHARE", 1)
    monkeypatch.setattr(narrow.pool, "width", lambda: 3)
    found = narrow.product(x, y)
    assert found is None or found.tobytes() == np.matmul(x, y).tobytes()


def test_a_factor_that_blas_does_not_take_is_numpys() -> None:
    assert narrow.product(numbers(72, 64), numbers(64, 10)[:, ::2]) is None


@pytest.mark.parametrize(
    "x",
    [
        numbers(72, 64).astype("f4"), numbers(71, 64), numbers(64, 72).T, numbers(144, 64)[::2], numbers(72, 31),
    ],
    ids=["singles", "rows that are left over", "turned", "with gaps", "few terms"],
)  # fmt: skip
def test_what_is_numpys(x: np.ndarray) -> None:
    assert narrow.product(x, numbers(x.shape[1], 5).astype(x.dtype)) is None


def test_other_bits_in_rows_beyond_a_few_end_it(monkeypatch) -> None:
    x, y = numbers(72, 64), numbers(64, 5)
    run = narrow._run
    monkeypatch.setattr(
        narrow, "_run", lambda x, y, ends: run(x, y, ends) * (1 if len(x) == narrow._TRIED else 2)
    )
    found = narrow.product(x, y)
    assert found is None or found.tobytes() == np.matmul(x, y).tobytes()
    assert narrow.product(x, y) is None


def test_what_is_not_finite_is_numpys_with_its_warnings() -> None:
    x, y = numbers(72, 64), numbers(64, 5)
    for value in (np.inf, np.nan):
        x[3, 4] = value
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert narrow.product(x, y) is None
    with np.errstate(under="warn"):
        assert narrow.product(numbers(72, 64), y) is None


def test_a_gradient_has_the_value_of_the_program() -> None:
    x, w = numbers(72, 64), numbers(64, 5)

    def loss(w):
        return np.sum(np.tanh(x @ w))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value, slope = minpy.value_and_grad(loss)(w)
    assert value == loss(w)
    np.testing.assert_allclose(slope, x.T @ (1 - np.tanh(x @ w) ** 2), rtol=1e-9, atol=1e-3)
    assert (72, 64, 5) in narrow._known
