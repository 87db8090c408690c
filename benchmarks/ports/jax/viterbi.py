import jax.numpy as jnp
from jax import jit, lax


@jit
def run(log_transition, log_emission, observed):
    states = len(log_transition)

    def forward(score, seen):
        candidates = score[:, None] + log_transition
        score = jnp.max(candidates, axis=0) + log_emission[:, seen]
        return score, jnp.argmax(candidates, axis=0)

    score, back = lax.scan(forward, -jnp.log(states) + log_emission[:, observed[0]], observed[1:])

    def follow(state, pointers):
        before = pointers[state]
        return before, before

    last = jnp.argmax(score)
    path = lax.scan(follow, last, back, reverse=True)[1]
    return jnp.concatenate([path, last[None]]), score.max()
