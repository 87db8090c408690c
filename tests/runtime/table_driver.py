"""Checks of one row of the table of primitives against NumPy.

Every check returns a list of failures (texts), so that one test reports all that is wrong with a row.
"""

from __future__ import annotations

import contextlib
import copy
import warnings
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minpy.runtime import policy as policies
from minpy.runtime import profile
from minpy.runtime.array import Array, host
from minpy.runtime.context import Context, cpu
from minpy.runtime.namespace import numpy_door
from minpy.runtime.primitives import table
from minpy.runtime.storage import Storage

POLICIES = ("auto", "only_numpy", "prefer_mxnet")
DTYPES = (
    "bool int8 uint8 int16 uint16 int32 uint32 int64 uint64 "
    "float16 float32 float64 longdouble complex64 complex128 clongdouble"
).split()
DTYPES_OF_GPUS = frozenset(DTYPES) - {"longdouble", "float128", "clongdouble", "complex256"}
LAYOUTS = ("F", "strided", "negative", "transposed", "readonly", "swapped")
# On the host the same NumPy function runs; on MXNet each dtype has its own rounding.
TOLERANCE = {"float16": 2e-2, "float32": 2e-5, "float64": 1e-12, "complex64": 2e-5, "complex128": 1e-12}
# Functions whose result is uninitialised memory: only its geometry is compared.
UNDEFINED = frozenset(("empty", "empty_like"))


def routed(primitive: table.Primitive) -> Callable[..., Any]:
    """What rewritten code calls for the primitive while the runtime is active."""
    if not primitive.mirrors:
        from minpy.runtime import dispatch

        return lambda *args, **kwargs: dispatch.call(primitive, args, kwargs)
    found: Any = numpy_door()
    for part in primitive.name.split("."):
        found = getattr(found, part)
    return found


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Neither floating-point nor deprecation warnings: samples hold zeros, NaN and infinities on purpose."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def generator(primitive: table.Primitive, dtype: Any) -> np.random.Generator:
    """The same samples for a row on every run and in every process."""
    return np.random.default_rng(zlib.crc32(f"{primitive.name}/{dtype}".encode()))


# ----- operands ---------------------------------------------------------------------------------------------


def each(value: Any, change: Callable[[np.ndarray], Any]) -> Any:
    """`value` with `change` applied to every plain array in it."""
    if type(value) is np.ndarray:
        return change(value)
    if type(value) in (list, tuple):
        return type(value)([each(v, change) for v in value])
    if type(value) is dict:
        return {k: each(v, change) for k, v in value.items()}
    if isinstance(value, (np.random.Generator, np.random.RandomState)):
        return copy.deepcopy(value)
    return value


def laid_out(x: np.ndarray, layout: str) -> np.ndarray:
    """A copy of `x` in another memory layout."""
    if layout == "F":
        return np.array(x, order="F")
    if layout == "strided":
        whole = np.zeros(tuple(2 * n for n in x.shape), x.dtype)
        part = whole[(*[slice(None, None, 2)] * x.ndim, ...)]
        part[...] = x
        return part
    if layout == "negative":
        index = (*[slice(None, None, -1)] * x.ndim, ...)
        return x[index].copy()[index]
    if layout == "transposed":
        return np.ascontiguousarray(x.T).T
    if layout == "swapped":
        return x.astype(x.dtype.newbyteorder())
    plain = np.array(x)
    if layout == "readonly":
        plain.flags.writeable = False
    return plain


def on_device(x: np.ndarray, context: Context | None = None) -> Any:
    """`x` as an `Array` that lives on a device (MXNet's CPU) if that has its dtype; its host copy is stale."""
    view = np.array(x)
    storage = Storage(view)
    dtypes = table.DEVICE_DTYPES if context is None else DTYPES_OF_GPUS
    if x.dtype.name in dtypes and x.dtype.isnative and x.size:
        storage.to_device((context or cpu()).device())
        view[...] = np.zeros(
            (), view.dtype
        )  # what NumPy would see if the runtime forgot to fetch the contents
        storage.wrote_device()
    view.flags.writeable = x.flags.writeable
    return Array(view, storage)


