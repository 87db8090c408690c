import jax.numpy as jnp
import numpy as np
from jax import jit, vmap


@jit
@vmap
def normalised(image, low, high):
    x = jnp.clip((image / 255.0 - low) / (high - low), 0.0, 1.0)
    grey = x @ jnp.array([0.299, 0.587, 0.114])
    yy, xx = (jnp.linspace(-1.0, 1.0, n) for n in grey.shape)
    return grey * (1.0 - 0.4 * (xx**2 + yy[:, None] ** 2))


def run(images):
    # XLA sorts slowly: NumPy's percentiles are faster.
    low, high = np.percentile(images.astype(np.float32), [2, 98], axis=(1, 2)) / 255.0
    return normalised(images, low, high)
