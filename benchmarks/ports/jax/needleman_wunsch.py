import jax.numpy as jnp
from jax import jit, lax


@jit
def run(a, b, scores, gap):
    gaps = gap * jnp.arange(len(b) + 1)

    def row(above, letter):
        match = above[:-1] + scores[letter, b]
        delete = above[1:] + gap
        first = above[0] + gap
        # What comes from the left: one more gap for each step.
        line = lax.cummax(jnp.concatenate([first[None], jnp.maximum(match, delete)]) - gaps) + gaps
        pointer = jnp.where(line[1:] == match, 0, jnp.where(line[1:] == delete, 1, 2)).astype(jnp.int8)
        return line, pointer

    line, pointers = lax.scan(row, gaps, a)
    return line[-1], jnp.pad(pointers, ((1, 0), (1, 0)))
