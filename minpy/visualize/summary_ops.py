"""See `minpy.visualization.summaryOps`."""

from minpy.visualization.summaryOps import histogramSummary as histogram_summary
from minpy.visualization.summaryOps import imageSummary as image_summary
from minpy.visualization.summaryOps import scalarSummary as scalar_summary
from minpy.visualization.summaryOps import textSummary as text_summary

__all__ = ["histogram_summary", "image_summary", "scalar_summary", "text_summary"]
