"""What the parameters of a symbol start from: as MXNet has it, in the words of `minpy.nn.init`.

A variable that was made with an initialiser, ``mx.sym.Variable("w", init=…)``, has that one; else biases and shifts
start at 0, scales at 1, and everything else by the rule of the solver.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minpy.errors import MinPyError
from minpy.runtime.backends.mxnet import load

_BY_ENDING = {"bias": 0.0, "beta": 0.0, "gamma": 1.0}
_CONSTANT = {"zero": 0.0, "zeros": 0.0, "one": 1.0, "ones": 1.0}


class MXNetSymbolError(MinPyError, ValueError):
    """A symbol was applied to arguments that it does not take; see docs/errors.md."""

    code = "MP040"


def settings(name: str, attributes: Mapping[str, str]) -> dict[str, Any]:
    """``init_rule`` and ``init_config`` of a parameter; nothing where the solver's rule counts.

    Parameters
    ----------
    name : str
    attributes : mapping of str to str
        The variable's, as the symbol keeps them.
    """
    declared = attributes.get("__init__")
    if declared is None:
        for ending, value in _BY_ENDING.items():
            if name.endswith(ending):
                return {"init_rule": "constant", "init_config": {"value": value}}
        return {}
    kind, options = _read(declared)
    if kind in _CONSTANT:
        return {"init_rule": "constant", "init_config": {"value": _CONSTANT[kind]}}
    if kind == "constant" and np.isscalar(options.get("value")):
        return {"init_rule": "constant", "init_config": {"value": options["value"]}}
    if kind == "normal":
        return {"init_rule": "gaussian", "init_config": {"stdvar": options.get("sigma", 0.01)}}
    if kind == "uniform":
        scale = options.get("scale", 0.07)
        return {"init_rule": "uniform", "init_config": {"low": -scale, "high": scale}}
    return {"init_rule": _by_mxnet(name, dict(attributes))}


def _read(declared: str) -> tuple[str, dict[str, Any]]:
    try:
        found = json.loads(declared)
    except ValueError:
        found = [declared, {}]
    return str(found[0]).lower(), dict(found[1])


def _by_mxnet(name: str, attributes: dict[str, str]) -> Callable[[Any, Any], np.ndarray]:
    """A rule that has MXNet's own initialiser fill the array; its random numbers follow from NumPy's."""

    def rule(shape: Any, config: Any = None) -> np.ndarray:
        mx = load()
        array = mx.nd.zeros(tuple(shape))
        mx.random.seed(int(np.random.randint(2**31 - 1)))
        try:
            mx.init.Initializer()(mx.init.InitDesc(name, attributes), array)
        except Exception as error:
            raise MXNetSymbolError(
                f"the initialiser of {name}, {attributes['__init__']}, does not fill an array of shape {shape}: "
                f"{type(error).__name__}: {error}"
            ) from error
        return array.asnumpy()

    rule.__name__ = f"initial values of {name} by MXNet"
    return rule
