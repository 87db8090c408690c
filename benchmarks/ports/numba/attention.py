import numpy as np
from numba import njit


@njit(cache=True)
def run(x, weights, heads):
    length, width = x.shape
    d = width // heads
    scale = 1.0 / np.sqrt(d)
    for layer in range(weights.shape[0]):
        q = x @ weights[layer, 0]
        k = x @ weights[layer, 1]
        v = x @ weights[layer, 2]
        mixed = np.empty((length, width))
        for h in range(heads):
            part = slice(h * d, (h + 1) * d)
            qh = np.ascontiguousarray(q[:, part])
            kh = np.ascontiguousarray(k[:, part])
            scores = qh @ kh.T
            for i in range(length):
                highest = scores[i, 0] * scale
                for j in range(1, i + 1):
                    highest = max(highest, scores[i, j] * scale)
                total = 0.0
                for j in range(i + 1):
                    e = np.exp(scores[i, j] * scale - highest)
                    scores[i, j] = e
                    total += e
                for j in range(i + 1):
                    scores[i, j] /= total
                scores[i, i + 1 :] = 0.0
            mixed[:, part] = scores @ np.ascontiguousarray(v[:, part])
        y = x + mixed @ weights[layer, 3]
        for i in range(length):
            mean = y[i].mean()
            variance = 0.0
            for j in range(width):
                variance += (y[i, j] - mean) ** 2
            factor = 1.0 / np.sqrt(variance / width + 1e-5)
            for j in range(width):
                y[i, j] = (y[i, j] - mean) * factor
        x = y
    return x
