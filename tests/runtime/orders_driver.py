"""Derivatives of one row of the table: every mode and order, against differences, on every back end.

All floating-point operands of a sample move at once, so mixed derivatives are looked at too. With ``f`` a random real
projection of the result, and directions ``v`` and ``w``:

* first order: ``f'(x) v`` by differences of NumPy's own values, by reverse and by forward mode;
* second order: ``v f''(x) w`` by differences of the gradient, and by all four pairs of modes.
"""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import table_driver as driver

from minpy import grad, jvp
from minpy.runtime import policy as policies
from minpy.runtime import profile
from minpy.runtime.array import Array
from minpy.runtime.primitives import table

LAYOUTS = ("C", "transposed", "negative", "strided", "F", "readonly")
# Calls that have no derivative (of that order), and how the error says so.
REFUSED: dict[str, tuple[str, ...]] = {
    "linalg.det": ("the second derivative of the determinant of a singular complex matrix",),
}
# A zero among the elements decides what the function does: it stays where it is.
ZEROS_STAY = frozenset(("copysign", "roots", "trim_zeros"))
# Which of the equal or unsorted elements stand where is left open, and depends on the dtype.
UNORDERED = frozenset(("partition", "argpartition"))
# Constants of a call that a gradient does not go through.
CONSTANT = {"random.choice": ("p",)}
# What NumPy does for empty operands: put never returns, as_strided reads outside of them, put_along_axis and
# from_dlpack take them or not from version to version.
NEVER_EMPTY = frozenset(("put", "lib.stride_tricks.as_strided", "put_along_axis", "from_dlpack"))
# What becomes of a value depends on whether its imaginary part is next to nothing.
REAL_STAYS_REAL = frozenset(("real_if_close",))
STEP = 1e-6
# `make tables` looks at all of them, the test suite at some of the smaller operands and of the calls on a device.
FULL = os.environ.get("MINPY_TABLES") == "full"
TOLERANCE = {"float64": 1e-8, "float32": 2e-4, "float16": 5e-2}


class Case(NamedTuple):
    """A call of a row, and which of its operands move."""

    label: str
    args: tuple
    kwargs: dict
    moving: tuple  # positions and keywords


# ----- cases ------------------------------------------------------------------------------------------------


def movable(value: Any) -> bool:
    """Whether all of it is floating-point: what a verb accepts as an argument."""
    if type(value) in (list, tuple):
        return bool(value) and all(map(movable, value))
    if type(value) in (float, complex):
        return True
    return isinstance(value, np.ndarray) and value.dtype.kind in "fc"


def has_rule(primitive: table.Primitive, i: int) -> bool:
    """Whether positional argument `i` may be differentiated."""
    if primitive.compose is not None or primitive.flat or (primitive.view and primitive.vjp is None):
        return True
    return primitive.writes is not None or primitive.rule(i) is not None


def cases(primitive: table.Primitive, dtype: str) -> Iterator[Case]:
    """The samples of a row, in turn in another memory layout."""
    for n, args, kwargs, moving in _samples(primitive, dtype):
        layout = LAYOUTS[n % len(LAYOUTS)]
        changed = tuple(driver.each(a, lambda x, to=layout: driver.laid_out(x, to)) for a in args)
        yield Case(f"sample {n} {layout}", changed, kwargs, moving)


def smaller_cases(primitive: table.Primitive, dtype: str) -> Iterator[Case]:
    """The samples of a row with operands that are empty, of one row, or 0-d; one of each geometry."""
    seen = set()
    for n, args, kwargs, moving in _samples(primitive, dtype):
        for name, change in VARIANTS.items():
            try:
                smaller = tuple(driver.each(a, change) if i in moving else a for i, a in enumerate(args))
            except IndexError:
                continue
            geometry = (name, _geometry(smaller), repr(sorted(kwargs)))
            if geometry in seen or _geometry(smaller) == _geometry(args):
                continue
            seen.add(geometry)
            yield Case(f"sample {n} {name}", smaller, kwargs, moving)


def _samples(primitive: table.Primitive, dtype: str) -> Iterator[tuple[int, tuple, dict, tuple]]:
    """Number, arguments and moving operands of each sample that has any."""
    names = _names(primitive)
    samples = primitive.samples(driver.generator(primitive, dtype), np.dtype(dtype))
    for n, (args, kwargs) in enumerate(samples):
        moving: tuple = tuple(i for i, a in enumerate(args) if movable(a) and has_rule(primitive, i))
        moving += tuple(
            k
            for k, v in kwargs.items()
            if movable(v)
            and type(v) not in (float, complex)
            and k in names
            and has_rule(primitive, names.index(k))
            and k not in CONSTANT.get(primitive.name, ())
        )
        if moving:
            yield n, args, kwargs, moving


