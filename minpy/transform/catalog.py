"""What is routed: data about NumPy's public names, for the releases 1.26 and 2.x.

The transformer must not import NumPy, so its knowledge of NumPy is this table. Tests compare it with the live
library.
"""

from __future__ import annotations


def _names(text: str, prefix: str = "") -> frozenset[str]:
    return frozenset(prefix + name for name in text.split())


_UFUNCS = """
    abs absolute acos acosh add arccos arccosh arcsin arcsinh arctan arctan2 arctanh asin asinh atan
    atan2 atanh bitwise_and bitwise_count bitwise_invert bitwise_left_shift bitwise_not bitwise_or
    bitwise_right_shift bitwise_xor cbrt ceil conj conjugate copysign cos cosh deg2rad degrees divide
    divmod equal exp exp2 expm1 fabs float_power floor floor_divide fmax fmin fmod frexp gcd greater
    greater_equal heaviside hypot invert isfinite isinf isnan isnat lcm ldexp left_shift less less_equal
    log log10 log1p log2 logaddexp logaddexp2 logical_and logical_not logical_or logical_xor matmul
    matvec maximum minimum mod modf multiply negative nextafter not_equal positive pow power rad2deg
    radians reciprocal remainder right_shift rint sign signbit sin sinh spacing sqrt square subtract tan
    tanh true_divide trunc vecdot vecmat
"""

_FUNCTIONS = """
    all allclose alltrue amax amin angle any append apply_along_axis apply_over_axes arange argmax
    argmin argpartition argsort argwhere around array array2string array_equal array_equiv array_repr
    array_split array_str asanyarray asarray asarray_chkfinite ascontiguousarray asfarray asfortranarray
    asmatrix astype atleast_1d atleast_2d atleast_3d average bartlett bincount blackman block bmat
    broadcast_arrays broadcast_to busday_count busday_offset byte_bounds can_cast choose clip
    column_stack common_type compare_chararrays compress concat concatenate convolve copy copyto
    corrcoef correlate count_nonzero cov cross cumprod cumproduct cumsum cumulative_prod cumulative_sum
    datetime_as_string delete diag diag_indices diag_indices_from diagflat diagonal diff digitize dot
    dsplit dstack ediff1d einsum einsum_path empty empty_like expand_dims extract eye
    fastCopyAndTranspose fill_diagonal fix flatnonzero flip fliplr flipud from_dlpack frombuffer
    fromfile fromfunction fromiter fromregex fromstring full full_like genfromtxt geomspace gradient
    hamming hanning histogram histogram2d histogram_bin_edges histogramdd hsplit hstack i0 identity imag
    in1d indices inner insert interp intersect1d is_busday isclose iscomplex iscomplexobj isfortran isin
    isneginf isposinf isreal isrealobj isscalar iterable ix_ kaiser kron lexsort linspace load loadtxt
    logspace mask_indices mat matrix_transpose max may_share_memory mean median meshgrid min
    min_scalar_type moveaxis msort nan_to_num nanargmax nanargmin nancumprod nancumsum nanmax nanmean
    nanmedian nanmin nanpercentile nanprod nanquantile nanstd nansum nanvar ndim nonzero ones ones_like
    outer packbits pad partition percentile permute_dims piecewise place poly polyadd polyder polydiv
    polyfit polyint polymul polysub polyval prod product ptp put put_along_axis putmask quantile ravel
    ravel_multi_index real real_if_close recfromcsv recfromtxt repeat require reshape resize result_type
    roll rollaxis roots rot90 round round_ row_stack save savetxt savez savez_compressed searchsorted
    select setdiff1d setxor1d shape shares_memory sinc size sometrue sort sort_complex split squeeze
    stack std sum swapaxes take take_along_axis tensordot tile trace transpose trapezoid trapz tri tril
    tril_indices tril_indices_from trim_zeros triu triu_indices triu_indices_from union1d unique
    unique_all unique_counts unique_inverse unique_values unpackbits unravel_index unstack unwrap vander
    var vdot vsplit vstack where zeros zeros_like
"""

_LINALG = """
    cholesky cond cross det diagonal eig eigh eigvals eigvalsh inv lstsq matmul matrix_norm matrix_power
    matrix_rank matrix_transpose multi_dot norm outer pinv qr slogdet solve svd svdvals tensordot
    tensorinv tensorsolve trace vecdot vector_norm
"""

_FFT = """
    fft fft2 fftfreq fftn fftshift hfft ifft ifft2 ifftn ifftshift ihfft irfft irfft2 irfftn rfft rfft2
    rfftfreq rfftn
"""

