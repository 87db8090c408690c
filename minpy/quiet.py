"""Without warnings, and without a trace of that: importing this module imports nothing but `warnings`.

`warnings.catch_warnings` lets Python forget which warnings were given already, so a program would see those again that
are given once for each line.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def quiet() -> Iterator[None]:
    """Ignore all warnings in the block."""
    filters: list[Any] = warnings.filters  # type: ignore[assignment]
    # A tuple of its own, by which it is found again.
    entry = ("ignore", None, Warning, None, 0)
    # Changing the list in place is no change as Python counts them.
    filters.insert(0, entry)
    try:
        yield
    finally:
        for place, each in enumerate(filters):
            if each is entry:
                del filters[place]
                break
