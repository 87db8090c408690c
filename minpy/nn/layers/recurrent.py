"""Recurrent layers: one step, and whole sequences.

A sequence is one operation with a rule of its own: products with the inputs are taken for all steps at once, and the
backward run keeps the gates instead of a record for each of their operations.
"""

from __future__ import annotations

from typing import Any

import numpy

import minpy.numpy as np
from minpy.autodiff import custom_vjp
from minpy.nn import checks
from minpy.nn.kernels import lstm
from minpy.nn.layers.dense import sigmoid
from minpy.runtime import blas, dispatch, entry

# ----- steps


def rnn_step(x: Any, prev_h: Any, Wx: Any, Wh: Any, b: Any) -> Any:
    """One step of a simple recurrent network: ``tanh(x · Wx + prev_h · Wh + b)``.

    Parameters
    ----------
    x : array
        Shape (N, D).
    prev_h : array
        Shape (N, H).
    Wx, Wh, b : array
        Shapes (D, H), (H, H), (H,).

    Returns
    -------
    array
        The next state, shape (N, H).
    """
    _check("rnn_step", x, {"prev_h": prev_h}, {"Wx": (Wx, 1), "Wh": (Wh, 1), "b": (b, 1)})
    return np.tanh(np.dot(x, Wx) + np.dot(prev_h, Wh) + b)


def gru_step(x: Any, prev_h: Any, Wx: Any, Wh: Any, b: Any, Wxh: Any, Whh: Any, bh: Any) -> Any:
    """One step of a gated recurrent unit, in the form of Jozefowicz et al. (2015).

    With ``z, r = sigmoid(x · Wx + prev_h · Wh + b)``, in this order, and
    ``c = tanh(x · Wxh + (r * prev_h) · Whh + bh)``, the next state is ``z * prev_h + (1 - z) * c``.

    Parameters
    ----------
    x : array
        Shape (N, D).
    prev_h : array
        Shape (N, H).
    Wx, Wh, b : array
        Of the gates; shapes (D, 2H), (H, 2H), (2H,).
    Wxh, Whh, bh : array
        Of the candidate; shapes (D, H), (H, H), (H,).

    Returns
    -------
    array
        The next state, shape (N, H).
    """
    weights = {"Wx": (Wx, 2), "Wh": (Wh, 2), "b": (b, 2), "Wxh": (Wxh, 1), "Whh": (Whh, 1), "bh": (bh, 1)}
    _, h = _check("gru_step", x, {"prev_h": prev_h}, weights)
    gates = sigmoid(np.dot(x, Wx) + np.dot(prev_h, Wh) + b)
    z, r = gates[:, :h], gates[:, h:]
    candidate = np.tanh(np.dot(x, Wxh) + np.dot(r * prev_h, Whh) + bh)
    return z * prev_h + (1 - z) * candidate


def lstm_step(x: Any, prev_h: Any, prev_c: Any, Wx: Any, Wh: Any, b: Any) -> tuple[Any, Any]:
    """One step of a long short-term memory; the gates are input, forget, output, candidate, in this order.

    Parameters
    ----------
    x : array
        Shape (N, D).
    prev_h, prev_c : array
        State and cell, shape (N, H).
    Wx, Wh, b : array
        Shapes (D, 4H), (H, 4H), (4H,).

    Returns
    -------
    next_h, next_c : array
        State and cell, shape (N, H).
    """
    _, h = _check(
        "lstm_step", x, {"prev_h": prev_h, "prev_c": prev_c}, {"Wx": (Wx, 4), "Wh": (Wh, 4), "b": (b, 4)}
    )
    a = np.dot(x, Wx) + np.dot(prev_h, Wh) + b
    gates = sigmoid(a[:, : 3 * h])
    next_c = gates[:, h : 2 * h] * prev_c + gates[:, :h] * np.tanh(a[:, 3 * h :])
    return gates[:, 2 * h :] * np.tanh(next_c), next_c


# ----- sequences. Inside, time comes first: a step is then one piece of memory. The rules are given plain arrays as a
# rule, and then call NumPy itself; for derivatives of higher order they are given values that are being differentiated,
# and arrays of a device. Where the first product runs, there the steps do.


def _namespace(*arrays: Any) -> Any:
    return numpy if _plain(*arrays) else np


def _plain(*arrays: Any) -> bool:
    return all(type(each) is numpy.ndarray for each in arrays)


def _by_time(xp: Any, x: Any) -> Any:
    return xp.ascontiguousarray(xp.swapaxes(x, 0, 1))


def _gates(xp: Any, a: Any, count: int) -> Any:
    """The logistic function of the first `count` columns and the hyperbolic tangent of the others, for one step.

    Both in one pass: ``sigmoid(x)`` is ``(1 + tanh(x / 2)) / 2``, exact but for the last digits near 0.
    """
    half = a.dtype.type(0.5)
    a[:, :count] *= half
    a = xp.tanh(a)
    a[:, :count] *= half
    a[:, :count] += half
    return a


