"""Traced values written into arrays made outside, and what a differentiated function leaves behind."""

from __future__ import annotations

import gc
import re
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from differences import aliasing, load, same

import minpy
from minpy.errors import TraceError
from minpy.runtime import adoption

X = np.array([0.31, -0.72, 1.13, 0.54])
HEAD = """
import collections, dataclasses, functools
import numpy as np

P = np.linspace(0.1, 0.9, 4)
V = P[::-1][1:]
G = np.linspace(-1.0, 1.0, 8).reshape(2, 4)
L = [np.ones(4), P]
D = {"a": np.full(4, 0.3), "n": {"b": [np.zeros(4)]}}
Q = collections.deque([np.ones(4)])
KEPT = ()

@dataclasses.dataclass
class Model:
    w: np.ndarray

class Slotted:
    __slots__ = ("a",)

M, S = Model(np.ones(4)), Slotted()
S.a = np.ones(4)

class C:
    a = np.ones(4)

def enclosed():
    a = np.full(4, 0.2)
    def get(): return a
    def put(v): a[1:] = v[1:]
    return get, put

GET, PUT = enclosed()

"""
BODIES = {
    "a global": "P[:] = x * 2.0\nreturn np.sum(P * P)",
    "read through a view that was there before": "P[1:3] = x[:2]\nreturn np.sum(V ** 2 * x[1:])",
    "written through a view that was there before": "V[0] = x[0] * x[1]\nreturn np.sum(P ** 3) + np.sum(L[1])",
    "a local name and a view with negative steps": "p = P\nq = p[::-2]\np[0] = x[0]\nq *= x[:2]\nreturn np.sum(P ** 2) + np.sum(q * p[::2])",
    "part by part": "for i in range(4):\n    P[i] = np.sin(x[i]) * P[i - 1]\nreturn np.sum(P ** 2)",
    "augmented, by name": "global P\nP *= x\nreturn np.sum(P ** 2) + np.sum(V)",
    "augmented, by name, with a long value": "global P\nP += x * x + np.sin(x) + np.cos(x * x) * 0.25\nreturn np.sum(P ** 2) + np.sum(V)",
    "augmented, an item": "L[0] *= x\nG[1] += x\nreturn np.sum(L[0] ** 2 * G[1])",
    "augmented, a part": "G[:, 1:3] += x[:2]\nP[[0, 0, 2]] += x[:3]\nP[P > 0.5] *= x[0]\nreturn np.sum(G ** 2) + np.sum(P ** 2)",
    "an attribute": "M.w += x\nM.w[0] = x[1]\nS.a[:2] = x[:2]\nC.a *= x\nreturn np.sum(M.w ** 2 * S.a * C.a)",
    "nested containers": "D['n']['b'][0][1:] = x[1:]\nQ[0][0] = x[0]\nreturn np.sum(D['n']['b'][0] ** 2) + np.sum(Q[0] ** 2)",
    "a closure": "PUT(x * x)\nreturn np.sum(GET() * x)",
    "an output": "np.multiply(P, x, out=P)\nnp.sin(x, out=D['a'])\nnp.sum(np.outer(x, x), axis=0, out=L[0])\nreturn np.sum(P ** 2 * D['a'] * L[0])",
    "ufunc.at": "np.add.at(P, [0, 0, 3], x[:3])\nnp.multiply.at(D['a'], [1, 1], x[:2])\nreturn np.sum(P ** 2 * D['a'])",
    "functions that write": "np.copyto(P, x, where=P > 0.3)\nnp.put(D['a'], [1, 2], x[:2])\nnp.fill_diagonal(G, x[2])\nnp.putmask(L[0], L[0] > 0, x)\nreturn np.sum(P ** 2 * D['a'] * L[0]) + np.sum(G ** 2)",
    "methods that write": "P.fill(x[0])\nP.flat[1] = x[1]\nD['a'].put([0, 3], x[:2])\nL[0].flat = x\nP.sort()\nreturn np.sum(P ** 2 * D['a'] * L[0])",
    "swaps": "P[0], P[-1] = P[-1] * x[0], x[1]\nG[[0, 1]] = G[[1, 0]] * x\nreturn np.sum(P ** 2) + np.sum(G ** 3)",
    "a function that gets it": "def g(u, v):\n    w = u\n    u[1:] += v[:-1]\n    return w * v\ny = g(P, x)\nreturn np.sum(P ** 2) + np.sum(y)",
    "a generator": "def g():\n    a = P\n    a[0] = x[0]\n    yield 1.0\n    yield np.sum(a ** 2)\ni = g()\nnext(i)\nP[1] = x[1]\nreturn next(i)",
    "recursion": "def g(n):\n    p = P\n    if n:\n        g(n - 1)\n    p[n] = x[n] * p[n - 1]\n    return p\nreturn np.sum(g(3) ** 2)",
    "an exception in between": "try:\n    P[0] = x[0]\n    raise KeyError(1)\nexcept KeyError:\n    P[1] = P[0] * x[1]\nfinally:\n    P[2] = P[1] * x[2]\nreturn np.sum(P ** 2)",
    "read before it is written": "y = np.sum(P * x)\nz = P * 2.0\nP[:] = x\nreturn y * np.sum(P * z)",
    "written with constants before and after": "P[0] = 2.0\ny = np.sum(P * x)\nP[1:] = x[1:]\nP[2] = 5.0\nreturn y * np.sum(P ** 2)",
    "results left in a global": "global KEPT\nKEPT = x * 2.0, [x[0], np.sum(x)], {'y': x[1:]}\nreturn np.sum(KEPT[0] ** 2)",
    "results left in containers": "L.append(x * x)\nD['new'] = [x[::-1], L[-1][1:]]\nD.setdefault('k', x + 1.0)\nQ.appendleft(np.sin(x))\nreturn np.sum(L[-1])",
    "results left in attributes": "M.loss = np.sum(x)\nM.w = x * 2\nC.last = M.w[1:]\nS.a = (M.w, M.loss)\nf.calls = [x * 3]\nreturn M.loss * np.sum(M.w)",
    "made by the function and left": "a = np.zeros(4)\nL.append(a)\nD['view'] = a[1:]\na[:] = x\nreturn np.sum(a ** 2)",
    "an adopted array is left elsewhere too": "P[:] = x\nD['p'], D['v'] = P, P[1:]\nreturn np.sum(D['v'] ** 2)",
}  # fmt: skip
NAMES = ("P", "V", "G", "L", "D", "Q", "KEPT", "M", "S", "C")


