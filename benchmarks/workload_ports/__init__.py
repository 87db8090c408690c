"""The gradient workloads: their data, as a plain NumPy program, and as users of the peers would write them."""
