from functools import partial

import jax.numpy as jnp
from jax import jit


@partial(jit, static_argnames="times")
def run(a, b, times):
    for _ in range(times):
        result = jnp.clip(a, 2, 10) * 4 + b * 3 + 9
        b = result % 1000
    return result
