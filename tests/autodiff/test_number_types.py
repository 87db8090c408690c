"""Numbers on the tape: type, value, error and warnings of every operator are those of the program alone."""

from __future__ import annotations

import copy
import io
import logging
import math
import operator
import pickle
import warnings
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import minpy
from minpy import routed

VALUES = {
    "float": 2.675, "int": 3, "zero": 0.0, "negative zero": -0.0, "negative": -7.5, "large": 1e200,
    "infinite": math.inf, "not a number": math.nan, "complex": 1.5 + 2j, "complex zero": 0j,
    "float64": np.float64(2.675), "float64 zero": np.float64(0), "float64 large": np.float64(1e200),
    "float32": np.float32(2.5), "complex128": np.complex128(1.5 + 2j),
}  # fmt: skip
OTHERS = [
    True, 2, 0, -3, 10**30, 10**400, 0.5, 0.0, 1e300, math.inf, math.nan, 1 + 2j,
    np.float64(1.5), np.float32(1.5), np.int64(3), np.bool_(True), np.arange(3.0), np.arange(3.0, dtype="f4"),
]  # fmt: skip
BINARY = {
    name: getattr(operator, name)
    for name in "add sub mul truediv floordiv mod pow iadd isub imul itruediv ifloordiv imod ipow".split()
} | {"divmod": divmod}
COMPARISONS = {name: getattr(operator, name) for name in "lt le gt ge eq ne".split()}

UNARY: dict[str, Callable[[Any], Any]] = {
    "neg": operator.neg, "pos": operator.pos, "abs": abs, "invert": operator.invert, "bool": bool, "not": operator.not_,
    "int": int, "round": round, "round to none": lambda x: round(x, None), "floor": math.floor, "ceil": math.ceil,
    "trunc": math.trunc, "is whole": lambda x: x.is_integer(), "conjugate": lambda x: x.conjugate(),
    "real": lambda x: x.real, "imag": lambda x: x.imag, "text": lambda x: (str(x), repr(x), f"{x:.3e}", f"{x}"),
    **{f"round to {n}": lambda x, n=n: round(x, n) for n in (0, 1, 2, -1, 300, -400)},
    "type": lambda x: routed.type(x), "float": lambda x: routed.float(x),
    "kinds": lambda x: [isinstance(x, kind) for kind in (float, complex, int, np.generic, np.floating, np.ndarray)],
    "chain": lambda x: 0 < x < 2, "chain of three": lambda x: -9 <= x <= 3 <= 4,
    "sums of truths": lambda x: ((x > 1) + (x > 2), sum([x > 1, x > 2]), -(x > 0)),
    "least": lambda x: (min(x, 1), max(1.0, x)), "sum": lambda x: sum([x, 1, x]),
    "itself": lambda x: (x + x, x - x, x * x), "quotient of itself": lambda x: x / x,
    "rest of itself": lambda x: x % x, "quotient": lambda x: x // x, "power of itself": lambda x: x**x,
    "equal to itself": lambda x: (x == x, x < x, x in (1, x)),
    "chains": lambda x: (-x) // 2 * 3 - x % 2 / 3, "mixed": lambda x: (np.float64(2) + x) // 2,
    "of a fraction": lambda x: (x * Fraction(1, 4), Fraction(1, 4) - x),
    "copies": lambda x: (copy.copy(x), copy.deepcopy([x]), pickle.loads(pickle.dumps(x)), np.isscalar(x)),
    "length": len, "element": lambda x: x[0], "index": operator.index, "iterator": iter,
}  # fmt: skip
MATH = [name for name in dir(math) if not name.startswith("_") and callable(getattr(math, name))]
_CUT = ("nextafter",)  # no derivative, and says so


def outcome(function: Callable[[Any], Any], value: Any) -> tuple:
    """What a function gives: the value with its types, or the error; and the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found: Any = function(value)
        except Exception as error:
            found = (
                type(error).__name__ if isinstance(error, TypeError) else f"{type(error).__name__}: {error}"
            )
    return found, len(caught)


def plain(value: Any) -> Any:
    """A value with its types, as text."""
    if type(value) in (tuple, list):
        return type(value).__name__, [plain(each) for each in value]
    if isinstance(value, np.ndarray):
        return "ndarray", str(value.dtype), repr(value.tolist())
    return type(value).__name__, repr(value)


def check(function: Callable[[Any], Any], value: Any, found: list, label: str) -> None:
    alone = outcome(function, float(value) if type(value) is int else value)
    left: list = []

    def program(x: Any) -> Any:
        left.append(outcome(function, x))
        return (x * 1.0).real

    minpy.grad(program)(value)
    (taped,) = left
    if (plain(taped[0]), taped[1]) != (plain(alone[0]), alone[1]):
        found.append(f"{label}: {plain(taped[0])}, {taped[1]} warnings; alone {plain(alone[0])}, {alone[1]}")


@pytest.mark.parametrize("name", VALUES)
def test_operators(name: str) -> None:
    found: list[str] = []
    for label, function in {**BINARY, **COMPARISONS}.items():
        for other in OTHERS:
            # (Quotient and rest of arrays warn apart.)
            if label == "divmod" and isinstance(other, np.ndarray):
                continue
            check(lambda x, f=function, y=other: f(x, y), VALUES[name], found, f"{label} {other!r}")
            # (Python's complex numbers compare themselves with float64, which is a float.)
            if label[0] != "i" and not (label in ("eq", "ne") and type(other) is complex):
                check(lambda x, f=function, y=other: f(y, x), VALUES[name], found, f"{other!r} {label}")
    assert not found, "\n".join(found[:20])


@pytest.mark.parametrize("name", VALUES)
def test_functions(name: str) -> None:
    found: list[str] = []
    for label, function in UNARY.items():
        if name == "complex128" and label.startswith(("round", "floor", "ceil")):
            continue  # NumPy warns of them in several ways
        check(function, VALUES[name], found, label)
    for each in MATH:
        if each not in _CUT and name != "complex128":
            check(lambda x, f=each: getattr(routed.math, f)(x), VALUES[name], found, f"math.{each}")
            check(
                lambda x, f=each: getattr(routed.math, f)(x, 2.0), VALUES[name], found, f"math.{each} of two"
            )
    assert not found, "\n".join(found[:20])


class Unit:
    """A class with operators of its own, which Python asks after a number's."""

    def __radd__(self, other: Any) -> Any:
        return other * 2

    def __rmul__(self, other: Any) -> Any:
        return "times", other


