"""What is computed where a mask is true, element by element, and when that must not be done."""

from __future__ import annotations

import ast
import random
from typing import Any

import pytest

pytest.importorskip("llvmlite", reason="without the extra jit loops run as written")

from minpy.runtime.jit import masked

SETUP = """
rng = np.random.default_rng(8)
n, k = {n}, {k}
u, v, w = (rng.standard_normal((n, k)) for _ in range(3))
z, c = u + 1j * v, w - 1j * u
f, j, t = u.astype(np.float32), rng.integers(-99, 99, (n, k)).astype(np.int16), w > 0
m = np.abs(u) < {share}
q, o = rng.standard_normal(3 * k), rng.random(3 * k) > 0.3
x, y = 2, 0.5
"""
SIZES = [(7, 21, 0.8), (3, 5, 0.5), (1, 8, 9), (4, 16, 9), (2, 9, 0.1), (0, 3, 1), (3, 0, 1)]
STATEMENTS = [
    "z[m] = z[m] ** 2 + c[m]; u[m] = i",
    "u[m] = v[m] * w[m] - u[m] / y",
    "u[m] += v[m] * i",
    "f[m] = f[m] * 2 + f[m]; j[m] = j[m] + 3; j[m] *= 7",
    "t[m] = u[m] > v[m]; t[m] |= v[m] > w[m]",
    "m[m] = u[m] > 0.1; u[m] = -1",
    "q[o] = q[o] * x + i; q[o] -= y",
    "u[m] = j[m]; w[m] = z[m] if i else 3",
    "z[m] *= c[m]; z[m] = u[m]",
    # Layouts; memory that is shared; other shapes, types and selections.
    "u.T[m.T] = 3; a, b = u.T, m.T; a[b] = a[b] * 2; a = u[:, ::-1]; a[m] = a[m] + v[m]",
    "a = u[::-1]; a[m] = u[m] * 2 + a[m]",
    "a, b, d = q[:-1], q[1:], o[1:]; a[d] = b[d] * 2",
    "a, d = o[:-1], o[1:]; a[d] = False",
    "a = u; a[m] = u[m] * 2",
    "s = v[m] * 2; u[m] = s; u[m] = s * 2 + v[m]",
    "d = np.array([0, 2]); u[d] = u[d] * 2",
    "d = m[0] if n else m; u[:, d] = v[:, d] * 2",
    "a = z[:2]; a[m] = 3",
    "a = v[:, 1:]; u[m] = a[m]",
    "u[m] = z[m]; x += i",
    "u[m] = v[u[m] > 0]",
    "d = j.astype(np.int8).view(bool); u[d] = u[d] * 2 + 1",
    # What is warned of where the mask is true, and not where it is not.
    "v[~m] = 0; u[m] = 1 / v[m]",
    "v[0] = 0; u[m] = 1 / v[m] + u[m]",
    "v[0, 2] = np.nan; u[m] = v[m] + u[m]; u[m] = u[m] * 2",
    "v[0] = 1e300; u[m] = v[m] * v[m]",
    "z[0] = 1e300; z[m] = z[m] * z[m]",
    "j[m] = j[m] * 900 + u[m]",
]


@pytest.mark.parametrize("number", range(len(STATEMENTS)))
def test_same(run_both: Any, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setenv("MINPY_JIT", "force:quick")
    n, k, share = SIZES[0] if number % 3 else SIZES[number // 3 % len(SIZES)]
    run_both(f"{SETUP.format(n=n, k=k, share=share)}for i in range(4):\n  {STATEMENTS[number]}\nx += 1", None)


@pytest.mark.parametrize("number", [0, 1, 2, 6])
def test_direct(run_both: Any, number: int) -> None:
    program = f"{SETUP.format(n=7, k=21, share=1.2)}for i in range(4):\n  {STATEMENTS[number]}\n"
    sites = run_both(program)
    texts = [each.code.text for site in sites for kernels in site.kernels.values() for each in kernels]
    assert any("\nsome" in text and "\nfew" in text for text in texts)


def random_program(seed: int) -> str:
    """Statements of a mask's elements, of arrays of random sizes and layouts."""
    r = random.Random(seed)
    n, k, share = r.choice(SIZES)

    def value(depth: int) -> str:
        if depth and r.random() < 0.7:
            return f"({value(depth - 1)} {r.choice('+-*+-*/')} {value(depth - 1)})"
        return r.choice(
            ["u[m]", "v[m]", "w[m]", "j[m]", "f[m]", "x", "y", "i", "2", "z[m]"][: r.choice([8, 8, 9, 10])]
        )

    special = r.choice(
        [
            "",
            "",
            "",
            "v = u[::-1]",
            "v = u",
            "u = u[:, ::-1]",
            "u, m = u[::2], m[::2]",
            "v[n // 2:] = 0",
            "w = w.T.copy().T",
        ]
    )
    lines = [f"{r.choice('uuvwfjzm')}[m] {r.choice(['=', '=', '+=', '*='])} {value(3)}" for _ in range(2)]
    setup = SETUP.format(n=n, k=k, share=share)
    return f"{setup}{special}\nfor i in range(4):\n  " + "\n  ".join(lines) + "\nx += 1"


def test_random_programs(run_both: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINPY_JIT", "force:quick")
    found = 0
    for seed in range(12):
        sites = run_both(random_program(seed), None)
        found += any(site.compiled for site in sites)
    assert found > 2  # else nothing was tested


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("z[m] = z[m] ** 2 + c[m]", True),
        ("z[m] = i", True),
        ("z[m] += c[m] * y", True),
        ("z[m] = z[m] ** 3", False),
        ("z[m] = z * 2 + z[m]", False),
        ("z[m] = np.sqrt(z[m])", False),
        ("z[m] = z[m][::-1]", False),
        ("z[m] = (z[m] * 2)[::-1]", False),
        ("z[m] = c[1:] * z[m]", False),
        ("z[m] = m[m] + m", False),
        ("z[m] @= c[m]", False),
        ("z.a[m] = 1", False),
        ("z[m, 0] = 1", False),
        ("z[m] = c[m] = 1", False),
    ],
)
def test_masking_of(text: str, found: bool) -> None:
    (node,) = ast.parse(text).body
    assert isinstance(node, (ast.Assign, ast.AugAssign))
    assert (masked.masking_of(node) is not None) == found
