"""``python run_simulated.py report.json [options of minpy run] program.py``: a program with a simulated GPU.

Writes what was copied and which kernels ran as JSON.
"""

from __future__ import annotations

import contextlib
import json
import sys
import types

import simulated

from minpy.runtime.backends import choice
from minpy.runtime.backends import cupy as backend


def main() -> int:
    machine = simulated.Machine(cards=2)
    backend.library.module = machine.cupy
    sys.modules["cupyx"] = types.SimpleNamespace(errstate=lambda **kwargs: contextlib.nullcontext())
    choice.backend_for = lambda device_id: "cupy"
    from minpy.cli import main as run

    where, *arguments = sys.argv[1:]
    try:
        return run(["run", *arguments])
    finally:
        card = machine.cards[0]
        counts = ("uploads", "uploaded", "downloads", "downloaded", "kernels")
        with open(where, "w") as file:
            other = {"other_kernels": machine.cards[1].kernels}
            json.dump({name: getattr(card, name) for name in counts} | other, file)


if __name__ == "__main__":
    sys.exit(main())
