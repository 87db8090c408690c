"""What ``__minpy__.scipy`` is while the runtime is active: SciPy's modules, with the functions that have rules.

SciPy is optional, and imported by the program or not at all. Most of its functions know plain arrays only; those
with a row in the table (families ``scipy_…``, loaded when the program has loaded their module) dispatch, those that
call the program back (solvers) have a stand-in of their own, and every other is SciPy's.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from minpy.runtime.primitives import table
from minpy.runtime.primitives.scipy_rules import stand_ins

_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, np.ufunc)

# By the function itself, so that one that the program has replaced is left alone.
_dispatchers: dict[Any, Callable[..., Any]] = {}


class _Module(types.ModuleType):
    """A module of SciPy: its functions with rules dispatch, everything else is its own."""

    def __init__(self, module: types.ModuleType) -> None:
        super().__init__(module.__name__, module.__doc__)
        self.__dict__["_module"] = module

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.__dict__["_module"], name)
        if isinstance(value, _FUNCTIONS) or type(value).__module__.startswith("scipy.stats"):
            return routed(value)
        return value

    def __dir__(self) -> list[str]:
        return dir(self.__dict__["_module"])


class _Door:
    """SciPy itself: its modules are looked up in it at each use, for they load when they are first asked for."""

    def __init__(self) -> None:
        self._modules: dict[types.ModuleType, _Module] = {}

    def __getattr__(self, name: str) -> Any:
        import scipy

        value = getattr(scipy, name)
        if not isinstance(value, types.ModuleType):
            return value
        found = self._modules.get(value)
        if found is None:
            found = self._modules[value] = _Module(value)
        return found


door = _Door()


def routed(function: Any) -> Any:
    """What a routed call of SciPy's `function` calls while the runtime is active."""
    found = _dispatchers.get(function)
    if found is None:
        primitive = table.find(function)
        if function in stand_ins:
            found = stand_ins[function]
        elif primitive is not None:
            from minpy.runtime.namespace import dispatcher

            found = dispatcher(primitive)
        else:
            return function
        _dispatchers[function] = found
    return found


# What to write instead of functions of modules that have no rules.
_INSTEAD = {
    "optimize": "the derivative of a minimum or a root follows from the conditions that hold there (implicit function "
    "theorem): give it with minpy.custom_vjp",
    "interpolate": "numpy.interp can be differentiated",
    "sparse": "dense arrays can be differentiated",
    "ndimage": "scipy.signal.convolve can be differentiated",
}


# Parts of NumPy, by their modules, that make plain arrays of what they are given.
_PLAIN = {
    "function_base": "np.vectorize works on plain numbers: write np.array([f(v) for v in x]), or f for whole arrays. ",
    "index_tricks": "np.r_ and np.c_ make plain arrays: write np.concatenate or np.column_stack. ",
    "polynomial": "numpy.polynomial makes plain arrays of coefficients: write np.polyval, or the sum. ",
}


def in_library() -> str:
    """For the message of an error: what is known about the function of NumPy's or SciPy's that the program called."""
    frame: Any = sys._getframe(1)
    called = None
    while frame is not None and (frame.f_globals.get("__name__") or "").startswith("minpy."):
        frame = frame.f_back
    package, *module = ((frame and frame.f_globals.get("__name__")) or "").split(".")
    if package == "numpy" and module:
        part = "polynomial" if module[0] == "polynomial" else module[-1].lstrip("_").removesuffix("_impl")
        vectorizes = "vectorize" in frame.f_code.co_name or "otypes" in str(frame.f_back.f_code.co_name)
        if part in _PLAIN and (part != "function_base" or vectorizes):
            return _PLAIN[part]
    while frame is not None:
        module = (frame.f_globals.get("__name__") or "").split(".")
        if module[0] == "scipy" and len(module) > 1:
            called = frame
        elif called is not None:
            break
        frame = frame.f_back
    if called is None:
        return ""
    module = (called.f_globals.get("__name__") or "").split(".")
    # A function's own name, also where a decorator of SciPy's stands around it.
    name = called.f_code.co_name
    if name in ("wrapper", "inner", "__call__", "__init__"):
        name = ""
    public = getattr(sys.modules.get(f"scipy.{module[1]}"), name, None) if name else None
    text = f"scipy.{module[1]}.{name}" if public is not None else f"a function of scipy.{module[1]}"
    if public is not None and (public in stand_ins or table.find(public) is not None):
        return f"{text} has a derivative rule, which rewritten code uses. "
    advice = _INSTEAD.get(module[1])
    return f"{text} has no derivative rule{f': {advice}' if advice else ''}. "


def distribution(value: Any) -> Any:
    """A distribution of ``scipy.stats``, so that its densities and distribution functions take values on a tape."""
    table.load_scipy()
    from minpy.runtime.primitives import scipy_stats

    return scipy_stats.traced(value)