# ----- comparing --------------------------------------------------------------------------------------------


def difference(actual: Any, expected: Any, tolerance: bool, values: bool = True) -> str | None:
    """How a result differs from NumPy's, or None."""
    if type(expected) in (list, tuple) or (isinstance(expected, tuple) and hasattr(expected, "_fields")):
        if type(actual) is not type(expected):
            return f"a {type(actual).__name__} instead of a {type(expected).__name__}"
        if len(actual) != len(expected):
            return f"{len(actual)} results instead of {len(expected)}"
        for i, (a, e) in enumerate(zip(actual, expected, strict=True)):
            found = difference(a, e, tolerance, values)
            if found:
                return f"result {i}: {found}"
        return None
    if type(actual) is Array:
        if isinstance(expected, np.generic) and not actual.scalar:
            return "an array instead of a scalar"
        if type(expected) is np.ndarray and actual.scalar:
            return "a scalar instead of an array"
        actual = host(actual)
    if type(actual) is not type(expected):
        return f"a {type(actual).__name__} instead of a {type(expected).__name__}"
    if isinstance(expected, (np.ndarray, np.generic)):
        if actual.dtype != expected.dtype:
            return f"dtype {actual.dtype} instead of {expected.dtype}"
        if actual.shape != expected.shape:
            return f"shape {actual.shape} instead of {expected.shape}"
        return _values(np.asarray(actual), np.asarray(expected), tolerance) if values else None
    if isinstance(expected, (float, complex)):
        return _values(np.asarray(actual), np.asarray(expected), tolerance)
    try:
        same = bool(actual == expected)
    except Exception:
        same = repr(actual) == repr(expected)
    return None if same or repr(actual) == repr(expected) else f"{actual!r} instead of {expected!r}"


def _values(actual: np.ndarray, expected: np.ndarray, tolerance: bool) -> str | None:
    if expected.dtype.kind not in "fc":
        if expected.dtype.kind == "O" or expected.dtype.names:
            same = repr(actual) == repr(expected)
        else:
            same = np.array_equal(actual, expected)
        return None if same else f"{_short(actual)} instead of {_short(expected)}"
    if expected.dtype.kind == "c":
        return _values(actual.real, expected.real, tolerance) or _values(
            actual.imag, expected.imag, tolerance
        )
    with quiet():
        nan, zero = np.isnan(expected), expected == 0
        same = np.array_equal(nan, np.isnan(actual))
        if tolerance:
            rtol = TOLERANCE.get(expected.dtype.name, 1e-12)
            scale = np.max(np.abs(expected[np.isfinite(expected)]), initial=0.0)
            finite = np.isfinite(expected)
            same = same and np.array_equal(finite, np.isfinite(actual))
            same = same and np.array_equal(expected[~finite & ~nan], actual[~finite & ~nan])
            gap = np.abs(actual[finite].astype(np.longdouble) - expected[finite])
            same = same and bool(np.all(gap <= rtol * (np.abs(expected[finite]) + 0.1 * scale + 1e-3)))
        else:
            same = same and np.array_equal(actual[~nan], expected[~nan])
            same = same and np.array_equal(np.signbit(actual[zero]), np.signbit(expected[zero]))
    return None if same else f"{_short(actual)} instead of {_short(expected)}"


def _short(value: np.ndarray) -> str:
    return np.array2string(np.asarray(value).ravel()[:8], max_line_width=200).replace("\n", " ")


def attempt(function: Callable[..., Any], args: tuple, kwargs: dict) -> tuple[Any, Exception | None]:
    """The result of a call, or its exception."""
    try:
        with quiet():
            return function(*args, **kwargs), None
    except Exception as error:
        return None, error


