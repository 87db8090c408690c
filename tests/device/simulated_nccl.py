"""A simulated NCCL for simulated GPUs: CuPy's module ``cupy.cuda.nccl``, for several cards of one process.

It is stricter than NCCL. What would hang there fails here: a call outside of a group, a group in which not every card
makes the same calls, and work that begins while a card has failed and nobody has met that yet. Addresses are those of
memory of the card that makes the call, streams are that card's.
"""

from __future__ import annotations

import types
from typing import Any

import numpy as np

_DTYPES = {
    "NCCL_INT8": "i1", "NCCL_UINT8": "u1", "NCCL_INT32": "i4", "NCCL_UINT32": "u4", "NCCL_INT64": "i8",
    "NCCL_UINT64": "u8", "NCCL_FLOAT16": "f2", "NCCL_FLOAT32": "f4", "NCCL_FLOAT64": "f8",
}  # fmt: skip
NUMBERS = dict(zip(_DTYPES, (0, 1, 2, 3, 4, 5, 6, 7, 8), strict=True))
_BY_NUMBER = {NUMBERS[name]: np.dtype(code) for name, code in _DTYPES.items()}


class NcclError(RuntimeError):
    """What NCCL says."""


class Group:
    """The calls between ``groupStart`` and ``groupEnd``."""

    def __init__(self) -> None:
        self.depth, self.calls = 0, list[tuple]()


def module(machine: Any) -> Any:
    """``cupy.cuda.nccl`` for a machine; `fail` and `start` set a failure of the next group, and of the first one."""
    group = Group()

    class NcclCommunicator:
        def __init__(self, clique: list[Any], rank: int, card: Any) -> None:
            self.clique, self.rank, self.card, self.open = clique, rank, card, True

        @staticmethod
        def initAll(devices: Any) -> list[Any]:
            if not isinstance(devices, list) or len(set(devices)) < len(devices):
                raise NcclError("NCCL_ERROR_INVALID_USAGE: invalid usage")
            if found.start:
                raise NcclError(found.start)
            clique: list[Any] = []
            clique += [NcclCommunicator(clique, r, machine.cards[d]) for r, d in enumerate(devices)]
            return clique

        def _call(self, *call: Any) -> None:
            if not self.open:
                raise NcclError("NCCL_ERROR_INVALID_ARGUMENT: invalid argument")
            if not group.depth:
                raise AssertionError(
                    "a call of one of several cards of a process, not in a group: it would hang"
                )
            group.calls.append((self, *call))

        def reduce(self, send: int, to: int, count: int, kind: int, op: int, root: int, stream: int) -> None:
            self._call("reduce", count, kind, op, root, send, to, stream)

        def broadcast(self, send: int, to: int, count: int, kind: int, root: int, stream: int) -> None:
            if count > 2**31 - 1:
                raise OverflowError("value too large to convert to int")
            self._call("broadcast", count, kind, None, root, send, to, stream)

        def abort(self) -> None:
            self.open = False

        destroy = abort

    def start() -> None:
        group.depth += 1

    def end() -> None:
        group.depth -= 1
        if group.depth:
            return
        calls, group.calls = group.calls, []
        if found.fail:
            raise NcclError(found.fail)
        by_rank: dict[int, list[tuple]] = {}
        for comm, *call in calls:
            by_rank.setdefault(comm.rank, []).append((comm, *call))
        if not calls:
            return
        clique = calls[0][0].clique
        if len(by_rank) != len(clique):
            raise AssertionError("not every card takes part: it would hang")
        for each in zip(*by_rank.values(), strict=True):
            found.done += 1
            run(sorted(each, key=lambda call: call[0].rank))

    def run(calls: list[tuple]) -> None:
        if len({call[1:6] for call in calls}) > 1:
            raise AssertionError("the cards do not make the same call: it would hang")
        _, what, count, kind, _, root, *_ = calls[0]
        dtype = _BY_NUMBER[kind]
        nbytes = count * dtype.itemsize
        for comm, *_, stream in calls:
            if comm.card.pending is not None or comm.card.dead is not None:
                raise AssertionError("a card has failed, and the others wait for it: it would hang")
            if comm.card.waited < comm.card.kernels:
                raise AssertionError("nobody has seen whether the work so far on every card has failed")
            if stream != 1000 + comm.card.number:
                raise AssertionError("the stream is another card's")
        sources = [machine.memory_at(call[0].card, call[6], nbytes).view(dtype) for call in calls]
        targets = [machine.memory_at(call[0].card, call[7], nbytes).view(dtype) for call in calls]
        if what == "reduce":
            total = sources[0].copy()
            for source in sources[1:]:
                total += source
            targets[root][...] = total
        else:
            for target in targets:
                target[...] = sources[root]

    found = types.SimpleNamespace(
        available=True, NcclError=NcclError, NcclCommunicator=NcclCommunicator, groupStart=start, groupEnd=end,
        NCCL_SUM=0, **NUMBERS, fail="", start="", done=0,
    )  # fmt: skip
    return found
