"""The report of ``minpy doctor`` for people: plain lines, or tables where standard output is a terminal."""

from __future__ import annotations

import os
import sys
from typing import Any

Rows = list[tuple[str, str]]


def render(report: dict[str, Any]) -> None:
    """Print the report of `minpy.doctor.examine` to standard output."""
    sections = [
        ("Versions", _versions(report)),
        ("MXNet", _mxnet(report["mxnet"])),
        ("CuPy", _cupy(report["cupy"])),
        ("GPUs", _gpus(report["gpus"])),
        ("Cache", _cache(report["cache"])),
        ("Threads", _threads(report["threads"])),
        ("Products of matrices", _blas(report["blas"])),
        ("Memory", _memory(report["memory"])),
        ("Engines", _engines(report["engines"])),
        ("Hook", _hook(report["hook"], report["options"])),
    ]
    title = "Cost model: " + (
        "measured on this machine"
        if report["cost"]["measured"]
        else "built in (`minpy doctor --calibrate` measures)"
    )
    table = _cost(report["cost"])
    problems = [f"problem: {p['what']}\n   repair: {p['repair']}" for p in report["problems"]]
    closing = [*_choices(report["cost"]), *(problems or ["no problems found"])]
    if sys.stdout.isatty():
        _render_rich(sections, title, table, closing)
    else:
        _render_plain(sections, title, table, closing)


