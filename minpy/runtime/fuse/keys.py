"""What plans depend on in operands: dtypes and geometry of arrays, kinds of numbers and how large NumPy sees them."""

from __future__ import annotations

from typing import Any

import numpy as np

from minpy.runtime.fuse.ir import NUMBERS, Irregular, Program


def compared(given: list[Any]) -> np.dtype | None:
    """The dtype in which two operands are compared."""
    try:
        loop = np.result_type(*given)
    except (TypeError, OverflowError):
        return None
    kinds = {np.dtype(getattr(each, "dtype", type(each))).kind for each in given}
    return None if kinds >= {"i", "u"} or loop.kind == "c" else loop


def kind_of(number: Any) -> str:
    """``"b"``, ``"i"``, ``"f"`` or ``"c"``."""
    return np.dtype(type(number)).kind.replace("u", "i")


def bits_of(number: Any) -> int:
    """The bits of an integer; less than none of a negative one."""
    if not isinstance(number, (bool, int, np.bool_, np.integer)):
        return 0
    value = int(number)
    return value.bit_length() if value >= 0 else 64 if value.bit_length() > 62 else -value.bit_length()


def key_of(leaf: Any) -> Any:
    """What a plan depends on in a leaf."""
    kind = type(leaf)
    if kind is np.ndarray:
        return leaf.dtype, leaf.shape, leaf.strides
    if kind not in NUMBERS and not isinstance(leaf, np.generic):
        raise Irregular
    # As NumPy 1 does, which looks at the values of numbers to choose a dtype.
    if isinstance(leaf, (float, np.floating)):
        return kind, _reach(float(leaf))
    if isinstance(leaf, (bool, complex, np.bool_, np.complexfloating)):
        return kind, None if isinstance(leaf, (bool, np.bool_)) else repr(leaf)
    if isinstance(leaf, (int, np.integer)):
        value = int(leaf)
        return kind, value if value.bit_length() > 52 else value.bit_length(), value < 0
    raise Irregular


def key_of_all(program: Program, leaves: tuple[Any, ...]) -> Any:
    """What a plan depends on in all leaves."""
    key = tuple([key_of(leaf) for leaf in leaves])
    if not program.exponents:
        return key
    return key, tuple([repr(leaves[k]) for k in program.exponents if type(leaves[k]) is not np.ndarray])


def _reach(value: float) -> Any:
    size = abs(value)
    if size <= 65500 or size != size:
        return 0
    if 65600 < size <= 3.4e38:
        return 1
    return 2 if size > 3.5e38 and size != float("inf") else value


def reach_of(leaf: Any) -> Any:
    """The same of what was computed first; arrays have no values that matter."""
    return leaf.dtype if type(leaf) is np.ndarray else key_of(leaf)
