"""What operators of several statements gave is looked at once: warnings, NaN and infinity as Python has them."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("llvmlite", reason="without the extra jit loops run as written")

from minpy.runtime.jit import lower

PROGRAM = """
import math
def f(x, y, c, u, z):
  n = len(x)
  t = p = 0.0
  for i in range(2):
    for j in range(n):
      {body}
  return x, y, c, t, p, z
rng = np.random.default_rng(3)
out, n = [], 5
kinds = [0.5, 1e308, -1e308, 1e-200, 0.0, -0.0, np.inf, -np.inf, np.nan]
for odd in kinds:
  for other in (1.5, 1e200, np.inf, 0.0):
    for place in (0, 3):
      x, y, c = rng.random(n) + 1, rng.random(n) + 1, np.zeros((n, n))
      x[place], y[n - 1 - place] = odd, other
      try:
        out.append(f(x, y, c, {u}, 0.25))
      except ArithmeticError as error:
        out.append((repr(error), x, y, c))
"""
BODIES = [
    "t = x[j] - y[j]; p = t * t + y[j]; c[i, j] = p * u",
    "t = x[j] * y[j]; p = 1.0 / t; c[i, j] = p + u",
    "t = x[j] / y[j]; c[i, j] = t; c[j, i] = t * u; x[j] = t - u",
    "t = x[j] * x[j]; t = y[j] * u; c[j, j] -= t",
    "t = abs(x[j] - y[j]); p = -t * u; c[i, j] += p; c[j, i] -= p",
    "t = float(x[j]) * u; p = t * 1e290; c[i, j] = p + y[j]",
    "t = float(x[j]) * 1e300; p = t - t; c[i, j] = y[j]",
    "t = x[j] + u; p = max(t, y[j] * u); c[i, j] = p; z = t - p",
    "t = y[j] * y[j]; z += t * x[j]",
    "t = y[j] * y[j]; p += t; z -= x[j] * t",
    "t = x[j] * u\n      if y[j] > 1.2:\n        p = t * t; c[i, j] = p\n      else:\n        z = t + y[j]",
    "t = x[j] + y[j]\n      if t > 3: continue\n      p = t * u; c[i, j] = p",
    "t = x[j] * y[j]; p, t = t, u; c[i, j] = p * t; x[j] = p - u",
    "s = x[j] - y[j]; q = s * s + u * u; h = u / (q * math.sqrt(abs(q) + 1)); c[j, i] -= s * u * h; c[i, j] += s * h",
]


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("u", ["0.75", "np.float64(1e10)"])
def test_runs_of_statements(run_both: Any, body: str, u: str) -> None:
    run_both(PROGRAM.format(body=body, u=u))


def test_one_question_for_a_run(run_both: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of `t` and `p` nothing is asked: where `q` is finite they are."""
    texts = []
    lowered = lower.lower
    monkeypatch.setattr(
        "minpy.runtime.jit.kernel.lower", lambda *each: texts.append(lowered(*each)) or texts[-1]
    )
    body = "t = x[j] - y[j]; p = t * t + u; q = p + x[j]; c[i, 0] = q; c[i, 1] = q + u"
    run_both(PROGRAM.format(body=body, u="2.5"))
    fast = texts[0].text.split("\nodd")[0]
    assert fast.count("@llvm.fabs.f64(double") == 2  # the declaration, and the sum of both elements
