"""Runs of assignments as one piece: what they leave behind, what dies on the way, and who may look at it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minpy.options import Options
from minpy.transform import rewriter

rng = np.random.default_rng(5)
NAMES: dict[str, Any] = {
    "a": rng.normal(size=(21, 43)),
    "b": np.abs(rng.normal(size=(21, 43))) + 0.1,
    "c": rng.normal(size=(21, 43)),
    "f": rng.normal(size=(21, 43)).astype(np.float32),
    "i": rng.integers(1, 9, (21, 43)),
    "row": rng.normal(size=43),
    "s": 0.25,
    "k": 3,
}
_PARAMETERS = ", ".join(NAMES)


def _function(*lines: str) -> str:
    body = "".join(f"    {line}\n" for line in lines)
    return f"def run({_PARAMETERS}):\n{body}"


def _program(*lines: str) -> str:
    return _function(*lines) + f"for turn in range(3):\n    x = run({_PARAMETERS})\n"


def has_run(text: str) -> bool:
    """Whether some statements of a text may run as one piece."""
    return ".pending if " in rewriter.plan(f"import numpy as np\n{text}", Options(fuse="force")).apply()


TOGETHER = [
    ["t = a * b + c", "u = t * t - b", "return u"],
    ["t = a * b", "c[1:] = t[1:] if False else c[1:] * 2", "return t"],
    ["t = a * b + s", "c[:, :] = t + c", "a -= s * t", "return a"],
    ["t = a[1:-1] * b[1:-1]", "a[1:-1] += s * (a[2:] - 2 * a[1:-1] + a[:-2]) - t", "b[1:-1] -= t * s * t", "return a, b"],
    ["p = a * b", "q = a + p * s", "r = p * q - c", "a[...] = r", "return q"],
    ["t = a - b", "u = np.exp(-t * t)", "v = u / (1 + u)", "return v, u"],
    ["t = a * b", "t2 = t + c", "t = t2 * t", "return t"],
    ["for n in range(4):", "    t = a * s + b", "    a = t * 0.5 + t", "return a"],
    ["for n in range(4):", "    d = a - c", "    a = a - s * d * d", "    c = c + s * d * k", "return a, c"],
    ["m = (a > 0) & (b < 1)", "u = np.where(m, a, b * 2)", "return u"],
    ["t = i * k + 1", "j = t * t - i", "return j"],
    ["t = f * s", "g = t * f + t", "return g"],
    ["t = a + row * 2", "u = t * t * row", "return u"],
    ["t = a * b", "c += t * s", "c[1:] *= 2", "return c"],
]  # fmt: skip


@pytest.mark.parametrize("lines", TOGETHER, ids=str)
def test_together(run_all, lines: list[str]) -> None:
    found = run_all(_program(*lines), fused=None, **NAMES)
    if has_run(_function(*lines)):
        assert any(site.fused for site in found if ";" in getattr(site.block, "text", "")), found


@pytest.mark.parametrize("lines", [TOGETHER[k] for k in (0, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13)], ids=str)
def test_is_a_run(lines: list[str]) -> None:
    assert has_run(_function(*lines))


NOT_DEAD = [
    ["t = a[1:] * b[1:] + 1", "u = t * t - 2", "return u, t"],
    ["t = a[1:] * b[1:] + 1", "u = t * t - 2", "return u, locals()"],
    ["t = a[1:] * b[1:] + 1", "u = t * t - 2", "return u, (lambda: t)()"],
    ["t = a[1:] * b[1:] + 1", "u = t * t - 2", "return u, [t for _ in '1']"],
    ["t = a[1:] * b[1:] + 1", "u = t * t - 2", "if s > 3:", "    t = 0", "return u, t"],
    ["t = a", "for n in range(2):", "    z = t.sum()", "    t = a[1:] * b[1:] + z", "    u = t * t - 2", "return u"],
    ["t = a", "while k > 0:", "    k -= t.sum() * 0 + 1", "    t = a * b + 1", "    u = t * t - 2", "return u"],
    ["t = a[1:] * b[1:] + 1", "u = t * t - 2", "del t", "return u"],
    ["global t", "t = a[1:] * b[1:] + 1", "u = t * t - 2", "return u"],
    ["try:", "    t = a[1:] * b[1:] + 1", "    u = t * t - 2", "    1 / 0", "except ZeroDivisionError:", "    return t"],
    ["t = a[1:] * b[1:] + 1", "u = t * t - 2", "return u, eval('t')"],
    ["t = a[1:] * b[1:] + 1", "u = t * t - 2", "import sys", "return u, sys._getframe().f_locals['t']"],
    ["for n in range(2):", "    if n: z = t", "    t = a[1:] * b[1:] + 1", "    u = t * t - 2", "return u, z"],
]  # fmt: skip


@pytest.mark.parametrize("lines", NOT_DEAD, ids=str)
def test_values_that_are_read_later(run_all, lines: list[str]) -> None:
    assert not has_run(_function(*lines))
    run_all(_program(*lines).replace("x = run", "x = repr(run").rstrip() + ")\n", fused=None, **NAMES)


ASSIGNED_AGAIN = [
    ["t = a * b + 1", "u = t * t - 2", "t = 0", "return u, t"],
    ["for n in range(2):", "    t = a[1:] * b[1:] + 1", "    u = t * t - 2", "    t = u.sum()", "    z = t", "return z"],
    ["for n in range(2):", "    t = 1.0", "    z = t", "    t = a[1:] * b[1:] + z", "    u = t * t - 2", "return u"],
    ["t = a[1:] * b[1:] + 1", "u = t * t - 2", "for t in range(2):", "    u = u * t", "return u"],
]  # fmt: skip


@pytest.mark.parametrize("lines", ASSIGNED_AGAIN, ids=str)
def test_values_that_are_replaced(run_all, lines: list[str]) -> None:
    assert has_run(_function(*lines))
    run_all(_program(*lines), fused=None, **NAMES)


HAZARDS = [
    # What one statement writes another one reads, a little beside it.
    ["t = a * b", "a[1:] = t[0] * 0 + a[:-1]", "return a"],
    ["t = a[1:] * b[1:]", "a[1:] = t + 1", "c[1:] = a[:-1] + t", "return c"],
    ["t = a[1:] * b[1:]", "a[1:] = t + 1", "c[1:] = a[1:] + t", "return c"],
    ["t = a[1:] * b[1:]", "a[1:] = t + a[:-1]", "b[1:] = t * 2 + b[:-1]", "return t.sum()"],
    ["t = a[1:] * b[1:]", "a[1:] = t + 1", "a[:-1] = t - 1", "return t.sum()"],
    ["w = a[1:]", "t = a[1:] * b[1:]", "a[1:] = t + 1", "u = w * t", "return u"],
    ["w = a", "t = a * b", "a += t * 2", "u = w * t + a", "w -= t * t", "return u"],
    ["t = a * b", "i[:, :] = t + 1", "c[:, :] = i * t", "return c"],
    ["t = a * b", "f[:, :] = t + 1", "c[:, :] = f * t", "return c"],
    ["t = a * b", "f += t + 1", "c = f * t", "return c"],
    ["t = a * b", "u = t[1:] + t[:-1]", "return u"],
    ["t = row * 2", "u = t + row", "v = u * a", "return v"],
    ["t = a * 2", "row += t * 2", "return row"],
]


@pytest.mark.parametrize("lines", HAZARDS, ids=str)
def test_hazards(run_all, lines: list[str]) -> None:
    run_all(_program(*lines), fused=None, **NAMES)


REPORTED = [
    ["t = a / (b - b)", "u = t * 2 + a", "a += u * t", "return u"],
    ["t = a * 2", "u = np.sqrt(-b) + t", "a += t * t", "return u"],
    ["t = a * 2", "a += t * t", "u = t / 0.0", "return u"],
    ["t = a * 2", "a += t * t", "u = t + undefined", "return u"],
    ["t = a * 2", "a += t * t", "u = t + b[:, :-1]", "return u"],
    ["t = a * 2", "a[1:] = t + 1", "return t"],
    ["t = a * 2", "b.flags.writeable = False", "u = t * t + 1", "b += u * t", "return t"],
    ["if s > 1: z = 1.0", "t = a * 2", "a += t * t", "u = t * z + a", "return u"],
]


@pytest.mark.parametrize("lines", REPORTED, ids=str)
@pytest.mark.parametrize("how", ["warn", "raise"])
def test_reports_come_from_their_line(run_all, lines: list[str], how: str) -> None:
    """With the state that Python would have then."""
    program = _function(*lines)
    program += f"np.seterr(all={how!r}, under='ignore')\nfor turn in range(2):\n    try:\n"
    program += f"        x = run({_PARAMETERS})\n    except Exception as e:\n        import traceback\n"
    program += "        y = str(e), [each.lineno for each in traceback.extract_tb(e.__traceback__)]\n"
    with np.errstate():
        run_all(program + "np.seterr(all='warn', under='ignore')\n", fused=None, **NAMES)


def test_debuggers_see_all_values(run_all) -> None:
    program = _function("t = a * b + 1", "u = t * t - 2", "v = u * t", "return v")
    program += f"""
