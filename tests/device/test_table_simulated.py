"""Every row of the table of primitives on a simulated GPU against NumPy: values, dtypes, layouts, errors, aliasing."""

from __future__ import annotations

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "runtime"))
import table_driver as driver

from minpy.runtime.backends import cupy_kernels
from minpy.runtime.context import gpu
from minpy.runtime.primitives import table

ROWS = {primitive.name: primitive for primitive in table.rows()}


@pytest.mark.parametrize("name", ROWS)
def test_as_numpy(machine, monkeypatch, name: str) -> None:
    if isinstance(cupy_kernels.of(ROWS[name]), str):
        # The host's work: what is on the card is fetched, whatever its dtype.
        monkeypatch.setattr(driver, "DTYPES", ("float32", "int64", "complex128"))
        monkeypatch.setattr(driver, "LAYOUTS", ("negative",))
    else:
        monkeypatch.setattr(driver, "LAYOUTS", ("F", "strided", "readonly", "swapped"))
    failures = driver.parity_failures(ROWS[name], "prefer_mxnet", context=gpu(0))
    assert not failures, "\n".join(failures)


def test_every_row_has_a_kernel_or_a_reason() -> None:
    for name, primitive in ROWS.items():
        found = cupy_kernels.of(primitive)
        assert isinstance(found, (cupy_kernels.Mirror, str)) and found, name
    assert sum(name in ROWS for name in cupy_kernels.KERNELS) >= 160
