"""Models that are called: ``loss = model(x, labels=y)``, then ``model.backward()``, in the form of release 0.3.4."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy

import minpy.numpy as np
from minpy.autodiff import trees, vjp
from minpy.nn import checks
from minpy.nn.model import ModelBase
from minpy.nn.model_builder.module import Module
from minpy.nn.model_builder.parameters import Parameters, running
from minpy.runtime.array import host


class Imperative(ModelBase):
    """A model whose modules are its attributes, and which keeps what a run needs for `backward`.

    Attributes
    ----------
    outputs
        What `forward` gave in the last call.
    """

    def __init__(self) -> None:
        super().__init__()
        self.mode = "train"
        self.outputs: Any = None
        self.parameters = Parameters(self)
        self._registered: list[Module | Imperative] = []
        self._attached: dict[str, Any] = {}
        self._detached: set[str] = set()
        self._pullback: Callable[[Any], tuple] | None = None
        self._value: Any = None

    # ----- modules

    def __setattr__(self, name: str, value: Any) -> None:
        if "_registered" in self.__dict__:
            for module in value if isinstance(value, (tuple, list)) else (value,):
                if isinstance(module, (Module, Imperative)):
                    self._register(module)
        elif isinstance(value, (Module, Imperative)):
            raise checks.fail(
                type(self).__name__, "super().__init__() must be called before modules are assigned"
            )
        object.__setattr__(self, name, value)

    def _register(self, module: Module | Imperative) -> None:
        if any(each is module for each in self._registered):
            return
        module.bind(self.parameters)
        self._registered.append(module)

    def bind(self, parameters: Parameters) -> None:
        """Become a part of another model: its parameters are that model's from here on."""
        if self.param_configs:
            raise checks.fail(
                type(self).__name__, "it has parameters already, and cannot become a part of another model"
            )
        self.parameters = parameters
        for module in self._registered:
            module.bind(parameters)

    def modules(self) -> list[Module | Imperative]:
        """The modules that were assigned to attributes, alone or in lists and tuples."""
        return list(self._registered)

    def training(self) -> None:
        """Run for training from here on."""
        self._run_for("train")

    def inference(self) -> None:
        """Run for inference from here on."""
        self._run_for("test")

    def _run_for(self, mode: str) -> None:
        self.mode = mode
        for module in self._registered:
            module._run_for(mode)

    # ----- runs

    def __call__(
        self,
        forward_args: Any = None,
        forward_kwargs: Mapping[str, Any] | None = None,
        labels: Any = None,
        loss_kwargs: Mapping[str, Any] | None = None,
        forward: Callable[..., Any] | None = None,
        loss: Callable[..., Any] | None = None,
        attach_all: bool = True,
        reduce_array: bool = False,
    ) -> Any:
        """Run the model, and keep what `backward` needs.

        Parameters
        ----------
        forward_args : array, or tuple or list of them
            What `forward` takes.
        forward_kwargs : dict, optional
            More of it, by name.
        labels : optional
            The second argument of the loss; without it the outputs are the result.
        loss_kwargs : dict, optional
            More arguments of the loss.
        forward, loss : callable, optional
            In the place of the model's.
        attach_all : bool
            Differentiate with respect to all parameters that are not detached; else only to what is attached.
        reduce_array : bool
            The result is the sum of the elements of an array.

        Returns
        -------
        array
            The loss, or the outputs.

        Notes
        -----
        Where parameters begin in a call, as in the first one, `forward` runs once more.
        """
        args = tuple(forward_args) if isinstance(forward_args, (tuple, list)) else (forward_args,)
        args = () if forward_args is None else args
        kwargs = dict(forward_kwargs or {})
        run_forward = forward or self._run_forward
        if running.get() is not None:
            return run_forward(*args, **kwargs)  # inside of another model

        def run(traced: dict[str, Any]) -> tuple[Any, Any]:
            mine = {name: value for name, value in traced.items() if name in self.param_configs}
            before = {name: self.params[name] for name in mine}
            self.params.update(mine)
            try:
                inputs, named = self._with_attached(traced, (args, kwargs))
                outputs = run_forward(*inputs, **named)
                result = outputs
                if labels is not None:
                    result = (loss or self.loss)(outputs, labels, **dict(loss_kwargs or {}))
                return (np.sum(result) if reduce_array else result), outputs
            finally:
                self.params.update(before)

        token = running.set(self.parameters)
        try:
            aux, count = dict(self.aux_params), self.parameters.count
            self._take(run, attach_all)
            if self.parameters.count > count:
                # Parameters began that this run was not differentiated by.
                self._restore(aux)
                count = self.parameters.count
                self._take(run, attach_all)
                if self.parameters.count > count:
                    raise checks.fail(
                        type(self).__name__,
                        "forward makes modules that have parameters, anew in each run: make them in __init__",
                    )
        finally:
            running.reset(token)
        return self._value

    def _run_forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)

    def _take(self, run: Callable[[dict[str, Any]], tuple[Any, Any]], attach_all: bool) -> None:
        """Run, differentiated by what is to be."""
        for name in self.param_configs:
            if self.params.get(name) is None:
                self.params[name] = self.parameters.initial(name, numpy.dtype(numpy.float32))
        watched = {
            name: self.params[name]
            for name in self.param_configs
            if (attach_all or name in self._attached) and name not in self._detached
        }
        watched |= {name: value for name, value in self._attached.items() if name not in self.param_configs}
        if watched:
            self._value, self._pullback, self.outputs = vjp(run, watched, has_aux=True)
        else:
            self._value, self.outputs = run({})
            self._pullback = lambda upstream: ({},)

    def _restore(self, aux: dict[str, Any]) -> None:
        """Auxiliary values as they were, or as they begin."""
        for name, config in self.aux_param_configs.items():
            self.aux_params[name] = aux[name] if name in aux else config["value"]

    def _with_attached(self, traced: Mapping[str, Any], given: Any) -> Any:
        others = {
            id(value): traced[name]
            for name, value in self._attached.items()
            if name not in self.param_configs
        }
        return trees.transform(lambda leaf: others.get(id(leaf), leaf), given) if others else given

    def backward(self, upstream: Any = None) -> dict[str, Any]:
        """The gradient of the last result with respect to each parameter, and to what is attached.

        Parameters
        ----------
        upstream : array, optional
            The gradient with respect to that result; ones by default.

        Returns
        -------
        dict of str to array

        Raises
        ------
        ArgumentError
            If nothing was run, or the graph was detached.
        """
        if self._pullback is None:
            raise checks.fail("backward", "there is no run to go back through: call the model first")
        if upstream is None:
            upstream = trees.transform(lambda leaf: numpy.ones(numpy.shape(leaf), leaf.dtype), self._value)
        (found,) = self._pullback(upstream)
        return found

    def grad(self, upstream: Any = None) -> dict[str, Any]:
        """The same as `backward`."""
        return self.backward(upstream)

    def grad_and_loss(self, data: Any, labels: Any) -> tuple[dict[str, Any], Any]:
        """The gradient of each parameter, and the loss, for a batch."""
        loss = self(data, labels=labels)
        return self.backward(), loss

    def attach(self, name: str, array: Any = None) -> None:
        """Differentiate with respect to an array that is among the inputs, too; or to a parameter, by its name."""
        self._detached.discard(name)
        if name not in self.param_configs and not isinstance(array, numpy.ndarray):
            raise checks.fail(
                "attach", f"array must be given for {name!r}, which is no parameter, as the input that it is"
            )
        self._attached[name] = array

    def detach(self, name: str) -> None:
        """Do not differentiate with respect to what is called so."""
        if name in self._attached:
            del self._attached[name]
            if name not in self.param_configs:
                return
        checks.choice("detach", "name", name, self.param_configs)
        self._detached.add(name)

    def detach_graph(self) -> None:
        """Drop what the last run kept for `backward`."""
        self._pullback, self._value = None, host(self._value)
