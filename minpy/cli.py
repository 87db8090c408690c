"""The command ``minpy``: ``run``, ``rewrite`` and ``doctor``.

``minpy run`` reads its own options up to the program; everything from the program on belongs to the program.
"""

from __future__ import annotations

import os
import sys
import time
from typing import NoReturn

from minpy import collector
from minpy.errors import MinPyError, UsageError

BEGAN = time.perf_counter()  # of MinPy's own time, which `-v` and `--profile` show

USAGE = """\
usage: minpy run [options] script.py [args…]     run a program: a file, a folder or zip, - for stdin
       minpy run [options] -m package.module [args…]
       minpy run [options] -c code [args…]
       minpy rewrite [options] file.py|folder    show or write the rewritten source
       minpy doctor [--calibrate] [--json]       what MinPy finds on this machine
       minpy --version

`minpy run --help`, `minpy rewrite --help` and `minpy doctor --help` list the options.
"""

# The options of `minpy run` that take a value; needed to find where the program begins.
_VALUED = (
    *("--policy", "--context", "--precision", "--include", "--exclude", "--threads"),
    *("--workers", "--servers", "--hosts", "--address", "--timeout"),
)


def main(argv: list[str] | None = None) -> int:
    """Run the command line `argv` (default: ``sys.argv[1:]``) and return the exit status.

    Bad input is one line on stderr and status 2.
    """
    if argv is None:
        argv = sys.argv[1:]
        if argv[:1] == ["run"]:  # a process of its own
            collector.pause()
    try:
        return _main(argv)
    except MinPyError as error:
        return _fail(str(error))
    finally:
        collector.resume()


def _main(argv: list[str]) -> int:
    command = argv[0] if argv else ""
    if command == "run":
        return _run(argv[1:])
    if command == "rewrite":
        from minpy import rewrite

        return rewrite.main(argv[1:])
    if command == "doctor":
        from minpy import doctor

        return doctor.main(argv[1:])
    if command in ("--version", "-V"):
        print(_version())
        return 0
    if command in ("", "-h", "--help"):
        (sys.stdout if command else sys.stderr).write(USAGE)
        return 0 if command else 2
    raise UsageError(
        f"unknown command {command!r}: choose run, rewrite or doctor (`minpy run {command}` runs a program)"
    )


def _run(argv: list[str]) -> int:
    own, kind, program, args = split(argv)
    several = None
    if any(word.startswith(("--workers", "--servers", "--hosts", "--address", "--timeout")) for word in own):
        from minpy.distributed import launch

        several, own = launch.split(own)
    options = _options(own)
    if several is not None:
        return launch.run(several, own, kind, program, args, verbose=options.verbose > 0)
    if kind == "stdin" and program == "" and sys.stdin is not None and sys.stdin.isatty():
        raise UsageError("no program: give a script, -m module, -c code, or a program on standard input")

    if "MINPY_MEMBER" in os.environ:  # started by `minpy run --workers`
        from minpy.distributed import member

        return member.run(lambda: _program(kind, program, args, options))
    return _program(kind, program, args, options)


def _program(kind: str, program: str, args: list[str], options) -> int:
    # A failure in here is about our own options; once the program runs, every exception is the program's.
    from minpy import runner

    runner.prepare(options)
    try:
        if kind == "module":
            return runner.run_module(program, args, options)
        if kind == "command":
            return runner.run_command(program, args, options)
        if kind == "stdin":
            return runner.run_stdin(program, args, options)
        return runner.run_script(program, args, options)
    except runner.CannotRun as error:
        return _fail(str(error))


def split(argv: list[str]) -> tuple[list[str], str, str, list[str]]:
    """Split ``minpy run``'s arguments: its own options, the program's kind, the program, its arguments.

    The kinds are ``script``, ``module`` (``-m``), ``command`` (``-c``) and ``stdin`` (``-``, or nothing).
    """
    place = 0
    while place < len(argv):
        word = argv[place]
        if word == "-":
            return argv[:place], "stdin", "-", argv[place + 1 :]
        if word[:2] in ("-m", "-c") and word[:3] != "--":
            kind = "module" if word[1] == "m" else "command"
            if len(word) > 2:
                return argv[:place], kind, word[2:], argv[place + 1 :]
            if place + 1 == len(argv):
                raise UsageError(
                    f"{word} needs {'the name of a module' if kind == 'module' else 'a program text'}"
                )
            return argv[:place], kind, argv[place + 1], argv[place + 2 :]
        if word == "--":
            rest = argv[place + 1 :]
            return (argv[:place], "script", rest[0], rest[1:]) if rest else (argv[:place], "stdin", "", [])
        if not word.startswith("-"):
            return argv[:place], "script", word, argv[place + 1 :]
        place += 2 if word in _VALUED else 1
    return argv, "stdin", "", []


