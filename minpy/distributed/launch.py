"""``minpy run --workers N``: starts the processes, shows what they print, and ends them together.

The scheduler and the servers of MXNet's store are started when the first worker loads MXNet; a program that does not
needs none. If a process dies, those that are left would wait for it for ever: they are ended, and it is said which died
of what.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from minpy.distributed import hosts, member
from minpy.distributed.remote import Frames
from minpy.errors import UsageError

OPTIONS = ("--workers", "--servers", "--hosts", "--address", "--timeout")

GRACE = 5.0  # seconds from asking a process to end to ending it
LINGER = 10.0  # seconds that a worker may wait for one whose program is over
_TICK = 0.05
_LONGEST_LINE = 1 << 20

# What is passed on to the workers; all but the last two also end the run.
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
_ENDING = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `minpy run` that are about several processes."""
    group = parser.add_argument_group("several processes")
    add = group.add_argument
    add("--workers", metavar="N", help="run N copies of the program, which can train one model together")
    add("--servers", metavar="M", help="processes that hold what the workers share (1)")
    add("--hosts", metavar="FILE", help="run the workers on the machines in this file, one a line, over ssh")
    add("--address", metavar="ADDRESS", help="how those machines reach this one (found out by default)")
    add("--timeout", metavar="SECONDS", help="how long a worker waits for the others (600)")


def split(words: list[str]) -> tuple[Any, list[str]]:
    """Take these options out of those of `minpy run`; None if there are none."""
    if not any(word.partition("=")[0] in OPTIONS for word in words):
        return None, words

    class Parser(argparse.ArgumentParser):
        def error(self, message: str) -> Any:
            raise UsageError(message)

    parser = Parser(prog="minpy run", add_help=False, allow_abbrev=False)
    add_options(parser)
    given, rest = parser.parse_known_args(words)
    if given.workers is None:
        raise UsageError("--servers, --hosts, --address and --timeout need --workers N")
    for name in ("workers", "servers"):
        text = getattr(given, name)
        if text is not None and not (text.isdecimal() and int(text)):
            raise UsageError(f"--{name} must be a whole number above 0, not {text!r}")
    if given.timeout is not None:
        try:
            positive = float(given.timeout) > 0
        except ValueError:
            positive = False
        if not positive:
            raise UsageError(f"--timeout must be a number of seconds above 0, not {given.timeout!r}")
    if given.address is not None and given.hosts is None:
        raise UsageError("--address is for --hosts: without, all processes run on this machine")
    return given, rest


@dataclass
class _Child:
    """A process, and what is known of it."""

    name: str
    popen: subprocess.Popen
    worker: bool
    remote: bool = False
    lines: dict[str, bytes] = field(default_factory=lambda: {"o": b"", "e": b""})
    frames: Frames = field(default_factory=Frames)
    told: str = ""
    waits_since: float | None = None
    status: int | None = None  # negative: the signal
    settled: bool = False
    open: int = 0  # streams

    @property
    def running(self) -> bool:
        return self.status is None

    def kill(self, number: int) -> None:
        """Send a signal to the process and those it started."""
        if self.remote:
            try:
                self.popen.stdin.write(b"%d\n" % number)  # type: ignore[union-attr]
            except (OSError, ValueError):
                pass
            if number != signal.SIGKILL:
                return
            try:
                self.popen.stdin.close()  # type: ignore[union-attr]
            except OSError:
                pass
        try:
            os.killpg(self.popen.pid, number)
        except (ProcessLookupError, PermissionError):
            pass

    def describe(self) -> str:
        """How it ended."""
        if self.status is not None and self.status < 0:
            return f"{self.name} was killed by {signal.Signals(-self.status).name}"
        if self.status == 0:
            return f"{self.name} ended in the midst of a training"
        return f"{self.name} ended with exit status {self.status}"