import sys
seen = []
def trace(frame, event, argument):
    if frame.f_code.co_name == 'run':
        seen.append((frame.f_lineno, sorted(frame.f_locals), repr(frame.f_locals.get('t'))))
        return trace
for turn in range(3):
    if turn == 2: sys.settrace(trace)
    x = run({_PARAMETERS})
    sys.settrace(None)
"""
    run_all(program, fused=None, **NAMES)


_LEAVES = st.sampled_from(
    "a b c a[1:-1] a[2:] a[:-2] b[1:-1] c[1:-1] c[2:] s k 2.0 0.5 row t u v t u".split()
)
_OPERATIONS = st.sampled_from(
    ["({} + {})", "({} - {})", "({} * {})", "np.minimum({}, {})", "({} / (2 + {} * 0))"]
)
_EXPRESSIONS = st.recursive(
    _LEAVES, lambda inner: st.builds(lambda o, x, y: o.format(x, y), _OPERATIONS, inner, inner), max_leaves=5
)
_STATEMENTS = st.builds(
    lambda target, value: f"{target} ({value} + 1) * 0.25",
    st.sampled_from("t= u= v= a= c[1:-1]= a[1:-1]= a[1:-1]+= c[2:]-= b*= b[:]= t= u=".split()),
    _EXPRESSIONS,
)


@settings(
    max_examples=40,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.lists(_STATEMENTS, min_size=2, max_size=6), st.sampled_from(["u", "a, c", "t, v", "b"]), st.booleans()
)
def test_random_programs(run_all, statements: list[str], wanted: str, looped: bool) -> None:
    body = [f"        {each}" for each in statements] if looped else [f"    {each}" for each in statements]
    head = ["    t = a + 0", "    u = a[1:-1] + 0", "    v = row"] + (
        ["    for n in range(3):"] if looped else []
    )
    program = "\n".join([f"def run({_PARAMETERS}):", *head, *body, f"    return {wanted}", ""])
    program += f"for turn in range(2):\n    try:\n        x = run({_PARAMETERS})\n"
    program += "    except ValueError as e:\n        y = str(e), e.__traceback__.tb_next.tb_lineno\n"
    run_all(program, fused=None, **NAMES)
