"""See `minpy.visualization.events`."""

from minpy.visualization.events import EventFile as EventsWriter
from minpy.visualization.writer import SummaryWriter as EventFileWriter

__all__ = ["EventFileWriter", "EventsWriter"]
