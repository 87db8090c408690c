"""Stretches of element-wise records: one compiled pass of the sweep gives what the records give one by one."""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import minpy
from minpy.runtime import tape
from minpy.runtime.fuse import stretch

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("llvmlite") is None, reason="without the extra jit there are none"
)
ROWS, SIZE = 16, 96


@minpy.accelerate
def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


@minpy.accelerate
def gates(x: Any, w: Any, u: Any, b: Any) -> Any:
    """Slices of one array, results that several operations read, numbers."""
    h = np.zeros((ROWS, SIZE), x.dtype)
    c = np.zeros((ROWS, SIZE), x.dtype)
    for step in x:
        a = step @ w + h @ u + b
        i, f = sigmoid(a[:, :SIZE]), sigmoid(a[:, SIZE : 2 * SIZE])
        g = np.tanh(a[:, 2 * SIZE :])
        c = f * c + i * g
        h = 0.5 * c * np.tanh(c) - c / (2.5 + i * i)
    return np.sum(h * h)


@minpy.accelerate
def parts(x: Any, w: Any, u: Any, b: Any) -> Any:
    """Slices that are not all of an array, that overlap, and a part that nothing depends on."""
    total = 0.0
    for step in x:
        a = step @ w + b
        one, two, three = a[:, :SIZE], a[:, 5 : SIZE + 5], a[:, SIZE : 2 * SIZE]
        left = np.tanh(one) * np.abs(three)
        right = np.tanh(two) * np.maximum(three, 0.1)
        np.exp(left * right)
        both = left - right * left + np.sqrt(left * left + 1.0)
        total = total + np.sum((both @ u) ** 2)
    return total


@minpy.accelerate
def numbers(x: Any, w: Any, u: Any, b: Any) -> Any:
    """Numbers that change from step to step, of several kinds."""
    total = 0.0
    for k, step in enumerate(x):
        a = np.tanh(step @ w)
        a = a * 2 - a / (k + 1.5) + a * float(k)
        a = a * x.dtype.type(0.5) - 0.3 * np.abs(a)  # (NumPy 2 would make float64 of it by another one)
        total = total + np.sum(a * a) * np.sum(b)
    return total + np.sum(h_of(u))


@minpy.accelerate
def h_of(u: Any) -> Any:
    return -np.exp(-u) * u


@minpy.accelerate
def in_place(x: Any, w: Any, u: Any, b: Any) -> Any:
    """What is written over between operations."""
    state = np.zeros((ROWS, 3 * SIZE), x.dtype)
    for step in x:
        a = step @ w
        state += np.tanh(a) * np.exp(-a * a) * 0.1
        state[:, :SIZE] = state[:, :SIZE] * np.tanh(a[:, :SIZE]) + np.exp(-np.abs(a[:, SIZE : 2 * SIZE]))
        state *= 0.9
    return np.sum(state * b) + np.sum(u * u * u * 2.0)


@minpy.accelerate
def same_twice(x: Any, w: Any, u: Any, b: Any) -> Any:
    """An argument is an operand of several operations in a row."""
    total = 0.0
    for step in x:
        a = step @ w
        total = total + np.sum(a * b) * np.mean(u * u * np.exp(u) - u / (1.5 + u * u))
    return total


PROGRAMS = (gates, parts, numbers, in_place, same_twice)


def arguments(dtype: Any, rows: int = ROWS, steps: int = 7) -> list[np.ndarray]:
    rng = np.random.default_rng(11)
    shapes = (steps, rows, 40), (40, 3 * SIZE), (SIZE, 3 * SIZE), (3 * SIZE,)
    return [(rng.normal(size=shape) * 0.3).astype(dtype) for shape in shapes]


@pytest.fixture
def forced(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Any:
    monkeypatch.setenv("MINPY_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(stretch, "sites", SimpleNamespace(mode=lambda: "force"))
    monkeypatch.setattr(stretch, "_places", {})
    return monkeypatch


def run(program: Any, args: list[np.ndarray]) -> list[np.ndarray]:
    value, gradients = minpy.value_and_grad(program, tuple(range(len(args))))(*args)
    return [np.asarray(value), *gradients]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("program", PROGRAMS)
def test_gradients_are_the_same(forced: Any, program: Any, dtype: Any) -> None:
    args = arguments(dtype)
    with forced.context() as other:
        other.setattr(tape, "_may_fuse", lambda: False)
        expected = run(program, args)
    assert not stretch._places
    for _ in range(2):
        found = run(program, args)
        assert all(np.array_equal(a, b) for a, b in zip(expected, found, strict=True))
    made = [each for place in stretch._places.values() for each in place.stretches]
    assert any(each._engines for each in made)


def test_other_shapes_later(forced: Any) -> None:
    """The same places, with other arrays: numbers of rows, and a part of what it was."""
    for dtype, steps in ((np.float64, 5), (np.float32, 4), (np.float64, 9)):
        args = arguments(dtype, steps=steps)
        found = run(gates, args)
        with forced.context() as other:
            other.setattr(tape, "_may_fuse", lambda: False)
            expected = run(gates, args)
        assert all(np.array_equal(a, b) for a, b in zip(expected, found, strict=True))


@minpy.accelerate
def chain(x: Any) -> Any:
    return np.sum(np.tanh(x * x + 0.5) * x - x / (1.5 + x * x))


@pytest.mark.parametrize("threads", ["1", "2"])
def test_threads_change_nothing(forced: Any, threads: str) -> None:
    x = np.random.default_rng(3).normal(size=(700, 600))
    forced.setenv("OMP_NUM_THREADS", "1")
    expected = minpy.grad(chain)(x)
    forced.setattr(stretch.pool, "width", lambda: int(threads))
    assert np.array_equal(minpy.grad(chain)(x), expected)
    assert any(each._engines for place in stretch._places.values() for each in place.stretches)


def test_waits_until_it_pays(forced: Any) -> None:
    """Nothing is compiled for what runs a few times."""
    forced.setattr(stretch, "sites", SimpleNamespace(mode=lambda: "auto"))
    run(gates, arguments(np.float64))
    made = [each for place in stretch._places.values() for each in place.stretches]
    assert made and not any(each._engines for each in made)


def test_not_without_the_compiler(forced: Any) -> None:
    forced.setenv("MINPY_JIT", "off")
    run(gates, arguments(np.float64))
    assert not stretch._places
