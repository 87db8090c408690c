"""What a run is told to have done: blocks and loops of the program, what computed them, and MinPy's own time.

``minpy run -v`` prints lines, ``--profile`` tables, at the end of the run, on standard error. While it is profiled,
what blocks take is measured; else nothing here is imported before the end. What is said to be saved is an estimate: the
best time of a block as written, or the last time of a loop's iteration as written, times how often it ran.
"""

from __future__ import annotations

import linecache
import os
import sys
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from minpy.options import Options

_LONGEST = 46  # characters of a line of the program


@dataclass
class Tally:
    """What one block, for arrays of one kind, was computed by: engine -> number and seconds."""

    engines: dict[str, list[float]] = field(default_factory=dict)

    def saved(self, written: float | None) -> float | None:
        """Estimated seconds saved against `written` seconds each; None if that is not known."""
        if written is None:
            return None
        return sum(
            count * written - took for name, (count, took) in self.engines.items() if name != "written"
        )


@dataclass
class Row:
    """A place of the program in the report."""

    file: str
    line: int
    runs: int = 0
    seconds: float = 0.0
    engine: str = ""
    saved: float | None = None
    reason: str = ""  # why it ran as written

    @property
    def place(self) -> str:
        """The file's name and the line."""
        return f"{self.file.replace(chr(92), '/').rpartition('/')[2] or '?'}:{self.line}"

    @property
    def text(self) -> str:
        """The line of the program."""
        text = " ".join(linecache.getline(self.file, self.line).split()) if self.file else ""
        return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


_tallies: dict[Any, Tally] = {}  # by `choose.Choice`


def start() -> None:
    """Measure blocks from here on."""
    from minpy.runtime.fuse import sites

    original = sites.Site.__call__
    ready = False

    def look(site: Any, text: str, *values: Any) -> bool:
        nonlocal ready
        if not ready:
            ready = True
            _measure_choices()
        return original(site, text, *values)

    sites.Site.__call__ = look  # type: ignore[method-assign]


def _measure_choices() -> None:
    from minpy.runtime.fuse.choose import Choice
    from minpy.runtime.fuse.forms import CallChoice

    Choice.run = _measured(Choice.run)  # type: ignore[method-assign]
    CallChoice.call = _measured(CallChoice.call)  # type: ignore[method-assign]


def _measured(original: Any) -> Any:
    def run(choice: Any, plan: Any, name: str, *rest: Any) -> Any:
        began = perf_counter()
        result = original(choice, plan, name, *rest)
        entry = _tallies.setdefault(choice, Tally()).engines.setdefault(name, [0, 0.0])
        entry[0] += 1
        entry[1] += perf_counter() - began
        return result

    return run


def blocks() -> list[Row]:
    """The blocks that were looked at, in the order of the program."""
    module = sys.modules.get("minpy.runtime.fuse.sites")
    if module is None:
        return []
    files = _files()
    rows = []
    for site in module.sites:
        if not site.looks:
            continue
        line, _, digest = site.name.split("_")
        row = Row(files.get(digest, ""), int(line), site.fused)
        choices = list(getattr(site.block, "_choices", {}).values())
        names: dict[str, float] = {}
        for choice in choices:
            tally = _tallies.get(choice)
            for name, (count, took) in (tally.engines if tally else {}).items():
                names[name] = names.get(name, 0) + count
                row.seconds += took if name != "written" else 0.0
            gain = tally.saved(choice.best.get("written")) if tally else None
            if gain is not None:
                row.saved = (row.saved or 0.0) + gain
            if not tally and choice.verdict:
                names.setdefault(choice.verdict, 0)
        names.pop("written", None)
        row.engine = ", ".join(sorted(names, key=lambda name: -names[name])) if site.fused else ""
        if not site.fused or all(choice.verdict == "written" for choice in choices):
            row.reason = _why_written(site, choices)
        rows.append(row)
    return sorted(rows, key=lambda row: (row.file, row.line))


def _why_written(site: Any, choices: list[Any]) -> str:
    if site.reason:
        return site.reason
    if site.block is None or not choices:
        return "its arrays were small, or not of the kind"
    best = min(choices, key=lambda choice: choice.best.get("written", 0.0)).best
    if best:
        times = ", ".join(
            f"{name} {duration(took)}" for name, took in sorted(best.items(), key=lambda x: x[1])
        )
        return f"NumPy was measured to be as fast ({times})"
    return "it did not come to that"


