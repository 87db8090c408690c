"""The first operation that makes a NaN or an infinity out of finite operands: what is found, where, and what is not."""

from __future__ import annotations

import builtins
import threading
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import table_driver as driver

import minpy
from minpy.errors import MinPyError, NanError, NanWarning, UsageError
from minpy.options import Options
from minpy.runtime import entry
from minpy.runtime.primitives import table
from minpy.transform import rewriter

OPTIONS = Options(nan_check="raise")
FILE = "the_program.py"
ADVICE = (
    "Keep the operands away from there (np.where on the operand, np.maximum, a small constant), or wrap the "
    'operation in np.errstate(all="ignore") if this is meant [MP032]'
)


@pytest.fixture(autouse=True)
def numpy_is_quiet() -> Iterator[None]:
    """NumPy's own warnings are no matter here; they stay warnings, and ignored ones are not the program's wish."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def program(text: str) -> types.SimpleNamespace:
    """A module's text as the hook loads it under ``--nan-check``."""
    builtins.__minpy__ = minpy.routed  # type: ignore[attr-defined]
    names: dict[str, Any] = {"__name__": "the_program"}
    exec(rewriter.compile_source("import numpy as np\n" + text, FILE, OPTIONS), names)
    return types.SimpleNamespace(**names)


def message(run: Callable[[], Any]) -> str:
    """What the check says of `run`, without the advice at the end."""
    with minpy.nan_check(), pytest.raises(NanError) as caught:
        run()
    text = str(caught.value)
    assert text.endswith(ADVICE)
    return text.removesuffix(ADVICE).rstrip()


def at(line: int, name: str) -> str:
    return f'The operation ran at File "{FILE}", line {line}, in {name}.'


X = np.array([1.0, 0.0, 3.0])


# ----- forward ------------------------------------------------------------------------------------


def test_message() -> None:
    f = program("def f(x, y):\n    z = x - 1\n    return np.sum(x /\n        (y * 2))").f
    x, y = np.array([[1.0, 0.0], [2.0, 5.0]]), np.array([1.0, 0.0])
    assert message(lambda: f(x, y)) == (
        "divide((2, 2) float64, (2,) float64) made 1 NaN and 1 infinity out of finite operands: of 4 elements of the "
        f"result, (2, 2) float64, the first is [0, 1]: nan, of 0.0 and 0.0. {at(4, 'f')}"
    )


def test_same_message_on_a_tape() -> None:
    f = program("def f(x):\n    y = x * 2\n    return np.sum(np.log(y) * y)").f
    plain = message(lambda: f(X))
    assert plain == message(lambda: minpy.grad(f)(X)) == message(lambda: minpy.jvp(f, (X,), (X,)))
    assert plain == (
        "log((3,) float64) made 1 infinity out of finite operands: of 3 elements of the result, (3,) float64, the "
        f"first is [1]: -inf, of 0.0. {at(4, 'f')}"
    )


def test_the_first_of_several_and_the_caller_that_matters() -> None:
    text = """
def half(x):
    return 1 / x

def f(x):
    a = half(x + 1)
    for i in range(3):
        a = a + half(x - i)
    return np.sum(a)
"""
    f = program(text).f
    found = message(lambda: f(np.array([5.0, 2.0])))
    assert at(4, "half") in found
    assert "divide(1, (2,) float64) made 1 infinity" in found and "[1]: inf, of 1 and 0.0" in found


