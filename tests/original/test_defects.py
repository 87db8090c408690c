"""Every known defect of the original, by what it got wrong: here it is right.

Under all policies, for many were defects of its MXNet side. Those that tests elsewhere have already are in the table of
docs/original.md with these.
"""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy
import numpy.testing as testing
import pytest

import minpy
import minpy.numpy as np
from minpy.core import grad, grad_and_loss
from minpy.errors import PolicyError
from minpy.nn import layers
from minpy.nn.io import NDArrayIter
from minpy.nn.model import ModelBase
from minpy.nn.solver import Solver
from minpy.runtime import entry
from minpy.runtime.record import current_tape

mxnet = pytest.mark.mxnet
A = numpy.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])


@pytest.fixture(autouse=True, params=["auto", "only_numpy", pytest.param("prefer_mxnet", marks=mxnet)])
def everywhere(request):
    minpy.set_global_policy(request.param)
    yield
    assert type(minpy.get_global_policy()).name == request.param
    minpy.set_global_policy("auto")
    assert not entry.is_active() and current_tape() is None


def same(found, expected):
    testing.assert_allclose(
        found.asnumpy() if hasattr(found, "asnumpy") else found, expected, rtol=1e-6, atol=1e-9
    )


# ----- gradients that were wrong, without an error


def test_second_derivatives():
    """grad(grad(f)) was 0; an inner grad ended the outer tape. (#155, #165)"""
    assert grad(grad(lambda x: x**3))(2.0) == pytest.approx(12.0)
    assert grad(grad(grad(lambda x: np.tanh(x))))(0.5) == pytest.approx(-0.56524, abs=1e-4)
    same(grad(lambda x: np.sum(grad(lambda y: np.sum(y**3))(x)))(A), 6 * A)
    assert grad(lambda x: x * x + grad(lambda y: 3 * y)(x) * x)(2.0) == pytest.approx(7.0)


def test_concatenate_and_stack():
    """The gradient through them was 0. (#154)"""
    for join in (np.concatenate, np.stack, np.vstack, np.hstack):
        same(grad(lambda x, join=join: np.sum(join([x, 2 * x]) ** 2))(A), 10 * A)
        same(grad(lambda x, join=join: np.sum(join((x, x)) * 2))(A), numpy.full(A.shape, 4.0))
    same(grad(lambda x: np.sum(np.append(x, x) ** 2))(A), 4 * A)


def test_writes_into_arrays():
    """After b[0] = 5 in the function the gradient was [20, 16, 24], not [0, 16, 24]."""

    def f(a):
        b = a * 2
        b[0] = 5
        return np.sum(b**2)

    same(grad(f)(np.array([1.0, 2.0, 3.0])), [0.0, 16.0, 24.0])


def test_keyword_arguments_of_custom_operators():
    """A gradient by keyword was added to the positional argument: [5, 5] and 0, not [3, 3] and [2, 2]."""

    @minpy.primitive.customop("numpy")
    def op(a, b=None):
        return 3 * a + 2 * b

    op.def_grad(lambda ans, a, b=None: lambda g: 3 * g)
    op.def_grad_kw(lambda ans, a, b=None: lambda g: 2 * g, "b")
    one, two = grad(lambda a, b: np.sum(op(a, b=b)), [0, 1])(numpy.ones(2), numpy.ones(2))
    same(one, [3.0, 3.0])
    same(two, [2.0, 2.0])


def test_ties():
    """maximum gave the whole gradient to both, max to every tied element: what flows in was multiplied."""
    one, two = grad(lambda a, b: np.sum(np.maximum(a, b)), [0, 1])(numpy.ones(2), numpy.ones(2))
    same(one + two, [1.0, 1.0])
    same(np.sum(grad(lambda x: np.max(x))(numpy.array([3.0, 3.0, 1.0]))), 1.0)


def test_powers_at_zero():
    """The gradient of x**2 at 0 was nan under only_numpy."""
    assert grad(lambda x: x**2)(0.0) == 0.0
    same(grad(lambda x: np.sum(x**2))(numpy.zeros(3)), numpy.zeros(3))
    same(grad(lambda x: np.sum(x**1))(numpy.zeros(3)), numpy.ones(3))


def test_softmax_loss_and_what_comes_from_above():
    """2 * loss had the gradient of loss."""
    label = numpy.array([0, 2])
    once, twice = (grad(lambda x, k=k: k * layers.softmax_loss(x, label))(A) for k in (1, 2))
    same(twice, 2 * numpy.asarray(once))


