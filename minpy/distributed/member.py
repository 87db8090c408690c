"""A process that ``minpy run --workers`` started: its ties to the launcher.

It tells the launcher over a pipe what the launcher cannot see: ``J``, it will use MXNet's store, so that the scheduler
and the servers are needed; ``K``, it has joined; ``W`` and ``w``, it waits for others, and no longer; ``L``, its
program has come to its end. It dies with the launcher.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

VARIABLE = "MINPY_MEMBER"  # "<descriptor of the pipe>:<process of the launcher>"

_pipe: int | None = None
_told = b""


def tell(message: bytes) -> None:
    """Tell the launcher; nothing if there is none, or it is gone."""
    global _told
    _told += message
    if _pipe is not None:
        try:
            os.write(_pipe, message)
        except OSError:
            pass


def needs_store() -> None:
    """Tell the launcher, once, that MXNet's scheduler and servers are needed."""
    if b"J" not in _told:
        tell(b"J")


def joined() -> None:
    """Note that this process takes part in a store: it cannot leave alone any more."""
    if b"K" not in _told:
        tell(b"K")


def die_with_parent(parent: int) -> None:
    """Let the system end this process when the one that started it ends (Linux)."""
    if sys.platform == "linux":
        import ctypes

        set_death_signal = 1
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it was gone before
            os.kill(os.getpid(), signal.SIGKILL)


def run(program: Callable[[], int]) -> int:
    """Run a worker's program; give its exit status."""
    global _pipe
    pipe, _, parent = os.environ.pop(VARIABLE).partition(":")
    _pipe = int(pipe)
    os.set_inheritable(_pipe, False)
    die_with_parent(int(parent))
    # Whole lines at once: the launcher shows them, and a process that is killed has none left to show.
    if sys.stdout is not None:
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    try:
        status = program()
    except SystemExit as end:
        if end.code in (None, 0):
            tell(b"L")
        elif b"K" in _told:
            if not isinstance(end.code, int):
                print(end.code, file=sys.stderr)
            _leave(end.code if isinstance(end.code, int) else 1)
        raise
    except KeyboardInterrupt:
        if b"K" in _told:
            _leave(-signal.SIGINT)
        raise
    if status == 0:
        tell(b"L")
    elif b"K" in _told:
        _leave(status)
    return status


def _leave(status: int) -> NoReturn:
    # Not by the way of Python's end: there MXNet waits for the other workers, which wait for this one.
    exchange = sys.modules.get("minpy.distributed.exchange")
    if exchange is not None:
        exchange.abandon()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass
    if status < 0:  # whoever waits sees that it was Ctrl-C
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status & 0xFF)
