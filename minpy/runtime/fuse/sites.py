"""The places in rewritten code where a block stands: ``__minpy__.blocks`` is this module.

``__minpy__.blocks.take() if __minpy__.w1b and __minpy__.blocks.t<name> and __minpy__.blocks.b<name>('v0*v1+v0', a, b)
else …``: ``w1b`` says whether some block with this flag is worth a look, ``t<name>`` whether this one is (its own flag,
found much more slowly because the module has a ``__getattr__``); ``b<name>`` looks, and either computes it, so that
``take()`` gives its result, or says False, and the expression runs as written. A block of small arrays loses its flag
after a few looks and costs one attribute look-up from then on; a sleeping thread sets the flags again, once a second or
less, as arrays may have grown.

Importing this module imports no numpy.
"""

from __future__ import annotations

import _thread
import atexit
import os
import re
import sys
import threading
from functools import cache
from time import perf_counter
from typing import Any

from minpy.places import BLOCKS, flag_of
from minpy.runtime import entry, flags, ledger

_SMALL_LOOKS = 3  # so many times in a row a block may turn out small before its flag goes
_FIRST_NAP, _LONGEST_NAP = 0.05, 1.0
_SHORT_NAPS = 6  # of each block, before all of them sleep long
_OPEN_NAPS = 40  # the same, of one that is still to be compiled
_BROADCAST = 100_000  # elements that two small arrays have together
_MANY = 4096  # elements of an array that is worth a second look
_SOME, _PATIENCE = 200, 3  # so many are worth one, too, if they keep coming back after so many naps
# Seconds of evaluating a block, by a guess, before it is looked at, and of all before what looks is imported; what an
# operation takes at least, and for each element; what a block takes of which no sizes are known.
_WORTH, _FIRST_WORTH = 1e-3, 15e-3
_SMALL_WORK, _LOOKING = (
    30e-6,
    15e-3,
)  # seconds of an evaluation in which no tiles gain; of looking at such, imports too
_OPERATION, _ELEMENT, _UNKNOWN = 1e-6, 0.5e-9, 50e-6
# Elements: what no device in use would get a block of (see `placement`).
left_alone = 4096
_here = sys.modules[__name__].__dict__
# Where code is that is no program's: MinPy's, what is installed beside it, Python's own.
_PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_OTHERS_CODE = tuple(
    {_PACKAGE + os.sep, os.path.dirname(os.__file__) + os.sep, sys.prefix + os.sep, sys.base_prefix + os.sep}
)


class _Local(threading.local):
    """What belongs to each thread."""

    def __init__(self) -> None:
        self.results: list[Any] = []  # of blocks that were just computed, the first one last


_local = _Local()

sites: list[Site] = []


def mode() -> str:
    """``"off"``, ``"auto"`` or ``"force"``: what ``MINPY_FUSE`` says."""
    text = os.environ.get("MINPY_FUSE", "auto").lower()
    return "off" if text in ("0", "off", "no", "false") else text if text.startswith("force") else "auto"


def __getattr__(name: str) -> Any:
    if name[0] not in "tbc" or not name[1:2].isdigit():
        raise AttributeError(f"the module {__name__!r} has no attribute {name!r}")
    site = Site(name[1:])
    _here[f"b{site.name}"] = site
    _here[f"c{site.name}"] = site.function
    site.set_flag(mode() != "off" and _is_host_numpy())
    return _here[name]


def _is_host_numpy() -> bool:
    return sys.implementation.name == "cpython"


# Whether blocks without a verdict are to say no, because somebody times what is around them.
held = False


def hold(is_held: bool) -> None:
    """Let blocks try nothing out, or let them go on."""
    global held
    held = is_held


trials = 0  # evaluations in which some block tried an engine out
_useful = 0.0  # seconds of these that the program would have spent as well


def note_trial(useful: float) -> None:
    """Count an evaluation that took longer, or less, than it will: `useful` seconds of it the program needed."""
    global trials, _useful
    trials += 1
    _useful += useful


def take() -> Any:
    """The next result of the block that was computed just before, in this thread."""
    return _local.results.pop()


