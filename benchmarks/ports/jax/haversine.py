import jax.numpy as jnp
from jax import jit


@jit
def run(lat1, lon1, lat2, lon2):
    a1, o1, a2, o2 = map(jnp.radians, (lat1, lon1, lat2, lon2))
    a = jnp.sin((a2 - a1) / 2) ** 2 + jnp.cos(a1) * jnp.cos(a2) * jnp.sin((o2 - o1) / 2) ** 2
    return 2 * 6371.0 * jnp.arctan2(jnp.sqrt(a), jnp.sqrt(1 - a))
