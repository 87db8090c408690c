"""A plan: how a block is computed for one geometry of its operands, and which engine computes it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from minpy.runtime.fuse.choose import Choice
from minpy.runtime.fuse.ir import Irregular, Operation, Program
from minpy.runtime.fuse.state import raising

_KINDS = "biufc"
_KEPT = 64  # choices of one block
_MIN_WORK = 40_000  # elements times operations; less than this is over before it could be fused
_SYMBOLS = {
    "add": "+", "subtract": "-", "multiply": "*", "true_divide": "/", "floor_divide": "//", "remainder": "%",
    "**": "**", "left_shift": "<<", "right_shift": ">>", "bitwise_and": "&", "bitwise_or": "|", "bitwise_xor": "^",
    "equal": "==", "not_equal": "!=", "less": "<", "less_equal": "<=", "greater": ">", "greater_equal": ">=",
    "negative": "-", "positive": "+", "invert": "~",
}  # fmt: skip
_HEAVY = frozenset(
    "arccos arccosh arcsin arcsinh arctan arctan2 arctanh cbrt cos cosh exp exp2 expm1 hypot log log10 log1p log2 "
    "logaddexp logaddexp2 power sin sinh tan tanh".split()
)
# NumPy's own functions, as they were: a block that uses one that was replaced meanwhile runs as written.
FUNCTIONS: dict[str, Any] = {
    name: getattr(np, name) for name in dir(np) if isinstance(getattr(np, name), np.ufunc)
} | {"where": np.where}
_OF_TWO_ZEROS = frozenset({"maximum", "minimum"})
_POWERS = {2: "square", 0.5: "sqrt", 1: "positive", -1: "reciprocal"}


class Step:
    """One operation on whole arrays: operands are ``("x", i)`` arrays, ``("s", i)`` numbers, ``("t", i)`` results."""

    __slots__ = ("dtype", "exponent", "name", "operands", "symbol")

    def __init__(
        self, name: str, operands: list[tuple[str, int]], dtype: np.dtype, symbol: str, exponent: Any
    ) -> None:
        self.name, self.operands, self.dtype = name, operands, dtype
        self.symbol = symbol  # the operator as written, "" for a function
        self.exponent = exponent  # of a power for which there is a function of its own


class Plan:
    """How a block is computed.

    Attributes
    ----------
    shape, dtype
        Of the result.
    steps : list of Step
    arrays : list of int
        The leaves that are arrays.
    target : int or None
        The leaf that the result may be written into.
    """

    def __init__(
        self, program: Program, leaves: tuple[Any, ...], mode: str, choices: dict[str, Choice]
    ) -> None:
        self.program, self.mode = program, mode
        used = {each for step in program.operations for each in step.operands if each >= 0}
        self.arrays = [i for i in sorted(used) if type(leaves[i]) is np.ndarray]
        if not self.arrays or program.result >= 0:
            raise Irregular
        for i in self.arrays:
            array = leaves[i]
            if array.dtype.kind not in _KINDS or not array.dtype.isnative or not array.ndim:
                raise Irregular
            if not array.flags.aligned or any(stride < 0 for stride in array.strides):
                raise Irregular
        self.shape = np.broadcast_shapes(*(leaves[i].shape for i in self.arrays))
        self.size = int(np.prod(self.shape))
        self._divide(program, leaves)
        work = self.size * sum(20 if step.name in _HEAVY else 1 for step in self.steps)
        if not self.size or (mode == "auto" and work < _MIN_WORK):
            raise Irregular
        self._check_layout(leaves)
        self.target: int | None = None
        if program.target is not None:
            target = leaves[program.target]
            if (
                type(target) is np.ndarray
                and target.dtype == self.dtype
                and target.shape == self.shape
                and target.flags.aligned
                and not any(stride <= 0 for stride in target.strides)
                and _is_ordered(target)
            ):
                self.target = program.target
        self.work = work
        key = self.signature()
        choice = choices.get(key)
        if choice is None:
            if len(choices) >= _KEPT:
                choices.clear()
            choice = choices[key] = Choice(self, key, mode)
        self.choice = choice

    def _divide(self, program: Program, leaves: tuple[Any, ...]) -> None:
        """Tell operations on arrays of the full shape from the small ones that come before them."""
        shapes: dict[int, tuple[int, ...]] = {}
        kinds: dict[int, Any] = {}  # stand-ins without elements, for the dtypes
        for i, leaf in enumerate(leaves):
            is_array = type(leaf) is np.ndarray
            shapes[i] = leaf.shape if is_array else ()
            kinds[i] = np.empty((0,) * leaf.ndim, leaf.dtype) if is_array else leaf
        self._operands: list[int] = []  # what `steps` take: leaves and results of small operations
        self.steps: list[Step] = []
        places: dict[int, tuple[str, int]] = {}
        small: list[str] = []
        names: dict[int, str] = {i: f"l{i}" for i in range(len(leaves))}
        with np.errstate(all="ignore"):
            for number, operation in enumerate(program.operations):
                mine = -number - 1
                function = self._function(operation)
                shape = np.broadcast_shapes(*(shapes[each] for each in operation.operands))
                shapes[mine] = shape
                if shape != self.shape:
                    small.append(
                        f"p{number} = {_written(operation, [names[each] for each in operation.operands])}"
                    )
                    names[mine] = f"p{number}"
                    kinds[mine] = _apply(operation, function, [kinds[each] for each in operation.operands])
                    continue
                name = operation.name
                operands = list(operation.operands)
                given = [kinds[each] for each in operands]
                if name == "**":
                    name, operands, given = self._power(operands, given)
                result = _apply(Operation(name, tuple(operands), ""), FUNCTIONS[name], given)
                kinds[mine] = result
                places_of = [self._place(each, places) for each in operands]
                exponent = kinds[operation.operands[1]] if len(operands) < len(operation.operands) else None
                symbol = _SYMBOLS[operation.name] if operation.symbol else ""
                step = Step(name, places_of, result.dtype, symbol, exponent)
                if step.dtype.kind not in _KINDS:
                    raise Irregular
                if step.name in _OF_TWO_ZEROS and not _is_even(step.name, step.dtype.char):
                    raise Irregular
                places[mine] = "t", len(self.steps)
                self.steps.append(step)
        if program.result not in places:
            raise Irregular
        self.dtype = self.steps[-1].dtype
        x = [names[each] for each in self._operands if shapes[each]]
        s = [names[each] for each in self._operands if not shapes[each]]
        # Numbers and arrays are counted apart.
        order = {each: ("x", k) for k, each in enumerate(each for each in self._operands if shapes[each])}
        order |= {
            each: ("s", k) for k, each in enumerate(each for each in self._operands if not shapes[each])
        }
        for step in self.steps:
            step.operands = [
                order[self._operands[k]] if where == "o" else (where, k) for where, k in step.operands
            ]
        self.operand_shapes = [shapes[each] for each in self._operands if shapes[each]]
        self.operand_dtypes = [kinds[each].dtype for each in self._operands if shapes[each]]
        # Results of small operations are contiguous.
        self.operand_strides = [
            leaves[each].strides if each >= 0 else _packed(shapes[each], kinds[each].dtype)
            for each in self._operands
            if shapes[each]
        ]
        self.numbers = len(s)
        lines = "".join(f"  {line}\n" for line in small)
        arguments = ", ".join(f"l{i}" for i in range(len(leaves)))
        self.small = bool(small)
        self.prepare = _compiled(
            f"def prepare({arguments}):\n{lines}  return [{', '.join(x)}], [{', '.join(s)}]\n", "prepare"
        )

    def _place(self, each: int, places: dict[int, tuple[str, int]]) -> tuple[str, int]:
        if each in places:
            return places[each]
        if each not in self._operands:
            self._operands.append(each)
        return "o", self._operands.index(each)

    @staticmethod
    def _function(operation: Operation) -> Any:
        if operation.name == "**":
            return None
        function = FUNCTIONS[operation.name]
        if not operation.symbol and getattr(np, operation.name) is not function:
            raise Irregular  # replaced by somebody
        return function

    @staticmethod
    def _power(operands: list[int], given: list[Any]) -> tuple[str, list[int], list[Any]]:
        """The function that NumPy's ``**`` uses."""
        base, exponent = given
        if type(base) is np.ndarray and type(exponent) in (int, float):
            simple = _POWERS.get(exponent)
            if simple is not None and base.dtype.kind == "f":
                return simple, operands[:1], given[:1]
            if base.dtype.kind != "f" or exponent == 0:
                raise Irregular
        elif type(base) is np.ndarray and type(exponent) is not np.ndarray:
            raise Irregular
        return "power", operands, given

    def _check_layout(self, leaves: tuple[Any, ...]) -> None:
        """The result must be one that NumPy makes in C order."""
        contiguous = True
        for i in self.arrays:
            array = leaves[i]
            if array.shape == self.shape:
                contiguous = contiguous and array.flags.c_contiguous
            else:
                contiguous = False
        if contiguous:
            return
        if any(extent < 2 for extent in self.shape):
            raise Irregular
        if not all(_is_ordered(leaves[i]) for i in self.arrays):
            raise Irregular

    def run(self, leaves: tuple[Any, ...], target: Any, flags: int, began: float) -> tuple[bool, Any]:
        """Compute: whether that was done, and the result (the target itself, if that was written into).

        If it was not, the second value says whether that may change soon.
        """
        for step in self.program.operations:
            if not step.symbol and getattr(np, step.name) is not FUNCTIONS[step.name]:
                raise Irregular
        engine = self.choice.pick()
        if engine is None:
            return False, self.choice.verdict is None
        if self.small:
            with raising(flags):
                arrays, numbers = self.prepare(*leaves)
        else:
            arrays, numbers = self.prepare(*leaves)
        return True, self.choice.run(self, engine, arrays, numbers, target, flags, began)

    def signature(self) -> str:
        """All that engines know of a plan, and what choosing among them depends on, in words."""
        dtypes = " ".join(
            each.char for each in [self.dtype, *self.operand_dtypes, *(s.dtype for s in self.steps)]
        )
        runs = "".join("1" if each else "0" for each in self.runs())
        packed = all(
            strides == _packed(shape, dtype)
            for shape, strides, dtype in zip(
                self.operand_shapes, self.operand_strides, self.operand_dtypes, strict=True
            )
        )
        layout = f"{len(self.shape)} {'packed' if packed else 'strided'} {runs}"
        return f"{self.as_written()}|{dtypes}|{layout}|{self.size.bit_length()}"

    def runs(self) -> list[bool]:
        """Of each operand, whether it changes along the last axis."""
        return [
            bool(shape[-1] == self.shape[-1] and strides[-1])
            for shape, strides in zip(self.operand_shapes, self.operand_strides, strict=True)
        ]

    def as_written(self) -> str:
        """The text of a function that computes the block as NumPy would: the same operators, nothing named."""
        texts: list[str] = []
        for step in self.steps:
            operands = [texts[k] if where == "t" else f"{where}{k}" for where, k in step.operands]
            if not step.symbol:
                texts.append(f"{step.name}({', '.join(operands)})")
            elif step.exponent is not None:
                texts.append(f"({operands[0]}**{step.exponent!r})")
            elif len(operands) == 1:
                texts.append(f"({step.symbol}{operands[0]})")
            else:
                texts.append(f"({operands[0]}{step.symbol}{operands[1]})")
        arguments = [f"x{i}" for i in range(len(self.operand_dtypes))] + [
            f"s{i}" for i in range(self.numbers)
        ]
        return f"lambda {', '.join(arguments)}: {texts[-1]}"


