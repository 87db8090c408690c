"""Random numbers: always NumPy's own streams, so that a seed means the same everywhere.

A sample is differentiated with respect to the parameters as it was drawn, where it is a smooth function of them and
of numbers that stay: location and scale of every family that has them, and the families that NumPy draws by inverting
their distribution. The others have no rule.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minpy.runtime.primitives.moves import as_array, cases, plain
from minpy.runtime.primitives.table import row

_STREAM = "random numbers come from NumPy's streams"


def _random(names: str, *makers: Any, **columns: Any) -> None:
    for name in names.split():
        row("random." + name, cost="host", creates=True, mxnet=_STREAM, samples=cases(*makers), **columns)


def _shift(g: Any, ans: Any, loc: Any = 0.0, scale: Any = 1.0, size: Any = None) -> Any:
    return g


def _stretch(g: Any, ans: Any, loc: Any = 0.0, scale: Any = 1.0, size: Any = None) -> Any:
    return g * (ans - loc) / scale


def _scale(g: Any, ans: Any, scale: Any = 1.0, size: Any = None) -> Any:
    return g * ans / scale


_random(
    "normal laplace gumbel logistic",
    lambda a: (0.5, 2.0),
    lambda a: (1.0, 2.0, (2, 3)),
    lambda a: [(np.array([1.0, -1.0]),), {"scale": np.array([[1.0], [2.0]])}],
    lambda a: (0.0, -1.0),
    vjp=(_shift, _stretch),
)
_random(
    "exponential rayleigh",
    lambda a: (2.0,),
    lambda a: (1.5, 4),
    lambda a: (np.array([1.0, 2.0]),),
    vjp=(_scale,),
)
_random(
    "uniform",
    lambda a: (),
    lambda a: (-1.0, 2.0, 5),
    lambda a: [(), {"low": np.array([0.0, 1.0]), "high": 3.0}],
    vjp=(
        lambda g, ans, low=0.0, high=1.0, size=None: g * (high - ans) / (high - low),
        lambda g, ans, low=0.0, high=1.0, size=None: g * (ans - low) / (high - low),
    ),
)
_random(
    "lognormal",
    lambda a: (0.1, 0.5, 3),
    vjp=(
        lambda g, ans, mean=0.0, sigma=1.0, size=None: g * ans,
        lambda g, ans, mean=0.0, sigma=1.0, size=None: g * ans * (np.log(ans) - mean) / sigma,
    ),
)


def _ungamma(g: Any, ans: Any, shape: Any, scale: Any = 1.0, size: Any = None) -> Any:
    return g * ans / scale


_random("gamma", lambda a: (2.0,), lambda a: (2.0, 3.0, 4), vjp=(None, _ungamma))
_random(
    "multivariate_normal",
    lambda a: (np.zeros(2), np.eye(2)),
    lambda a: (np.array([1.0, 2.0]), np.array([[2.0, 0.5], [0.5, 1.0]]), 3),
    vjp=(lambda g, ans, mean, *a, **k: g,),
)

# Functions of one uniform or exponential number, which stays.
_random(
    "power weibull",
    lambda a: (2.5,),
    lambda a: (3.0, (2, 2)),
    lambda a: (np.array([0.5, 2.0]),),
    vjp=(lambda g, ans, a, size=None: -g * ans * np.log(np.where(ans > 0, ans, 1)) / a,),
)
_random(
    "pareto",
    lambda a: (2.5,),
    lambda a: (3.0, (2, 2)),
    lambda a: (np.array([0.5, 2.0]),),
    vjp=(lambda g, ans, a, size=None: -g * (ans + 1) * np.log1p(ans) / a,),
)
_random(
    "vonmises",
    lambda a: (2.0, 3.0),
    lambda a: (np.array([0.5, -1.0]), 3.0),
    vjp=(lambda g, ans, mu, kappa, size=None: g, None),
)


def _untriangular(which: int) -> Any:
    def rule(g: Any, ans: Any, left: Any, mode: Any, right: Any, size: Any = None) -> Any:
        below = ans <= mode
        # Below the mode (x - left)^2 = u (right - left) (mode - left), above it the same from the right.
        near, far = np.where(below, left, right), np.where(below, right, left)
        share = (ans - near) / 2
        width, side = far - near, mode - near
        side = np.where(side == 0, 1, side)
        of_mode = share / side
        of_far = share / width
        if which == 1:
            return g * of_mode
        of_near = 1 - of_mode - of_far
        return g * np.where(below, of_near, of_far) if which == 0 else g * np.where(below, of_far, of_near)

    return rule


_random(
    "triangular",
    lambda a: (0.0, 1.0, 3.0),
    lambda a: (0.0, 1.0, 3.0, 4),
    lambda a: (np.array([-1.0, 0.0]), 1.0, np.array([2.0, 3.0])),
    vjp=(_untriangular(0), _untriangular(1), _untriangular(2)),
)

_random("rand randn", lambda a: (), lambda a: (3,), lambda a: (2, 3), lambda a: (0,))
_random(
    "random random_sample ranf sample standard_normal standard_exponential standard_cauchy",
    lambda a: (),
    lambda a: (4,),
    lambda a: ((2, 3),),
    lambda a: ((),),
)
_random(
    "randint",
    lambda a: (5,),
    lambda a: (2, 9, (2, 2)),
    lambda a: [(3,), {"size": 4, "dtype": np.int8}],
    lambda a: (3, 3),
)
_random("random_integers", lambda a: (5,))
_random("standard_gamma standard_t chisquare", lambda a: (2.5,), lambda a: (3.0, (2, 2)))
_random("poisson", lambda a: (), lambda a: (3.0, 4), lambda a: (np.array([1.0, 5.0]),))
_random("geometric", lambda a: (0.4, 3))
_random("zipf", lambda a: (2.5, 3))
_random("logseries", lambda a: (0.5, 3))
_random("beta f wald noncentral_chisquare", lambda a: (2.0, 3.0), lambda a: (2.0, 3.0, 4))
_random("binomial negative_binomial", lambda a: (5, 0.5), lambda a: (5, 0.3, (2, 2)))
_random("hypergeometric", lambda a: (4, 5, 3), lambda a: (4, 5, 3, 3))
_random("noncentral_f", lambda a: (2.0, 3.0, 1.0, 2))
_random("multinomial", lambda a: (5, [0.2, 0.8]), lambda a: (5, [0.5, 0.5], 2))
_random("dirichlet", lambda a: ([1.0, 2.0],), lambda a: ([1.0, 2.0, 3.0], 2))


# ----- drawing from, and shuffling, the program's own arrays ------------------------------------------------


def _choice(a: Any, size: Any = None, replace: bool = True, p: Any = None) -> Any:
    count = len(a) if np.ndim(a) else plain(a)
    places = np.random.choice(count, size, replace, plain(p))
    return as_array(a)[places] if np.ndim(a) else places


def _permutation(x: Any) -> Any:
    if not np.ndim(x):
        return np.random.permutation(plain(x))
    places = np.arange(len(x))
    np.random.shuffle(places)
    return x[places]


def _shuffle(x: Any) -> None:
    from minpy.runtime.writes import write

    if not x.flags.writeable:
        np.random.shuffle(x.window)
    places = np.arange(len(x))
    np.random.shuffle(places)
    write(x, None, x[places])


row(
    "random.choice",
    creates=True,
    mxnet=_STREAM,
    compose=_choice,
    samples=cases(
        lambda a: (5,),
        lambda a: (5, 3, False),
        lambda a: (a(4), (2, 2)),
        lambda a: (a(4),),
        lambda a: [([1, 2, 3], 2), {"p": [0.2, 0.3, 0.5]}],
    ),
)
row(
    "random.permutation",
    creates=True,
    mxnet=_STREAM,
    compose=_permutation,
    samples=cases(lambda a: (5,), lambda a: (a(5),), lambda a: (a(4, 2),), lambda a: ([3, 1, 2],)),
)
row(
    "random.shuffle",
    mxnet=_STREAM,
    writes=_shuffle,
    samples=cases(lambda a: (a(5),), lambda a: (a(4, 2),), lambda a: (a(0),)),
)
