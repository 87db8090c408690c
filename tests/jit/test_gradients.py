"""Loops under a tape: compiled, they give the values, the gradients and what is left behind of loops as written."""

# ruff: noqa: E501 (a body to a line)

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite", reason="without the extra jit loops run as written")

import minpy
from minpy.options import Options
from minpy.runtime.array import Array
from minpy.runtime.entry import routed
from minpy.runtime.jit import sites
from minpy.runtime.jit.adjoint import drive, taped
from minpy.transform import hook, rewriter

sys.path.insert(0, str(Path(__file__).parent))
from gradient_programs import compare

HEAD = """
import math
import numpy as np

class State:
    pass

state = State()
state.rate, state.grid = 0.3, np.linspace(0.1, 1.0, 6)
WEIGHTS = np.linspace(0.5, 1.5, 6)
ORDER = [3, 1, 4, 1, 5]

def bump(x, y):
    z = x * y
    return z / (1.0 + z * z)

def bent(x):
    if x > 0.4:
        return x
    return 0.1 * x

def least(*values):
    low = min(values)
    return low - 0.3 * math.log(sum(math.exp((low - v) / 0.3) for v in values))

def f(x, m, p):
    s, t, k = 0.0, 1.0, 0
    y = np.zeros(6)
    w = m.copy()
"""

