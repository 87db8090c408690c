"""Compiled blocks that call NumPy's own loops: the same bits for rows short and long, whatever touches what."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minpy.runtime.fuse import ufuncs
from minpy.runtime.fuse.block import Block
from minpy.runtime.fuse.nest import Nest
from tests.fuse.conftest import HAS_COMPILER
from tests.fuse.test_augmented import NAMES

pytestmark = pytest.mark.skipif(not HAS_COMPILER, reason="needs the extra jit")

rng = np.random.default_rng(23)
LONG: dict[str, Any] = {
    "p": rng.normal(size=(3, 1400)),
    "q": rng.random((3, 1400)) + 0.1,
    "halves": rng.normal(size=2000),
    "col": rng.random((31, 1)),
    "whole": np.concatenate([rng.integers(-(10**9), 10**9, 900), [2**63 - 1, -(2**63), 0, 1, -1]]),
    "half": rng.integers(-(10**4), 10**4, 900, dtype=np.int32),
    "byte": rng.integers(0, 256, 900, dtype=np.uint8),
    "zeros": np.tile([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -5e-324], (3, 1)),
    "nan": float("nan"),
    "five": 5,
}

LIMITS = [(-0.5, 0.5), (0.0, 1.0), (-1.0, -0.0), (-0.0, 0.0), (3, 2), (0, 100), ("nan", 1), (0, "five")]

CALLED = [
    "x = np.tanh(p * q + p) - np.exp(-q)",
    "x = np.exp(np.exp(-q)) + np.exp(p - np.exp(p))",
    "x = np.exp(np.log(q))",
    "x = np.exp(p[:, 1:-1]) * q[:, 2:] + p[:, :-2]",
    "x = np.exp(a[:, ::2]) + np.sin(b[:, ::2] * 2)",
    "p[1:] = np.exp(np.log(q[1:])) + p[:-1]",
    "p += np.sin(q * 3) * p",
    "p[:] = np.exp(p)",
    "p *= np.exp(-p)",
    "a[:, ::2] = np.exp(a[:, ::2]) - a[:, 1::2][:, :1]",
    "x = (p + q) % 0.3 // 0.1",
    "x = (i % j) + i // j",
    "i //= j + 1",
    "x = i // (j - 1)",
    "x = np.arctan2(p, 0.5) + np.hypot(p, q) ** 3 + 2.0 ** q",
    "x = np.arctan2(a, col) * np.logaddexp(col, b)",
    "f *= np.exp(f) + g ** 2.5",
    "x = np.where(q > 0.5, np.log(q), np.sqrt(q)) + np.where(np.tanh(p) > 0, p, np.exp(p))",
    "x = np.exp(i) + np.sqrt(np.exp(j))",
    "x = (np.exp(p) > 1) & (np.tanh(q) < 0.5)",
    "x = np.exp(p * 900) + q",
    "x = np.log(p) * 2",
    "x = np.log(p - p) + np.exp(q) * (q / (q - q))",
    "x = np.sign(p) * np.degrees(q) + np.cbrt(p)",
    *(
        "; ".join(f"x{k} = {each} % {by}" for k, by in enumerate((7, -7, 1, 300)))
        for each in ("whole", "half", "byte", "(whole + 1)", "whole[::2]")
    ),
    "x = (whole * 3) % five * 2 + whole % five; y = x % n",
    "x = whole % n",
    "with np.errstate(all='ignore'): x = whole % n + (whole - 1) % (five - 5); y = whole // n % -1",
    "whole %= 7",
    "whole[1:] = whole[:-1] % five",
    "whole[:] = (whole + 3) % -five",
    *(
        "; ".join(
            f"x{k} = np.clip({each}, {low}, {high}) * 2 + {each}" for k, (low, high) in enumerate(LIMITS)
        )
        for each in ("p", "zeros", "f", "whole", "half", "byte", "-zeros")
    ),
    "x = np.clip(np.clip(zeros, nan, nan) + p[:, :7], -1.5, five)",
    "p[:] = np.clip(p * 2, -1, 1)",
    "x = np.clip(p, p * 0.5, 1.0) + p",
    "x = np.clip(whole * 2, n, five) % five",
]


@pytest.mark.parametrize("text", CALLED)
def test_called(run_all, text: str) -> None:
    run_all(f"for n in range(3):\n  {text}", fused=None, **NAMES, **LONG)


def test_it_is_compiled(run_all) -> None:
    run_all("for n in range(3):\n  x = np.tanh(p * q + p) - np.exp(-q)", compiled=True, **LONG)


@pytest.mark.parametrize("size", [8, 100, 1000])
@pytest.mark.parametrize("name", ["exp", "log", "sin", "power"])
def test_halves_that_touch(run_all, name: str, size: int) -> None:
    """Some of NumPy's loops take another way, with other bits, where the result begins at the operand's end."""
    value = f"np.{name}(halves[{size}:{2 * size}]{', 1.7' if name == 'power' else ''})"
    other = value.replace(f"{size}:{2 * size}", f":{size}")
    text = f"halves = abs(halves)\nfor n in range(3):\n  halves[:{size}] = {value} * 1.0\n  halves[{size}:{2 * size}] = {other} * 1.0"
    run_all(text, **LONG)


def test_what_is_reported_before_a_call_is_not_forgotten(run_all) -> None:
    """A loop may clear the processor's flags: a division by zero before it must still be told."""
    text = "for n in range(4):\n  x = np.floor_divide(q, 2.0) + np.exp(1.0 / (q - q[1, 1] * (n == 2)))"
    run_all(text, fused=None, **LONG)
    run_all("x = np.sign(1.0 / (p - p)) * np.tanh(q)", fused=None, **LONG)


def test_a_function_that_depends_on_the_place_is_not_called(monkeypatch: pytest.MonkeyPatch) -> None:
    def other(x: Any, *more: Any, **options: Any) -> Any:
        found = np.cosh(x)
        found[-1:] = np.nextafter(found[-1:], 2.0)
        return found

    assert ufuncs.loop("exp", np.dtype("d"), 1) is not None
    monkeypatch.setattr(np, "exp", other)
    assert not ufuncs._is_the_same_everywhere("exp", np.dtype("d"), 1)


def test_pieces_share_buffers() -> None:
    """What is not wanted any more gives its memory to what comes."""
    text = "v0"
    for k in range(8):
        text = f"exp({text} * 0.5 - {k}.5)"
    block = Block(text, "force")
    block.run((LONG["p"],))
    (plan,) = block._plans.values()
    nest = Nest(plan)
    assert len(nest.stages) == 9
    assert nest._rooms <= 4 < len(nest._lives)


def test_names_are_numpys(run_all) -> None:
    """A function that somebody replaces is called as the program has it."""
    run_all(
        "for n in range(4):\n  if n == 2: kept = np.exp; np.exp = np.tanh\n  x = np.exp(p) * 2\nnp.exp = kept",
        fused=None,
        **LONG,
    )
