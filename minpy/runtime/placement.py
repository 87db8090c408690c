"""Where the policy `auto` lets an operation run: where it is done first, counting copies, those to come as well.

One call cannot know how often an array will be used again. So a copy is made as soon as the calls so far would have
paid for it (who rents until the rent has cost as much as the house never pays more than twice the least), and what is
copied stays. Arrays that go to and fro all the same, because an operation in between runs on the host only, or the
program looks at each result, cost more than they gain: then everything stays on the host for a while, twice as long
each time.

All of this is about time. A wrong guess makes a program slower, never wrong.
"""

from __future__ import annotations

import functools
import re
import threading
import weakref
from collections import OrderedDict
from typing import Any

import numpy as np

from minpy.runtime import cost, small, small_code, transfers
from minpy.runtime.fuse import sites

_KNOWN = 1024  # arrays whose credit is remembered
_LOOKED_AT = 8  # copies to the host before anything is said about them
_FIRST_REST, _LONGEST_REST = 1024, 1 << 20  # operations on the host after arrays went to and fro
_FADES = 0.5  # what counts of the account after each look
_WINDOW = 64  # operations between two looks
_ENDLESS = 1 << 30  # elements: where the host is the faster one up to there it always is
_PASSES = 2.0  # times that a block is at least as fast as its operations one by one

_NUMBERS = frozenset((int, float, bool, type(None)))

BOUNCES = (
    "MP110 the arrays went to and fro between the memories: {copies} copies for {calls} operations there, "
    "{lost:.1f} ms lost"
)


