"""What random programs brought to light, each in its smallest form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from differences import load

from minpy import grad, jvp
from minpy.errors import TraceError
from minpy.runtime.primitives.table import by_name

X = np.array([0.31, -0.72, 1.13, 0.54])


def function(body: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """``f(x)`` with this body, rewritten and as plain Python."""
    lines = body.strip().splitlines()
    text = "import numpy as np\n\nP = np.linspace(0.1, 0.9, 4)\n\n\ndef f(x):\n" + "".join(
        f"    {line}\n" for line in lines
    )
    return load(text, "<found>", True)["f"], load(text, "<found, plain>", False)["f"]


BODIES = {
    "flat takes a scalar": "a = np.zeros(4)\na.flat = np.sum(x) * 0.5\nreturn np.sum(np.sin(a * x))",
    "flat takes a part of itself": "a = x * 1.0\na.flat = a[1]\nreturn np.sum(np.sin(a) * x)",
    "flat repeats what it is given": "a = np.ones((2, 4))\na.flat = np.sin(x[:3])\nreturn np.sum(a * a)",
    "reduce into an output": "a = np.zeros(2)\nnp.add.reduce(np.outer(x, x[:2]), 0, out=a)\nreturn np.sum(np.sin(a))",
    "a reduced constant overwrites": "a = x * 1.0\nnp.add.reduce(np.ones((2, 4)), 0, out=a)\nreturn np.sum(a * x)",
    "a reduced constant overwrites a part": "a = x * x\nb = np.sum(a ** 2)\nnp.multiply.reduce(np.full((3, 2), 0.5), axis=0, out=a[1:3])\nreturn b + np.sum(a ** 3)",
    "an accumulated constant overwrites": "a = x * x\nb = np.sum(a ** 2)\nnp.add.accumulate(P, out=a)\nreturn b + np.sum(a * x)",
    "the mean of a plain array overwrites": "a = x * x\nb = np.sum(a ** 2)\nQ = np.outer(P, P)\nP.reshape(2, 2).T.mean(axis=0, out=a[:2])\nreturn b + np.sum(a * x)",
    "an outer product of constants overwrites": "a = np.outer(x, x)\nb = np.sum(a ** 2)\nnp.multiply.outer(P, P, out=a)\nreturn b + np.sum(a * x)",
    "a reduction of some elements into an output": "a = np.ones(4)\nm = np.outer(x, x)\nnp.sum(m, axis=0, where=m > 0.1, out=a)\nreturn np.sum(a * x)",
    "multiply.at with repeats": "a = x * 1.0\nnp.multiply.at(a, [0, 0, 3, -1], np.sin(x[::-1]))\nreturn np.sum(a * a)",
    "multiply.at broadcasts": "a = np.outer(x, x)\nnp.multiply.at(a, ([0, 0], [1, 1]), x[2])\nreturn np.sum(np.cos(a))",
    "maximum.at": "a = x * 1.0\nnp.maximum.at(a, [1, 1, 2], x[1:] * 0.9)\nreturn np.sum(np.sin(a))",
    "divide.at of rows": "a = np.outer(x, x)\nnp.divide.at(a, [0, 2, 0], 1.5 + np.cos(x))\nreturn np.sum(np.sin(a))",
    "negative.at": "a = x * x\nnp.negative.at(a, [0, 2])\nreturn np.sum(np.exp(a))",
    "square.at twice": "a = x * 1.0\nnp.square.at(a, [0, 0])\nreturn np.sum(a)",
    "at nowhere": "a = x * x\nnp.multiply.at(a, np.array([], int), np.sin(x[:0]))\nreturn np.sum(a)",
}  # fmt: skip


@pytest.mark.parametrize("body", BODIES.values(), ids=list(BODIES))
def test_gradient_is_right(body: str) -> None:
    """Against differences, in both modes, and with the value that plain Python computes."""
    ours, plain = function(body)
    g = grad(ours)(X.copy())
    step = 1e-6 * np.eye(4)
    expected = [(plain(X + e) - plain(X - e)) / 2e-6 for e in step]
    np.testing.assert_allclose(g, expected, rtol=1e-7, atol=1e-8)
    v = np.cos(X)
    value, tangent = jvp(ours, (X.copy(),), (v,))
    assert value == plain(X.copy())
    np.testing.assert_allclose(tangent, g @ v, rtol=1e-12)


@pytest.mark.parametrize(
    "exponent", ["2", "2.0", "-1", "0.5", "1", "0", "3", "np.float64(2)", "np.int64(2)", "np.array(2.0)"]
)
@pytest.mark.parametrize("statement", ["y = y ** {}", "y **= {}", "y = y[3] ** {}"])
def test_powers_are_rounded_as_the_operator_rounds_them(statement: str, exponent: str) -> None:
    """NumPy squares, takes roots and reciprocals where the exponent is such a number; the ufunc rounds otherwise."""
    ours, plain = function(f"y = np.abs(x) + 0.1\n{statement.format(exponent)}\nreturn y")
    x = np.random.default_rng(0).normal(size=3000)
    if "[3]" in statement:
        for each in x[:60].reshape(-1, 4):
            assert jvp(ours, (each.copy(),), (each,))[0] == plain(each.copy())
    else:
        assert jvp(ours, (x.copy(),), (x,))[0].tobytes() == plain(x.copy()).tobytes()


def test_power_in_place_keeps_numpys_checks() -> None:
    """An integer array does not take a root in place."""
    ours, plain = function("n = np.arange(4)\nn **= 0.5\nreturn np.sum(n * x)")
    with pytest.raises(TypeError) as expected:
        plain(X)
    with pytest.raises(TypeError) as raised:
        grad(ours)(X)
    assert str(raised.value) == str(expected.value)


def test_gradient_of_a_container_is_that_of_its_parts_at_entry() -> None:
    """What the function puts into the container is not what is differentiated."""

    def f(box: dict) -> Any:
        box["a"], box["b"] = box["b"] * 2.0, 0.0
        box["new"] = 1.0
        return np.sum(box["a"] ** 3)

    found = grad(f)({"a": X.copy(), "b": X[::-1].copy()})
    assert list(found) == ["a", "b"]
    np.testing.assert_array_equal(found["a"], np.zeros(4))
    np.testing.assert_allclose(found["b"], 24 * X[::-1] ** 2)
    parts = [X.copy(), X.copy()]
    first, second = grad(lambda part: part.pop().sum() + np.sum(part[0] * 3.0))(parts)
    assert len(parts) == 1
    np.testing.assert_array_equal([first, second], [np.full(4, 3.0), np.ones(4)])


@pytest.mark.parametrize(
    "statement", ["H.a /= 1.5 + ONE", "H.a += 1.0", "L[0] *= np.cos(np.zeros(4))", "P[:] = np.sin(P)"]
)
def test_plain_places_stay_arrays(statement: str) -> None:
    """An augmented assignment to an attribute or an item leaves the array there that was there."""
    text = f"""import numpy as np

