"""Differential equations solved by SciPy (``odeint``, ``solve_ivp``), differentiated by forward sensitivity.

SciPy solves the program's equation as it stands. Every value on a tape that the right-hand side reads, an argument or
a variable of an enclosing function, is noted on the way. The derivative of the solution by the start values and these
parameters obeys a linear differential equation of its own, ``S' = J S + K``, whose matrices J and K are the
derivatives of the right-hand side along the solution. The same solver with the same tolerances solves it together with
the program's equation, so the derivative is right to the solver's tolerance. The rule is written with the same
operation, so derivatives of any order, in both modes, follow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from scipy import integrate

from minpy.autodiff.checkpoint import _Watch
from minpy.errors import GradientError, TraceError
from minpy.runtime import dispatch
from minpy.runtime.array import Array, host
from minpy.runtime.primitives.scipy_rules import stands_for
from minpy.runtime.primitives.table import Primitive
from minpy.runtime.record import Line, Record, current_tape, innermost, tape_of
from minpy.runtime.storage import Storage, new_cell
from minpy.runtime.tape import Tape

# rhs(t, y) is the program's; a solver gives the solution at all times, in rows, the start value first.
Rhs = Callable[[Any, Any], Any]
Solver = Callable[[Rhs, Any, Any], np.ndarray]


def _whole(storage: Storage) -> Array:
    return Array(storage.host, storage)


def vector(value: Any) -> Any:
    """What a right-hand side returned, as an array of one dimension."""
    if type(value) in (list, tuple):
        value = dispatch.apply("array", value)
    return np.reshape(value, (-1,))


@contextmanager
def active_on(tape: Tape, inputs: list[Storage]) -> Iterator[None]:
    """Make `inputs` active on `tape` and nothing else; afterwards they are as they were."""
    around = current_tape()
    while around is not None:
        if type(around) is _Watch:
            for storage in inputs:
                around._note(storage)
        around = around.outer
    states = [(s, s.tape, s.cell) for s in inputs]
    for s in inputs:
        s.tape, s.cell = tape, new_cell()
    try:
        yield
    finally:
        for s, on, cell in states:
            s.tape, s.cell = on, cell


def linearized(fun: Callable[[Any], Any], point: Any, inputs: list[Storage]) -> tuple[Any, Any]:
    """``fun(point)``, a vector, and its derivative by `point` and the `inputs`: one row for each element."""
    tape = Tape(kept=True)
    value = np.asarray(point, float) if type(point) is not Array else point
    x = dispatch.apply("copy", value) if type(value) is Array else _whole(Storage(value.copy()))
    x.storage.tape = tape
    with active_on(tape, inputs):
        with tape:
            out = vector(fun(x))
        targets = [x, *map(_whole, inputs)]
        sizes = [t.size for t in targets]
        kept = list(tape.records)
        rows = []
        n = np.size(out)
        moving = type(out) is Array and tape.watches(out.storage)
        for k in range(n):
            unit = np.zeros(n)
            unit[k] = 1.0
            tape.records = list(kept)
            found = tape.sweep([(out, unit)], targets) if moving else [None] * len(targets)
            parts = [
                np.zeros(size) if d is None else np.reshape(d, (-1,))
                for d, size in zip(found, sizes, strict=True)
            ]
            rows.append(np.concatenate(parts))
        tape.records = []
    result = out
    if type(out) is Array and tape_of(out.storage) is None:
        result = np.array(out.contents)
    return result, np.stack(rows)


class _Solution:
    """One solution: the operation on the tape."""

    def __init__(
        self, name: str, solver: Solver, rhs: Rhs, inputs: list[Storage], has: tuple[bool, bool]
    ) -> None:
        self.name, self.solver, self.rhs, self.inputs, self.line = name, solver, rhs, inputs, Line()
        # Whether the start value, and the times, are among the operands.
        self.has_start, self.has_times = has

    def row(self) -> Primitive:
        return Primitive(
            f"scipy.integrate.{self.name}",
            self.rhs,
            vjp=lambda i: self.pull if i == 0 else None,
            jvp=self.push,
        )

    def _operands(self, leaves: list, start: Any, times: Any) -> tuple[Any, Any]:
        leaves = list(leaves)
        start = leaves.pop(0) if self.has_start else start
        times = leaves.pop(0) if self.has_times else times
        return start, times

    def pull(self, g: Any, ans: Any, leaves: list, start: Any, times: Any) -> list[Any]:
        """The cotangents of start value, times and parameters."""
        start, times = self._operands(leaves, start, times)
        n = np.size(start)
        count = sum(s.host.size for s in self.inputs)
        with_start = n if self.has_start or self.has_times else 0
        width = with_start + count

        def both(t: Any, state: Any) -> Any:
            y, s = state[:n], np.reshape(state[n:], (n, width))
            slope, rows = linearized(lambda y: self.rhs(t, y), y, self.inputs)
            own = np.concatenate([np.zeros((n, with_start)), rows[:, n:]], axis=1)
            return np.concatenate([slope, np.reshape(np.matmul(rows[:, :n], s) + own, (-1,))])

        first = np.concatenate([np.eye(n)[:, :with_start], np.zeros((n, count))], axis=1)
        states = solve(
            self.name, self.solver, both, np.concatenate([np.reshape(start, (-1,)), first.ravel()]), times
        )
        total = len(host(times))
        s = np.reshape(states[:, n:], (total, n, width))
        by_all = np.einsum("tn,tnp->p", g, s)
        found = []
        if self.has_start:
            found.append(np.reshape(by_all[:n], np.shape(start)))
        if self.has_times:
            slopes = [vector(self.rhs(times[i], ans[i])) for i in range(total)]
            later = [np.sum(g[i] * slopes[i]) for i in range(1, total)]
            # An earlier start is a start value further on; the first row of the solution is the start value itself.
            early = -np.sum((by_all[:n] - g[0]) * slopes[0])
            found.append(np.stack([early, *later]))
        offset = with_start
        for storage in self.inputs:
            size = storage.host.size
            found.append(np.reshape(by_all[offset : offset + size], storage.host.shape))
            offset += size
        return found

    def push(self, tangents: tuple, ans: Any, leaves: list, start: Any, times: Any) -> Any:
        """The tangent of the solution."""
        start, times = self._operands(leaves, start, times)
        moving = list(tangents[0])
        n = np.size(start)
        by_start = moving.pop(0) if self.has_start else None
        by_times = moving.pop(0) if self.has_times else None
        direction = [
            np.zeros(s.host.size) if d is None else np.reshape(d, (-1,))
            for d, s in zip(moving, self.inputs, strict=True)
        ]
        along = np.concatenate(direction) if direction else np.zeros(0)
        origin = np.zeros(n) if by_start is None else np.reshape(by_start, (-1,))
        first = origin
        if by_times is not None:
            first = first - vector(self.rhs(times[0], np.reshape(start, (-1,)))) * by_times[0]

        def both(t: Any, state: Any) -> Any:
            slope, rows = linearized(lambda y: self.rhs(t, y), state[:n], self.inputs)
            return np.concatenate([slope, np.matmul(rows, np.concatenate([state[n:], along]))])

        joined = np.concatenate([np.reshape(start, (-1,)), first])
        states = solve(self.name, self.solver, both, joined, times)
        if by_times is None:
            return states[:, n:]
        total = len(host(times))
        later = [states[i, n:] + vector(self.rhs(times[i], ans[i])) * by_times[i] for i in range(1, total)]
        return np.stack([origin, *later])


def solve(name: str, solver: Solver, rhs: Rhs, start: Any, times: Any, known: Any = None) -> Any:
    """The solution at all `times`, in rows: one operation on the tape if anything it depends on is on one.

    `known` are the values and the parameters if the equation has been solved already.
    """
    values, read = known if known is not None else watched(solver, rhs, start, times)
    inputs = [s for s in read if s.host.dtype.kind in "fc"]
    if any(s.host.dtype.kind == "c" for s in inputs) or np.iscomplexobj(values):
        raise TraceError(
            f"scipy.integrate.{name} of complex values that are being differentiated has no derivative rule, at "
            f"{Line()}. Solve for real and imaginary part"
        )
    has = tuple(type(v) is Array and tape_of(v.storage) is not None for v in (start, times))
    leaves = [v for v, there in zip((start, times), has, strict=True) if there] + list(map(_whole, inputs))
    tape = innermost(leaves) if leaves else None
    if tape is None:
        return values
    result = _whole(Storage(values))
    result.storage.tape = tape
    piece = _Solution(name, solver, rhs, inputs, has)
    constants = [None if there else host(v) for v, there in zip((start, times), has, strict=True)]
    tape.append(Record(piece.row(), (leaves, *constants), {}, result))
    return result


def watched(solver: Solver, rhs: Rhs, start: Any, times: Any) -> tuple[np.ndarray, list[Storage]]:
    """Solve on plain arrays; the storages on a tape that the right-hand side reads."""

    def plain(t: Any, y: Any) -> Any:
        return host(vector(rhs(t, y)))

    if current_tape() is None:
        return np.asarray(solver(plain, host(start), host(times)), float), []
    with _Watch() as watch:
        values = solver(plain, host(start), host(times))
    return np.array(values, copy=True), list(watch.read)


# ----- odeint -----------------------------------------------------------------------------------------------

_CONTROL = ("rtol", "atol", "tcrit", "h0", "hmax", "hmin", "mxstep", "mxhnil", "mxordn", "mxords")


def _tolerances(options: dict, n: int, size: int) -> dict:
    """Tolerances for `size` values of which the first `n` are the program's: the least of them for the others."""
    found = dict(options)
    for name in ("rtol", "atol"):
        value = options.get(name)
        if value is not None and np.ndim(value) and size != n:
            found[name] = np.concatenate([np.ravel(value), np.full(size - n, np.min(value))])
    return found


