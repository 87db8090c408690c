"""The table of primitives: what one row holds, and how rows are found.

A primitive is one row: the NumPy function it mirrors, how MXNet computes it and under which condition, its derivative
rules, its cost class and sample inputs. Tests run over the table; adding an operator is adding a row.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

FLOATS = frozenset(("float16", "float32", "float64"))
INTS = frozenset(("int8", "uint8", "int32", "int64"))
BOOL = frozenset(("bool",))
DEVICE_DTYPES = FLOATS | INTS | BOOL

# Cost classes, in the order of work per element.
COSTS = ("free", "move", "arith", "transcendental", "reduce", "matmul", "sort", "solve", "host")


class Kernel:
    """How a device computes a primitive, and when it may.

    Parameters
    ----------
    run : callable
        ``run(F, *args, **kwargs)``: the primitive on device handles. ``F`` is the device's operator namespace
        (``mxnet.ndarray``); arrays in `args` and `kwargs` are handles, everything else is as the caller gave
        it. Returns a handle, or a list of handles if the primitive returns a list.
    dtypes : frozenset of str
        The dtypes that array operands may have.
    unless : callable, optional
        ``unless(*args, **kwargs)`` with the caller's own arguments: a reason why the kernel does not apply
        here, or None.
    cast : bool
        Operands are first cast to the dtype that NumPy's promotion gives them (element-wise operations).
    """

    __slots__ = ("cast", "dtypes", "run", "unless")

    def __init__(
        self,
        run: Callable[..., Any],
        dtypes: frozenset[str] = FLOATS,
        unless: Callable[..., str | None] | None = None,
        cast: bool = False,
    ) -> None:
        self.run, self.dtypes, self.unless, self.cast = run, dtypes, unless, cast


class Scalar:
    """What a kernel returns for a 0-d result: devices have no 0-d arrays, so the handle's shape is ``(1,)``."""

    __slots__ = ("handle",)

    def __init__(self, handle: Any) -> None:
        self.handle = handle


