"""Blocks as one record of a tape: NumPy's bits in the forward run, the gradients of the records that they stand for."""

from __future__ import annotations

import importlib.util
import itertools
from typing import Any

import numpy as np
import pytest

import minpy
from minpy.options import Options
from minpy.runtime.entry import routed
from minpy.runtime.fuse import sites
from minpy.transform import hook, rewriter

HAS_COMPILER = importlib.util.find_spec("llvmlite") is not None
ENGINES = ["force:tiled1", "force:tiled2", *(["force:native1", "force:native2"] if HAS_COMPILER else [])]
_numbers = itertools.count()
_rng = np.random.default_rng(8)


def field(*shape: int, dtype: Any = float) -> np.ndarray:
    return (_rng.random(shape) + 0.5).astype(dtype)


@pytest.fixture
def differentiate(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Any:
    """Value, gradients and arguments left behind, of a text plainly, on a tape as written, and with every engine."""
    monkeypatch.setenv("MINPY_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setitem(__import__("builtins").__dict__, "__minpy__", routed)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")

    def run(
        text: str,
        *args: np.ndarray,
        fused: bool | None = True,
        tolerance: float = 1e-12,
        verb: Any = minpy.value_and_grad,
        engines: list[str] = ENGINES,
    ) -> list[sites.Site]:
        text = f"import numpy as np, minpy  # {next(_numbers)} {tmp_path}\n{text}"
        space: dict[str, Any] = {"__name__": "program"}
        exec(compile(text, "program.py", "exec"), space)
        plain_args = [each.copy() for each in args]
        plain = space["f"](*plain_args)
        expected = None
        every: list[sites.Site] = []
        for engine in ["off", *engines]:
            monkeypatch.setenv("MINPY_FUSE", engine)
            before = len(sites.sites)
            options = Options(fuse="off" if engine == "off" else "force")
            space = {"__name__": "program"}
            exec(hook.announce(rewriter.compile_source(f"{text}\n# {engine}", "program.py", options)), space)
            given = [each.copy() for each in args]
            value, gradients = verb(space["f"], tuple(range(len(args))))(*given)
            gradients = gradients if isinstance(gradients, (list, tuple)) else [gradients]
            if verb is minpy.value_and_grad:
                assert np.asarray(value).tobytes() == np.asarray(plain).tobytes(), engine
                for mine, theirs in zip(given, plain_args, strict=True):
                    assert mine.tobytes() == theirs.tobytes(), engine
            if expected is None:
                expected = gradients
            for mine, theirs in zip(gradients, expected, strict=True):
                scale = np.max(np.abs(theirs), initial=1e-300, where=np.isfinite(theirs))
                assert mine.dtype == theirs.dtype and mine.shape == theirs.shape
                np.testing.assert_allclose(
                    mine, theirs, rtol=tolerance, atol=tolerance * scale, err_msg=engine
                )
            found = sites.sites[before:]
            assert not any(each.reason for each in found), found
            if fused is not None and engine != "off":
                assert any(each.taped is not None and each.fused for each in found) == fused, (engine, found)
            every += found
        return every

    return run


JACOBI = """
def f(u):
    a, b = u.copy(), np.zeros_like(u)
    for _ in range(3):
        b[1:-1, 1:-1] = 0.2 * (a[1:-1, 1:-1] + a[:-2, 1:-1] + a[2:, 1:-1] + a[1:-1, :-2] + a[1:-1, 2:])
        a[1:-1, 1:-1] = 0.2 * (b[1:-1, 1:-1] + b[:-2, 1:-1] + b[2:, 1:-1] + b[1:-1, :-2] + b[1:-1, 2:])
    return np.sum(a * a * a)
"""
# The contents that a derivative reads are overwritten by the statements after it.
NONLINEAR = """
def f(u, v):
    w = u.copy()
    for _ in range(3):
        w[1:-1] = w[1:-1] * (0.9 + 0.1 * v[1:-1] * v[1:-1]) - 0.01 * w[:-2] * w[2:]
        v[1:-1] = 0.5 * (w[:-2] / v[:-2] + w[2:] * v[2:])
        w[0] = w[-2]
    return np.sum(w * v)
"""
LEAPFROG = """
def f(u, v):
    h = np.zeros((len(u) + 1, u.shape[1]))
    for _ in range(4):
        h[1:-1, :] = h[1:-1, :] - 0.3 * (u[1:, :] - u[:-1, :])
        u[:, :] = 0.99 * u - 0.3 * (h[1:, :] - h[:-1, :]) * v
    return np.sum(np.tanh(u) * v)
"""
PROGRAMS = {
    "jacobi": (JACOBI, [(40, 33)]),
    "nonlinear": (NONLINEAR, [(60,), (60,)]),
    "leapfrog": (LEAPFROG, [(20, 17), (20, 17)]),
    "apart": (  # the target is read as well
        "def f(u):\n u = u * 1.0\n for _ in range(3):\n"
        "  u[1:-1] = u[1:-1] + 0.2 * (u[2:] - 2 * u[1:-1] + u[:-2])\n return np.sum(u ** 3)\n",
        [(70,)],
    ),
    "augmented": (
        "def f(u, c):\n u = u.copy()\n for _ in range(3):\n"
        "  u[1:-1] += 0.2 * c[1:-1] * (u[2:] - 2 * u[1:-1] + u[:-2])\n return np.sum(u * u)\n",
        [(70,), (70,)],
    ),
    "broadcast": (
        "def f(a, r, c):\n x = a * r + c / r\n y = (x - c) * (a + r)\n return np.sum(x * y * x)\n",
        [(23, 31), (31,), (23, 1)],
    ),
    "functions": (
        "def f(a, b):\n x = np.tanh(a * b + a) - np.exp(-b)\n y = np.sqrt(np.abs(x)) / np.log1p(b * b)\n"
        " return np.sum(np.where(a > b, x * y, np.arctan2(x, y)) + np.hypot(x, b) * np.sin(y - a))\n",
        [(31, 37), (31, 37)],
    ),
    "slow alone": (
        "def f(a):\n x = np.exp(a)\n y = np.tanh(a)\n x[1:] = np.sin(y[:-1])\n return np.sum(x * y)\n",
        [(90,)],
    ),
    "kept in a target": (
        "def f(a):\n h = np.zeros((5, len(a)))\n for i in range(1, 5):\n  h[i, :] = np.tanh(h[i - 1, :] * a + a)\n"
        "  h[i - 1, :] = 0.0\n return np.sum(h)\n",
        [(80,)],
    ),
    "ties and kinks": (
        "def f(a, b):\n b[::3] = a[::3]\n x = np.maximum(a, b) * np.minimum(a, 0.9) - abs(a - b)\n return np.sum(x ** 2)\n",
        [(64,), (64,)],
    ),
    "limits": (
        "def f(a, b):\n b[::3] = 0.25\n b[1::9] = -0.0\n x = np.clip(a[::2] * 2, -0.5, 0.5) + np.clip(b[::2], 0, 0.25)\n"
        " return np.sum(x * np.clip(b[1::2] - 1.0, a[1::2] * 0.5, 2.0))\n",
        [(200,), (200,)],
    ),
    "twice": ("def f(a):\n x = a * a[:, :] + a[:, ::1] * 2 - a\n return np.sum(x * x)\n", [(9, 65)]),
    "sharing": (  # x + 1 has the cotangent of x
        "def f(a):\n x = a * 2\n y = x + 1\n z = x[1:] * y[:-1] - y[1:] * x[:-1] + 3 * y[1:]\n y[2:] = z[1:] * x[2:] * 0.5\n"
        " return np.sum(y * x)\n",
        [(77,)],
    ),
    "numbers": (
        "def f(a, b):\n n, d = len(a), np.float64(0.3)\n dt = 1 / n\n x = (d / dt) * (a - b) * (2 - dt) / n + a * -d\n"
        " return np.sum(x ** 2 + x ** 0.5 if False else x * x)\n",
        [(66,), (66,)],
    ),
    "three axes": (
        "def f(u):\n v = np.zeros_like(u)\n v[1:-1, 1:-1, 1:-1] = (u[2:, 1:-1, 1:-1] - 2 * u[1:-1, 1:-1, 1:-1]"
        " + u[:-2, 1:-1, 1:-1]) * u[1:-1, 2:, 1:-1] + u[1:-1, 1:-1, :-2]\n return np.sum(v * u)\n",
        [(7, 8, 30)],
    ),
    "five axes": (
        "def f(u):\n v = np.zeros(u.shape)\n v[1:, 1:, 1:, 1:, 1:] = u[1:, :-1, 1:, 1:, :-1] * u[:-1, 1:, :-1, 1:, 1:]"
        " - 0.5 * u[1:, 1:, 1:, 1:, 1:]\n return np.sum(v * v)\n",
        [(3, 4, 3, 4, 9)],
    ),
    "read by nobody": (
        "def f(a):\n x = a * 2 + a\n y = a * 3 - a\n y[1:] = x[1:] * x[:-1]\n return np.sum(a * a)\n",
        [(65,)],
    ),
    "constants among": (
        "def f(a):\n c = np.linspace(0.5, 1, a.size).reshape(a.shape)\n m = c > 0.7\n"
        " x = np.where(m, a * c, c - a * a)\n c[1:] = c[:-1] * 2 + c[1:]\n return np.sum(x * c)\n",
        [(8, 64)],
    ),
    "held by an object": (
        "class S:\n pass\ndef f(u):\n s = S()\n s.u, s.v = u.copy(), np.zeros_like(u)\n for _ in range(2):\n"
        "  s.v[1:-1] = 0.5 * (s.u[2:] - s.u[:-2]) * s.u[1:-1]\n  s.u[1:-1] = s.u[1:-1] * 0.9 - 0.1 * s.v[1:-1]\n"
        " return np.sum(s.u * s.v)\n",
        [(90,)],
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name: str, differentiate: Any) -> None:
    text, shapes = PROGRAMS[name]
    differentiate(text, *[field(*shape) for shape in shapes])


@pytest.mark.parametrize("name", ["jacobi", "nonlinear", "functions", "broadcast", "numbers"])
def test_single_precision(name: str, differentiate: Any) -> None:
    text, shapes = PROGRAMS[name]
    text = text.replace("np.float64(0.3)", "0.3")
    differentiate(text, *[field(*shape, dtype=np.float32) for shape in shapes], tolerance=2e-5)


@pytest.mark.parametrize("number", ["1e39", "1e31 * 1e9", "float('inf')", "2 ** 60"])
def test_numbers_out_of_the_ordinary(number: str, differentiate: Any) -> None:
    """NumPy 1 looks at the value of a number to choose the dtype of a result."""
    text = f"def f(a, s=0.5):\n x = a * s + a\n with np.errstate(all='ignore'):\n  s = {number}\n  x = x * s + a\n return np.sum(1 / x)\n"
    differentiate(text, field(64, dtype=np.float32), fused=None, tolerance=1e-5)


def test_replaced_functions(differentiate: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a function of NumPy's that somebody replaced there is no block."""
    monkeypatch.setattr(np, "tanh", np.sin)

    def gradient(f: Any, _: Any) -> Any:
        return lambda a: (None, minpy.grad(f)(a))

    text = "def f(a):\n x = np.tanh(a) * a + a\n return np.sum(x)\n"
    differentiate(text, field(64), fused=False, verb=gradient)


def test_mixed_precision_runs_as_written(differentiate: Any) -> None:
    text = "def f(a, b):\n x = a * b + a\n return np.sum(x * x)\n"
    differentiate(text, field(50), field(50, dtype=np.float32), fused=False)


@pytest.mark.parametrize("layout", ["columns", "reversed", "transposed", "narrow"])
def test_layouts(layout: str, differentiate: Any) -> None:
    """Steps, other orders and single columns: with tiles, or as written."""
    index = {"columns": "[:, ::2]", "reversed": "[::-1]", "transposed": ".T", "narrow": "[:, 3:4]"}[layout]
    text = (
        f"def f(a, b):\n x, y = a{index}, b{index}\n z = x * y + x\n w = np.zeros_like(x)\n"
        " w[:, :] = z * x - y * 2\n return np.sum(w * z)\n"
    )
    differentiate(text, field(12, 40), field(12, 40), fused=None)


def test_infinite_and_missing(differentiate: Any) -> None:
    """Where NumPy would warn the expression runs as written; what no condition concerns is as it was."""
    a = field(64)
    a[3], a[5], a[7] = np.nan, np.inf, 0.0
    text = "def f(a, b):\n with np.errstate(all='ignore'):\n  x = a / b + a * b\n  y = np.sqrt(x) * a\n return np.sum(y)\n"
    with np.errstate(all="ignore"):
        differentiate(text, a, field(64), fused=None)


def test_warnings(differentiate: Any) -> None:
    text = "def f(a, b):\n x = a / b - a\n return np.sum(x)\n"
    b = field(64)
    b[9] = 0.0
    with pytest.warns(RuntimeWarning, match="divide by zero") as caught:
        differentiate(text, field(64), b, fused=False, engines=["force:tiled1", "force:native1"])
    assert len(caught) == 7  # plainly; on three tapes in the forward run and in the sweep


def test_errors_leave_arrays_alone(
    differentiate: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """An error half-way: what was written before stays, as plainly."""
    text = (
        "import numpy as np\n# {}\ndef f(u):\n global left\n left = w = u * 1.0\n with np.errstate(divide='raise'):\n"
        "  w[1:] = 2 * u[1:] + w[0]\n  w[:-1] = 1 / (u[1:] - 1) + u[:-1]\n return np.sum(w)\n"
    )
    u = field(64)
    u[40] = 1.0
    lines, kept = [], []
    for engine in ("off", "force:tiled1", "force:native1"):
        monkeypatch.setenv("MINPY_FUSE", engine)
        space: dict[str, Any] = {"__name__": "program"}
        code = rewriter.compile_source(
            text.format(engine + str(tmp_path)),
            "program.py",
            Options(fuse="off" if engine == "off" else "force"),
        )
        exec(hook.announce(code), space)
        with pytest.raises(FloatingPointError, match="divide by zero") as caught:
            minpy.grad(space["f"])(u)
        lines.append(caught.traceback[-1].lineno)
        kept.append(np.array(minpy.stop_gradient(space["left"])).tobytes())
    assert len(set(lines)) == 1 and len(set(kept)) == 1


def test_higher_order(differentiate: Any) -> None:
    """Under two tapes everything is recorded as written."""
    text = "def f(a):\n x = np.tanh(a * a + a) * a\n x[1:] = x[:-1] * 2 + a[1:]\n return np.sum(x ** 3)\n"

    def twice(f: Any, _: Any) -> Any:
        return lambda a: (None, minpy.grad(lambda b: np.sum(minpy.grad(f)(b) * a))(a))

    differentiate(text, field(33), verb=twice, fused=False)


def test_pullbacks_and_tangents(differentiate: Any) -> None:
    """A tape that is kept, and forward mode, have the records of the expression as written."""
    text = "def f(a):\n x = np.tanh(a * a + a) * a\n x[1:] = x[:-1] * 2 + a[1:]\n return np.sum(x ** 3)\n"

    def both(f: Any, _: Any) -> Any:
        def run(a: np.ndarray) -> Any:
            _, pullback = minpy.vjp(f, a)
            again = pullback(2.0)[0], pullback(1.0)[0]
            return None, [*again, minpy.jvp(f, (a,), (np.ones_like(a),))[1] * np.ones(1)]

        return run

    differentiate(text, field(33), verb=both, fused=None)


def test_checkpoints(differentiate: Any) -> None:
    """What a checkpoint may read again is logged."""
    text = (
        "def f(u):\n w = u * 1.0\n step = minpy.checkpoint(lambda v: np.tanh(v * v - v))\n"
        " for _ in range(3):\n  z = step(w)\n  w[1:-1] = 0.5 * (z[2:] + z[:-2]) * w[2:] * 1.5\n return np.sum(w * z)\n"
    )
    differentiate(text, field(64), fused=None)


def test_arguments_are_left_as_written(differentiate: Any) -> None:
    """Arguments and results that are written in place come back as the program left them."""
    text = (
        "def f(u, v):\n for i in range(1, 4):\n  u[i:-i] = u[i:-i] * v[i:-i] + 0.1 * v[:-2 * i]\n"
        "  v[i:-i] = 0.3 * u[: -2 * i] * v[i:-i] - u[2 * i:]\n return np.sum(u * v)\n"
    )
    differentiate(text, field(64), field(64), fused=None)


@pytest.mark.parametrize("seed", range(12))
def test_random_expressions(seed: int, differentiate: Any) -> None:
    """Random expressions, as values and into slices that are read before or after."""
    rng = np.random.default_rng(seed)
    leaves = ["a", "b", "r", "c", "p[1:-1, 1:-1]", "p[:-2, 2:]", "p[2:, :-2]", "k", "2.5", "s", "a[:, :]"]
    one = [
        "-{}",
        "np.tanh({})",
        "np.exp(-{})",
        "np.sqrt(1.5 + {} * {})",
        "np.abs({})",
        "({}) ** 2",
        "np.sin({})",
    ]
    two = ["({} + {})", "({} - {})", "({} * {})", "({} / (3 + np.abs({})))", "np.maximum({}, {})"]
    two += ["np.where({} > {}, a, b)", "np.arctan2({}, 2 + np.abs({}))"]

    def expression(depth: int) -> str:
        if depth == 0 or rng.random() < 0.1:
            return str(rng.choice(leaves))
        if rng.random() < 0.3:
            text = str(rng.choice(one))
            inner = expression(depth - 1)
            return text.format(*[inner] * text.count("{}"))
        return str(rng.choice(two)).format(expression(depth - 1), expression(depth - 1))

    lines = []
    for i in range(4):
        lines.append(f" x{i} = a * {expression(3)}")
        leaves.append(f"x{i}")
        place = rng.choice(["a[:, :]", "p[1:-1, 1:-1]", "q[1:-1, :-2]", "x0[:, :]", "q[2:, 2:]"])
        lines.append(f" {place} = 0.1 * ({expression(3)}) + b")
        leaves.append("q[1:-1, 1:-1]")
    text = (
        "def f(a, b, p, r, c):\n k, s, q = np.ones(a.shape) * 0.7, 1.25, np.zeros(p.shape)\n"
        + "\n".join(lines)
        + "\n return np.sum(x3 * x1 + x0 + x2 * a) + np.sum(p * q)\n"
    )
    args = [field(9, 40), field(9, 40), field(11, 42), field(40), field(9, 1)]
    differentiate(text, *args, tolerance=1e-10, fused=None)


def test_threads_do_not_matter(differentiate: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Large enough to be shared by threads: the same bits with one and with two."""
    text = "import numpy as np\n# {}\ndef f(a, b):\n x = np.tanh(a * b + a) - b / a\n return np.sum(x * x)\n"
    a, b = field(300, 700), field(300, 700)
    found = []
    for engine in ("force:tiled1", "force:tiled2", "force:native1", "force:native2"):
        monkeypatch.setenv("MINPY_FUSE", engine)
        space: dict[str, Any] = {"__name__": "program"}
        code = rewriter.compile_source(text.format(engine + str(tmp_path)), "p.py", Options(fuse="force"))
        exec(hook.announce(code), space)
        before = len(sites.sites)
        found.append([each.tobytes() for each in minpy.grad(space["f"], (0, 1))(a, b)])
        assert any(each.taped and each.fused for each in sites.sites[before:]), engine
    assert found[0] == found[1] and found[2] == found[3]
