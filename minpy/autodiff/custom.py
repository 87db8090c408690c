"""Functions with derivative rules of the program's own: `primitive` (autograd's way), `custom_vjp` and `custom_jvp` (JAX's way).

The function itself runs on plain arrays and is not recorded; it becomes one operation on the tape. Its rules run on whatever the derivative is
taken of: plain arrays, or, for derivatives of higher order, values on the tapes around.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minpy.autodiff import calls, trees
from minpy.errors import GradientError, TraceError
from minpy.runtime import cotangents
from minpy.runtime.array import Array
from minpy.runtime.primitives.table import Primitive
from minpy.runtime.record import Line, Record, innermost, tape_of
from minpy.runtime.storage import Storage
from minpy.runtime.tape import Tape


class _Call:
    """One call of a custom function: its structure, apart from the arrays that are differentiated."""

    __slots__ = ("arguments", "line", "outs", "residuals", "result")

    def __init__(self, arguments: tuple[tuple, dict]) -> None:
        self.arguments = arguments
        self.line = Line()
        self.residuals: Any = None
        self.result: Any = None
        self.outs: list[int] = []

    def filled(self, leaves: Sequence[Any]) -> tuple[tuple, dict]:
        """The arguments with these arrays in the places of those that were differentiated."""
        parts = iter(leaves)

        def one(leaf: Any) -> Any:
            if type(leaf) is not Array:
                return leaf
            part = next(parts)
            return part[()] if leaf.scalar and type(part) is np.ndarray else part

        args, kwargs = self.arguments
        return tuple(trees.transform(one, a) for a in args), {
            k: trees.transform(one, v) for k, v in kwargs.items()
        }

    def like_result(self, parts: Sequence[Any]) -> Any:
        """A tree like the result with these values in the places of its floating-point arrays."""
        count = iter(range(len(parts)))

        def one(leaf: Any) -> Any:
            if type(leaf) is not Array:
                return leaf
            part = parts[next(count)]
            return part[()] if leaf.scalar and type(part) is np.ndarray else part

        return trees.transform(one, self.result)


class _Custom:
    """What the three kinds share: a function that is one operation on the tape."""

    def __init__(self, fun: Callable[..., Any]) -> None:
        if not callable(fun):
            raise GradientError(f"{type(self).__name__} takes a function, not {trees.summary(fun)}")
        self._fun = fun
        functools.update_wrapper(self, fun, updated=())
        self._row = Primitive(
            calls.name_of(fun), fun, vjp=lambda i: self._cotangents if i == 0 else None, jvp=self._tangents
        )

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        leaves = trees.arrays_in((args, kwargs))
        tape = innermost(leaves)
        if tape is None:
            return self._fun(*args, **kwargs)
        self._check_rules()
        # Copies of the containers: the program may change its own.
        call = _Call(trees.transform(_itself, (args, kwargs)))
        plain = call.filled([_read_only(leaf) for leaf in leaves])
        result = self._value(call, *plain)
        outs: list[Array] = []

        def out(leaf: Any) -> Any:
            if type(leaf) is Array and tape_of(leaf.storage) is not None:
                raise TraceError(
                    f"{calls.name_of(self._fun)} has derivative rules of its own and uses a value that is being differentiated, "
                    f"but is not an argument, at {call.line}. Pass it as an argument"
                )
            if isinstance(leaf, (float, complex)) or (
                isinstance(leaf, (np.ndarray, np.generic)) and leaf.dtype.kind in "fc"
            ):
                scalar = not isinstance(leaf, np.ndarray)
                value = np.asarray(leaf.contents if type(leaf) is Array else leaf)
                if any(np.may_share_memory(value, operand.storage.host) for operand in leaves):
                    value = value.copy()
                traced = Array(value, Storage(value), scalar=scalar)
                traced.storage.tape = tape
                outs.append(traced)
                return traced
            return leaf

        call.result = trees.transform(out, result)
        if outs:
            tape.append(Record(self._row, (leaves, call), {}, tuple(outs)))
        return trees.transform(_itself, call.result)

    # ----- what the tape asks for

    def _value(self, call: _Call, args: tuple, kwargs: dict) -> Any:
        return self._fun(*args, **kwargs)

    def _check_rules(self) -> None:
        raise NotImplementedError

    def _cotangents(self, g: Any, ans: Any, leaves: list, call: _Call) -> list[Any]:
        """The cotangents of the differentiated arrays."""
        raise NotImplementedError

    def _tangents(self, tangents: tuple, ans: Any, leaves: list, call: _Call) -> list[Any]:
        """The tangents of the results, from the tangents of the differentiated arrays."""
        raise NotImplementedError

    def _backwards(self, push: Callable[[list], list], g: Any, leaves: list) -> list[Any]:
        """Cotangents from a rule for tangents, which is linear in them: its transpose."""
        tape = Tape()
        inputs = [_zero(tape, leaf) for leaf in leaves]
        with tape, np.errstate(all="ignore"):
            outs = push(inputs)
        seeds = [
            (out, d)
            for out, d in zip(outs, g, strict=True)
            if type(out) is Array and tape.watches(out.storage) and d is not None
        ]
        return tape.sweep(seeds, inputs)

    def _forwards(self, pull: Callable[[list], list], tangents: list, ans: Any) -> list[Any]:
        """Tangents from a rule for cotangents, which is linear in them: its transpose."""
        tape = Tape()
        inputs = [_zero(tape, out) for out in ans]
        with tape, np.errstate(all="ignore"):
            ds = pull(inputs)
        seeds = [
            (d, t)
            for d, t in zip(ds, tangents, strict=True)
            if type(d) is Array and tape.watches(d.storage) and t is not None
        ]
        return tape.sweep(seeds, inputs)

    def _fitted(self, d: Any, leaf: Any, what: str, call: _Call) -> Any:
        """What a rule returned, checked against the array it belongs to."""
        if d is None:
            return None
        if not isinstance(d, (np.ndarray, np.generic, int, float, complex)):
            raise GradientError(
                f"the rule of {self._row.name} returned a {type(d).__name__} as {what}, not an array. The call was at {call.line}"
            )
        shape, dtype = np.shape(leaf), leaf.dtype
        if np.shape(d) != shape:
            raise GradientError(
                f"the rule of {self._row.name} returned {what} of shape {np.shape(d)}, but it must have the shape {shape}. "
                f"The call was at {call.line}"
            )
        return cotangents.fit(d, shape, dtype)

    def _by_argument(self, found: dict[Any, Any], call: _Call, leaves: list) -> list[Any]:
        """Cotangents by argument as the list of those of the differentiated arrays."""
        args, kwargs = call.arguments
        rest = iter(leaves)
        collected = []
        for key, value in [*enumerate(args), *kwargs.items()]:
            inside = trees.leaves(value)
            place = f"argument {key!r}"
            parts: list[Any] = [None] * len(inside)
            if found.get(key) is not None:
                parts = calls.same_structure(
                    found[key], value, f"the cotangent of {place} from the rule of {self._row.name}"
                )
            for leaf, part in zip(inside, parts, strict=True):
                if type(leaf) is Array:
                    collected.append(self._fitted(part, next(rest), f"a cotangent of {place}", call))
        return collected


def _read_only(leaf: Array) -> Any:
    # The function works on the memory itself, and must not write to it behind the tape's back.
    view = leaf.contents.view()
    view.flags.writeable = False
    return view


def _zero(tape: Tape, like: Any) -> Array:
    value = np.zeros(np.shape(like), like.dtype)
    zero = Array(value, Storage(value))
    if value.dtype.kind in "fc":
        zero.storage.tape = tape
    return zero


def _itself(leaf: Any) -> Any:
    return leaf


def _is_float(leaf: Any) -> bool:
    return isinstance(leaf, (float, complex)) or (
        isinstance(leaf, (np.ndarray, np.generic)) and leaf.dtype.kind in "fc"
    )


class primitive(_Custom):  # noqa: N801: a decorator
    """A function that is one operation of its own, with derivative rules given by `def_vjp` and `def_jvp`.

    Either kind of rule is enough: the other mode uses its transpose. Rules are written in NumPy; they are differentiated themselves for higher
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
            One for each positional argument: ``maker(ans, *args, **kwargs)`` returns the function that maps the cotangent of the result to that of
            the argument. None: no gradient flows into the argument.
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
            One for each positional argument: ``rule(tangent, ans, *args, **kwargs)`` is its contribution to the tangent of the result.
        argnums : sequence of int, optional
            Which arguments; by default the first ones.
        """
        self._jvps.update(_numbered(rules, argnums))
        return self

    defvjp, defjvp = def_vjp, def_jvp

    def _check_rules(self) -> None:
        if not self._vjps and not self._jvps:
            raise GradientError(
                f"{self._row.name} is a primitive without derivative rules, at {Line()}. Give them with def_vjp or def_jvp"
            )

    def _argument_rule(self, rules: dict[int, Any], i: Any, call: _Call) -> Any:
        if i not in rules:
            given = ", ".join(map(str, sorted(rules)))
            raise GradientError(
                f"{self._row.name} has no derivative rule for argument {i!r} (it has rules for {given}). The call was at {call.line}"
            )
        return rules[i]

    def _cotangents(self, g: Any, ans: Any, leaves: list, call: _Call) -> list[Any]:
        if not self._vjps:
            return self._backwards(lambda ts: self._push(ts, ans, leaves, call), g, leaves)
        return self._pull(g, ans, leaves, call)

    def _pull(self, g: Any, ans: Any, leaves: list, call: _Call) -> list[Any]:
        args, kwargs = call.filled(leaves)
        result, g = call.like_result(ans), call.like_result(g)
        found: dict[Any, Any] = {}
        for key, value in [*enumerate(call.arguments[0]), *call.arguments[1].items()]:
            # Arrays that merely live on a tape, but are not differentiated, need no rule.
            if trees.arrays_in(value) and any(a.storage.tape is not None for a in trees.arrays_in(value)):
                maker = self._argument_rule(self._vjps, key, call)
                found[key] = None if maker is None else maker(result, *args, **kwargs)(g)
        return self._by_argument(found, call, leaves)

    def _tangents(self, tangents: tuple, ans: Any, leaves: list, call: _Call) -> list[Any]:
        if not self._jvps:
            return self._forwards(lambda gs: self._pull(gs, ans, leaves, call), tangents[0], ans)
        return self._push(tangents[0], ans, leaves, call)

    def _push(self, tangents: list, ans: Any, leaves: list, call: _Call) -> list[Any]:
        args, kwargs = call.filled(leaves)
        result = call.like_result(ans)
        moved = _tangent_arguments(call, tangents, leaves)
        totals: list[Any] = [None] * len(ans)
        for key, tangent in moved.items():
            if tangent is None:
                continue
            rule = self._argument_rule(self._jvps, key, call)
            if rule is None:
                continue
            for k, part in enumerate(_result_leaves(self, rule(tangent, result, *args, **kwargs), ans, call)):
                if part is not None:
                    totals[k] = part if totals[k] is None else totals[k] + part
        return totals


class custom_vjp(_Custom):  # noqa: N801: a decorator
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

    def def_vjp(self, fwd: Callable[..., Any], bwd: Callable[..., Any]) -> custom_vjp:
        """Give the rule.

        Parameters
        ----------
        fwd : callable
            ``fwd(*args)`` returns a pair: the result of the function, and whatever `bwd` needs.
        bwd : callable
            ``bwd(kept, g)`` returns a tuple with the cotangent of each argument (None is zero).
        """
        self._fwd, self._bwd = fwd, bwd
        return self

    defvjp = def_vjp

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if kwargs:
            # The rule's arguments are positional.
            args, kwargs = _all_positional(self._fun, args, kwargs)
        return super().__call__(*args, **kwargs)

    def _check_rules(self) -> None:
        if self._fwd is None:
            raise GradientError(
                f"{self._row.name} is a custom_vjp without a rule, at {Line()}. Give it with {self._row.name}.defvjp(fwd, bwd)"
            )

    def _value(self, call: _Call, args: tuple, kwargs: dict) -> Any:
        result, call.residuals = self._run(args, call)
        return result

    def _run(self, args: tuple, call: _Call) -> tuple[Any, Any]:
        both = self._fwd(*args)
        if not isinstance(both, tuple) or len(both) != 2:
            raise GradientError(
                f"the forward rule of {self._row.name} must return a pair (result, what the backward rule needs), not "
                f"{trees.summary(both)}. The call was at {call.line}"
            )
        return both

    def _cotangents(self, g: Any, ans: Any, leaves: list, call: _Call) -> list[Any]:
        args, _ = call.filled(leaves)
        kept = call.residuals
        if any(type(leaf) is Array for leaf in leaves):
            # A derivative of higher order: what was kept must be on the tapes around.
            kept = self._run(args, call)[1]
        constants = [args[i] for i in self._constant]
        found = self._bwd(*constants, kept, call.like_result(g))
        moving = [i for i in range(len(args)) if i not in self._constant]
        if not isinstance(found, (tuple, list)) or len(found) != len(moving):
            raise GradientError(
                f"the backward rule of {self._row.name} must return a tuple of {len(moving)}, one cotangent for each argument, not "
                f"{trees.summary(found)}. The call was at {call.line}"
            )
        return self._by_argument(dict(zip(moving, found, strict=True)), call, leaves)

    def _tangents(self, tangents: tuple, ans: Any, leaves: list, call: _Call) -> list[Any]:
        return self._forwards(lambda gs: self._cotangents(gs, ans, leaves, call), tangents[0], ans)


class custom_jvp(_Custom):  # noqa: N801: a decorator
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
    >>> softplus.defjvp(lambda primals, tangents: (softplus(primals[0]), tangents[0] / (1 + np.exp(-primals[0]))))
    """

    def __init__(self, fun: Callable[..., Any]) -> None:
        super().__init__(fun)
        self._rule: Any = None

    def def_jvp(self, rule: Callable[..., Any]) -> custom_jvp:
        """Give the rule: ``rule(primals, tangents)`` returns a pair, the result and its tangent. Both arguments are tuples."""
        self._rule = rule
        return self

    defjvp = def_jvp

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if kwargs:
            args, kwargs = _all_positional(self._fun, args, kwargs)
        return super().__call__(*args, **kwargs)

    def _check_rules(self) -> None:
        if self._rule is None:
            raise GradientError(
                f"{self._row.name} is a custom_jvp without a rule, at {Line()}. Give it with {self._row.name}.defjvp(rule)"
            )

    def _cotangents(self, g: Any, ans: Any, leaves: list, call: _Call) -> list[Any]:
        return self._backwards(lambda ts: self._push(ts, ans, leaves, call), g, leaves)

    def _tangents(self, tangents: tuple, ans: Any, leaves: list, call: _Call) -> list[Any]:
        return self._push(tangents[0], ans, leaves, call)

    def _push(self, tangents: list, ans: Any, leaves: list, call: _Call) -> list[Any]:
        args, _ = call.filled(leaves)
        moved = _tangent_arguments(call, tangents, leaves, zeros=True)
        both = self._rule(tuple(args), tuple(moved[i] for i in range(len(args))))
        if not isinstance(both, (tuple, list)) or len(both) != 2:
            raise GradientError(
                f"the rule of {self._row.name} must return a pair (result, tangent), not {trees.summary(both)}. The call was at {call.line}"
            )
        return _result_leaves(self, both[1], ans, call)


