"""The tape: in-place writes, views, nesting, threads, exceptions; and what the original MinPy got wrong."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref

import numpy as np
import pytest

from minpy import accelerate, grad, grad_and_loss, routed, value_and_grad, vjp
from minpy.autodiff import stop_gradient
from minpy.errors import GradientError, TraceError
from minpy.runtime import direct, entry
from minpy.runtime.array import Array
from minpy.runtime.primitives.table import by_name, load
from minpy.runtime.record import current_tape
from minpy.runtime.tape import Tape

STEP = 1e-6


def differences(f, x: np.ndarray) -> np.ndarray:
    """The gradient of a scalar function by central differences, on copies of `x`."""
    found = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        low, high = x.copy(), x.copy()
        low[i] -= STEP
        high[i] += STEP
        found[i] = (float(f(high)) - float(f(low))) / (2 * STEP)
    return found


def check(f, x: np.ndarray, rtol: float = 1e-6) -> None:
    expected = differences(f, x)
    got = grad(f)(x.copy())
    assert type(got) is np.ndarray and got.dtype == x.dtype and got.shape == x.shape
    np.testing.assert_allclose(got, expected, rtol=rtol, atol=1e-7)


X = np.array([0.5, -1.25, 2.0, 0.75])
M = np.arange(12.0).reshape(3, 4) / 7 - 0.6


# ----- in-place writes --------------------------------------------------------------------------------------


def overwrite_element(x):
    y = x * 2
    y[1] = x[0] * x[2]
    return np.sum(y * y)


def overwrite_constant(x):
    y = x * x
    y[0] = 5.0
    return np.sum(y * x)


def overwrite_argument(x):
    s = np.sum(x * x)
    x[1] = 3.0
    return s + np.sum(x * x * x)


def augmented(x):
    y = x * 1.0
    y += x * x
    y *= x
    y -= 1.0
    y /= 2.0
    y **= 2
    return np.sum(y)


def slice_of_itself(x):
    y = x * 1.0
    y[1:] += y[:-1]
    return np.sum(y * y)


def reversed_into_itself(x):
    y = x * 3.0
    y[:] = y[::-1] * x
    return np.sum(y * np.arange(4.0))


def written_through_a_view(x):
    y = x * 1.0
    v = y[1:3]
    v[0] = x[3] * 2
    v *= x[0]
    return np.sum(y**3)


def view_of_view(x):
    y = routed.np.reshape(x * 1.0, (2, 2))
    row = y.T[1]
    row[...] = row * x[0]
    return np.sum(y * y)


def transposed_block(x):
    y = routed.np.zeros((4, 4))
    y[:2, 1:3].T[...] = routed.np.reshape(x, (2, 2))
    y[2:] = y[:2] * x
    return np.sum(np.sin(y))


def fancy(x):
    y = x * x
    y[np.array([2, 0])] = x[:2] * 5
    y[[3, 3]] = x[1:3]
    return np.sum(y * y)


def masked(x):
    y = x * 1.0
    y[x > 0] *= 3.0
    y[y < 0] = 0.0
    return np.sum(y * x)


def mask_from_a_value(x):
    y = x * 1.0
    y[y > 0.6] = x[0]
    return np.sum(y * y)


def loop_of_writes(x):
    y = routed.np.empty(5)
    y[0] = 1.0
    for i in range(4):
        y[i + 1] = y[i] * x[i]
    return np.sum(y)


def out_argument(x):
    y = routed.np.empty(4)
    np.multiply(x, x, out=y)
    np.add(y, x, out=y[...])
    return np.sum(y * x)


def fill_and_copy(x):
    y = routed.np.empty((2, 4))
    y.fill(2.0)
    z = y.copy()
    z[0] = x
    y[1] = z[0] * x
    return np.sum(y * z)


def swap(x):
    y = x * 1.0
    y[0], y[1] = y[1], y[0]
    return np.sum(y * np.arange(4.0))


def swap_rows(x):
    y = routed.np.reshape(x, (2, 2)) * 1.0
    y[[0, 1]] = y[[1, 0]]
    return np.sum(y[0] * 3 + y[1] ** 2)


def written_then_discarded(x):
    y = x * x
    z = y * 2
    y[:] = 0
    return np.sum(z) + np.sum(y)


def added_at(x):
    y = routed.np.zeros(3)
    np.add.at(y, np.array([0, 2, 2, 0]), x * x)
    return np.sum(y**2)


def in_place_functions(x):
    m = routed.np.zeros((4, 4))
    routed.np.fill_diagonal(m, x)
    routed.np.copyto(m[0], x * x)
    routed.np.put(m, [5, 9], x[:2])
    routed.np.putmask(m, m < 0, x[0])
    return np.sum(m * m)


def strided(x):
    y = routed.np.zeros(8)
    y[::2] = x
    y[1::2] = y[::-2] * x
    y[::-1][:3] *= 2
    return np.sum(y * y)


@pytest.mark.parametrize(
    "f",
    [
        overwrite_element, overwrite_constant, overwrite_argument, augmented, slice_of_itself,
        reversed_into_itself, written_through_a_view, view_of_view, transposed_block, fancy, masked,
        mask_from_a_value, loop_of_writes, out_argument, fill_and_copy, swap, swap_rows,
        written_then_discarded, added_at, in_place_functions, strided,
    ],
)  # fmt: skip
def test_writes(f) -> None:
    check(f, X)


@pytest.mark.parametrize(
    "f", [overwrite_element, augmented, written_through_a_view, loop_of_writes, fancy, strided]
)
def test_second_derivatives_through_writes(f) -> None:
    weights = np.array([0.3, -1.0, 0.7, 0.2])

    def projected(x):
        return np.sum(grad(f)(x) * weights)

    check(projected, X)


def test_a_stencil_in_place() -> None:
    def jacobi(a):
        a = a * 1.0
        for _ in range(3):
            a[1:-1, 1:-1] = 0.25 * (a[:-2, 1:-1] + a[2:, 1:-1] + a[1:-1, :-2] + a[1:-1, 2:]) ** 2
        return np.sum(a * a)

    check(jacobi, np.linspace(0, 1, 20).reshape(4, 5))


def test_overlapping_windows() -> None:
    def windows(x):
        w = np.lib.stride_tricks.sliding_window_view(x * 1.0, 2)
        return np.sum(w[:, 0] * w[:, 1] ** 2) + np.sum(w)

    check(windows, X)


def test_broadcast_views_add_up() -> None:
    check(lambda x: np.sum(np.broadcast_to(x, (3, 4)) * np.arange(12.0).reshape(3, 4)), X)


def test_the_gradient_is_at_entry_and_the_side_effect_is_the_functions() -> None:
    def f(x):
        y = np.sum(x * x)
        x[0] = 100.0
        x *= 2
        return y

    x = X.copy()
    g = grad(f)(x)
    np.testing.assert_array_equal(g, 2 * X)
    np.testing.assert_array_equal(x, [200.0, -2.5, 4.0, 1.5])


def test_arrays_of_the_program_end_as_the_program_left_them() -> None:
    kept = []

    def f(x):
        y = x * 2
        y[0] = 7.0
        y[1:] *= 3
        kept.append(y)
        return np.sum(y)

    grad(f)(X.copy())
    np.testing.assert_array_equal(np.asarray(kept[0]), [7.0, -7.5, 12.0, 4.5])


def test_a_plain_array_from_outside_keeps_its_values() -> None:
    w = np.ones(4)

    def f(x):
        return np.sum(x * w)

    np.testing.assert_array_equal(grad(f)(X), np.ones(4))
    np.testing.assert_array_equal(w, np.ones(4))


def test_a_traced_value_into_a_plain_array_is_an_error_that_names_the_line() -> None:
    outside = np.zeros(4)

    def f(x):
        outside[1] = x[0]  # the line of the error
        return np.sum(outside)

    with pytest.raises(TraceError, match=r"test_tape.py.*line \d+, in f"):
        grad(f)(X)
    np.testing.assert_array_equal(outside, np.zeros(4))


@pytest.mark.parametrize(
    "write",
    [
        lambda out, x: np.copyto(out, x),
        lambda out, x: np.put(out, [0], x[:1]),
        lambda out, x: np.add(x, x, out=out),
        lambda out, x: np.putmask(out, [True] * 4, x),
        lambda out, x: np.place(out, [True] * 4, x),
        lambda out, x: np.add.at(out, [0], x[:1]),
    ],
)
def test_functions_that_write_refuse_plain_arrays(write) -> None:
    out = np.zeros(4)

    def f(x):
        write(out, x)
        return np.sum(x)

    with pytest.raises(TraceError, match=r"test_tape\.py"):
        grad(f)(X)
    np.testing.assert_array_equal(out, np.zeros(4))


# ----- nested lists and scalars -----------------------------------------------------------------------------


def test_array_of_traced_scalars() -> None:
    check(lambda x: np.sum(routed.np.array([x[0] * 2, x[1], 1.0]) ** 2), X)
    check(lambda x: np.sum(routed.np.array([[x[0], 1.0], [x[1] * x[2], x[3]]]) ** 3), X)
    check(lambda x: np.sum(routed.np.asarray([x, x * x]) * 2.0), X)


def test_no_object_arrays() -> None:
    def f(x):
        a = routed.np.array([x[0], x[1]])
        assert a.dtype == np.float64 and a.shape == (2,)
        return np.sum(a)

    grad(f)(X)


def test_python_scalars() -> None:
    g = grad(lambda x: x * x * 3.0)(2.0)
    assert g == 12.0 and isinstance(g, float) and np.ndim(g) == 0
    assert grad(lambda x: x**2)(3) == 6.0


def test_the_readme_of_the_original() -> None:
    def foo(x):
        return np.minimum(x, 0.0) * 2.0 if x < 0 else x * 1.0

    assert grad(foo)(3) == 1.0
    assert grad(foo)(-1) == 2.0


def test_structures() -> None:
    def f(p):
        return np.sum(p["w"] * p["b"][0]) + p["b"][1] ** 2

    g = grad(f)({"w": X, "b": [X * 2, 3.0]})
    np.testing.assert_array_equal(g["w"], X * 2)
    np.testing.assert_array_equal(g["b"][0], X)
    assert g["b"][1] == 6.0


def test_several_arguments_and_results() -> None:
    def f(a, b, c=1.0):
        return np.sum(a * b * c), np.sum(a)

    ga, gb = grad(f, argnum=[0, -1])(X, X * 2)
    np.testing.assert_array_equal(ga, X * 2 + 1)
    np.testing.assert_array_equal(gb, X)
    value, g = value_and_grad(lambda x: np.sum(x * x))(X)
    g2, value2 = grad_and_loss(lambda x: np.sum(x * x))(X)
    assert value == value2 == np.sum(X * X) and not isinstance(value, Array)
    np.testing.assert_array_equal(g, g2)


# ----- nesting ----------------------------------------------------------------------------------------------


def test_nested_gradients() -> None:
    def cube(x):
        return x**3

    assert grad(cube)(2.0) == 12.0
    assert grad(grad(cube))(2.0) == 12.0
    assert grad(grad(grad(cube)))(2.0) == 6.0
    assert grad(grad(grad(grad(cube))))(2.0) == 0.0


def test_the_inner_variable_is_not_the_outer_one() -> None:
    # d/dx of x * d/dy (x + y) = 1: confusing the two gives 2.
    assert grad(lambda x: x * grad(lambda y: x + y)(1.0))(1.0) == 1.0
    assert grad(lambda x: grad(lambda y: x * x * y)(5.0))(3.0) == 6.0


def test_an_inner_gradient_of_unrelated_values_does_not_end_the_outer_one() -> None:
    def f(x):
        unrelated = grad(lambda y: y * y)(4.0)
        return x * x + unrelated

    assert grad(f)(3.0) == 6.0


def test_hessian_of_a_quadratic() -> None:
    a = M[:, :3] @ M[:, :3].T
    rows = [grad(lambda x, i=i: grad(lambda y: np.dot(y, np.dot(a, y)))(x)[i])(X[:3]) for i in range(3)]
    np.testing.assert_allclose(rows, a + a.T, rtol=1e-12)


def test_an_inner_gradient_of_a_written_argument() -> None:
    def inner(y):
        s = np.sum(y**3)
        y[0] = 0.0
        return s

    def f(x):
        y = x * 2.0
        g = grad(inner)(y)
        return np.sum(g * x) + np.sum(y)

    check(f, X)


# ----- threads, tasks, generators ---------------------------------------------------------------------------


def test_threads_do_not_see_each_others_tapes() -> None:
    results: dict[int, np.ndarray] = {}
    ready = threading.Barrier(4)

    def work(i: int) -> None:
        def f(x):
            ready.wait(timeout=20)
            y = routed.np.zeros(4)
            for k in range(4):
                y[k] = x[k] ** 2 * i
            return np.sum(y)

        results[i] = grad(f)(X)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(30)
    for i in range(4):
        np.testing.assert_allclose(results[i], 2 * X * i)
    assert not entry.is_active()


def test_a_thread_without_a_tape_computes_plainly_meanwhile() -> None:
    inside, done, found = threading.Event(), threading.Event(), []

    def other() -> None:
        inside.wait(20)
        found.append(routed.np.zeros(3) + 1)
        done.set()

    thread = threading.Thread(target=other)
    thread.start()

    def f(x):
        inside.set()
        done.wait(20)
        return np.sum(x * x)

    np.testing.assert_array_equal(grad(f)(X), 2 * X)
    thread.join(20)
    assert type(found[0]) is np.ndarray


def test_tasks_do_not_see_each_others_tapes() -> None:
    async def one(scale: float) -> float:
        tape = Tape()
        with tape:
            await asyncio.sleep(0)
            assert current_tape() is tape
            await asyncio.sleep(0)
            assert current_tape() is tape
        return scale

    async def both() -> list:
        return await asyncio.gather(*[one(i) for i in range(5)])

    assert asyncio.run(both()) == [0, 1, 2, 3, 4]
    assert current_tape() is None


def test_generators_inside_the_function() -> None:
    def pieces(x):
        total = x[0] * 0
        for i in range(4):
            total = total + x[i] ** 2
            yield total

    check(lambda x: sum(pieces(x)), X)


# ----- exceptions and memory --------------------------------------------------------------------------------


def test_an_exception_leaves_nothing_open() -> None:
    def f(x):
        x * x
        raise KeyError("mine")

    for _ in range(3):
        with pytest.raises(KeyError, match="mine"):
            grad(f)(X)
        assert current_tape() is None and not entry.is_active()
    np.testing.assert_array_equal(grad(lambda x: np.sum(x * x))(X), 2 * X)


def test_an_exception_inside_an_inner_gradient_leaves_the_outer_one_recording() -> None:
    def broken(y):
        raise ZeroDivisionError

    def f(x):
        try:
            grad(broken)(x)
        except ZeroDivisionError:
            pass
        return np.sum(x * x)

    np.testing.assert_array_equal(grad(f)(X), 2 * X)


def test_a_failing_sweep_restores_the_arrays(monkeypatch) -> None:
    from minpy.runtime.primitives import table

    table.load()

    def broken(g, ans, *args, **kwargs):
        raise RuntimeError("rule")

    monkeypatch.setattr(table.by_name["sort"], "vjp", (broken,))
    x = X.copy()

    def f(x):
        y = np.sort(x)
        x[0] = 42.0
        return np.sum(y * x)

    with pytest.raises(GradientError, match=r"sort.*rule.*test_tape\.py"):
        grad(f)(x)
    np.testing.assert_array_equal(x, [42.0, -1.25, 2.0, 0.75])
    assert current_tape() is None and not entry.is_active()


def test_memory_is_freed_after_the_sweep() -> None:
    alive: list[weakref.ref] = []

    def f(x):
        for _ in range(5):
            x = np.sin(x) * 2
            alive.append(weakref.ref(x))
        return np.sum(x)

    gc.disable()
    try:
        grad(f)(X)
        assert not [r for r in alive if r() is not None]
    finally:
        gc.enable()


def test_memory_is_freed_after_an_exception() -> None:
    alive: list[weakref.ref] = []

    def f(x):
        y = np.sin(x)
        alive.append(weakref.ref(y))
        raise ValueError

    with pytest.raises(ValueError):
        grad(f)(X)
    gc.collect()
    assert alive[0]() is None


def test_the_result_may_be_used_after_the_tape_is_closed() -> None:
    kept = []

    def f(x):
        y = x * 2
        kept.append(y)
        return np.sum(y)

    grad(f)(X)
    later = kept[0] * 3.0
    np.testing.assert_array_equal(np.asarray(later), X * 6)
    kept[0][0] = 9.0
    assert np.asarray(kept[0])[0] == 9.0


# ----- errors instead of wrong numbers ----------------------------------------------------------------------


def test_what_cuts_a_gradient_is_an_error() -> None:
    for cut in (
        float,
        complex,
        np.array,
        lambda x: x.item(),
        lambda x: x.tolist(),
        lambda x: np.ndarray.sum(x),
    ):
        with pytest.raises(TypeError):
            grad(lambda x, cut=cut: cut(x) * 1.0 if cut is not np.array else np.sum(cut(x)))(np.float64(2.0))
    assert grad(lambda x: x * stop_gradient(x))(3.0) == 3.0


def test_integer_arguments_are_refused() -> None:
    with pytest.raises(GradientError, match=r"dtype int64.*astype"):
        grad(lambda x: np.sum(x))(np.arange(3))
    with pytest.raises(GradientError, match="str"):
        grad(lambda x: x)("text")
    with pytest.raises(GradientError, match="no argument 2"):
        grad(lambda x: x, argnum=2)(1.0)
    with pytest.raises(GradientError, match="argnum"):
        grad(lambda x: x, argnum=1.5)


def test_a_primitive_without_a_rule_names_itself_and_the_line() -> None:
    with pytest.raises(TraceError, match=r"random\.beta has no derivative rule.*test_tape\.py"):
        grad(lambda x: routed.np.sum(routed.np.random.beta(np.abs(x), 2.0)))(X)


def test_integer_results_cut_without_an_error() -> None:
    check(lambda x: x[np.argmax(x)] * 2 + np.sum(np.where(x > 0, x, 0)), X)


# ----- what the original got wrong --------------------------------------------------------------------------


def test_gradient_through_concatenate() -> None:
    check(lambda x: np.sum(np.concatenate((x, x * x)) ** 2), X)
    check(lambda x: np.sum(np.concatenate([x[:0], x, x[1:]]) ** 2), X)
    check(lambda x: np.sum(np.stack([x, x * 2], axis=1)[:, 1] ** 2), X)


def test_boolean_masks() -> None:
    check(lambda x: np.sum(x[x > 0.6] ** 2), X)
    np.testing.assert_array_equal(grad(lambda a: np.sum(a[a > 1.5]))(np.array([1.0, 2.0, 3.0])), [0, 1, 1])


def test_keyword_operands_get_their_own_gradient() -> None:
    def f(a, b):
        return np.sum(np.dot(a, b=b)) + np.sum(np.clip(a, a_min=b, a_max=5.0)) * 2

    a, b = np.array([1.0, 4.0]), np.array([3.0, 2.0])
    ga, gb = grad(f, argnum=[0, 1])(a, b)
    np.testing.assert_array_equal(ga, [3.0, 4.0])
    np.testing.assert_array_equal(gb, [3.0, 4.0])


def test_ties_share() -> None:
    np.testing.assert_allclose(grad(lambda x: np.max(x))(np.array([1.0, 3.0, 3.0])), [0, 0.5, 0.5])
    ga, gb = grad(lambda a, b: np.sum(np.maximum(a, b)), argnum=[0, 1])(np.ones(2), np.ones(2))
    np.testing.assert_array_equal(ga, [0.5, 0.5])
    np.testing.assert_array_equal(gb, [0.5, 0.5])


def test_power_at_zero_is_finite() -> None:
    np.testing.assert_array_equal(grad(lambda x: np.sum(x**2))(np.array([0.0, 2.0])), [0.0, 4.0])
    np.testing.assert_array_equal(grad(lambda x: np.sum(x**1))(np.array([0.0, 2.0])), [1.0, 1.0])


def test_an_unused_argument_has_a_zero_of_its_shape() -> None:
    g = grad(lambda a, b: np.sum(b), argnum=0)(M, X)
    assert g.shape == M.shape and g.dtype == M.dtype and not g.any()


def test_an_overwritten_element_gets_no_gradient() -> None:
    def f(b):
        b = b * 1.0
        b[0] = 5.0
        return np.sum(b * b) * 2

    np.testing.assert_array_equal(grad(f)(np.array([5.0, 4.0, 6.0])), [0.0, 16.0, 24.0])


def test_a_branch_on_a_comparison_of_arrays() -> None:
    def f(x):
        if bool((x == x * 1.0).all()) and not bool(np.zeros(1)):
            return np.sum(x)
        return np.sum(x) * 100

    np.testing.assert_array_equal(grad(f)(X), np.ones(4))


def test_a_gradient_scaled_by_two_is_twice_the_gradient() -> None:
    def loss(x):
        p = np.exp(x - np.max(x))
        return -np.log(p[1] / np.sum(p))

    np.testing.assert_allclose(grad(lambda x: 2 * loss(x))(X), 2 * grad(loss)(X), rtol=1e-14)


def test_indexing_with_none_and_ellipsis() -> None:
    check(lambda a: np.sum(a[None, ..., 0] ** 2) + np.sum(a[:, None] * 2) + np.sum(a[...]), M)


def test_negative_axes_and_shapes() -> None:
    check(lambda a: np.sum(np.max(a, axis=-1) * np.sum(a, axis=-1)) + np.sum(np.reshape(a, -1) ** 2), M)
    check(lambda a: np.sum(np.split(a, 2, axis=-1)[1] ** 2) + np.sum(np.append(a, a[0]) ** 2), M)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble"])
def test_the_gradient_has_the_arguments_dtype(dtype: str) -> None:
    g = grad(lambda x: np.sum(np.exp(x) * np.float64(2.0)))(X.astype(dtype))
    assert g.dtype == np.dtype(dtype)
    np.testing.assert_allclose(g.astype(float), 2 * np.exp(X.astype(dtype)).astype(float), rtol=2e-3)


def test_layouts_of_the_argument() -> None:
    for x in (np.asfortranarray(M), M[::-1, ::2], M.T, M[:, :0], np.array(1.5)):
        g = grad(lambda a: np.sum(a * a) + np.sum(np.transpose(a) * 3))(x)
        np.testing.assert_allclose(g, 2 * x + 3)
        assert g.shape == x.shape
    frozen = M.copy()
    frozen.flags.writeable = False
    np.testing.assert_allclose(grad(lambda a: np.sum(a * a))(frozen), 2 * M)


def test_callbacks() -> None:
    check(lambda x: np.sum(routed.np.fromfunction(lambda i, j, s: i * s[0] + j * s[1], (2, 3), s=x)), X)
    check(lambda x: np.sum(np.apply_along_axis(lambda v: v * v[0], 1, np.reshape(x, (2, 2)))), X)


@pytest.mark.mxnet
@pytest.mark.parametrize(
    "f", [overwrite_element, augmented, written_through_a_view, loop_of_writes, fancy, strided, masked]
)
def test_writes_on_the_device(f) -> None:
    from minpy.runtime.policy import create

    with create("prefer_mxnet"):
        g = grad(f)(X.copy())
    np.testing.assert_allclose(g, differences(f, X), rtol=1e-6, atol=1e-7)


def test_ufunc_at_into_a_plain_array_with_a_device_or_idle_operand() -> None:
    """``ufunc.at`` on a plain target takes an `Array` that no tape watches as its contents."""
    with Tape():
        values = routed.np.ones(3)
        target = np.zeros(2)
        np.add.at(target, [0, 1, 0], values)
    np.testing.assert_array_equal(target, [2.0, 1.0])


def test_rules_that_are_said_to_ask_for_shapes_only_do() -> None:
    load()
    rng = np.random.default_rng(0)
    tried = set()
    for name in sorted(direct.SHAPE_ONLY):
        primitive = by_name[name]
        for args, kwargs in primitive.samples(rng, "float64"):
            if kwargs.get("out") is not None or any(k in kwargs for k in ("where", "initial")):
                continue
            try:
                ans = primitive.function(*args, **kwargs)
            except Exception:
                continue  # a sample of NumPy's own errors
            if not isinstance(ans, (np.ndarray, np.generic)) or ans.dtype.kind != "f":
                continue
            g = rng.normal(size=np.shape(ans))
            first = args[0]
            if isinstance(first, (list, tuple)):
                other = type(first)(np.full(np.shape(part), np.nan) for part in first)
            else:
                other = np.full(np.shape(first), np.nan)
            rule = primitive.rule(0)
            right = rule(g, ans, *args, **kwargs)
            blind = rule(g, np.full(np.shape(ans), np.nan), other, *args[1:], **kwargs)
            np.testing.assert_equal(blind, right)
            tried.add(name)
    assert tried == direct.SHAPE_ONLY


@accelerate
def indices_overwritten(x):
    i = np.zeros(3, int)
    i[:] = [0, 1, 2]
    m = np.zeros(4, bool)
    m[1] = True
    y = np.sum(x[i] * np.arange(1.0, 4.0)) + 10 * np.sum(x[m])
    z = np.zeros(4)
    z[i] = x[1:] * 2
    z[m] *= 3.0
    i[:] = 3
    m[:] = True
    return y + np.sum(z * np.arange(4.0))


def test_indices_and_masks_may_be_overwritten() -> None:
    np.testing.assert_array_equal(grad(indices_overwritten)(np.arange(1.0, 5.0)), [1.0, 12.0, 9.0, 4.0])


_IN_THE_COTANGENTS_MEMORY = {
    "reciprocal": lambda x: 1 / x,
    "reciprocal of a float": lambda x: 1.0 / (1 + np.exp(-x)),
    "another number": lambda x: 3 / x,
    "of slices": lambda x: np.tanh(x[..., 1:]) * np.exp(x[..., :-1]) - 1 / x[..., 1:],
    "used twice": lambda x: (lambda e: np.tanh(e) * e + np.exp(-e) + 1 / e)(np.exp(x)),
    "handed on": lambda x: (lambda a: (a + 1) * (a - 2))(-np.tanh(x)) + x,
    "squared": lambda x: (lambda a: a * a)(np.exp(-x) + x),
    "written": lambda x: _written(x),
    "broadcast": lambda x: np.exp(x) * np.ones((2, *np.shape(x))) + np.tanh(x),
}


def _written(x):
    y = np.exp(x)
    y *= np.tanh(y)
    y += 1 / y
    return -y


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
@pytest.mark.parametrize("shape", [(3,), (4, 5), (0, 4)])
@pytest.mark.parametrize("name", _IN_THE_COTANGENTS_MEMORY)
def test_rules_that_work_in_the_cotangents_memory(name, shape, dtype):
    """Short records against those that hold all operands, whose rules make new arrays."""
    rng = np.random.default_rng(6)
    f = accelerate(_IN_THE_COTANGENTS_MEMORY[name])
    x = rng.uniform(0.5, 1.5, shape).astype(dtype)
    if dtype is np.complex128:
        x = x + 0.3j * rng.normal(size=shape)
    given = x.copy()
    found = grad(lambda x: np.sum(f(x)))(x)
    value, back = vjp(f, x)
    (expected,) = back(np.ones_like(value))
    assert found.dtype == dtype and np.array_equal(x, given)
    np.testing.assert_allclose(found, expected, rtol=1e-5 if dtype is np.float32 else 1e-12)


@pytest.mark.parametrize("number", [2.0, np.float64(0.25), np.float32(3.0)])
def test_reciprocals_of_numbers(number):
    found = grad(lambda x: 1 / (1 + np.exp(-x)) + 1.0 / x)(number)
    s = 1 / (1 + np.exp(-number))
    assert type(found) is type(number) or type(number) is float
    assert np.isclose(found, s * (1 - s) - 1 / number**2, rtol=1e-6)
