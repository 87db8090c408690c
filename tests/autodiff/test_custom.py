"""Functions with rules of their own, constants, and checkpoints."""

from __future__ import annotations

import gc
import math
import random
import weakref
from typing import Any

import numpy as np
import pytest

import minpy
from minpy import (
    accelerate,
    check_grads,
    checkpoint,
    custom_jvp,
    custom_vjp,
    def_jvp,
    def_vjp,
    grad,
    hessian,
    jacobian,
    jvp,
    nograd,
    primitive,
    routed,
    stop_gradient,
    value_and_grad,
    vjp,
)
from minpy.autodiff import defjvp, defvjp
from minpy.errors import GradientError, TraceError
from minpy.runtime import entry
from minpy.runtime.array import Array
from minpy.runtime.record import current_tape

X = np.array([0.5, -1.25, 2.0, 0.75])
V = np.array([1.0, 0.5, -2.0, 0.25])
W = np.array([[1.0, 0.2, -0.3, 0.5], [0.1, 2.0, 0.4, -0.6], [0.7, -0.1, 1.5, 0.3], [-0.2, 0.6, 0.8, 1.2]])


def agree(f: Any, g: Any) -> None:
    """The same values and derivatives of every kind, to third order."""
    along = lambda h: lambda x: jvp(h, (x,), (V,))[1]
    for verb in (
        lambda h: h(X.copy()),
        lambda h: grad(h)(X.copy()),
        lambda h: along(h)(X.copy()),
        lambda h: hessian(h)(X.copy()),
        lambda h: grad(lambda x: np.sum(grad(h)(x) * V))(X.copy()),
        lambda h: grad(along(h))(X.copy()),
        lambda h: along(along(h))(X.copy()),
        lambda h: vjp(h, X.copy())[1](2.0)[0],
        lambda h: jacobian(h, mode="forward")(X.copy()),
        lambda h: grad(lambda x: np.sum(hessian(h)(x) @ V))(X.copy()),
    ):
        np.testing.assert_allclose(verb(f), verb(g), rtol=1e-9, atol=1e-10)


def logsumexp(x):
    return np.log(np.sum(np.exp(x)))


def with_vjp():
    f = primitive(logsumexp)
    def_vjp(f, lambda ans, x: lambda g: g * np.exp(x - ans))
    return f


def with_jvp():
    f = primitive(logsumexp)
    def_jvp(f, lambda t, ans, x: np.sum(t * np.exp(x - ans)))
    return f


def with_both():
    return (
        primitive(logsumexp)
        .def_vjp(lambda ans, x: lambda g: g * np.exp(x - ans))
        .def_jvp(lambda t, ans, x: np.sum(t * np.exp(x - ans)))
    )


def with_custom_vjp():
    f = custom_vjp(logsumexp)

    def forward(x):
        e = np.exp(x)
        return np.log(np.sum(e)), (e, np.sum(e))

    f.defvjp(forward, lambda kept, g: (g * kept[0] / kept[1],))
    return f


def with_custom_jvp():
    @custom_jvp
    def f(x):
        return logsumexp(x)

    f.defjvp(
        lambda primals, tangents: (f(primals[0]), np.sum(tangents[0] * np.exp(primals[0] - f(primals[0]))))
    )
    return f


@pytest.mark.parametrize("make", [with_vjp, with_jvp, with_both, with_custom_vjp, with_custom_jvp])
def test_rules_of_either_kind_serve_both_modes_at_every_order(make) -> None:
    f = make()
    agree(lambda x: f(np.sin(x) * x), lambda x: logsumexp(np.sin(x) * x))
    check_grads(f, (X,), 3)
    assert f.__name__ in ("logsumexp", "f") and f(X) == logsumexp(X)


def test_autograds_names() -> None:
    f, g = primitive(np.sinh), primitive(np.sinh)
    defvjp(f, lambda ans, x: lambda g: g * np.cosh(x))
    defjvp(g, lambda t, ans, x: t * np.cosh(x))
    np.testing.assert_allclose(grad(lambda x: np.sum(f(x) * g(x)))(X), 2 * np.sinh(X) * np.cosh(X))
    h = primitive(lambda a, b: a * b)
    h.defvjp(lambda ans, a, b: lambda g: np.sum(g * a), argnums=(1,))
    assert grad(lambda b: np.sum(h(X, b)))(2.0) == np.sum(X)
    with pytest.raises(GradientError, match=r"no derivative rule for argument 0 .*rules for 1.*test_custom"):
        grad(lambda a: np.sum(h(a, 2.0)))(X)


