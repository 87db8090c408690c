import jax.numpy as jnp
from jax import jit, lax


@jit
def run(shapes):
    n = len(shapes) - 1
    i, cut = jnp.arange(n)[:, None], jnp.arange(n)

    def longer(length, state):
        # All beginnings i and all places to cut at, also those that are none.
        cost, split = state
        j = i[:, 0] + length - 1
        inside = jnp.minimum(j, n - 1)
        k = jnp.minimum(i + cut, n - 1)
        after = jnp.minimum(k + 1, n - 1)
        q = (
            cost[i, k]
            + cost[after, inside[:, None]]
            + shapes[i] * shapes[k + 1] * shapes[inside + 1][:, None]
        )
        q = jnp.where(cut < length - 1, q, 2**62)
        best = jnp.argmin(q, axis=1)
        valid = jnp.where(j < n, j, n)  # what is out of bounds is not stored
        rows = i[:, 0]
        lowest = jnp.take_along_axis(q, best[:, None], axis=1)[:, 0]
        return cost.at[rows, valid].set(lowest), split.at[rows, valid].set(rows + best)

    zero = jnp.zeros((n, n), dtype=jnp.int64)
    cost, split = lax.fori_loop(2, n + 1, longer, (zero, zero))
    return cost[0, n - 1], split
