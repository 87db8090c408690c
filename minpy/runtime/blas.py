"""Products of matrices whose last bits are MinPy's to choose: those of the sweep, and of the library's layers.

The OpenBLAS inside NumPy's wheels picks its kernels by the model of the processor. One that is newer than the library
gets the oldest kernels there are, which do a quarter of what it can. A program's own products must have NumPy's bits
and stay with them. For the others the same library is loaded once more, as a copy that is told which kernels the
processor has the instructions for. If a newer OpenBLAS is installed (extra ``blas``), it takes the place of the copy.

Nothing is measured, so that the same machine gives the same bits every time. Whoever sets ``OPENBLAS_CORETYPE`` has
chosen himself, for both.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy import ndarray

from minpy.runtime import kept

# Kernels that OpenBLAS falls back to; each of `_BETTER` is a few times as fast where the processor has all its flags.
_OLDEST = frozenset(("Prescott", "Core2", "Generic", "generic"))
_BETTER = (
    ("Cooperlake", {"avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512cd", "avx512_bf16"}),
    ("SkylakeX", {"avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512cd"}),
    ("Haswell", {"avx2", "fma"}),
)
# Multiplications from which it pays.
_LEAST_WORK = 1 << 19
# Rows and columns of the product by which a copy is tried: more than a block of any kernel has.
_LARGE = 450
# Copies of other libraries that are kept (35 MB each) when a new one is made.
_OTHERS = 1
_ROW_MAJOR, _PLAIN, _TRANSPOSED = 101, 111, 112

# Its names are for nobody else, and it takes its own first.
_MODE = getattr(os, "RTLD_NOW", 2) | getattr(os, "RTLD_LOCAL", 0) | getattr(os, "RTLD_DEEPBIND", 0)

_lock = threading.Lock()
_unknown = object()
_library: Any = _unknown


class _Copy:
    """A loaded OpenBLAS that is not the one NumPy uses."""

    def __init__(self, library: Any, prefix: str, suffix: str) -> None:
        self._library = library  # else it is unloaded
        whole = ctypes.c_int64 if suffix == "64_" else ctypes.c_int32
        self._multiply = {}
        for char, letter, number in (("f", "s", ctypes.c_float), ("d", "d", ctypes.c_double)):
            function = getattr(library, f"{prefix}cblas_{letter}gemm{suffix}")
            function.restype = None
            place = ctypes.c_void_p
            function.argtypes = (
                *[ctypes.c_int] * 3, *[whole] * 3, number, place, whole, place, whole, number, place, whole,
            )  # fmt: skip
            self._multiply[char] = function

    def product(self, x: ndarray, y: ndarray, out: ndarray | None, kept: float = 0.0) -> ndarray | None:
        """``x @ y``, to which `kept` times `out` is added; None if their layout is not one that BLAS takes."""
        first, second = _layout(x), _layout(y)
        if first is None or second is None:
            return None
        rows, columns = x.shape[0], y.shape[1]
        if out is None:
            out = np.empty((rows, columns), x.dtype)
        self._multiply[x.dtype.char](
            _ROW_MAJOR, first[0], second[0], rows, columns, x.shape[1], 1.0,
            x.__array_interface__["data"][0], first[1], y.__array_interface__["data"][0], second[1],
            kept, out.__array_interface__["data"][0], columns,
        )  # fmt: skip
        return out


def _layout(x: ndarray) -> tuple[int, int] | None:
    """How BLAS is told of a matrix: as it is or transposed, and the elements from one row to the next."""
    (rows, columns), (down, right), size = x.shape, x.strides, x.itemsize
    if right == size and down >= columns * size and down % size == 0:
        return _PLAIN, down // size
    if down == size and right >= rows * size and right % size == 0:
        return _TRANSPOSED, right // size
    return None


def dot(x: Any, y: Any, out: Any = None) -> Any:
    """``np.dot(x, y)``, of two matrices by whichever BLAS knows the processor.

    Parameters
    ----------
    x, y : array
        Anything that ``np.dot`` takes.
    out : numpy.ndarray, optional
        C-contiguous, of the result's shape and dtype, apart from `x` and `y`.
    """
    found = _product(x, y, out, 0.0)
    if found is not None:
        return found
    return np.dot(x, y) if out is None else np.dot(x, y, out)


def add_dot(x: ndarray, y: ndarray, out: ndarray) -> None:
    """``out += np.dot(x, y)``, of matrices of one dtype; `out` as for `dot`."""
    if _product(x, y, out, 1.0) is None:
        out += np.dot(x, y)


def _product(x: Any, y: Any, out: Any, kept: float) -> ndarray | None:
    """The product of two matrices by the copy, to which `kept` times `out` is added; None if it is not for it."""
    if (
        type(x) is ndarray
        and type(y) is ndarray
        and x.ndim == 2
        and y.ndim == 2
        and x.dtype is y.dtype
        and x.dtype.char in "fd"
        and x.shape[1] == y.shape[0]
        and x.size * y.shape[1] >= _LEAST_WORK
    ):
        library = _library
        if library is _unknown:
            library = _find()
        if library is not None:
            return library.product(x, y, out, kept)
    return None


def kernels() -> tuple[str | None, str | None]:
    """Which kernels NumPy's OpenBLAS has chosen, and better ones that it has; None where there is no such library."""
    own = _core(_path())
    return own, _better(own)


def newer() -> str | None:
    """Which kernels the OpenBLAS of the extra ``blas`` has chosen; None if it is not installed."""
    return _core(_package())