def shares(result: Any, operand: Any) -> bool:
    """Whether an array (the first of a list) is a view of an operand."""
    if type(result) in (list, tuple):
        result = result[0] if result else None
    if not isinstance(result, np.ndarray) or not isinstance(operand, np.ndarray):
        return False
    if (type(result) is Array) != (type(operand) is Array):
        return False
    if type(result) is Array:
        return result.storage is operand.storage and np.shares_memory(result.window, operand.window)
    return np.shares_memory(result, operand)


# ----- parity -----------------------------------------------------------------------------------------------


def cases(primitive: table.Primitive, policy: str) -> Iterator[tuple[str, tuple, dict]]:
    """The calls to compare: all samples in every dtype, some in other layouts."""
    for dtype in DTYPES:
        samples = list(primitive.samples(generator(primitive, dtype), np.dtype(dtype)))
        for args, kwargs in samples:
            yield dtype, args, kwargs
        if dtype in ("float32", "float64", "int32"):
            # The layouts matter where the runtime looks at memory itself; few samples show that.
            chosen = samples if dtype == "float32" and policy == "prefer_mxnet" else samples[:3]
            for layout in LAYOUTS:
                for args, kwargs in chosen:
                    yield (
                        f"{dtype} {layout}",
                        each(args, lambda x, to=layout: laid_out(x, to)),
                        each(kwargs, lambda x, to=layout: laid_out(x, to)),
                    )


def parity_failures(
    primitive: table.Primitive, policy: str, limit: int = 6, context: Context | None = None
) -> list[str]:
    """Where the routed function differs from NumPy's under `policy`, as texts (at most `limit`).

    With a `context` the work is done there; the default is the host, where the policy may choose MXNet.
    """
    if primitive.samples is None:
        return ["the row has no samples"]
    failures: list[str] = []
    function = routed(primitive)
    tried = 0
    recorder = profile.start(profile.Recorder())
    forms = ("plain", "device") if policy == "prefer_mxnet" else ("plain",)
    try:
        with policies.create(policy), context or cpu():
            for label, args, kwargs in cases(primitive, policy):
                for form in forms:
                    tried += 1
                    recorder.reasons.clear()
                    try:
                        found = lasting(
                            lambda a=args, k=kwargs, f=form: _parity(
                                primitive, function, a, k, f, policy, recorder, context
                            )
                        )
                    except Exception as error:  # a kernel's error surfaces when its result is fetched
                        found = (
                            f"fetching the result raised {type(error).__name__}: {str(error).strip()[-200:]}"
                        )
                    if found is not None:
                        failures.append(f"{label} {form}: {_call_text(primitive, args, kwargs)}: {found}")
                        if len(failures) >= limit:
                            return failures
    finally:
        profile.stop(recorder)
    if policy == "prefer_mxnet":
        device = (context or cpu()).device()
        if not isinstance(device.kernel(primitive), str):
            if not recorder.calls.get((primitive.name, device.backend)):
                failures.append(f"no sample ran on {device.backend}, although the row has a kernel")
    if not tried:
        failures.append("no sample was tried")
    return failures


def lasting(compare: Callable[[], str | None]) -> str | None:
    """What `compare` finds each time.

    NumPy itself may round the last bit differently where its buffers are aligned differently, or lie beside each
    other (arctan2 of NumPy 1.26); what the runtime does wrong, it does again.
    """
    found = None
    for _ in range(8):
        found = compare()
        if found is None:
            return None
    return found


def _keep(x: np.ndarray) -> np.ndarray:
    # A copy with the same layout and flags.
    kept = x.copy(order="K") if x.flags.forc else _like(x)
    kept.flags.writeable = x.flags.writeable
    return kept


def _like(x: np.ndarray) -> np.ndarray:
    low, high = np.lib.array_utils.byte_bounds(x) if hasattr(np.lib, "array_utils") else np.byte_bounds(x)
    raw = np.zeros(max(high - low, 1), np.uint8)
    kept = np.ndarray(x.shape, x.dtype, raw, x.__array_interface__["data"][0] - low, x.strides)
    if kept.size:
        kept[...] = x
    return kept


