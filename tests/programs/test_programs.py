"""Whole programs, imported through the hook and unmodified, against differences of the same under plain Python."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from differences import same

import minpy
from minpy.errors import RewriteWarning
from minpy.transform import hook

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.py"))
SECOND = (
    "heat_1d lu_solve cholesky kalman rk4 n_body tridiagonal lstm fdtd edit_distance soft_k_means".split()
)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[ModuleType, ModuleType]]]:
    """Every program twice: imported under `minpy.install()`, and plain."""
    folder = CORPUS[0].parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINPY_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.syspath_prepend(str(folder))
        for path in CORPUS:
            assert path.stem not in sys.modules
        try:
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore", RewriteWarning
                )  # test modules beside the folder are imported already
                minpy.install(include=[str(folder)])
            rewritten = {path.stem: importlib.import_module(path.stem) for path in CORPUS}
        finally:
            hook.uninstall()
            for path in CORPUS:
                sys.modules.pop(path.stem, None)
    yield {name: (module, plain(folder / f"{name}.py")) for name, module in rewritten.items()}


def plain(path: Path) -> ModuleType:
    module = ModuleType(path.stem)
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), module.__dict__)
    return module


def state(module: ModuleType) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if name.isupper()}


@pytest.mark.parametrize("name", [path.stem for path in CORPUS])
@pytest.mark.parametrize("layout", ["C", "F", "strided"])
def test_gradient(programs: Any, name: str, layout: str) -> None:
    """In both modes, whatever the memory layout; arguments and globals end as the plain program leaves them."""
    ours, theirs = programs[name]
    assert "__minpy__" in ours.run.__code__.co_names + sum((f.__code__.co_names for f in functions(ours)), ())
    rng = np.random.default_rng(7)
    x = theirs.sample(rng)
    v = rng.normal(size=x.shape)
    expected = arranged(x, layout)
    value = theirs.run(expected)
    left = arranged(x, layout)
    got, g = minpy.value_and_grad(ours.run)(left)
    assert got == value and isinstance(got, float)
    same(left, expected)
    same(state(ours), state(theirs))
    assert type(g) is np.ndarray and g.shape == x.shape
    tangent = minpy.jvp(ours.run, (arranged(x, layout),), (v,))[1]
    slope = float(np.sum(g * v))
    scale = 1 + abs(slope)
    assert abs(slope - tangent) <= 1e-10 * scale
    assert abs(slope - difference(lambda y: theirs.run(y), x, v)) <= 1e-6 * scale


@pytest.mark.parametrize("name", SECOND)
def test_second_derivative(programs: Any, name: str) -> None:
    """Along a direction: forward over reverse and reverse over reverse, against differences of the gradient."""
    ours, theirs = programs[name]
    rng = np.random.default_rng(11)
    x = theirs.sample(rng)
    v, w = rng.normal(size=(2, *x.shape)) * 0.3
    product = minpy.hessian_vector_product(ours.run)(x.copy(), v)
    again = minpy.grad(lambda y: np.sum(minpy.grad(ours.run)(y) * v))(x.copy())
    scale = 1 + np.max(np.abs(product))
    np.testing.assert_allclose(again, product, rtol=0, atol=1e-9 * scale)
    expected = difference(lambda y: float(np.sum(minpy.grad(ours.run)(y) * v)), x, w)
    assert abs(np.sum(product * w) - expected) <= 1e-5 * scale


def functions(module: ModuleType) -> list[Any]:
    return [f for f in vars(module).values() if hasattr(f, "__code__")]


def arranged(x: np.ndarray, layout: str) -> np.ndarray:
    if layout == "F":
        return np.array(x, order="F")
    if layout == "strided":
        return np.repeat(x[::-1], 2, axis=0)[::-2]
    return x.copy()


def difference(f: Any, x: np.ndarray, v: np.ndarray) -> float:
    """The derivative along `v`, by Richardson's extrapolation of central differences."""
    h = 1e-4
    central = [(f(x + s * v) - f(x - s * v)) / (2 * s) for s in (h, h / 2)]
    return float((4 * central[1] - central[0]) / 3)
