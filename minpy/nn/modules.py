"""Modules in the form of release 0.3.4: ``FullyConnected(num_hidden=10)(x)``.

Those that are called like an MXNet operator take its options, and its kernels. They are modules like those of
`minpy.nn.model_builder`, and go together with them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy

import minpy.numpy as np
from minpy.nn import checks, layers
from minpy.nn.model_builder import Dropout, Identity, ReLU, Tanh
from minpy.nn.model_builder import Flatten as BatchFlatten
from minpy.nn.model_builder import Reshape as BatchReshape
from minpy.nn.model_builder import Sigmoid as Logistic
from minpy.nn.model_builder.layer import Layer
from minpy.nn.model_builder.module import Module, Shape
from minpy.nn.model_builder.parameters import Parameters

__all__ = [
    "LSTM",
    "RNN",
    "BatchFlatten",
    "BatchNorm",
    "BatchReshape",
    "Convolution",
    "Dropout",
    "Embedding",
    "Flatten",
    "FullyConnected",
    "Identity",
    "Logistic",
    "Pooling",
    "ReLU",
    "Reshape",
    "Symbolic",
    "Tanh",
    "Variable",
]

Configs = Mapping[str, Mapping[str, Any]] | None


class Variable(Layer):
    """A parameter by itself: called without inputs, it gives its value.

    Parameters
    ----------
    shape : tuple of int
    init_configs, update_configs : mapping, optional
        Of the parameter, whose name is ``variable``: ``{'init_rule': …}``; see `Layer`.
    name : str, optional
    """

    def __init__(
        self,
        shape: Shape,
        init_configs: Mapping[str, Any] | None = None,
        update_configs: Mapping[str, Any] | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(
            ("variable",),
            name=name,
            init_configs={"variable": init_configs} if init_configs else None,
            update_configs={"variable": update_configs} if update_configs else None,
        )
        self._shape = tuple(shape)

    def param_shapes(self, *input_shapes: Shape) -> dict[str, Shape]:
        return {"variable": self._shape}

    def forward(self, *inputs: Any) -> Any:
        return self.param("variable")

    def __call__(self, *inputs: Any) -> Any:
        """Its value."""
        if self.parameters is None:
            self.bind(Parameters())
        return self.run(inputs, self.parameters)  # type: ignore[arg-type]


class Reshape(Module):
    """Arrays of another shape, the axis of samples included; `BatchReshape` leaves that alone.

    Parameters
    ----------
    shape : tuple of int
        One length may be -1.
    """

    def __init__(self, shape: Sequence[int], name: str | None = None) -> None:
        super().__init__(name)
        self._shape = tuple(shape)

    def forward(self, inputs: Any, params: Mapping[str, Any]) -> Any:
        return np.reshape(inputs, self._shape)


class Flatten(Module):
    """Arrays as one vector; `BatchFlatten` makes one of each sample."""

    def forward(self, inputs: Any, params: Mapping[str, Any]) -> Any:
        return np.reshape(inputs, (math.prod(numpy.shape(inputs)),))


class Symbolic(Layer):
    """An MXNet symbol as a module.

    Parameters
    ----------
    symbol : mxnet.symbol.Symbol
    variables : sequence of str, optional
        Which of its arguments are inputs, in their order; ``data`` if there is one, else the first argument. All others
        are parameters; labels (``…_label``) may be left out.
    init_configs, update_configs : mapping, optional
        See `Layer`.
    name : str, optional
    """

    def __init__(
        self,
        symbol: Any,
        variables: Sequence[str] | None = None,
        init_configs: Configs = None,
        update_configs: Configs = None,
        name: str | None = None,
    ) -> None:
        from minpy.symbols import Function

        super().__init__(name=name, init_configs=init_configs, update_configs=update_configs)
        self._function = Function(symbol, name=name or type(self).__name__)
        arguments = symbol.list_arguments()
        if variables is None:
            variables = ("data",) if "data" in arguments else arguments[:1]
        for each in variables:
            checks.choice(type(self).__name__, "a name in variables", each, arguments)
        self._variables = tuple(variables)
        self._states = symbol.list_auxiliary_states()

    def _shapes(self, input_shapes: tuple[Shape, ...]) -> tuple[dict[str, Shape], dict[str, Shape]]:
        if len(input_shapes) != len(self._variables):
            raise checks.fail(
                type(self).__name__,
                f"it takes {len(self._variables)} inputs ({', '.join(self._variables)}), not {len(input_shapes)}",
            )
        given = tuple(sorted(zip(self._variables, input_shapes, strict=True)))
        arguments, states, _ = self._function._shapes_of(given)
        return arguments, states

    def param_shapes(self, *input_shapes: Shape) -> dict[str, Shape]:
        arguments, _ = self._shapes(input_shapes)
        return {
            name: shape
            for name, shape in arguments.items()
            if name not in self._variables and not name.endswith("_label")
        }

    def aux_param_shapes(self, *input_shapes: Shape) -> dict[str, Shape]:
        return self._shapes(input_shapes)[1]

    def forward(self, *inputs: Any) -> Any:
        self._function.is_train = self.mode == "train"
        # MXNet writes the auxiliary states in place, in its backward run.
        given = {**self._current, **self.aux_params, **dict(zip(self._variables, inputs, strict=True))}
        return self._function(**given)


class _Operator(Symbolic):
    """One operator of MXNet."""

    _inputs: tuple[str, ...] = ("data",)

    def __init__(
        self,
        *args: Any,
        init_configs: Configs = None,
        update_configs: Configs = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        from minpy.runtime.backends.mxnet import load

        symbols = load().sym
        data = [symbols.Variable(each) for each in self._inputs]
        symbol = getattr(symbols, type(self).__name__)(*data, *args, name="operator", **kwargs)
        super().__init__(symbol, self._inputs, init_configs, update_configs, name)

    # A parameter is called ``operator_weight`` in the symbol, ``weight`` in the module.
    def param_shapes(self, *input_shapes: Shape) -> dict[str, Shape]:
        return _shortened(super().param_shapes(*input_shapes))

    def aux_param_shapes(self, *input_shapes: Shape) -> dict[str, Shape]:
        return _shortened(super().aux_param_shapes(*input_shapes))

    def forward(self, *inputs: Any) -> Any:
        self._function.is_train = self.mode == "train"
        own = {f"operator_{name}": value for name, value in {**self._current, **self.aux_params}.items()}
        return self._function(**own, **dict(zip(self._inputs, inputs, strict=True)))


def _shortened(named: dict[str, Shape]) -> dict[str, Shape]:
    return {name.removeprefix("operator_"): shape for name, shape in named.items()}


class FullyConnected(_Operator):
    """``mxnet.sym.FullyConnected``: ``x · weightᵀ + bias``, with ``weight`` of shape (num_hidden, D).

    Parameters
    ----------
    *args, **kwargs
        Those of the operator: ``num_hidden=10``, ``no_bias=True`` …
    init_configs, update_configs, name : optional
        See `Layer`.
    """


class Convolution(_Operator):
    """``mxnet.sym.Convolution`` of images (N, C, H, W).

    Parameters
    ----------
    *args, **kwargs
        Those of the operator: ``kernel=(3, 3)``, ``num_filter=8``, ``stride``, ``pad`` …
    init_configs, update_configs, name : optional
        See `Layer`.
    """


class Pooling(_Operator):
    """``mxnet.sym.Pooling`` of images (N, C, H, W).

    Parameters
    ----------
    *args, **kwargs
        Those of the operator: ``kernel=(2, 2)``, ``pool_type='max'``, ``stride`` …
    name : optional
    """


class BatchNorm(_Operator):
    """``mxnet.sym.BatchNorm``: the moving averages are auxiliary values, which change in the backward run.

    Parameters
    ----------
    *args, **kwargs
        Those of the operator: ``eps``, ``momentum``, ``fix_gamma`` …
    init_configs, update_configs, name : optional
        See `Layer`.
    """


class Embedding(_Operator):
    """``mxnet.sym.Embedding``: a row of ``weight`` for each number.

    Parameters
    ----------
    *args, **kwargs
        Those of the operator: ``input_dim``, ``output_dim``.
    init_configs, update_configs, name : optional
        See `Layer`.
    """


_ACTIVATIONS = {"relu": layers.relu, "sigmoid": layers.sigmoid, "tanh": layers.tanh}


class _Recurrent(Layer):
    gates = 1

    def __init__(
        self,
        num_hidden: int,
        act_type: str = "tanh",
        init_configs: Configs = None,
        update_configs: Configs = None,
        name: str | None = None,
    ) -> None:
        kind = type(self).__name__
        checks.choice(kind, "act_type", act_type, _ACTIVATIONS)
        self._hidden, self._activate = checks.positive(kind, "num_hidden", num_hidden), _ACTIVATIONS[act_type]
        begins = {"WX": {"init_rule": "xavier"}, "Wh": {"init_rule": "xavier"}, **(init_configs or {})}
        super().__init__(("WX", "Wh", "bias"), None, name, begins, update_configs)

    def param_shapes(self, input_shape: Shape, *states: Shape) -> dict[str, Shape]:  # type: ignore[override]
        if len(input_shape) != 2:
            raise checks.fail(type(self).__name__, f"it takes inputs of shape (N, D), not {input_shape}")
        columns = self.gates * self._hidden
        return {"WX": (input_shape[1], columns), "Wh": (self._hidden, columns), "bias": (columns,)}

    def _state(self, x: Any, state: Any) -> Any:
        if state is None:
            return np.zeros((numpy.shape(x)[0], self._hidden), x.dtype)
        checks.shape_of(type(self).__name__, "a state", state, (numpy.shape(x)[0], self._hidden))
        return state


class RNN(_Recurrent):
    """One step of a recurrent network: ``act(x · WX + h · Wh + bias)``.

    Parameters
    ----------
    num_hidden : int
    act_type : {'tanh', 'relu', 'sigmoid'}
    init_configs, update_configs, name : optional
        See `Layer`; the parameters are ``WX``, ``Wh`` and ``bias``.

    Examples
    --------
    >>> h = rnn(x, h)
    """

    def forward(self, x: Any, h: Any = None) -> Any:  # type: ignore[override]
        """The next state, shape (N, num_hidden); the first is zero if it is not given."""
        return self._activate(
            x @ self.param("WX") + self._state(x, h) @ self.param("Wh") + self.param("bias")
        )


class LSTM(_Recurrent):
    """One step of a long short-term memory; the columns of the parameters are the gates i, f, o, g.

    Parameters
    ----------
    num_hidden : int
    act_type : {'tanh', 'relu', 'sigmoid'}
        Of the gate g, and of the cell.
    init_configs, update_configs, name : optional
        See `Layer`; the parameters are ``WX``, ``Wh`` and ``bias``.

    Examples
    --------
    >>> h, c = lstm(x, h, c)
    """

    gates = 4

    def forward(self, x: Any, h: Any = None, c: Any = None) -> Any:  # type: ignore[override]
        """The next state and cell, each of shape (N, num_hidden); the first are zero if they are not given."""
        h, c = self._state(x, h), self._state(x, c)
        gates = x @ self.param("WX") + h @ self.param("Wh") + self.param("bias")
        n = self._hidden
        i, f, o = (layers.sigmoid(gates[:, k * n : (k + 1) * n]) for k in range(3))
        c = f * c + i * self._activate(gates[:, 3 * n :])
        return o * self._activate(c), c
