"""The threads that tiles are shared by: as many as this process may use, started when needed, gone before a fork.

Who asks for the work takes part in it. The parts are taken one by one by whoever is free, so nothing waits for a thread
that does not come: because it is not scheduled, was ended by a fork, or the interpreter is shutting down.
"""

from __future__ import annotations

import _thread
import math
import os
import sys
from collections.abc import Callable
from functools import lru_cache
from time import monotonic, sleep
from typing import Any

try:
    from _queue import SimpleQueue  # `queue` has it from there, and imports more
except ImportError:
    from queue import SimpleQueue

_PATIENCE = 10.0  # seconds that a fork waits for another thread's work at most


def width() -> int:
    """How many threads may work on one block, the caller's included.

    ``OMP_NUM_THREADS`` (which ``minpy run --threads`` sets), the process's affinity and the quota of its control
    group are respected; of the affinity a change is seen after a hundredth of a second.
    """
    return _most(_usable(), quota(), _setting(_NAME))


def _settings() -> tuple[Callable[[Any], Any], Any]:
    """What gives the setting, and by which name: where it can be, without the conversions of `os.environ`."""
    known = getattr(os.environ, "_data", None)
    if type(known) is not dict or not hasattr(os.environ, "encodekey"):
        return os.environ.get, "OMP_NUM_THREADS"
    return known.get, os.environ.encodekey("OMP_NUM_THREADS")


_setting, _NAME = _settings()
_FRESH = 0.01  # seconds
_affinity = (-1.0, 0)  # when it was looked at, and how many processors there were


def _usable() -> int:
    global _affinity
    now = monotonic()
    when, usable = _affinity
    if not when <= now < when + _FRESH:
        try:
            usable = len(os.sched_getaffinity(0))
        except AttributeError:
            usable = os.cpu_count() or 1
        _affinity = now, usable
    return usable


@lru_cache(maxsize=64)
def _most(usable: int, share: int, setting: str | bytes | None) -> int:
    usable, text = min(usable, share), os.fsdecode(setting or "").split(",")[0].strip()
    return max(1, min(usable, int(text) if text.isdecimal() else usable, 64))


def cuts(extent: int, parts: int, block: int = 1) -> list[tuple[int, int]]:
    """Where each of `parts` begins, or of fewer, and how much it has: multiples of `block`, but for the last one."""
    step = max(-(-extent // (parts * block)), 1) * block
    return [(first, min(step, extent - first)) for first in range(0, extent, step)]


@lru_cache(maxsize=4)
def quota(table: str = "/proc/self/cgroup", root: str = "/sys/fs/cgroup") -> int:
    """How many processors' time the control groups of this process may use, rounded up; many if nothing is said."""
    least = 1 << 16
    try:
        with open(table, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:
        return least
    for line in lines:
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = f"{root}/{controllers}" if controllers else root
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for depth in range(len(parts) + 1):
            folder = "/".join([top, *parts[:depth]])
            least = min(least, _of_two(folder, controllers != ""))
    return least


def _of_two(folder: str, old: bool) -> int:
    """The quota of one control group (of version 1 if `old`)."""
    try:
        if old:
            with open(f"{folder}/cpu.cfs_quota_us") as file, open(f"{folder}/cpu.cfs_period_us") as other:
                words = [file.read().strip(), other.read().strip()]
        else:
            with open(f"{folder}/cpu.max") as file:
                words = file.read().split()
        time, period = int(words[0]), int(words[1])
    except (OSError, ValueError, IndexError):  # "max", or no such file
        return 1 << 16
    return max(1, math.ceil(time / period)) if time > 0 and period > 0 else 1 << 16


class _Work:
    """Parts that are to be done, and who takes part."""

    def __init__(self, function: Callable[[int], None], parts: int) -> None:
        self.function = function
        self.numbers = iter(range(parts))  # taking one is a single step of the interpreter's
        self.came: list[None] = []  # one for each thread that may have taken a part
        self.gone: list[BaseException | None] = []  # how it ended for those that will take no more
        self.bell: SimpleQueue[None] = SimpleQueue()  # rings after each of these

    def take_part(self) -> None:
        """In a thread of the pool: do parts as long as there are any, and say how that ended."""
        self.came.append(None)
        try:
            for number in self.numbers:
                self.function(number)
        except BaseException as error:
            self.gone.append(error)
        else:
            self.gone.append(None)
        self.bell.put(None)


def _nothing(number: int) -> None:
    """What is left of work that is done."""


class _Helper:
    """One thread of the pool."""

    def __init__(self) -> None:
        self.tasks: SimpleQueue[_Work | None] = SimpleQueue()
        self.over = _thread.allocate_lock()
        self.over.acquire()
        self.ident = _thread.start_new_thread(self._work, ())

    def _work(self) -> None:
        while (work := self.tasks.get()) is not None:
            work.take_part()
            del work
        self.over.release()


_helpers: list[_Helper] = []
_holder: dict[str, int] = {}  # under "": the thread that uses the pool
# The calls of `run` by thread. An exception out of a signal's handler may come so late that one is not taken out: then
# it is not among the calls of that thread any more.
_inside: dict[int, Any] = {}


def is_at_hand() -> bool:
    """Whether there are threads besides those of the program."""
    return bool(_helpers)


_PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))) + os.sep


