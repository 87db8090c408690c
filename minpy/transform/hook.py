"""The import hook: user modules that are imported from now on are rewritten on their way in."""

from __future__ import annotations

import _imp
import builtins
import os
import sys
import threading
import warnings
from collections.abc import Iterable
from dataclasses import replace
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import CodeType, FunctionType, ModuleType
from typing import Any

from minpy import memory
from minpy.errors import RewriteWarning
from minpy.options import Options, from_environ
from minpy.transform import build, children, products
from minpy.transform.build import DOOR
from minpy.transform.filters import Filter, anchored


def put_door() -> None:
    """Make the name that rewritten code goes through known to every module.

    It stays when the hook goes: modules that were rewritten keep running.
    """
    from minpy.runtime.entry import routed

    setattr(builtins, DOOR, routed)


def announce(code: CodeType) -> CodeType:
    """The code that is to run in the place of a module's: it has flags of its own, and its places will be asked for."""
    from minpy.runtime import flags

    return flags.assigned(code)


def _as_importlib(function: Any) -> Any:
    # The interpreter cuts importlib's frames out of the traceback of a failing import by their file name. A
    # loader's frame between them would make it keep them all: with this name a traceback through the hook is
    # Python's own.
    function.__code__ = function.__code__.replace(co_filename="<frozen importlib._bootstrap_external>")
    return function


class MinPyLoader(SourceFileLoader):
    """Python's loader of source files, with the rewriter in front of the compiler."""

    def __init__(self, fullname: str, path: str, options: Options) -> None:
        super().__init__(fullname, path)
        self._options = options

    @_as_importlib
    def get_code(self, fullname: str) -> CodeType:
        """The module's code: from MinPy's cache, never from a ``__pycache__`` beside the source."""
        path = self.get_filename(fullname)
        source = self.get_data(path)
        code = self._rewritten(source, path)
        if code is None:
            # It does not compile: raised here by Python's own loader, it has the traceback it has without the
            # hook.
            code = super().source_to_code(source, path)
        return code

    def source_to_code(self, data: Any, path: Any, *args: Any, **keywords: Any) -> CodeType:
        """Compile `data` as a module is compiled under the hook; plainly for another optimization."""
        # The parameters behind `path` differ from one Python to the next, hence args and keywords.
        source = data.encode() if isinstance(data, str) else data
        if keywords.get("_optimize", -1) in (-1, sys.flags.optimize) and isinstance(source, bytes):
            code = self._rewritten(source, os.fsdecode(path))
            if code is not None:
                return code
        return super().source_to_code(data, path, *args, **keywords)

    def _rewritten(self, source: bytes, path: str) -> CodeType | None:
        try:
            return announce(build.code_for(source, path, self._options, self.name))
        except (SyntaxError, ValueError):  # of null bytes, older Pythons raise a ValueError
            return None


