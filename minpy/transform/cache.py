"""The bytecode cache: rewritten code by source path, kept in a folder of its own.

Nothing is written beside the user's files, so plain ``python`` never meets rewritten bytecode and a hooked
run never meets plain bytecode. An entry is a checked-hash pyc (PEP 552) followed by what is worth knowing
about the rewriting and by a checksum; any doubt about an entry makes it a miss, any `OSError` makes the run
uncached.
"""

from __future__ import annotations

import marshal
import os
import sys

# importlib.util.MAGIC_NUMBER and source_hash without that module's import of contextlib, types and others.
from _frozen_importlib_external import MAGIC_NUMBER
from _imp import source_hash as _siphash
from importlib.machinery import BYTECODE_SUFFIXES
from types import CodeType

from minpy import handlers
from minpy.options import Options
from minpy.version import REWRITE_SCHEMA, VERSION

_open = open  # the program, or a test, may put something else in its place

_RAW_MAGIC = int.from_bytes(MAGIC_NUMBER, "little")
_FLAGS = (0b11).to_bytes(4, "little")  # hash-based, checked
_HEADER = 16
_TRAILER = 4 + 8  # length of the notes, checksum of all that comes before
_SUFFIX = BYTECODE_SUFFIXES[0]

_rewriter_stamp = ""


class Entry:
    """A compiled module and how it came about.

    Attributes
    ----------
    code : types.CodeType
        What runs: the rewritten module, or the unmodified one if nothing was (or could be) rewritten.
    edits : int
        How many places the rewriter changed.
    reason : str
        Why nothing was changed; empty for a rewritten module.
    failed : bool
        The module could not be rewritten: a warning is due each time it is loaded.
    line : int
        The line the failure is about.
    begins_with_numpy : bool
        A main program that imports NumPy before it does anything else (see `minpy.transform.ahead`).
    """

    __slots__ = ("begins_with_numpy", "code", "edits", "failed", "line", "reason")

    def __init__(
        self,
        code: CodeType,
        edits: int = 0,
        reason: str = "",
        failed: bool = False,
        line: int = 1,
        begins_with_numpy: bool = False,
    ) -> None:
        self.code = code
        self.edits = edits
        self.reason = reason
        self.failed = failed
        self.line = line
        self.begins_with_numpy = begins_with_numpy


def source_hash(data: bytes) -> bytes:
    """The 8-byte hash that PEP 552 puts into a pyc."""
    return _siphash(_RAW_MAGIC, data)


def cache_dir() -> str:
    """The folder of this user's MinPy caches; empty if there is no place for one.

    ``MINPY_CACHE_DIR`` names it outright; else it is what ``platformdirs.user_cache_dir("minpy")`` says.
    """
    chosen = os.environ.get("MINPY_CACHE_DIR")
    if chosen:
        return os.path.abspath(os.path.expanduser(chosen))
    if os.name == "posix" and sys.platform != "darwin" and "ANDROID_ROOT" not in os.environ:
        # By hand: importing platformdirs costs as much as the rest of a warm start.
        root = os.environ.get("XDG_CACHE_HOME", "").strip()
        if not os.path.isabs(root):
            root = os.path.expanduser("~/.cache")
        return os.path.join(root, "minpy") if os.path.isabs(root) else ""
    from platformdirs import user_cache_dir

    return user_cache_dir("minpy")


def bytecode_dir() -> str:
    """The folder of cached bytecode; empty if there is no place for one.

    Without ``MINPY_CACHE_DIR``, ``sys.pycache_prefix`` (``PYTHONPYCACHEPREFIX``) is honoured: the folder is
    below it.
    """
    if sys.pycache_prefix and not os.environ.get("MINPY_CACHE_DIR"):
        return os.path.join(os.path.abspath(sys.pycache_prefix), "minpy", "bytecode")
    root = cache_dir()
    return os.path.join(root, "bytecode") if root else ""


def _stamp() -> str:
    # Development versions share one version number: the rewriter's own files tell them apart, so that an edit
    # of the rewriter never runs with the code an earlier one emitted.
    global _rewriter_stamp
    if not _rewriter_stamp:
        facts = []
        try:
            with os.scandir(os.path.dirname(__file__)) as files:
                for file in files:
                    if file.name.endswith(".py"):
                        status = file.stat()
                        facts.append(f"{file.name}:{status.st_size}:{status.st_mtime_ns}")
        except OSError as error:
            if handlers.raised(error):
                raise
            facts.append("unreadable")  # inside a zip, for one: the version number has to do
        _rewriter_stamp = source_hash("\n".join(sorted(facts)).encode()).hex()
    return _rewriter_stamp


