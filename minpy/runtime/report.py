"""Renders what `profile` collected. Imports rich, so it is imported only when a report is printed."""

from __future__ import annotations

from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from minpy.runtime.profile import NUMPY, TITLES, Recorder
from minpy.runtime.told import Row


def duration(seconds: float) -> str:
    """Seconds for people: three digits and a unit (``89.8 µs``, ``171 ms``, ``1.82 s``)."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= scale:
            return f"{_three(seconds / scale)} {unit}"
    return f"{_three(seconds / 1e-9)} ns" if seconds > 0 else "0"


def size(nbytes: float) -> str:
    """Bytes for people (``512 B``, ``1.46 MiB``)."""
    for unit in ("B", "KiB", "MiB"):
        if nbytes < 1024:
            return f"{_three(nbytes) if unit != 'B' else int(nbytes)} {unit}"
        nbytes /= 1024
    return f"{_three(nbytes)} GiB"


def _three(x: float) -> str:
    return f"{x:.0f}" if x >= 99.95 else f"{x:.1f}" if x >= 9.995 else f"{x:.2f}"


def _console(stream: TextIO) -> Console:
    terminal = stream.isatty()
    return Console(
        file=stream,
        width=None if terminal else 110,
        highlight=False,
        no_color=not terminal,
        legacy_windows=False,
    )


def print_run(stream: TextIO, blocks: list[Row], loops: list[Row], own_time: list[tuple[str, float]]) -> None:
    """Print what blocks and loops a run had, what computed them, what that saved, and MinPy's own time."""
    console = _console(stream)
    # (One that ran once may have no engine of its own yet.)
    done = [row for row in blocks if row.engine or (row.runs and not row.reason)]
    if done:
        console.print(_places("Blocks: expressions and calls that ran as one piece", "times", done))
    compiled = [row for row in loops if row.runs]
    if compiled:
        console.print(_places("Compiled loops", "iterations", compiled))
    if not done and not compiled:
        console.print("MinPy profile: no block and no loop ran in another way than as written.")
    rest = [(row, "block") for row in blocks if row not in done] + [
        (row, "loop") for row in loops if row.reason
    ]
    if rest:
        console.print("\nAs written, by NumPy and Python:")
        table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 2))
        for row, kind in rest:
            then = "then " if row.runs else ""
            table.add_row(Text(row.place), kind, Text(f"{then}{row.reason}"))
        console.print(table)
    saved = [row.saved for row in (*done, *compiled) if row.saved is not None]
    if saved:
        console.print(f"\nSaved, by estimate: {_signed(sum(saved))}")
    (_, total), *parts = own_time
    console.print(f"MinPy's own time: {duration(total)}")
    for what, seconds in parts:
        console.print(f"  {what}: {duration(seconds)}")


def _places(title: str, unit: str, rows: list[Row]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("Place", no_wrap=True)
    table.add_column("Line of the program", no_wrap=True)
    table.add_column(unit.capitalize(), justify="right")
    table.add_column("Time", justify="right")
    table.add_column("By")
    table.add_column("Saved", justify="right")
    for row in sorted(rows, key=lambda row: -row.seconds):
        saved = "?" if row.saved is None else _signed(row.saved)
        table.add_row(
            Text(row.place), Text(row.text), f"{row.runs:,}", duration(row.seconds), row.engine or "?", saved
        )
    return table


def _signed(seconds: float) -> str:
    return duration(seconds) if seconds >= 0 else f"-{duration(-seconds)}"


def print_profile(recorder: Recorder, stream: TextIO) -> None:
    """Print one table of operations, most time first, then the copies and the fallbacks."""
    console = _console(stream)
    if not recorder.calls:
        console.print("MinPy profile: no array operation was routed.")
        return
    console.print(_operations(recorder))
    for direction, (count, nbytes, seconds) in recorder.copies.items():
        console.print(
            f"Copied {direction}: {size(nbytes)} in {count} transfer{'s' * (count != 1)}, {duration(seconds)}"
        )
    if not recorder.copies:
        console.print("Copied nothing between memories.")
    if recorder.reasons:
        device = " and ".join(TITLES.get(each, each) for each in recorder.devices())
        console.print(f"\nNot everything ran on {device}. These operations ran on NumPy for these reasons:")
        for name, reasons in sorted(recorder.reasons.items(), key=lambda item: -sum(item[1].values())):
            console.print(Text(f"  {name}"))
            for reason, count in sorted(reasons.items(), key=lambda item: -item[1]):
                console.print(Text(f"    - {reason} ({count} call{'s' * (count != 1)})"))


def _operations(recorder: Recorder) -> Table:
    table = Table(
        title="MinPy profile",
        title_justify="left",
        show_footer=True,
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    backends = (NUMPY, *recorder.devices())
    total = {backend: [0, 0.0] for backend in backends}
    rows: dict[str, dict[str, tuple[int, float]]] = {}
    for (name, backend), calls in recorder.calls.items():
        seconds = recorder.seconds[name, backend]
        rows.setdefault(name, {})[backend] = (calls, seconds)
        total[backend][0] += calls
        total[backend][1] += seconds
    table.add_column("Operation", footer="Total")
    for backend in backends:
        title = TITLES.get(backend, backend)
        table.add_column(f"{title} calls", justify="right", footer=str(total[backend][0]))
        table.add_column(f"{title} time", justify="right", footer=duration(total[backend][1]))
    if recorder.expected:
        table.add_column("Predicted", justify="right", footer=duration(sum(recorder.expected.values())))
    for name, by in sorted(rows.items(), key=lambda item: -sum(seconds for _, seconds in item[1].values())):
        cells = []
        for backend in backends:
            calls, seconds = by.get(backend, (0, 0.0))
            cells += [str(calls), duration(seconds)] if calls else ["", ""]
        if recorder.expected:
            own = [recorder.expected[name, backend] for backend in by if (name, backend) in recorder.expected]
            cells.append(duration(sum(own)) if own else "")
        table.add_row(name, *cells)
    return table