class Launcher:
    """All processes of a run.

    Parameters
    ----------
    given : Namespace
        The options, as `split` gives them.
    command : list of str
        What each worker runs: the arguments of the interpreter.
    verbose : bool
        Say which process is which.
    """

    def __init__(self, given: Any, command: list[str], verbose: bool) -> None:
        self.count = int(given.workers)
        self.servers = int(given.servers or 1)
        self.command, self.verbose = command, verbose
        self.places = hosts.read(given.hosts, self.count) if given.hosts else []
        address = given.address or (hosts.address_towards(self.places[0].address) if self.places else None)
        self.address = address or "127.0.0.1"
        # Ours until the scheduler takes it.
        self.port = socket.socket()
        try:
            self.port.bind((self.address, 0))
        except OSError as error:
            raise UsageError(
                f"--address {self.address} is none of this machine's: {error.strerror}"
            ) from None
        self.environ = {
            "DMLC_PS_ROOT_URI": self.address,
            "DMLC_PS_ROOT_PORT": str(self.port.getsockname()[1]),
            "DMLC_NUM_WORKER": str(self.count),
            "DMLC_NUM_SERVER": str(self.servers),
            "MINPY_WORKERS": str(self.count),
        }
        if given.timeout is not None:
            self.environ["MINPY_TIMEOUT"] = given.timeout
        self.children: list[_Child] = []
        self.selector = selectors.DefaultSelector()
        self.signals: list[int] = []
        self.has_store = False

    # ----- starting

    def _start(self, name: str, command: list[str], environ: dict[str, str], worker: bool) -> None:
        reading, writing = os.pipe()
        popen = subprocess.Popen(
            [sys.executable, *command],
            env={**os.environ, **environ, member.VARIABLE: f"{writing}:{os.getpid()}"}
            if worker
            else {**os.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(writing,) if worker else (),
            start_new_session=True,
        )
        os.close(writing)
        self._add(_Child(name, popen, worker), {"o": popen.stdout, "e": popen.stderr, "c": reading})

    def _start_remote(self, name: str, place: hosts.Host, environ: dict[str, str]) -> None:
        try:
            popen = subprocess.Popen(
                place.command(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            raise UsageError(
                f"--hosts needs the program ssh, which cannot be started: {error.strerror}"
            ) from None
        passed = {key: value for key, value in os.environ.items() if key.startswith("MINPY_")}
        order = {"command": self.command, "environ": {**passed, **environ}}
        try:
            popen.stdin.write(json.dumps(order).encode() + b"\n")  # type: ignore[union-attr]
        except OSError:
            pass  # it says why in a moment
        self._add(
            _Child(f"{name} on {place.name}", popen, True, True), {"f": popen.stdout, "e": popen.stderr}
        )

    def _add(self, child: _Child, streams: dict[str, Any]) -> None:
        self.children.append(child)
        for kind, stream in streams.items():
            os.set_blocking(stream if isinstance(stream, int) else stream.fileno(), False)
            self.selector.register(stream, selectors.EVENT_READ, (child, kind))
            child.open += 1
        if self.verbose:
            sys.stderr.write(f"minpy: {child.name} is process {child.popen.pid}\n")
            sys.stderr.flush()

    def start_workers(self) -> None:
        """Start the program, as often as it was asked for."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        from minpy.runner import THREAD_VARIABLES

        for number in range(self.count):
            environ = {**self.environ, "MINPY_RANK": str(number), "DMLC_ROLE": "worker"}
            if self.places:
                self._start_remote(f"worker {number}", self.places[number], environ)
                continue
            environ["DMLC_NODE_HOST"] = self.address
            # They share this machine; each would take all of it.
            for variable in THREAD_VARIABLES:
                if variable not in os.environ:
                    environ[variable] = str(max(1, cores // self.count))
            self._start(f"worker {number}", self.command, environ, True)

    def start_store(self) -> None:
        """Start the scheduler and the servers."""
        self.has_store = True
        self.port.close()
        names = [("scheduler", "scheduler"), *((f"server {n}", "server") for n in range(self.servers))]
        for name, role in names:
            environ = {
                **self.environ,
                "DMLC_ROLE": role,
                "DMLC_NODE_HOST": self.address,
                "OMP_NUM_THREADS": "1",
            }
            environ |= {"MINPY_ACTIVE": ""}  # no program of the user's runs there
            self._start(name, ["-m", "minpy.distributed.node", name, str(os.getpid())], environ, False)

    # ----- running

    def run(self) -> int:
        """Run all to the end; give the exit status."""
        before = self._catch_signals()
        try:
            self.start_workers()
            status = self._watch()
        except BrokenPipeError:  # nobody reads what we show
            status = 1
        finally:
            self._end_all()
            for number, handler in before.items():
                signal.signal(number, handler)
        if status < 0:
            # As a program of its own: whoever waits sees of which signal it died.
            signal.signal(-status, signal.SIG_DFL)
            os.kill(os.getpid(), -status)
        return status

    def _catch_signals(self) -> dict[int, Any]:
        before = {}
        for name in _SIGNALS:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # as `nohup` does
                before[number] = signal.signal(number, lambda number, frame: self.signals.append(number))
        return before

    def _watch(self) -> int:
        """Until all workers have ended, one process has failed, or a signal came."""
        ending: int | None = None
        patience = 0.0
        while True:
            self._relay(_TICK)
            while self.signals:
                number = self.signals.pop(0)
                for child in self.children:
                    if child.worker and child.running:
                        child.kill(number)
                if signal.Signals(number).name in _ENDING:
                    if ending is not None:
                        return -number  # asked twice: at once
                    ending, patience = number, time.monotonic() + GRACE
            failed = self._failed()
            if ending is not None:
                if failed and self.has_store:  # the others wait for it, and hear no signal
                    patience = min(patience, time.monotonic() + 1.0)
                if time.monotonic() > patience or not any(c.running for c in self.children if c.worker):
                    return -ending
                continue
            if failed:
                return self._report(failed)
            if all(child.settled for child in self.children if child.worker):
                self._wait_for_store()
                return 0

    def _relay(self, seconds: float) -> bool:
        """Show what has come, and do what the workers ask for; whether anything came."""
        events = self.selector.select(seconds)
        for key, _ in events:
            child, kind = key.data
            try:
                data = os.read(key.fd, 1 << 16)
            except BlockingIOError:
                continue
            if not data:
                self.selector.unregister(key.fileobj)
                if isinstance(key.fileobj, int):
                    os.close(key.fileobj)
                else:
                    key.fileobj.close()  # type: ignore[union-attr]
                child.open -= 1
            if kind == "f":
                for part, content in child.frames.feed(data):
                    self._take(child, part, content)
            else:
                self._take(child, kind, data)
        return bool(events)

    def _take(self, child: _Child, kind: str, data: bytes) -> None:
        if kind == "c":
            for letter in data.decode("latin-1"):
                child.told += letter
                if letter == "J" and not self.has_store:
                    self.start_store()
                elif letter in "Ww":
                    child.waits_since = time.monotonic() if letter == "W" else None
        elif kind == "x":
            child.status = int(data)
        else:
            self._show(child, kind, data)

    def _show(self, child: _Child, kind: str, data: bytes, last: bool = False) -> None:
        *lines, rest = (child.lines[kind] + data).split(b"\n")
        if rest and (last or len(rest) > _LONGEST_LINE):
            lines, rest = [*lines, rest], b""
        child.lines[kind] = rest
        if lines:
            stream = (sys.stdout if kind == "o" else sys.stderr).buffer
            prefix = f"[{child.name.partition(' on ')[0]}] ".encode()
            stream.write(b"".join(prefix + line + b"\n" for line in lines))
            stream.flush()

    # ----- ending

    def _failed(self) -> list[_Child]:
        """The processes that ended as they should not, the killed ones first."""
        for child in self.children:
            # What a process told before it ended has been read when this is asked again.
            child.settled = not child.running
            status = child.popen.poll()
            if status is not None and child.running and not (child.remote and status == 0 and child.open):
                child.status = status
        failed = [child for child in self.children if child.status]
        failed += [
            child
            for child in self.children
            if child.settled
            and child.worker
            and child.status == 0
            and "K" in child.told
            and "L" not in child.told
        ]
        if not failed:
            failed = self._left_waiting()
        return sorted(failed, key=lambda child: (child.status or 0) >= 0)

    def _left_waiting(self) -> list[_Child]:
        """Workers whose program is over while another waits for them."""
        over = [child for child in self.children if "K" in child.told and "L" in child.told]
        now = time.monotonic()
        if over and any(c.waits_since is not None and now - c.waits_since > LINGER for c in self.children):
            return over
        return []

    def _report(self, failed: list[_Child]) -> int:
        # What it printed last comes first.
        for _ in range(20):
            if not self._relay(_TICK):
                break
        said = []
        for child in failed:
            if "L" in child.told and not child.status:
                waiting = next(c for c in self.children if c.waits_since is not None)
                said.append(f"the program of {child.name} is over while {waiting.name} waits for it")
            else:
                said.append(child.describe())
            if child.remote and child.status == 255:
                said[-1] += " (of ssh)"
        others = any(child.running for child in self.children if child not in failed)
        text = "; ".join(said) + (". The others were stopped" if others else "")
        # Not where the program itself is wrong.
        died = any(
            not child.worker or child.status in (0, 255) or (child.status or 0) < 0 for child in failed
        )
        if died and any("K" in child.told for child in self.children):
            text += (
                ". With Solver(checkpoint=…, resume=True), the same command goes on from the last checkpoint"
            )
        self._end_all()
        sys.stderr.write(f"minpy: error: {text} [MP061]\n")
        sys.stderr.flush()
        status = failed[0].status or 1
        return 128 - status if status < 0 else status

    def _wait_for_store(self) -> None:
        """The scheduler and the servers end by themselves when the workers have; not if these never came."""
        patience = time.monotonic() + GRACE
        if any("K" in child.told for child in self.children):
            while time.monotonic() < patience and any(child.popen.poll() is None for child in self.children):
                self._relay(_TICK)

    def _end_all(self) -> None:
        """End what runs, show the rest of what was printed, and leave nothing behind."""
        running = [child for child in self.children if child.popen.poll() is None]
        for child in running:
            child.kill(signal.SIGTERM)
            child.kill(signal.SIGCONT)
        patience = time.monotonic() + GRACE
        while any(child.popen.poll() is None for child in running):
            self._relay_quietly()
            if time.monotonic() > patience:
                break
        for child in running:
            child.kill(signal.SIGKILL)
        for child in self.children:
            child.popen.wait()
        # A process that they started may hold the streams for as long as it likes.
        patience = time.monotonic() + 1.0
        while any(child.open for child in self.children) and time.monotonic() < patience:
            if not self._relay_quietly():
                break
        for child in self.children:
            for kind in "oe":
                try:
                    self._show(child, kind, b"", last=True)
                except (OSError, ValueError):
                    pass
        self.port.close()

    def _relay_quietly(self) -> bool:
        try:
            return self._relay(_TICK)
        except (OSError, ValueError):
            return False


def run(given: Any, own: list[str], kind: str, program: str, args: list[str], verbose: bool) -> int:
    """Run a program in several processes; give the exit status.

    Parameters
    ----------
    given : Namespace
        The options of several processes.
    own : list of str
        The other options of `minpy run`.
    kind, program, args
        As `minpy.cli.split` gives them.
    verbose : bool

    Raises
    ------
    UsageError
        If something about the start is wrong; nothing was started then.
    """
    from subprocess import _args_from_interpreter_flags  # type: ignore[attr-defined]

    if kind == "stdin":
        raise UsageError(
            "--workers needs a script, -m module or -c code: standard input can be read only once"
        )
    if kind == "script" and not os.path.exists(program):
        raise UsageError(f"can't open file {os.path.abspath(program)!r}: no such file")
    start = {"module": ["-m", program], "command": ["-c", program]}.get(kind, ["--", program])
    command = [*_args_from_interpreter_flags(), "-m", "minpy", "run", *own, *start, *args]
    return Launcher(given, command, verbose).run()
