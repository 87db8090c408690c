"""The short way into compiled loops: a built-in function, compiled by LLVM, that stands where a loop's site stood.

It finds the variables of the frame that called it, compares them with what some kernel was made for, fills the words,
runs the kernel and sets the variables: all that `drive.run` does in Python, in about a microsecond. One function serves
all loops: what it compares and where things go is in tables that `shortcut` lays out. Wherever something is not as the
tables say it has done nothing yet, and asks the site, which is Python.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from minpy.runtime.jit.buffers import HEADER, IDENT, SMALLEST
from minpy.runtime.jit.ir import Writer, double
from minpy.runtime.jit.kinds import CODES, COMPLEX, KIND_OF_CODE
from minpy.runtime.jit.lower import BROKE, BUFFERS, ENDED, FIRST, INTERRUPTED, LAST, START, STEP, STOPPED
from minpy.runtime.jit.trial import GAIN, LOSS, WORST

MOST_WORDS, MOST_OBJECTS, MOST_MADE, MOST_PLANS, MOST_ARGUMENTS = 640, 96, 48, 4, 8
# The words of a site.
(
    SLOW, LEFT, PARTS, PLAIN, OVER, BROKEN, WHAT, FEWEST, SKIPPED, NONE, STATE, STATE_VALUE, STATE_DEFAULT, ASK,
    ASK_COUNT, TOOL, SAME, SAME_AT, FRAME, LOCALS, BUILTINS, ARRAY, LIST, FUNCTION, TYPES, TRUE, FALSE, NUMPY_TRUE,
    NUMPY_FALSE, COUNT, BALANCE, AN_EXIT,
) = range(32)  # fmt: skip
TOOL_NUMBERS = 32
PLANS = TOOL_NUMBERS + 6
SITE_WORDS = PLANS + MOST_PLANS
# What stood where the guard stands.
RANGE, ELEMENTS, ENUMERATE, ZIP, WHILE = range(5)
# The words of a plan: numbers of items and where they are; figures; what was counted.
(
    CODE, KERNEL, WORDS, TEMPLATE, ROWS, ROWS_AT, CLEAN, WRITTEN, WRITTEN_AT, OWNED, OWNED_AT, CAME, CAME_AT, SCALARS,
    SCALARS_AT, MADE, MADE_AT, LISTS, LISTS_AT, AXES, AXES_AT, A_ROUND, LEAST, A_BYTE, LIMIT, RAN, TOOK, RUNS,
) = range(28)  # fmt: skip
PLAN_WORDS = 28
# A row: how an object is found (and two words for that), what it must be (and two words), the words it fills (and one).
ROW = 8
FAST, CELL, GLOBAL, IN_DICT, IN_INSTANCE, IN_CLASS, ARGUMENT = range(7)
ANYTHING, THIS, IS_FUNCTION, HAS_TYPE, IS_LIST, IS_ARRAY, IS_SCALAR = range(7)
# An item of SCALARS (words, representation, variable, key), MADE (words, axes, variable, key, dtype, element's size),
# LISTS (words, row), WRITTEN (row, element's size).
ITEM = 6
MODULES = -1  # in place of a variable's number: it is the module's, by that key
REPS = {"": 0, "i": 1, "d": 2, "b": 3}

# Where things stand in NumPy's and Python's objects (`shortcut` makes sure of it).
_TYPE, _VALUE = 8, 16
_DATA, _NDIM, _DIMENSIONS, _STRIDES, _BASE, _DTYPE, _FLAGS = 16, 24, 32, 40, 48, 56, 64
_IN_ORDER, _ALIGNED, _WRITEABLE = 3, 0x100, 0x400
_FAR = 1 << 60
_BOUND = 1 << 61
# Nanoseconds that a loop runs before Python looks at the program.
LONGEST = 30_000_000
_GROWTH = 16  # of the number of rounds from one call of the kernel to the next
_AN_ENTRY = 500  # nanoseconds that the short way takes
_LOOKED_AT = 63  # of so many runs that are too short one is looked at

FUNCTIONS: dict[str, tuple[str, str]] = {
    "PyCell_Get": ("ptr", "ptr"),
    "PyContextVar_Get": ("i32", "ptr, ptr, ptr"),
    "PyDict_GetItem": ("ptr", "ptr, ptr"),
    "PyDict_SetItem": ("i32", "ptr, ptr, ptr"),
    "PyErr_Clear": ("void", ""),
    "PyEval_GetFrame": ("ptr", ""),
    "PyEval_GetGlobals": ("ptr", ""),
    "PyFloat_FromDouble": ("ptr", "double"),
    "PyFrame_GetCode": ("ptr", "ptr"),
    "PyFunction_GetCode": ("ptr", "ptr"),
    "PyList_Append": ("i32", "ptr, ptr"),
    "PyList_GetItem": ("ptr", "ptr, i64"),
    "PyLong_AsLongLongAndOverflow": ("i64", "ptr, ptr"),
    "PyLong_FromDouble": ("ptr", "double"),
    "PyLong_FromLongLong": ("ptr", "i64"),
    "PyLong_FromSsize_t": ("ptr", "i64"),
    "PyObject_CallNoArgs": ("ptr", "ptr"),
    "PyObject_GenericGetDict": ("ptr", "ptr, ptr"),
    "PyObject_VectorcallDict": ("ptr", "ptr, ptr, i64, ptr"),  # which Python 3.10 has as well
    "PyThreadState_GetDict": ("ptr", ""),
    "PyType_GenericAlloc": ("ptr", "ptr, i64"),
    "PyUnicode_FromOrdinal": ("ptr", "i32"),
    "Py_DecRef": ("void", "ptr"),
    "Py_IncRef": ("void", "ptr"),
    "_PyType_Lookup": ("ptr", "ptr, ptr"),
}
# NumPy's functions, by their places in the table of its C interface.
NUMPY = {"NewFromDescr": 94, "SetBaseObject": 282}
_NUMPY_KINDS = {
    "NewFromDescr": ("ptr", "ptr, ptr, i32, ptr, ptr, ptr, i32, ptr"),
    "SetBaseObject": ("i32", "ptr, ptr"),
}
LIBRARY = {
    "malloc": ("ptr", "i64"),
    "free": ("void", "ptr"),
    "clock_gettime": ("i32", "i32, ptr"),
}
MONOTONIC = 1  # the clock


class _Text(Writer):
    """One function of the module."""

    def at(self, base: str, index: str | int, kind: str = "i64") -> str:
        """The word with a number, of those that begin at `base`."""
        return self.op(f"load {kind}, ptr {self.spot(base, index)}, align 8")

    def spot(self, base: str, index: str | int) -> str:
        """Where that word is."""
        return self.op(f"getelementptr i64, ptr {base}, i64 {index}")

    def set(self, base: str, index: str | int, value: str | int, kind: str = "i64") -> None:
        self.put(f"store {kind} {value}, ptr {self.spot(base, index)}, align 8")

    def field(self, base: str, offset: str | int, kind: str = "i64") -> str:
        """What stands in an object, so many bytes from where it begins."""
        place = self.op(f"getelementptr i8, ptr {base}, i64 {offset}")
        return self.op(f"load {kind}, ptr {place}, align {4 if kind in ('i32', 'float') else 8}")

    def outside(self, name: str, *arguments: str) -> str:
        """Call a function of Python, NumPy or the C library."""
        kind, kinds = (FUNCTIONS | _NUMPY_KINDS | LIBRARY)[name]
        given = ", ".join(
            f"{type_} {each}" for type_, each in zip(kinds.split(", "), arguments, strict=False) if type_
        )
        text = f"call {kind} @minpy_{name}({given})"
        if kind == "void":
            self.put(text)
            return ""
        return self.op(text)

    def same(self, a: str, b: str | int, kind: str = "ptr") -> str:
        return self.op(f"icmp eq {kind} {a}, {b}")

    def unless(self, condition: str, target: str) -> None:
        """Go to `target` if the condition does not hold."""
        going_on = self.fresh("on")
        self.branch(condition, going_on, target)
        self.place(going_on)

    def when(self, condition: str, target: str) -> None:
        """Go to `target` if the condition holds."""
        going_on = self.fresh("on")
        self.branch(condition, target, going_on)
        self.place(going_on)

    def choose(self, value: str, labels: dict[int, str], other: str) -> None:
        """Go where a number says."""
        for number, label in labels.items():
            self.when(self.same(value, number, "i64"), label)
        self.jump(other)

    @contextmanager
    def loop(self, count: str | int) -> Iterator[tuple[str, str]]:
        """A loop over 0 … count - 1: gives the index, and the label that goes on with the next one."""
        slot = self.alloca("i64", "i")
        head, body, following, end = (self.fresh(each) for each in ("head", "body", "following", "end"))
        self.put(f"store i64 0, ptr {slot}")
        self.place(head)
        index = self.op(f"load i64, ptr {slot}")
        self.branch(self.op(f"icmp slt i64 {index}, {count}"), body, end)
        self.place(body)
        yield index, following
        if not self.ended:
            self.jump(following)
        self.place(following)
        self.put(f"store i64 {self._more(slot)}, ptr {slot}")
        self.jump(head)
        self.place(end)

    def _more(self, slot: str) -> str:
        value = self.op(f"load i64, ptr {slot}")
        return self.op(f"add i64 {value}, 1")

    def item(self, base: str, index: str, size: int) -> str:
        """Where the item with a number begins, of those that have so many words."""
        return self.spot(base, self.op(f"mul i64 {index}, {size}"))

    def give(self, value: str, kind: str = "ptr") -> None:
        """End the function with a result."""
        self.put(f"ret {kind} {value}")
        self.ended = True

    def function(self, head: str) -> str:
        """The text of the function."""
        body = "\n".join([*self.allocas, *self.cells, *self.lines])
        return f"define {head} {{\nentry:\n{body}\n}}\n"


@lru_cache(maxsize=1)
def text() -> str:
    """The module."""
    outside = FUNCTIONS | _NUMPY_KINDS | LIBRARY
    declared = "".join(f"declare {kind} @minpy_{name}({kinds})\n" for name, (kind, kinds) in outside.items())
    declared += (
        "declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)\ndeclare double @llvm.fabs.f64(double)\n"
    )
    parts = (
        _usual,
        _kind_of,
        _object_of,
        _range,
        _take,
        _put,
        _make,
        _finish,
        _now,
        _size,
        _undo,
        _release,
        _kernel,
    )
    return declared + "".join(part(_Text()) for part in parts)


def _usual(w: _Text) -> str:
    """Nobody must be looking at lines or operations, and NumPy's floating-point state must be the usual one."""
    site = "%site"
    held = w.alloca("ptr", "held")
    none = w.at(site, NONE, "ptr")

    def ask(answer: str) -> None:
        w.unless(w.op(f"icmp ne ptr {answer}, null"), "failed")
        w.outside("Py_DecRef", answer)
        w.unless(w.same(answer, none), "no")

    with w.loop(w.at(site, SAME)) as (index, _):
        item = w.item(w.at(site, SAME_AT, "ptr"), index, 3)
        found = w.outside("PyDict_GetItem", w.at(item, 0, "ptr"), w.at(item, 1, "ptr"))
        w.unless(w.same(found, w.at(item, 2, "ptr")), "no")
    with w.loop(w.at(site, ASK_COUNT)) as (index, _):
        ask(w.outside("PyObject_CallNoArgs", w.at(w.at(site, ASK, "ptr"), index, "ptr")))
    tool = w.at(site, TOOL, "ptr")
    w.unless(w.op(f"icmp ne ptr {tool}, null"), "without")
    with w.loop(6) as (index, _):
        number = w.at(site, w.op(f"add i64 {index}, {TOOL_NUMBERS}"), "ptr")
        w.put(f"store ptr {number}, ptr {held}")
        ask(w.outside("PyObject_VectorcallDict", tool, held, "1", "null"))
    w.place("without")
    state, usual = w.at(site, STATE, "ptr"), w.at(site, STATE_DEFAULT, "ptr")
    w.unless(w.op(f"icmp ne ptr {usual}, null"), "dictionary")
    # NumPy 2
    w.unless(w.same(w.outside("PyContextVar_Get", state, "null", held), 0, "i32"), "failed")
    value = w.op(f"load ptr, ptr {held}")
    w.outside("Py_DecRef", value)
    w.give(w.same(value, usual), "i1")
    w.place("dictionary")  # NumPy 1
    own = w.outside("PyThreadState_GetDict")
    w.unless(w.op(f"icmp ne ptr {own}, null"), "no")
    found = w.outside("PyDict_GetItem", own, state)
    w.unless(w.op(f"icmp ne ptr {found}, null"), "yes")
    over = w.alloca("i32", "over")
    for index, number in ((0, 8192), (1, w.at(site, STATE_VALUE))):
        value = w.outside(
            "PyLong_AsLongLongAndOverflow", w.outside("PyList_GetItem", found, str(index)), over
        )
        w.unless(w.same(value, number, "i64"), "no")
    w.jump("yes")
    w.place("yes")
    w.give("true", "i1")
    w.place("failed")
    w.outside("PyErr_Clear")
    w.jump("no")
    w.place("no")
    w.give("false", "i1")
    return w.function("internal i1 @usual(ptr %site)")


