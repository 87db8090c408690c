"""Floyd and Steinberg's dithering: the error of each pixel goes to the next ones."""

import numpy as np


def setup(size):
    n = {"tiny": 7, "small": 70, "large": 450}[size]
    y, x = np.indices((n, n))
    return (255.0 * (0.5 + 0.5 * np.sin(x / 9.0) * np.cos(y / 7.0)),)


def run(image):
    height, width = image.shape
    for y in range(height):
        for x in range(width):
            old = image[y, x]
            new = 255.0 if old > 127.5 else 0.0
            image[y, x] = new
            error = old - new
            if x + 1 < width:
                image[y, x + 1] += error * 7 / 16
            if y + 1 < height:
                if x > 0:
                    image[y + 1, x - 1] += error * 3 / 16
                image[y + 1, x] += error * 5 / 16
                if x + 1 < width:
                    image[y + 1, x + 1] += error * 1 / 16
    return image.astype(np.uint8)
