"""Every row of the table of primitives: against NumPy under every policy, derivatives against differences."""

from __future__ import annotations

import pytest
import table_driver as driver

from minpy.runtime.primitives import table

ROWS = {primitive.name: primitive for primitive in table.rows()}
DIFFERENTIABLE = [name for name, primitive in ROWS.items() if primitive.vjp or primitive.compose]


POLICIES = [pytest.param(p, marks=pytest.mark.mxnet if p == "prefer_mxnet" else ()) for p in driver.POLICIES]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", ROWS)
def test_as_numpy(name: str, policy: str) -> None:
    failures = driver.parity_failures(ROWS[name], policy)
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_derivatives(name: str) -> None:
    failures = driver.gradient_failures(ROWS[name])
    assert not failures, "\n".join(failures)


@pytest.mark.mxnet
@pytest.mark.parametrize("name", [n for n in DIFFERENTIABLE if not isinstance(ROWS[n].mxnet, str)])
def test_derivatives_on_the_device(name: str) -> None:
    failures = driver.gradient_failures(ROWS[name], ("float64",), "prefer_mxnet", second=False)
    assert not failures, "\n".join(failures)
