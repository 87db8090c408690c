"""What every verb does around a call: choose arguments, put them on a tape, call, check the result."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np

from minpy.autodiff import trees
from minpy.autodiff.afterwards import of_caller
from minpy.errors import GradientError, TraceError
from minpy.runtime import adoption, dispatch, entry, stores, writes
from minpy.runtime.array import Array, host
from minpy.runtime.record import Write, tape_of
from minpy.runtime.storage import PYTHON_SCALAR, Storage
from minpy.runtime.writes import write

Argnum = int | str | Sequence[int | str]


def name_of(fun: Any) -> str:
    """How messages call a function."""
    while not hasattr(fun, "__name__") and hasattr(fun, "func"):
        fun = fun.func
    return getattr(fun, "__name__", type(fun).__name__)


# ----- which arguments --------------------------------------------------------------------------------------


def chosen(argnum: Argnum) -> tuple[int | str, ...]:
    """`argnum` as a tuple of positions and names."""
    several = isinstance(argnum, (tuple, list, range))
    numbers = tuple(argnum) if several else (argnum,)  # type: ignore[arg-type]
    if not numbers or not all(
        isinstance(n, (int, str, np.integer)) and not isinstance(n, bool) for n in numbers
    ):
        raise GradientError(
            f"argnum is a position, the name of a parameter, or a list of them, not {argnum!r}"
        )
    return tuple(n if isinstance(n, str) else int(n) for n in numbers)


def places(fun: Any, numbers: tuple[int | str, ...], args: tuple, kwargs: dict) -> list[int | str]:
    """Where in this call the arguments are: positions in `args`, or names in `kwargs`.

    A default that is meant is put into `kwargs`.
    """
    found = [
        _by_name(fun, n, args, kwargs) if isinstance(n, str) else _by_position(fun, n, args, kwargs)
        for n in numbers
    ]
    for i, place in enumerate(found):
        if place in found[:i]:
            raise GradientError(f"argnum {list(numbers)} names an argument of {name_of(fun)} twice")
    return found


def _parameters(fun: Any) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(fun).parameters.values())
    except (TypeError, ValueError):
        return []  # written in C, without a signature


def _by_position(fun: Any, n: int, args: tuple, kwargs: dict) -> int | str:
    count = len(args)
    if -count <= n < count:
        return n % count
    named = [p.name for p in _parameters(fun) if p.kind is p.POSITIONAL_OR_KEYWORD]
    if 0 <= n < len(named) and named[n] in kwargs:
        return named[n]
    raise GradientError(
        f"{name_of(fun)} was called with {count} positional argument{'s' * (count != 1)}, so there is no "
        f"argument {n} to differentiate"
    )


def _by_name(fun: Any, name: str, args: tuple, kwargs: dict) -> int | str:
    if name in kwargs:
        return name
    parameters = _parameters(fun)
    for i, p in enumerate(parameters):
        if p.name != name or p.kind is p.VAR_KEYWORD:
            continue
        if p.kind is p.VAR_POSITIONAL:
            raise GradientError(
                f"argnum {name!r}: *{name} of {name_of(fun)} is many arguments; say which by position"
            )
        if p.kind is not p.KEYWORD_ONLY and i < len(args):
            return i
        if p.default is not p.empty:
            if p.kind is p.POSITIONAL_ONLY:
                break
            kwargs[name] = p.default
            return name
        raise GradientError(f"argnum {name!r}: the call of {name_of(fun)} does not give it")
    names = ", ".join(p.name for p in parameters) or "none that can be seen"
    raise GradientError(f"argnum {name!r}: {name_of(fun)} has no such parameter (it has {names})")


def _over(array: np.ndarray) -> Storage:
    """A storage over memory of the program's."""
    return Storage(array).lend() if entry.others else Storage(array)


# ----- a run ------------------------------------------------------------------------------------------------


