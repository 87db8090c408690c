"""Writes the guard's text: words, objects of Python and NumPy, calls of their functions, loops."""

from __future__ import annotations

# Where things stand in NumPy's and Python's objects.
TYPE, NDIM, DIMENSIONS, STRIDES, DTYPE, FLAGS, VALUE, VERSION = 8, 24, 32, 40, 56, 64, 16, 384

FUNCTIONS: dict[str, tuple[str, str]] = {
    "PyObject_CallNoArgs": ("ptr", "ptr"),
    "PyObject_Call": ("ptr", "ptr, ptr, ptr"),
    "PyObject_GetItem": ("ptr", "ptr, ptr"),
    "PyObject_VectorcallDict": ("ptr", "ptr, ptr, i64, ptr"),  # which Python 3.10 has as well
    "PyObject_GetAttr": ("ptr", "ptr, ptr"),
    "PyDict_GetItem": ("ptr", "ptr, ptr"),
    "PyLong_FromLongLong": ("ptr", "i64"),
    "PySlice_New": ("ptr", "ptr, ptr, ptr"),
    "PyTuple_New": ("ptr", "i64"),
    "PyTuple_GetItem": ("ptr", "ptr, i64"),
    "PyTuple_SetItem": ("i32", "ptr, i64, ptr"),
    "PyThreadState_GetDict": ("ptr", ""),
    "PyList_Append": ("i32", "ptr, ptr"),
    "PyList_GetItem": ("ptr", "ptr, i64"),
    "PyLong_AsLongAndOverflow": ("i64", "ptr, ptr"),
    "PyContextVar_Get": ("i32", "ptr, ptr, ptr"),
    "PyErr_Clear": ("void", ""),
    "PyErr_ExceptionMatches": ("i32", "ptr"),
    "PyEval_SaveThread": ("ptr", ""),
    "PyEval_RestoreThread": ("void", "ptr"),
    "Py_IncRef": ("void", "ptr"),
    "Py_DecRef": ("void", "ptr"),
}


class Writer:
    """Writes instructions, one after the other, and keeps count of registers and labels."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._count = 0

    def new(self, text: str) -> str:
        self._count += 1
        self.lines.append(f"  %r{self._count} = {text}")
        return f"%r{self._count}"

    def do(self, text: str) -> None:
        self.lines.append(f"  {text}")

    def label(self, name: str) -> None:
        self.lines.append(f"{name}:")

    def fresh(self, hint: str) -> str:
        self._count += 1
        return f"{hint}{self._count}"

    def at(self, base: str, index: str | int, kind: str = "i64") -> str:
        """The word with a number, of those that begin at `base`."""
        place = self.new(f"getelementptr i64, ptr {base}, i64 {index}")
        return self.new(f"load {kind}, ptr {place}, align 8")

    def put(self, base: str, index: str | int, value: str, kind: str = "i64") -> None:
        place = self.new(f"getelementptr i64, ptr {base}, i64 {index}")
        self.do(f"store {kind} {value}, ptr {place}, align 8")

    def field(self, base: str, offset: int, kind: str = "i64") -> str:
        """What stands in an object, so many bytes from where it begins."""
        place = self.new(f"getelementptr i8, ptr {base}, i64 {offset}")
        return self.new(f"load {kind}, ptr {place}, align {4 if kind == 'i32' else 8}")

    def call(self, name: str, *arguments: str) -> str:
        kind, kinds = FUNCTIONS[name]
        given = ", ".join(
            f"{kind} {each}" for kind, each in zip(kinds.split(", "), arguments, strict=False) if kind
        )
        text = f"call {kind} @minpy_{name}({given})"
        if kind == "void":
            self.do(text)
            return ""
        return self.new(text)

    def unless(self, condition: str, target: str) -> None:
        """Go to `target` if the condition does not hold."""
        going_on = self.fresh("on")
        self.do(f"br i1 {condition}, label %{going_on}, label %{target}")
        self.label(going_on)

    def row(self, base: str, index: str, width: int) -> str:
        """Where a row of so many words begins."""
        return self.new(f"getelementptr i64, ptr {base}, i64 {self.new(f'mul i64 {index}, {width}')}")

    def form(self, row: str, at: int, constant: bool = True) -> str:
        """The value of a form, of which the words begin at a place of a row."""
        value = self.at(row, at + 4) if constant else "0"
        for k in (0, 2):
            number = self.at("%ints", self.at(row, at + k))
            value = self.new(f"add i64 {value}, {self.new(f'mul i64 {number}, {self.at(row, at + k + 1)}')}")
        return value

    def same(self, a: str, b: str, kind: str = "ptr") -> str:
        return self.new(f"icmp eq {kind} {a}, {b}")

    def loop(self, count: str) -> tuple[str, str, str]:
        """Begin a loop over ``0 … count - 1``; give the index, and the labels of its next round and its end."""
        slot = self.fresh("%slot")
        head, body, following, end = (self.fresh(each) for each in ("head", "body", "following", "end"))
        self.lines.insert(1, f"  {slot} = alloca i64, align 8")
        self.do(f"store i64 0, ptr {slot}, align 8")
        self.do(f"br label %{head}")
        self.label(head)
        index = self.new(f"load i64, ptr {slot}, align 8")
        more = self.new(f"icmp slt i64 {index}, {count}")
        self.do(f"br i1 {more}, label %{body}, label %{end}")
        self.label(following)
        added = self.new(f"add i64 {self.new(f'load i64, ptr {slot}, align 8')}, 1")
        self.do(f"store i64 {added}, ptr {slot}, align 8")
        self.do(f"br label %{head}")
        self.label(body)
        return index, following, end

    def close(self, following: str, end: str) -> None:
        self.do(f"br label %{following}")
        self.label(end)


def let_go(w: Writer) -> None:
    """Give back what chains led to, and what was computed first."""
    index, following, end = w.loop(w.new("load i64, ptr %followed, align 8"))
    w.call("Py_DecRef", w.at("%vals", w.new(f"add i64 {index}, %nargs"), "ptr"))
    w.close(following, end)
    # (Of no object, this does nothing.)
    w.call("Py_DecRef", w.new("load ptr, ptr %first, align 8"))