FORWARD = {
    "in place": ("def f(x):\n    a = x - 1\n    a /= a\n    return a", "divide", 4),
    "in place, a long value": (
        "def f(x):\n    a = x - 1\n    a /= np.maximum(a, 0.0) + np.minimum(a, 0.0) * 1.0\n    return a",
        "divide",
        4,
    ),
    "in place, over lines": (
        "def f(x):\n    a = x - 1\n    a /= (a +\n        0.0)\n    return a",
        "divide",
        4,
    ),
    "in place power": ("def f(x):\n    a = x * 1\n    a **= -1\n    return a", "power", 4),
    "a slice in place": ("def f(x):\n    a = x.copy()\n    a[1:] /= a[1]\n    return a", "divide", 4),
    "an element in place": ("def f(x):\n    a = x.copy()\n    a[1] /= a[1]\n    return a", "divide", 4),
    "a mask in place": ("def f(x):\n    a = x.copy()\n    a[a < 2] /= a[1]\n    return a", "divide", 4),
    "an attribute in place": (
        "class C: pass\ndef f(x):\n    c = C()\n    c.a = x.copy()\n    c.a /= c.a[1]\n    return c.a",
        "divide",
        6,
    ),
    "an item of a list in place": (
        "def f(x):\n    a = [x.copy()]\n    a[0] /= x\n    return a[0]",
        "divide",
        4,
    ),
    "out": ("def f(x):\n    a = np.empty(3)\n    np.log(x, out=a)\n    return a", "log", 4),
    "out that is an operand": ("def f(x):\n    a = x.copy()\n    np.log(a, a)\n    return a", "log", 4),
    "ufunc.reduce": ("def f(x):\n    return np.true_divide.reduce(x)", "divide.reduce", 3),
    "ufunc.outer": ("def f(x):\n    return np.divide.outer(x, x)", "divide.outer", 3),
    "ufunc.at": ("def f(x):\n    a = x * 5e307\n    np.add.at(a, [0, 0], 1e308)\n    return a", "add.at", 4),
    "sum": ("def f(x):\n    return np.sum(x * 0 + 1e308)", "sum", 3),
    "method sum": ("def f(x):\n    a = x * 0 + 1e308\n    return a.sum()", "sum", 4),
    "method mean of nothing": ("def f(x):\n    return x[:0].mean()", "mean", 3),
    "method in a chain": ("def f(x):\n    return (x * 1e300).astype(np.float32).sum()", "astype", 3),
    "matmul": ("def f(x):\n    return (x * 1e300) @ (x * 1e300)", "matmul", 3),
    "linalg": ("def f(x):\n    return np.linalg.cond(np.zeros((2, 2)))", "linalg.cond", 3),
    "a store that narrows": (
        "def f(x):\n    a = np.zeros(3, np.float32)\n    a[1:] = 1e300\n    return a",
        "a store",
        4,
    ),
    "copyto that narrows": (
        "def f(x):\n    a = np.zeros(3, np.float32)\n    np.copyto(a, x * 1e300, casting='unsafe')\n    return a",
        "copyto",
        4,
    ),
    "scalars": ("def f(x):\n    return np.max(x) / np.min(x)", "divide", 3),
    "numbers": ("def f(x):\n    big = 1e308\n    return big * 10", "multiply", 4),
    "float32": ("def f(x):\n    return np.exp(np.float32(90) * np.ones(2, np.float32))", "exp", 3),
    "complex": ("def f(x):\n    return np.log(x * 1j)", "log", 3),
    "a function given a function": (
        "def g(row):\n    return np.log(row)\ndef f(x):\n    return np.apply_along_axis(g, 0, x)",
        "log",
        3,
    ),
    "only the element with finite operands": (
        "def f(x):\n    return np.log(np.array([np.nan, -1.0]))",
        "log",
        3,
    ),
}


@pytest.mark.parametrize("name", FORWARD)
def test_found(name: str) -> None:
    """In plain code, and where something is differentiated (then what is written is on a tape)."""
    text, operation, line = FORWARD[name]
    f = program(text).f
    found = message(lambda: f(X))
    assert found.startswith(f"{operation}(") and f'File "{FILE}", line {line}, in ' in found
    assert "out of finite operands" in found
    if name not in ("ufunc.reduce", "linalg"):  # they have no derivative
        assert f'File "{FILE}", line {line}, in ' in message(
            lambda: minpy.grad(lambda x: np.sum(f(x)).real)(X)
        )


def test_integers_do_not_matter() -> None:
    f = program("def f(n):\n    return n // 1 + np.arange(3) ** 2").f
    with minpy.nan_check():
        np.testing.assert_array_equal(f(np.arange(3)), [0, 2, 6])


# ----- what the program asked for -------------------------------------------------------------------

ASKED = {
    "a literal": "return x + np.nan",
    "full": "a = np.full(3, np.inf)\n    a[0] = 1\n    return np.minimum(a, x)",
    "a mask of NaN": "a = np.where(x > 0, x, np.nan)\n    return a[~np.isnan(a)]",
    "stored": "a = x.copy()\n    a[1] = np.nan\n    a[2] = float('inf')\n    return np.nansum(a)",
    "data with gaps": "a = np.array([1.0, np.nan, 3.0])\n    return np.log(a) * a + np.mean(a)",
    "of text": "return np.array(['1', 'nan', 'inf'], dtype=float)",
    "text to numbers": "return np.array(['1', 'nan']).astype(float) + 1",
    "not initialised": "a = np.empty(50)\n    a[:] = x[0]\n    return a + 1",
    "where": "return np.divide(1, x, out=np.zeros(3), where=x != 0)",
    "padded": "return np.pad(x, 1, constant_values=np.nan)",
    "initial": "return np.min(x[:0], initial=np.inf)",
    "interp": "return np.interp([-1.0, 0.5], [0.0, 1.0], [0.0, 1.0], left=np.nan)",
    "put": "a = x.copy()\n    np.put(a, [0], np.nan)\n    np.place(a, a > 2, np.inf)\n    return a",
    "copyto": "a = x.copy()\n    np.copyto(a, np.inf, where=x > 0)\n    return a",
    "masked": "return np.ma.log(x).filled(0.0)",
    "infinity used up": "return np.exp(-np.array([np.inf, 1.0])) + np.arctan(np.inf)",
    "errstate": "with np.errstate(all='ignore'):\n        return np.log(x)",
    "errstate of division": "with np.errstate(divide='ignore'):\n        return 1 / x",
}