class Run:
    """One call of the program's function on a tape.

    Parameters
    ----------
    fun, args, kwargs
        The call.
    where : list of int or str
        Which arguments are differentiated, as `places` tells.
    tape : Tape or TangentTape
        What records it.
    private : bool
        The arguments' values are kept apart from the caller's memory, because the tape outlives the call.
        Writes reach the caller all the same.
    """

    def __init__(
        self, fun: Any, where: list, args: tuple, kwargs: dict, tape: Any, private: bool = False
    ) -> None:
        self.fun, self.tape, self.private = fun, tape, private
        self._containers: list[tuple[Any, Any, dict]] = []
        self._entered: list[tuple[Array, Any]] = []
        inputs: dict[int | str, Any] = {}
        for place in where:
            value = args[place] if isinstance(place, int) else kwargs[place]
            label = f"argument {place}" if isinstance(place, int) else f"argument {place!r}"
            path = f"{label} of {name_of(fun)}"
            before = len(self._entered)
            inputs[place] = self._enter(value, path)
            if len(self._entered) == before:
                raise GradientError(
                    f"{path} ({trees.summary(value)}) holds no floating-point array or number"
                )
        # In the order of the caller's argnum.
        # Trees of their own: the function may put other things into the containers it gets.
        self.entered: list[Any] = [trees.transform(lambda leaf: leaf, inputs[place]) for place in where]
        self._constants = len(self._entered)
        self.args = tuple(inputs[i] if i in inputs else self._constant(a) for i, a in enumerate(args))
        self.kwargs = {k: inputs[k] if k in inputs else self._constant(v) for k, v in kwargs.items()}

    def __call__(self) -> Any:
        """Call the function and return its result as it is, on the tape."""
        try:
            with self.tape:
                result = self.fun(*self.args, **self.kwargs)
            self._refuse_shared_memory()
            return result
        except BaseException as error:
            self.leave()
            # NumPy replaces an error from converting an element by its own; the cause names the line and the
            # remedy.
            if isinstance(error, ValueError) and type(error.__cause__) is TraceError:
                raise error.__cause__ from None
            raise

    def leaves(self) -> list[Array]:
        """The differentiated arrays, in order."""
        return [array for array, _ in self._entered[: self._constants]]

    def leave(self, written: Any = None) -> None:
        """Bring what the function wrote into its arguments to where the caller sees it.

        To be called when the tape is no longer needed, or if the arguments are private.

        Parameters
        ----------
        written : set of Storage, optional
            What was written, if the tape no longer knows.
        """
        if written is None:
            written = note_writes(self.tape)
        for inner, outer in self._entered if len(written) else ():
            if inner.storage not in written:
                continue
            if type(outer) is Array:
                write(outer, None, inner)
            elif self.private and isinstance(outer, np.ndarray):
                outer[...] = inner.contents
        for inner, outer, before in self._containers:
            self._leave_container(inner, outer, before)
        self._entered, self._containers = self._entered[: self._constants], []

    # ----- entering

    def _enter(self, value: Any, path: str, lenient: bool = False) -> Any:
        if type(value) is dict and trees.is_flat(value.values()):
            made = {}
            for key, part in value.items():
                plain = type(part) is np.ndarray and part.dtype.kind in "fc"  # nothing to be said about it
                made[key] = self._enter_leaf(part, "" if plain else f"{path}[{key!r}]", lenient)
            inner: Any = made.copy()
            self._containers.append((inner, value, {key: (made[key], part) for key, part in value.items()}))
            return inner
        parts = trees.children(value)
        if parts is None:
            return self._enter_leaf(value, path, lenient)
        if path.count("[") + path.count(".") > 200:
            raise GradientError(f"{path[:60]}… is nested too deep: a container that holds itself?")
        # A dataclass holds its names and sizes too; a dict of parameters should hold parameters.
        fields = lenient or hasattr(type(value), "__dataclass_fields__")
        made = {key: self._enter(part, path + step, fields) for step, key, part in parts}
        inner = trees.rebuild(value, made)
        if not isinstance(value, tuple):
            self._containers.append((inner, value, {key: (made[key], part) for _, key, part in parts}))
        return inner

    def _enter_leaf(self, value: Any, path: str, lenient: bool) -> Any:
        kind = type(value)
        scalar = False
        if kind is Array or isinstance(value, np.ndarray):
            if value.dtype.kind not in "fc":
                if lenient:
                    return value
                raise GradientError(
                    f"{path} has dtype {value.dtype}; a gradient exists for floating-point and complex "
                    "values. Pass x.astype(float)"
                )
            if kind is Array:
                inner = dispatch.apply("copy", value)
                inner.scalar = scalar = value.scalar
                if type(inner) is not Array:
                    boxed = np.array(inner)
                    inner = Array(boxed, Storage(boxed), scalar)
                around = adoption.session.get()
                if around is not None:
                    around.copied[id(inner.storage)] = (
                        (inner.storage, inner.window),
                        (value.storage, value.window),
                    )
            else:
                view = value.view(np.ndarray) if kind is not np.ndarray else value
                # Elements that share memory (a broadcast) are variables of their own all the same.
                if self.private or (0 in view.strides and view.size > 1 and not view.flags.writeable):
                    view = view.copy(order="K")
                storage = _over(view)
                inner = Array(view, storage)
                stores.adopt(storage)
        elif isinstance(value, (float, int, complex, np.floating, np.complexfloating)) and not isinstance(
            value, bool
        ):
            if lenient and isinstance(value, int):
                return value
            boxed = np.array(float(value) if isinstance(value, int) else value)
            python = kind in (float, int, complex)
            inner = Array(boxed, Storage(boxed), scalar=PYTHON_SCALAR if python else True)
        elif value is None or lenient:
            return value
        else:
            raise GradientError(
                f"{path} is a {kind.__name__}; a gradient exists for floating-point arrays and numbers, "
                "and lists, tuples, dicts and dataclasses of them"
            )
        inner.storage.tape = self.tape
        self._entered.append((inner, value))
        return inner

    def _constant(self, value: Any) -> Any:
        # What the function writes into its other arguments must be on the tape too.
        if type(value) is not np.ndarray or value.dtype.kind not in "biufc":
            return value
        inner = Array(value, _over(value))
        self._entered.append((inner, value))
        return inner

    def _refuse_shared_memory(self) -> None:
        """Arguments that share memory are apart on the tape, which is right only as long as none is written."""
        if len(self._entered) < 2 or not note_writes(self.tape):
            return
        shared = [
            (a, b)
            for i, (a, _) in enumerate(self._entered)
            for b, _ in self._entered[:i]
            if np.may_share_memory(a.window, b.window)
        ]
        if not shared:
            return
        written = note_writes(self.tape)
        for pair in shared:
            if any(array.storage in written for array in pair) and np.shares_memory(
                *[array.window for array in pair]
            ):
                raise GradientError(
                    f"two arguments of {name_of(self.fun)} share memory (shapes {pair[1].shape} and "
                    f"{pair[0].shape}), and it writes into one "
                    "of them. Pass a copy of one, or pass the array once and take the view inside the "
                    "function"
                )

    # ----- leaving

    def _leave_container(self, inner: Any, outer: Any, before: dict) -> None:
        parts = inner if type(inner) is dict else {key: part for _, key, part in trees.children(inner) or []}
        if parts.keys() == before.keys() and all(parts[key] is before[key][0] for key in parts):
            return
        new = {
            key: before[key][1]
            if key in before and part is before[key][0]
            else detached(self.tape, trees.transform(of_caller, part), copies=self.private)
            for key, part in parts.items()
        }
        if isinstance(outer, list):
            outer[:] = new.values()
        elif hasattr(type(outer), "__dataclass_fields__"):
            for key, part in new.items():
                if part is not before.get(key, (None, None))[1]:
                    setattr(outer, key, part)
        else:
            for key in set(before) - set(new):
                del outer[key]
            outer.update(new)


