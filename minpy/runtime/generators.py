"""NumPy's random generators where a device is in use: what they draw may live there.

Numbers are NumPy's own, drawn on the host from the same streams. Only the results differ: with a device at hand they
are `Array`s, which are copied there once. A plain array (parameters that a program draws and then updates in place,
say) would be copied at each use.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minpy.runtime import device_calls, dispatch
from minpy.runtime.array import host

_GENERATOR = (
    "beta binomial chisquare choice dirichlet exponential f gamma geometric gumbel hypergeometric integers laplace "
    "logistic lognormal logseries multinomial multivariate_hypergeometric multivariate_normal negative_binomial "
    "noncentral_chisquare noncentral_f normal pareto permutation permuted poisson power random rayleigh "
    "standard_cauchy standard_exponential standard_gamma standard_normal standard_t triangular uniform vonmises wald "
    "weibull zipf"
).split()
_RANDOM_STATE = [
    name for name in _GENERATOR if name not in ("integers", "permuted", "multivariate_hypergeometric")
]
_RANDOM_STATE += ["rand", "randn", "randint", "random_integers", "random_sample", "tomaxint"]


def _drawing(base: type, name: str) -> Any:
    plain = getattr(base, name)

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("out") is not None:
            return plain(self, *args, **kwargs)
        return dispatch.placed(plain(self, *host(args), **host(kwargs)))

    method.__name__, method.__doc__ = name, plain.__doc__
    return method


class _Asked(type):
    """Of classes that stand for NumPy's: these and their instances pass for one another."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if device_calls.wanted_device() is None:
            return cls.__base__(*host(args), **host(kwargs))
        return super().__call__(*host(args), **host(kwargs))

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, cls.__base__)

    def __subclasscheck__(cls, other: type) -> bool:
        return issubclass(other, cls.__base__)


def _placing(base: type, names: list[str]) -> Any:
    methods = {name: _drawing(base, name) for name in names if hasattr(base, name)}
    return _Asked(base.__name__, (base,), {"__module__": base.__module__, "__doc__": base.__doc__, **methods})


Generator = _placing(np.random.Generator, _GENERATOR)
RandomState = _placing(np.random.RandomState, _RANDOM_STATE)


def default_rng(seed: Any = None) -> Any:
    """As ``numpy.random.default_rng``."""
    made = np.random.default_rng(host(seed))
    return made if made is seed else Generator(made.bit_generator)
