"""``@minpy.accelerate``: the rewriting of the import hook for one function or class.

The function object stays what it is: only its code is exchanged, for the one that the whole module,
rewritten, has in the same place. So there is no wrapper and no extra frame, and identity, closure cells,
defaults, annotations and pickling are untouched.
"""

from __future__ import annotations
import __future__

import ast
import linecache
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import CodeType, FunctionType, MethodType
from typing import Any, TypeVar, overload

from minpy.errors import RewriteError, RewriteWarning
from minpy.options import Options, from_environ
from minpy.quiet import quiet
from minpy.transform import build, hook
from minpy.transform.granted import granted
from minpy.transform.names import NOTHING, Given

T = TypeVar("T")

_FUTURES = 0
for _name in __future__.all_feature_names:
    _FUTURES |= getattr(__future__, _name).compiler_flag
_ITERABLE_COROUTINE = 0x100  # set on a function's code by types.coroutine

# What accelerated functions lead to: the code that goes in for a code, and compiled modules, newest last.
_exchanged: dict[tuple[str, str, CodeType], CodeType] = {}
_modules: dict[tuple[Any, ...], tuple[CodeType, CodeType]] = {}
_KEPT_MODULES = 8


@overload
def accelerate(obj: T, /) -> T: ...
@overload
def accelerate(
    *,
    operators: bool | None = ...,
    strict: bool | None = ...,
    cache: bool | None = ...,
    verbose: int | None = ...,
) -> Callable[[T], T]: ...
def accelerate(
    obj: Any = None,
    /,
    *,
    operators: bool | None = None,
    strict: bool | None = None,
    cache: bool | None = None,
    verbose: int | None = None,
) -> Any:
    """Rewrite one function, or the functions of one class, as the import hook would.

    Works on functions of every kind (methods, closures, generators, coroutines, lambdas), on static and class
    methods, properties and classes, above or below other decorators that keep ``__wrapped__``. The object
    itself is returned.

    Parameters
    ----------
    obj : function or class
        What to accelerate. Without it, a decorator is returned.
    operators : bool, optional
        Route operators on plain arrays too. Default: as the options of the run say.
    strict : bool, optional
        Raise `RewriteError` instead of warning where something cannot be rewritten.
    cache, verbose : optional
        As `minpy.options.Options` has them.

    Warns
    -----
    RewriteWarning
        If something cannot be rewritten: it stays as it was, and the warning says why.

    Examples
    --------
    >>> @minpy.accelerate
    ... def logistic(x):
    ...     return 1 / (1 + np.exp(-x))
    """
    options = hook.current_options() or from_environ()
    given = {"strict": strict, "cache": cache, "verbose": verbose}
    options = replace(options, **{name: value for name, value in given.items() if value is not None})
    if operators is not None and operators != options.operators:
        options = build.with_operators(options, operators)

    def decorate(obj: T) -> T:
        for function, reason in _functions_of(obj):
            reason = reason or _exchange(function, options)
            if reason:
                _refuse(function, reason, options)
        return obj

    return decorate if obj is None else decorate(obj)


def _refuse(function: Any, reason: str, options: Options) -> None:
    code = getattr(function, "__code__", None)
    file, line = (code.co_filename, code.co_firstlineno) if code is not None else ("<unknown>", 1)
    name = getattr(function, "__qualname__", None) or repr(function)
    if options.strict:
        raise RewriteError(f"{file}:{line}: cannot accelerate {name}: {reason}")
    warnings.warn_explicit(f"{name} is not accelerated: {reason}", RewriteWarning, file, line)


def _functions_of(obj: Any) -> Iterator[tuple[Any, str]]:
    """The Python functions behind `obj`, each with an empty reason; or `obj` and why it has none."""
    seen = set()
    while id(obj) not in seen:
        seen.add(id(obj))
        if isinstance(obj, type):
            yield from _functions_of_class(obj)
            return
        if isinstance(obj, property):
            for part in (obj.fget, obj.fset, obj.fdel):
                if part is not None:
                    yield from _functions_of(part)
            return
        inner = _behind(obj)
        if inner is None:
            break
        obj = inner
    if isinstance(obj, FunctionType):
        yield obj, ""
    elif isinstance(type(obj).__dict__.get("__call__"), FunctionType):
        yield (
            obj,
            f"it is a {type(obj).__name__} object, not a function: decorate the class {type(obj).__name__}",
        )
    else:
        yield obj, "it is not a function written in Python"


