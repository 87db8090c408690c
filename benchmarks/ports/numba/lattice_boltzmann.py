import numpy as np
from numba import prange

from benchmarks.ports.numba import shared

CX = np.array([0, 0, 1, 1, 1, 0, -1, -1, -1])
CY = np.array([0, 1, 1, 0, -1, -1, -1, 0, 1])
WEIGHTS = np.array([4 / 9, 1 / 9, 1 / 36, 1 / 9, 1 / 36, 1 / 9, 1 / 36, 1 / 9, 1 / 36])
OPPOSITE = np.array([0, 5, 6, 7, 8, 1, 2, 3, 4])


@shared
def run(f, cylinder, steps):
    ny, nx, _ = f.shape
    rho, ux, uy = np.empty((ny, nx)), np.empty((ny, nx)), np.empty((ny, nx))
    new = np.empty_like(f)
    for _ in range(steps):
        for y in prange(ny):
            here = np.empty(9)
            for x in range(nx):
                r = u = v = 0.0
                for i in range(9):
                    # At the border the neighbour is at the other side.
                    row, column = y - CY[i], x - CX[i]
                    if row < 0:
                        row += ny
                    elif row == ny:
                        row = 0
                    if column < 0:
                        column += nx
                    elif column == nx:
                        column = 0
                    value = f[row, column, i]
                    here[i] = value
                    r += value
                    u += value * CX[i]
                    v += value * CY[i]
                u /= r
                v /= r
                rho[y, x], ux[y, x], uy[y, x] = r, u, v
                if cylinder[y, x]:
                    for i in range(9):
                        new[y, x, i] = here[OPPOSITE[i]]
                else:
                    square = 1 - 3 * (u * u + v * v) / 2
                    for i in range(9):
                        cu = CX[i] * u + CY[i] * v
                        goal = r * WEIGHTS[i] * (square + 3 * cu + 9 * cu * cu / 2)
                        new[y, x, i] = here[i] - (1 / 0.6) * (here[i] - goal)
        f, new = new, f
    return rho, ux, uy
