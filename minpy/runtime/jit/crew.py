"""Threads that take part in loops over the elements of large arrays, in the midst of compiled code.

Compiled loops keep the interpreter's lock, and between two of their statements lie microseconds: the pool's threads
(`fuse.pool`), which are called through the interpreter, would come too late. A crew waits in compiled code, without the
lock: it looks for work for some 50 microseconds after the last one, and then sleeps until it is called (`futex`).
Whoever shares a loop takes part in it and waits for nobody who has not begun a part; who has to wait long, since the
processors have other work, shares no loop for a while. What a part raises among the processor's flags is told to the
thread that shares, as if it had done all of it.

A loop that is shared is a function of where its words lie, a first index and a last one. `address` is where the
function lies that shares one: with no crew it calls the loop for all indices.
"""

from __future__ import annotations

import _thread
import atexit
import ctypes
import os
import platform
import sys
from functools import lru_cache
from typing import Any

from minpy import handlers
from minpy.runtime.jit import engine, store

NAME = "share"  # among the functions outside that compiled code calls
SYMBOL = "minpy_share"
DECLARATION = f"declare i64 @{SYMBOL}(ptr, ptr, i64, i64)"
# So many words of eight bytes, weighted by what each takes, are worth the two microseconds that it takes to share them;
# so many, or every eighth time fewer, the five that it takes to wake who sleeps.
LEAST, _WAKES, _PATIENCE = 1 << 15, 1 << 18, 8
_SPIN = 150_000  # cycles
_CHUNKS = 4  # for each thread
# So often whoever shares looks whether the others are done before the processor is left to others: these want it, and
# one of the crew waits for them. The next loops are not shared then: eight, and twice as many each time, to that many.
_PAUSES, _FIRST_SKIPPED, _MOST_SKIPPED = 2000, 8, 1024
# Where things are, in bytes; what different threads write lies in different lines of the cache.
_CALLS, _STATE, _NEXT, _SLEEPERS, _JOB, _RESULT, _WIDTH, _BUSY, _STOP, _SHARED = (128 * k for k in range(10))
_MISSED, _SKIP, _PENALTY = _BUSY + 8, _BUSY + 16, _BUSY + 24
_RAISED, _LEAST = _RESULT + 8, _WIDTH + 8
_SIZE = 128 * 10
_OPEN = 1 << 32  # in the state: whoever comes may begin; below, how many have begun
_FUTEX, _WAIT, _WAKE = 202, 128, 129  # x86-64's system call; both for this process alone


def is_possible() -> bool:
    """Whether there can be a crew on this machine."""
    return sys.platform.startswith("linux") and platform.machine() == "x86_64"


