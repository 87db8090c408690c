"""Data in batches: MinPy's iterator over arrays, and MXNet's iterators over files.

minpy run examples/data_iter.py [--data FOLDER]
"""

import argparse
import os
import struct
import tempfile

import numpy as np

from minpy import io
from minpy.utils.data import images


def batches(data):
    print("-- a pass in batches of 100; the last one is filled up, and says with how many")
    it = io.NDArrayIter(data.x_train, data.y_train, batch_size=100, shuffle=True, seed=0)
    for number, batch in enumerate(it):
        if batch.pad:
            print(
                f"batch {number}: data {batch.data[0].shape}, label {batch.label[0].shape}, pad {batch.pad}"
            )
    again = sum(1 for _ in it)
    it.reset()
    print(f"after the pass {again} batches, after reset() {sum(1 for _ in it)}")


def last_batches():
    print("-- ten samples in batches of four")
    x = np.arange(10)
    for handle in ("pad", "discard", "roll_over"):
        it = io.NDArrayIter(x, batch_size=4, last_batch_handle=handle)
        passes = []
        for _ in range(2):
            it.reset()
            passes.append([batch.data[0].tolist() for batch in it])
        print(f"{handle:9s} {passes[0]}")
        print(f"{'then':>9s} {passes[1]}")


def several_inputs(data):
    print("-- samples of several parts, by name")
    halves = {"top": data.x_train[:, :, :4], "bottom": data.x_train[:, :, 4:]}
    it = io.NDArrayIter(halves, {"digit": data.y_train}, batch_size=32)
    print(f"data {it.provide_data}, label {it.provide_label}")


def write_idx(folder, data):
    """The training images as files of MNIST's format."""
    pixels = np.round(data.x_train * 255).astype(np.uint8)[:, 0]
    image, label = os.path.join(folder, "images-idx3-ubyte"), os.path.join(folder, "labels-idx1-ubyte")
    with open(image, "wb") as file:
        file.write(struct.pack(">4I", 0x00000803, *pixels.shape) + pixels.tobytes())
    with open(label, "wb") as file:
        file.write(struct.pack(">2I", 0x00000801, len(pixels)) + data.y_train.astype(np.uint8).tobytes())
    return image, label


def from_files(data):
    print("-- MXNet's iterators, over files; their batches are NumPy arrays")
    from minpy.errors import DeviceError

    with tempfile.TemporaryDirectory() as folder:
        try:
            image, label = write_idx(folder, data)
            it = io.MNISTIter(image=image, label=label, batch_size=64, shuffle=False, silent=True)
        except DeviceError as error:
            print(f"without MXNet: {error}")
            return
        first = next(iter(it))
        kind = f"{type(first.data[0]).__module__}.{type(first.data[0]).__name__}"
        print(f"MNISTIter: data {first.data[0].shape}, label {first.label[0].shape}, {kind}")
        same = np.array_equal(first.label[0], data.y_train[:64])
        print(f"the first labels are those that were written: {same}")

        rows = np.random.default_rng(0).random((20, 3)).astype(np.float32)
        table = os.path.join(folder, "rows.csv")
        np.savetxt(table, rows, delimiter=",")
        it = io.CSVIter(data_csv=table, data_shape=(3,), batch_size=5)
        read = np.concatenate([batch.data[0] for batch in it])
        print(f"CSVIter: the rows that were written: {np.allclose(read, rows)}")
        short = io.ResizeIter(io.CSVIter(data_csv=table, data_shape=(3,), batch_size=5), 2)
        print(f"ResizeIter: a pass of {sum(1 for _ in short)} batches")


def main(arguments=None):
    parser = argparse.ArgumentParser(description="data in batches")
    parser.add_argument("--data", metavar="FOLDER", help="MNIST or CIFAR-10 instead of the digits")
    parser.add_argument("--short", action="store_true", help="the same: it is short")
    options = parser.parse_args(arguments)
    data = images(options.data)
    batches(data)
    last_batches()
    several_inputs(data)
    from_files(images())


if __name__ == "__main__":
    main()
