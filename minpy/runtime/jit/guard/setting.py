"""What is done with what a kernel computed: objects are made, variables set, lists appended to."""

from __future__ import annotations

from minpy.runtime.jit.buffers import HEADER, SMALLEST
from minpy.runtime.jit.guard import layout
from minpy.runtime.jit.guard.writing import BASE, DATA, FLAGS, TYPE, VALUE, WRITEABLE, Text
from minpy.runtime.jit.kinds import COMPLEX, KIND_OF_CODE


def object_of(w: Text) -> str:
    """A new Python object for a kind's code and the word that the kernel had, which may be a float for any kind."""
    types = w.at("%site", layout.TYPES, "ptr")
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
            yes, no = (
                (layout.TRUE, layout.FALSE) if kind == "bool" else (layout.NUMPY_TRUE, layout.NUMPY_FALSE)
            )
            values = [w.at("%site", each, "ptr") for each in (yes, no)]
            truth = w.op("trunc i64 %bits to i1")
            value = w.op(f"select i1 {truth}, ptr {values[0]}, ptr {values[1]}")
            w.outside("Py_IncRef", value)
            w.give(value)
        else:
            new = w.outside("PyType_GenericAlloc", type_, "0")
            w.unless(w.op(f"icmp ne ptr {new}, null"), "nothing")
            place = w.op(f"getelementptr i8, ptr {new}, i64 {VALUE}")
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


def put(w: Text) -> str:
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


def make(w: Text) -> str:
    """The array for the words of a variable, as `buffers.Objects` makes it; the ones made before are in `%made`."""
    array = w.at("%site", layout.ARRAY, "ptr")
    items, index = w.at("%plan", layout.MADE_AT, "ptr"), "%index"
    item = w.item(items, index, layout.ITEM)
    slot = w.spot("%words", w.at(item, 0))
    ident, owner = w.at(slot, 0), w.at(slot, 2)
    w.unless(w.op(f"icmp slt i64 {ident}, {w.at('%plan', layout.CAME)}"), "other")
    came = w.at("%objects", w.at(w.at("%plan", layout.CAME_AT, "ptr"), ident), "ptr")
    w.outside("Py_IncRef", came)
    w.give(came)
    w.place("other")
    with w.loop(index) as (other, following):
        theirs = w.at("%words", w.at(w.item(items, other, layout.ITEM), 0))
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
        f"call void @llvm.memcpy.p0.p0.i64(ptr {w.field(new, DATA, 'ptr')}, ptr {data}, i64 {size}, i1 false)"
    )
    w.give(new)
    w.place("view")
    came = w.at("%objects", w.at(w.at("%plan", layout.CAME_AT, "ptr"), owner), "ptr")
    flags = w.op(f"and i32 {w.field(came, FLAGS, 'i32')}, {WRITEABLE}")
    steps = w.spot(sizes, ndim)
    place = w.op(f"inttoptr i64 {w.at(slot, 1)} to ptr")
    new = w.outside("NewFromDescr", array, dtype, narrow, sizes, steps, place, flags, "null")
    w.unless(w.op(f"icmp ne ptr {new}, null"), "nothing")
    base = owner_of(w, array, came)
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


def owner_of(w: Text, array: str, value: str) -> str:
    """The array at the end of the chain of those whose memory an array shows."""
    current = w.alloca("ptr", "current")
    w.put(f"store ptr {value}, ptr {current}")
    look, deeper, more, end = (w.fresh(each) for each in ("look", "deeper", "more", "end"))
    w.place(look)
    base = w.field(w.op(f"load ptr, ptr {current}"), BASE, "ptr")
    w.branch(w.op(f"icmp ne ptr {base}, null"), deeper, end)
    w.place(deeper)
    w.branch(w.same(w.field(base, TYPE, "ptr"), array), more, end)
    w.place(more)
    w.put(f"store ptr {base}, ptr {current}")
    w.jump(look)
    w.place(end)
    return w.op(f"load ptr, ptr {current}")


def finish(w: Text) -> str:
    """Set the variables, and append to the lists; whether that went well."""
    made = w.alloca(f"[{layout.MOST_MADE} x ptr]", "made")
    lists = w.at("%plan", layout.LISTS)
    with w.loop(lists) as (index, _):
        item = w.item(w.at("%plan", layout.LISTS_AT, "ptr"), index, layout.ITEM)
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
    with w.loop(w.at("%plan", layout.SCALARS)) as (index, following):
        item = w.item(w.at("%plan", layout.SCALARS_AT, "ptr"), index, layout.ITEM)
        slot = w.spot("%words", w.at(item, 0))
        tag = w.at(slot, 1)
        w.unless(w.op(f"icmp sge i64 {tag}, 0"), following)
        is_float = w.same(w.at(item, 1), layout.REPS["d"], "i64")
        new = w.op(f"call ptr @object_of(ptr %site, i64 {tag}, i64 {w.at(slot, 0)}, i1 {is_float})")
        _put_item(w, item, new)
    arrays = w.at("%plan", layout.MADE)
    with w.loop(arrays) as (index, following):
        w.set(made, index, "null", "ptr")
        item = w.item(w.at("%plan", layout.MADE_AT, "ptr"), index, layout.ITEM)
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


def _put_item(w: Text, item: str, new: str) -> None:
    done = w.op(
        f"call i1 @put(ptr %fast, ptr %globals, i64 {w.at(item, 2)}, ptr {w.at(item, 3, 'ptr')}, ptr {new})"
    )
    w.unless(done, "no")
