"""The programs of `benchmarks/corpus` as users of other libraries would write them, by hand.

    python -m benchmarks.ports [peer…] [--only name…] [--size tiny|small|large] [--python PATH]

compares each port with its program. A port is a module with `run`, which takes what the program's `run` takes and gives
what that gives, to rounding; inputs come from the program's `setup`. Where more than rounding may differ it says why:
`TOLERANCE` is how far the result may be away, relative to its largest element; `FEW`, which part of the elements.

* Numba: `@njit(cache=True)`, no Python objects, no `fastmath`. Where the program is made of loops it is compiled as it
  stands; array expressions are written as loops, which is what Numba is best at, with `prange` where there is more than
  one thread and their outermost one allows it.
* JAX: `@jit`, double precision; loops over elements become array work, recurrences `lax.scan`, stores `.at[]`.
* numexpr, PyTorch and PyTorch's compiler: the programs of `python -m benchmarks forward` only.

Results are NumPy arrays, complete when `run` returns (`finish`, where the library needs help with that).
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

PEERS = {
    "numba": "Numba",
    "jax": "JAX",
    "numexpr": "numexpr",
    "torch": "PyTorch",
    "torch_compile": "PyTorch compile",
}
# Of these there is a port of every program, or a reason.
COMPLETE = ("numba", "jax")
FOLDER = Path(__file__).parent

# What has no port, and why.
ABSENT = {
    "jax": {
        "quicksort": "exchanges elements at places that depend on elements, with a stack; JAX users call `jnp.sort`"
    },
    "numexpr": {
        "crc": "not element-wise",
        "edit_distance": "not element-wise",
        "gram_schmidt_loops": "not element-wise",
    },
    "torch": {"crc": "each step needs the one before, on single numbers"},
    "torch_compile": {
        "crc": "each step needs the one before, on single numbers",
        "gram_schmidt_loops": "would be compiled for each length of a column's rest",
    },
}


def package(peer: str) -> str:
    """What a peer's ports import."""
    return peer.partition("_")[0]


def names(peer: str) -> list[str]:
    """The programs that a peer has a port of."""
    return sorted(path.stem for path in (FOLDER / peer).glob("*.py") if path.stem != "__init__")


def missing(python: str, peer: str) -> str | None:
    """Why an interpreter cannot run a peer's ports, or None."""
    if not shutil.which(python):
        return f"there is no {python}"
    found = subprocess.run([python, "-c", f"import {package(peer)}"], capture_output=True, text=True)
    return last_words(found) if found.returncode else None


def last_words(done: subprocess.CompletedProcess[str]) -> str:
    """Why a process failed, in a line."""
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f"ended with status {done.returncode}"


def version(python: str, package: str) -> str:
    """The version of a package in an interpreter, or nothing."""
    code = f"import importlib.metadata; print(importlib.metadata.version({package!r}))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True).stdout.strip()
