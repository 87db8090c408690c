"""Modules that hold modules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy

from minpy.nn import checks
from minpy.nn.model_builder.module import Module, Shape


class _Container(Module):
    def __init__(self, *modules: Module) -> None:
        super().__init__()
        self._modules: list[Module] = []
        for module in modules:
            self._modules.append(self._checked(module))

    def _checked(self, module: Any) -> Module:
        if not isinstance(module, Module):
            raise checks.fail(type(self).__name__, f"it holds modules, not {module!r}")
        return module

    def modules(self) -> list[Module]:
        """The modules inside."""
        return list(self._modules)


class Sequential(_Container):
    """Modules one after the other.

    Parameters
    ----------
    *modules : Module
    """

    def append(self, module: Module) -> None:
        """Put a module at the end."""
        self._modules.append(self._checked(module))

    def insert(self, index: int, module: Module) -> None:
        """Put a module before that of number `index`."""
        self._modules.insert(index, self._checked(module))

    def remove(self, module: Module) -> None:
        """Take a module out."""
        if module not in self._modules:
            raise checks.fail("Sequential", f"{module!r} is not in it")
        self._modules.remove(module)

    def output_shape(self, input_shape: Shape) -> Shape:
        """That of the last module."""
        for module in self._modules:
            input_shape = module.output_shape(input_shape)
        return input_shape

    def walk(self, input_shape: Shape) -> list[tuple[Module, Shape]]:
        """The modules inside of all modules."""
        found = []
        for module in self._modules:
            found += module.walk(input_shape)
            input_shape = module.output_shape(input_shape)
        return found

    def run(self, inputs: Any, params: Mapping[Module, Mapping[str, Any]]) -> Any:
        """The outputs of the last module."""
        for module in self._modules:
            inputs = module.run(inputs, params)
        return inputs


class Add(_Container):
    """The sum of what several modules make of the same inputs.

    Parameters
    ----------
    *modules : Module
        Their outputs must have one shape.
    """

    def __init__(self, *modules: Module) -> None:
        super().__init__(*modules)
        if not modules:
            raise checks.fail("Add", "it takes one module at least")

    def output_shape(self, input_shape: Shape) -> Shape:
        """That of each module."""
        shapes = [module.output_shape(input_shape) for module in self._modules]
        if len(set(shapes)) > 1:
            raise checks.fail("Add", f"the outputs have different shapes: {', '.join(map(str, shapes))}")
        return shapes[0]

    def walk(self, input_shape: Shape) -> list[tuple[Module, Shape]]:
        """The modules inside of all modules."""
        return [each for module in self._modules for each in module.walk(input_shape)]

    def run(self, inputs: Any, params: Mapping[Module, Mapping[str, Any]]) -> Any:
        """The sum."""
        first, *rest = self._modules
        total = first.run(inputs, params)
        for module in rest:
            total = total + module.run(inputs, params)
        return total


class StochasticDepth(_Container):
    """A module that is left out, its outputs zero, for some batches of training; it is scaled accordingly in tests.

    Parameters
    ----------
    module : Module
    survival : float
        The probability that it takes part.
    """

    def __init__(self, module: Module, survival: float) -> None:
        super().__init__(module)
        self.survival = checks.fraction("StochasticDepth", "survival", survival)

    def output_shape(self, input_shape: Shape) -> Shape:
        """That of the module."""
        return self._modules[0].output_shape(input_shape)

    def walk(self, input_shape: Shape) -> list[tuple[Module, Shape]]:
        """The modules inside."""
        return self._modules[0].walk(input_shape)

    def run(self, inputs: Any, params: Mapping[Module, Mapping[str, Any]]) -> Any:
        """The outputs of the module, or zero."""
        if self.mode == "test":
            return self._modules[0].run(inputs, params) * self.survival
        if numpy.random.random_sample() >= self.survival:
            return 0.0
        return self._modules[0].run(inputs, params)
