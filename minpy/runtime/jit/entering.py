"""Enters a loop's compiled code, the long way: from one of its rounds on, with what is met there.

What this needs is not imported before a loop is to be compiled: `drive` decides when.
"""

from __future__ import annotations

from functools import partial
from time import perf_counter
from types import CodeType, FrameType
from typing import Any

import numpy as np

from minpy.runtime import entry
from minpy.runtime.jit import background, drive, engine, source, store
from minpy.runtime.jit.bind import Frame, Snapshot
from minpy.runtime.jit.kernel import Kernel, NoRoom
from minpy.runtime.jit.kinds import Unsupported
from minpy.runtime.jit.names import Names
from minpy.runtime.jit.sites import Site, is_quick, is_undisturbed, loops
from minpy.runtime.jit.trial import LONGEST, Trial, nearby

_CHUNK = 30e-3  # seconds compiled between two looks at the program's variables
_SMALL_WORTH = (
    500e-6  # seconds as written that are worth the way, where compiled code gains less: on small arrays
)
_ENTRY = 3e-6  # the same, by the short way
_WAY = 1e-6  # what that takes
_KEYS = 6  # compiled versions of one loop
_COPY_RATE = 4e9  # bytes a second
# Times what copies take: so long as written is worth them. Loops that come by memory in another order gain more.
_COPIES, _COPIES_OF_COLUMNS = 3, 1.5


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
            look(site, code)
            if not site.force and drive.must_wait(site):
                return None
        while position < count:
            variables = Frame(frame, site.names)
            snapshot = Snapshot(variables, site.names, over, site.digest)
            kernel = _kernel(site, snapshot)
            if not kernel.is_ready:
                site.better = kernel
                return (position, False) if chunk else None
            if kernel.is_quick:
                drive.improve(site, kernel)
            if not kernel.can_run(snapshot):
                return (position, False) if chunk else None
            if entry.devices and snapshot.far.is_left(kernel, snapshot):
                site.give_up("operations on arrays that a device may have")
                return (position, False) if chunk else None
            copying = kernel.written_bytes(snapshot) / _COPY_RATE
            if not chunk and not site.force and not _gains(site, kernel, copying, count - position, count):
                return None
            tried = _trial(site, kernel)
            target = max(_CHUNK, 20 * copying) if tried is None else LONGEST
            wanted = int(target / rate) if rate else 1
            if tried is not None:
                wanted = min(wanted, nearby(site.per_round, count - position))
            chunk = max(1, min(wanted, 64 * chunk if chunk else wanted))
            if snapshot.far.arrays:
                site.fetched += snapshot.far.fetch(kernel)
            clock = perf_counter if tried is None else drive.of_samples()
            started, on = perf_counter(), clock()
            outcome = kernel.run(variables, snapshot, position, min(position + chunk, count))
            took, sample = perf_counter() - started, clock() - on
            done = outcome.position - position
            drive.seconds[site] = drive.seconds.get(site, 0.0) + took
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
                drive.balance(site, done, perf_counter() - began)
                began = perf_counter()
            if outcome.broke or outcome.ended:
                return position, outcome.broke
            if outcome.reason is not None:
                drive.left_early(site, outcome.reason)
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
            drive.left_early(site, (site.line, str(error)))  # not for what it has met now
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
            site.shortcut = shortcut.Shortcut(site, partial(drive.left, site))
        site.shortcut.lay_out(kernel, frame, site.names, snapshot)
        if kernel.code.whole:
            site.shortcut.stay_on_the_host()
    except shortcut.Irregular:
        if not site.shortcut or not site.shortcut.plans:
            site.shortcut = False
        return
    least, per_byte = (0.0, 0.0) if site.force else (_ENTRY, _copies(kernel) / _COPY_RATE)
    site.shortcut.value(site.per_round, least, per_byte)
    drive.limit(site)
    setattr(loops, site.name, site.shortcut.function)


def _lost(site: Site, kernel: Kernel) -> None:
    """NumPy's own operations are as fast as compiled code; fast code gets its chance where there is none yet."""
    if kernel.is_quick and site.trial.is_close:
        site.trial, site.better = Trial(), kernel
        return
    site.give_up("NumPy's own operations are as fast")
    store.forget(site.name)


def _laid_out(site: Site) -> tuple[int, int]:
    """How many kernels and tables there are: what is made once is not counted against compiled runs."""
    return sum(map(len, site.kernels.values())), site.shortcut.laid_out if site.shortcut else 0


def _copies(kernel: Kernel) -> float:
    return _COPIES_OF_COLUMNS if kernel.code.columns else _COPIES


def _gains(site: Site, kernel: Kernel, copying: float, left: int, count: int = 0) -> bool:
    """Whether the way into compiled code, of some 100 µs, and the copies of what is stored into pay.

    `left` rounds are left of `count`.
    """
    rest = left * site.per_round
    if kernel.code.whole and not site.nest and not rest:
        return False  # NumPy does small arrays well enough that one round is timed first
    enough = _copies(kernel) * copying
    if kernel.code.whole and not (site.trial and site.trial.has_passed):
        # (One that was shown to gain was so with its copies.)
        copies = enough if kernel.code.columns else 10 * copying
        enough = max(_SMALL_WORTH if site.shortcut is False else _ENTRY, copies)
    if not rest or rest >= enough:
        return True
    if count * site.per_round >= enough:
        return False  # it is too late this time
    # To have looked for nothing costs as much as some rounds.
    drive.left_early(site, (site.line, "it is too short for what it stores into"), drive.LEAVES)
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


def look(site: Site, code: CodeType) -> None:
    found = source.loops_of(code.co_filename, site.digest).get(site.line)
    if found is None:
        raise Unsupported("its source is not where the code says")
    site.node, site.names = found[0], Names(*found)


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
            large=drive.is_large(site),
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