def _parity(
    primitive: table.Primitive,
    function: Any,
    args: tuple,
    kwargs: dict,
    form: str,
    policy: str,
    recorder: profile.Recorder,
    context: Context | None = None,
) -> str | None:
    plain_args, plain_kwargs = each(args, _keep), each(kwargs, _keep)
    change = (lambda x: on_device(x, context)) if form == "device" else _keep
    our_args, our_kwargs = each(args, change), each(kwargs, change)
    if primitive.family == "random":
        np.random.seed(7)
    expected, raised = attempt(primitive.function, plain_args, plain_kwargs)
    if primitive.family == "random":
        np.random.seed(7)
    actual, ours = attempt(function, our_args, our_kwargs)
    if raised is not None or ours is not None:
        if type(raised) is not type(ours) or str(raised) != str(ours):
            return f"raised {ours!r} instead of {raised!r}"
        return None
    broken = [reason for reason in recorder.reasons[primitive.name] if "raised" in reason]
    if broken:
        return f"the kernel must refuse what it cannot do, but {broken[0]}"
    values = primitive.name not in UNDEFINED
    found = difference(actual, expected, policy == "prefer_mxnet", values)
    if found is not None:
        return found
    found = difference(host(our_args), plain_args, policy == "prefer_mxnet" and primitive.writes is not None)
    if found is not None:
        return f"afterwards the operands differ: {found}"
    if args and type(args[0]) is np.ndarray and args[0].size:
        want, have = shares(expected, plain_args[0]), shares(actual, our_args[0])
        if want != have and (want or form == "plain"):
            return f"the result {'shares' if have else 'does not share'} the operand's memory"
    return None


def _call_text(primitive: table.Primitive, args: tuple, kwargs: dict) -> str:
    def text(value: Any) -> str:
        if isinstance(value, np.ndarray):
            return f"{value.dtype}{list(value.shape)}" + (
                f"={_short(value)}" if value.size and value.dtype.kind in "fciub" else ""
            )
        if type(value) in (list, tuple):
            return f"[{', '.join(map(text, value))}]"
        return repr(value)[:60]

    parts = [text(a) for a in args] + [f"{k}={text(v)}" for k, v in kwargs.items()]
    return f"{primitive.name}({', '.join(parts)})"[:600]


# ----- derivatives ------------------------------------------------------------------------------------------


def _of_singular_vectors(u: Any, s: Any, vh: Any) -> list:
    k = s.shape[-1]
    first, second = u[..., :, :k], vh[..., :k, :]
    return [
        np.abs(first) ** 2,
        s,
        np.matmul(first, second),
        _projection(u[..., :, k:]),
        _projection(np.swapaxes(vh[..., k:, :], -1, -2)),
    ]


def _of_complete_basis(q: Any, r: Any) -> list:
    k = min(r.shape[-2:])
    return [q[..., :, :k], r, _projection(q[..., :, k:])]


def _projection(q: Any) -> Any:
    return np.matmul(q, np.conj(np.swapaxes(q, -1, -2)))


# Operands that the function takes for Hermitian: their directions are Hermitian.
HERMITIAN = frozenset(("linalg.cholesky", "linalg.eigh", "linalg.eigvalsh"))
# Vectors that are determined up to a factor: what of them does not depend on it.
INVARIANT: dict[str, Callable[[Any], Any]] = {
    "linalg.eig": lambda out: [out[0], np.abs(out[1]) ** 2],
    "linalg.eigh": lambda out: [out[0], np.abs(out[1]) ** 2],
    "linalg.svd": lambda out: _of_singular_vectors(*out) if isinstance(out, tuple) else out,
    "linalg.qr": lambda out: _of_complete_basis(*out) if isinstance(out, tuple) else out,
}


def _operand_leaves(value: Any, kinds: str) -> list[np.ndarray]:
    if type(value) is float and kinds == "f":
        return [np.asarray(value)]
    if type(value) is np.ndarray:
        return [value] if value.dtype.kind in kinds else []
    if type(value) in (list, tuple):
        return [leaf for v in value for leaf in _operand_leaves(v, kinds)]
    return []
