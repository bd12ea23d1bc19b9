"""Tags: words that mark a record, as many as wanted; they go with the record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, delete, literal, select

from simpleml.errors import RecordNotFoundError
from simpleml.orm.blobs import Operation
from simpleml.orm.dialects import insert_missing
from simpleml.orm.persistable import ORMPersistable, record_class
from simpleml.orm.tables import Tag
from simpleml.orm.transactions import Transactions
from simpleml.persistables.labels import checked_label

_tags: Any = Tag.__table__


@dataclass(frozen=True, slots=True)
class Tags:
    """The tags of one database; see `ports.Tags`."""

    database: Transactions
    write: Callable[[Operation], None]

    def add(self, kind: str, id: UUID, tags: Sequence[str]) -> None:
        """Give a record these tags, by one statement each; one that it has already is no error."""
        wanted = _checked(tags)
        if wanted:
            self.write(lambda connection: _add(connection, kind, id, wanted))

    def remove(self, kind: str, id: UUID, tags: Sequence[str]) -> None:
        """Take these tags from a record, by one statement; one that it has not is no error."""
        unwanted = _checked(tags)
        if not unwanted:
            return
        gone = delete(Tag).where(_tags.c.record == id, _tags.c.kind == kind, _tags.c.tag.in_(unwanted))
        self.write(lambda connection: connection.execute(gone).close())

    def of(self, kind: str, id: UUID) -> tuple[str, ...]:
        """Return the tags of a record, sorted."""
        return self.database.run(lambda connection: tags_of(connection, kind, id), read=True)


def _checked(tags: Sequence[str]) -> list[str]:
    return sorted({checked_label("the tag", tag) for tag in tags})


def _add(connection: Connection, kind: str, id_: UUID, tags: Sequence[str]) -> None:
    """Insert tags of a record that is there; whoever deletes it waits, and removes them, or was first."""
    cls = record_class(kind)
    for tag in tags:
        row = select(literal(kind, _tags.c.kind.type), cls.id, literal(tag, _tags.c.tag.type)).where(cls.id == id_)
        source = row.with_for_update(read=True, key_share=True)
        if not insert_missing(connection, _tags, ("kind", "record", "tag"), source):
            raise RecordNotFoundError(f"there is no {kind} with the id {id_} (any more), so it cannot be tagged")


def tags_of(connection: Connection, kind: str, id_: UUID) -> tuple[str, ...]:
    """Return the tags of a record, sorted."""
    found = select(_tags.c.tag).where(_tags.c.record == id_, _tags.c.kind == kind)
    return tuple(sorted(connection.execute(found).scalars()))


def forget(connection: Connection, kind: str, id_: UUID) -> None:
    """Remove the tags of a record that this transaction has deleted."""
    connection.execute(delete(Tag).where(_tags.c.record == id_, _tags.c.kind == kind))


def is_tagged(cls: type[ORMPersistable], tag: object) -> ColumnElement[bool]:
    """Return the condition that a record has this tag."""
    return cls.id.in_(
        select(_tags.c.record).where(_tags.c.kind == cls.kind, _tags.c.tag == checked_label("the tag", tag))
    )