def test_the_function_runs_on_plain_arrays_and_anything_may_be_in_it() -> None:
    seen = []

    @primitive
    def opaque(x, scale, options=None):
        seen.append((type(x), type(scale)))
        return np.array([math.exp(float(v)) * scale for v in x.tolist()])

    opaque.def_vjp(
        lambda ans, x, scale, options=None: lambda g: g * ans,
        lambda ans, x, scale, options=None: lambda g: np.sum(g * ans) / scale,
    )
    g, h = grad(lambda x, s: np.sum(opaque(x * 1.0, s * 1.0, options={"a": 1}) ** 2), [0, 1])(X, 3.0)
    np.testing.assert_allclose(g, 2 * 9 * np.exp(2 * X))
    np.testing.assert_allclose(h, 2 * 3 * np.sum(np.exp(2 * X)))
    assert seen == [(np.ndarray, np.float64)]
    check_grads(lambda x, s: opaque(x, s), (X, 3.0))


def test_trees_go_through_custom_functions() -> None:
    @primitive
    def blend(p, weights):
        return {"sum": p["a"] * weights[0] + p["b"] * weights[1], "n": 2}

    blend.def_vjp(
        lambda ans, p, weights: lambda g: {"a": g["sum"] * weights[0], "b": g["sum"] * weights[1]},
        lambda ans, p, weights: lambda g: [np.sum(g["sum"] * p["a"]), np.sum(g["sum"] * p["b"])],
    )

    def program(p, w):
        r = blend(p, w)
        assert r["n"] == 2
        return np.sum(r["sum"] ** 2)

    def plain(p, w):
        return np.sum((p["a"] * w[0] + p["b"] * w[1]) ** 2)

    args = ({"a": X, "b": X * X}, [2.0, -1.0])
    for i in (0, 1):
        ours, theirs = grad(program, i)(*args), grad(plain, i)(*args)
        for a, b in zip(minpy.autodiff.trees.leaves(ours), minpy.autodiff.trees.leaves(theirs), strict=True):
            np.testing.assert_allclose(a, b)
    check_grads(program, args)
    # An array that is only in part of a tree differentiated.
    np.testing.assert_allclose(
        grad(lambda a: program({"a": a, "b": X}, [2.0, 1.0]))(X),
        grad(lambda a: plain({"a": a, "b": X}, [2.0, 1.0]))(X),
    )


def test_several_results_and_arguments_that_do_not_count() -> None:
    @custom_vjp
    def split(x, n):
        return x[:n], x[n:]

    def backward(kept, g):
        return np.concatenate([g[0] * 2, g[1] * 3]), None  # on purpose not the derivative

    split.defvjp(lambda x, n: ((x[:n], x[n:]), None), backward)
    a = grad(lambda x: np.sum(split(x, 1)[0]) + np.sum(split(x, n=1)[1]))(X)
    assert a.tolist() == [2, 3, 3, 3]
    assert grad(lambda x: np.sum(split(x, 2)[1]))(X).tolist() == [0, 0, 3, 3]

    constant = custom_vjp(lambda n, x: x * n, nondiff_argnums=(0,))
    constant.defvjp(lambda n, x: (x * n, None), lambda n, kept, g: (g * n * 10,))
    assert grad(lambda x: np.sum(constant(3, x)))(X).tolist() == [30.0] * 4


def test_custom_methods() -> None:
    class Model:
        scale = 2.0

        @primitive
        def square(self, x):
            return self.scale * x * x

    Model.square.def_vjp(None, lambda ans, self, x: lambda g: g * 2 * self.scale * x)
    m = Model()
    np.testing.assert_allclose(grad(lambda x: np.sum(m.square(x)))(X), 4 * X)


def test_gradient_clipping_of_jax() -> None:
    @custom_vjp
    def clip_gradient(low, high, x):
        return x

    clip_gradient.defvjp(lambda lo, hi, x: (x, (lo, hi)), lambda res, g: (None, None, np.clip(g, *res)))
    g = grad(lambda x: np.sum(clip_gradient(-1.0, 1.0, x) ** 3))(X)
    np.testing.assert_allclose(g, np.clip(3 * X**2, -1, 1))


