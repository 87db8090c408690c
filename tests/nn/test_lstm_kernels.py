"""The compiled passes of a long short-term memory: the bits, and the warnings, of the steps as written."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from minpy.nn.kernels import arithmetic, lstm, lstm_code
from minpy.runtime import blas
from minpy.runtime.fuse import native, pool

pytest.importorskip("llvmlite", reason="the extra jit compiles these")


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """Everything is compiled, and waited for."""
    monkeypatch.setenv("MINPY_CACHE_DIR", str(tmp_path))
    compiled = native.compiled
    monkeypatch.setattr(native, "compiled", lambda text, wait, **loops: compiled(text, wait=True, **loops))
    monkeypatch.setattr(lstm, "_WORTH", 0)
    for rows in (lstm._FORWARD, lstm.BACK):
        assert rows.ready("d") is not None


@pytest.fixture
def at_once(waited, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """All steps are one function, of any size; which functions ran."""
    monkeypatch.setattr(blas, "_LEAST_WORK", 0)
    example = np.ones((2, 2))
    if blas.foreign(example, example) is None:
        pytest.skip("the extra mkl makes these products")
    ran = []
    for name in ("forward", "back"):
        maker = getattr(lstm_code, name)

        def noted(char: str, whole: str, maker=maker, name=name):
            function = maker(char, whole)
            return lambda *a: ran.append(name) or function(*a)

        monkeypatch.setattr(lstm_code, name, noted)
    return ran


def as_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arithmetic.Rows, "ready", lambda self, char: None)
    monkeypatch.setattr(lstm.Sequences, "_code", lambda self, maker: None)


def run(dtype: type, scale: float) -> tuple[list[bytes], list[str]]:
    rng = np.random.default_rng(11)
    n, steps, d, h = 5, 7, 6, 9
    shapes = (n, steps, d), (n, h), (n, h), (d, 4 * h), (h, 4 * h), (4 * h,)
    arrays = [rng.normal(size=shape).astype(dtype) for shape in shapes]
    arrays[2][0, 0] *= scale
    if scale == -np.inf:
        arrays[5][h] = -1e4  # a gate that is shut: 0 times infinity
    g = rng.normal(size=(steps, n, h)).astype(dtype).swapaxes(0, 1)  # rows that are not side by side
    g[0, 0, 0] *= scale
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = lstm.Sequences(*arrays)
        of_x, *others = found.back(g)
        results = [found.hs.copy(), of_x(), *others]
    return [each.tobytes() for each in results], sorted(str(each.message) for each in told)


@pytest.mark.parametrize("scale", [1.0, 1e38, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_compiled_steps_are_those_as_written(waited, monkeypatch, dtype: type, scale: float) -> None:
    compiled = run(dtype, scale)
    as_written(monkeypatch)
    assert compiled == run(dtype, scale)


@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("scale", [1.0, 1e38, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_steps_at_once_are_those_as_written(
    at_once, monkeypatch, dtype: type, scale: float, width: int
) -> None:
    monkeypatch.setattr(pool, "width", lambda: width)
    monkeypatch.setattr(lstm, "_SHARE", 1)
    monkeypatch.setattr(lstm, "_FEW", 2)
    compiled = run(dtype, scale)
    calls = {name: at_once.count(name) for name in ("forward", "back")}
    if scale == 1.0:
        assert calls == {"forward": width, "back": width}
    elif np.isinf(scale):  # what makes a number into none is made as written, and then it goes on
        assert calls["back" if scale > 0 else "forward"] > width
    as_written(monkeypatch)
    assert compiled == run(dtype, scale)
    assert calls == {name: at_once.count(name) for name in ("forward", "back")}


def test_the_passes_are_taken(waited, monkeypatch) -> None:
    taken = []
    ready = arithmetic.Rows.ready

    def noted(self: arithmetic.Rows, char: str):
        function = ready(self, char)
        return lambda *a: taken.append(self) or function(*a)

    monkeypatch.setattr(arithmetic.Rows, "ready", noted)
    monkeypatch.setattr(blas, "foreign", lambda x, y: None)
    run(np.float64, 1.0)
    assert taken == [lstm._FORWARD] * 7 + [lstm.BACK] * 7
    taken.clear()
    with np.errstate(under="warn"):  # which the code does not look for
        run(np.float64, 1.0)
    assert not taken
