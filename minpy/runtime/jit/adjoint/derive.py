"""A loop's forward run with a log, and its backward run, as text: two loops of the kind that is compiled.

The forward loop is the program's, and puts on a stack what an assignment overwrites, if the backward one will read it.
The backward loop takes the statements from the last to the first. For ``x = f(u, v)`` it takes the cotangent of ``x``,
which is zero from there on, puts back what ``x`` was, and adds to the cotangents of ``u`` and ``v`` what the rules of
the table say, with the values that ``u`` and ``v`` had.

What is read backward, and so must be put back, is found by writing the backward loop again until nothing is missing.
(The method is that of source transformation with a value stack, as in Griewank and Walther, *Evaluating Derivatives*,
chapters 4 and 6.)
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from typing import Any

from minpy.records import dataclass
from minpy.runtime.jit.adjoint.nodes import (
    FLOAT,
    INT,
    PREFIX,
    Branch,
    Leave,
    Put,
    Set,
    Times,
    While,
    constant,
    stored,
)
from minpy.runtime.jit.adjoint.program import NUMBER, Program
from minpy.runtime.jit.adjoint.rules import derivative, rules_of
from minpy.runtime.jit.kinds import Unsupported

FLOATS, INTS = f"{PREFIX}F", f"{PREFIX}I"  # the stacks
FLOATS_TOP, INTS_TOP = f"{PREFIX}f", f"{PREFIX}i"
ROUNDS = f"{PREFIX}rounds"
OVER = f"{PREFIX}over"  # what the backward loop runs over, as Python
COTANGENT = f"{PREFIX}b_"
WAS_SET = (
    f"{PREFIX}s_"  # how a variable was assigned last; the lowest bit says whether it is being differentiated:
)
NOT_SET, TRACED, UNTRACED, TRACED_AT_FIRST = 0, 1, 2, 3
_G, _ANS, _OPERANDS = f"{PREFIX}g", f"{PREFIX}ans", (f"{PREFIX}x", f"{PREFIX}y")
_OPERATIONS = {
    ast.Add: "add", ast.Sub: "subtract", ast.Mult: "multiply", ast.Div: "divide", ast.Pow: "power",
    ast.Mod: "remainder", ast.FloorDiv: "floor_divide",
}  # fmt: skip
_PLACES = re.compile(rf"\b(?:{_ANS}|{'|'.join(_OPERANDS)})\b")
_INDENT = "    "


@dataclass(frozen=True)
class Pair:
    """The two loops.

    `reads` are the names of the program that the backward loop reads, `restored` those that it puts back; `cotangents`
    the variables and arrays whose cotangents it works on; `flags` the variables of which the forward loop notes whether
    it has assigned them, and whether what is differentiated; `renamed` are the dotted names, by what stands for them.
    """

    target: str
    forward: str
    backward: str
    reads: frozenset[str]
    restored: frozenset[str]
    cotangents: frozenset[str]
    flags: frozenset[str]
    renamed: dict[str, str]
    active: frozenset[str]
    assigned: frozenset[str]
    put: frozenset[str]
    kinds: dict[str, str]
    counts: bool  # whether the forward loop counts its rounds, since it may be left


class Lines:
    """Lines of text with their depth."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def put(self, depth: int, *texts: str) -> None:
        """Append lines."""
        self.lines += [_INDENT * depth + text for text in texts]

    def block(self, depth: int, write: Callable[[int], None]) -> None:
        """What `write` appends one level deeper; ``pass`` if that is nothing."""
        before = len(self.lines)
        write(depth + 1)
        if len(self.lines) == before:
            self.put(depth + 1, "pass")


