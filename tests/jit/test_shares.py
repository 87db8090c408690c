"""Loops over elements that several threads work on: the same bits, warnings and errors, whoever does what."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("llvmlite", reason="without the extra jit loops run as written")

from minpy.runtime.jit import crew, shares

pytestmark = pytest.mark.skipif(not crew.is_possible(), reason="loops are shared on Linux and x86-64 only")

SETUP = """
rng = np.random.default_rng(5)
n, k = {n}, {k}
u, v, w = (rng.standard_normal((n, k)) for _ in range(3))
f, j, t = u.astype(np.float32), rng.integers(-99, 99, (n, k)).astype(np.int16), w > 0
q, o = rng.standard_normal((2, n * k))
big = np.ones((n, k))
"""
STATEMENTS = [
    "u = u * 0.5 + v * i",
    "u[1:, :] -= 0.5 * (v[1:, :] - v[:-1, :]); v[:, 1:] += u[:, :-1] * w[:, 1:]",
    "u[1:-1, 1:-1] = 0.25 * (u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:])",
    "u = np.roll(u, 1, 0) + np.roll(np.roll(u, -1, 1), 2, 0) - v",
    "f += f * 2; j = j * 3 + 1; t = (u > v) | (w > 0.5) & t",
    "v = np.sin(u) + np.exp(-w * w); w = np.sqrt(np.abs(v))",
    "u = np.where(t, u, v); v = np.minimum(u, w); w = np.clip(w, -1, 1)",
    "q = q * o - 0.5; o = np.cos(q)",
    "u.T[:, :] = v.T * 2; a = u[::-1, ::2]; a += 1",
    "u = u + v[:, :1]; v = v * w[0]; w = (u - v.mean(axis=0)) / 2",
    # What NumPy warns of in one element of many; what is in the way of the compiled code.
    "u = u * 0.5; big[n // 2, k - 1] = 1e200; big = big * big",
    "v[0, 0] = 0; u = w / v",
    "v[n - 1, k - 1] = np.nan; u = v + w; t = u > 0",
    "u = u * 2; v = v + big[:, : k - 1 + (i < 2)]",
]


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two threads, which share all that they can, as short as it may be."""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    if not crew.is_wanted():
        pytest.skip("this process may use one processor only")
    least = crew.LEAST
    monkeypatch.setattr(crew, "LEAST", 1)
    crew.share_from(1)
    yield
    crew.share_from(least)


@pytest.mark.parametrize("number", range(len(STATEMENTS)))
def test_same_as_numpy(run_both: Any, shared: None, number: int) -> None:
    before = crew.shared()
    for n, k in ((5, 40), (2, 700), (31, 3), (1, 64), (2, 0)):
        run_both(SETUP.format(n=n, k=k) + f"for i in range(6):\n    {STATEMENTS[number]}", compiled=None)
    assert crew.shared() > before


def test_long_loops(run_both: Any, shared: None) -> None:
    body = "for i in range(40):\n    u = u * 0.5 + v\n    v = np.tanh(u) - w"
    before = crew.shared()
    run_both(SETUP.format(n=150, k=250) + body)
    assert crew.shared() > before


def test_other_threads_run_theirs(run_both: Any, shared: None) -> None:
    run_both(
        textwrap.dedent("""
    import threading
    def f(k):
        x = np.arange(5000.0) + k
        for i in range(30):
            x = x * 0.5 + k
            x[1:] += x[:-1]
        results[k] = x.sum()
    results = [0] * 6
    threads = [threading.Thread(target=f, args=(k,)) for k in range(6)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    del threads, thread
    """),
        compiled=None,
    )


