import jax.numpy as jnp
from jax import jit, lax


@jit
def run(spins, places, chances, beta):
    n = len(spins)

    def flip(k, state):
        spins, flips = state
        i, j = places[k, 0], places[k, 1]
        around = spins[(i + 1) % n, j] + spins[i - 1, j] + spins[i, (j + 1) % n] + spins[i, j - 1]
        cost = 2 * spins[i, j] * around
        yes = (cost <= 0) | (chances[k] < jnp.exp(-beta * cost))
        return spins.at[i, j].multiply(jnp.where(yes, -1, 1)), flips + yes

    return lax.fori_loop(0, len(chances), flip, (spins, 0))
