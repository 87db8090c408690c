"""The walk over a module's concrete syntax tree: what is routed, and the edits that route it.

One pass in program order reports scopes, bindings and uses to `names` and collects candidates; they are resolved when
every binding is known. Importing this module imports libcst, so only a rewriter with work to do does it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields

import libcst as cst
from libcst.metadata import ByteSpanPositionProvider, MetadataWrapper

from minpy.transform.catalog import is_routed
from minpy.transform.names import Block, Point, Scope, Star, is_builtin, numpy_path, resolve
from minpy.transform.plan import Edit, Note

BINARY = {
    cst.Add: ("+", "add"),
    cst.Subtract: ("-", "sub"),
    cst.Multiply: ("*", "mul"),
    cst.Divide: ("/", "truediv"),
    cst.FloorDivide: ("//", "floordiv"),
    cst.Modulo: ("%", "mod"),
    cst.Power: ("**", "pow"),
    cst.MatrixMultiply: ("@", "matmul"),
    cst.LeftShift: ("<<", "lshift"),
    cst.RightShift: (">>", "rshift"),
    cst.BitAnd: ("&", "and_"),
    cst.BitOr: ("|", "or_"),
    cst.BitXor: ("^", "xor"),
}
UNARY = {cst.Minus: ("-", "neg"), cst.Plus: ("+", "pos"), cst.BitInvert: ("~", "invert")}
COMPARE = {
    cst.Equal: ("==", "eq"),
    cst.NotEqual: ("!=", "ne"),
    cst.LessThan: ("<", "lt"),
    cst.LessThanEqual: ("<=", "le"),
    cst.GreaterThan: (">", "gt"),
    cst.GreaterThanEqual: (">=", "ge"),
}

# Operands that no array operation is meant for.
_NOT_ARRAYS = (
    cst.BaseString,
    cst.Tuple,
    cst.List,
    cst.Set,
    cst.Dict,
    cst.ListComp,
    cst.SetComp,
    cst.DictComp,
    cst.GeneratorExp,
    cst.Lambda,
)
_LEAVES = (cst.Raise, cst.Return, cst.Continue, cst.Break)
_EXITS = frozenset({"exit", "quit", "sys.exit", "os._exit"})

# Each routed operator is one more pair of parentheses around its operands, and CPython allows 200 of them.
MAX_NESTED_OPERATORS = 60

# Fields that hold layout or tokens, not expressions or statements.
_LAYOUT = (
    "whitespace",
    "leading_",
    "trailing_",
    "lines_",
    "lpar",
    "rpar",
    "lbrac",
    "rbrac",
    "comma",
    "semicolon",
    "colon",
    "first_colon",
    "second_colon",
    "header",
    "footer",
    "operator",
    "equal",
    "dot",
    "asynchronous",
    "separator",
    "indent",
    "newline",
    "comment",
    "posonly_ind",
)
_child_fields: dict[type, tuple[str, ...]] = {}


def _fields_of(kind: type) -> tuple[str, ...]:
    names = _child_fields.get(kind)
    if names is None:
        names = tuple(field.name for field in fields(kind) if not field.name.startswith(_LAYOUT))
        _child_fields[kind] = names
    return names


def dotted_name(node: cst.CSTNode | None) -> str | None:
    """Return ``a.b.c`` of a chain of attributes of a name, or None."""
    parts: list[str] = []
    while isinstance(node, cst.Attribute):
        parts.append(node.attr.value)
        node = node.value
    if not isinstance(node, cst.Name):
        return None
    parts.append(node.value)
    return ".".join(reversed(parts))


@dataclass
class Use:
    """A call whose function may turn out to be NumPy's, or the built-in `type`."""

    scope: Scope
    point: Point
    name: str
    attributes: tuple[str, ...]
    start: int
    end: int
    excuse: str  # why it would be left alone; "" for an ordinary place