Start = tuple[Any, Any, Any]


def _start(x: Any, Wx: Any, *others: Any) -> Start:
    """Whose functions to call, the rows of `x` by time, (T · N, D), and their product with `Wx` if a device made it."""
    n, t, d = numpy.shape(x)
    xp = _namespace(x, Wx, *others)
    rows = xp.reshape(_by_time(xp, x), (t * n, d))
    if xp is numpy and entry.others:
        product = dispatch.on_device("dot", rows, Wx)
        if product is not None:
            return np, rows, product
    return xp, rows, None


def _inputs(start: Start, x: Any, Wx: Any, b: Any, *others: Any) -> Any:
    """What the inputs add to each step's gates, (T, N, G), of the type of all operands together.

    The `others` come in at each step.
    """
    n, t, _ = numpy.shape(x)
    xp, rows, a = start
    dtype = numpy.result_type(numpy.float16, *(each.dtype for each in (x, Wx, b, *others)))
    if a is None:
        a = _dot(xp, rows, Wx)
    if a.dtype != dtype:
        a = a.astype(dtype)
    a += b
    return xp.reshape(a, (t, n, numpy.shape(Wx)[1]))


def _dot(xp: Any, x: Any, y: Any) -> Any:
    return blas.dot(x, y) if xp is numpy else np.dot(x, y)


def _of_inputs(xp: Any, rows: Any, da: Any, Wx: Any) -> tuple[Any, Any, Any]:
    """Cotangents of `x` (a function that gives it), `Wx` and `b` for those of the gates, (T, N, G)."""
    t, n, g = da.shape
    flat = xp.reshape(da, (t * n, g))

    def of_x() -> Any:
        dx = xp.reshape(_dot(xp, flat, xp.transpose(Wx)), (t, n, numpy.shape(rows)[1]))
        return xp.swapaxes(dx, 0, 1)

    return of_x, _dot(xp, xp.transpose(rows), flat), xp.sum(flat, axis=0)


def _product(xp: Any, states: Any, da: Any) -> Any:
    """The sum of ``states[t].T · da[t]`` over the steps."""
    t, n, h = states.shape
    return _dot(xp, xp.transpose(xp.reshape(states, (t * n, h))), xp.reshape(da, (t * n, da.shape[2])))


def _rnn_forward(x: Any, h0: Any, Wx: Any, Wh: Any, b: Any) -> tuple[Any, Any]:
    start = xp, rows, _ = _start(x, Wx, h0, Wh, b)
    a = _inputs(start, x, Wx, b, h0, Wh)
    steps, n, h = a.shape
    hs = xp.empty((steps + 1, n, h), a.dtype)
    hs[0] = h0
    for t in range(steps):
        hs[t + 1] = xp.tanh(a[t] + _dot(xp, hs[t], Wh))
    return _by_time(xp, hs[1:]), (rows, hs, Wx, Wh)


def _rnn_backward(kept: tuple, g: Any) -> tuple:
    rows, hs, Wx, Wh = kept
    xp = _namespace(rows, hs, Wx, Wh, g)
    steps = len(hs) - 1
    back = xp.transpose(Wh)
    slope = 1 - xp.square(hs[1:])
    da = xp.empty(slope.shape, hs.dtype)
    dh = xp.zeros(hs.shape[1:], hs.dtype)
    for t in reversed(range(steps)):
        da[t] = (g[:, t] + dh) * slope[t]
        dh = _dot(xp, da[t], back)
    dx, dWx, db = _of_inputs(xp, rows, da, Wx)
    return dx, dh, dWx, _product(xp, hs[:-1], da), db


def _lstm_forward(*args: Any) -> tuple[Any, Any]:
    if not lstm.fits(*args):
        return _lstm_forward_traced(*args)
    if entry.others:
        x, h0, c0, Wx, Wh, b = args
        start = _start(x, Wx, h0, c0, Wh, b)
        if start[0] is not numpy:
            return _lstm_forward_traced(*args, start=start)
    run = lstm.Sequences(*args)
    return numpy.ascontiguousarray(run.hs[1:].swapaxes(0, 1)), (run, args)


def _lstm_backward(kept: tuple, g: Any) -> tuple:
    if not isinstance(kept[0], lstm.Sequences):
        return _lstm_backward_traced(kept, g)
    run, args = kept
    if type(g) is numpy.ndarray and g.dtype == run.hs.dtype:
        return run.back(g)
    return _lstm_backward_traced(_lstm_forward_traced(*args)[1], g)


