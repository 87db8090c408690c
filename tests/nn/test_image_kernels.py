"""Compiled maxima of windows, and the derivative of relu: what NumPy makes of them."""

from __future__ import annotations

import numpy as np
import pytest

import minpy
from minpy.nn import layers
from minpy.nn.kernels import (
    arithmetic,
    blocked,
    blocked_maxima,
    chain,
    convolution,
    engine,
    maxima,
    pooling,
    rectifier,
    seen_maxima,
    shared,
)
from minpy.nn.kernels.masks import masked
from minpy.nn.kernels.windows import Windows
from minpy.runtime import ledger
from minpy.runtime.fuse import native, pool

pytest.importorskip("llvmlite", reason="the extra jit compiles these")

REAL = native.compiled


@pytest.fixture(autouse=True)
def waited(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """Everything is compiled, and waited for, by two threads if there are two."""
    monkeypatch.setenv("MINPY_CACHE_DIR", str(tmp_path))
    compiled = native.compiled
    monkeypatch.setattr(native, "compiled", lambda text, wait: compiled(text, wait=True))
    monkeypatch.setattr(maxima, "_LEAST", 0)
    monkeypatch.setattr(blocked, "_LEAST", 0)
    monkeypatch.setattr(shared, "_SHARE", 100)
    monkeypatch.setattr(rectifier, "_COMPILED", 0)


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
        found = rectifier.where_positive(y, each)
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


@pytest.mark.parametrize("shape", [(1, 16, 4, 4), (3, 32, 8, 6), (2, 48, 1, 16), (5, 64, 16, 16)])
def test_plain_order(shape: tuple[int, ...]) -> None:
    n, channels, *places = shape
    x = np.random.default_rng(5).normal(size=shape).astype(np.float32)
    order = x.reshape(n, channels // 16, 16, *places).transpose(0, 1, 3, 4, 2)
    assert blocked.fits(shape)
    assert np.array_equal(blocked.plain(np.ascontiguousarray(order).reshape(shape)), x)


@pytest.mark.parametrize("shape", [(2, 8, 4, 4), (2, 16, 5, 5), (2, 16, 1, 1)])
def test_images_that_are_no_squares_of_sixteen(shape: tuple[int, ...]) -> None:
    assert not blocked.fits(shape)


@pytest.mark.parametrize("wanted", [(True, True, True), (False, True, True), (False, False, False)])
@pytest.mark.parametrize(
    "filters, channels, side, stride", [(32, 3, 16, 1), (64, 32, 8, 1), (16, 16, 32, 2), (24, 8, 8, 1)]
)
def test_results_of_convolutions_are_what_mxnet_shows(
    monkeypatch: pytest.MonkeyPatch, filters: int, channels: int, side: int, stride: int, wanted: tuple
) -> None:
    mx = pytest.importorskip("mxnet", reason="needs the extra cpu", exc_type=ImportError)
    monkeypatch.setattr(engine.Kept, "_in_blocks", {})
    rng = np.random.default_rng(6)
    windows = Windows((4, channels, side, side), (3, 3), (stride, stride), (1, 1))
    w = rng.normal(size=(filters, channels, 3, 3)).astype(np.float32)
    operator = convolution._operator(mx, w, windows, True)
    images, options = (4, filters, *windows.out), (windows.stride, windows.pad)
    for _ in range(3):  # the first shows how the memory is ordered
        x = rng.normal(size=windows.shape).astype(np.float32)
        b = rng.normal(size=filters).astype(np.float32)
        g = rng.normal(size=images).astype(np.float32)
        here = engine.Kept(mx, operator, [x, w, b], wanted, images, options)
        there = engine.Kept(mx, operator, [x, w, b], wanted)
        assert np.array_equal(here.result(), there.result())
        if any(wanted):
            for _ in range(2):
                for d, expected in zip(here.cotangents(g), there.cotangents(g), strict=True):
                    assert d is expected is None or np.array_equal(d, expected)
    assert len(engine.Kept._in_blocks) == blocked.fits(images) + (wanted[0] and blocked.fits(windows.shape))


def test_memory_in_another_order_is_left_to_mxnet(monkeypatch: pytest.MonkeyPatch) -> None:
    mx = pytest.importorskip("mxnet", reason="needs the extra cpu", exc_type=ImportError)
    monkeypatch.setattr(engine.Kept, "_in_blocks", {})
    monkeypatch.setattr(blocked, "plain", lambda memory: -memory)
    rng = np.random.default_rng(7)
    windows = Windows((4, 16, 8, 8), (3, 3), (1, 1), (1, 1))
    x, w = (rng.normal(size=s).astype(np.float32) for s in (windows.shape, (16, 16, 3, 3)))
    operands = [x, w, np.zeros(16, np.float32)]
    operator = convolution._operator(mx, w, windows, True)
    expected = engine.Kept(mx, operator, operands, (True,) * 3).result()
    for _ in range(3):
        found = engine.Kept(mx, operator, operands, (True,) * 3, (4, 16, *windows.out), ())
        assert np.array_equal(found.result(), expected)
    assert list(engine.Kept._in_blocks.values()) == [False]


def rectified_maxima(x: np.ndarray, how: str) -> np.ndarray:
    y = layers.relu(x)
    if how == "looked at":
        y.sum()
    elif how == "used twice":
        return (layers.pooling(y) * 3).sum() + (y * y).sum()
    elif how == "operand written to":
        x[0] = 5
    elif how == "written to":
        y[0] = 5
    elif how == "written to later":
        best = layers.pooling(y)
        found = (best * best).sum()
        best[...] = -1
        y[...] = -1
        return found
    elif how == "a part":
        y = y[1:]
    return (layers.pooling(y) ** 2).sum()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "how, hits",
    [
        ("", 1),
        ("looked at", 0),
        ("used twice", 1),
        ("operand written to", 0),
        ("written to", 0),
        ("written to later", 1),
        ("a part", 0),
    ],
)
def test_maxima_right_after_relu(monkeypatch: pytest.MonkeyPatch, dtype: type, how: str, hits: int) -> None:
    """The gradient is bit for bit what relu and the maximum give one after the other."""
    x = images((2, 3, 6, 8), dtype)
    x[~np.isfinite(x)] = 0
    calls = []
    largest = pooling._positive_max
    monkeypatch.setattr(pooling, "_positive_max", lambda *args: calls.append(1) or largest(*args))
    function = minpy.accelerate(rectified_maxima)
    found = minpy.grad(function)(x.copy(), how)
    assert len(calls) == hits
    monkeypatch.setattr(pooling, "rectified", lambda y: None)
    expected = minpy.grad(function)(x.copy(), how)
    assert len(calls) == hits and np.array_equal(found, expected)


def test_maxima_right_after_relu_of_what_is_not_finite() -> None:
    x = images((2, 3, 6, 8), np.float64)
    g = minpy.grad(lambda x: layers.pooling(layers.relu(x)).sum())(x)
    windows = Windows(x.shape, (2, 2), (2, 2), (0, 0))
    y = np.maximum(x, 0)
    best = pooling._largest(y, windows)
    spread = pooling._scattered(np.ones_like(best), pooling._place(y, best, windows), windows)
    assert np.array_equal(g, np.where(y > 0, spread, 0))


def test_derivatives_of_higher_order_of_maxima_right_after_relu() -> None:
    x = images((2, 3, 4, 4), np.float64)
    x[~np.isfinite(x)] = 0

    def cubes(x: np.ndarray) -> np.ndarray:
        return (layers.pooling(layers.relu(x)) ** 3).sum()

    second = minpy.grad(lambda x: (minpy.grad(cubes)(x) ** 2).sum())(x)
    y = np.maximum(x, 0)
    windows = Windows(x.shape, (2, 2), (2, 2), (0, 0))
    best = pooling._largest(y, windows)
    which = pooling._place(y, best, windows)
    assert np.allclose(second, pooling._scattered(2 * (3 * best**2) * 6 * best, which, windows))


# ----- maxima that are read from blocks


def in_blocks(x: np.ndarray) -> np.ndarray:
    n, channels, *places = x.shape
    order = x.reshape(n, channels // 16, 16, *places).transpose(0, 1, 3, 4, 2)
    return np.ascontiguousarray(order).reshape(x.shape)


@pytest.mark.parametrize(
    "shape, kernel",
    [
        ((3, 16, 8, 8), (2, 2)),
        ((2, 32, 4, 64), (2, 2)),
        ((5, 48, 4, 32), (1, 4)),
        ((2, 16, 32, 2), (2, 1)),
    ],
)
def test_maxima_of_blocks(shape: tuple[int, ...], kernel: tuple[int, int]) -> None:
    x = images(shape, np.float32)
    windows = Windows(shape, kernel, kernel, (0, 0))
    best, which = blocked_maxima.largest(in_blocks(x), windows)
    expected = maxima.largest(np.maximum(x, 0), windows)
    assert np.array_equal(best, expected[0], equal_nan=True)
    counts = ~(best <= 0)
    assert counts.any() and np.array_equal(which[counts], expected[1][counts])
    g = np.random.default_rng(4).normal(size=best.shape).astype(np.float32)
    found = np.full(shape, np.nan, np.float32)
    assert blocked_maxima.spread(g, best, which, windows, found)
    assert np.array_equal(found, in_blocks(maxima.spread(g, expected[1], windows, best)))


@pytest.mark.parametrize(
    "shape, kernel, stride, pad",
    [
        ((2, 16, 8, 8), (3, 3), (2, 2), (0, 0)),
        ((2, 16, 8, 8), (2, 2), (2, 2), (1, 1)),
        ((2, 16, 9, 8), (2, 2), (2, 2), (0, 0)),
        ((2, 16, 8, 24), (2, 2), (2, 2), (0, 0)),
        ((2, 16, 12, 24), (3, 3), (3, 3), (0, 0)),
        ((2, 8, 8, 8), (2, 2), (2, 2), (0, 0)),
    ],
)
def test_windows_that_are_not_read_from_blocks(shape, kernel, stride, pad) -> None:
    assert not blocked_maxima.fits(Windows(shape, kernel, stride, pad))


def chained(w: np.ndarray, b: np.ndarray, x: np.ndarray, how: str) -> np.ndarray:
    y = layers.convolution(x, w, b, pad=1)
    more = 0.0
    if how == "convolution looked at":
        more = y.sum()
    elif how == "an element":
        more = y[1, 2, 3, 4] + y[0, 0, :, 1].sum()
    elif how == "convolution written to":
        y[0] = 0.5
    h = layers.relu(y)
    if how == "relu looked at":
        more = (h * h).sum()
    elif how == "relu written to":
        h[1, 3] = 2
    elif how == "convolution written to after relu":
        y[1] = 7
    elif how == "other windows":
        return (layers.pooling(h, kernel=3, stride=2) ** 2).sum()
    elif how == "no windows":
        return (h**2).sum()
    best = layers.pooling(h)
    if how == "all looked at later":
        more = (y * y).sum() + (h * h).sum() + layers.pooling(h * 2).sum()
    elif how == "all written to later":
        y[...] = h[...] = 3
        w[...] = 0
    elif how == "maxima written to":
        best[0, :3] *= 2
    elif how == "mean":
        more = layers.pooling(h, mode="avg").sum() + np.mean(y)
    weights = np.cos(np.arange(best.size, dtype=best.dtype)).reshape(best.shape)
    return (weights * best).sum() + more


@pytest.mark.parametrize("of_images", [False, True])
@pytest.mark.parametrize(
    "how, hits",
    [
        ("", 2),
        ("convolution looked at", 0),
        ("an element", 0),
        ("convolution written to", 0),
        ("relu looked at", 0),
        ("relu written to", 0),
        ("convolution written to after relu", 0),
        ("other windows", 0),
        ("no windows", 0),
        ("all looked at later", 1),
        ("all written to later", 1),
        ("maxima written to", 2),
        ("mean", 1),
    ],
)
def test_what_lies_between_a_convolution_and_its_maxima_is_made_when_it_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, how: str, hits: int, of_images: bool
) -> None:
    pytest.importorskip("mxnet", reason="needs the extra cpu", exc_type=ImportError)
    for name in ("_in_blocks", "_free"):
        monkeypatch.setattr(engine.Kept, name, {})
    monkeypatch.setattr(engine, "LEAST_WORK", 0)
    monkeypatch.setattr(chain, "_followed", set())
    rng = np.random.default_rng(8)
    calls = []
    largest = blocked_maxima.largest
    monkeypatch.setattr(blocked_maxima, "largest", lambda *args: calls.append(1) or largest(*args))
    function = minpy.accelerate(chained)
    gradient = minpy.grad_and_loss(function, [0, 1, 2] if of_images else [0, 1])
    for number in range(4):
        x = rng.normal(size=(3, 16 if of_images else 3, 16, 16)).astype(np.float32)
        w = rng.normal(size=(32, x.shape[1], 3, 3)).astype(np.float32)
        b = rng.normal(size=32).astype(np.float32)
        found, value = gradient(w.copy(), b.copy(), x.copy(), how)
        with monkeypatch.context() as patch:
            patch.setattr(chain, "is_followed", lambda key: False)
            before = len(calls), set(chain._followed)
            expected, plain = gradient(w.copy(), b.copy(), x.copy(), how)
            assert len(calls) == before[0]
            monkeypatch.setattr(chain, "_followed", before[1])
        assert value == plain, number
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)
    assert len(calls) == hits


