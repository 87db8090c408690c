"""Checks of one row of the table of primitives against NumPy, and of its derivatives against differences.

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

from minpy import grad
from minpy.runtime import policy as policies
from minpy.runtime import profile
from minpy.runtime.array import Array, host
from minpy.runtime.backends import device_for
from minpy.runtime.namespace import numpy_door
from minpy.runtime.primitives import table
from minpy.runtime.storage import Storage

POLICIES = ("auto", "only_numpy", "prefer_mxnet")
DTYPES = (
    "bool int8 uint8 int16 uint16 int32 uint32 int64 uint64 "
    "float16 float32 float64 longdouble complex64 complex128 clongdouble"
).split()
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


def on_device(x: np.ndarray) -> Any:
    """`x` as an `Array` that lives on MXNet's CPU if that has its dtype; its host copy is stale."""
    view = np.array(x)
    storage = Storage(view)
    if x.dtype.name in table.DEVICE_DTYPES and x.dtype.isnative and x.size:
        storage.to_device(device_for("cpu", 0))
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


def parity_failures(primitive: table.Primitive, policy: str, limit: int = 6) -> list[str]:
    """Where the routed function differs from NumPy's under `policy`, as texts (at most `limit`)."""
    if primitive.samples is None:
        return ["the row has no samples"]
    failures: list[str] = []
    function = routed(primitive)
    tried = 0
    recorder = profile.start(profile.Recorder())
    forms = ("plain", "device") if policy == "prefer_mxnet" else ("plain",)
    try:
        with policies.create(policy):
            for label, args, kwargs in cases(primitive, policy):
                for form in forms:
                    tried += 1
                    recorder.reasons.clear()
                    try:
                        found = lasting(
                            lambda a=args, k=kwargs, f=form: _parity(
                                primitive, function, a, k, f, policy, recorder
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
    if policy == "prefer_mxnet" and not isinstance(primitive.mxnet, str):
        if not recorder.calls.get((primitive.name, profile.MXNET)):
            failures.append("no sample ran on MXNet, although the row has a kernel")
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
) -> str | None:
    plain_args, plain_kwargs = each(args, _keep), each(kwargs, _keep)
    change = on_device if form == "device" else _keep
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

STEP = 1e-6


# Operands that the function takes for Hermitian: their directions are Hermitian.
HERMITIAN = frozenset(("linalg.cholesky", "linalg.eigh", "linalg.eigvalsh"))
# Vectors that are determined up to a factor: what of them does not depend on it.
INVARIANT: dict[str, Callable[[Any], Any]] = {
    "linalg.eig": lambda out: [out[0], np.abs(out[1]) ** 2],
    "linalg.eigh": lambda out: [out[0], np.abs(out[1]) ** 2],
    "linalg.svd": lambda out: (
        [np.abs(out[0]) ** 2, out[1], np.matmul(out[0], out[2])] if isinstance(out, tuple) else out
    ),
}
# Differentiated in tests of their own: the operands are no arguments of the function.
ELSEWHERE = frozenset(("fromfunction",))
# Calls that have no derivative, and how the error says so.
REFUSED = {
    "linalg.qr": "qr with mode='complete' has no derivative rule",
    "linalg.det": "the second derivative of the determinant of a singular complex matrix",
}


def _operand_leaves(value: Any, kinds: str) -> list[np.ndarray]:
    if type(value) is float and kinds == "f":
        return [np.asarray(value)]
    if type(value) is np.ndarray:
        return [value] if value.dtype.kind in kinds else []
    if type(value) in (list, tuple):
        return [leaf for v in value for leaf in _operand_leaves(v, kinds)]
    return []


def _loss(out: Any, rng: np.random.Generator) -> Any:
    """A random projection of a result (the same for the same generator state) to a real number."""
    if type(out) in (list, tuple) or (isinstance(out, tuple) and hasattr(out, "_fields")):
        total: Any = 0.0
        for part in out:
            total = total + _loss(part, rng)
        return total
    if type(out) is float:
        out = np.float64(out)
    if not isinstance(out, (np.ndarray, np.generic)) or out.dtype.kind not in "fc":
        return 0.0
    shape = np.shape(out)
    weights = rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape)
    if out.dtype.kind == "c":
        weights = weights + 1j * rng.uniform(-1, 1, shape)
    return np.real(np.sum(np.multiply(out, weights)))


def _inner(gradient: Any, direction: Any) -> float:
    """The directional derivative that a gradient (in the convention ``dL = Re(sum(g dx))``) predicts."""
    if type(direction) in (list, tuple):
        return sum(_inner(g, d) for g, d in zip(gradient, direction, strict=True))
    if direction is None:
        return 0.0
    return float(np.real(np.sum(np.asarray(gradient) * direction)))


def _direction(value: Any, rng: np.random.Generator, kinds: str) -> Any:
    if type(value) is float and kinds == "f":
        return float(rng.uniform(-1, 1))
    if type(value) is np.ndarray and value.dtype.kind in kinds:
        d = np.empty_like(value)  # in the same layout: the orders A and K follow it
        d[...] = rng.uniform(-1, 1, value.shape)
        if value.dtype.kind == "c":
            d += 1j * rng.uniform(-1, 1, value.shape)
        return d
    if type(value) in (list, tuple):
        return [_direction(v, rng, kinds) for v in value]
    return None


