"""Adding to the formats, patterns and places there are: decorators for classes of your own, under the names of SimpleML.

An installed distribution offers the same without being imported first, by an entry point of the group
`simpleml.serializers`, `simpleml.save_patterns` (both give an instance) or `simpleml.locations`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar, cast, overload

from simpleml.errors import SavePatternError
from simpleml.save_patterns.catalogue import patterns, serializers
from simpleml.save_patterns.locations.opening import register_location
from simpleml.save_patterns.protocols import SavePattern, Serializer
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

_T = TypeVar("_T")
_C = TypeVar("_C", bound=type)


def register_serializer(cls: _C) -> _C:
    """Register a serializer class (made without arguments) under its `name`; as a decorator."""
    instance = _made(cls, Serializer.__name__, ("name", "format", "executes", "accepts", "dump", "load"))
    serializers.register(instance.name, instance)
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
        instance = _made(cls, SavePattern.__name__, tuple(wanted))
        name = cls_or_name if isinstance(cls_or_name, str) else getattr(cls, "name", getattr(cls, "SAVE_PATTERN", None))
        if not isinstance(name, str):
            raise SavePatternError(
                f'{cls!r:.200} has no name: give it one, @register_save_pattern("my_pattern"), or an attribute `name`'
            )
        _join(name, instance if save else None, instance if load else None, overwrite=overwrite)
        return cls

    return register(cls_or_name) if isinstance(cls_or_name, type) else register


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
    if isinstance(held, SplitPattern):
        free = (saver is None or held.saver is None) and (loader is None or held.loader is None)
        joined = SplitPattern(name, saver or held.saver, loader or held.loader)
        patterns.register(name, joined, override=overwrite or free)
    else:
        patterns.register(name, SplitPattern(name, saver, loader), override=overwrite)


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

    def declare(cls: _T) -> _T:
        owner = cast("_Declares", cls)
        owner.declare_artifact(artifact_name, save_attribute or artifact_name, restore_attribute or artifact_name)
        return cls

    return declare


def deregister_artifact(artifact_name: str) -> Callable[[_T], _T]:
    """Take an artifact away that a persistable class inherits or declares; as a decorator."""

    def withdraw(cls: _T) -> _T:
        cast("_Declares", cls).withdraw_artifact(artifact_name)
        return cls

    return withdraw


class SavePatternDecorators:
    """The same as methods of one class, as SimpleML offers them."""

    register_save_pattern = staticmethod(register_save_pattern)
    deregister_save_pattern = staticmethod(deregister_save_pattern)


class ExternalArtifactDecorators:
    """The same as methods of one class, as SimpleML offers them."""

    register_artifact = staticmethod(register_artifact)
    deregister_artifact = staticmethod(deregister_artifact)


def _made(cls: Callable[[], Any], protocol: str, members: tuple[str, ...]) -> Any:
    """Return an instance of a class that is about to be registered, if it has what the protocol asks for."""
    instance = cls()
    missing = [member for member in members if not hasattr(instance, member)]
    if missing:
        raise SavePatternError(
            f"{cls!r:.200} is no {protocol}: it has no {', '.join(missing)}; see simpleml.save_patterns.protocols"
        )
    return instance
