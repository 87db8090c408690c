"""Products by a copy of NumPy's BLAS that knows the processor."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minpy.runtime import blas, cblas, links, mkl, openblas
from minpy.runtime.fuse import pool

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


SOURCES = {name: (load, bare) for name, load, bare in blas._SOURCES}


@pytest.fixture(params=SOURCES)
def copy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    """Each library that there may be; the copy as if OpenBLAS did not know the processor."""
    name = request.param
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    if name == "mkl" and not mkl.files():
        pytest.skip("the extra mkl is not installed")
    if name == "blas" and openblas._package() is None:
        pytest.skip("the extra blas is not installed")
    if name == "copy":
        if not sys.platform.startswith("linux") or openblas._path() is None:
            pytest.skip("NumPy has no OpenBLAS of its own here")
        monkeypatch.setattr(openblas, "_core", lambda path: "Prescott")
        if openblas._better("Prescott") is None:
            pytest.skip("the processor has the oldest instructions only")
    monkeypatch.setattr(blas, "_SOURCES", ((name, *SOURCES[name]),))
    found = _loaded.get(name) or blas._load()
    assert found is not None and found.name == name and "OPENBLAS_CORETYPE" not in os.environ
    _loaded[name] = found
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


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_program_s_products_may_be_the_library_s(copy, monkeypatch, dtype: type) -> None:
    """With the same bits for any number of threads, and with NumPy's warnings."""
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(300, 90)).astype(dtype), rng.normal(size=(90, 410)).astype(dtype)
    results = []
    for threads in (1, 2):
        monkeypatch.setattr(pool, "width", lambda: threads)  # noqa: B023
        results.append(blas.loose(x, y))
    assert results[0].tobytes() == results[1].tobytes()
    assert np.allclose(results[0], x @ y, rtol=0, atol=2000 * np.finfo(dtype).eps)
    with np.errstate(under="raise"):
        assert blas.loose(x, y) is None
    large = x * dtype(np.finfo(dtype).max ** 0.7)
    found = [each / large.max() for each in (blas.loose(large, y), large @ y)]
    assert np.allclose(*found, rtol=0, atol=2000 * np.finfo(dtype).eps)
    for value in (np.nan, np.inf, np.finfo(dtype).max):
        other = x.copy()
        other[7, :] = value
        assert blas.loose(other, y) is None


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
    assert openblas._better(core) is None


