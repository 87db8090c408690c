"""Files in the cache folder that keep what was found out or compiled while programs ran.

Any doubt about a file makes it a miss, any `OSError` makes the run uncached.
"""

from __future__ import annotations

import os
import sys
import zlib

from minpy import handlers

_CHECK = 4  # bytes of a checksum in front of the content


def folder(*parts: str) -> str:
    """The cache folder, or a place below it; empty if nothing is to be kept."""
    if sys.dont_write_bytecode or os.environ.get("MINPY_CACHE", "1").lower() in ("0", "false", "no", "off"):
        return ""
    from minpy.transform import cache

    root = cache.cache_dir()
    return os.path.join(root, *parts) if root else ""


def write(where: str, data: bytes) -> None:
    """Write a file as a whole, if it can be written."""
    from minpy.transform import cache

    try:
        cache.write_atomically(where, data)
    except OSError as error:
        if handlers.raised(error):
            raise


def write_checked(where: str, data: bytes) -> None:
    """As `write`, with a checksum for `read_checked`."""
    write(where, zlib.crc32(data).to_bytes(_CHECK, "little") + data)


def read_checked(where: str) -> bytes | None:
    """What `write_checked` wrote; None if there is no such file, or another content."""
    try:
        with open(where, "rb") as file:
            data = file.read()
    except OSError as error:
        if handlers.raised(error):
            raise
        return None
    if len(data) < _CHECK or zlib.crc32(data[_CHECK:]) != int.from_bytes(data[:_CHECK], "little"):
        return None
    return data[_CHECK:]
