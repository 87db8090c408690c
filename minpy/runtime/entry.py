"""The one object through which rewritten code reaches the runtime.

Rewritten code says ``__minpy__.np.exp(x)``. While the runtime is idle, ``np`` *is* the numpy module, ``op`` is the
standard module ``operator`` and ``type`` is the built-in: a routed call costs one attribute look-up, monkey-patches of
numpy are honoured, and tracebacks hold no frame of ours. While anything is active (a tape, a device, a policy that may
choose a device, a profile, a forced precision) the three are namespaces that dispatch.

Importing this module imports neither numpy nor the rest of the runtime.
"""

from __future__ import annotations

import builtins
import threading
from typing import Any

_lock = threading.Lock()
# How many things are active at present, in any thread; and how many of them are not tapes.
holders = 0
others = 0


class Routed:
    """The attributes ``np``, ``op`` and ``type`` that rewritten code goes through.

    Pickles by reference, so that a function that refers to it travels to other processes.
    """

    __slots__ = ("np", "op", "type")

    def __getattr__(self, name: str) -> Any:
        # Reached only while a slot is empty: the first use in this process.
        if name not in self.__slots__:
            raise AttributeError(f"the routed namespace has np, op and type, but no {name!r}")
        _idle()
        return getattr(self, name)

    def __reduce__(self) -> str:
        return "routed"

    def __repr__(self) -> str:
        return f"<minpy.routed: {'active' if holders else 'idle'}>"


routed = Routed()


def _idle() -> None:
    import operator

    import numpy

    routed.np, routed.op, routed.type = numpy, operator, builtins.type


def activate(tape: bool = False) -> None:
    """Make routed calls dispatch, until as many calls of `deactivate` have followed.

    While nothing but tapes is active, all work is on the host and dispatch takes short cuts.
    """
    global holders, others
    from minpy.runtime import namespace

    # Made first: if that fails, nothing has changed.
    doors = namespace.numpy_door(), namespace.operator_door(), namespace.type_of
    with _lock:
        holders += 1
        others += not tape
        if holders == 1:
            routed.np, routed.op, routed.type = doors


def deactivate(tape: bool = False) -> None:
    """Undo one `activate`; the last one makes the runtime idle again."""
    global holders, others
    with _lock:
        holders -= 1
        others -= not tape
        if holders == 0:
            _idle()


def is_active() -> bool:
    """Whether routed calls dispatch at present (in any thread)."""
    return holders > 0
