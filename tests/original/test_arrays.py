"""Arrays of the original: what programs written for it ask them for, and the modules around them."""

from __future__ import annotations

import logging
import subprocess
import sys

import numpy
import pytest

import minpy
import minpy.numpy as np
from minpy import array, core
from minpy.array_variants import ArrayType
from minpy.errors import DeviceError, GradientError, UsageError
from minpy.nn.io import NDArrayIter
from minpy.runtime.backends.mxnet import load

X = numpy.arange(6.0).reshape(2, 3)
mxnet = pytest.mark.mxnet


def test_the_program_of_the_readme():
    x = np.zeros((2, 3))
    y = np.ones((2, 3))
    z = np.logaddexp(x, y)
    assert type(z.asnumpy()) is numpy.ndarray
    numpy.testing.assert_array_equal(z.asnumpy(), numpy.logaddexp(numpy.zeros((2, 3)), 1.0))


SOURCES = {
    "a function": lambda: np.ones((2, 2)),
    "an operator": lambda: np.ones((2, 2)) + 1,
    "a slice": lambda: np.ones((3, 2))[1:],
    "an element": lambda: np.ones((3, 2))[0, 0],
    "a sum": lambda: np.sum(np.ones(3)),
    "a comparison": lambda: np.ones(3) > 0,
    "one truth value": lambda: np.all(np.ones(3) > 0),
    "a plain array": lambda: numpy.ones(3),
    "random numbers": lambda: np.random.rand(2),
    "a gradient": lambda: core.grad(lambda x: np.sum(x**2))(np.ones(3)),
    "a scalar gradient": lambda: core.grad(lambda x: x**2)(numpy.float64(3.0)),
    "a batch": lambda: next(NDArrayIter(X, batch_size=2)).data[0],
    "a matrix of linalg": lambda: np.linalg.inv(np.eye(2)),
    "copyto": lambda: np.ones(3).copyto(minpy.cpu()),
}


@pytest.mark.parametrize("name", SOURCES)
def test_whatever_makes_an_array_it_has_asnumpy_and_context(name):
    made = SOURCES[name]()
    copy = made.asnumpy()
    assert type(copy) is numpy.ndarray and copy.shape == numpy.shape(made) and copy.dtype == made.dtype
    numpy.testing.assert_array_equal(copy, made)
    assert not numpy.shares_memory(copy, made)
    assert made.context == minpy.cpu()
    assert made.wait_to_read() is None
    assert isinstance(made, array.Value)


def test_inside_of_a_gradient():
    seen = []

    def f(x):
        seen.append((type(x.asnumpy()), x.context, x.has_type(ArrayType.NUMPY)))
        return np.sum(x**2)

    core.grad(f)(X)
    assert seen == [(numpy.ndarray, minpy.cpu(), True)]


@mxnet
def test_on_the_device():
    with minpy.PreferMXNetPolicy():
        a = np.ones((2, 2)) * 2
    assert type(a) is minpy.Array
    assert a.has_type(ArrayType.MXNET) and not a.has_type(ArrayType.NUMPY)
    numpy.testing.assert_array_equal(a.asnumpy(), [[2.0, 2.0], [2.0, 2.0]])
    assert a.has_type(ArrayType.NUMPY)
    given = a.get_data(ArrayType.MXNET)
    assert isinstance(given, load().nd.NDArray) and given.shape == (2, 2)
    assert type(a.get_data(ArrayType.NUMPY)) is numpy.ndarray
    assert type(core.minpy_to_numpy(a)) is numpy.ndarray


def test_methods_of_plain_arrays():
    a = X.copy()
    assert a.has_type(ArrayType.NUMPY) and not a.has_type(ArrayType.MXNET)
    assert a.get_data(ArrayType.NUMPY) is a and a.get_data_mutable(ArrayType.NUMPY) is a
    with pytest.raises(UsageError, match="come back"):
        a.get_data_mutable(ArrayType.MXNET)
    with pytest.raises(UsageError, match="kind of an array"):
        a.has_type(7)
    b = numpy.zeros((2, 3))
    assert a.copyto(b) is b and (b == X).all()
    with pytest.raises(UsageError, match="copyto"):
        a.copyto("cpu")
    assert np.sum(a).val == 15.0 and type(np.sum(a).val) is float
    assert numpy.ndarray.asnumpy.__name__ == "asnumpy"


