"""Aliases and tags: names that are given to a saved version, and may be taken away again, without changing the version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, overload

from simpleml.encoding.faults import short
from simpleml.errors import IdentityError, UnsavedReferenceError
from simpleml.persistables.display import one_line
from simpleml.persistables.identity import checked_text, storable_text
from simpleml.persistables.ports import AliasMove, Database, Origin, current_database
from simpleml.persistables.scopes import scope_given, several

if TYPE_CHECKING:
    from simpleml.persistables.persistable import Persistable

LONGEST = 63
"""The most characters that an alias or a tag may have."""

ALIASED = "aliases__has"
"""The filter that finds the version which an alias points to."""

TAGGED = "tags__has"
"""The filter that finds the versions which have a tag."""


def checked_label(field: str, value: object) -> str:
    """Return `value` if it can be an alias or a tag: 1 to 63 characters, compared by bytes."""
    if not isinstance(value, str) or not 1 <= len(value) <= LONGEST:
        found = f"{len(value)} characters" if isinstance(value, str) else type(value).__name__
        raise IdentityError(f"{field} is {short(value)} ({found}), but must be text of 1 to {LONGEST} characters")
    return storable_text(field, value)


def point(owner: Persistable, alias: str) -> None:
    """Let `alias` point to the version that `owner` is."""
    checked = checked_label("the alias", alias)
    origin = _origin(owner, f"the alias {alias!r} can point to")
    origin.database.aliases.point(owner.kind, origin.id, checked)


def drop(owner: Persistable, alias: str) -> None:
    """Let `alias` point to nothing; it must point to the version that `owner` is."""
    checked = checked_label("the alias", alias)
    origin = _origin(owner, f"the alias {alias!r} could be dropped from")
    origin.database.aliases.drop(owner.kind, origin.id, checked)


def add_tags(owner: Persistable, tags: tuple[str, ...]) -> None:
    """Give the version that `owner` is these tags."""
    checked = [checked_label("the tag", tag) for tag in tags]
    origin = _origin(owner, "tags can be given to")
    origin.database.tags.add(owner.kind, origin.id, checked)


def remove_tags(owner: Persistable, tags: tuple[str, ...]) -> None:
    """Take these tags from the version that `owner` is."""
    checked = [checked_label("the tag", tag) for tag in tags]
    origin = _origin(owner, "tags can be taken from")
    origin.database.tags.remove(owner.kind, origin.id, checked)


def tags_of(owner: Persistable) -> tuple[str, ...]:
    """Return the tags of the version that `owner` is, sorted; none if it is not saved."""
    return () if owner._origin is None else owner._origin.database.tags.of(owner.kind, owner._origin.id)


def aliases_of(owner: Persistable) -> tuple[str, ...]:
    """Return the aliases that point to the version that `owner` is, sorted; none if it is not saved."""
    return () if owner._origin is None else owner._origin.database.aliases.of(owner.kind, owner._origin.id)


def named(cls: type[Persistable], name: str, given: Mapping[str, object]) -> Mapping[str, int]:
    """Return the aliases of a name within the kind of `cls`, each with the version that it points to."""
    found: dict[str, int] = {}
    database = current_database()
    for alias, version, _ in database.aliases.listed(cls.kind, checked_text("name", name), scope_given(cls, given)):
        if alias in found and (scope := database.scope(cls.kind)):
            what, wanted = f"the alias {alias!r} of {cls.kind} {name!r}", {"name": name, ALIASED: alias}
            raise several(what, cls.kind, wanted, scope, database)
        found[alias] = version
    return found


def known_aliases(database: Database, kind: str, name: object) -> str:
    """Return one sentence part that lists the aliases of a name, for messages; empty if it has none."""
    listed = database.aliases.listed(kind, name) if isinstance(name, str) else []
    told = ", ".join(f"{alias} (version {there})" for alias, there, _ in listed)
    return f"aliases of {name!r}: {told}" if told else ""


def history(cls: type[Persistable], name: str, alias: str, given: Mapping[str, object]) -> list[AliasMove]:
    """Return every move of an alias of a name within the kind of `cls`, oldest first."""
    checked = checked_label("the alias", alias)
    scope = scope_given(cls, given)
    return current_database().aliases.history(cls.kind, checked_text("name", name), checked, scope)


def wanted_alias(alias: object, *, name: object, version: object, id_: object) -> Mapping[str, object]:
    """Return the filter for loading by alias; an alias needs a name, and says the version already."""
    if alias is None:
        return {}
    checked = checked_label("the alias", alias)
    if version is not None or id_ is not None:
        other = f"version={version}" if version is not None else f"id={id_!s:.80}"
        raise IdentityError(f"alias={alias!r} says which version to load, and so does {other}: give one of the two")
    if name is None:
        raise IdentityError(f"alias={alias!r} needs a name=: every name has aliases of its own")
    return {ALIASED: checked}


def _origin(owner: Persistable, what: str) -> Origin:
    if owner._origin is None:
        raise UnsavedReferenceError(f"{one_line(owner)} is not saved, and {what} a saved version only: save() it first")
    return owner._origin


class AliasesOfName(Protocol):
    """What `aliases` of a class is."""

    def __call__(self, name: str, **scope: object) -> Mapping[str, int]:
        """Return the aliases of a name, each with the version that it points to; of metrics those of one model (`model=`)."""


class Aliases:
    """`object.aliases` are those that point to this version; `Class.aliases(name)` are those of a name, with their versions."""

    @overload
    def __get__(self, owner: None, cls: type[Persistable]) -> AliasesOfName: ...
    @overload
    def __get__(self, owner: Persistable, cls: type[Persistable]) -> tuple[str, ...]: ...
    def __get__(self, owner: Persistable | None, cls: type[Persistable]) -> AliasesOfName | tuple[str, ...]:
        """Return the aliases of the object, or the function of the class."""
        if owner is not None:
            return aliases_of(owner)

        def aliases(name: str, **scope: object) -> Mapping[str, int]:
            """Return the aliases of a name, each with the version that it points to."""
            return named(cls, name, scope)

        return aliases
