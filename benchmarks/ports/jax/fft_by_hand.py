import jax.numpy as jnp
from jax import jit


@jit
def run(x):
    n = len(x)
    order = jnp.zeros(n, dtype=jnp.int64)
    for i in range(n.bit_length() - 1):
        order = (order << 1) | ((jnp.arange(n) >> i) & 1)
    x = x[order]
    length = 2
    while length <= n:
        half = length // 2
        factors = jnp.exp(-2j * jnp.pi * jnp.arange(half) / length)
        halves = x.reshape(n // length, 2, half)
        even, odd = halves[:, 0], halves[:, 1] * factors
        x = jnp.stack([even + odd, even - odd], axis=1).reshape(n)
        length *= 2
    return x
