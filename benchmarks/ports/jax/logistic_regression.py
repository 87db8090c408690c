import jax.numpy as jnp
from jax import jit, lax
from jax.nn import sigmoid


@jit
def run(x, y, steps):
    def step(_, w):
        p = sigmoid(x @ w)
        gradient = x.T @ (y - p) - 0.1 * w
        hessian = (x.T * (p * (1 - p))) @ x + 0.1 * jnp.eye(len(w))
        return w + jnp.linalg.solve(hessian, gradient)

    return lax.fori_loop(0, steps, step, jnp.zeros(x.shape[1]))
