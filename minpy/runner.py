"""Runs a program as ``python`` would: its module, its ``sys``, its traceback and its exit status.

Python runs a main program in C. Here it is run from Python, so that its code can be the rewritten code; all
else that a program can look at is put back to what ``python`` shows. What cannot be: the frames below the
main module (``inspect.stack()``), ``sys.orig_argv``, the ``MINPY_*`` variables in ``os.environ``, the modules
that are loaded already, and a recursion limit that is larger by the number of those frames, so that the
program may recurse as deep as before.
"""

from __future__ import annotations

import builtins
import os
import sys
import time
from dataclasses import replace
from types import CodeType, ModuleType, TracebackType
from typing import Any

from minpy import collector, uncaught
from minpy.errors import RewriteError
from minpy.options import ACTIVE, Options

# For a warning whose stacklevel points below the main module, Python names no file but `sys`. Frames of that
# name below the program make `warnings` say the same.
_NOWHERE, _NO_LINE = ("<sys>", 0) if sys.version_info >= (3, 13) else ("sys", 1)
_names: dict[str, Any] = {"__name__": "sys"}
_below = _names["below"] = eval(
    compile(
        "lambda code, names, depth: below(code, names, depth - 1) if depth else exec(code, names)",
        _NOWHERE,
        "eval",
    ),
    _names,
)
_below.__code__ = _below.__code__.replace(co_firstlineno=_NO_LINE)
uncaught.OURS.add(_below.__code__)
_BELOW_DEPTH = 2  # that many frames more than the first

# What the libraries below NumPy, MXNet and Numba read when they are loaded.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
)


class CannotRun(Exception):
    """The program cannot be started: a message for one line on stderr."""


# --- What is started, one function for each way of starting


def run_script(path: str, args: list[str], options: Options) -> int:
    """Run the file, folder or zip archive `path` as ``python path args…`` does; return the exit status."""
    filename = os.path.join(os.getcwd(), path)
    if path in ("", ".") and sys.version_info >= (3, 11):
        filename = os.getcwd()  # 3.10 leaves the ends there
    if _importer(filename) is not None:
        sys.argv = [path, *args]
        _set_path0(filename, always=True)
        return _run_as_main("__main__", alter_argv=False, options=options)
    try:
        with open(path, "rb") as file:
            regular = os.path.isfile(path)
            source = file.read()
    except OSError as error:
        raise CannotRun(f"can't open file {filename!r}: [Errno {error.errno}] {error.strerror}") from None
    sys.argv = [path, *args]
    _set_path0(_folder(path))

    from importlib.machinery import SourceFileLoader, SourcelessFileLoader
    from importlib.util import MAGIC_NUMBER

    compiled = path.endswith(".pyc") or source[:2] == MAGIC_NUMBER[:2]
    loader = (SourcelessFileLoader if compiled else SourceFileLoader)("__main__", filename)
    main = _fresh_main(loader, filename)

    def code() -> CodeType:
        if compiled:
            return _bytecode(source)
        try:
            return _main_code(source, filename, options, cached=regular)
        except (SyntaxError, ValueError):
            if regular:
                _exec_python([path, *args])
            raise

    return _run(code, main, flush=True)


def run_stdin(argv0: str, args: list[str], options: Options) -> int:
    """Run the program that standard input holds, as ``python`` and ``python -`` do."""
    source = b""
    if sys.stdin is not None:
        # Not through sys.stdin, whose state is the program's.
        while chunk := os.read(0, 1 << 20):
            source += chunk
    sys.argv = [argv0, *args]
    _set_path0("")
    main = _fresh_main(_builtin_importer(), "<stdin>")
    return _run(lambda: _main_code(source, "<stdin>", options, cached=False), main, flush=True)


def run_command(text: str, args: list[str], options: Options) -> int:
    """Run the program text `text` as ``python -c text args…`` does."""
    sys.argv = ["-c", *args]
    _set_path0("")
    main = _fresh_main(_builtin_importer(), None)

    def code() -> CodeType:
        source = text + "\n"
        try:
            if any("coding" in line for line in source.split("\n", 2)[:2]):
                raise SyntaxError  # such a comment means nothing in -c, but would in bytes
            result = _main_code(source.encode(), "<string>", options, cached=False)
        except (SyntaxError, ValueError):
            result = compile(source, "<string>", "exec", dont_inherit=True)
        if sys.version_info >= (3, 13):
            import linecache

            # As 3.13 does itself: tracebacks show the lines of -c. 3.13.0 goes by name, later ones by code.
            key = result if hasattr(linecache, "_interactive_cache") else "<string>"
            linecache._register_code(key, source, "<string>")  # type: ignore[attr-defined]
        return result

    return _run(code, main, flush=False)


