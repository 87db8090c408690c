"""`checkpoint`: recompute instead of store.

The function runs once without its operations being kept, and becomes one operation on the tape; when the
sweep reaches it, it runs again on a tape of its own. At that moment the sweep has restored every array to
what it held when the function was called, so the second run sees what the first one saw: arguments, values of
enclosing functions, and the states of the random generators.
"""

from __future__ import annotations

import functools
import inspect
import random
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minpy.autodiff import trees
from minpy.autodiff.calls import note_writes
from minpy.errors import GradientError, TraceError
from minpy.runtime import cotangents, entry
from minpy.runtime.array import Array
from minpy.runtime.primitives.table import Primitive
from minpy.runtime.record import Line, Record, Write, current_tape, innermost, open_tape, tape_of
from minpy.runtime.storage import Storage, new_cell
from minpy.runtime.tangent import TangentTape
from minpy.runtime.tape import Tape
from minpy.runtime.writes import write


def checkpoint(fun: Callable[..., Any]) -> Callable[..., Any]:
    """`fun`, whose intermediate values are computed again for the derivative instead of being kept.

    A loop of n steps needs memory for √n of them if it is cut into √n checkpointed pieces. Checkpoints nest.
    The function may write into its arguments and into arrays of enclosing functions, and may draw random
    numbers: ``numpy.random``, ``random``, and generators that it is given or refers to are set back for the
    second run. Every other side effect (printing, a counter) happens again.

    Parameters
    ----------
    fun : callable
        Any function.

    Returns
    -------
    callable
        With the arguments and the result of `fun`. Where nothing is differentiated it only calls `fun`.

    Examples
    --------
    >>> @checkpoint
    ... def block(state):
    ...     for _ in range(100):
    ...         state = np.tanh(state)
    ...     return state
    """

    @functools.wraps(fun)
    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        if not _reverse():
            return fun(*args, **kwargs)
        return _Piece(fun, args, kwargs).run()

    return checkpointed


def _reverse() -> bool:
    """Whether records are being kept: by a tape, or by another checkpoint for one."""
    tape = current_tape()
    while tape is not None:
        if tape.open and type(tape) in (Tape, _Watch):
            return True
        tape = tape.outer
    return False


class _Watch:
    """Stands for the tapes of this thread or task during the first run.

    It keeps what is read and written from outside, and no operation.
    """

    __slots__ = ("_end", "_shut", "_token", "depth", "kept", "made", "open", "outer", "read", "writes")
    records: tuple = ()

    def __init__(self) -> None:
        self.outer = None
        self.open = False
        self.read: dict[Storage, None] = {}
        # Weak, so that what the function makes and drops is freed while it runs.
        self.writes: weakref.WeakKeyDictionary[Storage, list] = weakref.WeakKeyDictionary()
        self.made: weakref.WeakSet[Storage] = weakref.WeakSet()
        # Storages of plain arrays, which nothing else refers to.
        self.kept: set[Storage] = set()
        self._shut: list[Any] = []
        tape = current_tape()
        self.depth = tape.depth + 1 if tape is not None else 0

    def __enter__(self) -> _Watch:
        entry.activate(tape=True)
        tape = current_tape()
        while tape is not None:
            if tape.open:
                tape.open = False
                self._shut.append(tape)
            self._end = tape
            tape = tape.outer
        # What is active on the tapes around is thereby active on this one.
        self._end.outer = self
        self.open = True
        self._token = open_tape.set(self)  # type: ignore[arg-type]
        return self

    def __exit__(self, *exc: object) -> None:
        self.open = False
        open_tape.reset(self._token)
        self._end.outer = None
        for tape in self._shut:
            tape.open = True
        entry.deactivate(tape=True)

    def append(self, record: Record | Write) -> None:
        if type(record) is Write:
            storage = record.target.storage
            self._note(storage)
            if type(record.value) is Array:
                self._note(record.value.storage)
            if storage.shared:
                self.kept.add(storage)
            self.writes.setdefault(storage, []).append((record.target.window, record.index, record.old))
            return
        for array in cotangents.arrays_of(record):
            self._note(array.storage)
        for out in record.result if type(record.result) is not Array else (record.result,):
            self.made.add(out.storage)

    def _note(self, storage: Storage) -> None:
        if storage.tape is not self and storage not in self.read and self.is_from_outside(storage):
            self.read[storage] = None

    def is_from_outside(self, storage: Storage) -> bool:
        """Whether `storage` is active on one of the tapes around."""
        tape = storage.tape
        while tape is not None and tape is not self:
            if tape in self._shut:
                return True
            tape = tape.outer
        return False

    put = short = None  # every record comes whole, through `append`
    watches = Tape.watches


class _Leak:
    """The tape of values that a checkpointed function leaves in other places than its result: an error to use."""

    __slots__ = ("depth", "message", "outer")

    def __init__(self, tape: Any, message: str) -> None:
        self.outer, self.message = tape, message
        self.depth = 1 << 30

    @property
    def open(self) -> bool:
        return self.outer.open

    def append(self, record: Record | Write) -> None:
        raise TraceError(f"{self.message}; it is used at {record.line}. Return it")

    put = short = None  # every record comes whole, through `append`


