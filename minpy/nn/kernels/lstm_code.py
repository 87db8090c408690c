"""All steps of a long short-term memory as one compiled function, forward and back.

It calls the product of the library that multiplies, NumPy's own hyperbolic tangent, and the passes over a step's
elements. A step in whose pass an operation overflowed is given back, to be made as written.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np

from minpy.nn.kernels import arithmetic
from minpy.nn.kernels.arithmetic import TYPES
from minpy.runtime.fuse import native, ufuncs

# What follows the hyperbolic tangent of a step's sums, what comes out of it, and the step back up to its products.
GATES = arithmetic.Rows(
    ("ti", "tf", "to", "tu", "c"), ("i", "f", "o", "u", "cell"),
    "i = ti * 0.5 + 0.5; f = tf * 0.5 + 0.5; o = to * 0.5 + 0.5; u = tu; cell = f * c + i * u",
)  # fmt: skip
OUT = arithmetic.Rows(("o", "s"), ("h",), "h = o * s")
BACK = arithmetic.Rows(
    ("g", "dh", "dc", "i", "f", "o", "u", "c", "s"), ("di", "df", "do", "du", "before"),
    "dh = dh + g; do = dh * s; dh = dh * o; dh = dh - s * s * dh; dc = dc + dh;"
    "di = dc * u * (i - i * i); df = dc * c * (f - f * f); do = do * (o - o * o);"
    "du = dc * i; du = du - u * u * du; before = dc * f",
)  # fmt: skip
_ROW_MAJOR, _PLAIN = 101, 111


@cache
def forward(char: str, whole: str) -> Any:
    """The function of all steps; `whole` is the kind of the product's whole numbers.

    It takes the number of the first step and that of all, rows, elements of a state, elements of an operand's row, the
    flags that must not come up, and the address of the product; then operands and the bytes from one step's to the
    next, the weights, room for the sums and for their tangents; gates, and the bytes from one step's to the next and
    from one gate to the next; cells, the bytes between these, and tangents of the cells. It gives the number of the
    step that is to be made as written, or that of all.
    """
    loop = ufuncs.loop("tanh", np.dtype(char), 1)
    if loop is None:
        raise native.Unfit("NumPy's hyperbolic tangent is not called here")
    wholes = [ctypes.c_int64] * 5 + [ctypes.c_int32]
    kinds = [*wholes, *[ctypes.c_int64] * 12]
    address = native.compiled(_forward(char, whole, loop), wait=False, loops=(loop,))
    return ctypes.CFUNCTYPE(ctypes.c_int64, *kinds)(address)


@cache
def back(char: str, whole: str) -> Any:
    """The function of all steps back.

    It takes the number of the step to begin with, rows, elements of a state, the flags, and the address of the product;
    then the states' cotangent, and the bytes from one step's to the next and from one row to the next; that of the
    state and of the cell after the first of these steps, and room for another of a cell; gates, cells and tangents as
    for `forward`; the sums' cotangents, and the weights. It gives the number of the step that is to be made as
    written, or -1.
    """
    kinds = [*[ctypes.c_int64] * 3, ctypes.c_int32, *[ctypes.c_int64] * 15]
    return ctypes.CFUNCTYPE(ctypes.c_int64, *kinds)(native.compiled(_back(char, whole), wait=False))


def _product(char: str, whole: str, extents: tuple[str, str, str], places: tuple[str, str, str]) -> str:
    """``places[2] = places[0] @ places[1]``, of matrices with nothing between rows."""
    kind = TYPES[char][0]
    rows, columns, inner = extents
    x, y, out = places
    return (
        f"  call void %gemm(i32 {_ROW_MAJOR}, i32 {_PLAIN}, i32 {_PLAIN}, {whole} {rows}, {whole} {columns}, "
        f"{whole} {inner}, {kind} 1.0, ptr {x}, {whole} {inner}, ptr {y}, {whole} {columns}, {kind} 0.0, ptr {out}, "
        f"{whole} {columns})\n"
    )


def _narrow(names: dict[str, str], whole: str) -> str:
    """Whole numbers as the product takes them."""
    how = "trunc i64 {} to i32" if whole == "i32" else "add i64 {}, 0"
    return "".join(f"  {new} = {how.format(old)}\n" for new, old in names.items())


def _call(name: str, rows: arithmetic.Rows, distances: dict[str, str], places: dict[str, str]) -> str:
    """A pass over a step's elements."""
    given = [f"i64 {distances[each]}" for each in rows.names] + [f"ptr {places[each]}" for each in rows.names]
    return f"call i64 @{name}(i64 %rows, i64 %size, {', '.join(given)})"


