import jax.numpy as jnp
from jax import jit


@jit
def run(starts, columns, values, x):
    n = len(starts) - 1
    rows = jnp.repeat(jnp.arange(n), jnp.diff(starts), total_repeat_length=len(values))
    return jnp.zeros(n).at[rows].add(values * x[columns], indices_are_sorted=True)