def test_a_custom_function_in_the_midst_of_writes() -> None:
    f = with_vjp()

    def program(x, f=f):
        y = x * 1.0
        y[0] = f(y)
        y[1:] *= f(y[::2])
        return f(y) * np.sum(y)

    agree(program, lambda x: program(x, logsumexp))


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda ans, x: lambda g: g * np.ones(3),
         r"returned a cotangent of argument 0 of shape \(3,\), but it must have the shape \(4,\).*test_custom\.py"),
        (lambda ans, x: lambda g: "text", r"returned a str"),
        (lambda ans, x: lambda g: {"a": 1}, r"the cotangent of argument 0 from the rule of logsumexp"),
        (lambda ans, x: lambda g: 1 / 0, r"derivative of logsumexp.*ZeroDivisionError.*test_custom\.py"),
    ],
)  # fmt: skip
def test_rules_that_are_wrong_say_so(rule: Any, message: str) -> None:
    f = primitive(logsumexp).def_vjp(rule)
    with pytest.raises(GradientError, match=message):
        grad(f)(X)
    assert current_tape() is None and not entry.is_active()


def test_missing_and_misplaced_rules() -> None:
    bare = primitive(np.sin)
    assert bare(0.0) == 0.0
    with pytest.raises(GradientError, match=r"primitive without derivative rules, at .*test_custom"):
        grad(bare)(1.0)
    with pytest.raises(GradientError, match=r"custom_vjp without a rule"):
        grad(custom_vjp(lambda x: x))(1.0)
    with pytest.raises(GradientError, match=r"custom_jvp without a rule"):
        jvp(custom_jvp(lambda x: x), (1.0,), (1.0,))
    with pytest.raises(GradientError, match="def_vjp takes a function made by @primitive"):
        def_vjp(np.sin, lambda ans, x: lambda g: g)
    with pytest.raises(GradientError, match="argnums names 2 arguments, but 1 rules"):
        primitive(np.sin).def_vjp(None, argnums=(0, 1))
    with pytest.raises(GradientError, match="takes a function"):
        primitive(3)
    f = custom_vjp(lambda x: x)
    f.defvjp(lambda x: x, lambda kept, g: (g,))
    with pytest.raises(GradientError, match="must return a pair"):
        grad(lambda x: np.sum(f(x)))(X)
    f.defvjp(lambda x: (x, None), lambda kept, g: g)
    with pytest.raises(GradientError, match="must return a tuple of 1"):
        grad(lambda x: np.sum(f(x)))(X)
    h = custom_jvp(lambda x: x * 2)
    h.defjvp(lambda primals, tangents: tangents[0])
    with pytest.raises(GradientError, match=r"must return a pair \(result, tangent\)"):
        jvp(h, (X,), (X,))
    h.defjvp(lambda primals, tangents: (primals[0], tangents[0][:2]))
    with pytest.raises(GradientError, match=r"shape \(2,\), but it must have the shape \(4,\)"):
        jvp(h, (X,), (X,))


def test_a_primitive_must_not_hide_a_dependence_or_a_write() -> None:
    def program(x):
        hidden = primitive(lambda y: y * x).def_vjp(lambda ans, y: lambda g: g)
        return np.sum(hidden(x * 1.0))

    with pytest.raises(TraceError, match=r"not an argument.*Pass it as an argument"):
        grad(program)(X)

    @primitive
    def writes(x):
        x[0] = 0.0
        return x

    writes.def_vjp(lambda ans, x: lambda g: g)
    with pytest.raises(ValueError, match="read-only"):
        grad(lambda x: np.sum(writes(x * 1.0)))(X)


# ----- constants --------------------------------------------------------------------------------------------


def test_stop_gradient() -> None:
    assert grad(lambda x: x * stop_gradient(x))(3.0) == 3.0
    assert jvp(lambda x: x * stop_gradient(x), (3.0,), (1.0,))[1] == 3.0
    assert grad(lambda x: stop_gradient({"a": [x * 2]})["a"][0] * x)(3.0) == 6.0
    assert hessian(lambda x: np.sum(x * stop_gradient(x)))(X).tolist() == np.zeros((4, 4)).tolist()
    text = object()
    assert stop_gradient(text) is text


