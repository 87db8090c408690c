"""Symbols as programs of routed functions, for devices that MXNet does not drive.

An MXNet symbol is a graph of operators. Those that have a counterpart among NumPy's functions and the library's layers
run as such: on the device, where the policy sends them, with derivatives of any order by the tape. A symbol with any
other operator, or with an option that is not known here, is MXNet's work, on the host; so are operators whose
derivative MXNet gives to others among equals than NumPy's rule (maxima).
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from typing import Any

import numpy

import minpy.numpy as np
from minpy.autodiff import custom_vjp, stop_gradient
from minpy.nn import layers
from minpy.nn.layers.losses import class_range

# What has no influence on a result; attributes of variables, ``__shape__``, have none either.
_IDLE = frozenset(("workspace", "cudnn_tune", "cudnn_off", "num_args"))


class Unroutable(Exception):
    """Why a symbol is no such program."""


class Options:
    """The options of an operator; each must be asked for, or be one that has no influence.

    Parameters
    ----------
    operator : str
    given : dict of str to str
        As MXNet writes them.
    """

    def __init__(self, operator: str, given: dict[str, str]) -> None:
        self.operator, self._given = (
            operator,
            {k: v for k, v in given.items() if k not in _IDLE and not k.startswith("__")},
        )

    def take(self, name: str, default: Any) -> Any:
        """The value of an option: a number, a truth value, a tuple or a word."""
        text = self._given.pop(name, None)
        if text is None or text == "None":
            return default
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError):
            return text

    def pair(self, name: str, default: int) -> tuple[int, int]:
        """Two numbers."""
        found = self.take(name, (default, default)) or (default, default)
        self.need(isinstance(found, tuple) and len(found) == 2, f"{name} is {found}")
        return found

    def need(self, condition: Any, what: str) -> None:
        """Fail unless the condition is met."""
        if not condition:
            raise Unroutable(f"{self.operator}: {what}")

    def end(self) -> None:
        """Fail if there is an option left."""
        self.need(not self._given, f"the option {next(iter(self._given), '')}")


Rule = Callable[..., Any]
OPERATORS: dict[str, Callable[[Options, bool], Rule]] = {}


def _operator(*names: str) -> Callable[[Any], Any]:
    def keep(make: Any) -> Any:
        OPERATORS.update(dict.fromkeys(names, make))
        return make

    return keep


def _same(names: str, function: Rule) -> None:
    for name in names.split():
        OPERATORS[name] = lambda options, train, function=function: function


_same("elemwise_add broadcast_add broadcast_plus _plus _add", lambda a, b: a + b)
_same("elemwise_sub broadcast_sub broadcast_minus _minus _sub", lambda a, b: a - b)
_same("elemwise_mul broadcast_mul _mul", lambda a, b: a * b)
_same("elemwise_div broadcast_div _div", lambda a, b: a / b)
_same("relu", layers.relu)
_same("sigmoid", layers.sigmoid)
_same("identity _copy", lambda a: a)
_same("BlockGrad stop_gradient", stop_gradient)
_same("Flatten flatten", lambda a: np.reshape(a, (numpy.shape(a)[0], -1)))
for _name in "exp log sqrt square abs sin cos tanh negative log1p expm1 floor ceil".split():
    _same(_name, getattr(np, _name))

_SCALARS: dict[str, Callable[[Any, float], Any]] = {
    "_plus_scalar": lambda a, s: a + s,
    "_minus_scalar": lambda a, s: a - s,
    "_rminus_scalar": lambda a, s: s - a,
    "_mul_scalar": lambda a, s: a * s,
    "_div_scalar": lambda a, s: a / s,
    "_rdiv_scalar": lambda a, s: s / a,
    "_power_scalar": lambda a, s: a**s,
}


@_operator(*_SCALARS)
def _with_number(options: Options, train: bool) -> Rule:
    function, number = _SCALARS[options.operator], float(options.take("scalar", 0.0))
    options.take("is_int", None)
    return lambda a: function(a, number)


@_operator("FullyConnected")
def _fully_connected(options: Options, train: bool) -> Rule:
    options.take("num_hidden", 0)
    flat, no_bias = options.take("flatten", True), options.take("no_bias", False)

    def run(x: Any, w: Any, b: Any = None) -> Any:
        rows = np.reshape(x, (numpy.shape(x)[0], -1)) if flat else x
        y = np.dot(rows, np.transpose(w))
        return y if no_bias else y + b

    return run


_ACTIVATIONS: dict[str, Rule] = {
    "relu": layers.relu,
    "sigmoid": layers.sigmoid,
    "tanh": np.tanh,
    "softrelu": lambda x: np.logaddexp(x, 0.0),
    "softsign": lambda x: x / (1.0 + np.abs(x)),
}


@_operator("Activation")
def _activation(options: Options, train: bool) -> Rule:
    kind = options.take("act_type", "")
    options.need(kind in _ACTIVATIONS, f"act_type is {kind}")
    return _ACTIVATIONS[kind]


@_operator("Convolution")
def _convolution(options: Options, train: bool) -> Rule:
    options.take("num_filter", 0)
    options.pair("kernel", 1)
    options.need(options.take("num_group", 1) == 1, "groups")
    options.need(options.take("layout", "NCHW") == "NCHW", "another layout")
    options.need(options.pair("dilate", 1) == (1, 1), "windows with gaps")
    stride, pad = options.pair("stride", 1), options.pair("pad", 0)
    options.take("no_bias", False)
    return lambda x, w, b=None: layers.convolution(x, w, b, stride=stride, pad=pad)


@_operator("Pooling")
def _pooling(options: Options, train: bool) -> Rule:
    mode = options.take("pool_type", "max")
    options.need(mode in ("max", "avg"), f"pool_type is {mode}")
    options.need(options.take("layout", "NCHW") == "NCHW", "another layout")
    if options.take("global_pool", False):
        options.need(mode == "avg", "a maximum of everything")
        for name in ("kernel", "stride", "pad", "pooling_convention", "count_include_pad"):
            options.take(name, None)
        return lambda x: np.mean(x, axis=(2, 3), keepdims=True)
    kernel, stride, pad = options.pair("kernel", 1), options.pair("stride", 1), options.pair("pad", 0)
    options.need(options.take("pooling_convention", "valid") == "valid", "another convention")
    options.need(options.take("count_include_pad", True), "means without padding")
    options.need(all(2 * p <= k for p, k in zip(pad, kernel, strict=True)), "much padding")
    return lambda x: layers.pooling(x, mode, kernel, stride, pad)


@_operator("Dropout")
def _dropout(options: Options, train: bool) -> Rule:
    options.take("p", 0.5)
    options.need(not train and options.take("mode", "training") == "training", "MXNet's own random numbers")
    return lambda x: x


@_operator("Reshape", "reshape")
def _reshape(options: Options, train: bool) -> Rule:
    shape = options.take("shape", ())
    options.need(shape and all(n >= -1 for n in shape), f"the shape {shape}")

    def run(x: Any) -> Any:
        old = numpy.shape(x)
        return np.reshape(x, tuple([old[i] if n == 0 else n for i, n in enumerate(shape)]))

    return run


@_operator("transpose")
def _transpose(options: Options, train: bool) -> Rule:
    axes = options.take("axes", ()) or None
    return lambda x: np.transpose(x, axes)


@_operator("Concat", "concat")
def _concatenation(options: Options, train: bool) -> Rule:
    axis = options.take("dim", 1)
    return lambda *parts: np.concatenate(list(parts), axis=axis)


@_operator("dot")
def _dot(options: Options, train: bool) -> Rule:
    first, second = options.take("transpose_a", False), options.take("transpose_b", False)

    def run(a: Any, b: Any) -> Any:
        return np.dot(np.transpose(a) if first else a, np.transpose(b) if second else b)

    return run


@_operator("sum", "mean", "sum_axis")
def _reduction(options: Options, train: bool) -> Rule:
    function = getattr(np, options.operator.partition("_")[0])
    axis, kept = options.take("axis", ()), options.take("keepdims", False)
    options.need(not options.take("exclude", False), "exclude")
    if axis in ((), None):
        # MXNet has no arrays without axes.
        return lambda x: np.reshape(function(x), (1,) * (numpy.ndim(x) if kept else 1))
    axes = axis if isinstance(axis, tuple) else (axis,)

    def run(x: Any) -> Any:
        whole = len(axes) == numpy.ndim(x) and not kept
        y = function(x, axis=axes, keepdims=bool(kept))
        return np.reshape(y, (1,)) if whole else y

    return run


def _shifted(x: Any, axis: int) -> Any:
    return x - np.max(stop_gradient(x), axis=axis, keepdims=True)


@_operator("softmax", "log_softmax")
def _softmax(options: Options, train: bool) -> Rule:
    axis, logarithm = options.take("axis", -1), options.operator.startswith("log")
    options.need(options.take("temperature", 1.0) == 1 and not options.take("use_length", False), "an option")

    def run(x: Any) -> Any:
        low = _shifted(x, axis)
        total = np.sum(np.exp(low), axis=axis, keepdims=True)
        return low - np.log(total) if logarithm else np.exp(low) / total

    return run


def _probabilities(x: Any, label: Any, scale: float) -> Any:
    e = np.exp(x - np.max(x, axis=1, keepdims=True))
    return e / np.sum(e, axis=1, keepdims=True)


def _probabilities_forward(x: Any, label: Any, scale: float) -> tuple[Any, Any]:
    p = _probabilities(x, label, scale)
    return p, (p, label)


def _probabilities_backward(scale: float, kept: tuple, g: Any) -> tuple[Any, Any]:
    p, label = kept
    classes = class_range(numpy.shape(p)[1], p.dtype)
    if numpy.shape(label) == numpy.shape(p):
        slope = p - label
    else:
        hot = np.equal(np.reshape(label, (-1, 1)), classes)
        slope = np.where(hot, p - 1, p)
    return slope * p.dtype.type(scale), None


# As an output layer it ignores the derivative that comes from above.
_with_label = custom_vjp(_probabilities, nondiff_argnums=(2,))
_with_label.__name__ = "SoftmaxOutput"
_with_label.defvjp(_probabilities_forward, _probabilities_backward)
_with_label.stays = True


@_operator("SoftmaxOutput")
def _softmax_output(options: Options, train: bool) -> Rule:
    scale = float(options.take("grad_scale", 1.0))
    normal = options.take("normalization", "null")
    options.need(normal in ("null", "batch"), f"normalization is {normal}")

    def run(x: Any, label: Any) -> Any:
        n = numpy.shape(x)[0]
        rows, share = np.reshape(x, (n, -1)), scale / n if normal == "batch" else scale
        return np.reshape(_with_label(rows, stop_gradient(label), share), numpy.shape(x))

    return run


class Routed:
    """A symbol as a program.

    Parameters
    ----------
    symbol : mxnet.symbol.Symbol
    train : bool
        Whether it runs in training mode.

    Raises
    ------
    Unroutable
        If it has an operator, or an option of one, without a counterpart.
    """

    def __init__(self, symbol: Any, train: bool) -> None:
        graph = json.loads(symbol.tojson())
        self._steps: list[tuple[str, Rule | None, list[int]]] = []
        for node in graph["nodes"]:
            operator = node["op"]
            if operator == "null":
                self._steps.append((node["name"], None, []))
                continue
            if operator not in OPERATORS:
                raise Unroutable(f"{operator} has no counterpart")
            if any(output for _, output, *_ in node["inputs"]):
                raise Unroutable(f"{node['name']} reads a second output")
            options = Options(operator, node.get("attrs", {}))
            rule = OPERATORS[operator](options, train)
            options.end()
            self._steps.append((node["name"], rule, [number for number, *_ in node["inputs"]]))
        if any(output for _, output, *_ in graph["heads"]):
            raise Unroutable("a second output is a result")
        self._heads = [number for number, *_ in graph["heads"]]

    def run(self, given: dict[str, Any]) -> tuple:
        """The outputs for these arguments."""
        values: list[Any] = []
        for name, rule, inputs in self._steps:
            values.append(given[name] if rule is None else rule(*[values[i] for i in inputs]))
        return tuple([values[head] for head in self._heads])
