"""What the rows of SciPy's functions share: rows by the name of a module's function, rules that refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minpy.errors import GradientError
from minpy.runtime.primitives.rules import as_array
from minpy.runtime.primitives.samples import array
from minpy.runtime.primitives.table import row

Rule = Callable[..., Any]


def refused(function: str, operand: str, why: str = "is not available in closed form") -> Rule:
    """The rule of an operand by which SciPy's `function` cannot be differentiated."""

    def rule(*args: Any, **kwargs: Any) -> Any:
        raise GradientError(
            f"the derivative of {function} with respect to {operand} {why}. "
            f"Use minpy.stop_gradient on {operand} if no gradient should flow through it"
        )

    rule.refuses = True  # type: ignore[attr-defined]
    return rule


def column(*rules: Rule | None) -> tuple:
    """The rules ``rule(g, ans, *operands)`` of an element-wise function's operands, whatever its options."""

    def swallow(rule: Rule | None) -> Rule | None:
        if rule is None or hasattr(rule, "refuses"):
            return rule
        count = len(rules)

        def swallowed(g: Any, ans: Any, *operands: Any, **options: Any) -> Any:
            return rule(g, ans, *map(as_array, operands[:count]))

        swallowed.bare = rule  # type: ignore[attr-defined]
        return swallowed

    return tuple(map(swallow, rules))


def ranges(*bounds: tuple[float, float] | tuple[float, float, type]) -> Callable[..., Any]:
    """Samples of an element-wise function whose operands lie between these bounds; whole numbers with a third
    entry ``int``."""

    def samples(rng: np.random.Generator, dtype: np.dtype) -> Any:
        def draw(bound: tuple, *shape: int) -> Any:
            if len(bound) == 3:
                return rng.integers(bound[0], bound[1] + 1, shape)
            real = array(rng, np.float64, *shape, low=bound[0], high=bound[1])
            if np.dtype(dtype).kind == "c":
                real = real + 1j * array(rng, np.float64, *shape, low=-0.5, high=0.5)
            return real.astype(dtype)

        yield tuple(draw(b, 3, 4) for b in bounds), {}
        yield tuple(draw(b) for b in bounds), {}
        yield tuple(draw(b, 0, 2) for b in bounds), {}
        yield (draw(bounds[0], 2, 1, 3)[::-1], *(draw(b, 4, 1) for b in bounds[1:])), {}
        if len(bounds) > 1:
            yield (*(draw(b) for b in bounds[:-1]), draw(bounds[-1], 3)), {}
            yield (draw(bounds[0], 3).tolist(), *(draw(b, 2, 1) for b in bounds[1:])), {}

    return samples


def function(module: str) -> Callable[..., None]:
    """Adds rows of functions of `module` of SciPy: ``add(names, rules, *bounds, **columns)``."""

    def add(names: str, rules: Any, *bounds: tuple, **columns: Any) -> None:
        columns.setdefault("samples", ranges(*bounds))
        for name in names.split():
            row(f"scipy.{module}.{name}", cost="transcendental", vjp=rules, **columns)

    return add


def guarded(condition: Any, value: Any, formula: Callable[[Any], Any], x: Any, safe: float) -> Any:
    """``formula(x)``, and `value` where `condition` holds, at which the formula has no value."""
    if not np.any(condition):
        return formula(x)
    return np.where(condition, value, formula(np.where(condition, safe, x)))


# What stands for a function of SciPy in rewritten code while the runtime is active, where a row alone does not do.
stand_ins: dict[Any, Callable[..., Any]] = {}


def stands_for(original: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function as what routed calls of `original` call (nothing if this SciPy has no such function)."""

    def register(stand_in: Callable[..., Any]) -> Callable[..., Any]:
        if original is not None:
            stand_in.__name__ = stand_in.__qualname__ = original.__name__
            stand_in.__doc__ = original.__doc__
            stand_ins[original] = stand_in
        return stand_in

    return register
