"""What must be so before anything is done: Python's and NumPy's state, the arguments, the frame's variables."""

from __future__ import annotations

from minpy.runtime.jit.guard import layout
from minpy.runtime.jit.guard.writing import (
    ALIGNED,
    DATA,
    DIMENSIONS,
    DTYPE,
    FLAGS,
    NDIM,
    STRIDES,
    TYPE,
    VALUE,
    Text,
)
from minpy.runtime.jit.kinds import CODES, COMPLEX, KIND_OF_CODE

BOUND = 1 << 61  # no number of rounds, and no end of a range, is further away


def usual(w: Text) -> str:
    """Nobody must be looking at lines or operations, and NumPy's floating-point state must be the usual one."""
    site = "%site"
    held = w.alloca("ptr", "held")
    none = w.at(site, layout.NONE, "ptr")

    def ask(answer: str) -> None:
        w.unless(w.op(f"icmp ne ptr {answer}, null"), "failed")
        w.outside("Py_DecRef", answer)
        w.unless(w.same(answer, none), "no")

    with w.loop(w.at(site, layout.SAME)) as (index, _):
        item = w.item(w.at(site, layout.SAME_AT, "ptr"), index, 3)
        found = w.outside("PyDict_GetItem", w.at(item, 0, "ptr"), w.at(item, 1, "ptr"))
        w.unless(w.same(found, w.at(item, 2, "ptr")), "no")
    with w.loop(w.at(site, layout.ASK_COUNT)) as (index, _):
        ask(w.outside("PyObject_CallNoArgs", w.at(w.at(site, layout.ASK, "ptr"), index, "ptr")))
    tool = w.at(site, layout.TOOL, "ptr")
    w.unless(w.op(f"icmp ne ptr {tool}, null"), "without")
    with w.loop(6) as (index, _):
        number = w.at(site, w.op(f"add i64 {index}, {layout.TOOL_NUMBERS}"), "ptr")
        w.put(f"store ptr {number}, ptr {held}")
        ask(w.outside("PyObject_VectorcallDict", tool, held, "1", "null"))
    w.place("without")
    state, usual = w.at(site, layout.STATE, "ptr"), w.at(site, layout.STATE_DEFAULT, "ptr")
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
    for index, number in ((0, 8192), (1, w.at(site, layout.STATE_VALUE))):
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


def range_(w: Text) -> str:
    """The start, the step and the length of a range, and whether its arguments are of the usual kind."""
    integer = w.at(w.at("%site", layout.TYPES, "ptr"), CODES["int"], "ptr")
    over = w.alloca("i32", "over")
    values = w.alloca("[3 x i64]", "values")
    w.unless(w.op("icmp ule i64 %nargs, 3"), "no")
    w.unless(w.op("icmp uge i64 %nargs, 1"), "no")
    with w.loop("%nargs") as (index, _):
        value = w.at("%args", index, "ptr")
        w.unless(w.same(w.field(value, TYPE, "ptr"), integer), "no")
        number = w.outside("PyLong_AsLongLongAndOverflow", value, over)
        w.unless(w.same(w.op(f"load i32, ptr {over}"), 0, "i32"), "no")
        w.unless(w.op(f"icmp slt i64 {number}, {BOUND}"), "no")
        w.unless(w.op(f"icmp sgt i64 {number}, {-BOUND}"), "no")
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


def kind_of(w: Text) -> str:
    """The code of a scalar's kind; -1 if it is none of those that are taken here."""
    type_ = w.field("%object", TYPE, "ptr")
    types = w.at("%site", layout.TYPES, "ptr")
    with w.loop(len(CODES)) as (index, following):
        w.unless(w.same(type_, w.at(types, index, "ptr")), following)
        w.give(index, "i64")
    w.give("-1", "i64")
    return w.function("internal i64 @kind_of(ptr %site, ptr %object)")


