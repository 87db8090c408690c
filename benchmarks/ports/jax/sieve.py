from functools import partial

import jax.numpy as jnp
import numpy as np
from jax import jit, lax


@partial(jit, static_argnames="n")
def primes(n):
    no = jnp.zeros(1, dtype=bool)

    def multiples(i, prime):
        def strike(state):
            j, prime = state
            return j + i, lax.dynamic_update_slice(prime, no, (j,))

        # For a number that is no prime the loop ends at once.
        start = jnp.where(prime[i], i * i, n + 1)
        return lax.while_loop(lambda state: state[0] <= n, strike, (start, prime))[1]

    prime = jnp.ones(n + 1, dtype=bool).at[:2].set(False)
    return lax.fori_loop(2, int(n**0.5) + 1, multiples, prime)


def run(n):
    # How many there are is known outside only.
    return np.nonzero(primes(n))[0]
