"""Shapes: other views of the same elements, joining, splitting, repeating, padding."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib import stride_tricks

from minpy.runtime.primitives.moves import apply, cases, gathers, rows, shape_of
from minpy.runtime.primitives.table import DEVICE_DTYPES, Kernel, row

VIEW = "only another view of the same elements"


def _like(g: Any, x: Any) -> Any:
    return np.reshape(g, shape_of(x))


# ----- views ------------------------------------------------------------------------------------------------
# On an `Array` the result is a view of its storage and nothing is computed; kernels and rules are for
# the calls in which NumPy copies.


def _copies(a: Any, order: Any) -> str | None:
    from minpy.runtime.array import Array

    if type(a) is not Array:
        return VIEW
    return None if order == "C" else "the order of the elements is not C"


def _lengths(shape: Any) -> tuple[int, ...]:
    return tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)


def _wrong_shape(a: Any, shape: Any) -> str | None:
    count, known = a.size, 1
    unknown = 0
    for n in _lengths(shape):
        if not isinstance(n, (int, np.integer)):
            return "NumPy refuses this shape"
        unknown += n < 0
        known *= 1 if n < 0 else int(n)
    fits = count == known if not unknown else unknown == 1 and known and count % known == 0
    return None if fits and _lengths(shape) else "NumPy refuses this shape"


def _unreshape(g: Any, ans: Any, x: Any, newshape: Any, order: str = "C") -> Any:
    if order not in ("C", "F"):
        return gathers(np.reshape)(g, ans, x, newshape, order)
    return np.reshape(g, shape_of(x), order=order)


row(
    "reshape",
    view=True,
    cost="free",
    mxnet=Kernel(
        lambda F, a, newshape, order="C": F.reshape(a, shape=_resolved(a.shape, newshape)),
        DEVICE_DTYPES,
        lambda a, newshape, order="C": _copies(a, order) or _wrong_shape(a, newshape),
    ),
    vjp=(_unreshape,),
    samples=cases(
        lambda a: (a(2, 6), (3, 4)),
        lambda a: (a(2, 3), -1),
        lambda a: (a(3, 4)[:, ::2], (2, 3)),
        lambda a: [(a(3, 4).T, 12), {"order": "F"}],
        lambda a: [(a(3, 4).T, (6, 2)), {"order": "A"}],
        lambda a: (a(1), ()),
        lambda a: (a(0, 3), (3, -1)),
        lambda a: (a(4), (5,)),
        lambda a: ([a(2), a(2)], (4,)),
    ),
)


def _resolved(shape: tuple[int, ...], new: Any) -> tuple[int, ...]:
    # MXNet gives 0, -2, -3 and -4 meanings of their own: -1 is resolved here.
    lengths = [int(n) for n in _lengths(new)]
    known = int(np.prod([n for n in lengths if n >= 0]))
    return tuple(int(np.prod(shape)) // known if n < 0 else n for n in lengths)


row(
    "ravel",
    view=True,
    cost="free",
    mxnet=Kernel(
        lambda F, a, order="C": F.reshape(a, shape=(-1,)),
        DEVICE_DTYPES,
        lambda a, order="C": _copies(a, order),
    ),
    vjp=(
        lambda g, ans, x, order="C": (
            np.reshape(g, shape_of(x), order=order) if order in "CF" else gathers(np.ravel)(g, ans, x, order)
        ),
    ),
    samples=cases(
        lambda a: (a(2, 3),),
        lambda a: (a(3, 2).T,),
        lambda a: (a(3, 4)[:, ::2],),
        lambda a: (a(3, 4)[:, ::2], "F"),
        lambda a: [(a(3, 4).T,), {"order": "K"}],
        lambda a: (a(),),
        lambda a: (a(0, 3),),
        lambda a: ([a(2), a(2)],),
    ),
)


def _stacked(g: Any, x: Any) -> Any:
    """`g` in the nesting of `x`, where `x` may be a list that NumPy made an array of."""
    return [_stacked(g[i], part) for i, part in enumerate(x)] if type(x) in (list, tuple) else g


def _untranspose(g: Any, ans: Any, x: Any, axes: Any = None) -> Any:
    if axes is None:
        return _stacked(np.transpose(g), x)
    return _stacked(np.transpose(g, np.argsort(np.asarray(axes) % max(len(axes), 1))), x)


for _name in ("transpose", "permute_dims"):
    row(
        _name,
        view=True,
        cost="free",
        mxnet=VIEW,
        vjp=(_untranspose,),
        samples=cases(
            lambda a: (a(2, 3),),
            lambda a: (a(2, 3, 4), (1, -1, 0)),
            lambda a: (a(3),),
            lambda a: (a(),),
            lambda a: (a(0, 3),),
            lambda a: (a(2, 3), (0, 0)),
            lambda a: ([a(2), a(2)],),
        ),
    )
rows(
    "matrix_transpose linalg.matrix_transpose",
    view=True,
    cost="free",
    mxnet=VIEW,
    vjp=(lambda g, ans, x: np.swapaxes(g, -1, -2),),
    samples=cases(lambda a: (a(2, 3),), lambda a: (a(4, 2, 3),)),
)
row(
    "swapaxes",
    view=True,
    cost="free",
    mxnet=VIEW,
    vjp=(lambda g, ans, x, axis1, axis2: np.swapaxes(g, axis1, axis2),),
    samples=cases(lambda a: (a(2, 3, 4), 0, -1), lambda a: (a(2, 3), 0, 0), lambda a: (a(2, 3), 0, 2)),
)
row(
    "moveaxis",
    view=True,
    cost="free",
    mxnet=VIEW,
    vjp=(lambda g, ans, x, source, destination: np.moveaxis(g, destination, source),),
    samples=cases(
        lambda a: (a(2, 3, 4), 0, -1), lambda a: (a(2, 3, 4), (0, 1), (-1, 0)), lambda a: (a(2, 3), 2, 0)
    ),
)
row(
    "rollaxis",
    view=True,
    cost="free",
    mxnet=VIEW,
    vjp=(gathers(np.rollaxis),),
    samples=cases(lambda a: (a(2, 3, 4), 2), lambda a: (a(2, 3, 4), 0, 3)),
)
row(
    "squeeze",
    view=True,
    cost="free",
    mxnet=VIEW,
    vjp=(lambda g, ans, x, axis=None: _like(g, x),),
    samples=cases(
        lambda a: (a(1, 3, 1),),
        lambda a: (a(1, 3, 1), -1),
        lambda a: [(a(1, 1),), {"axis": (0, 1)}],
        lambda a: (a(2, 1), 0),
    ),
)
row(
    "expand_dims",
    view=True,
    cost="free",
    mxnet=VIEW,
    vjp=(lambda g, ans, x, axis: _like(g, x),),
    samples=cases(lambda a: (a(3), 0), lambda a: (a(2, 3), (0, -1)), lambda a: (a(), 0), lambda a: (a(2), 5)),
)
for _name in "flip fliplr flipud".split():
    row(
        _name,
        view=True,
        cost="free",
        mxnet=VIEW,
        vjp=(gathers(getattr(np, _name)),),
        samples=cases(lambda a: (a(2, 3),), lambda a: (a(2, 3, 2)[:, ::-1],), lambda a: (a(0, 3),)),
    )
row(
    "rot90",
    view=True,
    cost="free",
    mxnet=VIEW,
    vjp=(gathers(np.rot90),),
    samples=cases(
        lambda a: (a(2, 3),),
        lambda a: (a(2, 3), 2),
        lambda a: [(a(2, 3, 2), -1), {"axes": (1, 2)}],
        lambda a: (a(2, 3), 4),
    ),
)
row(
    "broadcast_to",
    view=True,
    cost="free",
    mxnet=VIEW,
    # The sum over the new axes is the tape's own work.
    vjp=(lambda g, ans, x, shape, subok=False: g,),
    samples=cases(
        lambda a: (a(3), (2, 3)),
        lambda a: (a(2, 1), (2, 3)),
        lambda a: (a()[()], (2,)),
        lambda a: (a(3), 3),
        lambda a: (a(3), (2,)),
    ),
)
row(
    "diagonal",
    view=True,
    cost="free",
    mxnet=VIEW,
    vjp=(gathers(np.diagonal),),
    samples=cases(
        lambda a: (a(3, 3),),
        lambda a: (a(3, 4), 1),
        lambda a: [(a(2, 3, 4),), {"axis1": 2, "axis2": 0, "offset": -1}],
        lambda a: (a(3),),
    ),
)
row(
    "linalg.diagonal",
    view=True,
    cost="free",
    mxnet=VIEW,
    samples=cases(lambda a: (a(2, 3, 3),), lambda a: [(a(3, 4),), {"offset": 1}]),
)


def _broadcast_arrays(*args: Any, subok: bool = False) -> Any:
    shape = np.broadcast_shapes(*map(np.shape, args))
    kind = list if np.lib.NumpyVersion(np.__version__) < "2.0.0" else tuple
    return kind(a if np.shape(a) == shape else np.broadcast_to(a, shape) for a in args)


row(
    "broadcast_arrays",
    cost="free",
    mxnet=VIEW,
    compose=_broadcast_arrays,
    samples=cases(lambda a: (a(3), a(2, 1)), lambda a: (a(3), a(3)), lambda a: (a(2),)),
)


def _at_least(ndim: int) -> Any:
    def compose(*arys: Any) -> Any:
        results = [_one(ndim, a) for a in arys]
        if len(arys) == 1:
            return results[0]
        return results if np.lib.NumpyVersion(np.__version__) < "2.0.0" else tuple(results)

    return compose


def _one(ndim: int, a: Any) -> Any:
    """``atleast_<ndim>d`` of one operand."""
    shape = np.shape(a)
    if len(shape) >= ndim:
        return a
    if ndim == 3 and shape:
        return np.reshape(a, (1, *shape, 1) if len(shape) == 1 else (*shape, 1))
    return np.reshape(a, (1,) * (ndim - len(shape)) + shape)


for _ndim in (1, 2, 3):
    row(
        f"atleast_{_ndim}d",
        view=True,
        cost="free",
        mxnet=VIEW,
        compose=_at_least(_ndim),
        samples=cases(
            lambda a: (a(),),
            lambda a: (a(3),),
            lambda a: (a(2, 3),),
            lambda a: (a()[()],),
            lambda a: (a(2), a(1, 2)),
            lambda a: (a(1, 1, 1, 2),),
        ),
    )


# ----- splitting --------------------------------------------------------------------------------------------


def _unsplit(axis_of: Any) -> Any:
    def rule(g: Any, ans: Any, x: Any, sections: Any, *axis: Any, **keywords: Any) -> Any:
        # Pieces may overlap or leave elements out if the program gave such places: scatter, not concatenate.
        full = np.arange(int(np.prod(np.shape(x)))).reshape(np.shape(x))
        places = axis_of(full, sections, *axis, **keywords)
        total = 0.0
        for part, where in zip(g, places, strict=True):
            total = total + apply("flat_scatter", part, where, np.shape(x))
        return total

    return rule


for _name in "split array_split hsplit vsplit dsplit".split():
    _axis = {"hsplit": 1, "dsplit": 2}.get(_name, 0)
    row(
        _name,
        view=True,
        cost="free",
        mxnet=VIEW,
        vjp=(_unsplit(getattr(np, _name)),),
        samples=cases(
            lambda a: (a(4, 4, 4), 2),
            lambda a: (a(4, 4, 4), [1, 3]),
            lambda a: (a(4, 3, 2), 3),
            lambda a: (a(4, 4, 4), [2, 1]),
            *(
                (lambda a: [(a(2, 4), 2), {"axis": 1}], lambda a: (a(2, 6), [2, 5], -1), lambda a: (a(5), 2))
                if _name in ("split", "array_split")
                else ()
            ),
        ),
    )
row(
    "unstack",
    view=True,
    cost="free",
    mxnet=VIEW,
    samples=cases(lambda a: (a(2, 3),), lambda a: [(a(2, 3),), {"axis": 1}]),
)


# ----- windows ----------------------------------------------------------------------------------------------

row(
    "lib.stride_tricks.sliding_window_view",
    stride_tricks.sliding_window_view,
    mirrors=True,
    view=True,
    cost="free",
    mxnet=VIEW,
    samples=cases(
        lambda a: (a(6), 3),
        lambda a: (a(4, 5), (2, 2)),
        lambda a: [(a(4, 5), 2), {"axis": 1, "writeable": True}],
        lambda a: (a(2), 3),
    ),
)
row(
    "lib.stride_tricks.as_strided",
    stride_tricks.as_strided,
    mirrors=True,
    view=True,
    cost="free",
    mxnet=VIEW,
    samples=cases(
        lambda a: (a(6), (4, 3), (0, 0)),
        lambda a: [(a(6),), {"shape": (3,), "strides": (0,)}],
    ),
)
