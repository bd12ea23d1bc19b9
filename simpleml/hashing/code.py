"""Functions, classes, methods and partials: a library's by name, the user's by source, else by code object."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import _lru_cache_wrapper, partial, partialmethod
from types import (
    BuiltinFunctionType,
    CellType,
    ClassMethodDescriptorType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

from simpleml.hashing.hashers import opens
from simpleml.hashing.instances import Attributes
from simpleml.hashing.origins import is_library_file, library_name, type_name
from simpleml.hashing.tokens import Node, leaf

_PYTHON = f"{sys.implementation.name}-{sys.version_info.major}.{sys.version_info.minor}".encode()

# What Python itself puts into a class, beside what its author wrote there.
_MACHINERY = frozenset(
    [
        "__dict__",
        "__weakref__",
        "__module__",
        "__qualname__",
        "__firstlineno__",
        "__static_attributes__",
        "__abstractmethods__",
        "_abc_impl",
    ]
)


def _named(kind: bytes, name: str) -> bytes:
    return leaf(kind, name.encode("utf-8", "surrogatepass"))


@opens(FunctionType)
def open_function(value: FunctionType) -> bytes | Node:
    """A library's function is its name; a user's is its source, defaults, closed-over values and attributes."""
    if is_library_file(value.__code__.co_filename):
        name = library_name(value)
        if name is not None:
            return _named(b"F", name)
    from simpleml.hashing.sources import function_source

    parts = (function_source(value) or value.__code__, *_bound(value), Attributes(vars(value)))
    return Node(b"function", b"", parts, ("", ".__defaults__", ".__kwdefaults__", ".__closure__", ""), cyclic=True)


def _bound(function: FunctionType) -> tuple[object, object, dict[str, CellType]]:
    """Return the values that a function was made with: defaults, keyword defaults, closed-over values by name."""
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    return function.__defaults__, function.__kwdefaults__, cells


@opens(CellType)
def open_cell(value: CellType) -> bytes | Node:
    """A closed-over variable is its value; one that is not bound yet is just that."""
    try:
        return Node(b"cell", b"", (value.cell_contents,), ("",), cyclic=True)
    except ValueError:  # an empty cell
        return leaf(b"E", b"")


@opens(CodeType)
def open_code(value: CodeType) -> Node:
    """A code object is what this minor version of Python runs: no file name, no line numbers."""
    parts = (
        value.co_code,
        value.co_consts,
        value.co_names,
        value.co_varnames,
        value.co_freevars,
        value.co_cellvars,
        (value.co_argcount, value.co_posonlyargcount, value.co_kwonlyargcount, value.co_flags),
        value.co_exceptiontable,
    )
    return Node(b"code", _PYTHON, parts, (".__code__",))


@opens(type)
def open_class(value: type) -> bytes | Node:
    """A library's class is its name; a user's is its source, its bases, and what its methods were made with.

    Without source, every member takes part instead.
    """
    name = library_name(value)
    if name is not None:
        return _named(b"T", name)
    from simpleml.hashing.sources import class_source

    members = {key: member for key, member in vars(value).items() if key not in _MACHINERY}
    functions = {key: found for key, member in members.items() if (found := _method(member, value)) is not None}
    source = class_source(value, list(functions.values()))
    if source is None:
        inner: object = Attributes(members)
    else:
        inner = {key: _bound_without_class(function) for key, function in functions.items()}
    parts = (source, inner, value.__bases__, type_name(type(value)))
    return Node(
        b"class", value.__name__.encode("utf-8", "surrogatepass"), parts, ("", "", ".__bases__", ""), cyclic=True
    )


def _method(member: object, cls: type) -> FunctionType | None:
    """Return the function that a member of a class is made of, if its author wrote it there (no tool at run time)."""
    if isinstance(member, (staticmethod, classmethod)):
        member = member.__func__
    elif isinstance(member, property):
        member = member.fget
    if not isinstance(member, FunctionType):
        return None
    file = member.__code__.co_filename
    if file == "<string>" or is_library_file(file):
        return None
    return member if member.__qualname__.startswith(f"{cls.__qualname__}.") else None


def _bound_without_class(function: FunctionType) -> tuple[object, object, object]:
    defaults, keyword_defaults, cells = _bound(function)
    return defaults, keyword_defaults, {key: cell for key, cell in cells.items() if key != "__class__"}


@opens(MethodType)
def open_method(value: MethodType) -> Node:
    """A bound method is its object and its function."""
    return Node(b"method", b"", (value.__self__, value.__func__), (".__self__", ".__func__"))


@opens(BuiltinFunctionType, MethodWrapperType)
def open_builtin(value: Any) -> bytes | Node:
    """A built-in function is its name; a built-in method is its object and its name."""
    owner = value.__self__
    if owner is None or isinstance(owner, ModuleType):
        return _named(b"F", f"{value.__module__}:{value.__qualname__}")
    return Node(b"method", b"", (owner, value.__name__), (".__self__", ""))


@opens(
    WrapperDescriptorType, MethodDescriptorType, ClassMethodDescriptorType, GetSetDescriptorType, MemberDescriptorType
)
def open_descriptor(value: Any) -> bytes:
    """A built-in type's unbound method or slot is the type's name and its own."""
    return leaf(b"F", type_name(value.__objclass__) + b"." + value.__name__.encode())


@opens(staticmethod, classmethod)
def open_wrapped(value: staticmethod[..., Any] | classmethod[Any, ..., Any]) -> Node:
    """A static or class method is the function in it."""
    return Node(b"wrapped", type_name(type(value)), (value.__func__,), ("",))


@opens(property)
def open_property(value: property) -> Node:
    """A property is its three functions."""
    return Node(b"property", b"", (value.fget, value.fset, value.fdel), (".fget", ".fset", ".fdel"))


@opens(partial)
def open_partial(value: partial[Any]) -> Node:
    """A partial is its function, arguments and keywords."""
    parts = (value.func, value.args, value.keywords, Attributes(vars(value)))
    return Node(b"partial", type_name(type(value)), parts, (".func", ".args", ".keywords", ""))


@opens(partialmethod)
def open_partial_method(value: partialmethod[Any]) -> Node:
    """A partial method is its function, arguments and keywords."""
    parts = (value.func, value.args, value.keywords)
    return Node(b"partial", type_name(type(value)), parts, (".func", ".args", ".keywords"))


@opens(_lru_cache_wrapper)
def open_cached(value: _lru_cache_wrapper[Any]) -> Node:
    """A cached function is the function and the cache's settings; what it has cached does not count."""
    wrapped: Callable[..., Any] = value.__wrapped__
    parameters = value.cache_parameters()
    return Node(b"lru_cache", b"", (wrapped, dict(parameters)), (".__wrapped__", ""))