# Bodies of `f`; x has 6 elements, m is 4 x 6, p is a number. Each ends with what is returned.
COMPILED = {
    "a sum": "for i in range(6): s += x[i] * x[i]\nreturn s",
    "a recurrence": "for i in range(6): s = 3.7 * s * (1.0 - s) + p * x[i]\nreturn s",
    "in place": "for i in range(1, 6): x[i] = x[i] * x[i - 1] + p\nreturn np.sum(x)",
    "into an array made inside": "for i in range(6): y[5 - i] = math.sin(x[i]) / (1.5 + y[i])\nreturn np.sum(y * y)",
    "Gauss-Seidel": "for _ in range(3):\n  for i in range(1, 3):\n    for j in range(1, 5): w[i, j] = 0.25 * "
    "(w[i - 1, j] + w[i + 1, j] + w[i, j - 1] + w[i, j + 1]) * w[i, j]\nreturn np.sum(w * w)",
    "views": "v = w[1:, ::2]\nfor i in range(3):\n  for j in range(3): v[i, j] *= w[i, j] + p\nreturn np.sum(w)",
    "backward and in steps": "for i in range(5, -1, -2):\n  for j in range(0, 4, 3): s += w[j, i] ** 2 * x[i]\nreturn s",
    "branches": "for i in range(6):\n  if x[i] > 0.6: s += x[i] ** 2\n  elif i % 2: s -= p * x[i]\n  else: t = t * x[i]\n"
    "return s * t",
    "a loop that is left": "for i in range(6):\n  s = s + x[i] * p\n  if s > 0.9: break\n  t = t * s + 0.1\nreturn s * t",
    "rounds that end early": "for i in range(6):\n  if i == 2 or x[i] > 0.9: continue\n  s += x[i] * t\n  t = s\nreturn s",
    "an inner loop that is left": "for i in range(4):\n  for j in range(6):\n    t = t * w[i, j] + x[j]\n    if t > 2.0:\n"
    "      s += t\n      break\nreturn s",
    "while": "for i in range(6):\n  k = 0\n  while t < 1.0 + x[i] and k < 9:\n    t = t * (1.0 + p)\n    k += 1\n"
    "  s += t * k\n  t = 1.0\nreturn s",
    "triangles": "for i in range(4):\n  for j in range(i): w[i, j] = w[i, j] - w[i, j - 1] * w[j, i]\nreturn np.sum(w * w)",
    "exchanges": "for i in range(5):\n  x[i], x[5 - i] = x[5 - i] * p, x[i]\n  s, t = t, s + x[i]\nreturn s + np.sum(x * x)",
    "extremes": "for i in range(6):\n  s = max(s, x[i] * p, 0.4)\n  t = min(t, x[i])\n  y[i] = np.maximum(x[i], 0.5)\n"
    "return s + t + np.sum(y)",
    "kinks": "for i in range(6): s += abs(x[i] - 0.5) + math.sqrt(abs(y[i])) + np.abs(y[i]) * x[i] + y[i] ** 0.5\nreturn s",
    "choices": "for i in range(6): s += x[i] / (x[i] - 0.1) if x[i] != 0.1 else p\nreturn s",
    "powers": "for i in range(6): s += x[i] ** 3 + x[i] ** 0.5 + p ** x[i] + 2.0 ** x[i]\nreturn s",
    "functions of math": "for i in range(6): s += math.exp(-x[i]) + math.log(1.0 + x[i]) + math.atan2(x[i], p) + math.tanh(p) "
    "+ math.pow(x[i], 2.0)\nreturn s",
    "functions of NumPy": "for i in range(6): s += np.exp(-x[i]) * np.log(1.0 + x[i]) + np.sin(p) * np.cos(x[i]) + np.tanh(p) "
    "+ np.sqrt(x[i]) + np.arctan2(x[i], p) + np.arctan(x[i])\nreturn s",
    "remainders": "for i in range(6): s += (x[i] * 3.0) % p + (x[i] * 3.0) // p\nreturn s",
    "functions of the program": "for i in range(6): s += bump(x[i], s + p) * bent(x[i])\nreturn s",
    "numbers and arrays from outside": "for i in range(6): s += WEIGHTS[i] * x[i] * state.rate + state.grid[i] * math.pi\nreturn s",
    "a list of indices": "for i in range(5): s += x[ORDER[i]] * (i + 1)\nreturn s",
    "elements of arrays": "for i in range(2):\n  for v, u in zip(x, WEIGHTS): s += v * u\n  for j, v in enumerate(x): y[j] += v * s\n"
    "return np.sum(y)",
    "over an array": "for v in x: s = s * p + v * v\nreturn s * v",
    "over numbered elements": "for i, v in enumerate(x):\n  y[i] = v * y[i - 1] + math.sin(v)\n  x[i] *= 2.0\nreturn np.sum(y) + i + v",
    "over several arrays": "for v, u, k in zip(x, m[1], ORDER):\n  s = s * v + u * k\n  if s > 3.0: break\nreturn s + v",
    "over a list": "for k in ORDER: s = s * p + x[k]\nreturn s",
    "reversed": "for i in range(4):\n  for j in reversed(range(5)): w[i, j] = w[i, j + 1] * x[j]\n  for j in reversed(range(1, i)): s += j * w[i, j]\n"
    "return np.sum(w * w) + s",
    "extents": "for i in range(x.shape[0]):\n  for j in range(len(w)): s += x[i] * w[j, -1 - i]\nreturn s",
    "integers": "for i in range(6):\n  k = (k + i * i) % 5\n  y[k] += x[i] * k\n  s += y[k]\nreturn s",
    "an array of integers": "c = np.zeros(4, int)\nfor i in range(6):\n  c[int(i) % 4] += i\n  s += x[c[i % 4] % 6] * c[0]\nreturn s",
    "an object's array": "h = State()\nh.a, h.b = x * p, np.zeros(6)\nfor i, v in enumerate(h.a):\n  h.a[i] *= 0.8\n  h.b[i] = v * p\n"
    "return np.sum(np.sin(h.a) * h.b) + s",
    "an object's array of constants": "h = State()\nh.a = np.zeros(6) + 0.3\nfor i, v in enumerate(h.a): h.a[i] *= 0.8\nreturn np.sum(np.sin(h.a)) * np.sum(x)",
    "an object's array that was there": "state.copy = np.full(6, 0.3)\nfor i in range(6):\n  state.copy[i] = state.copy[i] * 0.8 + x[i]\n"
    "  s += state.copy[i] ** 2\nreturn s",
    "what was not bound": "for i in range(4):\n  for j in range(3):\n    u = w[i, j] * p\n    r = u * u\n  s += r\nreturn s + u",
    "single precision": "z = x.astype(np.float32)\nfor i in range(6): z[i] = z[i] * z[i - 1]\nreturn np.sum(z)",
    "a value that goes on": "for i in range(6): s = s * p + x[i]\nfor i in range(6): s = s * x[i]\nreturn s * s",
    "constants afterwards": "for i in range(6):\n  s = s + x[i]\n  t = 2.0\nreturn s * t",
    "an argument that stays": "for i in range(6): s += p * p\nreturn s * np.sum(x)",
    "many rounds": "for i in range(3000): y[i % 6] = math.sin(y[i % 6] + x[i % 6])\nreturn np.sum(y)",
}
# What is left to the tape, all of it or some rounds: the outcome is the same.
WRITTEN = {
    "rows": "for i in range(4): s += np.sum(w[i] * x)\nreturn s",
    "a variable behind its loop": "for i in range(4):\n  for j in range(3): s += x[j]\n  s += x[j] * w[i, j]\nreturn s",
    "int of what is differentiated": "for i in range(4): s += x[i] * int(WEIGHTS[i])\nreturn s",
    "complex numbers": "z = 1j\nfor i in range(4): z = z * x[i]\nreturn z.real + z.imag",
    "powers that are not known": "for i in range(6): s += x[i] ** -1 + x[i] ** i\nreturn s",
    "over rows": "for row in m: s += row[1] * row[2]\nreturn s",
    "over itself": "for v in x: x[0] = x[0] * v\nreturn x[0]",
    "print": "for i in range(6):\n  s += x[i]\n  if s > 1e9: print(s)\nreturn s",
}
ERRORS = {
    "an index": "for i in range(9): s += x[i]\nreturn s",
    "a division": "for i in range(6): s += x[i] / (3 - i) + 1 / (4 - i)\nreturn s",
    "a cut": "for i in range(6): s += int(x[i])\nreturn s",
    "from outside": "for i in range(6): WEIGHTS[i:][0] = x[i]\nreturn s",
}


