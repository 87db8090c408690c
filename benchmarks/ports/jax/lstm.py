import jax.numpy as jnp
from jax import jit, lax
from jax.nn import sigmoid


@jit
def run(x, w, b):
    _, batch, n = x.shape

    def step(state, now):
        h, c = state
        z = jnp.concatenate([now, h], axis=1) @ w + b
        i, f, o, g = jnp.split(z, 4, axis=1)
        c = sigmoid(f + 1.0) * c + sigmoid(i) * jnp.tanh(g)
        h = sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    zero = jnp.zeros((batch, n))
    return lax.scan(step, (zero, zero), x)[1]
