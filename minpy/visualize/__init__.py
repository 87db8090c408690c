"""`minpy.visualization` by the names of a branch of the original."""

from minpy.visualize import event_file_writer, summary_ops, visualizer, writer

__all__ = ["event_file_writer", "summary_ops", "visualizer", "writer"]
