"""Layers: values against formulas, derivatives of both modes to second order, and what bad input says."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from minpy import OnlyNumPyPolicy, PreferMXNetPolicy, check_grads, grad, value_and_grad, vjp
from minpy.errors import ArgumentError
from minpy.nn import layers as L
from minpy.nn.kernels import convolution, engine, products, rectifier, shared, windows
from minpy.nn.kernels.masks import masked
from minpy.nn.layers import dense
from minpy.runtime import blas, cblas
from minpy.runtime.fuse import native, pool


@pytest.fixture
def rng() -> np.random.RandomState:
    return np.random.RandomState(0)


LABELS = np.array([1, 0, 3, 2, 3])
ROWS = np.eye(4)[LABELS]
STEP = {
    "rnn": (L.rnn_step, L.rnn_temporal),
    "lstm": (L.lstm_step, L.lstm_temporal),
    "gru": (L.gru_step, L.gru_temporal),
}


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


# ----- values


def test_affine_flattens_each_sample(rng):
    x, w, b = rng.randn(3, 2, 2, 5), rng.randn(20, 4), rng.randn(4)
    np.testing.assert_allclose(L.affine(x, w, b), x.reshape(3, 20) @ w + b)
    assert L.affine(x[:0], w, b).shape == (0, 4)
    many = np.concatenate([x] * 12)
    for each in (many, many.tolist()):
        np.testing.assert_allclose(L.affine(each, w, b), many.reshape(36, 20) @ w + b)


def test_activations(rng):
    x = rng.randn(3, 4)
    assert (L.relu(x) == np.where(x > 0, x, 0)).all()
    assert (L.tanh(x) == np.tanh(x)).all()
    assert grad(lambda v: np.sum(L.relu(v)))(np.array([-1.0, 0.0, -0.0, 2.0])).tolist() == [0, 0, 0, 1]
    np.testing.assert_allclose(L.sigmoid(x), 1 / (1 + np.exp(-x)), rtol=1e-14)


def test_sigmoid_is_stable_and_exact_far_out():
    with np.errstate(all="raise", under="ignore"):
        values = L.sigmoid(np.array([-1000.0, -700.0, -50.0, 0.0, 50.0, 1000.0]))
    np.testing.assert_allclose(values, [0, np.exp(-700.0), np.exp(-50.0), 0.5, 1, 1], rtol=1e-13)
    assert np.isnan(L.sigmoid(np.array([np.nan])))[0]
    assert grad(grad(L.sigmoid))(0.0) == 0.0 and grad(L.sigmoid)(0.0) == 0.25


def test_dropout_is_inverted():
    np.random.seed(1)
    x = np.ones((200, 200), np.float32)
    out = L.dropout(x, 0.25)
    assert out.dtype == np.float32
    assert set(np.unique(out)) == {np.float32(0), np.float32(1 / 0.75)}
    assert abs(out.mean() - 1) < 0.02
    assert L.dropout(x, 0.25, mode="test") is x
    assert not L.dropout(x, 1.0).any()


def test_dropout_with_a_seed_leaves_the_global_generator_alone():
    x = np.ones((5, 5))
    np.random.seed(3)
    expected = np.random.rand()
    np.random.seed(3)
    first = L.dropout(x, 0.5, seed=7)
    assert (first == L.dropout(x, 0.5, seed=7)).all() and np.random.rand() == expected
    assert (L.dropout(x, 0.5, seed=0) == L.dropout(x, 0.5, seed=0)).all()


def test_dropout_multiplies_the_gradient_by_the_same_mask():
    x = np.ones((6, 6))
    out = L.dropout(x, 0.5, seed=2)
    assert (grad(lambda v: np.sum(L.dropout(v, 0.5, seed=2)))(x) == out).all()


def test_batchnorm(rng):
    x, gamma, beta = 3 + 2 * rng.randn(50, 4), rng.randn(4), rng.randn(4)
    out, mean, var = L.batchnorm(x, gamma, beta, momentum=0.6)
    np.testing.assert_allclose(out, gamma * (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5) + beta)
    np.testing.assert_allclose(mean, 0.4 * x.mean(0))
    np.testing.assert_allclose(var, 0.6 + 0.4 * x.var(0))
    again = L.batchnorm(x, gamma, beta, momentum=0.6, running_mean=mean, running_var=var)
    np.testing.assert_allclose(again[1], 0.6 * mean + 0.4 * x.mean(0))
    test, same, _ = L.batchnorm(x, gamma, beta, "test", running_mean=mean, running_var=var)
    np.testing.assert_allclose(test, gamma * (x - mean) / np.sqrt(var + 1e-5) + beta)
    assert same is mean


def test_batchnorm_statistics_are_constants_that_can_be_kept(rng):
    kept = {}

    def loss(x):
        out, kept["mean"], kept["var"] = L.batchnorm(x, np.ones(3), np.zeros(3), **kept_before)
        return np.sum(out**3)

    kept_before: dict = {}
    grad(loss)(rng.randn(8, 3))
    assert type(kept["mean"]) is np.ndarray and type(kept["var"]) is np.ndarray


def test_spatial_batchnorm_is_batchnorm_of_channels(rng):
    x, gamma, beta = rng.randn(4, 3, 5, 2), rng.randn(3), rng.randn(3)
    out, mean, var = L.spatial_batchnorm(x, gamma, beta)
    columns = x.transpose(0, 2, 3, 1).reshape(-1, 3)
    flat, flat_mean, flat_var = L.batchnorm(columns, gamma, beta)
    np.testing.assert_allclose(out, flat.reshape(4, 5, 2, 3).transpose(0, 3, 1, 2))
    np.testing.assert_allclose(mean, flat_mean)
    np.testing.assert_allclose(var, flat_var)


@pytest.mark.parametrize("label", [LABELS, LABELS.astype(np.float32), LABELS[:, None], ROWS])
def test_losses_take_every_form_of_label(rng, label):
    x = rng.randn(5, 4)
    expected = -np.mean(np.log(softmax(x)[np.arange(5), LABELS]))
    np.testing.assert_allclose(L.softmax_loss(x, label), expected)
    np.testing.assert_allclose(L.softmax_cross_entropy(softmax(x), label), expected)
    margins = np.maximum(0, x - x[np.arange(5), LABELS][:, None] + 1)
    margins[np.arange(5), LABELS] = 0
    np.testing.assert_allclose(L.svm_loss(x, label), margins.sum() / 5)


def test_softmax_loss_honours_the_gradient_from_above(rng):
    x = rng.randn(5, 4)
    expected = (softmax(x) - ROWS) / 5
    for label in (LABELS, ROWS):
        np.testing.assert_allclose(grad(lambda v, y=label: 2 * L.softmax_loss(v, y))(x), 2 * expected)
        np.testing.assert_allclose(
            grad(lambda v, y=label: L.softmax_loss(v, y) ** 2)(x), 2 * L.softmax_loss(x, label) * expected
        )


def test_losses_are_finite_far_out():
    x = np.array([[1e4, -1e4], [-1e4, 1e4]])
    assert L.softmax_loss(x, [0, 0]) == 1e4
    np.testing.assert_allclose(grad(L.softmax_loss)(x, np.array([0, 0])), [[0, 0], [-0.5, 0.5]])
    impossible = np.array([[1.0, 0.0]], np.float32)
    loss = L.softmax_cross_entropy(impossible, np.array([1]))
    assert np.isfinite(loss) and loss > 80
    assert L.softmax_cross_entropy(impossible, np.array([[1.0, 0.0]])) == 0


def test_l2_loss_takes_a_column_as_a_vector(rng):
    x, y = rng.randn(5, 1), rng.randn(5)
    expected = np.sum((x[:, 0] - y) ** 2) / 5
    np.testing.assert_allclose(L.l2_loss(x, y), expected)
    np.testing.assert_allclose(L.l2_loss(x, y[:, None]), expected)
    np.testing.assert_allclose(L.l2_loss(x[:, 0], y[:, None]), expected)
    scores = rng.randn(5, 4)
    np.testing.assert_allclose(L.l2_loss(scores, LABELS), np.sum((scores - ROWS) ** 2) / 5)


def test_temporal_softmax_loss_counts_what_the_mask_lets_through(rng):
    x = rng.randn(2, 3, 4)
    y, mask = np.array([[1, 2, -1], [0, -1, -1]]), np.array([[1, 1, 0], [1, 0, 0]])
    logs = np.log(softmax(x.reshape(6, 4)).reshape(2, 3, 4))
    expected = -(logs[0, 0, 1] + logs[0, 1, 2] + logs[1, 0, 0]) / 2
    np.testing.assert_allclose(L.temporal_softmax_loss(x, y, mask), expected)
    d = grad(L.temporal_softmax_loss)(x, y, mask)
    assert not d[0, 2].any() and not d[1, 1:].any()


def test_temporal_affine_and_embedding(rng):
    x, w, b = rng.randn(2, 3, 4), rng.randn(4, 5), rng.randn(5)
    np.testing.assert_allclose(L.temporal_affine(x, w, b), x @ w + b)
    words = np.array([[0, 2], [1, 2]])
    assert (L.embedding(words, w) == w[words]).all()
    assert (grad(lambda v: np.sum(L.embedding(words, v)))(w).sum(axis=1) == [5, 5, 10, 0]).all()


def weights(kind, rng, d=4, h=3):
    def gates(n):
        return [rng.randn(d, n * h), rng.randn(h, n * h), rng.randn(n * h)]

    return {"rnn": lambda: gates(1), "lstm": lambda: gates(4), "gru": lambda: gates(2) + gates(1)}[kind]()


def logistic(a):
    return 1 / (1 + np.exp(-a))


def test_steps_follow_their_formulas(rng):
    x, h, c = rng.randn(2, 4), rng.randn(2, 3), rng.randn(2, 3)
    Wx, Wh, b = weights("rnn", rng)
    np.testing.assert_allclose(L.rnn_step(x, h, Wx, Wh, b), np.tanh(x @ Wx + h @ Wh + b))
    Wx, Wh, b = weights("lstm", rng)
    i, f, o, g = np.split(x @ Wx + h @ Wh + b, 4, axis=1)
    next_c = logistic(f) * c + logistic(i) * np.tanh(g)
    got = L.lstm_step(x, h, c, Wx, Wh, b)
    np.testing.assert_allclose(got[0], logistic(o) * np.tanh(next_c))
    np.testing.assert_allclose(got[1], next_c)
    Wx, Wh, b, Wxh, Whh, bh = weights("gru", rng)
    z, r = np.split(logistic(x @ Wx + h @ Wh + b), 2, axis=1)
    candidate = np.tanh(x @ Wxh + (r * h) @ Whh + bh)
    np.testing.assert_allclose(L.gru_step(x, h, Wx, Wh, b, Wxh, Whh, bh), z * h + (1 - z) * candidate)


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
def test_sequences_are_their_steps(kind, rng):
    step, whole = STEP[kind]
    x, h0, w = rng.randn(2, 5, 4), rng.randn(2, 3), weights(kind, rng)

    def by_steps(x, h, *w):
        state = (h, np.zeros_like(h)) if kind == "lstm" else (h,)
        out = []
        for t in range(5):
            after = step(x[:, t], *state, *w)
            state = after if kind == "lstm" else (after,)
            out.append(state[0])
        return np.stack(out, axis=1)

    np.testing.assert_allclose(whole(x, h0, *w), by_steps(x, h0, *w))
    every = list(range(2 + len(w)))
    ours = grad(lambda *a: np.sum(whole(*a) ** 3), every)(x, h0, *w)
    theirs = grad(lambda *a: np.sum(by_steps(*a) ** 3), every)(x, h0, *w)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
def test_sequences_have_the_type_of_their_steps(kind, rng):
    step, whole = STEP[kind]
    x, h0, w = rng.randint(5, size=(2, 3, 4)), np.zeros((2, 3), "f4"), weights(kind, rng)
    for types in ("f4 f4 f4 f4 f4 f4", "f4 f8 f4 f4 f4 f4", "i8 f4 f8 f4 f4 f4", "i8 i8 i8 i8 i8 i8"):
        low = [v.astype(t) for v, t in zip(w, types.split(), strict=False)]
        state = (h0, h0) if kind == "lstm" else (h0,)
        one = step(x[:, 0], *state, *low)
        one = one[0] if kind == "lstm" else one
        all_steps = whole(x, h0, *low)
        assert all_steps.dtype == one.dtype
        np.testing.assert_allclose(all_steps[:, 0], one, rtol=1e-5, atol=1e-6)


def test_lstm_starts_from_a_cell(rng):
    x, h0, c0, w = rng.randn(2, 1, 4), rng.randn(2, 3), rng.randn(2, 3), weights("lstm", rng)
    np.testing.assert_allclose(L.lstm_temporal(x, h0, *w, c0=c0)[:, 0], L.lstm_step(x[:, 0], h0, c0, *w)[0])


def slow_convolution(x, w, b, stride, pad):
    (sh, sw), (ph, pw) = stride, pad
    wide = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    oh = (wide.shape[2] - w.shape[2]) // sh + 1
    ow = (wide.shape[3] - w.shape[3]) // sw + 1
    out = np.empty((len(x), len(w), oh, ow))
    for i in range(oh):
        for j in range(ow):
            seen = wide[:, :, i * sh : i * sh + w.shape[2], j * sw : j * sw + w.shape[3]]
            out[:, :, i, j] = np.tensordot(seen, w, ([1, 2, 3], [1, 2, 3])) + b
    return out


def slow_pooling(x, how, kernel, stride, pad, outside):
    (kh, kw), (sh, sw), (ph, pw) = kernel, stride, pad
    wide = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)), constant_values=outside)
    rows = range(0, wide.shape[2] - kh + 1, sh)
    columns = range(0, wide.shape[3] - kw + 1, sw)
    return np.stack(
        [np.stack([how(wide[:, :, i : i + kh, j : j + kw], (2, 3)) for j in columns], -1) for i in rows], -2
    )


GEOMETRIES = [
    ((1, 1), (0, 0), (3, 3)),
    ((2, 2), (1, 1), (3, 3)),
    ((2, 1), (0, 1), (2, 3)),
    ((3, 2), (1, 0), (3, 1)),
]


@pytest.fixture(params=["NumPy", "NumPy, image by image", "MXNet"])
def both(request, monkeypatch):
    """The engines of float32: small arrays go to MXNet too."""
    if request.param == "NumPy, image by image":
        monkeypatch.setattr(windows, "_ROOM", 1)
    if request.param == "MXNet":
        pytest.importorskip("mxnet", reason="needs the extra cpu", exc_type=ImportError)
        monkeypatch.setattr(engine, "LEAST_WORK", 0)


@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("wanted", [[0, 1, 2], [0, 2], [1, 2]])
def test_the_products_of_a_layers_derivative(rng, width, wanted, monkeypatch):
    monkeypatch.setattr(cblas, "SHARE", 1 << 8)
    if blas.find() is not None:
        monkeypatch.setattr(blas.find(), "_plans", {})
    monkeypatch.setattr(blas, "_LEAST_WORK", 1 << 8)
    monkeypatch.setattr(pool, "width", lambda: width)
    x, w, b, head = (rng.normal(size=size) for size in ((40, 60), (60, 50), (50,), (40, 50)))
    found = grad(lambda *args: (L.affine(*args) * head).sum(), wanted)(x, w, b)
    exact = [head @ w.T, x.T @ head, head.sum(0)]
    for number, one in zip(wanted, found, strict=True):
        np.testing.assert_allclose(one, exact[number], rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_halves_of_a_product_are_added_up_with_the_bias(rng, dtype, monkeypatch, tmp_path):
    pytest.importorskip("llvmlite", reason="the extra jit compiles this")
    if blas.find() is None or blas.find().gate is None:
        pytest.skip("no library here makes products in halves")
    monkeypatch.setenv("MINPY_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(cblas, "SHARE", 1 << 8)
    monkeypatch.setattr(blas, "_LEAST_WORK", 1 << 8)
    monkeypatch.setattr(blas.find(), "_plans", {})
    compiled, asked = native.compiled, []
    monkeypatch.setattr(native, "compiled", lambda text, wait: compiled(text, wait=True))
    ready = products._BIASED.ready
    monkeypatch.setattr(products._BIASED, "ready", lambda char: asked.append(char) or ready(char))
    x, w, b = (rng.normal(size=size).astype(dtype) for size in ((40, 100), (100, 30), (30,)))
    x[3] = np.nan
    for each in (b, -b, np.full_like(b, np.inf)):
        y = products.biased(x, w, each)
        assert y.dtype == dtype and y.tobytes() == (blas.dot(x, w) + each).tobytes()
    assert asked == [np.dtype(dtype).char] * 3
    most = np.finfo(dtype).max
    with pytest.warns(RuntimeWarning, match="overflow encountered in add"):
        y = products.biased(np.ones_like(x), np.full_like(w, most / 100), np.full_like(b, most / 2))
    assert np.isposinf(y).all()


def _two_layers(x, w, b, v, c):
    return (L.affine(L.relu(L.affine(x, w, b)), v, c) ** 2).sum()


def _seen_again(x, w, b, v, c):
    h = L.relu(L.affine(x, w, b))
    return (L.affine(h, v, c) ** 2).sum() + (h * h).sum()


def _used_before(x, w, b, v, c):
    h = L.relu(L.affine(x, w, b))
    return (h * h).sum() + (L.affine(h, v, c) ** 2).sum()


def _two_readers(x, w, b, v, c):
    h = L.relu(L.affine(x, w, b))
    return (L.affine(h, v, c) * L.affine(h, v * 2, c)).sum()


def _written_to(x, w, b, v, c):
    h = L.relu(L.affine(x, w, b))
    h[3:5] = -1.0
    return (L.affine(h, v, c) ** 2).sum()


def _of_an_argument(x, w, b, v, c):
    return (L.affine(L.relu(x), w, b) ** 2).sum() + v.sum() + c.sum()


def _in_another_precision(x, w, b, v, c):
    return (L.affine(L.relu(L.affine(x, w, b)), v, c.astype(np.float16)) ** 2).sum()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    "function, joined",
    [
        (_two_layers, 1),
        (_seen_again, 0),
        (_used_before, 0),
        (_two_readers, 0),
        (_written_to, 0),
        (_of_an_argument, 1),
        (_in_another_precision, 0),
    ],
)  # fmt: skip
def test_a_layer_and_the_relu_before_it(rng, function, joined, dtype, monkeypatch, tmp_path):
    """Their cotangents in one go have the bits of one after the other, whichever arguments are differentiated."""
    pytest.importorskip("llvmlite", reason="the extra jit compiles this")
    monkeypatch.setenv("MINPY_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(rectifier, "_COMPILED", 1)
    monkeypatch.setattr(pool, "width", lambda: 2)
    compiled, before, done = native.compiled, rectifier.product_before, []
    monkeypatch.setattr(native, "compiled", lambda text, wait: compiled(text, wait=True))
    monkeypatch.setattr(
        rectifier, "product_before", lambda *a: (found := before(*a), done.append(found is not None))[0]
    )
    args = [rng.normal(size=size).astype(dtype) for size in ((40, 30), (30, 64), (64,), (64, 36), (36,))]
    args[0][7] = np.nan
    for wanted in ([0, 1, 2, 3, 4], [1, 2], [0, 4], [3]):
        done.clear()
        found = grad(function, wanted)(*args)
        number = sum(done)
        with monkeypatch.context() as patch:
            patch.setattr(dense._affine, "joins", None)
            expected = grad(function, wanted)(*args)
        pairs = zip(found, expected, strict=True) if len(wanted) > 1 else [(found, expected)]
        assert all(one.tobytes() == other.tobytes() and one.dtype == other.dtype for one, other in pairs)
        if wanted[0] == 0 and len(wanted) > 2:
            assert number == joined


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_threads_share_images_with_the_same_bits(rng, dtype, monkeypatch):
    shape = windows.Windows((7, 3, 9, 8), (3, 3), (2, 1), (1, 1))
    x, w, b, g = (
        rng.normal(size=size).astype(dtype) for size in ((7, 3, 9, 8), (5, 3, 3, 3), (5,), (7, 5, *shape.out))
    )
    monkeypatch.setattr(engine, "LEAST_WORK", 1 << 40)
    monkeypatch.setattr(convolution, "_SHARE", 1)
    monkeypatch.setattr(shared, "_SHARE", 1)
    monkeypatch.setattr(rectifier, "_SHARED", 1)
    found = []
    for width in (1, 2, 3, 20):
        monkeypatch.setattr(pool, "width", lambda width=width: width)
        assert len(shared.pieces(7, 7)) == min(width, 7)
        found.append(
            [
                convolution._forward_numpy(x, w, shape, b),
                convolution._to_images_numpy(g, w, shape),
                convolution._to_weights_numpy(x, g, shape),
                convolution._to_bias(g),
                rectifier.positive(x),
            ]
        )
    np.testing.assert_allclose(found[0][0], slow_convolution(x, w, b, (2, 1), (1, 1)), atol=1e-4)
    np.testing.assert_allclose(found[0][3], g.sum((0, 2, 3)), rtol=1e-5)
    assert np.array_equal(found[0][4], np.maximum(x, 0))
    for others in found[1:]:
        for one, other in zip(found[0], others, strict=True):
            assert one.tobytes() == other.tobytes() and one.dtype == dtype


def test_threads_do_with_overflows_what_the_caller_does(monkeypatch):
    monkeypatch.setattr(shared, "_SHARE", 1)
    monkeypatch.setattr(pool, "width", lambda: 2)
    g = np.full((2, 4, 3, 3), 1e308)
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        convolution._to_bias(g)
    with np.errstate(over="ignore"), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isinf(convolution._to_bias(g)).all()


@pytest.mark.parametrize("dtype, close", [("float64", 1e-12), ("float32", 1e-4)])
@pytest.mark.parametrize("stride, pad, kernel", GEOMETRIES)
def test_convolution(both, rng, stride, pad, kernel, dtype, close):
    x, w, b = rng.randn(2, 3, 7, 6), rng.randn(4, 3, *kernel), rng.randn(4)
    low = [v.astype(dtype) for v in (x, w, b)]
    out = L.convolution(*low, stride=stride, pad=pad)
    assert out.dtype == dtype
    np.testing.assert_allclose(out, slow_convolution(x, w, b, stride, pad), atol=close)
    head = rng.randn(*out.shape)

    def loss(f):
        return lambda *a: np.sum(f(*a) * head.astype(a[0].dtype))

    ours = grad(loss(lambda *a: L.convolution(*a, stride=stride, pad=pad)), [0, 1, 2])(*low)
    exact = grad(loss(lambda *a: L.convolution(*a, stride=stride, pad=pad)), [0, 1, 2])(x, w, b)
    for a, e in zip(ours, exact, strict=True):
        assert a.dtype == dtype
        np.testing.assert_allclose(a, e, atol=10 * close)
    assert (L.convolution(*low[:2], stride=stride, pad=pad).shape) == out.shape


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("stride, pad, kernel", GEOMETRIES)
@pytest.mark.parametrize("mode", ["max", "avg"])
def test_pooling(both, rng, stride, pad, kernel, mode, dtype):
    if any(2 * p > k for p, k in zip(pad, kernel, strict=True)):
        with pytest.raises(ArgumentError, match="pad"):
            L.pooling(rng.randn(2, 3, 7, 6), mode, kernel, stride, pad)
        return
    x = rng.randn(2, 3, 7, 6)
    how, outside = (np.max, -np.inf) if mode == "max" else (np.mean, 0)
    out = L.pooling(x.astype(dtype), mode, kernel, stride, pad)
    assert out.dtype == dtype
    np.testing.assert_allclose(out, slow_pooling(x, how, kernel, stride, pad, outside), rtol=1e-5, atol=1e-7)
    head = rng.randn(*out.shape)
    low = grad(lambda v: np.sum(L.pooling(v, mode, kernel, stride, pad) * head))(x.astype(dtype))
    exact = grad(lambda v: np.sum(L.pooling(v, mode, kernel, stride, pad) * head))(x)
    np.testing.assert_allclose(low, exact, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_ties_in_pooling_go_to_the_first(both, dtype):
    d = grad(lambda v: np.sum(L.pooling(v)))(np.zeros((1, 1, 4, 4), dtype))
    assert (d[0, 0] == [[1, 0, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]).all()


@pytest.mark.mxnet
def test_large_images_go_to_mxnet_if_the_policy_allows(rng, monkeypatch):
    pytest.importorskip("mxnet", reason="needs the extra cpu", exc_type=ImportError)
    ran = []
    monkeypatch.setattr(convolution, "Kept", lambda *a, **k: ran.append(1) or engine.Kept(*a, **k))
    x, w = rng.randn(4, 16, 20, 20).astype("f4"), rng.randn(16, 16, 3, 3).astype("f4")
    out = L.convolution(x, w)
    with OnlyNumPyPolicy():
        np.testing.assert_allclose(L.convolution(x, w), out, atol=1e-3)
    L.convolution(x.astype("f8"), w.astype("f8"))
    assert len(ran) == 1


@pytest.mark.mxnet
def test_kernels_of_mxnet_give_their_memory_away(rng):
    """A pullback that is called again gives arrays of its own, and images without a gradient get none."""
    pytest.importorskip("mxnet", reason="needs the extra cpu", exc_type=ImportError)
    x, w, b = (rng.randn(*shape).astype("f4") for shape in ((8, 16, 20, 20), (16, 16, 3, 3), (16,)))
    given = [each.copy() for each in (x, w, b)]
    out, back = vjp(lambda x, w, b: L.pooling(L.convolution(x, w, b)), x, w, b)
    kept = out.copy()
    heads = [rng.randn(*out.shape).astype("f4") for _ in range(2)]
    first = back(heads[0])
    before = [each.copy() for each in first]
    second = back(heads[1])
    assert all(np.array_equal(a, c) for a, c in zip(first, before, strict=True))
    assert all(not np.shares_memory(a, c) for a, c in zip(first, second, strict=True))
    assert np.array_equal(out, kept) and x.flags.writeable and w.flags.writeable
    with OnlyNumPyPolicy():
        expected = [vjp(lambda *a: L.pooling(L.convolution(*a)), x, w, b)[1](head) for head in heads]
    for found, wanted in zip((first, second), expected, strict=True):
        for a, c in zip(found, wanted, strict=True):
            np.testing.assert_allclose(a, c, atol=1e-3 * np.abs(c).max())
    plain = vjp(lambda w: L.pooling(L.convolution(x, w, b)), w)[1](heads[0])[0]
    np.testing.assert_allclose(plain, first[1], atol=1e-3 * np.abs(first[1]).max())
    np.testing.assert_allclose(L.pooling(L.convolution(x, w, b)), kept, atol=1e-3)
    assert all(np.array_equal(a, c) for a, c in zip((x, w, b), given, strict=True))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f8", "c16", "i4"])
def test_masked(rng, dtype):
    x = (10 * rng.randn(6, 8)).astype(dtype)
    if dtype != "i4":
        x[0, :3] = np.inf, np.nan, -0.0
    mask = rng.rand(6, 8) < 0.5
    for m in (mask, ~mask):
        found = masked(x, m)
        assert found.dtype == np.dtype(dtype).newbyteorder("=") and np.array_equal(
            found, np.where(m, x, 0), equal_nan=dtype != "i4"
        )
        wide = np.full((12, 16), 7, dtype)
        assert masked(x, m, wide[::2, 1::2]).base is wide
        assert np.array_equal(wide[::2, 1::2], found, equal_nan=dtype != "i4") and (wide[1::2] == 7).all()


def test_gradients_that_are_not_finite_stay_where_they_belong():
    x = np.array([[[[1.0, 2.0], [3.0, 4.0]]]])
    with np.errstate(all="ignore"):
        for head in (np.inf, np.nan):
            assert np.array_equal(
                vjp(L.pooling, x)[1](np.full((1, 1, 1, 1), head))[0],
                [[[[0, 0], [0, head]]]],
                equal_nan=True,
            )
            assert np.array_equal(
                vjp(L.relu, np.array([-1.0, 1]))[1](np.full(2, head))[0], [0, head], equal_nan=True
            )


def test_pooling_of_nan_is_nan():
    x = np.zeros((1, 1, 2, 4))
    x[0, 0, 1, 1] = np.nan
    assert np.isnan(L.pooling(x)[0, 0, 0]).tolist() == [True, False]


# ----- derivatives


def first(out):
    return out[0] if isinstance(out, tuple) else out


def away(rng, *shape):
    """Numbers that are not near each other, so that no difference crosses a kink."""
    return rng.permutation(np.prod(shape)).reshape(shape) * 0.37 - 1.234


DERIVATIVES = {
    "affine": lambda r: (L.affine, (r.randn(3, 2, 2), r.randn(4, 5), r.randn(5))),
    "affine, many samples": lambda r: (L.affine, (r.randn(34, 1, 2), r.randn(2, 2), r.randn(2))),
    "relu": lambda r: (L.relu, (away(r, 3, 4),)),
    "sigmoid": lambda r: (L.sigmoid, (np.array([-3.0, 0.0, 2.0]),)),
    "dropout": lambda r: (lambda x: L.dropout(x, 0.5, seed=1), (r.randn(3, 4),)),
    "batchnorm": lambda r: (lambda *a: L.batchnorm(*a)[0], (r.randn(6, 3), r.randn(3), r.randn(3))),
    "batchnorm, test": lambda r: (
        lambda *a: L.batchnorm(
            *a, mode="test", running_mean=np.ones(3, "f4"), running_var=np.full(3, 2, "f4")
        )[0],
        (r.randn(6, 3), r.randn(3), r.randn(3)),
    ),
    "spatial_batchnorm": lambda r: (
        lambda *a: L.spatial_batchnorm(*a)[0],
        (r.randn(3, 2, 2, 3), r.randn(2), r.randn(2)),
    ),
    "softmax_loss": lambda r: (lambda x: L.softmax_loss(x, LABELS), (r.randn(5, 4),)),
    "softmax_loss, soft": lambda r: (L.softmax_loss, (r.randn(5, 4), r.rand(5, 4))),
    "softmax_cross_entropy": lambda r: (
        lambda x: L.softmax_cross_entropy(x, LABELS),
        (r.rand(5, 4) + 0.1,),
    ),
    "svm_loss": lambda r: (lambda x: L.svm_loss(x, LABELS), (away(r, 5, 4),)),
    "l2_loss": lambda r: (L.l2_loss, (r.randn(5, 1), r.randn(5))),
    "temporal_softmax_loss": lambda r: (
        lambda x: L.temporal_softmax_loss(x, np.array([[0, 1], [2, 1]]), np.array([[1, 0.5], [0, 2]])),
        (r.randn(2, 2, 3),),
    ),
    "rnn_temporal": lambda r: (L.rnn_temporal, (r.randn(2, 3, 4), r.randn(2, 3), *weights("rnn", r))),
    "lstm_temporal": lambda r: (L.lstm_temporal, (r.randn(2, 3, 4), r.randn(2, 3), *weights("lstm", r))),
    "gru_temporal": lambda r: (L.gru_temporal, (r.randn(2, 3, 4), r.randn(2, 3), *weights("gru", r))),
    "lstm_step": lambda r: (
        L.lstm_step,
        (r.randn(2, 4), r.randn(2, 3), r.randn(2, 3), *weights("lstm", r)),
    ),
    "convolution": lambda r: (
        lambda *a: L.convolution(*a, stride=(2, 1), pad=(1, 0)),
        (r.randn(2, 2, 4, 3), r.randn(2, 2, 3, 2), r.randn(2)),
    ),
    "pooling, max": lambda r: (lambda x: L.pooling(x, "max", 2, 1, 1), (away(r, 1, 2, 3, 3),)),
    "pooling, avg": lambda r: (lambda x: L.pooling(x, "avg", 2, 1, 1), (r.randn(1, 2, 3, 3),)),
    "embedding": lambda r: (lambda w: L.embedding(np.array([0, 2, 2]), w), (r.randn(3, 2),)),
}


@pytest.mark.parametrize("name", DERIVATIVES)
def test_derivatives_to_second_order_in_both_modes(name, rng):
    function, args = DERIVATIVES[name](rng)
    check_grads(function, args, order=2)


@pytest.mark.parametrize("name", ["convolution", "pooling, max", "pooling, avg"])
def test_second_derivatives_of_float32(both, name, rng):
    function, args = DERIVATIVES[name](rng)
    low = [a.astype(np.float32) for a in args]

    def curvature(*a):
        first = grad(lambda v, *rest: np.sum(np.square(function(v, *rest))) / 2)
        return grad(lambda v, *rest: np.sum(np.square(first(v, *rest))))(*a)

    np.testing.assert_allclose(curvature(*low), curvature(*args), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", [n for n in DERIVATIVES if n != "softmax_loss, soft"])
def test_float32_stays(name, rng):
    function, args = DERIVATIVES[name](rng)
    low = [a.astype(np.float32) for a in args]
    out = function(*low)
    for each in out if isinstance(out, tuple) else [out]:
        assert each.dtype == np.float32
    for k in range(len(low)):
        assert grad(lambda *a: np.sum(first(function(*a))), k)(*low).dtype == np.float32


@pytest.mark.mxnet
@pytest.mark.parametrize("name", DERIVATIVES)
def test_the_same_values_on_mxnet(name, rng):
    pytest.importorskip("mxnet", reason="needs the extra cpu", exc_type=ImportError)
    function, args = DERIVATIVES[name](rng)
    low = [a.astype(np.float32) for a in args]
    expected = grad(lambda *a: np.sum(np.square(first(function(*a)))))(*low)
    with PreferMXNetPolicy():
        got = grad(lambda *a: np.sum(np.square(first(function(*a)))))(*low)
    np.testing.assert_allclose(np.asarray(got), expected, rtol=2e-4, atol=2e-4)


# ----- bad input

X, W, B = np.ones((2, 4)), np.ones((4, 3)), np.ones(3)
IMAGE = np.ones((2, 3, 5, 5))
BAD = [
    (lambda: L.affine(X, np.ones((5, 3)), B), "affine: x must have the shape .* 5 elements .* not \\(2, 4\\)"),
    (lambda: L.affine(np.ones(4), W, B), "affine: x"),
    (lambda: L.affine(X, np.ones(4), B), r"affine: w must have the shape \(D, M\), not \(4,\)"),
    (lambda: L.affine(X, W, np.ones(2)), r"affine: b must have the shape \(M,\) with M = 3, not \(2,\)"),
    (lambda: L.dropout(X, 1.5), "dropout: prob must be a number from 0 to 1, not 1.5"),
    (lambda: L.dropout(X, float("nan")), "prob"),
    (lambda: L.dropout(X, 0.5, mode="eval"), "dropout: mode must be one of 'train', 'test', not 'eval'"),
    (lambda: L.batchnorm(X, B, np.ones(4)), "batchnorm: gamma"),
    (lambda: L.batchnorm(X, np.ones(4), np.ones(4), mode="tets"), "batchnorm: mode"),
    (lambda: L.batchnorm(X, np.ones(4), np.ones(4), running_var=np.ones(3)), "batchnorm: running_var"),
    (lambda: L.batchnorm(X, np.ones(4), np.ones(4), momentum=2), "batchnorm: momentum"),
    (lambda: L.batchnorm(X[:0], np.ones(4), np.ones(4)), "batchnorm: x has no samples"),
    (lambda: L.spatial_batchnorm(X, B, B), "spatial_batchnorm: x"),
    (lambda: L.softmax_loss(X, np.array([0, 4])), r"softmax_loss: label\[1\] is 4, outside of the classes 0 to 3"),
    (lambda: L.softmax_loss(X, np.array([0, -1])), r"label\[1\] is -1"),
    (lambda: L.softmax_loss(X, np.array([0, 1.5])), "label holds 1.5, which is no class number"),
    (lambda: L.softmax_loss(X, np.array([0, np.nan])), "label holds nan"),
    (lambda: L.softmax_loss(X, np.array([0, 1, 2])), "softmax_loss: label must hold class numbers"),
    (lambda: L.softmax_loss(X, np.array(["a", "b"])), "label must hold class numbers, not <U1"),
    (lambda: L.softmax_loss(X[0], np.array([0])), "softmax_loss: x"),
    (lambda: L.softmax_loss(X[:0], np.array([], int)), "softmax_loss: the batch has no samples"),
    (lambda: L.softmax_cross_entropy(X, np.array([0, 9])), r"softmax_cross_entropy: label\[1\]"),
    (lambda: L.svm_loss(X, np.array([0, 9])), r"svm_loss: y\[1\]"),
    (lambda: L.svm_loss(X, X), "svm_loss: y .* not one-hot"),
    (lambda: L.l2_loss(X, np.ones((2, 3))), r"l2_loss: label must have the shape of x, \(2, 4\), not \(2, 3\)"),
    (lambda: L.l2_loss(X, np.array([0.5, 1])), "l2_loss: label holds 0.5"),
    (lambda: L.temporal_softmax_loss(np.ones((2, 3, 4)), np.zeros((2, 2), int), np.ones((2, 3))), "y must"),
    (lambda: L.temporal_softmax_loss(np.ones((2, 3, 4)), np.full((2, 3), 4), np.ones((2, 3))), r"y\[0, 0\] is 4"),
    (lambda: L.temporal_affine(X, W, B), "temporal_affine: x"),
    (lambda: L.embedding(np.array([3]), B.reshape(3, 1)), r"embedding: x\[0\] is 3"),
    (lambda: L.rnn_step(X, np.ones((3, 3)), W, np.ones((3, 3)), B), "rnn_step: prev_h .* N = 2"),
    (lambda: L.rnn_step(X, np.ones((2, 3)), W, np.ones((3, 4)), B), "rnn_step: Wh .* H = 3"),
    (lambda: L.lstm_step(X, np.ones((2, 3)), np.ones((2, 2)), W, W, B), "lstm_step: prev_c"),
    (lambda: L.lstm_temporal(np.ones((2, 1, 4)), np.ones((2, 3)), W, W, B), "lstm_temporal: Wx .* 4H = 12"),
    (lambda: L.gru_temporal(X, np.ones((2, 3)), W, W, B, W, W, B), "gru_temporal: x"),
    (lambda: L.convolution(X, W), "convolution: x"),
    (lambda: L.convolution(IMAGE, np.ones((2, 4, 3, 3))), r"convolution: w .* C = 3, not \(2, 4, 3, 3\)"),
    (lambda: L.convolution(IMAGE, np.ones((2, 3, 6, 3))), "convolution: w is 6 by 3, larger than x"),
    (lambda: L.convolution(IMAGE, np.ones((2, 3, 3, 3)), stride=0), "convolution: stride"),
    (lambda: L.convolution(IMAGE, np.ones((2, 3, 3, 3)), pad=(1, -1)), "convolution: pad"),
    (lambda: L.convolution(IMAGE, np.ones((2, 3, 3, 3)), np.ones(3)), "convolution: b"),
    (lambda: L.pooling(IMAGE, "min"), "pooling: mode must be one of 'max', 'avg', not 'min'"),
    (lambda: L.pooling(IMAGE, "max", (6, 6)), "pooling: kernel is 6 by 6, larger than x"),
]  # fmt: skip


@pytest.mark.parametrize("call, text", BAD, ids=[text[:30] for _, text in BAD])
def test_bad_input_is_named(call, text):
    with pytest.raises(ArgumentError, match=text) as caught:
        call()
    assert isinstance(caught.value, ValueError)


def test_bad_input_is_named_inside_of_a_gradient():
    with pytest.raises(ArgumentError, match="affine: b"):
        grad(lambda w: np.sum(L.affine(X, w, np.ones(7))))(W)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_lstm_of_plain_arrays_and_of_traced_ones(dtype):
    """There is a run for plain arrays and one for derivatives of higher order: the same but for rounding."""
    from minpy.nn.layers import recurrent

    rng = np.random.default_rng(8)
    n, t, d, h = 5, 6, 3, 4
    shapes = [(n, t, d), (n, h), (n, h), (d, 4 * h), (h, 4 * h), (4 * h,)]
    args = [rng.normal(size=shape).astype(dtype) for shape in shapes]
    g = rng.normal(size=(n, t, h)).astype(dtype)
    before = [each.copy() for each in (*args, g)]
    plain, kept = recurrent._lstm_forward(*args)
    traced, kept_traced = recurrent._lstm_forward_traced(*args)
    tolerance = 1e-5 if dtype is np.float32 else 1e-13
    assert plain.dtype == dtype and np.allclose(plain, traced, rtol=tolerance, atol=tolerance)
    found = recurrent._lstm_backward(kept, g)
    again = recurrent._lstm_backward(kept, g)
    for a, b, c, like in zip(
        found, again, recurrent._lstm_backward_traced(kept_traced, g), args, strict=True
    ):
        a, b, c = (each() if callable(each) else each for each in (a, b, c))
        assert a.shape == like.shape and a.dtype == dtype and np.array_equal(a, b)
        assert np.allclose(a, c, rtol=10 * tolerance, atol=10 * tolerance)
    assert all(np.array_equal(a, b) for a, b in zip(before, (*args, g), strict=True))


def test_affine_of_many_rows_has_the_gradients_of_its_formula():
    rng = np.random.default_rng(9)
    x, w, b = rng.normal(size=(80, 2, 3)), rng.normal(size=(6, 4)), rng.normal(size=4)
    check_grads(lambda x, w, b: np.sum(L.affine(x, w, b) ** 2), (x, w, b), order=2, modes=("fwd", "rev"))
    value, gradients = value_and_grad(lambda x, w, b: np.sum(np.sin(L.affine(x, w, b))), (0, 1, 2))(x, w, b)
    rows = x.reshape(80, 6)
    slope = np.cos(rows @ w + b)
    assert np.isclose(value, np.sum(np.sin(rows @ w + b)))
    expected = ((slope @ w.T).reshape(x.shape), rows.T @ slope, slope.sum(0))
    for found, wanted in zip(gradients, expected, strict=True):
        assert np.allclose(found, wanted)
    single = np.float32
    y = L.affine(x.astype(single), w.astype(single), b)
    assert y.dtype == np.float64  # as the formula: b is of double precision


@pytest.mark.parametrize("value", [np.nan, -np.inf, np.inf])
def test_maxima_of_what_is_not_finite(value):
    """So many that MXNet's kernel is the faster one; it passes over NaN."""
    x = np.random.RandomState(0).standard_normal((16, 8, 32, 32)).astype("f4")
    x[3, 2, 4:8, 6] = value
    x[0, 0, :4, :4] = -np.inf
    want = x.reshape(16, 8, 16, 2, 16, 2).max(axis=(3, 5))
    np.testing.assert_array_equal(L.pooling(x), want)
    found = value_and_grad(lambda v: np.sum(L.pooling(v)[1:2]))(x)[1]
    assert found.sum() == want[1].size
