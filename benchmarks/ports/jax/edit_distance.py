import jax.numpy as jnp
import numpy as np
from jax import jit, lax


@jit
def distances(a, b):
    places = jnp.arange(len(b) + 1)

    def row(above, letter):
        i = above[0] + 1
        best = jnp.minimum(above[1:] + 1, above[:-1] + (b != letter))
        # What comes from the left: one more for each step.
        line = lax.cummin(jnp.concatenate([i[None], best]) - places) + places
        return line, line

    rows = lax.scan(row, places, a)[1]
    d = jnp.concatenate([places[None], rows])
    return d[-1, -1], d


def run(a, b):
    return distances(np.frombuffer(a.encode(), np.uint8), np.frombuffer(b.encode(), np.uint8))
