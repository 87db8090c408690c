import jax.numpy as jnp
from jax import jit, lax


@jit
def run(measured):
    f = jnp.eye(4).at[0, 2].set(1.0).at[1, 3].set(1.0)
    h, q, r = jnp.eye(2, 4), 0.01 * jnp.eye(4), jnp.eye(2)

    def step(state, z):
        x, p = state
        x = f @ x
        p = f @ p @ f.T + q
        s = h @ p @ h.T + r
        # Of two by two: a solver of LAPACK's would be called at each step.
        inverse = jnp.array([[s[1, 1], -s[0, 1]], [-s[1, 0], s[0, 0]]]) / (
            s[0, 0] * s[1, 1] - s[0, 1] * s[1, 0]
        )
        gain = p @ h.T @ inverse
        x = x + gain @ (z - h @ x)
        return (x, (jnp.eye(4) - gain @ h) @ p), x

    return lax.scan(step, (jnp.zeros(4), 10.0 * jnp.eye(4)), measured)[1]