def entry_path(path: str, options: Options) -> str:
    """Where the entry of the source file `path` belongs; empty if there is no place for one."""
    folder = bytecode_dir()
    tag = sys.implementation.cache_tag
    if not folder or not tag:
        return ""
    # Both: code carries the name as given, and a relative name means another file in another folder.
    identity = "\0".join(
        (os.path.abspath(path), path, VERSION, str(REWRITE_SCHEMA), options.rewrite_key(), _stamp())
    )
    digest = source_hash(identity.encode("utf-8", "surrogatepass")).hex()
    stem = os.path.basename(path).partition(".")[0]
    stem = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "_" for c in stem)[:40]
    level = f".opt-{sys.flags.optimize}" if sys.flags.optimize else ""
    return os.path.join(folder, f"{stem}-{digest}.{tag}{level}{_SUFFIX}")


def load(source: bytes, path: str, options: Options) -> Entry | None:
    """The entry of `source` at `path`, or None if there is none that is valid beyond doubt."""
    where = entry_path(path, options) if options.cache else ""
    if not where:
        return None
    try:
        with _open(where, "rb") as file:
            data = file.read()
    except OSError as error:
        if handlers.raised(error):
            raise
        return None
    end = len(data) - _TRAILER
    if end <= _HEADER or data[:4] != MAGIC_NUMBER or data[4:8] != _FLAGS:
        return None
    if data[8:_HEADER] != source_hash(source) or data[-8:] != source_hash(data[:-8]):
        return None
    split = end - int.from_bytes(data[end : end + 4], "little")
    if split <= _HEADER:
        return None
    try:
        code = marshal.loads(data[_HEADER:split])
        notes = marshal.loads(data[split:end])
    except (EOFError, ValueError, TypeError):
        return None
    if type(code) is not CodeType or code.co_filename != path or type(notes) is not tuple or len(notes) != 5:
        return None
    return Entry(code, *notes)


def store(source: bytes, path: str, options: Options, entry: Entry) -> str:
    """Keep `entry` for the next run; return why it could not be kept (empty: it was, or was not to be)."""
    if not options.cache or sys.dont_write_bytecode:
        return ""
    where = entry_path(path, options)
    if not where:
        return "there is no cache folder (HOME is not set; MINPY_CACHE_DIR names one)"
    notes = marshal.dumps((entry.edits, entry.reason, entry.failed, entry.line, entry.begins_with_numpy))
    data = b"".join(
        (
            MAGIC_NUMBER,
            _FLAGS,
            source_hash(source),
            marshal.dumps(entry.code),
            notes,
            len(notes).to_bytes(4, "little"),
        )
    )
    try:
        write_atomically(where, data + source_hash(data))
    except OSError as error:
        if handlers.raised(error):
            raise
        return f"{error.strerror or error}: {error.filename or where}"
    return ""


def may_keep(path: str, options: Options) -> bool:
    """Whether `store` is likely to keep the entry of the source file `path`."""
    where = entry_path(path, options) if options.cache and not sys.dont_write_bytecode else ""
    if not where:
        return False
    try:
        os.makedirs(os.path.dirname(where), mode=0o700, exist_ok=True)
    except OSError as error:
        if handlers.raised(error):
            raise
        return False
    return os.access(os.path.dirname(where), os.W_OK | os.X_OK)


def write_atomically(where: str, data: bytes) -> None:
    """Write a file, and the folder above it, so that no other process sees a part of it."""
    os.makedirs(os.path.dirname(where), mode=0o700, exist_ok=True)
    temporary = f"{where}.{os.getpid()}-{os.urandom(4).hex()}.tmp"
    try:
        with _open(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(data)
        os.replace(temporary, where)
    except BaseException:
        try:
            os.unlink(temporary)
        except OSError:
            pass
        raise


def _files() -> list[str]:
    folder = bytecode_dir()
    try:
        names = os.listdir(folder) if folder else []
    except OSError:
        return []
    return [os.path.join(folder, name) for name in names if name.endswith((_SUFFIX, ".tmp"))]


def cache_size() -> tuple[int, int]:
    """How many files of bytecode are cached, and their bytes."""
    count = total = 0
    for file in _files():
        try:
            total += os.stat(file).st_size
        except OSError:
            continue  # another process cleared it
        count += 1
    return count, total


def clear() -> int:
    """Remove the cached bytecode; return how many files went. What cannot be removed stays."""
    count = 0
    for file in _files():
        try:
            os.unlink(file)
        except OSError:
            continue
        count += 1
    return count
