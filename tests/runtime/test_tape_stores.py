"""Plain arrays that are overwritten while a tape records: gradients are right, and the arrays end as the program left them."""

# The programs are easier to read on one line.
# ruff: noqa: E501

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minpy import grad, value_and_grad
from minpy.autodiff import checkpoint, jvp
from minpy.errors import TraceError
from minpy.options import Options
from minpy.runtime import entry
from minpy.runtime.adoption import COUNTED
from minpy.transform import hook, rewriter

HEAD = """\
import numpy as np
import math
X = np.linspace(-1.0, 2.0, 12).reshape(3, 4)
buf = X * 2
row = X[1]
counts = np.zeros(4, int)
mask = np.array([True, False, True, True])
store = {'b': X + 1, 'l': [X * 0.5, np.arange(4.0)]}
class Box: pass
box = Box()
box.a = X - 1
box.inner = Box()
box.inner.a = X.T.copy()
points = np.zeros(3, [('x', float), ('y', float)])
def state():
    return [X, buf, row, counts, mask, store['b'], *store['l'], box.a, box.inner.a, points]
"""

# f(x) for x of shape (4,); every plain array it writes into is an operand of a record before and after.
SITUATIONS = {
    "operator result": "b = X * 2\n    t = 0.0\n    for k in range(3):\n        t = t + np.sum(b * x)\n        b[k] = k * 3.0\n        b[:, k] = -1.0\n    return t",
    "global": "t = np.sum(buf * x)\n    buf[:] = 7.0\n    return t + np.sum(buf * x ** 2)",
    "view of a global": "t = np.sum(row * x)\n    X[1:, ::2] = 5.0\n    t = t + np.sum(row * x)\n    row[0] = 2.0\n    return t + np.sum(X * x * x)",
    "closure": "c = X[0] * 1\n    def g(k):\n        c[k] = k + 0.5\n        return np.sum(c * x)\n    return g(0) * g(1) + g(2)",
    "nonlocal rebound": "c = X[0] * 1\n    def g(k):\n        nonlocal c\n        c += k\n        return np.sum(c * x)\n    return g(1) * g(2) + g(3)",
    "attribute": "t = np.sum(box.a * x)\n    box.a[1] += 3.0\n    box.inner.a[:, 0] = 1.0\n    t = t + np.sum(box.inner.a[:, 1] * x) + np.sum(box.a * x)\n    box.inner.a[...] *= 2.0\n    return t + np.sum(box.inner.a[:, 1] * x)",
    "augmented attribute": "t = np.sum(box.a * x)\n    box.a += 1.0\n    t = t * np.sum(box.a * x)\n    box.inner.a -= 1.0\n    return t + np.sum(box.inner.a[:, 0] * x)",
    "dict and list": "t = np.sum(store['b'] * x)\n    store['b'][0] = 0.0\n    store['l'][0] += 2.0\n    t = t + np.sum(store['b'] * x) * np.sum(store['l'][0] * x)\n    store['l'][1][1:] *= 3.0\n    store['l'][0][0, 0] -= 1.0\n    return t + np.sum(store['l'][1] * x) + np.sum(store['l'][0] * x)",
    "augmented name": "b = X * 1\n    t = 0.0\n    for k in range(4):\n        t = t + np.sum(b * x)\n        b += 1.0\n        b *= 1.5\n        b -= k\n        b /= 2.0\n        b **= 2\n    return t",
    "augmented by something that records": "b = X * 1\n    kept = []\n    def step():\n        kept.append(np.sum(b * x))\n        return 1.0\n    for k in range(3):\n        b += step()\n        b[0] += step()\n        b[1:] *= 1 + step()\n    t = 0.0\n    for k in kept: t = t * k + k\n    return t",
    "argument that is not differentiated": "def g(a, y):\n        t = np.sum(a * y)\n        a[0] = 3.0\n        a *= 2.0\n        return t + np.sum(a * y)\n    return g(X, x) + g(X[::-1, ::-1], x)",
    "matrix product": "b = X * 1\n    t = 0.0\n    for k in range(3):\n        t = t + np.sum(b @ x) ** 2\n        b[k] = b[k] + 1.0\n        b.T[k] = 0.25\n    return t",
    "out=": "b = X * 1\n    t = np.sum(b * x)\n    np.multiply(b, 2, out=b)\n    t = t * np.sum(b * x)\n    np.add(b, 1, b)\n    np.sqrt(b * b, out=b[0:2], where=np.array(True)) if False else np.negative(b[0], out=b[0])\n    return t + np.sum(b * x)",
    "out= of a method": "b = X * 1\n    c = X[0] * 1\n    t = np.sum(b * x)\n    b.cumsum(axis=0, out=b)\n    t = t * np.sum(b * x)\n    b.sum(axis=0, out=c)\n    t = t + np.sum(c * x)\n    b.mean(0, out=c)\n    b.clip(0, 1, out=b)\n    return t + np.sum(c * x) + np.sum(b * x)",
    "several outputs": "q = X * 1\n    r = X * 1\n    t = np.sum(q * x) + np.sum(r * x)\n    np.divmod(X, 0.3, out=(q, r))\n    return t * np.sum(q * x) + np.sum(r * x)",
    "reduce with an output": "c = X[0] * 1\n    t = np.sum(c * x)\n    np.add.reduce(X, 0, None, c)\n    t = t * np.sum(c * x)\n    np.multiply.accumulate(c, out=c)\n    return t + np.sum(c * x)",
    "ufunc.at": "b = row * 1\n    t = np.sum(b * x)\n    np.add.at(b, [0, 0, 2], 1.5)\n    np.maximum.at(b, [1], 9.0)\n    return t * np.sum(b * x)",
    "in-place methods": "b = X * 1\n    t = np.sum(b * x)\n    b.sort(axis=0)\n    t = t + np.sum(b ** 2 * x)\n    b[0].sort()\n    b.fill(2.0)\n    t = t * np.sum(b * x)\n    b.put([0, 5], [3.0, 4.0])\n    b.partition(1)\n    b.setfield(1.0, float)\n    return t + np.sum(b * x)",
    "in-place functions": "b = X * 1\n    t = np.sum(b * x)\n    np.copyto(b, 2.0)\n    t = t * np.sum(b * x)\n    np.put(b, [1, 2], 5.0)\n    np.place(b, b > 4, [0.5, 1.5])\n    t = t + np.sum(b * x)\n    np.putmask(b, b < 1, -3.0)\n    np.fill_diagonal(b, 4.0)\n    t = t * np.sum(b * x)\n    np.put_along_axis(b, np.array([[0], [1], [2]]), 8.0, axis=1)\n    np.nan_to_num(b, copy=False, nan=1.0)\n    np.median(b, overwrite_input=True)\n    np.copyto(dst=b, src=X)\n    return t + np.sum(b * x)",
    "shuffles": "b = row * 1\n    t = np.sum(b * x)\n    np.random.seed(1)\n    np.random.shuffle(b)\n    t = t * np.sum(b * x)\n    np.random.RandomState(3).shuffle(b)\n    t = t + np.sum(b * x)\n    rng = np.random.default_rng(4)\n    rng.random(out=b)\n    t = t + np.sum(b * x)\n    rng.shuffle(b)\n    return t + np.sum(b * x)",
    "flat, real, shape": "b = X * 1\n    t = np.sum(b * x)\n    b.flat[2:5] = 9.0\n    t = t * np.sum(b * x)\n    b.flat = 1.5\n    t = t + np.sum(b * x)\n    b.real = 2.5\n    b.shape = 12\n    t = t + np.sum(b[:4] * x)\n    b[0] = 1.0\n    return t + np.sum(b[:4] * x)",
    "fancy and masked": "b = row * 1\n    t = np.sum(b * x)\n    b[mask] = 3.0\n    t = t * np.sum(b * x)\n    mask[0] = False\n    b[mask] += 1.0\n    t = t + np.sum(b * x)\n    b[[0, 0, 1]] = [1.0, 2.0, 3.0]\n    i = np.array([2, 3])\n    b[i] -= 1.5\n    i[:] = 0\n    return t + np.sum(b * x)",
    "mask and indices as operands": "i = np.array([0, 1, 2, 3])\n    j = X[0].astype(int)\n    t = np.sum(np.where(mask, x, x ** 2)) + np.sum(np.take(x, j) ** 2)\n    mask[:] = False\n    j[:] = 3\n    t = t + np.sum(np.where(mask, x, x ** 2)) * np.sum(x[j] * x[j])\n    return t",
    "counts": "counts[0] += 1\n    t = np.sum(counts * x)\n    counts[1:] += 2\n    counts[3] = 5\n    return t * np.sum(counts * x)",
    "structured": "t = np.sum(points['x'] * x[:3])\n    points['x'] = 2.0\n    points[1] = (3.0, 4.0)\n    t = t + np.sum(points['x'] * x[:3])\n    points['y'][0] += 1.0\n    points[['x', 'y']] = (1.0, 2.0)\n    return t * np.sum(points['x'] * x[1:]) + np.sum(points['y'] * x[1:])",
    "swap": "b = X * 1\n    t = np.sum(b * x)\n    b[0], b[1] = b[1].copy(), b[0].copy()\n    b[:, 0], b[:, 1] = b[:, 2], b[:, 3]\n    return t * np.sum(b[0] * x)",
    "overlapping": "b = np.sum(X) * row\n    t = np.sum(b * x)\n    b[1:] = b[:-1]\n    t = t + np.sum(b * x)\n    b[:-1] += b[1:]\n    b[::-1][:2] -= 1.0\n    return t * np.sum(b * x)",
    "targets of loops": "b = row * 1\n    t = 0.0\n    for b[1] in (1.0, 2.0, 3.0):\n        t = t + np.sum(b * x) ** 2\n    for k, b[k] in enumerate([5.0, 6.0]):\n        t = t + np.sum(b * x) ** 2\n    return t",
    "nditer": "b = row * 1\n    t = np.sum(b * x)\n    with np.nditer(b, op_flags=['readwrite']) as it:\n        for e in it:\n            e[...] = 2 * e\n    return t * np.sum(b * x)",
    "no part of the tape": "b = row * 1\n    for k in range(3):\n        b[k] = k\n        b += 1\n    return np.sum(x * x) * b[2]",
    "exception in between": "b = row * 1\n    t = np.sum(b * x)\n    try:\n        b[0] = 3.0\n        b[9] = 1.0\n    except IndexError:\n        b[1] = 4.0\n    try:\n        b += np.zeros(3)\n    except ValueError:\n        b *= 2.0\n    return t * np.sum(b * x)",
    "subclass": "m = X.view(np.matrix)\n    t = np.sum(np.asarray(m)[0] * x)\n    m[0] = 3.0\n    m += 1.0\n    return t * np.sum(np.asarray(m)[0] * x)",
    "made on the tape": "b = np.zeros(4)\n    t = 0.0\n    for k in range(4):\n        b[k] = x[k] * k\n        b *= 1.5\n        t = t + np.sum(b * x)\n    b.sort()\n    return t + b[0] * b[3]",
    "math": "t = 0.0\n    for k in range(4):\n        t = t + math.exp(x[k]) * math.log(x[k], 3) + math.hypot(x[k], 2.0) + math.pow(x[k], 1.5)\n        buf[0, k] = math.floor(x[k]) + int(x[k]) + float(k)\n        t = t + buf[0, k] * float(x[k])\n    return t",
}


