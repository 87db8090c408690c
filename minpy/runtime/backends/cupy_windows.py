"""Windows over images by one kernel each: the text, and when it is compiled.

What `cupy_images` does by several of CuPy's functions, each with a pass over memory, a kernel of our own does in one.
Each thread makes one element of the result from all that it depends on, so nothing is added up by chance. As with
chains of element-wise work, what is rare is not compiled, and nothing is if compiling fails.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

_C = {"float32": "float", "float64": "double"}
THREADS = 256
# A kernel is compiled once it was wanted so often, or for so many elements in all.
_OFTEN, _MUCH = 20, 50_000_000

_GEOMETRY = "h w oh ow kh kw sh sw top left".split()
_HEAD = """extern "C" __global__ void {name}(const long long n, {arrays}, {geometry}) {{
  for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n;
       i += (long long)gridDim.x * blockDim.x) {{
{body}
  }}
}}
"""

# Where the element of the result is: in the images, or among the windows.
_AT_IMAGE = """    const long long column = i % w + left, row = i / w % h + top, plane = i / (w * h);
    const long long y0 = row < kh ? 0 : (row - kh) / sh + 1, y1 = row / sh < oh ? row / sh : oh - 1;
    const long long x0 = column < kw ? 0 : (column - kw) / sw + 1, x1 = column / sw < ow ? column / sw : ow - 1;
    {t} sum = 0;
    for (long long y = y0; y <= y1; y++) for (long long x = x0; x <= x1; x++) {{
{inner}
    }}
    out[i] = sum;"""
_WINDOW = "const long long window = (plane * oh + y) * ow + x;"
_AT_WINDOW = """    const long long x = i % ow, y = i / ow % oh, plane = i / (ow * oh);
    {t} found = {start};
    for (long long k = 0; k < kh; k++) for (long long l = 0; l < kw; l++) {{
      const long long row = y * sh + k - top, column = x * sw + l - left;
      if (row < 0 || row >= h || column < 0 || column >= w) continue;
      const {t} v = a[(plane * h + row) * w + column];
{inner}
    }}
    out[i] = {end};"""

# Each: the arrays that are read, further parameters, and the body.
_BODIES: dict[str, tuple[str, tuple[str, ...], str]] = {
    # What windows see: (N, C, kh, kw, oh, ow), or with `images` more than 0 (C, kh, kw, N, oh, ow).
    "unfold": (
        "a",
        ("const long long images", "const long long channels"),
        """    const long long x = i % ow, y = i / ow % oh;
    long long rest = i / (ow * oh), plane;
    const long long image = images ? rest % images : 0;
    if (images) rest /= images;
    const long long l = rest % kw, k = rest / kw % kh;
    rest /= kw * kh;
    plane = images ? image * channels + rest : rest;
    const long long row = y * sh + k - top, column = x * sw + l - left;
    const bool inside = row >= 0 && row < h && column >= 0 && column < w;
    out[i] = inside ? a[(plane * h + row) * w + column] : ({t})0;""",
    ),
    # Parts, (N, C, kh, kw, oh, ow), added up where they were seen.
    "fold": (
        "a",
        (),
        _AT_IMAGE.replace(
            "{inner}",
            "      sum += a[((plane * kh + row - y * sh) * kw + column - x * sw) * oh * ow + y * ow + x];",
        ),
    ),
    "mean_back": (
        "a",
        ("const {t} share",),
        _AT_IMAGE.replace("{inner}", f"      {_WINDOW}\n      sum += a[window] * share;"),
    ),
    # A window's cotangent goes to the first of its largest elements; a NaN is the largest of all.
    "largest_back": (
        "a b c",  # the cotangent, the images, the largest elements
        ("const {t} low",),
        _AT_IMAGE.replace(
            "{inner}",
            f"      {_WINDOW}\n"
            """      const {t} v = b[i], best = c[window];
      if (v != best && v == v) continue;
      bool first = true;
      for (long long r = y * sh; first && r <= row; r++) {{
        const long long end = r < row ? x * sw + kw : column;
        for (long long q = x * sw; first && q < end; q++) {{
          const bool inside = r >= top && r - top < h && q >= left && q - left < w;
          const {t} u = inside ? b[(plane * h + r - top) * w + q - left] : low;
          if (u == best || u != u) first = false;
        }}
      }}
      if (first) sum += a[window];""",
        ),
    ),
    "largest": (
        "a",
        ("const {t} low",),
        _AT_WINDOW.replace("{start}", "low")
        .replace("{end}", "found")
        .replace("{inner}", "      found = (v != v || found < v) ? ((found != found) ? found : v) : found;"),
    ),
    "mean": (
        "a",
        ("const {t} share",),
        _AT_WINDOW.replace("{start}", "0")
        .replace("{end}", "found * share")
        .replace("{inner}", "      found += v;"),
    ),
}


def source(name: str, dtype: np.dtype) -> str:
    """The text of a kernel."""
    arrays, more, body = _BODIES[name]
    t = _C[dtype.name]
    parameters = [f"const {t}* __restrict__ {array}" for array in arrays.split()]
    parameters += [f"{t}* __restrict__ out", *[each.format(t=t) for each in more]]
    geometry = ", ".join(f"const long long {each}" for each in _GEOMETRY)
    return _HEAD.format(name=name, arrays=", ".join(parameters), geometry=geometry, body=body.format(t=t))


class Kernels:
    """The kernels of one device, as far as they are compiled.

    Parameters
    ----------
    F : namespace
        CuPy's functions.
    """

    def __init__(self, F: Any) -> None:
        self.F = F
        self.make = getattr(F, "RawKernel", None)
        self.why = ""  # why kernels are not compiled any more
        self._kernels: dict[tuple, Any] = {}
        self._seen: dict[tuple, list[int]] = {}

    def run(self, name: str, shape: tuple[int, ...], arrays: list[Any], windows: Any, *more: Any) -> Any:
        """The result of a kernel, of this shape; None if it is not compiled."""
        dtype = arrays[0].dtype
        kernel = self._kernel(name, dtype, math.prod(shape))
        if kernel is None:
            return None
        F = self.F
        arrays = [F.ascontiguousarray(array) for array in arrays]
        out = F.empty(shape, dtype=dtype)
        numbers = [*windows.shape[2:], *windows.out, *windows.kernel, *windows.stride, *windows.pad]
        n = out.size
        blocks = min((n + THREADS - 1) // THREADS, 1 << 20)
        kernel(
            (blocks,), (THREADS,), (np.int64(n), *arrays, out, *more, *[np.int64(each) for each in numbers])
        )
        return out

    def _kernel(self, name: str, dtype: np.dtype, size: int) -> Any:
        if self.make is None or self.why:
            return None
        key = name, dtype.name
        kernel = self._kernels.get(key)
        if kernel is None:
            seen = self._seen.setdefault(key, [0, 0])
            seen[0] += 1
            seen[1] += size
            if seen[0] < _OFTEN and seen[1] < _MUCH:
                return None
            try:
                kernel = self.make(source(name, dtype), name, options=("--fmad=false",))
                kernel.compile()
            except Exception as error:
                self.why = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
                return None
            self._kernels[key] = kernel
        return kernel
