"""``--precision``: creation and routed work in the forced width."""

from __future__ import annotations

import numpy as np
import pytest

from minpy.errors import UsageError
from minpy.runtime import precision
from minpy.runtime.entry import routed


@pytest.fixture
def forced(request):
    precision.force(request.param)
    yield request.param
    precision.force("program")
    assert routed.np is np


@pytest.mark.parametrize("forced", ["float32"], indirect=True)
def test_float32_program(forced):
    """What is created, drawn, computed and reduced has 32 bits, also where the program says float64."""
    rnp, op = routed.np, routed.op
    assert rnp.zeros(3).dtype == "f4"
    assert rnp.zeros(3, dtype=np.float64).dtype == "f4"
    assert rnp.array([1.0, 2.0]).dtype == "f4"
    assert rnp.random.rand(3).dtype == "f4"
    assert rnp.exp(np.ones(3)).dtype == "f4"
    assert type(rnp.sum(np.ones(3))) is np.float32
    assert op.add(np.ones(3), 1.5).dtype == "f4"
    assert rnp.fft.fft(rnp.ones(4)).dtype in (
        "c8",
        "c16",
    )  # NumPy 1.26 transforms in 64 bits whatever it gets
    assert rnp.arange(3).dtype == np.arange(3).dtype


@pytest.mark.parametrize("forced", ["float64"], indirect=True)
def test_float64_program(forced):
    """A 32-bit program runs in 64."""
    assert routed.np.ones(3, dtype=np.float32).dtype == "f8"
    assert routed.np.dot(np.ones((2, 2), "f4"), np.ones((2, 2), "f4")).dtype == "f8"


@pytest.mark.parametrize("forced", ["float32"], indirect=True)
def test_views_still_alias(forced):
    """Forcing a width never turns a view of the program's array into a copy."""
    a = np.zeros((2, 3))
    view = routed.np.reshape(a, 6)
    view[0] = 7
    assert a[0, 0] == 7


def test_unknown_precision():
    """A wrong name is refused and nothing changes."""
    with pytest.raises(UsageError, match="float32, float64"):
        precision.force("float16")
    assert precision.forced is None
