"""Comparisons, predicates, logic, bits and rounding: piecewise constant, so their derivatives are zero."""

from __future__ import annotations

import numpy as np

from minpy.runtime.primitives.kernels import ANY, binary_limits, comparison, no_bool, unary, unary_limits
from minpy.runtime.primitives.rules import one
from minpy.runtime.primitives.samples import array
from minpy.runtime.primitives.samples import binary as pairs
from minpy.runtime.primitives.samples import unary as values
from minpy.runtime.primitives.table import BOOL, Kernel, alias, row


def _bits(operator):
    """A kernel for boolean operands: MXNet has no integer bit operations."""
    return Kernel(
        lambda F, x, y: getattr(F, operator)(no_bool(x), no_bool(y)).astype("bool"),
        BOOL,
        binary_limits,
        cast=True,
    )


def _logical(operator):
    # No cast to the common dtype: each operand's own truth counts.
    return Kernel(
        lambda F, x, y: getattr(F, operator)(
            x.astype("bool").astype("uint8") if hasattr(x, "astype") else int(bool(x)),
            y.astype("bool").astype("uint8") if hasattr(y, "astype") else int(bool(y)),
        ).astype("bool"),
        ANY,
        _logical_limits,
    )


def _logical_limits(x, y, *rest, **kwargs):
    for operand in (x, y):
        if not isinstance(operand, np.ndarray) or not operand.ndim:
            return "an operand is a single number: NumPy's work"
    return binary_limits(x, y, *rest, **kwargs)


def _shifts(rng, dtype):
    yield (array(rng, dtype, 3, 4), np.abs(array(rng, dtype, 4, low=0, high=2))), {}
    yield (array(rng, dtype, 3), 1), {}
    yield (np.array(5, dtype), np.array([1, 2], dtype)), {}


# ----- comparisons ------------------------------------------------------------------------------------------

for _name, _operator in {
    "equal": "equal", "not_equal": "not_equal", "greater": "greater", "greater_equal": "greater_equal",
    "less": "lesser", "less_equal": "lesser_equal",
}.items():  # fmt: skip
    row(_name, cost="arith", flat=True, mxnet=comparison(_operator), samples=pairs())

# ----- predicates of one operand ----------------------------------------------------------------------------

# In arithmetic alone: MXNet reads its own "inf" as out of range where the C library's last error was such.
for _name, _predicate in {
    "isnan": lambda F, x: x != x,
    "isinf": lambda F, x: (x == x) * (x - x != 0),
    "isfinite": lambda F, x: x - x == 0,
}.items():
    row(
        _name,
        cost="arith",
        flat=True,
        mxnet=unary(lambda F, x, predicate=_predicate: predicate(F, x).astype("bool")),
        samples=values(),
    )
for _name in ("signbit", "isneginf", "isposinf", "isreal", "iscomplex", "isnat"):
    row(_name, cost="arith", flat=True, samples=values())

# ----- logic ------------------------------------------------------------------------------------------------

for _name in ("logical_and", "logical_or", "logical_xor"):
    row(_name, cost="arith", flat=True, mxnet=_logical(_name), samples=pairs())
row(
    "logical_not",
    cost="arith",
    flat=True,
    mxnet=Kernel(lambda F, x: F.logical_not(no_bool(x)).astype("bool"), ANY, unary_limits),
    samples=values(),
)

# ----- bits and whole numbers -------------------------------------------------------------------------------

row("bitwise_and", cost="arith", flat=True, mxnet=_bits("logical_and"), samples=pairs())
row("bitwise_or", cost="arith", flat=True, mxnet=_bits("logical_or"), samples=pairs())
row("bitwise_xor", cost="arith", flat=True, mxnet=_bits("logical_xor"), samples=pairs())
row(
    "invert",
    cost="arith",
    flat=True,
    mxnet=unary(lambda F, x: F.logical_not(no_bool(x)).astype("bool"), BOOL),
    samples=values(),
)
row("left_shift", cost="arith", flat=True, samples=_shifts)
row("right_shift", cost="arith", flat=True, samples=_shifts)
row("bitwise_count", cost="arith", flat=True, samples=values())
row("gcd", cost="arith", flat=True, samples=pairs())
row("lcm", cost="arith", flat=True, samples=pairs(specials=False))
for _name, _same in {
    "bitwise_not": "invert", "bitwise_invert": "invert",
    "bitwise_left_shift": "left_shift", "bitwise_right_shift": "right_shift",
}.items():  # fmt: skip
    alias(_name, _same)

# ----- rounding and signs -----------------------------------------------------------------------------------

for _name in ("floor", "ceil", "trunc"):
    row(_name, cost="arith", flat=True, mxnet=unary(_name), samples=values())
row("fix", cost="arith", flat=True, mxnet=unary("fix"), samples=values())
row("rint", cost="arith", flat=True, mxnet="MXNet rounds halves away from zero", samples=values())
row(
    "sign",
    cost="arith",
    flat=True,
    # MXNet's sign of NaN is 0.
    mxnet=unary(lambda F, x: F.where(x == x, F.sign(x), x)),
    samples=values(),
)
row("spacing", cost="arith", flat=True, samples=values())


def _decimals(rng, dtype):
    yield from values()(rng, dtype)
    yield (array(rng, dtype, 3, 4), 2), {}
    yield (array(rng, dtype, 3, 4),), {"decimals": 1}
    yield (array(rng, dtype, 4, low=-300, high=300), -1), {}


for _name in ("round", "around", "round_"):
    row(
        _name,
        cost="arith",
        flat=True,
        # Whole numbers are not copied.
        view=lambda x, *rest, **kwargs: x.dtype.kind in "biu",
        mxnet="MXNet rounds halves away from zero",
        samples=_decimals,
    )
row(
    "real_if_close",
    # Of a complex array the contents say what the result is.
    view=lambda x, *tol, **kwargs: not np.iscomplexobj(x),
    cost="arith",
    vjp=one(lambda g, a, x: g),
    samples=values(),
)
