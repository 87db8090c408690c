"""Runs the measurements and prints each as a ratio, and a difference, against its peer of the same run.

python -m benchmarks [calls] [startup] [--fast] [-o results.json]
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import pyperf

SETS = ("calls", "startup")


def measure(name: str, fast: bool) -> list[dict]:
    """Run one set in pyperf's worker processes and compare its pairs."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "values.json"
        command = [
            sys.executable,
            "-m",
            f"benchmarks.{name}",
            "-o",
            str(path),
            "--quiet",
            *(["--fast"] if fast else []),
        ]
        subprocess.run(
            command, check=True, env={**os.environ, "MINPY_BENCH_RUN": str(os.getpid())}, stdout=sys.stderr
        )
        found = {bench.get_name(): bench for bench in pyperf.BenchmarkSuite.load(str(path)).get_benchmarks()}
    rows = []
    for ours, peer in importlib.import_module(f"benchmarks.{name}").PAIRS:
        a, b = found[ours], found[peer]
        rows.append(
            {
                "measured": ours,
                "peer": peer,
                "seconds": a.median(),
                "seconds_spread": a.median_abs_dev(),
                "peer_seconds": b.median(),
                "peer_spread": b.median_abs_dev(),
                "ratio": a.median() / b.median(),
                "difference": a.median() - b.median(),
            }
        )
    return rows


def duration(seconds: float) -> str:
    """Signed seconds for people."""
    sign, value = ("-", -seconds) if seconds < 0 else ("", seconds)
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= scale:
            return f"{sign}{value / scale:.3g} {unit}"
    return f"{sign}{value / 1e-9:.3g} ns"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", choices=[*SETS, []], help="which measurements (default: all)")
    parser.add_argument("--fast", action="store_true", help="fewer repetitions")
    parser.add_argument("-o", "--output", help="write the figures as JSON")
    options = parser.parse_args()
    results = {}
    for name in options.sets or SETS:
        results[name] = measure(name, options.fast)
        print(f"\n{name}: {importlib.import_module(f'benchmarks.{name}').__doc__.splitlines()[0]}")
        for row in results[name]:
            print(
                f"  {row['measured']:28} {duration(row['seconds']):>8} ± {duration(row['seconds_spread']):<8}"
                f"  against {row['peer']:22} {duration(row['peer_seconds']):>8} ± {duration(row['peer_spread']):<8}"
                f"  ratio {row['ratio']:.3f}  difference {duration(row['difference'])}"
            )
    if options.output:
        machine = {
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "machine": platform.machine(),
        }
        Path(options.output).write_text(json.dumps({"machine": machine, "results": results}, indent=1))


if __name__ == "__main__":
    main()
