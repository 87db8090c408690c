from jax import jit, lax


@jit
def run(u, alpha, steps):
    def step(_, u):
        return u.at[1:-1].add(alpha * (u[:-2] - 2.0 * u[1:-1] + u[2:]))

    return lax.fori_loop(0, steps, step, u)
