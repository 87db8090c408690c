from functools import partial

import jax.numpy as jnp
from jax import jit, lax


@partial(jit, static_argnames="window")
def run(series, window):
    alpha = 2.0 / (window + 1)
    sums = jnp.cumsum(series)
    sums = sums[window - 1 :] - jnp.concatenate([jnp.zeros(1), sums[:-window]])
    simple = jnp.concatenate([jnp.full(window - 1, jnp.nan), sums / window])

    def step(before, x):
        now = alpha * x + (1 - alpha) * before
        return now, now

    smooth = lax.scan(step, series[0], series, unroll=8)[1]
    return simple, smooth
