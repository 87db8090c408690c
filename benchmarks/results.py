"""The figures of docs/results.md and its picture, from what `python -m benchmarks` wrote.

    python -m benchmarks.results FOLDER [--page docs/results.md]

The folder has JSON files, each of one run: `programs-1.json` and `programs-2.json` (with one and two threads),
`forward-1.json`, `forward-2.json`, `workloads.json`, `cold.json`. `make results` makes all of them. The page's text is
written by hand; what stands between `<!-- name -->` and `<!-- end -->` is replaced. Figures that are not in the folder
stay as they are.
"""

from __future__ import annotations

import argparse
import json
import math
import re
from pathlib import Path
from typing import Any

from benchmarks import cold, report, workloads
from benchmarks.report import NAMES
from benchmarks.timing import duration

ROOT = Path(__file__).parents[1]
# By the number of threads: what was measured of programs.
Runs = dict[str, list[dict[str, Any]]]
LIBRARIES = {"numpy": "NumPy", "numba": "Numba", "jax": "JAX", "numexpr": "numexpr", "torch": "PyTorch"}


def load(folder: Path) -> dict[str, Any]:
    """What there is, by the names of the files."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


def machine(found: dict[str, Any]) -> str:
    """When and where."""
    about = next(iter(found.values()))["machine"]
    versions = ", ".join(
        f"{LIBRARIES.get(name, name)} {version}" for name, version in about["versions"].items()
    )
    return (
        f"{about['date']}; {about['processor']}, {about['cores']} processors, {about['system']}; "
        f"Python {about['python']}, {versions}.\n"
    )


def headline(runs: Runs) -> str:
    """Geometric means, of all programs and of those that a peer has."""
    heads = [
        "threads", "size", "programs", "MinPy", "Numba", "JAX (MinPy on the same)", "MinPy's least",
        "below 0.95: MinPy, Numba, JAX", "MinPy is ahead of Numba in, of JAX in",
    ]  # fmt: skip
    lines = [_line(heads), _line(["---"] * len(heads))]
    for threads, rows in runs.items():
        for size, each in report.overall(rows).items():
            peers = each["peers"]

            def of(peer: str, what: str, peers: dict[str, Any] = peers) -> Any:
                return peers[peer][what] if peers.get(peer, {}).get("programs") else None

            def number(value: float | None) -> str:
                return "" if value is None else f"{value:.2f}"

            slower = [str(len(each["slower"])), *(str(len(of(p, "slower") or [])) for p in ("numba", "jax"))]
            ahead = [
                f"{of(p, 'ahead')} of {of(p, 'programs')}" for p in ("numba", "jax") if of(p, "programs")
            ]
            same = f" ({number(of('jax', 'minpy_mean'))})" if of("jax", "minpy_mean") is not None else ""
            lines.append(
                f"| {threads} | {size} | {each['programs']} | **{each['mean']:.2f}** | {number(of('numba', 'mean'))} | "
                f"{number(of('jax', 'mean'))}{same} | "
                f"{each['least']:.2f} ({each['least_program']}) | {', '.join(slower)} | {', '.join(ahead)} |"
            )
    return "\n".join(lines) + "\n"


def compiling(runs: Runs) -> str:
    """What the first run costs."""
    heads = ["size", "MinPy: the first run ends later by"]
    heads += [f"{peer}: {what}" for peer in ("Numba", "JAX") for what in ("a program", "all", "again, later")]
    lines = [_line(heads), _line(["---"] * len(heads))]
    for size, each in report.overall(_first(runs)).items():
        cells = [size, f"{duration(each['cold'])} (median), {duration(each['cold_most'])} (most)"]
        for peer in ("numba", "jax"):
            its = each["peers"].get(peer, {})
            figures = ("compile", "compile_sum", "again")
            cells += [
                duration(its[what]) if what in its and not math.isnan(its[what]) else "" for what in figures
            ]
        lines.append(_line(cells))
    return "\n".join(lines) + "\n"


def same(runs: Runs) -> str:
    """Where bits differ, and why there is no port."""
    rows = [row for found in runs.values() for row in found]
    different = {f"{row['program']} ({row['size']})": row["differences"] for row in rows if not row["same"]}
    wrong = {
        f"{row['program']} ({row['size']}), {NAMES[peer]}": each["wrong"]
        for row in rows
        for peer, each in row["peers"].items()
        if each.get("wrong")
    }
    absent = {
        f"{row['program']}, {NAMES[peer]}": each["absent"]
        for row in rows
        for peer, each in row["peers"].items()
        if "absent" in each
    }
    lines = [f"* Not the same: {name}: {'; '.join(why)}" for name, why in different.items()]
    if not different:
        lines = [
            "* Under MinPy all results, and what the programs do to their arguments, are equal to the last bit: "
            "no exceptions."
        ]
    lines += [f"* A port gives something else: {name}: {'; '.join(why)}" for name, why in wrong.items()]
    lines += [f"* No port: {name}: {why}." for name, why in absent.items()]
    return "\n".join(lines) + "\n"


def forward(found: dict[str, Any]) -> str | None:
    """The tables of the forward set."""
    parts = []
    for name, each in found.items():
        if name.startswith("forward-"):
            its = each["results"]["forward"]
            parts += [
                f"{_threads(name.partition('-')[2]).capitalize()}:\n",
                report.side_by_side_markdown(its["rows"]),
                *(f"* {line.strip()}." for line in [*its["absent"], *report.absent(its["rows"])]),
                "",
            ]
    return "\n".join(parts) or None


def gradients(found: dict[str, Any]) -> str | None:
    """The tables of the workloads."""
    return (
        _indented(workloads.text(found["workloads"]["results"]["workloads"]))
        if "workloads" in found
        else None
    )


def cold_starts(found: dict[str, Any]) -> str | None:
    """The ten worst, and what can be said of all."""
    if "cold" not in found:
        return None
    rows = found["cold"]["results"]["cold"]
    worst = sorted(rows, key=lambda row: -row["ratio"])[:10]
    top, everything = cold.text(worst).splitlines(), cold.text(rows).splitlines()
    return _indented("\n".join([*top[: len(worst) + 1], *everything[len(rows) + 1 :]]))


def sections(found: dict[str, Any], picture: str) -> dict[str, str | None]:
    """What each section of the page holds; None where nothing was measured."""
    runs = {
        name.partition("-")[2]: each["results"]["programs"]
        for name, each in found.items()
        if name.startswith("programs-")
    }
    by_runs = {
        "headline": headline,
        "picture": lambda runs: (
            f"![Each program under MinPy, Numba and JAX, {_threads(next(iter(runs)))}]({picture})\n"
        ),
        "programs": lambda runs: (
            f"{_threads(next(iter(runs))).capitalize()}:\n\n{report.markdown(_first(runs))}"
        ),
        "same": same,
        "compiling": compiling,
    }
    return {
        "machine": machine(found),
        **{name: make(runs) if runs else None for name, make in by_runs.items()},
        "forward": forward(found),
        "gradients": gradients(found),
        "cold": cold_starts(found),
    }


def filled(page: str, contents: dict[str, str | None]) -> str:
    """A page with the contents in their places. A place without contents keeps what it has."""

    def fill(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in contents:
            raise SystemExit(f"the page has a place for {name!r}, there is {', '.join(contents)}")
        text = contents[name]
        return match[0] if text is None else f"<!-- {name} -->\n\n{text.rstrip()}\n\n<!-- end -->"

    return re.sub(r"<!-- (?P<name>[a-z]+) -->.*?<!-- end -->", fill, page, flags=re.DOTALL)


def _first(runs: Runs) -> list[dict[str, Any]]:
    return next(iter(runs.values()))


def _threads(count: str) -> str:
    return (
        "one thread each" if count == "1" else "two threads each" if count == "2" else f"{count} threads each"
    )


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _indented(text: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in text.splitlines()) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.results", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of the JSON files")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "results.md")
    options = parser.parse_args()
    found = load(options.folder)
    if not found:
        parser.error(f"there is no JSON file in {options.folder}")
    contents = sections(found, options.page.with_suffix(".png").name)
    programs = [each for name, each in found.items() if name.startswith("programs-")]
    if programs:
        report.plot(programs[0]["results"]["programs"], str(options.page.with_suffix(".png")))
    page = options.page.read_text(encoding="utf-8")
    options.page.write_text(filled(page, contents), encoding="utf-8")
    print(f"wrote {options.page}")


if __name__ == "__main__":
    main()
