"""The text of the doors for small arrays (see `small`): a built-in function, compiled by LLVM.

It asks whether anybody looks at operations and whether the operands are small arrays of the program's or numbers. If
so it calls NumPy's function, or the interpreter's for an operator, as the interpreter would; if not, the dispatcher,
which is Python. Operators count how many of them in a row met nothing large, and tell when these are many. What it
needs to know is in words: those of one door, and those that all doors share.
"""

from __future__ import annotations

# The words of a door. What has more than MOST elements may be work for a device; or than FLAT, if it has no two axes or
# comes with what has not: the product of a matrix and a vector reads each element once.
SHARED, MODE, FUNCTION, EXTRA, SLOW, WRAP, MOST, FLAT = range(8)
# What a door leads to: a function of NumPy's; one that makes arrays out of nothing, large ones of which are handed to
# WRAP; the C function of a binary operator, with a third argument EXTRA; that of a unary one; the type of an object.
CALL, CREATE, BINARY, UNARY, TYPE = range(5)
# The words that are shared. OURS is the class `Array`. Operators count LEFT down to 0, and then call TELL.
QUICK, ARRAY, LIST, TUPLE, OURS, LEFT, TELL, COUNT, KINDS = range(9)
MOST_KINDS = 64

FEW = 4096  # elements: what so few take is less than the launch of a kernel, whatever the card
NEVER = 1 << 48  # more elements than are counted
_ROOM = 4  # times the elements of one operand: what all may have together
_DEEPEST = 3  # lists in lists
PATIENCE = 1000  # operators in a row that met nothing large

_SATURATED = 1 << 31

# How any object is called; Python 3.10 has it in a header only, as it stands here.
CALLED = "declare ptr @minpy_PyObject_Vectorcall(ptr, ptr, i64, ptr)"
CALLED_BY_HAND = """
declare ptr @minpy_PyThreadState_Get()
declare ptr @minpy__PyObject_MakeTpCall(ptr, ptr, ptr, i64, ptr)

define internal ptr @minpy_PyObject_Vectorcall(ptr %called, ptr %args, i64 %nargs, ptr %names) {
  %type = call ptr @field(ptr %called, i64 8)
  %flags = call i64 @word(ptr %type, i64 21)
  %bit = and i64 %flags, 2048
  %has = icmp ne i64 %bit, 0
  br i1 %has, label %offered, label %made
offered:
  %offset = call i64 @word(ptr %type, i64 7)
  %function = call ptr @field(ptr %called, i64 %offset)
  %there = icmp ne ptr %function, null
  br i1 %there, label %direct, label %made
direct:
  %result = call ptr %function(ptr %called, ptr %args, i64 %nargs, ptr %names)
  ret ptr %result
made:
  %thread = call ptr @minpy_PyThreadState_Get()
  %other = call ptr @minpy__PyObject_MakeTpCall(ptr %thread, ptr %called, ptr %args, i64 %nargs, ptr %names)
  ret ptr %other
}
"""

