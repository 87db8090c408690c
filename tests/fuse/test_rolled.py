"""Expressions of `np.roll`: one nest in parts, with NumPy's bits, wherever the seams are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minpy.runtime.fuse import rolled
from minpy.runtime.fuse.ir import Irregular
from tests.fuse.conftest import HAS_COMPILER

pytestmark = pytest.mark.skipif(not HAS_COMPILER, reason="needs the extra jit")

rng = np.random.default_rng(31)
NAMES: dict[str, Any] = {
    "u": rng.normal(size=(30, 40)),
    "v": rng.normal(size=(30, 40)),
    "t": rng.normal(size=(5, 6, 7)),
    "z": rng.normal(size=700),
    "i": rng.integers(0, 2, (30, 40)),
    "m": rng.random((30, 40)) > 0.5,
    "f": rng.normal(size=(30, 40)).astype(np.float32),
    "row": rng.normal(size=40),
    "s": 0.25,
    "k": 3,
}

FUSED = [
    "x = np.roll(u, 1, 0) + np.roll(u, -1, 0) + np.roll(u, 1, 1) + np.roll(u, -1, 1) - 4 * u",
    "x = np.roll(u, 1, axis=0) * s + np.roll(v, shift=-k, axis=-1)",
    "u += 0.1 * (np.roll(u, 1, 0) + np.roll(u, -1, 0) - 2 * u)",
    "u[:] = np.roll(u, 1, 0) * s + np.roll(u, -1, 0)",
    "u[1:-1] = np.roll(v[1:-1], k, 0) * 2 + np.roll(v[1:-1], k, 1)",
    "x = np.roll(u[2:, 3:], 2, 1) * 2 + v[2:, 3:]",
    "x = np.roll(np.roll(i, 1, 0), -1, 1) + np.roll(np.roll(i, -1, 0), 1, 1) == 2",
    "x = np.roll(m, 1, 0) & ~np.roll(m, -1, 1)",
    "x = np.roll(z, 5) * 2 + np.roll(z, -705)",
    "x = np.roll(z, 0) * 2 + np.roll(z, 700, 0) + np.roll(z, 10 ** 6)",
    "x = np.roll(t, 1, 0) * np.roll(t, 2, 1) + np.roll(t, 3, 2)",
    "x = np.exp(np.roll(u, 1, 0)) - np.tanh(np.roll(v, 2, 1) * u)",
    "x = np.where(np.roll(u, 1, 0) > u, np.roll(u, 1, 0), u * s)",
    "x = f * np.roll(f, 39, 1) + np.float32(2)",
    "x = np.roll(u, k - 2, k - 3) + np.roll(u, k * 2, 1) * u",
    "x = np.roll(u, 1, 0) / (np.roll(v, 1, 1) - np.roll(v, 1, 1)) + u",
]
OTHERWISE = [
    "x = np.roll(row, 1) * 2 + u",
    "x = np.roll(u, 1) * 2 + u",
    "x = np.roll(u, (1, 2), (0, 1)) + u * 2",
    "x = np.roll(u, 1, 5) + u * 2",
    "x = np.roll(u, 1.5, 0) + u * 2",
    "x = np.roll(u.T, 1, 0) + u.T * 2",
    "x = np.sum(np.roll(u, 1, 0) * v, axis=1)",
    "x = np.roll(u[:0], 1, 0) + u[:0] * 2",
    "x = np.roll(u * 2, 1, 0) + u",
]


@pytest.mark.parametrize("text", FUSED)
def test_rolled(run_all, text: str) -> None:
    found = run_all(
        f"for n in range(4):\n    {text}\n    pass", fused=None, compiled="/" not in text, **NAMES
    )
    hits = [site.block.shortcut.hits for site in found if site.block and site.block.shortcut is not None]
    assert "/" in text or max(hits) >= 2, found


@pytest.mark.parametrize("text", OTHERWISE)
def test_otherwise(run_all, text: str) -> None:
    run_all(
        f"try:\n  for n in range(3):\n    {text}\nexcept Exception as e:\n  why = str(e)", fused=None, **NAMES
    )


def test_what_varies(run_all) -> None:
    """Shifts and axes from call to call, arrays of other shapes, and functions that are replaced."""
    program = """
def f(u, k, axis):
    return np.roll(u, k, axis) * 2 + u
seen = [f(u, k, axis) for k in (1, 2, 1, -3, 30, 31, 1) for axis in (0, 1, -1)]
seen += [f(each, 1, 0) for each in (u, v, u[1:], z, t, u, f if False else u)]
kept = np.roll
def own(a, shift, axis=None):
    return kept(a, shift + 1, axis)
for n in range(6):
    np.roll = own if n in (3, 4) else kept
    seen.append(f(u, 1, 0))
np.roll = kept
del f, kept, own
"""
    run_all(program, fused=None, **NAMES)


def test_runs(run_all) -> None:
    """A reaction on a torus, as a run of assignments; and one that rolls what it has just computed."""
    program = """
def step(u, v, s):
    lap = np.roll(u, 1, 0) + np.roll(u, -1, 0) - 2 * u
    uvv = u * v * v
    u += s * lap - uvv
    v += s * np.roll(v, 1, 1) + uvv
    other = u * 2 + v
    w = np.roll(other, 1, 0) * other + np.roll(u, 2, 1)
    return w
for n in range(5):
    x = step(u, v, s * 0.1)
del step
"""
    run_all(program, fused=None, **NAMES)


def test_gradients() -> None:
    """On a tape the block stands aside."""
    from minpy.core import grad

    def f(u):
        return np.sum((np.roll(u, 1, 0) * 2 + u) ** 2)

    u = NAMES["u"]
    y = np.roll(u, 1, 0) * 2 + u
    import minpy

    assert np.allclose(grad(minpy.accelerate(f))(u), 2 * y + np.roll(4 * y, -1, 0))


def test_parts() -> None:
    assert rolled.normal(((1, 0), (2, -2), (5, 1)), (4, 6)) == ((3, 0), (5, 1))
    for bad in (((1, None),), ((1, 2),)):
        with pytest.raises(Irregular):
            rolled.normal(bad, (4, 6))
    shape = (6, 9)
    a = np.arange(54).reshape(shape)
    rolls = [((1, 0),), ((-2, 1),), ((4, 0), (3, 1)), ()]
    for threads in (1, 2):
        seen = np.zeros(shape, int)
        for box in rolled.boxes(shape, rolls, threads):
            seen[box] += 1
            for each in rolls:
                expected = a
                for shift, axis in each:
                    expected = np.roll(expected, shift, axis)
                start = rolled.begin(box, each, shape, a.strides)
                assert expected[box].flat[0] == a.ravel()[start // a.itemsize]
        assert (seen == 1).all()
    with pytest.raises(Irregular):
        rolled.boxes((200, 9), [((k, 0),) for k in range(100)], 1)
