"""Gradients, under the original's name; see `minpy.autodiff`."""

from minpy.autodiff import grad, grad_and_loss

__all__ = ["grad", "grad_and_loss"]
