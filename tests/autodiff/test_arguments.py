"""What is differentiated: positions, names, keyword arguments, trees of every kind; every kind of callable; errors."""

from __future__ import annotations

import collections
import dataclasses
import functools
import types
from typing import Any, NamedTuple

import numpy as np
import pytest

from minpy import grad, hessian, hessian_vector_product, jacobian, jvp, routed, value_and_grad, vjp
from minpy.autodiff import trees
from minpy.errors import GradientError, TraceError
from minpy.runtime import entry
from minpy.runtime.array import Array
from minpy.runtime.record import current_tape

X = np.array([0.5, -1.25, 2.0])


def f(a, b=2.0, *rest, c=3.0, **others):
    return np.sum(a * a) * b * c + sum(np.sum(r) for r in rest) + others.get("d", 0.0) ** 2


# ----- which argument ---------------------------------------------------------------------------------------


def test_by_position_name_and_keyword() -> None:
    assert grad(f, 0)(X).tolist() == (2 * X * 6).tolist()
    assert grad(f, "a")(X).tolist() == (2 * X * 6).tolist()
    assert grad(f, "a")(a=X).tolist() == (2 * X * 6).tolist()
    assert grad(f, 0)(a=X).tolist() == (2 * X * 6).tolist()
    assert grad(f, 1)(X, 4.0) == np.sum(X * X) * 3
    assert grad(f, 1)(X, b=4.0) == np.sum(X * X) * 3
    assert grad(f, "b")(X, 4.0) == np.sum(X * X) * 3
    assert grad(f, "b")(X) == np.sum(X * X) * 3, "the default is differentiated"
    assert grad(f, "c")(X) == np.sum(X * X) * 2
    assert grad(f, "d")(X, d=5.0) == 10.0
    assert grad(f, 3)(X, 2.0, X, X).tolist() == [1.0, 1.0, 1.0]
    assert grad(f, -1)(X, 2.0, X, 2 * X).tolist() == [1.0, 1.0, 1.0]
    assert grad(f, -1)(X, 2.0) == np.sum(X * X) * 3
    a, c = grad(f, ["a", "c"])(X)
    assert a.tolist() == (2 * X * 6).tolist() and c == np.sum(X * X) * 2
    c, a = grad(f, ("c", 0))(X)
    assert a.tolist() == (2 * X * 6).tolist() and c == np.sum(X * X) * 2
    assert grad(f, np.int64(0))(X).tolist() == (2 * X * 6).tolist()


@pytest.mark.parametrize(
    ("argnum", "call", "message"),
    [
        (2, lambda g: g(X, 2.0), r"f was called with 2 positional arguments, so there is no argument 2"),
        (-3, lambda g: g(X, 2.0), r"no argument -3"),
        (1, lambda g: g(X), r"called with 1 positional argument, so there is no argument 1"),
        ("z", lambda g: g(X), r"argnum 'z': f has no such parameter \(it has a, b, rest, c, others\)"),
        ("rest", lambda g: g(X, 1.0, X), r"\*rest of f is many arguments; say which by position"),
        ("a", lambda g: g(b=1.0), r"the call of f does not give it"),
        ([0, "a"], lambda g: g(X), r"names an argument of f twice"),
        ([0, -1], lambda g: g(X), r"twice"),
        (1.5, None, r"argnum is a position, the name of a parameter"),
        ([], None, r"argnum"),
        (True, None, r"argnum"),
        ([0, None], None, r"argnum"),
    ],
)
def test_arguments_that_are_not_there(argnum: Any, call: Any, message: str) -> None:
    for verb in (grad, value_and_grad, jacobian, hessian, hessian_vector_product):
        with pytest.raises(GradientError, match=message):
            made = verb(f, argnum)
            if verb is hessian_vector_product:
                call(lambda *a, made=made, **k: made(*a, 1.0, **k))
            else:
                call(made)