_RANDOM = """
    Generator RandomState beta binomial bytes chisquare choice default_rng dirichlet exponential f gamma
    geometric get_state gumbel hypergeometric laplace logistic lognormal logseries multinomial
    multivariate_normal negative_binomial noncentral_chisquare noncentral_f normal pareto permutation
    poisson power rand randint randn random random_integers random_sample ranf rayleigh sample seed
    set_state shuffle standard_cauchy standard_exponential standard_gamma standard_normal standard_t
    triangular uniform vonmises wald weibull zipf
"""

UFUNCS: frozenset[str] = _names(_UFUNCS)
"""Names of ufuncs; their methods are routed as well."""

UFUNC_METHODS: frozenset[str] = frozenset({"reduce", "accumulate", "outer", "at", "reduceat"})

SUBMODULES: frozenset[str] = frozenset({"linalg", "fft", "random"})

ROUTED: frozenset[str] = (
    UFUNCS
    | _names(_FUNCTIONS)
    | _names(_LINALG, "linalg.")
    | _names(_FFT, "fft.")
    | _names(_RANDOM, "random.")
)
"""Dotted names below ``numpy`` of the callables that take or make arrays."""

_CLASSES = """
    AxisError ComplexWarning DataSource ModuleDeprecationWarning RankWarning TooHardError
    VisibleDeprecationWarning bool bool_ broadcast busdaycalendar byte bytes_ cdouble cfloat character
    chararray clongdouble clongfloat complex128 complex256 complex64 complex_ complexfloating csingle
    datetime64 double dtype errstate finfo flatiter flexible float128 float16 float32 float64 float_
    floating format_parser generic half iinfo inexact int16 int32 int64 int8 int_ intc integer intp
    linalg.LinAlgError long longcomplex longdouble longfloat longlong matrix memmap ndarray ndenumerate
    ndindex nditer number object_ poly1d random.BitGenerator random.MT19937 random.PCG64
    random.PCG64DXSM random.Philox random.SFC64 random.SeedSequence recarray record short signedinteger
    single singlecomplex str_ string_ timedelta64 ubyte ufunc uint uint16 uint32 uint64 uint8 uintc
    uintp ulong ulonglong unicode_ unsignedinteger ushort vectorize void
"""

_SETTINGS = """
    add_docstring add_newdoc add_newdoc_ufunc deprecate deprecate_with_doc disp fft.test get_array_wrap
    get_include get_printoptions getbufsize geterr geterrcall geterrobj info linalg.test lookfor
    printoptions random.test safe_eval set_numeric_ops set_printoptions set_string_function setbufsize
    seterr seterrcall seterrobj show_config show_runtime source test who
"""

_DTYPE_QUESTIONS = """
    datetime_data find_common_type isdtype issctype issubclass_ issubdtype issubsctype maximum_sctype
    mintypecode obj2sctype promote_types sctype2char typename
"""

NOT_ROUTED: dict[str, str] = {
    **dict.fromkeys(_names(_CLASSES), "a class: code tests for it and inherits from it"),
    **dict.fromkeys(_names(_SETTINGS), "reports or changes settings; takes and makes no array"),
    **dict.fromkeys(_names(_DTYPE_QUESTIONS), "answers about dtypes, not about arrays"),
    **dict.fromkeys(
        _names("base_repr binary_repr broadcast_shapes format_float_positional format_float_scientific"),
        "works on Python numbers or shapes",
    ),
    **dict.fromkeys(_names("frompyfunc nested_iters"), "makes a ufunc or an iterator, not an array"),
    **dict.fromkeys(
        _names("random.get_bit_generator random.set_bit_generator"),
        "hands the global bit generator over; takes and makes no array",
    ),
}
"""Public callables that stay as they are, each with its reason."""

# `from numpy import *` binds these only in some releases: such a name may not be NumPy's.
_STAR_SOMETIMES = """
    abs acos acosh alltrue asfarray asin asinh astype atan atan2 atanh bitwise_count bitwise_invert
    bitwise_left_shift bitwise_right_shift byte_bounds compare_chararrays concat cumproduct
    cumulative_prod cumulative_sum fastCopyAndTranspose in1d mat matrix_transpose matvec max min msort
    permute_dims pow product recfromcsv recfromtxt round round_ row_stack sometrue trapezoid trapz
    unique_all unique_counts unique_inverse unique_values unstack vecdot vecmat
"""

