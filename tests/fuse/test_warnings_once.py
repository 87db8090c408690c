"""A warning that Python gives once for each line comes once, whatever MinPy looks up meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from minpy.quiet import quiet

PROGRAM = """
import numpy as np

def f(a, b):
    return a / b + 1.0

a, b = np.ones((30, 40)), np.zeros((30, 40))
for k in range(12):
    c = a / b + a
    d = f(a, b)
    e = np.log(a - 2) * 2
    s = np.sum(a / b, axis=0)
    a[1:] = a[1:] / b[:-1] + 2
    a[:] = 1
    for i in range(5):
        g = np.sqrt(-a[i]) + 1
for k in range(5):
    a[:] = (a + 1j) * 1.0
"""


def given(folder: Path, *command: str, **environment: str) -> Counter[str]:
    file = folder / "program.py"
    file.write_text(PROGRAM)
    everything = {**os.environ, "MINPY_CACHE_DIR": str(folder / "cache"), **environment}
    done = subprocess.run(
        [sys.executable, *command, str(file)], env=everything, capture_output=True, text=True, check=True
    )
    return Counter(line for line in done.stderr.splitlines() if "Warning" in line)


@pytest.mark.parametrize("mode", ["force", "auto"])
def test_once(tmp_path: Path, mode: str) -> None:
    expected = given(tmp_path)
    assert len(expected) == 7 and set(expected.values()) == {1}
    assert given(tmp_path, "-m", "minpy", "run", MINPY_FUSE=mode, MINPY_JIT=mode) == expected


def test_quiet() -> None:
    """Nothing is said in the block; what was said before is not said again; the filters are as they were."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        before = list(warnings.filters)
        for _ in range(3):
            np.log(np.zeros(2))
            with quiet(), quiet():
                warnings.warn("not this", stacklevel=1)
        assert warnings.filters == before
        with pytest.raises(ValueError), quiet():
            raise ValueError
        assert warnings.filters == before
    assert [str(each.message) for each in caught] == ["divide by zero encountered in log"]
