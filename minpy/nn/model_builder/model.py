"""`Model`: a network of modules as a model for the solver."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy

import minpy.numpy as np
from minpy.nn import checks, layers
from minpy.nn.model import ModelBase
from minpy.nn.model_builder.module import Module

_LOSSES = {"softmax": layers.softmax_loss, "l2": layers.l2_loss, "svm": layers.svm_loss}


class Model(ModelBase):
    """A network of modules as a model for the solver.

    A parameter is called by its module's kind, the number of the module among those of its kind, and its own name:
    ``affine0_weight``.

    Parameters
    ----------
    container : Module
        The network.
    loss : {'softmax', 'l2', 'svm'} or callable
        A function of outputs and labels.
    input_shape : tuple of int
        Of one sample.
    """

    def __init__(
        self, container: Module, loss: str | Callable[[Any, Any], Any], input_shape: int | Sequence[int]
    ) -> None:
        super().__init__()
        if not isinstance(container, Module):
            raise checks.fail("Model", f"container must be a module, not {container!r}")
        if not callable(loss):
            checks.choice("Model", "loss", loss, _LOSSES)
        self._container = container
        self._loss = loss if callable(loss) else _LOSSES[loss]
        whole = (input_shape,) if isinstance(input_shape, (int, numpy.integer)) else input_shape
        self._input_shape = tuple(checks.positive("Model", "input_shape", n) for n in whole)
        self._names: dict[Module, dict[str, str]] = {}
        self._aux_names: dict[Module, dict[str, str]] = {}
        numbers: Counter[str] = Counter()
        for module, shape in container.walk(self._input_shape):
            self._declare(module, shape, numbers)
        self.output_shape = container.output_shape(self._input_shape)
        self._all = _inside(container)

    def _declare(self, module: Module, shape: tuple[int, ...], numbers: Counter[str]) -> None:
        shapes = {name: tuple(s) for name, s in module.parameter_shape(shape).items()}
        if module in self._names:  # it is there already, with the same parameters
            for name, full in self._names[module].items():
                if shapes[name] != self.param_configs[full]["shape"]:
                    raise checks.fail(
                        "Model",
                        f"{full} would have the shape {self.param_configs[full]['shape']} at one place of its "
                        f"module and {shapes[name]} at another",
                    )
            return
        kind = type(module).__name__.lower()
        prefix = f"{kind}{numbers[kind]}_"
        aux = module.aux_parameters(shape)
        if shapes or aux:
            numbers[kind] += 1
        settings = module.parameter_settings()
        for name in settings:
            checks.choice(type(module).__name__, "a name in parameter_settings", name, shapes)
        self._names[module] = {name: prefix + name for name in shapes}
        for name, lengths in shapes.items():
            self.add_param(prefix + name, lengths, **settings.get(name, {}))
        self._aux_names[module] = {name: prefix + name for name in aux}
        for name, value in aux.items():
            self.add_aux_param(prefix + name, value)

    def forward(self, X: Any, mode: str) -> Any:
        """The outputs of the network; samples may come in another shape of the same size."""
        shape = numpy.shape(X)
        if shape[1:] != self._input_shape:
            if not shape or math.prod(shape[1:]) != math.prod(self._input_shape):
                raise checks.fail("Model", f"X must have the shape {('N', *self._input_shape)}, not {shape}")
            X = np.reshape(X, (shape[0], *self._input_shape))
        for module in self._all:
            module.mode = mode
        for module, names in self._aux_names.items():
            if names:
                module.aux_params = {name: self.aux_params[full] for name, full in names.items()}
        params = {
            module: {name: self.params[full] for name, full in names.items()}
            for module, names in self._names.items()
        }
        out = self._container.run(X, params)
        for module, names in self._aux_names.items():
            for name, full in names.items():
                self.aux_params[full] = module.aux_params[name]
        return out

    def loss(self, predict: Any, y: Any) -> Any:
        """The loss of outputs."""
        return self._loss(predict, y)


def _inside(module: Module) -> list[Module]:
    found = [module]
    for each in module.modules():
        found += _inside(each)
    return found
