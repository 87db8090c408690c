"""Which loops get a site."""

from __future__ import annotations

import re

import pytest

from minpy.options import Options
from minpy.transform import rewriter


def sites(text: str) -> list[str]:
    """The shapes and lines of the sites in a rewritten text."""
    plan = rewriter.plan(f"import numpy as np\n{text}", Options())
    return re.findall(r"loops\.([a-z]+_[a-z]+_\d+)_", plan.apply())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("for i in range(9):\n    a[i] = f(i)", ["loop_range_2"]),
        ("for i in range(9):\n    a[i] = f(*b)", []),
        ("for i in range(9): f(**b)", []),
        ("for i in range(9):\n    log(f'{i}')", []),
        ("for i in range(9):\n    d = {'i': i}", []),
        (
            "for i in range(9):\n    t = 0\n    for j in range(i):\n        t += j\n    f(*t)",
            ["loop_range_4"],
        ),
        ("while f(a):\n    a += 1\n    g(*a)", []),
        # What a round need not come to does not keep a loop from being compiled.
        ("for i in range(9):\n    if a[i] < 0:\n        f(*b)", ["loop_range_2"]),
        ("for i in range(9):\n    t = a[i] if i else f(*b)", ["loop_range_2"]),
        ("for i in range(9):\n    assert i < 9, f'{i}'", ["loop_range_2"]),
        ("for i in range(9):\n    for j in range(i):\n        f(*b)", ["nest_range_2"]),
    ],
)
def test_where_each_round_comes_to_what_is_not_compiled_there_is_no_site(text: str, found: list[str]) -> None:
    assert sites(text) == found
