"""Random loop programs: compiled and as written they come to the same, in every bit, type, error and warning."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("llvmlite", reason="without the extra jit loops run as written")

from generator import Maker
from rows import RowMaker

PROGRAMS = 300
ROWS = 100


@pytest.mark.parametrize("part", range(6))
def test_random_programs(run_both: Any, part: int) -> None:
    compiled = 0
    for seed in range(part * PROGRAMS // 6, (part + 1) * PROGRAMS // 6):
        sites = run_both(Maker(seed).program(), compiled=None)
        compiled += any(site.compiled for site in sites)
    assert compiled > PROGRAMS // 6 // 8  # else nothing was tested


@pytest.mark.parametrize("part", range(4))
def test_random_programs_over_small_arrays(run_both: Any, part: int) -> None:
    compiled = 0
    for seed in range(part * ROWS // 4, (part + 1) * ROWS // 4):
        sites = run_both(RowMaker(seed).program(), compiled=None)
        compiled += any(site.compiled for site in sites)
    assert compiled > ROWS // 4 // 8
