"""`Artifact`: the declaration of one fitted value that a persistable owns."""

from __future__ import annotations

import sys
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, overload

from simpleml.encoding.faults import short
from simpleml.errors import ArtifactTypeError, SavePatternError, known_names

if TYPE_CHECKING:
    from simpleml.persistables.persistable import Persistable

T = TypeVar("T")

UNREAD = "unread"
"""Marks what the metadata says of an artifact that was taken over as bytes: its hash stands for these, not for the value."""


class Artifact(Generic[T]):
    """One fitted value, saved by one or more save patterns and loaded when it is first read.

    `save_patterns` are tried in this order when it is loaded; without any, the type of the value chooses one. An artifact
    that is part of the `identity` is hashed by content into `hash_`; one that merely follows from the config and the
    inputs (a fitted estimator) is not. An annotation `data: Artifact[dict[str, int]]` makes assigning another type an error.
    `also` are further names by which `save_patterns=` and `set_save_patterns` know it.
    """

    def __init__(
        self,
        save_patterns: Sequence[str] | str = (),
        *,
        identity: bool = True,
        also: Sequence[str] = (),
        doc: str | None = None,
    ) -> None:
        self.save_patterns = pattern_tuple(save_patterns)
        self.identity = identity
        self.also = tuple(also)
        self.name = ""
        self.__doc__ = doc
        self._owner: type | None = None
        self._types: tuple[type, ...] | None = None

    def __repr__(self) -> str:
        return f"Artifact({self.name!r}, save_patterns={list(self.save_patterns)})"

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name
        self._owner = owner

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: Persistable, owner: type) -> T: ...
    def __get__(self, instance: Persistable | None, owner: type) -> Self | T:
        if instance is None:
            return self
        value: T = instance.get_artifact(self.name)
        return value

    def __set__(self, instance: Persistable, value: T) -> None:
        self.check(value)
        instance.restore_artifact(self.name, value)

    def __delete__(self, instance: Persistable) -> None:
        instance.forget_artifact(self.name)

    def check(self, value: object) -> None:
        """Raise `ArtifactTypeError` if `value` is not of the annotated type (its container type, not its items)."""
        if self._types is None:
            self._types = self._declared()
        if self._types and not isinstance(value, self._types):
            wanted = " or ".join(kind.__name__ for kind in self._types)
            owner = self._owner.__name__ if self._owner else "?"
            raise ArtifactTypeError(
                f"{owner}.{self.name} takes {wanted}, but was given {short(value)} ({type(value).__name__}); convert the value, "
                f"or change the annotation of {self.name}"
            )

    def _declared(self) -> tuple[type, ...]:
        """Return the classes that the annotation allows; empty if there is none, or if it cannot be resolved."""
        hint = vars(self._owner).get("__annotations__", {}).get(self.name) if self._owner else None
        if isinstance(hint, str):
            names = vars(sys.modules.get(self._owner.__module__, typing)) if self._owner else {}
            try:
                hint = eval(hint, dict(names))  # noqa: S307 - the text is source code of the class, as get_type_hints evaluates
            except Exception:  # noqa: BLE001 - an annotation that only a type checker can resolve may raise anything
                return ()
        inner = typing.get_args(hint)
        return _classes(inner[0]) if typing.get_origin(hint) is Artifact and inner else ()


def declared_name(declared: Mapping[str, Artifact[Any]], name: str) -> str:
    """Return the name of the artifact that is called `name`, or is also called so; `name` itself if there is none."""
    if name in declared:
        return name
    return next((own for own, artifact in declared.items() if name in artifact.also), name)


def undeclared(owner: Persistable, held: Mapping[str, object]) -> str:
    """Return one sentence part that lists the artifacts that a record holds, if the class does not declare all of them; else ''."""
    declared = owner._artifacts_declared
    if held.keys() <= declared.keys():
        return ""
    return (
        f"the record has the artifacts: {', '.join(sorted(held))}; {type(owner).__name__} declares: "
        f"{', '.join(sorted(declared)) or 'none'}"
    )


def declare(owner: type[Persistable], name: str, others: Iterable[str]) -> None:
    """Declare an artifact of a class that is there already, with `others` as further names for it."""
    for taken in sorted({name, *others}):
        annotated = any(taken in vars(base).get("__annotations__", {}) for base in owner.__mro__)
        if (annotated or hasattr(owner, taken)) and not isinstance(getattr(owner, taken, None), Artifact):
            raise SavePatternError(
                f"{owner.__name__} has a {taken!r} already, so it cannot become an artifact's name: choose another name"
            )
    declared: Artifact[Any] = Artifact()
    declared.__set_name__(owner, name)
    setattr(owner, name, declared)
    for other in set(others) - {name}:
        setattr(owner, other, declared)
    owner._artifacts_declared = {**owner._artifacts_declared, name: declared}


def withdraw(owner: type[Persistable], name: str) -> None:
    """Take an artifact away from a class and those below it that are made later; its value is an attribute like others then."""
    if name not in owner._artifacts_declared:
        raise SavePatternError(
            f"{owner.__name__} has no artifact {name!r}; {known_names(owner._artifacts_declared, near=name)}"
        )
    owner._artifacts_declared = {kept: one for kept, one in owner._artifacts_declared.items() if kept != name}
    setattr(owner, name, None)


def pattern_tuple(patterns: object) -> tuple[str, ...]:
    """Return the names of save patterns that `patterns` gives: one name, or several in order."""
    given = (patterns,) if isinstance(patterns, str) or not isinstance(patterns, Iterable) else tuple(patterns)
    for pattern in given:
        if not isinstance(pattern, str):
            raise SavePatternError(
                f"a save pattern is given by its name, such as 'json', not as {short(pattern)} ({type(pattern).__name__})"
            )
    return given


def _classes(hint: Any) -> tuple[type, ...]:
    if hint is None or hint is type(None):
        return (type(None),)
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        members = [_classes(member) for member in typing.get_args(hint)]
        return tuple(kind for member in members for kind in member) if all(members) else ()
    found = dict if typing.is_typeddict(hint) else origin or hint
    if not isinstance(found, type) or found in (object, Any) or getattr(found, "_is_protocol", False):
        return ()
    return (int, float) if found is float else (found,)
