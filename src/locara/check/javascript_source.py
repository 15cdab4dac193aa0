"""The calls of the browser SDK in JavaScript and TypeScript. What may live here: parsing, and going through the calls.

The parser is tree-sitter (the extra ``check-js``). Names are looked up in the whole file: a name that is bound twice may be
either, which is never less than what runs.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from locara.check.calls import FUNCTIONS, Call, Fault, Place, Table, Text, Unfollowed, Unknown, Value
from locara.check.javascript_values import Names, snake

Found = Call | Unfollowed | Fault

SDK = re.compile(r"(^|/)locara(\.min)?\.m?js([?#].*)?$|^(@locara/.+|locara)$")
"""What a module of the SDK is imported as."""
_MENTIONS = re.compile(rb"""["'`][^"'`\n]*locara[^"'`\n]*["'`]""")
_ROOMS = frozenset({"voice", "transcribe", "speech", "llm"})
_PYTHON_ONLY = frozenset({"devices.list_devices", "devices.microphone", "devices.speaker", "speech.Speaker.say"})
_NO_VALUE = frozenset(
    {"member_expression", "subscript_expression", "import_specifier", "import_clause", "pair_pattern"}
)
"""Around a name that is no value there: the beginning of a longer name, or a name that is bound."""
_EXTRA = 'pip install "locara[check-js]"'
_FOLLOW = "call it by its name, so that it can be checked here; the run time checks it in any case"


def read(files: Mapping[str, bytes]) -> Iterator[tuple[str, Found]]:
    """The calls in the files that name the SDK: relative path -> what is in it. Never raises for any bytes."""
    named = {path: data for path, data in files.items() if _MENTIONS.search(data)}
    for path, data in named.items():
        parser = _parser(path)
        if parser is None:
            what = "it seems to use the browser SDK, and JavaScript is read by an extra that is not installed"
            yield path, Fault((1, 1), what, _EXTRA)
            continue
        tree = parser.parse(data)
        for found in _File(tree.root_node).found():
            yield path, found


def _parser(path: str) -> Any:
    """A parser for the file, by the end of its name; None without the extra."""
    kind = path.rpartition(".")[2].lower()
    try:
        sitter = importlib.import_module("tree_sitter")
        if kind in ("ts", "mts", "cts", "tsx"):
            grammar = importlib.import_module("tree_sitter_typescript")
            language = grammar.language_tsx() if kind == "tsx" else grammar.language_typescript()
        else:
            language = importlib.import_module("tree_sitter_javascript").language()
    except ImportError:
        return None
    return sitter.Parser(sitter.Language(language))


class _File:
    def __init__(self, root: Any) -> None:
        self._root = root
        self._nodes = list(_walk(root))
        self._names = Names(self._nodes, SDK)

    def found(self) -> Iterator[Found]:
        """The calls; a fault for each error of the parser, the first only."""
        if not self._names.uses_sdk:
            return
        if self._root.has_error:
            broken = next((one for one in self._nodes if one.is_error or one.is_missing), self._root)
            yield Fault(self._names.place(broken), "it is not JavaScript or TypeScript here", "mend it")
        for node in self._nodes:
            if node.type == "call_expression":
                yield from self._call(node)
            elif node.type in ("identifier", "member_expression", "subscript_expression"):
                yield from self._as_value(node)

    def _function(self, node: Any) -> str:
        """The name in `FUNCTIONS` of what an expression is, or an empty text."""
        name = self._names.reference(node)
        room, _, rest = name.partition(".")
        known = f"{room}.{snake(rest)}"
        return known if known in FUNCTIONS and known not in _PYTHON_ONLY else ""

    def _call(self, node: Any) -> Iterator[Found]:
        function = self._function(node.child_by_field_name("function"))
        if not function:
            return
        arguments = [one for one in node.child_by_field_name("arguments").named_children if one.type != "comment"]
        at = self._names.place(node)
        most = len(FUNCTIONS[function].positional)
        complete = not any(one.type == "spread_element" for one in arguments)
        values = [self._names.value(one) for one in arguments] if complete else []
        keywords: dict[str, Value] = {}
        places: dict[str, Place] = {}
        if len(values) > most:
            options = values[most]
            if isinstance(options, Table):
                keywords = {snake(name): self._snaked(name, one) for name, one in options.items.items()}
                places = {name: one.at for name, one in keywords.items()}
                complete = complete and options.complete
            else:
                complete = complete and not isinstance(options, Unknown | Text)
        yield Call(function, at, tuple(values[:most]) + tuple(values[most + 1 :]), keywords, places, complete)

    def _snaked(self, name: str, value: Value) -> Value:
        """The options of a stage, as Python writes them."""
        if not isinstance(value, Table):
            return value
        return Table({snake(one): inner for one, inner in value.items.items()}, value.at, value.complete)

    def _as_value(self, node: Any) -> Iterator[Found]:
        parent = node.parent
        if parent is None or parent.type in _NO_VALUE:
            return
        if parent.type == "call_expression" and parent.child_by_field_name("function") == node:
            return
        if parent.type == "variable_declarator":
            return
        if function := self._function(node):
            what = f"{function} is handed on, so its calls are not seen"
            yield Unfollowed(self._names.place(node), what, _FOLLOW)


def _walk(root: Any) -> Iterator[Any]:
    """All nodes in the order of the source, without recursion."""
    stack = [root]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(node.children))
