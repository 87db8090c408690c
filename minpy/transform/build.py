"""From a module's source to the code that runs: from the cache, else rewritten, else unmodified."""

from __future__ import annotations

import sys
import threading
import time
import warnings
from dataclasses import replace
from types import CodeType
from typing import TYPE_CHECKING

from minpy import collector, handlers
from minpy.errors import RewriteError, RewriteWarning
from minpy.options import Options
from minpy.transform import cache, products

if TYPE_CHECKING:
    from minpy.transform.names import Given

DOOR = "__minpy__"  # the name, in the built-ins, that rewritten code goes through


class Work:
    """What preparing modules took in this process so far.

    Attributes
    ----------
    seconds : float
        That the program waited for, the import of NumPy that went on meanwhile (see `ahead`) not counted.
    processor : float
        The processor's seconds of that: less, where others use the machine.
    rewritten, cached : int
        How many modules were analysed, and how many came from the cache.
    elsewhere : bool
        Whether another process did some of it.
    meanwhile : float
        The seconds in which NumPy was imported here while that process worked.
    """

    def __init__(self) -> None:
        self.seconds = self.processor = 0.0
        self.rewritten = self.cached = 0
        self.elsewhere = False
        self.meanwhile = 0.0


work = Work()


class _Thread(threading.local):
    rewriting = 0


_thread = _Thread()


class quiet_imports:
    """What this thread imports inside the block is left alone by the hook."""

    def __enter__(self) -> None:
        _thread.rewriting += 1

    def __exit__(self, *exc_info: object) -> None:
        _thread.rewriting -= 1


def is_rewriting() -> bool:
    """Whether this thread is inside the rewriter: what it imports there must not be rewritten."""
    return _thread.rewriting > 0


def say(text: str) -> None:
    """Write one line about the run to standard error, if there still is one."""
    try:
        sys.stderr.write(f"minpy: {text}\n")
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        pass  # closed, or None under pythonw: a remark is not worth an exception


def with_operators(options: Options, wanted: bool) -> Options:
    """The same options, with operators on plain arrays routed, or not."""
    if wanted:
        return replace(options, policy="prefer_mxnet")
    return replace(options, policy="auto", context="cpu", profile="off")


def code_for(source: bytes, path: str, options: Options, name: str, *, first: bool = False) -> CodeType:
    """The code of the module `name`: rewritten, or as it stands if it cannot be.

    Parameters
    ----------
    source : bytes
        The content of the file.
    path : str
        The file's name, which the code carries (as given: relative names stay relative).
    options : Options
        The options of the run.
    name : str
        The module's name, for messages.
    first : bool
        Nothing of the program has run yet: another process may do the work (see `ahead`).

    Raises
    ------
    SyntaxError
        What ``compile`` raises for this source.
    RewriteError
        Under ``options.strict``, if the module cannot be rewritten.

    Warns
    -----
    RewriteWarning
        If the module cannot be rewritten; it carries the module's file and line.
    """
    return entry_for(source, path, options, name, first=first).code


def entry_for(source: bytes, path: str, options: Options, name: str, *, first: bool = False) -> cache.Entry:
    """`code_for`, with what is known about the rewriting."""
    started = time.perf_counter()
    entry, note = find_or_build(source, path, options, first=first)
    if entry.failed:
        if options.strict:
            raise RewriteError(f"{path}:{entry.line}: {entry.reason}")
        # On a cache hit too: a warning given only once per edit of the file would be missed.
        message = f"{name} runs unmodified: {entry.reason}"
        warnings.warn_explicit(message, RewriteWarning, path, entry.line, name)
    seconds = time.perf_counter() - started
    work.seconds += seconds
    if note == "from cache":
        work.cached += 1
    else:
        work.rewritten += 1
    if options.verbose:
        _report(entry, name, note, seconds)
    return entry


def find_or_build(
    source: bytes | str,
    path: str,
    options: Options,
    flags: int = 0,
    first: bool = False,
    given: Given | None = None,
) -> tuple[cache.Entry, str]:
    """The entry of a module, from the cache if it may be there, and a remark on the cache.

    A module that cannot be rewritten has an entry too, marked as failed. The cache knows modules by the bytes
    of their file alone, so text, and code under compiler flags from elsewhere or with names that are `given` (see
    `minpy.transform.names.Given`), are built afresh.
    """
    products.look(source)
    collector.look(source)
    if not isinstance(source, bytes) or flags:
        return _build(source, path, options, flags, given)[0], ""
    entry = cache.load(source, path, options)
    if entry is not None:
        if first and entry.begins_with_numpy:
            from minpy.transform import ahead

            meanwhile = ahead.import_numpy()
            work.meanwhile += meanwhile
            work.seconds -= meanwhile
        return entry, "from cache"
    if first and cache.may_keep(path, options):
        from minpy.transform import ahead

        done = ahead.rewrite(source, path, options)
        if done is not None:
            meanwhile, taken = done
            work.elsewhere = True
            work.meanwhile += meanwhile
            work.seconds -= meanwhile
            work.processor += taken
            entry = cache.load(source, path, options)
            if entry is not None:
                return entry, ""
    began = time.thread_time()
    entry, lasting = _build(source, path, options, flags)
    work.processor += time.thread_time() - began
    if first:
        from minpy.transform import ahead

        entry.begins_with_numpy = ahead.begins_with_numpy(source)
    trouble = cache.store(source, path, options, entry) if lasting else ""
    return entry, f"not cached: {trouble}" if trouble else ""


def _build(
    source: bytes | str, path: str, options: Options, flags: int, given: Given | None = None
) -> tuple[cache.Entry, bool]:
    """Compile afresh; the second value says whether the outcome is worth keeping."""
    try:
        return rewrite(source, path, options, flags, given), True
    except RewriteError as error:
        # Without what the place of the warning says already.
        reason, line, lasting = str(error).removesuffix(f" [{error.code}]"), error.line or 1, True
        reason = reason.removeprefix(f"{path}, line {line}: ")
    except SyntaxError:
        reason, line, lasting = "the rewritten text is not valid", 1, False
    except Exception as error:
        if handlers.raised(error):
            raise
        # A broken libcst, too little stack, a bug of ours: the program must run all the same.
        reason, line, lasting = f"{type(error).__name__} in the rewriter: {error}", 1, False
    # Outside the handlers, so that what Python says of a bad source carries no context of ours.
    code = compile(source, path, "exec", flags, dont_inherit=True)
    return cache.Entry(code, 0, reason, True, line), lasting


def rewrite(
    source: bytes | str, path: str, options: Options, flags: int = 0, given: Given | None = None
) -> cache.Entry:
    """Compile a module afresh, rewritten; `flags` as for ``compile``.

    Raises
    ------
    SyntaxError, RewriteError
        As `minpy.transform.rewriter.compile_source` does.
    """
    with quiet_imports():
        from minpy.transform import rewriter

        code, edits, reason = rewriter.compile_with_report(
            source, path, options, flags=flags, given=given or {}
        )
    return cache.Entry(code, edits, "" if edits else reason or "nothing to rewrite")


def _report(entry: cache.Entry, name: str, note: str, seconds: float) -> None:
    if not entry.edits:
        text = f"left alone {name}: {entry.reason}"
    elif note == "from cache":
        text = f"{name} from cache ({_edits(entry.edits)})"
    else:
        text = f"rewrote {name} ({_edits(entry.edits)}) in {seconds * 1000:.0f} ms"
    say(f"{text} ({note})" if note.startswith("not cached") else text)


def _edits(count: int) -> str:
    return f"{count} edit" if count == 1 else f"{count} edits"
