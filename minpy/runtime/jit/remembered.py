"""Powers that were computed before: programs that raise one number to many whole numbers do so again and again.

    exercise = strike - price * up ** (2 * i - level)

A lookup takes a tenth of the time of the C library's ``pow``. All compiled loops share one table, which holds, for the
exponents that end in the same bits, the last power that was computed: base, exponent, and what `pow` gave. They run
under the interpreter's lock, so that no two of them use it at once.
"""

from __future__ import annotations

from functools import cache

import numpy as np

NAME = "powers"  # among the functions outside that compiled code calls
SYMBOL = "minpy_powers"
ENTRIES = 2048
ENTRY = "[3 x i64]"


@cache
def _table() -> np.ndarray:
    table = np.zeros((ENTRIES, 3), np.int64)
    table[:, 1] = np.arange(ENTRIES) + 1  # an exponent that is never looked for here
    return table


def address() -> int:
    """Where the table is."""
    return _table().ctypes.data
