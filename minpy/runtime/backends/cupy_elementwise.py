"""CuPy's kernels that work element by element."""

from __future__ import annotations

from typing import Any

import numpy as np

from minpy.runtime.backends.cupy_kernels import (
    BOOL,
    COMPLEX,
    DTYPES,
    INTEGERS,
    KERNELS,
    NUMBERS,
    ORDERED,
    REAL,
    SAME,
    SINGLE,
    Mirror,
    fill,
    function,
    one,
    unlike,
)
from minpy.runtime.primitives.kernels import options

# ----- element by element -----------------------------------------------------------------------------------


def _two(x: Any, y: Any, *rest: Any, **kwargs: Any) -> str | None:
    if rest:
        return "the kernel takes two operands"
    if kwargs:
        return options(kwargs)
    return unlike(x, y)


def unary(name: str, dtypes: frozenset[str] = REAL | COMPLEX | INTEGERS) -> Mirror:
    """A function of one array."""
    return Mirror(function(name), dtypes, one)


def binary(name: str, dtypes: frozenset[str] = NUMBERS, unless: Any = _two) -> Mirror:
    """A function of two operands, both cast to the dtype that they promote to."""
    return Mirror(function(name), dtypes, unless, cast=True)


fill("exp exp2 expm1 log log2 log10 log1p sqrt sin cos tan arcsin arccos arctan", unary)
fill("sinh cosh tanh arcsinh arccosh arctanh", unary)
_NEW_NAMES = {
    "asin": "arcsin", "acos": "arccos", "atan": "arctan", "asinh": "arcsinh", "acosh": "arccosh", "atanh": "arctanh",
}  # fmt: skip
for _name, _same in _NEW_NAMES.items():
    KERNELS[_name] = unary(_same)
fill("negative positive absolute abs square conjugate conj", unary)
fill("reciprocal", lambda n: unary(n, REAL | COMPLEX))
fill("cbrt degrees rad2deg radians deg2rad fabs", lambda n: unary(n, REAL))
fill("isnan isinf isfinite", lambda n: unary(n, REAL | COMPLEX))
fill("signbit isneginf isposinf floor ceil trunc rint fix sign", lambda n: unary(n, REAL))
fill("isreal iscomplex", lambda n: unary(n, NUMBERS))
fill("logical_not", lambda n: unary(n, ORDERED))
fill("invert bitwise_not", lambda n: unary("invert", INTEGERS | BOOL))
fill("sinc i0", lambda n: unary(n, frozenset(("float64",))))

fill("add multiply", lambda n: binary(n, NUMBERS | BOOL))
fill("subtract divide true_divide", binary)
fill("maximum minimum fmax fmin", lambda n: binary(n, ORDERED))
fill("hypot arctan2 copysign nextafter heaviside fmod logaddexp logaddexp2", lambda n: binary(n, REAL))
KERNELS["atan2"] = binary("arctan2", REAL)
fill("gcd lcm", lambda n: binary(n, INTEGERS))
fill("bitwise_and bitwise_or bitwise_xor", lambda n: binary(n, INTEGERS | BOOL))
fill("logical_and logical_or logical_xor", lambda n: binary(n, ORDERED))


def _compares(x: Any, y: Any, *rest: Any, **kwargs: Any) -> str | None:
    reason = _two(x, y, *rest, **kwargs)
    if (
        reason is None
        and _kind(x) in "iu"
        and _kind(y) in "iu"
        and np.result_type(_dtype(x), _dtype(y)).kind == "f"
    ):
        return "signed and unsigned 64-bit integers meet"
    return reason


def _dtype(value: Any) -> np.dtype:
    return value.dtype if isinstance(value, (np.ndarray, np.generic)) else np.asarray(value).dtype


def _kind(value: Any) -> str:
    return _dtype(value).kind


fill("equal not_equal", lambda n: binary(n, NUMBERS | BOOL, _compares))
fill("greater greater_equal less less_equal", lambda n: binary(n, ORDERED, _compares))


def _power_limits(x: Any, y: Any, *rest: Any, **kwargs: Any) -> str | None:
    reason = _two(x, y, *rest, **kwargs)
    if reason is None and _kind(x) in "iub" and _kind(y) in "iub" and (type(y) is not int or y < 0):
        return "integers to powers that may be negative"
    return reason


