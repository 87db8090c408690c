"""Several GPUs: a training step of one model with the batch on one card, and shared among all; the sums alone."""

from __future__ import annotations

from typing import Any

import numpy as np


def several(run: Any, seconds: float) -> dict[str, Any]:
    """Steps of a perceptron's `Solver`; only where there are two cards."""
    from minpy.errors import DeviceError
    from minpy.nn.io import DataBatch
    from minpy.runtime.collective import Group
    from minpy.runtime.policy import PreferMXNetPolicy

    cards = [run.gpu(0)]
    while len(cards) < 8:
        try:
            run.gpu(len(cards)).device()
        except DeviceError:
            break
        cards.append(run.gpu(len(cards)))
    if len(cards) < 2:
        return {"left out": "there is one card only"}
    k = 16 if run.small else 1
    width, rows, inputs = 4096 // k, 4096 // k, 1024 // k
    rng = np.random.default_rng(5)
    x = rng.standard_normal((rows, inputs)).astype("float32")
    batch = DataBatch([x], [rng.integers(0, 10, rows)], 0)
    calls, solvers = {}, {}
    with PreferMXNetPolicy():
        for name, context in (("one card", cards[:1]), (f"{len(cards)} cards", cards)):
            solver = solvers[name] = _solver(context, inputs, width, batch)
            calls[name] = _finished(cards, lambda s=solver: s.step(batch))
        losses = [[solver.step(batch) for _ in range(3)] for solver in solvers.values()]
        times = run.time(calls, 0.7 * seconds)
        group = Group(cards)
        parts = []
        for card in cards:
            with card:
                parts.append([run.routed.np.negative(np.ones((width, width), "float32"))])
        sums = run.time({"sum": _finished(cards, lambda: group.sum(parts))}, 0.2 * seconds)["sum"]
        total = np.asarray(group.sum(parts)[0])
    return {
        "cards": len(cards),
        "way": group.way,
        "ms": {name: 1e3 * t for name, t in times.items()},
        "faster": times["one card"] / times[f"{len(cards)} cards"],
        "sum_GB_per_s": total.nbytes / sums / 1e9,
        "right": bool(np.allclose(*losses, rtol=1e-3) and np.all(total == -len(cards))),
    }


def _finished(cards: list[Any], call: Any) -> Any:
    def run() -> None:
        call()
        for card in cards:
            card.device().synchronize()

    return run


def _solver(context: list[Any], inputs: int, width: int, batch: Any) -> Any:
    from minpy.nn import model_builder as builder
    from minpy.nn.io import NDArrayIter
    from minpy.nn.solver import Solver

    np.random.seed(0)
    layers = (
        builder.Affine(width),
        builder.ReLU(),
        builder.Affine(width),
        builder.ReLU(),
        builder.Affine(10),
    )
    model = builder.Model(builder.Sequential(*layers), "softmax", (inputs,))
    data = NDArrayIter(batch.data[0], batch.label[0], len(batch.data[0]))
    solver = Solver(
        model,
        data,
        data,
        context=context,
        update_rule="sgd",
        optim_config={"learning_rate": 1e-3},
        verbose=False,
    )
    solver.init()
    return solver


def row(part: dict[str, Any]) -> tuple[str, str]:
    """The line of the report."""
    times = ", ".join(f"{name} {ms:.2f} ms" for name, ms in part["ms"].items())
    return (
        f"a training step on {part['cards']} cards",
        f"{times}: {part['faster']:.2f} times as fast; sums by {part['way']}, {part['sum_GB_per_s']:.1f} GB/s",
    )
