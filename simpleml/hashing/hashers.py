"""Which function takes a value apart: found by the most specific class in its type's MRO.

A library is never imported to look at a value: its types are registered under their public names, and the module that
knows them is imported when the first value of such a type is met.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import Enum
from importlib import import_module
from typing import Any, TypeAlias, TypeVar, overload
from weakref import WeakKeyDictionary

from simpleml.errors import HashingError
from simpleml.hashing.origins import type_name
from simpleml.hashing.tokens import Node, Refusal

Opener: TypeAlias = Callable[[Any], "bytes | Node"]
"""Takes a value apart: its token, or the node whose children are hashed next. Raises `Refusal`."""

T = TypeVar("T")
F = TypeVar("F", bound=Callable[[Any], object])

LEAVES: dict[type, Callable[[Any], bytes]] = {}
"""Exact types that are hashed without any look-up; no hasher may be registered for them."""

_MODULES = {
    "catboost": "boosters",
    "dask": "dask_frames",
    "keras": "networks",
    "lightgbm": "boosters",
    "numpy": "arrays",
    "pandas": "frames",
    "polars": "polars_tables",
    "pyarrow": "tables",
    "scipy": "sparse",
    "sklearn": "estimators",
    "torch": "tensors",
    "xgboost": "boosters",
}
_CLASS = type  # the built-in; `register_hasher` has an argument of that name
_ours: dict[type | str, Opener] = {}
_users: dict[type | str, Opener] = {}
_found: WeakKeyDictionary[type, Opener] = WeakKeyDictionary()


def opens(*types: type | str) -> Callable[[Opener], Opener]:
    """Register our own opener for `types`, each a class or the public name of one (`pandas.DataFrame`)."""

    def register(opener: Opener) -> Opener:
        _ours.update(dict.fromkeys(types, opener))
        return opener

    return register


@overload
def register_hasher(type: type[T] | str, function: Callable[[T], object]) -> Callable[[T], object]: ...
@overload
def register_hasher(type: type | str) -> Callable[[F], F]: ...
def register_hasher(type: Any, function: Any = None) -> Any:
    """From now on, hash each instance of `type` as its type's name and the value that `function(instance)` returns.

    Without `function` it is a decorator. `type` is a class or its public name (`"geopandas.GeoDataFrame"`), which imports
    nothing. The most specific class of a value's MRO wins, then the later registration. Register in every process that
    hashes, and always the same function: it is part of what a hash means. `None`, `bool`, `int`, `float`, `complex`,
    `str` and `bytes` themselves are refused; their subclasses are not.
    """
    if function is None:
        return lambda decorated: register_hasher(type, decorated)
    if type in LEAVES:
        msg = f"cannot register a hasher for {type.__name__}: its hash is part of the scheme. Use a subclass."
        raise HashingError(msg)
    if not isinstance(type, _CLASS) and not (isinstance(type, str) and "." in type):
        msg = f"cannot register a hasher for {type!r}. Give a class, or its public name like 'package.module.Class'."
        raise HashingError(msg)

    def open_registered(value: Any) -> Node:
        try:
            instead = function(value)
        except Exception as error:
            raise Refusal(f"the hasher that is registered for {type!r} failed: {error!r}") from error
        return Node(b"registered", type_name(value.__class__), (instead,), ("",))

    _users[type] = open_registered
    _found.clear()
    return function


def find_opener(cls: type) -> Opener:
    """Return what takes instances of `cls` apart."""
    opener = _found.get(cls)
    if opener is None:
        opener = _found[cls] = _search(cls)
    return opener


def _search(cls: type) -> Opener:
    mro = cls.__mro__
    if Enum in mro:  # an IntEnum's member is an Enum first, though int stands before Enum in its MRO
        mro = (*[base for base in mro if issubclass(base, Enum)], object)
    for base in mro:
        module = _MODULES.get(base.__module__.partition(".")[0])
        if module is not None:
            import_module(f"simpleml.hashing.{module}")
    named = {base: opener for table in (_ours, _users) for base, opener in _resolved(table).items()}
    return next(named[base] for base in mro if base in named)  # `object` is always there


def _resolved(table: dict[type | str, Opener]) -> dict[type, Opener]:
    """Return the openers by class, of those whose class exists in this process."""
    classes: dict[type, Opener] = {}
    for key, opener in table.items():
        found: object = key
        if isinstance(key, str):
            module, _, name = key.rpartition(".")
            found = vars(sys.modules[module]).get(name) if module in sys.modules else None
        if isinstance(found, type):
            classes[found] = opener
    return classes
