"""Compiled maxima of windows, and the derivative of relu: what NumPy makes of them."""

from __future__ import annotations

import numpy as np
import pytest

from minpy.nn.kernels import arithmetic, maxima, pooling
from minpy.nn.kernels.masks import masked
from minpy.nn.kernels.windows import Windows
from minpy.nn.layers import dense
from minpy.runtime import ledger
from minpy.runtime.fuse import native

pytest.importorskip("llvmlite", reason="the extra jit compiles these")

REAL = native.compiled


@pytest.fixture(autouse=True)
def waited(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """Everything is compiled, and waited for, by two threads if there are two."""
    monkeypatch.setenv("MINPY_CACHE_DIR", str(tmp_path))
    compiled = native.compiled
    monkeypatch.setattr(native, "compiled", lambda text, wait: compiled(text, wait=True))
    monkeypatch.setattr(maxima, "_LEAST", 0)
    monkeypatch.setattr(maxima, "_SHARE", 100)
    monkeypatch.setattr(dense, "_COMPILED", 0)


def images(shape: tuple[int, ...], dtype: type) -> np.ndarray:
    rng = np.random.default_rng(3)
    x = rng.integers(-3, 4, shape).astype(dtype)  # with ties
    x[rng.random(shape) < 0.05] = np.nan
    x[rng.random(shape) < 0.05] = -np.inf
    x[0, 0] = -np.inf
    return x


@pytest.mark.parametrize("layout", ["C", "channels last", "every second"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "kernel, size",
    [((2, 2), (8, 40)), ((2, 2), (7, 39)), ((3, 2), (9, 20)), ((1, 3), (5, 33)), ((4, 4), (3, 9))],
)
def test_maxima(kernel, size, dtype: type, layout: str) -> None:
    if size[0] < kernel[0]:
        size = kernel
    shape = 3, 4, *size
    x = images(shape, dtype)
    if layout == "channels last":
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    elif layout == "every second":
        x = np.repeat(x, 2, axis=3)[..., ::2]
    windows = Windows(shape, kernel, kernel, (0, 0))
    best, which = maxima.largest(x, windows)
    expected = pooling._largest(x, windows)
    assert np.array_equal(best, expected, equal_nan=True) and best.dtype == dtype
    assert np.array_equal(which, pooling._place(x, expected, windows))
    g = np.random.default_rng(4).normal(size=best.shape).astype(dtype)
    assert np.array_equal(maxima.spread(g, which, windows), pooling._scattered(g, which, windows))
    turned = np.asfortranarray(g)
    assert np.array_equal(maxima.spread(turned, which, windows), pooling._scattered(g, which, windows))


@pytest.mark.parametrize(
    "dtype, kernel, stride, pad",
    [
        (np.float64, (3, 3), (2, 2), (0, 0)),
        (np.float64, (2, 2), (2, 2), (1, 1)),
        (np.float64, (2, 2), (3, 3), (0, 0)),
        (np.float64, (7, 7), (7, 7), (0, 0)),
        (np.int64, (2, 2), (2, 2), (0, 0)),
        (np.float16, (2, 2), (2, 2), (0, 0)),
    ],
)
def test_other_windows_are_not_compiled(dtype: type, kernel, stride, pad) -> None:
    x = np.zeros((2, 2, 14, 14), dtype)
    windows = Windows(x.shape, kernel, stride, pad)
    assert maxima.largest(x, windows) is None
    best = pooling._largest(x, windows)
    assert maxima.spread(best, np.zeros(best.shape, np.uint8), windows) is None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_derivative_of_relu(dtype: type) -> None:
    y, g = images((3, 4, 5, 7), dtype), images((3, 4, 5, 7), dtype)[::-1]
    for each in (g, np.ascontiguousarray(g)):
        found = dense._where_positive(y, each)
        assert found.tobytes() == masked(each, np.greater(y, 0)).tobytes()


def test_nothing_is_compiled_that_takes_too_much_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the ledger does not allow stays as it was; an earlier run's code is taken in any case."""
    monkeypatch.setattr("sys.dont_write_bytecode", False)  # else nothing is kept
    rows = arithmetic.Rows(("x",), ("y",), "y = x * 3.0")
    compiled = native.compiled
    monkeypatch.setattr(ledger, "allows_sure", lambda expected: False)
    monkeypatch.setattr(native, "compiled", lambda text, wait: REAL(text, wait=False))
    assert rows.ready("d") is None
    monkeypatch.setattr(native, "compiled", compiled)
    assert rows.ready("d") is not None
    monkeypatch.setattr(native, "compiled", lambda text, wait: REAL(text, wait=False))
    assert arithmetic.Rows(("x",), ("y",), "y = x * 3.0").ready("d") is not None