class _Piece:
    """One call of a checkpointed function, and what it takes to run it again."""

    def __init__(self, fun: Any, args: tuple, kwargs: dict) -> None:
        self.fun, self.line = fun, Line()
        self._first = tuple(map(_logged, args)), {k: _logged(v) for k, v in kwargs.items()}
        # The second run gets containers of its own, with what they hold now.
        self._second = trees.transform(_itself, self._first)
        self.random = _RandomState(fun, args, kwargs)
        self.inputs: list[Storage] = []  # what was read or written from outside and is differentiated
        # What was written and is there afterwards: the storage, and its place in the result (None if it is
        # from outside).
        self.changed: list[tuple[Storage, int | None]] = []
        self.written: list[Storage] = []
        self.raised: type | None = None

    # ----- the first run

    def run(self) -> Any:
        """Run the function, and put it on the tape."""
        result, error = None, None
        with _Watch() as watch:
            try:
                args, kwargs = self._first
                self._first = ((), {})
                result = self.fun(*args, **kwargs)
            except BaseException as raised:
                error = raised
                self.raised = type(raised)
            active = {id(s) for s in watch.writes if tape_of(s) is not None}
        logs = list(watch.writes.items())
        self.inputs = list(watch.read)
        self.written = [storage for storage, _ in logs]
        tape = innermost([_whole(s) for s in self.inputs]) if self.inputs else None
        result_storages = [array.storage for array in trees.arrays_in(result)]
        finals = []
        for storage, log in logs:
            final: Any = np.array(storage.to_host())
            if id(storage) in active and storage.host.dtype.kind in "fc":
                final = Array(final, Storage(final))
                place = next((i for i, s in enumerate(result_storages) if s is storage), None)
                self.changed.append((storage, place))
            finals.append((storage, final))
            _undo(storage, log)
            if storage.tape is watch:
                storage.tape = None
        made = self._made(result, lambda s: s.tape is not None and not watch.is_from_outside(s))
        for storage in list(watch.made):
            if storage.tape is watch and storage not in made and tape is not None:
                storage.tape = _Leak(  # type: ignore[assignment]
                    tape,
                    f"a value made in the checkpointed function {self._name()} (called at {self.line}) is "
                    "kept in another place than its result",
                )
        outs = [_whole(s) for s in made] + [f for _, f in finals if type(f) is Array]
        for out in outs:
            out.storage.tape = tape
        if tape is not None and outs:
            leaves = [_whole(s) for s in self.inputs]
            tape.append(Record(_row(self), (leaves,), {}, tuple(outs)))
        for storage, final in finals:
            write(_whole(storage), None, final)
        if error is not None:
            raise error
        return result

    def _name(self) -> str:
        return getattr(self.fun, "__name__", type(self.fun).__name__)

    def _made(self, result: Any, mine: Callable[[Storage], bool]) -> list[Storage]:
        """The storages of a result that the function made, never wrote to, and that are differentiated; in order."""
        known = {id(s) for s in self.inputs}
        places = {place for _, place in self.changed}
        arrays = trees.arrays_in(result)
        known |= {id(array.storage) for i, array in enumerate(arrays) if i in places}
        found = {
            array.storage: None
            for array in arrays
            if array.storage.host.dtype.kind in "fc"
            and id(array.storage) not in known
            and mine(array.storage)
        }
        return list(found)

    # ----- the second run

    @contextmanager
    def _again(self, tape: Any) -> Iterator[list[Array]]:
        """Run the function again with what came from outside active on `tape`.

        Yields the results, and restores everything afterwards.
        """
        before = [(s, cotangents.read(_whole(s), None)) for s in self.written]
        mine = {id(s): s for s in [*self.inputs, *[s for s, _ in self.changed]]}.values()
        states = [(s, s.tape, s.cell) for s in mine]
        inputs = set(map(id, self.inputs))
        for s in mine:
            s.tape, s.cell = (tape if id(s) in inputs else None), new_cell()
        try:
            args, kwargs = trees.transform(_itself, self._second)
            with self.random.set_back(), tape:
                try:
                    result = self.fun(*args, **kwargs)
                except BaseException as error:
                    if type(error) is not self.raised:
                        raise
                    result = None
            arrays = trees.arrays_in(result)
            outs = self._made(result, tape.watches)
            written = note_writes(tape)
            for storage, place in self.changed:
                if place is not None and place < len(arrays):
                    storage = arrays[place].storage
                if storage not in written:
                    raise GradientError(
                        f"the checkpointed function {self._name()} wrote into an array that it keeps in "
                        "another place than its result. "
                        f"Return it. The function was called at {self.line}"
                    )
                outs.append(storage)
            yield [_whole(s) for s in outs]
        finally:
            for s, on, cell in states:
                s.tape, s.cell = on, cell
            for s, value in before:
                cotangents.assign(_whole(s), None, value)

    def pull(self, g: list, ans: Any, *operands: Any) -> list[Any]:
        """The rule for cotangents: the function again, on a tape."""
        tape = Tape()
        with self._again(tape) as outs:
            self._check(outs, g)
            seeds = [
                (out, d)
                for out, d in zip(outs, g, strict=True)
                if d is not None and out.dtype.kind in "fc" and tape.watches(out.storage)
            ]
            found = tape.sweep(seeds, [_whole(s) for s in self.inputs])
            return [d if d is None or type(d) is Array else np.array(d) for d in found]

    def push(self, tangents: tuple, ans: Any, *operands: Any) -> list[Any]:
        """The rule for tangents: the function again, with them."""
        tape = TangentTape()
        for storage, tangent in zip(self.inputs, tangents[0], strict=True):
            if tangent is not None:
                tape.tangents.put(_whole(storage), tangent)
        with self._again(tape) as outs:
            self._check(outs, ans)
            return [tape.tangents.get(out) for out in outs]

    def _check(self, outs: list, like: Any) -> None:
        if [np.shape(o) for o in outs] != [np.shape(o) for o in like]:
            raise GradientError(
                f"{self._name()} is checkpointed and gave another result when it was run again for the "
                "derivative "
                f"(arrays of shapes {[np.shape(o) for o in outs]} instead of "
                f"{[np.shape(o) for o in like]}). It was called at {self.line}"
            )


