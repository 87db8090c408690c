"""The exception family: every error carries a stable code that the documentation explains."""

from __future__ import annotations


class MinPyError(Exception):
    """Base of the errors that MinPy raises; `code` names its section in docs/errors.md."""

    code = "MP000"

    def __init__(self, message: str) -> None:
        super().__init__(f"{message} [{self.code}]")


class UsageError(MinPyError):
    """A wrong option, policy or context name; the command line reports it and exits with status 2."""

    code = "MP001"


class RewriteError(MinPyError):
    """A module could not be rewritten (raised only under ``--strict``, else a warning)."""

    code = "MP010"
    line: int | None = None  # in the module, where known


class DeviceError(MinPyError, RuntimeError):
    """A device was asked for that is not there or cannot be used."""

    code = "MP020"


class DeviceMemoryError(DeviceError, MemoryError):
    """The device has no room for an array, after all that could be freed was freed."""

    code = "MP022"


class DeviceFailure(DeviceError):
    """The device failed in mid-run: what it held is lost."""

    code = "MP023"


class PolicyError(MinPyError, ValueError):
    """No implementation is allowed under the current policy."""

    code = "MP021"


class TraceError(MinPyError, TypeError):
    """A value that is being differentiated would leave the tape, or cannot be differentiated."""

    code = "MP030"


class GradientError(MinPyError, ValueError):
    """A gradient does not exist or cannot be right."""

    code = "MP031"


class NanError(MinPyError, ArithmeticError):
    """An operation made a NaN or an infinity out of finite operands (raised only under ``--nan-check``)."""

    code = "MP032"


class ArgumentError(MinPyError, ValueError):
    """An argument of `minpy.nn` has the wrong shape or value, or a name is not known; the text names it."""

    code = "MP050"


class DivergenceError(MinPyError, ArithmeticError):
    """Training came to a loss that is not finite; the text names the iteration."""

    code = "MP051"


class CheckpointError(MinPyError, ValueError):
    """A file of parameters or a checkpoint is damaged, or belongs to another model."""

    code = "MP052"


class DataError(MinPyError, ValueError):
    """A file of data is damaged, in another format, or not the published one."""

    code = "MP053"


class MissingDataError(DataError, FileNotFoundError):
    """A data set is not there; the text says where it comes from."""


class SummaryError(MinPyError, OSError):
    """Summaries for TensorBoard cannot be written: a folder, a full disk, or a package that is missing."""

    code = "MP054"


class WorkerError(MinPyError, RuntimeError):
    """Processes that train together cannot begin or go on; the text says which, and why."""

    code = "MP060"


class MinPyWarning(UserWarning):
    """Base of the warnings."""


class RewriteWarning(MinPyWarning):
    """A module runs unmodified because it could not be rewritten, or was imported before the hook."""


class NanWarning(MinPyWarning):
    """As `NanError`, under ``--nan-check=warn``; once a line."""


class SummaryWarning(MinPyWarning):
    """Summaries could no longer be written; the training goes on."""


class CacheWarning(MinPyWarning):
    """A cache could not be read or written; work goes on without it."""
