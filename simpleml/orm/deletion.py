"""Deleting a record: refused while others were made from it or an alias points to it; its bytes lose one reference each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, delete, select

from simpleml.errors import RecordNotFoundError, ReferencedError
from simpleml.migrations import TABLES
from simpleml.orm import aliases, blobs, tags
from simpleml.orm.persistable import kinds_in, record_class, records
from simpleml.orm.tables import LineageEdge

_SHOWN = 10
_edges: Any = LineageEdge.__table__


@dataclass(frozen=True, slots=True)
class Deletion:
    """The deletion of one record, as a step of a transaction."""

    kind: str
    id: UUID
    grace: float

    def __call__(self, connection: Connection) -> None:
        """Delete the record."""
        delete_record(connection, self.kind, self.id, self.grace)

    def landed(self, connection: Connection) -> bool:
        """Whether it happened."""
        cls = record_class(self.kind)
        return connection.execute(select(cls.id).where(cls.id == self.id)).first() is None


def delete_record(connection: Connection, kind: str, id_: UUID, grace: float) -> None:
    """Delete one record, its lineage, its references and its tags, all in the caller's transaction."""
    children = list(children_of(connection, kind, id_))
    if children:
        raise referenced(kind, id_, children)
    cls = record_class(kind)
    # The row first: of two who delete it at once, one gets it, and only that one gives up its references.
    if connection.execute(delete(cls).where(cls.id == id_)).rowcount != 1:
        raise RecordNotFoundError(f"there is no {kind} with the id {id_} (any more), so nothing was deleted")
    blobs.release(connection, id_, grace)
    connection.execute(delete(LineageEdge).where(_edges.c.child == id_))
    # Asked now that the row is taken: who lets an alias point to it, or tags it, has either committed or finds it gone.
    pointing = aliases.pointing_to(connection, kind, id_)
    if pointing:
        raise aliased(kind, id_, pointing)
    tags.forget(connection, kind, id_)


def children_of(connection: Connection, kind: str, id_: UUID) -> Iterator[str]:
    """Tell of every record that was made from this one, as `model 'churn' version 3`."""
    for child_kind, column in columns_referring_to(connection, kind):
        child = record_class(child_kind)
        for name, version in connection.execute(select(child.name, child.version).where(column == id_).limit(_SHOWN)):
            yield f"{child_kind} {name!r} version {version}"
    column = _edges.c.get(f"{kind}_id")
    if column is None:
        return
    for child_kind, child_id in connection.execute(
        select(_edges.c.child_kind, _edges.c.child).where(column == id_).limit(_SHOWN)
    ):
        child = record_class(child_kind)
        found = connection.execute(select(child.name, child.version).where(child.id == child_id)).one_or_none()
        yield f"{child_kind} {found[0]!r} version {found[1]}" if found else f"{child_kind} {child_id}"


def columns_referring_to(connection: Connection, kind: str) -> Iterator[tuple[str, Any]]:
    """Give every column by which records refer to those of a kind, with the kind that has the column."""
    table: Any = record_class(kind).__table__
    for child_kind in records.names():
        child = record_class(child_kind)
        columns = [
            column for column in child.__table__.columns for key in column.foreign_keys if key.column.table is table
        ]
        if columns and child.__tablename__ not in TABLES and child_kind not in kinds_in(connection):
            continue  # a kind of a user's, which this database has no table for
        for column in columns:
            yield child_kind, column


def referenced(kind: str, id_: UUID, children: list[str]) -> ReferencedError:
    """Return the error that lists what would be left without its origin."""
    shown = ", ".join(children[:_SHOWN]) + (", …" if len(children) > _SHOWN else "")
    return ReferencedError(
        f"the {kind} {id_} cannot be deleted, because others were made from it: {shown}. Delete those first."
    )


def aliased(kind: str, id_: UUID, pointing: Sequence[str]) -> ReferencedError:
    """Return the error that lists the aliases that would be left without their version."""
    shown = ", ".join(map(repr, pointing[:_SHOWN])) + (", …" if len(pointing) > _SHOWN else "")
    return ReferencedError(
        f"the {kind} {id_} cannot be deleted, because aliases point to it: {shown}. Let them point to another version first, by "
        "other.alias(…), or take them away, by drop_alias(…)."
    )
