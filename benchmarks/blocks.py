"""Array expressions: NumPy as written against MinPy's blocks, in one process, rounds interleaved.

    python -m benchmarks.blocks [--seconds 1.0] [name…]

Results are compared bit by bit. `ratio` is NumPy's time over MinPy's in the later half of the rounds, when
engines have been chosen; `all` is that of all rounds: with trying engines and compiling.
"""

from __future__ import annotations

import argparse
import builtins
from time import perf_counter
from typing import Any

import numpy as np

from minpy.options import Options
from minpy.runtime.entry import routed
from minpy.runtime.fuse import pool
from minpy.transform import hook, rewriter

TEXT = """
import numpy as np

def tanh_exp(a, b):
    return np.tanh(a * b + a) - np.exp(-b)

def arithmetic(a, b):
    return (a * b + 0.5 * a - b) / np.sqrt(1.5 + a * a)

def distance(a, b):
    return np.sqrt((a[:, None] - b[None, :]) ** 2 + 0.1)

def jacobi(a, b):
    b[1:-1, 1:-1] = 0.2 * (a[1:-1, 1:-1] + a[:-2, 1:-1] + a[2:, 1:-1] + a[1:-1, :-2] + a[1:-1, 2:])

def wave(a, b):
    a[1:-1, 1:-1] += 0.1 * (b[1:-1, 2:] - 2 * b[1:-1, 1:-1] + b[1:-1, :-2])

def scalars(a, b):
    for _ in range(100):
        a = a * 0.5 + b[0] * 0.25 + a * a * 1e-3
"""
SIZES: dict[str, list[tuple[int, ...]]] = {
    "tanh_exp": [(100,), (10_000,), (100_000,), (1_000_000,), (10_000_000,)],
    "arithmetic": [(100,), (10_000,), (100_000,), (1_000_000,), (10_000_000,)],
    "distance": [(30,), (300,), (2000,)],
    "jacobi": [(20, 20), (150, 150), (700, 700), (2800, 2800)],
    "wave": [(20, 20), (150, 150), (700, 700), (2800, 2800)],
    "scalars": [(10,), (1000,)],
}


def measure(
    plain: Any, mine: Any, shape: tuple[int, ...], seconds: float
) -> tuple[float, float, float, float]:
    """Medians of NumPy's and MinPy's times in the second half of the rounds; sums over all of them."""
    rng = np.random.default_rng(1)
    first = [rng.random(shape) + 0.5, rng.random(shape) + 0.5]
    second = [each.copy() for each in first]
    times: list[tuple[float, float]] = []
    began = perf_counter()
    while perf_counter() - began < seconds or len(times) < 8:
        start = perf_counter()
        expected = plain(*first)
        middle = perf_counter()
        found = mine(*second)
        times.append((middle - start, perf_counter() - middle))
        if len(times) < 5:
            for a, b in ((expected, found), *zip(first, second, strict=True)):
                if a is not None and (a.tobytes() != b.tobytes() or a.strides != b.strides):
                    raise SystemExit(f"{plain.__name__} {shape}: other bits")
        del expected, found
    late = np.array(times[len(times) // 2 :])
    return (*np.median(late, axis=0), *np.sum(times, axis=0))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="name")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each size")
    arguments = parser.parse_args()
    builtins.__dict__["__minpy__"] = routed
    plain: dict[str, Any] = {}
    mine: dict[str, Any] = {}
    exec(compile(TEXT, "blocks", "exec"), plain)
    exec(hook.announce(rewriter.compile_source(TEXT, "blocks", Options())), mine)
    print(f"threads: {pool.width()}")
    print(f"{'block':12} {'shape':14} {'NumPy':>10} {'MinPy':>10} {'ratio':>7} {'all':>7}")
    for name in arguments.names or SIZES:
        for shape in SIZES[name]:
            numpys, minpys, all_numpys, all_minpys = measure(
                plain[name], mine[name], shape, arguments.seconds
            )
            size = "x".join(map(str, shape))
            ratios = f"{numpys / minpys:7.2f} {all_numpys / all_minpys:7.2f}"
            print(f"{name:12} {size:14} {numpys * 1e6:8.1f}µs {minpys * 1e6:8.1f}µs {ratios}")


if __name__ == "__main__":
    main()