def outcome(text: str, folder: Path, differentiate: Callable[..., Any]) -> tuple[Any, ...]:
    """What differentiating the `f` of a text comes to."""
    folder.mkdir()
    path = folder / "program.py"
    path.write_text(text := f"# {folder}\n{text}", encoding="utf-8")
    space: dict[str, Any] = {"__name__": "program"}
    exec(hook.announce(rewriter.compile_source(text, str(path), Options())), space)
    rng = np.random.default_rng(3)
    x, m = rng.uniform(0.2, 1.2, 6), rng.uniform(0.2, 1.2, (4, 6))
    try:
        with np.errstate(all="ignore"):
            return (*differentiate(space["f"], x, m, 0.7), x, m)
    except Exception as error:
        where = error.__traceback__
        lines = []
        while where is not None:
            if where.tb_frame.f_code.co_filename == str(path):
                lines.append(where.tb_lineno)
            where = where.tb_next
        return type(error), str(error).split(", at File")[0], lines, x, m


def gradient(f: Any, *args: Any) -> tuple[Any, ...]:
    value, gradients = minpy.value_and_grad(f, argnum=[0, 1, 2])(*args)
    return value, *gradients


@pytest.fixture
def both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Compare a function's derivatives as written and compiled; gives how many rounds ran compiled."""
    monkeypatch.setenv("MINPY_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setitem(__import__("builtins").__dict__, "__minpy__", routed)

    def run(body: str, differentiate: Callable[..., Any] = gradient) -> int:
        text = HEAD + "".join(f"    {line}\n" for line in body.split("\n"))
        monkeypatch.setenv("MINPY_JIT", "off")
        written = outcome(text, tmp_path / "written", differentiate)
        monkeypatch.setenv("MINPY_JIT", "force:quick")
        before = len(sites.sites)
        compiled = outcome(text, tmp_path / "compiled", differentiate)
        for i, (one, other) in enumerate(zip(written, compiled, strict=True)):
            assert type(one) is type(other), (i, one, other)
            if isinstance(one, (float, np.ndarray)) and i:
                np.testing.assert_allclose(other, one, rtol=1e-10, atol=1e-12)
            else:
                assert one == other, (one, other)
        for one, other in zip(written[-2:], compiled[-2:], strict=True):
            assert one.tobytes() == other.tobytes()  # what is left in the arguments
        return sum(site.taped.rounds for site in sites.sites[before:] if site.taped)

    return run


@pytest.mark.parametrize("name", COMPILED)
def test_a_compiled_loop_has_the_same_derivatives(
    name: str, both: Callable[..., int], monkeypatch: Any
) -> None:
    fallbacks: list[Any] = []
    monkeypatch.setattr(taped, "exec", lambda *given: fallbacks.append(given) or exec(*given), raising=False)
    assert both(COMPILED[name])
    assert not fallbacks


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_not_compiled_has_the_same_derivatives(name: str, both: Callable[..., int]) -> None:
    both(WRITTEN[name])


@pytest.mark.parametrize("name", ERRORS)
def test_errors_come_from_the_same_line(name: str, both: Callable[..., int]) -> None:
    both(ERRORS[name])


def test_a_backward_loop_that_meets_infinity_goes_on_in_python(
    both: Callable[..., int], monkeypatch: Any
) -> None:
    fallbacks: list[Any] = []
    monkeypatch.setattr(taped, "exec", lambda *given: fallbacks.append(given) or exec(*given), raising=False)
    assert both(
        "for i in range(5): s += math.atan(x[i] * 1e200) * 1e300 + 1e-300 / (x[i] * 1e-200 + 1e-250)\nreturn s"
    )
    assert fallbacks


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="sum corrects what it rounds from Python 3.12 on")
def test_functions_of_any_number_of_arguments(both: Callable[..., int]) -> None:
    body = "for i in range(1, 4):\n  for j in range(1, 6): w[i, j] = least(w[i - 1, j] + 1, w[i, j - 1] + p, w[i - 1, j - 1] + x[j])\n"
    assert both(body + "return np.sum(w * w)")


