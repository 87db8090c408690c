"""`Model`: a network of modules as a model for the solver."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy

import minpy.numpy as np
from minpy.nn import checks, layers
from minpy.nn.io import DataBatch
from minpy.nn.model import UnknownAccessModeError
from minpy.nn.model_builder.imperative import Imperative
from minpy.nn.model_builder.module import Module
from minpy.nn.model_builder.parameters import running

_LOSSES = {"softmax": layers.softmax_loss, "l2": layers.l2_loss, "svm": layers.svm_loss}
_LAYERS = [
    name
    for name in layers.__all__
    if name.endswith(("_loss", "_cross_entropy")) and name != "temporal_softmax_loss"  # which takes a mask
]

Loss = str | Callable[..., Any]


class Model(Imperative):
    """A network of modules as a model for the solver, or to be called.

    ``Model(container, loss, input_shape)`` is a network that is put together already. A class derived from ``Model``
    may instead have modules as attributes, and define `forward` by them; ``Model(loss)`` then takes the loss alone.

    A parameter is called by its module's kind, the number of the module among those of its kind, and its own name:
    ``affine0_weight``; a module that was given a name is called by it.

    Parameters
    ----------
    container : Module
        The network.
    loss : {'softmax', 'l2', 'svm'}, the name of a loss of `minpy.nn.layers`, or callable
        A function of outputs and labels.
    input_shape : tuple of int
        Of one sample.

    Examples
    --------
    >>> class Net(Model):
    ...     def __init__(self):
    ...         super().__init__(loss="softmax_loss")
    ...         self.layers = Sequential(FullyConnected(num_hidden=64), ReLU(), FullyConnected(num_hidden=10))
    ...
    ...     def forward(self, x):
    ...         return self.layers(x)
    >>> net, updater = Net(), Updater(net, learning_rate=0.1)
    >>> loss = net(x, labels=y)
    >>> updater(net.backward())
    """

    def __init__(
        self,
        container: Module | Loss | None = None,
        loss: Loss | None = None,
        input_shape: int | Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if isinstance(container, str) or (callable(container) and not isinstance(container, Module)):
            if loss is not None or input_shape is not None:
                raise checks.fail("Model", f"container must be a module, not {container!r}")
            container, loss = None, container
        if container is not None and not isinstance(container, Module):
            raise checks.fail("Model", f"container must be a module, not {container!r}")
        self._loss = _loss_function(loss)
        self._container = container
        if container is None:
            if input_shape is not None:
                raise checks.fail("Model", "input_shape goes with a container")
            return
        if loss is None or input_shape is None:
            raise checks.fail("Model", f"{'loss' if loss is None else 'input_shape'} must be given")
        whole = (input_shape,) if isinstance(input_shape, (int, numpy.integer)) else input_shape
        self._input_shape = tuple(checks.positive("Model", "input_shape", n) for n in whole)
        for module, shape in container.walk(self._input_shape):
            self.parameters.declare(
                module,
                module.parameter_shape(shape),
                module.parameter_settings(),
                module.aux_parameters(shape),
            )
        self.output_shape = container.output_shape(self._input_shape)

    def _register(self, module: Any) -> None:
        # A container may be that of several models.
        if module is self.__dict__.get("_container", module) and type(self) is Model:
            self._registered.append(module)
            return
        super()._register(module)

    def forward(self, X: Any, mode: str | None = None) -> Any:
        """The outputs of the network; samples may come in another shape of the same size."""
        if self._container is None:
            raise NotImplementedError(f"{type(self).__name__} must define forward")
        shape = numpy.shape(X)
        if shape[1:] != self._input_shape:
            if not shape or math.prod(shape[1:]) != math.prod(self._input_shape):
                raise checks.fail("Model", f"X must have the shape {('N', *self._input_shape)}, not {shape}")
            X = np.reshape(X, (shape[0], *self._input_shape))
        mode = self.mode if mode is None else mode
        if mode not in ("train", "test"):
            raise UnknownAccessModeError(f"Model: mode must be 'train' or 'test', not {mode!r}")
        self._run_for(mode)
        return self._container.run(X, self.parameters)

    def loss(self, predict: Any, y: Any, **kwargs: Any) -> Any:
        """The loss of outputs."""
        if self._loss is None:
            raise NotImplementedError(
                f"{type(self).__name__} must be given a loss, or define loss(predict, y)"
            )
        return self._loss(predict, y, **kwargs)

    def forward_batch(self, batch: DataBatch, mode: str) -> Any:
        """The outputs for a batch."""
        if self._container is not None:
            return super().forward_batch(batch, mode)
        self._run_for(mode)
        count = self.parameters.count
        token = running.set(self.parameters)
        try:
            outputs = self.forward(*batch.data)
        finally:
            running.reset(token)
        if self.parameters.count > count:
            raise checks.fail(
                type(self).__name__,
                "parameters begin in this run, which is too late: call the model with one batch before the solver",
            )
        return outputs


def _loss_function(loss: Any) -> Callable[..., Any] | None:
    if loss is None or callable(loss):
        return loss
    checks.choice("Model", "loss", loss, [*_LOSSES, *_LAYERS])
    return _LOSSES[loss] if loss in _LOSSES else getattr(layers, loss)