def take(w: Text) -> str:
    """Find the objects of a plan's rows, and fill the words of those that have some; whether all is as it must be."""
    builtins, array = w.at("%site", layout.BUILTINS, "ptr"), w.at("%site", layout.ARRAY, "ptr")
    over = w.alloca("i32", "over")
    got, taken = w.alloca("ptr", "got"), w.alloca("i64", "taken")
    w.put(f"store i64 0, ptr {taken}")
    with w.loop(w.at("%plan", layout.ROWS)) as (index, following):
        row = w.item(w.at("%plan", layout.ROWS_AT, "ptr"), index, layout.ROW)
        a, key = w.at(row, 1), w.at(row, 2, "ptr")
        found, checks = w.fresh("found"), w.fresh("checks")
        fetch = {each: w.fresh("fetch") for each in range(7)}
        w.choose(w.at(row, 0), fetch, "no")

        def give(value: str, found: str = found) -> None:
            w.put(f"store ptr {value}, ptr {got}")
            w.jump(found)

        w.place(fetch[layout.FAST])
        give(w.at("%fast", a, "ptr"))
        w.place(fetch[layout.CELL])
        cell = w.at("%fast", a, "ptr")
        w.unless(w.op(f"icmp ne ptr {cell}, null"), "no")
        give(w.field(cell, VALUE, "ptr"))
        w.place(fetch[layout.GLOBAL])
        value = w.outside("PyDict_GetItem", "%globals", key)
        w.put(f"store ptr {value}, ptr {got}")
        w.unless(w.same(value, "null"), found)
        give(w.outside("PyDict_GetItem", builtins, key))
        w.place(fetch[layout.IN_DICT])
        give(w.outside("PyDict_GetItem", w.op(f"inttoptr i64 {a} to ptr"), key))
        w.place(fetch[layout.IN_INSTANCE])
        owner = w.at("%objects", a, "ptr")
        own = w.outside("PyObject_GenericGetDict", owner, "null")
        w.unless(w.op(f"icmp ne ptr {own}, null"), "failed")
        value = w.outside("PyDict_GetItem", own, key)
        w.outside("Py_DecRef", own)
        give(value)
        w.place(fetch[layout.IN_CLASS])
        owner = w.at("%objects", a, "ptr")
        give(w.outside("_PyType_Lookup", w.field(owner, TYPE, "ptr"), key))
        w.place(fetch[layout.ARGUMENT])
        w.unless(w.op(f"icmp slt i64 {a}, %nargs"), "no")
        give(w.at("%args", a, "ptr"))
        w.place(found)
        value = w.op(f"load ptr, ptr {got}")
        w.set("%objects", index, value, "ptr")
        c, d = w.at(row, 4, "ptr"), w.at(row, 5)
        check = {each: w.fresh("check") for each in layout.CHECKS}
        w.choose(
            w.at(row, 3),
            {each: check[each] for each in (layout.THIS, layout.ANYTHING, layout.IS_SCALAR)},
            checks,
        )
        w.place(checks)
        w.unless(w.op(f"icmp ne ptr {value}, null"), "no")
        w.choose(w.at(row, 3), check, "no")
        w.place(check[layout.ANYTHING])
        w.jump(following)
        w.place(check[layout.THIS])
        w.branch(w.same(value, c), following, "no")
        w.place(check[layout.IS_FUNCTION])
        w.unless(w.same(value, c), "no")
        code = w.outside("PyFunction_GetCode", value)
        w.branch(w.same(code, w.op(f"inttoptr i64 {d} to ptr")), following, "no")
        w.place(check[layout.HAS_TYPE])
        w.branch(w.same(w.field(value, TYPE, "ptr"), c), following, "no")
        w.place(check[layout.IS_LIST])
        w.branch(w.same(w.field(value, TYPE, "ptr"), w.at("%site", layout.LIST, "ptr")), following, "no")
        w.place(check[layout.IS_SEQUENCE])
        _fill_sequence(w, row, value, taken, over, following)
        w.place(check[layout.IS_ARRAY])
        w.unless(w.same(w.field(value, TYPE, "ptr"), array), "no")
        w.unless(w.same(w.field(value, DTYPE, "ptr"), c), "no")
        _fill_array(w, row, value, d)
        w.jump(following)
        w.place(check[layout.IS_SCALAR])
        _fill_scalar(w, row, value, d, over, following)
    w.give("true", "i1")
    w.place("failed")
    w.outside("PyErr_Clear")
    w.jump("no")
    w.place("no")
    w.give("false", "i1")
    return w.function(
        "internal i1 @take(ptr %site, ptr %plan, ptr %args, i64 %nargs, ptr %fast, ptr %globals, "
        "ptr %objects, ptr %words, ptr %room)"
    )


