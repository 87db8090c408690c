from functools import partial

import jax.numpy as jnp
from jax import jit, lax


@partial(jit, static_argnames="n")
def run(n, a, b):
    def spread(state):
        labels, _ = state
        lowest = jnp.minimum(labels[a], labels[b])
        new = labels.at[a].min(lowest).at[b].min(lowest)
        new = new[new]
        return new, jnp.any(new != labels)

    labels, _ = lax.while_loop(lambda state: state[1], spread, (jnp.arange(n), True))
    return labels, jnp.sum(labels == jnp.arange(n))
