"""What was found out about blocks, kept in the cache folder between runs."""

from __future__ import annotations

import atexit
import json
import os
import sys
from typing import Any

_MOST = 5000
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
    return os.environ.get("MINPY_CACHE", "1").lower() in ("0", "false", "no", "off")


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
    if not _news or _is_off() or sys.dont_write_bytecode:
        return
    where = _file()
    if not where:
        return
    verdicts = _load() | _news  # another process may have written meanwhile
    if len(verdicts) > _MOST:
        verdicts = dict(list(verdicts.items())[-_MOST:])
    temporary = f"{where}.{os.getpid()}-{os.urandom(4).hex()}.tmp"
    try:
        os.makedirs(os.path.dirname(where), mode=0o700, exist_ok=True)
        with open(temporary, "x", encoding="utf-8") as file:
            json.dump({"machine": _machine(), "verdicts": verdicts}, file)
        os.replace(temporary, where)
    except OSError:
        try:
            os.unlink(temporary)
        except OSError:
            pass
