"""Chains of element-wise work on a GPU as one kernel, whose text runs here through the host's compiler."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

import kernels
import numpy as np
import pytest

import minpy
from minpy import routed
from minpy.runtime.backends import cupy_fused, cupy_windows
from minpy.runtime.context import gpu
from minpy.runtime.policy import PreferMXNetPolicy

pytestmark = pytest.mark.skipif(
    kernels.COMPILER is None, reason="no C++ compiler to run the kernels' text with"
)


@pytest.fixture
def card(machine, tmp_path, monkeypatch):
    """The card of `gpu(0)`, with kernels that are compiled at once."""
    machine.cupy.RawKernel = kernels.raw_kernel(machine, tmp_path)
    monkeypatch.setattr(cupy_fused, "_OFTEN", 1)
    with gpu(0), PreferMXNetPolicy():
        assert gpu(0).device().fuses
        yield machine.cards[0]


@pytest.fixture
def fuser(card):
    """What is put off on the card."""
    return gpu(0).device().fuser


def x(*shape: int, dtype: str = "float64") -> np.ndarray:
    return np.linspace(0.1, 0.9, int(np.prod(shape))).reshape(shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_chain_is_one_kernel_that_reads_once(card, fuser, dtype: str) -> None:
    np_ = routed.np
    a, b = np_.array(x(700, dtype=dtype)), np_.array(x(700, dtype=dtype)[::-1].copy())
    np_.array(a).asnumpy()
    before = card.kernels
    c = np_.tanh(a * b + a) - np_.exp(-b)
    assert card.kernels == before
    got = c.asnumpy()
    assert card.kernels == before + 1 and fuser.launched == 1
    p, q = x(700, dtype=dtype), x(700, dtype=dtype)[::-1]
    np.testing.assert_allclose(
        got, np.tanh(p * q + p) - np.exp(-q), atol=1e-6 if dtype == "float32" else 1e-15
    )
    assert got.dtype == dtype


def test_the_kernel_is_one_for_all_numbers_and_sizes(card, fuser) -> None:
    for n, k in ((10, 2.0), (1000, 3.0), (7, -1.5)):
        a = routed.np.array(x(n))
        np.testing.assert_allclose((a * k + 1.0).asnumpy(), x(n) * k + 1.0, rtol=1e-15)
    assert fuser.compiled == 1 and fuser.launched == 3


def test_broadcasting_and_strides(card, fuser) -> None:
    np_ = routed.np
    a, r, c = np_.array(x(20, 30)), np_.array(x(30)), np_.array(x(20, 1))
    for make in (
        lambda a, r, c: a * r + c,
        lambda a, r, c: (a[::2, 1:-1] - a[1::2, 2:]) * 0.5,
        lambda a, r, c: a.T[3:6] * c.T - 1.0,
        lambda a, r, c: a[::-1, ::-3] / (1.0 + a[:, ::3]),
        lambda a, r, c: r[None, :] * c + r,
    ):
        got = make(a, r, c)
        np.testing.assert_allclose(got.asnumpy(), make(x(20, 30), x(30), x(20, 1)), rtol=1e-14)
    assert fuser.launched == 5


@pytest.mark.parametrize("name", sorted(cupy_fused.OPERATIONS))
def test_each_operation_is_numpys(card, fuser, name: str) -> None:
    special = np.array([0.0, -0.0, 1.5, -2.5, np.nan, np.inf, -np.inf, 0.3])
    other = np.array([1.0, np.nan, -1.5, 2.0, 0.3, 2.0, -np.inf, 0.3])
    function: Any = getattr(routed.np, name)
    plain = getattr(np, name)
    operands = [special, other][: plain.nin] if isinstance(plain, np.ufunc) else [special > 0, special, other]
    with np.errstate(all="ignore"):
        got = function(*map(routed.np.array, operands))
        got = routed.np.where(got, routed.np.array(np.ones(8)), 0.0) if got.dtype == bool else got * 1.0
        want = plain(*operands)
    np.testing.assert_allclose(got.asnumpy(), want.astype(float), rtol=1e-14)
    assert fuser.launched == 1, fuser.why


def test_what_is_held_is_written_by_the_same_kernel(card, fuser) -> None:
    np_ = routed.np
    a = np_.array(x(50))
    b = a * 2.0
    c = np_.exp(b)
    d = c + b
    np.testing.assert_allclose(d.asnumpy(), np.exp(x(50) * 2) + x(50) * 2, rtol=1e-14)
    before = card.kernels
    np.testing.assert_allclose(c.asnumpy(), np.exp(x(50) * 2), rtol=1e-14)
    np.testing.assert_allclose(b.asnumpy(), x(50) * 2, rtol=1e-14)
    assert card.kernels == before and fuser.launched == 1


def test_writes_come_after_what_has_still_to_read(card, fuser) -> None:
    np_ = routed.np
    a = np_.array(x(6, 5))
    b = a * 2.0 + 1.0
    part = a[1] - a[2]
    a[1] = 7.0
    a[a > 0.85] = 0.0
    a += 1.0
    want = x(6, 5)
    np.testing.assert_array_equal(b.asnumpy(), want * 2.0 + 1.0)
    np.testing.assert_array_equal(part.asnumpy(), want[1] - want[2])
    want[1] = 7.0
    want[want > 0.85] = 0.0
    want += 1.0
    np.testing.assert_array_equal(a.asnumpy(), want)


def test_long_chains_are_cut(card, fuser) -> None:
    np_ = routed.np
    a, want = np_.array(x(30)), x(30)
    b = a
    for _ in range(100):
        b = b * 1.01 + a
        want = want * 1.01 + x(30)
    np.testing.assert_allclose(b.asnumpy(), want, rtol=1e-12)
    assert 100 * 2 / cupy_fused.MOST_NODES <= fuser.launched <= 16


def test_gradients(card, fuser) -> None:
    np_ = routed.np

    def f(u: Any) -> Any:
        v = np_.tanh(u * u + 1.0) / (1.0 + np_.exp(-u))
        v = np_.where(v > 0.4, v, 0.1 * v)
        return np_.sum(np_.maximum(v, 0.2) * v)

    got = minpy.grad(f)(x(40))
    assert fuser.launched > 0
    launched = card.kernels
    with minpy.OnlyNumPyPolicy():
        want = minpy.grad(f)(x(40))
    np.testing.assert_allclose(np.asarray(got), want, rtol=1e-11)
    assert launched < 60


def test_mixed_dtypes(card, fuser) -> None:
    np_ = routed.np
    a, i, s = np_.array(x(20)), np_.array(np.arange(20)), np_.array(x(20, dtype="float32"))
    for make in (
        lambda a, i, s: a * i + 1,
        lambda a, i, s: s * s * 2.0,
        lambda a, i, s: (s + a) * i,
        lambda a, i, s: i * 2 + i,
    ):
        got, want = make(a, i, s), make(x(20), np.arange(20), x(20, dtype="float32"))
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got.asnumpy(), want, rtol=1e-6)


def test_a_compiler_that_fails_is_done_without(card, fuser, monkeypatch) -> None:
    def refuse(self: Any) -> None:
        raise RuntimeError("nvrtc: error: invalid value for --gpu-architecture")

    monkeypatch.setattr(gpu(0).device().cupy.RawKernel, "compile", refuse)
    a = routed.np.array(x(30))
    for _ in range(2):
        np.testing.assert_allclose((a * 2.0 + a).asnumpy(), x(30) * 3, rtol=1e-14)
    assert not fuser.works and "invalid value" in fuser.why and fuser.launched == 0


def test_what_is_rare_is_not_compiled(card, fuser, monkeypatch) -> None:
    monkeypatch.setattr(cupy_fused, "_OFTEN", 5)
    for i in range(8):
        a = routed.np.array(x(30 + i))
        np.testing.assert_allclose((a * 2.0 + a).asnumpy(), x(30 + i) * 3, rtol=1e-14)
        assert fuser.compiled == (i >= 4)


def test_switched_off(machine, tmp_path, monkeypatch) -> None:
    machine.cupy.RawKernel = kernels.raw_kernel(machine, tmp_path)
    monkeypatch.setenv("MINPY_FUSE", "0")
    with gpu(0), PreferMXNetPolicy():
        before = machine.cards[0].kernels
        a = routed.np.array(x(30))
        a = a * 2.0 + a
        assert machine.cards[0].kernels > before + 1 and not gpu(0).device().fuses
        np.testing.assert_allclose(a.asnumpy(), x(30) * 3, rtol=1e-14)


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_reductions_take_the_chain_in(card, fuser, name: str, dtype: str) -> None:
    np_ = routed.np
    a, r = np_.array(x(40, 300, dtype=dtype)), np_.array(x(300, dtype=dtype))
    ours, plain = getattr(np_, name), getattr(np, name)
    rtol = 1e-6 if dtype == "float32" else 1e-13
    for options in (
        {},
        {"axis": 1},
        {"axis": -1, "keepdims": True},
        {"axis": (0, 1)},
        {"axis": (1, 0), "keepdims": True},
    ):
        before = fuser.launched
        got = ours(a * r - 0.3 * a, **options)
        want = plain(
            x(40, 300, dtype=dtype) * x(300, dtype=dtype)
            - np.dtype(dtype).type(0.3) * x(40, 300, dtype=dtype),
            **options,
        )
        assert fuser.launched == before + 1 and np.shape(got) == want.shape and got.dtype == dtype
        np.testing.assert_allclose(np.asarray(got), want, rtol=rtol if dtype == "float64" else 1e-5)
    got = ours(a * r, axis=0)  # another axis: after the chain
    np.testing.assert_allclose(
        np.asarray(got), plain(x(40, 300, dtype=dtype) * x(300, dtype=dtype), axis=0), rtol=1e-5
    )


@pytest.mark.parametrize("name", ["sum", "max", "min"])
def test_reductions_of_what_is_not_a_number(card, fuser, name: str) -> None:
    values = np.array(
        [[1.0, np.nan, 3.0, 2.0], [np.inf, 1.0, 2.0, -np.inf], [-1.0, -2.0, -np.inf, -3.0], [np.nan] * 4]
    )
    a = routed.np.array(values)
    with np.errstate(all="ignore"):
        got, want = (
            getattr(routed.np, name)(a * 2.0 + 1.0, axis=1),
            getattr(np, name)(values * 2.0 + 1.0, axis=1),
        )
    np.testing.assert_array_equal(np.asarray(got), want)
    assert fuser.launched == 1


def test_a_reduction_leaves_its_operand_put_off(card, fuser) -> None:
    np_ = routed.np
    a = np_.array(x(100))
    b = a * 2.0 + 1.0
    total = np_.sum(b)
    a[...] = 0.0  # b comes first
    np.testing.assert_allclose(total, np.sum(x(100) * 2 + 1), rtol=1e-14)
    np.testing.assert_array_equal(b.asnumpy(), x(100) * 2.0 + 1.0)


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="no nvcc to compile the kernels' text with")
def test_cudas_compiler_takes_the_text(card, fuser, tmp_path) -> None:
    np_ = routed.np
    for dtype in ("float32", "float64"):
        a, r, i = np_.array(x(4, 64, dtype=dtype)), np_.array(x(64, dtype=dtype)), np_.array(np.arange(64))
        for make in (
            lambda a, r, i: np_.where(np_.tanh(a * r) > 0.2, np_.maximum(a, r), np_.power(a, 0.5)),
            lambda a, r, i: np_.arctan2(np_.hypot(a, r), np_.rint(a)) + np_.expm1(a[:, ::-1]) * 2.0,
            lambda a, r, i: a * i + r,
            lambda a, r, i: np_.sum(np_.exp(a) * r, axis=1),
            lambda a, r, i: np_.max(a - r),
        ):
            np.asarray(make(a, r, i))
    texts = gpu(0).device().cupy.RawKernel.texts
    assert len(texts) >= 8
    source = tmp_path / "kernels.cu"
    texts = [text.replace(" fused(", f" fused{k}(") for k, text in enumerate(texts)]
    for name in cupy_windows._BODIES:
        for dtype in ("float32", "float64"):
            text = cupy_windows.source(name, np.dtype(dtype))
            texts.append(text.replace(f" {name}(", f" {name}_{dtype}("))
    source.write_text("\n".join(texts))
    command = [
        "nvcc",
        "-ptx",
        "-arch=sm_90",
        "--fmad=false",
        str(source),
        "-o",
        str(tmp_path / "kernels.ptx"),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    assert (tmp_path / "kernels.ptx").read_text().count(".entry") == len(texts)
