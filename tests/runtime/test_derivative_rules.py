"""Derivatives where differences cannot tell: kinks, ties, zeros, infinities, conventions, and errors."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import table_driver as driver

from minpy import grad, jvp, value_and_grad
from minpy.errors import GradientError, TraceError
from minpy.runtime.namespace import numpy_door
from minpy.runtime.primitives import table
from minpy.runtime.primitives.rules import where_holds

rnp = numpy_door()
ROWS = {primitive.name: primitive for primitive in table.rows()}


def gradient(function: Any, *values: float) -> list:
    """The gradient of the sum of ``function(x)`` at an array of `values`."""
    with np.errstate(all="raise"):
        return grad(lambda x: rnp.sum(function(x)))(np.array(values)).tolist()


# ----- sub-gradients ----------------------------------------------------------------------------------------

KINKS = {
    "abs": (np.abs, [0.0, -2.0], [0.0, -1.0]),
    "fabs": (np.fabs, [0.0, -2.0], [0.0, -1.0]),
    "sqrt at 0": (np.sqrt, [0.0, 4.0], [0.0, 0.25]),
    "cbrt at 0": (np.cbrt, [0.0, 8.0], [0.0, 1 / 12]),
    "arcsin at 1": (np.arcsin, [1.0, 0.0], [0.0, 1.0]),
    "arccosh at 1": (np.arccosh, [1.0], [0.0]),
    "norm at 0": (lambda x: np.sqrt(np.sum(x * x)), [0.0, 0.0], [0.0, 0.0]),
    "std of equal values": (lambda x: np.std(x), [2.0, 2.0], [0.0, 0.0]),
    "hypot at 0": (lambda x: np.hypot(x, 0.0), [0.0, 3.0], [0.0, 1.0]),
    "arctan2 at 0": (lambda x: np.arctan2(x, 0.0 * x), [0.0], [0.0]),
    "relu": (lambda x: np.maximum(x, 0), [0.0, -1.0, 1.0], [0.5, 0.0, 1.0]),
    "relu with the number first": (lambda x: np.maximum(0, x), [0.0, -1.0, 1.0], [0.5, 0.0, 1.0]),
    "minimum": (lambda x: np.minimum(x, 0), [0.0, -1.0, 1.0], [0.5, 1.0, 0.0]),
    "fmax": (lambda x: np.fmax(x, 0), [0.0, -1.0, 1.0], [0.5, 0.0, 1.0]),
    "maximum with itself": (lambda x: np.maximum(x, x), [3.0], [1.0]),
    "max with ties": (lambda x: np.max(x), [3.0, 1.0, 3.0, 3.0], [1 / 3, 0.0, 1 / 3, 1 / 3]),
    "min with ties": (lambda x: np.min(x), [1.0, 1.0, 2.0], [0.5, 0.5, 0.0]),
    "max and initial": (lambda x: np.max(x, initial=5.0), [3.0, 1.0], [0.0, 0.0]),
    "ptp with ties": (lambda x: np.ptp(x), [1.0, 1.0, 3.0], [-0.5, -0.5, 1.0]),
    "clip at its bounds": (lambda x: np.clip(x, -1, 1), [-1.0, 0.0, 1.0, 2.0], [0.5, 1.0, 0.5, 0.0]),
    "clip with crossed bounds": (lambda x: np.clip(x, 2, 1), [0.0, 1.5, 3.0], [0.0, 0.0, 0.0]),
    "x ** 0": (lambda x: x**0, [0.0, 2.0], [0.0, 0.0]),
    "x ** 1": (lambda x: x**1, [0.0, 2.0], [1.0, 1.0]),
    "x ** 2": (lambda x: x**2, [0.0, -2.0], [0.0, -4.0]),
    "x ** 0.0 in an array": (lambda x: x ** np.array([0.0, 1.0, 2.0]), [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]),
    "0 ** x": (lambda x: 0.0**x, [1.0, 2.0], [0.0, 0.0]),
    "2 ** x": (lambda x: 2**x, [0.0], [np.log(2)]),
    "sign": (np.sign, [0.0, 2.0], [0.0, 0.0]),
    "floor": (np.floor, [0.5], [0.0]),
    "sinc at 0": (np.sinc, [0.0], [0.0]),
    "i0 at 0": (np.i0, [0.0], [0.0]),
    "heaviside": (lambda x: np.heaviside(x, 0.5), [0.0, 1.0], [0.0, 0.0]),
    "copysign": (lambda x: np.copysign(x, -1.0), [2.0, -3.0, 0.0], [-1.0, 1.0, 0.0]),
    "prod with a zero": (lambda x: np.prod(x), [0.0, 2.0, 3.0], [6.0, 0.0, 0.0]),
    "prod with two zeros": (lambda x: np.prod(x), [0.0, 0.0, 3.0], [0.0, 0.0, 0.0]),
    "cumprod with a zero": (lambda x: np.cumprod(x), [2.0, 0.0, 3.0], [1.0, 2.0 + 6.0, 0.0]),
    "nansum": (lambda x: np.nansum(x), [1.0, np.nan], [1.0, 0.0]),
    "nanmean": (lambda x: np.nanmean(x), [1.0, np.nan, 2.0], [0.5, 0.0, 0.5]),
    "nanmax": (lambda x: np.nanmax(x), [1.0, np.nan, 2.0], [0.0, 0.0, 1.0]),
    "nanprod": (lambda x: np.nanprod(x), [2.0, np.nan, 3.0], [3.0, 0.0, 2.0]),
    "nanvar": (lambda x: np.nanvar(x), [1.0, np.nan, 3.0], [-1.0, 0.0, 1.0]),
    "nan_to_num": (np.nan_to_num, [1.0, np.nan, np.inf], [1.0, 0.0, 0.0]),
    "median of an even number": (lambda x: np.median(x), [4.0, 1.0, 3.0, 9.0], [0.5, 0.0, 0.5, 0.0]),
    "percentile at a value": (lambda x: np.percentile(x, 50), [4.0, 1.0, 3.0], [0.0, 0.0, 1.0]),
    "linalg.norm at 0": (lambda x: np.linalg.norm(x), [0.0, 0.0], [0.0, 0.0]),
    "linalg.norm of order 3 at 0": (lambda x: np.linalg.norm(x, 3), [0.0, 0.0], [0.0, 0.0]),
    "largest magnitude, tied": (lambda x: np.linalg.norm(x, np.inf), [2.0, -2.0], [0.5, -0.5]),
    "hypot at 0, 0": (lambda x: np.hypot(x, x), [0.0], [0.0]),
    "x ** 0.5 at 0": (lambda x: x**0.5, [0.0, 4.0], [0.0, 0.25]),
    "norm as a power at 0": (lambda x: np.sum(x * x) ** 0.5, [0.0, 0.0], [0.0, 0.0]),
    "x ** y at 0": (lambda x: x ** np.array([0.5, 1.5, 0.0]), [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
    "var of one": (lambda x: np.var(x), [3.0], [0.0]),
    "quantile by its order, at a value": (
        lambda q: np.quantile(np.array([0.0, 1.0, 5.0]), q),
        [0.5, 0.25],
        [5.0, 2.0],
    ),
    "sort of equal values": (
        lambda x: np.sort(x) * np.array([1.0, 1.0, 2.0]),
        [5.0, 1.0, 1.0],
        [2.0, 1.0, 1.0],
    ),
}


@pytest.mark.parametrize("name", list(KINKS))
def test_where_no_derivative_exists_a_finite_one_is_taken(name: str) -> None:
    function, at, expected = KINKS[name]
    np.testing.assert_allclose(gradient(function, *at), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", list(KINKS))
def test_at_a_kink_modes_agree_to_second_order_and_are_finite(name: str) -> None:
    function, at, expected = KINKS[name]
    x, units = np.array(at), np.eye(len(at))

    def total(v: Any) -> Any:
        return rnp.sum(function(v))

    def slope(v: Any, d: Any) -> Any:
        return np.sum(grad(total)(v) * d)

    def along(v: Any, d: Any) -> Any:
        return jvp(total, (v,), (d,))[1]

    with np.errstate(all="raise"):
        np.testing.assert_allclose([along(x, d) for d in units], expected, rtol=1e-12, atol=1e-15)
        second = np.array([grad(lambda v, d=d: slope(v, d))(x) for d in units])
        assert np.all(np.isfinite(second))
        for first in (slope, along):
            forward = [
                [jvp(lambda v, d=d, first=first: first(v, d), (x,), (e,))[1] for e in units] for d in units
            ]
            np.testing.assert_allclose(np.array(forward, float), second, rtol=1e-9, atol=1e-12)
        reverse = np.array([grad(lambda v, d=d: along(v, d))(x) for d in units])
        np.testing.assert_allclose(reverse, second, rtol=1e-9, atol=1e-12)


MASKED = {
    "log": lambda x: np.where(x > 0, np.log(np.where(x > 0, x, 1)), 0),
    "log without a second mask": lambda x: np.where(x > 0, np.log(np.abs(x) + (x <= 0)), 0),
    "division": lambda x: np.where(x != 0, 1 / np.where(x != 0, x, 1), 0),
    "select": lambda x: np.select([x > 0, x <= 0], [np.log(np.where(x > 0, x, 1)), x * 0]),
}


@pytest.mark.parametrize("name", list(MASKED))
def test_the_branch_not_taken_leaves_no_nan(name: str) -> None:
    assert np.all(np.isfinite(gradient(MASKED[name], 0.0, 2.0, -1.0)))


def test_infinite_slopes_outside_the_choice_do_not_leak_into_the_taken_branch() -> None:
    def function(x: Any) -> Any:
        with np.errstate(divide="ignore"):
            return np.sum(np.where(x > 0, np.sqrt(np.abs(x)), -x))

    assert grad(function)(np.array([4.0, 0.0, -2.0])).tolist() == [0.25, -1.0, -1.0]


def test_infinities_in_logaddexp() -> None:
    weights = grad(lambda x: np.sum(np.logaddexp(x, 0.0)))(np.array([-np.inf, np.inf, 0.0, 800.0]))
    assert weights.tolist() == [0.0, 1.0, 0.5, 1.0]


# ----- higher order at the points where shortcuts fail ------------------------------------------------------


@pytest.mark.parametrize("values", [[0.0, 2.0, 3.0], [0.0, 0.0, 3.0], [0.0, 0.0, 0.0], [1.0, 2.0, 3.0]])
@pytest.mark.parametrize("product", ["prod", "cumprod"])
def test_second_derivatives_of_products_with_zeros(values: list, product: str) -> None:
    x = np.array(values)
    last = (lambda v: np.prod(v)) if product == "prod" else (lambda v: np.cumprod(v)[-1])
    hessian = [grad(lambda v, i=i: grad(last)(v)[i])(x) for i in range(3)]
    a, b, c = values
    assert np.allclose(hessian, [[0, c, b], [c, 0, a], [b, a, 0]])


def test_third_derivative_of_a_product_with_zeros() -> None:
    third = grad(lambda v: grad(lambda w: grad(lambda u: np.prod(u))(w)[0])(v)[1])(np.zeros(3))
    assert third.tolist() == [0.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("function", "at", "orders"),
    [
        (lambda x: x**3, 0.0, [0.0, 0.0, 6.0, 0.0]),
        (lambda x: x**2, 0.0, [0.0, 2.0, 0.0]),
        (lambda x: np.sinc(x), 0.0, [0.0, -(np.pi**2) / 3]),
        (lambda x: np.i0(x), 0.0, [0.0, 0.5, 0.0, 0.375]),
        (lambda x: np.tanh(x), 0.0, [1.0, 0.0, -2.0, 0.0]),
        (lambda x: np.maximum(x, 0) ** 2, 1.0, [2.0, 2.0, 0.0]),
        (lambda x: np.exp(2 * x), 0.0, [2.0, 4.0, 8.0, 16.0]),
        (lambda x: np.hypot(x, 3.0), 4.0, [0.8, 9 / 125]),
    ],
)
def test_orders_at_a_point(function: Any, at: float, orders: list) -> None:
    derivative = function
    for expected in orders:
        derivative = grad(derivative)
        assert derivative(at) == pytest.approx(expected, abs=1e-9)


# ----- conventions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble"])
@pytest.mark.parametrize(
    "name", ["exp", "tanh", "sqrt", "mean", "std", "max", "prod", "cumsum", "median", "diff", "cov"]
)
def test_the_gradient_has_the_dtype_of_the_argument(name: str, dtype: str) -> None:
    x = np.array([0.5, 1.0, 2.0], dtype)
    found = grad(lambda v: rnp.sum(getattr(rnp, name)(v) * 2))(x)
    assert found.dtype == x.dtype and found.shape == x.shape and np.all(np.isfinite(found))


def test_the_gradient_of_complex_values_is_the_transpose_without_conjugation() -> None:
    z = np.array([1 + 2j, -0.5 + 0.25j])
    assert np.allclose(grad(lambda v: np.sum(np.real(v)))(z), 1)
    assert np.allclose(grad(lambda v: np.sum(np.imag(v)))(z), -1j)
    assert np.allclose(grad(lambda v: np.sum(np.abs(v)))(z), np.conj(z) / np.abs(z))
    assert np.allclose(grad(lambda v: np.sum(np.abs(v) ** 2))(z), 2 * np.conj(z))
    assert np.allclose(grad(lambda v: np.sum(np.real(v * v * (2 - 1j))))(z), 2 * z * (2 - 1j))
    real = grad(lambda v: np.sum(np.real(v * (2 - 1j))))(np.ones(2))
    assert real.dtype == float and real.tolist() == [2.0, 2.0]


def test_abs_of_complex_zero() -> None:
    assert np.allclose(grad(lambda v: np.sum(np.abs(v)))(np.array([0j, 3 + 4j])), [0, 0.6 - 0.8j])


# ----- options and operands ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.sum(x, axis=(0, -1), keepdims=True),
        lambda x: np.sum(x, 1, "float32"),
        lambda x: np.sum(x, where=np.array([True, False]), initial=3.0),
        lambda x: np.mean(x, axis=-2, dtype="float64", keepdims=True),
        lambda x: np.var(x, axis=(0, 2), ddof=1),
        lambda x: np.std(x, 1, ddof=0.5, where=np.array([True, True])),
        lambda x: np.prod(x, axis=0, initial=2.0, where=np.array([[True], [False], [True]])),
        lambda x: np.max(x, axis=(1, 2), initial=-9.0, where=np.array([True, False])),
        lambda x: np.cumsum(x),
        lambda x: np.cumsum(x, -1, "float32"),
        lambda x: np.average(x, axis=1, weights=[1.0, 2.0, 3.0]),
        lambda x: np.average(x, axis=1, weights=np.array([1.0, 2.0, 3.0]), returned=True)[0],
        lambda x: np.quantile(x, [0.25, 0.5], axis=(0, 2), keepdims=True),
        lambda x: np.gradient(x, 0.5, axis=1),
        lambda x: np.gradient(x)[2],
        lambda x: getattr(np, "trapezoid", getattr(np, "trapz", None))(x, dx=0.5, axis=1),
        lambda x: np.diff(x, 2, axis=1, prepend=0.0),
        lambda x: np.clip(x, a_min=None, a_max=1.0),
        lambda x: np.add(x, 1.0, dtype="float64"),
        lambda x: np.multiply(x, x, casting="unsafe"),
        lambda x: np.logaddexp.outer(x[0, 0], x[1, 1]),
        lambda x: np.add.reduce(x, axis=None),
        lambda x: np.maximum.reduce(x),
        lambda x: np.multiply.accumulate(x, axis=1),
        lambda x: np.interp(x, [-3.0, 0.1, 3.0], [1.0, -1.0, 2.0]),
        lambda x: np.interp(0.3, [-3.0, 1.0, 3.0], x[0, :, 0]),
        lambda x: np.histogram(x, bins=4, density=True)[0],
        lambda x: np.corrcoef(x[:, :, 0], rowvar=False),
        lambda x: np.piecewise(x, [x < 0, x > 1], [np.sin, 2.0, lambda v: v * v]),
        lambda x: np.divmod(x, 0.7)[1],
        lambda x: np.frexp(x)[0],
        lambda x: np.ldexp(x, 3),
    ],
)
def test_options(call: Any) -> None:
    x = np.random.default_rng(5).uniform(-2, 2, (2, 3, 2))

    def loss(function: Any) -> Any:
        def run(v: Any) -> Any:
            out = function(v)
            return np.sum(out * np.cos(np.arange(np.size(out)).reshape(np.shape(out))))

        return run

    value, found = value_and_grad(loss(call))(x)
    assert np.allclose(value, loss(call)(x))
    direction = np.random.default_rng(6).uniform(-1, 1, x.shape)
    step = 1e-6
    slope = (loss(call)(x + step * direction) - loss(call)(x - step * direction)) / (2 * step)
    tolerance = 0.2 if "float32" in str(call.__code__.co_consts) else 1e-6
    assert abs(np.sum(found * direction) - slope) < tolerance * (1 + abs(slope))


def test_numbers_lists_and_zero_dimensional_arrays_as_operands() -> None:
    assert grad(lambda x: x * 3 + 2**x)(2.0) == pytest.approx(3 + 4 * np.log(2))
    assert grad(lambda x: np.sum(x * [1.0, 2.0]))(np.float64(3.0)) == 3.0
    assert grad(lambda x: np.sum(np.add([1.0, 2.0], x)))(np.array(3.0)) == 2.0
    assert grad(lambda x: rnp.sum(rnp.multiply([x, 2.0], [[1.0], [3.0]])))(5.0) == 4.0
    assert grad(lambda x: rnp.mean([x, x * x]))(3.0) == 3.5
    assert grad(lambda x: rnp.max([x, 2 * x, 1.0]))(3.0) == 2.0
    zero_d = grad(lambda x: x * 2)(np.array(3.0))
    assert isinstance(zero_d, np.ndarray) and zero_d.shape == () and zero_d == 2.0
    assert type(grad(lambda x: x * 2)(3.0)) is np.float64


def test_broadcast_operands_receive_the_sum() -> None:
    a, b = np.ones((3, 1)), np.ones((2, 1, 4))
    for f in (np.add, np.multiply, np.divide, np.maximum, np.power, np.arctan2, np.hypot, np.logaddexp):
        left, right = grad(lambda x, y, f=f: np.sum(f(x, y)), (0, 1))(a, b)
        assert left.shape == a.shape and right.shape == b.shape
        along = grad(lambda t, f=f: np.sum(f(a * t, b * t)))(1.0)
        assert np.allclose(left.sum() + right.sum(), along)


def test_empty_arrays() -> None:
    for function in (np.sum, np.exp, np.cumsum, np.prod, np.sort, np.diff):
        assert grad(lambda x, f=function: np.sum(f(x)))(np.zeros((0,))).shape == (0,)
    assert grad(lambda x: np.sum(np.sum(x, axis=0)))(np.zeros((0, 3))).shape == (0, 3)


# ----- errors -----------------------------------------------------------------------------------------------

NO_RULE = [
    name
    for name, row in ROWS.items()
    if row.vjp is None and not row.flat and row.compose is None and row.writes is None and not row.geometry
]


@pytest.mark.parametrize("name", NO_RULE)
def test_a_primitive_without_a_rule_is_right_or_an_error_with_the_line(name: str) -> None:
    # Right without a rule: views, and results that do not depend on the operand's values.
    row = ROWS[name]
    for args, kwargs in row.samples(np.random.default_rng(0), np.dtype("float64")):
        for i, operand in enumerate(args):
            if type(operand) is not np.ndarray or operand.dtype != float or not operand.size:
                continue

            def total(
                x: Any, call: Any = row.function, args: Any = args, kwargs: Any = kwargs, i: int = i
            ) -> Any:
                if row.family == "random":
                    np.random.seed(3)
                out = call(*args[:i], x, *args[i + 1 :], **kwargs)
                return rnp.sum(out[0] if isinstance(out, tuple) else out)

            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    slope = (total(operand + 1e-6) - total(operand - 1e-6)) / 2e-6
                except Exception:
                    continue  # NumPy refuses the sample
                try:
                    found = grad(lambda x, total=total: total(x, driver.routed(row)))(operand)
                except (TraceError, GradientError) as error:
                    assert 'test_derivative_rules.py", line' in str(error)
                    assert "stop_gradient" in str(error) or "Make the array" in str(error)
                    continue
            assert np.sum(found) == pytest.approx(slope, rel=1e-5, abs=1e-5)


def test_where_without_out_is_refused() -> None:
    with pytest.raises(TraceError, match=r"np\.where"):
        grad(lambda x: np.sum(np.exp(x, where=x > 0)))(np.ones(3))


def test_the_deviation_of_equal_numbers_does_not_move_with_them() -> None:
    for value in np.linspace(0.1, 0.9, 30):
        assert abs(grad(lambda t: np.std(np.full(7, 1.0) * np.tanh(0.4 * t)))(value)) < 1e-12


@pytest.mark.parametrize("holds", [True, False])
@pytest.mark.parametrize("dtype", ["f", "d", ">d", "F", "e"])
@pytest.mark.parametrize("shape", [(5,), (4096,), (64, 64)])
def test_a_choice_is_the_one_of_numpy_to_the_bit(shape: tuple, dtype: str, holds: bool) -> None:
    """What is left out is zero whatever it is, and the rest is as it was: bits are put together, no products."""
    rng = np.random.default_rng(3)
    g = rng.normal(size=shape).astype(dtype)
    g.ravel()[:4] = [np.inf, np.nan, -0.0, -np.inf]
    mask = rng.normal(size=shape) > 0
    for each, chosen in ((g, mask), (g.T, mask.T), (g[::-1], mask), (g, mask[:1])):
        expected = np.where(chosen, each, 0) if holds else np.where(chosen, 0, each)
        found = where_holds(chosen, each, holds)
        assert found.dtype == expected.dtype and found.tobytes() == expected.tobytes()