class Model:
    def __init__(self) -> None:
        self.scale = 3.0

    def loss(self, x, power=2):
        return self.scale * np.sum(x**power)

    def __call__(self, x):
        return self.loss(x)

    @classmethod
    def of_class(cls, x):
        return np.sum(x * x)

    @staticmethod
    def static(x):
        return np.sum(x * x)


def test_every_kind_of_callable() -> None:
    m = Model()
    for fun, factor in (
        (m.loss, 3),
        (m, 3),
        (Model.of_class, 1),
        (Model.static, 1),
        (functools.partial(m.loss, power=2), 3),
        (functools.partial(Model.loss, m), 3),
        (lambda *args: np.sum(args[0] ** 2), 1),
        (lambda x, /: np.sum(x * x), 1),
        (functools.lru_cache(lambda scale: lambda x: scale * np.sum(x * x))(2), 2),
    ):
        np.testing.assert_allclose(grad(fun)(X), 2 * factor * X)
        np.testing.assert_allclose(jvp(fun, (X,), (X,))[1], 2 * factor * X @ X)
        np.testing.assert_allclose(vjp(fun, X)[1](1.0)[0], 2 * factor * X)
        np.testing.assert_allclose(hessian(fun)(X), 2 * factor * np.eye(3))
        np.testing.assert_allclose(hessian_vector_product(fun)(X, X), 2 * factor * X)
    assert grad(m.loss, "power")(X[:1], 2.0) == pytest.approx(3 * 0.25 * np.log(0.5))
    assert grad(np.sin)(0.0) == 1.0 and grad(np.sum)(X).tolist() == [1, 1, 1]


def test_a_name_and_documentation_are_kept() -> None:
    def documented(x):
        """What it does."""
        return x

    documented.attribute = 1
    for verb in (grad, jacobian, hessian, value_and_grad):
        made = verb(documented)
        assert made.__name__ == "documented" and made.__doc__ == "What it does."


# ----- trees ------------------------------------------------------------------------------------------------


class Pair(NamedTuple):
    left: Any
    right: Any


@dataclasses.dataclass
class Layer:
    w: np.ndarray
    b: Any
    name: str = "layer"
    size: int = 3
    tags: list = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        self.made = getattr(self, "made", 0) + 1