def _kind_of(w: _Text) -> str:
    """The code of a scalar's kind; -1 if it is none of those that are taken here."""
    type_ = w.field("%object", _TYPE, "ptr")
    types = w.at("%site", TYPES, "ptr")
    with w.loop(len(CODES)) as (index, following):
        w.unless(w.same(type_, w.at(types, index, "ptr")), following)
        w.give(index, "i64")
    w.give("-1", "i64")
    return w.function("internal i64 @kind_of(ptr %site, ptr %object)")


def _object_of(w: _Text) -> str:
    """A new Python object for a kind's code and the word that the kernel had, which may be a float for any kind."""
    types = w.at("%site", TYPES, "ptr")
    type_ = w.at(types, "%code", "ptr")
    real = w.op("bitcast i64 %bits to double")
    whole = w.op(f"fptosi double {real} to i64")
    whole = w.op(f"select i1 %isfloat, i64 {whole}, i64 %bits")
    labels = {code: w.fresh("kind") for code, kind in KIND_OF_CODE.items() if kind not in COMPLEX}
    w.choose("%code", labels, labels[0])
    for code, label in labels.items():
        w.place(label)
        kind = KIND_OF_CODE[code]
        if kind == "int":
            w.unless("%isfloat", "whole")
            w.give(w.outside("PyLong_FromDouble", real))
            w.place("whole")
            w.give(w.outside("PyLong_FromLongLong", whole))
        elif kind == "float":
            w.give(w.outside("PyFloat_FromDouble", real))
        elif kind == "str":
            w.give(w.outside("PyUnicode_FromOrdinal", w.op(f"trunc i64 {whole} to i32")))
        elif kind in ("bool", "bool_"):
            yes, no = (TRUE, FALSE) if kind == "bool" else (NUMPY_TRUE, NUMPY_FALSE)
            values = [w.at("%site", each, "ptr") for each in (yes, no)]
            truth = w.op("trunc i64 %bits to i1")
            value = w.op(f"select i1 {truth}, ptr {values[0]}, ptr {values[1]}")
            w.outside("Py_IncRef", value)
            w.give(value)
        else:
            new = w.outside("PyType_GenericAlloc", type_, "0")
            w.unless(w.op(f"icmp ne ptr {new}, null"), "nothing")
            place = w.op(f"getelementptr i8, ptr {new}, i64 {_VALUE}")
            if kind == "float64":
                w.put(f"store double {real}, ptr {place}")
            elif kind == "float32":
                w.put(f"store float {w.op(f'fptrunc double {real} to float')}, ptr {place}")
            else:
                width = f"i{kind.lstrip('uint')}"
                value = whole if width == "i64" else w.op(f"trunc i64 {whole} to {width}")
                w.put(f"store {width} {value}, ptr {place}")
            w.give(new)
    w.place("nothing")
    w.give("null")
    return w.function("internal ptr @object_of(ptr %site, i64 %code, i64 %bits, i1 %isfloat)")