def test_nograd_as_context_and_decorator() -> None:
    def program(x, context):
        y = x * x
        with context():
            scale = np.max(np.abs(y)) + np.sum(x)
            y[1] = scale  # written, as a constant
            kept = y[0] * 2
        return np.sum(np.sin(y) * y * scale) + kept

    def expected(x):
        y = x * x
        scale = stop_gradient(np.max(np.abs(y)) + np.sum(x))
        y[1] = scale
        return np.sum(np.sin(y) * y * scale) + stop_gradient(y[0] * 2)

    agree(lambda x: program(x, nograd), expected)

    @nograd
    def measure(x):
        assert float(np.sum(x)) == np.sum(np.asarray(x))
        return np.sum(x)

    assert grad(lambda x: np.sum(x) * measure(x))(X).tolist() == [np.sum(X)] * 4
    assert measure(X) == np.sum(X)
    with nograd():
        assert current_tape() is None and not entry.is_active()


def test_nograd_undoes_what_was_written_in_it() -> None:
    def program(x):
        y = x * 1.0
        z = np.exp(y)
        with nograd():
            y[:] = 7.0
            z *= 2  # the derivative of exp needs the value that this overwrites
            y[0] = x[1]
        return np.sum(z * x) + np.sum(y * x)

    e = np.exp(X)
    np.testing.assert_allclose(grad(program)(X), 2 * e + np.array([X[1], 7, 7, 7]))

    def inner(x):
        return np.sum(grad(program)(x) * V)

    np.testing.assert_allclose(grad(program)(X), vjp(program, X)[1](1.0)[0])
    # What was written under nograd is constant at every order.
    np.testing.assert_allclose(grad(inner)(X), jvp(lambda x: grad(program)(x), (X,), (V,))[1])


def test_a_gradient_inside_nograd_and_nograd_inside_a_gradient() -> None:
    def program(x):
        with nograd():
            g = grad(lambda y: np.sum(y**3))(x)
        assert np.asarray(g).shape == (4,)
        return np.sum(g * x)

    np.testing.assert_allclose(grad(program)(X), 3 * X**2)
    with nograd():
        np.testing.assert_allclose(grad(lambda x: np.sum(x**2))(X), 2 * X)
    context = nograd()
    with context, context:
        pass


def test_nograd_ends_with_an_exception() -> None:
    def program(x):
        try:
            with nograd():
                raise ZeroDivisionError
        except ZeroDivisionError:
            pass
        return np.sum(x * x)

    assert grad(program)(X).tolist() == (2 * X).tolist()


# ----- checkpoints ------------------------------------------------------------------------------------------


def block(a):
    for _ in range(3):
        a = np.tanh(W @ a) + a * a * 0.1
    return a


def same(f):
    return f


def test_a_checkpoint_changes_nothing() -> None:
    agree(lambda x: np.sum(checkpoint(block)(checkpoint(block)(x))), lambda x: np.sum(block(block(x))))
    nested = checkpoint(lambda y: checkpoint(block)(checkpoint(block)(y)))
    agree(lambda x: np.sum(nested(x)), lambda x: np.sum(block(block(x))))
    assert np.array_equal(checkpoint(block)(X), block(X))


def writes_its_argument(c):
    def program(x):
        buffer = x * 1.0

        def step(b):
            b[1:] += b[:-1] * b[1:]
            b[0] *= x[2]  # from the enclosing function
            return np.sum(b * b)

        first = c(step)(buffer)
        second = c(step)(buffer[1:])
        buffer[2] = 0.5
        return first * second + np.sum(buffer**3)

    return program


def writes_from_outside(c):
    def program(x):
        buffer = routed.np.zeros(4)

        def step(i):
            buffer[i] = x[i] * x[(i + 1) % 4] + buffer[i - 1]

        for i in range(4):
            c(step)(i)

        def fill():
            z = routed.np.zeros(4)
            z[1:3] = x[:2] * buffer[2:]
            return z, buffer, z[1:]

        z, b, part = c(fill)()
        part[0] = x[3]  # a view of z
        return np.sum(buffer**2) + np.sum(z * b) + np.sum(part[:2] * x[:2])

    return program


def returns_its_argument(c):
    def program(x):
        y = x * 2.0
        z, view = c(lambda a: (a, a[1:]))(y)
        z *= x
        return np.sum(view**2) + np.sum(y)

    return program


