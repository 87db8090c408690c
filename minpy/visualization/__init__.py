"""Summaries for TensorBoard: scalars, histograms, images and texts, written without TensorFlow.

`writer.LegacySummaryWriter` writes what the functions of `summaryOps` make; `Solver(visualize=True)` writes the loss,
the accuracies and the size of the gradient by itself. Needs the extra ``viz``.
"""

from minpy.visualization import summaryOps, writer
from minpy.visualization.writer import LegacySummaryWriter, SummaryWriter

__all__ = ["LegacySummaryWriter", "SummaryWriter", "summaryOps", "writer"]
