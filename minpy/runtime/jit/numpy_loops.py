"""NumPy's own inner loops, by address: compiled code that calls one gets NumPy's bits, whatever these are.

A ufunc's table of loops is part of NumPy's C interface. It is found in the ufunc's object, must agree with all that
Python says of the ufunc, and a loop is used only after it has given what the ufunc gives.
"""

from __future__ import annotations

import ctypes
import operator
from collections.abc import Callable, Sequence
from functools import cache, reduce
from typing import Any

import numpy as np

_LOOP = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
_HEAD = object.__basicsize__
_CHARACTERS = {np.dtype(each).num: each for each in "?bBhHiIlLqQfdD"}
# The largest sum that every NumPy computes by one call of its loop: older ones look at a buffer's length at a time.
LONGEST_SUM = 8192
_WHOLE = 1 << 40
ROWS = 16  # columns of a matrix, see `adds_rows`
# Lengths and steps of two vectors.
_SPREAD = tuple(
    (count, *steps)
    for count in (2, 3, 4, 5, 7, 8, 9, 15, 16, 31, 33, 66, 131)
    for steps in ((1, 3), (7, 1), (60, 60))
)
_LINEAR = {"solve": "ab", "solve1": "ab", "inv": "a", "cholesky_lo": "a", "det": "a"}


def _ufunc(name: str) -> np.ufunc:
    """A ufunc of NumPy's, or one behind its linear algebra."""
    if name in _LINEAR:
        return getattr(np.linalg._umath_linalg, name)  # type: ignore[attr-defined]
    return getattr(np, name)


@cache
def _found(name: str, types: str) -> tuple[int, int]:
    """The address of the loop of a ufunc for these types (letters of dtypes), and what it is given besides.

    Zeros if that is not certain.
    """
    ufunc = _ufunc(name)
    base = id(ufunc) + _HEAD

    def integer(offset: int) -> int:
        return ctypes.c_int.from_address(base + offset).value

    def pointer(offset: int) -> int:
        return ctypes.c_void_p.from_address(base + offset).value or 0

    if (integer(0), integer(4), integer(8)) != (ufunc.nin, ufunc.nout, ufunc.nargs):
        return 0, 0
    loops, data, title, letters = (pointer(each) for each in (16, 24, 40, 48))
    if integer(32) != ufunc.ntypes or not (loops and title and letters):
        return 0, 0
    if ctypes.string_at(title) != ufunc.__name__.encode():
        return 0, 0
    for i in range(ufunc.ntypes):
        numbers = ctypes.string_at(letters + i * ufunc.nargs, ufunc.nargs)
        if "".join(_CHARACTERS.get(number, "-") for number in numbers) != types:
            continue
        extra = ctypes.c_void_p.from_address(data + 8 * i).value if data else 0
        return ctypes.c_void_p.from_address(loops + 8 * i).value or 0, extra or 0
    return 0, 0


def _run(loop: tuple[int, int], arrays: Sequence[int], sizes: Sequence[int], steps: Sequence[int]) -> None:
    pointers = (ctypes.c_void_p * len(arrays))(*arrays)
    counts = (ctypes.c_ssize_t * len(sizes))(*sizes)
    strides = (ctypes.c_ssize_t * len(steps))(*steps)
    _LOOP(loop[0])(
        ctypes.addressof(pointers), ctypes.addressof(counts), ctypes.addressof(strides), loop[1] or None
    )


def _samples(dtype: np.dtype, count: int, low: float = 0.05, high: float = 9.0) -> Any:
    values = low + (high - low) * ((np.arange(count) * 0.6180339887498949) % 1.0)
    return (values + 1j * np.sin(values * 7) if dtype.kind == "c" else values).astype(dtype)


def _same(one: Any, other: Any) -> bool:
    return np.asarray(one).tobytes() == np.asarray(other).tobytes()


