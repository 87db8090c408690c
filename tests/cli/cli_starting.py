"""Starting the same program under ``python`` and under ``minpy run``."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import minpy

ROOT = str(Path(minpy.__file__).resolve().parents[1])


@dataclass
class Outcome:
    """How a process ended and what it wrote."""

    status: int
    out: bytes
    err: bytes

    @property
    def text(self) -> str:
        return self.out.decode(errors="replace")

    @property
    def error(self) -> str:
        return self.err.decode(errors="replace")


@dataclass
class Bench:
    """A folder to start programs in, and the two ways of starting them."""

    folder: Path
    environ: dict[str, str] = field(default_factory=dict)

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def start(
        self, command: list[str], stdin: bytes | None = b"", merged: bool = False, **environ: str
    ) -> Outcome:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**self.environ, **environ},
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merged else subprocess.PIPE,
            timeout=120,
        )
        return Outcome(done.returncode, done.stdout, done.stderr or b"")

    def python(self, *words: str, flags: tuple[str, ...] = (), **how) -> Outcome:
        return self.start([sys.executable, *flags, *words], **how)

    def minpy(self, *words: str, flags: tuple[str, ...] = (), **how) -> Outcome:
        return self.start([sys.executable, *flags, "-m", "minpy", *words], **how)

    def both(self, *words: str, **how) -> tuple[Outcome, Outcome]:
        return self.python(*words, **how), self.minpy("run", *words, **how)