def _itself(leaf: Any) -> Any:
    return leaf


def _logged(leaf: Any) -> Any:
    # What the function writes into a plain array must be known.
    if type(leaf) is np.ndarray and leaf.dtype.kind in "biufc":
        return Array(leaf, Storage(leaf))
    return leaf


def _whole(storage: Storage) -> Array:
    return Array(storage.host, storage)


def _undo(storage: Storage, log: list) -> None:
    data = storage.to_host()
    writeable = data.flags.writeable
    for window, index, old in reversed(log):
        old = old.contents if type(old) is Array else old
        window[... if index is None else index] = old
    data.flags.writeable = writeable
    storage.wrote_host()


def _row(piece: _Piece) -> Primitive:
    name = f"checkpoint({getattr(piece.fun, '__name__', type(piece.fun).__name__)})"
    return Primitive(name, piece.fun, vjp=lambda i: piece.pull if i == 0 else None, jvp=piece.push)


class _RandomState:
    """The states of the random generators that a function may draw from."""

    def __init__(self, fun: Any, args: tuple, kwargs: dict) -> None:
        self._generators = [(g, _state(g)) for g in _generators(fun, args, kwargs)]
        self._numpy, self._python = np.random.get_state(), random.getstate()

    @contextmanager
    def set_back(self) -> Iterator[None]:
        """The states as they were, and afterwards as they are now."""
        now = [(g, _state(g)) for g, _ in self._generators], np.random.get_state(), random.getstate()
        self._set(self._generators, self._numpy, self._python)
        try:
            yield
        finally:
            self._set(*now)

    def _set(self, generators: list, numpy_state: Any, python_state: Any) -> None:
        np.random.set_state(numpy_state)
        random.setstate(python_state)
        for generator, state in generators:
            if isinstance(generator, np.random.Generator):
                generator.bit_generator.state = state
            elif isinstance(generator, np.random.RandomState):
                generator.set_state(state)
            else:
                generator.setstate(state)


_KINDS = (np.random.Generator, np.random.RandomState, random.Random)


def _state(generator: Any) -> Any:
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    return generator.get_state() if isinstance(generator, np.random.RandomState) else generator.getstate()


def _generators(fun: Any, args: tuple, kwargs: dict) -> list[Any]:
    """Generators among the arguments, and those that the function refers to by name or through its object."""
    places: list[Any] = [args, kwargs, vars(fun) if hasattr(fun, "__dict__") else ()]
    while isinstance(fun, functools.partial):
        places += [fun.args, fun.keywords]
        fun = fun.func
    owner = getattr(fun, "__self__", None)
    if owner is not None and hasattr(owner, "__dict__"):
        places.append(vars(owner))
    if inspect.isfunction(inspect.unwrap(getattr(fun, "__func__", fun))):
        plain = inspect.unwrap(getattr(fun, "__func__", fun))
        for cell in plain.__closure__ or ():
            try:
                places.append((cell.cell_contents,))
            except ValueError:
                continue  # not filled yet
        places.append([plain.__globals__[n] for n in plain.__code__.co_names if n in plain.__globals__])
    found = {}
    for place in places:
        for part in place.values() if isinstance(place, dict) else place:
            for leaf in (part,) if isinstance(part, _KINDS) else _shallow(part):
                if isinstance(leaf, _KINDS):
                    found[id(leaf)] = leaf
    return list(found.values())


def _shallow(part: Any) -> list[Any]:
    if type(part) in (list, tuple):
        return list(part)
    return list(part.values()) if type(part) is dict else []
