"""Gradients and MXNet symbols as functions, under the original's names; see `minpy.autodiff` and `minpy.symbols`."""

from minpy.autodiff import grad, grad_and_loss
from minpy.symbols import Function, MXNetSymbolError

__all__ = ["Function", "MXNetSymbolError", "grad", "grad_and_loss"]
