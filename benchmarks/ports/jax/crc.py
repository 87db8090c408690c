import jax.numpy as jnp
from jax import jit, lax


@jit
def run(data):
    table = jnp.arange(256)
    for _ in range(8):
        table = jnp.where(table & 1, (table >> 1) ^ 0xEDB88320, table >> 1)

    def step(crc, byte):
        return (crc >> 8) ^ table[(crc ^ byte) & 0xFF], None

    return lax.scan(step, jnp.int64(0xFFFFFFFF), data.astype(jnp.int64))[0] ^ 0xFFFFFFFF
