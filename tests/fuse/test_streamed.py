"""Results that are written past the caches: the same bits wherever they begin, whatever they are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minpy.runtime.fuse import streaming
from minpy.runtime.fuse.ir import Program
from minpy.runtime.fuse.nest import Nest
from minpy.runtime.fuse.plan import Plan
from tests.fuse.conftest import HAS_COMPILER

pytestmark = [
    pytest.mark.skipif(not HAS_COMPILER, reason="needs the extra jit"),
    pytest.mark.skipif(not streaming._IS_KNOWN, reason="only where it is known how (x86)"),
]

rng = np.random.default_rng(29)
NAMES: dict[str, Any] = {
    "a": rng.normal(size=5007),
    "b": rng.random(5007) + 0.1,
    "f": rng.normal(size=4099).astype(np.float32),
    "i": rng.integers(-1000, 1000, 4099),
    "u": rng.integers(0, 256, 4099, dtype=np.uint8),
    "m": rng.normal(size=(3, 2570)),
    "col": rng.normal(size=(3, 1)),
    "x": np.zeros(5008),
    "w": np.zeros((3, 2600)),
}
TEXTS = [
    "y = a * b + a",
    *(f"y = a[{k}:] * 2 - b[:{-k}]; x[{k}:{-9}] = a[{k}:{-8}] + b[:{-k - 8}] * a[1]" for k in (1, 3, 5)),
    *(f"y = a[:{n}] * b[:{n}] - 1.0" for n in (2047, 2048, 2049, 2559, 2560, 2567, 2568, 4096 + 7)),
    "y = f * 2 + f; z = f[1:] * 2 - f[:-1]",
    "y = u * 3 + u; z = (u > 7) & (u < 100); v = u[3:] + 1 - u[:-3]",
    "y = i % 7 * 2 + i; z = i[1:] % 10",
    "y = m * col + m; w[:, 7:-23] = m * 2 + col; z = m[:, 1:] - m[:, :-1] * col",
    "y = np.exp(a) * b + np.tanh(a); z = np.exp(-b)",
    "y = a[::2] * 2 + a[1::2][:1]; x[::2] = a[::2] * 2 + 1",
    "y = a * 1e200 * 1e200; z = 1 / (a - a) + b",
    "with np.errstate(all='ignore'): y = a * 1e200 * 1e200; z = 1 / (a - a) + b",
    "x[1:] = x[:-1] * 2 + 1; a += b * 2; a[1:] -= a[:-1] * 0.5",
]


@pytest.mark.parametrize("text", TEXTS)
def test_streamed(run_all, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(streaming, "LEAST", 1)
    run_all(f"for n in range(2):\n  {text}" if text[0] != "w" else text, fused=None, **NAMES)


@pytest.mark.parametrize(
    ("shape", "streamed"),
    [((1 << 21,), True), ((1500, 1500), True), ((1 << 20,), False), ((1 << 21) - 1, False)],
)
def test_only_what_is_larger_than_caches(shape: Any, streamed: bool) -> None:
    array = np.empty(shape)
    plan = Plan(Program("v0*2.0+v0"), (array, 2.0), "force", {})
    assert Nest(plan).is_streamed == streamed