def _present_state() -> Any:
    from minpy.runtime.fuse import state

    return state.present()


def _restore_state(before: Any) -> None:
    from minpy.runtime.fuse import state

    state.restore(before)


class Site:
    """One block of the program."""

    __slots__ = (
        "asked",
        "block",
        "dead",
        "long_way",
        "looks",
        "name",
        "naps",
        "reason",
        "since",
        "small",
        "taped",
        "work",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.block: Any = None  # a `block.Block`, once large arrays were seen
        self.taped: Any = None  # a `taped.Taped`, once it was looked at while a tape was open
        self.asked: Any = None  # a function in place of NumPy's, see `asked`
        # Since when it is evaluated, and the seconds that took, by a guess, before it was looked at.
        self.since = self.work = 0.0
        self.looks = self.small = self.long_way = self.naps = 0
        self.dead = False
        self.reason = ""
        sites.append(self)

    def __call__(self, text: str, *values: Any) -> bool:
        """Compute the block if that is possible and pays; else False, and nothing has happened."""
        if held or entry.others != entry.devices or not _is_undisturbed():
            return False
        began, taken, tried, useful = perf_counter(), ledger.taken(), trials, _useful
        done = self._is_done(text, values)
        if not done or trials != tried:
            # What was entered meanwhile, such as compiling, is not entered again.
            lost = perf_counter() - began - (_useful - useful) - (ledger.taken() - taken)
            ledger.note_look(lost)
        return done

    def _is_done(self, text: str, values: tuple[Any, ...]) -> bool:
        before: Any = None  # the floating-point state, once something may change it
        self.looks += 1
        taping = entry.holders > 0 and _tape_is_open()
        try:
            if taping and entry.devices:
                return False
            if taping:
                before = _present_state()
                done, result = self._on_tape(text, values)
                if not done and result:
                    return False  # soon, perhaps
            else:
                block = self.block
                if block is None:
                    if not _may_be_large(text, values, _MANY if self.naps < _PATIENCE else _SOME):
                        self._was_small()
                        return False
                    if not self._is_worth_a_look(text, values):
                        return False
                    block = self.block = _made(text)
                    if _is_shortened():
                        block.site = self
                if entry.devices and not _is_left_to_the_host(text, values):
                    self._was_small()
                    return False
                before = _present_state()
                done, result = block.run(values)
                if done and entry.devices:
                    from minpy.runtime import placement

                    placement.made(result)
        except BaseException as error:
            if before is not None:
                _restore_state(before)
            if not isinstance(error, Exception):
                raise
            if type(error).__name__ not in ("Irregular", "MemoryError", "FloatingPointError"):
                if _is_of_a_handler(error):
                    raise
                self.reason = f"{type(error).__name__}: {error}"
                if mode() != "auto" and type(error).__name__ not in _OF_THE_PROGRAM:
                    raise
            done, result = False, False
        if not done:
            if taping and self.block is not None:
                return False  # without a tape it is worth a look
            self._was_small(_OPEN_NAPS if result else _SHORT_NAPS)
            return False
        self.small = 0
        self.long_way += 1
        _local.results += reversed(result)
        return True

    def _is_worth_a_look(self, text: str, values: tuple[Any, ...]) -> bool:
        """Whether looking at the block may be paid for now; else it sleeps for a while.

        One that is evaluated once gains nothing from what is found out about it: by a guess, it must have taken as long
        as looking at it will, or come again later. Tiles gain nothing where its arrays are small, only compiled code
        does, which comes later in any case.
        """
        global _work_in_all
        if mode() != "auto" or entry.devices or _is_any_known():
            return True
        self.since = self.since or perf_counter()
        work = _work(text, values)
        self.work += work
        _work_in_all += work
        enough = self.naps or (self.work > _WORTH and (_is_imported() or _work_in_all > _FIRST_WORTH))
        if enough and (ledger.may_look() if work > _SMALL_WORK else ledger.allows(_LOOKING)):
            return True
        self._was_small(_OPEN_NAPS)
        return False

    def function(self, text: str) -> Any:
        """The function for a call whose operands have no names; NumPy's own where there can be no other."""
        from minpy.runtime.fuse import asked

        name = text[1 : text.index("(")]
        if entry.holders:
            return asked.written(name)  # (with no built-in function between: `adoption` counts references)
        if self.asked is None:

            def ask(*values: Any) -> Any:
                return take() if self(text, *values) else asked.Instead((asked.written(name),))

            try:
                self.asked = asked.function_for(name, ask)
            except asked.TooSoon:
                return asked.written(name)
            if self.asked is None:
                self.give_up("no compiler")
                return asked.written(name)
        return self.asked

    def _on_tape(self, text: str, values: tuple[Any, ...]) -> tuple[bool, Any]:
        """Compute the block as one record of the open tape: whether that was done, and the results.

        If it was not, the second value says whether that may change soon.
        """
        taped = self.taped
        if taped is None:
            if text[0] == "_" or ";" in text or "roll(" in text or not (_is_traced(values) or "." in text):
                return False, False
            from minpy.runtime.fuse.taped import Taped

            self.taped = False  # unless it is one of the kind
            taped = self.taped = Taped(text, mode())
        if taped is False:
            return False, False
        result = taped.run(values)
        return (False, taped.waits()) if result is None else (True, [result])

    def _was_small(self, short_naps: int = _SHORT_NAPS) -> None:
        self.small += 1
        if self.small >= _SMALL_LOOKS and mode() == "auto":
            self.small = _SMALL_LOOKS - 1  # one look after each nap
            self.set_flag(False)
            _asleep.append(self)
            self.naps += 1
            _start_watch(self.naps < short_naps)

    @property
    def fused(self) -> int:
        """How often the block was computed as one piece."""
        shortcut = getattr(self.block, "shortcut", None)
        return self.long_way + (shortcut.hits if shortcut is not None else 0)

    def replace(self, shortcut: Any) -> None:
        """Let a short way be tried first; it asks this site where it does not know."""
        _here[f"b{self.name}"] = shortcut.function

    def join(self, use: Any) -> None:
        """Let others hand results of this thread over, too."""
        use(_local.results)

    def give_up(self, reason: str) -> None:
        """Let this block run as written from now on."""
        self.dead, self.reason = True, reason
        self.set_flag(False)

    def set_flag(self, awake: bool) -> None:
        """Let the block be asked, or be passed by."""
        _here[f"t{self.name}"] = awake
        _, number, digest = self.name.split("_")
        (flags.wake if awake else flags.sleep)(flag_of(BLOCKS, int(number), digest), self.name)

    def __repr__(self) -> str:
        times = f"{self.fused} of {self.looks} times as one piece"
        return f"<the block {self.name}: {times}, {self.reason or 'no objection'}>"


def _is_shortened() -> bool:
    """Whether blocks that run compiled get a short way: not where every evaluation is to try something."""
    return mode() in ("auto", "force:direct")


def _made(text: str) -> Any:
    if text[0] == "_":
        from minpy.runtime.fuse.call import Call

        return Call(text, mode())
    from minpy.runtime.fuse.block import Block

    return Block(text, mode())


# What evaluating a block's scalars and slices may raise because the program does.
_OF_THE_PROGRAM = frozenset(
    "ZeroDivisionError OverflowError IndexError ValueError TypeError KeyError AttributeError UFuncTypeError "
    "_UFuncNoLoopError _UFuncOutputCastingError _UFuncInputCastingError _UFuncBinaryResolutionError".split()
)


def _is_of_a_handler(error: BaseException) -> bool:
    """Whether an exception was raised in the program's code: by a signal's handler, in the midst of a block."""
    at = error.__traceback__
    while at is not None:
        name = at.tb_frame.f_code.co_filename
        if not name.startswith((*_OTHERS_CODE, "<")):
            return True
        at = at.tb_next
    return False


def _is_undisturbed() -> bool:
    if sys.gettrace() is not None or sys.getprofile() is not None:
        return False
    monitoring = getattr(sys, "monitoring", None)
    return monitoring is None or not any(monitoring.get_tool(tool) for tool in range(6))


def _may_be_large(text: str, values: tuple[Any, ...], many: int) -> bool:
    if mode() != "auto" or text.startswith("__random") or _asks_for_attributes(text):  # looked at later
        return True
    if text[0] == "_" and "linalg" not in text:
        many = _MANY  # no call of fewer is made in another way
    numpy = sys.modules["numpy"]
    sizes = {value.shape: value.size for value in values if type(value) is numpy.ndarray}
    first, second = sorted([0, 0, *sizes.values()])[-2:]
    return second >= many or first * second >= _BROADCAST  # of different shapes: a column and a row


_work_in_all = 0.0


def _is_imported() -> bool:
    """Whether looking needs no imports any more."""
    return "minpy.runtime.fuse.choose" in sys.modules


@cache
def _is_any_known() -> bool:
    """Whether earlier runs have left what they found out about blocks: then looking pays at once."""
    from minpy.runtime import kept

    return os.path.exists(kept.folder("blocks.json"))


def _work(text: str, values: tuple[Any, ...]) -> float:
    """The seconds that evaluating a block takes, by a guess."""
    numpy = sys.modules["numpy"]
    arrays = [each for each in values if type(each) is numpy.ndarray]
    size = max([each.size for each in arrays], default=0)
    if len({each.shape for each in arrays}) > 1:
        try:
            size = numpy.broadcast(*arrays).size
        except ValueError:
            pass  # parts of them are used, or they are too many
    return _operations(text) * (_OPERATION + _ELEMENT * size) if size else _UNKNOWN


@cache
def _operations(text: str) -> int:
    return 1 + sum(map(text.count, "+*/(<>")) // 2


def _asks_for_attributes(text: str) -> bool:
    """Whether a block asks for attributes (``v0.shape``), a dot that no number has."""
    return "." in text and re.search(r"\.[A-Za-z_]", text) is not None


def _is_left_to_the_host(text: str, values: tuple[Any, ...]) -> bool:
    """Whether `auto` does not want the block's operations on a device."""
    from minpy.runtime import placement

    return not _is_traced(values) and placement.leaves(text, values)


def _tape_is_open() -> bool:
    from minpy.runtime.record import current_tape

    return current_tape() is not None


def _is_traced(values: tuple[Any, ...]) -> bool:
    """Whether an array is among `values` that only a tape, or a device, has."""
    array = sys.modules["minpy.runtime.array"].Array
    return any(type(value) is array for value in values)


# The thread that wakes blocks up.

_asleep: list[Any] = []  # blocks, and other places
_watching = False
_nap = _FIRST_NAP
_bell = _thread.allocate_lock()
_bell.acquire()


def rest(site: Any, soon: bool) -> None:
    """Let a place of another kind that was put to sleep be woken with the blocks: by ``set_flag(True)``."""
    _asleep.append(site)
    _start_watch(soon)


def watch() -> None:
    """See to it that `flags.look` is called now and then."""
    _start_watch(False)


def _start_watch(soon: bool) -> None:
    """See to it that blocks are woken, soon again if one has not slept often."""
    global _watching, _nap
    if _watching:
        if soon and _nap > 4 * _FIRST_NAP:
            _nap = _FIRST_NAP
            if _bell.locked():
                _bell.release()
        return
    _nap = _FIRST_NAP
    _watching = True
    try:
        _thread.start_new_thread(_watch, (_bell,))
    except RuntimeError:  # no thread to be had: blocks that went to sleep stay asleep
        pass


def _watch(bell: Any) -> None:
    global _nap
    while _watching and bell is _bell:
        if not bell.acquire(timeout=_nap):
            _nap = min(_nap * 2, _LONGEST_NAP)
            wake()
            flags.look()


def wake() -> None:
    """Let every block that was small so far be looked at once more."""
    while _asleep:
        site = _asleep.pop()
        if not site.dead:
            site.set_flag(True)


def _stop_watch() -> None:
    global _watching
    if _watching:
        _watching = False
        if _bell.locked():
            _bell.release()


def _after_fork() -> None:
    global _watching, _bell
    _watching = False
    _bell = _thread.allocate_lock()
    _bell.acquire()
    wake()


atexit.register(_stop_watch)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
