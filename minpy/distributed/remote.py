"""Keeps a worker on another machine: ``python -m minpy.distributed.remote``, which the launcher starts over ssh.

The first line of standard input says, in JSON, what to start; each further line is the number of a signal for it. When
standard input ends, the worker is ended: the launcher, or the connection, is gone. What the worker writes goes to
standard output in frames: a letter (``o`` and ``e`` for its two streams, ``c`` for what it tells the launcher, ``x``
for its exit status, which is the last), the length in four bytes, and the bytes.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import struct
import subprocess
import sys

from minpy.distributed import member
from minpy.distributed.hosts import address_towards


def frame(kind: bytes, data: bytes) -> bytes:
    """A frame of what goes back."""
    return kind + struct.pack(">I", len(data)) + data


class Frames:
    """Takes frames apart that come in pieces."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[tuple[str, bytes]]:
        """The frames that are complete now."""
        self._rest += data
        found = []
        while len(self._rest) >= 5:
            end = 5 + struct.unpack(">I", self._rest[1:5])[0]
            if len(self._rest) < end:
                break
            found.append((self._rest[:1].decode("latin-1"), self._rest[5:end]))
            self._rest = self._rest[end:]
        return found


def _send(data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(1, left) :]


def main() -> int:
    """Start the worker, and pass on what comes and goes until it has ended."""
    line = b""
    while not line.endswith(b"\n"):
        data = os.read(0, 1)
        if not data:
            return 1
        line += data
    order = json.loads(line)
    pipe, worker_pipe = os.pipe()
    environ = {**os.environ, **order["environ"]}
    if "DMLC_PS_ROOT_URI" in environ:
        environ["DMLC_NODE_HOST"] = address_towards(environ["DMLC_PS_ROOT_URI"])
    environ[member.VARIABLE] = f"{worker_pipe}:{os.getpid()}"
    worker = subprocess.Popen(
        [sys.executable, *order["command"]],
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=(worker_pipe,),
        start_new_session=True,
    )
    os.close(worker_pipe)
    waiting = selectors.DefaultSelector()
    for kind, source in ((b"o", worker.stdout), (b"e", worker.stderr), (b"c", pipe), (b"", 0)):
        waiting.register(source, selectors.EVENT_READ, kind)  # type: ignore[arg-type]
    try:
        rest = b""
        while worker.poll() is None or any(key.data for key in waiting.get_map().values()):
            ready = waiting.select(0.1)
            for key, _ in ready:
                data = os.read(key.fd, 1 << 16)
                if key.data:
                    if data:
                        _send(frame(key.data, data))
                    else:
                        waiting.unregister(key.fileobj)
                    continue
                if not data:
                    return 1
                rest += data
                *numbers, rest = rest.split(b"\n")
                for number in numbers:
                    _kill(worker.pid, int(number))
            if not ready and worker.poll() is not None:
                break  # a process that it left behind holds the streams
        _send(frame(b"x", str(worker.wait()).encode()))
        return 0
    except BrokenPipeError:
        return 1
    finally:
        if worker.poll() is None:
            _kill(worker.pid, signal.SIGKILL)
            worker.wait()


def _kill(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        pass


if __name__ == "__main__":
    sys.exit(main())