def _packed(shape: tuple[int, ...], dtype: np.dtype) -> tuple[int, ...]:
    strides, step = [], dtype.itemsize
    for extent in reversed(shape):
        strides.append(step)
        step *= extent
    return tuple(reversed(strides))


def _is_ordered(array: np.ndarray) -> bool:
    """Whether no axis has a longer stride than one before it, those that are broadcast apart."""
    last = None
    for extent, stride in zip(array.shape, array.strides, strict=True):
        if extent == 1 or stride == 0:
            continue
        if last is not None and stride > last:
            return False
        last = stride
    return True


def _apply(operation: Operation, function: Any, given: list[Any]) -> Any:
    if operation.name == "**":
        return given[0] ** given[1]
    if operation.symbol and len(given) == 2 and not any(type(each) is np.ndarray for each in given):
        return eval(f"a {_SYMBOLS[operation.name]} b", {}, {"a": given[0], "b": given[1]})
    if operation.symbol == "unary" and type(given[0]) is not np.ndarray:
        return eval(f"{_SYMBOLS[operation.name]} a", {}, {"a": given[0]})
    return function(*given)


def _written(operation: Operation, operands: list[str]) -> str:
    """The operation as the program has it."""
    if not operation.symbol:
        return f"{operation.name}({', '.join(operands)})"
    symbol = _SYMBOLS[operation.name]
    return f"{symbol}{operands[0]}" if len(operands) == 1 else f"{operands[0]} {symbol} {operands[1]}"


@lru_cache(maxsize=64)
def _is_even(name: str, kind: str) -> bool:
    """Whether the choice between 0.0 and -0.0 is the same at all places of an array: where vector loops end, too."""
    if np.dtype(kind).kind not in "fc":
        return True
    zeros, minus = np.zeros(1003, kind), -np.zeros(1003, kind)
    function = FUNCTIONS[name]
    for step in (1, 2):
        for a, b in ((zeros[::step], minus[::step]), (minus[::step], zeros[::step])):
            for count in (a.size, 1, 2, 3, 7, 13, 31, 61):
                for second in (b[:count], b[0]):
                    found = function(a[:count], second)
                    if found.tobytes() != function(a[:1], b[:1]).tobytes() * count:
                        return False
    return True


@lru_cache(maxsize=512)
def _compiled(text: str, name: str) -> Any:
    space = dict(FUNCTIONS)
    exec(compile(text, f"<minpy block {name}>", "exec"), space)
    return space[name]
