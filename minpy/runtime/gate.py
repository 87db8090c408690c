"""Work in foreign code that a fork must not cut through: its locks would stay locked in the child for ever."""

from __future__ import annotations

import os
from _thread import get_ident
from time import monotonic, sleep
from types import TracebackType

_PATIENCE = 10.0  # seconds that a fork waits at most
_STEP = 1e-4


class Gate:
    """``with gate:`` around the work. A fork waits until nobody is inside; who comes meanwhile waits for the fork.

    A thread that forks in the midst of its own work (in a signal's handler) does not wait for itself, and one that is
    inside may enter again.
    """

    __slots__ = ("_closed", "_inside")

    def __init__(self) -> None:
        self._inside: dict[int, int] = {}  # how often a thread is inside
        self._closed = False
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._close, after_in_parent=self._open, after_in_child=self._open_anew
            )

    def __enter__(self) -> None:
        me = get_ident()
        inside = self._inside
        depth = inside[me] = (
            inside.get(me, 0) + 1
        )  # first, so that a fork sees it or has closed the gate before
        while self._closed and depth == 1:
            del inside[me]
            while self._closed:
                sleep(_STEP)
            inside[me] = depth

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        me = get_ident()
        if self._inside[me] == 1:
            del self._inside[me]
        else:
            self._inside[me] -= 1

    def _close(self) -> None:
        me, until = get_ident(), monotonic() + _PATIENCE
        self._closed = True
        while any(each != me for each in tuple(self._inside)) and monotonic() < until:
            sleep(_STEP)

    def _open(self) -> None:
        self._closed = False

    def _open_anew(self) -> None:
        me = get_ident()
        for each in tuple(self._inside):
            if each != me:
                del self._inside[each]
        self._closed = False
