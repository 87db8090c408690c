"""Whole programs, unmodified: plain Python against `minpy run`, the same bits, warm and at the first run.

    python -m benchmarks programs [--size small|large|both] [--only name…] [--plot file] [--table file]
                                  [--peers numba jax] [--peer-python PATH] [--threads N]

Each program runs in processes that stay: one of plain Python, one under ``minpy run``, and one for each peer that has
a port of it (`benchmarks/ports`). They are warmed up until they get no faster, then their rounds are interleaved, so
that a disturbance of the machine meets all. That is done with three sets of processes, since where a process happens
to place its arrays changes its times by up to a tenth. Before that, a process with empty caches takes the cold time:
from its start to the end of the first run. Of a peer the first run itself is taken, in which it compiles, and the
first run of the next process.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks import ports, report
from benchmarks.timing import summary

FOLDER = Path(__file__).with_name("corpus")
SCRIPT = Path(__file__).with_name("one_program.py")
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))
SIZES = ("small", "large")
# Where MinPy and the peers keep compiled code.
CACHES = ("MINPY_CACHE_DIR", "NUMBA_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR")
# What takes less is repeated within a round.
SHORTEST = 0.01
# Warming up, in seconds: MinPy compiles a loop of short runs once it has spent some 0.6 s in them; a later process
# knows that from the cache. The others are warm after a run or two. A stretch is followed by another one while they get
# faster (by more than `STEADY`), all of them together no longer than `WARM_MOST`: what a peer compiles at its first
# run, MinPy may still be compiling after a second.
WARM, WARM_AGAIN, WARM_OTHERS, WARM_MOST = 1.2, 0.3, 0.1, 8.0
STEADY = 0.95
# OpenBLAS's threads spin for up to 130 ms after a product, on the processor that the next process wants: what takes its
# turn first waits until the others rest, so many seconds at most, looked at in stretches.
RESTED, STRETCH = 0.25, 2e-3
THREADS = (  # what libraries ask the environment for
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


class Failed(Exception):
    """A program's process ended before it answered; `peer` is whose it was."""

    def __init__(self, message: str, peer: str | None = None) -> None:
        super().__init__(message)
        self.peer = peer


