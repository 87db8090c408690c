"""Short loops whose rounds each move the elements of a slice: all slices at once, and when that must not be done."""

from __future__ import annotations

import ast
import random
from typing import Any

import pytest

pytest.importorskip("llvmlite", reason="without the extra jit loops run as written")

from minpy.runtime.jit import slices

SETUP = """
rng = np.random.default_rng(8)
n, m = 7, 10
f, g = rng.standard_normal((n, m, 9)), rng.standard_normal((n, m, 9))
h, z, b = f.astype(np.float32), f + 1j * g, f > 0
j = rng.integers(-99, 99, (n, m, 9)).astype(np.int16)
u, v = rng.standard_normal((30, 9)), rng.standard_normal((30, 12))
cx, cy, x, i = rng.integers(-9, 9, 9), np.array([0, 1, 1, 0, -1, -1, -1, 0, 1]), 2, -5
"""
_TWICE = "np.roll({0}[:, :, i], cx[i], axis=1); {0}[:, :, i] = np.roll({0}[:, :, i], cy[i], axis=0)"

ROUNDS = [
    f"f[:, :, i] = {_TWICE.format('f')}",
    f"h[:, :, i] = {_TWICE.format('h')}",
    f"z[:, :, i] = {_TWICE.format('z')}; z[:, :, i] = z[:, :, i] + np.roll(z[:, :, i], x, 0)",
    f"j[:, :, i] = {_TWICE.format('j')}; j[:, :, i] = np.roll(j[:, :, i] * j[:, :, i], 1, 1) + j[:, :, i]",
    "b[:, :, i] = np.roll(b[:, :, i], cx[i], axis=1) | b[:, :, i]; b[:, :, i] = np.roll(b[:, :, i], 1, axis=0)",
    "f[:, :, i] = np.roll(np.roll(f[:, :, i], cx[i], axis=1), cy[i], axis=0) * 0.5 + f[:, :, i] + g[:, :, 3]",
    "u[:, i] = np.roll(u[:, i], cx[i]) - np.roll(u[:, i], -1); u[:, i] = np.roll(u[:, i], i) + np.roll(v[:, 0], i)",
    "v[1:-1, i] = np.roll(v[1:-1, i], cx[i]); v[1:-1, i] = np.roll(v[1:-1, i], 3) * x",
    "f[:, ::-2, i] = np.roll(f[:, ::-2, i], cx[i], axis=1); f[:, ::-2, i] = np.roll(f[:, ::-2, i], 1, axis=1)",
    # Layouts, memory that is shared, other shapes and types, slices that are not there.
    "f = np.asfortranarray(f)[::-1]\nfor i in range(9): f[:, :, i] = " + _TWICE.format("f"),
    "g = f[:, ::-1]\nfor i in range(9): f[:, :, i] = np.roll(f[:, :, i], 1, 0) + np.roll(g[:, :, 8], i, 1)",
    "cx = j[0, 0, :]\nfor i in range(9): j[:, :, i] = " + _TWICE.format("j"),
    "f = np.lib.stride_tricks.as_strided(f, (n, m, 9), (80, 8, 8))\nfor i in range(9): f[:, :, i] = "
    + _TWICE.format("f"),
    "f = f[:0]\nfor i in range(9): f[:, :, i] = " + _TWICE.format("f"),
    "f = f[:, :, :8]\nfor i in range(9): f[:, :, i] = " + _TWICE.format("f"),
    "cx = cx[:5]\nfor i in range(9): f[:, :, i] = " + _TWICE.format("f"),
    "f[:, :, i] = np.roll(f[:3, :, 1], 1, 0); f[:, :, i] = np.roll(f[:, :, i], 1, 0)",
    "f[:, :, i] = np.roll(g[0], 1, 0)[:, i]; f[:, :, i] = np.roll(f[:, :, i], 1, 0)",
    "f[:, :, i] = np.roll(f[:, :, i], x / 2, 0); f[:, :, i] = np.roll(f[:, :, i], 1, 0)",
    "j[:, :, i] = np.roll(j[:, :, i], 1, 0) * 0.5; j[:, :, i] = np.roll(j[:, :, i], 1, 0)",
    # What goes wrong in the middle.
    "f[3, 2, 5] = 1e300\nfor i in range(9): f[:, :, i] = np.roll(f[:, :, i], 1, 0) * f[:, :, i]; x += i",
    "f[3, 2, 5] = 1e300\nfor i in range(9): f[:, :, i] = np.roll(f[:, :, i], 3, 0) * 1e10; f[:, :, i] = "
    + _TWICE.format("f"),
    "f[3, 2, 5] = 1e300\nfor i in range(9): f[:, :, i] = "
    + _TWICE.format("f")
    + "; f[:, :, i] = np.roll(f[:, :, i], 3, 0) * 1e10",
    "f[3, 2, 5] = np.nan\nfor i in range(9): f[:, :, i] = np.roll(f[:, :, i], 3, 0) + 1; f[:, :, i] = "
    + _TWICE.format("f"),
]