def _fill_array(w: Text, row: str, value: str, d: str) -> None:
    """The words of an array: its geometry; the word `d` says how many axes it must have, and so on (`array_word`)."""
    ndim = w.op(f"and i64 {d}, 255")
    w.unless(w.same(w.op(f"sext i32 {w.field(value, NDIM, 'i32')} to i64"), ndim, "i64"), "no")
    flags = w.op(f"and i32 {w.field(value, FLAGS, 'i32')}, {ALIGNED}")
    w.unless(w.op(f"icmp ne i32 {flags}, 0"), "no")
    slot = w.spot("%words", w.at(row, 6))
    w.set(slot, 1, w.field(value, DATA))
    sizes, steps = w.field(value, DIMENSIONS, "ptr"), w.field(value, STRIDES, "ptr")
    size_of_one = w.op(f"and i64 {w.op(f'lshr i64 {d}, 16')}, 65535")
    last = w.at(steps, w.op(f"sub i64 {ndim}, 1"))
    unit = w.op(f"zext i1 {w.same(last, size_of_one, 'i64')} to i64")
    w.unless(w.same(unit, w.op(f"and i64 {w.op(f'lshr i64 {d}, 8')}, 1"), "i64"), "no")
    wanted = w.op(f"lshr i64 {d}, 40")
    fits = w.same(w.at(sizes, w.op(f"sub i64 {ndim}, 1")), wanted, "i64")
    w.unless(w.op(f"or i1 {fits}, {w.same(wanted, '0', 'i64')}"), "no")
    with w.loop(ndim) as (axis, _):
        at = w.op(f"add i64 {axis}, 3")
        place = w.op(f"add i64 {axis}, 32")
        single = w.op(f"trunc i64 {w.op(f'lshr i64 {d}, {place}')} to i1")
        more = w.op(f"icmp ne i64 {w.at(sizes, axis)}, 1")
        w.unless(w.op(f"xor i1 {w.op(f'and i1 {single}, {more}')}, true"), "no")
        w.set(slot, at, w.at(sizes, axis))
        w.set(slot, w.op(f"add i64 {at}, {ndim}"), w.at(steps, axis))


