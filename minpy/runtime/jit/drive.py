"""Runs a loop in pieces: as written while that is cheapest, compiled from an iteration on where that pays.

The interpreter runs the loop's body itself, over an iterator that `pieces` feeds. Between two iterations the variables
of the frame are complete, so the compiled code can take over there; and where it cannot go on, the interpreter takes
the next iteration as if nothing had happened.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, islice
from time import perf_counter, thread_time
from types import CodeType, FrameType
from typing import Any

import numpy as np

from minpy.runtime import entry, ledger
from minpy.runtime.fuse import pool
from minpy.runtime.fuse import sites as blocks
from minpy.runtime.jit import background, engine, source, store
from minpy.runtime.jit.bind import Frame, Names, Snapshot
from minpy.runtime.jit.far import meets
from minpy.runtime.jit.kernel import INTERRUPTED, Kernel, NoRoom
from minpy.runtime.jit.kinds import Unsupported
from minpy.runtime.jit.sites import SURE, WORTH, Site, is_quick, is_undisturbed, loops
from minpy.runtime.jit.trial import LONGEST, Trial

_LONG = 50e-3  # seconds of a round that is believed at once
_PIECE = 2e-3  # seconds as written between two looks at the clock
_LOOK = 2e-3  # seconds spent in short runs before the next of them is looked at
_CHUNK = 30e-3  # seconds compiled between two looks at the program's variables
_SMALL_WORTH = 500e-6  # the same, where compiled code gains less: with operations on small arrays
_ENTRY = 3e-6  # seconds as written that are worth the short way
_WAY = 1e-6  # what it takes
_QUICK = 5e-3  # seconds that code which was made quickly runs between two looks
# Seconds of each operation of a loop without loops in it: if it takes longer, the time goes into the elements.
_LARGE = 3e-6
_FUNCTION = 10  # operations in a function of the program's, perhaps
_LATER = 20e-3  # seconds as written until it is asked again whether fast code may be made
_TEXT = 3_500  # bytes that a loop's text has for each operation on arrays, at least
_KEYS = 6  # compiled versions of one loop
_LEAVES = 4  # so often a loop may leave compiled code early, and then once every so many iterations:
_DISTANCE = 50
_COPY_RATE = 4e9  # bytes a second
_HOPE = 2  # times the same: what was spent in a loop that may come again, so often, is spent again


seconds: dict[Site, float] = {}  # that each loop has run compiled


def seconds_of(site: Site) -> float:
    """How long a loop has run compiled."""
    return seconds.get(site, 0.0) + (site.shortcut.seconds if site.shortcut else 0.0)


def iterator_at(over: Any, position: int) -> Iterator[Any]:
    """An iterator as the built-in function gives it, from a position on."""
    if type(over) is tuple and over and over[0] in ("enumerate", "zip") and len(over) > 1:
        if over[0] == "enumerate":
            return enumerate(iterator_at(over[1], position), over[2] + position)
        return zip(*(iterator_at(each, position) for each in over[1]), strict=False)
    iterator = iter(over)
    if position:
        iterator.__setstate__(position)  # type: ignore[attr-defined]
    return iterator


def length(over: Any) -> int:
    """How many items there are at present."""
    if type(over) is tuple and over and over[0] == "enumerate":
        return length(over[1])
    if type(over) is tuple and over and over[0] == "zip":
        return min(map(length, over[1]))
    return len(over)


def begin(site: Site, over: Any, frame: FrameType) -> Iterable[Any]:
    """Run a loop compiled, if that pays; what is left of it for the interpreter."""
    position, tried = 0, False
    count = length(over)
    if count and (_pays(site, count, frame) or _is_far(site, frame)):
        result = run(site, over, frame.f_code, frame, 0, count)
        tried = result is None
        if result is not None:
            position, ended = result
            if ended or position >= length(over):
                return ()
            tried = True
    return chain.from_iterable(pieces(site, over, frame.f_code, position, tried))


def left(site: Site, number: int, position: int, answer: int, *arguments: Any) -> Any:
    """The guard had to leave compiled code: what is left of the loop for the interpreter.

    Parameters
    ----------
    number : int
        That of the plan.
    position : int
        The round that is next.
    answer : int
        The kernel's, as in `lower`; 0 where the time was up.
    """
    if answer == INTERRUPTED:
        raise SystemError("a compiled loop took another way when it was run again")
    if answer > 0:
        _left(site, site.shortcut.plans[number].kernel.code.reasons[answer - 1])
    if site.what == "while":
        return False
    code = sys._getframe(1).f_code
    return chain.from_iterable(pieces(site, site.over(arguments), code, position, answer > 0))


def pieces(
    site: Site, over: Any, code: CodeType, position: int = 0, tried: bool = False
) -> Iterator[Iterable[Any]]:
    """What the loop is to run over as written, piece by piece; between two of them it may run compiled.

    Not before the first one, if that was `tried`.
    """
    piece = 1
    iterator = iterator_at(over, position)
    while not site.reason:
        count = length(over)
        if position >= count or not is_undisturbed():
            break
        if tried:
            tried = False
        elif _pays(site, count - position, sys._getframe(1)):
            result = run(site, over, code, sys._getframe(1), position, count)
            if result is not None:
                position, ended = result
                if ended:
                    return
                iterator = iterator_at(over, position)
                piece = 1
                if position >= length(over):
                    break
        else:
            site.look_at = site.spent + _LOOK
        is_sample = site.trial is not None and not site.trial.is_over and site.better is None
        clock = _of_samples() if is_sample else perf_counter
        trials = blocks.trials
        started, began = perf_counter(), clock()
        if is_sample:
            blocks.hold(site.trial.holds)
            try:
                yield islice(iterator, piece)
            finally:
                blocks.hold(False)
        else:
            yield islice(iterator, piece)
        took, sample = perf_counter() - started, clock() - began
        done = min(piece, count - position)  # the rest may be less than what was asked for
        position += piece
        site.spent += took
        if is_sample:
            site.trial.wrote(sample, done, blocks.trials != trials)
        if done > 1 or not site.per_round:
            site.per_round = took / max(done, 1)
        else:
            # A single round right after compiled code says little.
            site.per_round = min(took, 0.8 * site.per_round + 0.2 * took)
        piece = max(1, min(int(_PIECE / max(site.per_round, 1e-9)), 16 * piece))
    yield iterator


def _of_samples() -> Callable[[], float]:
    """What samples of a trial are timed with: this thread's time, unless others work for it.

    Where the processor is shared a compiled sample, which is longer than a round as written, is interrupted more.
    """
    return perf_counter if pool.is_at_hand() else thread_time


def _pays(site: Site, left: int, frame: FrameType) -> bool:
    if site.force:
        return True
    if site.better is not None and not _is_better(site):
        return False
    if site.trial is not None and not site.trial.wants_compiled:
        return False
    if not site.per_round:
        # Not yet run in this process; it may have been worth it in an earlier one.
        return store.is_known(site.name)
    if not site.kernels and (background.is_busy() or _must_wait(site)):
        return False
    rest = left * site.per_round
    if site.kernels:
        only_long = site.shortcut is False or (site.shortcut and site.shortcut.is_full)
        return rest > (WORTH if only_long else _ENTRY)
    if rest > SURE * background.expected() and (site.spent > site.per_round or site.per_round > _LONG):
        return True  # not by the first round alone, which finds nothing in caches and tables, and imports
    return rest > _ENTRY and is_hot(site, frame)


def _must_wait(site: Site) -> bool:
    """Whether only fast code would do for a loop, and it is too early for that: then not even its text is made."""
    if site.spent < site.waits:
        return True
    if site.names is None or not site.per_round or not _is_large(site):
        return False
    size = _TEXT * _operations(site)
    if background.is_used():
        too_early = background.is_early(size)
    else:
        too_early = not ledger.allows(background.expected_again(size))
    if not too_early or store.was_known(site.name):
        return False
    site.waits = site.spent + _LATER
    return True


def _is_far(site: Site, frame: FrameType) -> bool:
    """Whether a first round, of loops inside, would ask the dispatcher for each element: too long to be timed."""
    return site.nest and not site.per_round and site.names is None and bool(entry.devices) and meets(frame)


def is_hot(site: Site, frame: FrameType | None = None) -> bool:
    """Whether so much time was spent in a loop that it is compiled in the hope that it comes again."""
    takes = background.expected()
    if site.kernels or (site.spent > _HOPE * takes and ledger.allows(takes)):
        return True
    return (
        frame is not None and site.spent > takes and ledger.allows_sure(takes) and _gains_surely(site, frame)
    )


def _gains_surely(site: Site, frame: FrameType) -> bool:
    """Whether a loop works on elements alone: compiled, they take a tenth or less."""
    if site.sure is None:
        from minpy.runtime.jit import elements

        found = source.loops_of(frame.f_code.co_filename, site.digest).get(site.line)
        site.sure = found is not None and elements.only(found[0], frame)
    return site.sure


def run(
    site: Site, over: Any, code: CodeType, frame: Any, position: int, count: int
) -> tuple[int, bool] | None:
    """Run compiled from `position` on; the position that was reached, and whether the loop is over.

    None if that is not possible now.
    """
    if frame.f_code is not code or np.geterr()["under"] != "ignore":
        return None
    chunk, first = 0, position
    known = _laid_out(site)
    rate = site.per_round / 50  # a guess, until the first chunk was timed
    began = perf_counter()
    try:
        if site.names is None:
            _look(site, code)
            if not site.force and _must_wait(site):
                return None
        while position < count:
            variables = Frame(frame, site.names)
            snapshot = Snapshot(variables, site.names, over, site.digest)
            kernel = _kernel(site, snapshot)
            if not kernel.is_ready:
                site.better = kernel
                return (position, False) if chunk else None
            if kernel.is_quick:
                _improve(site, kernel)
            if not kernel.can_run(snapshot):
                return (position, False) if chunk else None
            if entry.devices and snapshot.far.is_left(kernel, snapshot):
                site.give_up("operations on arrays that a device may have")
                return (position, False) if chunk else None
            copying = kernel.written_bytes(snapshot) / _COPY_RATE
            if not chunk and not site.force and not _gains(site, kernel, copying, count - position):
                return None
            tried = _trial(site, kernel)
            target = max(_CHUNK, 20 * copying) if tried is None else LONGEST
            wanted = int(target / rate) if rate else 1
            chunk = max(1, min(wanted, 64 * chunk if chunk else wanted))
            if snapshot.far.arrays:
                site.fetched += snapshot.far.fetch(kernel)
            clock = perf_counter if tried is None else _of_samples()
            started, on = perf_counter(), clock()
            outcome = kernel.run(variables, snapshot, position, min(position + chunk, count))
            took, sample = perf_counter() - started, clock() - on
            done = outcome.position - position
            seconds[site] = seconds.get(site, 0.0) + took
            site.run_compiled += done
            position = outcome.position
            if tried is not None:
                # The next time the way there is a short one.
                way = (_WAY if site.shortcut is not False else started - began) / (count - first)
                if done and not tried.ran(sample / done + way):
                    _lost(site, kernel)
            elif site.trial is not None:
                site.trial.went(took)
            if outcome.broke or outcome.ended:
                _shorten(site, kernel, frame, snapshot)
            if _laid_out(site) == known and not site.reason:
                _balance(site, done, perf_counter() - began)
                began = perf_counter()
            if outcome.broke or outcome.ended:
                return position, outcome.broke
            if outcome.reason is not None:
                _left(site, outcome.reason)
                return position, False
            if position >= count and (site.trial is None or site.trial.is_over):
                _shorten(site, kernel, frame, snapshot)
            rate = took / max(done, 1)
            if (
                not is_undisturbed()
                or site.reason
                or site.asleep
                or (site.trial is not None and not site.trial.is_over)
            ):
                return position, False
    except Unsupported as error:
        if position != first:
            return position, False
        if site.kernels and not isinstance(error, NoRoom):
            _left(site, (site.line, str(error)))  # not for what it has met now
        else:
            site.give_up(str(error))
        return None
    return position, True


def _shorten(site: Site, kernel: Kernel, frame: FrameType, snapshot: Snapshot) -> None:
    """Let the loop go the short way when it meets again what it has met now."""
    if site.shortcut is False or site.reason or snapshot.far.arrays or (kernel.code.whole and entry.devices):
        return
    from minpy.runtime.jit import shortcut

    if not shortcut.is_made() and background.is_busy():
        return  # the next time
    try:
        if site.shortcut is None:
            if not shortcut.is_possible():
                raise shortcut.Irregular
            site.shortcut = shortcut.Shortcut(site, partial(left, site))
        site.shortcut.lay_out(kernel, frame, site.names, snapshot)
        if kernel.code.whole:
            site.shortcut.stay_on_the_host()
    except shortcut.Irregular:
        if not site.shortcut or not site.shortcut.plans:
            site.shortcut = False
        return
    least, per_byte = (0.0, 0.0) if site.force else (_ENTRY, 3 / _COPY_RATE)
    site.shortcut.value(site.per_round, least, per_byte)
    _limit(site)
    setattr(loops, site.name, site.shortcut.function)


def _lost(site: Site, kernel: Kernel) -> None:
    """NumPy's own operations are as fast as compiled code; fast code gets its chance where there is none yet."""
    if kernel.is_quick and site.trial.is_close:
        site.trial, site.better = Trial(), kernel
        return
    site.give_up("NumPy's own operations are as fast")
    store.forget(site.name)