class _Finder:
    """Asks the finders behind it, and swaps the loader of the modules that are to be rewritten."""

    def __init__(self) -> None:
        self._asking = threading.local()

    def find_spec(
        self, fullname: str, path: Any = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        sessions = _sessions
        if fullname == "numpy" and sessions:
            # Not before: a program without arrays has nothing to keep, and starts without ctypes.
            memory.keep(sessions[-1].options.keep_memory)
        if not sessions or build.is_rewriting():
            return None
        if sessions[-1].filter.skips_name(fullname):
            products.meet(fullname, self)
            return None
        asking = self._asking.__dict__.setdefault("names", set())
        if fullname in asking:
            return None  # another finder that asks the rest of sys.meta_path came back to us
        asking.add(fullname)
        try:
            spec = self._ask_the_rest(fullname, path, target)
        finally:
            asking.discard(fullname)
        if spec is not None:
            sessions[-1].take(spec)
        return spec

    def _ask_the_rest(self, fullname: str, path: Any, target: ModuleType | None) -> ModuleSpec | None:
        finders = list(sys.meta_path)
        if self in finders:
            del finders[: finders.index(self) + 1]  # those before us have been asked
        for finder in finders:
            find_spec = getattr(finder, "find_spec", None)
            spec = find_spec(fullname, path, target) if find_spec is not None else None
            if spec is not None:
                return spec
        return None

    def invalidate_caches(self) -> None:
        """Nothing is kept here."""

    def __repr__(self) -> str:
        return "<MinPy import hook>"


class Installation:
    """One `install`: leaving it as a context manager, or calling `uninstall`, takes back what it added."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.filter = Filter(options.include, options.exclude)

    def take(self, spec: ModuleSpec) -> None:
        """Put our loader into `spec` if it stands for a source file that is to be rewritten."""
        # Exactly this class: whoever has a loader of their own (pytest, typeguard, zip files, extensions) has
        # a reason.
        if type(spec.loader) is not SourceFileLoader or not spec.has_location or not spec.origin:
            reason = "not a plain source file"
        else:
            reason = self.filter.why_not(spec.name, spec.origin)
            if not reason:
                spec.loader = MinPyLoader(spec.loader.name, spec.loader.path, self.options)
                return
        products.meet(spec.name, _finder)
        if self.options.verbose > 1:
            build.say(f"left alone {spec.name}: {reason}")

    def uninstall(self) -> None:
        """Take this installation back; the hook goes with the last one. Doing it twice is doing it once."""
        with _ImportLock():
            if self in _sessions:
                _sessions.remove(self)
            _settle()

    def __enter__(self) -> Installation:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.uninstall()

    def __repr__(self) -> str:
        state = "installed" if self in _sessions else "uninstalled"
        return f"<MinPy import hook, {state}: include={self.options.include} exclude={self.options.exclude}>"


class _ImportLock:
    def __enter__(self) -> None:
        _imp.acquire_lock()

    def __exit__(self, *exc_info: object) -> None:
        _imp.release_lock()


_finder = _Finder()
_sessions: list[Installation] = []


def install(
    include: Iterable[str] | str = (), exclude: Iterable[str] | str = (), options: Options | None = None
) -> Installation:
    """Rewrite the user's modules that are imported from now on, in this process and in its children.

    In IPython and notebooks, the cells that run from now on are rewritten too. Calling it again adds to what is
    installed. The running script and modules that were imported before are not reached: start a script with
    ``minpy run``, or install before importing.

    Parameters
    ----------
    include, exclude : iterable of str, or str
        Packages or paths to rewrite besides the user's own code, or to leave alone (see `Filter`).
    options : Options, optional
        The options of the run. Default: those of the hook that is installed, else the ``MINPY_*`` variables.

    Returns
    -------
    Installation
        Use it in a ``with`` statement to uninstall at its end.

    Warns
    -----
    RewriteWarning
        If modules that would be rewritten have been imported already; it names them.

    Examples
    --------
    >>> import minpy
    >>> with minpy.install(exclude="legacy.*"):
    ...     import model
    """
    # Child processes may start in another folder.
    include, exclude = _anchored(include), _anchored(exclude)
    # Everything is imported before the lock is taken: another thread may hold a module's lock and wait for
    # this one.
    put_door()
    import runpy

    if options is None:
        options = current_options() or from_environ()
    options = replace(
        options, include=_union(options.include, include), exclude=_union(options.exclude, exclude)
    ).check()
    session = Installation(options)
    with _ImportLock():
        _sessions.append(session)
        if _finder not in sys.meta_path:
            sys.meta_path.insert(0, _finder)
        children.export(options)
        children.patch_run_path(runpy, code_of_script)
        late = _already_imported(session.filter)
    _settle_cells(options)
    if "numpy" in sys.modules:
        memory.keep(options.keep_memory)
    if late:
        warnings.warn(_late_message(late), RewriteWarning, stacklevel=2)
    return session


def uninstall() -> None:
    """Remove the hook, however often it was installed. Modules that were rewritten stay so."""
    with _ImportLock():
        _sessions.clear()
        _settle()


def is_installed() -> bool:
    """Whether modules imported now go through the hook."""
    return bool(_sessions) and _finder in sys.meta_path


def current_options() -> Options | None:
    """The options that the hook works with; None if it is not installed."""
    return _sessions[-1].options if is_installed() else None


def code_of_script(path: str, source: bytes) -> CodeType | None:
    """The rewritten code of a script that is run by its path; None if it is to run as it stands."""
    session = _sessions[-1] if is_installed() else None
    if session is None or session.filter.why_not("__main__", path):
        return None
    try:
        return announce(build.code_for(source, path, session.options, "__main__"))
    except (SyntaxError, ValueError):
        return None  # Python says it in its own words


def _settle() -> None:
    """Bring the rest in line with the installations that are left."""
    _settle_cells(_sessions[-1].options if _sessions else None)
    if _sessions:
        children.export(_sessions[-1].options)
        return
    sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not _finder]
    children.export(None)
    children.unpatch_run_path()


def _settle_cells(options: Options | None) -> None:
    shells = sys.modules.get("IPython.core.interactiveshell")
    if shells is not None and shells.InteractiveShell.initialized():
        from minpy.transform import cells

        cells.settle(options)


def _already_imported(filter: Filter) -> list[str]:
    late = []
    for name, module in list(sys.modules.items()):
        if not isinstance(module, ModuleType):
            continue
        names = ModuleType.__getattribute__(module, "__dict__")  # no lazy attribute may wake up
        path = names.get("__file__")
        if (
            not isinstance(path, str)
            or not path.endswith(".py")
            or type(names.get("__loader__")) is MinPyLoader
        ):
            continue
        if filter.why_not(name, path):
            continue
        if filter.includes(name, path) or any(_is_numpys(value) for value in list(names.values())):
            late.append(name)
    return sorted(late)


def _is_numpys(value: Any) -> bool:
    if type(value) is ModuleType:
        name = ModuleType.__getattribute__(value, "__dict__").get("__name__")
    elif type(value) is FunctionType:
        name = value.__module__
    else:
        return type(value).__name__ == "ufunc"
    return isinstance(name, str) and name.partition(".")[0] == "numpy"


def _late_message(names: list[str]) -> str:
    hint = "install the hook before importing them"
    if "__main__" in names:
        hint = "start the script with `minpy run`" + (f", {hint}" if len(names) > 1 else "")
    return f"already imported, so not rewritten: {', '.join(names)}; {hint}"


def _anchored(patterns: Iterable[str] | str) -> tuple[str, ...]:
    return tuple(map(anchored, (patterns,) if isinstance(patterns, str) else patterns))


def _union(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*_anchored(first), *second)))