def test_unused_arguments():
    """Their gradient was the number 0.0, whatever their shape. (#120, #122)"""
    found = grad(lambda x, y: np.sum(y), [0, 1])(A, numpy.ones(3))
    assert found[0].shape == A.shape and not numpy.any(numpy.asarray(found[0]))


def test_what_does_not_flow_is_an_error_and_not_zero():
    """Through asnumpy() and out of the functions of the namespace the gradient was 0, without a word."""
    same(grad(lambda x: np.sum(x * x.asnumpy()))(A), A)  # it says that it copies
    with pytest.raises(minpy.errors.TraceError, match=r"test_defects\.py"):
        grad(lambda x: np.sum(numpy.array(x.tolist())))(A)


# ----- values that were wrong, without an error


def test_masks_are_masks():
    """Boolean masks were taken as the indices 0 and 1."""
    a = np.array([1.0, 2.0, 3.0])
    same(a[a > 1.5], [2.0, 3.0])
    same(grad(lambda a: np.sum(a[a > 1.5] ** 2))(numpy.array([1.0, 2.0, 3.0])), [0.0, 4.0, 6.0])


def test_truth_values():
    """bool(zeros) was True; `if a == b` was always so."""
    assert not np.zeros(1) and not (np.ones(1) == np.zeros(1))
    with pytest.raises(ValueError, match="ambiguous"):
        bool(np.zeros(3))


def test_numpy_itself_takes_the_arrays():
    """numpy.sum gave the array back, numpy.asarray an object."""
    a = np.exp(np.zeros((2, 3)))
    assert numpy.sum(a) == 6.0 and numpy.asarray(a).dtype == "f8" and numpy.asarray(a).shape == (2, 3)


def test_integers_stay_integers():
    """They became float32, and beyond 2**24 other numbers."""
    big = np.array([2**24 + 1, 2**53 + 1])
    assert big.dtype == "i8" and (big + 0).tolist() == [16777217, 9007199254740993]
    assert np.argmax(A, axis=1).dtype == "i8" and (np.ones(2) > 0).dtype == bool
    assert np.zeros(2).dtype == np.random.rand(2).dtype == np.eye(2).dtype == "f8"


def test_dtypes_are_numpys():
    """A dtype was a class for some arrays and a dtype for others; shapes held long; / divided integers on Python 2."""
    assert isinstance(np.ones(2).dtype, numpy.dtype) and np.shape(A) == (2, 3)
    assert all(type(n) is int for n in np.ones((2, 3)).shape)
    same(np.array([1, 2, 3]) / 2, [0.5, 1.0, 1.5])
    assert np.ones(3, dtype="f4").dtype == "f4" and (np.ones(3, dtype="f4") * 2).dtype == "f4"
    assert grad(lambda x: np.sum(x))(numpy.ones(2, "f4")).dtype == "f4"


def test_views_are_views():
    """b = a[0]; b[0] = 9 changed what a showed, and not what it computed with."""
    a = np.zeros((2, 3))
    b = a[0]
    b[0] = 9
    assert a.asnumpy()[0, 0] == 9 and np.sum(a) == 9
    c = a
    c += 1
    assert np.sum(a) == 15


def test_products_of_many_axes():
    """dot summed over the first axis of its second operand."""
    left, right = numpy.random.RandomState(0).rand(2, 4), numpy.random.RandomState(1).rand(3, 4, 5)
    same(np.dot(left, right), numpy.dot(left, right))
    with pytest.raises(ValueError, match="not aligned"):
        np.dot(left, numpy.ones((4, 3, 5)))
    assert grad(lambda a, b: np.dot(a, b), [0, 1])(numpy.ones(3), 2 * numpy.ones(3))[0].tolist() == [2, 2, 2]


# ----- states that leaked


def test_an_exception_leaves_nothing_behind():
    """A tape went on recording; wrap_policy left its policy in force."""

    def fails(x):
        np.exp(x)
        raise KeyError("mine")

    before = minpy.get_global_policy()
    with pytest.raises(KeyError):
        grad(fails)(1.0)
    assert current_tape() is None
    with pytest.raises(KeyError):
        minpy.wrap_policy("only_numpy")(fails)(1.0)
    assert minpy.get_global_policy() is before and minpy.runtime.policy.current_policy() is before
    assert grad(lambda x: x**2)(3.0) == 6.0


