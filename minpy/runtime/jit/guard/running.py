"""The function that Python calls: it looks, runs a kernel a few rounds at a time, and sets the variables."""

from __future__ import annotations

from minpy.runtime.jit.buffers import IDENT, SMALLEST
from minpy.runtime.jit.exchange import BUFFERS, FIRST, LAST, START, STEP, STOPPED
from minpy.runtime.jit.guard import layout
from minpy.runtime.jit.guard.looking import BOUND
from minpy.runtime.jit.guard.setting import owner_of
from minpy.runtime.jit.guard.writing import DATA, DIMENSIONS, FLAGS, IN_ORDER, NDIM, TYPE, WRITEABLE, Text
from minpy.runtime.jit.ir import double
from minpy.runtime.jit.kinds import CODES
from minpy.runtime.jit.lower import BROKE, ENDED, INTERRUPTED
from minpy.runtime.jit.trial import GAIN, LOSS, WORST

_FAR = 1 << 60
# Nanoseconds that a loop runs before Python looks at the program.
LONGEST = 30_000_000
_FIRST = 1e6  # nanoseconds that its first call of the kernel is to take, by what is known of it
_GROWTH = 16  # of the number of rounds from one call of the kernel to the next
_AN_ENTRY = 500  # nanoseconds that the short way takes
_LOOKED_AT = 63  # of so many runs that are too short one is looked at
MONOTONIC = 1  # the clock


