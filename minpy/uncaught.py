"""An exception that the program did not catch, printed as the interpreter prints it, without our frames."""

from __future__ import annotations

import os
import sys
from types import CodeType, TracebackType
from typing import Any

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep

# Code of MinPy's own that goes by another file name.
OURS: set[CodeType] = set()

# -vv: someone who looks for an error in MinPy wants its frames.
keep_ours = False

_GONE = object()
_default_excepthook = sys.__excepthook__


def report(error: BaseException) -> int:
    """Print an uncaught exception through ``sys.excepthook``, as the interpreter does; return the status."""
    if not keep_ours:
        peel(error)
    hook = getattr(sys, "excepthook", _GONE)
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, error.__traceback__
    if sys.version_info >= (3, 12):
        sys.last_exc = error
    second = None
    try:
        if hook is _GONE:
            sys.stderr.write("sys.excepthook is missing\n")
            _default_excepthook(type(error), error, error.__traceback__)
        else:
            hook(type(error), error, error.__traceback__)
    except SystemExit:
        raise
    except BaseException as caught:
        second = caught
    if second is not None:
        if not keep_ours:
            peel(second)
        sys.stderr.write("Error in sys.excepthook:\n")
        _default_excepthook(type(second), second, second.__traceback__)
        sys.stderr.write("\nOriginal exception was:\n")
        _default_excepthook(type(error), error, error.__traceback__)
    if isinstance(error, KeyboardInterrupt):
        # The interpreter must see it: after its work at exit it ends the process by the signal itself, so
        # that a shell or `make` knows that the user pressed Ctrl-C (status 130).
        sys.excepthook = _AlreadyPrinted(hook, error, error.__traceback__)
        raise error
    return 1


class _AlreadyPrinted:
    """An excepthook for an exception that is only raised again for the interpreter's sake."""

    def __init__(self, hook: Any, error: BaseException, traceback: TracebackType | None) -> None:
        self.hook, self.error, self.traceback = hook, error, traceback

    def __call__(self, kind: Any, error: BaseException, traceback: TracebackType | None) -> None:
        if self.hook is _GONE:
            del sys.excepthook
        else:
            sys.excepthook = self.hook
        if error is not self.error:
            sys.excepthook(kind, error, traceback)
            return
        error.__traceback__ = sys.last_traceback = self.traceback


def peel(error: BaseException) -> None:
    """Remove MinPy's own frames from the traceback of `error` and of every exception it carries."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        current = waiting.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        current.__traceback__ = _without_ours(current.__traceback__)
        waiting += [current.__cause__, current.__context__]
        # An ExceptionGroup; by attribute, because Python 3.10 has only the back-port's.
        members = getattr(current, "exceptions", None)
        if isinstance(members, tuple):
            waiting += [member for member in members if isinstance(member, BaseException)]


def _without_ours(traceback: TracebackType | None) -> TracebackType | None:
    entries = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if not (code in OURS or code.co_filename.startswith(_HERE)):
            entries.append(traceback)
        traceback = traceback.tb_next
    first = None
    for entry in reversed(entries):
        entry.tb_next = first
        first = entry
    return first
