"""MinPy runs plain NumPy programs faster and differentiates them, unmodified.

The public names; each is imported on first use, so that ``import minpy`` costs next to nothing.
``__init__.pyi`` says the same to type checkers.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from minpy import mxnet_import as _mxnet_import
from minpy.version import VERSION as __version__

_WHERE = {
    "Array": "minpy.runtime.array",
    "accelerate": "minpy.transform.decorate",
    "check_grads": "minpy.autodiff",
    "checkpoint": "minpy.autodiff",
    "custom_jvp": "minpy.autodiff",
    "custom_vjp": "minpy.autodiff",
    "def_jvp": "minpy.autodiff",
    "def_vjp": "minpy.autodiff",
    "elementwise_grad": "minpy.autodiff",
    "grad": "minpy.autodiff",
    "grad_and_loss": "minpy.autodiff",
    "hessian": "minpy.autodiff",
    "hessian_vector_product": "minpy.autodiff",
    "jacobian": "minpy.autodiff",
    "jvp": "minpy.autodiff",
    "nograd": "minpy.autodiff",
    "primitive": "minpy.primitive",
    "stop_gradient": "minpy.autodiff",
    "value_and_grad": "minpy.autodiff",
    "vjp": "minpy.autodiff",
    "install": "minpy.transform.hook",
    "uninstall": "minpy.transform.hook",
    "load_ipython_extension": "minpy.transform.cells",
    "unload_ipython_extension": "minpy.transform.cells",
    "routed": "minpy.runtime.entry",
    "set_global_policy": "minpy.runtime.policy",
    "get_global_policy": "minpy.runtime.policy",
    "wrap_policy": "minpy.runtime.policy",
    "AutoPolicy": "minpy.runtime.policy",
    "PreferMXNetPolicy": "minpy.runtime.policy",
    "OnlyNumPyPolicy": "minpy.runtime.policy",
    "OnlyMXNetPolicy": "minpy.runtime.policy",
    "BlacklistPolicy": "minpy.runtime.policy",
    "AutoBlacklistPolicy": "minpy.runtime.policy",
    "Config": "minpy.config",
    "check_mxnet_version": "minpy.config",
    "Policy": "minpy.runtime.policy",
    "Context": "minpy.runtime.context",
    "cpu": "minpy.runtime.context",
    "gpu": "minpy.runtime.context",
    "set_context": "minpy.runtime.context",
    "current_context": "minpy.runtime.context",
    "nan_check": "minpy.runtime.nancheck",
    "record_op_stat": "minpy.runtime.profile",
    "show_op_stat": "minpy.runtime.profile",
}

# Modules that are there without an import of their own, as in the original.
_MODULES = frozenset(
    "array array_variants context core dispatch io nn numpy primitive tape utils visualization".split()
)

__all__ = ["__version__", *_WHERE]

_mxnet_import.install()  # so that programs may say `import mxnet`


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"minpy.{name}")
    if name == "policy":
        return import_module("minpy.dispatch.policy")
    if name not in _WHERE:
        raise AttributeError(f"module 'minpy' has no attribute {name!r}")
    module = import_module(_WHERE[name])
    # The original has a module of this name; it can be called like the function in it.
    value = module if module.__name__ == f"minpy.{name}" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE, *_MODULES, "policy"})
