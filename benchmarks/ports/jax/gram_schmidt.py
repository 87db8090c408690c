import jax.numpy as jnp
from jax import jit, lax


@jit
def run(a):
    n = a.shape[1]
    columns = jnp.arange(n)

    def step(k, state):
        a, q, r = state
        column = a[:, k]
        norm = jnp.sqrt(column @ column)
        unit = column / norm
        row = jnp.where(columns > k, unit @ a, 0.0)
        return a - unit[:, None] * row, q.at[:, k].set(unit), r.at[k].set(row.at[k].set(norm))

    return lax.fori_loop(0, n, step, (a, jnp.zeros_like(a), jnp.zeros((n, n))))[1:]
