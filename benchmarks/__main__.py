"""Runs the measurements and prints each as a ratio, and a difference, against its peer of the same run.

python -m benchmarks [set…] [--fast] [--only name…] [-o results.json]
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import machine, ports, report, whole
from benchmarks.timing import duration

# Sets of pairs, which pyperf measures in worker processes; and sets whose rounds are interleaved in one process.
PAIRED = ("calls", "startup")
INTERLEAVED = ("gradients", "peers", "workloads", "training")
# And whole programs, in two processes each, whose rounds are interleaved.
PROGRAMS = "programs"
# The same, each in processes that end, with empty caches.
COLD = "cold"
# Some programs against libraries for array work, each in a process.
FORWARD = "forward"
SETS = (*PAIRED, *INTERLEAVED, PROGRAMS, COLD, FORWARD)

# Whose processes have as many threads as the measurement says.
OWN_THREADS = ("workloads", "training")

# One thread each: what is compared is the work, not how well a library shares it out.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def worker(name: str, environment: dict[str, str], *arguments: str) -> Path:
    """Run one set in a process of its own; it writes the file that is returned."""
    path = Path(tempfile.mkdtemp(prefix="minpy-bench-")) / "values.json"
    command = [sys.executable, "-m", f"benchmarks.{name}", "-o", str(path), *arguments]
    status = subprocess.run(command, env={**os.environ, **environment}, stdout=sys.stderr).returncode
    if status:
        shutil.rmtree(path.parent)
        raise SystemExit(status)
    return path


def load(path: Path, read: Callable[[str], Any]) -> Any:
    """What a worker wrote; its folder is removed."""
    try:
        return read(str(path))
    finally:
        shutil.rmtree(path.parent)


def pairs(name: str, fast: bool) -> list[dict]:
    """Run one set in pyperf's worker processes and compare its pairs."""
    import pyperf

    path = worker(name, {"MINPY_BENCH_RUN": str(os.getpid())}, "--quiet", *(["--fast"] if fast else []))
    suite = load(path, pyperf.BenchmarkSuite.load)
    found = {bench.get_name(): bench for bench in suite.get_benchmarks()}
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


def text_of_pairs(rows: list[dict]) -> str:
    """A line for each pair."""
    return "\n".join(
        f"  {row['measured']:28} {duration(row['seconds']):>8} ± {duration(row['seconds_spread']):<8}"
        f"  against {row['peer']:22} {duration(row['peer_seconds']):>8} ± {duration(row['peer_spread']):<8}"
        f"  ratio {row['ratio']:.3f}  difference {duration(row['difference'])}"
        for row in rows
    )


def interleaved(name: str, fast: bool, only: list[str] | None) -> Any:
    """Run one set whose rounds are interleaved."""
    arguments = [*(["--fast"] if fast else []), *(["--only", *only] if only else [])]
    limits = {} if name in OWN_THREADS else ONE_THREAD
    return load(worker(name, limits, *arguments), lambda path: json.loads(Path(path).read_text()))


def programs(options: argparse.Namespace) -> list[dict]:
    """Run whole programs; draw and write what was asked for."""
    peers = whole.installed(options.peers, options.peer_python, _say)
    with whole.limited(options.threads) as environment:
        rows = whole.measure(options.fast, options.only, _sizes(options), environment, _say, peers)
    if options.table:
        Path(options.table).write_text(report.markdown(rows), encoding="utf-8")
    if options.plot:
        report.plot(rows, options.plot)
    return rows


def _sizes(options: argparse.Namespace) -> tuple[str, ...]:
    return whole.SIZES if options.size in (None, "both") else (options.size,)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", metavar="set", help=f"which: {', '.join(SETS)} (default: all)")
    parser.add_argument("--fast", action="store_true", help="fewer repetitions")
    parser.add_argument("--only", nargs="+", help="parts of one set: programs, chains of peers")
    parser.add_argument("--size", choices=("small", "large", "both"), help="of programs (default: both)")
    parser.add_argument("--plot", help="draw the ratios of programs (a picture; needs matplotlib)")
    parser.add_argument("--table", help="write the ratios of programs as a table in Markdown")
    parser.add_argument(
        "--peers", nargs="+", choices=ports.COMPLETE, default=[], help="ports of programs to measure too"
    )
    parser.add_argument(
        "--peer-python", default=sys.executable, help="the interpreter that has the peers' libraries"
    )
    parser.add_argument(
        "--threads",
        type=int,
        help="of all systems, with as many processors (programs, cold, forward; default: the machine's)",
    )
    parser.add_argument("-o", "--output", help="write the figures as JSON")
    options = parser.parse_args()
    unknown = [name for name in options.sets if name not in SETS]
    if unknown:
        parser.error(f"no set {unknown[0]!r}: choose from {', '.join(SETS)}")
    if options.only and (len(options.sets) != 1 or options.sets[0] in PAIRED):
        parser.error(f"--only takes parts of one of {', '.join((*INTERLEAVED, PROGRAMS, COLD, FORWARD))}")
    sets = options.sets or SETS
    if (options.plot or options.table) and PROGRAMS not in sets:
        parser.error(f"--plot and --table are for {PROGRAMS}")
    if options.peers and PROGRAMS not in sets:
        parser.error(f"--peers is for {PROGRAMS}")
    if options.threads and not {PROGRAMS, COLD, FORWARD} & set(sets):
        parser.error(f"--threads is for {PROGRAMS}, {COLD} and {FORWARD}")
    if options.threads is not None and not 1 <= options.threads <= (os.cpu_count() or 1):
        parser.error(f"--threads is between 1 and {os.cpu_count()}")
    if options.plot and not importlib.util.find_spec("matplotlib"):
        parser.error("--plot needs matplotlib (pip install matplotlib)")
    if options.size and not {PROGRAMS, COLD} & set(sets):
        parser.error(f"--size is for {PROGRAMS} and {COLD}")
    results: dict[str, Any] = {}
    for name in options.sets or SETS:
        module = whole if name == PROGRAMS else importlib.import_module(f"benchmarks.{name}")
        if name == PROGRAMS:
            results[name] = programs(options)
            text = report.text(results[name])
        elif name == COLD:
            with whole.limited(options.threads) as limits:
                limits = {**ONE_THREAD, **limits}
                results[name] = module.measure(options.fast, options.only, _sizes(options), limits, _say)
            text = module.text(results[name])
        elif name == FORWARD:
            with whole.limited(options.threads) as limits:
                results[name] = module.measure(options.fast, options.only, limits, _say, options.peer_python)
            text = module.text(results[name])
        elif name in PAIRED:
            results[name] = pairs(name, options.fast)
            text = text_of_pairs(results[name])
        else:
            results[name] = interleaved(name, options.fast, options.only)
            text = module.text(results[name])
        print(f"\n{name}: {module.__doc__.splitlines()[0]}\n{text}", flush=True)
    if options.output:
        about = machine.describe(options.peer_python, options.threads)
        Path(options.output).write_text(json.dumps({"machine": about, "results": results}, indent=1))


if __name__ == "__main__":
    main()
