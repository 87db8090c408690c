import torch
from torch import from_numpy


def column(a, q, r, k):
    r[k, k] = torch.linalg.vector_norm(a[:, k])
    q[:, k] = a[:, k] / r[k, k]
    r[k, k + 1 :] = q[:, k] @ a[:, k + 1 :]
    a[:, k + 1 :] -= torch.outer(q[:, k], r[k, k + 1 :])


def run(a):
    # Loops over elements become array work.
    a = from_numpy(a)
    n = a.shape[1]
    q, r = torch.zeros_like(a), torch.zeros((n, n), dtype=a.dtype)
    for k in range(n):
        column(a, q, r, k)
    return q, r
