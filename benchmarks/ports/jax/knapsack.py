from functools import partial

import jax.numpy as jnp
import numpy as np
from jax import jit, lax


@partial(jit, static_argnames="capacity")
def pack(weights, values, capacity):
    places = jnp.arange(capacity + 1)

    def add(best, thing):
        weight, value = thing
        candidate = best[jnp.maximum(places - weight, 0)] + value
        taken = (places >= weight) & (candidate > best)
        return jnp.where(taken, candidate, best), taken

    best, taken = lax.scan(add, jnp.zeros(capacity + 1, dtype=jnp.int64), (weights, values))

    def back(c, thing):
        weight, row = thing
        return c - jnp.where(row[c], weight, 0), row[c]

    _, chosen = lax.scan(back, capacity, (weights, taken), reverse=True)
    return best[capacity], chosen


def run(weights, values, capacity):
    best, chosen = pack(weights, values, capacity)
    return best, np.nonzero(chosen)[0][::-1].tolist()