def run_module(name: str, args: list[str], options: Options) -> int:
    """Run the module or package `name` as ``python -m name args…`` does."""
    sys.argv = ["-m", *args]
    _set_path0(os.getcwd())
    return _run_as_main(name, alter_argv=True, options=options)


# --- The process before the program


_prepared: Options | None = None


def prepare(options: Options) -> None:
    """Make this process, and its children, one that runs programs with these options. Twice is once.

    Raises
    ------
    MinPyError
        When something asked for by name is not there: a device, a policy's back end.
    """
    global _prepared
    if _prepared == options:
        return
    if _prepared is not None:
        # `minpy run` with other options, in a child that inherited some: begin again, without those.
        os.environ.pop(ACTIVE, None)
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    if options.threads:
        # Read once, by each library, when it is loaded: numpy is not yet.
        for variable in THREAD_VARIABLES:
            os.environ[variable] = str(options.threads)

    if not options.plain:
        from minpy.runtime import setup

        setup.apply(options)
    if options.profile != "off" or options.verbose:
        import atexit

        from minpy.runtime import told

        if options.profile != "off":
            told.start()
        atexit.register(told.report, options)
    if options.nan_check != "off":
        import atexit

        from minpy.runtime import nancheck

        atexit.register(nancheck.report)

    uncaught.keep_ours = options.verbose > 1
    from minpy.transform import hook

    hook.install(options=options)
    _prepared = options


def _set_path0(entry: str, always: bool = False) -> None:
    """Replace the folder that Python put in front of sys.path for our own start by the program's."""
    safe = getattr(sys.flags, "safe_path", sys.flags.isolated)
    if always or not safe:
        sys.path[: 0 if safe else 1] = [entry]


def _folder(script: str) -> str:
    """The folder of the script that goes into sys.path, with links resolved as far as they lead anywhere."""
    try:
        script = os.path.join(os.path.dirname(script), os.readlink(script))
    except OSError:
        pass  # not a link
    try:
        script = os.path.realpath(script, strict=True)
    except OSError:
        pass  # such as /proc/self/fd/0, a pipe
    return os.path.dirname(script)


def _importer(path: str) -> Any:
    """The importer of a folder or archive that can hold a ``__main__``, or None for a plain file."""
    for hook in sys.path_hooks:
        try:
            return hook(path)
        except ImportError:
            continue
    return None


def _builtin_importer() -> Any:
    from importlib.machinery import BuiltinImporter

    return BuiltinImporter


def _fresh_main(loader: Any, filename: str | None) -> ModuleType:
    """A new ``__main__``, with the names that Python gives it and in its order."""
    main = ModuleType("__main__")
    names = main.__dict__
    names["__loader__"] = loader
    names["__annotations__"] = {}
    names["__builtins__"] = builtins
    if filename is not None:
        names["__file__"] = filename
        names["__cached__"] = None
    sys.modules["__main__"] = main
    return main


# --- Its code


def _main_code(source: bytes, filename: str, options: Options, cached: bool) -> CodeType:
    if not cached:
        options = replace(options, cache=False)
    from minpy.transform import products
    from minpy.transform.build import code_for
    from minpy.transform.filters import Filter

    products.wait()
    products.look(source)
    collector.look(source)

    # Wherever it lies, a program that is started by name is user code; only --exclude takes it out.
    if Filter(options.include, options.exclude).why_not("__main__", filename):
        return compile(source, filename, "exec", dont_inherit=True)
    try:
        return code_for(source, filename, options, "__main__", first=cached)
    except RewriteError as error:  # --strict
        raise CannotRun(str(error)) from None


def _bytecode(data: bytes) -> CodeType:
    import marshal
    from importlib.util import MAGIC_NUMBER

    if data[:4] != MAGIC_NUMBER:
        raise RuntimeError("Bad magic number in .pyc file")
    code = marshal.loads(data[16:])
    if not isinstance(code, CodeType):
        raise RuntimeError("Bad code object in .pyc file")
    return code


def _exec_python(args: list[str]) -> None:
    """Become ``python args…``: for a file that cannot be compiled, so that Python itself says why."""
    from subprocess import _args_from_interpreter_flags  # type: ignore[attr-defined]

    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *_args_from_interpreter_flags(), *args])


