"""Steps of training through `minpy.nn`, beside PyTorch and MXNet's own symbols on the same CPU.

    python -m benchmarks training [--only name…] [--fast]

A step is forward, backward and update of all parameters, as a user writes it. Processes and rounds are those of
`workloads`; all must come to the same losses and parameters.
"""

from __future__ import annotations

from typing import Any

from benchmarks import training_ports, workloads

PORTS = training_ports.__name__.rpartition(".")[2]


def measure(fast: bool, only: list[str] | None = None) -> dict[str, Any]:
    """Times of a step of each network, of all frameworks in the same rounds."""
    return workloads.measure(fast, only, PORTS)


def text(found: dict[str, Any]) -> str:
    """The figures as a table for each network."""
    return workloads.text(found, PORTS)


if __name__ == "__main__":
    from benchmarks.timing import main

    main(measure)