def loops() -> list[Row]:
    """The loops that were looked at, in the order of the program."""
    module = sys.modules.get("minpy.runtime.jit.sites")
    drive = sys.modules.get("minpy.runtime.jit.drive")
    rows = []
    for site in module.sites if module else []:
        if not (site.filename or site.reason):
            continue
        runs = site.compiled + (site.taped.rounds if site.taped else 0)
        row = Row(site.filename, site.line, runs, engine="compiled" if runs else "")
        row.seconds = drive.seconds_of(site) if drive else 0.0
        if site.compiled and site.per_round:
            row.saved = site.compiled * site.per_round - row.seconds
        row.reason = site.reason or ("" if runs else "its runs did not take long enough")
        rows.append(row)
    return sorted(rows, key=lambda row: (row.file, row.line))


def _files() -> dict[str, str]:
    """The files of the modules that are loaded, by the digest that the names of blocks end in."""
    from minpy.runtime.jit import source

    found = {}
    for module in list(sys.modules.values()):
        file = getattr(module, "__dict__", {}).get("__file__") or _main_file(module)
        if isinstance(file, str) and file.endswith((".py", ".pyw")) and "site-packages" not in file:
            text = "".join(linecache.getlines(file))
            found[source.digest(text)] = file
    return found


def _main_file(module: Any) -> Any:
    # The main module's __file__ is gone at the end of a run.
    return os.path.abspath(sys.argv[0]) if module is sys.modules.get("__main__") and sys.argv else None


def own_time() -> list[tuple[str, float]]:
    """What MinPy took of the run, in words and seconds; the first entry is all of it."""
    parts: list[tuple[str, float]] = []
    runner, build = sys.modules.get("minpy.runner"), sys.modules.get("minpy.transform.build")
    analysis = build.work.seconds if build else 0.0
    if build:
        what = []
        if build.work.rewritten:
            where = ", in another process" if build.work.elsewhere else ""
            what.append(f"{_modules(build.work.rewritten)} analysed{where}")
        if build.work.cached:
            what.append(f"{_modules(build.work.cached)} from the cache")
        parts.append((" and ".join(what) or "no module to analyse", max(analysis, 0.0)))
    ledger = sys.modules.get("minpy.runtime.ledger")
    if runner:
        other = analysis + build.work.meanwhile if build else 0.0
        parts.insert(0, ("start", max(runner.start_seconds - other, 0.0)))
    for what, seconds in (ledger.seconds if ledger else {}).items():
        if what == "compiling meanwhile":
            count = ledger.counts[what]
            parts.append(
                (f"{count} text{'s' * (count != 1)} compiled in another thread, not counted", seconds)
            )
        else:
            parts.append((what, seconds))
    total = sum(seconds for what, seconds in parts if not what.endswith("not counted"))
    return [("in all", total), *parts]


def _modules(count: int) -> str:
    return f"{count} module{'s' * (count != 1)}"


def time_line() -> list[str]:
    """What MinPy itself did, when the process had run for how long, and for how long the program waited for it."""
    ledger = sys.modules.get("minpy.runtime.ledger")
    runner = sys.modules.get("minpy.runner")
    found = []
    if runner and runner.start_seconds:
        found.append(f"the program began {runner.start_seconds * 1e3:.0f} ms after the first line of MinPy's")
    for at, what, count, spent, taken in ledger.line if ledger else []:
        text = f"{at:7.3f} s  {what}: {spent * 1e3:.1f} ms"
        text += f" in {count} parts" if count > 1 else ""
        found.append(text + (f", the program waited {taken * 1e3:.1f}" if abs(taken - spent) >= 1e-4 else ""))
    return found


def report(options: Options) -> None:
    """Print what the options ask for."""
    try:
        if options.profile != "off":
            if options.operators:  # blocks and loops are off
                from minpy.runtime import profile

                profile.report()
            else:
                from minpy.runtime.report import print_run

                print_run(sys.stderr, blocks(), loops(), own_time())
        elif options.verbose:
            for line in lines() + (time_line() if options.verbose > 1 else []):
                sys.stderr.write(f"minpy: {line}\n")
    except (OSError, ValueError, AttributeError):
        if sys.stderr is not None and not sys.stderr.closed:
            raise


def lines() -> list[str]:
    """The report of ``-v``: blocks, and MinPy's own time (loops have lines of their own)."""
    found = []
    for row in blocks():
        text = (
            f"{row.runs} times as one piece" + (f", {row.engine}" if row.engine else "") if row.runs else ""
        )
        if row.reason:
            text += f"{', then ' if text else ''}as written: {row.reason}"
        found.append(f"block at {row.file or '?'}:{row.line}: {text}")
    (_, total), *parts = own_time()
    inner = ", ".join(f"{what} {seconds * 1e3:.0f}" for what, seconds in parts if seconds >= 5e-4)
    found.append(f"own time: {total * 1e3:.0f} ms" + (f" ({inner})" if inner else ""))
    return found


def duration(seconds: float) -> str:
    """Seconds for people, as `minpy.runtime.report.duration` without its imports."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if abs(seconds) >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds * 1e9:.0f} ns"
