"""Rows: sorting."""
