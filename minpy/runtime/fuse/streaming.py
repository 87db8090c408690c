"""Results that are larger than caches are written past these: what is computed of a short piece is moved from there.

A store of the usual kind reads the line that it writes into. A piece of the result is computed into memory that stays
in the first-level cache, and moved to its place by stores that do not read (x86); what lies before the first whole line
of 64 bytes, and behind the last piece, is stored as ever.
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minpy.runtime.fuse.plan import Plan

LEAST = 16 << 20  # bytes of a result: what is smaller may be in a cache still when it is read
_LEAST_ROW = 2048  # elements
_PIECE = 512
_LINE = 64  # bytes
_IS_KNOWN = platform.machine() in ("x86_64", "AMD64")


def is_large(plan: Plan) -> bool:
    """Whether the only result of a plan, and of all that have its signature, is written past the caches."""
    if not _IS_KNOWN or len(plan.outputs) != 1 or plan.outputs[0].spread:
        return False
    return plan.outputs[0].dtype.itemsize << (plan.size.bit_length() - 1) >= LEAST


def text(parameters: list[str], steps: list[str], itemsize: int) -> str:
    """The function ``@streamed``, which calls ``@row`` for its pieces.

    Parameters
    ----------
    parameters : list of str
        As ``@row`` has them: ``%p0`` is the result, ``%n`` the number of elements.
    steps : list of str
        Of each pointer, by how many bytes it moves from one element to the next.
    """
    kinds = [(each.split()[0], each.split()[-1]) for each in parameters]

    def call(name: str, first: str, count: str, result: str = "") -> list[str]:
        """A call of ``@row`` for elements from `first` on."""
        lines, given = [], []
        for kind, value in kinds:
            if value == "%n":
                value = count
            elif value == "%p0" and result:
                value = result
            elif value[:2] == "%p" and value[2:].isdigit() and first != "0":
                moved = f"%{name}{value[1:]}"
                lines.append(f"  {moved}o = mul i64 {first}, {steps[int(value[2:])]}\n")
                lines.append(f"  {moved} = getelementptr i8, ptr {value}, i64 {moved}o\n")
                value = moved
            given.append(f"{kind} {value}")
        return [*lines, f"  %{name} = call i64 @row({', '.join(given)})\n"]

    return "".join(
        [
            "declare void @llvm.x86.sse.sfence()\n",
            f"define internal i64 @streamed({', '.join(' '.join(each) for each in kinds)}) noinline {{\nentry:\n",
            f"  %room = alloca [{_PIECE * itemsize} x i8], align {_LINE}\n",
            "  %at = ptrtoint ptr %p0 to i64\n  %before = sub i64 0, %at\n",
            f"  %bytes = and i64 %before, {_LINE - 1}\n  %head = udiv i64 %bytes, {itemsize}\n",
            f"  %short = icmp ult i64 %n, {_LEAST_ROW}\n  br i1 %short, label %plain, label %long\nplain:\n",
            *call("whole", "0", "%n"),
            "  ret i64 %whole\nlong:\n",
            "  %aligned = icmp eq i64 %head, 0\n  br i1 %aligned, label %go, label %first\nfirst:\n",
            *call("start", "0", "%head"),
            "  br label %go\ngo:\n  %seen0 = phi i64 [0, %long], [%start, %first]\n  br label %piece\npiece:\n",
            "  %i = phi i64 [%head, %go], [%next, %stored]\n  %seen = phi i64 [%seen0, %go], [%more, %stored]\n",
            f"  %left = sub i64 %n, %i\n  %full = icmp uge i64 %left, {_PIECE}\n",
            "  br i1 %full, label %compute, label %last\ncompute:\n",
            *call("part", "%i", str(_PIECE), "%room"),
            f"  %more = or i64 %seen, %part\n  %to = mul i64 %i, {itemsize}\n",
            "  %place = getelementptr i8, ptr %p0, i64 %to\n  br label %move\nmove:\n",
            "  %j = phi i64 [0, %compute], [%k, %move]\n",
            "  %from = getelementptr <8 x i64>, ptr %room, i64 %j\n",
            f"  %line = load <8 x i64>, ptr %from, align {_LINE}\n",
            "  %into = getelementptr <8 x i64>, ptr %place, i64 %j\n",
            f"  store <8 x i64> %line, ptr %into, align {_LINE}, !nontemporal !1\n  %k = add i64 %j, 1\n",
            f"  %rest = icmp ult i64 %k, {_PIECE * itemsize // _LINE}\n  br i1 %rest, label %move, label %stored\n",
            f"stored:\n  %next = add i64 %i, {_PIECE}\n  br label %piece\nlast:\n",
            "  %done = icmp eq i64 %left, 0\n  br i1 %done, label %end, label %tail\ntail:\n",
            *call("stop", "%i", "%left"),
            "  %behind = or i64 %seen, %stop\n  br label %end\n",
            "end:\n  %all = phi i64 [%seen, %last], [%behind, %tail]\n",
            "  call void @llvm.x86.sse.sfence()\n  ret i64 %all\n}\n!1 = !{i32 1}\n",
        ]
    )