def _lstm_forward_traced(
    x: Any, h0: Any, c0: Any, Wx: Any, Wh: Any, b: Any, start: Start | None = None
) -> tuple[Any, Any]:
    """For derivatives of higher order, operands of different types, and devices."""
    start = xp, rows, _ = start or _start(x, Wx, h0, c0, Wh, b)
    a = _inputs(start, x, Wx, b, h0, c0, Wh)
    steps, n, width = a.shape
    h = width // 4
    hs = xp.empty((steps + 1, n, h), a.dtype)
    cs = xp.empty((steps + 1, n, h), a.dtype)
    tanhs = xp.empty((steps, n, h), a.dtype)
    gates = xp.empty((steps, n, width), a.dtype)
    hs[0] = h0
    cs[0] = c0
    for t in range(steps):
        now = _gates(xp, a[t] + _dot(xp, hs[t], Wh), 3 * h)
        gates[t] = now
        cell = now[:, h : 2 * h] * cs[t]
        cell += now[:, :h] * now[:, 3 * h :]
        cs[t + 1] = cell
        out = xp.tanh(cell)
        tanhs[t] = out
        hs[t + 1] = now[:, 2 * h : 3 * h] * out
    return _by_time(xp, hs[1:]), (rows, hs, cs, tanhs, gates, Wx, Wh)


def _lstm_backward_traced(kept: tuple, g: Any) -> tuple:
    rows, hs, cs, tanhs, gates, Wx, Wh = kept
    xp = _namespace(*kept, g)
    h = hs.shape[2]
    i, f, o, c = (gates[:, :, k * h : (k + 1) * h] for k in range(4))
    back = xp.transpose(Wh)
    # What each gate's cotangent is multiplied by, for all steps at once; first 1 - gate, and 1 - c² for the last.
    slope = 1 - gates
    slope[:, :, :h] *= c * i
    slope[:, :, h : 2 * h] *= cs[:-1] * f
    slope[:, :, 2 * h : 3 * h] *= tanhs * o
    slope[:, :, 3 * h :] *= (1 + c) * i
    of_cell = o * (1 - xp.square(tanhs))
    da = xp.empty(gates.shape, gates.dtype)
    dh = xp.zeros(hs.shape[1:], hs.dtype)
    dc = xp.zeros(hs.shape[1:], hs.dtype)
    for t in reversed(range(len(tanhs))):
        dh = dh + g[:, t]
        dc = dc + dh * of_cell[t]
        da[t, :, : 2 * h] = xp.concatenate([dc, dc], axis=1) * slope[t, :, : 2 * h]
        da[t, :, 2 * h : 3 * h] = dh * slope[t, :, 2 * h : 3 * h]
        da[t, :, 3 * h :] = dc * slope[t, :, 3 * h :]
        dh = _dot(xp, da[t], back)
        dc = dc * f[t]
    dx, dWx, db = _of_inputs(xp, rows, da, Wx)
    return dx, dh, dc, dWx, _product(xp, hs[:-1], da), db


def _gru_forward(x: Any, h0: Any, Wx: Any, Wh: Any, b: Any, Wxh: Any, Whh: Any, bh: Any) -> tuple[Any, Any]:
    start = xp, rows, _ = _start(x, Wx, h0, Wh, b, Wxh, Whh, bh)
    a = _inputs(start, x, Wx, b, h0, Wh, Wxh, Whh, bh)
    steps, n, width = a.shape
    h = width // 2
    ah = xp.reshape(_dot(xp, rows, Wxh) + bh, (steps, n, h))
    hs = xp.empty((steps + 1, n, h), a.dtype)
    gates = xp.empty(a.shape, a.dtype)
    candidates = xp.empty(ah.shape, a.dtype)
    hs[0] = h0
    for t in range(steps):
        now = _gates(xp, a[t] + _dot(xp, hs[t], Wh), width)
        gates[t] = now
        z, r = now[:, :h], now[:, h:]
        candidate = xp.tanh(ah[t] + _dot(xp, r * hs[t], Whh))
        candidates[t] = candidate
        hs[t + 1] = candidate + z * (hs[t] - candidate)
    return _by_time(xp, hs[1:]), (rows, hs, gates, candidates, Wx, Wh, Wxh, Whh)


