from functools import partial

import jax.numpy as jnp
from jax import jit, lax


def acceleration(position, mass):
    d = position[None, :, :] - position[:, None, :]
    squared = jnp.sum(d**2, axis=2) + 0.1**2
    return jnp.sum(d * (mass[:, 0] / (squared * jnp.sqrt(squared)))[:, :, None], axis=1)


def energy(position, velocity, mass):
    kinetic = 0.5 * jnp.sum(mass * velocity**2)
    d = position[:, None, :] - position[None, :, :]
    same = jnp.eye(len(mass))
    pairs = (1 - same) * mass * mass.T / jnp.sqrt(jnp.sum(d**2, axis=2) + same)
    return kinetic, -0.5 * jnp.sum(pairs)


@partial(jit, static_argnames="steps")
def run(mass, position, velocity, steps):
    dt = 0.01

    def step(state, _):
        position, velocity, a = state
        velocity = velocity + a * dt / 2.0
        position = position + velocity * dt
        a = acceleration(position, mass)
        velocity = velocity + a * dt / 2.0
        return (position, velocity, a), energy(position, velocity, mass)

    start = position, velocity, acceleration(position, mass)
    (position, _, _), (kinetic, potential) = lax.scan(step, start, length=steps)
    return position, kinetic, potential