def _range(w: _Text) -> str:
    """The start, the step and the length of a range, and whether its arguments are of the usual kind."""
    integer = w.at(w.at("%site", TYPES, "ptr"), CODES["int"], "ptr")
    over = w.alloca("i32", "over")
    values = w.alloca("[3 x i64]", "values")
    w.unless(w.op("icmp ule i64 %nargs, 3"), "no")
    w.unless(w.op("icmp uge i64 %nargs, 1"), "no")
    with w.loop("%nargs") as (index, _):
        value = w.at("%args", index, "ptr")
        w.unless(w.same(w.field(value, _TYPE, "ptr"), integer), "no")
        number = w.outside("PyLong_AsLongLongAndOverflow", value, over)
        w.unless(w.same(w.op(f"load i32, ptr {over}"), 0, "i32"), "no")
        w.unless(w.op(f"icmp slt i64 {number}, {_BOUND}"), "no")
        w.unless(w.op(f"icmp sgt i64 {number}, {-_BOUND}"), "no")
        w.set(values, index, number)
    one = w.same("%nargs", 1, "i64")
    first, second = w.at(values, 0), w.at(values, 1)
    start = w.op(f"select i1 {one}, i64 0, i64 {first}")
    stop = w.op(f"select i1 {one}, i64 {first}, i64 {second}")
    step = w.op(f"select i1 {w.same('%nargs', 3, 'i64')}, i64 {w.at(values, 2)}, i64 1")
    w.unless(w.op(f"icmp ne i64 {step}, 0"), "no")
    up = w.op(f"icmp sgt i64 {step}, 0")
    distance = w.op(f"sub i64 {stop}, {start}")
    way = w.op(f"select i1 {up}, i64 {distance}, i64 {w.op(f'sub i64 0, {distance}')}")
    size = w.op(f"select i1 {up}, i64 {step}, i64 {w.op(f'sub i64 0, {step}')}")
    rounded = w.op(f"sdiv i64 {w.op(f'sub i64 {way}, 1')}, {size}")
    count = w.op(f"add i64 {rounded}, 1")
    count = w.op(f"select i1 {w.op(f'icmp sgt i64 {way}, 0')}, i64 {count}, i64 0")
    for index, value in enumerate((start, step, count)):
        w.set("%found", index, value)
    w.give("true", "i1")
    w.place("no")
    w.give("false", "i1")
    return w.function("internal i1 @range(ptr %site, ptr %args, i64 %nargs, ptr %found)")


def _take(w: _Text) -> str:
    """Find the objects of a plan's rows, and fill the words of those that have some; whether all is as it must be."""
    builtins, array = w.at("%site", BUILTINS, "ptr"), w.at("%site", ARRAY, "ptr")
    over = w.alloca("i32", "over")
    got = w.alloca("ptr", "got")
    with w.loop(w.at("%plan", ROWS)) as (index, following):
        row = w.item(w.at("%plan", ROWS_AT, "ptr"), index, ROW)
        a, key = w.at(row, 1), w.at(row, 2, "ptr")
        found, checks = w.fresh("found"), w.fresh("checks")
        fetch = {each: w.fresh("fetch") for each in range(7)}
        w.choose(w.at(row, 0), fetch, "no")

        def give(value: str, found: str = found) -> None:
            w.put(f"store ptr {value}, ptr {got}")
            w.jump(found)

        w.place(fetch[FAST])
        give(w.at("%fast", a, "ptr"))
        w.place(fetch[CELL])
        cell = w.at("%fast", a, "ptr")
        w.unless(w.op(f"icmp ne ptr {cell}, null"), "no")
        give(w.field(cell, _VALUE, "ptr"))
        w.place(fetch[GLOBAL])
        value = w.outside("PyDict_GetItem", "%globals", key)
        w.put(f"store ptr {value}, ptr {got}")
        w.unless(w.same(value, "null"), found)
        give(w.outside("PyDict_GetItem", builtins, key))
        w.place(fetch[IN_DICT])
        give(w.outside("PyDict_GetItem", w.op(f"inttoptr i64 {a} to ptr"), key))
        w.place(fetch[IN_INSTANCE])
        owner = w.at("%objects", a, "ptr")
        own = w.outside("PyObject_GenericGetDict", owner, "null")
        w.unless(w.op(f"icmp ne ptr {own}, null"), "failed")
        value = w.outside("PyDict_GetItem", own, key)
        w.outside("Py_DecRef", own)
        give(value)
        w.place(fetch[IN_CLASS])
        owner = w.at("%objects", a, "ptr")
        give(w.outside("_PyType_Lookup", w.field(owner, _TYPE, "ptr"), key))
        w.place(fetch[ARGUMENT])
        w.unless(w.op(f"icmp slt i64 {a}, %nargs"), "no")
        give(w.at("%args", a, "ptr"))
        w.place(found)
        value = w.op(f"load ptr, ptr {got}")
        w.set("%objects", index, value, "ptr")
        c, d = w.at(row, 4, "ptr"), w.at(row, 5)
        check = {each: w.fresh("check") for each in range(7)}
        w.choose(w.at(row, 3), {each: check[each] for each in (THIS, ANYTHING, IS_SCALAR)}, checks)
        w.place(checks)
        w.unless(w.op(f"icmp ne ptr {value}, null"), "no")
        w.choose(w.at(row, 3), check, "no")
        w.place(check[ANYTHING])
        w.jump(following)
        w.place(check[THIS])
        w.branch(w.same(value, c), following, "no")
        w.place(check[IS_FUNCTION])
        w.unless(w.same(value, c), "no")
        code = w.outside("PyFunction_GetCode", value)
        w.branch(w.same(code, w.op(f"inttoptr i64 {d} to ptr")), following, "no")
        w.place(check[HAS_TYPE])
        w.branch(w.same(w.field(value, _TYPE, "ptr"), c), following, "no")
        w.place(check[IS_LIST])
        w.branch(w.same(w.field(value, _TYPE, "ptr"), w.at("%site", LIST, "ptr")), following, "no")
        w.place(check[IS_ARRAY])
        w.unless(w.same(w.field(value, _TYPE, "ptr"), array), "no")
        w.unless(w.same(w.field(value, _DTYPE, "ptr"), c), "no")
        _fill_array(w, row, value, d)
        w.jump(following)
        w.place(check[IS_SCALAR])
        _fill_scalar(w, row, value, d, over, following)
    w.give("true", "i1")
    w.place("failed")
    w.outside("PyErr_Clear")
    w.jump("no")
    w.place("no")
    w.give("false", "i1")
    return w.function(
        "internal i1 @take(ptr %site, ptr %plan, ptr %args, i64 %nargs, ptr %fast, ptr %globals, "
        "ptr %objects, ptr %words)"
    )


