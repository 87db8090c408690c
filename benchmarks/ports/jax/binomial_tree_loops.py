from functools import partial

import jax.numpy as jnp
from jax import jit, lax


@partial(jit, static_argnames="steps")
def run(steps):
    price, strike, rate, volatility, years = 100.0, 110.0, 0.05, 0.3, 1.0
    dt = years / steps
    up = jnp.exp(volatility * jnp.sqrt(dt))
    p = (jnp.exp(rate * dt) - 1 / up) / (up - 1 / up)
    discount = jnp.exp(-rate * dt)
    i = jnp.arange(steps + 1)
    value = jnp.maximum(strike - price * up ** (2 * i - steps), 0.0)
    leaves = price * up ** (2.0 * i)

    def step(k, value):
        # The arrays keep their length; what is beyond a level's end is not looked at again.
        hold = discount * (p * jnp.roll(value, -1) + (1 - p) * value)
        return jnp.maximum(hold, strike - leaves * up ** -(steps - 1.0 - k))

    return lax.fori_loop(0, steps, step, value)[0]
