"""Tests and times MinPy on this machine's GPU, in one command and less than eight minutes.

python -m benchmarks.gpu [-o docs/gpu] [--only part…] [--seconds 450]

Needs NumPy and a library that drives the card (CuPy, or MXNet's build for CUDA); compares with CuPy itself, PyTorch and
JAX where they are installed, and says what was left out where something is not. No installation of MinPy is needed:
``PYTHONPATH=. python -m benchmarks.gpu`` in a copy of the repository. Writes ``.json`` after each part, so that what
was measured is kept whatever happens, and ``.md`` and ``.png`` at the end. ``--simulated`` runs all of it on the simulated GPU of
the tests, to try out the program itself: its times mean nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import functools
import gc
import importlib
import importlib.util
import io
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import time
import traceback
import types
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import gpu_several
from benchmarks.gpu_several import several  # noqa: F401 - a part, found by its name

ROOT = Path(__file__).resolve().parents[1]
# The parts in order, and the share of the time that each may take.
PARTS = {
    "environment": 0.02, "copies": 0.03, "products": 0.10, "chains": 0.12, "training": 0.15, "simulation": 0.10,
    "small": 0.06, "grey": 0.04, "bad_input": 0.02, "examples": 0.08, "table": 0.14, "gradients": 0.09,
    "several": 0.05,
}  # fmt: skip


class Run:
    """What all parts need: the device, the peers, the clock.

    Parameters
    ----------
    simulated : bool
        On the simulated GPU of the tests.
    seconds : float
        What all parts may take together.
    """

    def __init__(self, simulated: bool, seconds: float) -> None:
        self.simulated, self.seconds = simulated, seconds
        self.end = time.perf_counter() + seconds
        if simulated:
            _simulate()
        from minpy import routed
        from minpy.runtime.context import gpu

        self.device = gpu(0).device()
        self.gpu, self.routed = gpu, routed
        self.small = simulated  # sizes
        self.cupy = None if simulated else _module("cupy")
        self.torch = None if simulated else _torch()
        self.jax = None if simulated else _jax()

    def there(self) -> contextlib.ExitStack:
        """On the GPU, whatever `auto` thinks."""
        from minpy.runtime.policy import PreferMXNetPolicy

        stack = contextlib.ExitStack()
        stack.enter_context(self.gpu(0))
        stack.enter_context(PreferMXNetPolicy())
        return stack

    def time(self, calls: dict[str, Callable[[], Any]], seconds: float) -> dict[str, float]:
        """The median seconds of each, in interleaved rounds; each call waits for the device."""
        if self.simulated:
            least, seconds = 1, 0.0
        else:
            least = 5
            for call in calls.values():
                call(), call()
        times: dict[str, list[float]] = {name: [] for name in calls}
        end = min(time.perf_counter() + seconds, self.end)
        gc.collect()
        gc.disable()
        try:
            while len(next(iter(times.values()))) < least or (
                time.perf_counter() < end and len(next(iter(times.values()))) < 200
            ):
                for name, call in calls.items():
                    start = time.perf_counter()
                    call()
                    times[name].append(time.perf_counter() - start)
        finally:
            gc.enable()
        return {name: statistics.median(each) for name, each in times.items()}

    def finished(self, call: Callable[[], Any]) -> Callable[[], Any]:
        """`call`, and waiting for what it started on MinPy's device."""

        def run() -> Any:
            result = call()
            self.device.synchronize()
            return result

        return run


def _simulate() -> None:
    sys.path.insert(0, str(ROOT / "tests" / "device"))
    import simulated

    from minpy.runtime.backends import choice
    from minpy.runtime.backends import cupy as backend

    backend.library.module = simulated.Machine(cards=2, memory=1 << 26).cupy
    sys.modules["cupyx"] = types.SimpleNamespace(errstate=lambda **kwargs: contextlib.nullcontext())  # type: ignore[assignment]
    choice.backend_for = lambda device_id: "cupy"


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except Exception:
        return None


def _torch() -> Any:
    torch = _module("torch")
    return torch if torch is not None and torch.cuda.is_available() else None


def _jax() -> Any:
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    jax = _module("jax")
    try:
        if jax is None or jax.default_backend() not in ("gpu", "cuda"):
            return None
        jax.config.update("jax_enable_x64", True)
        return jax
    except Exception:
        return None


