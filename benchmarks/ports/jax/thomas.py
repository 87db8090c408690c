import jax.numpy as jnp
from jax import jit, lax


@jit
def run(a, b, c, d):
    def down(state, row):
        cc, dd = state
        a, b, c, d = row
        m = b - a * cc
        state = c / m, (d - a * dd) / m
        return state, state

    _, (cc, dd) = lax.scan(down, (0.0, 0.0), (a.at[0].set(0.0), b, c, d), unroll=8)

    def up(x, row):
        c, d = row
        x = d - c * x
        return x, x

    return lax.scan(up, jnp.float64(0.0), (cc.at[-1].set(0.0), dd), reverse=True, unroll=8)[1]
