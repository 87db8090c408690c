"""What `benchmarks.whole` measured, as text, as a table for the documents and as a picture."""

from __future__ import annotations

import math
import statistics
from typing import Any

from benchmarks.ports import PEERS
from benchmarks.timing import duration, table

# A program below this is slower under MinPy.
LEAST = 0.95
NAMES = {"minpy": "MinPy", **PEERS}
MARKS = {"minpy": ("o", "tab:blue"), "numba": ("^", "tab:orange"), "jax": ("s", "tab:green")}

Row = dict[str, Any]


def systems(rows: list[Row]) -> list[str]:
    """What was measured beside plain Python: MinPy and the peers."""
    return ["minpy", *dict.fromkeys(peer for row in rows for peer in row.get("peers", {}))]


def ratio(row: Row, system: str) -> float | None:
    """How many times as fast as plain Python a system is, if it has the program."""
    return row["ratio"] if system == "minpy" else row.get("peers", {}).get(system, {}).get("ratio")


def mean(values: list[float]) -> float:
    """The geometric mean."""
    return math.exp(statistics.fmean(map(math.log, values)))


def overall(rows: list[Row]) -> dict[str, dict[str, Any]]:
    """For each size the geometric mean of the ratios, the least, and how many programs are slower or not the same."""
    found = {}
    for size in dict.fromkeys(row["size"] for row in rows):
        mine = [row for row in rows if row["size"] == size]
        least = min(mine, key=lambda row: row["ratio"])
        extra = [row["start_cold"] - row["start_python"] for row in mine]
        found[size] = {
            "programs": len(mine),
            "mean": mean([row["ratio"] for row in mine]),
            "least": least["ratio"],
            "least_program": least["program"],
            "slower": [row["program"] for row in mine if row["ratio"] < LEAST],
            "different": [row["program"] for row in mine if not row["same"]],
            "cold": statistics.median(extra),
            "cold_most": max(extra),
            "peers": {peer: _peer(mine, peer) for peer in systems(mine)[1:]},
        }
    return found


def _peer(rows: list[Row], peer: str) -> dict[str, Any]:
    """One peer at one size, and MinPy on the programs that it has."""
    has = [row for row in rows if ratio(row, peer) is not None]
    if not has:
        return {"programs": 0}
    values = {row["program"]: row["peers"][peer]["ratio"] for row in has}
    least = min(values, key=values.__getitem__)
    return {
        "programs": len(has),
        "mean": mean(list(values.values())),
        "minpy_mean": mean([row["ratio"] for row in has]),
        "ahead": sum(row["ratio"] > values[row["program"]] for row in has),
        "least": values[least],
        "least_program": least,
        "slower": [name for name, value in values.items() if value < LEAST],
        "wrong": [row["program"] for row in has if row["peers"][peer]["wrong"]],
        # What the first run takes above a later one, the compiler; and what the first run of a later process does.
        "compile": statistics.median(_extra(row["peers"][peer], "first_cold") for row in has),
        "compile_sum": sum(_extra(row["peers"][peer], "first_cold") for row in has),
        "again": statistics.median(_extra(row["peers"][peer], "first_warm") for row in has),
    }


def _extra(each: dict[str, Any], first: str) -> float:
    """What a first run takes above a later one; if only one process was there, there is no later first run."""
    return max(0.0, each[first] - each["median"]) if each[first] is not None else math.nan


HEADS = ["program", "size", "python", "minpy run", "python / minpy", "cold start", "warm start", "result"]


def cells(row: Row) -> list[str]:
    """A line of the text's table."""

    def time_of(each: dict[str, float]) -> str:
        return f"{duration(each['median'])} ± {duration(each['spread'])}"

    found = [
        row["program"],
        row["size"],
        time_of(row["python"]),
        time_of(row["minpy"]),
        f"{row['ratio']:.2f} ± {row['ratio_spread']:.2f}",
        duration(row["start_cold"] - row["start_python"]),
        duration(row["start_warm"] - row["start_python"]),
        "same" if row["same"] else "NOT THE SAME: " + "; ".join(row["differences"]),
    ]
    for each in row.get("peers", {}).values():
        if "absent" in each:
            found += ["-", "-"]
        else:
            wrong = "  WRONG: " + "; ".join(each["wrong"]) if each["wrong"] else ""
            found += [
                f"{each['ratio']:.2f} ± {each['ratio_spread']:.2f}{wrong}",
                duration(_extra(each, "first_cold")),
            ]
    return found


def text(rows: list[Row]) -> str:
    """The table, and a line for each size and peer."""
    heads = [*HEADS]
    for peer in systems(rows)[1:]:
        heads += [f"python / {peer}", "compiled in"]
    return "\n".join([table(heads, [cells(row) for row in rows]), *lines(rows)])


def lines(rows: list[Row]) -> list[str]:
    """What can be said of all programs."""
    found = []
    for size, each in overall(rows).items():
        found.append(
            f"  {size}, {each['programs']} programs: geometric mean {each['mean']:.2f}, least {each['least']:.2f} "
            f"({each['least_program']}), below {LEAST}: {', '.join(each['slower']) or 'none'}; "
            f"not the same: {', '.join(each['different']) or 'none'}; "
            f"the first run starts {duration(each['cold'])} later (at most {duration(each['cold_most'])})"
        )
        for peer, its in each["peers"].items():
            if its["programs"]:
                found.append(
                    f"    {PEERS[peer]}, {its['programs']} ports: geometric mean {its['mean']:.2f} (MinPy on the same: "
                    f"{its['minpy_mean']:.2f}, faster in {its['ahead']}), least {its['least']:.2f} "
                    f"({its['least_program']}), below {LEAST}: {len(its['slower'])}; "
                    f"wrong: {', '.join(its['wrong']) or 'none'}; "
                    f"compiling takes {duration(its['compile'])} (all: {duration(its['compile_sum'])})"
                )
    return [*found, *absent(rows)]