class Primitive:
    """One row of the table.

    Attributes
    ----------
    name : str
        Dotted name below ``numpy`` (``"exp"``, ``"linalg.norm"``).
    function : callable
        The NumPy function or ufunc: the specification.
    family : str
        The module of `minpy.runtime.primitives` that holds the row.
    cost : str
        One of `COSTS`.
    geometry : bool
        Only shapes and dtypes of the operands matter (``shape``, ``zeros_like``): their contents are not
        looked at, nor moved.
    mirrors : bool
        There is a NumPy function of that name (False for ``getitem``, ``astype`` …).
    writes : callable or None
        For functions that write into their first operand: does so on an `Array`, through the tape.
    view : bool or callable
        The result may alias the first operand; decided by NumPy at each call. A callable takes the arguments and tells
        whether it may in this call, for functions that else compute.
    part : callable or None
        ``part(*args)``: the basic index of the first operand whose elements the result is a copy of, or None. Of what
        only a device has they come alone.
    joins : int
        How many leading operands are array-likes: a list of arrays given for one is made an array first (by default all
        of a ufunc's, none of another function's).
    creates : bool
        Makes an array out of none: placed by the policy, an `Array` while a tape records.
    mxnet : Kernel or str
        The kernel, or the reason why MXNet is not used.
    vjp : sequence of (callable or None), callable, or None
        ``vjp[i](g, ans, *args, **kwargs)`` is the cotangent of positional argument ``i`` (a list of
        cotangents if that argument is a sequence of arrays). A callable ``vjp(i)`` gives the rule of argument
        ``i`` for functions with any number of operands. None: no rule (an error names the primitive); see
        also `flat`. Results of element-wise rules are summed down to the operand's shape by the tape.
    jvp : callable or None
        ``jvp(tangents, ans, *args, **kwargs)`` is the tangent of the result (a list of tangents for several
        results); `tangents` is as `args`, with None where an argument has no tangent. None, or a rule that returns
        NotImplemented: forward mode uses `vjp` (as it is for element-wise primitives, else transposed).
    compose : callable or None
        The same function written in other primitives (same arguments, same arithmetic). Runs instead of
        `function` when an operand is being differentiated, so that its derivative is theirs and no rule is
        needed. Returns NotImplemented for calls that `vjp` has rules for.
    flat : bool
        Piecewise constant: the derivative is zero everywhere, no rule is needed.
    work : callable or None
        ``work(*args)``: the multiplications of a call, for rows of the class ``matmul`` whose first two operands are no
        matrices.
    samples : callable
        Yields ``(args, kwargs)`` for tests, given a ``numpy.random.Generator`` and a dtype.
    """

    __slots__ = (
        "_signature", "bare", "compose", "cost", "creates", "direct", "elementwise", "family", "flat", "function",
        "geometry", "joins", "jvp", "mirrors", "mxnet", "name", "outs", "part", "samples", "short", "view",
        "vjp", "work", "writes",
    )  # fmt: skip

    def __init__(self, name: str, function: Callable[..., Any], **columns: Any) -> None:
        self.name, self.function = name, function
        for column, default in _DEFAULTS.items():
            setattr(self, column, columns.pop(column, default))
        if columns:
            raise TypeError(f"primitive {name}: no column {', '.join(columns)}")
        self._signature = None
        # The short cuts of `minpy.runtime.fast` and `pull`, where there are any: the operator, and the rules
        # of array operands.
        self.short: Any = None
        self.bare: tuple | None = None
        # Whether `minpy.runtime.direct` may run it; None if that was not asked yet.
        self.direct: bool | None = None
        ufunc = isinstance(function, np.ufunc)
        if self.joins is None:
            self.joins = function.nin if ufunc else 0
        # From how many positional arguments on an output may be among them; exact once `outputs` has looked.
        self.outs = function.nin if ufunc else 1

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"

    def signature(self) -> inspect.Signature | None:
        """The NumPy function's signature, or None where it has none (some functions written in C)."""
        if self._signature is None:
            try:
                self._signature = inspect.signature(self.function)
            except (TypeError, ValueError):
                self._signature = documented(self.function) or False
        return self._signature or None

    def outputs(self, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        """Move an output array given by position to ``out=``."""
        if isinstance(self.function, np.ufunc):
            n = self.function.nin
            given = args[n:]
            if len(args) > self.function.nargs:
                return args, kwargs  # NumPy says what is wrong
            if any(o is not None for o in given):
                kwargs = {**kwargs, "out": given if len(given) > 1 else given[0]}
            return args[:n], kwargs
        signature = self.signature()
        parameters = signature.parameters.values() if signature is not None else ()
        names = [p.name for p in parameters if p.kind < p.VAR_POSITIONAL]
        self.outs = names.index("out") if "out" in names else sys.maxsize
        if len(args) <= self.outs or args[self.outs] is None:
            return args, kwargs
        return args[: self.outs], {**kwargs, **dict(zip(names[self.outs :], args[self.outs :], strict=False))}

    def rule(self, i: int) -> Callable[..., Any] | None:
        """The derivative rule of positional argument `i`, or None."""
        rules = self.vjp
        if rules is None:
            return None
        if callable(rules):
            return rules(i)
        return rules[i] if i < len(rules) else None


def documented(function: Callable[..., Any]) -> inspect.Signature | None:
    """The signature in the first lines of a documentation: functions written in C tell it only there."""
    text = (function.__doc__ or "").strip()
    name = getattr(function, "__name__", "")
    if not name or not text.startswith(f"{name}("):
        return None
    try:
        header = text[: text.index("\n\n")] if "\n\n" in text else text
        found = ast.parse(f"def {' '.join(header.split())}: pass").body[0].args  # type: ignore[attr-defined]
        positional = [*found.posonlyargs, *found.args]
        defaults: list[Any] = [inspect.Parameter.empty] * (len(positional) - len(found.defaults))
        defaults += [ast.literal_eval(d) for d in found.defaults]
    except (SyntaxError, ValueError):
        return None
    first = len(found.posonlyargs)
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return inspect.Signature(
        [
            inspect.Parameter(p.arg, kinds[i >= first], default=d)
            for i, (p, d) in enumerate(zip(positional, defaults, strict=True))
        ]
    )


_DEFAULTS: dict[str, Any] = {
    "family": "",
    "cost": "host",
    "geometry": False,
    "mirrors": True,
    "view": False,
    "writes": None,
    "creates": False,
    "compose": None,
    "elementwise": False,
    "part": None,
    "joins": None,
    "jvp": None,
    "mxnet": "MXNet has no such operator",
    "vjp": None,
    "flat": False,
    "samples": None,
    "work": None,
}

by_name: dict[str, Primitive] = {}
by_function: dict[Any, Primitive] = {}


def row(name: str, function: Callable[..., Any] | None = None, **columns: Any) -> Primitive | None:
    """Add the row of ``numpy.<name>``; nothing if this NumPy has no such function (removed or not yet added).

    A `function` is given only for what arrays do without a NumPy function of that name (indexing, ``astype``), and for
    the library's layers (``nn.convolve``).
    A name ``scipy.<…>`` is SciPy's, which must be loaded; nothing if this SciPy has no such function.
    """
    if name.startswith("scipy."):
        function = function or _attribute(sys.modules.get("scipy"), name[6:])
        if function is None:
            return None
        columns.setdefault("mirrors", False)
    elif function is not None:
        columns.setdefault("mirrors", False)
    else:
        function = np
        for part in name.split("."):
            function = getattr(function, part, None)
            if function is None:
                return None
    if name in by_name:
        raise ValueError(f"the table has two rows named {name}")
    columns.setdefault("elementwise", isinstance(function, np.ufunc) and function.signature is None)
    primitive = by_name[name] = Primitive(name, function, **columns)
    # Two names of one function (np.abs, np.absolute) share the first row's entry here; both names are in by_name.
    by_function.setdefault(function, primitive)
    return primitive


def _attribute(value: Any, path: str) -> Any:
    for part in path.split("."):
        value = getattr(value, part, None)
    return value


def alias(name: str, of: str) -> Primitive | None:
    """Add the row of a further NumPy name of the function `of`: the same columns, rules included."""
    first = by_name.get(of)
    if first is None:
        return None
    return row(name, **{column: getattr(first, column) for column in _DEFAULTS if column != "family"})


_OTHERS = ("scipy.", "nn.")  # how the names of rows begin that are not NumPy's


def rows() -> Iterable[Primitive]:
    """Every row of NumPy's, in the order of the families."""
    load()
    return [primitive for primitive in by_name.values() if not primitive.name.startswith(_OTHERS)]


def library_rows() -> Iterable[Primitive]:
    """Every row of `minpy.nn`, as far as that is loaded."""
    return [primitive for primitive in by_name.values() if primitive.name.startswith("nn.")]


def scipy_rows() -> Iterable[Primitive]:
    """Every row of the modules of SciPy that are loaded."""
    load_scipy()
    return [primitive for primitive in by_name.values() if primitive.name.startswith("scipy.")]


def find(function: Any) -> Primitive | None:
    """The row of a function of NumPy, or of a module of SciPy that is loaded; None if there is none."""
    primitive = by_function.get(function)
    if primitive is None and load_scipy():
        primitive = by_function.get(function)
    return primitive


_loaded = False


def load() -> None:
    """Import the families; done when the runtime first becomes active, never by a plain start."""
    global _loaded
    if _loaded:
        return
    import importlib

    from minpy.runtime.primitives import FAMILIES

    for family in FAMILIES:
        importlib.import_module(f"minpy.runtime.primitives.{family}")
        for primitive in by_name.values():
            primitive.family = primitive.family or family
    _loaded = True


_pending: dict[str, tuple[str, ...]] | None = None


def load_scipy() -> bool:
    """Import the families of those modules of SciPy that the program has loaded since; whether there were any."""
    global _pending
    if _pending == {} or "scipy" not in sys.modules:
        return False
    import importlib

    from minpy.runtime.primitives import SCIPY_FAMILIES

    load()
    if _pending is None:
        _pending = dict(SCIPY_FAMILIES)
    found = [name for name in _pending if _is_loaded(name)]
    for name in found:
        for family in _pending.pop(name):
            importlib.import_module(family if "." in family else f"minpy.runtime.primitives.{family}")
            for primitive in by_name.values():
                primitive.family = primitive.family or family
    return bool(found)


def _is_loaded(name: str) -> bool:
    # A module that is being imported has not all its functions yet.
    module = sys.modules.get(name)
    return module is not None and not getattr(module.__spec__, "_initializing", False)
