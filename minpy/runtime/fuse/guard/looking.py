"""What must be so before anything is done: Python's and NumPy's state, and the operands."""

from __future__ import annotations

from minpy.runtime.fuse.guard import layout
from minpy.runtime.fuse.guard.writing import (
    DIMENSIONS,
    DTYPE,
    FLAGS,
    NDIM,
    STRIDES,
    TYPE,
    VALUE,
    VERSION,
    Writer,
    let_go,
)
from minpy.runtime.fuse.rows import DATA

_FURTHEST = 1 << 40  # of numbers that move slices: then nothing overflows


def state(w: Writer, site: str) -> None:
    """Nobody must be looking at lines or operations, and NumPy's floating-point state must be the usual one."""
    none = w.at(site, layout.NONE, "ptr")
    index, following, end = w.loop(w.at(site, layout.ASK_COUNT))
    asked = w.at(w.at(site, layout.ASK, "ptr"), index, "ptr")
    answer = w.call("PyObject_CallNoArgs", asked)
    w.unless(w.new(f"icmp ne ptr {answer}, null"), "failed")
    w.call("Py_DecRef", answer)
    w.unless(w.same(answer, none), "slow")
    w.close(following, end)
    tool = w.at(site, layout.TOOL, "ptr")
    with_tools, without = w.fresh("tools"), w.fresh("notools")
    w.do(f"br i1 {w.new(f'icmp ne ptr {tool}, null')}, label %{with_tools}, label %{without}")
    w.label(with_tools)
    index, following, end = w.loop("6")
    number = w.at(site, w.new(f"add i64 {index}, {layout.TOOL_NUMBERS}"), "ptr")
    w.do(f"store ptr {number}, ptr %held, align 8")
    answer = w.call("PyObject_VectorcallDict", tool, "%held", "1", "null")
    w.unless(w.new(f"icmp ne ptr {answer}, null"), "failed")
    w.call("Py_DecRef", answer)
    w.unless(w.same(answer, none), "slow")
    w.close(following, end)
    w.do(f"br label %{without}")
    w.label(without)
    w.do("%own = call ptr @minpy_PyThreadState_GetDict()")
    w.unless(w.new("icmp ne ptr %own, null"), "slow")
    state = w.at(site, layout.STATE, "ptr")
    by_variable, by_dictionary, known = w.fresh("variable"), w.fresh("dictionary"), w.fresh("known")
    usual = w.at(site, layout.STATE_DEFAULT, "ptr")
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
    w.unless(w.same(mask, w.at(site, layout.STATE_VALUE), "i64"), "slow")
    w.do(f"br label %{known}")
    w.label("failed")
    w.call("PyErr_Clear")
    w.do("br label %slow")
    w.label(known)
    w.do(f"%list = call ptr @minpy_PyDict_GetItem(ptr %own, ptr {w.at(site, layout.KEY, 'ptr')})")
    w.unless(w.new("icmp ne ptr %list, null"), "slow")


def follow(w: Writer, site: str) -> None:
    """Get what chains of attributes and items lead to: ``%values`` are the arguments, and that behind them.

    Types must be as they were, so that nobody's code runs.
    """
    steps = w.at(site, layout.CHAINS)
    some, none, done = (w.fresh(each) for each in ("chains", "nochains", "followed"))
    w.do("%none = sub i64 %nargs, 1")
    w.do(f"br i1 {w.new(f'icmp ne i64 {steps}, 0')}, label %{some}, label %{none}")
    w.label(some)
    given = w.at(site, layout.GIVEN)
    w.unless(w.same("%none", given, "i64"), "slow")
    index, following, end = w.loop("%nargs")
    w.put("%vals", index, w.at("%args", index))
    w.close(following, end)
    rows = w.at(site, layout.CHAINS_AT, "ptr")
    index, following, end = w.loop(steps)
    row = w.row(rows, index, 5)
    source = w.at("%vals", w.at(row, 0), "ptr")
    kind = w.at(row, 2, "ptr")
    w.unless(w.same(w.field(source, TYPE, "ptr"), kind), "slow")
    attribute, item, put = (w.fresh(each) for each in ("attribute", "item", "put"))
    place = w.new(f"add i64 {w.new('load i64, ptr %followed, align 8')}, %nargs")
    w.do(f"br i1 {w.same(w.at(row, 1), str(layout.ITEM), 'i64')}, label %{item}, label %{attribute}")
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