def test_short_loops_are_not_shared(run_both: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    before = crew.shared()
    run_both(SETUP.format(n=20, k=100) + "for i in range(9):\n    u = u * 0.5 + v")
    assert crew.shared() == before


def test_one_thread_shares_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert not crew.is_wanted()


PROGRAM = """
    import os, sys
    import numpy as np
    def work(x, rounds):
        for i in range(rounds):
            x = x * 0.5 + 1.0
            x[1:] -= x[:-1] * 0.25
        return x
    start = np.arange(300000.0)
    first = work(start, 60).tobytes()
    children = []
    for k in range(3):
        child = os.fork()
        if not child:
            os._exit(7 if work(start, 60).tobytes() == first else 1)
        children.append(child)
    codes = {os.waitstatus_to_exitcode(os.waitpid(each, 0)[1]) for each in children}
    assert codes == {7}, codes
    assert work(start, 60).tobytes() == first
    if "minpy" in sys.modules:
        from minpy.runtime.jit import crew
        print("shared", crew.shared() > 0, file=sys.stderr)
    print(__import__("hashlib").sha256(first).hexdigest())
"""


def test_program_that_forks(tmp_path: Any) -> None:
    # The crew goes before a fork, comes again in the parent, and does not keep the process at its end.
    file = tmp_path / "program.py"
    file.write_text(textwrap.dedent(PROGRAM))
    environment = os.environ | {"MINPY_JIT": "force", "MINPY_CACHE_DIR": str(tmp_path / "cache")}
    environment.pop("OMP_NUM_THREADS", None)

    def outcome(*how: str) -> Any:
        return subprocess.run(
            [sys.executable, *how, str(file)], env=environment, capture_output=True, text=True, timeout=120
        )

    plain = outcome()
    ours = outcome("-m", "minpy", "run", "--threads", "2")
    assert (ours.returncode, ours.stdout) == (0, plain.stdout), ours.stderr[-2000:]
    if len(os.sched_getaffinity(0)) > 1:
        assert "shared True" in ours.stderr


# Which parts of a text can become functions.

HEAD = ["  %k1 = alloca i64", "  %fine2 = alloca i1", "  %sum3 = alloca double"]
BEFORE = ["  %n4 = load i64, ptr %words", "  %p5 = load ptr, ptr %words", "  %c6 = icmp eq i64 %n4, 3"]
PART = [
    "  store i64 %first7, ptr %k1",
    "  br label %over9",
    "over9:",
    "  %k10 = load i64, ptr %k1",
    "  %t11 = icmp slt i64 %k10, %last8",
    "  br i1 %t11, label %element12, label %past13",
    "element12:",
    "  %t14 = getelementptr i8, ptr %p5, i64 %k10",
    "  {}",
    "  %t16 = add nuw nsw i64 %k10, 1",
    "  store i64 %t16, ptr %k1",
    "  br label %over9",
    "past13:",
]
INSIDE = [
    ("store i8 1, ptr %t14", True),
    ("%t15 = select i1 %c6, i64 %k10, i64 %n4", True),
    ("%t15 = load double, ptr %sum3", True),  # a variable that is only read
    ("store double 1.0, ptr %sum3", False),
    ("%t15 = getelementptr i8, ptr %sum3, i64 4", True),  # it is not stored into
    ("%t15 = getelementptr i8, ptr %sum3, i64 4\n  store i8 1, ptr %t15", False),
    ("%t15 = call double @llvm.fabs.f64(double 1.0)", True),
    ("call void @at_map_exp_dd(ptr %t14, ptr %t14, ptr %t14, ptr null)", True),
    ("call void @drop(i64 %n4, ptr %t14)", False),
    ("call void @llvm.x86.sse.stmxcsr(ptr %t14)", False),
    ("br label %leave99", False),
    ("ret i64 3", False),
    ("%t15 = add i64 %unknown98, 1", False),
]


@pytest.mark.parametrize(("inside", "moves"), INSIDE)
def test_what_can_be_moved(inside: str, moves: bool) -> None:
    part = [each for line in PART for each in line.format(inside).split("\n")]
    axis = shares.Axis("%n4", "%first7", "%last8")
    lines = [shares.begin(1, "%fine2", [axis], []), *part, shares.end(1), "  store double 0.0, ptr %sum3"]
    parts = shares.Parts([*HEAD], BEFORE, lines, "")
    text = "\n".join(parts.lines)
    assert bool(parts.functions) == moves
    assert ("@part1" in text) == moves and "; share" not in text
    if not moves:
        assert "store i64 0, ptr %k1" in text and "icmp slt i64 %k10, %n4" in text


@pytest.mark.parametrize(
    ("instruction", "type_"),
    [
        ("load <8 x double>, ptr %a, align 8", "<8 x double>"),
        ("add nuw nsw i64 %a, 1", "i64"),
        ("fcmp olt <4 x double> %a, %b", "<4 x i1>"),
        ("icmp eq ptr %a, null", "i1"),
        ("zext i1 %a to i64", "i64"),
        ("inttoptr i64 %a to ptr", "ptr"),
        ("select i1 %a, <2 x double> %b, <2 x double> %c", "<2 x double>"),
        ("call {i64, i1} @llvm.sadd.with.overflow.i64(i64 %a, i64 %b)", "{i64, i1}"),
        ('call double asm sideeffect "", "=x,0"(double %a)', "double"),
        ("extractvalue {i64, i1} %a, 1", "i1"),
        ("extractelement <2 x double> %a, i32 1", "double"),
        ("insertelement <2 x double> undef, double %a, i32 0", "<2 x double>"),
        ("phi i64 [ 0, %a ], [ %b, %c ]", "i64"),
        ("fneg double %a", "double"),
        ("landingpad token cleanup", ""),
    ],
)
def test_types(instruction: str, type_: str) -> None:
    assert shares._type_of(instruction) == type_


def test_flags_of_all_threads_are_seen(run_both: Any, shared: None) -> None:
    # An overflow in the last part, which any thread may do, warns as in NumPy: once, in the user's line.
    for last in (0, 1, 499, 999):
        program = f"""
        import warnings
        x = np.ones((1000, 64))
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            for i in range(4):
                x = x * 1.5
                x[{last}, 3] = 1e308
        count = len(seen); del seen
        """
        run_both(textwrap.dedent(program), compiled=None)
