"""The one object through which rewritten code reaches the runtime.

Rewritten code says ``__minpy__.np.exp(x)``, and ``__minpy__.numpy.concat(x)`` where not every release of NumPy has the
name, or it has no row in the table. While the runtime is idle, both *are* the numpy module, ``op`` is the standard
module ``operator``, ``math`` and ``scipy`` are the modules of that name, ``type`` and ``float`` are the built-ins: a
routed call costs one attribute look-up, monkey-patches of numpy are honoured, and tracebacks hold no frame of ours.
While anything is active (a tape, a device, a policy that may choose a device, a profile, a forced precision) they are
namespaces that dispatch; but for ``math`` and ``float`` where that is nothing but contexts of devices, on which no
numbers live.

Stores ask ``__minpy_taping__`` first, ``(__minpy__.at(a) if __minpy_taping__ else a)[i] = v``, and pass
``at``, ``within``, ``held``, ``before`` or ``exposed`` (see `minpy.runtime.stores`) only while a tape is open
in some thread. That is a built-in name of its own, since the interpreter finds these fastest, and there are many
stores; files that say what they run through ask ``routed.taping``.

Importing this module imports neither numpy nor the rest of the runtime.
"""

from __future__ import annotations

import builtins
import math
import sys
import threading
from typing import Any

from minpy.places import ALERT, FLAGS, TAPING

_lock = threading.Lock()
# How many things are active at present, in any thread; how many of them are not tapes; how many contexts of devices.
holders = 0
others = 0
devices = 0
watchers = 0  # all but contexts of devices: while there are any, no loop and no block runs as one piece
products = True  # whether the program may ask for products of matrices
# Told whether nothing but contexts of devices is active (see `small`).
_told: Any = None
# Who looks at each operation (see `nancheck`); None as a rule. Is counted among the others.
checker: Any = None


class Routed:
    """The attributes that rewritten code goes through.

    Pickles by reference, so that a function that refers to it travels to other processes.
    """

    __slots__ = (
        "at",
        "before",
        "blocks",
        "exposed",
        "float",
        "held",
        "loops",
        "math",
        "np",
        "numpy",
        "op",
        "pending",
        "scipy",
        "taping",
        "type",
        "within",
        *FLAGS,
    )

    def __reduce__(self) -> str:
        return "routed"

    def __repr__(self) -> str:
        return f"<minpy.routed: {'active' if holders else 'idle'}>"


class _Unfilled(Routed):
    """Before its first use in this process.

    A class of its own: the interpreter looks an attribute up faster where the class has no ``__getattr__``.
    """

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        if name not in Routed.__slots__:
            known = [each for each in Routed.__slots__ if each not in FLAGS]
            raise AttributeError(f"the routed namespace has {', '.join(known)}, but no {name!r}")
        _idle()
        _untaped()
        return getattr(self, name)


routed: Routed = _Unfilled()
for _flag in FLAGS:
    setattr(routed, _flag, True)


class _Pending:
    """What a variable holds whose value was not made: it is used up in a block of several statements."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<a value that was used up on the way>"


routed.pending = _Pending()


# What the attributes are while idle and while active, from the first use on.
_plain: tuple = ()
_doors: tuple = ()


def wait_for_products() -> None:
    """Leave NumPy's kernels for products alone until `expect_products` says that there may be some."""
    global products
    products = bool(_plain)


def expect_products() -> None:
    """Let the kernels be looked at: now, or as soon as NumPy is there."""
    global products
    with _lock:
        products = True
        late = bool(_plain)
    if late:
        from minpy.runtime import widen

        widen.start()


def _idle() -> None:
    global _plain
    if not _plain:
        import operator

        import numpy

        from minpy.runtime.fuse import sites as blocks
        from minpy.runtime.jit.sites import loops

        _plain = numpy, operator, math, loops, blocks
        if products:
            from minpy.runtime import widen

            widen.start()
    routed.__class__ = Routed
    routed.np, routed.op, routed.math, routed.loops, routed.blocks = _plain
    routed.numpy = routed.np
    set_alert(False)
    routed.scipy = sys.modules.get("scipy") or _not_yet
    routed.type, routed.float = builtins.type, builtins.float