TEXT = f"""
declare void @minpy_Py_DecRef(ptr)
declare void @minpy_Py_IncRef(ptr)

define internal i64 @word(ptr %from, i64 %index) {{
  %at = getelementptr i64, ptr %from, i64 %index
  %word = load i64, ptr %at, align 8
  ret i64 %word
}}

define internal ptr @field(ptr %object, i64 %offset) {{
  %at = getelementptr i8, ptr %object, i64 %offset
  %field = load ptr, ptr %at, align 8
  ret ptr %field
}}

define internal i1 @is(ptr %object, ptr %shared, i64 %kind) {{
  %type = call ptr @field(ptr %object, i64 8)
  %wanted = call i64 @word(ptr %shared, i64 %kind)
  %address = ptrtoint ptr %type to i64
  %same = icmp eq i64 %address, %wanted
  ret i1 %same
}}

define internal i64 @elements(ptr %array) {{
entry:
  %at = getelementptr i8, ptr %array, i64 24
  %axes = load i32, ptr %at, align 4
  %extents = call ptr @field(ptr %array, i64 32)
  br label %head
head:
  %axis = phi i32 [0, %entry], [%next, %body]
  %count = phi i64 [1, %entry], [%product, %body]
  %more = icmp slt i32 %axis, %axes
  br i1 %more, label %body, label %end
body:
  %index = zext i32 %axis to i64
  %extent = call i64 @word(ptr %extents, i64 %index)
  %huge = icmp ugt i64 %extent, {_SATURATED}
  %bounded = select i1 %huge, i64 {_SATURATED}, i64 %extent
  %full = mul i64 %count, %bounded
  %over = icmp ugt i64 %full, {_SATURATED}
  %product = select i1 %over, i64 {_SATURATED}, i64 %full
  %next = add i32 %axis, 1
  br label %head
end:
  ret i64 %count
}}

define internal i1 @flat(ptr %array) {{
  %at = getelementptr i8, ptr %array, i64 24
  %axes = load i32, ptr %at, align 4
  %few = icmp slt i32 %axes, 2
  ret i1 %few
}}

define internal i1 @over(ptr %array, i64 %count, ptr %door, i1 %thin) {{
  %few = call i1 @flat(ptr %array)
  %flat = or i1 %few, %thin
  %which = select i1 %flat, i64 {FLAT}, i64 {MOST}
  %most = call i64 @word(ptr %door, i64 %which)
  %over = icmp ugt i64 %count, %most
  ret i1 %over
}}

define internal i1 @vector(ptr %object, ptr %shared) {{
  %array = call i1 @is(ptr %object, ptr %shared, i64 {ARRAY})
  br i1 %array, label %yes, label %no
yes:
  %flat = call i1 @flat(ptr %object)
  ret i1 %flat
no:
  ret i1 false
}}

define internal i1 @thin(ptr %args, i64 %nargs, ptr %shared, ptr %door) {{
  %most = call i64 @word(ptr %door, i64 {MOST})
  %flat = call i64 @word(ptr %door, i64 {FLAT})
  %matters = icmp ne i64 %most, %flat
  %two = icmp eq i64 %nargs, 2
  %asked = and i1 %matters, %two
  br i1 %asked, label %look, label %no
look:
  %a = load ptr, ptr %args, align 8
  %bat = getelementptr ptr, ptr %args, i64 1
  %b = load ptr, ptr %bat, align 8
  %left = call i1 @vector(ptr %a, ptr %shared)
  %right = call i1 @vector(ptr %b, ptr %shared)
  %either = or i1 %left, %right
  ret i1 %either
no:
  ret i1 false
}}

define internal i1 @large(ptr %object, ptr %shared, ptr %door, i1 %thin) {{
  %array = call i1 @is(ptr %object, ptr %shared, i64 {ARRAY})
  br i1 %array, label %yes, label %no
yes:
  %count = call i64 @elements(ptr %object)
  %large = call i1 @over(ptr %object, i64 %count, ptr %door, i1 %thin)
  ret i1 %large
no:
  ret i1 false
}}

define internal i1 @small(ptr %object, ptr %shared, ptr %door, i1 %thin, ptr %room, i64 %depth) {{
entry:
  %array = call i1 @is(ptr %object, ptr %shared, i64 {ARRAY})
  br i1 %array, label %sized, label %other
sized:
  %count = call i64 @elements(ptr %object)
  %many = call i1 @over(ptr %object, i64 %count, ptr %door, i1 %thin)
  br i1 %many, label %no, label %spend
other:
  %list = call i1 @is(ptr %object, ptr %shared, i64 {LIST})
  %tuple = call i1 @is(ptr %object, ptr %shared, i64 {TUPLE})
  %several = or i1 %list, %tuple
  br i1 %several, label %which, label %alone
alone:
  %kinds = call i64 @word(ptr %shared, i64 {COUNT})
  br label %head
head:
  %k = phi i64 [0, %alone], [%next, %body]
  %more = icmp slt i64 %k, %kinds
  br i1 %more, label %body, label %no
body:
  %place = add i64 %k, {KINDS}
  %known = call i1 @is(ptr %object, ptr %shared, i64 %place)
  %next = add i64 %k, 1
  br i1 %known, label %spend, label %head
which:
  %deep = icmp eq i64 %depth, 0
  br i1 %deep, label %no, label %inner
inner:
  br i1 %list, label %oflist, label %oftuple
oflist:
  %listed = call ptr @field(ptr %object, i64 24)
  br label %items
oftuple:
  %inside = getelementptr i8, ptr %object, i64 24
  br label %items
items:
  %from = phi ptr [%listed, %oflist], [%inside, %oftuple]
  %length = call i64 @word(ptr %object, i64 2)
  %less = sub i64 %depth, 1
  br label %round
round:
  %i = phi i64 [0, %items], [%following, %ok]
  %further = icmp slt i64 %i, %length
  br i1 %further, label %look, label %spend
look:
  %at = getelementptr ptr, ptr %from, i64 %i
  %item = load ptr, ptr %at, align 8
  %fine = call i1 @small(ptr %item, ptr %shared, ptr %door, i1 %thin, ptr %room, i64 %less)
  br i1 %fine, label %ok, label %no
ok:
  %following = add i64 %i, 1
  br label %round
spend:
  %costs = phi i64 [%count, %sized], [1, %body], [1, %round]
  %left = load i64, ptr %room, align 8
  %rest = sub i64 %left, %costs
  store i64 %rest, ptr %room, align 8
  %enough = icmp sge i64 %rest, 0
  ret i1 %enough
no:
  ret i1 false
}}

define ptr @kernel(ptr %self, ptr %args, i64 %nargs, ptr %names) {{
entry:
  %room = alloca i64, align 8
  %result = alloca ptr, align 8
  %door = call ptr @field(ptr %self, i64 16)
  %flat = call i64 @word(ptr %door, i64 {FLAT})
  %together = mul i64 %flat, {_ROOM}
  store i64 %together, ptr %room, align 8
  %shared = call ptr @field(ptr %door, i64 {8 * SHARED})
  %quick = call i64 @word(ptr %shared, i64 {QUICK})
  %asleep = icmp eq i64 %quick, 0
  br i1 %asleep, label %slow, label %awake
awake:
  %mode = call i64 @word(ptr %door, i64 {MODE})
  %function = call ptr @field(ptr %door, i64 {8 * FUNCTION})
  %thin = call i1 @thin(ptr %args, i64 %nargs, ptr %shared, ptr %door)
  %operator = icmp uge i64 %mode, {BINARY}
  br i1 %operator, label %operands, label %arguments

operands:
  %binary = icmp eq i64 %mode, {BINARY}
  %wants = select i1 %binary, i64 2, i64 1
  %right = icmp eq i64 %nargs, %wants
  %named = icmp ne ptr %names, null
  %notnamed = xor i1 %named, true
  %plain = and i1 %right, %notnamed
  br i1 %plain, label %first, label %slow
first:
  %a = load ptr, ptr %args, align 8
  %type = icmp eq i64 %mode, {TYPE}
  br i1 %type, label %kind, label %sized
kind:
  %ours = call i1 @is(ptr %a, ptr %shared, i64 {OURS})
  br i1 %ours, label %slow, label %theirs
theirs:
  %class = call ptr @field(ptr %a, i64 8)
  call void @minpy_Py_IncRef(ptr %class)
  ret ptr %class
sized:
  %alarge = call i1 @large(ptr %a, ptr %shared, ptr %door, i1 %thin)
  br i1 %alarge, label %met, label %one
one:
  br i1 %binary, label %second, label %count
onlyone:
  %negated = call ptr %function(ptr %a)
  ret ptr %negated
second:
  %bat = getelementptr ptr, ptr %args, i64 1
  %b = load ptr, ptr %bat, align 8
  %blarge = call i1 @large(ptr %b, ptr %shared, ptr %door, i1 %thin)
  br i1 %blarge, label %met, label %count
met:
  %again = getelementptr i64, ptr %shared, i64 {LEFT}
  store i64 {PATIENCE}, ptr %again, align 8
  br label %slow
count:
  %leftat = getelementptr i64, ptr %shared, i64 {LEFT}
  %left = load i64, ptr %leftat, align 8
  %over = icmp eq i64 %left, 0
  br i1 %over, label %compute, label %counting
counting:
  %less = sub i64 %left, 1
  store i64 %less, ptr %leftat, align 8
  %last = icmp eq i64 %less, 0
  br i1 %last, label %tell, label %compute
tell:
  %listener = call ptr @field(ptr %shared, i64 {8 * TELL})
  %heard = call ptr @minpy_PyObject_Vectorcall(ptr %listener, ptr null, i64 0, ptr null)
  %failed = icmp eq ptr %heard, null
  br i1 %failed, label %broken, label %told
broken:
  ret ptr null
told:
  call void @minpy_Py_DecRef(ptr %heard)
  br label %compute
compute:
  br i1 %binary, label %pair, label %onlyone
pair:
  %bagain = getelementptr ptr, ptr %args, i64 1
  %other = load ptr, ptr %bagain, align 8
  %extra = call i64 @word(ptr %door, i64 {EXTRA})
  %combined = call ptr %function(ptr %a, ptr %other, i64 %extra)
  ret ptr %combined

arguments:
  %isnamed = icmp ne ptr %names, null
  br i1 %isnamed, label %keywords, label %counted
keywords:
  %keys = call i64 @word(ptr %names, i64 2)
  %all = add i64 %nargs, %keys
  br label %counted
counted:
  %n = phi i64 [%nargs, %arguments], [%all, %keywords]
  br label %head
head:
  %i = phi i64 [0, %counted], [%next, %ok]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %body, label %go
body:
  %at = getelementptr ptr, ptr %args, i64 %i
  %argument = load ptr, ptr %at, align 8
  %fine = call i1 @small(ptr %argument, ptr %shared, ptr %door, i1 %thin, ptr %room, i64 {_DEEPEST})
  br i1 %fine, label %ok, label %slow
ok:
  %next = add i64 %i, 1
  br label %head
go:
  %made = call ptr @minpy_PyObject_Vectorcall(ptr %function, ptr %args, i64 %nargs, ptr %names)
  %creates = icmp eq i64 %mode, {CREATE}
  %there = icmp ne ptr %made, null
  %look = and i1 %creates, %there
  br i1 %look, label %created, label %done
created:
  %big = call i1 @large(ptr %made, ptr %shared, ptr %door, i1 false)
  br i1 %big, label %wrap, label %done
wrap:
  store ptr %made, ptr %result, align 8
  %wrapper = call ptr @field(ptr %door, i64 {8 * WRAP})
  %wrapped = call ptr @minpy_PyObject_Vectorcall(ptr %wrapper, ptr %result, i64 1, ptr null)
  call void @minpy_Py_DecRef(ptr %made)
  ret ptr %wrapped
done:
  ret ptr %made

slow:
  %dispatcher = call ptr @field(ptr %door, i64 {8 * SLOW})
  %answer = call ptr @minpy_PyObject_Vectorcall(ptr %dispatcher, ptr %args, i64 %nargs, ptr %names)
  ret ptr %answer
}}
"""
