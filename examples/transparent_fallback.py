"""What a device cannot do, NumPy does: the fallback, its reasons, and lists of what to keep from the device.

Under the policy `prefer_mxnet` each operation goes to MXNet where it has a kernel, and to NumPy where it has none. The
program notices nothing; `--profile` and the statistics here say what ran where. `AutoBlacklistPolicy` learns which
calls raise on the device, and keeps that in a file.

    minpy run examples/transparent_fallback.py
"""

import argparse
import json
import os
import tempfile

import numpy

import minpy
import minpy.numpy as np
from minpy.dispatch import policy
from minpy.utils.data import gaussian_cluster_generator


def falls_back():
    print("-- a chain of operations under prefer_mxnet")
    x = numpy.linspace(0, 1, 12, dtype="float32").reshape(3, 4)
    with minpy.PreferMXNetPolicy():
        minpy.record_op_stat()
        z = np.log(np.interp(np.cosh(x), [0.0, 2.0], [1.0, 3.0]))  # MXNet has no interp
        minpy.show_op_stat()
    numpy.testing.assert_allclose(numpy.asarray(z), numpy.log(1 + numpy.cosh(x)), rtol=1e-5)


def calls_that_the_original_could_not_make():
    print("-- random numbers with an array of means")
    with minpy.PreferMXNetPolicy():
        x, y = gaussian_cluster_generator(1000, 50, 5, seed=0)
        mu = np.mean(x[y[:, 0] == 1], axis=0)
        again = np.random.normal(mu, 0.1, (10, 50))
    print(f"1000 points, 10 more around the centre of the first cluster: shape {again.shape}")


def strictly():
    print("-- the same under only_mxnet")
    try:
        with minpy.OnlyMXNetPolicy():
            np.interp(np.ones(2), [0.0, 2.0], [1.0, 3.0])
    except policy.PrimitivePolicyError as error:
        print(f"PrimitivePolicyError: {error}")


def blacklists():
    print("-- a list of calls to keep from the device")
    x = numpy.ones((2, 3), dtype="float32")
    with minpy.BlacklistPolicy({"tanh": ["*"]}):
        minpy.record_op_stat()
        np.tanh(np.exp(x))
        minpy.show_op_stat()

    print("-- a list that is learned, and kept in a file")
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "rules.json")
        learning = minpy.AutoBlacklistPolicy(gen_rule=True, loc=file)
        with learning:  # what raises on MXNet goes to NumPy, then and ever after
            gaussian_cluster_generator(100, 5, 5, seed=0)
        learning.save_rules()
        print(f"what raised here: {learning.rules or 'nothing'}")
        with open(file, "w") as rules:  # it is text, and may be edited
            json.dump({"cosh": ["array_dim2:float32"]}, rules)
        with minpy.AutoBlacklistPolicy(loc=file):
            minpy.record_op_stat()
            np.sinh(np.cosh(x))
            minpy.show_op_stat()


def main(arguments=None):
    parser = argparse.ArgumentParser(description="transparent fallback and blacklists")
    parser.add_argument("--short", action="store_true", help="the same: it is short")
    parser.parse_args(arguments)
    falls_back()
    calls_that_the_original_could_not_make()
    strictly()
    blacklists()


if __name__ == "__main__":
    main()
