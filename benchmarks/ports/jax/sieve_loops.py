from functools import partial

import jax.numpy as jnp
from jax import jit, lax


@partial(jit, static_argnames="n")
def run(n):
    no = jnp.zeros(1, dtype=bool)

    def multiples(i, prime):
        def strike(state):
            j, prime = state
            return j + i, lax.dynamic_update_slice(prime, no, (j,))

        start = jnp.where(prime[i], i * i, n + 1)
        return lax.while_loop(lambda state: state[0] <= n, strike, (start, prime))[1]

    # Beyond the root nothing is left to strike.
    prime = lax.fori_loop(2, int(n**0.5) + 1, multiples, jnp.ones(n + 1, dtype=bool))
    return prime[2:].sum(), prime
