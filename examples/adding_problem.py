"""Recurrent networks on the adding problem: simple, LSTM and GRU.

A sequence of 30 random numbers with two of them marked; the answer is the sum of those two. A network that always says
1 has a mean squared error of 0.1767. What is marked must be remembered over many steps, which is what gates are for.

A sequence is one call of a layer (`lstm_temporal`); `--steps` writes the loop over the steps in Python instead, as one
would to try another cell. Both have the same values and gradients.

    minpy run examples/adding_problem.py [--cell lstm] [--steps]

Expected: mean squared errors of about 0.02 (simple), 0.001 (LSTM) and 0.0003 (GRU), in 80 seconds together.
"""

import argparse

import numpy as np

from minpy.nn import layers
from minpy.nn.io import NDArrayIter
from minpy.nn.model import ModelBase
from minpy.nn.solver import Solver
from minpy.utils.data import adding_problem_generator

BATCH, HIDDEN = 100, 64


class Recurrent(ModelBase):
    """The last state of a recurrent layer, and an affine layer on top."""

    gates = 1
    by_steps = False

    def __init__(self):
        super().__init__()
        width = self.gates * HIDDEN
        self.add_param("Wx", (2, width)).add_param("Wh", (HIDDEN, width), init_rule="orthogonal")
        self.add_param("b", (width,), init_rule="constant", init_config={"value": self.first_bias()})
        self.add_param("Wa", (HIDDEN, 1)).add_param("ba", (1,), init_rule="constant")

    def first_bias(self):
        return 0.0

    def forward(self, X, mode):
        last = self.steps(X) if self.by_steps else self.sequence(X)
        return layers.affine(last, self.params["Wa"], self.params["ba"])

    def loss(self, predict, y):
        return layers.l2_loss(predict, y)

    def start(self, X):
        return np.zeros((len(X), HIDDEN), X.dtype)


class RNN(Recurrent):
    def sequence(self, X):
        p = self.params
        return layers.rnn_temporal(X, self.start(X), p["Wx"], p["Wh"], p["b"])[:, -1]

    def steps(self, X):
        p, h = self.params, self.start(X)
        for t in range(X.shape[1]):
            h = layers.rnn_step(X[:, t], h, p["Wx"], p["Wh"], p["b"])
        return h


class LSTM(Recurrent):
    gates = 4

    def first_bias(self):
        """Forget gates that are open at first: what was seen is kept until it is known what for."""
        return np.repeat([0.0, 1.0, 0.0, 0.0], HIDDEN)

    def sequence(self, X):
        p = self.params
        return layers.lstm_temporal(X, self.start(X), p["Wx"], p["Wh"], p["b"])[:, -1]

    def steps(self, X):
        p, h, c = self.params, self.start(X), self.start(X)
        for t in range(X.shape[1]):
            h, c = layers.lstm_step(X[:, t], h, c, p["Wx"], p["Wh"], p["b"])
        return h


class GRU(Recurrent):
    gates = 2

    def __init__(self):
        super().__init__()
        self.add_param("Wxh", (2, HIDDEN)).add_param("Whh", (HIDDEN, HIDDEN), init_rule="orthogonal")
        self.add_param("bh", (HIDDEN,), init_rule="constant")

    def sequence(self, X):
        p = self.params
        return layers.gru_temporal(X, self.start(X), p["Wx"], p["Wh"], p["b"], p["Wxh"], p["Whh"], p["bh"])[
            :, -1
        ]

    def steps(self, X):
        p, h = self.params, self.start(X)
        for t in range(X.shape[1]):
            h = layers.gru_step(X[:, t], h, p["Wx"], p["Wh"], p["b"], p["Wxh"], p["Whh"], p["bh"])
        return h


CELLS = {"rnn": RNN, "lstm": LSTM, "gru": GRU}


def train(cell, options):
    np.random.seed(options.seed)
    length, samples = (5, 600) if options.short else (30, 10_000)
    x, y = (each.astype(np.float32) for each in adding_problem_generator(samples, length, seed=options.seed))
    x_test, y_test = adding_problem_generator(1000, length, seed=options.seed + 1)
    test = NDArrayIter(x_test.astype(np.float32), y_test.astype(np.float32), BATCH)
    model = CELLS[cell]()
    model.by_steps = options.steps
    solver = Solver(
        model,
        NDArrayIter(x, y, BATCH, shuffle=True),
        test,
        task_type="regression",
        update_rule="adam",
        optim_config={"learning_rate": 2e-2 if options.short else 6e-3},
        lr_decay=0.85,
        num_epochs=4 if options.short else 12,
        print_every=100,
        verbose=not options.short,
        train_acc_num_samples=100,
    )
    solver.init()
    solver.train()
    print(
        f"{cell:4s} test mean squared error: {solver.check_accuracy(test):.5f}  (baseline 0.1767)", flush=True
    )


def main(arguments=None):
    parser = argparse.ArgumentParser(description="recurrent networks on the adding problem")
    parser.add_argument("--cell", choices=CELLS, help="one cell, not all")
    parser.add_argument("--steps", action="store_true", help="the loop over the steps in Python")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--short", action="store_true", help="short sequences, few of them")
    options = parser.parse_args(arguments)
    for cell in [options.cell] if options.cell else CELLS:
        train(cell, options)


if __name__ == "__main__":
    main()