def _render_plain(
    sections: list[tuple[str, Rows]], title: str, table: list[list[str]], closing: list[str]
) -> None:
    lines = []
    for name, rows in sections:
        lines.append(name)
        width = max(len(label) for label, _ in rows)
        lines += [f"  {label:<{width}}  {value}".rstrip() for label, value in rows]
        lines.append("")
    lines.append(title)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        first, *others = (
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  " + "  ".join([first, *others]).rstrip())
    lines += ["", *closing]
    print("\n".join(lines))


def _render_rich(
    sections: list[tuple[str, Rows]], title: str, table: list[list[str]], closing: list[str]
) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    for name, rows in sections:
        grid = Table(title=name, title_justify="left", title_style="bold", show_header=False, box=None)
        for label, value in rows:
            grid.add_row(Text("  " + label), Text(value))
        console.print(grid)
    costs = Table(title=title, title_justify="left", title_style="bold")
    for place, heading in enumerate(table[0]):
        costs.add_column(heading, justify="right" if place else "left")
    for row in table[1:]:
        costs.add_row(*row)
    console.print(costs)
    for line in closing:
        console.print(Text(line, style="bold red" if line.startswith("problem") else "green"))


def _versions(report: dict[str, Any]) -> Rows:
    rows = [("python", f"{report['python']['version']}  {report['python']['executable']}")]
    rows += [(name, version or "not installed") for name, version in report["packages"].items()]
    return rows


def _mxnet(mxnet: dict[str, Any]) -> Rows:
    rows = [("installed", ", ".join(mxnet["distributions"]) or "no")]
    if mxnet["state"] == "loads":
        rows.append(("loads", f"yes, MXNet {mxnet['version']} in {mxnet['seconds']:.1f} s"))
    else:
        rows.append(("loads", "no"))
    if mxnet["reason"]:
        rows.append(("why" if mxnet["state"] != "loads" else "but", mxnet["reason"]))
    if mxnet["repair"]:
        rows.append(("repair" if mxnet["state"] == "broken" else "to change it", mxnet["repair"]))
    return rows


def _cupy(cupy: dict[str, Any]) -> Rows:
    rows = [("installed", cupy["distribution"] or "no (only GPUs need it: pip install 'minpy[cupy]')")]
    if cupy["state"] != "absent":
        rows.append(("loads", f"yes, CuPy {cupy['version']}" if cupy["version"] else "no"))
    if cupy["state"] != "absent" and cupy["reason"]:
        rows.append(("but" if cupy["state"] == "loads" else "why", cupy["reason"]))
    if cupy["repair"]:
        rows.append(("repair", cupy["repair"]))
    return rows


def _gpus(gpus: dict[str, Any]) -> Rows:
    rows = [("driver", gpus["driver"] or gpus["reason"])]
    if gpus["driver"] and gpus["reason"]:
        rows.append(("none", gpus["reason"]))
    if gpus["reason"] and gpus["reason"] != "no NVIDIA driver":
        rows.append(("repair", gpus["repair"]))
    for device in gpus["devices"]:
        verdict = f"{device['backend'] or 'not used'}: {device['why']}"
        memory = f"{device['memory_bytes'] / 2**30:.0f} GiB"
        rows.append(
            (
                f"gpu:{device['index']}",
                f"{device['name']}, capability {device['capability']}, {memory}",
            )
        )
        rows.append(("driven by", verdict))
        if device["repair"]:
            rows.append(("repair", device["repair"]))
    return rows


def _calibration(path: str) -> str:
    return path if os.path.exists(path) else f"none yet, would be {path}"


_PARTS = {"blas": "copies of OpenBLAS", "loops": "compiled code", "kernels": "kernels of products"}


def _cache(cache: dict[str, Any]) -> Rows:
    if not cache["bytecode"]:
        return [
            (
                "bytecode",
                "no folder for it (HOME is not set; MINPY_CACHE_DIR names one): programs run uncached",
            )
        ]
    size = f"{cache['files']} files, {cache['bytes'] / 1e6:.1f} MB"
    rows = [
        ("bytecode", f"{cache['bytecode']}  ({size})"),
        ("calibration", _calibration(cache["calibration"])),
    ]
    parts = cache["parts"]
    if parts:
        told = ", ".join(f"{_PARTS.get(name, name)} {size / 1e6:.1f}" for name, size in parts.items())
        rows.append(
            ("all of it", f"{sum(parts.values()) / 1e6:.1f} MB ({told}); it may be removed at any time")
        )
    if not cache["writable"]:
        rows.append(
            ("note", "the folder cannot be written: programs run uncached (MINPY_CACHE_DIR names another)")
        )
    return rows


def _blas(found: dict[str, Any]) -> Rows:
    own, better, ours = found["numpy"], found["better"], found["ours"]
    if not own:
        rows = [("NumPy's", "not by an OpenBLAS of NumPy's own")]
    elif not better:
        rows = [("NumPy's", f"OpenBLAS with its kernels for {own}")]
    else:
        rows = [("NumPy's", f"OpenBLAS, which does not know this processor: it takes it for a {own}")]
    if better and not found["narrow"]:
        rows.append(("with MinPy", "products run on vectors of AVX-512 in its place, with the same bits"))
    elif better:
        rows.append(("with MinPy", f"products are no faster: {found['narrow']}"))
    if found["seconds"]:
        slow, quick = (f"{1e3 * each:.1f}" for each in found["seconds"])
        rows.append(
            ("that costs", f"{slow} ms a product of two matrices of 450 rows, {quick} by what MinPy uses")
        )
    if ours:
        rows.append(("MinPy's", f"gradients and the layers of minpy.nn use {ours}"))
    elif better:
        rows.append(("MinPy's", "the same: a copy with other kernels could not be loaded"))
    for name, why in found["failures"].items():
        what = "a copy of NumPy's OpenBLAS" if name == "copy" else f"the extra {name}"
        rows.append(("note", f"{what} is not used: {why}"))
    if better and ours:
        rows.append(
            (
                "yours",
                f"keep NumPy's bits; faster with OPENBLAS_CORETYPE={better} set, or a NumPy that knows it",
            )
        )
    return rows


def _threads(threads: dict[str, Any]) -> Rows:
    rows = [("cores", f"{threads['cores']}, of which this process may use {threads['usable']}")]
    rows += list(threads["variables"].items()) or [
        ("variables", "none set (`minpy run --threads N` sets them)")
    ]
    return rows


def _memory(memory: dict[str, Any]) -> Rows:
    size = memory["available_bytes"]
    return [
        ("available", f"{size / 2**30:.1f} GiB" if size else "unknown"),
        ("freed arrays", memory["kept"]),
    ]


def _engines(engines: dict[str, Any]) -> Rows:
    compiler = (
        f"LLVM through llvmlite {engines['compiler']}"
        if engines["compiler"]
        else "none (pip install 'minpy[jit]' compiles loops and arithmetic)"
    )
    found = ", ".join(f"{count} {name}" for name, count in engines["verdicts"].items())
    off = " (switched off)"
    rows = [
        ("blocks", f"NumPy in tiles, {engines['threads']} threads{'' if engines['blocks'] else off}"),
        ("compiler", compiler + ("" if engines["loops"] else off)),
        ("measured before", f"{found or 'nothing yet'}; {engines['compiled']} pieces of compiled code"),
    ]
    if engines["fast_math"]:
        rows.append(("rounding", "MINPY_FAST_MATH: results may differ in rounding"))
    return rows


def _choices(cost: dict[str, Any]) -> list[str]:
    """What the policy `auto` makes of the figures."""
    lines = [
        "auto, on the CPU: NumPy, its blocks and compiled loops, each chosen by measuring in the program; MXNet's CPU",
        "kernels run where a program asks for them (policy, Function, customop).",
    ]
    if cost["disturbed"]:
        lines.append(f"The machine was busy: not measured, but built in, are {', '.join(cost['disturbed'])}.")
    for row in cost["thresholds"]:
        if row["elements"] is None:
            text = "never, unless the operands are there already"
        else:
            text = f"from {row['elements']:,.0f} elements on"
        if row["resident"] is not None:
            text += f"; from {row['resident']:,.0f} where they are there already"
        lines.append(f"auto, with a GPU: {row['class']} goes to {row['device']} {text}")
    return [*lines, ""]


def _hook(hook: dict[str, Any], options: dict[str, str]) -> Rows:
    rows = [
        ("in this process", "installed" if hook["installed"] else "not installed (`minpy run` installs it)")
    ]
    if hook["startup_file"]:
        rows.append(("in children", f"inherited through MINPY_ACTIVE=1 and {hook['startup_file']}"))
    else:
        rows.append(
            ("in children", "forks only: zz_minpy_startup.pth is not beside the packages (reinstall minpy)")
        )
    rows.append(("options", " ".join(f"{name}={value}" for name, value in options.items()) or "defaults"))
    return rows


def _cost(cost: dict[str, Any]) -> list[list[str]]:
    backends = list(dict.fromkeys(name for row in cost["rows"] for name in row["microseconds"]))
    table = [["class", "elements", *(f"{name} µs" for name in backends), "fastest, copies aside"]]
    for row in cost["rows"]:
        times = [
            f"{row['microseconds'][name]:.1f}" if name in row["microseconds"] else "" for name in backends
        ]
        table.append([row["class"], f"{row['elements']:,}", *times, row["fastest"] or ""])
    return table
