"""Programs that solve differential equations and integrals with SciPy: derivatives to the solver's tolerance."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_scipy import door, load  # noqa: F401  (the fixture is for every test here)

import minpy
from minpy.errors import GradientError, TraceError

pytest.importorskip("scipy", reason="the extra scipy is not installed")

import scipy.integrate

DECAY = """
import numpy as np
import scipy.integrate as si
from scipy.integrate import odeint, solve_ivp
TIGHT = {"rtol": 1e-9, "atol": 1e-10}
times = np.array([0.0, 0.4, 1.0])
def rhs(y, t, k):
    return -k * y
"""
# y = y0 exp(-k t), with k from everywhere that a program has it.
FORMS = {
    "odeint, args": "return odeint(rhs, y0, times, args=(k,), **TIGHT)",
    "odeint, one argument": "return odeint(rhs, y0, times, (k,), **TIGHT)",
    "odeint, closure": "return odeint(lambda y, t: -k * y, y0, times, **TIGHT)",
    "odeint, tfirst": "return odeint(lambda t, y: [-k * v for v in y], y0, times, tfirst=True, **TIGHT)",
    "odeint, Dfun": "return odeint(rhs, y0, times, (k,), lambda y, t, k: [[-k, 0], [0, -k]], **TIGHT)",
    "odeint, output": "return odeint(rhs, y0, times, (k,), full_output=True, **TIGHT)[0]",
    "odeint, in place": """def f(y, t):
            dy = np.zeros(2)
            dy[0] = -k * y[0]
            dy[1:] = -k * y[1:]
            return dy
        return si.odeint(f, y0, times, rtol=1e-9, atol=[1e-10, 1e-10])""",
    "solve_ivp, args": "return solve_ivp(lambda t, y, k: -k * y, (0, 1), y0, t_eval=times, args=(k,), **TIGHT).y.T",
    "solve_ivp, closure": "return solve_ivp(lambda t, y: -k * y, [0, 1], y0, t_eval=times, **TIGHT).y.T",
    "solve_ivp, a list": "return solve_ivp(lambda t, y: [-k * y[0], -k * y[1]], [0, 1], y0, t_eval=times, **TIGHT).y.T",
    "solve_ivp, DOP853": "return solve_ivp(lambda t, y: -k * y, (0, 1), y0, 'DOP853', times, **TIGHT).y.T",
    "solve_ivp, stiff": "return solve_ivp(lambda t, y: -k * y, (0, 1), y0, method='LSODA', t_eval=times, **TIGHT).y.T",
    "solve_ivp, vectorized": """found = si.solve_ivp(
            lambda t, y: -k * y, (0, 1), y0, t_eval=times, vectorized=True, **TIGHT)
        return found.y.T""",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_solution_by_start_value_and_parameter(form: str) -> None:
    names = load(DECAY + f"def f(y0, k):\n    if True:\n        {FORMS[form]}\n")
    f, y0, k = names["f"], np.array([1.0, 2.0]), 0.7
    times = names["times"][:, None]
    plain, exact = f(y0, k), y0 * np.exp(-k * times)
    assert type(plain) is np.ndarray
    assert np.allclose(plain, exact, rtol=1e-6)
    value, gradient = minpy.value_and_grad(lambda y0, k: f(y0, k).sum(), argnum=[0, 1])(y0, k)
    assert np.isclose(value, plain.sum(), rtol=1e-12)
    assert np.allclose(gradient[0], np.exp(-k * times).sum(), rtol=1e-6)
    assert np.allclose(gradient[1], (-times * exact).sum(), rtol=1e-6)
    tangent = minpy.jvp(f, (y0, k), (np.array([0.3, -1.0]), 2.0))[1]
    wanted = np.array([0.3, -1.0]) * np.exp(-k * times) - 2.0 * times * exact
    assert np.allclose(tangent, wanted, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("form", ["odeint, closure", "solve_ivp, args"])
def test_second_derivatives_of_a_solution(form: str) -> None:
    names = load(DECAY + f"def f(y0, k):\n    if True:\n        {FORMS[form]}\n")
    y0 = np.array([1.0, 2.0])
    times = names["times"][:, None]

    def loss(k: Any) -> Any:
        return names["f"](y0, k).sum()

    exact = (times**2 * y0 * np.exp(-0.7 * times)).sum()
    assert np.isclose(minpy.grad(minpy.grad(loss))(0.7), exact, rtol=1e-5)
    assert np.isclose(minpy.jvp(minpy.grad(loss), (0.7,), (1.0,))[1], exact, rtol=1e-5)
    assert np.isclose(minpy.grad(lambda k: minpy.jvp(loss, (k,), (1.0,))[1])(0.7), exact, rtol=1e-5)
    assert np.isclose(minpy.hessian(lambda k: loss(k[0]))(np.array([0.7]))[0, 0], exact, rtol=1e-5)


def test_a_solution_by_the_times() -> None:
    names = load(
        DECAY
        + """
