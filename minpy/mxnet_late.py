"""What MXNet imports and hardly ever uses, imported when it is used.

Where they are installed, ``import mxnet`` brings in ``scipy.stats`` (for checks of random numbers in
``mxnet.test_utils``, and for calibration) and scikit-learn (for the base class of ``mxnet.model.FeedForward``): more
than half of what the import takes. While MXNet is imported others stand for them, which are gone from ``sys.modules``
afterwards and turn into the real ones at the first use.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import ModuleType
from typing import Any

_STATISTICS, _ESTIMATORS = "scipy.stats", "sklearn.base"


class _Late(ModuleType):
    """Stands for a module until something of it is wanted."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        if name == "BaseEstimator" and sys._getframe(1).f_globals.get("__name__") == "mxnet.model":
            return Estimator
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


class Estimator:
    """Stands for scikit-learn's ``BaseEstimator``, as a base class, until that is imported or wanted."""

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("__") and settle():
            return getattr(self, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __repr__(self) -> str:
        return repr(self) if settle() else object.__repr__(self)


def waits() -> bool:
    """Whether MXNet's class has the base that stands for scikit-learn's."""
    return getattr(sys.modules.get("mxnet.model"), "BASE_ESTIMATOR", None) is Estimator


def settle() -> bool:
    """Give MXNet's class scikit-learn's base; whether that was done."""
    if not waits():
        return False
    try:
        from sklearn.base import BaseEstimator
    except ImportError:  # as MXNet has it: then it is not there
        return False

    model: Any = sys.modules["mxnet.model"]
    if not waits():  # the import came here
        return True
    model.BASE_ESTIMATOR = model.BaseEstimator = BaseEstimator
    try:
        model.FeedForward.__bases__ = (BaseEstimator,)
    except TypeError:  # laid out in another way: it stays as if scikit-learn were not there
        return False
    super(model.FeedForward, model.FeedForward).__init_subclass__()
    return True


@contextmanager
def modules() -> Iterator[None]:
    """While MXNet is imported: what is installed, and not imported yet, is not."""
    made = {}
    for name in (_STATISTICS, _ESTIMATORS):
        package = name.partition(".")[0]
        if name not in sys.modules and (package in sys.modules or find_spec(package) is not None):
            made[name] = sys.modules[name] = _Late(name)
    try:
        yield
    finally:
        for name, module in made.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]
