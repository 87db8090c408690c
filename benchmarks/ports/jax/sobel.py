from functools import partial

import jax.numpy as jnp
from jax import jit


@partial(jit, static_argnames="times")
def run(image, times):
    for _ in range(times):
        gx = (
            image[:-2, 2:] - image[:-2, :-2]
            + 2 * (image[1:-1, 2:] - image[1:-1, :-2])
            + image[2:, 2:] - image[2:, :-2]
        )  # fmt: skip
        gy = (
            image[2:, :-2] - image[:-2, :-2]
            + 2 * (image[2:, 1:-1] - image[:-2, 1:-1])
            + image[2:, 2:] - image[:-2, 2:]
        )  # fmt: skip
        edges = jnp.sqrt(gx**2 + gy**2)
    return edges > edges.mean(), edges
