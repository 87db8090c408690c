"""A long short-term memory over whole sequences, forward and backward, of plain arrays.

A step is one product: states, inputs and a one stand side by side, and so do the weights of both and the bias. Its
gates then have a block of their own each, (N, H), so that all that belongs to a step is done to a few pieces of memory
without gaps, which stay in the processor's cache. Cotangents of all weights are one product over all steps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import ndarray

from minpy.nn.kernels import arithmetic, lstm_code, shared
from minpy.nn.kernels.lstm_code import BACK
from minpy.runtime import blas
from minpy.runtime.blas import Repeated, dot
from minpy.runtime.fuse import native, sites, state
from minpy.runtime.fuse.ir import Irregular
from minpy.runtime.jit import background, engine

# What follows the hyperbolic tangent of a step's sums as one pass, where there is no code for all steps at once.
_FORWARD = arithmetic.Rows(
    ("i", "f", "o", "u", "c"), ("i", "f", "o", "cell"),
    "i = i * 0.5 + 0.5; f = f * 0.5 + 0.5; o = o * 0.5 + 0.5; cell = f * c + i * u",
)  # fmt: skip
_WORTH = 1 << 15  # elements of all states from which they are compiled

_SHARE = 1 << 22  # multiplications for each thread at least
_FEW = 32  # sequences that a thread has at least: MKL gives those of fewer other bits

_GATES = 4  # input, forget, output, candidate
_LOGISTIC = 3  # of which the first three are logistic


class Sequences:
    """One run over sequences.

    Parameters
    ----------
    x : numpy.ndarray
        Shape (N, T, D); all arrays are of one dtype.
    h0, c0 : numpy.ndarray
        Shape (N, H).
    Wx, Wh, b : numpy.ndarray
        Shapes (D, 4H), (H, 4H), (4H,).

    Attributes
    ----------
    hs : numpy.ndarray
        The states before the first step and after each, shape (T + 1, N, H).
    """

    def __init__(self, x: ndarray, h0: ndarray, c0: ndarray, Wx: ndarray, Wh: ndarray, b: ndarray) -> None:
        n, steps, inputs = x.shape
        size = h0.shape[1]
        dtype = x.dtype
        self._weights = weights = np.concatenate((Wh, Wx, b[None]))
        # ``sigmoid(a)`` is ``(1 + tanh(a / 2)) / 2``: halves are exact in the weights too.
        halved = weights.copy()
        halved[:, : _LOGISTIC * size] *= 0.5
        self._operands = operands = np.empty((steps + 1, n, size + inputs + 1), dtype)
        operands[:-1, :, size:-1] = x.swapaxes(0, 1)
        operands[:, :, -1] = 1
        self.hs = hs = operands[:, :, :size]
        self._gates = gates = np.empty((steps, _GATES, n, size), dtype)
        self._cells = cells = np.empty((steps + 1, n, size), dtype)
        self._tanhs = tanhs = np.empty((steps, n, size), dtype)
        hs[0], cells[0] = h0, c0
        self._product = blas.foreign(operands[0], halved) if hs.size >= _WORTH else None
        code = self._code(lstm_code.forward)
        if code is None:
            self._steps(halved, 0, steps, 0, n)
            return
        function, mask = code

        def some(first: int, count: int) -> None:
            # (Apart: NumPy's tangent takes its time where operand and result touch.)
            sums, tangents = (np.empty((count, _GATES * size), dtype) for _ in range(2))
            addresses = [each[:, first:].ctypes.data for each in (operands, cells, tanhs)]
            read, cell, tanh = addresses
            gate = gates[:, :, first:].ctypes.data
            t = 0
            while t < steps:
                with self._product.gate:
                    t = function(
                        t, steps, count, size, operands.shape[2], mask, self._product.address,
                        read, operands.strides[0], halved.ctypes.data, sums.ctypes.data, tangents.ctypes.data,
                        gate, gates.strides[0], gates.strides[1], cell, cells.strides[0], tanh,
                    )  # fmt: skip
                if t < steps:  # an operation overflowed: as written, for NumPy's warning
                    self._steps(halved, t, t + 1, first, count, passes=False)
                    t += 1

        self._shared(some)

    def _code(self, maker: Any) -> tuple[Any, int] | None:
        """The function for all steps, if it is compiled and pays, and the flags that must not come up."""
        if self._product is None or sites.mode() == "off" or sites.held or not engine.is_available():
            return None
        try:
            mask = native.bits_of(state.checked_flags())
            return maker(self.hs.dtype.char, self._product.whole), mask
        except (Irregular, native.Unfit, background.Pending, engine.CompileError):
            return None

    def _shared(self, some: Any) -> None:
        """``some(first, how many)`` for all sequences, which know nothing of each other, by as many threads as pay."""
        _, n, width = self._operands.shape
        groups = max(1, n // _FEW)
        work = self._gates.size * width

        def ours(first: int, count: int) -> None:
            start, last = first * _FEW, first + count
            some(start, (last * _FEW if last < groups else n) - start)

        shared.over(ours, groups, work, _SHARE)

    def _steps(
        self, halved: ndarray, begin: int, end: int, first: int, count: int, passes: bool = True
    ) -> None:
        """Some steps of some sequences, one operation after the other, or with passes that are compiled."""
        size = self._cells.shape[2]
        mine = slice(first, first + count)
        operands, gates = self._operands[:, mine], self._gates[:, :, mine]
        cells, tanhs, hs = self._cells[:, mine], self._tanhs[:, mine], self.hs[:, mine]
        sums, product = np.empty((count, _GATES * size), cells.dtype), np.empty((count, size), cells.dtype)
        by_gate = _by_gate(sums)
        forward, mask = _ready(_FORWARD, self.hs) if passes else (None, 0)
        block = gates.strides[1]
        gates_at, cells_at = gates.ctypes.data, cells.ctypes.data
        one_row = 1, product.size, *[0] * len(_FORWARD.names)
        multiply = Repeated(operands[0], halved, sums)
        for t in range(begin, end):
            multiply(operands[t], halved, sums)
            now, cell, squashed = gates[t], cells[t + 1], tanhs[t]
            np.tanh(by_gate, now)
            i, c = gates_at + t * _GATES * block, cells_at + t * block
            if (
                forward is None
                or forward(*one_row, i, i + block, i + 2 * block, i + 3 * block, c, c + block) & mask
            ):
                if forward is not None:
                    # An operation overflowed: as written, for NumPy's warning.
                    np.tanh(by_gate, now)
                logistic = now[:_LOGISTIC]
                logistic *= 0.5
                logistic += 0.5
                np.multiply(now[1], cells[t], cell)
                np.multiply(now[0], now[3], product)
                cell += product
            np.tanh(cell, squashed)
            np.multiply(now[2], squashed, hs[t + 1])

    def back(self, g: ndarray) -> tuple[Any, ...]:
        """Cotangents of x, h0, c0, Wx, Wh, b for that of the states, (N, T, H); of x a function that gives it."""
        gates, cells, tanhs = self._gates, self._cells, self._tanhs
        steps, _, n, size = gates.shape
        dtype = gates.dtype
        back = np.ascontiguousarray(self._weights[:size].T)  # once, and not in each step's product
        da = np.empty((steps, n, _GATES * size), dtype)
        dh, dc = np.zeros((n, size), dtype), np.zeros((n, size), dtype)
        code = self._code(lstm_code.back) if g.strides[2] == g.itemsize else None
        if code is None:
            dc = self._steps_back(g, back, dh, dc, da)
        else:
            function, mask = code
            other = np.empty_like(dc)

            def some(first: int, count: int) -> None:
                mine = slice(first, first + count)
                now, spare = dc[mine], other[mine]
                addresses = [each[:, mine].ctypes.data for each in (cells, tanhs, da)]
                cell, tanh, sums = addresses
                head, gate = g[mine].ctypes.data, gates[:, :, mine].ctypes.data
                t = steps - 1
                while t >= 0:
                    with self._product.gate:
                        left = function(
                            t, count, size, mask, self._product.address, head, g.strides[1], g.strides[0],
                            dh[mine].ctypes.data, now.ctypes.data, spare.ctypes.data, gate, gates.strides[0],
                            gates.strides[1], cell, cells.strides[0], tanh, sums, back.ctypes.data,
                        )  # fmt: skip
                    if (t - left) % 2:
                        now, spare = spare, now
                    t = left
                    if t >= 0:
                        self._step_back(t, g[mine, t], dh[mine], now, da[t, mine], mine)
                        dh[mine] = dot(da[t, mine], back)
                        t -= 1
                if now.ctypes.data != dc[mine].ctypes.data:
                    dc[mine] = now

            self._shared(some)
        flat = da.reshape(steps * n, _GATES * size)
        operands = self._operands[:-1].reshape(steps * n, -1)

        def of_x() -> ndarray:
            return dot(flat, self._weights[size:-1].T).reshape(steps, n, -1).swapaxes(0, 1)

        of_weights = dot(operands.T, flat)
        return of_x, dh, dc, of_weights[size:-1], of_weights[:size], of_weights[-1]

    def _steps_back(self, g: ndarray, back: ndarray, dh: ndarray, dc: ndarray, da: ndarray) -> ndarray:
        """All steps, one operation after the other, or with passes that are compiled; the cell's cotangent."""
        gates, cells, tanhs = self._gates, self._cells, self._tanhs
        steps, _, n, size = gates.shape
        compiled, mask = _ready(BACK, self.hs) if g.strides[2] == g.itemsize else (None, 0)
        spare, block, width = np.empty_like(dc), dc.nbytes, size * g.itemsize
        g_at, gates_at, cells_at, tanhs_at, da_at = (
            each.ctypes.data for each in (g, gates, cells, tanhs, da)
        )
        dh_at, dc_at, spare_at = dh.ctypes.data, dc.ctypes.data, spare.ctypes.data
        distances = n, size, g.strides[0], *[width] * 8, *[_GATES * width] * _GATES, width
        multiply = Repeated(da[0], back, dh)
        for t in range(steps - 1, -1, -1):
            if compiled is not None:
                i, a = gates_at + t * _GATES * block, da_at + t * _GATES * block
                flags = compiled(
                    *distances, g_at + t * g.strides[1], dh_at, dc_at,
                    i, i + block, i + 2 * block, i + 3 * block, cells_at + t * block, tanhs_at + t * block,
                    a, a + width, a + 2 * width, a + 3 * width, spare_at,
                )  # fmt: skip
            if compiled is None or flags & mask:
                self._step_back(t, g[:, t], dh, dc, da[t])
            else:
                dc, spare, dc_at, spare_at = spare, dc, spare_at, dc_at
            multiply(da[t], back, dh)
        return dc

    def _step_back(
        self, t: int, g: ndarray, dh: ndarray, dc: ndarray, da: ndarray, mine: slice = slice(None)
    ) -> None:
        """Cotangents of a step's sums, and of the cell before it in place of that after it; `dh` is used up."""
        now, squashed = self._gates[t][:, mine], self._tanhs[t][mine]
        d, slope, part = np.empty_like(now), np.empty_like(now[:_LOGISTIC]), np.empty_like(dh)
        dh += g
        # Through the output: of its gate, and of the cell.
        np.multiply(dh, squashed, d[2])
        dh *= now[2]
        np.multiply(squashed, squashed, part)
        part *= dh
        dh -= part
        dc += dh
        np.multiply(dc, now[3], d[0])
        np.multiply(dc, self._cells[t][mine], d[1])
        np.multiply(dc, now[0], d[3])
        dc *= now[1]
        # Through the gates: ``s (1 - s)`` and ``1 - c²``.
        logistic = now[:_LOGISTIC]
        np.multiply(logistic, logistic, slope)
        np.subtract(logistic, slope, slope)
        d[:_LOGISTIC] *= slope
        np.multiply(now[3], now[3], part)
        part *= d[3]
        d[3] -= part
        np.copyto(_by_gate(da), d)


def _ready(rows: arithmetic.Rows, states: ndarray) -> tuple[Any, int]:
    """A pass that is compiled, if it pays, and the flags that must not come up; else None."""
    if states.size < _WORTH:
        return None, 0
    try:
        return rows.ready(states.dtype.char), native.bits_of(state.checked_flags())
    except Irregular:
        return None, 0


def fits(*arrays: Any) -> bool:
    """Whether these are plain arrays of one real dtype, with something in them."""
    dtype = getattr(arrays[0], "dtype", None)
    return dtype in (np.float32, np.float64) and all(
        type(each) is ndarray and each.dtype == dtype and each.size for each in arrays
    )


def _by_gate(values: ndarray) -> ndarray:
    """Rows of all gates, (N, 4H), looked at as (4, N, H)."""
    return values.reshape(len(values), _GATES, -1).swapaxes(0, 1)
