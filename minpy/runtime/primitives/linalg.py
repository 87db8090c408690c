"""Rows: linalg."""