def writes_in(records: Any) -> set[Storage]:
    """The storages that are written by `records`."""
    return {record.target.storage for record in records if type(record) is Write}


def note_writes(tape: Any) -> Any:
    """The storages that were written while `tape` recorded."""
    return tape.written


# ----- results ----------------------------------------------------------------------------------------------


def split_aux(fun: Any, result: Any, has_aux: bool) -> tuple[Any, Any]:
    """The result and the auxiliary output."""
    if not has_aux:
        return result, None
    if not isinstance(result, tuple) or len(result) != 2:
        raise GradientError(
            f"with has_aux=True, {name_of(fun)} must return a pair (result, auxiliary output), not "
            f"{trees.summary(result)}"
        )
    return result[0], result[1]


def outputs(fun: Any, result: Any) -> list[Any]:
    """The leaves of a result, which must be numbers.

    Raises
    ------
    GradientError
        If nothing in it has a derivative: not a number, or integers computed by NumPy.
    """
    if type(result) is Array and result.dtype.kind in "fc":
        return [result]
    found = trees.leaves(result)
    kinds = {_kind(leaf) for leaf in found}
    if kinds & {"float"} or kinds == {"int"}:
        return found
    if "other" in kinds or not found:
        culprit = next((leaf for leaf in found if _kind(leaf) == "other"), result)
        what = type(culprit).__name__
        hint = {
            "coroutine": ". Differentiate a plain function that is called inside the coroutine",
            "generator": ". Collect the values in a list and return that",
            "NoneType": ". Does it return its result?",
        }.get(what, "")
        raise GradientError(f"{name_of(fun)} returned a {what}, which has no derivative{hint}")
    integer = next(leaf for leaf in found if _kind(leaf) == "integer")
    raise GradientError(
        f"{name_of(fun)} returned {integer.dtype} values (shape {np.shape(integer)}), which have no "
        "derivative. "
        "Return floating-point values, or give integers back with has_aux=True"
    )


