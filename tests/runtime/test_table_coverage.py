"""Every public function of NumPy is a row of the table, or is left alone for a reason written here."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import table_driver as driver

from minpy import grad
from minpy.errors import GradientError, TraceError
from minpy.runtime.namespace import numpy_door
from minpy.runtime.primitives import table

LEFT_ALONE = {
    "of documentation and the installation": (
        "add_docstring add_newdoc add_newdoc_ufunc deprecate deprecate_with_doc disp get_include info "
        "lookfor safe_eval show_config show_runtime source test who linalg.test fft.test random.test"
    ),
    "a setting of NumPy": (
        "get_printoptions getbufsize geterr geterrcall geterrobj printoptions set_numeric_ops "
        "set_printoptions set_string_function setbufsize seterr seterrcall seterrobj errstate"
    ),
    "about dtypes alone": (
        "find_common_type issctype issubclass_ issubdtype issubsctype maximum_sctype mintypecode obj2sctype "
        "promote_types sctype2char typename isdtype"
    ),
    "about dates, text or records, which are never on a device nor differentiated": (
        "busday_count busday_offset is_busday datetime_as_string datetime_data compare_chararrays "
        "recfromcsv recfromtxt"
    ),
    "about the addresses of a NumPy array": "byte_bounds nested_iters",
    "makes numpy.matrix, a class of its own": "asmatrix bmat mat",
    "makes a function, not an array": "frompyfunc get_array_wrap",
    "removed from NumPy's documentation": "fastCopyAndTranspose",
    "the state of the random streams, which are NumPy's": (
        "random.bytes random.default_rng random.get_bit_generator random.get_state random.seed "
        "random.set_bit_generator random.set_state"
    ),
}
EXCUSED = {name for names in LEFT_ALONE.values() for name in names.split()}


def public(prefix: str, module: object) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [
            prefix + name
            for name in dir(module)
            if not name.startswith("_")
            and callable(getattr(module, name))
            and not isinstance(getattr(module, name), type)
        ]


NAMES = [
    *public("", np),
    *public("linalg.", np.linalg),
    *public("fft.", np.fft),
    *public("random.", np.random),
]


def test_every_public_function_is_a_row_or_has_a_reason() -> None:
    table.load()
    missing = [name for name in NAMES if name not in table.by_name and name not in EXCUSED]
    assert not missing
    assert len(NAMES) > 400


def test_no_excuse_without_need() -> None:
    table.load()
    assert not [name for name in EXCUSED if name in table.by_name]


def test_every_row_has_samples_and_a_known_cost() -> None:
    rows = list(table.rows())
    assert not [p.name for p in rows if p.samples is None]
    assert not [p.name for p in rows if p.cost not in table.COSTS]
    assert not [p.name for p in rows if not p.family]


def test_a_reason_is_a_text_that_a_report_can_print() -> None:
    reasons = {p.name: p.mxnet for p in table.rows() if not isinstance(p.mxnet, table.Kernel)}
    assert not [name for name, reason in reasons.items() if not isinstance(reason, str) or len(reason) < 5]
    assert not [name for name, reason in reasons.items() if reason.endswith(".") or "\n" in reason]


ALIASES = [
    pair
    for pair in [
        ("absolute", "abs"),
        ("divide", "true_divide"),
        ("conjugate", "conj"),
        ("max", "amax"),
        ("min", "amin"),
        ("concatenate", "concat"),
        ("vstack", "row_stack"),
        ("matmul", "linalg.matmul"),
    ]
    if pair[1] in NAMES
]


@pytest.mark.parametrize("first, second", ALIASES)
def test_aliases_share_their_rules(first: str, second: str) -> None:
    table.load()
    a, b = table.by_name[first], table.by_name[second]
    assert a.vjp == b.vjp and a.compose is b.compose
    assert isinstance(a.mxnet, str) == isinstance(b.mxnet, str)


def test_the_door_has_every_mirrored_row_and_everything_else_of_numpy() -> None:
    door = numpy_door()
    for primitive in table.rows():
        if primitive.mirrors:
            found = door
            for part in primitive.name.split("."):
                found = getattr(found, part)
            assert found.__wrapped__ is primitive.function, primitive.name
    assert door.float32 is np.float32 and door.pi is np.pi and door.ndarray is np.ndarray
    assert door.random.seed is np.random.seed and type(door.random.default_rng()) is np.random.Generator
    assert set(dir(np)) <= set(dir(door))


def test_a_missing_name_is_an_attribute_error_as_in_numpy() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = numpy_door().no_such_name


# Rows without a derivative: anything but these must say so.
WITHOUT = [
    p.name
    for p in table.rows()
    if p.vjp is None
    and p.compose is None
    and not p.flat
    and not p.geometry
    and not p.view
    and p.writes is None
]


@pytest.mark.parametrize("name", WITHOUT)
def test_a_row_without_a_rule_says_so_and_where(name: str) -> None:
    """No number comes out of a function that cannot be differentiated: an error names it and the line."""
    primitive = table.by_name[name]
    function = driver.routed(primitive)
    tried = 0
    for args, kwargs in primitive.samples(driver.generator(primitive, "float64"), np.dtype("float64")):
        for i, operand in enumerate(args):
            if not driver._operand_leaves(operand, "f"):
                continue

            def call(x, i=i, args=args, kwargs=kwargs):
                return function(*args[:i], x, *args[i + 1 :], **kwargs)

            try:
                with driver.quiet():
                    primitive.function(*args, **kwargs)
            except Exception:
                continue
            tried += 1
            with (
                pytest.raises((TraceError, GradientError), match=rf"{name}.*test_table_coverage\.py"),
                driver.quiet(),
            ):
                grad(call)(operand)
    assert tried or primitive.creates or name in NO_FLOATS


# Rows whose samples hold no floating-point operand that NumPy accepts.
NO_FLOATS = frozenset(
    ("gcd", "lcm", "bitwise_and", "bitwise_or", "bitwise_xor", "invert", "left_shift", "right_shift")
)


def test_the_documentation_lists_the_functions_of_floats_without_a_derivative() -> None:
    path = Path(__file__).parents[2] / "docs" / "gradients.md"
    listed = path.read_text(encoding="utf-8").split("## What has no derivative")[1].split("\n## ")[0]
    missing = []
    for name in WITHOUT:
        row = table.by_name[name]
        for args, _ in row.samples(driver.generator(row, "float64"), np.dtype("float64")):
            if name.startswith("random.") and any(type(a) is float for a in args):
                missing += [name] if name.split(".")[1] not in listed else []
    assert not missing