class Account:
    """What copies to and from one device have cost lately, and what it has gained."""

    def __init__(self, device: Any) -> None:
        self.device = device
        self._lock = threading.Lock()
        self._credit: OrderedDict[tuple, float] = OrderedDict()
        self.gained = self.spent = self._lost = 0.0  # microseconds
        self.calls = self.fetches = self.since = 0
        self.rest, self.length = 0, _FIRST_REST
        self.said = ""
        # The credit of the operands of the last operation that was left to the host for want of it.
        self._saved = 0.0

    def refuse(self, primitive: Any, args: tuple, kwargs: dict) -> str | None:
        """Why the operation had better run on the host; None if it had not."""
        model, label = cost.model(), self.device.label
        known = model if label in model.points else cost.BUILT_IN
        if primitive.cost == "host" or label not in known.points:
            return "MP106 the cost model has no figures for it"
        elements, there, here = self._operands(args, kwargs)
        if primitive.cost == "free":
            return None if there else "MP106 nothing to do: it stays where it is"
        work = primitive.work(*args) if primitive.work is not None else 0
        on_host = _time(model, "numpy", primitive.cost, elements, args, work)
        on_device = _time(known, label, primitive.cost, elements, args, work)
        send = sum([known.predict("to_device", n, label) for _, n in here])
        fetch = sum([known.predict("to_host", n, label) for _, n in there])
        self._saved = 0.0
        with self._lock:
            if self.rest:
                self.rest -= 1
                if not there or on_host + fetch < 4 * on_device:
                    return self.said
            gain = on_host - on_device
            if gain > 0:
                # What the device would save is the credit of those arrays that are not there yet.
                saved = gain + self._earned(here, gain)
                if not here or saved >= send:
                    self._paid(here)
                    self._note(gain, send)
                    return None
                self._saved = saved
            elif there:
                # It has the operands, but is the slower one: they are fetched once that has cost as much.
                self._lost -= gain
                if self._lost < fetch:
                    self._note(gain, send)
                    return None
                self._lost = 0.0
        return "MP106 the cost model expects NumPy to be faster at this size"

    def made(self, results: tuple) -> None:
        """The host made these of what has credit: had that been sent, they would be on the device now."""
        saved, self._saved = self._saved, 0.0
        if not saved:
            return
        with self._lock:
            for value in results:
                if type(value) is Array:
                    self._credit["s", id(value.storage)] = saved
                elif type(value) is np.ndarray:
                    self._credit["p", value.__array_interface__["data"][0], value.nbytes] = saved

    def leaves(self, operations: int, arrays: tuple) -> bool:
        """Whether a block of so many operations runs on the host, where it is one pass; else as written.

        It earns credit for its arrays as its operations would have. When that is enough to send them the operations are
        asked for one by one, and find it.
        """
        model, label = cost.model(), self.device.label
        known = model if label in model.points else cost.BUILT_IN
        self._saved = 0.0
        if label not in known.points:
            return True
        elements, there, here = self._operands(arrays, {})
        if there:
            return False
        on_host = operations * model.predict("arith", elements, "numpy") / _PASSES
        gain = on_host - operations * known.predict("arith", elements, label)
        send = sum([known.predict("to_device", n, label) for _, n in here])
        with self._lock:
            if self.rest:
                self.rest = max(0, self.rest - operations)
                return True
            if gain <= 0:
                return True
            saved = gain + self._earned(here, gain)
            if here and saved < send:
                self._saved = saved
                return True
            for key, _ in here:
                self._credit[key] = send
            return False

    def is_sooner_here(self, primitive: Any, args: tuple, kwargs: dict) -> bool:
        """Whether the host plainly does the operation sooner: its operands are there, and it is the faster one.

        As `refuse`, which has nothing to enter then; what is not plain is for that.
        """
        model, label = cost.model(), self.device.label
        known = model if label in model.points else cost.BUILT_IN
        kind = primitive.cost
        if self.rest or kwargs or kind == "host" or kind == "free" or label not in known.points:
            return False
        elements = 1
        for value in args:
            if type(value) is np.ndarray:
                elements = max(elements, value.size)
            elif type(value) not in _NUMBERS:
                return False
        work = primitive.work(*args) if primitive.work is not None else 0
        on_host = _time(model, "numpy", kind, elements, args, work)
        if on_host > _time(known, label, kind, elements, args, work):
            return False
        self._saved = 0.0
        return True

    def _operands(self, args: tuple, kwargs: dict) -> tuple[int, list[tuple], list[tuple]]:
        """The elements of the largest operand; which are on the device only, and which on the host only."""
        elements, there, here = 1, [], []
        known = transfers.uploads()
        stack = [*args, *kwargs.values()]
        while stack:
            value = stack.pop()
            kind = type(value)
            if kind is Array:
                n = value.size
                remote = value.storage.remote
                handle = remote is not None and remote.handle is not None and remote.device is self.device
                if not handle:
                    here.append((("s", id(value.storage)), n))
                elif not remote.host_ok:
                    there.append((("s", id(value.storage)), n))
            elif isinstance(value, np.ndarray):
                n = value.size
                if not known.knows(self.device, value):
                    here.append((("p", value.__array_interface__["data"][0], value.nbytes), n))
            elif kind in (list, tuple):
                stack.extend(value)
                continue
            else:
                continue
            elements = max(elements, n)
        return elements, there, here

    def _earned(self, arrays: list[tuple], gain: float) -> float:
        """The credit of these arrays so far; then `gain` more."""
        if not arrays:
            return 0.0
        credits = [self._credit.get(key, 0.0) for key, _ in arrays]
        for (key, _), old in zip(arrays, credits, strict=True):
            self._credit[key] = old + gain
            self._credit.move_to_end(key)
        while len(self._credit) > _KNOWN:
            self._credit.popitem(last=False)
        return min(credits)

    def _paid(self, arrays: list[tuple]) -> None:
        for key, _ in arrays:
            self._credit.pop(key, None)

    def _note(self, gain: float, send: float) -> None:
        self.gained += gain
        self.spent += send
        self.calls += 1
        self.since += 1
        if self.since >= _WINDOW:
            self._look()

    def fetched(self, nbytes: int) -> None:
        """The host got something that only the device had."""
        model = cost.model()
        known = model if self.device.label in model.points else cost.BUILT_IN
        if self.device.label not in known.points:
            return
        with self._lock:
            self.spent += known.predict("to_host", max(nbytes / 8, 1), self.device.label)
            self.fetches += 1
            if self.fetches >= _LOOKED_AT and self.fetches % _LOOKED_AT == 0:
                self._look()

    def _look(self) -> None:
        self.since = 0
        if self.fetches >= _LOOKED_AT and self.spent > self.gained:
            self.said = BOUNCES.format(
                copies=self.fetches, calls=self.calls, lost=(self.spent - self.gained) / 1000
            )
            self.rest, self.length = self.length, min(2 * self.length, _LONGEST_REST)
            self.gained = self.spent = 0.0
            self.calls = self.fetches = 0
            return
        if self.gained > 4 * self.spent:
            self.length = _FIRST_REST
        self.gained *= _FADES
        self.spent *= _FADES