def check(w: Writer, site: str, g: str, other: str) -> None:
    """The operands must be those of the geometry; else to the next one."""
    given = "%given"
    w.unless(w.same(w.at(g, layout.NAMES), given, "i64"), other)
    # The program for the numbers, with holes where values differ from call to call.
    words = w.at(g, layout.WORDS_AT, "ptr")
    index, following, end = w.loop(w.at(g, layout.WORDS))
    w.put("%w", index, w.at(words, index))
    w.close(following, end)
    _check_values(w, site, given, "%values", "1", w.at(g, layout.CHECKS, "ptr"), other)
    # Names that must still mean what they meant.
    index, following, end = w.loop(w.at(g, layout.SAME))
    item = w.new(
        f"getelementptr i64, ptr {w.at(g, layout.SAME_AT, 'ptr')}, i64 {w.new(f'mul i64 {index}, 3')}"
    )
    found = w.call("PyDict_GetItem", w.at(item, 0, "ptr"), w.at(item, 1, "ptr"))
    w.unless(w.same(found, w.at(item, 2, "ptr")), other)
    w.close(following, end)
    _compute_first(w, site, g)
    # Numbers that move slices must leave extents and strides as they are.
    index, following, end = w.loop(w.at(g, layout.LIMITS))
    row = w.row(w.at(g, layout.LIMITS_AT, "ptr"), index, layout.FORM + 2)
    value = w.form(row, 0)
    w.unless(w.new(f"icmp sge i64 {value}, {w.at(row, layout.FORM)}"), other)
    w.unless(w.new(f"icmp sle i64 {value}, {w.at(row, layout.FORM + 1)}"), other)
    w.close(following, end)
    # What is written must not overlap what is read.
    index, following, end = w.loop(w.at(g, layout.APART))
    item = w.row(w.at(g, layout.APART_AT, "ptr"), index, 2 * (3 + layout.FORM))
    bounds = []
    for k in (0, 3 + layout.FORM):
        array = w.at("%operands", w.at(item, k), "ptr")
        start = w.new(f"add i64 {w.field(array, DATA)}, {w.form(item, k + 3)}")
        bounds.append([w.new(f"add i64 {start}, {w.at(item, k + each)}") for each in (1, 2)])
    before = w.new(f"icmp ule i64 {bounds[0][1]}, {bounds[1][0]}")
    after = w.new(f"icmp ule i64 {bounds[1][1]}, {bounds[0][0]}")
    w.unless(w.new(f"or i1 {before}, {after}"), other)
    w.close(following, end)
    # Where slices begin.
    shifts = w.at(g, layout.SHIFTS)
    moved, fixed = w.fresh("moved"), w.fresh("fixed")
    w.do(f"br i1 {w.new(f'icmp ne i64 {shifts}, 0')}, label %{moved}, label %{fixed}")
    w.label(moved)
    source = w.at("%w", 0, "ptr")
    index, following, end = w.loop(w.at(g, layout.FIXED))
    w.put("%fixed", index, w.at(source, index))
    w.close(following, end)
    index, following, end = w.loop(shifts)
    row = w.row(w.at(g, layout.SHIFTS_AT, "ptr"), index, 1 + layout.FORM)
    place = w.at(row, 0)
    w.put("%fixed", place, w.new(f"add i64 {w.at('%fixed', place)}, {w.form(row, 1)}"))
    w.close(following, end)
    w.put("%w", 0, "%fixed", "ptr")
    w.do(f"br label %{fixed}")
    w.label(fixed)


