"""Cotangents of matrices: put off and multiplied out together, by parts that fit the cache, summed by products."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minpy
from minpy.runtime import blas, deferred, multiply, packed


@minpy.accelerate
def unrolled(w: Any, x: Any, steps: int, left: bool) -> Any:
    total = 0.0
    for t in range(steps):
        h = np.tanh(w @ x[t].T).T if left else np.tanh(x[t] @ w)
        total = total + np.sum(h * h)
        x[t] *= 0.5  # what was multiplied is overwritten
    return total


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize(
    ("rows", "shape", "steps"),
    [(32, (192, 200), 20), (8, (64, 96), 150), (3, (40, 41), 7), (100, (33, 40), 3)],
)
def test_many_products(left: bool, rows: int, shape: tuple[int, int], steps: int) -> None:
    """More steps than wait for a matrix at a time, and fewer; the factors are overwritten meanwhile."""
    rng = np.random.default_rng(2)
    w = rng.normal(size=shape) / 10
    x = rng.normal(size=(steps, rows, shape[1] if left else shape[0]))
    each = [np.tanh(s @ (w.T if left else w)) for s in x]
    expected = sum(s.T @ (2 * h * (1 - h * h)) for s, h in zip(x, each, strict=True))
    before = x.copy()
    value, found = minpy.value_and_grad(unrolled)(w, x, steps, left)
    assert np.isclose(value, sum(np.sum(h * h) for h in each), rtol=1e-13)
    assert np.allclose(found, expected.T if left else expected, rtol=1e-11, atol=1e-11)
    assert np.array_equal(x, before * 0.5)


def test_waiting_is_bounded() -> None:
    """However many products there are, what waits for a matrix is a few times its size."""
    x, g = np.ones((32, 64)), np.ones((32, 96))
    waiting = deferred.Sum(g)
    for turn in range(1000):
        h = g.copy()
        waiting.add("w", "w", x, h)
        if turn % 2:
            waiting.add("b", "b", None, h)  # the same rows
            waiting.add("u", "u", x[:, :40], h)
        waiting.add("w", "w", x, h)
    assert waiting._right.size <= 1 << 17
    assert sum(each.left.size for each in waiting._members.values()) <= 3 << 17
    found = dict(waiting.take())
    assert np.array_equal(found["w"], np.full((64, 96), 64_000.0))
    assert np.array_equal(found["u"], np.full((40, 96), 16_000.0))
    assert np.array_equal(found["b"].ravel(), np.full(96, 16_000.0))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("columns", [1, 2, 5, 32, 33])
@pytest.mark.parametrize("rows", [127, 1000, 4001])
def test_narrow_products(dtype: str, columns: int, rows: int) -> None:
    rng = np.random.default_rng(rows + columns)
    x = rng.normal(size=(rows, 300)).astype(dtype)
    w, b = rng.normal(size=(300, columns)).astype(dtype), rng.normal(size=columns).astype(dtype)

    @minpy.accelerate
    def loss(w: Any, b: Any) -> Any:
        return np.sum(np.tanh(0.05 * (x @ w + b)))

    h = np.tanh(0.05 * (x @ w + b))
    g = 0.05 * (1 - h * h)
    tolerance = 1e-11 if dtype == "float64" else 1e-3
    dw, db = minpy.grad(loss, (0, 1))(w, b)
    assert dw.dtype == db.dtype == np.dtype(dtype) and dw.flags.c_contiguous
    assert np.allclose(dw, x.T @ g, rtol=tolerance, atol=tolerance)
    assert np.allclose(db, g.sum(0), rtol=tolerance, atol=tolerance)


def test_gradients_are_nobody_elses() -> None:
    """What one call handed out does not change with the next, nor when it is written to."""
    rng = np.random.default_rng(5)
    x, w = rng.normal(size=(20, 30)), rng.normal(size=(30, 40))
    gradient = minpy.grad(minpy.accelerate(lambda w: np.sum(x @ w)))
    first = gradient(w)
    kept = first.copy()
    first[:] = 0
    assert np.array_equal(gradient(w), kept) and first.flags.owndata


@pytest.mark.parametrize("keep", [(slice(None), None), (None, slice(None))])
def test_sums_along_an_axis(keep: tuple) -> None:
    """A row or a column that was broadcast over a matrix, ones of not-finite numbers too."""
    rng = np.random.default_rng(6)
    g = rng.normal(size=(40, 50))
    g[3, 4] = np.inf
    v = rng.normal(size=40 if keep[1] is None else 50)
    found = minpy.grad(minpy.accelerate(lambda v: np.sum(v[keep] * g)))(v)
    expected = g.sum(1 if keep[1] is None else 0)
    assert np.allclose(found, expected, rtol=1e-12, atol=1e-12)


def _loss(a: Any, b: Any) -> Any:
    c = a @ b  # both active
    d = c @ c.T + a @ a.T  # a matrix and a view of it
    c[1:3] += a[:2] @ b * 0.5  # the cotangent of a part, lent
    b[0] = 0.25  # what was multiplied is overwritten
    e = K @ c + c[::-1] @ SQUARE  # constants on either side, a view
    return np.sum(np.tanh(0.01 * d)) + np.sum(e * e) + np.sum(b @ SQUARE)


K, SQUARE = np.linspace(-1, 1, 36).reshape(6, 6), np.linspace(0, 1, 25).reshape(5, 5)


def test_products_of_matrices() -> None:
    rng = np.random.default_rng(9)
    a, b = rng.normal(size=(6, 4)), rng.normal(size=(4, 5))
    traced = minpy.accelerate(_loss)
    value, found = minpy.value_and_grad(traced, (0, 1))(a.copy(), b.copy())
    assert value == _loss(a.copy(), b.copy())
    for i, (matrix, gradient) in enumerate(zip((a, b), found, strict=True)):
        for place in np.ndindex(matrix.shape):
            ends = []
            for step in (1e-6, -1e-6):
                moved = [a.copy(), b.copy()]
                moved[i][place] += step
                ends.append(_loss(*moved))
            assert np.isclose(gradient[place], (ends[0] - ends[1]) / 2e-6, rtol=1e-6, atol=1e-6)


def test_products_that_are_refused() -> None:
    gradient = minpy.grad(minpy.accelerate(lambda a: np.sum(a @ np.ones((3, 2)))))
    with pytest.raises(ValueError, match="mismatch"):
        gradient(np.ones((2, 4)))
    assert np.array_equal(gradient(np.ones((2, 3), np.float32)), np.full((2, 3), 2.0))
    assert gradient(np.ones((0, 3))).shape == (0, 3)


def test_errors_in_the_sweep_name_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from minpy.runtime import multiply

    def broken(*_: Any) -> Any:
        raise FloatingPointError("as asked")

    monkeypatch.setattr(multiply, "_dot", broken)
    with pytest.raises(
        minpy.errors.GradientError, match=r"matmul .*failed: FloatingPointError: as asked.* line \d+"
    ):
        minpy.grad(minpy.accelerate(lambda a: np.sum(a @ np.ones((3, 2)))))(np.ones((2, 3)))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_products_are_added_as_they_are_made(dtype, monkeypatch) -> None:
    """The cotangent of a matrix that is a factor of several products, too large each to be put off."""
    rng = np.random.default_rng(4)
    w, xs, cs = (rng.normal(size=shape).astype(dtype) for shape in ((40, 40), (5, 96, 40), (5, 96, 40)))
    made = []
    original = multiply.blas.add_dot
    monkeypatch.setattr(multiply.blas, "add_dot", lambda *args: made.append(1) or original(*args))

    def loss(w):
        total = np.sum(w * w)
        for x, c in zip(xs, cs, strict=True):
            total = total + np.sum(c * (x @ w))
        return total + np.sum(w @ w)

    slope = minpy.grad(loss)(w)
    ones = np.ones_like(w)
    wanted = 2 * w + sum(x.T @ c for x, c in zip(xs, cs, strict=True)) + ones @ w.T + w.T @ ones
    assert slope.dtype == dtype and made
    np.testing.assert_allclose(slope, wanted, rtol=1e-4 if dtype == "float32" else 1e-11, atol=1e-3)


def test_products_under_fast_math(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are the library's, where they are worth it; without the option they are NumPy's to the bit."""
    rng = np.random.default_rng(6)
    x, w = rng.normal(size=(90, 80)), rng.normal(size=(80, 70))
    made = []
    monkeypatch.setattr(multiply, "_loose", lambda a, b: made.append(a.shape) or blas.loose(a, b))
    both = minpy.value_and_grad(minpy.accelerate(lambda w: np.sum(x @ w)))
    value, gradient = both(w)
    assert value == np.sum(x @ w) and not made
    monkeypatch.setenv("MINPY_FAST_MATH", "1")
    free, other = both(w)
    assert made == [(90, 80)] and np.isclose(free, value, rtol=1e-11)
    assert np.array_equal(gradient, other)


