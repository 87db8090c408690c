"""``minpy doctor``: what MinPy finds on this machine, what is broken, and the command that repairs it.

Exit status: 0 if programs run (without MXNet too: that is the NumPy path), 1 if something that is installed
or asked for does not work. Everything that might crash the process is tried in another one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from minpy.doctor_devices import examine_cupy, examine_gpus, examine_mxnet, version

_DISTRIBUTIONS = ("minpy", "numpy", "libcst", "astunparse", "platformdirs", "rich")


def main(argv: list[str] | None = None) -> int:
    """Run ``minpy doctor`` with the arguments `argv` and return the exit status."""
    import argparse

    from minpy.errors import UsageError

    class Parser(argparse.ArgumentParser):
        def error(self, message: str) -> Any:
            raise UsageError(message)

    parser = Parser(
        prog="minpy doctor",
        description="Say what MinPy finds on this machine, what is broken, and how to repair it.",
        epilog="Exit status: 0 if programs run, 1 if something installed or asked for does not work.",
        allow_abbrev=False,
    )
    parser.add_argument("--calibrate", action="store_true", help="measure the cost model (3 s) and keep it")
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    asked = parser.parse_args(argv)

    report = examine(calibrate=asked.calibrate)
    if asked.json:
        print(json.dumps(report, indent=2))
    else:
        from minpy import doctor_text

        doctor_text.render(report)
    return 1 if report["problems"] else 0


def examine(calibrate: bool = False) -> dict[str, Any]:
    """The report as plain data; ``report["problems"]`` lists what does not work, with the repair.

    Parameters
    ----------
    calibrate : bool
        Measure the cost model of this machine first, and keep it.
    """
    problems: list[dict[str, str]] = []
    report: dict[str, Any] = {
        "python": {"version": sys.version.split()[0], "executable": sys.executable},
        "packages": {name: version(name) for name in _DISTRIBUTIONS},
        "problems": problems,
    }
    for name in ("numpy", "libcst"):
        failure = _import_failure(name)
        if failure:
            problems.append({"what": failure, "repair": f"pip install --force-reinstall {name}"})
    report["mxnet"] = mxnet = examine_mxnet()
    if mxnet["state"] == "broken":
        problems.append({"what": f"MXNet does not load: {mxnet['reason']}", "repair": mxnet["repair"]})
    report["gpus"] = gpus = examine_gpus()
    report["cupy"] = cupy = examine_cupy(gpus)
    if cupy["state"] == "broken":
        problems.append({"what": f"CuPy does not load: {cupy['reason']}", "repair": cupy["repair"]})
    report["options"] = _options(mxnet, gpus, problems)
    if calibrate:
        _calibrate(mxnet, gpus, problems)
    report["blas"] = _blas()
    report["cache"] = _cache()
    report["threads"] = _threads()
    report["memory"] = _memory()
    report["engines"] = _engines()
    report["hook"] = _hook()
    report["cost"] = _cost(mxnet, gpus)
    return report


def _import_failure(name: str) -> str:
    import importlib

    try:
        importlib.import_module(name)
    except Exception as error:
        return f"{name} does not import: {type(error).__name__}: {' '.join(str(error).split())}"
    return ""


def _options(mxnet: dict[str, Any], gpus: dict[str, Any], problems: list[dict[str, str]]) -> dict[str, Any]:
    """What the ``MINPY_*`` variables ask for; a problem for each that cannot be had."""
    from minpy.errors import MinPyError
    from minpy.options import from_environ, parse_context, to_environ

    try:
        options = from_environ().check()
        kind, index = parse_context(options.context)
    except MinPyError as error:
        problems.append(
            {"what": f"the environment: {error}", "repair": "unset or correct that MINPY_ variable"}
        )
        return {}
    if kind == "gpu":
        devices = gpus["devices"]
        if index >= len(devices):
            what = gpus["reason"] or f"the driver sees {len(devices)}"
            problems.append(
                {"what": f"MINPY_CONTEXT={options.context}: {what}", "repair": "unset MINPY_CONTEXT"}
            )
        elif not devices[index]["backend"]:
            card = devices[index]
            problems.append(
                {"what": f"MINPY_CONTEXT={options.context}: {card['why']}", "repair": card["repair"]}
            )
        elif devices[index]["backend"] == "mxnet" and not mxnet.get("gpus"):
            why = f"this MXNet sees no GPU ({', '.join(mxnet['distributions']) or 'not installed'})"
            problems.append(
                {"what": f"MINPY_CONTEXT={options.context}: {why}", "repair": "pip install 'minpy[cu112]'"}
            )
    if options.policy in ("only_mxnet", "prefer_mxnet") and mxnet["state"] == "absent":
        problems.append(
            {"what": f"MINPY_POLICY={options.policy}: MXNet is {mxnet['reason']}", "repair": mxnet["repair"]}
        )
    return to_environ(options)


def _calibrate(mxnet: dict[str, Any], gpus: dict[str, Any], problems: list[dict[str, str]]) -> None:
    from minpy.runtime import cost

    driven = any(card["backend"] for card in gpus["devices"])
    backends = [] if mxnet["state"] == "loads" or driven else ["numpy"]
    environ = {key: value for key, value in os.environ.items() if key != "MINPY_ACTIVE"}
    child = subprocess.run(
        [sys.executable, "-m", "minpy.runtime.calibration", *backends],
        capture_output=True,
        text=True,
        env=environ,
    )
    try:
        if child.returncode:
            raise ValueError(((child.stderr.strip().splitlines()) or [f"status {child.returncode}"])[-1])
        model = cost.from_json(json.loads(child.stdout.splitlines()[-1]))
        cost.save(model)
    except (ValueError, IndexError, OSError) as error:
        problems.append(
            {"what": f"the calibration: {error}", "repair": "set MINPY_CACHE_DIR to a folder you can write"}
        )


def _cache() -> dict[str, Any]:
    from minpy.runtime import cost
    from minpy.transform import cache

    folder = cache.bytecode_dir()
    count, size = cache.cache_size()
    place = folder
    while place and not os.path.exists(place) and os.path.dirname(place) != place:
        place = os.path.dirname(place)
    return {
        "bytecode": folder,
        "files": count,
        "bytes": size,
        "parts": _sizes(cache.cache_dir()),
        "writable": bool(place) and os.path.isdir(place) and os.access(place, os.W_OK | os.X_OK),
        "calibration": cost.calibration_path(),
    }


def _sizes(root: str) -> dict[str, int]:
    """The bytes of each part of the cache folder."""
    found: dict[str, int] = {}
    for folder, _, names in os.walk(root) if root else ():
        part = os.path.relpath(folder, root).split(os.sep)[0]
        for name in names:
            try:
                size = os.stat(os.path.join(folder, name)).st_size
            except OSError:
                continue  # another process cleared it
            key = name if part == os.curdir else part
            found[key] = found.get(key, 0) + size
    return dict(sorted(found.items(), key=lambda each: -each[1]))


def _blas() -> dict[str, Any]:
    """What multiplies matrices, and what it costs where NumPy's OpenBLAS does not know the processor."""
    from minpy.runtime import blas, widen

    own, better = blas.kernels()
    why_not = widen.why_not()
    return {
        "numpy": own,
        "narrow": why_not,
        "better": better,
        "ours": blas.used(),
        "failures": blas.failures(),
        "seconds": blas.seconds() if better else None,
    }


