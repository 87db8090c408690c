"""NumPy under MinPy: the explicit namespace, where work runs, and how long it takes there.

Under `minpy run` a program needs no change. `import minpy.numpy as np` is the other way: the namespace says it, and the
program runs under plain Python too.

    python examples/numpy_under_minpy.py                     # or minpy run
    python examples/numpy_under_minpy.py --context gpu       # where there is one that MXNet can drive
"""

import argparse
import time

import numpy

import minpy.numpy as np
from minpy import OnlyNumPyPolicy, PreferMXNetPolicy
from minpy.context import cpu, gpu
from minpy.core import grad
from minpy.errors import DeviceError


def arrays():
    a = np.array([[1, 2, 3], [4, 5, 6]])
    print(f"an array of a list:   {a.tolist()}, {a.dtype}, shape {a.shape}")
    print(f"zeros and ones:       {np.zeros((2, 2)).tolist()} {np.ones(3).tolist()}")
    b = np.arange(3)
    print(f"operators:            a + b = {(a + b).tolist()}, a * b = {(a * b).tolist()}")
    print(f"products and sums:    {np.dot(a, b).tolist()}, {np.sum(a, axis=0).tolist()}")
    print(f"slices and masks:     {a[:, 1:].tolist()}, {a[a > 2].tolist()}")
    a[0, :2] = 7
    print(f"written in place:     {a.tolist()}")
    assert type(a) is numpy.ndarray  # on the host an array is NumPy's own


def gradient():
    def f(x):
        return 5 * (x**2) + 3 * x - 2

    print(f"f(4) = {f(4)}, f'(4) = {grad(f)(4.0)}")
    assert (f(4), grad(f)(4.0)) == (90, 43.0)


def timed(where, size, repeats):
    x = np.ones((size, size), dtype="float32")
    y = np.ones((size, size), dtype="float32")
    np.dot(x, y)  # the first run loads what it needs
    start = time.perf_counter()
    for _ in range(repeats):
        z = np.dot(x, y)
    value = float(numpy.asarray(z)[0, 0])  # waits for the device
    print(f"{where:28s} {(time.perf_counter() - start) / repeats:.6f} s a product of {size} by {size}")
    assert value == size


def main(arguments=None):
    parser = argparse.ArgumentParser(description="NumPy under MinPy")
    parser.add_argument("--context", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--short", action="store_true", help="small matrices")
    options = parser.parse_args(arguments)
    size, repeats = (128, 2) if options.short else (1024, 20)
    arrays()
    gradient()
    with OnlyNumPyPolicy():
        timed("NumPy", size, repeats)
    context = gpu(0) if options.context == "gpu" else cpu()
    try:
        with context, PreferMXNetPolicy():
            timed(f"MXNet on {context}", size, repeats)
    except DeviceError as error:
        print(f"MXNet on {context}: {error}")


if __name__ == "__main__":
    main()
