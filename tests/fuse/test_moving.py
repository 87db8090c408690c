"""Slices that move, brackets behind brackets, attributes and items: the short way finds them, and nobody can tell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minpy.runtime.fuse.ir import Program
from minpy.runtime.fuse.moving import Form, Moving
from tests.fuse.conftest import HAS_COMPILER

pytestmark = pytest.mark.skipif(not HAS_COMPILER, reason="needs the extra jit")

rng = np.random.default_rng(5)
NAMES: dict[str, Any] = {
    "a": rng.normal(size=(40, 50)),
    "b": rng.random((40, 50)) + 0.1,
    "t": rng.normal(size=(12, 13, 14)),
    "u": rng.random((12, 13, 14)) + 1.0,
    "v": rng.normal(size=900),
    "w": rng.normal(size=900),
    "o": np.zeros((12, 13, 14)),
    "s": 0.5,
}

# What is done for each k of range(1, 9).
MOVING = [
    "o[:, :, k] = t[:, :, k] * 2 + u[:, :, k - 1]",
    "o[:, :, k] = (t[:, :, k] - u[:, :, k] * o[:, :, k - 1]) * s",
    "o[:, :, -k] = t[:, :, -k] - u[:, :, k] * o[:, :, 1 - k]",
    "o[k] = t[k] * 2 + u[k - 1]",
    "o[k] += t[k] * 2 + u[-k]",
    "o[:, k, 1:-1] -= s * (t[:, k, 2:] - t[:, k, :-2])",
    "a[:] = np.minimum(a, a[:, k][:, None] + a[k, :][None, :])",
    "a[:] = np.minimum(a, a[:, k, None] + a[k])",
    "a -= a[:, k][:, None] * b[k, :][None, :] * 1e-3",
    "x = v[k:k + 500] * 2 + w[2 * k:2 * k + 500]",
    "v[k:k + 500] = v[k:k + 500] * s + w[2 * k:2 * k + 500]",
    "v[k:k + 500] = v[k - 1:k + 499] * s + w[k:k + 500]",
    "v[100 * k - 100:100 * k] = v[100 * k:100 * k + 100] * s + w[:100]",
    "v[100 * k - 100:100 * k] += v[100 * k:100 * k + 100] * s",
    "v[-k - 500:-k] += w[-500 - k:-k] * v[-k - 500:-k]",
    "v[k:] = w[k:] * 2 + v[k:]",
    "v[k::2] = w[k::2] * 2 + v[k::2]",
    "v[k * k:k * k + 400] = w[:400] * 2 + w[400:800]",
    "x = np.exp(v[k:k + 500]) - np.tanh(w[k // 2:k // 2 + 500])",
    "v[100 * k - 100:100 * k] = np.exp(v[100 * k:100 * k + 100]) * s",
    "x = a[k:k + 20][1:-1] * 2 + b[:20][1:-1]",
    "x = a[k][None, :] * b[:, k][:, None] + s",
    "x = t[k, 1, None, :] * u[:, k, :] + 1",
    "x = t[..., k] * u[..., 13 - k] + 1",
    "x = a[k - 3] * 2 + b[k - 3]",
    "x = v[k - 3:k + 400] * 2 + w[:403] if k > 3 else 0",
    "x = t[k] * k + u[k]",
    "a[k, 1:] = a[k, 1:] * 2 + a[k, :-1]",
    "a[k + 1:, k:] -= a[k + 1:, k][:, None] * a[k, k:][None, :] * 1e-2",
    "d = t[k] * 2 - u[k]; o[k] = d * d + u[k]",
    "x = v[900 - k:1000] * 2 + w[900 - k:1000]",
    "x = v[k:2000] * 2 + w[k:1500]",
    "y = a[30 + k] * 2 + b[30 + k]",
    "x = v[:-k] * 2 + w[k:]",
]


# Numbers that vary where the code takes them, and such that must not.
VARYING = [
    "x = a * k + b",
    "x = a ** k + b",
    "x = a ** (k * 0.5) + b",
    "e = [3.0, 2.0, 0.5, 1.0, -1.0, 0.0, 2, 3][k - 1]; x = b ** e + a",
    "e = [3.0, 2.0, 0.5, 1.0, -1.0, 0.0, 2, 3][k - 1]; x = np.power(b, e) + np.arctan2(a, e)",
    "x = i // k + i % k",
    "x = i * k + j",
    "x = f * k + f",
    "x = a * k + i",
    "x = np.where(a > k, a, b) + k",
    "n = 2 ** 39 * k; x = a * n + b",
    "n = -(2 ** 60) * k; x = a * n + b",
    "n = 7 ** (k * 9); x = a / n + b",
]


@pytest.mark.parametrize("text", VARYING)
def test_numbers_that_vary(run_all, text: str) -> None:
    lines = "".join(f"        {each}\n" for each in text.split("; "))
    program = "i, j = (a * 9).astype(int), (b * 9).astype(int) + 1\nf = a.astype(np.float32)\nseen = []\n"
    program += f"def run(a, b, f, i, j):\n    for k in range(1, 9):\n{lines}        seen.append(x)\n"
    run_all(f"{program}run(a, b, f, i, j)\n", fused=None, **NAMES)


@pytest.mark.parametrize("text", MOVING)
def test_moving(run_all, text: str) -> None:
    """In a function, forwards and backwards, from values that are far, and at last out of bounds."""
    lines = "".join(f"        {each}\n" for each in text.split("; "))
    program = (
        f"def f(a, b, t, u, v, w, o, s, ks):\n    x = y = None\n    for k in ks:\n{lines}    return x, y\n"
    )
    program += (
        "r1 = f(a, b, t, u, v, w, o, s, range(1, 9))\nr2 = f(a, b, t, u, v, w, o, s, range(8, 0, -1))\n"
    )
    program += "r3 = f(a, b, t, u, v, w, o, 2.0, [3, 3, 4, True, np.int64(5), 6])\n"
    program += "r4 = f(a, b, t, u, v, w, o, 2.0, [3, 4, 11, 12, 13, 45, 60, 2**70])\n"
    run_all(program, fused=None, **NAMES)


SHORT = [
    "o[:, :, k] = (t[:, :, k] - u[:, :, k] * o[:, :, k - 1]) * s",
    "a[:] = np.minimum(a, a[:, k][:, None] + a[k, :][None, :])",
    "v[k:k + 500] = v[k:k + 500] * s + w[2 * k:2 * k + 500]",
    "o[k] += t[k] * 2 + u[-k]",
    "self.u[1:-1] += self.dt * (self.u[2:] - self.u[:-2])",
    "self.u += self.p['w'] * 2 - self.p['w'][::-1][::-1]",
    "x = p['w'] * s + p['b'] * p['w']",
    "p['w'] -= s * p['b'] * p['w']",
    "p['w'][k] = p['b'][k] * 2 + p['w'][k + 1]",
    "self.u -= self.dt * 2 * self.p['w'] * self.p['w']",
    "x = a * k + b",
]
HOLDERS = (
    "class H: pass\nself = H(); self.u = a; self.dt = 0.25; self.p = p = {'w': b, 'b': a * 2}\n"
    "class S:\n  __slots__ = ('u', 'dt', 'p')\n"
)


@pytest.mark.parametrize("text", SHORT)
def test_it_is_the_short_way(run_all, text: str) -> None:
    names = {**NAMES}
    program = f"{HOLDERS}def f(self, a, b, t, u, v, w, o, s, p):\n    for k in range(1, 9):\n        {text}\n"
    program += "f(self, a, b, t, u, v, w, o, s, p)\nstate = a, b, o, v, self.u, p"
    found = run_all(program, fused=None, **names)
    hits = [site.block.shortcut.hits for site in found if site.block and site.block.shortcut is not None]
    assert max(hits) >= 5, found


@pytest.mark.parametrize(
    "change",
    [
        "self.u = self.u * 1",
        "self.u = self.u.astype(np.float32)",
        "del self.u",
        "H.u = property(lambda self: b)",
        "H.__getattr__ = lambda self, name: b; del self.u",
        "H.dt = 3.0; del self.dt",
        "self.dt = 2",
        "self.dt = None",
        "del p['w']",
        "p['w'] = 2.5",
        "p['w'] = p['w'][1:]",
        "self.p = dict(p)",
        "class D(dict):\n      __getitem__ = lambda self, key: b * 3\n    self.p = D(p)",
        "self = S(); self.u = b; self.dt = 0.5; self.p = p",
        "np.seterr(all='raise')",
    ],
)
def test_what_changes_behind_the_names(run_all, change: str) -> None:
    program = f"{HOLDERS}seen = []\ntry:\n  for n in range(9):\n    x = self.u * self.dt + self.p['w'] * 2\n"
    program += "    self.u -= self.dt * self.p['w'] * x\n    seen.append(float(x.ravel()[0]))\n"
    program += f"    if n == 5:\n      {change.replace(chr(10), chr(10) + '  ')}\n"
    program += "except Exception as e:\n  why = str(e)\nfinally:\n  np.seterr(all='warn', under='ignore')\n"
    program += "del H, S, self\n"
    run_all(program, fused=None, **NAMES)


def test_what_is_reported(run_all) -> None:
    """The short way puts back what it changed, at the place where the slice was."""
    program = """
