"""Calls that are compiled as a whole, and calls whose operands have no names: NumPy's bits, layouts, warnings and errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minpy.options import Options
from minpy.runtime.entry import routed
from minpy.runtime.fuse import compiled, lanes, sites
from minpy.runtime.fuse.ir import Irregular
from minpy.transform import hook, rewriter

rng = np.random.default_rng(23)
PLAIN = rng.normal(size=(9, 8, 13)) * 40
ODD = PLAIN.copy()
ODD[3, 2, 5], ODD[0, 0, 0] = np.nan, np.inf
INFINITE = PLAIN.copy()
INFINITE[2:7, 1, 1], INFINITE[:5, 3, 3], INFINITE[5:, 3, 3] = np.inf, -np.inf, np.inf
ZEROS = np.where(rng.random((9, 8, 13)) < 0.6, np.where(rng.random((9, 8, 13)) < 0.5, -0.0, 0.0), PLAIN)
HUGE = np.full((2, 8, 13), 1.7e308)
NAMES: dict[str, Any] = {
    "a": PLAIN, "odd": ODD, "infinite": INFINITE, "zeros": ZEROS, "huge": HUGE, "equal": np.full((9, 8, 13), 2.5),
    "image": rng.random((23, 31)), "tall": rng.normal(size=(5001, 3)), "v": rng.normal(size=20_011),
    "n": rng.integers(0, 300, 20_011), "empty": np.empty((0, 4)), "few": np.array([3, 1]),
    "pairs": rng.normal(size=(2, 700)), "short": rng.normal(size=(800, 3)) * 9, "rows": rng.normal(size=(60, 301)),
    "signs": rng.choice([0.0, -0.0, -1.0], (300, 20)), "odds": rng.choice([1.0, np.inf, np.nan, -np.inf], (300, 4)),
    "u": rng.integers(0, 250, (300, 33)).astype("B"),
}  # fmt: skip

MEDIANS = [
    *(f"x = np.median(a.astype('{c}'), axis=0); y = np.median(a[:4].astype('{c}'), 0)" for c in "dfbBhHiIlL"),
    *(
        f"x = np.median({b} + 0.0, axis={k})"
        for b in ("odd", "infinite", "equal")
        for k in (0, 1, (0, 2), None)
    ),
    *(
        f"x = np.median({b}[:4] * 1.0, axis=0); y = np.median({b}, axis=0)"
        for b in ("odd", "infinite", "zeros", "huge")
    ),
    "x = np.median(np.stack([image[i : i + 20, j : j + 20] for i in range(3) for j in range(3)]), axis=0)",
    "w = np.lib.stride_tricks.sliding_window_view(image, (3, 3)); x = np.median(w, axis=(2, 3)); y = np.median(w, (-2, -1))",
    "x = np.median(a.T, axis=0); y = np.median(a.T, axis=2); z0 = np.median(a.transpose(1, 0, 2), axis=1, keepdims=True)",
    "x = np.median(a[::2, ::3, 1::2], axis=0); y = np.median(a[::-1], axis=0); z0 = np.median(np.asfortranarray(a), 1)",
    "x = np.median(a.reshape(-1)); y = np.median(a.ravel(), keepdims=True); z0 = np.median(v.reshape(-1, 1), axis=1)",
    "x = np.median(pairs * 1, axis=0); y = np.median(pairs.T, axis=1); z0 = np.median(pairs * 1, axis=1)",
    "x = np.median(v > 0); y = np.median(a.astype('>f8'), axis=0); z0 = np.median(v.astype('e'))",
    "x = np.median(list(v)); y = np.median((3, 1, 2)); z0 = np.median(np.float64(3) + 1); k = np.median(few * 1)",
    "x = np.median(np.ma.masked_array(a, a > 1) + 1, axis=0)",
    "x = 1\ny = np.median(v * 1, axis=3)",
    "x = 1\ny = np.median(empty + 1, axis=0)",
    "x = 1\ny = np.median(v.reshape(-1, 0 + 7), axis=0)",
    "x = np.median(huge * 1.0, axis=0)\ny = np.median(infinite[3:7] * 1.0, axis=0)",
    "with np.errstate(all='raise'):\n  x = np.median(huge * 1.0, axis=0)",
]
RANKS = [
    *(f"x = np.percentile(a.astype('{c}'), 30, axis=0); y = np.quantile(a.astype('{c}'), (0, .1, 1))" for c in "dfBhIL"),
    *(f"x = np.percentile({b} * 1, [2, 50, 98], axis=(0, 1)); y = np.median({b}.reshape(-1, 13) * 1, 0)" for b in ("odd", "infinite", "zeros", "equal")),
    "x = np.percentile(tall * 2, 2, axis=0); y = np.percentile(tall.T, 98, axis=1, keepdims=True); z0 = np.quantile(tall[::2] + 1, 0.5)",
    "x = np.percentile(v * 1, [1, 2, 3, 50, 97.5]); y = np.percentile(np.sort(v), 33); z0 = np.percentile(np.round(v), 33)",
    "q = 30\nx = np.percentile(v * 1, q); y = np.percentile(v * 1, q=q, axis=0); z0 = np.percentile(axis=0, a=v, q=q)",
    "x = 1\ny = np.percentile(v * 1, 101)",
    "x = 1\ny = np.percentile(v * 1, -1, axis=0)",
    "x = np.percentile(v * 1, np.array([5, 50])); y = np.percentile(v * 1, 5, method='lower')",
]  # fmt: skip
COUNTS = [
    *(
        f"x = np.bincount(n.astype('{c}')); y = np.bincount(n[::-1].astype('{c}'), minlength=500)"
        for c in "BHiIlq"
    ),
    "x = np.unique(n); y = np.unique(n.astype('B')); z0 = np.unique(n.reshape(-1, 11).astype('h')); k = np.unique(n - 5)",
    "x = np.unique(n * 10**9); m = n % 3 == 0; y = np.unique(n[m]); z0 = np.unique(n[::2]); k = np.unique(n, return_counts=True)",
    "x = np.bincount(n % 7); y = np.bincount((n % 7).astype('b'), minlength=3); z0 = np.bincount(n * 1000)",
    "x = np.bincount(n.astype('B'), minlength=0); y = np.bincount(np.zeros(5000, 'B')); z0 = np.bincount(n[:1] * 1)",
    "x = np.bincount(n.ravel(), minlength=np.int64(7)); y = np.bincount(list(n)); z0 = np.bincount((n > 3) * 1, weights=v)",
    "x = np.bincount(n > 3)\ny = np.bincount(n[:0] * 1); z0 = np.bincount(n.astype('L'))",
    "x = 1\ny = np.bincount(n - 5)",
    "x = 1\ny = np.bincount(n.reshape(-1, 1))",
    "x = 1\ny = np.bincount(v * 1)",
    "x = 1\ny = np.bincount(n * 1, minlength=-1)",
]
ROWS = [
    *(f"x = np.{f}(short.astype('{c}'), axis=-1)" for c in "fdBhl" for f in ("sum", "max", "argmin")),
    *(
        f"x = rows.{f}(axis=1); y = rows.astype('f').{f}(axis=1, keepdims=True)"
        for f in ("sum", "mean", "max", "argmax")
    ),
    *(
        f"x = np.{f}(signs, axis=-1); y = np.{f}(odds, axis=-1)"
        for f in ("sum", "mean", "min", "max", "argmax", "argmin")
    ),
    "x = u.mean(axis=1); y = u.sum(axis=(1,)); z0 = u.argmax(1); k = (u * 3).max(axis=1); m = np.mean(n.reshape(-1, 11), 1)",
    "x = np.any(short > 1, axis=-1); m = short > 2; y = m.any(axis=-1); z0 = m.all(axis=1); k = np.all(m, axis=0)",
    "x = np.sum(a, axis=(1, 2)); y = np.max(a, axis=(0, 1)); z0 = np.sum(a[:, :, ::2], axis=-1); k = a.T.max(axis=-1)",
    "w = np.lib.stride_tricks.sliding_window_view(v, 5); x = w.sum(axis=-1); y = w.max(axis=1); z0 = w.mean(axis=-1)",
    "x = np.max(short, axis=-1, initial=3); y = np.sum(short, axis=-1, dtype='f'); z0 = np.sum(huge, axis=-1)",
    "x = 1\ny = np.argmax(short, axis=2)",
    "with np.errstate(all='raise'):\n  x = np.sum(huge, axis=-1)",
]
EVERY = [*MEDIANS, *RANKS, *COUNTS, *ROWS]


@pytest.mark.parametrize("text", EVERY, ids=range(len(EVERY)))
def test_bits(run_all, text: str) -> None:
    run_all(text, fused=None, **NAMES)


def test_they_run_compiled(run_all) -> None:
    """Kernels make the calls of which the tests above say that they come out as NumPy's."""
    pytest.importorskip("llvmlite", reason="the extra jit is not installed")
    text = "x = np.median(np.stack(list(a)), axis=0); y = np.bincount(n * 1); z0 = np.percentile(v * 1, 5); k = short.max(1)"
    found = run_all(text, **NAMES)
    shown = [choice for site in found for choice in site.block._choices.values() if "native1" in choice.shown]
    assert len({site.name.split("_")[1] for site in found}) == 4 and len(shown) >= 12, found


