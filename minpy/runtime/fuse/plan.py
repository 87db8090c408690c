"""A plan: how a block is computed for one geometry of its operands, and which engine computes it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from minpy.runtime.fuse import native, rolled
from minpy.runtime.fuse.choose import Choice
from minpy.runtime.fuse.ir import Irregular, Operation, Program
from minpy.runtime.fuse.keys import bits_of, compared, kind_of, reach_of
from minpy.runtime.fuse.layout import _is_ordered, _packed, touch
from minpy.runtime.fuse.nest import moves_of
from minpy.runtime.fuse.state import raising
from minpy.runtime.fuse.steps import (
    _HEAVY,
    _OF_TWO_ZEROS,
    _POWERS,
    _SYMBOLS,
    DONE,
    FUNCTIONS,
    LIGHT,
    Output,
    Step,
    _apply,
    _is_even,
    _written,
    by_quotient,
)  # fmt: skip

_KINDS = "biufc"
_KEPT = 64  # choices of one block
_SEVERAL = 3  # operations
# Elements times operations: less than this is over before it could be fused, by the long way or by the short one.
_MIN_WORK, _MIN_SHORT_WORK = 40_000, 600


class Plan:
    """How a block is computed.

    Attributes
    ----------
    shape : tuple of int
        Of all that is computed.
    steps : list of Step
    arrays : list of int
        The leaves that are arrays.
    outputs : list of Output
        In the order of the program's results.
    """

    def __init__(
        self,
        program: Program,
        leaves: tuple[Any, ...],
        mode: str,
        choices: dict[str, Choice],
        rolled: dict[int, rolled.Rolls] | None = None,
    ) -> None:
        self.program, self.mode = program, mode
        used = {each for step in program.operations for each in step.operands if each >= 0}
        self.arrays = [i for i in sorted(used) if type(leaves[i]) is np.ndarray]
        if not self.arrays or any(each.value >= 0 for each in program.results):
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
        self._settle_rolls(leaves, rolled or {})
        work = self.size * sum(20 if step.name in _HEAVY else 1 for step in self.steps)
        # Some of NumPy's loops are others, with other bits, where operand and result touch.
        self.is_touchy = any(step.name in _HEAVY for step in self.steps)
        # Compiled, one pass over memory instead of one for each operation; or a remainder that follows the quotient.
        light = sum(each.name in LIGHT for each in self.steps)
        self.gains_surely = not self.is_touchy and (light >= _SEVERAL or any(map(by_quotient, self.steps)))
        if not self.size or (mode == "auto" and work < _MIN_WORK and work < self._least()):
            raise Irregular
        self._check_layout(leaves)
        self._settle_outputs(leaves)
        self.work = work
        key = self.signature()
        choice = choices.get(key)
        if choice is None:
            if len(choices) >= _KEPT:
                choices.clear()
            choice = choices[key] = Choice(self, key, mode, native.fits(self))
        self.choice = choice

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the first result."""
        return self.outputs[0].dtype

    def _least(self) -> int:
        """What must be done at least for it to be worth it."""
        if self.shortcut_cost is None or not native.may_be_used() or not native.fits(self):
            return _MIN_WORK
        return _MIN_SHORT_WORK

    @property
    def shortcut_cost(self) -> float | None:
        """What the way to compiled code takes where this geometry repeats; None if it is the long one then, too."""
        from minpy.runtime.fuse import shortcut

        if not shortcut.is_possible():
            return None
        if self.program.chains and not shortcut.can_follow(self.program):
            return None
        if self.small:
            return shortcut.COST + shortcut.COST_OF_NUMBERS
        return shortcut.COST

    def _settle_rolls(self, leaves: tuple[Any, ...], rolls: dict[int, rolled.Rolls]) -> None:
        """Note how operands are rolled, which must be whole ones."""
        if set(rolls) != set(self.program.rolls):
            raise Irregular
        for leaf in rolls:
            if type(leaves[leaf]) is not np.ndarray or leaves[leaf].shape != self.shape:
                raise Irregular
        self.rolls = [rolled.normal(rolls.get(leaf, ()), self.shape) for leaf in self.operand_leaves]
        self.is_rolled = any(self.rolls)
        if self.is_rolled:
            rolled.boxes(self.shape, self.rolls, 1)

    def _settle_outputs(self, leaves: tuple[Any, ...]) -> None:
        """What is written into arrays of the program must fit without a conversion."""
        for out in self.outputs:
            if out.leaf < 0:
                continue
            target = leaves[out.leaf]
            fits = (
                type(target) is np.ndarray
                and target.dtype == out.dtype
                and target.shape == self.shape
                and target.flags.aligned
                and target.flags.writeable
                and not any(stride <= 0 for stride in target.strides)
                and _is_ordered(target)
            )
            if fits:
                out.spread = target.strides[-1] != out.dtype.itemsize
            elif out.kind == "store" and len(self.outputs) == 1 and len(self.program.results) == 1:
                out.leaf = -1  # NumPy moves the result
            else:
                raise Irregular

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
        self.computed_with: set[int] = set()  # leaves of small operations
        names: dict[int, str] = {i: f"l{i}" for i in range(len(leaves))}
        with np.errstate(all="ignore"):
            for number, operation in enumerate(program.operations):
                mine = -number - 1
                function = self._function(operation)
                shape = np.broadcast_shapes(*(shapes[each] for each in operation.operands))
                shapes[mine] = shape
                if shape != self.shape:
                    self.computed_with |= {each for each in operation.operands if each >= 0}
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
                if step.dtype.kind == "b" and len(given) == 2:
                    step.loop = compared(given)
                places[mine] = "t", len(self.steps)
                self.steps.append(step)
        self.outputs: list[Output] = []
        for number, each in enumerate(program.results):
            if each.value not in places:
                raise Irregular
            step_number = places[each.value][1]
            self.outputs.append(
                Output(each.kind, step_number, self.steps[step_number].dtype, each.leaf, number)
            )
        self.live = {out.step for out in self.outputs}
        x = [each for each in self._operands if shapes[each]]
        s = [each for each in self._operands if not shapes[each]]
        # Numbers and arrays are counted apart.
        order = {each: ("x", k) for k, each in enumerate(x)} | {each: ("s", k) for k, each in enumerate(s)}
        for step in self.steps:
            step.operands = [
                order[self._operands[k]] if where == "o" else (where, k) for where, k in step.operands
            ]
        for out in self.outputs:
            if out.leaf >= 0 and out.leaf in order:
                out.operand = order[out.leaf][1]
        self.operand_leaves = x
        self.operand_shapes = [shapes[each] for each in x]
        self.operand_dtypes = [kinds[each].dtype for each in x]
        # Results of small operations are contiguous.
        self.operand_strides = [
            leaves[each].strides if each >= 0 else _packed(shapes[each], kinds[each].dtype) for each in x
        ]
        self.moves = [
            moves_of(shape, self.shape, strides, dtype.itemsize)
            for shape, strides, dtype in zip(
                self.operand_shapes, self.operand_strides, self.operand_dtypes, strict=True
            )
        ]
        self.numbers = len(s)
        self.number_leaves = s
        self.number_kinds = [kind_of(kinds[each]) for each in s]
        self.number_bits = [bits_of(kinds[each]) for each in s]
        # What is computed first must have the kind that dtypes were asked with, whenever this plan is used.
        self.checked = [(k, reach_of(kinds[each])) for k, each in enumerate(s) if each < 0]
        lines = "".join(f"  {line}\n" for line in small)
        arguments = ", ".join(f"l{i}" for i in range(len(leaves)))
        self.small = bool(small)
        # The small operations as lines, the leaves that they and the steps need being called `l0` …
        self.small_lines, self.small_names = small, names
        self.plain_numbers = all(
            operation.symbol and not any(type(kinds[each]) not in (int, float) for each in operation.operands)
            for number, operation in enumerate(program.operations)
            if f"p{number}" == names.get(-number - 1)
        )
        self.prepare = _compiled(
            f"def prepare({arguments}):\n{lines}  "
            f"return [{', '.join(names[each] for each in x)}], [{', '.join(names[each] for each in s)}]\n",
            "prepare",
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

    def run(self, leaves: tuple[Any, ...], flags: int, began: float) -> tuple[bool, Any]:
        """Compute: whether that was done, and the results, in order.

        If it was not, the second value says whether that may change soon.
        """
        for name in self.program.called:
            if getattr(np, name) is not FUNCTIONS[name]:
                raise Irregular
        if self.is_rolled and np.roll is not FUNCTIONS["roll"]:
            raise Irregular
        apart = self.apart(leaves)
        engine = self.choice.pick()
        if engine is None:
            return False, self.choice.verdict is None
        if self.small:
            with raising(flags):
                arrays, numbers = self.prepare(*leaves)
            for k, reach in self.checked:
                if reach_of(numbers[k]) != reach:
                    raise Irregular
        else:
            arrays, numbers = self.prepare(*leaves)
        targets = [
            None if out.leaf < 0 or k in apart else leaves[out.leaf] for k, out in enumerate(self.outputs)
        ]
        found = self.choice.run(self, engine, arrays, numbers, targets, flags, began)
        results: list[Any] = []
        for k, out in enumerate(self.outputs):
            if out.leaf >= 0 and k in apart:
                np.copyto(leaves[out.leaf], found[k])
            results.append(DONE if out.kind == "augment" else found[k] if out.leaf < 0 else leaves[out.leaf])
        return True, results

    def apart(self, leaves: tuple[Any, ...]) -> set[int]:
        """The results that must be computed apart and moved afterwards: their memory is read elsewhere.

        Raises
        ------
        Irregular
            One statement reads what another one writes, and not just the same elements.
        """
        found: set[int] = set()
        share = touch if self.is_touchy else np.may_share_memory
        for k, out in enumerate(self.outputs):
            if out.leaf < 0:
                continue
            target = leaves[out.leaf]
            result = self.program.results[out.result]
            for each in result.before:
                if each != out.leaf and type(leaves[each]) is np.ndarray and share(target, leaves[each]):
                    found.add(k)
            for each in result.after:
                if each != out.leaf and type(leaves[each]) is np.ndarray and share(target, leaves[each]):
                    raise Irregular
            for other in self.outputs[:k]:
                if other.leaf >= 0 and other.leaf != out.leaf and share(target, leaves[other.leaf]):
                    raise Irregular
        return found

    def signature(self) -> str:
        """All that engines know of a plan, and what choosing among them depends on, in words."""
        dtypes = " ".join(
            each.char
            for each in [
                *(out.dtype for out in self.outputs),
                *self.operand_dtypes,
                *(s.dtype for s in self.steps),
            ]
        )
        kinds = "".join(self.number_kinds) + "".join(f" {out.kind[0]}{out.spread:d}" for out in self.outputs)
        runs = "".join(map(str, self.moves))
        packed = all(
            strides == _packed(shape, dtype)
            for shape, strides, dtype in zip(
                self.operand_shapes, self.operand_strides, self.operand_dtypes, strict=True
            )
        )
        layout = f"{len(self.shape)} {'packed' if packed else 'strided'} {runs}"
        return f"{self.as_written()}|{dtypes} {kinds}|{layout}|{self.size.bit_length()}"

    def as_written(self) -> str:
        """The text of a function that computes the block as NumPy would, and gives its results."""
        uses = [0] * len(self.steps)
        for step in self.steps:
            for where, k in step.operands:
                if where == "t":
                    uses[k] += 1
        texts: list[str] = []
        lines = ""
        for number, step in enumerate(self.steps):
            operands = [
                texts[k]
                if where == "t"
                else rolled.text_of(self.rolls[k], f"x{k}")
                if where == "x"
                else f"{where}{k}"
                for where, k in step.operands
            ]
            if not step.symbol:
                text = f"{step.name}({', '.join(operands)})"
            elif step.exponent is not None:
                text = f"({operands[0]}**{step.exponent!r})"
            elif len(operands) == 1:
                text = f"({step.symbol}{operands[0]})"
            else:
                text = f"({operands[0]}{step.symbol}{operands[1]})"
            if uses[number] > 1 or (uses[number] and number in self.live):
                lines += f"  t{number} = {text}\n"
                text = f"t{number}"
            texts.append(text)
        arguments = [f"x{i}" for i in range(len(self.operand_dtypes))] + [
            f"s{i}" for i in range(self.numbers)
        ]
        results = "".join(f"{texts[out.step]}, " for out in self.outputs)
        return f"def written({', '.join(arguments)}):\n{lines}  return ({results})\n"


@lru_cache(maxsize=512)
def _compiled(text: str, name: str) -> Any:
    space = dict(FUNCTIONS)
    exec(compile(text, f"<minpy block {name}>", "exec"), space)
    return space[name]
