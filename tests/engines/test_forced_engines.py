"""The generators of the other tests, with every engine forced on: no difference. `make engines` runs as many as one likes."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from forced import ENGINES, check

# How many programs of each kind, in how many tests.
PARTS = {
    "arrays": (120, 4), "loops": (48, 2), "functions": (60, 2), "gradients": (40, 2), "rows": (24, 2),
    "columns": (16, 1), "forms": (40, 2), "later": (10, 1), "wholes": (16, 1),
}  # fmt: skip


@pytest.fixture(autouse=True)
def apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import differences

    for name in ("MINPY_FUSE", "MINPY_JIT", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    monkeypatch.setattr(differences, "OPTIONS", differences.OPTIONS)
    monkeypatch.setenv("MINPY_CACHE_DIR", str(tmp_path / "cache"))


@pytest.mark.parametrize(("kind", "part"), [(kind, part) for kind in PARTS for part in range(PARTS[kind][1])])
def test_no_difference(kind: str, part: int, tmp_path: Path) -> None:
    count, parts = PARTS[kind]
    outcomes = Counter(check(kind, seed, tmp_path) for seed in range(part, count, parts))
    if kind in ("arrays", "functions"):
        assert sum(n for what, n in outcomes.items() if "in pieces" in what) > 0.8 * count / parts, outcomes
    if kind in ("loops", "rows") and "force:native1" in ENGINES:
        assert sum(n for what, n in outcomes.items() if "compiled" in what) > count / parts / 12, outcomes
    if kind in ("later", "wholes") and "force:native1" in ENGINES:
        assert sum(n for what, n in outcomes.items() if what != f"{kind}: ") > count / parts / 4, outcomes
    if kind in ("columns", "forms") and "force:native1" in ENGINES:
        assert sum(n for what, n in outcomes.items() if "compiled" in what) > count / parts / 3, outcomes