def f(y0, t):
    return odeint(lambda y, s: -s * y, y0, t, **TIGHT)
def g(y0, end):
    return solve_ivp(lambda s, y: -s * y, (0.5, end), y0, **TIGHT).y[:, -1]
def h(y0, t):
    return solve_ivp(lambda s, y: -s * y, (0.0, 2.0), y0, t_eval=t, **TIGHT).y
"""
    )
    y0, t = np.array([1.0]), np.array([0.3, 0.7, 1.2])
    exact = np.exp((t[0] ** 2 - t**2) / 2)
    expected = -t * exact
    expected[0] = (t[0] * exact[1:]).sum()
    assert np.allclose(minpy.grad(lambda t: names["f"](y0, t).sum())(t), expected, rtol=1e-6)
    assert np.isclose(
        minpy.grad(lambda e: names["g"](y0, e)[0])(1.2), -1.2 * np.exp((0.25 - 1.44) / 2), rtol=1e-6
    )
    assert np.allclose(minpy.grad(lambda t: names["h"](y0, t).sum())(t), -t * np.exp(-(t**2) / 2), rtol=1e-6)
    minpy.check_grads(names["f"], (y0, t), order=1)
    minpy.check_grads(names["h"], (y0, t), order=1)


def test_a_parameter_that_is_read_only_later() -> None:
    names = load(
        DECAY
        + """
def f(p):
    def rhs(t, y):
        return -(p[0] if t < 0.5 else p[1]) * y
    first = solve_ivp(rhs, (0, 0.5), [1.0], t_eval=[0.5 - 1e-12], max_step=0.1, **TIGHT).y[:, -1]
    return solve_ivp(rhs, (0.5, 1), first, **TIGHT).y[0, -1]
"""
    )
    value, gradient = minpy.value_and_grad(names["f"])(np.array([0.4, 1.1]))
    assert np.allclose(gradient, -0.5 * value, rtol=1e-5)


def test_what_is_constant_stays_plain() -> None:
    names = load(
        DECAY + "def f(k):\n    y = odeint(rhs, [1.0, 2.0], times, (0.3,))\n    return y, k * y.sum()\n"
    )
    y, _ = names["f"](1.0)
    seen = []
    minpy.grad(lambda k: (seen.append(names["f"](k)[0]), names["f"](k)[1])[1])(2.0)
    assert type(seen[0]) is np.ndarray
    assert np.array_equal(seen[0], y)


def test_events_and_dense_output_are_explained_errors_only_where_a_gradient_would_be_lost() -> None:
    names = load(
        DECAY
        + """
def f(k, rate):
    def hit(t, y):
        return y[0] - 0.5
    hit.terminal = True
    return k * solve_ivp(lambda t, y: -rate * y, (0, 5), [1.0], events=hit).t_events[0][0]
def g(k):
    return solve_ivp(lambda t, y: -k * y, (0, 5), [1.0], dense_output=True).sol(1.0)[0]
