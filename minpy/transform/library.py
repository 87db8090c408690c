"""Calls of library functions that may be shared by threads, or whose operand may be computed piece by piece.

::

    s = np.sum((a - b)**2, axis=1)      s = (__minpy__.blocks.take() if __minpy__.w1b and
                                             __minpy__.blocks.t3_1_1a2b3c4d and
                                             __minpy__.blocks.b3_1_1a2b3c4d('_sum(((v0-v1)**2),axis=1)', a, b) else
                                             np.sum((a - b)**2, axis=1))
    x.sort()                            (… '__sort(v0)', x) else x.sort())

The same sites as those of array expressions (`minpy.transform.blocks`): one underscore begins a function of NumPy's,
two a method. Which of them a call is, is known when all names are.
"""

from __future__ import annotations

from collections.abc import Callable

import libcst as cst

from minpy.records import dataclass


@dataclass(frozen=True)
class Signature:
    """How a function may be called: arrays first (or other arguments that are counted as such), then parameters."""

    arrays: int
    positional: tuple[str, ...]
    keywords: frozenset[str]
    expression: bool = False  # the first array may be an expression: it is used up piece by piece


def _of(positional: str, keywords: str = "", arrays: int = 1, expression: bool = False) -> Signature:
    names = tuple(positional.split())
    return Signature(arrays, names, frozenset([*names, *keywords.split()]), expression)


_REDUCTION = _of("axis", "keepdims", expression=True)
_SPREAD = _of("axis", "keepdims ddof", expression=True)

FUNCTIONS: dict[str, Signature] = {
    **dict.fromkeys("sum prod mean max min amax amin any all count_nonzero".split(), _REDUCTION),
    **dict.fromkeys("std var".split(), _SPREAD),
    **dict.fromkeys("argmax argmin".split(), _of("axis", "keepdims")),
    **dict.fromkeys("sort argsort".split(), _of("axis", "kind")),
    **dict.fromkeys("cumsum cumprod".split(), _of("axis")),
    "median": _of("axis", "keepdims"),
    **dict.fromkeys("percentile quantile".split(), _of("q axis", "keepdims")),
    "ptp": _of("axis", "keepdims"),
    "searchsorted": _of("side", arrays=2),
    "take": _of("axis", arrays=2),
    "bincount": _of("", "minlength"),
    "histogram": _of("bins range"),
    "unique": _of(""),
    **dict.fromkeys("convolve correlate".split(), _of("mode", arrays=2)),
    **dict.fromkeys("matmul linalg.solve".split(), _of("", arrays=2)),
    **dict.fromkeys("linalg.inv linalg.det linalg.cholesky linalg.eigvalsh".split(), _of("")),
    **dict.fromkeys("fft.fft fft.ifft fft.rfft fft.irfft".split(), _of("n axis")),
}
"""Functions below ``numpy``."""

# Of these a call has a site as well whose operand must be computed: they are compiled, for one thread.
COMPILED = frozenset("median percentile quantile bincount".split())

METHODS: dict[str, Signature] = {
    **dict.fromkeys("sum prod mean max min any all".split(), _REDUCTION),
    **dict.fromkeys("std var".split(), _SPREAD),
    **dict.fromkeys("argmax argmin".split(), _of("axis", "keepdims")),
    **dict.fromkeys("argsort sort".split(), _of("axis", "kind")),
    **dict.fromkeys("cumsum cumprod".split(), _of("axis")),
    "searchsorted": _of("side", arrays=2),
    "take": _of("axis", arrays=2),
    "random": _of("size"),
}
"""Methods; the array whose method it is counts as the first one."""

# What lists, dictionaries, random.Random have too: the receiver must look like an array, or the call like that of one.
_OF_OTHERS = frozenset({"sort", "take"})
_WORDS = frozenset({"stable", "quicksort", "mergesort", "heapsort", "left", "right", "full", "same", "valid"})


class NotOne(Exception):
    """Not a call of the kind."""


@dataclass
class Reading:
    """A call as a function of NumPy's, or as a method."""

    text: str
    names: dict[str, str]
    called: list  # of reading.Called: functions in the operand that must turn out to be NumPy's
    evidence: set[str]