def _is_better(site: Site) -> bool:
    """Whether the fast code is there that a loop waits for."""
    if not site.better.was_missed:
        if site.better.is_early or not (background.is_used() or ledger.allows(site.better.takes)):
            return False
    try:
        site.better.improve()
    except background.Pending:
        return False
    except engine.CompileError as error:
        site.give_up(f"the compiler refused it: {error}")
        return False
    store.remember(site.name)
    if site.shortcut:
        site.shortcut.renew(site.better)
    site.better = None
    return True


def _improve(site: Site, kernel: Kernel) -> None:
    """Make fast code of what was compiled quickly, once the gain was enough for that, or earlier runs missed it."""
    if not kernel.was_missed:
        takes, ran = kernel.takes, seconds_of(site)
        gained = site.compiled * site.per_round - ran
        if kernel.is_early or ran < takes or (site.per_round and gained < _HOPE * takes):
            return
    try:
        kernel.improve()
    except background.Pending:
        return
    except engine.CompileError:  # the other code goes on
        return
    if site.shortcut:
        site.shortcut.renew(kernel)


def settle(site: Site) -> None:
    """The guard has run for as long as it may before Python looks at the loop."""
    if site.shortcut.loses() and not site.force:
        site.rest()
    if site.trial is not None and site.trial.is_over:
        site.trial.went(site.shortcut.news())
    for plan in site.shortcut.plans:
        if plan.kernel.is_quick:
            _improve(site, plan.kernel)
    _limit(site)