"""
    )
    assert np.isclose(minpy.grad(lambda k: names["f"](k, 2.0))(1.0), np.log(2) / 2, rtol=1e-2)
    with pytest.raises(TraceError, match=r"with events has no derivative rule.*t_eval"):
        minpy.grad(lambda k: names["f"](1.0, k))(2.0)
    with pytest.raises(TraceError, match=r"with dense_output has no derivative rule.*t_eval"):
        minpy.grad(names["g"])(2.0)


def test_what_a_solver_raises_comes_through_and_tapes_are_left_as_they_were() -> None:
    names = load(
        DECAY
        + """
def f(k):
    def rhs(t, y):
        if t > 0.3:
            raise ZeroDivisionError("mine")
        return -k * y
    return solve_ivp(rhs, (0, 1), [1.0]).y.sum()
"""
    )
    with pytest.raises(ZeroDivisionError, match="mine"):
        minpy.grad(names["f"])(1.0)
    assert minpy.grad(lambda x: x * x)(3.0) == 6.0


INTEGRALS = {
    "parameters": ("quad(lambda x: np.exp(-p[0] * x * x) * np.cos(p[1] * x), 0, 2)[0]", [0.9, 0.4]),
    "args": ("quad(lambda x, a: np.sin(a * x), 0, 1, args=(p[0],))[0]", [0.9]),
    "one argument": ("quad(lambda x, a: a * a * x, 0, 1, p[0])[0]", [0.9]),
    "bounds": ("quad(lambda x: np.sin(x * p[2]), p[0], p[1])[0]", [0.2, 1.4, 0.8]),
    "an infinite bound": ("quad(lambda x: np.exp(-p[0] * x), p[1], np.inf)[0]", [1.3, 0.2]),
    "math": ("quad(lambda x: math.exp(-p[0] * x), 0, 1)[0]", [1.3]),
    "trapezoid": ("trapezoid(np.sin(p * np.arange(3.0)), x=p)", [0.2, 1.4, 1.9]),
    "cumulative": ("cumulative_trapezoid(np.sin(p), p, initial=0)", [0.2, 1.4, 1.9]),
    "simpson": ("simpson(p**2, x=np.array([0.0, 0.4, 1.1]))", [0.2, 1.4, 1.9]),
}


@pytest.mark.parametrize("name", INTEGRALS)
def test_integrals(name: str) -> None:
    text, parameters = INTEGRALS[name]
    names = load(
        "import math\nimport numpy as np\n"
        "from scipy.integrate import cumulative_trapezoid, quad, simpson, trapezoid\n"
        f"def f(p):\n    return {text}\n"
    )
    p = np.array(parameters)
    value = minpy.jvp(names["f"], (p,), (p,))[0]
    assert np.allclose(value, names["f"](p), rtol=1e-12)
    minpy.check_grads(names["f"], (p,), order=2)


def test_convolutions_and_filters_in_programs() -> None:
    names = load(
        """
        import numpy as np
        from scipy import signal
        x = np.sin(np.arange(8.0))
        def f(h):
            y = signal.fftconvolve(x, h, mode="same") + signal.convolve(x, h, "full")[:8]
            return signal.lfilter(h, [1.0, 0.3], y) + signal.correlate(x, h, mode="same")
        """
    )
    minpy.check_grads(names["f"], (np.array([0.4, -0.2, 0.1]),), order=2)
    strange = load(
        "import numpy as np\nfrom scipy import signal\ndef f(x):\n    return signal.convolve2d(x, x, boundary='wrap')\n"
    )
    with pytest.raises(GradientError, match="boundary"):
        minpy.grad(lambda x: strange["f"](x).sum())(np.eye(3))


# ----- whole programs ---------------------------------------------------------------------------------------

FIT = """
    import numpy as np
    from scipy import stats
    import minpy
    data = np.random.default_rng(0).gamma(3.0, 0.5, 400)
    def loss(p):
        return -stats.gamma.logpdf(data, np.exp(p[0]), scale=np.exp(p[1])).mean()
    p = np.array([0.9, -0.5])
    for _ in range(8):
        p = p - np.linalg.solve(minpy.hessian(loss)(p), minpy.grad(loss)(p))
    shape, _, scale = stats.gamma.fit(data, floc=0)
    print(np.allclose(np.exp(p), [shape, scale], rtol=1e-3), np.abs(minpy.grad(loss)(p)).max() < 1e-8)
