"""A process that runs one program of the corpus, or a peer's port of it: started by python or by `minpy run`.

    python one_program.py name size [peer]

It reads words from standard input. ``first`` runs the program once; ``warm N`` for N seconds; ``round N`` N times, on
copies of its arguments that are made before the clock runs; ``check`` compares a port with the program. Each answer is
a line of JSON. It knows nothing of MinPy.
"""

import copy
import hashlib
import importlib
import json
import sys
import time
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent
# How far a port may be from the program, relative to the largest element of an array: it may sum in another order.
CLOSE = {"float64": 1e-7, "float32": 2e-4, "complex128": 1e-7}


def parts(value, path="result"):
    """All that can be seen of a value, as text and bytes."""
    if isinstance(value, np.ndarray):
        yield f"{path}: array {value.dtype.str} {value.shape}", value.tobytes()
    elif isinstance(value, np.generic):
        yield f"{path}: {type(value).__name__}", value.tobytes()
    elif isinstance(value, float):
        yield f"{path}: float", value.hex().encode()
    elif isinstance(value, (list, tuple)):
        yield f"{path}: {type(value).__name__} {len(value)}", b""
        for i, item in enumerate(value):
            yield from parts(item, f"{path}[{i}]")
    elif isinstance(value, (int, str, bool, type(None))):
        yield f"{path}: {type(value).__name__}", repr(value).encode()
    else:
        raise TypeError(f"{path} is a {type(value).__name__}, which cannot be compared")


def seen(result, args):
    """What a run gave and what it made of its arguments: a digest for each value."""
    values = [*parts(result), *parts(args, "arguments")]
    return [f"{text} {hashlib.sha256(content).hexdigest()[:16]}" for text, content in values]


def distance(expected, found, tolerance=None, few=0.0, path="result"):
    """Where a port's result is not the program's to rounding: a line for each place.

    With `tolerance` it may be so far away, relative to the largest element; with `few`, a part of the elements may
    differ.
    """
    if isinstance(expected, tuple) or (
        isinstance(expected, list) and any(isinstance(e, (np.ndarray, list, tuple)) for e in expected)
    ):
        if len(expected) != len(found):
            return [f"{path} has {len(found)} parts instead of {len(expected)}"]
        return [
            line
            for i, (e, f) in enumerate(zip(expected, found, strict=True))
            for line in distance(e, f, tolerance, few, f"{path}[{i}]")
        ]
    e, f = np.asarray(expected), np.asarray(found)
    if e.shape != f.shape:
        return [f"{path} has the shape {f.shape} instead of {e.shape}"]
    if e.dtype.kind in "fc":
        finite = np.isfinite(e)
        largest = np.max(np.abs(e[finite]), initial=0.0)
        allowed = (tolerance or CLOSE.get(e.dtype.name, 1e-7)) * largest
        off = np.abs(np.where(finite, f, 0) - np.where(finite, e, 0))
        # Where the program gives nan or an infinity, the port has to.
        same = np.where(finite, off <= allowed, (e == f) | (np.isnan(e) & np.isnan(f)))
        what = f", the most by {np.max(off) / largest:.1e} of the largest" if largest else ""
    else:
        same, what = e == f, ""
    wrong = same.size - np.count_nonzero(same)
    return [f"{path}: {wrong} of {same.size} elements differ{what}"] if wrong > few * same.size else []


class Running:
    """A program with its arguments, and what a process is asked to do with it."""

    def __init__(self, name, size, peer=None):
        if peer is None:
            # Only its folder is on the path: the program is a module as in its users' hands.
            sys.path.insert(0, str(FOLDER / "corpus"))
            self.program = importlib.import_module(name)
            self.run = self.program.run
            self.allowed = {}
        else:
            self.program = importlib.import_module(f"benchmarks.corpus.{name}")
            port = importlib.import_module(f"benchmarks.ports.{peer}.{name}")
            finish = importlib.import_module(f"benchmarks.ports.{peer}").finish
            self.allowed = {
                name.lower(): getattr(port, name) for name in ("TOLERANCE", "FEW") if hasattr(port, name)
            }
            # Of a few random numbers nothing can be said.
            size = "small" if "tolerance" in self.allowed and size == "tiny" else size
            self.run = port.run if finish is None else lambda *args: finish(port.run(*args))
        self.inputs = self.program.setup(size)

    def first(self, _):
        """One run, and what it gave."""
        args = copy.deepcopy(self.inputs)
        start = time.perf_counter()
        result = self.run(*args)
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "done": time.time(), "seen": seen(result, args)}

    def warm(self, number):
        """Runs for some seconds."""
        end = time.perf_counter() + float(number)
        least, calls = float("inf"), 0
        while calls < 2 or time.perf_counter() < end:
            args = copy.deepcopy(self.inputs)
            start = time.perf_counter()
            self.run(*args)
            least = min(least, time.perf_counter() - start)
            calls += 1
        return {"seconds": least, "calls": calls}

    def round(self, number):
        """Some runs, on copies of the arguments made before."""
        run = self.run
        copies = [copy.deepcopy(self.inputs) for _ in range(int(number))]
        start = time.perf_counter()
        for args in copies:
            run(*args)
        return {"seconds": (time.perf_counter() - start) / len(copies)}

    def check(self, _):
        """Whether a port gives what the program gives."""
        found = self.run(*copy.deepcopy(self.inputs))
        expected = self.program.run(*copy.deepcopy(self.inputs))
        return {"wrong": distance(expected, found, **self.allowed)}


def main():
    running = Running(*sys.argv[1:])
    for line in sys.stdin:
        word, _, number = line.strip().partition(" ")
        answer = {
            "first": running.first,
            "warm": running.warm,
            "round": running.round,
            "check": running.check,
        }[word](number)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
