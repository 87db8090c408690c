from functools import partial

import jax.numpy as jnp
from jax import jit

# A point on the edge of two rings may be counted in either.
TOLERANCE = 0.01


@partial(jit, static_argnames="rings")
def run(data, radius, rings):
    largest = radius.max()
    edges = largest * jnp.arange(rings + 1) / rings
    # Computed, and put right where rounding has put it beside its ring; what is beyond the last is not stored.
    ring = (radius / largest * rings).astype(jnp.int32)
    ring = ring - (radius < edges[ring]) + (radius >= edges[jnp.minimum(ring + 1, rings)])
    sums = jnp.zeros(rings).at[ring].add(data)
    counts = jnp.zeros(rings).at[ring].add(1.0)
    return jnp.where(counts > 0, sums / jnp.maximum(counts, 1.0), 0.0)
