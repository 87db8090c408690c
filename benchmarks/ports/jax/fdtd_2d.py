import jax.numpy as jnp
from jax import jit, lax


@jit
def run(ex, ey, hz, steps):
    n = hz.shape[0]

    def step(t, state):
        ex, ey, hz = state
        ey = ey.at[1:, :].add(-0.5 * (hz[1:, :] - hz[:-1, :]))
        ex = ex.at[:, 1:].add(-0.5 * (hz[:, 1:] - hz[:, :-1]))
        hz = hz.at[:-1, :-1].add(-0.7 * (ex[:-1, 1:] - ex[:-1, :-1] + ey[1:, :-1] - ey[:-1, :-1]))
        return ex, ey, hz.at[n // 2, n // 2].add(jnp.sin(0.3 * t))

    return lax.fori_loop(0, steps, step, (ex, ey, hz))