# Bound by `from numpy import *` in some release, though not routed: they can hide other names.
_STAR_OTHERS = """
    ALLOW_THREADS AxisError BUFSIZE CLIP ComplexWarning DataSource ERR_CALL ERR_DEFAULT ERR_IGNORE
    ERR_LOG ERR_PRINT ERR_RAISE ERR_WARN FLOATING_POINT_SUPPORT FPE_DIVIDEBYZERO FPE_INVALID
    FPE_OVERFLOW FPE_UNDERFLOW False_ Inf Infinity MAXDIMS MAY_SHARE_BOUNDS MAY_SHARE_EXACT
    ModuleDeprecationWarning NAN NINF NZERO NaN PINF PZERO RAISE RankWarning SHIFT_DIVIDEBYZERO
    SHIFT_INVALID SHIFT_OVERFLOW SHIFT_UNDERFLOW ScalarType TooHardError True_ UFUNC_BUFSIZE_DEFAULT
    UFUNC_PYVALS_NAME VisibleDeprecationWarning WRAP add_docstring add_newdoc add_newdoc_ufunc base_repr
    binary_repr bool bool_ broadcast broadcast_shapes busdaycalendar byte bytes_ c_ cast cdouble cfloat
    char character chararray clongdouble clongfloat complex128 complex256 complex64 complex_
    complexfloating core csingle ctypeslib datetime64 datetime_data deprecate deprecate_with_doc disp
    double dtype dtypes e emath errstate euler_gamma exceptions f2py fft find_common_type finfo flatiter
    flexible float128 float16 float32 float64 float_ floating format_float_positional
    format_float_scientific format_parser frompyfunc generic get_array_wrap get_include get_printoptions
    getbufsize geterr geterrcall geterrobj half iinfo index_exp inexact inf info infty int16 int32 int64
    int8 int_ intc integer intp isdtype issctype issubclass_ issubdtype issubsctype lib linalg
    little_endian long longcomplex longdouble longfloat longlong lookfor ma matrix maximum_sctype memmap
    mgrid mintypecode nan nbytes ndarray ndenumerate ndindex nditer nested_iters newaxis number
    obj2sctype object_ ogrid pi poly1d polynomial printoptions promote_types r_ random rec recarray
    record s_ safe_eval sctype2char sctypeDict sctypes set_numeric_ops set_printoptions
    set_string_function setbufsize seterr seterrcall seterrobj short show_config show_runtime
    signedinteger single singlecomplex source str_ string_ strings test testing timedelta64
    tracemalloc_domain typecodes typename typing ubyte ufunc uint uint16 uint32 uint64 uint8 uintc uintp
    ulong ulonglong unicode_ unsignedinteger ushort vectorize void who
"""

_SUBMODULE_STARS = {
    "linalg": (
        _names(_LINALG)
        - _names(
            "cross diagonal matmul matrix_norm matrix_transpose outer svdvals "
            "tensordot trace vecdot vector_norm"
        ),
        _names(_LINALG) | {"LinAlgError"},
    ),
    "fft": (_names(_FFT), _names(_FFT)),
    "random": (
        _names(_RANDOM),
        _names(_RANDOM) | _names("BitGenerator MT19937 PCG64 PCG64DXSM Philox SFC64 SeedSequence"),
    ),
}

STAR_ALWAYS: dict[str, frozenset[str]] = {
    "": (UFUNCS | _names(_FUNCTIONS) | SUBMODULES) - _names(_STAR_SOMETIMES),
    **{name: always for name, (always, _) in _SUBMODULE_STARS.items()},
}
"""Names that ``from numpy[.submodule] import *`` binds in every release, as far as they matter here."""

# Routed without a row in the table of primitives.
_ROWLESS = """
    asmatrix bmat busday_count busday_offset datetime_as_string is_busday random.bytes random.get_state
    random.seed random.set_state
"""

_EVERYWHERE = (
    (STAR_ALWAYS[""] - SUBMODULES)
    | _names("abs max min round")
    | {f"{name}.{each}" for name in SUBMODULES for each in STAR_ALWAYS[name]}
) - _names(_ROWLESS)
STEADY: frozenset[str] = _EVERYWHERE | {
    f"{name}.{method}" for name in UFUNCS & _EVERYWHERE for method in UFUNC_METHODS
}
"""Routed names that every release has, with a row in the table of primitives each (but for generators)."""