@mxnet
def test_plain_arrays_as_ndarrays():
    found = X.get_data(ArrayType.MXNET)
    assert isinstance(found, load().nd.NDArray)
    numpy.testing.assert_array_equal(found.asnumpy(), X)


def test_subclasses_keep_their_own_names():
    records = numpy.recarray(2, dtype=[("context", "f8"), ("asnumpy", "i4")])
    records.context[:] = 3.0
    assert records.context.tolist() == [3.0, 3.0] and records.asnumpy.dtype == "i4"
    for other in (numpy.ma.array([1.0]), numpy.ones(1).view(numpy.memmap)):
        assert not hasattr(other, "asnumpy") and not hasattr(other, "context")
        with pytest.raises(AttributeError, match="asnumpy"):
            other.asnumpy()


def test_batches_have_it_whatever_else_was_imported():
    text = (
        "import numpy\nfrom minpy.nn.io import NDArrayIter\n"
        "print(next(NDArrayIter(numpy.ones(2), batch_size=2)).data[0].asnumpy())"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[1. 1.]\n", "")


def test_plain_programs_see_nothing_of_it(tmp_path):
    """Only who imports the explicit namespace, or the library on it, has these names."""
    program = tmp_path / "program.py"
    program.write_text(
        "import numpy as np\nimport minpy\nminpy.grad(np.sin)(1.0)\nprint(hasattr(np.ones(1), 'asnumpy'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "minpy", "run", program], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_classes():
    a = np.ones(3)
    assert isinstance(a, array.Array) and not isinstance(a, array.Number)
    assert isinstance(np.sum(a), array.Number) and isinstance(3.0, array.Number)
    assert not isinstance("a", array.Value) and not isinstance(True, array.Number)
    assert issubclass(numpy.ndarray, array.Array) and issubclass(array.Array, array.Value)
    assert array.Array(a, ArrayType.NUMPY) is a and array.Number(3.0) == 3.0
    with pytest.raises(UsageError, match="list"):
        array.Array([1.0])
    # The loop of the manual's chapter on TensorBoard.
    norm = numpy.ones((2, 3)) ** 2
    while not isinstance(norm, array.Number):
        norm = sum(norm)
    assert norm == 6.0


def test_wrap():
    assert array.wrap(None) is None and array.wrap("text") == "text" and array.wrap(2.5) == 2.5
    assert array.wrap(X) is X and np.wrap is array.wrap
    with minpy.OnlyNumPyPolicy():
        assert array.wrap(X) is X


@mxnet
def test_wrapped_arrays_go_to_the_device():
    plain = X.copy()
    with minpy.PreferMXNetPolicy():
        wrapped = array.wrap(plain)
        plain[0, 0] = 5.0  # the same memory
        total = wrapped + wrapped
    assert type(total) is minpy.Array and total.has_type(ArrayType.MXNET)
    assert total.asnumpy()[0, 0] == 10.0
    given = load().nd.array([1.0, 2.0])
    assert array.wrap(given).tolist() == [1.0, 2.0]
    assert array.Array(given, ArrayType.MXNET).shape == (2,)


def test_conversions():
    tree = {"a": [X, (1.0, None)], "b": "text"}
    there = core.numpy_to_minpy(tree)
    back = core.minpy_to_numpy(there)
    assert back["a"][0] is X and back["a"][1] == (1.0, None) and back["b"] == "text"

    @core.convert_args
    @core.return_numpy
    def f(x, *, scale):
        """Scaled."""
        return {"y": x * scale}

    assert type(f(X, scale=2.0)["y"]) is numpy.ndarray and f.__doc__ == "Scaled."


@mxnet
def test_conversions_around_a_device():
    kinds = []

    @core.return_numpy
    @core.convert_args
    def f(x):
        kinds.append(type(x))
        return x + x

    with minpy.PreferMXNetPolicy():
        result = f(X)
    assert kinds == [minpy.Array] and type(result) is numpy.ndarray
    numpy.testing.assert_array_equal(result, X + X)


def test_conversion_of_what_is_differentiated_cuts_the_gradient():
    slope = core.grad(lambda x: np.sum(x * core.minpy_to_numpy(x)))(X)
    numpy.testing.assert_array_equal(slope, X)  # not 2 * X


def test_a_tape_by_hand():
    with minpy.tape.tape() as records:
        assert minpy.tape.global_tape() is records and records.is_recording()
        x, y = array.wrap(X.copy()), array.wrap(numpy.ones(3))
        assert not x.is_marked_for_bp(records)
        x.mark_for_bp(records)
        assert x.is_marked_for_bp(records)
        result = np.sum(x**2 * y)
        x[0] = 0.0  # gradients are with respect to the values at entry
    assert minpy.tape.global_tape() is None and not records.is_recording()
    for _ in range(2):
        (slope,) = records.get_gradient((x,), result)
        numpy.testing.assert_array_equal(slope, 2 * X)
    numpy.testing.assert_array_equal(records.get_gradient(y, result), numpy.zeros(3))


def test_tapes_are_numbered():
    before = minpy.tape.Tape.timestamp
    first, second = minpy.tape.Tape(), minpy.tape.Tape()
    assert (first.timestamp, second.timestamp, minpy.tape.Tape.timestamp) == (
        before + 1,
        before + 2,
        before + 2,
    )
    with minpy.tape.tape() as records:
        assert records.timestamp == minpy.tape.Tape.timestamp == before + 3


def test_ids_of_values():
    """Different as long as both are there, the same each time; on a tape, too."""
    a, b, c = np.ones(3), np.ones(3), np.float64(1.0)
    assert a.id == a.id and len({a.id, b.id, c.id}) == 3
    assert not hasattr(numpy.ma.array([1.0]), "id")
    seen = []

    def f(x):
        y = x * 2.0
        seen.append((x.id == x.id, x.id != y.id))
        return np.sum(y)

    minpy.grad(f)(a)
    assert seen == [(True, True)]


def test_partial_derivatives_of_ones_own():
    with minpy.tape.tape() as records:
        x = array.wrap(numpy.array(3.0))
        x.mark_for_bp(records)
        y = array.wrap(numpy.array(9.0))
        records.add_partial_derivative(lambda g: 6.0 * g, x, y)
        z = 2 * y
    assert records.get_gradient(x, z) == 12.0


def test_wrong_use_of_a_tape():
    records = minpy.tape.Tape()
    with pytest.raises(GradientError, match="nothing was recorded"):
        records.get_gradient(X, X)
    records.start_recording()
    try:
        with pytest.raises(GradientError, match="records once"):
            records.start_recording()
        with pytest.raises(GradientError, match="int64"):
            array.wrap(numpy.arange(3)).mark_for_bp(records)
        with pytest.raises(GradientError, match="wrapped"):
            records.add_partial_derivative(lambda g: g, X, X)
    finally:
        records.stop_recording()
    with pytest.raises(GradientError, match="wrapped while a tape records"):
        X.mark_for_bp(records)
    with pytest.raises(GradientError, match="marked"):
        records.get_gradient([X], X)
    assert minpy.tape.global_tape() is None


@mxnet
def test_copies_are_logged(capsys):
    """The chapter on transparent fallback turns this on."""
    logger = logging.getLogger("minpy.array")
    level = logger.level
    logger.setLevel(logging.DEBUG)
    try:
        with minpy.PreferMXNetPolicy():
            x = np.zeros((10, 20))
            y = np.logaddexp(x, x)  # on the host
            np.log(y)
    finally:
        logger.setLevel(level)
    first, second = capsys.readouterr().err.splitlines()
    assert "minpy.array" in first and "Copy from MXNet array to NumPy array (1600 bytes) at File" in first
    assert "Copy from NumPy array to MXNet array (1600 bytes) at File" in second
    assert first.endswith("in test_copies_are_logged")


def test_copies_are_not_logged_as_a_rule():
    assert not logging.getLogger("minpy.array").isEnabledFor(logging.INFO)


@mxnet
def test_kinds_of_arrays():
    from minpy import array_variants

    assert array_variants.variants == {"numpy": 0, "mxnet": 1}
    assert array_variants.array_types == {0: numpy.ndarray, 1: load().nd.NDArray}
    assert array_variants.variants_repr[ArrayType.MXNET] == "MXNet"
    assert isinstance(3.0, array_variants.number_types[ArrayType.NUMPY])
    with pytest.raises(AttributeError):
        array_variants.nothing  # noqa: B018


def test_contexts_of_a_machine_without_a_gpu():
    with minpy.cpu():
        assert np.ones(3).context == minpy.cpu()
    try:
        gpus = load().context.num_gpus()
    except DeviceError:
        gpus = 0
    if not gpus:
        with pytest.raises(DeviceError), minpy.gpu(0):
            raise AssertionError("not reached")
