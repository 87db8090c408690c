import numpy as np
from numba import njit, prange

from benchmarks.ports.numba import shared


@shared
def step(u, v, un, vn, advect, diffuse):
    n, m = u.shape
    for i in prange(1, n - 1):
        for j in range(1, m - 1):
            a, b = un[i, j], vn[i, j]
            u[i, j] = (
                a
                - advect * a * (a - un[i, j - 1])
                - advect * b * (a - un[i - 1, j])
                + diffuse * (un[i, j + 1] - 2 * a + un[i, j - 1])
                + diffuse * (un[i + 1, j] - 2 * a + un[i - 1, j])
            )
            v[i, j] = (
                b
                - advect * a * (b - vn[i, j - 1])
                - advect * b * (b - vn[i - 1, j])
                + diffuse * (vn[i, j + 1] - 2 * b + vn[i, j - 1])
                + diffuse * (vn[i + 1, j] - 2 * b + vn[i - 1, j])
            )


@njit(cache=True)
def run(u, v, steps, dt, dx, nu):
    un, vn = u, v
    u, v = np.ones_like(un), np.ones_like(vn)
    for t in range(steps):
        step(u, v, un, vn, dt / dx, nu * dt / dx**2)
        if t == 0 and steps > 1:
            # From now on the border of both pairs is one.
            un, vn = np.ones_like(u), np.ones_like(v)
        u, v, un, vn = un, vn, u, v
    return un, vn