def _program(text: str) -> str:
    """The loop inside another one: the rounds of the outermost one are never made together."""
    before, _, loop = text.rpartition("for i in range(9): ")
    return f"{SETUP}{before}for o in range(3):\n  x += o\n  for i in range(9): {loop}\nx += i"


@pytest.mark.parametrize("text", ROUNDS)
def test_same(run_both: Any, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("MINPY_JIT", "force:quick")
    run_both(_program(text), None)


@pytest.mark.parametrize("number", [0, 2, 5, 7])
def test_together(run_both: Any, number: int) -> None:
    sites = run_both(_program(ROUNDS[number]))
    texts = [each.code.text for site in sites for kernels in site.kernels.values() for each in kernels]
    assert any("together" in text for text in texts)


def random_program(seed: int) -> str:
    """Statements of rolls, sums and products of a slice, of other arrays, with random shifts."""
    r = random.Random(seed)
    name, axes = r.choice([("f", 2), ("f", 2), ("h", 2), ("j", 2), ("z", 2), ("b", 2), ("u", 1), ("v", 1)])
    here = f"{name}[{r.choice([':', ':', '1:', '::2', ':-1'])}, {':, ' if axes == 2 else ''}i]"

    def value(depth: int) -> str:
        if depth and r.random() < 0.7:
            shift = r.choice(["cx[i]", "cy[i]", "i", "1", "-x", "cx[i] + x"])
            return f"np.roll({value(depth - 1)}, {shift}, {r.randrange(axes)})"
        if depth and r.random() < 0.6:
            return f"({value(depth - 1)} {r.choice('+-*' if name != 'b' else '&|^')} {value(depth - 1)})"
        return here if r.random() < 0.9 else r.choice(["g[:, :, 0]", "v[:, 3]", "f[:, :, i]", "x", "g[:, 2]"])

    lines = [f"{here} = {value(3)}" for _ in range(r.randrange(1, 4))]
    special = r.choice(
        ["", "", "g = f\n", "f[3, 2, 5] = h[1, 1, 1] = 1e30\n", "f, u = f[::-1], u[:, ::-1]\n"]
    )
    return _program(f"{special}for i in range(9): {'; '.join(lines)}")


def test_random_programs(run_both: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINPY_JIT", "force:quick")
    found = 0
    for seed in range(10):
        sites = run_both(random_program(seed), None)
        codes = [each.code for site in sites for kernels in site.kernels.values() for each in kernels]
        found += any("together" in code.text for code in codes)
    assert found > 1  # else nothing was tested


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("for i in range(9): f[:, i] = np.roll(f[:, i], c[i])", True),
        ("for i in range(9): f[:, i] = np.roll(f[:, i], c[i], axis=0); f[:, i] = np.roll(f[:, i], 1)", True),
        ("for i in range(9): f[:, i] = f[:, i] * 2", False),
        ("for i in range(9): f[:, i] = np.roll(f[:, i - 1], c[i])", False),
        ("for i in range(9): f[:, i] = np.roll(f[:, 0], c[i])", False),
        ("for i in range(9): f[:, i] = np.roll(f[:, i], f[0, 0])", False),
        ("for i in range(9): f[i] = np.roll(f[i], c[i])", False),
        ("for i in range(9): f[:i, i] = np.roll(f[:i, i], c[i])", False),
        ("for i in range(9): f[:, i] = np.roll(f[:, i], c[i]); g[:, i] = np.roll(g[:, i], 1)", False),
        ("for i in range(9): f[:, i] += np.roll(f[:, i], c[i])", False),
        ("for i in range(9): f[:, i] = np.roll(f[:, i], c[i]); s = 1", False),
        ("for i in range(9): f[:, i] = [np.roll(f[:, i], c[i])]", False),
    ],
)
def test_slices_of(text: str, found: bool) -> None:
    (node,) = ast.parse(text).body
    assert isinstance(node, ast.For)
    assert (slices.slices_of(node) is not None) == found
