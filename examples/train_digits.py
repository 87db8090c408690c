"""A two-layer network that reads handwritten digits: plain NumPy, backpropagation by hand, updates in place.

`python examples/train_digits.py` and `minpy run examples/train_digits.py` print the same, byte for byte.
"""

import numpy as np
from sklearn.datasets import load_digits


def load(test_share=0.2, seed=0):
    """The 8x8 digits of scikit-learn, shuffled, scaled to 0..1 and split into training and test images."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(images))
    images, labels = images[order] / 16.0, labels[order]
    cut = int(len(images) * (1 - test_share))
    return images[:cut], labels[:cut], images[cut:], labels[cut:]


def one_hot(labels, classes=10):
    targets = np.zeros((len(labels), classes))
    targets[np.arange(len(labels)), labels] = 1.0
    return targets


class Network:
    def __init__(self, inputs, hidden, classes, seed=1):
        rng = np.random.default_rng(seed)
        self.w1 = rng.normal(0.0, np.sqrt(2.0 / inputs), (inputs, hidden))
        self.b1 = np.zeros(hidden)
        self.w2 = rng.normal(0.0, np.sqrt(1.0 / hidden), (hidden, classes))
        self.b2 = np.zeros(classes)
        self.velocity = [np.zeros_like(p) for p in self.parameters()]

    def parameters(self):
        return [self.w1, self.b1, self.w2, self.b2]

    def forward(self, x):
        hidden = np.maximum(np.dot(x, self.w1) + self.b1, 0.0)
        scores = np.dot(hidden, self.w2) + self.b2
        scores = scores - np.max(scores, axis=1, keepdims=True)
        exponentials = np.exp(scores)
        return hidden, exponentials / np.sum(exponentials, axis=1, keepdims=True)

    def gradients(self, x, targets):
        hidden, probabilities = self.forward(x)
        loss = -np.sum(targets * np.log(probabilities + 1e-12)) / len(x)
        d_scores = (probabilities - targets) / len(x)
        d_hidden = np.dot(d_scores, self.w2.T)
        d_hidden[hidden <= 0.0] = 0.0
        return loss, [
            np.dot(x.T, d_hidden),
            np.sum(d_hidden, axis=0),
            np.dot(hidden.T, d_scores),
            np.sum(d_scores, axis=0),
        ]

    def update(self, gradients, rate, momentum=0.9):
        for parameter, velocity, gradient in zip(self.parameters(), self.velocity, gradients):
            velocity *= momentum
            velocity -= rate * gradient
            parameter += velocity

    def accuracy(self, x, labels):
        return np.mean(np.argmax(self.forward(x)[1], axis=1) == labels)


def train(epochs=20, batch=32, rate=0.05, hidden=64):
    x, labels, x_test, labels_test = load()
    targets = one_hot(labels)
    network = Network(x.shape[1], hidden, 10)
    rng = np.random.default_rng(2)
    size = sum(parameter.size for parameter in network.parameters())
    print(f"{len(x)} training images, {len(x_test)} test images, {size} parameters")
    for epoch in range(1, epochs + 1):
        order = rng.permutation(len(x))
        total, steps = 0.0, 0
        for start in range(0, len(x), batch):
            rows = order[start : start + batch]
            loss, gradients = network.gradients(x[rows], targets[rows])
            network.update(gradients, rate)
            total, steps = total + loss, steps + 1
        if epoch % 4 == 0 or epoch == 1:
            accuracy = network.accuracy(x_test, labels_test)
            print(f"epoch {epoch:2d}  loss {total / steps:.6f}  test accuracy {accuracy:.4f}")
    return network.accuracy(x_test, labels_test)


if __name__ == "__main__":
    print(f"test accuracy: {train():.2%}")
