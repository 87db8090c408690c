"""How long an operation takes on each back end: measured on this machine (`calibration`), kept, and used to choose.

Importing this module imports neither numpy nor a back end.
"""

from __future__ import annotations

import json
import os
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import exp, isfinite, log
from typing import Any

SCHEMA = 3
# A machine that is so many times slower or faster than the one of the built-in figures was not measured, but disturbed.
_PROPORTION = 300.0

# What is measured for each cost class of the table of primitives. A size is the number of elements of the
# largest operand, float32.
OP_CLASSES = {
    "move": "copy",
    "arith": "a + b",
    "transcendental": "exp(a)",
    "reduce": "sum(a)",
    "sort": "sort(a)",
    "matmul": "dot(A, A), square",
    "to_device": "copy from the host",
    "to_host": "copy to the host",
}
_REMEMBERED = 4096  # predictions
_SAME_AS = {"solve": "matmul"}  # cubic as well, and blocked by the same products

Points = tuple[tuple[float, float], ...]  # (size, microseconds), by increasing size
Table = Mapping[str, Mapping[str, Points]]  # back end -> class -> points


@dataclass(frozen=True)
class CostModel:
    """Microseconds by back end, class of operation and size.

    Attributes
    ----------
    points : mapping
        ``points[backend][op_class]``: measured ``(size, microseconds)`` pairs by size. The back ends are
        ``"numpy"``, ``"mxnet-cpu"``, ``"mxnet-gpu"`` and ``"cupy-gpu"``, as far as they were there.
    measured : bool
        Whether the figures come from this machine; else they are the built-in ones.
    machine : mapping
        What the figures hold for: processor, number of cores, versions.
    disturbed : tuple of str
        What could not be measured because the machine was busy: these figures are the built-in ones.
    """

    points: Table
    measured: bool = False
    machine: Mapping[str, str] = field(default_factory=dict)
    disturbed: tuple[str, ...] = ()
    # What was predicted: programs ask for the same sizes again and again.
    _known: dict[tuple, float] = field(default_factory=dict, repr=False, compare=False)

    @property
    def backends(self) -> tuple[str, ...]:
        """The back ends that the model knows."""
        return tuple(self.points)

    def predict(self, op_class: str, elements: float, backend: str) -> float:
        """Microseconds for an operation of `op_class` whose largest operand has `elements` elements.

        Between measured sizes the time is interpolated on logarithmic scales; beyond the largest it goes on
        growing as it last did, below the smallest it is that of the smallest.
        """
        if op_class == "free":
            return 0.0
        asked = op_class, elements, backend
        found = self._known.get(asked)
        if found is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            found = self._known[asked] = self._predict(*asked)
        return found

    def _predict(self, op_class: str, elements: float, backend: str) -> float:
        points = self.points[backend][_SAME_AS.get(op_class, op_class)]
        place = bisect_left(points, (elements,))
        if place == 0:
            return points[0][1]
        place = min(place, len(points) - 1)
        (size0, time0), (size1, time1) = points[place - 1], points[place]
        slope = log(time1 / time0) / log(size1 / size0)
        if elements > size1:
            slope = max(slope, 1.0)  # nothing here gets cheaper by the element without end
        return time1 * exp(slope * log(elements / size1))

    def threshold(self, op_class: str, device: str = "mxnet-gpu", resident: bool = False) -> float | None:
        """From how many elements on the device is chosen for operations of this class; None if it never is.

        Parameters
        ----------
        op_class, device, resident
            As for `best`.
        """
        sizes = [10.0 ** (power / 4) for power in range(4, 33)]
        chosen = [self.best(op_class, size, resident, device) == device for size in sizes]
        if not chosen[-1]:
            return None
        first = len(chosen) - (chosen[::-1].index(False) if False in chosen else len(chosen))
        return sizes[first]

    def best(self, op_class: str, elements: float, resident: bool = False, device: str = "mxnet-gpu") -> str:
        """Where the operation is done first, counting the copies it needs: ``"numpy"`` or `device`.

        Parameters
        ----------
        op_class : str
            A cost class of the table of primitives.
        elements : float
            The number of elements of the largest operand.
        resident : bool
            Whether the operands live on the device now.
        device : str
            The back end to compare NumPy with; the built-in model answers for one that this model lacks.
        """
        if op_class == "host":
            return "numpy"
        if op_class == "free":
            return device if resident else "numpy"
        there = self if device in self.points else BUILT_IN
        on_numpy = self.predict(op_class, elements, "numpy")
        on_device = there.predict(op_class, elements, device)
        if resident:
            on_numpy += there.predict("to_host", elements, device)
        else:
            on_device += there.predict("to_device", elements, device)
        return device if on_device < on_numpy else "numpy"


