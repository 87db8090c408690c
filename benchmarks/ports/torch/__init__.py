"""Ports to PyTorch, eager, on the host, without gradients."""

import torch


def finish(result):
    """NumPy's arrays of a result."""
    if isinstance(result, tuple):
        return tuple(map(finish, result))
    return result.numpy() if isinstance(result, torch.Tensor) else result
