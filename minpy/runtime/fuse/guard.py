"""The guard of a block whose geometry repeats: LLVM code that checks the operands and runs the loop nest.

One function for all blocks, called by the interpreter like one written in C. What it checks and does is in words that
`shortcut` lays out; where anything is not as the words say, it asks the block's site, which is Python and decides anew.
This module only writes the text: variables are slots on the stack, which LLVM makes registers of.
"""

from __future__ import annotations

from functools import lru_cache

from minpy.runtime.fuse.rows import DATA

MOST_WORDS, MOST_RESULTS = 96, 24
# The words of a site. Those from GEOMETRIES on are pointers to the words of geometries.
SLOW, NONE, TRUE, FALSE, KEY, STATE, STATE_VALUE, STATE_DEFAULT, ARRAY, ASK, ASK_COUNT = range(11)
TOOL, TOOL_NUMBERS, HITS, COUNT, GEOMETRIES = 11, 12, 18, 19, 20
MOST_GEOMETRIES = 4
# The words of a geometry: numbers of items and where they are.
(
    NAMES, CHECKS, SAME, SAME_AT, APART, APART_AT, FRESH, FRESH_AT, EMPTY, WORDS, WORDS_AT, FILLS, FILLS_AT, CODE,
    LONG, REPORTED, RESULTS, RESULTS_AT, MOVES, MOVES_AT, BACK, BACK_AT, MOVE,
) = range(23)  # fmt: skip
# Of each name: what kind of check, and what it needs (five words).
IS_ARRAY, IS_FLOAT, IS_THIS_FLOAT, IS_THIS_INT, IS_THIS, IS_SMALL_FLOAT = range(6)
# Where things stand in NumPy's and Python's objects.
_TYPE, _NDIM, _DIMENSIONS, _STRIDES, _DTYPE, _FLAGS, _VALUE = 8, 24, 32, 40, 56, 64, 16

FUNCTIONS: dict[str, tuple[str, str]] = {
    "PyObject_CallNoArgs": ("ptr", "ptr"),
    "PyObject_CallOneArg": ("ptr", "ptr, ptr"),
    "PyObject_Call": ("ptr", "ptr, ptr, ptr"),
    "PyObject_GetItem": ("ptr", "ptr, ptr"),
    "PyObject_Vectorcall": ("ptr", "ptr, ptr, i64, ptr"),
    "PyDict_GetItem": ("ptr", "ptr, ptr"),
    "PyThreadState_GetDict": ("ptr", ""),
    "PyList_Append": ("i32", "ptr, ptr"),
    "PyList_GetItem": ("ptr", "ptr, i64"),
    "PyLong_AsLongAndOverflow": ("i64", "ptr, ptr"),
    "PyContextVar_Get": ("i32", "ptr, ptr, ptr"),
    "PyErr_Clear": ("void", ""),
    "PyEval_SaveThread": ("ptr", ""),
    "PyEval_RestoreThread": ("void", "ptr"),
    "Py_IncRef": ("void", "ptr"),
    "Py_DecRef": ("void", "ptr"),
}