def kernel(w: Text) -> str:
    """The function that Python calls."""
    words, kept = (w.alloca(f"[{layout.MOST_WORDS} x i64]", each) for each in ("words", "kept"))
    objects = w.alloca(f"[{layout.MOST_OBJECTS} x ptr]", "objects")
    found, room = w.alloca("[3 x i64]", "found"), w.alloca(f"[{layout.ROOM} x i64]", "room")
    position, answer, block, chunk, spent = (
        w.alloca("i64", each) for each in ("position", "answer", "block", "chunk", "spent")
    )
    site = w.field("%self", DATA, "ptr")
    for index in range(3):
        w.set(found, index, 0)
    w.put(f"store i64 0, ptr {position}")
    what = w.at(site, layout.WHAT)
    w.unless(w.same(what, layout.RANGE, "i64"), "counted")
    w.unless(w.op(f"call i1 @range(ptr {site}, ptr %args, i64 %nargs, ptr {found})"), "slow")
    w.unless(w.op(f"icmp sge i64 {w.at(found, 2)}, {w.at(site, layout.FEWEST)}"), "short")
    w.jump("counted")
    w.place("short")
    skipped = w.op(f"add i64 {w.at(site, layout.SKIPPED)}, 1")
    w.set(site, layout.SKIPPED, skipped)
    w.unless(w.op(f"icmp ne i64 {w.op(f'and i64 {skipped}, {_LOOKED_AT}')}, 0"), "slow")
    w.give(w.outside("PyObject_VectorcallDict", w.at(site, layout.PLAIN, "ptr"), "%args", "%nargs", "null"))
    w.place("counted")
    w.unless(w.op(f"icmp ule i64 %nargs, {layout.MOST_ARGUMENTS}"), "slow")
    w.unless(w.op(f"call i1 @usual(ptr {site})"), "slow")
    w.unless(w.op(f"fcmp oge double {w.at(site, layout.BALANCE, 'double')}, {double(-1e9 * LOSS)}"), "slow")
    frame = w.outside("PyEval_GetFrame")
    w.unless(w.op(f"icmp ne ptr {frame}, null"), "slow")
    modules = w.outside("PyEval_GetGlobals")
    code = w.outside("PyFrame_GetCode", frame)
    w.outside("Py_DecRef", code)  # the frame has it
    through = w.at(site, layout.FRAME)
    inner = w.alloca("ptr", "inner")
    w.put(f"store ptr {frame}, ptr {inner}")
    w.when(w.same(through, 0, "i64"), "direct")
    w.put(f"store ptr {w.field(frame, through, 'ptr')}, ptr {inner}")
    w.place("direct")
    start = w.op(f"load ptr, ptr {inner}")
    fast = w.op(f"getelementptr i8, ptr {start}, i64 {w.at(site, layout.LOCALS)}")
    with w.loop(w.at(site, layout.COUNT)) as (number, following):
        plan = w.at(site, w.op(f"add i64 {number}, {layout.PLANS}"), "ptr")
        w.unless(w.same(code, w.at(plan, layout.CODE, "ptr")), following)
        w.unless(w.op(f"icmp slt i64 {w.at(plan, layout.TOOK)}, {w.at(plan, layout.LIMIT)}"), "slow")
        size = w.op(f"mul i64 {w.at(plan, layout.WORDS)}, 8")
        template = w.at(plan, layout.TEMPLATE, "ptr")
        w.put(f"call void @llvm.memcpy.p0.p0.i64(ptr {words}, ptr {template}, i64 {size}, i1 false)")
        taken = w.op(
            f"call i1 @take(ptr {site}, ptr {plan}, ptr %args, i64 %nargs, ptr {fast}, ptr {modules}, "
            f"ptr {objects}, ptr {words}, ptr {room})"
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
    w.give(w.outside("PyObject_VectorcallDict", w.at(site, layout.SLOW, "ptr"), "%args", "%nargs", "null"))
    w.allocas.append("  %wentwell = alloca i1")
    return w.function("ptr @kernel(ptr %self, ptr %args, i64 %nargs)")


def _begin(w: Text, site: str, plan: str, what: str, words: str, objects: str, found: str) -> None:
    """How many rounds there are, and where they begin; what else must be so."""
    labels = {each: w.fresh("what") for each in (layout.ELEMENTS, layout.ENUMERATE, layout.ZIP, layout.WHILE)}
    known, least = w.fresh("known"), w.fresh("least")
    w.choose(what, labels, known)
    w.place(labels[layout.WHILE])
    w.set(found, 2, _FAR)
    w.jump(known)
    w.place(labels[layout.ENUMERATE])
    w.unless(w.same("%nargs", 2, "i64"), least)
    number = w.at("%args", 1, "ptr")
    integer = w.at(w.at(site, layout.TYPES, "ptr"), CODES["int"], "ptr")
    w.unless(w.same(w.field(number, TYPE, "ptr"), integer), "slow")
    over = w.alloca("i32", "over")
    begin = w.outside("PyLong_AsLongLongAndOverflow", number, over)
    w.unless(w.same(w.op(f"load i32, ptr {over}"), 0, "i32"), "slow")
    w.unless(w.op(f"icmp slt i64 {begin}, {BOUND}"), "slow")
    w.unless(w.op(f"icmp sgt i64 {begin}, {-BOUND}"), "slow")
    w.set(found, 0, begin)
    w.jump(least)
    w.place(labels[layout.ZIP])
    w.jump(least)
    w.place(labels[layout.ELEMENTS])
    w.jump(least)
    w.place(least)
    w.set(found, 2, _FAR)
    with w.loop(w.at(plan, layout.AXES)) as (index, following):
        size = w.at(w.spot(words, w.at(w.at(plan, layout.AXES_AT, "ptr"), index)), 3)
        w.unless(w.op(f"icmp slt i64 {size}, {w.at(found, 2)}"), following)
        w.set(found, 2, size)
    w.jump(known)
    w.place(known)
    w.set(words, START, w.at(found, 0))
    w.set(words, STEP, w.at(found, 1))
    # Of a view that will be handed over the memory must be that of one array without gaps.
    with w.loop(w.at(plan, layout.OWNED)) as (index, _):
        array = w.at(objects, w.at(w.at(plan, layout.OWNED_AT, "ptr"), index), "ptr")
        owner = owner_of(w, w.at(site, layout.ARRAY, "ptr"), array)
        flags = w.op(f"and i32 {w.field(owner, FLAGS, 'i32')}, {IN_ORDER}")
        w.unless(w.op(f"icmp ne i32 {flags}, 0"), "slow")
    # Lists that are appended to must be different ones, and none of those that are read.
    with w.loop(w.at(plan, layout.LISTS)) as (index, _):
        items = w.at(plan, layout.LISTS_AT, "ptr")
        mine = w.at(objects, w.at(w.item(items, index, layout.ITEM), 1), "ptr")
        with w.loop(index) as (other, _):
            theirs = w.at(objects, w.at(w.item(items, other, layout.ITEM), 1), "ptr")
            w.unless(w.op(f"icmp ne ptr {mine}, {theirs}"), "slow")
        with w.loop(w.at(plan, layout.ROWS)) as (other, following):
            check = w.at(w.item(w.at(plan, layout.ROWS_AT, "ptr"), other, layout.ROW), 3)
            w.unless(w.same(check, layout.IS_SEQUENCE, "i64"), following)
            w.unless(w.op(f"icmp ne ptr {mine}, {w.at(objects, other, 'ptr')}"), "slow")


def _keep(
    w: Text,
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
    clean = w.op(f"icmp ne i64 {w.at(plan, layout.CLEAN)}, 0")
    with w.loop(w.at(plan, layout.WRITTEN)) as (index, following):
        item = w.item(w.at(plan, layout.WRITTEN_AT, "ptr"), index, layout.ITEM)
        array = w.at(objects, w.at(item, 0), "ptr")
        flags = w.field(array, FLAGS, "i32")
        w.unless(w.op(f"icmp ne i32 {w.op(f'and i32 {flags}, {WRITEABLE}')}, 0"), "slow")
        w.when(clean, following)
        w.unless(w.op(f"icmp ne i32 {w.op(f'and i32 {flags}, {IN_ORDER}')}, 0"), "slow")
        more = w.op(f"call i64 @size(ptr {array}, i64 {w.at(item, 1)})")
        so_far = w.op(f"load i64, ptr {bytes_}")
        w.put(f"store i64 {w.op(f'add i64 {so_far}, {more}')}, ptr {bytes_}")
    copied = w.op(f"load i64, ptr {bytes_}")
    gained = w.op(
        f"fmul double {w.op(f'sitofp i64 {count} to double')}, {w.at(plan, layout.A_ROUND, 'double')}"
    )
    costs = w.op(
        f"fmul double {w.op(f'sitofp i64 {copied} to double')}, {w.at(plan, layout.A_BYTE, 'double')}"
    )
    w.unless(_covers(w, gained, costs, w.at(plan, layout.LEAST, "double")), "slow")
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


def _covers(w: Text, gained: str, costs: str, least: str) -> str:
    total = w.op(f"fadd double {costs}, {least}")
    return w.op(f"fcmp oge double {gained}, {total}")


def _each_held(w: Text, plan: str, objects: str, name: str) -> None:
    """Arrays and lists must live until the end, even if a signal's handler changes the variables."""
    with w.loop(w.at(plan, layout.ROWS)) as (index, following):
        kind = w.at(w.item(w.at(plan, layout.ROWS_AT, "ptr"), index, layout.ROW), 3)
        held = w.op(f"icmp sge i64 {kind}, {layout.IS_LIST}")
        w.unless(w.op(f"and i1 {held}, {w.op(f'icmp sle i64 {kind}, {layout.IS_ARRAY}')}"), following)
        w.outside(name, w.at(objects, index, "ptr"))


def _run(
    w: Text, plan: str, words: str, position: str, answer: str, chunk: str, spent: str, count: str
) -> None:
    """Run the kernel until all rounds are run or it leaves early or the time is up.

    First only as many as earlier ones took a millisecond for: these may be slower.
    """
    kernel = w.at(plan, layout.KERNEL, "ptr")
    ran, took = (w.op(f"sitofp i64 {w.at(plan, word)} to double") for word in (layout.RAN, layout.TOOK))
    rounds = w.op(f"fdiv double {w.op(f'fmul double {ran}, {double(_FIRST)}')}, {took}")
    # Not so where nothing has run yet, which gives NaN, or next to nothing.
    known = w.op(f"fcmp olt double {rounds}, {double(float(_FAR))}")
    known = w.op(f"and i1 {known}, {w.op(f'fcmp oge double {rounds}, {double(1.0)}')}")
    rounds = w.op(f"select i1 {known}, double {rounds}, double {double(1.0)}")
    began = w.op("call i64 @now()")
    w.put(f"store i64 {w.op(f'fptosi double {rounds} to i64')}, ptr {chunk}")
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
    w: Text,
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
    w.unless(w.same(w.at(plan, layout.CLEAN), 0, "i64"), "finish")
    w.place("back")
    memory = w.op(f"load ptr, ptr {block}")
    w.unless(w.op(f"icmp ne ptr {memory}, null"), "restored")
    w.put(f"call void @undo(ptr {plan}, ptr {objects}, ptr {memory}, i1 true)")
    w.jump("restored")
    w.place("restored")
    w.put(f"call void @release(ptr {words})")
    with w.loop(w.at(plan, layout.LISTS)) as (index, _):
        item = w.item(w.at(plan, layout.LISTS_AT, "ptr"), index, layout.ITEM)
        slot = w.at(item, 0)
        log, old = w.spot(words, slot), w.spot(kept, slot)
        for each in (0, 2):  # the memory of the log is there, and empty
            w.set(old, each, w.at(log, each))
    w.put(f"call void @llvm.memcpy.p0.p0.i64(ptr {words}, ptr {kept}, i64 {size}, i1 false)")
    stopped = w.op(f"load i64, ptr {position}")
    w.unless(w.op(f"icmp sgt i64 {stopped}, 0"), "finish")
    # What led there did no harm the first time; what is made in the last round alone may, as another is the last now.
    w.set(words, FIRST, 0)
    w.set(words, LAST, stopped)
    result = w.op(f"call i64 {w.at(plan, layout.KERNEL, 'ptr')}(ptr {words})")
    w.unless(w.op(f"icmp ne i64 {result}, 0"), "finish")
    w.unless(w.op(f"icmp sgt i64 {result}, 0"), "again_interrupted")
    w.put(f"store i64 {w.at(words, STOPPED)}, ptr {position}")
    w.put(f"store i64 {result}, ptr {answer}")
    w.jump("back")
    w.place("again_interrupted")
    w.put(f"store i64 {INTERRUPTED}, ptr {answer}")
    w.jump("finish")


def _count(w: Text, site: str, plan: str, position: str, spent: str, answer: str) -> None:
    """Enter the run, and what it gained in comparison with rounds as written."""
    rounds, took = (w.op(f"load i64, ptr {place}") for place in (position, spent))
    for index, more in ((layout.RAN, rounds), (layout.TOOK, took), (layout.RUNS, "1")):
        w.set(plan, index, w.op(f"add i64 {w.at(plan, index)}, {more}"))
    early = w.op(f"icmp sgt i64 {w.op(f'load i64, ptr {answer}')}, 0")
    way = w.op(f"select i1 {early}, i64 {w.at(site, layout.AN_EXIT)}, i64 {_AN_ENTRY}")
    lost = w.op(f"sitofp i64 {w.op(f'add i64 {took}, {way}')} to double")
    gained = w.op(
        f"fmul double {w.op(f'sitofp i64 {rounds} to double')}, {w.at(plan, layout.A_ROUND, 'double')}"
    )
    gained = w.op(f"fsub double {gained}, {lost}")
    least = double(-1e9 * WORST)
    gained = w.op(f"select i1 {w.op(f'fcmp olt double {gained}, {least}')}, double {least}, double {gained}")
    balance = w.op(f"fadd double {w.at(site, layout.BALANCE, 'double')}, {gained}")
    most = double(1e9 * GAIN)
    too_much = w.op(f"fcmp ogt double {balance}, {most}")
    w.set(site, layout.BALANCE, w.op(f"select i1 {too_much}, double {most}, double {balance}"), "double")


def _hand_over(
    w: Text,
    site: str,
    plan: str,
    number: str,
    fast: str,
    modules: str,
    objects: str,
    words: str,
) -> None:
    """Set the variables: here, or in Python where some hold parts of a new array."""
    with w.loop(w.at(plan, layout.MADE)) as (index, following):
        item = w.item(w.at(plan, layout.MADE_AT, "ptr"), index, layout.ITEM)
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
    result = _call(w, arguments, w.at(site, layout.PARTS, "ptr"), values)
    w.put(f"store i1 {w.op(f'icmp ne ptr {result}, null')}, ptr %wentwell")
    w.unless(w.op(f"icmp ne ptr {result}, null"), "finished")
    w.outside("Py_DecRef", result)
    w.jump("finished")
    w.place("finished")


def _call(w: Text, arguments: str, function: str, numbers: tuple[str, ...], more: str = "0") -> str:
    """Call a Python function with numbers, behind which other arguments may already stand."""
    for index, number in enumerate(numbers):
        w.set(arguments, index, w.outside("PyLong_FromLongLong", number), "ptr")
    count = w.op(f"add i64 {len(numbers)}, {more}")
    result = w.outside("PyObject_VectorcallDict", function, arguments, count, "null")
    for index in range(len(numbers)):
        w.outside("Py_DecRef", w.at(arguments, index, "ptr"))
    return result


def _let_go(w: Text, plan: str, words: str, objects: str, block: str) -> None:
    w.put(f"call void @release(ptr {words})")
    with w.loop(w.at(plan, layout.LISTS)) as (index, _):
        item = w.item(w.at(plan, layout.LISTS_AT, "ptr"), index, layout.ITEM)
        w.outside("free", w.at(w.spot(words, w.at(item, 0)), 0, "ptr"))
    w.outside("free", w.op(f"load ptr, ptr {block}"))
    _each_held(w, plan, objects, "Py_DecRef")


def _answer(w: Text, site: str, number: str, position: str, answer: str, count: str) -> None:
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
    for label, index in ((broke, layout.BROKEN), (all_, layout.OVER)):
        w.place(label)
        value = w.at(site, index, "ptr")
        w.outside("Py_IncRef", value)
        w.give(value)
    w.place(left)
    arguments = w.alloca(f"[{3 + layout.MOST_ARGUMENTS} x ptr]", "arguments")
    with w.loop("%nargs") as (index, _):
        w.set(arguments, w.op(f"add i64 {index}, 3"), w.at("%args", index, "ptr"), "ptr")
    w.give(_call(w, arguments, w.at(site, layout.LEFT, "ptr"), (number, reached, result), "%nargs"))


def now(w: Text) -> str:
    """Nanoseconds."""
    spec = w.alloca("[2 x i64]", "spec")
    w.outside("clock_gettime", str(MONOTONIC), spec)
    seconds = w.op(f"mul i64 {w.at(spec, 0)}, 1000000000")
    w.give(w.op(f"add i64 {seconds}, {w.at(spec, 1)}"), "i64")
    return w.function("internal i64 @now()")


def size(w: Text) -> str:
    """The bytes that an array's elements take."""
    total = w.alloca("i64", "total")
    w.put(f"store i64 %one, ptr {total}")
    sizes = w.field("%array", DIMENSIONS, "ptr")
    with w.loop(w.op(f"sext i32 {w.field('%array', NDIM, 'i32')} to i64")) as (axis, _):
        so_far = w.op(f"load i64, ptr {total}")
        w.put(f"store i64 {w.op(f'mul i64 {so_far}, {w.at(sizes, axis)}')}, ptr {total}")
    w.give(w.op(f"load i64, ptr {total}"), "i64")
    return w.function("internal i64 @size(ptr %array, i64 %one)")


def undo(w: Text) -> str:
    """Copy what is stored into to the block that keeps it (behind the words), or back."""
    place = w.alloca("ptr", "place")
    w.put(f"store ptr %block, ptr {place}")
    with w.loop(w.at("%plan", layout.WRITTEN)) as (index, _):
        item = w.item(w.at("%plan", layout.WRITTEN_AT, "ptr"), index, layout.ITEM)
        array = w.at("%objects", w.at(item, 0), "ptr")
        size = w.op(f"call i64 @size(ptr {array}, i64 {w.at(item, 1)})")
        data, kept = w.field(array, DATA, "ptr"), w.op(f"load ptr, ptr {place}")
        to = w.op(f"select i1 %back, ptr {data}, ptr {kept}")
        source = w.op(f"select i1 %back, ptr {kept}, ptr {data}")
        w.put(f"call void @llvm.memcpy.p0.p0.i64(ptr {to}, ptr {source}, i64 {size}, i1 false)")
        w.put(f"store ptr {w.op(f'getelementptr i8, ptr {kept}, i64 {size}')}, ptr {place}")
    w.put("ret void")
    w.ended = True
    return w.function("internal void @undo(ptr %plan, ptr %objects, ptr %block, i1 %back)")


def release(w: Text) -> str:
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
