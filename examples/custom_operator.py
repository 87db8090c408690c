"""An operator of one's own, with a derivative that is written by hand: the softmax loss.

`customop` makes an operator of a function; it is given plain NumPy arrays, or MXNet's, and may do with them what it
likes. `def_grad` says how a gradient goes through it. The network that is trained with it learns exactly what it learns
with the loss of MinPy, and `check_grads` compares the derivative with differences.

    minpy run examples/custom_operator.py [--data FOLDER]

Expected: a test accuracy of 98 %, in 4 seconds.
"""

import argparse

import numpy

from minpy import check_grads
from minpy.nn import layers
from minpy.nn.io import NDArrayIter
from minpy.nn.model import ModelBase
from minpy.nn.solver import Solver
from minpy.primitive import customop
from minpy.utils.data import images


@customop("numpy")
def my_softmax(x, y):
    probs = numpy.exp(x - numpy.max(x, axis=1, keepdims=True))
    probs /= numpy.sum(probs, axis=1, keepdims=True)
    n = x.shape[0]
    return -numpy.sum(numpy.log(probs[numpy.arange(n), y])) / n


def my_softmax_grad(ans, x, y):
    def gradient(g):
        n = x.shape[0]
        probs = numpy.exp(x - numpy.max(x, axis=1, keepdims=True))
        probs /= numpy.sum(probs, axis=1, keepdims=True)
        probs[numpy.arange(n), y] -= 1
        probs /= n
        return g * probs  # what comes from above counts: twice the loss has twice the gradient

    return gradient


my_softmax.def_grad(my_softmax_grad)
my_softmax.def_grad_zero(argnum=1)  # nothing flows into the labels


class Net(ModelBase):
    def __init__(self, inputs, classes, loss):
        super().__init__()
        self.add_param("w1", (inputs, 64)).add_param("b1", (64,), init_rule="constant")
        self.add_param("w2", (64, classes)).add_param("b2", (classes,), init_rule="constant")
        self.chosen = loss

    def forward(self, X, mode):
        p = self.params
        return layers.affine(layers.relu(layers.affine(X, p["w1"], p["b1"])), p["w2"], p["b2"])

    def loss(self, predict, y):
        return self.chosen(predict, y)


def train(loss, data, held_out, options):
    numpy.random.seed(options.seed)
    solver = Solver(
        Net(int(numpy.prod(data.shape)), len(data.classes), loss),
        NDArrayIter(data.x_train, data.y_train, 32, shuffle=True),
        NDArrayIter(*held_out, 32),
        init_rule="he",
        update_rule="adam",
        optim_config={"learning_rate": 2e-3},
        num_epochs=2 if options.short else 20,
        verbose=False,
    )
    solver.init()
    solver.train()
    return solver, solver.check_accuracy(NDArrayIter(data.x_test, data.y_test, 32))


def main(arguments=None):
    parser = argparse.ArgumentParser(description="an operator of one's own")
    parser.add_argument("--data", metavar="FOLDER", help="MNIST or CIFAR-10 instead of the digits")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--short", action="store_true", help="a few images, two epochs")
    options = parser.parse_args(arguments)
    rng = numpy.random.default_rng(0)
    labels = rng.integers(0, 4, 6)
    check_grads(lambda x: my_softmax(x, labels), (rng.normal(size=(6, 4)),), order=1, modes=("rev",))
    print("the derivative agrees with differences")

    data, held_out = images(options.data).hold_out(0.2)
    if options.short:
        data = data.first(320, 200)
    ours, accuracy = train(my_softmax, data, held_out, options)
    theirs, other = train(layers.softmax_loss, data, held_out, options)
    apart = numpy.abs(numpy.subtract(ours.loss_history, theirs.loss_history)).max()
    print(f"largest difference between the losses of the two trainings: {apart:.1e}")
    print(f"test accuracy: {accuracy:.2%}, with MinPy's loss {other:.2%}")


if __name__ == "__main__":
    main()
