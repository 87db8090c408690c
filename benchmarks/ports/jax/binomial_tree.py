from functools import partial

import jax.numpy as jnp
from jax import jit, lax


@partial(jit, static_argnames="steps")
def run(steps):
    price, strike, rate, volatility, years = 100.0, 110.0, 0.05, 0.3, 1.0
    dt = years / steps
    up = jnp.exp(volatility * jnp.sqrt(dt))
    down = 1 / up
    p = (jnp.exp(rate * dt) - down) / (up - down)
    discount = jnp.exp(-rate * dt)
    leaves = price * up ** jnp.arange(steps, -1, -1) * down ** jnp.arange(0, steps + 1)

    def level(_, state):
        # The arrays keep their length; what is beyond a level's end is not looked at again.
        leaves, value = state
        leaves = leaves * down
        value = discount * (p * value + (1 - p) * jnp.roll(value, -1))
        return leaves, jnp.maximum(value, strike - leaves)

    return lax.fori_loop(0, steps, level, (leaves, jnp.maximum(strike - leaves, 0)))[1][0]