def function(name: str, node: cst.Call, reader: Callable[[], object]) -> Reading:
    """Read ``np.name(…)``.

    Raises
    ------
    NotOne
        The arguments are not such that the call could be taken over.
    """
    return _read(FUNCTIONS, name, f"_{name.replace('.', '_')}", [], node, reader())


def computed(name: str, node: cst.Call, reader: Callable[[], object]) -> str:
    """Read ``np.name(…)`` whose arrays are any expressions: what it computes, of its arguments in their order.

    Raises
    ------
    NotOne
        The arguments are not such that the call could be taken over.
    """
    signature = FUNCTIONS.get(name) if name in COMPILED else None
    if signature is None or any(each.star for each in node.args):
        raise NotOne
    positional = [each for each in node.args if each.keyword is None]
    words = [each.keyword.value for each in node.args if each.keyword is not None]
    if len(positional) < signature.arrays or len(positional) > signature.arrays + len(signature.positional):
        raise NotOne
    words = [*signature.positional[: len(positional) - signature.arrays], *words]
    if len(set(words)) < len(words) or not signature.keywords.issuperset(words):
        raise NotOne
    for argument in node.args[signature.arrays :]:
        _parameter(argument.value, reader())
    parts = [f"v{k}" for k in range(signature.arrays)]
    parts += [f"{word}=v{k}" for k, word in enumerate(words, signature.arrays)]
    return f"_{name}({','.join(parts)})"


def method(node: cst.Call, reader: Callable[[], object]) -> Reading:
    """Read ``receiver.name(…)``; raises as `function` does."""
    assert isinstance(node.func, cst.Attribute)
    name = node.func.attr.value
    found = _read(METHODS, name, f"__{name}", [node.func.value], node, reader())
    if name == "random" and not node.args:
        raise NotOne
    if name not in _OF_OTHERS:
        found.evidence.add("")
    return found


def _read(table, name: str, word: str, first: list[cst.BaseExpression], node: cst.Call, reader) -> Reading:
    signature = table.get(name)
    if signature is None or any(each.star for each in node.args):
        raise NotOne
    positional = [each.value for each in node.args if each.keyword is None]
    arrays = [*first, *positional][: signature.arrays]
    rest = positional[signature.arrays - len(first) :]
    if len(arrays) < signature.arrays or len(rest) > len(signature.positional):
        raise NotOne
    parts = []
    for i, each in enumerate(arrays):
        parts.append(reader.read(each) if not i and signature.expression else reader._leaf(each))
    given = dict(zip(signature.positional, rest, strict=False))
    for argument in node.args:
        if argument.keyword is not None:
            keyword = argument.keyword.value
            if keyword not in signature.keywords or keyword in given:
                raise NotOne
            given[keyword] = argument.value
    parts += [f"{keyword}={_parameter(value, reader)}" for keyword, value in given.items()]
    return Reading(f"{word}({','.join(parts)})", reader.names, reader.called, reader.evidence)


def _parameter(node: cst.BaseExpression, reader) -> str:
    """A parameter: numbers, words, and names of them."""
    if isinstance(node, cst.Name) and node.value in ("True", "False", "None"):
        return node.value
    if isinstance(node, cst.Name):
        return reader._name(node)
    if isinstance(node, (cst.Integer, cst.Float)):
        return reader._number(node)
    if isinstance(node, cst.UnaryOperation) and isinstance(node.operator, cst.Minus):
        return f"-{_parameter(node.expression, reader)}"
    if isinstance(node, (cst.Tuple, cst.List)) and node.elements:
        inner = [_parameter(each.value, reader) for each in node.elements if isinstance(each, cst.Element)]
        if len(inner) != len(node.elements):
            raise NotOne
        return f"({','.join(inner)},)" if isinstance(node, cst.Tuple) else f"[{','.join(inner)}]"
    if isinstance(node, cst.SimpleString) and node.value[1:-1] in _WORDS:
        return repr(node.value[1:-1])
    raise NotOne
