"""Loops whose rounds change elements where masks are true, all rounds for some elements first, and when not."""

from __future__ import annotations

import ast
import random
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite", reason="without the extra jit loops run as written")

from minpy.runtime.jit import arraystores, points

SETUP = """
rng = np.random.default_rng(5)
shape = {shape}
u, v, w = (rng.standard_normal(shape) for _ in range(3))
z, c = u + 1j * v, 0.3 * (w - 1j * u)
f, j, t = u.astype(np.float32), rng.integers(-99, 99, shape).astype(np.int16), w > 0
left, m, k = np.zeros(shape, np.int64), np.abs(u) < 1, -7
x, y, r = 2, 0.5, 2.0
"""
MANDELBROT = (
    "for i in range(9):\n  m = np.less(abs(z), 2.0)\n  left[m] = i\n  z[m] = z[m] ** 2 + c[m]\n  u[m] += 0.5"
)
# A program, and whether a loop of it runs point by point.
PROGRAMS = [
    (MANDELBROT, True),
    (MANDELBROT.replace("2.0", "r"), True),
    ("for i in range(9):\n  m = abs(z) > 0.5\n  z[m] = z[m] * 0.7 - c[m]\nx += i", True),
    ("for i in range(9):\n  m = 2 >= np.abs(z)\n  z[m] = z[m] * z[m] + c[m]", True),
    ("for i in range(2, 20, 3):\n  m = u < 2 + y\n  u[m] += v[m] * v[m] + i\n  left[m] += 1", True),
    ("for i in range(9):\n  s = u * u + v\n  m = s < i\n  u[m] = s[m] + y\n  t[m] = v[m] > 0", True),
    ("for i in range(9):\n  m = u < v\n  p = w > v\n  u[m] = w[m] * 2\n  w[p] -= u[p]\n  j[p] = 7", True),
    (
        "for i in range(9):\n  m = u < 1\n  u[m] = u[m] + 1\n  p = u < 0\n  u[p] = -u[p]\n  f[m] = f[m] * y",
        True,
    ),
    ("for i in range(9):\n  m = u < 1\n  u[m] = v[m] / w[m]", True),
    ("for i in range(9):\n  m = u < 1\n  u[m] = v[m] / (w[m] - u[m])", False),
    ("for i in range(9):\n  m = (u < 1) & t\n  t[m] = u[m] > y * i\n  u[m] = u[m] * 1.5 + 0.1", True),
    ("for i in range(9):\n  s = u + i\n  m = u > 9\n  u[m] = s[m]", True),
    # Nothing is stored; there are no rounds, or one; the name stood for something else; a number is on the circle.
    ("for i in range(9):\n  m = u > 99\n  u[m] = 1", True),
    ("for i in range(x - 2):\n  m = u > 0\n  u[m] = 1", None),
    ("for i in range(1):\n  m = u > 0\n  u[m] = 1", True),
    ("m = 3\n" + MANDELBROT, True),
    ("z[0, 0], z[2, 3], c[2, 3] = 2, 1.2 + 1.6j, 1\n" + MANDELBROT, True),
    ("z[:] = 2j\n" + MANDELBROT, True),
    # What would be warned of where the mask is true, and where it is not.
    ("v[0] = 0\nfor i in range(9):\n  m = v != 0\n  u[m] = 1 / v[m]", True),
    ("v[0] = 0\nfor i in range(9):\n  m = u < 9\n  u[m] = 1 / v[m]", None),
    ("u[0], u[1] = np.inf, 1e300\nfor i in range(9):\n  m = u < 9\n  u[m] = u[m] * u[m] - u[m]", True),
    ("u[1, 2] = 1e100\nfor i in range(9):\n  m = u > 5\n  u[m] = u[m] * u[m]", None),
    ("z[1, 2] = np.nan\n" + MANDELBROT, None),
    ("z[3, 3] = complex(1e300, 1e300)\n" + MANDELBROT, None),
    # Layouts, shared memory, other shapes.
    ("z, u = z.T.copy().T, u[::-1]\n" + MANDELBROT, None),
    ("z = c\n" + MANDELBROT, None),
    ("u = z.real\n" + MANDELBROT, None),
    ("c = c[:1]\nfor i in range(9):\n  m = abs(z) < 2\n  z[m] = z[m] + 1\n  c[m] = 0", None),
    ("s = u[0]\nfor i in range(9):\n  m = u < s\n  u[m] = v[m] + 1", None),
    # Names of the round before, of several kinds; a mask that the loop does not make; a whole array.
    ("for i in range(9):\n  u[m] = i\n  m = u < i", False),
    ("for i in range(9):\n  m = u < 1\n  u[m] = v[m]\n  m = u > 0\n  v[m] = 1", False),
    ("for i in range(9):\n  u[m] = v[m] * 2\n  v[m] = i", False),
    ("for i in range(9):\n  m = u < 1\n  u[m] = k\n  v[m] = u[m] * 2 + y", True),
    ("for i in range(9):\n  m = u < 1\n  u[m] = v.sum()", False),
    ("s = v * 2\nfor i in range(9):\n  m = u < 1\n  u[m] = s", None),
    ("for i in range(9):\n  m = u < 1\n  z[m] *= c[m]", None),
    ("for i in range(9):\n  m = u < 1\n  j[m] += 9000", None),
    ("for i in range(9):\n  m = u + 1\n  u[m] = 1", None),
]


