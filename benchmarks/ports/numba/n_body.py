import math

import numpy as np
from numba import njit


@njit(cache=True)
def acceleration(position, mass):
    n = len(position)
    a = np.zeros((n, 3))
    for i in range(n):
        for j in range(i + 1, n):
            dx = position[j, 0] - position[i, 0]
            dy = position[j, 1] - position[i, 1]
            dz = position[j, 2] - position[i, 2]
            squared = dx * dx + dy * dy + dz * dz + 0.1**2
            inverse = 1.0 / (squared * math.sqrt(squared))
            mine, other = inverse * mass[i, 0], inverse * mass[j, 0]
            a[i, 0] += dx * other
            a[i, 1] += dy * other
            a[i, 2] += dz * other
            a[j, 0] -= dx * mine
            a[j, 1] -= dy * mine
            a[j, 2] -= dz * mine
    return a


@njit(cache=True)
def energy(position, velocity, mass):
    n = len(position)
    kinetic = potential = 0.0
    for i in range(n):
        kinetic += mass[i, 0] * (velocity[i, 0] ** 2 + velocity[i, 1] ** 2 + velocity[i, 2] ** 2)
        for j in range(i + 1, n):
            dx = position[j, 0] - position[i, 0]
            dy = position[j, 1] - position[i, 1]
            dz = position[j, 2] - position[i, 2]
            potential -= mass[i, 0] * mass[j, 0] / math.sqrt(dx * dx + dy * dy + dz * dz)
    return 0.5 * kinetic, potential


@njit(cache=True)
def run(mass, position, velocity, steps):
    dt = 0.01
    a = acceleration(position, mass)
    kinetic = np.zeros(steps)
    potential = np.zeros(steps)
    for i in range(steps):
        velocity += a * dt / 2.0
        position += velocity * dt
        a = acceleration(position, mass)
        velocity += a * dt / 2.0
        kinetic[i], potential[i] = energy(position, velocity, mass)
    return position, kinetic, potential
