from functools import partial

import jax.numpy as jnp
from jax import jit, lax


def distance(p):
    x, y, z = p
    ball = jnp.sqrt(x * x + y * y + (z - 4.0) ** 2) - 1.0
    ripple = 0.05 * jnp.sin(8.0 * x) * jnp.sin(8.0 * y)
    return jnp.minimum(ball + ripple, y + 1.2)


@partial(jit, static_argnames="n")
def run(n, steps):
    y, x = jnp.meshgrid(jnp.linspace(1, -1, n), jnp.linspace(-1, 1, n), indexing="ij")
    direction = jnp.stack([x, y, jnp.full_like(x, 1.5)])
    direction = direction / jnp.linalg.norm(direction, axis=0)

    def march(_, along):
        return jnp.minimum(along + 0.8 * distance(along * direction), 20.0)

    along = lax.fori_loop(0, steps, march, jnp.zeros((n, n)))
    p = along * direction
    near = distance(p)
    normal = [(distance(p + 1e-4 * axis[:, None, None]) - near) / 1e-4 for axis in jnp.eye(3)]
    light = (0.5 * normal[0] + 0.8 * normal[1] - 0.3 * normal[2]) / jnp.sqrt(0.98)
    return jnp.where(along < 20.0, jnp.clip(light, 0.1, 1.0), 0.0)
