"""The report of `benchmarks.gpu`: a table in Markdown, and a picture."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks import gpu_several


def _by_peer(values: dict[str, float], unit: str, digits: int = 1) -> str:
    return ", ".join(f"{name} {value:,.{digits}f} {unit}" for name, value in values.items())


def lines(report: dict[str, Any], parts: Iterable[str]) -> list[str]:
    """The report as lines of Markdown; `parts` are those that may be measured."""
    about = report["environment"]
    cards = (
        ", ".join(f"{c['name']} (capability {c['capability']})" for c in about.get("gpus", []))
        or "a simulated GPU"
    )
    versions = ", ".join(f"{name} {version}" for name, version in about.get("versions", {}).items())
    out = [
        f"Measured on {about.get('date')}: {cards}, driver for {about.get('driver')}, driven by {about.get('backend')}; "
        f"Python {about.get('python')}, {versions}.",
        "",
    ]
    if about.get("simulated"):
        out += ["**On a simulated GPU: the times mean nothing.**", ""]
    rows: list[tuple[str, str]] = []
    for name in parts:
        part = report.get(name)
        if part is None:
            rows.append((name, "not measured"))
        elif "error" in part:
            rows.append((name, f"failed: {part['error'].splitlines()[-1][:200]}"))
        elif "left out" in part:
            rows.append((name, f"not measured: {part['left out']}"))
        elif name == "copies":
            rows.append((name, _by_peer(part["GB_per_s"], "GB/s")))
        elif name == "products":
            for case, each in part.items():
                share = f"; {each['of_vendor']:.1%} of the vendor's library" if each["of_vendor"] else ""
                rows.append((f"dot {case}", f"{_by_peer(each['TFLOPS'], 'TFLOPS')}{share}{_wrong(each)}"))
        elif name == "chains":
            for case, each in part.items():
                rows.append((f"`{case}`", _by_peer(each["GB_per_s"], "GB/s", 0) + _wrong(each)))
        elif name == "training":
            for case, each in part.items():
                peer = f" ({each['peer']})" if "peer" in each else "; PyTorch is not there"
                text = _by_peer(each["ms"], "ms", 2) + peer + _wrong(each)
                rows.append((f"a training step, {case}", text))
        elif name == "simulation":
            text = (
                f"{part['times']:.1f} times NumPy ({_by_peer(part['ms_a_step'], 'ms a step')}){_wrong(part)}"
            )
            rows.append((f"stencil in place, {part['elements']:.0e} elements", text))
        elif name == "small":
            text = f"{_by_peer(part['ms'], 'ms', 2)}; {part['operations_on_the_gpu']} operations on the GPU"
            rows.append(("200 steps on 40 elements, `auto`", text))
        elif name == "grey":
            text = f"{_by_peer(part['ms'], 'ms', 3)}; `auto` takes {part['auto_of_the_better']:.2f} of the better"
            rows.append(("the grey picture", text))
        elif name == "table":
            text = f"{part['rows']} rows, {len(part['failures'])} differ, {part['left_for_want_of_time']} not reached"
            rows.append(("the table of primitives", text))
        elif name == "gradients":
            rows.append(("gradients", f"{part['tried']} samples, {len(part['failures'])} differ"))
        elif name == "examples":
            for case, each in part.items():
                apart = each["largest_difference"]
                same = (
                    "the same text"
                    if each["identical"]
                    else "other text"
                    if apart is None
                    else f"numbers {apart:.1e} apart"
                )
                rows.append(
                    (f"`{case}`", f"{same}; {each['s'][0]:.1f} s plain, {each['s'][1]:.1f} s on the GPU")
                )
        elif name == "several":
            case, text = gpu_several.row(part)
            rows.append((case, text + _wrong(part)))
        elif name == "bad_input":
            rows += [(case, text) for case, text in part.items()]
    out += ["| what | result |", "| --- | --- |"]
    out += [f"| {case} | {text} |" for case, text in rows]
    for name in ("table", "gradients"):
        failed = (report.get(name) or {}).get("failures") or {}
        if failed:
            out += ["", f"What differs ({name}):", ""]
            for case, text in failed.items():
                out.append(f"* `{case}`: {text if isinstance(text, str) else text[0]}")
    return out


def _wrong(part: dict[str, Any]) -> str:
    return "" if part.get("right", True) else " **wrong result**"


def plot(report: dict[str, Any], path: Path) -> bool:
    """Draw the rates of chains and products; whether that was possible."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except Exception:
        return False
    parts = [
        (name, key)
        for name, key in (("chains", "GB_per_s"), ("products", "TFLOPS"))
        if "error" not in report.get(name, {"error": 1})
    ]
    if not parts:
        return False
    figure, axes = pyplot.subplots(1, len(parts), figsize=(7 * len(parts), 4.5), squeeze=False)
    for axis, (name, key) in zip(axes[0], parts, strict=True):
        cases = report[name]
        peers = list(dict.fromkeys(peer for case in cases.values() for peer in case[key]))
        for i, peer in enumerate(peers):
            places = [j + i * 0.8 / len(peers) for j in range(len(cases))]
            axis.barh(
                places, [case[key].get(peer, 0) for case in cases.values()], 0.75 / len(peers), label=peer
            )
        axis.set_yticks([j + 0.3 for j in range(len(cases))], list(cases))
        axis.invert_yaxis()
        axis.set_xlabel(key.replace("_per_", "/"))
        axis.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return True
