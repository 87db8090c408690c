"""Runs a loop in pieces: as written while that is cheapest, compiled from an iteration on where that pays.

This is what decides, and all that is imported for a loop that stays as written; `entering` does the rest.

The interpreter runs the loop's body itself, over an iterator that `pieces` feeds. Between two iterations the variables
of the frame are complete, so the compiled code can take over there; and where it cannot go on, the interpreter takes
the next iteration as if nothing had happened.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import chain, islice
from time import perf_counter, thread_time
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any

from minpy.runtime import entry, ledger
from minpy.runtime.fuse import sites as blocks
from minpy.runtime.jit import background, engine, source, store
from minpy.runtime.jit.far import meets
from minpy.runtime.jit.sites import SURE, WORTH, Site, is_undisturbed, sites

if TYPE_CHECKING:
    from minpy.runtime.jit.kernel import Kernel

_LONG = 0.2  # seconds of a round that is believed at once
_PIECE = 2e-3  # seconds as written between two looks at the clock, or so much of what was spent in the loop:
_SHARE, _LONGEST = 0.02, 20e-3  # but no longer
_FIRST = 16  # rounds in the first piece of a run
_LOOK = 2e-3  # seconds spent in short runs before the next of them is looked at
_ENTRY = 3e-6  # seconds as written that are worth the short way
_QUICK = 5e-3  # seconds that code which was made quickly runs between two looks
# Seconds of each operation of a loop without loops in it: if it takes longer, the time goes into the elements.
_LARGE = 3e-6
_LARGE_INSIDE = 30e-6  # the same, of all operations in one with loops in it whose rounds the text tells
_USUAL = 64  # rounds whose mean is believed
_SMALL = 2e-6  # the same: if it takes less, hardly any of it goes into the elements
_FUNCTION = 10  # operations in a function of the program's, perhaps
_LATER = 20e-3  # seconds as written until it is asked again whether fast code may be made
_TEXT = 3_500  # bytes that a loop's text has for each operation on arrays, at least
_WRITING = 0.5e-6  # seconds that it takes to make a byte of a text, and quick code of it
LEAVES = 4  # so often a loop may leave compiled code early, and then once every so many iterations:
_DISTANCE = 50
_HOPE = 2  # times the same: what was spent in a loop that may come again, so often, is spent again
_PART = 0.5  # of what fast code takes: this the quick one must have gained, after a while
_MATTERS = (
    0.12  # of the time so far: a loop that takes less gains little, for what compiling it takes, by the end
)
_KNOWN = 0.02  # seconds in a loop in which earlier runs have spent some, before these count


seconds: dict[Site, float] = {}  # that each loop has run compiled


def seconds_of(site: Site) -> float:
    """How long a loop has run compiled."""
    return seconds.get(site, 0.0) + (site.shortcut.seconds if site.shortcut else 0.0)


def gained() -> float:
    """The seconds that the program would have run longer without compiled loops."""
    return sum(max(0.0, site.compiled * usual(site) - seconds_of(site)) for site in sites if site.compiled)


ledger.gains.append(gained)


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
    with ledger.entered("looking at loops"):
        return _begun(site, over, frame)


def _begun(site: Site, over: Any, frame: FrameType) -> Iterable[Any]:
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
    from minpy.runtime.jit.kernel import INTERRUPTED

    if answer == INTERRUPTED:
        raise SystemError("a compiled loop took another way when it was run again")
    if answer > 0:
        left_early(site, site.shortcut.plans[number].kernel.code.reasons[answer - 1])
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
    # Rounds of earlier runs tell how long the first ones will take, about; a trial wants samples of single ones.
    piece = min(_rounds(site), _FIRST) if site.per_round and site.trial is None else 1
    iterator = iterator_at(over, position)
    while not site.reason:
        count = length(over)
        if position >= count or not is_undisturbed():
            break
        looked = perf_counter() - ledger.taken()
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
        clock = of_samples() if is_sample else perf_counter
        trials = blocks.trials
        ledger.note("looking at loops", max(perf_counter() - ledger.taken() - looked, 0.0))
        started, began = perf_counter(), clock()
        try:
            if is_sample:
                blocks.hold(site.trial.holds)
                try:
                    yield islice(iterator, piece)
                finally:
                    blocks.hold(False)
            else:
                yield islice(iterator, piece)
        except GeneratorExit:  # the loop was left: by `break`, as a rule
            site.spent += perf_counter() - started
            raise
        took, sample = perf_counter() - started, clock() - began
        done = min(piece, count - position)  # the rest may be less than what was asked for
        position += piece
        site.spent += took
        if is_sample:
            site.trial.wrote(sample, done, blocks.trials != trials)
        each = took / max(done, 1)
        site.least = min(site.least or each, each)
        if blocks.trials == trials:
            site.undisturbed = site.undisturbed[0] + took, site.undisturbed[1] + done
        if done > 1 or not site.per_round:
            site.per_round = each
        else:
            # A single round right after compiled code says little.
            site.per_round = min(took, 0.8 * site.per_round + 0.2 * took)
        piece = min(_rounds(site), 16 * piece)
    yield iterator


def _rounds(site: Site) -> int:
    """How many rounds are to run as written before somebody looks at the clock again."""
    lasts = _PIECE if site.trial is not None else max(_PIECE, min(_SHARE * site.spent, _LONGEST))
    return max(1, int(lasts / max(site.per_round, 1e-9)))


def of_samples() -> Callable[[], float]:
    """What samples of a trial are timed with: this thread's time, unless others work for it.

    Where the processor is shared a compiled sample, which is longer than a round as written, is interrupted more.
    """
    from minpy.runtime.fuse import pool

    return perf_counter if pool.is_at_hand() else thread_time


def run(
    site: Site, over: Any, code: CodeType, frame: Any, position: int, count: int
) -> tuple[int, bool] | None:
    """Run compiled from `position` on; the position that was reached, and whether the loop is over.

    None if that is not possible now.
    """
    began, taken, before = perf_counter(), ledger.taken(), site.compiled
    from minpy.runtime.jit import entering

    result = entering.run(site, over, code, frame, position, count)
    # What was entered meanwhile, such as compiling, is not entered again.
    lost = perf_counter() - began - (ledger.taken() - taken) - (site.compiled - before) * usual(site)
    if lost > 0.0:
        ledger.note("trying loops", lost)
    return result


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
    if not site.kernels and (background.is_busy() or must_wait(site)):
        return False
    rest = left * site.per_round
    if site.kernels:
        only_long = site.shortcut is False or (site.shortcut and site.shortcut.is_full)
        return rest > (WORTH if only_long else _ENTRY)
    takes = background.expected()
    # Not by the first round alone, which finds nothing in caches and tables, and imports.
    if rest > SURE * takes and (site.spent > site.per_round or site.per_round > _LONG):
        if _gains_surely(site, frame):
            return True
        if site.spent > max(takes, site.per_round) and left * site.least > SURE * (
            takes + _writing(site, frame)
        ):
            return not must_wait(site)
    return rest > _ENTRY and is_hot(site, frame) and not must_wait(site)


def must_wait(site: Site) -> bool:
    """Whether only fast code would do for a loop, and it is too early for that: then not even its text is made."""
    if site.spent < site.waits:
        return True
    if site.node is None or not site.per_round or not is_large(site):
        return False
    size = _TEXT * _operations(site)
    if background.is_used():
        too_early = background.is_early(size, site.spent)
    else:
        too_early = not ledger.allows(background.expected_again(size), site.spent)
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
    if site.kernels:
        return True
    earlier = store.missed(site.name) if site.spent > _KNOWN else 0.0
    if earlier and earlier + site.spent > _HOPE * (takes + _writing(site, frame)):
        return True
    if site.spent > _HOPE * takes and ledger.allows(takes, site.spent):
        longer = takes + _writing(site, frame)
        if site.spent > _HOPE * longer and ledger.allows(longer, site.spent):
            return True
    if frame is None or site.spent <= max(takes, _MATTERS * ledger.ran()) or not ledger.allows_sure(takes):
        return False
    if _gains_surely(site, frame):
        return True
    takes += _writing(site, frame)
    return site.spent > takes and ledger.allows_sure(takes) and _is_small(site)


def _writing(site: Site, frame: FrameType | None) -> float:
    """The seconds that a loop's text takes, which is long where its operations are on arrays."""
    if frame is None or _gains_surely(site, frame):
        return 0.0
    if _tree(site, frame) is None:
        return 0.0  # it will be left alone
    return _WRITING * _TEXT * _operations(site)