def _limit(site: Site) -> None:
    """Let the guard ask after some time."""
    trial = site.trial
    for plan in site.shortcut.plans:
        seconds = None if trial is None else trial.lasts
        if plan.kernel.is_quick:
            seconds = _QUICK if seconds is None else min(seconds, _QUICK)
        plan.set_limit(seconds)


def _laid_out(site: Site) -> tuple[int, int]:
    """How many kernels and tables there are: what is made once is not counted against compiled runs."""
    return sum(map(len, site.kernels.values())), site.shortcut.laid_out if site.shortcut else 0


def _balance(site: Site, rounds: int, took: float) -> None:
    """Enter what a compiled run gained; a loop that loses rests."""
    if site.per_round and not site.balance.add(rounds * site.per_round - took) and not site.force:
        site.rest()


def _gains(site: Site, kernel: Kernel, copying: float, left: int) -> bool:
    """Whether the way into compiled code, of some 100 µs, and the copies of what is stored into pay."""
    rest = left * site.per_round
    if kernel.code.whole and not site.nest and not rest:
        return False  # NumPy does small arrays well enough that one round is timed first
    enough = 3 * copying
    if kernel.code.whole and not (site.trial and site.trial.has_passed):
        # (One that was shown to gain was so with its copies.)
        enough = max(_SMALL_WORTH if site.shortcut is False else _ENTRY, 10 * copying)
    if not rest or rest >= enough:
        return True
    # To have looked for nothing costs as much as some rounds.
    site.leaves += _LEAVES - 1
    _left(site, (site.line, "it is too short for what it stores into"))
    if site.reason:
        store.forget(site.name)
    return False


