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
import gc
import importlib
import importlib.util
import json
import os
import platform
import statistics
import sys
import time
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

# Parts are found by their names.
from benchmarks.gpu_checks import bad_input, examples, gradients, table  # noqa: F401
from benchmarks.gpu_report import lines, plot
from benchmarks.gpu_several import several  # noqa: F401
from benchmarks.gpu_training import training  # noqa: F401

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

    def time(
        self,
        calls: dict[str, Callable[[], Any]],
        seconds: float,
        rounds: int = 1,
        inside: dict[str, Callable[[], Any]] | None = None,
    ) -> dict[str, float]:
        """The median seconds of each, in interleaved rounds; each call waits for the device.

        Parameters
        ----------
        calls : dict
        seconds : float
            What they may take together.
        rounds : int
            On the simulated GPU.
        inside : dict, optional
            By name what makes the context that the call is inside of; to enter and to leave it is not timed.
        """
        inside = inside or {}
        if self.simulated:
            least, seconds = rounds, 0.0
        else:
            least = 5
            for name, call in calls.items():
                with inside.get(name, contextlib.nullcontext)():
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
                    with inside.get(name, contextlib.nullcontext)():
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
    times = run.time(
        {"gpu_auto": lambda: steps(run.routed.np), "numpy": lambda: steps(np)},
        seconds,
        rounds=21,
        inside={"gpu_auto": lambda: run.gpu(0)},
    )
    there = sum(count for (_, where), count in recorder.calls.items() if where != "numpy")
    return {"ms": {name: 1e3 * t for name, t in times.items()}, "operations_on_the_gpu": there}


def grey(run: Run, seconds: float) -> dict[str, Any]:
    """The grey picture of the original's example, again and again: `auto` against both sides."""
    from minpy.runtime.array import Array
    from minpy.runtime.context import cpu

    shape = (64, 96, 3) if run.small else (1536, 2048, 3)
    face, weights = np.random.default_rng(4).random(shape), np.array([0.299, 0.587, 0.114])

    def routed() -> None:
        picture = run.routed.np.dot(face, weights)
        if type(picture) is Array:
            picture.wait_to_read()

    with run.gpu(0):
        for _ in range(20):
            routed()
    times = run.time(
        {"auto": routed, "gpu": routed, "cpu": lambda: np.dot(face, weights)},
        seconds,
        rounds=201,
        inside={"auto": lambda: run.gpu(0), "gpu": run.there, "cpu": cpu},
    )
    return {
        "ms": {name: 1e3 * t for name, t in times.items()},
        "auto_of_the_better": times["auto"] / min(times["gpu"], times["cpu"]),
    }


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
    text = "\n".join(lines(report, PARTS))
    output.with_suffix(".md").write_text(text + "\n")
    plot(report, output.with_suffix(".png"))
    print(text)
    wrong = json.dumps(report).count('"right": false')
    differ = sum(len((report.get(name) or {}).get("failures") or ()) for name in ("table", "gradients"))
    return 1 if failed or wrong or differ else 0


if __name__ == "__main__":
    sys.exit(main())
