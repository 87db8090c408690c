"""`LegacySummaryWriter`: writes summaries into a folder that TensorBoard reads."""

from __future__ import annotations

import os
import time
from typing import Any

from minpy.errors import ArgumentError
from minpy.visualization.events import EventFile, load


class SummaryWriter:
    """Writes summaries into a folder, which TensorBoard shows as one run.

    The folder is made if need be. Files that are in it stay: a second writer adds a file, and TensorBoard takes what
    has the same tag and a step that is not larger for a new beginning.

    Parameters
    ----------
    logdir : str or path
    max_queue, flush_secs : int
        Of no effect, as each summary is written at once; the original has them.
    filename_suffix : str
        Appended to the name of the file.

    Raises
    ------
    SummaryError
        If the folder cannot be written to, or TensorBoard is not installed.

    Examples
    --------
    >>> with SummaryWriter("log/train") as writer:
    ...     for step, loss in enumerate(losses):
    ...         writer.add_summary(summaryOps.scalarSummary("loss", loss), step)
    """

    def __init__(
        self,
        logdir: str | os.PathLike,
        max_queue: int = 10,
        flush_secs: float = 120,
        filename_suffix: str = "",
    ) -> None:
        self._logdir, self._suffix = os.fspath(logdir), filename_suffix
        self._file = EventFile(self._logdir, filename_suffix)
        self._messages = load("compat.proto.event_pb2")
        self._kinds: dict[str, tuple[str, str]] = {}

    def add_summary(self, summary: Any, global_step: int | None = None) -> None:
        """Write a summary.

        Parameters
        ----------
        summary : Summary or bytes
            What a function of `summaryOps` gave, or its bytes.
        global_step : int, optional
            Its place on the axis; 0 without.

        Raises
        ------
        SummaryError
            If it cannot be written; the file is as it was before.
        """
        messages = load("compat.proto.summary_pb2")
        if isinstance(summary, bytes):
            summary = messages.Summary.FromString(summary)
        if not isinstance(summary, messages.Summary):
            raise ArgumentError(
                "add_summary: summary must be made by a function of minpy.visualization.summaryOps, such as "
                f"scalarSummary(tag, value), and not a {type(summary).__name__}"
            )
        for value in summary.value:
            kind = (value.WhichOneof("value") or "", value.metadata.plugin_data.plugin_name)
            if self._kinds.setdefault(value.tag, kind) != kind:
                raise ArgumentError(
                    f"add_summary: {value.tag!r} was a summary of another kind before, and TensorBoard would show "
                    "neither: give each kind a tag of its own"
                )
        self.add_event(self._messages.Event(summary=summary), global_step)

    def add_event(self, event: Any, step: int | None = None) -> None:
        """Write an event of TensorBoard's, dated now unless it has a date."""
        if not event.wall_time:
            event.wall_time = time.time()
        if step is not None:
            event.step = int(step)
        self._file.write(event)

    def add_session_log(self, session_log: Any, global_step: int | None = None) -> None:
        """Write the beginning or end of a session; TensorBoard forgets what lies behind the step of a beginning."""
        self.add_event(self._messages.Event(session_log=session_log), global_step)

    def add_run_metadata(self, run_metadata: Any, tag: str, global_step: int | None = None) -> None:
        """Write metadata of a run: a message, or its bytes."""
        data = run_metadata if isinstance(run_metadata, bytes) else run_metadata.SerializeToString()
        tagged = self._messages.TaggedRunMetadata(tag=tag, run_metadata=data)
        self.add_event(self._messages.Event(tagged_run_metadata=tagged), global_step)

    def get_logdir(self) -> str:
        """The folder."""
        return self._logdir

    def flush(self) -> None:
        """Nothing is kept back."""

    def close(self) -> None:
        """Close the file; twice is once."""
        self._file.close()

    def reopen(self) -> None:
        """Go on with a new file in the same folder, after `close`."""
        if self._file.closed:
            self._file = EventFile(self._logdir, self._suffix)

    def __enter__(self) -> SummaryWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


LegacySummaryWriter = SummaryWriter
