"""Differences, integrals, products of vectors and convolutions."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from minpy.runtime.primitives.rules import NO_VALUE, axes_of, derived
from minpy.runtime.primitives.samples import array
from minpy.runtime.primitives.table import row

row = functools.partial(row, joins=1)

# ----- differences ------------------------------------------------------------------------------------------


def _diff(a, n=1, axis=-1, prepend=NO_VALUE, append=NO_VALUE):
    ndim = np.ndim(a)
    axis = axis % ndim
    parts = [a]
    for extra, place in ((prepend, 0), (append, len(parts))):
        if extra is NO_VALUE:
            continue
        if np.ndim(extra) == 0:
            shape = list(np.shape(a))
            shape[axis] = 1
            extra = np.broadcast_to(extra, tuple(shape))
        parts.insert(0 if place == 0 else len(parts), extra)
    if len(parts) > 1:
        a = np.concatenate(parts, axis=axis)
    ahead = (slice(None),) * axis + (slice(1, None),)
    behind = (slice(None),) * axis + (slice(None, -1),)
    for _ in range(n):
        a = a[ahead] - a[behind]
    return a


def _diff_samples(rng, dtype):
    x = array(rng, dtype, 4, 5)
    yield (x,), {}
    yield (x, 2), {}
    yield (x, 1, 0), {}
    yield (x,), {"n": 3, "axis": -2}
    yield (x,), {"n": 0}
    yield (x, 1, -1, array(rng, dtype, 4, 1)), {}
    yield (x, 1, 0, 1, array(rng, dtype, 2, 5)), {}
    yield (array(rng, dtype, 6),), {}
    yield (array(rng, dtype, 1),), {}
    yield (array(rng, dtype),), {}


row(
    "diff",
    cost="arith",
    view=lambda a, n=1, *rest, **kwargs: n == 0,
    vjp=derived(_diff, 0, 3, 4),
    samples=_diff_samples,
)


def _ediff1d(ary, to_end=None, to_begin=None):
    flat = np.reshape(ary, (-1,))
    parts = [flat[1:] - flat[:-1]]
    if to_begin is not None:
        parts.insert(0, np.reshape(to_begin, (-1,)))
    if to_end is not None:
        parts.append(np.reshape(to_end, (-1,)))
    return np.concatenate(parts) if len(parts) > 1 else parts[0]


def _ediff1d_samples(rng, dtype):
    yield (array(rng, dtype, 6),), {}
    yield (array(rng, dtype, 2, 3), array(rng, dtype, 2), array(rng, dtype, 1)), {}


row("ediff1d", cost="arith", vjp=derived(_ediff1d), samples=_ediff1d_samples)


def _gradient(f, *varargs, axis=None, edge_order=1):
    axes = axes_of(axis, np.ndim(f))
    steps = varargs * len(axes) if len(varargs) == 1 else varargs or (1.0,) * len(axes)
    parts = [_along(f, a, h, edge_order) for a, h in zip(axes, steps, strict=True)]
    return parts[0] if len(axes) == 1 else parts


def _along(f, axis, spacing, edge_order):
    f = np.moveaxis(f, axis, -1)
    steps = np.diff(spacing) if np.ndim(spacing) else spacing
    uneven = bool(np.ndim(steps)) and not np.all(np.asarray(steps == steps[0]))
    if np.ndim(steps) and not uneven:
        steps = steps[0]
    if not uneven:
        inner = (f[..., 2:] - f[..., :-2]) / (2.0 * steps)
        first_step = last_step = steps
        near, far = (-1.5 / steps, 2.0 / steps, -0.5 / steps), (0.5 / steps, -2.0 / steps, 1.5 / steps)
    else:
        d1, d2 = steps[:-1], steps[1:]
        inner = (
            -d2 / (d1 * (d1 + d2)) * f[..., :-2]
            + (d2 - d1) / (d1 * d2) * f[..., 1:-1]
            + d1 / (d2 * (d1 + d2)) * f[..., 2:]
        )
        first_step, last_step = steps[0], steps[-1]
        if edge_order == 2:
            a, b = steps[0], steps[1]
            near = (-(2.0 * a + b) / (a * (a + b)), (a + b) / (a * b), -a / (b * (a + b)))
            a, b = steps[-2], steps[-1]
            far = (b / (a * (a + b)), -(b + a) / (a * b), (2.0 * b + a) / (b * (a + b)))
    if edge_order == 1:
        first = (f[..., 1:2] - f[..., :1]) / first_step
        last = (f[..., -1:] - f[..., -2:-1]) / last_step
    else:
        first = near[0] * f[..., :1] + near[1] * f[..., 1:2] + near[2] * f[..., 2:3]
        last = far[0] * f[..., -3:-2] + far[1] * f[..., -2:-1] + far[2] * f[..., -1:]
    return np.moveaxis(np.concatenate([first, inner, last], axis=-1), -1, axis)


def _gradient_samples(rng, dtype):
    x = array(rng, dtype, 4, 5)
    yield (x,), {}
    yield (x,), {"axis": 0}
    yield (x, 2.0), {}
    yield (x, 0.5, 2.0), {"edge_order": 2}
    yield (x, np.array([0.0, 1.0, 1.5, 4.0]), 2.0), {}
    yield (x, np.array([0.0, 1.0, 1.5, 4.0])), {"axis": 0, "edge_order": 2}
    yield (x, np.array([0.0, 1.0, 2.0, 3.0, 4.0])), {"axis": -1}
    yield (array(rng, dtype, 6),), {"edge_order": 2}


row("gradient", cost="arith", vjp=derived(_gradient, 0), samples=_gradient_samples)


def _trapezoid(y, x=None, dx=1.0, axis=-1):
    axis = axis % np.ndim(y)
    if x is None:
        d = dx
    else:
        x = np.asarray(x) if type(x) in (list, tuple) else x
        if np.ndim(x) == 1:
            d = x[1:] - x[:-1]
            d = np.reshape(d, (*((1,) * axis), -1, *((1,) * (np.ndim(y) - axis - 1))))
        else:
            d = _diff(x, axis=axis)
    ahead = (slice(None),) * axis + (slice(1, None),)
    behind = (slice(None),) * axis + (slice(None, -1),)
    return np.sum(d * (y[ahead] + y[behind]) / 2.0, axis=axis)


def _trapezoid_samples(rng, dtype):
    y = array(rng, dtype, 4, 5)
    yield (y,), {}
    yield (y, None, 0.5), {}
    yield (y, np.array([0.0, 1.0, 1.5, 4.0, 6.0])), {}
    yield (y, array(rng, "float64", 4, 5)), {"axis": 0}
    yield (array(rng, dtype, 6),), {"dx": 2.0}
    yield (y.tolist(),), {}


for _name in ("trapz", "trapezoid"):
    row(_name, joins=2, cost="reduce", vjp=derived(_trapezoid, 0, 1), samples=_trapezoid_samples)

# ----- vectors ----------------------------------------------------------------------------------------------


def _cross(a, b, axisa=-1, axisb=-1, axisc=-1, axis=None):
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = np.moveaxis(a, axisa, -1), np.moveaxis(b, axisb, -1)
    a0, a1, b0, b1 = a[..., 0], a[..., 1], b[..., 0], b[..., 1]
    if np.shape(a)[-1] == 2 and np.shape(b)[-1] == 2:
        return a0 * b1 - a1 * b0
    if np.shape(a)[-1] == 2:
        b2 = b[..., 2]
        parts = [a1 * b2, -a0 * b2, a0 * b1 - a1 * b0]
    elif np.shape(b)[-1] == 2:
        a2 = a[..., 2]
        parts = [-a2 * b1, a2 * b0, a0 * b1 - a1 * b0]
    else:
        a2, b2 = a[..., 2], b[..., 2]
        parts = [a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0]
    return np.moveaxis(np.stack(parts, axis=-1), -1, axisc)


def _cross_samples(rng, dtype):
    yield (array(rng, dtype, 3), array(rng, dtype, 3)), {}
    yield (array(rng, dtype, 4, 3), array(rng, dtype, 3)), {}
    yield (array(rng, dtype, 3, 4), array(rng, dtype, 3, 4)), {"axis": 0}
    yield (array(rng, dtype, 4, 2), array(rng, dtype, 4, 3)), {}
    yield (array(rng, dtype, 4, 3), array(rng, dtype, 2)), {}
    yield (array(rng, dtype, 4, 2), array(rng, dtype, 4, 2)), {}
    yield (array(rng, dtype, 3, 4), array(rng, dtype, 4, 3)), {"axisa": 0, "axisc": 0}


row("cross", joins=2, cost="arith", vjp=derived(_cross, 0, 1), samples=_cross_samples)


def _mode(mode: Any) -> str:
    return {"v": "valid", "s": "same", "f": "full", 0: "valid", 1: "same", 2: "full"}.get(
        mode if isinstance(mode, int) else str(mode)[:1].lower(), str(mode)
    )


def _start(n, m, mode):
    """How many elements of the full convolution of lengths `n` >= `m` precede the result of `mode`."""
    return {"full": 0, "same": (m - 1) // 2, "valid": m - 1}[mode]


def _full(g, total, start):
    """`g`, the cotangent of a part of a full convolution that starts at `start`, padded to the whole."""
    n = np.shape(g)[0]
    return np.concatenate([np.zeros(start, g.dtype), g, np.zeros(total - start - n, g.dtype)])


def _convolve_rule(other):
    def rule(g, ans, a, v, mode="full"):
        n, m = np.size(a), np.size(v)
        start = _start(max(n, m), min(n, m), _mode(mode))
        known = np.reshape(v if other else a, (-1,))
        target = (n, a) if other else (m, v)
        full = _full(g, n + m - 1, start)
        # The transpose of a convolution is a correlation; correlate conjugates its second operand.
        d = np.correlate(full, np.conj(known), "valid")
        return np.reshape(d, np.shape(target[1]))

    return rule


def _correlate_rule(first):
    def rule(g, ans, a, v, mode="valid"):
        n, m = np.size(a), np.size(v)
        mode = _mode(mode)
        start = _start(n, m, mode)
        if n < m:
            # NumPy exchanges the operands and reverses the result.
            start = n + m - 1 - np.shape(g)[0] - _start(m, n, mode)
        full = _full(g, n + m - 1, start)
        if first:
            d = np.convolve(full, np.conj(np.reshape(v, (-1,))), "valid")
            return np.reshape(d, np.shape(a))
        # With respect to conj(v) reversed, as in a convolution; conj and reversal back.
        d = np.correlate(full, np.conj(np.reshape(a, (-1,))), "valid")
        return np.reshape(np.conj(np.flip(d, 0)), np.shape(v))

    return rule


def _convolve_samples(rng, dtype):
    for n, m in ((5, 3), (3, 5), (6, 2), (4, 4), (1, 3)):
        for mode in ("full", "same", "valid"):
            yield (array(rng, dtype, n), array(rng, dtype, m), mode), {}
    yield (array(rng, dtype, 4), array(rng, dtype, 2)), {}
    yield (array(rng, dtype), array(rng, dtype, 2)), {}


row(
    "convolve",
    joins=2,
    cost="matmul",
    vjp=(_convolve_rule(True), _convolve_rule(False)),
    samples=_convolve_samples,
)
row(
    "correlate", cost="matmul", vjp=(_correlate_rule(True), _correlate_rule(False)), samples=_convolve_samples
)
