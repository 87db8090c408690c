"""Derivatives of programs as written."""

from minpy.autodiff.reverse import grad, grad_and_loss, stop_gradient, value_and_grad

__all__ = ["grad", "grad_and_loss", "stop_gradient", "value_and_grad"]
