"""Child processes: they inherit the hook through the environment, and their main scripts are rewritten too.

A fork has the hook because memory is copied. Every other child is a new Python: ``site`` runs the one line
that MinPy's wheel puts beside its packages, which imports `minpy.startup` if ``MINPY_ACTIVE`` is set. The
main module does not come through ``sys.meta_path``, so two doors are watched: ``runpy.run_path``, by which
``multiprocessing`` loads the parent's script, and ``sys.path_hooks``, which Python asks whether the script it
was given is a package.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import fields
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType
from typing import Any

from minpy.errors import RewriteError
from minpy.options import ACTIVE, Options, to_environ
from minpy.transform.cache import MAGIC_NUMBER

_open = open  # the program, or a test, may put something else in its place

_VARIABLES = (ACTIVE, *("MINPY_" + field.name.upper() for field in fields(Options)))

# The variables as they were before the hook; None while it is not installed.
_before: dict[str, str | None] | None = None

_plain_get_code: Callable[..., Any] | None = None


def environment(options: Options) -> dict[str, str]:
    """The variables that make a child process install the hook with `options`."""
    return {ACTIVE: "1", **to_environ(options)}


def export(options: Options | None) -> None:
    """Let the children of this process run with `options`; None restores the environment as it was."""
    global _before
    if options is None:
        wanted: dict[str, str | None] = _before or {}
        _before = None
    else:
        if _before is None:
            _before = {name: os.environ.get(name) for name in _VARIABLES}
        ours = environment(options)
        wanted = {name: ours.get(name) for name in _VARIABLES}
    for name, value in wanted.items():
        if value is not None:
            os.environ[name] = value
        else:
            os.environ.pop(name, None)


def patch_run_path(runpy: ModuleType, code_of: Callable[[str, bytes], CodeType | None]) -> None:
    """Let ``runpy.run_path`` take the code of source files from `code_of`, where that gives any."""
    global _plain_get_code
    if _plain_get_code is not None or not hasattr(runpy, "_get_code_from_file"):
        return
    plain = _plain_get_code = runpy._get_code_from_file

    def _get_code_from_file(*args: Any) -> Any:
        # Python 3.10 and 3.11: (run_name, path) gives (code, path); later: (path) gives code.
        path = os.fsdecode(args[-1])
        source = _regular_source(path)
        code = None if source is None else code_of(path, source)
        if code is None:
            return plain(*args)
        return (code, args[-1]) if len(args) > 1 else code

    runpy._get_code_from_file = _get_code_from_file


def unpatch_run_path() -> None:
    """Give ``runpy.run_path`` its own way back."""
    global _plain_get_code
    if _plain_get_code is not None:
        sys.modules["runpy"]._get_code_from_file = _plain_get_code
        _plain_get_code = None


def _regular_source(path: str) -> bytes | None:
    """The content of a source file; None for what is none, or can be read only once (a pipe)."""
    if not os.path.isfile(path):
        return None
    try:
        with _open(path, "rb") as file:
            source = file.read()
    except OSError:
        return None
    return None if source.startswith(MAGIC_NUMBER) else source


class _MainScript:
    """Python's main script, taken for a package so that the runner can run it.

    Python asks ``sys.path_hooks`` whether the script is a folder or an archive with a ``__main__``. Saying
    yes makes it run the module ``__main__`` that we find there: a line that hands over to the runner, which
    puts everything back to what a script sees. A script in which nothing is rewritten stays with Python.
    """

    def __init__(self, options: Options) -> None:
        self.path = sys.argv[0]
        self.full = os.path.join(os.getcwd(), self.path)  # as Python asks, and as the runner names the code
        self.options = options

    def hook(self, path: str) -> _MainScript:
        """Accept the main script, once."""
        if path not in (self.path, self.full) or not self._is_ours():
            raise ImportError("not the main script")
        return self

    def _is_ours(self) -> bool:
        sys.path_hooks.remove(self.hook)
        source = _regular_source(self.path)
        if source is None:
            return False
        from dataclasses import replace

        from minpy.transform import build
        from minpy.transform.filters import Filter

        if Filter(self.options.include, self.options.exclude).why_not("__main__", self.path):
            return False
        try:
            # Under the name by which the runner will look for it in the cache; it will report then.
            entry = build.entry_for(source, self.full, replace(self.options, verbose=0), "__main__")
        except (SyntaxError, ValueError):
            return False  # Python says it in its own words
        except RewriteError:
            return True  # strict: the runner says it
        if not entry.edits and self.options.verbose:
            build.say(f"left alone __main__: {entry.reason}")
        return entry.edits > 0

    def find_spec(self, fullname: str, target: ModuleType | None = None) -> ModuleSpec | None:
        """Stand for the package's ``__main__``."""
        return ModuleSpec(fullname, self, origin=self.full) if fullname == "__main__" else None

    def get_code(self, fullname: str) -> CodeType:
        """The line that hands over to the runner."""
        for path in (self.path, self.full):
            if path in sys.path_importer_cache:
                sys.path_importer_cache[path] = None  # what Python notes of a script
        global _main_script
        _main_script = self
        text = "from minpy.transform.children import run_main_script; run_main_script()"
        return compile(text, "<minpy>", "exec", dont_inherit=True)


_main_script: _MainScript | None = None


def watch_main_script(options: Options) -> None:
    """Have the script that this process was started with rewritten, if it was started with one."""
    if not sys.argv or sys.argv[0] in ("", "-", "-c", "-m") or sys.flags.inspect:
        return
    sys.path_hooks.append(_MainScript(options).hook)  # last: folders and archives have their own


def run_main_script() -> None:
    """Run the main script through the runner and leave with its exit status."""
    script = _main_script
    if script is None:
        raise RuntimeError("there is no main script to run; this is called by the hook only")
    if getattr(sys.flags, "safe_path", sys.flags.isolated):
        del sys.path[0]  # where Python put the script, as it does with a package
    from minpy import runner

    try:
        status = runner.run_script(script.path, sys.argv[1:], script.options)
    except runner.CannotRun as error:
        sys.stderr.write(f"minpy: error: {error}\n")
        status = 2
    sys.exit(status)