def _gains_surely(site: Site, frame: FrameType) -> bool:
    """Whether a loop works on elements alone: compiled, they take a tenth or less."""
    if site.sure is None:
        from minpy.runtime.jit import elements

        tree = _tree(site, frame)
        site.sure = tree is not None and elements.only(tree, frame)
    return site.sure


def _tree(site: Site, frame: FrameType) -> ast.For | ast.While | None:
    """The loop in the program's text; None if that is not where the code says."""
    if site.node is None:
        found = source.loops_of(frame.f_code.co_filename, site.digest).get(site.line)
        site.node = found and found[0]
    return site.node


def _is_better(site: Site) -> bool:
    """Whether the fast code is there that a loop waits for."""
    if not site.better.was_missed:
        spent = site.spent + seconds_of(site)
        if site.better.is_early(spent):
            return False
        if not (background.is_used() or ledger.allows(site.better.takes, spent)):
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


def improve(site: Site, kernel: Kernel) -> None:
    """Make fast code of what was compiled quickly, once the gain was enough for that, or earlier runs missed it."""
    if not kernel.was_missed:
        takes, ran = kernel.takes, seconds_of(site)
        gained = site.compiled * site.per_round - ran
        enough = ran >= takes and (not site.per_round or gained >= _HOPE * takes)
        if not enough and site.per_round:
            enough = gained >= _PART * takes and ledger.is_due(takes, site.spent + ran)
        if not enough or kernel.is_early(site.spent + ran):
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
            improve(site, plan.kernel)
    limit(site)