def trees_and_counts(c):
    def program(x):
        out = c(lambda p, n: {"y": p["w"] * n, "n": n, "s": [np.sum(p["w"])]})({"w": x}, 3)
        return np.sum(out["y"] ** 2) * out["n"] + out["s"][0]

    return program


def overwritten_afterwards(c):
    def program(x):
        y = x * x
        z = c(lambda a: np.sin(a) * a)(y)
        y[:] = 0.0
        z[1] = x[0]
        return np.sum(z * x) + np.sum(y)

    return program


def an_inner_derivative(c):
    def program(x):
        return np.sum(c(lambda y: grad(lambda u: np.sum(u**3 * y))(y))(x))

    return program


def an_exception_that_is_caught(c):
    def program(x):
        y = x * 1.0

        def step(b):
            b *= x
            raise KeyError

        try:
            c(step)(y)
        except KeyError:
            pass
        return np.sum(y**2)

    return program


@pytest.mark.parametrize(
    "make",
    [
        writes_its_argument, writes_from_outside, returns_its_argument, trees_and_counts, overwritten_afterwards,
        an_inner_derivative, an_exception_that_is_caught,
    ],
    ids=lambda f: f.__name__,
)  # fmt: skip
def test_checkpointed_programs(make) -> None:
    agree(make(checkpoint), make(same))
    agree(make(lambda f: checkpoint(checkpoint(f))), make(same))
    x, y = X.copy(), X.copy()
    assert np.array_equal(make(checkpoint)(x), make(same)(y))


def test_random_numbers_are_drawn_again() -> None:
    rng, state, own = np.random.default_rng(3), np.random.RandomState(4), random.Random(5)

    def noisy(x, generator):
        scale = (
            routed.np.random.uniform(1, 2) + rng.normal() + state.normal() + own.random() + random.random()
        )
        return np.sum(x**2) * scale * generator.uniform()

    def program(x, c, generator):
        return c(noisy)(x, generator) * c(noisy)(x, generator)

    results = []
    for c in (same, checkpoint):
        np.random.seed(1)
        random.seed(2)
        rng.bit_generator.state = np.random.default_rng(3).bit_generator.state
        state.seed(4)
        own.seed(5)
        generator = np.random.default_rng(6)
        value, g = value_and_grad(lambda x, c=c, generator=generator: program(x, c, generator))(X)
        # The streams go on where the function left them.
        after = (
            np.random.uniform(),
            random.random(),
            rng.normal(),
            state.normal(),
            own.random(),
            generator.uniform(),
        )
        results.append((value, g, after))
    assert results[0][0] == results[1][0] and results[0][2] == results[1][2]
    np.testing.assert_allclose(results[0][1], results[1][1], rtol=1e-14)


def test_a_checkpoint_keeps_no_intermediate_values() -> None:
    alive: list[weakref.ref] = []

    def wide(x):
        y = x
        for _ in range(20):
            y = np.sin(y) * 1.5
            alive.append(weakref.ref(y.window if type(y) is Array else y))
        return y

    counts = []

    def program(x, c):
        alive.clear()
        y = c(wide)(x)
        gc.collect()
        counts.append(sum(r() is not None for r in alive))
        return np.sum(y)

    g = grad(lambda x: program(x, checkpoint))(X)
    h = grad(lambda x: program(x, same))(X)
    np.testing.assert_allclose(g, h)
    assert counts[0] <= 1 and counts[1] == 20


def test_the_depth_of_recomputation_is_what_was_asked_for() -> None:
    calls = []

    def step(x):
        calls.append(1)
        return np.tanh(x)

    grad(lambda x: np.sum(checkpoint(step)(checkpoint(step)(x))))(X)
    assert len(calls) == 4
    calls.clear()
    checkpoint(step)(X)
    jvp(checkpoint(step), (X,), (V,))
    assert len(calls) == 2  # nothing is kept forward: nothing is run again


def test_values_that_leave_a_checkpoint_by_another_way_are_an_error() -> None:
    def keeps(x):
        store = {}

        def step(a):
            store["y"] = np.sin(a)
            return a * 2

        z = checkpoint(step)(x)
        return np.sum(z * store["y"])

    with pytest.raises(
        TraceError, match=r"checkpointed function step .*kept in another place than its result.*Return it"
    ):
        grad(keeps)(X)

    def writes(x):
        store = {}

        def step(a):
            store["y"] = routed.np.zeros(4)
            store["y"][:] = a * a
            return a * 2

        z = checkpoint(step)(x)
        return np.sum(z * store["y"])

    with pytest.raises(GradientError, match=r"step wrote into an array that it keeps in another place"):
        grad(writes)(X)
    assert current_tape() is None and not entry.is_active()


