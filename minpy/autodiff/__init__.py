"""Derivatives of programs as written."""

from minpy.autodiff.check import check_grads
from minpy.autodiff.checkpoint import checkpoint
from minpy.autodiff.constants import nograd, stop_gradient
from minpy.autodiff.custom import custom_jvp, custom_vjp, def_jvp, def_vjp, defjvp, defvjp, primitive
from minpy.autodiff.forward import hessian_vector_product, jvp
from minpy.autodiff.matrices import hessian, jacobian
from minpy.autodiff.reverse import elementwise_grad, grad, grad_and_loss, value_and_grad, vjp

__all__ = [
    "check_grads",
    "checkpoint",
    "custom_jvp",
    "custom_vjp",
    "def_jvp",
    "def_vjp",
    "defjvp",
    "defvjp",
    "elementwise_grad",
    "grad",
    "grad_and_loss",
    "hessian",
    "hessian_vector_product",
    "jacobian",
    "jvp",
    "nograd",
    "primitive",
    "stop_gradient",
    "value_and_grad",
    "vjp",
]