def _trial(site: Site, kernel: Kernel) -> Trial | None:
    """The trial that this run is a sample of; None if it is none."""
    if not kernel.code.whole or site.force or site.what == "while":
        return None
    if site.trial is None:
        # The first run finds nothing in the processor's caches and tables: it is no sample.
        site.trial = Trial()
        return None
    return None if site.trial.is_over else site.trial


def _is_large(site: Site) -> bool:
    """Whether a loop's operations, if they are on arrays, are on large ones: where NumPy beats quick code."""
    if site.nest or site.what == "while" or site.force:
        return False  # what is in the inner loop may be small parts of arrays
    return not site.per_round or site.per_round > _LARGE * _operations(site)


def _operations(site: Site) -> int:
    """About how many operations there are in a loop."""
    count = 0
    for node in (inner for statement in site.names.node.body for inner in ast.walk(statement)):
        if isinstance(node, (ast.BinOp, ast.Compare, ast.AugAssign, ast.Call)):
            mine = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            count += _FUNCTION if mine else 1
    return count


def _left(site: Site, reason: tuple[int, str]) -> None:
    """Compiled code was left early: too often, and the loop stays as written."""
    site.leaves += 1
    if not site.force and site.leaves > _LEAVES and site.compiled < site.leaves * _DISTANCE:
        site.give_up(f"line {reason[0]}: {reason[1]}")


def _look(site: Site, code: CodeType) -> None:
    found = source.loops_of(code.co_filename, site.digest).get(site.line)
    if found is None:
        raise Unsupported("its source is not where the code says")
    site.names = Names(*found)


def _kernel(site: Site, snapshot: Snapshot) -> Kernel:
    known = site.kernels.get(snapshot.key, [])
    for kernel in known:
        if kernel.fits(snapshot):
            return kernel
    what = snapshot.key, snapshot.kinds
    if what in site.refused:
        raise Unsupported(site.refused[what])
    if sum(map(len, site.kernels.values())) + len(site.refused) >= _KEYS and not site.force:
        raise Unsupported("its variables have ever new types")
    try:
        text = f"{site.name}\n{site.names.text}"
        kernel = Kernel(
            site.names.node,
            text,
            snapshot,
            quickly=is_quick(),
            large=_is_large(site),
            missed=store.missed(site.name),
        )
    except engine.CompileError as error:
        raise Unsupported(f"the compiler refused it: {error}") from error
    except Unsupported as error:
        site.refused[what] = str(error)
        raise
    site.kernels[snapshot.key] = [*known, kernel]
    if not site.force and kernel.is_ready:
        store.remember(site.name)
    return kernel
