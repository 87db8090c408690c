"""A Python number on the tape counts as one for the types of results, as NumPy's promotion has it."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minpy
import minpy.numpy as routed  # what the rewritten program would call
from minpy.runtime import entry

X = np.arange(1.0, 5.0, dtype="float32")

CASES = {
    "operand on the right": lambda k: k * X,
    "operand on the left": lambda k: X * k,
    "twice": lambda k: (k * 2 + 1) * X,
    "itself": lambda k: (k + k) * X,
    "powers": lambda k: k**2 * X + 2**k * X,
    "quotients": lambda k: (k / 3) * X + (1 / k) * X,
    "signs": lambda k: -k * X + +k * X + abs(k) * X,
    "in place": lambda k: _in_place(k),
    "a NumPy function of two Python numbers": lambda k: np.multiply(k, 2.0) * X,
    "a NumPy function of one": lambda k: np.exp(k) * X,
    "with a NumPy scalar": lambda k: (k * np.float64(2)) * X,
    "with a narrow NumPy scalar": lambda k: (k * np.float32(2)) * X.astype("float16"),
    "argument of a function": lambda k: np.multiply(X, k) + np.add(k, X),
    "where": lambda k: np.where(X > 2, k, X),
    "clip": lambda k: np.clip(X, k, 3.5),
    "maximum": lambda k: np.maximum(k, X),
    "an array of it": lambda k: routed.array([k, 2 * k]),
    "a 0-d array of it": lambda k: routed.asarray(k) * X,
    "math": lambda k: minpy.routed.math.sin(k) * X,
    "math of a NumPy scalar": lambda k: minpy.routed.math.sqrt(np.exp(k)) * X,
    "float": lambda k: minpy.routed.float(np.exp(k)) * X,
    "a sum of a narrow array": lambda k: np.sum(X * k) * X,
    "store": lambda k: _store(k),
    "on the right of a NumPy scalar": lambda k: np.float64(1) * k * X,
    "sum of Python numbers": lambda k: sum([k, k, 1.0]) * X,
    "the built-in max": lambda k: max(k, 0.25) * X,
}


def _in_place(k):
    k *= 2
    k += 1
    return k * X


def _store(k):
    y = routed.copy(X)
    y[1:] = k
    y[0] *= k
    return y * k


@pytest.fixture(autouse=True)
def idle():
    yield
    assert entry.holders == 0


@pytest.mark.parametrize("number", [0.5, 3])
@pytest.mark.parametrize("verb", ["grad", "jvp"])
@pytest.mark.parametrize("case", CASES)
def test_types_are_those_of_the_program_alone(case, verb, number) -> None:
    function = CASES[case]
    plain = function(float(number))
    found = []

    def program(k):
        result = function(k)
        found.append((result.dtype, result.shape, np.array(minpy.stop_gradient(result))))
        return np.sum(result)

    if verb == "grad":
        slope = minpy.grad(program)(number)
    else:
        slope = minpy.jvp(program, (float(number),), (1.0,))[1]
    ((dtype, shape, values),) = found
    assert (dtype, shape) == (plain.dtype, plain.shape)
    np.testing.assert_array_equal(values, plain)
    step = 2**-6
    wide = [np.sum(function(number + d), dtype="float64") for d in (-step, step)]
    assert slope == pytest.approx((wide[1] - wide[0]) / (2 * step), rel=5e-3)


def test_numpy_scalars_stay_strong() -> None:
    """`np.float64(0.5)` is no Python number, though it is a `float`."""
    seen = []

    def program(k):
        seen.append((X * k).dtype)
        return np.sum(X * k)

    minpy.grad(program)(np.float64(0.5))
    minpy.grad(program)(0.5)
    assert seen == [(X * np.float64(0.5)).dtype, (X * 0.5).dtype]


def test_higher_derivatives_and_containers() -> None:
    def program(parameters):
        result = X * parameters["k"] ** 3
        assert result.dtype == np.float32
        return np.sum(result)

    assert minpy.grad(program)({"k": 2.0})["k"] == pytest.approx(12.0 * X.sum())
    twice = minpy.grad(minpy.grad(lambda k: program({"k": k})))
    assert twice(2.0) == pytest.approx(12.0 * X.sum())


def test_math_gives_python_numbers() -> None:
    """`math` and `float` leave NumPy's types: what they return has the type of the other operand again."""

    def program(k):
        narrow = X * minpy.routed.math.exp(np.float64(1.0) * k)
        assert narrow.dtype == (X * math.exp(0.5)).dtype == np.float32
        return np.sum(narrow)

    assert minpy.grad(program)(0.5) == pytest.approx(math.exp(0.5) * X.sum(), rel=1e-6)


@pytest.mark.parametrize("verb", ["grad", "jvp"])
def test_numbers_that_are_left_behind(verb) -> None:
    """What the function stored is a Python number where it is one without a tape, else NumPy's scalar."""

    def program(k, left):
        math = minpy.routed.math
        left += [
            k,
            k + k,
            k * 2,
            2 * k,
            0.5 / k,
            k - k,
            -k,
            abs(k),
            k**2,
            math.sin(k),
            minpy.routed.float(np.exp(k)),
        ]
        left += [
            np.exp(k),
            np.maximum(k, 0.2),
            np.add(k, 1.0),
            np.arctan2(k, k),
            np.float64(2) * k,
            np.sin(k) * 2,
        ]
        return k * 1.5

    plain: list = []
    program(0.5, plain)
    found: list = []
    if verb == "grad":
        minpy.grad(program)(0.5, found)
    else:
        minpy.jvp(lambda k: program(k, found), (0.5,), (1.0,))
    assert [type(each) for each in found] == [type(each) for each in plain]
    assert found == plain


@pytest.mark.parametrize("count", range(6))
def test_arrays_that_go_do_not_hide_those_that_stay(count) -> None:
    """As many arrays may be left as others of MinPy's, a pullback's say, go while the function runs."""
    held = [minpy.vjp(lambda x: x * np.sin(x), X)]

    def program(x):
        held.clear()
        held.extend([x * i for i in range(count)])
        return np.sum(x)

    minpy.grad(program)(X)
    assert [type(each) for each in held] == [np.ndarray] * count
