"""Which names a Python module binds, where, and to what. What may live here: one walk over the syntax tree, no values.

The walk keeps its own stack, so that a deep tree costs memory and no recursion.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

MUTATING = frozenset({"update", "setdefault", "pop", "popitem", "clear", "__setitem__", "append", "extend", "insert"})
"""Methods after which a mapping or list is not what was written."""

Kind = Literal["value", "import", "each", "as", "parameter", "class", "opaque"]
_Comprehension = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_Function = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


@dataclass(frozen=True, slots=True, eq=False)
class Binding:
    """One way a name gets its value. ``node``: the expression (``value``, ``each`` of it, ``as`` of a with), the
    annotation of a parameter, or the class; ``dotted``: what an import names; ``scope``: where ``node`` is evaluated."""

    kind: Kind
    scope: Scope
    node: ast.AST | None = None
    dotted: str = ""


@dataclass(eq=False)
class Scope:
    """A module, class, function or comprehension."""

    parent: Scope | None = None
    is_class: bool = False
    is_comprehension: bool = False
    bindings: dict[str, list[Binding]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    """Of a module: its text, because Python counts columns in bytes."""
    classes: dict[ast.AST, Scope] = field(default_factory=dict)
    """Of a module: class -> its scope."""
    elsewhere: dict[str, Scope] = field(default_factory=dict)
    """Names that ``global`` and ``nonlocal`` send to another scope."""

    @property
    def module(self) -> Scope:
        """The outermost."""
        scope = self
        while scope.parent is not None:
            scope = scope.parent
        return scope

    def bind(self, name: str, binding: Binding) -> None:
        """One more way."""
        home = self.elsewhere.get(name, self)
        home.bindings.setdefault(name, []).append(binding)

    def find(self, name: str) -> tuple[Binding, ...]:
        """What Python would look at: this scope, then those around it without the classes. Empty: built-in or missing."""
        scope: Scope | None = self.elsewhere.get(name, self)
        first = True
        while scope is not None:
            if name in scope.bindings and (first or not scope.is_class):
                return tuple(scope.bindings[name])
            scope, first = scope.parent, False
        return ()

    def where(self, name: str) -> Scope:
        """The scope whose binding `find` finds, else the module."""
        scope: Scope | None = self.elsewhere.get(name, self)
        while scope is not None and name not in scope.bindings:
            scope = scope.parent
        return scope or self.module


@dataclass(eq=False)
class Module:
    """A parsed module. ``expressions``: each call, name and attribute that is read, in the order of the source, and the
    scope it is evaluated in; ``parents``: the node around each of them; ``stars``: star imports of Locara."""

    name: str
    scope: Scope
    expressions: list[tuple[ast.expr, Scope]] = field(default_factory=list)
    parents: dict[ast.AST, ast.AST] = field(default_factory=dict)
    stars: list[ast.ImportFrom] = field(default_factory=list)


def module_of(tree: ast.Module, name: str, lines: list[str], *, is_package: bool = False) -> Module:
    """``name``: its dotted name, for relative imports; ``lines``: its text."""
    module = _Walk(name, is_package).run(tree)
    module.scope.lines = lines
    return module


class _Walk:
    def __init__(self, name: str, is_package: bool) -> None:
        self._package = name if is_package else name.rpartition(".")[0]
        self.module = Module(name, Scope())
        self._stack: list[tuple[ast.AST, Scope]] = []
        self._changed: list[tuple[str, Scope]] = []

    def run(self, tree: ast.Module) -> Module:
        """The whole tree."""
        self._push(tree, self.module.scope)
        while self._stack:
            node, scope = self._stack.pop()
            self._visit(node, scope)
        for name, scope in self._changed:
            home = scope.where(name)
            if name in home.bindings:
                home.bindings[name].append(Binding("opaque", home))
        return self.module

    def _push(self, parent: ast.AST, scope: Scope, children: Iterable[ast.AST] | None = None) -> None:
        nodes = list(ast.iter_child_nodes(parent) if children is None else children)
        for node in reversed(nodes):
            self.module.parents[node] = parent
            self._stack.append((node, scope))

    def _visit(self, node: ast.AST, scope: Scope) -> None:
        if isinstance(node, (*_Function, ast.ClassDef)):
            self._definition(node, scope)
        elif isinstance(node, _Comprehension):
            self._comprehension(node, scope)
        else:
            self._bind(node, scope)
            if isinstance(node, ast.Call) or (isinstance(node, ast.Name | ast.Attribute) and _is_read(node)):
                self.module.expressions.append((node, scope))
            self._push(node, scope)

    def _definition(self, node: ast.AST, scope: Scope) -> None:
        inner = Scope(scope, isinstance(node, ast.ClassDef))
        outside: list[ast.AST] = []
        if isinstance(node, ast.ClassDef):
            scope.module.classes[node] = inner
            scope.bind(node.name, Binding("class", scope, node))
            outside = [*node.decorator_list, *node.bases, *node.keywords]
        elif isinstance(node, _Function):
            if not isinstance(node, ast.Lambda):
                scope.bind(node.name, Binding("opaque", scope))
                outside = [*node.decorator_list, *([node.returns] if node.returns else [])]
            outside += self._parameters(node.args, scope, inner)
        body: list[ast.AST] = [node.body] if isinstance(node, ast.Lambda) else list(getattr(node, "body", []))
        self._push(node, inner, body)
        self._push(node, scope, outside)

    def _parameters(self, args: ast.arguments, scope: Scope, inner: Scope) -> Iterator[ast.AST]:
        for one in (*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg):
            if one is not None:
                inner.bind(one.arg, Binding("parameter", scope, one.annotation))
                if one.annotation is not None:
                    yield one.annotation
        yield from args.defaults
        yield from (one for one in args.kw_defaults if one is not None)

    def _comprehension(self, node: ast.AST, scope: Scope) -> None:
        inner = Scope(scope, is_comprehension=True)
        parts: list[ast.AST] = []
        for generator in getattr(node, "generators", []):
            self._target(generator.target, Binding("each", inner, generator.iter), inner)
            parts += [generator.iter, *generator.ifs]
        for name in ("elt", "key", "value"):
            if (part := getattr(node, name, None)) is not None:
                parts.append(part)
        self._push(node, inner, parts)

    def _bind(self, node: ast.AST, scope: Scope) -> None:  # noqa: C901, PLR0912  one line for each way of Python
        match node:
            case ast.Assign():
                for target in node.targets:
                    self._target(target, Binding("value", scope, node.value), scope)
            case ast.AnnAssign():
                if node.value is not None:
                    self._target(node.target, Binding("value", scope, node.value), scope)
            case ast.NamedExpr():
                home = scope
                while home.parent is not None and home.is_comprehension:
                    home = home.parent
                self._target(node.target, Binding("value", scope, node.value), home)
            case ast.AugAssign():
                self._target(node.target, Binding("opaque", scope), scope)
            case ast.For() | ast.AsyncFor():
                self._target(node.target, Binding("each", scope, node.iter), scope)
            case ast.withitem():
                if node.optional_vars is not None:
                    self._target(node.optional_vars, Binding("as", scope, node.context_expr), scope)
            case ast.ExceptHandler() | ast.MatchAs() | ast.MatchStar():
                if node.name:
                    scope.bind(node.name, Binding("opaque", scope))
            case ast.MatchMapping():
                if node.rest:
                    scope.bind(node.rest, Binding("opaque", scope))
            case ast.Delete():
                for target in node.targets:
                    self._changes(target, scope)
            case ast.Global() | ast.Nonlocal():
                for name in node.names:
                    scope.elsewhere[name] = scope.module if isinstance(node, ast.Global) else scope.parent or scope
            case ast.Import():
                for alias in node.names:
                    dotted = alias.name if alias.asname else alias.name.partition(".")[0]
                    scope.bind(alias.asname or dotted, Binding("import", scope, None, dotted))
            case ast.ImportFrom():
                self._import_from(node, scope)
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=attr)) if attr in MUTATING:
                self._changed.append((name, scope))
            case _:
                pass

    def _import_from(self, node: ast.ImportFrom, scope: Scope) -> None:
        base = node.module or ""
        if node.level:
            package = self._package.split(".") if self._package else []
            kept = package[: len(package) - (node.level - 1)]
            base = ".".join([*kept, *([base] if base else [])])
        for alias in node.names:
            if alias.name != "*":
                scope.bind(alias.asname or alias.name, Binding("import", scope, None, f"{base}.{alias.name}"))
            elif base == "locara" or base.startswith("locara."):
                self.module.stars.append(node)
                for name in ("voice", "transcribe", "speech", "llm", "session", "say", "speaker", "transcriber",
                             "from_file", "synthesize", "stream", "chat", "chat_stream", "chatter"):  # fmt: skip
                    scope.bind(name, Binding("import", scope, None, f"{base}.{name}"))

    def _target(self, target: ast.AST, binding: Binding, scope: Scope) -> None:
        stack: list[tuple[ast.AST, Binding]] = [(target, binding)]
        while stack:
            one, bound = stack.pop()
            if isinstance(one, ast.Name):
                scope.bind(one.id, bound)
            elif isinstance(one, ast.Tuple | ast.List):
                stack += _unpacked(one, bound)
            elif isinstance(one, ast.Starred):
                stack.append((one.value, Binding("opaque", scope)))
            else:
                self._changes(one, scope)

    def _changes(self, target: ast.AST, scope: Scope) -> None:
        """``name[...] = `` and ``name.x = ``: the name is not what was written."""
        while isinstance(target, ast.Subscript | ast.Attribute):
            target = target.value
        if isinstance(target, ast.Name):
            self._changed.append((target.id, scope))


def _unpacked(target: ast.Tuple | ast.List, binding: Binding) -> list[tuple[ast.AST, Binding]]:
    """``a, b = "x", "y"``: each its own; what does not match is not known."""
    source = binding.node if binding.kind == "value" else None
    parts = source.elts if isinstance(source, ast.Tuple | ast.List) else []
    starred = any(isinstance(one, ast.Starred) for one in (*parts, *target.elts))
    if len(parts) == len(target.elts) and not starred:
        return [(one, Binding("value", binding.scope, part)) for one, part in zip(target.elts, parts, strict=True)]
    return [(one, Binding("opaque", binding.scope)) for one in target.elts]


def _is_read(node: ast.Name | ast.Attribute) -> bool:
    return isinstance(node.ctx, ast.Load)
