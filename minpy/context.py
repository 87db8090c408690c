"""Contexts, under the original's name; see `minpy.runtime.context`."""

from minpy.runtime.context import Context, cpu, current_context, gpu, set_context

__all__ = ["Context", "cpu", "current_context", "gpu", "set_context"]
