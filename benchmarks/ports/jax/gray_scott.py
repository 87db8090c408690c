import jax.numpy as jnp
from jax import jit, lax


def laplacian(z):
    return jnp.roll(z, 1, 0) + jnp.roll(z, -1, 0) + jnp.roll(z, 1, 1) + jnp.roll(z, -1, 1) - 4 * z


@jit
def run(u, v, steps):
    feed, kill = 0.035, 0.065

    def step(_, state):
        u, v = state
        uvv = u * v * v
        return (
            u + 0.16 * laplacian(u) - uvv + feed * (1 - u),
            v + 0.08 * laplacian(v) + uvv - (feed + kill) * v,
        )

    return lax.fori_loop(0, steps, step, (u, v))
