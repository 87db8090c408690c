"""Derivatives of programs as written."""

from minpy.autodiff.constants import stop_gradient
from minpy.autodiff.forward import hessian_vector_product, jvp
from minpy.autodiff.matrices import hessian, jacobian
from minpy.autodiff.reverse import elementwise_grad, grad, grad_and_loss, value_and_grad, vjp

__all__ = [
    "elementwise_grad",
    "grad",
    "grad_and_loss",
    "hessian",
    "hessian_vector_product",
    "jacobian",
    "jvp",
    "stop_gradient",
    "value_and_grad",
    "vjp",
]
