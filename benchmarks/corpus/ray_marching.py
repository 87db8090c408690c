"""A sphere and a floor with a light, by marching along rays until a surface is near."""

import numpy as np


def setup(size):
    n, steps = {"tiny": (6, 4), "small": (64, 30), "large": (320, 30)}[size]
    return n, steps


def distance(p):
    ball = np.sqrt(np.sum((p - np.array([0.0, 0.0, 4.0])) ** 2, axis=-1)) - 1.0
    ripple = 0.05 * np.sin(8.0 * p[..., 0]) * np.sin(8.0 * p[..., 1])
    return np.minimum(ball + ripple, p[..., 1] + 1.2)


def run(n, steps):
    y, x = np.meshgrid(np.linspace(1, -1, n), np.linspace(-1, 1, n), indexing="ij")
    direction = np.stack([x, y, np.full_like(x, 1.5)], axis=-1)
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    along = np.zeros((n, n))
    for _ in range(steps):
        along += 0.8 * distance(along[..., None] * direction)
        along = np.minimum(along, 20.0)
    p = along[..., None] * direction
    near = distance(p)
    normal = np.stack([distance(p + 1e-4 * axis) - near for axis in np.eye(3)], axis=-1) / 1e-4
    light = np.array([0.5, 0.8, -0.3]) / np.sqrt(0.98)
    return np.where(along < 20.0, np.clip(np.sum(normal * light, axis=-1), 0.1, 1.0), 0.0)