def _kind(leaf: Any) -> str:
    if isinstance(leaf, (np.ndarray, np.generic, Array)):
        return "float" if leaf.dtype.kind in "fc" else "integer" if leaf.dtype.kind in "biu" else "other"
    if isinstance(leaf, (float, complex)):
        return "float"
    return "int" if isinstance(leaf, int) else "other"


def detached(tape: Any, result: Any, copies: bool = False) -> Any:
    """A result as the caller gets it: plain, unless a tape around `tape` watches it.

    With `copies`, arrays that the tape still needs are copied, so that the caller may write into what he
    gets.
    """
    outer = tape.outer
    while outer is not None and not outer.open:
        outer = outer.outer

    def plain(array: Any) -> Any:
        if type(array) is not Array:
            return array
        if outer is not None and array.storage.tape is not None:
            return dispatch.apply("copy", array) if copies and not array.scalar else array
        if array.storage.device is not None and array.storage.handle is not None:
            return array
        if array.scalar:
            return array.contents[()]
        return array.contents.copy() if copies else array.contents

    return trees.transform(plain, result)


def gradient(leaf: Array, g: Any) -> Any:
    """The cotangent of an argument as the caller gets it: of the argument's shape and dtype, and nobody else's."""
    if type(g) is np.ndarray and not leaf.scalar:
        return g
    if g is None:
        g = np.zeros(leaf.shape, leaf.dtype)
    if type(g) is Array:
        if tape_of(g.storage) is not None:
            if leaf.scalar and not g.scalar:
                return Array(g.window, g.storage, scalar=True)
            return g
        if g.storage.handle is not None and not leaf.scalar:
            return writes.kept(g, None)  # it stays on the device
        g = np.array(host(g))
    return np.asarray(g)[()] if leaf.scalar else np.asarray(g)


def fitting(value: Any, like: Any, what: str) -> Any:
    """A tangent or cotangent that the caller gave, checked against the array it belongs to."""
    shape, dtype = np.shape(like), like.dtype if hasattr(like, "dtype") else np.asarray(like).dtype
    if value is None:
        return np.zeros(shape, dtype)
    if type(value) is not Array:
        try:
            value = np.array(value)  # the caller may write into his
        except ValueError:
            raise GradientError(
                f"{what} is a {type(value).__name__}, not an array of shape {shape}"
            ) from None
    if value.dtype.kind not in "fciu":
        raise GradientError(f"{what} is of dtype {value.dtype}; it must be {dtype}")
    if value.shape != shape:
        raise GradientError(f"{what} has shape {value.shape}; it must have the shape {shape}")
    if value.dtype.kind == "c" and dtype.kind != "c":
        raise GradientError(f"{what} is of dtype {value.dtype}, but what it belongs to is real ({dtype})")
    return value if value.dtype == dtype else value.astype(dtype)


def same_structure(value: Any, like: Any, what: str) -> list[Any]:
    """The leaves of `value`, which must be a tree like `like`."""
    if trees.children(like) is None:
        if trees.children(value) is not None and not isinstance(value, (list, np.ndarray)):
            raise GradientError(f"{what} is {trees.summary(value)}; it must be like {trees.summary(like)}")
        return [value]
    found: list[Any] = []
    try:
        trees.transform(lambda _, part: found.append(part), like, value)
    except GradientError as error:
        raise GradientError(f"{what}: {str(error).rpartition(' [')[0]}") from None
    return found
