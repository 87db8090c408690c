"""A process that runs one program of the corpus: started by python or by `minpy run`, itself without MinPy.

    python one_program.py name size

It reads words from standard input. ``first`` runs the program once; ``warm N`` for N seconds; ``round N`` N times, on
copies of its arguments that are made before the clock runs. Each answer is a line of JSON.
"""

import copy
import hashlib
import importlib
import json
import sys
import time
from pathlib import Path

import numpy as np


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


def main():
    name, size = sys.argv[1:]
    sys.path.insert(0, str(Path(__file__).with_name("corpus")))
    program = importlib.import_module(name)
    inputs = program.setup(size)
    for line in sys.stdin:
        word, _, number = line.strip().partition(" ")
        if word == "first":
            args = copy.deepcopy(inputs)
            start = time.perf_counter()
            result = program.run(*args)
            seconds = time.perf_counter() - start
            answer = {"seconds": seconds, "done": time.time(), "seen": seen(result, args)}
        elif word == "warm":
            end = time.perf_counter() + float(number)
            least, calls = float("inf"), 0
            while calls < 2 or time.perf_counter() < end:
                args = copy.deepcopy(inputs)
                start = time.perf_counter()
                program.run(*args)
                least = min(least, time.perf_counter() - start)
                calls += 1
            answer = {"seconds": least, "calls": calls}
        else:
            copies = [copy.deepcopy(inputs) for _ in range(int(number))]
            start = time.perf_counter()
            for args in copies:
                program.run(*args)
            answer = {"seconds": (time.perf_counter() - start) / len(copies)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
