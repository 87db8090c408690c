"""The guard of a block whose geometry repeats: LLVM code that checks the operands and runs the loop nest.

One function for all blocks, called by the interpreter like one written in C. What it checks and does is in words that
`shortcut` and `geometry` lay out; where anything is not as the words say, it asks the block's site, which is Python and
decides anew. The other modules only write the text: variables are slots on the stack, which LLVM makes registers of.
"""

from __future__ import annotations

from functools import lru_cache

from minpy.runtime.fuse.guard import layout
from minpy.runtime.fuse.guard.looking import check, follow, state
from minpy.runtime.fuse.guard.running import run
from minpy.runtime.fuse.guard.writing import FUNCTIONS, Writer, let_go
from minpy.runtime.fuse.rows import DATA


@lru_cache(maxsize=1)
def text() -> str:
    """The module."""
    w = Writer()
    w.label("entry")
    w.do(f"%w = alloca [{layout.MOST_WORDS} x i64], align 16")
    w.do(f"%results = alloca [{layout.MOST_RESULTS} x i64], align 16")
    w.do("%made = alloca i64, align 8")
    w.do("%ready = alloca i64, align 8")
    w.do("%overflow = alloca i32, align 4")
    w.do("%held = alloca ptr, align 8")
    w.do("%found = alloca i64, align 8")
    w.do("%pair = alloca [2 x ptr], align 16")
    w.do(f"%fixed = alloca [{layout.MOST_FIXED} x i64], align 16")
    w.do(f"%ints = alloca [{layout.MOST_NUMBERS} x i64], align 16")
    w.do(f"%keys = alloca [{layout.MOST_KEYS + 1} x i64], align 16")
    w.do(f"%vals = alloca [{layout.MOST_VALUES + 1} x i64], align 16")
    w.do("%keyed = alloca i64, align 8")
    w.do("%followed = alloca i64, align 8")
    w.do("%first = alloca ptr, align 8")
    w.do("store ptr null, ptr %first, align 8")
    w.do("store i64 0, ptr %keyed, align 8")
    w.do("store i64 0, ptr %followed, align 8")
    w.do(f"call void @llvm.memset.p0.i64(ptr %ints, i8 0, i64 {8 * layout.MOST_NUMBERS}, i1 false)")
    w.do(f"call void @llvm.memset.p0.i64(ptr %keys, i8 0, i64 {8 * layout.MOST_KEYS + 8}, i1 false)")
    w.do("store i64 0, ptr %made, align 8")
    w.do("store i64 0, ptr %ready, align 8")
    site = w.field("%self", DATA, "ptr")
    state(w, site)
    follow(w, site)
    count = w.at(site, layout.COUNT)
    number, following, end = w.loop(count)
    place = w.new(f"add i64 {number}, {layout.GEOMETRIES}")
    g = w.at(site, place, "ptr")
    check(w, site, g, following)
    run(w, site, g, following)
    w.label("go")
    w.close(following, end)
    w.do("br label %slow")
    w.label("slow")
    let_go(w)
    answer = w.call("PyObject_VectorcallDict", w.at(site, layout.SLOW, "ptr"), "%args", "%nargs", "null")
    w.do(f"ret ptr {answer}")
    body = "\n".join(w.lines)
    declared = "".join(
        f"declare {kind} @minpy_{name}({kinds})\n" for name, (kind, kinds) in FUNCTIONS.items()
    )
    declared += "declare double @llvm.fabs.f64(double)\ndeclare void @llvm.memset.p0.i64(ptr, i8, i64, i1)\n"
    return f"{declared}define ptr @kernel(ptr %self, ptr %args, i64 %nargs) {{\n{body}\n}}\n"