def test_policies_are_context_managers_and_at_the_root():
    """The manual says so; the classes were not at the root, and had no __enter__."""
    before = minpy.runtime.policy.current_policy()
    with minpy.OnlyNumPyPolicy() as entered:
        assert minpy.runtime.policy.current_policy() is entered
        same(np.ones(2) + 1, [2.0, 2.0])
    assert minpy.runtime.policy.current_policy() is before
    for name in ("PreferMXNetPolicy", "OnlyMXNetPolicy", "AutoBlacklistPolicy", "BlacklistPolicy"):
        assert issubclass(getattr(minpy, name), minpy.Policy)


@mxnet
def test_only_mxnet_after_another_policy():
    """Functions that NumPy alone has stayed callable."""
    with minpy.OnlyMXNetPolicy(), pytest.raises(PolicyError, match="only_mxnet"):
        np.logaddexp(np.ones(2), np.ones(2))


@mxnet
def test_blacklists_can_be_the_global_policy():
    """NotImplementedError: attributes were bound by asking a policy that had no answer."""
    before = minpy.get_global_policy()
    minpy.set_global_policy(minpy.AutoBlacklistPolicy(gen_rule=True, append_rule=False))
    try:
        same(np.exp(np.zeros(3)), numpy.ones(3))
    finally:
        minpy.set_global_policy(before)


# ----- errors where there is an answer


def test_argmax_of_all():
    """It ended the process (SIGABRT)."""
    assert np.argmax(A) == 5 and np.argmin(A) == 0


INDICES = [
    (None,), (Ellipsis, 0), (slice(None), None), (slice(None, None, -1),), (numpy.array([1, 0]),), (0, slice(1, None)),
    (slice(None), [2, 0]), (-1, -1),
]  # fmt: skip


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_indices(index):
    """a[None], a[..., 0] and a[:, None] were AttributeErrors."""
    same(np.array(A)[index], A[index])
    expected = numpy.zeros_like(A)
    numpy.add.at(expected, index, 2 * A[index])
    same(grad(lambda x: np.sum(x[index] ** 2))(A), expected)


CALLS = {
    "reshape": lambda np, a: np.reshape(a, -1),
    "pad": lambda np, a: np.pad(a, ((1, 0), (0, 2)), "constant"),
    "split": lambda np, a: np.split(a, 3, axis=1)[1],
    "clip": lambda np, a: np.clip(a, 2, 5),
    "transpose": lambda np, a: np.transpose(a, (1, 0)),
    "the method transpose": lambda np, a: a.transpose(),
    "sum": lambda np, a: np.sum(a, axis=-1, keepdims=True),
    "max": lambda np, a: np.max(a, axis=-1),
    "mean": lambda np, a: np.mean(a, axis=0),
    "var": lambda np, a: np.var(a),
    "std": lambda np, a: np.std(a, axis=1),
    "square": lambda np, a: np.square(a),
    "arctan": lambda np, a: np.arctan(a),
    "log1p": lambda np, a: np.log1p(a),
    "where": lambda np, a: np.where(a > 2, a, 3 * a),
    "tile": lambda np, a: np.tile(a, (2, 1)),
    "repeat": lambda np, a: np.repeat(a, 2, axis=0),
    "take": lambda np, a: np.take(a, [0, 2], axis=1),
    "einsum": lambda np, a: np.einsum("ij,kj->ik", a, a),
    "prod": lambda np, a: np.prod(a, axis=1),
    "cumsum": lambda np, a: np.cumsum(a),
    "swapaxes": lambda np, a: np.swapaxes(a, 0, 1),
    "broadcast_to": lambda np, a: np.broadcast_to(a[0], (4, 3)),
    "append": lambda np, a: np.append(a, a),
    "mod": lambda np, a: np.mod(a, 2.5),
    "minimum": lambda np, a: np.minimum(a, 2.5),
    "sinh": lambda np, a: np.sinh(a),
    "unary plus": lambda np, a: +a,
    "floor division": lambda np, a: a // 2 + a,
    "matmul": lambda np, a: a @ a.T,
    "2 ** a": lambda np, a: 2**a,
    "astype": lambda np, a: a.astype("f8") * 2,
    "methods": lambda np, a: a.sum(axis=0) + a.mean() + a.min() * a.max(),
    "flatten": lambda np, a: a.flatten() * a.ravel(),
    "copy": lambda np, a: a.copy() * 2,
    "expand_dims": lambda np, a: np.expand_dims(a, 1) * a[0],
    "(1, 3) + (3,)": lambda np, a: a[:1] + a[0],
    "linalg.solve": lambda np, a: np.linalg.solve(a[:, :2] + 9 * np.eye(2), a),
    "linalg.inv": lambda np, a: np.linalg.inv(a[:, :2] + 9 * np.eye(2)),
    "fft": lambda np, a: np.abs(np.fft.fft(a)),
}


