from functools import partial

import jax.numpy as jnp
from jax import jit, lax


@partial(jit, static_argnames="steps")
def run(x, means, steps):
    k = len(means)

    def step(state, _):
        weights, means, variances = state
        d = x[:, None] - means
        density = weights * jnp.exp(-0.5 * d**2 / variances) / jnp.sqrt(2 * jnp.pi * variances)
        total = density.sum(axis=1, keepdims=True)
        r = density / total
        count = r.sum(axis=0)
        means = (r * x[:, None]).sum(axis=0) / count
        variances = (r * (x[:, None] - means) ** 2).sum(axis=0) / count
        return (count / len(x), means, variances), jnp.sum(jnp.log(total))

    start = jnp.full(k, 1.0 / k), means, jnp.full(k, x.var())
    (weights, means, variances), likelihoods = lax.scan(step, start, length=steps)
    return weights, means, variances, likelihoods
