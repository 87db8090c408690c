"""The rewriting of a program that is not in the cache, in a process of its own while this one imports NumPy.

libcst takes a tenth of a second to import, a fifth of that where nobody else uses it (see `lean`), and as long as the
program lives its objects would lie in the program's memory and in the collector's way. So before the program begins, a
fork rewrites its main module, and the modules beside it that this one imports, into the cache, and ends. Wherever that
cannot be done, the rewriting happens here, as for any module that is imported later.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator
from time import perf_counter
from typing import Any

from minpy.options import Options
from minpy.transform import cache

_open = open  # the program, or a test, may put something else in its place

_MOST = 40  # modules
_NO_SHADOWS = frozenset({"test", "this"})  # names that NumPy does not import


def rewrite(source: bytes, path: str, options: Options) -> tuple[float, float] | None:
    """Rewrite the main module into the cache, in another process.

    Return the seconds in which NumPy was imported here meanwhile, and the processor's seconds that the other process
    took from this one: all, where there is one processor for both. None if it was not tried.

    The other process is gone when this returns: the program never sees it.
    """
    if b"numpy" not in source or not _may_fork():
        return None  # without NumPy nothing is done, or little
    begins = begins_with_numpy(source)
    try:
        pid = os.fork()
    except OSError:
        return None
    if not pid:
        status = 1
        try:
            _fill(source, path, options, begins)
            status = 0
        finally:
            os._exit(status)
    began, meanwhile = perf_counter(), 0.0
    try:
        if begins:
            meanwhile = import_numpy()
    except BaseException:
        import signal

        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        try:
            usage = os.wait4(pid, 0)[2]
            worked = usage.ru_utime + usage.ru_stime
        except ChildProcessError:
            worked = 0.0  # SIGCHLD is ignored: the system has seen to it
    if len(os.sched_getaffinity(0)) > 1:
        worked = min(worked, perf_counter() - began - meanwhile)
    return meanwhile, worked


def _may_fork() -> bool:
    import _thread

    return (
        sys.platform.startswith("linux")
        and not _thread._count()  # another thread may hold any lock
        and "libcst" not in sys.modules
        and "numpy" not in sys.modules
        and sys.gettrace() is None
        and sys.getprofile() is None
    )


# --- In the other process


def _fill(source: bytes, path: str, options: Options, begins: bool) -> None:
    import gc

    gc.disable()  # it would go through libcst's objects again and again, and nothing here lives long
    _delay_methods()
    from minpy.transform import lean
    from minpy.transform.filters import Filter

    lean.load()
    _keep(source, path, options, begins)
    chosen = Filter(options.include, options.exclude)
    done = {path}
    waiting = [source]
    while waiting and len(done) < _MOST:
        for name, file in _beside(waiting.pop()):
            if file in done or chosen.why_not(name, file):
                continue
            done.add(file)
            with _open(file, "rb") as opened:
                text = opened.read()
            waiting.append(text)
            if cache.load(text, file, options) is None:
                _keep(text, file, options)


def _keep(source: bytes, path: str, options: Options, begins: bool = False) -> None:
    """Rewrite a module into the cache; what cannot be rewritten is left to the other process, which says why."""
    from minpy.transform import build

    try:
        entry = build.rewrite(source, path, options)
    except Exception:
        return
    entry.begins_with_numpy = begins
    cache.store(source, path, options, entry)


def _delay_methods() -> None:
    """Let methods of dataclasses be made when they are called, if they are. No code but the rewriter's runs here."""
    import dataclasses

    make: Any = getattr(dataclasses, "_create_fn", None)
    if make is None:  # Python 3.13 makes those of a class at once
        return

    def delayed(name: str, *args: Any, **keywords: Any) -> Any:
        method = None

        def call(*operands: Any, **named: Any) -> Any:
            nonlocal method
            if method is None:
                method = make(name, *args, **keywords)
            return method(*operands, **named)

        call.__name__ = name
        return call

    dataclasses._create_fn = delayed  # type: ignore[attr-defined]


def _beside(source: bytes) -> Iterator[tuple[str, str]]:
    """The modules in the program's folder that a text imports when it is run, and their files as the importer says."""
    folder = sys.path[0]
    for name in _imported(source):
        parts = name.split(".")
        for count in range(1, len(parts) + 1):
            place = os.path.join(folder, *parts[:count])
            for file in (os.path.join(place, "__init__.py"), f"{place}.py"):
                if os.path.isfile(file):
                    yield ".".join(parts[:count]), file
                    break


def _imported(source: bytes) -> list[str]:
    names: list[str] = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names


# --- In this one, meanwhile


def import_numpy() -> float:
    """Import NumPy for a program that begins with that, so that it cannot tell; the seconds that it took."""
    if "numpy" in sys.modules or _may_be_shadowed():
        return 0.0
    began = perf_counter()
    before = set(sys.modules)
    try:
        import numpy  # noqa: F401
    except Exception:
        # The program is to meet it itself.
        for name in set(sys.modules) - before:
            if name.partition(".")[0] == "numpy":
                del sys.modules[name]
    return perf_counter() - began


def begins_with_numpy(source: bytes) -> bool:
    """Whether the program imports NumPy before it does anything but import modules of the standard library."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    for node in body:
        match node:
            case ast.Expr(value=ast.Constant()):
                continue
            case ast.Import(names=aliases):
                tops = [alias.name.partition(".")[0] for alias in aliases]
            case ast.ImportFrom(module=str(module), level=0):
                tops = [module.partition(".")[0]]
            case _:
                return False
        for top in tops:
            if top == "numpy":
                return True
            if top not in sys.stdlib_module_names:
                return False
    return False


def _may_be_shadowed() -> bool:
    """Whether the program's folder holds a module by the name of NumPy or of one that NumPy may import."""
    try:
        names = {name.partition(".")[0] for name in os.listdir(sys.path[0] or ".")}
    except OSError:
        return False
    return bool(names & ({"numpy"} | sys.stdlib_module_names - _NO_SHADOWS))