def runs_by_points(sites: list[Any]) -> bool:
    texts = [each.code.text for site in sites for kernels in site.kernels.values() for each in kernels]
    return any("\npointwise" in text for text in texts)


@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_same(run_both: Any, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setenv("MINPY_JIT", "force:quick")
    program, by_points = PROGRAMS[number]
    shape = [(13, 17), (5, 6, 7), (9, 15)][number % 3]
    text = f"{SETUP.format(shape=shape)}{program}\nx += 1"
    sites = run_both(text, True if by_points else None)
    if by_points is not None:
        assert runs_by_points(sites) == by_points


def test_arrays_that_are_left_to_numpy_else(run_both: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop runs point by point though its arrays are too large for compiled code as written."""
    monkeypatch.setattr(arraystores, "LARGEST", 100)
    monkeypatch.setattr(arraystores.Stores.size_of, "__defaults__", (100,))
    sites = run_both(f"{SETUP.format(shape=(13, 17))}{MANDELBROT}")
    assert runs_by_points(sites)
    run_both(f"{SETUP.format(shape=(13, 17))}z = z[:, ::-1]\n{MANDELBROT}", False)


def random_program(seed: int) -> str:
    r = random.Random(seed)

    def value(depth: int, where: str) -> str:
        if depth and r.random() < 0.7:
            return f"({value(depth - 1, where)} {r.choice('+-*+-*/')} {value(depth - 1, where)})"
        array = r.choice("uuvvwjf" if r.random() < 0.8 else "zc")
        return r.choice([f"{array}{where}", f"{array}{where}", "x", "y", "i", "2"])

    lines, masks = [], []
    for number in range(r.choice([1, 1, 2])):
        name = "mp"[number]
        masks.append(name)
        lines.append(
            f"{name} = "
            + r.choice(
                [
                    f"abs({r.choice('zc')}) {r.choice('<>')} {r.choice(['r', '1', '0.4'])}",
                    f"{r.choice('uvwf')} {r.choice(['<', '>', '<='])} {r.choice(['y', 'i', '0', 'v'])}",
                    f"({value(1, '')}) != {value(1, '')}",
                ]
            )
        )
        for _ in range(r.choice([1, 2])):
            mask = r.choice(masks)
            lines.append(
                f"{r.choice('uuvwzfc')}[{mask}] {r.choice(['=', '=', '+=', '*='])} {value(2, f'[{mask}]')}"
            )
    special = r.choice(
        ["", "", "", "u[0] = 0\n", "v = u\n", "v[2:] = 1e200\n", "w = w[:, ::-1]\n", "z[1] = 2\n"]
    )
    setup = SETUP.format(shape=r.choice(["(13, 17)", "(6, 25)", "(4, 5, 9)"]))
    return f"{setup}{special}for i in range({r.choice([1, 3, 6])}):\n  " + "\n  ".join(lines) + "\nx += 1"


def test_random_programs(run_both: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINPY_JIT", "force:quick")
    found = 0
    for seed in range(10):
        sites = run_both(random_program(seed), None)
        found += runs_by_points(sites) and any(site.compiled for site in sites)
    assert found > 2  # else nothing was tested


@pytest.mark.parametrize(
    ("text", "lasting"),
    [
        ("m = u < 1; u[m] = i", True),
        ("m = u < i; u[m] = 1", False),
        ("s = u + i; m = s < 1; u[m] = 1", False),
        ("s = u + i; m = u < 1; u[m] = s[m]", False),
        ("m = u < 1; u[m] = 1; p = v < i; v[m] = 2", False),
        ("m = u < 1", None),
        ("m = u[1:] < 1; u[m] = 1", None),
        ("m = u < 1; u[m] = np.sqrt(v[m])", None),
        ("m = u < 1; u[m] = v[m] / w[m] / y", True),
        ("m = u < 1; u[m] = v[m] / (w[m] - u[m])", None),
        ("m = u < 1; u[m] /= w[m] - v[m]", None),
        ("m = u < 1; i[m] = 1", None),
        ("m = u < 1; m[m] = False", None),
        ("m = u < 1; m &= v < 1; u[m] = 2", None),
        ("u[m] = 1; m = u < 1", None),
    ],
)
def test_points_of(text: str, lasting: bool | None) -> None:
    (node,) = ast.parse(f"for i in range(9): {text}").body
    assert isinstance(node, ast.For)
    found = points.points_of(node)
    assert (found and found.lasting) == lasting


def test_it_is_numpys_magnitude_that_decides(run_both: Any) -> None:
    """Near the circle squares do not tell."""
    angles = np.linspace(0, 7, 400).reshape(20, 20)
    near = np.exp(1j * angles) * np.nextafter(2.0, np.where(angles % 1 < 0.5, 0, 9))
    program = "for i in range(5):\n  m = abs(z) < 2.0\n  count[m] += 1\n  z[m] = z[m] * 1.0"
    sites = run_both(program, z=near, count=np.zeros((20, 20), np.int64))
    assert runs_by_points(sites)