for _name in ("power", "pow"):
    KERNELS[_name] = binary("power", REAL | INTEGERS, _power_limits)
KERNELS["float_power"] = binary("float_power", frozenset(("float64",)))


def _whole_division(x: Any, y: Any, *rest: Any, **kwargs: Any) -> str | None:
    reason = _two(x, y, *rest, **kwargs)
    if reason is None and (type(y) is not int or y <= 0):
        return "the divisor is no positive int"
    return reason


fill("floor_divide remainder mod", lambda n: binary(n, INTEGERS, _whole_division))


def _shifts(x: Any, y: Any, *rest: Any, **kwargs: Any) -> str | None:
    reason = _two(x, y, *rest, **kwargs)
    if reason is None and (type(y) is not int or not 0 <= y < 8 * _dtype(x).itemsize):
        return "the shift is no int below the number of bits"
    return reason


fill("left_shift right_shift", lambda n: binary(n, INTEGERS, _shifts))


def _round_limits(a: Any, decimals: int = 0, out: Any = None) -> str | None:
    return one(a) or (
        None if type(decimals) is int and decimals == 0 else "decimals= scales before it rounds"
    )


fill(
    "round around round_",
    lambda n: Mirror(lambda F, a, decimals=0, out=None: F.rint(a), REAL, _round_limits, False, SAME),
)


def _where(F: Any, condition: Any, x: Any, y: Any) -> Any:
    dtype = np.result_type(*[v.dtype if hasattr(v, "dtype") else v for v in (x, y)])
    x, y = (v.astype(dtype) if hasattr(v, "ndim") and v.dtype != dtype else v for v in (x, y))
    x, y = (v if hasattr(v, "dtype") else dtype.type(v) for v in (x, y))
    return F.where(condition.astype(bool), x, y)


def _where_limits(condition: Any, *branches: Any, **kwargs: Any) -> str | None:
    if len(branches) != 2 or kwargs:
        return "only the choice between two values"
    if not isinstance(condition, np.ndarray) or not condition.ndim:
        return "the condition is no array"
    for b in branches:
        if isinstance(b, np.ndarray):
            if not b.ndim:
                return "a branch is a single number in an array"
        elif not isinstance(b, (bool, int, float, complex)):
            return "a branch is no number"
    if not any(isinstance(b, np.ndarray) for b in branches):
        return "no branch is an array"
    return unlike(condition, *branches)


KERNELS["where"] = Mirror(_where, DTYPES, _where_limits)


def _clip(F: Any, a: Any, a_min: Any, a_max: Any, out: Any = None) -> Any:
    for limit, bounded in ((a_min, F.maximum), (a_max, F.minimum)):
        if limit is not None:
            a = bounded(a, limit if hasattr(limit, "ndim") else a.dtype.type(limit))
    return a


def _clip_limits(a: Any, a_min: Any = None, a_max: Any = None, out: Any = None, **kwargs: Any) -> str | None:
    if not isinstance(a, np.ndarray) or kwargs:
        return "the kernel takes an array and two limits"
    if a_min is None and a_max is None:
        return "NumPy refuses these arguments"
    for limit in (a_min, a_max):
        if limit is None:
            continue
        if isinstance(limit, np.ndarray):
            if limit.dtype != a.dtype or limit.shape != a.shape:
                return "a limit is of another dtype or shape"
        elif type(limit) not in (int, float) or np.result_type(a.dtype, limit) != a.dtype:
            return "a limit is no number of the array's dtype"
    return None


KERNELS["clip"] = Mirror(_clip, REAL | INTEGERS, _clip_limits, False, SAME)


def _nan_limits(
    x: Any, copy: Any = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None
) -> str | None:
    if copy is not True or not isinstance(x, np.ndarray):
        return "the kernel copies an array"
    fits = all(v is None or type(v) in (int, float) for v in (nan, posinf, neginf))
    return None if fits else "a replacement is no number"


KERNELS["nan_to_num"] = Mirror(function("nan_to_num"), SINGLE, _nan_limits, False, SAME)


def _close_limits(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: Any = False) -> str | None:
    if not (isinstance(a, np.ndarray) and isinstance(b, np.ndarray)) or a.dtype != b.dtype:
        return "the kernel takes two arrays of one dtype"
    return unlike(a, b)


KERNELS["isclose"] = Mirror(function("isclose"), SINGLE, _close_limits)
