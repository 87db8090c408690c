import jax.numpy as jnp
from jax import jit, lax


@jit
def run(d):
    return lax.fori_loop(0, len(d), lambda k, d: jnp.minimum(d, d[:, k][:, None] + d[k, :][None, :]), d)
