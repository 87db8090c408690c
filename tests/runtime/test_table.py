"""Every row of the table of primitives against NumPy under every policy."""

from __future__ import annotations

import pytest
import table_driver as driver

from minpy.runtime.primitives import table

ROWS = {primitive.name: primitive for primitive in table.rows()}


POLICIES = [pytest.param(p, marks=pytest.mark.mxnet if p == "prefer_mxnet" else ()) for p in driver.POLICIES]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", ROWS)
def test_as_numpy(name: str, policy: str) -> None:
    failures = driver.parity_failures(ROWS[name], policy)
    assert not failures, "\n".join(failures)
