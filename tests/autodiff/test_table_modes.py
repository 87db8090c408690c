"""Every row of the table in forward mode: the transpose of reverse mode, to second order, over the rows' samples.

That reverse mode itself is right is tested against differences where the table is tested; the two must agree
exactly, at kinks too.
"""

from __future__ import annotations

import contextlib
import warnings
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from minpy.autodiff import grad, jvp
from minpy.errors import GradientError, TraceError
from minpy.runtime.namespace import dispatcher
from minpy.runtime.primitives import table

ROWS = [
    p
    for p in table.rows()
    if p.samples is not None and (p.vjp is not None or p.compose is not None) and not p.flat and not p.writes
    if p.name != "fromfunction"  # has no array argument
]
# Their samples are compared at first order only: the derivative of a decomposition at equal or zero singular
# values does not exist, and what the rules make of it differs in the order of operations.
FIRST_ORDER = frozenset(("linalg.svd", "linalg.pinv", "linalg.lstsq", "linalg.cond"))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def floats(value: Any) -> list[np.ndarray]:
    if isinstance(value, np.ndarray):
        return [value] if value.dtype.kind in "fc" and value.size else []
    if type(value) in (list, tuple):
        return [leaf for v in value for leaf in floats(v)]
    return [np.asarray(value)] if type(value) in (float, complex) else []


def random_like(value: Any, rng: np.random.Generator) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)([random_like(v, rng) for v in value])
    if isinstance(value, np.ndarray) and value.dtype.kind in "fc":
        direction = rng.normal(size=value.shape)
        if value.dtype.kind == "c":
            direction = direction + 1j * rng.normal(size=value.shape)
        return direction.astype(value.dtype)
    if type(value) in (float, complex):
        return rng.normal()
    return None


def loss(out: Any, rng: np.random.Generator) -> Any:
    total: Any = 0.0
    for part in out if isinstance(out, (list, tuple)) else [out]:
        if isinstance(part, (list, tuple)):
            total = total + loss(part, rng)
        elif isinstance(part, (np.ndarray, np.generic, float, complex)) and part.dtype.kind in "fc":
            weights = rng.normal(size=part.shape)
            total = (
                total
                + np.sum(np.real(part * (weights + 0.5j * np.sin(weights))))
                + np.sum(np.abs(part) ** 2) / 7
            )
    return total


def paired(gradient: Any, direction: Any) -> Any:
    if isinstance(direction, (list, tuple)):
        total: Any = 0.0
        for g, d in zip(gradient, direction, strict=True):
            total = total + paired(g, d)
        return total
    return 0.0 if direction is None else np.sum(np.real(gradient * direction))


def differentiable(value: Any) -> bool:
    """Whether all of it is floating-point: what a verb accepts as an argument."""
    if type(value) in (list, tuple):
        return all(map(differentiable, value))
    return isinstance(value, (float, complex)) or (isinstance(value, np.ndarray) and value.dtype.kind in "fc")


def mismatches(primitive: table.Primitive, dtype: str) -> tuple[list[str], int]:
    failures: list[str] = []
    checked = 0
    function = dispatcher(primitive)
    seed = zlib.crc32(primitive.name.encode())
    samples = primitive.samples(np.random.default_rng(seed), np.dtype(dtype))
    for n, (args, kwargs) in enumerate(samples):
        for i, operand in enumerate(args):
            leaves = floats(operand)
            if not leaves or not differentiable(operand):
                continue
            if not all(np.all(np.isfinite(x)) for x in floats(args)):
                continue  # zero times infinity depends on the order
            rng = np.random.default_rng(seed + i)
            direction, weights = random_like(operand, rng), random_like(operand, rng)

            def value(x: Any, args: tuple = args, kwargs: dict = kwargs, i: int = i) -> Any:
                if primitive.family == "random":
                    np.random.seed(7)
                return loss(function(*args[:i], x, *args[i + 1 :], **kwargs), np.random.default_rng(seed))

            # A result in single precision has derivatives in single precision.
            narrow = any("float32" in repr(a) or "complex64" in repr(a) for a in (*args, *kwargs.values()))
            rtol = 1e-4 if narrow else 1e-8
            label = f"{primitive.name} sample {n} argument {i} {dtype}"
            with quiet():
                try:
                    with np.errstate(all="ignore"):
                        first = grad(value)(operand)
                except (TraceError, GradientError):
                    # No rule for this operand or form: forward mode must say so too.
                    with pytest.raises((TraceError, GradientError)):
                        jvp(value, (operand,), (direction,))
                    continue
                except Exception:
                    continue  # NumPy itself refuses the sample
                expected = paired(first, direction)
                found = jvp(value, (operand,), (direction,))[1]
                checked += 1
                if not np.isclose(found, expected, rtol=rtol, atol=rtol, equal_nan=True):
                    failures.append(f"{label}: forward {found!r}, reverse {expected!r}")
                    continue
                if primitive.name in FIRST_ORDER or not np.isfinite(expected):
                    continue

                def slope(x: Any, value: Any = value, weights: Any = weights) -> Any:
                    return paired(grad(value)(x), weights)

                def along(x: Any, value: Any = value, weights: Any = weights) -> Any:
                    return jvp(value, (x,), (weights,))[1]

                try:
                    expected = paired(grad(slope)(operand), direction)
                except GradientError:
                    with pytest.raises(GradientError):
                        jvp(slope, (operand,), (direction,))
                    continue
                for name, found in (
                    ("forward over reverse", jvp(slope, (operand,), (direction,))[1]),
                    (
                        "reverse over forward",
                        paired(grad(along)(operand), direction),
                    ),
                    (
                        "forward over forward",
                        jvp(along, (operand,), (direction,))[1],
                    ),
                ):
                    if not np.isclose(found, expected, rtol=100 * rtol, atol=100 * rtol, equal_nan=True):
                        failures.append(f"{label}: {name} {found!r}, reverse over reverse {expected!r}")
        if len(failures) > 3:
            break
    return failures, checked


@pytest.mark.parametrize("primitive", ROWS, ids=lambda p: p.name)
def test_forward_mode_is_the_transpose_of_reverse_mode(primitive: table.Primitive) -> None:
    total = 0
    for dtype in ("float64", "complex128"):
        failures, checked = mismatches(primitive, dtype)
        assert not failures, "\n".join(failures)
        total += checked
    assert total, "no sample was checked"