def test_no_memory_is_kept_for_large_cotangents(monkeypatch: pytest.MonkeyPatch) -> None:
    mx = pytest.importorskip("mxnet", reason="needs the extra cpu", exc_type=ImportError)
    for name in ("_in_blocks", "_free"):
        monkeypatch.setattr(engine.Kept, name, {})
    rng = np.random.default_rng(9)
    windows = Windows((4, 16, 8, 8), (3, 3), (1, 1), (1, 1))
    x, w, g = (rng.normal(size=s).astype(np.float32) for s in (windows.shape, (16, 16, 3, 3), windows.shape))
    operator = convolution._operator(mx, w, windows, True)

    def run() -> engine.Kept:
        return engine.Kept(mx, operator, [x, w, w[:, 0, 0, 0]], (True,) * 3, windows.shape, ())

    def write(memory: np.ndarray) -> bool:
        memory[...] = in_blocks(g)
        return True

    first = run()
    expected = first.result(), first.cotangents(g)
    assert run().cotangents_by(lambda memory: False) is None
    for _ in range(2):
        found = run().cotangents_by(write)
        assert all(np.array_equal(one, other) for one, other in zip(found, expected[1], strict=True))
    assert [len(each) for each in engine.Kept._free.values()] == [1]
    monkeypatch.setattr(engine, "_ROOM", g.nbytes - 1)
    assert run().cotangents_by(write) is None


