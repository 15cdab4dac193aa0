"""What a JavaScript expression is, as far as its source tells. What may live here: the names of one file and literals."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from locara.check.calls import Nothing, Other, Place, Table, Text, Unknown, Value, each
from locara.check.python_values import MAX_DEPTH, MAX_EITHER, MAX_TEXT, either

_INSIDE = frozenset({
    "parenthesized_expression", "as_expression", "satisfies_expression", "non_null_expression", "await_expression",
    "type_assertion",
})  # fmt: skip
"""Around an expression without changing what it is."""
_ESCAPE = re.compile(r"\\(u\{[0-9a-fA-F]{1,6}\}|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|\r?\n|.)", re.DOTALL)
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0"}
_ASSIGNING = frozenset({"assignment_expression", "augmented_assignment_expression"})


def snake(name: str) -> str:
    """``turnDetection`` -> ``turn_detection``."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda found: "_" + found[1].lower(), name)


class Names:
    """The bindings of a file. ``uses_sdk``: it imports the SDK."""

    def __init__(self, nodes: list[Any], sdk: re.Pattern[str]) -> None:
        self._sdk = sdk
        self._values: dict[str, list[Any]] = {}
        self._opaque: set[str] = set()
        self._rooms: dict[str, str] = {}
        self._known: dict[int, Value] = {}
        self.uses_sdk = False
        for node in nodes:
            self._bind(node)

    def _bind(self, node: Any) -> None:
        if node.type == "import_statement":
            self._import(node)
        elif node.type == "variable_declarator":
            self._declare(node.child_by_field_name("name"), node.child_by_field_name("value"))
        elif node.type in _ASSIGNING or node.type == "update_expression":
            left = node.child_by_field_name("left") or node.child_by_field_name("argument")
            self._changed(left)
        elif node.type == "call_expression":
            self._dynamic(node)
        elif node.type in ("formal_parameters", "for_in_statement", "arrow_function", "catch_clause"):
            for name in ("left", "parameter"):
                self._parameter(node.child_by_field_name(name))
            if node.type == "formal_parameters":
                for one in node.named_children:
                    self._parameter(one)

    def _parameter(self, node: Any) -> None:
        """Every name in it is bound to something that the source does not tell."""
        stack = [node] if node is not None else []
        while stack:
            one = stack.pop()
            if one.type in ("identifier", "shorthand_property_identifier_pattern"):
                self._opaque.add(_text(one))
            stack.extend(one.named_children)

    def _import(self, node: Any) -> None:
        source = node.child_by_field_name("source")
        if source is None or not self._sdk.search(_string(source)):
            self._parameter(next((one for one in node.named_children if one.type == "import_clause"), None))
            return
        self.uses_sdk = True
        for clause in (one for one in node.named_children if one.type == "import_clause"):
            for one in clause.named_children:
                if one.type == "named_imports":
                    for specifier in (each_ for each_ in one.named_children if each_.type == "import_specifier"):
                        name = specifier.child_by_field_name("name")
                        alias = specifier.child_by_field_name("alias") or name
                        self._rooms[_text(alias)] = _text(name)
                elif one.type == "namespace_import":
                    self._rooms[_text(one.named_children[0])] = ""
                elif one.type == "identifier":
                    self._rooms[_text(one)] = ""

    def _dynamic(self, node: Any) -> None:
        """``const { voice } = await import("./locara.js")``, and ``const sdk = await import(...)``."""
        function, arguments = node.child_by_field_name("function"), node.child_by_field_name("arguments")
        if function is None or function.type != "import" or arguments is None or not arguments.named_children:
            return
        if self._sdk.search(_string(arguments.named_children[0])):
            self.uses_sdk = True

    def _declare(self, target: Any, value: Any) -> None:
        if target is None:
            return
        if target.type == "identifier":
            self._values.setdefault(_text(target), []).append(value)
        elif target.type == "object_pattern" and value is not None:
            for one in target.named_children:
                if one.type == "shorthand_property_identifier_pattern":
                    self._values.setdefault(_text(one), []).append((value, _text(one)))
                elif one.type == "pair_pattern" and one.child_by_field_name("value").type == "identifier":
                    name = _text(one.child_by_field_name("value"))
                    self._values.setdefault(name, []).append((value, _text(one.child_by_field_name("key"))))
                else:
                    self._parameter(one)
        else:
            self._parameter(target)

    def _changed(self, target: Any) -> None:
        while target is not None and target.type in ("member_expression", "subscript_expression"):
            target = target.child_by_field_name("object")
        if target is not None and target.type == "identifier":
            self._opaque.add(_text(target))
        elif target is not None:
            self._parameter(target)

    def place(self, node: Any) -> Place:
        """Line and column, in characters; tree-sitter counts bytes."""
        row, column = node.start_point
        start = node.start_byte - column
        root = node
        while root.parent is not None:
            root = root.parent
        line = (root.text or b"")[start - root.start_byte : node.start_byte - root.start_byte]
        return int(row) + 1, len(line.decode("utf-8", "replace")) + 1

    # --- what an expression is --------------------------------------------------------------------------------------------

    def reference(self, node: Any, depth: int = 0) -> str:
        """``voice.session`` for what is that of the SDK; an empty text else; ``.`` for the SDK itself."""
        if node is None or depth > MAX_DEPTH:
            return ""
        if node.type in _INSIDE:
            return self.reference(node.named_children[0] if node.named_children else None, depth + 1)
        if node.type == "identifier":
            return self._of_name(_text(node), depth)
        if node.type in ("member_expression", "subscript_expression"):
            base = self.reference(node.child_by_field_name("object"), depth + 1)
            inner = node.child_by_field_name("property") or node.child_by_field_name("index")
            name = _string(inner) if inner is not None and inner.type == "string" else _text(inner)
            return (name if base == "." else f"{base}.{name}") if base else ""
        if node.type == "call_expression":
            function, arguments = node.child_by_field_name("function"), node.child_by_field_name("arguments")
            if function is not None and function.type == "import" and arguments.named_children:
                return "." if self._sdk.search(_string(arguments.named_children[0])) else ""
        return ""

    def _of_name(self, name: str, depth: int) -> str:
        if name in self._rooms:
            return self._rooms[name] or "."
        for value in self._values.get(name, []):
            if isinstance(value, tuple):
                base = self.reference(value[0], depth + 1)
                found = (value[1] if base == "." else f"{base}.{value[1]}") if base else ""
            else:
                found = self.reference(value, depth + 1)
            if found:
                return found
        return ""

    def value(self, node: Any, depth: int = 0) -> Value:
        """What an expression is."""
        at = self.place(node)
        if depth > MAX_DEPTH:
            return Unknown("too far from a literal", at)
        if node.id not in self._known:
            self._known[node.id] = Unknown("defined by itself", at)
            self._known[node.id] = self._value_of(node, at, depth + 1)
        return self._known[node.id]

    def _value_of(self, node: Any, at: Place, depth: int) -> Value:
        kind = node.type
        found: Value = Unknown("not a literal", at)
        if kind == "string":
            found = Text(_string(node), at)
        elif kind in ("null", "undefined"):
            found = Nothing(at)
        elif kind in ("number", "true", "false", "array", "regex"):
            found = Other({"true": True, "false": False}.get(kind, kind), at)
        elif kind in _INSIDE:
            found = self.value(node.named_children[0], depth) if node.named_children else found
        elif kind == "identifier":
            found = self._name(_text(node), at, depth)
        else:
            found = self._composed(node, at, depth)
        return found

    def _composed(self, node: Any, at: Place, depth: int) -> Value:
        kinds: Mapping[str, Callable[[Any, Place, int], Value]] = {
            "object": self._object,
            "template_string": self._template,
            "ternary_expression": self._ternary,
            "binary_expression": self._operation,
            "member_expression": self._item,
            "subscript_expression": self._item,
        }
        if node.type in kinds:
            return kinds[node.type](node, at, depth)
        what = {"call_expression": "the result of a call", "new_expression": "an object"}.get(
            node.type, "not a literal"
        )
        return Unknown(what, at)

    def _ternary(self, node: Any, at: Place, depth: int) -> Value:
        branches = [node.child_by_field_name(name) for name in ("consequence", "alternative")]
        return either([self.value(one, depth) for one in branches if one is not None], at)

    def _operation(self, node: Any, at: Place, depth: int) -> Value:
        sides = [node.child_by_field_name(name) for name in ("left", "right")]
        values = [self.value(one, depth) for one in sides if one is not None]
        operator = _text(node.child_by_field_name("operator"))
        if operator in ("||", "??", "&&"):
            return either(values, at)
        return _joined(values, at) if operator == "+" else Unknown("not a literal", at)

    def _name(self, name: str, at: Place, depth: int) -> Value:
        if name == "undefined":
            return Nothing(at)
        values = self._values.get(name, [])
        if name in self._opaque or not values or len(values) > MAX_EITHER:
            return Unknown(f"{name}, which is not one literal of this file", at)
        found = []
        for one in values:
            if one is None or isinstance(one, tuple):
                return Unknown(f"{name}, which is not one literal of this file", at)
            found.append(_at(self.value(one, depth), at))
        return either(found, at)

    def _object(self, node: Any, at: Place, depth: int) -> Value:
        items: dict[str, Value] = {}
        complete = True
        for one in node.named_children:
            if one.type == "shorthand_property_identifier":
                items[_text(one)] = self._name(_text(one), self.place(one), depth)
            elif one.type == "pair":
                key = one.child_by_field_name("key")
                name = _string(key) if key.type == "string" else _text(key)
                if key.type == "computed_property_name" or one.child_by_field_name("value") is None:
                    complete = False
                else:
                    items[name] = self.value(one.child_by_field_name("value"), depth)
            elif one.type == "spread_element" and one.named_children:
                inner = self.value(one.named_children[0], depth)
                if isinstance(inner, Table):
                    items |= inner.items
                    complete = complete and inner.complete
                else:
                    complete = False
            elif one.type != "comment":
                complete = False
        return Table(items, at, complete)

    def _template(self, node: Any, at: Place, depth: int) -> Value:
        parts: list[Value] = []
        for one in node.named_children:
            if one.type == "template_substitution":
                parts.append(self.value(one.named_children[0], depth) if one.named_children else Unknown("", at))
            else:
                parts.append(Text(_unescaped(_text(one)), at))
        if not node.named_children:  # older grammars give no node for the text between the marks
            parts.append(Text(_unescaped(_text(node)[1:-1]), at))
        return _joined(parts, at)

    def _item(self, node: Any, at: Place, depth: int) -> Value:
        inner = node.child_by_field_name("property") or node.child_by_field_name("index")
        base = node.child_by_field_name("object")
        if inner is None or base is None:
            return Unknown("an item, not a literal", at)
        key = _string(inner) if inner.type == "string" else _text(inner) if inner.type == "property_identifier" else ""
        found: list[Value] = []
        for table in each(self.value(base, depth)):
            if not isinstance(table, Table) or key not in table.items:
                return Unknown("an item, not a literal", at)
            found.append(table.items[key])
        return _at(either(found, at), at)


def _joined(parts: list[Value], at: Place) -> Value:
    texts = [one.text for one in parts if isinstance(one, Text)]
    if len(texts) < len(parts) or sum(map(len, texts)) > MAX_TEXT:
        return Unknown("put together, not a literal", at)
    return Text("".join(texts), at)


def _at(value: Value, at: Place) -> Value:
    return Text(value.text, at) if isinstance(value, Text) else value


def _text(node: Any) -> str:
    return "" if node is None else (node.text or b"").decode("utf-8", "replace")


def _string(node: Any) -> str:
    """The value of a string literal, an empty text for anything else."""
    return _unescaped(_text(node)[1:-1]) if node is not None and node.type in ("string", "template_string") else ""


def _unescaped(text: str) -> str:
    def letter(found: re.Match[str]) -> str:
        escape = found[1]
        if len(escape) > 1 and escape[0] in "ux":
            number = int(escape[1:].strip("{}"), 16)
            return chr(number) if number <= 0x10FFFF else ""
        return "" if escape.endswith("\n") else _LETTERS.get(escape, escape)

    return _ESCAPE.sub(letter, text)
