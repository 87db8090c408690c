"""Which modules are rewritten: the user's own by default, more or fewer by pattern."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

# Never rewritten, whatever the patterns say: what rewritten code and the rewriter themselves stand on.
NEVER = frozenset({"minpy", "numpy", "libcst", "mxnet", "builtins", "sys"})

_library: tuple[str, ...] = ()


def library_folders() -> tuple[str, ...]:
    """The folders of the standard library and of installed packages, each ending in a separator."""
    global _library
    if not _library:
        import site  # already loaded, unless Python was started with -S; sysconfig would take milliseconds

        version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        folders = [
            os.path.dirname(os.__file__),
            os.path.join(sys.base_exec_prefix, getattr(sys, "platlibdir", "lib"), version),
            *site.getsitepackages(),
        ]
        # site.getusersitepackages() would import sysconfig where the user's folder is switched off.
        if getattr(site, "USER_SITE", None):
            folders.append(site.USER_SITE)
        found = {form for folder in folders for form in (os.path.abspath(folder), os.path.realpath(folder))}
        _library = tuple(sorted(os.path.normcase(folder).rstrip(os.sep) + os.sep for folder in found))
    return _library


def is_path_pattern(pattern: str) -> bool:
    """Whether `pattern` means files: it contains a path separator or ends in ``.py``."""
    return os.sep in pattern or "/" in pattern or pattern.endswith(".py")


def anchored(pattern: str) -> str:
    """The same pattern for a process that is in another folder: paths made absolute."""
    return os.path.abspath(os.path.expanduser(pattern)) if is_path_pattern(pattern) else pattern


class Filter:
    """Says of a module whether it is to be rewritten, and if not, why.

    By default the user's own code is: every module outside the standard library and the folders of installed
    packages. `include` adds to that set, `exclude` takes away from it and wins over `include`. A pattern is a
    package name (``"pkg"`` is the package and everything in it; ``"pkg.*"``, ``"*.kernels"`` are matched as a
    whole) or a path, if it contains a separator or ends in ``.py`` (a file, a folder and everything in it, or
    a pattern such as ``"src/*_old.py"``; relative ones start from the current folder).

    Parameters
    ----------
    include, exclude : iterable of str
        The patterns.
    """

    def __init__(self, include: Iterable[str] = (), exclude: Iterable[str] = ()) -> None:
        self.include = tuple(include)
        self.exclude = tuple(exclude)
        self._include = _Patterns(self.include)
        self._exclude = _Patterns(self.exclude)

    def skips_name(self, name: str) -> bool:
        """Whether a module of this name is left alone wherever it is (cheap: asked before it is found)."""
        return name.partition(".")[0] in NEVER or self._exclude.match_name(name) is not None

    def includes(self, name: str, path: str) -> bool:
        """Whether a pattern of `include` asks for this module."""
        return self._include.match(name, path) is not None

    def why_not(self, name: str, path: str) -> str:
        """Why the module `name` in the file `path` is left alone; empty if it is to be rewritten."""
        if name.partition(".")[0] in NEVER:
            return f"{name.partition('.')[0]} is what rewritten code stands on"
        pattern = self._exclude.match(name, path)
        if pattern is not None:
            return f"excluded by {pattern!r}"
        if self._include.match(name, path) is not None or name == "__main__":
            return ""  # a script that is started by name is the user's program, wherever it lies
        full = os.path.normcase(path)
        if ".." in full or not full.startswith(library_folders()):  # most do, so this comes first
            full = os.path.normcase(os.path.abspath(path))
            if not full.startswith(library_folders()) and not _in_packages(full):
                return ""
        return "not user code (standard library or installed package)"


def _matches(text: str, pattern: str) -> bool:
    if not any(sign in pattern for sign in "*?["):
        return text == pattern
    return sys.modules["fnmatch"].fnmatchcase(text, pattern)


def _in_packages(path: str) -> bool:
    parts = path.split(os.sep)
    return "site-packages" in parts or "dist-packages" in parts


class _Patterns:
    def __init__(self, patterns: tuple[str, ...]) -> None:
        if patterns:
            # Now: an import while the hook asks a filter would ask the filter again. And only now, because it
            # brings the module re along, which a child process that computes nothing can do without.
            import fnmatch  # noqa: F401
        self._names = [pattern for pattern in patterns if not is_path_pattern(pattern)]
        self._paths = []
        for pattern in patterns:
            if is_path_pattern(pattern):
                full = anchored(pattern)
                # The same file may be met under the name of a link, or under the name it leads to.
                self._paths += [(pattern, os.path.normcase(form)) for form in {full, os.path.realpath(full)}]

    def match_name(self, name: str) -> str | None:
        for pattern in self._names:
            if name.startswith(pattern + ".") or _matches(name, pattern):
                return pattern
        return None

    def match(self, name: str, path: str) -> str | None:
        found = self.match_name(name)
        if found is not None or not self._paths:
            return found
        full = os.path.abspath(path)
        for form in {os.path.normcase(full), os.path.normcase(os.path.realpath(full))}:
            for pattern, wanted in self._paths:
                if form.startswith(wanted.rstrip(os.sep) + os.sep) or _matches(form, wanted):
                    return pattern
                if _matches(form, os.path.join(wanted, "*")):
                    return pattern
        return None
