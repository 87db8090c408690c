"""Reductions along the last axis, compiled: NumPy takes some 15 to 80 ns to begin with a row, however short it is."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from minpy.runtime.fuse import kernels
from minpy.runtime.fuse.ir import Irregular
from minpy.runtime.fuse.lanes import FLOATS

_LONGEST = 2048  # elements of a row: of longer ones NumPy's own loop is as fast
_LEAF = 128  # elements that NumPy adds up in eight columns; more are cut in halves
_REGISTER = 64  # bytes
_BEGINS = 40  # elements that could be added up while NumPy begins with a row
_EXACT = 2**53

NAMES = frozenset("sum mean max min amax amin any all argmax argmin".split())


class Rowwise:
    """A reduction along axes that lie innermost, without gaps, for one geometry.

    Raises
    ------
    Irregular
        The array is not laid out so, or NumPy's order is not kept to here.
    """

    def __init__(self, name: str, array: np.ndarray, axes: tuple[int, ...], keepdims: bool) -> None:
        dtype = array.dtype
        self.mean = name == "mean"
        name = {"amax": "max", "amin": "min", "mean": "sum"}.get(name, name)
        if (dtype.kind == "f" and dtype.char not in FLOATS) or dtype.kind not in "fiub":
            raise Irregular
        if (name in ("any", "all")) != (dtype.kind == "b"):
            raise Irregular
        kept = [k for k in range(array.ndim) if k not in axes]
        inner = kernels.merged([(array.shape[k], array.strides[k]) for k in axes])
        if not kept or len(inner) != 1 or inner[0][1] != dtype.itemsize or inner[0][0] > _LONGEST:
            raise Irregular
        self.length = inner[0][0]
        smallest = min((array.strides[k] for k in kept if array.shape[k] > 1), default=0)
        if smallest < self.length * dtype.itemsize:
            raise Irregular  # rows that overlap, or lie one in the other: NumPy goes another way
        if np.getbufsize() < _LONGEST:
            raise Irregular
        self.dtype = dtype
        if name in ("argmax", "argmin"):
            self.dtype = np.dtype(np.intp)
        elif name == "sum" and dtype.kind != "f":
            if self.mean and self.length * 2.0 ** (8 * dtype.itemsize) >= _EXACT:
                raise Irregular
            self.dtype = np.dtype(np.uint64 if dtype.kind == "u" and not self.mean else np.int64)
        self.shape = tuple(
            1 if k in axes else n for k, n in enumerate(array.shape) if keepdims or k not in axes
        )
        geometry = kernels.geometry(
            tuple(array.shape[k] for k in kept), tuple(array.strides[k] for k in kept), dtype.itemsize
        )
        if geometry is None:
            raise Irregular
        self.work = _BEGINS * (array.size // self.length)
        self.words = np.array([*geometry, self.length], np.int64)
        self.text = _text(name, dtype.char)

    def run(self, kernel: kernels.Kernel, array: np.ndarray) -> np.ndarray:
        """Reduce."""
        result = np.empty(self.shape, self.dtype)
        kernel.run(array, result, self.words)
        if not self.mean:
            return result
        if self.dtype.kind != "f":
            return np.true_divide(result, np.intp(self.length))
        return np.true_divide(result, np.intp(self.length), out=result, casting="unsafe")


@lru_cache(maxsize=1)
def _starts_at_zero() -> bool:
    """Whether the sum of negative zeros is a positive one."""
    return not np.signbit(np.add.reduce(np.full((2, 2), -0.0), axis=-1)).any()


@lru_cache(maxsize=64)
def _text(name: str, char: str) -> str:
    if name == "sum":
        lane = _added(char) if char in FLOATS else _counted(np.dtype(char))
        out = FLOATS[char][0] if char in FLOATS else "i64"
    else:
        lane = _extreme(
            np.dtype(char), largest=name in ("max", "any", "argmax"), place=name.startswith("arg")
        )
        out = "i64" if name.startswith("arg") else _kind(np.dtype(char))
    size = int(out[1:]) // 8 if out[0] == "i" else FLOATS[char][1] // 8
    row = f"""{lane}
