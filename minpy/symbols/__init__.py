"""MXNet symbols as differentiable functions of arrays."""

from minpy.symbols.function import Function, MXNetSymbolError

__all__ = ["Function", "MXNetSymbolError"]
