"""Python's collector of cycles while a program is being started: it rests, and what there is by then is left out.

A start makes tens of thousands of objects, all of which stay: modules, functions, classes, NumPy's among them. The
collector would go through them again and again, while they are made, in the program, and at the end of the process,
where that takes longer than all that MinPy imports. Reference counts free them as ever.

A program whose text names ``gc`` may look at what the collector knows: for it nothing is left out.

Importing this module imports nothing.
"""

from __future__ import annotations

import gc

_rests = False  # since `pause`
_is_left_out = False
_is_looked_at = False  # by some module of the program


def pause() -> None:
    """Let the collector rest until the program begins."""
    global _rests
    if gc.isenabled():
        gc.disable()
        _rests = True


def begin() -> None:
    """The program begins: what there is now is left out, and the collector goes on, if it rests."""
    global _is_left_out
    if _rests and not _is_looked_at and hasattr(gc, "freeze"):
        gc.freeze()
        _is_left_out = True
    resume()


def resume() -> None:
    """Let the collector go on, if it rests."""
    global _rests
    if _rests:
        _rests = False
        gc.enable()


def look(source: bytes | str) -> None:
    """Search the text of a module that is about to run."""
    global _is_left_out, _is_looked_at
    if _is_looked_at or ("gc" if isinstance(source, str) else b"gc") not in source:
        return
    import re

    if re.search(rb"\bgc\b", source.encode(errors="replace") if isinstance(source, str) else source):
        _is_looked_at = True
        if _is_left_out:
            _is_left_out = False
            gc.unfreeze()


__all__ = ["begin", "look", "pause", "resume"]