define internal i64 @row(ptr %x, ptr noalias %y, ptr %words, i64 %n, i64 %stride) {{
entry:
  %length = load i64, ptr %words
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %next, %head ]
  %bad = phi i64 [ 0, %entry ], [ %worse, %head ]
  %moved = mul i64 %i, %stride
  %p = getelementptr i8, ptr %x, i64 %moved
  %found = call {{ {out}, i64 }} @lane(ptr %p, i64 %length)
  %value = extractvalue {{ {out}, i64 }} %found, 0
  %wrong = extractvalue {{ {out}, i64 }} %found, 1
  %q = getelementptr {out}, ptr %y, i64 %i
  store {out} %value, ptr %q
  %worse = or i64 %bad, %wrong
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %n
  br i1 %more, label %head, label %done
done:
  ret i64 %worse
}}
"""
    return kernels.over_rows(row, size)


def _kind(dtype: np.dtype) -> str:
    return FLOATS[dtype.char][0] if dtype.kind == "f" else f"i{8 * dtype.itemsize}"


def _pair(out: str, value: str, bad: str) -> str:
    return (
        f"  %r0 = insertvalue {{ {out}, i64 }} undef, {out} {value}, 0\n"
        f"  %r1 = insertvalue {{ {out}, i64 }} %r0, i64 {bad}, 1\n  ret {{ {out}, i64 }} %r1\n"
    )


def _added(char: str) -> str:
    """Floats, pairwise as NumPy adds them: eight columns, their sums, what is left."""
    kind, bits = FLOATS[char]
    columns = f"<8 x {kind}>"
    picked = "".join(f"  %c{k} = extractelement {columns} %acc, i32 {k}\n" for k in range(8))
    zero = "0.0" if _starts_at_zero() else "-0.0"
    return f"""