def derive(program: Program) -> Pair:
    """The forward and the backward loop of a program."""
    needed: frozenset[str] = frozenset()
    while True:
        backward = _Backward(program, needed)
        reads = backward.reads
        missing = set()
        for name in reads & program.assigned:
            missing.add(name)
        for name in program.put:
            if program.shares(name) & reads:
                missing.add(name)
        if missing <= needed:
            break
        needed |= missing
    forward = _Forward(program, needed, backward.tests)
    return Pair(
        program.target,
        forward.text,
        backward.text,
        frozenset(reads),
        needed,
        frozenset(backward.cotangents),
        frozenset(forward.flags),
        dict(program.renamed),
        frozenset(program.active),
        frozenset(program.assigned),
        frozenset(program.put),
        dict(program.kinds),
        forward.counts,
    )


def _push(kind: str, value: str) -> tuple[str, str]:
    stack, top = (FLOATS, FLOATS_TOP) if kind == FLOAT else (INTS, INTS_TOP)
    return f"{stack}[{top}] = {value}", f"{top} = {top} + 1"


def _pop(kind: str, target: str) -> tuple[str, str]:
    stack, top = (FLOATS, FLOATS_TOP) if kind == FLOAT else (INTS, INTS_TOP)
    return f"{top} = {top} - 1", f"{target} = {stack}[{top}]"


class _Forward:
    """Writes the forward loop; `flags` are the variables of which it notes how they were assigned last."""

    def __init__(self, program: Program, needed: frozenset[str], tests: set[int]) -> None:
        self._program, self._needed, self._tests = program, needed, tests
        unbound = {name for name in needed & program.assigned if program.find(name) is None}
        self.flags = unbound | (program.active & (program.assigned | program.put))
        self.counts = any(type(each) is Leave for each in _here(program.body))
        self._out = Lines()
        self._counters = 0
        self._notes: list[str] = []  # what is to be noted at the ends of the branches around, in this loop
        self._out.put(0, f"for {program.target} in range(0):")
        self._out.block(0, self._rounds)
        self.text = "\n".join(self._out.lines)

    def _rounds(self, depth: int) -> None:
        if self.counts:
            self._out.put(depth, f"{ROUNDS} = {ROUNDS} + 1")
        self._block(self._program.body, depth)

    def _block(self, body: list[Any], depth: int) -> None:
        for each in body:
            self._one(each, depth)

    def _one(self, each: Any, depth: int) -> None:
        out, program = self._out, self._program
        if type(each) is Set:
            if each.name in self._needed:
                out.put(depth, *_push(program.kinds[each.name], each.name))
            out.put(depth, f"{each.name} = {ast.unparse(each.value)}")
            if each.name in self.flags:
                active = self._is_traced(each.value)
                how = {"1": TRACED, "0": UNTRACED}.get(active, f"{UNTRACED} - ({active} & 1)")
                out.put(depth, f"{WAS_SET}{each.name} = {how}")
        elif type(each) is Put:
            target = ast.unparse(each.target)
            if each.array in self._needed:
                out.put(depth, *_push(program.array(each.target).kind, target))
            out.put(depth, f"{target} = {ast.unparse(each.value)}")
            active = self._is_traced(each.value) if each.array in self.flags else "0"
            if active != "0":
                flag = WAS_SET + each.array
                out.put(depth, f"{flag} = {TRACED if active == '1' else f'{flag} | ({active} & 1)'}")
        elif type(each) is Branch:
            out.put(depth, f"if {ast.unparse(each.test)}:")
            noted = id(each) in self._tests
            out.block(depth, lambda deeper: self._branch(each.body, deeper, "1" if noted else ""))
            if each.orelse or noted:
                out.put(depth, "else:")
                out.block(depth, lambda deeper: self._branch(each.orelse, deeper, "0" if noted else ""))
        elif type(each) is Times:
            step = "" if each.step == 1 else f", {each.step}"
            head = f"for {each.target} in range({ast.unparse(each.start)}, {ast.unparse(each.stop)}{step}):"
            self._loop(head, each.body, depth, each.leaves)
        elif type(each) is While:
            self._loop(f"while {ast.unparse(each.test)}:", each.body, depth, True)
        elif type(each) is Leave:
            # The ends of the branches around it are not come to.
            for note in reversed(self._notes):
                out.put(depth, *_push(INT, note))
            out.put(depth, "break")

    def _is_traced(self, node: ast.expr) -> str:
        """Text that says whether a value is being differentiated: ``"0"``, ``"1"``, or a number with its last bit."""
        program = self._program
        if not program.is_active(node):
            return "0"
        found = []
        for each in program.leaves(node):
            name = each if each in program.assigned else ""
            if not name and program.is_always_active(each):
                return "1"
            for part in {name} if name else program.shares(each) & program.put:
                if part in self.flags:
                    found.append(WAS_SET + part)
        return f"({' | '.join(sorted(set(found)))})" if found else "0"

    def _branch(self, body: list[Any], depth: int, note: str) -> None:
        if note:
            self._notes.append(note)
        self._block(body, depth)
        if note:
            self._notes.pop()
            if not body or type(body[-1]) is not Leave:
                self._out.put(depth, *_push(INT, note))

    def _loop(self, head: str, body: list[Any], depth: int, counted: bool) -> None:
        self._counters += 1
        counter = f"{PREFIX}n{self._counters}"
        around, self._notes = self._notes, []
        if counted:
            self._out.put(depth, f"{counter} = 0")
        self._out.put(depth, head)

        def write(deeper: int) -> None:
            if counted:
                self._out.put(deeper, f"{counter} = {counter} + 1")
            self._block(body, deeper)

        self._out.block(depth, write)
        self._notes = around
        if counted:
            self._out.put(depth, *_push(INT, counter))


