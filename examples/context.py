"""Where arrays live: contexts, with and without a GPU.

A context says which device is meant when one is chosen: `set_context` for the whole process, `with` for a block. The
policy says what goes there. Arrays in a context other than the host's stay there until somebody looks.

    minpy run examples/context.py               # cpu(0), MXNet's kernels on the host
    minpy run examples/context.py --gpus 1      # gpu(0)
"""

import argparse

import numpy

import minpy
import minpy.numpy as np
from minpy.context import cpu, current_context, gpu, set_context
from minpy.errors import DeviceError


def product(context, x, y):
    with context, minpy.PreferMXNetPolicy():
        z = np.dot(x, y)
        print(f"{current_context()}: an array of shape {z.shape}, in {z.context}")
        return numpy.asarray(z)  # here it is copied to the host


def main(arguments=None):
    parser = argparse.ArgumentParser(description="contexts")
    parser.add_argument("--gpus", type=int, default=0, help="how many GPUs to use")
    parser.add_argument("--short", action="store_true", help="the same: it is short")
    options = parser.parse_args(arguments)

    before = current_context()
    print(f"at first: {before}")
    rng = numpy.random.default_rng(0)
    x, y = (rng.random(shape, dtype=numpy.float32) for shape in ((32, 64), (64, 32)))
    expected = numpy.dot(x, y)
    for context in [cpu(), *(gpu(i) for i in range(options.gpus))]:
        try:
            numpy.testing.assert_allclose(product(context, x, y), expected, rtol=1e-4)
        except DeviceError as error:
            print(f"{context}: {error}")
    print(f"after the blocks: {current_context()}")

    set_context(cpu(1))  # another of the host's: they are one memory with different names
    print(f"set_context: {current_context()}")
    set_context(before)


if __name__ == "__main__":
    main()
