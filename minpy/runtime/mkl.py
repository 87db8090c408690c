"""Intel's MKL, if the extra ``mkl`` is installed: products without a name of it in the process.

The library's own loader, ``libmkl_rt``, puts the names of BLAS and LAPACK into the scope of the whole process, where
what a program loads later would find them instead of its own. Its three layers (interface, threads, computation) are
therefore loaded as one library with a scope of its own (`links`), the layer of threads being the one without any. The
kernels for the processor are found by the layer of computation, which keeps them to itself.

A link namespace of its own (``dlmopen``) would come with a second C library, whose thread-specific keys are places in
the same table of each thread as the first one's: the layer of computation has such a key and would write over another.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import sysconfig
from pathlib import Path
from typing import Any

from minpy.runtime import links

# In the order in which names are looked up.
_LAYERS = ("intel_lp64", "sequential", "core")
_NAME = "MKL_Get_Version_String"


def files() -> list[str]:
    """The files of the three layers; empty if they are not installed, or more than one release is."""
    if not sys.platform.startswith("linux") or platform.machine() != "x86_64":
        return []
    for scheme in (sysconfig.get_default_scheme(), f"{os.name}_user"):
        folder = Path(sysconfig.get_path("data", scheme), "lib")
        found = [sorted(folder.glob(f"libmkl_{layer}.so.*")) for layer in _LAYERS]
        if all(len(each) == 1 for each in found):
            return [str(each[0]) for each in found]
    return []


def load() -> Any:
    """The library; None if it is not installed.

    Raises
    ------
    OSError
        It cannot be loaded, or the program itself has loaded an MKL, with its names in everybody's scope.
    """
    found = files()
    if not found:
        return None
    if hasattr(ctypes.CDLL(None), _NAME):
        raise OSError("the program has loaded an MKL of its own, which would be taken for this one")
    mode = os.RTLD_LAZY | os.RTLD_LOCAL | os.RTLD_DEEPBIND  # lazy: its interface refers to 30,000 names
    return links.load(found, mode)


def version(library: Any) -> str:
    """Which release a loaded library is."""
    text = ctypes.create_string_buffer(256)
    function = getattr(library, _NAME)
    function.argtypes, function.restype = (ctypes.c_char_p, ctypes.c_int), None
    function(text, len(text))
    said = text.value.decode(errors="replace").strip()
    return said.partition("Version ")[2].partition("-")[0] or said
