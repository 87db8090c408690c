"""Kernels of NumPy's products for AVX-512: the bits of those that they replace."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from minpy.runtime import openblas, widen
from minpy.runtime.widen.assembler import R11, R13, R14, R15, RAX, RBX, RCX, RDI, RDX, Code, Memory

LIBRARY = openblas.own() if sys.platform.startswith("linux") else None
HAS_KERNELS = (
    LIBRARY is not None and openblas.flags() >= widen._NEEDED and hasattr(LIBRARY, "dgemm_kernel_PRESCOTT")
)
needs_kernels = pytest.mark.skipif(
    not HAS_KERNELS, reason="no processor with AVX-512, or NumPy's OpenBLAS has no kernels for Prescott"
)

# An instruction for elements of so many bytes, and what GNU as makes of it.
INSTRUCTIONS: list[tuple[int, Callable[[Code], None], str]] = [
    (8, lambda code: code.product(5, 31, 26, 64), "62 91 85 40 59 ea"),
    (4, lambda code: code.sum(30, 17, Memory(RAX, 32, R15, 2), 32), "62 21 74 20 58 74 78 01"),
    (8, lambda code: code.insert_half(26, 26, Memory(RBX, 64, R13)), "62 23 ad 40 1a 54 2b 02 01"),
    (8, lambda code: code.repeat(12, Memory(RDI, 8), 64), "62 72 fd 48 59 67 01"),
    (4, lambda code: code.repeat(26, Memory(RDI, 4, R15), 16), "62 22 7d 08 58 54 3f 01"),
    (8, lambda code: code.store_vector(Memory(R11, 0x1000), 24, 32), "62 41 fd 28 11 83 00 10 00 00"),
    (8, lambda code: code.product(5, 31, 26, 8), "62 91 87 00 59 ea"),
    (8, lambda code: code.repeat(12, Memory(RDI, 16), 8), "62 71 ff 08 10 67 02"),
    (8, lambda code: code.store_vector(Memory(R11, 8), 24, 8), "62 41 ff 08 11 43 01"),
    (8, lambda code: code.clear(20), "62 a1 5d 00 ef e4"),
    (8, lambda code: code.add(RBX, R15), "4c 01 fb"),
    (8, lambda code: code.address(R14, Memory(R13, 0, R13, 2)), "4f 8d 74 6d 00"),
    (8, lambda code: code.multiply(RCX, RDX), "48 0f af ca"),
    (8, lambda code: code.shift(RAX, -2), "48 c1 e8 02"),
    (8, lambda code: code.shift(R13, 5), "49 c1 e5 05"),
    (8, lambda code: code.choose(RAX), "c4 e1 fb 92 c8"),
    (8, lambda code: code.choose(R11), "c4 c1 fb 92 cb"),
    (8, lambda code: code.lowest(RAX, RDX), "48 b8 ff ff ff ff ff ff ff ff c4 e2 e8 f5 c0"),
    (8, lambda code: code.load_vector(23, Memory(RDX, 448), 64, chosen=True), "62 e1 fd c9 10 7a 07"),
    (8, lambda code: code.store_vector(Memory(R11, 64), 17, 64, chosen=True), "62 c1 fd 49 11 4b 01"),
    (8, lambda code: code.product(23, 23, 30, 64, chosen=True), "62 81 c5 41 59 fe"),
    (8, lambda code: code.add_product(5, 31, 26, 64), "62 92 85 40 b8 ea"),
    (8, lambda code: code.add_product(5, 31, 26, 8), "62 92 85 00 b9 ea"),
    (4, lambda code: code.add_product(20, 27, 25, 64), "62 82 25 40 b8 e1"),
]


@pytest.mark.parametrize(("size", "instruction", "expected"), INSTRUCTIONS)
def test_instructions(size: int, instruction: Callable[[Code], None], expected: str) -> None:
    code = Code(size)
    instruction(code)
    assert code.finished().hex(" ") == expected


@needs_kernels
@pytest.mark.parametrize("letter", ["d", "s"])
def test_kernels_have_the_same_bits(letter: str) -> None:
    """Of blocks of any size, with NaNs of both signs and infinities."""
    _, size, dtype, number = next(each for each in widen._TYPES if each[0] == letter)
    original = ctypes.cast(getattr(LIBRARY, f"{letter}gemm_kernel_PRESCOTT"), ctypes.c_void_p).value
    kind = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_long] * 3, number, *[ctypes.c_void_p] * 3, ctypes.c_long)
    kernels = kind(original), kind(widen._placed(widen._code(size, original)))
    rng = np.random.default_rng(5)
    for turn in range(300):
        rows, columns, terms = (int(rng.integers(1, most)) for most in (100, 60, 150))
        distance = rows + int(rng.integers(0, 9))
        a, b = (rng.standard_normal(each * terms + 512).astype(dtype) for each in (rows, columns))
        if turn % 3 == 0:
            for each in (a, b):
                for value in (np.nan, -np.nan, np.inf):
                    each[rng.integers(0, each.size, each.size // 30)] = value
        start = rng.standard_normal(distance * columns).astype(dtype)
        results = []
        for kernel in kernels:
            c = start.copy()
            factor = (1.0, -0.3)[turn % 2]
            kernel(rows, columns, terms, factor, a.ctypes.data, b.ctypes.data, c.ctypes.data, distance)
            results.append(c.tobytes())
        assert results[0] == results[1], (rows, columns, terms)


@needs_kernels
@pytest.mark.parametrize("letter", ["d", "s"])
def test_fused_kernels_differ_in_rounding_only(letter: str) -> None:
    """Of blocks of any size; what lies beside them is neither written to nor reckoned with."""
    _, size, dtype, number = next(each for each in widen._TYPES if each[0] == letter)
    original = ctypes.cast(getattr(LIBRARY, f"{letter}gemm_kernel_PRESCOTT"), ctypes.c_void_p).value
    kind = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_long] * 3, number, *[ctypes.c_void_p] * 3, ctypes.c_long)
    kernels = kind(original), kind(widen._placed(widen._code(size, original, fused=True)))
    rng = np.random.default_rng(5)
    apart = 0
    for _ in range(300):
        rows, columns, terms = (int(rng.integers(1, most)) for most in (100, 60, 150))
        distance = rows + int(rng.integers(0, 9))
        # Behind each block there are what would become NaNs.
        a, b = (np.full(each * terms + 512, np.inf, dtype) for each in (rows, columns))
        a[: rows * terms], b[: columns * terms] = rng.random(rows * terms), rng.random(columns * terms)
        start = rng.standard_normal(distance * columns).astype(dtype)
        results = []
        for kernel in kernels:
            c = start.copy()
            kernel(rows, columns, terms, 0.5, a.ctypes.data, b.ctypes.data, c.ctypes.data, distance)
            results.append(c)
        assert np.allclose(*results, rtol=0, atol=terms**2 * np.finfo(dtype).eps), (rows, columns, terms)
        beside = [each.reshape(columns, distance)[:, rows:].tobytes() for each in (start, results[1])]
        assert beside[0] == beside[1]
        apart += results[0].tobytes() != results[1].tobytes()
    assert apart


@needs_kernels
def test_the_kernel_of_vectors_has_the_same_bits() -> None:
    """Of any number of rows and columns, steps, places in memory, with NaNs of both signs and infinities."""
    original = ctypes.cast(LIBRARY.dgemv_n_PRESCOTT, ctypes.c_void_p).value
    kernels = [
        widen.vector_kernel(place) for place in (original, widen._placed(widen._code(8, original, "gemv")))
    ]
    rng = np.random.default_rng(6)
    buffer = np.zeros(1 << 12)
    for turn in range(400):
        rows, columns, step = (int(rng.integers(0, most)) for most in (300, 60, 4))
        rows, columns, step = rows * (turn % 50 != 7), columns * (turn % 50 != 9), step or -1
        result_step, distance, place = 1 + (turn % 5 == 4), max(rows, 1) + int(rng.integers(0, 9)), turn % 2
        a, x = rng.standard_normal(columns * distance + 8), rng.standard_normal(2 * columns * abs(step) + 8)
        y = rng.standard_normal(rows * result_step + 8)
        if turn % 3 == 0:
            for each in (a, x, y):
                for value in (np.nan, -np.nan, np.inf):
                    each[rng.integers(0, each.size, max(each.size // 30, 1))] = value
        results = []
        for kernel in kernels:
            result = y.copy()
            where = result.ctypes.data
            factor = (1.0, -0.3)[turn % 2]
            kernel(
                rows, columns, 0, factor, a[place:].ctypes.data, distance, x[x.size // 2 :].ctypes.data, step,
                where, result_step, buffer.ctypes.data,
            )  # fmt: skip
            results.append(result.tobytes())
        assert results[0] == results[1], (rows, columns)


@needs_kernels
def test_what_clears_the_place_of_a_product_is_the_same() -> None:
    places = [
        ctypes.cast(getattr(LIBRARY, name), ctypes.c_void_p).value
        for name in (widen._SCALING, widen._WIDE_SCALING)
    ]
    assert widen._same_scaling(*places)
    rng = np.random.default_rng(7)
    for turn in range(200):
        rows, columns = (int(rng.integers(0, most)) for most in (90, 20))
        distance = max(rows, 1) + int(rng.integers(0, 9))
        start = rng.standard_normal(columns * distance + 8)
        start[rng.integers(0, start.size, 3)] = np.nan, -np.inf, -0.0
        results = []
        for place in places:
            c = start.copy()
            where, factor = c[turn % 2 :].ctypes.data, (0.0, -1.0, 0.3)[turn % 3]
            widen.scaling_kernel(place)(rows, columns, 0, factor, None, 0, None, 0, where, distance)
            results.append(c.tobytes())
        assert results[0] == results[1], (rows, columns)


@pytest.fixture
def replaced(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Our kernels may be put in and out; NumPy's are there again at the end."""
    if not widen._replaced and not widen.start():
        pytest.skip(widen.why_not())
    yield
    widen.use(True)


