"""Rules for the values that parameters start from.

A rule takes a shape and a dict of options, and returns an array. Random ones draw from NumPy's global generator
(``np.random.seed``). ``dtype`` is an option of all of them, float64 unless it is given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from minpy.nn import checks, named

Rule = Callable[[Sequence[int], Mapping[str, Any] | None], np.ndarray]

RULES: dict[str, Rule] = {}

# What the docstring of each rule goes on with.
_RULE = """
Parameters
----------
shape : sequence of int
    The shape of the parameter.
config : mapping, optional
    Options: {options}.

Returns
-------
numpy.ndarray
    A new array of that shape, of the type `dtype`.

Raises
------
ArgumentError
    If there is no such option, an option does not fit, or `shape` is no tuple of whole numbers.
"""


def _rule(**defaults: Any) -> Callable[[Callable[..., Any]], Rule]:
    """Options checked and filled in, the result of the right shape and type."""
    defaults["dtype"] = np.float64

    def decorate(function: Callable[..., Any]) -> Rule:
        name = function.__name__

        def rule(shape: Sequence[int], config: Mapping[str, Any] | None = None) -> np.ndarray:
            unknown = set(config or ()) - set(defaults)
            if unknown:
                raise checks.fail(
                    f"init.{name}",
                    f"config has no option {sorted(unknown)[0]!r}: it takes {', '.join(sorted(defaults))}",
                )
            if isinstance(shape, str) or not all(isinstance(n, (int, np.integer)) and n >= 0 for n in shape):
                raise checks.fail(f"init.{name}", f"shape must be a tuple of whole numbers, not {shape!r}")
            shape = tuple(int(n) for n in shape)
            options = {**defaults, **(config or {})}
            dtype = options.pop("dtype")
            return np.array(function(shape, **options), dtype, order="C").reshape(shape)

        named.describe(rule, function, _RULE, defaults)
        RULES[name] = rule
        return rule

    return decorate


def get(rule: str | Rule) -> Rule:
    """The rule of this name; a function is its own rule.

    Parameters
    ----------
    rule : {'xavier', 'constant', 'gaussian', 'uniform', 'he', 'orthogonal', 'custom'} or callable

    Returns
    -------
    callable
        Takes a shape and a mapping of options (or None), and gives an array.

    Raises
    ------
    ArgumentError
        If there is none.
    """
    return named.find("init", "init_rule", rule, RULES)


def _fan(shape: tuple[int, ...]) -> int:
    # (inputs, outputs) of an affine layer, (filters, channels, rows, columns) of a convolution.
    return shape[0] if len(shape) <= 2 else math.prod(shape[1:])


@_rule()
def xavier(shape: tuple[int, ...]) -> Any:
    """Normal, of standard deviation ``sqrt(6 / (shape[0] + prod(shape[1:])))``, as the original has it."""
    return (
        np.random.standard_normal(shape) * math.sqrt(6 / max(1, shape[0] + math.prod(shape[1:])))
        if shape
        else 0.0
    )


@_rule(value=0.0)
def constant(shape: tuple[int, ...], value: Any) -> Any:
    """`value` everywhere; an array must fit the shape."""
    try:
        return np.broadcast_to(value, shape)
    except ValueError:
        raise checks.fail(
            "init.constant", f"value has the shape {np.shape(value)}, which does not fit {shape}"
        ) from None


@_rule(mu=0.0, stdvar=0.001)
def gaussian(shape: tuple[int, ...], mu: float, stdvar: float) -> Any:
    """Normal, of mean `mu` and standard deviation `stdvar`."""
    return np.random.standard_normal(shape) * stdvar + mu


@_rule(low=-0.05, high=0.05)
def uniform(shape: tuple[int, ...], low: float, high: float) -> Any:
    """Uniform between `low` and `high`."""
    return np.random.uniform(low, high, shape)


@_rule(gain=math.sqrt(2))
def he(shape: tuple[int, ...], gain: float) -> Any:
    """Normal, of standard deviation ``gain / sqrt(inputs)`` (He et al., 2015): for layers that `relu` follows.

    The inputs are the rows of a matrix, and what a filter of a convolution sees.
    """
    return np.random.standard_normal(shape) * (gain / math.sqrt(max(1, _fan(shape)))) if shape else 0.0


@_rule(gain=1.0)
def orthogonal(shape: tuple[int, ...], gain: float) -> Any:
    """`gain` times a matrix with orthonormal rows or columns, whichever are fewer (Saxe et al., 2014).

    More axes than two are flattened.
    """
    if len(shape) < 2:
        raise checks.fail("init.orthogonal", f"shape must have two axes or more, not {shape}")
    rows, columns = shape[0], math.prod(shape[1:])
    q, r = np.linalg.qr(np.random.standard_normal((max(rows, columns), min(rows, columns))))
    q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)  # uniform over all such matrices
    return gain * (q if rows >= columns else q.T).reshape(shape)


@_rule(function=np.zeros)
def custom(shape: tuple[int, ...], function: Callable[[tuple[int, ...]], Any]) -> Any:
    """What `function` returns for the shape."""
    if not callable(function):
        raise checks.fail("init.custom", f"function must be callable, not {function!r}")
    value = function(shape)
    if np.shape(value) != shape:
        raise checks.fail(
            "init.custom",
            f"function returned an array of shape {np.shape(value)}, but it was asked for {shape}",
        )
    return value
