"""Planets that attract each other: all pairs at once, leapfrog."""

import numpy as np


def setup(size):
    n, steps = {"tiny": (5, 2), "small": (60, 80), "large": (500, 15)}[size]
    rng = np.random.default_rng(17)
    mass = 20.0 * np.ones((n, 1)) / n
    velocity = rng.standard_normal((n, 3))
    velocity -= np.mean(mass * velocity, 0) / np.mean(mass)
    return mass, rng.standard_normal((n, 3)), velocity, steps


def acceleration(position, mass):
    x, y, z = position[:, 0:1], position[:, 1:2], position[:, 2:3]
    dx, dy, dz = x.T - x, y.T - y, z.T - z
    inverse = dx**2 + dy**2 + dz**2 + 0.1**2
    inverse[inverse > 0] = inverse[inverse > 0] ** (-1.5)
    return np.hstack(((dx * inverse) @ mass, (dy * inverse) @ mass, (dz * inverse) @ mass))


def energy(position, velocity, mass):
    kinetic = 0.5 * np.sum(np.sum(mass * velocity**2))
    difference = position[:, None, :] - position[None, :, :]
    distance = np.sqrt(np.sum(difference**2, axis=2))
    i, j = np.triu_indices(len(mass), 1)
    return kinetic, -np.sum(mass[i, 0] * mass[j, 0] / distance[i, j])


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