def limit(site: Site) -> None:
    """Let the guard ask after some time."""
    trial = site.trial
    for plan in site.shortcut.plans:
        seconds = None if trial is None else trial.lasts
        if plan.kernel.is_quick:
            seconds = _QUICK if seconds is None else min(seconds, _QUICK)
        plan.set_limit(seconds)


def balance(site: Site, rounds: int, took: float) -> None:
    """Enter what a compiled run gained; a loop that loses rests."""
    if site.per_round and not site.balance.add(rounds * site.per_round - took) and not site.force:
        site.rest()


def is_large(site: Site) -> bool:
    """Whether a loop's operations, if they are on arrays, are on large ones: where NumPy beats quick code."""
    if site.what == "while" or site.force:
        return False
    if site.nest:
        # What is in the inner loops may be small parts of arrays, unless all that there is takes long.
        operations = site.node and _operations_in(site.node, True)
        return bool(operations) and usual(site) > _LARGE_INSIDE * operations
    return not site.per_round or usual(site) > _LARGE * _operations(site)


def _is_small(site: Site) -> bool:
    """Whether a loop's operations are on arrays so small that hardly any of their time goes into the elements."""
    if site.node is None or site.nest or site.what == "while":
        return False
    return 0.0 < usual(site) < _SMALL * _operations_in(site.node, always=True)


def usual(site: Site) -> float:
    """The seconds that a round takes as written, in the mean of those in which no block tried anything.

    The rounds of a loop may differ: in a sieve one of ten does all the work.
    """
    took, rounds = site.undisturbed
    return took / rounds if rounds >= _USUAL else site.least or site.per_round


def _operations(site: Site) -> int:
    """About how many operations there are in a loop."""
    return _operations_in(site.node)


@lru_cache(maxsize=256)
def _operations_in(loop: ast.For | ast.While, done: bool = False, always: bool = False) -> int:
    """The operations in a loop; `done`: in a round of it, inner loops gone through; 0 if the text does not tell.

    `always`: only those of every round. In a sieve few rounds do anything, so that the mean says nothing of those.
    """
    count = 0
    waiting: list[ast.AST] = [*loop.body]
    while waiting:
        node = waiting.pop()
        if done and isinstance(node, (ast.For, ast.While)):
            inner = _rounds_of(node) * _operations_in(node, True)
            if not inner:
                return 0
            count += inner
            continue
        if isinstance(node, (ast.BinOp, ast.Compare, ast.AugAssign, ast.Call)):
            mine = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            count += _FUNCTION if mine else 1
        waiting += [node.test] if always and isinstance(node, ast.If) else ast.iter_child_nodes(node)
    return count


def _rounds_of(loop: ast.For | ast.While) -> int:
    """How many rounds a loop makes, as its text tells; 0 if it does not."""
    over = loop.iter if isinstance(loop, ast.For) else None
    if isinstance(over, (ast.Tuple, ast.List)):
        return len(over.elts)
    if isinstance(over, ast.Call) and isinstance(over.func, ast.Name) and over.func.id == "range":
        try:
            return len(range(*map(ast.literal_eval, over.args)))
        except (ValueError, TypeError, OverflowError):
            pass
    return 0


def left_early(site: Site, reason: tuple[int, str], times: int = 1) -> None:
    """Compiled code was left early, or that cost as much as so many times: too often, and the loop stays as written."""
    site.leaves += times
    if not site.force and site.leaves > LEAVES and site.compiled < site.leaves * _DISTANCE:
        site.give_up(f"line {reason[0]}: {reason[1]}")
