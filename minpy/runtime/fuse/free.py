"""Whether the program's results may differ from NumPy's in rounding: ``--fast-math``."""

from __future__ import annotations

import os


def fast_math() -> bool:
    """Whether the run was given ``--fast-math`` (``MINPY_FAST_MATH=1``). Never by default."""
    return os.environ.get("MINPY_FAST_MATH", "0").lower() in ("1", "true", "yes", "on")