def state(module: dict[str, Any]) -> list[Any]:
    kept = {name: module[name] for name in NAMES}
    kept["Q"] = list(kept["Q"])
    kept["S"] = kept["S"].a
    kept["C"] = [kept["C"].a, getattr(kept["C"], "last", None)]
    return [kept, vars(module["f"]), module["GET"]()]


def modules(body: str) -> tuple[dict[str, Any], Callable[[], dict[str, Any]]]:
    text = HEAD + "def f(x):\n" + "".join(f"    {line}\n" for line in body.splitlines())
    return load(text, "<outside>", True), lambda: load(text, "<outside, plain>", False)


COUNTED = pytest.mark.skipif(
    not adoption.COUNTED, reason="this Python's counts of references prove nothing: such writes are refused"
)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(body, id=name, marks=() if "left" in name and "adopted" not in name else COUNTED)
        for name, body in BODIES.items()
    ],
)
@pytest.mark.parametrize("verb", ["grad", "jvp", "jacobian", "hessian_vector_product"])
def test_gradient_and_state(body: str, verb: str) -> None:
    """The gradient against differences; then every object is where, of which type and as the plain program leaves it."""
    ours, plain = modules(body)
    expected = plain()
    x, y = X.copy(), X.copy()
    expected["f"](y)
    step = 1e-6
    slopes = np.array(
        [(plain()["f"](X + e) - plain()["f"](X - e)) / (2 * step) for e in step * np.eye(4)], dtype=float
    )
    kept = {
        name: id(value) for name, value in ours.items() if name in NAMES and isinstance(value, np.ndarray)
    }
    v = np.cos(X)
    if verb == "jvp":
        np.testing.assert_allclose(minpy.jvp(ours["f"], (x,), (v,))[1], slopes @ v, rtol=1e-6, atol=1e-7)
    elif verb == "hessian_vector_product":
        second = minpy.hessian_vector_product(ours["f"])(x, v)
        g = [minpy.grad(modules(body)[0]["f"])(X + s * v) for s in (1e-5, -1e-5)]
        np.testing.assert_allclose(second, (g[0] - g[1]) / 2e-5, rtol=1e-5, atol=1e-6)
    else:
        np.testing.assert_allclose(getattr(minpy, verb)(ours["f"])(x), slopes, rtol=1e-6, atol=1e-7)
    same(state(ours), state(expected), "state")
    assert aliasing([x, *state(ours)]) == aliasing([y, *state(expected)])
    for name, identity in kept.items():
        assert id(ours[name]) == identity
    # And the second call finds plain arrays.
    assert ours["f"](x) == expected["f"](y)
    same(state(ours), state(expected), "state after a second call")


REFUSED = {
    "an iterator over it": "for i, e in enumerate(P):\n    P[i] = np.cos(e) * x[i]\nreturn np.sum(P)",
    "an operand that waits": "def g():\n    P[:] = x\n    return 1.0\nreturn np.sum(P + g())",
    "another library's object": "m = memoryview(P)\nP[0] = x[0]\nreturn m[0] * np.sum(P)",
    "a function of C that has it": "import operator\nget = functools.partial(operator.getitem, G).__call__\nh = map(P.__getitem__, [0])\nP[0] = x[0]\nreturn np.sum(P) + next(h)",
    "a tuple": "t = (P, 1)\nP[0] = x[0]\nreturn np.sum(P) + t[0][0]",
}  # fmt: skip


