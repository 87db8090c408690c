"""How each library function is cut into pieces, and the choice between the ways to call it."""

from __future__ import annotations

import operator
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

from minpy.runtime.fuse import compiled, contract, native, pool, split
from minpy.runtime.fuse.choose import Choice, Written
from minpy.runtime.fuse.ir import Irregular
from minpy.runtime.fuse.kept import Kept
from minpy.runtime.fuse.operand import Operand
from minpy.runtime.fuse.state import raising
from minpy.runtime.fuse.whole import NAMES as WHOLE
from minpy.runtime.fuse.whole import Whole
from minpy.runtime.jit import background

_LEAST = 50_000  # elements times what each costs; less than this is over before threads have begun
_COSTS = {
    "sort": 20, "argsort": 30, "median": 20, "percentile": 30, "quantile": 30, "searchsorted": 30, "unique": 20,
    "histogram": 10, "fft_fft": 10, "fft_ifft": 10, "fft_rfft": 10, "fft_irfft": 10, "take": 3, "std": 3, "var": 3,
    "prod": 2, "cumsum": 3, "cumprod": 3, "matmul": 10, "linalg_inv": 50, "linalg_solve": 50, "linalg_det": 20,
    "linalg_cholesky": 20, "linalg_eigvalsh": 200, "random": 3,
}  # fmt: skip
_MULTIPLE = frozenset(
    "sum prod mean max min amax amin any all count_nonzero std var median percentile quantile ptp".split()
)
# NumPy 1 holds the interpreter while it runs these; one thread is as good as several.
_ALONE = frozenset("linalg_inv linalg_det linalg_solve linalg_cholesky linalg_eigvalsh".split())
_NUMPY_1 = np.__version__.startswith("1.")


def current(name: str) -> Any:
    """NumPy's function of a name, as it is at present."""
    module, _, rest = name.partition("_") if name.startswith(("linalg_", "fft_")) else ("", "", name)
    return getattr(getattr(np, module) if module else np, rest)


def _axes(value: Any, dimensions: int) -> tuple[int, ...]:
    """The axes that are meant, from 0 and in order."""
    if value is None:
        return tuple(range(dimensions))
    axes = []
    for each in value if type(value) is tuple else (value,):
        if type(each) in (bool, float, str, np.float64) or each is None:
            raise Irregular
        axis = operator.index(each)
        if not -dimensions <= axis < dimensions:
            raise Irregular
        axes.append(axis % dimensions)
    if len(set(axes)) < len(axes):
        raise Irregular
    return tuple(sorted(axes))


def _reduction(case: Case, operand: Operand, given: dict[str, Any]) -> Any:
    name = case.call.name
    axis, keepdims = given.get("axis"), given.get("keepdims", False)
    ddof = given.get("ddof", 0)
    if type(keepdims) is not bool or type(ddof) is not int or "kind" in given:
        raise Irregular
    if type(axis) is tuple and name not in _MULTIPLE:
        raise Irregular
    axes = _axes(axis, len(operand.shape))
    case.contraction = contract.of(name, operand, axes, keepdims)
    number = int(np.prod([operand.shape[k] for k in axes]))
    if number <= ddof:
        raise Irregular
    if len(axes) == len(operand.shape) and name in WHOLE:
        return Whole(name, operand, keepdims, ddof, axis is not None)
    parameters = {key: value for key, value in given.items() if key != "axis"}
    where = axes[0] if len(axes) == 1 else axes
    return Kept(name, partial(ORIGINAL[name], axis=where, **parameters), operand, axes, keepdims)


def _ranked(case: Case, operand: Operand, given: dict[str, Any]) -> Any:
    """``percentile`` and ``quantile``."""
    q = given.get("q")
    if type(q) in (tuple, list):
        if not q or not all(type(each) in (int, float) for each in q):
            raise Irregular
    elif type(q) not in (int, float):
        raise Irregular
    return _reduction(case, operand, given)


def _same(case: Case, operand: Operand, given: dict[str, Any]) -> Any:
    """What gives arrays of the same form."""
    name = case.call.name
    axis = given.get("axis", -1 if "sort" in name or name.startswith("fft_") else None)
    if axis is None or type(axis) is tuple:
        raise Irregular
    axes = _axes(axis, len(operand.shape))
    parameters = {key: value for key, value in given.items() if key != "axis"}
    if name.startswith("fft_") and axes != (len(operand.shape) - 1,):
        raise Irregular  # NumPy's result is not in C order
    in_place = case.call.method and name == "sort"
    if name == "sort" and len(operand.shape) == 1:
        return split.Sorted(operand, in_place)
    if in_place:

        def function(piece: np.ndarray) -> None:
            piece.sort(axis=axes[0], **parameters)

    else:
        function = partial(ORIGINAL[name], axis=axes[0], **parameters)
    return Kept(name.removeprefix("fft_"), function, operand, axes, in_place=in_place)


def _stack(case: Case, operand: Operand, given: dict[str, Any]) -> Any:
    """Functions of stacks of matrices."""
    return split.Stack(ORIGINAL[case.call.name], operand)