@dataclasses.dataclass(frozen=True)
class Frozen:
    w: np.ndarray
    active: bool = True
    hidden: Any = dataclasses.field(default=None, init=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    w: np.ndarray
    label: str


TREES = {
    "list": [X, [X * 2, 3.0]],
    "tuple": (X, (X * 2,), ()),
    "named tuple": Pair(X, Pair(2.0, X * 3)),
    "dict": {"b": X, "a": {"x": 2.0, 3: X}},
    "ordered dict": collections.OrderedDict(z=X, a=X * 2),
    "default dict": collections.defaultdict(list, {"w": X}),
    "counter of floats": collections.Counter({"w": 1.5}),
    "mapping proxy": types.MappingProxyType({"w": X}),
    "dataclass": Layer(X, [X * 2, 1.0]),
    "frozen": Frozen(X),
    "slots": Slotted(X, "s"),
    "none": [X, None, {"k": None}],
    "mixed": {"layers": [Layer(X, 1.0), Layer(X * 3, X)], "pair": Pair((X,), {"deep": [X]})},
}


def total(tree: Any) -> Any:
    result = 0.0
    for i, leaf in enumerate(leaf for leaf in trees.leaves(tree) if isinstance(leaf, (float, np.ndarray))):
        result = result + np.sum(leaf**2) * (i + 1)
    return result


@pytest.mark.parametrize("kind", list(TREES))
def test_trees(kind: str) -> None:
    tree = TREES[kind]
    before = [np.copy(leaf) if isinstance(leaf, np.ndarray) else leaf for leaf in trees.leaves(tree)]
    value, g = value_and_grad(total)(tree)
    assert type(g) is type(tree) and value == total(tree)
    i = 0
    for (path, leaf), (same, part) in zip(trees.walk(tree), trees.walk(g), strict=True):
        assert path == same
        if isinstance(leaf, (float, np.ndarray)):
            i += 1
            np.testing.assert_allclose(part, 2 * i * leaf)
            assert type(part) is (np.ndarray if isinstance(leaf, np.ndarray) else np.float64)
        else:
            assert part is leaf or part == leaf
    # The argument is as it was, and holds no Array.
    for leaf, was in zip(trees.leaves(tree), before, strict=True):
        assert type(leaf) is type(was)
        np.testing.assert_array_equal(leaf, was)
    tangent = jvp(total, (tree,), (g,))[1]
    np.testing.assert_allclose(
        tangent,
        sum(
            np.sum(p * q)
            for p, q in zip(trees.leaves(g), trees.leaves(g), strict=True)
            if isinstance(p, (float, np.ndarray))
        ),
    )
    assert trees.leaves(vjp(total, tree)[1](1.0)[0])[0].tolist() == trees.leaves(g)[0].tolist()
    product = hessian_vector_product(total)(tree, tree)
    np.testing.assert_allclose(trees.leaves(product)[0], 2 * trees.leaves(tree)[0])


def test_what_a_container_is_beside_its_parts_is_kept() -> None:
    g = grad(lambda d: np.sum(d["w"]))(collections.defaultdict(list, {"w": X}))
    assert g.default_factory is list
    assert list(grad(lambda d: np.sum(d["z"]))(collections.OrderedDict(z=X, a=X))) == ["z", "a"]
    layer = Layer(X, 1.0, name="first", tags=["t"])
    g = grad(lambda p: np.sum(p.w) * p.b)(layer)
    assert g.name == "first" and g.size == 3 and g.made == 1 and g.tags == ["t"]
    assert layer.b == 1.0 and g is not layer


def test_trees_of_results() -> None:
    def program(x):
        return {"a": x * 2, "p": Pair(np.sum(x), (x[0], 4)), "layer": Layer(x**2, 1.0)}

    value, tangent = jvp(program, (X,), (np.ones(3),))
    assert type(value["p"]) is Pair and type(value["layer"]) is Layer
    assert tangent["a"].tolist() == [2, 2, 2] and tangent["p"].left == 3.0
    assert tangent["p"].right[1] is None and tangent["layer"].b == 0.0
    value, pullback = vjp(program, X)
    ones = trees.transform(lambda leaf: np.ones(np.shape(leaf)) if not isinstance(leaf, str) else leaf, value)
    (g,) = pullback(ones)
    np.testing.assert_allclose(g, 2 + 1 + np.array([1, 0, 0]) + 2 * X)
    j = jacobian(lambda x: {"y": x * x, "s": [np.sum(x)]})(X)
    np.testing.assert_allclose(j["y"], np.diag(2 * X))
    np.testing.assert_allclose(j["s"][0], np.ones(3))


def test_jacobian_and_hessian_of_trees() -> None:
    def program(p):
        return {"y": p["w"] * p["s"], "t": np.sum(p["w"])}

    for mode in ("forward", "reverse"):
        j = jacobian(program, mode=mode)({"w": X, "s": 2.0})
        np.testing.assert_allclose(j["y"]["w"], 2 * np.eye(3))
        np.testing.assert_allclose(j["y"]["s"], X)
        np.testing.assert_allclose(j["t"]["w"], np.ones(3))
        assert j["t"]["s"] == 0.0
    h = hessian(lambda p: np.sum(p["w"] ** 2) * p["s"])({"w": X, "s": 2.0})
    np.testing.assert_allclose(h["w"]["w"], 4 * np.eye(3))
    np.testing.assert_allclose(h["w"]["s"], 2 * X)
    np.testing.assert_allclose(h["s"]["w"], 2 * X)
    assert h["s"]["s"] == 0.0
    a, b = hessian(lambda x, y: np.sum(x * y), [0, 1])(X, X)
    np.testing.assert_allclose(a[1], np.eye(3))
    np.testing.assert_allclose(b[0], np.eye(3))
    ga, gb = hessian_vector_product(lambda x, y: np.sum(x * y), [0, 1])(X, X, [X, 2 * X])
    np.testing.assert_allclose(ga, 2 * X)
    np.testing.assert_allclose(gb, X)


def test_writes_into_containers_reach_the_caller() -> None:
    def program(p, log):
        p["w"] = p["w"] * 2.0
        p["new"] = np.sum(p["w"])
        p["list"].append(p["w"][0])
        p["buffer"][0] = p["w"][1]
        log.append(p["w"])
        return np.sum(p["w"] ** 2) + p["buffer"][0]

    plain: Any = {"w": X.copy(), "list": [1.0], "buffer": np.zeros(2)}
    program(plain, [])
    for verb in (
        lambda p: grad(lambda p: program(p, []))(p),
        lambda p: vjp(lambda p: program(p, []), p),
        lambda p: jvp(lambda p: program(p, []), (p,), ({"w": X, "list": [0.0], "buffer": np.zeros(2)},)),
    ):
        mine: Any = {"w": X.copy(), "list": [1.0], "buffer": np.zeros(2)}
        kept, buffer = mine["list"], mine["buffer"]
        verb(mine)
        assert mine["list"] is kept and mine["buffer"] is buffer and list(mine) == list(plain)
        for (path, a), (_, b) in zip(trees.walk(mine), trees.walk(plain), strict=True):
            np.testing.assert_array_equal(a, b, err_msg=path)
            assert type(a) is not Array


def test_arguments_that_are_not_differentiated() -> None:
    def program(x, buffer, n, c):
        buffer[:] = x * n  # a traced value into the caller's plain array
        y = np.sum(buffer * x * c)
        c *= 2.0  # changed after it was used
        return y + np.sum(c * x)

    buffer, c = np.zeros(3), np.array([1.0, 2.0, 3.0])
    g = grad(program)(X, buffer, 4, c)
    np.testing.assert_allclose(g, 8 * X * [1, 2, 3] + np.array([2.0, 4.0, 6.0]))
    np.testing.assert_array_equal(buffer, 4 * X)
    np.testing.assert_array_equal(c, [2.0, 4.0, 6.0])
    buffer, c = np.zeros(3), np.array([1.0, 2.0, 3.0])
    tangent = jvp(program, (X, buffer, 4, c), (X, None, None, None))[1]
    np.testing.assert_allclose(tangent, g @ X)
    np.testing.assert_array_equal(buffer, 4 * X)
    np.testing.assert_array_equal(c, [2.0, 4.0, 6.0])


def test_the_argument_that_is_returned_is_the_callers() -> None:
    x, c = X.copy(), X.copy()
    value, g = value_and_grad(lambda x, c: (x, c, np.sum(x)))(x, c)
    assert value[0] is x and value[1] is c
    assert g.tolist() == [2, 2, 2]


def test_arguments_that_share_memory() -> None:
    x = X.copy()
    np.testing.assert_allclose(grad(lambda a, b: np.sum(a * b), [0, 1])(x, x)[0], x)
    np.testing.assert_allclose(grad(lambda a, b: np.sum(a[:2] * b))(x, x[1:]), [x[1], x[2], 0])

    def writes(a, b):
        a[0] = a[1] * 2
        return np.sum(a * b)

    with pytest.raises(GradientError, match=r"share memory.*writes into one"):
        grad(writes)(x, x)
    apart = np.arange(6.0)
    g = grad(writes)(apart[::2], apart[1::2])  # interleaved, but not shared
    np.testing.assert_allclose(g, [0, 2 * 1 + 3, 5])


# ----- errors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (np.arange(3), r"argument 0 of loss has dtype int64; .*Pass x\.astype\(float\)"),
        (np.array([True]), r"dtype bool"),
        (np.array(["a"]), r"dtype <U1"),
        (np.array([object()]), r"dtype object"),
        ("text", r"argument 0 of loss is a str"),
        (True, r"is a bool"),
        (None, r"argument 0 of loss \(NoneType\) holds no floating-point"),
        (object(), r"is a object"),
        ({}, r"holds no floating-point"),
        ({"w": [X, np.arange(2)]}, r"argument 0 of loss\['w'\]\[1\] has dtype int64"),
        (Pair(X, "s"), r"argument 0 of loss\.right is a str"),
        (Layer(np.arange(3), 1), r"holds no floating-point"),
    ],
)
def test_arguments_that_cannot_be_differentiated(argument: Any, message: str) -> None:
    def loss(x):
        raise AssertionError("must not be called")

    for verb in (
        lambda: grad(loss)(argument),
        lambda: vjp(loss, argument),
        lambda: jacobian(loss)(argument),
        lambda: hessian(loss)(argument),
    ):
        with pytest.raises(GradientError, match=message):
            verb()
    assert current_tape() is None and not entry.is_active()


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (lambda x: None, r"returned a NoneType.*Does it return its result"),
        (lambda x: "text", r"returned a str"),
        (lambda x: np.argmax(x), r"returned int64 values.*has_aux"),
        (lambda x: x > 0, r"returned bool values \(shape \(3,\)\)"),
        (lambda x: (n for n in x), r"returned a generator.*list"),
        (lambda x: object(), r"returned a object"),
        (lambda x: (), r"returned a tuple"),
    ],
)
def test_results_that_cannot_be_differentiated(result: Any, message: str) -> None:
    for verb in (
        lambda: grad(result)(X),
        lambda: vjp(result, X),
        lambda: jvp(result, (X,), (X,)),
        lambda: jacobian(result)(X),
    ):
        with pytest.raises(GradientError, match=message):
            verb()
    assert current_tape() is None and not entry.is_active()