class _Writer:
    """Writes instructions, one after the other, and keeps count of registers and labels."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._count = 0

    def new(self, text: str) -> str:
        self._count += 1
        self.lines.append(f"  %r{self._count} = {text}")
        return f"%r{self._count}"

    def do(self, text: str) -> None:
        self.lines.append(f"  {text}")

    def label(self, name: str) -> None:
        self.lines.append(f"{name}:")

    def fresh(self, hint: str) -> str:
        self._count += 1
        return f"{hint}{self._count}"

    def at(self, base: str, index: str | int, kind: str = "i64") -> str:
        """The word with a number, of those that begin at `base`."""
        place = self.new(f"getelementptr i64, ptr {base}, i64 {index}")
        return self.new(f"load {kind}, ptr {place}, align 8")

    def put(self, base: str, index: str | int, value: str, kind: str = "i64") -> None:
        place = self.new(f"getelementptr i64, ptr {base}, i64 {index}")
        self.do(f"store {kind} {value}, ptr {place}, align 8")

    def field(self, base: str, offset: int, kind: str = "i64") -> str:
        """What stands in an object, so many bytes from where it begins."""
        place = self.new(f"getelementptr i8, ptr {base}, i64 {offset}")
        return self.new(f"load {kind}, ptr {place}, align {4 if kind == 'i32' else 8}")

    def call(self, name: str, *arguments: str) -> str:
        kind, kinds = FUNCTIONS[name]
        given = ", ".join(
            f"{kind} {each}" for kind, each in zip(kinds.split(", "), arguments, strict=False) if kind
        )
        text = f"call {kind} @minpy_{name}({given})"
        if kind == "void":
            self.do(text)
            return ""
        return self.new(text)

    def unless(self, condition: str, target: str) -> None:
        """Go to `target` if the condition does not hold."""
        going_on = self.fresh("on")
        self.do(f"br i1 {condition}, label %{going_on}, label %{target}")
        self.label(going_on)

    def same(self, a: str, b: str, kind: str = "ptr") -> str:
        return self.new(f"icmp eq {kind} {a}, {b}")

    def loop(self, count: str) -> tuple[str, str, str]:
        """Begin a loop over ``0 … count - 1``; give the index, and the labels of its next round and its end."""
        slot = self.fresh("%slot")
        head, body, following, end = (self.fresh(each) for each in ("head", "body", "following", "end"))
        self.lines.insert(1, f"  {slot} = alloca i64, align 8")
        self.do(f"store i64 0, ptr {slot}, align 8")
        self.do(f"br label %{head}")
        self.label(head)
        index = self.new(f"load i64, ptr {slot}, align 8")
        more = self.new(f"icmp slt i64 {index}, {count}")
        self.do(f"br i1 {more}, label %{body}, label %{end}")
        self.label(following)
        added = self.new(f"add i64 {self.new(f'load i64, ptr {slot}, align 8')}, 1")
        self.do(f"store i64 {added}, ptr {slot}, align 8")
        self.do(f"br label %{head}")
        self.label(body)
        return index, following, end

    def close(self, following: str, end: str) -> None:
        self.do(f"br label %{following}")
        self.label(end)


@lru_cache(maxsize=1)
def text() -> str:
    """The module."""
    w = _Writer()
    w.label("entry")
    w.do(f"%w = alloca [{MOST_WORDS} x i64], align 16")
    w.do(f"%results = alloca [{MOST_RESULTS} x i64], align 16")
    w.do("%made = alloca i64, align 8")
    w.do("%ready = alloca i64, align 8")
    w.do("%overflow = alloca i32, align 4")
    w.do("%held = alloca ptr, align 8")
    w.do("%found = alloca i64, align 8")
    w.do("%pair = alloca [2 x ptr], align 16")
    w.do("store i64 0, ptr %made, align 8")
    w.do("store i64 0, ptr %ready, align 8")
    site = w.field("%self", DATA, "ptr")
    _state(w, site)
    count = w.at(site, COUNT)
    number, following, end = w.loop(count)
    place = w.new(f"add i64 {number}, {GEOMETRIES}")
    g = w.at(site, place, "ptr")
    _check(w, site, g, following)
    _run(w, site, g, following)
    w.label("go")
    w.close(following, end)
    w.do("br label %slow")
    w.label("slow")
    answer = w.call("PyObject_Vectorcall", w.at(site, SLOW, "ptr"), "%args", "%nargs", "null")
    w.do(f"ret ptr {answer}")
    body = "\n".join(w.lines)
    declared = "".join(
        f"declare {kind} @minpy_{name}({kinds})\n" for name, (kind, kinds) in FUNCTIONS.items()
    )
    declared += "declare double @llvm.fabs.f64(double)\n"
    return f"{declared}define ptr @kernel(ptr %self, ptr %args, i64 %nargs) {{\n{body}\n}}\n"


def _state(w: _Writer, site: str) -> None:
    """Nobody must be looking at lines or operations, and NumPy's floating-point state must be the usual one."""
    none = w.at(site, NONE, "ptr")
    index, following, end = w.loop(w.at(site, ASK_COUNT))
    asked = w.at(w.at(site, ASK, "ptr"), index, "ptr")
    answer = w.call("PyObject_CallNoArgs", asked)
    w.unless(w.new(f"icmp ne ptr {answer}, null"), "failed")
    w.call("Py_DecRef", answer)
    w.unless(w.same(answer, none), "slow")
    w.close(following, end)
    tool = w.at(site, TOOL, "ptr")
    with_tools, without = w.fresh("tools"), w.fresh("notools")
    w.do(f"br i1 {w.new(f'icmp ne ptr {tool}, null')}, label %{with_tools}, label %{without}")
    w.label(with_tools)
    index, following, end = w.loop("6")
    number = w.at(site, w.new(f"add i64 {index}, {TOOL_NUMBERS}"), "ptr")
    answer = w.call("PyObject_CallOneArg", tool, number)
    w.unless(w.new(f"icmp ne ptr {answer}, null"), "failed")
    w.call("Py_DecRef", answer)
    w.unless(w.same(answer, none), "slow")
    w.close(following, end)
    w.do(f"br label %{without}")
    w.label(without)
    w.do("%own = call ptr @minpy_PyThreadState_GetDict()")
    w.unless(w.new("icmp ne ptr %own, null"), "slow")
    state = w.at(site, STATE, "ptr")
    by_variable, by_dictionary, known = w.fresh("variable"), w.fresh("dictionary"), w.fresh("known")
    usual = w.at(site, STATE_DEFAULT, "ptr")
    w.do(f"br i1 {w.new(f'icmp ne ptr {usual}, null')}, label %{by_variable}, label %{by_dictionary}")
    w.label(by_variable)  # NumPy 2
    failed = w.call("PyContextVar_Get", state, "null", "%held")
    w.unless(w.same(failed, "0", "i32"), "failed")
    held = w.new("load ptr, ptr %held, align 8")
    w.call("Py_DecRef", held)
    w.unless(w.same(held, usual), "slow")
    w.do(f"br label %{known}")
    w.label(by_dictionary)  # NumPy 1
    found = w.call("PyDict_GetItem", "%own", state)
    look = w.fresh("look")
    w.do(f"br i1 {w.same(found, 'null')}, label %{known}, label %{look}")
    w.label(look)
    mask = w.call("PyLong_AsLongAndOverflow", w.call("PyList_GetItem", found, "1"), "%overflow")
    w.unless(w.same(mask, w.at(site, STATE_VALUE), "i64"), "slow")
    w.do(f"br label %{known}")
    w.label("failed")
    w.call("PyErr_Clear")
    w.do("br label %slow")
    w.label(known)
    w.do(f"%list = call ptr @minpy_PyDict_GetItem(ptr %own, ptr {w.at(site, KEY, 'ptr')})")
    w.unless(w.new("icmp ne ptr %list, null"), "slow")


