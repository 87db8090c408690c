"""How often functions and blocks run, and how long: chosen by decoration, not all of them.

    from minpy.utils.minprof import minprof

    @minprof
    def step(): ...

    with minprof("loading"): ...

    minprof.print_stats()

``python -m minpy.utils.minprof [-f module:function] [-o file] [-v] script.py …`` runs a program in which ``minprof`` is
a built-in name. Times are from call to return, with what is called in between; of recursive calls only the outermost is
timed. While `MINPROF_FLAG` is False nothing is measured. For all operations of a program there is
``minpy run --profile``.
"""

from __future__ import annotations

import argparse
import builtins
import contextlib
import functools
import importlib
import inspect
import json
import os
import runpy
import shutil
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TextIO, TypeVar, overload

from minpy.errors import UsageError

MINPROF_FLAG = True

F = TypeVar("F", bound=Callable[..., Any])


class Place(NamedTuple):
    """Where a function or block is."""

    filename: str
    lineno: int
    name: str


class FuncCallStats:
    """Calls and seconds of each place.

    Parameters
    ----------
    timings : mapping of Place to (int, float)
    """

    def __init__(self, timings: Mapping[Place, tuple[int, float]]) -> None:
        self.timings = dict(timings)

    def dump(self, filename: str | os.PathLike) -> None:
        """Write them to a file (JSON)."""
        with open(filename, "w", encoding="utf-8") as file:
            json.dump([[*place, *numbers] for place, numbers in self.timings.items()], file)

    @classmethod
    def load(cls, filename: str | os.PathLike) -> FuncCallStats:
        """Read what `dump` wrote.

        Raises
        ------
        UsageError
            If it is another file.
        """
        try:
            with open(filename, encoding="utf-8") as file:
                return cls({Place(*row[:3]): (row[3], row[4]) for row in json.load(file)})
        except (ValueError, TypeError, IndexError) as error:
            raise UsageError(f"{os.fspath(filename)} is not a file of minprof: {error}") from error


class _Running(threading.local):
    """How deep a thread is in each place."""

    def __init__(self) -> None:
        self.depth: dict[Place, int] = {}


class FuncCallProfiler:
    """Measures the functions that it decorates and the blocks that it is a context of.

    Parameters
    ----------
    *funcs : callable
        Functions to measure from now on, wherever their code is called by its module's name.
    """

    def __init__(self, *funcs: Callable[..., Any]) -> None:
        self._timings: dict[Place, tuple[int, float]] = {}
        self._running, self._lock = _Running(), threading.Lock()
        for func in funcs:
            self.add_function(func)

    def add_function(self, func: Callable[..., Any]) -> None:
        """Put a measured function in the place of `func` in its module, or in its class."""
        owner: Any = sys.modules[func.__module__]
        *path, name = func.__qualname__.split(".")
        if "<locals>" in path:
            raise UsageError(f"{func.__qualname__} is a local function: decorate it instead")
        for part in path:
            owner = getattr(owner, part)
        setattr(owner, name, self._decorated(func))

    @overload
    def __call__(self, what: F) -> F: ...
    @overload
    def __call__(self, what: str | None = None) -> contextlib.AbstractContextManager[None]: ...

    def __call__(self, what: Any = None) -> Any:
        """A measured function for a function; a context that is measured for a label, or for nothing."""
        if what is None or isinstance(what, str):
            caller = sys._getframe(1)
            return label(self, Place(caller.f_code.co_filename, caller.f_lineno, what or "<with>"))
        if not callable(what):
            raise UsageError(f"minprof takes a function or a label, not {type(what).__name__}")
        return self._decorated(what)

    def _decorated(self, func: Callable[..., Any]) -> Callable[..., Any]:
        code = getattr(inspect.unwrap(func), "__code__", None)
        name = getattr(func, "__qualname__", repr(func))
        place = Place(code.co_filename, code.co_firstlineno, name) if code else Place("<built-in>", 0, name)

        if inspect.iscoroutinefunction(func):

            @functools.wraps(func)
            async def measured(*args: Any, **kwargs: Any) -> Any:
                with label(self, place):
                    return await func(*args, **kwargs)
        else:

            @functools.wraps(func)
            def measured(*args: Any, **kwargs: Any) -> Any:
                if not MINPROF_FLAG:
                    return func(*args, **kwargs)
                with label(self, place):
                    return func(*args, **kwargs)

        return measured

    def _enter(self, place: Place) -> None:
        self._running.depth[place] = self._running.depth.get(place, 0) + 1

    def _leave(self, place: Place, seconds: float) -> None:
        self._running.depth[place] -= 1
        inner = self._running.depth[place] > 0
        with self._lock:
            calls, total = self._timings.get(place, (0, 0.0))
            self._timings[place] = calls + 1, total if inner else total + seconds

    def clear(self) -> None:
        """Forget what was measured."""
        with self._lock:
            self._timings.clear()

    def get_stats(self) -> FuncCallStats:
        """What was measured so far."""
        with self._lock:
            return FuncCallStats(self._timings)

    def print_stats(self, stream: TextIO | None = None) -> None:
        """Print a table, to stdout by default."""
        show_text(self.get_stats(), stream)

    def dump_stats(self, filename: str | os.PathLike) -> None:
        """Write what was measured to a file."""
        self.get_stats().dump(filename)

    def runctx(self, cmd: str, globals: dict[str, Any], locals: dict[str, Any]) -> FuncCallProfiler:
        """Run statements, and measure them as a whole."""
        with label(self, Place("<string>", 1, "runctx")):
            exec(compile(cmd, "<string>", "exec"), globals, locals)
        return self


