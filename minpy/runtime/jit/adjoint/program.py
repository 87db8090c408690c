"""What a loop that is to be differentiated consists of, read from its source: assignments, branches, loops.

Anything else is refused (`Unsupported`), and the loop runs as written, each operation on the tape.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterator
from dataclasses import field
from typing import Any

import numpy as np

from minpy.records import dataclass
from minpy.runtime.jit.adjoint.rules import rules_of
from minpy.runtime.jit.helpers import Helper
from minpy.runtime.jit.kinds import Unsupported

# No name of the program begins so.
PREFIX = "_mp"
_DEEPEST = 4  # calls in each other
_LARGEST = 400  # statements, after what follows a jump was put into the branches
_ROUNDS = 8  # of a loop of which nothing is known
INT, FLOAT = "int", "float"
_BITS = (ast.BitAnd, ast.BitOr, ast.BitXor, ast.LShift, ast.RShift)
_WHOLE = (
    int,
    bool,
    round,
    len,
    math.floor,
    math.ceil,
    math.trunc,
    math.isnan,
    math.isinf,
    math.isfinite,
    np.int64,
)
_CUTS = (int, bool, round, np.int64, np.float64)  # of what is differentiated
_EITHER = (abs, min, max, np.abs, np.maximum, np.minimum, np.square, np.negative)
NUMBER = (float, np.float64)


@dataclass(frozen=True)
class Kind:
    """What a name stands for: a number, an array of numbers with so many axes, or an object that is known.

    `kind` is that of the number or of the elements; `group` tells apart memory that is not shared; `active` says that
    it is being differentiated when the loop is entered, and `plain` that it is an array that no tape hears of.
    """

    kind: str
    ndim: int = 0
    group: int = -1
    active: bool = False
    plain: bool = False
    fixed: bool = False  # a list or a tuple, which the loop may read only
    value: Any = None


@dataclass
class Set:
    """``name = value``."""

    name: str
    value: ast.expr


@dataclass
class Put:
    """``array[index] = value``."""

    target: ast.Subscript
    value: ast.expr

    @property
    def array(self) -> str:
        """The name of the array."""
        return self.target.value.id  # type: ignore[attr-defined]


@dataclass
class Branch:
    """``if``."""

    test: ast.expr
    body: list[Any]
    orelse: list[Any]


@dataclass
class Times:
    """``for target in range(start, stop, step)``."""

    target: str
    start: ast.expr
    stop: ast.expr
    step: int
    body: list[Any]

    @property
    def leaves(self) -> bool:
        """Whether a ``break`` may end it."""
        return any(type(each) is Leave for each in inside(self.body))


@dataclass
class While:
    """``while``."""

    test: ast.expr
    body: list[Any]


@dataclass
class Leave:
    """``break``."""

    loop: Any = field(default=None)


def inside(body: list[Any]) -> Iterator[Any]:
    """The statements of a loop's body that are not in loops inside it."""
    for each in body:
        yield each
        if type(each) is Branch:
            yield from inside(each.body)
            yield from inside(each.orelse)


def everything(body: list[Any]) -> Iterator[Any]:
    """All statements, also in loops inside."""
    for each in body:
        yield each
        if type(each) is Branch:
            yield from everything(each.body)
            yield from everything(each.orelse)
        elif type(each) in (Times, While):
            yield from everything(each.body)


def expressions(statement: Any) -> list[ast.expr]:
    """The expressions of a statement itself."""
    kind = type(statement)
    if kind is Set:
        return [statement.value]
    if kind is Put:
        return [statement.target, statement.value]
    if kind in (Branch, While):
        return [statement.test]
    return [statement.start, statement.stop] if kind is Times else []


def stored(body: list[Any]) -> set[str]:
    """The variables that statements assign, and the arrays that they store into."""
    found = set()
    for each in everything(body):
        if type(each) is Set:
            found.add(each.name)
        elif type(each) is Put:
            found.add(each.array)
        elif type(each) is Times:
            found.add(each.target)
    return found


def names_in(*nodes: ast.expr) -> set[str]:
    """The names in expressions."""
    return {each.id for node in nodes for each in ast.walk(node) if isinstance(each, ast.Name)}


