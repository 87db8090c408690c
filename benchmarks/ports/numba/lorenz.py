import numpy as np
from numba import njit


@njit(cache=True)
def slope(x, y, z):
    return 10.0 * (y - x), x * (28.0 - z) - y, x * y - 8.0 / 3.0 * z


@njit(cache=True)
def run(state, steps):
    dt = 0.005
    path = np.empty((steps + 1, 3))
    path[0] = state
    x, y, z = state
    for i in range(steps):
        a1, b1, c1 = slope(x, y, z)
        a2, b2, c2 = slope(x + 0.5 * dt * a1, y + 0.5 * dt * b1, z + 0.5 * dt * c1)
        a3, b3, c3 = slope(x + 0.5 * dt * a2, y + 0.5 * dt * b2, z + 0.5 * dt * c2)
        a4, b4, c4 = slope(x + dt * a3, y + dt * b3, z + dt * c3)
        x += dt / 6.0 * (a1 + 2 * a2 + 2 * a3 + a4)
        y += dt / 6.0 * (b1 + 2 * b2 + 2 * b3 + b4)
        z += dt / 6.0 * (c1 + 2 * c2 + 2 * c3 + c4)
        path[i + 1, 0], path[i + 1, 1], path[i + 1, 2] = x, y, z
    return path
