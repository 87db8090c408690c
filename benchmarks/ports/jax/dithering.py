import jax.numpy as jnp
from jax import jit, lax


@jit
def run(image):
    def row(extra, line):
        def pixel(right, old):
            old = old + right * 7 / 16
            new = jnp.where(old > 127.5, 255.0, 0.0)
            return old - new, (new, old - new)

        _, (new, error) = lax.scan(pixel, 0.0, line + extra)
        below = error * 5 / 16
        below = below.at[:-1].add(error[1:] * 3 / 16)
        below = below.at[1:].add(error[:-1] * 1 / 16)
        return below, new

    return lax.scan(row, jnp.zeros(image.shape[1]), image)[1].astype(jnp.uint8)
