"""Real modules: Python's own tests and installed packages go through the rewriter.

A sample by default; ``MINPY_CORPUS=full`` takes every file.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import random
import sysconfig
import warnings
from pathlib import Path

import pytest
from oracle import DEFAULT, OPERATORS, assert_same_positions, assert_same_tree

from minpy.errors import RewriteError
from minpy.transform import rewriter

FULL = os.environ.get("MINPY_CORPUS") == "full"
PACKAGES = "numpy scipy sklearn hypothesis pytest _pytest joblib coverage rich libcst pygments pip".split()
SHARDS = 8

# Operators and type() are only rewritten where numpy is imported: with this line, every file is.
NUMPY = "\nimport numpy as np\n"


def _standard_library_tests() -> list[Path]:
    root = Path(sysconfig.get_path("stdlib")) / "test"
    files = sorted(root.rglob("*.py"))
    if FULL:
        return files
    small = [path for path in files if path.stat().st_size < 1500]
    rest = [path for path in files if 1500 <= path.stat().st_size < 60_000]
    chosen = random.Random(20).sample(small, min(60, len(small)))
    chosen += random.Random(21).sample(rest, min(40, len(rest)))
    random.Random(22).shuffle(chosen)
    return chosen


def _package_files() -> list[Path]:
    chosen = []
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            continue
        root = Path(spec.origin).parent
        files = sorted(root.rglob("*.py"))
        if not FULL:
            files = [path for path in files if path.stat().st_size < 30_000]
            files = random.Random(name).sample(files, min(4, len(files)))
        chosen += files
    random.Random(22).shuffle(chosen)
    return chosen


def _original(data: bytes, name: str):
    """The code and text of a module that Python can compile, or None."""
    try:
        return compile(data, name, "exec", dont_inherit=True), rewriter.decode(data)
    except (SyntaxError, ValueError):
        with pytest.raises((SyntaxError, ValueError)):
            rewriter.compile_source(data, name, OPERATORS)
        return None


def check(path: Path, counts: dict[str, int]) -> None:
    data = path.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        original = _original(data, str(path))
        if original is None:
            counts["not Python"] += 1
            return
        code, text = original
        try:
            for options in (DEFAULT, OPERATORS):
                _check_as_it_is(data, text, path, code, options, counts)
            with_numpy = text + NUMPY
            tree = rewriter.mapped_tree(with_numpy, str(path), OPERATORS)
            assert_same_tree(tree, with_numpy)
            counts["forced"] += len(rewriter.plan(with_numpy, OPERATORS).edits)
            assert_same_positions(
                compile(with_numpy, str(path), "exec", dont_inherit=True),
                compile(tree, str(path), "exec", dont_inherit=True),
            )
        except RewriteError as error:
            counts["cannot"] += 1
            assert "libcst" in str(error), error


def _check_as_it_is(data: bytes, text: str, path: Path, code, options, counts: dict[str, int]) -> None:
    rewritten = rewriter.compile_source(data, str(path), options)
    plan = rewriter.plan(text, options)
    counts["edits"] += len(plan.edits)
    if plan.is_empty:
        assert plan.apply() == text
        # (A code object with a nan among its constants does not even equal itself compiled again.)
        assert rewritten == code or code != compile(data, str(path), "exec", dont_inherit=True)
    elif options is DEFAULT:
        emitted = rewriter.plan(text, options, door="routed").apply()
        ast.parse(emitted)
        assert emitted.count("\n") == text.count("\n")
        assert rewriter.plan(emitted, options, door="routed").is_empty


def _run_shard(files: list[Path], shard: int) -> dict[str, int]:
    counts = dict.fromkeys(("edits", "forced", "cannot", "not Python"), 0)
    mine = files[shard::SHARDS]
    assert mine
    for path in mine:
        try:
            check(path, counts)
        except Exception as error:
            raise AssertionError(f"{path}: {error}") from error
    assert counts["cannot"] <= 1 + len(mine) // 50
    return counts


@pytest.mark.parametrize("shard", range(SHARDS))
def test_the_standard_librarys_own_tests(shard: int) -> None:
    files = _standard_library_tests()
    if not files:
        pytest.skip("this Python was installed without its own tests")
    assert _run_shard(files, shard)["forced"] > 6


@pytest.mark.parametrize("shard", range(SHARDS))
def test_installed_packages(shard: int) -> None:
    files = _package_files()
    counts = _run_shard(files, shard)
    assert counts["forced"] > 0 or len(files) < 60
    assert counts["cannot"] == 0
