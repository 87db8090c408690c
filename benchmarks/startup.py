"""What `minpy run` costs at the start: an empty NumPy script, warm; and a file of 1,000 lines, cold.

python -m benchmarks startup
"""

import os
import sys
import tempfile
from pathlib import Path

import pyperf

PAIRS = [
    ("minpy run empty.py (warm)", "python empty.py"),
    ("minpy run long.py (warm)", "python long.py"),
    ("minpy run long.py (cold)", "python long.py"),
]

FUNCTION = '''
def step_{i}(a, b, dt):
    """One step of a made-up simulation."""
    c = np.zeros_like(a)
    for k in range(3):
        c[1:-1] = np.exp(-a[1:-1]) * dt + np.where(b[1:-1] > 0.0, b[:-2], b[2:])
        c += np.dot(a, b) / (np.linalg.norm(a) + k)
    return np.sqrt(np.abs(c)), np.sum(c, axis=0)

'''


def folder() -> Path:
    """A folder with the two programs and a cache, the same for every process of one run."""
    place = Path(tempfile.gettempdir()) / f"minpy-bench-{os.environ.get('MINPY_BENCH_RUN', os.getppid())}"
    place.mkdir(exist_ok=True)
    (place / "empty.py").write_text("import numpy as np\n")
    (place / "long.py").write_text("import numpy as np\n" + "".join(FUNCTION.format(i=i) for i in range(100)))
    return place


if __name__ == "__main__":
    place = folder()
    os.environ["MINPY_CACHE_DIR"] = str(place / "cache")
    runner = pyperf.Runner(values=4, processes=5, warmups=1)
    inherit = ["MINPY_CACHE_DIR", "MINPY_BENCH_RUN", "PATH", "HOME"]
    runner.argparser.set_defaults(inherit_environ=inherit)
    for name in ("empty", "long"):
        script = str(place / f"{name}.py")
        runner.bench_command(f"python {name}.py", [sys.executable, script])
        runner.bench_command(f"minpy run {name}.py (warm)", [sys.executable, "-m", "minpy", "run", script])
    # With a cache that is empty each time: the shell takes a millisecond or two of it.
    empty = f'export MINPY_CACHE_DIR="{place}/cold"; rm -rf "$MINPY_CACHE_DIR"; exec "$0" -m minpy run "$1"'
    runner.bench_command("minpy run long.py (cold)", ["sh", "-c", empty, sys.executable, script])