@pytest.mark.parametrize("name", ASKED)
def test_not_reported(name: str) -> None:
    text = f"def f(x):\n    {ASKED[name]}"
    expected = program(text).f(X)
    with minpy.nan_check() as check:
        got = program(text).f(X)
    np.testing.assert_array_equal(got, expected)
    assert check.passed == (1 if name.startswith("errstate") else 0)
    if check.passed:
        assert check.first.endswith(f'File "{FILE}", line 4, in f')


def test_other_errstates_are_no_excuse() -> None:
    f = program(
        "def f(x):\n    with np.errstate(under='ignore', divide='ignore'):\n        return (x - 1) / (x - 1)"
    ).f
    assert "made 1 NaN" in message(lambda: f(X))


def test_numpys_own_warnings_stay() -> None:
    f = program("def f(x):\n    return np.log(x)").f
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with minpy.nan_check("warn"):
            f(X)
    assert [w.category for w in seen] == [RuntimeWarning, NanWarning]
    with minpy.nan_check(), np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        f(X)


# ----- backward -------------------------------------------------------------------------------------

TINY = np.array([2.0, 5e-324])


def test_derivative() -> None:
    """The forward run is finite: the error names its line, and says that it was the derivative."""
    f = program("def f(x):\n    y = np.log(x)\n    return np.sum(y)").f
    assert message(lambda: minpy.grad(f)(TINY)) == (
        "the derivative of log((2,) float64) with respect to argument 0 made 1 infinity out of finite operands and a "
        f"finite cotangent: of 2 elements of the result, (2,) float64, the first is [1]: inf, of 5e-324. {at(3, 'f')}"
    )
    assert message(lambda: minpy.jvp(f, (TINY,), (np.ones(2),))) == (
        "the derivative of log((2,) float64) along the tangents made 1 infinity out of finite operands and finite "
        f"tangents: of 2 elements of the result, (2,) float64, the first is [1]: inf, of 5e-324. {at(3, 'f')}"
    )


def test_second_derivative() -> None:
    f = program("def f(x):\n    return np.sum(np.sqrt(x))").f
    x = np.array([1.0, 1e-250])
    with minpy.nan_check():
        assert np.all(np.isfinite(minpy.grad(f)(x)))
    found = message(lambda: minpy.grad(lambda y: np.sum(minpy.grad(f)(y)))(x))
    assert at(3, "f") in found and found.startswith("the derivative of ")
    found = message(lambda: minpy.hessian_vector_product(f)(x, np.ones(2)))
    assert f'File "{FILE}", line 3, in f' in found


BACKWARD = {
    "in a loop": "def f(x):\n    for i in range(3):\n        x = x * 1.0\n    return np.sum(np.log(x))",
    "in place": "def f(x):\n    a = np.zeros(2)\n    a += 1\n    a *= np.log(x)\n    return np.sum(a)",
    "out": "def f(x):\n    a = np.empty(2)\n    b = 1\n    np.log(x, out=a)\n    return np.sum(a)",
}


@pytest.mark.parametrize("name", BACKWARD)
def test_derivative_found(name: str) -> None:
    f = program(BACKWARD[name]).f
    assert message(lambda: minpy.grad(f)(TINY)).startswith("the derivative of log(")
    assert at(5, "f") in message(lambda: minpy.grad(f)(TINY))


def test_derivative_inside_a_checkpoint() -> None:
    names = program("def piece(x):\n    return np.log(x)\ndef f(x, piece):\n    return np.sum(piece(x) * 2)")
    piece = minpy.checkpoint(names.piece)
    for found in (
        message(lambda: minpy.grad(names.f)(TINY, piece)),
        message(lambda: minpy.jvp(lambda x: names.f(x, piece), (TINY,), (np.ones(2),))),
    ):
        assert found.startswith("the derivative of log(") and at(3, "piece") in found


