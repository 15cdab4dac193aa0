"""What a Python expression is, as far as its source tells. What may live here: names, literals and what is put together
from them, across the modules of one app. Nothing is run, and nothing is imported."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from locara.check.calls import Either, Made, Nothing, Other, Place, Table, Text, Unknown, Value, each, public
from locara.check.python_scopes import Binding, Module, Scope

MAX_DEPTH = 40
"""Steps from a name to its value. More is a program, not a constant."""
MAX_EITHER = 16
"""Values that a name may have. More come from data."""
MAX_TEXT = 2_000
"""Characters of a text that is put together."""
MAX_ITEMS = 256
"""Of a mapping."""

_PATHS = frozenset({"pathlib.Path", "pathlib.PurePath", "pathlib.PosixPath", "pathlib.WindowsPath"})
_MADE = ("locara.devices.wav.", "locara.devices.null.", "locara.devices.pushed.", "locara.testing.")
"""Sources and sinks that are no device of the machine."""


@dataclass(eq=False)
class Sources:
    """The modules of one app, by name, and what was found out about their expressions."""

    modules: Mapping[str, Module] = field(default_factory=dict)
    _values: dict[ast.AST, Value] = field(default_factory=dict)
    _references: dict[ast.AST, frozenset[str]] = field(default_factory=dict)
    _names: dict[str, frozenset[str]] = field(default_factory=dict)
    _constants: dict[str, Value] = field(default_factory=dict)

    # --- what a name stands for -----------------------------------------------------------------------------------------

    def references(self, node: ast.AST, scope: Scope, depth: int = 0) -> frozenset[str]:
        """The dotted names that an expression may stand for: ``v.session`` -> ``locara.voice.session``."""
        if node in self._references:
            return self._references[node]
        if depth > MAX_DEPTH:
            return frozenset()
        self._references[node] = frozenset()  # what stands for itself stands for nothing
        found = frozenset(list(self._references_of(node, scope, depth + 1))[:MAX_EITHER])
        self._references[node] = found
        return found

    def _references_of(self, node: ast.AST, scope: Scope, depth: int) -> set[str]:
        inner: list[ast.AST] = []
        match node:
            case ast.Name():
                return {one for bound in scope.find(node.id) for one in self._bound(bound, depth)}
            case ast.Attribute():
                return self._followed(f"{one}.{node.attr}" for one in self.references(node.value, scope, depth))
            case ast.Call():
                return self._called(node, scope, depth)
            case ast.IfExp():
                inner = [node.body, node.orelse]
            case ast.BoolOp():
                inner = [*node.values]
            case ast.NamedExpr():
                inner = [node.value]
            case _:
                pass
        return {one for part in inner for one in self.references(part, scope, depth)}

    def _bound(self, bound: Binding, depth: int) -> set[str]:
        if bound.kind == "import":
            return self._followed([bound.dotted])
        if bound.node is None:
            return set()
        found = self.references(bound.node, bound.scope, depth)
        if bound.kind == "value":
            return set(found)
        if bound.kind == "parameter":  # of a class that has methods we look for
            return {one for one in found if one.endswith(".Speaker")}
        return {one for one in found if one == "locara.speech.Speaker"} if bound.kind == "as" else set()

    def _called(self, node: ast.Call, scope: Scope, depth: int) -> set[str]:
        """What a call gives, for the few whose result is a name: getattr, imports, and a speaker."""
        function = self.references(node.func, scope, depth)
        if any(public(one) == "speech.speaker" for one in function):
            return {"locara.speech.Speaker"}
        words = [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        name = node.func.id if isinstance(node.func, ast.Name) and not scope.find(node.func.id) else ""
        if words and ("importlib.import_module" in function or name == "__import__"):
            return {words[0]} if name != "__import__" else {words[0].partition(".")[0]}
        if words and name == "getattr" and len(node.args) > 1:
            return self._followed(f"{one}.{words[0]}" for one in self.references(node.args[0], scope, depth))
        return set()

    def _followed(self, names: Iterable[str]) -> set[str]:
        """Names that lead into another module of the app, as what they are bound to there."""
        return {one for name in names for one in self._follow(name)}

    def _follow(self, name: str) -> frozenset[str]:
        home = self._home(name)
        if home is None:
            return frozenset({name})
        if name not in self._names:
            self._names[name] = frozenset()  # modules may import each other in a circle
            module, rest = home
            first, _, more = rest.partition(".")
            ends = {one for bound in module.scope.find(first) for one in self._bound(bound, 0)}
            self._names[name] = frozenset([f"{one}.{more}" if more else one for one in ends][:MAX_EITHER])
        return self._names[name]

    def _home(self, dotted: str) -> tuple[Module, str] | None:
        """The longest module of the app that ``dotted`` begins with, and the rest."""
        head, _, rest = dotted.rpartition(".")
        while head:
            if head in self.modules and dotted not in self.modules:
                return self.modules[head], rest
            head, _, last = head.rpartition(".")
            rest = f"{last}.{rest}"
        return None

    # --- what a value is ------------------------------------------------------------------------------------------------

    def value(self, node: ast.AST, scope: Scope, depth: int = 0) -> Value:
        """What an expression is."""
        if node in self._values:
            return self._values[node]
        at = self.place(node, scope)
        if depth > MAX_DEPTH:
            return Unknown("too far from a literal", at)
        self._values[node] = Unknown("defined by itself", at)
        found = self._value_of(node, scope, at, depth + 1)
        self._values[node] = found
        return found

    def place(self, node: ast.AST, scope: Scope) -> Place:
        """Line and column, in characters."""
        line, offset = getattr(node, "lineno", 1), getattr(node, "col_offset", 0)
        lines = scope.module.lines
        text = lines[line - 1] if line <= len(lines) else ""
        return line, len(text.encode("utf-8", "replace")[:offset].decode("utf-8", "ignore")) + 1

    def _value_of(self, node: ast.AST, scope: Scope, at: Place, depth: int) -> Value:
        kinds: Mapping[type[ast.AST], Callable[..., Value]] = {
            ast.Dict: self._dict,
            ast.Name: self._name,
            ast.Attribute: self._attribute,
            ast.Subscript: self._item,
            ast.JoinedStr: self._f_string,
            ast.BinOp: self._operation,
            ast.Call: self._made,
        }
        if type(node) in kinds:
            return kinds[type(node)](node, scope, at, depth)
        match node:
            case ast.Constant():
                return _constant(node.value, at)
            case ast.IfExp() | ast.BoolOp():
                parts = node.values if isinstance(node, ast.BoolOp) else [node.body, node.orelse]
                return either([self.value(one, scope, depth) for one in parts], at)
            case ast.NamedExpr():
                return self.value(node.value, scope, depth)
            case ast.Tuple() | ast.List() | ast.Set() | ast.UnaryOp() | ast.Lambda():
                return Other(type(node).__name__.lower(), at)
            case _:
                return Unknown("not a literal", at)

    def _f_string(self, node: ast.JoinedStr, scope: Scope, at: Place, depth: int) -> Value:
        return self._joined([self._part(one, scope, depth) for one in node.values], "an f-string", at)

    def _operation(self, node: ast.BinOp, scope: Scope, at: Place, depth: int) -> Value:
        parts = [self.value(node.left, scope, depth), self.value(node.right, scope, depth)]
        if isinstance(node.op, ast.Add):
            return self._joined(parts, "a sum", at)
        return _merged(parts, at) if isinstance(node.op, ast.BitOr) else Unknown("not a literal", at)

    def _part(self, node: ast.AST, scope: Scope, depth: int) -> Value:
        if isinstance(node, ast.FormattedValue):
            if node.format_spec is not None or node.conversion != -1:
                return Unknown("formatted", self.place(node, scope))
            return self.value(node.value, scope, depth)
        return self.value(node, scope, depth)

    def _joined(self, parts: list[Value], what: str, at: Place) -> Value:
        texts = [one.text for one in parts if isinstance(one, Text)]
        if len(texts) < len(parts) or sum(map(len, texts)) > MAX_TEXT:
            return Unknown(f"{what}, not a literal", at)
        return Text("".join(texts), at)

    def _dict(self, node: ast.Dict, scope: Scope, at: Place, depth: int) -> Value:
        parts: list[Value] = []
        for key, inner in zip(node.keys, node.values, strict=True):
            if key is None:
                parts.append(self.value(inner, scope, depth))
                continue
            name = self.value(key, scope, depth)
            items = {name.text: self.value(inner, scope, depth)} if isinstance(name, Text) else {}
            parts.append(Table(items, at, isinstance(name, Text)))
        return _merged(parts, at)

    def _name(self, node: ast.Name, scope: Scope, at: Place, depth: int) -> Value:
        bindings = scope.find(node.id)
        if not bindings:
            return Unknown(f"{node.id}, which is not bound in this file", at)
        return either([self._of_binding(one, node.id, at, depth) for one in bindings[: MAX_EITHER + 1]], at)

    def _of_binding(self, bound: Binding, name: str, at: Place, depth: int) -> Value:
        if bound.kind == "value" and bound.node is not None:
            return _at(self.value(bound.node, bound.scope, depth), at)
        if bound.kind == "each" and isinstance(bound.node, ast.Tuple | ast.List | ast.Set):
            return either([_at(self.value(one, bound.scope, depth), at) for one in bound.node.elts], at)
        if bound.kind == "import":
            return self._imported(bound.dotted, at, depth)
        what = {"parameter": "a parameter", "class": "a class", "as": "made by a with statement"}.get(bound.kind)
        return Unknown(
            f"{name}, {what}" if what else f"{name}, which is changed or bound in a way that is not followed", at
        )

    def _imported(self, dotted: str, at: Place, depth: int) -> Value:
        """A constant of another module of the app."""
        if dotted not in self._constants:
            self._constants[dotted] = Unknown("imported in a circle", at)
            self._constants[dotted] = self._constant_of(dotted, at, depth)
        return _at(self._constants[dotted], at)

    def _constant_of(self, dotted: str, at: Place, depth: int) -> Value:
        home = self._home(dotted)
        if home is None or depth > MAX_DEPTH:
            return Unknown(f"imported as {dotted}", at)
        module, rest = home
        first, _, attribute = rest.partition(".")
        bindings = module.scope.find(first)
        if attribute:
            return either([self._of_class(one, attribute, at, depth) for one in bindings], at)
        return either([self._of_binding(one, first, at, depth + 1) for one in bindings], at)

    def _attribute(self, node: ast.Attribute, scope: Scope, at: Place, depth: int) -> Value:
        """``settings.MODEL`` of a module of the app, ``Settings.MODEL`` of a class."""
        for name in self.references(node, scope, depth):
            if name.startswith(_MADE):
                return Made(name, at)
        if isinstance(node.value, ast.Name):
            bindings = scope.find(node.value.id)
            if bindings and all(one.kind == "class" for one in bindings):
                return either([self._of_class(one, node.attr, at, depth) for one in bindings], at)
            if bindings and all(one.kind == "import" for one in bindings):
                return either([self._imported(f"{one.dotted}.{node.attr}", at, depth) for one in bindings], at)
        return Unknown(f"the attribute {node.attr}", at)

    def _of_class(self, bound: Binding, attribute: str, at: Place, depth: int) -> Value:
        inner = bound.scope.module.classes.get(bound.node) if bound.node is not None else None
        if inner is not None and attribute in inner.bindings:
            return either([self._of_binding(one, attribute, at, depth) for one in inner.bindings[attribute]], at)
        return Unknown(f"the attribute {attribute}", at)

    def _item(self, node: ast.Subscript, scope: Scope, at: Place, depth: int) -> Value:
        key = self.value(node.slice, scope, depth)
        found: list[Value] = []
        for table in each(self.value(node.value, scope, depth)):
            if not isinstance(table, Table) or not isinstance(key, Text) or key.text not in table.items:
                return Unknown("an item, not a literal", at)
            found.append(table.items[key.text])
        return _at(either(found, at), at)

    def _made(self, node: ast.Call, scope: Scope, at: Place, depth: int) -> Value:
        names = self.references(node.func, scope, depth)
        if isinstance(node.func, ast.Name) and not scope.find(node.func.id) and node.func.id == "dict":
            parts: list[Value] = [self.value(one, scope, depth) for one in node.args]
            for one in node.keywords:
                inner = self.value(one.value, scope, depth)
                parts.append(Table({one.arg: inner}, at) if one.arg else inner)
            return _merged(parts, at)
        if names & _PATHS:
            return Made("a path", at)
        if any(one.startswith(_MADE) for one in names):
            return Made("an object", at)
        return Unknown("the result of a call", at)


def _constant(value: object, at: Place) -> Value:
    if value is None:
        return Nothing(at)
    return Text(value, at) if isinstance(value, str) else Other(value, at)


def _at(value: Value, at: Place) -> Value:
    """The same, at the place where a name for it is used."""
    if isinstance(value, Text):
        return Text(value.text, at)
    if isinstance(value, Unknown):
        return Unknown(value.what, at)
    return value


def either(values: list[Value], at: Place) -> Value:
    """One of them."""
    flat = tuple(dict.fromkeys(inner for one in values for inner in each(one) if not isinstance(inner, Table)))
    tables = tuple(inner for one in values for inner in each(one) if isinstance(inner, Table))
    found = (*flat, *tables)
    if not found or len(found) > MAX_EITHER:
        return Unknown("one of many values" if found else "not bound", at)
    return found[0] if len(found) == 1 else Either(found, at)


def _merged(parts: list[Value], at: Place) -> Value:
    """``{**a, **b}``, where both are known; later keys win."""
    items: dict[str, Value] = {}
    complete = True
    for part in parts:
        if not isinstance(part, Table):
            complete = False
            continue
        items |= part.items
        complete = complete and part.complete
    if len(items) > MAX_ITEMS:
        return Unknown("a large mapping", at)
    return Table(items, at, complete) if items or complete else Unknown("not a literal", at)
