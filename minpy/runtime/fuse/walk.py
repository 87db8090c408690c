"""LLVM code that walks the outer axes of arrays: what compiled blocks and compiled reverse passes begin with.

Both find, behind ``%w``, first the address of what is fixed for a geometry (the extents of all axes, then of each array
its offset and its strides), then the arrays.
"""

from __future__ import annotations


class Walk:
    """The lines of a kernel up to its inner loop, in `lines`.

    Parameters
    ----------
    lines : list of str
        Where they go.
    outer : int
        The number of outer axes; the inner one comes after them.
    data : int
        Where an array object keeps the address of its elements.
    """

    def __init__(self, lines: list[str], outer: int, data: int) -> None:
        self.lines, self.outer, self.data = lines, outer, data

    def word(self, name: str, at: int, kind: str = "i64", base: str = "w") -> None:
        """Load the word at a place."""
        self.lines.append(f"  %q{name} = getelementptr i64, ptr %{base}, i64 {at}")
        self.lines.append(f"  %{name} = load {kind}, ptr %q{name}, align 8")

    def load(self, count: int, axes: int) -> None:
        """Load the extents, and of each of `count` arrays where it starts and its strides along the first `axes`."""
        self.word("fixed", 0, "ptr")
        for axis in range(self.outer + 1):
            self.word(f"n{axis}", axis, base="fixed")
        for k in range(count):
            # An array is known by its object, in which the address of its elements stands.
            self.word(f"id{k}", 1 + k, "ptr")
            self.lines.append(f"  %data{k} = getelementptr i8, ptr %id{k}, i64 {self.data}")
            self.lines.append(f"  %start{k} = load ptr, ptr %data{k}, align 8")
            at = self.outer + 1 + (axes + 1) * k
            self.word(f"offset{k}", at, base="fixed")
            self.lines.append(f"  %p{k} = getelementptr i8, ptr %start{k}, i64 %offset{k}")
            for axis in range(axes):
                self.word(f"d{k}_{axis}", at + 1 + axis, base="fixed")

    def enter(self, axis: int, count: int, back: str) -> None:
        """The head of the loop over an outer axis, which is come back to from the block `back`."""
        before = "entry" if not axis else f"h{axis - 1}"
        self.lines.append(f"h{axis}:")
        self.lines.append(f"  %i{axis} = phi i64 [0, %{before}], [%j{axis}, %{back}]")
        for k in range(count):
            outer = f"%p{k}" if not axis else f"%r{k}_{axis - 1}"
            self.lines.append(f"  %m{k}_{axis} = mul i64 %i{axis}, %d{k}_{axis}")
            self.lines.append(f"  %r{k}_{axis} = getelementptr i8, ptr {outer}, i64 %m{k}_{axis}")
