"""Rules of element-wise NumPy that write over their arrays: one pass over memory, and no new arrays.

What a rule does is read off as in `rules`. The code works on some elements at a time: their new values are put down
beside them, and take their places if no operation overflowed. It ends at the first piece in which one did, with all
before it done and nothing after it touched; from there the rule goes on as written, for NumPy's warning. So that
nothing is left half done, this is not for those who want an exception instead of a warning.
"""

from __future__ import annotations

import ctypes
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from minpy.nn.kernels import rules
from minpy.nn.kernels.arithmetic import FLAGS, TYPES, Arithmetic
from minpy.runtime.cblas import address
from minpy.runtime.fuse import native, pool, sites, state
from minpy.runtime.fuse.ir import Irregular
from minpy.runtime.jit import background, engine

_PIECE = 1024  # elements
_LINE = 64  # bytes of a line of the cache
_SHARE = 1 << 19  # bytes of all parameters for each thread at least
_CUT = 1 << 16  # bytes of a parameter that is shared, for each thread: as products of weights are
_QUIET = ("ignore", "warn")

_functions: dict[tuple[str, str], tuple[Any, Any]] = {}


class _Pass:
    """The text of a function: arrays, of which some are written over, and numbers.

    Parameters
    ----------
    statements : list of str
        Assignments to names, of values by name and of arithmetic.
    results : list of (int, str)
        Which array gets which value.
    arrays : list of int
        Which of the values are arrays, the others being numbers.
    """

    def __init__(
        self, statements: list[str], results: list[tuple[int, str]], arrays: list[int], count: int, char: str
    ) -> None:
        names = {f"v{k}": f"%x{k}" if k in arrays else f"%n{k}" for k in range(count)}
        self._work = Arithmetic(char, names)
        self._work.assign(";".join(statements))
        stored = [(k, self._work.value(text)) for k, text in results]
        self.text = self._whole(stored, arrays, [k for k in range(count) if k not in arrays])

    def _whole(self, stored: list[tuple[int, str]], arrays: list[int], numbers: list[int]) -> str:
        kind, size = self._work.kind, self._work.size
        parameters = [f"ptr noalias nocapture %a{k}" for k in arrays] + [f"{kind} %n{k}" for k in numbers]
        lines = [
            f"{self._work.declarations()}{FLAGS}",
            f'define i64 @kernel(i64 %n, i32 %mask, {", ".join(parameters)}) "no-builtins" {{\nentry:\n',
            *(f"  %s{k} = alloca [{_PIECE} x {kind}], align 64\n" for k, _ in stored),
            "  %cleared = call i32 @minpy_feclearexcept(i32 61)\n",
            # The first piece ends where a line of the cache does: large arrays begin at the same place in one.
            f"  %place = ptrtoint ptr %a0 to i64\n  %over = and i64 %place, {_LINE - 1}\n",
            f"  %rest = sub i64 {_LINE}, %over\n  %few = udiv i64 %rest, {size}\n  %aligned = icmp eq i64 %over, 0\n",
            f"  %head = select i1 %aligned, i64 {_PIECE}, i64 %few\n  br label %piece\n",
            "piece:\n  %start = phi i64 [0, %entry], [%next, %copied]\n",
            f"  %most = phi i64 [%head, %entry], [{_PIECE}, %copied]\n  %left = sub i64 %n, %start\n",
            "  %short = icmp ult i64 %left, %most\n  %m = select i1 %short, i64 %left, i64 %most\n",
            "  br label %one\n",
            "one:\n  %i = phi i64 [0, %piece], [%after, %one]\n  %at = add nuw nsw i64 %start, %i\n",
        ]
        for k in arrays:
            lines.append(f"  %p{k} = getelementptr inbounds {kind}, ptr %a{k}, i64 %at\n")
            lines.append(f"  %x{k} = load {kind}, ptr %p{k}, align {size}\n")
        lines += self._work.lines
        for k, value in stored:
            lines.append(f"  %q{k} = getelementptr inbounds {kind}, ptr %s{k}, i64 %i\n")
            lines.append(f"  store {kind} {value}, ptr %q{k}, align {size}\n")
        lines += [
            "  %after = add nuw nsw i64 %i, 1\n  %more = icmp ult i64 %after, %m\n",
            "  br i1 %more, label %one, label %look\n",
            "look:\n  %found = call i32 @minpy_fetestexcept(i32 %mask)\n",
            "  %bad = icmp ne i32 %found, 0\n  br i1 %bad, label %end, label %copy\n",
            "copy:\n  %j = phi i64 [0, %look], [%further, %copy]\n  %to = add nuw nsw i64 %start, %j\n",
        ]
        for k, _ in stored:
            lines.append(f"  %f{k} = getelementptr inbounds {kind}, ptr %s{k}, i64 %j\n")
            lines.append(f"  %y{k} = load {kind}, ptr %f{k}, align {size}\n")
            lines.append(f"  %g{k} = getelementptr inbounds {kind}, ptr %a{k}, i64 %to\n")
            lines.append(f"  store {kind} %y{k}, ptr %g{k}, align {size}\n")
        lines += [
            "  %further = add nuw nsw i64 %j, 1\n  %others = icmp ult i64 %further, %m\n",
            "  br i1 %others, label %copy, label %copied\n",
            "copied:\n  %next = add nuw nsw i64 %start, %m\n  %again = icmp ult i64 %next, %n\n",
            "  br i1 %again, label %piece, label %end\n",
            "end:\n  %done = phi i64 [%start, %look], [%next, %copied]\n  ret i64 %done\n}\n",
        ]
        return "".join(lines)


