import numpy as np
from numba import njit


@njit(cache=True)
def forces(x, box):
    n = len(x)
    f = np.zeros((n, 3))
    energy = 0.0
    for i in range(n):
        for j in range(i + 1, n):
            dx = x[i, 0] - x[j, 0]
            dy = x[i, 1] - x[j, 1]
            dz = x[i, 2] - x[j, 2]
            dx -= box * np.rint(dx / box)
            dy -= box * np.rint(dy / box)
            dz -= box * np.rint(dz / box)
            r2 = dx * dx + dy * dy + dz * dz
            inverse6 = 1.0 / (r2 * r2 * r2)
            strength = 24.0 * (2.0 * inverse6 * inverse6 - inverse6) / r2
            energy += inverse6 * inverse6 - inverse6
            f[i, 0] += strength * dx
            f[i, 1] += strength * dy
            f[i, 2] += strength * dz
            f[j, 0] -= strength * dx
            f[j, 1] -= strength * dy
            f[j, 2] -= strength * dz
    return f, 2.0 * energy


@njit(cache=True)
def run(x, v, box, steps):
    dt = 0.002
    f, energy = forces(x, box)
    energies = np.empty(steps)
    for step in range(steps):
        v += 0.5 * dt * f
        x = (x + dt * v) % box
        f, energy = forces(x, box)
        v += 0.5 * dt * f
        energies[step] = energy + 0.5 * np.sum(v * v)
    return x, energies