def test_stacks_grow(both: Callable[..., int], monkeypatch: Any) -> None:
    monkeypatch.setattr(drive, "_FIRST", 2)
    assert (
        both("for i in range(6):\n  for j in range(i * 7): x[i] = math.sin(x[i] + p) + 0.1\nreturn np.sum(x)")
        == 6
    )


def test_too_large_stacks_leave_the_loop_as_written(both: Callable[..., int], monkeypatch: Any) -> None:
    monkeypatch.setattr(drive, "_FIRST", 2)
    monkeypatch.setattr(drive, "_MOST", 20)
    assert (
        both("for i in range(6):\n  for j in range(i * 7): x[i] = math.sin(x[i] + p) + 0.1\nreturn np.sum(x)")
        < 6
    )


def _second(f: Any, *args: Any) -> tuple[Any, ...]:
    return (0.0, minpy.grad(lambda x: np.sum(minpy.grad(f)(x, *args[1:]) ** 2))(args[0]))


def _pulled_twice(f: Any, *args: Any) -> tuple[Any, ...]:
    value, pullback = minpy.vjp(f, *args)
    return value, *pullback(1.0), *pullback(2.0)


def _forward(f: Any, *args: Any) -> tuple[Any, ...]:
    return minpy.jvp(lambda x: f(x, *args[1:]), (args[0],), (np.ones(6),))


def _checkpointed(f: Any, *args: Any) -> tuple[Any, ...]:
    return gradient(minpy.checkpoint(f), *args)


@pytest.mark.parametrize("how", [_second, _pulled_twice, _forward, _checkpointed])
def test_other_derivatives_are_the_same(how: Callable[..., Any], both: Callable[..., int]) -> None:
    both("for i in range(6): s = s * p + x[i] ** 2\nreturn s * s", how)


def test_a_program_that_uses_the_values_between_loops(both: Callable[..., int]) -> None:
    body = "for i in range(5): x[i + 1] = x[i + 1] * x[i]\nx *= 2.0\nv = x[1:4] * p\nfor i in range(3): v[i] = v[i] * x[i]\n"
    assert both(
        body
        + "x[0] = 5.0\nfor i in range(6): s += x[i] * v[i % 3] * m[1, i]\nm[1] = 0.0\nreturn s + np.sum(x ** 2)"
    )


def test_what_is_left_behind_is_the_programs(both: Callable[..., int]) -> None:
    """A constant that a choice came to is a Python number, as without a tape."""
    body = (
        "for i in range(6):\n  s = min(x[i], 0.1)\n  t = max(9.0, x[i]) * 2.0\n  u = x[i] if x[i] > 9.0 else 0.25\n"
        "  q = math.sin(x[i])\n  r = x[i] * q\nstate.left = [s, t, u, q, r, p, p * p, y]\nreturn s * p + t + u + q + r"
    )
    kinds = []

    def differentiate(f: Any, *args: Any) -> tuple[Any, ...]:
        state = f.__globals__["state"]
        f(*args)
        plain = [type(each) for each in state.left]
        found = gradient(f, *args)
        kinds.append([type(each) for each in state.left])
        assert kinds[-1] == plain
        return found

    assert both(body, differentiate)
    assert kinds == [[float] * 4 + [np.float64] + [float] * 2 + [np.ndarray]] * 2


def test_a_compiled_loop_keeps_no_array_that_it_met(both: Callable[..., int]) -> None:
    def alive() -> int:
        gc.collect()
        return sum(type(each) is Array for each in gc.get_objects())

    before = alive()
    assert both(COMPILED["Gauss-Seidel"])
    assert alive() <= before


def test_random_programs(tmp_path: Path) -> None:
    assert not compare(range(12), tmp_path)


def test_a_handler_that_raises_leaves_no_wrong_gradient(both: Callable[..., int], monkeypatch: Any) -> None:
    original = taped.Compiled.run

    def interrupted(self: Any, *given: Any) -> Any:
        original(self, *given)
        raise TimeoutError("too late")

    def differentiate(f: Any, *args: Any) -> tuple[Any, ...]:
        if sites.mode() == "force":
            monkeypatch.setattr(taped.Compiled, "run", interrupted)

            def patient(*given: Any) -> Any:
                try:
                    f(*given)
                except TimeoutError:
                    return given[0][0] * given[0][1]

            with pytest.raises(
                minpy.errors.GradientError, match=r"a signal's handler raised.*line \d+, in f"
            ):
                minpy.grad(patient)(*map(np.copy, args))
            monkeypatch.undo()
        return (0.0,)

    both("for i in range(5): x[i] = x[i] * x[i + 1]\nreturn np.sum(x)", differentiate)
