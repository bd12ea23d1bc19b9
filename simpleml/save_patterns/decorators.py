"""Adding to the formats, patterns and places there are: decorators for classes of your own, under the names of SimpleML.

An installed distribution offers the same without being imported first, by an entry point of the group
`simpleml.serializers`, `simpleml.save_patterns` (both give an instance) or `simpleml.locations`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, cast, overload

from simpleml.encoding.faults import short
from simpleml.errors import DuplicateNameError, SavePatternError
from simpleml.save_patterns.catalogue import (
    WHERE,
    complete_pattern,
    complete_serializer,
    pattern_names,
    patterns,
    serializers,
)
from simpleml.save_patterns.locations.opening import register_location
from simpleml.save_patterns.protocols import Serializer
from simpleml.save_patterns.split import Loads, Saves, SplitPattern

__all__ = [
    "ExternalArtifactDecorators",
    "SavePatternDecorators",
    "deregister_artifact",
    "deregister_save_pattern",
    "register_artifact",
    "register_location",
    "register_save_pattern",
    "register_serializer",
]

_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,99}", re.ASCII | re.IGNORECASE)
_T = TypeVar("_T")
_C = TypeVar("_C", bound=type)


def register_serializer(cls: _C) -> _C:
    """Register a serializer class (made without arguments) under its `name`; as a decorator."""
    instance: Serializer = complete_serializer(_made(cls, "@register_serializer"))
    name = instance.name
    _check_name(name)
    if name not in serializers and (name in pattern_names() or name.startswith(tuple(f"{where}_" for where in WHERE))):
        raise DuplicateNameError(
            f"no serializer can be called {name!r}, which is or would be the name of a save pattern: choose another word"
        )
    serializers.register(name, instance)
    return cls


@overload
def register_save_pattern(cls_or_name: _C, save: bool = True, load: bool = True, overwrite: bool = False) -> _C: ...
@overload
def register_save_pattern(
    cls_or_name: str | None = None, save: bool = True, load: bool = True, overwrite: bool = False
) -> Callable[[_C], _C]: ...
def register_save_pattern(
    cls_or_name: _C | str | None = None, save: bool = True, load: bool = True, overwrite: bool = False
) -> _C | Callable[[_C], _C]:
    """Register a class (made without arguments) as the save pattern of this name, or of its `name` or `SAVE_PATTERN`.

    As a decorator, with or without arguments. `save=False` or `load=False` registers it for the other direction only, so
    that two classes may share a pattern. Another class under a name that is taken is a `DuplicateNameError`, unless
    `overwrite`.
    """

    def register(cls: _C) -> _C:
        wanted = [member for member, asked in (("save", save), ("load", load)) if asked]
        if not wanted:
            raise SavePatternError(f"{cls!r:.200} is registered neither to save nor to load: leave one of them out")
        instance = complete_pattern(_made(cls, '@register_save_pattern("my_pattern")'), wanted)
        name = cls_or_name if isinstance(cls_or_name, str) else getattr(cls, "name", getattr(cls, "SAVE_PATTERN", None))
        if not isinstance(name, str):
            raise SavePatternError(
                f'{cls!r:.200} has no name: give it one, @register_save_pattern("my_pattern"), or an attribute `name`'
            )
        _check_name(name)
        _join(name, instance if save else None, instance if load else None, overwrite=overwrite)
        return cls

    return register if cls_or_name is None or isinstance(cls_or_name, str) else register(cls_or_name)


def deregister_save_pattern(cls_or_name: type | str, save: bool = True, load: bool = True) -> None:
    """Take a registered pattern away, or one half of it; `UnknownNameError` if there is none."""
    name = cls_or_name if isinstance(cls_or_name, str) else _name_of(cls_or_name)
    held = patterns.get(name)
    patterns.drop(name)
    if isinstance(held, SplitPattern):
        saver, loader = (None if save else held.saver), (None if load else held.loader)
        if saver is not None or loader is not None:
            patterns.register(name, SplitPattern(name, saver, loader))


def _name_of(cls: type) -> str:
    for name, pattern in patterns.live().items():
        if isinstance(pattern, SplitPattern) and cls in {type(pattern.saver), type(pattern.loader)}:
            return name
    raise SavePatternError(f"{cls!r:.200} is not registered as a save pattern; known: {', '.join(patterns.names())}")


def _join(name: str, saver: Saves | None, loader: Loads | None, *, overwrite: bool) -> None:
    """Register a pattern, or add a half to the one that lacks it."""
    held = patterns.live().get(name)
    if held is None and not overwrite and name not in patterns and name in pattern_names():
        raise DuplicateNameError(
            f"the save pattern {name!r} is a format and a store already: choose another name, or replace it with overwrite=True"
        )
    if isinstance(held, SplitPattern):
        free = (saver is None or held.saver is None) and (loader is None or held.loader is None)
        joined = SplitPattern(name, saver or held.saver, loader or held.loader)
        patterns.register(name, joined, overwrite=overwrite or free)
    else:
        patterns.register(name, SplitPattern(name, saver, loader), overwrite=overwrite)


class _Declares(Protocol):
    """What a persistable class offers, one layer above."""

    @classmethod
    def declare_artifact(cls, name: str, save_attribute: str, restore_attribute: str) -> None: ...

    @classmethod
    def withdraw_artifact(cls, name: str) -> None: ...


def register_artifact(
    artifact_name: str, save_attribute: str | None = None, restore_attribute: str | None = None
) -> Callable[[_T], _T]:
    """Declare an artifact of a persistable class; as a decorator.

    It is read and set under its own name, and under those of the attributes. The usual way is an `Artifact` in the body
    of the class.
    """
    if not isinstance(artifact_name, str):
        raise SavePatternError(f'{short(artifact_name)} names no artifact: write @register_artifact("my_artifact")')

    def declare(cls: _T) -> _T:
        owner = _declaring(cls)
        owner.declare_artifact(artifact_name, save_attribute or artifact_name, restore_attribute or artifact_name)
        return cls

    return declare


def deregister_artifact(artifact_name: str) -> Callable[[_T], _T]:
    """Take an artifact away that a persistable class inherits or declares; as a decorator."""

    def withdraw(cls: _T) -> _T:
        _declaring(cls).withdraw_artifact(artifact_name)
        return cls

    return withdraw


def _declaring(cls: object) -> _Declares:
    if not isinstance(cls, type) or not hasattr(cls, "declare_artifact"):
        raise SavePatternError(
            f"{short(cls)} has no artifacts: decorate a class that inherits from simpleml.Persistable"
        )
    return cast("_Declares", cls)


class SavePatternDecorators:
    """The same as methods of one class, as SimpleML offers them."""

    register_save_pattern = staticmethod(register_save_pattern)
    deregister_save_pattern = staticmethod(deregister_save_pattern)


class ExternalArtifactDecorators:
    """The same as methods of one class, as SimpleML offers them."""

    register_artifact = staticmethod(register_artifact)
    deregister_artifact = staticmethod(deregister_artifact)


def _made(cls: object, decorator: str) -> Any:
    """Return an instance of a class that is about to be registered."""
    if not isinstance(cls, type):
        raise SavePatternError(
            f"{short(cls)} is no class: write {decorator} above a class that can be made without arguments"
        )
    return cls()


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise SavePatternError(
            f"{short(name)} is no name for save patterns: up to 100 letters, digits, '_', '-' and '.', a letter first"
        )
