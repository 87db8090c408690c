import jax.numpy as jnp
from jax import jit


@jit
def run(data):
    deviation = data.std(axis=0)
    data = (data - data.mean(axis=0)) / (jnp.sqrt(len(data)) * jnp.where(deviation <= 0.1, 1.0, deviation))
    corr = data.T @ data
    return jnp.where(jnp.eye(len(corr), dtype=bool), 1.0, corr)