class Program:
    """A loop as statements, and what is known of its names.

    Parameters
    ----------
    node : ast.For
    look : callable
        The `Kind` of a name, also of a dotted one; None if it is not bound.
    helper : callable
        The function of the program's that a name stands for, if its code can be part of the loop.
    """

    def __init__(
        self, node: ast.For, look: Callable[[str], Kind | None], helper: Callable[[str], Helper | None]
    ) -> None:
        self._look, self._helper = look, helper
        self._kinds: dict[str, Kind | None] = {}
        self._count = self._size = self._depth = 0
        self._before: list[Any] = []
        self.renamed: dict[str, str] = {}  # the dotted names, by what stands for them
        if node.orelse or not isinstance(node.target, ast.Name):
            raise Unsupported("a loop with else, or over pairs")
        for each in ast.walk(node):
            if isinstance(each, ast.Name) and each.id.startswith(PREFIX):
                raise Unsupported("a name of MinPy's own")
        self.target = node.target.id
        self.body = self._block(node.body)
        self._check_targets(self.body, {self.target})
        self.assigned = {each.name for each in everything(self.body) if type(each) is Set}
        self.put = {each.array for each in everything(self.body) if type(each) is Put}
        self._targets = {each.target for each in everything(self.body) if type(each) is Times} | {self.target}
        if self.assigned & self._targets:
            raise Unsupported("a loop's variable is assigned in it")
        self.kinds = self._infer()
        for each in everything(self.body):
            self._check(each)
        changed = self.assigned | self.put
        own = {name for name in changed if self._is_active_at_first(name)}
        self.active = self._activity(set())
        # Whether what is active does not depend on which of the variables and arrays that it changes are so at first.
        self.settled = own <= self.active
        if not self.settled:
            self.active = self._activity(own)
        for each in everything(self.body):
            for node in expressions(each):
                self._check_cuts(node)

    # ----- statements ----------------------------------------------------------------------------

    def _block(self, body: list[ast.stmt]) -> list[Any]:
        found: list[Any] = []
        for i, statement in enumerate(body):
            self._size += 1
            if self._size > _LARGEST:
                raise Unsupported("it is too long")
            if isinstance(statement, ast.Break):
                return [*found, Leave()]
            if isinstance(statement, ast.Continue):
                return found
            if isinstance(statement, ast.If) and _jumps(statement):
                return found + self._branch(statement, body[i + 1 :])
            found += self._statement(statement)
        return found

    def _statement(self, statement: ast.stmt) -> list[Any]:
        if isinstance(statement, ast.Assign):
            made = self._assign(statement)
            return self._take() + made
        if isinstance(statement, ast.AugAssign):
            target = self._target(statement.target)
            left = ast.parse(ast.unparse(target), mode="eval").body
            value = ast.BinOp(left, statement.op, self._expression(statement.value))
            return [*self._take(), self._store(target, value)]
        if isinstance(statement, ast.If):
            return self._branch(statement, [])
        if isinstance(statement, ast.For) and not statement.orelse:
            return self._for(statement)
        if isinstance(statement, ast.While) and not statement.orelse:
            test = self._expression(statement.test)
            if self._take():
                raise Unsupported("a call in the condition of a while")
            return [While(test, self._block(statement.body))]
        if isinstance(statement, ast.Pass) or (
            isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        ):
            return []
        raise Unsupported(f"a statement that is none over numbers (line {statement.lineno})")

    def _take(self) -> list[Any]:
        """What must be done before the statement whose expressions were just read."""
        taken, self._before = self._before, []
        return taken

    def _branch(self, statement: ast.If, rest: list[ast.stmt]) -> list[Any]:
        """A branch; `rest` is what comes behind it, if it may jump."""
        test = self._expression(statement.test)
        before = self._take()
        body = self._block([*statement.body, *rest])
        return [*before, Branch(test, body, self._block([*statement.orelse, *rest]))]

    def _new(self, what: str) -> str:
        self._count += 1
        return f"{PREFIX}p{self._count}_{what}"

    def _assign(self, statement: ast.Assign) -> list[Any]:
        if len(statement.targets) != 1:
            raise Unsupported("several targets")
        target, value = statement.targets[0], statement.value
        if not isinstance(target, ast.Tuple):
            return [self._store(self._target(target), self._expression(value))]
        if not isinstance(value, ast.Tuple) or len(value.elts) != len(target.elts):
            raise Unsupported("a tuple that is taken apart")
        kept, put = [], []
        for one, part in zip(target.elts, value.elts, strict=True):
            name = self._new("")
            kept.append(Set(name, self._expression(part)))
            put.append(self._store(self._target(one), ast.Name(name, ast.Load())))
        return kept + put

    def _target(self, target: ast.expr) -> ast.expr:
        if isinstance(target, ast.Name):
            return target
        if isinstance(target, ast.Subscript):
            made = self._expression(target)
            if isinstance(made, ast.Subscript) and isinstance(made.value, ast.Name):
                return made
        raise Unsupported("what it stores into is neither a variable nor an element")

    def _store(self, target: ast.expr, value: ast.expr) -> Any:
        if isinstance(target, ast.Name):
            return Set(target.id, value)
        assert isinstance(target, ast.Subscript)
        return Put(target, value)

    def _for(self, node: ast.For) -> list[Any]:
        call = node.iter
        function = None
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and not call.keywords:
            function = self.known(call.func.id)
        if function is range and isinstance(node.target, ast.Name):
            return self._range(node, node.target.id, call.args)  # type: ignore[union-attr]
        # Over the elements of arrays: by their numbers.
        place = self._new("at")
        heads = self._heads(node.target, call, function, place)
        sizes = [self._length(source) for _, source in heads if source.id != place]
        stop = sizes[0] if len(sizes) == 1 else ast.Call(ast.Name("min", ast.Load()), sizes, [])
        at = ast.Name(place, ast.Load())
        first = [
            Set(name, ast.Subscript(source, at, ast.Load()) if source.id != place else source)
            for name, source in heads
        ]
        body = first + self._block(node.body)
        return [Times(place, ast.Constant(0), stop, 1, body)]

    def _heads(self, target: ast.expr, over: ast.expr, function: Any, at: str) -> list[tuple[str, ast.Name]]:
        """The variables of a loop over arrays, and the array that each takes its values from, or their number."""
        if isinstance(target, ast.Name) and isinstance(over, (ast.Name, ast.Attribute)):
            array = self._expression(over)
            if isinstance(array, ast.Name):
                return [(target.id, array)]
        elif isinstance(target, ast.Tuple) and isinstance(over, ast.Call):
            if function is enumerate and len(target.elts) == 2 and len(over.args) == 1:
                number, inner = target.elts
                call = over.args[0]
                known = None
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and not call.keywords:
                    known = self.known(call.func.id)
                if isinstance(number, ast.Name):
                    return [*self._heads(inner, call, known, at), (number.id, ast.Name(at, ast.Load()))]
            if function is zip and len(target.elts) == len(over.args) > 0:
                pairs = zip(target.elts, over.args, strict=True)
                return [head for one, each in pairs for head in self._heads(one, each, None, at)]
        raise Unsupported("a loop inside it that is over neither a range nor arrays")

    def _length(self, array: ast.Name) -> ast.expr:
        if self.known("len") is not len or self.known("min") is not min:
            raise Unsupported("len has another meaning")
        return ast.Call(ast.Name("len", ast.Load()), [array], [])

    def _range(self, node: ast.For, target: str, given: list[ast.expr]) -> list[Any]:
        if not 1 <= len(given) <= 3:
            raise Unsupported("a range of nothing")
        arguments = [self._expression(each) for each in given]
        before = self._take()
        start: ast.expr = arguments[0] if len(arguments) > 1 else ast.Constant(0)
        step = constant(arguments[2]) if len(arguments) > 2 else 1
        if type(step) is not int or not step:
            raise Unsupported("a range with steps that are not known")
        body = self._block(node.body)
        stop = arguments[1] if len(arguments) > 1 else arguments[0]
        changed = stored(body) | {target}
        # Bounds that the loop changes are read before it.
        for expression in (start, stop):
            if names_in(expression) & changed:
                name = self._new("bound")
                before.append(Set(name, expression))
                start, stop = (
                    ast.Name(name, ast.Load()) if each is expression else each for each in (start, stop)
                )
        return [*before, Times(target, start, stop, step, body)]

    def _check_targets(self, body: list[Any], bound: set[str]) -> None:
        """Refuse a loop's variable that is read behind the loop: going backward, it is not known yet."""
        targets = {each.target for each in everything(self.body) if type(each) is Times}

        def look(*nodes: ast.expr) -> None:
            if names_in(*nodes) & targets - bound:
                raise Unsupported("a loop's variable is read behind the loop")

        for each in body:
            if type(each) is Set:
                look(each.value)
            elif type(each) is Put:
                look(each.target, each.value)
            elif type(each) is Branch:
                look(each.test)
                self._check_targets(each.body, bound)
                self._check_targets(each.orelse, bound)
            elif type(each) is While:
                look(each.test)
                self._check_targets(each.body, bound)
            elif type(each) is Times:
                look(each.start, each.stop)
                if each.target in bound:
                    raise Unsupported("two loops with one variable")
                self._check_targets(each.body, bound | {each.target})

    # ----- expressions ---------------------------------------------------------------------------

    def _expression(self, node: ast.expr) -> ast.expr:
        """The expression with plain names for dotted ones, and numbers for constants of modules."""
        return _Plain(self).visit(ast.parse(ast.unparse(node), mode="eval").body)

    def call(self, node: ast.Call) -> ast.expr | None:
        """What a call of a function of the program's gives, which is computed before; None if it is none."""
        helper = self._helper(ast.unparse(node.func)) if isinstance(node.func, ast.Name) else None
        if helper is None:
            return None
        if node.keywords or len(node.args) != len(helper.parameters) or self._depth >= _DEEPEST:
            raise Unsupported(f"this call of {helper.node.name}")
        names = {name: self._new(name) for name in helper.locals}
        for name, value in zip(helper.parameters, node.args, strict=True):
            found = self.find(value.id) if isinstance(value, ast.Name) else None
            if found is not None and found.ndim and name not in helper.stored:
                names[name] = value.id  # type: ignore[attr-defined]
            else:
                self._before.append(Set(names[name], value))
        self._depth += 1
        result = self._result(helper.node.body, names)
        self._depth -= 1
        return result

    def _result(self, body: list[ast.stmt], names: dict[str, str]) -> ast.expr:
        """What a function returns: assignments, and at the end perhaps several returns under conditions."""
        for i, statement in enumerate(body):
            if isinstance(statement, ast.Return) and statement.value is not None:
                return self._expression(_renamed(statement.value, names))
            if isinstance(statement, ast.If) and all(map(_only_returns, statement.body)) and statement.body:
                test = self._expression(_renamed(statement.test, names))
                count = len(self._before)
                one = self._result(statement.body, names)
                other = self._result([*statement.orelse, *body[i + 1 :]], names)
                if len(self._before) != count:
                    raise Unsupported("what a function does under a condition")
                return ast.IfExp(test, one, other)
            if not isinstance(statement, (ast.Assign, ast.AugAssign, ast.Expr, ast.Pass)):
                raise Unsupported("a function with loops or branches")
            before, self._before = self._before, []
            made = self._statement(_renamed(statement, names))
            self._before = before + made
        raise Unsupported("a function that may return nothing")

    def find(self, name: str) -> Kind | None:
        """What a name, perhaps a dotted one, stands for when the loop is entered."""
        if name not in self._kinds:
            self._kinds[name] = self._look(self.renamed.get(name, name))
        return self._kinds[name]

    def known(self, name: str) -> Any:
        """The object that a name stands for, if that is a function or a module."""
        found = self.find(name)
        return None if found is None or found.kind != "known" else found.value

    def function(self, node: ast.Call) -> Any:
        """The function that is called."""
        if node.keywords or any(isinstance(each, ast.Starred) for each in node.args):
            raise Unsupported("a call with names or stars")
        found = self.known(ast.unparse(node.func))
        if found is None:
            raise Unsupported(f"a call of {ast.unparse(node.func)}")
        return found

    def kind(self, node: ast.expr) -> str | None:
        """``"int"`` or ``"float"``; None if it is not known yet."""
        if isinstance(node, ast.Constant):
            if type(node.value) in (int, bool):
                return INT
            if type(node.value) is float:
                return FLOAT
            raise Unsupported("a constant that is no number")
        if isinstance(node, ast.Name):
            return self._kind_of_name(node.id)
        if isinstance(node, ast.Subscript):
            return self.array(node).kind
        if isinstance(node, ast.UnaryOp):
            return INT if isinstance(node.op, ast.Not) else self.kind(node.operand)
        if isinstance(node, (ast.Compare, ast.BoolOp)):
            parts = [node.left, *node.comparators] if isinstance(node, ast.Compare) else node.values
            kinds = [self.kind(each) for each in parts]
            if isinstance(node, ast.BoolOp) and FLOAT in kinds:
                raise Unsupported("and, or of numbers")
            return INT
        if isinstance(node, ast.IfExp):
            self.kind(node.test)
            return _join(self.kind(node.body), self.kind(node.orelse))
        if isinstance(node, ast.BinOp):
            return self._kind_of_operation(node)
        if isinstance(node, ast.Call):
            return self._kind_of_call(node)
        raise Unsupported("an expression that is none of numbers")

    def _kind_of_name(self, name: str) -> str | None:
        if name in self._targets:
            return INT
        if name in self.assigned:
            return self.kinds.get(name)
        found = self.find(name)
        if found is None or found.ndim or found.kind == "known":
            raise Unsupported(f"{self.renamed.get(name, name)} is no number")
        return found.kind

    def array(self, node: ast.Subscript) -> Kind:
        """The array of which this is an element."""
        if not isinstance(node.value, ast.Name):
            raise Unsupported("an element of an expression")
        found = None if node.value.id in self.assigned else self.find(node.value.id)
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if found is None or found.ndim != len(parts):
            raise Unsupported(f"{ast.unparse(node)} is no element of an array")
        for part in parts:
            if isinstance(part, (ast.Slice, ast.Starred)) or self.kind(part) not in (INT, None):
                raise Unsupported(f"{ast.unparse(node)} is no element of an array")
        return found

    def _kind_of_operation(self, node: ast.BinOp) -> str | None:
        left, right = self.kind(node.left), self.kind(node.right)
        if isinstance(node.op, ast.MatMult):
            raise Unsupported("@ of numbers")
        if isinstance(node.op, ast.Div):
            return FLOAT
        if isinstance(node.op, ast.Pow) and left == right == INT:
            power = constant(node.right)
            if type(power) is not int or power < 0:
                raise Unsupported("an integer to a power that is not known")
        if isinstance(node.op, _BITS) and FLOAT in (left, right):
            raise Unsupported("bits of floating-point numbers")
        return _join(left, right)

    def _kind_of_call(self, node: ast.Call) -> str | None:
        function = self.function(node)
        if function is len:
            if len(node.args) == 1 and isinstance(node.args[0], ast.Name):
                found = self.find(node.args[0].id)
                if found is not None and found.ndim and node.args[0].id not in self.assigned:
                    return INT
            raise Unsupported("len of no array")
        kinds = [self.kind(each) for each in node.args]
        if not kinds or (function is round and len(kinds) > 1) or (function in (min, max) and len(kinds) < 2):
            raise Unsupported(f"this call of {ast.unparse(node.func)}")
        if any(function is each for each in _WHOLE):
            return INT
        if any(function is each for each in NUMBER):
            return FLOAT
        if function not in (min, max, *NUMBER) and rules_of(function, len(kinds)) is None:
            raise Unsupported(f"a call of {ast.unparse(node.func)}")
        if any(function is each for each in _EITHER):
            found: str | None = INT
            for kind in kinds:
                found = _join(found, kind)
            return found
        return FLOAT

    # ----- what is inferred -----------------------------------------------------------------------

    def _infer(self) -> dict[str, str]:
        """The kinds of the variables that are assigned."""
        self.kinds: dict[str, str] = {}
        for name in self.assigned:
            found = self.find(name)
            if found is not None and (found.ndim or found.kind == "known"):
                raise Unsupported(f"{name} is no number")
            if found is not None:
                self.kinds[name] = found.kind
        while True:
            before = dict(self.kinds)
            for each in everything(self.body):
                if type(each) is Set:
                    kind = _join(self.kinds.get(each.name), self.kind(each.value))
                    if kind is not None:
                        self.kinds[each.name] = kind
            if self.kinds == before:
                return self.kinds

    def _check(self, statement: Any) -> None:
        """Refuse what is no number, or what stores elsewhere than into arrays of numbers."""
        if type(statement) is Set:
            if self.kind(statement.value) is None:
                raise Unsupported(f"{statement.name} is not known")
        elif type(statement) is Put:
            if self.array(statement.target).fixed or self.kind(statement.value) is None:
                raise Unsupported(f"a store into {statement.array}")
        elif type(statement) in (Branch, While):
            self.kind(statement.test)
        elif type(statement) is Times:
            if not self.kind(statement.start) == self.kind(statement.stop) == INT:
                raise Unsupported("a range of no integers")

    def _check_cuts(self, node: ast.expr) -> None:
        """Refuse what is an error under a tape, since it would cut the gradient."""
        for each in ast.walk(node):
            if isinstance(each, ast.Call) and any(self.function(each) is cut for cut in _CUTS):
                if any(map(self.is_active, each.args)):
                    raise Unsupported(f"{ast.unparse(each.func)} of a differentiated value")

    def _is_active_at_first(self, name: str) -> bool:
        found = self.find(name)
        return found is not None and found.active

    def is_always_active(self, name: str) -> bool:
        """Whether a variable or an array is being differentiated, whatever the loop does."""
        return name not in self.assigned | self.put and self._is_active_at_first(name)

    def _activity(self, found: set[str]) -> set[str]:
        """The variables and arrays that are, or may become, differentiated, if `found` of those it changes are."""
        every = {name for name in self._kinds if name not in self.renamed.values()} | self.assigned
        found |= {name for name in every if self.is_always_active(name)}
        self.active = found
        while True:
            before = len(found)
            for each in everything(self.body):
                if type(each) not in (Set, Put) or not self.is_active(each.value):
                    continue
                if type(each) is Set:
                    if self.kinds[each.name] == FLOAT:
                        found.add(each.name)
                    continue
                array = self.array(each.target)
                if array.kind != FLOAT:
                    continue
                if array.plain:
                    raise Unsupported("a differentiated value is stored into an array from outside")
                found |= {name for name in every if self._shares(name, array)}
            if len(found) == before:
                return found

    def _shares(self, name: str, array: Kind) -> bool:
        kind = None if name in self.assigned else self.find(name)
        return kind is not None and kind.ndim > 0 and kind.group == array.group and kind.kind == FLOAT

    def shares(self, name: str) -> set[str]:
        """The arrays whose memory that of `name` is, or may be."""
        array = self.find(name)
        assert array is not None
        return {
            each
            for each, kind in self._kinds.items()
            if each not in self.assigned and kind is not None and kind.ndim and kind.group == array.group
        }

    def has(self, name: str) -> bool:
        """Whether a name is one of the program's, or of what was made of it here."""
        return not name.startswith(PREFIX) or name in self.renamed or name.startswith(f"{PREFIX}p")

    def leaves(self, node: ast.expr) -> set[str]:
        """The variables and arrays through which an expression is active."""
        if not self.is_active(node):
            return set()
        if isinstance(node, ast.Name):
            return {node.id}
        if isinstance(node, ast.Subscript):
            return {node.value.id}  # type: ignore[attr-defined]
        parts: list[ast.expr] = []
        if isinstance(node, ast.IfExp):
            parts = [node.body, node.orelse]
        elif isinstance(node, ast.UnaryOp):
            parts = [node.operand]
        elif isinstance(node, ast.BinOp):
            parts = [node.left, node.right]
        elif isinstance(node, ast.Call):
            parts = node.args
        return set().union(*map(self.leaves, parts))

    def is_active(self, node: ast.expr) -> bool:
        """Whether a cotangent can flow into an expression."""
        if self.kind(node) != FLOAT:
            return False
        if isinstance(node, ast.Name):
            return node.id in self.active
        if isinstance(node, ast.Subscript):
            return node.value.id in self.active  # type: ignore[attr-defined]
        if isinstance(node, ast.IfExp):
            return self.is_active(node.body) or self.is_active(node.orelse)
        if isinstance(node, ast.UnaryOp):
            return self.is_active(node.operand)
        if isinstance(node, ast.BinOp):
            return self.is_active(node.left) or self.is_active(node.right)
        return isinstance(node, ast.Call) and any(map(self.is_active, node.args))


