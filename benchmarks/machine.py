"""What figures were measured with: the machine, the interpreter, the libraries."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

from benchmarks import ports
from minpy.runtime import blas


def processor() -> str:
    """The processor's name, as far as the system gives one."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def describe(python: str, threads: int | None = None) -> dict[str, Any]:
    """All of it; the peers are asked of the interpreter `python`."""
    packages = dict.fromkeys(map(ports.package, ports.PEERS))
    versions = {"numpy": importlib.metadata.version("numpy")}
    versions |= {package: found for package in packages if (found := ports.version(python, package))}
    return {
        "date": datetime.date.today().isoformat(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "machine": platform.machine(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "versions": versions,
        # Which kernels NumPy's OpenBLAS has chosen, and which the copy of it has that MinPy loads if these are old.
        "openblas": blas.kernels(),
    }
