"""The compiled passes of a long short-term memory: the bits, and the warnings, of the steps as written."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from minpy.nn.kernels import arithmetic, lstm
from minpy.runtime.fuse import native

pytest.importorskip("llvmlite", reason="the extra jit compiles these")


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """Everything is compiled, and waited for."""
    monkeypatch.setenv("MINPY_CACHE_DIR", str(tmp_path))
    compiled = native.compiled
    monkeypatch.setattr(native, "compiled", lambda text, wait: compiled(text, wait=True))
    monkeypatch.setattr(lstm, "_WORTH", 0)
    for rows in (lstm._FORWARD, lstm._BACK):
        assert rows.ready("d") is not None


def run(dtype: type, scale: float) -> tuple[list[bytes], list[str]]:
    rng = np.random.default_rng(11)
    n, steps, d, h = 5, 7, 6, 9
    shapes = (n, steps, d), (n, h), (n, h), (d, 4 * h), (h, 4 * h), (4 * h,)
    arrays = [rng.normal(size=shape).astype(dtype) for shape in shapes]
    arrays[2][0, 0] *= scale
    g = rng.normal(size=(steps, n, h)).astype(dtype).swapaxes(0, 1)  # rows that are not side by side
    g[0, 0, 0] *= scale
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = lstm.Sequences(*arrays)
        of_x, *others = found.back(g)
        results = [found.hs.copy(), of_x(), *others]
    return [each.tobytes() for each in results], sorted(str(each.message) for each in told)


@pytest.mark.parametrize("scale", [1.0, 1e38, np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_compiled_steps_are_those_as_written(waited, monkeypatch, dtype: type, scale: float) -> None:
    compiled = run(dtype, scale)
    monkeypatch.setattr(arithmetic.Rows, "ready", lambda self, char: None)
    assert compiled == run(dtype, scale)


def test_the_passes_are_taken(waited, monkeypatch) -> None:
    taken = []
    ready = arithmetic.Rows.ready

    def noted(self: arithmetic.Rows, char: str):
        function = ready(self, char)
        return lambda *a: taken.append(self) or function(*a)

    monkeypatch.setattr(arithmetic.Rows, "ready", noted)
    run(np.float64, 1.0)
    assert taken == [lstm._FORWARD] * 7 + [lstm._BACK] * 7
    taken.clear()
    with np.errstate(under="warn"):  # which the code does not look for
        run(np.float64, 1.0)
    assert not taken