class Pass:
    """A rule, applied to a parameter by `run`.

    Attributes
    ----------
    left : list of (int, int), or None
        The elements that are not done, from one up to another; of the config what else it holds is then as it was.
        None if nothing has changed.
    """

    def __init__(self, w: np.ndarray, values: list[np.ndarray], rule: _Rule, mask: int) -> None:
        self.w, self._values, self._rule, self._mask = w, values, rule, mask
        self._places = list(map(address, values))
        self.size = w.nbytes
        self.pieces: Sequence[tuple[int, int]] = [(0, w.size)]
        self.done = [-1]
        self.left: list[tuple[int, int]] | None = None

    def cut(self, pieces: Sequence[tuple[int, int]]) -> None:
        """Let there be these pieces."""
        self.pieces = pieces
        self.done = [-1] * len(pieces)

    def do(self, number: int, alone: bool) -> None:
        """A piece, if it is not done; `alone`: with the interpreter's lock, so that nobody sees a part of it."""
        if self.done[number] < 0:
            start, count = self.pieces[number]
            places, rule = self._places, self._rule
            if start:
                ahead = start * self.w.itemsize
                places = [place + ahead for place in places]
            self.done[number] = rule.functions[not alone](count, self._mask, *places, *rule.numbers)

    def end(self) -> None:
        """Say what is left."""
        if any(self.done):
            self.left = [
                (start + count, start + size)
                for (start, size), count in zip(self.pieces, self.done, strict=True)
                if count < size
            ]


class _Rule(NamedTuple):
    """What a rule does to arrays: its function, as `_function` gives it, the numbers in it, and what it leaves.

    `fits` is whether these numbers are of the arrays' type.
    """

    functions: tuple[Any, Any]
    numbers: list[float]
    rest: dict[str, Any]
    fits: bool


def allowed() -> int | None:
    """What of the floating-point state must not occur, for `prepared`; None if nothing is to be done in this way."""
    if sites.mode() == "off" or sites.held or not engine.is_available() or not _is_quiet():
        return None
    try:
        return native.bits_of(state.checked_flags())
    except Irregular:
        return None


def prepared(
    rule: Callable[..., Any],
    w: np.ndarray,
    dw: np.ndarray,
    config: dict[str, Any],
    arrays: Sequence[str],
    mask: int,
    known: bool = False,
) -> tuple[Pass, dict[str, Any]] | None:
    """A rule for arrays of one shape and dtype, all in C order; `w` and those in `config` are to be written over.

    Parameters
    ----------
    mask : int
        As `allowed` gives it.
    known : bool
        Only if the code is there already.

    Returns
    -------
    (Pass, dict), or None
        With what the config has besides arrays when all is done; None if it is not for this.
    """
    plain = {name: value for name, value in config.items() if name not in arrays}
    key = rule, w.dtype.char
    last = _last.get(key)
    if last is not None and last.answers(plain):
        made = last.rule
    elif (known and last is None) or not _NUMBERS.issuperset(map(type, plain.values())):
        return None
    else:
        before = state.present()
        try:
            made = _read(rule, plain, arrays, w.dtype)
        except (Irregular, OverflowError, native.Unfit, background.Pending, engine.CompileError):
            return None
        finally:
            state.restore(before)
        if len(_last) >= _REMEMBERED:
            _last.clear()
        _last[key] = _Last(tuple(plain.items()), made)
    if not made.fits:
        return None
    return Pass(w, [w, dw, *[config[name] for name in arrays]], made, mask), made.rest


_NUMBERS = frozenset((int, float, type(None)))


class _Last(NamedTuple):
    """What a rule with these options made of parameters of a dtype, the last time."""

    options: tuple[tuple[str, Any], ...]
    rule: _Rule

    def answers(self, plain: dict[str, Any]) -> bool:
        """Whether these are the same options, to the bit."""
        if len(plain) != len(self.options):
            return False
        for name, value in self.options:
            other = plain.get(name, plain)
            # (0 is also False and -0.0.)
            if other is not value and (type(other) is not type(value) or other != value or not value):
                return False
        return True


_last: dict[tuple[Any, str], _Last] = {}


