import numpy as np
from numba import njit


@njit(cache=True)
def normalised(image, low, high, out):
    h, w, _ = image.shape
    share = np.array([0.299, 0.587, 0.114])
    for i in range(h):
        y = -1.0 + 2.0 * i / (h - 1)
        for j in range(w):
            x = -1.0 + 2.0 * j / (w - 1)
            grey = 0.0
            for c in range(3):
                value = (image[i, j, c] / 255.0 - low[c]) / (high[c] - low[c])
                grey += share[c] * min(max(value, 0.0), 1.0)
            out[i, j] = grey * (1.0 - 0.4 * (x * x + y * y))


def run(images):
    out = np.empty(images.shape[:3])
    for image, result in zip(images, out, strict=True):
        # NumPy's percentiles of several columns are faster than Numba's.
        low, high = np.percentile(image.astype(np.float32), [2, 98], axis=(0, 1)) / 255.0
        normalised(image, low, high, result)
    return out
