"""Loops over elements that threads share (see `crew`): each becomes a function of its own, of some of the indices.

`nests` marks them in the text of the compiled loop, where no round reads or stores what another one stores. Here, when
the text is complete, a marked part is moved into a function if it can be: all that it jumps to lies in it, of the
variables around it it only reads, and it calls nothing but functions of numbers. What it needs of the names around it
it finds in words, in the order in which it needs them. Another part stays where it is, and runs on one thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from minpy.runtime.jit import crew

_NAME = re.compile(r"%[\w.]+")
_LABELS = re.compile(r"label %([\w.]+)")
_RESULT = re.compile(r"\s*(%[\w.]+) = (.*)")
_LOAD = re.compile(r"\s*%[\w.]+ = load (\S+|\{.*?\}|<.*?>|\[.*?\]), ptr (%[\w.]+)(, .*)?$")
_ACCESS = re.compile(r"\s*(?:%[\w.]+ = load|store) (double|float|i8|i16|i32|i64)\b.*access.group")
_STEP = re.compile(r"\s*(%[\w.]+) = getelementptr \S+, ptr (%[\w.]+), i64 \S+$")
_ALLOCA = re.compile(r"\s*(%[\w.]+) = alloca (.*)")
_CALL = re.compile(r"\bcall\b[^@]*@([\w.]+)\(")
_TYPE = re.compile(r"(?:<\d+ x \w+>|\{[^{}]*\}|\[[^\[\]]*\]|i\d+|double|float|ptr)(?= |,|$)")
_SAYS = frozenset(
    "nuw nsw exact disjoint fast nnan ninf nsz arcp contract afn reassoc tail notail inbounds volatile".split()
)
_CASTS = frozenset(
    "zext sext trunc bitcast sitofp uitofp fptosi fptoui fpext fptrunc inttoptr ptrtoint".split()
)
_PLAIN = frozenset(
    "add sub mul sdiv udiv srem urem shl lshr ashr and or xor fadd fsub fmul fdiv frem fneg freeze phi load".split()
)
_BEGIN, _END = "  ; share ", "  ; shared "
_HEAVY = 6  # what one of NumPy's loops for `exp` and its like takes longer
_LIGHT = 4  # operations that take no longer than their operands' way from memory


class Axis(NamedTuple):
    """An axis whose indices may be shared: its extent, the names of the first index and of the one past the last."""

    extent: str
    first: str
    last: str


def begin(number: int, flag: str, axes: Iterable[Axis], rest: Iterable[str]) -> str:
    """The mark before a part; `flag` is where it says that all was fine, and `rest` has the other axes' extents."""
    return f"{_BEGIN}{number} {flag} {' '.join(':'.join(axis) for axis in axes)} | {' '.join(rest)}"


def end(number: int) -> str:
    """The mark after a part."""
    return f"{_END}{number}"


