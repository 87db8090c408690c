"""Whether a file is the published one."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping

from minpy.errors import ArgumentError, DataError

# How long the hexadecimal digits of a digest are, and what it is then.
_KINDS = {32: "md5", 64: "sha256"}


def check(path: str | os.PathLike, name: str, contents: bytes, digests: Mapping[str, str] | None) -> None:
    """Fail unless the contents of a file have the digest that stands under its name; None checks nothing.

    Raises
    ------
    DataError
        If they have another.
    ArgumentError
        If `digests` has none for the file, or something that is none.
    """
    if digests is None:
        return
    if name not in digests:
        raise ArgumentError(
            f"digests has no {name!r}, which is to be read: give the digest of each file, or None to check nothing"
        )
    wanted = digests[name]
    kind = _KINDS.get(len(wanted)) if isinstance(wanted, str) else None
    if kind is None:
        raise ArgumentError(
            f"digests[{name!r}] must be an MD5 or a SHA-256 digest, 32 or 64 hexadecimal digits, not {wanted!r}"
        )
    found = hashlib.new(kind, contents, usedforsecurity=False).hexdigest()
    if found != wanted.lower():
        raise DataError(
            f"{os.fspath(path)} is not the file it should be: its {kind} digest is {found}, not {wanted}. It is "
            "damaged, or of another set in the same format; for one of those, give its digests=…, or None for no check"
        )
