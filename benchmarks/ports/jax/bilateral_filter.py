from functools import partial

import jax.numpy as jnp
from jax import jit, lax


@partial(jit, static_argnames="radius")
def run(image, radius):
    padded = jnp.pad(image, radius, mode="reflect")
    width = 2 * radius + 1

    def add(i, sums):
        total, weights = sums
        y, x = i // width, i % width
        shifted = lax.dynamic_slice(padded, (y, x), image.shape)
        far = (x - radius) ** 2 + (y - radius) ** 2
        weight = jnp.exp(-far / 8.0) * jnp.exp(-((shifted - image) ** 2) / 0.02)
        return total + weight * shifted, weights + weight

    zero = jnp.zeros_like(image)
    total, weights = lax.fori_loop(0, width * width, add, (zero, zero))
    return total / weights
