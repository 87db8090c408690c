"""A residual network from the gallery, small enough to train on one core.

`residual_network(n)` has 6 n + 2 layers in three stages: convolutions with batch normalisation, and what goes into each
pair of them added to what comes out. The gallery also has network in network, VGG and stochastic depth (`--net`).

    minpy run examples/resnet.py [--net nin] [--n 1] [--width 8] [--data FOLDER]

Expected: a test accuracy of 98 %, in 12 seconds.
"""

import argparse

import numpy as np

from minpy.nn import model_builder as builder
from minpy.nn import model_gallery as gallery
from minpy.nn.io import NDArrayIter
from minpy.nn.solver import Solver
from minpy.utils.data import images

BATCH = 32
NETS = {
    "resnet": lambda options: gallery.residual_network(options.n, width=options.width),
    "stochastic": lambda options: gallery.stochastic_depth_network(options.n, width=options.width),
    "nin": lambda options: gallery.network_in_network(width=options.width),
}


def main(arguments=None):
    parser = argparse.ArgumentParser(description="a residual network")
    parser.add_argument("--net", choices=NETS, default="resnet")
    parser.add_argument("--n", type=int, default=1, help="blocks in each of the three stages")
    parser.add_argument("--width", type=int, default=8, help="filters of the first stage")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--data", metavar="FOLDER", help="MNIST or CIFAR-10 instead of the digits")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--short", action="store_true", help="a few images, two epochs")
    options = parser.parse_args(arguments)
    np.random.seed(options.seed)

    data, held_out = images(options.data).hold_out(0.2)
    if options.short:
        data = data.first(160, 64)
    model = builder.Model(NETS[options.net](options), "softmax", data.shape)
    size = sum(int(np.prod(config["shape"])) for config in model.param_configs.values())
    print(f"{options.net}: {len(model.param_configs)} arrays of parameters, {size} numbers")
    solver = Solver(
        model,
        NDArrayIter(data.x_train, data.y_train, BATCH, shuffle=True),
        NDArrayIter(*held_out, BATCH),
        update_rule="sgd_momentum",
        optim_config={"learning_rate": 0.05, "momentum": 0.9},
        lr_decay=0.7,
        num_epochs=2 if options.short else options.epochs,
        print_every=50,
    )
    solver.init()
    solver.train()
    accuracy = solver.check_accuracy(NDArrayIter(data.x_test, data.y_test, BATCH))
    print(f"test accuracy: {accuracy:.2%}")


if __name__ == "__main__":
    main()
