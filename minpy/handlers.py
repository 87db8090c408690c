"""Exceptions that a signal's handler raises while MinPy is at work: they are the program's.

A handler runs between any two steps of the main thread, and what it raises comes out of whatever is being done there. A
`TimeoutError` is an `OSError`: where MinPy does without a file that cannot be read, it must not do without that.
"""

from __future__ import annotations

from types import FrameType


def raised(error: BaseException) -> bool:
    """Whether an exception came from a signal's handler, which is known by its arguments: a number, and a frame."""
    # Not the frame that caught it: to look at its variables would keep it, and all that called it, alive.
    step = error.__traceback__ and error.__traceback__.tb_next
    while step is not None:
        code = step.tb_frame.f_code
        if code.co_argcount or code.co_flags & 4:  # takes arguments
            for value in step.tb_frame.f_locals.values():
                if isinstance(value, FrameType) or (type(value) is tuple and _is_call(value)):
                    return True
        step = step.tb_next
    return False


def _is_call(values: tuple[object, ...]) -> bool:
    return len(values) == 2 and isinstance(values[0], int) and isinstance(values[1], FrameType)


__all__ = ["raised"]
