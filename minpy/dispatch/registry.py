"""Which operations there are, and for which kinds of arrays, under the original's name.

The table of primitives (`minpy.runtime.primitives.table`) is what counts here; a `Registry` shows a part of it, and
holds operations of one's own.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from minpy.array_variants import ArrayType
from minpy.errors import UsageError
from minpy.runtime import namespace
from minpy.runtime.primitives import table


class PrimitiveRegistryError(UsageError):
    """There is no such operation."""


class Registry:
    """Operations of a namespace, by name and kind of arrays.

    Parameters
    ----------
    namespace : str
        ``"numpy"`` or one of its submodules shows what is in the table; any other is empty at first.
    """

    def __init__(self, namespace: str) -> None:
        self.nspace = namespace
        root, _, rest = namespace.partition(".")
        self._prefix = f"{rest}." if rest else ""
        self._shows_table = root == "numpy"
        self._own: dict[str, dict[int, Any]] = {}

    def register(self, name: str, prim: Any) -> None:
        """Add an operation (`minpy.primitive.Primitive`); of those of one name and kind the last one counts."""
        kind = (
            ArrayType.MXNET
            if getattr(prim, "type", "numpy") in ("mxnet", ArrayType.MXNET)
            else ArrayType.NUMPY
        )
        if kind in self._own.setdefault(name, {}):
            warnings.warn(f"{name} is registered again for {kind.name}", stacklevel=2)
        self._own[name][kind] = prim

    def _row(self, name: str) -> Any:
        if not self._shows_table:
            return None
        table.load()
        return table.by_name.get(self._prefix + name)

    def has_name(self, name: str) -> bool:
        """Whether there is an operation of this name."""
        return name in self._own or self._row(name) is not None

    def exists(self, name: str, prim_type: int) -> bool:
        """Whether there is one for this kind of arrays."""
        if prim_type in self._own.get(name, ()):
            return True
        row = self._row(name)
        return row is not None and (prim_type == ArrayType.NUMPY or type(row.mxnet) is not str)

    def get(self, name: str, prim_type: int = ArrayType.NUMPY) -> Any:
        """The operation.

        Raises
        ------
        PrimitiveRegistryError
            If there is none.
        """
        if not self.exists(name, prim_type):
            raise PrimitiveRegistryError(
                f"{self.nspace} has no operation {name!r} for {ArrayType(prim_type).name}"
            )
        return self._own.get(name, {}).get(prim_type) or self._row(name)

    def function(self, name: str) -> Any:
        """What a call of the operation calls: it dispatches."""
        own = self._own.get(name)
        if own:
            return next(iter(own.values()))
        found = namespace.numpy_door()
        if self._row(name) is None:
            raise PrimitiveRegistryError(f"{self.nspace} has no operation {name!r}")
        for part in (self._prefix + name).split("."):
            found = getattr(found, part)
        return found

    def iter_available_types(
        self, name: str, bp_args: Sequence[int] = (), bp_kwargs: Sequence[str] = ()
    ) -> Iterator[ArrayType]:
        """The kinds of arrays that there are operations for, which have derivatives for these arguments."""
        row = self._row(name)
        for kind in ArrayType:
            prim = self._own.get(name, {}).get(kind)
            if prim is not None:
                if not hasattr(prim, "gradable") or prim.gradable(bp_args, bp_kwargs):
                    yield kind
            elif row is not None and self.exists(name, kind):
                if bp_kwargs or any(row.rule(i) is None and not row.flat for i in bp_args):
                    continue
                yield kind
