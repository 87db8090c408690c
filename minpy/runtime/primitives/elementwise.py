"""Element-wise arithmetic and transcendental functions."""

from __future__ import annotations

import math

import numpy as np

from minpy.runtime.primitives.kernels import ARITHMETIC, binary, real_function, unary
from minpy.runtime.primitives.rules import divide, nothing, one, tied, two
from minpy.runtime.primitives.samples import binary as pairs
from minpy.runtime.primitives.samples import unary as values
from minpy.runtime.primitives.table import FLOATS, alias, row

# ----- rules that are more than a product -------------------------------------------------------------------


def _magnitude(g, ans, x):
    if np.iscomplexobj(x):
        return divide(g * np.conj(x), ans)
    return g * np.sign(x)


def _power_base(g, ans, x, y):
    if isinstance(y, (int, float)):
        if y == 0:
            return 0 * g
        if 0 < y < 1:  # as sqrt: 0 where the slope is unbounded
            flat = x == 0
            return g * np.where(flat, 0, y * np.where(flat, 1, x) ** (y - 1))
        if y == 2:
            return g * (x + x)
        return g if y == 1 else g * (y * x ** (y - 1))
    zero = y == 0
    flat = zero if np.iscomplexobj(y) else np.logical_or(zero, (x == 0) & (y > 0) & (y < 1))
    return g * np.where(flat, 0, y * np.where(flat, 1, x) ** np.where(zero, 1, y - 1))


def _power_exponent(g, ans, x, y):
    zero = x == 0
    return g * np.where(zero, 0, ans * np.log(np.where(zero, 1, x)))


def _share_of_sum(ans, x):
    # Where x is (nearly) all of the result, also if both are infinite.
    return np.where(x == ans, 0, x - ans)


def _heaviside_value(g, ans, x, h):
    return np.where(x == 0, g, 0)


def _sinc_slope(g, ans, x):
    small = np.abs(x) < 1e-3
    safe = np.where(small, 1, x)
    square = (math.pi * x) ** 2
    series = -(math.pi**2 / 3) * x * (1 - square / 10)
    return g * np.where(small, series, (np.cos(math.pi * safe) - np.sinc(safe)) / safe)


_ANGLES = np.cos(math.pi * (np.arange(128) + 0.5) / 128)


def _i0_slope(g, ans, x):
    # I1(x) is the mean over theta of exp(x cos(theta)) cos(theta); the midpoint rule converges exponentially
    # for a periodic function.
    x = np.reshape(x, (*np.shape(x), 1))
    return g * np.mean(np.exp(x * _ANGLES) * _ANGLES, axis=-1)


def _remainder_divisor(g, ans, x, y):
    return -g * np.floor_divide(x, y)


def _hypot(F, x, y):
    if hasattr(x, "shape") and hasattr(y, "shape"):
        return F.broadcast_hypot(x, y)
    handle, number = (x, y) if hasattr(x, "shape") else (y, x)
    return F._internal._hypot_scalar(handle, scalar=number)


# ----- arithmetic -------------------------------------------------------------------------------------------

