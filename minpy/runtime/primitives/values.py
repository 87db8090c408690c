"""Creation: arrays out of nested lists that may hold arrays, out of functions, bytes and text."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from minpy.runtime.primitives.create import unusual
from minpy.runtime.primitives.moves import cases, holds_arrays, rows
from minpy.runtime.primitives.table import DEVICE_DTYPES, Kernel, row


def _spread(g: Any, operand: Any) -> Any:
    """`g` in the nesting of `operand`."""
    if type(operand) in (list, tuple):
        return [_spread(g[i], part) for i, part in enumerate(operand)]
    return g


def _nested(g: Any, ans: Any, a: Any, *rest: Any, **keywords: Any) -> Any:
    # ndmin puts axes of length 1 in front.
    return _spread(np.reshape(g, np.shape(a)) if type(a) not in (list, tuple) else _drop(g, _depth(a)), a)


def _depth(a: Any) -> int:
    return 1 + _depth(a[0]) if type(a) in (list, tuple) and a else np.ndim(a)


def _drop(g: Any, ndim: int) -> Any:
    return np.reshape(g, np.shape(g)[np.ndim(g) - ndim :])


_values = cases(
    lambda a: (a(2, 3),),
    lambda a: (a(3, 2).T,),
    lambda a: ([a(3), a(3)],),
    lambda a: ([[a()[()], 1], [a()[()], 0]],),
    lambda a: ([a(2), (a()[()], 2)],),
    lambda a: (a(),),
    lambda a: (a()[()],),
    lambda a: (a(0, 2),),
    lambda a: (a(6)[::-2], a.dtype),
    lambda a: ([],),
)


def _no_copy(object: Any, dtype: Any = None, **keywords: Any) -> str | None:
    if keywords or holds_arrays(object):
        return "the kernel copies one array, or numbers"
    if isinstance(object, np.ndarray):
        return "the memory layout is not C" if dtype is not None or not object.flags.c_contiguous else None
    if not isinstance(object, (list, tuple)):
        return "a 0-d or empty array: nothing for a device to do"
    try:
        made = np.array(object, dtype)
    except (TypeError, ValueError, OverflowError):
        return "NumPy refuses these values"
    return unusual(made.shape, made.dtype)


def _mx_array(F: Any, object: Any, dtype: Any = None) -> Any:
    if type(object) not in (list, tuple):
        return F.identity(object)
    made = np.array(object, dtype)
    return F.array(made, dtype=made.dtype)


for _name in "array asanyarray asarray ascontiguousarray asfortranarray asarray_chkfinite asfarray".split():
    row(
        _name,
        cost="move",
        creates=True,
        view=_name != "array",
        mxnet=Kernel(_mx_array, DEVICE_DTYPES, _no_copy)
        if _name == "array"
        else "only copies, or nothing at all",
        vjp=(_nested,),
        samples=_values,
    )
row(
    "require",
    cost="move",
    creates=True,
    view=True,
    mxnet="only copies, or nothing at all",
    vjp=(_nested,),
    samples=cases(
        lambda a: (a(2, 3), a.dtype, ["C"]),
        lambda a: (a(2, 3), None, ["F", "W"]),
        lambda a: ([a(2), a(2)],),
    ),
)


# ----- from functions, bytes and text: the host's memory ----------------------------------------------------

_BYTES = "the data comes from the host's memory"


def _fromfunction(function: Any, shape: Any, *, dtype: Any = float, like: Any = None, **keywords: Any) -> Any:
    # The function of the program may use values that are being differentiated.
    return function(*np.indices(shape, dtype=dtype), **keywords)


row(
    "fromfunction",
    creates=True,
    mxnet="the program's function decides",
    compose=_fromfunction,
    samples=cases(
        lambda a: (lambda i, j: i + 2 * j, (2, 3)),
        lambda a: [(lambda i: i * i, (4,)), {"dtype": int}],
    ),
)
row(
    "fromiter",
    creates=True,
    mxnet=_BYTES,
    samples=cases(lambda a: (range(4), float), lambda a: [([1, 2, 3], int), {"count": 2}]),
)
row(
    "frombuffer",
    creates=True,
    mxnet=_BYTES,
    samples=cases(
        lambda a: (b"12345678", np.uint8), lambda a: [(b"abcdefgh",), {"dtype": np.int16, "offset": 2}]
    ),
)
row(
    "fromstring",
    creates=True,
    mxnet=_BYTES,
    samples=cases(lambda a: [("1 2 3",), {"sep": " "}], lambda a: [("1,2", int), {"sep": ","}]),
)
row("fromfile", creates=True, mxnet=_BYTES, samples=cases(lambda a: (np.__file__, np.uint8, 16)))
row("from_dlpack", creates=True, view=True, mxnet=_BYTES, samples=cases(lambda a: (a(2, 3),)))
rows(
    "loadtxt genfromtxt",
    creates=True,
    mxnet=_BYTES,
    samples=cases(
        lambda a: (["1 2", "3 4"],), lambda a: [(["1,2"],), {"delimiter": ","}], lambda a: (["1", "a"],)
    ),
)
row(
    "fromregex",
    creates=True,
    mxnet=_BYTES,
    samples=cases(lambda a: (np.__file__, r"(\d+)", [("number", np.int64)])),
)


def _saved(array: np.ndarray) -> io.BytesIO:
    """A stream that can be loaded from many times."""
    stream = io.BytesIO()
    for _ in range(64):
        np.save(stream, array)
    stream.seek(0)
    return stream


row("load", creates=True, mxnet=_BYTES, samples=cases(lambda a: (_saved(a(2, 3)),)))
