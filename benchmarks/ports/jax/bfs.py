import jax.numpy as jnp
from jax import jit, lax


@jit
def run(starts, targets):
    # Level by level, over all edges at once.
    n = len(starts) - 1
    sources = jnp.repeat(jnp.arange(n), jnp.diff(starts), total_repeat_length=len(targets))

    def step(state):
        distance, level, _ = state
        reached = jnp.zeros(n, bool).at[targets].max(distance[sources] == level)
        new = reached & (distance < 0)
        return jnp.where(new, level + 1, distance), level + 1, jnp.any(new)

    start = jnp.full(n, -1).at[0].set(0)
    return lax.while_loop(lambda state: state[2], step, (start, 0, True))[0]
