"""Rules: which calls go to NumPy whatever a policy prefers, and the file that keeps them."""

from __future__ import annotations

import atexit
import json
import os
import threading
import weakref
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from minpy.errors import UsageError

FILE = ".minpy_rules.conf"


class RuleError(UsageError):
    """A file of rules that cannot be read or written, or is none."""


def signature(args: tuple, kwargs: dict) -> str:
    """The kinds of the arguments, as blacklist rules name them: ``array_dim2:float32, int; axis``."""

    def kind(value: Any) -> str:
        if isinstance(value, np.ndarray):
            return f"array_dim{value.ndim}:{value.dtype}"
        if isinstance(value, (list, tuple)):
            return f"{type(value).__name__}({', '.join(sorted({kind(v) for v in value}))})"
        return type(value).__name__

    positional = ", ".join(kind(a) for a in args)
    return f"{positional}; {', '.join(sorted(kwargs))}" if kwargs else positional


class Rules:
    """Rules by the name of an operation, with a file.

    Parameters
    ----------
    loc : path, optional
        The file (JSON), or the folder in which it is called ``.minpy_rules.conf``. Without it, it is
        looked for where the environment variable ``MINPY_CONF`` says, in the current folder and in the home folder.
    save_config_atexit : bool
        Write the file when the process ends.

    Attributes
    ----------
    rules : dict of str to set of str
        The name of an operation -> the arguments (see `signature`) that a rule is about; ``"*"`` stands for all.
    loc : str or None
        The file; None if none was given or found.
    """

    name = "rules"

    def __init__(self, loc: str | os.PathLike | None = None, save_config_atexit: bool = False) -> None:
        self.rules: dict[str, set[str]] = {}
        self.loc = _place(loc)
        self._loaded = False
        self._lock = threading.Lock()
        if save_config_atexit:
            this = weakref.ref(self)
            atexit.register(lambda: (found := this()) is not None and found.save_rules_config())

    def set_rules(self, rules: Mapping[str, Iterable[str]]) -> None:
        """Put these rules in the place of all."""
        self.rules = {str(name): {str(kind) for kind in kinds} for name, kinds in rules.items()}

    def reset_rules(self) -> None:
        """Drop all rules; the file stays."""
        self.rules = {}

    def load_rules_config(self, force: bool = False) -> None:
        """Read the file, once; again with `force`.

        Raises
        ------
        RuleError
            If it cannot be read or is not a file of rules; the present rules stay.
        """
        if self._loaded and not force:
            return
        if self.loc is None:
            raise RuleError("these rules have no file to be read from: give loc=")
        try:
            with open(self.loc, encoding="utf-8") as file:
                found = json.load(file)
            if not all(isinstance(kinds, list) for kinds in found.values()):
                raise TypeError("a rule is a list of argument kinds")
            self.set_rules(found)
        except OSError as error:
            raise RuleError(f"{self.loc} cannot be read: {error.strerror}") from None
        except (ValueError, AttributeError, TypeError) as error:
            raise RuleError(f"{self.loc} is not a file of rules: {error}") from None
        self._loaded = True

    def save_rules_config(self) -> None:
        """Write the file, whole or not at all.

        Raises
        ------
        RuleError
            If there is no place for it, or it cannot be written.
        """
        if self.loc is None:
            raise RuleError("these rules have no file to be written to: give loc=")
        from minpy.transform import cache

        text = json.dumps({name: sorted(kinds) for name, kinds in sorted(self.rules.items())}, indent=1)
        where = os.path.abspath(self.loc)
        try:
            os.stat(os.path.dirname(where))  # its folder is the program's to make
            cache.write_atomically(where, text.encode())
        except OSError as error:
            raise RuleError(f"{self.loc} cannot be written: {error.strerror}") from None

    def allow(self, name: str, nspace: Any, impl_type: int, args: tuple, kwargs: dict) -> bool:
        """Whether an implementation may be used for these arguments."""
        raise NotImplementedError

    def add(self, name: str, nspace: Any, impl_type: int, args: tuple, kwargs: dict) -> None:
        """Make a rule about these arguments."""
        raise NotImplementedError


class Blacklist(Rules):
    """Calls that MXNet must not get."""

    name = "blacklist"

    def allow(self, name: str, nspace: Any, impl_type: int, args: tuple, kwargs: dict) -> bool:
        """Whether an implementation (``ArrayType``) may be used for these arguments; NumPy's always may."""
        return not impl_type or not self.has(full_name(nspace, name), args, kwargs)

    def add(self, name: str, nspace: Any, impl_type: int, args: tuple, kwargs: dict) -> None:
        """Blacklist a function of the namespace `nspace` for the kinds of these arguments."""
        if not impl_type:
            raise RuleError("NumPy cannot be blacklisted: it runs what nothing else does")
        self.put(full_name(nspace, name), args, kwargs)

    def has(self, name: str, args: tuple, kwargs: dict) -> bool:
        """Whether the primitive `name` is blacklisted for these arguments."""
        kinds = self.rules.get(name)
        return bool(kinds) and ("*" in kinds or signature(args, kwargs) in kinds)  # type: ignore[operator]

    def put(self, name: str, args: tuple, kwargs: dict) -> None:
        """Blacklist the primitive `name` for the kinds of these arguments."""
        with self._lock:
            self.rules.setdefault(name, set()).add(signature(args, kwargs))

    def query(self, nspace: Any, name: str | None = None) -> list[str]:
        """The argument kinds for which a function is blacklisted.

        ``query(np.random, "normal")`` also prints them; ``query("random.normal")`` does not.
        """
        if name is None:
            return sorted(self.rules.get(nspace, ()))
        full = full_name(nspace, name)
        found = sorted(self.rules.get(full, ()))
        print(f"{full} is blacklisted for:" if found else f"{full} is not blacklisted")
        for kinds in found:
            print(f"  {'all arguments' if kinds == '*' else kinds}")
        return found


def full_name(nspace: Any, name: str) -> str:
    """The name of a primitive: ``random.normal`` for ``normal`` of the module ``numpy.random``."""
    module = nspace if isinstance(nspace, str) else getattr(nspace, "__name__", "")
    for root in ("minpy.numpy", "numpy"):
        if module == root or module.startswith(f"{root}."):
            module = module[len(root) + 1 :]
    return f"{module}.{name}" if module else name


def _place(loc: str | os.PathLike | None) -> str | None:
    if loc is not None:
        path = os.fspath(loc)
        return os.path.join(path, FILE) if os.path.isdir(path) else path
    if os.environ.get("MINPY_CONF"):
        return _place(os.environ["MINPY_CONF"])
    for folder in (os.curdir, os.path.expanduser("~")):
        path = os.path.join(folder, FILE)
        if os.path.isfile(path):
            return os.path.abspath(path)
    return None
