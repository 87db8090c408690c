"""Sums of products as contractions, under ``--fast-math`` only: equal but for rounding, and in nothing else different."""

from __future__ import annotations

import builtins
import itertools
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minpy.options import Options
from minpy.runtime.entry import routed
from minpy.runtime.fuse import contract, sites
from minpy.transform import hook, rewriter

ROOT = str(Path(__file__).parents[2])
_numbers = itertools.count()


@pytest.fixture
def forced(monkeypatch, tmp_path):
    monkeypatch.setenv("MINPY_FAST_MATH", "1")
    monkeypatch.setenv("MINPY_FUSE", f"force:{contract.NAME}1")
    monkeypatch.setenv("MINPY_CACHE_DIR", str(tmp_path))
    monkeypatch.setitem(builtins.__dict__, "__minpy__", routed)


def run(expression, **names):
    """The value of an expression in rewritten code, and the site of its call."""
    text = f"import numpy as np  # contraction {next(_numbers)}\nx = {expression}\n"
    before = len(sites.sites)
    code = hook.announce(rewriter.compile_source(text, "program.py", Options(fuse="force", fast_math=True)))
    space = {"np": np, **names}
    exec(code, space)
    (site,) = sites.sites[before:]
    return space["x"], site


def contractions(site):
    return [choice for choice in site.block._choices.values() if choice.contracts] if site.block else []


def check(expression, **names):
    found, site = run(expression, **names)
    with np.errstate(all="ignore"):
        expected = eval(expression, {"np": np, **names})
        size = eval(expression, {"np": np, **{n: abs(v) for n, v in names.items()}})
    assert type(found) is type(expected) and found.dtype == expected.dtype and found.shape == expected.shape
    assert not isinstance(found, np.ndarray) or (found.flags.c_contiguous and found.flags.owndata)
    count = max(v.size for v in names.values())
    np.testing.assert_array_less(
        abs(found - expected), 4 * count**0.5 * np.finfo(found.dtype).eps * size + 1e-300
    )
    return site


rng = np.random.default_rng(8)
WINDOWS, WEIGHTS = rng.normal(size=(20, 3, 3, 2, 1)), rng.normal(size=(3, 3, 2, 7))
A, B = rng.normal(size=(30, 1, 40)), rng.normal(size=(25, 40))


@pytest.mark.parametrize(
    "expression",
    [
        "np.sum(w * k, axis=(1, 2, 3))",
        "np.sum(w * k, axis=(1, 2, 3), keepdims=True)",
        "(w * k).mean(axis=(0, 4))",
        "np.sum(w * k)",
        "np.sum(w * w, axis=0)",
        "np.mean(w ** 2, axis=(0, 1))",
        "np.sum(k[None, ::2] * w[:, ::2], axis=-1)",
    ],
)
def test_windows(forced, expression):
    names = {"w": WINDOWS, "k": WEIGHTS}
    used = {name: value for name, value in names.items() if name in expression.replace("keepdims", "")}
    site = check(expression, **used)
    assert site.fused == 1 and contractions(site), site


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_random_shapes(forced, data):
    ndim = data.draw(st.integers(1, 4))
    full = data.draw(st.lists(st.integers(2, 6), min_size=ndim, max_size=ndim))
    dtype = data.draw(st.sampled_from([np.float64, np.float32]))

    def operand(seed):
        own = [extent if data.draw(st.booleans()) else 1 for extent in full]
        own = own[data.draw(st.integers(0, ndim - 1)) :]
        return np.random.default_rng(seed).normal(size=own).astype(dtype)

    a, b = operand(1), operand(2)
    dimensions = np.broadcast(a, b).ndim
    axes = data.draw(st.lists(st.integers(0, dimensions - 1), min_size=1, unique=True).map(tuple))
    name = data.draw(st.sampled_from(["sum", "mean"]))
    keep = data.draw(st.booleans())
    check(f"np.{name}(a * b, axis={axes}, keepdims={keep})", a=a, b=b)


def test_only_when_asked_for(forced, monkeypatch):
    monkeypatch.setenv("MINPY_FAST_MATH", "0")
    found, site = run("np.sum(a * b, axis=2)", a=A, b=B)
    assert not contractions(site) and found.tobytes() == np.sum(A * B, axis=2).tobytes()


@pytest.mark.parametrize(
    "expression",
    [
        "np.sum(a + b, axis=2)",
        "np.sum(a * b * b, axis=2)",
        "np.sum(a * 2.0, axis=2)",
        "np.max(a * b, axis=2)",
        "np.sum(i * i, axis=0)",
        "np.sum(a * f, axis=2)",
        "np.sum(z * z, axis=0)",
    ],
)
def test_what_is_no_contraction(forced, expression):
    names = {"a": A, "b": B, "i": np.arange(12).reshape(3, 4), "f": B.astype("f4"), "z": B + 1j}
    used = {
        name: value for name, value in names.items() if f"{name} " in expression or f" {name}" in expression
    }
    found, site = run(expression, **used)
    assert not contractions(site)
    assert found.tobytes() == eval(expression, {"np": np, **used}).tobytes()


@pytest.mark.parametrize("value", [np.inf, np.nan, 1e308])
def test_what_is_not_finite_is_numpys(forced, value):
    """Warnings and values alike."""
    a = A.copy()
    a[0, 0, 0], a[0, 0, 1] = value, -value

    def said(work):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            result = work()
        return result.tobytes(), [(each.category, str(each.message)) for each in caught]

    b = np.full((25, 40), 1e10)
    ours = said(lambda: run("np.sum(a * b, axis=2)", a=a, b=b)[0])
    assert ours == said(lambda: np.sum(a * b, axis=2))


PROGRAM = """
import numpy as np
a = np.random.default_rng(0).normal(size=(200, 1, 300))
b = np.random.default_rng(1).normal(size=(150, 300))
for _ in range(60):
    d = np.sum(a * b, axis=2)
print(d.shape, round(float(d[3, 4]), 9))
"""


def test_a_run(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MINPY_", "PYTHON"))}
    environment |= {"PYTHONPATH": ROOT, "MINPY_CACHE_DIR": str(tmp_path / "cache")}

    def outcome(*words):
        command = [sys.executable, *words, "program.py"]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done

    plain = outcome()
    ours = outcome("-m", "minpy", "run", "--fast-math", "--profile")
    assert ours.stdout == plain.stdout
    assert "d = np.sum(a * b, axis=2)" in ours.stderr and "contracted1" in ours.stderr
    exact = outcome("-m", "minpy", "run", "--profile")
    assert exact.stdout == plain.stdout and "contracted1" not in exact.stderr


def test_gradients_are_of_the_program_as_written(forced):
    """While a tape is open nothing is contracted."""
    import minpy

    space = {"np": np, "b": B}
    text = (
        f"import numpy as np  # {next(_numbers)}\ndef f(a):\n    return np.sum(np.sum(a * b, axis=2) ** 2)\n"
    )
    exec(hook.announce(rewriter.compile_source(text, "p.py", Options(fuse="force", fast_math=True))), space)
    found = minpy.grad(space["f"])(A)
    inner = np.sum(A * B, axis=2)
    np.testing.assert_allclose(found, np.sum(2 * inner[:, :, None] * B, axis=1, keepdims=True), rtol=1e-12)
