"""Rows: fft."""
