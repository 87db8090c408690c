"""LLVM code for ``np.median`` of a vector: its copy is divided again and again, until the middle is found."""

from __future__ import annotations

from typing import Any

from minpy.runtime.jit.ir import double
from minpy.runtime.jit.kinds import Unsupported
from minpy.runtime.jit.numpycalls import NumpyCalls
from minpy.runtime.jit.values import Val, scalar
from minpy.runtime.jit.wholes import kind_of

_NEGATIVE_ZERO = -(2**63)

# Puts the elements of a vector so that what lies before number k is not greater, and what lies behind it not less. An
# element moves without a branch: which way numbers in no order go nobody can foretell. False if it takes long, as it
# may with numbers chosen for that.
TEXT = """
define internal i64 @divide(ptr %x, i64 %lo, i64 %hi, double %pivot, i1 %equal) {
entry:
  br label %head
head:
  %i = phi i64 [ %lo, %entry ], [ %next, %head ]
  %s = phi i64 [ %lo, %entry ], [ %after, %head ]
  %ip = getelementptr double, ptr %x, i64 %i
  %sp = getelementptr double, ptr %x, i64 %s
  %a = load double, ptr %ip
  %b = load double, ptr %sp
  store double %b, ptr %ip
  store double %a, ptr %sp
  %less = fcmp olt double %a, %pivot
  %same = fcmp oeq double %a, %pivot
  %counts = and i1 %same, %equal
  %here = or i1 %less, %counts
  %one = zext i1 %here to i64
  %after = add i64 %s, %one
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %hi
  br i1 %more, label %head, label %out
out:
  ret i64 %after
}

define internal i1 @select_middle(ptr %x, i64 %n, i64 %k) {
entry:
  br label %head
head:
  %lo = phi i64 [ 0, %entry ], [ %lo, %left ], [ %second, %right ]
  %hi = phi i64 [ %n, %entry ], [ %first, %left ], [ %hi, %right ]
  %passes = phi i64 [ 0, %entry ], [ %passed, %left ], [ %passed, %right ]
  %passed = add i64 %passes, 1
  %count = sub i64 %hi, %lo
  %few = icmp sle i64 %count, 1
  br i1 %few, label %done, label %look
look:
  %long = icmp sgt i64 %passes, 200
  br i1 %long, label %fail, label %pick
pick:
  %half = lshr i64 %count, 1
  %mid = add i64 %lo, %half
  %last = sub i64 %hi, 1
  %ap = getelementptr double, ptr %x, i64 %lo
  %bp = getelementptr double, ptr %x, i64 %mid
  %cp = getelementptr double, ptr %x, i64 %last
  %a = load double, ptr %ap
  %b = load double, ptr %bp
  %c = load double, ptr %cp
  %ab = fcmp olt double %a, %b
  %low = select i1 %ab, double %a, double %b
  %high = select i1 %ab, double %b, double %a
  %ch = fcmp olt double %c, %high
  %cut = select i1 %ch, double %c, double %high
  %cl = fcmp olt double %cut, %low
  %pivot = select i1 %cl, double %low, double %cut
  %first = call i64 @divide(ptr %x, i64 %lo, i64 %hi, double %pivot, i1 false)
  %isleft = icmp slt i64 %k, %first
  br i1 %isleft, label %left, label %equals
left:
  br label %head
equals:
  %second = call i64 @divide(ptr %x, i64 %first, i64 %hi, double %pivot, i1 true)
  %found = icmp slt i64 %k, %second
  br i1 %found, label %done, label %right
right:
  br label %head
done:
  ret i1 true
fail:
  ret i1 false
}
"""


class Medians(NumpyCalls):
    """The median of a vector."""

    def __init__(self) -> None:
        super().__init__()
        self.medians = False  # whether the functions above are part of the code

    def median(self, value: Any) -> Val:
        """``np.median`` of a vector of float64."""
        value = self.whole(value)
        if kind_of(value) != "float64" or len(value.dims) != 1:
            raise Unsupported("np.median of this array")
        self.medians = True
        (count,) = value.dims
        self.guard(self.w.op(f"icmp sgt i64 {count}, 0"), "np.median of nothing")
        copy = self.fresh("float64", (count,))

        def put(indices: list[str]) -> None:
            item = self.at(value, indices)
            self.ordered(item.x)
            # Of zeros of both signs NumPy's choice is its own.
            bits = self.w.op(f"bitcast double {item.x} to i64")
            self.guard(self.w.op(f"icmp ne i64 {bits}, {_NEGATIVE_ZERO}"), "np.median of a negative zero")
            self.write(self.item(copy, indices, checked=False), item)

        self.quietly(lambda: self.nest((count,), put))
        middle = self.w.op(f"lshr i64 {count}, 1")
        found = self.w.op(f"call i1 @select_middle(ptr {copy.pointer}, i64 {count}, i64 {middle})")
        self.guard(found, "np.median of numbers that take long to divide")
        upper = self.read(self.item(copy, [middle], checked=False))
        result, lower = self.w.alloca("double", "median"), self.w.alloca("double", "lower")
        self.w.put(f"store double {upper.x}, ptr {result}")
        even, done = self.w.fresh("even"), self.w.fresh("done")
        self.w.branch(self.w.op(f"icmp eq i64 {self.w.op(f'and i64 {count}, 1')}, 0"), even, done)
        self.w.place(even)
        self.w.put(f"store double {double(float('-inf'))}, ptr {lower}")
        k, finish = self._over_elements("0", middle)
        best = self.w.op(f"load double, ptr {lower}")
        x = self.read(self.item(copy, [k], checked=False)).x
        larger = self.w.op(f"fcmp ogt double {x}, {best}")
        self.w.put(f"store double {self.w.op(f'select i1 {larger}, double {x}, double {best}')}, ptr {lower}")
        finish()
        pair = scalar("float64", "d", self.w.op(f"load double, ptr {lower}")), upper
        mean = self.binary("/", self.binary("+", *pair), scalar("float64", "d", double(2.0)))
        self.w.put(f"store double {mean.x}, ptr {result}")
        self.w.place(done)
        return scalar("float64", "d", self.w.op(f"load double, ptr {result}"))