def _elementwise(name: str, types: str, loop: tuple[int, int]) -> bool:
    """Whether a loop gives what the ufunc gives: for scalars, and for arrays with and without gaps."""
    ufunc, into = getattr(np, name), np.dtype(types[-1])
    for low, high in ((0.05, 0.95), (0.05, 9.0), (1.5, 300.0), (-0.95, -0.05)):
        if low < 0 and name.startswith("log"):
            continue
        for count, step in ((1, 1), (1, 1), (37, 1), (23, 3), (16, 1)):
            operands = [
                _samples(np.dtype(each), count * step, low + i / 100, high)[::step]
                for i, each in enumerate(types[:-1])
            ]
            with np.errstate(all="ignore"):
                expected = ufunc(*(each[0] for each in operands)) if count == 1 else ufunc(*operands)
            out = np.zeros(count, into)
            every = [*operands, out]
            steps = [into.itemsize if count == 1 else each.strides[0] for each in every]
            _run(loop, [each.ctypes.data for each in every], [count], steps)
            if not _same(out, expected):
                return False
            if count > 1 and len(operands) == 2:
                # One number for all elements of the other operand.
                with np.errstate(all="ignore"):
                    expected = ufunc(operands[0], operands[1][0])
                _run(loop, [each.ctypes.data for each in every], [count], [steps[0], 0, steps[2]])
                if not _same(out, expected):
                    return False
    return True


def _reduction(name: str, types: str, loop: tuple[int, int]) -> bool:
    ufunc, dtype = getattr(np, name), np.dtype(types[-1])
    for count in (1, 2, 7, 8, 9, 33, 127, 128, 129, 300, 1000, LONGEST_SUM):
        for step in (1, 3):
            values = _samples(dtype, count * step, -3.0, 4.0)[::step]
            out = np.zeros(1, dtype)
            rest = values
            if name != "add":
                out[0], rest = values[0], values[1:]
            if len(rest):
                _run(
                    loop,
                    [each.ctypes.data for each in (out, rest, out)],
                    [len(rest)],
                    [0, rest.strides[0], 0],
                )
            if not _same(out[0], ufunc.reduce(values)):
                return False
    return _same(np.add.reduce(np.array([-0.0], dtype)), dtype.type(0.0)) or name != "add"


@cache
def sum_piece(types: str) -> int:
    """How many elements of a long sum NumPy gives its loop at a time; 0 if that is not certain."""
    loop, dtype = _found("add", types), np.dtype(types[-1])
    found = [_WHOLE, LONGEST_SUM]
    for count, step in ((LONGEST_SUM + 1, 1), (20_001, 1), (33_333, 2), (100_003, 1)):
        values = np.sin(np.arange(count * step) * 1.7).astype(dtype)[::step]
        expected = np.add.reduce(values)
        for piece in list(found):
            out = np.zeros(1, dtype)
            for start in range(0, count, piece):
                part = values[start : start + piece]
                places = [each.ctypes.data for each in (out, part, out)]
                _run(loop, places, [len(part)], [0, part.strides[0], 0])
            if not _same(out[0], expected):
                found.remove(piece)
    return found[0] if found else 0


@cache
def adds_in_order(types: str) -> bool:
    """Whether fewer than eight elements are added one after the other."""
    return all(_adds(types, count, lambda values: reduce(operator.add, values)) for count in range(1, 8))


@cache
def adds_by_eight(types: str) -> bool:
    """Whether the first eight of eight to fifteen elements are added pair by pair, and the rest one after the other."""

    def total(values: Any) -> Any:
        a, b, c, d, e, f, g, h, *rest = values
        return reduce(operator.add, rest, ((a + b) + (c + d)) + ((e + f) + (g + h)))

    return all(_adds(types, count, total) for count in range(8, 16))


MOST_IN_EIGHTS = 128


@cache
def adds_in_eights(types: str) -> bool:
    """Whether from eight to `MOST_IN_EIGHTS` elements are added in eight sums, of every eighth element each.

    These are added pair by pair then, and what is left of the last eight one after the other.
    """

    def total(values: Any) -> Any:
        whole = len(values) & -8
        a, b, c, d, e, f, g, h = (reduce(operator.add, values[k:whole:8]) for k in range(8))
        return reduce(operator.add, values[whole:], ((a + b) + (c + d)) + ((e + f) + (g + h)))

    counts = (8, 9, 15, 16, 17, 23, 30, 31, 32, 47, 64, 71, 100, 120, 127, MOST_IN_EIGHTS)
    return all(_adds(types, count, total) for count in counts)