def _moved(name: str, base: str, *ways: str) -> str:
    """An address some bytes from another."""
    lines, last = [], base
    for k, way in enumerate(ways):
        new = name if k == len(ways) - 1 else f"{name}w{k}"
        lines.append(f"  {new} = getelementptr i8, ptr {last}, i64 {way}\n")
        last = new
    return "".join(lines)


def _forward(char: str, whole: str, loop: ufuncs.Loop) -> str:
    size = TYPES[char][1]

    def tangent(read: str, written: str, count: str) -> str:
        return (
            f"  store ptr {read}, ptr %args\n  store ptr {written}, ptr %second\n  store i64 {count}, ptr %dims\n"
            f"  call void @{loop.symbol}(ptr %args, ptr %dims, ptr %strides, ptr {loop.extra})\n"
        )

    gates = _call(
        "gates", GATES,
        {name: "%wide" if name in ("ti", "tf", "to", "tu") else "%line" for name in GATES.names},
        {"ti": "%tanhsums", "tf": "%tf", "to": "%to", "tu": "%tu", "c": "%c", "i": "%i", "f": "%f", "o": "%o",
         "u": "%u", "cell": "%cn"},
    )  # fmt: skip
    out = _call("out", OUT, {"o": "%line", "s": "%line", "h": "%long"}, {"o": "%o", "s": "%s", "h": "%next"})
    narrow = _narrow({"%m": "%rows", "%w": "%width", "%k": "%inner"}, whole)
    return (
        "".join(
            dict.fromkeys(
                [*GATES.declarations(char).splitlines(keepends=True), *loop.declarations()],
            )
        )
        + GATES.definition(char, "gates", "internal")
        + OUT.definition(char, "out", "internal")
        + "define i64 @kernel(i64 %first, i64 %steps, i64 %rows, i64 %size, i64 %inner, i32 %mask, ptr %gemm, "
        "ptr %operands, i64 %ostep, ptr %weights, ptr %sums, ptr %tanhsums, ptr %gates, i64 %gstep, i64 %gblock, "
        "ptr %cells, i64 %cstep, ptr %tanhs) {\n"
        "entry:\n  %args = alloca [2 x ptr], align 8\n  %second = getelementptr [2 x ptr], ptr %args, i64 0, i64 1\n"
        "  %dims = alloca i64, align 8\n  %strides = alloca [2 x i64], align 8\n"
        "  %stride1 = getelementptr [2 x i64], ptr %strides, i64 0, i64 1\n"
        f"  store i64 {size}, ptr %strides\n  store i64 {size}, ptr %stride1\n"
        f"  %width = mul i64 %size, 4\n  %line = mul i64 %size, {size}\n  %wide = mul i64 %width, {size}\n"
        f"  %long = mul i64 %inner, {size}\n  %all = mul i64 %rows, %width\n  %own = mul i64 %rows, %size\n"
        f"  %two = mul i64 %line, 2\n  %three = mul i64 %line, 3\n{narrow}"
        f"{_moved('%tf', '%tanhsums', '%line')}{_moved('%to', '%tanhsums', '%two')}"
        f"{_moved('%tu', '%tanhsums', '%three')}  br label %step\n"
        "step:\n  %t = phi i64 [%first, %entry], [%t1, %good]\n"
        "  %oway = mul i64 %t, %ostep\n  %gway = mul i64 %t, %gstep\n  %cway = mul i64 %t, %cstep\n"
        f"{_moved('%operand', '%operands', '%oway')}{_moved('%next', '%operand', '%ostep')}"
        f"{_moved('%i', '%gates', '%gway')}{_moved('%f', '%i', '%gblock')}{_moved('%o', '%f', '%gblock')}"
        f"{_moved('%u', '%o', '%gblock')}{_moved('%c', '%cells', '%cway')}{_moved('%cn', '%c', '%cstep')}"
        f"{_moved('%s', '%tanhs', '%cway')}"
        f"{_product(char, whole, ('%m', '%w', '%k'), ('%operand', '%weights', '%sums'))}"
        f"{tangent('%sums', '%tanhsums', '%all')}  %flags = {gates}\n"
        "  %narrow = trunc i64 %flags to i32\n  %found = and i32 %narrow, %mask\n  %bad = icmp ne i32 %found, 0\n"
        "  br i1 %bad, label %end, label %good\n"
        f"good:\n{tangent('%cn', '%s', '%own')}  %none = {out}\n"
        "  %t1 = add i64 %t, 1\n  %more = icmp slt i64 %t1, %steps\n  br i1 %more, label %step, label %end\n"
        "end:\n  %last = phi i64 [%t, %step], [%t1, %good]\n  ret i64 %last\n}\n"
    )


