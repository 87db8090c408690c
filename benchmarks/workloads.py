"""Value and gradients of networks, chains and stencils: MinPy under `minpy run`, NumPy forward, and the peers.

    python -m benchmarks workloads [--only name…] [--fast]

MinPy twice: with NumPy's bits, and with ``--fast-math``, where a program's products may be rounded otherwise.

Each framework has a process of its own, so that no thread pool disturbs another; their rounds are interleaved. Once
with one processor for each process, once with two, in both precisions; `--fast`: doubles with one, singles with two.
A peer that has not answered its first call within a limit is left out, and named with its limit.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import workload_ports
from benchmarks.timing import duration, ratio, summary, table
from benchmarks.whole import Failed

SCRIPT = Path(__file__).with_name("one_workload.py")
PACKAGES = {"PyTorch": "torch", "JAX": "jax", "autograd": "autograd", "MXNet": "mxnet"}
DTYPES = ("float64", "float32")
OURS, FREE, PLAIN = "MinPy", "MinPy --fast-math", "NumPy (forward)"
PORTS = workload_ports.__name__.rpartition(".")[2]
# A round of less than this is several calls.
SHORTEST = 0.03
# Seconds between two rounds of several threads: those of OpenMP look for more work for some 20 ms after one, on
# the processors that the next framework is to have.
PAUSE = 0.05
# Seconds of warming up: MinPy tries its engines and compiles, JAX and PyTorch compile in their first call.
WARM, WARM_FAST = 3.0, 1.0
# Seconds within which the first call must be done, compiled and all.
LIMIT, LIMIT_FAST = 300.0, 20.0


class TooLong(Failed):
    """A framework did not answer within its limit."""


class Process:
    """One framework's process."""

    def __init__(self, framework: str, name: str, dtype: str, threads: int, ports: str = PORTS) -> None:
        self.framework = framework
        words = ["-m", "minpy", "run", *framework.split()[1:]] if framework in (OURS, FREE) else []
        count = str(threads)
        limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), count)
        self._process = subprocess.Popen(
            [sys.executable, *words, str(SCRIPT), ports, framework, name, dtype, count],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **limits},
            start_new_session=True,  # PyTorch compiles in processes of its own, which must end with it
        )

    def ask(self, words: str, limit: float | None = None) -> dict[str, Any]:
        """What the process answers to a line; after `limit` seconds it is ended, and `TooLong` raised."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(words + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it may have said why
        if not select.select([self._process.stdout], [], [], limit)[0]:
            os.killpg(self._process.pid, signal.SIGKILL)
            raise TooLong(f"no value within {limit:.0f} s; left out of this workload")
        answer = self._process.stdout.readline()
        if not answer:
            raise Failed(f"{self.framework} ended with status {self._process.wait()}")
        return json.loads(answer)

    def close(self) -> None:
        """Let the process end; what is still compiling is ended."""
        try:
            self._process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()


def _parts(ports: str) -> tuple[list[str], Any]:
    """The frameworks of a package of workloads, and the module with its data."""
    package = importlib.import_module(f"benchmarks.{ports}")
    return list(package.FRAMEWORKS), importlib.import_module(f"benchmarks.{ports}.data")


def present(every: list[str]) -> list[str]:
    """The frameworks that are installed."""
    return [
        name
        for name in every
        if name.split()[0] not in PACKAGES or importlib.util.find_spec(PACKAGES[name.split()[0]])
    ]


def measure(fast: bool, only: list[str] | None = None, ports: str = PORTS) -> dict[str, Any]:
    """Times of each workload, of all frameworks in the same rounds; `only` names workloads, dtypes, frameworks."""
    every, data = _parts(ports)
    known = {*data.WORKLOADS, *DTYPES, *every, "1", "2"}
    unknown = [each for each in only or () if each not in known]
    if unknown:
        raise SystemExit(f"not measured here: {', '.join(unknown)}. There is: {', '.join(sorted(known))}")

    def chosen(every: Any) -> list[Any]:
        return [each for each in every if str(each) in (only or ())] or list(every)

    frameworks = chosen(present(every))
    counts = [each for each in chosen((1, 2)) if each <= len(os.sched_getaffinity(0))]
    dtypes = chosen(DTYPES)
    pairs = [(threads, dtype) for threads in counts for dtype in dtypes]
    if fast and len(counts) == len(dtypes) == 2:
        pairs = list(zip(counts, dtypes, strict=True))
    rows = []
    for name in chosen(data.WORKLOADS):
        left = list(frameworks)
        for threads, dtype in pairs:
            row = measure_one(name, dtype, threads, left, fast, ports)
            # What was too long once is not waited for again.
            left = [each for each in left if each not in row["too_long"]]
            rows.append(row)
    absent = [name for name in every if name not in present(every)]
    return {"rows": rows, "absent": [f"  {name} skipped: not installed" for name in absent]}


def measure_one(
    name: str, dtype: str, threads: int, frameworks: list[str], fast: bool, ports: str = PORTS
) -> dict[str, Any]:
    """One workload in one precision, with so many processors for each process."""
    seconds, warming, limit = (3.0, WARM_FAST, LIMIT_FAST) if fast else (12.0, WARM, LIMIT)
    row: dict[str, Any] = {"workload": name, "dtype": dtype, "threads": threads, "failed": {}, "too_long": []}
    # All at once: they import what they need while others answer.
    processes = {framework: Process(framework, name, dtype, threads, ports) for framework in frameworks}
    shown: dict[str, Any] = {}
    try:
        for framework, process in list(processes.items()):
            try:
                answer = process.ask("first", None if framework in (OURS, FREE) else limit)
            except Failed as error:
                row["failed"][framework] = str(error)
                if isinstance(error, TooLong):
                    row["too_long"].append(framework)
                answer = {"absent": True}
            if "absent" in answer:
                processes.pop(framework).close()
            else:
                shown[framework] = answer
        _agree(name, shown, importlib.import_module(f"benchmarks.{ports}").RELATIVE[dtype])
        calls, warm = {}, {}
        for framework, process in processes.items():
            end, least = time.perf_counter() + warming, float("inf")
            while time.perf_counter() < end:
                least = min(least, process.ask("1")["seconds"])
            warm[framework] = least
            calls[framework] = max(1, round(SHORTEST / least))
        times: dict[str, list[float]] = {framework: [] for framework in processes}
        end, done = time.perf_counter() + seconds, 0
        while done < 5 or time.perf_counter() < end:
            for framework in list(processes) if done % 2 else reversed(list(processes)):
                if threads > 1:
                    time.sleep(PAUSE)
                times[framework].append(processes[framework].ask(str(calls[framework]))["seconds"])
            done += 1
    finally:
        for process in processes.values():
            process.close()
    row["times"] = {framework: summary(values) for framework, values in times.items()}
    for ours, key in ((OURS, "minpy_to"), (FREE, "free_to")):
        if ours in times:
            row[key] = {
                framework: ratio(times[ours], values)
                for framework, values in times.items()
                if framework not in (OURS, FREE)
            }
    return row


def _agree(name: str, shown: dict[str, Any], relative: float) -> None:
    """All frameworks must come to the same value and gradients."""
    if OURS not in shown:
        return
    expected = shown[OURS]
    for framework, found in shown.items():
        pairs = [([expected["value"]], [found["value"]])]
        if framework != PLAIN:
            pairs += zip(expected["gradients"], found["gradients"], strict=True)
        for a, b in pairs:
            scale = max(abs(a[-2]), abs(a[-1])) if len(a) > 1 else abs(a[0])
            if len(a) != len(b) or any(abs(p - q) > relative * scale for p, q in zip(a, b, strict=True)):
                raise AssertionError(f"{name}: {framework} and MinPy do not agree: {found} {expected}")


def text(found: dict[str, Any], ports: str = PORTS) -> str:
    """The figures as a table for each workload."""
    data = _parts(ports)[1]
    parts = []
    for name in dict.fromkeys(row["workload"] for row in found["rows"]):
        rows = [row for row in found["rows"] if row["workload"] == name]
        names = list(dict.fromkeys(framework for row in rows for framework in row["times"]))
        keys = ["minpy_to", "free_to"] if any("free_to" in row for row in rows) else ["minpy_to"]
        lines = []
        for framework in names:
            line = [framework]
            for row in rows:
                took = row["times"].get(framework)
                line.append(duration(took["best"]) if took else "")
                for key in keys:
                    to = row.get(key, {}).get(framework)
                    line.append(f"{to['value']:.2f} ± {to['spread']:.2f}" if to else "")
            lines.append(line)
        heads = [""]
        for row in rows:
            heads += [f"{row['dtype']}, {row['threads']} thread{'s' * (row['threads'] > 1)}"]
            heads += ["MinPy's is", "--fast-math's"][: len(keys)]
        failures = [f"  {each}: {why}" for row in rows for each, why in row["failed"].items()]
        parts.append("\n".join([f"  {name}: {data.WHAT[name]}", table(heads, lines), *failures]))
    return "\n\n".join([*parts, *found["absent"]])


if __name__ == "__main__":
    from benchmarks.timing import main

    main(measure)