@pytest.mark.parametrize("length", range(1, 33))
def test_networks_sort(length: int) -> None:
    pairs = lanes.exchanges(length)
    for trial in range(40):
        # Zeros and ones are enough: a network that sorts them all sorts everything.
        values = list(np.random.default_rng(trial).integers(0, 2, length))
        for i, j in pairs:
            if values[j] < values[i]:
                values[i], values[j] = values[j], values[i]
        assert values == sorted(values)


def test_no_frame_of_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """An error of the operand, or of NumPy's function, has the frames that it has in the program as written."""
    monkeypatch.setenv("MINPY_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("MINPY_FUSE", "force:native1")
    monkeypatch.setitem(__import__("builtins").__dict__, "__minpy__", routed)
    text = f"import numpy as np  # {tmp_path}\ndef f(x):\n    return np.median(np.stack(x), axis=7)\n"

    def frames(code: Any) -> list[tuple[str, int]]:
        space: dict[str, Any] = {}
        exec(code, space)
        with pytest.raises(np.AxisError if hasattr(np, "AxisError") else Exception) as caught:
            space["f"]([np.ones(9), np.ones(9)])
        return [(each.frame.code.name, each.lineno) for each in caught.traceback][1:]

    plain = frames(compile(text, "program.py", "exec"))
    before = len(sites.sites)
    ours = frames(hook.announce(rewriter.compile_source(text, "program.py", Options(fuse="force"))))
    assert len(sites.sites) > before and ours == plain


def test_a_replaced_function_is_called(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("MINPY_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("MINPY_FUSE", "force:native1")
    monkeypatch.setitem(__import__("builtins").__dict__, "__minpy__", routed)
    text = f"import numpy as np  # {tmp_path}\ndef f(x):\n    return np.median(np.stack(x), axis=0)\n"
    space: dict[str, Any] = {}
    exec(hook.announce(rewriter.compile_source(text, "program.py", Options(fuse="force"))), space)
    assert space["f"]([np.ones(9), np.zeros(9)])[0] == 0.5
    monkeypatch.setattr(np, "median", lambda *given, **named: (len(given), named))
    assert space["f"]([np.ones(9), np.zeros(9)]) == (1, {"axis": 0})


def test_a_kernel_that_keeps_saying_no_is_given_up() -> None:
    found = compiled.of("median", ZEROS, {"axis": 0}, True)
    if found is None:
        pytest.skip("the extra jit is not installed")
    for _ in range(compiled._MISSES):
        assert not found.is_hopeless
        with pytest.raises(Irregular):
            found.run(ZEROS, True)
    assert found.is_hopeless