def _fill_array(w: _Text, row: str, value: str, d: str) -> None:
    """The words of an array: its geometry; the word `d` says how many axes it must have, and so on (`array_word`)."""
    ndim = w.op(f"and i64 {d}, 255")
    w.unless(w.same(w.op(f"sext i32 {w.field(value, _NDIM, 'i32')} to i64"), ndim, "i64"), "no")
    flags = w.op(f"and i32 {w.field(value, _FLAGS, 'i32')}, {_ALIGNED}")
    w.unless(w.op(f"icmp ne i32 {flags}, 0"), "no")
    slot = w.spot("%words", w.at(row, 6))
    w.set(slot, 1, w.field(value, _DATA))
    sizes, steps = w.field(value, _DIMENSIONS, "ptr"), w.field(value, _STRIDES, "ptr")
    size_of_one = w.op(f"and i64 {w.op(f'lshr i64 {d}, 16')}, 65535")
    last = w.at(steps, w.op(f"sub i64 {ndim}, 1"))
    unit = w.op(f"zext i1 {w.same(last, size_of_one, 'i64')} to i64")
    w.unless(w.same(unit, w.op(f"and i64 {w.op(f'lshr i64 {d}, 8')}, 1"), "i64"), "no")
    with w.loop(ndim) as (axis, _):
        at = w.op(f"add i64 {axis}, 3")
        place = w.op(f"add i64 {axis}, 32")
        single = w.op(f"trunc i64 {w.op(f'lshr i64 {d}, {place}')} to i1")
        more = w.op(f"icmp ne i64 {w.at(sizes, axis)}, 1")
        w.unless(w.op(f"xor i1 {w.op(f'and i1 {single}, {more}')}, true"), "no")
        w.set(slot, at, w.at(sizes, axis))
        w.set(slot, w.op(f"add i64 {at}, {ndim}"), w.at(steps, axis))


def array_word(ndim: int, unit: bool, size: int, ones: tuple[int, ...]) -> int:
    """What an array must be like, besides its dtype, in one word; `ones` are the axes that have one element."""
    return ndim | unit << 8 | size << 16 | sum(1 << 32 + axis for axis in ones)


def _fill_scalar(w: _Text, row: str, value: str, d: str, over: str, following: str) -> None:
    """The words of a number: value and tag. It may be unbound, or of another kind, if the row says so."""
    kinds, slot = w.at(row, 4), w.spot("%words", w.at(row, 6))
    whole, done, unbound = (w.fresh(each) for each in ("whole", "done", "unbound"))
    bits = w.alloca("i64", "bits")
    w.unless(w.op(f"icmp ne ptr {value}, null"), unbound)
    code = w.op(f"call i64 @kind_of(ptr %site, ptr {value})")
    w.unless(w.op(f"icmp sge i64 {code}, 0"), "no")
    allowed = w.op(f"and i64 {w.op(f'lshr i64 {kinds}, {code}')}, 1")
    w.unless(w.op(f"icmp ne i64 {allowed}, 0"), unbound)
    labels = {each: w.fresh("kind") for each, kind in KIND_OF_CODE.items() if kind not in {"str"} | COMPLEX}
    w.choose(code, labels, "no")
    for number, label in labels.items():
        kind = KIND_OF_CODE[number]
        w.place(label)
        if kind in ("float", "float64"):
            w.put(f"store i64 {w.field(value, _VALUE)}, ptr {bits}")
            w.jump(done)
        elif kind == "float32":
            wide = w.op(f"fpext float {w.field(value, _VALUE, 'float')} to double")
            w.put(f"store double {wide}, ptr {bits}")
            w.jump(done)
        elif kind == "bool":
            is_true = w.same(value, w.at("%site", TRUE, "ptr"))
            w.put(f"store i64 {w.op(f'zext i1 {is_true} to i64')}, ptr {bits}")
            w.jump(done)
        elif kind == "bool_":
            byte = w.field(value, _VALUE, "i8")
            w.put(f"store i64 {w.op(f'zext i8 {byte} to i64')}, ptr {bits}")
            w.jump(done)
        else:
            if kind == "int":
                number = w.outside("PyLong_AsLongLongAndOverflow", value, over)
                w.unless(w.same(w.op(f"load i32, ptr {over}"), 0, "i32"), "no")
            else:
                width = f"i{kind.lstrip('uint')}"
                number = w.field(value, _VALUE, width)
                if width != "i64":
                    number = w.op(f"{'zext' if kind[0] == 'u' else 'sext'} {width} {number} to i64")
                elif kind[0] == "u":
                    w.unless(w.op(f"icmp sge i64 {number}, 0"), "no")
            w.put(f"store i64 {number}, ptr {bits}")
            w.jump(whole)
    w.place(whole)
    w.unless(w.same(d, REPS["d"], "i64"), done)
    number = w.op(f"load i64, ptr {bits}")
    w.unless(w.op(f"icmp sle i64 {number}, {2**53}"), "no")
    w.unless(w.op(f"icmp sge i64 {number}, {-(2**53)}"), "no")
    w.put(f"store double {w.op(f'sitofp i64 {number} to double')}, ptr {bits}")
    w.jump(done)
    w.place(done)
    w.set(slot, 0, w.op(f"load i64, ptr {bits}"))
    w.set(slot, 1, code)
    w.jump(following)
    w.place(unbound)
    w.unless(w.op(f"icmp ne i64 {w.at(row, 7)}, 0"), "no")
    w.set(slot, 0, 0)
    w.set(slot, 1, -1)
    w.jump(following)


def _put(w: _Text) -> str:
    """Let a variable hold a new object; whether that went well. The reference is the variable's now."""
    w.unless(w.op("icmp ne ptr %object, null"), "no")
    w.unless(w.op("icmp sge i64 %variable, 0"), "global")
    old = w.at("%fast", "%variable", "ptr")
    w.set("%fast", "%variable", "%object", "ptr")
    w.unless(w.op(f"icmp ne ptr {old}, null"), "yes")
    w.outside("Py_DecRef", old)
    w.jump("yes")
    w.place("global")
    failed = w.outside("PyDict_SetItem", "%globals", "%key", "%object")
    w.outside("Py_DecRef", "%object")
    w.branch(w.same(failed, 0, "i32"), "yes", "no")
    w.place("yes")
    w.give("true", "i1")
    w.place("no")
    w.give("false", "i1")
    return w.function("internal i1 @put(ptr %fast, ptr %globals, i64 %variable, ptr %key, ptr %object)")


