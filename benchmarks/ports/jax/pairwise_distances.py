import jax.numpy as jnp
from jax import jit


@jit
def run(x):
    return jnp.sqrt(jnp.sum((x[:, None, :] - x[None, :, :]) ** 2, axis=2))
