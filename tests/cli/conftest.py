"""The fixture `bench`: a folder of a test's own, with the two ways of starting a program there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cli_starting import ROOT, Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MINPY_", "PYTHON", "COV_", "COVERAGE_", "PYTEST_"))
    }
    # Nothing of this machine's user: not their options, not their cache, not another minpy.
    environ = {**kept, "PYTHONPATH": ROOT, "MINPY_CACHE_DIR": str(tmp_path / "cache"), "LC_ALL": "C.UTF-8"}
    folder = tmp_path / "work"
    folder.mkdir()
    return Bench(folder, environ)
