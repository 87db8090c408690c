"""The walk over a module's concrete syntax tree: scopes, blocks and what binds names.

One pass in program order, reported to `names`. `routing` adds what is routed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import libcst as cst

from minpy.transform.names import MATH, SCIPY, Block, Given, Point, Scope, Star, library_path
from minpy.transform.syntax import Spans, child_fields, dotted_name, leaves


class Bindings:
    """Walks a module and records its scopes and bindings."""

    methods: ClassVar[dict[type, Callable[[Any, Any], None]]] = {}

    def __init__(self, module: cst.Module, text: str) -> None:
        self.module = module
        self.text = text
        self.spans = Spans(module)
        self.scope = Scope("module")
        self.block = self.scope.root
        self.imports_numpy = False
        self.imports_math = False
        self._established: list[tuple[list[Point], Point]] = []
        # Why array work would be left alone where the walk is now; "" in ordinary places.
        self._excuse = ""

    def grant(self, given: Given) -> None:
        """Take names of the module as bound before its text begins; to be called before `run`."""
        before = Point(self.scope.root, -1)
        for name, target in given.items():
            self._bind_import(name, target, before)

    def run(self) -> None:
        """Walk the module."""
        self._visit_all(self.module.body)

    # The walk proper. `_visit` dispatches on the node's type; what has no method is walked field by field.

    def _visit(self, node: object) -> None:
        method = self.methods.get(type(node))
        if method is not None:
            method(self, node)
            return
        if not isinstance(node, cst.CSTNode):
            return
        for name in child_fields(type(node)):
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
            path = library_path(module)
            if alias.asname is None:
                name = module.partition(".")[0]
                target = library_path(name) if path is not None else None
            else:
                name, target = alias.asname.name.value, path
            self._bind_import(name, target, point)

    def _import_from(self, node: cst.ImportFrom) -> None:
        point = Point(self.block, self.spans.end(node))
        module = dotted_name(node.module) or ""
        path = None if node.relative else library_path(module)
        if isinstance(node.names, cst.ImportStar):
            if path is not None and path.startswith(SCIPY):
                path = None  # what SciPy's modules bind differs from release to release
                self.imports_numpy = True
            star = Star(path, "" if node.relative else module, [])
            self._establish(star.points, point)
            self.scope.module().stars.append(star)
            self._imported(path)
            return
        for alias in node.names:
            original = dotted_name(alias.name) or ""
            name = alias.asname.name.value if alias.asname is not None else original
            target = None if path is None else f"{path}.{original}" if path else original
            self._bind_import(name, target, point)

    def _imported(self, path: str | None) -> None:
        if path is not None and path.startswith(MATH):
            self.imports_math = True
        elif path is not None:
            self.imports_numpy = True

    def _bind_import(self, name: str, target: str | None, point: Point) -> None:
        if target is None:
            self.scope.bind(name)
            return
        self._imported(target)
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
        if all(leaves(handler.body) for handler in node.handlers):
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
        for name in child_fields(type(node)):
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

    # Where the walk goes through parts that bind nothing themselves.

    def _condition(self, node: cst.CSTNode) -> None:
        """Visit what decides a jump."""
        self._visit(node)

    def _attribute(self, node: cst.Attribute) -> None:
        self._visit(node.value)

    def _arg(self, node: cst.Arg) -> None:
        self._visit(node.value)

    def _formatted_string(self, node: cst.CSTNode) -> None:
        self._visit_excused(node.parts, "but f-strings stay as written")


Bindings.methods = {
    cst.Name: Bindings._skip,
    cst.SimpleString: Bindings._skip,
    cst.Integer: Bindings._skip,
    cst.Float: Bindings._skip,
    cst.Imaginary: Bindings._skip,
    cst.Import: Bindings._import,
    cst.ImportFrom: Bindings._import_from,
    cst.AssignTarget: Bindings._assign_target,
    cst.AnnAssign: Bindings._annotated_assign,
    cst.AugAssign: Bindings._augmented_assign,
    cst.Del: Bindings._del,
    cst.AsName: Bindings._as_name,
    cst.NamedExpr: Bindings._walrus,
    cst.Global: Bindings._global,
    cst.Nonlocal: Bindings._global,
    cst.For: Bindings._for,
    cst.While: Bindings._while,
    cst.If: Bindings._if,
    cst.With: Bindings._with,
    cst.Try: Bindings._try,
    cst.TryStar: Bindings._try,
    cst.MatchCase: Bindings._match_case,
    cst.FunctionDef: Bindings._function,
    cst.Lambda: Bindings._lambda,
    cst.Param: Bindings._param,
    cst.Annotation: Bindings._annotation,
    cst.ClassDef: Bindings._class,
    cst.TypeAlias: Bindings._type_alias,
    cst.ListComp: Bindings._comprehension,
    cst.SetComp: Bindings._comprehension,
    cst.DictComp: Bindings._comprehension,
    cst.GeneratorExp: Bindings._comprehension,
    cst.Attribute: Bindings._attribute,
    cst.Arg: Bindings._arg,
    cst.FormattedString: Bindings._formatted_string,
}
# Syntax that only newer releases of libcst know.
for _name, _method in {
    "TemplatedString": Bindings._formatted_string,
    "StarredDictComp": Bindings._comprehension,
    "LazyImport": Bindings._lazy_import,
    "LazyImportFrom": Bindings._lazy_import,
}.items():
    if hasattr(cst, _name):
        Bindings.methods[getattr(cst, _name)] = _method