def is_only_thread() -> bool:
    """Whether no other thread runs code of the program's: there are those of the pool, and MinPy's that wait."""
    frames = sys._current_frames()
    del frames[_thread.get_ident()]  # a frame that knew itself would stay, with all that the callers hold
    for frame in frames.values():
        while frame.f_back is not None:
            frame = frame.f_back
        if not frame.f_code.co_filename.startswith(_PACKAGE):
            return False
    return True


def _is_at_work(ident: int) -> bool:
    """Whether a thread is in `run`."""
    call = _inside.get(ident)
    if call is None:
        return False
    frame = sys._current_frames().get(ident)
    while frame is not None and frame is not call:
        frame = frame.f_back
    return frame is not None


def run(function: Callable[[int], None], parts: int) -> None:
    """Call ``function(0)`` … ``function(parts - 1)``, here and in the threads of the pool, and wait for all of them.

    One after the other, here, if the pool is taken. The first exception is raised when all are over; parts that were
    not begun by then are not.
    """
    me = _thread.get_ident()
    if parts < 2 or (
        me in _inside and _is_at_work(me)
    ):  # inside: a signal's handler, or what a deleted object does, in the midst of it
        for number in range(parts):
            function(number)
        return
    try:
        _inside[me] = sys._getframe()
        if _holder.setdefault("", me) != me:
            for number in range(parts):
                function(number)
        else:
            _shared(_Work(function, parts), parts)
    finally:
        if _holder.get("") == me:
            del _holder[""]
        _inside.pop(me, None)


def _shared(work: _Work, parts: int) -> None:
    failure: BaseException | None = None
    try:
        try:
            while len(_helpers) < parts - 1:
                _helpers.append(_Helper())
        except RuntimeError:  # no more threads to be had
            pass
        for helper in _helpers[: parts - 1]:
            helper.tasks.put(work)
        for number in work.numbers:
            work.function(number)
    except BaseException as error:
        failure = error
    # Whoever comes from now on finds nothing left to do, or (after a failure) nothing that may be begun.
    while True:
        # A signal's handler may raise here; what the others write into must outlive them.
        try:
            for _ in work.numbers:
                pass
            break
        except BaseException as error:
            failure = failure or error
    # Counted anew each time: who comes late goes at once, and must not be taken for one who is still at work. Nor may
    # it be lost who is gone, where an exception comes between hearing the bell and counting.
    while len(work.gone) < len(work.came):
        try:
            work.bell.get()
        except BaseException as error:
            failure = failure or error
    # A thread that comes later finds nothing to do; until then it must not hold what the work was done on.
    work.function = _nothing
    for error_there in work.gone:
        failure = failure or error_there
    if failure is not None:
        raise failure


# A fork. The threads of the pool would not be there in the child, so none is there at the time.


def _before_fork() -> None:
    me = _thread.get_ident()
    until = monotonic() + _PATIENCE
    while (other := _holder.setdefault("", me)) != me and _is_at_work(other) and monotonic() < until:
        sleep(1e-4)
    while _helpers:
        helper = _helpers.pop()
        helper.tasks.put(None)
        if helper.ident != me:
            helper.over.acquire()


def _after_fork_in_parent() -> None:
    # (A signal's handler that forks in the midst of work goes on with it.)
    me = _thread.get_ident()
    if _holder.get("") == me and not _is_at_work(me):
        del _holder[""]


def _after_fork_in_child() -> None:
    me = _thread.get_ident()
    mine = _inside.get(me) if _is_at_work(me) else None
    _inside.clear()
    if mine is None:
        _holder.clear()
    else:
        _inside[me] = mine


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
    )