class Spans:
    """The character span of every node, without parentheses around it and without whitespace."""

    def __init__(self, module: cst.Module, text: str) -> None:
        wrapper = MetadataWrapper(module, unsafe_skip_copy=True)
        self._spans = wrapper.resolve(ByteSpanPositionProvider)
        # Byte offsets at which characters of more than one byte end, and the surplus up to there.
        self._ends: list[int] = []
        self._surplus: list[int] = [0]
        if not text.isascii():
            surplus = 0
            for index, char in enumerate(text):
                if char > "\x7f":
                    surplus += len(char.encode()) - 1
                    self._ends.append(index + 1 + surplus)
                    self._surplus.append(surplus)

    def _char(self, position: int) -> int:
        return position - self._surplus[bisect_left(self._ends, position + 1)] if self._ends else position

    def start(self, node: cst.CSTNode) -> int:
        return self._char(self._spans[node].start)

    def end(self, node: cst.CSTNode) -> int:
        span = self._spans[node]
        return self._char(span.start + span.length)


class Walk:
    """The single pass. After `run`, `edits` and `notes` give the result."""

    def __init__(self, module: cst.Module, text: str, *, operators: bool) -> None:
        self.module = module
        self.text = text
        self.operators = operators
        self.spans = Spans(module, text)
        self.scope = Scope("module")
        self.block = self.scope.root
        self.imports_numpy = False
        # What is emitted, in program order: uses to resolve, and the pieces of routed operators.
        self.items: list[Use | Edit] = []
        self._established: list[tuple[list[Point], Point]] = []
        self._excuse = ""
        self._depth = 0

    def run(self) -> Walk:
        self._visit_all(self.module.body)
        return self

    def result(self, door: str) -> tuple[tuple[Edit, ...], tuple[Note, ...]]:
        """Resolve the uses and return the edits, sorted, and the notes."""
        edits: list[Edit] = []
        notes: list[Note] = []
        if not self.imports_numpy:
            return (), ()
        for item in self.items:
            if isinstance(item, Edit):
                edits.append(Edit(item.start, item.end, item.text.replace("\0", door), item.reason))
                continue
            found = self._replacement(item)
            if found is None:
                continue
            text, reason = found
            if item.excuse:
                notes.append(Note(item.start, f"{reason}, {item.excuse}"))
            else:
                edits.append(Edit(item.start, item.end, f"{door}.{text}", reason))
        edits.sort(key=lambda edit: edit.start)
        return tuple(edits), tuple(notes)

    @staticmethod
    def _replacement(use: Use) -> tuple[str, str] | None:
        if use.name == "type" and not use.attributes:
            if is_builtin(use.scope, use.name, use.point):
                return "type", "type() must see through arrays that are elsewhere"
            return None
        base = resolve(use.scope, use.name, use.point)
        if base is None:
            return None
        path = ".".join(part for part in (base, *use.attributes) if part)
        if not is_routed(path):
            return None
        return f"np.{base}" if base else "np", f"numpy.{path} is array work"

    # The walk proper. `_visit` dispatches on the node's type; what has no method is walked field by field.

    def _visit(self, node: object) -> None:
        method = _METHODS.get(type(node))
        if method is not None:
            method(self, node)
            return
        if not isinstance(node, cst.CSTNode):
            return
        for name in _fields_of(type(node)):
            value = getattr(node, name)
            if isinstance(value, cst.CSTNode):
                self._visit(value)
            elif isinstance(value, (list, tuple)):
                for child in value:
                    self._visit(child)

    def _visit_all(self, nodes: Iterable[object]) -> None:
        for node in nodes:
            self._visit(node)

    def _visit_block(self, body: cst.CSTNode | None, parent: Block | None = None) -> Block:
        outer = self.block
        self.block = block = Block(parent or outer)
        if body is not None:
            self._visit(body)
        self.block = outer
        return block

    def _visit_excused(self, nodes: Iterable[object], excuse: str) -> None:
        outer = self._excuse
        self._excuse = outer or excuse
        self._visit_all(nodes)
        self._excuse = outer

    def _point(self, node: cst.CSTNode) -> Point:
        return Point(self.block, self.spans.start(node))

    def _skip(self, node: cst.CSTNode) -> None:
        """A name that is read, a literal, a keyword: nothing to do."""

    # Bindings.

    def _bind_target(self, node: cst.CSTNode | None) -> None:
        if isinstance(node, cst.Name):
            self.scope.bind(node.value)
        elif isinstance(node, (cst.Tuple, cst.List)):
            for element in node.elements:
                self._bind_target(element.value)
        elif isinstance(node, cst.StarredElement):
            self._bind_target(node.value)
        elif node is not None:
            self._visit(node)

    def _establish(self, points: list[Point], point: Point) -> None:
        points.append(point)
        self._established.append((points, point))

    def _import(self, node: cst.Import) -> None:
        point = Point(self.block, self.spans.end(node))
        for alias in node.names:
            module = dotted_name(alias.name) or ""
            path = numpy_path(module)
            if alias.asname is None:
                name = module.partition(".")[0]
                target = None if path is None else ""
            else:
                name, target = alias.asname.name.value, path
            self._bind_import(name, target, point)

    def _import_from(self, node: cst.ImportFrom) -> None:
        point = Point(self.block, self.spans.end(node))
        module = dotted_name(node.module) or ""
        path = None if node.relative else numpy_path(module)
        if isinstance(node.names, cst.ImportStar):
            star = Star(path, "" if node.relative else module, [])
            self._establish(star.points, point)
            self.scope.module().stars.append(star)
            self.imports_numpy = self.imports_numpy or path is not None
            return
        for alias in node.names:
            original = dotted_name(alias.name) or ""
            name = alias.asname.name.value if alias.asname is not None else original
            target = None if path is None else f"{path}.{original}" if path else original
            self._bind_import(name, target, point)

    def _bind_import(self, name: str, target: str | None, point: Point) -> None:
        if target is None:
            self.scope.bind(name)
            return
        self.imports_numpy = True
        binding = self.scope.bind(name, target, point)
        if binding is not None:
            self._established.append((binding.points, point))

    def _lazy_import(self, node: cst.CSTNode) -> None:
        names = getattr(node, "names", ())
        if isinstance(names, cst.ImportStar):
            self.scope.module().stars.append(Star(None, "", [Point(self.block, self.spans.end(node))]))
            return
        for alias in names:
            bound = (
                alias.asname.name.value if alias.asname else (dotted_name(alias.name) or "").partition(".")[0]
            )
            self.scope.bind(bound)

    def _assign_target(self, node: cst.AssignTarget) -> None:
        self._bind_target(node.target)

    def _annotated_assign(self, node: cst.AnnAssign) -> None:
        self._bind_target(node.target)
        self._visit(node.annotation)
        self._visit(node.value)

    def _augmented_assign(self, node: cst.AugAssign) -> None:
        self._bind_target(node.target)
        self._visit(node.value)

    def _del(self, node: cst.Del) -> None:
        self._bind_target(node.target)

    def _as_name(self, node: cst.AsName) -> None:
        self._bind_target(node.name)

    def _walrus(self, node: cst.NamedExpr) -> None:
        if isinstance(node.target, cst.Name):
            self.scope.bind_walrus(node.target.value)
        self._visit(node.value)

    def _global(self, node: cst.Global | cst.Nonlocal) -> None:
        how = "global" if isinstance(node, cst.Global) else "nonlocal"
        for item in node.names:
            self.scope.declare(item.name.value, how)

    # Statements with blocks.

    def _for(self, node: cst.For) -> None:
        self._visit(node.iter)
        self._bind_target(node.target)
        self._visit_block(node.body)
        self._visit_block(node.orelse)

    def _while(self, node: cst.While) -> None:
        self._condition(node.test)
        self._visit_block(node.body)
        self._visit_block(node.orelse)

    _if = _while

    def _with(self, node: cst.With) -> None:
        self._visit_all(node.items)
        self._visit_block(node.body)

    def _try(self, node: cst.Try | cst.TryStar) -> None:
        since = len(self._established)
        body = self._visit_block(node.body)
        for handler in node.handlers:
            self._visit_block(handler)
        self._visit_block(node.orelse, body)
        self._visit_block(node.finalbody)
        if all(_leaves(handler.body) for handler in node.handlers):
            # Past the statement, the body has run to its end.
            after = Point(self.block, self.spans.end(node))
            for points, point in self._established[since:]:
                if point.block is body:
                    self._establish(points, after)

    def _match_case(self, node: cst.MatchCase) -> None:
        outer = self.block
        self.block = Block(outer)
        self._bind_pattern(node.pattern)
        if node.guard is not None:
            self._condition(node.guard)
        self._visit(node.body)
        self.block = outer

    def _bind_pattern(self, node: object) -> None:
        """Bind the names in a pattern; its values and classes are no expressions and stay as they are."""
        if isinstance(node, (cst.MatchAs, cst.MatchStar)) and node.name is not None:
            self.scope.bind(node.name.value)
        if isinstance(node, cst.MatchMapping) and node.rest is not None:
            self.scope.bind(node.rest.value)
        if not isinstance(node, cst.CSTNode) or isinstance(node, cst.MatchValue):
            return
        for name in _fields_of(type(node)):
            value = getattr(node, name)
            for child in value if isinstance(value, (list, tuple)) else (value,):
                self._bind_pattern(child)

    # Scopes.

    def _enter(self, kind: str, made_at: Point) -> tuple[Scope, Block]:
        outer = self.scope, self.block
        self.scope = Scope(kind, self.scope, made_at)
        self.block = self.scope.root
        return outer

    def _type_parameters(self, node: cst.FunctionDef | cst.ClassDef | cst.TypeAlias, made_at: Point) -> None:
        if node.type_parameters is not None:
            self._enter("type parameters", made_at)
            for parameter in node.type_parameters.params:
                self.scope.bind(parameter.param.name.value)
            self._visit_excused([node.type_parameters], "but type parameters stay as written")

    def _function(self, node: cst.FunctionDef) -> None:
        made_at = self._point(node)
        self._visit_all(node.decorators)
        self.scope.bind(node.name.value)
        self._visit(node.params)
        self._visit(node.returns)
        outer = self.scope, self.block
        self._type_parameters(node, made_at)
        self._enter("function", made_at)
        self._bind_parameters(node.params)
        self._visit(node.body)
        self.scope, self.block = outer

    def _lambda(self, node: cst.Lambda) -> None:
        self._visit(node.params)
        outer = self._enter("lambda", self._point(node))
        self._bind_parameters(node.params)
        self._visit(node.body)
        self.scope, self.block = outer

    def _bind_parameters(self, params: cst.Parameters) -> None:
        every = [
            *params.posonly_params,
            *params.params,
            *params.kwonly_params,
            params.star_arg,
            params.star_kwarg,
        ]
        for param in every:
            if isinstance(param, cst.Param):
                self.scope.bind(param.name.value)

    def _param(self, node: cst.Param) -> None:
        self._visit(node.annotation)
        self._visit(node.default)

    def _annotation(self, node: cst.Annotation) -> None:
        self._visit_excused([node.annotation], "but annotations stay as written")

    def _class(self, node: cst.ClassDef) -> None:
        made_at = self._point(node)
        self._visit_all(node.decorators)
        self.scope.bind(node.name.value)
        outer = self.scope, self.block
        if node.type_parameters is None:
            self._visit_all([*node.bases, *node.keywords])
        else:
            self._type_parameters(node, made_at)
            self._visit_excused(
                [*node.bases, *node.keywords], "but bases next to type parameters stay as written"
            )
        self._enter("class", made_at)
        self._visit(node.body)
        self.scope, self.block = outer

    def _type_alias(self, node: cst.TypeAlias) -> None:
        outer = self.scope, self.block
        self.scope.bind(node.name.value)
        self._type_parameters(node, self._point(node))
        self._visit_excused([node.value], "but type aliases stay as written")
        self.scope, self.block = outer

    def _comprehension(self, node: cst.BaseComp) -> None:
        clause: cst.CompFor | None = node.for_in
        if clause is None:
            return
        self._visit(clause.iter)
        outer = self._enter("comprehension", self._point(node))
        first = True
        while clause is not None:
            if not first:
                self._visit(clause.iter)
            self._bind_target(clause.target)
            for condition in clause.ifs:
                self._condition(condition.test)
            clause, first = clause.inner_for_in, False
        for name in ("elt", "key", "value"):
            self._visit(getattr(node, name, None))
        self.scope, self.block = outer

    # What is routed.

    def _attribute(self, node: cst.Attribute) -> None:
        self._visit(node.value)

    def _arg(self, node: cst.Arg) -> None:
        self._visit(node.value)

    def _formatted_string(self, node: cst.CSTNode) -> None:
        self._visit_excused(node.parts, "but f-strings stay as written")

    def _call(self, node: cst.Call) -> None:
        self._candidate(node)
        self._visit(node.func)
        self._visit_all(node.args)

    def _candidate(self, node: cst.Call) -> None:
        attributes: list[str] = []
        function = node.func
        while isinstance(function, cst.Attribute):
            attributes.append(function.attr.value)
            function = function.value
        if not isinstance(function, cst.Name):
            return
        if function.value == "type" and not attributes:
            if len(node.args) != 1 or node.args[0].star or node.args[0].keyword is not None:
                return
        start, end = self.spans.start(function), self.spans.end(function)
        excuse = self._excuse
        if len(attributes) == 1 and not excuse:
            # Python calls an imported module's function without binding a method; our longer chain binds one, and
            # the position of such a call moves to the attribute's own line. On one line both are equal.
            between = self.text[end : self.spans.end(node.func)]
            if "\n" in between or "\r" in between:
                excuse = "but its name spans lines"
        self.items.append(
            Use(
                self.scope,
                Point(self.block, start),
                function.value,
                tuple(reversed(attributes)),
                start,
                end,
                excuse,
            )
        )

    def _edit(self, start: int, end: int, text: str, reason: str) -> None:
        self.items.append(Edit(start, end, text, reason))

    def _open(self, start: int, end: int, function: str, reason: str) -> None:
        before = self.text[start - 1 : start] if start else ""
        space = " " if before == "_" or before.isalnum() else ""
        # "\0" stands for the door, which is known only when every name is.
        self._edit(start, end, f"{space}\0.op.{function}(", reason)

    def _may_route(self, *operands: cst.CSTNode) -> bool:
        return (
            self.operators
            and not self._excuse
            and self._depth < MAX_NESTED_OPERATORS
            and not any(_is_no_array(operand) for operand in operands)
            and not all(_is_constant(operand) for operand in operands)
        )

    def _binary(self, node: cst.BinaryOperation) -> None:
        found = BINARY.get(type(node.operator))
        if found is None or not self._may_route(node.left, node.right):
            self._visit(node.left)
            self._visit(node.right)
            return
        self._route_pair(node, node.left, node.operator, node.right, *found)

    def _condition(self, node: cst.CSTNode) -> None:
        """Visit what decides a jump. Comparisons in it stay: they are wanted for their truth, a single value.

        Up to Python 3.11, moreover, the jump has the place of a comparison but not that of a call, and it is the
        jump that raises if an array has no truth value.
        """
        if isinstance(node, cst.BooleanOperation):
            self._condition(node.left)
            self._condition(node.right)
        elif isinstance(node, cst.UnaryOperation) and isinstance(node.operator, cst.Not):
            self._condition(node.expression)
        elif isinstance(node, cst.IfExp):
            for part in (node.body, node.test, node.orelse):
                self._condition(part)
        elif isinstance(node, cst.Comparison):
            self._comparison_operands(node)
        else:
            self._visit(node)

    def _if_expression(self, node: cst.IfExp) -> None:
        self._visit(node.body)
        self._condition(node.test)
        self._visit(node.orelse)

    def _assert(self, node: cst.Assert) -> None:
        self._condition(node.test)
        self._visit(node.msg)

    def _comparison(self, node: cst.Comparison) -> None:
        if len(node.comparisons) == 1:
            target = node.comparisons[0]
            found = COMPARE.get(type(target.operator))
            if isinstance(target.operator, cst.NotEqual) and target.operator.value != "!=":
                found = None
            if found is not None and self._may_route(node.left, target.comparator):
                self._route_pair(node, node.left, target.operator, target.comparator, *found)
                return
        self._comparison_operands(node)

    def _comparison_operands(self, node: cst.Comparison) -> None:
        self._visit(node.left)
        for target in node.comparisons:
            self._visit(target.comparator)

    def _route_pair(
        self,
        node: cst.CSTNode,
        left: cst.CSTNode,
        operator: cst.CSTNode,
        right: cst.CSTNode,
        symbol: str,
        function: str,
    ) -> None:
        reason = f"the operator {symbol} may be array work"
        start, end = self.spans.start(node), self.spans.end(node)
        self._open(start, start, function, reason)
        self._depth += 1
        self._visit(left)
        # The operator becomes a comma, right after the left operand where both are on one line.
        begin, stop = self.spans.start(operator), self.spans.end(operator)
        if not self.text.startswith(symbol, begin):
            raise ValueError(f"the operator {symbol} is not at offset {begin}")
        stop = begin + len(symbol)
        while begin and self.text[begin - 1] in " \t":
            begin -= 1
        if self.text[begin - 1] in "\r\n\f\\":
            begin = stop - len(symbol)  # it starts its line: keep the indentation
        following = self.text[stop : stop + 1]
        self._edit(begin, stop, "," if following in " \t\r\n\\" else ", ", reason)
        self._visit(right)
        self._edit(end, end, ")", reason)
        self._depth -= 1

    def _unary(self, node: cst.UnaryOperation) -> None:
        found = UNARY.get(type(node.operator))
        if found is None or not self._may_route(node.expression):
            self._visit(node.expression)
            return
        symbol, function = found
        reason = f"the operator {symbol} may be array work"
        start, end = self.spans.start(node), self.spans.end(node)
        self._open(start, start + 1, function, reason)
        self._depth += 1
        self._visit(node.expression)
        self._edit(end, end, ")", reason)
        self._depth -= 1