def _make(w: _Text) -> str:
    """The array for the words of a variable, as `buffers.Objects` makes it; the ones made before are in `%made`."""
    array = w.at("%site", ARRAY, "ptr")
    items, index = w.at("%plan", MADE_AT, "ptr"), "%index"
    item = w.item(items, index, ITEM)
    slot = w.spot("%words", w.at(item, 0))
    ident, owner = w.at(slot, 0), w.at(slot, 2)
    w.unless(w.op(f"icmp slt i64 {ident}, {w.at('%plan', CAME)}"), "other")
    came = w.at("%objects", w.at(w.at("%plan", CAME_AT, "ptr"), ident), "ptr")
    w.outside("Py_IncRef", came)
    w.give(came)
    w.place("other")
    with w.loop(index) as (other, following):
        theirs = w.at("%words", w.at(w.item(items, other, ITEM), 0))
        w.unless(w.same(theirs, ident, "i64"), following)
        found = w.at("%made", other, "ptr")
        w.unless(w.op(f"icmp ne ptr {found}, null"), following)
        w.outside("Py_IncRef", found)
        w.give(found)
    ndim, dtype = w.at(item, 1), w.at(item, 4, "ptr")
    narrow = w.op(f"trunc i64 {ndim} to i32")
    sizes = w.spot(slot, 3)
    w.outside("Py_IncRef", dtype)  # which the new array takes over
    w.unless(w.op(f"icmp sgt i64 {owner}, {SMALLEST}"), "view")
    # In C order; or in Fortran's, as what comes of transposed matrices.
    turned = w.op(f"icmp slt i64 {w.at(w.spot(sizes, ndim), 0)}, {w.at(w.spot(sizes, ndim), 1)}")
    for condition in (
        w.same(ndim, 2, "i64"),
        w.op(f"icmp sgt i64 {w.at(sizes, 0)}, 1"),
        w.op(f"icmp sgt i64 {w.at(sizes, 1)}, 1"),
    ):
        turned = w.op(f"and i1 {turned}, {condition}")
    order = w.op(f"zext i1 {turned} to i32")
    new = w.outside("NewFromDescr", array, dtype, narrow, sizes, "null", "null", order, "null")
    w.unless(w.op(f"icmp ne ptr {new}, null"), "nothing")
    size = w.op(f"call i64 @size(ptr {new}, i64 {w.at(item, 5)})")
    data = w.op(f"inttoptr i64 {w.op(f'add i64 {owner}, {HEADER}')} to ptr")
    w.put(
        f"call void @llvm.memcpy.p0.p0.i64(ptr {w.field(new, _DATA, 'ptr')}, ptr {data}, i64 {size}, i1 false)"
    )
    w.give(new)
    w.place("view")
    came = w.at("%objects", w.at(w.at("%plan", CAME_AT, "ptr"), owner), "ptr")
    flags = w.op(f"and i32 {w.field(came, _FLAGS, 'i32')}, {_WRITEABLE}")
    steps = w.spot(sizes, ndim)
    place = w.op(f"inttoptr i64 {w.at(slot, 1)} to ptr")
    new = w.outside("NewFromDescr", array, dtype, narrow, sizes, steps, place, flags, "null")
    w.unless(w.op(f"icmp ne ptr {new}, null"), "nothing")
    base = _owner_of(w, array, came)
    w.outside("Py_IncRef", base)
    w.unless(w.same(w.outside("SetBaseObject", new, base), 0, "i32"), "lost")
    w.give(new)
    w.place("lost")
    w.outside("Py_DecRef", new)
    w.jump("nothing")
    w.place("nothing")
    w.give("null")
    return w.function(
        "internal ptr @make(ptr %site, ptr %plan, ptr %objects, ptr %words, ptr %made, i64 %index)"
    )


def _owner_of(w: _Text, array: str, value: str) -> str:
    """The array at the end of the chain of those whose memory an array shows."""
    current = w.alloca("ptr", "current")
    w.put(f"store ptr {value}, ptr {current}")
    look, deeper, more, end = (w.fresh(each) for each in ("look", "deeper", "more", "end"))
    w.place(look)
    base = w.field(w.op(f"load ptr, ptr {current}"), _BASE, "ptr")
    w.branch(w.op(f"icmp ne ptr {base}, null"), deeper, end)
    w.place(deeper)
    w.branch(w.same(w.field(base, _TYPE, "ptr"), array), more, end)
    w.place(more)
    w.put(f"store ptr {base}, ptr {current}")
    w.jump(look)
    w.place(end)
    return w.op(f"load ptr, ptr {current}")


def _finish(w: _Text) -> str:
    """Set the variables, and append to the lists; whether that went well."""
    made = w.alloca(f"[{MOST_MADE} x ptr]", "made")
    lists = w.at("%plan", LISTS)
    with w.loop(lists) as (index, _):
        item = w.item(w.at("%plan", LISTS_AT, "ptr"), index, ITEM)
        log = w.spot("%words", w.at(item, 0))
        entries, target = w.at(log, 0, "ptr"), w.at("%objects", w.at(item, 1), "ptr")
        with w.loop(w.at(log, 1)) as (number, _):
            entry = w.item(entries, number, 2)
            tag = w.at(entry, 1)
            masks = sum(1 << code for code, kind in KIND_OF_CODE.items() if kind.startswith("float"))
            is_float = w.op(f"trunc i64 {w.op(f'lshr i64 {masks}, {tag}')} to i1")
            new = w.op(f"call ptr @object_of(ptr %site, i64 {tag}, i64 {w.at(entry, 0)}, i1 {is_float})")
            w.unless(w.op(f"icmp ne ptr {new}, null"), "no")
            failed = w.outside("PyList_Append", target, new)
            w.outside("Py_DecRef", new)
            w.unless(w.same(failed, 0, "i32"), "no")
    with w.loop(w.at("%plan", SCALARS)) as (index, following):
        item = w.item(w.at("%plan", SCALARS_AT, "ptr"), index, ITEM)
        slot = w.spot("%words", w.at(item, 0))
        tag = w.at(slot, 1)
        w.unless(w.op(f"icmp sge i64 {tag}, 0"), following)
        is_float = w.same(w.at(item, 1), REPS["d"], "i64")
        new = w.op(f"call ptr @object_of(ptr %site, i64 {tag}, i64 {w.at(slot, 0)}, i1 {is_float})")
        _put_item(w, item, new)
    arrays = w.at("%plan", MADE)
    with w.loop(arrays) as (index, following):
        w.set(made, index, "null", "ptr")
        item = w.item(w.at("%plan", MADE_AT, "ptr"), index, ITEM)
        ident = w.at("%words", w.at(item, 0))
        w.unless(w.op(f"icmp sge i64 {ident}, 0"), following)
        new = w.op(f"call ptr @make(ptr %site, ptr %plan, ptr %objects, ptr %words, ptr {made}, i64 {index})")
        w.set(made, index, new, "ptr")
        _put_item(w, item, new)
    w.give("true", "i1")
    w.place("no")
    w.give("false", "i1")
    return w.function(
        "internal i1 @finish(ptr %site, ptr %plan, ptr %fast, ptr %globals, ptr %objects, ptr %words)"
    )


def _put_item(w: _Text, item: str, new: str) -> None:
    done = w.op(
        f"call i1 @put(ptr %fast, ptr %globals, i64 {w.at(item, 2)}, ptr {w.at(item, 3, 'ptr')}, ptr {new})"
    )
    w.unless(done, "no")


def _now(w: _Text) -> str:
    """Nanoseconds."""
    spec = w.alloca("[2 x i64]", "spec")
    w.outside("clock_gettime", str(MONOTONIC), spec)
    seconds = w.op(f"mul i64 {w.at(spec, 0)}, 1000000000")
    w.give(w.op(f"add i64 {seconds}, {w.at(spec, 1)}"), "i64")
    return w.function("internal i64 @now()")


def _size(w: _Text) -> str:
    """The bytes that an array's elements take."""
    total = w.alloca("i64", "total")
    w.put(f"store i64 %one, ptr {total}")
    sizes = w.field("%array", _DIMENSIONS, "ptr")
    with w.loop(w.op(f"sext i32 {w.field('%array', _NDIM, 'i32')} to i64")) as (axis, _):
        so_far = w.op(f"load i64, ptr {total}")
        w.put(f"store i64 {w.op(f'mul i64 {so_far}, {w.at(sizes, axis)}')}, ptr {total}")
    w.give(w.op(f"load i64, ptr {total}"), "i64")
    return w.function("internal i64 @size(ptr %array, i64 %one)")