def test_classes_with_operators_of_their_own() -> None:
    left: list = []

    def program(x: Any) -> Any:
        left.append(x * Unit())
        return x + Unit()

    assert minpy.grad(program)(3.0) == 2.0
    assert left == [("times", 3.0)] and type(left[0][1]) is float


@pytest.mark.parametrize("other", ["a", [1.0], None, (1,), {}])
@pytest.mark.parametrize("name", BINARY)
def test_what_python_refuses(name: str, other: Any) -> None:
    function = BINARY[name]
    for order in (lambda x: function(x, other), lambda x: function(other, x)):
        if name.endswith("mod") and other in ("a", {}):
            continue  # text is formatted with what looks like an array
        with pytest.raises(TypeError):
            order(2.5)
        with pytest.raises(TypeError):
            minpy.grad(order)(2.5)


@pytest.mark.parametrize("verb", ["grad", "jvp", "kept", "nested"])
@pytest.mark.parametrize(
    ("function", "derivative"),
    [
        (lambda x: x * x // 1 * x + x % 0.75 * 2 - x / 4, lambda x: x * x // 1 + 2 - 0.25),
        (lambda x: divmod(x, 2)[1] * x, lambda x: 2 * x - x // 2 * 2),
        (lambda x: 2**x + x**3 + x**True, lambda x: math.log(2) * 2**x + 3 * x * x + 1),
        (lambda x: round(x, 1) * x + int(x) * x, lambda x: round(x, 1) + int(x)),
        (lambda x: (x + 10**30) - 10**30 + x * 10**30, lambda x: 1.0 + 10.0**30),
        (lambda x: ((-x) ** 0.5).imag, lambda x: 0.5 / math.sqrt(x)),
        (lambda x: abs(x * (3 + 4j)) + (x * 1j).conjugate().imag, lambda x: 4.0),
        (lambda x: x.real * 2 + x.imag + x.conjugate(), lambda x: 3.0),
    ],
)
def test_derivatives(function, derivative, verb: str) -> None:
    def tapes(x: Any) -> Any:
        return minpy.grad(function)(x) * x

    with np.errstate(invalid="ignore"):
        alike = function(2.6) == function(np.float64(2.6))  # NumPy has no complex power of a negative number
    for x in (2.6, np.float64(2.6)) if alike else (2.6,):
        if verb == "grad":
            slope = minpy.grad(function)(x)
        elif verb == "jvp":
            slope = minpy.jvp(function, (x,), (1.0,))[1]
        elif verb == "kept":
            slope = minpy.vjp(function, x)[1](1.0)
            slope = slope[0] if isinstance(slope, tuple) else slope
        else:
            step = 1e-4
            second = (derivative(x + step) - derivative(x - step)) / (2 * step)
            assert minpy.grad(tapes)(x) == pytest.approx(derivative(x) + x * second, rel=1e-5)
            continue
        assert slope == pytest.approx(derivative(x), rel=1e-9)


def test_text_is_made_of_numbers() -> None:
    """``%`` asks a number for a float, as ``float()`` does; what it becomes is text, so no gradient is lost."""
    logger, stream = logging.Logger("loss"), io.StringIO()
    logger.addHandler(logging.StreamHandler(stream))
    seen = []

    def program(x: Any) -> Any:
        y = np.sum(x * x)
        text = "at %.2f"
        text %= y
        logger.info("loss %.3f", y)
        seen.append((text, "%.3f of %5.2e, %s, %d" % (y, x[0], y, y), "%(y).1f" % {"y": y}, b"%g" % y))  # noqa: UP031
        return y

    x = np.array([1.5, 2.0])
    program(x)
    np.testing.assert_array_equal(minpy.grad(program)(x), 2 * x)
    assert seen[0] == seen[1] and stream.getvalue() == "loss 6.250\n" * 2
    for cut in (lambda x: 2.0 % float(x), lambda x: float(x) % 2.0, lambda x: float.__mod__(float(x), 2.0)):
        with pytest.raises(minpy.errors.TraceError):
            minpy.grad(cut)(1.5)
