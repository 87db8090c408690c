"""Every row of the table: derivatives to second order, in both modes and every pair of them, on every back end.

Over the rows' samples in turn in every memory layout, over smaller operands made of them (empty, of one row, 0-d),
over real and complex operands, with all operands moving at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

import numpy as np
import orders_driver as orders
import pytest
import table_driver as driver

from minpy import grad, jvp
from minpy.errors import GradientError, TraceError
from minpy.runtime import profile
from minpy.runtime.primitives import table

ROWS = {p.name: p for p in table.rows() if p.samples is not None and not p.geometry}
RULED = [n for n, p in ROWS.items() if p.vjp or p.compose or p.writes]
# The operands are no arguments of the function, or no sample moves one; looked at in tests of their own.
ELSEWHERE = frozenset(("fromfunction", "random.choice"))


def failures(
    name: str, dtype: str, check: Callable[..., Any], cases: Iterable[orders.Case]
) -> tuple[list[str], set]:
    found: list[str] = []
    moved: set = set()
    for case in cases:
        wrong = check(ROWS[name], case)
        if wrong is not None:
            moved.update(case.moving)
            found += [
                f"{case.label} {dtype}, {driver._call_text(ROWS[name], case.args, case.kwargs)}: {w}"
                for w in wrong
            ]
    return found, moved


@pytest.mark.parametrize("name", ROWS)
def test_both_modes_to_second_order(name: str) -> None:
    moved = set()
    for dtype in ("float64", "complex128"):
        cases = list(orders.cases(ROWS[name], dtype))
        if dtype == "float64":
            cases += orders.spread(orders.smaller_cases(ROWS[name], dtype), 8)
        found, places = failures(name, dtype, orders.failures_of, cases)
        assert not found, "\n".join(found[:6])
        moved |= places
    row = ROWS[name]
    if name in ELSEWHERE or (not row.vjp and not row.compose and not row.writes):
        return
    assert moved, "no sample moves an operand"
    if row.vjp and not callable(row.vjp):
        names = orders._names(row)
        for i, rule in enumerate(row.vjp):
            if rule is not None and getattr(rule, "exercised", True):
                assert i in moved or (i < len(names) and names[i] in moved), f"no sample moves argument {i}"


@pytest.mark.parametrize("dtype", ["float32", "float16", "complex64"])
@pytest.mark.parametrize("name", RULED)
def test_lower_precision_is_kept(name: str, dtype: str) -> None:
    some = islice(orders.cases(ROWS[name], dtype), 3 if dtype == "float32" else 2)
    found, _ = failures(name, dtype, orders.narrow_failures_of, some)
    assert not found, "\n".join(found[:6])


@pytest.mark.mxnet
@pytest.mark.parametrize("name", [n for n in RULED if not isinstance(ROWS[n].mxnet, str)])
def test_on_the_device_to_second_order(name: str) -> None:
    recorder = profile.start(profile.Recorder())
    try:
        for dtype in ("float32", "float64"):
            found, _ = failures(
                name,
                dtype,
                lambda row, case: orders.narrow_failures_of(row, case, "prefer_mxnet"),
                orders.spread(orders.cases(ROWS[name], dtype), 8 if dtype == "float32" else 2),
            )
            assert not found, "\n".join(found[:6])
    finally:
        profile.stop(recorder)
    # What fills an array with a traced number is computed on the host.
    if not ROWS[name].creates:
        assert orders.ran_on_device(recorder, ROWS[name]), "no sample ran on MXNet"


@pytest.mark.parametrize("name", [n for n, p in ROWS.items() if p.vjp and not p.flat])
def test_an_operand_without_a_rule_is_refused_in_both_modes(name: str) -> None:
    row = ROWS[name]
    for args, kwargs in row.samples(driver.generator(row, "float64"), np.dtype("float64")):
        for i, operand in enumerate(args):
            if not orders.movable(operand) or orders.has_rule(row, i):
                continue
            case = orders.Case("", args, kwargs, (i,))
            if not orders.accepted(row, case):
                continue
            value = orders.function_of(row, case, driver.routed(row))
            with driver.quiet():
                with pytest.raises((GradientError, TraceError)):
                    grad(value)([operand])
                with pytest.raises((GradientError, TraceError)):
                    jvp(
                        value,
                        ([operand],),
                        (orders.direction(row, case, [operand], np.random.default_rng(0)),),
                    )
