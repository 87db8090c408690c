"""Functions with rules of their own: `primitive` (autograd's way), `custom_vjp` and `custom_jvp` (JAX's way)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from numpy import ndarray

from minpy.autodiff import trees
from minpy.autodiff.operation import Call, Operation, result_leaves, tangent_arguments
from minpy.errors import GradientError
from minpy.runtime.array import Array
from minpy.runtime.record import Line, tape_of


class primitive(Operation):
    """A function that is one operation of its own, with derivative rules given by `def_vjp` and `def_jvp`.

    Either kind of rule is enough: the other mode uses its transpose. Rules are written in NumPy; they are
    differentiated themselves for higher
    orders.

    Parameters
    ----------
    fun : callable
        Runs on plain arrays; it may be anything, a C extension too. It must not write into its arguments.

    Examples
    --------
    >>> @primitive
    ... def logsumexp(x):
    ...     top = np.max(x)
    ...     return top + np.log(np.sum(np.exp(x - top)))
    >>> def_vjp(logsumexp, lambda ans, x: lambda g: g * np.exp(x - ans))
    >>> grad(logsumexp)(np.array([1.0, 2.0, 3.0]))
    array([0.09003057, 0.24472847, 0.66524096])
    """

    def __init__(self, fun: Callable[..., Any]) -> None:
        super().__init__(fun)
        self._vjps: dict[int, Any] = {}
        self._jvps: dict[int, Any] = {}

    def def_vjp(self, *makers: Callable[..., Any] | None, argnums: Sequence[int] | None = None) -> primitive:
        """Give the rules for cotangents.

        Parameters
        ----------
        *makers : callable or None
            One for each positional argument: ``maker(ans, *args, **kwargs)`` returns the function that maps
            the cotangent of the result to that of the argument. None: no gradient flows into the argument.
        argnums : sequence of int, optional
            Which arguments; by default the first ones.
        """
        self._vjps.update(_numbered(makers, argnums))
        return self

    def def_jvp(self, *rules: Callable[..., Any] | None, argnums: Sequence[int] | None = None) -> primitive:
        """Give the rules for tangents.

        Parameters
        ----------
        *rules : callable or None
            One for each positional argument: ``rule(tangent, ans, *args, **kwargs)`` is its contribution to
            the tangent of the result.
        argnums : sequence of int, optional
            Which arguments; by default the first ones.
        """
        self._jvps.update(_numbered(rules, argnums))
        return self

    defvjp, defjvp = def_vjp, def_jvp

    def _check_rules(self) -> None:
        if not self._vjps and not self._jvps:
            raise GradientError(
                f"{self._row.name} is a primitive without derivative rules, at {Line()}. Give them with "
                "def_vjp or def_jvp"
            )

    def _argument_rule(self, rules: dict[int, Any], i: Any, call: Call) -> Any:
        if i not in rules:
            given = ", ".join(map(str, sorted(rules)))
            raise GradientError(
                f"{self._row.name} has no derivative rule for argument {i!r} (it has rules for {given}). "
                f"The call was at {call.line}"
            )
        return rules[i]

    def _cotangents(self, g: Any, ans: Any, leaves: list, call: Call) -> list[Any]:
        if not self._vjps:
            return self._backwards(lambda ts: self._push(ts, ans, leaves, call), g, leaves)
        return self._pull(g, ans, leaves, call)

    def _pull(self, g: Any, ans: Any, leaves: list, call: Call) -> list[Any]:
        args, kwargs = call.filled(leaves)
        result, g = call.like_result(ans), call.like_result(g)
        found: dict[Any, Any] = {}
        shared: dict[Any, Any] = {}
        for key, value in [*enumerate(call.arguments[0]), *call.arguments[1].items()]:
            # Arrays that merely live on a tape, but are not differentiated, need no rule.
            if _moves(value):
                maker = self._argument_rule(self._vjps, key, call)
                found[key] = None if maker is None else self._apply(maker, g, result, args, kwargs, shared)
        return self._by_argument(found, call, leaves)

    def _apply(self, maker: Any, g: Any, result: Any, args: tuple, kwargs: dict, shared: dict) -> Any:
        """The cotangent from one rule; what several arguments of a call have in common is kept in `shared`."""
        return maker(result, *args, **kwargs)(g)

    def _tangents(self, tangents: tuple, ans: Any, leaves: list, call: Call) -> list[Any]:
        if not self._jvps:
            return self._forwards(lambda gs: self._pull(gs, ans, leaves, call), tangents[0], ans)
        return self._push(tangents[0], ans, leaves, call)

    def _push(self, tangents: list, ans: Any, leaves: list, call: Call) -> list[Any]:
        args, kwargs = call.filled(leaves)
        result = call.like_result(ans)
        moved = tangent_arguments(call, tangents, leaves)
        totals: list[Any] = [None] * len(ans)
        for key, tangent in moved.items():
            if tangent is None:
                continue
            rule = self._argument_rule(self._jvps, key, call)
            if rule is None:
                continue
            for k, part in enumerate(result_leaves(self, rule(tangent, result, *args, **kwargs), ans, call)):
                if part is not None:
                    totals[k] = part if totals[k] is None else totals[k] + part
        return totals


class custom_vjp(Operation):
    """A function with a rule for cotangents, given as a pair: a forward run that keeps what the backward run needs.

    Parameters
    ----------
    fun : callable
        A function of positional arguments.
    nondiff_argnums : sequence of int
        Arguments through which no gradient flows; `bwd` gets their values first.

    Examples
    --------
    >>> @custom_vjp
    ... def clip_gradient(x):
    ...     return x
    >>> clip_gradient.defvjp(lambda x: (x, None), lambda kept, g: (np.clip(g, -1, 1),))
    """

    def __init__(self, fun: Callable[..., Any], nondiff_argnums: Sequence[int] = ()) -> None:
        super().__init__(fun)
        self._constant = tuple(nondiff_argnums)
        self._fwd: Any = None
        self._bwd: Any = None

    def def_vjp(self, fwd: Callable[..., Any], bwd: Callable[..., Any]) -> None:
        """Give the rule.

        Parameters
        ----------
        fwd : callable
            ``fwd(*args)`` returns a pair: the result of the function, and whatever `bwd` needs.
        bwd : callable
            ``bwd(kept, g)`` returns a tuple with the cotangent of each argument (None is zero). Instead of a
            cotangent it may give a function of no arguments, which is called for it only if the argument is
            differentiated.
        """
        self._fwd, self._bwd = fwd, bwd

    defvjp = def_vjp

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if kwargs:
            # The rule's arguments are positional.
            args, kwargs = _all_positional(self._fun, args, kwargs)
        return super().__call__(*args, **kwargs)

    def _check_rules(self) -> None:
        if self._fwd is None:
            raise GradientError(
                f"{self._row.name} is a custom_vjp without a rule, at {Line()}. Give it with "
                f"{self._row.name}.defvjp(fwd, bwd)"
            )

    def _value(self, call: Call, args: tuple, kwargs: dict) -> Any:
        result, call.residuals = self._run(args, call)
        return result

    def _plain_cotangents(self, g: ndarray, ans: ndarray, leaves: list, call: Call) -> list[Any]:
        if not call.flat or self._constant:
            return self._cotangents([g], [ans], leaves, call)
        return self._flat_cotangents(
            self._bwd(call.residuals, g[()] if call.result.scalar else g), call, leaves
        )

    def _run(self, args: tuple, call: Call) -> tuple[Any, Any]:
        both = self._fwd(*args)
        if type(both) is tuple and len(both) == 2:
            return both
        if not isinstance(both, tuple) or len(both) != 2:
            raise GradientError(
                f"the forward rule of {self._row.name} must return a pair (result, what the backward rule "
                "needs), not "
                f"{trees.summary(both)}. The call was at {call.line}"
            )
        return both

    def _cotangents(self, g: Any, ans: Any, leaves: list, call: Call) -> list[Any]:
        args = call.arguments[0]
        kept = call.residuals
        if call.flat and not self._constant and not any(type(leaf) is Array for leaf in leaves):
            return self._flat_cotangents(self._bwd(kept, call.like_result(g)), call, leaves)
        higher = any(type(leaf) is Array and tape_of(leaf.storage) is not None for leaf in leaves)
        if higher or self._constant:
            args, _ = call.filled(leaves)
        if higher:
            # A derivative of higher order: what was kept must be on the tapes around.
            kept = self._run(args, call)[1]
        constants = [args[i] for i in self._constant]
        found = self._bwd(*constants, kept, call.like_result(g))
        moving = [i for i in range(len(args)) if i not in self._constant]
        self._check_number(found, len(moving), call)
        found = [
            d if not callable(d) else d() if _moves(call.arguments[0][i]) else None
            for i, d in zip(moving, found, strict=True)
        ]
        return self._by_argument(dict(zip(moving, found, strict=True)), call, leaves)

    def _flat_cotangents(self, found: Any, call: Call, leaves: list) -> list[Any]:
        """As `_cotangents`, of arguments that are no containers."""
        args = call.arguments[0]
        if type(found) is not tuple or len(found) != len(args):
            self._check_number(found, len(args), call)
        collected: list[Any] = []
        for k, argument in enumerate(args):
            if type(argument) is Array:
                d, leaf = found[k], leaves[len(collected)]
                if type(d) is not ndarray and callable(d):
                    d = d() if argument.storage.tape is not None else None
                if type(d) is not ndarray or d.shape != leaf.shape or d.dtype is not leaf.dtype:
                    d = self._fitted(d, leaf, f"a cotangent of argument {k!r}", call)
                collected.append(d)
        return collected

    def _check_number(self, found: Any, number: int, call: Call) -> None:
        if not isinstance(found, (tuple, list)) or len(found) != number:
            raise GradientError(
                f"the backward rule of {self._row.name} must return a tuple of {number}, one cotangent for each "
                f"argument, not {trees.summary(found)}. The call was at {call.line}"
            )

    def _tangents(self, tangents: tuple, ans: Any, leaves: list, call: Call) -> list[Any]:
        return self._forwards(lambda gs: self._cotangents(gs, ans, leaves, call), tangents[0], ans)


class custom_jvp(Operation):
    """A function with a rule for tangents, given as one function of arguments and tangents.

    Parameters
    ----------
    fun : callable
        A function of positional arguments.

    Examples
    --------
    >>> @custom_jvp
    ... def softplus(x):
    ...     return np.logaddexp(x, 0.0)
    >>> softplus.defjvp(lambda x, t: (softplus(x[0]), t[0] / (1 + np.exp(-x[0]))))
    """

    def __init__(self, fun: Callable[..., Any]) -> None:
        super().__init__(fun)
        self._rule: Any = None

    def def_jvp(self, rule: Callable[..., Any]) -> None:
        """Give the rule.

        Parameters
        ----------
        rule : callable
            ``rule(primals, tangents)``, both tuples, returns a pair: the result and its tangent.
        """
        self._rule = rule

    defjvp = def_jvp

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if kwargs:
            args, kwargs = _all_positional(self._fun, args, kwargs)
        return super().__call__(*args, **kwargs)

    def _check_rules(self) -> None:
        if self._rule is None:
            raise GradientError(
                f"{self._row.name} is a custom_jvp without a rule, at {Line()}. Give it with "
                f"{self._row.name}.defjvp(rule)"
            )

    def _cotangents(self, g: Any, ans: Any, leaves: list, call: Call) -> list[Any]:
        return self._backwards(lambda ts: self._push(ts, ans, leaves, call), g, leaves)

    def _tangents(self, tangents: tuple, ans: Any, leaves: list, call: Call) -> list[Any]:
        return self._push(tangents[0], ans, leaves, call)

    def _push(self, tangents: list, ans: Any, leaves: list, call: Call) -> list[Any]:
        args, _ = call.filled(leaves)
        moved = tangent_arguments(call, tangents, leaves, zeros=True)
        both = self._rule(tuple(args), tuple(moved[i] for i in range(len(args))))
        if not isinstance(both, (tuple, list)) or len(both) != 2:
            raise GradientError(
                f"the rule of {self._row.name} must return a pair (result, tangent), not "
                f"{trees.summary(both)}. The call was at {call.line}"
            )
        return result_leaves(self, both[1], ans, call)


def _moves(argument: Any) -> bool:
    """Whether an array in an argument is differentiated."""
    return any(array.storage.tape is not None for array in trees.arrays_in(argument))


def _numbered(rules: tuple, argnums: Sequence[int] | None) -> dict[int, Any]:
    numbers = list(range(len(rules))) if argnums is None else list(argnums)
    if len(numbers) != len(rules):
        raise GradientError(f"argnums names {len(numbers)} arguments, but {len(rules)} rules were given")
    return dict(zip(numbers, rules, strict=True))


def _all_positional(fun: Any, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    bound = inspect.signature(fun).bind(*args, **kwargs)
    bound.apply_defaults()
    return bound.args, bound.kwargs


def def_vjp(fun: Any, *rules: Any, argnums: Sequence[int] | None = None) -> None:
    """Give a function that is one operation its rules for cotangents.

    Parameters
    ----------
    fun : primitive or custom_vjp
        What the decorator made.
    *rules : callable or None
        As ``fun.def_vjp`` takes them.
    argnums : sequence of int, optional
        Which arguments the rules are for; by default the first ones.

    Raises
    ------
    GradientError
        If `fun` is something else, or there are more or fewer rules than `argnums`.
    """
    _define(fun, "def_vjp", rules, argnums)


def def_jvp(fun: Any, *rules: Any, argnums: Sequence[int] | None = None) -> None:
    """Give a function that is one operation its rules for tangents.

    Parameters
    ----------
    fun : primitive or custom_jvp
        What the decorator made.
    *rules : callable or None
        As ``fun.def_jvp`` takes them.
    argnums : sequence of int, optional
        Which arguments the rules are for; by default the first ones.

    Raises
    ------
    GradientError
        If `fun` is something else, or there are more or fewer rules than `argnums`.
    """
    _define(fun, "def_jvp", rules, argnums)


def _define(fun: Any, method: str, rules: tuple, argnums: Sequence[int] | None) -> None:
    if not isinstance(fun, Operation) or not hasattr(fun, method):
        raise GradientError(
            f"{method} takes a function made by @primitive, not {trees.summary(fun)}. Decorate it first"
        )
    getattr(fun, method)(*rules, **({} if argnums is None else {"argnums": argnums}))


defvjp, defjvp = def_vjp, def_jvp
