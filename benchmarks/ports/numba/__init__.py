"""Ports to Numba. Their results are NumPy's objects as they are."""

finish = None
