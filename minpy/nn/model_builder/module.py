"""`Module`: a part of a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minpy.nn import checks

Shape = tuple[int, ...]


class Module:
    """A part of a network: what it computes, and which parameters it has.

    To write one, define `forward`, and where they are not the defaults `output_shape`, `parameter_shape` and
    `parameter_settings`. Names of parameters are the module's own; in the model, the module's name and number stand
    before them. A module that occurs several times in a network has the same parameters everywhere.

    Attributes
    ----------
    mode : {'train', 'test'}
        What the network is run for, while it runs.
    aux_params : dict
        Values that the module keeps beside its parameters, by the names of `aux_parameters`; it may replace them.

    Examples
    --------
    >>> class Scale(Module):
    ...     def parameter_shape(self, input_shape):
    ...         return {"factor": (1,)}
    ...
    ...     def parameter_settings(self):
    ...         return {"factor": {"init_rule": "constant", "init_config": {"value": 1.0}}}
    ...
    ...     def forward(self, inputs, params):
    ...         return inputs * params["factor"]
    """

    mode = "train"
    aux_params: dict[str, Any]

    def __init__(self) -> None:
        self.aux_params = {}

    def forward(self, inputs: Any, params: Mapping[str, Any]) -> Any:
        """The outputs for a batch of inputs."""
        raise NotImplementedError(f"{type(self).__name__} must define forward(inputs, params)")

    def output_shape(self, input_shape: Shape) -> Shape:
        """The shape of an output, given that of an input; the same by default."""
        return input_shape

    def parameter_shape(self, input_shape: Shape) -> dict[str, Shape]:
        """The shape of each parameter; none by default."""
        return {}

    def parameter_settings(self) -> dict[str, dict[str, Any]]:
        """Settings of parameters for the solver, such as ``init_rule``; none by default."""
        return {}

    def aux_parameters(self, input_shape: Shape) -> dict[str, Any]:
        """Values that are kept and saved but not learned, such as running averages; none by default."""
        return {}

    # ----- what containers override

    def modules(self) -> list[Module]:
        """The modules inside, for containers."""
        return []

    def walk(self, input_shape: Shape) -> list[tuple[Module, Shape]]:
        """All modules that have parameters of their own, each with the shape of its input."""
        return [(self, input_shape)]

    def run(self, inputs: Any, params: Mapping[Module, Mapping[str, Any]]) -> Any:
        """The outputs; `params` holds those of each module. For containers; others define `forward`."""
        return self.forward(inputs, params.get(self, {}))

    def _wants(self, shape: Shape, axes: int, what: str) -> None:
        if len(shape) != axes:
            raise checks.fail(type(self).__name__, f"it takes samples of shape {what}, not {shape}")


def initial(name: str, initializer: Any) -> dict[str, dict[str, Any]]:
    """Settings of the parameter `name`: the name of a rule, or a function of a shape."""
    if initializer is None:
        return {}
    if callable(initializer):
        return {name: {"init_rule": "custom", "init_config": {"function": initializer}}}
    return {name: {"init_rule": initializer}}


def constant(**values: float) -> dict[str, dict[str, Any]]:
    """Settings of parameters that start from a number."""
    return {
        name: {"init_rule": "constant", "init_config": {"value": value}} for name, value in values.items()
    }