def _undo(w: _Text) -> str:
    """Copy what is stored into to the block that keeps it (behind the words), or back."""
    place = w.alloca("ptr", "place")
    w.put(f"store ptr %block, ptr {place}")
    with w.loop(w.at("%plan", WRITTEN)) as (index, _):
        item = w.item(w.at("%plan", WRITTEN_AT, "ptr"), index, ITEM)
        array = w.at("%objects", w.at(item, 0), "ptr")
        size = w.op(f"call i64 @size(ptr {array}, i64 {w.at(item, 1)})")
        data, kept = w.field(array, _DATA, "ptr"), w.op(f"load ptr, ptr {place}")
        to = w.op(f"select i1 %back, ptr {data}, ptr {kept}")
        source = w.op(f"select i1 %back, ptr {kept}, ptr {data}")
        w.put(f"call void @llvm.memcpy.p0.p0.i64(ptr {to}, ptr {source}, i64 {size}, i1 false)")
        w.put(f"store ptr {w.op(f'getelementptr i8, ptr {kept}, i64 {size}')}, ptr {place}")
    w.put("ret void")
    w.ended = True
    return w.function("internal void @undo(ptr %plan, ptr %objects, ptr %block, i1 %back)")


def _release(w: _Text) -> str:
    """Give back the buffers that a kernel made and has not handed over."""
    following = w.alloca("ptr", "following")
    w.put(f"store ptr {w.at('%words', BUFFERS, 'ptr')}, ptr {following}")
    w.place("look")
    buffer = w.op(f"load ptr, ptr {following}")
    w.unless(w.op(f"icmp ne ptr {buffer}, null"), "end")
    w.put(f"store ptr {w.field(buffer, 24, 'ptr')}, ptr {following}")
    w.outside("free", buffer)
    w.jump("look")
    w.place("end")
    w.set("%words", BUFFERS, 0)
    w.put("ret void")
    w.ended = True
    return w.function("internal void @release(ptr %words)")


def _kernel(w: _Text) -> str:
    """The function that Python calls."""
    words, kept = (w.alloca(f"[{MOST_WORDS} x i64]", each) for each in ("words", "kept"))
    objects = w.alloca(f"[{MOST_OBJECTS} x ptr]", "objects")
    found = w.alloca("[3 x i64]", "found")
    position, answer, block, chunk, spent = (
        w.alloca("i64", each) for each in ("position", "answer", "block", "chunk", "spent")
    )
    site = w.field("%self", _DATA, "ptr")
    for index in range(3):
        w.set(found, index, 0)
    w.put(f"store i64 0, ptr {position}")
    what = w.at(site, WHAT)
    w.unless(w.same(what, RANGE, "i64"), "counted")
    w.unless(w.op(f"call i1 @range(ptr {site}, ptr %args, i64 %nargs, ptr {found})"), "slow")
    w.unless(w.op(f"icmp sge i64 {w.at(found, 2)}, {w.at(site, FEWEST)}"), "short")
    w.jump("counted")
    w.place("short")
    skipped = w.op(f"add i64 {w.at(site, SKIPPED)}, 1")
    w.set(site, SKIPPED, skipped)
    w.unless(w.op(f"icmp ne i64 {w.op(f'and i64 {skipped}, {_LOOKED_AT}')}, 0"), "slow")
    w.give(w.outside("PyObject_VectorcallDict", w.at(site, PLAIN, "ptr"), "%args", "%nargs", "null"))
    w.place("counted")
    w.unless(w.op(f"icmp ule i64 %nargs, {MOST_ARGUMENTS}"), "slow")
    w.unless(w.op(f"call i1 @usual(ptr {site})"), "slow")
    w.unless(w.op(f"fcmp oge double {w.at(site, BALANCE, 'double')}, {double(-1e9 * LOSS)}"), "slow")
    frame = w.outside("PyEval_GetFrame")
    w.unless(w.op(f"icmp ne ptr {frame}, null"), "slow")
    modules = w.outside("PyEval_GetGlobals")
    code = w.outside("PyFrame_GetCode", frame)
    w.outside("Py_DecRef", code)  # the frame has it
    through = w.at(site, FRAME)
    inner = w.alloca("ptr", "inner")
    w.put(f"store ptr {frame}, ptr {inner}")
    w.when(w.same(through, 0, "i64"), "direct")
    w.put(f"store ptr {w.field(frame, through, 'ptr')}, ptr {inner}")
    w.place("direct")
    start = w.op(f"load ptr, ptr {inner}")
    fast = w.op(f"getelementptr i8, ptr {start}, i64 {w.at(site, LOCALS)}")
    with w.loop(w.at(site, COUNT)) as (number, following):
        plan = w.at(site, w.op(f"add i64 {number}, {PLANS}"), "ptr")
        w.unless(w.same(code, w.at(plan, CODE, "ptr")), following)
        w.unless(w.op(f"icmp slt i64 {w.at(plan, TOOK)}, {w.at(plan, LIMIT)}"), "slow")
        size = w.op(f"mul i64 {w.at(plan, WORDS)}, 8")
        template = w.at(plan, TEMPLATE, "ptr")
        w.put(f"call void @llvm.memcpy.p0.p0.i64(ptr {words}, ptr {template}, i64 {size}, i1 false)")
        taken = w.op(
            f"call i1 @take(ptr {site}, ptr {plan}, ptr %args, i64 %nargs, ptr {fast}, ptr {modules}, "
            f"ptr {objects}, ptr {words})"
        )
        w.unless(taken, following)
        _begin(w, site, plan, what, words, objects, found)
        count = w.at(found, 2)
        _keep(w, site, plan, words, kept, objects, block, count, size)
        _run(w, plan, words, position, answer, chunk, spent, count)
        w.place("over")
        _take_back(w, plan, words, kept, objects, block, position, answer, size)
        w.place("finish")
        _count(w, site, plan, position, spent, answer)
        _hand_over(w, site, plan, number, fast, modules, objects, words)
        _let_go(w, plan, words, objects, block)
        done = w.op("load i1, ptr %wentwell")
        w.unless(done, "error")
        _answer(w, site, number, position, answer, count)
    w.jump("slow")
    w.place("error")
    w.give("null")
    w.place("slow")
    w.give(w.outside("PyObject_VectorcallDict", w.at(site, SLOW, "ptr"), "%args", "%nargs", "null"))
    w.allocas.append("  %wentwell = alloca i1")
    return w.function("ptr @kernel(ptr %self, ptr %args, i64 %nargs)")


