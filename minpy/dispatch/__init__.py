"""Dispatch policies, under the original's name; see `minpy.runtime.policy`."""

from minpy.dispatch import policy

__all__ = ["policy"]
