"""The forward rules (`jvp` column) of rows that are linear in their operands: the same function, of the tangent.

Every other row does without: see `minpy.runtime.tangent`. A rule answers NotImplemented for a call that is
not linear in the operands that move.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minpy.runtime.primitives import table

# Linear in the first operand, for constant others.
LINEAR = (
    "sum mean cumsum reshape ravel transpose swapaxes moveaxis rollaxis squeeze expand_dims flip fliplr "
    "flipud rot90 broadcast_to "
    "diagonal split array_split hsplit vsplit dsplit diag diagflat copy getitem take repeat tile resize "
    "roll delete tril triu "
    "take_along_axis fft.fft fft.ifft fft.rfft fft.irfft fft.fftshift fft.ifftshift astype gradient"
).split()
# Linear in the first and in the second.
BILINEAR = "dot matmul inner outer vdot tensordot cross convolve correlate".split()

_filled = False


def fill() -> None:
    """Put the rules into the table, once."""
    global _filled
    if _filled:
        return
    table.load()
    for name in LINEAR:
        _put(name, _linear)
    for name in BILINEAR:
        _put(name, _bilinear)
    _put("concatenate", _joined)
    _put("stack", _joined)
    _put("where", _where)
    _put("linalg.det", _determinant)
    _put("einsum", _einsum)
    _filled = True


def _put(name: str, make: Callable[[table.Primitive], Any]) -> None:
    first = table.by_name.get(name)
    if first is None:
        return
    for primitive in table.by_name.values():
        if primitive.function is first.function and primitive.jvp is None:
            primitive.jvp = make(primitive)


def _run(primitive: table.Primitive, args: tuple, kwargs: dict) -> Any:
    from minpy.runtime import dispatch

    return dispatch.call(primitive, args, kwargs)


def _linear(primitive: table.Primitive) -> Any:
    def rule(tangents: tuple, ans: Any, x: Any, *rest: Any, **kwargs: Any) -> Any:
        if any(t is not None for t in tangents[1:]) or type(tangents[0]) is list:
            return NotImplemented
        if "initial" in kwargs:  # a constant that is added
            kwargs = {key: value for key, value in kwargs.items() if key != "initial"}
        return _run(primitive, (tangents[0], *rest), kwargs)

    return rule


def _bilinear(primitive: table.Primitive) -> Any:
    def rule(tangents: tuple, ans: Any, x: Any, y: Any, *rest: Any, **kwargs: Any) -> Any:
        u, v, *others = tangents
        if type(u) is list or type(v) is list or any(t is not None for t in others):
            return NotImplemented
        if v is None:
            return _run(primitive, (u, y, *rest), kwargs)
        if u is None:
            return _run(primitive, (x, v, *rest), kwargs)
        return _run(primitive, (u, y, *rest), kwargs) + _run(primitive, (x, v, *rest), kwargs)

    return rule


def _joined(primitive: table.Primitive) -> Any:
    def rule(tangents: tuple, ans: Any, parts: Any, *rest: Any, **kwargs: Any) -> Any:
        moving = tangents[0]
        if type(moving) is not list:
            return NotImplemented
        filled = [np.zeros(np.shape(part)) if t is None else t for t, part in zip(moving, parts, strict=True)]
        # Zeros are of double precision: the result is fitted to what it is a tangent of.
        return _run(
            primitive, (filled, *rest), {k: v for k, v in kwargs.items() if k not in ("dtype", "casting")}
        )

    return rule


def _where(primitive: table.Primitive) -> Any:
    def rule(tangents: tuple, ans: Any, condition: Any, *values: Any) -> Any:
        if len(values) != 2 or any(type(t) is list for t in tangents):
            return NotImplemented
        x, y = (0 if t is None else t for t in tangents[1:])
        return _run(primitive, (condition, x, y), {})

    return rule


def _determinant(primitive: table.Primitive) -> Any:
    # Not the transpose of the rule: that would need its derivative, which does not exist at every singular
    # matrix.
    def rule(tangents: tuple, ans: Any, x: Any) -> Any:
        if type(tangents[0]) is list:
            return NotImplemented
        gradient = primitive.rule(0)(np.ones(np.shape(ans), ans.dtype), ans, x)  # type: ignore[misc]
        return np.sum(gradient * tangents[0], axis=(-2, -1))

    return rule


def _einsum(primitive: table.Primitive) -> Any:
    def rule(tangents: tuple, ans: Any, subscripts: Any, *operands: Any, **kwargs: Any) -> Any:
        if not isinstance(subscripts, str):
            return NotImplemented
        total = None
        for i, tangent in enumerate(tangents[1:]):
            if tangent is None:
                continue
            if type(tangent) is list:
                return NotImplemented
            part = _run(primitive, (subscripts, *operands[:i], tangent, *operands[i + 1 :]), kwargs)
            total = part if total is None else total + part
        return total

    return rule
