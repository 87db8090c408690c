"""Programs, and their tests, that replace functions of NumPy before MinPy has imported what knows them."""

from __future__ import annotations

import random
import sys

import numpy as np
import pytest

from minpy.runtime import originals

PROGRAM = """
import math, random
from unittest import mock
import numpy as np

def numbers(n):
    s = 0.0
    for i in range(n):
        s += np.sqrt(i) + math.floor(i * 0.3) + random.random() * 0.0 + np.sin(i)
    return s

def rows(n):
    a, b = np.ones(6), np.arange(6.0)
    for i in range(n):
        a = np.maximum(a, b) + np.sum(b) * 0.001 + np.linalg.norm(a) * 1e-3
        b[0] = np.mean(a) / n
    return a.sum()

def whole(x):
    for _ in range(3):
        y = np.where(x > 0.5, x, 0.0) + np.clip(x, 0.1, 0.2) - np.abs(x) * x
    return float(np.max(y))

def fake(*args, **kwargs):
    return 0.25

x = np.linspace(0.0, 1.0, 5000)
with mock.patch("builtins.open") as opened, mock.patch("builtins.abs", wraps=abs) as others:
    print(numbers(300), rows(30), whole(x), opened.call_count, others.call_count)
for name in NAMES:
    with mock.patch(name, fake):
        print(name, numbers(300), rows(30), whole(x))
    print("as it was", numbers(300), rows(30), whole(x))
"""
NAMES = (
    "numpy.sqrt",
    "math.floor",
    "random.random",
    "numpy.sum",
    "numpy.linalg.norm",
    "numpy.where",
    "numpy.clip",
    "numpy.abs",
)


@pytest.mark.parametrize("first", range(0, len(NAMES), 4))
def test_what_was_replaced_is_not_numpys(bench, first):
    names = NAMES[first:] + NAMES[:first]
    bench.write("main.py", f"NAMES = {names!r}\n{PROGRAM}")
    plain, ours = bench.both("main.py", MINPY_JIT="force", MINPY_FUSE="force")
    assert (ours.text, ours.error) == (plain.text, plain.error)


@pytest.mark.parametrize(
    ("place", "name"),
    [("numpy", "sqrt"), ("numpy", "sum"), ("numpy.linalg", "norm"), ("numpy.random", "rand"), ("numpy.fft", "fft"),
     ("math", "floor"), ("random", "random"), ("builtins", "abs")],
)  # fmt: skip
def test_our_modules_are_imported_with_what_there_was(monkeypatch, tmp_path, place, name):
    folder = tmp_path / "ours"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "table.py").write_text(f"import {place} as place\nfound = place.{name}\n")
    monkeypatch.syspath_prepend(tmp_path)
    originals.watch(str(folder))
    assert originals.replaced() == []
    was = getattr(sys.modules[place], name)
    monkeypatch.setattr(sys.modules[place], name, fake := lambda *args: 0)
    from ours import table

    del sys.modules["ours.table"], sys.modules["ours"]
    assert table.found == was
    assert getattr(sys.modules[place], name) is fake


def test_everything_numpy_offers_is_its_own():
    assert originals.replaced() == []
    assert random.random() < 1.0
    assert np.random is not None  # NumPy 2 imports it when it is asked for
