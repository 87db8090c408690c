"""Measures how long operations take on each back end (`minpy doctor --calibrate`), for the cost model."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from typing import Any

from minpy.runtime.cost import BUILT_IN, OP_CLASSES, CostModel, Points, as_json, implausible, machine

# From where the cost of a call is all there is, to past the caches.
_SIZES = dict.fromkeys(OP_CLASSES, (10, 1_000, 30_000, 1_000_000))
_SIZES |= {"sort": (10, 1_000, 30_000), "matmul": (8**2, 64**2, 256**2, 640**2)}

Call = Callable[[], object]
Tasks = dict[str, Callable[[int], Call]]  # class -> given a size, what to time


def calibrate(backends: Iterable[str] | None = None, budget: float = 1.2) -> CostModel:
    """Measure this machine; the model is not saved (see `save`).

    Parameters
    ----------
    backends : iterable of str, optional
        Which back ends; default: ``numpy``, and those of MXNet if it loads.
    budget : float
        About how many seconds to measure for, MXNet's import not counted.
    """
    wanted = None if backends is None else tuple(backends)
    measured: dict[str, dict[str, Points]] = {}
    makers = [_numpy_tasks]
    if wanted is None or any(name != "numpy" for name in wanted):
        makers += _mxnet_makers(wanted) + _cupy_makers(wanted)
    from time import perf_counter

    share = budget / (len(makers) * sum(len(sizes) for sizes in _SIZES.values()))
    for maker in makers:
        name, tasks = maker()
        deadline = perf_counter() + 1.5 * budget / len(makers)
        measured[name] = {
            op_class: _monotone(
                [(size, _time(tasks[op_class](size), share, deadline)) for size in _SIZES[op_class]]
            )
            for op_class in tasks
        }
    disturbed = implausible(measured)
    for backend, op_class in disturbed:
        measured[backend][op_class] = BUILT_IN.points[backend][op_class]
    return CostModel(measured, True, machine(), tuple(f"{name} on {backend}" for backend, name in disturbed))


def _time(call: Callable[[], object], seconds: float, deadline: float = float("inf")) -> float:
    """Microseconds of one call: the least of several batches, because whatever disturbs only adds.

    From `deadline` on, one batch must do.
    """
    from time import perf_counter

    call()
    start = perf_counter()
    call()
    once = max(perf_counter() - start, 1e-7)
    batch = max(1, min(1000, int(seconds / 8 / once)))
    least = float("inf")
    end = perf_counter() + seconds
    for attempt in range(50):
        start = perf_counter()
        for _ in range(batch):
            call()
        stop = perf_counter()
        least = min(least, (stop - start) / batch)
        if stop > end and (attempt >= 2 or stop > deadline):
            break
    return least * 1e6


def _monotone(points: list[tuple[float, float]]) -> Points:
    """More work never takes less time: what says so is noise, and would make the choice jump."""
    result: list[tuple[float, float]] = []
    for size, time in points:
        result.append((float(size), round(max(time, result[-1][1] if result else 0.001), 3)))
    return tuple(result)


def _numpy_tasks() -> tuple[str, Tasks]:
    import numpy

    def full(size: int):
        return numpy.full(size, 0.5, "float32")

    def arith(size: int) -> Call:
        a, b = full(size), full(size)
        return lambda: numpy.add(a, b)

    def matmul(size: int) -> Call:
        side = round(size**0.5)
        a = full(side * side).reshape(side, side)
        return lambda: numpy.dot(a, a)

    def one(function: Callable) -> Callable[[int], Call]:
        def make(size: int) -> Call:
            a = full(size)
            return lambda: function(a)

        return make

    def sort(size: int) -> Call:
        a = _shuffled(size)
        return lambda: numpy.sort(a)

    return "numpy", {
        "move": one(numpy.copy),
        "arith": arith,
        "transcendental": one(numpy.exp),
        "reduce": one(numpy.sum),
        "sort": sort,
        "matmul": matmul,
    }


def _shuffled(size: int):
    import numpy

    return numpy.random.RandomState(0).rand(size).astype("float32")


def _mxnet_makers(wanted: tuple[str, ...] | None) -> list[Callable]:
    try:
        from minpy.runtime.backends.mxnet import load

        mxnet = load()
    except Exception:
        if wanted is None:
            return []
        raise
    devices = {"mxnet-cpu": mxnet.cpu()}
    if mxnet.context.num_gpus():
        devices["mxnet-gpu"] = mxnet.gpu(0)
    return [
        lambda name=name, device=device: _mxnet_tasks(mxnet, name, device)
        for name, device in devices.items()
        if wanted is None or name in wanted
    ]


def _cupy_makers(wanted: tuple[str, ...] | None) -> list[Callable]:
    if wanted is not None and "cupy-gpu" not in wanted:
        return []
    try:
        from minpy.runtime.backends import device_for
        from minpy.runtime.backends.cupy import count

        device = device_for("gpu", 0) if count() else None
    except Exception:
        device = None
    if device is None or device.label != "cupy-gpu":
        return []
    return [lambda: ("cupy-gpu", device_tasks(device))]


def device_tasks(device: Any) -> Tasks:
    """What to time on a device, through the back end's own interface: what a call of a program's costs there."""
    import numpy

    from minpy.runtime.primitives import table

    table.load()

    def full(size: int, *shape: int):
        return device.upload(numpy.full(shape or size, 0.5, "float32"))

    def finished(name: str, *handles: Any, **options: Any) -> Call:
        primitive = table.by_name[name]
        outline = [numpy.broadcast_to(numpy.float32(0.5), device.shape(h)) for h in handles]
        place = {id(o): h for o, h in zip(outline, handles, strict=True)}

        def call() -> None:
            device.run(primitive, tuple(outline), options, lambda _, array: place[id(array)])
            device.synchronize()

        return call

    def matmul(size: int) -> Call:
        side = round(size**0.5)
        return finished("dot", full(0, side, side), full(0, side, side))

    def to_device(size: int) -> Call:
        host = _shuffled(size)

        def call() -> None:
            device.upload(host)
            device.synchronize()

        return call

    def to_host(size: int) -> Call:
        handle, host = full(size), numpy.empty(size, "float32")
        return lambda: device.download(handle, host)

    return {
        "move": lambda size: finished("copy", full(size)),
        "arith": lambda size: finished("add", full(size), full(size)),
        "transcendental": lambda size: finished("exp", full(size)),
        "reduce": lambda size: finished("sum", full(size)),
        "sort": lambda size: finished("sort", device.upload(_shuffled(size))),
        "matmul": matmul,
        "to_device": to_device,
        "to_host": to_host,
    }


def _mxnet_tasks(mxnet: Any, backend: str, device: Any) -> tuple[str, Tasks]:
    nd = mxnet.nd

    def full(*shape: int):
        return nd.full(shape, 0.5, ctx=device, dtype="float32")

    def finished(operation: Callable, *operands: Any) -> Call:
        # MXNet returns before it computes; reading the result is what waits.
        return lambda: operation(*operands).wait_to_read()

    def matmul(size: int) -> Call:
        side = round(size**0.5)
        return finished(nd.dot, full(side, side), full(side, side))

    def to_device(size: int) -> Call:
        host = _shuffled(size)
        return lambda: nd.array(host, ctx=device, dtype="float32").wait_to_read()

    return backend, {
        "move": lambda size: finished(nd.identity, full(size)),
        "arith": lambda size: finished(nd.elemwise_add, full(size), full(size)),
        "transcendental": lambda size: finished(nd.exp, full(size)),
        "reduce": lambda size: finished(nd.sum, full(size)),
        "sort": lambda size: finished(nd.sort, nd.array(_shuffled(size), ctx=device)),
        "matmul": matmul,
        "to_device": to_device,
        "to_host": lambda size: full(size).asnumpy,
    }


if __name__ == "__main__":
    # For `minpy doctor`: in a process of its own, so that a library that crashes takes only this one along.
    found = calibrate(sys.argv[1:] or None)
    print("\n" + json.dumps(as_json(found)))
