import jax.numpy as jnp
import numpy as np
from jax import jit, lax

CX = np.array([0, 0, 1, 1, 1, 0, -1, -1, -1])
CY = np.array([0, 1, 1, 0, -1, -1, -1, 0, 1])
WEIGHTS = np.array([4 / 9, 1 / 9, 1 / 36, 1 / 9, 1 / 36, 1 / 9, 1 / 36, 1 / 9, 1 / 36])
OPPOSITE = np.array([0, 5, 6, 7, 8, 1, 2, 3, 4])


@jit
def run(f, cylinder, steps):
    def step(_, state):
        # The directions come first here: each is a plane of memory.
        f = state[0]
        f = jnp.stack([jnp.roll(f[i], (CY[i], CX[i]), axis=(0, 1)) for i in range(9)])
        rho = jnp.sum(f, axis=0)
        ux = jnp.tensordot(CX, f, 1) / rho
        uy = jnp.tensordot(CY, f, 1) / rho
        cu = CX[:, None, None] * ux + CY[:, None, None] * uy
        weighted = rho * WEIGHTS[:, None, None]
        equilibrium = weighted * (1 + 3 * cu + 9 * cu**2 / 2 - 3 * (ux**2 + uy**2) / 2)
        return jnp.where(cylinder, f[OPPOSITE], f - (1.0 / 0.6) * (f - equilibrium)), rho, ux, uy

    zero = jnp.zeros(cylinder.shape)
    return lax.fori_loop(0, steps, step, (jnp.moveaxis(f, 2, 0), zero, zero, zero))[1:]
