"""Products by a copy of NumPy's BLAS that knows the processor."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest

from minpy.runtime import blas

LAYOUTS = {
    "C": lambda a: a,
    "F": np.asfortranarray,
    "columns of more": lambda a: np.hstack([a, a])[:, : a.shape[1]],
    "rows of more": lambda a: np.asfortranarray(np.vstack([a, a]))[: a.shape[0]],
    "every second row": lambda a: np.repeat(a, 2, axis=0)[::2],
    "every second column": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "backwards": lambda a: a[::-1].copy()[::-1],
    "one row again": lambda a: np.broadcast_to(a[:1], a.shape),
}


_loaded: dict[str, object] = {}


@pytest.fixture(params=["NumPy's", "the extra's"])
def copy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    """The copy that there would be if OpenBLAS did not know the processor, and the library of the extra ``blas``."""
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    if request.param == "the extra's":
        if blas._package() is None:
            pytest.skip("the extra blas is not installed")
    else:
        monkeypatch.setattr(blas, "_package", lambda: None)
        if not sys.platform.startswith("linux") or blas._path() is None:
            pytest.skip("NumPy has no OpenBLAS of its own here")
        monkeypatch.setattr(blas, "_core", lambda path: "Prescott")
        if blas._better("Prescott") is None:
            pytest.skip("the processor has the oldest instructions only")
    found = _loaded.get(request.param) or blas._load()
    assert found is not None and "OPENBLAS_CORETYPE" not in os.environ
    _loaded[request.param] = found
    monkeypatch.setattr(blas, "_library", found)
    return found


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("second", LAYOUTS)
@pytest.mark.parametrize("first", LAYOUTS)
def test_layouts(copy, first: str, second: str, dtype: type) -> None:
    rng = np.random.default_rng(3)
    x = LAYOUTS[first](rng.normal(size=(70, 90)).astype(dtype))
    y = LAYOUTS[second](rng.normal(size=(90, 110)).astype(dtype))
    exact = np.dot(x.astype(np.longdouble), y.astype(np.longdouble))
    found = blas.dot(x, y)
    tolerance = 1e-4 if dtype is np.float32 else 1e-12
    assert found.dtype == dtype and np.allclose(found, exact, rtol=tolerance, atol=tolerance)
    out = np.full((70, 110), np.nan, dtype)
    assert blas.dot(x, y, out) is out and np.array_equal(out, found)
    blas.add_dot(x, y, out)
    assert np.allclose(out, 2 * exact, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    "shapes", [((0, 3), (3, 4)), ((3, 0), (0, 4)), ((5,), (5, 3)), ((2, 3, 4), (4, 5)), ((), (3, 3))]
)
def test_what_is_no_large_matrix(copy, shapes) -> None:
    x, y = (np.arange(np.prod(shape), dtype=float).reshape(shape) for shape in shapes)
    assert np.array_equal(blas.dot(x, y), np.dot(x, y))


def test_wrong_shapes_are_numpys_error(copy) -> None:
    with pytest.raises(ValueError, match="not aligned"):
        blas.dot(np.ones((200, 300)), np.ones((200, 300)))


def test_the_same_every_time(copy) -> None:
    x = np.random.default_rng(1).normal(size=(150, 150))
    first = blas.dot(x, x)
    assert all(np.array_equal(blas.dot(x, x), first) for _ in range(3))


@pytest.mark.parametrize("core", ["Haswell", "SkylakeX", "Zen", None])
def test_a_library_that_knows_the_processor_is_left_alone(monkeypatch: pytest.MonkeyPatch, core) -> None:
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    assert blas._better(core) is None


def test_a_choice_of_the_users_is_his(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Prescott")
    assert blas._better("Prescott") is None


@pytest.mark.parametrize("copy", ["NumPy's"], indirect=True)
def test_copies_of_other_libraries_go(copy, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """Not the one that was used last: two environments may take turns."""
    monkeypatch.setattr(blas.kept, "folder", lambda *parts: str(tmp_path.joinpath(*parts)))
    for age, name in enumerate(["last", "older", "oldest"]):
        folder = tmp_path / "blas" / name
        folder.mkdir(parents=True)
        (folder / "lib.so").write_bytes(b"old")
        os.utime(folder, (1e9 - age, 1e9 - age))
    assert blas._load() is not None
    (mine,) = {each.name for each in (tmp_path / "blas").iterdir()} - {"last"}
    os.utime(tmp_path / "blas" / mine, (1e9, 1e9))
    assert blas._load() is not None
    assert (tmp_path / "blas" / mine).stat().st_mtime > 1e9, "its use is not noted"


def test_what_the_processor_costs_is_measured(copy) -> None:
    own, better = blas.seconds()
    assert own > 0 and better > 0


def test_what_the_extra_brings_is_not_numpys_and_goes_before_its_copy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    newer, own = blas._package(), blas._path()
    if newer is None or own is None:
        pytest.skip("the extra blas is not installed, or NumPy has no OpenBLAS of its own")
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    monkeypatch.setattr(blas, "_core", {newer: "SkylakeX", own: "Prescott"}.get)
    assert newer != own and blas.newer() == "SkylakeX" and blas.kernels()[0] == "Prescott"
    loaded = []
    monkeypatch.setattr(blas.ctypes, "CDLL", lambda path, mode: loaded.append(path))
    assert blas._load() is None and loaded == [str(newer)]  # nothing was loaded: it has no functions
    monkeypatch.setattr(blas, "_core", lambda path: "Prescott")  # one that does not know the processor either
    monkeypatch.setattr(blas, "_loaded_anew", loaded.append)
    assert blas._load() is None and loaded[1:] == ([newer] if blas._better("Prescott") else [str(newer)])
