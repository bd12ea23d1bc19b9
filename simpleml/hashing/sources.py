"""The source text of the user's functions and classes, taken only where it is proven to be what runs.

A file may have been edited since it was imported, rewritten by a tool at import, or be no file at all. So the text at hand is
compiled, and the code object in question must be found in it; where it is not, there is no source.
"""

from __future__ import annotations

import ast
import linecache
import sys
import warnings
from collections.abc import Iterator
from functools import lru_cache
from types import CodeType, FunctionType
from typing import TypeAlias

from simpleml.hashing.walker import walk

Definition: TypeAlias = "ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda"


class Text:
    """A source text with the definitions in it, and the code objects that it compiles to."""

    def __init__(self, text: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # said when the module was imported
            tree = ast.parse(text)
            compiled = compile(text, "<source>", "exec", dont_inherit=True)
        self.text = text
        self.lines = text.splitlines(keepends=True)
        self.definitions = dict(_definitions(tree))
        self.codes: dict[tuple[int, str], list[CodeType]] = {}
        for code in _codes(compiled):
            self.codes.setdefault((code.co_firstlineno, code.co_name), []).append(code)

    def compiles_to(self, code: CodeType) -> bool:
        """Whether this very code, at this very line, comes out of the text."""
        same_place = self.codes.get((code.co_firstlineno, code.co_name), [])
        return bool(same_place) and walk(code) in {walk(other) for other in same_place}

    def excerpt(self, node: Definition) -> tuple[str, list[str | bytes]]:
        """Return the text of one definition, without its indentation, and its literals that span lines as they are.

        Taking away indentation also changes the inside of such literals; docstrings alone may change with it.
        """
        docstrings = {id(doc) for doc in _docstrings(node)}
        literals = [
            part.value
            for part in ast.walk(node)
            if isinstance(part, ast.Constant)
            and id(part) not in docstrings
            and (
                (isinstance(part.value, str) and "\n" in part.value)
                or (isinstance(part.value, bytes) and b"\n" in part.value)
            )
        ]
        if isinstance(node, ast.Lambda):
            return ast.get_source_segment(self.text, node) or "", literals
        lines = self.lines[first_line(node) - 1 : node.end_lineno]
        indent = lines[0][: len(lines[0]) - len(lines[0].lstrip())]
        return "".join(line.removeprefix(indent) for line in lines).rstrip(), literals


def function_source(function: FunctionType) -> tuple[str, list[str | bytes]] | None:
    """Return the excerpt of a function or lambda, or `None` if there is no text that it was surely compiled from."""
    code = function.__code__
    text = _read(code.co_filename, function.__globals__)
    if text is None or not text.compiles_to(code):
        return None
    found = [
        node
        for node in text.definitions
        if first_line(node) == code.co_firstlineno and getattr(node, "name", "<lambda>") == code.co_name
    ]
    if len(found) > 1:  # lambdas on one line: only one's body is at the place where this code returns it
        places = set(code.co_positions())
        found = [node for node in found if isinstance(node, ast.Lambda) and _place(node.body) in places]
    return text.excerpt(found[0]) if len(found) == 1 else None


def class_source(cls: type, functions: list[FunctionType]) -> tuple[str, list[str | bytes]] | None:
    """Return the excerpt of a class whose own methods are `functions`, or `None` if no text surely is its source."""
    module = sys.modules.get(cls.__module__)
    file = functions[0].__code__.co_filename if functions else getattr(module, "__file__", None)
    text = _read(file, vars(module) if module is not None else {}) if file is not None else None
    if text is None or not all(text.compiles_to(function.__code__) for function in functions):
        return None
    lines = [function.__code__.co_firstlineno for function in functions]
    found = [
        node
        for node, qualname in text.definitions.items()
        if isinstance(node, ast.ClassDef)
        and qualname == cls.__qualname__
        and all(node.lineno <= line <= (node.end_lineno or 0) for line in lines)
    ]
    return text.excerpt(found[0]) if len(found) == 1 else None


def first_line(node: Definition) -> int:
    """Return the line that a code object of this definition names as its first: that of the first decorator."""
    decorators = getattr(node, "decorator_list", None)
    return decorators[0].lineno if decorators else node.lineno


def _read(file: str, module_globals: dict[str, object]) -> Text | None:
    linecache.checkcache(file)
    lines = linecache.getlines(file, module_globals)
    return _parse("".join(lines)) if lines else None


@lru_cache(maxsize=64)
def _parse(text: str) -> Text | None:
    try:
        return Text(text)
    except (SyntaxError, ValueError, RecursionError):  # not Python, or not all of it: no source, then
        return None


def _definitions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[Definition, str]]:
    """Yield every definition with its qualified name."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            qualname = prefix + node.name
            yield node, qualname
            inner = f"{qualname}." if isinstance(node, ast.ClassDef) else f"{qualname}.<locals>."
            yield from _definitions(node, inner)
        elif isinstance(node, ast.Lambda):
            yield node, f"{prefix}<lambda>"
            yield from _definitions(node, f"{prefix}<lambda>.<locals>.")
        else:
            yield from _definitions(node, prefix)


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _docstrings(node: ast.AST) -> Iterator[ast.Constant]:
    for part in ast.walk(node):
        if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            first = part.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                yield first.value


def _place(node: ast.expr) -> tuple[int | None, int | None, int | None, int | None]:
    return node.lineno, node.end_lineno, node.col_offset, node.end_col_offset