def module(text: str) -> dict[str, Any]:
    """The names of the program, rewritten as the import hook does it."""
    names: dict[str, Any] = {"__minpy__": entry.routed, "__name__": "program"}
    exec(hook.announce(rewriter.compile_source(text, "program.py", Options())), names)
    return names


def plain(text: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "program"}
    exec(compile(text, "program.py", "exec", dont_inherit=True), names)
    return names


def text_of(name: str) -> str:
    return f"{HEAD}def f(x):\n    {SITUATIONS[name]}\n"


POINT = np.array([0.7, 1.3, 2.1, 0.4])


def differences(function: Any, x: np.ndarray, step: float) -> np.ndarray:
    rows = []
    for k in range(x.size):
        e = np.zeros(x.size)
        e[k] = step
        rows.append((function(x + e) - function(x - e)) / (2 * step))
    return np.array(rows)


def state_of(names: dict[str, Any]) -> list[bytes]:
    return [np.ascontiguousarray(a).tobytes() for a in names["state"]()]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SITUATIONS)
def test_gradients_and_what_is_left(name: str) -> None:
    text = text_of(name)
    expected = plain(text)
    value = expected["f"](POINT.copy())
    names = module(text)
    found, gradient = value_and_grad(names["f"])(POINT.copy())
    assert found == value
    assert state_of(names) == state_of(expected)
    # Each evaluation starts from a module of its own.
    np.testing.assert_allclose(
        gradient, differences(lambda x: plain(text)["f"](x), POINT, 1e-6), rtol=1e-6, atol=1e-6
    )