def _stacks(case: Case, operand: Operand, given: dict[str, Any]) -> Any:
    return split.Stack(ORIGINAL[case.call.name], operand, case.second())


def _searchsorted(case: Case, operand: Operand, given: dict[str, Any]) -> Any:
    return split.Needles(operand, case.second(), given.get("side", "left"))


def _take(case: Case, operand: Operand, given: dict[str, Any]) -> Any:
    return split.Taken(operand, case.second(), given.get("axis"))


def _bincount(case: Case, operand: Operand, given: dict[str, Any]) -> Any:
    return split.Counts(operand, given.get("minlength", 0))


def _histogram(case: Case, operand: Operand, given: dict[str, Any]) -> Any:
    return split.Histogram(operand, given.get("bins", 10), given.get("range"))


def _unique(case: Case, operand: Operand, given: dict[str, Any]) -> Any:
    return split.Unique(operand)


def _sliding(case: Case, operand: Operand, given: dict[str, Any]) -> Any:
    default = "full" if case.call.name == "convolve" else "valid"
    return split.Sliding(
        ORIGINAL[case.call.name], operand, case.second(), given.get("mode", default), case.call.name
    )


FORMS: dict[str, Any] = {
    **dict.fromkeys(
        "sum prod mean max min amax amin any all count_nonzero std var argmax argmin median ptp".split(),
        _reduction,
    ),
    **dict.fromkeys("percentile quantile".split(), _ranked),
    **dict.fromkeys("sort argsort cumsum cumprod fft_fft fft_ifft fft_rfft fft_irfft".split(), _same),
    **dict.fromkeys("linalg_inv linalg_det linalg_cholesky linalg_eigvalsh".split(), _stack),
    **dict.fromkeys("linalg_solve matmul".split(), _stacks),
    "searchsorted": _searchsorted,
    "take": _take,
    "bincount": _bincount,
    "histogram": _histogram,
    "unique": _unique,
    **dict.fromkeys("convolve correlate".split(), _sliding),
    "random": None,
}
ORIGINAL: dict[str, Any] = {name: current(name) for name in FORMS if name != "random"}


def original(name: str) -> Any:
    """NumPy's function of a name, as it was when this was imported."""
    return ORIGINAL[name]


class Case:
    """A call for one geometry of its operands.

    Raises
    ------
    Irregular
        It is made as written.
    """

    def __init__(self, call: Any, leaves: list[tuple[Any, ...]], parameters: dict[str, Any]) -> None:
        self.call = call
        self._leaves: Any = leaves
        name = call.name
        program, _ = call.operands[0]
        auto = call.mode == "auto"
        self.kernel: compiled.Compiled | None = None
        if name in compiled.NAMES and not program.operations:
            first = leaves[0][program.result]
            self.kernel = compiled.of(name, first, parameters, not auto)
        alone = auto and not program.operations and pool.width() < 2 and name != "take"
        if alone and self.kernel is None:
            raise Irregular
        if name in _ALONE and _NUMPY_1 and auto:
            raise Irregular
        operand = Operand(program, leaves[0], call.mode, any_order=self.kernel is not None)
        self.contraction: contract.Contraction | None = None
        self.expression, self.operand = bool(program.operations), operand
        try:
            if alone or not operand.ordered:
                raise Irregular
            self.job = FORMS[name](self, operand, dict(parameters))
        except Irregular:
            if self.contraction is None and self.kernel is None:
                raise
            self.job = None  # it cannot be had in pieces
        del self._leaves
        self.compilable = operand.compilable or self.kernel is not None
        # A factor of two or three pays for compiling only in programs that run for longer than it takes by far.
        self.gains_surely = self.kernel is not None and self.kernel.gains_surely
        work = operand.size * _COSTS.get(name, 1)
        if self.expression:
            assert operand.plan is not None
            work = max(work, operand.plan.work)
        if self.kernel is not None:
            work = max(work, getattr(self.kernel.job, "work", 0))
        if auto and max(work, getattr(self.job, "work", 0)) < _LEAST:
            raise Irregular
        self.written = _written(call, operand, parameters)
        key = self.job.signature() if self.job else name
        if self.contraction is not None:
            key = f"{key}|{self.contraction.subscripts}|{operand.signature()}|free"
        if self.kernel is not None:
            key = f"{key}|{type(self.kernel.job).__name__}|{operand.signature()}|compiled"
        key = f"{'.' if call.method else ''}{key}"
        choices = call._choices
        if key not in choices:
            if len(choices) >= 64:
                choices.clear()
            choices[key] = CallChoice(self, key, call.mode)
        self.choice = choices[key]

    def second(self) -> Any:
        """The second operand, which must be an array as it stands."""
        program, _ = self.call.operands[1]
        if program.operations:
            raise Irregular
        array = self._leaves[1][program.result]
        if type(array) is not np.ndarray:
            raise Irregular
        return array