STAR_MAYBE: dict[str, frozenset[str]] = {
    "": UFUNCS | _names(_FUNCTIONS) | SUBMODULES | _names(_STAR_OTHERS),
    **{name: maybe for name, (_, maybe) in _SUBMODULE_STARS.items()},
}
"""Names that such an import binds in some release."""

# Star imports that are known to leave these names alone, or to bind them to the same objects.
STAR_HARMLESS: frozenset[str] = frozenset({"np", "numpy", "type", "float", "math"})
STAR_KNOWN: frozenset[str] = frozenset({"pylab", "matplotlib.pylab", "matplotlib.pyplot", "sympy", "scipy"})


_MATH = """
    acos acosh asin asinh atan atan2 atanh cbrt ceil copysign cos cosh degrees dist erf erfc exp exp2 expm1 fabs
    floor fmod frexp fsum gamma hypot isclose isfinite isinf isnan ldexp lgamma log log10 log1p log2 modf pow
    radians remainder sin sinh sqrt tan tanh trunc ulp
"""
# The functions of `math` on whole numbers, on what multiplies and adds itself, and the constants: they stay.
_MATH_OTHERS = """
    comb e factorial fma fmax fmin gcd inf integer isnormal isqrt issubnormal lcm nan nextafter perm pi prod
    signbit sumprod tau
"""
MATH: frozenset[str] = _names(_MATH)
"""Names of the functions of ``math`` that are routed."""

MATH_ALWAYS: frozenset[str] = MATH - {"cbrt", "exp2"}
"""Those of them that every Python has."""

MATH_MAYBE: frozenset[str] = MATH | _names(_MATH_OTHERS)
"""Names that ``from math import *`` binds in some Python."""

SCIPY_MODULES: frozenset[str] = frozenset({"fft", "integrate", "linalg", "signal", "special", "stats"})
"""Modules of SciPy whose functions are routed."""

IN_PLACE: frozenset[str] = _names("byteswap fill itemset partition put resize setfield sort")
"""Methods of arrays that write into them."""

READING: frozenset[str] = _names("dot")
"""Methods of arrays that take another array, which NumPy asks nothing: of a plain array, with an operand on a tape."""

COMPUTING: frozenset[str] = _names("astype cumprod cumsum dot mean prod std sum trace var")
"""Methods of arrays that may make what is not finite: told where operators are routed."""

DISTRIBUTION: frozenset[str] = _names("cdf isf logcdf logpdf logpmf logsf pdf pmf ppf rvs sf")
"""Methods of the distributions of ``scipy.stats``, which know plain arrays only."""

WRITTEN_ATTRIBUTES: frozenset[str] = _names("dtype flat imag real shape strides")
"""Attributes of arrays that can be assigned."""

_FUSED_UNARY = """
    abs absolute arccos arccosh arcsin arcsinh arctan arctanh cbrt ceil conj conjugate cos cosh deg2rad degrees exp exp2
    expm1 fabs floor isfinite isinf isnan log log10 log1p log2 logical_not negative positive rad2deg radians reciprocal
    rint sign signbit sin sinh sqrt square tan tanh trunc
"""
_FUSED_BINARY = """
    add arctan2 copysign divide equal fmod greater greater_equal hypot less less_equal logaddexp logaddexp2
    logical_and logical_or logical_xor maximum minimum multiply not_equal power subtract true_divide
"""
FUSED: dict[str, int] = {
    **dict.fromkeys(_names(_FUSED_UNARY), 1),
    **dict.fromkeys(_names(_FUSED_BINARY), 2),
    "clip": 3,
    "where": 3,
}
"""Functions that blocks may hold, and how many arguments they are called with.

Each element on its own: not fmax, whose choice between two zeros depends on their place in the array.
"""

FUSED_HEAVY: frozenset[str] = _names(
    "arccos arccosh arcsin arcsinh arctan arctan2 arctanh cbrt cos cosh exp exp2 expm1 hypot log log10 log1p log2 "
    "logaddexp logaddexp2 power sin sinh tan tanh"
)
"""Those that take long enough for one of them to be a block."""

ARRAY_ATTRIBUTES: frozenset[str] = _names(
    "T argmax argmin argsort astype copy cumsum dot fill flat flatten max mean min ndim ravel reshape shape size std "
    "sum transpose var"
)
"""Attributes and methods that tell an array from a number."""


def is_routed(path: str) -> bool:
    """Whether calling the dotted name below ``numpy`` is array work: a routed name or a ufunc's method."""
    if path in ROUTED:
        return True
    owner, _, method = path.rpartition(".")
    return method in UFUNC_METHODS and owner in UFUNCS