def test_a_choice_of_the_users_is_his(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Prescott")
    assert openblas._better("Prescott") is None


@pytest.mark.parametrize("copy", ["copy"], indirect=True)
def test_copies_of_other_libraries_go(copy, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """Not the one that was used last: two environments may take turns."""
    monkeypatch.setattr(openblas.kept, "folder", lambda *parts: str(tmp_path.joinpath(*parts)))
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


def test_a_newer_one_is_told_the_processor_too(monkeypatch: pytest.MonkeyPatch) -> None:
    newer, own = openblas._package(), openblas._path()
    if newer is None or own is None:
        pytest.skip("the extra blas is not installed, or NumPy has no OpenBLAS of its own")
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    loaded: list[object] = []
    monkeypatch.setattr(openblas.ctypes, "CDLL", lambda path, mode: loaded.append(path))
    monkeypatch.setattr(
        openblas, "_loaded_anew", lambda path: loaded.append((path, os.environ["OPENBLAS_CORETYPE"]))
    )
    monkeypatch.setattr(openblas, "_core", {newer: "SkylakeX", own: "SkylakeX"}.get)
    openblas.load_newer()
    assert newer != own and loaded == [str(newer)] and openblas.load_copy() is None and len(loaded) == 1
    monkeypatch.setattr(openblas, "_core", lambda path: "Prescott")
    better = openblas._better("Prescott")
    openblas.load_newer(), openblas.load_copy()
    assert loaded[1:] == ([(newer, better), (own, better)] if better else [str(newer)])


@pytest.mark.parametrize("extent", [(600, 500, 300), (300, 400, 900), (4096, 40, 64), (33, 5000, 64)])
@pytest.mark.parametrize("copy", ["mkl"], indirect=True)
def test_parts_of_a_product(copy, extent: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut for several threads, whichever way: each part is where it belongs."""
    rows, inner, columns = extent
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 9, (rows, inner)).astype(float), rng.integers(0, 9, (inner, columns)).astype(float)
    exact = x @ y  # whole numbers
    parts: list[int] = []
    run = pool.run
    monkeypatch.setattr(pool, "run", lambda work, number: (parts.append(number), run(work, number)))
    for width in (1, 2, 3, 7):
        monkeypatch.setattr(pool, "width", lambda width=width: width)
        out = np.ones((rows, columns))
        for left, right in ((x, y), (np.asfortranarray(x), y), (x, np.asfortranarray(y))):
            assert np.array_equal(blas.dot(left, right), exact)
        blas.add_dot(x, y, out)
        assert np.array_equal(out, exact + 1)
    assert max(parts, default=0) > 1
    monkeypatch.setattr(copy, "_most", 1)
    monkeypatch.setattr(copy, "_plans", {})
    parts.clear()
    blas.dot(x, y)
    assert not parts


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("extent", [(128, 3072, 512), (128, 1000, 130), (600, 500, 300), (64, 128, 3000)])
@pytest.mark.parametrize("copy", ["mkl"], indirect=True)
def test_bits_do_not_depend_on_the_number_of_threads(copy, extent, dtype, monkeypatch) -> None:
    rows, inner, columns = extent
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(rows, inner)).astype(dtype), rng.normal(size=(inner, columns)).astype(dtype)
    found = set()
    for width in (1, 2, 3, 4, 7):
        monkeypatch.setattr(pool, "width", lambda width=width: width)
        out = np.ones((rows, columns), dtype)
        blas.add_dot(x, y, out)
        found.add((blas.dot(x, y).tobytes(), out.tobytes()))
    assert len(found) == 1


@pytest.mark.parametrize(
    "given, most",
    [
        ({}, 1 << 16),
        ({"MKL_NUM_THREADS": "3"}, 3),
        ({"MKL_NUM_THREADS": "0", "OPENBLAS_NUM_THREADS": "2"}, 1),
    ],
)
def test_the_environment_limits_threads(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], most: int
) -> None:
    for name in cblas._LIMITS:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert cblas._limit() == most


def test_addresses_of_arrays() -> None:
    x = np.arange(24.0).reshape(4, 6)
    for each in (x, x[1:, 2:], x.T, x[:0], np.array(3.0), np.frombuffer(b"12345678")):
        assert cblas.address(each) == cblas._address_asked(each) == each.ctypes.data


_HIDDEN = """
import ctypes, os, sys, threading
import numpy as np
x = np.random.default_rng(0).normal(size=(300, 300))
before = (x @ x).tobytes(), np.linalg.inv(x).tobytes()
from minpy.runtime import blas, cblas
library = blas.find()
assert library is not None and library.name == "mkl", blas.failures()
right = blas.dot(x, x)
assert np.allclose(right, x @ x)
everybody = ctypes.CDLL(None)
names = "dgemm_ sgemm_ cblas_dgemm dgesv_ LAPACKE_dgesv MKL_Get_Version_String mkl_blas_dgemm mkl_serv_allocate"
for name in names.split():
    assert not hasattr(everybody, name), name
after = (x @ x).tobytes(), np.linalg.inv(x).tobytes()
assert before == after
stop = False
def work():
    while not stop:
        blas.dot(x, x)
threads = [threading.Thread(target=work) for _ in range(2)]
for each in threads: each.start()
for _ in range(15):
    child = os.fork()
    if not child:
        import signal
        signal.alarm(60)
        os._exit(not np.array_equal(blas.dot(x, x), right))
    assert os.waitpid(child, 0)[1] == 0, "the child hangs"
stop = True
for each in threads: each.join()
threading.Thread(target=lambda: [blas.dot(x, x) for _ in range(10**6)], daemon=True).start()
print("over")
"""


def _python(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **variables},
        timeout=300,
    )


def test_mkl_is_nobody_elses() -> None:
    """No name of it in the process, NumPy's bits are the same, forks and the end come in the midst of its work."""
    if not mkl.files():
        pytest.skip("the extra mkl is not installed")
    done = _python(_HIDDEN)
    assert (done.stdout, done.stderr, done.returncode) == ("over\n", "", 0)


def test_an_mkl_that_the_program_has_loaded_is_the_programs() -> None:
    if not mkl.files():
        pytest.skip("the extra mkl is not installed")
    core = [str(Path(each).parent / Path(each).name.replace("core", "rt")) for each in mkl.files()][-1]
    code = f"import ctypes; ctypes.CDLL({core!r}, ctypes.RTLD_GLOBAL); from minpy.runtime import blas; blas.find()"
    done = _python(code + "; print(blas.failures())", MKL_THREADING_LAYER="SEQUENTIAL")
    assert "has loaded an MKL of its own" in done.stdout, done.stderr


def test_a_broken_wheel_leaves_the_next_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Files that are no libraries, one that is missing, two releases."""
    if not sys.platform.startswith("linux") or mkl.platform.machine() != "x86_64":
        pytest.skip("MKL is for x86-64 Linux")
    monkeypatch.setattr(mkl.sysconfig, "get_path", lambda *names: str(tmp_path))
    (tmp_path / "lib").mkdir()
    assert mkl.files() == []
    for layer in mkl._LAYERS:
        (tmp_path / "lib" / f"libmkl_{layer}.so.3").write_bytes(b"no library")
    assert len(mkl.files()) == 3
    monkeypatch.setattr(blas, "_SOURCES", (("mkl", mkl.load, True),))
    monkeypatch.setattr(blas, "_failures", {})
    assert blas._load() is None and "libmkl_intel_lp64.so.3" in blas._failures["mkl"]
    (tmp_path / "lib" / "libmkl_core.so.2").write_bytes(b"")
    assert mkl.files() == []


def test_a_library_whose_products_are_wrong_is_not_used(copy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas.Library, "product", lambda self, x, y, out, kept=0.0: np.dot(x, y) + 1)
    monkeypatch.setattr(blas, "_failures", {})
    assert blas._load() is None and blas._failures == {copy.name: "its products are wrong"}


def test_libraries_that_are_loaded_together() -> None:
    if not sys.platform.startswith("linux") or mkl.platform.machine() != "x86_64":
        pytest.skip("made for x86-64 Linux")
    both = links.load(["libm.so.6", "libc.so.6"], os.RTLD_NOW)
    both.cos.restype, both.cos.argtypes = ctypes.c_double, (ctypes.c_double,)
    assert both.cos(0.0) == 1.0 and both.abs(-3) == 3
    with pytest.raises(OSError, match="no-such-library"):
        links.load(["libm.so.6", "/no-such-library.so"], os.RTLD_NOW)


@pytest.mark.parametrize("first", ["C", "F"])
@pytest.mark.parametrize("rows, inner", [(64, 768), (128, 1000), (300, 800)])
def test_rows_that_are_pages_apart(copy, rows: int, inner: int, first: str) -> None:
    """They may be taken some terms at a time: of whole numbers the product is exact however it is cut."""
    rng = np.random.default_rng(4)
    x = LAYOUTS[first](rng.integers(-9, 9, (rows, inner)).astype(float))
    y = rng.integers(-9, 9, (inner, 512)).astype(float)
    expected = np.dot(x, y)
    assert np.array_equal(blas.dot(x, y), expected)
    out = expected.copy()
    blas.add_dot(x, y, out)
    assert np.array_equal(out, 2 * expected)


@pytest.mark.parametrize("shape", [(70, 90, 110), (3, 4, 5), (100, 3072, 512), (300, 400, 500)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_repeated_products_have_the_bits_of_one(copy, dtype: type, shape: tuple[int, int, int]) -> None:
    rows, inner, columns = shape
    rng = np.random.default_rng(5)
    stack = rng.normal(size=(3, rows, inner + 2)).astype(dtype)[:, :, :-2]
    y = np.asfortranarray(rng.normal(size=(inner, columns)).astype(dtype))
    outs = np.empty((3, rows, columns), dtype)
    multiply = blas.Repeated(stack[0], y, outs[0])
    for x, out in zip(stack, outs, strict=True):
        multiply(x, y, out)
    assert all(np.array_equal(out, blas.dot(x, y)) for x, out in zip(stack, outs, strict=True))


@pytest.mark.parametrize("dtype", ["f4", "f8", ">f8", "f2"])
@pytest.mark.parametrize("layout", ["C", "F", "every second"])
@pytest.mark.parametrize("shape", [(128, 64), (3, 4), (9000, 1), (1, 9000)])
def test_sums_of_rows(shape, layout, dtype):
    x = (np.arange(2 * shape[0] * shape[1]).reshape(shape[0], 2 * shape[1]) % 7).astype(dtype)
    x = x[:, ::2] if layout == "every second" else np.array(x[:, : shape[1]], order=layout)
    found = blas.summed(x)
    assert found.shape == shape[1:] and found.dtype == np.dtype(dtype).newbyteorder("=")
    exact = x.astype("f8").sum(0)
    np.testing.assert_allclose(found, exact, rtol=1e-2 if dtype == "f2" else 0)


def test_what_numpys_threads_would_take_part_in_is_the_librarys(monkeypatch):
    """They would look for more work for some 30 ms, on the processors that MinPy's threads are to have."""
    if blas.find() is None:
        pytest.skip("NumPy's library knows this processor: there is no other")
    asked = []
    product = blas.Library.product
    monkeypatch.setattr(blas.Library, "product", lambda self, *a: asked.append(1) or product(self, *a))
    x = np.ones((128, 256), np.float32)
    blas.dot(x, np.ones((256, 10), np.float32))
    blas.dot(x.T, np.ones((128, 10), np.float32))
    blas.summed(x)
    assert len(asked) == 3
