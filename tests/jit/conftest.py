"""What the tests of compiled loops share: running a text plainly and compiled, and comparing all that can be seen."""

from __future__ import annotations

import itertools
import math
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minpy.options import Options
from minpy.runtime.entry import routed
from minpy.runtime.jit import sites, store
from minpy.transform import hook, rewriter

_numbers = itertools.count()


@pytest.fixture(autouse=True)
def nothing_known() -> None:
    """What was read of one test's cache is not what another one's holds."""
    store._was_known.cache_clear()
    store.missed.cache_clear()


def shown(value: Any) -> Any:
    """All that can be seen of a value, bit by bit."""
    if isinstance(value, np.ndarray):
        return type(value), value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, np.generic):
        return type(value), value.tobytes()
    if isinstance(value, float):
        return float, math.copysign(1, value), value.hex()
    if isinstance(value, (list, tuple)):
        return type(value), [shown(item) for item in value]
    return type(value).__name__, repr(value) if isinstance(value, (int, str, bytes, type(None))) else ""


class Outcome:
    """What running a program came to."""

    def __init__(self, names: dict[str, Any], error: BaseException | None, messages: list[Any]) -> None:
        self.names = {name: shown(value) for name, value in names.items() if _counts(name, value)}
        self.error = None if error is None else (type(error), str(error), _lines(error))
        self.messages = messages

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Outcome) and vars(self) == vars(other)

    def difference(self, other: Outcome) -> str:
        """What is not as in another outcome, line by line."""
        mine, theirs = (
            {**each.names, "error": each.error, "messages": each.messages} for each in (self, other)
        )
        names = [name for name in {**mine, **theirs} if mine.get(name) != theirs.get(name)]
        return "\n".join(f"{name}: {mine.get(name)} instead of {theirs.get(name)}" for name in names)


def _counts(name: str, value: Any) -> bool:
    return not name.startswith("__") and not callable(value) and type(value).__name__ != "module"


def _lines(error: BaseException) -> list[int]:
    lines, traceback = [], error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename.endswith("program.py"):
            lines.append(traceback.tb_lineno)
        traceback = traceback.tb_next
    return lines


def _execute(code: Any, names: dict[str, Any]) -> Outcome:
    space = {"__name__": "program", "np": np, **names}
    error = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            exec(code, space)
        except Exception as raised:
            error = raised
    messages = [(each.category, str(each.message), each.lineno) for each in caught]
    return Outcome(space, error, messages)


@pytest.fixture
def run_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[sites.Site]]:
    """Run a program plainly and with its loops compiled; both must come to the same. Gives its sites."""
    monkeypatch.setenv("MINPY_JIT", "force")
    monkeypatch.setenv("MINPY_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setitem(__import__("builtins").__dict__, "__minpy__", routed)

    def run(text: str, compiled: bool | None = True, **names: Any) -> list[sites.Site]:
        folder = tmp_path / str(next(_numbers))
        folder.mkdir()
        path = folder / "program.py"
        # Texts of their own: sites are known by line and text.
        path.write_text(text := f"import numpy as np  # {folder}\n{text}")
        before = len(sites.sites)

        def copies() -> dict[str, Any]:
            return {name: _copy(value) for name, value in names.items()}

        plain = _execute(compile(text, str(path), "exec", dont_inherit=True), copies())
        code = hook.announce(rewriter.compile_source(text, str(path), Options()))
        # Once the long way into compiled code, which lays out the short one for the second time.
        for _ in range(2):
            outcome = _execute(code, copies())
            if outcome != plain:
                pytest.fail(f"{text}\n{outcome.difference(plain)}\n{sites.sites[before:]}", pytrace=False)
        found = sites.sites[before:]
        if compiled is not None:
            assert any(site.compiled for site in found) == compiled, found
        return found

    return run


def _copy(value: Any) -> Any:
    return value.copy() if isinstance(value, (np.ndarray, list)) else value


needs_312 = pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring came with Python 3.12")