def _check(w: _Writer, site: str, g: str, other: str) -> None:
    """The operands must be those of the geometry; else to the next one."""
    given = w.new("sub i64 %nargs, 1")
    w.unless(w.same(w.at(g, NAMES), given, "i64"), other)
    # The program for the numbers, with holes where values differ from call to call.
    words = w.at(g, WORDS_AT, "ptr")
    index, following, end = w.loop(w.at(g, WORDS))
    w.put("%w", index, w.at(words, index))
    w.close(following, end)
    index, following, end = w.loop(given)
    value = w.at("%args", w.new(f"add i64 {index}, 1"), "ptr")
    check = w.new(f"getelementptr i64, ptr {w.at(g, CHECKS, 'ptr')}, i64 {w.new(f'mul i64 {index}, 5')}")
    kind = w.at(check, 0)
    first = w.at(check, 1, "ptr")
    labels = {each: w.fresh(f"kind{each}_") for each in range(6)}
    w.do(
        f"switch i64 {kind}, label %{other} ["
        + " ".join(f"i64 {each}, label %{label}" for each, label in labels.items())
        + "]"
    )
    w.label(labels[IS_THIS])
    w.unless(w.same(value, first), other)
    w.do(f"br label %{following}")
    w.label(labels[IS_SMALL_FLOAT])  # of those that NumPy 1 takes into a loop in single precision
    w.unless(w.same(w.field(value, _TYPE, "ptr"), first), other)
    size = w.new(f"call double @llvm.fabs.f64(double {w.field(value, _VALUE, 'double')})")
    w.unless(w.new(f"fcmp ule double {size}, 65500.0"), other)
    w.put("%w", w.at(check, 2), w.field(value, _VALUE))
    w.do(f"br label %{following}")
    w.label(labels[IS_FLOAT])
    w.unless(w.same(w.field(value, _TYPE, "ptr"), first), other)
    place = w.at(check, 2)
    bits = w.field(value, _VALUE)
    w.put("%w", place, bits)
    w.do(f"br label %{following}")
    w.label(labels[IS_THIS_FLOAT])
    w.unless(w.same(w.field(value, _TYPE, "ptr"), first), other)
    w.unless(w.same(w.field(value, _VALUE), w.at(check, 2), "i64"), other)
    w.do(f"br label %{following}")
    w.label(labels[IS_THIS_INT])
    w.unless(w.same(w.field(value, _TYPE, "ptr"), first), other)
    number = w.call("PyLong_AsLongAndOverflow", value, "%overflow")
    w.unless(w.same(w.new("load i32, ptr %overflow, align 4"), "0", "i32"), other)
    w.unless(w.same(number, w.at(check, 2), "i64"), other)
    w.do(f"br label %{following}")
    w.label(labels[IS_ARRAY])
    w.unless(w.same(w.field(value, _TYPE, "ptr"), w.at(site, ARRAY, "ptr")), other)
    w.unless(w.same(w.field(value, _DTYPE, "ptr"), first), other)
    ndim = w.at(check, 2)
    w.unless(w.same(w.new(f"sext i32 {w.field(value, _NDIM, 'i32')} to i64"), ndim, "i64"), other)
    flags = w.new(f"and i32 {w.field(value, _FLAGS, 'i32')}, 1280")
    w.unless(w.same(w.new(f"zext i32 {flags} to i64"), w.at(check, 4), "i64"), other)
    extents = w.at(check, 3, "ptr")
    dimensions, strides = w.field(value, _DIMENSIONS, "ptr"), w.field(value, _STRIDES, "ptr")
    axis, next_axis, last_axis = w.loop(ndim)
    w.unless(w.same(w.at(dimensions, axis), w.at(extents, axis), "i64"), other)
    wanted = w.at(extents, w.new(f"add i64 {axis}, {ndim}"))
    w.unless(w.same(w.at(strides, axis), wanted, "i64"), other)
    w.close(next_axis, last_axis)
    w.close(following, end)
    # Names that must still mean what they meant.
    index, following, end = w.loop(w.at(g, SAME))
    item = w.new(f"getelementptr i64, ptr {w.at(g, SAME_AT, 'ptr')}, i64 {w.new(f'mul i64 {index}, 3')}")
    found = w.call("PyDict_GetItem", w.at(item, 0, "ptr"), w.at(item, 1, "ptr"))
    w.unless(w.same(found, w.at(item, 2, "ptr")), other)
    w.close(following, end)
    # What is written must not overlap what is read.
    index, following, end = w.loop(w.at(g, APART))
    item = w.new(f"getelementptr i64, ptr {w.at(g, APART_AT, 'ptr')}, i64 {w.new(f'mul i64 {index}, 6')}")
    bounds = []
    for k in (0, 3):
        array = w.at("%args", w.at(item, k), "ptr")
        start = w.field(array, DATA)
        bounds.append([w.new(f"add i64 {start}, {w.at(item, k + each)}") for each in (1, 2)])
    before = w.new(f"icmp ule i64 {bounds[0][1]}, {bounds[1][0]}")
    after = w.new(f"icmp ule i64 {bounds[1][1]}, {bounds[0][0]}")
    w.unless(w.new(f"or i1 {before}, {after}"), other)
    w.close(following, end)