class Parts:
    """The text of a compiled loop, and the functions that come out of it."""

    def __init__(self, allocas: list[str], before: list[str], lines: list[str], attributes: str) -> None:
        self.functions: list[str] = []
        self.allocas, self._attributes = allocas, attributes
        self._types: dict[str, str] = {}  # found when the first part is met
        self._places = {match[1]: match[2] for match in map(_ALLOCA.match, allocas) if match}
        self._before = before
        self._all = lines
        self.lines = list(self._rewritten(lines)) if any(map(_is_mark, lines)) else lines

    def _rewritten(self, lines: list[str]) -> Iterator[str]:
        at = 0
        while at < len(lines):
            line = lines[at]
            if not line.startswith(_BEGIN):
                yield line
                at += 1
                continue
            number, flag, text = line[len(_BEGIN) :].split(" ", 2)
            marked, rest = text.split(" |")
            axes = [Axis(*each.split(":")) for each in marked.split()]
            past = lines.index(end(int(number)), at)
            part = lines[at + 1 : past]
            yield from self._moved(number, flag, axes, rest.split(), part) or _kept(axes, part)
            at = past + 1

    def _moved(
        self, number: str, flag: str, axes: list[Axis], rest: list[str], part: list[str]
    ) -> list[str] | None:
        """What stands in the place of a part that has become a function; None if it cannot become one."""
        text = "\n".join(part)
        labels = {line[:-1] for line in part if line.endswith(":")}
        if "  ret " in text or not set(_LABELS.findall(text)) <= labels:
            return None
        if not all(map(_is_of_numbers, _CALL.findall(text))):
            return None
        own = {match[1] for match in map(_RESULT.match, part) if match}
        limits = {name for axis in axes for name in axis[1:]}
        names = dict.fromkeys(_NAME.findall(_LABELS.sub("", text)))
        mentioned = [name for name in names if name not in own and name not in limits and name != flag]
        inner, read, given = [], [], []
        for name in [*mentioned, *(axis.extent for axis in axes if axis.extent.startswith("%"))]:
            if name not in self._places:
                given.append(name)
            elif self._is_inner(name, text):
                inner.append(name)
            elif _is_read(name, part):
                read.append(name)
            elif _is_table(name, part):
                given.append(name)
            else:
                return None
        given = list(dict.fromkeys(given))
        self._find_types()
        if not all(name in self._types for name in given):
            return None
        types = [self._types[name] for name in given] + [self._places[name] for name in read]
        mark = f"%share{number}"
        fields = f"{{{', '.join(types)}}}"
        # The function.
        body = []
        for k, (name, type_) in enumerate(zip(given + read, types, strict=True)):
            body.append(f"  {mark}.p{k} = getelementptr {fields}, ptr {mark}.words, i32 0, i32 {k}")
            into = name if name in given else f"{mark}.v{k}"
            body.append(f"  {into} = load {type_}, ptr {mark}.p{k}")
            if name in read:
                body.append(f"  store {type_} {into}, ptr {name}")
        body += _limits(mark, axes)
        places = [f"  {name} = alloca {self._places[name]}" for name in inner + read]
        self.functions.append(
            "\n".join(
                [
                    f"define internal i64 @part{number}(ptr noalias {mark}.words, i64 {mark}.first, i64 {mark}.last)"
                    f" {self._attributes}{{",
                    "entry:",
                    *places,
                    f"  {flag} = alloca i1",
                    f"  store i1 true, ptr {flag}",
                    *body,
                    *part,
                    f"  {mark}.all = load i1, ptr {flag}",
                    f"  {mark}.result = zext i1 {mark}.all to i64",
                    f"  ret i64 {mark}.result",
                    "}",
                ]
            )
        )
        # The call.
        self.allocas.append(f"  {mark}.words = alloca {fields}")
        call = []
        for k, (name, type_) in enumerate(zip(given + read, types, strict=True)):
            value = name
            if name in read:
                value = f"{mark}.r{k}"
                call.append(f"  {value} = load {type_}, ptr {name}")
            call.append(f"  {mark}.q{k} = getelementptr {fields}, ptr {mark}.words, i32 0, i32 {k}")
            call.append(f"  store {type_} {value}, ptr {mark}.q{k}")
        weight = _bytes(part) * _operations(part)
        return call + _call(number, mark, flag, axes, rest, weight)

    def _is_inner(self, name: str, text: str) -> bool:
        """Whether nothing outside a part mentions a variable."""
        pattern = re.compile(re.escape(name) + r"(?![\w.])")
        everywhere = sum(len(pattern.findall(line)) for line in (*self._before, *self._all))
        return everywhere == len(pattern.findall(text))

    def _find_types(self) -> None:
        if not self._types:
            self._types = dict.fromkeys(("%words", *self._places), "ptr")
            for line in (*self._before, *self._all):
                if match := _RESULT.match(line):
                    if type_ := _type_of(match[2]):
                        self._types[match[1]] = type_


def _is_of_numbers(name: str) -> bool:
    """Whether a function does nothing but compute: LLVM's own, but for those of the flags, and NumPy's loops."""
    return (name.startswith("llvm.") and "mxcsr" not in name) or name.startswith(("at_map_", "at_reduce_"))


def _is_mark(line: str) -> bool:
    return line.startswith(_BEGIN)


def _kept(axes: list[Axis], part: list[str]) -> list[str]:
    """A part as it is, for all indices."""
    limits = {name: value for axis in axes for name, value in ((axis.first, "0"), (axis.last, axis.extent))}
    return [_NAME.sub(lambda match: limits.get(match[0], match[0]), line) for line in part]


