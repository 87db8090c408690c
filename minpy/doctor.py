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

MXNET = "1.9.1"
NEWEST_FOR_MXNET = (3, 12)
_DISTRIBUTIONS = ("minpy", "numpy", "libcst", "astunparse", "platformdirs", "rich")
_CUDA_LIBRARIES = [
    "lib" + name for name in "cudart cublas cudnn nccl cufft curand cusolver nvrtc nvToolsExt".split()
]

# Run in a child: what a run does to get MXNet, and a use of it. The last line of its output is for us.
_TRY_MXNET = """
import json, sys, time
start = time.perf_counter()
try:
    from minpy.runtime.backends import mxnet as backend
    mxnet = backend.bring()  # load() would put its own words around the error
    value = float((mxnet.nd.ones((2, 3)) + 1).sum().asscalar())
    if value != 12.0:
        raise RuntimeError(f"MXNet computes {value} where 12.0 is right")
    result = {"loads": True, "version": mxnet.__version__, "gpus": mxnet.context.num_gpus()}
except BaseException as error:
    result = {"loads": False, "error": type(error).__name__, "text": str(error)}
result["seconds"] = round(time.perf_counter() - start, 2)
print("\\n" + json.dumps(result))
"""


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
        "packages": {name: _version(name) for name in _DISTRIBUTIONS},
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


# --- MXNet


def examine_mxnet() -> dict[str, Any]:
    """Whether MXNet loads: ``state`` is ``"loads"``, ``"absent"`` or ``"broken"``, with reason and repair."""
    owners = _owners()
    found: dict[str, Any] = {"state": "absent", "distributions": owners, "reason": "", "repair": ""}
    newest = ".".join(map(str, NEWEST_FOR_MXNET))
    if not owners and not _spec("mxnet"):
        if sys.version_info[:2] > NEWEST_FOR_MXNET:
            found["reason"] = f"no MXNet for Python newer than {newest}; the NumPy path is used"
            found["repair"] = f"make the environment with Python 3.10 to {newest} for MXNet"
        else:
            found["reason"] = "not installed; the NumPy path is used"
            found["repair"] = "pip install 'minpy[cpu]'"
        return found
    tried = _try_mxnet()
    found |= {key: value for key, value in tried.items() if key not in ("loads", "text", "error")}
    if tried["loads"]:
        found["state"] = "loads"
        if len(owners) > 1:
            found["reason"] = (
                f"{' and '.join(owners)} overwrite each other's files; the one installed last is used"
            )
            found["repair"] = _reinstall(owners)
        return found
    found["state"] = "broken"
    found["reason"], found["repair"] = diagnose(tried["error"], tried["text"], owners)
    return found


def diagnose(error: str, text: str, owners: list[str]) -> tuple[str, str]:
    """Why MXNet does not load, and the command that repairs it.

    Parameters
    ----------
    error, text : str
        The name of the exception's type and its message.
    owners : list of str
        The installed distributions that bring the package ``mxnet``.
    """
    newest = ".".join(map(str, NEWEST_FOR_MXNET))
    text = " ".join(text.split())
    said = f"{error}: {text}" if text else error
    numpy_version = _version("numpy") or ""
    # Not `import mxnet` failing for want of something else, but no mxnet to import.
    if not _spec("mxnet") or (error in ("ModuleNotFoundError", "ImportError") and "'mxnet" in text):
        return f"the files of {' and '.join(owners) or 'mxnet'} are gone in part ({said})", _reinstall(owners)
    if len(owners) > 1:
        return f"{' and '.join(owners)} overwrite each other's files ({said})", _reinstall(owners)
    if sys.version_info[:2] > NEWEST_FOR_MXNET:
        return (
            f"MXNet {MXNET} does not work with Python newer than {newest} ({said})",
            "pip uninstall -y " + (" ".join(owners) or "mxnet"),
        )
    if "distutils" in text or "setuptools" in text:
        return said, "pip install setuptools"
    if numpy_version.partition(".")[0].isdecimal() and int(numpy_version.partition(".")[0]) >= 2:
        return f"MXNet {MXNET} needs numpy 1.x, not {numpy_version} ({said})", "pip install 'numpy<2'"
    if "libcuda.so" in text:
        return (
            f"a GPU build of MXNet, and no NVIDIA driver ({said})",
            f"pip uninstall -y {' '.join(owners) or 'mxnet-cu112'} && pip install 'minpy[cpu]'",
        )
    if "libcudnn.so.8" in text and (_version("nvidia-cudnn-cu11") or "8").partition(".")[0] != "8":
        wrong = _version("nvidia-cudnn-cu11")
        return (
            f"cuDNN {wrong} is installed, and MXNet needs cuDNN 8 ({said})",
            "pip install 'nvidia-cudnn-cu11>=8.9,<9'",
        )
    if any(library in text for library in _CUDA_LIBRARIES):
        return f"a CUDA library is missing ({said})", "pip install 'minpy[cu112]'"
    if "cannot open shared object file" in text:
        return (
            f"a system library is missing ({said})",
            "apt-get install libgomp1 libquadmath0 (or your system's names)",
        )
    return said, _reinstall(owners)