def _time(model: Any, label: str, kind: str, elements: int, args: tuple, work: int = 0) -> float:
    """Microseconds of an operation without its copies; `work`: the multiplications of one that is no plain product."""
    if kind == "matmul" and not work and len(args) >= 2:
        left, right = args[:2]
        if isinstance(left, np.ndarray) and isinstance(right, np.ndarray) and left.ndim and right.ndim:
            work = left.size * (right.shape[-1] if right.ndim > 1 else 1)
    if work:
        # What is measured are square matrices; a thin one is read once, and that is all.
        return max(model.predict(kind, work ** (2 / 3), label), model.predict("reduce", elements, label))
    return model.predict(kind, elements, label)


def _most(label: str) -> dict[str, int]:
    """Up to how many elements the host does operations of each class sooner, whatever was sent already; and blocks.

    These are not asked for at all. (Products: of square matrices, and half of that, as thin ones can be more work.)
    """
    found = {kind: _ahead(label, kind) for kind in cost.OP_CLASSES if not kind.startswith("to_")}
    found["matmul"] = max(small_code.FEW, found["matmul"] // 2)
    return found | {"block": _ahead(label, "arith", _PASSES)}


def _ahead(label: str, kind: str, times: float = 1.0) -> int:
    """Up to how many elements the host, so many times as fast as operations one by one, is the sooner one."""
    model = cost.model()
    known = model if label in model.points else cost.BUILT_IN
    if label not in known.points:
        return small_code.NEVER
    n: float = small_code.FEW
    while n <= _ENDLESS:
        if model.predict(kind, 1.25 * n, "numpy") > times * known.predict(kind, 1.25 * n, label):
            return int(n)
        n *= 1.25
    return small_code.NEVER


_accounts: weakref.WeakKeyDictionary[Any, Account] = weakref.WeakKeyDictionary()


def account(device: Any) -> Account:
    """The account of a device."""
    found = _accounts.get(device)
    if found is None:
        found = _accounts.setdefault(device, Account(device))
        each = [_most(label) for label in {known.label for known in list(_accounts)}]
        most = {kind: min(one[kind] for one in each) for kind in each[0]}
        sites.left_alone = most.pop("block")
        small.learn(most)
    return found


@functools.lru_cache(maxsize=1024)
def _operations(text: str) -> int:
    """How many operations a block's text has."""
    return max(1, len(re.findall(r"[-+*/%<>&|^~]+|(?<=[a-z])\(", text)))


def leaves(text: str, values: tuple) -> bool:
    """Whether the block of this text runs on the host where the device of the context is in use."""
    from minpy.runtime.context import current_context

    context = current_context()
    return context.is_host or account(context.device()).leaves(_operations(text), values)


def made(values: Any) -> None:
    """Enter what a block made on the host."""
    from minpy.runtime.context import current_context

    context = current_context()
    if not context.is_host:
        account(context.device()).made(tuple(values))


def fetched(device: Any, nbytes: int) -> None:
    """Enter a copy to the host."""
    found = _accounts.get(device)
    if found is not None:
        found.fetched(nbytes)


# At the end: array.py leads here.
from minpy.runtime.array import Array  # noqa: E402
