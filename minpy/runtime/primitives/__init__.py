"""One table of primitives, a module per family (see `table`)."""

FAMILIES = (
    "elementwise",
    "logic",
    "functions",
    "reduce",
    "sequences",
    "statistics",
    "create",
    "values",
    "shape",
    "join",
    "repeat",
    "paste",
    "index",
    "inplace",
    "sorting",
    "products",
    "einsum",
    "linalg",
    "decompositions",
    "fft",
    "random",
    "other",
)

# Loaded when the program has loaded that module of SciPy; MinPy itself never imports SciPy.
SCIPY_FAMILIES = {
    "scipy.special": ("scipy_special", "scipy_gamma", "scipy_bessel", "scipy_polynomials", "scipy_functions"),
    "scipy.linalg": ("scipy_linalg", "scipy_structured", "scipy_factors"),
    "scipy.integrate": ("minpy.autodiff.solvers", "minpy.autodiff.quadrature"),
    "scipy.signal": ("scipy_signal",),
    "scipy.stats": ("scipy_stats",),
}
