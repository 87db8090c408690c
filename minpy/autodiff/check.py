"""`check_grads`: derivatives against differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minpy.autodiff import calls, trees
from minpy.autodiff.forward import jvp
from minpy.autodiff.reverse import vjp
from minpy.errors import GradientError
from minpy.runtime.array import Array

# Steps and tolerances by the precision of the values: the error of a central difference is about eps ** (2 /
# 3).
_STEP = {"float16": 3e-2, "float32": 3e-3, "float64": 1e-5}
_TOLERANCE = {"float16": 5e-2, "float32": 5e-3, "float64": 1e-6}


def check_grads(
    fun: Callable[..., Any],
    args: Sequence[Any],
    order: int = 2,
    modes: str | Sequence[str] = ("fwd", "rev"),
    *,
    rtol: float | None = None,
    atol: float | None = None,
    eps: float | None = None,
    seed: int = 0,
) -> None:
    """Compare the derivatives of `fun` with central differences along random directions.

    Parameters
    ----------
    fun : callable
        A function of the positional arguments `args`. It is called on copies of them.
    args : tuple or list
        Where: trees of floating-point arrays and numbers. The function must be smooth there.
    order : int
        Up to which derivative; those of higher order are checked on the functions that compute the lower
        ones.
    modes : str or sequence of str
        ``"fwd"`` (`jvp`), ``"rev"`` (`vjp`), or both. For higher orders every combination is checked.
    rtol, atol, eps : float, optional
        Tolerances, and the step of the differences; by default they suit the least precise dtype, and grow
        with the order.
    seed : int
        Of the random directions.

    Raises
    ------
    AssertionError
        If a derivative differs; the message names mode, order and the values.
    GradientError
        If there is nothing to check.
    """
    modes = (modes,) if isinstance(modes, str) else tuple(modes)
    if not modes or set(modes) - {"fwd", "rev"}:
        raise GradientError(f"modes are 'fwd' and 'rev', not {modes!r}")
    if not isinstance(order, int) or order < 1:
        raise GradientError(f"order is a positive integer, not {order!r}")
    if not isinstance(args, (tuple, list)):
        raise GradientError(f"check_grads takes the arguments as a tuple or list, not {trees.summary(args)}")
    least = _least(args)
    if least is None:
        raise GradientError("check_grads: there is no floating-point value among the arguments")
    options = (
        _TOLERANCE[least] if rtol is None else rtol,
        _TOLERANCE[least] if atol is None else atol,
        _STEP[least] if eps is None else eps,
    )
    rng = np.random.default_rng(seed)
    _check(fun, tuple(args), order, modes, options, rng, calls.name_of(fun))


def _check(
    fun: Any, args: tuple, order: int, modes: tuple, options: tuple, rng: np.random.Generator, label: str
) -> None:
    rtol, atol, eps = options
    direction = trees.transform(lambda leaf: _random(leaf, rng), args)
    ahead, behind = (
        _kept(fun, trees.transform(lambda a, d, s=s: _moved(a, d, s), args, direction)) for s in (eps, -eps)
    )
    weights = trees.transform(lambda leaf: _random(leaf, rng), ahead)
    difference = trees.transform(lambda a, b: _slope(a, b, eps), ahead, behind)
    for mode in modes:
        name = f"{mode}({label})"
        if mode == "fwd":
            _, tangent = jvp(fun, _fresh(args), direction)
            for (path, expected), found in zip(trees.walk(difference), trees.leaves(tangent), strict=True):
                if expected is not None and found is not None:
                    _compare(found, expected, rtol, atol, f"{name}: the tangent of the result{path}")
        else:
            _, pullback = vjp(fun, *_fresh(args))
            found = _inner(pullback(weights), direction)
            expected = _inner(weights, difference)
            scale = max(1.0, _norm(weights) * _norm(difference) / 10)
            _compare(
                found,
                expected,
                rtol,
                atol * scale,
                f"{name}: the product of cotangent, Jacobian and direction",
            )
    if order == 1:
        return
    # The error of a difference of derivatives grows with each order.
    next_options = (rtol * 10, atol * 10, eps)
    if "fwd" in modes:
        count = len(args)

        def forward(*both: Any) -> Any:
            return _only_floats(jvp(fun, both[:count], both[count:])[1])

        _check(forward, (*args, *direction), order - 1, modes, next_options, rng, f"fwd {label}")
    if "rev" in modes:

        def reverse(*values: Any) -> Any:
            return vjp(fun, *values)[1](weights)

        _check(reverse, args, order - 1, modes, next_options, rng, f"rev {label}")


def _least(tree: Any) -> str | None:
    found = [d for d in map(_dtype, trees.leaves(tree)) if d is not None]
    real = [np.zeros(0, d).real.dtype.name for d in found]
    for name in ("float16", "float32", "float64"):
        if name in real:
            return name
    return "float64" if found else None


def _dtype(leaf: Any) -> np.dtype | None:
    if isinstance(leaf, (np.ndarray, np.generic, Array)):
        return leaf.dtype if leaf.dtype.kind in "fc" else None
    if isinstance(leaf, (float, complex)):
        return np.asarray(leaf).dtype
    return None


def _random(leaf: Any, rng: np.random.Generator) -> Any:
    dtype = _dtype(leaf)
    if dtype is None:
        return None
    value = np.asarray(rng.normal(size=np.shape(leaf)))
    if dtype.kind == "c":
        value = value + 1j * rng.normal(size=np.shape(leaf))
    return value.astype(dtype)[()]


def _fresh(tree: Any) -> Any:
    return trees.transform(lambda leaf: leaf.copy() if isinstance(leaf, np.ndarray) else leaf, tree)


def _kept(fun: Any, args: tuple) -> Any:
    # The result may be a view of the arguments, or of something that the next call changes.
    return _fresh(fun(*args))


def _moved(leaf: Any, direction: Any, step: float) -> Any:
    if direction is None:
        return leaf.copy() if isinstance(leaf, np.ndarray) else leaf
    dtype = _dtype(leaf)
    return (np.asarray(leaf) + np.asarray(step * direction, dtype)).astype(dtype)[()]


def _slope(ahead: Any, behind: Any, eps: float) -> Any:
    if _dtype(ahead) is None:
        return None
    wide = np.complex128 if _dtype(ahead).kind == "c" else np.float64  # type: ignore[union-attr]
    return (np.asarray(ahead).astype(wide) - np.asarray(behind).astype(wide)) / (2 * eps)


def _inner(left: Any, right: Any) -> float:
    """The real part of the sum of products, without conjugation: the pairing of cotangents and tangents."""
    total = 0.0
    for a, b in zip(trees.leaves(left), trees.leaves(right), strict=True):
        if a is not None and b is not None and _dtype(a) is not None:
            total += float(np.real(np.sum(np.asarray(a, np.complex128) * np.asarray(b, np.complex128))))
    return total


def _norm(tree: Any) -> float:
    return float(
        np.sqrt(sum(float(np.sum(np.abs(leaf) ** 2)) for leaf in trees.leaves(tree) if leaf is not None))
    )


def _only_floats(tree: Any) -> Any:
    return [leaf for leaf in trees.leaves(tree) if leaf is not None]


def _compare(found: Any, expected: Any, rtol: float, atol: float, what: str) -> None:
    found, expected = np.asarray(found), np.asarray(expected)
    scale = max(1.0, float(np.max(np.abs(expected), initial=0)))
    if found.shape != expected.shape or not np.allclose(found, expected, rtol, atol * scale):
        raise AssertionError(
            f"{what} is {found}, but differences give {expected} (rtol {rtol:g}, atol {atol * scale:g})"
        )
