"""Rows: linalg."""

from minpy.runtime.primitives.table import row

row("matmul", cost="matmul")