def _is_no_array(node: cst.CSTNode) -> bool:
    if isinstance(node, cst.BinaryOperation):
        return isinstance(node.left, cst.BaseString) or isinstance(node.right, cst.BaseString)
    return isinstance(node, _NOT_ARRAYS)


def _is_constant(node: cst.CSTNode) -> bool:
    if isinstance(node, cst.UnaryOperation):
        return _is_constant(node.expression)
    if isinstance(node, cst.BinaryOperation):
        return _is_constant(node.right) and _is_constant(node.left)
    if isinstance(node, cst.Name):
        return node.value in ("None", "True", "False")
    if isinstance(node, cst.Tuple):
        return all(_is_constant(element.value) for element in node.elements)
    if isinstance(node, cst.ConcatenatedString):
        return _is_constant(node.left) and _is_constant(node.right)
    return isinstance(node, (cst.BaseNumber, cst.Ellipsis, cst.SimpleString))


def _leaves(body: cst.BaseSuite) -> bool:
    """Whether control certainly does not come out at the end of a handler."""
    statements: Sequence[cst.CSTNode] = body.body
    last = statements[-1] if statements else None
    if isinstance(last, cst.SimpleStatementLine):
        last = last.body[-1]
    if isinstance(last, cst.Expr) and isinstance(last.value, cst.Call):
        return dotted_name(last.value.func) in _EXITS
    return isinstance(last, _LEAVES)