def _here(body: list[Any]) -> list[Any]:
    found = []
    for each in body:
        found.append(each)
        if type(each) is Branch:
            found += _here(each.body) + _here(each.orelse)
    return found


class _Backward:
    """Writes the backward loop, which puts back what is `needed`.

    `tests` are the branches of which the forward loop must note which way it went; of the others the test is
    made again.
    """

    def __init__(self, program: Program, needed: frozenset[str]) -> None:
        self._program, self._needed = program, needed
        self.tests: set[int] = set()
        self._out = Lines()
        self._numbers = 0
        self._out.put(0, f"for {program.target} in range(0):")
        self._out.block(0, lambda depth: self._block(program.body, depth))
        self.text = "\n".join(self._out.lines)
        tree = ast.parse(self.text)
        used = {each.id for each in ast.walk(tree) if isinstance(each, ast.Name)}
        loaded = {
            each.id
            for each in ast.walk(tree)
            if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load)
        }
        self.cotangents = {name.removeprefix(COTANGENT) for name in used if name.startswith(COTANGENT)}
        self.reads = {name for name in loaded if program.has(name)}

    def number(self) -> str:
        """A new name."""
        self._numbers += 1
        return f"{PREFIX}t{self._numbers}"

    def _block(self, body: list[Any], depth: int) -> None:
        for each in reversed(body):
            self._one(each, depth)

    def _one(self, each: Any, depth: int) -> None:
        out = self._out
        if type(each) is Set:
            self._set(each, depth)
        elif type(each) is Put:
            self._put(each, depth)
        elif type(each) is Branch:
            test = self._again(each)
            if test is None:
                self.tests.add(id(each))
                out.put(depth, f"{INTS_TOP} = {INTS_TOP} - 1")
                test = f"{INTS}[{INTS_TOP}] == 1"
            out.put(depth, f"if {test}:")
            out.block(depth, lambda deeper: self._block(each.body, deeper))
            if each.orelse:
                out.put(depth, "else:")
                out.block(depth, lambda deeper: self._block(each.orelse, deeper))
        elif type(each) is Times:
            self._times(each, depth)
        elif type(each) is While:
            count, at = self.number(), self.number()
            out.put(depth, *_pop(INT, count), f"for {at} in range({count}):")
            out.block(depth, lambda deeper: self._block(each.body, deeper))

    def _times(self, each: Times, depth: int) -> None:
        out = self._out
        start, stop, step = f"({ast.unparse(each.start)})", f"({ast.unparse(each.stop)})", each.step
        if each.leaves:
            count, at = self.number(), self.number()
            out.put(depth, *_pop(INT, count), f"for {at} in range({count}):")

            def write(deeper: int) -> None:
                out.put(deeper, f"{each.target} = {start} + ({count} - 1 - {at}) * {step}")
                self._block(each.body, deeper)

            out.block(depth, write)
            return
        if abs(step) == 1:
            head = f"range({stop} - {step}, {start} - {step}, {-step})"
        else:
            count = f"max(0, ({stop} - {start} + {step - (1 if step > 0 else -1)}) // {step})"
            head = f"range({start} + ({count} - 1) * {step}, {start} - {step}, {-step})"
        out.put(depth, f"for {each.target} in {head}:")
        out.block(depth, lambda deeper: self._block(each.body, deeper))

    def _again(self, branch: Branch) -> str | None:
        """The test, where it is one of integers that the branches leave alone: it is not noted but made again."""
        program = self._program
        changed = stored(branch.body) | stored(branch.orelse)
        for each in ast.walk(branch.test):
            if isinstance(each, (ast.Call, ast.Subscript, ast.IfExp)):
                return None
            if isinstance(each, ast.Name) and (each.id in changed or program.kind(each) != INT):
                return None
            if isinstance(each, ast.Constant) and type(each.value) is float:
                return None
        return ast.unparse(branch.test)

    def _set(self, each: Set, depth: int) -> None:
        out, program, name = self._out, self._program, each.name
        active = name in program.active
        taken = ""
        if active:
            taken = self.number()
            out.put(depth, f"{taken} = {COTANGENT}{name}", f"{COTANGENT}{name} = 0.0")
        if name in self._needed:
            out.put(depth, *_pop(program.kinds[name], name))
        if active and program.is_active(each.value):
            _Expression(self, program).write(each.value, taken, depth, out)

    def _put(self, each: Put, depth: int) -> None:
        out, program, name = self._out, self._program, each.array
        active = name in program.active
        target = ast.unparse(each.target)
        cotangent = f"{COTANGENT}{target}"
        value, sign, taken = each.value, "", ""
        if active:
            taken = self.number()
            out.put(depth, f"{taken} = {cotangent}")
            # ``a[i] += x``: the element's cotangent stays.
            if (
                isinstance(value, ast.BinOp)
                and isinstance(value.op, (ast.Add, ast.Sub))
                and ast.unparse(value.left) == target
            ):
                sign = "-" if isinstance(value.op, ast.Sub) else ""
                value = value.right
            else:
                out.put(depth, f"{cotangent} = 0.0")
        if name in self._needed:
            out.put(depth, *_pop(program.array(each.target).kind, target))
        if active and program.is_active(value):
            _Expression(self, program).write(value, f"{sign}{taken}", depth, out)