def _options(words: list[str]):
    """The options of the environment, overridden by those of the command line."""
    from dataclasses import replace

    from minpy.options import from_environ

    options = from_environ()
    if words:
        given = vars(_parser().parse_args(words))
        changes = {name: value for name, value in given.items() if value is not None}
        for name in ("include", "exclude"):
            if name in changes:
                changes[name] = tuple(_pattern(name, entry) for entry in changes[name])
        for name in ("jit", "fuse"):
            if name in changes:
                changes[name] = "auto" if changes[name] else "off"
        if changes.get("threads") == 0:
            raise UsageError("--threads must be at least 1, not 0")
        options = replace(options, **changes)
    return options.check()


def _pattern(option: str, text: str) -> str:
    from minpy.transform.filters import is_path_pattern

    # A path is made absolute, because a child process may start in another folder.
    pattern = os.path.abspath(os.path.expanduser(text)) if is_path_pattern(text) else text
    if not text or os.pathsep in pattern:
        raise UsageError(f"--{option} takes one package or path at a time, not {text!r}")
    return pattern


def _parser():
    import argparse

    from minpy.options import POLICIES

    class Parser(argparse.ArgumentParser):
        def error(self, message: str) -> NoReturn:
            raise UsageError(message)

    def whole(text: str) -> int:
        if not text.isdecimal():
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
        return int(text)

    parser = Parser(
        prog="minpy run",
        usage="minpy run [options] (script | -m module | -c code | -) [args…]",
        description="Run a NumPy program, unmodified, with its array work routed through MinPy.",
        epilog="Each option but those of several processes has an environment variable, MINPY_POLICY for --policy and "
        "so on, which child processes inherit; the command line wins. Python's own options go to Python: "
        "python -O -m minpy run …",
        allow_abbrev=False,
    )
    flag = argparse.BooleanOptionalAction
    add = parser.add_argument
    add("--policy", metavar="NAME", help="where array operations run: " + ", ".join(POLICIES))
    add("--context", metavar="DEVICE", help="cpu, gpu or gpu:n")
    add("--precision", metavar="TYPE", help="float32 or float64: what floating-point arrays are created as")
    add("--include", metavar="WHAT", action="append", help="also rewrite this package or path (repeatable)")
    add("--exclude", metavar="WHAT", action="append", help="do not rewrite this package or path (repeatable)")
    add("--strict", action=flag, default=None, help="a module that cannot be rewritten is an error")
    add("--cache", action=flag, default=None, help="keep rewritten bytecode for the next run (the default)")
    add(
        "--jit",
        action=flag,
        default=None,
        help="compile loops over numbers (the default, with the extra jit)",
    )
    add(
        "--keep-memory",
        action=flag,
        default=None,
        help="let freed arrays stay in the process (the default, with glibc)",
    )
    add(
        "--wide-products",
        action=flag,
        default=None,
        help="give NumPy's OpenBLAS kernels for this processor where it has none (the default; same bits)",
    )
    add(
        "--fuse",
        action=flag,
        default=None,
        help="run array expressions in one piece where it pays (the default)",
    )
    add(
        "--fast-math",
        action=flag,
        default=None,
        help="let results differ from NumPy's in rounding where that is faster",
    )
    add("--threads", metavar="N", type=whole, help="threads of the numerical libraries")
    add(
        "--nan-check",
        metavar="off|raise|warn",
        nargs="?",
        const="raise",
        help="stop at the first operation that makes a NaN or an infinity out of finite numbers, forward or backward "
        "(=warn: once a line, and go on)",
    )
    add(
        "--profile",
        metavar="run|operations",
        nargs="?",
        const="run",
        help="at the end, say which lines ran as blocks or compiled loops, on what, and what that saved; "
        "=operations: where each operation ran, and why, with blocks and loops off",
    )
    add("--no-profile", dest="profile", action="store_const", const="off", help=argparse.SUPPRESS)
    add(
        "-v",
        "--verbose",
        action="count",
        help="say what is rewritten; -vv: also what is not, and MinPy's own frames",
    )
    add("--version", action="version", version=_version())
    from minpy.distributed import launch

    launch.add_options(parser)
    return parser


def _version() -> str:
    from minpy.version import VERSION

    return f"minpy {VERSION} (Python {sys.version.split()[0]})"


def _fail(message: str) -> int:
    # One line, whatever an operating system or library put into the message.
    sys.stderr.write(f"minpy: error: {' '.join(message.split())}\n")
    return 2
