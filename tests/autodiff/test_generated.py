"""Random programs that write in place, under every verb: forward, reverse, differences, and the same side effects."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minpy import checkpoint, grad, hessian_vector_product, jacobian, jvp, routed, vjp

N = 6
SLICES = (
    slice(None),
    slice(1, None),
    slice(None, -1),
    slice(None, None, 2),
    slice(None, None, -1),
    slice(1, 5, 3),
    slice(4, 0, -2),
)
FUNCTIONS = (
    np.sin,
    np.tanh,
    lambda a: a * a,
    lambda a: a / (2 + np.cos(a)),
    lambda a: -a,
    lambda a: a * 1.0,
    lambda a: np.cumsum(a) * 0.3,
)


@st.composite
def steps(draw: Any) -> tuple:
    kind = draw(
        st.sampled_from(
            "make write add scale view fancy mask out swap reduce constant twice copy checkpointed".split()
        )
    )
    number = st.integers(0, 30)
    return kind, draw(number), draw(number), draw(number), draw(number)


def fits(a: Any, b: Any) -> Any:
    """`b` cut or repeated to the length of `a`."""
    n = a.shape[0]
    return b[:n] if b.shape[0] >= n else np.concatenate([b] * (n // b.shape[0] + 1))[:n]


def run(program: list[tuple], x: Any) -> Any:
    """Interpret `program`: a list of arrays that views and writes act upon."""
    arrays = [x, routed.np.zeros(N)]
    arrays[1][:] = x[::-1] * 0.5
    for kind, i, j, k, m in program:
        a, b = arrays[i % len(arrays)], arrays[j % len(arrays)]
        f, part = FUNCTIONS[k % len(FUNCTIONS)], SLICES[m % len(SLICES)]
        if kind == "make":
            arrays.append(f(a) + fits(a, b))
        elif kind == "write":
            target = a[part]
            target[...] = f(fits(target, b))
        elif kind == "add":
            target = a[part]
            if target.shape[0]:
                a[part] += 0.5 * f(fits(target, b))
        elif kind == "scale":
            a *= np.tanh(b[0]) + 0.3
        elif kind == "view":
            view = a[part]
            if view.shape[0] > 1:
                arrays.append(view)
        elif kind == "fancy":
            n = a.shape[0]
            index = [k % n, m % n, (k + m) % n]
            if m % 2:
                a[index] = f(a[::-1][:1])[0] * np.array([1.0, 2.0, 0.5])
            else:
                arrays.append(f(a[index]))
        elif kind == "mask":
            a[a > 0.1 * k] *= np.sin(b[-1])
        elif kind == "out":
            np.multiply(a, fits(a, b), out=a)
        elif kind == "swap":
            a[0], a[-1] = a[-1] * 1.0, a[0] * 0.5
        elif kind == "reduce":
            a[k % a.shape[0]] = np.sum(b * b) * 0.1
        elif kind == "constant":
            a[k % a.shape[0]] = 0.25 * m
        elif kind == "twice":
            np.add.at(a, [0, 0, a.shape[0] - 1], np.tanh(b[:1])[0])
        elif kind == "copy":
            arrays.append(np.copy(a))
        elif kind == "checkpointed":

            def piece(u: Any, v: Any, f: Any = f) -> Any:
                u[:1] *= np.cos(v[0])
                return f(u) * 0.7

            arrays.append(checkpoint(piece)(a, b))
    total = 0.0
    for n, a in enumerate(arrays):
        total = total + np.sum(np.sin(a)) * (n + 1) * 0.3
    return total


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.lists(steps(), min_size=1, max_size=9), st.integers(0, 2**31 - 1))
def test_random_programs(program: list[tuple], seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, v = rng.normal(size=N), rng.normal(size=N)
    f = lambda y: run(program, y)
    plain = x.copy()
    expected = f(plain)
    ours = x.copy()
    g = grad(f)(ours)
    np.testing.assert_array_equal(ours, plain)
    ours = x.copy()
    value, tangent = jvp(f, (ours,), (v,))
    np.testing.assert_array_equal(ours, plain)
    assert value == expected
    scale = 1 + np.max(np.abs(g))
    np.testing.assert_allclose(g @ v, tangent, rtol=1e-9, atol=1e-9 * scale)
    step = 1e-6
    middle = (f(x + step * v) - f(x - step * v)) / (2 * step)
    left, right = (f(x.copy()) - f(x - step * v)) / step, (f(x + step * v) - f(x.copy())) / step
    if abs(left - right) < 1e-3 * scale:  # else a mask changed on the way
        np.testing.assert_allclose(tangent, middle, rtol=1e-4, atol=1e-5 * scale)
    ours = x.copy()
    value, pullback = vjp(f, ours)
    np.testing.assert_array_equal(ours, plain)
    for _ in range(2):
        np.testing.assert_allclose(pullback(1.0)[0], g, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(jacobian(f, mode="forward")(x.copy()), g, rtol=1e-8, atol=1e-9 * scale)
    # Second order: forward over reverse, reverse over reverse, reverse over forward, forward over forward.
    product = hessian_vector_product(f)(x.copy(), v)
    scale = 1 + np.max(np.abs(product))
    close = {"rtol": 1e-7, "atol": 1e-8 * scale}
    np.testing.assert_allclose(grad(lambda y: np.sum(grad(f)(y) * v))(x.copy()), product, **close)
    along = lambda y: jvp(f, (y,), (v,))[1]
    np.testing.assert_allclose(grad(along)(x.copy()), product, **close)
    np.testing.assert_allclose(jvp(along, (x.copy(),), (v,))[1], product @ v, **close)
