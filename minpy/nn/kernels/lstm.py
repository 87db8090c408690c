"""A long short-term memory over whole sequences, forward and backward, of plain arrays.

A step is one product: states, inputs and a one stand side by side, and so do the weights of both and the bias. Its
gates then have a block of their own each, (N, H), so that all that belongs to a step is done to a few pieces of memory
without gaps, which stay in the processor's cache. Cotangents of all weights are one product over all steps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import ndarray

from minpy.runtime.blas import dot

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
        sums, product = np.empty((n, _GATES * size), dtype), np.empty((n, size), dtype)
        by_gate = _by_gate(sums)
        for t in range(steps):
            dot(operands[t], halved, sums)
            now, cell, squashed = gates[t], cells[t + 1], tanhs[t]
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
        d, slope, part = (
            np.empty((_GATES, n, size), dtype),
            np.empty((_LOGISTIC, n, size), dtype),
            np.empty((n, size), dtype),
        )
        for t in range(steps - 1, -1, -1):
            now, squashed = gates[t], tanhs[t]
            dh += g[:, t]
            # Through the output: of its gate, and of the cell.
            np.multiply(dh, squashed, d[2])
            dh *= now[2]
            np.multiply(squashed, squashed, part)
            part *= dh
            dh -= part
            dc += dh
            np.multiply(dc, now[3], d[0])
            np.multiply(dc, cells[t], d[1])
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
            np.copyto(_by_gate(da[t]), d)
            dot(da[t], back, dh)
        flat = da.reshape(steps * n, _GATES * size)
        operands = self._operands[:-1].reshape(steps * n, -1)

        def of_x() -> ndarray:
            return dot(flat, self._weights[size:-1].T).reshape(steps, n, -1).swapaxes(0, 1)

        of_weights = dot(operands.T, flat)
        return of_x, dh, dc, of_weights[size:-1], of_weights[:size], of_weights[-1]


def fits(*arrays: Any) -> bool:
    """Whether these are plain arrays of one real dtype, with something in them."""
    dtype = getattr(arrays[0], "dtype", None)
    return dtype in (np.float32, np.float64) and all(
        type(each) is ndarray and each.dtype == dtype and each.size for each in arrays
    )


def _by_gate(values: ndarray) -> ndarray:
    """Rows of all gates, (N, 4H), looked at as (4, N, H)."""
    return values.reshape(len(values), _GATES, -1).swapaxes(0, 1)
