"""Reads a loop's source as statements over numbers and elements.

Anything else is refused (`Unsupported`), and the loop runs as written, each operation on the tape. Calls of the
program's functions become part of the loop, and what follows a jump is put into the branches that do not jump.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from typing import Any

from minpy.runtime.jit.adjoint.nodes import (
    PREFIX,
    Branch,
    Kind,
    Leave,
    Put,
    Set,
    Times,
    While,
    constant,
    names_in,
    stored,
)
from minpy.runtime.jit.helpers import Helper
from minpy.runtime.jit.kinds import Unsupported

_DEEPEST = 4  # calls in each other
_LARGEST = 400  # statements, after what follows a jump was put into the branches


class Reader:
    """Reads statements; knows what names stand for when the loop is entered.

    Parameters
    ----------
    look : callable
        The `Kind` of a name, also of a dotted one; None if it is not bound.
    helper : callable
        The function of the program's that a name stands for, if its code can be part of the loop.
    """

    def __init__(self, look: Callable[[str], Kind | None], helper: Callable[[str], Helper | None]) -> None:
        self._look, self._helper = look, helper
        self._kinds: dict[str, Kind | None] = {}
        self._count = self._size = self._depth = 0
        self._before: list[Any] = []
        self.renamed: dict[str, str] = {}  # the dotted names, by what stands for them
        self.tuples: dict[str, list[str]] = {}  # of the arguments that a function takes as one: their names

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

    def _outer(self, target: ast.expr, shape: str) -> tuple[str, list[Any]]:
        """The variable of the outermost loop, and what it begins each round with: its elements of arrays."""
        if shape == "range":
            if not isinstance(target, ast.Name):
                raise Unsupported("a loop over pairs")
            return target.id, []
        at = self._new("at")
        number = ast.Name(at, ast.Load())
        parts = target.elts if isinstance(target, ast.Tuple) else [target]
        found: list[Any] = []
        if shape == "enumerate" and len(parts) == 2:
            found.append(self._store(self._target(parts[0]), number))
            parts = parts[1:]
        for i, part in enumerate(parts):
            name = f"{PREFIX}a_over{i}"
            self.renamed[name] = f".over.{i}"
            element = ast.Subscript(ast.Name(name, ast.Load()), number, ast.Load())
            found.append(self._store(self._target(part), element))
        return at, found

    def _for(self, node: ast.For) -> list[Any]:
        call = node.iter
        function = None
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and not call.keywords:
            function = self.known(call.func.id)
        if function is range and isinstance(node.target, ast.Name):
            return self._range(node, node.target.id, call.args)  # type: ignore[union-attr]
        if function is reversed and isinstance(node.target, ast.Name):
            return self._range(node, node.target.id, self._turned(call.args))  # type: ignore[union-attr]
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

    def _turned(self, given: list[ast.expr]) -> list[ast.expr]:
        """The arguments of the range that ``reversed(range(…))``, with steps of one, is."""
        (inner,) = given if len(given) == 1 else (None,)
        if not isinstance(inner, ast.Call) or not isinstance(inner.func, ast.Name) or inner.keywords:
            raise Unsupported("a loop inside it that is over neither a range nor arrays")
        if self.known(inner.func.id) is not range or not 1 <= len(inner.args) <= 2:
            raise Unsupported("a loop inside it that is over neither a range nor arrays")
        start = inner.args[0] if len(inner.args) == 2 else ast.Constant(0)
        one = ast.Constant(1)
        ends: list[ast.expr] = [ast.BinOp(each, ast.Sub(), one) for each in (inner.args[-1], start)]
        return [*ends, ast.UnaryOp(ast.USub(), one)]

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

    # ----- expressions ---------------------------------------------------------------------------

    def _expression(self, node: ast.expr) -> ast.expr:
        """The expression with plain names for dotted ones, and numbers for constants of modules."""
        return _Plain(self).visit(ast.parse(ast.unparse(node), mode="eval").body)

    def call(self, node: ast.Call) -> ast.expr | None:
        """What a call of a function of the program's gives, which is computed before; None if it is none."""
        helper = self._helper(ast.unparse(node.func)) if isinstance(node.func, ast.Name) else None
        if helper is None:
            return None
        given = len(helper.parameters)
        fits = len(node.args) == given or (helper.rest and len(node.args) > given)
        if node.keywords or not fits or self._depth >= _DEEPEST:
            raise Unsupported(f"this call of {helper.node.name}")
        names = {name: self._new(name) for name in helper.locals}
        if helper.rest:
            if helper.rest in helper.stored:
                raise Unsupported(f"{helper.node.name} changes what it is given")
            self.tuples[names[helper.rest]] = rest = [self._new(helper.rest) for _ in node.args[given:]]
            self._before += [Set(name, value) for name, value in zip(rest, node.args[given:], strict=True)]
        for name, value in zip(helper.parameters, node.args[:given], strict=True):
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


class _Plain(ast.NodeTransformer):
    def __init__(self, program: Reader) -> None:
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
        spread = self._spread(node)
        if spread is not None:
            return spread
        node.args = [self.visit(each) for each in node.args]
        made = self._program.call(node)
        if made is not None and self._maybe:
            raise Unsupported("a call under a condition")
        return node if made is None else made

    def _spread(self, node: ast.Call) -> ast.expr | None:
        """``min(values)`` and ``sum(f(v) for v in values)`` of the arguments of a call, written out."""
        program = self._program
        if len(node.args) != 1 or node.keywords or not isinstance(node.func, ast.Name):
            return None
        function, argument = program.known(node.func.id), node.args[0]
        if isinstance(argument, ast.Name) and argument.id in program.tuples:
            names: list[ast.expr] = [ast.Name(each, ast.Load()) for each in program.tuples[argument.id]]
            if function is len:
                return ast.Constant(len(names))
            if function in (min, max) and len(names) > 1:
                return ast.Call(node.func, names, [])
            if function is sum:
                return self._sum(names)
        if function is sum and isinstance(argument, ast.GeneratorExp) and len(argument.generators) == 1:
            (inner,) = argument.generators
            over, target = inner.iter, inner.target
            if isinstance(over, ast.Name) and over.id in program.tuples and isinstance(target, ast.Name):
                if not inner.ifs:
                    each = program.tuples[over.id]
                    return self._sum([self.visit(_renamed(argument.elt, {target.id: name})) for name in each])
        return None

    def _sum(self, values: list[ast.expr]) -> ast.expr:
        if sys.version_info >= (3, 12):
            raise Unsupported("sum corrects what it rounds")
        found: ast.expr = ast.Constant(0)
        for value in values:
            found = ast.BinOp(found, ast.Add(), value)
        return found

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