@pytest.mark.parametrize("body", REFUSED.values(), ids=list(REFUSED))
def test_what_cannot_be_followed_is_refused(body: str) -> None:
    """With the line and the remedy; nothing was changed by the write itself, and everything is plain."""
    ours, _ = modules(body)
    before = ours["P"].tobytes()
    with pytest.raises(TraceError, match=r'"<outside>", line \d+, in [fg]\. Make the array inside'):
        minpy.grad(ours["f"])(X.copy())
    assert type(ours["P"]) is np.ndarray and ours["P"].tobytes() == before
    assert adoption.session.get() is None


@pytest.mark.parametrize("write", ["y += x", "y[0] = x[0]"])
def test_a_checkpoint_says_what_to_write(write: str) -> None:
    ours, _ = modules(f"y = P.copy()\n{write}\nreturn np.sum(y * x)")
    with pytest.raises(TraceError, match=r"write np\.array\(y\), not y\.copy\(\)"):
        minpy.grad(minpy.checkpoint(ours["f"]))(X.copy())
    told, expected = modules(f"y = np.array(P)\n{write}\nreturn np.sum(y * x)")
    assert minpy.value_and_grad(minpy.checkpoint(told["f"]))(X.copy())[0] == expected()["f"](X.copy())


@pytest.mark.parametrize(
    ("body", "advice"),
    [
        ("return np.sum(np.vectorize(lambda v: v * v)(x))", "np.array([f(v) for v in x])"),
        ("return np.sum(np.r_[x, 1.0])", "write np.concatenate or np.column_stack"),
        ("return np.sum(np.c_[x, x])", "write np.concatenate or np.column_stack"),
        ("return np.polynomial.polynomial.polyval(0.3, x)", "write np.polyval"),
    ],
)
def test_what_makes_plain_arrays_says_what_to_write(body: str, advice: str) -> None:
    ours, _ = modules(body)
    with pytest.raises(TraceError, match=re.escape(advice)):
        minpy.grad(ours["f"])(X.copy())


@COUNTED
def test_an_array_that_another_thread_holds() -> None:
    """Its reference is not found in this thread's calls."""
    ours, _ = modules("P[0] = x[0]\nreturn np.sum(P)")
    ready, done = threading.Event(), threading.Event()

    def hold(array: Any) -> None:
        ready.set()
        done.wait(30)

    thread = threading.Thread(target=hold, args=(ours["P"],))
    thread.start()
    ready.wait(30)
    try:
        with pytest.raises(TraceError, match="Make the array inside"):
            minpy.grad(ours["f"])(X.copy())
    finally:
        done.set()
        thread.join()
    del thread, hold
    gc.collect()
    np.testing.assert_array_equal(minpy.grad(ours["f"])(X.copy()), [1, 0, 0, 0])


@COUNTED
def test_an_error_leaves_plain_state() -> None:
    """What was adopted and what was stored before the error is plain, with the contents of the plain run."""
    ours, plain = modules("P[:] = x * 2.0\nL.append(x * x)\nraise KeyError('mine')")
    theirs = plain()
    for f in (minpy.grad(ours["f"]), theirs["f"]):
        with pytest.raises(KeyError, match="mine"):
            f(X.copy())
    same(state(ours), state(theirs))


@COUNTED
def test_nested_derivatives_give_back_at_the_end() -> None:
    """The inner gradient adopts; the outer one differentiates through what it left."""
    ours, plain = modules("P[:] = x ** 2 * P[0]\nD['s'] = np.sum(P)\nreturn D['s'] * np.sum(x)")
    found = minpy.grad(lambda y: np.sum(minpy.grad(ours["f"])(y) ** 2) + np.sum(ours["P"]))(X.copy())
    theirs = plain()
    theirs["f"](X.copy())
    same(state(ours), state(theirs))

    def outer(y: np.ndarray) -> float:
        module = modules("P[:] = x ** 2 * P[0]\nD['s'] = np.sum(P)\nreturn D['s'] * np.sum(x)")[0]
        return np.sum(minpy.grad(module["f"])(y) ** 2) + np.sum(module["P"])

    expected = [(outer(X + e) - outer(X - e)) / 2e-6 for e in 1e-6 * np.eye(4)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_vjp_keeps_its_own() -> None:
    """What the function left behind is a plain copy: writing into it does not reach the pullback."""
    ours, _ = modules("y = x * x\nL.append(y)\nL.append(y[1:])\nreturn np.sum(y * y)")
    value, pullback = minpy.vjp(ours["f"], X.copy())
    left, part = ours["L"][-2:]
    assert type(left) is np.ndarray and type(part) is np.ndarray and np.shares_memory(left, part)
    left[:] = 0.0
    np.testing.assert_allclose(pullback(1.0)[0], 4 * X**3)
    assert value == np.sum(X * X * (X * X))


def test_arguments_are_given_back_themselves() -> None:
    """An argument that the function stores is the caller's array afterwards, not another one."""
    ours, _ = modules("D['x'] = x\nD['part'] = x[1:]\nreturn np.sum(x)")
    x = X.copy()
    minpy.grad(ours["f"])(x)
    assert ours["D"]["x"] is x and ours["D"]["part"].base is x
    box: deque = deque()
    minpy.hessian_vector_product(lambda y: (box.append(y), np.sum(y * y))[1])(x, x)
    assert type(box[0]) is np.ndarray and np.shares_memory(box[0], x)