def _run(w: _Writer, site: str, g: str, following_geometry: str) -> None:
    """Make new arrays and the results, run the code, and hand the results over."""
    index, following, end = w.loop(w.at(g, FILLS))
    item = w.new(f"getelementptr i64, ptr {w.at(g, FILLS_AT, 'ptr')}, i64 {w.new(f'mul i64 {index}, 2')}")
    w.put("%w", w.at(item, 0), w.at("%args", w.at(item, 1)))
    w.close(following, end)
    fresh = w.at(g, FRESH_AT, "ptr")
    index, following, end = w.loop(w.at(g, FRESH))
    item = w.new(f"getelementptr i64, ptr {fresh}, i64 {w.new(f'mul i64 {index}, 2')}")
    array = w.call("PyObject_Call", w.at(g, EMPTY, "ptr"), w.at(item, 1, "ptr"), "null")
    w.unless(w.new(f"icmp ne ptr {array}, null"), "undo")
    w.put("%w", w.at(item, 0), array, "ptr")
    w.do(f"store i64 {w.new(f'add i64 {index}, 1')}, ptr %made, align 8")
    w.close(following, end)
    results = w.at(g, RESULTS_AT, "ptr")
    index, following, end = w.loop(w.at(g, RESULTS))
    item = w.new(f"getelementptr i64, ptr {results}, i64 {w.new(f'mul i64 {index}, 3')}")
    from_words, from_names, constant, put = (w.fresh(each) for each in ("words", "names", "constant", "put"))
    w.do(
        f"switch i64 {w.at(item, 0)}, label %{constant} [i64 0, label %{from_words} i64 1, label %{from_names}]"
    )
    w.label(from_words)
    made = w.at("%w", w.at(item, 1), "ptr")
    w.call("Py_IncRef", made)
    w.put("%results", index, made, "ptr")
    w.do(f"br label %{put}")
    w.label(from_names)
    base = w.at("%args", w.at(item, 1), "ptr")
    key = w.at(item, 2, "ptr")
    whole, part = w.fresh("whole"), w.fresh("part")
    w.do(f"br i1 {w.same(key, 'null')}, label %{whole}, label %{part}")
    w.label(whole)
    w.call("Py_IncRef", base)
    w.put("%results", index, base, "ptr")
    w.do(f"br label %{put}")
    w.label(part)
    view = w.call("PyObject_GetItem", base, key)
    w.unless(w.new(f"icmp ne ptr {view}, null"), "undo")
    w.put("%results", index, view, "ptr")
    w.do(f"br label %{put}")
    w.label(constant)
    fixed = w.at(item, 1, "ptr")
    w.call("Py_IncRef", fixed)
    w.put("%results", index, fixed, "ptr")
    w.do(f"br label %{put}")
    w.label(put)
    w.do(f"store i64 {w.new(f'add i64 {index}, 1')}, ptr %ready, align 8")
    w.close(following, end)
    # The code itself, without the interpreter's lock if it takes long.
    code = w.at(g, CODE, "ptr")
    long, short, done = (w.fresh(each) for each in ("long", "short", "done"))
    w.do(f"br i1 {w.new(f'icmp ne i64 {w.at(g, LONG)}, 0')}, label %{long}, label %{short}")
    w.label(long)
    thread = w.call("PyEval_SaveThread")
    w.do(f"store i64 {w.new(f'call i64 {code}(ptr %w)')}, ptr %found, align 8")
    w.call("PyEval_RestoreThread", thread)
    w.do(f"br label %{done}")
    w.label(short)
    w.do(f"store i64 {w.new(f'call i64 {code}(ptr %w)')}, ptr %found, align 8")
    w.do(f"br label %{done}")
    w.label(done)
    reported = w.new(f"and i64 {w.new('load i64, ptr %found, align 8')}, {w.at(g, REPORTED)}")
    fine, not_fine = w.fresh("fine"), w.fresh("notfine")
    w.do(f"br i1 {w.same(reported, '0', 'i64')}, label %{fine}, label %{not_fine}")
    w.label(not_fine)
    _move(w, g, BACK, BACK_AT)
    w.do("br label %undo")
    w.label(fine)
    _move(w, g, MOVES, MOVES_AT)
    ready = w.new("load i64, ptr %ready, align 8")
    index, following, end = w.loop(ready)
    # The first one is taken first: from the end of the list.
    last = w.new(f"sub i64 {w.new(f'sub i64 {ready}, 1')}, {index}")
    result = w.at("%results", last, "ptr")
    w.call("PyList_Append", "%list", result)
    w.call("Py_DecRef", result)
    w.close(following, end)
    _drop(w, fresh)
    hits = w.new(f"add i64 {w.at(site, HITS)}, 1")
    w.put(site, HITS, hits)
    true = w.at(site, TRUE, "ptr")
    w.call("Py_IncRef", true)
    w.do(f"ret ptr {true}")
    w.label("undo")
    w.call("PyErr_Clear")
    index, following, end = w.loop(w.new("load i64, ptr %ready, align 8"))
    w.call("Py_DecRef", w.at("%results", index, "ptr"))
    w.close(following, end)
    _drop(w, fresh)
    false = w.at(site, FALSE, "ptr")
    w.call("Py_IncRef", false)
    w.do(f"ret ptr {false}")