def _adds(types: str, count: int, total: Callable[[Any], Any]) -> bool:
    """Whether NumPy's loop adds so many elements as a function does."""
    loop, dtype = _found("add", types), np.dtype(types[-1])
    for scale in (1.0, 1e-7, 1e7):
        values = (np.sin(np.arange(count) * 1.7) * scale ** (np.arange(count) % 4)).astype(dtype)
        out = np.zeros(1, dtype)
        _run(loop, [out.ctypes.data, values.ctypes.data, out.ctypes.data], [count], [0, dtype.itemsize, 0])
        if not _same(out[0], dtype.type(0) + total(list(values))):
            return False
    return True


@cache
def complex_product() -> str:
    """How NumPy multiplies complex numbers: ``"fused"``, with one rounding less, or ``"plain"``; nothing: it varies."""
    found = ["fused", "plain"]
    whole = [each * 0x9E3779B97F4A7C15 % (1 << 30) for each in range(1, 400)]
    scale = 2.0**-30

    def rounded(value: int) -> int:
        return int(float(value))

    def products(a: int, b: int, c: int, d: int) -> dict[str, tuple[float, float]]:
        p, q, s, t = a * c, rounded(b * d), a * d, rounded(b * c)
        fused, plain = (p - q, s + t), (rounded(p) - q, rounded(s) + t)
        return {
            name: (float(real) * scale**2, float(imag) * scale**2)
            for name, (real, imag) in (("fused", fused), ("plain", plain))
        }

    def agree(one: Any, other: Any, result: Any) -> None:
        one, other = (np.broadcast_to(each, result.shape).tolist() for each in (one, other))
        for x, y, z in zip(one, other, result.tolist(), strict=True):
            numbers = [int(each / scale) for each in (x.real, x.imag, y.real, y.imag)]
            for name, pair in products(*numbers).items():
                if name in found and pair != (z.real, z.imag):
                    found.remove(name)

    values = np.array(whole, float) * scale
    left, right = values[:190] - 1j * values[190:380], values[5:195][::-1] + 1j * values[7:197]
    for count in (1, 2, 7, 33):
        for step in (1, 3, -1):
            a, b = left[: count * abs(step)][::step], right[: count * abs(step)][::step]
            turned = np.multiply(a.copy(), b)
            for one, other, result in (
                (a, b, a * b),
                (a, a, np.square(a)),
                (a, b[0], a * b[0]),
                (a[0], b, a[0] * b),
            ):
                agree(one, other, result)
            agree(a, b, turned)
            if count > 1:  # one alone, in place, is rounded as none of several: `Deferred.several`
                inside = a.copy()
                inside *= b
                agree(a, b, inside)
    return found[0] if found else ""


def spread_product(x: Sequence[float], y: Sequence[float], order: str) -> float:
    """The product of two vectors with gaps, in an `order` in which a BLAS adds; without what a fused one rounds once.

    `"four"`: four sums, of every fourth product each. `"pairs"`: two sums, of pairs of products that are two apart.
    What is left of the last four goes to the first sum.
    """
    whole = len(x) & -4
    sums = [0.0] * 4
    for k in range(0, whole, 4):
        products = [one * other for one, other in zip(x[k : k + 4], y[k : k + 4], strict=True)]
        if order == "four":
            sums = [one + other for one, other in zip(sums, products, strict=True)]
        else:
            sums = [sums[0] + (products[0] + products[2]), sums[1] + (products[1] + products[3]), 0.0, 0.0]
    for one, other in zip(x[whole:], y[whole:], strict=True):
        sums[0] += one * other
    return (sums[0] + sums[1]) + (sums[2] + sums[3])


def _fused_spread_product(x: Sequence[float], y: Sequence[float]) -> float:
    """``"fused"``: as ``"pairs"``, but only one product of a pair is rounded, and none of those that are left."""
    from fractions import Fraction  # few processors have this order

    def plus(total: Any, one: float, other: float) -> Any:
        return Fraction(float(total)) + Fraction(one) * Fraction(other)

    whole = len(x) & -4
    sums: list[Any] = [0, 0]
    for k in range(0, whole, 4):
        for i in (0, 1):
            pair = plus(x[k + i + 2] * y[k + i + 2], x[k + i], y[k + i])
            sums[i] = float(sums[i]) + float(pair)
    for one, other in zip(x[whole:], y[whole:], strict=True):
        sums[0] = float(plus(sums[0], one, other))
    return float(sums[0]) + float(sums[1])


