"""What `minpy doctor` finds out about MXNet, CuPy and GPUs: whether they load, why not, and what repairs it.

Everything that might crash the process is tried in another one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

MXNET = "1.9.1"
NEWEST_FOR_MXNET = (3, 12)
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
    numpy_version = version("numpy") or ""
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
    if "libcudnn.so.8" in text and (version("nvidia-cudnn-cu11") or "8").partition(".")[0] != "8":
        wrong = version("nvidia-cudnn-cu11")
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


def version(name: str) -> str | None:
    """The version of an installed distribution; None if there is none."""
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        if name == "minpy":
            from minpy.version import VERSION

            return VERSION
        return None


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
