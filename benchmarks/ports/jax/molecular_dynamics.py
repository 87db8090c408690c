from functools import partial

import jax.numpy as jnp
from jax import jit, lax


def forces(x, box):
    d = x[:, None, :] - x[None, :, :]
    d = d - box * jnp.round(d / box)
    r2 = jnp.sum(d * d, axis=-1) + jnp.eye(len(x))
    inverse6 = 1.0 / r2**3
    others = 1.0 - jnp.eye(len(x))
    strength = others * 24.0 * (2.0 * inverse6**2 - inverse6) / r2
    energy = jnp.sum(others * (inverse6**2 - inverse6))
    return jnp.sum(strength[:, :, None] * d, axis=1), energy


@partial(jit, static_argnames="steps")
def run(x, v, box, steps):
    dt = 0.002

    def step(state, _):
        x, v, f = state
        v = v + 0.5 * dt * f
        x = (x + dt * v) % box
        f, energy = forces(x, box)
        v = v + 0.5 * dt * f
        return (x, v, f), energy + 0.5 * jnp.sum(v * v)

    (x, _, _), energies = lax.scan(step, (x, v, forces(x, box)[0]), length=steps)
    return x, energies
