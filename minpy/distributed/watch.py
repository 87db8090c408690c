"""Looks after a worker that waits for others: MXNet waits for ever, and cannot be asked to wait less."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_TELL_AFTER = 1.0  # seconds of waiting, after which the launcher is told


class Watch:
    """Ends the process when it waited too long.

    Parameters
    ----------
    limit : float
        Seconds.
    tell : callable
        Is told ``b"W"`` when the process has waited for a while, and ``b"w"`` when it goes on.
    who : str
        For the message.
    """

    def __init__(self, limit: float, tell: Callable[[bytes], None], who: str) -> None:
        self.limit, self._tell, self._who = limit, tell, who
        self._lock = threading.Lock()
        self._since: float | None = None
        self._what, self._told = "", False
        threading.Thread(target=self._run, name="minpy-watch", daemon=True).start()

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """While the body runs, the process waits for others: `what` says for what."""
        self._what, self._since = what, time.monotonic()
        try:
            yield
        finally:
            self._since = None
            if self._told:
                with self._lock:
                    self._told = False
                    self._tell(b"w")

    def _run(self) -> None:
        step = min(0.5, self.limit / 4)
        while True:
            time.sleep(step)
            since = self._since
            if since is None:
                continue
            waited = time.monotonic() - since
            if waited > self.limit:
                self._end()
            with self._lock:
                if waited > _TELL_AFTER and not self._told and self._since == since:
                    self._told = True
                    self._tell(b"W")

    def _end(self) -> None:
        try:
            sys.stdout.flush()
            sys.stderr.write(
                f"minpy: error: {self._who} waited {self.limit:g} s for the others {self._what}; "
                "`minpy run --timeout SECONDS` sets how long it may [MP060]\n"
            )
            sys.stderr.flush()
        finally:
            os._exit(1)
