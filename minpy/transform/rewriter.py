"""The rewriter: from a module's source to its plan, its text, its tree and its code.

Importing this module imports neither libcst nor NumPy; libcst is imported when a module's text says
``numpy``, or imports ``math`` or ``scipy``.
"""

from __future__ import annotations

import _thread
import ast
import io
import re
import sys
import tokenize
import types
from collections.abc import Callable
from typing import TypeVar

from minpy.errors import RewriteError
from minpy.options import Options
from minpy.places import ALERT, TAPING
from minpy.quiet import quiet
from minpy.transform.names import NOTHING, Given
from minpy.transform.plan import Plan

DOOR = "__minpy__"

_Result = TypeVar("_Result")

_MARKER = re.compile(r"#\s*minpy:\s*off\b")
_DOCSTRING_MARKER = "MINPY_DONT_REWRITE"
_NO_NUMPY = "the module does not mention numpy"
# What a module without numpy must say to be looked at: it imports `math` or SciPy.
_OTHERS = re.compile(r"import\b[^\n\r#]*\b(?:math|scipy)\b|\bfrom[ \t\f]+(?:math|scipy)\b")
_OTHERS_BYTES = re.compile(_OTHERS.pattern.encode())

# libcst's parser and the walk recurse. A text that could be nested deeper than an ordinary stack allows (one
# level takes three characters or more) is handled on a stack of its own.
_SMALL = 6_000
_STACK = 512 * 1024 * 1024
_DEPTH = 200_000


def plan(
    source: str, options: Options, door: str = DOOR, filename: str = "<string>", given: Given = NOTHING
) -> Plan:
    """Analyse a module and return the edits that route its array work.

    Parameters
    ----------
    source : str
        The decoded text; a byte order mark is not part of it.
    options : Options
        `operators` is what matters here.
    door : str
        ``"__minpy__"`` for the import hook, which puts that name into the built-ins. Any other name is
        imported by the rewritten text itself, as ``from minpy import routed``.
    filename : str
        For messages.
    given : mapping of str to str or None
        Names that are bound before the text runs (see `minpy.transform.names.Given`).

    Raises
    ------
    SyntaxError
        As `compile` raises it.
    RewriteError
        Python accepts the text and libcst does not.
    """
    return _plan(source, options, door, filename, source, given)


def _plan(
    source: str, options: Options, door: str, filename: str, original: bytes | str, given: Given
) -> Plan:
    """Plan the edits of `source`, the text of `original`; Python's own errors are about the latter."""
    if not _is_of_use(source, given):
        return Plan(source, door=door, reason=_NO_NUMPY)
    used = re.search(rf"\b(?:{DOOR}|{TAPING}|{ALERT})\b", source) if door == DOOR else None
    if used:
        return Plan(source, door=door, reason=f"the module uses the name {used[0]} itself")
    if "minpy:" in source or _DOCSTRING_MARKER in source:
        reason = _opted_out(source)
        if reason:
            return Plan(source, door=door, reason=reason)
    import libcst

    from minpy.transform import analysis

    def analyse() -> Plan:
        # A file that says what it runs through stays readable: only under the hook do loops and blocks get their sites.
        loops, blocks = (
            door == DOOR and options.loops,
            options.fuse if door == DOOR and options.blocks else "off",
        )
        return analysis.make_plan(
            source,
            operators=options.operators,
            door=door,
            loops=loops,
            blocks=blocks,
            given=given,
            numbers=options.nan_check != "off",
            spares=door == DOOR and options.spares,
        )

    try:
        return _with_deep_stack(analyse) if len(source) > _SMALL else _retry_deeper(analyse)
    except libcst.ParserSyntaxError as error:
        _raise_syntax_error(original, filename)
        message = f"libcst cannot parse this line, Python can: {error.message}"
        raise _cannot(filename, error.raw_line, message) from error
    except (
        RecursionError,
        UnicodeError,
        ValueError,
        TypeError,
        AttributeError,
        KeyError,
        IndexError,
    ) as error:
        _raise_syntax_error(original, filename)
        raise _cannot(filename, 1, f"the module cannot be analysed: {error!r}") from error


def compile_source(
    source: bytes | str,
    filename: str,
    options: Options,
    *,
    mode: str = "exec",
    flags: int = 0,
    dont_inherit: bool = True,
    optimize: int = -1,
) -> types.CodeType:
    """Compile a module's rewritten source; positions are those of the original.

    The parameters after `options` are those of `compile`. Where nothing is routed the result is `compile`'s.

    Raises
    ------
    SyntaxError
        The error that ``compile(source, filename, mode)`` raises.
    RewriteError
        The module cannot be rewritten, though Python can compile it; `line` says where.
    """
    how = (mode, flags, dont_inherit, optimize)
    return _compile(source, filename, options, how)[0]


def compile_with_report(
    source: bytes | str,
    filename: str,
    options: Options,
    *,
    mode: str = "exec",
    flags: int = 0,
    given: Given = NOTHING,
) -> tuple[types.CodeType, int, str]:
    """Compile as `compile_source` does; return the code, the number of edits and, if there are none, why."""
    return _compile(source, filename, options, (mode, flags, True, -1), given)


