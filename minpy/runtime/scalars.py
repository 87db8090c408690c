"""What ``__minpy__.math`` and ``__minpy__.float`` are while the runtime is active: the ``math`` module and
``float`` for values on a tape.

Each function of ``math`` is a primitive whose function is ``math``'s own, so that values and errors are the
same to the last bit; its rule is that of the NumPy function where there is one. Everything that is not on a
tape goes straight to ``math``. What gives integers or truth values cuts the gradient: it is piecewise
constant.
"""

from __future__ import annotations

import builtins
import math
import types
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from minpy.runtime import dispatch
from minpy.runtime.array import Array, host
from minpy.runtime.primitives import table
from minpy.runtime.primitives.table import Primitive
from minpy.runtime.record import tape_of
from minpy.runtime.storage import PYTHON_SCALAR

# Functions with the rule of a NumPy function.
_MIRRORED = {
    **{name: name for name in "exp log2 log10 log1p expm1 sqrt sin cos tan sinh cosh tanh exp2 cbrt".split()},
    **{name: name for name in "fabs copysign degrees radians fmod ldexp".split()},
    **{f"a{name}": f"arc{name}" for name in "sin cos tan sinh cosh tanh".split()},
    "atan2": "arctan2",
    "pow": "power",
}
_CUT = ("floor", "ceil", "trunc", "isnan", "isinf", "isfinite", "isclose", "ulp")

_door: types.ModuleType | None = None


def is_traced(value: Any) -> bool:
    """Whether `value` is being differentiated on an open tape."""
    return type(value) is Array and tape_of(value.storage) is not None


def float_of(value: Any) -> Any:
    """``float(value)``; a value on the tape stays there, as a 0-d double."""
    return _double(value) if is_traced(value) else builtins.float(value)


def _double(value: Array) -> Any:
    if value.scalar and value.dtype == np.float64:
        number = type(value.scalar) is int
        return value if number else Array(value.window, value.storage, PYTHON_SCALAR, value.path)
    if type(value.scalar) is int:
        raise TypeError("must be real number, not complex")  # as Python says it
    builtins.float(host(value))  # raises and warns as NumPy does
    if value.ndim:
        value = dispatch.apply("reshape", value, ())
    if value.dtype.kind == "c":
        value = dispatch.apply("real", value)
    result = dispatch.apply("astype", value, np.float64)
    result.scalar = PYTHON_SCALAR
    return result


def math_door() -> types.ModuleType:
    """The namespace that stands for ``math``."""
    global _door
    if _door is None:
        from minpy.runtime.namespace import door_of

        table.load()
        door = door_of(math)
        for name, routed in _functions().items():
            if hasattr(math, name):  # cbrt and exp2 came with Python 3.11
                routed.__name__ = routed.__qualname__ = name
                routed.__doc__ = getattr(math, name).__doc__
                setattr(door, name, routed)
        _door = door
    return _door


def _functions() -> dict[str, Callable[..., Any]]:
    found: dict[str, Callable[..., Any]] = {}
    for name, mirrored in _MIRRORED.items():
        if hasattr(math, name):
            found[name] = _routed(name, _rules(mirrored))
    found["log"] = _routed("log", lambda i: _log_value if i == 0 else _log_base)
    found["hypot"] = _routed("hypot", _hypot)
    found["remainder"] = _routed("remainder", (lambda g, ans, x, y: g, _remainder_divisor))
    found["gamma"] = _routed("gamma", (lambda g, ans, x: g * ans * polygamma(0, x),))
    found["lgamma"] = _routed("lgamma", (lambda g, ans, x: g * polygamma(0, x),))
    found["erf"] = _routed("erf", (lambda g, ans, x: g * (_ERF * np.exp(-x * x)),))
    found["erfc"] = _routed("erfc", (lambda g, ans, x: g * (-_ERF * np.exp(-x * x)),))
    for name in _CUT:
        found[name] = _cutting(getattr(math, name))
    found |= {"fsum": _fsum, "dist": _dist, "modf": _modf, "frexp": _frexp}
    return found


def _rules(name: str) -> Any:
    if name == "ldexp":
        return (lambda g, ans, x, i: g * 2.0**i,)
    return table.by_name[name].vjp


def _row(name: str, function: Callable[..., Any], vjp: Any) -> Primitive:
    return Primitive(f"math.{name}", function, vjp=vjp, elementwise=True, mirrors=False)


