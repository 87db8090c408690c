"""Modules that hold modules."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy

from minpy.nn import checks
from minpy.nn.model_builder.module import Module, Shape
from minpy.nn.model_builder.parameters import Parameters


class Container(Module):
    """A module that holds modules.

    Parameters
    ----------
    *modules : Module
    name : str, optional
    """

    def __init__(self, *modules: Module, name: str | None = None) -> None:
        super().__init__(name)
        self._modules: list[Module] = []
        for module in modules:
            self._modules.append(self._checked(module))

    def _checked(self, module: Any) -> Module:
        if not isinstance(module, Module):
            raise checks.fail(type(self).__name__, f"it holds modules, not {module!r}")
        if self.parameters is not None:
            module.bind(self.parameters)
        return module

    def modules(self) -> list[Module]:
        """The modules inside."""
        return list(self._modules)


class Sequential(Container):
    """Modules one after the other.

    Parameters
    ----------
    *modules : Module
    name : str, optional
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

    def pop(self, index: int = -1) -> Module:
        """Take the module of number `index` out, and return it."""
        if not -len(self._modules) <= index < len(self._modules):
            raise checks.fail(
                "Sequential", f"index {index} is out of range: it holds {len(self._modules)} modules"
            )
        return self._modules.pop(index)

    def reverse(self) -> None:
        """Put the modules into the opposite order."""
        self._modules.reverse()

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

    def run(self, inputs: Any, params: Parameters) -> Any:
        """The outputs of the last module."""
        for module in self._modules:
            inputs = module.run(inputs, params)
        return inputs


class Add(Container):
    """The sum of what several modules make of the same inputs.

    Parameters
    ----------
    *modules : Module
        Their outputs must have one shape.
    """

    def __init__(self, *modules: Module, name: str | None = None) -> None:
        super().__init__(*modules, name=name)
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

    def run(self, inputs: Any, params: Parameters) -> Any:
        """The sum."""
        first, *rest = self._modules
        total = first.run(inputs, params)
        for module in rest:
            total = total + module.run(inputs, params)
        return total


class Parallel(Container):
    """Modules beside each other: what each makes of the inputs, or of its own one of several, as a tuple.

    Parameters
    ----------
    *modules : Module
    name : str, optional
    """

    def output_shape(self, input_shape: Shape) -> Any:
        """That of each module."""
        return tuple(module.output_shape(input_shape) for module in self._modules)

    def walk(self, input_shape: Shape) -> list[tuple[Module, Shape]]:
        """The modules inside of all modules."""
        return [each for module in self._modules for each in module.walk(input_shape)]

    def run(self, inputs: Any, params: Parameters) -> Any:
        """The outputs of each."""
        given = inputs if isinstance(inputs, tuple) else (inputs,) * len(self._modules)
        if len(given) != len(self._modules):
            raise checks.fail(
                "Parallel", f"it holds {len(self._modules)} modules, but got {len(given)} inputs"
            )
        return tuple(module.run(each, params) for module, each in zip(self._modules, given, strict=True))


class Binary(Container):
    """What an operator makes of the outputs of two modules for the same inputs.

    Parameters
    ----------
    left, right : Module
    operator : callable
        Of two arrays.
    name : str, optional
    """

    def __init__(
        self, left: Module, right: Module, operator: Callable[[Any, Any], Any], name: str | None = None
    ) -> None:
        super().__init__(left, right, name=name)
        if not callable(operator):
            raise checks.fail(
                type(self).__name__, f"operator must be a function of two arrays, not {operator!r}"
            )
        self._operator = operator

    def output_shape(self, input_shape: Shape) -> Shape:
        """What the shapes of both broadcast to."""
        shapes = [module.output_shape(input_shape) for module in self._modules]
        try:
            return numpy.broadcast_shapes(*shapes)
        except ValueError:
            raise checks.fail(
                type(self).__name__, f"the outputs have different shapes: {', '.join(map(str, shapes))}"
            ) from None

    def walk(self, input_shape: Shape) -> list[tuple[Module, Shape]]:
        """The modules inside of both."""
        return [each for module in self._modules for each in module.walk(input_shape)]

    def run(self, inputs: Any, params: Parameters) -> Any:
        """What the operator makes of both."""
        left, right = self._modules
        return self._operator(left.run(inputs, params), right.run(inputs, params))


class Sub(Binary):
    """The difference of what two modules make of the same inputs.

    Parameters
    ----------
    left, right : Module
    name : str, optional
    """

    def __init__(self, left: Module, right: Module, name: str | None = None) -> None:
        super().__init__(left, right, operator.sub, name)


class Mul(Binary):
    """The product of what two modules make of the same inputs.

    Parameters
    ----------
    left, right : Module
    name : str, optional
    """

    def __init__(self, left: Module, right: Module, name: str | None = None) -> None:
        super().__init__(left, right, operator.mul, name)


class StochasticDepth(Container):
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

    def run(self, inputs: Any, params: Parameters) -> Any:
        """The outputs of the module, or zero."""
        if self.mode == "test":
            return self._modules[0].run(inputs, params) * self.survival
        if numpy.random.random_sample() >= self.survival:
            return 0.0
        return self._modules[0].run(inputs, params)
