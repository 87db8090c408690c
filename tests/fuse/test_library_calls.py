"""Library calls in pieces, with every engine: the same bits, dtypes, layouts, warnings, errors, and what they leave behind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

rng = np.random.default_rng(11)
A = rng.normal(size=(60, 71))
NAMES: dict[str, Any] = {
    "a": A,
    "b": np.abs(rng.normal(size=(60, 71))) + 0.1,
    "row": rng.normal(size=71),
    "column": rng.normal(size=(60, 1)),
    "f": A.astype(np.float32),
    "h": A.astype(np.float16),
    "i": rng.integers(-9, 9, (60, 71)),
    "j": rng.integers(-100, 100, (60, 71)).astype(np.int8),
    "u": rng.integers(0, 250, (60, 71)).astype(np.uint8),
    "z": A + 1j,
    "m": A > 1,
    "v": rng.normal(size=20_011),
    "w": rng.normal(size=20_011),
    "g": rng.normal(size=20_011).astype(np.float32),
    "k2": rng.integers(-300, 300, 20_011).astype(np.int16),
    "n": rng.integers(0, 300, 20_011),
    "t": rng.normal(size=(7, 12, 5, 9)),
    "tall": rng.normal(size=(9000, 3)),
    "high": rng.normal(size=(9000, 5)),
    "wide": rng.normal(size=(4, 20_000)),
    "stack": rng.normal(size=(9, 4, 4)) + 5 * np.eye(4),
    "places": rng.integers(-20_011, 20_011, 3000),
}

REDUCTIONS = "sum prod mean max min any all std var argmax argmin".split()
FUSED = [
    *(f"x = np.{name}(a, axis={axis})" for name in REDUCTIONS for axis in (0, 1, -1)),
    *(f"x = a.{name}(axis=0); y = f.{name}(1); z0 = u.{name}(axis=1)" for name in REDUCTIONS),
    *(f"x = np.{name}(v); y = np.{name}(g)" for name in "sum mean max min any all argmax argmin".split()),
    *(f"x = v.{name}(); y = k2.{name}()" for name in "sum mean max min any all argmax argmin".split()),
    "x = v.std(); y = np.var(w)",
    *(
        f"x = np.{name}((a - b) ** 2, axis={axis})"
        for name in "sum mean max prod any".split()
        for axis in (0, 1)
    ),
    *(
        f"x = np.{name}((v - w) * g); y = (v[1:] * w[:-1]).{name}()"
        for name in "sum mean max min any all".split()
    ),
    *(f"x = np.{name}(t, axis={axis})" for name in ("sum", "max", "mean") for axis in (0, 1, 2, 3)),
    *(f"x = np.{name}(t * t, axis={axis})" for name in ("sum", "mean", "min") for axis in (0, 1, 2, 3)),
    *(f"x = (t + t).sum(axis={axis})" for axis in ((0, 1), (1, 2), (0, 2), (1, 3), (0, 1, 3), (2, 3), None)),
    *(f"x = t.sum(axis={axis}); y = t.mean({axis})" for axis in ((0, 1), (1, 2), (0, 2), (1, 3), (0, 1, 3))),
    *(
        f"x = np.{name}(high, axis=0); y = np.{name}(wide, axis=1)"
        for name in ("sum", "mean", "std", "median")
    ),
    *(f"x = np.{name}(tall * tall, axis={axis})" for name in ("sum", "mean") for axis in (0, 1)),
    *(f"x = np.{name}(wide * wide, axis={axis})" for name in ("sum", "mean") for axis in (0, 1)),
    "x = np.sum(a * row, axis=1); y = np.sum(column * row, 0); z0 = np.sum(column * row + a)",
    "x = np.sum(a * b, axis=1, keepdims=True); y = np.sum(a * b, keepdims=True); z0 = a.max(axis=0, keepdims=True)",
    "x = np.sum(i * 3); y = np.sum(u * u); z0 = np.mean(u * 2, axis=1); k = np.sum(u); l = np.mean(u); o = j.sum(0)",
    "x = np.count_nonzero(m & (a > 0)); y = np.count_nonzero(a > 0, axis=1); z0 = (m | (a < 0)).any(axis=0)",
    "x = a.std(ddof=1, axis=0); y = v.std(ddof=1); z0 = np.var(v)",
    "x = np.sort(a); y = np.sort(a, axis=0); z0 = np.sort(v); k = np.sort(n); l = np.sort(i, 1, kind='stable')",
    "a.sort(); i.sort(axis=0); n.sort()",
    "b[:, 1:].sort(axis=0)",
    "x = np.argsort(a); y = a.argsort(axis=0); z0 = np.argsort(i, kind='stable')",
    "x = np.cumsum(a, axis=0); y = a.cumsum(1); z0 = np.cumprod(f, axis=1)",
    "x = np.median(a, axis=0); y = np.median(a, axis=1, keepdims=True); z0 = np.median(t, axis=(1, 2))",
    "x = np.percentile(a, 30, axis=0); y = np.quantile(a, 0.1, axis=1)",
    "x = np.percentile(a, [5, 50.5, 95], axis=1); y = np.percentile(t, (2, 98), axis=(0, 1))",
    "s = np.sort(v); y = np.searchsorted(s, w); z0 = s.searchsorted(w, 'right')",
    "x = np.take(v, places); y = v.take(places); z0 = np.take(tall, n, axis=0)",
    "x = np.bincount(n); y = np.bincount(n, minlength=500)",
    "x = np.histogram(v); y = np.histogram(v, 33); z0 = np.histogram(v, bins=20, range=(-1, 1)); k = np.histogram(n, 7)",
    "x = np.unique(n); y = np.unique(i)",
    *(
        f"x = np.convolve(v, row, '{mode}'); y = np.correlate(v, row[:70], mode='{mode}')"
        for mode in "full same valid".split()
    ),
    "x = np.convolve(v, row[:5]); y = np.correlate(g, g[:12])",
    "x = np.linalg.inv(stack); y = np.linalg.det(stack); z0 = np.linalg.solve(stack, stack); k = np.matmul(stack, stack)",
    "x = np.fft.rfft(a); y = np.fft.fft(z, axis=1); z0 = np.fft.irfft(a, n=50)",
    "r = np.random.default_rng(5)\nx = r.random(5001); y = r.random((70, 30)); z0 = r.standard_normal(3); k = r.integers(9, size=5)",
    "r = np.random.default_rng(5)\nk = r.integers(2**20, size=3, dtype=np.uint32); x = r.random(1001); l = r.integers(2**20, size=4, dtype=np.uint32)",
]


@pytest.mark.parametrize("text", FUSED)
def test_pieces(run_all, text: str) -> None:
    sites = run_all(text, **NAMES)
    names = {site.block.name if hasattr(site.block, "form") else "" for site in sites if site.block}
    alone = {"linalg_inv"} & names
    for site in sites:
        assert site.fused or alone, (text, site)


NOT_TAKEN = [
    "x = np.sum(h, axis=0); y = np.mean(h, axis=1)",  # added up in float32, a buffer at a time
    "x = np.mean(n)",  # converted a buffer at a time
    "x = np.sum(a[:, ::2]); y = np.sum(a.T); z0 = np.sum(a[::-1], axis=0)",
    "x = np.sum(a.T * 2, axis=0)",  # made in Fortran's order
    "x = np.sum(list(v)); y = np.max([1, 2]); z0 = np.sort((3, 1)); k = np.sum(2.5 + s0)",
    "x = np.argsort(v)",
    "x = np.sum(np.ma.masked_array(a, m), axis=0); y = np.sum(np.matrix(a), axis=0)",
    "x = np.sum(a.astype('>f8'), axis=0); y = np.array([object] * 9).any()",
    "e = a[:0]; x = np.sum(e, axis=0); y = e.sum(); z0 = np.sum(e * 2, axis=1)",
    "x = np.sum(v[0] * 2); y = np.float64(3).sum(); k = (s0 * 2).max()",
    "r = np.random.RandomState(3); x = r.random(5000); y = np.random.Generator(np.random.MT19937(3)).random(5000)",
    "class A(np.ndarray): pass\nx = a.view(A).sum(axis=0); y = np.sort(a.view(A)); z0 = np.sum(a.view(A) * 2)",
]


@pytest.mark.parametrize("text", NOT_TAKEN)
def test_made_as_written(run_all, text: str) -> None:
    run_all(text, fused=False, s0=np.float64(2.5), **NAMES)


SAID = [
    # Warnings, from the line of the call, once.
    "x = np.sum(v * 1e308 * 1e10); y = 1",
    "x = np.sum(wide * 1e308 * 1e10, axis=1)",
    "x = np.mean(np.log(v))",
    "x = np.sum(np.sqrt(a), axis=1)",
    "x = np.sum(big)\ny = big.sum(axis=0)",
    "x = np.prod(big, axis=0)",
    "x = np.std(big)",
    "x = np.var(a[:1], axis=0, ddof=1); y = np.std(v[:1], ddof=1)",
    "with np.errstate(all='raise'):\n  x = np.sum(big)",
    "with np.errstate(over='ignore', invalid='ignore'):\n  x = np.sum(big); y = np.sum(v * 1e308 * 1e10); z0 = np.mean(np.log(a), axis=0)",
    # Errors, from the line of the call, with NumPy's words.
    "x = 1\ny = np.sum(a * b, axis=2)",
    "x = np.sum(a, axis=(0, 0))",
    "x = np.sum(a * row[:5])",
    "x = np.take(v, places + 10**6)",
    "x = np.bincount(n - 5)",
    "x = np.histogram(v, bins=0)",
    "x = np.histogram(v, range=(1, -1))",
    "x = np.histogram(np.where(v > 1, np.nan, v))",
    "x = np.percentile(a, 101, axis=0)",
    "zero = np.zeros((9, 4, 4))\ny = np.linalg.inv(zero)",
    "x = np.searchsorted(v, w, side='full')",
    "a.flags.writeable = False\na.sort()",
    "n.flags.writeable = False\nn.sort()",
    "r = np.random.default_rng(1)\nx = r.random((5, -1))",
]


@pytest.mark.parametrize("text", SAID)
def test_what_numpy_says(run_all, text: str) -> None:
    """Warnings and errors come from the line of the call, once and in NumPy's words."""
    with np.errstate(over="ignore"):
        run_all(text, fused=None, big=A * 1e307, **NAMES)