def _behind(obj: Any) -> Any:
    """What a decorator left in the place of a function leads to; None at the end of the chain."""
    if isinstance(obj, MethodType | staticmethod | classmethod):
        return obj.__func__
    names = getattr(obj, "__dict__", {})
    if "__wrapped__" in names:
        return names["__wrapped__"]
    # partial, partialmethod, cached_property, singledispatchmethod: by name, because only these mean it so.
    if type(obj).__module__ == "functools" and not isinstance(obj, FunctionType):
        return getattr(obj, "func", None)
    return None


def _functions_of_class(cls: type) -> Iterator[tuple[Any, str]]:
    inside = cls.__qualname__ + "."
    for value in list(vars(cls).values()):
        if isinstance(value, type):
            found = _functions_of_class(value) if _is_from(value, cls.__module__, inside) else iter(())
        else:
            found = _functions_of(value)
        for function, reason in found:
            # Only what the class body wrote: not what it borrowed, nor what a dataclass had generated.
            if not reason and _is_from(function, cls.__module__, inside) and _source(function) is not None:
                yield function, ""


def _is_from(obj: Any, module: str, inside: str) -> bool:
    return obj.__module__ == module and obj.__qualname__.startswith(inside)


# ----------------------------------------------------------------------------------------------------
# Exchanging the code


def _exchange(function: FunctionType, options: Options) -> str:
    """Give `function` its rewritten code; return the reason if that cannot be done."""
    old = function.__code__
    key = (old.co_filename, options.rewrite_key(), old)
    new = _exchanged.get(key)
    if new is None:
        source = _source(function)
        if source is None:
            return f"its source cannot be found ({old.co_filename})"
        try:
            with quiet():  # the compiler's: they were given when the module was loaded
                new = _counterpart(function, source, options)
        except _CannotError as error:
            return str(error)
        _exchanged[key] = new
    if new is old:
        return ""
    hook.put_door()
    function.__code__ = new
    function.__dict__["__minpy_accelerated__"] = _Traveller()
    if options.verbose:
        build.say(f"accelerated {function.__module__}.{function.__qualname__}")
    return ""


class _CannotError(Exception):
    """Why a function keeps its code."""


class _Traveller:
    """Goes along where a function is pickled by value, and brings along what its code needs."""

    def __reduce__(self) -> tuple[Callable[[], _Traveller], tuple[()]]:
        return _arrive, ()


def _arrive() -> _Traveller:
    hook.put_door()
    return _Traveller()


def _source(function: FunctionType) -> bytes | str | None:
    """The source of the file or notebook cell that `function` is from."""
    filename = function.__code__.co_filename
    if os.path.isfile(filename):
        try:
            with open(filename, "rb") as file:
                return file.read()
        except OSError:
            return None
    linecache.checkcache(filename)
    source = "".join(linecache.getlines(filename, function.__globals__))
    if not source or (filename == "<string>" and not _may_hold(source, function.__code__)):
        return None
    return source


