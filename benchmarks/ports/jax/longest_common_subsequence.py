import jax.numpy as jnp
import numpy as np
from jax import jit, lax


@jit
def common(a, b):
    def row(above, letter):
        best = jnp.maximum(above[1:], above[:-1] + (b == letter))
        line = jnp.concatenate([jnp.zeros(1, dtype=above.dtype), lax.cummax(best)])
        return line, line

    first = jnp.zeros(len(b) + 1, dtype=jnp.int64)
    table = jnp.concatenate([first[None], lax.scan(row, first, a)[1]])

    def back(state):
        i, j, found, place = state
        same = a[i - 1] == b[j - 1]
        up = table[i - 1, j] >= table[i, j - 1]
        found = found.at[place - same].set(jnp.where(same, a[i - 1], found[place]))
        return i - (same | up), j - (same | ~up), found, place - same

    # The last place is never a letter's: what is written there on the way is of no account.
    start = len(a), len(b), jnp.zeros(len(a) + 1, dtype=a.dtype), len(a)
    *_, found, place = lax.while_loop(lambda state: (state[0] > 0) & (state[1] > 0), back, start)
    return found, place


def run(a, b):
    found, place = common(a, b)
    return np.asarray(found)[int(place) : len(a)]
