"""`Wanted`: which records are asked for, and how they are found in a database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, select

from simpleml.errors import IdentityError, RecordNotFoundError, known_names
from simpleml.orm.persistable import kinds_in, record_class
from simpleml.persistables.identity import checked_text, checked_version

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """A name, and which of its versions: the latest, unless one is named or `every` is set. `kind` if several have the name.

    `scope` is the id of the model whose metric is meant.
    """

    name: str
    version: int | None = None
    kind: str | None = None
    every: bool = False
    scope: UUID | None = None

    def __post_init__(self) -> None:
        checked_text("name", self.name)
        if self.version is not None:
            checked_version(self.version)

    def __str__(self) -> str:
        return f"{self.name!r}" if self.version is None else f"{self.name!r} version {self.version}"


def find(connection: Connection, wanted: Sequence[Wanted]) -> list[tuple[str, UUID]]:
    """Return the kind and the id of every record asked for, each once, in the order in which they were asked for."""
    if not wanted:
        raise IdentityError("nothing was asked for: give at least one name")
    there = kinds_in(connection)
    return list(dict.fromkeys(record for each in wanted for record in _find(connection, each, there)))


def _find(connection: Connection, wanted: Wanted, there: list[str]) -> list[tuple[str, UUID]]:
    kinds = there if wanted.kind is None else [record_class(wanted.kind).kind]
    found: dict[str, list[UUID]] = {}
    for kind in kinds if set(kinds) <= set(there) else ():
        cls = record_class(kind)
        matching = select(cls.id).where(cls.name == wanted.name)
        if wanted.version is not None:
            matching = matching.where(cls.version == wanted.version)
        if wanted.scope is not None and cls.scope:
            matching = matching.where(getattr(cls, cls.scope) == wanted.scope)
        matching = matching.order_by(cls.version.desc(), cls.created_timestamp.desc())
        ids = list(connection.execute(matching if wanted.every else matching.limit(1)).scalars())
        if ids:
            found[kind] = ids
    if len(found) > 1:
        raise several_kinds(wanted, list(found))
    if not found:
        raise _not_found(connection, wanted, [kind for kind in kinds if kind in there])
    return [(kind, id_) for kind, ids in found.items() for id_ in ids]


def several_kinds(wanted: Wanted, kinds: Sequence[str]) -> IdentityError:
    """Return the error for a name that is not enough."""
    return IdentityError(
        f"{wanted.name!r} is the name of several kinds: {', '.join(kinds)}; say which: kind={kinds[0]!r}, or --kind {kinds[0]}"
    )


def _not_found(connection: Connection, wanted: Wanted, kinds: list[str]) -> RecordNotFoundError:
    versions: list[int] = []
    names: set[str] = set()
    for kind in kinds:
        cls = record_class(kind)
        versions += connection.execute(select(cls.version).where(cls.name == wanted.name)).scalars()
        names.update(connection.execute(select(cls.name).distinct().limit(1000)).scalars())
    if versions:
        known = f"known versions: {', '.join(map(str, sorted(set(versions))[-_SHOWN:]))}"
    else:
        known = known_names(names, near=wanted.name)
    kind = "" if wanted.kind is None else f"{wanted.kind} "
    return RecordNotFoundError(f"no {kind}{wanted} is saved here; {known}. See all with: simpleml ls")
