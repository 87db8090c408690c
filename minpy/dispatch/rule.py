"""Rules about what goes to NumPy, under the original's name; see `minpy.runtime.rules`."""

from minpy.runtime.rules import Blacklist, RuleError, Rules

__all__ = ["Blacklist", "RuleError", "Rules"]