def _run_as_main(name: str, alter_argv: bool, options: Options) -> int:
    """Run a module through `runpy`, as ``python -m`` does: a traceback shows its frames there."""
    import runpy

    from minpy.transform import hook

    original = runpy._get_module_details  # type: ignore[attr-defined]
    depth = 0

    def details(mod_name: str, error: type[Exception] = ImportError) -> tuple[str, Any, CodeType]:
        # A package makes runpy call this again for its __main__, hence the depth.
        nonlocal depth
        depth += 1
        try:
            name, spec, code = original(mod_name, error)
        except (SyntaxError, ValueError, RewriteError) as failure:
            if depth > 1 or _ran_code(failure.__traceback__):
                raise
            if isinstance(failure, RewriteError):  # --strict
                raise CannotRun(str(failure)) from None
            # Once more without the hook, so that what Python's own loader says carries its own frames.
            found = None
        else:
            found = name, spec, code
        finally:
            depth -= 1
        if found is None:
            hook.uninstall()
            return original(mod_name, error)
        if depth == 0:
            runpy._get_module_details = original  # type: ignore[attr-defined]
            code = _module_code(name, spec, code, options)
        return name, spec, code

    _fresh_main(_builtin_importer(), None)
    runpy._get_module_details = details  # type: ignore[attr-defined]
    try:
        _begin(sys.modules["__main__"])
        _deepen(0)
        runpy._run_module_as_main(name, alter_argv)  # type: ignore[attr-defined]
        return 0
    except (SystemExit, CannotRun):
        raise
    except BaseException as error:
        failure = error
    finally:
        runpy._get_module_details = original  # type: ignore[attr-defined]
    try:
        return uncaught.report(failure)
    finally:
        del failure  # see _run


start_seconds = 0.0  # from the first line of ours to the program's, the rewriting of its main module included


def _begin(main: ModuleType) -> ModuleType:
    """The program is about to begin in `main`; the module to run it in."""
    global start_seconds
    collector.begin()
    # The collector is to find the program's own names: they are in a dictionary that it does not leave out.
    fresh = ModuleType("__main__")
    fresh.__dict__.update(main.__dict__)
    sys.modules["__main__"] = fresh
    cli = sys.modules.get("minpy.cli")
    if cli is not None:
        start_seconds = time.perf_counter() - cli.BEGAN
    return fresh


def _ran_code(traceback: TracebackType | None) -> bool:
    """Whether the error came up through the code of a module, which must not run again."""
    while traceback is not None:
        if (
            traceback.tb_frame.f_code.co_name == "<module>"
            and "runpy" not in traceback.tb_frame.f_code.co_filename
        ):
            return True
        traceback = traceback.tb_next
    return False


def _module_code(name: str, spec: Any, code: CodeType, options: Options) -> CodeType:
    if name.partition(".")[0] in sys.stdlib_module_names and name != "__main__":
        return code
    if not (spec.origin or "").endswith(".py"):
        return code
    try:
        source = spec.loader.get_data(spec.origin)
    except (AttributeError, OSError):
        return code
    return _main_code(source, spec.origin, options, cached=os.path.isfile(spec.origin))


# --- Running it, and what is printed when it fails


def _run(get_code: Any, main: ModuleType, flush: bool) -> int:
    """Run the code that `get_code` gives in the module `main`; report an exception as Python does."""
    try:
        try:
            code = get_code()
        except (SyntaxError, ValueError, RuntimeError) as error:
            # The program never began: Python shows such an error without any frame.
            raise error.with_traceback(None) from None
        main = _begin(main)
        _deepen(_BELOW_DEPTH + 1)
        try:
            _below(code, main.__dict__, _BELOW_DEPTH)
        finally:
            del code
            if flush:
                _flush()
        status = 0
    except (SystemExit, CannotRun):
        raise
    except BaseException as error:
        failure = error
        status = 1
    if status:
        status = uncaught.report(failure)
        # The program's frames lead back to this one: it must not keep them when the interpreter lets go.
        del failure
    main.__dict__.pop("__file__", None)
    main.__dict__.pop("__cached__", None)
    return status


def _flush() -> None:
    # As Python does between running a script and printing its traceback; a failure shows at exit, as there.
    for stream in (sys.stderr, sys.stdout):
        try:
            stream.flush()
        except Exception:
            pass


def _deepen(extra: int) -> None:
    """Raise the recursion limit by what is below the program here, and is not under ``python``."""
    frame, depth = sys._getframe(1), extra
    calls_exec = extra > 0
    while frame is not None:
        depth += 1
        if sys.version_info < (3, 12) and frame.f_code.co_name == "_run_code":
            depth += 1  # runpy, for `python -m minpy`
        frame = frame.f_back
    if sys.version_info < (3, 12) and calls_exec:
        depth += 1  # these count calls of built-in functions too, such as our exec
    sys.setrecursionlimit(sys.getrecursionlimit() + depth)
