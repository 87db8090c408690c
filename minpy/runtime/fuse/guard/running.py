"""What is done: arrays and indices are made, the loop nest runs, results are handed over."""

from __future__ import annotations

from minpy.runtime.fuse.guard import layout
from minpy.runtime.fuse.guard.writing import Writer, let_go


def run(w: Writer, site: str, g: str, following_geometry: str) -> None:
    """Make new arrays and the results, run the code, and hand the results over."""
    fresh = w.at(g, layout.FRESH_AT, "ptr")
    _keys(w, site, g)
    index, following, end = w.loop(w.at(g, layout.FILLS))
    item = w.new(
        f"getelementptr i64, ptr {w.at(g, layout.FILLS_AT, 'ptr')}, i64 {w.new(f'mul i64 {index}, 2')}"
    )
    w.put("%w", w.at(item, 0), w.at("%operands", w.at(item, 1)))
    w.close(following, end)
    index, following, end = w.loop(w.at(g, layout.FRESH))
    item = w.new(f"getelementptr i64, ptr {fresh}, i64 {w.new(f'mul i64 {index}, 2')}")
    array = w.call("PyObject_Call", w.at(g, layout.EMPTY, "ptr"), w.at(item, 1, "ptr"), "null")
    w.unless(w.new(f"icmp ne ptr {array}, null"), "undo")
    w.put("%w", w.at(item, 0), array, "ptr")
    w.do(f"store i64 {w.new(f'add i64 {index}, 1')}, ptr %made, align 8")
    w.close(following, end)
    results = w.at(g, layout.RESULTS_AT, "ptr")
    index, following, end = w.loop(w.at(g, layout.RESULTS))
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
    code = w.at(g, layout.CODE, "ptr")
    long, short, done = (w.fresh(each) for each in ("long", "short", "done"))
    w.do(f"br i1 {w.new(f'icmp ne i64 {w.at(g, layout.LONG)}, 0')}, label %{long}, label %{short}")
    w.label(long)
    thread = w.call("PyEval_SaveThread")
    _call_code(w, g, code)
    w.call("PyEval_RestoreThread", thread)
    w.do(f"br label %{done}")
    w.label(short)
    _call_code(w, g, code)
    w.do(f"br label %{done}")
    w.label(done)
    reported = w.new(f"and i64 {w.new('load i64, ptr %found, align 8')}, {w.at(g, layout.REPORTED)}")
    fine, not_fine = w.fresh("fine"), w.fresh("notfine")
    w.do(f"br i1 {w.same(reported, '0', 'i64')}, label %{fine}, label %{not_fine}")
    w.label(not_fine)
    _move(w, g, layout.BACK, layout.BACK_AT)
    w.do("br label %undo")
    w.label(fine)
    _move(w, g, layout.MOVES, layout.MOVES_AT)
    ready = w.new("load i64, ptr %ready, align 8")
    index, following, end = w.loop(ready)
    # The first one is taken first: from the end of the list.
    last = w.new(f"sub i64 {w.new(f'sub i64 {ready}, 1')}, {index}")
    result = w.at("%results", last, "ptr")
    w.call("PyList_Append", "%list", result)
    w.call("Py_DecRef", result)
    w.close(following, end)
    _drop(w, fresh)
    hits = w.new(f"add i64 {w.at(site, layout.HITS)}, 1")
    w.put(site, layout.HITS, hits)
    let_go(w)
    true = w.at(site, layout.TRUE, "ptr")
    w.call("Py_IncRef", true)
    w.do(f"ret ptr {true}")
    w.label("undo")
    w.call("PyErr_Clear")
    index, following, end = w.loop(w.new("load i64, ptr %ready, align 8"))
    w.call("Py_DecRef", w.at("%results", index, "ptr"))
    w.close(following, end)
    _drop(w, fresh)
    let_go(w)
    false = w.at(site, layout.FALSE, "ptr")
    w.call("Py_IncRef", false)
    w.do(f"ret ptr {false}")


def _call_code(w: Writer, g: str, code: str) -> None:
    """Run the loop nest, for the first part and for further ones."""
    w.do(f"store i64 {w.new(f'call i64 {code}(ptr %w)')}, ptr %found, align 8")
    index, following, end = w.loop(w.at(g, layout.PARTS))
    w.put("%w", 0, w.at(w.at(g, layout.PARTS_AT, "ptr"), index))
    found = w.new(f"call i64 {code}(ptr %w)")
    before = w.new("load i64, ptr %found, align 8")
    w.do(f"store i64 {w.new(f'or i64 {found}, {before}')}, ptr %found, align 8")
    w.close(following, end)


