"""What ``--nan-check`` sees of one operation: its operands, and which elements of its result it made not finite."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minpy.runtime.array import Array, host

# Of text these make numbers, which may be the program's own NaN.
_PARSERS = frozenset("array asarray asanyarray ascontiguousarray asfortranarray astype require".split())


class Finding:
    """Elements that are not finite and were made by an operation."""

    def __init__(self, made: np.ndarray, bad: np.ndarray) -> None:
        self.made, self.bad = made, bad
        self.nans = int(np.count_nonzero(np.isnan(made) & bad))
        self.infinities = int(np.count_nonzero(bad)) - self.nans
        self.first = tuple(int(i) for i in np.argwhere(bad)[0])

    def ignored(self) -> bool:
        """Whether the program has told NumPy that it does not want to hear of it."""
        state = np.geterr()
        silent = state["divide"] == "ignore" or state["over"] == "ignore"
        return (not self.nans or state["invalid"] == "ignore") and (not self.infinities or silent)


class Look:
    """What is known of an operation before it runs."""

    def __init__(
        self,
        name: str,
        args: tuple,
        kwargs: dict,
        written: list,
        elementwise: bool = False,
        beside: tuple = (),
        tail: str = "",
    ) -> None:
        self.name, self.tail, self.elementwise = name, tail, elementwise
        self.written = [w for w in written if isinstance(w, np.ndarray)]
        self.args, self.where = args, kwargs.get("where", True)
        named = {
            key: value for key, value in kwargs.items() if key not in ("out", "where", "dtype", "casting")
        }
        self._named = named
        self._operands = args, tuple(named.values()), beside
        self._numbers: list[np.ndarray] | None = None
        if self.written:  # later it may be too late to look
            self._numbers = self._collected()

    def _collected(self) -> list[np.ndarray] | None:
        """The operands as arrays, None if it cannot be known whether they were finite."""
        found: list[np.ndarray] = []
        if not _collect(self._operands, found, self.name in _PARSERS):
            return None
        for w in self.written:
            memory = host(w)
            found = [each.copy() if np.may_share_memory(each, memory) else each for each in found]
        return found

    def finding(self, made: Any) -> Finding | None:
        """What this result holds that is not finite and was made of finite numbers."""
        made = np.asarray(host(made))
        if made.dtype.kind not in "fc":
            return None
        bad = ~np.isfinite(made)
        if not bad.any():
            return None
        numbers = self._numbers if self.written else self._collected()
        if numbers is None:
            return None
        bad = self._made(bad, numbers)
        return Finding(made, bad) if bad.any() else None

    def _made(self, bad: np.ndarray, numbers: list[np.ndarray]) -> np.ndarray:
        if self.elementwise:
            try:
                shape = np.broadcast_shapes(*[n.shape for n in numbers], bad.shape)
            except ValueError:
                shape = ()
            if shape == bad.shape:
                bad = bad & np.broadcast_to(host(self.where), bad.shape)
                for each in numbers:
                    bad &= np.isfinite(each)
                return bad
        # Any operand may have gone into any element.
        if all(np.isfinite(each).all() for each in numbers):
            return bad
        return np.zeros_like(bad)

    def error(self, found: Finding, of: str = "finite operands") -> str:
        """The sentence that says what was made of what."""
        operands = [_shown(a) for a in self.args] + [f"{k}={_shown(v)}" for k, v in self._named.items()]
        made, first = found.made, found.first
        counts = [
            f"{n:,} {one if n == 1 else many}"
            for n, one, many in (
                (found.nans, "NaN", "NaNs"),
                (found.infinities, "infinity", "infinities"),
            )
            if n
        ]
        text = f"{self.name}({', '.join(operands)}){self.tail} made {' and '.join(counts)} out of {of}"
        if not made.ndim:
            where = f"the result is {made[()]!s}, {made.dtype}"
        else:
            where = (
                f"of {made.size:,} elements of the result, {made.shape} {made.dtype}, the first is "
                f"{list(first)}: {made[first]!s}"
            )
        values = self._values(found)
        return f"{text}: {where}{f', of {values}' if values else ''}."

    def _values(self, found: Finding) -> str:
        """The operands of the first element, for an element-wise operation."""
        numbers = self._numbers if self.written else self._collected()
        if not self.elementwise or numbers is None or not all(map(_is_number, self.args)):
            return ""
        try:
            return " and ".join(
                str(np.broadcast_to(each, found.made.shape)[found.first])
                for each in numbers[: len(self.args)]
            )
        except ValueError:  # summed down to the shape of an operand
            return ""


# ----- values --------------------------------------------------------------------------------------------------------


def _is_number(value: Any) -> bool:
    return isinstance(value, (np.ndarray, np.generic, int, float, complex))


def _collect(value: Any, found: list[np.ndarray], parses: bool) -> bool:
    """Append the numbers in `value` to `found`; False if there are some of which nothing can be said."""
    if type(value) is Array:
        found.append(np.asarray(host(value)))
        return True
    if isinstance(value, (np.ndarray, np.generic)):
        if value.dtype.kind not in "biufc" or isinstance(value, np.ma.MaskedArray):
            return False
        found.append(np.asarray(value))
        return True
    if isinstance(value, (bool, int, float, complex)):
        number = np.asarray(value)
        found.append(
            np.zeros((), bool) if number.dtype.hasobject else number
        )  # a large one is finite as well
        return True
    if isinstance(value, (list, tuple)):
        if len(value) > 1 and all(type(each) in (int, float, complex) for each in value):
            found.append(np.asarray(value, complex))
            return True
        return all(_collect(each, found, parses) for each in value)
    if isinstance(value, dict):
        return all(_collect(each, found, parses) for each in value.values())
    if isinstance(value, (str, bytes)):
        return not parses
    if not isinstance(value, type) and hasattr(value, "__array__"):
        return _collect(np.asarray(value), found, parses)
    return True


def parts(value: Any) -> Iterator[Any]:
    """The arrays and numbers in a result."""
    if isinstance(value, (list, tuple)):
        for each in value:
            yield from parts(each)
    elif isinstance(value, (np.ndarray, np.generic, float, complex)) and not isinstance(
        value, np.ma.MaskedArray
    ):
        yield value


def outs(out: Any) -> tuple:
    return () if out is None else tuple(o for o in out if o is not None) if isinstance(out, tuple) else (out,)


def _shown(value: Any) -> str:
    if isinstance(value, (np.ndarray, np.generic)):
        return f"{value.shape} {value.dtype}"
    if isinstance(value, (bool, int, float, complex, type(None))):
        return repr(value)
    if isinstance(value, str):
        return repr(value) if len(value) < 40 else "str"
    if isinstance(value, (list, tuple)) and len(value) < 10:
        inner = ", ".join(map(_shown, value))
        return f"[{inner}]" if isinstance(value, list) else f"({inner}{',' * (len(value) == 1)})"
    return getattr(value, "__name__", type(value).__name__)
