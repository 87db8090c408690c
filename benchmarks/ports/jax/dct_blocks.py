import jax.numpy as jnp
from jax import jit

# A coefficient in the middle between two integers may become either.
FEW = 0.01


@jit
def run(image):
    k = jnp.arange(8)
    basis = jnp.sqrt(2 / 8) * jnp.cos(jnp.pi * (2 * k[None, :] + 1) * k[:, None] / 16)
    basis = basis.at[0].divide(jnp.sqrt(2))
    quantiser = 10.0 + 4.0 * (k[:, None] + k[None, :])
    h, w = image.shape
    blocks = image.reshape(h // 8, 8, w // 8, 8).transpose(0, 2, 1, 3)
    coefficients = jnp.round(basis @ blocks @ basis.T / quantiser)
    blocks = basis.T @ (coefficients * quantiser) @ basis
    return blocks.transpose(0, 2, 1, 3).reshape(h, w)
