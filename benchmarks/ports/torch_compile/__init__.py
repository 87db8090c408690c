"""Ports to PyTorch's compiler."""

from benchmarks.ports.torch import finish

__all__ = ["finish"]