def mapped_tree(
    source: bytes | str,
    filename: str,
    options: Options,
    *,
    mode: str = "exec",
    flags: int = 0,
    given: Given = NOTHING,
) -> ast.AST:
    """Return the rewritten module's tree with the original's positions; errors as for `compile_source`."""
    return _tree(source, filename, options, (mode, flags, True, -1), given)


_How = tuple[str, int, bool, int]  # the parameters of compile() after the file name


def _compile(
    source: bytes | str, filename: str, options: Options, how: _How, given: Given = NOTHING
) -> tuple[types.CodeType, int, str]:
    done = _plan_of(source, filename, options, given)
    if done.is_empty:
        return compile(source, filename, *how), 0, done.reason

    def work() -> types.CodeType:
        return compile(_parse(done, filename, how), filename, *how)

    return _rewritten(work, source, filename, how), len(done.edits), ""


def _tree(source: bytes | str, filename: str, options: Options, how: _How, given: Given) -> ast.AST:
    done = _plan_of(source, filename, options, given)
    if done.is_empty:
        mode, flags, *rest = how
        return compile(source, filename, mode, flags | ast.PyCF_ONLY_AST, *rest)
    return _rewritten(lambda: _parse(done, filename, how), source, filename, how)


def _parse(done: Plan, filename: str, how: _How) -> ast.AST:
    from minpy.transform.positions import restore

    mode, flags, *rest = how
    return restore(compile(done.apply(), filename, mode, flags | ast.PyCF_ONLY_AST, *rest), done)


def _rewritten(work: Callable[[], _Result], source: bytes | str, filename: str, how: _How) -> _Result:
    """Do the work on a rewritten text; its errors are Python's for the original, or a `RewriteError`."""
    try:
        return _retry_deeper(work)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        _raise_syntax_error(source, filename, *how)
        line = getattr(error, "lineno", None) or 1
        raise _cannot(filename, line, f"the rewritten module does not compile: {error}") from error


def _is_of_use(source: bytes | str, given: Given) -> bool:
    """Whether array work may be found in a text."""
    if any(path is not None for path in given.values()):
        return True
    if isinstance(source, bytes):
        return b"numpy" in source or _OTHERS_BYTES.search(source) is not None
    return "numpy" in source or _OTHERS.search(source) is not None


def _plan_of(source: bytes | str, filename: str, options: Options, given: Given) -> Plan:
    if not _is_of_use(source, given):
        return Plan("", reason=_NO_NUMPY)
    try:
        text = decode(source)
    except (SyntaxError, UnicodeError, LookupError):
        return Plan("", reason="the text cannot be decoded")  # compile() says what is wrong
    return _plan(text, options, DOOR, filename, source, given)


def _cannot(filename: str, line: int, message: str) -> RewriteError:
    error = RewriteError(f"{filename}, line {line}: {message}")
    error.line = line
    return error


def decode(source: bytes | str) -> str:
    """Return a module's text: byte order mark removed, PEP 263 cookie honoured, line ends as they are."""
    if isinstance(source, str):
        return source
    # detect_encoding reads lines that end in "\n" only; Python also ends them at "\r".
    head = b"\n".join(re.split(rb"\r\n|\r|\n", source[:4096], maxsplit=2)[:2]) + b"\n"
    encoding, _ = tokenize.detect_encoding(io.BytesIO(head).readline)
    return source.decode(encoding)


def _raise_syntax_error(
    source: bytes | str,
    filename: str,
    mode: str = "exec",
    flags: int = 0,
    dont_inherit: bool = True,
    optimize: int = -1,
) -> None:
    """Raise what `compile` raises for the original; return if it raises nothing."""
    try:
        with quiet():  # they were shown when the rewritten text was parsed
            compile(source, filename, mode, flags, dont_inherit, optimize)
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
        raise


def _opted_out(source: str) -> str:
    """Why the module's head says it must stay as it is, or ""."""
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                if _MARKER.match(token.string):
                    return "the comment '# minpy: off' switches rewriting off"
            elif token.type == tokenize.STRING:
                if _DOCSTRING_MARKER in token.string:
                    return f"the docstring says {_DOCSTRING_MARKER}"
            elif token.type not in (tokenize.NL, tokenize.NEWLINE, tokenize.ENCODING):
                return ""
    except (tokenize.TokenError, SyntaxError):
        pass
    return ""


def _retry_deeper(work: Callable[[], _Result]) -> _Result:
    try:
        return work()
    except RecursionError:
        return _with_deep_stack(work)


def _with_deep_stack(work: Callable[[], _Result]) -> _Result:
    """Run `work` in a thread with a large stack and a recursion limit to match."""
    outcome: list[_Result] = []
    failure: list[BaseException] = []
    finished = _thread.allocate_lock()
    finished.acquire()
    limit = sys.getrecursionlimit()

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:
            failure.append(error)
        finally:
            finished.release()

    try:
        size = _thread.stack_size(_STACK)
    except (ValueError, RuntimeError):
        return work()
    try:
        _thread.start_new_thread(run, ())
    except RuntimeError:  # no thread to be had: memory limits, or the interpreter is closing down
        return work()
    finally:
        _thread.stack_size(size)
    sys.setrecursionlimit(max(limit, _DEPTH))
    try:
        finished.acquire()
    finally:
        sys.setrecursionlimit(limit)
    if failure:
        raise failure[0]
    return outcome[0]