class H:
    a = np.ones(4)

L = [np.ones(4)]
P = np.ones(4)
ONE = np.ones(4)

def f(x):
    {statement}
    return np.sum(x * H.a * L[0] * P)
"""
    ours, plain = load(text, "<places>", True), load(text, "<places, plain>", False)
    kept = ours["H"].a, ours["L"][0]
    found = grad(ours["f"])(X.copy())
    plain["f"](X.copy())
    assert ours["H"].a is kept[0] and ours["L"][0] is kept[1]
    for a, b in ((ours["H"].a, plain["H"].a), (ours["L"][0], plain["L"][0]), (ours["P"], plain["P"])):
        assert type(a) is np.ndarray
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(found, plain["H"].a * plain["L"][0] * plain["P"])


def test_at_into_a_plain_array_says_what_to_do() -> None:
    """Where, and what to write instead, if something that cannot be followed holds the array."""
    ours, _ = function("held = iter(P)\nnp.multiply.at(P, [0, 1], x[:2])\nreturn np.sum(P) + next(held)")
    with pytest.raises(
        TraceError, match=r'plain array by multiply\.at, at File "<found>", line 8, in f\. Make the array'
    ):
        grad(ours)(X.copy())


def test_dot_of_a_plain_array() -> None:
    """A method of an array made outside, with an operand that is differentiated; and into an output."""
    ours, plain = function(
        "a = np.zeros(4)\nM.dot(x * x, out=a)\nreturn P.dot(x) * M.dot(np.sin(x)).dot(P) + a.dot(P)"
    )
    for f in (ours, plain):
        f.__globals__["M"] = np.arange(16.0).reshape(4, 4)
    expected = [(plain(X + e) - plain(X - e)) / 2e-6 for e in 1e-6 * np.eye(4)]
    np.testing.assert_allclose(grad(ours)(X.copy()), expected, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize(
    "call",
    [
        "np.add.reduce(m, 0, out=a)",
        "np.sum(m, axis=0, out=a)",
        "m.mean(axis=0, out=a[::-1])",
        "np.multiply.reduce(m, out=a)",
    ],
)
def test_reductions_add_up_in_the_order_of_the_output(call: str) -> None:
    """The last bits of a sum depend on the order, and that on the strides of both arrays."""
    ours, plain = function(
        f"m = np.outer(x, np.sin(x[:500]))[:, ::-1][::-1]\na = np.zeros(500)\n{call}\nreturn a"
    )
    x = np.random.default_rng(2).normal(size=600) + 0.9
    with np.errstate(all="ignore"):
        assert jvp(ours, (x.copy(),), (x,))[0].tobytes() == plain(x.copy()).tobytes()


@pytest.mark.parametrize("name", ["sum", "prod", "mean"])
def test_reduction_by_name_when_its_signature_is_known(name: str) -> None:
    """The row's signature, asked for by another call, moves operands given by name to their positions."""
    ours, plain = function(
        f"a = np.ones(4)\nm = np.outer(x, x)\nnp.{name}(m, axis=0, where=m > -2.0, out=a)\nreturn a"
    )
    by_name[name].signature()
    assert jvp(ours, (X.copy(),), (X,))[0].tobytes() == plain(X.copy()).tobytes()
