from functools import partial

import jax.numpy as jnp
from jax import jit, lax


@partial(jit, static_argnames="epochs")
def run(x, y, epochs):
    x = jnp.concatenate([x, jnp.ones((len(x), 1))], axis=1)

    def sample(w, pair):
        row, label = pair
        wrong = label * (w @ row) <= 0
        return w + jnp.where(wrong, 0.1 * label, 0.0) * row, wrong

    def epoch(w, _):
        w, wrong = lax.scan(sample, w, (x, y))
        return w, wrong.sum()

    return lax.scan(epoch, jnp.zeros(x.shape[1]), length=epochs)
