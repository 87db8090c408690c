"""Sums of products as contractions: ``np.sum(a * b, axis=…)`` by BLAS's matrix products. Only with ``--fast-math``.

``np.sum(windows * weights, axis=(1, 2, 3))`` multiplies arrays into one as large as both together and adds that up. It
is the same sum as a matrix product's, added in another order, so equal but for rounding; many times as fast where the
arrays are broadcast against each other, as in convolutions by windows (im2col), distances and batched products.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minpy.runtime.fuse.free import fast_math
from minpy.runtime.fuse.ir import Irregular
from minpy.runtime.fuse.state import raising

NAME = "contracted"
_TYPES = "fd"
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Contraction:
    """The sum over some axes of the product of two arrays, or of a square, for one geometry."""

    def __init__(self, operand: Any, axes: tuple[int, ...], mean: bool, keepdims: bool) -> None:
        plan = operand.plan
        self.operand, self.keepdims = operand, keepdims
        shape = plan.shape
        self.number = int(np.prod([shape[axis] for axis in axes])) if mean else 0
        (step,) = plan.steps
        places = [k for _, k in step.operands]
        self.places = places if len(places) == 2 else places * 2
        letters = _LETTERS[: len(shape)]
        out = "".join(letters[axis] for axis in range(len(shape)) if axis not in axes)
        self.indices = []
        terms = []
        samples = []
        for k in self.places:
            own = plan.operand_shapes[k]
            mine = letters[len(shape) - len(own) :]
            # What is broadcast has one element: it belongs to no axis.
            kept = [extent == shape[len(shape) - len(own) + i] for i, extent in enumerate(own)]
            self.indices.append(tuple(slice(None) if each else 0 for each in kept))
            terms.append("".join(letter for letter, each in zip(mine, kept, strict=True) if each))
            extents = [extent for extent, each in zip(own, kept, strict=True) if each]
            samples.append(np.broadcast_to(np.zeros((), plan.dtype), extents))
        self.subscripts = f"{','.join(terms)}->{out}"
        self.path = np.einsum_path(self.subscripts, *samples, optimize="greedy")[0]
        self.shape = tuple(
            1 if axis in axes else extent for axis, extent in enumerate(shape) if keepdims or axis not in axes
        )

    def run(self, leaves: tuple[Any, ...], flags: int) -> Any:
        """Compute.

        Raises
        ------
        Irregular
            The result is not finite: NumPy is to say what there is to say about that.
        """
        arrays, _ = self.operand.plan.prepare(*leaves)
        with raising(0):
            parts = [arrays[k][index] for k, index in zip(self.places, self.indices, strict=True)]
            result = np.einsum(self.subscripts, *parts, optimize=self.path)
            if self.number:
                result = result / result.dtype.type(self.number)
            if flags and not np.isfinite(result).all():
                raise Irregular
        if not self.shape:
            return result[()]
        own = np.empty(self.shape, result.dtype)  # in C order, and nobody else's memory, as NumPy's is
        own[...] = result.reshape(self.shape)
        return own


def of(name: str, operand: Any, axes: tuple[int, ...], keepdims: bool) -> Contraction | None:
    """How a reduction is a contraction, if results may differ in rounding and it is one."""
    if not fast_math() or name not in ("sum", "mean") or operand.plan is None:
        return None
    plan = operand.plan
    if len(plan.steps) != 1 or plan.dtype.char not in _TYPES or len(plan.shape) > 20:
        return None
    (step,) = plan.steps
    if step.name not in ("multiply", "square") or any(where != "x" for where, _ in step.operands):
        return None
    if any(each != plan.dtype for each in plan.operand_dtypes):
        return None
    return Contraction(operand, axes, name == "mean", keepdims)