def seconds() -> tuple[float, float] | None:
    """What a product of middling size takes with NumPy's kernels, and with the copy's; None where there is no copy."""
    library = _find() if _library is _unknown else _library
    if library is None:
        return None
    x = np.arange(_LARGE * _LARGE, dtype=float).reshape(_LARGE, _LARGE) % 7
    return _least_time(lambda: np.dot(x, x)), _least_time(lambda: library.product(x, x, None))


def _least_time(work: Callable[[], Any]) -> float:
    times = []
    for _ in range(5):
        began = perf_counter()
        work()
        times.append(perf_counter() - began)
    return min(times)


def _find() -> Any:
    global _library
    with _lock:
        if _library is _unknown:
            try:
                _library = _load()
            except (OSError, AttributeError, ValueError):
                _library = None
    return _library


def _load() -> Any:
    package = _package()
    path = _path() if package is None else package
    if path is None:
        return None
    better = _better(_core(path))
    if better is None:
        if package is None:
            return None
        library = ctypes.CDLL(str(package), mode=_MODE)
    else:
        os.environ["OPENBLAS_CORETYPE"] = better
        try:
            library = _loaded_anew(path)
        finally:
            del os.environ["OPENBLAS_CORETYPE"]
    for prefix in ("", "scipy_"):
        for suffix in ("64_", ""):
            if hasattr(library, f"{prefix}cblas_dgemm{suffix}"):
                return _right(_Copy(library, prefix, suffix))
    return None


def _loaded_anew(path: Path) -> Any:
    """The library once more, from a file of its own: the loader takes the same file for the same library."""
    place = kept.folder("blas")
    if not place:
        memory = os.memfd_create(path.name)
        try:
            with open(memory, "wb", closefd=False) as file:
                file.write(path.read_bytes())
            return ctypes.CDLL(f"/proc/self/fd/{memory}", mode=_MODE)
        finally:
            os.close(memory)
    about = path.stat()
    copy = Path(place, f"{about.st_size:x}-{about.st_mtime_ns:x}", path.name)
    if not copy.exists() or copy.stat().st_size != about.st_size:
        kept.write(str(copy), path.read_bytes())
        _prune(Path(place), copy.parent)
    library = ctypes.CDLL(str(copy), mode=_MODE)
    _note_use(copy.parent)
    return library


def _note_use(folder: Path) -> None:
    try:
        os.utime(folder)
    except OSError:
        pass  # the cache belongs to somebody else


def _prune(place: Path, current: Path) -> None:
    """Remove copies of other libraries, but for the one that was used last: that of another environment, perhaps."""
    try:
        others = sorted((each for each in place.iterdir() if each != current), key=_last_use, reverse=True)
    except OSError:
        return
    for each in others[_OTHERS:]:
        shutil.rmtree(each, ignore_errors=True)  # a process that has it loaded keeps it


def _last_use(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0  # another process has removed it


def _right(copy: _Copy) -> _Copy | None:
    """The copy, if its products are right: small ones, and one that is cut into the blocks that caches ask for."""
    whole = np.arange(35 * 38, dtype=float).reshape(35, 38) % 11
    order = np.random.RandomState(0).permutation(_LARGE)
    for dtype in (np.float32, np.float64):
        x = whole.astype(dtype)
        for left, right in ((x, x.T), (x.T, x), (x[:, :35], x), (x.T, x.T.copy().T)):
            found = copy.product(left, right, None)
            if found is None or not np.array_equal(found, np.dot(left, right)):  # whole numbers: exact
                return None
        large = (np.arange(_LARGE * _LARGE) % 127).reshape(_LARGE, _LARGE).astype(dtype)
        moves = np.zeros((_LARGE, _LARGE), dtype)
        moves[order, np.arange(_LARGE)] = 1
        found = copy.product(large, moves, None)
        if found is None or not np.array_equal(found, large[:, order]):
            return None
    return copy


def _path() -> Path | None:
    """The file of NumPy's OpenBLAS, where it is one that came with NumPy."""
    if not sys.platform.startswith("linux"):
        return None
    found = sorted(Path(np.__file__).parent.parent.joinpath("numpy.libs").glob("lib*openblas*"))
    return found[0] if len(found) == 1 else None


def _package() -> Path | None:
    """The file of the OpenBLAS that the extra ``blas`` brings."""
    if not sys.platform.startswith("linux"):
        return None
    found = importlib.util.find_spec("scipy_openblas64")
    files = (
        [each for place in found.submodule_search_locations or () for each in _libraries(place)]
        if found
        else []
    )
    return files[0] if len(files) == 1 else None


def _libraries(package: str) -> list[Path]:
    return sorted(Path(package, "lib").glob("lib*openblas*.so"))


def _core(path: Path | None) -> str | None:
    """The name of the kernels that a library has chosen."""
    if path is None:
        return None
    try:
        library = ctypes.CDLL(str(path), mode=_MODE)
    except OSError:
        return None
    for name in ("openblas_get_corename64_", "scipy_openblas_get_corename64_", "openblas_get_corename"):
        function = getattr(library, name, None)
        if function is not None:
            function.restype = ctypes.c_char_p
            return function().decode()
    return None


def _better(core: str | None) -> str | None:
    """Better kernels than `core`, where these are the oldest and nobody has asked for them; else None."""
    if core not in _OLDEST or "OPENBLAS_CORETYPE" in os.environ:
        return None
    flags = _flags()
    return next((name for name, wanted in _BETTER if wanted <= flags), None)


def _flags() -> set[str]:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith("flags"):
                    return set(line.partition(":")[2].split())
    except OSError:
        pass
    return set()
