"""Ports to numexpr, which are element-wise expressions."""

finish = None