# ----- the parts --------------------------------------------------------------------------------------------


def environment(run: Run, seconds: float) -> dict[str, Any]:
    """The card, the driver, the libraries; which back end was chosen and why."""
    from minpy import doctor
    from minpy.version import VERSION

    versions = {"minpy": VERSION, "numpy": np.__version__}
    for name in ("cupy", "mxnet", "torch", "jax", "libcst", "llvmlite", "scipy"):
        module = None if run.simulated else _module(name) if name != "mxnet" else sys.modules.get("mxnet")
        if module is not None:
            versions[name] = str(getattr(module, "__version__", "?"))
    gpus = {"driver": None, "devices": []} if run.simulated else doctor.examine_gpus()
    return {
        "date": datetime.date.today().isoformat(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "simulated": run.simulated,
        "driver": gpus["driver"],
        "gpus": gpus["devices"],
        "backend": run.device.backend,
        "memory": run.device.memory(),
        "versions": versions,
    }


def copies(run: Run, seconds: float) -> dict[str, Any]:
    """GB/s to the device and back, and inside it."""
    n = 1 << (16 if run.small else 26)
    host, back = np.random.default_rng(0).random(n), np.empty(n)
    handle = run.device.upload(host)
    times = run.time(
        {
            "to_device": run.finished(lambda: run.device.upload(host)),
            "to_host": lambda: run.device.download(handle, back),
            "inside": run.finished(lambda: run.device.copy(handle)),
        },
        seconds,
    )
    found = {name: host.nbytes * (2 if name == "inside" else 1) / t / 1e9 for name, t in times.items()}
    return {"GB_per_s": found, "bytes": host.nbytes, "right": bool(np.array_equal(host, back))}


def products(run: Run, seconds: float) -> dict[str, Any]:
    """``np.dot`` of square matrices against the vendor's library, called directly."""
    sizes = (64,) if run.small else (1024, 8192)
    found = {}
    for n in sizes:
        for dtype in ("float32", "float64"):
            a = np.random.default_rng(1).random((n, n)).astype(dtype)
            with run.there():
                there = run.routed.np.multiply(a, np.array(1.0, dtype))
                calls: dict[str, Any] = {"minpy": run.finished(lambda x=there: run.routed.np.dot(x, x))}
                if run.cupy is not None:
                    c = run.cupy.asarray(a)
                    calls["vendor"] = _cupy_done(run, lambda x=c: run.cupy.dot(x, x))
                if run.torch is not None:
                    t = run.torch.asarray(a).cuda()
                    calls["torch"] = _torch_done(run, lambda x=t: x @ x)
                times = run.time(calls, seconds / 4)
                right = bool(
                    np.allclose(np.asarray(run.routed.np.dot(there, there))[:2], a[:2] @ a, rtol=1e-3)
                )
            rates = {name: 2 * n**3 / t / 1e12 for name, t in times.items()}
            found[f"{n} {dtype}"] = {
                "TFLOPS": rates, "right": right, "of_vendor": rates["minpy"] / rates["vendor"] if "vendor" in rates else None,
            }  # fmt: skip
    return found


def _cupy_done(run: Run, call: Callable[[], Any]) -> Callable[[], Any]:
    def done() -> None:
        call()
        run.cupy.cuda.Stream.null.synchronize()

    return done


def _torch_done(run: Run, call: Callable[[], Any]) -> Callable[[], Any]:
    def done() -> None:
        call()
        run.torch.cuda.synchronize()

    return done


def chains(run: Run, seconds: float) -> dict[str, Any]:
    """Element-wise expressions of large arrays: GB/s, counting each operand and the result once."""

    def smooth(np: Any, a: Any, b: Any) -> Any:
        return np.tanh(a * b + a) - np.exp(-b)

    def rational(np: Any, a: Any, b: Any) -> Any:
        return (a * b + a - 2 * b) / (1 + a * a)

    n = 10_000 if run.small else 50_000_000
    found = {}
    for name, f in (("tanh(a*b+a) - exp(-b)", smooth), ("(a*b+a-2*b) / (1+a*a)", rational)):
        for dtype in ("float32", "float64"):
            rng = np.random.default_rng(2)
            a, b = rng.random(n).astype(dtype), rng.random(n).astype(dtype)
            with run.there():
                x, y = run.routed.np.negative(-a), run.routed.np.negative(-b)
                calls: dict[str, Any] = {"minpy": run.finished(lambda: f(run.routed.np, x, y))}
                if run.cupy is not None:
                    cx, cy = run.cupy.asarray(a), run.cupy.asarray(b)
                    calls["cupy"] = _cupy_done(run, lambda: f(run.cupy, cx, cy))
                if run.torch is not None:
                    tx, ty = run.torch.asarray(a).cuda(), run.torch.asarray(b).cuda()
                    calls["torch"] = _torch_done(run, lambda: f(run.torch, tx, ty))
                if run.jax is not None:
                    jnp = run.jax.numpy
                    jitted = run.jax.jit(lambda p, q: f(jnp, p, q))
                    jx, jy = jnp.asarray(a), jnp.asarray(b)
                    calls["jax"] = lambda: jitted(jx, jy).block_until_ready()
                times = run.time(calls, seconds / 4)
                right = bool(
                    np.allclose(
                        np.asarray(f(run.routed.np, x, y))[:1000], f(np, a[:1000], b[:1000]), rtol=1e-4
                    )
                )
            found[f"{name} {dtype}"] = {
                "GB_per_s": {each: 3 * a.nbytes / t / 1e9 for each, t in times.items()}, "right": right,
            }  # fmt: skip
    return found


def _mlp_loss(np: Any, p: list[Any], x: Any, t: Any) -> Any:
    h = np.maximum(np.dot(x, p[0]) + p[1], 0.0)
    h = np.maximum(np.dot(h, p[2]) + p[3], 0.0)
    s = np.dot(h, p[4]) + p[5]
    s = s - np.max(s, axis=1, keepdims=True)
    return -np.mean(np.sum(t * (s - np.log(np.sum(np.exp(s), axis=1, keepdims=True))), axis=1))


def _lstm_loss(np: Any, p: list[Any], x: Any, t: Any) -> Any:
    wx, wh, b, w = p
    units = wh.shape[0]
    h = np.zeros((x.shape[1], units), dtype=x.dtype)
    c = np.zeros((x.shape[1], units), dtype=x.dtype)
    for step in range(x.shape[0]):
        g = np.dot(x[step], wx) + np.dot(h, wh) + b
        i, f = 1 / (1 + np.exp(-g[:, :units])), 1 / (1 + np.exp(-g[:, units : 2 * units]))
        o, u = 1 / (1 + np.exp(-g[:, 2 * units : 3 * units])), np.tanh(g[:, 3 * units :])
        c = f * c + i * u
        h = o * np.tanh(c)
    return np.mean((np.dot(h, w) - t) ** 2)


def _cnn_loss(np: Any, p: list[Any], x: Any, t: Any) -> Any:
    from minpy.nn import layers

    for w, b in ((p[0], p[1]), (p[2], p[3])):
        x = layers.pooling(layers.relu(layers.convolution(x, w, b, pad=2)))
    return layers.softmax_loss(layers.affine(x, p[4], p[5]), t)


def training(run: Run, seconds: float) -> dict[str, Any]:
    """Steps of training: forward, gradient, update in place; MLP, CNN and LSTM, beside PyTorch in eager mode.

    PyTorch's convolutions are cuDNN's, in full single precision (no TF32), as MinPy's products are.
    """
    import minpy

    rng = np.random.default_rng(3)
    k = 8 if run.small else 1
    layers = [784 // k, 1024 // k, 1024 // k, 10]
    units, steps, batch = 256 // k, 20 // (3 if run.small else 1), 128 // k

    def drawn(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) * 0.05).astype("float32")

    mlp = [drawn(*s) for m, n in itertools.pairwise(layers) for s in ((m, n), (n,))]
    lstm = [drawn(128 // k, 4 * units), drawn(units, 4 * units), drawn(4 * units), drawn(units, 8)]
    labels = np.eye(10, dtype="float32")[rng.integers(0, 10, batch)]
    side, filters = 32 // (4 if run.small else 1), (32 // k, 64 // k)
    cnn = [
        *(drawn(filters[0], 3, 5, 5), drawn(filters[0])),
        *(drawn(filters[1], filters[0], 5, 5), drawn(filters[1])),
        *(drawn(filters[1] * (side // 4) ** 2, 10), drawn(10)),
    ]
    cases = {
        "mlp": (_mlp_loss, mlp, drawn(batch, layers[0]), labels),
        "cnn": (_cnn_loss, cnn, drawn(batch, 3, side, side), labels),
        "lstm": (_lstm_loss, lstm, drawn(steps, batch, 128 // k), drawn(batch, 8)),
    }
    found: dict[str, Any] = {}
    for name, (loss, start, x, t) in cases.items():
        with run.there():
            door = run.routed.np
            p = [door.negative(-w) for w in start]
            step = minpy.value_and_grad(lambda q, x, t, loss=loss: loss(run.routed.np, q, x, t))

            def ours(p: Any = p, step: Any = step, x: Any = x, t: Any = t) -> float:
                value, gradient = step(p, x, t)
                for w, g in zip(p, gradient, strict=True):
                    w -= 0.01 * g
                return float(value)

            first = ours()
            calls: dict[str, Any] = {"minpy": run.finished(ours)}
            if run.torch is not None:
                calls["torch"] = _torch_step(run, name, start, x, t)
            times = run.time(calls, seconds / len(cases))
        want = float(loss(np, start, x, t))
        found[name] = {
            "ms": {each: 1e3 * s for each, s in times.items()},
            "right": abs(first - want) < 1e-3 * abs(want) + 1e-4,
        }
        if "torch" in calls:
            found[name]["peer"] = "PyTorch eager, no TF32"
    return found


def _torch_step(
    run: Run, name: str, start: list[np.ndarray], x: np.ndarray, t: np.ndarray
) -> Callable[[], Any]:
    torch = run.torch
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    p = [torch.asarray(w.copy()).cuda().requires_grad_() for w in start]
    x, t = torch.asarray(x).cuda(), torch.asarray(t).cuda()

    def loss() -> Any:
        if name == "mlp":
            h = torch.relu(x @ p[0] + p[1])
            h = torch.relu(h @ p[2] + p[3])
            return -torch.mean(torch.sum(t * torch.log_softmax(h @ p[4] + p[5], 1), 1))
        if name == "cnn":
            h, functions = x, torch.nn.functional
            for w, b in ((p[0], p[1]), (p[2], p[3])):
                h = functions.max_pool2d(torch.relu(functions.conv2d(h, w, b, padding=2)), 2)
            return -torch.mean(torch.sum(t * torch.log_softmax(h.flatten(1) @ p[4] + p[5], 1), 1))
        units = p[1].shape[0]
        h = c = torch.zeros(x.shape[1], units, device=x.device)
        for step in range(x.shape[0]):
            i, f, o, u = (x[step] @ p[0] + h @ p[1] + p[2]).split(units, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(u)
            h = torch.sigmoid(o) * torch.tanh(c)
        return torch.mean((h @ p[3] - t) ** 2)

    def step() -> float:
        value = loss()
        gradient = torch.autograd.grad(value, p)
        with torch.no_grad():
            for w, g in zip(p, gradient, strict=True):
                w -= 0.01 * g
        torch.cuda.synchronize()
        return float(value)

    return step


SIMULATION = """
import numpy as np

def simulate(n, steps):
    u = np.zeros((n, n))
    u[n // 4 : n // 2, n // 4 : n // 2] = 1.0
    for _ in range(steps):
        lap = u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2] - 4.0 * u[1:-1, 1:-1]
        u[1:-1, 1:-1] += 0.1 * lap
        u *= 0.999
    return u
"""


def simulation(run: Run, seconds: float) -> dict[str, Any]:
    """A simulation of 1e8 elements in plain NumPy: on the host, and on the GPU."""
    n, steps = (64, 3) if run.small else (10_000, 10)
    rewritten = importlib.util.find_spec("libcst") is not None
    spaces: dict[str, dict[str, Any]] = {}
    for name in ("numpy", "minpy"):
        spaces[name] = {"__name__": f"simulation_{name}"}
        exec(compile(SIMULATION, f"<{name}>", "exec"), spaces[name])
    spaces["minpy"]["np"] = run.routed.np if not rewritten else np
    start = time.perf_counter()
    want = spaces["numpy"]["simulate"](n, 2)
    host = (time.perf_counter() - start) / 2
    with run.there():
        spaces["minpy"]["np"] = run.routed.np  # what rewritten code goes through
        simulate = spaces["minpy"]["simulate"]
        got = simulate(n, 2)
        right = bool(np.allclose(np.asarray(got)[n // 4 - 2 : n // 4 + 2], want[n // 4 - 2 : n // 4 + 2]))
        del got
        start = time.perf_counter()
        simulate(n, steps)
        run.device.synchronize()
        there = (time.perf_counter() - start) / steps
    return {
        "elements": n * n,
        "ms_a_step": {"numpy": 1e3 * host, "minpy": 1e3 * there},
        "times": host / there,
        "right": right,
    }


def small(run: Run, seconds: float) -> dict[str, Any]:
    """Programs of small arrays under `auto` with the GPU at hand: they must not be slower than on the CPU."""

    def steps(np: Any) -> Any:
        a = np.linspace(0.1, 0.9, 40)
        for _ in range(200):
            a = np.sqrt(np.exp(-a) + a * a)
        return np.sum(a)

    from minpy.runtime.profile import Recorder, start, stop

    with run.gpu(0):
        recorder = start(Recorder())
        steps(run.routed.np)
        stop(recorder)
        times = run.time({"gpu_auto": lambda: steps(run.routed.np)}, seconds / 2)
    times |= run.time({"numpy": lambda: steps(np)}, seconds / 2)
    there = sum(count for (_, where), count in recorder.calls.items() if where != "numpy")
    return {"ms": {name: 1e3 * t for name, t in times.items()}, "operations_on_the_gpu": there}


def grey(run: Run, seconds: float) -> dict[str, Any]:
    """The grey picture of the original's example, again and again: `auto` against both sides."""
    from minpy.runtime.context import cpu

    shape = (64, 96, 3) if run.small else (1536, 2048, 3)
    face, weights = np.random.default_rng(4).random(shape), np.array([0.299, 0.587, 0.114])

    def auto() -> None:
        with run.gpu(0):
            run.routed.np.dot(face, weights)
            run.device.synchronize()

    def there() -> None:
        with run.there():
            run.routed.np.dot(face, weights)
            run.device.synchronize()

    def here() -> None:
        with cpu():
            np.dot(face, weights)

    for _ in range(20):
        auto()
    times = run.time({"auto": auto, "gpu": there, "cpu": here}, seconds)
    return {
        "ms": {name: 1e3 * t for name, t in times.items()},
        "auto_of_the_better": times["auto"] / min(times["gpu"], times["cpu"]),
    }


def bad_input(run: Run, seconds: float) -> dict[str, Any]:
    """What is said where there is no such GPU, or no room."""
    from minpy.errors import DeviceError, DeviceMemoryError

    found = {}
    try:
        run.gpu(77).device()
    except DeviceError as error:
        found["gpu(77)"] = str(error)
    try:
        memory = run.device.memory() or {"total": 1 << 34}
        run.device.upload(
            np.broadcast_to(np.float64(1), (memory["total"] // 4,))
            if run.simulated
            else _hollow(memory["total"])
        )
    except (DeviceMemoryError, MemoryError, ValueError) as error:
        found["no room"] = f"{type(error).__name__}: {error}"[:300]
    with run.there():
        a = run.routed.np.exp(np.ones(1000))
    found["goes on"] = str(float(np.asarray(a)[0]))
    return found


def _hollow(total: int) -> np.ndarray:
    return np.zeros(
        total // 8 + (1 << 27)
    )  # never touched on the host until it is copied; more than the card has


def examples(run: Run, seconds: float) -> dict[str, Any]:
    """The examples under ``minpy run --context gpu``: their text against plain Python's."""
    missing = [name for name in ("libcst", "sklearn") if importlib.util.find_spec(name) is None]
    if missing:
        return {"left out": f"{' and '.join(missing)} not installed"}
    if run.simulated:
        return {"left out": "see tests/device/test_simulated.py"}
    found = {}
    environ = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    for path in sorted((ROOT / "examples").glob("*.py")):
        each = max(10.0, seconds / 6)
        texts, times = [], []
        for command in ([sys.executable], [sys.executable, "-m", "minpy", "run", "--context", "gpu"]):
            start = time.perf_counter()
            try:
                done = subprocess.run(
                    [*command, str(path)], capture_output=True, text=True, timeout=each, env=environ
                )
                texts.append(
                    done.stdout if not done.returncode else f"status {done.returncode}: {done.stderr[-300:]}"
                )
            except subprocess.TimeoutExpired:
                texts.append(f"more than {each:.0f} s")
            times.append(time.perf_counter() - start)
        found[path.name] = {
            "identical": texts[0] == texts[1],
            "largest_difference": _numbers_apart(*texts),
            "s": times,
        }
        if found[path.name]["largest_difference"] is None and not found[path.name]["identical"]:
            found[path.name]["texts"] = [text[-400:] for text in texts]
    return found


def _numbers_apart(first: str, second: str) -> float | None:
    """The largest relative difference of the numbers in two texts that are alike otherwise; None if they are not."""
    import re

    number = re.compile(r"[-+]?\d+\.\d+(?:[eE][-+]?\d+)?")
    if number.sub("#", first) != number.sub("#", second):
        return None
    pairs = zip(map(float, number.findall(first)), map(float, number.findall(second)), strict=True)
    return max((abs(a - b) / max(abs(a), abs(b), 1e-12) for a, b in pairs), default=0.0)


def table(run: Run, seconds: float) -> dict[str, Any]:
    """Every row of the table of primitives on the GPU against NumPy, in all dtypes and layouts."""
    sys.path.insert(0, str(ROOT / "tests" / "runtime"))
    try:
        import table_driver
    except ImportError as error:
        return {"left out": f"the tests are not here ({error})"}
    end = time.perf_counter() + seconds
    failures, tried, left = {}, 0, []
    names = sorted(
        _rows(), key=lambda p: (isinstance(run.device.kernel(p), str), zlib.crc32(p.name.encode()))
    )
    if run.small:
        names = names[:5]
    for primitive in names:
        if time.perf_counter() > end or run.device.broken:
            left.append(primitive.name)
            continue
        tried += 1
        try:
            wrong = table_driver.parity_failures(primitive, "prefer_mxnet", limit=2, context=run.gpu(0))
        except Exception as error:
            wrong = [f"{type(error).__name__}: {error}"]
        if wrong:
            failures[primitive.name] = [text[:500] for text in wrong]
    return {
        "rows": tried,
        "left_for_want_of_time": len(left),
        "failures": failures,
        "broken": run.device.broken,
    }


def _rows() -> list[Any]:
    """All rows of the table, those of the library included."""
    import minpy.nn.layers  # noqa: F401 - has rows
    from minpy.runtime.primitives import table as rows

    return [*rows.library_rows(), *rows.rows()]


def gradients(run: Run, seconds: float) -> dict[str, Any]:
    """The derivative of each row that has a kernel: on the GPU against the host, for its samples in float64."""
    import minpy
    from minpy.runtime import dispatch

    end = time.perf_counter() + seconds
    failures, tried = {}, 0
    skipped = frozenset(("nextafter", "empty", "empty_like", "astype"))
    for primitive in _rows():
        if time.perf_counter() > end or run.device.broken:
            break
        if isinstance(run.device.kernel(primitive), str) or primitive.flat or primitive.samples is None:
            continue
        if primitive.name in skipped or primitive.creates:
            continue
        if not primitive.mirrors and primitive.family != "nn":
            continue
        rng = np.random.default_rng(zlib.crc32(primitive.name.encode()))
        for args, kwargs in list(primitive.samples(rng, np.dtype("float64")))[:3]:
            if (
                not args
                or type(args[0]) is not np.ndarray
                or not args[0].ndim
                or not np.all(np.isfinite(args[0]))
            ):
                continue
            if kwargs.get("out") is not None:
                continue

            def f(x: Any, args: tuple = args, kwargs: dict = kwargs, primitive: Any = primitive) -> Any:
                function: Any = run.routed.np
                if primitive.mirrors:
                    for part in primitive.name.split("."):
                        function = getattr(function, part)
                else:
                    function = functools.partial(dispatch.apply, primitive.name)
                y = function(x, *args[1:], **kwargs)
                return run.routed.np.sum(y * y)

            with np.errstate(all="ignore"), contextlib.redirect_stderr(io.StringIO()):
                try:
                    want = np.asarray(minpy.grad(f)(np.array(args[0])))
                except Exception:
                    continue  # NumPy refuses the sample, or it has no gradient
                tried += 1
                try:
                    with run.there():
                        got = np.asarray(minpy.grad(f)(np.array(args[0])))
                    same = np.allclose(got, want, rtol=1e-8, atol=1e-10, equal_nan=True)
                except Exception as error:
                    failures[primitive.name] = f"{type(error).__name__}: {error}"[:300]
                    continue
                if not same:
                    failures[primitive.name] = f"{got.ravel()[:4]} instead of {want.ravel()[:4]}"
    return {"tried": tried, "failures": failures, "broken": run.device.broken}


# ----- the report -------------------------------------------------------------------------------------------


def _by_peer(values: dict[str, float], unit: str, digits: int = 1) -> str:
    return ", ".join(f"{name} {value:,.{digits}f} {unit}" for name, value in values.items())


def lines(report: dict[str, Any]) -> list[str]:
    """The report as lines of Markdown."""
    about = report["environment"]
    cards = (
        ", ".join(f"{c['name']} (capability {c['capability']})" for c in about.get("gpus", []))
        or "a simulated GPU"
    )
    versions = ", ".join(f"{name} {version}" for name, version in about.get("versions", {}).items())
    out = [
        f"Measured on {about.get('date')}: {cards}, driver for {about.get('driver')}, driven by {about.get('backend')}; "
        f"Python {about.get('python')}, {versions}.",
        "",
    ]
    if about.get("simulated"):
        out += ["**On a simulated GPU: the times mean nothing.**", ""]
    rows: list[tuple[str, str]] = []
    for name in PARTS:
        part = report.get(name)
        if part is None:
            rows.append((name, "not measured"))
        elif "error" in part:
            rows.append((name, f"failed: {part['error'].splitlines()[-1][:200]}"))
        elif "left out" in part:
            rows.append((name, f"not measured: {part['left out']}"))
        elif name == "copies":
            rows.append((name, _by_peer(part["GB_per_s"], "GB/s")))
        elif name == "products":
            for case, each in part.items():
                share = f"; {each['of_vendor']:.1%} of the vendor's library" if each["of_vendor"] else ""
                rows.append((f"dot {case}", f"{_by_peer(each['TFLOPS'], 'TFLOPS')}{share}{_wrong(each)}"))
        elif name == "chains":
            for case, each in part.items():
                rows.append((f"`{case}`", _by_peer(each["GB_per_s"], "GB/s", 0) + _wrong(each)))
        elif name == "training":
            for case, each in part.items():
                peer = f" ({each['peer']})" if "peer" in each else "; PyTorch is not there"
                text = _by_peer(each["ms"], "ms", 2) + peer + _wrong(each)
                rows.append((f"a training step, {case}", text))
        elif name == "simulation":
            text = (
                f"{part['times']:.1f} times NumPy ({_by_peer(part['ms_a_step'], 'ms a step')}){_wrong(part)}"
            )
            rows.append((f"stencil in place, {part['elements']:.0e} elements", text))
        elif name == "small":
            text = f"{_by_peer(part['ms'], 'ms', 2)}; {part['operations_on_the_gpu']} operations on the GPU"
            rows.append(("200 steps on 40 elements, `auto`", text))
        elif name == "grey":
            text = f"{_by_peer(part['ms'], 'ms', 3)}; `auto` takes {part['auto_of_the_better']:.2f} of the better"
            rows.append(("the grey picture", text))
        elif name == "table":
            text = f"{part['rows']} rows, {len(part['failures'])} differ, {part['left_for_want_of_time']} not reached"
            rows.append(("the table of primitives", text))
        elif name == "gradients":
            rows.append(("gradients", f"{part['tried']} samples, {len(part['failures'])} differ"))
        elif name == "examples":
            for case, each in part.items():
                apart = each["largest_difference"]
                same = (
                    "the same text"
                    if each["identical"]
                    else "other text"
                    if apart is None
                    else f"numbers {apart:.1e} apart"
                )
                rows.append(
                    (f"`{case}`", f"{same}; {each['s'][0]:.1f} s plain, {each['s'][1]:.1f} s on the GPU")
                )
        elif name == "several":
            case, text = gpu_several.row(part)
            rows.append((case, text + _wrong(part)))
        elif name == "bad_input":
            rows += [(case, text) for case, text in part.items()]
    out += ["| what | result |", "| --- | --- |"]
    out += [f"| {case} | {text} |" for case, text in rows]
    for name in ("table", "gradients"):
        failed = (report.get(name) or {}).get("failures") or {}
        if failed:
            out += ["", f"What differs ({name}):", ""]
            for case, text in failed.items():
                out.append(f"* `{case}`: {text if isinstance(text, str) else text[0]}")
    return out


def _wrong(part: dict[str, Any]) -> str:
    return "" if part.get("right", True) else " **wrong result**"


def plot(report: dict[str, Any], path: Path) -> bool:
    """Draw the rates of chains and products; whether that was possible."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except Exception:
        return False
    parts = [
        (name, key)
        for name, key in (("chains", "GB_per_s"), ("products", "TFLOPS"))
        if "error" not in report.get(name, {"error": 1})
    ]
    if not parts:
        return False
    figure, axes = pyplot.subplots(1, len(parts), figsize=(7 * len(parts), 4.5), squeeze=False)
    for axis, (name, key) in zip(axes[0], parts, strict=True):
        cases = report[name]
        peers = list(dict.fromkeys(peer for case in cases.values() for peer in case[key]))
        for i, peer in enumerate(peers):
            places = [j + i * 0.8 / len(peers) for j in range(len(cases))]
            axis.barh(
                places, [case[key].get(peer, 0) for case in cases.values()], 0.75 / len(peers), label=peer
            )
        axis.set_yticks([j + 0.3 for j in range(len(cases))], list(cases))
        axis.invert_yaxis()
        axis.set_xlabel(key.replace("_per_", "/"))
        axis.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return True


def main(argv: list[str] | None = None) -> int:
    """Run the parts that are asked for; the exit status is 1 if one failed or gave a wrong result."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("-o", "--output", default="gpu", help="where to write: PATH.json, PATH.md, PATH.png")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), metavar="part", help=", ".join(PARTS))
    parser.add_argument("--seconds", type=float, default=450.0, help="for all parts together (default 450)")
    parser.add_argument("--simulated", action="store_true", help="on the simulated GPU of the tests")
    asked = parser.parse_args(argv)
    output = Path(asked.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    from minpy.errors import DeviceError

    try:
        run = Run(asked.simulated, asked.seconds)
    except DeviceError as error:
        print(f"no GPU to measure: {error}", file=sys.stderr)
        return 2
    report: dict[str, Any] = {}
    failed = False
    chosen = [
        "environment",
        *[name for name in PARTS if name in (asked.only or PARTS) and name != "environment"],
    ]
    for name in chosen:
        start = time.perf_counter()
        if start > run.end:
            break
        try:
            report[name] = globals()[name](run, PARTS[name] * asked.seconds)
        except Exception:
            report[name] = {"error": traceback.format_exc()}
            failed = True
        took = time.perf_counter() - start
        print(
            f"{name}: {took:.1f} s{' FAILED' if 'error' in report[name] else ''}", file=sys.stderr, flush=True
        )
        output.with_suffix(".json").write_text(json.dumps(report, indent=1, default=str))
    report["seconds"] = round(time.perf_counter() - began, 1)
    output.with_suffix(".json").write_text(json.dumps(report, indent=1, default=str))
    text = "\n".join(lines(report))
    output.with_suffix(".md").write_text(text + "\n")
    plot(report, output.with_suffix(".png"))
    print(text)
    wrong = json.dumps(report).count('"right": false')
    differ = sum(len((report.get(name) or {}).get("failures") or ()) for name in ("table", "gradients"))
    return 1 if failed or wrong or differ else 0


if __name__ == "__main__":
    sys.exit(main())
