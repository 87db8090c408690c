"""What was found out about blocks, kept in the cache folder between runs."""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import sys
import zlib
from typing import Any

_MOST = 5000
_CHECK = 4  # bytes of a checksum in front of compiled code
_known: dict[str, str] | None = None
_news: dict[str, str] = {}


def _file() -> str:
    from minpy.transform import cache

    root = cache.cache_dir()
    return os.path.join(root, "blocks.json") if root else ""


def _machine() -> str:
    import numpy

    from minpy.version import VERSION

    return f"{VERSION} {numpy.__version__} {os.cpu_count()}"


def _is_off() -> bool:
    return sys.dont_write_bytecode or os.environ.get("MINPY_CACHE", "1").lower() in (
        "0",
        "false",
        "no",
        "off",
    )


def _load() -> dict[str, str]:
    where = "" if _is_off() else _file()
    if not where:
        return {}
    try:
        with open(where, encoding="utf-8") as file:
            data: Any = json.load(file)
    except (OSError, ValueError):
        return {}
    if not isinstance(data, dict) or data.get("machine") != _machine():
        return {}
    verdicts = data.get("verdicts")
    if not isinstance(verdicts, dict):
        return {}
    return {key: value for key, value in verdicts.items() if isinstance(value, str)}


def verdict(key: str) -> str | None:
    """The engine that earlier runs, or this one, found best for a block; None if that is not known."""
    global _known
    if _known is None:
        _known = _load()
    return _news.get(key) or _known.get(key)


def remember(key: str, engine: str) -> None:
    """Keep what was found out."""
    if not _news:
        atexit.register(_store)
    _news[key] = engine


def _store() -> None:
    if not _news or _is_off():
        return
    where = _file()
    if not where:
        return
    verdicts = _load() | _news  # another process may have written meanwhile
    if len(verdicts) > _MOST:
        verdicts = dict(list(verdicts.items())[-_MOST:])
    _write(where, json.dumps({"machine": _machine(), "verdicts": verdicts}).encode())


def _code_file(text: str, stamp: str) -> str:
    from minpy.transform import cache

    root = "" if _is_off() else cache.cache_dir()
    name = hashlib.blake2b(f"{stamp}\0{text}".encode(), digest_size=16).hexdigest()
    return os.path.join(root, "loops", f"{name}.block") if root else ""


def load_code(text: str, stamp: str) -> bytes | None:
    """The compiled code of a text, if an earlier run left it here."""
    where = _code_file(text, stamp)
    try:
        with open(where, "rb") as file:
            data = file.read()
    except OSError:
        return None
    if len(data) < _CHECK or zlib.crc32(data[_CHECK:]) != int.from_bytes(data[:_CHECK], "little"):
        return None
    return data[_CHECK:]


def save_code(text: str, stamp: str, code: bytes) -> None:
    """Keep compiled code."""
    where = _code_file(text, stamp)
    if where:
        _write(where, zlib.crc32(code).to_bytes(_CHECK, "little") + code)


def _write(where: str, data: bytes) -> None:
    temporary = f"{where}.{os.getpid()}-{os.urandom(4).hex()}.tmp"
    try:
        os.makedirs(os.path.dirname(where), mode=0o700, exist_ok=True)
        with open(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(data)
        os.replace(temporary, where)
    except OSError:
        try:
            os.unlink(temporary)
        except OSError:
            pass