# ----- filters whose results go through both


def filtered(w: np.ndarray, b: np.ndarray, x: np.ndarray, how: str, **geometry) -> np.ndarray:
    y = layers.convolution(x, w, b, **geometry)
    if how == "another between":
        y.sum()
    h = layers.relu(y)
    found = layers.pooling(h, kernel=(2, 3))
    if how == "results used again":
        found = found + layers.pooling(y, kernel=(2, 3)) + h[:, :, :1, :1]
    if how == "images written to later":
        x[...] = 7
    weights = np.cos(np.arange(found.size)).reshape(found.shape)
    return (weights * found).sum()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "how, shape, kernel, geometry, hits",
    [
        ("plain", (3, 3, 10, 9), (3, 3), {"pad": 1}, 1),
        ("plain", (2, 1, 17, 12), (5, 4), {"pad": (2, 0), "stride": (2, 1)}, 1),
        ("plain", (2, 4, 9, 20), (2, 3), {"stride": (1, 2)}, 1),
        ("results used again", (3, 3, 10, 9), (3, 3), {"pad": 1}, 1),
        ("images written to later", (3, 3, 10, 9), (3, 3), {"pad": 1}, 1),
        ("another between", (3, 3, 10, 9), (3, 3), {}, 0),
        ("plain", (2, 70, 8, 8), (3, 3), {}, 0),  # sums that the processor's vectors cannot hold
    ],
)
def test_filters_get_their_gradient_from_the_maxima(
    monkeypatch: pytest.MonkeyPatch, dtype: type, how: str, shape, kernel, geometry, hits: int
) -> None:
    rng = np.random.default_rng(5)
    x, b = rng.normal(size=shape).astype(dtype), rng.normal(size=6).astype(dtype)
    w = rng.normal(size=(6, shape[1], *kernel)).astype(dtype)
    calls = []
    largest = pooling._seen_positive_max
    monkeypatch.setattr(pooling, "_seen_positive_max", lambda *args: calls.append(1) or largest(*args))
    function = minpy.accelerate(filtered)
    found = minpy.grad(function, [0, 1])(w, b, x.copy(), how, **geometry)
    assert len(calls) == hits
    with monkeypatch.context() as patch:
        patch.setattr(pooling, "rectified", lambda y: None)
        expected = minpy.grad(function, [0, 1])(w, b, x.copy(), how, **geometry)
    assert len(calls) == hits
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape and one.dtype == dtype
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4 if dtype == np.float32 else 1e-12)
    # With the images' gradient it is not for this, and comes to the same.
    of_all = minpy.grad(function, [0, 1, 2])(w, b, x.copy(), how, **geometry)
    assert len(calls) == hits and len(of_all) == 3
    np.testing.assert_allclose(of_all[0], found[0], rtol=1e-4, atol=1e-4)


def test_filters_gradient_does_not_depend_on_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    x, w, b = (rng.normal(size=size) for size in ((4, 3, 8, 8), (6, 3, 3, 3), (6,)))
    monkeypatch.setattr(seen_maxima, "_SHARE", 1)
    found = []
    for width in (1, 2, 5):
        monkeypatch.setattr(pool, "width", lambda width=width: width)
        found.append(minpy.grad(filtered, [0, 1])(w, b, x, "plain"))
    for others in found[1:]:
        assert all(one.tobytes() == other.tobytes() for one, other in zip(found[0], others, strict=True))


def test_derivatives_of_higher_order_of_filters() -> None:
    rng = np.random.default_rng(5)
    x, w, b = (rng.normal(size=size) for size in ((2, 2, 7, 7), (3, 2, 2, 2), (3,)))

    def cubes(w: np.ndarray) -> np.ndarray:
        return (layers.pooling(layers.relu(layers.convolution(x, w, b))) ** 3).sum()

    minpy.check_grads(cubes, (w,), order=2)