@cache
def spread_order() -> str:
    """In which order BLAS, as NumPy calls it, adds up a product of two float64 vectors of which one has gaps.

    A name that `spread_product` knows, or ``"fused"``; empty if it is none of these.
    """
    loop = _found("matmul", "ddd")
    if not loop[0]:
        return ""
    found = ["four", "pairs", "fused"]
    for count, one, other in _SPREAD:
        x, y = (
            (np.sin(np.arange(count * abs(step)) * turn) * 1.9)[::step]
            for step, turn in ((one, 1.7), (other, 2.3))
        )
        out = np.zeros(1)
        steps = [0, 0, 0, 0, x.strides[0], y.strides[0], 0, 0, 0]
        _run(loop, [each.ctypes.data for each in (x, y, out)], [1, 1, count, 1], steps)
        if not _same(out[0], x @ y) or not _same(out[0], np.dot(x, y)):
            return ""
        for order in list(found):
            pair = x.tolist(), y.tolist()
            if not _same(
                _fused_spread_product(*pair) if order == "fused" else spread_product(*pair, order), out[0]
            ):
                found.remove(order)
    return found[0] if found else ""


@cache
def adds_rows() -> bool:
    """Whether BLAS, as NumPy calls it, adds up a vector times a matrix (of `ROWS` columns or more) row by row.

    Each element is then a sum from nothing on, term by term, each product and each sum rounded. Enough rows are looked
    at that a BLAS with several threads has these take part.
    """
    sizes = ((1, 16, 3), (2, 33, 0), (7, 17, 1), (70, 40, 5), (3000, 16, 7), (150, 260, 1))
    for rows, columns, gap in sizes:
        table = np.sin(np.arange(rows * (columns + gap + 1)) * 1.7).reshape(rows, -1) * 1.9
        column, behind = table[:, 0], table[:, 1 : columns + 1]
        terms = np.zeros((rows + 1, columns))
        terms[1:] = column[:, None] * behind
        if not _same(column @ behind, np.add.accumulate(terms, axis=0)[-1]):
            return False
    return True


@cache
def vector_product() -> int:
    """The address of BLAS' product of two float64 vectors without gaps, with whole numbers of 64 bits; 0 if unknown."""
    from minpy.runtime import openblas

    library = openblas.own()
    if library is None:
        return 0
    names = ("cblas_ddot64_", "scipy_cblas_ddot64_")
    function = next((getattr(library, each) for each in names if hasattr(library, each)), None)
    if function is None:
        return 0
    function.restype = ctypes.c_double
    function.argtypes = (ctypes.c_int64, *[ctypes.c_void_p, ctypes.c_int64] * 2)
    for count in (1, 2, 3, 5, 8, 17, 33, 70, 131, 300):
        for shift in (0, 1):
            x, y = (
                _samples(np.dtype("d"), count, -2.0, 3.0),
                _samples(np.dtype("d"), count + 1, -1.0, 3.0)[shift:],
            )
            y = y[:count]
            if not _same(np.float64(function(count, x.ctypes.data, 1, y.ctypes.data, 1)), np.dot(x, y)):
                return 0
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def _product(name: str, types: str, loop: tuple[int, int]) -> bool:
    """Vectors and matrices of several sizes and layouts, as `matmul` passes them on."""
    dtype = np.dtype(types[-1])
    for rows, inner, columns in (
        (0, 5, 0),
        (0, 1, 0),
        (3, 4, 0),
        (0, 4, 3),
        (5, 3, 7),
        (1, 6, 1),
        (40, 33, 0),
        (9, 1, 2),
    ):
        for flip in (False, True):
            a = _samples(dtype, max(rows, 1) * inner, -2.0, 3.0)
            b = _samples(dtype, max(columns, 1) * inner, -1.0, 3.0)
            if rows:
                a = a.reshape((rows, inner), order="F" if flip else "C")
            elif flip:
                a = a[::-1]
            if columns:
                b = b.reshape((inner, columns), order="F" if flip else "C")
            if name == "dot" and (flip or 1 in a.shape + b.shape):
                continue
            expected = a @ b if name == "matmul" else np.dot(a, b)
            out = np.zeros_like(expected, order="C")
            steps = [0, 0, 0, *product_steps(a.shape, a.strides, b.shape, b.strides, out.shape, out.strides)]
            sizes = [1, max(rows, 1), inner, max(columns, 1)]
            _run(loop, [each.ctypes.data for each in (a, b, np.atleast_1d(out))], sizes, steps)
            if not _same(out, expected):
                return False
    return True


