"""`Module`: a part of a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy

from minpy.nn import checks
from minpy.nn.model_builder.parameters import Parameters, running

Shape = tuple[int, ...]


class Module:
    """A part of a network: what it computes, and which parameters it has.

    To write one, define `forward`, and where they are not the defaults `output_shape`, `parameter_shape` and
    `parameter_settings`. Names of parameters are the module's own; in the model, the module's name, or its kind and
    number, stand before them. A module that occurs several times in a network has the same parameters everywhere.

    A module can also be called: ``module(x)``. Its parameters begin at the first call, with the shapes that the inputs
    ask for, and belong to the model that the module is an attribute of, or to itself.

    Parameters
    ----------
    name : str, optional
        Stands before the names of its parameters.

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
    name: str | None = None
    aux_params: dict[str, Any]
    parameters: Parameters | None = None

    def __init__(self, name: str | None = None) -> None:
        self.aux_params = {}
        if name is not None:
            self.name = name

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

    def run(self, inputs: Any, params: Parameters) -> Any:
        """The outputs; `params` has those of each module. For containers; others define `forward`."""
        outputs = self.forward(inputs, params.of(self, inputs))
        params.keep(self)
        return outputs

    def declaration(self, inputs: Any) -> tuple[Mapping[str, Shape], Mapping[str, Any], Mapping[str, Any]]:
        """Shapes and settings of the parameters, and auxiliary values, for a batch of inputs."""
        shape = numpy.shape(inputs)[1:]
        return self.parameter_shape(shape), self.parameter_settings(), self.aux_parameters(shape)

    # ----- called by the program

    def __call__(self, *inputs: Any) -> Any:
        """The outputs for a batch of inputs, or for several."""
        if self.parameters is None:
            model = running.get()
            if model is not None:
                self._run_for(getattr(model.model, "mode", self.mode))
            self.bind(self._inside_parameters() or model or Parameters())
        return self.run(inputs[0] if len(inputs) == 1 else inputs, self.parameters)  # type: ignore[arg-type]

    def _inside_parameters(self) -> Parameters | None:
        """Those of a module inside: what is put together for one call is a part of their model."""
        for module in self.modules():
            found = module.parameters or module._inside_parameters()
            if found is not None:
                return found
        return None

    def bind(self, parameters: Parameters) -> None:
        """Make the parameters of this module, and of those inside, part of these."""
        if self.parameters is not None and self.parameters is not parameters and self.parameters.has(self):
            raise checks.fail(
                type(self).__name__, "it has parameters already, and cannot become a part of another model"
            )
        self.parameters = parameters
        for module in self.modules():
            module.bind(parameters)

    @property
    def param_dict(self) -> dict[str, Any]:
        """The parameters, by their names in the model; those of the modules inside, too."""
        return self._values("_names", "params")

    @property
    def aux_param_dict(self) -> dict[str, Any]:
        """The auxiliary values, by their names in the model."""
        return self._values("_aux_names", "aux_params")

    def _values(self, names: str, values: str) -> dict[str, Any]:
        if self.parameters is None:
            return {}
        full = getattr(self.parameters, names).get(self, {}).values()
        found = {name: getattr(self.parameters.model, values).get(name) for name in full}
        for module in self.modules():
            found |= module._values(names, values)
        return found

    def training(self) -> None:
        """Run for training from here on."""
        self._run_for("train")

    def inference(self) -> None:
        """Run for inference from here on."""
        self._run_for("test")

    def _run_for(self, mode: str) -> None:
        self.mode = mode
        for module in self.modules():
            module._run_for(mode)

    def __add__(self, other: Module) -> Module:
        return _combined("Add", self, other)

    def __sub__(self, other: Module) -> Module:
        return _combined("Sub", self, other)

    def __mul__(self, other: Module) -> Module:
        return _combined("Mul", self, other)

    def _wants(self, shape: Shape, axes: int, what: str) -> None:
        if len(shape) != axes:
            raise checks.fail(type(self).__name__, f"it takes samples of shape {what}, not {shape}")


def _combined(kind: str, left: Module, right: Any) -> Any:
    if not isinstance(right, Module):
        return NotImplemented
    from minpy.nn.model_builder import containers

    return getattr(containers, kind)(left, right)


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
