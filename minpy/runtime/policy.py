"""Policies: which back end a piece of array work goes to.

A policy is a context manager (local to the thread or task, restored on exceptions), a global default
(`set_global_policy`), or wrapped around a function (`wrap_policy`).
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from contextvars import ContextVar
from typing import Any, TypeVar

from minpy.errors import DeviceMemoryError, PolicyError, UsageError
from minpy.runtime import entry
from minpy.runtime.rules import Blacklist

F = TypeVar("F", bound=Callable[..., Any])

# As in `minpy.array_variants`.
_NUMPY, _MXNET = 0, 1


class Policy:
    """Base of the policies.

    `wants_device` says whether a device is considered at all; then `refuse` may give a reason against it for one call.
    A policy of one's own may define `decide` instead, as in the original.
    """

    name = "policy"
    idle = False

    def wants_device(self, host_context: bool) -> bool:
        """Whether a device is considered, given whether the current context is the host."""
        if type(self).decide is Policy.decide:
            raise NotImplementedError(f"{type(self).__name__} must define wants_device or decide")
        return True

    def refuse(self, primitive: Any, args: tuple, kwargs: dict) -> str | None:
        """Why this call must not go to the device although it could; None to let it go."""
        if type(self).decide is not Policy.decide and self.decide((_NUMPY, _MXNET)) != _MXNET:
            return f"MP105 the policy {self.name} decides for NumPy"
        return None

    def is_left(self, device: Any, primitive: Any, args: tuple, kwargs: dict) -> bool:
        """Whether it is plain that the host runs this call, whatever the device can do."""
        return False

    def decide(self, candidates: Collection[int]) -> Any:
        """Which of the kinds of implementation (``minpy.array_variants.ArrayType``) to take; None if none may be."""
        from minpy.runtime.context import current_context

        if _MXNET in candidates and self.wants_device(current_context().is_host):
            return _MXNET
        return _NUMPY if _NUMPY in candidates else None

    def resolve_call(self, name: str, reg: Any, args: tuple, kwargs: dict) -> Any:
        """Call the function `name` of a registry (``minpy.numpy.__registry__``) under this policy."""
        with self:
            return reg.function(name)(*args, **kwargs)

    def show_op_stat(self) -> None:
        """Print what ran where: see `minpy.show_op_stat`."""
        from minpy.runtime.profile import show_op_stat

        show_op_stat()

    def unsupported(self, primitive: Any, reason: str) -> None:
        """Called when the device cannot run a call: return to let NumPy run it, or raise `PolicyError`."""

    def failed(self, primitive: Any, args: tuple, kwargs: dict, error: Exception) -> str | None:
        """The device raised: the reason under which NumPy runs the call, or None to let the error through."""
        if isinstance(error, DeviceMemoryError):
            return f"MP108 {str(error).rpartition(' [')[0]}"
        return f"MP107 the device raised {type(error).__name__}: {str(error).strip().splitlines()[-1][:120]}"

    def made(self, device: Any, result: Any) -> None:
        """NumPy ran what a device was considered for, and this is the result."""

    def __enter__(self) -> Policy:
        if not self.idle:
            entry.activate()
        _local.set((*_local.get(), self))
        return self

    def __exit__(self, *exc: object) -> None:
        _local.set(_local.get()[:-1])
        if not self.idle:
            entry.deactivate()

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class AutoPolicy(Policy):
    """Where it was measured to be fast: the cost model decides per call (the default).

    On a machine without a device, and for contexts on the host, that is NumPy.
    """

    name = "auto"
    idle = True

    def __init_subclass__(cls) -> None:
        cls.idle = vars(cls).get("idle", False)  # who decides otherwise is to be asked

    def wants_device(self, host_context: bool) -> bool:
        return not host_context

    def refuse(self, primitive: Any, args: tuple, kwargs: dict) -> str | None:
        from minpy.runtime import placement
        from minpy.runtime.context import current_context

        return placement.account(current_context().device()).refuse(primitive, args, kwargs)

    def is_left(self, device: Any, primitive: Any, args: tuple, kwargs: dict) -> bool:
        from minpy.runtime import placement

        return type(self) is AutoPolicy and placement.account(device).is_sooner_here(primitive, args, kwargs)

    def made(self, device: Any, result: Any) -> None:
        from minpy.runtime import placement

        placement.account(device).made((result,))


class PreferMXNetPolicy(Policy):
    """MXNet wherever it has a kernel, NumPy elsewhere."""

    name = "prefer_mxnet"

    def wants_device(self, host_context: bool) -> bool:
        return True


class OnlyNumPyPolicy(Policy):
    """NumPy for everything."""

    name = "only_numpy"
    idle = True

    def wants_device(self, host_context: bool) -> bool:
        return False


class OnlyMXNetPolicy(Policy):
    """MXNet for everything; what it cannot run is an error."""

    name = "only_mxnet"

    def wants_device(self, host_context: bool) -> bool:
        return True

    def decide(self, candidates: Collection[int]) -> Any:
        return _MXNET if _MXNET in candidates else None

    def refuse(self, primitive: Any, args: tuple, kwargs: dict) -> str | None:
        return None

    def unsupported(self, primitive: Any, reason: str) -> None:
        raise PolicyError(
            f"{primitive.name} cannot run under the policy {self.name}: {reason}. "
            "Choose prefer_mxnet to let NumPy run it"
        )

    def failed(self, primitive: Any, args: tuple, kwargs: dict, error: Exception) -> str | None:
        return None


class BlacklistPolicy(Policy):
    """MXNet except for listed calls.

    Parameters
    ----------
    rules : dict of str to iterable of str, optional
        Primitive name -> argument signatures (see `minpy.runtime.rules.signature`) that go to NumPy; ``"*"`` stands for
        all. Without it, those of the file that is found (see `minpy.runtime.rules.Rules`), or none.
    """

    name = "blacklist"

    def __init__(self, rules: Mapping[str, Iterable[str]] | None = None) -> None:
        self.blacklist = Blacklist()
        if rules is not None:
            self.blacklist.set_rules(rules)
        elif self.blacklist.loc is not None:
            self.blacklist.load_rules_config()

    @property
    def rules(self) -> dict[str, set[str]]:
        """Primitive name -> argument signatures."""
        return self.blacklist.rules

    @rules.setter
    def rules(self, rules: dict[str, set[str]]) -> None:
        self.blacklist.rules = rules

    def wants_device(self, host_context: bool) -> bool:
        return True

    def refuse(self, primitive: Any, args: tuple, kwargs: dict) -> str | None:
        if self.blacklist.has(primitive.name, args, kwargs):
            return "MP105 blacklisted for these arguments"
        return None

    def query(self, nspace: Any, name: str | None = None) -> list[str]:
        """The blacklisted argument signatures: ``query("exp")``, or printed as well, ``query(np, "exp")``."""
        return self.blacklist.query(nspace, name)


class AutoBlacklistPolicy(BlacklistPolicy):
    """MXNet first; a call on which it raises goes to NumPy, then and ever after.

    Parameters
    ----------
    gen_rule : bool
        Add a rule when MXNet raises; without it the error goes through.
    append_rule : bool
        Keep the rules that the file holds already, else start from none.
    loc : path, optional
        The file (JSON) the rules are loaded from and saved to by `save_rules`, or the folder it is in; see
        `minpy.runtime.rules.Rules`.
    """

    name = "auto_blacklist"

    def __init__(
        self, gen_rule: bool = False, append_rule: bool = True, loc: str | os.PathLike | None = None
    ) -> None:
        self.blacklist = Blacklist(loc)
        self.gen_rule = gen_rule
        if append_rule and self.loc is not None and os.path.exists(self.loc):
            self.load_rules()

    @property
    def loc(self) -> str | None:
        """The file of the rules."""
        return self.blacklist.loc

    def failed(self, primitive: Any, args: tuple, kwargs: dict, error: Exception) -> str | None:
        if isinstance(error, DeviceMemoryError):
            return super().failed(primitive, args, kwargs, error)  # says nothing about the operation
        if not self.gen_rule:
            return None
        self.blacklist.put(primitive.name, args, kwargs)
        return super().failed(primitive, args, kwargs, error)

    def load_rules(self) -> None:
        """Read the rules from `loc`.

        Raises
        ------
        UsageError
            If the file cannot be read or is not a rules file; the present rules stay.
        """
        self.blacklist.load_rules_config(force=True)

    def save_rules(self) -> None:
        """Write the rules to `loc`, whole or not at all."""
        self.blacklist.save_rules_config()


_NAMES: dict[str, Callable[[], Policy]] = {
    **{policy.name: policy for policy in (AutoPolicy, PreferMXNetPolicy, OnlyNumPyPolicy, OnlyMXNetPolicy)},
    AutoBlacklistPolicy.name: lambda: AutoBlacklistPolicy(gen_rule=True),
}

# The policies entered in this thread or task, innermost last.
_local: ContextVar[tuple[Policy, ...]] = ContextVar("minpy_policy", default=())
_global: Policy = AutoPolicy()


def create(plc: str | Policy) -> Policy:
    """The policy of that name, or the policy itself.

    Raises
    ------
    UsageError
        If there is no policy of that name.
    """
    if isinstance(plc, Policy):
        return plc
    if isinstance(plc, str) and plc in _NAMES:
        return _NAMES[plc]()
    raise UsageError(f"unknown policy {plc!r}: choose from {', '.join(_NAMES)}, or give a Policy object")


def current_policy() -> Policy:
    """The policy of this thread or task, else the global one."""
    entered = _local.get()
    return entered[-1] if entered else _global


def get_global_policy() -> Policy:
    """The policy that `set_global_policy` set last (at first `AutoPolicy`)."""
    return _global


def set_global_policy(plc: str | Policy) -> None:
    """Make `plc` the default of the whole process.

    Parameters
    ----------
    plc : {'auto', 'prefer_mxnet', 'only_numpy', 'only_mxnet', 'auto_blacklist'} or Policy

    Raises
    ------
    UsageError
        If there is no policy of that name; the default stays as it was.
    """
    global _global
    new = create(plc)
    if not new.idle:
        entry.activate()
    if not _global.idle:
        entry.deactivate()
    _global = new


def wrap_policy(plc: str | Policy) -> Callable[[F], F]:
    """Decorate a function to run under `plc`; what was in force comes back however it ends.

    Parameters
    ----------
    plc : str or Policy
        As `set_global_policy` takes it.

    Returns
    -------
    callable
        The decorator.

    Raises
    ------
    UsageError
        If there is no policy of that name.
    """
    chosen = create(plc)

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with chosen:
                return function(*args, **kwargs)

        return wrapper  # type: ignore[return-value]

    return decorate
