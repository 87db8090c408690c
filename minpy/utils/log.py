"""Loggers that write one line for a message, in colour on a terminal: level, time, process and place in front."""

from __future__ import annotations

import logging
import os
import sys
from logging import CRITICAL, DEBUG, ERROR, INFO, NOTSET, WARNING

__all__ = ["CRITICAL", "DEBUG", "ERROR", "INFO", "NOTSET", "WARNING", "get_logger"]

_COLOURS = {"D": 34, "I": 32, "W": 33, "E": 31, "C": 31}


class _Formatter(logging.Formatter):
    """``[W1121 09:30:00 4711 name:function:12] message``; the letter is that of the level."""

    def __init__(self, colour: bool) -> None:
        super().__init__(datefmt="%m%d %H:%M:%S")
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        """The line, and a traceback below it if there is one."""
        letter = record.levelname[:1] if record.levelname[:1] in _COLOURS else "I"
        head = (
            f"[{letter}{self.formatTime(record, self.datefmt)} {record.process} "
            f"{record.name}:{record.funcName}:{record.lineno}]"
        )
        if self._colour:
            head = f"\x1b[{_COLOURS[letter]}m{head}\x1b[0m"
        text = f"{head} {record.getMessage()}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        if record.stack_info:
            text += "\n" + self.formatStack(record.stack_info)
        return text


class _Handler(logging.StreamHandler):
    """Writes to what ``sys.stderr`` is at that time, in colour if it is a terminal."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self):  # type: ignore[override]
        return sys.stderr

    def format(self, record: logging.LogRecord) -> str:
        """The line of a message."""
        terminal = hasattr(sys.stderr, "isatty") and sys.stderr.isatty()
        return _Formatter(terminal and "NO_COLOR" not in os.environ).format(record)


def get_logger(name: str | None = None, level: int = WARNING) -> logging.Logger:
    """The logger of this name, which writes messages of `level` and above to stderr.

    Parameters
    ----------
    name : str, optional
        The root logger without one.
    level : int
        One of the constants of this module.
    """
    logger = logging.getLogger(name)
    if not any(isinstance(handler, _Handler) for handler in logger.handlers):
        logger.addHandler(_Handler())
        if name is not None:
            logger.propagate = False  # else the handlers of the root logger would write it again
    logger.setLevel(level)
    return logger
