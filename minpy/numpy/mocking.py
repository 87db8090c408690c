"""Modules that stand for others, their array functions dispatched, under the original's name."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from types import ModuleType
from typing import Any

from minpy.dispatch.registry import Registry
from minpy.runtime import namespace
from minpy.runtime.policy import Policy, current_policy, set_global_policy
from minpy.runtime.profile import record_op_stat, show_op_stat


class PolicyView:
    """The policy of a module: the one in force, whatever that is, with the statistics."""

    show_op_stat = staticmethod(show_op_stat)

    def __getattr__(self, name: str) -> Any:
        return getattr(current_policy(), name)

    def __repr__(self) -> str:
        return repr(current_policy())


def set_policy(policy: str | Policy) -> None:
    """Make `policy` the process's default; `minpy.set_global_policy` says what it does."""
    warnings.warn("set_policy is minpy.set_global_policy", DeprecationWarning, stacklevel=2)
    set_global_policy(policy)


def generate_attrs(policy: str | Policy, use_selector: bool = False) -> None:
    """Make `policy` the process's default; functions ask for it at each call, so nothing else is to be done."""
    set_global_policy(policy)


class NameInjector:
    """Which names of a module are taken over as they are.

    Parameters
    ----------
    dest_mod : module
        Where they come from.
    name : str
        What the injector is called.
    injected_type : collection of type, optional
        The types of the values that are taken; by default numbers, None and types.
    name_set : collection of str, optional
        Other names that are.
    exception : collection of str, optional
        Names that are not.
    """

    def __init__(
        self,
        dest_mod: ModuleType,
        name: str = "",
        injected_type: Collection[type] | None = None,
        name_set: Collection[str] | None = None,
        exception: Collection[str] | None = None,
    ) -> None:
        self.dest_mod, self.name = dest_mod, name
        self.injected_type = {float, int, type(None), type} if injected_type is None else set(injected_type)
        self.name_set, self.exception = set(name_set or ()), set(exception or ())

    def has_name(self, name: str) -> bool:
        """Whether the name is taken over."""
        if name in self.exception or not hasattr(self.dest_mod, name):
            return False
        return name in self.name_set or type(getattr(self.dest_mod, name)) in self.injected_type

    def __getitem__(self, name: str) -> Any:
        if not self.has_name(name):
            raise KeyError(name)
        return getattr(self.dest_mod, name)


class Module(ModuleType):
    """A module that stands for another: what of it is in the table of primitives is dispatched.

    Parameters
    ----------
    old : module
        NumPy, or a submodule of it.
    name : str, optional
        What it is called in messages; `old`'s name.
    name_injector : NameInjector, optional
        Which other names it has; all of them without one.
    """

    record_op_stat = staticmethod(record_op_stat)
    show_op_stat = staticmethod(show_op_stat)
    set_policy = staticmethod(set_policy)
    generate_attrs = staticmethod(generate_attrs)
    policy = PolicyView()

    def __init__(
        self, old: ModuleType, name: str | None = None, name_injector: NameInjector | None = None
    ) -> None:
        super().__init__(name or old.__name__, old.__doc__)
        self._old, self._injector = old, name_injector
        self.__registry__ = Registry(old.__name__)

    def __getattr__(self, name: str) -> Any:
        registry = self.__dict__.get("__registry__")
        if registry is None or name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        if registry.has_name(name):
            return registry.function(name)
        if self._injector is not None and not self._injector.has_name(name):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(self._old, name)

    def __dir__(self) -> list[str]:
        return sorted({*dir(self._old), "policy", "record_op_stat", "show_op_stat"})


def door() -> ModuleType:
    """The namespace that ``minpy.numpy`` is made of."""
    return namespace.numpy_door()