def _bytes(part: list[str]) -> int:
    """How large the largest elements are that a part loads or stores."""
    kinds = {match[1] for match in map(_ACCESS.match, part) if match}
    return max(
        ({"double": 8, "float": 4, "ptr": 8}.get(kind) or int(kind[1:]) // 8 for kind in kinds), default=8
    )


def _operations(part: list[str]) -> int:
    """How long an element takes: 1 is the time that it takes to come from memory."""
    heavy = sum("call void @at_map_" in line for line in part)
    return 1 + sum(" = f" in line or "call" in line for line in part) // _LIGHT + _HEAVY * heavy


def _is_read(name: str, part: list[str]) -> bool:
    """Whether a part does nothing to a variable but to load it as a whole."""
    for line in part:
        if name in _NAME.findall(line):
            match = _LOAD.match(line)
            if match is None or match[2] != name:
                return False
    return True


def _is_table(name: str, part: list[str]) -> bool:
    """Whether a part only loads what lies in a variable, or tells a loop of NumPy's where it is."""
    for line in part:
        if name in _NAME.findall(line):
            if line.startswith(f"  store ptr {name}, ptr %"):
                continue
            match = _STEP.match(line)
            if match is None or match[2] != name or not _is_read(match[1], _without(match[1], part)):
                return False
    return True


def _without(name: str, part: list[str]) -> list[str]:
    return [line for line in part if not line.lstrip().startswith(f"{name} =")]


def _type_of(instruction: str) -> str:
    """The type of what an instruction gives; nothing if that is not known."""
    word, _, rest = instruction.partition(" ")
    if word in ("getelementptr", "alloca"):
        return "ptr"
    if word in _CASTS:
        return rest.rpartition(" to ")[2].split(",")[0].strip()
    if word in ("icmp", "fcmp"):
        found = _TYPE.search(rest)
        if found is None:
            return ""
        return re.sub(r" x \w+>", " x i1>", found[0]) if found[0].startswith("<") else "i1"
    if word == "select":
        found = _TYPE.search(rest, rest.index(",") + 2)
        return found[0] if found else ""
    if word == "call":
        return rest.split("@")[0].split(" asm ")[0].strip()
    if word == "extractelement":
        found = re.match(r"<\d+ x (\w+)>", rest)
        return found[1] if found else ""
    if word == "insertelement":
        found = _TYPE.match(rest)
        return found[0] if found else ""
    if word == "extractvalue":
        found = re.match(r"\{([^{}]*)\} .*, (\d+)$", rest)
        return found[1].split(",")[int(found[2])].strip() if found else ""
    if word in _PLAIN:
        words = rest
        while words.split(" ", 1)[0] in _SAYS:
            words = words.split(" ", 1)[1]
        found = _TYPE.match(words)
        return found[0] if found else ""
    return ""


def _limits(mark: str, axes: list[Axis]) -> list[str]:
    """In the function: the first of the axes with more than one index is cut, the others are gone through."""
    text = []
    free = "true"
    for k, (extent, first, last) in enumerate(axes):
        if k == len(axes) - 1:
            text.append(f"  {mark}.cut{k} = and i1 {free}, true")
        else:
            text.append(f"  {mark}.many{k} = icmp sgt i64 {extent}, 1")
            text.append(f"  {mark}.cut{k} = and i1 {free}, {mark}.many{k}")
        text.append(f"  {first} = select i1 {mark}.cut{k}, i64 {mark}.first, i64 0")
        text.append(f"  {last} = select i1 {mark}.cut{k}, i64 {mark}.last, i64 {extent}")
        text.append(f"  {mark}.not{k} = xor i1 {mark}.cut{k}, true")
        text.append(f"  {mark}.free{k} = and i1 {free}, {mark}.not{k}")
        free = f"{mark}.free{k}"
    return text


def _call(number: str, mark: str, flag: str, axes: list[Axis], rest: list[str], weight: int) -> list[str]:
    """Where the part was: the number of indices to be shared, that of elements, and what became of them."""
    text, n = [], axes[-1].extent
    for k, axis in reversed(list(enumerate(axes[:-1]))):
        text.append(f"  {mark}.more{k} = icmp sgt i64 {axis.extent}, 1")
        text.append(f"  {mark}.n{k} = select i1 {mark}.more{k}, i64 {axis.extent}, i64 {n}")
        n = f"{mark}.n{k}"
    size = str(weight)
    for k, extent in enumerate([*(axis.extent for axis in axes), *rest]):
        text.append(f"  {mark}.size{k} = mul i64 {size}, {extent}")
        size = f"{mark}.size{k}"
    text.append(f"  {mark}.work = lshr i64 {size}, 3")
    return [
        *text,
        f"  {mark}.got = call i64 @{crew.SYMBOL}(ptr @part{number}, ptr {mark}.words, i64 {n}, i64 {mark}.work)",
        f"  {mark}.fine = icmp ne i64 {mark}.got, 0",
        f"  {mark}.before = load i1, ptr {flag}",
        f"  {mark}.both = and i1 {mark}.before, {mark}.fine",
        f"  store i1 {mark}.both, ptr {flag}",
    ]
