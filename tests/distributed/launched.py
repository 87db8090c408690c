"""Starting `minpy run --workers`, reading along, and looking for what is left behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 120.0  # seconds that anything may take on a busy machine


def environment(cache: Path, **more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MINPY_", "DMLC_", "PYTEST_", "COV_"))}
    path = os.pathsep.join([str(Path(__file__).parent / "lean"), str(ROOT)])
    ours = {"PYTHONPATH": path, "MINPY_CACHE_DIR": str(cache), "MINPY_JIT": "0", "MINPY_FUSE": "0"}
    return {**kept, **ours, **more}


class Run:
    """A `minpy run --workers …` that goes on; `out` and `err` are the lines so far."""

    def __init__(self, *words: object, cwd: Path, environ: dict[str, str], driver: str | None = None) -> None:
        start = ["-c", driver] if driver else ["-m", "minpy"]
        self.popen = subprocess.Popen(
            [sys.executable, *start, "run", "-v", *map(str, words)],
            cwd=cwd,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.out: list[str] = []
        self.err: list[str] = []
        self._readers = [
            threading.Thread(target=self._read, args=pair, daemon=True)
            for pair in ((self.popen.stdout, self.out), (self.popen.stderr, self.err))
        ]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(stream, lines: list[str]) -> None:
        for line in stream:
            lines.append(line.rstrip("\n"))

    def wait_for(self, pattern: str) -> re.Match:
        """Until a line has it."""
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            ended = self.popen.poll() is not None
            for line in [*self.out, *self.err]:
                if found := re.search(pattern, line):
                    return found
            if ended:
                break
            time.sleep(0.02)
        self.popen.kill()
        raise AssertionError(f"no line {pattern!r} in\n" + "\n".join([*self.out, *self.err]))

    def pid(self, name: str) -> int:
        return int(self.wait_for(rf"^minpy: {name} is process (\d+)$")[1])

    def pids(self) -> list[int]:
        return [int(m[1]) for line in self.err if (m := re.match(r"minpy: .* is process (\d+)$", line))]

    def end(self) -> int:
        """Wait for the end; the exit status."""
        try:
            status = self.popen.wait(LIMIT)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            raise AssertionError("it hangs:\n" + "\n".join([*self.out, *self.err])) from None
        for reader in self._readers:
            reader.join(10)
        assert gone(self.pids()), "processes are left behind"
        return status

    @property
    def error(self) -> str:
        """What the launcher said last."""
        said = [line for line in self.err if line.startswith("minpy: error: ")]
        assert len(said) == 1, self.err
        return said[0]


def gone(pids: list[int]) -> bool:
    """Whether the processes have ended, within a moment."""
    end = time.monotonic() + 10
    while any(alive(pid) for pid in pids):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
