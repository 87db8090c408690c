"""A perceptron that several processes train together, each on its share of every batch.

    minpy run examples/train_workers.py                  # one process
    minpy run --workers 2 examples/train_workers.py      # two, which print the same losses
    minpy run --workers 2 examples/train_workers.py --kvstore dist_async    # each at its own pace

Two lines make the difference: `distributed.shard` gives a worker its share of each batch, and `kvstore` says how the
workers put together what they learn. With `--checkpoint FILE`, the same command goes on from the file after a stop.
"""

import argparse

import numpy as np

from minpy import distributed
from minpy.nn import layers
from minpy.nn.io import NDArrayIter
from minpy.nn.model import ModelBase
from minpy.nn.solver import Solver
from minpy.utils.data import images


class TwoLayerNet(ModelBase):
    def __init__(self, inputs, hidden, classes):
        super().__init__()
        self.add_param("w1", (inputs, hidden)).add_param("b1", (hidden,), init_rule="constant")
        self.add_param("w2", (hidden, classes)).add_param("b2", (classes,), init_rule="constant")

    def forward(self, X, mode):
        hidden = layers.relu(layers.affine(X, self.params["w1"], self.params["b1"]))
        return layers.affine(hidden, self.params["w2"], self.params["b2"])

    def loss(self, predict, y):
        return layers.softmax_loss(predict, y)


def main():
    parser = argparse.ArgumentParser(description="a perceptron, trained by several processes")
    parser.add_argument("--kvstore", default="dist_sync", choices=["dist_sync", "dist_async"])
    parser.add_argument(
        "--checkpoint", metavar="FILE", help="go on from this file if it is there, and keep it up to date"
    )
    parser.add_argument("--short", action="store_true", help="two epochs")
    options = parser.parse_args()
    np.random.seed(0)

    data = images(None)
    train = distributed.shard(NDArrayIter(data.x_train, data.y_train, batch_size=64, shuffle=True))
    test = NDArrayIter(data.x_test, data.y_test, batch_size=64)
    solver = Solver(
        TwoLayerNet(data.x_train[0].size, 64, 10),
        train,
        test,
        kvstore=options.kvstore,
        num_epochs=2 if options.short else 20,
        update_rule="sgd_momentum",
        optim_config={"learning_rate": 0.05, "momentum": 0.9},
        train_acc_num_samples=None,
        print_every=50,
        checkpoint=options.checkpoint,
        resume=options.checkpoint is not None,
    )
    solver.train()
    if distributed.rank() == 0:
        print(f"test accuracy: {solver.best_val_acc:.2%}")


if __name__ == "__main__":
    main()
