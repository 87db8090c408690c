import jax.numpy as jnp
from jax import jit, lax


@jit
def run(lower, diagonal, upper, rhs):
    levels = [jnp.moveaxis(x, 2, 0) for x in (lower, diagonal, upper, rhs)]
    zero = jnp.zeros(rhs.shape[:2])

    def down(state, level):
        c, d = state
        low, mid, up, right = level
        pivot = 1.0 / (mid - low * c)
        state = up * pivot, (right - low * d) * pivot
        return state, state

    _, (c, d) = lax.scan(down, (zero, zero), tuple(levels))

    def up(x, level):
        x = level[1] - level[0] * x
        return x, x

    return jnp.moveaxis(lax.scan(up, zero, (c.at[-1].set(0.0), d), reverse=True)[1], 0, 2)
