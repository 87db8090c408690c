"""Policies: which back end a piece of array work goes to.

A policy is a context manager (local to the thread or task, restored on exceptions), a global default
(`set_global_policy`), or wrapped around a function (`wrap_policy`).
"""

from __future__ import annotations

import functools
import json
import os
import tempfile
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, TypeVar

import numpy as np

from minpy.errors import PolicyError, UsageError
from minpy.runtime import entry

F = TypeVar("F", bound=Callable[..., Any])


class Policy:
    """Base of the policies.

    `wants_device` says whether a device is considered at all; then `refuse` may give a reason against it for one call.
    """

    name = "policy"
    idle = False

    def wants_device(self, host_context: bool) -> bool:
        """Whether a device is considered, given whether the current context is the host."""
        raise NotImplementedError

    def refuse(self, primitive: Any, args: tuple, kwargs: dict) -> str | None:
        """Why this call must not go to the device although it could; None to let it go."""
        return None

    def unsupported(self, primitive: Any, reason: str) -> None:
        """Called when the device cannot run a call: return to let NumPy run it, or raise `PolicyError`."""

    def failed(self, primitive: Any, args: tuple, kwargs: dict, error: Exception) -> str | None:
        """The device raised: the reason under which NumPy runs the call, or None to let the error through."""
        return f"MP107 the device raised {type(error).__name__}: {str(error).strip().splitlines()[-1][:120]}"

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

    def wants_device(self, host_context: bool) -> bool:
        return not host_context

    def refuse(self, primitive: Any, args: tuple, kwargs: dict) -> str | None:
        from minpy.runtime import dispatch

        elements, resident = dispatch.extent(args, kwargs)
        from minpy.runtime.cost import model

        if model().best(primitive.cost, elements, resident=resident) == "numpy":
            return "MP106 the cost model expects NumPy to be faster at this size"
        return None


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

    def unsupported(self, primitive: Any, reason: str) -> None:
        raise PolicyError(
            f"{primitive.name} cannot run under the policy {self.name}: {reason}. "
            "Choose prefer_mxnet to let NumPy run it"
        )

    def failed(self, primitive: Any, args: tuple, kwargs: dict, error: Exception) -> str | None:
        return None


def signature(args: tuple, kwargs: dict) -> str:
    """The kinds of the arguments, as blacklist rules name them: ``array_dim2:float32, int; axis``."""

    def kind(value: Any) -> str:
        if isinstance(value, np.ndarray):
            return f"array_dim{value.ndim}:{value.dtype}"
        if isinstance(value, (list, tuple)):
            return f"{type(value).__name__}({', '.join(sorted({kind(v) for v in value}))})"
        return type(value).__name__

    positional = ", ".join(kind(a) for a in args)
    return f"{positional}; {', '.join(sorted(kwargs))}" if kwargs else positional


class BlacklistPolicy(Policy):
    """MXNet except for listed calls.

    Parameters
    ----------
    rules : dict of str to iterable of str
        Primitive name -> argument signatures (see `signature`) that go to NumPy; ``"*"`` stands for all.
    """

    name = "blacklist"

    def __init__(self, rules: dict[str, Any] | None = None) -> None:
        self._lock = threading.Lock()
        self.rules: dict[str, set[str]] = {name: set(kinds) for name, kinds in (rules or {}).items()}

    def wants_device(self, host_context: bool) -> bool:
        return True

    def refuse(self, primitive: Any, args: tuple, kwargs: dict) -> str | None:
        kinds = self.rules.get(primitive.name)
        if kinds and ("*" in kinds or signature(args, kwargs) in kinds):
            return "MP105 blacklisted for these arguments"
        return None

    def query(self, name: str) -> list[str]:
        """The blacklisted argument signatures of the primitive `name`."""
        return sorted(self.rules.get(name, ()))