def absent(rows: list[Row]) -> list[str]:
    """A line for each port that there is not."""
    found = {
        (peer, row["program"]): each["absent"]
        for row in rows
        for peer, each in row.get("peers", {}).items()
        if "absent" in each
    }
    return [f"  no {NAMES[peer]}: {name}: {why}" for (peer, name), why in found.items()]


def markdown(rows: list[Row]) -> str:
    """A table for the documents: a line for each program, its sizes beside each other."""
    sizes = list(dict.fromkeys(row["size"] for row in rows))
    names = systems(rows)
    by_name: dict[str, dict[str, Row]] = {}
    for row in rows:
        by_name.setdefault(row["program"], {})[row["size"]] = row
    heads = [h for s in sizes for h in (f"{s}: NumPy", *(NAMES[each] for each in names))]
    text = ["| program | " + " | ".join(heads) + " |", "| --- |" + " ---: |" * len(heads)]
    for name, found in sorted(by_name.items()):
        line = [name]
        for size in sizes:
            row = found.get(size)
            line.append(duration(row["python"]["median"]) if row else "")
            for system in names:
                value = ratio(row, system) if row else None
                line.append("" if value is None else f"{value:.2f}")
        text.append("| " + " | ".join(line) + " |")
    means = []
    for size in sizes:
        mine = [row for row in rows if row["size"] == size]
        means.append("")
        for system in names:
            values = [value for row in mine if (value := ratio(row, system)) is not None]
            means.append(f"**{mean(values):.2f}**" if values else "")
    text.append("| geometric mean | " + " | ".join(means) + " |")
    return "\n".join(text) + "\n"


def _beside(rows: list[Row]) -> tuple[list[str], list[list[str]]]:
    """A line for each program and size, the time and the ratio of each system in a column."""
    names = systems(rows)
    found = []
    for row in rows:
        line = [f"{row['program']}, {row['size']}", duration(row["python"]["median"])]
        for system in names:
            each = row["minpy"] if system == "minpy" else row["peers"].get(system, {})
            value = ratio(row, system)
            line.append("-" if value is None else f"{duration(each['median'])} ({value:.2f}x)")
        found.append(line)
    return ["", "NumPy", *(NAMES[each] for each in names)], found


def side_by_side(rows: list[Row]) -> str:
    """Few programs, many systems: as text."""
    wrong = [
        f"  {NAMES[peer]} gives something else in {row['program']}: {'; '.join(each['wrong'])}"
        for row in rows
        for peer, each in row["peers"].items()
        if each.get("wrong")
    ]
    ours = [
        f"  NOT THE SAME: {row['program']}: {'; '.join(row['differences'])}"
        for row in rows
        if not row["same"]
    ]
    return "\n".join([table(*_beside(rows)), *ours, *wrong, *absent(rows)])


def side_by_side_markdown(rows: list[Row]) -> str:
    """The same for the documents."""
    heads, found = _beside(rows)
    text = [heads, ["---", *["---:"] * (len(heads) - 1)], *found]
    return "\n".join("| " + " | ".join(line) + " |" for line in text) + "\n"


def plot(rows: list[Row], path: str) -> None:
    """A mark for each system and program, on a logarithmic scale, the sizes beside each other."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import FuncFormatter

    sizes = list(dict.fromkeys(row["size"] for row in rows))
    names = systems(rows)
    order = {
        row["program"]: place
        for place, row in enumerate(
            sorted((r for r in rows if r["size"] == sizes[0]), key=lambda r: (r["ratio"], r["program"]))
        )
    }
    figure, panels = pyplot.subplots(
        1, len(sizes), figsize=(3.2 + 3.6 * len(sizes), 1.6 + 0.165 * len(order)), sharey=True, squeeze=False
    )
    for axes, size in zip(panels[0], sizes, strict=True):
        mine = [row for row in rows if row["size"] == size and row["program"] in order]
        for system in reversed(names):  # MinPy above the others
            mark, colour = MARKS[system]
            there = [(ratio(row, system), order[row["program"]]) for row in mine]
            points = [(x, y) for x, y in there if x is not None]
            if not points:
                continue
            ours = system == "minpy"
            axes.scatter(
                *zip(*points, strict=True),
                s=26 if ours else 17,
                marker=mark,
                color=colour,
                alpha=1.0 if ours else 0.75,
                linewidths=0,
                zorder=3 if ours else 2,
                label=f"{NAMES[system]}: {mean([x for x, _ in points]):.1f}",
            )
            axes.axvline(mean([x for x, _ in points]), color=colour, linewidth=0.9, linestyle=":", zorder=1)
        axes.axvline(1, color="black", linewidth=0.9, zorder=1)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        axes.set_title(f"{size} inputs", fontsize=10)
        axes.set_xlabel("times as fast as NumPy", fontsize=9)
        axes.tick_params(axis="x", labelsize=8)
        axes.grid(axis="y", linewidth=0.3, alpha=0.6)
        axes.set_axisbelow(True)
        handles, labels = axes.get_legend_handles_labels()
        axes.legend(
            handles[::-1],
            labels[::-1],
            loc="lower right",
            fontsize=8,
            title="geometric mean",
            title_fontsize=8,
        )
        axes.set_ylim(-1, len(order))
    panels[0][0].set_yticks(list(order.values()), list(order), fontsize=6.5)
    figure.tight_layout()
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
