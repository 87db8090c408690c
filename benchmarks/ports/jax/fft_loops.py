import jax.numpy as jnp
from jax import jit


@jit
def run(re, im):
    n = len(re)
    order = jnp.zeros(n, dtype=jnp.int64)
    for i in range(n.bit_length() - 1):
        order = (order << 1) | ((jnp.arange(n) >> i) & 1)
    re, im = re[order], im[order]
    length = 2
    while length <= n:
        half = length // 2
        angle = 2 * jnp.pi * jnp.arange(half) / length
        c, s = jnp.cos(angle), -jnp.sin(angle)
        (ra, rb), (ia, ib) = (jnp.moveaxis(z.reshape(n // length, 2, half), 1, 0) for z in (re, im))
        tr, ti = rb * c - ib * s, rb * s + ib * c
        re = jnp.stack([ra + tr, ra - tr], axis=1).reshape(n)
        im = jnp.stack([ia + ti, ia - ti], axis=1).reshape(n)
        length *= 2
    return re, im