@pytest.mark.parametrize("source", [None, "mkl", "blas", "copy"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_factor_of_many_products(monkeypatch: pytest.MonkeyPatch, source: str | None, dtype: type) -> None:
    """Packed or not, by every library that there is, in rows or in columns; of another number of rows as well."""
    if source is not None:
        monkeypatch.setattr(blas, "_SOURCES", tuple(each for each in blas._SOURCES if each[0] == source))
        library = blas._load()
        if library is None:
            pytest.skip(f"no {source} here")
        monkeypatch.setattr(blas, "_library", library)
    else:
        monkeypatch.setattr(blas, "_library", None)
    rng = np.random.default_rng(9)
    for shape in ((200, 96), (64, 130)):
        for matrix in (
            rng.normal(size=shape),
            rng.normal(size=shape[::-1]).T,
            rng.normal(size=(shape[0], 300)),
        ):
            y = matrix.astype(dtype, order="K")[:, : shape[1]]
            factor = packed.Factor(y, 40)
            for rows in (40, 33, 40):
                x = rng.normal(size=(rows, shape[0])).astype(dtype)
                assert packed.pays(x, y)
                tolerance = 500 * np.finfo(dtype).eps
                assert np.allclose(factor.product(x), x @ y, rtol=0, atol=tolerance)
                assert np.array_equal(factor.finite(x), factor.product(x))
                small = x * np.finfo(dtype).tiny
                assert factor.finite(small) is not None
                with np.errstate(under="raise"):  # as NumPy would, if something is too small
                    assert source != "mkl" or factor.finite(x) is not None
                    assert factor.finite(small) is None
                for value in (np.finfo(dtype).max, np.inf):
                    x[3:5] = value  # overflows, and has no value: NumPy warns
                    assert factor.finite(x) is None
    assert not packed.pays(x[:2], y) and not packed.pays(np.zeros((65, 200)), y)


@minpy.accelerate
def written_between(w: Any, x: Any) -> Any:
    h = x
    for _ in range(6):
        h = np.tanh(h @ w)
        w *= 0.9
    return np.sum(h)


@minpy.accelerate
def recurrent(w: Any, x: Any) -> Any:
    h = x
    for _ in range(6):
        h = np.tanh(h @ w)
    return np.sum(h)


@pytest.mark.parametrize("factor", [1.0, 0.9])
def test_a_matrix_that_is_packed_in_the_sweep(factor: float) -> None:
    """Not where it is written to between two products."""
    rng = np.random.default_rng(10)
    w, x = rng.normal(size=(96, 96)) / 20, rng.normal(size=(33, 96))
    given = w.copy()
    found = minpy.grad(recurrent if factor == 1.0 else written_between, (0, 1))(given, x)
    values = [x]
    for k in range(6):
        values.append(np.tanh(values[-1] @ (w * factor**k)))
    g, expected = np.ones_like(values[-1]), np.zeros_like(w)
    for k in reversed(range(6)):
        g = g * (1 - values[k + 1] ** 2)
        expected += (values[k].T @ g) * factor**k
        g = g @ (w * factor**k).T
    assert np.allclose(found[0], expected, rtol=1e-10, atol=1e-12)
    assert np.allclose(found[1], g, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("writes", ["nothing", "the factor", "what it was made of", "another one"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_factors_of_many_products_under_fast_math(
    dtype: str, writes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program's products with one matrix, packed while nothing writes to it."""
    rng = np.random.default_rng(8)
    start, u, x = (rng.normal(size=size).astype(dtype) for size in ((128, 128), (128, 128), (6, 32, 128)))
    packings = []
    original = packed.Factor.__init__
    monkeypatch.setattr(
        packed.Factor, "__init__", lambda self, y, rows: packings.append(rows) or original(self, y, rows)
    )
    w = start.copy()

    @minpy.accelerate
    def loss(v: Any, u: Any) -> Any:
        total = 0
        other = np.zeros(3, dtype)
        for i, step in enumerate(x):
            if i == 4 and writes == "the factor":
                v[3] = 0.5
            if i == 4 and writes == "what it was made of":
                w[3] = 0.5
            if writes == "another one":
                other[1] = i
            total = total + np.sum(np.tanh(0.1 * (step @ v + step @ u)))
        return total + other[0]

    both = minpy.value_and_grad(loss, (0, 1))
    monkeypatch.delenv("MINPY_FAST_MATH", raising=False)
    value, gradients = both(w, u)
    before = len(packings)
    w[:] = start
    monkeypatch.setenv("MINPY_FAST_MATH", "1")
    free, others = both(w, u)
    assert len(packings) - before >= 2
    tolerance = 1e-11 if dtype == "float64" else 1e-4
    assert np.isclose(free, value, rtol=tolerance, atol=100 * tolerance)
    for one, other in zip(gradients, others, strict=True):
        assert np.allclose(one, other, rtol=tolerance, atol=tolerance)