_METHODS: dict[type, Callable[[Walk, object], None]] = {
    cst.Name: Walk._skip,
    cst.SimpleString: Walk._skip,
    cst.Integer: Walk._skip,
    cst.Float: Walk._skip,
    cst.Imaginary: Walk._skip,
    cst.Import: Walk._import,
    cst.ImportFrom: Walk._import_from,
    cst.AssignTarget: Walk._assign_target,
    cst.AnnAssign: Walk._annotated_assign,
    cst.AugAssign: Walk._augmented_assign,
    cst.Del: Walk._del,
    cst.AsName: Walk._as_name,
    cst.NamedExpr: Walk._walrus,
    cst.Global: Walk._global,
    cst.Nonlocal: Walk._global,
    cst.For: Walk._for,
    cst.While: Walk._while,
    cst.If: Walk._if,
    cst.With: Walk._with,
    cst.Try: Walk._try,
    cst.TryStar: Walk._try,
    cst.MatchCase: Walk._match_case,
    cst.FunctionDef: Walk._function,
    cst.Lambda: Walk._lambda,
    cst.Param: Walk._param,
    cst.Annotation: Walk._annotation,
    cst.ClassDef: Walk._class,
    cst.TypeAlias: Walk._type_alias,
    cst.ListComp: Walk._comprehension,
    cst.SetComp: Walk._comprehension,
    cst.DictComp: Walk._comprehension,
    cst.GeneratorExp: Walk._comprehension,
    cst.Attribute: Walk._attribute,
    cst.Arg: Walk._arg,
    cst.FormattedString: Walk._formatted_string,
    cst.Call: Walk._call,
    cst.BinaryOperation: Walk._binary,
    cst.Comparison: Walk._comparison,
    cst.UnaryOperation: Walk._unary,
    cst.IfExp: Walk._if_expression,
    cst.Assert: Walk._assert,
}
# Syntax that only newer releases of libcst know.
for _name, _method in {
    "TemplatedString": Walk._formatted_string,
    "StarredDictComp": Walk._comprehension,
    "LazyImport": Walk._lazy_import,
    "LazyImportFrom": Walk._lazy_import,
}.items():
    if hasattr(cst, _name):
        _METHODS[getattr(cst, _name)] = _method