def work(body: list[Any], values: dict[str, Any]) -> float:
    """About how many statements are executed, where `values` are what variables hold when the loop is entered."""
    total = 0.0
    for each in body:
        total += 1
        if type(each) is Branch:
            total += (work(each.body, values) + work(each.orelse, values)) / 2
        elif type(each) is While:
            total += _ROUNDS * work(each.body, values)
        elif type(each) is Times:
            start, stop = _number(each.start, values), _number(each.stop, values)
            if start is None or stop is None:
                total += _ROUNDS * work(each.body, values)
            else:
                middle = {each.target: (start + stop) // 2}
                total += len(range(start, stop, each.step)) * work(each.body, values | middle)
    return total


def _number(node: ast.expr, values: dict[str, Any]) -> int | None:
    try:
        found = eval(
            compile(ast.Expression(ast.fix_missing_locations(node)), "<a range>", "eval"), {}, values
        )
        return int(found)
    except (ArithmeticError, NameError, TypeError, ValueError, IndexError):
        return None


class _Plain(ast.NodeTransformer):
    def __init__(self, program: Program) -> None:
        self._program = program
        self._maybe = 0  # whether what is looked at may not be evaluated

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        dotted = ast.unparse(node)
        found = self._program.find(dotted) if isinstance(node.ctx, ast.Load) else None
        if found is None:
            raise Unsupported(f"{dotted} is not known")
        if found.kind == "known":
            return node
        if found.fixed and not found.ndim:
            return ast.Constant(found.value)
        return self._named(dotted)

    def _named(self, dotted: str) -> ast.expr:
        if self._program.find(dotted) is None:
            raise Unsupported(f"{dotted} is not known")
        name = f"{PREFIX}a_{dotted.replace('.', '_0')}"
        self._program.renamed[name] = dotted
        return ast.Name(name, ast.Load())

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        shape = node.value
        if (
            isinstance(shape, ast.Attribute)
            and shape.attr == "shape"
            and isinstance(node.slice, ast.Constant)
        ):
            return self._named(f"{ast.unparse(shape)}.{node.slice.value}")
        return self.generic_visit(node)  # type: ignore[return-value]

    def visit_Call(self, node: ast.Call) -> ast.expr:
        node.args = [self.visit(each) for each in node.args]
        made = self._program.call(node)
        if made is not None and self._maybe:
            raise Unsupported("a call under a condition")
        return node if made is None else made

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        node.test = self.visit(node.test)
        self._maybe += 1
        node.body, node.orelse = self.visit(node.body), self.visit(node.orelse)
        self._maybe -= 1
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        self._maybe += 1
        node.values = [self.visit(each) for each in node.values]
        self._maybe -= 1
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        self._maybe += len(node.comparators) > 1
        node.left = self.visit(node.left)
        node.comparators = [self.visit(each) for each in node.comparators]
        self._maybe -= len(node.comparators) > 1
        return node

    def visit_NamedExpr(self, node: ast.NamedExpr) -> ast.expr:
        raise Unsupported("an assignment in an expression")


def _only_returns(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.If):
        return all(map(_only_returns, [*statement.body, *statement.orelse]))
    return isinstance(statement, ast.Return)


def _renamed(node: Any, names: dict[str, str]) -> Any:
    """A copy of a piece of a function with other names for its variables."""
    made = ast.parse(ast.unparse(node), mode="exec").body[0]
    for each in ast.walk(made):
        if isinstance(each, ast.Name):
            each.id = names.get(each.id, each.id)
    return made if isinstance(node, ast.stmt) else made.value  # type: ignore[attr-defined]


def constant(node: ast.expr) -> Any:
    """The number that an expression of numbers is; None if it is none."""
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        value = constant(node.operand)
        if value is not None:
            return -value if isinstance(node.op, ast.USub) else value
    return None


def _join(one: str | None, other: str | None) -> str | None:
    if one is None or other is None:
        return one or other
    return FLOAT if FLOAT in (one, other) else INT


def _jumps(node: ast.If) -> bool:
    """Whether a branch may end the round or the loop."""
    waiting: list[ast.stmt] = [*node.body, *node.orelse]
    while waiting:
        each = waiting.pop()
        if isinstance(each, (ast.Break, ast.Continue)):
            return True
        if isinstance(each, ast.If):
            waiting += [*each.body, *each.orelse]
    return False
