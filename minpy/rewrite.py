"""``python -m minpy.rewrite``: the rewritten source, to read or to ship.

What it writes runs under plain ``python`` with minpy installed. Every line in which nothing is rewritten
stays as it is, byte for byte. Exit status: 0; 1 if a file could not be rewritten and is given as it was; 2
for bad input, with nothing written.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any, NoReturn

from minpy.errors import RewriteError
from minpy.options import Options

_SKIPPED_FOLDERS = ("__pycache__", "node_modules")


class _BadInput(Exception):
    """One line for stderr; exit status 2."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _BadInput(f"{message} (see --help)")


def main(argv: list[str] | None = None) -> int:
    """Run the command line `argv` (default: ``sys.argv[1:]``) and return the exit status."""
    try:
        return _run(_arguments(argv))
    except _BadInput as error:
        sys.stderr.write(f"minpy: error: {error}\n")
    except SyntaxError as error:
        import traceback

        sys.stderr.write("".join(traceback.format_exception_only(error)))
    except BrokenPipeError:
        # Whoever reads has seen enough. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        sys.stderr.write(f"minpy: error: {error.filename or 'output'}: {error.strerror or error}\n")
    return 2


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = _Parser(
        prog="minpy rewrite",
        allow_abbrev=False,
        description="Show or write the source of a NumPy program as MinPy rewrites it. Without options, the "
        "rewritten text of a file goes to standard output.",
    )
    parser.add_argument("path", metavar="file.py|folder", help="what to rewrite")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("-o", "--output", metavar="OUT", help="write to this file, or to this new folder")
    where.add_argument("--in-place", action="store_true", help="write over the original")
    where.add_argument("--diff", action="store_true", help="print a unified diff")
    parser.add_argument("--explain", action="store_true", help="list every edit with its reason")
    parser.add_argument("--tree", action="store_true", help="with --explain: dump the rewritten syntax tree")
    parser.add_argument("--operators", action="store_true", help="route operators too, not only calls")
    arguments = parser.parse_args(argv)
    if arguments.tree and not arguments.explain:
        parser.error("--tree goes with --explain")
    if arguments.output == "":
        parser.error("-o needs the name of a file or folder")
    return arguments


class _File:
    """One source file and what becomes of it."""

    def __init__(self, path: str, options: Options) -> None:
        from minpy.transform import rewriter

        self.path = path
        with open(path, "rb") as file:
            self.data = self.new = file.read()
        self.text, self.encoding = _decode(self.data, path)
        self.new_text = self.text
        self.edits: list[Any] = []
        self.notes: list[Any] = []
        self.failure = ""
        try:
            plan = rewriter.plan(self.text, options, door="routed", filename=path)
        except RewriteError as error:
            self.reason = self.failure = str(error)
            return
        self.reason = plan.reason
        self.notes = list(plan.notes)
        if not plan.is_empty:
            self.edits = list(plan.edits)
            self.new_text = plan.apply()
            self.new = self.new_text.encode(self.encoding)


def _decode(data: bytes, path: str) -> tuple[str, str]:
    """The text of a source file and its encoding; whatever Python would not read is bad input."""
    import io
    import tokenize
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they are about the program, and are given when it runs
            compile(data, path, "exec", dont_inherit=True)
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        text = data.decode(encoding)
    except SyntaxError as error:
        if error.filename is None:  # of null bytes, some Pythons do not say in which file
            raise _BadInput(f"{path} is not Python source: {error}") from None
        raise
    except ValueError as error:  # null bytes, for one; UnicodeDecodeError is one too
        raise _BadInput(f"{path} is not Python source: {error}") from None
    except (RecursionError, MemoryError):
        raise _BadInput(f"{path} is nested too deeply for Python to compile") from None
    if text.encode(encoding) != data:
        raise _BadInput(f"{path} cannot be written back unchanged in its encoding {encoding}")
    return text, encoding


def _run(arguments: argparse.Namespace) -> int:
    from minpy.transform.build import with_operators

    options = with_operators(Options(), arguments.operators)
    path = arguments.path
    if os.path.isdir(path):
        return _rewrite_folder(path, arguments, options)
    if not os.path.exists(path):
        raise _BadInput(f"{path}: there is no such file or folder")
    if arguments.output is not None:
        _check_output_file(path, arguments.output)
    file = _File(path, options)
    if arguments.explain:
        _explain(file, arguments.tree)
    if arguments.diff:
        _print(_diff(file), file.encoding)
    elif arguments.in_place:
        _write(os.path.realpath(path), file.new, path)
    elif arguments.output is not None:
        _write(arguments.output, file.new, path)
    elif not arguments.explain:
        _print_bytes(file.new)
    return _status([file])


def _check_output_file(path: str, output: str) -> None:
    if os.path.isdir(output):
        raise _BadInput(f"-o {output} is a folder: name the file to write")
    if os.path.exists(output) and os.path.samefile(path, output):
        raise _BadInput(f"-o {output} is the file itself: --in-place writes over it")
    _check_parent(output)


def _check_parent(output: str) -> None:
    parent = os.path.dirname(os.path.abspath(output))
    if not os.path.isdir(parent):
        raise _BadInput(f"-o {output}: there is no folder {parent}")


def _status(files: list[_File]) -> int:
    failed = [file for file in files if file.failure]
    for file in failed:
        sys.stderr.write(f"minpy: warning: {file.path} is left as it was: {file.failure}\n")
    return 1 if failed else 0


# ----------------------------------------------------------------------------------------------------
# Folders


