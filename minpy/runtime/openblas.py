"""The OpenBLAS inside NumPy's wheels, as a copy that is told the processor, and a newer one (extra ``blas``).

OpenBLAS picks its kernels by the model of the processor. One that is newer than the library gets the oldest kernels
there are, which do a quarter of what it can.

Nothing is measured, so that the same machine gives the same bits every time. Whoever sets ``OPENBLAS_CORETYPE`` has
chosen himself, for both.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from minpy.runtime import kept

# Kernels that OpenBLAS falls back to; each of `_BETTER` is a few times as fast where the processor has all its flags.
_OLDEST = frozenset(("Prescott", "Core2", "Generic", "generic"))
_BETTER = (
    ("Cooperlake", {"avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512cd", "avx512_bf16"}),
    ("SkylakeX", {"avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512cd"}),
    ("Haswell", {"avx2", "fma"}),
)
# Copies of other libraries that are kept (35 MB each) when a new one is made.
_OTHERS = 1

# Its names are for nobody else, and it takes its own first.
_MODE = getattr(os, "RTLD_NOW", 2) | getattr(os, "RTLD_LOCAL", 0) | getattr(os, "RTLD_DEEPBIND", 0)


def kernels() -> tuple[str | None, str | None]:
    """Which kernels NumPy's OpenBLAS has chosen, and better ones that it has; None where there is no such library."""
    own = _core(_path())
    return own, _better(own)


def own() -> Any:
    """NumPy's OpenBLAS, where it is one that came with NumPy, as NumPy has it loaded; else None."""
    path = _path()
    if path is None:
        return None
    try:
        return ctypes.CDLL(str(path), mode=_MODE | os.RTLD_NOLOAD)
    except OSError:
        return None


def chosen(library: Any) -> str:
    """Which kernels a loaded library has chosen."""
    for name in ("openblas_get_corename64_", "scipy_openblas_get_corename64_", "openblas_get_corename"):
        function = getattr(library, name, None)
        if function is not None:
            function.restype = ctypes.c_char_p
            return function().decode()
    return ""


def load_newer() -> Any:
    """The OpenBLAS of the extra ``blas``; None if it is not installed."""
    path = _package()
    if path is None:
        return None
    better = _better(_core(path))
    return ctypes.CDLL(str(path), mode=_MODE) if better is None else _told(path, better)


def load_copy() -> Any:
    """A copy of NumPy's own with better kernels; None if it has the right ones, or there is none."""
    path = _path()
    better = _better(_core(path))
    return None if path is None or better is None else _told(path, better)


def _told(path: Path, kernels: str) -> Any:
    """The library once more, with these kernels."""
    os.environ["OPENBLAS_CORETYPE"] = kernels
    try:
        return _loaded_anew(path)
    finally:
        del os.environ["OPENBLAS_CORETYPE"]


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
    import shutil  # which takes as long as all else that this module imports

    for each in others[_OTHERS:]:
        shutil.rmtree(each, ignore_errors=True)  # a process that has it loaded keeps it


def _last_use(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0  # another process has removed it


def _path() -> Path | None:
    """The file of NumPy's OpenBLAS, where it is one that came with NumPy."""
    if not sys.platform.startswith("linux"):
        return None
    folder = Path(np.__file__).parent.parent / "numpy.libs"
    try:
        found = [name for name in os.listdir(folder) if name.startswith("lib") and "openblas" in name]
    except OSError:
        return None
    return folder / found[0] if len(found) == 1 else None


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
    return chosen(library) or None


def _better(core: str | None) -> str | None:
    """Better kernels than `core`, where these are the oldest and nobody has asked for them; else None."""
    if core not in _OLDEST or "OPENBLAS_CORETYPE" in os.environ:
        return None
    found = flags()
    return next((name for name, wanted in _BETTER if wanted <= found), None)


def flags() -> set[str]:
    """What the processor can, in the words of ``/proc/cpuinfo``."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith("flags"):
                    return set(line.partition(":")[2].split())
    except OSError:
        pass
    return set()