def _threads() -> dict[str, Any]:
    from minpy.runner import THREAD_VARIABLES

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cores": os.cpu_count(),
        "usable": usable,
        "variables": {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ},
    }


def _memory() -> dict[str, Any]:
    from minpy import memory
    from minpy.errors import MinPyError
    from minpy.options import from_environ

    try:
        wanted = from_environ().keep_memory
    except MinPyError:
        wanted = True  # that the variable is bad is said elsewhere
    limits, text = memory.plan(wanted)
    return {
        "available_bytes": memory.available(),
        "kept": text,
        "array_bytes": limits.array if limits else None,
        "top_bytes": limits.top if limits else None,
    }


def _engines() -> dict[str, Any]:
    """What computes blocks and loops, and what earlier runs found out."""
    from minpy.errors import MinPyError
    from minpy.options import from_environ
    from minpy.runtime import kept
    from minpy.runtime.fuse import memory, pool
    from minpy.runtime.jit import engine

    try:
        options = from_environ()
        blocks, loops, free = options.fuse != "off", options.jit != "off", options.fast_math
    except MinPyError:
        blocks = loops = True
        free = False
    verdicts: dict[str, int] = {}
    for name in memory._load().values():
        verdicts[name] = verdicts.get(name, 0) + 1
    folder = kept.folder("loops")
    try:
        compiled = sum(name.endswith((".loop", ".block")) for name in os.listdir(folder)) if folder else 0
    except OSError:
        compiled = 0
    return {
        "blocks": blocks,
        "loops": loops,
        "fast_math": free,
        "threads": pool.width(),
        "compiler": version("llvmlite") if engine.is_available() else None,
        "verdicts": dict(sorted(verdicts.items(), key=lambda each: -each[1])),
        "compiled": compiled,
    }


def _hook() -> dict[str, Any]:
    from minpy.transform import hook

    return {
        "installed": hook.is_installed(),
        "active_in_children": bool(os.environ.get("MINPY_ACTIVE")),
        "startup_file": _startup_file(),
    }


def _startup_file() -> str | None:
    """The line beside the packages that lets child processes inherit the hook."""
    for folder in sys.path:
        path = os.path.join(folder, "zz_minpy_startup.pth")
        if os.path.isfile(path):
            return path
    return None


def _cost(mxnet: dict[str, Any], gpus: dict[str, Any]) -> dict[str, Any]:
    """The cost model's table, for the back ends that are here."""
    from minpy.runtime import cost

    model = cost.load()
    here = {
        "numpy": True,
        "mxnet-cpu": mxnet["state"] == "loads",
        "mxnet-gpu": any(card["backend"] == "mxnet" for card in gpus["devices"]),
        "cupy-gpu": any(card["backend"] == "cupy" for card in gpus["devices"]),
    }
    rows = []
    for op_class in cost.OP_CLASSES:
        for elements in (10, 1_000, 100_000, 1_000_000):
            times = {
                backend: round(model.predict(op_class, elements, backend), 1)
                for backend in model.backends
                if here.get(backend) and op_class in model.points[backend]
            }
            if not times:
                continue
            fastest = None if op_class.startswith("to_") else min(times, key=times.__getitem__)
            rows.append({"class": op_class, "elements": elements, "microseconds": times, "fastest": fastest})
    devices = [name for name in model.backends if name != "numpy" and here.get(name)]
    thresholds = [
        {"class": op_class, "device": device, "elements": model.threshold(op_class, device)}
        | {"resident": model.threshold(op_class, device, resident=True)}
        for device in devices
        if device != "mxnet-cpu"
        for op_class in cost.OP_CLASSES
        if not op_class.startswith("to_")
    ]
    found = {"measured": model.measured, "disturbed": list(model.disturbed)}
    return found | {"rows": rows, "thresholds": thresholds}
