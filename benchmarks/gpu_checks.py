"""What MinPy promises of a GPU, tried out there: the table of primitives, gradients, the examples, bad input."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import io
import os
import re
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]


def bad_input(run: Any, seconds: float) -> dict[str, Any]:
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


def examples(run: Any, seconds: float) -> dict[str, Any]:
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
    number = re.compile(r"[-+]?\d+\.\d+(?:[eE][-+]?\d+)?")
    if number.sub("#", first) != number.sub("#", second):
        return None
    pairs = zip(map(float, number.findall(first)), map(float, number.findall(second)), strict=True)
    return max((abs(a - b) / max(abs(a), abs(b), 1e-12) for a, b in pairs), default=0.0)


def table(run: Any, seconds: float) -> dict[str, Any]:
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


def gradients(run: Any, seconds: float) -> dict[str, Any]:
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
