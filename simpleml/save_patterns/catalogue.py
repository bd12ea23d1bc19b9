"""Which patterns and serializers there are, by name, and which one a value gets when nobody names one.

A pattern's name is `<format>` (to the store `default`) or `<where>_<format>` (to the store of that name): `pickled`,
`parquet`, `disk_pickled`, `disk_json`. Others are registered, by decorator or by an entry point of the group
`simpleml.serializers` or `simpleml.save_patterns`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from simpleml.errors import SavePatternError, UnknownNameError, known_names
from simpleml.registries import Registry, same_definition
from simpleml.save_patterns.pattern import ObjectPattern, load_object
from simpleml.save_patterns.protocols import Places, SavePattern, Serializer
from simpleml.types import Reference

DEFAULT_STORE = "default"
WHERE = ("disk", "cloud")
"""Stores that a pattern's name can begin with."""

_HERE = "simpleml.save_patterns.serializers"

serializers: Registry[Serializer] = Registry(
    "serializer",
    known={
        "cloudpickle": f"{_HERE}.cloudpickle:CLOUDPICKLE",
        "json": f"{_HERE}.json:JSON_TEXT",
        "numpy": f"{_HERE}.numpy:NUMPY",
        "parquet": f"{_HERE}.parquet:PARQUET",
    },
    entry_points="simpleml.serializers",
    same=lambda one, other: same_definition(type(one), type(other)),
)
"""Serializers by the name that references carry."""

patterns: Registry[SavePattern] = Registry(
    "save pattern",
    entry_points="simpleml.save_patterns",
    same=lambda one, other: same_definition(type(one), type(other)),
)
"""Patterns that are not simply a serializer and a store."""

_FORMATS = {"pickled": "cloudpickle"}  # a format's word in pattern names, where it is not the serializer's own

_BY_TYPE: dict[str, str] = {
    "numpy.ndarray": "numpy",
    "pandas.DataFrame": "parquet",
    "pandas.core.frame.DataFrame": "parquet",
    "polars.dataframe.frame.DataFrame": "parquet",
    "pyarrow.lib.Table": "parquet",
}

_T = TypeVar("_T")
_S = TypeVar("_S", bound="type[Serializer]")
_P = TypeVar("_P", bound="type[SavePattern]")


def find_pattern(name: str) -> SavePattern:
    """Return the pattern of this name; `SavePatternError` lists the known ones."""
    if name in patterns:
        return patterns.get(name)
    where, _, format_ = name.partition("_")
    store, word = (where, format_) if where in WHERE and format_ else (DEFAULT_STORE, name)
    try:
        serializer = serializers.get(_FORMATS.get(word, word))
    except UnknownNameError as error:
        raise SavePatternError(
            f"there is no save pattern {name!r}; {known_names(pattern_names(), near=name)}. "
            "Register one with simpleml.save_patterns.catalogue.register_serializer or register_save_pattern."
        ) from error
    return ObjectPattern(name=name, serializer=serializer, store=store)


def pattern_names() -> list[str]:
    """Return every name that `find_pattern` takes."""
    words = {word for word, name in _FORMATS.items() if name in serializers}
    words |= {name for name in serializers.names() if name not in _FORMATS.values()}
    return sorted({*patterns.names(), *words, *(f"{where}_{word}" for where in WHERE for word in words)})


def load_reference(pattern: str, reference: Reference, places: Places) -> object:
    """Return the object behind a reference; a registered pattern reads its own, every other is read by its serializer."""
    if pattern in patterns:
        return patterns.get(pattern).load(reference, places)
    return load_object(reference, serializers.get(reference["serializer"]), places)


def choose_pattern(value: object) -> str:
    """Return the pattern for a value that nobody chose one for: by its type, if that holds it exactly, else `pickled`."""
    for cls in type(value).__mro__:
        name = _BY_TYPE.get(f"{cls.__module__}.{cls.__qualname__}")
        if name is not None:
            if _accepts(name, value):
                return name
            break
    if isinstance(value, dict | list | str | int | float | bool | type(None)) and serializers.get("json").accepts(
        value
    ):
        return "json"
    return "pickled"


def _accepts(pattern: str, value: object) -> bool:
    found = find_pattern(pattern)
    return not isinstance(found, ObjectPattern) or found.serializer.accepts(value)


def prefer(cls: type, pattern: str) -> None:
    """Let values of `cls` (and its subclasses) be kept by `pattern` when no other is named."""
    find_pattern(pattern)
    _BY_TYPE[f"{cls.__module__}.{cls.__qualname__}"] = pattern


def register_serializer(cls: _S) -> _S:
    """Register a serializer class (made without arguments) under its `name`; as a decorator."""
    instance = _made(cls, Serializer, ("name", "format", "executes", "accepts", "dump", "load"))
    serializers.register(instance.name, instance)
    return cls


def register_save_pattern(name: str | None = None) -> Callable[[_P], _P]:
    """Register a save pattern class (made without arguments) under `name`, or its own; as a decorator."""

    def register(cls: _P) -> _P:
        instance = _made(cls, SavePattern, ("name", "save", "load"))
        patterns.register(name or instance.name, instance)
        return cls

    return register


def _made(cls: Callable[[], _T], protocol: type, members: tuple[str, ...]) -> _T:
    """Return an instance of a class that is about to be registered, if it has what the protocol asks for."""
    instance = cls()
    missing = [member for member in members if not hasattr(instance, member)]
    if missing:
        raise SavePatternError(
            f"{cls!r:.200} is no {protocol.__name__}: it has no {', '.join(missing)}; see simpleml.save_patterns.protocols"
        )
    return instance
