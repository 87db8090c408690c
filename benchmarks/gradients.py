"""What gradients cost: whole programs, twice the number of slice updates, the tape's memory, checkpoints.

python -m benchmarks gradients
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np

import minpy
from benchmarks import memory, programs, slices
from benchmarks.timing import clocked, duration, ratio, rounds, summary, table

# Programs that NumPy does not dominate at any size.
NUMBERS = {
    "edit_distance": "numbers",
    # A call works on as many elements as there are steps: where its work outweighs the call, a run takes minutes.
    "binomial_tree": "short calls",
}


def measure_program(name: str, seconds: float) -> dict[str, Any]:
    """Times of one program: plain, and its value and gradient, of that the run that records and the sweep."""
    plain, rewritten = programs.load(name, False), programs.load(name, True)
    x, settings = plain.large(np.random.default_rng(7))
    inside = [0.0]

    def recorded(y: Any) -> Any:
        start = time.perf_counter()
        result = rewritten.run(y, **settings)
        inside[0] = time.perf_counter() - start
        return result

    def fresh() -> np.ndarray:
        return x.copy(order="K")

    both = minpy.value_and_grad(recorded)
    value, gradient = both(fresh())
    if value != plain.run(fresh(), **settings) or not np.all(np.isfinite(gradient)):
        raise AssertionError(f"{name}: under value_and_grad another value, or a gradient that is not finite")
    recording: list[float] = []
    timed = clocked(both, fresh)

    def gradient_run() -> float:
        total = timed()
        recording.append(inside[0])
        return total

    times = rounds(
        {
            "forward": clocked(lambda y: plain.run(y, **settings), fresh),
            "both": gradient_run,
        },
        seconds,
    )
    recording = recording[1:]  # the first round does not count
    forward, total = times["forward"], times["both"]
    return {
        "program": name,
        "forward": summary(forward),
        "value_and_grad": summary(total),
        "recording": summary(recording),
        "sweep": summary([t - r for t, r in zip(total, recording, strict=True)]),
        "total_to_forward": ratio(total, forward),
        "recording_to_forward": ratio(recording, forward),
        "sweep_to_forward": ratio([t - r for t, r in zip(total, recording, strict=True)], forward),
        # All that is not the plain run counts as backward, also what recording costs.
        "backward_to_forward": ratio([t - f for t, f in zip(total, forward, strict=True)], forward),
    }


def measure(fast: bool, only: list[str] | None = None) -> dict[str, Any]:
    """All the figures; with `only`, those of some programs, or of ``slices``, ``memory``, ``checkpoint``."""
    seconds = 1.0 if fast else 4.0
    parts = {
        "slices": lambda: slices.measure(fast),
        "memory": memory.tape,
        "checkpoint": lambda: memory.checkpoints(fast),
    }
    unknown = [name for name in only or () if name not in parts and name not in programs.NAMES]
    if unknown:
        raise SystemExit(
            f"not measured here: {', '.join(unknown)}. There is: {', '.join([*parts, *programs.NAMES])}"
        )
    found: dict[str, Any] = {
        "programs": [measure_program(n, seconds) for n in programs.NAMES if not only or n in only]
    }
    for name, part in parts.items():
        if not only or name in only:
            found[name] = part()
    return found


def text(found: dict[str, Any]) -> str:
    """The figures as tables."""
    lines = []
    for row in found["programs"]:
        back = row["backward_to_forward"]
        lines.append(
            [
                row["program"] + (f" ({NUMBERS[row['program']]})" if row["program"] in NUMBERS else ""),
                duration(row["forward"]["median"]),
                duration(row["value_and_grad"]["median"]),
                f"{row['total_to_forward']['value']:.2f}",
                f"{row['recording_to_forward']['value']:.2f}",
                f"{row['sweep_to_forward']['value']:.2f} ± {row['sweep_to_forward']['spread']:.2f}",
                f"{back['value']:.2f}",
            ]
        )
    parts = []
    if lines:
        heads = "program,plain f,value_and_grad,total/f,recording/f,backward/f,all beyond f"
        parts.append(table(heads.split(","), lines))
        counted = [r["sweep_to_forward"]["value"] for r in found["programs"] if r["program"] not in NUMBERS]
        if counted:
            parts.append(
                f"  backward/f = (value_and_grad - recording run) / f: median {statistics.median(counted):.2f}, "
                f"largest {max(counted):.2f}, at most 4: {sum(c <= 4 for c in counted)} of {len(counted)}"
            )
    if "slices" in found:
        parts.append(slices.text(found["slices"]))
    if "memory" in found:
        parts.append(memory.text_tape(found["memory"]))
    if "checkpoint" in found:
        parts.append(memory.text_checkpoints(found["checkpoint"]))
    return "\n\n".join(parts)


if __name__ == "__main__":
    from benchmarks.timing import main

    main(measure)
