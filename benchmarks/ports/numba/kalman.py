import numpy as np
from numba import njit


@njit(cache=True)
def run(measured):
    f = np.eye(4)
    f[0, 2] = f[1, 3] = 1.0
    h = np.eye(2, 4)
    q = 0.01 * np.eye(4)
    r = np.eye(2)
    one = np.eye(4)
    x = np.zeros(4)
    p = 10.0 * np.eye(4)
    out = np.zeros((len(measured), 4))
    for t in range(len(measured)):
        x = f @ x
        p = f @ p @ f.T + q
        hp = h @ p
        s = hp @ h.T + r
        gain = np.linalg.solve(s, hp).T.copy()
        x = x + gain @ (measured[t] - h @ x)
        p = (one - gain @ h) @ p
        out[t] = x
    return out