@lru_cache(maxsize=1)
def _words() -> int:
    """The memory that all of the crew see; it is never freed."""
    memory = (ctypes.c_char * (_SIZE + 128))()
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(memory))
    start = -(-ctypes.addressof(memory) // 128) * 128
    ctypes.c_int64.from_address(start + _LEAST).value = LEAST
    return start


def _word(offset: int) -> Any:
    return ctypes.c_int64.from_address(_words() + offset)


def _part(name: str, offset: int) -> str:
    return f"  %{name} = getelementptr i8, ptr @crew, i64 {offset}\n"


# Take parts, as long as there are any; the result and the processor's flags go to those of the whole.
_TAKE = f"""
define internal void @take() {{
entry:
{_part("next", _NEXT)}{_part("job", _JOB)}{_part("results", _RESULT)}  %place = load ptr, ptr %job
  %wordsp = getelementptr i8, ptr %job, i64 8
  %words = load ptr, ptr %wordsp
  %np = getelementptr i8, ptr %job, i64 16
  %n = load i64, ptr %np
  %chunkp = getelementptr i8, ptr %job, i64 24
  %chunk = load i64, ptr %chunkp
  br label %more
more:
  %first = atomicrmw add ptr %next, i64 %chunk monotonic
  %some = icmp slt i64 %first, %n
  br i1 %some, label %run, label %out
run:
  %end = add i64 %first, %chunk
  %over = icmp sgt i64 %end, %n
  %last = select i1 %over, i64 %n, i64 %end
  %fine = call i64 %place(ptr %words, i64 %first, i64 %last)
  %old = atomicrmw and ptr %results, i64 %fine monotonic
  br label %more
out:
  ret void
}}
"""

_SHARE = f"""
@crew = external global i8
declare i64 @syscall(i64, ptr, i64, i64, ptr, ptr, i64)
declare i64 @sched_yield()
declare void @llvm.x86.sse2.pause()
declare void @llvm.x86.sse.stmxcsr(ptr)
declare void @llvm.x86.sse.ldmxcsr(ptr)
declare i64 @llvm.smax.i64(i64, i64)
declare i64 @llvm.smin.i64(i64, i64)
{_TAKE}
define i64 @kernel(ptr %place, ptr %words, i64 %n, i64 %work) {{
entry:
  %mx = alloca i32
{_part("widthp", _WIDTH)}{_part("busy", _BUSY)}{_part("state", _STATE)}{_part("next", _NEXT)}{_part("calls", _CALLS)}
{_part("sleepersp", _SLEEPERS)}{_part("job", _JOB)}{_part("results", _RESULT)}{_part("shared", _SHARED)}
{_part("missedp", _MISSED)}{_part("raisedp", _RAISED)}{_part("leastp", _LEAST)}
{_part("skipp", _SKIP)}{_part("penaltyp", _PENALTY)}  %late = alloca i64
  %width = load i64, ptr %widthp
  %several = icmp sge i64 %width, 2
  %least = load i64, ptr %leastp
  %much = icmp sge i64 %work, %least
  %parts = icmp sge i64 %n, 2
  %both = and i1 %several, %much
  %worth = and i1 %both, %parts
  br i1 %worth, label %rest, label %alone
rest:
  %skip = load i64, ptr %skipp
  %skips = icmp sgt i64 %skip, 0
  br i1 %skips, label %rests, label %ask
rests:
  %fewer = sub i64 %skip, 1
  store i64 %fewer, ptr %skipp
  br label %alone
alone:
  %all = call i64 %place(ptr %words, i64 0, i64 %n)
  ret i64 %all
ask:
  %sleepers = load atomic i64, ptr %sleepersp seq_cst, align 8
  %asleep = icmp sgt i64 %sleepers, 0
  %little = icmp slt i64 %work, {_WAKES}
  %perhaps = and i1 %asleep, %little
  br i1 %perhaps, label %wait, label %begin
wait:
  %missed = load i64, ptr %missedp
  %again = add i64 %missed, 1
  %enough = icmp sge i64 %again, {_PATIENCE}
  %kept = select i1 %enough, i64 0, i64 %again
  store i64 %kept, ptr %missedp
  br i1 %enough, label %begin, label %alone
begin:
  %pair = cmpxchg ptr %busy, i64 0, i64 1 acquire monotonic
  %mine = extractvalue {{i64, i1}} %pair, 1
  br i1 %mine, label %go, label %alone
go:
  store ptr %place, ptr %job
  %wordsp = getelementptr i8, ptr %job, i64 8
  store ptr %words, ptr %wordsp
  %np = getelementptr i8, ptr %job, i64 16
  store i64 %n, ptr %np
  %pieces = mul i64 %width, {_CHUNKS}
  %up = add i64 %n, %pieces
  %up1 = sub i64 %up, 1
  %each = sdiv i64 %up1, %pieces
  %long = icmp sge i64 %each, 512
  %each64 = add i64 %each, 63
  %round = and i64 %each64, -64
  %chunk = select i1 %long, i64 %round, i64 %each
  %chunkp = getelementptr i8, ptr %job, i64 24
  store i64 %chunk, ptr %chunkp
  store i64 1, ptr %results
  store i64 0, ptr %raisedp
  store i64 0, ptr %next
  store i64 0, ptr %late
  store atomic i64 {_OPEN}, ptr %state seq_cst, align 8
  %before = atomicrmw add ptr %calls, i32 1 seq_cst
  %times = load i64, ptr %shared
  %times1 = add i64 %times, 1
  store i64 %times1, ptr %shared
  %sleeping = load atomic i64, ptr %sleepersp seq_cst, align 8
  %any = icmp sgt i64 %sleeping, 0
  br i1 %any, label %wake, label %work_
wake:
  %others = sub i64 %width, 1
  %woken = call i64 @syscall(i64 {_FUTEX}, ptr %calls, i64 {_WAKE}, i64 %others, ptr null, ptr null, i64 0)
  br label %work_
work_:
  call void @take()
  %closed = atomicrmw and ptr %state, i64 {_OPEN - 1} seq_cst
  br label %look
look:
  %tries = phi i64 [ 0, %work_ ], [ %tries1, %pause ], [ 0, %leave ]
  %now = load atomic i64, ptr %state seq_cst, align 8
  %none = icmp eq i64 %now, 0
  br i1 %none, label %over, label %pause_
pause_:
  %tries1 = add i64 %tries, 1
  %long_ = icmp sgt i64 %tries1, {_PAUSES}
  br i1 %long_, label %leave, label %pause
pause:
  call void @llvm.x86.sse2.pause()
  br label %look
leave:
  %left = call i64 @sched_yield()
  store i64 1, ptr %late
  br label %look
over:
  %result = load atomic i64, ptr %results seq_cst, align 8
  %raised = load atomic i64, ptr %raisedp seq_cst, align 8
  %penalty = load i64, ptr %penaltyp
  %was = load i64, ptr %late
  %waited = icmp ne i64 %was, 0
  %twice = shl i64 %penalty, 1
  %least_ = call i64 @llvm.smax.i64(i64 %twice, i64 {_FIRST_SKIPPED})
  %most_ = call i64 @llvm.smin.i64(i64 %least_, i64 {_MOST_SKIPPED})
  %half = lshr i64 %penalty, 1
  %penalty1 = select i1 %waited, i64 %most_, i64 %half
  %skip1 = select i1 %waited, i64 %most_, i64 0
  store i64 %penalty1, ptr %penaltyp
  store i64 %skip1, ptr %skipp
  store atomic i64 0, ptr %busy release, align 8
  %quiet = icmp eq i64 %raised, 0
  br i1 %quiet, label %out, label %raise
raise:
  call void @llvm.x86.sse.stmxcsr(ptr %mx)
  %mine_ = load i32, ptr %mx
  %theirs = trunc i64 %raised to i32
  %all_ = or i32 %mine_, %theirs
  store i32 %all_, ptr %mx
  call void @llvm.x86.sse.ldmxcsr(ptr %mx)
  br label %out
out:
  ret i64 %result
}}
"""

_SERVE = f"""
@crew = external global i8
declare i64 @syscall(i64, ptr, i64, i64, ptr, ptr, i64)
declare void @llvm.x86.sse2.pause()
declare void @llvm.x86.sse.stmxcsr(ptr)
declare void @llvm.x86.sse.ldmxcsr(ptr)
declare i64 @llvm.readcyclecounter()
{_TAKE}
define i64 @kernel() {{
entry:
  %mx = alloca i32
{_part("state", _STATE)}{_part("calls", _CALLS)}{_part("sleepers", _SLEEPERS)}{_part("stop", _STOP)}
{_part("raisedp", _RAISED)}
  br label %fresh
fresh:
  %seen = phi i32 [ 0, %entry ], [ %now, %try ], [ %now, %done ]
  %since = call i64 @llvm.readcyclecounter()
  br label %spin
spin:
  %now = load atomic i32, ptr %calls seq_cst, align 4
  %stopped = load atomic i64, ptr %stop seq_cst, align 8
  %ends = icmp ne i64 %stopped, 0
  br i1 %ends, label %out, label %look
look:
  %called = icmp ne i32 %now, %seen
  br i1 %called, label %try, label %idle
idle:
  call void @llvm.x86.sse2.pause()
  %clock = call i64 @llvm.readcyclecounter()
  %waited = sub i64 %clock, %since
  %tired = icmp ugt i64 %waited, {_SPIN}
  br i1 %tired, label %sleep, label %spin
sleep:
  %more = atomicrmw add ptr %sleepers, i64 1 seq_cst
  %number = zext i32 %seen to i64
  %slept = call i64 @syscall(i64 {_FUTEX}, ptr %calls, i64 {_WAIT}, i64 %number, ptr null, ptr null, i64 0)
  %fewer = atomicrmw sub ptr %sleepers, i64 1 seq_cst
  br label %spin
try:
  %s = load atomic i64, ptr %state seq_cst, align 8
  %open = icmp uge i64 %s, {_OPEN}
  br i1 %open, label %enter, label %fresh
enter:
  %s1 = add i64 %s, 1
  %pair = cmpxchg ptr %state, i64 %s, i64 %s1 seq_cst seq_cst
  %in = extractvalue {{i64, i1}} %pair, 1
  br i1 %in, label %begin, label %try
begin:
  call void @llvm.x86.sse.stmxcsr(ptr %mx)
  %was = load i32, ptr %mx
  %lowered = and i32 %was, -64
  store i32 %lowered, ptr %mx
  call void @llvm.x86.sse.ldmxcsr(ptr %mx)
  call void @take()
  call void @llvm.x86.sse.stmxcsr(ptr %mx)
  %raised = load i32, ptr %mx
  %flags = and i32 %raised, 63
  %flags_ = zext i32 %flags to i64
  %told = atomicrmw or ptr %raisedp, i64 %flags_ seq_cst
  br label %done
done:
  %gone = atomicrmw sub ptr %state, i64 1 seq_cst
  br label %fresh
out:
  ret i64 0
}}
"""


def _code(text: str, names: tuple[str, ...]) -> int:
    """The address of the function of a module; 0 if there is none to be had."""
    try:
        where = store.file_for(text, "", "crew")
        code = store.load_bytes(where)
        if code is None:
            code = engine.object_code(text, quickly=True)
            store.save_bytes(where, code)
        library = ctypes.CDLL(None)
        return engine.placed(
            code, {"crew": _words()} | {name: engine.address(getattr(library, name)) for name in names}
        )
    except (AttributeError, OSError, engine.CompileError) as error:
        if handlers.raised(error):
            raise
        return 0


@lru_cache(maxsize=1)
def address() -> int:
    """Where the function lies that shares a loop; 0 if there is none."""
    return _code(_SHARE, ("syscall", "sched_yield"))


@lru_cache(maxsize=1)
def _serve() -> Any:
    place = _code(_SERVE, ("syscall",))
    return ctypes.CFUNCTYPE(ctypes.c_int64)(place) if place else None


_members: list[Any] = []  # of each a lock that is free when it has gone


def _serving(over: Any) -> None:
    try:
        _serve()()
    finally:
        over.release()


def is_wanted() -> bool:
    """Whether loops are to be shared: there are processors for it."""
    return is_possible() and _width() > 1


def _width() -> int:
    from minpy.runtime.fuse import pool

    return pool.width()


def muster() -> None:
    """Let there be as many as may work now."""
    width = _width()
    if width > 1 and (not address() or _serve() is None):
        width = 1
    try:
        while len(_members) < width - 1:
            over = _thread.allocate_lock()
            over.acquire()
            _thread.start_new_thread(_serving, (over,))
            _members.append(over)
    except RuntimeError:  # no more threads to be had
        pass
    _word(_WIDTH).value = min(width, len(_members) + 1)


def shared() -> int:
    """How many loops were shared until now."""
    return _word(_SHARED).value


def share_from(least: int) -> None:
    """Share loops of so much work, in words of eight bytes, and longer ones (for tests: all of them)."""
    for offset, value in ((_LEAST, least), (_SKIP, 0), (_PENALTY, 0)):
        _word(offset).value = value


def _dismiss(patience: float = -1) -> None:
    """Let all of them go, and wait for each so many seconds (by default as long as it takes)."""
    if not _members:
        return
    _word(_WIDTH).value = 1
    _word(_STOP).value = 1
    system = ctypes.CDLL(None).syscall
    place = ctypes.c_void_p(_words() + _CALLS)
    while _members:
        over = _members.pop()
        system(_FUTEX, place, _WAKE, 1 << 16, None, None, 0)
        over.acquire(timeout=patience)
    _word(_STOP).value = 0


_before: list[None] = []  # not empty between the two sides of a fork where there was a crew


def _before_fork() -> None:
    _before[:] = [None] if _members else []
    _dismiss()


def _after_fork_in_parent() -> None:
    if _before:
        muster()


atexit.register(_dismiss, 1.0)
if hasattr(os, "register_at_fork"):
    # The threads would not be there in the child, which does what it shares alone, until it loads code that shares.
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent)