def test_a_coroutine_function() -> None:
    async def loss(x):
        return np.sum(x)

    with pytest.warns(RuntimeWarning, match="never awaited"), pytest.raises(GradientError, match="coroutine"):
        grad(loss)(X)
        import gc

        gc.collect()


def test_what_is_no_function() -> None:
    for verb in (lambda: grad(3), lambda: vjp(X, X), lambda: jvp(None, (X,), (X,)), lambda: jacobian(X)(X)):
        with pytest.raises(GradientError, match="a function is differentiated"):
            verb()


def test_tangents_and_cotangents_that_do_not_fit() -> None:
    square = lambda x: x * x
    for tangents, message in (
        (X, "as a tuple or list"),
        ((X, X), "1 primals and 2 tangents"),
        ((X[:2],), r"the tangent of argument 0 of <lambda> has shape \(2,\); it must have the shape \(3,\)"),
        ((X * 1j,), "complex128, but what it belongs to is real"),
        ((X > 0,), "dtype bool"),
        ((np.array(["a", "b", "c"]),), "dtype <U1"),
        (("text",), "dtype <U4"),
        (([[1.0], [1.0, 2.0], 3.0],), "not an array|shape"),
    ):
        with pytest.raises(GradientError, match=message):
            jvp(square, (X,), tangents)
    with pytest.raises(GradientError, match="structures differ"):
        jvp(lambda d: d["a"], ({"a": X},), ({"b": X},))
    with pytest.raises(GradientError, match="as a tuple or list"):
        jvp(square, X, (X,))
    _, pullback = vjp(square, X)
    for cotangent, message in (
        (1.0, r"cotangent given for the result of <lambda> has shape \(\); it must have the shape \(3,\)"),
        (X * 1j, "real"),
        ({"a": X}, "it must be like"),
        ("abc", "dtype"),
    ):
        with pytest.raises(GradientError, match=message):
            pullback(cotangent)
    assert pullback([1, 2, 3])[0].tolist() == (2 * X * [1, 2, 3]).tolist()
    # None holds an argument constant.
    assert jvp(lambda a, n: np.sum(a[:n]), (X, 2), (X, None))[1] == X[0] + X[1]


