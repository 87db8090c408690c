"""The explicit namespace: ``import minpy.numpy as np``.

Every function is the dispatcher that rewritten code calls while the runtime is active, so a program that
imports it needs no rewriting. Names that are no array functions (``pi``, ``float32``, ``newaxis`` …) are
NumPy's own.
"""

from __future__ import annotations

import sys as _sys
from typing import Any as _Any

from minpy.runtime import namespace as _namespace
from minpy.runtime.policy import current_policy as _current_policy
from minpy.runtime.profile import record_op_stat as record_op_stat
from minpy.runtime.profile import show_op_stat

_door = _namespace.numpy_door()
# Bound here, not looked up by `__getattr__` below: that would cost more than the call itself.
globals().update({_name: _value for _name, _value in vars(_door).items() if not _name.startswith("_")})
for _name in ("random", "linalg", "fft"):
    # `import minpy.numpy.random` finds what `np.random` is.
    _sys.modules[f"{__name__}.{_name}"] = getattr(_door, _name)


class _PolicyView:
    """``np.policy`` of the manual: the current policy, with the statistics."""

    show_op_stat = staticmethod(show_op_stat)

    def __getattr__(self, name: str) -> _Any:
        return getattr(_current_policy(), name)


policy = _PolicyView()


def __getattr__(name: str) -> _Any:
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(_door, name)


def __dir__() -> list[str]:
    return sorted({*dir(_door), "policy", "record_op_stat", "show_op_stat"})
