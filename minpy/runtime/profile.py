"""What ran where: operation statistics, timings, bytes copied, and the reason of every fallback.

Collected at dispatch, where every call passes with its operands at hand; nothing here costs anything until a
recorder is set.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, TextIO

from minpy.runtime import entry

MXNET, NUMPY = "mxnet", "numpy"
TITLES = {NUMPY: "NumPy", MXNET: "MXNet", "cupy": "CuPy"}


class Recorder:
    """Counts and times operations per primitive and back end.

    Attributes
    ----------
    calls : dict
        ``(name, backend) -> number of calls``, in the order of first use.
    seconds : dict
        ``(name, backend) -> time`` including the wait for the device when `timed`.
    expected : dict
        ``(name, backend) -> time`` that the cost model predicts for what it has figures for, when `timed`.
    reasons : dict
        ``name -> {reason: count}`` for operations that a device was wanted for and the host ran.
    copies : dict
        ``direction -> [number, bytes, seconds]``.
    """

    def __init__(self, timed: bool = False) -> None:
        self.timed = timed
        self.calls: dict[tuple[str, str], int] = defaultdict(int)
        self.seconds: dict[tuple[str, str], float] = defaultdict(float)
        self.expected: dict[tuple[str, str], float] = defaultdict(float)
        self.reasons: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self.copies: dict[str, list] = {}
        self._lock = threading.Lock()

    def operation(self, name: str, backend: str, seconds: float, reason: str | None) -> None:
        """Count one operation."""
        with self._lock:
            self.calls[name, backend] += 1
            self.seconds[name, backend] += seconds
            if reason:
                self.reasons[name][reason] += 1

    def predict(self, primitive: Any, args: tuple, kwargs: dict, backend: str, device: Any) -> None:
        """Add what the cost model says of one operation."""
        from minpy.runtime import cost, dispatch

        model = cost.model()
        where = "numpy" if backend == NUMPY else device.label
        if primitive.cost in ("host", "free") or where not in model.points:
            return
        elements, _ = dispatch.extent(args, kwargs)
        seconds = model.predict(primitive.cost, elements, where) * 1e-6
        with self._lock:
            self.expected[primitive.name, backend] += seconds

    def copy(self, direction: str, nbytes: int, seconds: float) -> None:
        """Count one transfer between memories."""
        with self._lock:
            entry_ = self.copies.setdefault(direction, [0, 0, 0.0])
            entry_[0] += 1
            entry_[1] += nbytes
            entry_[2] += seconds

    def devices(self) -> tuple[str, ...]:
        """The back ends of devices that ran something; MXNet, the original's, if none did."""
        found = dict.fromkeys(backend for _, backend in self.calls if backend != NUMPY)
        return tuple(found) or (MXNET,)

    def proportion(self) -> tuple[float, float]:
        """The shares of calls that ran on a device and on NumPy, each from 0 to 1 (both 0 when nothing ran)."""
        total = sum(self.calls.values())
        there = sum(n for (_, backend), n in self.calls.items() if backend != NUMPY)
        return (there / total, 1 - there / total) if total else (0.0, 0.0)


recorders: list[Recorder] = []

_COPIES = {"device to host": "MXNet array to NumPy array", "host to device": "NumPy array to MXNet array"}


@contextlib.contextmanager
def copying(direction: str, nbytes: int) -> Iterator[None]:
    """Time a transfer, if anybody listens; it is also told to the logger ``minpy.array``, at INFO."""
    logging = sys.modules.get("logging")  # who does not use it does not listen
    if logging is not None and logging.getLogger("minpy.array").isEnabledFor(logging.INFO):
        from minpy.runtime.record import Line

        what = _COPIES[direction]
        logging.getLogger("minpy.array").info(
            "Copy from %s (%d bytes) at %s", what, nbytes, Line(sys._getframe(2))
        )
    if not recorders:
        yield
        return
    start = time.perf_counter()
    yield
    seconds = time.perf_counter() - start
    for recorder in recorders:
        recorder.copy(direction, nbytes, seconds)


def start(recorder: Recorder) -> Recorder:
    """Begin to record into `recorder` (routed calls dispatch from here on)."""
    if recorder not in recorders:
        recorders.append(recorder)
        entry.activate()
    return recorder


def stop(recorder: Recorder) -> None:
    """Stop recording into `recorder`; its figures stay."""
    if recorder in recorders:
        recorders.remove(recorder)
        entry.deactivate()


# What `minpy run --profile` records into.
run = Recorder(timed=True)


def report(recorder: Recorder = run, stream: TextIO | None = None) -> None:
    """Print the table of operations, the bytes copied, and the reason of every fallback (by default to stderr)."""
    stop(recorder)
    from minpy.runtime.report import print_profile

    print_profile(recorder, stream or sys.stderr)


_statistics: Recorder | None = None


def record_op_stat() -> None:
    """Begin to count operations for `show_op_stat`; a second call starts from zero."""
    global _statistics
    if _statistics is not None:
        stop(_statistics)
    _statistics = start(Recorder())


def show_op_stat(stream: TextIO | None = None) -> None:
    """Print which operations ran on MXNet and which on NumPy, and the proportion of each.

    Parameters
    ----------
    stream : text stream, optional
        Where to; by default standard output.
    """
    print(op_stat_text(_statistics), file=stream or sys.stdout)


def op_stat_text(recorder: Recorder | None) -> str:
    """The text of `show_op_stat`."""
    if recorder is None:
        return "No statistics: call minpy.record_op_stat() before the work."
    lines = []
    devices = recorder.devices()
    for backend in (*devices, NUMPY):
        lines.append(f"{backend.upper()} op called times:")
        lines += [f" {name} : {n}" for (name, where), n in recorder.calls.items() if where == backend]
    there, numpy = recorder.proportion()
    title = " and ".join(TITLES.get(each, each) for each in devices)
    lines.append(f"Total Dispatch Proportion: {there:.1%} in {title}, {numpy:.1%} in NumPy")
    return "\n".join(lines)


def timer(recorders_: list[Recorder], device: Any) -> float:
    """Seconds on the clock, after pending device work when a recorder times it."""
    if device is not None and any(r.timed for r in recorders_):
        device.synchronize()
    return time.perf_counter()
