from functools import partial

import jax.numpy as jnp
from jax import jit, lax, random

# The random numbers are JAX's own.
TOLERANCE = 0.1


@partial(jit, static_argnames="draws")
def run(sample, draws, seed):
    n = len(sample)
    # Of a sorted sample, counts of what was drawn are enough for the median: XLA sorts slowly.
    sample = jnp.sort(sample)
    middle = jnp.array([(n - 1) // 2, n // 2])

    def draw(key):
        places = random.randint(key, (n,), 0, n, dtype=jnp.int32)
        upto = jnp.cumsum(jnp.zeros(n, dtype=jnp.int32).at[places].add(1))
        return sample[jnp.searchsorted(upto, middle, side="right")].mean(), sample[places].mean()

    medians, means = lax.map(draw, random.split(random.key(seed), draws))
    ends = jnp.array([2.5, 97.5])
    return jnp.percentile(medians, ends), jnp.percentile(means, ends)
