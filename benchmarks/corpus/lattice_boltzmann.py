"""Flow around a cylinder: lattice Boltzmann with nine directions."""

import numpy as np

CX = np.array([0, 0, 1, 1, 1, 0, -1, -1, -1])
CY = np.array([0, 1, 1, 0, -1, -1, -1, 0, 1])
WEIGHTS = np.array([4 / 9, 1 / 9, 1 / 36, 1 / 9, 1 / 36, 1 / 9, 1 / 36, 1 / 9, 1 / 36])
OPPOSITE = [0, 5, 6, 7, 8, 1, 2, 3, 4]


def setup(size):
    nx, ny, steps = {"tiny": (16, 8, 3), "small": (100, 40, 12), "large": (400, 100, 20)}[size]
    rng = np.random.default_rng(42)
    f = np.ones((ny, nx, 9)) + 0.01 * rng.standard_normal((ny, nx, 9))
    x, y = np.meshgrid(np.arange(nx), np.arange(ny))
    f[:, :, 3] += 2 * (1 + 0.2 * np.cos(2 * np.pi * x / nx * 4))
    f *= (100.0 / np.sum(f, axis=2))[:, :, None]
    cylinder = (x - nx / 4) ** 2 + (y - ny / 2) ** 2 < (ny / 4) ** 2
    return f, cylinder, steps


def run(f, cylinder, steps):
    tau = 0.6
    for _ in range(steps):
        for i in range(9):
            f[:, :, i] = np.roll(f[:, :, i], CX[i], axis=1)
            f[:, :, i] = np.roll(f[:, :, i], CY[i], axis=0)
        bounced = f[cylinder, :][:, OPPOSITE]
        rho = np.sum(f, axis=2)
        ux = np.sum(f * CX, axis=2) / rho
        uy = np.sum(f * CY, axis=2) / rho
        equilibrium = np.zeros(f.shape)
        for i in range(9):
            cu = CX[i] * ux + CY[i] * uy
            equilibrium[:, :, i] = rho * WEIGHTS[i] * (1 + 3 * cu + 9 * cu**2 / 2 - 3 * (ux**2 + uy**2) / 2)
        f += -(1.0 / tau) * (f - equilibrium)
        f[cylinder, :] = bounced
    return rho, ux, uy