def test_a_hessian_needs_a_scalar() -> None:
    for verb in (lambda: hessian(lambda x: x * x)(X), lambda: hessian_vector_product(lambda x: x * x)(X, X)):
        with pytest.raises(GradientError, match=r"needs a scalar: <lambda> returned array of shape \(3,\)"):
            verb()
    with pytest.raises(GradientError, match="needs a scalar"):
        hessian(lambda x: (np.sum(x), 1.0))(X)
    with pytest.raises(GradientError, match="mode is"):
        jacobian(np.sin, mode="rev")


def test_a_container_that_holds_itself() -> None:
    loop: Any = [X]
    loop.append(loop)
    with pytest.raises(GradientError, match="holds itself"):
        grad(lambda p: np.sum(p[0]))(loop)


def test_exceptions_of_the_function_are_its_own() -> None:
    class Own(Exception):
        pass

    def broken(x):
        x[0] = 9.0
        np.sin(x)
        raise Own("as it is")

    for verb in (
        lambda x: grad(broken)(x),
        lambda x: vjp(broken, x),
        lambda x: jvp(broken, (x,), (x,)),
        lambda x: jacobian(broken)(x),
        lambda x: hessian(broken)(x),
        lambda x: grad(lambda y: np.sum(grad(broken)(y)))(x),
        lambda x: grad(lambda y: jvp(broken, (y,), (y,))[1])(x),
    ):
        x = X.copy()
        with pytest.raises(Own, match=r"^as it is$"):
            verb(x)
        assert x.tolist() == [9.0, -1.25, 2.0]
        assert current_tape() is None and not entry.is_active()