def _routed(name: str, vjp: Any) -> Callable[..., Any]:
    plain = getattr(math, name)
    primitive = _row(name, lambda *args: plain(*args), vjp)

    def routed(*args: Any, **kwargs: Any) -> Any:
        for arg in args:
            if is_traced(arg):
                return dispatch.call(primitive, _doubles(args), kwargs)
        return plain(*args, **kwargs)

    routed.primitive = primitive  # type: ignore[attr-defined]
    return routed


def primitive_of(name: str) -> Primitive | None:
    """The primitive that ``math``'s function of that name is for a value on the tape, if it is one."""
    return getattr(getattr(math_door(), name, None), "primitive", None)


def _doubles(args: Iterable[Any]) -> tuple:
    return tuple([_double(a) if is_traced(a) else host(a) for a in args])


def _cutting(plain: Callable[..., Any]) -> Callable[..., Any]:
    def routed(*args: Any, **kwargs: Any) -> Any:
        return plain(*[host(a) for a in args], **host(kwargs))

    return routed


# ----- rules --------------------------------------------------------------------------------------

_ERF = 2 / math.sqrt(math.pi)


def _log_value(g: Any, ans: Any, x: Any, base: Any = None) -> Any:
    return g / x if base is None else g / (x * np.log(base))


def _log_base(g: Any, ans: Any, x: Any, base: Any) -> Any:
    return -g * ans / (base * np.log(base))


def _hypot(i: int) -> Callable[..., Any]:
    def rule(g: Any, ans: Any, *coordinates: Any) -> Any:
        # At the origin the sub-gradient zero.
        return g * (coordinates[i] / np.where(ans == 0, 1.0, ans))

    return rule


def _remainder_divisor(g: Any, ans: Any, x: Any, y: Any) -> Any:
    return g * (-np.round((x - ans) / y))


def polygamma(n: int, x: Any) -> Any:
    """The derivative of order ``n + 1`` of ``math.lgamma`` at a number, on the tape if one records."""
    return dispatch.call(_POLYGAMMA, (n, x), {})


def _polygamma(n: int, x: Any) -> float:
    x = builtins.float(x)
    if x <= 0 and x == math.floor(x):
        return math.nan
    sign = -1.0 if n % 2 == 0 else 1.0  # of (-1)**(n + 1)
    factorial = math.gamma(n + 1)
    # Upwards by the recurrence until the asymptotic series is exact to double precision.
    steps = max(0, math.ceil(16 + n - x))
    total = math.fsum((x + np.arange(steps)) ** -(n + 1.0)) * factorial * sign
    x += steps
    if n == 0:
        tail = math.log(x) - 0.5 / x
        tail -= math.fsum(b / (2 * k * x ** (2 * k)) for k, b in enumerate(_BERNOULLI, 1))
        return total + tail
    tail = math.gamma(n) / x**n + factorial / (2 * x ** (n + 1))
    tail += math.fsum(
        b * math.gamma(2 * k + n) / (math.gamma(2 * k + 1) * x ** (2 * k + n))
        for k, b in enumerate(_BERNOULLI, 1)
    )
    return total + sign * tail


_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)
_POLYGAMMA = Primitive(
    "math.polygamma",
    _polygamma,
    vjp=(None, lambda g, ans, n, x: g * polygamma(n + 1, x)),
    elementwise=True,
    mirrors=False,
)


# ----- functions of sequences, and with several results -------------------------------------------


def _fsum(seq: Iterable[Any], /) -> Any:
    values = list(seq)
    if not any(map(is_traced, values)):
        return math.fsum(values)
    return dispatch.call(_FSUM, _doubles(values), {})


_FSUM = _row("fsum", lambda *values: math.fsum(values), lambda i: lambda g, ans, *values: g)


def _dist(p: Any, q: Any, /) -> Any:
    if not isinstance(p, (list, tuple)) and not isinstance(p, np.ndarray):
        return math.dist(p, q)
    p, q = list(p), list(q)
    if not any(map(is_traced, [*p, *q])):
        return math.dist(host(p), host(q))
    math.dist(host(p), host(q))  # dimensions that differ
    return math_door().hypot(*[a - b for a, b in zip(_doubles(p), _doubles(q), strict=True)])


def _modf(x: Any, /) -> Any:
    if not is_traced(x):
        return math.modf(x)
    x = _double(x)
    return dispatch.call(_FRACTION, (x,), {}), math.modf(host(x))[1]


_FRACTION = _row("modf", lambda x: math.modf(x)[0], (lambda g, ans, x: g,))


def _frexp(x: Any, /) -> Any:
    if not is_traced(x):
        return math.frexp(x)
    x = _double(x)
    exponent = math.frexp(host(x))[1]
    return math_door().ldexp(x, -exponent), exponent