def _reinstall(owners: list[str]) -> str:
    # Of two, the one for GPUs is what someone installed on purpose.
    keep = next((owner for owner in owners if owner != "mxnet"), "mxnet")
    first = f"pip uninstall -y {' '.join(owners)} && " if len(owners) > 1 else ""
    return f"{first}pip install --force-reinstall --no-deps {keep}=={MXNET}"


def _try_mxnet() -> dict[str, Any]:
    return _in_a_child(_TRY_MXNET)


def _in_a_child(program: str, arguments: list[str] | None = None) -> dict[str, Any]:
    environ = {key: value for key, value in os.environ.items() if key != "MINPY_ACTIVE"}
    try:
        child = subprocess.run(
            [sys.executable, "-c", program, *(arguments or [])],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=120,
            env=environ,
        )
    except subprocess.TimeoutExpired:
        return {"loads": False, "error": "TimeoutExpired", "text": "importing it took more than 120 s"}
    try:
        return json.loads(child.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        last = (child.stderr.strip().splitlines() or ["no message"])[-1]
        how = f"signal {-child.returncode}" if child.returncode < 0 else f"status {child.returncode}"
        return {
            "loads": False,
            "error": "Crash",
            "text": f"the process that imported it died with {how}: {last}",
        }


def _owners() -> list[str]:
    """The installed distributions that bring ``mxnet``, by their names: files may be missing."""
    from importlib import metadata

    names = {(dist.metadata["Name"] or "").lower().replace("_", "-") for dist in metadata.distributions()}
    named = {name for name in names if name == "mxnet" or name.startswith("mxnet-cu")}
    named |= {name.lower() for name in metadata.packages_distributions().get("mxnet", [])}
    return sorted(named)


def _spec(name: str) -> bool:
    import importlib.util

    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return False
    return spec is not None and spec.origin is not None  # a folder without __init__ is what a removal left


def _version(name: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        if name == "minpy":
            from minpy.version import VERSION

            return VERSION
        return None


def _import_failure(name: str) -> str:
    import importlib

    try:
        importlib.import_module(name)
    except Exception as error:
        return f"{name} does not import: {type(error).__name__}: {' '.join(str(error).split())}"
    return ""


# --- GPUs


def examine_gpus() -> dict[str, Any]:
    """The NVIDIA GPUs as the driver names them, and what drives each; loads neither CUDA nor MXNet nor CuPy."""
    from minpy.errors import UsageError
    from minpy.runtime.backends import choice, driver

    said = driver.query()
    found: dict[str, Any] = {
        "driver": "CUDA " + ".".join(map(str, said.version)) if said.version else None,
        "reason": said.reason,
        "repair": said.repair,
        "devices": [],
    }
    there = choice.installed()
    try:
        wanted = choice.wanted()
    except UsageError:
        wanted = "auto"  # that the variable is bad is said elsewhere
    for card in said.cards:
        chosen = choice.choose(card, said, there, wanted)
        found["devices"].append(
            {
                "index": card.index,
                "name": card.name,
                "capability": ".".join(map(str, card.capability)),
                "memory_bytes": card.memory,
                "backend": chosen.backend,
                "why": chosen.why,
                "repair": chosen.repair,
            }
        )
    return found


_TRY_CUPY = """
import json, sys, time
start = time.perf_counter()
try:
    from minpy.runtime.backends import cupy as backend
    cupy = backend.load()
    version = cupy.__version__
    if len(sys.argv) > 1:
        device = backend.CuPyDevice("gpu", int(sys.argv[1]))
        import numpy as np
        back = np.empty(6)
        device.download(device.upload(np.arange(6.0)), back)
        if back.tolist() != [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]:
            raise RuntimeError(f"the GPU gave {back.tolist()} back where it was given 0 to 5")
    result = {"loads": True, "version": version}
except BaseException as error:
    result = {"loads": False, "text": f"{type(error).__name__}: {error}"}
result["seconds"] = round(time.perf_counter() - start, 2)
print("\\n" + json.dumps(result))
"""


def examine_cupy(gpus: dict[str, Any]) -> dict[str, Any]:
    """Whether CuPy loads: ``state`` is ``"loads"``, ``"absent"`` or ``"broken"``; with a GPU, a copy there and back."""
    from minpy.runtime.backends import choice

    name = choice.installed().cupy
    if not name:
        return {
            "state": "absent",
            "distribution": "",
            "reason": "not installed",
            "repair": "",
            "version": None,
        }
    driven = [str(card["index"]) for card in gpus["devices"] if card["backend"] == "cupy"]
    tried = _in_a_child(_TRY_CUPY, driven[:1])
    found = {
        "state": "loads",
        "distribution": name,
        "reason": "",
        "repair": "",
        "version": tried.get("version"),
    }
    if not tried["loads"]:
        text = " ".join(tried["text"].split())
        found |= {"state": "broken", "reason": text, "repair": f"pip install --force-reinstall {name}"}
        if "libcuda.so" in text or "InsufficientDriver" in text or "NoDevice" in text:
            found |= {"state": "loads", "reason": "no GPU that it could use here", "repair": gpus["repair"]}
        elif any(library in text for library in ("nvrtc", "cublas", "cudart", "cusolver", "cufft")):
            found["reason"] = f"a library of CUDA's is missing ({text})"
            found["repair"] = f"pip install '{name}[ctk]'"
    return found


# --- The rest of the machine


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
        "compiler": _version("llvmlite") if engine.is_available() else None,
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
