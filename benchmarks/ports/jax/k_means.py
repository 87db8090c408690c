import jax.numpy as jnp
from jax import jit, lax


@jit
def run(x, centers, steps):
    k = len(centers)

    def step(_, state):
        centers, _ = state
        distance = ((x[:, None, :] - centers[None, :, :]) ** 2).sum(axis=2)
        nearest = jnp.argmin(distance, axis=1)
        members = (nearest[:, None] == jnp.arange(k)).astype(x.dtype)
        counts = members.sum(axis=0)[:, None]
        means = (members.T @ x) / jnp.maximum(counts, 1)
        return jnp.where(counts > 0, means, centers), nearest

    return lax.fori_loop(0, steps, step, (centers, jnp.zeros(len(x), dtype=jnp.int64)))
