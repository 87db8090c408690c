import jax.numpy as jnp
from jax import jit


@jit
def run(image):
    counts = jnp.bincount(image.ravel(), length=256)
    total = image.size
    sums = jnp.cumsum(jnp.arange(256) * counts).astype(jnp.float64)
    weight = jnp.cumsum(counts)
    some = (weight > 0) & (weight < total)
    low = sums / jnp.maximum(weight, 1)
    high = (sums[-1] - sums) / jnp.maximum(total - weight, 1)
    between = jnp.where(some, weight * (total - weight) * (low - high) ** 2, 0.0)
    threshold = jnp.argmax(between)
    return threshold, image > threshold
