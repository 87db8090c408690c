from functools import partial

import jax.numpy as jnp
from jax import jit, lax

# Products and sums in one, as XLA has them, move points beside the border.
FEW = 0.01


@partial(jit, static_argnames="n")
def run(n, steps):
    cr, ci = jnp.linspace(-2.25, 0.75, n), jnp.linspace(-1.25, 1.25, n)[:, None]

    def step(i, state):
        zr, zi, left = state
        inside = zr * zr + zi * zi < 4.0
        nr, ni = zr * zr - zi * zi + cr, 2.0 * zr * zi + ci
        return jnp.where(inside, nr, zr), jnp.where(inside, ni, zi), jnp.where(inside, i, left)

    zero = jnp.zeros((n, n))
    zr, zi, left = lax.fori_loop(0, steps, step, (zero, zero, jnp.zeros((n, n), dtype=jnp.int64)))
    return lax.complex(zr, zi), jnp.where(left == steps - 1, 0, left)
