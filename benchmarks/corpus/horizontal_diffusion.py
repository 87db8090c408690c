"""Horizontal diffusion with flux limiters, as in weather models."""

import numpy as np


def setup(size):
    i, j, k = {"tiny": (8, 8, 2), "small": (48, 48, 16), "large": (160, 160, 40)}[size]
    rng = np.random.default_rng(3)
    field = rng.random((i + 4, j + 4, k))
    return field, np.zeros((i, j, k)), rng.random((i, j, k)), {"tiny": 2, "small": 10, "large": 5}[size]


def run(field, out, coefficient, times):
    ni, nj, _ = out.shape
    for _ in range(times):
        lap = 4.0 * field[1 : ni + 3, 1 : nj + 3, :] - (
            field[2 : ni + 4, 1 : nj + 3, :]
            + field[: ni + 2, 1 : nj + 3, :]
            + field[1 : ni + 3, 2 : nj + 4, :]
            + field[1 : ni + 3, : nj + 2, :]
        )
        difference = lap[1:, 1 : nj + 1, :] - lap[:-1, 1 : nj + 1, :]
        slope = field[2 : ni + 3, 2 : nj + 2, :] - field[1 : ni + 2, 2 : nj + 2, :]
        flx = np.where(difference * slope > 0, 0, difference)
        difference = lap[1 : ni + 1, 1:, :] - lap[1 : ni + 1, :-1, :]
        slope = field[2 : ni + 2, 2 : nj + 3, :] - field[2 : ni + 2, 1 : nj + 2, :]
        fly = np.where(difference * slope > 0, 0, difference)
        out[:] = field[2 : ni + 2, 2 : nj + 2, :] - coefficient * (
            flx[1:, :, :] - flx[:-1, :, :] + fly[:, 1:, :] - fly[:, :-1, :]
        )
        field[2 : ni + 2, 2 : nj + 2, :] = out
    return out