class _Expression:
    """Writes what one expression adds to cotangents: first the values that are asked for, then the sums."""

    def __init__(self, names: _Backward, program: Program, known: dict[str, str] | None = None) -> None:
        self._names, self._program = names, program
        self._known = dict(known or {})  # values that have a name, by their expression
        self._values: list[str] = []
        self._sums = Lines()

    def write(self, node: ast.expr, g: str, depth: int, out: Lines) -> None:
        """Write all for an expression whose cotangent is `g`."""
        self._add(node, g, 0)
        out.put(depth, *self._values, *self._sums.lines)

    def _value(self, node: ast.expr) -> str:
        """The name of a value."""
        if isinstance(node, ast.Name):
            return node.id
        number = constant(node)
        if number is not None:
            return repr(number) if number >= 0 else f"({number!r})"
        key = ast.dump(node)
        if key not in self._known:
            text = self._text(node)
            self._known[key] = self._names.number()
            self._values.append(f"{self._known[key]} = {text}")
        return self._known[key]

    def _text(self, node: ast.expr) -> str:
        if isinstance(node, ast.BinOp):
            symbol = ast.unparse(ast.BinOp(ast.Name("a"), node.op, ast.Name("b")))[1:-1]
            return f"{self._value(node.left)}{symbol}{self._value(node.right)}"
        if isinstance(node, ast.Call):
            return f"{ast.unparse(node.func)}({', '.join(map(self._value, node.args))})"
        return ast.unparse(node)

    def _operand(self, node: ast.expr, place: str) -> Any:
        number = constant(node)
        return place if number is None else number

    def _add(self, node: ast.expr, g: str, depth: int) -> None:
        """Add to the cotangents of what `node` is made of."""
        program = self._program
        if not program.is_active(node):
            return
        if isinstance(node, ast.Name):
            name = f"{COTANGENT}{node.id}"
            self._sums.put(depth, f"{name} = {name} + {g}")
        elif isinstance(node, ast.Subscript):
            self._sums.put(depth, f"{COTANGENT}{ast.unparse(node)} += {g}")
        elif isinstance(node, ast.IfExp):
            self._choose(ast.unparse(node.test), node.body, node.orelse, g, depth)
        elif isinstance(node, ast.UnaryOp):
            self._add(node.operand, f"(-{g})" if isinstance(node.op, ast.USub) else g, depth)
        elif isinstance(node, ast.BinOp):
            self._operation(_OPERATIONS.get(type(node.op)), node, (node.left, node.right), g, depth)
        elif isinstance(node, ast.Call):
            function = program.function(node)
            if any(function is each for each in NUMBER):
                self._add(node.args[0], g, depth)
            elif function in (min, max):
                self._extreme(node, ">" if function is max else "<", g, depth)
            else:
                self._operation(function, node, tuple(node.args), g, depth)

    def _operation(
        self, function: Any, node: ast.expr, operands: tuple[ast.expr, ...], g: str, depth: int
    ) -> None:
        rules = rules_of(function, len(operands)) if function is not None else None
        if rules is None:
            raise Unsupported("an operation without a derivative rule")
        active = [i for i, operand in enumerate(operands) if self._program.is_active(operand)]
        if not g.isidentifier() and (len(active) > 1 or len(g) > 80):
            name = self._names.number()
            self._sums.put(depth, f"{name} = {g}")
            g = name
        parts = []
        given = tuple(self._operand(each, place) for each, place in zip(operands, _OPERANDS, strict=False))
        for i in active:
            made = derivative(rules[i], _G, _ANS, given)
            if made is not None:
                parts.append((operands[i], self._filled(made, node, operands).replace(_G, g)))
        for operand, text in parts:
            if isinstance(operand, (ast.Name, ast.Subscript)):
                self._add(operand, text, depth)
            else:
                name = self._names.number()
                self._sums.put(depth, f"{name} = {text}")
                self._add(operand, name, depth)

    def _filled(self, text: str, node: ast.expr, operands: tuple[ast.expr, ...]) -> str:
        def value(found: re.Match[str]) -> str:
            place = found.group()
            return self._value(node if place == _ANS else operands[_OPERANDS.index(place)])

        return _PLACES.sub(value, text)

    def _extreme(self, node: ast.Call, symbol: str, g: str, depth: int) -> None:
        """``max(a, b, …)`` is one of its arguments: the first of those that no later one exceeds."""
        *rest, last = node.args
        before = rest[0] if len(rest) == 1 else ast.Call(node.func, rest, [])
        test = f"{self._value(last)} {symbol} {self._value(before)}"
        self._choose(test, last, before, g, depth)

    def _choose(self, test: str, one: ast.expr, other: ast.expr, g: str, depth: int) -> None:
        """The cotangent goes to one of two expressions, of which only that one may be computed."""
        out = self._sums
        if not g.isidentifier():
            name = self._names.number()
            out.put(depth, f"{name} = {g}")
            g = name
        for head, node in ((f"if {test}:", one), ("else:", other)):
            out.put(depth, head)
            part = _Expression(self._names, self._program, self._known)
            out.block(depth, lambda deeper, node=node, part=part: part.write(node, g, deeper, out))  # type: ignore[misc]


__all__ = ["COTANGENT", "PREFIX", "Pair", "derive"]