def test_values_that_order_could_tell(run_all) -> None:
    """NaN, infinities and both zeros, at the places where pieces begin and end."""
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e308, 5e-324])
    values = rng.normal(size=(40, 600))
    values[rng.integers(0, 40, 90), rng.integers(0, 600, 90)] = special[rng.integers(0, 7, 90)]
    zeros = np.where(rng.random((40, 600)) > 0.5, 0.0, -0.0)
    names = "sum mean max min any all argmax argmin".split()
    lines = [f"x{k} = np.{name}(p, axis={axis})" for k, name in enumerate(names) for axis in (0, 1, None)]
    lines += [
        f"y{k} = np.{name}(p * q, axis={axis})" for k, name in enumerate(names[:6]) for axis in (0, 1, None)
    ]
    lines += [
        "z0 = np.sort(p, axis=0)",
        "z1 = np.sort(q)",
        "z2 = np.sort(q.ravel())",
        "z3 = np.cumsum(p, axis=1)",
    ]
    lines += ["z4 = np.median(p, axis=0)", "z5 = np.unique(q)", "p.sort()"]
    with np.errstate(all="ignore"):
        for line in lines:
            run_all(line, fused=None, p=values, q=zeros)
            run_all(line, fused=None, p=zeros, q=values)


def test_every_function_that_gets_a_site_is_known_where_it_runs() -> None:
    from minpy.runtime.fuse import forms
    from minpy.transform import library

    words = {name.replace(".", "_") for name in [*library.FUNCTIONS, *library.METHODS]}
    assert words == set(forms.FORMS)


def test_replaced_functions_are_called(run_all) -> None:
    run_all(
        "kept = np.sum\nnp.sum = lambda *_, **__: 5\ntry:\n  x = np.sum(a * b, axis=1)\nfinally:\n  np.sum = kept",
        fused=False,
        **NAMES,
    )


@pytest.mark.parametrize("size", [8191, 8192, 8193, 16_384, 50_007, 100_000])
@pytest.mark.parametrize("kind", ["f8", "f4", "i4"])
def test_sums_keep_numpys_order(run_all, size: int, kind: str) -> None:
    values = (np.random.default_rng(size).standard_normal(size) * 1000).astype(kind)
    run_all("x = np.sum(p); y = np.sum(p * p + p); z = (p[1:] - p[:-1]).mean(); k = p.mean()", p=values)
    rows = values[: size // 77 * 77].reshape(-1, 77)
    run_all(
        "x = np.sum(p * c); y = np.mean(p[:, 1:] * c); z = (p[1:] - p[:-1]).sum()", p=rows, c=rows[:, :1] + 1
    )
