import jax.numpy as jnp
from jax import jit, lax


@jit
def run(links, steps):
    n = len(links)
    out = links.sum(axis=1)
    m = jnp.where(out[:, None] > 0, links / jnp.where(out == 0, 1, out)[:, None], 1.0 / n).T

    def step(state):
        rank, _, k = state
        new = 0.85 * (m @ rank) + 0.15 / n
        return new, jnp.abs(new - rank).sum(), k + 1

    start = jnp.full(n, 1.0 / n), jnp.inf, 0
    return lax.while_loop(lambda state: (state[2] < steps) & (state[1] >= 1e-300), step, start)[0]
