"""Random array expressions, as values and as stores, with every engine: the same bits, warnings and errors as NumPy."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

_rng = np.random.default_rng(3)
SHAPE = (9, 130)
NAMES = {
    "a": _rng.normal(size=SHAPE),
    "b": _rng.normal(size=SHAPE) * 1e3,
    "f": _rng.normal(size=SHAPE).astype(np.float32),
    "i": _rng.integers(-5, 6, SHAPE),
    "u": _rng.integers(0, 256, SHAPE).astype(np.uint8),
    "z": _rng.normal(size=SHAPE) + 1j,
    "m": _rng.random(SHAPE) > 0.5,
    "p": _rng.normal(size=(11, 132)),
    "q": np.asfortranarray(_rng.normal(size=SHAPE)),
    "r": _rng.normal(size=130),
    "c": _rng.normal(size=(9, 1)),
    "o": np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 5e-324, 1e308] * 130)
    .reshape(130, 9)
    .T.copy(),
    "s": 0.37,
    "n": 3,
    "d": np.float64(-1.5),
    "e": np.float32(2.5),
}
_ARRAYS = "a b f i u z m p[1:-1,1:-1] p[:-2,2:] p[2:,:-2] q r c r[None,:] o a[:,:] a[::-1] b[:,n:n+1]".split()
_PLAIN = "a b a b f p[1:-1,1:-1] p[:-2,2:] p[2:,:-2] o o r c a[:,:]".split()
_NUMBERS = "s n d e 2 0.5 -1 3.0 1e-3 0 300 2j n-3 s*n".split()
_UNARY = ["-{}", "+{}", "abs({})", "np.sqrt({})", "np.exp({})", "np.tanh({})", "np.sin({})", "np.log1p({})"]
_UNARY += ["np.square({})", "np.isnan({})", "({})**2", "({})**0.5", "np.sign({})", "~({})"]
_BINARY = [
    "({} + {})",
    "({} - {})",
    "({} * {})",
    "({} / {})",
    "({} < {})",
    "({} == {})",
    "np.minimum({}, {})",
]
_BINARY += ["np.maximum({}, {})", "({} & {})", "({} // {})", "({} % {})", "np.arctan2({}, {})", "({} ** {})"]


def _expressions(arrays: list[str], unary: list[str], binary: list[str]) -> st.SearchStrategy[str]:
    leaves = st.sampled_from(arrays) | st.sampled_from(arrays + _NUMBERS)

    def more(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return st.one_of(
            st.builds(str.format, st.sampled_from(unary), inner),
            st.builds(str.format, st.sampled_from(binary), inner, inner),
            st.builds("np.where({} > 0, {}, {})".format, inner, inner, inner),
            st.builds(
                "np.clip({}, {}, {})".format, inner, *[st.sampled_from([*_NUMBERS, "0.0", "-0.0", "c"])] * 2
            ),
            st.builds(
                "({} % {})".format, st.sampled_from(["i", "u", "(i * 3 + 1)"]), st.sampled_from(_NUMBERS)
            ),
        )

    return st.recursive(leaves, more, max_leaves=7)


_ANY = _expressions(_ARRAYS, _UNARY, _BINARY)
# What is compiled.
_ARITHMETIC = _expressions(_PLAIN, ["-{}", "abs({})", "np.sqrt({})", "({})**2", "np.square({})"], _BINARY[:6])
_TARGETS = [
    "x = {}",
    "a[:, :] = {}",
    "p[1:-1, 1:-1] = {}",
    "p[1:-1, 1:-1] += {}",
    "o *= {}",
    "f[:] = {}",
    "a[1:] = {}",
]
_STATEMENTS = st.builds(str.format, st.sampled_from(_TARGETS), _ANY | _ARITHMETIC)
_HOW = settings(
    max_examples=100,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@_HOW
@given(st.lists(_STATEMENTS, min_size=1, max_size=3))
def test_random_statements(run_all, statements: list[str]) -> None:
    # Twice: the second time takes the short way.
    run_all("\n".join(["for t in range(2):", *(f"    {each}" for each in statements)]), fused=None, **NAMES)
