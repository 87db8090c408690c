"""The same digits without backpropagation by hand: plain NumPy, and `grad`.

`python examples/grad_digits.py` and `minpy run examples/grad_digits.py` print the same.
"""

import numpy as np
from sklearn.datasets import load_digits

from minpy import grad


def load(test_share=0.2, seed=0):
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(images))
    images, labels = images[order] / 16.0, labels[order]
    cut = int(len(images) * (1 - test_share))
    return images[:cut], labels[:cut], images[cut:], labels[cut:]


def scores(weights, x):
    for w, b in weights[:-1]:
        x = np.tanh(np.dot(x, w) + b)
    w, b = weights[-1]
    return np.dot(x, w) + b


def loss(weights, x, labels):
    s = scores(weights, x)
    s = s - np.max(s, axis=1, keepdims=True)
    chosen = s[np.arange(len(labels)), labels]
    return np.mean(np.log(np.sum(np.exp(s), axis=1)) - chosen)


def train(sizes=(64, 48, 10), epochs=15, batch=32, rate=0.3):
    x, labels, x_test, labels_test = load()
    rng = np.random.default_rng(1)
    weights = [[rng.normal(0.0, 1.0 / np.sqrt(m), (m, n)), np.zeros(n)] for m, n in zip(sizes, sizes[1:])]
    gradient = grad(loss)
    for epoch in range(1, epochs + 1):
        order = rng.permutation(len(x))
        for start in range(0, len(x), batch):
            rows = order[start : start + batch]
            for layer, d_layer in zip(weights, gradient(weights, x[rows], labels[rows])):
                for parameter, d in zip(layer, d_layer):
                    parameter -= rate * d
        if epoch % 3 == 0 or epoch == 1:
            accuracy = np.mean(np.argmax(scores(weights, x_test), axis=1) == labels_test)
            print(f"epoch {epoch:2d}  loss {loss(weights, x, labels):.6f}  test accuracy {accuracy:.4f}")
    return accuracy


if __name__ == "__main__":
    print(f"test accuracy: {train():.2%}")
