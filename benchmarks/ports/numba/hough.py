import numpy as np
from numba import njit


@njit(cache=True)
def run(image):
    height, width = image.shape
    angles = np.deg2rad(np.arange(-90.0, 90.0))
    diagonal = int(np.ceil(np.hypot(height, width)))
    votes = np.zeros((2 * diagonal + 1, len(angles)), dtype=np.int64)
    cosines, sines = np.cos(angles), np.sin(angles)
    for y in range(height):
        for x in range(width):
            if image[y, x]:
                for a in range(len(angles)):
                    votes[int(np.rint(x * cosines[a] + y * sines[a])) + diagonal, a] += 1
    place = np.argmax(votes)
    return votes, (place // len(angles), place % len(angles))