def _written(call: Any, operand: Operand, parameters: dict[str, Any]) -> Any:
    """A function that does what the program has written, of the operands' leaves."""
    programs = [program for program, _ in call.operands]

    def written(leaves: list[tuple[Any, ...]]) -> Any:
        if operand.plan is not None:
            arrays, numbers = operand.plan.prepare(*leaves[0])
            (first,) = Written(operand.plan).code(*arrays, *numbers)
        else:
            first = leaves[0][programs[0].result]
        rest = [each[program.result] for each, program in zip(leaves[1:], programs[1:], strict=True)]
        if call.method:
            return getattr(first, call.name)(*rest, **parameters)
        return ORIGINAL[call.name](first, *rest, **parameters)

    return written


class CallChoice(Choice):
    """The ways to make a call, and what is known about them."""

    def __init__(self, case: Case, key: str, mode: str) -> None:
        super().__init__(case, key, mode, case.compilable)  # type: ignore[arg-type]
        self.expression = case.expression
        self.contracts, self.pieces = case.contraction is not None, case.job is not None
        self.kernel = case.kernel is not None

    def _candidates(self) -> list[str]:
        written = self.best.get("written", 1.0)
        threads = [1] if self.expression else []
        if self.width > 1 and written > 200e-6:
            threads.append(self.width)
        engines = ["written"]
        if written >= 12e-6:
            if self.compilable and (self._may_compile() or "native1" in self.engines):
                engines += (
                    ["native1"] if self.kernel else [f"native{each}" for each in threads if self.pieces]
                )
            if self.pieces:
                engines += [f"tiled{each}" for each in threads]
            if self.contracts:
                engines.append(f"{contract.NAME}1")
        if self.expected in engines:
            engines.remove(self.expected)
            engines.insert(0, self.expected)
        return [each for each in engines if each not in self.refused]

    def _usable(self, name: str) -> str | None:
        kind = name.rstrip("0123456789")
        if kind == "native" and self.kernel:
            name = "native1"
        elif kind != "written" and not (self.contracts if kind == contract.NAME else self.pieces):
            return None
        if kind == "native" and (not self.compilable or not (self.expression or self.kernel)):
            return f"tiled{name[6:]}" if self.turn is not None or self.forced else None
        self.engines.setdefault(name, kind)
        return name

    def _is_right(self, case: Any, kind: str, leaves: list[tuple[Any, ...]], flags: int) -> bool:
        """Whether an engine gives NumPy's bits for the first elements of the expression."""
        operand = case.operand
        with raising(flags):
            arrays, numbers = operand.plan.prepare(*leaves[0])
        return self._shows_its_bits(operand.plan, operand.engine(kind), arrays, numbers, flags)

    def call(self, case: Case, name: str, leaves: list[tuple[Any, ...]], flags: int, began: float) -> Any:
        """Make the call one way."""
        if name == "written":
            began = perf_counter()
            with raising(flags):
                result = case.written(leaves)
        else:
            kind = name.rstrip("0123456789")
            try:
                if kind == contract.NAME:
                    assert case.contraction is not None
                    result = case.contraction.run(leaves[0], flags)
                elif kind == "native" and case.kernel is not None:
                    result = self._by_kernel(case, leaves, flags)
                elif (
                    case.expression
                    and name not in self.shown
                    and not self._is_right(case, kind, leaves, flags)
                ):
                    self.refused.add(name)
                    raise Irregular
                else:
                    result = case.job.run(leaves, kind, int(name[len(kind) :]), flags)
            except Irregular:
                if name not in self.refused and (case.kernel is None or case.kernel.is_hopeless):
                    self.verdict = "written"  # the values are not such; they will not be the next time
                raise
            except background.Pending as pending:
                self.waiting = pending.job
                self.engines.pop(name, None)  # unless another thread has
                raise Irregular from pending
            except native.Unfit as error:
                self.refused |= {f"native{each}" for each in (1, 2, self.width)}
                self.compilable = False
                raise Irregular from error
            if name not in self.shown:
                self.shown.add(name)
                if case.expression or (kind == "native" and case.kernel is not None):
                    return result  # it was looked at, or compiled, just now
        if self.verdict is None:
            self._tried(name, perf_counter() - began)
        return result

    def _by_kernel(self, case: Case, leaves: list[tuple[Any, ...]], flags: int) -> Any:
        """Make the call by compiled code, which must show NumPy's bits the first time."""
        assert case.kernel is not None
        array = leaves[0][case.operand.program.result]
        wait = self.turn is not None or bool(self.forced)
        with raising(flags):
            try:
                result = case.kernel.run(array, wait)
            except Irregular:
                if not self.forced or case.job is None:
                    raise
                # Values that the kernel does not take: where every engine is to be seen at work, the pieces take over.
                return case.job.run(leaves, "tiled", self.width, flags)
            if "native1" not in self.shown and not is_same(result, case.written(leaves)):
                self.refused.add("native1")
                raise Irregular
        return result


def is_same(one: Any, other: Any) -> bool:
    """Whether two results cannot be told apart."""
    if type(one) is not type(other) or one.dtype != other.dtype or one.shape != other.shape:
        return False
    if type(one) is np.ndarray and one.flags.c_contiguous != other.flags.c_contiguous:
        return False
    return one.tobytes() == other.tobytes()
