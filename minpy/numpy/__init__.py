"""The explicit namespace: ``import minpy.numpy as np``.

Every function is the dispatcher that rewritten code calls while the runtime is active, so a program that
imports it needs no rewriting. Names that are no array functions (``pi``, ``float32``, ``newaxis`` …) are
NumPy's own. What the original had and NumPy has not is in `minpy.numpy.operators`; plain arrays can be asked for
`asnumpy` and `context` (`minpy.array`).
"""

from __future__ import annotations

import sys as _sys
from importlib import import_module as _import_module
from typing import Any as _Any

import numpy as _numpy

from minpy import array as _array
from minpy.dispatch.registry import Registry as _Registry
from minpy.numpy import mocking as _mocking
from minpy.numpy.mocking import generate_attrs as generate_attrs
from minpy.numpy.mocking import set_policy as set_policy
from minpy.runtime import namespace as _namespace
from minpy.runtime.profile import record_op_stat, show_op_stat

_door = _namespace.numpy_door()
# Bound here, not looked up by `__getattr__` below: that would cost more than the call itself.
globals().update({_name: _value for _name, _value in vars(_door).items() if not _name.startswith("_")})
for _name in ("random", "linalg", "fft"):
    # `import minpy.numpy.random` finds what `np.random` is.
    _sys.modules[f"{__name__}.{_name}"] = getattr(_door, _name)

_OWN = ("generate_attrs", "policy", "record_op_stat", "set_policy", "show_op_stat", "wrap")

# Names that NumPy had for Python's own types when the original was written.
_old_types = {"bool", "complex", "float", "int", "long", "object", "str"} - set(vars(_numpy))
policy = _mocking.PolicyView()
wrap = _array.wrap
__registry__ = _Registry("numpy")
random.policy, random.record_op_stat, random.show_op_stat = policy, record_op_stat, show_op_stat  # noqa: F821
random.__dict__["__registry__"] = _Registry("numpy.random")  # noqa: F821


def __getattr__(name: str) -> _Any:
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name not in _old_types and hasattr(_door, name):  # (NumPy warns of some of the old ones)
        return getattr(_door, name)
    found = _operators().find(name)
    if found is None:
        return getattr(_door, name)  # NumPy's own message
    globals()[name] = found
    return found


def _operators() -> _Any:
    # (Not `from minpy.numpy import`: that would ask `__getattr__` again.)
    return _import_module("minpy.numpy.operators")


def __dir__() -> list[str]:
    return sorted({*dir(_door), *_OWN, *_operators().OWN})