def _back(char: str, whole: str) -> str:
    size = TYPES[char][1]
    distances = {
        "g": "%grow",
        **dict.fromkeys(("dh", "dc", "i", "f", "o", "u", "c", "s", "before"), "%line"),
        **dict.fromkeys(("di", "df", "do", "du"), "%wide"),
    }
    places = {name: f"%{name}" for name in BACK.names} | {"dc": "%now", "before": "%other"}
    narrow = _narrow({"%m": "%rows", "%w": "%size", "%k": "%width"}, whole)
    return (
        BACK.declarations(char)
        + BACK.definition(char, "pass", "internal")
        + "define i64 @kernel(i64 %first, i64 %rows, i64 %size, i32 %mask, ptr %gemm, ptr %gs, i64 %gtime, i64 %grow, "
        "ptr %dh, ptr %dcs, ptr %spare, ptr %gates, i64 %gstep, i64 %gblock, ptr %cells, i64 %cstep, ptr %tanhs, "
        "ptr %da, ptr %weights) {\n"
        f"entry:\n  %width = mul i64 %size, 4\n  %line = mul i64 %size, {size}\n  %wide = mul i64 %width, {size}\n"
        f"  %astep = mul i64 %cstep, 4\n{narrow}  br label %step\n"
        "step:\n  %t = phi i64 [%first, %entry], [%t1, %good]\n  %now = phi ptr [%dcs, %entry], [%other, %good]\n"
        "  %other = phi ptr [%spare, %entry], [%now, %good]\n"
        "  %gway = mul i64 %t, %gtime\n  %way = mul i64 %t, %gstep\n  %cway = mul i64 %t, %cstep\n"
        "  %away = mul i64 %t, %astep\n"
        f"{_moved('%g', '%gs', '%gway')}{_moved('%i', '%gates', '%way')}{_moved('%f', '%i', '%gblock')}"
        f"{_moved('%o', '%f', '%gblock')}{_moved('%u', '%o', '%gblock')}{_moved('%c', '%cells', '%cway')}"
        f"{_moved('%s', '%tanhs', '%cway')}{_moved('%di', '%da', '%away')}{_moved('%df', '%di', '%line')}"
        f"{_moved('%do', '%df', '%line')}{_moved('%du', '%do', '%line')}"
        f"  %flags = {_call('pass', BACK, distances, places)}\n"
        "  %narrow = trunc i64 %flags to i32\n  %found = and i32 %narrow, %mask\n  %bad = icmp ne i32 %found, 0\n"
        "  br i1 %bad, label %end, label %good\n"
        f"good:\n{_product(char, whole, ('%m', '%w', '%k'), ('%di', '%weights', '%dh'))}"
        "  %t1 = sub i64 %t, 1\n  %more = icmp sge i64 %t1, 0\n  br i1 %more, label %step, label %end\n"
        "end:\n  %last = phi i64 [%t, %step], [%t1, %good]\n  ret i64 %last\n}\n"
    )