def _gru_backward(kept: tuple, g: Any) -> tuple:
    rows, hs, gates, candidates, Wx, Wh, Wxh, Whh = kept
    xp = _namespace(*kept, g)
    h = hs.shape[2]
    back, back_candidate = xp.transpose(Wh), xp.transpose(Whh)
    z, r = gates[:, :, :h], gates[:, :, h:]
    of_candidate = (1 - z) * (1 - xp.square(candidates))
    of_z = (hs[:-1] - candidates) * z * (1 - z)
    of_r = hs[:-1] * r * (1 - r)
    da = xp.empty(gates.shape, gates.dtype)
    dah = xp.empty(candidates.shape, gates.dtype)
    dh = xp.zeros(hs.shape[1:], hs.dtype)
    for t in reversed(range(len(gates))):
        dh = dh + g[:, t]
        dah[t] = dh * of_candidate[t]
        reset = _dot(xp, dah[t], back_candidate)
        da[t, :, :h] = dh * of_z[t]
        da[t, :, h:] = reset * of_r[t]
        dh = dh * z[t] + reset * r[t] + _dot(xp, da[t], back)
    dx, dWx, db = _of_inputs(xp, rows, da, Wx)
    dx_candidate, dWxh, dbh = _of_inputs(xp, rows, dah, Wxh)
    dWhh = _product(xp, r * hs[:-1], dah)
    return lambda: dx() + dx_candidate(), dh, dWx, _product(xp, hs[:-1], da), db, dWxh, dWhh, dbh


def _operation(name: str, forward: Any, backward: Any) -> custom_vjp:
    def run(*args: Any) -> Any:
        return forward(*args)[0]

    run.__name__ = run.__qualname__ = name
    operation = custom_vjp(run)
    operation.defvjp(forward, backward)
    operation.stays = True
    return operation


_rnn = _operation("rnn_temporal", _rnn_forward, _rnn_backward)
_lstm = _operation("lstm_temporal", _lstm_forward, _lstm_backward)
_gru = _operation("gru_temporal", _gru_forward, _gru_backward)


def rnn_temporal(x: Any, h0: Any, Wx: Any, Wh: Any, b: Any) -> Any:
    """A simple recurrent network over whole sequences.

    Parameters
    ----------
    x : array
        Shape (N, T, D).
    h0 : array
        The state before the first step, shape (N, H).
    Wx, Wh, b : array
        As for `rnn_step`.

    Returns
    -------
    array
        The states after each step, shape (N, T, H).
    """
    _check("rnn_temporal", x, {"h0": h0}, {"Wx": (Wx, 1), "Wh": (Wh, 1), "b": (b, 1)}, steps=True)
    return _rnn(x, h0, Wx, Wh, b)


def gru_temporal(x: Any, h0: Any, Wx: Any, Wh: Any, b: Any, Wxh: Any, Whh: Any, bh: Any) -> Any:
    """A gated recurrent unit over whole sequences.

    Parameters
    ----------
    x : array
        Shape (N, T, D).
    h0 : array
        The state before the first step, shape (N, H).
    Wx, Wh, b, Wxh, Whh, bh : array
        As for `gru_step`.

    Returns
    -------
    array
        The states after each step, shape (N, T, H).
    """
    weights = {"Wx": (Wx, 2), "Wh": (Wh, 2), "b": (b, 2), "Wxh": (Wxh, 1), "Whh": (Whh, 1), "bh": (bh, 1)}
    _check("gru_temporal", x, {"h0": h0}, weights, steps=True)
    return _gru(x, h0, Wx, Wh, b, Wxh, Whh, bh)


def lstm_temporal(x: Any, h0: Any, Wx: Any, Wh: Any, b: Any, c0: Any = None) -> Any:
    """A long short-term memory over whole sequences.

    Parameters
    ----------
    x : array
        Shape (N, T, D).
    h0 : array
        The state before the first step, shape (N, H).
    Wx, Wh, b : array
        As for `lstm_step`.
    c0 : array, optional
        The cell before the first step, shape (N, H); at first 0.

    Returns
    -------
    array
        The states after each step, shape (N, T, H).
    """
    states = {"h0": h0} if c0 is None else {"h0": h0, "c0": c0}
    n, h = _check("lstm_temporal", x, states, {"Wx": (Wx, 4), "Wh": (Wh, 4), "b": (b, 4)}, steps=True)
    if c0 is None:
        c0 = numpy.zeros((n, h), h0.dtype)
    return _lstm(x, h0, c0, Wx, Wh, b)


def _check(
    function: str, x: Any, states: dict[str, Any], weights: dict[str, tuple[Any, int]], steps: bool = False
) -> tuple[int, int]:
    """Check all shapes; N and H."""
    n, *_, d = checks.shape_of(function, "x", x, ("N", "T", "D") if steps else ("N", "D"))
    h = 0
    for name, state in states.items():
        h = checks.shape_of(function, name, state, ("N", "H"), **({"N": n, "H": h} if h else {"N": n}))[1]
    for name, (w, gates) in weights.items():
        letter = "H" if gates == 1 else f"{gates}H"
        sizes = {"D": d, "H": h, letter: gates * h}
        wanted = (letter,) if name.startswith("b") else ("D" if name.startswith("Wx") else "H", letter)
        checks.shape_of(function, name, w, wanted, **sizes)
    return n, h
