"""Whether a program may ask for products of matrices: only then are NumPy's kernels for them looked at as it starts.

That takes some milliseconds, of which most programs have nothing (see `minpy.runtime.widen`). So where a program is
started from its text, the texts of its modules are searched for what makes products, as they come; what is installed,
and whatever else has no text here, is taken to make some.
"""

from __future__ import annotations

import sys

# What makes products in NumPy, whoever makes them without being seen, and what may have any name.
_SIGNS = (
    rb"@|dot|matmul|inner|einsum|linalg|corrcoef|cov|poly|roots|multivariate|lstsq|matrix|asmat|bmat|\bmat\b"
    rb"|minpy|getattr|__dict__|__import__|import_module|vars\b|exec\b|eval\b"
)
# What rewritten code stands on; these make none on their own.
_OURS = frozenset({"numpy", "minpy", "libcst", "llvmlite"})


def wait() -> None:
    """Let the kernels wait for a text that asks for products, or a module without one."""
    from minpy.runtime import entry

    entry.wait_for_products()


def look(source: bytes | str) -> None:
    """Search the text of a module that is about to run."""
    from minpy.runtime import entry

    if not entry.products:
        import re  # a process that computes nothing does without

        if re.search(_SIGNS, source.encode(errors="replace") if isinstance(source, str) else source):
            entry.expect_products()


def meet(name: str, ours: object = None) -> None:
    """Take notice of a module that is imported as it is; `ours` is the finder that was asked for it."""
    from minpy.runtime import entry

    if not entry.products:
        top = name.partition(".")[0]
        if top not in _OURS and top not in sys.stdlib_module_names and _is_there(top, ours):
            entry.expect_products()


def _is_there(top: str, ours: object) -> bool:
    """Whether there is such a module at all: Python's own ask for some of other Pythons and releases."""
    if top in sys.modules:
        return True
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        if finder is not ours and find is not None and find(top, None) is not None:
            return True
    return False


__all__ = ["look", "meet", "wait"]