row(
    "add",
    cost="arith",
    mxnet=binary("add"),
    vjp=two(lambda g, a, x, y: g, lambda g, a, x, y: g),
    samples=pairs(),
)
row(
    "subtract",
    cost="arith",
    mxnet=binary("subtract"),
    vjp=two(lambda g, a, x, y: g, lambda g, a, x, y: -g),
    samples=pairs(),
)
row(
    "multiply",
    cost="arith",
    mxnet=binary("multiply"),
    vjp=two(lambda g, a, x, y: g * y, lambda g, a, x, y: g * x),
    samples=pairs(),
)
row(
    "divide",
    cost="arith",
    mxnet=binary("divide", FLOATS),
    vjp=two(lambda g, a, x, y: g / y, lambda g, a, x, y: -g * a / y),
    samples=pairs(),
)
alias("true_divide", "divide")
row(
    "negative",
    cost="arith",
    mxnet=unary("negative", ARITHMETIC),
    vjp=one(lambda g, a, x: -g),
    samples=values(),
)
row(
    "positive",
    cost="arith",
    vjp=one(lambda g, a, x: g),
    mxnet="a copy: NumPy makes it as fast",
    samples=values(),
)
row(
    "absolute",
    cost="arith",
    mxnet=unary("abs", ARITHMETIC - {"int64"}),
    vjp=one(_magnitude),
    samples=values(),
)
row("fabs", cost="arith", mxnet=unary("abs"), vjp=one(_magnitude), samples=values())
row(
    "square",
    cost="arith",
    mxnet=unary(lambda F, x: F.multiply(x, x), ARITHMETIC),
    vjp=one(lambda g, a, x: 2 * g * x),
    samples=values(),
)
row(
    "reciprocal",
    cost="arith",
    mxnet=unary("reciprocal"),
    vjp=one(lambda g, a, x: -g * a * a),
    samples=values(),
)
row(
    "power",
    cost="transcendental",
    mxnet=binary("power", FLOATS),
    vjp=two(_power_base, _power_exponent),
    samples=pairs(0.2, 3.0, (0.0, 3.0)),
)
row(
    "float_power",
    cost="transcendental",
    vjp=two(_power_base, _power_exponent),
    samples=pairs(0.2, 3.0, (0.0, 3.0)),
)
row(
    "maximum",
    cost="arith",
    mxnet=binary("maximum"),
    vjp=two(tied, lambda g, a, x, y: tied(g, a, y, x)),
    samples=pairs(),
)
row(
    "minimum",
    cost="arith",
    mxnet=binary("minimum"),
    vjp=two(tied, lambda g, a, x, y: tied(g, a, y, x)),
    samples=pairs(),
)
row("fmax", cost="arith", vjp=two(tied, lambda g, a, x, y: tied(g, a, y, x)), samples=pairs())
row("fmin", cost="arith", vjp=two(tied, lambda g, a, x, y: tied(g, a, y, x)), samples=pairs())
row("floor_divide", cost="arith", flat=True, samples=pairs())
row(
    "remainder",
    cost="arith",
    mxnet="MXNet differs for a zero divisor and for signed zeros",
    vjp=two(lambda g, a, x, y: g, _remainder_divisor),
    samples=pairs(),
)
alias("mod", "remainder")
row(
    "fmod",
    cost="arith",
    vjp=two(lambda g, a, x, y: g, lambda g, a, x, y: -g * np.trunc(x / y)),
    samples=pairs(),
)
row(
    "divmod",
    cost="arith",
    vjp=two(lambda g, a, x, y: g[1], lambda g, a, x, y: _remainder_divisor(g[1], a, x, y)),
    samples=pairs(),
)
row(
    "copysign",
    cost="arith",
    vjp=two(lambda g, a, x, y: g * np.sign(x) * np.copysign(1, y), nothing),
    samples=pairs(),
)
row("heaviside", cost="arith", vjp=two(nothing, _heaviside_value), samples=pairs())
row("nextafter", cost="arith", vjp=two(lambda g, a, x, y: g, nothing), samples=pairs())
row("ldexp", cost="arith", vjp=two(lambda g, a, x, y: np.ldexp(g, y), None), samples=pairs())
row("frexp", cost="arith", vjp=one(lambda g, a, x: np.ldexp(g[0], -a[1])), samples=values())
row("modf", cost="arith", vjp=one(lambda g, a, x: g[0]), samples=values())

# ----- exponentials and logarithms --------------------------------------------------------------------------

row(
    "exp", cost="transcendental", mxnet=real_function("exp"), vjp=one(lambda g, a, x: g * a), samples=values()
)
row(
    "exp2",
    cost="transcendental",
    mxnet=unary(lambda F, x: F.power(2.0, x)),
    vjp=one(lambda g, a, x: g * a * math.log(2)),
    samples=values(),
)
row(
    "expm1",
    cost="transcendental",
    mxnet=real_function("expm1"),
    vjp=one(lambda g, a, x: g * (a + 1)),
    samples=values(),
)
row(
    "log",
    cost="transcendental",
    mxnet=real_function("log"),
    vjp=one(lambda g, a, x: g / x),
    samples=values(0.1, 3.0),
)
row(
    "log2",
    cost="transcendental",
    mxnet=real_function("log2"),
    vjp=one(lambda g, a, x: g / (x * math.log(2))),
    samples=values(0.1, 3.0),
)
row(
    "log10",
    cost="transcendental",
    mxnet=real_function("log10"),
    vjp=one(lambda g, a, x: g / (x * math.log(10))),
    samples=values(0.1, 3.0),
)
row(
    "log1p",
    cost="transcendental",
    mxnet=real_function("log1p"),
    vjp=one(lambda g, a, x: g / (1 + x)),
    samples=values(-0.8, 3.0),
)
row(
    "logaddexp",
    cost="transcendental",
    vjp=two(
        lambda g, a, x, y: g * np.exp(_share_of_sum(a, x)), lambda g, a, x, y: g * np.exp(_share_of_sum(a, y))
    ),
    samples=pairs(),
)
row(
    "logaddexp2",
    cost="transcendental",
    vjp=two(
        lambda g, a, x, y: g * np.exp2(_share_of_sum(a, x)),
        lambda g, a, x, y: g * np.exp2(_share_of_sum(a, y)),
    ),
    samples=pairs(),
)
row(
    "sqrt",
    cost="transcendental",
    mxnet=real_function("sqrt"),
    vjp=one(lambda g, a, x: divide(0.5 * g, a)),
    samples=values(0.0, 3.0),
)
row(
    "cbrt",
    cost="transcendental",
    mxnet=real_function("cbrt"),
    vjp=one(lambda g, a, x: divide(g, 3 * a * a)),
    samples=values(),
)

# ----- trigonometric and hyperbolic -------------------------------------------------------------------------