# Measured on a 2-core x86-64 machine, NumPy 1.26, MXNet 1.9.1: used until `minpy doctor --calibrate`.
# "mxnet-gpu" was not measured: it is 15 µs a launch, 200 GB/s of memory, 10 GB/s of bus, a product 11 times
# faster than NumPy's, as the original project reported; rough, and on the side of staying with NumPy. Neither was
# "cupy-gpu": the same with the launches of CuPy.
BUILT_IN = CostModel(
    {
        "numpy": {
            "move": ((10, 0.3), (1e3, 0.4), (3e4, 2.5), (1e6, 140.0)),
            "arith": ((10, 0.3), (1e3, 0.5), (3e4, 6.0), (1e6, 142.0)),
            "transcendental": ((10, 0.3), (1e3, 0.7), (3e4, 10.5), (1e6, 452.0)),
            "reduce": ((10, 1.5), (1e3, 1.8), (3e4, 6.0), (1e6, 157.0)),
            "sort": ((10, 0.55), (1e3, 3.1), (3e4, 105.0)),
            "matmul": ((64, 0.4), (4096, 3.8), (65536, 150.0), (1048576, 10900.0)),
        },
        "mxnet-cpu": {
            "move": ((10, 11.0), (1e3, 11.5), (3e4, 14.0), (1e6, 420.0)),
            "arith": ((10, 11.4), (1e3, 12.0), (3e4, 23.0), (1e6, 630.0)),
            "transcendental": ((10, 11.4), (1e3, 14.0), (3e4, 156.0), (1e6, 3880.0)),
            "reduce": ((10, 13.0), (1e3, 16.5), (3e4, 150.0), (1e6, 5840.0)),
            "sort": ((10, 17.0), (1e3, 28.0), (3e4, 1800.0)),
            "matmul": ((64, 13.0), (4096, 28.0), (65536, 424.0), (1048576, 20100.0)),
            "to_device": ((10, 45.0), (1e3, 45.0), (3e4, 48.0), (1e6, 377.0)),
            "to_host": ((10, 4.0), (1e3, 4.1), (3e4, 6.0), (1e6, 261.0)),
        },
        "mxnet-gpu": {
            "move": ((10, 15.0), (3e4, 16.0), (1e6, 55.0)),
            "arith": ((10, 15.0), (3e4, 17.0), (1e6, 75.0)),
            "transcendental": ((10, 15.0), (3e4, 16.0), (1e6, 55.0)),
            "reduce": ((10, 20.0), (3e4, 21.0), (1e6, 40.0)),
            "sort": ((10, 100.0), (3e4, 300.0), (1e6, 3000.0)),
            "matmul": ((64, 20.0), (4096, 22.0), (65536, 45.0), (1048576, 1000.0)),
            "to_device": ((10, 30.0), (3e4, 45.0), (1e6, 430.0)),
            "to_host": ((10, 20.0), (3e4, 32.0), (1e6, 420.0)),
        },
        "cupy-gpu": {
            "move": ((10, 12.0), (3e4, 12.5), (1e6, 50.0)),
            "arith": ((10, 12.0), (3e4, 13.0), (1e6, 70.0)),
            "transcendental": ((10, 12.0), (3e4, 12.5), (1e6, 50.0)),
            "reduce": ((10, 25.0), (3e4, 26.0), (1e6, 40.0)),
            "sort": ((10, 80.0), (3e4, 150.0), (1e6, 800.0)),
            "matmul": ((64, 20.0), (4096, 22.0), (65536, 40.0), (1048576, 600.0)),
            "to_device": ((10, 25.0), (3e4, 40.0), (1e6, 430.0)),
            "to_host": ((10, 20.0), (3e4, 32.0), (1e6, 420.0)),
        },
    }
)


