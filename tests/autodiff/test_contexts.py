"""Threads, tasks, generators, memory: derivatives taken at the same time do not mix, and leave nothing behind."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from minpy import (
    checkpoint,
    grad,
    hessian,
    hessian_vector_product,
    jacobian,
    jvp,
    nograd,
    routed,
    value_and_grad,
    vjp,
)
from minpy.runtime import entry
from minpy.runtime.array import Array
from minpy.runtime.record import current_tape

X = np.array([0.5, -1.25, 2.0, 0.75])
V = np.array([1.0, 0.5, -2.0, 0.25])


def program(x):
    y = routed.np.zeros(4)
    y[:] = x * x
    y[1:] += y[:-1] * x[1:]
    return np.sum(np.sin(y))


VERBS = {
    "grad": lambda f, x: grad(f)(x),
    "vjp": lambda f, x: vjp(f, x)[1](1.0)[0],
    "jvp": lambda f, x: jvp(f, (x,), (V,))[1],
    "jacobian forward": lambda f, x: jacobian(f, mode="forward")(x),
    "jacobian reverse": lambda f, x: jacobian(f, mode="reverse")(x),
    "hessian": lambda f, x: hessian(f)(x),
    "hessian_vector_product": lambda f, x: hessian_vector_product(f)(x, V),
    "checkpoint": lambda f, x: grad(checkpoint(f))(x),
}


@pytest.fixture(autouse=True)
def nothing_is_left():
    yield
    assert current_tape() is None and not entry.is_active()


@pytest.mark.parametrize("verb", list(VERBS))
def test_threads(verb: str) -> None:
    expected = [VERBS[verb](program, X * k) for k in range(1, 5)]
    barrier = threading.Barrier(4)

    def slow(x):
        y = x * 1.0
        if threading.current_thread() is not threading.main_thread():
            barrier.wait(timeout=20)  # every thread is inside its function
        y[0] = y[0] * 1.0
        return program(y)

    run = VERBS[verb]
    if verb == "checkpoint":  # runs the function again, when the others may have ended
        slow = program  # type: ignore[assignment]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda k: run(slow, X * k), range(1, 5)))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_one_pullback_in_several_threads() -> None:
    _, pullback = vjp(lambda x: np.sin(x) * x, X)
    rng = np.random.default_rng(0)
    us = [rng.normal(size=4) for _ in range(40)]
    expected = [u * (np.sin(X) + X * np.cos(X)) for u in us]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda u: pullback(u)[0], us))
    np.testing.assert_allclose(found, expected, rtol=1e-13)


@pytest.mark.parametrize("verb", [v for v in VERBS if v != "checkpoint"])
def test_another_thread_computes_plainly_meanwhile(verb: str) -> None:
    inside, go_on = threading.Event(), threading.Event()
    seen: list[Any] = []

    def held(x):
        y = x * 2
        inside.set()
        assert go_on.wait(20)
        return program(y)

    thread = threading.Thread(target=lambda: seen.append(VERBS[verb](held, X)))
    thread.start()
    assert inside.wait(20)
    assert current_tape() is None
    plain = routed.np.zeros(3)
    assert type(plain) is np.ndarray
    plain[0] = float(routed.np.exp(np.zeros(1))[0])
    assert type(routed.np.exp(plain)) is np.ndarray
    inner = grad(lambda x: x**2)(3.0)
    go_on.set()
    thread.join()
    assert inner == 6.0
    np.testing.assert_allclose(seen[0], VERBS[verb](lambda x: program(x * 2), X))


@pytest.mark.parametrize("verb", list(VERBS))
def test_tasks(verb: str) -> None:
    # A verb runs its function to the end, so tasks meet between verbs: inside one, the tape is the task's
    # own.
    async def one(k: int) -> Any:
        results = []
        for _ in range(3):
            await asyncio.sleep(0)
            with nograd():
                results.append(VERBS[verb](program, X * k))
            await asyncio.sleep(0)
        return results

    async def all_of_them() -> Any:
        return await asyncio.gather(*[one(k) for k in range(1, 4)])

    for k, results in enumerate(asyncio.run(all_of_them()), 1):
        for result in results:
            np.testing.assert_allclose(result, VERBS[verb](program, X * k))


def test_a_generator_that_is_left_in_the_middle() -> None:
    def pieces(x):
        for i in range(4):
            yield x[i] ** 2

    def total(x):
        it = pieces(x)
        return next(it) + next(it)  # the rest never runs

    assert grad(total)(X).tolist() == [1.0, -2.5, 0, 0]
    assert jvp(total, (X,), (V,))[1] == 2 * X[0] * V[0] + 2 * X[1] * V[1]

    def gradients():
        for k in range(3):
            yield grad(lambda x, k=k: np.sum(x**k))(X)

    it = gradients()
    next(it)
    assert current_tape() is None
    assert next(it).tolist() == [1, 1, 1, 1]
    # A generator made inside a derivative, used after it.
    kept = []

    def leaks(x):
        kept.append(pieces(x))
        return np.sum(next(kept[0]))

    grad(leaks)(X)
    assert float(next(kept[0])) == X[1] ** 2


def test_a_copied_context_does_not_keep_a_tape_open() -> None:
    contexts = []

    def f(x):
        contexts.append(contextvars.copy_context())
        return np.sum(x * x)

    for verb in VERBS:
        VERBS[verb](f, X)
    for context in contexts:
        assert context.run(current_tape) is None
        assert context.run(lambda: grad(lambda x: x**3)(2.0)) == 12.0


def storages(f: Any) -> tuple[Any, list[weakref.ref]]:
    alive: list[weakref.ref] = []

    def watched(x):
        for _ in range(6):
            x = np.sin(x) * 2.0
            x[0] = x[1] * 0.5
            alive.append(weakref.ref(x.storage))
        return np.sum(x)

    return f(watched), alive


@pytest.mark.parametrize("verb", list(VERBS))
def test_memory_is_freed_when_the_derivative_is_there(verb: str) -> None:
    gc.collect()
    gc.disable()  # nothing may hang in a cycle
    try:
        _, alive = storages(lambda f: VERBS[verb](f, X))
        assert alive and not [r for r in alive if r() is not None]
    finally:
        gc.enable()


def test_forward_mode_keeps_no_history() -> None:
    counts = []

    def long(x):
        alive = []
        for _ in range(30):
            x = np.tanh(x) * 1.1
            x[1:] += x[:-1]
            alive.append(weakref.ref(x.storage))
        counts.append(sum(r() is not None for r in alive))
        return np.sum(x)

    jvp(long, (X,), (V,))
    assert counts == [1]


def test_a_pullback_keeps_what_it_needs_and_no_longer() -> None:
    gc.collect()
    gc.disable()
    try:
        (_, pullback), alive = storages(lambda f: vjp(f, X))
        assert all(r() is not None for r in alive)
        pullback(1.0)
        pullback(1.0)
        del pullback
        assert not [r for r in alive if r() is not None]
    finally:
        gc.enable()


@pytest.mark.parametrize("verb", list(VERBS))
def test_memory_is_freed_after_an_exception(verb: str) -> None:
    alive = []

    def broken(x):
        y = np.sin(x) * 2
        y[0] = 1.0
        alive.append(weakref.ref(y.storage if type(y) is Array else y))
        raise ValueError("own")

    with pytest.raises(ValueError, match="own"):
        VERBS[verb](broken, X)
    gc.collect()
    assert alive and not [r for r in alive if r() is not None]


@pytest.mark.parametrize("verb", list(VERBS))
def test_results_are_plain_and_the_callers_own(verb: str) -> None:
    first = VERBS[verb](program, X)
    assert type(first) is (np.float64 if verb == "jvp" else np.ndarray)
    if type(first) is np.ndarray:
        assert first.flags.writeable and not np.may_share_memory(first, X)
        kept = first.copy()
        first[...] = 0.0
        np.testing.assert_array_equal(VERBS[verb](program, X), kept)


def test_an_identity_shares_nothing_with_its_argument() -> None:
    x, v = X.copy(), V.copy()
    for value, derivative in (
        jvp(lambda a: a, (x,), (v,)),
        (lambda pair: (pair[0], pair[1](v)[0]))(vjp(lambda a: a, x)),
    ):
        assert not np.may_share_memory(derivative, v) and not np.may_share_memory(derivative, x)
        np.testing.assert_array_equal(derivative, V)
        np.testing.assert_array_equal(value, X)
    value, g = value_and_grad(lambda a: a)(x)
    g[...] = 9.0
    assert np.array_equal(x, X)
