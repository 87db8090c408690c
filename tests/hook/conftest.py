"""What the tests of the hook share: a cache of their own, small projects on disk, child processes."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from minpy.transform import hook

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def clean_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A cache for this test alone; afterwards no hook, no variables, and the modules as they were."""
    for name in [name for name in os.environ if name.startswith("MINPY_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.setenv("MINPY_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    # The test modules and benchmarks are user code that imports numpy: each installation would name them as too early.
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith((str(ROOT / "tests"), str(ROOT / "benchmarks"))):
            monkeypatch.delitem(sys.modules, name)
    modules, path = set(sys.modules), list(sys.path)
    yield
    hook.uninstall()
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        file = getattr(sys.modules[name], "__file__", None)
        if file is None or file.startswith(str(tmp_path)):
            del sys.modules[name]
    for entry in [entry for entry in sys.path_importer_cache if entry.startswith(str(tmp_path))]:
        del sys.path_importer_cache[entry]


def write(folder: Path, files: dict[str, str]) -> Path:
    """Write a small project."""
    for name, text in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
    return folder


@pytest.fixture(name="write")
def _write() -> Callable[[Path, dict[str, str]], Path]:
    return write


@pytest.fixture
def project(tmp_path: Path) -> Callable[[dict[str, str]], Path]:
    """Write modules into a folder that is on sys.path."""

    def make(files: dict[str, str]) -> Path:
        folder = write(tmp_path / "project", files)
        sys.path.insert(0, str(folder))
        return folder

    return make


@pytest.fixture
def python(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a Python to which minpy is importable and for which minpy's start-up file is in force."""
    # As in an environment with minpy installed: site reads the .pth; here sitecustomize makes it do so.
    start = write(
        tmp_path / "start",
        {
            "sitecustomize.py": f"""
            import site
            site.addsitedir({str(tmp_path / "start")!r})
            """,
            "zz_minpy_startup.pth": (ROOT / "minpy" / "startup.pth").read_text(),
        },
    )

    def run(*args: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("COV_")}
        environ.update(PYTHONPATH=os.pathsep.join([str(start), str(ROOT)]), PYTHONIOENCODING="utf-8", **env)
        return subprocess.run(
            [sys.executable, *args],
            cwd=cwd or tmp_path,
            env=environ,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run