def untouched(text: str) -> Any:
    """A function that runs the program's f, always with fresh arrays of the module."""
    return lambda x: grad(module(text)["f"])(x)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SITUATIONS)
def test_second_derivatives(name: str) -> None:
    text = text_of(name) + "\nweights = np.array([1.0, -2.0, 0.5, 1.5])\n"
    names = module(text)
    second = grad(lambda x: np.sum(grad(names["f"])(x) * names["weights"]))(POINT.copy())
    expected = plain(text)
    expected["f"](POINT.copy())
    assert state_of(names) == state_of(expected)
    by_differences = differences(lambda x: np.sum(untouched(text)(x) * names["weights"]), POINT, 1e-5)
    np.testing.assert_allclose(second, by_differences, rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SITUATIONS)
def test_forward_mode(name: str) -> None:
    text = text_of(name)
    names, expected = module(text), plain(text)
    direction = np.array([1.0, -2.0, 0.5, 1.5])
    value, tangent = jvp(names["f"], (POINT.copy(),), (direction,))
    assert value == expected["f"](POINT.copy())
    assert state_of(names) == state_of(expected)
    np.testing.assert_allclose(tangent, grad(module(text)["f"])(POINT.copy()) @ direction, rtol=1e-9)


def test_a_plain_name_of_the_argument_itself() -> None:
    body = "def f(x):\n    t = np.sum(x ** 3)\n    {0}[1:3] = 5.0\n    t = t + np.sum(x * x)\n    {0}[3] = 2.5\n    return t * np.sum(buf[0] * x)\n"
    names, point = module(HEAD + body.format("same")), POINT.copy()
    names["same"] = point
    gradient = grad(names["f"])(point)
    written = HEAD + body.format("x")
    np.testing.assert_allclose(
        gradient, differences(lambda x: plain(written)["f"](x), POINT, 1e-6), rtol=1e-5
    )
    np.testing.assert_array_equal(point, [POINT[0], 5.0, 5.0, 2.5])