@pytest.mark.parametrize("name", CALLS)
def test_functions_and_methods_and_their_gradients(name):
    """Each of these was an error, or had no gradient. (#2, #10, #52, #130, #183, #185)"""
    call = CALLS[name]
    same(call(np, np.array(A)), call(numpy, A))
    weights = numpy.cos(numpy.arange(call(numpy, A).size)).reshape(call(numpy, A).shape)

    def f(x):
        return np.sum(call(np, x) * weights)

    at, step = A + 0.3, 1e-6  # away from kinks
    found = numpy.asarray(grad(f)(at))
    for place in ((0, 1), (1, 2)):
        moved = numpy.zeros_like(A)
        moved[place] = step

        def value(x):
            return float(numpy.sum(call(numpy, x) * weights))

        assert found[place] == pytest.approx(
            (value(at + moved) - value(at - moved)) / (2 * step), rel=1e-4, abs=1e-6
        )


def test_arguments_of_random_functions():
    """normal took no arrays, uniform(size=3) had another signature."""
    numpy.random.seed(0)
    expected = numpy.random.normal(A, 0.1 * A, (2, 3)), numpy.random.uniform(size=3)
    np.random.seed(0)
    same(np.random.normal(np.array(A), 0.1 * A, (2, 3)), expected[0])
    same(np.random.uniform(size=3), expected[1])


def test_python_asks_arrays():
    """float, int, len, '%f' %, iteration and numpy.testing raised."""
    total = np.sum(np.ones((2, 3)))
    assert float(total) == 6.0 and int(total) == 6 and f"{total:f}" == "6.000000" == "%f" % total  # noqa: UP031
    a = np.array(A)
    assert len(a) == 2 and [row.shape for row in a] == [(3,), (3,)] and a.tolist() == A.tolist()
    assert total.shape == () and divmod(a, 2)[1].asnumpy().tolist() == [[1, 0, 1], [0, 1, 0]]
    same(pickle.loads(pickle.dumps(a)), A)


def test_numbers_that_broadcast():
    """A number that was differentiated could not meet an array; bias 0 had to be an array of shape (1, 1)."""
    assert grad(lambda b: np.sum(A + b))(1.0) == 6.0
    assert grad(lambda b: np.sum(A * b))(2) == 21.0
    assert grad(lambda x: x[0] * 2 + x[1] * 3)([1.0, 2.0]) == [2.0, 3.0]


def test_keyword_arguments_of_a_gradient():
    """TypeError."""
    assert grad(lambda x, *, scale=1.0: x**2 * scale)(3.0, scale=2.0) == 12.0
    assert grad(lambda x, y: x * y, argnum="y")(2.0, y=3.0) == 2.0


def test_argnum():
    """A list of one number gives the gradient itself, a longer one a list, as it was."""
    f = lambda a, b, c: 3 * a + b**2 - c
    assert grad(f, [0])(2, 3, 4) == 3.0 and grad(f, [0, 1, 2])(2, 3, 4) == [3.0, 6.0, -1.0]
    assert grad(f, (0, 1))(2, 3, 4) == [3.0, 6.0] == grad(f, range(2))(2, 3, 4)
    assert grad_and_loss(f, [0, 1, 2])(2, 3, 4) == ([3.0, 6.0, -1.0], 11)
    assert grad(lambda x: (x * 2, x * 3))(1.0) == 5.0  # a tuple: the sum


def test_empty_arrays():
    """concatenate raised. (#190)"""
    same(np.concatenate([np.zeros((0, 3)), A]), A)
    same(grad(lambda x: np.sum(np.concatenate([np.zeros((0, 3)), x]) ** 2))(A), 2 * A)
    assert np.sum(np.zeros((0, 3))) == 0.0


def test_arrays_from_arrays():
    """np.array of an ndarray raised. (#128) mean of other array-likes too. (#184)"""
    same(np.array(numpy.array(A)), A)
    same(np.array(np.array(A)), A)

    class Series:
        def __array__(self, dtype=None, copy=None):
            return numpy.array([1.0, 3.0], dtype)

    assert np.mean(Series()) == 2.0


def test_side_effects_in_the_function():
    """A print, or an expression that nothing hangs on, broke the gradient. (#47, #104)"""
    seen = []

    def f(x):
        seen.append(str(x))
        y = x * 2
        seen.append(np.sum(y).asnumpy())
        np.argmax(y)
        return np.sum(y**2)

    same(grad(f)(A), 8 * A)
    assert seen[1] == 42.0 and "6." in seen[0]


