"""Freed arrays stay in the process: glibc's limits for giving memory back, raised to a share of this machine's memory.

By default glibc gets each array of more than 32 MiB from the kernel and gives it back when it is freed, and trims its
heap after smaller ones. A NumPy expression allocates and frees a temporary for each operator, so that most of its time
can go into page faults: every page of every temporary is mapped and cleared anew.

What is kept is bounded: `Limits.top` bytes at the end of the heap, and the gaps between arrays that are alive.
Arrays above `Limits.array` come from the kernel, and go back there, as without MinPy.

Knows the standard library only. On other C libraries nothing is done.
"""

from __future__ import annotations

import os
import sys
from typing import Any, NamedTuple

# The parameters of mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_MIB = 1 << 20
# glibc's own limits rise by themselves to these: below them there is nothing to gain.
_LEAST_ARRAY, _LEAST_TOP = 32 * _MIB, 64 * _MIB
_MOST_ARRAY, _MOST_TOP = 128 * _MIB, 512 * _MIB
# What a user sets to say how malloc should behave; it then behaves so.
_VARIABLES = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_", "MALLOC_MMAP_MAX_")


class Limits(NamedTuple):
    """Up to which size arrays come from the heap, and how much free memory its end may keep (bytes)."""

    array: int
    top: int


def plan(wanted: bool = True) -> tuple[Limits | None, str]:
    """The limits of this process, or None, and in words what is done or why nothing is.

    Parameters
    ----------
    wanted : bool
        The option ``keep_memory``.
    """
    if not wanted:
        return None, "off (--no-keep-memory)"
    if _glibc() is None:
        return None, "off: only glibc's malloc can be told"
    own = _users_own()
    if own:
        return None, f"off: {own} is set"
    memory = available()
    if memory is None:
        return None, "off: the size of the memory is not known"
    top, array = min(memory // 16, _MOST_TOP), min(memory // 32, _MOST_ARRAY)
    if top < _LEAST_TOP or array < _LEAST_ARRAY:
        return None, f"off: with {memory // _MIB} MiB of memory there is none to keep"
    return (
        Limits(array, top),
        f"up to {top // _MIB} MiB stay in the process, of arrays of up to {array // _MIB} MiB",
    )


_applied: Limits | None = None
_asked = False


def keep_unless_asked() -> None:
    """As `keep` with what the environment says, if nobody asked before: a tape frees all that it held at once."""
    from minpy.errors import MinPyError
    from minpy.options import from_environ

    if not _asked:
        try:
            keep(from_environ().keep_memory)
        except MinPyError:
            pass  # a variable that cannot be read is an error where options are asked for


def keep(wanted: bool = True) -> Limits | None:
    """Raise the limits of this process; twice is once. Returns those that hold, None if glibc's own do.

    There is no way back: glibc does not tell what its limits were.
    """
    global _applied, _asked
    _asked = True
    if _applied is None and wanted:
        limits, _ = plan()
        if limits is not None:
            libc = _glibc()
            # The first fixes both, so the second must follow; an older glibc refuses more than 32 MiB for arrays.
            if libc.mallopt(_TRIM_THRESHOLD, limits.top):
                if not libc.mallopt(_MMAP_THRESHOLD, limits.array):
                    limits = Limits(_LEAST_ARRAY, limits.top)
                    libc.mallopt(_MMAP_THRESHOLD, limits.array)
                _applied = limits
    return _applied


def _glibc() -> Any:
    """The C library of this process if it is glibc, else None."""
    if sys.platform != "linux":
        return None
    try:
        import ctypes

        libc = ctypes.CDLL(None)
        libc.gnu_get_libc_version  # noqa: B018 (musl, bionic and others have none)
        libc.mallopt.argtypes = (ctypes.c_int, ctypes.c_int)
        libc.mallopt.restype = ctypes.c_int
    except (ImportError, OSError, AttributeError):
        return None
    return libc


def _users_own() -> str:
    """The variable by which the user has set malloc's limits, or nothing."""
    if "glibc.malloc." in os.environ.get("GLIBC_TUNABLES", ""):
        return "GLIBC_TUNABLES"
    return next((name for name in _VARIABLES if name in os.environ), "")


def available() -> int | None:
    """The bytes of memory that this process may use: the machine's, its control group's, its own limits'."""
    found = []
    try:
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (ValueError, OSError, AttributeError):
        pass
    found += _of_control_groups("/proc/self/cgroup", "/sys/fs/cgroup")
    try:
        import resource

        for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
            soft, _ = resource.getrlimit(kind)
            if soft != resource.RLIM_INFINITY:
                found.append(soft)
    except (ImportError, OSError, ValueError):
        pass
    return min((each for each in found if each > 0), default=None)


def _of_control_groups(table: str, root: str) -> list[int]:
    """The limits of the control groups, of both versions, that this process is in, and of those around them."""
    found = []
    try:
        with open(table, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:
        return []
    for line in lines:
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if not controllers:
            folder, name = root, "memory.max"
        elif "memory" in controllers.split(","):
            folder, name = os.path.join(root, "memory"), "memory.limit_in_bytes"
        else:
            continue
        # In a container the path may be that of the host, of which only the end, or nothing, is mounted here.
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for count in range(len(parts), -1, -1):
            try:
                with open(os.path.join(folder, *parts[:count], name), encoding="ascii") as file:
                    found.append(int(file.read()))
            except (OSError, ValueError):
                pass  # not here, or "max"
    return found
