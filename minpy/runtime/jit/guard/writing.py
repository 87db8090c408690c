"""Writes the guard's functions: words, objects of Python and NumPy, calls of their functions, loops."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from minpy.runtime.jit.ir import Writer

# Where things stand in NumPy's and Python's objects (`shortcut` makes sure of it).
TYPE, VALUE = 8, 16
DATA, NDIM, DIMENSIONS, STRIDES, BASE, DTYPE, FLAGS = 16, 24, 32, 40, 48, 56, 64
IN_ORDER, ALIGNED, WRITEABLE = 3, 0x100, 0x400

FUNCTIONS: dict[str, tuple[str, str]] = {
    "PyBytes_AsString": ("ptr", "ptr"),
    "PyBytes_Size": ("i64", "ptr"),
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
    "PySequence_Size": ("i64", "ptr"),
    "PyThreadState_GetDict": ("ptr", ""),
    "PyTuple_GetItem": ("ptr", "ptr, i64"),
    "PyType_GenericAlloc": ("ptr", "ptr, i64"),
    "PyUnicode_AsUCS4": ("ptr", "ptr, ptr, i64, i32"),
    "PyUnicode_FromOrdinal": ("ptr", "i32"),
    "Py_DecRef": ("void", "ptr"),
    "Py_IncRef": ("void", "ptr"),
    "_PyType_Lookup": ("ptr", "ptr, ptr"),
}
# NumPy's functions, by their places in the table of its C interface.
NUMPY = {"NewFromDescr": 94, "SetBaseObject": 282}
NUMPY_KINDS = {
    "NewFromDescr": ("ptr", "ptr, ptr, i32, ptr, ptr, ptr, i32, ptr"),
    "SetBaseObject": ("i32", "ptr, ptr"),
}
LIBRARY = {
    "malloc": ("ptr", "i64"),
    "free": ("void", "ptr"),
    "clock_gettime": ("i32", "i32, ptr"),
}


class Text(Writer):
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
        kind, kinds = (FUNCTIONS | NUMPY_KINDS | LIBRARY)[name]
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
