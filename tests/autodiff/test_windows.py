"""Overlapping windows: views of which several elements are one place in memory, in both modes and at second order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from minpy import check_grads, grad, hessian, jvp

X = np.array([0.5, -1.25, 2.0, 0.75, 1.5, -0.3])


def forward(x):
    return sliding_window_view(x * 1.0, 3)


def backward(x):
    return sliding_window_view(x * 1.0, 2)[::-1, ::-1]


def stepped(x):
    return sliding_window_view(x * 1.0, 3)[::2]


def of_a_reversed_array(x):
    return sliding_window_view((x * 1.0)[::-1], 4)


def of_a_part(x):
    return sliding_window_view((x * 1.0)[1::2], 2)


def in_two_dimensions(x):
    return sliding_window_view(np.reshape(x, (2, 3)) * 1.0, (2, 2))


def of_imaginary_parts(x):
    return sliding_window_view((x * (1 + 2j)).imag, 2)


def of_the_argument(x):
    return sliding_window_view(x, 3)


WINDOWS = [
    forward, backward, stepped, of_a_reversed_array, of_a_part, in_two_dimensions, of_imaginary_parts, of_the_argument,
]  # fmt: skip


@pytest.mark.parametrize("windows", WINDOWS, ids=lambda f: f.__name__)
def test_windows(windows: Any) -> None:
    f = lambda x: np.sum(np.sin(windows(x)) * np.arange(1.0, 1.0 + windows(X).size).reshape(windows(X).shape))
    plain = lambda x: np.sum(
        np.sin(np.array(windows(np.array(x))))
        * np.arange(1.0, 1.0 + windows(X).size).reshape(windows(X).shape)
    )
    step = 1e-6
    slopes = [(plain(X + step * e) - plain(X - step * e)) / (2 * step) for e in np.eye(6)]
    g = grad(f)(X)
    np.testing.assert_allclose(g, slopes, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(jvp(f, (X,), (X,))[1], g @ X, rtol=1e-12)
    h = hessian(f)(X)
    np.testing.assert_allclose(h, h.T, atol=1e-12)
    assert np.any(h)
    check_grads(lambda x: windows(x) * windows(x), (X,), 3)
