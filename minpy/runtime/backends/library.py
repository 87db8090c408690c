"""A library that is imported once, when something on a device is first wanted; that it cannot be is kept as well."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from minpy.errors import DeviceError


class Library:
    """A module that is loaded late.

    Parameters
    ----------
    title : str
        What messages call it.
    bring : callable
        Imports the module and returns it.
    missing : callable
        The message for an `ImportError`, given that; it says what to install.

    Attributes
    ----------
    module : module or None
        The library, once it is loaded.
    """

    def __init__(self, title: str, bring: Callable[[], Any], missing: Callable[[ImportError], str]) -> None:
        self.title, self.module = title, None
        self._bring, self._missing = bring, missing
        self._lock, self._failure = threading.RLock(), ""

    def load(self) -> Any:
        """The module, imported once.

        Raises
        ------
        DeviceError
            If it is not installed or does not load; says why and what to do.
        """
        if self.module is not None:
            return self.module
        with self._lock:
            if self.module is None and not self._failure:
                try:
                    self.module = self._bring()
                except ImportError as error:
                    self._failure = self._missing(error)
                except (
                    Exception
                ) as error:  # a broken wheel fails in many ways: OSError, AttributeError, RuntimeError
                    self._failure = (
                        f"{self.title} does not load: {type(error).__name__}: {error}. "
                        "`minpy doctor` says how to repair it"
                    )
        if self.module is None:
            raise DeviceError(self._failure)
        return self.module