def _numbered(rules: tuple, argnums: Sequence[int] | None) -> dict[int, Any]:
    numbers = list(range(len(rules))) if argnums is None else list(argnums)
    if len(numbers) != len(rules):
        raise GradientError(f"argnums names {len(numbers)} arguments, but {len(rules)} rules were given")
    return dict(zip(numbers, rules, strict=True))


def _tangent_arguments(call: _Call, tangents: list, leaves: list, zeros: bool = False) -> dict[Any, Any]:
    """The tangents as arguments, by position and name; None (or zeros) for an argument without one."""
    args, kwargs = call.arguments
    rest = iter(zip(tangents, leaves, strict=True))
    moved: dict[Any, Any] = {}
    for key, value in [*enumerate(args), *kwargs.items()]:
        any_here = []

        def one(leaf: Any, any_here: list = any_here) -> Any:
            if type(leaf) is not Array:
                return (np.zeros_like(leaf) if _is_float(leaf) else None) if zeros else None
            tangent, array = next(rest)
            any_here.append(tangent is not None)
            if tangent is None:
                return np.zeros(np.shape(array), array.dtype)
            return tangent[()] if leaf.scalar and type(tangent) is np.ndarray else tangent

        tree = trees.transform(one, value)
        moved[key] = tree if zeros or any(any_here) else None
    return moved