"""
PENDULUM = """
    import numpy as np
    from scipy.integrate import {solver}
    import minpy
    times = np.linspace(0, 2, 9)
    def swing(y, t, length, damping):
        return [y[1], -9.81 / length * np.sin(y[0]) - damping * y[1]]
    def simulate(p):
        {simulate}
    seen = simulate(np.array([1.0, 0.1]))
    def loss(p):
        return np.sum((simulate(p) - seen) ** 2)
    p = np.array([1.1, 0.3])
    jacobian = minpy.jacobian(simulate)
    for _ in range(5):
        p = p - np.linalg.lstsq(jacobian(p), simulate(p) - seen, rcond=None)[0]
    print(np.allclose(p, [1.0, 0.1], rtol=1e-4), minpy.grad(loss)(p).shape == (2,))
"""
PROGRAMS = {
    "a maximum-likelihood fit": FIT,
    "an equation fitted with odeint": PENDULUM.format(
        solver="odeint",
        simulate="return odeint(swing, [0.8, 0.0], times, args=(p[0], p[1]))[1:, 0]",
    ),
    "an equation fitted with solve_ivp": PENDULUM.format(
        solver="solve_ivp",
        simulate="return solve_ivp(lambda t, y: swing(y, t, *p), (0, 2), [0.8, 0.0], t_eval=times, rtol=1e-6).y[0, 1:]",
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_whole_programs(name: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(PROGRAMS[name]))
    done = subprocess.run(
        [sys.executable, "-m", "minpy", "run", str(program)], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split() == ["True", "True"], done.stdout + done.stderr


def test_while_idle_the_solvers_are_scipys() -> None:
    from minpy.runtime import entry

    names = load(DECAY + "def f():\n    return odeint is si.odeint\n")
    assert names["f"]() is True
    assert entry.routed.scipy.integrate is scipy.integrate


def test_parameters_that_are_attributes_and_are_overwritten_later() -> None:
    names = load(
        DECAY
        + """
class Model:
    def rhs(self, t, y):
        return -self.k * y
def f(k):
    model = Model()
    model.k = k * np.ones(1)
    y = solve_ivp(model.rhs, (0, 1), [1.0], **TIGHT).y[0, -1]
    model.k[0] = 7.0
    return y + 0 * model.k.sum()
def backwards(k):
    return solve_ivp(lambda t, y: -k * y, (1, 0), [1.0], **TIGHT).y[0, -1]
"""
    )
    assert np.isclose(minpy.grad(names["f"])(0.8), -np.exp(-0.8), rtol=1e-6)
    assert np.isclose(minpy.grad(names["backwards"])(0.8), np.exp(0.8), rtol=1e-6)


def test_a_solver_in_a_checkpoint_and_an_integral_in_an_equation() -> None:
    names = load(
        DECAY
        + """
from minpy import checkpoint
@checkpoint
def f(k):
    return odeint(lambda y, t: -k * y, 1.0, [0.0, 1.0], **TIGHT)[-1, 0]
def g(k):
    return odeint(lambda y, t: -si.quad(lambda u: u * k, 0, 1)[0] * y, 1.0, [0.0, 1.0], **TIGHT)[-1, 0]
"""
    )
    assert np.isclose(minpy.grad(names["f"])(0.8), -np.exp(-0.8), rtol=1e-6)
    assert np.isclose(minpy.grad(names["g"])(0.8), -0.5 * np.exp(-0.4), rtol=1e-6)
