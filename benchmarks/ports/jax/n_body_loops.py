import jax.numpy as jnp
from jax import jit, lax


@jit
def run(mass, position, velocity, steps):
    dt = 0.001

    def step(_, state):
        position, velocity = state
        d = position[:, None, :] - position[None, :, :]
        squared = jnp.sum(d * d, axis=2) + 0.01
        force = dt / (squared * jnp.sqrt(squared)) * mass
        velocity = velocity - jnp.sum(d * force[:, :, None], axis=1)
        return position + dt * velocity, velocity

    return lax.fori_loop(0, steps, step, (position, velocity))
