import jax.numpy as jnp
from jax import jit, lax


@jit
def run(field, out, coefficient, times):
    ni, nj, _ = out.shape

    def step(_, state):
        field, _ = state
        lap = 4.0 * field[1 : ni + 3, 1 : nj + 3, :] - (
            field[2 : ni + 4, 1 : nj + 3, :]
            + field[: ni + 2, 1 : nj + 3, :]
            + field[1 : ni + 3, 2 : nj + 4, :]
            + field[1 : ni + 3, : nj + 2, :]
        )
        difference = lap[1:, 1 : nj + 1, :] - lap[:-1, 1 : nj + 1, :]
        slope = field[2 : ni + 3, 2 : nj + 2, :] - field[1 : ni + 2, 2 : nj + 2, :]
        flx = jnp.where(difference * slope > 0, 0, difference)
        difference = lap[1 : ni + 1, 1:, :] - lap[1 : ni + 1, :-1, :]
        slope = field[2 : ni + 2, 2 : nj + 3, :] - field[2 : ni + 2, 1 : nj + 2, :]
        fly = jnp.where(difference * slope > 0, 0, difference)
        out = field[2 : ni + 2, 2 : nj + 2, :] - coefficient * (
            flx[1:, :, :] - flx[:-1, :, :] + fly[:, 1:, :] - fly[:, :-1, :]
        )
        return field.at[2 : ni + 2, 2 : nj + 2, :].set(out), out

    return lax.fori_loop(0, times, step, (field, out))[1]