def both_ways(work: Callable[[], list]) -> tuple[list[bytes], list[bytes]]:
    found = []
    for ours in (False, True):
        widen.use(ours)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            results = [np.asarray(each).tobytes() for each in work()]
        found.append([*results, str([(each.category, str(each.message)) for each in told]).encode()])
    return found[0], found[1]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_products_have_the_same_bits(replaced: None, dtype: type, threads: int) -> None:
    rng = np.random.default_rng(7)
    shapes = [tuple(int(each) for each in rng.integers(1, 200, 3)) for _ in range(40)]
    shapes += [(300, 1, 300), (128, 700, 130), (5, 1000, 3), (1000, 20, 5), (600, 70, 33)]

    def work() -> list:
        rng = np.random.default_rng(8)
        results = []
        for rows, terms, columns in shapes:
            a, b = (
                rng.normal(size=(rows, terms)).astype(dtype),
                rng.normal(size=(terms, columns)).astype(dtype),
            )
            results += [a @ b, a.T.copy().T @ b, a @ b.T.copy().T, np.dot(a, b), a @ a.T, a.T @ a]
            results += [a[0] @ b, b.T @ a[0], a.T[:, ::2] @ a[::2, 0], np.dot(b[:, -1], b)]
            a[rows // 2, terms // 2], b[terms // 2, 0] = np.inf, np.nan
            results += [a[rows // 2] @ b, a[:, 0] @ a]
            results.append(a @ b)
        stack = rng.normal(size=(3, 40, 50)).astype(dtype)
        return [*results, stack @ stack.transpose(0, 2, 1), np.einsum("ij,jk->ik", a, b), np.inner(b.T, a)]

    set_threads = LIBRARY.openblas_set_num_threads64_
    before = LIBRARY.openblas_get_num_threads64_()
    set_threads(ctypes.c_int(threads))
    try:
        as_they_were, ours = both_ways(work)
    finally:
        set_threads(ctypes.c_int(before))
    assert as_they_were == ours


def test_linear_algebra_has_the_same_bits(replaced: None) -> None:
    def of_size(n: int) -> list:
        a = np.random.default_rng(9).normal(size=(n, n))
        b = a @ a.T + np.eye(n)
        return [
            np.linalg.solve(a, b[:, :7]), np.linalg.solve(a, b[0]), np.linalg.lstsq(b[:, : n // 2 + 1], a[0], None)[0],
            np.linalg.inv(a), np.linalg.cholesky(b), *np.linalg.qr(a),
            *np.linalg.svd(a), *np.linalg.eigh(b), np.linalg.eigvals(a), np.linalg.det(a),
        ]  # fmt: skip

    def work() -> list:
        return [each for n in (1, 2, 3, 4, 5, 8, 9, 17, 40, 150) for each in of_size(n)]

    as_they_were, ours = both_ways(work)
    assert as_they_were == ours


PROGRAM = """
import json, sys
import numpy as np
a = np.linspace(0.0, 1.0, 90000).reshape(300, 300)
digest = hash((a @ a).tobytes())
from minpy.runtime import widen
print(json.dumps([digest, widen._state]))
"""


def ran(code: str, *options: str, **variables: str) -> list:
    environment = {**os.environ, "PYTHONHASHSEED": "1", **variables}
    command = [sys.executable, "-m", "minpy", "run", *options, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_a_program_is_told_nothing(replaced: None) -> None:
    """The kernels are there when it begins, unless they are not wanted; another choice of kernels stays."""
    digest, state = ran(PROGRAM)
    assert state == ""
    assert ran(PROGRAM, "--no-wide-products") == [digest, "off (--no-wide-products)"]
    assert ran(PROGRAM, MINPY_WIDE_PRODUCTS="0") == [digest, "off (--no-wide-products)"]
    assert ran(PROGRAM, OPENBLAS_CORETYPE="Haswell")[1] == "NumPy's OpenBLAS has kernels for Haswell"


def test_fused_products_are_asked_for(replaced: None) -> None:
    digest = ran(PROGRAM)[0]
    other = ran(PROGRAM, "--fast-math")
    assert other[1] == "" and other[0] != digest
    assert ran(PROGRAM, "--no-fast-math", MINPY_FAST_MATH="1") == [digest, ""]
    assert ran(PROGRAM, "--fast-math", "--no-wide-products")[0] == digest


@pytest.mark.parametrize(
    ("text", "other", "looked"),
    [
        ("print(np.ones(3).sum())", "", False),
        ("import json, other", "x = np.sort([2, 1])", False),
        ("print(np.ones(3) @ np.ones(3))", "", True),
        ("f = getattr(np, 'd' + 'ot'); np.ones(3)", "", True),
        ("np.ones(3); import other", "def f(a): return np.linalg.inv(a)", True),
        ("np.ones(3); import packaging", "", True),
    ],
)
def test_kernels_wait_for_a_program_that_may_want_them(tmp_path, text: str, other: str, looked: bool) -> None:
    """As its texts say; what is installed, and has none here, may always."""
    end = "\nimport sys\nfound = sys.modules.get('min' + 'py.runtime.widen')\n"
    end += "sys.exit(0 if found is None or found._state is None else 3)"
    (tmp_path / "program.py").write_text(f"import numpy as np\n{text}{end}")
    (tmp_path / "other.py").write_text(f"import numpy as np\n{other}\n")
    command = [sys.executable, "-m", "minpy", "run", "program.py"]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "MINPY_CACHE_DIR": str(tmp_path / "cache")}
    )
    assert done.returncode == (3 if looked else 0)


WRONG = """
from minpy.runtime import widen
from minpy.runtime.widen import assembler, gemm
def difference(self, to, x, y, width):
    self._vector(0x5C, 1, self._prefix, self._wide, to, x, y, width)
if __import__("sys").argv[1:] == ["sum"]:
    assembler.Code.sum = difference
else:
    widen._CHOSEN = "no such table"
widen._code = lambda size, original, fused: gemm.kernel(size).replace(widen.ORIGINAL, original.to_bytes(8, "little"))
import numpy as np
a = np.linspace(0.0, 1.0, 90000).reshape(300, 300)
started = widen.start()
import json
print(json.dumps([hash((a @ a).tobytes()), started, widen.why_not()]))
"""


def test_whatever_is_not_as_known_leaves_all_as_it_was(replaced: None) -> None:
    digest = ran(PROGRAM)[0]
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    for argument, why in (("sum", "their bits are not"), ("table", "not as it was known")):
        done = subprocess.run(
            [sys.executable, "-c", WRONG, argument],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        found, started, told = json.loads(done.stdout)
        assert (found, started) == (digest, False) and why in told