def _fill_sequence(w: Text, row: str, value: str, taken: str, over: str, following: str) -> None:
    """The words of a string, bytes, or a list or tuple of numbers: of what is not bytes, a copy is made in the room."""
    type_, listed, known = w.field(value, TYPE, "ptr"), w.fresh("listed"), w.fresh("known")
    w.when(w.same(type_, w.at(row, 4, "ptr")), known)
    w.unless(w.same(type_, w.at(row, 7, "ptr")), "no")
    w.place(known)
    slot, kind = w.spot("%words", w.at(row, 6)), w.at(row, 5)
    count = w.outside("PySequence_Size", value)
    w.set(slot, 3, count)
    copied = w.fresh("copied")
    w.when(w.op(f"icmp ne i64 {kind}, {layout.BYTES}"), copied)
    w.set(slot, 1, w.outside("PyBytes_AsString", value), "ptr")
    w.set(slot, 4, 1)
    w.jump(following)
    w.place(copied)
    before = w.op(f"load i64, ptr {taken}")
    after = w.op(f"add i64 {before}, {count}")
    w.unless(w.op(f"icmp slt i64 {after}, {layout.ROOM}"), "no")
    w.put(f"store i64 {after}, ptr {taken}")
    memory = w.spot("%room", before)
    w.set(slot, 1, memory, "ptr")
    w.unless(w.op(f"icmp eq i64 {kind}, {layout.CHARACTERS}"), listed)
    w.set(slot, 4, 4)
    size = w.op(f"mul i64 {w.op(f'add i64 {count}, 1')}, 2")
    done = w.outside("PyUnicode_AsUCS4", value, memory, size, "0")
    w.branch(w.op(f"icmp ne ptr {done}, null"), following, "failed")
    w.place(listed)
    w.set(slot, 4, 8)
    w.unless(w.op(f"icmp sgt i64 {count}, 0"), "no")  # what its items would be is not known
    types = w.at("%site", layout.TYPES, "ptr")
    is_list = w.same(type_, w.at("%site", layout.LIST, "ptr"))
    integers = w.same(kind, layout.INTEGERS, "i64")
    wanted = w.op(
        f"select i1 {integers}, ptr {w.at(types, CODES['int'], 'ptr')}, ptr {w.at(types, CODES['float'], 'ptr')}"
    )
    item = w.alloca("ptr", "item")
    with w.loop(count) as (index, next_):
        other, got, floats = w.fresh("other"), w.fresh("got"), w.fresh("floats")
        w.unless(is_list, other)
        w.put(f"store ptr {w.outside('PyList_GetItem', value, index)}, ptr {item}")
        w.jump(got)
        w.place(other)
        w.put(f"store ptr {w.outside('PyTuple_GetItem', value, index)}, ptr {item}")
        w.place(got)
        each = w.op(f"load ptr, ptr {item}")
        w.unless(w.same(w.field(each, TYPE, "ptr"), wanted), "no")
        w.unless(integers, floats)
        w.set(memory, index, w.outside("PyLong_AsLongLongAndOverflow", each, over))
        w.unless(w.same(w.op(f"load i32, ptr {over}"), 0, "i32"), "no")
        w.jump(next_)
        w.place(floats)
        w.set(memory, index, w.field(each, VALUE))
    w.jump(following)


def _fill_scalar(w: Text, row: str, value: str, d: str, over: str, following: str) -> None:
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
            w.put(f"store i64 {w.field(value, VALUE)}, ptr {bits}")
            w.jump(done)
        elif kind == "float32":
            wide = w.op(f"fpext float {w.field(value, VALUE, 'float')} to double")
            w.put(f"store double {wide}, ptr {bits}")
            w.jump(done)
        elif kind == "bool":
            is_true = w.same(value, w.at("%site", layout.TRUE, "ptr"))
            w.put(f"store i64 {w.op(f'zext i1 {is_true} to i64')}, ptr {bits}")
            w.jump(done)
        elif kind == "bool_":
            byte = w.field(value, VALUE, "i8")
            w.put(f"store i64 {w.op(f'zext i8 {byte} to i64')}, ptr {bits}")
            w.jump(done)
        else:
            if kind == "int":
                number = w.outside("PyLong_AsLongLongAndOverflow", value, over)
                w.unless(w.same(w.op(f"load i32, ptr {over}"), 0, "i32"), "no")
            else:
                width = f"i{kind.lstrip('uint')}"
                number = w.field(value, VALUE, width)
                if width != "i64":
                    number = w.op(f"{'zext' if kind[0] == 'u' else 'sext'} {width} {number} to i64")
                elif kind[0] == "u":
                    w.unless(w.op(f"icmp sge i64 {number}, 0"), "no")
            w.put(f"store i64 {number}, ptr {bits}")
            w.jump(whole)
    w.place(whole)
    w.unless(w.same(d, layout.REPS["d"], "i64"), done)
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