def _may_hold(source: str, code: CodeType) -> bool:
    """Whether `source` has a function of this name in this line.

    From Python 3.13 on ``<string>`` is the text of ``python -c``; what was made by ``exec`` has that name too.
    """
    with quiet():
        try:
            module = compile(source, "<string>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        except (SyntaxError, ValueError):
            return False

    def place(code: CodeType) -> tuple[str, int]:
        return getattr(code, "co_qualname", code.co_name), code.co_firstlineno

    return place(code) in map(place, _codes(module))


def _counterpart(function: FunctionType, source: bytes | str, options: Options) -> CodeType:
    """The rewritten code of `function`; its own if nothing is (still) to be rewritten."""
    old = function.__code__
    flags = old.co_flags & _FUTURES
    given: Given = NOTHING
    if isinstance(source, str):
        flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT  # a notebook cell may have some
        given = granted(source, function.__globals__)  # and uses what other cells have imported
    try:
        plain, rewritten = _both(source, old.co_filename, flags, options, given)
    except SyntaxError:
        raise _CannotError(f"{old.co_filename} was changed after the function was made") from None
    pairs = list(_twins(plain, rewritten))
    bare = old.replace(co_flags=old.co_flags & ~_ITERABLE_COROUTINE)
    places = [place for place, (was, _) in enumerate(pairs) if was == bare]
    if not places and any(new == bare for _, new in pairs):
        return old  # it came through the hook
    if not places:
        # Perhaps it is rewritten already (by the hook, by another decoration), but with other options.
        other = build.with_operators(options, not options.operators)
        _, otherwise = _both(source, old.co_filename, flags, other, given)
        pairs = list(_twins(otherwise, rewritten))
        places = [place for place, (was, _) in enumerate(pairs) if was == bare]
    found = {pairs[place][1] for place in places}
    if not found:
        raise _CannotError(
            f"its code is not what {old.co_filename} says (the file was changed, or another tool rewrites it)"
        )
    if len(found) > 1:
        raise _CannotError("several functions in its line look the same; put them on lines of their own")
    new = found.pop()
    if new == bare:
        return old
    if new.co_freevars != old.co_freevars:
        new = _with_cells(source, old, places[0], flags, options, given)
    return new.replace(co_flags=new.co_flags | old.co_flags & _ITERABLE_COROUTINE)


def _both(
    source: bytes | str, filename: str, flags: int, options: Options, given: Given
) -> tuple[CodeType, CodeType]:
    """The module's code as it stands, and rewritten."""
    key = (filename, source, flags, options.rewrite_key(), tuple(sorted(given.items())))
    found = _modules.pop(key, None)
    if found is None:
        plain = compile(source, filename, "exec", flags, dont_inherit=True)
        if (
            flags
            and isinstance(source, bytes)
            and plain == compile(source, filename, "exec", dont_inherit=True)
        ):
            flags = 0  # the text says so itself: the cache may have it
        entry, _ = build.find_or_build(source, filename, options, flags, given=given)
        if entry.failed:
            raise _CannotError(entry.reason)
        found = plain, hook.announce(entry.code)
    _modules[key] = found
    while len(_modules) > _KEPT_MODULES:
        del _modules[next(iter(_modules))]
    return found


def _twins(plain: CodeType, rewritten: CodeType) -> Iterator[tuple[CodeType, CodeType]]:
    """Every code object of a module with its counterpart: rewriting adds and removes no function."""
    yield plain, rewritten
    pairs = [
        [const for const in code.co_consts if isinstance(const, CodeType)] for code in (plain, rewritten)
    ]
    for one, other in zip(*pairs, strict=True):
        yield from _twins(one, other)


def _with_cells(
    source: bytes | str, old: CodeType, place: int, flags: int, options: Options, given: Given
) -> CodeType:
    """The rewritten code with all the free variables of `old`, so that it fits the closure of the function.

    A rewritten function may no longer need a name of the function around it (``np``, mostly); the compiler is
    told of it by a ``nonlocal`` statement, which makes no code.
    """
    with build.quiet_imports():
        from minpy.transform.rewriter import mapped_tree

        tree = mapped_tree(source, old.co_filename, options, flags=flags, given=given)
    new = list(_codes(compile(tree, old.co_filename, "exec", flags, dont_inherit=True)))[place]
    missing = sorted(set(old.co_freevars) - set(new.co_freevars))
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        first = min([node.lineno, *(item.lineno for item in getattr(node, "decorator_list", ()))])
        if getattr(node, "name", "<lambda>") != old.co_name or first != old.co_firstlineno:
            continue
        body = node.body
        _mention(node, missing)
        code = list(_codes(compile(tree, old.co_filename, "exec", flags, dont_inherit=True)))[place]
        node.body = body
        if code.co_freevars == old.co_freevars:
            return code
    raise _CannotError("its closure does not fit the rewritten code")


def _mention(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, names: list[str]) -> None:
    """Make the compiler take `names` for free variables of the function."""
    if isinstance(node, ast.Lambda):
        # No statement fits in here; of a condition that is constant, the compiler drops the other branch.
        other = ast.Tuple([ast.Name(name, ast.Load()) for name in names], ast.Load())
        new = node.body = ast.IfExp(ast.Constant(True), node.body, other)
        place = new.body
    else:
        new = ast.Nonlocal(names)
        place = node.body[0]
        start = 1 if ast.get_docstring(node, clean=False) is not None else 0
        node.body = [*node.body[:start], new, *node.body[start:]]
    for part in ast.walk(new):
        if not hasattr(part, "lineno"):
            ast.copy_location(part, place)


def _codes(code: CodeType) -> Iterator[CodeType]:
    return (one for one, _ in _twins(code, code))
