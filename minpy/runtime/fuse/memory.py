"""What was found out about blocks, kept in the cache folder between runs."""

from __future__ import annotations

import atexit
import hashlib
import os
from functools import cache
from typing import Any

from minpy import handlers
from minpy.runtime import kept, ledger

_MOST = 5000
_known: dict[str, str] | None = None
_news: dict[str, str] = {}


def _file() -> str:
    return kept.folder("blocks.json")


def _machine() -> str:
    import numpy

    from minpy.version import VERSION

    return f"{VERSION} {numpy.__version__} {os.cpu_count()}"


def _load() -> dict[str, str]:
    where = _file()
    if not where:
        return {}
    try:
        with open(where, encoding="utf-8") as file:
            import json  # a first run has no file

            data: Any = json.load(file)
    except (OSError, ValueError) as error:
        if handlers.raised(error):
            raise
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
    store_at_end()
    _news[key] = engine


@cache
def store_at_end() -> None:
    """Write what is kept when the process ends, after whatever is registered for that from now on."""
    atexit.register(_store)


def _store() -> None:
    where = _file()
    if not _news or not where:
        return
    with ledger.entered("keeping what was found"):
        import json

        verdicts = _load() | _news  # another process may have written meanwhile
        if len(verdicts) > _MOST:
            verdicts = dict(list(verdicts.items())[-_MOST:])
        kept.write(where, json.dumps({"machine": _machine(), "verdicts": verdicts}).encode())


def _code_file(text: str, stamp: str) -> str:
    name = hashlib.blake2b(f"{stamp}\0{text}".encode(), digest_size=16).hexdigest()
    return kept.folder("loops", f"{name}.block")


def load_code(text: str, stamp: str) -> bytes | None:
    """The compiled code of a text, if an earlier run left it here."""
    return kept.read_checked(_code_file(text, stamp))


def save_code(text: str, stamp: str, code: bytes) -> None:
    """Keep compiled code."""
    where = _code_file(text, stamp)
    if where:
        kept.write_checked(where, code)