def _begin(w: _Text, site: str, plan: str, what: str, words: str, objects: str, found: str) -> None:
    """How many rounds there are, and where they begin; what else must be so."""
    labels = {each: w.fresh("what") for each in (ELEMENTS, ENUMERATE, ZIP, WHILE)}
    known, least = w.fresh("known"), w.fresh("least")
    w.choose(what, labels, known)
    w.place(labels[WHILE])
    w.set(found, 2, _FAR)
    w.jump(known)
    w.place(labels[ENUMERATE])
    w.unless(w.same("%nargs", 2, "i64"), least)
    number = w.at("%args", 1, "ptr")
    integer = w.at(w.at(site, TYPES, "ptr"), CODES["int"], "ptr")
    w.unless(w.same(w.field(number, _TYPE, "ptr"), integer), "slow")
    over = w.alloca("i32", "over")
    begin = w.outside("PyLong_AsLongLongAndOverflow", number, over)
    w.unless(w.same(w.op(f"load i32, ptr {over}"), 0, "i32"), "slow")
    w.unless(w.op(f"icmp slt i64 {begin}, {_BOUND}"), "slow")
    w.unless(w.op(f"icmp sgt i64 {begin}, {-_BOUND}"), "slow")
    w.set(found, 0, begin)
    w.jump(least)
    w.place(labels[ZIP])
    w.jump(least)
    w.place(labels[ELEMENTS])
    w.jump(least)
    w.place(least)
    w.set(found, 2, _FAR)
    with w.loop(w.at(plan, AXES)) as (index, following):
        array = w.at(objects, w.at(w.at(plan, AXES_AT, "ptr"), index), "ptr")
        size = w.at(w.field(array, _DIMENSIONS, "ptr"), 0)
        w.unless(w.op(f"icmp slt i64 {size}, {w.at(found, 2)}"), following)
        w.set(found, 2, size)
    w.jump(known)
    w.place(known)
    w.set(words, START, w.at(found, 0))
    w.set(words, STEP, w.at(found, 1))
    # Of a view that will be handed over the memory must be that of one array without gaps.
    with w.loop(w.at(plan, OWNED)) as (index, _):
        array = w.at(objects, w.at(w.at(plan, OWNED_AT, "ptr"), index), "ptr")
        owner = _owner_of(w, w.at(site, ARRAY, "ptr"), array)
        flags = w.op(f"and i32 {w.field(owner, _FLAGS, 'i32')}, {_IN_ORDER}")
        w.unless(w.op(f"icmp ne i32 {flags}, 0"), "slow")
    # Lists that are appended to must be different ones.
    with w.loop(w.at(plan, LISTS)) as (index, _):
        items = w.at(plan, LISTS_AT, "ptr")
        mine = w.at(objects, w.at(w.item(items, index, ITEM), 1), "ptr")
        with w.loop(index) as (other, _):
            theirs = w.at(objects, w.at(w.item(items, other, ITEM), 1), "ptr")
            w.unless(w.op(f"icmp ne ptr {mine}, {theirs}"), "slow")


def _keep(
    w: _Text,
    site: str,
    plan: str,
    words: str,
    kept: str,
    objects: str,
    block: str,
    count: str,
    size: str,
) -> None:
    """See whether it is worth it; keep what must be there if something is to be taken back."""
    bytes_ = w.alloca("i64", "bytes")
    w.put(f"store i64 0, ptr {bytes_}")
    clean = w.op(f"icmp ne i64 {w.at(plan, CLEAN)}, 0")
    with w.loop(w.at(plan, WRITTEN)) as (index, following):
        item = w.item(w.at(plan, WRITTEN_AT, "ptr"), index, ITEM)
        array = w.at(objects, w.at(item, 0), "ptr")
        flags = w.field(array, _FLAGS, "i32")
        w.unless(w.op(f"icmp ne i32 {w.op(f'and i32 {flags}, {_WRITEABLE}')}, 0"), "slow")
        w.when(clean, following)
        w.unless(w.op(f"icmp ne i32 {w.op(f'and i32 {flags}, {_IN_ORDER}')}, 0"), "slow")
        more = w.op(f"call i64 @size(ptr {array}, i64 {w.at(item, 1)})")
        so_far = w.op(f"load i64, ptr {bytes_}")
        w.put(f"store i64 {w.op(f'add i64 {so_far}, {more}')}, ptr {bytes_}")
    copied = w.op(f"load i64, ptr {bytes_}")
    gained = w.op(f"fmul double {w.op(f'sitofp i64 {count} to double')}, {w.at(plan, A_ROUND, 'double')}")
    costs = w.op(f"fmul double {w.op(f'sitofp i64 {copied} to double')}, {w.at(plan, A_BYTE, 'double')}")
    w.unless(_covers(w, gained, costs, w.at(plan, LEAST, "double")), "slow")
    w.put(f"store i64 0, ptr {block}")
    w.when(clean, "hold")
    w.put(f"call void @llvm.memcpy.p0.p0.i64(ptr {kept}, ptr {words}, i64 {size}, i1 false)")
    w.unless(w.op(f"icmp sgt i64 {copied}, 0"), "hold")
    memory = w.outside("malloc", copied)
    w.unless(w.op(f"icmp ne ptr {memory}, null"), "slow")
    w.put(f"store ptr {memory}, ptr {block}")
    w.put(f"call void @undo(ptr {plan}, ptr {objects}, ptr {memory}, i1 false)")
    w.jump("hold")
    w.place("hold")
    _each_held(w, plan, objects, "Py_IncRef")


def _covers(w: _Text, gained: str, costs: str, least: str) -> str:
    total = w.op(f"fadd double {costs}, {least}")
    return w.op(f"fcmp oge double {gained}, {total}")


def _each_held(w: _Text, plan: str, objects: str, name: str) -> None:
    """Arrays and lists must live until the end, even if a signal's handler changes the variables."""
    with w.loop(w.at(plan, ROWS)) as (index, following):
        kind = w.at(w.item(w.at(plan, ROWS_AT, "ptr"), index, ROW), 3)
        held = w.op(f"icmp sge i64 {kind}, {IS_LIST}")
        w.unless(w.op(f"and i1 {held}, {w.op(f'icmp sle i64 {kind}, {IS_ARRAY}')}"), following)
        w.outside(name, w.at(objects, index, "ptr"))


def _run(
    w: _Text, plan: str, words: str, position: str, answer: str, chunk: str, spent: str, count: str
) -> None:
    """Run the kernel, a few rounds first, until all are run or it leaves early or the time is up."""
    kernel = w.at(plan, KERNEL, "ptr")
    began = w.op("call i64 @now()")
    w.put(f"store i64 1, ptr {chunk}")
    w.put(f"store i64 0, ptr {spent}")
    w.place("rounds")
    first, wanted = w.op(f"load i64, ptr {position}"), w.op(f"load i64, ptr {chunk}")
    left = w.op(f"sub i64 {count}, {first}")
    few = w.op(f"icmp slt i64 {left}, {wanted}")
    rounds = w.op(f"select i1 {few}, i64 {left}, i64 {wanted}")
    last = w.op(f"add i64 {first}, {rounds}")
    w.set(words, FIRST, first)
    w.set(words, LAST, last)
    result = w.op(f"call i64 {kernel}(ptr {words})")
    w.put(f"store i64 {result}, ptr {answer}")
    passed = w.op(f"sub i64 {w.op('call i64 @now()')}, {began}")
    before = w.op(f"load i64, ptr {spent}")
    w.put(f"store i64 {passed}, ptr {spent}")
    stopped = w.at(words, STOPPED)
    w.put(f"store i64 {stopped}, ptr {position}")
    w.unless(w.same(result, 0, "i64"), "over")
    w.put(f"store i64 {last}, ptr {position}")
    w.unless(w.op(f"icmp slt i64 {last}, {count}"), "over")
    w.unless(w.op(f"icmp slt i64 {passed}, {LONGEST}"), "over")
    # As many as there is time for, at the speed of the last ones.
    took = w.op(f"add i64 {w.op(f'sub i64 {passed}, {before}')}, 1")
    time = w.op(f"sub i64 {LONGEST}, {passed}")
    ratio = w.op(f"sdiv i64 {time}, {took}")
    small = w.op(f"icmp slt i64 {ratio}, {_GROWTH}")
    ratio = w.op(f"select i1 {small}, i64 {ratio}, i64 {_GROWTH}")
    zero = w.same(ratio, 0, "i64")
    ratio = w.op(f"select i1 {zero}, i64 1, i64 {ratio}")
    w.put(f"store i64 {w.op(f'mul i64 {wanted}, {ratio}')}, ptr {chunk}")
    w.jump("rounds")


