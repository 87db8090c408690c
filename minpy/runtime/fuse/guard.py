"""The guard of a block whose geometry repeats: LLVM code that checks the operands and runs the loop nest.

One function for all blocks, called by the interpreter like one written in C. What it checks and does is in words that
`shortcut` lays out; where anything is not as the words say, it asks the block's site, which is Python and decides anew.
This module only writes the text: variables are slots on the stack, which LLVM makes registers of.
"""

from __future__ import annotations

from functools import lru_cache

from minpy.runtime.fuse.rows import DATA

MOST_WORDS, MOST_RESULTS, MOST_FIXED, MOST_VALUES, MOST_NUMBERS, MOST_KEYS = 96, 24, 192, 48, 8, 12
# The words of a site. Those from GEOMETRIES on are pointers to the words of geometries.
SLOW, NONE, TRUE, FALSE, KEY, STATE, STATE_VALUE, STATE_DEFAULT, ARRAY, ASK, ASK_COUNT = range(11)
TOOL, TOOL_NUMBERS, HITS, COUNT, GIVEN, CHAINS, CHAINS_AT, EXPECTED, GEOMETRIES = (
    11,
    12,
    18,
    19,
    20,
    21,
    22,
    23,
    24,
)
MOST_GEOMETRIES = 4
# The words of a geometry: numbers of items and where they are.
(
    NAMES, CHECKS, SAME, SAME_AT, APART, APART_AT, FRESH, FRESH_AT, EMPTY, WORDS, WORDS_AT, FILLS, FILLS_AT, CODE,
    LONG, REPORTED, RESULTS, RESULTS_AT, MOVES, MOVES_AT, BACK, BACK_AT, MOVE, LIMITS, LIMITS_AT, SHIFTS, SHIFTS_AT,
    FIXED, KEYS, KEYS_AT, FIRST, ITEMS, ITEM_CHECKS, PARTS, PARTS_AT,
) = range(35)  # fmt: skip
# Of each name, and of each step of a chain: what kind of check, and what it needs (five words).
(
    IS_ARRAY,
    IS_FLOAT,
    IS_THIS_FLOAT,
    IS_THIS_INT,
    IS_THIS,
    IS_SMALL_FLOAT,
    IS_MOVING,
    IS_INT,
    IS_TYPE,
    IS_ANY,
) = range(10)
# A form, of the numbers that move slices (five words): two of them, each with its factor, and a constant.
FORM = 5
# Of each part of an index that is made anew: what it is, an object (a constant, or a slice's step), the forms of a
# number or a slice's ends, and whether these are None.
PART_CONSTANT, PART_NUMBER, PART_SLICE = range(3)
PART = 2 + 2 * (FORM + 1)
ONLY = -1  # the number of parts of an index that is no tuple
# Of each step of a chain: from which value, an attribute or an item, the type and its version, the name (five words).
ATTRIBUTE, ITEM = range(2)
_FURTHEST = 1 << 40  # of numbers that move slices: then nothing overflows
# Where things stand in NumPy's and Python's objects.
_TYPE, _NDIM, _DIMENSIONS, _STRIDES, _DTYPE, _FLAGS, _VALUE, VERSION = 8, 24, 32, 40, 56, 64, 16, 384

