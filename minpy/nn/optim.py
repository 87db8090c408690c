"""Rules by which a parameter follows its gradient.

A rule takes a parameter `w`, its gradient `dw` and a dict `config` of options and state, and returns the next value of
the parameter and the dict. The state of a parameter (velocity, averages) is kept in its dict, which must be its own;
`w` and `dw` are not written to.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy

import minpy.numpy as np
from minpy.nn import checks, named
from minpy.nn.kernels import in_place, products, rules

Config = dict[str, Any]
Rule = Callable[..., tuple[Any, Config]]

RULES: dict[str, Rule] = {}

# What the docstring of each rule goes on with.
_RULE = """
Parameters
----------
w : array
    The parameter, of any shape.
dw : array
    Its gradient, of the same shape.
config : dict, optional
    Options: {options}. What the rule keeps from step to step is entered here too.

Returns
-------
next_w : array
    The parameter after the step, of the shape of `w`.
config : dict
    The same dict, for the next step.

Raises
------
ArgumentError
    If there is no such option, one is no finite number, or the shapes differ.
"""


def _rule(state: tuple[str, ...] = (), **options: float) -> Callable[[Callable[..., Any]], Rule]:
    known = {*options, *state}

    def decorate(function: Callable[..., Any]) -> Rule:
        name = function.__name__

        def rule(w: Any, dw: Any, config: Config | None = None) -> tuple[Any, Config]:
            config = {} if config is None else config
            if config.keys() != known:
                check_options(name, config)
                for option, value in options.items():
                    config.setdefault(option, value)
            if numpy.shape(w) != numpy.shape(dw):
                raise checks.fail(
                    f"optim.{name}", f"dw must have the shape of w, {numpy.shape(w)}, not {numpy.shape(dw)}"
                )
            if _is_large(w, dw, config, state):
                arrays = rule.arrays  # type: ignore[attr-defined]
                new = rules.in_one_pass(function, w, dw, config, arrays) if w.size >= _MANY else None
                return _part_by_part(function, w, dw, config, arrays) if new is None else new, config
            return function(w, dw, config), config

        rule.options, rule.state, rule.function = tuple(options), state, function  # type: ignore[attr-defined]
        rule.known = frozenset(known)  # type: ignore[attr-defined]
        rule.arrays = tuple([each for each in state if each != "t"])  # type: ignore[attr-defined]
        named.describe(rule, function, _RULE, options)
        RULES[name] = rule
        return rule

    return decorate


# A rule works element by element: a large parameter goes through it in one pass, where that can be compiled, or in
# parts that stay in the processor's cache with all that is computed on the way. The bits are the same.
_PART = 1 << 15  # elements
# Elements from which compiled code is faster; fewer stay in the cache from one of the rule's operations to the next.
_MANY = 1 << 18
_NUMBERS = (int, float, type(None))


def _is_large(w: Any, dw: Any, config: Config, state: tuple[str, ...]) -> bool:
    if type(w) is not numpy.ndarray or w.size < 2 * _PART or w.dtype.kind != "f" or not products.on_host():
        return False
    kept = [config.get(name) for name in state if name != "t"]
    if any(type(each) is not numpy.ndarray for each in (dw, *kept)):
        return False
    return all(
        each.shape == w.shape and each.dtype == w.dtype and each.flags.c_contiguous for each in (w, dw, *kept)
    ) and all(type(value) in _NUMBERS for name, value in config.items() if name == "t" or name not in state)


def follow(
    given: Mapping[str, str | Rule],
    params: dict[str, Any],
    grads: Mapping[str, Any],
    configs: dict[str, Config],
) -> None:
    """Let parameters follow their gradients by their rules.

    Large ones are written over in their own memory, if nobody else has it, and by several threads.

    Parameters
    ----------
    given : mapping of str to str or callable
        The rule of each parameter.
    params, grads, configs : mapping
        Of parameters by name, of which the first and the last get what the rules give.
    """
    found: dict[str, Any] = {}
    given = {name: rule if callable(rule) else get(rule) for name, rule in given.items()}
    mask = in_place.allowed() if type(params) is dict and products.on_host() else None
    if mask is not None:
        for name, rule in given.items():
            passed = _in_place(rule, params, name, grads[name], configs[name], mask)
            if passed is not None:
                found[name] = passed
    try:
        in_place.run([passed for passed, _ in found.values()])
    finally:
        for name, (passed, rest) in found.items():
            if passed.left == []:
                configs[name].update(rest)
    for name, rule in given.items():
        function: Any = rule
        left = found[name][0].left if name in found else None
        if left is None:
            params[name], configs[name] = function(params[name], grads[name], configs[name])
        elif left:
            w = params[name]
            _part_by_part(function.function, w, grads[name], configs[name], function.arrays, w, left)


def _in_place(rule: Any, params: dict[str, Any], name: str, dw: Any, config: Config, mask: int) -> Any:
    arrays = getattr(rule, "arrays", None)
    if arrays is None or config.keys() != rule.known or type(params[name]) is not numpy.ndarray:
        return None
    if not in_place.is_sole(params, name) or type(dw) is not numpy.ndarray:
        return None
    w = params[name]
    kind, shape = w.dtype, w.shape
    if kind.char not in "fd" or not kind.isnative or not shape or not w.flags.carray:
        return None
    if dw.dtype is not kind or dw.shape != shape or not dw.flags.c_contiguous:
        return None
    for each in arrays:
        if type(config[each]) is not numpy.ndarray or not in_place.is_sole(config, each):
            return None
        kept = config[each]
        if kept.dtype is not kind or kept.shape != shape or not kept.flags.carray:
            return None
    # Few elements are taken along where the code is there.
    return in_place.prepared(rule.function, w, dw, config, arrays, mask, w.size < 2 * _PART)


def _part_by_part(
    function: Any, w: Any, dw: Any, config: Config, arrays: Sequence[str], out: Any = None, ranges: Any = None
) -> Any:
    """What the rule gives, in `out`; of `ranges` of elements alone if they are given."""
    if out is None:
        out = numpy.empty(w.shape, w.dtype)
    flat, old, slope = out.reshape(-1), w.reshape(-1), dw.reshape(-1)
    kept = {name: config[name].reshape(-1) for name in arrays}
    inner: Config = {}
    starts = [(i, end) for first, end in ranges or [(0, w.size)] for i in range(first, end, _PART)]
    for i, end in starts:
        place = slice(i, min(i + _PART, end))
        inner = {**config, **{name: each[place] for name, each in kept.items()}}
        flat[place] = function(old[place], slope[place], inner)
    if "t" in inner:
        config["t"] = inner["t"]
    return out


def get(rule: str | Rule) -> Rule:
    """The rule of this name; a function is its own rule.

    Parameters
    ----------
    rule : {'sgd', 'sgd_momentum', 'nesterov', 'rmsprop', 'adagrad', 'adam', 'adamw'} or callable

    Returns
    -------
    callable
        Takes a parameter, its gradient and a dict, and gives the next value of the parameter and the dict.

    Raises
    ------
    ArgumentError
        If there is none.
    """
    return named.find("optim", "update_rule", rule, RULES)


def check_options(rule: str | Rule, config: Config) -> None:
    """Fail if `config` holds an option that the rule does not have.

    Parameters
    ----------
    rule : str or callable
        The rule; of a function of the program's own nothing is known.
    config : dict
        Options and state.

    Raises
    ------
    ArgumentError
        Names the option and those that there are, or what is no finite number.
    """
    function: Any = get(rule)
    if not hasattr(function, "options"):
        return  # a function of the program's own
    unknown = sorted(set(config) - {*function.options, *function.state})
    if unknown:
        raise checks.fail(
            f"optim.{function.__name__}",
            f"config has no option {unknown[0]!r}: it takes {', '.join(function.options)}",
        )
    for option in function.options:
        if option in config and not isinstance(config[option], numpy.ndarray):
            checks.number(f"optim.{function.__name__}", option, config[option])


def _state(config: Config, name: str, w: Any) -> Any:
    """A state that starts at zero; it may be written to."""
    if config.get(name) is None:
        config[name] = np.zeros_like(w)
    return config[name]


@_rule(learning_rate=1e-2)
def sgd(w: Any, dw: Any, config: Config) -> Any:
    """A step against the gradient: ``w - learning_rate * dw``."""
    return w - config["learning_rate"] * dw


@_rule(("velocity",), learning_rate=1e-2, momentum=0.9)
def sgd_momentum(w: Any, dw: Any, config: Config) -> Any:
    """With a velocity ``v = momentum * v - learning_rate * dw``."""
    v = _state(config, "velocity", w)
    v *= config["momentum"]
    v -= config["learning_rate"] * dw
    return w + v


@_rule(("velocity",), learning_rate=1e-2, momentum=0.9)
def nesterov(w: Any, dw: Any, config: Config) -> Any:
    """As `sgd_momentum`, where the velocity looks one step ahead: ``w + momentum * v - learning_rate * dw``."""
    step = config["learning_rate"] * dw
    v = _state(config, "velocity", w)
    v *= config["momentum"]
    v -= step
    return w + (config["momentum"] * v - step)


@_rule(("cache",), learning_rate=1e-2, decay_rate=0.99, epsilon=1e-8)
def rmsprop(w: Any, dw: Any, config: Config) -> Any:
    """Steps relative to a running average of the gradient's magnitude (Tieleman and Hinton, 2012).

    ``cache = decay_rate * cache + (1 - decay_rate) * dw**2``, and ``w - learning_rate * dw / (sqrt(cache) + epsilon)``.
    """
    cache = _state(config, "cache", w)
    cache *= config["decay_rate"]
    cache += (1 - config["decay_rate"]) * np.square(dw)
    return w - config["learning_rate"] * dw / (np.sqrt(cache) + config["epsilon"])


@_rule(("cache",), learning_rate=1e-2, epsilon=1e-8)
def adagrad(w: Any, dw: Any, config: Config) -> Any:
    """Steps relative to the gradients so far (Duchi, Hazan and Singer, 2011).

    ``cache = cache + dw**2``, and ``w - learning_rate * dw / (sqrt(cache) + epsilon)``.
    """
    cache = _state(config, "cache", w)
    cache += np.square(dw)
    return w - config["learning_rate"] * dw / (np.sqrt(cache) + config["epsilon"])


def _adam_step(w: Any, dw: Any, config: Config) -> Any:
    config["t"] = t = (config.get("t") or 0) + 1
    beta1, beta2 = config["beta1"], config["beta2"]
    m, v = _state(config, "m", w), _state(config, "v", w)
    m *= beta1
    m += (1 - beta1) * dw
    v *= beta2
    v += (1 - beta2) * np.square(dw)
    size = np.sqrt(v)
    size *= 1 / math.sqrt(1 - beta2**t)
    size += config["epsilon"]
    return (config["learning_rate"] / (1 - beta1**t)) * m / size


@_rule(("m", "v", "t"), learning_rate=1e-3, beta1=0.9, beta2=0.999, epsilon=1e-8)
def adam(w: Any, dw: Any, config: Config) -> Any:
    """Running averages of the gradient and of its square, both corrected for their start at zero (Kingma and Ba, 2015).

    ``m = beta1 * m + (1 - beta1) * dw``, ``v = beta2 * v + (1 - beta2) * dw**2``, and
    ``w - learning_rate * m / (1 - beta1**t) / (sqrt(v / (1 - beta2**t)) + epsilon)`` in step `t`.
    """
    return w - _adam_step(w, dw, config)


@_rule(("m", "v", "t"), learning_rate=1e-3, beta1=0.9, beta2=0.999, epsilon=1e-8, weight_decay=1e-2)
def adamw(w: Any, dw: Any, config: Config) -> Any:
    """As `adam`, and the parameter itself shrinks by ``learning_rate * weight_decay`` (Loshchilov and Hutter, 2019)."""
    return w * (1 - config["learning_rate"] * config["weight_decay"]) - _adam_step(w, dw, config)