for k in range(1, 9):
    u[k, 3, 3] = 0.0 if k == 6 else 1.0
    o[k] += t[k] / u[k]
    o[:, :, k] = t[:, :, k] / u[:, :, k] + o[:, :, k - 1]
"""
    run_all(program, **NAMES)


def test_forms() -> None:
    """Where a slice is, for all values of its numbers within the limits."""
    program = Program("v0[v1:v1+3,-v2]*v0[1:4,v1*2]+v0[:3,v3]")
    array = np.arange(70.0).reshape(7, 10)

    def start(leaf: np.ndarray) -> int:
        return leaf.__array_interface__["data"][0] - array.__array_interface__["data"][0]

    moving = Moving(program, (array, 2, 4, 1))
    assert moving.names == {1, 2, 3}
    held = 0
    for v1 in range(-3, 8):
        for v2 in range(-2, 12):
            values = (array, v1, v2, 1)
            if all(each.low <= each.form.at(values) <= each.high for each in moving.limits()):
                held += 1
                for leaf, view in enumerate(program.values(values)):
                    assert moving.place(leaf).offset.at(values) == start(view)
                    assert view.shape == (3,)
    assert held == 5 * 10


def test_a_number_that_is_used_otherwise_stays_put() -> None:
    program = Program("v0[v1]*v1+v0[v2*v2]*v0[::v3]")
    moving = Moving(program, (np.ones((9, 9)), 2, 1, 1))
    assert moving.names == set()
    assert Form(3, ((1, 2),)) * -2 + Form(1) == Form(-5, ((1, -4),))
