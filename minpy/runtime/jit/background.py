"""Compiling in a thread of its own: the program goes on as written meanwhile.

LLVM lets other threads run while it works. Loading it does not, takes 30 ms, and would take ten times as long in a
thread that has to wait for its turn at each file that it reads: that is done here. With one processor, and where every
loop is to be compiled, the program waits for the code.

Between two calls of LLVM the thread wants the interpreter. It would ask for it after 5 ms in which nobody else had it,
but a program that lets it go for a moment every millisecond, as NumPy does with each large array, begins these anew
each time: code of a quarter of a second came after two or three. So whoever asks for the code makes way.
"""

from __future__ import annotations

import _thread
import atexit
import os
import sys
import time
from collections.abc import Callable
from time import perf_counter, sleep
from typing import TYPE_CHECKING, Any

from minpy import handlers
from minpy.runtime import ledger
from minpy.runtime.jit import engine, sites

if TYPE_CHECKING:
    from queue import SimpleQueue

# What compiling quickly takes from the program, in seconds: with the loading of the compiler, and without. The loop
# goes on with that code; the fast one is made later, in the thread, or while the program waits, so long for each byte
# of the text.
_QUICKLY = (0.06, 0.015)
_MEANWHILE, _ALONE = 0.006, 4e-6
# Seconds between two times that the program makes way for the thread, and how often it does so in a row while the
# thread gets on by short steps: each takes 70 µs, as the kernel adds 50 to these seconds of sleep. The thread is at
# work, and wants no interpreter, where it had a processor for this part of them.
_BETWEEN, _STEPS, _MOMENT, _AT_WORK = 5e-3, 8, 20e-6, 0.7
_COMPILING = "compiling meanwhile"  # what the thread's work is called in the ledger
# Times as long must a program have run as the thread will be at work: once so much was gained, and before. What was
# gained so many times over pays for that at any time.
_PATIENCE, _CAUTION, _PAID = 8, 20, 4


class Job:
    """A text that is being compiled."""

    __slots__ = ("_is_over", "code", "failure", "keep", "text")

    def __init__(self, text: str, keep: Callable[[bytes], None]) -> None:
        self.text, self.keep = text, keep
        self._is_over = False
        self.code = b""
        self.failure: Exception | None = None

    @property
    def done(self) -> bool:
        """Whether it is over. If not, the thread gets its chance at the interpreter."""
        if not self._is_over:
            _make_way()
        return self._is_over

    def forget(self) -> None:
        """Let whoever asks again begin anew."""
        self._is_over = True

    def work(self) -> None:
        """Compile."""
        began = ledger.clock()
        try:
            self.code = engine.object_code(self.text)
            self.keep(self.code)
        except Exception as error:
            self.failure = error
        ledger.note(_COMPILING, ledger.clock() - began, taken=_MEANWHILE)
        self._is_over = True


class Pending(Exception):
    """The code is not there yet; `job` says when it is."""

    def __init__(self, job: Job) -> None:
        super().__init__("is being compiled")
        self.job = job


def is_used() -> bool:
    """Whether there is a processor for it."""
    return sites.mode() != "force" and _processors() > 1


def is_early(size: int, spent: float = 0.0) -> bool:
    """Whether a text of `size` bytes is too long for the thread yet: a program that ends meanwhile waits for it.

    The program has `spent` so many seconds in what the text is for.
    """
    if not is_used():
        return False
    # With what waits for the thread already.
    takes = work(size) + sum(work(len(job.text)) for job in list(_jobs.values()) if not job.done)
    gained = ledger.gained()
    if gained > _PAID * (takes + ledger.seconds.get(_COMPILING, 0.0)):
        return False
    times = _PATIENCE if gained > takes else _CAUTION
    return ledger.ran() < times * takes and not ledger.is_due(takes, spent)


def is_busy() -> bool:
    """Whether the thread is at work: llvmlite lets only one at a time, and who compiles quickly would wait for it."""
    return not all(job.done for job in list(_jobs.values()))


def _processors() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def expected(loaded: bool | None = None) -> float:
    """The seconds that compiling another text will take from the program.

    `loaded` says whether the compiler is, if that is not to be asked.
    """
    return _QUICKLY[engine.is_loaded() if loaded is None else loaded]


def expected_again(size: int = 25_000) -> float:
    """The seconds that it will take from the program to make fast code of a text of `size` bytes."""
    return _MEANWHILE if is_used() else work(size)


