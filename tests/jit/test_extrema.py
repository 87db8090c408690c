"""Extremes along the first axis of what is not made, and their places: found in one pass where both are wanted."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("llvmlite", reason="without the extra jit loops run as written")

from minpy.runtime.jit import kernel

SETUP = """
rng = np.random.default_rng(5)
n, m, k = 6, 11, 9
p, q, r = rng.standard_normal((n, m)), rng.standard_normal((m, k)), rng.standard_normal((4, m, k))
u, v = rng.integers(-3, 3, (n, m)), rng.integers(-3, 3, (m, k))
zeros = np.where(rng.random((m, k)) < 0.5, 0.0, -0.0)
zeros[3] = -1
ties = np.round(q)
odd = q.copy()
odd[4, 2] = np.nan
low = q.copy()
low[:, 3] = -np.inf
flags = q > 0
score, place, best, least = np.zeros((n, k)), np.zeros((n, k), int), np.zeros((n, k)), np.zeros((n, k))
whole, cube, spots = np.zeros((n, k), int), np.zeros((n, m, k)), np.zeros((n, m, k), int)
near = q[:n]
"""

BODIES = [
    "c = p[i][:, None] + q; place[i] = np.argmax(c, axis=0); score[i] = np.max(c, axis=0) + 1",
    "c = p[i][:, None] + q; score[i] = np.max(c, axis=0); place[i] = np.argmax(c, axis=0)",
    "c = p[i][:, None] * q; place[i] = c.argmin(axis=0); score[i] = c.min(axis=0); best[i] = c.max(axis=0)",
    "c = p[i][:, None] - q; place[i] = np.argmin(c, axis=0); best[i] = np.max(c, axis=0); least[i] = c.min(axis=0)",
    "c = u[i][:, None] + v; place[i] = np.argmax(c, axis=0); whole[i] = np.amax(c, axis=0)",
    "c = p[i][:, None] + r; spots[i] = 0; cube[i] = np.max(c, axis=0); spots[i] = c.argmax(axis=0)",
    "c = q * 1; place[i] = np.argmax(c, axis=0); score[i] = np.max(c, axis=0); x = score[i]; x += 1; best[i] = x",
    "c = zeros * (1 if i % 2 else -1); place[i] = np.argmax(c, axis=0); score[i] = np.max(c, axis=0)",
    "c = ties + i; place[i] = np.argmax(c, axis=0); score[i] = np.max(c, axis=0)",
    "c = low + p[i, 0]; place[i] = np.argmax(c, axis=0); score[i] = np.max(c, axis=0)",
    "c = (odd if i == 4 else q) + 0.5; place[i] = np.argmax(c, axis=0); score[i] = np.max(c, axis=0)",
    "c = odd + i; place[i] = np.argmax(c, axis=0); score[i] = np.max(c, axis=0)",
    "c = q * (1e308 * i); place[i] = np.argmax(c, axis=0); score[i] = np.max(c, axis=0)",
    # What is stored in between is read by what follows, or might be.
    "c = near + 1; near[i, 2] = 9; score[i] = np.max(c, axis=0)",
    "c = near + 1; place[i] = np.argmax(c, axis=0); near[i, 2] = 9; score[i] = np.max(c, axis=0)",
    "c = q + 1; place[i] = np.argmax(c, axis=0); near[i, 2] = 9; score[i] = np.max(c, axis=0)",
    "c = q + 1; place[i] = np.argmax(c, axis=0); q[i, 2] = 9; score[i] = np.max(c, axis=0)",
    "c = score + i; place[i] = np.argmax(c, axis=0); score[i] = np.max(c, axis=0)",
    # In a branch, in a loop inside, with a mask.
    "c = p[i][:, None] + q\nif i % 2: place[i] = np.argmax(c, axis=0)\nscore[i] = np.max(c, axis=0)",
    "c = p[i][:, None] + q\nplace[i] = np.argmax(c, axis=0)\nfor j in range(2): score[i] = np.max(c, axis=0)",
    "c = p[i][:, None] + q; place[i] = np.argmax(c, axis=0) if i % 2 else 3; score[i] = np.max(c, axis=0)",
    "c = q > i - 2; place[i] = np.argmax(c, axis=0); score[i] = np.max(c, axis=0)",
    "c = p[i] + i; x = np.argmax(c, axis=0); score[i] = np.max(c, axis=0)",
    "c = np.roll(q, 1, axis=0) + i; place[i] = np.argmax(c, axis=0); score[i] = np.max(c, axis=0)",
    "c = q.T * i; d = np.argmax(c, axis=0); e = np.max(c, axis=0)",
    "c = p[i][:, None] + q; place[i] = np.argmax(c, axis=0); score[i] = np.max(c, axis=0, keepdims=True)[0]",
    "c = p[i][:, None] + q; place[i] = np.argmax(c, axis=0); score[i] = np.max(c, axis=0); c[2] = 5; best[i] = c[2]",
]


@pytest.mark.parametrize("body", BODIES)
def test_same(run_both: Any, body: str) -> None:
    body = body.replace("\n", "\n  ")
    run_both(f"{SETUP}\nfor i in range(n):\n  {body}\n", compiled=None)


def test_arrays_that_come_to_share_memory(run_both: Any) -> None:
    body = "for i in range(n):\n    c = s + i; place[i] = np.argmax(c, axis=0); t[i % 2] = np.max(c, axis=0)"
    pairs = "(q, best), (q, q[:2]), (q, q[5:7]), (best, best)"
    run_both(f"{SETUP}\nfor s, t in ({pairs}):\n  {body}\n", compiled=None)


def test_nothing_is_made(run_both: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = []
    lower = kernel.lower
    monkeypatch.setattr(kernel, "lower", lambda *each: texts.append(lower(*each)) or texts[-1])
    run_both(f"{SETUP}\nfor i in range(n):\n  {BODIES[0]}\n")
    assert "\nknown" in texts[-1].text and "\nlast" in texts[-1].text
