"""The modules that compute."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import minpy.numpy as np
from minpy.nn import checks, layers
from minpy.nn.model_builder.module import Module, Shape, constant, initial

Params = Mapping[str, Any]
Pair = int | tuple[int, int]


class Affine(Module):
    """``x · w + b``, where each sample is flattened.

    Parameters
    ----------
    hidden_number : int
        How many outputs.
    initializer : str or callable, optional
        The rule for the initial weights, or a function of their shape.
    name : str, optional
        Stands before the names of the parameters.
    """

    def __init__(self, hidden_number: int, initializer: Any = None, name: str | None = None) -> None:
        super().__init__(name)
        self._hidden = checks.positive("Affine", "hidden_number", hidden_number)
        self._settings = {**initial("weight", initializer), **constant(bias=0.0)}

    def forward(self, inputs: Any, params: Params) -> Any:
        return layers.affine(inputs, params["weight"], params["bias"])

    def output_shape(self, input_shape: Shape) -> Shape:
        return (self._hidden,)

    def parameter_shape(self, input_shape: Shape) -> dict[str, Shape]:
        return {"weight": (math.prod(input_shape), self._hidden), "bias": (self._hidden,)}

    def parameter_settings(self) -> dict[str, dict[str, Any]]:
        return self._settings


class Convolution(Module):
    """Convolution of images (C, H, W).

    Parameters
    ----------
    kernel_shape : pair of int
    kernel_number : int
        How many filters.
    stride, pad : pair of int
    initializer : str or callable, optional
        The rule for the initial filters, or a function of their shape.
    name : str, optional
        Stands before the names of the parameters.
    """

    def __init__(
        self,
        kernel_shape: Pair,
        kernel_number: int,
        stride: Pair = (1, 1),
        pad: Pair = (0, 0),
        initializer: Any = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self._kernel = checks.pair("Convolution", "kernel_shape", kernel_shape)
        self._number = checks.positive("Convolution", "kernel_number", kernel_number)
        self._stride = checks.pair("Convolution", "stride", stride)
        self._pad = checks.pair("Convolution", "pad", pad, least=0)
        self._settings = {**initial("weight", initializer), **constant(bias=0.0)}

    def forward(self, inputs: Any, params: Params) -> Any:
        return layers.convolution(inputs, params["weight"], params["bias"], self._stride, self._pad)

    def output_shape(self, input_shape: Shape) -> Shape:
        self._wants(input_shape, 3, "(C, H, W)")
        return (self._number, *_places(self, input_shape, self._kernel, self._stride, self._pad))

    def parameter_shape(self, input_shape: Shape) -> dict[str, Shape]:
        self._wants(input_shape, 3, "(C, H, W)")
        return {"weight": (self._number, input_shape[0], *self._kernel), "bias": (self._number,)}

    def parameter_settings(self) -> dict[str, dict[str, Any]]:
        return self._settings


class Pooling(Module):
    """Maximum (``'max'``) or mean (``'avg'``) of windows over images (C, H, W).

    Parameters
    ----------
    mode : {'max', 'avg'}
    kernel_shape, stride, pad : pair of int
    """

    def __init__(self, mode: str, kernel_shape: Pair, stride: Pair = (1, 1), pad: Pair = (0, 0)) -> None:
        super().__init__()
        checks.choice("Pooling", "mode", mode, ("max", "avg"))
        self._how = mode  # `mode` of a module is what the network runs for
        self._kernel = checks.pair("Pooling", "kernel_shape", kernel_shape)
        self._stride = checks.pair("Pooling", "stride", stride)
        self._pad = checks.pair("Pooling", "pad", pad, least=0)

    def forward(self, inputs: Any, params: Params) -> Any:
        return layers.pooling(inputs, self._how, self._kernel, self._stride, self._pad)

    def output_shape(self, input_shape: Shape) -> Shape:
        self._wants(input_shape, 3, "(C, H, W)")
        return (input_shape[0], *_places(self, input_shape, self._kernel, self._stride, self._pad))


class GlobalPooling(Module):
    """Maximum or mean of each channel: images (C, H, W) become (C,).

    Parameters
    ----------
    mode : {'max', 'avg'}
    """

    def __init__(self, mode: str = "avg") -> None:
        super().__init__()
        checks.choice("GlobalPooling", "mode", mode, ("max", "avg"))
        self._how = mode

    def forward(self, inputs: Any, params: Params) -> Any:
        return np.max(inputs, axis=(2, 3)) if self._how == "max" else np.mean(inputs, axis=(2, 3))

    def output_shape(self, input_shape: Shape) -> Shape:
        self._wants(input_shape, 3, "(C, H, W)")
        return input_shape[:1]


class BatchNormalization(Module):
    """Columns of mean 0 and variance 1 within the batch, scaled and shifted.

    Parameters
    ----------
    epsilon : float
        Added to the variance.
    momentum : float
        What is kept of the running averages at each batch.
    name : str, optional
        Stands before the names of the parameters.
    """

    _axes, _what = 1, "(D,)"
    _layer = staticmethod(layers.batchnorm)

    def __init__(self, epsilon: float = 1e-5, momentum: float = 0.9, name: str | None = None) -> None:
        super().__init__(name)
        self._epsilon, self._momentum = (
            float(epsilon),
            checks.fraction(type(self).__name__, "momentum", momentum),
        )

    def forward(self, inputs: Any, params: Params) -> Any:
        aux = self.aux_params
        out, aux["running_mean"], aux["running_var"] = self._layer(
            inputs,
            params["gamma"],
            params["beta"],
            self.mode,
            self._epsilon,
            self._momentum,
            aux.get("running_mean"),
            aux.get("running_var"),
        )
        return out

    def parameter_shape(self, input_shape: Shape) -> dict[str, Shape]:
        self._wants(input_shape, self._axes, self._what)
        return {"gamma": input_shape[:1], "beta": input_shape[:1]}

    def parameter_settings(self) -> dict[str, dict[str, Any]]:
        return constant(gamma=1.0, beta=0.0)

    def aux_parameters(self, input_shape: Shape) -> dict[str, Any]:
        return {"running_mean": None, "running_var": None}


class SpatialBatchNormalization(BatchNormalization):
    """As `BatchNormalization`, for the channels of images (C, H, W)."""

    _axes, _what = 3, "(C, H, W)"
    _layer = staticmethod(layers.spatial_batchnorm)


class Dropout(Module):
    """Elements are dropped with the probability `p` while training.

    Parameters
    ----------
    p : float
    """

    def __init__(self, p: float, name: str | None = None) -> None:
        super().__init__(name)
        self._p = checks.fraction("Dropout", "p", p)

    def forward(self, inputs: Any, params: Params) -> Any:
        return layers.dropout(inputs, self._p, self.mode)


class Identity(Module):
    """What goes in comes out."""

    def forward(self, inputs: Any, params: Params) -> Any:
        return inputs


class ReLU(Module):
    """The positive part."""

    def forward(self, inputs: Any, params: Params) -> Any:
        return layers.relu(inputs)


class Sigmoid(Module):
    """``1 / (1 + exp(-x))``."""

    def forward(self, inputs: Any, params: Params) -> Any:
        return layers.sigmoid(inputs)


class Tanh(Module):
    """The hyperbolic tangent."""

    def forward(self, inputs: Any, params: Params) -> Any:
        return layers.tanh(inputs)


class Export(Module):
    """What goes in comes out, and is kept: ``storage[label]`` holds that of the last batch.

    Parameters
    ----------
    label : hashable
    storage : dict
    """

    def __init__(self, label: Any, storage: dict[Any, Any]) -> None:
        super().__init__()
        self._label, self._storage = label, storage

    def forward(self, inputs: Any, params: Params) -> Any:
        self._storage[self._label] = inputs
        return inputs


class Reshape(Module):
    """Samples of another shape.

    Parameters
    ----------
    shape : tuple of int
        Of a sample; one length may be -1.
    """

    def __init__(self, shape: Shape, name: str | None = None) -> None:
        super().__init__(name)
        self._shape = tuple(shape)

    def forward(self, inputs: Any, params: Params) -> Any:
        return np.reshape(inputs, (len(inputs), *self.output_shape(inputs.shape[1:])))

    def output_shape(self, input_shape: Shape) -> Shape:
        size, known = math.prod(input_shape), math.prod(n for n in self._shape if n != -1)
        free = self._shape.count(-1)
        if free > 1 or (size % known if free and known else size != known):
            raise checks.fail(
                "Reshape", f"samples of shape {input_shape} cannot have the shape {self._shape}"
            )
        return tuple(size // known if n == -1 else n for n in self._shape)


class Flatten(Module):
    """Samples as vectors."""

    def forward(self, inputs: Any, params: Params) -> Any:
        return np.reshape(inputs, (len(inputs), math.prod(inputs.shape[1:])))

    def output_shape(self, input_shape: Shape) -> Shape:
        return (math.prod(input_shape),)


def _places(
    module: Module, shape: Shape, kernel: tuple[int, int], stride: tuple[int, int], pad: tuple[int, int]
) -> Shape:
    found = tuple((shape[k + 1] + 2 * pad[k] - kernel[k]) // stride[k] + 1 for k in range(2))
    if min(found) < 1:
        raise checks.fail(
            type(module).__name__,
            f"kernel_shape {kernel} is larger than samples of shape {shape} with pad {pad}",
        )
    return found
