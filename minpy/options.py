"""The options of a run: from the command line or the environment, handed on to child processes.

Knows neither `transform` nor `runtime`; both read it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields, replace

from minpy.errors import UsageError

POLICIES = ("auto", "prefer_mxnet", "only_numpy", "only_mxnet", "auto_blacklist")
JIT = ("auto", "off", "force")
NAN_CHECKS = ("off", "raise", "warn")
FUSE = ("auto", "off", "force")
PROFILES = ("off", "run", "operations")
PRECISIONS = ("program", "float32", "float64")

# The variable that makes a child Python install the hook; the others only carry its options.
ACTIVE = "MINPY_ACTIVE"


@dataclass(frozen=True)
class Options:
    """What a run was asked for. Field ``x`` travels in the environment variable ``MINPY_X``."""

    policy: str = "auto"
    context: str = "cpu"
    precision: str = "program"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    strict: bool = False
    cache: bool = True
    threads: int = 0
    jit: str = "auto"
    keep_memory: bool = True
    wide_products: bool = True
    fuse: str = "auto"
    fast_math: bool = False
    profile: str = "off"
    nan_check: str = "off"
    verbose: int = 0

    def check(self) -> Options:
        """Return self, or raise `UsageError` naming the first bad option and what it may be."""
        if self.policy not in POLICIES:
            raise UsageError(f"unknown policy {self.policy!r}: choose from {', '.join(POLICIES)}")
        if self.precision not in PRECISIONS:
            raise UsageError(f"unknown precision {self.precision!r}: choose from {', '.join(PRECISIONS[1:])}")
        if self.jit not in JIT:
            raise UsageError(f"unknown MINPY_JIT {self.jit!r}: choose from {', '.join(JIT)}")
        if self.nan_check not in NAN_CHECKS:
            raise UsageError(f"unknown nan check {self.nan_check!r}: choose from {', '.join(NAN_CHECKS)}")
        if self.profile not in PROFILES:
            raise UsageError(f"unknown profile {self.profile!r}: choose from {', '.join(PROFILES)}")
        if self.fuse.partition(":")[0] not in FUSE:  # "force:tiled1" names an engine and its threads
            raise UsageError(f"unknown MINPY_FUSE {self.fuse!r}: choose from {', '.join(FUSE)}")
        if self.fast_math and self.strict:
            raise UsageError("--fast-math gives up the last bits that --strict keeps: choose one of them")
        parse_context(self.context)
        if self.threads < 0:
            raise UsageError(f"--threads must be at least 1, not {self.threads}")
        return self

    def rewrite_key(self) -> str:
        """The part of the options that changes what the rewriter emits; part of the cache key."""
        blocks = "blocks" if self.fuse == "auto" else self.fuse[:5]
        parts = (
            self.operators and ("op spared" if self.spares else "op"),
            self.nan_check != "off" and "numbers",
            self.loops and "loops",
            self.blocks and blocks,
            self.patterns and "fast",
        )
        return "+".join(name for name in parts if name)

    @property
    def loops(self) -> bool:
        """Whether loops get a site from which they can go on compiled."""
        return self.jit != "off" and not self.watched

    @property
    def blocks(self) -> bool:
        """Whether array expressions get a site from which they can run as one piece."""
        return self.fuse != "off" and not self.watched

    @property
    def patterns(self) -> bool:
        """Whether code that may be computed another way, equal but for rounding, gets a site for it."""
        return self.fast_math and self.blocks

    @property
    def operators(self) -> bool:
        """Whether operators on plain arrays are routed too: only where something looks at them, or a device may."""
        return self.watched or self.context != "cpu"

    @property
    def spares(self) -> bool:
        """Whether operators may be left alone again where all that they meet is small."""
        return self.operators and not self.watched

    @property
    def watched(self) -> bool:
        """Whether something looks at each operation, so that none may be part of a loop or a block."""
        return (
            self.profile == "operations"
            or (self.profile != "off" and self.context != "cpu")
            or self.nan_check != "off"
            or self.policy not in ("auto", "only_numpy")
            or self.precision != "program"
        )

    @property
    def plain(self) -> bool:
        """Whether the runtime has nothing to set up: the default policy, context, precision, no look at operations."""
        return (
            self.policy == "auto"
            and self.context == "cpu"
            and self.precision == "program"
            and self.profile != "operations"
            and self.nan_check == "off"
        )


def parse_context(text: str) -> tuple[str, int]:
    """Split ``cpu``, ``gpu`` or ``gpu:n`` into the device type and its index."""
    kind, _, index = text.partition(":")
    if kind not in ("cpu", "gpu") or (index and not index.isdecimal()) or text.endswith(":"):
        raise UsageError(f"unknown context {text!r}: choose cpu, gpu or gpu:n")
    return kind, int(index or 0)


def _variable(name: str) -> str:
    return "MINPY_" + name.upper()


def from_environ(environ=os.environ) -> Options:
    """Read the options from ``MINPY_*`` variables; unset ones keep their defaults."""
    changes = {}
    for field in fields(Options):
        text = environ.get(_variable(field.name))
        if text is None or text == "":
            continue
        default = field.default
        if isinstance(default, bool):
            if text.lower() not in ("0", "1", "true", "false", "yes", "no", "on", "off"):
                raise UsageError(f"{_variable(field.name)}={text!r} is not a yes or no")
            changes[field.name] = text.lower() in ("1", "true", "yes", "on")
        elif isinstance(default, int):
            if not text.isdecimal():
                raise UsageError(f"{_variable(field.name)}={text!r} is not a number")
            changes[field.name] = int(text)
        elif isinstance(default, tuple):
            changes[field.name] = tuple(part for part in text.split(os.pathsep) if part)
        elif field.name == "nan_check":
            changes[field.name] = {"0": "off", "1": "raise"}.get(text, text.lower())
        elif field.name == "profile":
            yes, no = ("1", "true", "yes", "on"), ("0", "false", "no")
            word = text.lower()
            changes[field.name] = "run" if word in yes else "off" if word in no else word
        elif field.name in ("jit", "fuse"):
            changes[field.name] = {"0": "off", "1": "auto"}.get(text, text.lower())
        else:
            changes[field.name] = text
    return replace(Options(), **changes)


def to_environ(options: Options) -> dict[str, str]:
    """The ``MINPY_*`` variables that make a child process run with the same options."""
    variables = {}
    for field in fields(Options):
        value = getattr(options, field.name)
        if value == field.default:
            continue
        if isinstance(value, bool):
            value = "1" if value else "0"
        elif isinstance(value, tuple):
            value = os.pathsep.join(value)
        variables[_variable(field.name)] = str(value)
    return variables
