"""The threads that tiles are shared by: as many as this process may use, started when needed, gone before a fork."""

from __future__ import annotations

import _thread
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any


def width() -> int:
    """How many threads may work on one block, the caller's included.

    ``OMP_NUM_THREADS`` (which ``minpy run --threads`` sets) and the process's affinity are respected.
    """
    try:
        usable = len(os.sched_getaffinity(0))
    except AttributeError:
        usable = os.cpu_count() or 1
    text = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return max(1, min(usable, int(text) if text.isdecimal() else usable, 64))


class _Helper:
    """One thread of the pool."""

    def __init__(self) -> None:
        self.tasks: SimpleQueue[Any] = SimpleQueue()
        self.over = _thread.allocate_lock()
        self.over.acquire()
        _thread.start_new_thread(self._work, ())

    def _work(self) -> None:
        while True:
            task = self.tasks.get()
            if task is None:
                break
            function, number, outcome = task
            try:
                function(number)
            except BaseException as error:
                outcome.put(error)
            else:
                outcome.put(None)
            del task, function, outcome
        self.over.release()


_helpers: list[_Helper] = []
_busy = threading.Lock()


def run(function: Callable[[int], None], parts: int) -> None:
    """Call ``function(0)`` … ``function(parts - 1)``, each in a thread, and wait for all of them.

    One after the other, here, if the pool is taken. The first exception is raised when all are over.
    """
    if parts < 2 or not _busy.acquire(blocking=False):
        for number in range(parts):
            function(number)
        return
    outcome: SimpleQueue[BaseException | None] = SimpleQueue()
    started = 0
    failure: BaseException | None = None
    rest = range(0)
    try:
        try:
            while len(_helpers) < parts - 1:
                _helpers.append(_Helper())
        except RuntimeError:  # no more threads to be had
            pass
        for number in range(1, min(parts, len(_helpers) + 1)):
            _helpers[number - 1].tasks.put((function, number, outcome))
            started += 1
        rest = range(started + 1, parts)
        try:
            function(0)
            for number in rest:
                function(number)
        except BaseException as error:
            failure = error
        while started:
            # A signal's handler may raise here; what the others write into must outlive them.
            try:
                error_there = outcome.get()
            except BaseException as error:
                failure = error
                continue
            started -= 1
            failure = failure or error_there
    finally:
        _busy.release()
    if failure is not None:
        raise failure


def _before_fork() -> None:
    _busy.acquire()
    while _helpers:
        helper = _helpers.pop()
        helper.tasks.put(None)
        helper.over.acquire()


def _after_fork() -> None:
    _busy.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork, after_in_parent=_after_fork)
