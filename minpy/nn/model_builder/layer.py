"""`Layer`: a module in the form of release 0.3.4, whose parameters are attributes of it while it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy

from minpy.nn import checks
from minpy.nn.model_builder.module import Module, Shape
from minpy.nn.model_builder.parameters import Parameters

# What parameters begin with, by the ends of their names; zero else.
_BY_NAME: dict[str, dict[str, Any]] = {
    "weight": {"init_rule": "xavier"},
    "gamma": {"init_rule": "constant", "init_config": {"value": 1.0}},
}
_AUX_BY_NAME = {"moving_var": 1.0}
_ZERO: dict[str, Any] = {"init_rule": "constant", "init_config": {"value": 0.0}}
_SETTINGS = ("init_rule", "init_config")


class Layer(Module):
    """A module whose `forward` takes one or several inputs, and asks for its parameters by name.

    Define `forward` and `param_shapes`, and `aux_param_shapes` where there are auxiliary values. Shapes are those of
    whole inputs. Parameters whose names end in ``weight`` begin by the rule ``xavier``, those in ``gamma`` with one,
    all others with zero; `init_configs` says otherwise.

    Parameters
    ----------
    params, aux_params : sequence of str, optional
        The names of parameters and of auxiliary values, to be checked against the shapes.
    name : str, optional
    init_configs : mapping, optional
        Of names to ``{'init_rule': …, 'init_config': {…}}``; see `minpy.nn.init`.
    update_configs : mapping, optional
        Of names to ``{'update_rule': …, 'learning_rate': …}``; see `minpy.nn.optim`.

    Examples
    --------
    >>> class Scale(Layer):
    ...     def __init__(self):
    ...         super().__init__(params=("gamma",))
    ...
    ...     def param_shapes(self, input_shape):
    ...         return {"gamma": input_shape[1:]}
    ...
    ...     def forward(self, x):
    ...         return x * self.param("gamma")
    """

    def __init__(
        self,
        params: Sequence[str] | None = None,
        aux_params: Sequence[str] | None = None,
        name: str | None = None,
        init_configs: Mapping[str, Mapping[str, Any]] | None = None,
        update_configs: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        super().__init__(name)
        self._wanted = None if params is None else tuple(params)
        self._wanted_aux = None if aux_params is None else tuple(aux_params)
        self._init_configs = dict(init_configs or {})
        self._update_configs = dict(update_configs or {})
        self._current: dict[str, Any] = {}

    def param_shapes(self, *input_shapes: Shape) -> dict[str, Shape]:
        """The shape of each parameter, given those of the inputs; none by default."""
        return {}

    def aux_param_shapes(self, *input_shapes: Shape) -> dict[str, Shape]:
        """The shape of each auxiliary value; none by default."""
        return {}

    def forward(self, *inputs: Any) -> Any:  # type: ignore[override]
        """The outputs for a batch."""
        raise NotImplementedError(f"{type(self).__name__} must define forward(*inputs)")

    def param(self, name: str) -> Any:
        """The parameter `name`, while the layer runs."""
        if name not in self._current:
            raise checks.fail(
                type(self).__name__,
                f"it has no parameter {name!r}: it has {', '.join(map(repr, self._current)) or 'none'}",
            )
        return self._current[name]

    def _get_params(self, *names: str) -> Any:
        found = tuple(self.param(name) for name in names)
        return found[0] if len(found) == 1 else found

    # ----- what the network asks for

    def declaration(self, inputs: Any) -> tuple[Mapping[str, Shape], Mapping[str, Any], Mapping[str, Any]]:
        """Shapes and settings of the parameters, and auxiliary values, for a batch of inputs."""
        given = inputs if isinstance(inputs, tuple) else (inputs,)
        input_shapes = [numpy.shape(each) for each in given]
        shapes, aux_shapes = self.param_shapes(*input_shapes), self.aux_param_shapes(*input_shapes)
        for what, wanted, found in (
            ("param_shapes", self._wanted, shapes),
            ("aux_param_shapes", self._wanted_aux, aux_shapes),
        ):
            if wanted is not None and set(wanted) != set(found):
                raise checks.fail(
                    type(self).__name__,
                    f"{what} gives {sorted(found)}, but the layer was made with {sorted(wanted)}",
                )
        for what, configs in (("init_configs", self._init_configs), ("update_configs", self._update_configs)):
            for name in configs:
                checks.choice(type(self).__name__, f"a name in {what}", name, shapes)
        settings = {name: {**self._initial(name), **self._updates(name)} for name in shapes}
        aux = {
            name: numpy.full(shape, next((v for end, v in _AUX_BY_NAME.items() if name.endswith(end)), 0.0))
            for name, shape in aux_shapes.items()
        }
        return shapes, settings, aux

    def _initial(self, name: str) -> dict[str, Any]:
        if name in self._init_configs:
            config = dict(self._init_configs[name])
            for setting in config:
                checks.choice(
                    type(self).__name__, f"a setting of {name!r} in init_configs", setting, _SETTINGS
                )
            return config
        return next((config for end, config in _BY_NAME.items() if name.endswith(end)), _ZERO)

    def _updates(self, name: str) -> dict[str, Any]:
        config = dict(self._update_configs.get(name, {}))
        found = {}
        if "update_rule" in config:
            found["update_rule"] = config.pop("update_rule")
        config.update(config.pop("optim_config", {}))
        return {**found, "optim_config": config} if config else found

    def run(self, inputs: Any, params: Parameters) -> Any:
        """The outputs."""
        self._current = params.of(self, inputs)
        try:
            outputs = self.forward(*(inputs if isinstance(inputs, tuple) else (inputs,)))
        finally:
            self._current = {}
        params.keep(self)
        return outputs