def _moved(value: Any, direction: Any, t: float) -> Any:
    if direction is None:
        return value
    if type(value) in (list, tuple):
        return type(value)([_moved(v, d, t) for v, d in zip(value, direction, strict=True)])
    return value + t * direction


def _slope(f: Callable[[float], float]) -> float | None:
    """The slope at 0 by differences, or None where there is none (a kink, a jump, not finite)."""
    with quiet():
        low, mid, high = f(-STEP), f(0.0), f(STEP)
    if not np.all(np.isfinite([low, mid, high])):
        return None
    left, right, middle = (mid - low) / STEP, (high - mid) / STEP, (high - low) / (2 * STEP)
    if abs(left - right) > 2e-3 * (1 + abs(middle)):
        return None
    return middle


def gradient_failures(
    primitive: table.Primitive,
    dtypes: tuple[str, ...] = ("float64", "complex128"),
    policy: str = "auto",
    second: bool = True,
    limit: int = 4,
) -> list[str]:
    """Where derivatives differ from differences of NumPy's values, as texts.

    A rule that no sample exercises is a failure too.
    """
    if primitive.samples is None:
        return ["the row has no samples"]
    failures: list[str] = []
    checked: set[int] = set()
    function = routed(primitive)
    for dtype in dtypes:
        kind = np.dtype(dtype).kind
        for args, kwargs in primitive.samples(generator(primitive, dtype), np.dtype(dtype)):
            for i, operand in enumerate(args):
                leaves = _operand_leaves(operand, kind)
                if not leaves or not sum(leaf.size for leaf in leaves):
                    continue
                if primitive.rule(i) is None and primitive.compose is None:
                    continue
                try:
                    found = _gradient_failure(primitive, function, args, kwargs, i, kind, policy, second)
                except Exception as error:
                    if REFUSED.get(primitive.name, "\n") in str(error):
                        continue
                    found = f"raised {type(error).__name__}: {error}"
                if found is None:
                    continue
                if found == "checked":
                    checked.add(i)
                    continue
                failures.append(f"argument {i} of {_call_text(primitive, args, kwargs)}: {found}")
                if len(failures) >= limit:
                    return failures
    rules = primitive.vjp
    if rules is not None and not callable(rules):
        for i, rule in enumerate(rules):
            if rule is not None and i not in checked and getattr(rule, "exercised", True):
                failures.append(f"no sample exercises the rule of argument {i}")
    elif not checked and primitive.name not in ELSEWHERE:
        failures.append("no sample exercises the rules")
    return failures


def _gradient_failure(
    primitive: table.Primitive,
    function: Any,
    args: tuple,
    kwargs: dict,
    i: int,
    kind: str,
    policy: str,
    second: bool,
) -> str | None:
    seed = zlib.crc32(primitive.name.encode()) + i
    operand = args[i]
    rng = np.random.default_rng(seed)
    direction = _direction(operand, rng, kind)
    square = type(operand) is np.ndarray and operand.ndim > 1 and operand.shape[-1] == operand.shape[-2]
    if (primitive.name in HERMITIAN or kwargs.get("hermitian")) and square:
        direction = direction + np.conj(np.swapaxes(direction, -1, -2))
    invariant = INVARIANT.get(primitive.name, lambda out: out)

    def value(x: Any, call: Any) -> Any:
        if primitive.family == "random":
            np.random.seed(7)
        return _loss(invariant(call(*args[:i], x, *args[i + 1 :], **kwargs)), np.random.default_rng(seed))

    try:
        slope = _slope(lambda t: float(value(_moved(operand, direction, t), primitive.function)))
    except Exception:
        return None  # NumPy does not accept this sample: the parity test looks at that
    if slope is None:
        return None

    def gradient(x: Any) -> Any:
        with policies.create(policy), quiet():
            return grad(lambda y: value(y, function))(x)

    first = gradient(operand)
    got = _inner(first, direction)
    if not abs(got - slope) <= 2e-5 * (1 + abs(slope)):
        return f"first derivative {got!r} instead of {slope!r}"
    if not second:
        return "checked"
    weights = _direction(operand, np.random.default_rng(seed + 1), kind)

    def projected(x: Any) -> Any:
        return _paired(grad(lambda y: value(y, function))(x), weights)

    slope = _slope(lambda t: float(_paired(gradient(_moved(operand, direction, t)), weights)))
    if slope is None:
        return "checked"
    with policies.create(policy), quiet():
        got = _inner(grad(projected)(operand), direction)
    if not abs(got - slope) <= 1e-4 * (1 + abs(slope)):
        return f"second derivative {got!r} instead of {slope!r}"
    return "checked"


def _paired(gradient: Any, weights: Any) -> Any:
    if type(weights) in (list, tuple):
        total: Any = 0.0
        for g, w in zip(gradient, weights, strict=True):
            total = total + _paired(g, w)
        return total
    if weights is None:
        return 0.0
    return np.real(np.sum(np.multiply(gradient, weights)))