@stands_for(integrate.odeint)
def _odeint(
    func: Any, y0: Any, t: Any, args: Any = (), Dfun: Any = None, col_deriv: Any = 0, full_output: Any = 0,
    ml: Any = None, mu: Any = None, rtol: Any = None, atol: Any = None, tcrit: Any = None, h0: Any = 0.0,
    hmax: Any = 0.0, hmin: Any = 0.0, ixpr: Any = 0, mxstep: Any = 0, mxhnil: Any = 0, mxordn: Any = 12,
    mxords: Any = 5, printmessg: Any = 0, tfirst: Any = False,
) -> Any:  # fmt: skip
    args = args if isinstance(args, tuple) else (args,)
    given = {
        "rtol": rtol, "atol": atol, "tcrit": tcrit, "h0": h0, "hmax": hmax, "hmin": hmin, "mxstep": mxstep,
        "mxhnil": mxhnil, "mxordn": mxordn, "mxords": mxords,
    }  # fmt: skip
    if current_tape() is None:
        return integrate.odeint(
            func, host(y0), host(t), host(args), Dfun, col_deriv, full_output, ml, mu, ixpr=ixpr,
            printmessg=printmessg, tfirst=tfirst, **host(given),
        )  # fmt: skip
    start = vector(y0)
    times = dispatch.apply("array", t) if type(t) in (list, tuple) else t
    n, control = np.size(start), host(given)
    messages: list[Any] = []

    def rhs(time: Any, y: Any) -> Any:
        return func(time, y, *args) if tfirst else func(y, time, *args)

    def first(plain: Rhs, y: Any, when: Any) -> Any:
        jacobian = None
        if Dfun is not None:
            jacobian = lambda *operands: host(Dfun(*operands, *args))
        values, message = integrate.odeint(
            (lambda time, y: plain(time, y)) if tfirst else (lambda y, time: plain(time, y)), y, when, (), jacobian,
            col_deriv, 1, ml, mu, ixpr=ixpr, printmessg=printmessg, tfirst=tfirst, **control,
        )  # fmt: skip
        messages.append(message)
        return values

    def again(plain: Rhs, y: Any, when: Any) -> Any:
        return integrate.odeint(plain, y, when, tfirst=True, **_tolerances(control, n, np.size(y)))

    known = watched(first, rhs, start, times)
    values = solve("odeint", again, rhs, start, times, known)
    return (values, messages[0]) if full_output else values


