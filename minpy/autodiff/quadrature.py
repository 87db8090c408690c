"""``scipy.integrate.quad``, differentiated under the integral sign, and sums over samples.

The derivative by a parameter is the integral of the derivative of the integrand, computed by SciPy with the same
tolerances; that by a bound is the integrand there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import integrate

from minpy.autodiff.checkpoint import _Watch
from minpy.autodiff.solvers import _whole, linearized, vector
from minpy.errors import GradientError, TraceError
from minpy.runtime import dispatch
from minpy.runtime.array import Array, host
from minpy.runtime.primitives.moves import cases
from minpy.runtime.primitives.rules import derived, nothing
from minpy.runtime.primitives.scipy_rules import refused, stands_for
from minpy.runtime.primitives.table import Primitive, row
from minpy.runtime.record import Line, Record, current_tape, innermost, tape_of
from minpy.runtime.storage import PYTHON_SCALAR, Storage


class _Integral:
    """One integral of a vector of functions: the operation on the tape."""

    def __init__(
        self, fun: Callable[[Any], Any], inputs: list[Storage], has: tuple[bool, bool], options: dict
    ) -> None:
        self.fun, self.inputs, self.has, self.options = fun, inputs, has, options

    def row(self) -> Primitive:
        return Primitive(
            "scipy.integrate.quad", self.fun, vjp=lambda i: self.pull if i == 0 else None, jvp=self.push
        )

    def _bounds(self, leaves: list, a: Any, b: Any) -> tuple[Any, Any]:
        leaves = list(leaves)
        a = leaves.pop(0) if self.has[0] else a
        return a, leaves.pop(0) if self.has[1] else b

    def _slopes(self, a: Any, b: Any, count: int) -> Any:
        """The integral of the derivative by the parameters: a matrix."""

        def slopes(x: Any) -> Any:
            _, rows = linearized(lambda point: self.fun(point[0]), np.reshape(x, (1,)), self.inputs)
            return np.reshape(rows[:, 1:], (-1,))

        return np.reshape(integral(slopes, a, b, self.options), (count, -1))

    def pull(self, g: Any, ans: Any, leaves: list, a: Any, b: Any) -> list[Any]:
        a, b = self._bounds(leaves, a, b)
        found = []
        for there, bound, sign in zip(self.has, (a, b), (-1, 1), strict=True):
            if there:
                found.append(np.reshape(sign * np.sum(g * vector(self.fun(bound))), np.shape(bound)))
        if self.inputs:
            by_all = np.matmul(g, self._slopes(a, b, np.size(g)))
            offset = 0
            for storage in self.inputs:
                size = storage.host.size
                found.append(np.reshape(by_all[offset : offset + size], storage.host.shape))
                offset += size
        return found

    def push(self, tangents: tuple, ans: Any, leaves: list, a: Any, b: Any) -> Any:
        a, b = self._bounds(leaves, a, b)
        moving = list(tangents[0])
        total: Any = np.zeros(np.shape(ans))
        for there, bound, sign in zip(self.has, (a, b), (-1, 1), strict=True):
            tangent = moving.pop(0) if there else None
            if tangent is not None:
                total = total + sign * vector(self.fun(bound)) * tangent
        if any(t is not None for t in moving):
            direction = [
                np.zeros(s.host.size) if t is None else np.reshape(t, (-1,))
                for t, s in zip(moving, self.inputs, strict=True)
            ]
            total = total + np.matmul(self._slopes(a, b, np.size(ans)), np.concatenate(direction))
        return total


def integral(fun: Callable[[Any], Any], a: Any, b: Any, options: dict, known: Any = None) -> Any:
    """The integral of a vector of functions; `known` is its value and the parameters if it was computed already."""

    def plain(x: Any) -> Any:
        return host(vector(fun(x)))

    if known is not None:
        values, read = known
    elif current_tape() is None:
        values, read = integrate.quad_vec(plain, host(a), host(b), **options)[0], []
    else:
        with _Watch() as watch:
            values = integrate.quad_vec(plain, host(a), host(b), **options)[0]
        read = list(watch.read)
    inputs = [s for s in read if s.host.dtype.kind in "fc"]
    has = tuple(type(v) is Array and tape_of(v.storage) is not None for v in (a, b))
    leaves = [v for v, there in zip((a, b), has, strict=True) if there] + list(map(_whole, inputs))
    tape = innermost(leaves) if leaves else None
    values = np.array(values, float)
    if tape is None:
        return values
    result = _whole(Storage(values))
    result.storage.tape = tape
    constants = [None if there else host(v) for v, there in zip((a, b), has, strict=True)]
    tape.append(Record(_Integral(fun, inputs, has, options).row(), (leaves, *constants), {}, result))
    return result


@stands_for(integrate.quad)
def _quad(func: Any, a: Any, b: Any, args: Any = (), full_output: Any = 0, *rest: Any, **options: Any) -> Any:
    args = args if isinstance(args, tuple) else (args,)
    if current_tape() is None:
        return integrate.quad(func, host(a), host(b), host(args), full_output, *rest, **host(options))

    def fun(x: Any) -> Any:
        return func(x, *args)

    with _Watch() as watch:
        found = integrate.quad(
            lambda x: host(fun(x)), host(a), host(b), (), full_output, *rest, **host(options)
        )
    points = {"epsabs": options.get("epsabs", 1.49e-8), "epsrel": options.get("epsrel", 1.49e-8)}
    value = integral(fun, a, b, points, ([found[0]], list(watch.read)))
    if type(value) is not Array:
        return found
    if rest or any(options.get(name) is not None for name in ("weight", "wvar", "points")):
        raise TraceError(
            f"scipy.integrate.quad with weight or points has no derivative rule, at {Line()}. Write the weight into "
            "the integrand, and integrate piece by piece"
        )
    scalar = dispatch.apply("reshape", value, ())
    scalar.scalar = PYTHON_SCALAR
    return (scalar, *found[1:])


# ----- sums over samples ------------------------------------------------------------------------------------


def _trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    y = np.moveaxis(y, axis, -1)
    if x is None:
        width = dx
    else:
        width = np.diff(x) if np.ndim(x) == 1 else np.diff(np.moveaxis(x, axis, -1), axis=-1)
    return width * (y[..., 1:] + y[..., :-1]) / 2


def _cumulative(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1, initial: Any = None) -> Any:
    sums = np.cumsum(_trapezoid(y, x, dx, axis), axis=-1)
    if initial is not None:
        sums = np.concatenate([np.full((*np.shape(sums)[:-1], 1), initial), sums], axis=-1)
    return np.moveaxis(sums, -1, axis)


_points = cases(
    lambda a: (a(5),),
    lambda a: (a(2, 5), np.cumsum(np.abs(a(5)) + 0.2)),
    lambda a: [(a(5, 2),), {"axis": 0, "dx": 0.5}],
)
row(
    "scipy.integrate.trapezoid",
    cost="reduce",
    vjp=derived(lambda *args, **options: np.sum(_trapezoid(*args, **options), axis=-1), 0, 1),
    samples=_points,
)
row("scipy.integrate.cumulative_trapezoid", cost="reduce", vjp=derived(_cumulative, 0, 1), samples=_points)


def _unsimpson(g: Any, ans: Any, y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1, *rest: Any) -> Any:
    # Linear in y: the weights are the integrals of the unit vectors.
    n = np.shape(y)[axis]
    if x is not None and np.ndim(x) != 1:
        raise GradientError("scipy.integrate.simpson with several rows of places has no derivative rule")
    weights = integrate.simpson(np.eye(n), x=host(x), dx=host(dx), axis=-1)
    shape = [1] * np.ndim(y)
    shape[axis] = n
    return np.expand_dims(g, axis) * np.reshape(weights, shape)


row(
    "scipy.integrate.simpson",
    lambda y, x=None, dx=1.0, axis=-1: integrate.simpson(y, x=x, dx=dx, axis=axis),
    cost="reduce",
    vjp=(_unsimpson, refused("scipy.integrate.simpson", "the places x"), nothing),
    samples=_points,
)


@stands_for(integrate.simpson)
def _simpson(y: Any, *rest: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    if rest:  # older releases take them by position
        x, dx, axis = (*rest, *(x, dx, axis)[len(rest) :])
    return dispatch.apply("scipy.integrate.simpson", y, x, dx, axis)
