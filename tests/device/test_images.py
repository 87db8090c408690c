"""Convolution and pooling on devices: rows of the table, with the host's values, derivatives and errors."""

from __future__ import annotations

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "runtime"))
import table_driver as driver

import minpy.nn.layers  # noqa: F401 - has the rows
from minpy.runtime.context import gpu
from minpy.runtime.primitives import table

ROWS = {primitive.name: primitive for primitive in table.library_rows()}


@pytest.mark.parametrize("name", ROWS)
def test_rows_on_a_card(machine, monkeypatch, name: str) -> None:
    monkeypatch.setattr(driver, "DTYPES", ("float16", "float32", "float64", "int32"))
    failures = driver.parity_failures(ROWS[name], "prefer_mxnet", context=gpu(0))
    assert not failures, "\n".join(failures)


@pytest.mark.mxnet
@pytest.mark.parametrize("name", ROWS)
def test_rows_on_mxnet(monkeypatch, name: str) -> None:
    monkeypatch.setattr(driver, "DTYPES", ("float16", "float32", "float64", "int32"))
    failures = driver.parity_failures(ROWS[name], "prefer_mxnet")
    assert not failures, "\n".join(failures)
