"""See `minpy.visualization.writer`."""

from minpy.visualization.writer import SummaryWriter

__all__ = ["SummaryWriter"]