class AutoBlacklistPolicy(BlacklistPolicy):
    """MXNet first; a call on which it raises goes to NumPy, then and ever after.

    Parameters
    ----------
    gen_rule : bool
        Add a rule when MXNet raises; without it the error goes through.
    append_rule : bool
        Keep the rules that `loc` holds already, else start from none.
    loc : path, optional
        The file (JSON) the rules are loaded from and saved to by `save_rules`.
    """

    name = "auto_blacklist"

    def __init__(
        self, gen_rule: bool = True, append_rule: bool = True, loc: str | os.PathLike | None = None
    ) -> None:
        super().__init__()
        self.gen_rule, self.loc = gen_rule, loc
        if append_rule and loc is not None and os.path.exists(loc):
            self.load_rules()

    def failed(self, primitive: Any, args: tuple, kwargs: dict, error: Exception) -> str | None:
        if not self.gen_rule:
            return None
        with self._lock:
            self.rules.setdefault(primitive.name, set()).add(signature(args, kwargs))
        return super().failed(primitive, args, kwargs, error)

    def load_rules(self) -> None:
        """Read the rules from `loc`.

        Raises
        ------
        UsageError
            If the file cannot be read or is not a rules file; the present rules stay.
        """
        if self.loc is None:
            raise UsageError("this policy was made without loc=, so there is no file to load its rules from")
        try:
            with open(self.loc, encoding="utf-8") as file:
                rules = {str(name): {str(kind) for kind in kinds} for name, kinds in json.load(file).items()}
        except OSError as error:
            raise UsageError(f"{self.loc} cannot be read: {error.strerror}") from None
        except (ValueError, AttributeError, TypeError) as error:
            raise UsageError(f"{self.loc} is not a file of blacklist rules: {error}") from None
        self.rules = rules

    def save_rules(self) -> None:
        """Write the rules to `loc`, whole or not at all."""
        if self.loc is None:
            raise UsageError("this policy was made without loc=, so there is no file to save its rules to")
        folder = os.path.dirname(os.path.abspath(self.loc))
        text = json.dumps({name: sorted(kinds) for name, kinds in sorted(self.rules.items())}, indent=1)
        with tempfile.NamedTemporaryFile("w", dir=folder, delete=False, encoding="utf-8") as file:
            file.write(text)
        os.replace(file.name, self.loc)


_NAMES: dict[str, type[Policy]] = {
    policy.name: policy
    for policy in (AutoPolicy, PreferMXNetPolicy, OnlyNumPyPolicy, OnlyMXNetPolicy, AutoBlacklistPolicy)
}

# The policies entered in this thread or task, innermost last.
_local: ContextVar[tuple[Policy, ...]] = ContextVar("minpy_policy", default=())
_global: Policy = AutoPolicy()


def create(policy: str | Policy) -> Policy:
    """The policy of that name, or the policy itself.

    Raises
    ------
    UsageError
        If there is no policy of that name.
    """
    if isinstance(policy, Policy):
        return policy
    if isinstance(policy, str) and policy in _NAMES:
        return _NAMES[policy]()
    raise UsageError(f"unknown policy {policy!r}: choose from {', '.join(_NAMES)}, or give a Policy object")


def current_policy() -> Policy:
    """The policy of this thread or task, else the global one."""
    entered = _local.get()
    return entered[-1] if entered else _global


def get_global_policy() -> Policy:
    """The policy that `set_global_policy` set last (at first `AutoPolicy`)."""
    return _global


def set_global_policy(policy: str | Policy) -> None:
    """Make `policy` (a name or a policy object) the default of the whole process."""
    global _global
    new = create(policy)
    if not new.idle:
        entry.activate()
    if not _global.idle:
        entry.deactivate()
    _global = new


def wrap_policy(policy: str | Policy) -> Callable[[F], F]:
    """Decorate a function to run under `policy`; what was in force comes back however it ends."""
    chosen = create(policy)

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with chosen:
                return function(*args, **kwargs)

        return wrapper  # type: ignore[return-value]

    return decorate