def _take_back(
    w: _Text,
    plan: str,
    words: str,
    kept: str,
    objects: str,
    block: str,
    position: str,
    answer: str,
    size: str,
) -> None:
    """After a round that cannot be run: everything as it was before it."""
    w.unless(w.op(f"icmp sgt i64 {w.op(f'load i64, ptr {answer}')}, 0"), "finish")
    w.unless(w.same(w.at(plan, CLEAN), 0, "i64"), "finish")
    memory = w.op(f"load ptr, ptr {block}")
    w.unless(w.op(f"icmp ne ptr {memory}, null"), "restored")
    w.put(f"call void @undo(ptr {plan}, ptr {objects}, ptr {memory}, i1 true)")
    w.jump("restored")
    w.place("restored")
    w.put(f"call void @release(ptr {words})")
    with w.loop(w.at(plan, LISTS)) as (index, _):
        item = w.item(w.at(plan, LISTS_AT, "ptr"), index, ITEM)
        slot = w.at(item, 0)
        log, old = w.spot(words, slot), w.spot(kept, slot)
        for each in (0, 2):  # the memory of the log is there, and empty
            w.set(old, each, w.at(log, each))
    w.put(f"call void @llvm.memcpy.p0.p0.i64(ptr {words}, ptr {kept}, i64 {size}, i1 false)")
    stopped = w.op(f"load i64, ptr {position}")
    w.unless(w.op(f"icmp sgt i64 {stopped}, 0"), "finish")
    # What led there did no harm the first time, and does none now.
    w.set(words, FIRST, 0)
    w.set(words, LAST, stopped)
    result = w.op(f"call i64 {w.at(plan, KERNEL, 'ptr')}(ptr {words})")
    w.unless(w.op(f"icmp ne i64 {result}, 0"), "finish")
    w.put(f"store i64 {INTERRUPTED}, ptr {answer}")
    w.jump("finish")


def _count(w: _Text, site: str, plan: str, position: str, spent: str, answer: str) -> None:
    """Enter the run, and what it gained in comparison with rounds as written."""
    rounds, took = (w.op(f"load i64, ptr {place}") for place in (position, spent))
    for index, more in ((RAN, rounds), (TOOK, took), (RUNS, "1")):
        w.set(plan, index, w.op(f"add i64 {w.at(plan, index)}, {more}"))
    early = w.op(f"icmp sgt i64 {w.op(f'load i64, ptr {answer}')}, 0")
    way = w.op(f"select i1 {early}, i64 {w.at(site, AN_EXIT)}, i64 {_AN_ENTRY}")
    lost = w.op(f"sitofp i64 {w.op(f'add i64 {took}, {way}')} to double")
    gained = w.op(f"fmul double {w.op(f'sitofp i64 {rounds} to double')}, {w.at(plan, A_ROUND, 'double')}")
    gained = w.op(f"fsub double {gained}, {lost}")
    least = double(-1e9 * WORST)
    gained = w.op(f"select i1 {w.op(f'fcmp olt double {gained}, {least}')}, double {least}, double {gained}")
    balance = w.op(f"fadd double {w.at(site, BALANCE, 'double')}, {gained}")
    most = double(1e9 * GAIN)
    too_much = w.op(f"fcmp ogt double {balance}, {most}")
    w.set(site, BALANCE, w.op(f"select i1 {too_much}, double {most}, double {balance}"), "double")


def _hand_over(
    w: _Text,
    site: str,
    plan: str,
    number: str,
    fast: str,
    modules: str,
    objects: str,
    words: str,
) -> None:
    """Set the variables: here, or in Python where some hold parts of a new array."""
    with w.loop(w.at(plan, MADE)) as (index, following):
        item = w.item(w.at(plan, MADE_AT, "ptr"), index, ITEM)
        slot = w.spot(words, w.at(item, 0))
        ident, owner = w.at(slot, 0), w.at(slot, 2)
        w.unless(w.op(f"icmp sge i64 {ident}, 0"), following)
        w.unless(w.op(f"icmp sgt i64 {owner}, {SMALLEST}"), following)
        w.unless(w.same(w.field(w.op(f"inttoptr i64 {owner} to ptr"), IDENT), ident, "i64"), "parts")
    done = w.op(
        f"call i1 @finish(ptr {site}, ptr {plan}, ptr {fast}, ptr {modules}, ptr {objects}, ptr {words})"
    )
    w.put(f"store i1 {done}, ptr %wentwell")
    w.jump("finished")
    w.place("parts")
    arguments = w.alloca("[3 x ptr]", "arguments")
    values = (number, w.op(f"ptrtoint ptr {words} to i64"), w.op(f"ptrtoint ptr {objects} to i64"))
    result = _call(w, arguments, w.at(site, PARTS, "ptr"), values)
    w.put(f"store i1 {w.op(f'icmp ne ptr {result}, null')}, ptr %wentwell")
    w.unless(w.op(f"icmp ne ptr {result}, null"), "finished")
    w.outside("Py_DecRef", result)
    w.jump("finished")
    w.place("finished")


def _call(w: _Text, arguments: str, function: str, numbers: tuple[str, ...], more: str = "0") -> str:
    """Call a Python function with numbers, behind which other arguments may already stand."""
    for index, number in enumerate(numbers):
        w.set(arguments, index, w.outside("PyLong_FromLongLong", number), "ptr")
    count = w.op(f"add i64 {len(numbers)}, {more}")
    result = w.outside("PyObject_VectorcallDict", function, arguments, count, "null")
    for index in range(len(numbers)):
        w.outside("Py_DecRef", w.at(arguments, index, "ptr"))
    return result


def _let_go(w: _Text, plan: str, words: str, objects: str, block: str) -> None:
    w.put(f"call void @release(ptr {words})")
    with w.loop(w.at(plan, LISTS)) as (index, _):
        item = w.item(w.at(plan, LISTS_AT, "ptr"), index, ITEM)
        w.outside("free", w.at(w.spot(words, w.at(item, 0)), 0, "ptr"))
    w.outside("free", w.op(f"load ptr, ptr {block}"))
    _each_held(w, plan, objects, "Py_DecRef")


def _answer(w: _Text, site: str, number: str, position: str, answer: str, count: str) -> None:
    """What the loop is to run over now: nothing, or what the site says."""
    result = w.op(f"load i64, ptr {answer}")
    reached = w.op(f"load i64, ptr {position}")
    w.unless(w.op(f"icmp ne i64 {result}, {INTERRUPTED}"), "error")
    broke, all_, left = w.fresh("broke"), w.fresh("all"), w.fresh("left")
    w.when(w.same(result, BROKE, "i64"), broke)
    w.when(w.same(result, ENDED, "i64"), all_)
    w.unless(w.same(result, 0, "i64"), left)
    w.unless(w.op(f"icmp slt i64 {reached}, {count}"), all_)
    w.jump(left)
    for label, index in ((broke, BROKEN), (all_, OVER)):
        w.place(label)
        value = w.at(site, index, "ptr")
        w.outside("Py_IncRef", value)
        w.give(value)
    w.place(left)
    arguments = w.alloca(f"[{3 + MOST_ARGUMENTS} x ptr]", "arguments")
    with w.loop("%nargs") as (index, _):
        w.set(arguments, w.op(f"add i64 {index}, 3"), w.at("%args", index, "ptr"), "ptr")
    w.give(_call(w, arguments, w.at(site, LEFT, "ptr"), (number, reached, result), "%nargs"))