# ----- solve_ivp --------------------------------------------------------------------------------------------

_JACOBIAN = ("jac", "jac_sparsity", "lband", "uband")


def _times(t_span: Any, t_eval: Any, found: np.ndarray) -> tuple[Any, bool]:
    """The start and the times of the solution, on the tape if the program's are; whether the start is one of them."""
    begin, end = t_span[0], t_span[1]
    points = found
    if t_eval is not None:
        given = dispatch.apply("array", t_eval) if type(t_eval) in (list, tuple) else t_eval
        points = given[: len(found)]
        includes = len(found) > 0 and found[0] == host(begin)
        if includes:
            return points, True
    elif type(begin) is Array or type(end) is Array:
        middle = found[1:-1]
        return np.concatenate([np.reshape(begin, (1,)), middle, np.reshape(end, (1,))]), True
    else:
        return points, True
    return np.concatenate([np.reshape(begin, (1,)), points]), False


@stands_for(integrate.solve_ivp)
def _solve_ivp(
    fun: Any, t_span: Any, y0: Any, method: Any = "RK45", t_eval: Any = None, dense_output: bool = False,
    events: Any = None, vectorized: bool = False, args: Any = None, **options: Any,
) -> Any:  # fmt: skip
    extra = () if args is None else tuple(args)
    if current_tape() is None:
        return integrate.solve_ivp(
            fun, host(t_span), host(y0), method, host(t_eval), dense_output, events, vectorized,
            None if args is None else host(extra), **host(options),
        )  # fmt: skip
    start = dispatch.apply("array", y0) if type(y0) in (list, tuple) else y0
    plain_options = {
        k: (lambda *operands, v=v: host(v(*operands, *extra))) if k == "jac" and callable(v) else host(v)
        for k, v in options.items()
    }
    control = {k: v for k, v in plain_options.items() if k not in _JACOBIAN}
    n = np.size(start)
    kept: list[Any] = []

    def rhs(t: Any, y: Any) -> Any:
        if vectorized:
            return fun(t, np.reshape(y, (-1, 1)), *extra)
        return fun(t, y, *extra)

    def with_arguments(event: Any) -> Any:
        def called(t: Any, y: Any) -> Any:
            return host(event(t, y, *extra))

        for name in ("terminal", "direction"):
            if hasattr(event, name):
                setattr(called, name, getattr(event, name))
        return called

    watched_events = events
    if callable(events):
        watched_events = with_arguments(events)
    elif events is not None:
        watched_events = [with_arguments(e) for e in events]

    def first(plain: Rhs, y: Any, when: Any) -> Any:
        def columns(t: Any, y: Any) -> Any:
            if np.ndim(y) == 1:
                return plain(t, y)
            return host(fun(t, y, *extra))

        found = integrate.solve_ivp(
            columns, host(t_span), y, method, host(t_eval), dense_output, watched_events, vectorized, None,
            **plain_options,
        )  # fmt: skip
        kept.append(found)
        return np.concatenate([np.reshape(y, (1, -1)), np.transpose(found.y)])

    def again(plain: Rhs, y: Any, when: Any) -> Any:
        found = integrate.solve_ivp(
            plain, (when[0], when[-1]), y, method, when, **_tolerances(control, n, np.size(y))
        )  # fmt: skip
        if found.status < 0:
            raise GradientError(f"solve_ivp did not solve the equation of the derivative: {found.message}")
        return np.transpose(found.y)

    values, read = watched(first, rhs, start, None)
    (result,) = kept
    times, includes_start = _times(t_span, t_eval, result.t)
    solution = solve("solve_ivp", again, rhs, start, times, (values[1:] if includes_start else values, read))
    if type(solution) is not Array:
        return result
    if events is not None or dense_output:
        raise TraceError(
            f"scipy.integrate.solve_ivp with {'events' if events is not None else 'dense_output'} has no derivative "
            f"rule, and values that it depends on are being differentiated, at {Line()}. Give the times as t_eval"
        )
    result.y = np.transpose(solution if includes_start else solution[1:])
    result.t = times if includes_start else times[1:]
    return result
