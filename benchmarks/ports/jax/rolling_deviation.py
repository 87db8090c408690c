from functools import partial

import jax.numpy as jnp
from jax import jit, lax, vmap


@partial(jit, static_argnames="window")
def run(series, window):
    starts = jnp.arange(len(series) - window + 1)
    return vmap(lambda i: lax.dynamic_slice(series, (i,), (window,)).std())(starts)
