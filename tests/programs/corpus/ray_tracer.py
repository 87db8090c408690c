"""Rays on spheres: hits by masks, the nearest kept, shaded in place."""

import numpy as np


def sample(rng):
    return np.array([[0.0, 0.1, 3.0, 1.0], [0.8, -0.3, 2.2, 0.4]]) + 0.01 * rng.normal(size=(2, 4))


def large(rng):
    return sample(rng), {"n": 300}


def run(spheres, n=7):
    y, x = np.meshgrid(np.linspace(-0.5, 0.5, n), np.linspace(-0.5, 0.5, n), indexing="ij")
    rays = np.stack([x, y, np.ones_like(x)], axis=-1)
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    light = np.array([0.5, 0.7, -0.5])
    depth, image = np.full((n, n), np.inf), np.zeros((n, n))
    for sphere in spheres:
        centre, radius = sphere[:3], sphere[3]
        b = rays @ centre
        d = b**2 - np.sum(centre**2) + radius**2
        hit = d > 0
        t = np.full(d.shape, np.inf)
        t[hit] = b[hit] - np.sqrt(d[hit])
        nearer = t < depth
        depth[nearer] = t[nearer]
        normal = (rays[nearer] * t[nearer][:, None] - centre) / radius
        image[nearer] = np.maximum(normal @ light, 0.05)
    return np.sum(image**2) + 0.1 * np.sum(1 / depth)