def _rewrite_folder(folder: str, arguments: argparse.Namespace, options: Options) -> int:
    output = arguments.output
    if output is not None:
        _check_output_folder(folder, output)
    elif not (arguments.in_place or arguments.diff or arguments.explain):
        raise _BadInput(f"{folder} is a folder: say -o OUT, --in-place, --diff or --explain")
    sources, others = _contents(folder)
    # All of them before anything is written: a file that Python cannot read leaves everything as it was.
    files = [_File(os.path.join(folder, name), options) for name in sources]
    for file in files:
        if arguments.explain:
            _explain(file, arguments.tree)
        if arguments.diff:
            _print(_diff(file), file.encoding)
    if arguments.in_place:
        for file in files:
            if file.new != file.data and not os.path.islink(file.path):
                _write(file.path, file.new, file.path)
    elif output is not None:
        _write_folder(output, folder, dict(zip(sources, files, strict=True)), others)
    return _status(files)


def _check_output_folder(folder: str, output: str) -> None:
    inside = os.path.join(os.path.realpath(folder), "")
    if os.path.join(os.path.realpath(output), "").startswith(inside):
        raise _BadInput(f"-o {output} is inside {folder}: name a folder beside it, or say --in-place")
    if os.path.isdir(output):
        if os.listdir(output):
            raise _BadInput(f"-o {output} exists and is not empty: name a new folder")
    elif os.path.lexists(output):
        raise _BadInput(f"-o {output} exists and is not a folder: name a new folder")
    _check_parent(output)


def _contents(folder: str) -> tuple[list[str], list[str]]:
    """The Python files below `folder`, and the others; no hidden folders, caches or virtual environments."""
    sources: list[str] = []
    others: list[str] = []

    def fail(error: OSError) -> NoReturn:
        raise error

    for place, folders, names in os.walk(folder, onerror=fail):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and name not in _SKIPPED_FOLDERS
            and not os.path.exists(os.path.join(place, name, "pyvenv.cfg"))
        )
        for name in sorted(names):
            full = os.path.join(place, name)
            if not os.path.isfile(full):
                continue  # a pipe, a socket, a broken link
            is_source = name.endswith((".py", ".pyw"))
            (sources if is_source else others).append(os.path.relpath(full, folder))
    return sources, others


def _write_folder(output: str, folder: str, files: dict[str, _File], others: list[str]) -> None:
    """Write the whole new folder under another name first, so that `output` is complete or not there."""
    import shutil
    import tempfile

    full = os.path.abspath(output)
    building = tempfile.mkdtemp(prefix=os.path.basename(full) + ".", dir=os.path.dirname(full))
    try:
        for name, file in files.items():
            target = os.path.join(building, name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            _write(target, file.new, file.path)
        for name in others:
            target = os.path.join(building, name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy2(os.path.join(folder, name), target)
        shutil.copymode(folder, building)
        if os.path.isdir(full):
            os.rmdir(full)
        os.rename(building, full)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise


def _write(target: str, data: bytes, model: str) -> None:
    """Write `target` in one step, with the mode bits of the file `model`."""
    import tempfile

    target = os.path.abspath(target)
    handle, temporary = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=os.path.dirname(target))
    try:
        with open(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, os.stat(model).st_mode & 0o7777)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


# ----------------------------------------------------------------------------------------------------
# What is printed


def _print_bytes(data: bytes) -> None:
    sys.stdout.flush()
    binary = getattr(sys.stdout, "buffer", None)
    if binary is None:
        sys.stdout.write(data.decode("utf-8", "replace"))  # a notebook's
    else:
        binary.write(data)
    sys.stdout.flush()


def _print(text: str, encoding: str) -> None:
    _print_bytes(text.encode("utf-8" if encoding == "utf-8-sig" else encoding, "backslashreplace"))


def _lines(text: str) -> list[str]:
    # Only what ends a line for `patch`: str.splitlines also splits at form feeds and other characters.
    lines = [line + "\n" for line in text.split("\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def _diff(file: _File) -> str:
    import difflib

    before, after = _lines(file.text), _lines(file.new_text)
    parts = []
    for line in difflib.unified_diff(before, after, file.path, file.path):
        parts.append(line if line.endswith("\n") else line + "\n\\ No newline at end of file\n")
    return "".join(parts)


def _explain(file: _File, tree: bool) -> None:
    lines = []
    for edit in file.edits:
        before = file.text[edit.start : edit.end]
        change = f"`{before}` -> `{edit.text}`" if before else f"insert `{edit.text}`"
        lines.append((edit.start, f"{change}  ({edit.reason})"))
    for note in file.notes:
        lines.append((note.start, f"left alone: {note.reason}"))
    places = _explained(file)
    if not file.edits:
        _print(f"{file.path}: left alone: {file.reason or 'nothing to rewrite'}\n", file.encoding)
    for offset, text in sorted(lines, key=lambda line: line[0]):
        above = file.text[:offset].replace("\r\n", "\n").replace("\r", "\n")
        place = f"{above.count(chr(10)) + 1}:{len(above) - above.rfind(chr(10))}"
        _print(f"{file.path}:{place}: {text}\n", file.encoding)
    if places:
        _print("\nUnder `minpy run`, besides:\n", file.encoding)
    for line, column, text in places:
        _print(f"{file.path}:{line}:{column}: {text}\n", file.encoding)
    if tree:
        _print(tree_dump(file.new_text) + "\n", file.encoding)


def _explained(file: _File) -> list[tuple[int, int, str]]:
    from minpy.explain import explain

    return explain(file.text, file.path) if not file.failure else []


def tree_dump(text: str) -> str:
    """A readable dump of the syntax tree of `text`."""
    import ast

    import astunparse

    return astunparse.dump(ast.parse(text))


if __name__ == "__main__":
    sys.exit(main())