def work(size: int) -> float:
    """The processor's seconds that fast code of a text of `size` bytes takes, wherever it is made."""
    return _ALONE * size


def quick_code(text: str) -> bytes:
    """The compiled code of a text, made at once and not for speed; raises `CompileError` if there will be none."""
    began = ledger.clock()
    try:
        return engine.object_code(text, quickly=True)
    finally:
        ledger.note("compiling quickly", ledger.clock() - began)


_jobs: dict[str, Job] = {}
_lock = _thread.allocate_lock()
_queue: SimpleQueue[Job | None] | None = None
_over: Any = None  # is released by the thread as the last thing it does
_ident = 0  # the thread, as the system knows it
_way_made = 0.0


def _make_way() -> None:
    """Let go of the interpreter for some moments, until the thread is at work without it."""
    global _way_made
    if perf_counter() - _way_made < _BETWEEN:
        return
    for _ in range(_STEPS):
        began, worked = perf_counter(), _worked()
        sleep(_MOMENT)
        if _worked() - worked >= _AT_WORK * (perf_counter() - began):
            break
    _way_made = perf_counter()


def _worked() -> float:
    """The seconds that the thread has had a processor; where the system does not tell, as much as there were."""
    if sys.platform.startswith("linux") and _ident:
        try:
            return time.clock_gettime((~_ident << 3) | 6)  # as pthread_getcpuclockid(3) gives it
        except OSError:  # it is over
            pass
    return perf_counter()


def object_code(text: str, keep: Callable[[bytes], None]) -> bytes:
    """The compiled code of a text; `keep` is called with it, once, even if the program ends before it asks again.

    Raises
    ------
    Pending
        It is not there yet: ask again later.
    CompileError
        There will be none.
    """
    job = _jobs.get(text)
    if job is None:
        if not is_used() or not _is_loaded() or not _begin(text, keep):
            began = ledger.clock()
            try:
                code = engine.object_code(text)
            finally:
                ledger.note("compiling", ledger.clock() - began)
            keep(code)
            return code
        job = _jobs[text]
        _make_way()
        raise Pending(job)
    if not job.done:
        raise Pending(job)
    _jobs.pop(text, None)
    if job.failure is not None:
        raise job.failure
    return job.code


def _is_loaded() -> bool:
    """Load the compiler; False if it says no, which `engine.object_code` will put into words."""
    if engine.is_loaded():
        return True
    began = ledger.clock()
    try:
        engine._machine()
    except (RuntimeError, OSError, ImportError, AttributeError) as error:
        if handlers.raised(error):
            raise
        return False
    ledger.note("loading the compiler", ledger.clock() - began)
    return True


def _begin(text: str, keep: Callable[[bytes], None]) -> bool:
    """Hand a text to the thread; False if there is none to be had."""
    from queue import SimpleQueue

    global _queue, _over
    if not _lock.acquire(blocking=False):
        return False  # a signal's handler, while the thread is waited for
    try:
        if _queue is None:
            queue: SimpleQueue[Job | None] = SimpleQueue()
            over = _thread.allocate_lock()
            over.acquire()
            try:
                _thread.start_new_thread(_serve, (queue, over))
            except RuntimeError:
                return False
            _queue, _over = queue, over
        job = _jobs[text] = Job(text, keep)
        _queue.put(job)
    finally:
        _lock.release()
    return True


def _serve(queue: SimpleQueue[Job | None], over: Any) -> None:
    global _ident
    _ident = _thread.get_native_id()
    while (job := queue.get()) is not None:
        job.work()
    over.release()


def stop() -> None:
    """Let the thread finish what it is at, and end; what it has not begun is forgotten."""
    if _queue is None:
        return
    with ledger.entered("waiting for the compiler"), _lock:
        _stop()


def _stop() -> None:
    global _queue, _over
    queue, over, _queue, _over = _queue, _over, None, None
    if queue is None:
        return
    from queue import Empty

    try:
        while True:
            waiting = queue.get_nowait()
            if waiting is not None:
                _jobs.pop(waiting.text, None)
                waiting.forget()
    except Empty:
        pass
    queue.put(None)
    over.acquire()


def _before_fork() -> None:
    _lock.acquire()
    _stop()


def _after_fork() -> None:
    _lock.release()


atexit.register(stop)  # LLVM must not be at work while the process is taken down
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork, after_in_parent=_after_fork)