def _linear(name: str, types: str, loop: tuple[int, int]) -> bool:
    """Systems of several sizes and layouts, as NumPy's linear algebra passes them on."""
    ufunc = _ufunc(name)
    for count, columns in ((1, 1), (2, 3), (3, 1), (4, 4), (7, 2), (20, 5)):
        for turned in (False, True):
            a = _samples(np.dtype("d"), count * count, -1.0, 3.0).reshape(count, count)
            a = a @ a.T + count * np.eye(count)
            b = _samples(np.dtype("d"), count * columns, -2.0, 1.0).reshape(count, columns)
            if turned:
                a, b = np.asfortranarray(a), np.asfortranarray(b)
            operands = [a, b if name == "solve" else b[:, 0]][: len(_LINEAR[name])]
            expected = ufunc(*operands, signature=f"{'d' * len(operands)}->d")
            out = np.zeros(np.shape(expected))
            every = [*operands, out]
            steps = [*[0] * len(every), *(stride for each in every for stride in each.strides)]
            sizes = [1, count, *([columns] if name == "solve" else [])]
            _run(loop, [each.ctypes.data for each in every], sizes, steps)
            if not _same(out, expected):
                return False
    return True


def product_steps(*shapes: Any) -> list[Any]:
    """The strides that `matmul` gives its loop, from shapes and strides of the operands and the result."""
    (m, sm), (n, sn), (n2, sn2), (p, sp) = (
        *_pair(shapes[0], shapes[1], first=True),
        *_pair(shapes[2], shapes[3], first=False),
    )
    out, strides = list(shapes[4]), list(shapes[5])
    om = strides.pop(0) if m and out.pop(0) != 1 else 0
    op = strides.pop(0) if p and out.pop(0) != 1 else 0
    return [sm if m != 1 else 0, sn if n != 1 else 0, sn2 if n2 != 1 else 0, sp if p != 1 else 0, om, op]


def _pair(shape: Any, strides: Any, first: bool) -> Any:
    if len(shape) == 2:
        return list(zip(shape, strides, strict=True))
    only, none = (shape[0], strides[0]), (0, 0)
    return [none, only] if first else [only, none]


_CHECKS: dict[str, Callable[[str, str, tuple[int, int]], bool]] = {
    "map": _elementwise,
    "reduce": _reduction,
    "product": _product,
    "linear": _linear,
}


@cache
def address(what: str) -> int:
    """The address of ``"map exp dd"``, ``"reduce add ddd"``, ``"product matmul ddd"``, ``"malloc"`` or ``"free"``.

    0 if there is none, or if it does not do what NumPy does. ``"order four ddd"`` has none: 1 if products of vectors
    with gaps are added up in that order (`spread_order`). ``"blas ddot ddd"`` is the function of BLAS that NumPy calls.
    """
    if " " not in what:
        try:
            return ctypes.cast(getattr(ctypes.CDLL(None), what), ctypes.c_void_p).value or 0
        except (AttributeError, OSError):
            return 0
    how, name, types = what.split(" ")
    if how == "order":
        return int(adds_rows() if name == "rows" else spread_order() == name)
    if how == "blas":
        return vector_product()
    try:
        found = _found("matmul" if name == "dot" else name, types)
        return found[0] if found[0] and _CHECKS[how](name, types, found) else 0
    except (ValueError, TypeError, AttributeError):
        return 0


def extra(what: str) -> int:
    """What a loop is given besides, as a rule the address of a function that it applies; 0 for nothing."""
    _, name, types = what.split(" ")
    return _found("matmul" if name == "dot" else name, types)[1]


def symbol(what: str) -> str:
    """The name under which compiled code knows it."""
    return "_".join(("at", *what.split(" ")))