class Process:
    """A program's process, asked for one run after the other."""

    def __init__(
        self,
        name: str,
        size: str,
        environment: dict[str, str],
        *,
        minpy: bool = False,
        peer: str | None = None,
        python: str = sys.executable,
    ) -> None:
        self.peer = peer
        self.what = f"{name} ({size}, {peer or ('minpy run' if minpy else 'python')})"
        words = [python, *(["-m", "minpy", "run"] if minpy else []), str(SCRIPT), name, size]
        self.started = time.time()
        self._process = subprocess.Popen(
            [*words, peer] if peer else words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def ask(self, words: str) -> dict[str, Any]:
        """What the process answers to a line."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(words + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise Failed(f"{self.what} ended with status {self._process.wait()}", self.peer)
        return json.loads(answer)

    def rest(self) -> None:
        """Wait until the process, which was asked for nothing, uses no processor."""
        end = time.perf_counter() + RESTED
        while time.perf_counter() < end:
            began, used = time.perf_counter(), processor_time(self._process.pid)
            time.sleep(STRETCH)
            if processor_time(self._process.pid) - used < 0.2 * (time.perf_counter() - began):
                return

    def close(self) -> None:
        """Let the process end."""
        self._process.communicate()


def processor_time(pid: int) -> float:
    """The seconds that all threads of a process have had a processor; 0 where the system does not tell."""
    if not sys.platform.startswith("linux"):
        return 0.0
    return time.clock_gettime((~pid << 3) | 2)  # as clock_getcpuclockid(3) gives it


@contextmanager
def process(*args: Any, **keywords: Any) -> Iterator[Process]:
    """A `Process` that ends with the block."""
    running = Process(*args, **keywords)
    try:
        yield running
    finally:
        running.close()


def from_start(running: Process) -> tuple[float, list[str]]:
    """The seconds from a process's start to the end of its first run, and what that gave."""
    answer = running.ask("first")
    return answer["done"] - running.started, answer["seen"]


def warmed(running: Process, stretch: float) -> float:
    """Let a process run until it gets no faster; the seconds of its fastest run."""
    best, spent = running.ask(f"warm {stretch}")["seconds"], stretch
    while spent < WARM_MOST:
        before, best = best, min(best, running.ask(f"warm {stretch}")["seconds"])
        spent += stretch
        if best > STEADY * before:
            break
    return best


def differences(plain: list[str], ours: list[str]) -> list[str]:
    """The values that are not the same in the two runs."""
    return [
        f"{mine or 'nothing'} instead of {theirs or 'nothing'}"
        for theirs, mine in zip(
            plain + [""] * (len(ours) - len(plain)), ours + [""] * (len(plain) - len(ours)), strict=True
        )
        if mine != theirs
    ]


def compare(
    name: str,
    size: str,
    environment: dict[str, str],
    seconds: float,
    pairs: int = 3,
    peers: dict[str, str] | None = None,
) -> dict[str, Any]:
    """One program at one size: whether it gives the same, and its times; `peers` have an interpreter each."""
    with tempfile.TemporaryDirectory(prefix="minpy-bench-") as folder:
        environment = environment | dict.fromkeys(CACHES, folder)
        with process(name, size, environment) as plain:
            # Not counted: the first start of all finds files that nobody has read yet.
            from_start(plain)
        with process(name, size, environment, minpy=True) as cold:
            cold_start, first = from_start(cold)
        others = {peer: Peer(peer, name, size, python) for peer, python in (peers or {}).items()}
        times: dict[str, list[float]] = {"python": [], "minpy": []}
        starts: dict[str, list[float]] = {"python": [], "minpy": []}
        ratios: dict[str, list[float]] = {}
        found: list[str] = []
        for pair in range(pairs):
            warm = WARM_AGAIN if pair else WARM
            with ExitStack() as stack:
                running = {}
                for which in ("python", "minpy"):
                    running[which] = stack.enter_context(
                        process(name, size, environment, minpy=which == "minpy")
                    )
                    start, seen = from_start(running[which])
                    starts[which].append(start)
                    if which == "python":
                        expected = seen
                    else:
                        found += [each for run in (first, seen) for each in differences(expected, run)]
                for peer, other in others.items():
                    if (started := other.start(environment, stack)) is not None:
                        running[peer] = started
                estimates = {
                    which: warmed(each, warm if which == "minpy" else WARM_OTHERS)
                    for which, each in running.items()
                }
                rounds = _rounds(running, estimates, seconds / pairs)
                found += differences(expected, running["minpy"].ask("first")["seen"])
            base = statistics.median(rounds["python"])
            for which, values in rounds.items():
                ratios.setdefault(which, []).append(base / statistics.median(values))
                times.setdefault(which, []).extend(values)

    def compared(which: str) -> dict[str, float]:
        middle = statistics.median(ratios[which])
        # Of several sets of processes their ratios scatter, of one the ratios of its rounds.
        single = zip(times["python"], times[which], strict=True)
        scatter = ratios[which] if len(ratios[which]) > 1 else [a / b for a, b in single]
        return {
            "ratio": middle,
            "ratio_best": min(times["python"]) / min(times[which]),
            "ratio_spread": statistics.median(abs(each - middle) for each in scatter),
        }

    return {
        "program": name,
        "size": size,
        "same": not found,
        "differences": list(dict.fromkeys(found))[:5],
        "python": summary(times["python"]),
        "minpy": summary(times["minpy"]),
        **compared("minpy"),
        "start_python": min(starts["python"]),
        "start_cold": cold_start,
        "start_warm": min(starts["minpy"]),
        "peers": {
            peer: other.outcome() | ({} if other.why else summary(times[peer]) | compared(peer))
            for peer, other in others.items()
        },
    }


class Peer:
    """A peer's port of one program: its processes, and what was seen of them."""

    def __init__(self, peer: str, name: str, size: str, python: str) -> None:
        self.peer, self.name, self.size, self.python = peer, name, size, python
        self.why = None if name in ports.names(peer) else ports.ABSENT.get(peer, {}).get(name, "no port")
        self.firsts: list[float] = []
        self.wrong: list[str] = []

    def start(self, environment: dict[str, str], stack: ExitStack) -> Process | None:
        """A process whose first run is done, compared with the program the first time; None where that fails."""
        if self.why:
            return None
        running = Process(self.name, self.size, environment, peer=self.peer, python=self.python)
        try:
            self.firsts.append(running.ask("first")["seconds"])
            if len(self.firsts) == 1:
                self.wrong = running.ask("check")["wrong"]
        except Failed as failure:
            running.close()
            self.why = str(failure)
            return None
        stack.callback(running.close)
        return running

    def outcome(self) -> dict[str, Any]:
        """Why it was not measured; or what differs, and the seconds of the first runs, compiling and loading."""
        if self.why:
            return {"absent": self.why}
        return {
            "wrong": self.wrong,
            "first_cold": self.firsts[0],
            "first_warm": min(self.firsts[1:], default=None),
        }


def _rounds(
    things: dict[str, Process], estimates: dict[str, float], seconds: float
) -> dict[str, list[float]]:
    counts = {name: max(1, min(200, math.ceil(SHORTEST / each))) for name, each in estimates.items()}
    times: dict[str, list[float]] = {name: [] for name in things}
    order = list(things)
    end = time.perf_counter() + seconds * len(things) / 2
    while len(times["python"]) < 5 or (len(times["python"]) < 60 and time.perf_counter() < end):
        for name in order:
            for each in things.values():
                each.rest()
            times[name].append(things[name].ask(f"round {counts[name]}")["seconds"])
        order.reverse()
    return times


@contextmanager
def limited(threads: int | None) -> Iterator[dict[str, str]]:
    """The environment with which all systems have so many threads, and as many processors; None leaves it alone."""
    if threads is None:
        yield {}
        return
    # Not all libraries ask the environment; all ask which processors are theirs, and children inherit that.
    mine = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    if mine:
        os.sched_setaffinity(0, sorted(mine)[-threads:])
    try:
        yield dict.fromkeys(THREADS, str(threads))
    finally:
        if mine:
            os.sched_setaffinity(0, mine)


def environment_for(only: list[str] | None, environment: dict[str, str] | None) -> dict[str, str]:
    """The environment of the processes; it is an error if there is no program of one of the names."""
    unknown = sorted(set(only or ()) - set(NAMES))
    if unknown:
        raise SystemExit(f"no program {unknown[0]!r}: there is {', '.join(NAMES)}")
    root = str(Path(__file__).parents[1])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    everything = {**os.environ, **(environment or {}), "PYTHONPATH": os.pathsep.join(paths)}
    everything.pop("PYTHONDONTWRITEBYTECODE", None)  # it would keep MinPy's cache empty too
    return everything


def measure(
    fast: bool,
    only: list[str] | None,
    sizes: tuple[str, ...] = SIZES,
    environment: dict[str, str] | None = None,
    say: Callable[[str], None] = lambda line: None,
    peers: dict[str, str] | None = None,
) -> list[dict[str, Any]]:
    """All programs, or those of `only`, at the given sizes; a line to `say` for each."""
    return measure_each(
        [(name, size) for size in sizes for name in only or NAMES], fast, environment, say, peers
    )


def measure_each(
    programs: list[tuple[str, str]],
    fast: bool,
    environment: dict[str, str] | None,
    say: Callable[[str], None],
    peers: dict[str, str] | None,
) -> list[dict[str, Any]]:
    """Programs and their sizes, one after the other."""
    everything = environment_for([name for name, _ in programs], environment)
    rows = []
    for name, size in programs:
        able, failed = dict(peers or {}), {}
        while True:
            try:
                row = compare(name, size, everything, 0.5 if fast else 3.0, 1 if fast else 3, able)
                break
            except Failed as failure:
                if failure.peer not in able:
                    raise
                # An hour of measuring is not lost to one of them.
                failed[failure.peer] = {"absent": str(failure)}
                del able[failure.peer]
        row["peers"] |= failed
        rows.append(row)
        say("  ".join(report.cells(row)))
    return rows


def installed(
    peers: Iterable[str], python: str, say: Callable[[str], None] = lambda line: None
) -> dict[str, str]:
    """The peers that an interpreter has, with that; a line to `say` for each that it has not."""
    found = {}
    for peer in peers:
        why = ports.missing(python, peer)
        if why is None:
            found[peer] = python
        else:
            say(f"{ports.PEERS[peer]} skipped: {why}")
    return found
