"""A recurrent network that reads digits a few pixels at a time, and says at the end which digit it was.

The pixels of an image, row after row, are a sequence of patches. No patch tells much; the state must gather what was
seen. It helps to begin with the identity for the weights of the state, so that it is kept, and to normalise the pixels
(Le, Jaitly and Hinton, 2015). The loop over the steps is written out, as in the manual of the original.

    minpy run examples/rnn_patches.py                             # digits of 8 by 8: 16 steps of 4 pixels
    minpy run examples/rnn_patches.py --data FOLDER --patch 7     # MNIST: 112 steps of 7 pixels

Expected: a test accuracy of 90 to 94 %, in 9 seconds.
"""

import argparse

import numpy as np

from minpy.nn import layers
from minpy.nn.io import NDArrayIter
from minpy.nn.model import ModelBase
from minpy.nn.solver import Solver
from minpy.utils.data import images

BATCH, HIDDEN = 32, 64


class PatchReader(ModelBase):
    def __init__(self, patch, classes):
        super().__init__()
        self.add_param("Wx", (patch, HIDDEN))
        self.add_param(
            "Wh", (HIDDEN, HIDDEN), init_rule="constant", init_config={"value": np.identity(HIDDEN)}
        )
        self.add_param("b", (HIDDEN,), init_rule="constant")
        self.add_param("Wa", (HIDDEN, classes))
        self.add_param("ba", (classes,), init_rule="constant")

    def forward(self, X, mode):
        p = self.params
        h = np.zeros((len(X), HIDDEN), X.dtype)
        for t in range(X.shape[1]):
            h = layers.rnn_step(X[:, t], h, p["Wx"], p["Wh"], p["b"])
        return layers.affine(h, p["Wa"], p["ba"])

    def loss(self, predict, y):
        return layers.softmax_loss(predict, y)


def main(arguments=None):
    parser = argparse.ArgumentParser(description="a recurrent network over the patches of images")
    parser.add_argument("--data", metavar="FOLDER", help="MNIST or CIFAR-10 instead of the digits")
    parser.add_argument("--patch", type=int, default=4, help="pixels read at a step")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--short", action="store_true", help="a few images, longer patches")
    options = parser.parse_args(arguments)
    np.random.seed(options.seed)

    data, (x_val, y_val) = images(options.data).hold_out(0.2)
    patch = options.patch
    if options.short:
        data, patch = data.first(640, 200), 2 * patch
    mean, deviation = data.x_train.mean(axis=0), data.x_train.std(axis=0)

    def sequences(x):
        return ((x - mean) / (deviation + 1e-2)).reshape(len(x), -1, patch).astype(np.float32)

    test = NDArrayIter(sequences(data.x_test), data.y_test, BATCH)
    solver = Solver(
        PatchReader(patch, len(data.classes)),
        NDArrayIter(sequences(data.x_train), data.y_train, BATCH, shuffle=True),
        NDArrayIter(sequences(x_val), y_val, BATCH),
        update_rule="rmsprop",
        optim_config={"learning_rate": 1e-3},
        lr_decay=0.95,
        num_epochs=2 if options.short else 30,
        print_every=100,
    )
    solver.init()
    solver.train()
    print(f"test accuracy: {solver.check_accuracy(test):.2%}")


if __name__ == "__main__":
    main()
