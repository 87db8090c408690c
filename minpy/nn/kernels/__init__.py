"""Convolution and pooling of plain arrays: MXNet's kernels for float32 where MXNet is installed, else NumPy."""
