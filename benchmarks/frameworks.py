"""The peers, with the workloads written as their users would write them. What is not installed is skipped.

Each gives functions from NumPy arrays to a value and a gradient, with all that a call costs in its framework.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np

Gradient = Callable[..., Any]


def _summed(np_: Any, width: int) -> Callable[..., Any]:
    """A sum over slices, in the namespace of a framework."""

    def function(x: Any) -> Any:
        total = 0.0
        for j in range(0, len(x), width):
            total = total + np_.sum(np_.sin(x[j : j + width]))
        return total

    return function


class PyTorch:
    """PyTorch, eager, on one thread."""

    name = "PyTorch"
    package = "torch"

    def __init__(self) -> None:
        import torch

        torch.set_num_threads(1)
        self.torch = torch
        self.version = torch.__version__

    def _gradient(self, function: Callable[..., Any]) -> Gradient:
        torch = self.torch

        def value_and_gradient(x: np.ndarray) -> Any:
            leaf = torch.from_numpy(x).requires_grad_()
            value = function(leaf)
            value.backward()
            return value.item(), leaf.grad.numpy()

        return value_and_gradient

    def chain(self, program: Callable[..., Any], *constants: np.ndarray) -> tuple[Gradient, Gradient]:
        """The chain's forward run, on a leaf as a training step has it, and with its gradient."""
        torch = self.torch
        fixed = [torch.from_numpy(c) for c in constants]

        def forward(x: np.ndarray) -> Any:
            return program(torch, torch.from_numpy(x).requires_grad_(), *fixed).item()

        return forward, self._gradient(lambda x: program(torch, x, *fixed))

    def writes(self, width: int) -> Gradient | None:
        """In-place updates of slices. Without the copy PyTorch refuses: it keeps the operand of ``sin``."""
        torch = self.torch

        def function(x: Any) -> Any:
            u = x.clone()
            for j in range(0, len(u), width):
                u[j : j + width] = torch.sin(u[j : j + width].clone())
            return torch.sum(u * u)

        return self._gradient(function)

    def reads(self, width: int) -> Gradient | None:
        """A sum over slices."""
        return self._gradient(_summed(self.torch, width))


class Autograd:
    """autograd, whose NumPy is an import of its own."""

    name = "autograd"
    package = "autograd"

    def __init__(self) -> None:
        import autograd
        import autograd.numpy as anp

        self.gradient, self.np = autograd.value_and_grad, anp
        self.version = importlib.metadata.version("autograd")

    def chain(self, program: Callable[..., Any], *constants: np.ndarray) -> tuple[Gradient, Gradient]:
        """The chain's forward run, in which nothing is recorded, and with its gradient."""

        def function(x: Any) -> Any:
            return program(self.np, x, *constants)

        return function, self.gradient(function)

    def writes(self, width: int) -> Gradient | None:
        """Refused by autograd."""
        return None

    def reads(self, width: int) -> Gradient | None:
        """A sum over slices."""
        return self.gradient(_summed(self.np, width))


class Jax:
    """JAX without ``jit``, in double precision."""

    name = "JAX (no jit)"
    package = "jax"

    def __init__(self) -> None:
        import jax

        jax.config.update("jax_enable_x64", True)
        jax.config.update("jax_platforms", "cpu")
        import jax.numpy as jnp

        self.jax, self.np = jax, jnp
        self.version = jax.__version__

    def _gradient(self, function: Callable[..., Any]) -> Gradient:
        gradient = self.jax.value_and_grad(function)
        return lambda x: self.jax.block_until_ready(gradient(self.np.asarray(x)))

    def chain(self, program: Callable[..., Any], *constants: np.ndarray) -> tuple[Gradient, Gradient]:
        """The chain's forward run, in which nothing is recorded, and with its gradient."""
        fixed = [self.np.asarray(c) for c in constants]

        def function(x: Any) -> Any:
            return program(self.np, x, *fixed)

        return lambda x: self.jax.block_until_ready(function(self.np.asarray(x))), self._gradient(function)

    def writes(self, width: int) -> Gradient | None:
        """Updates of slices, as JAX has them: out of place."""

        def function(u: Any) -> Any:
            for j in range(0, len(u), width):
                u = u.at[j : j + width].set(self.np.sin(u[j : j + width]))
            return self.np.sum(u * u)

        return self._gradient(function)

    def reads(self, width: int) -> Gradient | None:
        """A sum over slices."""
        return self._gradient(_summed(self.np, width))


ALL = (PyTorch, Autograd, Jax)


@functools.cache
def present() -> list[Any]:
    """The peers that are installed."""
    return [peer() for peer in ALL if importlib.util.find_spec(peer.package)]


def absent() -> list[str]:
    """A line for each peer that is not installed."""
    return [
        f"  {peer.name} skipped: not installed" for peer in ALL if not importlib.util.find_spec(peer.package)
    ]
