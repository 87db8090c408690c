"""Every row while a tape records: the values, types and exceptions are still NumPy's, in every dtype and layout."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import table_driver as driver

from minpy.errors import GradientError, TraceError
from minpy.runtime.array import Array, host
from minpy.runtime.primitives import table
from minpy.runtime.storage import Storage
from minpy.runtime.tape import Tape

ROWS = {primitive.name: primitive for primitive in table.rows()}
DTYPES = ("float64", "complex128", "float32")

# Composed of other primitives: the same sum in another order, or LAPACK called on another layout.
LAST_BITS = frozenset(
    "convolve correlate cov corrcoef interp kron linalg.cond linalg.matrix_power linalg.tensorinv linalg.tensorsolve "
    "nanmean nanvar nanstd poly polyfit polymul roots trapz trapezoid gradient average".split()
)
if np.lib.NumpyVersion(np.__version__) >= "2.0.0":
    LAST_BITS |= frozenset(
        "vecdot linalg.vecdot matvec vecmat fft.rfftn fft.rfft2 fft.irfftn fft.irfft2".split()
    )


def entered(tape: Tape, value: Any) -> Any:
    """`value` with every floating-point array in it active on the tape (in place: the memory is the program's)."""

    def enter(x: np.ndarray) -> Any:
        if x.dtype.kind not in "fc":
            return x
        storage = Storage(x)
        storage.tape = tape
        return Array(x, storage)

    return driver.each(value, enter)


def active(value: Any) -> bool:
    if type(value) in (list, tuple):
        return any(map(active, value))
    return type(value) is Array


def traced_failures(primitive: table.Primitive, limit: int = 4) -> list[str]:
    failures: list[str] = []
    function = driver.routed(primitive)
    for dtype in DTYPES:
        for args, kwargs in primitive.samples(driver.generator(primitive, dtype), np.dtype(dtype)):
            for layout in ("C", "F", "negative") if dtype == "float64" else ("C",):
                laid_out = driver.each(args, lambda x, to=layout: driver.laid_out(x, to))
                found = driver.lasting(partial(one, primitive, function, laid_out, kwargs))
                if found is not None:
                    failures.append(
                        f"{dtype} {layout}: {driver._call_text(primitive, args, kwargs)}: {found}"
                    )
                    if len(failures) >= limit:
                        return failures
    return failures


def one(primitive: table.Primitive, function: Any, args: tuple, kwargs: dict) -> str | None:
    plain_args, plain_kwargs = driver.each(args, driver._keep), driver.each(kwargs, driver._keep)
    ours = driver.each(args, driver._keep), driver.each(kwargs, driver._keep)
    if primitive.family == "random":
        np.random.seed(3)
    expected, raised = driver.attempt(primitive.function, plain_args, plain_kwargs)
    tape = Tape()
    our_args, our_kwargs = entered(tape, ours[0]), entered(tape, ours[1])
    if not active(our_args) and not active(list(our_kwargs.values())):
        return None
    if primitive.family == "random":
        np.random.seed(3)
    with tape:
        actual, error = driver.attempt(function, our_args, our_kwargs)
    if isinstance(error, (TraceError, GradientError)):
        return None  # no derivative, and said so: the tests of derivatives look at that
    if raised is not None or error is not None:
        if type(raised) is not type(error):
            return f"raised {error!r} instead of {raised!r}"
        return None
    if isinstance(expected, float) and type(actual) is Array:
        expected = np.float64(expected)  # numpy.random's numbers are boxed to be traced
    if primitive.name in driver.UNDEFINED:
        return None
    found = driver.difference(actual, expected, primitive.name in LAST_BITS)
    if found is not None:
        return found
    found = driver.difference(host(our_args), plain_args, False)
    return f"afterwards the operands differ: {found}" if found else None


@pytest.mark.parametrize("name", [n for n, p in ROWS.items() if not p.creates or p.vjp or p.compose])
def test_traced_as_numpy(name: str) -> None:
    failures = traced_failures(ROWS[name])
    assert not failures, "\n".join(failures)
