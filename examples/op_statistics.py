"""Which operations run where: the statistics of thirty steps of logistic regression.

`record_op_stat` counts from then on, `show_op_stat` prints. What stands under NUMPY although a device was wanted is
what to look at first; `minpy run --profile` says the reason and the time of each.

    minpy run --policy prefer_mxnet examples/op_statistics.py
"""

import argparse

import minpy.numpy as np
from minpy.core import grad
from minpy.numpy import random

CLASSES = 250


def sigmoid(x):
    return 0.5 * (np.tanh(x / 2) + 1)


def predict(weights, inputs):
    return sigmoid(np.dot(inputs, weights))


def loss(weights, inputs, targets):
    preds = predict(weights, inputs)
    return -np.sum(np.log(preds * targets + (1 - preds) * (1 - targets)))


def accuracy(weights, inputs, targets):
    wrong = np.count_nonzero(np.argmax(predict(weights, inputs), axis=1) - np.argmax(targets, axis=1))
    return float((len(inputs) - wrong) * 100 / len(inputs))


def main(arguments=None):
    parser = argparse.ArgumentParser(description="statistics of operations")
    parser.add_argument("--short", action="store_true", help="ten steps")
    options = parser.parse_args(arguments)
    random.seed(0)
    np.record_op_stat()
    inputs = random.rand(256, 500) - 0.5
    truth = random.randint(0, CLASSES, 256)
    targets = np.zeros((256, CLASSES))
    targets[np.arange(256), truth] = 1
    weights = random.rand(500, CLASSES) - 0.5

    gradient = grad(loss)
    for i in range(10 if options.short else 30):
        if i % 10 == 0:
            print(f"step {i}: accuracy {accuracy(weights, inputs, targets):.2f} %")
        weights -= gradient(weights, inputs, targets) * 0.1
    print(f"at the end: accuracy {accuracy(weights, inputs, targets):.2f} %")
    np.policy.show_op_stat()


if __name__ == "__main__":
    main()