row(
    "sin",
    cost="transcendental",
    mxnet=real_function("sin"),
    vjp=one(lambda g, a, x: g * np.cos(x)),
    samples=values(),
)
row(
    "cos",
    cost="transcendental",
    mxnet=real_function("cos"),
    vjp=one(lambda g, a, x: -g * np.sin(x)),
    samples=values(),
)
row(
    "tan",
    cost="transcendental",
    mxnet=real_function("tan"),
    vjp=one(lambda g, a, x: g * (1 + a * a)),
    samples=values(-1.2, 1.2),
)
row(
    "arcsin",
    cost="transcendental",
    mxnet=real_function("arcsin"),
    vjp=one(lambda g, a, x: divide(g, np.sqrt(1 - x * x))),
    samples=values(-0.9, 0.9),
)
row(
    "arccos",
    cost="transcendental",
    mxnet=real_function("arccos"),
    vjp=one(lambda g, a, x: divide(-g, np.sqrt(1 - x * x))),
    samples=values(-0.9, 0.9),
)
row(
    "arctan",
    cost="transcendental",
    mxnet=real_function("arctan"),
    vjp=one(lambda g, a, x: g / (1 + x * x)),
    samples=values(),
)
row(
    "arctan2",
    cost="transcendental",
    vjp=two(
        lambda g, a, y, x: divide(g * x, x * x + y * y), lambda g, a, y, x: divide(-g * y, x * x + y * y)
    ),
    samples=pairs(),
)
row(
    "hypot",
    cost="arith",
    mxnet=binary(_hypot, FLOATS),
    vjp=two(lambda g, a, x, y: divide(g * x, a), lambda g, a, x, y: divide(g * y, a)),
    samples=pairs(),
)
row(
    "sinh",
    cost="transcendental",
    mxnet=real_function("sinh"),
    vjp=one(lambda g, a, x: g * np.cosh(x)),
    samples=values(),
)
row(
    "cosh",
    cost="transcendental",
    mxnet=real_function("cosh"),
    vjp=one(lambda g, a, x: g * np.sinh(x)),
    samples=values(),
)
row(
    "tanh",
    cost="transcendental",
    mxnet=real_function("tanh"),
    vjp=one(lambda g, a, x: g * (1 - a * a)),
    samples=values(),
)
row(
    "arcsinh",
    cost="transcendental",
    mxnet=real_function("arcsinh"),
    vjp=one(lambda g, a, x: g / np.sqrt(1 + x * x)),
    samples=values(),
)
row(
    "arccosh",
    cost="transcendental",
    mxnet=real_function("arccosh"),
    vjp=one(lambda g, a, x: divide(g, np.sqrt(x - 1) * np.sqrt(x + 1))),
    samples=values(1.1, 4.0),
)
row(
    "arctanh",
    cost="transcendental",
    mxnet=real_function("arctanh"),
    vjp=one(lambda g, a, x: g / (1 - x * x)),
    samples=values(-0.9, 0.9),
)
for _name in ("degrees", "rad2deg"):
    row(
        _name,
        cost="arith",
        mxnet=unary(lambda F, x: F.multiply(x, 180 / math.pi)),
        vjp=one(lambda g, a, x: g * (180 / math.pi)),
        samples=values(),
    )
for _name in ("radians", "deg2rad"):
    row(
        _name,
        cost="arith",
        mxnet=unary(lambda F, x: F.multiply(x, math.pi / 180)),
        vjp=one(lambda g, a, x: g * (math.pi / 180)),
        samples=values(),
    )
row("sinc", cost="transcendental", vjp=one(_sinc_slope), samples=values(specials=False))
row("i0", cost="transcendental", vjp=one(_i0_slope), samples=values())

# ----- complex numbers --------------------------------------------------------------------------------------

row(
    "conjugate",
    cost="arith",
    vjp=one(lambda g, a, x: np.conj(g)),
    mxnet="real in all dtypes of MXNet: a copy",
    samples=values(),
)
row("real", view=True, cost="free", vjp=one(lambda g, a, x: g), mxnet="a view", samples=values())
row(
    "imag",
    view=True,
    cost="free",
    vjp=one(lambda g, a, x: -1j * g if np.iscomplexobj(x) else 0 * g),
    mxnet="a view",
    samples=values(),
)
row(
    "angle",
    cost="transcendental",
    vjp=(
        lambda g, a, z, deg=False: (
            (-1j * g / z if np.iscomplexobj(z) else 0 * g) * (180 / math.pi if deg else 1)
        ),
    ),
    samples=values(),
)

# ----- names of the same functions --------------------------------------------------------------------------

for _name, _same in {
    "abs": "absolute", "conj": "conjugate", "pow": "power", "acos": "arccos", "acosh": "arccosh",
    "asin": "arcsin", "asinh": "arcsinh", "atan": "arctan", "atanh": "arctanh", "atan2": "arctan2",
}.items():  # fmt: skip
    alias(_name, _same)
