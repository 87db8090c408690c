"""The documentation's claims, run: examples of docstrings, the programs in docs/gradients.md, rewritten programs."""

from __future__ import annotations

import doctest
import importlib
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import minpy
import minpy.autodiff

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("module", ["reverse", "forward", "matrices", "custom"])
def test_examples_of_the_docstrings(module: str) -> None:
    found = importlib.import_module(f"minpy.autodiff.{module}")
    names = {name: getattr(minpy.autodiff, name) for name in minpy.autodiff.__all__}
    # NumPy 2 writes np.float64(2.0) where the examples say 2.0.
    legacy = "1.25" if np.lib.NumpyVersion(np.__version__) >= "2.0.0b1" else False
    with np.printoptions(legacy=legacy):
        result = doctest.testmod(found, extraglobs={"np": np, **names})
    assert result.attempted and not result.failed


def test_every_verb_is_documented_and_public() -> None:
    text = (ROOT / "docs" / "gradients.md").read_text()
    for name in minpy.autodiff.__all__:
        if name in ("defvjp", "defjvp"):  # autograd's spelling
            continue
        assert f"`{name}" in text or f"{name}(" in text, name
        if name == "primitive":  # at the root a module that can be called
            assert type(minpy.primitive(abs)) is minpy.autodiff.primitive
        else:
            assert getattr(minpy, name) is getattr(minpy.autodiff, name)
        assert getattr(minpy, name).__doc__


PROGRAM = """
import numpy as np
from minpy import checkpoint, grad, hessian, jacobian, jvp, vjp


def heat(u):
    v = u.copy()
    for _ in range(5):
        v[1:-1] += 0.1 * (v[2:] - 2 * v[1:-1] + v[:-2])
    return v


def cholesky(a):
    n = len(a)
    l = np.zeros((n, n))
    for j in range(n):
        l[j, j] = np.sqrt(a[j, j] - np.dot(l[j, :j], l[j, :j]))
        for i in range(j + 1, n):
            l[i, j] = (a[i, j] - np.dot(l[i, :j], l[j, :j])) / l[j, j]
    return l


def gram_schmidt(a):
    q = np.empty_like(a)
    for j in range(a.shape[1]):
        v = a[:, j].copy()
        for i in range(j):
            v -= np.dot(q[:, i], a[:, j]) * q[:, i]
        q[:, j] = v / np.sqrt(np.sum(v * v))
    return q


def bodies(state):
    x, v = state["x"].copy(), state["v"].copy()
    for _ in range(3):
        force = np.zeros_like(x)
        for i in range(len(x)):
            d = x - x[i]
            force[i] += np.sum(d / (np.sum(d * d, axis=1) + 0.1)[:, None] ** 1.5, axis=0)
        v += 0.05 * force
        x += 0.05 * v
    return x


def kalman(z):
    x, p, kept = 0.0, 1.0, np.zeros(len(z))
    for i in range(len(z)):
        p = p + 0.1
        k = p / (p + 0.5)
        x = x + k * (z[i] - x)
        p = (1 - k) * p
        kept[i] = x
    return kept


def lstm(w):
    h, c = np.zeros(2), np.zeros(2)
    out = np.empty((3, 2))
    for t in range(3):
        gates = 1 / (1 + np.exp(-(w[:, :2] @ h + w[:, 2] * t)))
        c = gates[:2] * c + gates[2:4] * np.tanh(gates[4:6])
        h = gates[6:8] * np.tanh(c)
        out[t] = h
    return out


def pooled(image):
    n, m = image.shape
    out = np.zeros((n // 2, m // 2))
    for i in range(n // 2):
        for j in range(m // 2):
            out[i, j] = np.max(image[2 * i : 2 * i + 2, 2 * j : 2 * j + 2])
    return out


rng = np.random.default_rng(0)
b = rng.normal(size=(4, 4))
for f, x in (
    (heat, rng.normal(size=8)), (cholesky, b @ b.T + 4 * np.eye(4)), (gram_schmidt, b), (kalman, rng.normal(size=5)),
    (lstm, rng.normal(size=(8, 3))), (pooled, rng.normal(size=(4, 6))),
):
    v = rng.normal(size=x.shape)
    w = rng.normal(size=f(x).shape)
    s = lambda y: np.sum(np.sin(f(y)) * w)
    slope = (s(x + 1e-6 * v) - s(x - 1e-6 * v)) / 2e-6
    g = grad(s)(x)
    assert type(g) is np.ndarray
    assert abs(np.sum(g * v) - slope) < 1e-6 * (1 + abs(slope)), f
    assert abs(jvp(s, (x,), (v,))[1] - slope) < 1e-6 * (1 + abs(slope)), f
    assert np.allclose(grad(lambda y: np.sum(np.sin(checkpoint(f)(y)) * w))(x), g, rtol=1e-12), f
    assert np.allclose(vjp(f, x)[1](w * np.cos(f(x)))[0], g, rtol=1e-10), f
    h = hessian(s)(x)
    along = (grad(s)(x + 1e-5 * v) - grad(s)(x - 1e-5 * v)) / 2e-5
    assert np.allclose(np.tensordot(h, v, x.ndim), along, rtol=1e-4, atol=1e-5 * (1 + np.max(np.abs(h)))), f
    assert np.allclose(jacobian(f, mode="forward")(x), jacobian(f, mode="reverse")(x), atol=1e-10), f
state = {"x": rng.normal(size=(3, 2)), "v": rng.normal(size=(3, 2))}
s = lambda p: np.sum(bodies(p) ** 2)
g = grad(s)(state)
for key in state:
    d = rng.normal(size=(3, 2))
    ahead, behind = dict(state), dict(state)
    ahead[key], behind[key] = state[key] + 1e-6 * d, state[key] - 1e-6 * d
    slope = (s(ahead) - s(behind)) / 2e-6
    assert abs(np.sum(g[key] * d) - slope) < 1e-6 * (1 + abs(slope))
print("right")
"""


def test_whole_programs_under_minpy_run(tmp_path: Path) -> None:
    script = tmp_path / "programs.py"
    script.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "-m", "minpy", "run", "--no-cache", str(script)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**__import__("os").environ, "PYTHONPATH": str(ROOT)},
    )
    assert (done.stdout, done.stderr, done.returncode) == ("right\n", "", 0)


def test_the_first_program_of_the_documentation(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "gradients.md").read_text()
    program = text.split("```python\n")[1].split("```")[0]
    script = tmp_path / "energy.py"
    script.write_text(
        program.replace("grad(energy)(", "result = grad(energy)(")
        + textwrap.dedent("""
            u = np.linspace(0.0, 1.0, 50)
            for i in (0, 7, 49):
                e = np.zeros(50)
                e[i] = 1e-6
                assert abs((energy(u + e) - energy(u - e)) / 2e-6 - result[i]) < 1e-6
            print("right")
            """)
    )
    done = subprocess.run(
        [sys.executable, "-m", "minpy", "run", "--no-cache", str(script)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**__import__("os").environ, "PYTHONPATH": str(ROOT)},
    )
    assert (done.stdout, done.stderr, done.returncode) == ("right\n", "", 0)