def _names(primitive: table.Primitive) -> list[str]:
    signature = primitive.signature()
    return list(signature.parameters) if signature is not None else []


VARIANTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "without rows": lambda x: x[:0],
    "without columns": lambda x: x[..., :0],
    "with one row": lambda x: x[:1],
    "0-d": lambda x: np.array(x[(0,) * x.ndim]),
}


def _geometry(value: Any) -> Any:
    if type(value) in (list, tuple):
        return tuple(map(_geometry, value))
    return value.shape if isinstance(value, np.ndarray) else repr(value)


def spread(found: Iterable[Case], most: int) -> list[Case]:
    """At most `most` of them, from the first to the last at even distances; all of them where that is asked for."""
    every = list(found)
    if FULL or len(every) <= most:
        return every
    return [every[n * len(every) // most] for n in range(most)]


# ----- functions of the moving operands ---------------------------------------------------------------------


def put(case: Case, operands: list) -> tuple[tuple, dict]:
    """The call's arguments with `operands` in the moving places."""
    args, kwargs = list(case.args), dict(case.kwargs)
    for place, operand in zip(case.moving, operands, strict=True):
        if isinstance(place, str):
            kwargs[place] = operand
        else:
            args[place] = operand
    return tuple(args), kwargs


def loss(out: Any, rng: np.random.Generator) -> Any:
    """A random projection of a result, and a square: a real number."""
    if isinstance(out, (list, tuple)):
        total: Any = 0.0
        for part in out:
            total = total + loss(part, rng)
        return total
    if type(out) is float:
        out = np.float64(out)
    if not isinstance(out, (np.ndarray, np.generic, Array)) or out.dtype.kind not in "fc":
        return 0.0
    weights = rng.uniform(0.5, 1.5, np.shape(out)) * rng.choice([-1.0, 1.0], np.shape(out))
    if out.dtype.kind == "c":
        real, imag = np.real(out), np.imag(out)
        turned = weights[..., ::-1] if np.ndim(weights) else -weights
        return np.sum(real * weights + imag * turned + (real * real + imag * imag) / 7)
    if out.dtype != np.float64:
        weights = weights.astype(out.dtype)
    return np.sum(out * weights + out * out / 7)


def function_of(primitive: table.Primitive, case: Case, call: Callable[..., Any]) -> Callable[[list], Any]:
    """The real number that is differentiated, as a function of the list of moving operands."""
    seed = zlib.crc32(primitive.name.encode())
    copied = driver.numpy_door().array
    invariant = driver.INVARIANT.get(primitive.name, lambda out: out)

    def value(operands: list) -> Any:
        args, kwargs = put(case, operands)
        if primitive.family == "random":
            np.random.seed(7)
        if primitive.writes is not None:
            target = copied(args[0])
            call(target, *args[1:], **kwargs)
            return loss(target, np.random.default_rng(seed))
        return loss(invariant(call(*args, **kwargs)), np.random.default_rng(seed))

    return value


def direction(primitive: table.Primitive, case: Case, operands: list, rng: np.random.Generator) -> list:
    """A random direction for the moving operands, in their layout; Hermitian where the operand is taken for it."""

    def of(value: Any) -> Any:
        if type(value) in (list, tuple):
            return [of(v) for v in value]
        if type(value) in (float, complex):
            return float(rng.uniform(-1, 1))
        d = np.empty_like(value)
        d[...] = rng.uniform(-1, 1, value.shape)
        if value.dtype.kind == "c":
            d += (1j * rng.uniform(-1, 1, value.shape)).astype(value.dtype)
        if primitive.name in ZEROS_STAY:
            d[value == 0] = 0
        if primitive.name in REAL_STAYS_REAL and value.dtype.kind == "c":
            d[np.abs(value.imag) < 1e-9] = d[np.abs(value.imag) < 1e-9].real
        square = value.ndim > 1 and value.shape[-1] == value.shape[-2]
        if square and (primitive.name in driver.HERMITIAN or case.kwargs.get("hermitian")):
            d = d + np.conj(np.swapaxes(d, -1, -2))
        return d

    return [of(o) for o in operands]


def moved(value: Any, d: Any, t: float) -> Any:
    if type(value) in (list, tuple):
        return type(value)([moved(v, e, t) for v, e in zip(value, d, strict=True)])
    if type(value) in (float, complex):
        return value + t * d
    # Not a scalar, also of no dimensions; and in the layout of the operand.
    result = np.empty_like(value)
    result[...] = value + t * d
    return result


def paired(gradient: Any, d: Any) -> Any:
    """The real part of the sum of products, without conjugation."""
    if type(d) in (list, tuple):
        total: Any = 0.0
        for g, e in zip(gradient, d, strict=True):
            total = total + paired(g, e)
        return total
    return np.real(np.sum(gradient * d))


# ----- the check --------------------------------------------------------------------------------------------


class Derivatives(NamedTuple):
    """What a back end says: the slope in both modes, the curvature in all four pairs of modes."""

    first: dict[str, float]
    second: dict[str, float]
    gradient: Any


def derivatives(
    value: Callable[[list], Any], operands: list, v: list, w: list, order: int = 2
) -> Derivatives:
    """Directional derivatives of `value` by every verb."""

    def slope(x: list) -> Any:
        return paired(grad(value)(x), w)

    def along(x: list) -> Any:
        return jvp(value, (x,), (w,))[1]

    gradient = grad(value)(operands)
    first = {"reverse": paired(gradient, v), "forward": jvp(value, (operands,), (v,))[1]}
    second = {}
    if order > 1:
        second = {
            "reverse over reverse": paired(grad(slope)(operands), v),
            "forward over reverse": jvp(slope, (operands,), (v,))[1],
            "reverse over forward": paired(grad(along)(operands), v),
            "forward over forward": jvp(along, (operands,), (v,))[1],
        }
    return Derivatives(
        {k: float(d) for k, d in first.items()}, {k: float(d) for k, d in second.items()}, gradient
    )


def slope_by_differences(f: Callable[[float], Any], step: float = STEP) -> float | None:
    """The slope at 0 by differences, or None where there is none (a kink, a jump, not finite)."""
    try:
        low, mid, high = float(f(-step)), float(f(0.0)), float(f(step))
    except ValueError:  # out of the function's domain
        return None
    if not np.all(np.isfinite([low, mid, high])):
        return None
    left, right, middle = (mid - low) / step, (high - mid) / step, (high - low) / (2 * step)
    return None if abs(left - right) > 2e-3 * (1 + abs(middle)) else middle


def close(found: float, expected: float, tolerance: float, scale: float = 0.0) -> bool:
    if math.isnan(expected) or math.isnan(found):
        return math.isnan(expected) and math.isnan(found)
    if math.isinf(expected) or math.isinf(found):
        return expected == found
    return abs(found - expected) <= tolerance * (1 + abs(expected) + scale)


def accepted(primitive: table.Primitive, case: Case) -> bool:
    """Whether NumPy takes the call, and with finite operands."""
    operands = operands_of(case)
    leaves = [leaf for o in operands for leaf in driver._operand_leaves(o, "fc")]
    if primitive.name in NEVER_EMPTY and not all(leaf.size for leaf in leaves):
        return False
    if not all(np.all(np.isfinite(leaf)) for leaf in leaves):
        return False
    try:
        with driver.quiet():
            value = function_of(primitive, case, primitive.function)(driver.each(operands, np.copy))
        return bool(np.isfinite(value))
    except Exception:
        return False


def operands_of(case: Case) -> list:
    """The operands that move."""
    return [case.kwargs[place] if isinstance(place, str) else case.args[place] for place in case.moving]


def failures_of(primitive: table.Primitive, case: Case, order: int = 2) -> list[str] | None:
    """What is wrong with the derivatives of one call on the host; None if there is nothing to check."""
    if not accepted(primitive, case):
        return None
    operands = operands_of(case)
    rng = np.random.default_rng(zlib.crc32((primitive.name + case.label).encode()))
    v, w = (direction(primitive, case, operands, rng) for _ in range(2))
    value = function_of(primitive, case, driver.routed(primitive))
    plain = function_of(primitive, case, primitive.function)
    with driver.quiet():
        try:
            found = derivatives(value, operands, v, w, order)
        except Exception as error:
            if any(text in str(error) for text in REFUSED.get(primitive.name, ())):
                return None
            return [f"raised {type(error).__name__}: {error}"]
        wrong = _geometry_failures(found.gradient, operands)
        narrow = _narrow(case)
        loose = TOLERANCE[narrow] if narrow else 1e-8
        expected = None if narrow else slope_by_differences(lambda t: plain(moved(operands, v, t)))
        if expected is not None:
            for name, d in found.first.items():
                if not close(d, expected, 2e-5):
                    wrong.append(f"{name} {d!r} instead of {expected!r} (by differences)")
        elif not close(found.first["forward"], found.first["reverse"], loose):
            wrong.append(f"at a kink: forward {found.first['forward']!r}, reverse {found.first['reverse']!r}")
        if order > 1:
            reference = found.second["reverse over reverse"]
            if expected is not None:
                curvature = slope_by_differences(lambda t: paired(grad(value)(moved(operands, v, t)), w))
                if curvature is not None:
                    if not close(reference, curvature, 1e-4):
                        wrong.append(
                            f"reverse over reverse {reference!r} instead of {curvature!r} (by differences)"
                        )
            for name, d in found.second.items():
                if not close(d, reference, 100 * loose):
                    wrong.append(f"{name} {d!r}, reverse over reverse {reference!r}")
    return wrong


def _narrow(case: Case) -> str | None:
    """The lower precision that the call asks for, whatever its operands have."""
    text = repr((case.args, case.kwargs))
    if "float16" in text:
        return "float16"
    return "float32" if "float32" in text or "complex64" in text else None


def _geometry_failures(gradient: Any, operand: Any) -> list[str]:
    if type(operand) in (list, tuple):
        return [f for g, o in zip(gradient, operand, strict=True) for f in _geometry_failures(g, o)]
    if type(operand) in (float, complex):
        return []
    if gradient.shape != operand.shape or gradient.dtype != operand.dtype.newbyteorder("="):
        return [f"a gradient {gradient.dtype}{gradient.shape} of {operand.dtype}{operand.shape}"]
    return []


def narrow_failures_of(primitive: table.Primitive, case: Case, policy: str = "auto") -> list[str] | None:
    """Derivatives at low precision: of the operands' dtype, and near those at double precision on the host."""
    if primitive.name in UNORDERED or not accepted(primitive, case):
        return None
    operands = operands_of(case)
    arrays = [leaf for o in operands for leaf in _arrays(o)]
    if not arrays:
        return None
    wide = Case(case.label, widened(case.args), widened(case.kwargs), case.moving)
    if not accepted(primitive, wide):
        return None
    rng = np.random.default_rng(zlib.crc32((primitive.name + case.label).encode()))
    v, w = (direction(primitive, case, operands, rng) for _ in range(2))
    function = driver.routed(primitive)
    least = min((leaf.dtype.name for leaf in arrays), key=_precision)
    tolerance = TOLERANCE[_narrow(case) or REAL_OF.get(least, least)]
    value = function_of(primitive, case, function)
    with driver.quiet():
        try:
            reference = derivatives(
                function_of(primitive, wide, function), operands_of(wide), widened(v), widened(w)
            )
        except Exception as error:
            if any(text in str(error) for text in REFUSED.get(primitive.name, ())):
                return None
            raise
        size = max(_magnitude(reference.gradient, v), *map(abs, reference.second.values()))
        if least == "float16" and not size < 1e3:
            return None  # out of its range, here or on the way
        with policies.create(policy):
            try:
                found = derivatives(value, operands, v, w)
            except Exception as error:
                return [f"raised {type(error).__name__}: {error}"]
            second = grad(lambda x: paired(grad(value)(x), w))(operands)
        wrong = _geometry_failures(found.gradient, operands) + _geometry_failures(second, operands)
        for name, d in found.first.items():
            if not close(d, reference.first[name], tolerance, size):
                wrong.append(f"{name} {d!r} instead of {reference.first[name]!r}")
        for name, d in found.second.items():
            if not close(d, reference.second[name], 10 * tolerance, size):
                wrong.append(f"{name} {d!r} instead of {reference.second[name]!r}")
    return wrong


REAL_OF = {"complex64": "float32", "complex128": "float64", "longdouble": "float64"}


def _arrays(value: Any) -> list[np.ndarray]:
    if type(value) in (list, tuple):
        return [leaf for v in value for leaf in _arrays(v)]
    return [value] if isinstance(value, np.ndarray) else []


def _precision(name: str) -> int:
    return (
        ("float16", "float32", "complex64").index(name) if name in ("float16", "float32", "complex64") else 9
    )


def widened(value: Any) -> Any:
    """`value` with its arrays at double precision, in their layout."""
    if type(value) is np.ndarray:
        if value.dtype.kind == "f":
            return value.astype(np.float64)
        return value.astype(np.complex128) if value.dtype.kind == "c" else value
    if type(value) in (list, tuple):
        return type(value)([widened(v) for v in value])
    return {k: widened(v) for k, v in value.items()} if type(value) is dict else value


def _magnitude(gradient: Any, d: Any) -> float:
    if type(d) in (list, tuple):
        return sum(_magnitude(g, e) for g, e in zip(gradient, d, strict=True))
    return float(np.sum(np.abs(np.asarray(gradient)) * np.abs(d)))


def ran_on_device(recorder: profile.Recorder, primitive: table.Primitive) -> bool:
    """Whether the row's own kernel ran, or one of those that it is composed of."""
    if primitive.compose is not None:
        return any(place == profile.MXNET for _, place in recorder.calls)
    return bool(recorder.calls.get((primitive.name, profile.MXNET)))