def _move(w: _Writer, g: str, count: int, items: int) -> None:
    """Copy new arrays to where they belong. Nothing can be wrong with that; if it is, it is passed over."""
    index, following, end = w.loop(w.at(g, count))
    item = w.new(f"getelementptr i64, ptr {w.at(g, items, 'ptr')}, i64 {w.new(f'mul i64 {index}, 3')}")
    base, key = w.at("%args", w.at(item, 1), "ptr"), w.at(item, 2, "ptr")
    view = w.call("PyObject_GetItem", base, key)
    w.unless(w.new(f"icmp ne ptr {view}, null"), following)
    w.put("%pair", 0, view, "ptr")
    w.put("%pair", 1, w.at("%w", w.at(item, 0), "ptr"), "ptr")
    answer = w.call("PyObject_Vectorcall", w.at(g, MOVE, "ptr"), "%pair", "2", "null")
    w.call("Py_DecRef", view)
    w.unless(w.new(f"icmp ne ptr {answer}, null"), following)
    w.call("Py_DecRef", answer)
    w.close(following, end)


def _drop(w: _Writer, fresh: str) -> None:
    index, following, end = w.loop(w.new("load i64, ptr %made, align 8"))
    item = w.new(f"getelementptr i64, ptr {fresh}, i64 {w.new(f'mul i64 {index}, 2')}")
    w.call("Py_DecRef", w.at("%w", w.at(item, 0), "ptr"))
    w.close(following, end)
