"""A function of a namespace that is looked up at each call, under the original's name."""

from __future__ import annotations

from types import ModuleType
from typing import Any


class PrimitiveSelector:
    """Calls the function `name` of a module under the policy of that module, whatever it is then.

    Parameters
    ----------
    name : str
    mod : module
        ``minpy.numpy``, or a `minpy.numpy.mocking.Module`.
    """

    def __init__(self, name: str, mod: ModuleType) -> None:
        self.name, self.mod = name, mod

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The result of the function."""
        return self.mod.policy.resolve_call(self.name, self.mod.__registry__, args, kwargs)

    def __repr__(self) -> str:
        return f"<PrimitiveSelector {self.name}>"