def test_an_exception_leaves_the_arrays_as_the_program_did() -> None:
    text = (
        HEAD
        + "def f(x):\n    t = np.sum(buf * x)\n    buf[0] = 3.0\n    box.a += 1.0\n    raise KeyError('stop')\n"
    )
    names, expected = module(text), plain(text)
    with pytest.raises(KeyError, match="stop"):
        grad(names["f"])(POINT)
    with pytest.raises(KeyError):
        expected["f"](POINT)
    assert state_of(names) == state_of(expected)


def test_a_sweep_that_fails_leaves_the_arrays_as_the_program_did() -> None:
    text = HEAD + (
        "from minpy.autodiff import primitive\n@primitive\ndef p(x): return x * 2.0\n"
        "p.def_vjp(lambda ans, x: lambda g: 1 / 0)\n"
        "def f(x):\n    y = p(x)\n    t = np.sum(buf * y)\n    buf[0] = 3.0\n    return t + np.sum(buf * y)\n"
    )
    names = module(text)
    with pytest.raises(Exception, match="division by zero"):
        grad(names["f"])(POINT)
    expected = np.linspace(-1.0, 2.0, 12).reshape(3, 4) * 2
    expected[0] = 3.0
    np.testing.assert_array_equal(names["buf"], expected)


REFUSED = {
    "item": "buf[0, 0] = x[0]",
    "slice": "buf[1] = x",
    "mask": "buf[0][mask] = x[:3]",
    "augmented item": "buf[0] += x",
    "augmented scalar": "buf[0, 0] += x[0]",
    "augmented name": "b = buf\n    b += x",
    "augmented attribute": "box.a += x",
    "list element": "store['l'][1] += x",
    "fill": "buf.fill(x[0])",
    "put": "buf.put([0], x[0])",
    "flat": "buf.flat[0] = x[0]",
    "flat whole": "buf.flat = x[0]",
    "out": "np.add(x, 1, out=row)",
    "out of a method": "x.cumsum(out=row)",
    "copyto": "np.copyto(row, x)",
    "loop target": "for buf[0] in [x]: pass",
    "structured": "points['x'] = x[:3]",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_traced_value_in_a_plain_array_is_an_error_with_line_and_remedy(name: str) -> None:
    """If something that cannot be followed, here an iterator, holds the array too."""
    held = "[iter(a) for a in (buf, row, box.a, store['l'][1])]"
    text = f"{HEAD}def f(x):\n    held = {held}\n    {REFUSED[name]}\n    return np.sum(x)\n"
    names = module(text)
    line = text[: text.index(REFUSED[name])].count("\n") + 1 + REFUSED[name].count("\n")
    before = state_of(names)
    with pytest.raises(TraceError, match=rf'program\.py", line {line}, in f') as caught:
        grad(names["f"])(POINT)
    assert "Make the array inside" in str(caught.value) or "stop_gradient" in str(caught.value)
    assert state_of(names) == before


@pytest.mark.skipif(not COUNTED, reason="this Python's counts of references prove nothing: it is refused")
@pytest.mark.parametrize("name", [name for name in REFUSED if name not in ("structured", "out of a method")])
def test_a_traced_value_in_a_plain_array(name: str) -> None:
    """If not, the gradient is that of the program, and its state is plain."""
    read = "np.sum(buf ** 2) + np.sum(row ** 3) + np.sum(box.a ** 2) + np.sum(store['l'][1] ** 2)"
    text = f"{HEAD}def f(x):\n    {REFUSED[name]}\n    return {read}\n"
    names, expected = module(text), plain(text)
    found = grad(names["f"])(POINT)
    expected["f"](POINT)
    assert state_of(names) == state_of(expected)
    steps = 1e-6 * np.eye(len(POINT))
    slopes = [(plain(text)["f"](POINT + e) - plain(text)["f"](POINT - e)) / 2e-6 for e in steps]
    np.testing.assert_allclose(found, slopes, rtol=1e-6, atol=1e-7)


def test_integers_keep_the_whole_part_of_a_traced_value() -> None:
    text = (
        HEAD
        + "def f(x):\n    counts[0] = x[2]\n    counts[1:3] = x[1:3] * 2\n    return np.sum(counts * x)\n"
    )
    names = module(text)
    np.testing.assert_array_equal(grad(names["f"])(POINT), [2, 2, 4, 0])
    np.testing.assert_array_equal(names["counts"], [2, 2, 4, 0])


def test_resizing_what_the_tape_refers_to_is_an_error() -> None:
    body = "def f(x):\n    b = row * 1\n    t = np.sum({0} * x)\n    b.resize(8)\n    b[5] = 2.0\n    return t + np.sum(b[4:] * x)\n"
    with pytest.raises(TraceError, match=r'np\.resize.*|.*program\.py", line'):
        grad(module(HEAD + body.format("b"))["f"])(POINT)
    expected = np.linspace(-1.0, 2.0, 12)[4:8] + np.array([0, 2, 0, 0])
    np.testing.assert_allclose(grad(module(HEAD + body.format("row"))["f"])(POINT), expected)


def test_another_thread_without_a_tape_is_not_logged() -> None:
    text = HEAD + "def g(k):\n    buf[k] += 1.0\n    row.sort()\n    return type(buf), buf.base is None\n"
    names = module(text)
    inside, done = threading.Event(), threading.Event()
    found: list[Any] = []

    def other() -> None:
        inside.wait(10)
        try:
            found.append(names["g"](1))
        finally:
            done.set()

    thread = threading.Thread(target=other)
    thread.start()

    def f(x: Any) -> Any:
        y = x * x
        inside.set()
        assert done.wait(10)
        return y.sum()

    np.testing.assert_allclose(grad(f)(POINT), 2 * POINT)
    thread.join()
    assert found == [(np.ndarray, True)]


def test_a_checkpoint_runs_again_from_the_same_plain_arrays() -> None:
    text = HEAD + (
        "def part(x):\n    t = np.sum(buf * x * x)\n    buf[0] = buf[0] * 2.0 + 1.0\n    return t + np.sum(buf * x)\n"
        "def f(x):\n    return part(x) * part(x) + part(x)\n"
    )
    direct, names, expected = module(text), module(text), plain(text)
    names["part"] = checkpoint(names["part"])
    gradient = grad(names["f"])(POINT.copy())
    expected["f"](POINT.copy())
    assert state_of(names) == state_of(expected)
    np.testing.assert_allclose(gradient, grad(direct["f"])(POINT.copy()), rtol=1e-12)


IDLE = """
import math
from minpy.runtime import entry

door = entry.routed
assert door.math is math and door.float is float and door.taping is False
a = []
assert door.at(a) is a and door.within(a) is a and door.held(a) is a
assert door.before(a) is False and door.before(a, a) is a and door.exposed(a) is a
print("right")
"""


def test_idle_names_are_pythons_own() -> None:
    """In a process of its own, in which nothing is active."""
    done = subprocess.run(
        [sys.executable, "-c", IDLE], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert (done.stdout, done.stderr) == ("right\n", "")


# ----- random programs ----------------------------------------------------------------------------------------------------------

_PLACES = ["{a}[{i}]", "{a}[{i}:]", "{a}[::2]", "{a}[::-1][{i}:]", "{a}[[0, {i}]]", "{a}[mask]", "{a}[...]"]
_STATEMENTS = [
    *(f"{place} = {{c}}" for place in _PLACES),
    *(f"{place} += {{c}}" for place in _PLACES),
    *(f"{place} *= {{c}}" for place in _PLACES),
    "{a} += {c}",
    "{a} *= {c}",
    "{a} -= {b}",
    "{a}[1:] = {b}[:-1]",
    "{a}[:2] += {b}[2:]",
    "{a}[{i}], {b}[{i}] = {b}[{i}], {a}[{i}]",
    "{a}.sort()",
    "{a}.fill({c})",
    "np.add({a}, {b}, out={a})",
    "np.add.at({a}, [{i}, 0, {i}], {c})",
    "np.copyto({a}, {b}, where=mask)",
    "np.random.RandomState({i}).shuffle({a})",
    "mask[{i}] = not mask[{i}]",
    "box.a += {a}",
    "bufs[{i}] *= {c}",
    "bufs[{i}][1:] -= {c}",
    "y = y * {a}",
    "y = y + {a} * x",
    "t = t + np.sum({a} * y)",
    "t = t + np.sum(np.where(mask, y, {a}) * {b})",
    "y[{i}] = np.sum({a} * x)",
    "y[1:] += {a}[:-1] * x[1:]",
]


@st.composite
def programs(draw: st.DrawFn) -> str:
    names = ["p", "q", "v", "box.a", "bufs[0]", "bufs[3]"]
    lines = []
    for _ in range(draw(st.integers(2, 9))):
        line = draw(st.sampled_from(_STATEMENTS)).format(
            a=draw(st.sampled_from(names)),
            b=draw(st.sampled_from(names)),
            i=draw(st.integers(0, 3)),
            c=draw(st.sampled_from(["0.5", "-1.25", "p[1]", "len(q)"])),
        )
        lines.append(line)
    body = textwrap.indent("\n".join(lines), "    " * 2)
    return (
        "import numpy as np\nclass Box: pass\nbox = Box(); box.a = np.array([0.2, -0.4, 0.6, 0.8])\n"
        "p = np.array([0.5, -0.3, 0.9, 0.1]); q = p[::-1] * 0.7; v = p[:]\n"
        "mask = np.array([True, False, True, False])\nbufs = [p * 0.3, q * 0.2, p * q, q - p]\n"
        "def state(): return [p, q, v, box.a, mask, *bufs]\n"
        "def f(x):\n    global p, q, v\n    t = 0.0\n    y = np.array(x)\n    for k in range(2):\n"
        f"{body}\n        t = t + np.sum(p * y) + np.sum(y * y * 0.1)\n    return t\n"
    )


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=120, deadline=None, derandomize=True)
@given(programs())
def test_random_programs(text: str) -> None:
    expected = plain(text)
    value = expected["f"](POINT.copy())
    if not np.isfinite(value) or abs(value) > 1e6:
        return
    names = module(text)
    found, gradient = value_and_grad(names["f"])(POINT.copy())
    assert found == value
    assert state_of(names) == state_of(expected)

    def run(x: np.ndarray) -> Any:
        return plain(text)["f"](x)

    scale = max(1.0, abs(value))
    np.testing.assert_allclose(gradient / scale, differences(run, POINT, 1e-6) / scale, rtol=2e-5, atol=2e-6)


def test_an_iterator_with_a_buffer_is_an_error() -> None:
    names = module(
        HEAD + "def f(x):\n"
        "    b = row * 1\n"
        "    t = np.sum(b * x)\n"
        "    with np.nditer(b, ['buffered'], ['readwrite'], ['f4'], casting='same_kind') as it:\n"
        "        for e in it:\n"
        "            e[...] = 2 * e\n"
        "    return t\n"
    )
    with pytest.raises(TraceError, match=r"buffered.*program\.py|program\.py.*buffered"):
        grad(names["f"])(POINT.copy())