def _move(w: Writer, g: str, count: int, items: int) -> None:
    """Copy new arrays to where they belong. Nothing can be wrong with that; if it is, it is passed over."""
    index, following, end = w.loop(w.at(g, count))
    item = w.new(f"getelementptr i64, ptr {w.at(g, items, 'ptr')}, i64 {w.new(f'mul i64 {index}, 3')}")
    base, key = w.at("%operands", w.at(item, 1), "ptr"), _key(w, item, 2)
    view = w.call("PyObject_GetItem", base, key)
    w.unless(w.new(f"icmp ne ptr {view}, null"), following)
    w.put("%pair", 0, view, "ptr")
    w.put("%pair", 1, w.at("%w", w.at(item, 0), "ptr"), "ptr")
    answer = w.call("PyObject_VectorcallDict", w.at(g, layout.MOVE, "ptr"), "%pair", "2", "null")
    w.call("Py_DecRef", view)
    w.unless(w.new(f"icmp ne ptr {answer}, null"), following)
    w.call("Py_DecRef", answer)
    w.close(following, end)


def _keys(w: Writer, site: str, g: str) -> None:
    """Make the indices that numbers are in which move slices; they are known by numbers from 1."""
    count, following, end = w.loop(w.at(g, layout.KEYS))
    row = w.row(w.at(g, layout.KEYS_AT, "ptr"), count, 2)
    parts, first = w.at(row, 0), w.at(row, 1, "ptr")
    number = w.new(f"add i64 {count}, 1")
    only, several = w.fresh("only"), w.fresh("several")
    w.do(f"br i1 {w.same(parts, str(layout.ONLY), 'i64')}, label %{only}, label %{several}")
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
    made = _part(w, site, w.row(first, index, layout.PART))
    w.call("PyTuple_SetItem", tuple_, index, made)
    w.close(following_part, end_of_parts)
    w.do(f"br label %{following}")
    w.label(end)


def _part(w: Writer, site: str, row: str) -> str:
    """One part of an index, as an object of our own."""
    slot = w.fresh("%slot")
    w.lines.insert(1, f"  {slot} = alloca ptr, align 8")
    constant, number, slice_, done = (w.fresh(each) for each in ("constant", "number", "slice", "made"))
    w.do(
        f"switch i64 {w.at(row, 0)}, label %{constant} "
        f"[i64 {layout.PART_NUMBER}, label %{number} i64 {layout.PART_SLICE}, label %{slice_}]"
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
    for at in (2, 2 + layout.FORM + 1):
        # A number in any case, so that there is something to give back.
        ends.append((w.call("PyLong_FromLongLong", w.form(row, at)), w.at(row, at + layout.FORM)))
    missing = [w.new(f"icmp eq ptr {each}, null") for each, _ in ends]
    w.unless(w.new(f"xor i1 {w.new(f'or i1 {missing[0]}, {missing[1]}')}, true"), "undo")
    none = w.at(site, layout.NONE, "ptr")
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


def _key(w: Writer, row: str, at: int) -> str:
    """An index that a row names: an object, or the number of one that was made."""
    word = w.at(row, at)
    is_number = w.new(f"icmp ule i64 {word}, {layout.MOST_KEYS}")
    place = w.new(f"select i1 {is_number}, i64 {word}, i64 0")
    return w.new(f"select i1 {is_number}, ptr {w.at('%keys', place, 'ptr')}, ptr {w.at(row, at, 'ptr')}")


def _drop(w: Writer, fresh: str) -> None:
    """Give back new arrays and indices."""
    index, following, end = w.loop(w.new("load i64, ptr %keyed, align 8"))
    w.call("Py_DecRef", w.at("%keys", w.new(f"add i64 {index}, 1"), "ptr"))
    w.close(following, end)
    index, following, end = w.loop(w.new("load i64, ptr %made, align 8"))
    item = w.new(f"getelementptr i64, ptr {fresh}, i64 {w.new(f'mul i64 {index}, 2')}")
    w.call("Py_DecRef", w.at("%w", w.at(item, 0), "ptr"))
    w.close(following, end)
