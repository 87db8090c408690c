"""Dispatch: policies, rules, registries, under the original's names; see `minpy.runtime`."""

from minpy.dispatch import policy, primitive_selector, registry, rule

__all__ = ["policy", "primitive_selector", "registry", "rule"]
