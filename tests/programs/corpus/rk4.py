"""The Lorenz system by Runge-Kutta, the path kept in an array."""

import numpy as np


def sample(rng):
    return np.array([10.0, 28.0, 8 / 3, *rng.normal(size=3)])


def large(rng):
    return np.repeat(sample(rng)[:, None], 100_000, axis=1) + 0.1 * rng.normal(size=(6, 100_000)), {}


def slope(s, theta, out):
    out[0] = theta[0] * (s[1] - s[0])
    out[1] = s[0] * (theta[1] - s[2]) - s[1]
    out[2] = s[0] * s[1] - theta[2] * s[2]
    return out


def run(inputs, steps=20, dt=0.01):
    theta, path = inputs[:3], np.empty((steps + 1, *inputs[3:].shape))
    path[0] = inputs[3:]
    k = np.empty((4, *path[0].shape))
    for n in range(steps):
        slope(path[n], theta, k[0])
        slope(path[n] + 0.5 * dt * k[0], theta, k[1])
        slope(path[n] + 0.5 * dt * k[1], theta, k[2])
        slope(path[n] + dt * k[2], theta, k[3])
        path[n + 1] = path[n] + dt / 6 * np.tensordot([1.0, 2.0, 2.0, 1.0], k, axes=1)
    return np.mean(path[::5] ** 2)
