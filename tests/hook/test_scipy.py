"""SciPy in rewritten programs: names imported every way, distributions, errors; and nothing while nothing is active."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minpy
from minpy.errors import MinPyError, TraceError
from minpy.options import Options
from minpy.runtime import entry
from minpy.transform import rewriter

pytest.importorskip("scipy", reason="the extra scipy is not installed")

import scipy
import scipy.special

OPTIONS = Options()


def load(text: str) -> dict[str, Any]:
    """The names of a rewritten module."""
    code = rewriter.compile_source(textwrap.dedent(text), "<program>", OPTIONS)
    names: dict[str, Any] = {"__name__": "program"}
    exec(code, names)
    return names


@pytest.fixture(autouse=True)
def door(monkeypatch: pytest.MonkeyPatch) -> None:
    import builtins

    monkeypatch.setattr(builtins, rewriter.DOOR, entry.routed, raising=False)


IMPORTS = {
    "the module under a name": ("import scipy.special as sp", "sp.logsumexp(x)"),
    "from scipy": ("from scipy import special", "special.logsumexp(x)"),
    "from scipy under a name": ("from scipy import special as s", "s.logsumexp(x)"),
    "the function": ("from scipy.special import logsumexp", "logsumexp(x)"),
    "the function under a name": ("from scipy.special import logsumexp as lse", "lse(x)"),
    "attributes": ("import scipy", "scipy.special.logsumexp(x)"),
    "attributes of a submodule": ("import scipy.special", "scipy.special.logsumexp(x)"),
    "several modules": ("import scipy.linalg, scipy.special", "scipy.special.logsumexp(x)"),
    "SciPy under a name": ("import scipy as s\nimport scipy.special", "s.special.logsumexp(x)"),
}


@pytest.mark.parametrize("how", IMPORTS)
@pytest.mark.parametrize("numpy", ["", "import numpy as np\n"], ids=["scipy only", "with numpy"])
def test_a_function_imported_in_every_way_has_its_gradient(how: str, numpy: str) -> None:
    imports, call = IMPORTS[how]
    names = load(f"{numpy}{imports}\ndef f(x):\n    return {call}\n")
    x = np.array([0.5, 1.0, -1.0])
    assert np.allclose(minpy.grad(names["f"])(x), np.exp(x) / np.exp(x).sum())
    minpy.check_grads(names["f"], (x,), order=2)
    assert names["f"](x) == scipy.special.logsumexp(x)


def test_names_that_are_something_else_stay() -> None:
    names = load(
        """
        import numpy as np
        from scipy.special import logsumexp
        import scipy.special
        def logsumexp(x):
            return np.sum(x) * 3
        def f(x):
            return logsumexp(x)
        """
    )
    assert minpy.grad(names["f"])(np.ones(2)).tolist() == [3.0, 3.0]


def test_while_idle_the_module_itself_is_used_and_functions_keep_their_identity() -> None:
    names = load(
        """
        import scipy.special
        from scipy.special import logsumexp
        kept = logsumexp
        def f(x):
            return scipy.special.logsumexp(x)
        """
    )
    names["f"](np.ones(2))
    assert entry.routed.scipy is scipy
    assert names["kept"] is scipy.special.logsumexp is names["logsumexp"]


def test_a_function_that_the_program_replaced_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    names = load("import numpy as np\nimport scipy.special\ndef f(x):\n    return scipy.special.softmax(x)\n")
    monkeypatch.setattr(scipy.special, "softmax", lambda x: x[0] * 5)
    assert names["f"](np.ones(2)) == 5
    assert minpy.grad(names["f"])(np.ones(2)).tolist() == [5.0, 0.0]


def test_a_star_import_of_scipy_routes_nothing_and_breaks_nothing() -> None:
    names = load(
        "import numpy as np\nfrom scipy.special import *\ndef f(x):\n    return gammaln(x) + np.sin(x)\n"
    )
    assert np.isclose(minpy.grad(names["f"])(1.5), scipy.special.digamma(1.5) + np.cos(1.5))


# ----- distributions ----------------------------------------------------------------------------------------

NORMAL = {
    "the distribution": "stats.norm.logpdf(x, m, s).sum()",
    "by keyword": "stats.norm.logpdf(x, loc=m, scale=s).sum()",
    "frozen": "stats.norm(m, s).logpdf(x).sum()",
    "frozen in a variable": "(lambda d: d.logpdf(x).sum())(stats.norm(loc=m, scale=s))",
    "the log of the density": "np.log(stats.norm.pdf(x, m, s)).sum()",
    "the imported name": "norm.logpdf(x, m, s).sum()",
    "through another name": "(lambda d: d.logpdf(x, m, s).sum())(norm)",
}


@pytest.mark.parametrize("how", NORMAL)
def test_log_likelihoods_in_every_form(how: str) -> None:
    names = load(
        f"""
        import numpy as np
        from scipy import stats
        from scipy.stats import norm
        x = np.array([0.3, 1.2, -0.7])
        def f(m, s):
            return {NORMAL[how]}
        """
    )
    x, m, s = names["x"], 0.2, 1.3
    by_m, by_s = minpy.grad(names["f"], argnum=[0, 1])(m, s)
    assert np.isclose(by_m, ((x - m) / s**2).sum())
    assert np.isclose(by_s, (-1 / s + (x - m) ** 2 / s**3).sum())
    minpy.check_grads(names["f"], (m, s), order=2)


def test_a_prior_made_outside_and_values_outside_the_support() -> None:
    names = load(
        """
        import numpy as np
        from scipy import stats
        prior = stats.gamma(2.0, scale=1.5)
        def f(x):
            return prior.logpdf(x)
        def g(x):
            return stats.beta.pdf(x, 2.0, 3.0).sum() + prior.cdf(x).sum()
        """
    )
    assert np.isclose(minpy.grad(names["f"])(0.7), 1 / 0.7 - 1 / 1.5)
    x = np.array([0.5, -1.0, 2.0])
    gradient = minpy.grad(names["g"])(x)
    assert gradient[1] == 0
    assert np.isclose(gradient[2], scipy.stats.gamma.pdf(2.0, 2.0, scale=1.5))
    minpy.check_grads(names["g"], (x,), order=2)
    assert isinstance(names["f"](0.7), float)


DISTRIBUTIONS = {
    "t": ("stats.t.logpdf(x, p[0], p[1], p[2])", [3.5, 0.1, 1.2]),
    "gamma": ("stats.gamma.logpdf(x + 2, p[0], scale=p[1])", [2.5, 0.9]),
    "beta": ("stats.beta.logpdf(x / 4 + 0.5, p[0], p[1])", [2.5, 1.9]),
    "expon": ("stats.expon.logpdf(x + 2, scale=p[0])", [2.5]),
    "laplace": ("stats.laplace.logpdf(x, p[0], p[1])", [0.17, 2.5]),
    "cauchy": ("stats.cauchy.logpdf(x, p[0], p[1])", [0.17, 2.5]),
    "logistic": ("stats.logistic.logpdf(x, p[0], p[1])", [0.17, 2.5]),
    "lognorm": ("stats.lognorm.logpdf(x + 2, p[0], scale=p[1])", [0.8, 1.1]),
    "weibull_min": ("stats.weibull_min.logpdf(x + 2, p[0], scale=p[1])", [1.8, 1.1]),
    "chi2": ("stats.chi2.logpdf(x + 2, p[0])", [3.2]),
    "f": ("stats.f.logpdf(x + 2, p[0], p[1])", [3.2, 4.1]),
    "skewnorm": ("stats.skewnorm.logpdf(x, p[0], p[1], p[2])", [1.5, 0.1, 1.3]),
    "truncnorm": ("stats.truncnorm.logpdf(x, p[0], p[1])", [-2.0, 1.8]),
    "genextreme": ("stats.genextreme.logpdf(x, p[0], p[1], p[2])", [0.2, 0.1, 1.3]),
    "genpareto": ("stats.genpareto.logpdf(x + 2, p[0], scale=p[1])", [0.0, 1.3]),
    "triang": ("stats.triang.logpdf(x / 4 + 0.5, p[0])", [0.45]),
    "vonmises": ("stats.vonmises.logpdf(x, p[0], p[1])", [1.3, 0.2]),
    "poisson": ("stats.poisson.logpmf([1, 2, 4], p[0])", [2.2]),
    "binom": ("stats.binom.logpmf([1, 2, 4], 6, p[0])", [0.3]),
    "bernoulli": ("stats.bernoulli.logpmf([1, 0, 1], p[0])", [0.3]),
    "nbinom": ("stats.nbinom.logpmf([1, 2, 4], p[0], p[1])", [3.5, 0.3]),
    "geom": ("stats.geom.logpmf([1, 2, 4], p[0])", [0.3]),
    "binom cdf": ("stats.binom.cdf([1, 2, 4], 6, p[0])", [0.3]),
    "poisson sf": ("stats.poisson.sf([1, 2, 4], p[0])", [2.2]),
    "norm logcdf": ("stats.norm.logcdf(x, p[0], p[1])", [0.2, 1.4]),
    "weibull cdf": ("stats.weibull_min.cdf(x + 2, p[0], scale=p[1])", [1.8, 1.1]),
    "weibull logsf": ("stats.weibull_min.logsf(x + 2, p[0], scale=p[1])", [1.8, 1.1]),
    "norm ppf": ("stats.norm.ppf(x / 4 + 0.5, p[0], p[1])", [0.2, 1.4]),
    "weibull ppf": ("stats.weibull_min.ppf(x / 4 + 0.5, p[0], scale=p[1])", [1.8, 1.1]),
    "expon isf": ("stats.expon.isf(x / 4 + 0.5, p[0], p[1])", [0.2, 1.4]),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_distributions(name: str) -> None:
    text, parameters = DISTRIBUTIONS[name]
    names = load(
        f"""
        import numpy as np
        from scipy import stats
        x = np.array([0.3, 1.2, -0.7])
        def f(p):
            return {text}
        """
    )
    minpy.check_grads(names["f"], (np.array(parameters),), order=2)


def test_a_discrete_quantile_is_piecewise_constant() -> None:
    names = load(
        "import numpy as np\nfrom scipy import stats\ndef f(m):\n    return m * stats.poisson.ppf(0.5, m)\n"
    )
    assert minpy.grad(names["f"])(2.2) == scipy.stats.poisson.ppf(0.5, 2.2)


def test_multivariate_normal_in_every_form() -> None:
    names = load(
        """
        import numpy as np
        from scipy import stats
        from scipy.stats import multivariate_normal
        x = np.array([[0.3, 1.2], [-0.7, 0.1], [0.4, 0.0]])
        def f(m, c):
            return stats.multivariate_normal.logpdf(x, m, c)
        def g(m, c):
            return multivariate_normal(m, cov=c).logpdf(x)
        def h(m, c):
            return np.log(multivariate_normal.pdf(x, mean=m, cov=c))
        fixed = multivariate_normal([0.1, 0.2], [[1.5, 0.3], [0.3, 0.9]])
        def k(x):
            return fixed.logpdf(x)
        """
    )
    m, c = np.array([0.1, 0.2]), np.array([[1.5, 0.3], [0.3, 0.9]])
    minpy.check_grads(lambda m, c: names["f"](m, (c + c.T) / 2), (m, c), order=2)
    wanted = minpy.grad(lambda m, c: names["f"](m, c).sum(), argnum=[0, 1])(m, c)
    for other in (names["g"], names["h"]):
        found = minpy.grad(lambda m, c, other=other: other(m, c).sum(), argnum=[0, 1])(m, c)
        assert all(map(np.allclose, found, wanted))
    minpy.check_grads(names["k"], (names["x"],), order=2)
    assert np.array_equal(names["f"](m, c), scipy.stats.multivariate_normal.logpdf(names["x"], m, c))


# ----- errors -----------------------------------------------------------------------------------------------


def test_modules_without_rules_say_so_and_what_to_do() -> None:
    names = load(
        """
        import numpy as np
        from scipy.optimize import minimize
        from scipy.interpolate import CubicSpline
        from scipy import stats
        def f(x):
            return minimize(lambda v: (v**2).sum(), x).fun
        def g(x):
            return CubicSpline(np.arange(3.0), x)(1.5)
        def h(x):
            return stats.landau.logpdf(x)
        def k(a):
            return stats.gamma.cdf(1.0, a)
        def r(s):
            return stats.norm.rvs(scale=s, size=2, random_state=0).sum() + stats.norm().rvs(size=1)[0]
        """
    )
    with pytest.raises(
        TraceError, match=r'<program>", line 7.*scipy\.optimize\.minimize has no.*implicit function'
    ):
        minpy.grad(names["f"])(np.ones(3))
    with pytest.raises(TraceError, match=r'<program>", line 9.*scipy\.interpolate.*numpy\.interp'):
        minpy.grad(names["g"])(np.ones(3))
    with pytest.raises(MinPyError, match=r"scipy\.stats\.landau\.pdf is not available"):
        minpy.grad(names["h"])(0.5)
    with pytest.raises(TraceError, match=r"scipy\.stats\.norm\.rvs draws .*loc \+ scale \* sample"):
        minpy.grad(names["r"])(0.5)
    with pytest.raises(MinPyError, match=r"scipy\.special\.gammainc with respect to a"):
        minpy.grad(names["k"])(0.5)


def test_code_that_is_not_rewritten_is_told_to_be() -> None:
    with pytest.raises(
        TraceError, match=r"scipy\.special\.logsumexp has a derivative rule, which rewritten code"
    ):
        minpy.grad(lambda x: scipy.special.logsumexp(x))(np.ones(2))


# ----- what it costs a program that has no SciPy ------------------------------------------------------------


def test_scipy_is_imported_by_the_program_or_not_at_all(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import sys\nimport numpy as np\nimport minpy\n"
        "print(minpy.grad(lambda x: np.sum(np.exp(x)))(np.zeros(2)))\n"
        "print('scipy' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "minpy", "run", str(program)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == ["[1.", "1.]", "False"], done.stderr


# ----- linear algebra ---------------------------------------------------------------------------------------

LINALG = {
    "cho_solve": "b @ linalg.cho_solve(linalg.cho_factor(m), b)",
    "cho_solve, lower": "b @ linalg.cho_solve(linalg.cho_factor(m, lower=True), b)",
    "lu_solve": "b @ linalg.lu_solve(linalg.lu_factor(m), b)",
    "lu": "linalg.lu(m)[2].sum()",
    "lstsq": "linalg.lstsq(m, b)[0].sum()",
    "expm": "linalg.expm(m / 9).sum()",
    "a Kalman gain": "linalg.solve(m, m @ np.diag(b), assume_a='pos').sum()",
    "a Gaussian process": "(lambda f: np.log(np.diag(f[0])).sum() + b @ linalg.cho_solve(f, b))(linalg.cho_factor(m))",
    "block_diag": "linalg.det(linalg.block_diag(m, 2 * m, b[0]))",
    "sqrtm": "linalg.sqrtm(m).sum()",
}


@pytest.mark.parametrize("name", LINALG)
def test_linear_algebra_in_programs(name: str) -> None:
    names = load(
        f"""
        import numpy as np
        from scipy import linalg
        b = np.array([1.0, -2.0, 0.5])
        def f(x):
            m = x @ x.T + 2 * np.eye(3)
            return {LINALG[name]}
        """
    )
    x = np.array([[1.0, 0.2, -0.3], [0.1, 0.8, 0.4], [-0.6, 0.3, 1.1]])
    plain = names["f"](x)
    value, gradient = minpy.value_and_grad(names["f"])(x)
    assert np.isclose(value, plain, rtol=1e-12)
    assert gradient.shape == x.shape
    minpy.check_grads(names["f"], (x,), order=2)
