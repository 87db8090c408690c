from jax import jit, lax


def step(a, b):
    return b.at[1:-1].set(0.33333 * (a[:-2] + a[1:-1] + a[2:]))


@jit
def run(a, b, steps):
    def both(_, state):
        a, b = state
        b = step(a, b)
        return step(b, a), b

    return lax.fori_loop(0, steps, both, (a, b))
