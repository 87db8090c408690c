"""The file of ``--hosts``: where the workers run."""

from __future__ import annotations

import os
import shlex
import socket
import sys
from dataclasses import dataclass

from minpy.errors import UsageError

_KEYS = ("slots", "python", "dir")


@dataclass(frozen=True)
class Host:
    """A machine that is reached by ssh: its name for ssh, and what is started there, in which folder."""

    name: str
    python: str
    folder: str

    def command(self) -> list[str]:
        """The command that starts the worker's keeper there; all it needs to know comes on its standard input."""
        there = (
            f"cd {shlex.quote(self.folder)} && exec {shlex.quote(self.python)} -m minpy.distributed.remote"
        )
        # Without a terminal or a password prompt; a machine that no longer answers is given up after 45 seconds.
        options = ("-T", "-o", "BatchMode=yes", "-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=3")
        return ["ssh", *options, self.name, there]

    @property
    def address(self) -> str:
        """The name without the user."""
        return self.name.rpartition("@")[2]


def read(path: str, workers: int) -> list[Host]:
    """The host of each worker.

    A line is a host, as ssh knows it, and perhaps ``slots=2`` (so many workers, before the next host has its turn),
    ``python=…`` and ``dir=…`` (by default those of this process). With fewer slots than workers it goes round.

    Raises
    ------
    UsageError
        If the file cannot be read, or a line is wrong.
    """
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--hosts {path}: {getattr(error, 'strerror', None) or error}") from None
    slots: list[Host] = []
    for number, line in enumerate(lines, 1):
        try:
            name, *settings = shlex.split(line, comments=True) or [""]
        except ValueError as error:
            raise UsageError(f"--hosts {path}, line {number}: {error}") from None
        if not name:
            continue
        given = dict(setting.partition("=")[::2] for setting in settings)
        wrong = [key for key in given if key not in _KEYS]
        if wrong or name.startswith("-") or not all(given.values()):
            raise UsageError(
                f"--hosts {path}, line {number}: a line is a host, and perhaps slots=N, python=PATH, dir=PATH; "
                f"not {line.strip()!r}"
            )
        count = given.get("slots", "1")
        if not count.isdecimal() or int(count) < 1:
            raise UsageError(f"--hosts {path}, line {number}: slots must be a number above 0, not {count!r}")
        host = Host(name, given.get("python", sys.executable), given.get("dir", os.getcwd()))
        slots += [host] * int(count)
    if not slots:
        raise UsageError(f"--hosts {path}: there is no host in it")
    return [slots[number % len(slots)] for number in range(workers)]


def address_towards(name: str) -> str:
    """The address by which this machine is seen from another one.

    Raises
    ------
    UsageError
        If the name has no address here.
    """
    try:
        family, kind, _, _, where = socket.getaddrinfo(name, 22, socket.AF_INET, socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(where)  # sends nothing
            return probe.getsockname()[0]
    except OSError as error:
        raise UsageError(
            f"{name} has no address here ({error.strerror}): say with --address how the hosts reach this machine"
        ) from None
