"""Policies, under the original's name; see `minpy.runtime.policy`."""

from minpy.errors import PolicyError as PrimitivePolicyError
from minpy.runtime.policy import (
    AutoBlacklistPolicy,
    AutoPolicy,
    BlacklistPolicy,
    OnlyMXNetPolicy,
    OnlyNumPyPolicy,
    Policy,
    PreferMXNetPolicy,
    create,
    wrap_policy,
)

__all__ = [
    "AutoBlacklistPolicy",
    "AutoPolicy",
    "BlacklistPolicy",
    "OnlyMXNetPolicy",
    "OnlyNumPyPolicy",
    "Policy",
    "PreferMXNetPolicy",
    "PrimitivePolicyError",
    "create",
    "wrap_policy",
]
