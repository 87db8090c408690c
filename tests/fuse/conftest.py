"""What the tests of blocks share: running a text plainly and with every engine, and comparing all that can be seen."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from outcomes import execute

from minpy.options import Options
from minpy.runtime import ledger
from minpy.runtime.entry import routed
from minpy.runtime.fuse import sites
from minpy.transform import hook, rewriter

HAS_COMPILER = importlib.util.find_spec("llvmlite") is not None
ENGINES = ["force:tiled1", "force:tiled2", "force:written"]
ENGINES += ["force:native1", "force:native2", "force:direct"] if HAS_COMPILER else []
_numbers = itertools.count()


@pytest.fixture(autouse=True)
def may_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests have spent on looking at blocks is not held against these."""
    monkeypatch.setattr(ledger, "may_look", lambda: True)


@pytest.fixture
def run_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Callable[..., list[sites.Site]]:
    """Run a program plainly and with every engine; all must come to the same. Gives the sites of all runs.

    `fused` says whether some block must (or none may) have been computed as one piece.
    """
    monkeypatch.setenv("MINPY_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setitem(__import__("builtins").__dict__, "__minpy__", routed)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")

    def run(text: str, fused: bool | None = True, compiled: bool = False, **names: Any) -> list[sites.Site]:
        text = f"import numpy as np  # {next(_numbers)} {tmp_path}\n{text}"
        plain = execute(compile(text, "program.py", "exec", dont_inherit=True), names)
        every: list[sites.Site] = []
        for engine in ENGINES:
            monkeypatch.setenv("MINPY_FUSE", engine)
            own = f"{text}\n# {engine}"  # a site is known by its text
            before = len(sites.sites)
            code = hook.announce(rewriter.compile_source(own, "program.py", Options(fuse="force")))
            outcome = execute(code, names)
            found = sites.sites[before:]
            different = [name for name in {**plain, **outcome} if plain.get(name) != outcome.get(name)]
            if different:
                report = "\n".join(f"{n}: {outcome.get(n)}\ninstead of {plain.get(n)}" for n in different)
                pytest.fail(f"{engine}\n{text}\n{report}\n{found}", pytrace=False)
            every += found
            assert not any(site.reason and "jit" in site.reason for site in found), found
        if compiled:
            assert HAS_COMPILER is False or any(
                name[0] == "n"
                for site in every
                if site.block
                for choice in site.block._choices.values()
                for name in choice.shown
            ), every
        if fused is not None:
            assert any(site.fused for site in every) == fused, (text, every)
        return every

    return run