def _check_values(
    w: Writer, site: str, count: str, values: str, first_one: str, checks: str, other: str
) -> None:
    """Values must be those of the geometry; numbers that may vary are noted where the code wants them."""
    index, following, end = w.loop(count)
    value = w.at(values, w.new(f"add i64 {index}, {first_one}"), "ptr")
    check = w.new(f"getelementptr i64, ptr {checks}, i64 {w.new(f'mul i64 {index}, 5')}")
    kind = w.at(check, 0)
    first = w.at(check, 1, "ptr")
    labels = {each: w.fresh(f"kind{each}_") for each in range(layout.IS_ANY)}
    labels[layout.IS_ANY] = following
    w.do(
        f"switch i64 {kind}, label %{other} ["
        + " ".join(f"i64 {each}, label %{label}" for each, label in labels.items())
        + "]"
    )
    w.label(labels[layout.IS_THIS])
    w.unless(w.same(value, first), other)
    w.do(f"br label %{following}")
    w.label(labels[layout.IS_TYPE])
    w.unless(w.same(w.field(value, TYPE, "ptr"), first), other)
    w.do(f"br label %{following}")
    w.label(labels[layout.IS_SMALL_FLOAT])  # of those that NumPy 1 takes into a loop in single precision
    w.unless(w.same(w.field(value, TYPE, "ptr"), first), other)
    size = w.new(f"call double @llvm.fabs.f64(double {w.field(value, VALUE, 'double')})")
    w.unless(w.new(f"fcmp ule double {size}, 65500.0"), other)
    w.put("%w", w.at(check, 2), w.field(value, VALUE))
    w.do(f"br label %{following}")
    w.label(labels[layout.IS_FLOAT])
    w.unless(w.same(w.field(value, TYPE, "ptr"), first), other)
    place = w.at(check, 2)
    bits = w.field(value, VALUE)
    w.put("%w", place, bits)
    w.do(f"br label %{following}")
    w.label(labels[layout.IS_THIS_FLOAT])
    w.unless(w.same(w.field(value, TYPE, "ptr"), first), other)
    w.unless(w.same(w.field(value, VALUE), w.at(check, 2), "i64"), other)
    w.do(f"br label %{following}")
    w.label(labels[layout.IS_THIS_INT])
    w.unless(w.same(w.field(value, TYPE, "ptr"), first), other)
    number = w.call("PyLong_AsLongAndOverflow", value, "%overflow")
    w.unless(w.same(w.new("load i32, ptr %overflow, align 4"), "0", "i32"), other)
    w.unless(w.same(number, w.at(check, 2), "i64"), other)
    w.do(f"br label %{following}")
    for each in (layout.IS_MOVING, layout.IS_INT):
        w.label(labels[each])
        w.unless(w.same(w.field(value, TYPE, "ptr"), first), other)
        number = w.call("PyLong_AsLongAndOverflow", value, "%overflow")
        w.unless(w.same(w.new("load i32, ptr %overflow, align 4"), "0", "i32"), other)
        far = w.new(f"add i64 {number}, {_FURTHEST}")
        w.unless(w.new(f"icmp ule i64 {far}, {2 * _FURTHEST}"), other)
        if each == layout.IS_INT:  # exactly so much as a float64
            w.put("%w", w.at(check, 2), w.new(f"sitofp i64 {number} to double"), "double")
        else:
            w.put("%ints", w.at(check, 2), number)
        w.do(f"br label %{following}")
    w.label(labels[layout.IS_ARRAY])
    w.unless(w.same(w.field(value, TYPE, "ptr"), w.at(site, layout.ARRAY, "ptr")), other)
    w.unless(w.same(w.field(value, DTYPE, "ptr"), first), other)
    ndim = w.at(check, 2)
    w.unless(w.same(w.new(f"sext i32 {w.field(value, NDIM, 'i32')} to i64"), ndim, "i64"), other)
    flags = w.new(f"and i32 {w.field(value, FLAGS, 'i32')}, 1280")
    w.unless(w.same(w.new(f"zext i32 {flags} to i64"), w.at(check, 4), "i64"), other)
    extents = w.at(check, 3, "ptr")
    dimensions, strides = w.field(value, DIMENSIONS, "ptr"), w.field(value, STRIDES, "ptr")
    axis, next_axis, last_axis = w.loop(ndim)
    w.unless(w.same(w.at(dimensions, axis), w.at(extents, axis), "i64"), other)
    wanted = w.at(extents, w.new(f"add i64 {axis}, {ndim}"))
    w.unless(w.same(w.at(strides, axis), wanted, "i64"), other)
    w.close(next_axis, last_axis)
    w.close(following, end)


def _compute_first(w: Writer, site: str, g: str) -> None:
    """What is computed before the loops: ``%operands`` are the values, and these numbers and small arrays behind them.

    A function of Python's does it, which gives a tuple. If that is not as it was, or what the program may raise is
    raised, the site is asked. Anything else comes from a signal's handler, and is passed on.
    """
    some, none, done = (w.fresh(each) for each in ("first", "nofirst", "computed"))
    function = w.at(g, layout.FIRST, "ptr")
    w.do(f"br i1 {w.new(f'icmp ne ptr {function}, null')}, label %{some}, label %{none}")
    w.label(some)
    all_of_them = w.new("add i64 %given, 1")
    index, following, end = w.loop(all_of_them)
    w.put("%vals", index, w.at("%values", index))
    w.close(following, end)
    start = w.new("getelementptr i64, ptr %vals, i64 1")
    made = w.call("PyObject_VectorcallDict", function, start, "%given", "null")
    w.do(f"store ptr {made}, ptr %first, align 8")
    fine, raised, other = (w.fresh(each) for each in ("fine", "raised", "other"))
    w.do(f"br i1 {w.new(f'icmp ne ptr {made}, null')}, label %{fine}, label %{raised}")
    w.label(raised)
    expected = w.call("PyErr_ExceptionMatches", w.at(site, layout.EXPECTED, "ptr"))
    w.do(f"br i1 {w.same(expected, '0', 'i32')}, label %{other}, label %failed")
    w.label(other)
    let_go(w)
    w.do("ret ptr null")
    w.label(fine)
    items = w.at(g, layout.ITEMS)
    index, following, end = w.loop(items)
    item = w.call("PyTuple_GetItem", made, index)
    w.put("%vals", w.new(f"add i64 {index}, {all_of_them}"), item, "ptr")
    w.close(following, end)
    _check_values(w, site, items, "%vals", all_of_them, w.at(g, layout.ITEM_CHECKS, "ptr"), "slow")
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
