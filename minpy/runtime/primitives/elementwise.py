"""Element-wise primitives."""

from __future__ import annotations

import numpy as np

from minpy.runtime.primitives.table import FLOATS, INTS, Kernel, row

_ARITH = FLOATS | INTS

row(
    "add",
    cost="arith",
    mxnet=Kernel(lambda F, x, y: F.add(x, y), _ARITH, cast=True),
    vjp=(lambda g, ans, x, y: g, lambda g, ans, x, y: g),
)
row(
    "subtract",
    cost="arith",
    mxnet=Kernel(lambda F, x, y: F.subtract(x, y), _ARITH, cast=True),
    vjp=(lambda g, ans, x, y: g, lambda g, ans, x, y: -g),
)
row(
    "multiply",
    cost="arith",
    mxnet=Kernel(lambda F, x, y: F.multiply(x, y), _ARITH, cast=True),
    vjp=(lambda g, ans, x, y: g * y, lambda g, ans, x, y: g * x),
)
row("exp", cost="transcendental", mxnet=Kernel(lambda F, x: F.exp(x)), vjp=(lambda g, ans, x: g * ans,))
row("sin", cost="transcendental", mxnet=Kernel(lambda F, x: F.sin(x)), vjp=(lambda g, ans, x: g * np.cos(x),))
row(
    "cos", cost="transcendental", mxnet=Kernel(lambda F, x: F.cos(x)), vjp=(lambda g, ans, x: -g * np.sin(x),)
)
row("negative", cost="arith", mxnet=Kernel(lambda F, x: F.negative(x)), vjp=(lambda g, ans, x: -g,))
row("greater_equal", cost="arith", flat=True)
row("logaddexp", cost="transcendental")
for _name in "divide floor_divide remainder power matmul bitwise_and bitwise_or bitwise_xor left_shift right_shift equal not_equal less less_equal greater positive invert absolute".split():
    row(_name)
