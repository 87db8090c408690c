"""The parameters of a network's modules: their names, their values, and where they begin."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy

from minpy.nn import checks, init
from minpy.nn.model import ModelBase

if TYPE_CHECKING:
    from minpy.nn.model_builder.module import Module, Shape


# Those of the model that runs in this thread or task; modules that are in no model become a part of it.
running: ContextVar[Parameters | None] = ContextVar("minpy_model", default=None)


class Parameters:
    """The parameters of modules, kept by a model.

    A parameter is called by its module's name, or by its kind and the number of the module among those of its kind,
    and its own name: ``affine0_weight``.

    Parameters
    ----------
    model : ModelBase
        Keeps the values; one that nobody else has, for a module that is in no model.

    Attributes
    ----------
    count : int
        How many modules with parameters there are.
    """

    def __init__(self, model: ModelBase | None = None) -> None:
        self.model = ModelBase() if model is None else model
        # Weak: a module without parameters may be made at each run.
        self._names: WeakKeyDictionary[Module, dict[str, str]] = WeakKeyDictionary()
        self._aux_names: WeakKeyDictionary[Module, dict[str, str]] = WeakKeyDictionary()
        self.count = 0
        self._numbers: Counter[str] = Counter()

    def has(self, module: Module) -> bool:
        """Whether a module has parameters or auxiliary values here."""
        return bool(self._names.get(module) or self._aux_names.get(module))

    def declare(
        self, module: Module, shapes: Mapping[str, Shape], settings: Mapping[str, Any], aux: Mapping[str, Any]
    ) -> None:
        """Name the parameters of a module, which may be there already; `aux` holds values or None."""
        shapes = {name: tuple(shape) for name, shape in shapes.items()}
        if module in self._names:  # it is there already, with the same parameters
            for name, full in self._names[module].items():
                if shapes[name] != self.model.param_configs[full]["shape"]:
                    raise checks.fail(
                        "Model",
                        f"{full} would have the shape {self.model.param_configs[full]['shape']} at one place of its "
                        f"module and {shapes[name]} at another",
                    )
            return
        for name in settings:
            checks.choice(type(module).__name__, "a name in parameter_settings", name, shapes)
        if module.name is not None:
            prefix = f"{module.name}_"
        else:
            kind = type(module).__name__.lower()
            prefix = f"{kind}{self._numbers[kind]}_"
            if shapes or aux:
                self._numbers[kind] += 1
        self.count += bool(shapes or aux)
        self._names[module] = {name: prefix + name for name in shapes}
        for name, lengths in shapes.items():
            self.model.add_param(prefix + name, lengths, **settings.get(name, {}))
        self._aux_names[module] = {name: prefix + name for name in aux}
        for name, value in aux.items():
            self.model.add_aux_param(prefix + name, value)

    def of(self, module: Module, inputs: Any) -> dict[str, Any]:
        """The values of a module's parameters, by their names in it; what has none yet begins here.

        Its auxiliary values are put into ``module.aux_params``.
        """
        if module not in self._names:
            self.declare(module, *module.declaration(inputs))
        aux = self._aux_names[module]
        if aux:
            module.aux_params = {name: self.model.aux_params[full] for name, full in aux.items()}
        params, found = self.model.params, {}
        for name, full in self._names[module].items():
            value = params.get(full)
            if value is None:
                value = params[full] = self.initial(full, _precision(inputs))
            found[name] = value
        return found

    def keep(self, module: Module) -> None:
        """Take over the auxiliary values that a module has changed."""
        for name, full in self._aux_names[module].items():
            self.model.aux_params[full] = module.aux_params[name]

    def initial(self, full: str, dtype: Any) -> numpy.ndarray:
        """A value to begin with, by the rule of the parameter, else xavier's."""
        config = self.model.param_configs[full]
        rule = init.get(config.get("init_rule", "xavier"))
        options = dict(config.get("init_config") or {})
        if rule in init.RULES.values():
            options.setdefault("dtype", dtype)
        return numpy.asarray(rule(config["shape"], options), dtype)


def _precision(inputs: Any) -> numpy.dtype:
    """The floating-point type of inputs, else float32."""
    for each in inputs if isinstance(inputs, (tuple, list)) else (inputs,):
        dtype = getattr(each, "dtype", None)
        if dtype is not None and dtype.kind == "f":
            return dtype
    return numpy.dtype(numpy.float32)
