"""The results page: its places are filled from what was measured, and the text around them stays."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from figures import ROWS

from benchmarks import results

ROOT = Path(__file__).parents[1]
MACHINE = {
    "date": "2026-01-02", "python": "3.11.7", "system": "Linux x86_64", "processor": "A processor", "cores": 2,
    "versions": {"numpy": "1.26.4", "torch": "2.0"},
}  # fmt: skip


def run(name: str, found: Any) -> dict[str, Any]:
    return {"machine": MACHINE, "results": {name: found}}


FORWARD = {"rows": ROWS[:1], "absent": ["PyTorch skipped: no"]}
COLD = [
    {
        "program": f"p{k}", "size": "small", "runs": 3, "python": 1.0, "minpy": 1.0 + k / 100, "ratio": 1.0 + k / 100,
        "ratio_median": 1.0, "thread_ratio": 1.0, "processor_ratio": 1.0, "excess": k / 100,
    }
    for k in range(12)
]  # fmt: skip


def test_all_sections() -> None:
    found = {
        "programs-1": run("programs", ROWS),
        "programs-2": run("programs", ROWS),
        "forward-1": run("forward", FORWARD),
    }
    made = results.sections(found, "results.png")
    assert made["machine"].startswith(
        "2026-01-02; A processor, 2 processors, Linux x86_64; Python 3.11.7, NumPy 1.26.4, PyTorch"
    )
    lines = made["headline"].splitlines()
    assert len(lines) == 6 and len({line.count("|") for line in lines}) == 1
    assert lines[2].startswith(
        "| 1 | small | 2 | **4.00** | 2.00 | 0.50 (2.00) | 2.00 (sobel) | 0, 0, 1 | 1 of 2, 1 of 1 |"
    )
    assert "(results.png)" in made["picture"] and "| geometric mean |" in made["programs"]
    assert "no exceptions" in made["same"] and "* No port: quicksort, JAX: has no stack." in made["same"]
    assert len({line.count("|") for line in made["compiling"].splitlines()}) == 1
    assert "One thread each" in made["forward"] and "PyTorch skipped: no." in made["forward"]
    assert made["gradients"] is None and made["cold"] is None


def test_what_differs_is_said() -> None:
    row = {**ROWS[0], "same": False, "differences": ["int 1 instead of int 2"]}
    said = results.same({"1": [row]})
    assert (
        said.startswith("* Not the same: sobel (small): int 1 instead of int 2")
        and "no exceptions" not in said
    )


def test_cold_starts_show_the_worst_ten() -> None:
    text = results.cold_starts({"cold": run("cold", COLD)})
    assert [f"p{k} " in text for k in range(12)] == [False, False, *[True] * 10] and "12 programs" in text


def test_places_are_filled_and_the_rest_stays() -> None:
    page = "a\n<!-- cold -->\nold\n<!-- end -->\nb\n<!-- same -->\nkept\n<!-- end -->\nc\n"
    done = results.filled(page, {"cold": "new\n", "same": None})
    assert done == "a\n<!-- cold -->\n\nnew\n\n<!-- end -->\nb\n<!-- same -->\nkept\n<!-- end -->\nc\n"
    assert results.filled(done, {"cold": "new\n", "same": None}) == done
    with pytest.raises(SystemExit, match="'cold', there is same"):
        results.filled(page, {"same": None})


def test_the_page_has_a_place_for_each_section(tmp_path: Path) -> None:
    """The command itself, on the page as it is."""
    page = tmp_path / "page.md"
    page.write_text((ROOT / "docs" / "results.md").read_text(encoding="utf-8"), encoding="utf-8")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "forward-2.json").write_text(json.dumps(run("forward", FORWARD)))
    words = [sys.executable, "-m", "benchmarks.results", str(folder), "--page", str(page)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text = page.read_text(encoding="utf-8")
    assert "Two threads each" in text and "2026-01-02" in text
    assert set(results.sections({"forward-2": run("forward", FORWARD)}, "")) == {
        line.split()[1] for line in text.splitlines() if line.startswith("<!-- ") and line != "<!-- end -->"
    }
    (folder / "forward-2.json").unlink()
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "there is no JSON file in" in done.stderr
