"""Logistic regression whose course TensorBoard shows: loss, accuracy, size and distribution of the weights.

    pip install 'minpy[viz]'
    minpy run examples/logistic_tensorboard.py
    tensorboard --logdir summaries/logistic

Each kind of summary is one function of `summaryOps`; a writer puts them into a folder, which TensorBoard shows as one
run.
"""

import argparse
import os

import numpy as np

from minpy.core import grad_and_loss
from minpy.utils.data_utils import gaussian_cluster_generator as make_data
from minpy.visualization import summaryOps
from minpy.visualization.writer import LegacySummaryWriter as SummaryWriter


def predict(w, x):
    a = np.dot(x, w)
    a = np.exp(a - np.max(a, axis=1, keepdims=True))
    return a / np.sum(a, axis=1, keepdims=True)


def loss_of(w, x, label):
    return -np.sum(label * np.log(predict(w, x) + 1e-12)) / len(x)


def accuracy(w, x, label):
    return np.mean(np.argmax(predict(w, x), axis=1) == np.argmax(label, axis=1))


def train(w, data, test, loops, folder):
    gradient = grad_and_loss(loss_of)
    train_writer = SummaryWriter(os.path.join(folder, "train"))
    test_writer = SummaryWriter(os.path.join(folder, "test"))
    for i in range(loops):
        dw, loss = gradient(w, *data)
        train_writer.add_summary(summaryOps.scalarSummary("loss", loss), i)
        if i % 10 == 0:
            print(f"Iter {i}, training loss {loss:.6f}")
            train_writer.add_summary(summaryOps.scalarSummary("accuracy", accuracy(w, *data)), i)
            test_writer.add_summary(summaryOps.scalarSummary("loss", loss_of(w, *test)), i)
            test_writer.add_summary(summaryOps.scalarSummary("accuracy", accuracy(w, *test)), i)
            train_writer.add_summary(summaryOps.histogramSummary("weights", w), i)
            train_writer.add_summary(
                summaryOps.scalarSummary("norm of the gradient", np.sqrt(np.sum(dw**2))), i
            )
        w -= 0.1 * dw
    train_writer.close()
    test_writer.close()
    return accuracy(w, *test)


def main():
    parser = argparse.ArgumentParser(description="logistic regression with TensorBoard")
    parser.add_argument("--log", metavar="FOLDER", default=os.path.join("summaries", "logistic"))
    parser.add_argument("--short", action="store_true", help="fewer samples, 30 iterations")
    options = parser.parse_args()
    np.random.seed(0)
    samples, features, classes, loops = (2000, 50, 5, 30) if options.short else (10000, 500, 5, 100)
    x, label = make_data(samples, features, classes)
    order, cut = np.random.permutation(samples), samples * 4 // 5
    x, label = x[order], label[order]
    weight = np.random.randn(features, classes)
    data, test = (x[:cut], label[:cut]), (x[cut:], label[cut:])
    print(f"test accuracy: {train(weight, data, test, loops, options.log):.2%}")
    print(f"tensorboard --logdir {options.log}")


if __name__ == "__main__":
    main()
