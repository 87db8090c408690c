"""Burgers' equations in a plane, upwind."""

import numpy as np


def setup(size):
    n, steps = {"tiny": (9, 3), "small": (81, 120), "large": (700, 8)}[size]
    u = np.ones((n, n))
    v = np.ones((n, n))
    u[n // 4 : n // 2, n // 4 : n // 2] = 2.0
    v[n // 4 : n // 2, n // 4 : n // 2] = 2.0
    dx = 2.0 / (n - 1)
    return u, v, steps, 0.0009 * dx * dx / 0.01, dx, 0.01


def run(u, v, steps, dt, dx, nu):
    for _ in range(steps):
        un = u.copy()
        vn = v.copy()
        u[1:-1, 1:-1] = (
            un[1:-1, 1:-1]
            - dt / dx * un[1:-1, 1:-1] * (un[1:-1, 1:-1] - un[1:-1, :-2])
            - dt / dx * vn[1:-1, 1:-1] * (un[1:-1, 1:-1] - un[:-2, 1:-1])
            + nu * dt / dx**2 * (un[1:-1, 2:] - 2 * un[1:-1, 1:-1] + un[1:-1, :-2])
            + nu * dt / dx**2 * (un[2:, 1:-1] - 2 * un[1:-1, 1:-1] + un[:-2, 1:-1])
        )
        v[1:-1, 1:-1] = (
            vn[1:-1, 1:-1]
            - dt / dx * un[1:-1, 1:-1] * (vn[1:-1, 1:-1] - vn[1:-1, :-2])
            - dt / dx * vn[1:-1, 1:-1] * (vn[1:-1, 1:-1] - vn[:-2, 1:-1])
            + nu * dt / dx**2 * (vn[1:-1, 2:] - 2 * vn[1:-1, 1:-1] + vn[1:-1, :-2])
            + nu * dt / dx**2 * (vn[2:, 1:-1] - 2 * vn[1:-1, 1:-1] + vn[:-2, 1:-1])
        )
        u[0, :] = u[-1, :] = u[:, 0] = u[:, -1] = 1.0
        v[0, :] = v[-1, :] = v[:, 0] = v[:, -1] = 1.0
    return u, v
