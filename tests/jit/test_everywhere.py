"""What is computed where a comparison holds: with the mask, and without it where it holds everywhere."""

from __future__ import annotations

import random
from typing import Any

import pytest

pytest.importorskip("llvmlite", reason="without the extra jit loops run as written")

SETUP = """
rng = np.random.default_rng(8)
n, k = {n}, {k}
u, v, w = (rng.random((n, k)) + {least} for _ in range(3))
j, f = rng.integers(1, 99, (n, k)), (u + 1).astype(np.float32)
q, t = rng.random(k) + 0.1, u > 0.5
x, y = 2, 0.5
"""
SIZES = [(7, 21, 0.1), (7, 21, -0.5), (3, 5, -2.0), (1, 8, 0.1), (0, 3, 0.1), (40, 40, 0.0)]
STATEMENTS = [
    "u[u > 0] = u[u > 0] ** (-1.5)",
    "u[u > 0] = 1 / u[u > 0] + i",
    "u[v > 0] = v[v > 0] * w[v > 0] - u[v > 0] / y",
    "u[0 < v] = v[0 < v] ** 2; v[v >= u] = x",
    "j[j > 0] = j[j > 0] * 3 - x; j[j < 0] = -j[j < 0]",
    "u[u > 0] = j[u > 0]; j[u > 0] = j[u > 0] + 2",
    "f[f > 0] = f[f > 0] * f[f > 0]",
    "q[q > 0] = q[q > 0] ** 0.25 + q[q > 0]",
    "t[u > 0.2] = ~t[u > 0.2]",
    "z = u * 2; z[z != 0] = z[z != 0] ** -0.5; u = z",
    # Views, shared memory, other shapes.
    "a = u[:, ::2]; a[a > 0] = a[a > 0] * 2",
    "a = u.T; a[u.T > 0] = 1; a[a > 0] = a[a > 0] + i",
    "a = u[::-1]; a[u > 0] = u[u > 0] * 2",
    "a, b = q[:-1], q[1:]; a[b > 0] = b[b > 0] * 2",
    "u[:, q > 0] = 1; u[w[:, 0] > 0] = u[w[:, 0] > 0]",
    "a = w[:, 0]; u[a > 0] = u[a > 0] * 2",
    "a = v[:, 1:]; u[a > 0] = a[a > 0]",
    # What is warned of.
    "v[-1:] = 0; u[v > 0] = 1 / v[v > 0]; u[v >= 0] = 1 / v[v >= 0]",
    "v[:1] = np.nan; u[v > 0] = v[v > 0] * 2; u[v != 3] = v[v != 3] - u[v != 3]",
    "v[:1] = 1e300; u[v > 0] = v[v > 0] * v[v > 0]",
    "v[v > 0] = v[v > 0] ** 900.5",
    # No comparison of what is taken, or another one.
    "u[u > 0] = v[v > 0] if i else u[u > 0]",
    "u[u > y] = u[u > 0.5] * 2",
    "u[u > 0] = u[u > 0] + q",
    "x = i; u[u > x] = u[u > x] - x",
]


@pytest.mark.parametrize("number", range(len(STATEMENTS)))
@pytest.mark.parametrize("size", range(2))
def test_same(run_both: Any, monkeypatch: pytest.MonkeyPatch, number: int, size: int) -> None:
    monkeypatch.setenv("MINPY_JIT", "force:quick")
    n, k, least = SIZES[size if number % 3 or not size else number // 3 % len(SIZES)]
    text = SETUP.format(n=n, k=k, least=least)
    run_both(f"{text}for i in range(4):\n  {STATEMENTS[number]}\nx += 1", None)


@pytest.mark.parametrize("number", [0, 2, 4])
def test_direct(run_both: Any, number: int) -> None:
    program = f"{SETUP.format(n=7, k=21, least=0.1)}for i in range(4):\n  {STATEMENTS[number]}\n"
    sites = run_both(program)
    texts = [each.code.text for site in sites for kernels in site.kernels.values() for each in kernels]
    assert any("\neverywhere" in text and "\nsomewhere" in text for text in texts)


def random_program(seed: int) -> str:
    """Statements of what comparisons select, of arrays of random sizes, in a function or not."""
    r = random.Random(seed)
    n, k, least = r.choice(SIZES)
    lines = []
    for _ in range(r.choice([1, 2])):
        of = r.choice(["u", "v", "w", "j", "f"])
        compared = r.choice(["0", "-1", "0.3", "y", "x"])
        mask = r.choice([f"{of} > {compared}", f"{compared} <= {of}", f"{of} != {compared}"])
        arrays = [f"{each}[{mask}]" for each in "uvwjf"]
        value = r.choice(arrays)
        for _ in range(r.choice([0, 1, 2])):
            value = f"{value} {r.choice('+-*/')} {r.choice([*arrays, '2', 'y', 'i'])}"
        power = r.choice([" ** 1.5", " ** -2", " ** 2", ""])
        lines.append(
            f"{r.choice('uvwf')}[{mask}] = ({value}){power if not power or r.random() < 0.5 else ''}"
        )
    body = "; ".join(lines)
    text = SETUP.format(n=n, k=k, least=least)
    if r.random() < 0.3:
        text += f"def change(u, v, w, j, f, i):\n  {body}\n  return u\n"
        return f"{text}for i in range(4):\n  s = change(u, v, w, j, f, i)\n"
    return f"{text}for i in range(4):\n  {body}\n"


@pytest.mark.parametrize("seed", range(24))
def test_random_programs(run_both: Any, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.setenv("MINPY_JIT", "force:quick")
    run_both(random_program(seed), None)