define internal {kind} @pairwise(ptr %x, i64 %n) {{
entry:
  %few = icmp ult i64 %n, 8
  br i1 %few, label %rest, label %some
some:
  %many = icmp ugt i64 %n, {_LEAF}
  br i1 %many, label %halves, label %eights
halves:
  %middle = lshr i64 %n, 1
  %half = and i64 %middle, -8
  %other = sub i64 %n, %half
  %second = getelementptr {kind}, ptr %x, i64 %half
  %a = call {kind} @pairwise(ptr %x, i64 %half)
  %b = call {kind} @pairwise(ptr %second, i64 %other)
  %ab = fadd {kind} %a, %b
  ret {kind} %ab
eights:
  %begin = load {columns}, ptr %x, align {bits // 8}
  %even = and i64 %n, -8
  br label %head
head:
  %i = phi i64 [ 8, %eights ], [ %next, %body ]
  %acc = phi {columns} [ %begin, %eights ], [ %more, %body ]
  %go = icmp ult i64 %i, %even
  br i1 %go, label %body, label %joined
body:
  %p = getelementptr {kind}, ptr %x, i64 %i
  %v = load {columns}, ptr %p, align {bits // 8}
  %more = fadd {columns} %acc, %v
  %next = add i64 %i, 8
  br label %head
joined:
{picked}  %s0 = fadd {kind} %c0, %c1
  %s1 = fadd {kind} %c2, %c3
  %s2 = fadd {kind} %c4, %c5
  %s3 = fadd {kind} %c6, %c7
  %s4 = fadd {kind} %s0, %s1
  %s5 = fadd {kind} %s2, %s3
  %s6 = fadd {kind} %s4, %s5
  br label %rest
rest:
  %from = phi i64 [ 0, %entry ], [ %even, %joined ]
  %sum = phi {kind} [ {zero}, %entry ], [ %s6, %joined ]
  br label %left
left:
  %j = phi i64 [ %from, %rest ], [ %following, %single ]
  %total = phi {kind} [ %sum, %rest ], [ %added, %single ]
  %again = icmp ult i64 %j, %n
  br i1 %again, label %single, label %done
single:
  %q = getelementptr {kind}, ptr %x, i64 %j
  %w = load {kind}, ptr %q
  %added = fadd {kind} %total, %w
  %following = add i64 %j, 1
  br label %left
done:
  ret {kind} %total
}}

define internal {{ {kind}, i64 }} @lane(ptr %x, i64 %n) {{
  %s = call {kind} @pairwise(ptr %x, i64 %n)
  %whole = fadd {kind} {zero}, %s
  %rest = fsub {kind} %whole, %whole
  %wrong = fcmp uno {kind} %rest, %rest
  %bad = zext i1 %wrong to i64
{_pair(kind, "%whole", "%bad")}}}
"""


def _counted(dtype: np.dtype) -> str:
    """Whole numbers, in 64 bits."""
    kind = f"i{8 * dtype.itemsize}"
    wide = "%v" if kind == "i64" else "%w"
    extend = f"  %w = {'sext' if dtype.kind == 'i' else 'zext'} {kind} %v to i64\n" if kind != "i64" else ""
    return f"""
define internal {{ i64, i64 }} @lane(ptr %x, i64 %n) {{
entry:
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %next, %head ]
  %sum = phi i64 [ 0, %entry ], [ %more, %head ]
  %p = getelementptr {kind}, ptr %x, i64 %i
  %v = load {kind}, ptr %p
{extend}  %more = add i64 %sum, {wide}
  %next = add i64 %i, 1
  %again = icmp ult i64 %next, %n
  br i1 %again, label %head, label %done
done:
{_pair("i64", "%more", "0")}}}
"""


def _extreme(dtype: np.dtype, largest: bool, place: bool) -> str:
    """The largest or the smallest element, or the place of the first of them."""
    kind = _kind(dtype)
    floating = dtype.kind == "f"
    width = _REGISTER // dtype.itemsize
    vector = f"<{width} x {kind}>"
    if floating:
        compare = f"fcmp {'ogt' if largest else 'olt'}"
        equal = "fcmp oeq"
    else:
        compare = f"icmp {'s' if dtype.kind == 'i' else 'u'}{'gt' if largest else 'lt'}"
        equal = "icmp eq"
    lines = []
    # Across a register: halves, until one is left.
    last, many = "%best", width
    level = 0
    while many > 1:
        half = many // 2
        low = ", ".join(f"i32 {k}" for k in range(half))
        high = ", ".join(f"i32 {k}" for k in range(half, many))
        lines.append(
            f"  %hl{level} = shufflevector <{many} x {kind}> {last}, <{many} x {kind}> undef, <{half} x i32> <{low}>\n"
            f"  %hh{level} = shufflevector <{many} x {kind}> {last}, <{many} x {kind}> undef, <{half} x i32> <{high}>\n"
            f"  %hc{level} = {compare} <{half} x {kind}> %hh{level}, %hl{level}\n"
            f"  %h{level} = select <{half} x i1> %hc{level}, <{half} x {kind}> %hh{level}, "
            f"<{half} x {kind}> %hl{level}\n"
        )
        last, many, level = f"%h{level}", half, level + 1
    lines.append(f"  %across = extractelement <1 x {kind}> {last}, i32 0\n")

    def nan(name: str, value: str, before: str, shape: str = vector, bits: str = f"<{width} x i1>") -> str:
        if not floating:
            return ""
        return f"  %u{name} = fcmp uno {shape} {value}, {value}\n  %{name} = or {bits} {before}, %u{name}\n"

    bits = f"<{width} x i1>"
    start = f"  %n0 = fcmp uno {vector} %v0, %v0\n" if floating else ""
    phis = f"  %nan = phi {bits} [ %n0, %wide ], [ %n1, %body ]\n" if floating else ""
    single_phi = "  %snan = phi i1 [ false, %few ], [ %sn, %one ]\n" if floating else ""
    if floating:
        flag = f"  %word = bitcast {bits} %n2 to i{width}\n  %widebad = icmp ne i{width} %word, 0\n"
        bad = "  %isnan = phi i1 [ %widebad, %tail ], [ %sn, %one ]\n"
    else:
        flag = bad = ""
    zeros = ""
    if floating and not place:
        # Zeros of both signs: which one NumPy gives depends on the way.
        zeros = f"""found:
{{phis}}  %zero = fcmp oeq {kind} %value, 0.0
  br i1 %zero, label %look, label %exact
look:
  %z = phi i64 [ 0, %found ], [ %zn, %look ]
  %sign = phi i1 [ false, %found ], [ %signs, %look ]
  %zp = getelementptr {kind}, ptr %x, i64 %z
  %zv = load i{8 * dtype.itemsize}, ptr %zp
  %negative = icmp eq i{8 * dtype.itemsize} %zv, {-(1 << (8 * dtype.itemsize - 1))}
  %signs = or i1 %sign, %negative
  %zn = add i64 %z, 1
  %zmore = icmp ult i64 %zn, %n
  br i1 %zmore, label %look, label %exact
exact:
  %both = phi i1 [ false, %found ], [ %signs, %look ]
  %wrong = or i1 %isnan, %both
  %bad = zext i1 %wrong to i64
{_pair(kind, "%value", "%bad")}"""
    value_phi = f"  %value = phi {kind} [ %across, %tail ], [ %sbest, %one ]\n{bad}"
    if not place:
        ending = (
            zeros.replace("{phis}", value_phi)
            if zeros
            else f"found:\n{value_phi}{_pair(kind, '%value', '0')}"
        )
    else:
        wrong = "  %bad = zext i1 %isnan to i64\n" if floating else ""
        ending = f"""found:
{value_phi}{wrong}  %wider = icmp uge i64 %n, {width}
  br i1 %wider, label %spread, label %search
spread:
  %one0 = insertelement {vector} undef, {kind} %value, i32 0
  %all = shufflevector {vector} %one0, {vector} undef, <{width} x i32> zeroinitializer
  %end = sub i64 %n, {width}
  br label %scan
scan:
  %s = phi i64 [ 0, %spread ], [ %sn2, %scan ]
  %last = icmp ugt i64 %s, %end
  %at = select i1 %last, i64 %end, i64 %s
  %sp = getelementptr {kind}, ptr %x, i64 %at
  %sv = load {vector}, ptr %sp, align {dtype.itemsize}
  %same = {equal} {vector} %sv, %all
  %mask = bitcast {bits} %same to i{width}
  %any = icmp ne i{width} %mask, 0
  %over = icmp uge i64 %at, %end
  %stop = or i1 %any, %over
  %sn2 = add i64 %s, {width}
  br i1 %stop, label %first, label %scan
first:
  %zeros = call i{width} @llvm.cttz.i{width}(i{width} %mask, i1 false)
  %zeros64 = {"zext" if width < 64 else "add"} i{width} %zeros{" to i64" if width < 64 else ", 0"}
  %spot = add i64 %at, %zeros64
  br label %placed
search:
  %t = phi i64 [ 0, %found ], [ %tn, %miss ]
  %tp = getelementptr {kind}, ptr %x, i64 %t
  %tv = load {kind}, ptr %tp
  %hit = {equal} {kind} %tv, %value
  br i1 %hit, label %placed, label %miss
miss:
  %tn = add i64 %t, 1
  %tmore = icmp ult i64 %tn, %n
  br i1 %tmore, label %search, label %placed
placed:
  %index = phi i64 [ %spot, %first ], [ %t, %search ], [ 0, %miss ]
{_pair("i64", "%index", "%bad" if floating else "0")}"""
    out = "i64" if place else kind
    declared = f"declare i{width} @llvm.cttz.i{width}(i{width}, i1)\n" if place else ""
    return f"""{declared}
define internal {{ {out}, i64 }} @lane(ptr %x, i64 %n) {{
entry:
  %iswide = icmp uge i64 %n, {width}
  br i1 %iswide, label %wide, label %few
few:
  %s0 = load {kind}, ptr %x
  br label %one
one:
  %j = phi i64 [ 0, %few ], [ %jn, %one ]
  %sofar = phi {kind} [ %s0, %few ], [ %sbest, %one ]
{single_phi}  %jp = getelementptr {kind}, ptr %x, i64 %j
  %jv = load {kind}, ptr %jp
  %jc = {compare} {kind} %jv, %sofar
  %sbest = select i1 %jc, {kind} %jv, {kind} %sofar
{nan("sn", "%jv", "%snan", kind, "i1")}  %jn = add i64 %j, 1
  %jmore = icmp ult i64 %jn, %n
  br i1 %jmore, label %one, label %found
wide:
  %v0 = load {vector}, ptr %x, align {dtype.itemsize}
{start}  %tailat = sub i64 %n, {width}
  br label %head
head:
  %i = phi i64 [ {width}, %wide ], [ %in, %body ]
  %acc = phi {vector} [ %v0, %wide ], [ %accn, %body ]
{phis}  %go = icmp ult i64 %i, %tailat
  br i1 %go, label %body, label %tail
body:
  %p = getelementptr {kind}, ptr %x, i64 %i
  %v = load {vector}, ptr %p, align {dtype.itemsize}
  %c = {compare} {vector} %v, %acc
  %accn = select {bits} %c, {vector} %v, {vector} %acc
{nan("n1", "%v", "%nan")}  %in = add i64 %i, {width}
  br label %head
tail:
  %tailp = getelementptr {kind}, ptr %x, i64 %tailat
  %tailv = load {vector}, ptr %tailp, align {dtype.itemsize}
  %tailc = {compare} {vector} %tailv, %acc
  %best = select {bits} %tailc, {vector} %tailv, {vector} %acc
{nan("n2", "%tailv", "%nan")}{flag}{"".join(lines)}  br label %found
{ending}}}
"""
