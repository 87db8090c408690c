from functools import partial

import jax.numpy as jnp
from jax import jit, lax

# Rounding grows with time until only the attractor is the same.
TOLERANCE = 2.0


def slope(s):
    x, y, z = s
    return jnp.array([10.0 * (y - x), x * (28.0 - z) - y, x * y - 8.0 / 3.0 * z])


@partial(jit, static_argnames="steps")
def run(state, steps):
    dt = 0.005

    def step(state, _):
        k1 = slope(state)
        k2 = slope(state + 0.5 * dt * k1)
        k3 = slope(state + 0.5 * dt * k2)
        k4 = slope(state + dt * k3)
        state = state + dt / 6.0 * (k1 + 2 * k2 + 2 * k3 + k4)
        return state, state

    path = lax.scan(step, state, length=steps)[1]
    return jnp.concatenate([state[None], path])