class _NotYet:
    """Stands for SciPy until the first use: whoever goes through it has imported SciPy."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        import scipy

        if routed.scipy is self:
            routed.scipy = scipy
        return getattr(scipy, name)


_not_yet = _NotYet()


def _itself(value: Any) -> Any:
    return value


def _nothing_before(target: Any, *value: Any) -> Any:
    return value[0] if value else False


def _set_taping(value: bool) -> None:
    routed.taping = value
    setattr(builtins, TAPING, value)


def set_alert(value: bool) -> None:
    """Say whether operators are to be looked at, where they may be left alone (see `small`)."""
    setattr(builtins, ALERT, value)


# Whoever has the door, in whatever way it got there, has these names too.
setattr(builtins, TAPING, False)
set_alert(False)


def _hook(hooks: Any) -> None:
    routed.at, routed.within, routed.held = hooks.at, hooks.within, hooks.held
    routed.before, routed.exposed = hooks.before, hooks.exposed
    _set_taping(True)


def _untaped() -> None:
    if checker is not None:
        _hook(checker)  # it sees stores without a tape as well, and asks the tape itself
        return
    # Also reached through these while idle: a base that cannot be written twice, or a tape of another thread that was
    # closed after `taping` was asked.
    _set_taping(False)
    routed.at = routed.within = routed.held = routed.exposed = _itself
    routed.before = _nothing_before


def watch(told: Any) -> None:
    """Call ``told(True)`` when nothing but contexts of devices is active, ``told(False)`` when that changes."""
    global _told
    with _lock:
        _told = told
        _tell()


def _tell() -> None:
    """What follows from whether nothing but contexts of devices is active.

    (Where nothing is, nobody asks, and who comes next is most likely another context.)
    """
    quick = devices > 0 and not watchers
    if quick:
        routed.math, routed.float = math, builtins.float
    elif holders:
        routed.math, routed.float = _doors[0][3], _doors[3]
        set_alert(True)
    if _told is not None:
        _told(quick)


def activate(tape: bool = False, device: bool = False) -> None:
    """Make routed calls dispatch, until as many calls of `deactivate` have followed.

    While nothing but tapes is active, all work is on the host and dispatch takes short cuts; while nothing but contexts
    of devices is, small arrays do (`small`).
    """
    global holders, others, devices, watchers, _doors
    if not _doors:
        # Made first: if that fails, nothing has changed.
        from minpy import memory
        from minpy.runtime import namespace, scalars, scientific, stores, widen
        from minpy.runtime.fuse import sites as blocks
        from minpy.runtime.jit.sites import loops

        memory.keep_unless_asked()
        widen.start()

        numpy = namespace.numpy_door(), namespace.functions_door()
        modules = *numpy, namespace.operator_door(), scalars.math_door(), scientific.door
        _doors = modules, (loops, blocks), namespace.type_of, scalars.float_of, stores
    modules, loops, type_of, float_of, stores = _doors
    if device:
        from minpy.runtime import small

        small.install(*modules[:3], type_of)
    with _lock:
        holders += 1
        others += not tape
        devices += device
        watchers = holders - devices
        if holders == 1:
            routed.__class__ = Routed
            routed.numpy, routed.np, routed.op, routed.math, routed.scipy = modules
            routed.type, routed.float = type_of, float_of
            routed.loops, routed.blocks = loops
            set_alert(True)
            _untaped()
        if tape and holders - others == 1:
            _hook(checker or stores)
        _tell()


def deactivate(tape: bool = False, device: bool = False) -> None:
    """Undo one `activate`; the last one makes the runtime idle again."""
    global holders, others, devices, watchers
    with _lock:
        holders -= 1
        others -= not tape
        devices -= device
        watchers = holders - devices
        if holders:
            _tell()
        if holders == others:
            _untaped()
        if holders == 0:
            _idle()


def check(found: Any) -> None:
    """Let `found` look at each operation, nobody if it is None; while something else is active."""
    global checker
    from minpy.runtime import stores

    with _lock:
        checker = found
        if holders > others:
            _hook(found or stores)
        else:
            _untaped()


def is_active() -> bool:
    """Whether routed calls dispatch at present (in any thread)."""
    return holders > 0