FUNCTIONS: dict[str, tuple[str, str]] = {
    "PyObject_CallNoArgs": ("ptr", "ptr"),
    "PyObject_CallOneArg": ("ptr", "ptr, ptr"),
    "PyObject_Call": ("ptr", "ptr, ptr, ptr"),
    "PyObject_GetItem": ("ptr", "ptr, ptr"),
    "PyObject_Vectorcall": ("ptr", "ptr, ptr, i64, ptr"),
    "PyObject_GetAttr": ("ptr", "ptr, ptr"),
    "PyDict_GetItem": ("ptr", "ptr, ptr"),
    "PyLong_FromLongLong": ("ptr", "i64"),
    "PySlice_New": ("ptr", "ptr, ptr, ptr"),
    "PyTuple_New": ("ptr", "i64"),
    "PyTuple_GetItem": ("ptr", "ptr, i64"),
    "PyTuple_SetItem": ("i32", "ptr, i64, ptr"),
    "PyThreadState_GetDict": ("ptr", ""),
    "PyList_Append": ("i32", "ptr, ptr"),
    "PyList_GetItem": ("ptr", "ptr, i64"),
    "PyLong_AsLongAndOverflow": ("i64", "ptr, ptr"),
    "PyContextVar_Get": ("i32", "ptr, ptr, ptr"),
    "PyErr_Clear": ("void", ""),
    "PyErr_ExceptionMatches": ("i32", "ptr"),
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

    def row(self, base: str, index: str, width: int) -> str:
        """Where a row of so many words begins."""
        return self.new(f"getelementptr i64, ptr {base}, i64 {self.new(f'mul i64 {index}, {width}')}")

    def form(self, row: str, at: int, constant: bool = True) -> str:
        """The value of a form, of which the words begin at a place of a row."""
        value = self.at(row, at + 4) if constant else "0"
        for k in (0, 2):
            number = self.at("%ints", self.at(row, at + k))
            value = self.new(f"add i64 {value}, {self.new(f'mul i64 {number}, {self.at(row, at + k + 1)}')}")
        return value

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
    w.do(f"%fixed = alloca [{MOST_FIXED} x i64], align 16")
    w.do(f"%ints = alloca [{MOST_NUMBERS} x i64], align 16")
    w.do(f"%keys = alloca [{MOST_KEYS + 1} x i64], align 16")
    w.do(f"%vals = alloca [{MOST_VALUES + 1} x i64], align 16")
    w.do("%keyed = alloca i64, align 8")
    w.do("%followed = alloca i64, align 8")
    w.do("%first = alloca ptr, align 8")
    w.do("store ptr null, ptr %first, align 8")
    w.do("store i64 0, ptr %keyed, align 8")
    w.do("store i64 0, ptr %followed, align 8")
    w.do(f"call void @llvm.memset.p0.i64(ptr %ints, i8 0, i64 {8 * MOST_NUMBERS}, i1 false)")
    w.do(f"call void @llvm.memset.p0.i64(ptr %keys, i8 0, i64 {8 * MOST_KEYS + 8}, i1 false)")
    w.do("store i64 0, ptr %made, align 8")
    w.do("store i64 0, ptr %ready, align 8")
    site = w.field("%self", DATA, "ptr")
    _state(w, site)
    _follow(w, site)
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
    _let_go(w)
    answer = w.call("PyObject_Vectorcall", w.at(site, SLOW, "ptr"), "%args", "%nargs", "null")
    w.do(f"ret ptr {answer}")
    body = "\n".join(w.lines)
    declared = "".join(
        f"declare {kind} @minpy_{name}({kinds})\n" for name, (kind, kinds) in FUNCTIONS.items()
    )
    declared += "declare double @llvm.fabs.f64(double)\ndeclare void @llvm.memset.p0.i64(ptr, i8, i64, i1)\n"
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


def _follow(w: _Writer, site: str) -> None:
    """Get what chains of attributes and items lead to: ``%values`` are the arguments, and that behind them.

    Types must be as they were, so that nobody's code runs.
    """
    steps = w.at(site, CHAINS)
    some, none, done = (w.fresh(each) for each in ("chains", "nochains", "followed"))
    w.do("%none = sub i64 %nargs, 1")
    w.do(f"br i1 {w.new(f'icmp ne i64 {steps}, 0')}, label %{some}, label %{none}")
    w.label(some)
    given = w.at(site, GIVEN)
    w.unless(w.same("%none", given, "i64"), "slow")
    index, following, end = w.loop("%nargs")
    w.put("%vals", index, w.at("%args", index))
    w.close(following, end)
    rows = w.at(site, CHAINS_AT, "ptr")
    index, following, end = w.loop(steps)
    row = w.row(rows, index, 5)
    source = w.at("%vals", w.at(row, 0), "ptr")
    kind = w.at(row, 2, "ptr")
    w.unless(w.same(w.field(source, _TYPE, "ptr"), kind), "slow")
    attribute, item, put = (w.fresh(each) for each in ("attribute", "item", "put"))
    place = w.new(f"add i64 {w.new('load i64, ptr %followed, align 8')}, %nargs")
    w.do(f"br i1 {w.same(w.at(row, 1), str(ITEM), 'i64')}, label %{item}, label %{attribute}")
    w.label(attribute)
    version = w.new(f"zext i32 {w.field(kind, VERSION, 'i32')} to i64")
    w.unless(w.same(version, w.at(row, 3), "i64"), "slow")
    found = w.call("PyObject_GetAttr", source, w.at(row, 4, "ptr"))
    w.unless(w.new(f"icmp ne ptr {found}, null"), "failed")
    w.put("%vals", place, found, "ptr")
    w.do(f"br label %{put}")
    w.label(item)
    found = w.call("PyDict_GetItem", source, w.at(row, 4, "ptr"))
    w.unless(w.new(f"icmp ne ptr {found}, null"), "slow")
    w.call("Py_IncRef", found)
    w.put("%vals", place, found, "ptr")
    w.do(f"br label %{put}")
    w.label(put)
    more = w.new("load i64, ptr %followed, align 8")
    w.do(f"store i64 {w.new(f'add i64 {more}, 1')}, ptr %followed, align 8")
    w.close(following, end)
    all_of_them = w.new(f"add i64 {given}, {steps}")
    w.do(f"br label %{done}")
    before = w.fresh("before")
    w.label(none)
    w.do(f"br label %{before}")
    w.label(before)
    w.do(f"br label %{done}")
    w.label(done)
    w.do(f"%values = phi ptr [%vals, %{end}], [%args, %{before}]")
    w.do(f"%given = phi i64 [{all_of_them}, %{end}], [%none, %{before}]")


def _let_go(w: _Writer) -> None:
    """Give back what chains led to, and what was computed first."""
    index, following, end = w.loop(w.new("load i64, ptr %followed, align 8"))
    w.call("Py_DecRef", w.at("%vals", w.new(f"add i64 {index}, %nargs"), "ptr"))
    w.close(following, end)
    # (Of no object, this does nothing.)
    w.call("Py_DecRef", w.new("load ptr, ptr %first, align 8"))


def _check(w: _Writer, site: str, g: str, other: str) -> None:
    """The operands must be those of the geometry; else to the next one."""
    given = "%given"
    w.unless(w.same(w.at(g, NAMES), given, "i64"), other)
    # The program for the numbers, with holes where values differ from call to call.
    words = w.at(g, WORDS_AT, "ptr")
    index, following, end = w.loop(w.at(g, WORDS))
    w.put("%w", index, w.at(words, index))
    w.close(following, end)
    _check_values(w, site, given, "%values", "1", w.at(g, CHECKS, "ptr"), other)
    # Names that must still mean what they meant.
    index, following, end = w.loop(w.at(g, SAME))
    item = w.new(f"getelementptr i64, ptr {w.at(g, SAME_AT, 'ptr')}, i64 {w.new(f'mul i64 {index}, 3')}")
    found = w.call("PyDict_GetItem", w.at(item, 0, "ptr"), w.at(item, 1, "ptr"))
    w.unless(w.same(found, w.at(item, 2, "ptr")), other)
    w.close(following, end)
    _compute_first(w, site, g)
    # Numbers that move slices must leave extents and strides as they are.
    index, following, end = w.loop(w.at(g, LIMITS))
    row = w.row(w.at(g, LIMITS_AT, "ptr"), index, FORM + 2)
    value = w.form(row, 0)
    w.unless(w.new(f"icmp sge i64 {value}, {w.at(row, FORM)}"), other)
    w.unless(w.new(f"icmp sle i64 {value}, {w.at(row, FORM + 1)}"), other)
    w.close(following, end)
    # What is written must not overlap what is read.
    index, following, end = w.loop(w.at(g, APART))
    item = w.row(w.at(g, APART_AT, "ptr"), index, 2 * (3 + FORM))
    bounds = []
    for k in (0, 3 + FORM):
        array = w.at("%operands", w.at(item, k), "ptr")
        start = w.new(f"add i64 {w.field(array, DATA)}, {w.form(item, k + 3)}")
        bounds.append([w.new(f"add i64 {start}, {w.at(item, k + each)}") for each in (1, 2)])
    before = w.new(f"icmp ule i64 {bounds[0][1]}, {bounds[1][0]}")
    after = w.new(f"icmp ule i64 {bounds[1][1]}, {bounds[0][0]}")
    w.unless(w.new(f"or i1 {before}, {after}"), other)
    w.close(following, end)
    # Where slices begin.
    shifts = w.at(g, SHIFTS)
    moved, fixed = w.fresh("moved"), w.fresh("fixed")
    w.do(f"br i1 {w.new(f'icmp ne i64 {shifts}, 0')}, label %{moved}, label %{fixed}")
    w.label(moved)
    source = w.at("%w", 0, "ptr")
    index, following, end = w.loop(w.at(g, FIXED))
    w.put("%fixed", index, w.at(source, index))
    w.close(following, end)
    index, following, end = w.loop(shifts)
    row = w.row(w.at(g, SHIFTS_AT, "ptr"), index, 1 + FORM)
    place = w.at(row, 0)
    w.put("%fixed", place, w.new(f"add i64 {w.at('%fixed', place)}, {w.form(row, 1)}"))
    w.close(following, end)
    w.put("%w", 0, "%fixed", "ptr")
    w.do(f"br label %{fixed}")
    w.label(fixed)


def _check_values(
    w: _Writer, site: str, count: str, values: str, first_one: str, checks: str, other: str
) -> None:
    """Values must be those of the geometry; numbers that may vary are noted where the code wants them."""
    index, following, end = w.loop(count)
    value = w.at(values, w.new(f"add i64 {index}, {first_one}"), "ptr")
    check = w.new(f"getelementptr i64, ptr {checks}, i64 {w.new(f'mul i64 {index}, 5')}")
    kind = w.at(check, 0)
    first = w.at(check, 1, "ptr")
    labels = {each: w.fresh(f"kind{each}_") for each in range(IS_ANY)}
    labels[IS_ANY] = following
    w.do(
        f"switch i64 {kind}, label %{other} ["
        + " ".join(f"i64 {each}, label %{label}" for each, label in labels.items())
        + "]"
    )
    w.label(labels[IS_THIS])
    w.unless(w.same(value, first), other)
    w.do(f"br label %{following}")
    w.label(labels[IS_TYPE])
    w.unless(w.same(w.field(value, _TYPE, "ptr"), first), other)
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
    for each in (IS_MOVING, IS_INT):
        w.label(labels[each])
        w.unless(w.same(w.field(value, _TYPE, "ptr"), first), other)
        number = w.call("PyLong_AsLongAndOverflow", value, "%overflow")
        w.unless(w.same(w.new("load i32, ptr %overflow, align 4"), "0", "i32"), other)
        far = w.new(f"add i64 {number}, {_FURTHEST}")
        w.unless(w.new(f"icmp ule i64 {far}, {2 * _FURTHEST}"), other)
        if each == IS_INT:  # exactly so much as a float64
            w.put("%w", w.at(check, 2), w.new(f"sitofp i64 {number} to double"), "double")
        else:
            w.put("%ints", w.at(check, 2), number)
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


def _compute_first(w: _Writer, site: str, g: str) -> None:
    """What is computed before the loops: ``%operands`` are the values, and these numbers and small arrays behind them.

    A function of Python's does it, which gives a tuple. If that is not as it was, or what the program may raise is
    raised, the site is asked. Anything else comes from a signal's handler, and is passed on.
    """
    some, none, done = (w.fresh(each) for each in ("first", "nofirst", "computed"))
    function = w.at(g, FIRST, "ptr")
    w.do(f"br i1 {w.new(f'icmp ne ptr {function}, null')}, label %{some}, label %{none}")
    w.label(some)
    all_of_them = w.new("add i64 %given, 1")
    index, following, end = w.loop(all_of_them)
    w.put("%vals", index, w.at("%values", index))
    w.close(following, end)
    start = w.new("getelementptr i64, ptr %vals, i64 1")
    made = w.call("PyObject_Vectorcall", function, start, "%given", "null")
    w.do(f"store ptr {made}, ptr %first, align 8")
    fine, raised, other = (w.fresh(each) for each in ("fine", "raised", "other"))
    w.do(f"br i1 {w.new(f'icmp ne ptr {made}, null')}, label %{fine}, label %{raised}")
    w.label(raised)
    expected = w.call("PyErr_ExceptionMatches", w.at(site, EXPECTED, "ptr"))
    w.do(f"br i1 {w.same(expected, '0', 'i32')}, label %{other}, label %failed")
    w.label(other)
    _let_go(w)
    w.do("ret ptr null")
    w.label(fine)
    items = w.at(g, ITEMS)
    index, following, end = w.loop(items)
    item = w.call("PyTuple_GetItem", made, index)
    w.put("%vals", w.new(f"add i64 {index}, {all_of_them}"), item, "ptr")
    w.close(following, end)
    _check_values(w, site, items, "%vals", all_of_them, w.at(g, ITEM_CHECKS, "ptr"), "slow")
    last = w.fresh("last")
    w.do(f"br label %{last}")
    w.label(last)
    w.do(f"br label %{done}")
    before = w.fresh("before")
    w.label(none)
    w.do(f"br label %{before}")
    w.label(before)
    w.do(f"br label %{done}")
    w.label(done)
    w.do(f"%operands = phi ptr [%vals, %{last}], [%values, %{before}]")


def _run(w: _Writer, site: str, g: str, following_geometry: str) -> None:
    """Make new arrays and the results, run the code, and hand the results over."""
    fresh = w.at(g, FRESH_AT, "ptr")
    _keys(w, site, g)
    index, following, end = w.loop(w.at(g, FILLS))
    item = w.new(f"getelementptr i64, ptr {w.at(g, FILLS_AT, 'ptr')}, i64 {w.new(f'mul i64 {index}, 2')}")
    w.put("%w", w.at(item, 0), w.at("%operands", w.at(item, 1)))
    w.close(following, end)
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
    base = w.at("%operands", w.at(item, 1), "ptr")
    key = _key(w, item, 2)
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
    _call_code(w, g, code)
    w.call("PyEval_RestoreThread", thread)
    w.do(f"br label %{done}")
    w.label(short)
    _call_code(w, g, code)
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
    _let_go(w)
    true = w.at(site, TRUE, "ptr")
    w.call("Py_IncRef", true)
    w.do(f"ret ptr {true}")
    w.label("undo")
    w.call("PyErr_Clear")
    index, following, end = w.loop(w.new("load i64, ptr %ready, align 8"))
    w.call("Py_DecRef", w.at("%results", index, "ptr"))
    w.close(following, end)
    _drop(w, fresh)
    _let_go(w)
    false = w.at(site, FALSE, "ptr")
    w.call("Py_IncRef", false)
    w.do(f"ret ptr {false}")


def _call_code(w: _Writer, g: str, code: str) -> None:
    """Run the loop nest, for the first part and for further ones."""
    w.do(f"store i64 {w.new(f'call i64 {code}(ptr %w)')}, ptr %found, align 8")
    index, following, end = w.loop(w.at(g, PARTS))
    w.put("%w", 0, w.at(w.at(g, PARTS_AT, "ptr"), index))
    found = w.new(f"call i64 {code}(ptr %w)")
    before = w.new("load i64, ptr %found, align 8")
    w.do(f"store i64 {w.new(f'or i64 {found}, {before}')}, ptr %found, align 8")
    w.close(following, end)


def _move(w: _Writer, g: str, count: int, items: int) -> None:
    """Copy new arrays to where they belong. Nothing can be wrong with that; if it is, it is passed over."""
    index, following, end = w.loop(w.at(g, count))
    item = w.new(f"getelementptr i64, ptr {w.at(g, items, 'ptr')}, i64 {w.new(f'mul i64 {index}, 3')}")
    base, key = w.at("%operands", w.at(item, 1), "ptr"), _key(w, item, 2)
    view = w.call("PyObject_GetItem", base, key)
    w.unless(w.new(f"icmp ne ptr {view}, null"), following)
    w.put("%pair", 0, view, "ptr")
    w.put("%pair", 1, w.at("%w", w.at(item, 0), "ptr"), "ptr")
    answer = w.call("PyObject_Vectorcall", w.at(g, MOVE, "ptr"), "%pair", "2", "null")
    w.call("Py_DecRef", view)
    w.unless(w.new(f"icmp ne ptr {answer}, null"), following)
    w.call("Py_DecRef", answer)
    w.close(following, end)


def _keys(w: _Writer, site: str, g: str) -> None:
    """Make the indices that numbers are in which move slices; they are known by numbers from 1."""
    count, following, end = w.loop(w.at(g, KEYS))
    row = w.row(w.at(g, KEYS_AT, "ptr"), count, 2)
    parts, first = w.at(row, 0), w.at(row, 1, "ptr")
    number = w.new(f"add i64 {count}, 1")
    only, several = w.fresh("only"), w.fresh("several")
    w.do(f"br i1 {w.same(parts, str(ONLY), 'i64')}, label %{only}, label %{several}")
    w.label(only)
    made = _part(w, site, first)
    w.put("%keys", number, made, "ptr")
    w.do(f"store i64 {number}, ptr %keyed, align 8")
    w.do(f"br label %{following}")
    w.label(several)
    tuple_ = w.call("PyTuple_New", parts)
    w.unless(w.new(f"icmp ne ptr {tuple_}, null"), "undo")
    w.put("%keys", number, tuple_, "ptr")
    w.do(f"store i64 {number}, ptr %keyed, align 8")
    index, following_part, end_of_parts = w.loop(parts)
    made = _part(w, site, w.row(first, index, PART))
    w.call("PyTuple_SetItem", tuple_, index, made)
    w.close(following_part, end_of_parts)
    w.do(f"br label %{following}")
    w.label(end)


def _part(w: _Writer, site: str, row: str) -> str:
    """One part of an index, as an object of our own."""
    slot = w.fresh("%slot")
    w.lines.insert(1, f"  {slot} = alloca ptr, align 8")
    constant, number, slice_, done = (w.fresh(each) for each in ("constant", "number", "slice", "made"))
    w.do(
        f"switch i64 {w.at(row, 0)}, label %{constant} "
        f"[i64 {PART_NUMBER}, label %{number} i64 {PART_SLICE}, label %{slice_}]"
    )
    w.label(constant)
    fixed = w.at(row, 1, "ptr")
    w.call("Py_IncRef", fixed)
    w.do(f"store ptr {fixed}, ptr {slot}, align 8")
    w.do(f"br label %{done}")
    w.label(number)
    w.do(f"store ptr {w.call('PyLong_FromLongLong', w.form(row, 2))}, ptr {slot}, align 8")
    w.do(f"br label %{done}")
    w.label(slice_)
    ends = []
    for at in (2, 2 + FORM + 1):
        # A number in any case, so that there is something to give back.
        ends.append((w.call("PyLong_FromLongLong", w.form(row, at)), w.at(row, at + FORM)))
    missing = [w.new(f"icmp eq ptr {each}, null") for each, _ in ends]
    w.unless(w.new(f"xor i1 {w.new(f'or i1 {missing[0]}, {missing[1]}')}, true"), "undo")
    none = w.at(site, NONE, "ptr")
    given = [
        w.new(f"select i1 {w.new(f'icmp ne i64 {is_none}, 0')}, ptr {none}, ptr {each}")
        for each, is_none in ends
    ]
    made = w.call("PySlice_New", *given, w.at(row, 1, "ptr"))
    for each, _ in ends:
        w.call("Py_DecRef", each)
    w.do(f"store ptr {made}, ptr {slot}, align 8")
    w.do(f"br label %{done}")
    w.label(done)
    found = w.new(f"load ptr, ptr {slot}, align 8")
    w.unless(w.new(f"icmp ne ptr {found}, null"), "undo")
    return found


def _key(w: _Writer, row: str, at: int) -> str:
    """An index that a row names: an object, or the number of one that was made."""
    word = w.at(row, at)
    is_number = w.new(f"icmp ule i64 {word}, {MOST_KEYS}")
    place = w.new(f"select i1 {is_number}, i64 {word}, i64 0")
    return w.new(f"select i1 {is_number}, ptr {w.at('%keys', place, 'ptr')}, ptr {w.at(row, at, 'ptr')}")


def _drop(w: _Writer, fresh: str) -> None:
    """Give back new arrays and indices."""
    index, following, end = w.loop(w.new("load i64, ptr %keyed, align 8"))
    w.call("Py_DecRef", w.at("%keys", w.new(f"add i64 {index}, 1"), "ptr"))
    w.close(following, end)
    index, following, end = w.loop(w.new("load i64, ptr %made, align 8"))
    item = w.new(f"getelementptr i64, ptr {fresh}, i64 {w.new(f'mul i64 {index}, 2')}")
    w.call("Py_DecRef", w.at("%w", w.at(item, 0), "ptr"))
    w.close(following, end)
