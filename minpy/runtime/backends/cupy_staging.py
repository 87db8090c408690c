"""Copies between the host and a GPU through pinned memory, two pieces of it in turn."""

from __future__ import annotations

from typing import Any

import numpy as np

_PIECE = 8 << 20  # bytes of a pinned buffer
_STAGED = 1 << 20  # bytes from which a copy goes through them


class Staging:
    """Copies through pinned memory: while one buffer is under way the other is filled or emptied."""

    def __init__(self, cupy: Any) -> None:
        self.cupy = cupy
        self._buffers: list[tuple[np.ndarray, Any]] | None = None

    def _pair(self) -> list[tuple[np.ndarray, Any]]:
        """Two buffers, each with the event after which it is free."""
        if self._buffers is None:
            cuda = self.cupy.cuda
            self._buffers = [
                (
                    np.frombuffer(cuda.alloc_pinned_memory(_PIECE), np.uint8, _PIECE),
                    cuda.Event(disable_timing=True),
                )
                for _ in range(2)
            ]
        return self._buffers

    def upload(self, handle: Any, data: np.ndarray, stream: Any) -> None:
        """Copy the C-contiguous `data` into `handle`, of the same shape; `data` may change afterwards."""
        if data.nbytes < _STAGED:
            handle.set(data, stream=stream)
            stream.synchronize()
            return
        there, here = handle.reshape(-1), data.reshape(-1)
        step = _PIECE // data.itemsize
        for i, start in enumerate(range(0, here.size, step)):
            buffer, event = self._pair()[i % 2]
            event.synchronize()
            piece = buffer[: min(step, here.size - start) * data.itemsize].view(data.dtype)
            piece[...] = here[start : start + step]
            there[start : start + step].set(piece, stream=stream)
            event.record(stream)

    def download(self, handle: Any, host: np.ndarray, stream: Any) -> None:
        """Copy `handle` into the C-contiguous `host`, of the same shape; done when this returns."""
        if host.nbytes < _STAGED:
            handle.get(stream=stream, out=host)
            return
        there, here = handle.reshape(-1), host.reshape(-1)
        step = _PIECE // host.itemsize
        under_way: list[tuple[int, np.ndarray, Any]] = []
        for i, start in enumerate(range(0, here.size, step)):
            if len(under_way) == 2:
                self._empty(here, *under_way.pop(0))
            buffer, event = self._pair()[i % 2]
            event.synchronize()  # an upload may still be reading it
            piece = buffer[: min(step, here.size - start) * host.itemsize].view(host.dtype)
            there[start : start + step].get(stream=stream, out=piece, blocking=False)
            event.record(stream)
            under_way.append((start, piece, event))
        for each in under_way:
            self._empty(here, *each)

    @staticmethod
    def _empty(here: np.ndarray, start: int, piece: np.ndarray, event: Any) -> None:
        event.synchronize()
        here[start : start + piece.size] = piece
