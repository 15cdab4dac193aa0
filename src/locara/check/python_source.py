"""The calls of Locara in Python source. What may live here: parsing, and going through the calls of a module."""

from __future__ import annotations

import ast
import io
import re
import tokenize
import warnings
from collections.abc import Iterator, Mapping

from locara.check.calls import Call, Fault, Place, Table, Unfollowed, Value, public
from locara.check.python_scopes import Module, Scope, module_of
from locara.check.python_values import Sources

Found = Call | Unfollowed | Fault
Parsed = tuple[ast.Module, list[str]] | Fault

_ROOMS = frozenset({"locara", "locara.voice", "locara.transcribe", "locara.speech", "locara.llm"})
_FOLLOW = "call it by its name, so that it can be checked here; the run time checks it in any case"


def read(files: Mapping[str, bytes]) -> Iterator[tuple[str, Found]]:
    """The calls in all Python files of an app: relative path (POSIX) -> what is in it. Never raises for any bytes.

    Every file is parsed. Only those in which a call can be, and those that they take a name from, are gone through: the
    scopes of a large tree need a hundred times the memory of its text.
    """
    modules = Modules(files)
    sources = Sources(modules)
    callers = _callers(files)
    for path, data in files.items():
        parsed = _parsed(data)
        if isinstance(parsed, Fault):
            yield path, parsed
        elif path in callers:
            for one in _calls(modules.of_path(path, parsed), sources):
                yield path, one


def _callers(files: Mapping[str, bytes]) -> frozenset[str]:
    """The files in which a call can be: they name Locara, or a module in which a call can be. Rather too many."""
    found = {path for path, data in files.items() if b"locara" in data}
    new = found
    while new:
        stems = {re.escape(_stem(path)).encode() for path in new}
        named = re.compile(rb"\b(?:" + b"|".join(sorted(stems)) + rb")\b")
        new = {path for path, data in files.items() if path not in found and named.search(data)}
        found |= new
    return frozenset(found)


def _stem(path: str) -> str:
    return _name(path)[0].rpartition(".")[2]


class Modules(Mapping[str, Module]):
    """Dotted name -> module; each is gone through when it is first asked for."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files
        self._paths: dict[str, str] = {}
        self._made: dict[str, Module] = {}
        for path in files:
            self._paths.setdefault(_name(path)[0], path)

    def __getitem__(self, name: str) -> Module:
        return self.of_path(self._paths[name])

    def __contains__(self, name: object) -> bool:
        return name in self._paths

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    def of_path(self, path: str, parsed: Parsed | None = None) -> Module:
        """The module in a file; an empty one where it does not parse."""
        if path not in self._made:
            parsed = parsed or _parsed(self._files[path])
            tree, lines = (ast.Module([], []), []) if isinstance(parsed, Fault) else parsed
            name, is_package = _name(path)
            self._made[path] = module_of(tree, name, lines, is_package=is_package)
        return self._made[path]


def _name(path: str) -> tuple[str, bool]:
    """``talk/main.py`` is ``talk.main``; a folder ``src`` is where packages lie, not one of them."""
    parts = path.rpartition(".")[0].split("/")
    if len(parts) > 1 and parts[0] == "src":
        parts = parts[1:]
    if len(parts) > 1 and parts[-1] == "__init__":
        return ".".join(parts[:-1]), True
    return ".".join(parts), False


def _parsed(data: bytes) -> Parsed:
    fix = "mend it, or move it out of the app"
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        text = data.decode(encoding)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an app's own bad escapes
            tree = ast.parse(text)
    except SyntaxError as error:
        return Fault((error.lineno or 1, max(1, error.offset or 1)), f"it is not Python: {_plain(error.msg)}", fix)
    except UnicodeDecodeError as error:
        return Fault((data.count(b"\n", 0, error.start) + 1, 1), f"it cannot be decoded as {error.encoding}", fix)
    except (ValueError, LookupError) as error:  # a NUL, an unknown encoding
        return Fault((1, 1), f"it is not Python: {_plain(str(error))}", fix)
    except (RecursionError, MemoryError):  # so the parser says that it is nested too deep
        return Fault((1, 1), "it is nested too deep for Python's parser", fix)
    return tree, text.splitlines()


def _plain(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()[:200]


def _calls(module: Module, sources: Sources) -> Iterator[Found]:
    for star in module.stars:
        what = f"from {star.module} import *: what it brings is not written here"
        yield Unfollowed((star.lineno, star.col_offset + 1), what, "import the names that are used")
    for node, scope in module.expressions:
        if isinstance(node, ast.Call):
            yield from _call(node, scope, sources)
        else:
            yield from _as_value(node, scope, module, sources)


def _call(node: ast.Call, scope: Scope, sources: Sources) -> Iterator[Found]:
    names = sources.references(node.func, scope)
    arguments = list(node.args)
    at = sources.place(node, scope)
    if "functools.partial" in names and arguments:
        names, arguments = sources.references(arguments[0], scope), arguments[1:]
    elif _is_open_getattr(node, scope) and sources.references(arguments[0], scope) & _ROOMS:
        yield Unfollowed(at, "getattr with a name that is no literal", _FOLLOW)
    for name in sorted(names):
        if function := public(name):
            yield _read(function, node, arguments, scope, sources, at)


def _is_open_getattr(node: ast.Call, scope: Scope) -> bool:
    named = isinstance(node.func, ast.Name) and node.func.id == "getattr" and not scope.find("getattr")
    return named and len(node.args) > 1 and not isinstance(node.args[1], ast.Constant)


def _read(function: str, node: ast.Call, arguments: list[ast.expr], scope: Scope, sources: Sources, at: Place) -> Call:
    keywords: dict[str, Value] = {}
    places: dict[str, Place] = {}
    complete = True
    for one in node.keywords:
        value = sources.value(one.value, scope)
        if one.arg is not None:
            keywords[one.arg], places[one.arg] = value, sources.place(one, scope)
        elif isinstance(value, Table):
            keywords |= value.items
            places |= dict.fromkeys(value.items, sources.place(one.value, scope))
            complete = complete and value.complete
        else:
            complete = False
    if any(isinstance(one, ast.Starred) for one in arguments):
        return Call(function, at, (), keywords, places, complete=False)
    return Call(function, at, tuple(sources.value(one, scope) for one in arguments), keywords, places, complete)


def _as_value(node: ast.expr, scope: Scope, module: Module, sources: Sources) -> Iterator[Found]:
    """A function of Locara that is handed on instead of called: who calls it, and with what, is not seen."""
    parent = module.parents.get(node)
    match parent:
        case ast.Attribute() | ast.arg() | None:
            return
        case ast.Call(func=func) if func is node or _is_partial(parent, node, scope, sources):
            return
        case ast.Assign(targets=targets) if all(isinstance(one, ast.Name) for one in targets):
            return
        case ast.AnnAssign(target=ast.Name()) | ast.NamedExpr():
            return
        case _:
            pass
    for name in sources.references(node, scope):
        if function := public(name):
            at = sources.place(node, scope)
            yield Unfollowed(at, f"{function} is handed on, so its calls are not seen", _FOLLOW)


def _is_partial(parent: ast.AST, node: ast.expr, scope: Scope, sources: Sources) -> bool:
    assert isinstance(parent, ast.Call)
    return parent.args[:1] == [node] and "functools.partial" in sources.references(parent.func, scope)