def machine() -> dict[str, str]:
    """What measured figures depend on: another value of any of these means measuring again."""
    from minpy.version import VERSION

    cores = str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    return {
        "schema": str(SCHEMA),
        "minpy": VERSION.partition(".dev")[0],
        "cpu": _cpu_model(),
        "cores": cores,
        "threads": os.environ.get("OMP_NUM_THREADS")
        or cores,  # the MXNet back end sets it to the cores when it loads
        "numpy": _version("numpy"),
        "blas": _blas(),
        "mxnet": _version("mxnet") or _version("mxnet-cu112"),
        "cupy": _version("cupy-cuda13x") or _version("cupy-cuda12x") or _version("cupy"),
    }


def _blas() -> str:
    """The library of NumPy's products, as far as NumPy says."""
    try:
        from numpy.__config__ import CONFIG

        found = CONFIG["Build Dependencies"]["blas"]
        return f"{found['name']} {found.get('version', '')}".strip()
    except (ImportError, KeyError, TypeError):
        return ""


def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith(("model name", "Hardware")):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    import platform

    return platform.processor() or platform.machine()


def _version(distribution: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(distribution) or ""
    except metadata.PackageNotFoundError:
        return ""


def calibration_path() -> str:
    """The file that this machine's figures are kept in; empty if there is no cache folder."""
    from minpy.transform.cache import cache_dir

    folder = cache_dir()
    if not folder:
        return ""
    import hashlib

    # One file for each machine, because a home folder may be shared between machines.
    key = json.dumps(machine(), sort_keys=True).encode()
    return os.path.join(folder, f"calibration-{hashlib.sha256(key).hexdigest()[:16]}.json")


def as_json(model: CostModel) -> dict[str, Any]:
    """What `from_json` reads."""
    return {"machine": model.machine, "points": model.points, "disturbed": model.disturbed}


def save(model: CostModel) -> str:
    """Keep a measured model for the next runs; return the file's path.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    path = calibration_path()
    if not path:
        raise FileNotFoundError(2, "there is no cache folder (HOME is not set; MINPY_CACHE_DIR names one)")
    from minpy.transform import cache

    cache.write_atomically(path, json.dumps(as_json(model), indent=1).encode())
    return path


@lru_cache(maxsize=1)
def model() -> CostModel:
    """The model of this process: `load`, once."""
    return load()


def load() -> CostModel:
    """This machine's measured model from the cache; the built-in one if there is none that can be trusted."""
    path = calibration_path()
    if not path:
        return BUILT_IN
    try:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
        found = from_json(data)
        return found if data["machine"] == machine() and not implausible(found.points) else BUILT_IN
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return BUILT_IN


def from_json(data: Mapping[str, Any]) -> CostModel:
    """The model that `save` wrote.

    Raises
    ------
    ValueError, KeyError, TypeError, AttributeError
        If `data` is anything else.
    """
    disturbed = tuple(str(each) for each in data.get("disturbed", ()))
    return CostModel(_checked(data["points"]), True, data["machine"], disturbed)


def implausible(points: Table) -> list[tuple[str, str]]:
    """The back ends and classes whose figures only a disturbed measurement can have given."""
    found = []
    for backend, classes in points.items():
        for op_class, pairs in classes.items():
            if op_class not in BUILT_IN.points.get(backend, {}):
                continue
            for size, time in pairs:
                usual = BUILT_IN.predict(op_class, size, backend)
                if not usual / _PROPORTION <= time <= usual * _PROPORTION:
                    found.append((backend, op_class))
                    break
    return found


def _checked(points: object) -> Table:
    table: dict[str, dict[str, Points]] = {}
    for backend, classes in points.items():  # type: ignore[attr-defined]
        table[backend] = {}
        for op_class in OP_CLASSES:
            if backend == "numpy" and op_class.startswith("to_"):
                continue
            pairs = tuple((float(size), float(time)) for size, time in classes[op_class])
            sizes, times = [size for size, _ in pairs], [time for _, time in pairs]
            if len(pairs) < 2 or sizes != sorted(set(sizes)) or times != sorted(times):
                raise ValueError("not in order")
            if not (sizes[0] > 0 and times[0] > 0 and isfinite(sizes[-1]) and isfinite(times[-1])):
                raise ValueError("out of range")
            table[backend][op_class] = pairs
    if "numpy" not in table:
        raise ValueError("without NumPy there is nothing to compare with")
    return table