def _read(rule: Callable[..., Any], plain: dict[str, Any], arrays: Sequence[str], dtype: np.dtype) -> _Rule:
    """What a rule with these options does to a parameter, its gradient, and those `arrays` of its config."""
    key = rule, dtype, *arrays, *plain, *map(repr, plain.values())  # it is a function of these numbers
    found = _rules.get(key)
    if found is None:
        reader = rules.Reader()
        first, second, *others = (rules.Value(reader, reader.name(None)) for _ in range(2 + len(arrays)))
        inner = {**plain, **dict(zip(arrays, others, strict=True))}
        result = rule(first, second, inner)
        targets = [(2 + k, inner[name].text) for k, name in enumerate(arrays)] + [(0, reader.text(result))]
        count = 2 + len(arrays)
        functions = _function(reader, targets, count, dtype)
        numbers = [float(each) for each in reader.values[count:]]
        rest = {name: value for name, value in inner.items() if name not in arrays}
        if len(_rules) >= _REMEMBERED:
            _rules.clear()  # Adam's numbers are others in each step
        # (Beyond float32, NumPy would compute with doubles.)
        fits = dtype.char != "f" or all(abs(each) <= _MOST for each in numbers)
        found = _rules[key] = _Rule(functions, numbers, rest, fits)
    return found


_REMEMBERED = 64
_rules: dict[tuple, _Rule] = {}


def run(passes: list[Pass]) -> None:
    """Do all of them, by as many threads as it pays."""
    before = state.present()
    groups = _groups(passes)

    def work(number: int) -> None:
        for each, piece in groups[number]:
            each.do(piece, alone=len(groups) == 1)

    try:
        if len(groups) == 1:
            work(0)
        else:
            pool.run(work, len(groups))
    except BaseException:  # a signal's handler raised: not in the midst of a parameter
        for number in range(len(groups)):
            work(number)
        raise
    finally:
        state.restore(before)
        for each in passes:
            each.end()


def _groups(passes: list[Pass]) -> list[list[tuple[Pass, int]]]:
    """What each thread does: a piece of each large parameter, and some of the others as a whole."""
    sizes = tuple([each.size for each in passes])
    number = sum(sizes) // _SHARE
    if number > 1:
        number = min(number, pool.width()) if pool.is_only_thread() else 1
    if number < 2:
        return [[(each, 0) for each in passes]]
    counts = tuple([each.w.size for each in passes])
    cuts, groups = _shares(counts, sizes, number, number * _CUT)
    for each, pieces in zip(passes, cuts, strict=True):
        if pieces is not None:
            each.cut(pieces)
    return [[(passes[k], piece) for k, piece in group] for group in groups]


@lru_cache(maxsize=64)
def _shares(
    counts: tuple[int, ...], sizes: tuple[int, ...], number: int, least: int
) -> tuple[list[list[tuple[int, int]] | None], list[list[tuple[int, int]]]]:
    """The pieces of each parameter, None of those that stay whole; and what each of the threads does.

    Parameters
    ----------
    counts, sizes : tuple of int
        Elements and bytes of each parameter.
    number : int
        How many threads there are.
    least : int
        Bytes of a parameter that is shared.
    """
    groups: list[list[tuple[int, int]]] = [[] for _ in range(number)]
    cuts: list[list[tuple[int, int]] | None] = [None] * len(sizes)
    loads = [0] * number
    for k in sorted(range(len(sizes)), key=lambda k: -sizes[k]):
        if sizes[k] >= least:
            cuts[k] = pieces = pool.cuts(counts[k], number)
            for piece in range(len(pieces)):
                groups[piece].append((k, piece))
        else:
            lightest = loads.index(min(loads))
            groups[lightest].append((k, 0))
            loads[lightest] += sizes[k]
    return cuts, groups


_MOST = float(np.finfo(np.float32).max)


def _is_quiet() -> bool:
    """Whether an overflow is a warning at most."""
    if not state.is_usual() and not all(each in _QUIET for each in np.geterr().values()):
        return False
    filters = warnings.filters
    if filters != _quiet_filters:
        if any(each[0] == "error" for each in filters):
            return False
        _quiet_filters[:] = filters
    return True


_quiet_filters: list[Any] = []  # as they were the last time


def _function(
    reader: rules.Reader, targets: list[tuple[int, str]], arrays: int, dtype: np.dtype
) -> tuple[Any, Any]:
    """The compiled pass, as called with the interpreter's lock and without."""
    key = ";".join([*reader.statements, *(f"{k}={text}" for k, text in targets)]), dtype.char
    function = _functions.get(key)
    if function is None:
        text = _Pass(reader.statements, targets, list(range(arrays)), len(reader.values), dtype.char).text
        address = native.compiled(text, wait=False)
        number = TYPES[dtype.char][2]
        kinds = [ctypes.c_void_p] * arrays + [number] * (len(reader.values) - arrays)
        # With the interpreter's lock, so that no other thread sees a part of it done; and without, for several threads
        # when there are no others.
        function = _functions[key] = tuple(
            make(ctypes.c_int64, ctypes.c_int64, ctypes.c_int32, *kinds)(address)
            for make in (ctypes.PYFUNCTYPE, ctypes.CFUNCTYPE)
        )
    return function


def is_sole(holder: dict[Any, Any], key: Any) -> bool:
    """Whether nobody but this dictionary has the array, or a view of it."""
    return sys.getrefcount(holder[key]) == _SOLE and holder[key].base is None


_SOLE = (lambda holder: sys.getrefcount(holder[0]))({0: np.empty(1)})
