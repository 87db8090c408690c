import jax.numpy as jnp
from jax import jit, lax


@jit
def run(a, b, steps):
    def step(state):
        x, r, p, old, k = state
        ap = a @ p
        alpha = old / (p @ ap)
        x = x + alpha * p
        r = r - alpha * ap
        new = r @ r
        return x, r, r + (new / old) * p, new, k + 1

    start = jnp.zeros_like(b), b, b, b @ b, 0
    return lax.while_loop(lambda state: (state[4] < steps) & (state[3] >= 1e-300), step, start)[0]