# ----- the library


def test_accuracy_does_not_count_padding_and_takes_one_hot_labels():
    """Padded rows counted; one-hot labels crashed; few samples too. (#20, #21, #116, #180)"""

    class Model(ModelBase):
        def forward(self, X, mode):
            return X

    model, y = Model(), numpy.array([0, 1, 2, 0, 1])
    x = numpy.eye(3)[[0, 1, 2, 0, 0]]
    for label in (y, numpy.eye(3)[y]):
        it = NDArrayIter(x, label, 4)
        solver = Solver(model, it, it, verbose=False)
        assert solver.check_accuracy(it) == 0.8
        assert solver.check_accuracy(it, num_samples=1) in (0.0, 1.0)


def test_the_parameters_are_there_when_nothing_was_ever_right():
    """model.params was empty after such a training. (#52)"""

    class Model(ModelBase):
        def __init__(self):
            super().__init__()
            self.add_param("w", (3, 3))

        def forward(self, X, mode):
            return X @ self.params["w"] - 1e9 * numpy.eye(3)[0]

        def loss(self, predict, y):
            return layers.l2_loss(predict, numpy.zeros((len(X), 3)))

    X = numpy.eye(3)
    it = NDArrayIter(X, numpy.zeros(3, int), 3)
    solver = Solver(Model(), it, it, num_epochs=1, verbose=False)
    solver.init()
    solver.train()
    assert solver.best_val_acc == 0.0 and set(solver.model.params) == {"w"}


def test_iterators_discard_and_count():
    """'discard' gave a short last batch; getnumiterations() was 2.5."""
    it = NDArrayIter(numpy.arange(10.0), numpy.arange(10), 4, last_batch_handle="discard")
    assert [b.data[0].shape for b in it] == [(4,), (4,)] and it.getnumiterations() == 2
    assert NDArrayIter(numpy.arange(10.0), batch_size=4).getnumiterations() == 3


def test_layers_that_were_wrong():
    """affine did not flatten, svm_loss raised for C != N, l2_loss made columns of targets one-hot."""
    x = numpy.random.RandomState(0).rand(2, 3, 4)
    same(layers.affine(x, numpy.ones((12, 5)), numpy.zeros(5)), x.reshape(2, 12) @ numpy.ones((12, 5)))
    assert float(layers.svm_loss(numpy.zeros((6, 3)), numpy.zeros(6, int))) == 2.0
    assert float(layers.l2_loss(numpy.ones((4, 1)), numpy.array([0.0, 1, 2, 3]))) == (1 + 0 + 1 + 4) / 4
    assert numpy.isfinite(float(layers.softmax_cross_entropy(numpy.array([[1.0, 0.0]]), numpy.array([1]))))
    numpy.random.seed(0)
    kept = numpy.asarray(layers.dropout(numpy.ones(10000), 0.25))
    same(kept[kept > 0], numpy.full((kept > 0).sum(), 1 / 0.75))
    same(layers.dropout(numpy.ones(3), 0.25, mode="test"), numpy.ones(3))


def test_recurrent_gradients_do_not_overflow():
    """The gradient of tanh went through cosh, which overflows. (#91)"""
    assert grad(np.tanh)(800.0) == 0.0 and grad(np.tanh)(-800.0) == 0.0


def test_no_array_of_objects():
    """Lists of arrays became arrays of objects."""
    same(np.array([np.ones(2), np.zeros(2)]), [[1.0, 1.0], [0.0, 0.0]])
    same(grad(lambda x: np.sum(np.array([x[0] * 2, x[1] * 3])))(numpy.ones(2)), [2.0, 3.0])


def test_plain_numpy_is_enough(tmp_path):
    """Arrays had to come from minpy.numpy, which had to be imported; writes into them were not allowed."""
    program = tmp_path / "program.py"
    program.write_text(
        "import numpy as np\nimport minpy\n\ndef f(a):\n    b = a.transpose().copy()\n    b[0, 1] = 12\n"
        "    return (b * np.ones((3, 2)) + np.zeros((3, 2))).sum()\n\n"
        "print(minpy.grad(f)(np.ones((2, 3))).tolist())\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "minpy", "run", str(program)], capture_output=True, text=True, check=False
    )
    assert done.stdout == "[[1.0, 1.0, 1.0], [0.0, 1.0, 1.0]]\n", done.stderr