class label(contextlib.ContextDecorator):
    """A block that is measured."""

    def __init__(self, profiler: FuncCallProfiler, place: Place) -> None:
        self._profiler, self._place = profiler, place
        self._starts: list[float | None] = []

    def __enter__(self) -> None:
        if not MINPROF_FLAG:
            self._starts.append(None)
            return
        self._profiler._enter(self._place)
        self._starts.append(time.perf_counter())

    def __exit__(self, *exc: object) -> None:
        end = time.perf_counter()
        start = self._starts.pop()
        if start is not None:
            self._profiler._leave(self._place, end - start)


def show_func(place: Place, calls: int, seconds: float, stream: TextIO) -> None:
    """One line of the table."""
    where = f"{os.path.basename(place.filename)}:{place.lineno}({place.name})"
    print(f"{calls:>10}{seconds * 1e3:>14.3f}{seconds * 1e3 / calls:>14.3f}  {where}", file=stream)


def show_text(stats: FuncCallStats, stream: TextIO | None = None) -> None:
    """Print a table, what took longest first; times are in milliseconds."""
    stream = sys.stdout if stream is None else stream
    print(f"{'ncalls':>10}{'tottime (ms)':>14}{'percall (ms)':>14}  filename:lineno(function)", file=stream)
    for place, (calls, seconds) in sorted(stats.timings.items(), key=lambda item: -item[1][1]):
        show_func(place, calls, seconds, stream)


def find_script(script_name: str) -> str:
    """The path of a script, which may lie in a folder of ``PATH``.

    Raises
    ------
    UsageError
        If it is not found.
    """
    if os.path.isfile(script_name):
        return script_name
    found = shutil.which(script_name, mode=os.F_OK)
    if found is None:
        raise UsageError(f"there is no script {script_name}")
    return found


minprof = FuncCallProfiler()


def main(args: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m minpy.utils.minprof",
        description="Run a program and measure functions of it; `minprof` is a built-in name there.",
    )
    parser.add_argument(
        "-f",
        "--function",
        action="append",
        default=[],
        metavar="MODULE:FUNCTION",
        help="measure this one, too",
    )
    parser.add_argument("-o", "--outfile", help="write the measurements to this file (script.py.minprof)")
    parser.add_argument("-v", "--view", action="store_true", help="print the table, too")
    parser.add_argument("script", help="the program, or a file of measurements to print")
    parser.add_argument("args", nargs=argparse.REMAINDER, help="its arguments")
    options = parser.parse_args(args)
    # As a program this module is another one than the imported: the program must find the same profiler.
    shared = importlib.import_module("minpy.utils.minprof").minprof
    try:
        script = find_script(options.script)
        if script.endswith(".minprof"):
            show_text(FuncCallStats.load(script))
            return 0
        sys.path.insert(0, os.path.dirname(os.path.abspath(script)))
        for name in options.function:
            shared.add_function(_function(name))
    except UsageError as error:
        parser.error(str(error))
    before, sys.argv = sys.argv, [script, *options.args]
    builtins.minprof = shared  # type: ignore[attr-defined]
    try:
        runpy.run_path(script, run_name="__main__")
    finally:
        # What was measured is of interest when the program fails, too.
        sys.argv = before
        del builtins.minprof  # type: ignore[attr-defined]
        sys.path.remove(os.path.dirname(os.path.abspath(script)))
        where = options.outfile or f"{os.path.basename(script)}.minprof"
        shared.dump_stats(where)
        print(f"minprof: measurements are in {where}", file=sys.stderr)
        if options.view:
            shared.print_stats()
    return 0


def _function(name: str) -> Callable[..., Any]:
    module, _, path = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"-f {name}: {error}") from error
    if not callable(found):
        raise UsageError(f"-f {name}: this is no function")
    return found


if __name__ == "__main__":
    sys.exit(main())
