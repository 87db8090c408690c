"""The manual: every page's code runs, links lead somewhere, and what the pages say of options and names is so."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)
CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)

# Runs pages' cells as a notebook does, each page in a fork of a process that has loaded what notebooks load; the first
# error ends a page.
DRIVER = """
import json, os, sys
import matplotlib.pyplot
from IPython.core.interactiveshell import InteractiveShell

def run(page):
    output = os.open(page["output"], os.O_WRONLY | os.O_CREAT)
    os.dup2(output, 1), os.dup2(output, 2)
    os.chdir(page["folder"])
    shell = InteractiveShell.instance(colors="NoColor")
    shell.history_manager.enabled = False
    return all(shell.run_cell(cell, store_history=True).success for cell in page["cells"])

for line in sys.stdin:
    child = os.fork()
    if not child:
        success = False
        try:
            success = run(json.loads(line))
        finally:
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(not success)
    print(os.waitpid(child, 0)[1], flush=True)
"""
# What makes the pages' figures good, and the tests slow.
EPOCHS, ROUNDS = re.compile(r"epochs=\d+"), re.compile(r"(?<=in range\()\d{3,}(?=\):)")


def cells_of(page: Path) -> list[str]:
    texts = CELL.findall(page.read_text(encoding="utf-8"))
    return [re.sub(r"\A(:[^\n]*\n)+", "", text) for text in texts]


EXECUTED = [page for page in PAGES if cells_of(page)]


@pytest.fixture(scope="module")
def run_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Path, Path], str]]:
    """Runs a page in a folder; gives what it printed."""
    pytest.importorskip("IPython", reason="IPython is not installed (pip install 'minpy[test]')")
    shared = tmp_path_factory.mktemp("notebooks")
    (shared / "driver.py").write_text(DRIVER)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MINPY_")}
    environ |= {
        "IPYTHONDIR": str(shared),
        "MPLBACKEND": "Agg",
        "MPLCONFIGDIR": str(shared),
        "MINPY_CACHE_DIR": str(shared / "cache"),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "driver.py"]
    driver = subprocess.Popen(
        command, cwd=shared, env=environ, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert driver.stdin and driver.stdout

    def run(page: Path, folder: Path) -> str:
        cells = [ROUNDS.sub("9", EPOCHS.sub("epochs=1", cell)) for cell in cells_of(page)]
        job = {"cells": cells, "folder": str(folder), "output": str(folder / "output.txt")}
        driver.stdin.write(json.dumps(job) + "\n")
        driver.stdin.flush()
        limit = threading.Timer(300, driver.kill)
        limit.start()
        status = driver.stdout.readline()
        limit.cancel()
        printed = (folder / "output.txt").read_text()
        assert status == "0\n", status + printed[-3000:]
        return printed

    yield run
    driver.stdin.close()
    driver.wait(60)


@pytest.mark.mxnet
@pytest.mark.parametrize("page", EXECUTED, ids=lambda page: str(page.relative_to(DOCS)))
def test_the_code_of_a_page_runs(page: Path, tmp_path: Path, run_page: Callable[[Path, Path], str]) -> None:
    assert "RewriteWarning" not in run_page(page, tmp_path)


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


def test_the_modules_that_the_pages_name_exist() -> None:
    text = (DOCS / "modules.md").read_text(encoding="utf-8")
    sections = re.findall(r"^`(minpy/[\w/]*)/`\. (.*)$", text, re.MULTILINE)
    folders = {path.parent for path in (ROOT / "minpy" / "runtime").rglob("*.py")}
    assert folders <= {ROOT / folder for folder, _ in sections}
    for folder, prose in sections:
        for name in re.findall(r"`([\w.]+)`", prose):
            path = ROOT / folder / name.replace(".", "/")
            assert path.with_suffix(".py").exists() or path.is_dir(), f"{folder}: {name}"
    named = re.findall(r"`(\w+(?:/\w+)*)\.(\w+)`", (DOCS / "architecture.md").read_text(encoding="utf-8"))
    sources = {path.stem: path for path in (ROOT / "minpy" / "runtime").glob("*.py")}
    for module, name in named:
        if module in sources and name != "py":
            assert re.search(rf"\b{name}\b", sources[module].read_text(encoding="utf-8")), f"{module}.{name}"


def test_every_extra_is_described() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras = project.partition("[project.optional-dependencies]")[2].partition("\n[")[0]
    names = set(re.findall(r"^(\w+) = \[", extras, re.MULTILINE))
    text = (DOCS / "installation.md").read_text(encoding="utf-8")
    described = {
        name
        for row in re.findall(r"^\| (`[^|]*)\|", text, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    }
    assert names and names == described
    bare = [line for line in extras.splitlines() if re.match(r'  "[^m]', line) and "#" not in line]
    # One reason may stand above a list of libraries.
    assert not [line for line in bare if not re.match(r'  "(nvidia-|numpy|setuptools)', line)]
