from jax import jit


@jit
def run(a, b):
    return a @ b
