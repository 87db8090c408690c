from functools import partial

import jax.numpy as jnp
import numpy as np
from jax import jit


@partial(jit, static_argnames="shape")
def vote(ys, xs, shape):
    angles = jnp.deg2rad(jnp.arange(-90.0, 90.0))
    diagonal = int(np.ceil(np.hypot(*shape)))
    rho = jnp.round(xs[:, None] * jnp.cos(angles) + ys[:, None] * jnp.sin(angles)).astype(int) + diagonal
    votes = jnp.zeros((2 * diagonal + 1, len(angles)), dtype=jnp.int64)
    votes = votes.at[rho, jnp.arange(len(angles))].add(1)
    return votes, jnp.unravel_index(jnp.argmax(votes), votes.shape)


def run(image):
    # How many points there are is known outside only.
    ys, xs = np.nonzero(image)
    return vote(ys, xs, image.shape)