def test_a_primitive_without_a_rule_says_so_forward() -> None:
    with pytest.raises(TraceError, match=r"random\.beta has no derivative rule.*test_arguments\.py"):
        jvp(lambda x: routed.np.sum(routed.np.random.beta(np.abs(x), 2.0)), (X,), (X,))


def test_a_value_that_would_leave_the_tape_says_so_forward() -> None:
    for cut in (float, lambda x: x.item(), lambda x: np.asarray(x)):
        with pytest.raises(TraceError, match=r"test_arguments\.py"):
            jvp(lambda x, cut=cut: cut(np.sum(x)) * 1.0, (X,), (X,))


def test_a_failing_rule_names_the_forward_line(monkeypatch) -> None:
    from minpy.runtime.primitives import table

    def broken(g, ans, *args, **kwargs):
        raise RuntimeError("inside the rule")

    table.load()
    monkeypatch.setattr(table.by_name["exp"], "vjp", (broken,))
    monkeypatch.setattr(table.by_name["exp"], "bare", None)
    x = X.copy()

    def program(x):
        y = np.exp(x)
        x[0] = 42.0
        return y * x

    with pytest.raises(GradientError, match=r"exp\(\(3,\) float64\).*inside the rule.*test_arguments\.py"):
        jvp(program, (x,), (X,))
    monkeypatch.setattr(table.by_name["exp"], "bare", (broken,))
    with pytest.raises(GradientError, match=r"exp\(\(3,\) float64\).*inside the rule.*test_arguments\.py"):
        jvp(program, (x,), (X,))
    assert current_tape() is None and not entry.is_active()


def test_routed_creation_under_forward_mode() -> None:
    def program(x):
        y = routed.np.zeros_like(x)
        y[:] = x * 2
        z = routed.np.empty(3)
        z.fill(1.0)
        z[1] = y[0]
        return y * z

    np.testing.assert_allclose(jvp(program, (X,), (np.ones(3),))[1], [2, 2 * X[0] * 2 + 2 * X[1] * 2, 2])
