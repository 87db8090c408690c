"""The manual: every page's code runs, links lead somewhere, and what the pages say of options and names is so."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)
CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)

# Runs a page's cells as a notebook does; the first error ends it.
DRIVER = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance(colors="NoColor")
shell.history_manager.enabled = False
for cell in json.load(open(sys.argv[1])):
    result = shell.run_cell(cell, store_history=True)
    if not result.success:
        sys.exit(1)
"""


def cells_of(page: Path) -> list[str]:
    texts = CELL.findall(page.read_text(encoding="utf-8"))
    return [re.sub(r"\A(:[^\n]*\n)+", "", text) for text in texts]


EXECUTED = [page for page in PAGES if cells_of(page)]


@pytest.mark.mxnet
@pytest.mark.parametrize("page", EXECUTED, ids=lambda page: str(page.relative_to(DOCS)))
def test_the_code_of_a_page_runs(page: Path, tmp_path: Path) -> None:
    pytest.importorskip("IPython", reason="IPython is not installed (pip install 'minpy[test]')")
    (tmp_path / "driver.py").write_text(DRIVER)
    (tmp_path / "cells.json").write_text(json.dumps(cells_of(page)))
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MINPY_")}
    environ |= {
        "IPYTHONDIR": str(tmp_path),
        "MPLBACKEND": "Agg",
        "MPLCONFIGDIR": str(tmp_path),
        "MINPY_CACHE_DIR": str(tmp_path / "cache"),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "driver.py", "cells.json"],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "RewriteWarning" not in done.stderr


def test_every_page_is_in_the_table_of_contents() -> None:
    listed: set[Path] = set()
    for page in PAGES:
        for tree in re.findall(r"```\{toctree\}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            for line in tree.splitlines():
                if line and not line.startswith(":"):
                    listed.add((page.parent / f"{line}.md").resolve())
    assert {page.resolve() for page in PAGES} - listed == {(DOCS / "index.md").resolve()}
    assert not [page for page in listed if not page.exists()]


def anchors_of(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        where = (page.parent / path).resolve() if path else page
        assert where.exists(), f"{page.name}: {target}"
        if anchor and where.suffix == ".md":
            assert anchor in anchors_of(where), f"{page.name}: {target}"


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_are_named_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    names = set(re.findall(r"(?<![\w/.])examples/[\w/]+\.py\b", text))
    if page.parent.name == "tutorials":
        names |= {f"examples/{name}" for name in re.findall(r"`(\w+\.py)`", text)}
    for name in names - {"examples/NAME.py"}:
        assert (ROOT / name).exists(), name


def test_the_options_of_run_are_those_of_the_command_line() -> None:
    text = (DOCS / "running.md").read_text(encoding="utf-8")
    help_ = subprocess.run(
        [sys.executable, "-m", "minpy", "run", "--help"], capture_output=True, text=True, cwd=ROOT, timeout=60
    ).stdout
    for option in re.findall(r"--[a-z][a-z-]+", text.partition("## Options")[2].partition("##")[0]):
        assert option in help_, option
