"""Augmented assignments as blocks: in place as NumPy does it, with its casting rules, aliases, warnings and errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minpy.runtime.fuse.plan import DONE

rng = np.random.default_rng(11)
A = rng.normal(size=(31, 67))
NAMES: dict[str, Any] = {
    "a": A,
    "b": np.abs(rng.normal(size=(31, 67))) + 0.1,
    "f": A.astype(np.float32),
    "g": np.abs(A).astype(np.float32),
    "i": rng.integers(-9, 9, (31, 67)),
    "j": rng.integers(1, 9, (31, 67)),
    "u": rng.integers(0, 250, (31, 67)).astype(np.uint8),
    "z": A + 1j,
    "m": A > 0,
    "v": rng.normal(size=1500),
    "w": rng.normal(size=1500),
    "row": A[0].copy(),
    "s": 0.25,
    "k": 3,
}

IN_PLACE = [
    "a += s * b",
    "a -= s * (b - a)",
    "a *= np.exp(-b)",
    "a /= b + 1.5",
    "b **= abs(a) * 0.5",
    "a //= b * 0.5",
    "a %= b + 0.25",
    "i += 2 * j + 1",
    "i -= i * j",
    "i &= j + 1",
    "i |= (j ^ 3)",
    "i <<= (j & 3)",
    "i >>= (j & 3)",
    "m &= (a < b)",
    "m ^= (a > 0.5)",
    "f += g * 2",
    "f *= g - f * s",
    "z += a * b",
    "u += u * 2",
    "a[1:-1] += 0.1 * (b[2:] - b[:-2])",
    "a[1:-1] += 0.1 * (a[2:] - 2 * a[1:-1] + a[:-2])",
    "a[1:, 1:] -= 0.5 * (a[1:, 1:] - a[1:, :-1])",
    "a[:, 1:] -= 0.5 * (b[:, 1:] - b[:, :-1])",
    "v[::2] += w[::2] * 2 + w[1::2]",
    "v[:-1] += v[1:] * 2",
    "v += v * v",
    "v += w[::-1] * 2 if False else w * 2",
    "a += row * 2 + b",
    "a[3:9, :] *= row[None, :] * 2 + a[3:9, :]",
    "c = a; c += a * b; a[0, 0] = 7.0",
    "c = a[1:]; d = a[:-1]; c += d * 2",
    "c = a[2:5]; a[2:5] += c * 2",
    "c = a.T; c += b.T * 2",
    "a += s * b; a -= s * b; a *= s * b",
]


@pytest.mark.parametrize("text", IN_PLACE)
def test_in_place(run_all, text: str) -> None:
    run_all(text, fused=None if ".T" in text or "::-1" in text else True, **NAMES)


COMPILED = [
    "a += s * b",
    "a[1:-1] += 0.1 * (a[2:] - a[:-2])",
    "i += 2 * j + 1",
    "f *= g - f * s",
    "m &= (a < b)",
]


@pytest.mark.parametrize("text", COMPILED)
def test_compiled(run_all, text: str) -> None:
    run_all(text, compiled=True, **NAMES)


AS_WRITTEN = [
    "i += a * b",  # cannot be cast
    "u += i * 2",
    "f += a * b",  # computed in double, stored in single
    "a += z * 2",
    "a += (b[:, :-1] * 2)",  # does not fit
    "row += a * b",  # would grow
    "a[3] += row[:5] * 2",
    "s += a * b",  # a number becomes an array
    "k += k * s",
    "a.flags.writeable = False; a += b * 2",
    "q = [1, 2]; q += [k * 2]",
    "a[k:k, :] += b[k:k, :] * 2",
    "a[0:0] += b[0:0] * 2",
    "a += undefined * b",
    "t = (a, b); t[0] += b * 2",
    "a = np.ma.array(a); a += b * 2",
]


@pytest.mark.parametrize("text", AS_WRITTEN)
def test_as_written(run_all, text: str) -> None:
    run_all(text, fused=None, **NAMES)


WARNING = [
    "a += b / (b - b)",
    "a /= b - b + (a - a)",
    "a *= np.sqrt(-b)",
    "a += np.exp(b * 1e4)",
    "i //= j * 0",
    "b[1:] *= b[:-1] * 1e308 * b[1:]",
]


@pytest.mark.parametrize("text", WARNING)
@pytest.mark.parametrize("how", ["", "raise", "ignore"])
def test_what_is_reported(run_all, text: str, how: str) -> None:
    """What was there before is there again when the statement then runs as written."""
    if how:
        text = f"with np.errstate(all={how!r}):\n    {text}"
        if how == "raise":
            text = f"try:\n    with np.errstate(all='raise', under='ignore'):\n        {text.splitlines()[1].strip()}\nexcept FloatingPointError as e:\n    x = str(e)"
    run_all(text, fused=None, **NAMES)


def test_identity_is_kept(run_all) -> None:
    run_all(
        "c = a\na += s * b\nsame = c is a\nd = a[2:4]\na[2:4] *= s * b[2:4]\nshared = np.shares_memory(d, a)",
        **NAMES,
    )


def test_attributes(run_all) -> None:
    text = "class C: pass\no = C()\no.a = a\no.a[1:] += s * o.a[:-1]\no.a += s * b\nx = o.a"
    run_all(text, **NAMES)


@pytest.mark.parametrize("symbol", "+ - * / // % ** & | ^ << >>".split())
def test_done_leaves_the_target_alone(symbol: str) -> None:
    space = {"a": np.arange(5), "done": DONE}
    before = space["a"]
    exec(f"a {symbol}= done\na[1:3] {symbol}= done", space)
    assert space["a"] is before
    assert before.tolist() == [0, 1, 2, 3, 4]