def test_a_function_that_is_not_the_same_the_second_time() -> None:
    count = iter(range(100))

    def step(x):
        return x[: 2 + next(count)] * 2

    with pytest.raises(GradientError, match=r"step is checkpointed and gave another result.*test_custom\.py"):
        grad(lambda x: np.sum(checkpoint(step)(x)))(X)


def test_exceptions_go_through_a_checkpoint() -> None:
    def step(x):
        raise KeyError("own")

    with pytest.raises(KeyError, match="own"):
        grad(lambda x: checkpoint(step)(x))(X)
    assert current_tape() is None and not entry.is_active()


def overwritten_constants(x: Any, again: Any) -> Any:
    """A constant array of the function is read by a piece that runs again, and overwritten afterwards."""
    b = np.zeros(4)
    b[:] = 2.0

    def piece(z: Any) -> Any:
        c = b * 3.0
        return np.sum(z * c) ** 2

    y = again(piece)(x)
    b[:] = 5.0
    b *= 2.0
    b[1:] += b[:-1]
    return y * np.sum(b)


def test_what_a_checkpoint_reads_is_as_it_was() -> None:
    x = np.arange(1.0, 5.0)
    program = accelerate(overwritten_constants)
    np.testing.assert_array_equal(
        grad(lambda x: program(x, checkpoint))(x), grad(lambda x: program(x, same))(x)
    )


def custom_rule_with_a_constant(x: Any) -> Any:
    """The rule of the derivative reads an array of the function, which is overwritten afterwards."""
    b = np.zeros(4)
    b[:] = 2.0

    @custom_vjp
    def scaled(z: Any) -> Any:
        return z * 2.0

    scaled.def_vjp(lambda z: (z * 2.0, None), lambda residual, g: (g * np.sum(b),))
    y = np.sum(scaled(x))
    b[:] = 7.0
    b -= 1.0
    return y


def test_what_a_custom_rule_reads_is_as_it_was() -> None:
    gradient = grad(accelerate(custom_rule_with_a_constant))(np.arange(4.0))
    np.testing.assert_array_equal(gradient, np.full(4, 8.0))


def test_a_cotangent_that_is_asked_for_only_if_it_is_wanted():
    asked = []

    def ask(name, value):
        asked.append(name)
        return value

    @custom_vjp
    def product(x, y):
        return x * y

    product.defvjp(
        lambda x, y: (x * y, (x, y)),
        lambda kept, g: (lambda: ask("x", g * kept[1]), lambda: ask("y", g * kept[0])),
    )
    x, y = np.array([1.0, 2.0]), np.array([3.0, 5.0])
    assert np.array_equal(grad(lambda x: np.sum(product(x, y)))(x), y) and asked == ["x"]
    assert np.array_equal(grad(lambda y: np.sum(product(x, y)))(y), x) and asked == ["x", "y"]
    both = grad(lambda x, y: np.sum(product(x, y)), (0, 1))(x, y)
    assert np.array_equal(both[0], y) and np.array_equal(both[1], x)
    assert np.array_equal(minpy.jvp(lambda x: product(x, y), (x,), (np.ones(2),))[1], y)
    assert np.array_equal(grad(lambda x: np.sum(grad(lambda x: np.sum(product(x, x)))(x)))(x), [2.0, 2.0])


def test_a_cotangent_that_somebody_else_holds_is_copied():
    held = []

    @custom_vjp
    def same(x, y):
        return x + y

    def back(kept, g):
        held.append(np.array([2.0, 3.0]))
        return held[-1], held[-1]

    same.defvjp(lambda x, y: (x + y, None), back)
    x = np.array([1.0, 2.0])

    def f(x, y):
        return np.sum(same(x, y)) + np.sum(3 * x)

    first, second = grad(f, (0, 1))(x, x.copy())
    assert np.array_equal(first, [5.0, 6.0]) and np.array_equal(second, [2.0, 3.0])
    assert np.array_equal(held[0], [2.0, 3.0])
    second += 1
    assert np.array_equal(held[0], [2.0, 3.0])