def _result_leaves(custom: _Custom, tangent: Any, ans: Any, call: _Call) -> list[Any]:
    what = f"the tangent of the result from the rule of {custom._row.name}"
    leaves = trees.leaves(call.result)
    parts = [None] * len(leaves) if tangent is None else calls.same_structure(tangent, call.result, what)
    outs = iter(ans)
    return [
        custom._fitted(part, next(outs), "a tangent of the result", call)
        for leaf, part in zip(leaves, parts, strict=True)
        if type(leaf) is Array
    ]


def _all_positional(fun: Any, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    import inspect

    bound = inspect.signature(fun).bind(*args, **kwargs)
    bound.apply_defaults()
    return bound.args, bound.kwargs


def def_vjp(fun: Any, *rules: Any, argnums: Sequence[int] | None = None) -> None:
    """Give a `primitive` (or `custom_vjp`) its rules for cotangents: see ``primitive.def_vjp``."""
    _define(fun, "def_vjp", rules, argnums)


def def_jvp(fun: Any, *rules: Any, argnums: Sequence[int] | None = None) -> None:
    """Give a `primitive` (or `custom_jvp`) its rules for tangents: see ``primitive.def_jvp``."""
    _define(fun, "def_jvp", rules, argnums)


def _define(fun: Any, method: str, rules: tuple, argnums: Sequence[int] | None) -> None:
    if not isinstance(fun, _Custom) or not hasattr(fun, method):
        raise GradientError(
            f"{method} takes a function made by @primitive, not {trees.summary(fun)}. Decorate it first"
        )
    getattr(fun, method)(*rules, **({} if argnums is None else {"argnums": argnums}))


defvjp, defjvp = def_vjp, def_jvp