def test_a_rule_of_the_program() -> None:
    @minpy.custom_vjp
    def cube(x):
        return x**3

    cube.def_vjp(lambda x: (cube(x), x), lambda x, g: (g / (x - x),))
    f = program("def f(x, cube):\n    return np.sum(cube(x))").f
    found = message(lambda: minpy.grad(f)(X, cube))
    assert found.startswith("the derivative of cube(") and "argument 0 made 3 infinities out of" in found
    assert at(3, "f") in found


def test_finite_subgradients_are_no_finding() -> None:
    """Rules that divide and then discard are not looked at inside."""
    f = program(
        "def f(x):\n    return np.sum(np.sqrt(x)) + np.linalg.norm(x * 0) + np.sum(np.abs(x) ** 1.5) + np.prod(x)"
    ).f
    with minpy.nan_check():
        assert np.all(np.isfinite(minpy.grad(f)(np.zeros(3))))


def test_arrays_are_restored_after_a_finding() -> None:
    f = program("def f(x, a):\n    a[:] = np.log(x)\n    a *= 2\n    return np.sum(a)").f
    x, a = TINY.copy(), np.zeros(2)
    expected = np.zeros(2)
    f(x, expected)
    message(lambda: minpy.grad(f)(x, a))
    np.testing.assert_array_equal(a, expected)
    np.testing.assert_array_equal(x, TINY)
    assert minpy.grad(f)(np.ones(2), a).tolist() == [2.0, 2.0]


# ----- the check itself -----------------------------------------------------------------------------


def test_warns_once_a_line_and_goes_on() -> None:
    f = program("def f(x):\n    for _ in range(3):\n        y = 1 / x\n    z = np.log(x)\n    return y + z").f
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", NanWarning)
        with minpy.nan_check("warn"):
            got = f(X)
    np.testing.assert_array_equal(got, 1 / X + np.log(X))
    ours = [w for w in seen if w.category is NanWarning]
    assert [(w.filename, w.lineno) for w in ours] == [(FILE, 4), (FILE, 5)]
    assert str(ours[0].message).startswith("divide(1, (3,) float64) made 1 infinity out of finite operands")


def test_off_again() -> None:
    f = program("def f(x):\n    x = x * 1\n    x /= x[1]\n    return x").f
    before = entry.checker, entry.holders
    with minpy.nan_check("warn"), minpy.nan_check(), pytest.raises(NanError):
        f(X)
    assert (entry.checker, entry.holders) == before
    assert not np.isfinite(f(X)[1])


def test_a_tape_that_opens_and_closes_inside() -> None:
    names = program("def f(x):\n    return np.sum(x * x)\ndef g(x):\n    x /= x\n    return x")
    with minpy.nan_check():
        minpy.grad(names.f)(X)
        with pytest.raises(NanError):
            names.g(X.copy())


def test_all_threads() -> None:
    f = program("def f(x):\n    return np.log(x)").f
    seen: list[BaseException] = []

    def work() -> None:
        try:
            f(X)
        except NanError as error:
            seen.append(error)

    with minpy.nan_check():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert len(seen) == 1


def test_the_error() -> None:
    assert (
        issubclass(NanError, MinPyError)
        and issubclass(NanError, ArithmeticError)
        and NanError.code == "MP032"
    )
    with pytest.raises(UsageError, match="unknown nan_check mode 'loud': choose from raise, warn"):
        minpy.nan_check("loud").__enter__()


def test_augmented_assignment_is_in_place_still() -> None:
    """The same object, the same bits (NumPy squares for ``**= 2``), other classes' operators, lists and numbers."""
    text = """
class Mine:
    def __radd__(self, other):
        return "mine"

def f(a, b):
    before, views = a, a[1:]
    a += b
    a **= 2
    a[1:] **= 0.5
    a @= np.eye(3)
    l = [1]
    l += [2, 3] * 1
    l[0] += 1
    n = 1.0
    n += b[0]
    m = a
    m = np.zeros(1) if a is None else m
    o = np.float64(2)
    o -= n
    return a, a is before, views, l, n, o
"""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3)) + 3
    expected = program(text).f(a.copy(), b)
    with minpy.nan_check():
        got = program(text).f(a.copy(), b)
    for left, right in zip(got, expected, strict=True):
        assert type(left) is type(right)
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("family", sorted({p.family for p in table.rows()}))
def test_every_primitive_gives_the_same(family: str) -> None:
    """Bit for bit what NumPy gives, and no exception of ours, over the table's own samples."""
    failures = []
    with minpy.nan_check("warn"), warnings.catch_warnings():
        warnings.simplefilter("ignore", NanWarning)
        for primitive in table.rows():
            if primitive.family == family:
                failures += driver.parity_failures(primitive, "only_numpy")
    assert not failures, "\n".join(failures)
