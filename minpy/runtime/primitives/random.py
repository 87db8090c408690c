"""Rows: random."""
